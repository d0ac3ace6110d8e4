//! Variable groups: named sets of variables beside the repositories, who may do what with them, and how they changed.
//!
//! A group is data of the server, not of a commit: a release takes a [`GroupSnapshot`] when it is created, and every
//! change of a group makes a new version with an entry in its history. A secret's value is never in a group; a
//! [`SecretRef`] says where it is kept.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::name::{GroupName, PipelineId, SecretAddress, StageName, VariableName};
use crate::domain::time::Timestamp;
use crate::domain::version::Version;

pub mod access;
pub mod template;
pub mod write;

use access::{Access, Asker, GroupRole, Principal};

/// Most variables of one group: all of them reach the environment of a step.
pub const MOST_VARIABLES: usize = 500;
/// Longest value in bytes; Linux takes 128 KiB for one variable and its name.
pub const LONGEST_VALUE: usize = 32 << 10;

/// A group as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// Rises by one with every change; 1 when it was created.
    pub version: u32,
    /// Its variables.
    pub values: BTreeMap<VariableName, Value>,
    /// Who may do what with it.
    pub access: Access,
}

/// What a release remembers of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSnapshot {
    /// The group.
    pub name: GroupName,
    /// Its version at the time.
    pub version: u32,
    /// Its variables at the time.
    pub values: BTreeMap<VariableName, Value>,
}

/// A variable's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// The text itself; everybody who sees the release may see it.
    Plain(String),
    /// Where the text is kept; it is fetched when a stage starts, and never before.
    Secret(SecretRef),
}

/// A secret by reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRef {
    /// Where it is kept.
    pub at: SecretAddress,
    /// The group's version that set it: tells one setting of a secret from the next without a word of its value.
    pub version: u32,
}

/// One change of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// It was created.
    Created,
    /// A variable was set.
    Set {
        /// Which.
        name: VariableName,
        /// To what.
        value: Value,
    },
    /// A variable was taken out.
    Unset {
        /// Which.
        name: VariableName,
    },
    /// Somebody was given a role, in place of the one they had.
    Granted {
        /// Who.
        to: Principal,
        /// The role.
        role: GroupRole,
    },
    /// Somebody's role was taken away.
    Revoked {
        /// Whose.
        from: Principal,
    },
}

/// Who changed a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Author {
    /// A person, through the API, the command line or a page.
    Person {
        /// Their login, or the name of the server's token.
        name: String,
    },
    /// A step of a stage (CHECKLIST A04).
    Stage {
        /// The pipeline.
        pipeline: PipelineId,
        /// The release's version.
        release: Version,
        /// The stage.
        stage: StageName,
        /// The attempt.
        attempt: u32,
    },
}

/// What happened to a group, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The version it made.
    pub version: u32,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Author,
    /// What, in order.
    pub changes: Vec<Change>,
}

/// Why nothing was done with a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// There is none of this name.
    Missing(GroupName),
    /// There is one of this name already.
    Exists(GroupName),
    /// Who asks has a lower role than it takes.
    Role {
        /// The group.
        group: GroupName,
        /// Who asked.
        who: String,
        /// What it takes.
        needs: GroupRole,
        /// What they have.
        has: Option<GroupRole>,
    },
    /// Who asks may not create groups.
    Create {
        /// Who asked.
        who: String,
    },
    /// The group has no such variable.
    NoVariable(GroupName, VariableName),
    /// The group has as many variables as it may.
    Full(GroupName),
    /// A release asks for it, and it has no variable (CHECKLIST A07).
    Empty(GroupName),
    /// A text cannot be a secret.
    BadSecret(VariableName, String),
    /// The template of group names makes none.
    BadTemplate(template::BadTemplate),
    /// A value is longer than an environment takes, or holds a character it cannot.
    BadValue(VariableName),
    /// Nobody could change the group's security after this.
    LastAdministrator(GroupName),
    /// Nobody of this name has a role.
    NoRole(GroupName, Principal),
    /// The group is past the version that was asked for.
    Stale {
        /// The group.
        group: GroupName,
        /// Its version.
        now: u32,
    },
}

impl Group {
    /// A new group whose creator administers it.
    pub fn create(name: GroupName, creator: Option<Principal>) -> Self {
        let mut access = Access::default();
        access.roles.extend(creator.map(|who| (who, GroupRole::Administrator)));
        Self { name, version: 1, values: BTreeMap::new(), access }
    }

    /// What a release remembers of it.
    pub fn snapshot(&self) -> GroupSnapshot {
        GroupSnapshot { name: self.name.clone(), version: self.version, values: self.values.clone() }
    }

    /// A variable by its name; case does not tell two apart.
    pub fn get(&self, name: &VariableName) -> Option<(&VariableName, &Value)> {
        self.values.iter().find(|(known, _)| known.as_str().eq_ignore_ascii_case(name.as_str()))
    }

    /// The group after these changes, one version on, and the changes that were any; none leave it as it is.
    ///
    /// A secret is given the new version, so that its next setting can be told from this one.
    pub fn changed(&self, changes: Vec<Change>) -> Result<(Self, Vec<Change>), Refused> {
        let mut next = self.clone();
        next.version = self.version.saturating_add(1);
        let mut made = Vec::new();
        for mut change in changes {
            if let Change::Set { value: Value::Secret(secret), .. } = &mut change {
                secret.version = next.version;
            }
            if next.apply(&change)? {
                made.push(change);
            }
        }
        let left_alone = next.access.is_administered() || !self.access.is_administered();
        match (made.is_empty(), left_alone) {
            (true, _) => Ok((self.clone(), made)),
            (false, true) => Ok((next, made)),
            (false, false) => Err(Refused::LastAdministrator(self.name.clone())),
        }
    }

