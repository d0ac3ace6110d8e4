//! Real bare repositories for the tests of this folder, filled by the `git` program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::domain::name::CommitSha;

/// A bare repository with one commit on `main`, a clone to push from, both gone with the test.
pub(super) struct Bare {
    pub(super) dir: tempfile::TempDir,
}

impl Bare {
    pub(super) fn new() -> Self {
        let bare = Self { dir: tempfile::tempdir().unwrap() };
        git(bare.dir.path(), &["init", "-q", "--bare", "-b", "main", "bare.git"]);
        git(bare.dir.path(), &["init", "-q", "-b", "main", "clone"]);
        git(&bare.clone(), &["remote", "add", "origin", "../bare.git"]);
        bare.commit("feat: begin");
        git(&bare.clone(), &["push", "-q", "origin", "main"]);
        bare
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("bare.git")
    }

    pub(super) fn clone(&self) -> PathBuf {
        self.dir.path().join("clone")
    }

    /// A new commit in the clone, not yet pushed.
    pub(super) fn commit(&self, message: &str) -> CommitSha {
        git(&self.clone(), &["commit", "-q", "--allow-empty", "-m", message]);
        self.head()
    }

    pub(super) fn head(&self) -> CommitSha {
        git(&self.clone(), &["rev-parse", "HEAD"]).trim().parse().unwrap()
    }
}

/// Runs git in a folder, with no settings but the repository's, whatever it answers.
pub(super) fn try_git(folder: &Path, arguments: &[&str]) -> Output {
    Command::new("git")
        .args(["-c", "user.name=Mallory", "-c", "user.email=m@example.org"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap()
}

/// Runs git, which must not fail, and answers what it wrote.
pub(super) fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = try_git(folder, arguments);
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
