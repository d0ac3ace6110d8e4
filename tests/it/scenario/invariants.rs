//! What must hold in every state and at every step, whatever happens (SEMANTICS §2, I1 to I7, and §12).

use std::collections::BTreeSet;

use liftlock::domain::approval::{rule_for, signoff_for, tally};
use liftlock::domain::decide::{Command, decide};
use liftlock::domain::effect::Effect;
use liftlock::domain::event::{Event, Overridable, RunKind};
use liftlock::domain::gate::{Mark, verdict};
use liftlock::domain::name::{EnvironmentName, StageName};
use liftlock::domain::pipeline::{Duty, Stage};
use liftlock::domain::plan::plan;
use liftlock::domain::release::{BuildState, Release, StageState, Transition};
use liftlock::domain::state::State;
use liftlock::domain::time::Timestamp;
use liftlock::domain::track::Track;
use liftlock::domain::window::{self, Half};

/// Holds an event against the state it comes upon.
pub(crate) fn before_event(state: &State, event: &Event, now: Timestamp) {
    let Event::StageMoved { release, stage, transition, to, .. } = event else { return };
    let release = state.release(*release).expect("a move of a known release");
    let run = release.run(stage).expect("a move of a known run");
    assert!(!run.state.is_terminal(), "I4: {stage} is {:?} and moves to {to:?}", run.state);
    if *to == StageState::Superseded {
        assert!(run.state.waits(), "I3: {:?} was superseded", run.state);
        assert_ne!(run.kind, RunKind::Rollback, "a rollback makes no way");
    }
    if *to == StageState::Succeeded {
        let rule = release.rule(stage).unwrap();
        let asks = signoff_for(rule, run.kind);
        let signed = asks.is_none_or(|r| {
            run.state == StageState::AwaitingSignoff && tally(&r, release, run, now).complete()
        });
        assert!(signed, "I2: {} is live in {stage} without its sign-offs", release.created.version);
    }
    if *transition != Transition::LockAcquired {
        return;
    }
    assert_eq!(release.build, BuildState::Sealed, "nothing starts without the artifact");
    assert!(release.digest.is_some() && !release.artifacts.is_empty());
    let rule = release.rule(stage).unwrap();
    let approved = rule_for(rule, run).is_none_or(|r| tally(&r, release, run, now).complete());
    assert!(approved, "I2: {} starts in {stage} without its approvals", release.created.version);
    let rolls_back = run.kind == RunKind::Rollback && rule.rollback_ignores_windows;
    let frozen =
        state.freezes_on(stage, now).next().is_some() || !window::open(&rule.windows, Half::Deny, now);
    let frozen = frozen && run.overridden(&Overridable::Freeze, rule).is_none();
    assert!(rolls_back || !frozen, "{stage} starts while it is frozen");
    let shut = !window::open(&rule.windows, Half::Allow, now);
    let shut = shut && run.overridden(&Overridable::Window, rule).is_none();
    assert!(rolls_back || !shut, "{stage} starts outside of its window");
    assert!(!state.vetoes.contains_key(&(stage.clone(), release.no())), "I6: a vetoed run starts");
    let held = state.hold_on(stage, release.track()).is_some_and(|hold| hold.by.is_some());
    let by_hand = run.kind == RunKind::Rollback && run.by.is_some();
    assert!(by_hand || !held, "{stage} starts while somebody holds it");
    if run.kind == RunKind::Rollback {
        let good = release
            .stages
            .get(stage)
            .is_some_and(|runs| runs.iter().any(|r| r.state == StageState::Succeeded));
        assert!(good, "a rollback goes to what succeeded here");
        return;
    }
    if run.overridden(&Overridable::Deps, rule).is_none() {
        let version = &release.created.version;
        assert!(came_through(release, rule), "I5: {version} starts in {stage}, and has not come that far");
    }
    let newer = state.releases.values().find(|r| {
        r.follows(release)
            && r.stages
                .get(stage)
                .is_some_and(|runs| runs.iter().any(|run| run.state == StageState::Succeeded))
    });
    assert!(newer.is_none(), "I7: {} starts over a newer one", release.created.version);
}

/// Whether everything before a stage succeeded; behind an optional one that did not, everything before that.
fn came_through(release: &Release, stage: &Stage) -> bool {
    // A rollback that ended before it began is no step back.
    let stands = |need: &StageName| release.standing(need).map(|run| run.state);
    let succeeded = |need: &StageName| stands(need) == Some(StageState::Succeeded);
    let spared = |need: &StageName| {
        let (rule, state) = (release.rule(need).unwrap(), stands(need).unwrap());
        let over = state.is_terminal() && state != StageState::Superseded;
        rule.duty == Duty::Optional && over && came_through(release, rule)
    };
    stage.needs.iter().all(|need| succeeded(need) || spared(need))
        && (stage.needs_any.is_empty() || stage.needs_any.iter().any(succeeded))
}

