//! What a train takes along: what had succeeded in the stage it comes from, and is still good when it leaves.

use std::sync::Arc;

use crate::domain::demand::Train;
use crate::domain::name::StageName;
use crate::domain::release::{Release, StageState};
use crate::domain::state::State;
use crate::domain::time::Timestamp;

/// How a release leaves with a train.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ride {
    /// It has not been there yet.
    First,
    /// It is there already, and goes again.
    Again,
}

/// What had succeeded last in a stage by then, whatever became of it since.
pub fn newest<'s>(state: &'s State, from: &StageName, by: Timestamp) -> Option<&'s Arc<Release>> {
    let known = state.done(from).filter_map(|release| Some((succeeded_by(release, from, by)?, release)));
    known.max_by_key(|(at, _)| *at).map(|(_, release)| release)
}

/// When a release succeeded in a stage, for the last time by then.
fn succeeded_by(release: &Release, stage: &StageName, by: Timestamp) -> Option<Timestamp> {
    let runs = release.stages.get(stage)?.iter().filter(|run| run.state == StageState::Succeeded);
    runs.map(|run| run.moved_at).filter(|at| *at <= by).max()
}

/// How a release leaves with the train of a stage, or why it stays: what was found bad since, or is being tried again,
/// does not leave, and nothing older goes in its place.
pub fn ride(state: &State, (stage, train): (&StageName, &Train), release: &Release) -> Result<Ride, String> {
    let (version, from) = (&release.created.version, &train.from);
    if let Some(before) = release.standing(from) {
        if before.state != StageState::Succeeded {
            return Err(format!("{version} is {} in {from}", before.state.word()));
        }
        if let Some(fault) = &before.fault {
            return Err(format!(
                "{version} was found faulty in {from}: {} says {}",
                fault.gate, fault.detail
            ));
        }
    }
    for place in [from, stage] {
        if let Some(reason) = state.vetoes.get(&(place.clone(), release.no())) {
            return Err(format!("{version} may not start in {place} any more: {reason}"));
        }
    }
    let run = release.standing(stage).ok_or_else(|| format!("{version} does not pass {stage}"))?;
    if run.state == StageState::Pending {
        Ok(Ride::First)
    } else if run.state != StageState::Succeeded {
        Err(format!("{version} is {} there", run.state.word()))
    } else if train.if_changed {
        Err(format!("nothing new since {version}"))
    } else {
        Ok(Ride::Again)
    }
}
