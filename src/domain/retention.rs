//! How long the sealed bytes of releases are kept, and why each of them still is (SEMANTICS §11).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::name::StageName;
use crate::domain::release::{BuildState, Release};
use crate::domain::state::{Live, State};
use crate::domain::time::{Span, Timestamp};

/// How many of the newest releases of a stage are kept when nobody says.
pub const KEEP: u32 = 3;
/// Most of them that may be asked for.
pub const MAX_KEEP: u32 = 1_000;
/// Longest time that may be asked for, in days: ten years.
pub const MAX_DAYS: u32 = 3_650;
/// How many releases a rollback of a stage may go to at least.
const TARGETS: usize = 2;

/// What is kept; what is deployed and what a rollback may go to always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// So many days, counted from the end of the build.
    pub days: u32,
    /// So many of the newest releases that started in a stage.
    pub keep: u32,
    /// So many days for a release that was live nowhere.
    pub failed_days: u32,
}

/// Why the bytes of a release are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// Nobody said how long.
    NoRule,
    /// Something may still happen to it.
    Open,
    /// It is what runs there.
    Deployed(StageName),
    /// It may be what runs there: nobody knows how its deploy ended.
    Unknown(StageName),
    /// A rollback may go to it.
    Target(StageName),
    /// It is one of the newest that started there.
    Newest(StageName, u32),
    /// It is too young.
    Young(Timestamp),
}

/// The sentence people read.
impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRule => f.write_str("neither the manifest nor the server says how long"),
            Self::Open => f.write_str("something may still happen to it"),
            Self::Deployed(stage) => write!(f, "it is live in {stage}"),
            Self::Unknown(stage) => write!(f, "it may be what runs in {stage}"),
            Self::Target(stage) => write!(f, "a rollback of {stage} may go to it"),
            Self::Newest(stage, keep) => write!(f, "it is one of the {keep} newest that started in {stage}"),
            Self::Young(until) => write!(f, "it is too young before {}", until.minute()),
        }
    }
}

/// Why the release keeps its bytes; nothing when they may go. Of several reasons the one that lasts longest.
pub fn kept(state: &State, release: &Release, rule: Option<&Retention>, now: Timestamp) -> Option<Kept> {
    let no = release.no();
    if release.is_open() {
        return Some(Kept::Open);
    }
    for ((stage, _), live) in &state.live {
        match live {
            Live::Release(live, _) if *live == no => return Some(Kept::Deployed(stage.clone())),
            Live::Unknown(last) if *last == no => return Some(Kept::Unknown(stage.clone())),
            Live::Release(..) | Live::Unknown(_) => {}
        }
    }
    let target = state.history.keys().find(|stage| {
        let targets = state.rollback_targets(stage, release.track());
        targets.into_iter().rev().take(TARGETS).any(|target| target.no() == no)
    });
    if let Some(stage) = target {
        return Some(Kept::Target(stage.clone()));
    }
    let Some(rule) = rule else { return Some(Kept::NoRule) };
    let newest = release.stages.keys().find(|stage| is_among_newest(state, release, stage, rule.keep));
    if let Some(stage) = newest {
        return Some(Kept::Newest(stage.clone(), rule.keep));
    }
    let was_live = state.history.values().any(|history| history.contains(&no));
    let days = if was_live { rule.days } else { rule.failed_days };
    let until = release.built_at.unwrap_or(release.at).plus(Span::days(u64::from(days)));
    (until > now).then_some(Kept::Young(until))
}

fn is_among_newest(state: &State, release: &Release, stage: &StageName, keep: u32) -> bool {
    let started =
        |r: &Release| r.stages.get(stage).is_some_and(|runs| runs.iter().any(|run| run.started_at.is_some()));
    let newer = state.releases.values().filter(|other| other.is_ahead_of(release) && started(other)).count();
    started(release) && u32::try_from(newer).is_ok_and(|newer| newer < keep)
}

/// Whether the release has bytes that could be deleted at all.
pub fn has_bytes(release: &Release) -> bool {
    release.build == BuildState::Sealed && release.retired.is_none()
}

/// What holds for a pipeline: its own words, or the server's.
pub fn rule_of(state: &State, server: Option<&Retention>) -> Option<Retention> {
    state.pipeline().and_then(|pipeline| pipeline.retention).or(server.copied())
}
