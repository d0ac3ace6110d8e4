//! What follows by itself: expiry, supersession, skipping and admission, repeated until nothing moves.

use std::sync::Arc;

use crate::domain::approval::rule_for;
use crate::domain::decide::Draft;
use crate::domain::event::{Detail, Event, RunKind, Withdrawal};
use crate::domain::gate::{Blocker, Verdict, verdict, waits_since};
use crate::domain::name::{ReleaseNo, StageName};
use crate::domain::pipeline::Duty;
use crate::domain::refusal::Refusal;
use crate::domain::release::{Release, StageState, Transition};

/// Rounds until everything has settled; each round moves at least one stage one step further, so a pipeline of
/// more stages than this would merely need another wake-up.
const MAX_ROUNDS: usize = 64;

impl Draft {
    pub(super) fn advance(&mut self) -> Result<(), Refusal> {
        for _ in 0..MAX_ROUNDS {
            let before = self.events.len();
            let waiting = self.waiting();
            self.expire(&waiting)?;
            self.skip(&waiting)?;
            self.supersede(&waiting)?;
            self.admit(&waiting)?;
            if self.events.len() == before {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Pending and queued runs in the order of commits.
    fn waiting(&self) -> Vec<(ReleaseNo, StageName)> {
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
            let Some(approval) = rule_for(rule, run.kind) else { continue };
            let now = self.now;
            for old in run.approvals.iter().filter(|a| a.at.plus(approval.valid_for) <= now) {
                self.add(Event::ApprovalWithdrawn {
                    release: *no,
                    stage: stage.clone(),
                    attempt: run.attempt,
                    person: old.standing.person.id,
                    why: Withdrawal::Expired,
                })?;
            }
            let verdict = verdict(&self.state, &release, rule, self.now);
            let waits_for_people = verdict.blockers().any(|l| l.blocker == Blocker::Approval)
                && verdict.blocked_only_by(&[Blocker::Approval, Blocker::Hold]);
            let since = waits_since(&release, rule, run);
            if waits_for_people && since.plus(approval.timeout) <= self.now {
                let reason = format!("nobody approved within {}", approval.timeout);
                let by = (Transition::Reject, StageState::Rejected);
                self.move_stage(*no, stage, by, Detail::Reason(reason))?;
            }
        }
        Ok(())
    }

    /// What can no longer be reached is skipped, until a retry above opens it again.
    fn skip(&mut self, waiting: &[(ReleaseNo, StageName)]) -> Result<(), Refusal> {
        use crate::domain::event::Overridable;
        for (no, stage) in waiting {
            let Some(release) = self.still(*no, stage, StageState::Pending) else { continue };
            let Some((rule, run)) = release.rule(stage).zip(release.run(stage)) else { continue };
            if run.kind == RunKind::Rollback || run.overridden(Overridable::Deps).is_some() {
                continue;
            }
            let dead = rule.needs.iter().find(|need| {
                release.state_in(need).is_some_and(StageState::is_bad_end)
                    && release.rule(need).is_some_and(|s| s.duty == Duty::Mandatory)
            });
            let Some(dead) = dead else { continue };
            let newer = release.run(dead).and_then(|r| match (&r.state, &r.detail) {
                (StageState::Superseded, Detail::Newer(newer)) => Some(*newer),
                _ => None,
            });
            match newer {
                Some(newer) => {
                    let by = (Transition::NewerEligible, StageState::Superseded);
                    self.move_stage(*no, stage, by, Detail::Newer(newer))?;
                }
                None => {
                    let by = (Transition::DepsBlockedForever, StageState::SkippedUpstream);
                    self.move_stage(*no, stage, by, Detail::Reason(format!("{dead} did not succeed")))?;
                }
            }
        }
        Ok(())
    }

    /// SEMANTICS §4: when a newer release becomes eligible, older waiting deploys make way.
    fn supersede(&mut self, waiting: &[(ReleaseNo, StageName)]) -> Result<(), Refusal> {
        for (no, stage) in waiting {
            let Some(older) = self.state.release(*no).cloned() else { continue };
            let waits = older.state_in(stage).is_some_and(StageState::waits);
            if !waits || !self.state.supersedes(&older, stage) || self.is_protected(&older, stage) {
                continue;
            }
            let Some(newer) = self.newest_eligible_after(&older, stage) else { continue };
            let by = (Transition::NewerEligible, StageState::Superseded);
            self.move_stage(*no, stage, by, Detail::Newer(newer))?;
        }
        Ok(())
    }

    /// Fully approved, held, started by hand, or not an ordinary deploy (SEMANTICS §4).
    fn is_protected(&self, release: &Release, stage: &StageName) -> bool {
        let Some((rule, run)) = release.rule(stage).zip(release.run(stage)) else { return true };
        let older_than_live = self.state.live_in(stage).is_some_and(|live| live.order() > release.order());
        if run.kind == RunKind::Deploy && older_than_live {
            return false;
        }
        let approved = rule_for(rule, run.kind)
            .is_some_and(|r| crate::domain::approval::tally(&r, release, run, self.now).complete());
        run.kind != RunKind::Deploy
            || approved
            || run.promoted.is_some()
            || self.state.hold_on(stage).is_some()
    }

    /// The newest release that has everything but people's consent in this stage, or has been there already.
    fn newest_eligible_after(&self, older: &Release, stage: &StageName) -> Option<ReleaseNo> {
        self.state
            .releases
            .values()
            .filter(|r| r.order() > older.order())
            .filter(|r| match r.state_in(stage) {
                Some(StageState::Succeeded) => true,
                Some(state) if state.occupies() => true,
                Some(StageState::Queued) => true,
                Some(StageState::Pending) => self
                    .verdict(r, stage)
                    .is_some_and(|v| v.blocked_only_by(&[Blocker::Approval, Blocker::Hold])),
                Some(_) | None => false,
            })
            .max_by_key(|r| r.order())
            .map(|r| r.no())
    }

    fn admit(&mut self, waiting: &[(ReleaseNo, StageName)]) -> Result<(), Refusal> {
        for (no, stage) in waiting {
            let Some(release) = self.still(*no, stage, StageState::Pending) else { continue };
            if self.verdict(&release, stage).is_some_and(|v| v.open()) {
                self.move_stage(*no, stage, (Transition::Admit, StageState::Queued), Detail::None)?;
            }
        }
        Ok(())
    }
}
