//! Pull requests that change the manifest: what they would do to the rules is said where they are reviewed.

use crate::domain::decide::Command;
use crate::domain::name::{CommitSha, PipelineId, ThreadId};
use crate::domain::proposal::{Proposal, difference};
use crate::forge::Repository;
use crate::service::Service;
use crate::service::intake::Heard;
use crate::trouble::Outcome;

impl Service {
    /// Compares the manifest of a pull request's head with that of the commit it began from: what the branch has
    /// learned since is not the pull request's doing. One that does not load is the quality build's to say.
    pub(super) async fn propose(
        &self,
        repository: &Repository,
        (thread, head): (&ThreadId, &CommitSha),
        heard: &Heard<'_>,
    ) -> Outcome<()> {
        let (branch, tip) = (repository.default_branch.clone(), head.clone());
        let base = self
            .mirror(&repository.id, move |mirror| match mirror.head_of(&branch)? {
                Some(branch) => mirror.merge_base(&branch, &tip),
                None => Ok(None),
            })
            .await?;
        let Some(base) = base else { return Ok(()) };
        let (id, name) = (&repository.id, &repository.name);
        let (Ok(old), Ok(new)) =
            (self.declared(id, name, &base).await?, self.declared(id, name, head).await?)
        else {
            return Ok(());
        };
        for pipeline in &old.pipelines {
            let Some(changed) = super::repository::named(&new, &pipeline.name) else { continue };
            let proposal = Proposal {
                thread: thread.clone(),
                commit: head.clone(),
                changes: difference(pipeline, changed),
            };
            let id = PipelineId { repo: id.clone(), name: pipeline.name.clone() };
            self.tell_pipeline(&id, &Command::Propose(Box::new(proposal)), heard).await?;
        }
        Ok(())
    }
}
