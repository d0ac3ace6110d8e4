//! What comes before a stage: which stages let a release on, and which never will (SEMANTICS §2, invariant I5).

use std::collections::BTreeSet;

use super::{Blocker, Line, Look, Mark, either, line};
use crate::domain::event::Overridable;
use crate::domain::name::StageName;
use crate::domain::pipeline::{Duty, Stage};
use crate::domain::release::{Release, StageState};
use crate::domain::time::Timestamp;

impl Look<'_> {
    pub(super) fn deps(&self) -> Vec<Line> {
        if let Some(passed) = self.overridden(&Overridable::Deps) {
            return vec![line(Blocker::Deps, Mark::Pass, format!("deps overridden by {}", passed.by.login))];
        }
        self.stage.needs.iter().map(|need| self.dep(need)).chain(self.any_dep(self.stage)).collect()
    }

    fn dep(&self, need: &StageName) -> Line {
        match state_of(self.release, need) {
            Some(StageState::Succeeded) => {
                if let Some(fault) = self.fault_of(need) {
                    let next = Some(format!("somebody with write comments `/retry {need}`"));
                    let text = format!("{need} was found faulty: {fault}");
                    return Line { next, ..line(Blocker::Deps, Mark::Stop, text) };
                }
                let run = self.release.standing(need);
                let same = run.is_none_or(|run| run.revision == self.release.revision());
                let what = if same { "this artifact" } else { "what this artifact was made of" };
                line(Blocker::Deps, Mark::Pass, format!("{need} succeeded with {what}"))
            }
            Some(state) => {
                if let Some(spared) = spared(self.release, need) {
                    // An optional stage opens nothing that is closed before it.
                    let Before { needs, ways, .. } = reached(self.release, spared);
                    let ways = ways.into_iter().filter_map(|stage| self.any_dep(stage));
                    let before = needs.into_iter().map(|need| self.dep(need)).chain(ways);
                    let mut closed = before.filter(|line| line.mark != Mark::Pass);
                    let pass =
                        || line(Blocker::Deps, Mark::Pass, format!("{need} is optional: {}", state.word()));
                    return closed.next().unwrap_or_else(pass);
                }
                let text = format!("{need} must succeed first: {}", state.word());
                if !state.is_bad_end() {
                    return line(Blocker::Deps, Mark::Wait, text);
                }
                let next = Some(format!("somebody with write comments `/retry {need}`"));
                Line { next, ..line(Blocker::Deps, Mark::Stop, text) }
            }
            None => line(Blocker::Deps, Mark::Wait, format!("{need} must succeed first: not reached")),
        }
    }

    /// One of `needs_any` is enough: only a success, also where they are optional.
    fn any_dep(&self, stage: &Stage) -> Option<Line> {
        let ways = &stage.needs_any;
        if ways.is_empty() {
            return None;
        }
        if let Some(need) = ways.iter().find(|need| self.is_good(need)) {
            return Some(self.dep(need));
        }
        let found = ways.iter().map(|need| match (self.fault_of(need), state_of(self.release, need)) {
            (Some(fault), _) => format!("{need} was found faulty: {fault}"),
            (None, Some(state)) => format!("{need} {}", state.word()),
            (None, None) => format!("{need} not reached"),
        });
        let text = format!(
            "{} must succeed first: {}",
            either(ways.iter().map(ToString::to_string)),
            found.collect::<Vec<_>>().join(", ")
        );
        if ways.iter().any(|need| state_of(self.release, need).is_none_or(|state| !state.is_terminal())) {
            return Some(line(Blocker::Deps, Mark::Wait, text));
        }
        let retries = either(ways.iter().map(|need| format!("`/retry {need}`")));
        let next = Some(format!("somebody with write comments {retries}"));
        Some(Line { next, ..line(Blocker::Deps, Mark::Stop, text) })
    }

    /// Whether a stage of `needs_any` lets the release on.
    pub(super) fn is_good(&self, need: &StageName) -> bool {
        state_of(self.release, need) == Some(StageState::Succeeded) && self.fault_of(need).is_none()
    }

    /// When everything before the stage was over, what it comes from itself soaked, and the first of several was good:
    /// also what counts in the place of a spared stage, which may have ended long before that.
    pub(super) fn let_on_at(&self) -> Option<Timestamp> {
        let soaks = self.overridden(&Overridable::Soak).is_none();
        let over = |need: &StageName| {
            let at = self.release.standing(need).filter(|run| run.state.is_terminal())?.moved_at;
            let soaks = soaks && self.stage.comes_from().any(|from| from == need);
            let soaked = soaks.then(|| self.has_soaked(need).unwrap_or_else(|| at.plus(self.stage.soak)));
            Some(soaked.map_or(at, |soaked| soaked.max(at)))
        };
        let good = |need: &&StageName| self.is_good(need);
        let Before { needs, ways, spared } = reached(self.release, self.stage);
        let ways =
            ways.into_iter().filter_map(|way| way.needs_any.iter().filter(good).filter_map(over).min());
        let spared =
            spared.into_iter().filter_map(|spared| Some(self.release.standing(&spared.name)?.moved_at));
        needs.into_iter().filter_map(over).chain(ways).chain(spared).max()
    }

    /// What was found bad about the release in a stage before, once it was live there.
    fn fault_of(&self, need: &StageName) -> Option<String> {
        let fault = self.release.standing(need)?.fault.as_ref()?;
        Some(format!("{} says {}", fault.gate, fault.detail))
    }
}

