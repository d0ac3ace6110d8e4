//! The registry of builds, and the list of pipelines: what was built of what, where it went, and what starts it.

use askama::Template;
use axum::response::Response;
use axum::{Json, extract};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::time::Timestamp;
use crate::http::State;
use crate::http::error::Fault;
use crate::http::extract::Asked;
use crate::http::pages::{Times, shown};
use crate::http::view::{ArtifactLine, ReusedLine, rfc3339};

/// Builds of a list when nobody says.
const ROWS: usize = 50;
/// Builds of a list at most.
const MOST_ROWS: usize = 500;

/// A build that left something (row D03).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuildRow {
    /// The repository's name.
    pub repo: String,
    /// The pipeline's stream.
    pub stream: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The release's number.
    pub no: u32,
    /// Its version.
    pub version: String,
    /// The number of the build.
    pub number: String,
    /// The commit.
    pub commit: String,
    /// Its branch.
    pub branch: String,
    /// Whose build it was taken over of, when nothing was built for it.
    pub reused: Option<ReusedLine>,
    /// What was sealed.
    pub artifacts: Vec<ArtifactLine>,
    /// The channels it is in: its own, and those that stages added it to.
    pub channels: Vec<String>,
    /// Whether it succeeded in every mandatory stage.
    pub released: bool,
    /// Where it is as a whole.
    pub state: String,
    /// When the release was made.
    #[serde(serialize_with = "rfc3339")]
    pub at: Timestamp,
}

impl BuildRow {
    fn path(&self) -> String {
        format!("/releases/{}/{}", self.stream, self.no)
    }

    fn short_commit(&self) -> String {
        self.commit.chars().take(7).collect()
    }
}

/// Which builds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhichBuilds {
    /// Of this pipeline only.
    pub stream: Option<String>,
    /// How many.
    pub limit: Option<usize>,
    /// Made before this time, as the last row of the page before says it.
    pub before: Option<String>,
}

impl WhichBuilds {
    /// How many rows, within bounds.
    pub fn rows(&self) -> usize {
        self.limit.unwrap_or(ROWS).clamp(1, MOST_ROWS)
    }

    fn next(&self, rows: &[BuildRow]) -> Option<String> {
        rows.last().filter(|_| rows.len() >= self.rows()).map(|row| row.at.rfc3339())
    }
}

#[derive(Template)]
#[template(path = "pages/builds.html")]
struct BuildsPage {
    builds: Vec<BuildRow>,
    before: Option<String>,
    times: Times,
}

/// `GET /builds`.
pub(super) async fn page(
    extract::State(state): extract::State<State>,
    Asked(which): Asked<WhichBuilds>,
) -> Result<Response, Fault> {
    let builds = state.reader().builds(&which).await?;
    shown(&BuildsPage { before: which.next(&builds), builds, times: Times::at(state.now()) })
}

/// `GET /api/builds`: newest first.
pub(super) async fn api(
    extract::State(state): extract::State<State>,
    Asked(which): Asked<WhichBuilds>,
) -> Result<Json<Value>, Fault> {
    let builds = state.reader().builds(&which).await?;
    let before = which.next(&builds);
    Ok(Json(json!({ "builds": builds, "before": before })))
}

/// A pipeline, and what starts it.
struct Listed {
    stream: String,
    repo: String,
    name: String,
    title: Option<String>,
    tags: Vec<String>,
    starts: Vec<String>,
}

#[derive(Template)]
#[template(path = "pages/pipelines.html")]
struct PipelinesPage {
    pipelines: Vec<Listed>,
}

/// `GET /pipelines`: all of them, lighter ones first (rows B02, B05).
pub(super) async fn pipelines(extract::State(state): extract::State<State>) -> Result<Response, Fault> {
    let mut all = state.store().pipelines().await?;
    let said = |settings: &str| serde_json::from_str::<Value>(settings).unwrap_or(Value::Null);
    all.sort_by_key(|row| said(&row.settings).get("weight").and_then(Value::as_i64).unwrap_or(0));
    let listed = all.into_iter().map(|row| {
        let settings = said(&row.settings);
        let texts = |key: &str| -> Vec<String> {
            let list = settings.get(key).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
        };
        Listed {
            title: settings.get("title").and_then(Value::as_str).map(str::to_owned),
            tags: texts("tags"),
            starts: texts("starts"),
            stream: row.stream,
            repo: row.repo_name,
            name: row.name,
        }
    });
    shown(&PipelinesPage { pipelines: listed.collect() })
}
