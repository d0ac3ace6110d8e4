//! Asking checks: legs after a deploy and gates around it, by a command or by a question, and reporting the answer.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::join_all;

use crate::domain::check::course::Course;
use crate::domain::check::{BuiltIn, Check, CheckKind, Component, LegId, Side};
use crate::domain::coherence;
use crate::domain::decide::{Command, Ended, Work};
use crate::domain::evidence::unsigned;
use crate::domain::name::{PipelineId, ReleaseNo, StageName};
use crate::domain::pipeline::Stage;
use crate::domain::plan::check::samples_owed;
use crate::domain::probe::{Answer, Probe, Reading};
use crate::domain::refusal::Refusal;
use crate::domain::release::{Release, StageRun};
use crate::domain::rollout::Rollout;
use crate::domain::state::State;
use crate::domain::time::Span;
use crate::domain::variable::{self, artifact_variable};
use crate::domain::view;
use crate::runner::target::quoted;
use crate::runner::{Ended as Exit, Job, Limits, Program, Report, Sandbox};
use crate::service::Service;
use crate::service::contract;
use crate::service::deploy::Unready;
use crate::service::groups::Secrets;
use crate::service::stage::slots::SLOT;
use crate::service::steps::{KeptLog, Workplace};
use crate::service::worker::{Lease, Result as Worked};
use crate::trouble::Outcome;

/// The exit code by which a command says that it cannot tell (SEMANTICS §5; `EX_TEMPFAIL`).
const CANNOT_TELL: i32 = 75;

/// Where a check that is asked once for each component finds the tree of one.
const TREE: &str = "LIFTLOCK_TREE";

/// Which run of which stage is asked about.
#[derive(Debug, Clone)]
pub struct Questioned {
    /// The release.
    pub release: ReleaseNo,
    /// The stage.
    pub stage: StageName,
    /// The attempt.
    pub attempt: u32,
    /// How many answers or samples there were.
    pub sample: u32,
}

/// What a leg or gate is asked in.
struct Asking<'a> {
    id: &'a PipelineId,
    release: &'a Release,
    stage: &'a Stage,
    lease: &'a Lease,
    /// How far the run is.
    rollout: Option<&'a Rollout>,
}

/// What is known before the files are looked into.
enum Before {
    /// Nothing.
    Nothing,
    /// So many things were looked at, and are good.
    Good(usize),
    /// It is answered, with what there is to say.
    Answered(Reading, Vec<String>),
}

impl Before {
    /// Problems, or how much was looked at.
    fn of(problems: Vec<String>, parts: usize) -> Self {
        match problems.first() {
            Some(first) => Self::Answered(Reading::new(Answer::Fail, first), problems),
            None => Self::Good(parts),
        }
    }
}

/// An answer; nothing when somebody stopped it or the lease is another's.
type Answered = Option<(Reading, Vec<String>)>;

impl Service {
    /// Asks one leg once.
    pub async fn ask_leg(&self, lease: &Lease, about: Questioned, leg: LegId) -> Worked {
        let id = lease.pipeline()?;
        let asked_at = self.store().here();
        let state = self.journal().load(&id).await?;
        let Some((release, rule, run)) = questioned(&state, &about) else {
            return lease.complete(self, "decided already").await;
        };
        let release = &*release;
        let course = Course { repo: &id.repo, release, stage: rule, run };
        let due = course.due().into_iter().find(|due| due.leg == leg && due.samples == about.sample);
        let Some(due) = due else { return lease.complete(self, "decided already").await };
        let asking = Asking { id: &id, release, stage: rule, lease, rollout: Some(&run.rollout) };
        let Some((reading, tail)) = self.ask_check(&asking, &leg, due.check).await else {
            return if lease.stops().lost.is_cancelled() {
                Ok(())
            } else {
                lease.complete(self, "stopped").await
            };
        };
        let work = Work::Leg {
            release: about.release,
            stage: about.stage,
            attempt: about.attempt,
            leg,
            sample: about.sample,
        };
        let again = asked_at.plus(due.check.pace());
        self.report_answer(lease, &id, (work, Ended::Leg { reading, tail }), again).await
    }

