//! What the server's config says about a plain host: where its repositories lie, and who its people are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;

use crate::domain::name::{Login, RefName, RepoId, RepoName, TeamName, UserId};
use crate::domain::pipeline::Role;
use crate::trouble::{Outcome, Trouble};

/// A plain host: bare repositories on this machine, and the people who work on them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Every repository that is served, by its name.
    #[serde(default)]
    pub repositories: BTreeMap<RepoName, RepositorySettings>,
    /// Everybody who may do anything, by their login.
    #[serde(default)]
    pub people: BTreeMap<Login, PersonSettings>,
}

/// One bare repository.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepositorySettings {
    /// The folder it lies in.
    pub path: PathBuf,
    /// The protected branch that policy is read from; the repository's `HEAD` when absent.
    #[serde(default)]
    pub default_branch: Option<RefName>,
}

/// One person.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonSettings {
    /// Their number, which outlives a change of login and is given to nobody else (THREATS T26).
    pub id: UserId,
    /// Their role on every repository of this host.
    pub role: Role,
    /// The teams they are in.
    #[serde(default)]
    pub teams: BTreeSet<TeamName>,
    /// The addresses that their commits carry.
    #[serde(default)]
    pub emails: BTreeSet<String>,
}

/// The id of a repository of this name: `plain:<name with / replaced by .>`.
pub fn id_of(name: &RepoName) -> Outcome<RepoId> {
    let id = format!("plain:{}", name.as_str().replace('/', "."));
    id.parse().map_err(|e| Trouble::refused(format!("serve the repository `{name}`")).because(e))
}

impl Settings {
    /// The repositories by their ids; refused when two share an id, or two people a number, login or address.
    pub(super) fn by_id(&self) -> Outcome<BTreeMap<RepoId, &RepoName>> {
        let mut by_id = BTreeMap::new();
        for name in self.repositories.keys() {
            let id = id_of(name)?;
            if let Some(other) = by_id.insert(id.clone(), name) {
                return Err(Trouble::refused(format!(
                    "the repositories `{other}` and `{name}` would both be `{id}`; rename one in the server's config"
                )));
            }
        }
        self.people_apart().map(|()| by_id)
    }

    fn people_apart(&self) -> Outcome<()> {
        let mut owners: BTreeMap<String, &Login> = BTreeMap::new();
        for (login, person) in &self.people {
            let marks =
                person.emails.iter().map(|email| format!("the address {}", email.to_ascii_lowercase()));
            let own = [
                format!("the id {}", person.id),
                format!("the login {}", login.as_str().to_ascii_lowercase()),
            ];
            for mark in marks.chain(own) {
                if let Some(other) = owners.insert(mark.clone(), login).filter(|other| *other != login) {
                    return Err(Trouble::refused(format!(
                        "`{other}` and `{login}` in the server's config share {mark}; one of them is wrong"
                    )));
                }
            }
        }
        Ok(())
    }
}
