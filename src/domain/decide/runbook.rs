//! What is decided about runbooks: asking, agreeing, stopping, their times, and how their work begins and ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::approval::{NotCounted, approvers};
use crate::domain::command::{Ask, ReleaseRef, StageRef};
use crate::domain::decide::speak::{Told, needs};
use crate::domain::decide::work::LOST;
use crate::domain::decide::{Draft, Fresh, Spoken, StageEnd};
use crate::domain::effect::Place;
use crate::domain::event::{Approval, ApprovalSide, Event, Withdrawal};
use crate::domain::name::{CommentId, EnvironmentName, RunbookName};
use crate::domain::person::Person;
use crate::domain::pipeline::{Role, Who};
use crate::domain::policy;
use crate::domain::refusal::{NoRun, Refusal};
use crate::domain::runbook::fact::{Asked, Fact, Outcome};
use crate::domain::runbook::run::{Progress, Run, Timer};
use crate::domain::runbook::wait::waits;
use crate::domain::runbook::{Runbook, counts};
use crate::domain::schedule::GRACE;
use crate::domain::time::Timestamp;
use crate::domain::view;

/// Host times have this resolution; two things in the same second have no order (COMMANDS §4).
const HOST_CLOCK_MS: i64 = 1_000;

impl Draft {
    fn fact(&mut self, fact: Fact) -> Result<(), Refusal> {
        self.add(Event::Runbook(fact))
    }

    fn run_of_book(&self, no: u32) -> Result<Arc<Run>, Refusal> {
        self.state.runbooks.all.get(&no).cloned().ok_or(Refusal::Stale)
    }

    fn book(&self, name: &RunbookName) -> Result<Runbook, Refusal> {
        let pipeline = self.state.pipeline().ok_or(Refusal::NoPipeline)?;
        pipeline.runbook(name).cloned().ok_or_else(|| {
            Refusal::Runbook(NoRun::Unknown {
                wanted: name.to_string(),
                known: pipeline.runbooks.iter().map(|r| r.name.to_string()).collect(),
            })
        })
    }

    /// The runbook that a command about a stage means, when the pipeline has no stage of that name.
    pub(super) fn means_runbook(&self, ask: &Ask) -> Option<RunbookName> {
        let wanted = &ask.stage()?.stage;
        let pipeline = self.state.pipeline()?;
        let name: RunbookName = wanted.as_str().parse().ok()?;
        let known = pipeline.runbook(&name).is_some() || self.state.runbooks.open_of(&name).is_some();
        (pipeline.stage(wanted).is_none() && known).then_some(name)
    }

    /// `/run`: by one of its `from`, with inputs that fit, one run at a time.
    pub(super) fn run_book(
        &mut self,
        spoken: &Spoken,
        wanted: &StageRef,
        given: &BTreeMap<String, String>,
    ) -> Result<Told, Refusal> {
        let name: RunbookName = wanted.stage.as_str().parse().map_err(|_| Refusal::Stale)?;
        let book = self.book(&name)?;
        counts(&book.from, &spoken.standing).map_err(|why| not_yours(spoken, &name, why, &book.from))?;
        let inputs = book.take(given).map_err(|why| {
            let line = book.example();
            Refusal::Runbook(NoRun::BadInput { why, line })
        })?;
        if let Some(open) = self.state.runbooks.open_of(&name) {
            return Err(Refusal::Runbook(NoRun::Open { runbook: name, run: open.no() }));
        }
        let by = Some(spoken.standing.person.clone());
        let no = self.ask_for_run(book, inputs, (by, None), (spoken.place.clone(), spoken.at))?;
        let run = self.run_of_book(no)?;
        Ok(Told::text(view::runbook::asked(&self.state, &run, self.now)))
    }

    fn ask_for_run(
        &mut self,
        runbook: Runbook,
        inputs: BTreeMap<String, String>,
        (by, due): (Option<Person>, Option<Timestamp>),
        (place, at): (Option<Place>, Timestamp),
    ) -> Result<u32, Refusal> {
        let run = self.state.runbooks.next().ok_or(Refusal::Full)?;
        let head = self.state.head.as_ref().map(|(commit, _)| commit.clone());
        let newest = || self.state.releases.values().next_back().map(|r| r.created.commit.clone());
        let commit = head.or_else(newest).ok_or(Refusal::NoPipeline)?;
        let environments = self.environments(&runbook);
        let asked = Asked { run, runbook, commit, inputs, environments, by, due, place, at };
        self.fact(Fact::Asked(Box::new(asked)))?;
        Ok(run)
    }

