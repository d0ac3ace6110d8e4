//! A pipeline with a host, people and workers that are made up: whatever the server would ask of them is answered here.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use crate::domain::check::course::Course;
use crate::domain::check::{LegId, Side};
use crate::domain::decide::{Command, Fresh, Learned, Work, decide};
use crate::domain::effect::{Effect, Place};
use crate::domain::event::{Detail, Event};
use crate::domain::evidence::Attested;
use crate::domain::name::{CommitSha, Digest, Login, RefName, ReleaseNo, ThreadId, UserId};
use crate::domain::pause::Said;
use crate::domain::person::{Account, Person, Standing};
use crate::domain::pipeline::Role;
use crate::domain::plan::{Plan, plan};
use crate::domain::probe::{Answer, Reading};
use crate::domain::refusal::Refusal;
use crate::domain::runbook::fact::Fact;
use crate::domain::source::{Found, Named};
use crate::domain::state::State;
use crate::domain::tag::TagNow;
use crate::domain::time::Timestamp;

/// The first tracking issue that the made-up host opens; pull requests of scenarios have smaller numbers.
const FIRST_ISSUE: u32 = 100;

/// One decision that was taken.
#[derive(Debug, Clone)]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// What came of it.
    pub events: Vec<Event>,
}

/// Everything a simulation knows.
#[derive(Debug, Clone)]
pub struct World {
    /// The pipeline.
    pub state: State,
    /// What time it is.
    pub now: Timestamp,
    /// Every decision that changed something, oldest first.
    pub steps: Vec<Step>,
    /// Work begun and not ended, with the number of its lease.
    pub running: Vec<(Work, u64)>,
    /// Where the host's tags point.
    pub tags: BTreeMap<RefName, Option<CommitSha>>,
    /// Pull requests by the commit that merged them.
    pub merged: BTreeMap<CommitSha, ThreadId>,
    /// Comments of ours that were written once.
    pub notes: BTreeSet<String>,
    /// What checks answer, by name, when it is not that all is fine.
    pub answers: BTreeMap<String, Reading>,
    people: BTreeMap<Login, Standing>,
    fence: u64,
    issues: u32,
}

impl World {
    /// A pipeline as it is.
    pub fn of(state: State, now: Timestamp) -> Self {
        Self {
            state,
            now,
            steps: Vec::new(),
            running: Vec::new(),
            tags: BTreeMap::new(),
            merged: BTreeMap::new(),
            notes: BTreeSet::new(),
            answers: BTreeMap::new(),
            people: BTreeMap::new(),
            fence: 0,
            issues: FIRST_ISSUE,
        }
    }

    /// Decides, and keeps what was decided.
    pub fn decide(&mut self, command: &Command) -> Result<Vec<Event>, Refusal> {
        let events = decide(&self.state, command, self.now)?;
        for event in &events {
            self.state.apply(event, self.now)?;
        }
        if !events.is_empty() {
            self.steps.push(Step { at: self.now, events: events.clone() });
        }
        Ok(events)
    }

    /// What is owed now.
    pub fn plan(&self) -> Plan {
        plan(&self.state, self.now)
    }

    /// Somebody, whom nobody has to have heard of before: people who push have the role to.
    pub fn person(&mut self, login: &Login) -> &mut Standing {
        let next = u64::try_from(self.people.len()).ok().and_then(|n| NonZeroU64::MIN.checked_add(n));
        self.people.entry(login.clone()).or_insert_with(|| Standing {
            person: Person { id: UserId(next.unwrap_or(NonZeroU64::MAX)), login: login.clone() },
            role: Role::Write,
            teams: BTreeSet::new(),
            kind: Account::Human,
        })
    }

    /// Makes something that is owed to the host come true; true when it is a comment of ours that is new.
    pub fn carry_out(&mut self, effect: &Effect) -> Result<bool, Refusal> {
        let learned = match effect {
            Effect::Confirm { release, stage, attempt } => {
                let fresh = self.host_now();
                let (release, stage, attempt) = (*release, stage.clone(), *attempt);
                self.decide(&Command::Confirm { release, stage, attempt, fresh })?;
                None
            }
            Effect::Sources { release, attempt } => {
                let found = self.sources_of(*release);
                self.decide(&Command::Find { release: *release, attempt: *attempt, found: Ok(found) })?;
                None
            }
            Effect::Thread { release, commit, .. } => self.thread(commit).map(|place| Learned::Place {
                release: *release,
                place,
                proposed_by: None,
            }),
            Effect::Tag { release, tag, commit, .. } => {
                let there = self.tags.entry(tag.clone()).or_insert_with(|| Some(commit.clone()));
                let now = TagNow { tag: tag.clone(), commit: there.clone(), object: None };
                Some(Learned::Tag { release: *release, now })
            }
            Effect::Note { marker, place, offers, .. } => {
                if self.notes.contains(marker) {
                    return Ok(false);
                }
                self.notes.insert(marker.clone());
                let offer = offers.as_ref().map(|offer| Learned::offer(offer, place, self.now));
                offer.into_iter().try_for_each(|offer| self.decide(&Command::Learn(offer)).map(drop))?;
                return Ok(true);
            }
            // Nothing here is signed, and a release whose contract asks for it waits until it is.
            Effect::Attest { release, what } => {
                let attested = Attested { release: *release, what: what.clone(), files: Vec::new() };
                self.decide(&Command::Attest(Box::new(attested)))?;
                None
            }
            Effect::Build { .. }
            | Effect::Check { .. }
            | Effect::Deploy { .. }
            | Effect::Runbook { .. }
            | Effect::Leg { .. }
            | Effect::Gates { .. }
            | Effect::Status { .. }
            | Effect::Sticky { .. }
            | Effect::Reply { .. }
            | Effect::Notify(_)
            | Effect::Announce { .. }
            | Effect::Join { .. }
            | Effect::Start { .. }
            | Effect::Wake => None,
        };
        learned.into_iter().try_for_each(|learned| self.decide(&Command::Learn(learned)).map(drop))?;
        Ok(false)
    }

