//! Asking the host about people who said yes: may they still, and do their comments still say so (THREATS T17, T28).

use std::collections::BTreeSet;

use crate::domain::approval::{approvers, asked};
use crate::domain::decide::{Command, Fresh};
use crate::domain::effect::Place;
use crate::domain::event::Approval;
use crate::domain::name::{Digest, ReleaseNo, StageName, TeamName};
use crate::domain::pipeline::ApprovalRule;
use crate::domain::release::{Release, StageRun, StageState};
use crate::domain::state::State;
use crate::service::Service;
use crate::service::worker::{Lease, Result as Worked};
use crate::trouble::{Kind, Outcome, Trouble};

impl Service {
    /// Everybody has signed off: the release is live there if they still may.
    pub async fn confirm_signoff(
        &self,
        lease: &Lease,
        release: ReleaseNo,
        stage: &StageName,
        attempt: u32,
    ) -> Worked {
        let id = lease.pipeline()?;
        let state = self.journal().load(&id).await?;
        let found = state.release(release).ok_or_else(|| Trouble::bug("the release is gone"))?;
        let run =
            found.run(stage).filter(|run| run.state == StageState::AwaitingSignoff && run.attempt == attempt);
        let Some(run) = run else { return lease.complete(self, "decided already").await };
        let fresh = self.approvers_now(&state, found, (stage, run)).await?;
        let confirm = Command::Confirm { release, stage: stage.clone(), attempt, fresh };
        match self.journal().decide(&id, &confirm, lease.done("confirmed")).await? {
            Ok(_) => Ok(()),
            Err(refusal) => lease.complete(self, refusal.code()).await,
        }
    }

    /// What the host says right now about those who said yes, and about their comments (invariant 8).
    pub(super) async fn approvers_now(
        &self,
        state: &State,
        release: &Release,
        (stage, run): (&StageName, &StageRun),
    ) -> Outcome<Fresh> {
        let rule = release.rule(stage).and_then(|rule| asked(rule, run));
        self.said_yes(state, (run.given(run.side()), rule.as_ref()), release.place.as_ref()).await
    }

    /// The same of what was approved under a rule; `place` is where a comment stands that was not answered.
    pub(super) async fn said_yes(
        &self,
        state: &State,
        (approvals, rule): (&[Approval], Option<&ApprovalRule>),
        place: Option<&Place>,
    ) -> Outcome<Fresh> {
        let repo = &state.id.repo;
        let host = self.host(repo)?;
        let mut fresh = Fresh::default();
        let teams: BTreeSet<TeamName> =
            rule.into_iter().flat_map(approvers).filter_map(|who| who.host_team().cloned()).collect();
        for approval in approvals {
            let person = &approval.standing.person;
            let asked = fresh.standings.contains_key(&person.id);
            let now = if asked { None } else { Some(host.standing(repo, person, &teams).await?) };
            fresh.standings.extend(now.map(|now| (person.id, now)));
            if self.comment_changed(state, approval, place).await? {
                fresh.comments_changed.extend(approval.comment.clone());
            }
        }
        Ok(fresh)
    }

    async fn comment_changed(
        &self,
        state: &State,
        approval: &Approval,
        place: Option<&Place>,
    ) -> Outcome<bool> {
        let Some(comment) = &approval.comment else { return Ok(false) };
        let answer = state.answers.values().find_map(|(_, heard)| {
            (heard.comment.as_ref() == Some(comment)).then(|| heard.place.clone()).flatten()
        });
        let Some(place) = answer.or_else(|| place.cloned()) else { return Ok(false) };
        match self.host(&state.id.repo)?.comment(&state.id.repo, &place, comment).await {
            Ok(now) => Ok(Digest::of_text(&now.body) != approval.body),
            Err(trouble) if trouble.kind() == Kind::NotFound => Ok(true),
            Err(trouble) => Err(trouble),
        }
    }
}
