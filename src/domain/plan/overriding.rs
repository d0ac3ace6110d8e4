//! Overrides are told on the release's thread, each in a comment of its own (SEMANTICS §7).

use crate::domain::effect::Place;
use crate::domain::pipeline::Stage;
use crate::domain::plan::{Owed, note_effect};
use crate::domain::release::Release;
use crate::domain::state::State;
use crate::domain::view::overriding;

/// One comment for each override of the stage, in whatever attempt.
pub(super) fn notes(state: &State, release: &Release, stage: &Stage, place: &Place) -> Vec<Owed> {
    let runs = release.stages.get(&stage.name).map(Vec::as_slice).unwrap_or_default();
    let notes = runs.iter().flat_map(|run| {
        overriding::of_run(run).enumerate().map(move |(nth, (before, said))| {
            let at = format!("{}:{}:{}:{nth}", release.no(), stage.name, run.attempt);
            let body = overriding::told(release, &stage.name, said, before);
            note_effect(state, (format!("override:{}:{at}", state.id), place, body), None)
        })
    });
    notes.collect()
}