    /// Samples the gates of one side once.
    pub async fn sample_gates(&self, lease: &Lease, about: Questioned, side: Side) -> Worked {
        let id = lease.pipeline()?;
        let asked_at = self.store().here();
        let state = self.journal().load(&id).await?;
        let Some((release, rule, run)) = questioned(&state, &about) else {
            return lease.complete(self, "decided already").await;
        };
        let release = &*release;
        if samples_owed(&state, release, &about.stage, asked_at) != Some((side, about.sample)) {
            return lease.complete(self, "decided already").await;
        }
        let asking = Asking { id: &id, release, stage: rule, lease, rollout: Some(&run.rollout) };
        let Some(readings) = self.ask_side(&asking, side).await else { return Ok(()) };
        let course = Course { repo: &id.repo, release, stage: rule, run };
        let again = asked_at.plus(course.around(side).pace(side));
        let work = Work::Gates {
            release: about.release,
            stage: about.stage,
            attempt: about.attempt,
            side,
            sample: about.sample,
        };
        self.report_answer(lease, &id, (work, Ended::Gates(readings)), again).await
    }

    /// Stores what changed; an answer that changes nothing only puts the next question off.
    async fn report_answer(
        &self,
        lease: &Lease,
        id: &PipelineId,
        (work, ended): (Work, Ended),
        again: crate::domain::time::Timestamp,
    ) -> Worked {
        let finish = Command::Finish { work, fence: lease.fence(), ended };
        match self.journal().report(id, &finish, lease.done("answered")).await? {
            Ok(_) => Ok(()),
            Err(Refusal::NothingNew) => lease.put_off(self, again, "asked; nothing changed").await,
            Err(refusal) => lease.complete(self, refusal.code()).await,
        }
    }

    /// What the gates before a stage say now, when what they said last is old.
    pub(super) async fn fresh_gates(
        &self,
        state: &State,
        release: &Release,
        (stage, lease): (&Stage, &Lease),
    ) -> Option<Vec<(LegId, Reading)>> {
        let run = release.run(&stage.name)?;
        let course = Course { repo: &state.id.repo, release, stage, run };
        if !course.is_stale(Side::Pre, self.store().here()) {
            return None;
        }
        self.ask_side(&Asking { id: &state.id, release, stage, lease, rollout: None }, Side::Pre).await
    }

    /// Asks a check that stands in the middle of a deploy; nothing when somebody stopped it.
    pub(super) async fn ask_health(
        &self,
        course: &crate::service::stage::Course<'_>,
        rollout: &Rollout,
        check: &Check,
    ) -> Option<Reading> {
        let (release, stage) = (course.release, course.release.rule(&course.stage.name)?);
        let asking = Asking { id: course.id, release, stage, lease: course.lease, rollout: Some(rollout) };
        let leg = LegId::whole(check.name.clone());
        self.ask_check(&asking, &leg, check).await.map(|(reading, _)| reading)
    }

    /// All gates of a side, at once; nothing when the lease is another's.
    async fn ask_side(&self, asking: &Asking<'_>, side: Side) -> Option<Vec<(LegId, Reading)>> {
        let run = asking.release.run(&asking.stage.name)?;
        let (release, stage) = (asking.release, asking.stage);
        let course = Course { repo: &asking.id.repo, release, stage, run };
        let gates = course.gates(side);
        let answers = gates.iter().map(|(leg, check)| self.ask_check(asking, leg, check));
        let answers = join_all(answers).await;
        gates
            .iter()
            .zip(answers)
            .map(|((leg, _), answer)| answer.map(|(reading, _)| (leg.clone(), reading)))
            .collect()
    }

    /// Asks one check about one leg. What could not be asked is an answer, too: it is counted, and it ends.
    async fn ask_check(&self, asking: &Asking<'_>, leg: &LegId, check: &Check) -> Answered {
        // The values are those of the release's own commit and groups, the question may be a newer one's.
        let steps = asking.release.steps(&asking.stage.name).unwrap_or(asking.stage);
        let question = match variable::question(asking.release, steps, check) {
            Ok(question) => question,
            Err(problem) => return Some((Reading::new(Answer::Error, problem.to_string()), Vec::new())),
        };
        match &question {
            CheckKind::Run(text) => self.ask_process(asking, (leg, check), text).await,
            CheckKind::BuiltIn(what) => self.look(asking, (leg, check), *what).await,
            CheckKind::Probe(probe) => Some((self.ask_probe(asking, leg, probe).await, Vec::new())),
        }
    }

