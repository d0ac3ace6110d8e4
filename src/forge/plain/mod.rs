//! A plain git host: bare repositories on this machine, for teams without GitHub.
//!
//! Everything is kept in the repository itself and can be read with `git`: comments as commits (`talk`), statuses
//! and reactions as notes (`note`), tags as tags. Pushes come in through [`hook`] and [`payload`]. This folder is the
//! one place where a host knows [`crate::git`]: here the repository is the host.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::effect::{Place, Reaction, Status};
use crate::domain::name::{CommentId, CommitSha, Login, RefName, RepoId, RepoName, TeamName};
use crate::domain::person::{Account, Person, Standing, Visibility};
use crate::domain::pipeline::Role;
use crate::domain::probe::{CheckRun, CommitStatus};
use crate::domain::tag::Tag;
use crate::domain::time::{Span, Timestamp};
use crate::domain::workflow::{Left, Run};
use crate::forge::fact::{Fact, RepoRef};
use crate::forge::release::Releases;
use crate::forge::{
    Asked, Comment, Forge, Missed, OwnCheck, PullRequest, Repository, Said, Source, Tagged, Threads,
};
use crate::git::write::{Created, NewTag, OURSELVES, Origin};
use crate::secret::Secret;
use crate::trouble::{Outcome, Trouble};

pub mod hook;
mod note;
pub mod payload;
mod settings;
mod talk;
pub mod translate;

pub use note::read_statuses;
pub use settings::{PersonSettings, RepositorySettings, Settings, id_of};

/// Longest wait for one answer: the work is some file operations behind a lock that is held as long.
const DEADLINE: Duration = Duration::from_secs(20);

/// Why such a host has no runs of workflows.
const NO_CI: &str = "a plain git host runs no workflows; hand artifacts in by API with `from: upload`";

/// The bare repositories and people of the server's config.
#[derive(Debug, Clone)]
pub struct Plain {
    homes: Arc<BTreeMap<RepoId, Home>>,
    known: Arc<BTreeMap<RepoName, RepoRef>>,
    people: Arc<BTreeMap<Login, PersonSettings>>,
    clock: fn() -> Timestamp,
}

#[derive(Debug)]
struct Home {
    name: RepoName,
    path: PathBuf,
    default_branch: Option<RefName>,
}

impl Plain {
    /// Opens every repository once, and makes `git push` refuse the refs that comments and notes are kept in; blocks.
    ///
    /// Refused when two repositories would share an id, or two people an id, login or address.
    pub fn open(settings: Settings, clock: fn() -> Timestamp) -> Outcome<Self> {
        let mut homes = BTreeMap::new();
        let mut known = BTreeMap::new();
        let ids: Vec<(RepoId, RepoName)> =
            settings.by_id()?.into_iter().map(|(id, name)| (id, name.clone())).collect();
        let mut repositories = settings.repositories;
        for (id, name) in ids {
            let Some(of) = repositories.remove(&name) else { continue };
            let home = Home { name: name.clone(), path: of.path, default_branch: of.default_branch };
            let origin = Origin::open(&home.path)?;
            origin.refuse_pushes(&talk::OUR_REFS)?;
            let default_branch = home.branch(&origin)?;
            known.insert(name.clone(), RepoRef { id: id.clone(), name, default_branch });
            homes.insert(id, home);
        }
        Ok(Self { homes: Arc::new(homes), known: Arc::new(known), people: Arc::new(settings.people), clock })
    }

    /// Every repository, as it was when the server started.
    pub fn repositories(&self) -> &BTreeMap<RepoName, RepoRef> {
        &self.known
    }

    /// The person of this login, in whatever case it is written.
    pub fn person(&self, login: &Login) -> Option<Person> {
        self.find(|known, _| known.as_str().eq_ignore_ascii_case(login.as_str()))
    }

