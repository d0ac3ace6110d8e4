//! The server's loop with time as a number: what is owed is carried out, what takes time ends later, timers ring.

use std::collections::BTreeMap;

use crate::domain::check::course::Course;
use crate::domain::check::{Check, EVERY, LegId, Side};
use crate::domain::decide::{Command, Ended, StageEnd, Work};
use crate::domain::derivation::Made;
use crate::domain::effect::Effect;
use crate::domain::event::{BuildOutcome, Failure, Form, Sealed};
use crate::domain::name::{Alias, CheckName, Digest, ReleaseNo, RunbookName, StageName, TargetName};
use crate::domain::pause::{Pausing, Question};
use crate::domain::plan::{Lane, Owed, Plan};
use crate::domain::progress::{Phase, Progress};
use crate::domain::refusal::Refusal;
use crate::domain::release::{BuildState, Release};
use crate::domain::reuse::left_for;
use crate::domain::simulate::rollout::{Brought, Hosts};
use crate::domain::simulate::scenario::{Answers, Habit, How};
use crate::domain::simulate::source::Source;
use crate::domain::simulate::transcript::Transcript;
use crate::domain::simulate::world::World;
use crate::domain::state::CheckProgress;
use crate::domain::time::{Span, Timestamp};

/// What a build takes when nobody says.
const BUILD_TAKES: Span = Span::minutes(5);
/// What the commands of a stage or a runbook take when nobody says.
const STAGE_TAKES: Span = Span::minutes(5);
/// What a check takes that is asked after a deploy, when nobody says; gates answer at once.
const CHECK_TAKES: Span = Span::minutes(1);
/// Most looks at one moment: a world that does not come to rest by then never will.
const TURNS: usize = 1_000;
/// Most moments of a simulation: a month of a gate that is sampled every minute.
const MOMENTS: usize = 50_000;
/// The size that made-up artifacts have.
const SIZE: u64 = 4_096;

/// A world on its way through time.
#[derive(Debug)]
pub(super) struct Player {
    /// Where releases come from that builds, people and times start; a look ahead from a server has none.
    pub(super) source: Option<Source>,
    pub(super) world: World,
    pub(super) script: Transcript,
    habits: Habits,
    /// The targets of stages, and how each goes.
    pub(super) hosts: Hosts,
    /// What ends when, by the number of its lease; with the group that it keeps busy.
    ends: BTreeMap<(Timestamp, u64), Ending>,
    /// Questions whose answer changed nothing, and when they are asked again.
    put_off: BTreeMap<String, Timestamp>,
    moments: usize,
    most: usize,
    /// What was owed when everything had settled, at which version and time.
    settled: Option<(u64, Timestamp, Plan)>,
}

/// The key and the group of what is owed.
pub(super) type Owing = (String, Option<String>);

#[derive(Debug)]
struct Ending {
    work: Work,
    key: String,
    ends: Ends,
    group: Option<String>,
    /// When it is asked again, should the answer change nothing.
    again: Timestamp,
}

/// What is over then.
#[derive(Debug)]
pub(super) enum Ends {
    /// The work.
    Work(Ended),
    /// Its commands for these targets of a batch, which others of it come behind.
    Batch {
        /// Those that are worked on.
        now: Vec<TargetName>,
        /// Those that wait for their turn.
        later: Vec<TargetName>,
    },
}

/// How work goes from now on.
#[derive(Debug, Default)]
struct Habits {
    build: Going,
    stages: BTreeMap<StageName, Going>,
    runbooks: BTreeMap<RunbookName, Going>,
    checks: BTreeMap<CheckName, Span>,
}

#[derive(Debug, Clone, Default)]
struct Going {
    takes: Option<Span>,
    how: Option<How>,
}

impl Going {
    fn take_up(&mut self, habit: &Habit) {
        match habit {
            Habit::Takes(span) => self.takes = Some(*span),
            Habit::Ends(how) => self.how = Some(how.clone()),
        }
    }
}

impl Player {
    pub(super) fn new(world: World, script: Transcript) -> Self {
        Self {
            world,
            script,
            habits: Habits::default(),
            hosts: Hosts::default(),
            ends: BTreeMap::new(),
            put_off: BTreeMap::new(),
            moments: 0,
            most: MOMENTS,
            settled: None,
            source: None,
        }
    }

