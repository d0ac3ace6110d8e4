//! How work begins and ends: leases, admission again at the lock, late and lost reports.

use std::sync::Arc;

use crate::domain::decide::join::with_inherited;
use crate::domain::decide::verify::Asked;
use crate::domain::decide::{Draft, Ended, Fresh, Learned, StageEnd, Work};
use crate::domain::document::documents;
use crate::domain::event::{ApprovalSide, BuildOutcome, Detail, Event, OfRun, RunKind};
use crate::domain::evidence::Attested;
use crate::domain::gate::verdict;
use crate::domain::name::{CommitSha, Digest, ReleaseNo, StageName};
use crate::domain::progress::{Progress, always_after};
use crate::domain::publication::{self, Row};
use crate::domain::refusal::Refusal;
use crate::domain::release::{BuildState, Release, StageRun, StageState, Transition};
use crate::domain::rollback::{came_at, left};
use crate::domain::rollout::Said;
use crate::domain::slot;
use crate::domain::state::{CheckProgress, DIGEST_MISMATCH, Hold};
use crate::domain::time::Span;

/// First wait of an automatic retry; it doubles with every attempt (SEMANTICS §8).
const RETRY_BACKOFF: Span = Span::seconds(30);
/// Automatic tries of a build that could not be done for reasons of ours; builds may be repeated (invariant 11).
const BUILD_TRIES: u32 = 3;
/// The word for work whose end nobody knows.
pub(super) const LOST: &str = "lost: its worker vanished and nobody knows how far it came";

impl Draft {
    pub(super) fn begin(&mut self, work: &Work, fence: u64, fresh: &Fresh) -> Result<(), Refusal> {
        match work {
            Work::Build { release, attempt } => self.begin_build(*release, *attempt, fence),
            Work::Check { commit, attempt } => self.begin_check(commit, *attempt, fence),
            Work::Runbook { run, turn } => self.begin_run((*run, *turn), fence, fresh),
            Work::Deploy { release, stage, attempt, admission } => {
                let run = self.run(*release, stage)?;
                if run.attempt != *attempt || run.admissions != *admission {
                    return Err(Refusal::Stale);
                }
                // Its commands are done: whoever comes late for them has nothing to do.
                if run.worked_at.is_some() {
                    return Err(Refusal::Stale);
                }
                if run.state == StageState::Queued {
                    return self.begin_stage(*release, &run, (stage, fence), fresh);
                }
                if run.fence.is_none() {
                    return self.take_up(*release, (stage, &run), fence);
                }
                // Whoever has begun it is gone; nobody begins it again.
                let by = if run.fence == Some(fence) {
                    return Err(Refusal::Stale);
                } else if run.state == StageState::Running {
                    (Transition::InfraError, StageState::Errored)
                } else if run.state == StageState::Cancelling {
                    (Transition::GraceExpired, StageState::Cancelled)
                } else {
                    return Err(Refusal::Stale);
                };
                let detail = Detail::Reason(self.lost(*release, stage)?);
                self.move_stage(*release, stage, by, detail)
            }
            // Answers may be asked for twice, so nobody has to say that they begin.
            Work::Leg { .. } | Work::Gates { .. } => Err(Refusal::Stale),
        }
    }

    /// What is said of a run whose worker vanished. Hooks that it owes are not run by themselves: nobody knows whether
    /// a command of it is still at work there. Whoever lets something run there again has looked.
    fn lost(&self, no: ReleaseNo, stage: &StageName) -> Result<String, Refusal> {
        let (release, run) = (self.release(no)?, self.run(no, stage)?);
        let owed = release.steps(stage).filter(|steps| run.walked.owes(steps));
        let names: Vec<String> =
            owed.into_iter().flat_map(always_after).map(|step| format!("\"{}\"", step.name)).collect();
        if names.is_empty() {
            return Ok(LOST.to_owned());
        }
        Ok(format!("{LOST}; {} did not run, and the next run here begins with it", names.join(" and ")))
    }

