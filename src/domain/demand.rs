//! Releases that no push asks for: somebody pressed a button, or a time came; and trains, which take a release along.
//!
//! Deciding asks nobody, so a start is first a fact: that it was asked for. A worker then reads the head of the branch
//! and brings what git knows; only then the release is made, or it is said why there is none.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::effect::Place;
use crate::domain::event::Sealed;
use crate::domain::input::{self, Input};
use crate::domain::name::{Alias, ChannelName, CommitSha, ReleaseNo, StageName, VariableName, printable};
use crate::domain::person::Person;
use crate::domain::pipeline::Pipeline;
use crate::domain::schedule::Schedule;
use crate::domain::time::{Span, Timestamp};
use crate::domain::track::Track;
use crate::domain::variable::Variable;
use crate::domain::workflow::RunRef;

/// Starts that came to nothing and are kept at hand.
const KEPT: usize = 20;

/// A form that starts a release.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Button {
    /// What the button says.
    pub title: Option<String>,
    /// What may be given, by name.
    pub inputs: BTreeMap<String, Input>,
    /// The input whose values are tracks: releases of different ones have nothing to do with one another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<String>,
}

/// Times at which a release of the branch's head is made, when it has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timed {
    /// The times.
    pub schedule: Schedule,
    /// The channel of its releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelName>,
}

/// The times at which a stage takes the newest release of another stage along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Train {
    /// The times.
    pub schedule: Schedule,
    /// The stage it comes from.
    pub from: StageName,
    /// Whether it leaves without a release that is there already.
    pub if_changed: bool,
    /// How long before a departure it is settled what that takes along; at the departure itself when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_off: Option<Span>,
}

/// A start that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Its number in the pipeline, from 1.
    pub no: u32,
    /// What asked.
    pub cause: Cause,
    /// Who; nobody when its time came.
    pub by: Option<Person>,
    /// Where.
    pub place: Option<Place>,
    /// When.
    pub at: Timestamp,
}

impl Asked {
    /// What was handed in for it.
    pub fn uploads(&self) -> &[Sealed] {
        match &self.cause {
            Cause::Upload { artifacts, .. } => artifacts,
            Cause::Button { .. } | Cause::Schedule { .. } | Cause::Run(_) => &[],
        }
    }
}

/// What asked for a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Somebody.
    Button {
        /// What they gave.
        inputs: BTreeMap<String, String>,
    },
    /// A time that came.
    Schedule {
        /// Which clock.
        clock: String,
        /// The time.
        due: Timestamp,
        /// The channel of the release.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channel: Option<ChannelName>,
    },
    /// Something that was built elsewhere was handed in.
    Upload {
        /// Everything of the release, by what was handed in last.
        artifacts: Vec<Sealed>,
        /// The commit that it belongs to; the head of the branch when nobody said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<CommitSha>,
    },
    /// A run of a workflow of the host's own CI.
    Run(RunRef),
}

/// What happened to starts; one kind of [`crate::domain::event::Event`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Fact {
    /// One was asked for.
    Asked(Box<Asked>),
    /// Something that was built elsewhere was handed in.
    Uploaded {
        /// What, under the name that the manifest gives it.
        artifact: Sealed,
        /// By whom.
        by: Person,
    },
    /// It makes no release.
    Dropped {
        /// Which.
        no: u32,
        /// Why.
        why: String,
    },
    /// The cut-off of a train came: what it takes along is settled.
    Closed {
        /// The stage it leaves for.
        stage: StageName,
        /// When it leaves.
        due: Timestamp,
        /// What succeeds after this waits for the next one.
        cut_off: Timestamp,
        /// What it takes along.
        release: Option<ReleaseNo>,
        /// Why it will be empty, if so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// A train left.
    Departed {
        /// The stage it leaves for.
        stage: StageName,
        /// The time.
        due: Timestamp,
        /// What it takes along.
        release: Option<ReleaseNo>,
        /// Why it is empty, if so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// Times came and started nothing.
    Missed {
        /// Which clock.
        clock: String,
        /// The first of them.
        due: Timestamp,
        /// Its times count from here.
        until: Timestamp,
        /// Why.
        why: String,
    },
    /// The clock went back by more than a little: its times count from here again.
    Counted {
        /// Which clock.
        clock: String,
        /// From when.
        from: Timestamp,
    },
}

impl Fact {
    /// The release it is about.
    pub fn release(&self) -> Option<ReleaseNo> {
        match self {
            Self::Closed { release, .. } | Self::Departed { release, .. } => *release,
            Self::Asked(_)
            | Self::Uploaded { .. }
            | Self::Dropped { .. }
            | Self::Missed { .. }
            | Self::Counted { .. } => None,
        }
    }

    /// The kind, as the log's column spells it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Asked(_) => "start_asked",
            Self::Uploaded { .. } => "artifact_uploaded",
            Self::Dropped { .. } => "start_dropped",
            Self::Closed { .. } => "train_closed",
            Self::Departed { .. } => "train_departed",
            Self::Missed { .. } => "start_missed",
            Self::Counted { .. } => "start_counted",
        }
    }
}

