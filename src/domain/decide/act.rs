//! Verbs that make a stage move or show it: promote, retry, cancel, rollback, preview, why, status.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::approval::rule_for;
use crate::domain::command::{Exactly, Part, ReleaseRef, StageRef, Verb};
use crate::domain::decide::resolve::{newest_of, spoken_here};
use crate::domain::decide::speak::{Told, approval, by, must_be_approver, needs};
use crate::domain::decide::{Draft, Spoken};
use crate::domain::event::{ApprovalSide, BuildOutcome, Event, RunKind};
use crate::domain::markdown::escape;
use crate::domain::name::{ReleaseNo, StageName};
use crate::domain::pipeline::Role;
use crate::domain::queue::BUILD;
use crate::domain::refusal::{NoWayBack, Refusal};
use crate::domain::release::{BuildState, Release, StageRun, StageState, Transition};
use crate::domain::rollback;
use crate::domain::state::{Live, State};
use crate::domain::track::Track;
use crate::domain::view;

impl Draft {
    pub(super) fn promote(&mut self, spoken: &Spoken, stage: &StageRef) -> Result<Told, Refusal> {
        let stage = self.stage(Verb::Promote, stage)?;
        needs(spoken, Some(&stage), Role::Write)?;
        let release = self.for_action(spoken, &stage, |run| run.state.waits())?;
        let outrun = self.state.outrun_by(&release, &stage).is_some();
        let can_start = |run: &&StageRun| run.state.waits() && (!outrun || run.kind == RunKind::Rollback);
        let Some(run) = release.run(&stage).filter(can_start) else {
            return Err(self.cannot_start(Verb::Promote, &release, &stage));
        };
        // A promotion from before a rollback does not pass the hold that the rollback left.
        let since = self.state.hold_of_rollback(&stage, release.track()).map(|hold| hold.since);
        if run.promoted_at.is_none_or(|at| since.is_some_and(|since| at < since)) {
            self.add(Event::Promoted {
                release: release.no(),
                stage,
                attempt: run.attempt,
                by: spoken.standing.person.clone(),
            })?;
        }
        Ok(Told::started())
    }

    /// The same bytes again, never new ones (THREATS T24).
    pub(super) fn retry(
        &mut self,
        spoken: &Spoken,
        wanted: &StageRef,
        part: Option<Part>,
    ) -> Result<Told, Refusal> {
        if wanted.stage.as_str() == BUILD {
            return self.retry_build(spoken, &wanted.stage);
        }
        let stage = self.stage(Verb::Retry, wanted)?;
        needs(spoken, Some(&stage), Role::Write)?;
        let release = self.for_action(spoken, &stage, |run| run.state.is_bad_end() || run.fault.is_some())?;
        let Some(run) = release.run(&stage).filter(|run| run.state.is_terminal()) else {
            return Err(self.cannot_start(Verb::Retry, &release, &stage));
        };
        let outrun = self.state.outrun_by(&release, &stage).is_some() && run.kind != RunKind::Rollback;
        if let Some(reason) = self.state.vetoes.get(&(stage.clone(), release.no())) {
            let lift = if self.state.tampered(release.no()) {
                "Nothing lifts that.".to_owned()
            } else {
                format!("`/unhold {stage}` lifts that.")
            };
            let instead = format!("{} is vetoed there: {}. {lift}", release.created.version, escape(reason));
            return Err(Refusal::Nothing { verb: Verb::Retry, stage, instead });
        }
        if release.retired.is_some() {
            let version = &release.created.version;
            let instead = format!(
                "The artifact of {version} was deleted: it was not to be kept any longer. A push makes a new release."
            );
            return Err(Refusal::Nothing { verb: Verb::Retry, stage, instead });
        }
        let again = (run.state.is_bad_end() || run.fault.is_some())
            && !matches!(run.state, StageState::Superseded | StageState::SkippedUpstream);
        let of_before = run.kind == RunKind::Rollback
            && run.started_at.is_none()
            && rollback::overtaken(&self.state, &release, (&stage, run)).is_some();
        if outrun || of_before || !again {
            return Err(self.cannot_start(Verb::Retry, &release, &stage));
        }
        let kind = match (part, run.kind) {
            (Some(Part::Verify), _) if !is_there(&self.state, &release, &stage, run) => {
                let instead = format!("{} is not what was last deployed there.", release.created.version);
                return Err(Refusal::Nothing { verb: Verb::Retry, stage, instead });
            }
            (_, RunKind::Rollback) => RunKind::Rollback,
            (Some(Part::Verify), _) => RunKind::Verify,
            (None, _) => RunKind::Redeploy,
        };
        if kind == RunKind::Rollback {
            must_be_approver(spoken, &release, (&stage, ApprovalSide::Before))?;
        }
        let by = Some(spoken.standing.person.clone());
        self.open_again(release.no(), &stage, kind, (by, None))?;
        self.carry_on(release.no(), &stage, run)?;
        self.reopen_below(release.no(), &stage)?;
        Ok(Told::started())
    }

