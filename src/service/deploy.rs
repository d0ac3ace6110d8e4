//! Running a stage: read the truth back, take the lock, check the bytes, deploy, test, report.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::artifact::pack::Shape;
use crate::artifact::store::Unusable;
use crate::artifact::unpack::{self, HandOut};
use crate::domain::approval::{approvers, rule_for};
use crate::domain::decide::{Command, Ended, Fresh, StageEnd, TagNow, Work};
use crate::domain::event::{Approval, Failure, Form, RunKind};
use crate::domain::name::{Digest, PipelineId, RefName, ReleaseNo, StageName, TeamName};
use crate::domain::pipeline::{Stage, Step};
use crate::domain::refusal::Refusal;
use crate::domain::release::{Release, StageState, TagState};
use crate::domain::state::State;
use crate::domain::variable::{self, Facts, Resolution, Told};
use crate::domain::view;
use crate::runner::Sandbox;
use crate::service::steps::{KeptLog, Run, StepsEnd, Workplace};
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

/// What the commands of a stage and its checks find.
#[derive(Debug)]
pub(super) struct Ground {
    /// The variables of every command.
    pub(super) environment: BTreeMap<String, String>,
    /// The source tree of the released commit.
    pub(super) source: PathBuf,
    /// Where commands that deploy start.
    pub(super) deploy_in: PathBuf,
    /// The commands that deploy and those that test, with the values of their variables.
    pub(super) commands: (Vec<Step>, Vec<Step>),
}

/// Why no command of a stage can be run.
#[derive(Debug)]
pub(super) enum Unready {
    /// The stored bytes are not what was sealed.
    Tampered(String),
    /// A variable has no value, or none that can be.
    Untold(String),
}

