//! People who look at what is deployed: their sign-offs end the wait, and their no ends the release here.

use std::collections::BTreeSet;

use crate::domain::approval::{approvers, asked, entitled_for, rule_on, signoff_for, tally};
use crate::domain::decide::{Draft, Fresh, withdrawal};
use crate::domain::event::{ApprovalSide, Detail, Withdrawal};
use crate::domain::gate::{Blocker, approvals_end, verdict};
use crate::domain::name::{ReleaseNo, StageName, TeamWord};
use crate::domain::refusal::Refusal;
use crate::domain::release::{Release, StageRun, StageState, Transition};

impl Draft {
    /// Sign-offs that got too old are taken away, and a wait for them that took too long is a rejection.
    pub(super) fn expire_signoffs(&mut self) -> Result<(), Refusal> {
        let awaiting: Vec<(ReleaseNo, StageName)> = self
            .state
            .open()
            .into_iter()
            .flat_map(|release| release.stages.keys().map(|stage| (release.no(), stage.clone())))
            .filter(|(no, stage)| {
                self.state.release(*no).and_then(|r| r.state_in(stage)) == Some(StageState::AwaitingSignoff)
            })
            .collect();
        for (no, stage) in awaiting {
            let release = self.release(no)?;
            let Some((rule, run)) = release.rule(&stage).zip(release.run(&stage)) else { continue };
            let Some(asked) = signoff_for(rule, run.kind) else { continue };
            let now = self.now;
            for old in run.signoffs.iter().filter(|a| a.at.plus(asked.valid_for) <= now) {
                self.add(withdrawal((no, &stage, run.attempt), old, Withdrawal::Expired))?;
            }
            let complete = tally(&asked, &release, run, now).complete();
            let ends = approvals_end(&self.state, (&release, rule, run), now);
            if !complete && ends.is_some_and(|ends| ends <= now) {
                let reason = Detail::Reason(format!("nobody signed it off within {}", asked.timeout));
                let to = (Transition::Timeout, StageState::RejectedAfterDeploy);
                self.move_stage(no, &stage, to, reason)?;
            }
        }
        Ok(())
    }

    /// Everybody has signed off, and the host was asked whether they still may (THREATS T28): it is live.
    pub(super) fn confirm(
        &mut self,
        no: ReleaseNo,
        stage: &StageName,
        attempt: u32,
        fresh: &Fresh,
    ) -> Result<(), Refusal> {
        let run = self.run(no, stage)?;
        if run.state != StageState::AwaitingSignoff || run.attempt != attempt {
            return Err(Refusal::Stale);
        }
        self.drop_stale(no, stage, (&run, ApprovalSide::After), fresh)?;
        let release = self.release(no)?;
        let Some((rule, run)) = release.rule(stage).zip(release.run(stage)) else {
            return Err(Refusal::Stale);
        };
        let asked = signoff_for(rule, run.kind);
        if !asked.is_none_or(|asked| tally(&asked, &release, run, self.now).complete()) {
            return Ok(());
        }
        let took = run.detail.clone();
        self.move_stage(no, stage, (Transition::ApproveComplete, StageState::Succeeded), took)?;
        self.after_success(no, stage)
    }

    /// Takes away what was given by people who may no longer give it, or in comments that are not as they were.
    pub(super) fn drop_stale(
        &mut self,
        no: ReleaseNo,
        stage: &StageName,
        (run, side): (&StageRun, ApprovalSide),
        fresh: &Fresh,
    ) -> Result<(), Refusal> {
        let release = self.release(no)?;
        let rule = release.rule(stage).and_then(|s| rule_on(s, run, side));
        for approval in run.given(side) {
            let now = fresh.standings.get(&approval.standing.person.id);
            let gone = now.zip(rule.as_ref()).is_some_and(|(now, rule)| {
                entitled_for(rule, (&release, run), now, approval.team.as_ref()).is_err()
            });
            let changed = approval.comment.as_ref().is_some_and(|c| fresh.comments_changed.contains(c));
            let why = match (gone, changed) {
                (true, _) => Withdrawal::NoLongerEntitled,
                (false, true) => Withdrawal::Edited,
                (false, false) => continue,
            };
            self.add(withdrawal((no, stage, run.attempt), approval, why))?;
        }
        Ok(())
    }

    /// Somebody who may sign off says no: what is deployed stays there, and starts here no more (SEMANTICS §2).
    pub(super) fn reject_deployed(
        &mut self,
        release: &Release,
        stage: &StageName,
        by: Detail,
    ) -> Result<(), Refusal> {
        let reason = match &by {
            Detail::By { person, reason: Some(reason) } => {
                format!("rejected after the deploy by {}: {reason}", person.login)
            }
            Detail::By { .. }
            | Detail::None
            | Detail::Fence(_)
            | Detail::Failed(_)
            | Detail::Reason(_)
            | Detail::Newer(_)
            | Detail::Took(_) => "rejected after the deploy".to_owned(),
        };
        let to = (Transition::Reject, StageState::RejectedAfterDeploy);
        self.move_stage(release.no(), stage, to, by)?;
        self.veto(release.no(), stage, &reason)
    }

    /// The stages that ask for this team and still wait: those that wait for people alone, when there are any.
    pub(super) fn waiting_for(&self, team: &TeamWord) -> Vec<StageName> {
        let mut ready = BTreeSet::new();
        let mut later = BTreeSet::new();
        for release in self.state.open() {
            let runs = release.stages.iter().filter_map(|(stage, runs)| Some((stage, runs.last()?)));
            for (stage, run) in runs.filter(|(_, run)| run.state.asks()) {
                let Some(rule) = release.rule(stage) else { continue };
                let Some(asked) = asked(rule, run) else { continue };
                let named = approvers(&asked).iter().any(|who| who.is_called(team));
                if !named || tally(&asked, release, run, self.now).complete() {
                    continue;
                }
                let people = [Blocker::Approval, Blocker::Signoff];
                let alone = verdict(&self.state, release, rule, self.now).blocked_only_by(&people);
                if alone { &mut ready } else { &mut later }.insert(stage.clone());
            }
        }
        if ready.is_empty() { later } else { ready }.into_iter().collect()
    }
}
