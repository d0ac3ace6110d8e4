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
    pub fn lacks(&self, shown: &Shown) -> Vec<Lack> {
        let plain = |text: &str| text.replace("\r\n", "\n").trim_end().to_owned();
        let all = [
            (Lack::Text, plain(&self.body) != plain(&shown.body)),
            (Lack::Name, self.title != shown.title),
            (Lack::Mark, self.pre_release != shown.pre_release),
        ];
        all.into_iter().filter_map(|(lack, lacks)| lacks.then_some(lack)).collect()
    }

    /// What a person does on the host about something that a release there does not say as it should.
    pub fn mended(&self, lack: Lack) -> String {
        match lack {
            Lack::Text => "give it the release's text there".to_owned(),
            Lack::Name => format!("call it `{}` there", self.title),
            Lack::Mark if self.pre_release => "mark it as a pre-release there".to_owned(),
            Lack::Mark => "take its mark as a pre-release away there".to_owned(),
        }
    }
}

/// Something that a release on the host does not say as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// What it says of the release, which people may edit once it is published.
    Text,
    /// Its name for people.
    Name,
    /// Whether it is not for everybody yet.
    Mark,
}

impl Lack {
    /// What it is, in a word or two.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Name => "name",
            Self::Mark => "mark for pre-releases",
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