/// Holds a state against the one before it.
pub(crate) fn after_step(before: &State, after: &State, now: Timestamp) {
    let mut occupied: Vec<(&EnvironmentName, &Option<Track>)> = Vec::new();
    for release in after.releases.values() {
        for (stage, runs) in &release.stages {
            if runs.last().is_some_and(|run| run.state.occupies()) {
                let (environment, track) = (release.rule(stage).unwrap().lock(), &release.created.track);
                let mut beside = occupied.iter().filter(|(other, _)| *other == environment);
                let apart = beside.all(|(_, other)| other.is_some() && track.is_some() && *other != track);
                assert!(apart, "I1: two runs in one environment that are not of two services");
                occupied.push((environment, track));
            }
            explains_itself(after, release, stage, now);
        }
        let old = before.release(release.no());
        if let Some(digest) = old.and_then(|r| r.digest.as_ref()) {
            assert_eq!(release.digest.as_ref(), Some(digest), "a digest never changes");
        }
        if let Some(old) = old {
            assert_eq!(old.created, release.created, "a release is never edited");
        }
    }
    let again = decide(after, &Command::Tick, now).expect("a tick is always taken");
    assert_eq!(again, [], "everything that follows by itself has followed");
    plan_is_sound(after, now);
}

/// Every wait has a line that says who can do what, or until when, or on what it depends.
fn explains_itself(state: &State, release: &Release, stage: &StageName, now: Timestamp) {
    let run = release.run(stage).unwrap();
    if !run.state.asks() {
        return;
    }
    let verdict = verdict(state, release, release.rule(stage).unwrap(), now);
    if run.state == StageState::Queued {
        assert!(verdict.open(), "{stage} is queued and something blocks it");
        return;
    }
    assert!(!verdict.open(), "{stage} is pending and nothing blocks it");
    for line in verdict.blockers() {
        assert!(!line.text.is_empty());
        let says = line.mark == Mark::Wait || line.next.is_some();
        assert!(
            says,
            "{:?} of {} in {stage} leads nowhere: {}",
            line.blocker, release.created.version, line.text
        );
    }
}

fn plan_is_sound(state: &State, now: Timestamp) {
    let plan = plan(state, now);
    let mut keys = BTreeSet::new();
    let mut effects = BTreeSet::new();
    for owed in &plan.owed {
        assert!(keys.insert(owed.key.clone()), "{} is owed twice", owed.key);
        let text = serde_json::to_string(&owed.effect).unwrap();
        assert!(effects.insert(text), "{} is owed under another key too", owed.key);
        match &owed.effect {
            Effect::Status { status, .. } => {
                assert!(status.description.chars().count() <= 140, "{}", status.description);
                assert!(!status.description.is_empty());
            }
            Effect::Note { body, .. } | Effect::Sticky { body, .. } => {
                assert!(!body.starts_with(['/', '@']), "{body}");
            }
            _ => {}
        }
    }
}

/// Between now and the next timer, looking again gives the same: no timer is missing.
pub(crate) fn nothing_changes_before(state: &State, now: Timestamp, later: Timestamp) {
    let events = decide(state, &Command::Tick, later).expect("a tick is always taken");
    assert_eq!(
        events,
        [],
        "something happens between {} and {} without a timer",
        now.rfc3339(),
        later.rfc3339()
    );
    let strip = |at| {
        let plan = plan(state, at);
        plan.owed.into_iter().map(|o| (o.key, serde_json::to_string(&o.effect).unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(strip(now), strip(later), "what is owed changes without a timer");
}

/// The log alone gives the same state, in whatever portions it is read.
pub(crate) fn replays(log: &[(Timestamp, Event)], state: &State, now: Timestamp) {
    let mut folded = State::new(state.id.clone());
    for (index, (at, event)) in log.iter().enumerate() {
        let text = serde_json::to_string(event).unwrap();
        let event: Event = serde_json::from_str(&text).expect("an event reads back");
        folded.apply(&event, *at).expect("a stored event applies");
        if index % 7 == 0 {
            folded = folded.clone();
        }
    }
    assert_eq!(format!("{folded:?}"), format!("{state:?}"), "fold(events) is the state");
    assert_eq!(plan(&folded, now), plan(state, now), "plan reads state only");
}
