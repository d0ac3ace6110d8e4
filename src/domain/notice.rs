//! Notices: what people elsewhere are told about releases, where, and in whose words (row E06).
//!
//! A notice is a fact and a place to tell it; [`crate::domain::view::notice`] finds the words. It never decides
//! anything, and a release never waits for one (invariant 10).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::name::{NameError, ReleaseNo, RouteName, StageName};

/// One entry of `notify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// Where.
    pub to: Route,
    /// Of what.
    pub events: BTreeSet<Topic>,
    /// In whose words.
    pub audience: Audience,
}

/// Where a notice goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Route {
    /// The thread the release is spoken about in.
    Issue,
    /// A route of the server's config, where its address and secrets are.
    Server(RouteName),
}

/// The word for the release's own thread.
const ISSUE: &str = "issue";

impl FromStr for Route {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text == ISSUE { Ok(Self::Issue) } else { text.parse().map(Self::Server) }
    }
}

impl TryFrom<String> for Route {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Route> for String {
    fn from(route: Route) -> String {
        route.to_string()
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issue => f.write_str(ISSUE),
            Self::Server(name) => write!(f, "{name}"),
        }
    }
}

/// Declares the topics once: variant, word, whether the release's thread hears of it anyway.
macro_rules! topics {
    ($($(#[$doc:meta])* $name:ident $word:literal $told:literal;)+) => {
        /// What a notice is about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Topic {
            $($(#[$doc])* $name,)+
        }

        impl Topic {
            /// Every topic, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
            /// Their words.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word of the manifest.
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// Whether the release's thread has a comment about it anyway.
            pub fn is_told_on_the_thread(self) -> bool {
                match self { $(Self::$name => $told,)+ }
            }
        }
    };
}

topics! {
    /// People are asked to approve or to sign off.
    ApprovalRequested "approval_requested" true;
    /// Somebody said no, or nobody said yes in time.
    Rejected "rejected" true;
    /// A release is live in a stage.
    Deployed "deployed" false;
    /// A stage runs an older release again.
    RolledBack "rolled_back" false;
    /// Something that stood in the way was passed over.
    Override "override" true;
    /// Nothing but rollbacks starts.
    Freeze "freeze" false;
    /// Nothing starts.
    Hold "hold" false;
    /// A build or a stage ended badly.
    Failed "failed" true;
    /// What is live was found to be bad.
    Faulty "faulty" true;
    /// A release has passed every stage it must.
    Released "released" true;
}

impl Topic {
    /// Whether it is about the pipeline and not about one release.
    pub fn is_of_pipeline(self) -> bool {
        matches!(self, Self::Freeze | Self::Hold)
    }
}

/// Whose words a notice is in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Who keeps the gates: what is asked, and the line to type.
    #[default]
    ReleaseManagers,
    /// Who wrote it: commits, the failed step, its last lines.
    Developers,
    /// Who uses it: what is there and what is new, without the machine.
    Stakeholders,
}

impl Audience {
    /// The words of the manifest.
    pub const WORDS: &'static [&'static str] = &["release_managers", "developers", "stakeholders"];

    /// The word of the manifest.
    pub fn word(self) -> &'static str {
        match self {
            Self::ReleaseManagers => "release_managers",
            Self::Developers => "developers",
            Self::Stakeholders => "stakeholders",
        }
    }

    /// The audience of this word.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::ReleaseManagers, Self::Developers, Self::Stakeholders].into_iter().find(|a| a.word() == word)
    }
}

/// The fact a notice is about; its words are looked up when it is sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case")]
pub enum Fact {
    /// One attempt of a release in a stage.
    Run {
        /// The release.
        release: ReleaseNo,
        /// The stage.
        stage: StageName,
        /// The attempt.
        attempt: u32,
        /// Which of several of the kind: overrides, and the side people are asked on.
        nth: usize,
    },
    /// A release as a whole.
    Release {
        /// The release.
        release: ReleaseNo,
        /// Which try of its build.
        attempt: u32,
    },
    /// A stage of the pipeline, or all of them.
    Stage {
        /// The stage; nothing for all.
        stage: Option<StageName>,
        /// Since when, in milliseconds since 1970: each freeze and hold is another one.
        since: i64,
    },
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run { release, stage, attempt, nth } => write!(f, "{release}:{stage}:{attempt}:{nth}"),
            Self::Release { release, attempt } => write!(f, "{release}:{attempt}"),
            Self::Stage { stage, since } => {
                write!(f, "{}:{since}", stage.as_ref().map_or("*", |stage| stage.as_str()))
            }
        }
    }
}

/// A notice on its way to a route of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Where it goes.
    pub to: RouteName,
    /// What kind of fact it is about.
    pub topic: Topic,
    /// Which.
    pub fact: Fact,
    /// In whose words.
    pub audience: Audience,
}
