//! Runbooks: operational tasks beside deployments (a clean-up, a migration), and what became of each run of one.
//!
//! A run is of the protected branch's head as it was when somebody asked, or its time came; what it runs and with
//! which inputs is frozen then. A runbook has one open run at a time, so that its name says which is meant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::approval::{NotCounted, approvers, missing};
use crate::domain::effect::Place;
use crate::domain::event::{Approval, Failure, Withdrawal};
use crate::domain::name::{CommitSha, Digest, RunbookName, StageName, UserId, printable};
use crate::domain::person::{Account, Person, Standing};
use crate::domain::pipeline::{ApprovalRule, Exclusion, Step, Who};
use crate::domain::schedule::Schedule;
use crate::domain::time::{Span, Timestamp};

/// Longest value of an input.
const VALUE_BYTES: usize = 200;

/// Runs of a pipeline that are kept at hand once they are over; the log keeps all.
const KEPT: usize = 100;

/// Missed times that are kept at hand.
const MISSED: usize = 20;

/// What a manifest declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runbook {
    /// Its name in commands.
    pub name: RunbookName,
    /// Its commands, in the source tree.
    pub steps: Vec<Step>,
    /// When it starts by itself.
    pub schedule: Option<Schedule>,
    /// Who may start it, at least one.
    pub from: Vec<Who>,
    /// Who must agree before it runs.
    pub approval: Option<ApprovalRule>,
    /// What may be given to it, by name.
    pub inputs: BTreeMap<String, Input>,
    /// The stages it works on: nothing is deployed there while it runs, and their holds stop it, too.
    pub stages: Vec<StageName>,
    /// Variables for every command.
    pub environment_variables: BTreeMap<String, String>,
    /// Names of the server's secrets.
    pub secrets: BTreeSet<String>,
    /// How long all commands together may take.
    pub timeout: Span,
}

/// Something that may be given to a runbook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Whether it must be given.
    pub required: bool,
    /// What it is when it is not given.
    pub default: Option<String>,
    /// The only values it may have; anything that [`is_value`] when empty.
    pub choices: Vec<String>,
}

/// Whether a text may be an input's value: no blank, nothing a shell reads as more than a word, and no option of a
/// program, because it is a stranger's (THREATS T20).
pub fn is_value(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:/@+,=-".contains(&b);
    text.len() <= VALUE_BYTES && !text.starts_with('-') && text.bytes().all(plain)
}

/// Whether a text may be an input's name: small letters, digits and `-`.
pub fn is_input(text: &str) -> bool {
    text.parse::<RunbookName>().is_ok()
}

/// The variable that an input is given in: `older-than` is `INPUT_OLDER_THAN`, which is no variable of anybody else.
pub fn variable(input: &str) -> String {
    format!("INPUT_{}", input.to_ascii_uppercase().replace('-', "_"))
}

impl Runbook {
    /// Everybody who may start it or agree.
    pub fn people(&self) -> Vec<Who> {
        self.from.iter().cloned().chain(self.approval.iter().flat_map(approvers)).collect()
    }

    /// The inputs of a run with their defaults, or why they will not do.
    pub fn take(&self, given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
        let known = || {
            let all: Vec<String> = self.inputs.keys().map(|name| format!("`{name}`")).collect();
            if all.is_empty() {
                "it takes no inputs".to_owned()
            } else {
                format!("it takes {}", all.join(", "))
            }
        };
        if let Some(stranger) = given.keys().find(|name| !self.inputs.contains_key(*name)) {
            return Err(format!("{} has no input `{}`: {}", self.name, printable(stranger), known()));
        }
        let mut taken = BTreeMap::new();
        for (name, input) in &self.inputs {
            let value = given.get(name).or(input.default.as_ref());
            let Some(value) = value else {
                if input.required {
                    return Err(format!("{} needs `{name}=…`: {}", self.name, input.expected()));
                }
                continue;
            };
            let fits = if input.choices.is_empty() { is_value(value) } else { input.choices.contains(value) };
            if !fits {
                return Err(format!("`{name}` is not `{}`: {}", printable(value), input.expected()));
            }
            taken.insert(name.clone(), value.clone());
        }
        Ok(taken)
    }
}

impl Input {
    /// What it may be, as a sentence fragment.
    fn expected(&self) -> String {
        if self.choices.is_empty() {
            "a word of letters, digits and `._:/@+,=-`".to_owned()
        } else {
            let all: Vec<String> = self.choices.iter().map(|c| format!("`{c}`")).collect();
            format!("one of {}", all.join(", "))
        }
    }
}

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
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It waits: for people, for its stages, for a worker.
    Waiting,
    /// A worker has it, under this number.
    Running(u64),
    /// It was asked to stop.
    Stopping(u64, Person),
    /// It is over.
    Over(Outcome),
}

