//! `/override`: on the record, bound to one attempt, and only past what stands in the way now (SEMANTICS §7).

use std::sync::Arc;

use crate::domain::decide::resolve::spoken_here;
use crate::domain::decide::speak::Told;
use crate::domain::decide::{Draft, Spoken};
use crate::domain::event::{Event, Overridable, RunKind};
use crate::domain::gate::{Blocker, verdict};
use crate::domain::name::StageName;
use crate::domain::pipeline::Stage;
use crate::domain::refusal::Refusal;
use crate::domain::release::{Release, StageState};
use crate::domain::view;

impl Draft {
    pub(super) fn pass_over(
        &mut self,
        spoken: &Spoken,
        stage: &StageName,
        check: &Overridable,
        reason: &str,
    ) -> Result<Told, Refusal> {
        if let Overridable::Check(name) = check {
            return self.pass_over_check(spoken, stage, name, reason);
        }
        let mut release = match self.for_action(spoken, stage, |run| run.state == StageState::Pending) {
            Err(Refusal::Nothing { .. }) if *check == Overridable::Deps => {
                self.for_action(spoken, stage, |run| run.state == StageState::SkippedUpstream)?
            }
            found => found?,
        };
        let rule = release.rule(stage).cloned().ok_or(Refusal::Stale)?;
        may_override(spoken, &rule)?;
        match release.state_in(stage) {
            Some(StageState::Pending) => self.in_the_way(&release, &rule, check)?,
            Some(StageState::SkippedUpstream) if *check == Overridable::Deps => {
                release = self.unskip(spoken, &release, stage)?;
            }
            _ => return Err(self.cannot_start(spoken.ask.verb(), &release, stage)),
        }
        self.record(spoken, &release, (&rule, check), reason)
    }

    /// Stores an override, once per person, and says so.
    pub(super) fn record(
        &mut self,
        spoken: &Spoken,
        release: &Release,
        (rule, check): (&Stage, &Overridable),
        reason: &str,
    ) -> Result<Told, Refusal> {
        let stage = &rule.name;
        let Some(run) = release.run(stage) else { return Err(Refusal::Stale) };
        let person = &spoken.standing.person;
        if !run.overrides_of(check).any(|given| given.by.id == person.id) {
            self.add(Event::Overridden {
                release: release.no(),
                stage: stage.clone(),
                attempt: run.attempt,
                check: check.clone(),
                by: person.clone(),
                reason: reason.to_owned(),
                of: rule.overriding.min.max(1),
            })?;
        }
        if spoken_here(release, spoken) {
            // The release's thread gets a comment of its own about every override.
            return Ok(Told::started());
        }
        let run = self.run(release.no(), stage)?;
        let told = run.overrides_of(check).enumerate().last();
        let text = told.map(|(before, last)| view::overriding::told(release, stage, last, before));
        Ok(text.map_or_else(Told::started, Told::text))
    }

    /// Only what stands in the way now can be passed over: nobody overrides in advance.
    fn in_the_way(&self, release: &Release, rule: &Stage, check: &Overridable) -> Result<(), Refusal> {
        let blocker = match check {
            Overridable::Soak => Blocker::Soak,
            Overridable::Deps => Blocker::Deps,
            Overridable::ApprovalTimeout => Blocker::Approval,
            Overridable::Window => Blocker::Window,
            Overridable::Freeze => Blocker::Freeze,
            Overridable::Check(_) => {
                return Err(Refusal::NoCheck { stage: rule.name.clone(), check: check.word().to_owned() });
            }
        };
        let verdict = verdict(&self.state, release, rule, self.now);
        if verdict.blockers().any(|line| line.blocker == blocker) {
            return Ok(());
        }
        Err(Refusal::NotInTheWay { stage: rule.name.clone(), check: check.word().to_owned() })
    }

    /// A stage that was skipped because one before it did not succeed waits again, for the override that follows.
    fn unskip(
        &mut self,
        spoken: &Spoken,
        release: &Release,
        stage: &StageName,
    ) -> Result<Arc<Release>, Refusal> {
        let by = Some(spoken.standing.person.clone());
        let last = self.run(release.no(), stage)?;
        self.open_again(release.no(), stage, RunKind::Deploy, (by, None))?;
        self.carry_on(release.no(), stage, &last)?;
        self.release(release.no())
    }
}

/// Whether the speaker may.
pub(super) fn may_override(spoken: &Spoken, stage: &Stage) -> Result<(), Refusal> {
    if stage.overriding.allows(&spoken.standing) {
        return Ok(());
    }
    Err(Refusal::MayNotOverride { stage: stage.name.clone(), who: stage.overriding.to_string() })
}
