//! What liftlock asks of a host of repositories; GitHub and a plain git host answer.

pub mod fact;
pub mod gitea;
pub mod github;
pub mod plain;
pub mod release;
pub mod signature;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;

use futures_util::future::BoxFuture;

use crate::domain::effect::{Place, Reaction, Status};
use crate::domain::name::{
    CommentId, CommitSha, Login, ObjectId, RefName, RepoId, RepoName, TeamName, ThreadId, UserId,
};
use crate::domain::person::{Person, Standing, Visibility};
use crate::domain::probe::{CheckRun, CommitStatus};
use crate::domain::tag::Tag;
use crate::domain::time::{Span, Timestamp};
use crate::domain::workflow::{Left, Run};
use crate::forge::fact::Fact;
use crate::forge::release::Releases;
use crate::secret::Secret;
use crate::trouble::Outcome;

/// An answer on its way.
pub type Asked<'a, T> = BoxFuture<'a, Outcome<T>>;

/// A repository as the host describes it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Its stable id.
    pub id: RepoId,
    /// Its present name.
    pub name: RepoName,
    /// The protected branch that policy is read from.
    pub default_branch: RefName,
    /// Who may read it.
    pub visibility: Visibility,
}

/// Where the repository's objects are fetched from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Over HTTPS, with a user and a token for exactly that host.
    Https {
        /// `https://host/owner/name.git`, built by us, never taken from a payload (THREATS T38).
        url: String,
        /// The user, and the token that is the password.
        credential: Option<(&'static str, Secret)>,
    },
    /// A bare repository on this machine, named in the server's config.
    Local(std::path::PathBuf),
}

/// A comment as the host's API shows it, read back before acting (THREATS T8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Its id.
    pub id: CommentId,
    /// Who wrote it.
    pub author: Option<Person>,
    /// What it says now.
    pub body: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last edited; equal to `created_at` when never.
    pub updated_at: Timestamp,
    /// Whether an app wrote it in somebody's name (THREATS T15).
    pub via_app: bool,
}

/// A check run of ours as the host's API shows it, read back before a click on it counts (THREATS T8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnCheck {
    /// The commit that it is on.
    pub commit: CommitSha,
    /// Its name.
    pub name: String,
    /// What we wrote into it.
    pub external_id: Option<String>,
    /// Whether it has ended: then it offers nothing any more.
    pub over: bool,
}

/// Our own comment, after it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Its id.
    pub id: CommentId,
    /// The host's time of writing.
    pub at: Timestamp,
}

/// What became of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tagged {
    /// It points at the commit, made now or already there; its name stands for this object.
    There(ObjectId),
    /// It exists and points elsewhere.
    Elsewhere(CommitSha),
}

/// A pull request as the host's API shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number.
    pub number: ThreadId,
    /// The commit its merge made, once merged.
    pub merge_commit: Option<CommitSha>,
    /// Who wrote it.
    pub author: Option<UserId>,
}

/// A delivery that the host sent and could not deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// The host's number for the attempt, to ask for another.
    pub id: u64,
    /// The delivery's GUID, equal on redelivery.
    pub guid: String,
    /// When it was sent.
    pub at: Timestamp,
    /// Whether the host saw a 2xx answer.
    pub answered: bool,
}

/// Whose the threads of a host are, as far as it tells commands apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// Other programs may read the comments there and have commands of their own.
    Shared,
    /// Nobody else reads them.
    Own,
}

/// A host of repositories. Every call has its own deadline, is safe to repeat, and fails closed.
pub trait Forge: Debug + Send + Sync {
    /// The word before the colon in this host's repository ids: `github`, `plain`.
    fn word(&self) -> &'static str;

    /// Who reads the comments there.
    fn threads(&self) -> Threads;

    /// What a verified delivery of this host means; the text says why it means nothing.
    fn translate(&self, event: &str, body: &[u8]) -> Result<Vec<Fact>, String>;

    /// The repository as it is now; refused when the server's config does not name it.
    fn repository<'a>(&'a self, repo: &'a RepoId) -> Asked<'a, Repository>;

    /// The repositories that the server's config names.
    fn configured(&self) -> Asked<'_, Vec<RepoId>>;