    async fn ask_probe(&self, asking: &Asking<'_>, leg: &LegId, probe: &Probe) -> Reading {
        let (repo, commit) = match &leg.component {
            None => (&asking.id.repo, &asking.release.created.commit),
            Some(Component::Own { repo, commit }) => (repo, commit),
            Some(Component::Source { repository, .. }) if probe.asks_host() => {
                let detail = format!(
                    "the host of the release is asked, and it does not have {repository}; \
                     take `each: component` out of {}",
                    leg.check
                );
                return Reading::new(Answer::Error, detail);
            }
            Some(Component::Source { commit, .. }) => (&asking.id.repo, commit),
        };
        self.probe(repo, commit, probe).await
    }

    /// What is built in answers with what is wrong, not with an exit code.
    async fn look(&self, asking: &Asking<'_>, which: (&LegId, &Check), what: BuiltIn) -> Answered {
        let release = asking.release;
        let before = match what {
            BuiltIn::Contract => self.promises(asking).await,
            BuiltIn::Coherent => self.parts(asking).await,
            BuiltIn::Asset
            | BuiltIn::Binary
            | BuiltIn::Checksum
            | BuiltIn::Packages
            | BuiltIn::Signing
            | BuiltIn::Sourcelink
            | BuiltIn::Symbols => Ok(Before::Nothing),
        };
        let parts = match before {
            Ok(Before::Nothing) => 0,
            Ok(Before::Good(parts)) => parts,
            Ok(Before::Answered(reading, lines)) => return Some((reading, lines)),
            Err(trouble) => {
                let detail = self.mask().apply(&trouble.chain());
                return Some((Reading::new(Answer::Error, detail), Vec::new()));
            }
        };
        let (reading, tail) = self.ask_process(asking, which, &self.validation(release, what)).await?;
        if parts > 0 && reading.answer == Answer::Inconclusive {
            // Without packages there is nothing to see in the files, and what it is made of was looked at.
            let detail = format!("{parts} builds and sources agree; there are no packages");
            return Some((Reading::new(Answer::Pass, detail), tail));
        }
        let told = contract::said(&tail).filter(|_| reading.answer == Answer::Fail);
        Some((told.map_or_else(|| reading.clone(), |told| Reading::new(reading.answer, told)), tail))
    }

    /// What the seals and the evidence of a release say about its contract.
    async fn promises(&self, asking: &Asking<'_>) -> Outcome<Before> {
        let release = asking.release;
        let Some(promised) = release.contract_in(&asking.stage.name) else { return Ok(Before::Nothing) };
        if unsigned(release) {
            let detail = "what its stages made is being signed".to_owned();
            return Ok(Before::Answered(Reading::new(Answer::Error, detail), Vec::new()));
        }
        Ok(Before::of(self.broken(release, &promised).await?, 0))
    }

    /// What the builds and sources that a release is made of say about each other.
    async fn parts(&self, asking: &Asking<'_>) -> Outcome<Before> {
        let release = Arc::new(asking.release.clone());
        let states = self.states_below(asking.id, &release).await?;
        let made_of = coherence::made_of((asking.id, &release), &states);
        Ok(Before::of(made_of.problems, made_of.parts))
    }

    /// What is built in runs as a process like any command: what it reads may be anybody's.
    fn validation(&self, release: &Release, what: BuiltIn) -> String {
        let program = quoted(&self.settings().program.display().to_string());
        let commit = match what {
            BuiltIn::Sourcelink => {
                release.commits().into_iter().flat_map(|commit| [" --commit ", commit.as_str()]).collect()
            }
            BuiltIn::Asset
            | BuiltIn::Binary
            | BuiltIn::Checksum
            | BuiltIn::Coherent
            | BuiltIn::Contract
            | BuiltIn::Packages
            | BuiltIn::Signing
            | BuiltIn::Symbols => String::new(),
        };
        let artifacts = release.artifacts.iter();
        let artifacts = artifacts.map(|sealed| format!(" \"${}\"", artifact_variable(sealed.alias.as_str())));
        format!("exec {program} validate {}{commit}{}", what.word(), artifacts.collect::<String>())
    }

    async fn ask_process(&self, asking: &Asking<'_>, which: (&LegId, &Check), text: &str) -> Answered {
        match self.ask_command(asking, which, text).await {
            Ok(answered) => answered,
            Err(trouble) => {
                let detail = self.mask().apply(&trouble.chain());
                Some((Reading::new(Answer::Error, detail), Vec::new()))
            }
        }
    }

