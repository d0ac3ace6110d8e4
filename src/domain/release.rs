//! A release and its stage runs as the sum of events, and the table of legal transitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::check::leg::Leg;
use crate::domain::check::ticks::Ticks;
use crate::domain::check::{LegId, Side};
use crate::domain::effect::Place;
use crate::domain::event::{Approval, ApprovalSide, Created, Detail, Overridable, RunKind, Sealed};
use crate::domain::name::{ChannelLabel, CommitSha, Digest, ReleaseNo, StageName, UserId};
use crate::domain::pause::Pausing;
use crate::domain::person::Person;
use crate::domain::pipeline::{Duty, Pipeline, Stage};
use crate::domain::progress::Walked;
use crate::domain::time::Timestamp;
use crate::domain::variable::{Problem, Taken};

/// Where a stage run is (SEMANTICS §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageState {
    /// Something blocks it; the verdict says what.
    Pending,
    /// Nothing blocks it; it waits for its environment and a worker.
    Queued,
    /// A worker has it.
    Running,
    /// It waits in the middle for a person.
    Paused,
    /// It is done and waits for a sign-off.
    AwaitingSignoff,
    /// It is live and verified.
    Succeeded,
    /// A command said no.
    Failed,
    /// It could not be done, or nobody knows how it ended.
    Errored,
    /// It took too long.
    TimedOut,
    /// Somebody said no, or nobody said yes in time.
    Rejected,
    /// Somebody said no after it was deployed.
    RejectedAfterDeploy,
    /// A newer release took its place.
    Superseded,
    /// Somebody stopped it.
    Cancelled,
    /// It is being stopped.
    Cancelling,
    /// It was left out.
    Skipped,
    /// A stage it needs will not succeed.
    SkippedUpstream,
    /// The release before is being put back.
    RollingBack,
    /// The release before is back.
    RolledBack,
}

/// What moves a stage run; the actor is in the table of SEMANTICS §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the table's own; the table in fixtures says what each means")]
pub enum Transition {
    StageRunCreated,
    DepsBlockedForever,
    Skip,
    Reject,
    GatesTimedOut,
    WindowWaitExpired,
    NewerEligible,
    Cancel,
    AbandonRelease,
    Admit,
    LockAcquired,
    BlockersReturned,
    AgentWaitExpired,
    PhaseDone,
    ManualIntervention,
    VerifyInconclusive,
    AllPhasesOk,
    StepFailed,
    InfraError,
    Timeout,
    Resume,
    Fail,
    ApproveComplete,
    AgentStopped,
    AgentFinished,
    GraceExpired,
    RollbackOk,
    RollbackFailed,
    LeaseLost,
}

use StageState as S;
use Transition as T;

/// Every legal transition: from, by, to. Nothing else moves a stage run.
pub const LEGAL: &[(Option<StageState>, Transition, StageState)] = &[
    (None, T::StageRunCreated, S::Pending),
    (Some(S::Pending), T::DepsBlockedForever, S::SkippedUpstream),
    (Some(S::Pending), T::Skip, S::Skipped),
    (Some(S::Pending), T::Reject, S::Rejected),
    (Some(S::Pending), T::GatesTimedOut, S::Rejected),
    (Some(S::Pending), T::WindowWaitExpired, S::Rejected),
    (Some(S::Pending), T::NewerEligible, S::Superseded),
    (Some(S::Pending), T::Cancel, S::Cancelled),
    (Some(S::Pending), T::AbandonRelease, S::Cancelled),
    (Some(S::Pending), T::Admit, S::Queued),
    (Some(S::Queued), T::LockAcquired, S::Running),
    (Some(S::Queued), T::BlockersReturned, S::Pending),
    (Some(S::Queued), T::NewerEligible, S::Superseded),
    (Some(S::Queued), T::Cancel, S::Cancelled),
    (Some(S::Queued), T::AgentWaitExpired, S::Errored),
    (Some(S::Running), T::PhaseDone, S::Running),
    (Some(S::Running), T::ManualIntervention, S::Paused),
    (Some(S::Running), T::VerifyInconclusive, S::Paused),
    (Some(S::Running), T::AllPhasesOk, S::AwaitingSignoff),
    (Some(S::Running), T::AllPhasesOk, S::Succeeded),
    (Some(S::Running), T::StepFailed, S::RollingBack),
    (Some(S::Running), T::StepFailed, S::Failed),
    (Some(S::Running), T::InfraError, S::Errored),
    (Some(S::Running), T::Timeout, S::TimedOut),
    (Some(S::Running), T::Cancel, S::Cancelling),
    (Some(S::Paused), T::Resume, S::Running),
    (Some(S::Paused), T::Fail, S::Failed),
    (Some(S::Paused), T::Timeout, S::Failed),
    (Some(S::Paused), T::Cancel, S::Cancelling),
    (Some(S::AwaitingSignoff), T::ApproveComplete, S::Succeeded),
    (Some(S::AwaitingSignoff), T::Reject, S::RollingBack),
    (Some(S::AwaitingSignoff), T::Reject, S::RejectedAfterDeploy),
    (Some(S::AwaitingSignoff), T::Timeout, S::RejectedAfterDeploy),
    (Some(S::AwaitingSignoff), T::Cancel, S::Cancelled),
    (Some(S::Cancelling), T::AgentStopped, S::Cancelled),
    (Some(S::Cancelling), T::AgentFinished, S::Succeeded),
    (Some(S::Cancelling), T::GraceExpired, S::Cancelled),
    (Some(S::RollingBack), T::RollbackOk, S::RolledBack),
    (Some(S::RollingBack), T::RollbackFailed, S::Failed),
    (Some(S::RollingBack), T::LeaseLost, S::Failed),
];

