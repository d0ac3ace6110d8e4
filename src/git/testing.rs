//! Small repositories for the tests of this folder.

use std::path::PathBuf;

use git2::build::TreeUpdateBuilder;
use git2::{FileMode, ObjectType, Oid, Repository, Signature, Time};

use super::repo::Mirror;
use crate::domain::name::CommitSha;

/// The time of the first commit, in seconds; each further one is a minute later.
pub(super) const START_S: i64 = 1_700_000_000;

/// A bare repository that is gone with the test.
pub(super) struct Sample {
    pub(super) dir: tempfile::TempDir,
    pub(super) repo: Repository,
    count: std::cell::Cell<i64>,
}

impl Sample {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let repo = Repository::init_bare(dir.path().join("origin.git")).unwrap();
        Self { dir, repo, count: std::cell::Cell::new(0) }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("origin.git")
    }

    /// The repository as the code under test sees it.
    pub(super) fn mirror(&self) -> Mirror {
        Mirror::open(&self.path()).unwrap()
    }

    /// A commit of exactly these files, each `path=content`; a path that ends with `*` is executable, one with `@`
    /// a link.
    pub(super) fn commit(&self, parents: &[&CommitSha], files: &[&str]) -> CommitSha {
        let mut builder = TreeUpdateBuilder::new();
        for file in files {
            let (path, content) = file.split_once('=').unwrap();
            let blob = self.repo.blob(content.as_bytes()).unwrap();
            let (path, mode) = match path.strip_suffix('*') {
                Some(path) => (path, FileMode::BlobExecutable),
                None => path.strip_suffix('@').map_or((path, FileMode::Blob), |p| (p, FileMode::Link)),
            };
            builder.upsert(path, blob, mode);
        }
        let empty = self.repo.treebuilder(None).unwrap().write().unwrap();
        let empty = self.repo.find_tree(empty).unwrap();
        self.commit_tree(parents, builder.create_updated(&self.repo, &empty).unwrap())
    }

    pub(super) fn commit_tree(&self, parents: &[&CommitSha], tree: Oid) -> CommitSha {
        let at = self.count.get();
        self.count.set(at + 1);
        let who = Signature::new("Ana", "ana@example.org", &Time::new(START_S + 60 * at, 0)).unwrap();
        let tree = self.repo.find_tree(tree).unwrap();
        let parents: Vec<_> = parents.iter().map(|p| self.repo.find_commit(oid(p)).unwrap()).collect();
        let parents: Vec<_> = parents.iter().collect();
        let message = format!("feat: step {at}\n\nWhy it was made.\n");
        self.repo.commit(None, &who, &who, &message, &tree, &parents).unwrap().to_string().parse().unwrap()
    }

    /// Writes a tree as an attacker does, past every check; entries are (octal mode, name, object).
    pub(super) fn raw_tree(&self, entries: &[(&str, &[u8], Oid)]) -> Oid {
        let mut bytes = Vec::new();
        for (mode, name, id) in entries {
            bytes.extend_from_slice(mode.as_bytes());
            bytes.push(b' ');
            bytes.extend_from_slice(name);
            bytes.push(0);
            bytes.extend_from_slice(id.as_bytes());
        }
        self.repo.odb().unwrap().write(ObjectType::Tree, &bytes).unwrap()
    }

    pub(super) fn set(&self, name: &str, commit: &CommitSha) {
        self.repo.reference(name, oid(commit), true, "test").unwrap();
    }
}

pub(super) fn oid(commit: &CommitSha) -> Oid {
    Oid::from_str(commit.as_str()).unwrap()
}
