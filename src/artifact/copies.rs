//! The copies that the local folder has of a bucket's blobs: which of them go when there are too many bytes of them.

use std::time::SystemTime;

use crate::domain::name::Digest;

/// Most copies that one look removes: each is asked for in the bucket first, and somebody waits.
const MOST: usize = 50;

/// A copy on this disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LocalCopy {
    /// What it is a copy of.
    pub(super) digest: Digest,
    /// Its size.
    pub(super) bytes: u64,
    /// When it was used last.
    pub(super) used: SystemTime,
}

/// The copies that go so that no more than `most` bytes stay: those that were used longest ago, and never this one.
pub(super) fn surplus(mut copies: Vec<LocalCopy>, most: u64, needed: &Digest) -> Vec<LocalCopy> {
    let mut total = copies.iter().fold(0_u64, |sum, copy| sum.saturating_add(copy.bytes));
    copies.retain(|copy| copy.digest != *needed);
    copies.sort_by(|a, b| (a.used, &a.digest).cmp(&(b.used, &b.digest)));
    let goes = |copy: &LocalCopy| {
        let over = total > most;
        total = total.saturating_sub(copy.bytes);
        over
    };
    copies.into_iter().take_while(goes).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn copy(name: &str, bytes: u64, used: u64) -> LocalCopy {
        LocalCopy { digest: Digest::of_text(name), bytes, used: UNIX_EPOCH + Duration::from_secs(used) }
    }

    #[test]
    fn what_was_used_longest_ago_goes_first_and_no_more_than_has_to() {
        let all = || vec![copy("new", 10, 30), copy("old", 10, 10), copy("middle", 10, 20)];
        let goes = |most, needed: &str| -> Vec<Digest> {
            surplus(all(), most, &Digest::of_text(needed)).into_iter().map(|copy| copy.digest).collect()
        };
        assert_eq!(goes(30, "new"), []);
        assert_eq!(goes(29, "new"), [Digest::of_text("old")]);
        assert_eq!(goes(10, "new"), [Digest::of_text("old"), Digest::of_text("middle")]);
        assert_eq!(goes(0, "new"), [Digest::of_text("old"), Digest::of_text("middle")], "it is needed now");
        assert_eq!(goes(20, "old"), [Digest::of_text("middle")], "however old it is");
    }

    #[test]
    fn one_look_removes_so_many_and_the_next_ones_the_rest() {
        let many = (0..300).map(|no| copy(&no.to_string(), 1, no)).collect();
        assert_eq!(surplus(many, 0, &Digest::of_text("none")).len(), MOST);
    }
}