/// Whether the table has this row.
pub fn legal(from: Option<StageState>, by: Transition, to: StageState) -> bool {
    LEGAL.contains(&(from, by, to))
}

/// What a stage is that succeeded with issues.
pub const LIVE_WITH_ISSUES: &str = "live with issues";

/// What the end of a run means for whoever asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The release is live there.
    Live,
    /// Its commands or checks did not come to a good end.
    Failed,
    /// People said no, or nobody said yes in time.
    Rejected,
    /// It was not to be any more.
    Dropped,
}

impl StageState {
    /// How the run ended; nothing while it has not.
    pub fn ending(self) -> Option<Ending> {
        match self {
            S::Succeeded => Some(Ending::Live),
            S::Failed | S::Errored | S::TimedOut => Some(Ending::Failed),
            S::Rejected | S::RejectedAfterDeploy => Some(Ending::Rejected),
            S::Superseded | S::Cancelled | S::Skipped | S::SkippedUpstream | S::RolledBack => {
                Some(Ending::Dropped)
            }
            S::Pending
            | S::Queued
            | S::Running
            | S::Paused
            | S::AwaitingSignoff
            | S::RollingBack
            | S::Cancelling => None,
        }
    }

    /// Terminal states never change (invariant I4).
    pub fn is_terminal(self) -> bool {
        !LEGAL.iter().any(|(from, _, _)| *from == Some(self))
    }

    /// Whether it has its environment to itself (I1) and is out of reach of newer releases (I3).
    pub fn occupies(self) -> bool {
        matches!(self, S::Running | S::Paused | S::AwaitingSignoff | S::RollingBack | S::Cancelling)
    }

    /// Whether people may be asked for something: to let it start, or to sign it off.
    pub fn asks(self) -> bool {
        self.waits() || self == S::AwaitingSignoff
    }

    /// Whether it is waiting to start.
    pub fn waits(self) -> bool {
        matches!(self, S::Pending | S::Queued)
    }

    /// Whether it ended without the release being live.
    pub fn is_bad_end(self) -> bool {
        self.is_terminal() && !matches!(self, S::Succeeded | S::Skipped)
    }

    /// The word people read.
    pub fn word(self) -> &'static str {
        match self {
            S::Pending => "waiting",
            S::Queued => "queued",
            S::Running => "running",
            S::Paused => "paused",
            S::AwaitingSignoff => "awaiting sign-off",
            S::Succeeded => "live",
            S::Failed => "failed",
            S::Errored => "errored",
            S::TimedOut => "timed out",
            S::Rejected => "rejected",
            S::RejectedAfterDeploy => "rejected after deploy",
            S::Superseded => "superseded",
            S::Cancelled => "cancelled",
            S::Cancelling => "cancelling",
            S::Skipped => "skipped",
            S::SkippedUpstream => "skipped: a stage before it did not succeed",
            S::RollingBack => "rolling back",
            S::RolledBack => "rolled back",
        }
    }
}

