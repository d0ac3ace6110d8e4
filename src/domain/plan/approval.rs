//! Asking people: requests with their offers, reminders, and reading back who signed off.

use crate::domain::approval::{asked as rule_of, tally};
use crate::domain::effect::{Effect, Offering, Place};
use crate::domain::event::ApprovalSide;
use crate::domain::gate::{Blocker, Wait, approvals_end, verdict, waits_since};
use crate::domain::pipeline::{ApprovalRule, Stage};
use crate::domain::plan::{Owed, host, note_effect};
use crate::domain::release::{Release, StageRun, StageState};
use crate::domain::state::State;
use crate::domain::time::{Span, Timestamp};
use crate::domain::view::request;

/// How long before the end of a wait people are reminded for the last time.
const LAST_CALL: Span = Span::hours(24);

/// Whether people are asked for something now.
pub(in crate::domain) fn is_asked(
    state: &State,
    release: &Release,
    (stage, run): (&Stage, &StageRun),
    now: Timestamp,
) -> bool {
    let wanted = run.state == StageState::AwaitingSignoff
        || (run.state == StageState::Pending && wants_approval(state, release, stage, now));
    wanted && rule_of(stage, run).is_some()
}

/// The request for what a run waits for now, and its reminder when one is due.
pub(super) fn asked(
    state: &State,
    release: &Release,
    (stage, run): (&Stage, &StageRun),
    (place, now): (&Place, Timestamp),
) -> Vec<Owed> {
    let asks = is_asked(state, release, (stage, run), now);
    let Some(rule) = rule_of(stage, run).filter(|_| asks) else { return Vec::new() };
    let key = key(state, release, (stage, run));
    let ends = approvals_end(state, (release, stage, run), now);
    let offers =
        Offering { release: release.no(), stage: stage.name.clone(), attempt: run.attempt, side: run.side() };
    let body = request::needed(state, release, (stage, run), ends);
    let mut owed = vec![note_effect(state, (format!("offer:{key}"), place, body), Some(offers))];
    let since = waits_since(state, (release, stage, run), now);
    let due = reminders(&rule, since).into_iter().rfind(|(_, at)| *at <= now);
    if let Some(((word, _), ends)) = due.zip(ends) {
        let body = request::reminder(release, (stage, run), &rule, ends);
        owed.push(note_effect(state, (format!("remind-{word}:{key}"), place, body), None));
    }
    owed
}

/// Once everybody has signed off, the host is asked whether they still may (THREATS T28); without a place to speak
/// about the release, too.
pub(super) fn confirmation(
    state: &State,
    release: &Release,
    (stage, run): (&Stage, &StageRun),
    now: Timestamp,
) -> Option<Owed> {
    if run.state != StageState::AwaitingSignoff {
        return None;
    }
    let complete = rule_of(stage, run).is_none_or(|rule| tally(&rule, release, run, now).complete());
    complete.then(|| {
        // One look for each set of sign-offs: who is struck from the list and comes again is looked at again.
        let looked = run.signoffs.len().saturating_add(run.withdrawn.len());
        let key = format!("confirm:{}:{looked}", key(state, release, (stage, run)));
        let effect =
            Effect::Confirm { release: release.no(), stage: stage.name.clone(), attempt: run.attempt };
        let mut owed = host(state, key, effect);
        owed.priority = 20;
        owed.group = None;
        owed
    })
}

/// The times at which something about the wait for people changes by itself.
pub(super) fn times(state: &State, (release, stage, run): Wait<'_>, now: Timestamp) -> Vec<Timestamp> {
    let Some(rule) = rule_of(stage, run) else { return Vec::new() };
    let mut times: Vec<Timestamp> = run.given(run.side()).iter().map(|a| a.at.plus(rule.valid_for)).collect();
    let wait = (release, stage, run);
    if let Some(ends) = approvals_end(state, wait, now) {
        times.push(ends);
        times.extend(reminders(&rule, waits_since(state, wait, now)).into_iter().map(|(_, at)| at));
    }
    times
}

fn key(state: &State, release: &Release, (stage, run): (&Stage, &StageRun)) -> String {
    let side = match run.side() {
        ApprovalSide::Before => "",
        ApprovalSide::After => ":signoff",
    };
    format!("{}:{}:{}:{}{side}", state.id, release.no(), stage.name, run.attempt)
}

/// When people are reminded, in order; a wait of two days or less is reminded of once.
fn reminders(rule: &ApprovalRule, since: Timestamp) -> Vec<(&'static str, Timestamp)> {
    let mut times = vec![("half", since.plus(rule.timeout.half()))];
    let last_day = rule.timeout.as_millis().checked_sub(LAST_CALL.as_millis());
    if let Some(before) = last_day.filter(|before| *before > rule.timeout.half().as_millis()) {
        times.push(("last", since.plus(Span::millis(before))));
    }
    times
}

/// What does not keep people from approving in advance (SEMANTICS §2).
const ADVANCE: &[Blocker] = &[
    Blocker::Approval,
    Blocker::Hold,
    Blocker::Soak,
    Blocker::Retry,
    Blocker::Window,
    Blocker::Freeze,
    Blocker::Gate,
];

/// People are asked once the stage waits for them and for nothing else that must come first.
fn wants_approval(state: &State, release: &Release, stage: &Stage, now: Timestamp) -> bool {
    let verdict = verdict(state, release, stage, now);
    let missing = verdict.blockers().any(|l| l.blocker == Blocker::Approval);
    missing && verdict.blocked_only_by(ADVANCE)
}
