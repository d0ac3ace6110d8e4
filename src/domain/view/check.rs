//! What people read about legs and gates: a status and a line each, and what keeps a stage that is being verified.

use std::fmt::Write as _;

use crate::domain::check::course::{Course, Shown, Standing};
use crate::domain::check::ticks::GateStanding;
use crate::domain::check::{Check, LegId, Side};
use crate::domain::effect::{Status, StatusState};
use crate::domain::event::Overridable;
use crate::domain::markdown::{escape, inline_code, status_line};
use crate::domain::name::{PipelineId, ReleaseNo, StageName};
use crate::domain::pipeline::Stage;
use crate::domain::probe::Answer;
use crate::domain::release::{Release, StageRun, StageState};
use crate::domain::state::State;
use crate::domain::time::Timestamp;
use crate::domain::view::release_path;

/// A leg or gate as pages and comments show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckLine {
    /// The stage.
    pub stage: StageName,
    /// The leg.
    pub leg: LegId,
    /// How it stands, in a word.
    pub state: &'static str,
    /// What it answered, and what that means.
    pub text: String,
    /// When it last changed.
    pub at: Option<Timestamp>,
    /// Its log, when it runs a command and has run.
    pub log: Option<String>,
}

/// The log of a check's commands in one attempt; also the log's name in the store.
pub fn log_id(id: &PipelineId, no: ReleaseNo, stage: &StageName, leg: &LegId, attempt: u32) -> String {
    crate::domain::view::log_id(id, no, &format!("{stage}.{}", leg.name('.')), attempt)
}

/// The status of each leg, from the first time the stage runs.
pub fn statuses(state: &State, release: &Release, stage: &Stage) -> Vec<Status> {
    let runs = release.stages.get(&stage.name).map(Vec::as_slice).unwrap_or_default();
    let begun = runs.iter().any(|run| run.started_at.is_some());
    let Some(run) = runs.last().filter(|_| begun) else { return Vec::new() };
    let course = Course { repo: &state.id.repo, release, stage, run };
    let legs = course.legs();
    legs.iter()
        .map(|(leg, check)| {
            let (light, text) = status(&course, leg, check);
            Status {
                context: release.created.pipeline.context(&format!("{}/{}", stage.name, leg.name('/'))),
                state: light,
                description: status_line(&text),
                path: release_path(&state.id, release.no()),
                detail: None,
            }
        })
        .collect()
}

fn status(course: &Course<'_>, leg: &LegId, check: &Check) -> (StatusState, String) {
    let detail = course.leg(leg).map_or_else(String::new, |l| l.reading.detail.clone());
    let forgiven = if check.blocking { "" } else { "; does not block" };
    match course.shown(leg, check) {
        Shown::Waiting => (StatusState::Pending, "Waits for what comes first".to_owned()),
        Shown::Running => match course.leg(leg) {
            Some(_) => (StatusState::Pending, format!("Is asked again, last: {detail}")),
            None => (StatusState::Pending, "Is being asked".to_owned()),
        },
        Shown::Passed => (StatusState::Success, format!("Passed{}: {detail}", reused(course, leg))),
        Shown::Overridden => (StatusState::Success, overridden(course, check)),
        Shown::Failed => (StatusState::Failure, format!("Failed: {detail}{forgiven}")),
        Shown::Inconclusive => (StatusState::Pending, format!("Nobody can tell: {detail}{forgiven}")),
        Shown::Error => (StatusState::Error, format!("Could not be asked: {detail}{forgiven}")),
        Shown::Skipped => match course.leg(leg) {
            Some(_) => (StatusState::Success, format!("Skipped: {detail}")),
            None => (StatusState::Pending, "Not asked".to_owned()),
        },
    }
}

fn reused(course: &Course<'_>, leg: &LegId) -> String {
    course.leg(leg).and_then(|l| l.reused.as_ref()).map_or_else(String::new, |from| {
        if from.release == course.release.no() {
            return format!(", cached from {} attempt {}", from.stage, from.attempt);
        }
        match from.version.as_ref().zip(from.at) {
            Some((version, at)) => {
                format!(", taken over from {version} in {} of {}", from.stage, at.minute())
            }
            None => format!(", cached from release {} in {}", from.release, from.stage),
        }
    })
}

