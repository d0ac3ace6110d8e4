//! What people read about runbooks: the answer to `/run`, why one waits, how one ended.

use std::fmt::Write as _;

use crate::domain::markdown::{escape, inline_code};
use crate::domain::name::{PipelineId, RunbookName, StageName};
use crate::domain::runbook::fact::Outcome;
use crate::domain::runbook::run::{Missed, Progress, Run};
use crate::domain::runbook::wait::{Shut, Wait, waits};
use crate::domain::state::State;
use crate::domain::time::{Span, Timestamp};
use crate::domain::view::failure_block;

/// For how long `/why` shows a time for which nothing was started.
const SHOWN: Span = Span::days(7);

/// The log of a run; also the log's name in the store.
pub fn log_id(id: &PipelineId, run: u32) -> String {
    format!("{id}/runbook-{run}/1")
}

/// What a waiting run waits for, each with who can change that.
fn lines(state: &State, run: &Run, now: Timestamp) -> Vec<(String, Option<String>)> {
    let mut lines: Vec<_> = waits(state, run, now).iter().map(|wait| wait_line(run, wait)).collect();
    if lines.is_empty() && run.progress == Progress::Waiting {
        lines.push(("a worker takes it as soon as one is free".to_owned(), None));
    }
    lines
}

/// What a run waits for as a list, and below it what people can do.
fn list(state: &State, run: &Run, (sign, now): (&str, Timestamp)) -> String {
    let lines = lines(state, run, now);
    let waits = lines.iter().map(|(line, _)| format!("- {sign}{}\n", escape(line)));
    let acts = lines.iter().filter_map(|(_, next)| next.as_ref()).map(|next| format!("\nNext: {next}.\n"));
    waits.chain(acts).collect()
}

fn wait_line(run: &Run, wait: &Wait<'_>) -> (String, Option<String>) {
    match wait {
        Wait::People { missing, who } => {
            let line = inline_code(&format!("/approve {} {}", run.runbook().name, run.no()));
            let who: Vec<String> = who.iter().map(ToString::to_string).collect();
            let text = format!("approval: {}", missing.join(", "));
            (text, Some(format!("{} comments {line}", who.join(" or "))))
        }
        Wait::Hold { stage, by, hold } => {
            let what = stage.as_ref().map_or("everything", StageName::as_str);
            let line =
                stage.as_ref().map_or_else(|| "/unhold".to_owned(), |stage| format!("/unhold {stage}"));
            let (said, who) = match by {
                Some(by) => (by.login.to_string(), format!("{} or a maintainer", by.login)),
                None => ("a rollback".to_owned(), "a maintainer".to_owned()),
            };
            let text = format!("{what} is on hold by {said} since {}: {}", hold.since.minute(), hold.reason);
            (text, Some(format!("{who} comments {}", inline_code(&line))))
        }
        Wait::Freeze { stage, freeze, zone } => {
            let what = stage.as_ref().map_or("everything", StageName::as_str);
            let name = stage.as_ref().map_or("*", StageName::as_str);
            let until = freeze.until.map_or_else(String::new, |at| format!(", until {}", zone.shown(at)));
            let (login, since) = (&freeze.by.login, freeze.since.minute());
            let text = format!("{what} is frozen by {login} since {since}{until}: {}", freeze.reason);
            (text, Some(format!("a maintainer comments {}", inline_code(&format!("/unfreeze {name}")))))
        }
        Wait::Window { stage, why, opens, zone } => {
            let why = match why {
                Shut::Closed => format!("the window of {stage} is closed"),
                Shut::Denied(name) => format!("{stage} is frozen: {name}"),
                Shut::Short(closes, takes) => format!(
                    "the window of {stage} is open until {}, and nine of ten runs take up to {takes}",
                    zone.shown(*closes)
                ),
            };
            let when = opens.map_or_else(|| "no opening is known".to_owned(), |at| zone.shown(at));
            let next = opens.is_none().then(|| format!("change `windows` of {stage} in the manifest"));
            (format!("{why}, it may start {when}"), next)
        }
        Wait::Work { environment, by } => (format!("{by} works on {environment} now"), None),
    }
}

/// The answer to `/run`.
pub fn asked(state: &State, run: &Run, now: Timestamp) -> String {
    let sign = if waits(state, run, now).is_empty() { "🚀" } else { "⏳" };
    let mut out = format!("{sign} **{}**\n", run.title());
    writeln!(out, "- commit {}", inline_code(run.asked.commit.short())).unwrap_or_default();
    for (name, value) in &run.asked.inputs {
        writeln!(out, "- {name}: {}", inline_code(value)).unwrap_or_default();
    }
    out.push_str(&list(state, run, ("", now)));
    writeln!(out, "\n{} stops it.", inline_code(&format!("/cancel {}", run.runbook().name)))
        .unwrap_or_default();
    out
}

/// `/why` and `/status` of a runbook: its open run, or the last one.
pub fn why(state: &State, name: &RunbookName, now: Timestamp) -> String {
    let last = state.runbooks.all.values().rfind(|run| run.runbook().name == *name);
    let mut out = match last {
        None => format!("ℹ️ **{name} has not run yet.**\n"),
        Some(run) => format!("ℹ️ **{}: {}**\n", run.title(), word(run)),
    };
    if let Some(due) = last.and_then(|run| run.asked.due) {
        writeln!(out, "- it started by itself, for {}", due.minute()).unwrap_or_default();
    }
    let recent = |missed: &&Missed| missed.runbook == *name && now.since(missed.due) < SHOWN;
    if let Some(missed) = state.runbooks.missed.iter().rfind(recent) {
        let (due, why) = (missed.due.minute(), escape(&missed.why));
        writeln!(out, "- nothing was started for {due}: {why}").unwrap_or_default();
    }
    if let Some(next) = next_time(state, name, now) {
        writeln!(out, "- it starts by itself at {}", next.minute()).unwrap_or_default();
    }
    if let Some(run) = last.filter(|run| run.is_open()) {
        out.push_str(&list(state, run, ("⏳ ", now)));
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
            lines(state, run, now).into_iter().map(|(line, _)| line).collect::<Vec<_>>().join("; ")
        }
        Progress::Running(_) => "running".to_owned(),
        Progress::Stopping(_, by) => format!("being stopped by {}", by.login),
        Progress::Over(outcome) => ended(outcome),
    }
}

/// How a run ended, behind its name.
pub(in crate::domain) fn ended(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Passed { took_ms } => format!("passed in {}", Span::seconds(took_ms.div_ceil(1_000))),
        Outcome::Failed(failure) => format!("failed at \"{}\": {}", failure.step, failure.how),
        Outcome::TimedOut(failure) => format!("timed out at \"{}\": {}", failure.step, failure.how),
        Outcome::Cancelled { by: Some(by) } => format!("cancelled by {}", by.login),
        Outcome::Cancelled { by: None } => "cancelled".to_owned(),
        Outcome::Rejected { by, reason } => format!("rejected by {}: {reason}", by.login),
        Outcome::Expired => "expired: not enough people agreed in time".to_owned(),
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
    let mut out = format!("{sign} **{} {}**\n", run.title(), escape(&ended(outcome)));
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