    /// Carries one change out; false when it changes nothing.
    fn apply(&mut self, change: &Change) -> Result<bool, Refused> {
        match change {
            Change::Created => Ok(false),
            Change::Set { name, value } => self.set(name, value),
            Change::Unset { name } => {
                let known = self.get(name).map(|(known, _)| known.clone());
                let known = known.ok_or_else(|| Refused::NoVariable(self.name.clone(), name.clone()))?;
                Ok(self.values.remove(&known).is_some())
            }
            Change::Granted { to, role } => {
                Ok(self.access.roles.insert(to.clone(), *role).is_none_or(|old| old != *role))
            }
            Change::Revoked { from } => match self.access.roles.remove(from) {
                Some(_) => Ok(true),
                None => Err(Refused::NoRole(self.name.clone(), from.clone())),
            },
        }
    }

    fn set(&mut self, name: &VariableName, value: &Value) -> Result<bool, Refused> {
        if let Value::Plain(text) = value
            && !fits(text)
        {
            return Err(Refused::BadValue(name.clone()));
        }
        let known = self.get(name).map(|(known, old)| (known.clone(), old == value));
        match known {
            Some((known, true)) if known == *name => return Ok(false),
            // The new spelling takes the old one's place, so that two never stand side by side.
            Some((known, _)) => drop(self.values.remove(&known)),
            None if self.values.len() >= MOST_VARIABLES => return Err(Refused::Full(self.name.clone())),
            None => {}
        }
        self.values.insert(name.clone(), value.clone());
        Ok(true)
    }

    /// Whether who asks may do what takes this role: the one answer for API, pages, command line and steps.
    pub fn authorize(&self, asker: &Asker, needs: GroupRole) -> Result<(), Refused> {
        let has = self.access.role_of(asker);
        if has.is_some_and(|role| role >= needs) {
            return Ok(());
        }
        Err(Refused::Role { group: self.name.clone(), who: asker.to_string(), needs, has })
    }
}

/// True for a text that an environment variable can hold.
pub fn fits(text: &str) -> bool {
    text.len() <= LONGEST_VALUE && !text.contains('\0')
}

impl Refused {
    /// The stable word programs branch on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "group_missing",
            Self::Exists(_) => "group_exists",
            Self::Role { .. } => "group_role",
            Self::Create { .. } => "group_create",
            Self::NoVariable(..) => "group_no_variable",
            Self::Full(_) => "group_full",
            Self::Empty(_) => "group_empty",
            Self::BadSecret(..) => "group_bad_secret",
            Self::BadTemplate(_) => "group_bad_template",
            Self::BadValue(_) => "group_bad_value",
            Self::LastAdministrator(_) => "group_last_administrator",
            Self::NoRole(..) => "group_no_role",
            Self::Stale { .. } => "group_stale",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => {
                write!(f, "there is no group `{name}`; create it: `liftlock group create {name}`")
            }
            Self::Exists(name) => write!(f, "there is a group `{name}` already"),
            Self::Role { group, who, needs, has } => {
                let has = has.map_or_else(|| "none".to_owned(), |role| format!("only {role}"));
                write!(
                    f,
                    "{who} needs the role {needs} on the group `{group}` and has {has}; \
                     an administrator of it gives it: `liftlock group security {group} grant {who} {needs}`"
                )
            }
            Self::Create { who } => write!(
                f,
                "{who} may not create groups; the server's config says who may: `[library] admins = [\"{who}\"]`"
            ),
            Self::NoVariable(group, name) => write!(f, "the group `{group}` has no variable `{name}`"),
            Self::Full(group) => {
                write!(
                    f,
                    "the group `{group}` has {MOST_VARIABLES} variables, as many as it may; make another"
                )
            }
            Self::Empty(group) => write!(
                f,
                "the group `{group}` is empty; give it at least one variable: `liftlock group set {group} NAME value`"
            ),
            Self::BadSecret(name, why) => write!(f, "the secret `{name}` {why}"),
            Self::BadTemplate(bad) => bad.fmt(f),
            Self::BadValue(name) => write!(
                f,
                "the value of `{name}` is longer than {} KiB or holds a NUL; keep it in a file or a secret store",
                LONGEST_VALUE >> 10
            ),
            Self::LastAdministrator(group) => write!(
                f,
                "nobody would administer the group `{group}` any more; make somebody else administrator first"
            ),
            Self::NoRole(group, who) => write!(f, "{who} has no role on the group `{group}`"),
            Self::Stale { group, now } => {
                write!(f, "the group `{group}` is at version {now} by now; look at it, then change it again")
            }
        }
    }
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person { name } => f.write_str(name),
            Self::Stage { pipeline, release, stage, attempt } => {
                write!(f, "{pipeline} release {release} in {stage}, attempt {attempt}")
            }
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created => f.write_str("created"),
            Self::Set { name, value: Value::Plain(text) } => write!(f, "set {name} = {text}"),
            Self::Set { name, value: Value::Secret(secret) } => {
                write!(f, "set the secret {name}, kept at {}", secret.at)
            }
            Self::Unset { name } => write!(f, "took {name} out"),
            Self::Granted { to, role } => write!(f, "made {to} {role}"),
            Self::Revoked { from } => write!(f, "took the role of {from} away"),
        }
    }
}

#[cfg(test)]
mod tests;
