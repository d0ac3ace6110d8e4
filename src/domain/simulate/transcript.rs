//! What is told of a simulation: each thing that happened with its time, and why what waits does so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use crate::domain::demand;
use crate::domain::event::{Detail, Event};
use crate::domain::gate::{Blocker, Mark, Verdict, verdict};
use crate::domain::name::{ReleaseNo, StageName};
use crate::domain::pause::Said;
use crate::domain::release::{Release, StageRun, StageState};
use crate::domain::rollout;
use crate::domain::runbook::fact::Fact;
use crate::domain::simulate::world::World;
use crate::domain::slot;
use crate::domain::state::{Live, State};
use crate::domain::time::Timestamp;
use crate::domain::track::Track;
use crate::domain::view;
use crate::domain::window::Zone;

/// Something that is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// When, as machines read it.
    pub at: String,
    /// When, on the wall clock of the scenario's zone.
    #[serde(skip)]
    pub when: String,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// A line of the scenario was played.
    Line {
        /// Its number.
        line: usize,
        /// Its text.
        text: String,
    },
    /// Something happened.
    Event {
        /// The release it happened to.
        release: Option<String>,
        /// The event's word.
        kind: &'static str,
        /// In words.
        text: String,
    },
    /// A release waits in front of a stage, or in it for people.
    Waits {
        /// The release.
        release: String,
        /// The stage.
        stage: StageName,
        /// What it waits for.
        blockers: Vec<&'static str>,
        /// In words.
        text: String,
        /// When it goes on by itself, if it does.
        until: Option<String>,
    },
    /// A comment was answered.
    Answer {
        /// `ok`, or why not.
        code: String,
        /// In words.
        text: String,
    },
    /// An expectation was looked at.
    Expected {
        /// Its line.
        line: usize,
        /// Its text.
        text: String,
        /// What was found instead; nothing when it holds.
        found: Option<String>,
    },
}

/// Where everything is in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageNow {
    /// The stage.
    pub stage: StageName,
    /// The track whose release runs there, when it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track: Option<String>,
    /// The release that runs there.
    pub has: Option<String>,
    /// Since when.
    pub since: Option<String>,
    /// Since when, on the wall clock.
    #[serde(skip)]
    pub since_when: String,
    /// Releases on their way there, oldest first.
    pub coming: Vec<Coming>,
}

/// A release that is on its way to a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Coming {
    /// Which.
    pub release: String,
    /// Where it is.
    pub text: String,
    /// Who can do what about it.
    pub next: Vec<String>,
}

/// What was told so far.
#[derive(Debug)]
pub(super) struct Transcript {
    pub(super) zone: Zone,
    pub(super) entries: Vec<Entry>,
    seen: usize,
    /// What releases were said to wait for; what comes and goes is said once.
    waits: BTreeMap<(ReleaseNo, StageName), BTreeSet<Vec<String>>>,
    samples: BTreeMap<(ReleaseNo, StageName, &'static str), String>,
    /// What the last comment was answered: the code, and the first line of the reply.
    pub(super) answered: Option<(String, String)>,
}

impl Transcript {
    pub(super) fn new(zone: Zone) -> Self {
        Self {
            zone,
            entries: Vec::new(),
            seen: 0,
            waits: BTreeMap::new(),
            samples: BTreeMap::new(),
            answered: None,
        }
    }

    pub(super) fn add(&mut self, at: Timestamp, what: What) {
        self.entries.push(Entry { at: at.rfc3339(), when: self.zone.minute(at), what });
    }

    /// Tells what was decided since it was asked last, and what waits now for something else than before.
    pub(super) fn tell(&mut self, world: &World) {
        let fresh = world.steps.get(self.seen..).unwrap_or_default();
        self.seen = world.steps.len();
        for step in fresh {
            for event in &step.events {
                self.happened(&world.state, step.at, event);
            }
        }
        for release in world.state.open() {
            for stage in &release.rules.stages {
                let Some(run) = release.run(&stage.name) else { continue };
                let said = waiting(&world.state, release, (&stage.name, run), world.now);
                self.wait(world.now, (release, &stage.name), said);
            }
        }
    }