    /// A part of a running stage's work is over; a report of a worker that lost its lease is refused.
    pub(super) fn progress(&mut self, work: &Work, fence: u64, progress: &Progress) -> Result<(), Refusal> {
        let Work::Deploy { release, stage, attempt, .. } = work else { return Err(Refusal::Stale) };
        if !self.run(*release, stage)?.is_held_by(*attempt, fence) {
            return Err(Refusal::Stale);
        }
        self.add(Event::PhaseDone {
            release: *release,
            stage: stage.clone(),
            attempt: *attempt,
            progress: Box::new(progress.clone()),
        })
    }

    /// A fact about a target of a running stage; of a worker that lost its lease it is refused, and so is what cannot
    /// happen now: nothing is begun twice.
    pub(super) fn roll(&mut self, work: &Work, fence: u64, said: &Said) -> Result<(), Refusal> {
        let Work::Deploy { release, stage, attempt, .. } = work else { return Err(Refusal::Stale) };
        let run = self.run(*release, stage)?;
        if !run.is_held_by(*attempt, fence) || !run.rollout.takes(said) {
            return Err(Refusal::Stale);
        }
        self.add(Event::Target(OfRun {
            release: *release,
            stage: stage.clone(),
            attempt: *attempt,
            said: said.clone(),
        }))
    }

    /// A move of a row of the ledger; of a worker that lost its lease it is refused, and so is what cannot happen now.
    pub(super) fn publish(
        &mut self,
        work: &Work,
        fence: u64,
        said: &publication::Said,
    ) -> Result<(), Refusal> {
        let Work::Deploy { release, stage, attempt, .. } = work else { return Err(Refusal::Stale) };
        let row = self.release(*release)?.ledger.get(&said.publish).cloned();
        if !self.run(*release, stage)?.is_held_by(*attempt, fence) || !Row::takes(row.as_ref(), &said.moved) {
            return Err(Refusal::Stale);
        }
        self.add(Event::Publication(OfRun {
            release: *release,
            stage: stage.clone(),
            attempt: *attempt,
            said: said.clone(),
        }))
    }

    /// A document of the release; the same bytes once more are nothing new.
    pub(super) fn write_down(&mut self, work: &Work, fence: u64, written: &Attested) -> Result<(), Refusal> {
        let Work::Deploy { release: no, stage, attempt, .. } = work else { return Err(Refusal::Stale) };
        if written.release != *no || !self.run(*no, stage)?.is_held_by(*attempt, fence) {
            return Err(Refusal::Stale);
        }
        let release = self.release(*no)?;
        let known = documents(&release);
        if written.files.iter().all(|file| known.get(file.name.as_str()) == Some(&file)) {
            return Ok(());
        }
        self.add(Event::Attested(Box::new(written.clone())))
    }

    fn begin_build(&mut self, no: ReleaseNo, attempt: u32, fence: u64) -> Result<(), Refusal> {
        let release = self.release(no)?;
        let takes = matches!(release.build, BuildState::Waiting | BuildState::Running { .. })
            && !release.lacks_sources();
        if takes && release.build_attempt == attempt {
            self.add(Event::BuildStarted { release: no, attempt, fence })
        } else {
            Err(Refusal::Stale)
        }
    }

    fn begin_check(&mut self, commit: &CommitSha, attempt: u32, fence: u64) -> Result<(), Refusal> {
        match self.state.checks.get(commit) {
            Some(check)
                if check.attempt == attempt
                    && matches!(check.progress, CheckProgress::Waiting | CheckProgress::Running(_)) =>
            {
                self.add(Event::CheckStarted { commit: commit.clone(), attempt, fence })
            }
            Some(_) | None => Err(Refusal::Stale),
        }
    }

