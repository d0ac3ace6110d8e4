//! How a release is brought out in a simulation: batch after batch of targets, portion after portion, from slot to slot.
//!
//! The facts are those that a server stores, in the same order; only how each target goes is the scenario's to say.

use std::collections::BTreeMap;

use crate::domain::check::{Check, LegId};
use crate::domain::decide::{Command, Ended, StageEnd, Work};
use crate::domain::event::{Failure, RunKind};
use crate::domain::name::{SlotName, StageName, TargetName};
use crate::domain::pause::{Pausing, Question};
use crate::domain::pipeline::strategy::{BlueGreen, Portion, Strategy};
use crate::domain::pipeline::target::Rolling;
use crate::domain::pipeline::{Stage, Step};
use crate::domain::probe::Answer;
use crate::domain::progress::Phase;
use crate::domain::release::{Release, StageRun};
use crate::domain::rollout::{Chosen, Fate, Next, Rollout, Said};
use crate::domain::simulate::player::{Ends, Owing, Player, unexpected};
use crate::domain::simulate::scenario::TargetGoes;
use crate::domain::slot::{self, InSlot};
use crate::domain::time::Span;

/// What a scenario says of targets.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    /// Those that a stage deploys to, in order.
    stages: BTreeMap<StageName, Vec<TargetName>>,
    /// How each goes from now on, when not well.
    going: BTreeMap<TargetName, TargetGoes>,
}

/// What became of a run that begins.
pub(super) enum Brought {
    /// Its commands run once, and their end is its end.
    AtOnce,
    /// Its first targets are begun.
    Begun,
    /// It is over, or stops, at once.
    Over(StageEnd),
}

/// A run that is no more: a release is never taken away.
const GONE: &str = "the run that was begun is gone";

/// What a rollout comes to next.
enum On {
    /// The commands for these targets begin.
    Batch(Vec<TargetName>),
    /// All of it is over, or stops to be watched.
    Over(StageEnd),
}

/// A run of a stage, with the steps of its release's commit.
type Run<'a> = (&'a Release, &'a Stage, &'a StageRun);

impl Hosts {
    /// These are the targets of a stage.
    pub(super) fn give(&mut self, stage: &StageName, targets: &[TargetName]) {
        self.stages.insert(stage.clone(), targets.to_vec());
    }

    /// So it goes on a target from now on.
    pub(super) fn take_up(&mut self, target: &TargetName, goes: &TargetGoes) {
        self.going.insert(target.clone(), goes.clone());
    }
}

/// The step that deploys, as failures name it.
fn deploy_step(steps: &Stage) -> String {
    steps.deploy.first().map_or_else(|| steps.name.to_string(), |step: &Step| step.name.clone())
}

fn failed(step: impl Into<String>, how: String) -> StageEnd {
    StageEnd::Failed(Failure { step: step.into(), how, tail: Vec::new() })
}

/// Where a run goes on, when it stopped before.
fn place(run: &StageRun) -> Option<(Phase, u32)> {
    run.pauses.last().map(|last| last.question.place())
}

/// Whether the next thing that a run comes to is its deploy, or it is in the middle of that.
fn deploys((_, steps, run): Run<'_>) -> bool {
    let ahead = Question::next(steps, run.kind, place(run)).is_none_or(|next| next.phase >= Phase::Deploy);
    let over = place(run).is_some_and(|(phase, _)| phase > Phase::Deploy);
    run.kind != RunKind::Verify && ahead && !over
}

/// The portions of a run, and how targets go within each.
fn portions_of((release, steps, run): Run<'_>) -> (Vec<Portion>, Rolling) {
    let strategy = release.rule(&steps.name).unwrap_or(steps).strategy.as_ref();
    let portions = strategy.map_or(Portion::WHOLE, |strategy| strategy.portions(run.kind)).to_vec();
    let own = steps.targets.as_ref().map_or_else(Rolling::default, |targets| targets.rolling);
    (portions, if strategy.is_some() { Rolling::AT_ONCE } else { own })
}

/// What the strictest rules ask around the slots of a stage.
fn slots((release, steps, run): Run<'_>) -> Option<&BlueGreen> {
    match release.rule(&steps.name).unwrap_or(steps).strategy.as_ref()? {
        Strategy::BlueGreen(rule) if run.kind != RunKind::Verify => Some(rule.as_ref()),
        Strategy::BlueGreen(_) | Strategy::Canary(_) => None,
    }
}

