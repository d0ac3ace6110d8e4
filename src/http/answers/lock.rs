//! What a queued stage waits for that its own pipeline cannot know: the lock that another pipeline has.

use super::Answers;
use crate::domain::gate::Mark as Sign;
use crate::domain::release::{Release, StageState};
use crate::domain::state::State;
use crate::http::view::{StageWhy, WhyLine};
use crate::trouble::Outcome;

impl Answers {
    /// The queued stages of a release whose environment another pipeline has.
    pub(super) async fn locked(&self, state: &State, release: &Release) -> Outcome<Vec<StageWhy>> {
        let queued = release.rules.stages.iter();
        let queued = queued.filter(|rule| release.state_in(&rule.name) == Some(StageState::Queued));
        let mut whys = Vec::new();
        for rule in queued {
            let held = self.service.store().lock(&rule.lock_group(&state.id.repo)).await?;
            let Some(held) = held.filter(|held| held.stream != state.id.to_string()) else { continue };
            let what = rule.around.lock.as_ref().map_or_else(
                || format!("the environment {}", rule.environment),
                |lock| format!("the lock {lock}"),
            );
            let text = format!("{} has {what} since {}", held.holder, held.since.minute());
            let next = Some("it goes on by itself when that one is live or over".to_owned());
            let line = WhyLine { mark: super::mark(Sign::Wait), text, next, until: None };
            whys.push(StageWhy { stage: rule.name.to_string(), lines: vec![line] });
        }
        Ok(whys)
    }
}
