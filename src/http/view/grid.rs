//! The newest releases of a pipeline against its stages, out of stored rows.

use serde::Serialize;

use crate::domain::release::LIVE_WITH_ISSUES;
use crate::domain::time::Timestamp;
use crate::http::about::StageAbout;
use crate::store::model::{PipelineRow, ReleaseRow, StageRow};

use super::glance::{Light, plain_line, rfc3339, rfc3339_or_null, short};

/// The pipelines and where their newest releases stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// One grid each.
    pub pipelines: Vec<Grid>,
    /// The stream to ask for pipelines after, if there are more.
    pub more: Option<String>,
}

/// The newest releases of a pipeline against its stages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grid {
    /// The pipeline's stream, `<repository id>/<pipeline>`.
    pub stream: String,
    /// `owner/name` of its repository.
    pub repo: String,
    /// Its name.
    pub name: String,
    /// The stages, in order.
    pub stages: Vec<String>,
    /// The releases, newest first.
    pub rows: Vec<GridRow>,
    /// The number to ask for releases before, if there are more.
    pub before: Option<u32>,
}

impl Grid {
    /// The grid of stored rows. Columns are in the order of the newest release; stages only older releases have
    /// come after them.
    pub fn of(pipeline: PipelineRow, rows: Vec<(ReleaseRow, Vec<StageRow>)>, before: Option<u32>) -> Self {
        let mut stages: Vec<String> = Vec::new();
        for stage in rows.iter().flat_map(|(_, stages)| stages) {
            if !stages.contains(&stage.stage) {
                stages.push(stage.stage.clone());
            }
        }
        let rows = rows.into_iter().map(|(release, own)| {
            let cell = |name: &String| own.iter().find(|row| row.stage == *name).cloned().map(StageBox::from);
            GridRow { cells: stages.iter().map(cell).collect(), head: release.into() }
        });
        let rows = rows.collect();
        Self { stream: pipeline.stream, repo: pipeline.repo_name, name: pipeline.name, stages, rows, before }
    }

    /// The part of addresses that names the pipeline.
    pub fn path(&self) -> &str {
        &self.stream
    }
}

/// A release and how it stands in each stage of its grid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GridRow {
    /// What it is.
    #[serde(flatten)]
    pub head: ReleaseHead,
    /// One cell per stage of the grid; none where the release has no such stage.
    pub cells: Vec<Option<StageBox>>,
}

/// What a release is called and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseHead {
    /// Its pipeline's stream.
    pub stream: String,
    /// Its number in the pipeline.
    pub no: u32,
    /// Its version.
    pub version: String,
    /// What it is of, when others of its pipeline are of something else: `service=checkout`.
    pub track: Option<String>,
    /// One line for people.
    pub title: String,
    /// The commit it is made from.
    pub commit: String,
    /// The digest of its artifact, once sealed.
    pub digest: Option<String>,
    /// Its state in a word.
    pub state: String,
    /// Its state at a glance.
    pub light: Light,
    /// When it was opened.
    #[serde(serialize_with = "rfc3339")]
    pub created_at: Timestamp,
    /// When it last changed.
    #[serde(serialize_with = "rfc3339")]
    pub updated_at: Timestamp,
    /// The last event that changed it.
    pub seq: i64,
}

impl ReleaseHead {
    /// The address of its page.
    pub fn href(&self) -> String {
        format!("/releases/{}/{}", self.stream, self.no)
    }

    /// The beginning of its commit's id.
    pub fn short_commit(&self) -> String {
        short(&self.commit)
    }
}

impl From<ReleaseRow> for ReleaseHead {
    fn from(row: ReleaseRow) -> Self {
        Self {
            light: Light::of(&row.state),
            state: row.state.replace('_', " "),
            stream: row.stream,
            no: row.no,
            version: plain_line(&row.version),
            track: track_of(&row.summary),
            title: plain_line(&row.title),
            commit: row.commit,
            digest: row.digest,
            created_at: row.created_at,
            updated_at: row.updated_at,
            seq: row.seq,
        }
    }
}

/// A stage of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageBox {
    /// Its name.
    pub stage: String,
    /// Which attempt this is about.
    pub attempt: u32,
    /// Its state in a word.
    pub state: String,
    /// Its state at a glance.
    pub light: Light,
    /// Whether it is live although something was passed over (SEMANTICS §2).
    pub succeeded_with_issues: bool,
    /// Why it is so, in one line.
    pub line: String,
    /// When it last changed.
    #[serde(serialize_with = "rfc3339")]
    pub updated_at: Timestamp,
    /// When something happens next by itself.
    #[serde(serialize_with = "rfc3339_or_null")]
    pub next_at: Option<Timestamp>,
    /// The name of its log, if it has one.
    pub log: Option<String>,
    /// What it says about itself.
    pub about: StageAbout,
}

impl From<StageRow> for StageBox {
    fn from(row: StageRow) -> Self {
        Self {
            light: Light::of(&row.state),
            state: row.state.replace('_', " "),
            succeeded_with_issues: row.state == LIVE_WITH_ISSUES,
            stage: row.stage,
            attempt: row.attempt,
            line: plain_line(&row.line),
            updated_at: row.updated_at,
            next_at: row.next_at,
            log: None,
            about: StageAbout { runs_commands: true, ..StageAbout::default() },
        }
    }
}

/// The track of a release; nothing in rows from before there were any.
fn track_of(summary: &str) -> Option<String> {
    let summary: serde_json::Value = serde_json::from_str(summary).ok()?;
    Some(plain_line(summary.get("track")?.as_str()?))
}
