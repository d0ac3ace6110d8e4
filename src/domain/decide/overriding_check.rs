//! `/override` of one check: a leg that is red, or a gate that is not green (SEMANTICS §7).

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::check::course::{Course, Shown};
use crate::domain::check::leg::LegState;
use crate::domain::check::{Check, Side};
use crate::domain::decide::act::is_there;
use crate::domain::decide::overriding::may_override;
use crate::domain::decide::speak::Told;
use crate::domain::decide::{Draft, Spoken};
use crate::domain::event::{Event, Overridable, RunKind};
use crate::domain::name::{CheckName, StageName};
use crate::domain::pipeline::Stage;
use crate::domain::probe::Answer;
use crate::domain::refusal::Refusal;
use crate::domain::release::{Release, StageRun, StageState};
use crate::domain::state::State;

impl Draft {
    pub(super) fn pass_over_check(
        &mut self,
        spoken: &Spoken,
        stage: &StageName,
        name: &CheckName,
        reason: &str,
    ) -> Result<Told, Refusal> {
        let release = self.for_action(spoken, stage, has_asked)?;
        if !release.run(stage).is_some_and(has_asked) {
            return Err(self.cannot_start(spoken.ask.verb(), &release, stage));
        }
        let rule = release.rule(stage).cloned().ok_or(Refusal::Stale)?;
        may_override(spoken, &rule)?;
        let named = |check: &&Check| check.name == *name;
        let declared: Vec<&Check> = declared(&rule, release.run(stage)).filter(named).collect();
        let check = name.to_string();
        if declared.is_empty() {
            return Err(Refusal::NoCheck { stage: stage.clone(), check });
        }
        if declared.iter().any(|declared| !declared.overridable) {
            return Err(Refusal::FixedCheck { stage: stage.clone(), check });
        }
        if !is_in_the_way(&self.state, &release, &rule, name) {
            return Err(Refusal::NotInTheWay { stage: stage.clone(), check });
        }
        let again = self.verify_again(spoken, &release, stage)?;
        self.record(spoken, &again, (&rule, &Overridable::Check(name.clone())), reason)
    }

    /// A verification that is over begins again for the override, without a deploy. It goes on with the same bytes, so
    /// that overrides given so far go along: two red checks could never be passed over otherwise.
    fn verify_again(
        &mut self,
        spoken: &Spoken,
        release: &Arc<Release>,
        stage: &StageName,
    ) -> Result<Arc<Release>, Refusal> {
        let last = self.run(release.no(), stage)?;
        if !last.state.is_terminal() {
            return Ok(Arc::clone(release));
        }
        let over_it = !matches!(last.state, StageState::Failed | StageState::Errored);
        if over_it
            || !is_there(&self.state, release, stage, &last)
            || self.state.outrun_by(release, stage).is_some()
        {
            return Err(self.cannot_start(spoken.ask.verb(), release, stage));
        }
        let kind = if last.kind == RunKind::Rollback { RunKind::Rollback } else { RunKind::Verify };
        self.open_again(release.no(), stage, kind, (Some(spoken.standing.person.clone()), None))?;
        self.carry_on(release.no(), stage, &last)?;
        let attempt = last.attempt.saturating_add(1);
        for given in last.overrides.iter().filter(|o| matches!(o.check, Overridable::Check(_))) {
            self.add(Event::Overridden {
                release: release.no(),
                stage: stage.clone(),
                attempt,
                check: given.check.clone(),
                by: given.by.clone(),
                reason: given.reason.clone(),
                of: given.of,
            })?;
        }
        self.reopen_below(release.no(), stage)?;
        self.release(release.no())
    }
}

/// Whether a run has asked its checks, or does so now, and has not found them all good.
fn has_asked(run: &StageRun) -> bool {
    let again = run.kind == RunKind::Verify && !run.state.is_terminal();
    let asked = run.worked_at.is_some() && run.state != StageState::Succeeded;
    run.state == StageState::Pending || again || asked || run.holding().is_some()
}

/// The checks of a stage, and those of the hold that its run is in.
fn declared<'a>(stage: &'a Stage, run: Option<&'a StageRun>) -> impl Iterator<Item = &'a Check> {
    let held = run.and_then(StageRun::holding);
    let held = held.into_iter().flat_map(|(_, hold)| &hold.gates.post);
    stage.verify.checks().chain(&stage.gates.pre).chain(&stage.gates.post).chain(held)
}

/// The checks that keep a release in a stage and may be passed over now.
pub(in crate::domain) fn in_the_way(state: &State, release: &Release, stage: &Stage) -> BTreeSet<CheckName> {
    let run = release.run(&stage.name).filter(|run| has_asked(run));
    let over = |run: &StageRun| run.state.is_terminal();
    let again = |run: &StageRun| {
        matches!(run.state, StageState::Failed | StageState::Errored)
            && is_there(state, release, &stage.name, run)
            && state.outrun_by(release, &stage.name).is_none()
    };
    let Some(run) = run.filter(|run| !over(run) || again(run)) else { return BTreeSet::new() };
    let may = declared(stage, Some(run)).filter(|check| check.blocking && check.overridable);
    let given = |name: &CheckName| run.overridden(&Overridable::Check(name.clone()), stage).is_some();
    let names = may.map(|check| check.name.clone()).filter(|name| !given(name));
    names.filter(|name| is_in_the_way(state, release, stage, name)).collect()
}

/// Only what was asked and is not good can be passed over: nobody overrides in advance.
fn is_in_the_way(state: &State, release: &Release, rule: &Stage, name: &CheckName) -> bool {
    let Some(run) = release.run(&rule.name) else { return false };
    let course = Course { repo: &state.id.repo, release, stage: rule, run };
    let not_good = |side: Side| {
        course.ticks(side).is_some_and(|ticks| {
            ticks.readings.iter().any(|(leg, r)| leg.check == *name && r.answer != Answer::Pass)
        })
    };
    if run.state == StageState::Pending && run.kind != RunKind::Verify {
        return not_good(Side::Pre);
    }
    if run.holding().is_some() {
        return not_good(Side::Hold);
    }
    // A verification that was begun again for one red check may be passed over for another right away.
    let runs = release.stages.get(&rule.name).map(Vec::as_slice).unwrap_or_default();
    let before = runs.iter().rev().nth(1).filter(|_| run.kind == RunKind::Verify && !run.state.is_terminal());
    let was_red = before.is_some_and(|before| is_red(&Course { run: before, ..course }, name));
    let good = course.legs().iter().any(|(leg, check)| {
        leg.check == *name && matches!(course.shown(leg, check), Shown::Passed | Shown::Overridden)
    });
    is_red(&course, name) || not_good(Side::Pre) || not_good(Side::Post) || (was_red && !good)
}

/// Whether a leg of the check blocks and is not good, as far as it was asked.
fn is_red(course: &Course<'_>, name: &CheckName) -> bool {
    let legs = course.legs();
    let mut mine = legs.iter().filter(|(leg, check)| leg.check == *name && check.blocking);
    mine.any(|(leg, check)| match course.shown(leg, check) {
        Shown::Failed | Shown::Inconclusive | Shown::Error => true,
        Shown::Running | Shown::Skipped => {
            let so_far = course.leg(leg).filter(|l| l.state == LegState::Running);
            so_far.is_some_and(|l| l.reading.answer != Answer::Pass)
        }
        Shown::Waiting | Shown::Passed | Shown::Overridden => false,
    })
}
