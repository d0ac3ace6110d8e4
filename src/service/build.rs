//! Building: from a tree export in the sandbox to a sealed artifact, or to a pull request's quality verdict.

mod base;
mod cache;
mod downloads;
mod executor;
mod inputs;
mod taken;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::artifact::{image, pack, scan};
use crate::clock;
use crate::domain::decide::{Command, Ended, Fresh, Learned, Work};
use crate::domain::event::{BuildOutcome, Failure, Form, Sealed};
use crate::domain::image::{Base, Image};
use crate::domain::name::{Alias, CommitSha, Digest, PipelineId, ReleaseNo};
use crate::domain::pipeline::{Checkout, Pipeline};
use crate::domain::release::Release;
use crate::domain::reuse::{self, Reuse};
use crate::domain::source::Found;
use crate::domain::time::Span;
use crate::domain::view;
use crate::folder;
use crate::git::repo::Mirror;
use crate::runner::probe::Origin;
use crate::runner::{Sandbox, SandboxSpec};
use crate::service::build::base::Unpacked;
use crate::service::build::inputs::Inputs;
use crate::service::source::{Public, build_stage};
use crate::service::steps::{Connections, KeptLog, Run, StepsEnd, Workplace, left_of};
use crate::service::worker::{Lease, Result as Worked};
use crate::service::{Service, TREE_LIMITS, blocking};
use crate::trouble::{Outcome, Trouble};

/// Room for a sandboxed build's temporary files; it is memory.
const TEMPORARY_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Longest copying of a history: what the first fetch of the repository may take from its host.
const CLONE_WITHIN: Span = Span::minutes(15);

/// Where a clone has its history; when and how that was packed is nothing of what was built, so it is in no artifact.
const HISTORY: &str = ".git";

/// Code of the alarm about a secret inside an artifact.
const SECRET_IN_ARTIFACT: &str = "secret_in_artifact";

/// What to build, whoever asked.
struct Subject<'a> {
    id: &'a PipelineId,
    commit: CommitSha,
    pipeline: &'a Pipeline,
    origin: Origin,
    /// The release it is built for; nothing for a pull request.
    release: Option<&'a Release>,
    /// The trees of other repositories that it takes.
    sources: Vec<Found>,
    /// Whether these have to be public.
    public: Public,
    /// Whether what it leaves is kept.
    kept: bool,
    /// What executes it, when another release may take what it leaves.
    executor: Option<Digest>,
    log: String,
    environment: BTreeMap<String, String>,
    epoch_s: i64,
}

impl Subject<'_> {
    /// The one mtime of everything packed.
    fn epoch(&self) -> u64 {
        u64::try_from(self.epoch_s).unwrap_or(0)
    }
}

impl Service {
    /// Builds and seals a release.
    pub async fn build_release(&self, lease: &Lease, no: ReleaseNo, attempt: u32) -> Worked {
        let id = lease.pipeline()?;
        let work = Work::Build { release: no, attempt };
        let begin = Command::Begin { work: work.clone(), fence: lease.fence(), fresh: Fresh::default() };
        let decided = match self.journal().decide(&id, &begin, lease.around()).await? {
            Ok(decided) => decided,
            Err(refusal) => return lease.complete(self, refusal.code()).await,
        };
        let release =
            decided.state.release(no).cloned().ok_or_else(|| Trouble::bug("the release is gone"))?;
        let created = &release.created;
        let executor = match self.executor((&id, &created.pipeline), Origin::ProtectedBranch).await {
            Ok(executor) => executor,
            Err(trouble) => {
                let ended = Ended::Build(BuildOutcome::Errored(self.mask().apply(&trouble.chain())));
                return self.end_build(lease, &id, work, ended).await;
            }
        };
        if self.take_over(lease, (&decided.state, &release), (&work, executor.as_ref())).await? {
            return Ok(());
        }
        let subject = Subject {
            id: &id,
            commit: created.commit.clone(),
            pipeline: &created.pipeline,
            origin: Origin::ProtectedBranch,
            release: Some(&release),
            sources: release.sources.clone(),
            public: Public::No,
            kept: true,
            executor,
            log: view::log_id(&id, no, "build", attempt),
            environment: reuse::told(created),
            epoch_s: created.pipeline.build.reuse.epoch_s(created.epoch_s),
        };
        let ended = match self.build(&subject, lease).await {
            Ok(Some(ended)) => ended,
            Ok(None) => return Ok(()),
            Err(trouble) => Ended::Build(BuildOutcome::Errored(self.mask().apply(&trouble.chain()))),
        };
        self.end_build(lease, &id, work, ended).await
    }

