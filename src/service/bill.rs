//! What a release is made of: the lock files of the tree that its build left, kept beside what was sealed, and the bill
//! of materials that is read off them.

use std::io::Read as _;
use std::path::PathBuf;

use crate::artifact::locks;
use crate::domain::name::{CommitSha, Digest, PipelineId, RepoId};
use crate::domain::release::Release;
use crate::domain::sbom::lock::is_lock;
use crate::domain::sbom::tree::{Locks, MAX_KEPT_BYTES};
use crate::domain::sbom::{Found, Subject, Tree, document};
use crate::domain::time::Timestamp;
use crate::service::steps::KeptLog;
use crate::service::{Service, blocking};
use crate::trouble::{Outcome, Trouble};

/// Files and folders of a commit in which lock files are looked for: as many as a build may have.
const MAX_PATHS: usize = 500_000;

impl Service {
    /// Keeps the lock files of a tree whose build has just ended, and answers under which digest.
    pub(super) async fn keep_locks(&self, tree: PathBuf, kept: &mut KeptLog) -> Outcome<Digest> {
        let (service, store) = (self.clone(), self.artifacts().clone());
        let (count, digest) = blocking(move || {
            let found = locks::of_tree(&tree)?.map(|text| service.mask().apply(text));
            let text =
                serde_json::to_string(&found).map_err(|e| Trouble::bug("write lock files").because(e))?;
            Ok((found.len(), store.put(text.as_bytes())?))
        })
        .await?;
        if count > 0 {
            let files = if count == 1 { "1 lock file".to_owned() } else { format!("{count} lock files") };
            kept.log.note(&format!("kept {files} of the tree as it was built")).await;
        }
        Ok(digest)
    }

    /// What a release is made of; nothing when it has no lock files, or built nothing itself.
    pub(super) async fn bill(
        &self,
        id: &PipelineId,
        release: &Release,
        repository: &str,
    ) -> Outcome<Option<String>> {
        let created = &release.created;
        if !created.pipeline.builds() {
            return Ok(None);
        }
        let (locks, tree) = match &release.locks {
            Some(digest) => (self.kept_locks(digest.clone()).await?, Tree::Built),
            None => (self.committed_locks(&id.repo, created.commit.clone()).await?, Tree::Commit),
        };
        let found = locks.found();
        if found == Found::default() {
            return Ok(None);
        }
        let version = created.version.to_string();
        let at = Timestamp(created.epoch_s.saturating_mul(1_000)).rfc3339();
        let subject =
            Subject { repository, version: &version, commit: created.commit.as_str(), at: &at, tree };
        let bill =
            document(&found, subject).map_err(|e| Trouble::bug("write what it is made of").because(e))?;
        Ok(Some(self.mask().apply(&bill)))
    }

    /// What was kept of a build, hashed again.
    async fn kept_locks(&self, digest: Digest) -> Outcome<Locks> {
        let store = self.artifacts().clone();
        blocking(move || {
            let (file, _) = store.open_verified(&digest)?;
            let mut text = String::new();
            file.take(MAX_KEPT_BYTES)
                .read_to_string(&mut text)
                .map_err(|e| Trouble::transient(format!("read the lock files {digest}")).because(e))?;
            serde_json::from_str(&text)
                .map_err(|e| Trouble::refused(format!("{digest} is no list of lock files")).because(e))
        })
        .await
    }

    /// The lock files of a commit, for builds of which none were kept.
    async fn committed_locks(&self, repo: &RepoId, commit: CommitSha) -> Outcome<Locks> {
        let read = self.mirror(repo, move |mirror| {
            let mut locks = Locks::default();
            if !mirror.exists(&commit) {
                return Ok(locks);
            }
            let paths = mirror.list_files(&commit, MAX_PATHS)?;
            for path in paths.iter().filter(|path| is_lock(path)) {
                let Some(most) = locks.room(path) else { continue };
                match mirror.read_file(&commit, path, most) {
                    Ok(content) => locks.take(path, content.unwrap_or_default()),
                    Err(trouble) if trouble.is_transient() => return Err(trouble),
                    Err(trouble) => locks.miss(path, &trouble.to_string()),
                }
            }
            Ok(locks)
        });
        read.await
    }
}