    fn wait(&mut self, now: Timestamp, (release, stage): (&Release, &StageName), said: Option<Waiting>) {
        let Some(said) = said else { return };
        if !self.waits.entry((release.no(), stage.clone())).or_default().insert(said.told) {
            return;
        }
        let what = What::Waits {
            release: release.created.version.to_string(),
            stage: stage.clone(),
            blockers: said.blockers,
            text: said.text,
            until: said.until.map(Timestamp::rfc3339),
        };
        self.add(now, what);
    }

    fn happened(&mut self, state: &State, at: Timestamp, event: &Event) {
        if let Event::Heard(heard) = event {
            let reply = heard.reply.as_deref().unwrap_or_default();
            let first = reply.lines().next().unwrap_or_default().replace("**", "").replace('`', "");
            self.answered = Some((heard.code.clone(), first.clone()));
            let text = if first.is_empty() { heard.code.clone() } else { first };
            if heard.code != "ok" || !reply.is_empty() {
                self.add(at, What::Answer { code: heard.code.clone(), text });
            }
            return;
        }
        if !self.is_worth_a_line(event) {
            return;
        }
        let mut text = view::event::sentence(event);
        if let Event::Runbook(fact) = event {
            text = runbook(state, fact, at);
        }
        if let Event::StageMoved { detail: Detail::Newer(newer), .. } = event {
            write!(text, " by {}", state.version_of(*newer)).unwrap_or_default();
        }
        let release = event.release().map(|no| state.version_of(no));
        self.add(at, What::Event { release, kind: event.kind(), text });
    }

    /// Not what only repeats what is told anyway.
    fn is_worth_a_line(&mut self, event: &Event) -> bool {
        match event {
            Event::PolicySeen { .. }
            | Event::ServerPolicySeen { .. }
            | Event::PolicyProposed(_)
            | Event::PlaceFound { .. }
            | Event::Attested(_)
            | Event::OfferShown { .. }
            | Event::GatesOpened { .. }
            | Event::GatesClosed { .. }
            | Event::BuildStarted { .. }
            | Event::CheckStarted { .. }
            | Event::Heard(_) => false,
            Event::StageOpened { attempt, .. } => *attempt > 1,
            // From the deploy to its checks it goes on running.
            Event::StageMoved { to: StageState::Running, detail, .. } => matches!(detail, Detail::Fence(_)),
            Event::StageMoved { to, .. } => !matches!(to, StageState::Queued | StageState::Pending),
            Event::TagSeen { commit, .. } => commit.is_none(),
            // One line when an answer differs from the one before, not one for every sample.
            Event::GatesSampled { release, stage, side, .. } => {
                let said = view::event::sentence(event);
                let key = (*release, stage.clone(), side.word());
                self.samples.insert(key, said.clone()).as_ref() != Some(&said)
            }
            Event::Runbook(fact) => !matches!(fact, Fact::Counted { .. }),
            Event::Demand(fact) => !matches!(fact, demand::Fact::Counted { .. }),
            Event::Target(fact) => match &fact.said {
                rollout::Said::Ended { .. } | rollout::Said::Unhealthy(_) => true,
                rollout::Said::Slot(said) => matches!(said, slot::Said::Switched(_)),
                rollout::Said::Chosen(_)
                | rollout::Said::Portion(_)
                | rollout::Said::Started(_)
                | rollout::Said::Launched { .. }
                | rollout::Said::Waits { .. } => false,
            },
            Event::Publication(_) => false,
            // The move before it says the question.
            Event::Pause(fact) => matches!(fact.said, Said::Answered(_)),
            Event::ReleaseCreated(_)
            | Event::SourcesFound { .. }
            | Event::BuildFinished { .. }
            | Event::Retired { .. }
            | Event::Noted { .. }
            | Event::BuildRetried { .. }
            | Event::GroupWritten(_)
            | Event::Revised(_)
            | Event::PhaseDone { .. }
            | Event::Approved { .. }
            | Event::ApprovalWithdrawn { .. }
            | Event::Overridden { .. }
            | Event::CheckAsked { .. }
            | Event::CheckFinished { .. }
            | Event::CheckRetired { .. }
            | Event::LegAnswered(_)
            | Event::FoundFaulty { .. }
            | Event::Promoted { .. }
            | Event::Held { .. }
            | Event::Unheld { .. }
            | Event::Frozen { .. }
            | Event::Unfrozen { .. }
            | Event::Vetoed { .. }
            | Event::VetoLifted { .. }
            | Event::BuildsExpected(_)
            | Event::BuildHeard(_)
            | Event::ListenersSeen { .. }
            | Event::Alarm { .. } => true,
        }
    }

