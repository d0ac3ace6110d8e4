//! Starts that no push asks for: who may ask, what a time that comes does, and what trains take along.

use std::collections::BTreeMap;

use crate::domain::command::Verb;
use crate::domain::decide::speak::{Told, needs};
use crate::domain::decide::{Draft, Spoken, Start, Upload};
use crate::domain::demand::{Asked, Bell, Cause, Clock, Fact};
use crate::domain::event::{Event, RunKind, Sealed, StartedBy};
use crate::domain::input;
use crate::domain::name::{ChannelName, ReleaseNo, StageName};
use crate::domain::pipeline::Role;
use crate::domain::refusal::{NoRun, NoStart, Refusal};
use crate::domain::release::BuildState;
use crate::domain::schedule::GRACE;
use crate::domain::time::Timestamp;
use crate::domain::train::{self, Ride};
use crate::domain::version::Version;
use crate::domain::workflow::RunRef;

impl Draft {
    fn demand(&mut self, fact: Fact) -> Result<(), Refusal> {
        self.add(Event::Demand(fact))
    }

    /// `/start`: by somebody with write, with inputs that fit.
    pub(super) fn press(
        &mut self,
        spoken: &Spoken,
        given: &BTreeMap<String, String>,
    ) -> Result<Told, Refusal> {
        needs(spoken, None, Role::Write)?;
        let pipeline = self.state.pipeline().ok_or(Refusal::NoPipeline)?;
        let name = self.state.id.name.clone();
        let button = pipeline.triggers.button.as_ref();
        let button =
            button.ok_or_else(|| Refusal::NoStart(NoStart::Button { pipeline: name.to_string() }))?;
        let inputs = button.take(given, &pipeline.variables).map_err(|why| {
            let line = format!("/start {name}{}", input::example(&button.inputs));
            Refusal::Runbook(NoRun::BadInput { why, line })
        })?;
        let no = self.state.demands.next().ok_or(Refusal::Full)?;
        let by = Some(spoken.standing.person.clone());
        let (cause, place) = (Cause::Button { inputs }, spoken.place.clone());
        self.demand(Fact::Asked(Box::new(Asked { no, cause, by, place, at: self.now })))?;
        Ok(Told::text(format!("ℹ️ **A release of {name} is being made** of the head of its branch.")))
    }

    /// Something that was built elsewhere is stored: it is a release, once everything that belongs to one is there.
    pub(super) fn take_upload(&mut self, upload: &Upload) -> Result<(), Refusal> {
        let pipeline = self.state.pipeline().ok_or(Refusal::NoPipeline)?;
        let (artifact, by) = (&upload.artifact, &upload.standing);
        if by.role < Role::Write {
            let needs = Role::Write;
            return Err(Refusal::NeedsRole { verb: Verb::Start, stage: None, needs, has: by.role });
        }
        let taken = pipeline.handed_in();
        if !taken.contains(&artifact.alias) {
            let known = taken.iter().map(ToString::to_string).collect();
            return Err(Refusal::NoStart(NoStart::Upload { alias: artifact.alias.to_string(), known }));
        }
        // Sent again because an answer was lost: once is one release.
        let newest =
            self.state.releases.values().next_back().map(|r| (&r.created.uploads, &r.created.commit));
        let made = newest.is_some_and(|(uploads, commit)| {
            uploads.contains(artifact) && upload.commit.as_ref().is_none_or(|wanted| wanted == commit)
        });
        let open = self.state.demands.open.values().any(|asked| match &asked.cause {
            Cause::Upload { artifacts, commit } => artifacts.contains(artifact) && *commit == upload.commit,
            Cause::Button { .. } | Cause::Schedule { .. } | Cause::Run(_) => false,
        });
        if made || open {
            return Ok(());
        }
        let person = by.person.clone();
        self.demand(Fact::Uploaded { artifact: artifact.clone(), by: person.clone() })?;
        let all = pipeline.uploads.iter().map(|alias| self.state.demands.uploads.get(alias).cloned());
        let Some(artifacts) = all.collect::<Option<Vec<Sealed>>>() else { return Ok(()) };
        let no = self.state.demands.next().ok_or(Refusal::Full)?;
        let cause = Cause::Upload { artifacts, commit: upload.commit.clone() };
        let asked = Asked { no, cause, by: Some(person), place: None, at: self.now };
        self.demand(Fact::Asked(Box::new(asked)))
    }