/// How far a release is in a stage before.
fn state_of(release: &Release, stage: &StageName) -> Option<StageState> {
    release.standing(stage).map(|run| run.state)
}

/// The stage, when it is over without a success and need not have succeeded: what it needs itself counts in its place.
/// One in which a newer release took the turn is not: the newer one takes it further on, too (SEMANTICS §4).
fn spared<'r>(release: &'r Release, need: &StageName) -> Option<&'r Stage> {
    let over = |state: StageState| {
        state.is_terminal() && !matches!(state, StageState::Succeeded | StageState::Superseded)
    };
    state_of(release, need).filter(|state| over(*state))?;
    release.rule(need).filter(|stage| stage.duty == Duty::Optional)
}

/// What a stage waits for, with what spared stages wait for in their place.
#[derive(Default)]
struct Before<'r> {
    /// The stages that it needs, none of them spared.
    needs: Vec<&'r StageName>,
    /// The stages that need one of several.
    ways: Vec<&'r Stage>,
    /// The stages that are spared.
    spared: Vec<&'r Stage>,
}

/// Each is looked at once, however many ways lead to it.
fn reached<'r>(release: &'r Release, stage: &'r Stage) -> Before<'r> {
    let (mut before, mut seen, mut open) = (Before::default(), BTreeSet::new(), vec![stage]);
    while let Some(stage) = open.pop() {
        if !stage.needs_any.is_empty() {
            before.ways.push(stage);
        }
        for need in stage.needs.iter().filter(|need| seen.insert(*need)) {
            match spared(release, need) {
                Some(spared) => {
                    before.spared.push(spared);
                    open.push(spared);
                }
                None => before.needs.push(need),
            }
        }
    }
    before
}

/// The stages before that keep a release from ever coming here: one that it needs, or all of those of which it needs
/// one.
pub(in crate::domain) fn dead_ends<'r>(release: &'r Release, stage: &'r Stage) -> Vec<&'r StageName> {
    let Before { needs, ways, .. } = reached(release, stage);
    let is_dead = |need: &&StageName| state_of(release, need).is_some_and(StageState::is_bad_end);
    if let Some(dead) = needs.into_iter().find(is_dead) {
        return vec![dead];
    }
    let over = |need: &StageName| {
        state_of(release, need).is_some_and(|state| state.is_terminal() && state != StageState::Succeeded)
    };
    let closed = ways.into_iter().find(|stage| stage.needs_any.iter().all(over));
    closed.map_or_else(Vec::new, |stage| stage.needs_any.iter().collect())
}