impl Service {
    /// Runs a stage once; a run that was begun by a lost worker is reported as lost, never repeated.
    pub async fn run_stage(&self, lease: &Lease, target: &Target) -> Worked {
        let id = lease.pipeline()?;
        let work = Work::Deploy {
            release: target.release,
            stage: target.stage.clone(),
            attempt: target.attempt,
            admission: target.admission,
        };
        let state = self.journal().load(&id).await?;
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
        if release.state_in(&target.stage) != Some(StageState::Running) {
            return lease.complete(self, "not admitted").await;
        }
        let end = match self.stage_end(&id, &release, target, (lease, decided.seq)).await {
            Ok(Some(end)) => end,
            Ok(None) => return Ok(()),
            Err(trouble) => StageEnd::Errored(self.mask().apply(&trouble.chain())),
        };
        let finish = Command::Finish { work, fence: lease.fence(), ended: Ended::Stage(end) };
        match self.journal().report(&id, &finish, lease.done("ended")).await? {
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
        let host = self.host(repo)?;
        let mut fresh = Fresh::default();
        let rule = release.rule(&target.stage).and_then(|s| rule_for(s, run.kind));
        let teams: BTreeSet<TeamName> =
            rule.iter().flat_map(approvers).filter_map(|who| who.host_team().cloned()).collect();
        for approval in &run.approvals {
            let person = &approval.standing.person;
            fresh.standings.insert(person.id, host.standing(repo, person, &teams).await?);
            if self.comment_changed(state, release, approval).await? {
                fresh.comments_changed.extend(approval.comment.clone());
            }
        }
        let repository = host.repository(repo).await?;
        self.fetch(&repository, Some(&release.created.branch), None).await?;
        let (tag, commit, branch) = (
            release.created.version.to_string().parse::<RefName>().ok(),
            release.created.commit.clone(),
            release.created.branch.clone(),
        );
        let tagged = !matches!(release.tag, TagState::Unknown);
        let (tag_now, off_branch) = self
            .mirror(repo, move |mirror| {
                let now = tag.filter(|_| tagged).map(|tag| {
                    let commit = mirror.tags()?.into_iter().find(|t| t.name == tag).map(|t| t.commit);
                    Ok::<_, Trouble>(TagNow { tag, commit })
                });
                let on = match mirror.head_of(&branch)? {
                    Some(tip) => mirror.is_ancestor(&commit, &tip)?,
                    None => false,
                };
                Ok((now.transpose()?, !on))
            })
            .await?;
        fresh.tag = tag_now;
        fresh.off_branch = off_branch;
        Ok(fresh)
    }

    async fn comment_changed(&self, state: &State, release: &Release, approval: &Approval) -> Outcome<bool> {
        let Some(comment) = &approval.comment else { return Ok(false) };
        let answer = state.answers.values().find_map(|(_, heard)| {
            (heard.comment.as_ref() == Some(comment)).then(|| heard.place.clone()).flatten()
        });
        let Some(place) = answer.or_else(|| release.place.clone()) else { return Ok(false) };
        match self.host(&state.id.repo)?.comment(&state.id.repo, &place, comment).await {
            Ok(now) => Ok(Digest::of_text(&now.body) != approval.body),
            Err(trouble) if trouble.kind() == Kind::NotFound => Ok(true),
            Err(trouble) => Err(trouble),
        }
    }

    /// Nothing means that the lease was lost: the next holder says so.
    async fn stage_end(
        &self,
        id: &PipelineId,
        release: &Release,
        target: &Target,
        (lease, fence): (&Lease, i64),
    ) -> Outcome<Option<StageEnd>> {
        let begun = crate::clock::monotonic();
        let stage = release.steps(&target.stage).ok_or_else(|| Trouble::bug("the stage is gone"))?;
        let place = Workplace::make(self, &lease.folder()).await?;
        let name = view::log_id(id, target.release, target.stage.as_str(), target.attempt);
        let mut kept = KeptLog::open(self, name);
        let end = self.stage_steps(id, (release, stage), (&place, lease, fence), &mut kept).await;
        kept.close().await?;
        place.remove().await;
        Ok(match end? {
            Ok(StepsEnd::Passed) => {
                let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                Some(StageEnd::Passed { took_ms })
            }
            Ok(StepsEnd::Failed(failure)) => Some(StageEnd::Failed(failure)),
            Ok(StepsEnd::TimedOut(failure)) => Some(StageEnd::TimedOut(failure)),
            Ok(StepsEnd::Stopped) => Some(StageEnd::Stopped),
            Ok(StepsEnd::Lost) => None,
            Err(tampered) => Some(StageEnd::Tampered(tampered)),
        })
    }

    /// The inner error says that the stored bytes are not what was sealed.
    async fn stage_steps(
        &self,
        id: &PipelineId,
        (release, stage): (&Release, &Stage),
        (place, lease, fence): (&Workplace, &Lease, i64),
        kept: &mut KeptLog,
    ) -> Outcome<Result<StepsEnd, String>> {
        let ground = match self.prepare(id, (release, stage), (place, fence), kept).await? {
            Ok(ground) => ground,
            Err(Unready::Tampered(mismatch)) => return Ok(Err(mismatch)),
            Err(Unready::Untold(how)) => {
                let failure = Failure { step: "variables".to_owned(), how, tail: Vec::new() };
                return Ok(Ok(StepsEnd::Failed(failure)));
            }
        };
        let verify = release.run(&stage.name).is_some_and(|run| run.kind == RunKind::Verify);
        let parts = [(&ground.commands.0, &ground.deploy_in), (&ground.commands.1, &ground.source)];
        let environment = &ground.environment;
        for (steps, tree) in parts.into_iter().skip(usize::from(verify)) {
            let run = Run { steps, tree, environment, sandbox: Sandbox::Plain, wall: stage.timeout };
            let end = self.run_steps(&run, kept, lease.stops()).await?;
            if end != StepsEnd::Passed {
                return Ok(Ok(end));
            }
        }
        Ok(Ok(StepsEnd::Passed))
    }

    /// Hands out the checked artifacts and the source, and says what commands are told about them.
    pub(super) async fn prepare(
        &self,
        id: &PipelineId,
        (release, stage): (&Release, &Stage),
        (place, fence): (&Workplace, i64),
        kept: &mut KeptLog,
    ) -> Outcome<Result<Ground, Unready>> {
        let mut environment = self.base_environment(&place.path("home"));
        let mut first = None;
        for artifact in &release.artifacts {
            let to = place.path("artifacts").join(artifact.alias.as_str());
            match self.hand_out(release, artifact, to.clone()).await? {
                Ok(()) => {}
                Err(mismatch) => return Ok(Err(Unready::Tampered(mismatch))),
            }
            kept.log.note(&format!("artifact {} is {}, checked", artifact.alias, artifact.digest)).await;
            let key =
                format!("LIFTLOCK_ARTIFACT_{}", artifact.alias.as_str().to_uppercase().replace('-', "_"));
            environment.insert(key, to.display().to_string());
            first.get_or_insert(to);
        }
        let source = place.path("src");
        self.export(&id.repo, &release.created.commit, source.clone()).await?;
        let artifact = first.unwrap_or_else(|| source.clone());
        let told = match self.told(release, stage, &place.path("artifacts")).await? {
            Ok(told) => told,
            Err(how) => return Ok(Err(Unready::Untold(how))),
        };
        environment.extend(told.variables);
        environment.extend(stage_environment(id, (release, stage), fence));
        environment.insert("LIFTLOCK_ARTIFACT".to_owned(), artifact.display().to_string());
        environment.insert("LIFTLOCK_SOURCE".to_owned(), source.display().to_string());
        environment.extend(told.entries);
        environment.extend(self.secrets(&stage.secrets)?);
        let deploy_in = if artifact.is_dir() { artifact } else { source.clone() };
        let commands = (told.deploy, told.test_commands);
        Ok(Ok(Ground { environment, source, deploy_in, commands }))
    }

    /// The stage's commands with their variables; the inner error says why that cannot be.
    async fn told(
        &self,
        release: &Release,
        stage: &Stage,
        artifacts: &Path,
    ) -> Outcome<Result<Told, String>> {
        let facts = Facts::of(release, Some(artifacts.display().to_string()));
        let levels = variable::levels(&release.created.pipeline, stage, &facts);
        let told = Resolution::of(&levels).and_then(|all| Ok((all.told(stage, &variable::hidden)?, all)));
        let (told, all) = match told {
            Ok(told) => told,
            Err(problem) => return Ok(Err(problem.to_string())),
        };
        let paths: Vec<(String, PathBuf)> = all
            .all()
            .iter()
            .filter_map(|entry| {
                let value = told.variables.get(&variable::environment_name(entry.name))?;
                Some((entry.name.to_string(), path_of_artifact(value, release, artifacts)?))
            })
            .collect();
        let missing = blocking(move || Ok(paths.into_iter().find(|(_, path)| !path.exists()))).await?;
        Ok(match missing {
            Some((name, path)) => {
                let path = path.strip_prefix(artifacts).unwrap_or(&path).display().to_string();
                Err(format!("`{name}` is `{path}`, and the artifact has no such path"))
            }
            None => Ok(told),
        })
    }

    async fn hand_out(
        &self,
        release: &Release,
        artifact: &crate::domain::event::Sealed,
        to: PathBuf,
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
            let what = HandOut { blob: &digest, shape, to: &to, mtime_s, limits: TREE_LIMITS };
            match unpack::hand_out(&store, what) {
                Ok(_) => Ok(Ok(())),
                Err(Unusable::Mismatch { .. }) => Ok(Err(format!(
                    "the artifact for {version} no longer matches {}; the stored bytes were put aside",
                    digest.short()
                ))),
                Err(Unusable::Trouble(trouble)) => Err(trouble),
            }
        })
        .await
    }
}

