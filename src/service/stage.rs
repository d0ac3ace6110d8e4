//! The steps of a stage in order: what fails, what runs all the same, what is written down for later.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::domain::component::Standing;
use crate::domain::decide::{Command, Work};
use crate::domain::deployment::{Fates, Part, Turn, Unit};
use crate::domain::event::{Failure, RunKind, Sealed};
use crate::domain::name::PipelineId;
use crate::domain::pause::{Question, Then};
use crate::domain::pipeline::step::{Action, Pause};
use crate::domain::pipeline::{Stage, Step};
use crate::domain::progress::{Outputs, Phase, Progress, always_after, phases};
use crate::domain::publication::{Ledger, Publish};
use crate::domain::release::{Release, StageRun};
use crate::domain::rollout::Rollout;
use crate::domain::slot::Choice;
use crate::domain::time::Span;
use crate::domain::variable::environment_name;
use crate::runner::target::Target;
use crate::runner::{Sandbox, Stops};
use crate::service::steps::one::{holds, spelled};
use crate::service::steps::{Artifacts, Connections, KeptLog, Run, StepsEnd, left_of, output};
use crate::service::worker::Lease;
use crate::service::{Service, blocking};
use crate::trouble::{Outcome, Trouble};

mod derivation;
mod document;
mod gather;
mod hook;
mod portions;
mod publish;
pub(crate) mod roll;
pub(crate) mod slots;
mod unchanged;
mod units;

/// How long a step may take that runs whatever happened, when it does not say; the stage's own time may be over.
const ALWAYS: Span = Span::minutes(10);

/// What a run of a stage goes by.
#[derive(Debug)]
pub struct Course<'a> {
    /// The pipeline.
    pub id: &'a PipelineId,
    /// Which run.
    pub work: Work,
    /// The lease it runs under.
    pub lease: &'a Lease,
    /// The release.
    pub release: &'a Release,
    /// The stage, with the steps of the release's commit.
    pub stage: &'a Stage,
    /// The targets that its deploy steps run for.
    pub targets: Vec<Target>,
    /// The slot that it goes to, when it has two.
    pub slot: Option<Choice>,
    /// Which of the things it deploys are left out, and why the others are not.
    pub standings: BTreeMap<Unit, Standing>,
    /// Why it runs.
    pub kind: RunKind,
    /// The folder with all artifacts.
    pub artifacts: PathBuf,
    /// The first artifact.
    pub first: PathBuf,
    /// Where deploy steps and hooks start.
    pub deploy_in: PathBuf,
    /// Where tests start.
    pub source: PathBuf,
    /// Where steps write down their outputs.
    pub notes: PathBuf,
    /// Where steps put in the artifacts that they make.
    pub made: PathBuf,
    /// What steps wrote down of the release.
    pub documents: PathBuf,
    /// What the stage's connections give.
    pub connections: Connections,
    /// Whether the stage goes back by itself when its tests fail.
    pub goes_back: bool,
    /// What a run that was lost here wrote down, when its hooks are still owed.
    pub owed: Option<Outputs>,
    /// Where it goes on, when it stopped to ask.
    pub asked: Option<Asked>,
}

/// A run that stopped to ask and was answered.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The part of the work it goes on in, and how many steps of it are over.
    pub at: (Phase, u32),
    /// What it had written down.
    pub outputs: Outputs,
    /// How it ends by the answer: passed when it simply goes on.
    pub end: StepsEnd,
}

impl Asked {
    /// The place of a run whose last question was answered.
    pub fn of(run: &StageRun) -> Option<Self> {
        let last = run.pauses.last()?;
        let end = match last.answer.as_ref()?.then {
            Then::GoOn => StepsEnd::Passed,
            Then::Fail => StepsEnd::Failed(last.failure()?),
            Then::Stop => StepsEnd::Stopped,
        };
        Some(Self { at: last.question.place(), outputs: run.walked.outputs.clone(), end })
    }

    fn is_behind(&self, place: (Phase, u32)) -> bool {
        place < self.at
    }
}

