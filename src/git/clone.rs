//! A `.git` beside the files of a commit: its history and tags, and nothing that leads back here or runs.

use std::path::Path;
use std::process::Command;

use git2::{Repository, RepositoryInitOptions};

use super::fetch::{Remote, complained, harden, run};
use super::repo::{Mirror, failed};
use crate::domain::name::CommitSha;
use crate::domain::time::Span;
use crate::folder;
use crate::trouble::{Outcome, Trouble};

/// What the commit is called while it is brought; it is a head of its own afterwards.
const BROUGHT: &str = "refs/liftlock/brought";

impl Mirror {
    /// Makes the folder with a commit's files a clone that has this commit checked out, on no branch: all that leads to
    /// it, and the tags of that. The objects are copied, so whatever is done to the clone is done to nothing else; it
    /// has no remote, no hook and no setting but those of an empty repository.
    ///
    /// Blocks until it is done or `deadline` has passed.
    pub fn clone_into(&self, commit: &CommitSha, tree: &Path, deadline: Span) -> Outcome<()> {
        let what = || format!("bring the history of {}", commit.short());
        let own = self.commit(commit)?.id();
        let mut options = RepositoryInitOptions::new();
        options.no_reinit(true).external_template(false);
        Repository::init_opts(tree, &options).map_err(|e| failed(what(), e))?;
        let own_folder = tree.join(".git");
        // Of examples of hooks nobody here has any use.
        folder::remove(&own_folder.join("hooks"))?;
        let mirror = self.path.canonicalize().map_err(|e| Trouble::transient(what()).because(e))?;
        let remote = Remote::local(&mirror)?;
        let mut command = Command::new("git");
        // Without `--no-tags` the tags come that lead to what is brought, and no others: those of other branches would
        // bring their history, too.
        command
            .current_dir(&own_folder)
            .args(["--git-dir=.", "fetch", "--quiet", "--no-recurse-submodules", "--no-auto-maintenance"])
            .args(["--no-write-fetch-head", "--", remote.url()])
            .arg(format!("+{commit}:{BROUGHT}"));
        harden(&mut command, &remote);
        let (status, complaint) = run(command, deadline)?;
        if !status.success() {
            return Err(complained(&remote, &complaint));
        }
        let finish = || {
            let repo = Repository::open(tree)?;
            repo.set_head_detached(own)?;
            repo.find_reference(BROUGHT)?.delete()?;
            let mut index = repo.index()?;
            index.read_tree(&repo.find_commit(own)?.tree()?)?;
            index.write()
        };
        finish().map_err(|e| failed(what(), e))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Sample;
    use super::*;
    use crate::folder::Limits;

    const LIMITS: Limits = Limits { max_files: 250, max_bytes: 10_000 };

    /// What git says in a folder, as in the sandbox of a build: without settings of anybody.
    fn git(at: &Path, arguments: &[&str]) -> String {
        let done = Command::new("git")
            .current_dir(at)
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs([("HOME", "/nowhere"), ("GIT_CONFIG_NOSYSTEM", "1")])
            .output()
            .unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim_end().to_owned()
    }

    fn cloned(sample: &Sample, commit: &CommitSha) -> std::path::PathBuf {
        let tree = sample.dir.path().join("tree");
        let mirror = sample.mirror();
        mirror.export_tree(commit, &tree, LIMITS).unwrap();
        mirror.clone_into(commit, &tree, Span::minutes(1)).unwrap();
        tree
    }

    #[test]
    fn c39_a_clone_has_the_history_and_tags_of_its_commit_and_of_no_other() {
        let sample = Sample::new();
        let first = sample.commit(&[], &["run*=1", "lib/link@=../run"]);
        let second = sample.commit(&[&first], &["run*=2", "lib/link@=../run"]);
        let later = sample.commit(&[&second], &["run*=3", "secret=plan"]);
        sample.repo.reference("refs/heads/main", super::super::testing::oid(&later), true, "").unwrap();
        let who = git2::Signature::now("Ana", "ana@example.org").unwrap();
        let object = |commit| sample.repo.find_object(super::super::testing::oid(commit), None).unwrap();
        sample.repo.tag("v1.0.0", &object(&first), &who, "the first", false).unwrap();
        sample.repo.tag_lightweight("light", &object(&second), false).unwrap();
        sample.repo.tag("v2.0.0", &object(&later), &who, "the next", false).unwrap();
        let tree = cloned(&sample, &second);
        assert_eq!(git(&tree, &["rev-parse", "HEAD"]), second.as_str());
        assert_eq!(git(&tree, &["log", "--format=%H"]), format!("{second}\n{first}"));
        assert_eq!(git(&tree, &["describe"]), format!("v1.0.0-1-g{}", &second.as_str()[..7]));
        assert_eq!(git(&tree, &["tag"]), "light\nv1.0.0");
        assert_eq!(git(&tree, &["status", "--porcelain", "--ignored"]), "");
        assert_eq!(git(&tree, &["branch", "--show-current"]), "");
        assert_eq!(git(&tree, &["for-each-ref", "--format=%(refname)"]), "refs/tags/light\nrefs/tags/v1.0.0");
        assert_eq!(git(&tree, &["fsck", "--full", "--no-dangling"]), "");
        let objects = git(&tree, &["cat-file", "--batch-all-objects", "--batch-check=%(objectname)"]);
        assert!(objects.contains(second.as_str()) && !objects.contains(later.as_str()), "{objects}");
    }

    #[test]
    fn c39_nothing_in_a_clone_leads_back_or_runs() {
        let sample = Sample::new();
        let commit = sample.commit(&[], &["run=1"]);
        let tree = cloned(&sample, &commit);
        assert_eq!(git(&tree, &["remote"]), "");
        assert!(!tree.join(".git/objects/info/alternates").exists());
        let mut settings: Vec<String> =
            git(&tree, &["config", "--local", "--list", "--name-only"]).lines().map(str::to_owned).collect();
        settings.sort();
        assert_eq!(
            settings,
            ["core.bare", "core.filemode", "core.logallrefupdates", "core.repositoryformatversion"]
        );
        assert!(!tree.join(".git/hooks").exists(), "there is room for a hook");
        // Hard links would let a build change what the server keeps.
        let mut waiting = vec![tree.join(".git")];
        while let Some(folder) = waiting.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let about = entry.metadata().unwrap();
                if about.is_dir() {
                    waiting.push(entry.path());
                } else {
                    assert_eq!(std::os::unix::fs::MetadataExt::nlink(&about), 1, "{:?}", entry.path());
                    let text = String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned();
                    assert!(!text.contains("origin.git"), "{:?} names where it came from", entry.path());
                }
            }
        }
    }
}
