//! Which releases are in the channels of stages.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::name::{ChannelLabel, StageName};
use crate::domain::release::Release;
use crate::domain::state::State;
use crate::domain::time::Timestamp;

impl Release {
    /// It starts in a stage: from now on it is in that stage's channels (row D13).
    pub(super) fn enter(&mut self, stage: &StageName, at: Timestamp) {
        let labels = self.steps(stage).map(|stage| stage.channels.clone()).unwrap_or_default();
        for label in labels {
            self.listed.entry(label).or_insert(at);
        }
    }
}

impl State {
    /// The release that came last into each channel of the stages, and when.
    pub fn listed(&self) -> BTreeMap<&ChannelLabel, (&Arc<Release>, Timestamp)> {
        let mut newest: BTreeMap<&ChannelLabel, (&Arc<Release>, Timestamp)> = BTreeMap::new();
        for release in self.releases.values() {
            for (label, since) in &release.listed {
                if newest.get(label).is_none_or(|(_, at)| at <= since) {
                    newest.insert(label, (release, *since));
                }
            }
        }
        newest
    }
}