    /// Everything is looked at once more, with what the host says now, before the first command runs (SEMANTICS §2).
    fn begin_stage(
        &mut self,
        no: ReleaseNo,
        run: &StageRun,
        (stage, fence): (&StageName, u64),
        fresh: &Fresh,
    ) -> Result<(), Refusal> {
        self.take_fresh(no, stage, run, fresh)?;
        self.take_fresh_gates(no, stage, run, fresh.gates.as_deref())?;
        let release = self.release(no)?;
        let rule = release.rule(stage).ok_or(Refusal::Stale)?;
        if let Some(run) = self.state.runbooks.on(rule.lock()) {
            return Err(Refusal::Busy { environment: rule.environment.to_string(), release: run.title() });
        }
        if let Some(other) = self.occupant(&release, stage) {
            let environment = rule.environment.to_string();
            return Err(Refusal::Busy { environment, release: self.state.version_of(other) });
        }
        if !verdict(&self.state, &release, rule, self.now).open() {
            return self.move_stage(
                no,
                stage,
                (Transition::BlockersReturned, StageState::Pending),
                Detail::None,
            );
        }
        // Nothing has happened yet, so what runs there stays known; whoever puts it right asks for another try.
        let unclear = slot::unclear(&self.state, &release, rule);
        if let Some(why) = fresh.cannot_start.as_ref().or(unclear.as_ref()) {
            let by = (Transition::AgentWaitExpired, StageState::Errored);
            return self.move_stage(no, stage, by, Detail::Reason(format!("did not start: {why}")));
        }
        let by = (Transition::LockAcquired, StageState::Running);
        self.move_stage(no, stage, by, Detail::Fence(fence))
    }

    /// The release that has this stage's environment now, in whatever stage (invariant I1); one of another track has
    /// not.
    fn occupant(&self, release: &Release, stage: &StageName) -> Option<ReleaseNo> {
        let lock = release.lock(release.rule(stage)?);
        self.state.releases.values().find_map(|other| {
            let here = other.stages.iter().any(|(name, runs)| {
                runs.last().is_some_and(|run| run.state.occupies())
                    && other.rule(name).is_some_and(|rule| other.lock(rule).collides(&lock))
            });
            here.then_some(other.no())
        })
    }

    fn take_fresh(
        &mut self,
        no: ReleaseNo,
        stage: &StageName,
        run: &StageRun,
        fresh: &Fresh,
    ) -> Result<(), Refusal> {
        self.drop_stale(no, stage, (run, ApprovalSide::Before), fresh)?;
        for tag in &fresh.tags {
            self.learn(&Learned::Tag { release: no, now: tag.clone() })?;
        }
        if fresh.off_branch {
            self.veto(no, stage, "its commit is no longer on the branch")?;
        }
        if let Some(build) = &fresh.lost_build {
            self.veto(no, stage, &format!("it is made of {build}, which is no longer on the branch"))?;
        }
        Ok(())
    }

    pub(super) fn veto(&mut self, no: ReleaseNo, stage: &StageName, reason: &str) -> Result<(), Refusal> {
        if self.state.vetoes.contains_key(&(stage.clone(), no)) {
            return Ok(());
        }
        self.add(Event::Vetoed { release: no, stage: stage.clone(), reason: reason.to_owned() })
    }

    pub(super) fn finish(&mut self, work: &Work, fence: u64, ended: &Ended) -> Result<(), Refusal> {
        match (work, ended) {
            (Work::Build { release, attempt }, Ended::Build(outcome)) => {
                self.finish_build((*release, *attempt, fence), outcome, (None, None))
            }
            // What it took of other repositories was found before it began.
            (Work::Build { release, attempt }, Ended::Left { artifacts, locks, executor, sources: _ }) => {
                let outcome = BuildOutcome::Sealed(artifacts.clone());
                self.finish_build((*release, *attempt, fence), &outcome, (Some(locks), executor.as_ref()))
            }
            (Work::Build { release, attempt }, Ended::Reused(reused)) => {
                self.take_over(*release, *attempt, fence, reused)
            }
            (Work::Check { commit, attempt }, Ended::Build(outcome)) => {
                self.finish_check((commit, *attempt, fence), (outcome, &[]), (None, None))
            }
            (Work::Check { commit, attempt }, Ended::Left { artifacts, locks, executor, sources }) => {
                let outcome = BuildOutcome::Sealed(artifacts.clone());
                let beside = (Some(locks), executor.as_ref());
                self.finish_check((commit, *attempt, fence), (&outcome, sources), beside)
            }
            (Work::Deploy { release, stage, attempt, .. }, Ended::Stage(end)) => {
                let run = self.run(*release, stage)?;
                if run.is_held_by(*attempt, fence) && run.worked_at.is_none() {
                    self.finish_stage(*release, stage, &run, end)
                } else {
                    Err(Refusal::Stale)
                }
            }
            (Work::Runbook { run, .. }, Ended::Stage(end)) => self.finish_run(*run, fence, end),
            (Work::Leg { release, stage, attempt, leg, sample }, Ended::Leg { reading, tail }) => {
                let asked = Asked { release: *release, stage, attempt: *attempt, sample: *sample };
                self.finish_leg(asked, leg, (reading, tail))
            }
            (Work::Gates { release, stage, attempt, side, sample }, Ended::Gates(readings)) => {
                let asked = Asked { release: *release, stage, attempt: *attempt, sample: *sample };
                self.finish_gates(asked, *side, readings)
            }
            (
                Work::Build { .. }
                | Work::Check { .. }
                | Work::Deploy { .. }
                | Work::Runbook { .. }
                | Work::Leg { .. }
                | Work::Gates { .. },
                _,
            ) => Err(Refusal::Stale),
        }
    }

