//! Who must approve: rules, and people by what the host or the manifest says about them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::name::{Login, StageName, TeamAlias, TeamName, TeamWord};
use crate::domain::time::Span;

/// Who must approve a stage (SEMANTICS §3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRule {
    /// How many different people.
    pub min: u32,
    /// Who counts toward `min`; anyone of these.
    pub from: Vec<Who>,
    /// Groups that must each give so many.
    pub require: Vec<Requirement>,
    /// Who never counts.
    pub exclude: BTreeSet<Exclusion>,
    /// Whether one person may serve only one entry of `require`.
    pub distinct: bool,
    /// How long an approval counts (default 7 days).
    pub valid_for: Span,
    /// How long the stage waits before it is rejected by the clock (default 7 days).
    pub timeout: Span,
    /// What an approval is given to.
    #[serde(default)]
    pub bind: Bind,
    /// What people should do before they answer, shown in the request.
    #[serde(default)]
    pub instructions: Option<String>,
    /// Stages before this one whose approvals of the same release count here, too.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub reuse_from: BTreeSet<StageName>,
}

/// What an approval is given to (SEMANTICS §3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bind {
    /// These bytes.
    #[default]
    Digest,
    /// This version, and these bytes: request and record say both. Nothing derives an artifact after it is sealed, so
    /// there are no other bytes that the version could come to mean.
    Version,
}

/// A group of people that must approve.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Requirement {
    /// The group.
    pub who: Who,
    /// How many of it.
    pub min: u32,
}

/// People, by what the host says about them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// Everyone with at least this role on the repository.
    Role(Role),
    /// The members of a team.
    Team(TeamName),
    /// One person.
    User(Login),
    /// Any of these persons.
    Users(BTreeSet<Login>),
    /// A team of the manifest's `teams`.
    Named(NamedTeam),
}

/// A team of the manifest's `teams`, with its members as they were declared when the rule was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NamedTeam {
    /// Its name in rules and in `/signoff`.
    pub name: TeamAlias,
    /// Who is in it.
    pub members: Members,
}

/// Who is in a team of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Members {
    /// The members of the host's team.
    Team(TeamName),
    /// These persons.
    Users(BTreeSet<Login>),
}

/// What a person may do on a repository, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Nothing, or unknown to the host.
    None,
    /// May read.
    Read,
    /// May label and close.
    Triage,
    /// May push.
    Write,
    /// May run the repository, not delete it.
    Maintain,
    /// May do everything.
    Admin,
}

/// Who is left out of an approval although they could give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exclusion {
    /// Who started the release (a tag, a retry, a promotion).
    Initiator,
    /// Who wrote one of its commits; authors the host does not know count as everyone unknown.
    CommitAuthors,
    /// Who pushed it.
    Pusher,
}

impl Role {
    /// The word the host and the manifest use.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Triage => "triage",
            Self::Write => "write",
            Self::Maintain => "maintain",
            Self::Admin => "admin",
        }
    }
}

/// Most persons of a team that a sentence names.
const NAMED_PERSONS: usize = 5;

impl Who {
    /// The host's team whose members must be asked for.
    pub fn host_team(&self) -> Option<&TeamName> {
        match self {
            Self::Team(team) | Self::Named(NamedTeam { members: Members::Team(team), .. }) => Some(team),
            Self::Role(_)
            | Self::User(_)
            | Self::Users(_)
            | Self::Named(NamedTeam { members: Members::Users(_), .. }) => None,
        }
    }

    /// Whether `/signoff` means it by this word.
    pub fn is_called(&self, word: &TeamWord) -> bool {
        let word = word.as_str();
        match self {
            Self::Team(team) => {
                let slug = team.as_str().split_once('/').map_or("", |(_, slug)| slug);
                [team.as_str(), slug].iter().any(|name| name.eq_ignore_ascii_case(word))
            }
            Self::Named(team) => team.name.as_str().eq_ignore_ascii_case(word),
            Self::Role(_) | Self::User(_) | Self::Users(_) => false,
        }
    }

    /// The word `/signoff` calls it by, when it is a team.
    pub fn word(&self) -> Option<&str> {
        match self {
            Self::Team(team) => Some(team.as_str()),
            Self::Named(team) => Some(team.name.as_str()),
            Self::Role(_) | Self::User(_) | Self::Users(_) => None,
        }
    }

    /// The persons it names one by one; nothing when only the host knows who they are.
    pub fn persons(&self) -> Option<Vec<&Login>> {
        match self {
            Self::User(login) => Some(vec![login]),
            Self::Users(users) | Self::Named(NamedTeam { members: Members::Users(users), .. }) => {
                Some(users.iter().collect())
            }
            Self::Role(_) | Self::Team(_) | Self::Named(NamedTeam { members: Members::Team(_), .. }) => None,
        }
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Role(role) => write!(f, "role {} or higher", role.word()),
            Self::Team(team) => write!(f, "{team}"),
            Self::User(login) => write!(f, "{login}"),
            Self::Users(users) => f.write_str(&some_of(users, " or ")),
            Self::Named(team) => write!(f, "{team}"),
        }
    }
}

fn some_of(users: &BTreeSet<Login>, joint: &str) -> String {
    let shown: Vec<&str> = users.iter().take(NAMED_PERSONS).map(Login::as_str).collect();
    let more = users.len().saturating_sub(NAMED_PERSONS);
    let more = if more == 0 { String::new() } else { format!("{joint}{more} more") };
    format!("{}{more}", shown.join(joint))
}

/// The name, and who that is.
impl std::fmt::Display for NamedTeam {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.members {
            Members::Team(team) => write!(f, "{} ({team})", self.name),
            Members::Users(users) => write!(f, "{} ({})", self.name, some_of(users, ", ")),
        }
    }
}

impl std::fmt::Display for Exclusion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Initiator => "who started the release",
            Self::CommitAuthors => "authors of its commits",
            Self::Pusher => "who pushed it",
        })
    }
}