/// How far the artifact is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildState {
    /// A worker should take it.
    Waiting,
    /// A worker has it.
    Running {
        /// The lease's number.
        fence: u64,
    },
    /// The artifact is sealed.
    Sealed,
    /// A command said no, or it could not be done.
    Failed(Detail),
    /// A newer release already contains the commit; nothing is built.
    NotNeeded,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// What it began with.
    pub created: Arc<Created>,
    /// When.
    pub at: Timestamp,
    /// The strictest rules seen while it was open: those of its own manifest and of every head since (SEMANTICS §3).
    pub rules: Arc<Pipeline>,
    /// Stages whose variables cannot be used, with the reason; they never start.
    pub unusable: BTreeMap<StageName, Problem>,
    /// Its variable groups: as it took them, and as its stages have written them since.
    pub groups: Taken,
    /// Which try of the build.
    pub build_attempt: u32,
    /// How far it is.
    pub build: BuildState,
    /// When the build ended, for display.
    pub built_at: Option<Timestamp>,
    /// What was sealed.
    pub artifacts: Vec<Sealed>,
    /// What approvals bind to: components, artifacts and manifest in one digest (SEMANTICS §1).
    pub digest: Option<Digest>,
    /// What the host said about its tag.
    pub tag: TagState,
    /// Where it is spoken about.
    pub place: Option<Place>,
    /// The channels of stages it was added to, and when (row D13).
    pub listed: BTreeMap<ChannelLabel, Timestamp>,
    /// When its bytes were deleted, if they were.
    pub retired: Option<Timestamp>,
    /// Attempts per stage, oldest first; the last one counts.
    pub stages: BTreeMap<StageName, Vec<StageRun>>,
    /// The pipeline's version when it last changed; plans leave out what has long been told.
    pub touched: u64,
}

/// What is known of a release's tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagState {
    /// Not asked for yet.
    Unknown,
    /// It points at the release's commit.
    There,
    /// It points elsewhere, or is gone: nothing of this release starts any more (THREATS T35).
    Moved(Option<CommitSha>),
}

/// One attempt of a release in a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageRun {
    /// From 1.
    pub attempt: u32,
    /// Why it exists.
    pub kind: RunKind,
    /// Where it is.
    pub state: StageState,
    /// Who asked for it; nobody for the engine.
    pub by: Option<Person>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// From when on people could act: the wait for their approvals counts from here at the earliest.
    pub asked_from: Timestamp,
    /// Not before, for automatic retries.
    pub not_before: Option<Timestamp>,
    /// When it last moved.
    pub moved_at: Timestamp,
    /// What the last move said.
    pub detail: Detail,
    /// How often it was admitted, or let go on after a pause: each time a worker takes it anew.
    pub admissions: u32,
    /// The lease's number while it runs.
    pub fence: Option<u64>,
    /// When its commands started.
    pub started_at: Option<Timestamp>,
    /// Who approved.
    pub approvals: Vec<Approval>,
    /// Who signed off after the deploy.
    pub signoffs: Vec<Approval>,
    /// Approvals that were taken away, with the reason, for the page.
    pub withdrawn: Vec<(Approval, crate::domain::event::Withdrawal)>,
    /// Checks passed over.
    pub overrides: Vec<Override>,
    /// Who promoted it by hand.
    pub promoted: Option<Person>,
    /// When.
    pub promoted_at: Option<Timestamp>,
    /// The departure of the train that takes it along.
    pub departed: Option<Timestamp>,
    /// Where and when approval was offered.
    pub offers: Vec<Offer>,
    /// When its commands had passed: what follows are checks and people.
    pub worked_at: Option<Timestamp>,
    /// How long its commands took, in milliseconds.
    pub took_ms: u64,
    /// What its legs answered.
    pub legs: BTreeMap<LegId, Leg>,
    /// What was sampled on each side.
    pub gates: BTreeMap<Side, Ticks>,
    /// What was found bad about it once it was live.
    pub fault: Option<Fault>,
    /// How far its steps are, and what they left.
    pub walked: Walked,
    /// What it stopped to ask, oldest first.
    pub pauses: Vec<Pausing>,
}

/// What a gate found bad about a release that is live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The gate.
    pub gate: LegId,
    /// What it saw.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

