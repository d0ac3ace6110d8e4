//! A rollout over targets: which come next, when it stops, and what is known of each target at any time.
//!
//! Every step of it is a fact, so that whoever comes after a dead worker knows which target runs what. A target that
//! was begun and never reported is unknown, and nothing is repeated there by itself (ARCHITECTURE invariant 11).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::name::{ReleaseNo, RoleName, StageName, TargetName};
use crate::domain::pipeline::target::{Batch, Rolling};
use crate::domain::release::StageRun;
use crate::domain::slot::{self, InSlot};
use crate::domain::state::State;
use crate::domain::track::Site;

/// What happened to the targets of a run; stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// These are the targets of the run.
    Chosen(Vec<Chosen>),
    /// So many of a hundred are about to get the release.
    Portion(u32),
    /// The commands for a target are about to begin.
    Started(TargetName),
    /// A job for a target was launched elsewhere.
    Launched {
        /// Which target.
        target: TargetName,
        /// The page people look at.
        page: String,
    },
    /// A job for a target waits for somebody where it runs, or does no longer.
    Waits {
        /// Which target.
        target: TargetName,
        /// Its state there; nothing once it goes on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<String>,
    },
    /// The commands for a target are over.
    Ended {
        /// Which.
        target: TargetName,
        /// What went wrong, if anything did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed: Option<String>,
    },
    /// What was asked after a batch said no.
    Unhealthy(String),
    /// Something about its slots.
    Slot(slot::Said),
}

/// A target of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// Its name.
    pub name: TargetName,
    /// Its roles.
    #[serde(default)]
    pub roles: BTreeSet<RoleName>,
}

/// Where one target of a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Its turn has not come.
    Pending,
    /// It ran this release before the run began, so nothing is to be done.
    There,
    /// A worker is at it.
    Running,
    /// It runs the release.
    Done,
    /// Its commands said no.
    Failed(String),
    /// It was begun, and nobody knows how it ended.
    Unknown,
}

/// The targets of a run, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Each target and where it is.
    pub targets: Vec<(TargetName, Fate)>,
    /// Its slot, where one of two is live.
    pub slot: Option<InSlot>,
    /// So many of a hundred were to get the release so far, where it is brought out in portions.
    pub percent: Option<u32>,
    /// Why it went no further after a batch, if so.
    pub unhealthy: Option<String>,
    /// Where people look at what is done elsewhere.
    pub pages: BTreeMap<TargetName, String>,
    /// The states in which jobs wait for somebody there.
    pub waits: BTreeMap<TargetName, String>,
}

/// What a target was last seen with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The release that runs there, as far as anybody knows.
    pub runs: Option<ReleaseNo>,
    /// The release that was last begun there and did not end well.
    pub tried: Option<ReleaseNo>,
}

/// Most targets that are worked on at the same time: each has a process here and, by ssh, a connection of its own.
const SIDE_BY_SIDE: usize = 8;

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The commands run for these, then health is asked.
    Batch(Vec<TargetName>),
    /// Every target has had its turn.
    Done,
    /// No further target is touched, and why.
    Stop(String),
}

impl Said {
    /// Its kind, as the log's column spells it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Chosen(_) => "targets_chosen",
            Self::Portion(_) => "portion_started",
            Self::Started(_) => "target_started",
            Self::Launched { .. } => "target_launched",
            Self::Waits { .. } => "target_waits",
            Self::Ended { .. } => "target_ended",
            Self::Unhealthy(_) => "targets_unhealthy",
            Self::Slot(said) => said.kind(),
        }
    }

    /// In a few words.
    pub fn sentence(&self) -> String {
        match self {
            Self::Chosen(chosen) => {
                let names: Vec<&str> = chosen.iter().map(|one| one.name.as_str()).collect();
                format!("targets {}", names.join(", "))
            }
            Self::Portion(percent) => format!("{percent} % begun"),
            Self::Started(target) => format!("{target} begun"),
            Self::Launched { target, page } => format!("{target} is at it: {page}"),
            Self::Waits { target, state: Some(state) } => format!("{target} {}", waits(state)),
            Self::Waits { target, state: None } => format!("{target} goes on"),
            Self::Ended { target, failed: None } => format!("{target} done"),
            Self::Ended { target, failed: Some(how) } => format!("{target} failed, {how}"),
            Self::Unhealthy(why) => format!("no further target, {why}"),
            Self::Slot(said) => said.sentence(),
        }
    }
}