/// One run of a runbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What was asked for.
    pub asked: Arc<Asked>,
    /// Of what was asked for: commands, inputs and commit. Approvals are bound to it.
    pub digest: Digest,
    /// When the engine took it.
    pub since: Timestamp,
    /// Who agreed.
    pub approvals: Vec<Approval>,
    /// How far it is.
    pub progress: Progress,
    /// When it last moved.
    pub moved_at: Timestamp,
    /// The pipeline's version when it last changed.
    pub touched: u64,
}

impl Run {
    /// Its number.
    pub fn no(&self) -> u32 {
        self.asked.run
    }

    /// What it runs.
    pub fn runbook(&self) -> &Runbook {
        &self.asked.runbook
    }

    /// Whether something may still happen to it.
    pub fn is_open(&self) -> bool {
        !matches!(self.progress, Progress::Over(_))
    }

    /// The number under which its commands run.
    pub fn fence(&self) -> Option<u64> {
        match self.progress {
            Progress::Running(fence) | Progress::Stopping(fence, _) => Some(fence),
            Progress::Waiting | Progress::Over(_) => None,
        }
    }

    /// Whether this person's word counts, and why not.
    pub fn entitled(&self, standing: &Standing) -> Result<(), NotCounted> {
        let Some(rule) = &self.runbook().approval else { return Ok(()) };
        counts(&approvers(rule), standing)?;
        let started = self.asked.by.as_ref().is_some_and(|by| by.id == standing.person.id);
        let excluded = started && rule.exclude.contains(&Exclusion::Initiator);
        if excluded { Err(NotCounted::Excluded(Exclusion::Initiator)) } else { Ok(()) }
    }

    /// Who or what is still missing before it may run, as `1 of maintain`.
    pub fn missing(&self, now: Timestamp) -> Vec<String> {
        let Some(rule) = &self.runbook().approval else { return Vec::new() };
        let counted = self.approvals.iter().filter(|a| {
            a.digest == self.digest && a.at.plus(rule.valid_for) > now && self.entitled(&a.standing).is_ok()
        });
        missing(rule, counted)
    }

    /// When the wait for people ends.
    pub fn expires(&self) -> Option<Timestamp> {
        let waits = self.progress == Progress::Waiting;
        self.runbook().approval.as_ref().filter(|_| waits).map(|rule| self.since.plus(rule.timeout))
    }
}

/// Whether somebody is among these; bots only by name.
pub fn counts(who: &[Who], standing: &Standing) -> Result<(), NotCounted> {
    if standing.kind == Account::Bot && !who.iter().any(|who| standing.is_named_by(who)) {
        return Err(NotCounted::Bot);
    }
    if who.iter().any(|who| standing.is(who)) { Ok(()) } else { Err(NotCounted::NotInRule) }
}

/// When the times of a runbook were last looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    /// Its times, as they were then.
    pub schedule: Schedule,
    /// Times after this one have not been looked at.
    pub since: Timestamp,
}

/// A time that came and started nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// Which runbook.
    pub runbook: RunbookName,
    /// The time.
    pub due: Timestamp,
    /// Why.
    pub why: String,
}

/// Every run, and every clock that starts one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs {
    /// By number; the oldest that are over are left out.
    pub all: BTreeMap<u32, Arc<Run>>,
    /// By runbook.
    pub timers: BTreeMap<RunbookName, Timer>,
    /// Newest last.
    pub missed: Vec<Missed>,
    last: u32,
}

impl Runs {
    /// The number the next run gets.
    pub fn next(&self) -> Option<u32> {
        self.last.checked_add(1)
    }

    /// Runs something may still happen to, oldest first.
    pub fn open(&self) -> impl Iterator<Item = &Arc<Run>> {
        self.all.values().filter(|run| run.is_open())
    }

    /// The open run of a runbook.
    pub fn open_of(&self, name: &RunbookName) -> Option<&Arc<Run>> {
        self.open().find(|run| run.runbook().name == *name)
    }

    /// The run whose commands work on one of these stages now.
    pub fn on(&self, stage: &StageName) -> Option<&Arc<Run>> {
        self.all.values().find(|run| run.fence().is_some() && run.runbook().stages.contains(stage))
    }

