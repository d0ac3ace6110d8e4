//! The comment grammar and the one table of verbs (COMMANDS §1): what a person may ask for, and how it is written.
//!
//! [`parse`](parse::parse) turns a comment into commands, a refusal or nothing.
//! `/help`, the manual and the parser all follow [`VERBS`]; the tests hold them together.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use crate::domain::event::Overridable;
use crate::domain::markdown;
use crate::domain::name::{NameError, PipelineName, ReleaseNo, StageName, TeamWord, printable};
use crate::domain::window::Day;

mod hint;
pub mod parse;
pub mod prefix;

/// One row of the table of verbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerbRow {
    /// The verb.
    pub verb: Verb,
    /// The word behind the slash.
    pub word: &'static str,
    /// How it is written: `<…>` is needed, `[…]` may be left out.
    pub usage: &'static str,
    /// Who may, when the manifest does not say otherwise.
    pub who: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// Which way it moves its stage.
    pub moves: Move,
}

/// Which way a verb moves a release in a stage; one comment moves a stage one way only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Towards running there.
    On,
    /// Away from running there.
    Back,
    /// Not at all.
    Look,
}

/// Declares the verbs and their table from one list.
macro_rules! verbs {
    ($($verb:ident $word:literal $moves:ident $usage:literal, $who:literal, $meaning:literal;)*) => {
        /// What a command does; one row of [`VERBS`] each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Verb {
            $(#[doc = $meaning] $verb,)*
        }

        /// Every verb, in the order in which `/help` lists them.
        pub const VERBS: &[VerbRow] = &[$(Verb::$verb.row(),)*];

        impl Verb {
            /// Its row in the table.
            pub const fn row(self) -> VerbRow {
                match self {
                    $(Self::$verb => VerbRow {
                        verb: self,
                        word: $word,
                        usage: $usage,
                        who: $who,
                        meaning: $meaning,
                        moves: Move::$moves,
                    },)*
                }
            }
        }
    };
}

verbs! {
    Approve "approve" On "/approve <stage> [release] [-- note]",
        "the stage's approvers", "add my approval";
    Signoff "signoff" On "/signoff <team> [stage] [release] [-- note]",
        "members of the team", "say yes for one team that the stage asks for";
    Revoke "revoke" Back "/revoke <stage> [release]",
        "who approved", "take my approval back while it is pending";
    Reject "reject" Back "/reject <stage> [release] -- reason",
        "the stage's approvers", "close the gate for this release";
    Resume "resume" On "/resume <stage> [release] [-- note]",
        "the stage's approvers", "let a stage go on that stopped to ask";
    Hold "hold" Back "/hold [stage] -- reason",
        "write", "let nothing new start there, or anywhere";
    Unhold "unhold" On "/unhold [stage]",
        "who holds, or maintain", "lift a hold";
    Freeze "freeze" Back "/freeze <stage|*> [until=DATE] -- reason",
        "maintain", "let nothing but rollbacks start there, or anywhere, until that day begins or it is lifted";
    Unfreeze "unfreeze" On "/unfreeze <stage|*>",
        "maintain", "lift a freeze";
    Promote "promote" On "/promote <stage> [release]",
        "write; the stage's rules still apply", "start a stage that waits to be started";
    Retry "retry" On "/retry <stage> [release] [verify]",
        "write", "run the same artifact there again, or only its verification";
    Cancel "cancel" Back "/cancel <stage> [release]",
        "write", "stop what runs or waits there";
    Rollback "rollback" Back "/rollback <stage> [release] -- reason",
        "the stage's approvers", "promote an older release that succeeded there";
    Override "override" On "/override <stage> <check> [release] -- reason",
        "admin, or whom the stage names", "pass one thing that stands in the way, once and on the record";
    Run "run" On "/run <runbook> [key=value…]",
        "the runbook's `from`", "start a runbook";
    Start "start" On "/start <pipeline> [key=value…]",
        "write", "make a release of the head of the branch, as the pipeline's button does";
    Preview "preview" Look "/preview <stage> [release]",
        "read; write on a public repository", "show what would ship and what is missing";
    Why "why" Look "/why <stage>",
        "read", "say what it waits for and who can change that";
    Status "status" Look "/status [stage]",
        "read", "show where the releases are";
    Recheck "recheck" Look "/recheck",
        "read; write on a public repository", "read the host again and rebuild what it shows";
    Help "help" Look "/help",
        "read", "list the commands, the stages and their rules";
}

