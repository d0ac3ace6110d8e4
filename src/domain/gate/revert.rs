//! Commits that were taken back after this release: they keep nothing from starting, and people should know before it
//! does.

use super::{Blocker, Line, Look, Mark, line};
use crate::domain::notes::taken_back_since;

/// Most of them that are named.
const NAMED: usize = 5;

impl Look<'_> {
    /// A commit that is new in this release, and was reverted in a newer one (THREATS T60).
    pub(super) fn reverts(&self) -> Option<Line> {
        let found = taken_back_since(self.state, self.release);
        let named = found.iter().take(NAMED).map(|back| {
            let (commit, by) = (back.commit.short(), back.by.short());
            format!("{commit} ({}) was taken back by {by} in {}", back.subject, back.version)
        });
        let named: Vec<String> = named.collect();
        let more = found.len().saturating_sub(NAMED);
        let more = if more == 0 { String::new() } else { format!("; {more} more") };
        let newer = found.first()?;
        Some(Line {
            next: Some(format!("wait for {}, which has both", newer.version)),
            ..line(Blocker::Revert, Mark::Pass, format!("⚠ {}{more}", named.join("; ")))
        })
    }
}