    /// Looks at so many moments only.
    pub(super) fn at_most(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// Work that is under way goes on as if it had just begun.
    pub(super) fn resume(&mut self) {
        for owed in self.world.plan().owed {
            let Some(work) = work_of(&owed.effect) else { continue };
            let Some((fence, (takes, ended))) = self.held(&work).zip(self.goes(&work)) else { continue };
            self.world.running.push((work.clone(), fence));
            let when = (self.world.now.plus(takes), fence);
            self.schedule(when, (owed.key, owed.group), (work, Ends::Work(ended), Span::ZERO));
        }
    }

    /// The lease of work that somebody has begun.
    fn held(&self, work: &Work) -> Option<u64> {
        let state = &self.world.state;
        match work {
            Work::Deploy { release, stage, .. } => {
                state.release(*release)?.run(stage).filter(|run| run.state.occupies())?.fence
            }
            Work::Build { release, .. } => match state.release(*release)?.build {
                BuildState::Running { fence } => Some(fence),
                BuildState::Waiting | BuildState::Sealed | BuildState::Failed(_) | BuildState::NotNeeded => {
                    None
                }
            },
            Work::Check { commit, .. } => match state.checks.get(commit)?.progress {
                CheckProgress::Running(fence) => Some(fence),
                CheckProgress::Waiting | CheckProgress::Over(_) | CheckProgress::Refused(_) => None,
            },
            Work::Runbook { run, .. } => state.runbooks.all.get(run)?.fence(),
            Work::Leg { .. } | Work::Gates { .. } => None,
        }
    }

    pub(super) fn builds(&mut self, habit: &Habit) {
        self.habits.build.take_up(habit);
    }

    pub(super) fn deploys(&mut self, stage: &StageName, habit: &Habit) {
        self.habits.stages.entry(stage.clone()).or_default().take_up(habit);
    }

    pub(super) fn runs(&mut self, runbook: &RunbookName, habit: &Habit) {
        self.habits.runbooks.entry(runbook.clone()).or_default().take_up(habit);
    }

    pub(super) fn answers(&mut self, check: &CheckName, answers: &Answers) {
        match answers {
            Answers::Takes(span) => {
                self.habits.checks.insert(check.clone(), *span);
            }
            Answers::Says(reading) => {
                self.world.answers.insert(check.to_string(), reading.clone());
            }
        }
    }

    /// Lets time pass, and everything happen that happens by itself.
    pub(super) fn advance(&mut self, until: Timestamp) -> Result<(), String> {
        loop {
            let plan = self.settle()?;
            match self.next(&plan).filter(|at| *at <= until) {
                Some(at) => self.reach(at, plan.wake_at == Some(at))?,
                None if until <= self.world.now => {
                    self.keep(plan);
                    break;
                }
                None => break,
            }
        }
        self.world.now = self.world.now.max(until);
        Ok(())
    }

    /// What is owed stays so as long as nothing is decided and no time passes.
    pub(super) fn keep(&mut self, plan: Plan) {
        self.settled = Some((self.world.state.version, self.world.now, plan));
    }

    /// Whether something happens by itself one day; when the next thing does.
    pub(super) fn next(&self, plan: &Plan) -> Option<Timestamp> {
        let now = self.world.now;
        let ends = self.ends.keys().next().map(|(at, _)| *at);
        let made = self.source.is_some();
        let asked =
            plan.owed.iter().filter(|o| (works(o.lane) || (made && makes(&o.effect))) && !self.is_taken(o));
        let asked = asked.filter_map(|o| self.not_before(o)).filter(|at| *at > now).min();
        [ends, plan.wake_at, asked].into_iter().flatten().min()
    }

    /// The time comes at which something ends, a timer rings or a question is asked again.
    fn reach(&mut self, at: Timestamp, rings: bool) -> Result<(), String> {
        self.moments = self.moments.saturating_add(1);
        if self.moments > self.most {
            return Err(format!("more than {} things happen; let it end earlier with `--until`", self.most));
        }
        self.world.now = at;
        let due: Vec<(Timestamp, u64)> = self.ends.range(..=(at, u64::MAX)).map(|(key, _)| *key).collect();
        for key in due {
            if let Some(ending) = self.ends.remove(&key) {
                self.end(key.1, &ending)?;
            }
        }
        if rings {
            self.world.decide(&Command::Tick).map_err(|e| unexpected(&e))?;
        }
        Ok(())
    }

    fn end(&mut self, fence: u64, ending: &Ending) -> Result<(), String> {
        let work = ending.work.clone();
        let owed = (ending.key.clone(), ending.group.clone());
        let ended = match &ending.ends {
            Ends::Work(Ended::Stage(StageEnd::Passed { took_ms })) => {
                let end = self.fill_slot(&work, fence)?;
                Ended::Stage(end.unwrap_or(StageEnd::Passed { took_ms: *took_ms }))
            }
            Ends::Work(ended) => ended.clone(),
            Ends::Batch { now, later } => match self.end_batch((&work, fence), (now, later), owed)? {
                Some(ended) => ended,
                None => return Ok(()),
            },
        };
        self.world.running.retain(|(_, number)| *number != fence);
        self.make_artifacts(&work, fence, &ended)?;
        match self.world.decide(&Command::Finish { work, fence, ended }) {
            Ok(_) | Err(Refusal::Stale) => Ok(()),
            Err(Refusal::NothingNew) => {
                self.put_off.insert(ending.key.clone(), ending.again);
                Ok(())
            }
            Err(refusal) => Err(unexpected(&refusal)),
        }
    }

    /// The steps of a stage that pass have made what they make, unless the release has that already.
    fn make_artifacts(&mut self, work: &Work, fence: u64, ended: &Ended) -> Result<(), String> {
        let (Work::Deploy { release, stage, .. }, Ended::Stage(StageEnd::Passed { .. })) = (work, ended)
        else {
            return Ok(());
        };
        let Some(release) = self.world.state.release(*release) else { return Ok(()) };
        let deploy = release.steps(stage).map_or(&[][..], |steps| &steps.deploy);
        let all =
            deploy.iter().flat_map(|step| step.terms.makes.all().map(|alias| (step.name.as_str(), alias)));
        let made: Vec<Made> = all.map(|(step, alias)| made(release, (stage, step), alias)).collect();
        if made.is_empty() || release.revised_in(stage).is_some() {
            return Ok(());
        }
        let steps = u32::try_from(deploy.len()).unwrap_or(u32::MAX);
        let progress = Box::new(Progress { made, ..Progress::at(Phase::Deploy, steps) });
        match self.world.decide(&Command::Progress { work: work.clone(), fence, progress }) {
            Ok(_) | Err(Refusal::Stale) => Ok(()),
            Err(refusal) => Err(unexpected(&refusal)),
        }
    }

    /// Everything that is owed now is carried out or begun, until nothing is.
    pub(super) fn settle(&mut self) -> Result<Plan, String> {
        let here = (self.world.state.version, self.world.now);
        if let Some((version, now, plan)) = self.settled.take()
            && (version, now) == here
        {
            return Ok(plan);
        }
        for _ in 0..TURNS {
            let before = self.world.state.version;
            let mut plan = self.world.plan();
            plan.owed.sort_by_key(|owed| -owed.priority);
            for owed in &plan.owed {
                self.take(owed)?;
            }
            if self.world.state.version == before {
                self.script.tell(&self.world);
                return Ok(plan);
            }
        }
        Err(format!("what happens does not come to rest at {}", self.world.now.minute()))
    }

    fn take(&mut self, owed: &Owed) -> Result<(), String> {
        match owed.lane {
            Lane::Notify | Lane::Evidence => return Ok(()),
            Lane::Timer => return self.make(owed),
            Lane::Host => {
                return match self.world.carry_out(&owed.effect) {
                    Ok(_) | Err(Refusal::Stale) => Ok(()),
                    Err(refusal) => Err(unexpected(&refusal)),
                };
            }
            Lane::Build | Lane::Deploy | Lane::Check | Lane::Probe => {}
        }
        let Some(work) = work_of(&owed.effect) else { return Ok(()) };
        if owed.cancel {
            return self.stop(&owed.key);
        }
        if self.is_taken(owed) || self.not_before(owed).is_some_and(|at| at > self.world.now) {
            return Ok(());
        }
        match &work {
            Work::Build { .. } | Work::Check { .. } | Work::Deploy { .. } | Work::Runbook { .. } => {
                self.begin(owed, work)
            }
            Work::Leg { release, stage, leg, .. } => {
                self.ask(owed, &work, (*release, stage, leg));
                Ok(())
            }
            Work::Gates { release, stage, side, .. } => {
                self.sample(owed, &work, (*release, stage, *side));
                Ok(())
            }
        }
    }

    /// A release that is owed at a time is made when it has come.
    fn make(&mut self, owed: &Owed) -> Result<(), String> {
        let due = owed.not_before.is_none_or(|at| at <= self.world.now);
        match &self.source {
            Some(source) if due && makes(&owed.effect) => source.make(&mut self.world, &owed.effect),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether it is under way, or its group is busy.
    fn is_taken(&self, owed: &Owed) -> bool {
        self.ends.values().any(|e| e.key == owed.key || (e.group.is_some() && e.group == owed.group))
    }

    fn not_before(&self, owed: &Owed) -> Option<Timestamp> {
        owed.not_before.max(self.put_off.get(&owed.key).copied())
    }

    fn begin(&mut self, owed: &Owed, work: Work) -> Result<(), String> {
        let fresh = self.world.fresh(&work);
        let fence = match self.world.begin(&work, fresh) {
            Ok(Some(fence)) => fence,
            Ok(None) | Err(Refusal::Stale | Refusal::Busy { .. }) => return Ok(()),
            Err(refusal) => return Err(unexpected(&refusal)),
        };
        let named = (owed.key.clone(), owed.group.clone());
        let (takes, ended) = match self.bring_out(&work, fence, named.clone())? {
            Brought::Begun => return Ok(()),
            Brought::Over(end) => (Span::ZERO, Ended::Stage(end)),
            Brought::AtOnce => match self.goes(&work) {
                Some(goes) => goes,
                None => return Ok(()),
            },
        };
        self.schedule((self.world.now.plus(takes), fence), named, (work, Ends::Work(ended), Span::ZERO));
        Ok(())
    }

    /// How long work takes that begins now, and how it ends.
    fn goes(&self, work: &Work) -> Option<(Span, Ended)> {
        let state = &self.world.state;
        let build = self.habits.build.takes.unwrap_or(BUILD_TAKES);
        match work {
            Work::Deploy { release, stage, .. } => {
                let release = state.release(*release)?;
                let limit = release.rule(stage).map(|rule| rule.timeout);
                let going = self.habits.stages.get(stage);
                asks(release, stage).or_else(|| Some(commands((stage.as_str(), limit), going)))
            }
            Work::Runbook { run, .. } => {
                let book = state.runbooks.all.get(run)?.runbook();
                let going = self.habits.runbooks.get(&book.name);
                Some(commands((book.name.as_str(), Some(book.timeout)), going))
            }
            Work::Build { release, .. } => {
                let left = left_for(state, state.release(*release)?, None).into_iter().next();
                // What is taken over takes no time to build.
                Some(left.map_or_else(
                    || (build, self.built(Some(*release))),
                    |left| (Span::ZERO, Ended::Reused(left.reused)),
                ))
            }
            Work::Check { .. } => Some((build, self.built(None))),
            Work::Leg { .. } | Work::Gates { .. } => None,
        }
    }

    /// How long the commands of a stage take.
    pub(super) fn takes(&self, work: &Work) -> Span {
        let Work::Deploy { stage, .. } = work else { return STAGE_TAKES };
        self.habits.stages.get(stage).and_then(|going| going.takes).unwrap_or(STAGE_TAKES)
    }

    /// How the commands of a stage end.
    pub(super) fn outcome(&self, work: &Work) -> StageEnd {
        let passed = StageEnd::Passed { took_ms: self.takes(work).as_millis() };
        let Work::Deploy { stage, .. } = work else { return passed };
        match commands((stage.as_str(), None), self.habits.stages.get(stage)).1 {
            Ended::Stage(end) => end,
            Ended::Build(_) | Ended::Reused(_) | Ended::Left { .. } | Ended::Leg { .. } | Ended::Gates(_) => {
                passed
            }
        }
    }

    pub(super) fn schedule(
        &mut self,
        when: (Timestamp, u64),
        (key, group): Owing,
        (work, ends, pace): (Work, Ends, Span),
    ) {
        let again = self.world.now.plus(pace);
        let ending = Ending { work, key, ends, group, again };
        self.ends.insert(when, ending);
    }

    fn ask(&mut self, owed: &Owed, work: &Work, (release, stage, leg): (ReleaseNo, &StageName, &LegId)) {
        let reading = self.world.says(leg);
        let takes = self.habits.checks.get(&leg.check).copied().unwrap_or(CHECK_TAKES);
        let release = self.world.state.release(release);
        let rule = release.and_then(|r| r.rule(stage));
        let legs = rule.map(|r| r.verify.parallel.iter().chain(&r.verify.then));
        let check = legs.and_then(|mut all| all.find(|check| check.name == leg.check));
        let pace = check.map_or(EVERY, Check::pace);
        let fence = self.world.lease();
        let when = (self.world.now.plus(takes), fence);
        let ends = Ends::Work(Ended::Leg { reading, tail: Vec::new() });
        self.schedule(when, (owed.key.clone(), owed.group.clone()), (work.clone(), ends, pace));
    }

    fn sample(&mut self, owed: &Owed, work: &Work, (release, stage, side): (ReleaseNo, &StageName, Side)) {
        let Some(release) = self.world.state.release(release) else { return };
        let Some((rule, run)) = release.rule(stage).zip(release.run(stage)) else { return };
        let course = Course { repo: &self.world.state.id.repo, release, stage: rule, run };
        let readings = self.world.readings(&course, side);
        let pace = course.around(side).pace(side);
        let fence = self.world.lease();
        let ends = Ends::Work(Ended::Gates(readings));
        let named = (owed.key.clone(), owed.group.clone());
        self.schedule((self.world.now, fence), named, (work.clone(), ends, pace));
    }

    /// Work that should stop does so at once.
    fn stop(&mut self, key: &str) -> Result<(), String> {
        let found: Vec<_> = self.ends.iter().filter(|(_, e)| e.key == key).map(|(when, _)| *when).collect();
        for when in found {
            let Some(mut ending) = self.ends.remove(&when) else { continue };
            if matches!(ending.work, Work::Deploy { .. } | Work::Runbook { .. }) {
                ending.ends = Ends::Work(Ended::Stage(StageEnd::Stopped));
                self.end(when.1, &ending)?;
            }
        }
        Ok(())
    }

    fn built(&self, release: Option<ReleaseNo>) -> Ended {
        let failed = |how: &str| Failure { step: "build".to_owned(), how: how.to_owned(), tail: Vec::new() };
        Ended::Build(match (&self.habits.build.how, release) {
            (Some(How::Fails(how)), _) => BuildOutcome::Failed(failed(how)),
            (Some(How::TimesOut), _) => BuildOutcome::Failed(failed("ran longer than it may")),
            (Some(How::Errors(why)), _) => BuildOutcome::Errored(why.clone()),
            (Some(How::Passes) | None, None) => BuildOutcome::Passed,
            (Some(How::Passes) | None, Some(no)) => {
                let release = self.world.state.release(no);
                let rules = release.map(|r| &r.created.pipeline.artifacts);
                BuildOutcome::Sealed(rules.into_iter().flatten().map(|a| sealed(no, &a.alias)).collect())
            }
        })
    }
}

/// Bytes that nobody made, with a digest that is always the same for a release.
fn sealed(no: ReleaseNo, alias: &Alias) -> Sealed {
    Sealed {
        alias: alias.clone(),
        digest: Digest::of_text(&format!("artifact {alias} of release {no}")),
        content: Digest::of_text(&format!("content {alias} of release {no}")),
        size: SIZE,
        form: Form::Folder,
        image: None,
    }
}

/// What a step makes, with a digest that is always the same for a release and a stage.
fn made(release: &Release, (stage, step): (&StageName, &str), alias: &Alias) -> Made {
    let old = release.artifacts.iter().find(|sealed| sealed.alias == *alias);
    let base = sealed(release.no(), alias);
    let digest = Digest::of_text(&format!("{} made in {stage}", base.digest));
    Made { was: old.map(|old| old.digest.clone()), sealed: Sealed { digest, ..base }, step: step.to_owned() }
}

/// A run that comes to a step which asks people does so at once; one that was told no ends.
fn asks(release: &Release, stage: &StageName) -> Option<(Span, Ended)> {
    let (steps, run) = release.steps(stage).zip(release.run(stage))?;
    let last = run.pauses.last();
    let end = if let Some(failure) = last.and_then(Pausing::failure) {
        StageEnd::Failed(failure)
    } else {
        let question = Question::next(steps, run.kind, last.map(|last| last.question.place()))?;
        StageEnd::Paused(Box::new(question))
    };
    Some((Span::ZERO, Ended::Stage(end)))
}

/// Commands of a stage or a runbook: how long they take, and how they end.
fn commands((name, limit): (&str, Option<Span>), going: Option<&Going>) -> (Span, Ended) {
    let failure = |how: String| Failure { step: name.to_owned(), how, tail: Vec::new() };
    let takes = going.and_then(|g| g.takes).unwrap_or(STAGE_TAKES);
    if let Some(limit) = limit.filter(|limit| takes > *limit) {
        return (limit, Ended::Stage(StageEnd::TimedOut(failure(format!("ran longer than {limit}")))));
    }
    let end = match going.and_then(|g| g.how.clone()).unwrap_or(How::Passes) {
        How::Passes => StageEnd::Passed { took_ms: takes.as_millis() },
        How::Fails(how) => StageEnd::Failed(failure(how)),
        How::Errors(why) => StageEnd::Errored(why),
        How::TimesOut => StageEnd::TimedOut(failure("ran longer than it may".to_owned())),
    };
    (takes, Ended::Stage(end))
}

/// Whether a release is made by it.
fn makes(effect: &Effect) -> bool {
    matches!(effect, Effect::Join { .. } | Effect::Start { .. })
}

/// Whether workers of the lane do what ends and is told of.
fn works(lane: Lane) -> bool {
    matches!(lane, Lane::Build | Lane::Deploy | Lane::Check | Lane::Probe)
}

fn work_of(effect: &Effect) -> Option<Work> {
    Some(match effect.clone() {
        Effect::Build { release, attempt } => Work::Build { release, attempt },
        Effect::Check { commit, attempt } => Work::Check { commit, attempt },
        Effect::Deploy { release, stage, attempt, admission } => {
            Work::Deploy { release, stage, attempt, admission }
        }
        Effect::Runbook { run, turn } => Work::Runbook { run, turn },
        Effect::Leg { release, stage, attempt, leg, sample } => {
            Work::Leg { release, stage, attempt, leg, sample }
        }
        Effect::Gates { release, stage, attempt, side, sample } => {
            Work::Gates { release, stage, attempt, side, sample }
        }
        Effect::Sources { .. }
        | Effect::Tag { .. }
        | Effect::Thread { .. }
        | Effect::Status { .. }
        | Effect::Sticky { .. }
        | Effect::Note { .. }
        | Effect::Reply { .. }
        | Effect::Confirm { .. }
        | Effect::Notify(_)
        | Effect::Announce { .. }
        | Effect::Attest { .. }
        | Effect::Join { .. }
        | Effect::Start { .. }
        | Effect::Wake => return None,
    })
}

pub(super) fn unexpected(refusal: &Refusal) -> String {
    format!("the rules refused what a server would have done ({}): {refusal}", refusal.code())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::state::State;
    use crate::domain::window::Zone;

    #[test]
    fn a_world_that_never_ends_says_so() {
        let start = Timestamp(1_772_000_000_000);
        let world = World::of(State::new("plain:simulated/web".parse().unwrap()), start);
        let mut player = Player::new(world, Transcript::new(Zone::utc()));
        player.moments = MOMENTS;
        player.advance(start.plus(Span::days(1))).expect("nothing is due");
        let refused = player.reach(start.plus(Span::days(2)), false).expect_err("too much happens");
        assert_eq!(refused, "more than 50000 things happen; let it end earlier with `--until`");
    }
}
