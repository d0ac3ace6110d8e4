//! What a run of a runbook waits for: people, holds of its stages, and whoever works there now.

use crate::domain::approval::approvers;
use crate::domain::name::{EnvironmentName, StageName};
use crate::domain::person::Person;
use crate::domain::pipeline::Who;
use crate::domain::release::{Release, StageState};
use crate::domain::runbook::run::{Progress, Run};
use crate::domain::state::{Hold, State};
use crate::domain::time::Timestamp;

/// One thing that a run waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait<'s> {
    /// Not enough people agreed.
    People {
        /// Who is missing, as `1 of acme/qa`.
        missing: Vec<String>,
        /// Who may agree.
        who: Vec<Who>,
    },
    /// A stage of it, or everything, is on hold.
    Hold {
        /// The stage; nothing when everything is.
        stage: Option<StageName>,
        /// Who said so; nobody for a rollback.
        by: Option<&'s Person>,
        /// The hold.
        hold: &'s Hold,
    },
    /// Somebody else works on an environment of it.
    Work {
        /// The environment.
        environment: EnvironmentName,
        /// The release, or the other run.
        by: String,
    },
}

/// Everything that a waiting run waits for; nothing when a worker may take it.
pub fn waits<'s>(state: &'s State, run: &Run, now: Timestamp) -> Vec<Wait<'s>> {
    if run.progress != Progress::Waiting {
        return Vec::new();
    }
    let people = run.missing(now);
    let rule = run.runbook().approval.as_ref().filter(|_| !people.is_empty());
    let people = rule.map(|rule| Wait::People { missing: people, who: approvers(rule) });
    people.into_iter().chain(holds(state, run)).chain(work(state, run)).collect()
}

/// The hold of everything, or one on a stage of it. The hold of a rollback is there so that nothing starts unasked; a
/// person may ask (SEMANTICS §8).
fn holds<'s>(state: &'s State, run: &Run) -> Option<Wait<'s>> {
    let stages = run.runbook().stages.iter().cloned().map(Some);
    std::iter::once(None).chain(stages).find_map(|stage| {
        let hold = state.holds.get(&stage)?;
        let stops = hold.by.is_some() || run.asked.by.is_none();
        stops.then_some(Wait::Hold { stage, by: hold.by.as_ref(), hold })
    })
}

/// Who works on an environment of the run now: a release, or another run.
fn work<'s>(state: &State, run: &Run) -> Option<Wait<'s>> {
    run.asked.environments.iter().find_map(|environment| {
        let release = state.releases.values().find(|release| works_on(release, environment));
        let release = release.map(|release| release.created.version.to_string());
        let other = || state.runbooks.on(environment).map(|other| other.title());
        Some(Wait::Work { environment: environment.clone(), by: release.or_else(other)? })
    })
}

/// Whether a release is being deployed there; one that waits for its sign-off lies still.
fn works_on(release: &Release, environment: &EnvironmentName) -> bool {
    release.rules.stages.iter().filter(|stage| stage.environment == *environment).any(|stage| {
        let state = release.state_in(&stage.name);
        state.is_some_and(|state| state.occupies() && state != StageState::AwaitingSignoff)
    })
}
