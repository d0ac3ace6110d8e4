//! Asking a running server: why, status, comment, deliveries.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::cli::{Ended, Exit, Server, client, terminal};
use crate::domain::name::{RunbookName, StageName};
use crate::trouble::Trouble;

#[derive(Debug, clap::Args)]
pub(super) struct Why {
    /// The release's version, such as v1.3.0-rc.1, or `latest`.
    release: String,
    /// The stage.
    stage: StageName,
    /// The pipeline as `<repository id>/<name>`, where the server has several.
    #[arg(long)]
    pipeline: Option<String>,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
pub(super) struct Status {
    /// The commit, at least seven digits of it.
    commit: String,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
pub(super) struct Comment {
    /// The repository's name in the server's config.
    repository: String,
    /// The commit, or a thread's number.
    place: String,
    /// The text, such as "/approve prod".
    text: String,
    /// Who says it.
    #[arg(long = "as")]
    by: String,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
pub(super) struct Apply {
    /// The repository's name in the server's config, or its id.
    repository: String,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// The runbook; without it, all of them are listed with what ran.
    runbook: Option<RunbookName>,
    /// What is given to it, such as `dry-run=no`.
    #[arg(requires = "by")]
    inputs: Vec<String>,
    /// Who asks.
    #[arg(long = "as")]
    by: Option<String>,
    /// The pipeline as `<repository id>/<name>`, where the server has several.
    #[arg(long)]
    pipeline: Option<String>,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
pub(super) struct Start {
    /// The pipeline, by its name or as `<repository id>/<name>`.
    pipeline: String,
    /// What is given, such as `service=checkout`.
    inputs: Vec<String>,
    /// Who asks.
    #[arg(long = "as")]
    by: String,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
pub(super) struct Builds {
    /// Of this pipeline only, as `<repository id>/<name>`.
    #[arg(long)]
    pipeline: Option<String>,
    /// How many at most.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
pub(super) struct Deliveries {
    #[command(subcommand)]
    what: Option<DeliveriesVerb>,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Subcommand)]
enum DeliveriesVerb {
    /// Take a delivery in again.
    Replay {
        /// Its number.
        id: i64,
    },
}

pub(super) async fn why(asked: &Why) -> Ended {
    let stream = pipeline(&asked.server, asked.pipeline.as_deref()).await?;
    let no = release(&asked.server, &stream, &asked.release).await?;
    let path = format!("/api/releases/{stream}/{no}/why?stage={}", asked.stage);
    let answer = client::get(&asked.server, &path).await?;
    if asked.server.json {
        terminal::line(&answer.to_string());
    } else {
        print_why(&answer, &asked.stage);
    }
    let waiting = !list(&answer, "why").is_empty();
    if !waiting && !asked.server.json {
        let page = client::get(&asked.server, &format!("/api/releases/{stream}/{no}")).await?;
        let found = list(&page, "stages").iter().find(|s| text(s, "stage") == asked.stage.as_str());
        let Some(found) = found else {
            return Err(Trouble::not_found(format!("{stream} has no stage {}", asked.stage)));
        };
        terminal::line(&format!("{} -> {}: {}", text(&page, "version"), asked.stage, text(found, "line")));
    }
    Ok(if waiting { Exit::Waiting } else { Exit::Done })
}

/// The verdict as lines with a sign each, and what can be typed about it.
pub(super) fn print_why(answer: &Value, stage: &StageName) {
    let version = answer.get("release").map(|r| text(r, "version")).unwrap_or_default();
    let lines: Vec<&Value> = list(answer, "why").iter().flat_map(|why| list(why, "lines")).collect();
    if lines.is_empty() {
        return;
    }
    let open = lines.iter().filter(|l| text(l, "mark") == "pass").count();
    terminal::line(&format!("{version} -> {stage}: waiting ({open} of {} passed)", lines.len()));
    for line in &lines {
        let sign = match text(line, "mark") {
            "pass" => "✔",
            "wait" => "⏳",
            _ => "✖",
        };
        terminal::line(&format!("  {sign} {}", text(line, "text")));
    }
    for next in lines.iter().map(|l| text(l, "next")).filter(|next| !next.is_empty()) {
        terminal::line(&format!("next: {next}"));
    }
}

/// The pipeline asked about, or the only one.
pub(super) async fn pipeline(server: &Server, named: Option<&str>) -> Result<String, Trouble> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let answer = client::get(server, "/api/pipelines").await?;
    let streams: Vec<&str> =
        list(&answer, "pipelines").iter().filter_map(|p| p.get("stream")?.as_str()).collect();
    match streams.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] => Err(Trouble::not_found(
            "the server has no pipeline yet; push a manifest to a repository it serves",
        )),
        many => Err(Trouble::refused(format!("say which with --pipeline: {}", many.join(", ")))),
    }
}

/// The number of the release of this version.
pub(super) async fn release(server: &Server, stream: &str, version: &str) -> Result<u64, Trouble> {
    let query =
        if version == "latest" { "limit=1".to_owned() } else { format!("version={}", encoded(version)) };
    let answer = client::get(server, &format!("/api/releases?stream={}&{query}", encoded(stream))).await?;
    let number = list(&answer, "releases").first().and_then(|r| r.get("no")?.as_u64());
    number.ok_or_else(|| Trouble::not_found(format!("{stream} has no release {version}")))
}

pub(super) async fn status(asked: &Status) -> Ended {
    let answer =
        client::get(&asked.server, &format!("/api/status?commit={}", encoded(&asked.commit))).await?;
    if asked.server.json {
        terminal::line(&answer.to_string());
        return Ok(Exit::Done);
    }
    let releases = list(&answer, "releases");
    if releases.is_empty() {
        return Err(Trouble::not_found(format!("no release has a commit that begins with {}", asked.commit)));
    }
    for found in releases {
        let release = found.get("release").unwrap_or(&Value::Null);
        let track = text(release, "track");
        let track = if track.is_empty() { String::new() } else { format!(" ({track})") };
        terminal::line(&format!("{}{track} {}", text(release, "version"), text(release, "state")));
        for stage in list(found, "stages") {
            terminal::line(&format!(
                "  {:<12} {:<12} {}",
                text(stage, "stage"),
                text(stage, "state"),
                text(stage, "line")
            ));
        }
    }
    Ok(Exit::Done)
}

pub(super) async fn comment(asked: &Comment) -> Ended {
    let body = json!({ "repo": asked.repository, "place": asked.place, "body": asked.text, "as": asked.by });
    let answer = client::post(&asked.server, "/api/comments", &body).await?;
    terminal::line(&if asked.server.json { answer.to_string() } else { text(&answer, "text").to_owned() });
    Ok(Exit::Done)
}

pub(super) async fn apply(asked: &Apply) -> Ended {
    let answer = client::post(&asked.server, "/api/apply", &json!({ "repo": asked.repository })).await?;
    terminal::line(&if asked.server.json { answer.to_string() } else { text(&answer, "text").to_owned() });
    Ok(Exit::Done)
}

pub(super) async fn run(asked: &Run) -> Ended {
    let stream = pipeline(&asked.server, asked.pipeline.as_deref()).await?;
    let Some(runbook) = &asked.runbook else { return runs(&asked.server, &stream).await };
    let by = asked.by.as_deref().ok_or_else(|| Trouble::refused("say who asks with `--as <login>`"))?;
    let words: Vec<&str> =
        ["/run", runbook.as_str()].into_iter().chain(asked.inputs.iter().map(String::as_str)).collect();
    let body = json!({ "pipeline": stream, "line": words.join(" "), "as": by });
    let answer = client::post(&asked.server, "/api/ask", &body).await?;
    terminal::line(&if asked.server.json { answer.to_string() } else { text(&answer, "text").to_owned() });
    Ok(Exit::Done)
}

pub(super) async fn start(asked: &Start) -> Ended {
    let known = client::get(&asked.server, "/api/pipelines").await?;
    let named = |p: &&Value| text(p, "stream") == asked.pipeline || text(p, "name") == asked.pipeline;
    let found: Vec<&Value> = list(&known, "pipelines").iter().filter(named).collect();
    let stream = match found.as_slice() {
        [only] => text(only, "stream"),
        [] => return Err(Trouble::not_found(format!("the server has no pipeline `{}`", asked.pipeline))),
        many => {
            let streams: Vec<&str> = many.iter().map(|p| text(p, "stream")).collect();
            return Err(Trouble::refused(format!("which of {}?", streams.join(", "))));
        }
    };
    let mut inputs = serde_json::Map::new();
    for pair in &asked.inputs {
        let (name, value) =
            pair.split_once('=').ok_or_else(|| Trouble::refused(format!("`{pair}` is not `key=value`")))?;
        inputs.insert(name.to_owned(), Value::from(value));
    }
    let body = json!({ "inputs": inputs, "as": asked.by });
    let answer = client::post(&asked.server, &format!("/api/pipelines/{stream}/start"), &body).await?;
    terminal::line(&if asked.server.json { answer.to_string() } else { text(&answer, "text").to_owned() });
    Ok(Exit::Done)
}

pub(super) async fn builds(asked: &Builds) -> Ended {
    let of = asked.pipeline.as_ref().map_or_else(String::new, |stream| format!("&stream={stream}"));
    let answer = client::get(&asked.server, &format!("/api/builds?limit={}{of}", asked.limit)).await?;
    if asked.server.json {
        terminal::line(&answer.to_string());
        return Ok(Exit::Done);
    }
    for build in list(&answer, "builds") {
        let commit: String = text(build, "commit").chars().take(7).collect();
        let artifacts: Vec<String> = list(build, "artifacts")
            .iter()
            .map(|a| format!("{} {}", text(a, "alias"), text(a, "digest").get(..19).unwrap_or_default()))
            .collect();
        let channels: Vec<&str> = list(build, "channels").iter().filter_map(Value::as_str).collect();
        let (repo, name, version) = (text(build, "repo"), text(build, "pipeline"), text(build, "version"));
        let line = format!(
            "{repo} {name:<20} {version:<18} {:<14} {commit}  {:<13} {}  {}",
            text(build, "number"),
            text(build, "state"),
            artifacts.join(", "),
            channels.join(", ")
        );
        let over = build.pointer("/reused/of").and_then(Value::as_str);
        let over = over.map_or_else(String::new, |of| format!("  not built: of {of}"));
        terminal::line(format!("{}{over}", line.trim_end()).trim_end());
    }
    Ok(Exit::Done)
}

async fn runs(server: &Server, stream: &str) -> Ended {
    let answer = client::get(server, &format!("/api/runbooks/{stream}")).await?;
    if server.json {
        terminal::line(&answer.to_string());
        return Ok(Exit::Done);
    }
    for book in list(&answer, "runbooks") {
        let next = text(book, "next_at");
        let next = if next.is_empty() { String::new() } else { format!("next at {next}") };
        terminal::line(format!("{:<31} {next}", text(book, "name")).trim_end());
    }
    for run in list(&answer, "runs") {
        let number = run.get("run").map_or_else(String::new, ToString::to_string);
        let by = run.get("by").and_then(Value::as_str).unwrap_or("schedule");
        let (at, book, line) = (text(run, "asked_at"), text(run, "runbook"), text(run, "line"));
        terminal::line(&format!("{number:>5}  {at}  {book:<31} {by:<16} {line}"));
    }
    Ok(Exit::Done)
}

pub(super) async fn deliveries(asked: &Deliveries) -> Ended {
    if let Some(DeliveriesVerb::Replay { id }) = &asked.what {
        let answer = client::post(&asked.server, &format!("/api/deliveries/{id}/replay"), &json!({})).await?;
        terminal::line(&if asked.server.json {
            answer.to_string()
        } else {
            format!("delivery {id} is taken in again")
        });
        return Ok(Exit::Done);
    }
    let answer = client::get(&asked.server, "/api/deliveries").await?;
    if asked.server.json {
        terminal::line(&answer.to_string());
        return Ok(Exit::Done);
    }
    for delivery in list(&answer, "deliveries") {
        let seq = delivery.get("seq").map_or_else(String::new, ToString::to_string);
        terminal::line(&format!(
            "{seq:>6}  {}  {:<16} {:<8} {} {}",
            text(delivery, "received_at"),
            text(delivery, "event"),
            text(delivery, "state"),
            text(delivery, "guid"),
            text(delivery, "error"),
        ));
    }
    Ok(Exit::Done)
}

pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A list of an answer; empty when it is not there.
pub(super) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A text of an answer; empty when it is not there.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
