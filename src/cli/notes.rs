//! `liftlock notes`: what has changed, as people will read it, and rewriting it until it is published.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::ask::{pipeline, release, text};
use crate::cli::{Ended, Exit, Server, client, terminal};
use crate::trouble::Trouble;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The release's version, such as v1.3.0-rc.1, or `latest`.
    release: String,
    /// The pipeline as `<repository id>/<name>`, where the server has several.
    #[arg(long)]
    pipeline: Option<String>,
    /// Put the Markdown of this file in their place.
    #[arg(long, requires = "by")]
    write: Option<PathBuf>,
    /// Who writes them.
    #[arg(long = "as", value_name = "LOGIN")]
    by: Option<String>,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(asked: &Arguments) -> Ended {
    let stream = pipeline(&asked.server, asked.pipeline.as_deref()).await?;
    let no = release(&asked.server, &stream, &asked.release).await?;
    let path = format!("/api/releases/{stream}/{no}/notes");
    let Some(file) = &asked.write else {
        let notes = client::get(&asked.server, &path).await?;
        if asked.server.json {
            terminal::line(&notes.to_string());
        } else {
            terminal::line(text(&notes, "text").trim_end());
        }
        return Ok(Exit::Done);
    };
    let written = std::fs::read_to_string(file)
        .map_err(|e| Trouble::refused(format!("read {}", file.display())).because(e))?;
    client::put(&asked.server, &path, &json!({ "text": written, "as": asked.by })).await?;
    terminal::line(&format!("the notes of {} are those of {}", asked.release, file.display()));
    Ok(Exit::Done)
}
