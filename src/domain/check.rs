//! Checks: what a stage asks after its deploy (legs) and around it (gates), as declared, and how one is called.
//!
//! [`leg`] says what answers make of one leg, [`course`] how the legs of a run follow each other, [`ticks`] what
//! samples make of the gates of one side (SEMANTICS §5).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::name::{Alias, CheckName, CommitSha, Digest, RepoId};
use crate::domain::probe::Probe;
use crate::domain::time::Span;

pub mod cache;
pub mod course;
pub mod hold;
pub mod leg;
pub mod ticks;

/// Time between two samples when nobody says (SEMANTICS §5: at least a minute).
pub const EVERY: Span = Span::minutes(1);
/// How long samples are taken when nobody says (SEMANTICS §5).
pub const TIMEOUT: Span = Span::hours(24);

/// A check as declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name.
    pub name: CheckName,
    /// What is asked.
    pub kind: CheckKind,
    /// Whether the stage waits for it to be green; without, a red one is only told of.
    pub blocking: bool,
    /// Whether `/override` may pass it.
    pub overridable: bool,
    /// Whether it is asked once, or once for every component.
    pub each: Each,
    /// Whether an answer holds as long as the bytes are the same.
    pub reuse: Reuse,
    /// Time between two samples; without, a leg is asked once.
    pub every: Option<Span>,
    /// How many good answers in a row it takes.
    pub consecutive: u32,
    /// Time before the first sample.
    pub delay: Span,
    /// How long a command may run, or samples are taken.
    pub timeout: Option<Span>,
    /// What happens when samples were taken for that long.
    pub on_timeout: OnTimeout,
    /// So many bad answers are forgiven.
    pub failure_limit: u32,
}

/// What a check asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// A text for `/bin/sh -e`: exit 0 is good, 1 bad, 75 nobody can tell.
    Run(String),
    /// A question to the outside world.
    Probe(Probe),
    /// A look at the bytes of the artifacts.
    BuiltIn(BuiltIn),
}

/// What is looked at in artifacts without a command of the user's (CHECKLIST D07, D08, D14–D20).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuiltIn {
    /// The files that a release promises are there and are what they are said to be.
    Asset,
    /// Programs are built so that a bug in them is hard to use.
    Binary,
    /// Lists of checksums are right.
    Checksum,
    /// What the release is made of agrees on versions.
    Coherent,
    /// The whole contract of the release.
    Contract,
    /// Archives open, and packages are what they are called.
    Packages,
    /// What is to be signed is.
    Signing,
    /// Symbols lead to the released commit.
    Sourcelink,
    /// Programs have symbols.
    Symbols,
}

impl BuiltIn {
    /// All of them, by name.
    pub const ALL: [Self; 9] = [
        Self::Asset,
        Self::Binary,
        Self::Checksum,
        Self::Coherent,
        Self::Contract,
        Self::Packages,
        Self::Signing,
        Self::Sourcelink,
        Self::Symbols,
    ];

    /// Whether nothing but the bytes of the artifacts says what it answers.
    pub fn follows_from_bytes(self) -> bool {
        match self {
            Self::Binary | Self::Checksum | Self::Packages | Self::Sourcelink | Self::Symbols => true,
            Self::Asset | Self::Coherent | Self::Contract | Self::Signing => false,
        }
    }

    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Asset => "asset",
            Self::Binary => "binary",
            Self::Checksum => "checksum",
            Self::Coherent => "coherent",
            Self::Contract => "contract",
            Self::Packages => "packages",
            Self::Signing => "signing",
            Self::Sourcelink => "sourcelink",
            Self::Symbols => "symbols",
        }
    }

    /// The one of a name; `binskim` is what people call `binary` where that tool did it.
    pub fn of_word(word: &str) -> Option<Self> {
        let word = if word == "binskim" { "binary" } else { word };
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

impl CheckKind {
    /// Whether it is a process of its own, with a log.
    pub fn runs(&self) -> bool {
        match self {
            Self::Run(_) | Self::BuiltIn(_) => true,
            Self::Probe(_) => false,
        }
    }
}

/// How often a check is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Each {
    /// Once for the release.
    Release,
    /// Once for every repository and commit in it.
    Component,
}