    /// What the protected branch's head declares: new times, and changed ones, count from now.
    pub fn declare(&mut self, runbooks: &[Runbook], at: Timestamp) {
        let declared = |name: &RunbookName| runbooks.iter().any(|r| r.name == *name && r.schedule.is_some());
        self.timers.retain(|name, _| declared(name));
        for runbook in runbooks {
            let Some(schedule) = &runbook.schedule else { continue };
            let known = self.timers.get(&runbook.name).is_some_and(|timer| timer.schedule == *schedule);
            if !known {
                self.timers.insert(runbook.name.clone(), Timer { schedule: schedule.clone(), since: at });
            }
        }
    }

    /// Adds one fact; the error says why it cannot follow.
    pub fn apply(&mut self, fact: &Fact, at: Timestamp, version: u64) -> Result<(), String> {
        match fact {
            Fact::Asked(asked) => self.ask(asked, at, version),
            Fact::Approved { run, approval } => self.with(*run, version, |run| {
                run.approvals.retain(|a| a.standing.person.id != approval.standing.person.id);
                run.approvals.push(Approval::clone(approval));
            }),
            Fact::Withdrawn { run, person, .. } => {
                self.with(*run, version, |run| run.approvals.retain(|a| a.standing.person.id != *person))
            }
            Fact::Started { run, fence } => self.move_to(*run, Progress::Running(*fence), at, version),
            Fact::Stopping { run, by } => {
                let fence = self.all.get(run).and_then(|run| run.fence()).unwrap_or(0);
                self.move_to(*run, Progress::Stopping(fence, by.clone()), at, version)
            }
            Fact::Ended { run, outcome } => {
                self.move_to(*run, Progress::Over(outcome.clone()), at, version)?;
                self.forget();
                Ok(())
            }
            Fact::Missed { runbook, due, until, why } => {
                self.count_from(runbook, *until);
                let missed = Missed { runbook: runbook.clone(), due: *due, why: why.clone() };
                self.missed.push(missed);
                let more = self.missed.len().saturating_sub(MISSED);
                self.missed.drain(..more);
                Ok(())
            }
            Fact::Counted { runbook, from } => {
                self.count_from(runbook, *from);
                Ok(())
            }
        }
    }

    fn ask(&mut self, asked: &Asked, at: Timestamp, version: u64) -> Result<(), String> {
        let name = &asked.runbook.name;
        if asked.run <= self.last || self.open_of(name).is_some() {
            return Err(format!("run {} of {name} before the last one ended", asked.run));
        }
        self.last = asked.run;
        if let Some(due) = asked.due {
            self.count_from(name, due);
        }
        let run = Run {
            digest: digest(asked),
            asked: Arc::new(asked.clone()),
            since: at,
            approvals: Vec::new(),
            progress: Progress::Waiting,
            moved_at: at,
            touched: version,
        };
        self.all.insert(asked.run, Arc::new(run));
        Ok(())
    }

    fn count_from(&mut self, runbook: &RunbookName, since: Timestamp) {
        if let Some(timer) = self.timers.get_mut(runbook) {
            timer.since = since;
        }
    }

    fn move_to(&mut self, run: u32, to: Progress, at: Timestamp, version: u64) -> Result<(), String> {
        let from = self.all.get(&run).map(|run| run.progress.clone());
        let legal = match (&from, &to) {
            (Some(Progress::Waiting), Progress::Running(_) | Progress::Over(_))
            | (Some(Progress::Running(_)), Progress::Stopping(..) | Progress::Over(_))
            | (Some(Progress::Stopping(..)), Progress::Over(_)) => true,
            (Some(_) | None, _) => false,
        };
        if !legal {
            return Err(format!("run {run} cannot go from {from:?} to {to:?}"));
        }
        self.with(run, version, |run| {
            run.progress = to;
            run.moved_at = at;
        })
    }

    fn with(&mut self, no: u32, version: u64, change: impl FnOnce(&mut Run)) -> Result<(), String> {
        let run = self.all.get_mut(&no).ok_or_else(|| format!("there is no run {no} of a runbook"))?;
        let run = Arc::make_mut(run);
        run.touched = version;
        change(run);
        Ok(())
    }

    fn forget(&mut self) {
        let over: Vec<u32> = self.all.values().filter(|run| !run.is_open()).map(|run| run.no()).collect();
        for no in over.iter().take(over.len().saturating_sub(KEPT)) {
            self.all.remove(no);
        }
    }
}

