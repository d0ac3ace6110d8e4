//! `queue: {batch: …}`: releases are collected in front of a stage, and the newest goes for all of them (SEMANTICS §4).

use crate::domain::event::{Detail, RunKind};
use crate::domain::gate::{Blocker, Line, Look, Mark, build_line, line, waits_since};
use crate::domain::name::StageName;
use crate::domain::pipeline::QueuePolicy;
use crate::domain::release::{Release, StageRun, StageState};
use crate::domain::state::State;
use crate::domain::time::Timestamp;

/// What has come together in front of a stage.
struct Collected {
    /// How many releases.
    count: u32,
    /// Since when the first of them waits.
    first: Timestamp,
}

impl Look<'_> {
    /// Still collecting. What somebody promotes by hand does not wait for others.
    pub(super) fn batch(&self) -> Option<Line> {
        let QueuePolicy::Batch { max, window } = self.stage.queue else { return None };
        let waits = self.run.state == StageState::Pending && self.run.kind == RunKind::Deploy;
        if !waits || self.run.promoted.is_some() || !self.may_be_collected() {
            return None;
        }
        let collected = self.collected()?;
        let until = collected.first.plus(window);
        if collected.count >= max || until <= self.now {
            return None;
        }
        let text =
            format!("collects releases, {} of at most {max}, until {}", collected.count, until.minute());
        let next = format!(
            "somebody with write comments `/promote {} {}` to start it alone",
            self.stage.name, self.release.created.version
        );
        Some(Line { until: Some(until), next: Some(next), ..line(Blocker::Order, Mark::Wait, text) })
    }

    /// Everything before the stage is done with it.
    fn may_be_collected(&self) -> bool {
        let before = [Some(build_line(self.release)), self.variables(), self.tag(), self.veto(), self.soak()];
        before.into_iter().flatten().chain(self.deps()).all(|line| line.mark == Mark::Pass)
    }

    /// The releases of the channel that wait here, and those that already made way for one of them.
    fn collected(&self) -> Option<Collected> {
        let name = &self.stage.name;
        let all = self.state.releases.values();
        let near =
            all.filter(|o| o.no() == self.release.no() || o.follows(self.release) || self.release.follows(o));
        let waiting: Vec<(&Release, &StageRun)> = near
            .clone()
            .filter_map(|other| {
                let run = other.run(name).filter(|run| run.state == StageState::Pending)?;
                let look = Look { release: other, run, ..*self };
                (run.kind == RunKind::Deploy && look.may_be_collected()).then_some((&**other, run))
            })
            .collect();
        let made_way = near.filter_map(|other| {
            let run = other.run(name).filter(|run| run.state == StageState::Superseded)?;
            let for_one =
                matches!(run.detail, Detail::Newer(no) if waiting.iter().any(|(r, _)| r.no() == no));
            for_one.then_some((&**other, run))
        });
        let since = |(release, run)| waits_since(self.state, (release, self.stage, run), self.now);
        let times: Vec<Timestamp> = waiting.iter().copied().chain(made_way).map(since).collect();
        let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
        Some(Collected { count, first: times.into_iter().min()? })
    }
}

/// Whether a stage takes this release without waiting for more of them.
pub fn batch_is_full(state: &State, release: &Release, stage: &StageName, now: Timestamp) -> bool {
    let Some((rule, run)) = release.rule(stage).zip(release.run(stage)) else { return true };
    Look { state, release, stage: rule, run, now }.batch().is_none()
}
