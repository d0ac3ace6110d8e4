//! Starts that no push asks for: what git says about the head of the branch is gathered, and the release made of it.

use std::collections::BTreeSet;

use crate::artifact::store::Incoming;
use crate::domain::decide::{Command, Upload};
use crate::domain::demand::Cause;
use crate::domain::event::{Form, Sealed, StartedBy};
use crate::domain::name::{Alias, CommitSha, Digest, PipelineId};
use crate::domain::person::{Person, Standing};
use crate::domain::pipeline::Role;
use crate::domain::refusal::Refusal;
use crate::domain::trust::outdated;
use crate::forge::Repository;
use crate::service::intake::Governing;
use crate::service::journal::Around;
use crate::service::repository::named;
use crate::service::worker::{Lease, Result as Worked};
use crate::service::{Service, blocking};
use crate::trouble::{Outcome, Trouble};

impl Service {
    /// Makes the release that somebody, or a time, asked for; or says why there is none.
    pub(super) async fn start_on_demand(&self, lease: &Lease, no: u32) -> Worked {
        let id = lease.pipeline()?;
        let state = self.journal().load(&id).await?;
        let Some(asked) = state.demands.open.get(&no).cloned() else {
            return lease.complete(self, "nobody waits for it").await;
        };
        let Some(repository) = self.configured(&id.repo).await? else {
            return self.drop_start(lease, no, "the server's config does not name the repository").await;
        };
        self.fetch(&repository, None, None).await?;
        let (wanted, by) = match &asked.cause {
            Cause::Upload { commit, .. } => (commit.clone(), asked.by.clone()),
            Cause::Button { .. } | Cause::Schedule { .. } => (None, asked.by.clone()),
            Cause::Run(run) => match self.run_again(&id.repo, run, &repository.default_branch).await? {
                Ok(run) => (Some(run.commit), run.by),
                Err(why) => return self.drop_start(lease, no, &why).await,
            },
        };
        let head = match self.commit_to_release(&repository, wanted).await? {
            Ok(head) => head,
            Err(why) => return self.drop_start(lease, no, &why).await,
        };
        let loaded = match self.declared(&id.repo, &repository.name, &head).await? {
            Ok(loaded) => loaded,
            Err(problems) => {
                return self.drop_start(lease, no, &format!("the manifest does not load: {problems}")).await;
            }
        };
        let Some(pipeline) = named(&loaded, &id.name) else {
            return self.drop_start(lease, no, "the head of the branch does not declare the pipeline").await;
        };
        let default = &repository.default_branch;
        let why = match self.governing(&repository, &head).await? {
            Governing::Itself => None,
            Governing::Head(declared) => {
                outdated(pipeline, &declared.pipelines, default).map(|why| why.to_string())
            }
            Governing::Nobody => {
                Some(format!("the manifest on {default} does not load, so nothing says what it may"))
            }
        };
        if let Some(why) = why {
            return self.drop_start(lease, no, &why).await;
        }
        let at = (&head, &repository.default_branch);
        let mut start = self.gather((&repository, &state), at, (pipeline, &loaded)).await?;
        if let Cause::Run(run) = &asked.cause {
            match self.fetch_run(lease, (&id, pipeline), (run, start.epoch_s)).await? {
                Ok(fetched) => start.fetched = fetched,
                Err(why) => return self.drop_start(lease, no, &why).await,
            }
        }
        start.initiator = by;
        start.started_by = StartedBy::Demand { no, cause: asked.cause.clone() };
        start.project = repository.name.to_string();
        match self.journal().decide(&id, &Command::Start(Box::new(start)), lease.done("made")).await? {
            Ok(_) => Ok(()),
            Err(Refusal::Stale) => lease.complete(self, Refusal::Stale.code()).await,
            Err(refusal) => self.drop_start(lease, no, &refusal.to_string()).await,
        }
    }

    /// The head of the default branch, or the commit that was named, which is on that branch (THREATS T36).
    async fn commit_to_release(
        &self,
        repository: &Repository,
        wanted: Option<CommitSha>,
    ) -> Outcome<Result<CommitSha, String>> {
        let branch = repository.default_branch.clone();
        self.mirror(&repository.id, move |mirror| {
            let Some(head) = mirror.head_of(&branch)? else {
                return Ok(Err("its branch has no commit".to_owned()));
            };
            let Some(wanted) = wanted else { return Ok(Ok(head)) };
            let on_branch = mirror.exists(&wanted) && mirror.is_ancestor(&wanted, &head)?;
            Ok(if on_branch { Ok(wanted) } else { Err(format!("{} is not on {branch}", wanted.short())) })
        })
        .await
    }

    /// What somebody may do in the repository, asked from the host just now.
    pub async fn standing_of(&self, id: &PipelineId, person: &Person) -> Outcome<Standing> {
        self.host(&id.repo)?.standing(&id.repo, person, &BTreeSet::new()).await
    }

    /// Who wants to hand something in, and whether they may: asked before a byte of it is read.
    pub async fn may_upload(&self, id: &PipelineId, person: &Person) -> Outcome<Standing> {
        let state = self.journal().load(id).await?;
        if state.pipeline().is_none_or(|p| p.handed_in().is_empty()) {
            return Err(Trouble::refused(format!(
                "{} takes nothing that was built elsewhere; its manifest would say `artifacts: [{{alias: …, from: upload}}]`",
                id.name
            )));
        }
        let standing = self.standing_of(id, person).await?;
        if standing.role < Role::Write {
            let who = &person.login;
            return Err(Trouble::refused(format!(
                "{who} has the role {}, and write is needed",
                standing.role.word()
            )));
        }
        Ok(standing)
    }

    /// Room for bytes that come in.
    pub async fn begin_upload(&self) -> Outcome<Incoming> {
        let artifacts = self.artifacts().clone();
        blocking(move || artifacts.begin()).await
    }

    /// Keeps what came in when it is what was said, and lets the pipeline know; the answer says what comes of it.
    pub async fn end_upload(
        &self,
        id: &PipelineId,
        incoming: Incoming,
        (alias, digest, commit): (Alias, Digest, Option<CommitSha>),
        standing: Standing,
    ) -> Outcome<Result<String, Refusal>> {
        let said = digest.clone();
        let size = blocking(move || incoming.commit_as(&said)).await?;
        let artifact = Sealed { alias, content: digest.clone(), digest, size, form: Form::File, image: None };
        let around =
            Around { actor: standing.person.login.to_string(), cause: "api".to_owned(), ..Around::default() };
        let (name, short) = (artifact.alias.clone(), artifact.digest.short().to_owned());
        let command = Command::Upload(Box::new(Upload { artifact, commit, standing }));
        Ok(self.journal().decide(id, &command, around).await?.map(|decided| {
            let waits = decided.state.demands.open.values().any(|a| matches!(a.cause, Cause::Upload { .. }));
            let what = if waits { "a release is being made of it" } else { "it is stored" };
            format!("{name} is {short}, {size} bytes; {what}")
        }))
    }

    async fn drop_start(&self, lease: &Lease, no: u32, why: &str) -> Worked {
        let id = lease.pipeline()?;
        let command = Command::Drop { no, why: why.to_owned() };
        match self.journal().decide(&id, &command, lease.done("no release")).await? {
            Ok(_) => Ok(()),
            Err(refusal) => lease.complete(self, refusal.code()).await,
        }
    }
}