    fn environments(&self, runbook: &Runbook) -> BTreeSet<EnvironmentName> {
        let pipeline = self.state.pipeline();
        let stages = runbook.stages.iter().filter_map(|name| pipeline.as_ref()?.stage(name));
        stages.map(|stage| stage.lock().clone()).collect()
    }

    /// Approve, revoke, reject, cancel, why: what may be said about an open run by its runbook's name.
    pub(super) fn speak_of_runbook(&mut self, spoken: &Spoken, name: &RunbookName) -> Result<Told, Refusal> {
        match &spoken.ask {
            Ask::Why { .. } | Ask::Status { .. } => {
                needs(spoken, None, Role::Read)?;
                Ok(Told::text(view::runbook::why(&self.state, name, self.now)))
            }
            Ask::Approve { release, note, .. } => {
                let run = self.waiting_run(spoken, name, release.as_ref())?;
                self.approve_run(spoken, &run, note.as_ref().map(ToString::to_string))
            }
            Ask::Reject { release, reason, .. } => {
                let run = self.waiting_run(spoken, name, release.as_ref())?;
                may_decide(spoken, &run)?;
                let by = spoken.standing.person.clone();
                let outcome = Outcome::Rejected { by, reason: reason.to_string() };
                self.fact(Fact::Ended { run: run.no(), outcome })?;
                Ok(Told::counted())
            }
            Ask::Revoke { .. } => self.revoke_of_run(spoken, name),
            Ask::Cancel { .. } => self.cancel_run(spoken, name),
            Ask::Resume { .. }
            | Ask::Hold { .. }
            | Ask::Unhold { .. }
            | Ask::Freeze { .. }
            | Ask::Unfreeze { .. }
            | Ask::Promote { .. }
            | Ask::Retry { .. }
            | Ask::Rollback { .. }
            | Ask::Override { .. }
            | Ask::Signoff { .. }
            | Ask::Preview { .. }
            | Ask::Run { .. }
            | Ask::Start { .. }
            | Ask::Recheck
            | Ask::Help => {
                Err(Refusal::Runbook(NoRun::ForStages { verb: spoken.ask.verb(), runbook: name.clone() }))
            }
        }
    }

    fn open_run(&self, name: &RunbookName) -> Result<Arc<Run>, Refusal> {
        self.state.runbooks.open_of(name).cloned().ok_or_else(|| none(name))
    }

    fn revoke_of_run(&mut self, spoken: &Spoken, name: &RunbookName) -> Result<Told, Refusal> {
        let run = self.open_run(name)?;
        let person = spoken.standing.person.id;
        if run.progress != Progress::Waiting || !run.approvals.iter().any(|a| a.standing.person.id == person)
        {
            return Err(none(name));
        }
        self.fact(Fact::Withdrawn { run: run.no(), person, why: Withdrawal::Revoked })?;
        Ok(Told::counted())
    }

    /// An approval is for a run that the speaker has seen: the one it names, or the one asked for in this thread in
    /// an earlier second (COMMANDS §4).
    fn waiting_run(
        &self,
        spoken: &Spoken,
        name: &RunbookName,
        wanted: Option<&ReleaseRef>,
    ) -> Result<Arc<Run>, Refusal> {
        let run = self.open_run(name)?;
        let seen = if let Some(wanted) = wanted {
            wanted.to_string() == run.no().to_string()
        } else {
            let before = run.asked.at.0 / HOST_CLOCK_MS < spoken.at.0 / HOST_CLOCK_MS;
            spoken.place.is_some() && spoken.place == run.asked.place && before
        };
        if !seen {
            let (verb, runbook) = (spoken.ask.verb(), name.clone());
            return Err(Refusal::Runbook(NoRun::Which { verb, runbook, run: run.no() }));
        }
        if run.progress == Progress::Waiting { Ok(run) } else { Err(none(name)) }
    }

    fn approve_run(&mut self, spoken: &Spoken, run: &Run, note: Option<String>) -> Result<Told, Refusal> {
        let name = &run.runbook().name;
        let Some(rule) = &run.runbook().approval else { return Err(none(name)) };
        run.entitled(&spoken.standing).map_err(|why| not_yours(spoken, name, why, &approvers(rule)))?;
        let approval = Approval {
            standing: spoken.standing.clone(),
            comment: spoken.comment.clone(),
            body: spoken.body.clone(),
            digest: run.digest.clone(),
            commit: run.asked.commit.clone(),
            version: None,
            manifest: None,
            policy: Some(policy::digest(rule)),
            side: ApprovalSide::Before,
            team: None,
            reused_from: None,
            note,
            at: spoken.at,
        };
        self.fact(Fact::Approved { run: run.no(), approval: Box::new(approval) })?;
        let complete = self.run_of_book(run.no())?.missing(self.now).is_empty();
        Ok(if complete { Told::started() } else { Told::counted() })
    }

