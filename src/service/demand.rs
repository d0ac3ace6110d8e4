//! Starts that no push asks for: what git says about the head of the branch is gathered, and the release made of it.

use crate::domain::decide::Command;
use crate::domain::event::StartedBy;
use crate::domain::refusal::Refusal;
use crate::service::Service;
use crate::service::repository::named;
use crate::service::worker::{Lease, Result as Worked};

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
        let branch = repository.default_branch.clone();
        let head = self.mirror(&id.repo, move |mirror| mirror.head_of(&branch)).await?;
        let Some(head) = head else {
            return self.drop_start(lease, no, "its branch has no commit").await;
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
        let at = (&head, &repository.default_branch);
        let mut start = self.gather(&state, at, (pipeline, &loaded)).await?;
        start.initiator.clone_from(&asked.by);
        start.started_by = StartedBy::Demand { no, cause: asked.cause.clone() };
        start.project = repository.name.to_string();
        match self.journal().decide(&id, &Command::Start(Box::new(start)), lease.done("made")).await? {
            Ok(_) => Ok(()),
            Err(Refusal::Stale) => lease.complete(self, Refusal::Stale.code()).await,
            Err(refusal) => self.drop_start(lease, no, &refusal.to_string()).await,
        }
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