/// A check passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Which.
    pub check: Overridable,
    /// By whom.
    pub by: Person,
    /// Why.
    pub reason: String,
    /// How many people it took when this one said it.
    pub of: u32,
    /// When.
    pub at: Timestamp,
}

/// A comment of ours that people may answer with a bare `/approve` (COMMANDS §4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// What it asks for.
    pub side: ApprovalSide,
    /// Where it stands.
    pub place: Place,
    /// The host's time of it.
    pub at: Timestamp,
}

/// Where a release as a whole is, derived (SEMANTICS §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReleaseState {
    /// Its artifact is being made.
    Building,
    /// Its artifact could not be made.
    BuildFailed,
    /// Sealed, nothing started yet.
    Ready,
    /// On its way.
    Active,
    /// Every mandatory stage succeeded.
    Released,
    /// A mandatory stage ended badly.
    Failed,
    /// A newer release took its place.
    Superseded,
    /// Somebody stopped it.
    Abandoned,
}

impl ReleaseState {
    /// The word people read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::BuildFailed => "build failed",
            Self::Ready => "ready",
            Self::Active => "active",
            Self::Released => "released",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
            Self::Abandoned => "abandoned",
        }
    }

    /// Whether nothing more will happen to it by itself.
    pub fn is_over(self) -> bool {
        match self {
            Self::Building | Self::Ready | Self::Active => false,
            Self::BuildFailed | Self::Released | Self::Failed | Self::Superseded | Self::Abandoned => true,
        }
    }
}

impl Release {
    /// Its number.
    pub fn no(&self) -> ReleaseNo {
        self.created.release
    }

    /// Its place in the order of commits; the number breaks ties.
    pub fn order(&self) -> (u64, ReleaseNo) {
        (self.created.seq, self.created.release)
    }

    /// Whether it contains the other's commit: later on the same branch, or made later of the same commit.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        self.created.branch == other.created.branch && self.order() > other.order()
    }

    /// Whether it takes the other's turn in a queue: newer, and of the same channel (SEMANTICS §4).
    pub fn follows(&self, other: &Self) -> bool {
        self.created.channel == other.created.channel && self.is_newer_than(other)
    }

    /// Whether it has the other's commit in it.
    pub fn contains(&self, other: &Self) -> bool {
        self.no() == other.no() || self.is_newer_than(other)
    }

    /// The attempt that counts.
    pub fn run(&self, stage: &StageName) -> Option<&StageRun> {
        self.stages.get(stage).and_then(|runs| runs.last())
    }

    /// Where it is in a stage; nothing before its artifact is sealed.
    pub fn state_in(&self, stage: &StageName) -> Option<StageState> {
        self.run(stage).map(|run| run.state)
    }

    /// The stage as this release must see it: its own steps, the strictest rules.
    pub fn rule(&self, stage: &StageName) -> Option<&Stage> {
        self.rules.stage(stage)
    }

    /// The stage with the steps of this release's commit.
    pub fn steps(&self, stage: &StageName) -> Option<&Stage> {
        self.created.pipeline.stage(stage)
    }

    /// The digest people see: the artifact's when there is one, the release's when there are several.
    pub fn shown_digest(&self) -> Option<&Digest> {
        match self.artifacts.as_slice() {
            [only] => Some(&only.digest),
            _ => self.digest.as_ref(),
        }
    }

    /// Whether something may still happen to it by itself.
    pub fn is_open(&self) -> bool {
        !self.state().is_over()
            || self.stages.values().any(|runs| runs.last().is_some_and(|r| !r.state.is_terminal()))
    }

    /// Where it is as a whole.
    pub fn state(&self) -> ReleaseState {
        match &self.build {
            BuildState::Waiting | BuildState::Running { .. } => return ReleaseState::Building,
            BuildState::Failed(_) => return ReleaseState::BuildFailed,
            BuildState::NotNeeded => return ReleaseState::Superseded,
            BuildState::Sealed => {}
        }
        let mandatory = || {
            self.rules
                .stages
                .iter()
                .filter(|s| s.duty == Duty::Mandatory)
                .filter_map(|s| self.state_in(&s.name))
        };
        let any = |state: StageState| mandatory().any(|s| s == state);
        let states: Vec<StageState> = self.stages.keys().filter_map(|name| self.state_in(name)).collect();
        let optional_only = mandatory().next().is_none() && states.iter().any(|s| !s.is_terminal());
        if !optional_only && mandatory().all(|s| matches!(s, S::Succeeded | S::Skipped)) {
            ReleaseState::Released
        } else if states.iter().any(|s| !s.is_terminal()) {
            let started = states.iter().any(|s| !matches!(s, S::Pending));
            if started { ReleaseState::Active } else { ReleaseState::Ready }
        } else if any(S::Superseded) {
            ReleaseState::Superseded
        } else if any(S::Cancelled) && !mandatory().any(|s| matches!(s, S::Failed | S::Errored | S::TimedOut))
        {
            ReleaseState::Abandoned
        } else {
            ReleaseState::Failed
        }
    }
}