    /// A run of a workflow is over: it is a release when the pipeline takes its artifacts, once.
    pub(super) fn take_run(&mut self, run: &RunRef) -> Result<(), Refusal> {
        let pipeline = self.state.pipeline().ok_or(Refusal::NoPipeline)?;
        if pipeline.workflow.as_ref().is_none_or(|workflow| workflow.file != run.file) {
            return Ok(());
        }
        let cause = Cause::Run(run.clone());
        let same = |asked: &Asked| asked.cause == cause;
        let made = self.state.releases.values().any(|release| match &release.created.started_by {
            StartedBy::Demand { cause: known, .. } => *known == cause,
            StartedBy::Push | StartedBy::Tag(_) | StartedBy::Builds(_) => false,
        });
        let demands = &self.state.demands;
        let known = demands.open.values().map(AsRef::as_ref);
        let dropped = demands.dropped.iter().filter_map(|dropped| dropped.asked.as_deref());
        if made || known.chain(dropped).any(same) {
            return Ok(());
        }
        let no = demands.next().ok_or(Refusal::Full)?;
        self.demand(Fact::Asked(Box::new(Asked { no, cause, by: None, place: None, at: self.now })))
    }

    /// A start came to nothing.
    pub(super) fn drop_start(&mut self, no: u32, why: &str) -> Result<(), Refusal> {
        if self.state.demands.open.contains_key(&no) {
            self.demand(Fact::Dropped { no, why: why.to_owned() })?;
        }
        Ok(())
    }

    /// What a start that was asked for brings along: the inputs, and the channel; nothing when it makes no release.
    pub(super) fn demanded(&mut self, no: u32, start: &Start) -> Result<Option<Brought>, Refusal> {
        let Some(asked) = self.state.demands.open.get(&no).cloned() else { return Ok(None) };
        let none = BTreeMap::new();
        let (given, channel, uploads) = match &asked.cause {
            Cause::Button { inputs } => (inputs, None, &[][..]),
            Cause::Schedule { channel, .. } => (&none, channel.as_ref(), &[][..]),
            Cause::Upload { artifacts, .. } => (&none, None, artifacts.as_slice()),
            Cause::Run(_) => (&none, None, start.fetched.as_slice()),
        };
        let inputs = match inputs_of(start, given) {
            Ok(inputs) => inputs,
            Err(why) => return self.drop_start(no, &why).map(|()| None),
        };
        // People may have reasons to release a commit again; clocks and runs that are run again have none.
        let by_itself = matches!(asked.cause, Cause::Schedule { .. } | Cause::Run(_));
        if let Some(same) = self.made_of(start, channel).filter(|_| by_itself) {
            let why = format!("nothing has changed since {same}");
            return self.drop_start(no, &why).map(|()| None);
        }
        Ok(Some(Brought { inputs, channel: channel.cloned(), uploads: uploads.to_vec() }))
    }

    /// The version of the release that there is of a commit already, of this channel when that matters.
    fn made_of(&self, start: &Start, channel: Option<&ChannelName>) -> Option<Version> {
        let same = self.state.releases.values().rev().find(|r| {
            r.created.commit == start.commit
                && !matches!(r.build, BuildState::Failed(_))
                && (channel.is_none() || r.created.channel.as_ref() == channel)
        });
        same.map(|same| same.created.version.clone())
    }

    /// Every clock whose time has come.
    pub(super) fn ring_clocks(&mut self) -> Result<(), Refusal> {
        let clocks: Vec<_> = self.state.demands.clocks.clone().into_iter().collect();
        clocks.iter().try_for_each(|(name, clock)| {
            self.ring_clock(name, clock)?;
            self.close_next(clock)
        })
    }

    fn ring_clock(&mut self, name: &str, clock: &Clock) -> Result<(), Refusal> {
        let now = self.now;
        if clock.since.since(now) > GRACE {
            return self.demand(Fact::Counted { clock: name.to_owned(), from: now });
        }
        let Some(due) = clock.schedule.due(clock.since, now) else { return Ok(()) };
        let missed = |due, until, why| Fact::Missed { clock: name.to_owned(), due, until, why };
        if let Some((first, until)) = due.missed {
            let why = format!("no server was there within {GRACE}, until {}", until.minute());
            self.demand(missed(first, until, why))?;
        }
        let Some(at) = due.newest else { return Ok(()) };
        if let Some(first) = due.late {
            self.demand(missed(first, first, format!("made up for at {}", at.minute())))?;
        }
        match &clock.bell {
            Bell::Release(channel) => {
                let no = self.state.demands.next().ok_or(Refusal::Full)?;
                let cause = Cause::Schedule { clock: name.to_owned(), due: at, channel: channel.clone() };
                self.demand(Fact::Asked(Box::new(Asked { no, cause, by: None, place: None, at: now })))
            }
            Bell::Train { stage, .. } => {
                // Nobody was there to look when the cut-off came.
                if let Some(cut_off) =
                    clock.cut_off(at).filter(|_| self.state.demands.boarding(stage, at).is_none())
                {
                    self.close(stage, at, cut_off)?;
                }
                self.depart(stage, at)
            }
        }
    }

