//! The parts of GitHub's webhook bodies that we read; everything else is passed over.
//!
//! Accounts may be `null` (deleted ones are), enumerations are plain text, and what a newer GitHub adds does not
//! matter; octocrab's models refuse all three (GITHUB §A2).

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::forge::github::dto::WorkflowRun;

/// What every body starts from; enough to route it and to say whose it is.
#[derive(Debug, Deserialize)]
pub struct Envelope {
    /// What happened, for events that have kinds.
    pub action: Option<String>,
    /// Who did it.
    pub sender: Option<User>,
    /// Where.
    pub repository: Option<Repository>,
    /// Through which installation of our app.
    pub installation: Option<Installation>,
}

/// The word for what happened, alone: all that is read of an event that we do not follow.
#[derive(Debug, Deserialize)]
pub(super) struct Kind {
    pub(super) action: Option<String>,
}

/// An account.
#[derive(Debug, Deserialize)]
pub struct User {
    /// Its number.
    pub id: Option<u64>,
    /// Its login.
    pub login: Option<String>,
    /// `User`, `Bot`, `Organization`, …
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

/// A repository.
#[derive(Debug, Deserialize)]
pub struct Repository {
    /// Its number, stable over renames.
    pub id: u64,
    /// `owner/name`.
    pub full_name: String,
    /// Its main branch; absent in lists.
    pub default_branch: Option<String>,
}

/// An installation of our app.
#[derive(Debug, Deserialize)]
pub struct Installation {
    /// Its number.
    pub id: u64,
}

#[derive(Deserialize)]
pub(super) struct Push {
    #[serde(rename = "ref")]
    pub(super) reference: String,
    pub(super) before: String,
    pub(super) after: String,
    #[serde(default)]
    pub(super) forced: bool,
    pub(super) pusher: Option<Pusher>,
}

#[derive(Deserialize)]
pub(super) struct Pusher {
    pub(super) name: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct PullRequest {
    pub(super) number: u64,
    pub(super) pull_request: Pull,
}

#[derive(Deserialize)]
pub(super) struct Pull {
    pub(super) title: String,
    pub(super) user: Option<User>,
    pub(super) head: Side,
    pub(super) base: Side,
    pub(super) merged: Option<bool>,
    pub(super) merge_commit_sha: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Side {
    #[serde(rename = "ref")]
    pub(super) reference: String,
    pub(super) sha: String,
    pub(super) repo: Option<Numbered>,
}

#[derive(Deserialize)]
pub(super) struct Numbered {
    pub(super) id: u64,
}

/// `workflow_run`: the run is what the API shows of it, too.
#[derive(Deserialize)]
pub(super) struct WorkflowRunEvent {
    pub(super) workflow_run: WorkflowRun,
}

/// `issue_comment` and `commit_comment`: the one has an issue, the other a commit in its comment.
#[derive(Deserialize)]
pub(super) struct CommentEvent {
    pub(super) issue: Option<Issue>,
    pub(super) comment: Comment,
    pub(super) changes: Option<CommentChanges>,
}

#[derive(Deserialize)]
pub(super) struct Issue {
    pub(super) number: u64,
    pub(super) pull_request: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub(super) struct Comment {
    pub(super) id: u64,
    pub(super) user: Option<User>,
    pub(super) body: Option<String>,
    pub(super) created_at: Option<String>,
    pub(super) commit_id: Option<String>,
    pub(super) performed_via_github_app: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub(super) struct CommentChanges {
    pub(super) body: Option<From>,
}

#[derive(Deserialize)]
pub(super) struct From {
    pub(super) from: String,
}

#[derive(Deserialize)]
pub(super) struct CheckRunEvent {
    pub(super) check_run: CheckRun,
    pub(super) requested_action: Option<Button>,
}

#[derive(Deserialize)]
pub(super) struct CheckRun {
    pub(super) id: u64,
    pub(super) head_sha: String,
    pub(super) name: String,
    pub(super) external_id: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Button {
    pub(super) identifier: String,
}

#[derive(Deserialize)]
pub(super) struct CheckSuiteEvent {
    pub(super) check_suite: CheckSuite,
}

#[derive(Deserialize)]
pub(super) struct CheckSuite {
    pub(super) head_sha: String,
}

#[derive(Deserialize)]
pub(super) struct Status {
    pub(super) sha: String,
    pub(super) context: String,
    pub(super) state: String,
    pub(super) description: Option<String>,
    pub(super) created_at: Option<String>,
}

/// `installation` and `installation_repositories`.
#[derive(Deserialize)]
pub(super) struct InstallationEvent {
    #[serde(default)]
    pub(super) repositories: Option<Vec<Repository>>,
    #[serde(default)]
    pub(super) repositories_added: Option<Vec<Repository>>,
    #[serde(default)]
    pub(super) repositories_removed: Option<Vec<Repository>>,
}

/// `repository`, renamed or transferred.
#[derive(Deserialize)]
pub(super) struct RepositoryEvent {
    pub(super) changes: Option<RepositoryChanges>,
}

#[derive(Deserialize)]
pub(super) struct RepositoryChanges {
    pub(super) repository: Option<NameChange>,
    pub(super) owner: Option<OwnerChange>,
}

#[derive(Deserialize)]
pub(super) struct NameChange {
    pub(super) name: Option<From>,
}

#[derive(Deserialize)]
pub(super) struct OwnerChange {
    pub(super) from: Option<OldOwner>,
}

#[derive(Deserialize)]
pub(super) struct OldOwner {
    pub(super) user: Option<User>,
    pub(super) organization: Option<User>,
}
