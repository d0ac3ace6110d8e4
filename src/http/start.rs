//! Starting a release by hand: the form of a pipeline's page, and the same by API; both say `/start` (CHECKLIST B24).

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::{Redirect, Response};
use axum::{Extension, extract};
use serde::Deserialize;

use crate::http::State;
use crate::http::api::{Ask, Reply};
use crate::http::error::Fault;
use crate::http::extract::{At, Filled, Sent};
use crate::http::session::Caller;
use crate::service::call::start_line;

/// The form's field for who asks; no input is called so.
const BY: &str = "_as";

/// What a program sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Starting {
    /// What is given, by name.
    #[serde(default)]
    inputs: BTreeMap<String, String>,
    /// Who asks.
    #[serde(rename = "as")]
    by: String,
}

/// `POST /pipelines/{repo}/{pipeline}`.
pub(super) async fn press(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    At((repo, pipeline)): At<(String, String)>,
    Filled(mut inputs): Filled<BTreeMap<String, String>>,
) -> Result<Redirect, Fault> {
    let by = inputs.remove(BY).unwrap_or_default();
    // A form sends a field that was left empty, too.
    inputs.retain(|_, value| !value.trim().is_empty());
    let reply = said(&state, caller, (&repo, &pipeline), Starting { inputs, by }).await?;
    reply.back_to(&format!("/pipelines/{repo}/{pipeline}"))
}

/// `POST /api/pipelines/{repo}/{pipeline}/start`.
pub(super) async fn start(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    At((repo, pipeline)): At<(String, String)>,
    Sent(starting): Sent<Starting>,
) -> Result<Response, Fault> {
    Ok(said(&state, caller, (&repo, &pipeline), starting).await?.answer(StatusCode::ACCEPTED))
}

/// Says `/start` as the person that is named: one way in, and one judge of who may.
async fn said(
    state: &State,
    caller: Caller,
    (repo, pipeline): (&str, &str),
    starting: Starting,
) -> Result<Reply, Fault> {
    let by = starting.by.trim();
    let line = start_line(pipeline, &starting.inputs).filter(|_| !by.is_empty());
    let line = line.ok_or_else(|| Fault::malformed("Name who asks, and give every input one word."))?;
    Ok(state
        .acts()
        .act(Ask { pipeline: format!("{repo}/{pipeline}"), line, by: by.to_owned() }, caller)
        .await?)
}
