//! What follows a stage's commands, and what precedes them without people: legs and gates, one place for all of it.
//!
//! Legs, then gates, then whatever people still have to say, then success (SEMANTICS §2, §5). It follows from the
//! state alone, so that an answer, a timer, an override and a restart lead to the same.

use crate::domain::approval::signoff_for;
use crate::domain::check::course::{Course, Due, Standing};
use crate::domain::check::leg::{Leg, LegState, Reused, answered, timed_out};
use crate::domain::check::ticks::GateStanding;
use crate::domain::check::{LegId, OnTimeout, Order, Reuse, Side, cache};
use crate::domain::decide::Draft;
use crate::domain::event::{ApprovalSide, Detail, Event, Failure, LegAnswered, RunKind};
use crate::domain::gate::{Blocker, verdict};
use crate::domain::name::{ReleaseNo, StageName};
use crate::domain::pipeline::Stage;
use crate::domain::pipeline::rollback::Trigger;
use crate::domain::plan::check::samples_owed;
use crate::domain::probe::{Answer, Reading};
use crate::domain::refusal::Refusal;
use crate::domain::release::{Release, StageRun, StageState, Transition};
use crate::domain::rollback;
use crate::domain::time::Span;

/// Code of the alarm about a release that was found bad once it was live.
const FAULTY: &str = "faulty";

/// Which answer of a leg, or which sample of a side, a worker went for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) release: ReleaseNo,
    pub(super) stage: &'a StageName,
    pub(super) attempt: u32,
    pub(super) sample: u32,
}

/// Whether legs or gates are asked once the commands have passed.
fn asks_after(release: &Release, stage: &StageName) -> bool {
    release.rule(stage).is_some_and(|s| !s.verify.is_empty() || !s.gates.post.is_empty())
}

impl Draft {
    /// Runs whose commands have passed, and runs that wait for gates.
    pub(super) fn settle(&mut self) -> Result<(), Refusal> {
        let open: Vec<(ReleaseNo, StageName)> = self
            .state
            .open()
            .into_iter()
            .flat_map(|release| {
                let last = release.stages.iter().filter(|(_, runs)| {
                    runs.last().is_some_and(|r| r.worked_at.is_some() || r.state == StageState::Pending)
                });
                last.map(|(stage, _)| (release.no(), stage.clone()))
            })
            .collect();
        for (no, stage) in open {
            let run = self.run(no, &stage)?;
            let over = run.worked_at.is_some();
            if over && run.state == StageState::Cancelling {
                // Nobody is at work who could be stopped.
                let by = (Transition::AgentStopped, StageState::Cancelled);
                self.move_stage(no, &stage, by, run.detail)?;
            } else if over && matches!(run.state, StageState::Running | StageState::Paused) {
                self.time_out_legs(no, &stage)?;
                self.reuse_answers(no, &stage)?;
                self.settle_legs(no, &stage)?;
            } else if run.state == StageState::Pending {
                self.settle_before(no, &stage)?;
            }
        }
        Ok(())
    }

