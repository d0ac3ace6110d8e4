//! What a host says has happened, in our own words; the same from every host.
//!
//! A fact is a hint: before anything irreversible its truth is read back from the host.

use std::num::NonZeroU64;

use crate::domain::name::{
    CommentId, CommitSha, Login, NameError, RefName, RepoId, RepoName, ThreadId, UserId, printable,
};
use crate::domain::time::Timestamp;
use crate::domain::workflow::Run;

/// One thing that a host says has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The host tries whether we listen.
    Ping,
    /// A branch or tag moved, appeared or went.
    Push {
        /// Where.
        repo: RepoRef,
        /// What moved.
        reference: Reference,
        /// What it named before; `None` when it is new.
        before: Option<CommitSha>,
        /// What it names now, for an annotated tag the tag object; `None` when it is deleted.
        after: Option<CommitSha>,
        /// The move dropped commits.
        forced: bool,
        /// The login behind the push; a deploy key pushes in its owner's name.
        pusher: Option<Login>,
        /// The account that the host names for the push.
        sender: Option<Person>,
    },
    /// A pull request changed.
    PullRequest {
        /// Where it wants to go.
        repo: RepoRef,
        /// Its conversation.
        number: ThreadId,
        /// What happened to it.
        action: PullAction,
        /// Its newest commit.
        head: CommitSha,
        /// Its branch; `None` when the name is none that we would touch.
        head_ref: Option<RefName>,
        /// The branch it wants to join.
        base: RefName,
        /// Its branch is in another repository, or in one that is gone.
        from_fork: bool,
        /// Who opened it; `None` when the account is gone.
        author: Option<Person>,
        /// Its title: a stranger's text.
        title: String,
    },
    /// Somebody said something, changed it or took it back.
    Comment {
        /// Where.
        repo: RepoRef,
        /// In which conversation.
        place: Place,
        /// Which comment.
        comment: CommentId,
        /// What happened to it.
        change: CommentChange,
        /// Who wrote it; `None` when the account is gone.
        author: Option<Person>,
        /// Who did what happened: for a new comment anyone but the author is suspect (THREATS T12).
        sender: Option<Person>,
        /// An app wrote it in the author's name.
        via_app: bool,
        /// Its text: a stranger's.
        body: String,
        /// When it was written, by the host's clock.
        created_at: Option<Timestamp>,
        /// The conversation is a pull request.
        is_pull_request: bool,
    },
    /// Somebody pressed something on a check.
    CheckRequested {
        /// Where.
        repo: RepoRef,
        /// The commit that the check is on.
        head: CommitSha,
        /// What was pressed.
        check: CheckAsk,
        /// The host's number for the check; `None` for all checks of the commit.
        run: Option<u64>,
        /// The check's name; `None` for all checks of the commit.
        name: Option<String>,
        /// What we wrote into the check when we made it.
        external_id: Option<String>,
        /// Who pressed: authorised exactly like a commenter (THREATS T34).
        sender: Option<Person>,
    },
    /// A run of a workflow of the host's own CI is over.
    RunOver {
        /// Where.
        repo: RepoRef,
        /// The run, as it was told.
        run: Run,
    },
    /// A commit status was written, by us or by somebody else.
    StatusSeen {
        /// Where.
        repo: RepoRef,
        /// On which commit.
        commit: CommitSha,
        /// Its name.
        context: String,
        /// Its value.
        state: StatusState,
        /// Its text.
        description: Option<String>,
        /// Who wrote it.
        sender: Option<Person>,
        /// When, by the host's clock.
        created_at: Option<Timestamp>,
    },
    /// Our app was installed, removed, or given or denied repositories.
    Installation {
        /// The host's number for the installation.
        id: NonZeroU64,
        /// What happened to it.
        change: InstallationChange,
        /// Repositories that we may see now.
        added: Vec<RepoLink>,
        /// Repositories that we may see no more.
        removed: Vec<RepoLink>,
    },
    /// A repository has a new name or owner; its id is the same.
    RepositoryRenamed {
        /// The repository under its new name.
        repo: RepoRef,
        /// Its old name, when the host says it.
        from: Option<RepoName>,
    },
    /// Nothing to do; stored, so that it can be seen and replayed.
    Unknown {
        /// The host's word for the event.
        event: String,
        /// The host's word for what happened.
        action: Option<String>,
        /// Why there is nothing to do.
        why: Ignored,
    },
}

/// Why a delivery gives nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// We do not follow such events.
    NotFollowed,
    /// A push tells the same, and the regular reading of the refs finds what no push told.
    PushTellsIt,
}

/// A repository as the host names it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoRef {
    /// Its identity, stable over renames.
    pub id: RepoId,
    /// Its name.
    pub name: RepoName,
    /// Its main branch.
    pub default_branch: RefName,
}

/// A repository in a list: all that a host says there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoLink {
    /// Its identity, stable over renames.
    pub id: RepoId,
    /// Its name.
    pub name: RepoName,
}

/// An account; its id decides, its login is for showing (THREATS T26).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The host's number for it.
    pub id: UserId,
    /// Its login.
    pub login: Login,
    /// It is not a person.
    pub bot: bool,
}

/// What a push moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `refs/heads/…`
    Branch(RefName),
    /// `refs/tags/…`
    Tag(RefName),
    /// Anything else, and names that we would not touch; shortened and printable.
    Other(String),
}

impl Reference {
    /// Sorts a full reference name.
    pub fn of(full: &str) -> Self {
        let known =
            |short: &str, kind: fn(RefName) -> Self| -> Result<Self, NameError> { short.parse().map(kind) };
        let sorted = match (full.strip_prefix("refs/heads/"), full.strip_prefix("refs/tags/")) {
            (Some(branch), _) => known(branch, Self::Branch).ok(),
            (None, Some(tag)) => known(tag, Self::Tag).ok(),
            (None, None) => None,
        };
        sorted.unwrap_or_else(|| Self::Other(printable(full)))
    }
}

/// What happened to a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullAction {
    /// It is new.
    Opened,
    /// It has other commits.
    Synchronized,
    /// It is open again.
    Reopened,
    /// It is done.
    Closed {
        /// Its commits are on the base branch.
        merged: bool,
        /// The commit that put them there.
        merge_commit: Option<CommitSha>,
    },
    /// Its title, text or base changed.
    Edited,
    /// Something that does not concern us.
    Other,
}

/// Where a comment stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a pull request or an issue.
    Thread(ThreadId),
    /// On a commit.
    Commit(CommitSha),
}

/// What happened to a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommentChange {
    /// It is new.
    Created,
    /// It was changed.
    Edited {
        /// What it said before.
        previous: Option<String>,
    },
    /// It is gone.
    Deleted,
}

/// What somebody pressed on a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckAsk {
    /// Run it again.
    Rerun,
    /// One of our buttons.
    Button {
        /// What we called it.
        identifier: String,
    },
}

/// The value of a commit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusState {
    /// Not decided.
    Pending,
    /// Good.
    Success,
    /// Bad.
    Failure,
    /// It could not be decided.
    Error,
    /// A value that we do not know, and so not good.
    Other,
}

/// What happened to an installation of our app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallationChange {
    /// It is new.
    Created,
    /// It is gone.
    Deleted,
    /// It may do nothing until it is resumed.
    Suspended,
    /// It may work again.
    Resumed,
    /// It has other repositories.
    Repositories,
    /// It has other rights, or something that we do not know.
    Other,
}
