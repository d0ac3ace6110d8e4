//! Going back by itself: what makes a release bad, where the stage goes back to, and why it does not (SEMANTICS §8).
//!
//! It follows from the state alone, so that it is decided once, whoever looks: a release that is live or was last tried
//! in a stage is bad, nothing else is at work there, and nobody has answered yet.

use std::sync::Arc;

use crate::domain::approval::rule_for;
use crate::domain::check::course::{Course, Standing};
use crate::domain::event::{Detail, RunKind};
use crate::domain::name::{ReleaseNo, StageName};
use crate::domain::pause::Then;
use crate::domain::pipeline::Stage;
use crate::domain::pipeline::rollback::Trigger;
use crate::domain::progress::tested;
use crate::domain::release::{Release, StageRun, StageState, StageState as S};
use crate::domain::state::{Alarm, State};
use crate::domain::time::{Span, Timestamp};
use crate::domain::track::Track;

/// How old a failure may be that is answered without a person, and how long the answer may be kept from starting; whoever looks later has the time to decide.
pub const FRESH: Span = Span::minutes(20);
/// Code of the alarm about a rollback that did not start in time.
pub const LAPSED: &str = "rollback_lapsed";
/// Code of the alarm by which people are asked about a release that does not go back by itself.
pub const ASKS: &str = "rollback_asks";

/// A release that was found bad in a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad<'s> {
    /// The release.
    pub release: &'s Release,
    /// The stage as it must see it.
    pub stage: &'s Stage,
    /// The attempt.
    pub run: &'s StageRun,
    /// By what.
    pub trigger: Trigger,
    /// When.
    pub at: Timestamp,
}

/// What follows by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The stage goes back to this release.
    Back(ReleaseNo),
    /// The stage is held, and people are asked whether it goes back to this release.
    Ask(ReleaseNo),
    /// Somebody has answered already, the engine or a person, with this release.
    Answered(ReleaseNo),
    /// People were asked.
    Asked(ReleaseNo),
    /// Something is queued or at work in the environment; what comes of it is waited for.
    Busy,
    /// It happened too long ago.
    Old,
    /// No older release succeeded here that is not vetoed.
    NoTarget,
}

/// The release of a track that is bad in a stage and that the stage goes back from by itself, as its rules say.
pub fn bad<'s>(state: &'s State, stage: &StageName, track: Option<&Track>) -> Option<Bad<'s>> {
    let release = state.release(state.live_at(stage, track)?.release())?;
    let (rule, run) = release.rule(stage).zip(release.run(stage))?;
    // A rollback that goes wrong is for people: going back from one place to the next helps nobody.
    if run.kind == RunKind::Rollback {
        return None;
    }
    let (trigger, at) = found(state, (release, rule, run))?;
    rule.rollback.auto.contains(&trigger).then_some(Bad { release, stage: rule, run, trigger, at })
}

/// By what a run was found bad, and when.
fn found(
    state: &State,
    (release, stage, run): (&Release, &Stage, &StageRun),
) -> Option<(Trigger, Timestamp)> {
    if let Some(fault) = run.fault.as_ref().filter(|_| run.state == StageState::Succeeded) {
        return Some((Trigger::GateFailed, fault.at));
    }
    if !matches!(run.state, StageState::Failed | StageState::TimedOut) || run.started_at.is_none() {
        return None;
    }
    let course = Course { repo: &state.id.repo, release, stage, run };
    let trigger = match (run.worked_at, course.standing()) {
        (Some(_), Standing::Red(_)) => Trigger::VerifyFailed,
        (Some(_), Standing::Busy | Standing::Unasked(_) | Standing::Unsure(_) | Standing::Done) => {
            Trigger::GateFailed
        }
        (None, _) if tested(run) => Trigger::VerifyFailed,
        (None, _) if stopped_by_gate(run) => Trigger::GateFailed,
        (None, _) => Trigger::DeployFailed,
    };
    Some((trigger, run.moved_at))
}

/// Whether what ended a run was a gate between two portions of its deploy.
fn stopped_by_gate(run: &StageRun) -> bool {
    let answer = run.hold().and_then(|(pausing, _)| pausing.answer.as_ref());
    answer.is_some_and(|answer| answer.by.is_none() && answer.then == Then::Fail)
}

