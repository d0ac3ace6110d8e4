//! Folders of downloads, kept from one release of a branch to the next under image and lock files (CHECKLIST B18).
//!
//! They are packed as artifacts are, into a store of their own, so what is laid out for a build is what a build left:
//! its bytes are hashed again, and no link of it leads out of it.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::artifact::file::write_synced;
use crate::artifact::locks;
use crate::artifact::pack::{self, Shape};
use crate::artifact::scan;
use crate::artifact::store::Store;
use crate::artifact::unpack::{HandOut, hand_out};
use crate::domain::cache::{self, Scope};
use crate::domain::image::Base;
use crate::domain::name::Digest;
use crate::folder::{self, Access, Limits};
use crate::secret::Secret;
use crate::service::build::Subject;
use crate::service::build::cache::{Cache, Held};
use crate::service::steps::{KeptLog, Workplace};
use crate::service::{Service, blocking};
use crate::trouble::{Kind, Outcome, Trouble};

/// So many are kept, of all pipelines together.
const KEPT: usize = 32;
/// Bounds of one folder: the packages of a large monorepo, not a disk.
const LIMITS: Limits = Limits { max_files: 300_000, max_bytes: 8 * 1024 * 1024 * 1024 };
/// What says which blob is which folder, in the kept one.
const CONTENT: &str = "content.json";
/// Room for that: sixteen paths.
const MAX_CONTENT_BYTES: u64 = 64 * 1024;

/// What is kept under one digest.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    /// The version of the release whose build left it.
    by: String,
    folders: Vec<Left>,
}

/// One folder of it.
#[derive(Debug, Serialize, Deserialize)]
struct Left {
    path: String,
    blob: Digest,
}

/// What a build that passes is to leave.
#[derive(Debug)]
pub(super) struct Wanted {
    key: Digest,
    by: String,
    folders: Vec<String>,
}

impl Service {
    fn downloads(&self) -> Cache {
        Cache { root: self.settings().data.join("downloads"), most: KEPT }
    }