    /// A person's role and their membership in these teams, by id, never from a cache (THREATS T25, T26, T28).
    fn standing<'a>(
        &'a self,
        repo: &'a RepoId,
        person: &'a Person,
        teams: &'a BTreeSet<TeamName>,
    ) -> Asked<'a, Standing>;

    /// The account that has this login now, as far as this repository's host says who it is.
    fn person_called<'a>(&'a self, repo: &'a RepoId, login: &'a Login) -> Asked<'a, Option<Person>>;

    /// A comment as it is now.
    fn comment<'a>(&'a self, repo: &'a RepoId, place: &'a Place, id: &'a CommentId) -> Asked<'a, Comment>;

    /// The merged pull request whose merge made this commit, if there is one.
    fn merged_pull_request<'a>(
        &'a self,
        repo: &'a RepoId,
        commit: &'a CommitSha,
    ) -> Asked<'a, Option<PullRequest>>;

    /// The place a release without a pull request is spoken about in: a tracking issue found by its marker or
    /// opened, or the commit itself where the host has no issues.
    fn tracking_place<'a>(
        &'a self,
        repo: &'a RepoId,
        commit: &'a CommitSha,
        title: &'a str,
        marker: &'a str,
    ) -> Asked<'a, Place>;

    /// Writes a comment, or finds the one with this hidden marker and brings it up to date.
    fn say<'a>(
        &'a self,
        repo: &'a RepoId,
        place: &'a Place,
        marker: &'a str,
        body: &'a str,
    ) -> Asked<'a, Said>;

    /// Reacts to a comment, in place of the reaction it had from us.
    fn react<'a>(
        &'a self,
        repo: &'a RepoId,
        place: &'a Place,
        comment: &'a CommentId,
        reaction: Reaction,
    ) -> Asked<'a, ()>;

    /// Shows a status on a commit; the last one written wins.
    fn status<'a>(&'a self, repo: &'a RepoId, commit: &'a CommitSha, status: &'a Status) -> Asked<'a, ()>;

    /// Every status of a commit, newest first, whoever wrote it.
    fn statuses<'a>(&'a self, repo: &'a RepoId, commit: &'a CommitSha) -> Asked<'a, Vec<CommitStatus>>;

    /// Every check run of this name on a commit, with the apps that made them.
    fn check_runs<'a>(
        &'a self,
        repo: &'a RepoId,
        commit: &'a CommitSha,
        name: &'a str,
    ) -> Asked<'a, Vec<CheckRun>>;

    /// A check run that we made, as it is now; refused where this server shows none on the host.
    fn own_check<'a>(&'a self, repo: &'a RepoId, run: u64) -> Asked<'a, OwnCheck>;

    /// How many issues match a search in the host's own words, in this repository unless it names another one of
    /// the server's config.
    fn count_issues<'a>(&'a self, repo: &'a RepoId, query: &'a str) -> Asked<'a, u64>;

    /// A run of a workflow of the host's own CI, as it is now.
    fn workflow_run<'a>(&'a self, repo: &'a RepoId, run: u64) -> Asked<'a, Run>;

    /// Everything that such a run left.
    fn run_artifacts<'a>(&'a self, repo: &'a RepoId, run: u64) -> Asked<'a, Vec<Left>>;

    /// Writes the zip archive of one of them to a new file.
    fn fetch_artifact<'a>(&'a self, repo: &'a RepoId, artifact: &'a Left, to: &'a Path) -> Asked<'a, ()>;

    /// Makes an annotated tag; a signed one exactly as it was signed, or none.
    fn tag<'a>(&'a self, repo: &'a RepoId, tag: &'a Tag) -> Asked<'a, Tagged>;

    /// Where the host shows releases; the error is why it does not.
    fn releases(&self) -> Result<&dyn Releases, String>;

    /// The host's account of a commit's author, as far as it says (THREATS T27: an unknown author could be anybody).
    fn author<'a>(
        &'a self,
        repo: &'a RepoId,
        commit: &'a CommitSha,
        email: &'a str,
    ) -> Asked<'a, Option<Login>>;

    /// The address a browser shows a commit at, or a file of it; none where the host has no pages.
    fn web(&self, repository: &RepoName, commit: &CommitSha, file: Option<&str>) -> Option<String>;

    /// Where to fetch from, with a credential that is narrow and fresh.
    fn source<'a>(&'a self, repo: &'a RepoId) -> Asked<'a, Source>;

    /// Whether steps can be given a token of this host; the error says why not, before a stage starts.
    fn gives_tokens(&self) -> Result<(), String>;

    /// A new token that lives an hour at most and reads this repository alone, for the steps of one stage (row A18).
    fn step_token<'a>(&'a self, repo: &'a RepoId) -> Asked<'a, Secret>;

    /// Makes such a token worthless; one that is so already is success.
    fn revoke<'a>(&'a self, token: &'a Secret) -> Asked<'a, ()>;

    /// Whom the host counts our requests by, and for how much longer it wants silence in each case.
    fn silences(&self) -> Vec<(String, Span)>;

    /// Asks nothing there for so long: another process of ours was told to.
    fn keep_silent(&self, scope: &str, span: Span);

    /// What the host sent since then, newest first, as it saw it answered.
    fn deliveries_since(&self, since: Timestamp) -> Asked<'_, Vec<Missed>>;

    /// Asks the host to deliver again.
    fn redeliver(&self, id: u64) -> Asked<'_, ()>;
}
