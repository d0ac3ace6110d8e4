//! Guards of soaks that end: who was kept out by one is asked from then on (SEMANTICS §4).

use std::sync::Arc;

use crate::domain::event::Event;
use crate::domain::name::{ReleaseNo, StageName};
use crate::domain::pipeline::Stage;
use crate::domain::release::StageState;
use crate::domain::state::{Live, State};
use crate::domain::time::Timestamp;

impl State {
    /// What is about to happen may take a release out of its wait for the stage that guards its soak.
    pub(super) fn end_guards(&mut self, event: &Event, at: Timestamp) {
        let (Event::StageMoved { release, stage, .. } | Event::Overridden { release, stage, .. }) = event
        else {
            return;
        };
        let Some(older) = self.release(*release).cloned() else { return };
        let rule = older.rule(stage).filter(|rule| rule.hold_during_soak);
        let Some(next) = rule.filter(|_| older.state_in(stage) == Some(StageState::Pending)) else { return };
        for need in next.comes_from() {
            if let Some(Live::Release(no, since)) = self.live_at(need, older.track()).copied()
                && no == older.no()
            {
                self.end_guard(no, (need, since), at);
            }
        }
    }

    /// A release ends its soak here, or is about to: the time of those whom that kept out counts from the end of their
    /// guard, which was over with the soak if that was before.
    pub(super) fn end_guard(
        &mut self,
        no: ReleaseNo,
        (stage, since): (&StageName, Timestamp),
        at: Timestamp,
    ) {
        let Some(older) = self.release(no).cloned() else { return };
        let Some((next, rule)) = older.guarded(stage).zip(older.rule(stage)) else { return };
        let (ends, site) = (since.plus(next.soak).min(at), older.site(rule));
        let behind: Vec<(ReleaseNo, StageName)> = self
            .releases
            .values()
            .filter(|release| release.is_open() && release.follows(&older))
            .flat_map(|release| {
                let shares = |s: &&Stage| s.name == *stage || (s.deploys() && release.site(s) == site);
                release.rules.stages.iter().filter(shares).map(|s| (release.no(), s.name.clone()))
            })
            .collect();
        for (no, name) in behind {
            if let Some(release) = self.releases.get_mut(&no) {
                Arc::make_mut(release).ask_again(Some(&name), ends);
            }
        }
    }
}