    /// Where everything is.
    pub(super) fn ending(&self, state: &State, now: Timestamp) -> Vec<StageNow> {
        let Some(pipeline) = state.pipeline() else { return Vec::new() };
        let mut all = Vec::new();
        for stage in pipeline.stage_names() {
            let live: Vec<_> = state.live_of(stage).map(|(track, live)| (track, Some(live))).collect();
            // What is on its way there is said once, below the last that is there.
            let (last, before) = live.split_last().map_or((&(None, None), &[][..]), |split| split);
            all.extend(before.iter().map(|here| self.stage_now(state, (stage, *here), Vec::new())));
            all.push(self.stage_now(state, (stage, *last), on_the_way(state, stage, now)));
        }
        all
    }

    fn stage_now(
        &self,
        state: &State,
        (stage, (track, live)): (&StageName, (Option<&Track>, Option<&Live>)),
        coming: Vec<Coming>,
    ) -> StageNow {
        let (has, since) = match live {
            Some(Live::Release(no, since)) => (Some(state.version_of(*no)), Some(*since)),
            Some(Live::Unknown(no)) => (Some(format!("{}, or not all of it", state.version_of(*no))), None),
            None => (None, None),
        };
        StageNow {
            stage: stage.clone(),
            track: track.map(ToString::to_string),
            has,
            since: since.map(Timestamp::rfc3339),
            since_when: since.map_or_else(String::new, |at| self.zone.minute(at)),
            coming,
        }
    }
}

fn on_the_way(state: &State, stage: &StageName, now: Timestamp) -> Vec<Coming> {
    let coming = state.in_order().into_iter().filter_map(|release| {
        let run = release.run(stage).filter(|run| !run.state.is_terminal())?;
        Some(coming(state, release, (stage, run), now))
    });
    coming.collect()
}

/// How a run of a runbook is since something happened to it.
fn runbook(state: &State, fact: &Fact, now: Timestamp) -> String {
    let no = match fact {
        Fact::Asked(asked) => asked.run,
        Fact::Approved { run, .. }
        | Fact::Withdrawn { run, .. }
        | Fact::Started { run, .. }
        | Fact::PutBack { run, .. }
        | Fact::Stopping { run, .. }
        | Fact::Ended { run, .. } => *run,
        Fact::Missed { runbook, due, why, .. } => {
            return format!("runbook {runbook}: missed {}: {why}", due.minute());
        }
        Fact::Counted { runbook, from } => {
            return format!("runbook {runbook}: its times count from {}", from.minute());
        }
    };
    let Some(run) = state.runbooks.all.get(&no) else { return fact.kind().to_owned() };
    let asked = matches!(fact, Fact::Asked(_)).then(|| "asked for".to_owned());
    format!("{}: {}", run.title(), asked.unwrap_or_else(|| view::runbook::line(state, run, now)))
}

/// Why something waits, and a text that changes when that does.
struct Waiting {
    blockers: Vec<&'static str>,
    text: String,
    until: Option<Timestamp>,
    told: Vec<String>,
}

/// Why a release waits in front of a stage that it has reached.
fn waiting(
    state: &State,
    release: &Release,
    (stage, run): (&StageName, &StageRun),
    now: Timestamp,
) -> Option<Waiting> {
    let version = &release.created.version;
    if run.state == StageState::Queued {
        let rule = release.rule(stage)?;
        let text = format!("{stage}: {version} waits for {} to be free", rule.environment);
        return Some(Waiting { blockers: vec!["environment"], until: None, told: vec![text.clone()], text });
    }
    if !run.state.asks() {
        return None;
    }
    let verdict = verdict(state, release, release.rule(stage)?, now);
    if verdict.open() || !is_reached(&verdict) {
        return None;
    }
    // What people must do is told again when it changes; what only comes nearer is not, and whether the window
    // opens meanwhile does not matter as long as everything is frozen.
    let frozen = verdict.blockers().any(|line| line.blocker == Blocker::Freeze);
    let told = verdict.blockers().filter(|line| !frozen || line.blocker != Blocker::Window);
    let told = told.map(|line| match line.mark {
        Mark::Stop => line.text.clone(),
        Mark::Pass | Mark::Wait => line.blocker.word().to_owned(),
    });
    Some(Waiting {
        told: told.collect(),
        blockers: verdict.blockers().map(|line| line.blocker.word()).collect(),
        text: format!("{stage}: {}", view::short_wait(&verdict, version)),
        until: verdict.next_time(),
    })
}

/// Whether nothing before the stage is missing that comes by itself.
pub(super) fn is_reached(verdict: &Verdict) -> bool {
    !verdict.blockers().any(|line| {
        line.blocker == Blocker::Build || (line.blocker == Blocker::Deps && line.mark == Mark::Wait)
    })
}

fn coming(state: &State, release: &Release, (stage, run): (&StageName, &StageRun), now: Timestamp) -> Coming {
    let version = release.created.version.to_string();
    let verdict = release
        .rule(stage)
        .filter(|_| matches!(run.state, StageState::Pending | StageState::AwaitingSignoff))
        .map(|rule| verdict(state, release, rule, now));
    let text = match &verdict {
        Some(verdict) => view::short_wait(verdict, &version),
        None => format!("{version} is {}", run.state.word()),
    };
    let next = verdict.iter().filter(|v| is_reached(v)).flat_map(Verdict::blockers);
    let next = next.filter_map(|line| line.next.as_ref()).map(|next| next.replace('`', ""));
    Coming { release: version, text, next: next.collect() }
}

/// A transcript for people; a time stands once for everything that happens at it.
pub(super) fn render(entries: &[Entry]) -> String {
    let mut out = String::new();
    let mut last = "";
    for entry in entries {
        let when = if entry.when == last { "" } else { entry.when.as_str() };
        last = &entry.when;
        let (sign, text) = match &entry.what {
            What::Line { text, .. } => (">", text.clone()),
            What::Event { release: Some(release), text, .. } if !text.starts_with(release.as_str()) => {
                (" ", format!("{release} {text}"))
            }
            What::Event { text, .. } => (" ", text.clone()),
            What::Waits { text, .. } => ("…", text.clone()),
            What::Answer { text, .. } => ("↳", text.clone()),
            What::Expected { text, found: None, .. } => ("✔", text.clone()),
            What::Expected { line, text, found: Some(found) } => {
                ("✖", format!("{text}\n{:23}line {line}: {found}", ""))
            }
        };
        writeln!(out, "{when:20} {sign} {text}").unwrap_or_default();
    }
    out
}

/// The end for people.
pub(super) fn render_ending(stages: &[StageNow]) -> String {
    let called = |now: &StageNow| {
        let track = now.track.as_ref().map_or_else(String::new, |track| format!(" {track}"));
        format!("{}{track}", now.stage)
    };
    let width = stages.iter().map(|now| called(now).chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for stage in stages {
        let has = stage.has.as_deref().unwrap_or("nothing");
        let since = &stage.since_when;
        let since = if since.is_empty() { String::new() } else { format!(" since {since}") };
        writeln!(out, "{:width$}  has {has}{since}", called(stage)).unwrap_or_default();
        for coming in &stage.coming {
            writeln!(out, "{:width$}  {}", "", coming.text).unwrap_or_default();
            for next in &coming.next {
                writeln!(out, "{:width$}  next: {next}", "").unwrap_or_default();
            }
        }
    }
    out
}
