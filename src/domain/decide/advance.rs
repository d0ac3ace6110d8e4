//! What follows by itself: expiry, supersession, skipping and admission, repeated until nothing moves.

use std::sync::Arc;

use crate::domain::approval::{rule_for, tally};
use crate::domain::decide::{Draft, withdrawal};
use crate::domain::event::{Detail, Overridable, RunKind, Withdrawal};
use crate::domain::gate::{
    Blocker, Verdict, approvals_end, batch_is_full, dead_ends, passed_over, verdict, window_wait_ends,
};
use crate::domain::name::{ReleaseNo, StageName};
use crate::domain::pipeline::{QueuePolicy, Stage};
use crate::domain::refusal::Refusal;
use crate::domain::release::{Release, StageRun, StageState, Transition};

/// Rounds until everything has settled; each round moves at least one stage one step further, so a pipeline of
/// more stages than this would merely need another wake-up.
const MAX_ROUNDS: usize = 64;

impl Draft {
    pub(super) fn advance(&mut self) -> Result<(), Refusal> {
        self.thaw()?;
        self.ring_clocks()?;
        for _ in 0..MAX_ROUNDS {
            let before = self.events.len();
            self.advance_runbooks()?;
            let waiting = self.waiting();
            self.expire(&waiting)?;
            self.expire_signoffs()?;
            self.end_silence()?;
            self.watch_holds()?;
            self.reuse(&waiting)?;
            self.miss_windows(&waiting)?;
            self.give_back(&waiting)?;
            self.skip(&waiting)?;
            self.supersede(&waiting)?;
            self.settle()?;
            self.lapse()?;
            self.go_back()?;
            self.admit(&waiting)?;
            if self.events.len() == before {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Pending and queued runs in the order of commits.
    pub(super) fn waiting(&self) -> Vec<(ReleaseNo, StageName)> {
        self.state
            .open()
            .into_iter()
            .flat_map(|release| {
                release
                    .stages
                    .iter()
                    .filter(|(_, runs)| runs.last().is_some_and(|run| run.state.waits()))
                    .map(|(stage, _)| (release.no(), stage.clone()))
            })
            .collect()
    }

    /// The run is still waiting: an earlier step of this round may have moved it.
    fn still(&self, no: ReleaseNo, stage: &StageName, state: StageState) -> Option<Arc<Release>> {
        self.state.release(no).filter(|r| r.state_in(stage) == Some(state)).cloned()
    }

    fn verdict(&self, release: &Release, stage: &StageName) -> Option<Verdict> {
        release.rule(stage).map(|rule| verdict(&self.state, release, rule, self.now))
    }

    /// Approvals that got too old are taken away, and a wait that took too long is a rejection (SEMANTICS §3).
    fn expire(&mut self, waiting: &[(ReleaseNo, StageName)]) -> Result<(), Refusal> {
        for (no, stage) in waiting {
            let Some(release) = self.still(*no, stage, StageState::Pending) else { continue };
            let Some((rule, run)) = release.rule(stage).zip(release.run(stage)) else { continue };
            let Some(approval) = rule_for(rule, run) else { continue };
            let now = self.now;
            for old in run.approvals.iter().filter(|a| a.at.plus(approval.valid_for) <= now) {
                self.add(withdrawal((*no, stage, run.attempt), old, Withdrawal::Expired))?;
            }
            let verdict = verdict(&self.state, &release, rule, self.now);
            let waits_for_people = verdict.blockers().any(|l| l.blocker == Blocker::Approval)
                && verdict.blocked_only_by(&[Blocker::Approval, Blocker::Window, Blocker::Gate]);
            let ends = approvals_end(&self.state, (&release, rule, run), self.now);
            if waits_for_people && ends.is_some_and(|ends| ends <= self.now) {
                let reason = format!("nobody approved within {}", approval.timeout);
                let by = (Transition::Reject, StageState::Rejected);
                self.move_stage(*no, stage, by, Detail::Reason(reason))?;
            }
        }
        Ok(())
    }

    /// A release that waited too long for its window is rejected (SEMANTICS §6).
    fn miss_windows(&mut self, waiting: &[(ReleaseNo, StageName)]) -> Result<(), Refusal> {
        for (no, stage) in waiting {
            let Some(release) = self.still(*no, stage, StageState::Pending) else { continue };
            let Some((rule, run)) = release.rule(stage).zip(release.run(stage)) else { continue };
            let Some(ends) = window_wait_ends(&self.state, (&release, rule, run), self.now) else { continue };
            let verdict = verdict(&self.state, &release, rule, self.now);
            let waits = verdict.blockers().next().is_some() && verdict.blocked_only_by(&[Blocker::Window]);
            if waits && ends <= self.now {
                let by = (Transition::WindowWaitExpired, StageState::Rejected);
                let reason = "its window did not open in time".to_owned();
                self.move_stage(*no, stage, by, Detail::Reason(reason))?;
            }
        }
        Ok(())
    }

    /// What is queued and no longer may start waits again: a hold, a veto, a window that closed, an approval taken
    /// back (SEMANTICS §2).
    fn give_back(&mut self, waiting: &[(ReleaseNo, StageName)]) -> Result<(), Refusal> {
        for (no, stage) in waiting {
            let Some(release) = self.still(*no, stage, StageState::Queued) else { continue };
            if self.verdict(&release, stage).is_some_and(|v| !v.open()) {
                let by = (Transition::BlockersReturned, StageState::Pending);
                self.move_stage(*no, stage, by, Detail::None)?;
            }
        }
        Ok(())
    }

    /// What can no longer be reached is skipped, until a retry above opens it again.
    fn skip(&mut self, waiting: &[(ReleaseNo, StageName)]) -> Result<(), Refusal> {
        for (no, stage) in waiting {
            let Some(release) = self.still(*no, stage, StageState::Pending) else { continue };
            let Some((rule, run)) = release.rule(stage).zip(release.run(stage)) else { continue };
            if run.kind == RunKind::Rollback || run.overridden(&Overridable::Deps, rule).is_some() {
                continue;
            }
            let dead = dead_ends(&release, rule);
            let Some(first) = dead.first() else { continue };
            let newer = dead.iter().find_map(|dead| match release.run(dead).map(|r| (&r.state, &r.detail)) {
                Some((StageState::Superseded, Detail::Newer(newer))) => Some(*newer),
                _ => None,
            });
            let (by, detail) = if let Some(newer) = newer {
                ((Transition::NewerEligible, StageState::Superseded), Detail::Newer(newer))
            } else {
                let others = dead.iter().skip(1).map(|dead| format!(", and neither did {dead}"));
                let reason = format!("{first} did not succeed{}", others.collect::<String>());
                ((Transition::DepsBlockedForever, StageState::SkippedUpstream), Detail::Reason(reason))
            };
            self.move_stage(*no, stage, by, detail)?;
        }
        Ok(())
    }

    /// SEMANTICS §4: when a newer release becomes eligible, older waiting deploys make way.
    fn supersede(&mut self, waiting: &[(ReleaseNo, StageName)]) -> Result<(), Refusal> {
        for (no, stage) in waiting {
            let Some(older) = self.state.release(*no).cloned() else { continue };
            let Some((rule, run)) = older.rule(stage).zip(older.run(stage)) else { continue };
            if !run.state.waits() || run.kind == RunKind::Rollback {
                continue;
            }
            // What a newer release has been through before it can never start (I7), whatever the queue says.
            let newer = match self.state.outrun_by(&older, stage) {
                Some(done) => Some(done.no()),
                None if run.kind == RunKind::Deploy
                    && matches!(rule.queue, QueuePolicy::Latest | QueuePolicy::Batch { .. })
                    && !self.is_protected(&older, rule, run) =>
                {
                    self.newest_eligible_after(&older, stage).filter(|newer| self.takes_over(*newer, stage))
                }
                None => None,
            };
            let Some(newer) = newer else { continue };
            let by = (Transition::NewerEligible, StageState::Superseded);
            self.move_stage(*no, stage, by, Detail::Newer(newer))?;
        }
        Ok(())
    }

    /// A batch makes way for its newest release once nothing more is collected.
    fn takes_over(&self, newer: ReleaseNo, stage: &StageName) -> bool {
        let newer = self.state.release(newer);
        newer.is_none_or(|newer| batch_is_full(&self.state, newer, stage, self.now))
    }

    /// Fully approved, held, started by hand or on a train past its cut-off (SEMANTICS §4).
    fn is_protected(&self, release: &Release, rule: &Stage, run: &StageRun) -> bool {
        let approved = rule_for(rule, run).is_some_and(|r| tally(&r, release, run, self.now).complete());
        approved
            || run.promoted.is_some()
            || run.departed.is_some()
            || self.state.demands.boards(&rule.name, release.no())
            || self.state.hold_on(&rule.name, release.track()).is_some()
    }

    /// The newest release whose stages before are done and soaked, or that has been let in already.
    fn newest_eligible_after(&self, older: &Release, stage: &StageName) -> Option<ReleaseNo> {
        const NOT_YET: &[Blocker] = &[
            Blocker::Build,
            Blocker::Variables,
            Blocker::Tag,
            Blocker::Channel,
            Blocker::Veto,
            Blocker::Deps,
            Blocker::Soak,
        ];
        self.state
            .releases
            .values()
            .filter(|r| r.follows(older))
            .filter(|r| match r.run(stage).map(|run| run.state) {
                Some(StageState::Pending) => self
                    .verdict(r, stage)
                    .is_some_and(|v| v.blockers().all(|line| !NOT_YET.contains(&line.blocker))),
                Some(state) => state == StageState::Queued || state.occupies(),
                None => false,
            })
            .max_by_key(|r| r.order())
            .map(|r| r.no())
    }

    fn admit(&mut self, waiting: &[(ReleaseNo, StageName)]) -> Result<(), Refusal> {
        for (no, stage) in waiting {
            let Some(release) = self.still(*no, stage, StageState::Pending) else { continue };
            if self.verdict(&release, stage).is_some_and(|v| v.open()) {
                let rule = release.rule(stage);
                let spite = rule.and_then(|rule| passed_over(&self.state, &release, rule, self.now));
                let detail = spite.map_or(Detail::None, Detail::Reason);
                self.move_stage(*no, stage, (Transition::Admit, StageState::Queued), detail)?;
            }
        }
        Ok(())
    }
}
