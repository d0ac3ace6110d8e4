//! What happened: the stored facts of one pipeline, and everything that is ever stored as truth.
//!
//! A field may be added with a default and never renamed or removed: old logs must fold for ever.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::check::leg::{LegState, Reused};
use crate::domain::check::{LegId, Side};
use crate::domain::demand;
use crate::domain::derivation::Made;
use crate::domain::effect::Place;
use crate::domain::evidence::Attested;
use crate::domain::join::{Built, Expected, Listener};
use crate::domain::name::{
    CommitSha, Digest, GroupName, ObjectId, RefName, ReleaseNo, StageName, TeamWord, ThreadId, TreeSha,
    UserId, VariableName,
};
use crate::domain::pause;
use crate::domain::person::Person;
use crate::domain::pipeline::Pipeline;
use crate::domain::policy::server::StagePolicy;
use crate::domain::probe::Reading;
use crate::domain::progress::Progress;
use crate::domain::proposal::Proposal;
use crate::domain::publication;
use crate::domain::release::{StageState, Transition};
use crate::domain::retention::Retention;
use crate::domain::reuse::TakenOver;
use crate::domain::rollout;
use crate::domain::runbook::fact::Fact;
use crate::domain::source::Found;
use crate::domain::time::Timestamp;
use crate::domain::track::Track;

mod built;
mod created;
mod said;