    /// A commit for every source that the release names: the same for the same branch.
    fn sources_of(&self, release: ReleaseNo) -> Vec<Found> {
        let named = self.state.release(release).map(|r| r.created.pipeline.sources.clone());
        let found = |source: Named| {
            let digits = Digest::of_text(&source.to_string()).hex().get(..40)?.parse().ok()?;
            Some(Found { source, commit: digits })
        };
        named.into_iter().flatten().filter_map(found).collect()
    }

    /// The pull request that merged a commit, or an issue opened for it.
    fn thread(&mut self, commit: &CommitSha) -> Option<Place> {
        if let Some(thread) = self.merged.get(commit) {
            return Some(Place::Thread(thread.clone()));
        }
        self.issues = self.issues.saturating_add(1);
        self.issues.to_string().parse().ok().map(Place::Thread)
    }

    /// What the host says about people now.
    pub fn host_now(&self) -> Fresh {
        let standings = self.people.values().map(|s| (s.person.id, s.clone())).collect();
        Fresh { standings, ..Fresh::default() }
    }

    /// What the host says now, asked before a stage starts.
    pub fn fresh(&self, work: &Work) -> Fresh {
        let Work::Deploy { release, .. } = work else { return Fresh::default() };
        let tag = self.state.version_of(*release).parse::<RefName>().ok();
        let tag =
            tag.and_then(|tag| Some(TagNow { commit: self.tags.get(&tag)?.clone(), tag, object: None }));
        Fresh { tags: tag.into_iter().collect(), gates: self.stale_gates(work), ..self.host_now() }
    }

    /// What gates say now, when their last sample is old.
    fn stale_gates(&self, work: &Work) -> Option<Vec<(LegId, Reading)>> {
        let Work::Deploy { release, stage, .. } = work else { return None };
        let release = self.state.release(*release)?;
        let (rule, run) = release.rule(stage).zip(release.run(stage))?;
        let course = Course { repo: &self.state.id.repo, release, stage: rule, run };
        course.is_stale(Side::Pre, self.now).then(|| self.readings(&course, Side::Pre))
    }

    /// What all gates of a side say now.
    pub fn readings(&self, course: &Course<'_>, side: Side) -> Vec<(LegId, Reading)> {
        let gates = course.gates(side).into_iter();
        gates.map(|(gate, _)| (gate.clone(), self.says(&gate))).collect()
    }

    /// What a check answers now: that all is fine, unless somebody said otherwise.
    pub fn says(&self, gate: &LegId) -> Reading {
        let said = self.answers.get(gate.check.as_str()).cloned();
        said.unwrap_or_else(|| Reading::new(Answer::Pass, "fine"))
    }

    /// Leases have higher numbers than this: those of a server may still be held.
    pub fn leases_from(&mut self, fence: u64) {
        self.fence = fence;
    }

    /// The next number of a lease.
    pub fn lease(&mut self) -> u64 {
        self.fence = self.fence.saturating_add(1);
        self.fence
    }

    /// A worker takes a piece of work; the number of its lease when it may start.
    pub fn begin(&mut self, work: &Work, fresh: Fresh) -> Result<Option<u64>, Refusal> {
        let fence = self.lease();
        let events = self.decide(&Command::Begin { work: work.clone(), fence, fresh })?;
        let started = events.iter().any(|event| starts(event, fence));
        if started {
            self.running.retain(|(known, _)| known != work);
            self.running.push((work.clone(), fence));
        }
        Ok(started.then_some(fence))
    }

    /// The newest release of a commit.
    pub fn release_of(&self, commit: &CommitSha) -> Option<ReleaseNo> {
        self.state.releases.values().rev().find(|r| r.created.commit == *commit).map(|r| r.no())
    }
}

fn starts(event: &Event, fence: u64) -> bool {
    if let Event::Pause(fact) = event {
        fact.said == Said::Taken { fence }
    } else if let Event::StageMoved { detail, .. } = event {
        *detail == Detail::Fence(fence)
    } else {
        matches!(
            event,
            Event::BuildStarted { .. } | Event::CheckStarted { .. } | Event::Runbook(Fact::Started { .. })
        )
    }
}
