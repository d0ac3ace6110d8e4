//! `liftlock publish`: what of a release is published where, and how far it is.

use crate::cli::ask::{list, pipeline, release, text};
use crate::cli::{Ended, Exit, Server, client, terminal};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Where a release is published and how far; exit 8 while something of it is not.
    Status(Status),
}

#[derive(Debug, clap::Args)]
struct Status {
    /// The release's version, such as v1.3.0, or `latest`.
    #[arg(default_value = "latest")]
    release: String,
    /// The pipeline as `<repository id>/<name>`, where the server has several.
    #[arg(long)]
    pipeline: Option<String>,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(arguments: &Arguments) -> Ended {
    match &arguments.what {
        What::Status(asked) => status(asked).await,
    }
}

async fn status(asked: &Status) -> Ended {
    let stream = pipeline(&asked.server, asked.pipeline.as_deref()).await?;
    let no = release(&asked.server, &stream, &asked.release).await?;
    let page = client::get(&asked.server, &format!("/api/releases/{stream}/{no}")).await?;
    let rows = list(&page, "publications");
    let open = rows.iter().any(|row| text(row, "state") != "announced" || !text(row, "stopped").is_empty());
    if asked.server.json {
        let answer = serde_json::json!({ "version": text(&page, "version"), "publications": rows });
        terminal::line(&answer.to_string());
        return Ok(if open { Exit::Waiting } else { Exit::Done });
    }
    if rows.is_empty() {
        terminal::line(&format!("nothing of {} was published", text(&page, "version")));
        return Ok(Exit::Done);
    }
    terminal::line(text(&page, "version"));
    for row in rows {
        let files: Vec<&str> = list(row, "files").iter().map(|file| text(file, "name")).collect();
        let said = match (text(row, "stopped"), text(row, "address")) {
            ("", "") => files.join(", "),
            ("", address) => format!("{} at {address}", files.join(", ")),
            (stopped, _) => stopped.to_owned(),
        };
        terminal::line(&format!("  {:<24} {:<10} {said}", text(row, "outlet"), text(row, "state")));
        match text(row, "remark") {
            "" => {}
            remark => terminal::line(&format!("    {remark}")),
        }
    }
    Ok(if open { Exit::Waiting } else { Exit::Done })
}