    /// Stages that were skipped because this one failed wait for it again.
    pub(super) fn reopen_below(&mut self, no: ReleaseNo, stage: &StageName) -> Result<(), Refusal> {
        for below in self.downstream(no, stage)? {
            let last = self.run(no, &below)?;
            if last.state == StageState::SkippedUpstream {
                self.open_again(no, &below, RunKind::Deploy, (None, None))?;
                self.carry_on(no, &below, &last)?;
            }
        }
        Ok(())
    }

    fn retry_build(&mut self, spoken: &Spoken, build: &StageName) -> Result<Told, Refusal> {
        needs(spoken, Some(build), Role::Write)?;
        let failed = |build: &BuildState| matches!(build, BuildState::Failed(_));
        let Some(release) = self.build_meant(spoken, build, failed)? else {
            let instead = spoken.ask.release().map_or_else(
                || "No build has failed.".to_owned(),
                |named| format!("The build of {named} has not failed."),
            );
            return Err(Refusal::Nothing { verb: Verb::Retry, stage: build.clone(), instead });
        };
        let attempt = release.build_attempt.saturating_add(1);
        let by = Some(spoken.standing.person.clone());
        self.add(Event::BuildRetried { release: release.no(), attempt, by })?;
        Ok(Told::started())
    }

    pub(super) fn cancel(
        &mut self,
        spoken: &Spoken,
        wanted: &StageRef,
        exactly: Option<Exactly>,
    ) -> Result<Told, Refusal> {
        if wanted.stage.as_str() == BUILD {
            return self.cancel_build(spoken, &wanted.stage, exactly);
        }
        let stage = self.stage(Verb::Cancel, wanted)?;
        needs(spoken, Some(&stage), Role::Write)?;
        let release = match exactly {
            Some(one) => self.attempt_of(one, &stage)?,
            None => self.to_cancel(spoken, &stage)?,
        };
        let state = release.state_in(&stage);
        if state.is_some_and(StageState::occupies) && exactly.is_some_and(|one| !one.force) {
            return Err(Refusal::Runs { stage, release: release.created.version.to_string() });
        }
        if release.run(&stage).is_some_and(|run| run.asking().is_some()) {
            self.cancel_asked(spoken, release.no(), &stage)?;
            return Ok(Told::started());
        }
        let by = by(spoken, None);
        let to = match state {
            Some(StageState::Pending | StageState::Queued | StageState::AwaitingSignoff) => {
                StageState::Cancelled
            }
            Some(StageState::Running | StageState::Paused) => StageState::Cancelling,
            _ => return Err(self.cannot_start(Verb::Cancel, &release, &stage)),
        };
        self.move_stage(release.no(), &stage, (Transition::Cancel, to), by)?;
        Ok(Told::started())
    }

    /// The release that runs in a stage, or else waits there.
    fn to_cancel(&self, spoken: &Spoken, stage: &StageName) -> Result<Arc<Release>, Refusal> {
        if let Some(wanted) = spoken.ask.release() {
            return self.named(wanted, Verb::Cancel, stage);
        }
        let running = self.with_run(stage, |run| run.state.occupies());
        match self.track_meant(spoken, stage, &running)? {
            Some(release) => Ok(release),
            None => self.for_action(spoken, stage, |run| run.state.waits()),
        }
    }