    /// Settles what the next train takes along, once its cut-off has come.
    fn close_next(&mut self, clock: &Clock) -> Result<(), Refusal> {
        let Bell::Train { stage, .. } = &clock.bell else { return Ok(()) };
        let demands = &self.state.demands;
        let Some((due, cut_off)) = demands.next_cut_off(stage, self.now) else { return Ok(()) };
        if cut_off > self.now || demands.boarding(stage, due).is_some() {
            return Ok(());
        }
        self.close(stage, due, cut_off)
    }

    /// What had succeeded when the cut-off came is on the train, whatever succeeds later.
    fn close(&mut self, stage: &StageName, due: Timestamp, cut_off: Timestamp) -> Result<(), Refusal> {
        let (release, why) = match self.passenger(stage, Some(cut_off)) {
            Ok((no, _)) => (Some(no), None),
            Err(why) => (None, Some(why)),
        };
        self.demand(Fact::Closed { stage: stage.clone(), due, cut_off, release, why })
    }

    /// A train takes along what was settled at its cut-off; without one, what succeeded last in the stage it comes from.
    fn depart(&mut self, stage: &StageName, due: Timestamp) -> Result<(), Refusal> {
        let settled = self.state.demands.boarding(stage, due).map(|boarding| boarding.passenger.clone());
        let passenger = match settled {
            None => self.passenger(stage, None),
            Some(Ok(no)) => self.ride_of(stage, no).map(|ride| (no, ride)),
            Some(Err(why)) => Err(why),
        };
        let (release, why) = match passenger {
            Ok((no, ride)) => {
                if ride == Ride::Again {
                    let last = self.run(no, stage)?;
                    self.open_again(no, stage, RunKind::Redeploy, (None, None))?;
                    self.carry_approvals(no, stage, &last)?;
                }
                (Some(no), None)
            }
            Err(why) => (None, Some(why)),
        };
        self.demand(Fact::Departed { stage: stage.clone(), due, release, why })
    }

    /// The release that a train takes of those that had succeeded by then, or have by now; or why there is none.
    fn passenger(&self, stage: &StageName, by: Option<Timestamp>) -> Result<(ReleaseNo, Ride), String> {
        let pipeline = self.state.pipeline().ok_or("the pipeline is gone")?;
        let train = pipeline.stage(stage).and_then(|s| s.train.as_ref()).ok_or("the stage has no train")?;
        let last = match by {
            Some(by) => train::newest(&self.state, &train.from, by),
            None => self.state.done(&train.from).last(),
        };
        let last = last.ok_or_else(|| match by {
            Some(by) => format!("nothing had succeeded in {} by {}", train.from, by.minute()),
            None => format!("nothing has succeeded in {} yet", train.from),
        })?;
        Ok((last.no(), train::ride(&self.state, (stage, train), last)?))
    }

    /// How a release that is on the train leaves with it, or why it does not after all.
    fn ride_of(&self, stage: &StageName, no: ReleaseNo) -> Result<Ride, String> {
        let pipeline = self.state.pipeline().ok_or("the pipeline is gone")?;
        let train = pipeline.stage(stage).and_then(|s| s.train.as_ref()).ok_or("the stage has no train")?;
        let release = self.state.release(no).ok_or_else(|| format!("there is no release {no}"))?;
        train::ride(&self.state, (stage, train), release)
    }
}

/// What a start that was asked for brings along.
pub(super) struct Brought {
    /// The inputs, defaults filled in.
    pub(super) inputs: BTreeMap<String, String>,
    /// The channel it is of, when that was said.
    pub(super) channel: Option<ChannelName>,
    /// What was handed in for it.
    pub(super) uploads: Vec<Sealed>,
}

/// The inputs of a release that somebody was asked for.
pub(super) fn inputs_of(
    start: &Start,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, String> {
    let button = start.pipeline.triggers.button.as_ref();
    button.map_or_else(|| Ok(BTreeMap::new()), |button| button.take(given, &start.pipeline.variables))
}

/// The inputs of a release that nobody was asked for: those with a default.
pub(super) fn unasked(start: &Start) -> BTreeMap<String, String> {
    let inputs = start.pipeline.triggers.button.iter().flat_map(|button| &button.inputs);
    inputs.filter_map(|(name, input)| Some((name.clone(), input.default.clone()?))).collect()
}