impl Verb {
    /// The word behind the slash.
    pub const fn word(self) -> &'static str {
        self.row().word
    }

    /// The verb that is written so, in small or capital letters.
    pub fn of_word(word: &str) -> Option<Self> {
        VERBS.iter().find(|row| row.word.eq_ignore_ascii_case(word)).map(|row| row.verb)
    }

    /// True when the line must say why.
    pub fn needs_reason(self) -> bool {
        self.row().usage.ends_with(" -- reason")
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A stage as a command names it: `prod`, or `web/prod` where several pipelines have one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StageRef {
    /// The pipeline, when the line names it.
    pub pipeline: Option<PipelineName>,
    /// The stage.
    pub stage: StageName,
}

impl StageRef {
    /// True unless the two certainly name different stages.
    pub fn may_be(&self, other: &Self) -> bool {
        let other_pipeline = matches!((&self.pipeline, &other.pipeline), (Some(a), Some(b)) if a != b);
        self.stage == other.stage && !other_pipeline
    }
}

impl FromStr for StageRef {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (pipeline, stage) = match text.rsplit_once('/') {
            Some((pipeline, stage)) => (Some(pipeline.parse()?), stage),
            None => (None, text),
        };
        Ok(Self { pipeline, stage: stage.to_ascii_lowercase().parse()? })
    }
}

impl fmt::Display for StageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pipeline {
            Some(pipeline) => write!(f, "{pipeline}/{}", self.stage),
            None => self.stage.fmt(f),
        }
    }
}

/// A release as a command names it; looked up among known releases, never given to git (THREATS T21).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReleaseRef {
    /// A version or tag with a digit in it, as written.
    Version(String),
    /// 7 to 64 small hex digits: the start of a commit id, or a version that happens to be only such digits
    /// (`20260308`).
    Commit(String),
    /// 12 to 64 small hex digits: the start of an artifact's SHA-256.
    Digest(String),
}

/// Longest version or tag that names a release.
const VERSION_BYTES: usize = 64;
/// Fewest digits of a commit that a person can mean one commit by.
const COMMIT_DIGITS: std::ops::RangeInclusive<usize> = 7..=64;
/// Fewest digits of a digest, as replies show them (SEMANTICS §3).
const DIGEST_DIGITS: std::ops::RangeInclusive<usize> = 12..=64;

impl FromStr for ReleaseRef {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let lower = text.to_ascii_lowercase();
        let hex = |t: &str| t.bytes().all(|b| b.is_ascii_hexdigit());
        let bad = || NameError {
            kind: "release",
            rule: "it is a version with a digit in it, 7 to 64 digits of a commit, or `sha256:` and at least 12 digits",
            text: printable(text),
        };
        if let Some(digits) = lower.strip_prefix("sha256:") {
            let good = DIGEST_DIGITS.contains(&digits.len()) && hex(digits);
            return if good { Ok(Self::Digest(digits.to_owned())) } else { Err(bad()) };
        }
        if COMMIT_DIGITS.contains(&lower.len()) && hex(&lower) {
            return Ok(Self::Commit(lower));
        }
        let version = text.len() <= VERSION_BYTES
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b))
            && text.bytes().any(|b| b.is_ascii_digit());
        if version { Ok(Self::Version(text.to_owned())) } else { Err(bad()) }
    }
}

impl fmt::Display for ReleaseRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(text) | Self::Commit(text) => f.write_str(text),
            Self::Digest(digits) => write!(f, "sha256:{digits}"),
        }
    }
}

/// Why somebody did something: one visible line of 1 to [`Reason::LONGEST`] characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason(String);

impl Reason {
    /// Most characters that are kept; a longer text belongs into the thread.
    pub const LONGEST: usize = 500;

    /// Takes the visible part of a text; `None` when nothing of it is visible or it is too long.
    pub fn of(text: &str) -> Option<Self> {
        let line = markdown::one_line(text);
        let fits = !line.is_empty() && line.chars().nth(Self::LONGEST).is_none();
        fits.then_some(Self(line))
    }

    /// The text. It is a stranger's: print it through [`crate::domain::markdown`].
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The part of a stage that `/retry` repeats when not all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The checks after the deployment; nothing is deployed.
    Verify,
}

/// One run out of those that `/cancel` could mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exactly {
    /// The release.
    pub release: ReleaseNo,
    /// Which attempt.
    pub attempt: u32,
    /// Whether it is stopped although it has begun.
    pub force: bool,
}

