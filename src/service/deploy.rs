//! Running a stage: read the truth back, take the lock, check the bytes, deploy, test, report.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::artifact::pack::Shape;
use crate::artifact::store::Unusable;
use crate::artifact::unpack::{self, HandOut};
use crate::domain::decide::{Command, Ended, Fresh, StageEnd, Work};
use crate::domain::event::{Failure, Form, RunKind, Sealed};
use crate::domain::name::{Digest, PipelineId, RefName, ReleaseNo, RepoId, StageName, VariableName};
use crate::domain::pipeline::{Agent, Stage};
use crate::domain::progress::Kept;
use crate::domain::refusal::Refusal;
use crate::domain::release::{Release, StageState};
use crate::domain::state::State;
use crate::domain::time::Span;
use crate::domain::variable::{Told, environment_name};
use crate::domain::view;
use crate::folder::Access;
use crate::forge::Repository;
use crate::secret::{Asking, Secret};
use crate::service::environment::{told, wants_token};
use crate::service::groups::{self, Secrets};
use crate::service::journal::Decided;
use crate::service::stage::{Asked, Course, slots};
use crate::service::steps::{KeptLog, StepsEnd, Workplace};
use crate::service::worker::{Lease, Result as Worked};
use crate::service::{Service, TREE_LIMITS, blocking};
use crate::trouble::{Kind, Outcome, Trouble};

/// Which run of which stage.
#[derive(Debug, Clone)]
pub struct Target {
    /// The release.
    pub release: ReleaseNo,
    /// The stage.
    pub stage: StageName,
    /// The attempt.
    pub attempt: u32,
    /// The admission.
    pub admission: u32,
}

impl Target {
    /// The same for the rules.
    fn work(&self) -> Work {
        Work::Deploy {
            release: self.release,
            stage: self.stage.clone(),
            attempt: self.attempt,
            admission: self.admission,
        }
    }
}

/// A run that has begun.
#[derive(Clone, Copy)]
struct Running<'a> {
    id: &'a PipelineId,
    release: &'a Release,
    stage: &'a Stage,
    target: &'a Target,
    lease: &'a Lease,
    decided: &'a Decided,
    secrets: &'a Secrets,
    token: Option<&'a Secret>,
}

/// What the commands of a stage and its checks find.
#[derive(Debug)]
pub(super) struct Ground {
    /// The variables of every command.
    pub(super) environment: BTreeMap<String, String>,
    /// The source tree of the released commit.
    pub(super) source: PathBuf,
    /// Where commands that deploy start.
    pub(super) deploy_in: PathBuf,
    /// The stage, with the values of its variables.
    pub(super) stage: Stage,
}

/// Why no command of a stage can be run.
#[derive(Debug)]
pub(super) enum Unready {
    /// The stored bytes are not what was sealed.
    Tampered(String),
    /// A variable has no value, or none that can be.
    Untold(String),
}

/// Until a stage that is not begun on a full disk looks for room again.
const UNTIL_ROOM: Span = Span::seconds(1);

impl Service {
    /// Runs a stage once; a run that was begun by a lost worker is reported as lost, never repeated.
    pub async fn run_stage(&self, lease: &Lease, target: &Target) -> Worked {
        let id = lease.pipeline()?;
        let work = target.work();
        let state = self.journal().load(&id).await?;
        let waiting = state.release(target.release).and_then(|release| release.run(&target.stage));
        let begins = waiting.is_some_and(|r| r.state == StageState::Queued && r.kind != RunKind::Rollback);
        if begins && self.has_no_room() {
            let then = self.store().here().plus(UNTIL_ROOM);
            return lease.put_off(self, then, "the disk of the database is full").await;
        }
        let mut fresh = self.fresh(&state, target).await?;
        if let Some((release, run)) =
            state.release(target.release).and_then(|r| Some((r, r.run(&target.stage)?)))
            && let Some(rule) = release.rule(&target.stage).filter(|_| run.state == StageState::Queued)
        {
            fresh.gates = self.fresh_gates(&state, release, (rule, lease)).await;
        }
        let begin = Command::Begin { work: work.clone(), fence: lease.fence(), fresh };
        let decided = match self.journal().decide(&id, &begin, lease.around()).await? {
            Ok(decided) => decided,
            Err(Refusal::Busy { .. }) => return Err(Trouble::transient("another run has the environment")),
            Err(refusal) => return lease.complete(self, refusal.code()).await,
        };
        let release = decided.state.release(target.release).cloned();
        let release = release.ok_or_else(|| Trouble::bug("the release is gone"))?;
        // One that was cancelled while it asked is taken up for what runs whatever happened.
        let begun = release.run(&target.stage).filter(|run| run.fence == Some(lease.fence()));
        if !begun.is_some_and(|run| matches!(run.state, StageState::Running | StageState::Cancelling)) {
            return lease.complete(self, "not admitted").await;
        }
        let seen = begun.map_or(Cow::Borrowed(&*release), |run| release.seen_by(run));
        let end = self.stage_end(&id, &seen, target, (lease, &decided)).await;
        self.report_end(lease, &id, (work, end)).await
    }

