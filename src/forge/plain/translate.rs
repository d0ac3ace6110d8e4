//! From a verified body of `/webhook/plain` to facts: pure and total, like GitHub's translation.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::domain::name::{CommitSha, NameError, RepoName, printable};
use crate::forge::fact::{CommentChange, Fact, Ignored, Place, Reference, RepoRef};
use crate::forge::plain::payload::{COMMENT, PUSH, Push, Spoken};

/// Why a body gives no fact; the delivery stays stored, visible and replayable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TranslateError {
    /// It is not JSON of our shape.
    Shape(String),
    /// A part is not a name of its kind.
    Name {
        /// Where it stands.
        field: &'static str,
        /// What is wrong with it.
        error: NameError,
    },
    /// The server's config has no such repository.
    Unknown(RepoName),
}

impl TranslateError {
    /// The stable code, for audit, logs and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Shape(_) => "payload_shape",
            Self::Name { .. } => "payload_name",
            Self::Unknown(_) => "payload_repository",
        }
    }
}

impl fmt::Display for TranslateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape(text) => write!(f, "the body is not what `liftlock hook run` sends: {text}"),
            Self::Name { field, error } => write!(f, "`{field}` in the body: {error}"),
            Self::Unknown(name) => {
                write!(
                    f,
                    "the repository `{name}` is not in the server's config; add it to the plain host there"
                )
            }
        }
    }
}

impl std::error::Error for TranslateError {}

/// Says what a delivery means; `event` is its `X-GitHub-Event`, `body` its verified bytes, `known` what the config
/// serves.
///
/// A comment's fact has ids alone: who wrote it and what it says is read back from the repository.
pub fn translate(
    event: &str,
    body: &[u8],
    known: &BTreeMap<RepoName, RepoRef>,
) -> Result<Vec<Fact>, TranslateError> {
    let fact = match event {
        PUSH => push(json(body)?, known)?,
        COMMENT => comment(&json(body)?, known)?,
        "ping" => Fact::Ping,
        _ => Fact::Unknown { event: printable(event), action: None, why: Ignored::NotFollowed },
    };
    Ok(vec![fact])
}

fn push(push: Push, known: &BTreeMap<RepoName, RepoRef>) -> Result<Fact, TranslateError> {
    Ok(Fact::Push {
        repo: repo(&push.repository, known)?,
        reference: Reference::of(&push.reference),
        before: commit_or_zeros("before", &push.before)?,
        after: commit_or_zeros("after", &push.after)?,
        forced: push.forced,
        pusher: push.pusher.and_then(|login| login.parse().ok()),
        // The hook runs as whoever owns the repository's files: nobody vouches for an account behind the push.
        sender: None,
    })
}

fn comment(comment: &Spoken, known: &BTreeMap<RepoName, RepoRef>) -> Result<Fact, TranslateError> {
    Ok(Fact::Comment {
        repo: repo(&comment.repository, known)?,
        place: Place::Commit(name("commit", &comment.commit)?),
        comment: name("comment", &comment.comment)?,
        change: CommentChange::Created,
        author: None,
        sender: None,
        via_app: false,
        body: String::new(),
        created_at: None,
        is_pull_request: false,
    })
}

fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, TranslateError> {
    serde_json::from_slice(body).map_err(|error| TranslateError::Shape(printable(&error.to_string())))
}

fn name<T: FromStr<Err = NameError>>(field: &'static str, text: &str) -> Result<T, TranslateError> {
    text.parse().map_err(|error| TranslateError::Name { field, error })
}

fn repo(text: &str, known: &BTreeMap<RepoName, RepoRef>) -> Result<RepoRef, TranslateError> {
    let name: RepoName = name("repository", text)?;
    known.get(&name).cloned().ok_or(TranslateError::Unknown(name))
}

/// An object's id; zeros are git's way to say that there is none.
fn commit_or_zeros(field: &'static str, text: &str) -> Result<Option<CommitSha>, TranslateError> {
    let sha: CommitSha = name(field, text)?;
    Ok(Some(sha).filter(|sha| sha.as_str().bytes().any(|b| b != b'0')))
}