    /// Who asked may stop it, as may anybody who could start it.
    fn cancel_run(&mut self, spoken: &Spoken, name: &RunbookName) -> Result<Told, Refusal> {
        let run = self.open_run(name)?;
        if spoken.ask.release().is_some_and(|wanted| wanted.to_string() != run.no().to_string()) {
            let (verb, runbook) = (spoken.ask.verb(), name.clone());
            return Err(Refusal::Runbook(NoRun::Which { verb, runbook, run: run.no() }));
        }
        let person = spoken.standing.person.clone();
        let mine = run.asked.by.as_ref().is_some_and(|by| by.id == person.id);
        if !mine {
            let from = &run.runbook().from;
            counts(from, &spoken.standing).map_err(|why| not_yours(spoken, name, why, from))?;
        }
        match run.progress {
            Progress::Waiting => {
                self.fact(Fact::Ended { run: run.no(), outcome: Outcome::Cancelled { by: Some(person) } })?;
            }
            Progress::Running(_) => self.fact(Fact::Stopping { run: run.no(), by: person })?,
            Progress::Stopping(..) | Progress::Over(_) => {}
        }
        Ok(Told::started())
    }

    /// A comment that held approvals of runs was edited or deleted.
    pub(super) fn unspeak_of_runs(&mut self, comment: &CommentId, why: Withdrawal) -> Result<(), Refusal> {
        let gone: Vec<Fact> = self
            .state
            .runbooks
            .open()
            .filter(|run| run.progress == Progress::Waiting)
            .flat_map(|run| {
                let by = run.approvals.iter().filter(|a| a.comment.as_ref() == Some(comment));
                by.map(|a| Fact::Withdrawn { run: run.no(), person: a.standing.person.id, why })
            })
            .collect();
        gone.into_iter().try_for_each(|fact| self.fact(fact))
    }

    /// What time does to runbooks: waits end, and times come.
    pub(super) fn advance_runbooks(&mut self) -> Result<(), Refusal> {
        let now = self.now;
        let late =
            |run: &&Arc<Run>| run.expires().is_some_and(|at| at <= now) && !run.missing(now).is_empty();
        let expired: Vec<u32> = self.state.runbooks.open().filter(late).map(|run| run.no()).collect();
        for run in expired {
            self.fact(Fact::Ended { run, outcome: Outcome::Expired })?;
        }
        for (name, timer) in self.state.runbooks.timers.clone() {
            self.ring(&name, &timer)?;
        }
        Ok(())
    }

    fn ring(&mut self, name: &RunbookName, timer: &Timer) -> Result<(), Refusal> {
        let now = self.now;
        if timer.since.since(now) > GRACE {
            return self.fact(Fact::Counted { runbook: name.clone(), from: now });
        }
        let Some(due) = timer.schedule.due(timer.since, now) else { return Ok(()) };
        let missed = |due, until, why: String| Fact::Missed { runbook: name.clone(), due, until, why };
        if let Some((first, until)) = due.missed {
            let several = timer.schedule.next_after(first).is_some_and(|next| next <= until);
            let more =
                if several { format!(", nor for those until {}", until.minute()) } else { String::new() };
            self.fact(missed(first, until, format!("no server was there to start it within {GRACE}{more}")))?;
        }
        let Some(at) = due.newest else { return Ok(()) };
        if let Some(first) = due.late {
            self.fact(missed(first, first, format!("one run makes up for it, at {}", at.minute())))?;
        }
        if let Some(open) = self.state.runbooks.open_of(name) {
            let why = format!("run {} was not over", open.no());
            return self.fact(missed(at, at, why));
        }
        let Some(book) = self.state.pipeline().and_then(|p| p.runbook(name).cloned()) else { return Ok(()) };
        match book.take(&BTreeMap::new()) {
            Ok(inputs) => self.ask_for_run(book, inputs, (None, Some(at)), (None, at)).map(|_| ()),
            Err(why) => self.fact(missed(at, at, why)),
        }
    }

