//! What waits for people as page and API: of everybody, or what one person can still decide.

use askama::Template;
use axum::response::Response;
use axum::{Json, extract};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::inbox::Wait;
use crate::domain::name::Login;
use crate::domain::time::Timestamp;
use crate::http::State;
use crate::http::error::Fault;
use crate::http::extract::Asked;
use crate::http::pages::{Times, shown};
use crate::http::view::{Light, rfc3339};

/// Rows of one page: more than anybody decides at a sitting.
const ROWS: usize = 50;

/// One thing that waits for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AskedLine {
    /// The pipeline's stream.
    pub pipeline: String,
    /// The release's number; none for a runbook.
    pub no: Option<u32>,
    /// The release's version, or the run of a runbook.
    pub version: String,
    /// The stage or the runbook.
    pub stage: String,
    /// What is asked: `approve`, `sign off`, `answer` or `override`.
    pub what: &'static str,
    /// Since when.
    #[serde(serialize_with = "rfc3339")]
    pub since: Timestamp,
    /// Who is missing, or who may.
    pub who: String,
    /// Why, in one sentence.
    pub why: String,
    /// The comment to write.
    pub line: String,
}

impl AskedLine {
    /// What waits in the pipeline of this stream.
    pub fn of(stream: &str, wait: Wait) -> Self {
        Self {
            pipeline: stream.to_owned(),
            no: wait.release,
            version: wait.about,
            stage: wait.stage,
            what: wait.matter.word(),
            since: wait.since,
            who: wait.who,
            why: wait.why,
            line: wait.line,
        }
    }

    /// The page it is told of on.
    fn path(&self) -> String {
        match self.no {
            Some(no) => format!("/releases/{}/{no}", self.pipeline),
            None => format!("/runbooks/{}", self.pipeline),
        }
    }
}

/// Of whom, and which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    #[serde(rename = "for")]
    person: Option<String>,
    page: Option<usize>,
}

/// One page of it.
struct Sheet {
    lines: Vec<AskedLine>,
    person: Option<Login>,
    total: usize,
    page: usize,
    pages: usize,
}

impl Which {
    async fn sheet(&self, state: &State) -> Result<Sheet, Fault> {
        let person = self.person.as_deref().map(str::trim).filter(|name| !name.is_empty());
        let person: Option<Login> = match person.map(str::parse).transpose() {
            Ok(person) => person,
            Err(_) => return Err(Fault::malformed("`for` is a login.")),
        };
        let all = state.reader().asked(person.as_ref()).await?;
        let (total, pages) = (all.len(), all.len().div_ceil(ROWS).max(1));
        let page = self.page.unwrap_or(1).clamp(1, pages);
        let lines = all.into_iter().skip(page.saturating_sub(1).saturating_mul(ROWS)).take(ROWS);
        Ok(Sheet { lines: lines.collect(), person, total, page, pages })
    }
}

impl Sheet {
    /// The address of another page of the same.
    fn path(&self, page: usize) -> String {
        let of = self.person.as_ref().map_or_else(String::new, |person| format!("for={person}&"));
        format!("/approvals?{of}page={page}")
    }

    fn newer(&self) -> Option<String> {
        (self.page > 1).then(|| self.path(self.page.saturating_sub(1)))
    }

    fn more(&self) -> Option<String> {
        (self.page < self.pages).then(|| self.path(self.page.saturating_add(1)))
    }
}

#[derive(Template)]
#[template(path = "pages/approvals.html")]
struct OnePage {
    sheet: Sheet,
    light: Light,
    times: Times,
}

/// `GET /approvals?for=&page=`: what has waited longest comes first.
pub(super) async fn page(
    extract::State(state): extract::State<State>,
    Asked(which): Asked<Which>,
) -> Result<Response, Fault> {
    let sheet = which.sheet(&state).await?;
    shown(&OnePage { sheet, light: Light::of("awaiting_signoff"), times: Times::at(state.now()) })
}

/// `GET /api/approvals?for=&page=`.
pub(super) async fn api(
    extract::State(state): extract::State<State>,
    Asked(which): Asked<Which>,
) -> Result<Json<Value>, Fault> {
    let Sheet { lines, total, page, pages, .. } = which.sheet(&state).await?;
    Ok(Json(json!({ "approvals": lines, "total": total, "page": page, "pages": pages })))
}
