//! What is owed between pipelines: telling how a build ended, and making the release that builds join into.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::effect::{Effect, To};
use crate::domain::join::Listener;
use crate::domain::name::{CommitSha, PipelineName};
use crate::domain::plan::{Lane, Owed, host};
use crate::domain::release::{BuildState, Release};
use crate::domain::state::State;
use crate::domain::view;

/// Pushes whose commits are told of what became of them.
const TOLD: usize = 20;

/// A build that is over is told to every pipeline that listens now or did when it began.
pub(super) fn announce(state: &State, release: &Arc<Release>, owed: &mut Vec<Owed>) {
    let over = matches!(release.build, BuildState::Sealed | BuildState::Failed(_) | BuildState::NotNeeded);
    if !over {
        return;
    }
    let head = state.head.as_ref().map(|(_, head)| &head.feeds);
    let listening: BTreeSet<&PipelineName> =
        head.into_iter().flatten().chain(&release.created.pipeline.feeds).collect();
    let (no, attempt) = (release.no(), release.build_attempt);
    let mut owe = |name: String, to: &PipelineName, abroad: Option<To>| {
        let effect = Effect::Announce { release: no, attempt, to: to.clone(), abroad };
        owed.push(Owed {
            lane: Lane::Timer,
            group: None,
            // A time that stays: an effect of this lane is owed again when its time changes.
            not_before: Some(release.built_at.unwrap_or(release.at)),
            ..host(state, format!("announce:{}:{no}:{attempt}:{name}", state.id), effect)
        });
    };
    for to in listening {
        owe(to.to_string(), to, None);
    }
    for Listener { pipeline, called } in state.listeners.keys() {
        let to = To { repo: pipeline.repo.clone(), called: called.clone() };
        owe(format!("{pipeline}:{called}"), &pipeline.name, Some(to));
    }
}

/// The releases that builds of others make, once those that end at about the same time are in; until then their
/// commits say what is waited for.
pub(super) fn owe(state: &State, owed: &mut Vec<Owed>) {
    let (joins, waits) = state.joins();
    for join in joins {
        let channel = join.line.channel.as_ref().map_or_else(String::new, |name| format!(":{name}"));
        let builds = join.builds.iter().map(|b| (b.pipeline.clone(), b.release)).collect();
        owed.push(Owed {
            lane: Lane::Timer,
            group: None,
            not_before: Some(join.at),
            ..host(
                state,
                format!("join:{}:{}{channel}", state.id, join.line.branch),
                Effect::Join { line: join.line, builds },
            )
        });
    }
    let waiting = waits.iter().map(|w| (&w.commit, view::join::status(state, w)));
    let pushes = state.upstream.latest(TOLD);
    let included = pushes.into_iter().map(|push| (push.here().1, view::join::included(state, push)));
    // Pushes to other repositories may all be about one commit of ours, which says what it waits for before the rest.
    let mut told: BTreeSet<&CommitSha> = BTreeSet::new();
    for (commit, status) in waiting.chain(included) {
        let Some(status) = status.filter(|_| told.insert(commit)) else { continue };
        let key = format!("status:{}:{commit}:{}", state.id.repo, status.context);
        let mut effect = host(state, key, Effect::Status { commit: commit.clone(), status });
        effect.priority = 10;
        effect.group = None;
        owed.push(effect);
    }
}