    /// Builds a pull request's head, which sees no secret; what it leaves is kept when a release may take it.
    pub async fn build_check(&self, lease: &Lease, commit: CommitSha, attempt: u32) -> Worked {
        let id = lease.pipeline()?;
        let work = Work::Check { commit: commit.clone(), attempt };
        let begin = Command::Begin { work: work.clone(), fence: lease.fence(), fresh: Fresh::default() };
        let decided = match self.journal().decide(&id, &begin, lease.around()).await? {
            Ok(decided) => decided,
            Err(refusal) => return lease.complete(self, refusal.code()).await,
        };
        let check =
            decided.state.checks.get(&commit).cloned().ok_or_else(|| Trouble::bug("the check is gone"))?;
        let mut subject = Subject {
            id: &id,
            commit: commit.clone(),
            pipeline: &check.pipeline,
            origin: Origin::PullRequest,
            release: None,
            sources: Vec::new(),
            public: Public::Yes,
            kept: check.tree.is_some(),
            executor: None,
            log: view::check_log_id(&id, &commit, attempt),
            environment: reuse::told_of_head(&commit, check.tree.is_some()),
            epoch_s: Reuse::Tree.epoch_s(0),
        };
        if subject.kept {
            // Where it cannot be told it cannot be built either, which is said there.
            subject.executor =
                self.executor((&id, &check.pipeline), Origin::PullRequest).await.unwrap_or_default();
        }
        match self.find_all(&id, &check.pipeline.sources, Public::Yes).await {
            Ok(found) => subject.sources = found,
            Err(outcome) => return self.end_build(lease, &id, work, Ended::Build(outcome)).await,
        }
        let ended = match self.build(&subject, lease).await {
            Ok(Some(ended)) => ended,
            Ok(None) => return Ok(()),
            Err(trouble) => Ended::Build(BuildOutcome::Errored(self.mask().apply(&trouble.chain()))),
        };
        self.end_build(lease, &id, work, ended).await
    }

    async fn end_build(&self, lease: &Lease, id: &PipelineId, work: Work, ended: Ended) -> Worked {
        let finish = Command::Finish { work, fence: lease.fence(), ended };
        match self.journal().report(id, &finish, lease.done("ended")).await? {
            Ok(_) => Ok(()),
            Err(refusal) => lease.complete(self, refusal.code()).await,
        }
    }

    /// Exports, runs, seals. Nothing means that the lease was lost and nobody is to be told.
    async fn build(&self, subject: &Subject<'_>, lease: &Lease) -> Outcome<Option<Ended>> {
        let place = Workplace::make(self, &lease.folder()).await?;
        let outcome = self.build_in(subject, &place, lease).await;
        place.remove().await;
        outcome
    }

    async fn build_in(
        &self,
        subject: &Subject<'_>,
        place: &Workplace,
        lease: &Lease,
    ) -> Outcome<Option<Ended>> {
        let tree = place.path("src");
        self.export(&subject.id.repo, &subject.commit, tree.clone()).await?;
        if subject.pipeline.build.checkout == Checkout::History {
            let (commit, to) = (subject.commit.clone(), tree.clone());
            let clone = move |mirror: &Mirror| mirror.clone_into(&commit, &to, CLONE_WITHIN);
            self.mirror(&subject.id.repo, clone).await?;
        }
        let mut kept = KeptLog::open(self, subject.log.clone());
        let inputs = match self.bring_inputs(subject, place, &mut kept).await {
            Ok(Ok(inputs)) => inputs,
            Ok(Err(outcome)) => {
                kept.close().await?;
                return Ok(Some(Ended::Build(outcome)));
            }
            Err(trouble) => {
                kept.close().await?;
                return Err(trouble);
            }
        };
        let end = self.build_steps(subject, (place, &tree, &inputs), &mut kept, lease).await;
        let built = |outcome| Ok(Some(Ended::Build(outcome)));
        let ended = match end {
            Ok(Ok(StepsEnd::Passed)) if !subject.kept => built(BuildOutcome::Passed),
            Ok(Ok(StepsEnd::Passed)) => {
                self.seal(subject, (tree, inputs.sealed), (&mut kept, lease)).await.map(Some)
            }
            Ok(Ok(StepsEnd::Failed(failure) | StepsEnd::TimedOut(failure))) => {
                built(BuildOutcome::Failed(failure))
            }
            Ok(Ok(StepsEnd::Stopped)) => built(BuildOutcome::Errored("stopped".to_owned())),
            Ok(Ok(StepsEnd::Paused(question))) => built(BuildOutcome::Errored(format!(
                "\"{}\" asks, and a build stops for nobody",
                question.step
            ))),
            Ok(Ok(StepsEnd::Lost)) => Ok(None),
            Ok(Err(refused)) => built(BuildOutcome::Errored(refused)),
            Err(trouble) => Err(trouble),
        };
        kept.close().await?;
        ended
    }

