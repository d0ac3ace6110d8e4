//! The deploy of a stage that does not bring a release out at once: portions of targets, or of what commands are told.

use crate::domain::decide::Command;
use crate::domain::pause::Question;
use crate::domain::pipeline::strategy::Portion;
use crate::domain::pipeline::target::Rolling;
use crate::domain::pipeline::{Step, Strategy};
use crate::domain::progress::Phase;
use crate::domain::rollout::{Chosen, Rollout, Said};
use crate::domain::state::State;
use crate::service::stage::roll::{Left, kept_from};
use crate::service::stage::slots::Rules;
use crate::service::stage::{Course, Walk};
use crate::service::steps::{KeptLog, StepsEnd};
use crate::trouble::Outcome;

/// What commands are told of how far they are to go.
const PERCENT: &str = "LIFTLOCK_PERCENT";

impl Course<'_> {
    /// How a release is brought out here, with the waits that the strictest rules ask for.
    fn strategy(&self) -> Option<&Strategy> {
        self.release.rule(&self.stage.name).unwrap_or(self.stage).strategy.as_ref()
    }

    /// What it goes by when it has slots.
    fn slots(&self) -> Option<Rules<'_>> {
        match (&self.stage.strategy, self.strategy()) {
            (Some(Strategy::BlueGreen(own)), Some(Strategy::BlueGreen(strict))) => {
                Some(Rules { own, strict })
            }
            (Some(Strategy::Canary(_) | Strategy::BlueGreen(_)) | None, _) => None,
        }
    }

    /// How far its targets and portions are, as the log has it.
    pub(super) fn rollout(&self, state: &State) -> Option<Rollout> {
        let run = state.release(self.release.no())?.run(&self.stage.name)?;
        Some(run.rollout.clone())
    }

    /// Whether its deploy commands may run more than once.
    pub(super) fn in_portions(&self) -> bool {
        self.stage.targets.is_some() || self.strategy().is_some()
    }
}

impl Walk<'_> {
    /// Runs the deploy steps portion after portion, and stops behind each that is to be watched.
    pub(super) async fn deploy_in_portions(
        &mut self,
        steps: &[Step],
        left: Left<'_>,
        kept: &mut KeptLog,
    ) -> Outcome<()> {
        let course = self.course;
        if let Some(rules) = course.slots() {
            return self.deploy_to_slot(rules, (steps, left), kept).await;
        }
        if self.end != StepsEnd::Passed || !self.choose(kept).await? {
            return Ok(());
        }
        let strategy = course.strategy();
        let portions = strategy.map_or(Portion::WHOLE, |strategy| strategy.portions(course.kind));
        let over =
            course.asked.as_ref().filter(|asked| asked.at.0 == Phase::Deploy).map_or(0, |asked| asked.at.1);
        for (index, portion) in (0_u32..).zip(portions).filter(|(index, _)| *index >= over) {
            if strategy.is_some() {
                if self.say(Said::Portion(portion.percent), kept).await?.is_none() {
                    return Ok(());
                }
                kept.log.note(&format!("{} %", portion.percent)).await;
                self.environment.insert(PERCENT.to_owned(), portion.percent.to_string());
            }
            match &course.stage.targets {
                Some(rule) => {
                    let rolling = if strategy.is_some() { Rolling::AT_ONCE } else { rule.rolling };
                    let portion = (portion.percent, rolling, rule.health.as_ref());
                    self.roll(portion, (steps, left), kept).await?;
                }
                None => self.all(steps, left, kept).await?,
            }
            if self.end != StepsEnd::Passed {
                return Ok(());
            }
            if let Some(question) = Question::held((index, portion)) {
                return self.hold(question, kept).await;
            }
        }
        self.environment.remove(PERCENT);
        Ok(())
    }

    /// Stores the targets of the run, once; nothing begins before they are known.
    async fn choose(&mut self, kept: &mut KeptLog) -> Outcome<bool> {
        if self.course.stage.targets.is_none() || !self.rollout.targets.is_empty() {
            return Ok(true);
        }
        let chosen = self.course.targets.iter();
        let chosen = chosen.map(|t| Chosen { name: t.name.clone(), roles: t.roles.clone() }).collect();
        Ok(self.say(Said::Chosen(chosen), kept).await?.is_some())
    }

    /// Lets the worker go: who goes on behind the hold is another, so everything is reported first.
    pub(super) async fn hold(&mut self, question: Question, kept: &mut KeptLog) -> Outcome<()> {
        if !self.news.is_empty() {
            let steps = usize::try_from(question.steps).unwrap_or(0);
            self.report((question.phase, steps), kept).await?;
        }
        if self.end == StepsEnd::Passed {
            kept.log.note(&question.instructions).await;
            self.end = StepsEnd::Paused(Box::new(question));
        }
        Ok(())
    }

    /// All steps, one after the other.
    pub(super) async fn all(&mut self, steps: &[Step], left: Left<'_>, kept: &mut KeptLog) -> Outcome<()> {
        for (index, step) in (0_u32..).zip(steps) {
            self.step((Phase::Deploy, index, step), left, kept).await?;
        }
        Ok(())
    }

    /// Stores a fact about how far it is; nothing when the run is no longer ours, which ends it.
    pub(super) async fn say(&mut self, said: Said, kept: &mut KeptLog) -> Outcome<Option<Rollout>> {
        let course = self.course;
        let said = kept_from(said, kept);
        let command = Command::Roll { work: course.work.clone(), fence: course.lease.fence(), said };
        match self.service.journal().report(course.id, &command, course.lease.around()).await? {
            Ok(decided) => {
                let rollout = course.rollout(&decided.state);
                self.rollout = rollout.clone().unwrap_or_default();
                Ok(rollout)
            }
            Err(refusal) => {
                kept.log.note(&format!("the engine goes on without this run: {}", refusal.code())).await;
                self.end = StepsEnd::Lost;
                Ok(None)
            }
        }
    }
}