    /// Whose commits carry this address.
    pub fn person_of_email(&self, email: &str) -> Option<Person> {
        self.find(|_, of| of.emails.iter().any(|known| known.eq_ignore_ascii_case(email)))
    }

    fn find(&self, is: impl Fn(&Login, &PersonSettings) -> bool) -> Option<Person> {
        let (login, of) = self.people.iter().find(|(login, of)| is(login, of))?;
        Some(Person { id: of.id, login: login.clone() })
    }

    /// Writes a comment in the name of a person whose token the caller has checked; the caller then stores
    /// [`payload::Delivery::comment`] for it.
    pub async fn write_comment(
        &self,
        repo: &RepoId,
        place: &Place,
        login: &Login,
        body: &str,
    ) -> Outcome<Comment> {
        let person = self.person(login).ok_or_else(|| {
            Trouble::refused(format!(
                "nobody here is called `{login}`; add them to `people` in the server's config"
            ))
        })?;
        let (thread, body, at) = (talk::commit_of(place)?, body.to_owned(), (self.clock)());
        self.at(repo, move |origin, _| talk::write(origin, &thread, (&person, at), &body)).await
    }

    fn home(&self, repo: &RepoId) -> Outcome<&Home> {
        self.homes.get(repo).ok_or_else(|| {
            Trouble::refused(format!("the repository `{repo}` is not in the server's config; add it there"))
        })
    }

    /// Works on a repository on a thread that may block.
    async fn at<T: Send + 'static>(
        &self,
        repo: &RepoId,
        work: impl FnOnce(&Origin, &Home) -> Outcome<T> + Send + 'static,
    ) -> Outcome<T> {
        self.home(repo)?;
        let (homes, repo) = (Arc::clone(&self.homes), repo.clone());
        let work = move || {
            let home =
                homes.get(&repo).ok_or_else(|| Trouble::bug("a repository went while it was asked"))?;
            work(&Origin::open(&home.path)?, home)
        };
        match tokio::time::timeout(DEADLINE, tokio::task::spawn_blocking(work)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(e)) => Err(Trouble::bug("work on a repository").because(e)),
            Err(e) => Err(Trouble::transient("work on a repository took too long").because(e)),
        }
    }

    fn standing_of(&self, person: &Person, asked: &BTreeSet<TeamName>) -> Standing {
        // The id finds the account; a login that is another account's makes the pair a lie (THREATS T26).
        let found = self.people.iter().find(|(_, of)| of.id == person.id);
        let owner = self.person(&person.login).map(|owner| owner.id);
        match found.filter(|_| owner.is_none_or(|owner| owner == person.id)) {
            Some((login, of)) => Standing {
                person: Person { id: of.id, login: login.clone() },
                role: of.role,
                teams: of.teams.intersection(asked).cloned().collect(),
                kind: Account::Human,
            },
            None => Standing {
                person: person.clone(),
                role: Role::None,
                teams: BTreeSet::new(),
                kind: Account::Human,
            },
        }
    }
}

impl Home {
    /// The branch that the config names, else the one that `HEAD` names.
    fn branch(&self, origin: &Origin) -> Outcome<RefName> {
        let named =
            self.default_branch.clone().map_or_else(|| origin.read().head_branch(), |b| Ok(Some(b)))?;
        named.ok_or_else(|| {
            Trouble::refused(format!(
                "HEAD of {} names no branch; type `git -C {} symbolic-ref HEAD refs/heads/main`",
                self.path.display(),
                self.path.display()
            ))
        })
    }
}

/// Makes the tag, or says what the one that is there names.
fn tag(origin: &Origin, new: &Tag, at: Timestamp) -> Outcome<Tagged> {
    let (Tag { name, commit, message, .. }, object) = (new, new.object());
    let made = NewTag { name, commit, message, tagger: OURSELVES, at, object: object.as_deref() };
    match origin.create_tag(made)? {
        Created::New(object) => Ok(Tagged::There(object)),
        Created::Exists { same } => {
            let there = origin.read().tags()?.into_iter().find(|there| there.name == *name);
            let there = there
                .ok_or_else(|| Trouble::refused(format!("the tag {name} is there and leads to no commit")))?;
            Ok(if same { Tagged::There(there.object) } else { Tagged::Elsewhere(there.commit) })
        }
    }
}