impl StageRun {
    /// What people are asked for now: to let it start, or, once it is deployed, whether it is good.
    pub fn side(&self) -> ApprovalSide {
        if self.state == S::AwaitingSignoff { ApprovalSide::After } else { ApprovalSide::Before }
    }

    /// What it waits to be answered.
    pub fn asking(&self) -> Option<&Pausing> {
        self.pauses.last().filter(|pausing| self.state == S::Paused && pausing.answer.is_none())
    }

    /// What people gave on a side and has not been taken away.
    pub fn given(&self, side: ApprovalSide) -> &[Approval] {
        match side {
            ApprovalSide::Before => &self.approvals,
            ApprovalSide::After => &self.signoffs,
        }
    }

    /// What this person gave on the side that is asked for now and still stands.
    pub fn given_by(&self, person: UserId) -> impl Iterator<Item = &Approval> {
        self.given(self.side()).iter().filter(move |a| a.standing.person.id == person)
    }

    /// The override of a check, once as many people said it as the stage asks for: the last of them.
    pub fn overridden(&self, check: &Overridable, stage: &Stage) -> Option<&Override> {
        let given = self.overrides_of(check).count();
        let enough = u32::try_from(given).is_ok_and(|given| given >= stage.overriding.min.max(1));
        self.overrides_of(check).last().filter(|_| enough)
    }

    /// Whether it is live although something was passed over on the way (SEMANTICS §2, `succeeded_with_issues`).
    pub fn has_issues(&self, stage: &Stage) -> bool {
        let passed = |said: &Override| self.overridden(&said.check, stage).is_some();
        self.state == StageState::Succeeded && self.overrides.iter().any(passed)
    }

    /// The word people read of it.
    pub fn word(&self, stage: &Stage) -> &'static str {
        if self.has_issues(stage) { LIVE_WITH_ISSUES } else { self.state.word() }
    }

    /// Everybody who overrode a check, each once, in the order in which they did.
    pub fn overrides_of(&self, check: &Overridable) -> impl Iterator<Item = &Override> {
        self.overrides.iter().filter(move |o| o.check == *check)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn word<T: Serialize>(value: &T) -> String {
        serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
    }

    #[test]
    fn the_legal_transitions_are_the_table_of_the_semantics() {
        let csv = include_str!("../../fixtures/stage-transitions.csv");
        let expected: BTreeSet<(String, String, String)> = csv
            .lines()
            .skip(1)
            .map(|line| {
                let (from, rest) = line.split_once(',').unwrap();
                let (by, rest) = rest.split_once(',').unwrap();
                let after_guard = match rest.strip_prefix('"') {
                    Some(quoted) => quoted.split_once("\",").unwrap().1,
                    None => rest.split_once(',').unwrap().1,
                };
                (from.to_owned(), by.to_owned(), after_guard.split_once(',').unwrap().0.to_owned())
            })
            .collect();
        let ours: BTreeSet<(String, String, String)> = LEGAL
            .iter()
            .map(|(from, by, to)| (from.as_ref().map_or("(new)".to_owned(), word), word(by), word(to)))
            .collect();
        assert_eq!(ours, expected);
        assert_eq!(LEGAL.len(), ours.len());
    }

    #[test]
    fn terminal_states_have_no_way_out() {
        let ends: Vec<_> =
            [S::Succeeded, S::Failed, S::Errored, S::TimedOut, S::Rejected, S::Superseded, S::Cancelled]
                .into_iter()
                .filter(|s| !s.is_terminal())
                .collect();
        assert_eq!(ends, []);
        assert!(!S::Pending.is_terminal() && S::Running.occupies() && !S::Queued.occupies());
    }
}