impl Button {
    /// The inputs of a release with their defaults and the variables that were set, or why they will not do.
    pub fn take(
        &self,
        given: &BTreeMap<String, String>,
        variables: &BTreeMap<VariableName, Variable>,
    ) -> Result<BTreeMap<String, String>, String> {
        let (mut inputs, mut set) = (BTreeMap::new(), BTreeMap::new());
        for (name, value) in given {
            let known = variables.iter().find(|(known, _)| known.is(name) && !self.inputs.contains_key(name));
            match known {
                None => {
                    inputs.insert(name.clone(), value.clone());
                }
                Some((known, variable)) if !variable.settable => {
                    return Err(format!(
                        "the variable `{known}` is not settable: its value is the manifest's"
                    ));
                }
                Some((known, _)) if !input::is_value(value) => {
                    let shown = printable(value);
                    return Err(format!(
                        "`{known}` is a word of letters, digits and `._:/@+,=-`, not `{shown}`"
                    ));
                }
                Some((known, _)) => {
                    set.insert(known.to_string(), value.clone());
                }
            }
        }
        let mut taken = input::take("the button", &self.inputs, &inputs)?;
        taken.extend(set);
        Ok(taken)
    }

    /// The track of a release with these inputs.
    pub fn track(&self, inputs: &BTreeMap<String, String>) -> Option<Track> {
        let input = self.per.as_ref()?;
        inputs.get(input).map(|value| Track { input: input.clone(), value: value.clone() })
    }
}

/// What a clock rings for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bell {
    /// A release, of this channel.
    Release(Option<ChannelName>),
    /// The train of a stage.
    Train {
        /// Which.
        stage: StageName,
        /// How long before it leaves it is settled what it takes along.
        cut_off: Option<Span>,
    },
}

/// A clock, and when it was last looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    /// Its times.
    pub schedule: Schedule,
    /// What it rings for.
    pub bell: Bell,
    /// Times after this one have not been looked at.
    pub since: Timestamp,
}

impl Clock {
    /// When it is settled what a train that leaves then takes along, not before its times count.
    pub fn cut_off(&self, due: Timestamp) -> Option<Timestamp> {
        match &self.bell {
            Bell::Train { cut_off, .. } => cut_off.map(|cut_off| due.minus(cut_off).max(self.since)),
            Bell::Release(_) => None,
        }
    }
}

/// What a train takes along, settled when its cut-off came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boarding {
    /// When it leaves.
    pub due: Timestamp,
    /// When that was settled.
    pub cut_off: Timestamp,
    /// The release, or why there is none.
    pub passenger: Result<ReleaseNo, String>,
}

/// A start that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// What was asked for; nothing for times that were missed, and for empty trains.
    pub asked: Option<Arc<Asked>>,
    /// Why.
    pub why: String,
    /// When.
    pub at: Timestamp,
    /// The pipeline's version then.
    pub touched: u64,
}

/// The starts of a pipeline, as a fold of what happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demands {
    /// Asked for, and nothing has come of them yet.
    pub open: BTreeMap<u32, Arc<Asked>>,
    /// By name.
    pub clocks: BTreeMap<String, Clock>,
    /// What the next trains take along that are past their cut-off, by the stage they leave for.
    pub boarded: BTreeMap<StageName, Boarding>,
    /// Newest last.
    pub dropped: Vec<Dropped>,
    /// What was handed in last, by name.
    pub uploads: BTreeMap<Alias, Sealed>,
    last: u32,
}

/// The name of the clock of a stage's train.
pub fn clock_of(stage: &StageName) -> String {
    format!("stage {stage}")
}

/// Every clock that a pipeline declares, by name.
fn clocks(pipeline: &Pipeline) -> BTreeMap<String, (Schedule, Bell)> {
    let releases = pipeline.triggers.schedule.iter().map(|timed| {
        let channel = timed.channel.as_ref().map_or_else(String::new, |name| format!(" {name}"));
        (
            format!("release{channel} {}", timed.schedule),
            (timed.schedule.clone(), Bell::Release(timed.channel.clone())),
        )
    });
    let trains = pipeline.stages.iter().filter_map(|stage| {
        let train = stage.train.as_ref()?;
        let bell = Bell::Train { stage: stage.name.clone(), cut_off: train.cut_off };
        Some((clock_of(&stage.name), (train.schedule.clone(), bell)))
    });
    releases.chain(trains).collect()
}

