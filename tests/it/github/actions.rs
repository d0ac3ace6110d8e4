//! Runs of workflows and what they left; the archives are kept on another address, as GitHub keeps them.

use std::io::{Cursor, Write as _};

use bytes::Bytes;
use hyper::header::AUTHORIZATION;
use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::api::{Answered, not_found};
use super::state::{State, WorkflowRun};
use super::web::{Call, Reply};

/// A zip of these files.
fn zipped(files: &[(String, String)]) -> Bytes {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        zip.start_file(name.as_str(), SimpleFileOptions::default()).expect("a new file");
        zip.write_all(content.as_bytes()).expect("memory");
    }
    Bytes::from(zip.finish().expect("memory").into_inner())
}

pub(super) fn show(state: &State, repo: u64, run: &WorkflowRun) -> Value {
    json!({
        "id": run.id, "name": "CI", "path": format!(".github/workflows/{}", run.file), "run_attempt": run.attempt,
        "head_sha": run.sha, "head_branch": run.branch, "event": run.event, "status": "completed",
        "conclusion": run.conclusion, "repository": {"id": repo}, "head_repository": {"id": run.head_repo},
        "actor": state.show_user(run.by), "triggering_actor": state.show_user(run.by),
    })
}

fn run<'s>(state: &'s State, repo: u64, id: &str) -> Result<&'s WorkflowRun, Reply> {
    let found = id.parse().ok().and_then(|id: u64| state.repos[&repo].runs.get(&id));
    found.ok_or_else(not_found)
}

pub(super) fn answer(state: &State, call: &Call, repo: u64, rest: &[&str]) -> Answered {
    call.need(state, repo, "actions", "read")?;
    match rest {
        ["runs", id] => Ok(Reply::json(200, &show(state, repo, run(state, repo, id)?))),
        ["runs", id, "artifacts"] => {
            let run = run(state, repo, id)?;
            let all = (run.id * 100..).zip(&run.artifacts).map(|(id, (name, files))| {
                json!({"id": id, "name": name, "size_in_bytes": zipped(files).len(), "expired": false})
            });
            let all: Vec<Value> = all.collect();
            Ok(Reply::json(200, &json!({"total_count": all.len(), "artifacts": all})))
        }
        ["artifacts", id, "zip"] => {
            let host = call.headers["host"].to_str().expect("a host");
            let reply = Reply { status: 302, headers: Vec::new(), body: Bytes::new() };
            Ok(reply.with("location", format!("http://{host}/storage/{repo}/{id}")))
        }
        _ => Err(not_found()),
    }
}

/// Where the archives are: it refuses whoever brings a credential, as Azure's storage does.
pub(super) fn stored(state: &State, call: &Call) -> Reply {
    if call.headers.contains_key(AUTHORIZATION) {
        return Reply::message(400, "InvalidAuthenticationInfo");
    }
    let number = |at: usize| call.path.get(at).and_then(|part| part.parse::<u64>().ok()).unwrap_or(0);
    let run = state.repos.get(&number(1)).and_then(|repo| repo.runs.get(&(number(2) / 100)));
    let found = run.and_then(|run| (run.id * 100..).zip(&run.artifacts).find(|(id, _)| *id == number(2)));
    match found {
        Some((_, (_, files))) => Reply { status: 200, headers: Vec::new(), body: zipped(files) },
        None => not_found(),
    }
}