    /// Stores how commands ended that ran outside, unless the next holder of the lease says it; what went wrong with
    /// us is an end, too.
    pub(super) async fn report_end(
        &self,
        lease: &Lease,
        id: &PipelineId,
        (work, end): (Work, Outcome<Option<StageEnd>>),
    ) -> Worked {
        let end = match end {
            Ok(Some(end)) => end,
            Ok(None) => return Ok(()),
            Err(trouble) => StageEnd::Errored(self.mask().apply(&trouble.chain())),
        };
        let finish = Command::Finish { work, fence: lease.fence(), ended: Ended::Stage(end) };
        match self.journal().report(id, &finish, lease.done("ended")).await? {
            Ok(_) => Ok(()),
            Err(refusal) => lease.complete(self, refusal.code()).await,
        }
    }

    /// What the host says right now about the approvers, their comments, the tag and the branch (invariant 8).
    async fn fresh(&self, state: &State, target: &Target) -> Outcome<Fresh> {
        let Some(release) = state.release(target.release) else { return Ok(Fresh::default()) };
        let Some(run) = release.run(&target.stage).filter(|r| r.state == StageState::Queued) else {
            return Ok(Fresh::default());
        };
        let repo = &state.id.repo;
        let mut fresh = self.approvers_now(state, release, (&target.stage, run)).await?;
        let steps = release.steps(&target.stage);
        let name = self.journal().name_of(repo).await?;
        fresh.cannot_start =
            steps.and_then(|stage| self.not_ready((&state.id, &name), release, stage, run.kind));
        (fresh.tags, fresh.off_branch) = self.stands(repo, release).await?;
        fresh.lost_build = self.lost_build(&state.id, release).await?;
        Ok(fresh)
    }

    /// Of the builds that a release is made of, one whose branch has lost its commit (THREATS T37).
    async fn lost_build(&self, id: &PipelineId, release: &Release) -> Outcome<Option<String>> {
        let mut branches: BTreeMap<(RepoId, RefName), RefName> = BTreeMap::new();
        for built in release.created.builds.iter().filter(|built| built.commit != release.created.commit) {
            let repo = built.pipeline_in(&id.repo).repo;
            let at = (repo.clone(), built.branch.clone());
            let branch = if let Some(branch) = branches.get(&at) {
                branch.clone()
            } else {
                let repository = self.host(&repo)?.repository(&repo).await?;
                let branch = self.branch_now(&repository, &built.branch).await?;
                branches.insert(at, branch.clone());
                branch
            };
            let commit = built.commit.clone();
            if !self.mirror(&repo, move |mirror| mirror.leads_to(&branch, &commit)).await? {
                return Ok(Some(format!("{built} at {}", built.commit.short())));
            }
        }
        Ok(None)
    }

    /// Where a release's commit must be: its branch, or the default branch once that one was merged and deleted.
    pub(super) async fn branch_now(&self, repository: &Repository, branch: &RefName) -> Outcome<RefName> {
        match self.fetch(repository, Some(branch), None).await {
            Err(gone) if gone.kind() == Kind::NotFound && *branch != repository.default_branch => {
                self.fetch(repository, None, None).await?;
                Ok(repository.default_branch.clone())
            }
            fetched => fetched.map(|()| branch.clone()),
        }
    }

