//! The runs of a pipeline's runbooks, and the clocks that start them, as a fold of what happened.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::approval::{NotCounted, approvers, missing};
use crate::domain::event::Approval;
use crate::domain::name::{Digest, EnvironmentName, RunbookName};
use crate::domain::person::{Person, Standing};
use crate::domain::pipeline::Exclusion;
use crate::domain::runbook::fact::{Asked, Fact, Outcome};
use crate::domain::runbook::{Runbook, counts};
use crate::domain::schedule::Schedule;
use crate::domain::state::freeze::nine_of_ten;
use crate::domain::time::{Span, Timestamp};

/// Runs of a pipeline that are kept at hand once they are over; the log keeps all.
const KEPT: usize = 100;

/// Missed times that are kept at hand.
const MISSED: usize = 20;

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
    /// How often a worker put it back; what is owed next is another effect than what was.
    pub turn: u32,
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

    /// `clean-images run 3`
    pub fn title(&self) -> String {
        format!("{} run {}", self.runbook().name, self.no())
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

    /// Runs whose commands run now.
    pub fn at_work(&self) -> impl Iterator<Item = &Arc<Run>> {
        self.all.values().filter(|run| run.fence().is_some())
    }

    /// The run whose commands work on what has this lock now: that of an environment, or the environment itself.
    pub fn on(&self, environment: &EnvironmentName) -> Option<&Arc<Run>> {
        self.at_work().find(|run| run.asked.environments.contains(environment))
    }

    /// How long nine of ten runs of a runbook took that passed; nothing when none did yet.
    pub fn usual(&self, name: &RunbookName) -> Option<Span> {
        let mut took: Vec<u64> = self
            .all
            .values()
            .filter(|run| run.runbook().name == *name)
            .filter_map(|run| match run.progress {
                Progress::Over(Outcome::Passed { took_ms }) => Some(took_ms),
                Progress::Over(_) | Progress::Waiting | Progress::Running(_) | Progress::Stopping(..) => None,
            })
            .collect();
        nine_of_ten(&mut took)
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
            Fact::PutBack { run, .. } => {
                self.with(*run, version, |run| run.turn = run.turn.saturating_add(1))
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
            turn: 0,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::runbook::tests::book;

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
                environments: BTreeSet::new(),
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
