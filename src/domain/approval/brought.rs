//! Who wrote what a stage gets with a release besides the release's own commits.
//!
//! What a release brings is cumulative: the commits of releases that were superseded, or failed, before it are in it, too
//! (SEMANTICS §4). Their authors approve no more than those of its own commits do.

use std::collections::BTreeSet;

use crate::domain::name::{Login, StageName};
use crate::domain::release::Release;
use crate::domain::state::State;

/// Who wrote the commits of the releases before it that a stage has not had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brought {
    /// The accounts of the authors whom the host knows.
    pub authors: BTreeSet<Login>,
    /// Whether the host does not know who wrote one of them.
    pub unknown: bool,
    /// Whether there were more than are looked through.
    pub left_out: bool,
}

impl Brought {
    /// What came after the release that the stage had last of those that this one contains. A stage that has had none
    /// takes the oldest of them as given: that one brought the whole history, and everybody wrote some of it.
    pub fn of(state: &State, release: &Release, stage: &StageName) -> Self {
        let others = || {
            let all = state.releases.values().filter(|other| other.no() != release.no());
            all.filter(|other| release.contains(other))
        };
        let had = state.done(stage).filter(|other| other.no() != release.no() && release.contains(other));
        let since = had.last().map(|had| had.order()).or_else(|| others().map(|other| other.order()).min());
        let mut brought = Self::default();
        for other in others().filter(|other| since.is_some_and(|since| since < other.order())) {
            let created = &other.created;
            // Most people are there already, and of a stage that is seldom deployed to there are many releases.
            for author in created.authors() {
                if !brought.authors.contains(author) {
                    brought.authors.insert(author.clone());
                }
            }
            brought.unknown |= created.has_unknown_author();
            brought.left_out |= created.unlisted.authors_left_out;
        }
        brought
    }

    /// Whether this account is one of theirs.
    pub fn is_by(&self, login: &str) -> bool {
        self.authors.iter().any(|author| author.as_str().eq_ignore_ascii_case(login))
    }
}
