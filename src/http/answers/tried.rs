//! Why work that is due does not begin: what the last try said, when the host or the machine is at fault.

use super::Answers;
use crate::domain::effect::Effect;
use crate::domain::gate::Mark as Sign;
use crate::domain::queue::BUILD;
use crate::domain::release::{BuildState, Release, StageState};
use crate::domain::state::State;
use crate::http::view::{StageWhy, WhyLine};
use crate::store::effect::{EffectFilter, EffectState};
use crate::trouble::Outcome;

/// Effects of a kind that are looked through: those that wait to be tried again are few.
const LOOKED_AT: u32 = 200;

impl Answers {
    /// The build and the stages of a release whose work was begun, came to nothing and will be tried again.
    pub(super) async fn tried(&self, state: &State, release: &Release) -> Outcome<Vec<StageWhy>> {
        let mut whys = Vec::new();
        let mut runs = release.rules.stages.iter().filter_map(|stage| release.state_in(&stage.name));
        let building = matches!(release.build, BuildState::Waiting | BuildState::Running { .. });
        if !building && runs.all(StageState::is_terminal) {
            // The usual page, of a release that is over, asks for nothing.
            return Ok(whys);
        }
        for kind in ["sources", "build", "deploy"] {
            let filter = EffectFilter {
                state: Some(EffectState::Ready),
                kind: Some(kind.to_owned()),
                stream: Some(state.id.to_string()),
            };
            for row in self.service.store().effects(&filter, LOOKED_AT).await? {
                let Some(error) = row.error else { continue };
                let Ok(effect) = serde_json::from_str::<Effect>(&row.desired) else { continue };
                let stage = if let Effect::Deploy { release: no, stage, .. } = &effect
                    && *no == release.no()
                {
                    stage.to_string()
                } else if let Effect::Sources { release: no, .. } | Effect::Build { release: no, .. } = effect
                    && no == release.no()
                {
                    BUILD.to_owned()
                } else {
                    continue;
                };
                let line = WhyLine {
                    mark: super::mark(Sign::Wait),
                    text: format!("the last try came to nothing: {error}"),
                    next: Some(format!("it is tried again by itself at {}", row.run_after.minute())),
                    until: Some(row.run_after),
                };
                whys.push(StageWhy { stage, lines: vec![line] });
            }
        }
        Ok(whys)
    }
}