    /// The inner error is why this may not run here.
    async fn build_steps(
        &self,
        subject: &Subject<'_>,
        (place, tree, inputs): (&Workplace, &Path, &Inputs),
        kept: &mut KeptLog,
        lease: &Lease,
    ) -> Outcome<Result<StepsEnd, String>> {
        let build = &subject.pipeline.build;
        let (network, choice) = self.choice(subject.pipeline, subject.origin);
        let choice = match choice {
            Ok(choice) => choice,
            Err(not_safe) => return Ok(Err(not_safe.to_string())),
        };
        for warning in &choice.warnings {
            kept.log.note(&format!("warning: {warning}")).await;
        }
        let own = build.image.as_deref().and_then(Base::of);
        let places = (place, choice.sandboxed);
        let images = match self.images((subject, own.as_ref()), places, kept, lease).await? {
            Ok(images) => images,
            Err(why) => return Ok(Err(why)),
        };
        let cache = match &own {
            Some(wanted) => self.bring_downloads((subject, wanted), tree, kept).await?,
            None => None,
        };
        let home = if choice.sandboxed { PathBuf::from("/tmp") } else { place.path("home") };
        let (begun, connections) = (clock::monotonic(), Connections::new());
        let mut end = StepsEnd::Passed;
        for steps in build.steps.chunk_by(|one, next| one.terms.image == next.terms.image) {
            let image = steps.first().and_then(|step| step.terms.image.as_ref()).or(own.as_ref());
            let base = image.and_then(|image| images.iter().find(|(known, _)| known == image));
            let base = base.map(|(_, unpacked)| unpacked);
            let spec = || SandboxSpec {
                root: base.map(|base| base.root.clone()),
                artifacts: inputs.folders.clone(),
                toolchains: self.settings().toolchains.clone(),
                network,
                temporary_bytes: TEMPORARY_BYTES,
            };
            let run = Run {
                steps,
                tree,
                environment: &self
                    .environment_of(subject, (&home, base), inputs.environment(choice.sandboxed))
                    .await?,
                sandbox: if choice.sandboxed { Sandbox::Bubblewrap(spec()) } else { Sandbox::Plain },
                wall: left_of(build.timeout, begun),
                artifacts: None,
                connections: &connections,
            };
            end = self.run_steps(&run, kept, lease.stops()).await?;
            if end != StepsEnd::Passed {
                break;
            }
        }
        if let (StepsEnd::Passed, Some(wanted)) = (&end, cache) {
            self.keep_downloads(wanted, (place, tree), kept).await;
        }
        Ok(Ok(end))
    }