pub use built::{BuildOutcome, Failure, Form, Sealed};
pub use created::{Change, Created, StartedBy, Unlisted};
pub use said::{Approval, ApprovalSide, Heard, Overridable, Withdrawal};

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The manifest at the head of the protected branch was read.
    PolicySeen {
        /// The head.
        commit: CommitSha,
        /// What it declares.
        pipeline: Box<Pipeline>,
    },
    /// The server asks this of stages, beside the manifests; all of it.
    ServerPolicySeen {
        /// What it asks of this pipeline's.
        policies: Vec<StagePolicy>,
    },
    /// A push or a tag started a release.
    ReleaseCreated(Box<Created>),
    /// The commits of other repositories that the release takes, all of them.
    SourcesFound {
        /// Which release.
        release: ReleaseNo,
        /// What was found.
        found: Vec<Found>,
    },
    /// A worker took the build.
    BuildStarted {
        /// Which release.
        release: ReleaseNo,
        /// Which try.
        attempt: u32,
        /// The lease's number.
        fence: u64,
    },
    /// The build ended.
    BuildFinished {
        /// Which release.
        release: ReleaseNo,
        /// Which try.
        attempt: u32,
        /// How.
        outcome: BuildOutcome,
        /// What it took over instead of being built.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reused: Option<Box<TakenOver>>,
        /// Under which digest the lock files of the tree that it left are kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        locks: Option<Digest>,
        /// What executed it, as a digest under the server's key, when another release may take what it left.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        executor: Option<Digest>,
    },
    /// Another try of a build was asked for.
    BuildRetried {
        /// Which release.
        release: ReleaseNo,
        /// The new try.
        attempt: u32,
        /// By whom; nobody for an automatic one.
        by: Option<Person>,
    },
    /// The host answered about the release's tag.
    TagSeen {
        /// Which release.
        release: ReleaseNo,
        /// The tag.
        tag: RefName,
        /// Where it points; nothing when it is gone.
        commit: Option<CommitSha>,
        /// The object of an annotated tag that was made here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        object: Option<ObjectId>,
    },
    /// The place the release is spoken about in.
    PlaceFound {
        /// Which release.
        release: ReleaseNo,
        /// Where.
        place: Place,
        /// Who wrote the pull request, if it is one and the host knows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proposed_by: Option<UserId>,
    },
    /// People were shown that they may approve (COMMANDS §4).
    OfferShown {
        /// Which release.
        release: ReleaseNo,
        /// Which stage.
        stage: StageName,
        /// Which attempt.
        attempt: u32,
        /// Where.
        place: Place,
        /// The host's time of our comment.
        at: Timestamp,
        /// What it asks for.
        #[serde(default)]
        side: ApprovalSide,
    },
    /// A stage got an attempt: it is pending now.
    StageOpened {
        /// Which release.
        release: ReleaseNo,
        /// Which stage.
        stage: StageName,
        /// Which attempt, from 1.
        attempt: u32,
        /// Why.
        kind: RunKind,
        /// Who asked; nobody for the engine.
        by: Option<Person>,
        /// Not before, for automatic retries.
        not_before: Option<Timestamp>,
    },
    /// A stage changed its state.
    StageMoved {
        /// Which release.
        release: ReleaseNo,
        /// Which stage.
        stage: StageName,
        /// Which attempt.
        attempt: u32,
        /// By which transition of the table.
        transition: Transition,
        /// Into which state.
        to: StageState,
        /// What a person wants to know about it.
        detail: Detail,
    },
    /// A part of a running stage's work is over.
    PhaseDone {
        /// Which release.
        release: ReleaseNo,
        /// Which stage.
        stage: StageName,
        /// Which attempt.
        attempt: u32,
        /// Which part, and what it left.
        progress: Box<Progress>,
    },
    /// All commands of a stage have passed that makes artifacts: the release has a further revision.
    Revised(OfRun<Vec<Made>>),
    /// Somebody approved.
    Approved {
        /// Which release.
        release: ReleaseNo,
        /// Which stage.
        stage: StageName,
        /// Which attempt.
        attempt: u32,
        /// The record.
        approval: Box<Approval>,
    },
    /// A stage's commands wrote into a variable group (CHECKLIST A04).
    GroupWritten(GroupWritten),
    /// An approval no longer counts.
    ApprovalWithdrawn {
        /// Which release.
        release: ReleaseNo,
        /// Which stage.
        stage: StageName,
        /// Which attempt.
        attempt: u32,
        /// Whose.
        person: UserId,
        /// Which of theirs: before or after the deploy.
        #[serde(default)]
        side: ApprovalSide,
        /// Which of theirs: the one given for this team, or the one for whatever they may give.
        #[serde(default)]
        team: Option<TeamWord>,
        /// Why.
        why: Withdrawal,
    },
    /// Somebody let a check pass that did not (SEMANTICS §7).
    Overridden {
        /// Which release.
        release: ReleaseNo,
        /// Which stage.
        stage: StageName,
        /// Which attempt.
        attempt: u32,
        /// Which check.
        check: Overridable,
        /// Who.
        by: Person,
        /// Why.
        reason: String,
        /// How many people it takes, as the rules were; one in logs from before that could be said.
        #[serde(default = "one")]
        of: u32,
    },
    /// Somebody started a stage that does not start by itself.
    Promoted {
        /// Which release.
        release: ReleaseNo,
        /// Which stage.
        stage: StageName,
        /// Which attempt.
        attempt: u32,
        /// Who.
        by: Person,
    },
    /// A stage, or everything, was put on hold.
    Held {
        /// Which stage; nothing means all.
        stage: Option<StageName>,
        /// For which track alone; nothing means for all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        track: Option<Track>,
        /// Who; nobody when a rollback did it.
        by: Option<Person>,
        /// Why.
        reason: String,
    },
    /// A hold was lifted.
    Unheld {
        /// Which stage; nothing means the hold on all.
        stage: Option<StageName>,
        /// The one of which track; nothing means the one for all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        track: Option<Track>,
        /// Who; nobody when a deploy of the current candidate did it.
        by: Option<Person>,
    },
    /// Nothing but rollbacks starts in a stage, or anywhere, until it is lifted or its day has come (SEMANTICS §6).
    Frozen {
        /// Which stage; nothing means all.
        stage: Option<StageName>,
        /// Who.
        by: Person,
        /// Why.
        reason: String,
        /// When it ends by itself.
        until: Option<Timestamp>,
    },
    /// A freeze is over.
    Unfrozen {
        /// Which stage; nothing means the freeze of all.
        stage: Option<StageName>,
        /// Who lifted it; nobody when its day has come.
        by: Option<Person>,
    },
    /// A release may not start in a stage any more.
    Vetoed {
        /// Which release.
        release: ReleaseNo,
        /// Which stage.
        stage: StageName,
        /// Why.
        reason: String,
    },
    /// A veto was lifted.
    VetoLifted {
        /// Which release.
        release: ReleaseNo,
        /// Which stage.
        stage: StageName,
    },
    /// A pull request's head is to be built.
    CheckAsked {
        /// The head commit.
        commit: CommitSha,
        /// The pull request.
        thread: Option<ThreadId>,
        /// Which try, from 1.
        attempt: u32,
        /// The protected branch's pipeline at the time; code of a pull request never chooses its own rules.
        pipeline: Box<Pipeline>,
        /// Why nothing will be built, if so.
        refused: Option<String>,
        /// The tree of the head, when what its build leaves is kept for a release to take.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tree: Option<TreeSha>,
    },
    /// A pull request would change the rules, or would not any more.
    PolicyProposed(Box<Proposal>),
    /// A worker took a quality build.
    CheckStarted {
        /// The head commit.
        commit: CommitSha,
        /// Which try.
        attempt: u32,
        /// The lease's number.
        fence: u64,
    },
    /// A quality build ended.
    CheckFinished {
        /// The head commit.
        commit: CommitSha,
        /// Which try.
        attempt: u32,
        /// How.
        outcome: BuildOutcome,
        /// What it took of other repositories, when what it left is kept.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        sources: Vec<Found>,
        /// Under which digest the lock files of the tree that it left are kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        locks: Option<Digest>,
        /// What executed it, as a digest under the server's key, when another release may take what it left.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        executor: Option<Digest>,
    },
    /// What a quality build left is not kept any longer.
    CheckRetired {
        /// The head commit.
        commit: CommitSha,
    },
    /// A check after the deploy answered, or an answer about the same bytes was taken again.
    LegAnswered(Box<LegAnswered>),
    /// The gates of a side are sampled from now on; what was sampled before no longer counts.
    GatesOpened {
        /// Which release.
        release: ReleaseNo,
        /// Which stage.
        stage: StageName,
        /// Which attempt.
        attempt: u32,
        /// Which side.
        side: Side,
    },
    /// Something else keeps the stage, so its gates are not sampled.
    GatesClosed {
        /// Which release.
        release: ReleaseNo,
        /// Which stage.
        stage: StageName,
        /// Which attempt.
        attempt: u32,
        /// Which side.
        side: Side,
    },
    /// The gates of a side were sampled, and something changed by it; a sample like the one before is no event.
    GatesSampled {
        /// Which release.
        release: ReleaseNo,
        /// Which stage.
        stage: StageName,
        /// Which attempt.
        attempt: u32,
        /// Which side.
        side: Side,
        /// What each gate answered.
        readings: Vec<(LegId, Reading)>,
        /// Good samples in a row.
        streak: u32,
        /// Bad samples in a row.
        reds: u32,
        /// Since when they are green no more, once they were; nothing in old logs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lost_at: Option<Timestamp>,
    },
    /// A gate found a release that is live to be bad.
    FoundFaulty {
        /// Which release.
        release: ReleaseNo,
        /// Which stage.
        stage: StageName,
        /// Which attempt.
        attempt: u32,
        /// Which gate.
        gate: LegId,
        /// What it saw.
        detail: String,
    },
    /// Somebody said a command, and this is what became of it.
    Heard(Box<Heard>),
    /// A stage stopped to ask people, or they answered.
    Pause(OfRun<pause::Said>),
    /// Something about the targets of a running stage.
    Target(OfRun<rollout::Said>),
    /// A row of the ledger of what is published moved.
    Publication(OfRun<publication::Said>),
    /// Something about a runbook.
    Runbook(Fact),
    /// The bytes of a release were not kept any longer; what is known of it stays for ever.
    Retired {
        /// Which release.
        release: ReleaseNo,
        /// What was in it.
        digests: Vec<Digest>,
        /// By which rule.
        rule: Retention,
    },
    /// Something about a release was signed, and is kept.
    Attested(Box<Attested>),
    /// The notes of a release were written, or published.
    Noted {
        /// Which release.
        release: ReleaseNo,
        /// Markdown.
        text: String,
        /// Who wrote them; nobody when they were made.
        by: Option<Person>,
        /// They are published and stay as they are.
        frozen: bool,
    },
    /// Something about starts that no push asks for.
    Demand(demand::Fact),
    /// A push starts pipelines whose builds this one waits for.
    BuildsExpected(Box<Expected>),
    /// A build of another pipeline ended.
    BuildHeard(Box<Built>),
    /// Pipelines of other repositories take builds of this one.
    ListenersSeen {
        /// All of them.
        listeners: BTreeSet<Listener>,
    },
    /// Something that a person should look at (a moved tag, a forged status).
    Alarm {
        /// The release it is about.
        release: Option<ReleaseNo>,
        /// Stable code.
        code: String,
        /// The sentence.
        text: String,
    },
}