impl Player {
    fn run_of(&self, work: &Work) -> Option<Run<'_>> {
        let Work::Deploy { release, stage, .. } = work else { return None };
        let release = self.world.state.release(*release)?;
        Some((release, release.steps(stage)?, release.run(stage)?))
    }

    /// The targets that a run of a stage goes to one by one, when the scenario names them.
    fn targets_of(&self, (_, steps, _): Run<'_>) -> Option<&[TargetName]> {
        let named = self.hosts.stages.get(&steps.name).filter(|_| steps.targets.is_some());
        named.map(Vec::as_slice)
    }

    /// What of a run that begins is brought out step by step; how it ends when nothing is left of that.
    pub(super) fn bring_out(&mut self, work: &Work, fence: u64, owed: Owing) -> Result<Brought, String> {
        let Some(run) = self.run_of(work) else { return Ok(Brought::AtOnce) };
        if run.2.pauses.last().and_then(Pausing::failure).is_some() {
            self.switch_back(work, fence)?;
            return Ok(Brought::AtOnce);
        }
        if !deploys(run) {
            return Ok(Brought::AtOnce);
        }
        if slots(run).is_some() {
            // It was watched behind the switch, and nobody said no.
            if run.2.rollout.slot.is_some() && place(run.2).is_some_and(|(phase, _)| phase == Phase::Deploy) {
                return Ok(Brought::Over(self.behind(work)));
            }
            return self.choose_slot(work, fence).map(|()| Brought::AtOnce);
        }
        if self.targets_of(run).is_none() {
            return Ok(Brought::AtOnce);
        }
        if run.2.rollout.targets.is_empty() {
            let chosen = |name: &TargetName| Chosen { name: name.clone(), roles: [].into() };
            let chosen = self.targets_of(run).map(|named| named.iter().map(chosen).collect());
            self.say(work, fence, Said::Chosen(chosen.unwrap_or_default()))?;
        }
        Ok(match self.roll_on(work, fence, owed)? {
            Some(end) => Brought::Over(end),
            None => Brought::Begun,
        })
    }

    /// Begins the next batch; how the stage ends when there is none.
    fn roll_on(&mut self, work: &Work, fence: u64, owed: Owing) -> Result<Option<StageEnd>, String> {
        match self.next_of(work, fence)? {
            On::Over(end) => Ok(Some(end)),
            On::Batch(targets) => self.begin_batch((work, fence), &targets, owed).map(|()| None),
        }
    }

    /// Begins as many targets of a batch as a server would at the same time.
    fn begin_batch(
        &mut self,
        (work, fence): (&Work, u64),
        batch: &[TargetName],
        owed: Owing,
    ) -> Result<(), String> {
        let Some(run) = self.run_of(work) else { return Err(GONE.to_owned()) };
        let at_once = self.rollout(work).at_once(&portions_of(run).1);
        let (now, later) = batch.split_at_checked(at_once).unwrap_or((batch, &[]));
        for target in now {
            self.say(work, fence, Said::Started(target.clone()))?;
        }
        let when = (self.world.now.plus(self.takes(work)), fence);
        let ends = Ends::Batch { now: now.to_vec(), later: later.to_vec() };
        self.schedule(when, owed, (work.clone(), ends, Span::ZERO));
        Ok(())
    }

    fn next_of(&mut self, work: &Work, fence: u64) -> Result<On, String> {
        let Some(run) = self.run_of(work) else { return Err(GONE.to_owned()) };
        let (portions, rolling) = portions_of(run);
        let canary = run.0.rule(&run.1.name).unwrap_or(run.1).strategy.is_some();
        let over = place(run.2).filter(|(phase, _)| *phase == Phase::Deploy).map_or(0, |(_, index)| index);
        for (index, portion) in (0_u32..).zip(&portions).filter(|(index, _)| *index >= over) {
            let further = self.rollout(work).percent.is_none_or(|before| before < portion.percent);
            if canary && further {
                self.say(work, fence, Said::Portion(portion.percent))?;
            }
            match self.rollout(work).next(&rolling, portion.percent) {
                Next::Batch(targets) => return Ok(On::Batch(targets)),
                Next::Stop(why) => return Ok(On::Over(self.stopped(work, &why))),
                Next::Done => {
                    if let Some(question) = Question::held((index, portion)) {
                        return Ok(On::Over(StageEnd::Paused(Box::new(question))));
                    }
                }
            }
        }
        Ok(On::Over(self.behind(work)))
    }

    /// What comes behind the deploy: a question of a later step, or the end.
    fn behind(&self, work: &Work) -> StageEnd {
        let run = self.run_of(work);
        let asks = run.and_then(|(_, steps, run)| Question::next(steps, run.kind, Some((Phase::After, 0))));
        asks.map_or_else(|| self.outcome(work), |question| StageEnd::Paused(Box::new(question)))
    }

    fn rollout(&self, work: &Work) -> Rollout {
        self.run_of(work).map(|(_, _, run)| run.rollout.clone()).unwrap_or_default()
    }

    /// The commands for targets of a batch are over: each is reported, the others of it follow, health is asked, and it
    /// goes on or stops.
    pub(super) fn end_batch(
        &mut self,
        (work, fence): (&Work, u64),
        (now, later): (&[TargetName], &[TargetName]),
        owed: Owing,
    ) -> Result<Option<Ended>, String> {
        let step = self.run_of(work).map_or_else(String::new, |(_, steps, _)| deploy_step(steps));
        for target in now {
            let failed = match self.hosts.going.get(target) {
                Some(TargetGoes::Fails(how)) => Some(format!("\"{step}\" {how}")),
                Some(TargetGoes::Well | TargetGoes::Ill(_)) | None => None,
            };
            self.say(work, fence, Said::Ended { target: target.clone(), failed })?;
        }
        let Some(run) = self.run_of(work) else { return Err(GONE.to_owned()) };
        let rolling = portions_of(run).1;
        let health = run.1.targets.as_ref().and_then(|targets| targets.health.clone());
        let rollout = self.rollout(work);
        let stops = matches!(rollout.next(&rolling, rollout.percent.unwrap_or(100)), Next::Stop(_));
        if !later.is_empty() && !stops {
            return self.begin_batch((work, fence), later, owed).map(|()| None);
        }
        if let Some(check) = health
            && let Some(why) = self.ill(&rollout, &check).filter(|_| !stops)
        {
            self.say(work, fence, Said::Unhealthy(why))?;
        }
        Ok(self.roll_on(work, fence, owed)?.map(Ended::Stage))
    }

    /// What health says that is not well: the check itself, or a target that it finds ill.
    fn ill(&self, rollout: &Rollout, check: &Check) -> Option<String> {
        let reading = self.world.says(&LegId { check: check.name.clone(), component: None });
        if reading.answer != Answer::Pass {
            return Some(format!("{} says {}", check.name, reading.detail));
        }
        rollout.targets.iter().filter(|(_, fate)| matches!(fate, Fate::Done | Fate::There)).find_map(
            |(target, _)| match self.hosts.going.get(target)? {
                TargetGoes::Ill(what) => Some(format!("{} says {target} {what}", check.name)),
                TargetGoes::Well | TargetGoes::Fails(_) => None,
            },
        )
    }

    /// Why it goes no further, in the words of a server.
    fn stopped(&self, work: &Work, why: &str) -> StageEnd {
        let rollout = self.rollout(work);
        let step = self.run_of(work).map_or_else(String::new, |(_, steps, _)| deploy_step(steps));
        let first = rollout.bad().find_map(|target| match self.hosts.going.get(target)? {
            TargetGoes::Fails(how) => Some(failed(step.clone(), format!("on {target}: {how}; {why}"))),
            TargetGoes::Well | TargetGoes::Ill(_) => None,
        });
        let unhealthy = rollout.unhealthy.as_ref().map(|why| failed("health", why.clone()));
        unhealthy.or(first).unwrap_or_else(|| failed(step, why.to_owned()))
    }

    /// The run works in the slot that is not live.
    fn choose_slot(&mut self, work: &Work, fence: u64) -> Result<(), String> {
        let Some(run) = self.run_of(work) else { return Ok(()) };
        let Some(rule) = slots(run) else { return Ok(()) };
        let site = run.0.site(run.0.rule(&run.1.name).unwrap_or(run.1));
        let known = self.world.state.slots.get(&site).cloned().unwrap_or_default();
        let choice = known.choose(run.0.no(), &rule.slots)?;
        self.say(work, fence, Said::Slot(slot::Said::Chosen(choice)))
    }

    /// The commands of a stage with slots have passed: its slot is filled, asked about, and made the live one. How the
    /// stage ends when that is not all.
    pub(super) fn fill_slot(&mut self, work: &Work, fence: u64) -> Result<Option<StageEnd>, String> {
        let Some(run) = self.run_of(work) else { return Ok(None) };
        let Some((rule, at)) = slots(run).cloned().zip(run.2.rollout.slot.clone()) else { return Ok(None) };
        let goes_back = run.2.kind == RunKind::Rollback;
        if at.switch != slot::Switch::Before || place(run.2).is_some_and(|(phase, _)| phase >= Phase::Deploy)
        {
            return Ok(None);
        }
        if !at.filled {
            self.say(work, fence, Said::Slot(slot::Said::Filled))?;
        }
        if at.choice.switch {
            let asked = rule.before.iter().filter(|_| at.choice.fill || !goes_back);
            for check in asked {
                if let Some(why) = self.ill(&Rollout::default(), check) {
                    return Ok(Some(failed(check.name.to_string(), why)));
                }
            }
            self.switch(work, fence, &at.choice.slot)?;
        }
        let question = Question::kept(&at.choice.slot, &rule).filter(|_| !goes_back);
        Ok(question.map(|question| StageEnd::Paused(Box::new(question))))
    }

    /// Somebody said no behind the switch: what was live before is so again.
    fn switch_back(&mut self, work: &Work, fence: u64) -> Result<(), String> {
        let at = self.rollout(work).slot;
        match at.as_ref().and_then(InSlot::back) {
            Some(back) => self.switch(work, fence, back),
            None => Ok(()),
        }
    }

    fn switch(&mut self, work: &Work, fence: u64, to: &SlotName) -> Result<(), String> {
        self.say(work, fence, Said::Slot(slot::Said::Switching(to.clone())))?;
        self.say(work, fence, Said::Slot(slot::Said::Switched(to.clone())))
    }

    fn say(&mut self, work: &Work, fence: u64, said: Said) -> Result<(), String> {
        match self.world.decide(&Command::Roll { work: work.clone(), fence, said }) {
            Ok(_) => Ok(()),
            Err(refusal) => Err(unexpected(&refusal)),
        }
    }
}
