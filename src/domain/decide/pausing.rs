//! Runs that stopped to ask people (`pause`): the question, who answers it, and how the run goes on or ends.
//!
//! The environment stays theirs meanwhile. An answer is work for a worker, so that hooks run that run whatever
//! happened; without any, a no ends the run at once.

use std::sync::Arc;

use crate::domain::command::{ReleaseRef, Verb};
use crate::domain::decide::resolve::{HOST_CLOCK_MS, spoken_here};
use crate::domain::decide::speak::{Told, by, must_be_approver};
use crate::domain::decide::{Draft, Spoken};
use crate::domain::event::{ApprovalSide, Detail, Event, OfRun};
use crate::domain::markdown::escape;
use crate::domain::name::{ReleaseNo, StageName};
use crate::domain::pause::{Answer, Pausing, Question, Said, Then};
use crate::domain::pipeline::step::Silence;
use crate::domain::progress::always_after;
use crate::domain::refusal::Refusal;
use crate::domain::release::{Release, StageRun, StageState, Transition};

impl Draft {
    /// A worker came to a step that asks.
    pub(super) fn pause_to_ask(
        &mut self,
        no: ReleaseNo,
        stage: &StageName,
        run: &StageRun,
        question: &Question,
    ) -> Result<(), Refusal> {
        self.say(no, (stage, run.attempt), Said::Asked(Box::new(question.clone())))?;
        if run.state == StageState::Cancelling {
            let answer = Answer { by: None, then: Then::Stop, note: None };
            return self.answer(no, stage, (answer, Detail::None));
        }
        let asks = (Transition::ManualIntervention, StageState::Paused);
        self.move_stage(no, stage, asks, Detail::Reason(question.instructions.clone()))
    }

    /// A worker takes up a run that was answered.
    pub(super) fn take_up(
        &mut self,
        no: ReleaseNo,
        (stage, run): (&StageName, &StageRun),
        fence: u64,
    ) -> Result<(), Refusal> {
        let answered = run.pauses.last().is_some_and(|pausing| pausing.answer.is_some());
        if answered && run.state == StageState::Paused {
            let on = (Transition::Resume, StageState::Running);
            self.move_stage(no, stage, on, Detail::Fence(fence))
        } else if answered && run.state == StageState::Cancelling {
            self.say(no, (stage, run.attempt), Said::Taken { fence })
        } else {
            Err(Refusal::Stale)
        }
    }

    /// `/resume prod`: what was to be done by hand is done, and the next step may begin.
    pub(super) fn resume_asked(
        &mut self,
        spoken: &Spoken,
        stage: &StageName,
        (wanted, note): (Option<&ReleaseRef>, Option<String>),
    ) -> Result<Told, Refusal> {
        let release = match wanted {
            Some(wanted) => self.named(wanted, Verb::Resume, stage)?,
            None => self.for_action(spoken, stage, |run| run.state == StageState::Paused)?,
        };
        must_be_approver(spoken, &release, (stage, ApprovalSide::Before))?;
        self.must_have_seen(spoken, &release, (Verb::Resume, stage))?;
        if let Some((asking, hold)) = release.run(stage).and_then(StageRun::holding) {
            let (held, ends) = (hold.word(), asking.ends().minute());
            let instead = format!(
                "It is {held} and goes on by itself {ends}, if its gates are green then: nobody shortens \
                 that. `/reject {stage} -- reason` or `/cancel {stage}` ends it."
            );
            return Err(Refusal::Nothing { verb: Verb::Resume, stage: stage.clone(), instead });
        }
        if let Some(reason) = self.state.vetoes.get(&(stage.clone(), release.no())) {
            let version = &release.created.version;
            let instead =
                format!("{version} is vetoed there: {}. `/cancel {stage}` ends it.", escape(reason));
            return Err(Refusal::Nothing { verb: Verb::Resume, stage: stage.clone(), instead });
        }
        let answer = Answer { by: Some(spoken.standing.person.clone()), then: Then::GoOn, note };
        self.answer(release.no(), stage, (answer, Detail::None))?;
        Ok(Told::started())
    }

    /// The release that stopped to ask, when it is spoken about here; from nowhere, when nothing else waits.
    pub(super) fn asking_here(&self, spoken: &Spoken, stage: &StageName) -> Option<Arc<Release>> {
        let asking = self.with_run(stage, |run| run.asking().is_some());
        let alone = spoken.place.is_none() && self.with_run(stage, |run| run.state.asks()).is_empty();
        asking.into_iter().rfind(|release| alone || spoken_here(release, spoken))
    }

