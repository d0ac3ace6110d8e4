//! A pipeline's runbooks and their runs, as people read them.

use crate::domain::input::Input;
use crate::domain::runbook::Runbook;
use crate::domain::runbook::run::Run;
use crate::domain::state::State;
use crate::domain::time::Timestamp;
use crate::domain::view::runbook::{line, log_id, next_time, word};
use crate::http::runbooks::{BookLine, MissedLine, RunLine, RunbooksPage};
use crate::http::view::Light;

/// All of them.
pub(super) fn page(state: &State, now: Timestamp) -> RunbooksPage {
    let pipeline = state.pipeline();
    let books = pipeline.as_ref().map(|p| p.runbooks.as_slice()).unwrap_or_default();
    RunbooksPage {
        stream: state.id.to_string(),
        pipeline: state.id.name.to_string(),
        runbooks: books.iter().map(|book| book_line(state, book, now)).collect(),
        runs: state.runbooks.all.values().rev().map(|run| run_line(state, run, now)).collect(),
        missed: state
            .runbooks
            .missed
            .iter()
            .rev()
            .map(|m| MissedLine { runbook: m.runbook.to_string(), due: m.due, why: m.why.clone() })
            .collect(),
    }
}

fn book_line(state: &State, book: &Runbook, now: Timestamp) -> BookLine {
    BookLine {
        name: book.name.to_string(),
        commands: book.steps.iter().map(|step| step.name.clone()).collect(),
        from: book.from.iter().map(ToString::to_string).collect(),
        approvals: book.approval.as_ref().map_or(0, crate::domain::approval::needed),
        inputs: book.inputs.iter().map(|(name, input)| input_line(name, input)).collect(),
        stages: book.stages.iter().map(ToString::to_string).collect(),
        schedule: book.schedule.as_ref().map(ToString::to_string),
        next_at: next_time(state, &book.name, now),
    }
}

fn input_line(name: &str, input: &Input) -> String {
    let value = match (&input.default, input.choices.is_empty()) {
        (Some(default), _) => default.clone(),
        (None, false) => input.choices.join("|"),
        (None, true) => "…".to_owned(),
    };
    let optional = if input.required || input.default.is_some() { "" } else { " (optional)" };
    format!("{name}={value}{optional}")
}

fn run_line(state: &State, run: &Run, now: Timestamp) -> RunLine {
    let state_word = word(run);
    RunLine {
        run: run.no(),
        runbook: run.runbook().name.to_string(),
        state: state_word.to_owned(),
        light: if state_word == "passed" { Light::Good } else { Light::of(state_word) },
        line: line(state, run, now),
        by: run.asked.by.as_ref().map(|by| by.login.to_string()),
        approved_by: run.approvals.iter().map(|a| a.standing.person.login.to_string()).collect(),
        inputs: run.asked.inputs.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        commit: run.asked.commit.to_string(),
        asked_at: run.since,
        moved_at: run.moved_at,
        log: log_id(&state.id, run.no()),
    }
}
