//! What people read about runbooks: the answer to `/run`, why one waits, how one ended.

use std::fmt::Write as _;

use crate::domain::approval::approvers;
use crate::domain::markdown::{escape, inline_code};
use crate::domain::name::{PipelineId, RunbookName, StageName};
use crate::domain::pipeline::Who;
use crate::domain::release::Release;
use crate::domain::runbook::{Outcome, Progress, Run};
use crate::domain::state::State;
use crate::domain::time::{Span, Timestamp};
use crate::domain::view::failure_block;

/// The log of a run; also the log's name in the store.
pub fn log_id(id: &PipelineId, run: u32) -> String {
    format!("{id}/runbook-{run}/1")
}

/// The hold that stops a run, as a sentence fragment.
pub fn held(state: &State, run: &Run) -> Option<String> {
    let stages = &run.runbook().stages;
    let on_stage = || stages.iter().find_map(|stage| Some((Some(stage), state.hold_on(stage)?)));
    let all = || state.holds.get(&None).map(|hold| (None, hold));
    let (stage, hold) = on_stage().or_else(all)?;
    let what = stage.map_or("everything", StageName::as_str);
    Some(format!("{what} is on hold: {}", hold.reason))
}

/// The stage of a run that somebody else works on now, and who: a release, or another run.
pub fn occupant(state: &State, run: &Run) -> Option<(StageName, String)> {
    let deploying = |release: &Release, stage: &StageName| {
        release.stages.get(stage).and_then(|runs| runs.last()).is_some_and(|run| run.state.occupies())
    };
    run.runbook().stages.iter().find_map(|stage| {
        let release = state.releases.values().find(|release| deploying(release, stage));
        let release = release.map(|release| release.created.version.to_string());
        let other = || state.runbooks.on(stage).filter(|other| other.no() != run.no());
        let other = release.or_else(|| other().map(|other| title(other)))?;
        Some((stage.clone(), other))
    })
}

/// `clean-images run 3`
pub fn title(run: &Run) -> String {
    format!("{} run {}", run.runbook().name, run.no())
}

fn people(who: &[Who]) -> String {
    who.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

/// What a waiting run waits for, each with who can change that; nothing for one that a worker only has to take.
pub fn waits(state: &State, run: &Run, now: Timestamp) -> Vec<(String, Option<String>)> {
    if run.progress != Progress::Waiting {
        return Vec::new();
    }
    let name = &run.runbook().name;
    let mut lines = Vec::new();
    let missing = run.missing(now);
    if let Some(rule) = run.runbook().approval.as_ref().filter(|_| !missing.is_empty()) {
        let who = people(&approvers(rule));
        let next = format!("{who} comments {}", inline_code(&format!("/approve {name} {}", run.no())));
        lines.push((format!("approval: {}", missing.join(", ")), Some(next)));
    }
    if let Some(hold) = held(state, run) {
        let stage = run.runbook().stages.iter().find(|stage| state.hold_on(stage).is_some());
        let all = state.holds.contains_key(&None);
        let line =
            stage.filter(|_| !all).map_or_else(|| "/unhold".to_owned(), |stage| format!("/unhold {stage}"));
        lines.push((hold, Some(format!("its holder, or a maintainer, comments {}", inline_code(&line)))));
    }
    if let Some((stage, other)) = occupant(state, run) {
        lines.push((format!("{other} works on {stage} now"), None));
    }
    if lines.is_empty() {
        lines.push(("a worker takes it as soon as one is free".to_owned(), None));
    }
    lines
}

/// The answer to `/run`.
pub fn asked(state: &State, run: &Run, now: Timestamp) -> String {
    let waiting = run.missing(now);
    let sign = if waiting.is_empty() { "🚀" } else { "⏳" };
    let mut out = format!("{sign} **{}**\n", title(run));
    writeln!(out, "- commands of {}", inline_code(run.asked.commit.short())).unwrap_or_default();
    for (name, value) in &run.asked.inputs {
        writeln!(out, "- {name}: {}", inline_code(value)).unwrap_or_default();
    }
    for (line, next) in waits(state, run, now) {
        writeln!(out, "- waits: {}", escape(&line)).unwrap_or_default();
        if let Some(next) = next {
            writeln!(out, "\nNext: {next}.").unwrap_or_default();
        }
    }
    writeln!(out, "\n{} stops it.", inline_code(&format!("/cancel {}", run.runbook().name)))
        .unwrap_or_default();
    out
}

/// `/why` and `/status` of a runbook: its open run, or the last one.
pub fn why(state: &State, name: &RunbookName, now: Timestamp) -> String {
    let last = state.runbooks.all.values().rfind(|run| run.runbook().name == *name);
    let mut out = match last {
        None => format!("ℹ️ **{name} has not run yet.**\n"),
        Some(run) => format!("ℹ️ **{}: {}**\n", title(run), word(run)),
    };
    if let Some(run) = last.filter(|run| run.is_open()) {
        for (line, next) in waits(state, run, now) {
            writeln!(out, "- ⏳ {}", escape(&line)).unwrap_or_default();
            if let Some(next) = next {
                writeln!(out, "\nNext: {next}.").unwrap_or_default();
            }
        }
    }
    if let Some(missed) = state.runbooks.missed.iter().rfind(|missed| missed.runbook == *name) {
        let (due, why) = (missed.due.minute(), escape(&missed.why));
        writeln!(out, "- its time {due} was missed: {why}").unwrap_or_default();
    }
    if let Some(next) = next_time(state, name, now) {
        writeln!(out, "- it starts by itself at {}", next.minute()).unwrap_or_default();
    }
    out
}

/// When a runbook starts by itself the next time.
pub fn next_time(state: &State, name: &RunbookName, now: Timestamp) -> Option<Timestamp> {
    let timer = state.runbooks.timers.get(name)?;
    timer.schedule.next_after(timer.since.max(now))
}

/// How far a run is, in a word or two.
pub fn word(run: &Run) -> &'static str {
    match &run.progress {
        Progress::Waiting => "waiting",
        Progress::Running(_) => "running",
        Progress::Stopping(..) => "stopping",
        Progress::Over(outcome) => outcome.word(),
    }
}

