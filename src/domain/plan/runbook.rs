//! What is owed for runbooks: their work, a comment on how each ended, and the next time to look.

use crate::domain::effect::Effect;
use crate::domain::plan::{Lane, Owed, lock, note_effect};
use crate::domain::runbook::run::{Progress, Run};
use crate::domain::runbook::wait;
use crate::domain::state::{State, TOLD_AFTER};
use crate::domain::time::Timestamp;
use crate::domain::view::runbook::over;

/// Work of runs that may run now, and comments on runs that are over.
pub(super) fn owe(state: &State, now: Timestamp, owed: &mut Vec<Owed>) {
    for run in state.runbooks.all.values() {
        let may_run = match &run.progress {
            Progress::Waiting => wait::waits(state, run, now).is_empty(),
            Progress::Running(_) | Progress::Stopping(..) => true,
            Progress::Over(_) => false,
        };
        if may_run {
            owed.push(work(state, run));
        }
        let recent = state.version.saturating_sub(run.touched) < TOLD_AFTER;
        if let (Progress::Over(outcome), Some(place), true) = (&run.progress, &run.asked.place, recent) {
            let marker = format!("runbook:{}:{}", state.id, run.no());
            owed.push(note_effect(state, (marker, place, over(run, outcome)), None));
        }
    }
}

fn work(state: &State, run: &Run) -> Owed {
    // What it has of other environments is seen when it begins.
    let group = match run.asked.environments.first() {
        Some(environment) => lock::name(state, environment),
        None => format!("runbook:{}:{}", state.id, run.runbook().name),
    };
    Owed {
        key: format!("runbook-work:{}:{}:{}", state.id, run.no(), run.turn),
        effect: Effect::Runbook { run: run.no(), turn: run.turn },
        lane: Lane::Deploy,
        group: Some(group),
        priority: 0,
        not_before: None,
        cancel: matches!(run.progress, Progress::Stopping(..)),
    }
}

/// Every time at which something about runbooks changes by itself.
pub(super) fn times(state: &State, now: Timestamp) -> Vec<Timestamp> {
    let timers = state.runbooks.timers.values();
    let mut times: Vec<Timestamp> =
        timers.filter_map(|timer| timer.schedule.next_after(timer.since.max(now))).collect();
    for run in state.runbooks.open() {
        times.extend(wait::times(state, run, now));
        times.extend(run.expires().filter(|_| !run.missing(now).is_empty()));
        let valid_for = run.runbook().approval.as_ref().map(|rule| rule.valid_for);
        times.extend(valid_for.iter().flat_map(|span| run.approvals.iter().map(|a| a.at.plus(*span))));
    }
    times
}
