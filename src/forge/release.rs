//! Releases as a host shows them: a draft with files that nobody sees, then published for everybody.

use std::fmt::Debug;

use crate::domain::name::{CommitSha, RefName, RepoId};
use crate::forge::Asked;
use crate::https::pieces::Content;

/// A release to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its tag.
    pub tag: RefName,
    /// The commit that the tag names.
    pub commit: CommitSha,
    /// Its name for people.
    pub title: String,
    /// Markdown.
    pub body: String,
    /// Whether it is not for everybody yet.
    pub pre_release: bool,
}

/// A release as the host shows it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its number there.
    pub id: u64,
    /// Whether nobody sees it yet.
    pub draft: bool,
    /// Its name for people.
    pub title: String,
    /// Markdown.
    pub body: String,
    /// Whether it is not for everybody yet.
    pub pre_release: bool,
    /// The page people look at.
    pub page: String,
    /// Its files.
    pub assets: Vec<Asset>,
}

impl Draft {
    /// What of it a release on the host does not say as it should; hosts have ends of lines of their own.
    pub fn lacks(&self, shown: &Shown) -> Option<&'static str> {
        let plain = |text: &str| text.replace("\r\n", "\n").trim_end().to_owned();
        if plain(&self.body) != plain(&shown.body) {
            Some("text")
        } else if self.title != shown.title {
            Some("name")
        } else if self.pre_release != shown.pre_release {
            Some("mark for pre-releases")
        } else {
            None
        }
    }
}

/// A file of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// Its number there.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Whether all of it is there.
    pub whole: bool,
    /// What the host says of its bytes: `sha256:…`.
    pub digest: Option<String>,
    /// Where everybody gets it, once it is published.
    pub address: String,
}

/// A host that shows releases.
pub trait Releases: Debug + Send + Sync {
    /// The release of a tag, published or else a draft.
    fn find<'a>(&'a self, repo: &'a RepoId, tag: &'a RefName) -> Asked<'a, Option<Shown>>;

    /// Makes a release that nobody sees yet.
    fn draft<'a>(&'a self, repo: &'a RepoId, draft: &'a Draft) -> Asked<'a, Shown>;

    /// Adds a file; a conflict when one has its name.
    fn attach<'a>(&'a self, repo: &'a RepoId, release: u64, name: &'a str, content: Content)
    -> Asked<'a, ()>;

    /// Takes away what is left of a file that did not come through.
    fn detach<'a>(&'a self, repo: &'a RepoId, asset: u64) -> Asked<'a, ()>;

    /// Shows a draft to everybody, whoever made it and whatever it said: from now on it says this.
    fn publish<'a>(&'a self, repo: &'a RepoId, release: u64, draft: &'a Draft) -> Asked<'a, ()>;
}