    /// Everything is looked at once more right before the first command.
    pub(super) fn begin_run(
        &mut self,
        (no, turn): (u32, u32),
        fence: u64,
        fresh: &Fresh,
    ) -> Result<(), Refusal> {
        let run = self.run_of_book(no)?;
        if run.turn != turn {
            return Err(Refusal::Stale);
        }
        match &run.progress {
            Progress::Waiting => {}
            Progress::Running(other) if *other != fence => {
                return self.end_run(&run, Outcome::Errored(LOST.to_owned()));
            }
            Progress::Stopping(other, by) if *other != fence => {
                let outcome = Outcome::Cancelled { by: Some(by.clone()) };
                return self.fact(Fact::Ended { run: no, outcome });
            }
            Progress::Running(_) | Progress::Stopping(..) | Progress::Over(_) => return Err(Refusal::Stale),
        }
        for approval in &run.approvals {
            let person = approval.standing.person.id;
            let gone = fresh.standings.get(&person).is_some_and(|now| run.entitled(now).is_err());
            let changed = approval.comment.as_ref().is_some_and(|c| fresh.comments_changed.contains(c));
            let why = match (gone, changed) {
                (true, _) => Withdrawal::NoLongerEntitled,
                (false, true) => Withdrawal::Edited,
                (false, false) => continue,
            };
            self.fact(Fact::Withdrawn { run: no, person, why })?;
        }
        let run = self.run_of_book(no)?;
        if fresh.off_branch {
            let commit = run.asked.commit.short();
            let why = format!("its commit {commit} is no longer on the branch; ask for it again");
            return self.end_run(&run, Outcome::Errored(why));
        }
        let waits = waits(&self.state, &run, self.now);
        if waits.is_empty() {
            return self.fact(Fact::Started { run: no, fence });
        }
        let why = view::runbook::line(&self.state, &run, self.now);
        self.fact(Fact::PutBack { run: no, why })
    }

    pub(super) fn finish_run(&mut self, no: u32, fence: u64, end: &StageEnd) -> Result<(), Refusal> {
        let run = self.run_of_book(no)?;
        if run.fence() != Some(fence) {
            return Err(Refusal::Stale);
        }
        let stopped = match &run.progress {
            Progress::Stopping(_, by) => Some(by.clone()),
            Progress::Waiting | Progress::Running(_) | Progress::Over(_) => None,
        };
        let outcome = match (end, stopped) {
            (StageEnd::Passed { took_ms }, _) => Outcome::Passed { took_ms: *took_ms },
            (_, Some(by)) => Outcome::Cancelled { by: Some(by) },
            (StageEnd::Failed(failure), None) => Outcome::Failed(failure.clone()),
            (StageEnd::TimedOut(failure), None) => Outcome::TimedOut(failure.clone()),
            (StageEnd::Stopped, None) => Outcome::Errored("stopped, and nobody had asked for it".to_owned()),
            (StageEnd::Paused(question), None) => {
                Outcome::Errored(format!("\"{}\" asks, and a runbook stops for nobody", question.step))
            }
            (StageEnd::Errored(why) | StageEnd::Tampered(why), None) => Outcome::Errored(why.clone()),
        };
        self.end_run(&run, outcome)
    }

    /// Whoever asked reads how it ended; nobody waits for a run that started by itself, so its failure is an alarm.
    fn end_run(&mut self, run: &Run, outcome: Outcome) -> Result<(), Refusal> {
        let alone = run.asked.by.is_none() && outcome.is_bad();
        let text = format!("{} {}", run.title(), view::runbook::ended(&outcome));
        self.fact(Fact::Ended { run: run.no(), outcome })?;
        if !alone {
            return Ok(());
        }
        self.add(Event::Alarm { release: None, code: "runbook_failed".to_owned(), text })
    }
}

fn none(name: &RunbookName) -> Refusal {
    Refusal::Runbook(NoRun::None { runbook: name.clone() })
}

fn not_yours(spoken: &Spoken, runbook: &RunbookName, why: NotCounted, who: &[Who]) -> Refusal {
    Refusal::Runbook(NoRun::NotYours {
        verb: spoken.ask.verb(),
        runbook: runbook.clone(),
        login: spoken.standing.person.login.to_string(),
        why,
        who: who.iter().map(ToString::to_string).collect(),
    })
}

/// The people who may agree may also say no.
fn may_decide(spoken: &Spoken, run: &Run) -> Result<(), Refusal> {
    let who = run.runbook().approval.as_ref().map_or_else(|| run.runbook().from.clone(), approvers);
    counts(&who, &spoken.standing).map_err(|why| not_yours(spoken, &run.runbook().name, why, &who))
}
