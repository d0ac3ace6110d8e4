//! Folders that are kept below a digest from one build to the next, the one that was used longest ago going first.
//!
//! What is kept never changes. It is made in a folder of the build's own and renamed when it is whole, so whoever dies
//! half-way leaves nothing that looks complete.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::clock;
use crate::domain::name::Digest;
use crate::folder;
use crate::trouble::{Outcome, Trouble};

/// Taken by every build that uses the folder, so that none is deleted below its feet.
const IN_USE: &str = "in-use";

/// Where folders of one kind are kept.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    /// The folder that they are in.
    pub(super) root: PathBuf,
    /// So many are kept.
    pub(super) most: usize,
}

/// A folder that is kept at least as long as this.
#[derive(Debug)]
pub(super) struct Held {
    /// The folder.
    pub(super) folder: PathBuf,
    _in_use: File,
}

impl Cache {
    /// The folder of this digest when it is there, held against deletion.
    pub(super) fn take(&self, digest: &Digest) -> Outcome<Option<Held>> {
        let folder = self.root.join(digest.hex());
        let fail = |e| Trouble::transient(format!("use {}", folder.display())).because(e);
        let in_use = match File::open(folder.join(IN_USE)) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(fail(e)),
        };
        // Whoever takes it away is soon done, unless it was stopped over it: so this waits by being tried again.
        in_use.try_lock_shared().map_err(|e| fail(e.into()))?;
        // Whoever deletes takes the file away first: what is still there now stays until the lock is let go.
        if !folder.join(IN_USE).exists() {
            return Ok(None);
        }
        let now = u64::try_from(clock::now().0).unwrap_or(0);
        in_use.set_modified(UNIX_EPOCH + Duration::from_millis(now)).map_err(fail)?;
        Ok(Some(Held { folder, _in_use: in_use }))
    }

    /// Keeps what was made, unless the digest has a folder already, and takes away the oldest that nobody uses.
    pub(super) fn put(&self, made: &Path, digest: &Digest) -> Outcome<()> {
        let home = self.root.join(digest.hex());
        let fail = |e| Trouble::transient(format!("keep {}", home.display())).because(e);
        File::create(made.join(IN_USE)).map_err(fail)?;
        std::fs::create_dir_all(&self.root).map_err(fail)?;
        if std::fs::rename(made, &home).is_err() && !home.join(IN_USE).exists() {
            return Err(Trouble::transient(format!("put something at {}", home.display())));
        }
        let mut others = Vec::new();
        for entry in std::fs::read_dir(&self.root).map_err(fail)?.flatten() {
            let used = entry.path().join(IN_USE).metadata().and_then(|meta| meta.modified());
            others.extend(used.ok().map(|used| (used, entry.path())));
        }
        others.sort();
        let surplus = others.len().saturating_sub(self.most);
        others
            .into_iter()
            .filter(|(_, path)| *path != home)
            .take(surplus)
            .try_for_each(|(_, path)| drop_unused(&path))
    }
}

impl Held {
    /// Takes the folder away, since it turned out to be of no use, unless another build still has it.
    pub(super) fn forget(self) -> Outcome<()> {
        let Self { folder, _in_use: in_use } = self;
        drop(in_use);
        drop_unused(&folder)
    }
}

fn drop_unused(path: &Path) -> Outcome<()> {
    let fail = |e| Trouble::transient(format!("take {} away", path.display())).because(e);
    let Ok(file) = File::open(path.join(IN_USE)) else { return Ok(()) };
    match file.try_lock() {
        Ok(()) => {
            std::fs::remove_file(path.join(IN_USE)).map_err(fail)?;
            folder::remove(path)
        }
        Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(e)) => Err(fail(e)),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test makes files of its own")]
    use super::*;

    fn made(root: &Path, text: &str) -> (PathBuf, Digest) {
        let folder = root.join("made");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("text"), text).unwrap();
        (folder, Digest::of_text(text))
    }

    #[test]
    fn the_oldest_goes_unless_somebody_uses_it_and_what_is_there_stays_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache { root: root.path().join("kept"), most: 2 };
        let put = |text: &str| {
            let (folder, digest) = made(root.path(), text);
            cache.put(&folder, &digest).unwrap();
            // Files have times as exact as their system's, so each is made older than the next by hand.
            let age = Duration::from_secs(1_000 + u64::try_from(text.len()).unwrap());
            let file = File::options().write(true).open(cache.root.join(digest.hex()).join(IN_USE)).unwrap();
            file.set_modified(UNIX_EPOCH + age).unwrap();
            digest
        };
        let (a, bb) = (put("a"), put("bb"));
        let held = cache.take(&bb).unwrap().unwrap();
        std::fs::write(held.folder.join("text"), "as it is").unwrap();
        let ccc = put("ccc");
        assert!(cache.take(&a).unwrap().is_none(), "the oldest went");
        let dddd = put("dddd");
        assert!(cache.take(&bb).unwrap().is_some(), "it was used last");
        assert!(cache.take(&ccc).unwrap().is_none());
        let (folder, digest) = made(root.path(), "bb");
        cache.put(&folder, &digest).unwrap();
        assert_eq!(std::fs::read_to_string(held.folder.join("text")).unwrap(), "as it is");
        let other = cache.take(&bb).unwrap().unwrap();
        other.forget().unwrap();
        assert!(cache.take(&bb).unwrap().is_some(), "somebody has it");
        held.forget().unwrap();
        assert!(cache.take(&bb).unwrap().is_none());
        assert!(cache.take(&dddd).unwrap().is_some());
    }
}
