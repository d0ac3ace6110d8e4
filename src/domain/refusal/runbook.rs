//! Why a command about a runbook was not carried out.

use std::fmt;

use crate::domain::approval::NotCounted;
use crate::domain::command::Verb;
use crate::domain::effect::Reaction;
use crate::domain::markdown::{escape, inline_code};
use crate::domain::name::{RunbookName, printable};

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoRun {
    /// There is no such runbook.
    Unknown {
        /// What was written.
        wanted: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Others may do that.
    NotYours {
        /// The verb.
        verb: Verb,
        /// The runbook.
        runbook: RunbookName,
        /// Who asked.
        login: String,
        /// Why not.
        why: NotCounted,
        /// Who may.
        who: Vec<String>,
    },
    /// What was given to it will not do.
    BadInput {
        /// Why.
        why: String,
        /// A line that would do.
        line: String,
    },
    /// A run of it is not over yet.
    Open {
        /// The runbook.
        runbook: RunbookName,
        /// The run.
        run: u32,
    },
    /// It is not certain that the speaker has seen the run that is meant.
    Which {
        /// The verb.
        verb: Verb,
        /// The runbook.
        runbook: RunbookName,
        /// The run that is open.
        run: u32,
    },
    /// No run of it waits for that.
    None {
        /// The runbook.
        runbook: RunbookName,
    },
    /// The verb is about stages.
    ForStages {
        /// The verb.
        verb: Verb,
        /// The runbook.
        runbook: RunbookName,
    },
}

impl NoRun {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "no_runbook",
            Self::NotYours { why, .. } => why.code(),
            Self::BadInput { .. } => "bad_input",
            Self::Open { .. } => "runbook_open",
            Self::Which { .. } => "which_run",
            Self::None { .. } => "no_run",
            Self::ForStages { .. } => "not_for_runbooks",
        }
    }

    /// The reaction a comment gets for it.
    pub fn reaction(&self) -> Reaction {
        match self {
            Self::Unknown { .. } | Self::BadInput { .. } | Self::Which { .. } | Self::ForStages { .. } => {
                Reaction::Confused
            }
            Self::NotYours { .. } | Self::Open { .. } | Self::None { .. } => Reaction::ThumbsDown,
        }
    }
}

impl fmt::Display for NoRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { wanted, known } => {
                write!(f, "❓ **No runbook {}.**", inline_code(&printable(wanted)))?;
                if known.is_empty() { Ok(()) } else { write!(f, " Runbooks: {}.", known.join(", ")) }
            }
            Self::NotYours { verb, runbook, login, why, who } => {
                let line = inline_code(&format!("/{verb} {runbook}"));
                let who = escape(&who.join(" or "));
                write!(f, "🔒 **Not done: {}.** {line} is for {who}.", not(*why, login))
            }
            Self::BadInput { why, line } => {
                write!(f, "❓ **Not started: {why}.** Comment {}.", inline_code(line))
            }
            Self::Open { runbook, run } => write!(
                f,
                "⏳ **Run {run} of {runbook} is not over.** {} says what it waits for, {} stops it.",
                inline_code(&format!("/why {runbook}")),
                inline_code(&format!("/cancel {runbook}"))
            ),
            Self::Which { verb, runbook, run } => {
                let line = inline_code(&format!("/{verb} {runbook} {run}"));
                write!(f, "❓ **Which run?** Run {run} of {runbook} is open. Comment {line}.")
            }
            Self::None { runbook } => {
                let line = inline_code(&format!("/why {runbook}"));
                write!(f, "ℹ️ **No run of {runbook} waits for that.** {line} says more.")
            }
            Self::ForStages { verb, runbook } => {
                let line = inline_code(&format!("/run {runbook}"));
                write!(f, "❓ **{runbook} is a runbook, and `/{verb}` is about stages.** Comment {line}.")
            }
        }
    }
}

/// Why somebody's word does not do.
fn not(why: NotCounted, login: &str) -> String {
    match why {
        NotCounted::Excluded(_) => format!("{login} started this run, and somebody else must agree"),
        NotCounted::Bot => format!("{login} is an app, and is not named by its login"),
        NotCounted::Proposed
        | NotCounted::WroteBefore
        | NotCounted::PushedBefore
        | NotCounted::UnknownAuthor
        | NotCounted::UnknownPusher
        | NotCounted::TooManyAuthors
        | NotCounted::NotInRule
        | NotCounted::OtherDigest
        | NotCounted::Expired => format!("{login} may not"),
    }
}
