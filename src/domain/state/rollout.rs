//! What happened to targets: to those of the run, and what is known of each afterwards.

use crate::domain::event::OfRun;
use crate::domain::rollout::{self, Said};
use crate::domain::state::{Illegal, State};

impl State {
    pub(super) fn roll(&mut self, fact: &OfRun<Said>) -> Result<(), Illegal> {
        let release = self.release(fact.release);
        let Some(site) = release.and_then(|release| Some(release.site(release.rule(&fact.stage)?))) else {
            return Err(self.illegal(format!("there is no stage {}", fact.stage)));
        };
        let there = rollout::there(&self.targets, &site, fact.release);
        self.with(fact.release, |release| {
            let run = release.run_mut(&fact.stage, fact.attempt)?;
            if !run.rollout.takes(&fact.said) {
                return Err(format!("{} cannot happen now", fact.said.sentence()));
            }
            run.rollout.add(&fact.said, &there);
            Ok(())
        })?;
        rollout::note(&mut self.targets, &site, fact.release, &fact.said);
        let run = self.release(fact.release).and_then(|release| release.run(&fact.stage));
        if let (Said::Slot(said), Some(at)) = (&fact.said, run.and_then(|run| run.rollout.slot.clone())) {
            self.slots.entry(site).or_default().note(fact.release, &at, said);
        }
        Ok(())
    }
}