    /// The images that the build runs in, and single steps of it (row B20), before any of them does; the inner error is
    /// why one cannot be had here.
    async fn images(
        &self,
        (subject, own): (&Subject<'_>, Option<&Base>),
        (place, sandboxed): (&Workplace, bool),
        kept: &mut KeptLog,
        lease: &Lease,
    ) -> Outcome<Result<Vec<(Base, Unpacked)>, String>> {
        let of_steps = subject.pipeline.build.steps.iter().filter_map(|step| step.terms.image.as_ref());
        let mut images: Vec<(Base, Unpacked)> = Vec::new();
        for wanted in own.into_iter().chain(of_steps) {
            if !sandboxed {
                return Ok(Err("what runs in an image runs in a sandbox, and there is none here".to_owned()));
            }
            if images.iter().any(|(known, _)| known == wanted) {
                continue;
            }
            match self.base_image((subject.id, wanted), place, kept, lease.stops()).await? {
                Ok(unpacked) => images.push((wanted.clone(), unpacked)),
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(Ok(images))
    }

    /// What the commands of a build are told, the later over the earlier.
    async fn environment_of(
        &self,
        subject: &Subject<'_>,
        (home, base): (&Path, Option<&Unpacked>),
        inputs: impl Iterator<Item = (String, String)>,
    ) -> Outcome<BTreeMap<String, String>> {
        let build = &subject.pipeline.build;
        let mut environment = self.base_environment(home);
        // An image knows better than the server where its programs are; its home is not writable.
        let of_image = base.iter().flat_map(|base| base.environment.clone());
        environment.extend(of_image.filter(|(name, _)| !matches!(name.as_str(), "HOME" | "TERM")));
        environment.extend(subject.environment.clone());
        environment.extend(inputs);
        environment.extend(build.environment.clone());
        if subject.origin == Origin::ProtectedBranch {
            environment
                .extend(self.secrets_beside_stages((subject.id, &build_stage()?), &build.secrets).await?);
        }
        Ok(environment)
    }

    async fn seal(
        &self,
        subject: &Subject<'_>,
        (tree, brought): (PathBuf, Vec<Sealed>),
        (kept, lease): (&mut KeptLog, &Lease),
    ) -> Outcome<Ended> {
        let epoch = subject.epoch();
        if subject.pipeline.build.checkout == Checkout::History {
            let history = tree.join(HISTORY);
            blocking(move || without(&history)).await?;
        }
        let mut all = Vec::new();
        for artifact in &subject.pipeline.artifacts {
            let (store, workspace, path) =
                (self.artifacts().clone(), tree.clone(), PathBuf::from(&artifact.path));
            let is_image = artifact.image.is_some();
            let packed = blocking(move || {
                let manifest = is_image.then(|| image::read(&workspace, &path)).transpose()?;
                Ok((pack::seal(&store, &workspace, &path, epoch, TREE_LIMITS)?, manifest))
            });
            let packed = packed.await;
            let (packed, manifest) = match packed {
                Ok(packed) => packed,
                Err(trouble) if trouble.is_transient() => return Err(trouble),
                Err(trouble) => {
                    let how = format!("could not be sealed: {}", trouble.chain());
                    kept.log.note(&format!("artifact `{}` {how}", artifact.path)).await;
                    let step = format!("seal {}", artifact.path);
                    return Ok(Ended::Build(BuildOutcome::Failed(Failure { step, how, tail: Vec::new() })));
                }
            };
            let about = (subject.id, subject.release.map(Release::no));
            self.warn_of_secrets(about, (&tree, &artifact.path), (kept, lease)).await?;
            kept.log
                .note(&format!("sealed {} as {} ({} bytes)", artifact.path, packed.blob, packed.size_bytes))
                .await;
            let image = artifact.image.clone().zip(manifest);
            let image = image.map(|(name, manifest)| Image { name, manifest });
            if let Some(image) = &image {
                kept.log.note(&format!("image {} is {}", artifact.alias, image.manifest)).await;
            }
            all.push(Sealed { image, ..sealed(&artifact.alias, &packed) });
        }
        all.extend(brought);
        let locks = self.keep_locks(tree, kept).await?;
        let (executor, sources) = (subject.executor.clone(), subject.sources.clone());
        Ok(Ended::Left { artifacts: all, locks, executor, sources })
    }

    /// Warns of secrets inside an artifact (CHECKLIST E14): whoever has the artifact has them, too.
    pub(super) async fn warn_of_secrets(
        &self,
        (id, release): (&PipelineId, Option<ReleaseNo>),
        (tree, path): (&Path, &str),
        (kept, lease): (&mut KeptLog, &Lease),
    ) -> Outcome<()> {
        let (workspace, below, secrets) = (tree.to_owned(), PathBuf::from(path), self.named_secrets());
        for finding in blocking(move || scan::scan(&workspace, &below, &secrets)).await? {
            let (name, file) = (finding.name, finding.file);
            let text = format!(
                "The artifact holds the secret {name}, in {file}: whoever has the artifact has it. Take it out of the \
                 build and change the secret."
            );
            kept.log.note(&format!("warning: {text}")).await;
            if let Some(no) = release {
                let code = SECRET_IN_ARTIFACT.to_owned();
                let alarm = Command::Learn(Learned::Alarm { release: Some(no), code, text });
                if let Err(refusal) = self.journal().decide(id, &alarm, lease.around()).await? {
                    tracing::warn!(
                        code = refusal.code(),
                        "a secret in an artifact was not put on the record"
                    );
                }
            }
        }
        Ok(())
    }
}

/// Takes away what the commands may have made anything of.
fn without(path: &Path) -> Outcome<()> {
    match std::fs::symlink_metadata(path) {
        Ok(about) if !about.is_dir() => std::fs::remove_file(path)
            .map_err(|e| Trouble::transient(format!("remove {}", path.display())).because(e)),
        Ok(_) | Err(_) => folder::remove(path),
    }
}

/// What was packed, under its name in the release.
pub(super) fn sealed(alias: &Alias, packed: &pack::Sealed) -> Sealed {
    Sealed {
        alias: alias.clone(),
        digest: packed.blob.clone(),
        content: packed.tar.clone(),
        size: packed.size_bytes,
        form: match packed.shape {
            pack::Shape::Folder => Form::Folder,
            pack::Shape::File { executable: false } => Form::File,
            pack::Shape::File { executable: true } => Form::Program,
        },
        image: None,
    }
}
