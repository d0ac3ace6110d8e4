//! What runs where: which move of a release puts it there, and what that does to the one before.

use std::sync::Arc;

use crate::domain::name::{ReleaseNo, StageName};
use crate::domain::release::StageState;
use crate::domain::slot;
use crate::domain::state::{Live, State};
use crate::domain::time::Timestamp;
use crate::domain::track::Track;

impl State {
    /// Whoever was live there until now was so for as long as that: a soak that is over stays over.
    fn set_live(&mut self, here: (StageName, Option<Track>), live: Live, at: Timestamp) {
        let stage = here.0.clone();
        let before = self.live.insert(here, live);
        if let Some(Live::Release(no, since)) = before.filter(|before| before.release() != live.release())
            && let Some(release) = self.releases.get_mut(&no)
            && let Some(run) = Arc::make_mut(release).stages.get_mut(&stage).and_then(|runs| runs.last_mut())
            && run.state.is_terminal()
        {
            run.stayed = Some(at.since(since));
        }
    }

    /// Keeps what runs where, and what a rollback may go to.
    pub(super) fn note_live(&mut self, no: ReleaseNo, stage: &StageName, to: StageState, at: Timestamp) {
        let here = (stage.clone(), self.release(no).and_then(|r| r.track().cloned()));
        match to {
            StageState::Succeeded => {
                self.set_live(here, Live::Release(no, at), at);
                let history = self.history.entry(stage.clone()).or_default();
                history.retain(|earlier| *earlier != no);
                history.push(no);
            }
            // It runs there, for people to look at; it is in the history of the stage when they have signed off.
            StageState::AwaitingSignoff => {
                self.set_live(here, Live::Release(no, at), at);
            }
            StageState::Failed | StageState::TimedOut | StageState::Cancelled | StageState::Errored => {
                // What never started has changed nothing, and neither has what left alone the slot that is live.
                let run = self.release(no).and_then(|r| r.rule(stage).zip(r.run(stage)));
                if run.is_some_and(|(rule, run)| run.started_at.is_some() && !slot::untouched(rule, run)) {
                    self.set_live(here, Live::Unknown(no), at);
                }
            }
            StageState::Pending
            | StageState::Queued
            | StageState::Running
            | StageState::Paused
            | StageState::Rejected
            | StageState::RejectedAfterDeploy
            | StageState::Superseded
            | StageState::Cancelling
            | StageState::Skipped
            | StageState::SkippedUpstream
            | StageState::RollingBack
            | StageState::RolledBack => {}
        }
    }
}
