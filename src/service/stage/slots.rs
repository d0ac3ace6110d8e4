//! The deploy of a stage with two slots: beside what is live, then in its place, and back if it is not good there.

use tokio_util::sync::CancellationToken;

use crate::domain::event::{Failure, RunKind};
use crate::domain::name::SlotName;
use crate::domain::pause::Question;
use crate::domain::pipeline::strategy::BlueGreen;
use crate::domain::pipeline::{Stage, Step, Strategy};
use crate::domain::progress::Phase;
use crate::domain::release::Release;
use crate::domain::rollout;
use crate::domain::slot::{Choice, Said};
use crate::domain::state::State;
use crate::runner::Stops;
use crate::service::stage::roll::Left;
use crate::service::stage::{ALWAYS, Walk};
use crate::service::steps::{KeptLog, StepsEnd};
use crate::trouble::Outcome;

/// The slot that commands work on.
pub(crate) const SLOT: &str = "LIFTLOCK_SLOT";
/// The other one, when it holds a release.
const OTHER: &str = "LIFTLOCK_OTHER_SLOT";

/// What a stage with slots goes by: its own command, and what the strictest rules ask around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    /// Those of the release's commit, with the values of its variables.
    pub(super) own: &'a BlueGreen,
    /// The strictest.
    pub(super) strict: &'a BlueGreen,
}

impl Walk<'_> {
    /// Fills the slot that is not live, asks about it, makes it the live one, and stops to watch it. Who comes back
    /// with a no switches back.
    pub(super) async fn deploy_to_slot(
        &mut self,
        rules: Rules<'_>,
        (steps, left): (&[Step], Left<'_>),
        kept: &mut KeptLog,
    ) -> Outcome<()> {
        if self.course.asked.as_ref().is_some_and(|asked| asked.at.0 == Phase::Deploy) {
            return self.back(rules.own, kept).await;
        }
        if self.end != StepsEnd::Passed {
            return Ok(());
        }
        let Some(choice) = self.course.slot.clone() else { return Ok(()) };
        if !self.note(Said::Chosen(choice.clone()), kept).await? {
            return Ok(());
        }
        self.tell_of_slots(&choice.slot, choice.other.as_ref());
        if choice.fill {
            kept.log.note(&format!("slot {}", choice.slot)).await;
            self.all(steps, left, kept).await?;
            if self.end != StepsEnd::Passed || !self.note(Said::Filled, kept).await? {
                return Ok(());
            }
        } else {
            kept.log.note(&format!("slot {} holds the release already", choice.slot)).await;
        }
        let goes_back = self.course.kind == RunKind::Rollback;
        if choice.switch {
            let asks = choice.fill || !goes_back;
            if asks && !self.is_good(rules.strict, left, kept).await? {
                return Ok(());
            }
            if !self.switch((&choice.slot, choice.other.as_ref()), rules.own, kept).await? {
                return Ok(());
            }
        }
        match Question::kept(&choice.slot, rules.strict).filter(|_| !goes_back) {
            Some(question) => self.hold(question, kept).await,
            None => Ok(()),
        }
    }

    /// Whoever said no behind the switch: what was live before is made so again.
    async fn back(&mut self, rule: &BlueGreen, kept: &mut KeptLog) -> Outcome<()> {
        let Some(at) = self.rollout.slot.clone() else { return Ok(()) };
        let Some(back) = at.back().filter(|_| self.end != StepsEnd::Passed) else { return Ok(()) };
        self.tell_of_slots(back, Some(&at.choice.slot));
        self.switch((back, Some(&at.choice.slot)), rule, kept).await.map(drop)
    }

    fn tell_of_slots(&mut self, slot: &SlotName, other: Option<&SlotName>) {
        self.environment.insert(SLOT.to_owned(), slot.to_string());
        self.environment.insert(OTHER.to_owned(), other.map_or_else(String::new, ToString::to_string));
    }

    /// What is asked of a slot before it is made the live one.
    async fn is_good(&mut self, rule: &BlueGreen, left: Left<'_>, kept: &mut KeptLog) -> Outcome<bool> {
        for check in &rule.before {
            match self.healthy(check, left, kept).await? {
                Some(Ok(())) => {}
                Some(Err(how)) => {
                    let step = check.name.to_string();
                    self.end =
                        StepsEnd::Failed(Failure { step, how: kept.mask.apply(&how), tail: Vec::new() });
                    return Ok(false);
                }
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Makes a slot the live one; false when it is not, or nobody knows. Only its own limit ends the command: stopped
    /// half-way it would leave nobody knowing.
    async fn switch(
        &mut self,
        (to, other): (&SlotName, Option<&SlotName>),
        rule: &BlueGreen,
        kept: &mut KeptLog,
    ) -> Outcome<bool> {
        if self.end == StepsEnd::Passed && self.course.lease.stops().cancel.is_cancelled() {
            self.end = StepsEnd::Stopped;
            return Ok(false);
        }
        if !self.note(Said::Switching(to.clone()), kept).await? {
            return Ok(false);
        }
        self.tell_of_slots(to, other);
        let run = self.run(&self.course.deploy_in, &self.environment);
        let stops = Stops { cancel: CancellationToken::new(), lost: self.course.lease.stops().lost.clone() };
        let own = || rule.switch.terms.timeout.unwrap_or(ALWAYS);
        let ran = self.service.run_step((&rule.switch, &run), &own, kept, &stops).await;
        let failure = |how| Failure { step: rule.switch.name.clone(), how, tail: Vec::new() };
        let failure = match ran {
            Ok(StepsEnd::Passed) => return self.note(Said::Switched(to.clone()), kept).await,
            Ok(StepsEnd::Lost) => {
                self.end = StepsEnd::Lost;
                return Ok(false);
            }
            Ok(StepsEnd::Failed(failure) | StepsEnd::TimedOut(failure)) => failure,
            Ok(StepsEnd::Stopped | StepsEnd::Paused(_)) => failure("was stopped".to_owned()),
            Err(trouble) => failure(kept.mask.apply(&format!("could not be run: {}", trouble.chain()))),
        };
        let how = failure.how.clone();
        self.settle(&rule.switch, StepsEnd::Failed(failure));
        self.note(Said::Unswitched { to: to.clone(), how }, kept).await.map(|_| false)
    }

    /// Stores a fact about the slots; false when the run is no longer ours.
    async fn note(&mut self, said: Said, kept: &mut KeptLog) -> Outcome<bool> {
        Ok(self.say(rollout::Said::Slot(said), kept).await?.is_some())
    }
}

/// Where the release of a run goes, as the log has it; nothing for a stage without slots.
pub(crate) fn choice(state: &State, release: &Release, stage: &Stage) -> Option<Choice> {
    let Some(Strategy::BlueGreen(rule)) = &stage.strategy else { return None };
    let known = state.slots.get(&release.site(stage)).cloned().unwrap_or_default();
    known.choose(release.no(), &rule.slots).ok()
}
