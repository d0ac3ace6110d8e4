//! Releases of what the host's own CI built: its runs are heard of, looked at again, and what they left is sealed.

use std::path::PathBuf;

use crate::artifact::{pack, unzip};
use crate::domain::decide::Command;
use crate::domain::event::{Form, Sealed};
use crate::domain::name::{Alias, PipelineId, RefName, RepoId};
use crate::domain::pipeline::Pipeline;
use crate::domain::workflow::{Left, Run, RunRef};
use crate::folder;
use crate::service::intake::{Heard, Taken};
use crate::service::steps::Workplace;
use crate::service::worker::Lease;
use crate::service::{Service, TREE_LIMITS, blocking};
use crate::trouble::{Kind, Outcome, Trouble};

impl Service {
    /// Hands a run that is over to the pipelines that take what its workflow leaves.
    pub(super) async fn take_run(&self, repo: &RepoId, run: &Run, heard: &Heard<'_>) -> Outcome<Taken> {
        let Some(repository) = self.configured(repo).await? else {
            return Ok(Taken::ignored("the server's config does not name this repository"));
        };
        if let Err(why) = run.counts(&repository.default_branch) {
            return Ok(Taken::ignored(why));
        }
        let takes = |pipeline: &Pipeline| pipeline.workflow.as_ref().is_some_and(|w| w.file == run.run.file);
        let mut any = false;
        for state in self.pipelines_of(repo).await? {
            if state.pipeline().is_some_and(|pipeline| takes(&pipeline)) {
                any = true;
                self.tell_pipeline(&state.id, &Command::SeeRun(run.run.clone()), heard).await?;
            }
        }
        let nobody = || Taken::ignored(format!("no pipeline takes what {} leaves", run.run.file));
        Ok(if any { Taken::default() } else { nobody() })
    }

    /// The run as the host shows it now, when it still makes a release; the inner error is why it does not.
    pub(super) async fn run_again(
        &self,
        repo: &RepoId,
        asked: &RunRef,
        protected: &RefName,
    ) -> Outcome<Result<Run, String>> {
        let run = match self.host(repo)?.workflow_run(repo, asked.id).await {
            Ok(run) => run,
            Err(trouble) => return gone(trouble),
        };
        if run.run != *asked {
            let (id, attempt, now) = (asked.id, asked.attempt, run.run.attempt);
            return Ok(Err(format!("attempt {attempt} of run {id} is not its last: that is {now}")));
        }
        Ok(run.counts(protected).map(|()| run))
    }

    /// Fetches and seals what the pipeline takes of a run; the inner error is what is missing.
    pub(super) async fn fetch_run(
        &self,
        lease: &Lease,
        (id, pipeline): (&PipelineId, &Pipeline),
        (run, epoch_s): (&RunRef, i64),
    ) -> Outcome<Result<Vec<Sealed>, String>> {
        let Some(workflow) = pipeline.workflow.as_ref().filter(|workflow| workflow.file == run.file) else {
            return Ok(Err(format!("the manifest of that commit takes nothing of {}", run.file)));
        };
        let left = match self.host(&id.repo)?.run_artifacts(&id.repo, run.id).await {
            Ok(left) => left,
            Err(trouble) => return gone(trouble),
        };
        let taken = match workflow.take(&left) {
            Ok(taken) => taken,
            Err(why) => return Ok(Err(why)),
        };
        let place = Workplace::make(self, &lease.folder()).await?;
        let mut sealed = Vec::with_capacity(taken.len());
        for artifact in taken {
            match self.fetch_one(&id.repo, artifact, (&place, epoch_s)).await {
                Ok(one) => sealed.push(one),
                Err(trouble) => {
                    place.remove().await;
                    return gone(trouble);
                }
            }
        }
        place.remove().await;
        Ok(Ok(sealed))
    }

    async fn fetch_one(
        &self,
        repo: &RepoId,
        (alias, left): (&Alias, &Left),
        (place, epoch_s): (&Workplace, i64),
    ) -> Outcome<Sealed> {
        let archive = place.path(&format!("{}.zip", left.id));
        self.host(repo)?.fetch_artifact(repo, left, &archive).await?;
        let (store, folder) = (self.artifacts().clone(), place.path("unzipped"));
        let epoch = u64::try_from(epoch_s).unwrap_or(0);
        let (alias, name) = (alias.clone(), alias.to_string());
        let packed = blocking(move || {
            folder::make(&folder)?;
            unzip::unzip(&archive, &folder.join(&name), TREE_LIMITS)?;
            pack::seal(&store, &folder, &PathBuf::from(name), epoch, TREE_LIMITS)
        });
        let packed = packed.await?;
        Ok(Sealed {
            alias,
            content: packed.tar,
            digest: packed.blob,
            size: packed.size_bytes,
            form: Form::Folder,
            image: None,
        })
    }
}

/// What passes is tried again; what the host refuses, or has no longer, makes no release.
fn gone<T>(trouble: Trouble) -> Outcome<Result<T, String>> {
    match trouble.kind() {
        Kind::Refused | Kind::NotFound => Ok(Err(trouble.chain())),
        Kind::Transient { .. } | Kind::Conflict | Kind::Bug => Err(trouble),
    }
}
