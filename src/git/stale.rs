//! Lock files that a killed process left behind: git removes none of them, and nobody could write there ever again.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::repo::Mirror;
use crate::clock;
use crate::domain::time::{Span, Timestamp};
use crate::trouble::{Outcome, Trouble};

/// A lock that somebody else may hold is left alone for so long; git holds one while it writes one file, and whoever
/// waits for it is tried again about as late.
const STALE_AFTER: Span = Span::seconds(10);
/// The file that [`Mirror::alone`] holds.
pub(super) const OURS: &str = "liftlock.lock";
/// Folders below `refs` that are looked through; names of refs nest no deeper here.
const DEPTH: u32 = 16;

impl Mirror {
    /// Removes the lock of a ref that nobody but this program writes; being alone, its holder is dead.
    pub(super) fn break_lock(&self, reference: &str, _alone: &File) -> Outcome<()> {
        remove(&self.path.join(format!("{reference}.lock")))
    }

    /// Removes every lock of the repository that is older than any writer holds one.
    pub(super) fn break_old_locks(&self, _alone: &File) -> Outcome<()> {
        sweep(&self.path, 0)?;
        sweep(&self.path.join("refs"), DEPTH)
    }
}

fn sweep(folder: &Path, deeper: u32) -> Outcome<()> {
    let fail = |e| Trouble::transient(format!("look for old locks in {}", folder.display())).because(e);
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let path = entry.path();
        let kind = entry.file_type().map_err(fail)?;
        if kind.is_dir() && deeper > 0 {
            sweep(&path, deeper.saturating_sub(1))?;
        } else if kind.is_file() && entry.file_name() != OURS && is_old_lock(&path) {
            remove(&path)?;
        }
    }
    Ok(())
}

fn is_old_lock(path: &Path) -> bool {
    let is_lock = path.extension().is_some_and(|e| e == "lock");
    let modified = std::fs::metadata(path).and_then(|m| m.modified()).ok();
    let written = modified.and_then(|m| m.duration_since(UNIX_EPOCH).ok());
    is_lock
        && written.is_some_and(|at| {
            let at = Timestamp(i64::try_from(at.as_millis()).unwrap_or(i64::MAX));
            clock::now().since(at) > STALE_AFTER
        })
}

fn remove(path: &Path) -> Outcome<()> {
    match std::fs::remove_file(path) {
        Ok(()) => {
            tracing::warn!(path = %path.display(), "removed a lock that a killed process had left behind");
            Ok(())
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Trouble::transient(format!("remove the old lock {}", path.display())).because(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Sample;
    use super::super::write::{NewTag, Origin, Person};
    use super::*;

    const ANA: Person<'_> = Person { name: "ana", email: "ana@example.org" };
    const AT: Timestamp = Timestamp(1_700_000_000_000);

    fn lock(sample: &Sample, name: &str, old: bool) -> std::path::PathBuf {
        let path = sample.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = File::create(&path).unwrap();
        if old {
            file.set_modified(UNIX_EPOCH + std::time::Duration::from_secs(1)).unwrap();
        }
        path
    }

    #[test]
    fn what_only_we_write_is_free_at_once_after_a_kill() {
        let sample = Sample::new();
        let one = sample.commit(&[], &["a=1"]);
        let origin = Origin::open(&sample.path()).unwrap();
        let (notes, log) = ("liftlock".parse().unwrap(), "comments/12".parse().unwrap());
        lock(&sample, "refs/notes/liftlock.lock", false);
        origin.write_note(&one, &notes, "beta: running", (ANA, AT)).unwrap();
        lock(&sample, "refs/liftlock/comments/12.lock", false);
        origin.append_commit(&log, "/approve beta", (ANA, AT)).unwrap();
    }

    #[test]
    fn what_others_write_too_is_free_when_the_lock_is_old() {
        let sample = Sample::new();
        let one = sample.commit(&[], &["a=1"]);
        let origin = Origin::open(&sample.path()).unwrap();
        let version = "v1.0.0".parse().unwrap();
        let new =
            NewTag { name: &version, commit: &one, message: "1.0.0\n", tagger: ANA, at: AT, object: None };
        let held = lock(&sample, "refs/tags/v1.0.0.lock", false);
        assert!(origin.create_tag(new).unwrap_err().is_transient(), "somebody may be pushing it");
        assert!(held.exists());
        lock(&sample, "refs/tags/v1.0.0.lock", true);
        assert!(origin.create_tag(new).unwrap_err().is_transient());
        origin.create_tag(new).unwrap();
    }

    #[test]
    fn only_old_locks_are_removed_and_never_our_own() {
        let sample = Sample::new();
        let mirror = Mirror::open(&sample.path()).unwrap();
        let alone = mirror.alone().unwrap();
        lock(&sample, OURS, true);
        let old = [lock(&sample, "packed-refs.lock", true), lock(&sample, "refs/heads/a/b.lock", true)];
        let young = lock(&sample, "refs/heads/main.lock", false);
        mirror.break_old_locks(&alone).unwrap();
        assert!(old.iter().all(|path| !path.exists()));
        assert!(young.exists() && sample.path().join(OURS).exists());
    }
}
