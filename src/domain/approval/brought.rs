//! Who wrote and who pushed what a stage gets with a release besides the release's own commits.
//!
//! What a release brings is cumulative: the commits of releases that were superseded, or failed, before it are in it, too
//! (SEMANTICS §4). Their authors, and those who pushed or started them, approve no more than its own do.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::event::StartedBy;
use crate::domain::name::{Login, StageName, UserId};
use crate::domain::person::Person;
use crate::domain::release::Release;
use crate::domain::state::State;

/// Who wrote the commits of the releases before it that a stage has not had, and who brought these about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brought {
    /// The accounts of the authors whom the host knows.
    pub authors: BTreeSet<Login>,
    /// Who wrote the pull requests that brought them.
    pub proposers: BTreeSet<UserId>,
    /// Whether the host does not know who wrote one of them.
    pub unknown: bool,
    /// Whether there were more than are looked through.
    pub left_out: bool,
    /// Who pushed them.
    pub pushed: Pushed,
}

/// Who pushed, or had made, what a stage gets with a release besides the release itself, as far as that was told: one push
/// that nobody told of must not keep every release after it from being approved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Their accounts.
    pub by: BTreeSet<Login>,
    /// Whether another release is of the push of this one's commit, so that its pusher is known.
    pub of_commit: bool,
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
        let same = |other: &&Arc<Release>| other.created.commit == release.created.commit;
        for other in state.releases.values().filter(same).filter(|other| other.no() != release.no()) {
            brought.pushed.by.extend(other.created.pusher.clone());
            let of_push =
                other.created.started_by == StartedBy::Push && other.created.branch == release.created.branch;
            brought.pushed.of_commit |= of_push && other.created.pusher.is_some() && !other.created.unheard;
        }
        for other in others().filter(|other| since.is_some_and(|since| since < other.order())) {
            let created = &other.created;
            // Most people are there already, and of a stage that is seldom deployed to there are many releases.
            for author in created.authors() {
                if !brought.authors.contains(author) {
                    brought.authors.insert(author.clone());
                }
            }
            brought.proposers.extend(other.proposed_by);
            let pushers = created.pusher.iter().chain(created.initiator.as_ref().map(|person| &person.login));
            brought.pushed.by.extend(pushers.cloned());
            brought.unknown |= created.has_unknown_author();
            brought.left_out |= created.unlisted.authors_left_out;
        }
        brought
    }

    /// Whether this person is one of the authors, of a commit or of a pull request.
    pub fn is_by(&self, person: &Person) -> bool {
        has(&self.authors, person.login.as_str()) || self.proposers.contains(&person.id)
    }

    /// Whether this account pushed one of them, or had it made.
    pub fn is_pushed_by(&self, login: &str) -> bool {
        has(&self.pushed.by, login)
    }
}

fn has(accounts: &BTreeSet<Login>, login: &str) -> bool {
    accounts.iter().any(|known| known.as_str().eq_ignore_ascii_case(login))
}
