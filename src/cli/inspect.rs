//! Reading the log itself, without a server: events, the chain of hashes, read models written again.

use crate::cli::{ConfigFile, Ended, Exit, serve, terminal};
use crate::domain::event::RunKind;
use crate::domain::name::PipelineId;
use crate::domain::release::StageRun;
use crate::domain::state::State;
use crate::service::journal::Journal;
use crate::store::stream::{EventFilter, GENESIS, StoredEvent};
use crate::store::{self, Store};
use crate::trouble::{Outcome, Trouble};

/// Events read at a time.
const PAGE: u32 = 1_000;

#[derive(Debug, clap::Args)]
pub(super) struct Events {
    #[command(flatten)]
    config: ConfigFile,
    /// Only this pipeline, as `<repository id>/<name>`.
    #[arg(long)]
    pipeline: Option<String>,
    /// Only this release's number.
    #[arg(long)]
    release: Option<u32>,
    /// Only this kind, such as `stage_moved`.
    #[arg(long)]
    kind: Option<String>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Audit {
    #[command(subcommand)]
    what: AuditVerb,
}

#[derive(Debug, clap::Subcommand)]
enum AuditVerb {
    /// Check every hash of the log.
    Verify {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Every event as a line of JSON with its hash and the one before it: docs/verify.md checks them without liftlock.
    Export {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// One row for each override: what was passed over, where, by whom and why (SEMANTICS §7).
    Overrides {
        #[command(flatten)]
        config: ConfigFile,
        /// One JSON object a line instead of CSV.
        #[arg(long)]
        json: bool,
    },
    /// One row for each deployment: what, where, who approved, how it ended (CHECKLIST E17).
    Deployments {
        #[command(flatten)]
        config: ConfigFile,
        /// One JSON object a line instead of CSV.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Rebuild {
    #[command(flatten)]
    config: ConfigFile,
}

/// The log as it is, also beside the server that writes it.
async fn open(file: &ConfigFile) -> Outcome<Store> {
    let config = serve::read_config(&file.config)?;
    Store::open_to_read(&store::Settings::new(config.database.expose())).await
}

/// The names of all logs.
async fn logs(store: &Store) -> Outcome<Vec<String>> {
    let mut all: Vec<String> = Vec::new();
    loop {
        let page = store.streams(all.last().map_or("", String::as_str), PAGE).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page.into_iter().map(|head| head.stream));
    }
}

fn pipeline(stream: &str) -> Outcome<PipelineId> {
    stream.parse().map_err(|e| Trouble::bug("a log without a pipeline").because(e))
}

pub(super) async fn events(asked: &Events) -> Ended {
    let store = open(&asked.config).await?;
    let filter =
        EventFilter { stream: asked.pipeline.clone(), release: asked.release, kind: asked.kind.clone() };
    let mut after = 0;
    loop {
        let page = store.events(&filter, after, PAGE).await?;
        for event in &page {
            let line = if asked.json {
                serde_json::json!({
                    "seq": event.seq, "stream": event.stream, "version": event.version, "kind": event.kind,
                    "release": event.release, "actor": event.actor, "cause": event.cause,
                    "at": event.at.rfc3339(), "data": serde_json::from_str::<serde_json::Value>(&event.data).ok(),
                    "hash": hex::encode(&event.hash),
                })
                .to_string()
            } else {
                format!(
                    "{:>8}  {}  {:<18} {:<10} {}  {}",
                    event.seq,
                    event.at.rfc3339(),
                    event.kind,
                    event.actor,
                    event.stream,
                    event.data
                )
            };
            terminal::line(&line);
        }
        match page.last() {
            Some(last) => after = last.seq,
            None => break,
        }
    }
    store.close().await;
    Ok(Exit::Done)
}

pub(super) async fn audit(asked: &Audit) -> Ended {
    match &asked.what {
        AuditVerb::Verify { config } => verify(config).await,
        AuditVerb::Export { config } => export(config).await,
        AuditVerb::Overrides { config, json } => table(config, *json, &OVERRIDES, overrides_of).await,
        AuditVerb::Deployments { config, json } => table(config, *json, &COLUMNS, rows_of).await,
    }
}

async fn verify(config: &ConfigFile) -> Ended {
    let store = open(config).await?;
    let verdict = store.verify_chain().await?;
    store.close().await;
    match &verdict.broken {
        None => {
            terminal::line(&format!(
                "ok: {} events in {} logs, every hash fits",
                verdict.events, verdict.streams
            ));
            Ok(Exit::Done)
        }
        Some(broken) => {
            terminal::line(&format!("broken: {broken:?}"));
            Ok(Exit::Failed)
        }
    }
}

/// What is hashed, as it is stored, log by log: whether it fits is for whoever reads it.
async fn export(config: &ConfigFile) -> Ended {
    let store = open(config).await?;
    for stream in logs(&store).await? {
        let (mut version, mut previous) = (0, GENESIS.to_vec());
        loop {
            let read = store.read(&stream, version, PAGE).await?;
            let Some(last) = read.events.last() else { break };
            version = last.version;
            for event in &read.events {
                terminal::line(&exported(event, &previous).to_string());
                previous.clone_from(&event.hash);
            }
        }
    }
    store.close().await;
    Ok(Exit::Done)
}

/// The fact itself stays a text: another spelling of the same JSON has another hash.
fn exported(event: &StoredEvent, previous: &[u8]) -> serde_json::Value {
    serde_json::json!({
        "stream": event.stream, "version": event.version, "kind": event.kind, "release": event.release,
        "data": event.data, "actor": event.actor, "cause": event.cause, "at": event.at.0,
        "previous": hex::encode(previous), "hash": hex::encode(&event.hash),
    })
}

/// The columns of a deployment's row.
const COLUMNS: [&str; 11] = [
    "pipeline",
    "version",
    "commit",
    "digest",
    "stage",
    "attempt",
    "kind",
    "approved_by",
    "started_at",
    "ended_at",
    "outcome",
];

/// The columns of an override's row.
const OVERRIDES: [&str; 12] = [
    "pipeline", "version", "commit", "digest", "stage", "attempt", "check", "by", "reason", "of", "at",
    "outcome",
];

/// What is known of every pipeline as rows, as CSV or as JSON.
async fn table<const N: usize>(
    config: &ConfigFile,
    json: bool,
    columns: &[&str; N],
    rows: fn(&State) -> Vec<[String; N]>,
) -> Ended {
    let store = open(config).await?;
    let journal = Journal::new(store.clone());
    if !json {
        terminal::line(&columns.join(","));
    }
    for stream in logs(&store).await? {
        let state = journal.load(&pipeline(&stream)?).await?;
        for row in rows(&state) {
            let line = if json {
                let object: serde_json::Map<_, _> =
                    columns.iter().map(|c| (*c).to_owned()).zip(row.into_iter().map(Into::into)).collect();
                serde_json::Value::Object(object).to_string()
            } else {
                row.iter().map(|field| quoted(field)).collect::<Vec<_>>().join(",")
            };
            terminal::line(&line);
        }
    }
    store.close().await;
    Ok(Exit::Done)
}

/// Every override, in the order of releases and stages.
fn overrides_of(state: &State) -> Vec<[String; 12]> {
    let mut rows = Vec::new();
    for release in state.in_order() {
        for (stage, runs) in &release.stages {
            for (run, said) in runs.iter().flat_map(|run| run.overrides.iter().map(move |said| (run, said))) {
                rows.push([
                    state.id.to_string(),
                    release.created.version.to_string(),
                    release.created.commit.to_string(),
                    release.seen_by(run).shown_digest().map(ToString::to_string).unwrap_or_default(),
                    stage.to_string(),
                    run.attempt.to_string(),
                    said.check.word().to_owned(),
                    said.by.login.to_string(),
                    said.reason.clone(),
                    said.of.to_string(),
                    said.at.rfc3339(),
                    run.state.word().to_owned(),
                ]);
            }
        }
    }
    rows
}

/// Every attempt that was started, in the order of releases and stages.
fn rows_of(state: &State) -> Vec<[String; 11]> {
    let mut rows = Vec::new();
    for release in state.in_order() {
        for stage in &release.rules.stages {
            let runs = release.stages.get(&stage.name).map(Vec::as_slice).unwrap_or_default();
            for run in runs {
                let Some(started) = run.started_at else { continue };
                let approved: Vec<String> = run
                    .approvals
                    .iter()
                    .map(|a| format!("{} at {}", a.standing.person.login, a.at.rfc3339()))
                    .collect();
                rows.push([
                    state.id.to_string(),
                    release.created.version.to_string(),
                    release.created.commit.to_string(),
                    release.seen_by(run).shown_digest().map(ToString::to_string).unwrap_or_default(),
                    stage.name.to_string(),
                    run.attempt.to_string(),
                    kind(run).to_owned(),
                    approved.join("; "),
                    started.rfc3339(),
                    if run.state.is_terminal() { run.moved_at.rfc3339() } else { String::new() },
                    run.state.word().to_owned(),
                ]);
            }
        }
    }
    rows
}

/// The kinds of SEMANTICS §1; a deploy that somebody started is one by hand.
fn kind(run: &StageRun) -> &'static str {
    match (run.kind, &run.promoted) {
        (RunKind::Deploy, Some(_)) => "manual",
        (RunKind::Deploy, None) => "deploy",
        (RunKind::Redeploy, _) => "redeploy",
        (RunKind::Rollback, _) => "rollback",
        (RunKind::Verify, _) => "verify",
    }
}

/// What spreadsheets take for the beginning of a formula; they read on behind a tab or a return.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// A field of CSV (RFC 4180). What an auditor's spreadsheet would reckon with is shown to be text by an apostrophe in
/// front of it, since whoever wrote it may be anybody; `--json` has it as it is.
fn quoted(field: &str) -> String {
    let field = if field.starts_with(FORMULA) { format!("'{field}") } else { field.to_owned() };
    if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}

pub(super) async fn rebuild(asked: &Rebuild) -> Ended {
    let config = serve::read_config(&asked.config.config)?;
    let store = serve::open_store(&config).await?;
    store.clear_read_models().await?;
    let journal = Journal::new(store.clone());
    let logs = logs(&store).await?;
    for stream in &logs {
        let rows = journal.rebuild(&pipeline(stream)?).await?;
        terminal::note(&format!("{stream}: {rows} rows"));
    }
    store.close().await;
    terminal::line(&format!("ok: read models of {} pipelines written again", logs.len()));
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e17_a_field_is_one_field_whatever_is_in_it_and_no_formula() {
        for (field, wanted) in [
            ("plain", "plain"),
            ("", ""),
            ("a, b", "\"a, b\""),
            ("say \"no\"", "\"say \"\"no\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "'=1+1"),
            ("@sum", "'@sum"),
            ("-2, +3", "\"'-2, +3\""),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("1=1", "1=1"),
        ] {
            assert_eq!(quoted(field), wanted, "{field:?}");
        }
    }
}
