//! Folders of downloads that a build keeps for later ones (`build.cache`), and which builds share them.
//!
//! What is kept stands under one digest of everything that decides what belongs in it, and never changes: the first
//! build that passes leaves it, later ones are given it. Releases of one branch share with each other and with nobody
//! else (THREATS T44): what a pull request could leave would be code of somebody who may not choose what is released.

use std::fmt;

use serde::Serialize;
use serde_json::json;

use crate::domain::event::Created;
use crate::domain::name::{Digest, PipelineId, RefName};
use crate::domain::sbom::tree::Locks;

/// Why a build is given nothing and leaves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apart {
    /// It is that of a pull request.
    PullRequest,
    /// Nothing says what is downloaded, so anything could be out of date.
    NoLockFile,
}

/// As the rest of a sentence about the build.
impl fmt::Display for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PullRequest => "pull requests are given nothing and leave nothing",
            Self::NoLockFile => "the tree has no lock file that says what is downloaded",
        })
    }
}

/// The branch whose releases a build shares folders with; a tag's commit is on one, too.
pub fn branch(release: Option<&Created>) -> Result<&RefName, Apart> {
    release.map(|created| &created.branch).ok_or(Apart::PullRequest)
}

/// What decides which builds share their folders.
#[derive(Debug, Clone, Serialize)]
pub struct Scope<'a> {
    /// The pipeline.
    pub pipeline: &'a PipelineId,
    /// The branch of its release.
    pub branch: &'a RefName,
    /// The image that commands run in.
    pub image: &'a Digest,
    /// The lock files of the commit, as they are before the first command.
    pub locks: &'a Locks,
    /// The folders.
    pub folders: &'a [String],
}

impl Scope<'_> {
    /// The digest that the folders are kept under.
    pub fn key(&self) -> Result<Digest, Apart> {
        if self.locks.is_empty() {
            return Err(Apart::NoLockFile);
        }
        Ok(Digest::of_text(&json!(self).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locks(text: &str) -> Locks {
        let mut locks = Locks::default();
        locks.take("package-lock.json", text.as_bytes().to_vec());
        locks
    }

    #[test]
    fn b18_t44_folders_are_shared_by_pipeline_branch_image_and_lock_files_and_by_nothing_less() {
        let (shop, hats) = ("github:12/shop".parse().unwrap(), "github:12/hats".parse().unwrap());
        let (main, other) = ("main".parse().unwrap(), "release/1".parse().unwrap());
        let (image, newer) = (Digest::of_text("image"), Digest::of_text("newer image"));
        let (old, new) = (locks("{}"), locks("{\"lockfileVersion\":3}"));
        let (npm, both) = ([".npm".to_owned()], [".npm".to_owned(), ".cargo".to_owned()]);
        let scope =
            Scope { pipeline: &shop, branch: &main, image: &image, locks: &old, folders: npm.as_slice() };
        let others = [
            Scope { pipeline: &hats, ..scope.clone() },
            Scope { branch: &other, ..scope.clone() },
            Scope { image: &newer, ..scope.clone() },
            Scope { locks: &new, ..scope.clone() },
            Scope { folders: &both, ..scope.clone() },
        ];
        assert_eq!(scope.key(), Scope { locks: &locks("{}"), ..scope.clone() }.key());
        let mut keys: Vec<_> = others.iter().map(|other| other.key().unwrap()).collect();
        keys.push(scope.key().unwrap());
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 6);
        assert_eq!(Scope { locks: &Locks::default(), ..scope }.key(), Err(Apart::NoLockFile));
    }

    #[test]
    fn t44_a_pull_request_shares_with_nobody() {
        assert_eq!(branch(None), Err(Apart::PullRequest));
    }
}
