//! Sources of other repositories: which one a pipeline names, and the commit that a release took of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::name::{Alias, CommitSha, RefName};

/// Code of the word that a source has moved on since the newest release took it.
pub const MOVED_ON: &str = "source_moved_on";

/// A branch or tag of another repository, as the manifest names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its name in the release.
    pub alias: Alias,
    /// The repository, `host/path`; where and how it is fetched is the server's to say (THREATS T40, T52).
    pub repository: String,
    /// The branch, or else the tag.
    pub reference: RefName,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.reference)
    }
}

/// A source at the commit that a release has of it, whatever its branch does later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// What the manifest named.
    pub source: Named,
    /// Where it was when the release began.
    pub commit: CommitSha,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {} at {}", self.source.alias, self.source, self.commit.short())
    }
}
