//! What runs where: which move of a release puts it there, and what that does to the one before.

use std::sync::Arc;

use crate::domain::event::RunKind;
use crate::domain::name::{ReleaseNo, StageName};
use crate::domain::release::StageState;
use crate::domain::slot;
use crate::domain::state::{Live, State};
use crate::domain::time::{Span, Timestamp};
use crate::domain::track::Track;

impl State {
    /// Whoever was live there until now was so for as long as that: a soak that is over stays over, unless it was taken away
    /// as bad. What other stages have in the same environment is not there any more either.
    fn set_live(&mut self, here: (StageName, Option<Track>), live: Live, at: Timestamp) {
        let stage = here.0.clone();
        let ousted = self.ousted_by(live.release(), &stage);
        if let Some(Live::Release(no, since)) = self.live.get(&here).copied()
            && !matches!(live, Live::Release(again, _) if again == no)
        {
            self.end_guard(no, (&stage, since), at);
        }
        for (no, stage, since) in &ousted {
            self.end_guard(*no, (stage, *since), at);
        }
        let before = self.live.insert(here, live);
        let run = self.release(live.release()).and_then(|release| release.run(&stage));
        let goes_back = run.is_some_and(|run| run.kind == RunKind::Rollback);
        let before = before.filter(|before| before.release() != live.release() && !goes_back);
        if let Some(Live::Release(no, since)) = before {
            self.note_stay((no, &stage), at.since(since));
        }
        for (no, stage, since) in ousted {
            self.note_stay((no, &stage), at.since(since));
        }
    }

    /// The first time that it is taken from there counts.
    fn note_stay(&mut self, (no, stage): (ReleaseNo, &StageName), stayed: Span) {
        let release = self.releases.get_mut(&no).map(Arc::make_mut);
        let run = release.and_then(|release| release.stages.get_mut(stage)?.last_mut());
        if let Some(run) = run.filter(|run| run.state.is_terminal() && run.stayed.is_none()) {
            run.stayed = Some(stayed);
        }
    }

    /// What other stages had put into the environment of this one, where this one deploys anything.
    fn ousted_by(&self, no: ReleaseNo, stage: &StageName) -> Vec<(ReleaseNo, StageName, Timestamp)> {
        let site = self
            .release(no)
            .and_then(|release| Some(release.site(release.rule(stage).filter(|rule| rule.deploys())?)));
        let there = |((other, _), live): (&(StageName, Option<Track>), &Live)| {
            let Live::Release(there, since) = live else { return None };
            let release = self.release(*there).filter(|_| other != stage && *there != no)?;
            let same = release.rule(other).map(|rule| release.site(rule)) == site;
            same.then(|| (*there, other.clone(), *since))
        };
        if site.is_none() { Vec::new() } else { self.live.iter().filter_map(there).collect() }
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
