//! A release as it was made: where from, by whom, with which rules.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::demand::Cause;
use crate::domain::event::Sealed;
use crate::domain::join::{Built, Line};
use crate::domain::name::{ChannelName, CommitSha, Digest, Login, RefName, ReleaseNo, TreeSha};
use crate::domain::naming::Names;
use crate::domain::person::Person;
use crate::domain::pipeline::Pipeline;
use crate::domain::track::Track;
use crate::domain::variable::Taken;
use crate::domain::version::Version;

/// The facts a release begins with; never edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// Its number.
    pub release: ReleaseNo,
    /// Position of its commit on the branch's first-parent line: the order of releases (SEMANTICS §1).
    pub seq: u64,
    /// Its version.
    pub version: Version,
    /// Its commit.
    pub commit: CommitSha,
    /// The tree of that commit; nothing in logs from before trees were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeSha>,
    /// The branch it came from.
    pub branch: RefName,
    /// The channel it belongs to, of the pipeline's `channels`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelName>,
    /// What it is of that others of the pipeline are not; nothing in logs from before there were tracks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<Track>,
    /// What started it.
    pub started_by: StartedBy,
    /// Who started it, as far as the host said.
    pub initiator: Option<Person>,
    /// Who pushed it.
    pub pusher: Option<Login>,
    /// It was found, and nobody told who pushed it: it could be anybody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unheard: bool,
    /// Commits since the release before, newest first, bounded.
    pub changes: Vec<Change>,
    /// The commits beyond that bound; in logs from before they were counted, none.
    #[serde(default, skip_serializing_if = "Unlisted::is_none")]
    pub unlisted: Unlisted,
    /// The pipeline of exactly this commit: its steps.
    pub pipeline: Box<Pipeline>,
    /// Digest of the manifest's text at this commit.
    pub manifest: Digest,
    /// Seconds since 1970 of the commit, the one mtime of everything packed.
    pub epoch_s: i64,
    /// A newer release that already contains the commit, when the push came late.
    pub included_in: Option<ReleaseNo>,
    /// What it and its build are called.
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    pub names: Names,
    /// Files of the commit that say how the artifact is made: manifest, buildspec, scripts, Dockerfile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// What it took of variable groups.
    #[serde(default, skip_serializing_if = "Taken::is_empty")]
    pub groups: Taken,
    /// The builds of other pipelines it is made of, frozen as they were (row E20).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub builds: Vec<Built>,
    /// What was built elsewhere and handed in for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uploads: Vec<Sealed>,
    /// What it was given when it was started, defaults filled in: the strongest of its variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, String>,
}

/// What started a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartedBy {
    /// A push to a branch.
    Push,
    /// A pushed tag.
    Tag(RefName),
    /// Builds of other pipelines.
    Builds(Line),
    /// Somebody, or a time.
    Demand {
        /// Which of the starts that were asked for.
        no: u32,
        /// What asked.
        cause: Cause,
    },
}

impl StartedBy {
    /// The tag, if one did.
    pub fn tag(&self) -> Option<&RefName> {
        match self {
            Self::Push | Self::Builds(_) | Self::Demand { .. } => None,
            Self::Tag(tag) => Some(tag),
        }
    }
}

/// One commit of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The commit.
    pub commit: CommitSha,
    /// First line of its message, or the title of the pull request that it merges.
    pub subject: String,
    /// Its author's mail address: names and dates are the author's to choose, so neither is trusted (THREATS T19).
    pub author_email: String,
    /// The host's account of the author, when the host knows one.
    pub author: Option<Login>,
    /// Its message says that it breaks what uses it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub breaking: bool,
    /// The commit that it takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverts: Option<CommitSha>,
}

/// The commits of a release that its list leaves out. Who wrote them is kept all the same: they are authors as those
/// of listed commits are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlisted {
    /// How many there are; with `authors_left_out` there may be more.
    pub commits: u32,
    /// The accounts of their authors.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub authors: BTreeSet<Login>,
    /// The addresses of authors whom the host does not know.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unknown: BTreeSet<String>,
    /// There were more commits or authors than are looked through, so that anybody may be one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub authors_left_out: bool,
}

impl Created {
    /// The tag that started it, if one did.
    pub fn tag(&self) -> Option<&RefName> {
        self.started_by.tag()
    }

    /// How many commits it brings, as far as they were counted.
    pub fn commits(&self) -> usize {
        self.changes.len().saturating_add(self.unlisted.count())
    }

    /// The accounts of the authors whom the host knows.
    pub fn authors(&self) -> impl Iterator<Item = &Login> {
        self.changes.iter().filter_map(|change| change.author.as_ref()).chain(&self.unlisted.authors)
    }

    /// Whether the host does not know who wrote one of the commits.
    pub fn has_unknown_author(&self) -> bool {
        !self.unlisted.unknown.is_empty() || self.changes.iter().any(|change| change.author.is_none())
    }
}

impl Unlisted {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// How many there are, as far as they were counted.
    pub fn count(&self) -> usize {
        usize::try_from(self.commits).unwrap_or(usize::MAX)
    }

    /// Takes the author of one of them: the account, or the address when the host knows none.
    pub fn wrote(&mut self, author: Option<&Login>, email: &str) {
        match author {
            Some(login) => drop(self.authors.insert(login.clone())),
            None => drop(self.unknown.insert(email.to_owned())),
        }
    }

    /// Takes a commit, and who wrote it.
    pub fn add(&mut self, change: &Change) {
        self.commits = self.commits.saturating_add(1);
        self.wrote(change.author.as_ref(), &change.author_email);
    }
}
