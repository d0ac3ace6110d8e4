//! The queue as page and API: what runs, what is next, what waits, and taking runs out of it (rows B37, B38).

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::{Extension, Json, extract};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::domain::queue::{Entry, Progress};
use crate::domain::time::Timestamp;
use crate::http::State;
use crate::http::api::Reply;
use crate::http::error::{Fault, Why};
use crate::http::extract::{Asked, At, Filled};
use crate::http::pages::{Times, shown};
use crate::http::session::Caller;
use crate::http::view::{Light, rfc3339};

/// Most runs that one request takes out of the queue; whoever has more asks again.
const MOST_RUNS: usize = 500;

/// A run that is not over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueLine {
    /// Its id, which is the name of its log, too.
    pub id: String,
    /// The pipeline's stream.
    pub pipeline: String,
    /// The release's number.
    pub no: u32,
    /// The release's version.
    pub version: String,
    /// The stage, or `build`.
    pub what: String,
    /// How far it is: `running`, `queued` or `waiting`.
    pub state: Progress,
    /// Why it does not go on.
    pub line: String,
    /// Since when.
    #[serde(serialize_with = "rfc3339")]
    pub since: Timestamp,
}

impl From<Entry> for QueueLine {
    fn from(entry: Entry) -> Self {
        Self {
            id: entry.id.to_string(),
            pipeline: entry.id.pipeline.to_string(),
            no: entry.id.release.0.get(),
            version: entry.version,
            what: entry.id.what.to_string(),
            state: entry.progress,
            line: entry.line,
            since: entry.since,
        }
    }
}

impl QueueLine {
    /// The state at a glance.
    fn light(&self) -> Light {
        Light::of(self.state.word())
    }
}

/// A run that somebody does not want any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancel {
    /// Its id.
    pub run: String,
    /// Who says so; the owner of a personal token when nobody is named.
    pub by: String,
    /// Whether it is stopped although it has begun.
    pub force: bool,
}

/// Which runs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    state: Option<String>,
    pipeline: Option<String>,
    #[serde(rename = "as")]
    by: Option<String>,
    #[serde(default)]
    force: bool,
}

impl Which {
    fn progress(&self) -> Result<Option<Progress>, Fault> {
        let Some(word) = self.state.as_deref() else { return Ok(None) };
        let progress = Progress::of_word(word);
        progress.map(Some).ok_or_else(|| Fault::malformed("`state` is `running`, `queued` or `waiting`."))
    }

    async fn runs(&self, state: &State) -> Result<Vec<QueueLine>, Fault> {
        let wanted = self.progress()?;
        let mut lines = state.reader().queue(self.pipeline.as_deref()).await?;
        lines.retain(|line| wanted.is_none_or(|wanted| line.state == wanted));
        Ok(lines)
    }
}

#[derive(Template)]
#[template(path = "pages/queue.html")]
struct OnePage {
    lines: Vec<QueueLine>,
    times: Times,
}

/// `GET /queue`.
pub(super) async fn page(
    extract::State(state): extract::State<State>,
    Asked(which): Asked<Which>,
) -> Result<Response, Fault> {
    let lines = which.runs(&state).await?;
    shown(&OnePage { lines, times: Times::at(state.now()) })
}

/// The form of the page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    run: String,
    #[serde(rename = "as")]
    by: String,
    force: Option<String>,
}

/// `POST /queue`: takes one run out, as the person that the form names.
pub(super) async fn cancel_by_form(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    Filled(form): Filled<Form>,
) -> Result<Redirect, Fault> {
    let force = form.force.is_some();
    cancel(&state, &caller, Cancel { run: form.run, by: form.by, force }).await?.back_to("/queue")
}

/// `GET /api/runs`.
pub(super) async fn list(
    extract::State(state): extract::State<State>,
    Asked(which): Asked<Which>,
) -> Result<Response, Fault> {
    Ok(Json(json!({ "runs": which.runs(&state).await? })).into_response())
}

/// `DELETE /api/runs/{id}?as=&force=`.
pub(super) async fn remove(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    At(run): At<String>,
    Asked(which): Asked<Which>,
) -> Result<Response, Fault> {
    if which.state.is_some() || which.pipeline.is_some() {
        return Err(Fault::malformed("The run is named already; leave out `state` and `pipeline`."));
    }
    let by = which.by.unwrap_or_default();
    Ok(cancel(&state, &caller, Cancel { run, by, force: which.force }).await?.answer(StatusCode::OK))
}

/// `DELETE /api/runs?state=queued&pipeline=&as=`: as many as there are, each by itself and on its own record.
pub(super) async fn clear(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    Asked(which): Asked<Which>,
) -> Result<Response, Fault> {
    // Whoever forgets to say which does not empty the queue of everybody.
    if which.state.is_none() || which.pipeline.is_none() {
        return Err(Fault::malformed(
            "Say which runs: `state=queued` (or `waiting`, `running`) and `pipeline=`.",
        ));
    }
    let runs = which.runs(&state).await?;
    let left_out = runs.len().saturating_sub(MOST_RUNS);
    let (mut cancelled, mut refused) = (Vec::new(), Vec::new());
    let by = which.by.unwrap_or_default();
    for line in runs.into_iter().take(MOST_RUNS) {
        let wish = Cancel { run: line.id.clone(), by: by.clone(), force: which.force };
        match cancel(&state, &caller, wish).await {
            Ok(reply) if reply.accepted => cancelled.push(line.id),
            Ok(reply) => refused.push(json!({ "id": line.id, "text": reply.text })),
            // It went with one before it, or ended by itself.
            Err(fault) if fault.why == Why::NotFound => {}
            Err(fault) => return Err(fault),
        }
    }
    let status = if refused.is_empty() { StatusCode::OK } else { Why::Refused.status() };
    let answer = json!({ "cancelled": cancelled, "refused": refused, "left_out": left_out });
    Ok((status, Json(answer)).into_response())
}

/// A personal token says who asks; nobody else is taken for somebody.
async fn cancel(state: &State, caller: &Caller, wish: Cancel) -> Result<Reply, Fault> {
    let owner = caller.login.as_ref().map(ToString::to_string).unwrap_or_default();
    let by = if wish.by.trim().is_empty() { owner } else { wish.by.trim().to_owned() };
    if by.is_empty() {
        return Err(Fault::malformed("Say who asks: `as=<login>`, or come with a personal token."));
    }
    Ok(state.acts().cancel(Cancel { by, ..wish }, caller.clone()).await?)
}
