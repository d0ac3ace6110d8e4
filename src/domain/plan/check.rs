//! Answers and samples that are owed: each leg that may be asked, and the next sample of each side.

use std::sync::Arc;

use crate::domain::check::course::Course;
use crate::domain::check::ticks::GateStanding;
use crate::domain::check::{BuiltIn, Check, CheckKind, OnTimeout, Side};
use crate::domain::effect::Effect;
use crate::domain::event::RunKind;
use crate::domain::evidence::unsigned;
use crate::domain::name::StageName;
use crate::domain::plan::{Lane, Owed};
use crate::domain::release::{Release, StageState};
use crate::domain::state::{Live, State};
use crate::domain::time::Timestamp;

/// The side of a stage that is sampled now, and which sample it is.
pub fn samples_owed(
    state: &State,
    release: &Release,
    stage: &StageName,
    now: Timestamp,
) -> Option<(Side, u32)> {
    let (rule, run) = release.rule(stage).zip(release.run(stage))?;
    let course = Course { repo: &state.id.repo, release, stage: rule, run };
    let side = if run.state == StageState::Pending && run.kind != RunKind::Rollback {
        Side::Pre
    } else if run.holding().is_some() {
        Side::Hold
    } else if matches!(run.state, StageState::Running | StageState::Paused) {
        Side::Post
    } else if run.state == StageState::Succeeded {
        Side::Watch
    } else {
        return None;
    };
    let wanted = match side {
        Side::Watch => {
            let live = matches!(state.live_at(stage, release.track()), Some(Live::Release(no, _)) if *no == release.no());
            live && run.fault.is_none() && course.watch_ends().is_some_and(|ends| now < ends)
        }
        // What is over ends the wait, and with it the samples.
        Side::Hold => true,
        Side::Pre | Side::Post => match course.gate_standing(side, now) {
            // Who waits for a person goes on looking: it may get well by itself.
            GateStanding::Open(_) | GateStanding::Over(OnTimeout::Pause) => true,
            // In parallel order people may still be missing: green is kept green.
            GateStanding::Green => side == Side::Pre,
            GateStanding::Nothing
            | GateStanding::Closed
            | GateStanding::Over(OnTimeout::Continue | OnTimeout::Reject) => false,
        },
    };
    course.ticks(side).filter(|_| wanted).map(|ticks| (side, ticks.count))
}

/// What is owed for a release that is on its way.
pub(super) fn plan_release(state: &State, release: &Arc<Release>, now: Timestamp, owed: &mut Vec<Owed>) {
    for (stage, runs) in &release.stages {
        let Some((rule, run)) = release.rule(stage).zip(runs.last()) else { continue };
        let course = Course { repo: &state.id.repo, release, stage: rule, run };
        // A contract is read off what is signed, so it is asked about once that is.
        let waits = |check: &Check| check.kind == CheckKind::BuiltIn(BuiltIn::Contract) && unsigned(release);
        for due in course.due().into_iter().filter(|due| !waits(due.check)) {
            let (no, attempt, sample) = (release.no(), run.attempt, due.samples);
            let effect =
                Effect::Leg { release: no, stage: stage.clone(), attempt, leg: due.leg.clone(), sample };
            let key = format!("leg:{}:{no}:{stage}:{attempt}:{}:{sample}", state.id, due.leg);
            let lane = lane(std::iter::once(due.check));
            // Whoever asks for a run that was stopped meanwhile is told to stop, too.
            let cancel = run.state.is_terminal();
            owed.push(asking(key, effect, (lane, due.not_before), cancel));
        }
        if run.state != StageState::Succeeded {
            owed.extend(samples(state, release, stage, now));
        }
    }
}

/// What is owed for releases that are live and watched.
pub(super) fn plan_watches(state: &State, now: Timestamp, owed: &mut Vec<Owed>) {
    for (stage, track) in state.live.keys() {
        let Some(release) = state.live_in(stage, track.as_ref()) else { continue };
        if release.state_in(stage) == Some(StageState::Succeeded) {
            owed.extend(samples(state, release, stage, now));
        }
    }
}

fn samples(state: &State, release: &Release, stage: &StageName, now: Timestamp) -> Option<Owed> {
    let (side, sample) = samples_owed(state, release, stage, now)?;
    let (rule, run) = release.rule(stage).zip(release.run(stage))?;
    let course = Course { repo: &state.id.repo, release, stage: rule, run };
    let (no, attempt) = (release.no(), run.attempt);
    let key = format!("gates:{}:{no}:{stage}:{attempt}:{}:{sample}", state.id, side.word());
    let effect = Effect::Gates { release: no, stage: stage.clone(), attempt, side, sample };
    let lane = lane(course.around(side).on(side).iter());
    Some(asking(key, effect, (lane, course.sample_not_before(side)?), false))
}

/// Commands take a place of their own among the workers; questions wait for others and take next to nothing.
fn lane<'c>(mut checks: impl Iterator<Item = &'c Check>) -> Lane {
    let runs = checks.any(|check| check.kind.runs());
    if runs { Lane::Check } else { Lane::Probe }
}

fn asking(key: String, effect: Effect, (lane, not_before): (Lane, Timestamp), cancel: bool) -> Owed {
    Owed { key, effect, lane, group: None, priority: 0, not_before: Some(not_before), cancel }
}

/// When legs or sides are given up, and watching ends.
pub(super) fn wake_times(state: &State, now: Timestamp, consider: &mut impl FnMut(Timestamp)) {
    for release in state.open() {
        for (stage, runs) in &release.stages {
            let Some((rule, run)) = release.rule(stage).zip(runs.last()) else { continue };
            let course = Course { repo: &state.id.repo, release, stage: rule, run };
            if !run.state.is_terminal() {
                course.deadline().into_iter().for_each(&mut *consider);
                for side in [Side::Pre, Side::Hold, Side::Post] {
                    course.gates_deadline(side).into_iter().for_each(&mut *consider);
                }
            }
        }
    }
    for (stage, track) in state.live.keys() {
        let Some(release) = state.live_in(stage, track.as_ref()) else { continue };
        let Some((rule, run)) = release.rule(stage).zip(release.run(stage)) else { continue };
        let course = Course { repo: &state.id.repo, release, stage: rule, run };
        course.watch_ends().filter(|at| *at > now).into_iter().for_each(&mut *consider);
    }
}