    /// Nothing means that the lease was lost: the next holder says so.
    async fn stage_end(
        &self,
        id: &PipelineId,
        release: &Release,
        target: &Target,
        (lease, decided): (&Lease, &Decided),
    ) -> Outcome<Option<StageEnd>> {
        let begun = crate::clock::monotonic();
        let stage = release.steps(&target.stage).ok_or_else(|| Trouble::bug("the stage is gone"))?;
        let idle = stage.agent == Agent::None;
        if idle && release.rules.release.contract.is_none() {
            return Ok(Some(StageEnd::Passed { took_ms: 0 }));
        }
        // Before the log is opened, so that it hides them.
        let secrets = self.group_secrets(id, release, stage).await?;
        let place = Workplace::make(self, &lease.folder()).await?;
        let name = view::log_id(id, target.release, target.stage.as_str(), target.attempt);
        let host = self.host(&id.repo)?;
        let token = if wants_token(release, stage) { Some(host.step_token(&id.repo).await?) } else { None };
        let mask = token.as_ref().map_or_else(|| self.mask(), |token| self.mask_also(token));
        let mut kept = KeptLog::hiding(self, name, mask);
        let running =
            Running { id, release, stage, target, lease, decided, secrets: &secrets, token: token.as_ref() };
        // Boxed: what a stage is told and how far it is would make every piece of work as large.
        let end = Box::pin(self.stage_steps(&running, &place, &mut kept)).await;
        if let Some(Err(trouble)) = match &token {
            Some(token) => Some(host.revoke(token).await),
            None => None,
        } {
            // It ends by itself within the hour.
            kept.log.note(&format!("warning: the token could not be revoked: {}", trouble.chain())).await;
            tracing::warn!(error = self.mask().apply(&trouble.chain()), "a token of a stage was not revoked");
        }
        kept.close().await?;
        place.remove().await;
        let end = match end? {
            Ok(StepsEnd::Passed) => self.still_sealed(id, release).await?.map(|()| StepsEnd::Passed),
            end => end,
        };
        Ok(match end {
            Ok(end) => end.of_run(begun),
            Err(tampered) => Some(StageEnd::Tampered(tampered)),
        })
    }

    /// The inner error says that the stored bytes are not what was sealed.
    async fn stage_steps(
        &self,
        running: &Running<'_>,
        place: &Workplace,
        kept: &mut KeptLog,
    ) -> Outcome<Result<StepsEnd, String>> {
        let Running { id, release, stage, target, lease, decided, secrets, token } = *running;
        let grounds = place.grounds();
        let fence = decided.seq;
        let ground = match self.prepare(id, (release, stage, secrets), (place, fence), kept).await? {
            Ok(ground) => ground,
            Err(Unready::Tampered(mismatch)) => return Ok(Err(mismatch)),
            Err(Unready::Untold(how)) => {
                let failure = Failure { step: "variables".to_owned(), how, tail: Vec::new() };
                return Ok(Ok(StepsEnd::Failed(failure)));
            }
        };
        let Ground { mut environment, source, deploy_in, stage } = ground;
        let stage = &stage;
        let end = self.before_commands((release, stage), place, (kept, lease)).await?;
        if end != StepsEnd::Passed || stage.agent == Agent::None {
            return Ok(Ok(end));
        }
        if let Some(token) = token {
            environment.insert("SYSTEM_ACCESSTOKEN".to_owned(), token.expose().to_owned());
        }
        let writable = self.writable(release, stage, &place.path("")).await?;
        if let Some((_, file)) = &writable {
            environment.insert(groups::VARIABLE.to_owned(), file.display().to_string());
        }
        let here = release.rule(&stage.name).map(|rule| release.site(rule));
        let known = here.as_ref().and_then(|here| decided.state.kept.get(here));
        name_outputs(&mut environment, stage, known);
        let repository = self.journal().name_of(&id.repo).await?;
        let asking = Asking { repository: &repository, pipeline: &id.name, stage: &stage.name };
        let kind = release.run(&stage.name).map_or(RunKind::Deploy, |run| run.kind);
        let course = Course {
            id,
            work: target.work(),
            lease,
            release,
            stage,
            targets: self.targets(asking, release, stage),
            slot: slots::choice(&decided.state, release, release.rule(&stage.name).unwrap_or(stage)),
            standings: self.standings(&decided.state, (release, stage, kind), &grounds).await?,
            kind,
            artifacts: grounds.artifacts(),
            first: grounds.first(release),
            deploy_in,
            source,
            notes: grounds.notes(),
            made: grounds.made(),
            documents: grounds.documents(),
            connections: self.connections(asking, stage).map_err(Trouble::refused)?,
            goes_back: goes_back(release, stage),
            asked: release.run(&stage.name).and_then(Asked::of),
            owed: here.and_then(|here| decided.state.owing.get(&here)).map(|owing| owing.outputs.clone()),
        };
        let end = Box::pin(self.walk(&course, environment, kept)).await?;
        // Whoever goes on behind a question has folders of their own, so nothing is left for them to write.
        if matches!(end, StepsEnd::Passed | StepsEnd::Paused(_))
            && let Some(writable) = &writable
            && let Some(failure) = self.write_groups((id, lease), (release, stage), writable).await?
        {
            kept.log.note(&format!("write groups: {}", failure.how)).await;
            return Ok(Ok(StepsEnd::Failed(failure)));
        }
        Ok(Ok(end))
    }

