//! From a verified webhook body to facts: pure, total, and with no opinion on what to do about them.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::Deserialize;

use crate::domain::name::{CommitSha, NameError, RefName, RepoName, UserId, printable};
use crate::domain::time::Timestamp;
use crate::forge::fact::{
    CheckAsk, CommentChange, Fact, Ignored, InstallationChange, Person, Place, PullAction, Reference,
    RepoLink, RepoRef, StatusState,
};
use crate::forge::github::payload::{
    CheckRunEvent, CheckSuiteEvent, CommentEvent, Envelope, InstallationEvent, Kind, OldOwner, PullRequest,
    Push, Repository, RepositoryChanges, RepositoryEvent, Status, User, WorkflowRunEvent,
};

/// Why a body gives no fact; the delivery stays stored, visible and replayable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TranslateError {
    /// It is not JSON of the documented shape.
    Shape {
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
        /// What the parser says, shortened and printable.
        text: String,
    },
    /// A part that this event always has is absent.
    Missing(&'static str),
    /// A part is not a name of its kind.
    Name {
        /// Where it stands.
        field: &'static str,
        /// What is wrong with it.
        error: NameError,
    },
    /// An account is there but has no number or no login (THREATS T33).
    Identity(&'static str),
}

impl TranslateError {
    /// The stable code, for audit, logs and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Shape { .. } => "payload_shape",
            Self::Missing(_) => "payload_missing",
            Self::Name { .. } => "payload_name",
            Self::Identity(_) => "payload_identity",
        }
    }
}

impl fmt::Display for TranslateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape { line, column, text } => {
                write!(f, "the body is not what GitHub documents, at line {line} column {column}: {text}")
            }
            Self::Missing(field) => write!(f, "the body has no `{field}`"),
            Self::Name { field, error } => write!(f, "`{field}` in the body: {error}"),
            Self::Identity(field) => write!(f, "`{field}` in the body has no id or no login"),
        }
    }
}

impl std::error::Error for TranslateError {}

type Translated = Result<Fact, TranslateError>;

/// Says what a delivery means; `event` is its `X-GitHub-Event`, `body` its verified bytes.
///
/// An event that we do not follow is a fact too ([`Fact::Unknown`]), so that it is stored and can be seen.
pub fn translate(event: &str, body: &[u8]) -> Result<Vec<Fact>, TranslateError> {
    let read: fn(Envelope, &[u8]) -> Translated = match event {
        "push" => push,
        "pull_request" => pull_request,
        "issue_comment" | "commit_comment" => comment,
        "check_run" => check_run,
        "check_suite" => check_suite,
        "status" => status,
        "installation" | "installation_repositories" => installation,
        "repository" => repository,
        "workflow_run" => workflow_run,
        _ => return unfollowed(event, body).map(|fact| vec![fact]),
    };
    let envelope: Envelope = json(body)?;
    let action = envelope.action.clone();
    let fact = match (event, action.as_deref()) {
        ("check_run", Some("rerequested" | "requested_action"))
        | ("check_suite", Some("rerequested"))
        | ("issue_comment" | "commit_comment", Some("created" | "edited" | "deleted"))
        | ("repository", Some("renamed" | "transferred"))
        | ("workflow_run", Some("completed"))
        | ("push" | "pull_request" | "status" | "installation" | "installation_repositories", _) => {
            read(envelope, body)?
        }
        _ => unknown(event, action.as_deref(), Ignored::NotFollowed),
    };
    Ok(vec![fact])
}

/// Events of which only the name matters.
fn unfollowed(event: &str, body: &[u8]) -> Translated {
    let Kind { action } = json(body)?;
    Ok(match event {
        "ping" => Fact::Ping,
        "create" | "delete" => unknown(event, action.as_deref(), Ignored::PushTellsIt),
        _ => unknown(event, action.as_deref(), Ignored::NotFollowed),
    })
}

fn unknown(event: &str, action: Option<&str>, why: Ignored) -> Fact {
    Fact::Unknown { event: printable(event), action: action.map(printable), why }
}

fn push(envelope: Envelope, body: &[u8]) -> Translated {
    let push: Push = json(body)?;
    Ok(Fact::Push {
        repo: repo(envelope.repository)?,
        reference: Reference::of(&push.reference),
        before: commit_or_zeros("before", &push.before)?,
        after: commit_or_zeros("after", &push.after)?,
        forced: push.forced,
        pusher: push.pusher.and_then(|p| p.name).and_then(|name| name.parse().ok()),
        sender: person("sender", envelope.sender)?,
    })
}