impl Bad<'_> {
    /// What happened, after the version: `failed at "smoke": exit 1`.
    pub fn what(&self) -> String {
        if let Some(fault) = &self.run.fault {
            return format!("is faulty, {} says {}", fault.gate, fault.detail);
        }
        match &self.run.detail {
            Detail::Failed(failure) => {
                format!("{} at \"{}\" ({})", self.run.state.word(), failure.step, failure.how)
            }
            Detail::Reason(why) => format!("{}, {why}", self.run.state.word()),
            Detail::None | Detail::Fence(_) | Detail::By { .. } | Detail::Newer(_) | Detail::Took(_) => {
                self.run.state.word().to_owned()
            }
        }
    }

    /// What follows from it by itself.
    pub fn answer(&self, state: &State, now: Timestamp) -> Answer {
        let name = &self.stage.name;
        if let Some(back) = back_since(state, (self.release, name), self.at) {
            return Answer::Answered(back);
        }
        let Some(target) = target(state, self.release, name) else { return Answer::NoTarget };
        // Older versions asked without back ticks.
        let question = self.question(target).replace('`', "");
        let asks = |alarm: &Alarm| alarm.code == ASKS && alarm.text.replace('`', "") == question;
        if state.alarms.values().any(asks) {
            return Answer::Asked(target.no());
        }
        if now.since(self.at) > FRESH {
            return Answer::Old;
        }
        if at_work(state, self.release, self.stage)
            || !target.state_in(name).is_some_and(StageState::is_terminal)
        {
            return Answer::Busy;
        }
        if self.stage.rollback.safe { Answer::Back(target.no()) } else { Answer::Ask(target.no()) }
    }

    /// What people are asked when it is not safe to go back unseen.
    pub fn question(&self, target: &Release) -> String {
        let (name, version) = (&self.stage.name, &self.release.created.version);
        format!(
            "{version} {} in {name}, attempt {}, and going back is not safe by itself: {name} is on hold. Comment `/rollback {name} -- reason` to put {} back, or `/unhold {name}` once it is good.",
            self.what(),
            self.run.attempt,
            target.created.version
        )
    }
}

/// The release that was put back in a stage since then, or is to be, in the place of this one.
fn back_since(state: &State, (bad, stage): (&Release, &StageName), at: Timestamp) -> Option<ReleaseNo> {
    let since = |run: &&StageRun| run.kind == RunKind::Rollback && run.opened_at >= at;
    let all = state.releases.values().filter(|r| r.track() == bad.track());
    let back = all.filter_map(|r| {
        let opened = r.stages.get(stage)?.iter().filter(since).map(|run| run.opened_at).max()?;
        Some((opened, r.no()))
    });
    back.max().map(|(_, no)| no)
}

/// The release that was put back by itself because this run was bad, and since when it was to be.
pub fn put_back<'s>(
    state: &'s State,
    release: &Release,
    (stage, run): (&StageName, &StageRun),
) -> Option<(&'s Release, Timestamp)> {
    let (_, at) = found(state, (release, release.rule(stage)?, run))?;
    let of = |other: &'s Release| {
        let runs = other.stages.get(stage).map(Vec::as_slice).unwrap_or_default();
        let unasked = runs.iter().find(|back| {
            let in_time = at <= back.opened_at && back.opened_at <= at.plus(FRESH);
            back.kind == RunKind::Rollback && back.by.is_none() && in_time
        });
        unasked.map(|back| (other, back.opened_at))
    };
    let others = state.releases.values().filter(|r| r.no() != release.no() && r.track() == release.track());
    others.filter_map(|other| of(other)).min_by_key(|(_, opened)| *opened)
}

/// Whether a rollback has put its release where it was to be.
fn is_back(run: &StageRun) -> bool {
    matches!(run.state, S::Succeeded | S::AwaitingSignoff | S::RejectedAfterDeploy)
}

/// Whether a run is a rollback that began, and could not put its release back.
fn failed_back(run: &StageRun) -> bool {
    run.kind == RunKind::Rollback && run.started_at.is_some() && run.state.is_terminal() && !is_back(run)
}

/// When a release last came to a stage, or was tried there. A rollback that failed leaves what it was to leave.
pub fn came_at(release: &Release, stage: &StageName) -> Option<Timestamp> {
    let runs = release.stages.get(stage)?.iter().filter(|run| run.kind != RunKind::Rollback || is_back(run));
    runs.filter_map(|run| run.started_at).max()
}

/// What a stage is left by when it goes back to a release: the last that came there, or was tried, beside that one.
pub fn left<'s>(state: &'s State, back: &Release, stage: &StageName) -> Option<&'s Arc<Release>> {
    let others = state.releases.values().filter(|r| r.no() != back.no() && r.track() == back.track());
    let came = others.filter_map(|r| Some((came_at(r, stage)?, r)));
    came.max_by_key(|(at, _)| *at).map(|(_, left)| left)
}