    /// Brings the folders that an earlier build left, and says whether there were any; what comes back is to be kept
    /// when the build has passed.
    pub(super) async fn bring_downloads(
        &self,
        (subject, base): (&Subject<'_>, &Base),
        tree: &Path,
        kept: &mut KeptLog,
    ) -> Outcome<Option<Wanted>> {
        let folders = &subject.pipeline.build.cache;
        if folders.is_empty() {
            return Ok(None);
        }
        let created = subject.release.map(|release| release.created.as_ref());
        let branch = match cache::branch(created) {
            Ok(branch) => branch,
            Err(apart) => return not_used(kept, &apart.to_string()).await,
        };
        let root = tree.to_owned();
        let locks = blocking(move || locks::of_tree(&root)).await?;
        let scope = Scope { pipeline: subject.id, branch, image: &base.digest, locks: &locks, folders };
        let key = match scope.key() {
            Ok(key) => key,
            Err(apart) => return not_used(kept, &apart.to_string()).await,
        };
        if let Some(there) = folders.iter().find(|path| tree.join(path).symlink_metadata().is_ok()) {
            return not_used(kept, &format!("`{there}` is in the repository")).await;
        }
        let shown = format!("image {} and {} of its lock files", base.digest.short(), locks.len());
        let (downloads, of, root, epoch) = (self.downloads(), key.clone(), tree.to_owned(), subject.epoch_s);
        Ok(match blocking(move || lay_out(&downloads, &of, &root, epoch)).await? {
            Laid::Out(by) => {
                kept.log
                    .note(&format!("cache hit: {}, as {by} left it, for {shown}", folders.join(", ")))
                    .await;
                None
            }
            Laid::Nothing(why) => {
                kept.log.note(&format!("cache miss: {why} for {shown}")).await;
                let by = created.map(|created| created.version.to_string()).unwrap_or_default();
                Some(Wanted { key, by, folders: folders.clone() })
            }
        })
    }

    /// Keeps the folders for later builds, now that this one has passed; it has passed whatever becomes of them.
    pub(super) async fn keep_downloads(
        &self,
        wanted: Wanted,
        (place, tree): (&Workplace, &Path),
        kept: &mut KeptLog,
    ) {
        let (downloads, made, root) = (self.downloads(), place.path("downloads"), tree.to_owned());
        let secrets = self.named_secrets();
        let shown = wanted.folders.join(", ");
        let note = match blocking(move || keep(&downloads, &wanted, (&made, &root), &secrets)).await {
            Ok(bytes) => {
                format!("cache keeps {shown} ({bytes} bytes) for builds with the same image and lock files")
            }
            Err(trouble) => format!("cache keeps nothing of this build: {}", trouble.chain()),
        };
        kept.log.note(&note).await;
    }
}

async fn not_used(kept: &mut KeptLog, why: &str) -> Outcome<Option<Wanted>> {
    kept.log.note(&format!("cache is not used: {why}")).await;
    Ok(None)
}

/// What became of laying out.
enum Laid {
    /// It is there, left by the release of this version.
    Out(String),
    /// Nothing is, with the reason.
    Nothing(String),
}

fn lay_out(downloads: &Cache, key: &Digest, tree: &Path, mtime_s: i64) -> Outcome<Laid> {
    let Some(held) = downloads.take(key)? else {
        return Ok(Laid::Nothing("no build has left anything".to_owned()));
    };
    match lay_out_of(&held, tree, mtime_s) {
        Ok(by) => Ok(Laid::Out(by)),
        Err(trouble) if trouble.is_transient() => Err(trouble),
        Err(trouble) => {
            held.forget()?;
            Ok(Laid::Nothing(format!("what was kept is of no use ({})", trouble.chain())))
        }
    }
}

fn lay_out_of(held: &Held, tree: &Path, mtime_s: i64) -> Outcome<String> {
    let store = Store::open(&held.folder)?;
    let content = content_of(&held.folder)?;
    for Left { path, blob } in &content.folders {
        let to = tree.join(path);
        if let Some(above) = to.parent() {
            folder::make(above)?;
        }
        let what = HandOut {
            blob,
            shape: Shape::Folder,
            to: &to,
            access: Access::Writable,
            mtime_s,
            limits: LIMITS,
        };
        hand_out(&store, what)?;
    }
    Ok(content.by)
}

fn content_of(kept: &Path) -> Outcome<Content> {
    let fail = |e| Trouble::transient("read what a build has left").because(e);
    let file = File::open(kept.join(CONTENT)).map_err(fail)?;
    serde_json::from_reader(std::io::Read::take(file, MAX_CONTENT_BYTES))
        .map_err(|e| Trouble::refused("what a build has left is not described").because(e))
}

/// Packs the folders and keeps them; answers how many bytes that takes.
fn keep(
    downloads: &Cache,
    wanted: &Wanted,
    (made, tree): (&PathBuf, &Path),
    secrets: &[(String, Secret)],
) -> Outcome<u64> {
    folder::make(made)?;
    let store = Store::open(made)?;
    let mut content = Content { by: wanted.by.clone(), folders: Vec::new() };
    let mut bytes: u64 = 0;
    for path in &wanted.folders {
        let packed = match pack::seal(&store, tree, Path::new(path), 0, LIMITS) {
            Err(trouble) if trouble.kind() == Kind::NotFound => {
                return Err(Trouble::refused(format!("it made no `{path}`")));
            }
            other => other?,
        };
        if packed.shape != Shape::Folder {
            return Err(Trouble::refused(format!("`{path}` is a file, and folders are kept")));
        }
        if let Some(found) = scan::scan(tree, Path::new(path), secrets)?.first() {
            return Err(Trouble::refused(format!("{} holds the secret {}", found.file, found.name)));
        }
        bytes = bytes.saturating_add(packed.size_bytes);
        content.folders.push(Left { path: path.clone(), blob: packed.blob });
    }
    let text =
        serde_json::to_vec(&content).map_err(|e| Trouble::bug("describe what a build left").because(e))?;
    write_synced(&made.join(CONTENT), &text, 0o600)?;
    downloads.put(made, &wanted.key)?;
    Ok(bytes)
}