/// The path within an artifact that a variable's value is, if it is one (row A14): such a path was sealed, so it is
/// there or the variable is wrong. A list of paths, a pattern or an option with a path in it is left alone.
fn path_of_artifact(value: &str, release: &Release, artifacts: &Path) -> Option<PathBuf> {
    let inside = Path::new(value).strip_prefix(artifacts).ok()?;
    let alias = inside.components().next()?.as_os_str();
    let one = !value.contains([':', ';', ',', '*', '?', ' ', '\n']);
    let ours = release.artifacts.iter().any(|a| alias == a.alias.as_str());
    (one && ours).then(|| PathBuf::from(value))
}

/// What a stage's commands are told about the release, by name.
fn stage_environment(
    id: &PipelineId,
    (release, stage): (&Release, &Stage),
    fence: i64,
) -> BTreeMap<String, String> {
    let created = &release.created;
    let digest = release.shown_digest().map_or_else(String::new, ToString::to_string);
    [
        ("STAGE", stage.name.to_string()),
        ("LIFTLOCK_STAGE", stage.name.to_string()),
        ("LIFTLOCK_ENVIRONMENT", stage.environment.to_string()),
        ("LIFTLOCK_PIPELINE", id.name.to_string()),
        ("LIFTLOCK_VERSION", created.version.to_string()),
        ("LIFTLOCK_COMMIT", created.commit.to_string()),
        ("LIFTLOCK_DIGEST", digest.clone()),
        ("RELEASE_DIGEST", digest),
        // The number of the event that admitted this run. It rises over all runs of an environment, so a target that
        // remembers the highest it has seen can refuse what a dead server left behind (STORAGE §2).
        ("FENCE_TOKEN", fence.to_string()),
        // Copilot's own names (CHECKLIST C43).
        ("COPILOT_APPLICATION_NAME", id.name.to_string()),
        ("COPILOT_ENVIRONMENT_NAME", stage.environment.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}