/// What a run is at.
struct Walk<'a> {
    service: &'a Service,
    course: &'a Course<'a>,
    environment: BTreeMap<String, String>,
    /// How it ends, as far as that is known.
    end: StepsEnd,
    /// What has not been reported yet.
    news: Progress,
    /// What became of the things it deploys.
    fates: Fates<'a>,
    /// How far its targets and portions are, as the log has it.
    rollout: Rollout,
    /// What is published where, as the log has it.
    ledger: Ledger,
    /// The release's artifacts, as the steps so far have left them.
    artifacts: Vec<Sealed>,
    /// What this run has published: for the next target or portion it is there already.
    published: BTreeSet<Publish>,
    /// How those of them ended that failed, which ends the run when all that do not need them are done.
    held: StepsEnd,
}

impl Service {
    /// Runs all steps of a stage.
    pub(super) async fn walk(
        &self,
        course: &Course<'_>,
        environment: BTreeMap<String, String>,
        kept: &mut KeptLog,
    ) -> Outcome<StepsEnd> {
        let asked = course.asked.as_ref();
        let mut walk = Walk {
            service: self,
            course,
            environment,
            end: asked.map_or(StepsEnd::Passed, |asked| asked.end.clone()),
            news: Progress::at(Phase::Before, 0),
            fates: Fates::new(&course.stage.deployments),
            held: StepsEnd::Passed,
            ledger: course.release.ledger.clone(),
            artifacts: course.release.artifacts.clone(),
            published: BTreeSet::new(),
            rollout: course
                .release
                .run(&course.stage.name)
                .map(|run| run.rollout.clone())
                .unwrap_or_default(),
        };
        let begun = clock::monotonic();
        let wall = course.stage.timeout;
        let left = || left_of(wall, begun);
        if let Some(asked) = asked {
            walk.take(&asked.outputs);
            kept.log.note("goes on behind what it asked; its folders are new").await;
        } else if course.kind != RunKind::Verify && course.owed.is_some() {
            walk.make_good(&left, kept).await?;
            if walk.end != StepsEnd::Passed {
                return Ok(walk.end);
            }
        }
        walk.leave_out(kept).await;
        for (phase, steps) in phases(course.stage, course.kind) {
            if asked.is_some_and(|asked| phase < asked.at.0) {
                continue;
            }
            if phase == Phase::Deploy && course.in_portions() {
                walk.deploy_in_portions(steps, &left, kept).await?;
            } else {
                walk.steps((phase, steps), &left, kept).await?;
            }
            if matches!(walk.end, StepsEnd::Lost | StepsEnd::Paused(_)) {
                return Ok(walk.end);
            }
            walk.release_held(phase);
            // Only a stage that goes back by itself needs to know whether a test failed or the deploy did.
            walk.news.deployed = phase == Phase::After && course.goes_back && walk.end == StepsEnd::Passed;
            // Whoever comes next must know that nothing is owed; and what was found out must not be lost.
            if (phase == Phase::After && !steps.is_empty()) || !walk.news.is_empty() {
                walk.report((phase, steps.len()), kept).await?;
            }
        }
        Ok(walk.end)
    }
}