/// What a person asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the arguments in the verb's row of `VERBS`")]
pub enum Ask {
    /// `/approve`
    Approve { stage: StageRef, release: Option<ReleaseRef>, note: Option<Reason> },
    /// `/signoff`; no stage is the one that waits for the team.
    Signoff { team: TeamWord, stage: Option<StageRef>, release: Option<ReleaseRef>, note: Option<Reason> },
    /// `/revoke`
    Revoke { stage: StageRef, release: Option<ReleaseRef> },
    /// `/reject`
    Reject { stage: StageRef, release: Option<ReleaseRef>, reason: Reason },
    /// `/resume`
    Resume { stage: StageRef, release: Option<ReleaseRef>, note: Option<Reason> },
    /// `/hold`; no stage (or `*`) is every stage.
    Hold { stage: Option<StageRef>, reason: Reason },
    /// `/unhold`; no stage (or `*`) is the hold on every stage.
    Unhold { stage: Option<StageRef> },
    /// `/freeze`; no stage (written `*`) is every stage.
    Freeze { stage: Option<StageRef>, until: Option<Day>, reason: Reason },
    /// `/unfreeze`; no stage (written `*`) is the freeze of every stage.
    Unfreeze { stage: Option<StageRef> },
    /// `/promote`
    Promote { stage: StageRef, release: Option<ReleaseRef> },
    /// `/retry`
    Retry { stage: StageRef, release: Option<ReleaseRef>, part: Option<Part> },
    /// `/cancel`; exactly one run only when it is taken from the queue, which no comment says.
    Cancel { stage: StageRef, release: Option<ReleaseRef>, exactly: Option<Exactly> },
    /// `/rollback`
    Rollback { stage: StageRef, release: Option<ReleaseRef>, reason: Reason },
    /// `/override`
    Override { stage: StageRef, check: Overridable, release: Option<ReleaseRef>, reason: Reason },
    /// `/run`; the stage stands for the runbook's name, which is written alike.
    Run { runbook: StageRef, inputs: BTreeMap<String, String> },
    /// `/start`
    Start { pipeline: PipelineName, inputs: BTreeMap<String, String> },
    /// `/preview`
    Preview { stage: StageRef, release: Option<ReleaseRef> },
    /// `/why`
    Why { stage: StageRef },
    /// `/status`; no stage is all of them.
    Status { stage: Option<StageRef> },
    /// `/recheck`
    Recheck,
    /// `/help`
    Help,
}

impl Ask {
    /// Its verb.
    pub const fn verb(&self) -> Verb {
        match self {
            Self::Approve { .. } => Verb::Approve,
            Self::Signoff { .. } => Verb::Signoff,
            Self::Revoke { .. } => Verb::Revoke,
            Self::Reject { .. } => Verb::Reject,
            Self::Resume { .. } => Verb::Resume,
            Self::Hold { .. } => Verb::Hold,
            Self::Unhold { .. } => Verb::Unhold,
            Self::Freeze { .. } => Verb::Freeze,
            Self::Unfreeze { .. } => Verb::Unfreeze,
            Self::Promote { .. } => Verb::Promote,
            Self::Retry { .. } => Verb::Retry,
            Self::Cancel { .. } => Verb::Cancel,
            Self::Rollback { .. } => Verb::Rollback,
            Self::Override { .. } => Verb::Override,
            Self::Run { .. } => Verb::Run,
            Self::Start { .. } => Verb::Start,
            Self::Preview { .. } => Verb::Preview,
            Self::Why { .. } => Verb::Why,
            Self::Status { .. } => Verb::Status,
            Self::Recheck => Verb::Recheck,
            Self::Help => Verb::Help,
        }
    }

    /// The stage it names, if it names one.
    pub const fn stage(&self) -> Option<&StageRef> {
        match self {
            Self::Approve { stage, .. }
            | Self::Revoke { stage, .. }
            | Self::Reject { stage, .. }
            | Self::Resume { stage, .. }
            | Self::Promote { stage, .. }
            | Self::Retry { stage, .. }
            | Self::Cancel { stage, .. }
            | Self::Rollback { stage, .. }
            | Self::Override { stage, .. }
            | Self::Run { runbook: stage, .. }
            | Self::Preview { stage, .. }
            | Self::Why { stage } => Some(stage),
            Self::Signoff { stage, .. }
            | Self::Hold { stage, .. }
            | Self::Unhold { stage }
            | Self::Freeze { stage, .. }
            | Self::Unfreeze { stage }
            | Self::Status { stage } => stage.as_ref(),
            Self::Start { .. } | Self::Recheck | Self::Help => None,
        }
    }