    fn finish_build(
        &mut self,
        (no, attempt, fence): (ReleaseNo, u32, u64),
        outcome: &BuildOutcome,
        beside: (Option<&Digest>, Option<&Digest>),
    ) -> Result<(), Refusal> {
        let release = self.building(no, attempt, fence)?;
        self.end_build(&release, outcome, beside)
    }

    /// The release, as long as it is being built under this lease.
    pub(super) fn building(&self, no: ReleaseNo, attempt: u32, fence: u64) -> Result<Arc<Release>, Refusal> {
        let release = self.release(no)?;
        let held = release.build_attempt == attempt && release.build == BuildState::Running { fence };
        if held { Ok(release) } else { Err(Refusal::Stale) }
    }

    /// The end of a build, and another try of one that could not be done.
    pub(super) fn end_build(
        &mut self,
        release: &Release,
        outcome: &BuildOutcome,
        (locks, executor): (Option<&Digest>, Option<&Digest>),
    ) -> Result<(), Refusal> {
        let (no, attempt) = (release.no(), release.build_attempt);
        let outcome = &with_inherited(release, outcome);
        self.add(Event::BuildFinished {
            release: no,
            attempt,
            outcome: outcome.clone(),
            reused: None,
            locks: locks.cloned(),
            executor: executor.cloned(),
        })?;
        match outcome {
            BuildOutcome::Sealed(_) => self.open_stages(no),
            BuildOutcome::Errored(_) if attempt < BUILD_TRIES => {
                self.add(Event::BuildRetried { release: no, attempt: attempt.saturating_add(1), by: None })
            }
            BuildOutcome::Errored(_)
            | BuildOutcome::Failed(_)
            | BuildOutcome::Cancelled(_)
            | BuildOutcome::Passed => Ok(()),
        }
    }