/// Where a track goes back to in a stage when nobody names a release.
pub fn back<'s>(state: &'s State, stage: &StageName, track: Option<&Track>) -> Option<&'s Arc<Release>> {
    let last = state.release(state.live_at(stage, track)?.release())?;
    let failed = last.standing(stage).is_some_and(failed_back);
    let from = if failed { left(state, last, stage)? } else { last };
    target(state, from, stage)
}

/// Where a stage goes back to from a release: what last succeeded there before that was deployed, of its track, and is not
/// vetoed, whose bytes are kept, and which its tag and its variables let start at all. Which of two branches has more commits says nothing about what ran; and what a
/// rollback could not put back since then comes last.
pub fn target<'s>(state: &'s State, from: &Release, stage: &StageName) -> Option<&'s Arc<Release>> {
    let runs = |r: &'s Release| r.stages.get(stage).map(Vec::as_slice).unwrap_or_default();
    let deploys = from.stages.get(stage).into_iter().flatten().filter(|run| run.kind != RunKind::Rollback);
    let deployed = deploys.filter_map(|run| run.started_at).max();
    let since = |at: Timestamp| deployed.is_some_and(|deployed| at > deployed);
    let succeeded = |r: &'s Release| {
        let good = runs(r).iter().filter(|run| run.state == S::Succeeded).map(|run| run.moved_at);
        good.filter(|at| !since(*at)).max()
    };
    let failed = |r: &Release| {
        let tried = r.standing(stage).filter(|run| failed_back(run)).and_then(|run| run.started_at);
        tried.is_some_and(since)
    };
    let vetoed = |r: &Release| state.vetoes.contains_key(&(stage.clone(), r.no()));
    let others = state.done(stage).filter(|r| r.no() != from.no() && r.track() == from.track());
    let starts = |r: &Release| r.moved_tag().is_none() && !r.unusable.contains_key(stage);
    let good = others.filter(|r| r.retired.is_none() && !vetoed(r) && starts(r));
    let back = good.filter_map(|r| Some((!failed(r), succeeded(r)?, r)));
    back.max_by_key(|(unfailed, at, _)| (*unfailed, *at)).map(|(_, _, r)| r)
}

/// Whether the engine began it, and it has not started.
fn waits_unasked(run: &StageRun) -> bool {
    run.kind == RunKind::Rollback && run.by.is_none() && run.state.waits()
}

/// When a rollback that nobody asked for is over unless it has started; never when people must agree to it, who then know
/// what they agree to.
pub fn lapses_at(stage: &Stage, run: &StageRun) -> Option<Timestamp> {
    let unasked = waits_unasked(run) && run.promoted.is_none() && rule_for(stage, run).is_none();
    // What was queued and is kept from starting again waits anew.
    let kept = unasked && run.state == S::Pending;
    kept.then(|| run.not_before.map_or(run.moved_at, |at| at.max(run.moved_at)).plus(FRESH))
}

/// Why a rollback that nobody asked for does not start any more: what it answers is not how things are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lapse<'s> {
    /// This one has succeeded there since.
    Overtaken(&'s Release),
    /// Something has kept it from starting for too long.
    Late,
}

/// Whether it is so.
pub fn lapse<'s>(
    state: &'s State,
    release: &Release,
    (stage, run): (&Stage, &StageRun),
    now: Timestamp,
) -> Option<Lapse<'s>> {
    if !waits_unasked(run) {
        return None;
    }
    if let Some(other) = overtaken(state, release, (&stage.name, run)) {
        return Some(Lapse::Overtaken(other));
    }
    lapses_at(stage, run).filter(|at| *at <= now).map(|_| Lapse::Late)
}

/// What has succeeded in a stage since a run was opened there.
pub fn overtaken<'s>(
    state: &'s State,
    release: &Release,
    (stage, run): (&StageName, &StageRun),
) -> Option<&'s Arc<Release>> {
    let since = |other: &StageRun| other.state == S::Succeeded && other.moved_at > run.opened_at;
    let mut others =
        state.releases.values().filter(|r| r.no() != release.no() && r.track() == release.track());
    others.find(|r| r.stages.get(stage).is_some_and(|runs| runs.iter().any(since)))
}

