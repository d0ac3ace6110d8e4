//! The notes of a release and its `release.json`: read by anybody who may read, notes written until they are published.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json, extract};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::name::Login;
use crate::http::State;
use crate::http::error::Fault;
use crate::http::extract::{At, Sent};
use crate::http::session::Caller;

/// The notes of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotesText {
    /// Markdown.
    pub text: String,
    /// Who wrote them; nobody when they are made of the commits.
    pub by: Option<Login>,
    /// They are published and stay as they are.
    pub frozen: bool,
}

/// What somebody writes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// Markdown.
    pub text: String,
    /// Who writes it.
    #[serde(rename = "as")]
    pub by: Login,
}

type Which = At<(String, String, u32)>;

/// `GET /api/releases/{repo}/{pipeline}/{no}/notes`.
pub(super) async fn read(
    extract::State(state): extract::State<State>,
    At((repo, pipeline, no)): Which,
) -> Result<Json<NotesText>, Fault> {
    Ok(Json(state.reader().notes(&format!("{repo}/{pipeline}"), no).await?))
}

/// `GET /api/releases/{repo}/{pipeline}/{no}/notes.md`.
pub(super) async fn markdown(
    extract::State(state): extract::State<State>,
    At((repo, pipeline, no)): Which,
) -> Result<Response, Fault> {
    let notes = state.reader().notes(&format!("{repo}/{pipeline}"), no).await?;
    Ok(([(CONTENT_TYPE, "text/markdown; charset=utf-8")], notes.text).into_response())
}

/// `GET /api/releases/{repo}/{pipeline}/{no}/release.json`.
pub(super) async fn metadata(
    extract::State(state): extract::State<State>,
    At((repo, pipeline, no)): Which,
) -> Result<Json<Value>, Fault> {
    Ok(Json(state.reader().metadata(&format!("{repo}/{pipeline}"), no).await?))
}

/// `PUT /api/releases/{repo}/{pipeline}/{no}/notes`.
pub(super) async fn write(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    At((repo, pipeline, no)): Which,
    Sent(written): Sent<Written>,
) -> Result<Response, Fault> {
    let which = (format!("{repo}/{pipeline}"), no);
    let reply = state.acts().write_notes((&which.0, which.1), written, caller).await?;
    Ok(reply.answer(axum::http::StatusCode::OK))
}