    /// What comes before every command: the release keeps its contract, and its images are where they are pulled from.
    async fn before_commands(
        &self,
        about: (&Release, &Stage),
        place: &Workplace,
        (kept, lease): (&mut KeptLog, &Lease),
    ) -> Outcome<StepsEnd> {
        let end = self.keeps_contract(about, &place.grounds(), (kept, lease.stops())).await?;
        if end != StepsEnd::Passed || about.1.agent == Agent::None {
            return Ok(end);
        }
        self.push_images(about, place, kept, lease.stops()).await
    }

    /// Hands out the checked artifacts and the source, and says what commands are told about them.
    pub(super) async fn prepare(
        &self,
        id: &PipelineId,
        (release, stage, secrets): (&Release, &Stage, &Secrets),
        (place, fence): (&Workplace, i64),
        kept: &mut KeptLog,
    ) -> Outcome<Result<Ground, Unready>> {
        for (at, fetched) in secrets {
            kept.log.note(&format!("secret {at}, {}", fetched.version)).await;
        }
        let grounds = place.grounds();
        for artifact in &release.artifacts {
            let to = grounds.artifact(&artifact.alias);
            match self.hand_out(release, artifact, (to, Access::ReadOnly)).await? {
                Ok(()) => {}
                Err(mismatch) => return Ok(Err(Unready::Tampered(mismatch))),
            }
            kept.log.note(&format!("artifact {} is {}, checked", artifact.alias, artifact.digest)).await;
        }
        self.lay_out(release, grounds.documents()).await?;
        let source = grounds.source();
        self.export(&id.repo, &release.created.commit, source.clone()).await?;
        let told = match told_of((release, stage), grounds.artifacts(), secrets).await? {
            Ok(told) => told,
            Err(how) => return Ok(Err(Unready::Untold(how))),
        };
        let own = self.journal().name_of(&id.repo).await?;
        let environment = self.stage_environment((id, &own), (release, &told), (&grounds, fence))?;
        let deploy_in = grounds.deploy_in(release);
        Ok(Ok(Ground { environment, source, deploy_in, stage: told.stage }))
    }