    /// What a run that was cancelled lacks for success although its commands passed.
    pub(super) fn unasked(
        &self,
        no: ReleaseNo,
        stage: &StageName,
        run: &StageRun,
    ) -> Result<Option<&'static str>, Refusal> {
        let release = self.release(no)?;
        if asks_after(&release, stage) {
            return Ok(Some("nobody asked its checks"));
        }
        let signoff = release.rule(stage).and_then(|rule| signoff_for(rule, run.kind));
        Ok(signoff.map(|_| "nobody signed it off"))
    }

    /// Commands that passed: success at once, or a run that goes on with what is asked after them.
    pub(super) fn after_commands(
        &mut self,
        no: ReleaseNo,
        stage: &StageName,
        took_ms: u64,
    ) -> Result<(), Refusal> {
        if let Some(failure) = self.revise(no, stage)? {
            let by = (Transition::StepFailed, StageState::Failed);
            return self.move_stage(no, stage, by, Detail::Failed(failure));
        }
        let asks = asks_after(&*self.release(no)?, stage);
        if asks {
            // What follows is decided when everything is settled.
            return self.move_stage(
                no,
                stage,
                (Transition::PhaseDone, StageState::Running),
                Detail::Took(took_ms),
            );
        }
        self.complete(no, stage, took_ms)
    }

    /// Commands, legs and gates are good: people look at it, where any are asked, or it is live.
    fn complete(&mut self, no: ReleaseNo, stage: &StageName, took_ms: u64) -> Result<(), Refusal> {
        let (release, run) = (self.release(no)?, self.run(no, stage)?);
        if release.rule(stage).and_then(|rule| signoff_for(rule, run.kind)).is_some() {
            let by = (Transition::AllPhasesOk, StageState::AwaitingSignoff);
            return self.move_stage(no, stage, by, Detail::Took(took_ms));
        }
        let by = (Transition::AllPhasesOk, StageState::Succeeded);
        self.move_stage(no, stage, by, Detail::Took(took_ms))?;
        self.after_success(no, stage)
    }

    /// What a success brings about: the end of a hold, vetoes of what was rolled away from, gates that go on watching.
    pub(super) fn after_success(&mut self, no: ReleaseNo, stage: &StageName) -> Result<(), Refusal> {
        let run = self.run(no, stage)?;
        match run.kind {
            RunKind::Rollback => self.after_rollback(no, stage)?,
            RunKind::Deploy | RunKind::Redeploy | RunKind::Verify => self.after_promotion(no, stage)?,
        }
        let release = self.release(no)?;
        let watched =
            release.rule(stage).is_some_and(|s| s.gates.watch > Span::ZERO && !s.gates.post.is_empty());
        if watched { self.open_gates(no, stage, &run, Side::Watch) } else { Ok(()) }
    }

    pub(super) fn open_gates(
        &mut self,
        no: ReleaseNo,
        stage: &StageName,
        run: &StageRun,
        side: Side,
    ) -> Result<(), Refusal> {
        self.add(Event::GatesOpened { release: no, stage: stage.clone(), attempt: run.attempt, side })
    }

    /// Reads a run's course; nothing when the rules no longer have the stage.
    pub(super) fn on_course<T>(
        &self,
        no: ReleaseNo,
        stage: &StageName,
        read: impl FnOnce(Course<'_>) -> T,
    ) -> Result<T, Refusal> {
        let release = self.release(no)?;
        let (rule, run) = release.rule(stage).zip(release.run(stage)).ok_or(Refusal::Stale)?;
        Ok(read(Course { repo: &self.state.id.repo, release: &release, stage: rule, run }))
    }

    /// Legs that were asked for as long as they may be.
    fn time_out_legs(&mut self, no: ReleaseNo, stage: &StageName) -> Result<(), Refusal> {
        let now = self.now;
        let over: Vec<LegAnswered> = self.on_course(no, stage, |course| {
            let due = course.due();
            let late = due.iter().filter_map(|due| {
                let leg = course.leg(&due.leg)?;
                leg.deadline(due.check).filter(|at| *at <= now)?;
                let detail = format!("time is up, last: {}", leg.reading.detail);
                Some(LegAnswered {
                    release: no,
                    stage: stage.clone(),
                    attempt: course.run.attempt,
                    leg: due.leg.clone(),
                    reading: Reading::new(leg.reading.answer, detail),
                    tail: leg.tail.clone(),
                    to: timed_out(due.check, leg),
                    question: due.check.question(),
                    key: None,
                    reused: None,
                })
            });
            late.collect()
        })?;
        over.into_iter().try_for_each(|answer| self.add(Event::LegAnswered(Box::new(answer))))
    }

    /// A good answer about the same bytes and the same question holds, in whatever stage it was given.
    fn reuse_answers(&mut self, no: ReleaseNo, stage: &StageName) -> Result<(), Refusal> {
        let known: Vec<LegAnswered> = self.on_course(no, stage, |course| {
            let due = course.due();
            let fresh = due.iter().filter(|due| due.samples == 0 && due.check.reuse != Reuse::Never);
            fresh
                .filter_map(|due| {
                    let (reading, tail, reused) = self.known_answer(course, due)?;
                    Some(LegAnswered {
                        release: no,
                        stage: stage.clone(),
                        attempt: course.run.attempt,
                        leg: due.leg.clone(),
                        reading,
                        tail,
                        to: LegState::Passed,
                        question: due.check.question(),
                        key: None,
                        reused: Some(reused),
                    })
                })
                .collect()
        })?;
        known.into_iter().try_for_each(|answer| self.add(Event::LegAnswered(Box::new(answer))))
    }

    /// The newest answer that holds here; what was itself taken over is not handed on, so that its age stays what it is.
    fn known_answer(&self, course: Course<'_>, due: &Due<'_>) -> Option<(Reading, Vec<String>, Reused)> {
        let (release, run) = (course.release, course.run);
        let question = due.check.question();
        let bytes = release.digest_for(run, ApprovalSide::After)?;
        let key = cache::key(release, (&course.stage.name, run), due.check);
        // Who has a release verified once more by hand wants to know of this one.
        let by_hand = run.kind == RunKind::Verify && run.by.is_some();
        let holds = |r: &Release, other: &StageRun, leg: &Leg| match due.check.reuse {
            Reuse::Never => false,
            Reuse::Digest => r.digest_for(other, ApprovalSide::After) == Some(bytes),
            Reuse::Artifacts { max_age } => {
                let same = key.is_some() && leg.key == key;
                same && self.now < leg.at.plus(max_age) && (r.no() == release.no() || !by_hand)
            }
        };
        let runs = self.state.releases.values().flat_map(|r| {
            let runs = r.stages.iter().flat_map(|(name, runs)| runs.iter().map(move |run| (name, run)));
            runs.map(move |(name, run)| (r, name, run))
        });
        // The newest answer counts: what was found bad since is not good again by an older answer.
        let newest = runs
            .filter_map(|(from, name, run)| Some((from, name, run, run.legs.get(&due.leg)?)))
            .filter(|(from, _, run, leg)| {
                let asked = leg.question == question && leg.reused.is_none() && leg.state.is_over();
                asked && holds(from, run, leg)
            })
            .max_by_key(|(_, _, _, leg)| leg.at)?;
        let (from, name, run, leg) = newest;
        let reused = Reused {
            release: from.no(),
            stage: name.clone(),
            attempt: run.attempt,
            version: Some(from.created.version.clone()),
            at: Some(leg.at),
        };
        (leg.state == LegState::Passed).then(|| (leg.reading.clone(), leg.tail.clone(), reused))
    }

    fn settle_legs(&mut self, no: ReleaseNo, stage: &StageName) -> Result<(), Refusal> {
        let standing = self.on_course(no, stage, |course| course.standing())?;
        match standing {
            Standing::Busy => self.resume(no, stage),
            Standing::Done => self.settle_after(no, stage),
            Standing::Red(leg) => self.fail_at_leg(no, stage, &leg),
            Standing::Unsure(leg) => {
                let detail = self.leg_detail(no, stage, &leg)?;
                self.pause(no, stage, format!("nobody can tell about {leg}: {detail}"))
            }
            Standing::Unasked(leg) => {
                let detail = self.leg_detail(no, stage, &leg)?;
                let reason = format!("{leg} could not be asked: {detail}");
                self.resume(no, stage)?;
                let run = self.run(no, stage)?;
                let by = (Transition::InfraError, StageState::Errored);
                self.move_stage(no, stage, by, Detail::Reason(reason))?;
                self.retry_by_itself(no, stage, &run)
            }
        }
    }

    fn leg_detail(&self, no: ReleaseNo, stage: &StageName, leg: &LegId) -> Result<String, Refusal> {
        self.on_course(no, stage, |course| {
            course.leg(leg).map_or_else(String::new, |l| l.reading.detail.clone())
        })
    }

    fn fail_at_leg(&mut self, no: ReleaseNo, stage: &StageName, leg: &LegId) -> Result<(), Refusal> {
        let failure = self.on_course(no, stage, |course| Failure {
            step: leg.to_string(),
            how: course.leg(leg).map_or_else(String::new, |l| l.reading.detail.clone()),
            tail: course.leg(leg).map_or_else(Vec::new, |l| l.tail.clone()),
        })?;
        self.fail_stage(no, stage, failure)
    }

    fn fail_stage(&mut self, no: ReleaseNo, stage: &StageName, failure: Failure) -> Result<(), Refusal> {
        let paused = self.run(no, stage)?.state == StageState::Paused;
        let by = if paused { Transition::Fail } else { Transition::StepFailed };
        self.move_stage(no, stage, (by, StageState::Failed), Detail::Failed(failure))
    }

    fn pause(&mut self, no: ReleaseNo, stage: &StageName, reason: String) -> Result<(), Refusal> {
        if self.run(no, stage)?.state == StageState::Paused {
            return Ok(());
        }
        let by = (Transition::VerifyInconclusive, StageState::Paused);
        self.move_stage(no, stage, by, Detail::Reason(reason))
    }

    /// What made a run wait for a person is gone: it was overridden, or answered after all.
    fn resume(&mut self, no: ReleaseNo, stage: &StageName) -> Result<(), Refusal> {
        if self.run(no, stage)?.state != StageState::Paused {
            return Ok(());
        }
        self.move_stage(no, stage, (Transition::Resume, StageState::Running), Detail::None)
    }

    /// The legs are good: the gates behind them.
    fn settle_after(&mut self, no: ReleaseNo, stage: &StageName) -> Result<(), Refusal> {
        let run = self.run(no, stage)?;
        let now = self.now;
        match self.on_course(no, stage, |course| course.gate_standing(Side::Post, now))? {
            GateStanding::Closed => {
                self.resume(no, stage)?;
                self.open_gates(no, stage, &run, Side::Post)
            }
            GateStanding::Open(_) => self.resume(no, stage),
            GateStanding::Nothing | GateStanding::Green | GateStanding::Over(OnTimeout::Continue) => {
                self.resume(no, stage)?;
                self.complete(no, stage, run.took_ms)
            }
            GateStanding::Over(OnTimeout::Pause) => {
                let (gate, detail) = self.first_red(no, stage, Side::Post)?;
                self.pause(no, stage, format!("gates timed out at {gate}: {detail}"))
            }
            GateStanding::Over(OnTimeout::Reject) => {
                let (gate, detail) = self.first_red(no, stage, Side::Post)?;
                let how = format!("gates timed out, last: {detail}");
                self.fail_stage(no, stage, Failure { step: gate, how, tail: Vec::new() })
            }
        }
    }

    /// The gate that kept a side, and what it saw last.
    fn first_red(&self, no: ReleaseNo, stage: &StageName, side: Side) -> Result<(String, String), Refusal> {
        self.on_course(no, stage, |course| {
            let reds = course.reds(side);
            let worst = reds.iter().find(|(_, r)| r.answer == Answer::Fail).or(reds.first());
            worst.map_or_else(
                || ("gates".to_owned(), "not green often enough in a row".to_owned()),
                |(gate, reading)| (gate.to_string(), reading.detail.clone()),
            )
        })
    }

    /// Gates before a stage are sampled as long as nothing else keeps it; in parallel order, nothing but people.
    fn settle_before(&mut self, no: ReleaseNo, stage: &StageName) -> Result<(), Refusal> {
        let release = self.release(no)?;
        let Some((rule, run)) = release.rule(stage).zip(release.run(stage)) else { return Ok(()) };
        if rule.gates.pre.is_empty() || run.kind == RunKind::Rollback {
            return Ok(());
        }
        let course = Course { repo: &self.state.id.repo, release: &release, stage: rule, run };
        let parallel = course.order() == Order::Parallel;
        let free = verdict(&self.state, &release, rule, self.now)
            .blockers()
            .all(|l| l.blocker == Blocker::Gate || (parallel && l.blocker == Blocker::Approval));
        let standing = course.gate_standing(Side::Pre, self.now);
        let sampled = course.ticks(Side::Pre).is_some();
        match (free, sampled, standing) {
            (_, _, GateStanding::Nothing) => Ok(()),
            (true, false, _) => self.open_gates(no, stage, run, Side::Pre),
            (false, true, _) => self.add(Event::GatesClosed {
                release: no,
                stage: stage.clone(),
                attempt: run.attempt,
                side: Side::Pre,
            }),
            (true, true, GateStanding::Over(OnTimeout::Reject)) => {
                let (gate, detail) = self.first_red(no, stage, Side::Pre)?;
                let reason = Detail::Reason(format!("gates timed out at {gate}: {detail}"));
                self.move_stage(no, stage, (Transition::GatesTimedOut, StageState::Rejected), reason)
            }
            (true, true, _) | (false, false, _) => Ok(()),
        }
    }

    /// A leg's answer.
    pub(super) fn finish_leg(
        &mut self,
        asked: Asked<'_>,
        leg: &LegId,
        (reading, tail): (&Reading, &[String]),
    ) -> Result<(), Refusal> {
        let now = self.now;
        let answer = self.on_course(asked.release, asked.stage, |course| {
            let open = matches!(course.run.state, StageState::Running | StageState::Paused);
            let due = course.due();
            let due = due.iter().find(|due| due.leg == *leg && due.samples == asked.sample);
            let due = due.filter(|_| open && course.run.attempt == asked.attempt).ok_or(Refusal::Stale)?;
            let to = answered(due.check, course.leg(leg), reading, now).ok_or(Refusal::NothingNew)?;
            Ok::<_, Refusal>(LegAnswered {
                release: asked.release,
                stage: asked.stage.clone(),
                attempt: asked.attempt,
                leg: leg.clone(),
                reading: reading.clone(),
                tail: tail.to_vec(),
                to,
                question: due.check.question(),
                key: cache::key(course.release, (asked.stage, course.run), due.check),
                reused: None,
            })
        })??;
        self.add(Event::LegAnswered(Box::new(answer)))
    }

    /// A sample of a side.
    pub(super) fn finish_gates(
        &mut self,
        asked: Asked<'_>,
        side: Side,
        readings: &[(LegId, Reading)],
    ) -> Result<(), Refusal> {
        let release = self.release(asked.release)?;
        let owed = samples_owed(&self.state, &release, asked.stage, self.now);
        let mine = |owed: &(Side, u32)| *owed == (side, asked.sample);
        let run = release.run(asked.stage).filter(|run| run.attempt == asked.attempt);
        if run.is_none() || !owed.as_ref().is_some_and(mine) {
            return Err(Refusal::Stale);
        }
        if !self.take_sample(asked, side, readings)? {
            return Err(Refusal::NothingNew);
        }
        if side == Side::Watch { self.look_for_fault(asked) } else { Ok(()) }
    }

    /// Keeps a sample if it changes anything.
    pub(super) fn take_sample(
        &mut self,
        asked: Asked<'_>,
        side: Side,
        readings: &[(LegId, Reading)],
    ) -> Result<bool, Refusal> {
        let now = self.now;
        let kept = self.on_course(asked.release, asked.stage, |c| c.sampled(side, readings, now))?;
        let Some(ticks) = kept else { return Ok(false) };
        self.add(Event::GatesSampled {
            release: asked.release,
            stage: asked.stage.clone(),
            attempt: asked.attempt,
            side,
            readings: ticks.readings,
            streak: ticks.streak,
            reds: ticks.reds,
            lost_at: ticks.lost_at,
        })?;
        Ok(true)
    }

    /// A release that is live and found bad: flagged for ever, and told.
    fn look_for_fault(&mut self, asked: Asked<'_>) -> Result<(), Refusal> {
        let (no, stage) = (asked.release, asked.stage);
        let found = self.on_course(no, stage, |course| {
            course.fault().map(|(gate, reading)| (gate, reading.detail.clone()))
        })?;
        let Some((gate, detail)) = found else { return Ok(()) };
        let version = self.state.version_of(no);
        let release = self.release(no)?;
        let safe = |rule: &Stage| rule.rollback.safe && rule.rollback.auto.contains(&Trigger::GateFailed);
        let back = rollback::target(&self.state, &release, stage)
            .filter(|_| release.rule(stage).is_some_and(safe))
            .filter(|_| release.run(stage).is_some_and(|run| run.kind != RunKind::Rollback));
        let next = back.map_or_else(
            || format!("Comment `/rollback {stage} -- reason` to put the release before back."),
            |back| format!("{} is put back by itself.", back.created.version),
        );
        let text = format!("{version} is faulty in {stage}: {gate} says {detail}. {next}");
        self.add(Event::FoundFaulty {
            release: no,
            stage: stage.clone(),
            attempt: asked.attempt,
            gate,
            detail,
        })?;
        self.add(Event::Alarm { release: Some(no), code: FAULTY.to_owned(), text })
    }

    /// Gates are good for as long as the time between two samples: what waited longer is asked again before it starts.
    pub(super) fn take_fresh_gates(
        &mut self,
        no: ReleaseNo,
        stage: &StageName,
        run: &StageRun,
        fresh: Option<&[(LegId, Reading)]>,
    ) -> Result<(), Refusal> {
        if run.kind == RunKind::Rollback {
            return Ok(());
        }
        let asked = Asked { release: no, stage, attempt: run.attempt, sample: 0 };
        if let Some(readings) = fresh {
            return self.take_sample(asked, Side::Pre, readings).map(drop);
        }
        let now = self.now;
        let stale = self.on_course(no, stage, |course| course.is_stale(Side::Pre, now))?;
        if stale { self.open_gates(no, stage, run, Side::Pre) } else { Ok(()) }
    }
}
