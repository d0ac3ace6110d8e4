//! Things owed to the outside world: each has a key, looks before it acts, and may run twice.

use serde::{Deserialize, Serialize};

use crate::domain::check::{LegId, Side};
use crate::domain::event::ApprovalSide;
use crate::domain::evidence::Matter;
use crate::domain::join::Line;
use crate::domain::name::{
    CommentId, CommitSha, PipelineName, RefName, ReleaseNo, RepoId, StageName, ThreadId,
};
use crate::domain::notice::Notice;

/// One thing to do, as the store keeps it until it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// Find the commits of other repositories that a release takes; may be repeated, the first answer counts.
    Sources {
        /// Which release.
        release: ReleaseNo,
        /// Which try of its build.
        attempt: u32,
    },
    /// Build, pack and seal a release's artifact; may be repeated.
    Build {
        /// Which release.
        release: ReleaseNo,
        /// Which try.
        attempt: u32,
    },
    /// Build a pull request's head; may be repeated, seals nothing.
    Check {
        /// The head commit.
        commit: CommitSha,
        /// Which try.
        attempt: u32,
    },
    /// Run a stage; never silently repeated (ARCHITECTURE invariant 11).
    Deploy {
        /// Which release.
        release: ReleaseNo,
        /// Which stage.
        stage: StageName,
        /// Which attempt.
        attempt: u32,
        /// How often this attempt has been admitted; a new admission is a new effect.
        admission: u32,
    },
    /// Run a runbook; never silently repeated either.
    Runbook {
        /// Which run.
        run: u32,
        /// How often it was put back before; a new turn is a new effect.
        #[serde(default)]
        turn: u32,
    },
    /// Ask one leg of a stage's verification; may be repeated.
    Leg {
        /// Which release.
        release: ReleaseNo,
        /// Which stage.
        stage: StageName,
        /// Which attempt.
        attempt: u32,
        /// Which leg.
        leg: LegId,
        /// How many answers it had.
        sample: u32,
    },
    /// Sample the gates of one side of a stage, all of them; may be repeated.
    Gates {
        /// Which release.
        release: ReleaseNo,
        /// Which stage.
        stage: StageName,
        /// Which attempt.
        attempt: u32,
        /// Which side.
        side: Side,
        /// How many samples it had.
        sample: u32,
    },
    /// Make the release's tag on the host; existing with the same commit is success.
    Tag {
        /// Which release.
        release: ReleaseNo,
        /// The tag.
        tag: RefName,
        /// Where it points.
        commit: CommitSha,
        /// The tag's message.
        message: String,
    },
    /// Find or open the thread a release is spoken about in.
    Thread {
        /// Which release.
        release: ReleaseNo,
        /// Its commit, whose merged pull request is looked for first.
        commit: CommitSha,
        /// Title of the tracking issue, should one be needed.
        title: String,
    },
    /// A commit status; only the newest value per (commit, context) is sent (invariant 10).
    Status {
        /// Which commit.
        commit: CommitSha,
        /// What to show.
        status: Status,
    },
    /// The one comment per release that is edited in place.
    Sticky {
        /// Which release.
        release: ReleaseNo,
        /// Where.
        place: Place,
        /// Markdown.
        body: String,
    },
    /// A comment of its own: approval needed, stage failed, release finished, security alert (COMMANDS §2).
    Note {
        /// Hidden marker that makes the comment findable and unique.
        marker: String,
        /// Where.
        place: Place,
        /// Markdown.
        body: String,
        /// The release and stage this comment offers for approval, if it does (COMMANDS §4).
        offers: Option<Offering>,
    },
    /// The answer to a comment: a reaction, and text when there is something to say.
    Reply {
        /// The comment answered.
        to: CommentId,
        /// Where it is.
        place: Place,
        /// The reaction it gets.
        reaction: Reaction,
        /// Markdown, if a comment is worth it.
        body: Option<String>,
    },
    /// Sign what is known of a release, and keep it; what was signed once stays.
    Attest {
        /// Which release.
        release: ReleaseNo,
        /// What about it.
        what: Matter,
    },
    /// Read back from the host whether those who signed off still may, before the release counts as live.
    Confirm {
        /// The release.
        release: ReleaseNo,
        /// The stage.
        stage: StageName,
        /// The attempt.
        attempt: u32,
    },
    /// Tell a place of the server's config; may come twice, and says what is so when it is sent.
    Notify(Notice),
    /// Wake the pipeline: a timer came due.
    Wake,
    /// Tell another pipeline how a release's build ended; telling it twice changes nothing.
    Announce {
        /// Which release.
        release: ReleaseNo,
        /// Which try of its build.
        attempt: u32,
        /// The pipeline that listens.
        to: PipelineName,
        /// Set when that is another repository's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        abroad: Option<To>,
    },
    /// Make the release that somebody or a time asked for.
    Start {
        /// Which of the starts that were asked for.
        no: u32,
    },
    /// Make the release that builds of other pipelines join into.
    Join {
        /// Where they join.
        line: Line,
        /// Which builds, so that other ones are another thing to do.
        builds: Vec<(PipelineName, ReleaseNo)>,
    },
}

/// A pipeline of another repository that listens to builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct To {
    /// Its repository.
    pub repo: RepoId,
    /// What it calls the pipeline that builds.
    pub called: PipelineName,
}

/// What an approval-needed comment offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offering {
    /// The release.
    pub release: ReleaseNo,
    /// The stage.
    pub stage: StageName,
    /// The attempt.
    pub attempt: u32,
    /// What it asks for.
    #[serde(default)]
    pub side: ApprovalSide,
}

/// Where a comment stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A pull request or an issue.
    Thread(ThreadId),
    /// A commit.
    Commit(CommitSha),
}

/// A commit status, host-neutral.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// `liftlock/<stage>` or `liftlock/<pipeline>/<stage>`.
    pub context: String,
    /// The light.
    pub state: StatusState,
    /// At most 140 characters.
    pub description: String,
    /// The page that explains it, relative to the server's public address.
    pub path: String,
    /// What a richer view, a check run, can show besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Detail>,
}

/// What a check run can say and a plain status cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// A newer release took its place: shown as neutral (SEMANTICS §2).
    Superseded,
    /// It waits for people, and a button may offer the approval.
    Offer(Offering),
}

/// The light of a status (SEMANTICS §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusState {
    /// Not decided.
    Pending,
    /// This commit is live there.
    Success,
    /// It was tried and found wanting.
    Failure,
    /// Something else went wrong.
    Error,
}

/// Reactions that carry meaning (COMMANDS §2); decorative, a failure to set one is only logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reaction {
    /// 👀 accepted for work.
    Eyes,
    /// 🚀 done or started.
    Rocket,
    /// 👍 counted, more is needed.
    ThumbsUp,
    /// 👎 refused.
    ThumbsDown,
    /// 😕 not understood.
    Confused,
}

impl StatusState {
    /// The word GitHub's API uses.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Thread(thread) => write!(f, "#{thread}"),
            Self::Commit(commit) => f.write_str(commit.short()),
        }
    }
}
