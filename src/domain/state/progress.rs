//! What steps left behind: outputs of the run, values kept where it ran, hooks that a lost run still owes.

use crate::domain::event::Event;
use crate::domain::name::{ReleaseNo, StageName};
use crate::domain::progress::{Kept, Owing, Phase};
use crate::domain::state::{Illegal, State};
use crate::domain::track::Site;

impl State {
    /// A part of a stage's work is over.
    pub(super) fn phase_done(&mut self, event: &Event) -> Result<(), Illegal> {
        let Event::PhaseDone { release, stage, attempt, progress } = event else {
            return Err(self.illegal("not a part of a stage's work"));
        };
        self.with(*release, |r| {
            r.run_mut(stage, *attempt)?.walked.add(progress);
            Ok(())
        })?;
        let Some(site) = self.site_of(*release, stage) else { return Ok(()) };
        if progress.phase == Phase::Owed {
            self.owing.remove(&site);
        }
        let kept = progress.outputs.iter().filter(|(name, _)| progress.kept.contains(name));
        let kept = kept.map(|(name, value)| (name.clone(), Kept { value: value.clone(), release: *release }));
        let kept: Vec<_> = kept.collect();
        if !kept.is_empty() {
            self.kept.entry(site).or_default().extend(kept);
        }
        Ok(())
    }

    /// A run that is over without its hooks after the deploy leaves them to the next one there.
    pub(super) fn note_owing(&mut self, no: ReleaseNo, stage: &StageName) {
        let found = self.release(no).and_then(|release| {
            let (run, steps) = release.run(stage).zip(release.steps(stage))?;
            let owes = run.state.is_terminal() && run.walked.owes(steps);
            owes.then(|| Owing { release: no, outputs: run.walked.outputs.clone() })
        });
        if let Some((owing, site)) = found.zip(self.site_of(no, stage)) {
            self.owing.insert(site, owing);
        }
    }

    fn site_of(&self, no: ReleaseNo, stage: &StageName) -> Option<Site> {
        let release = self.release(no)?;
        release.rule(stage).map(|rule| release.site(rule))
    }
}
