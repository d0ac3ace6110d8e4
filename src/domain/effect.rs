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

/// What a button on a check run is for (THREATS T34).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Button {
    /// Whose gate: releases are counted per pipeline. What an older version of this program stored does not say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<PipelineName>,
    /// The gate that it was offered for.
    #[serde(flatten)]
    pub gate: Offering,
}

impl Button {
    /// What the host keeps with the check run and gives back with every click: `shop/12/prod/2`, with `/signoff` behind
    /// it once the stage is deployed, because a button pressed before the deploy signs nothing off.
    pub fn id(&self) -> Option<String> {
        let Offering { release, stage, attempt, side } = &self.gate;
        let side = match side {
            ApprovalSide::Before => "",
            ApprovalSide::After => "/signoff",
        };
        self.pipeline.as_ref().map(|pipeline| format!("{pipeline}/{release}/{stage}/{attempt}{side}"))
    }

    /// The button of such an id; nothing for any other text, also for ids without a pipeline.
    pub fn of_id(id: &str) -> Option<Self> {
        let mut parts = id.split('/');
        let pipeline = Some(parts.next()?.parse().ok()?);
        let release = ReleaseNo(parts.next()?.parse().ok()?);
        let (stage, attempt) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let side = match (parts.next(), parts.next()) {
            (None, _) => ApprovalSide::Before,
            (Some("signoff"), None) => ApprovalSide::After,
            (Some(_), _) => return None,
        };
        Some(Self { pipeline, gate: Offering { release, stage, attempt, side } })
    }
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
    Offer(Button),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t34_a_buttons_id_says_whose_gate_it_is_for_and_reads_back() {
        let gate = |side| Offering {
            release: ReleaseNo(std::num::NonZeroU32::new(12).unwrap()),
            stage: "prod".parse().unwrap(),
            attempt: 2,
            side,
        };
        let of = |side| Button { pipeline: Some("acme.Shop".parse().unwrap()), gate: gate(side) };
        for (side, id) in [
            (ApprovalSide::Before, "acme.Shop/12/prod/2"),
            (ApprovalSide::After, "acme.Shop/12/prod/2/signoff"),
        ] {
            assert_eq!(of(side).id().as_deref(), Some(id));
            assert_eq!(Button::of_id(id), Some(of(side)));
        }
        for other in [
            "12/prod/2",
            "12/prod/2/signoff",
            "12/3/2/signoff",
            "shop/0/prod/1",
            "shop/1/prod/1/x",
            "",
            "gate:17",
        ] {
            assert_eq!(Button::of_id(other), None, "{other}");
        }
        // What was stored before buttons named their pipeline can be read, and names none.
        let stored = r#"{"offer":{"release":12,"stage":"prod","attempt":2,"side":"before"}}"#;
        let nameless = Button { pipeline: None, gate: gate(ApprovalSide::Before) };
        assert_eq!(nameless.id(), None);
        assert_eq!(serde_json::from_str::<Detail>(stored).unwrap(), Detail::Offer(nameless));
    }
}