    /// The release of a run that is still the last one in its stage: whoever looked at the queue a while ago means
    /// what they saw there.
    fn attempt_of(&self, one: Exactly, stage: &StageName) -> Result<Arc<Release>, Refusal> {
        let release = self.release(one.release)?;
        let attempt = release.run(stage).map(|run| run.attempt);
        if attempt == Some(one.attempt) { Ok(release) } else { Err(Refusal::Stale) }
    }

    /// Releases whose build is so, in the order of commits; of a track its newest alone.
    fn with_build(&self, fits: fn(&BuildState) -> bool) -> Vec<Arc<Release>> {
        let all = self.state.in_order();
        let is_over = |r: &Release| r.track().is_some() && all.iter().any(|n| n.is_ahead_of(r));
        all.iter().filter(|r| fits(&r.build) && !is_over(r)).map(|r| Arc::clone(r)).collect()
    }

    /// The release whose build is so and that is named, else the newest that is spoken about here, else the newest.
    fn build_meant(
        &self,
        spoken: &Spoken,
        build: &StageName,
        fits: fn(&BuildState) -> bool,
    ) -> Result<Option<Arc<Release>>, Refusal> {
        let verb = spoken.ask.verb();
        if let Some(wanted) = spoken.ask.release() {
            return Ok(Some(self.named(wanted, verb, build)?).filter(|r| fits(&r.build)));
        }
        let found = self.with_build(fits);
        let here: Vec<_> = found.iter().filter(|r| spoken_here(r, spoken)).cloned().collect();
        newest_of(if here.is_empty() { &found } else { &here }, (verb, build))
    }

    /// A build that waits is not begun, and one that runs is stopped; `/retry build` builds it after all.
    fn cancel_build(
        &mut self,
        spoken: &Spoken,
        build: &StageName,
        exactly: Option<Exactly>,
    ) -> Result<Told, Refusal> {
        needs(spoken, Some(build), Role::Write)?;
        let building = |build: &BuildState| matches!(build, BuildState::Waiting | BuildState::Running { .. });
        let release = match exactly {
            Some(one) => {
                let mut all = self.with_build(building).into_iter();
                all.find(|r| r.no() == one.release && r.build_attempt == one.attempt)
            }
            None => self.build_meant(spoken, build, building)?,
        };
        let Some(release) = release else {
            let instead = spoken.ask.release().map_or_else(
                || "No build waits or runs.".to_owned(),
                |named| format!("The build of {named} neither waits nor runs."),
            );
            return Err(Refusal::Nothing { verb: Verb::Cancel, stage: build.clone(), instead });
        };
        let runs = matches!(release.build, BuildState::Running { .. });
        if runs && exactly.is_some_and(|one| !one.force) {
            let release = release.created.version.to_string();
            return Err(Refusal::Runs { stage: build.clone(), release });
        }
        let outcome = BuildOutcome::Cancelled(spoken.standing.person.clone());
        let (release, attempt) = (release.no(), release.build_attempt);
        self.add(Event::BuildFinished {
            release,
            attempt,
            outcome,
            reused: None,
            locks: None,
            executor: None,
        })?;
        Ok(Told::started())
    }