impl Demands {
    /// The number the next start gets.
    pub fn next(&self) -> Option<u32> {
        self.last.checked_add(1)
    }

    /// What the protected branch's head declares: new times, and changed ones, count from now.
    pub fn declare(&mut self, pipeline: &Pipeline, at: Timestamp) {
        let declared = clocks(pipeline);
        let leaves =
            |clock: &String, old: &Clock| declared.get(clock).is_some_and(|(s, _)| *s == old.schedule);
        let clocks = &self.clocks;
        // A cut-off that has come stays, also when the next ones come at another time.
        self.boarded.retain(|stage, _| {
            let clock = clock_of(stage);
            clocks.get(&clock).is_some_and(|old| leaves(&clock, old))
        });
        self.clocks.retain(|name, old| {
            leaves(name, old) && declared.get(name).is_some_and(|(_, bell)| *bell == old.bell)
        });
        for (name, (schedule, bell)) in declared {
            self.clocks.entry(name).or_insert(Clock { schedule, bell, since: at });
        }
    }

    /// When the clock of a name rings next.
    pub fn next_of(&self, clock: &str, now: Timestamp) -> Option<Timestamp> {
        let clock = self.clocks.get(clock)?;
        clock.schedule.next_after(clock.since.max(now))
    }

    /// When it will be settled what the next train of a stage takes along, for one with a cut-off: not before the times
    /// of its clock count, which is where the train before it left.
    pub fn next_cut_off(&self, stage: &StageName, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let name = clock_of(stage);
        let due = self.next_of(&name, now)?;
        Some((due, self.clocks.get(&name)?.cut_off(due)?))
    }

    /// What the train of a stage takes along that leaves then, when that is settled.
    pub fn boarding(&self, stage: &StageName, due: Timestamp) -> Option<&Boarding> {
        self.boarded.get(stage).filter(|boarding| boarding.due == due)
    }

    /// Whether a release is on the next train of a stage, past its cut-off.
    pub fn boards(&self, stage: &StageName, release: ReleaseNo) -> bool {
        self.boarded.get(stage).is_some_and(|boarding| boarding.passenger == Ok(release))
    }

    /// Adds one fact.
    pub fn apply(&mut self, fact: &Fact, at: Timestamp, version: u64) {
        let dropped = |asked, why: &str| Dropped { asked, why: why.to_owned(), at, touched: version };
        match fact {
            Fact::Asked(asked) => {
                self.last = self.last.max(asked.no);
                if let Cause::Schedule { clock, due, .. } = &asked.cause {
                    self.count_from(clock, *due);
                }
                self.open.insert(asked.no, Arc::new(Asked::clone(asked)));
            }
            Fact::Uploaded { artifact, .. } => {
                self.uploads.insert(artifact.alias.clone(), artifact.clone());
            }
            Fact::Dropped { no, why } => {
                let asked = self.open.remove(no);
                self.dropped.push(dropped(asked, why));
            }
            Fact::Closed { stage, due, cut_off, release, why } => {
                let passenger = release.ok_or_else(|| why.clone().unwrap_or_default());
                let boarding = Boarding { due: *due, cut_off: *cut_off, passenger };
                self.boarded.insert(stage.clone(), boarding);
            }
            Fact::Departed { stage, due, why, .. } => {
                self.boarded.remove(stage);
                self.count_from(&clock_of(stage), *due);
                let why = why.as_ref().map(|why| format!("the train to {stage} left empty: {why}"));
                self.dropped.extend(why.map(|why| dropped(None, &why)));
            }
            Fact::Missed { clock, due, until, why } => {
                self.count_from(clock, *until);
                self.boarded.retain(|stage, boarding| clock_of(stage) != *clock || boarding.due > *until);
                self.dropped.push(dropped(None, &format!("{clock}, due {}: {why}", due.minute())));
            }
            Fact::Counted { clock, from } => {
                self.boarded.retain(|stage, _| clock_of(stage) != *clock);
                if let Some(clock) = self.clocks.get_mut(clock) {
                    clock.since = *from;
                }
            }
        }
        let more = self.dropped.len().saturating_sub(KEPT);
        self.dropped.drain(..more);
    }

    /// A release was made of it.
    pub fn made(&mut self, no: u32) {
        self.open.remove(&no);
    }

    fn count_from(&mut self, clock: &str, at: Timestamp) {
        if let Some(clock) = self.clocks.get_mut(clock) {
            clock.since = clock.since.max(at);
        }
    }
}
