//! Which notices are owed: what is true now and somebody asked to be told of (row E06).

use crate::domain::effect::{Effect, Place};
use crate::domain::event::{Detail, RunKind};
use crate::domain::notice::{Fact, Notice, Notify, Route, Topic};
use crate::domain::plan::{Lane, Owed, approval, note_effect};
use crate::domain::release::{BuildState, Ending, Release, ReleaseState, StageState};
use crate::domain::state::State;
use crate::domain::time::Timestamp;
use crate::domain::view::{notice, overriding};

/// What a release has to be told of. Its own manifest says to whom, so that who is added later does not hear of
/// everything that was before.
pub(super) fn plan_release(state: &State, release: &Release, now: Timestamp, owed: &mut Vec<Owed>) {
    let notify = &release.created.pipeline.notify;
    if notify.is_empty() || release.build == BuildState::NotNeeded {
        return;
    }
    for (topic, fact) in facts(state, release, now) {
        tell(state, (notify, release.place.as_ref()), (topic, &fact), owed);
    }
}

/// What a pipeline has to be told of: freezes and holds, by the rules in force.
pub(super) fn plan_pipeline(state: &State, owed: &mut Vec<Owed>) {
    let Some(pipeline) = state.pipeline().filter(|pipeline| !pipeline.notify.is_empty()) else { return };
    let freezes = state.freezes.iter().map(|(stage, freeze)| (Topic::Freeze, stage, freeze.since));
    let holds = state.holds.iter().map(|((stage, _), hold)| (Topic::Hold, stage, hold.since));
    for (topic, stage, since) in freezes.chain(holds) {
        let fact = Fact::Stage { stage: stage.clone(), since: since.0 };
        tell(state, (&pipeline.notify, None), (topic, &fact), owed);
    }
}

fn tell(
    state: &State,
    (notify, place): (&[Notify], Option<&Place>),
    (topic, fact): (Topic, &Fact),
    owed: &mut Vec<Owed>,
) {
    for entry in notify.iter().filter(|entry| entry.events.contains(&topic)) {
        let key =
            format!("notice:{}:{}:{}:{fact}:{}", entry.to, state.id, topic.word(), entry.audience.word());
        match (&entry.to, place) {
            (Route::Server(to), _) => {
                let notice = Notice { to: to.clone(), topic, fact: fact.clone(), audience: entry.audience };
                owed.push(Owed {
                    key,
                    effect: Effect::Notify(notice),
                    lane: Lane::Notify,
                    // One after another, so that a place hears of things in their order.
                    group: Some(format!("notice:{to}")),
                    priority: 0,
                    not_before: None,
                    cancel: false,
                });
            }
            // Its thread has a comment about most things, whoever asked; a second one would say it twice.
            (Route::Issue, Some(place)) if !topic.is_told_on_the_thread() => {
                let body =
                    notice::message(state, topic, fact, entry.audience).map(|message| message.markdown());
                owed.extend(body.map(|body| note_effect(state, (key, place, body), None)));
            }
            (Route::Issue, Some(_) | None) => {}
        }
    }
}

/// Everything about a release that is true now and worth a notice.
fn facts(state: &State, release: &Release, now: Timestamp) -> Vec<(Topic, Fact)> {
    let no = release.no();
    let whole = || Fact::Release { release: no, attempt: release.build_attempt };
    let mut facts = Vec::new();
    if matches!(&release.build, BuildState::Failed(detail) if !matches!(detail, Detail::By { .. })) {
        facts.push((Topic::Failed, whole()));
    }
    if release.state() == ReleaseState::Released {
        facts.push((Topic::Released, whole()));
    }
    for stage in &release.rules.stages {
        let Some(run) = release.run(&stage.name) else { continue };
        let about = |nth| Fact::Run { release: no, stage: stage.name.clone(), attempt: run.attempt, nth };
        if approval::is_asked(state, release, (stage, run), now) {
            let nth = usize::from(run.state == StageState::AwaitingSignoff);
            facts.push((Topic::ApprovalRequested, about(nth)));
        }
        let ended = run.state.ending().and_then(|ending| match ending {
            Ending::Live if run.kind == RunKind::Rollback => Some(Topic::RolledBack),
            Ending::Live => Some(Topic::Deployed),
            Ending::Rejected => Some(Topic::Rejected),
            Ending::Failed => Some(Topic::Failed),
            Ending::Dropped => None,
        });
        facts.extend(ended.map(|topic| (topic, about(0))));
        if run.fault.is_some() {
            facts.push((Topic::Faulty, about(0)));
        }
        facts.extend(overriding::of_run(run).enumerate().map(|(nth, _)| (Topic::Override, about(nth))));
    }
    facts
}
