//! `vars explain`: where a variable of a stage has its value from, and who else says something about it.

use serde_json::Value;

use crate::cli::ask::{encoded, list, pipeline, release, text};
use crate::cli::{Ended, Exit, Server, client, terminal};
use crate::domain::name::{StageName, VariableName};
use crate::trouble::Trouble;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show the value of a variable in a stage, its source, and the sources that lost.
    Explain(Explain),
}

#[derive(Debug, clap::Args)]
struct Explain {
    /// The stage.
    stage: StageName,
    /// The variable, in any case.
    name: VariableName,
    /// The release's version, such as v1.3.0-rc.1.
    #[arg(long, default_value = "latest")]
    release: String,
    /// The pipeline as `<repository id>/<name>`, where the server has several.
    #[arg(long)]
    pipeline: Option<String>,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(arguments: &Arguments) -> Ended {
    let Verb::Explain(asked) = &arguments.verb;
    let stream = pipeline(&asked.server, asked.pipeline.as_deref()).await?;
    let no = release(&asked.server, &stream, &asked.release).await?;
    let query = format!("stage={}&name={}", asked.stage, encoded(asked.name.as_str()));
    let answer =
        client::get(&asked.server, &format!("/api/releases/{stream}/{no}/variables?{query}")).await?;
    let stage = list(&answer, "stages").first();
    let found = stage.and_then(|stage| list(stage, "variables").first());
    if asked.server.json {
        terminal::line(&found.unwrap_or(&Value::Null).to_string());
        return Ok(if found.is_some() { Exit::Done } else { Exit::Failed });
    }
    let problem = stage.map(|stage| text(stage, "problem")).unwrap_or_default();
    let Some(found) = found else {
        let why = match (stage, problem) {
            (None, _) => format!("{stream} has no stage {}", asked.stage),
            (Some(_), "") => format!("no variable of {} is called {}", asked.stage, asked.name),
            (Some(_), problem) => problem.to_owned(),
        };
        return Err(Trouble::not_found(why));
    };
    terminal::line(&format!("{} in {} is {}", text(found, "name"), asked.stage, text(found, "value")));
    for (at, said) in list(found, "said").iter().enumerate() {
        let sign = if at == 0 { "✔" } else { "·" };
        terminal::line(&format!("  {sign} {}: {}", text(said, "source"), text(said, "value")));
    }
    if !problem.is_empty() {
        terminal::line(&format!("these variables cannot be used: {problem}"));
    }
    Ok(Exit::Done)
}