    pub(super) async fn hand_out(
        &self,
        release: &Release,
        artifact: &Sealed,
        (to, access): (PathBuf, Access),
    ) -> Outcome<Result<(), String>> {
        let (store, digest, mtime_s) =
            (self.artifacts().clone(), artifact.digest.clone(), release.created.epoch_s);
        let shape = match artifact.form {
            Form::Folder => Shape::Folder,
            Form::File => Shape::File { executable: false },
            Form::Program => Shape::File { executable: true },
        };
        let version = release.created.version.to_string();
        blocking(move || {
            if let Some(parent) = to.parent() {
                std::fs::create_dir_all(parent)
                    .map_err(|e| Trouble::transient("make a folder for artifacts").because(e))?;
            }
            let what = HandOut { blob: &digest, shape, to: &to, access, mtime_s, limits: TREE_LIMITS };
            match unpack::hand_out(&store, what) {
                Ok(_) => Ok(Ok(())),
                Err(Unusable::Mismatch { .. }) => Ok(Err(mismatch(&version, &digest))),
                Err(Unusable::Trouble(trouble)) => Err(trouble),
            }
        })
        .await
    }

    /// The stored bytes are hashed once more before a stage is called good: what is promoted next is what it had
    /// (THREATS T44). The error says that they are not what was sealed.
    async fn still_sealed(&self, id: &PipelineId, release: &Release) -> Outcome<Result<(), String>> {
        // What the stage made of them by now, too.
        let state = self.journal().load(id).await?;
        let now = state.release(release.no()).map_or(release, |now| now);
        let all = release.artifacts.iter().chain(&now.artifacts).map(|sealed| sealed.digest.clone());
        let (all, version) = (all.collect::<BTreeSet<_>>(), release.created.version.to_string());
        let store = self.artifacts().clone();
        blocking(move || {
            for digest in all {
                match store.verify(&digest) {
                    Ok(_) => {}
                    Err(Unusable::Mismatch { .. }) => return Ok(Err(mismatch(&version, &digest))),
                    // The stage has passed, and who uses the bytes next hashes them: a bucket that does not answer now
                    // must not make of it a run that nobody knows the end of.
                    Err(Unusable::Trouble(trouble)) => {
                        let error = trouble.chain();
                        tracing::warn!(%digest, error, "cannot be hashed once more behind a stage");
                    }
                }
            }
            Ok(Ok(()))
        })
        .await
    }
}

/// The outputs of a stage's steps by name, with what was kept of them there. One that no step comes to write is empty,
/// which is not the same as no such name.
fn name_outputs(
    environment: &mut BTreeMap<String, String>,
    stage: &Stage,
    known: Option<&BTreeMap<VariableName, Kept>>,
) {
    for output in stage.all_steps().flat_map(|step| &step.terms.outputs) {
        let before = known.and_then(|known| known.get(&output.name)).filter(|_| output.keep);
        let name = environment_name(&output.name);
        match before {
            Some(before) => environment.insert(name, before.value.clone()),
            None => Some(environment.entry(name).or_default().clone()),
        };
    }
}

fn mismatch(version: &str, digest: &Digest) -> String {
    format!(
        "the artifact for {version} no longer matches {}; the stored bytes were put aside",
        digest.short()
    )
}

/// Whether a stage goes back by itself when its tests fail.
fn goes_back(release: &Release, stage: &Stage) -> bool {
    let rule = release.rule(&stage.name);
    rule.is_some_and(|rule| !rule.rollback.auto.is_empty() && !stage.test_commands.is_empty())
}

/// The stage's commands with their variables, once its artifacts are there; the inner error says why that cannot be.
async fn told_of(
    (release, stage): (&Release, &Stage),
    artifacts: PathBuf,
    secrets: &Secrets,
) -> Outcome<Result<Told, String>> {
    let reveal =
        |at: &str| secrets.get(at).map_or_else(String::new, |fetched| fetched.value.expose().to_owned());
    let (told, paths) = match told(release, stage, &artifacts, &reveal) {
        Ok(told) => told,
        Err(problem) => return Ok(Err(problem.to_string())),
    };
    let missing = blocking(move || Ok(paths.into_iter().find(|(_, path)| !path.exists()))).await?;
    Ok(match missing {
        Some((name, path)) => {
            let path = path.strip_prefix(&artifacts).unwrap_or(&path).display().to_string();
            Err(format!("`{name}` is `{path}`, and the artifact has no such path"))
        }
        None => Ok(told),
    })
}
