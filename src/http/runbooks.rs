//! The page and the API of a pipeline's runbooks: what there is, what ran, and a form to start one.

use askama::Template;
use axum::response::{Redirect, Response};
use axum::{Extension, Json, extract};
use serde::{Deserialize, Serialize};

use crate::domain::time::Timestamp;
use crate::http::State;
use crate::http::api::Ask;
use crate::http::error::Fault;
use crate::http::extract::{At, Filled};
use crate::http::pages::{Times, shown};
use crate::http::session::Caller;
use crate::http::view::{Light, rfc3339, rfc3339_or_null};

/// A pipeline's runbooks and their runs; the engine fills it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunbooksPage {
    /// The pipeline's stream.
    pub stream: String,
    /// Its name.
    pub pipeline: String,
    /// What it declares.
    pub runbooks: Vec<BookLine>,
    /// What ran, newest first.
    pub runs: Vec<RunLine>,
    /// Times that came and started nothing, newest first.
    pub missed: Vec<MissedLine>,
}

/// A runbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BookLine {
    /// Its name.
    pub name: String,
    /// Its commands, one a line.
    pub commands: Vec<String>,
    /// Who may start it.
    pub from: Vec<String>,
    /// How many must agree.
    pub approvals: u32,
    /// Its inputs with their defaults and choices.
    pub inputs: Vec<String>,
    /// The stages it works on.
    pub stages: Vec<String>,
    /// Its times, as they are written.
    pub schedule: Option<String>,
    /// When it starts by itself the next time.
    #[serde(serialize_with = "rfc3339_or_null")]
    pub next_at: Option<Timestamp>,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunLine {
    /// Its number.
    pub run: u32,
    /// What it runs.
    pub runbook: String,
    /// How far it is, in a word.
    pub state: String,
    /// The same at a glance.
    pub light: Light,
    /// How it is, on one line.
    pub line: String,
    /// Who asked; nobody when its time came.
    pub by: Option<String>,
    /// Who agreed.
    pub approved_by: Vec<String>,
    /// What it was given.
    pub inputs: Vec<String>,
    /// The commit whose commands it runs.
    pub commit: String,
    /// When it was asked for.
    #[serde(serialize_with = "rfc3339")]
    pub asked_at: Timestamp,
    /// When it last moved.
    #[serde(serialize_with = "rfc3339")]
    pub moved_at: Timestamp,
    /// The name of its log.
    pub log: String,
}

/// A time that came and started nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissedLine {
    /// Which runbook.
    pub runbook: String,
    /// The time.
    #[serde(serialize_with = "rfc3339")]
    pub due: Timestamp,
    /// Why.
    pub why: String,
}

#[derive(Template)]
#[template(path = "pages/runbooks.html")]
struct OnePage {
    page: RunbooksPage,
    times: Times,
}

/// `GET /runbooks/{repo}/{pipeline}`.
pub(super) async fn page(
    extract::State(state): extract::State<State>,
    At((repo, pipeline)): At<(String, String)>,
) -> Result<Response, Fault> {
    let page = state.reader().runbooks_page(&format!("{repo}/{pipeline}")).await?;
    shown(&OnePage { page, times: Times::at(state.now()) })
}

/// `GET /api/runbooks/{repo}/{pipeline}`.
pub(super) async fn api(
    extract::State(state): extract::State<State>,
    At((repo, pipeline)): At<(String, String)>,
) -> Result<Json<RunbooksPage>, Fault> {
    Ok(Json(state.reader().runbooks_page(&format!("{repo}/{pipeline}")).await?))
}

/// The form of the page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    runbook: String,
    #[serde(default)]
    inputs: String,
    #[serde(rename = "as")]
    by: String,
}

/// `POST /runbooks/{repo}/{pipeline}`: says `/run …` as the person that the form names.
pub(super) async fn run(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    At((repo, pipeline)): At<(String, String)>,
    Filled(form): Filled<Form>,
) -> Result<Redirect, Fault> {
    let line = format!("/run {} {}", form.runbook.trim(), form.inputs.trim());
    // One line is one command: what follows a line's end would be another one.
    if line.contains(char::is_control) || form.by.trim().is_empty() {
        return Err(Fault::malformed("Name who asks, and write the inputs on one line."));
    }
    let stream = format!("{repo}/{pipeline}");
    let ask =
        Ask { pipeline: stream.clone(), line: line.trim_end().to_owned(), by: form.by.trim().to_owned() };
    state.acts().act(ask, caller).await?.back_to(&format!("/runbooks/{stream}"))
}