/// How a run is, on one line.
pub fn line(state: &State, run: &Run, now: Timestamp) -> String {
    match &run.progress {
        Progress::Waiting => {
            waits(state, run, now).into_iter().map(|(line, _)| line).collect::<Vec<_>>().join("; ")
        }
        Progress::Running(_) => "running".to_owned(),
        Progress::Stopping(_, by) => format!("being stopped by {}", by.login),
        Progress::Over(outcome) => ended(outcome),
    }
}

fn ended(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Passed { took_ms } => format!("passed in {}", Span::seconds(took_ms.div_ceil(1_000))),
        Outcome::Failed(failure) => format!("failed at \"{}\": {}", failure.step, failure.how),
        Outcome::TimedOut(failure) => format!("timed out at \"{}\": {}", failure.step, failure.how),
        Outcome::Cancelled { by: Some(by) } => format!("cancelled by {}", by.login),
        Outcome::Cancelled { by: None } => "cancelled".to_owned(),
        Outcome::Rejected { by, reason } => format!("rejected by {}: {reason}", by.login),
        Outcome::Expired => "nobody agreed in time".to_owned(),
        Outcome::Errored(why) => format!("errored: {why}"),
    }
}

/// The comment on how a run ended.
pub fn over(run: &Run, outcome: &Outcome) -> String {
    let sign = match outcome {
        Outcome::Passed { .. } => "✅",
        Outcome::Failed(_) | Outcome::TimedOut(_) | Outcome::Errored(_) => "❌",
        Outcome::Cancelled { .. } | Outcome::Rejected { .. } | Outcome::Expired => "ℹ️",
    };
    let mut out = format!("{sign} **{} {}**\n", title(run), escape(&ended(outcome)));
    match outcome {
        Outcome::Failed(failure) | Outcome::TimedOut(failure) => {
            writeln!(out, "\n{}", failure_block(failure)).unwrap_or_default();
        }
        Outcome::Passed { .. }
        | Outcome::Cancelled { .. }
        | Outcome::Rejected { .. }
        | Outcome::Expired
        | Outcome::Errored(_) => {}
    }
    if sign == "❌" {
        let again = inline_code(&format!("/run {}", run.runbook().name));
        writeln!(out, "\nNothing is repeated by itself. {again} runs it again.").unwrap_or_default();
    }
    out
}