fn pull_request(envelope: Envelope, body: &[u8]) -> Translated {
    let PullRequest { number, pull_request: pull } = json(body)?;
    let merged = pull.merged.unwrap_or(false);
    let merge_commit = pull.merge_commit_sha.as_deref().filter(|_| merged);
    let action = match envelope.action.as_deref() {
        Some("opened") => PullAction::Opened,
        Some("synchronize") => PullAction::Synchronized,
        Some("reopened") => PullAction::Reopened,
        Some("closed") => PullAction::Closed {
            merged,
            merge_commit: merge_commit.map(|sha| name("pull_request.merge_commit_sha", sha)).transpose()?,
        },
        Some("edited") => PullAction::Edited,
        Some(_) | None => PullAction::Other,
    };
    let same_repo = match (&pull.head.repo, &pull.base.repo) {
        (Some(head), Some(base)) => head.id == base.id,
        (None, _) | (_, None) => false,
    };
    Ok(Fact::PullRequest {
        repo: repo(envelope.repository)?,
        number: name("number", &number.to_string())?,
        action,
        head: name("pull_request.head.sha", &pull.head.sha)?,
        head_ref: pull.head.reference.parse().ok(),
        base: name("pull_request.base.ref", &pull.base.reference)?,
        from_fork: !same_repo,
        author: person("pull_request.user", pull.user)?,
        title: pull.title,
    })
}

fn comment(envelope: Envelope, body: &[u8]) -> Translated {
    let CommentEvent { issue, comment, changes } = json(body)?;
    let place = match (&issue, &comment.commit_id) {
        (Some(issue), _) => Place::Thread(name("issue.number", &issue.number.to_string())?),
        (None, Some(sha)) => Place::Commit(name("comment.commit_id", sha)?),
        (None, None) => return Err(TranslateError::Missing("issue")),
    };
    let change = match envelope.action.as_deref() {
        Some("created") => CommentChange::Created,
        Some("deleted") => CommentChange::Deleted,
        Some(_) | None => {
            CommentChange::Edited { previous: changes.and_then(|c| c.body).map(|body| body.from) }
        }
    };
    Ok(Fact::Comment {
        repo: repo(envelope.repository)?,
        place,
        comment: name("comment.id", &comment.id.to_string())?,
        change,
        author: person("comment.user", comment.user)?,
        sender: person("sender", envelope.sender)?,
        via_app: comment.performed_via_github_app.is_some(),
        body: comment.body.unwrap_or_default(),
        created_at: comment.created_at.as_deref().and_then(Timestamp::parse),
        is_pull_request: issue.is_some_and(|issue| issue.pull_request.is_some()),
    })
}

fn check_run(envelope: Envelope, body: &[u8]) -> Translated {
    let CheckRunEvent { check_run, requested_action } = json(body)?;
    let check = match (envelope.action.as_deref(), requested_action) {
        (Some("requested_action"), Some(button)) => CheckAsk::Button { identifier: button.identifier },
        (Some("requested_action"), None) => return Err(TranslateError::Missing("requested_action")),
        (_, _) => CheckAsk::Rerun,
    };
    Ok(Fact::CheckRequested {
        repo: repo(envelope.repository)?,
        head: name("check_run.head_sha", &check_run.head_sha)?,
        check,
        run: Some(check_run.id),
        name: Some(check_run.name),
        external_id: check_run.external_id.filter(|id| !id.is_empty()),
        sender: person("sender", envelope.sender)?,
    })
}

fn check_suite(envelope: Envelope, body: &[u8]) -> Translated {
    let CheckSuiteEvent { check_suite } = json(body)?;
    Ok(Fact::CheckRequested {
        repo: repo(envelope.repository)?,
        head: name("check_suite.head_sha", &check_suite.head_sha)?,
        check: CheckAsk::Rerun,
        run: None,
        name: None,
        external_id: None,
        sender: person("sender", envelope.sender)?,
    })
}

fn workflow_run(envelope: Envelope, body: &[u8]) -> Translated {
    let WorkflowRunEvent { workflow_run } = json(body)?;
    let action = envelope.action.clone();
    Ok(match workflow_run.run() {
        Some(run) => Fact::RunOver { repo: repo(envelope.repository)?, run },
        // Of an organisation's or an app's workflow, which has no file here.
        None => unknown("workflow_run", action.as_deref(), Ignored::NotFollowed),
    })
}

fn status(envelope: Envelope, body: &[u8]) -> Translated {
    let status: Status = json(body)?;
    let state = match status.state.as_str() {
        "pending" => StatusState::Pending,
        "success" => StatusState::Success,
        "failure" => StatusState::Failure,
        "error" => StatusState::Error,
        _ => StatusState::Other,
    };
    Ok(Fact::StatusSeen {
        repo: repo(envelope.repository)?,
        commit: name("sha", &status.sha)?,
        context: status.context,
        state,
        description: status.description,
        sender: person("sender", envelope.sender)?,
        created_at: status.created_at.as_deref().and_then(Timestamp::parse),
    })
}