/// Something that was said about one run of a release in a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfRun<S> {
    /// Which release.
    pub release: ReleaseNo,
    /// Which stage.
    pub stage: StageName,
    /// Which attempt.
    pub attempt: u32,
    /// What.
    pub said: S,
}

/// What a stage's commands wrote into a variable group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupWritten {
    /// Which release.
    pub release: ReleaseNo,
    /// Which stage.
    pub stage: StageName,
    /// Which attempt.
    pub attempt: u32,
    /// Which group.
    pub group: GroupName,
    /// The version it has by that.
    pub version: u32,
    /// What was written.
    pub values: BTreeMap<VariableName, String>,
}

/// An answer of one leg.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegAnswered {
    /// Which release.
    pub release: ReleaseNo,
    /// Which stage.
    pub stage: StageName,
    /// Which attempt.
    pub attempt: u32,
    /// Which leg.
    pub leg: LegId,
    /// What it answered.
    pub reading: Reading,
    /// The last lines of its log, masked, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tail: Vec<String>,
    /// Where the leg is by it.
    pub to: LegState,
    /// Digest of the question.
    pub question: Digest,
    /// What it holds for besides, when other releases may take it over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Digest>,
    /// Where the answer comes from, when it was not asked for again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused: Option<Reused>,
}

fn one() -> u32 {
    1
}