fn overridden(course: &Course<'_>, check: &Check) -> String {
    let given = Overridable::Check(check.name.clone());
    let by = course.run.overridden(&given, course.stage);
    by.map_or_else(String::new, |o| format!("Overridden by {}: {}", o.by.login, o.reason))
}

/// Every leg and gate of a release that was asked, or is about to be.
pub fn lines(state: &State, release: &Release) -> Vec<CheckLine> {
    release
        .rules
        .stages
        .iter()
        .filter_map(|stage| release.run(&stage.name).map(|run| (stage, run)))
        .flat_map(|(stage, run)| stage_lines(state, release, stage, run))
        .collect()
}

fn stage_lines(state: &State, release: &Release, stage: &Stage, run: &StageRun) -> Vec<CheckLine> {
    let course = Course { repo: &state.id.repo, release, stage, run };
    let log = |leg: &LegId, check: &Check| {
        let runs = check.kind.runs();
        runs.then(|| log_id(&state.id, release.no(), &stage.name, leg, run.attempt))
    };
    let mut out = Vec::new();
    if run.worked_at.is_some() {
        out.extend(course.legs().iter().map(|(leg, check)| {
            let answered = course.leg(leg);
            CheckLine {
                stage: stage.name.clone(),
                leg: leg.clone(),
                state: course.shown(leg, check).word(),
                text: status(&course, leg, check).1,
                at: answered.map(|l| l.at),
                log: answered.filter(|l| l.reused.is_none()).and_then(|_| log(leg, check)),
            }
        }));
    }
    for side in [Side::Pre, Side::Hold, Side::Post, Side::Watch] {
        let Some(ticks) = course.ticks(side) else { continue };
        out.extend(course.gates(side).iter().map(|(leg, check)| {
            let reading = ticks.reading(leg);
            let word = if course.overridden(check) {
                "overridden"
            } else {
                match reading.map(|r| r.answer) {
                    Some(Answer::Pass) => "passed",
                    Some(Answer::Fail) => "failed",
                    Some(Answer::Inconclusive) => "inconclusive",
                    Some(Answer::Error) => "error",
                    None => "waiting",
                }
            };
            let when = match side {
                Side::Pre => "gate before",
                Side::Hold => "while held",
                Side::Post => "gate after",
                Side::Watch => "while live",
            };
            let said = reading.map_or("has not answered yet", |r| r.detail.as_str());
            CheckLine {
                stage: stage.name.clone(),
                leg: leg.clone(),
                state: word,
                text: format!("{when}: {said}"),
                at: ticks.at,
                log: reading.and_then(|_| log(leg, check)),
            }
        }));
    }
    out
}

/// The table of legs and gates in the release's comment.
pub fn table(state: &State, release: &Release) -> String {
    let lines = lines(state, release);
    let mut out = String::new();
    if !lines.is_empty() {
        out.push_str("\n| stage | check | state | what |\n|---|---|---|---|\n");
    }
    for line in lines {
        let text = escape(&line.text).replace('|', "\\|");
        writeln!(out, "| {} | {} | {} | {text} |", line.stage, line.leg, line.state).unwrap_or_default();
    }
    out
}

/// Where a run is whose commands have passed.
pub fn verifying(state: &State, release: &Release, stage: &Stage, run: &StageRun) -> Option<String> {
    run.worked_at?;
    let version = &release.created.version;
    let course = Course { repo: &state.id.repo, release, stage, run };
    let legs = course.legs();
    if course.standing() == Standing::Done {
        let names: Vec<String> = course.gates(Side::Post).iter().map(|(leg, _)| leg.to_string()).collect();
        return Some(format!("{version} is deployed; gates {} are asked", names.join(", ")));
    }
    let shown: Vec<Shown> = legs.iter().map(|(leg, check)| course.shown(leg, check)).collect();
    let good = shown.iter().filter(|s| matches!(s, Shown::Passed | Shown::Overridden)).count();
    let bad = legs.iter().filter(|(leg, check)| {
        matches!(course.shown(leg, check), Shown::Failed | Shown::Error | Shown::Inconclusive)
    });
    let bad: Vec<String> = bad.map(|(leg, _)| leg.to_string()).collect();
    let red = if bad.is_empty() { String::new() } else { format!("; not good: {}", bad.join(", ")) };
    Some(format!("{version} is being verified: {good} of {} checks passed{red}", legs.len()))
}

