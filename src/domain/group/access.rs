//! Who may do what with a group: readers see it, users take it into releases, administrators change it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::name::{Login, NameError, PipelineId, TeamName};

/// What somebody may do with a group, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupRole {
    /// May see its variables and history, never a secret's value.
    Reader,
    /// May take it into a release.
    User,
    /// May change its variables and its security.
    Administrator,
}

/// Somebody who has a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Principal {
    /// A person: `ana`. A login is compared without case, and kept in small letters.
    User(Login),
    /// A team: `acme/platform`.
    Team(TeamName),
    /// The releases of a pipeline: `pipeline:github:123456/web`. By its full id, since any repository may name a
    /// pipeline as it likes.
    Pipeline(PipelineId),
}

/// Who has which role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Access {
    /// The roles.
    pub roles: BTreeMap<Principal, GroupRole>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asker {
    /// A person whose login was proven, and those of the named teams they are in.
    Person {
        /// The login.
        login: Login,
        /// The teams, as the host said just now.
        teams: BTreeSet<TeamName>,
        /// Whether the server's config makes them administrator of every group.
        admin: bool,
    },
    /// A holder of the server's own token, or somebody on its machine: nobody in particular, who may only look.
    Server {
        /// The token's name.
        name: String,
    },
    /// A release of this pipeline.
    Pipeline(PipelineId),
}

impl GroupRole {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Reader, Self::User, Self::Administrator];

    /// The word people write.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::User => "user",
            Self::Administrator => "administrator",
        }
    }
}

impl Access {
    /// The highest role that who asks has.
    pub fn role_of(&self, asker: &Asker) -> Option<GroupRole> {
        let roles = |so: &dyn Fn(&Principal) -> bool| {
            self.roles.iter().filter(|(who, _)| so(who)).map(|(_, role)| *role).max()
        };
        match asker {
            Asker::Person { admin: true, .. } => Some(GroupRole::Administrator),
            Asker::Person { login, teams, admin: false } => roles(&|who| match who {
                Principal::User(known) => known.as_str().eq_ignore_ascii_case(login.as_str()),
                Principal::Team(team) => teams.contains(team),
                Principal::Pipeline(_) => false,
            }),
            Asker::Server { .. } => Some(GroupRole::Reader),
            Asker::Pipeline(id) => roles(&|who| *who == Principal::Pipeline(id.clone())),
        }
    }

    /// Whether a person or a team can still change it; a pipeline cannot change security.
    pub fn is_administered(&self) -> bool {
        self.roles.iter().any(|(who, role)| {
            *role == GroupRole::Administrator && matches!(who, Principal::User(_) | Principal::Team(_))
        })
    }

    /// The teams that have a role: those a person's membership is asked for.
    pub fn teams(&self) -> BTreeSet<TeamName> {
        let team = |who: &Principal| match who {
            Principal::Team(team) => Some(team.clone()),
            Principal::User(_) | Principal::Pipeline(_) => None,
        };
        self.roles.keys().filter_map(team).collect()
    }
}

impl FromStr for Principal {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if let Some(id) = text.strip_prefix("pipeline:") {
            return Ok(Self::Pipeline(id.parse()?));
        }
        if text.contains('/') {
            return Ok(Self::Team(text.parse()?));
        }
        Ok(Self::User(text.to_ascii_lowercase().parse()?))
    }
}

/// A person as roles are kept: in small letters.
impl From<&Login> for Principal {
    fn from(login: &Login) -> Self {
        let small = login.as_str().to_ascii_lowercase().parse();
        Self::User(small.unwrap_or_else(|_| login.clone()))
    }
}

impl TryFrom<String> for Principal {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Principal> for String {
    fn from(who: Principal) -> Self {
        who.to_string()
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(login) => write!(f, "{login}"),
            Self::Team(team) => write!(f, "{team}"),
            Self::Pipeline(id) => write!(f, "pipeline:{id}"),
        }
    }
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person { login, .. } => write!(f, "{login}"),
            Self::Server { name } => f.write_str(name),
            Self::Pipeline(id) => write!(f, "pipeline:{id}"),
        }
    }
}

impl FromStr for GroupRole {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::ALL.into_iter().find(|role| role.word() == text).ok_or_else(|| NameError {
            kind: "role",
            rule: "it is `reader`, `user` or `administrator`",
            text: crate::domain::name::printable(text),
        })
    }
}

impl fmt::Display for GroupRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
