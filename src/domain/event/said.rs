//! What people said, as it stands on the record.

use serde::{Deserialize, Serialize};

use crate::domain::effect::{Place, Reaction};
use crate::domain::name::{CheckName, CommentId, CommitSha, Digest, StageName, TeamWord};
use crate::domain::person::{Person, Standing};
use crate::domain::time::Timestamp;
use crate::domain::version::Version;

/// An approval, with all it is bound to (SEMANTICS §3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who, with role and teams at the time.
    pub standing: Standing,
    /// The comment, unless it came by the API.
    pub comment: Option<CommentId>,
    /// Digest of the comment's text.
    pub body: Digest,
    /// The release's digest.
    pub digest: Digest,
    /// The release's commit.
    pub commit: CommitSha,
    /// The release's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Digest of the release's manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Digest>,
    /// Digest of the rule that was in force (COMMANDS §4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Digest>,
    /// Before or after the deploy.
    #[serde(default)]
    pub side: ApprovalSide,
    /// The one team it was given for (`/signoff`); nothing when it counts wherever its giver does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamWord>,
    /// The stage it was given for, when this one takes it over (`reuse_from`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused_from: Option<StageName>,
    /// A note.
    pub note: Option<String>,
    /// The host's time of the comment.
    pub at: Timestamp,
}

/// On which side of the deploy people are asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalSide {
    /// An approval: may it start.
    #[default]
    Before,
    /// A sign-off: is it good.
    After,
}

/// Why an approval no longer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Withdrawal {
    /// `/revoke`.
    Revoked,
    /// The comment was edited.
    Edited,
    /// The comment was deleted.
    Deleted,
    /// The person may not approve any more.
    NoLongerEntitled,
    /// It was too old.
    Expired,
}

/// What may be overridden (SEMANTICS §7); what never is has its reasons in [`crate::domain::overridable`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overridable {
    /// The time in the stage before.
    Soak,
    /// The stages that must have succeeded first.
    Deps,
    /// The hours in which a stage may start.
    Window,
    /// Days, or an emergency, in which nothing starts.
    Freeze,
    /// The end of the wait for approvals; the approvals themselves are never passed over.
    ApprovalTimeout,
    /// A gate or a leg of the stage's checks, by its name in the manifest. The check says itself whether it may be
    /// overridden: an override of one that does not say so is refused and never stored.
    Check(CheckName),
}

/// A command and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// The comment, unless it came by the API.
    pub comment: Option<CommentId>,
    /// Where.
    pub place: Option<Place>,
    /// Who.
    pub by: Option<Person>,
    /// The command line, made printable.
    pub line: String,
    /// `ok`, or the stable code of the refusal.
    pub code: String,
    /// The reaction the comment gets.
    pub reaction: Reaction,
    /// The answer in words, when one is given.
    pub reply: Option<String>,
}