/// Whether an answer is asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reuse {
    /// A good answer about the same artifacts holds for so long, whichever release has them.
    Artifacts {
        /// From when it was given.
        max_age: Span,
    },
    /// A good answer about the same digest holds.
    Digest,
    /// Every time.
    Never,
}

/// What happens when time is up, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTimeout {
    /// It goes on, with a mark.
    Continue,
    /// Somebody decides.
    Pause,
    /// It is over.
    #[default]
    Reject,
}

/// The checks after the deploy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verify {
    /// Asked at once, all of them.
    pub parallel: Vec<Check>,
    /// Asked one after another, once every blocking one of `parallel` is good.
    pub then: Vec<Check>,
}

/// The checks around a stage, sampled over time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gates {
    /// Before it starts.
    pub pre: Vec<Check>,
    /// After its legs.
    pub post: Vec<Check>,
    /// Time before the first sample of a side.
    pub delay: Span,
    /// Time between two samples; the longest of the side's checks when absent.
    pub every: Option<Span>,
    /// How long a side is sampled; the longest of its checks when absent.
    pub timeout: Option<Span>,
    /// How many samples in a row must be good; the most of the side's checks when absent.
    pub consecutive: Option<u32>,
    /// What happens when the time is up; the strictest of the side's checks when absent.
    pub on_timeout: Option<OnTimeout>,
    /// Whether gates before the stage are sampled beside the wait for approvals.
    pub order: Order,
    /// How long the gates after the stage are sampled further once the release is live.
    pub watch: Span,
}

/// Whether people and gates are asked one after the other, strictest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Approvals, then gates; after the deploy gates, then sign-off.
    #[default]
    Sequential,
    /// Both at once.
    Parallel,
}

/// On which side of the deploy gates are sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Before it starts.
    Pre,
    /// Between two portions of its deploy.
    Hold,
    /// After its legs, before it counts as live.
    Post,
    /// While it is live.
    Watch,
}

/// One leg: a check, and the component it is about when it is asked once for each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LegId {
    /// The check.
    pub check: CheckName,
    /// The component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Component>,
}

/// A part of a release: a repository at a commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Component {
    /// The repository that is released.
    Own {
        /// The repository.
        repo: RepoId,
        /// The commit.
        commit: CommitSha,
    },
    /// Another one that the release took the tree of.
    Source {
        /// Its name in the release.
        alias: Alias,
        /// The repository, `host/path`.
        repository: String,
        /// The commit.
        commit: CommitSha,
    },
}

impl Component {
    /// The commit.
    pub fn commit(&self) -> &CommitSha {
        match self {
            Self::Own { commit, .. } | Self::Source { commit, .. } => commit,
        }
    }
}

impl Check {
    /// Whether a leg of it is asked again until it is good.
    pub fn polls(&self) -> bool {
        let waits = matches!(&self.kind, CheckKind::Probe(Probe::WaitFor(_)));
        waits || self.every.is_some() || self.consecutive > 1 || self.failure_limit > 0
    }

    /// Time between two samples.
    pub fn pace(&self) -> Span {
        self.every.unwrap_or(EVERY)
    }

    /// Digest of what is asked: answers hold for the same question only.
    pub fn question(&self) -> Digest {
        // These types always serialize; a question that did not would merely never be answered from memory.
        let text = serde_json::to_string(&(&self.kind, self.each)).unwrap_or_default();
        Digest::of_text(&text)
    }
}

impl Verify {
    /// Every check, in order.
    pub fn checks(&self) -> impl Iterator<Item = &Check> {
        self.parallel.iter().chain(&self.then)
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.parallel.is_empty() && self.then.is_empty()
    }
}

