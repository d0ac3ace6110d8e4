//! What happened to the runbooks of a pipeline, as it is stored.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::effect::Place;
use crate::domain::event::{Approval, Failure, Withdrawal};
use crate::domain::name::{CommitSha, EnvironmentName, RunbookName, UserId};
use crate::domain::person::Person;
use crate::domain::runbook::Runbook;
use crate::domain::time::Timestamp;

/// What happened to the runbooks of a pipeline; one kind of [`crate::domain::event::Event`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Fact {
    /// A run was asked for, or its time came.
    Asked(Box<Asked>),
    /// Somebody agreed.
    Approved {
        /// Which run.
        run: u32,
        /// The record; its digest is the run's.
        approval: Box<Approval>,
    },
    /// Somebody's agreement no longer counts.
    Withdrawn {
        /// Which run.
        run: u32,
        /// Whose.
        person: UserId,
        /// Why.
        why: Withdrawal,
    },
    /// A worker took it, and found that it has to wait.
    PutBack {
        /// Which run.
        run: u32,
        /// What for.
        why: String,
    },
    /// A worker took it.
    Started {
        /// Which run.
        run: u32,
        /// The lease's number.
        fence: u64,
    },
    /// It is to stop.
    Stopping {
        /// Which run.
        run: u32,
        /// By whom.
        by: Person,
    },
    /// It is over.
    Ended {
        /// Which run.
        run: u32,
        /// How.
        outcome: Outcome,
    },
    /// Its time came and nothing was started.
    Missed {
        /// Which runbook.
        runbook: RunbookName,
        /// The first time that was missed.
        due: Timestamp,
        /// Its times count from here.
        until: Timestamp,
        /// Why.
        why: String,
    },
    /// The clock went back by more than a little: its times count from here again.
    Counted {
        /// Which runbook.
        runbook: RunbookName,
        /// From when.
        from: Timestamp,
    },
}

/// A run as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Its number in the pipeline, from 1.
    pub run: u32,
    /// What is to be run.
    pub runbook: Runbook,
    /// The commit whose tree its commands start in.
    pub commit: CommitSha,
    /// Its inputs, defaults filled in.
    pub inputs: BTreeMap<String, String>,
    /// The environments of its stages, or the locks that these share, which are its own while it runs.
    pub environments: BTreeSet<EnvironmentName>,
    /// Who asked; nobody when its time came.
    pub by: Option<Person>,
    /// The time that came, if that was it.
    pub due: Option<Timestamp>,
    /// Where it was asked for.
    pub place: Option<Place>,
    /// The host's time of the comment, or the time it was asked.
    pub at: Timestamp,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All commands passed.
    Passed {
        /// In so many milliseconds.
        took_ms: u64,
    },
    /// One said no.
    Failed(Failure),
    /// They took too long.
    TimedOut(Failure),
    /// Somebody stopped it, or it never started.
    Cancelled {
        /// Who.
        by: Option<Person>,
    },
    /// Somebody said no.
    Rejected {
        /// Who.
        by: Person,
        /// Why.
        reason: String,
    },
    /// Nobody agreed in time.
    Expired,
    /// It could not be done, or nobody knows how far it came.
    Errored(String),
}

impl Outcome {
    /// A word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Passed { .. } => "passed",
            Self::Failed(_) => "failed",
            Self::TimedOut(_) => "timed out",
            Self::Cancelled { .. } => "cancelled",
            Self::Rejected { .. } => "rejected",
            Self::Expired => "expired",
            Self::Errored(_) => "errored",
        }
    }

    /// Whether it began and did not end well.
    pub fn is_bad(&self) -> bool {
        match self {
            Self::Failed(_) | Self::TimedOut(_) | Self::Errored(_) => true,
            Self::Passed { .. } | Self::Cancelled { .. } | Self::Rejected { .. } | Self::Expired => false,
        }
    }
}
impl Fact {
    /// The kind, as the log's column spells it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Asked(_) => "runbook_asked",
            Self::Approved { .. } => "runbook_approved",
            Self::Withdrawn { .. } => "runbook_approval_withdrawn",
            Self::PutBack { .. } => "runbook_put_back",
            Self::Started { .. } => "runbook_started",
            Self::Stopping { .. } => "runbook_stopping",
            Self::Ended { .. } => "runbook_ended",
            Self::Missed { .. } => "runbook_missed",
            Self::Counted { .. } => "runbook_counted",
        }
    }
}