impl Fate {
    /// The word people read.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pending => "not reached",
            Self::There => "had it already",
            Self::Running => "being deployed",
            Self::Done => "done",
            Self::Failed(_) => "failed",
            Self::Unknown => "unknown: begun and never reported",
        }
    }
}

impl Rollout {
    /// The next batch among the first so many of a hundred targets.
    pub fn next(&self, rolling: &Rolling, percent: u32) -> Next {
        if let Some(why) = &self.unhealthy {
            return Next::Stop(why.clone());
        }
        let bad: Vec<&TargetName> = self.bad().collect();
        if bad.len() > usize::try_from(rolling.max_unavailable).unwrap_or(usize::MAX) {
            let names: Vec<&str> = bad.iter().map(|name| name.as_str()).collect();
            return Next::Stop(format!("it failed on {}", names.join(", ")));
        }
        let size = rolling.batch.of(self.targets.len());
        let within = Batch::Percent(percent).of(self.targets.len());
        let pending = self.targets.iter().take(within).filter(|(_, fate)| *fate == Fate::Pending);
        let batch: Vec<TargetName> = pending.take(size).map(|(name, _)| name.clone()).collect();
        if batch.is_empty() { Next::Done } else { Next::Batch(batch) }
    }

    /// How many targets of a batch may be begun at the same time: even if all of these fail, it is only the last of them
    /// that is not put up with.
    pub fn at_once(&self, rolling: &Rolling) -> usize {
        let most = usize::try_from(rolling.max_unavailable).unwrap_or(usize::MAX).saturating_add(1);
        most.saturating_sub(self.bad().count()).clamp(1, SIDE_BY_SIDE)
    }

    /// Targets that do not run the release although they had their turn.
    pub fn bad(&self) -> impl Iterator<Item = &TargetName> {
        let bad = |fate: &Fate| matches!(fate, Fate::Failed(_) | Fate::Unknown);
        self.targets.iter().filter(move |(_, fate)| bad(fate)).map(|(name, _)| name)
    }

    /// Where a target is.
    pub fn fate(&self, target: &TargetName) -> Option<&Fate> {
        self.targets.iter().find(|(name, _)| name == target).map(|(_, fate)| fate)
    }

    /// `2 of 5 targets` for a run that has targets, `50 %` for one that goes by portions alone.
    pub fn count(&self) -> Option<String> {
        if self.targets.is_empty() {
            let slot = self.slot.as_ref().map(|at| at.choice.slot.to_string());
            return self.percent.map(|percent| format!("{percent} %")).or(slot);
        }
        let over = |fate: &Fate| !matches!(fate, Fate::Pending | Fate::Running);
        let over = self.targets.iter().filter(|(_, fate)| over(fate)).count();
        Some(format!("{over} of {} targets", self.targets.len()))
    }

    /// Whether a fact can follow.
    pub fn takes(&self, said: &Said) -> bool {
        match said {
            Said::Chosen(chosen) => self.targets.is_empty() && !chosen.is_empty(),
            Said::Portion(percent) => self.percent.is_none_or(|before| before < *percent),
            Said::Started(target) => self.fate(target) == Some(&Fate::Pending),
            Said::Launched { target, .. } | Said::Waits { target, .. } | Said::Ended { target, .. } => {
                self.fate(target) == Some(&Fate::Running)
            }
            Said::Unhealthy(_) => self.unhealthy.is_none() && !self.targets.is_empty(),
            Said::Slot(slot::Said::Chosen(_)) => self.slot.is_none(),
            Said::Slot(said) => self.slot.as_ref().is_some_and(|at| at.takes(said)),
        }
    }

    /// Adds a fact; `there` says which targets run the release already.
    pub fn add(&mut self, said: &Said, there: &BTreeSet<TargetName>) {
        match said {
            Said::Chosen(chosen) => {
                let fate = |name| if there.contains(name) { Fate::There } else { Fate::Pending };
                self.targets = chosen.iter().map(|one| (one.name.clone(), fate(&one.name))).collect();
            }
            Said::Portion(percent) => self.percent = Some(*percent),
            Said::Started(target) => self.set(target, &Fate::Running),
            Said::Launched { target, page } => {
                self.pages.insert(target.clone(), page.clone());
            }
            Said::Waits { target, state: Some(state) } => {
                self.waits.insert(target.clone(), state.clone());
            }
            Said::Waits { target, state: None } => {
                self.waits.remove(target);
            }
            Said::Ended { target, failed: None } => self.set(target, &Fate::Done),
            Said::Ended { target, failed: Some(how) } => self.set(target, &Fate::Failed(how.clone())),
            Said::Unhealthy(why) => self.unhealthy = Some(why.clone()),
            Said::Slot(slot::Said::Chosen(choice)) => self.slot = Some(InSlot::of(choice)),
            Said::Slot(said) => {
                if let Some(at) = &mut self.slot {
                    at.add(said);
                }
            }
        }
    }

