//! Outlets: where files of releases are published, and how they get there and are read back.
//!
//! An outlet never replaces anything: a file is put there under a name that nothing has, or not at all.

use crate::bucket::Bucket;
use crate::domain::name::OutletName;
use crate::domain::publication::{Found, Item};
use crate::domain::time::Span;
use crate::https::pieces::Content;
use crate::secret::{Allowed, Asking, Secret};
use crate::trouble::{Outcome, Trouble};

pub mod command;
pub mod folder;
pub mod http;
mod object;

/// Where files of releases are published.
#[derive(Debug, Clone)]
pub struct Outlet {
    /// What manifests call it.
    pub name: OutletName,
    /// What it is.
    pub kind: Kind,
    /// What stands in front of `<version>/<file>` for everybody, without a slash at its end.
    pub url: Option<String>,
    /// How long it may take until everybody sees what was published.
    pub patience: Patience,
    /// The stages that may publish there.
    pub allow: Vec<Allowed>,
}

/// What an outlet is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A folder of this machine.
    Folder(folder::Folder),
    /// An address that takes files.
    Http(http::Http),
    /// A feed with a client of its own.
    Command(command::Feed),
    /// A registry of images.
    Registry(Images),
    /// A bucket of an object store.
    Object(Bucket),
}

/// A registry that images are published in.
#[derive(Debug, Clone)]
pub struct Images {
    /// `host[:port]`, and maybe a path that all its images are below.
    pub address: String,
    /// Who we are there.
    pub login: Option<(String, Secret)>,
    /// Whether it is asked without TLS, as on this machine alone.
    pub plain: bool,
}

/// How often something is read back before it counts as not there, and the wait between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How often.
    pub tries: u32,
    /// Time between two tries.
    pub wait: Span,
}

/// What reading back under a name of the outlet gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nothing has that name.
    Nothing,
    /// This: the digest of the bytes there, or the commit that a tag names.
    Is(String),
    /// Something that has no bytes of its own, in words.
    Odd(String),
}

/// What became of a file that was put there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was taken.
    Yes,
    /// Something has the name already.
    Occupied,
}

impl Seen {
    /// What it means for a file.
    pub fn of(self, item: &Item) -> Found {
        match self {
            Self::Nothing => Found::Missing,
            Self::Is(this) if this == item.is => Found::Same,
            Self::Is(other) => Found::Other(other),
            Self::Odd(what) => Found::Other(what),
        }
    }
}

impl Outlet {
    /// Whether this stage may publish there.
    pub fn allows(&self, asking: Asking<'_>) -> bool {
        self.allow.iter().any(|allowed| allowed.is(asking))
    }

    /// Everything of it that must never be shown.
    pub fn hidden(&self) -> Vec<Secret> {
        match &self.kind {
            Kind::Folder(_) => Vec::new(),
            Kind::Object(bucket) => bucket.hidden(),
            Kind::Registry(images) => images.login.iter().map(|(_, password)| password.clone()).collect(),
            Kind::Command(feed) => feed.secrets.values().cloned().collect(),
            Kind::Http(http) => http.headers.iter().map(|(_, value)| value.clone()).collect(),
        }
    }

    /// Where everybody finds a version, if anywhere.
    pub fn address(&self, version: &str) -> Option<String> {
        self.url.as_ref().map(|url| format!("{url}/{version}/"))
    }

    /// What there is of a file of a version now, where it is put.
    pub async fn look(&self, version: &str, item: &Item) -> Outcome<Found> {
        match &self.kind {
            Kind::Folder(folder) => folder.look(version, item).await,
            Kind::Http(_) => Ok(self.read(version, &item.name).await?.of(item)),
            Kind::Object(bucket) => Ok(object::read(bucket, version, &item.name).await?.of(item)),
            Kind::Command(_) | Kind::Registry(_) => Err(by_client()),
        }
    }

    /// Puts a file there.
    pub async fn put(&self, version: &str, item: &Item, content: Content) -> Outcome<Taken> {
        match &self.kind {
            Kind::Folder(folder) => folder.put(version, item, content).await.map(|()| Taken::Yes),
            Kind::Http(http) => http.put(version, item, content).await,
            Kind::Object(bucket) => object::put(bucket, version, &item.name, content).await,
            Kind::Command(_) | Kind::Registry(_) => Err(by_client()),
        }
    }

    /// Whether what is put there stands where people look for it at once.
    pub fn shows_at_once(&self) -> bool {
        match &self.kind {
            Kind::Folder(_) => false,
            Kind::Http(_) | Kind::Command(_) | Kind::Registry(_) | Kind::Object(_) => true,
        }
    }

    /// Brings a file that was put there to where people look for it.
    pub async fn show(&self, version: &str, item: &Item) -> Outcome<Taken> {
        match &self.kind {
            Kind::Folder(folder) => folder.show(version, item).await,
            Kind::Http(_) | Kind::Command(_) | Kind::Registry(_) | Kind::Object(_) => Ok(Taken::Yes),
        }
    }

    /// Reads what everybody gets under a name.
    pub async fn read(&self, version: &str, name: &str) -> Outcome<Seen> {
        match (&self.kind, &self.url) {
            (Kind::Command(_) | Kind::Registry(_), _) => Err(by_client()),
            (_, Some(url)) => http::get(&format!("{url}/{version}/{name}")).await,
            (Kind::Folder(folder), None) => folder.read(version, name).await,
            (Kind::Object(bucket), None) => object::read(bucket, version, name).await,
            (Kind::Http(http), None) => http::get(&http.at(version, name)).await,
        }
    }
}

/// Programs are run by the stage, which has a log and a way to stop them.
fn by_client() -> Trouble {
    Trouble::bug("a feed with a client of its own is asked by that")
}