/// Why a stage has an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// The release came by.
    Deploy,
    /// The same again (`/retry`).
    Redeploy,
    /// An older release put back (`/rollback`).
    Rollback,
    /// The tests after the deploy alone (`/retry <stage> verify`); nothing is deployed.
    Verify,
}

/// What a person wants to know about a move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// The transition says it all.
    None,
    /// The lease's number.
    Fence(u64),
    /// What failed.
    Failed(Failure),
    /// A sentence.
    Reason(String),
    /// Who did it and why.
    By {
        /// Who.
        person: Person,
        /// Why, if said.
        reason: Option<String>,
    },
    /// The release that took its place.
    Newer(ReleaseNo),
    /// How long the work took, in milliseconds.
    Took(u64),
}

impl Event {
    /// The release it is about, for filtering.
    pub fn release(&self) -> Option<ReleaseNo> {
        match self {
            Self::ReleaseCreated(created) => Some(created.release),
            Self::LegAnswered(answered) => Some(answered.release),
            Self::Attested(attested) => Some(attested.release),
            Self::Pause(fact) => Some(fact.release),
            Self::Target(fact) => Some(fact.release),
            Self::Publication(fact) => Some(fact.release),
            Self::Revised(fact) => Some(fact.release),
            Self::Retired { release, .. }
            | Self::Noted { release, .. }
            | Self::SourcesFound { release, .. }
            | Self::BuildStarted { release, .. }
            | Self::BuildFinished { release, .. }
            | Self::BuildRetried { release, .. }
            | Self::TagSeen { release, .. }
            | Self::PlaceFound { release, .. }
            | Self::OfferShown { release, .. }
            | Self::StageOpened { release, .. }
            | Self::StageMoved { release, .. }
            | Self::PhaseDone { release, .. }
            | Self::Approved { release, .. }
            | Self::GroupWritten(GroupWritten { release, .. })
            | Self::ApprovalWithdrawn { release, .. }
            | Self::Overridden { release, .. }
            | Self::Promoted { release, .. }
            | Self::GatesOpened { release, .. }
            | Self::GatesClosed { release, .. }
            | Self::GatesSampled { release, .. }
            | Self::FoundFaulty { release, .. }
            | Self::Vetoed { release, .. }
            | Self::VetoLifted { release, .. } => Some(*release),
            Self::Alarm { release, .. } => *release,
            Self::PolicySeen { .. }
            | Self::ServerPolicySeen { .. }
            | Self::PolicyProposed(_)
            | Self::Held { .. }
            | Self::Unheld { .. }
            | Self::Frozen { .. }
            | Self::Unfrozen { .. }
            | Self::CheckAsked { .. }
            | Self::CheckStarted { .. }
            | Self::CheckFinished { .. }
            | Self::CheckRetired { .. }
            | Self::Runbook(_)
            | Self::BuildsExpected(_)
            | Self::BuildHeard(_)
            | Self::ListenersSeen { .. }
            | Self::Heard(_) => None,
            Self::Demand(fact) => fact.release(),
        }
    }

