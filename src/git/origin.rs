//! Other repositories that releases may take the tree of: the server's config says where each is and who may have it.

use std::path::PathBuf;

use super::fetch::{Remote, Wanted};
use super::repo::{Mirror, failed};
use crate::domain::name::{CommitSha, Digest, RefName};
use crate::domain::time::Span;
use crate::secret::{Allowed, Asking, Secret};
use crate::trouble::{Kind, Outcome, Trouble};

/// A repository of the server's config. Its address and credential are never a manifest's word (THREATS T40, T52).
#[derive(Debug, Clone)]
pub struct Origin {
    /// `host/path`, as manifests name it.
    pub name: String,
    /// Where it is fetched from.
    pub remote: Remote,
    /// What proves there that we may read it, so that it can be hidden everywhere.
    pub token: Option<Secret>,
    /// Whether anybody may read it, so that quality builds of pull requests may have it, too.
    pub public: bool,
    /// The pipelines that may take it, with `build` for the stage.
    pub allow: Vec<Allowed>,
}

impl Origin {
    /// Whether this pipeline may take it.
    pub fn allows(&self, asking: Asking<'_>) -> bool {
        self.allow.iter().any(|allowed| allowed.is(asking))
    }

    /// Its mirror below this folder, under a name that no repository can choose.
    pub fn mirror_path(&self, mirrors: &std::path::Path) -> PathBuf {
        mirrors.join("sources").join(format!("{}.git", Digest::of_text(&self.name).hex()))
    }
}

impl Mirror {
    /// The commit that a branch, or else a tag, has there now; it is kept, whatever becomes of the branch.
    pub fn find_commit(&self, remote: &Remote, name: &RefName, deadline: Span) -> Outcome<CommitSha> {
        let branch = Wanted { branches: std::slice::from_ref(name), commit: None };
        let found = match self.fetch(remote, branch, deadline) {
            Ok(()) => self.head_of(name)?,
            // A branch of that name is not there; the tags are asked for alone.
            Err(trouble) if trouble.kind() == Kind::NotFound => {
                self.fetch(remote, Wanted { branches: &[], commit: None }, deadline)?;
                self.tags()?.into_iter().find(|tag| tag.name == *name).map(|tag| tag.commit)
            }
            Err(trouble) => return Err(trouble),
        };
        let commit = found.ok_or_else(|| Trouble::not_found(format!("it has no branch or tag `{name}`")))?;
        let alone = self.alone()?;
        let kept = format!("refs/liftlock/commits/{commit}");
        let id = self.commit(&commit)?.id();
        self.repo.reference(&kept, id, true, "found").map_err(|e| failed("keep a commit", e))?;
        drop(alone);
        Ok(commit)
    }

    /// Makes sure that a commit is here, asking for it where it is not.
    pub fn bring_commit(&self, remote: &Remote, commit: &CommitSha, deadline: Span) -> Outcome<()> {
        if self.exists(commit) {
            return Ok(());
        }
        self.fetch(remote, Wanted { branches: &[], commit: Some(commit) }, deadline)
    }
}