    fn finish_stage(
        &mut self,
        no: ReleaseNo,
        stage: &StageName,
        run: &StageRun,
        end: &StageEnd,
    ) -> Result<(), Refusal> {
        let cancelling = run.state == StageState::Cancelling;
        let (by, detail) = match (end, cancelling) {
            (StageEnd::Paused(question), _) => return self.pause_to_ask(no, stage, run, question),
            (StageEnd::Passed { took_ms }, false) => return self.after_commands(no, stage, *took_ms),
            (StageEnd::Passed { took_ms }, true) => match self.unasked(no, stage, run)? {
                None => ((Transition::AgentFinished, StageState::Succeeded), Detail::Took(*took_ms)),
                // What was cancelled is not live for having been quick: nobody has found it good.
                Some(what) => {
                    let why = format!("its commands had passed, and {what}");
                    ((Transition::AgentStopped, StageState::Cancelled), Detail::Reason(why))
                }
            },
            (StageEnd::Failed(f) | StageEnd::TimedOut(f), true) => {
                ((Transition::AgentStopped, StageState::Cancelled), Detail::Failed(f.clone()))
            }
            (StageEnd::Stopped, true) => ((Transition::AgentStopped, StageState::Cancelled), Detail::None),
            (StageEnd::Errored(why) | StageEnd::Tampered(why), true) => {
                ((Transition::AgentStopped, StageState::Cancelled), Detail::Reason(why.clone()))
            }
            (StageEnd::Failed(f), false) => {
                ((Transition::StepFailed, StageState::Failed), Detail::Failed(f.clone()))
            }
            (StageEnd::TimedOut(f), false) => {
                ((Transition::Timeout, StageState::TimedOut), Detail::Failed(f.clone()))
            }
            (StageEnd::Stopped, false) => (
                (Transition::InfraError, StageState::Errored),
                Detail::Reason("stopped, and nobody had asked for it".to_owned()),
            ),
            (StageEnd::Errored(why) | StageEnd::Tampered(why), false) => {
                ((Transition::InfraError, StageState::Errored), Detail::Reason(why.clone()))
            }
        };
        self.move_stage(no, stage, by, detail)?;
        if let StageEnd::Tampered(why) = end {
            for stage in self.release(no)?.stages.keys() {
                self.veto(no, stage, why)?;
            }
            self.add(Event::Alarm {
                release: Some(no),
                code: DIGEST_MISMATCH.to_owned(),
                text: why.clone(),
            })?;
        }
        let again = matches!(by.1, StageState::Errored | StageState::TimedOut);
        if by.1 == StageState::Succeeded {
            return self.after_success(no, stage);
        }
        if again && !self.state.tampered(no) { self.retry_by_itself(no, stage, run) } else { Ok(()) }
    }

    /// A hold that a rollback left is over when somebody has promoted something past it (SEMANTICS §8).
    pub(super) fn after_promotion(&mut self, no: ReleaseNo, stage: &StageName) -> Result<(), Refusal> {
        let here = (Some(stage.clone()), self.release(no)?.track().cloned());
        match self.state.holds.get(&here).and_then(Hold::of_rollback) {
            Some(_) => {
                let (stage, track) = here;
                self.add(Event::Unheld { stage, track, by: None })
            }
            None => Ok(()),
        }
    }

    /// SEMANTICS §8: what was rolled away from may not come back here or further down, and the stage is held.
    pub(super) fn after_rollback(&mut self, no: ReleaseNo, stage: &StageName) -> Result<(), Refusal> {
        let back = self.release(no)?;
        let version = back.created.version.to_string();
        // On one branch all that came between goes; of another branch what was left, which alone was seen to be bad.
        let bad: Vec<ReleaseNo> = match left(&self.state, &back, stage) {
            Some(left) if !left.is_beside(&back) => vec![left.no()],
            Some(_) | None => {
                let came = |r: &Release| r.follows(&back) && came_at(r, stage).is_some();
                self.state.releases.values().filter(|r| came(r)).map(|r| r.no()).collect()
            }
        };
        let reason = format!("rolled back to {version}");
        for bad in bad {
            self.veto(bad, stage, &reason)?;
            for below in self.downstream(bad, stage)? {
                self.veto(bad, &below, &reason)?;
            }
        }
        self.hold_after_rollback(&back, stage, reason)
    }

    /// Nothing of a release's track starts in a stage before somebody has looked: whoever holds it already, and whatever was
    /// promoted past the hold of a rollback before this one.
    pub(super) fn hold_after_rollback(
        &mut self,
        release: &Release,
        stage: &StageName,
        reason: String,
    ) -> Result<(), Refusal> {
        let (stage, track) = (Some(stage.clone()), release.track().cloned());
        self.add(Event::Held { stage, track, by: None, reason })
    }

    /// The stages that need this one, directly or not.
    pub(super) fn downstream(&self, no: ReleaseNo, stage: &StageName) -> Result<Vec<StageName>, Refusal> {
        let release = self.release(no)?;
        let below = release.rules.stages.iter().filter(|next| release.rules.may_lead(stage, &next.name));
        Ok(below.map(|next| next.name.clone()).collect())
    }

