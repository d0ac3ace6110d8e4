//! `liftlock apply`: what the head of the default branch declares is put in force now, and released when it is new.

use crate::domain::manifest::Problems;
use crate::domain::name::{CommitSha, PipelineId, RefName, RepoId};
use crate::forge::fact::Reference;
use crate::service::Service;
use crate::service::intake::Heard;
use crate::trouble::{Kind, Outcome, Trouble};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The branch that was read.
    pub branch: RefName,
    /// Its head.
    pub commit: CommitSha,
    /// The pipelines that the head declares, in its order.
    pub pipelines: Vec<PipelineId>,
}

impl Service {
    /// Reads the default branch as the host has it now, as if it had just been pushed; a commit that has a release
    /// gets no second one. Refused, with nothing changed, when the manifest is not there or does not load.
    pub async fn apply(&self, repo: &RepoId, actor: &str) -> Outcome<Applied> {
        let repository = self.configured(repo).await?.ok_or_else(|| {
            Trouble::refused(format!("the server's config does not name the repository `{repo}`"))
        })?;
        let branch = repository.default_branch.clone();
        let empty = || Trouble::refused(format!("{branch} has no commit yet; commit a manifest and push it"));
        match self.fetch(&repository, None, None).await {
            Err(trouble) if trouble.kind() == Kind::NotFound => return Err(empty().because(trouble)),
            fetched => fetched?,
        }
        let commit = self.head(repo, &branch).await?.ok_or_else(empty)?;
        let loaded = self
            .declared(repo, &repository.name, &commit)
            .await?
            .map_err(|problems| Trouble::refused(not_applied(&problems, &branch, &commit)))?;
        let heard = Heard { cause: "apply", actor: actor.to_owned() };
        let reference = Reference::Branch(branch.clone());
        self.take_missed_push(repo, reference, (None, commit.clone()), &heard).await?;
        let name = |name| PipelineId { repo: repo.clone(), name };
        let pipelines = loaded.pipelines.into_iter().map(|p| name(p.name)).collect();
        Ok(Applied { branch, commit, pipelines })
    }

    /// Why the rules in force are not those of the branch's head, as far as the last fetch tells (CHECKLIST C29).
    pub async fn pending_apply(&self, id: &PipelineId) -> Outcome<Option<String>> {
        let state = self.journal().load(id).await?;
        let Some((read_at, in_force)) = &state.head else { return Ok(None) };
        let Some(repository) = self.configured(&id.repo).await? else { return Ok(None) };
        let branch = repository.default_branch;
        let Some(head) = self.head(&id.repo, &branch).await?.filter(|head| head != read_at) else {
            return Ok(None);
        };
        let since = format!("the rules of {} are in force", read_at.short());
        let declared = match self.declared(&id.repo, &repository.name, &head).await {
            // A file of another repository that cannot be asked for now keeps nobody from the rest of the answer.
            Err(trouble) if trouble.is_transient() => {
                let why = self.mask().apply(&trouble.to_string());
                return Ok(Some(format!(
                    "pending apply: the manifest of {branch} at {} cannot be read now: {why}; {since}",
                    head.short()
                )));
            }
            declared => declared?,
        };
        Ok(match declared {
            Err(problems) => Some(format!("pending apply: {}; {since}", unloaded(&problems, &branch, &head))),
            Ok(loaded) if loaded.pipelines.iter().any(|p| p == in_force.as_ref()) => None,
            Ok(_) => Some(format!(
                "pending apply: the manifest changed at {}; {since}; `liftlock apply` puts it in force",
                head.short()
            )),
        })
    }

    async fn head(&self, repo: &RepoId, branch: &RefName) -> Outcome<Option<CommitSha>> {
        let branch = branch.clone();
        self.mirror(repo, move |mirror| mirror.head_of(&branch)).await
    }
}

fn unloaded(problems: &Problems, branch: &RefName, commit: &CommitSha) -> String {
    format!("the manifest of {branch} at {} does not load: {problems}", commit.short())
}

fn not_applied(problems: &Problems, branch: &RefName, commit: &CommitSha) -> String {
    format!(
        "{}. Nothing was changed. Commit and push the mended file, then apply again",
        unloaded(problems, branch, commit)
    )
}
