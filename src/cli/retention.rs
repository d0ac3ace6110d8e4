//! `liftlock retention`: what is kept and why, and deleting what need not be.

use serde_json::{Value, json};

use crate::cli::ask::{list, text};
use crate::cli::{Ended, Exit, Server, client, terminal};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only say what would be deleted and why the rest is kept; so it is without --apply, too.
    #[arg(long, conflicts_with = "apply")]
    dry_run: bool,
    /// Delete it.
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(asked: &Arguments) -> Ended {
    if asked.apply {
        return apply(asked).await;
    }
    let answer = client::get(&asked.server, "/api/retention").await?;
    if asked.server.json {
        terminal::line(&answer.to_string());
        return Ok(Exit::Done);
    }
    for release in list(&answer, "releases") {
        let (word, why) = match release.get("kept").and_then(Value::as_str) {
            Some(why) => ("kept", why),
            None => ("due", ""),
        };
        let named = format!("{} {}", text(release, "pipeline"), text(release, "version"));
        let bytes = release.get("bytes").and_then(Value::as_u64).unwrap_or(0);
        terminal::line(format!("{word:<5} {named:<44} {bytes:>14} bytes  {why}").trim_end());
    }
    Ok(Exit::Done)
}

async fn apply(asked: &Arguments) -> Ended {
    let answer = client::post(&asked.server, "/api/retention", &json!({ "apply": true })).await?;
    if asked.server.json {
        terminal::line(&answer.to_string());
        return Ok(Exit::Done);
    }
    let releases = list(&answer, "releases");
    let number = |key: &str| answer.get(key).and_then(Value::as_u64).unwrap_or(0);
    terminal::line(&format!(
        "{} releases are not kept any longer; {} files with {} bytes deleted",
        releases.len(),
        number("blobs"),
        number("bytes")
    ));
    releases.iter().filter_map(Value::as_str).for_each(|release| terminal::line(&format!("  {release}")));
    Ok(Exit::Done)
}