    /// What could not be done for reasons of ours is tried again; what could not be asked about, without a deploy.
    pub(super) fn retry_by_itself(
        &mut self,
        no: ReleaseNo,
        stage: &StageName,
        run: &StageRun,
    ) -> Result<(), Refusal> {
        let release = self.release(no)?;
        let retries = release.rule(stage).map_or(0, |s| s.retries);
        // What somebody asked for, or the engine for another reason, has its own tries.
        let by_itself = |run: &&StageRun| run.not_before.is_some();
        let attempts = release.stages.get(stage).into_iter().flatten().rev();
        let tried = u32::try_from(attempts.take_while(by_itself).count()).unwrap_or(u32::MAX);
        if tried >= retries {
            return Ok(());
        }
        let doubled = 1_u64.checked_shl(tried).unwrap_or(u64::MAX);
        let not_before = Some(self.now.plus(RETRY_BACKOFF.times(doubled)));
        let kind = match run.kind {
            RunKind::Deploy | RunKind::Redeploy if run.worked_at.is_some() => RunKind::Verify,
            RunKind::Deploy | RunKind::Redeploy | RunKind::Rollback | RunKind::Verify => run.kind,
        };
        // Another try of what somebody asked to go back to is theirs as well.
        let by = run.by.clone().filter(|_| run.kind == RunKind::Rollback);
        self.open_again(no, stage, kind, (by, not_before))?;
        self.carry_on(no, stage, run)
    }

    /// A further attempt.
    pub(super) fn open_again(
        &mut self,
        no: ReleaseNo,
        stage: &StageName,
        kind: RunKind,
        (by, not_before): (Option<crate::domain::person::Person>, Option<crate::domain::time::Timestamp>),
    ) -> Result<(), Refusal> {
        let attempt = self.run(no, stage)?.attempt.saturating_add(1);
        self.add(Event::StageOpened { release: no, stage: stage.clone(), attempt, kind, by, not_before })
    }

    /// Approvals of the same bytes go along from one try to the next while they are valid (SEMANTICS §3); a rejection
    /// ends what went before, and consent to put a release back is not consent to deploy it.
    pub(super) fn carry_approvals(
        &mut self,
        no: ReleaseNo,
        stage: &StageName,
        last: &StageRun,
    ) -> Result<(), Refusal> {
        let run = self.run(no, stage)?;
        let attempt = run.attempt;
        if !is_further_try(&run, last) {
            return Ok(());
        }
        for approval in last.approvals.iter().chain(&last.signoffs) {
            let approval = Box::new(approval.clone());
            self.add(Event::Approved { release: no, stage: stage.clone(), attempt, approval })?;
        }
        Ok(())
    }

    /// What people said for one try holds for the next: approvals, and that it may start, unless a rollback has locked
    /// the stage since.
    pub(super) fn carry_on(
        &mut self,
        no: ReleaseNo,
        stage: &StageName,
        last: &StageRun,
    ) -> Result<(), Refusal> {
        self.carry_approvals(no, stage, last)?;
        let (release, run) = (self.release(no)?, self.run(no, stage)?);
        let hold = self.state.hold_of_rollback(stage, release.track());
        let locked = hold.is_some_and(|hold| last.promoted_at.is_some_and(|at| at < hold.since));
        if locked || !is_further_try(&run, last) {
            return Ok(());
        }
        match &last.promoted {
            Some(by) => self.add(Event::Promoted {
                release: no,
                stage: stage.clone(),
                attempt: run.attempt,
                by: by.clone(),
            }),
            None => Ok(()),
        }
    }

    pub(super) fn move_stage(
        &mut self,
        no: ReleaseNo,
        stage: &StageName,
        (transition, to): (Transition, StageState),
        detail: Detail,
    ) -> Result<(), Refusal> {
        let attempt = self.run(no, stage)?.attempt;
        self.add(Event::StageMoved { release: no, stage: stage.clone(), attempt, transition, to, detail })
    }
}

/// Whether a run is another try of what the one before it was for, and nobody has said no to that.
fn is_further_try(run: &StageRun, last: &StageRun) -> bool {
    let same = (run.kind == RunKind::Rollback) == (last.kind == RunKind::Rollback);
    same && !matches!(last.state, StageState::Rejected | StageState::RejectedAfterDeploy)
}