    /// The release it names, if it names one.
    pub const fn release(&self) -> Option<&ReleaseRef> {
        match self {
            Self::Approve { release, .. }
            | Self::Signoff { release, .. }
            | Self::Revoke { release, .. }
            | Self::Reject { release, .. }
            | Self::Resume { release, .. }
            | Self::Promote { release, .. }
            | Self::Retry { release, .. }
            | Self::Cancel { release, .. }
            | Self::Rollback { release, .. }
            | Self::Override { release, .. }
            | Self::Preview { release, .. } => release.as_ref(),
            Self::Hold { .. }
            | Self::Unhold { .. }
            | Self::Freeze { .. }
            | Self::Unfreeze { .. }
            | Self::Run { .. }
            | Self::Start { .. }
            | Self::Why { .. }
            | Self::Status { .. }
            | Self::Recheck
            | Self::Help => None,
        }
    }

    /// What was written behind ` -- `, where the verb keeps it.
    pub const fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Approve { note, .. } | Self::Signoff { note, .. } | Self::Resume { note, .. } => {
                note.as_ref()
            }
            Self::Reject { reason, .. }
            | Self::Hold { reason, .. }
            | Self::Freeze { reason, .. }
            | Self::Rollback { reason, .. }
            | Self::Override { reason, .. } => Some(reason),
            Self::Revoke { .. }
            | Self::Unhold { .. }
            | Self::Unfreeze { .. }
            | Self::Promote { .. }
            | Self::Retry { .. }
            | Self::Cancel { .. }
            | Self::Run { .. }
            | Self::Start { .. }
            | Self::Preview { .. }
            | Self::Why { .. }
            | Self::Status { .. }
            | Self::Recheck
            | Self::Help => None,
        }
    }

    /// The command without its reason: plain ASCII, safe to repeat within back ticks.
    pub fn head(&self) -> String {
        let mut line = format!("/{}", self.verb());
        if let Self::Signoff { team, .. } = self {
            line.push(' ');
            line.push_str(team.as_str());
        }
        if let Some(stage) = self.stage() {
            line.push(' ');
            line.push_str(&stage.to_string());
        }
        if let Self::Override { check, .. } = self {
            line.push(' ');
            line.push_str(check.word());
        }
        if let Some(release) = self.release() {
            line.push(' ');
            line.push_str(&release.to_string());
        }
        if let Self::Freeze { stage: None, .. } | Self::Unfreeze { stage: None } = self {
            line.push_str(" *");
        }
        if let Self::Freeze { until: Some(day), .. } = self {
            line.push_str(" until=");
            line.push_str(&day.to_string());
        }
        if let Self::Start { pipeline, .. } = self {
            line.push(' ');
            line.push_str(pipeline.as_str());
        }
        if let Self::Run { inputs, .. } | Self::Start { inputs, .. } = self {
            for (name, value) in inputs {
                write!(line, " {name}={value}").unwrap_or_default();
            }
        }
        if let Self::Retry { part: Some(Part::Verify), .. } = self {
            line.push_str(" verify");
        }
        line
    }

    /// The command to write in an answer: the head, and the word `reason` where one is needed.
    pub fn example(&self) -> String {
        let head = self.head();
        if self.verb().needs_reason() { format!("{head} -- reason") } else { head }
    }

    /// The whole command as a person would write it; it parses to the same.
    pub fn line(&self) -> String {
        let head = self.head();
        match self.reason() {
            Some(reason) => format!("{head} -- {reason}"),
            None => head,
        }
    }

    /// True when the two cannot both be meant: they move one stage both ways, or the same way to different ends.
    fn contradicts(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.verb().row().moves, other.verb().row().moves);
        let same_stage = match (self.stage(), other.stage()) {
            (Some(a), Some(b)) => a.may_be(b),
            // A hold without a stage is on every stage.
            (None, _) | (_, None) => true,
        };
        let looks = mine == Move::Look || theirs == Move::Look;
        let same_verb = self.verb() == other.verb();
        // One person may override several checks, and sign off for several teams.
        let several = matches!(self.verb(), Verb::Override | Verb::Signoff);
        !looks && same_stage && (mine != theirs || (same_verb && !several))
    }
}

#[cfg(test)]
mod tests;
