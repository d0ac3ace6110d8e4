//! Other repositories that releases may take the tree of: the server's config says where each is and who may have it.

use std::path::{Path, PathBuf};

use git2::ErrorCode;

use super::fetch::{Branches, Remote, Wanted};
use super::repo::{Mirror, failed};
use crate::domain::name::{CommitSha, Digest, RefName, RepoName};
use crate::domain::time::Span;
use crate::secret::{Allowed, Asking, Secret};
use crate::trouble::{Kind, Outcome, Trouble};

/// The word that stands for the stage in an `allow` of a repository whose files manifests are made of.
pub const MANIFEST: &str = "manifest";

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

    /// Whether manifests of this repository may be made of its files. A pipeline's name is the manifest's own word, so
    /// that part of an `allow` says nothing here.
    pub fn is_extended_by(&self, repository: &RepoName) -> bool {
        self.allow.iter().any(|allowed| allowed.is_of(repository.as_str(), MANIFEST))
    }

    /// Its mirror below this folder.
    pub fn mirror_path(&self, mirrors: &Path) -> PathBuf {
        mirror_path(mirrors, &self.name)
    }
}

/// The mirror of another repository below this folder, under a name that no repository can choose.
pub fn mirror_path(mirrors: &Path, name: &str) -> PathBuf {
    mirrors.join("sources").join(format!("{}.git", Digest::of_text(name).hex()))
}

impl Mirror {
    /// The commit that a branch, or else a tag, has there now; it is kept, whatever becomes of the branch.
    pub fn find_commit(&self, remote: &Remote, name: &RefName, deadline: Span) -> Outcome<CommitSha> {
        let branch = Wanted { branches: Branches::Named(std::slice::from_ref(name)), commit: None };
        let found = match self.fetch(remote, branch, deadline) {
            Ok(()) => self.head_of(name)?,
            // A branch of that name is not there; the tags are asked for alone.
            Err(trouble) if trouble.kind() == Kind::NotFound => {
                self.fetch(remote, Wanted { branches: Branches::Named(&[]), commit: None }, deadline)?;
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

    /// Whether [`Self::reach`] has found this commit before.
    pub fn has_reached(&self, commit: &CommitSha) -> Outcome<bool> {
        match self.repo.find_reference(&reached(commit)) {
            Ok(_) => Ok(true),
            Err(e) if e.code() == ErrorCode::NotFound => Ok(false),
            Err(e) => Err(failed("look for a commit", e)),
        }
    }

    /// Brings a commit that a branch or tag leads to there, and keeps it. Hosts hand out the commits of forks, too, so
    /// one that nothing leads to may be anybody's (THREATS T36).
    pub fn reach(&self, remote: &Remote, commit: &CommitSha, deadline: Span) -> Outcome<()> {
        if self.has_reached(commit)? {
            return Ok(());
        }
        self.fetch(remote, Wanted { branches: Branches::All, commit: None }, deadline)?;
        let alone = self.alone()?;
        let leads = || {
            let mut walk = self.repo.revwalk()?;
            walk.push_glob("refs/heads/*")?;
            walk.push_glob("refs/tags/*")?;
            for id in walk {
                let id = id?;
                if id.to_string() == commit.as_str() {
                    return Ok(Some(id));
                }
            }
            Ok(None)
        };
        let found = leads().map_err(|e: git2::Error| failed("walk the branches and tags", e))?;
        let id = found.ok_or_else(|| {
            Trouble::not_found(format!(
                "none of its branches and tags leads to the commit {}",
                commit.short()
            ))
        })?;
        self.repo.reference(&reached(commit), id, true, "reached").map_err(|e| failed("keep a commit", e))?;
        drop(alone);
        Ok(())
    }

    /// Makes sure that a commit is here, asking for it where it is not.
    pub fn bring_commit(&self, remote: &Remote, commit: &CommitSha, deadline: Span) -> Outcome<()> {
        if self.exists(commit) {
            return Ok(());
        }
        self.fetch(remote, Wanted { branches: Branches::Named(&[]), commit: Some(commit) }, deadline)
    }
}

fn reached(commit: &CommitSha) -> String {
    format!("refs/liftlock/reached/{commit}")
}