/// Whether the rollback to a release was over before it started, and nobody had asked for it.
fn has_lapsed(state: &State, no: ReleaseNo, stage: &StageName) -> bool {
    let run = state.release(no).and_then(|release| release.run(stage));
    run.is_some_and(|run| {
        let unasked = run.kind == RunKind::Rollback && run.by.is_none() && run.started_at.is_none();
        unasked && run.state == S::Cancelled
    })
}

/// Whether something is queued or at work where a release is in a stage.
fn at_work(state: &State, bad: &Release, stage: &Stage) -> bool {
    let lock = bad.lock(stage);
    let works = |release: &Release| {
        release.stages.iter().any(|(name, runs)| {
            let busy = |run: &StageRun| run.state == StageState::Queued || run.state.occupies();
            runs.last().is_some_and(busy)
                && release.rule(name).is_some_and(|rule| release.lock(rule).collides(&lock))
        })
    };
    state.runbooks.on(stage.lock()).is_some() || state.releases.values().any(|r| works(r))
}

/// How a stage goes back from a release when it goes wrong there, for those who are asked to let it start (row E05).
pub fn plan(state: &State, release: &Release, stage: &Stage) -> String {
    let name = &stage.name;
    if release.rules.release.kind.ships(stage) {
        return format!(
            "{name} ships to others, who keep what they have got; a newer version takes its place"
        );
    }
    let Some(target) = target(state, release, name) else {
        return format!("nothing older succeeded in {name}, so there is nothing to go back to");
    };
    let version = &target.created.version;
    let by_hand = match stage.rollback_approvals {
        0 => format!("`/rollback {name} -- reason` puts {version} back"),
        n => format!("`/rollback {name} -- reason` puts {version} back, with {n} approval{}", plural(n)),
    };
    let when: Vec<&str> = stage.rollback.auto.iter().map(|trigger| trigger.sentence()).collect();
    if when.is_empty() {
        return by_hand;
    }
    let when = when.join(" or ");
    if !stage.rollback.safe {
        return format!("when {when}, {name} is held and people are asked; {by_hand}");
    }
    let agreed = match stage.rollback.approvals {
        0 => String::new(),
        n => format!(" after {n} approval{}", plural(n)),
    };
    format!("when {when}, {version} is put back by itself{agreed}; {by_hand}")
}

/// What a person can do about a bad release that does not go back by itself.
pub fn act(state: &State, release: &Release, stage: &StageName, now: Timestamp) -> Option<String> {
    let bad = bad(state, stage, release.track()).filter(|bad| bad.release.no() == release.no())?;
    match bad.answer(state, now) {
        Answer::Answered(back) if !has_lapsed(state, back, stage) => None,
        Answer::Answered(back) => state.release(back).map(|back| ask_line(back, stage)),
        Answer::Asked(_) | Answer::Ask(_) | Answer::Old => {
            Some(format!("an approver comments `/rollback {stage} -- reason`"))
        }
        Answer::Back(_) | Answer::Busy | Answer::NoTarget => None,
    }
}

/// Who asks for a certain rollback, and how.
pub fn ask_line(back: &Release, stage: &StageName) -> String {
    format!("an approver comments `/rollback {stage} {} -- reason`", back.created.version)
}

fn plural(count: u32) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// What is said of a bad release beside how it ended, with a sign; nothing when its rules do not ask for anything.
pub fn line(state: &State, release: &Release, stage: &StageName, now: Timestamp) -> Option<String> {
    let bad = bad(state, stage, release.track()).filter(|bad| bad.release.no() == release.no())?;
    let version = |no: ReleaseNo| state.version_of(no);
    Some(match bad.answer(state, now) {
        Answer::Back(no) => format!("{} is to be put back by itself", version(no)),
        Answer::Ask(no) | Answer::Asked(no) => {
            format!("not rolled back by itself: `rollback.safe` is false; {} would be put back", version(no))
        }
        Answer::Answered(no) => {
            let run = state.release(no).and_then(|back| back.run(stage));
            let word = run.map_or("gone", |run| run.state.word());
            let why =
                run.and_then(|run| if let Detail::Reason(why) = &run.detail { Some(why) } else { None });
            let why = why.map_or_else(String::new, |why| format!(", {why}"));
            format!("{} was to be put back: {word}{why}", version(no))
        }
        Answer::Busy => "not rolled back yet: something else is at work in the environment".to_owned(),
        Answer::Old => format!("not rolled back by itself: it failed more than {FRESH} ago"),
        Answer::NoTarget => {
            "not rolled back by itself: no older release succeeded here that is not vetoed".to_owned()
        }
    })
}