fn installation(envelope: Envelope, body: &[u8]) -> Translated {
    let event: InstallationEvent = json(body)?;
    let all = links(event.repositories)?;
    let (change, all_added, all_removed) = match envelope.action.as_deref() {
        Some("created") => (InstallationChange::Created, all, Vec::new()),
        Some("deleted") => (InstallationChange::Deleted, Vec::new(), all),
        Some("suspend") => (InstallationChange::Suspended, Vec::new(), Vec::new()),
        Some("unsuspend") => (InstallationChange::Resumed, Vec::new(), Vec::new()),
        Some("added" | "removed") => (InstallationChange::Repositories, Vec::new(), Vec::new()),
        Some(_) | None => (InstallationChange::Other, Vec::new(), Vec::new()),
    };
    let id = envelope.installation.and_then(|i| NonZeroU64::new(i.id));
    Ok(Fact::Installation {
        id: id.ok_or(TranslateError::Missing("installation.id"))?,
        change,
        added: [all_added, links(event.repositories_added)?].concat(),
        removed: [all_removed, links(event.repositories_removed)?].concat(),
    })
}

fn repository(envelope: Envelope, body: &[u8]) -> Translated {
    let RepositoryEvent { changes } = json(body)?;
    let repo = repo(envelope.repository)?;
    let from = changes.and_then(|changes| old_name(&repo.name, changes));
    Ok(Fact::RepositoryRenamed { repo, from })
}

/// The name before a rename or a transfer: the part that changed from the body, the other from the new name.
fn old_name(now: &RepoName, changes: RepositoryChanges) -> Option<RepoName> {
    let (owner, repo) = now.as_str().split_once('/')?;
    let old_repo = changes.repository.and_then(|change| change.name).map(|name| name.from);
    let old_owner = changes
        .owner
        .and_then(|change| change.from)
        .and_then(|OldOwner { user, organization }| user.or(organization))
        .and_then(|account| account.login);
    let is_other = old_repo.is_some() || old_owner.is_some();
    let old = format!("{}/{}", old_owner.as_deref().unwrap_or(owner), old_repo.as_deref().unwrap_or(repo));
    old.parse().ok().filter(|_| is_other)
}

fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, TranslateError> {
    serde_json::from_slice(body).map_err(|error| TranslateError::Shape {
        line: error.line(),
        column: error.column(),
        text: printable(&error.to_string()),
    })
}

fn name<T: FromStr<Err = NameError>>(field: &'static str, text: &str) -> Result<T, TranslateError> {
    text.parse().map_err(|error| TranslateError::Name { field, error })
}

fn repo(repository: Option<Repository>) -> Result<RepoRef, TranslateError> {
    let repository = repository.ok_or(TranslateError::Missing("repository"))?;
    let branch = repository.default_branch.as_deref();
    let default_branch: RefName = name(
        "repository.default_branch",
        branch.ok_or(TranslateError::Missing("repository.default_branch"))?,
    )?;
    let RepoLink { id, name } = link(&repository)?;
    Ok(RepoRef { id, name, default_branch })
}

fn link(repository: &Repository) -> Result<RepoLink, TranslateError> {
    let number = NonZeroU64::new(repository.id).ok_or(TranslateError::Missing("repository.id"))?;
    Ok(RepoLink {
        id: name("repository.id", &format!("github:{number}"))?,
        name: name("repository.full_name", &repository.full_name)?,
    })
}

fn links(repositories: Option<Vec<Repository>>) -> Result<Vec<RepoLink>, TranslateError> {
    repositories.unwrap_or_default().iter().map(link).collect()
}

/// A commit id; zeros are GitHub's way to say that there is none.
fn commit_or_zeros(field: &'static str, text: &str) -> Result<Option<CommitSha>, TranslateError> {
    let sha: CommitSha = name(field, text)?;
    Ok(Some(sha).filter(|sha| sha.as_str().bytes().any(|b| b != b'0')))
}

/// An account; `null` is a deleted one, but half an account is none at all.
fn person(field: &'static str, user: Option<User>) -> Result<Option<Person>, TranslateError> {
    let Some(User { id, login, kind }) = user else { return Ok(None) };
    let (Some(id), Some(login)) = (id.and_then(NonZeroU64::new), login.filter(|l| !l.is_empty())) else {
        return Err(TranslateError::Identity(field));
    };
    // What is not certainly a person counts as a bot, which may do less.
    let bot = kind.as_deref() != Some("User") || login.ends_with("[bot]");
    Ok(Some(Person { id: UserId(id), login: name(field, &login)?, bot }))
}

#[cfg(test)]
mod tests;
