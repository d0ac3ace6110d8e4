//! People as the host knows them, and what they may do.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::name::{Login, TeamName, UserId};
use crate::domain::pipeline::{Members, NamedTeam, Role, Who};

/// Somebody, by the id that outlives a change of login (THREATS T26).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Person {
    /// The host's id.
    pub id: UserId,
    /// The login at the time.
    pub login: Login,
}

/// What the host said about a person, freshly asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Who.
    pub person: Person,
    /// Their role on the repository (`role_name`, never `author_association`; THREATS T25).
    pub role: Role,
    /// Those of the asked teams they are an active member of.
    pub teams: BTreeSet<TeamName>,
    /// Whether the account is a bot or app; bots never count unless named (SEMANTICS §3).
    pub kind: Account,
}

/// What sort of account somebody uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// A person's.
    Human,
    /// A bot's or an app's.
    Bot,
}

/// Who may read a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Visibility {
    /// Everybody, so that the role `read` says nothing about anybody; what a host does not tell counts as this.
    Public,
    /// Whom the host lets in.
    Private,
}

impl Visibility {
    /// The role that it takes to have the server do work without deciding anything, as previews and `/recheck` do: where
    /// everybody may read, reading is no role (COMMANDS §1, THREATS T22).
    pub fn to_make_work(self) -> Role {
        match self {
            Self::Public => Role::Write,
            Self::Private => Role::Read,
        }
    }
}

impl Standing {
    /// Whether the rule's words mean this person.
    pub fn is(&self, who: &Who) -> bool {
        match who {
            Who::User(_) | Who::Users(_) => self.is_named_by(who),
            Who::Role(role) => self.kind == Account::Human && self.role >= *role,
            Who::Team(team) | Who::Named(NamedTeam { members: Members::Team(team), .. }) => {
                self.kind == Account::Human && self.teams.contains(team)
            }
            Who::Named(NamedTeam { members: Members::Users(_), .. }) => self.is_named_by(who),
        }
    }

    /// Whether the rule's words name this person, not only a role or team they have.
    pub fn is_named_by(&self, who: &Who) -> bool {
        let login = self.person.login.as_str();
        who.persons().is_some_and(|all| all.iter().any(|l| l.as_str().eq_ignore_ascii_case(login)))
    }
}