    /// `/reject prod -- reason` of a run that asks: it has failed.
    pub(super) fn reject_asked(
        &mut self,
        spoken: &Spoken,
        (release, stage): (&Release, &StageName),
        reason: &str,
    ) -> Result<Told, Refusal> {
        self.must_have_seen(spoken, release, (Verb::Reject, stage))?;
        let answer = Answer {
            by: Some(spoken.standing.person.clone()),
            then: Then::Fail,
            note: Some(reason.to_owned()),
        };
        self.answer(release.no(), stage, (answer, Detail::None))?;
        Ok(Told::counted())
    }

    /// `/cancel prod` of a run that asks.
    pub(super) fn cancel_asked(
        &mut self,
        spoken: &Spoken,
        no: ReleaseNo,
        stage: &StageName,
    ) -> Result<(), Refusal> {
        let by = by(spoken, None);
        self.move_stage(no, stage, (Transition::Cancel, StageState::Cancelling), by.clone())?;
        let answer = Answer { by: Some(spoken.standing.person.clone()), then: Then::Stop, note: None };
        self.answer(no, stage, (answer, by))
    }

    /// Questions that nobody answered in time.
    pub(super) fn end_silence(&mut self) -> Result<(), Refusal> {
        let over: Vec<(ReleaseNo, StageName, Then)> = self
            .state
            .open()
            .into_iter()
            .flat_map(|release| {
                let asking = release.stages.iter().filter_map(|(stage, runs)| {
                    let asking = runs.last()?.asking().filter(|asking| asking.ends() <= self.now)?;
                    if asking.question.hold.is_some() {
                        return None;
                    }
                    let then = match asking.question.silence {
                        Silence::Resume => Then::GoOn,
                        Silence::Reject => Then::Fail,
                    };
                    Some((release.no(), stage.clone(), then))
                });
                asking.collect::<Vec<_>>()
            })
            .collect();
        over.into_iter().try_for_each(|(no, stage, then)| {
            self.answer(no, &stage, (Answer { by: None, then, note: None }, Detail::None))
        })
    }

    /// Keeps an answer. Where nothing has to run whatever happened, a no is the end.
    pub(super) fn answer(
        &mut self,
        no: ReleaseNo,
        stage: &StageName,
        (answer, stopped): (Answer, Detail),
    ) -> Result<(), Refusal> {
        let (then, timer) = (answer.then, answer.by.is_none());
        self.say(no, (stage, self.run(no, stage)?.attempt), Said::Answered(answer))?;
        let release = self.release(no)?;
        // A slot is switched back, too.
        let back = self.run(no, stage)?.rollout.slot.as_ref().is_some_and(|at| at.back().is_some());
        if back || release.steps(stage).is_some_and(|steps| always_after(steps).next().is_some()) {
            return Ok(());
        }
        let run = self.run(no, stage)?;
        let failure = run.pauses.last().and_then(Pausing::failure);
        match (then, failure) {
            (Then::Fail, Some(failure)) => {
                let silence = timer && run.holding().is_none();
                let by = if silence { Transition::Timeout } else { Transition::Fail };
                self.move_stage(no, stage, (by, StageState::Failed), Detail::Failed(failure))
            }
            (Then::Stop, _) => {
                self.move_stage(no, stage, (Transition::AgentStopped, StageState::Cancelled), stopped)
            }
            (Then::GoOn | Then::Fail, _) => Ok(()),
        }
    }

    fn say(
        &mut self,
        release: ReleaseNo,
        (stage, attempt): (&StageName, u32),
        said: Said,
    ) -> Result<(), Refusal> {
        self.add(Event::Pause(OfRun { release, stage: stage.clone(), attempt, said }))
    }

    /// It asks, and did when they wrote.
    fn must_have_seen(
        &self,
        spoken: &Spoken,
        release: &Release,
        (verb, stage): (Verb, &StageName),
    ) -> Result<(), Refusal> {
        let run = release.run(stage);
        let Some(asking) = run.and_then(StageRun::asking) else {
            if run.is_some_and(|run| run.state == StageState::Paused && run.worked_at.is_some()) {
                let instead = format!(
                    "A check could not tell, so `/override {stage} <check> -- reason` lets it go on."
                );
                return Err(Refusal::Nothing { verb, stage: stage.clone(), instead });
            }
            if run.is_some_and(|run| run.state == StageState::Paused) {
                let instead = "It was answered already, and a worker takes it up.".to_owned();
                return Err(Refusal::Nothing { verb, stage: stage.clone(), instead });
            }
            return Err(self.cannot_start(verb, release, stage));
        };
        if spoken.at.0.saturating_add(HOST_CLOCK_MS) > asking.at.0 {
            return Ok(());
        }
        let step = escape(&asking.question.step);
        let instead =
            format!("\"{step}\" asked after you wrote. Look at it, then comment `/{verb} {stage}`.");
        Err(Refusal::Nothing { verb, stage: stage.clone(), instead })
    }
}
