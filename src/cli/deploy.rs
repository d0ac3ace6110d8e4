//! `liftlock deploy`: one stage started by hand, through the same engine, rules and log as everything else.

use serde_json::{Value, json};

use crate::cli::{Ended, Exit, Server, ask, client, terminal};
use crate::domain::name::{Login, StageName};
use crate::domain::time::Span;
use crate::trouble::Trouble;

/// Between two looks at the stage.
const LOOK_EVERY: Span = Span::millis(500);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The stage.
    #[arg(long)]
    stage: StageName,
    /// The release's version, such as v1.3.0-rc.1, or `latest`.
    #[arg(long, default_value = "latest")]
    release: String,
    /// The pipeline as `<repository id>/<name>`, where the server has several.
    #[arg(long)]
    pipeline: Option<String>,
    /// Who starts it.
    #[arg(long = "as")]
    by: Login,
    #[command(flatten)]
    server: Server,
}

/// Where the stage is at one look.
enum Look {
    /// It moves.
    Moving,
    /// Something keeps it.
    Waiting,
    /// It is over; whether the release is live.
    Over { live: bool },
}

pub(super) async fn run(asked: &Arguments) -> Ended {
    let stream = ask::pipeline(&asked.server, asked.pipeline.as_deref()).await?;
    let no = ask::release(&asked.server, &stream, &asked.release).await?;
    let path = format!("/api/releases/{stream}/{no}");
    let before = client::get(&asked.server, &path).await?;
    let version = ask::text(&before, "version");
    if !matches!(look(&before, &asked.stage)?, Look::Over { live: true }) {
        let line = format!("/promote {} {version}", asked.stage);
        let said = json!({ "pipeline": stream, "line": line, "as": asked.by.as_str() });
        client::post(&asked.server, "/api/ask", &said).await?;
    }
    loop {
        let page = client::get(&asked.server, &path).await?;
        match look(&page, &asked.stage)? {
            Look::Moving => tokio::time::sleep(LOOK_EVERY.as_std()).await,
            Look::Waiting => {
                let why = client::get(&asked.server, &format!("{path}/why?stage={}", asked.stage)).await?;
                if asked.server.json {
                    terminal::line(&why.to_string());
                } else {
                    ask::print_why(&why, &asked.stage);
                }
                return Ok(Exit::Waiting);
            }
            Look::Over { live } => {
                say_end(&page, asked, version);
                return Ok(if live { Exit::Done } else { Exit::Failed });
            }
        }
    }
}

fn say_end(page: &Value, asked: &Arguments, version: &str) {
    let Some(found) = stage(page, &asked.stage) else { return };
    if asked.server.json {
        terminal::line(&found.to_string());
    } else {
        terminal::line(&format!("{version} -> {}: {}", asked.stage, ask::text(found, "line")));
    }
}

fn stage<'a>(page: &'a Value, name: &StageName) -> Option<&'a Value> {
    ask::list(page, "stages").iter().find(|s| ask::text(s, "stage") == name.as_str())
}

fn look(page: &Value, name: &StageName) -> Result<Look, Trouble> {
    let found = stage(page, name)
        .ok_or_else(|| Trouble::not_found(format!("{} has no stage {name}", ask::text(page, "pipeline"))))?;
    let why = ask::list(page, "why").iter().find(|why| ask::text(why, "stage") == name.as_str());
    let kept = why.is_some_and(|why| ask::list(why, "lines").iter().any(|l| ask::text(l, "mark") != "pass"));
    Ok(match ask::text(found, "light") {
        "good" => Look::Over { live: true },
        "bad" | "off" => Look::Over { live: false },
        _ if kept => Look::Waiting,
        _ => Look::Moving,
    })
}
