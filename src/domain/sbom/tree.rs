//! The lock files of a tree: how many of them are read, and as what they are kept once a build has left them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Found;

/// Most lock files that are read of a tree: more than a large monorepo has projects.
const MAX_LOCKS: usize = 200;
/// The largest of them: one of some ten thousand packages is smaller.
const MAX_LOCK_BYTES: u64 = 16 * 1024 * 1024;
/// All of them together, since they are kept as one.
const MAX_ALL_BYTES: u64 = 64 * 1024 * 1024;
/// Most that are named although they were not read: enough to see what is the matter.
const MAX_MISSED: usize = 50;
/// Largest kept form: as JSON a byte takes six at most, and paths are short.
pub const MAX_KEPT_BYTES: u64 = 8 * MAX_ALL_BYTES;

/// The lock files of one tree.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locks {
    /// What each says, by its path.
    files: BTreeMap<String, String>,
    /// Those that were not read, with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    missed: BTreeMap<String, String>,
    /// How many more were not.
    #[serde(default, skip_serializing_if = "is_zero")]
    more: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape serde calls")]
fn is_zero(more: &usize) -> bool {
    *more == 0
}

impl Locks {
    /// How large the lock file at this path may be; nothing when no more are read, which is remembered.
    pub fn room(&mut self, path: &str) -> Option<u64> {
        if self.files.len() >= MAX_LOCKS {
            self.miss(path, &format!("it is behind the first {MAX_LOCKS}"));
            return None;
        }
        let taken = self.files.values().map(|text| u64::try_from(text.len()).unwrap_or(u64::MAX));
        let left = MAX_ALL_BYTES.saturating_sub(taken.fold(0, u64::saturating_add));
        Some(MAX_LOCK_BYTES.min(left))
    }

    /// Takes what is in a lock file, of no more bytes than there was room for.
    pub fn take(&mut self, path: &str, content: Vec<u8>) {
        match String::from_utf8(content) {
            Ok(text) => drop(self.files.insert(path.to_owned(), text)),
            Err(_) => self.miss(path, "it is not UTF-8"),
        }
    }

    /// Remembers what could not be read.
    pub fn miss(&mut self, path: &str, why: &str) {
        if self.missed.len() < MAX_MISSED {
            self.missed.insert(path.to_owned(), why.to_owned());
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// How many were read.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The same with every text changed like this.
    #[must_use]
    pub fn map(self, change: impl Fn(&str) -> String) -> Self {
        let all = |texts: BTreeMap<String, String>| {
            texts.iter().map(|(path, text)| (change(path), change(text))).collect()
        };
        Self { files: all(self.files), missed: all(self.missed), more: self.more }
    }

    /// What they say.
    pub fn found(&self) -> Found {
        let mut found = Found::default();
        self.files.iter().for_each(|(path, text)| found.take(path, text));
        found.unread.extend(self.missed.iter().map(|(path, why)| (path.clone(), why.clone())));
        if self.more > 0 {
            found.unread.push((format!("{} more", self.more), "not read either".to_owned()));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_of_a_tree_than_its_bounds_and_what_is_left_out_is_said() {
        let mut locks = Locks::default();
        for no in 0..MAX_LOCKS {
            let path = format!("{no}/requirements.txt");
            assert_eq!(locks.room(&path), Some(MAX_LOCK_BYTES));
            locks.take(&path, format!("six=={no}").into_bytes());
        }
        for no in 0..MAX_MISSED + 2 {
            assert_eq!(locks.room(&format!("{}/requirements.txt", no + MAX_LOCKS)), None);
        }
        let found = locks.found();
        assert_eq!((locks.len(), found.components.len()), (MAX_LOCKS, MAX_LOCKS));
        assert_eq!(found.unread.len(), MAX_MISSED + 1);
        assert_eq!(
            found.unread[0],
            ("200/requirements.txt".to_owned(), "it is behind the first 200".to_owned())
        );
        assert_eq!(found.unread[MAX_MISSED], ("2 more".to_owned(), "not read either".to_owned()));
    }

    #[test]
    fn all_of_them_together_have_a_bound_too() {
        let mut locks = Locks::default();
        let large = vec![b'#'; usize::try_from(MAX_LOCK_BYTES).unwrap()];
        for no in 0..4 {
            let path = format!("{no}/requirements.txt");
            assert_eq!(locks.room(&path), Some(MAX_LOCK_BYTES));
            locks.take(&path, large.clone());
        }
        assert_eq!(locks.room("5/requirements.txt"), Some(0));
    }

    #[test]
    fn what_is_kept_is_read_again_as_it_was() {
        let mut locks = Locks::default();
        locks.take("requirements.txt", b"six==1.16.0\n".to_vec());
        locks.take("a/go.mod", b"\xff".to_vec());
        locks.miss("b/Cargo.lock", "it is a link");
        let kept = serde_json::to_string(&locks).unwrap();
        assert_eq!(
            kept,
            r#"{"files":{"requirements.txt":"six==1.16.0\n"},"missed":{"a/go.mod":"it is not UTF-8","b/Cargo.lock":"it is a link"}}"#
        );
        assert_eq!(serde_json::from_str::<Locks>(&kept).unwrap(), locks);
        assert_eq!(serde_json::from_str::<Locks>("{\"files\":{}}").unwrap(), Locks::default());
        let hidden = locks.map(|text| text.replace("six", "***"));
        assert_eq!(
            hidden.found().components.len(),
            0,
            "`***` is no name of a package, and its line is no pin"
        );
        assert_eq!(hidden.found().unread.len(), 3);
    }
}
