//! What waits and what runs: builds and stages as runs with an id, in the order in which they go (row B37).

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::domain::name::{NameError, PipelineId, ReleaseNo, StageName, printable};
use crate::domain::release::{BuildState, Release, StageState};
use crate::domain::state::State;
use crate::domain::time::Timestamp;
use crate::domain::view;

/// What commands call the build, which is not a stage; manifests may not name a stage so.
pub const BUILD: &str = "build";

/// One attempt of a build or stage, as its log is called, too: `github:12/web/3/prod/1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunId {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// The release.
    pub release: ReleaseNo,
    /// The stage, or [`BUILD`].
    pub what: StageName,
    /// Which attempt.
    pub attempt: u32,
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&view::log_id(&self.pipeline, self.release, self.what.as_str(), self.attempt))
    }
}

impl FromStr for RunId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError {
            kind: "run",
            rule: "it is `<repository id>/<pipeline>/<release>/<stage or build>/<attempt>`",
            text: printable(text),
        };
        let mut parts = text.rsplitn(4, '/');
        let mut part = || parts.next().ok_or_else(wrong);
        let (attempt, what, release, pipeline) = (part()?, part()?, part()?, part()?);
        Ok(Self {
            pipeline: pipeline.parse()?,
            release: release.parse().map(ReleaseNo).map_err(|_| wrong())?,
            what: what.parse()?,
            attempt: attempt.parse().map_err(|_| wrong())?,
        })
    }
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// It has its environment, or its worker.
    Running,
    /// Nothing is in its way but what runs before it.
    Queued,
    /// Something has to happen first, or somebody has to act.
    Waiting,
}

impl Progress {
    /// The word in `state=`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Queued => "queued",
            Self::Waiting => "waiting",
        }
    }

    /// The one of this word.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Running, Self::Queued, Self::Waiting].into_iter().find(|progress| progress.word() == word)
    }
}

/// One run that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which.
    pub id: RunId,
    /// The release's version.
    pub version: String,
    /// How far it is.
    pub progress: Progress,
    /// Why it does not go on, in one line.
    pub line: String,
    /// Since when it is as it is.
    pub since: Timestamp,
}

/// Everything of a pipeline that is not over: what runs, what is next, what waits; each in the order of commits.
pub fn entries(state: &State, now: Timestamp) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    for release in state.open() {
        all.extend(build(state, release));
        let runs = release.rules.stages.iter().filter_map(|stage| Some((stage, release.run(&stage.name)?)));
        for (stage, run) in runs {
            let progress = if run.state.occupies() {
                Progress::Running
            } else if run.state == StageState::Queued {
                Progress::Queued
            } else if run.state.waits() {
                Progress::Waiting
            } else {
                continue;
            };
            all.push(Entry {
                id: RunId {
                    pipeline: state.id.clone(),
                    release: release.no(),
                    what: stage.name.clone(),
                    attempt: run.attempt,
                },
                version: release.created.version.to_string(),
                progress,
                line: view::stage_status(state, release, stage, now).description,
                since: run.moved_at,
            });
        }
    }
    all.sort_by_key(|entry| entry.progress);
    all
}

fn build(state: &State, release: &Release) -> Option<Entry> {
    let progress = match release.build {
        BuildState::Waiting => Progress::Queued,
        BuildState::Running { .. } => Progress::Running,
        BuildState::Sealed | BuildState::Failed(_) | BuildState::NotNeeded => return None,
    };
    Some(Entry {
        id: RunId {
            pipeline: state.id.clone(),
            release: release.no(),
            what: BUILD.parse().ok()?,
            attempt: release.build_attempt,
        },
        version: release.created.version.to_string(),
        progress,
        line: view::build_status(state, release).description,
        since: release.at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b37_the_id_of_a_run_is_that_of_its_log() {
        let id: RunId = "github:12/web/3/prod/1".parse().unwrap();
        assert_eq!((id.release.0.get(), id.what.as_str(), id.attempt), (3, "prod", 1));
        assert_eq!(id.to_string(), "github:12/web/3/prod/1");
        for wrong in [
            "",
            "github:12/web",
            "github:12/web/0/prod/1",
            "github:12/web/3/Prod/1",
            "github:12/web/3/prod/x",
        ] {
            assert!(wrong.parse::<RunId>().is_err(), "{wrong}");
        }
    }
}