    fn set(&mut self, target: &TargetName, fate: &Fate) {
        for (_, known) in self.targets.iter_mut().filter(|(name, _)| name == target) {
            *known = fate.clone();
        }
    }

    /// The run is over: what was begun and not reported is unknown.
    pub fn end(&mut self) {
        for (_, fate) in self.targets.iter_mut().filter(|(_, fate)| *fate == Fate::Running) {
            *fate = Fate::Unknown;
        }
    }
}

/// What is known of targets, by where they are.
pub type Known = BTreeMap<Site, BTreeMap<TargetName, Seen>>;

/// Keeps what a fact says about where releases run.
pub fn note(known: &mut Known, site: &Site, release: ReleaseNo, said: &Said) {
    let targets = known.entry(site.clone()).or_default();
    match said {
        Said::Chosen(_)
        | Said::Portion(_)
        | Said::Launched { .. }
        | Said::Waits { .. }
        | Said::Unhealthy(_)
        | Said::Slot(_) => {}
        // Until it is reported, nobody can say what runs there.
        Said::Started(target) | Said::Ended { target, failed: Some(_) } => {
            let seen = targets.entry(target.clone()).or_insert(Seen { runs: None, tried: None });
            seen.tried = Some(release);
        }
        Said::Ended { target, failed: None } => {
            targets.insert(target.clone(), Seen { runs: Some(release), tried: None });
        }
    }
}

/// The targets there that run a release, and nothing else of its track.
pub fn there(known: &Known, site: &Site, release: ReleaseNo) -> BTreeSet<TargetName> {
    let all = known.get(site).into_iter().flatten();
    let there = all.filter(|(_, seen)| seen.runs == Some(release) && seen.tried.is_none());
    there.map(|(name, _)| name.clone()).collect()
}

/// What there is to say of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// In words.
    pub text: String,
    /// Where people look at a job that the target does itself.
    pub page: Option<String>,
}

impl Line {
    fn of(text: String) -> Self {
        Self { text, page: None }
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)?;
        self.page.iter().try_for_each(|page| write!(f, " ({page})"))
    }
}

/// Which target runs what, line by line, for a run that has targets; how far it came, for one that has none.
pub fn lines(state: &State, release: ReleaseNo, stage: &StageName) -> Vec<Line> {
    let Some(found) = state.release(release) else { return Vec::new() };
    let Some((rule, run)) = found.rule(stage).zip(found.run(stage)) else { return Vec::new() };
    let known = state.targets.get(&found.site(rule));
    let line = |(name, fate): &(TargetName, Fate)| {
        let seen = known.and_then(|known| known.get(name));
        let waiting = run.rollout.waits.get(name).filter(|_| *fate == Fate::Running);
        let waiting = waiting.map_or_else(String::new, |state| format!("; it {}", waits(state)));
        let text = format!("{name}: {}{waiting}{}", fate.word(), runs(state, seen, fate));
        Line { text, page: run.rollout.pages.get(name).cloned() }
    };
    let slots = run.rollout.slot.as_ref().map(|_| slot::lines(state, found, rule)).into_iter().flatten();
    run.rollout.targets.iter().map(line).chain(reached(run).into_iter().chain(slots).map(Line::of)).collect()
}

/// What a job does that nothing happens to before somebody says so where it runs; whose word is asked for is no rule of
/// ours, and we never say it.
fn waits(state: &str) -> String {
    format!(
        "is {state} there and waits for somebody to confirm or discard it, until the time of its step is over"
    )
}

/// The jobs of a run that wait for somebody where they run.
pub fn asked_there(run: &StageRun) -> impl Iterator<Item = Line> {
    run.rollout.targets.iter().filter(|(_, fate)| *fate == Fate::Running).filter_map(|(name, _)| {
        let state = run.rollout.waits.get(name)?;
        let text = format!("{name} {}", waits(state));
        Some(Line { text, page: run.rollout.pages.get(name).cloned() })
    })
}

/// How it went on each target, line by line; of what happened there since, it says nothing.
pub fn fates(run: &StageRun) -> Vec<Line> {
    let line = |(name, fate): &(TargetName, Fate)| {
        let text = match fate {
            Fate::Failed(how) => format!("{name}: failed, {how}"),
            Fate::Pending | Fate::There | Fate::Running | Fate::Done | Fate::Unknown => {
                format!("{name}: {}", fate.word())
            }
        };
        Line { text, page: run.rollout.pages.get(name).cloned() }
    };
    run.rollout.targets.iter().map(line).chain(reached(run).map(Line::of)).collect()
}