    /// Its kind, as the log's column and `liftlock events --kind` spell it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PolicySeen { .. } => "policy_seen",
            Self::ServerPolicySeen { .. } => "server_policy_seen",
            Self::ReleaseCreated(_) => "release_created",
            Self::SourcesFound { .. } => "sources_found",
            Self::BuildStarted { .. } => "build_started",
            Self::BuildFinished { .. } => "build_finished",
            Self::Retired { .. } => "retired",
            Self::Attested(_) => "attested",
            Self::Noted { .. } => "noted",
            Self::BuildRetried { .. } => "build_retried",
            Self::TagSeen { .. } => "tag_seen",
            Self::PlaceFound { .. } => "place_found",
            Self::OfferShown { .. } => "offer_shown",
            Self::StageOpened { .. } => "stage_opened",
            Self::StageMoved { .. } => "stage_moved",
            Self::PhaseDone { .. } => "phase_done",
            Self::Approved { .. } => "approved",
            Self::GroupWritten(_) => "group_written",
            Self::ApprovalWithdrawn { .. } => "approval_withdrawn",
            Self::Overridden { .. } => "overridden",
            Self::Promoted { .. } => "promoted",
            Self::Held { .. } => "held",
            Self::Unheld { .. } => "unheld",
            Self::Frozen { .. } => "frozen",
            Self::Unfrozen { .. } => "unfrozen",
            Self::Vetoed { .. } => "vetoed",
            Self::VetoLifted { .. } => "veto_lifted",
            Self::PolicyProposed(_) => "policy_proposed",
            Self::CheckAsked { .. } => "check_asked",
            Self::CheckStarted { .. } => "check_started",
            Self::CheckFinished { .. } => "check_finished",
            Self::CheckRetired { .. } => "check_retired",
            Self::LegAnswered(_) => "leg_answered",
            Self::GatesOpened { .. } => "gates_opened",
            Self::GatesClosed { .. } => "gates_closed",
            Self::GatesSampled { .. } => "gates_sampled",
            Self::FoundFaulty { .. } => "found_faulty",
            Self::Heard(_) => "heard",
            Self::Pause(_) => "pause",
            Self::Target(fact) => fact.said.kind(),
            Self::Publication(fact) => fact.said.moved.kind(),
            Self::Revised(_) => "revised",
            Self::Runbook(fact) => fact.kind(),
            Self::Demand(fact) => fact.kind(),
            Self::BuildsExpected(_) => "builds_expected",
            Self::BuildHeard(_) => "build_heard",
            Self::ListenersSeen { .. } => "listeners_seen",
            Self::Alarm { .. } => "alarm",
        }
    }
}
