//! Gauges of what pipelines are like now: which release is live where, and what keeps stages.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::domain::name::StageName;
use crate::domain::release::StageState;
use crate::domain::state::{Live, State};
use crate::domain::track::Track;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct LiveLabels {
    pipeline: String,
    stage: String,
    /// What the release is of; empty where releases are of nothing in particular.
    track: String,
    version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct LockLabels {
    pipeline: String,
    /// `*` is every stage.
    stage: String,
    kind: &'static str,
}

/// What was said of a pipeline, to be taken back once it is otherwise.
#[derive(Debug, Default)]
struct Said {
    live: Vec<LiveLabels>,
    locks: BTreeMap<LockLabels, i64>,
}

/// The gauges, and what they say of each pipeline.
pub(super) struct Standing {
    live: Family<LiveLabels, Gauge>,
    locks: Family<LockLabels, Gauge>,
    said: Mutex<BTreeMap<String, Said>>,
}

impl Standing {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let (live, locks) = (Family::default(), Family::default());
        registry.register(
            "release_current_info",
            "The release that is live in a stage; always 1",
            live.clone(),
        );
        registry.register(
            "locks",
            "What keeps a stage: who works there (environment), holds, freezes",
            locks.clone(),
        );
        Self { live, locks, said: Mutex::default() }
    }

    /// Says what a pipeline is like, in the place of what was said of it before.
    pub(super) fn pipeline(&self, state: &State) {
        let now = Said { live: live(state), locks: locks(state) };
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let before = said.remove(&state.id.to_string()).unwrap_or_default();
        for gone in before.live.iter().filter(|labels| !now.live.contains(labels)) {
            self.live.remove(gone);
        }
        for gone in before.locks.keys().filter(|labels| !now.locks.contains_key(labels)) {
            self.locks.remove(gone);
        }
        for labels in &now.live {
            self.live.get_or_create(labels).set(1);
        }
        for (labels, count) in &now.locks {
            self.locks.get_or_create(labels).set(*count);
        }
        said.insert(state.id.to_string(), now);
    }
}

fn live(state: &State) -> Vec<LiveLabels> {
    let one = |((stage, track), live): (&(StageName, Option<Track>), &Live)| LiveLabels {
        pipeline: state.id.to_string(),
        stage: stage.to_string(),
        track: track.as_ref().map_or_else(String::new, ToString::to_string),
        version: state.version_of(live.release()),
    };
    state.live.iter().map(one).collect()
}

fn locks(state: &State) -> BTreeMap<LockLabels, i64> {
    let mut locks = BTreeMap::new();
    let mut add = |stage: Option<&StageName>, kind| {
        let stage = stage.map_or_else(|| "*".to_owned(), ToString::to_string);
        let count = locks.entry(LockLabels { pipeline: state.id.to_string(), stage, kind }).or_insert(0);
        *count += 1;
    };
    for release in state.open() {
        let at_work = |stage: &&StageName| release.state_in(stage).is_some_and(StageState::occupies);
        release.stages.keys().filter(at_work).for_each(|stage| add(Some(stage), "environment"));
    }
    state.holds.keys().for_each(|(stage, _)| add(stage.as_ref(), "hold"));
    state.freezes.keys().for_each(|stage| add(stage.as_ref(), "freeze"));
    locks
}