impl Forge for Plain {
    fn word(&self) -> &'static str {
        "plain"
    }

    fn threads(&self) -> Threads {
        Threads::Own
    }

    fn translate(&self, event: &str, body: &[u8]) -> Result<Vec<Fact>, String> {
        translate::translate(event, body, &self.known).map_err(|e| e.to_string())
    }

    fn author<'a>(&'a self, _: &'a RepoId, _: &'a CommitSha, email: &'a str) -> Asked<'a, Option<Login>> {
        let author = self.person_of_email(email).map(|person| person.login);
        Box::pin(std::future::ready(Ok(author)))
    }

    fn configured(&self) -> Asked<'_, Vec<RepoId>> {
        let ids = self.repositories().values().map(|r| r.id.clone()).collect();
        Box::pin(std::future::ready(Ok(ids)))
    }

    fn web(&self, _: &RepoName, _: &CommitSha, _: Option<&str>) -> Option<String> {
        None
    }

    fn repository<'a>(&'a self, repo: &'a RepoId) -> Asked<'a, Repository> {
        let id = repo.clone();
        Box::pin(self.at(repo, move |origin, home| {
            let default_branch = home.branch(origin)?;
            // Whoever is not in the server's config has no role here.
            Ok(Repository { id, name: home.name.clone(), default_branch, visibility: Visibility::Private })
        }))
    }

    fn standing<'a>(
        &'a self,
        repo: &'a RepoId,
        person: &'a Person,
        teams: &'a BTreeSet<TeamName>,
    ) -> Asked<'a, Standing> {
        Box::pin(async move { self.home(repo).map(|_| self.standing_of(person, teams)) })
    }

    fn person_called<'a>(&'a self, _: &'a RepoId, login: &'a Login) -> Asked<'a, Option<Person>> {
        Box::pin(std::future::ready(Ok(self.person(login))))
    }

    fn comment<'a>(&'a self, repo: &'a RepoId, place: &'a Place, id: &'a CommentId) -> Asked<'a, Comment> {
        Box::pin(async move {
            let (thread, id) = (talk::commit_of(place)?, id.clone());
            self.at(repo, move |origin, _| talk::read(origin, &thread, &id)).await
        })
    }

    fn merged_pull_request<'a>(
        &'a self,
        repo: &'a RepoId,
        _commit: &'a CommitSha,
    ) -> Asked<'a, Option<PullRequest>> {
        Box::pin(async move { self.home(repo).map(|_| None) })
    }

    fn tracking_place<'a>(
        &'a self,
        repo: &'a RepoId,
        commit: &'a CommitSha,
        _title: &'a str,
        _marker: &'a str,
    ) -> Asked<'a, Place> {
        Box::pin(async move { self.home(repo).map(|_| Place::Commit(commit.clone())) })
    }

    fn say<'a>(
        &'a self,
        repo: &'a RepoId,
        place: &'a Place,
        marker: &'a str,
        body: &'a str,
    ) -> Asked<'a, Said> {
        Box::pin(async move {
            let thread = talk::commit_of(place)?;
            let (marker, body, at) = (marker.to_owned(), body.to_owned(), (self.clock)());
            self.at(repo, move |origin, _| talk::say(origin, &thread, (&marker, &body), at)).await
        })
    }

    fn react<'a>(
        &'a self,
        repo: &'a RepoId,
        place: &'a Place,
        comment: &'a CommentId,
        reaction: Reaction,
    ) -> Asked<'a, ()> {
        Box::pin(async move {
            let (thread, comment, at) = (talk::commit_of(place)?, comment.clone(), (self.clock)());
            self.at(repo, move |origin, _| note::react(origin, &thread, (&comment, reaction), at)).await
        })
    }

    fn status<'a>(&'a self, repo: &'a RepoId, commit: &'a CommitSha, status: &'a Status) -> Asked<'a, ()> {
        let (commit, status, at) = (commit.clone(), status.clone(), (self.clock)());
        Box::pin(self.at(repo, move |origin, _| note::show(origin, &commit, &status, at)))
    }

    fn statuses<'a>(&'a self, repo: &'a RepoId, commit: &'a CommitSha) -> Asked<'a, Vec<CommitStatus>> {
        let commit = commit.clone();
        Box::pin(self.at(repo, move |origin, _| note::statuses(origin, &commit)))
    }

    fn check_runs<'a>(
        &'a self,
        _repo: &'a RepoId,
        _commit: &'a CommitSha,
        _name: &'a str,
    ) -> Asked<'a, Vec<CheckRun>> {
        let why = "this host has no check runs: it is a plain git host; ask for a `status`";
        Box::pin(async move { Err(Trouble::refused(why)) })
    }

    fn own_check<'a>(&'a self, _repo: &'a RepoId, _run: u64) -> Asked<'a, OwnCheck> {
        Box::pin(async { Err(Trouble::refused("this host has no check runs: it is a plain git host")) })
    }

    fn count_issues<'a>(&'a self, _repo: &'a RepoId, _query: &'a str) -> Asked<'a, u64> {
        let why = "this host has no issues: it is a plain git host";
        Box::pin(async move { Err(Trouble::refused(why)) })
    }

    fn tag<'a>(&'a self, repo: &'a RepoId, new: &'a Tag) -> Asked<'a, Tagged> {
        let (new, at) = (new.clone(), (self.clock)());
        Box::pin(self.at(repo, move |origin, _| tag(origin, &new, at)))
    }

    fn source<'a>(&'a self, repo: &'a RepoId) -> Asked<'a, Source> {
        Box::pin(async move { self.home(repo).map(|home| Source::Local(home.path.clone())) })
    }

    fn workflow_run<'a>(&'a self, _repo: &'a RepoId, _run: u64) -> Asked<'a, Run> {
        Box::pin(async { Err(Trouble::refused(NO_CI)) })
    }

    fn run_artifacts<'a>(&'a self, _repo: &'a RepoId, _run: u64) -> Asked<'a, Vec<Left>> {
        Box::pin(async { Err(Trouble::refused(NO_CI)) })
    }

    fn fetch_artifact<'a>(&'a self, _repo: &'a RepoId, _artifact: &'a Left, _to: &'a Path) -> Asked<'a, ()> {
        Box::pin(async { Err(Trouble::refused(NO_CI)) })
    }

    fn releases(&self) -> Result<&dyn Releases, String> {
        Err("a plain git host shows no releases; publish the files at an outlet, `uses: publish`".to_owned())
    }

    fn gives_tokens(&self) -> Result<(), String> {
        Err("a plain git host has no tokens; take `oauth_token` out of the stage".to_owned())
    }

    fn step_token<'a>(&'a self, _repo: &'a RepoId) -> Asked<'a, Secret> {
        Box::pin(async { Err(Trouble::refused("a plain git host has no tokens")) })
    }

    fn revoke<'a>(&'a self, _token: &'a Secret) -> Asked<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn silences(&self) -> Vec<(String, Span)> {
        Vec::new()
    }

    fn keep_silent(&self, _scope: &str, _span: Span) {}

    fn deliveries_since(&self, _since: Timestamp) -> Asked<'_, Vec<Missed>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn redeliver(&self, _id: u64) -> Asked<'_, ()> {
        let why = "a plain git host keeps no deliveries; the server reads its refs again by itself";
        Box::pin(async move { Err(Trouble::refused(why)) })
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
