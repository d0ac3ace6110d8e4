//! What a run of a runbook waits for: people, holds, freezes and windows of its stages, and whoever works there now.

use crate::domain::approval::approvers;
use crate::domain::gate::zone_of;
use crate::domain::name::{EnvironmentName, StageName};
use crate::domain::person::Person;
use crate::domain::pipeline::{Pipeline, Stage, Who};
use crate::domain::release::{Release, StageState};
use crate::domain::runbook::run::{Progress, Run};
use crate::domain::state::{Freeze, Hold, State};
use crate::domain::time::{Span, Timestamp};
use crate::domain::window::{self, Half, Windows, Zone};

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
    /// A stage of it, or everything, is frozen.
    Freeze {
        /// The stage; nothing when everything is.
        stage: Option<StageName>,
        /// The freeze.
        freeze: &'s Freeze,
        /// The zone in which its end is shown.
        zone: Zone,
    },
    /// The windows of a stage of it keep it.
    Window {
        /// The stage.
        stage: StageName,
        /// What they say.
        why: Shut,
        /// When it may start as far as they go.
        opens: Option<Timestamp>,
        /// The zone they are written in.
        zone: Zone,
    },
    /// Somebody else works on an environment of it.
    Work {
        /// The environment.
        environment: EnvironmentName,
        /// The release, or the other run.
        by: String,
    },
}

/// Why windows let nothing start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shut {
    /// None is open.
    Closed,
    /// Days or hours on which nothing starts.
    Denied(String),
    /// What is open closes before it would be over: then, and nine of ten take so long.
    Short(Timestamp, Span),
}

/// Everything that a waiting run waits for; nothing when a worker may take it.
pub fn waits<'s>(state: &'s State, run: &Run, now: Timestamp) -> Vec<Wait<'s>> {
    if run.progress != Progress::Waiting {
        return Vec::new();
    }
    let people = run.missing(now);
    let rule = run.runbook().approval.as_ref().filter(|_| !people.is_empty());
    let people = rule.map(|rule| Wait::People { missing: people, who: approvers(rule) });
    let closed = freezes(state, run, now).into_iter().chain(windows(state, run, now));
    people.into_iter().chain(holds(state, run)).chain(closed).chain(work(state, run)).collect()
}

/// The hold of everything, or one on a stage of it. The hold of a rollback is there so that nothing starts unasked; a
/// person may ask (SEMANTICS §8).
fn holds<'s>(state: &'s State, run: &Run) -> Option<Wait<'s>> {
    let stages = run.runbook().stages.iter().cloned().map(Some);
    std::iter::once(None).chain(stages).find_map(|stage| {
        // A runbook is about all tracks that a stage has.
        let mut on = state.holds.iter().filter(|((at, _), _)| *at == stage).map(|(_, hold)| hold);
        let hold = on.find(|hold| hold.by.is_some() || run.asked.by.is_none())?;
        Some(Wait::Hold { stage, by: hold.by.as_ref(), hold })
    })
}

/// The rules of its stages as they are now.
fn stages(pipeline: &Pipeline, run: &Run) -> Vec<Stage> {
    run.runbook().stages.iter().filter_map(|name| pipeline.stage(name).cloned()).collect()
}

/// Every freeze on a stage of it, and that of everything.
fn freezes<'s>(state: &'s State, run: &Run, now: Timestamp) -> Vec<Wait<'s>> {
    let pipeline = state.pipeline();
    let of = |name: &StageName| pipeline.as_ref().and_then(|pipeline| pipeline.stage(name));
    let all = run.runbook().stages.iter().cloned().map(Some);
    let frozen = std::iter::once(None).chain(all).filter_map(|stage| {
        let freeze = state.freezes.get(&stage).filter(|freeze| freeze.holds(now))?;
        let zone = stage.as_ref().and_then(of).map_or_else(Zone::utc, zone_of);
        Some(Wait::Freeze { stage, freeze, zone })
    });
    frozen.collect()
}

/// The windows of its stages that do not let it start now.
fn windows<'s>(state: &State, run: &Run, now: Timestamp) -> Vec<Wait<'s>> {
    let Some(pipeline) = state.pipeline() else { return Vec::new() };
    let usual = state.runbooks.usual(&run.runbook().name);
    let shut = stages(&pipeline, run).into_iter().filter_map(|stage| {
        let all = &stage.windows;
        let takes = usual.filter(|_| all.iter().any(|w| w.must_finish));
        let why = shut(all, takes, now)?;
        let opens = match takes {
            Some(takes) => window::next_open_for(all, Half::Both, (takes, now)),
            None => window::next_open(all, Half::Both, now),
        };
        let zone = zone_of(&stage);
        Some(Wait::Window { stage: stage.name, why, opens, zone })
    });
    shut.collect()
}

fn shut(all: &[Windows], takes: Option<Span>, now: Timestamp) -> Option<Shut> {
    if let Some((deny, _)) = window::denied(all, now) {
        return Some(Shut::Denied(deny.called()));
    }
    if !window::open(all, Half::Both, now) {
        return Some(Shut::Closed);
    }
    let closes = window::next_change(all, Half::Both, now)?;
    takes.filter(|takes| closes < now.plus(*takes)).map(|takes| Shut::Short(closes, takes))
}

/// When the windows of a waiting run open or close next.
pub fn times(state: &State, run: &Run, now: Timestamp) -> Vec<Timestamp> {
    let Some(pipeline) = state.pipeline().filter(|_| run.progress == Progress::Waiting) else {
        return Vec::new();
    };
    let changes = |stage: &Stage| window::next_change(&stage.windows, Half::Both, now);
    let opens = waits(state, run, now).into_iter().filter_map(|wait| match wait {
        Wait::Freeze { freeze, .. } => freeze.until,
        Wait::Window { opens, .. } => opens,
        Wait::People { .. } | Wait::Hold { .. } | Wait::Work { .. } => None,
    });
    stages(&pipeline, run).iter().filter_map(changes).chain(opens).collect()
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
    release.rules.stages.iter().filter(|stage| stage.lock() == environment).any(|stage| {
        let state = release.state_in(&stage.name);
        state.is_some_and(|state| state.occupies() && state != StageState::AwaitingSignoff)
    })
}