    async fn ask_command(
        &self,
        asking: &Asking<'_>,
        (leg, check): (&LegId, &Check),
        text: &str,
    ) -> Outcome<Answered> {
        let (release, stage) = (asking.release, asking.stage);
        let attempt = release.run(&stage.name).map_or(1, |run| run.attempt);
        // Before the log is opened, so that it hides them.
        let secrets = self.group_secrets(asking.id, release, stage).await?;
        let place = Workplace::make(self, &format!("{}-{}", asking.lease.folder(), leg.name('.'))).await?;
        let mut kept =
            KeptLog::open(self, view::check::log_id(asking.id, release.no(), &stage.name, leg, attempt));
        let ran = self.run_check(asking, (leg, check, text), (&place, &secrets), &mut kept).await;
        kept.close().await?;
        place.remove().await;
        Ok(match ran? {
            Ok(report) => answer_of(&report),
            Err(mismatch) => Some((Reading::new(Answer::Fail, mismatch), Vec::new())),
        })
    }

    /// The inner error says why there is nothing to run it on.
    async fn run_check(
        &self,
        asking: &Asking<'_>,
        (leg, check, text): (&LegId, &Check, &str),
        (place, secrets): (&Workplace, &Secrets),
        kept: &mut KeptLog,
    ) -> Outcome<Result<Report, String>> {
        let (release, stage) = (asking.release, asking.stage);
        let prepared = self.prepare(asking.id, (release, stage, secrets), (place, 0), kept).await?;
        let ground = match prepared {
            Ok(ground) => ground,
            Err(Unready::Tampered(why) | Unready::Untold(why)) => return Ok(Err(why)),
        };
        let mut environment = ground.environment;
        // A check changes nothing, so there is nothing that a number could fence off.
        environment.remove("FENCE_TOKEN");
        environment.insert("LIFTLOCK_CHECK".to_owned(), leg.check.to_string());
        if let (CheckKind::BuiltIn(_), Some(promised)) = (&check.kind, release.contract_in(&stage.name)) {
            environment.insert(contract::VARIABLE.to_owned(), contract::spelled(&promised)?);
        }
        if let Some(at) = asking.rollout.and_then(|rollout| rollout.slot.as_ref()) {
            environment.insert(SLOT.to_owned(), at.choice.slot.to_string());
        }
        if let Some(component) = &leg.component {
            let (name, tree) = match component {
                Component::Own { repo, .. } => (self.journal().name_of(repo).await?, ground.source.clone()),
                Component::Source { alias, repository, .. } => {
                    (repository.clone(), place.grounds().artifact(alias))
                }
            };
            kept.log.note(&format!("component {name} at {}", component.commit().short())).await;
            environment.insert("REPO".to_owned(), name);
            environment.insert("SHA".to_owned(), component.commit().to_string());
            environment.insert(TREE.to_owned(), tree.display().to_string());
        }
        let wall = check.timeout.filter(|_| !check.polls()).unwrap_or(stage.timeout);
        let job = Job {
            program: Program::Shell(text.to_owned()),
            tree: ground.source,
            folder: PathBuf::new(),
            environment,
            limits: Limits { wall, ..Limits::default() },
            sandbox: Sandbox::Plain,
        };
        kept.log.note(&format!("$ {}", text.trim_end())).await;
        self.runner().run(&job, &mut kept.log, asking.lease.stops()).await.map(Ok)
    }
}

fn questioned<'s>(
    state: &'s State,
    about: &Questioned,
) -> Option<(Cow<'s, Release>, &'s Stage, &'s StageRun)> {
    let release = state.release(about.release)?;
    let (rule, run) = release.rule(&about.stage).zip(release.run(&about.stage))?;
    (run.attempt == about.attempt && !run.state.is_bad_end()).then(|| (release.seen_by(run), rule, run))
}

fn answer_of(report: &Report) -> Answered {
    let answer = match report.ended {
        Exit::Exited(0) => Answer::Pass,
        Exit::Exited(CANNOT_TELL) => Answer::Inconclusive,
        Exit::Exited(_) | Exit::Killed { .. } | Exit::TimedOut { .. } | Exit::OutputLimit { .. } => {
            Answer::Fail
        }
        Exit::Cancelled | Exit::Lost => return None,
    };
    let took = Span::seconds(report.took.as_millis().div_ceil(1_000));
    let detail = match report.ended {
        Exit::Exited(0) => format!("took {took}"),
        Exit::Exited(_)
        | Exit::Killed { .. }
        | Exit::TimedOut { .. }
        | Exit::OutputLimit { .. }
        | Exit::Cancelled
        | Exit::Lost => report.ended.to_string(),
    };
    Some((Reading::new(answer, detail), report.tail.clone()))
}