impl Walk<'_> {
    /// Hooks that a lost run never came to, with what it had written down. When they fail, nothing else begins.
    async fn make_good(
        &mut self,
        left: &(dyn Fn() -> Span + Send + Sync),
        kept: &mut KeptLog,
    ) -> Outcome<()> {
        let owed = self.course.owed.clone().unwrap_or_default();
        let before = self.environment.clone();
        self.take(&owed);
        kept.log
            .note("the run before this one was lost before its hooks after the deploy; they come first")
            .await;
        let steps: Vec<&Step> = always_after(self.course.stage).collect();
        for (index, step) in (0_u32..).zip(steps.iter().copied()) {
            self.step((Phase::Owed, index, step), left, kept).await?;
        }
        self.environment = before;
        if self.end == StepsEnd::Passed {
            self.report((Phase::Owed, steps.len()), kept).await?;
        }
        Ok(())
    }

    async fn step(
        &mut self,
        (phase, index, step): (Phase, u32, &Step),
        left: &(dyn Fn() -> Span + Send + Sync),
        kept: &mut KeptLog,
    ) -> Outcome<()> {
        let cancel = &self.course.lease.stops().cancel;
        if self.end == StepsEnd::Passed && cancel.is_cancelled() {
            self.end = StepsEnd::Stopped;
        }
        let in_turn = self.in_turn(step, left(), kept).await;
        if !in_turn || (self.end != StepsEnd::Passed && !step.terms.always) {
            return Ok(());
        }
        let in_source = phase == Phase::Test || step.terms.runbook.is_some() || step.terms.in_source;
        let tree = if in_source { &self.course.source } else { &self.course.deploy_in };
        let notes = self.notes(phase, index).await?;
        let mut environment = self.environment.clone();
        environment.insert("LIFTLOCK_OUTPUT".to_owned(), notes.display().to_string());
        if self.has_made(step, kept).await || !self.wanted(step, &environment, kept).await {
            return Ok(());
        }
        if let Action::Pause(pause) = &step.action {
            return self.ask((phase, index, step), (pause, &environment), kept).await;
        }
        if let Action::Publish(publish) = &step.action {
            let run = run(self.course, tree, &environment);
            if !self.published.contains(publish) {
                // Boxed: it is the largest of what a step may be.
                let ended = Box::pin(self.publish((step, publish), (&run, left), kept)).await?;
                if ended == StepsEnd::Passed {
                    self.published.insert(publish.clone());
                }
                self.settle(step, ended);
            }
            return Ok(());
        }
        if let Action::Write(document) = &step.action {
            let ended = Box::pin(self.write_down((step, document), kept)).await?;
            self.settle(step, ended);
            return Ok(());
        }
        let folder = match self.seal_folder(step, &format!("{phase:?}-{index}")).await? {
            Ok(folder) => folder,
            Err(end) => {
                self.settle(step, end);
                return Ok(());
            }
        };
        if let Some(folder) = &folder {
            environment.insert(derivation::FOLDER.to_owned(), folder.display().to_string());
        }
        if let (Action::Gather(what), Some(folder)) = (&step.action, &folder) {
            let end = Box::pin(self.gather((step, *what), folder, kept)).await?;
            return self.make((phase, index, step), (end, Some(folder)), kept).await;
        }
        let run = self.run(tree, &environment);
        // Nobody but its own limit stops a step that puts things right.
        let stops = Stops { cancel: CancellationToken::new(), lost: self.course.lease.stops().lost.clone() };
        let own = || step.terms.timeout.unwrap_or(ALWAYS);
        let ran = if step.terms.always {
            self.service.run_step((step, &run), &own, kept, &stops).await
        } else {
            self.service.run_step((step, &run), left, kept, self.course.lease.stops()).await
        };
        // Trouble of ours is a failure of the step, too: what is to run whatever happens still does.
        let end = ran.unwrap_or_else(|trouble| {
            let how = kept.mask.apply(&format!("could not be run: {}", trouble.chain()));
            StepsEnd::Failed(Failure { step: kept.mask.apply(&step.name), how, tail: Vec::new() })
        });
        // What a step wrote down before it failed counts: it may be what has been stopped so far.
        let end = self.read_notes(step, (&notes, end), kept).await?;
        self.make((phase, index, step), (end, folder.as_deref()), kept).await
    }

    /// Seals what a step has made if it passed, and reports what is new of it.
    async fn make(
        &mut self,
        (phase, index, step): (Phase, u32, &Step),
        (mut end, folder): (StepsEnd, Option<&Path>),
        kept: &mut KeptLog,
    ) -> Outcome<()> {
        if let (StepsEnd::Passed, Some(folder)) = (&end, folder) {
            end = self.seal_made(step, folder, kept).await?;
        }
        self.settle(step, end);
        // That hooks are no longer owed is known once all of them have run.
        let wrote = !self.news.outputs.is_empty() || !self.news.made.is_empty();
        if wrote && phase != Phase::Owed {
            self.report((phase, usize::try_from(index).unwrap_or(0).saturating_add(1)), kept).await?;
        }
        Ok(())
    }

    /// Stops to ask: what is not reported yet is, since whoever goes on is another worker.
    async fn ask(
        &mut self,
        (phase, index, step): (Phase, u32, &Step),
        (pause, environment): (&Pause, &BTreeMap<String, String>),
        kept: &mut KeptLog,
    ) -> Outcome<()> {
        let name = kept.mask.apply(&step.name);
        match spelled(&pause.instructions, environment) {
            Ok(text) => {
                if !self.news.is_empty() {
                    self.report((phase, usize::try_from(index).unwrap_or(0).saturating_add(1)), kept).await?;
                }
                let pause = Pause { instructions: kept.mask.apply(&text), ..pause.clone() };
                kept.log.note(&format!("{name} asks: {}", pause.instructions)).await;
                if self.end == StepsEnd::Passed {
                    let question = Question::of((phase, index), &name, &pause);
                    self.end = StepsEnd::Paused(Box::new(question));
                }
            }
            Err(how) => self.end = StepsEnd::Failed(Failure { step: name, how, tail: Vec::new() }),
        }
        Ok(())
    }

    fn run<'r>(&'r self, tree: &'r Path, environment: &'r BTreeMap<String, String>) -> Run<'r> {
        run(self.course, tree, environment)
    }

    /// An empty file for a step's outputs.
    async fn notes(&self, phase: Phase, index: u32) -> Outcome<PathBuf> {
        let path = self.course.notes.join(format!("{phase:?}-{index}"));
        let file = path.clone();
        blocking(move || {
            let made = file
                .parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| std::fs::File::create(&file));
            made.map_err(|e| Trouble::transient(format!("make the file {}", file.display())).because(e))
        })
        .await?;
        Ok(path)
    }

    /// Row D49: a step whose condition does not hold is left out, and everybody can see why.
    async fn wanted(
        &mut self,
        step: &Step,
        environment: &BTreeMap<String, String>,
        kept: &mut KeptLog,
    ) -> bool {
        let mut environment = environment.clone();
        environment.extend(step.environment.clone());
        let name = kept.mask.apply(&step.name);
        let why = match holds(step, &environment) {
            Ok(true) => return true,
            Ok(false) => step.terms.condition.clone().unwrap_or_default(),
            Err(why) => why,
        };
        kept.log.note(&format!("{name} is left out: conditional, {why}")).await;
        self.news.conditional.push(name);
        false
    }

    async fn read_notes(
        &mut self,
        step: &Step,
        (notes, end): (&Path, StepsEnd),
        kept: &mut KeptLog,
    ) -> Outcome<StepsEnd> {
        if step.terms.outputs.is_empty() || end == StepsEnd::Lost {
            return Ok(end);
        }
        let path = notes.to_owned();
        let text = blocking(move || output::take(&path)).await?;
        let written = text.and_then(|text| output::read(&text, &step.terms.outputs, &kept.mask));
        let written = match written {
            Ok(written) => written,
            Err(how) => {
                let failure = Failure { step: kept.mask.apply(&step.name), how, tail: Vec::new() };
                return Ok(if end == StepsEnd::Passed { StepsEnd::Failed(failure) } else { end });
            }
        };
        for line in written.ignored {
            kept.log.note(&format!("warning: {line}; it is ignored")).await;
        }
        let kept_names =
            step.terms.outputs.iter().filter(|output| output.keep).map(|output| output.name.clone());
        let kept_names: BTreeSet<_> = kept_names.filter(|name| written.outputs.contains_key(name)).collect();
        self.take(&written.outputs);
        self.news.outputs.extend(written.outputs);
        self.news.kept.extend(kept_names);
        Ok(end)
    }

    /// Later steps find the values in their environment.
    fn take(&mut self, outputs: &Outputs) {
        let values = outputs.iter().map(|(name, value)| (environment_name(name), value.clone()));
        self.environment.extend(values);
    }

    /// What a step's end makes of the run's.
    fn settle(&mut self, step: &Step, end: StepsEnd) {
        match (end, step.terms.advisory) {
            (StepsEnd::Passed, _) => {}
            (StepsEnd::Lost, _) => self.end = StepsEnd::Lost,
            (StepsEnd::Failed(failure) | StepsEnd::TimedOut(failure), true) => self.news.issues.push(failure),
            (end @ (StepsEnd::Failed(_) | StepsEnd::TimedOut(_)), false) if step.terms.unit.is_some() => {
                if let Some(unit) = &step.terms.unit {
                    self.fates.failed(unit);
                }
                self.held = worse(&self.held, end);
            }
            (end, _) => self.end = worse(&self.end, end),
        }
    }

    /// Whether a step's turn comes, as far as the other things go that the stage deploys (row C42).
    async fn in_turn(&mut self, step: &Step, left: Span, kept: &mut KeptLog) -> bool {
        if self.end != StepsEnd::Passed {
            // What ends the whole run ends all of them; only what runs whatever happens is left.
            return true;
        }
        let Some(unit) = &step.terms.unit else {
            return self.held == StepsEnd::Passed || step.terms.always;
        };
        match self.turn(unit, left, kept).await {
            Turn::Run => true,
            Turn::Failed => step.terms.always,
            Turn::Skipped => false,
        }
    }

    /// Whether something that the stage deploys begins or goes on.
    async fn turn(&mut self, unit: &Unit, left: Span, kept: &mut KeptLog) -> Turn {
        let (mut turn, mut told) = self.fates.turn(unit);
        if turn == Turn::Run && self.held != StepsEnd::Passed && left <= Span::millis(1) {
            (turn, told) = (Turn::Skipped, Some(self.fates.skipped(unit, "no time was left")));
        }
        if let Some(told) = told {
            kept.log.note(&told).await;
        }
        turn
    }

    /// The end of the things that were deployed side by side: the first failure, and what became of the others.
    fn release_held(&mut self, phase: Phase) {
        let held = std::mem::replace(&mut self.held, StepsEnd::Passed);
        if held == StepsEnd::Passed {
            return;
        }
        let parts: &[Part] = if phase == Phase::Test { &[Part::Post] } else { &[Part::Pre, Part::Main] };
        let told = self.fates.told(parts);
        let with = |failure: Failure| match told.as_str() {
            "" => failure,
            told => Failure { how: format!("{}; {told}", failure.how), ..failure },
        };
        let end = match held {
            StepsEnd::Failed(failure) => StepsEnd::Failed(with(failure)),
            StepsEnd::TimedOut(failure) => StepsEnd::TimedOut(with(failure)),
            end @ (StepsEnd::Passed | StepsEnd::Stopped | StepsEnd::Paused(_) | StepsEnd::Lost) => end,
        };
        self.end = worse(&self.end, end);
    }

    /// Stores how far the run is, before anything else begins.
    async fn report(&mut self, (phase, steps): (Phase, usize), kept: &mut KeptLog) -> Outcome<()> {
        if self.end == StepsEnd::Lost {
            return Ok(());
        }
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        let progress = Box::new(Progress {
            phase,
            steps,
            ..std::mem::replace(&mut self.news, Progress::at(Phase::Before, 0))
        });
        let course = self.course;
        let command = Command::Progress { work: course.work.clone(), fence: course.lease.fence(), progress };
        let decided = self.service.journal().report(course.id, &command, course.lease.around()).await?;
        if let Err(refusal) = decided {
            kept.log.note(&format!("the engine goes on without this run: {}", refusal.code())).await;
            self.end = StepsEnd::Lost;
        }
        Ok(())
    }
}

fn run<'r>(course: &'r Course<'_>, tree: &'r Path, environment: &'r BTreeMap<String, String>) -> Run<'r> {
    Run {
        steps: &[],
        tree,
        environment,
        sandbox: Sandbox::Plain,
        wall: course.stage.timeout,
        artifacts: Some(Artifacts { all: &course.artifacts, first: &course.first, unpacked: true }),
        connections: &course.connections,
    }
}

/// The first failure is what people read first; what failed after it is added to it.
fn worse(before: &StepsEnd, end: StepsEnd) -> StepsEnd {
    let (StepsEnd::Failed(also) | StepsEnd::TimedOut(also)) = &end else {
        return if *before == StepsEnd::Passed { end } else { before.clone() };
    };
    let add = |first: &Failure| Failure {
        how: format!("{}; then \"{}\" {}, too", first.how, also.step, also.how),
        ..first.clone()
    };
    match before {
        StepsEnd::Failed(first) => StepsEnd::Failed(add(first)),
        StepsEnd::TimedOut(first) => StepsEnd::TimedOut(add(first)),
        StepsEnd::Passed | StepsEnd::Stopped => end,
        StepsEnd::Paused(_) | StepsEnd::Lost => before.clone(),
    }
}