impl Gates {
    /// Whether nothing is sampled.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The checks of a side.
    pub fn on(&self, side: Side) -> &[Check] {
        match side {
            Side::Pre => &self.pre,
            Side::Hold | Side::Post | Side::Watch => &self.post,
        }
    }

    /// Time between two samples: no check is asked more often than it says.
    pub fn pace(&self, side: Side) -> Span {
        self.every.or_else(|| self.on(side).iter().filter_map(|c| c.every).max()).unwrap_or(EVERY)
    }

    /// How long the side is sampled after its delay: every check has the time it asks for.
    pub fn patience(&self, side: Side) -> Span {
        self.timeout.or_else(|| self.on(side).iter().filter_map(|c| c.timeout).max()).unwrap_or(TIMEOUT)
    }

    /// How many samples in a row must be good.
    pub fn streak(&self, side: Side) -> u32 {
        let most = self.on(side).iter().map(|c| c.consecutive).max().unwrap_or(1);
        self.consecutive.unwrap_or(most).max(1)
    }

    /// What happens when the time is up.
    pub fn when_over(&self, side: Side) -> OnTimeout {
        let strictest = self.on(side).iter().map(|c| c.on_timeout).max().unwrap_or_default();
        self.on_timeout.unwrap_or(strictest)
    }

    /// Time before the first sample.
    pub fn first(&self, side: Side) -> Span {
        match side {
            Side::Pre | Side::Hold | Side::Post => {
                self.on(side).iter().map(|c| c.delay).max().unwrap_or(Span::ZERO).max(self.delay)
            }
            // It was sampled just before.
            Side::Watch => self.pace(side),
        }
    }
}

impl OnTimeout {
    /// The word of the manifest.
    pub fn word(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Pause => "pause",
            Self::Reject => "reject",
        }
    }
}

impl Side {
    /// The word in keys of effects.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pre => "pre",
            Self::Hold => "hold",
            Self::Post => "post",
            Self::Watch => "watch",
        }
    }
}

impl LegId {
    /// The leg of a check that is asked once.
    pub fn whole(check: CheckName) -> Self {
        Self { check, component: None }
    }

    /// What tells it apart among the legs of its stage: the check, with `mark` and the name of another repository.
    pub fn name(&self, mark: char) -> String {
        match &self.component {
            None | Some(Component::Own { .. }) => self.check.to_string(),
            Some(Component::Source { alias, .. }) => format!("{}{mark}{alias}", self.check),
        }
    }
}

impl fmt::Display for LegId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.check)?;
        match &self.component {
            None => Ok(()),
            Some(Component::Own { commit, .. }) => write!(f, "@{}", commit.short()),
            Some(Component::Source { alias, commit, .. }) => write!(f, "@{alias}@{}", commit.short()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d10_components_have_names_of_their_own_and_older_logs_know_one_of_them() {
        let old = r#"{"check":"sdl","component":{"repo":"github:12","commit":"9fceb02d0ae598e95dc970b74767f19372d61af8"}}"#;
        let own: LegId = serde_json::from_str(old).unwrap();
        assert_eq!(serde_json::to_string(&own).unwrap(), old);
        assert_eq!((own.to_string(), own.name('/')), ("sdl@9fceb02".to_owned(), "sdl".to_owned()));
        let component = Component::Source {
            alias: "Config".parse().unwrap(),
            repository: "gitea.example/acme/config".to_owned(),
            commit: own.component.as_ref().unwrap().commit().clone(),
        };
        let other = LegId { component: Some(component), ..own.clone() };
        let again: LegId = serde_json::from_str(&serde_json::to_string(&other).unwrap()).unwrap();
        assert_eq!(again, other);
        assert_eq!(
            (other.to_string(), other.name('/')),
            ("sdl@Config@9fceb02".to_owned(), "sdl/Config".to_owned())
        );
        assert_eq!(LegId::whole(own.check).to_string(), "sdl");
    }
}