/// What was not good and did not block.
pub fn issues(state: &State, release: &Release, stage: &Stage, run: &StageRun) -> String {
    let course = Course { repo: &state.id.repo, release, stage, run };
    let issues = course.issues();
    if issues.is_empty() { String::new() } else { format!(", with issues: {}", issues.join(", ")) }
}

/// `why` of a stage whose commands have passed: each leg and gate, and who can do what about it.
pub fn why(
    state: &State,
    (release, stage, run): (&Release, &Stage, &StageRun),
    now: Timestamp,
) -> (Vec<(String, &'static str)>, Vec<String>) {
    let course = Course { repo: &state.id.repo, release, stage, run };
    let (mut lines, mut acts) = (Vec::new(), Vec::new());
    for (leg, check) in course.legs() {
        let shown = course.shown(&leg, check);
        let sign = match shown {
            Shown::Passed | Shown::Overridden | Shown::Skipped => "✔",
            Shown::Waiting | Shown::Running => "⏳",
            Shown::Failed | Shown::Inconclusive | Shown::Error if !check.blocking => "⚠",
            Shown::Failed | Shown::Inconclusive | Shown::Error => "✖",
        };
        let (_, text) = status(&course, &leg, check);
        lines.push((format!("check {leg}: {}", lower(&text)), sign));
        if sign == "✖" {
            acts.push(act(&course, check));
        }
    }
    if course.ticks(Side::Post).is_some() {
        let (more, further) = gate_lines(&course, Side::Post);
        lines.extend(more);
        let next = course.next_sample(Side::Post, now).map(Timestamp::minute);
        if let (GateStanding::Open(until), Some(next)) = (course.gate_standing(Side::Post, now), next) {
            lines.push((format!("gates are asked again {next}, until {}", until.minute()), "⏳"));
        }
        acts.extend(further);
    }
    if acts.is_empty() && run.state == StageState::Paused {
        acts.push(format!(
            "somebody with write comments {}",
            inline_code(&format!("/cancel {}", stage.name))
        ));
    }
    (lines, acts)
}

/// When the gates before a stage are asked again.
pub fn asked_again(state: &State, (release, stage): (&Release, &Stage), now: Timestamp) -> Option<String> {
    let run = release.run(&stage.name)?;
    let course = Course { repo: &state.id.repo, release, stage, run };
    let GateStanding::Open(until) = course.gate_standing(Side::Pre, now) else { return None };
    let next = course.next_sample(Side::Pre, now)?;
    Some(format!("gates are asked again {}, until {}", next.minute(), until.minute()))
}

/// The gates of a side that is sampled: each with what it said, and who can pass over those that are not good.
pub(super) fn gate_lines(course: &Course<'_>, side: Side) -> (Vec<(String, &'static str)>, Vec<String>) {
    let (mut lines, mut acts) = (Vec::new(), Vec::new());
    for (leg, check) in course.gates(side) {
        let reading = course.ticks(side).and_then(|ticks| ticks.reading(&leg));
        let good = course.overridden(check) || reading.is_some_and(|r| r.answer == Answer::Pass);
        let said = reading.map_or("has not answered yet", |r| r.detail.as_str());
        lines.push((format!("gate {leg}: {said}"), if good { "✔" } else { "⏳" }));
        if !good && reading.is_some() && check.blocking {
            acts.push(act(course, check));
        }
    }
    (lines, acts)
}

fn act(course: &Course<'_>, check: &Check) -> String {
    let stage = &course.stage.name;
    if check.overridable {
        let line = inline_code(&format!("/override {stage} {} -- reason", check.name));
        return format!("{} comments {line}", course.stage.overriding);
    }
    format!("somebody with write comments {}", inline_code(&format!("/cancel {stage}")))
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}
