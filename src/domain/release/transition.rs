//! The states of a stage run and the table of its legal transitions (SEMANTICS §2).

use serde::{Deserialize, Serialize};

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn word<T: Serialize>(value: &T) -> String {
        serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
    }

    #[test]
    fn the_legal_transitions_are_the_table_of_the_semantics() {
        let csv = include_str!("../../../fixtures/stage-transitions.csv");
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