    /// SEMANTICS §8: a promotion of what last succeeded here before what is live, and is not vetoed.
    pub(super) fn rollback(
        &mut self,
        spoken: &Spoken,
        stage: &StageName,
        wanted: Option<&ReleaseRef>,
    ) -> Result<Told, Refusal> {
        let no_way = |why| Refusal::NoRollback { stage: stage.clone(), why };
        let rules = self.state.pipeline();
        if rules.is_some_and(|rules| rules.stage(stage).is_some_and(|stage| rules.release.kind.ships(stage)))
        {
            return Err(no_way(NoWayBack::Shipped));
        }
        let target = if let Some(wanted) = wanted {
            let release = self.named(wanted, Verb::Rollback, stage)?;
            let targets = self.state.rollback_targets(stage, release.track());
            let good = targets.iter().any(|r| r.no() == release.no());
            let why = || no_way(self.why_not_back(&release, stage, wanted.to_string()));
            if good { release } else { return Err(why()) }
        } else {
            let tracks: BTreeSet<Option<&Track>> =
                self.state.live_of(stage).map(|(track, _)| track).collect();
            let back =
                tracks.into_iter().filter_map(|track| rollback::back(&self.state, stage, track).cloned());
            let back: Vec<Arc<Release>> = back.collect();
            let meant = self.track_meant(spoken, stage, &back)?;
            meant.ok_or_else(|| no_way(NoWayBack::NothingOlder))?
        };
        must_be_approver(spoken, &target, (stage, ApprovalSide::Before))?;
        let by_itself =
            |run: &StageRun| run.kind == RunKind::Rollback && run.by.is_none() && run.state.waits();
        if target.run(stage).is_some_and(by_itself) {
            // One that began by itself waits for what a person may pass over.
            let to = (Transition::Cancel, StageState::Cancelled);
            self.move_stage(target.no(), stage, to, by(spoken, None))?;
        } else if target.state_in(stage).is_some_and(|s| !s.is_terminal()) {
            return Err(self.cannot_start(Verb::Rollback, &target, stage));
        }
        let by = Some(spoken.standing.person.clone());
        self.open_again(target.no(), stage, RunKind::Rollback, (by, None))?;
        self.approve_own_rollback(spoken, &target, stage)?;
        Ok(Told::started())
    }

    /// Why a release that was named is nothing to go back to.
    fn why_not_back(&self, release: &Release, stage: &StageName, wanted: String) -> NoWayBack {
        let no = release.no();
        if self.state.live_in(stage, release.track()).is_some_and(|live| live.no() == no) {
            return NoWayBack::Live(wanted);
        }
        if !self.state.done(stage).any(|done| done.no() == no) {
            return NoWayBack::Never(wanted);
        }
        match self.state.vetoes.get(&(stage.clone(), no)) {
            Some(reason) => {
                let lift = (!self.state.tampered(no)).then(|| format!("/unhold {stage}"));
                NoWayBack::Vetoed(wanted, reason.clone(), lift)
            }
            None => NoWayBack::Gone(wanted),
        }
    }

    /// Who asks for a rollback and may approve it has said so already.
    fn approve_own_rollback(
        &mut self,
        spoken: &Spoken,
        target: &Release,
        stage: &StageName,
    ) -> Result<(), Refusal> {
        let release = self.release(target.no())?;
        let Some((run, rule)) = release.run(stage).zip(release.rule(stage)) else { return Ok(()) };
        let Some(approval) = approval(spoken, &release.seen_by(run), rule_for(rule, run).as_ref(), None)
        else {
            return Ok(());
        };
        self.add(Event::Approved {
            release: release.no(),
            stage: stage.clone(),
            attempt: run.attempt,
            approval: Box::new(approval),
        })
    }

    pub(super) fn preview(&mut self, spoken: &Spoken, stage: &StageRef) -> Result<Told, Refusal> {
        let stage = self.stage(Verb::Preview, stage)?;
        needs(spoken, Some(&stage), spoken.visibility.to_make_work())?;
        let release = self.for_action(spoken, &stage, |run| !run.state.is_terminal())?;
        Ok(Told::text(view::preview(&self.state, &release, &stage, self.now)))
    }

    pub(super) fn why(&mut self, spoken: &Spoken, stage: &StageRef) -> Result<Told, Refusal> {
        let stage = self.stage(Verb::Why, stage)?;
        needs(spoken, Some(&stage), Role::Read)?;
        let release = self.for_action(spoken, &stage, |_| true)?;
        Ok(Told::text(view::why_markdown(&self.state, &release, &stage, self.now)))
    }

    pub(super) fn status(&mut self, spoken: &Spoken, stage: Option<&StageRef>) -> Result<Told, Refusal> {
        let stage = stage.map(|s| self.stage(Verb::Status, s)).transpose()?;
        needs(spoken, stage.as_ref(), Role::Read)?;
        Ok(Told::text(view::status_markdown(&self.state, stage.as_ref(), self.now)))
    }
}

/// Whether the last commands that ran in the stage were this attempt's.
pub(super) fn is_there(state: &State, release: &Release, stage: &StageName, run: &StageRun) -> bool {
    let last = state.live_at(stage, release.track()).map(Live::release);
    last == Some(release.no()) && run.started_at.is_some()
}