/// How far a run without targets came that ended before all of it ran the release: only its commands know more.
fn reached(run: &StageRun) -> Option<String> {
    let ended = run.state.is_bad_end() && run.rollout.targets.is_empty();
    if let Some(at) = run.rollout.slot.as_ref().filter(|_| ended) {
        return Some(at.ended());
    }
    let percent = run.rollout.percent.filter(|_| ended)?;
    Some(format!("its commands were told {percent} %, and nothing takes that back by itself"))
}

/// What runs on a target, after how it went there.
fn runs(state: &State, seen: Option<&Seen>, fate: &Fate) -> String {
    let how = match fate {
        Fate::Failed(how) => format!(", {how}"),
        Fate::Pending | Fate::There | Fate::Running | Fate::Done | Fate::Unknown => String::new(),
    };
    let before = seen.and_then(|seen| seen.runs).map(|no| state.version_of(no));
    match (seen.and_then(|seen| seen.tried), before) {
        (Some(tried), Some(before)) => {
            format!("{how}; it ran {before}, and {} was begun there", state.version_of(tried))
        }
        (Some(tried), None) => format!("{how}; {} was begun there", state.version_of(tried)),
        (None, Some(runs)) => format!("{how}; it runs {runs}"),
        (None, None) => how,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(no: u32) -> TargetName {
        format!("web-{no}").parse().unwrap()
    }

    fn rollout(count: u32) -> Rollout {
        let chosen = (1..=count).map(|no| Chosen { name: name(no), roles: BTreeSet::new() }).collect();
        let mut rollout = Rollout::default();
        rollout.add(&Said::Chosen(chosen), &BTreeSet::new());
        rollout
    }

    fn go(rollout: &mut Rollout, no: u32, failed: Option<&str>) {
        for said in
            [Said::Started(name(no)), Said::Ended { target: name(no), failed: failed.map(str::to_owned) }]
        {
            assert!(rollout.takes(&said));
            rollout.add(&said, &BTreeSet::new());
            assert!(!rollout.takes(&said), "nothing happens twice");
        }
    }

    #[test]
    fn e23_a_batch_is_a_number_or_a_part_of_all_rounded_up() {
        let of = |text: &str, all| text.parse::<Batch>().unwrap().of(all);
        assert_eq!([of("2", 5), of("25%", 5), of("25%", 8), of("1%", 3), of("100%", 3)], [2, 2, 2, 1, 3]);
        for wrong in ["0", "0%", "101%", "", "%", "-1", "2.5", "all"] {
            assert!(wrong.parse::<Batch>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn e27_a_job_waits_for_somebody_there_until_it_goes_on_or_is_over() {
        let mut rollout = rollout(2);
        let waits = |state: Option<&str>| Said::Waits { target: name(1), state: state.map(str::to_owned) };
        assert!(!rollout.takes(&waits(Some("planned"))), "nothing was launched");
        rollout.add(&Said::Started(name(1)), &BTreeSet::new());
        for (said, shown) in [(waits(Some("planned")), Some("planned")), (waits(None), None)] {
            assert!(rollout.takes(&said));
            rollout.add(&said, &BTreeSet::new());
            assert_eq!(rollout.waits.get(&name(1)).map(String::as_str), shown);
        }
        rollout.add(&Said::Ended { target: name(1), failed: None }, &BTreeSet::new());
        assert!(!rollout.takes(&waits(Some("planned"))), "it is over");
        assert!(waits(Some("planned")).sentence().contains("waits for somebody to confirm or discard it"));
        assert_eq!(waits(None).sentence(), "web-1 goes on");
    }

    #[test]
    fn e23_batches_follow_each_other_until_every_target_had_its_turn() {
        let rolling = Rolling { batch: Batch::Count(2), max_unavailable: 0 };
        let mut rollout = rollout(3);
        assert_eq!(rollout.next(&rolling, 100), Next::Batch(vec![name(1), name(2)]));
        go(&mut rollout, 1, None);
        go(&mut rollout, 2, None);
        assert_eq!(rollout.next(&rolling, 100), Next::Batch(vec![name(3)]));
        go(&mut rollout, 3, None);
        assert_eq!(rollout.next(&rolling, 100), Next::Done);
    }

    #[test]
    fn e23_a_portion_is_a_part_of_all_targets_rounded_up_and_counts_those_that_are_done() {
        let whole = Rolling { batch: Batch::Percent(100), max_unavailable: 0 };
        let mut rollout = rollout(3);
        assert!(rollout.takes(&Said::Portion(10)));
        rollout.add(&Said::Portion(10), &BTreeSet::new());
        assert!(!rollout.takes(&Said::Portion(10)), "a portion is begun once");
        assert_eq!(rollout.next(&whole, 10), Next::Batch(vec![name(1)]));
        go(&mut rollout, 1, None);
        assert_eq!(rollout.next(&whole, 10), Next::Done);
        assert_eq!(rollout.next(&whole, 33), Next::Done);
        assert_eq!(rollout.next(&whole, 50), Next::Batch(vec![name(2)]));
        assert_eq!(rollout.next(&whole, 100), Next::Batch(vec![name(2), name(3)]));
        go(&mut rollout, 2, Some("exit 1"));
        assert!(matches!(rollout.next(&whole, 100), Next::Stop(_)));
    }

    #[test]
    fn e23_a_failure_stops_it_unless_some_are_put_up_with() {
        let mut rollout = rollout(3);
        go(&mut rollout, 1, Some("exit 1"));
        assert_eq!(rollout.next(&Rolling::default(), 100), Next::Stop("it failed on web-1".to_owned()));
        let patient = Rolling { max_unavailable: 1, ..Rolling::default() };
        assert_eq!(rollout.next(&patient, 100), Next::Batch(vec![name(2)]));
        go(&mut rollout, 2, Some("exit 1"));
        assert_eq!(rollout.next(&patient, 100), Next::Stop("it failed on web-1, web-2".to_owned()));
        let mut ill = Rollout { unhealthy: None, ..rollout };
        ill.add(&Said::Unhealthy("health says 502".to_owned()), &BTreeSet::new());
        assert_eq!(ill.next(&patient, 100), Next::Stop("health says 502".to_owned()));
    }

    #[test]
    fn e23_no_more_are_begun_at_the_same_time_than_may_fail_and_one() {
        let of = |max_unavailable| Rolling { batch: Batch::Count(20), max_unavailable };
        let mut rollout = rollout(20);
        assert_eq!([0, 1, 5, 7, 8, u32::MAX].map(|most| rollout.at_once(&of(most))), [1, 2, 6, 8, 8, 8]);
        assert_eq!(rollout.at_once(&Rolling::AT_ONCE), 1, "of a portion none may fail");
        go(&mut rollout, 1, None);
        assert_eq!(rollout.at_once(&of(2)), 3, "who is done keeps nobody back");
        go(&mut rollout, 2, Some("exit 1"));
        assert_eq!(rollout.at_once(&of(2)), 2);
        rollout.add(&Said::Started(name(3)), &BTreeSet::new());
        rollout.end();
        assert_eq!(rollout.at_once(&of(2)), 1, "of whom nobody knows is not up");
        assert_eq!(rollout.at_once(&of(0)), 1);
    }

    #[test]
    fn t57_what_was_begun_and_never_reported_is_unknown_and_not_begun_again() {
        let mut rollout = rollout(2);
        rollout.add(&Said::Started(name(1)), &BTreeSet::new());
        rollout.end();
        assert_eq!(rollout.fate(&name(1)), Some(&Fate::Unknown));
        assert_eq!(rollout.fate(&name(2)), Some(&Fate::Pending));
        assert!(!rollout.takes(&Said::Started(name(1))));
        assert!(matches!(rollout.next(&Rolling::default(), 100), Next::Stop(_)));
    }

    #[test]
    fn e23_a_target_that_runs_the_release_is_left_alone() {
        let (no, eu) = (ReleaseNo(std::num::NonZeroU32::MIN), ("eu".parse().unwrap(), None));
        let mut known = Known::new();
        note(&mut known, &eu, no, &Said::Ended { target: name(1), failed: None });
        note(&mut known, &eu, no, &Said::Ended { target: name(2), failed: None });
        note(&mut known, &eu, no, &Said::Started(name(2)));
        assert_eq!(there(&known, &eu, no), BTreeSet::from([name(1)]), "web-2 was begun again");
        let chosen = [1, 2].map(|no| Chosen { name: name(no), roles: BTreeSet::new() });
        let mut rollout = Rollout::default();
        rollout.add(&Said::Chosen(chosen.to_vec()), &there(&known, &eu, no));
        assert_eq!(
            rollout.next(&Rolling { batch: Batch::Count(9), max_unavailable: 0 }, 100),
            Next::Batch(vec![name(2)])
        );
    }
}
