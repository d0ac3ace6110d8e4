//! What is owed between pipelines: telling how a build ended, and making the release that builds join into.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::effect::Effect;
use crate::domain::name::PipelineName;
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
    for to in listening {
        let (no, attempt) = (release.no(), release.build_attempt);
        owed.push(Owed {
            lane: Lane::Timer,
            group: None,
            // A time that stays: an effect of this lane is owed again when its time changes.
            not_before: Some(release.built_at.unwrap_or(release.at)),
            ..host(
                state,
                format!("announce:{}:{no}:{attempt}:{to}", state.id),
                Effect::Announce { release: no, attempt, to: to.clone() },
            )
        });
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
    let pushes = pushes.into_iter().filter(|push| waits.iter().all(|w| w.commit != push.commit));
    for (commit, status) in waiting.chain(pushes.map(|p| (&p.commit, view::join::included(state, p)))) {
        let Some(status) = status else { continue };
        let key = format!("status:{}:{commit}:{}", state.id.repo, status.context);
        let mut effect = host(state, key, Effect::Status { commit: commit.clone(), status });
        effect.priority = 10;
        effect.group = None;
        owed.push(effect);
    }
}
