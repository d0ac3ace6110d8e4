//! The bodies of deliveries to `/webhook/plain`, which our own hook and our own API write.

use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::domain::name::{CommentId, CommitSha, RepoName};

/// The event of a moved ref.
pub const PUSH: &str = "push";

/// The event of a new comment.
pub const COMMENT: &str = "comment";

/// Hex digits of a GUID's sum: 128 bits, so that no two differ by chance.
const GUID_DIGITS: usize = 32;

/// One ref that moved; a push of several makes several.
#[derive(Debug, Deserialize)]
pub(super) struct Push {
    pub(super) repository: String,
    #[serde(rename = "ref")]
    pub(super) reference: String,
    pub(super) before: String,
    pub(super) after: String,
    #[serde(default)]
    pub(super) forced: bool,
    pub(super) pusher: Option<String>,
}

/// A new comment, by its ids alone: its text and its writer are read back.
#[derive(Debug, Deserialize)]
pub(super) struct Spoken {
    pub(super) repository: String,
    pub(super) commit: String,
    pub(super) comment: String,
}

/// A delivery to send or to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its `X-GitHub-Delivery`, equal when the same is told twice.
    pub guid: String,
    /// Its `X-GitHub-Event`.
    pub event: &'static str,
    /// Its body, JSON.
    pub body: String,
}

impl Delivery {
    /// Tells that a ref moved, appeared (`before` is zeros) or went (`after` is zeros).
    pub fn push(
        repository: &RepoName,
        reference: &str,
        (before, after): (&str, &str),
        pusher: Option<&str>,
    ) -> Self {
        let body = json!({
            "repository": repository.as_str(),
            "ref": reference,
            "before": before,
            "after": after,
            "pusher": pusher,
        });
        let guid = guid(PUSH, [repository.as_str(), reference, before, after]);
        Self { guid, event: PUSH, body: body.to_string() }
    }

    /// Tells that somebody spoke about a commit.
    pub fn comment(repository: &RepoName, commit: &CommitSha, comment: &CommentId) -> Self {
        let (repository, commit, comment) = (repository.as_str(), commit.as_str(), comment.as_str());
        let body = json!({ "repository": repository, "commit": commit, "comment": comment });
        Self { guid: guid(COMMENT, [repository, commit, comment]), event: COMMENT, body: body.to_string() }
    }
}

/// The same parts give the same GUID; zero bytes, which no part holds, keep them apart.
fn guid<'a>(event: &str, parts: impl IntoIterator<Item = &'a str>) -> String {
    let sum = parts.into_iter().fold(Sha256::new(), |sum, part| sum.chain_update(part).chain_update([0]));
    let digits = hex::encode(sum.finalize());
    format!("{event}-{}", digits.get(..GUID_DIGITS).unwrap_or(&digits))
}
