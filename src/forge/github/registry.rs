//! The configured repositories, their numbers and the installations that may touch them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::name::{RepoId, RepoName};
use crate::forge::github::app::{Identity, Scope, Work};
use crate::forge::github::client::GitHub;
use crate::forge::github::dto;
use crate::forge::github::route::{segment, segments};
use crate::trouble::{Kind, Outcome, Trouble};

/// The host's word in repository ids.
pub(super) const WORD: &str = "github";

/// A configured repository that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Home {
    /// Its number, stable over renames.
    pub(super) id: u64,
    /// The installation that may touch it; 0 with a personal token.
    pub(super) installation: u64,
}

/// The configured repositories found so far: a name is resolved once, so that a new repository under an old name
/// is not taken for it (THREATS T9).
#[derive(Debug, Default)]
pub(super) struct Registry {
    homes: Mutex<BTreeMap<RepoName, Home>>,
}

impl Home {
    /// The identity for one kind of work on this repository.
    pub(super) fn to(&self, work: Work) -> Identity {
        Identity::Installation { id: self.installation, scope: Scope::Id(self.id), work }
    }
}

impl Registry {
    fn known(&self) -> BTreeMap<RepoName, Home> {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn learn(&self, name: &RepoName, home: Home) {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), home);
    }
}

/// The number in a repository id of ours.
fn number(repo: &RepoId) -> Outcome<u64> {
    repo.as_str()
        .split_once(':')
        .filter(|(word, _)| *word == WORD)
        .and_then(|(_, id)| id.parse().ok())
        .ok_or_else(|| Trouble::refused(format!("`{repo}` is not a repository on GitHub")))
}

impl GitHub {
    /// The configured repository with this id; every other one is refused without asking GitHub about it.
    pub(super) async fn home(&self, repo: &RepoId) -> Outcome<Home> {
        let wanted = number(repo)?;
        let known = self.registry.known();
        let found = known.iter().find(|(_, home)| home.id == wanted);
        if let Some((name, home)) = found {
            if !self.stack.keys().is_gone(home.installation) {
                return Ok(home.clone());
            }
            let again = self.look_up(name).await?;
            return same(wanted, name, again);
        }
        let mut cause = None;
        for name in self.settings.repositories.iter().filter(|name| !known.contains_key(*name)) {
            match self.look_up(name).await {
                Ok(home) if home.id == wanted => return Ok(home),
                Ok(_) => {}
                Err(trouble) => cause = Some(trouble),
            }
        }
        // It may be the one that could not be looked up.
        Err(cause.unwrap_or_else(|| {
            Trouble::refused(format!(
                "repository `{repo}` is not in the server's config; add its name under the GitHub repositories"
            ))
        }))
    }

    /// The configured repository of this name, in whatever case it is written.
    pub(super) async fn home_named(&self, name: &RepoName) -> Outcome<Home> {
        let same = |known: &&RepoName| known.as_str().eq_ignore_ascii_case(name.as_str());
        let configured = self.settings.repositories.iter().find(same).ok_or_else(|| {
            Trouble::refused(format!("repository `{name}` is not in the server's config; add it there"))
        })?;
        match self.registry.known().get(configured) {
            Some(home) => Ok(home.clone()),
            None => self.look_up(configured).await,
        }
    }

    /// Finds every configured repository, in order.
    pub(super) async fn homes(&self) -> Outcome<Vec<Home>> {
        let known = self.registry.known();
        let mut homes = Vec::with_capacity(self.settings.repositories.len());
        for name in &self.settings.repositories {
            homes.push(match known.get(name) {
                Some(home) => home.clone(),
                None => self.look_up(name).await?,
            });
        }
        Ok(homes)
    }

    /// Finds the configured repositories that can be found now: one that is gone does not hide the others.
    pub(super) async fn homes_there(&self) -> Vec<Home> {
        let known = self.registry.known();
        let mut homes = Vec::new();
        for name in &self.settings.repositories {
            let found = match known.get(name) {
                Some(home) => Ok(home.clone()),
                None => self.look_up(name).await,
            };
            match found {
                Ok(home) => homes.push(home),
                Err(trouble) => {
                    tracing::warn!(repository = %name, error = trouble.chain(), "cannot be looked up");
                }
            }
        }
        homes
    }

    async fn look_up(&self, name: &RepoName) -> Outcome<Home> {
        let path = format!("/repos/{}", segments(name.as_str()));
        let installation = if self.stack.keys().is_app() {
            let found: Outcome<dto::Numbered> =
                self.get(&Identity::App, &format!("{path}/installation")).await;
            found.map_err(|t| absent(t, name, "the GitHub App is not installed on"))?.id
        } else {
            0
        };
        let bare = name.as_str().rsplit('/').next().unwrap_or_default();
        let identity = Identity::Installation {
            id: installation,
            scope: Scope::Name(bare.to_owned()),
            work: Work::Look,
        };
        let found: Outcome<dto::Repository> = self.get(&identity, &path).await;
        let found = found.map_err(|t| absent(t, name, "the GitHub credentials do not reach"))?;
        let home = Home { id: found.id, installation };
        self.registry.learn(name, home.clone());
        Ok(home)
    }

    /// The repository as GitHub describes it now.
    pub(super) async fn describe(&self, repo: &RepoId) -> Outcome<(Home, crate::forge::Repository)> {
        let home = self.home(repo).await?;
        let path = format!("/repositories/{}", segment(&home.id.to_string()));
        let now: dto::Repository = self.get(&home.to(Work::Look), &path).await?;
        let odd = |e| Trouble::refused("GitHub names the repository oddly").because(e);
        let repository = crate::forge::Repository {
            id: repo.clone(),
            name: now.full_name.parse().map_err(odd)?,
            default_branch: now.default_branch.parse().map_err(odd)?,
            visibility: now.visibility(),
        };
        if now.id == home.id {
            Ok((home, repository))
        } else {
            Err(Trouble::refused(format!(
                "GitHub answered for repository {} in place of {}",
                now.id, home.id
            )))
        }
    }
}

fn same(wanted: u64, name: &RepoName, found: Home) -> Outcome<Home> {
    if found.id == wanted {
        return Ok(found);
    }
    Err(Trouble::refused(format!(
        "`{name}` is now repository {}, not {wanted}; restart the server if that is meant",
        found.id
    )))
}

fn absent(trouble: Trouble, name: &RepoName, what: &str) -> Trouble {
    match trouble.kind() {
        Kind::NotFound => Trouble::refused(format!(
            "{what} `{name}`; install it there, or remove the name from the server's config"
        ))
        .because(trouble),
        Kind::Transient { .. } | Kind::Refused | Kind::Conflict | Kind::Bug => trouble,
    }
}