/// What approvals of a run are bound to.
fn digest(asked: &Asked) -> Digest {
    let text = serde_json::json!([asked.run, asked.runbook, asked.commit, asked.inputs]);
    Digest::of_text(&text.to_string())
}

impl Fact {
    /// The kind, as the log's column spells it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Asked(_) => "runbook_asked",
            Self::Approved { .. } => "runbook_approved",
            Self::Withdrawn { .. } => "runbook_approval_withdrawn",
            Self::Started { .. } => "runbook_started",
            Self::Stopping { .. } => "runbook_stopping",
            Self::Ended { .. } => "runbook_ended",
            Self::Missed { .. } => "runbook_missed",
            Self::Counted { .. } => "runbook_counted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(inputs: &[(&str, Input)]) -> Runbook {
        Runbook {
            name: "clean-images".parse().unwrap(),
            steps: Vec::new(),
            schedule: None,
            from: Vec::new(),
            approval: None,
            inputs: inputs.iter().map(|(name, input)| ((*name).to_owned(), input.clone())).collect(),
            stages: Vec::new(),
            environment_variables: BTreeMap::new(),
            secrets: BTreeSet::new(),
            timeout: Span::hours(1),
        }
    }

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn e16_inputs_are_checked_and_defaults_filled_in() {
        let days = Input { default: Some("7".to_owned()), ..Input::default() };
        let dry =
            Input { choices: vec!["yes".to_owned(), "no".to_owned()], required: true, ..Input::default() };
        let book = book(&[("days", days), ("dry-run", dry), ("note", Input::default())]);
        let taken = book.take(&given(&[("dry-run", "no")])).unwrap();
        assert_eq!(taken, given(&[("days", "7"), ("dry-run", "no")]));
        for (pairs, why) in [
            (given(&[]), "clean-images needs `dry-run=…`: one of `yes`, `no`"),
            (given(&[("dry-run", "maybe")]), "`dry-run` is not `maybe`: one of `yes`, `no`"),
            (
                given(&[("dry-run", "no"), ("PATH", "/x")]),
                "has no input `PATH`: it takes `days`, `dry-run`, `note`",
            ),
            (given(&[("dry-run", "no"), ("days", "-rf")]), "`days` is not `-rf`: a word of letters"),
        ] {
            let refused = book.take(&pairs).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
        assert_eq!(variable("dry-run"), "INPUT_DRY_RUN");
    }

    #[test]
    fn t20_a_value_is_one_word_to_every_shell_and_no_option() {
        for good in ["7", "westeurope", "v1.4.2", "a/b:c@d", "", "x=y"] {
            assert!(is_value(good), "{good}");
        }
        let long = "x".repeat(VALUE_BYTES + 1);
        for bad in [
            "-x",
            "--help",
            "$(id)",
            ";id",
            "&&",
            "|",
            "`id`",
            "{curl,-sS,x}",
            "$TOKEN",
            "a&&id",
            "'a",
            "a b",
            "a\nb",
            "*",
            "?",
            "~root",
            "a\\b",
            "<x",
            "\u{202e}x",
            long.as_str(),
        ] {
            assert!(!is_value(bad), "{bad}");
        }
        for bad in ["PATH", "a_b", "", "a b", "-a", "1a"] {
            assert!(!is_input(bad), "{bad}");
        }
    }

    #[test]
    fn a_run_moves_one_way_and_old_ones_are_forgotten() {
        let at = Timestamp(0);
        let mut runs = Runs::default();
        let asked = |run: u32| {
            Fact::Asked(Box::new(Asked {
                run,
                runbook: book(&[]),
                commit: "a".repeat(40).parse().unwrap(),
                inputs: BTreeMap::new(),
                by: None,
                due: None,
                place: None,
                at,
            }))
        };
        let over = |run: u32| Fact::Ended { run, outcome: Outcome::Passed { took_ms: 1 } };
        runs.apply(&asked(1), at, 1).unwrap();
        assert!(runs.apply(&asked(2), at, 2).is_err(), "one open run at a time");
        runs.apply(&Fact::Started { run: 1, fence: 7 }, at, 2).unwrap();
        assert!(runs.apply(&Fact::Started { run: 1, fence: 8 }, at, 3).is_err());
        runs.apply(&over(1), at, 3).unwrap();
        assert!(runs.apply(&over(1), at, 4).is_err());
        for no in 2..=150 {
            runs.apply(&asked(no), at, 5).unwrap();
            runs.apply(&over(no), at, 6).unwrap();
        }
        assert_eq!((runs.all.len(), runs.next()), (KEPT, Some(151)));
    }
}
