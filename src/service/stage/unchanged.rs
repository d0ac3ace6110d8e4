//! Deployments that are left out because what they name runs there already (row E28).

use std::collections::{BTreeMap, BTreeSet};

use crate::artifact::pack;
use crate::domain::component::{Standing, There, standings};
use crate::domain::deployment::Unit;
use crate::domain::event::RunKind;
use crate::domain::pipeline::Stage;
use crate::domain::progress::Phase;
use crate::domain::release::Release;
use crate::domain::state::State;
use crate::service::environment::Grounds;
use crate::service::stage::Walk;
use crate::service::steps::KeptLog;
use crate::service::{Service, TREE_LIMITS, blocking};
use crate::trouble::Outcome;

impl Service {
    /// Which deployments of the stage are left out in this run, and why the others are not.
    pub(in crate::service) async fn standings(
        &self,
        state: &State,
        (release, stage, kind): (&Release, &Stage, RunKind),
        grounds: &Grounds,
    ) -> Outcome<BTreeMap<Unit, Standing>> {
        let (Some(written), true) = (release.steps(&stage.name), kind != RunKind::Verify) else {
            return Ok(BTreeMap::new());
        };
        let there = There::of(state, release, (&stage.name, kind));
        let mut same = BTreeSet::new();
        for (alias, (epoch_s, content)) in there.iter().flat_map(|there| there.repacked(release, written)) {
            let (folder, mtime_s) = (grounds.artifact(&alias), u64::try_from(epoch_s).unwrap_or(0));
            if blocking(move || pack::content_of(&folder, mtime_s, TREE_LIMITS)).await? == content {
                same.insert(alias);
            }
        }
        Ok(standings((release, written), &there, &same))
    }
}

impl Walk<'_> {
    /// Leaves out what runs there already: on the record, and in the log with why everything else is deployed.
    pub(super) async fn leave_out(&mut self, kept: &mut KeptLog) {
        if self.course.asked.as_ref().is_some_and(|asked| asked.at.0 > Phase::Deploy) {
            return;
        }
        for (unit, standing) in &self.course.standings {
            let told = match standing {
                Standing::Same(runs) => {
                    self.fates.left_out(unit);
                    self.news.unchanged.insert(unit.name.clone(), runs.clone());
                    format!("{} is left out: {}", unit.name, runs.told())
                }
                Standing::Changed(why) => format!("{} is deployed: {why}", unit.name),
            };
            kept.log.note(&told).await;
        }
    }
}
