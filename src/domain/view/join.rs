//! What a pipeline waits for that other pipelines' builds start: on the commit, on its page, and in `why`.

use std::sync::Arc;

use crate::domain::effect::{Status, StatusState};
use crate::domain::join::{Expected, Join, Lack, Waiting};
use crate::domain::markdown::status_line;
use crate::domain::name::CommitSha;
use crate::domain::release::Release;
use crate::domain::state::State;

/// One line about builds that do not make a release yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// What is waited for.
    pub text: String,
    /// Who can do what about it; nothing when time will tell.
    pub next: Option<String>,
}

/// What is missing.
fn lack(lack: &Lack) -> Wait {
    let (text, next) = match lack {
        Lack::Building { pipeline, commit } => {
            (format!("waits for the build of {pipeline} at {}", commit.short()), None)
        }
        Lack::Failed { pipeline, version, why } => (
            format!("{pipeline} {version} was not built: {why}"),
            Some(format!(
                "somebody with write pushes a fix, or comments `/retry build` where {pipeline} {version} is spoken about"
            )),
        ),
        Lack::Never { pipeline } => (
            format!("{pipeline} has no build yet"),
            Some(format!("somebody pushes a commit that {pipeline} listens to")),
        ),
        Lack::NotAgain { pipeline } => (format!("waits for the next build of {pipeline}"), None),
    };
    Wait { text, next }
}

/// Everything that builds wait for before they make a release.
pub fn waits(state: &State) -> Vec<Wait> {
    let (joins, waits) = state.joins();
    let of = |w: &Waiting| {
        let at = format!("{} on {}", w.commit.short(), w.line.branch);
        w.lacks
            .iter()
            .map(lack)
            .map(move |l| Wait { text: format!("{at}: {}", l.text), ..l })
            .collect::<Vec<_>>()
    };
    let soon = |j: &Join| Wait {
        text: format!("{} on {} becomes a release at {}", j.commit.short(), j.line.branch, j.at.minute()),
        next: None,
    };
    waits.iter().flat_map(of).chain(joins.iter().map(soon)).collect()
}

/// The status of the build that is waited for, as long as no release speaks for the commit.
pub fn status(state: &State, waiting: &Waiting) -> Option<Status> {
    let failed = waiting.lacks.iter().any(|lack| matches!(lack, Lack::Failed { .. }));
    let texts: Vec<String> = waiting.lacks.iter().map(|l| lack(l).text).collect();
    let light = if failed { StatusState::Failure } else { StatusState::Pending };
    said(state, &waiting.commit, (light, &format!("No release yet: {}", texts.join("; "))))
}

/// The status of a commit whose builds went into a release of a newer one.
pub fn included(state: &State, push: &Expected) -> Option<Status> {
    let (seq, commit) = push.here();
    let later = |r: &&Arc<Release>| r.created.branch == push.branch && r.created.seq >= seq;
    let first = state.in_order().into_iter().find(later)?;
    said(state, commit, (StatusState::Success, &format!("Included in {}", first.created.version)))
}

fn said(state: &State, commit: &CommitSha, (light, text): (StatusState, &str)) -> Option<Status> {
    if state.releases.values().any(|r| r.created.commit == *commit) {
        return None;
    }
    Some(Status {
        context: state.pipeline()?.context("build"),
        state: light,
        description: status_line(text),
        path: "/".to_owned(),
        detail: None,
    })
}
