//! `liftlock queue`: what runs and waits on a server, and taking runs out of it.

use crate::cli::ask::{encoded, list, pipeline, text};
use crate::cli::{Ended, Exit, Server, client, terminal};
use crate::domain::queue::{Progress, RunId};
use crate::trouble::Trouble;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List builds and stages that are not over: what runs, what is next, what waits.
    Ls(Ls),
    /// Take a run out of the queue, or all of a state; what runs is stopped with --force only.
    Cancel(Cancel),
}

#[derive(Debug, clap::Args)]
struct Ls {
    /// Only these.
    #[arg(long, value_parser = progress)]
    state: Option<Progress>,
    /// Only of this pipeline, as `<repository id>/<name>`.
    #[arg(long)]
    pipeline: Option<String>,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
struct Cancel {
    /// The run, as `queue ls` shows it.
    #[arg(required_unless_present = "state")]
    run: Option<RunId>,
    /// All runs of this state.
    #[arg(long, value_parser = progress, conflicts_with = "run")]
    state: Option<Progress>,
    /// The pipeline as `<repository id>/<name>`, where the server has several.
    #[arg(long, conflicts_with = "run")]
    pipeline: Option<String>,
    /// Who asks.
    #[arg(long = "as")]
    by: Option<String>,
    /// Stop what runs, too.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    server: Server,
}

fn progress(word: &str) -> Result<Progress, String> {
    Progress::of_word(word).ok_or_else(|| "it is `running`, `queued` or `waiting`".to_owned())
}

pub(super) async fn run(arguments: &Arguments) -> Ended {
    match &arguments.what {
        What::Ls(asked) => ls(asked).await,
        What::Cancel(asked) => cancel(asked).await,
    }
}

async fn ls(asked: &Ls) -> Ended {
    let state = asked.state.map(|state| format!("state={}&", state.word())).unwrap_or_default();
    let of = asked.pipeline.as_deref().map(|p| format!("pipeline={}", encoded(p))).unwrap_or_default();
    let answer = client::get(&asked.server, &format!("/api/runs?{state}{of}")).await?;
    if asked.server.json {
        terminal::line(&answer.to_string());
        return Ok(Exit::Done);
    }
    for run in list(&answer, "runs") {
        let (state, id) = (text(run, "state"), text(run, "id"));
        terminal::line(&format!("{state:<8} {id:<40} {:<16} {}", text(run, "version"), text(run, "line")));
    }
    Ok(Exit::Done)
}

async fn cancel(asked: &Cancel) -> Ended {
    let by = asked.by.as_deref().map(|by| format!("&as={}", encoded(by))).unwrap_or_default();
    let rest = format!("force={}{by}", asked.force);
    let path = match (&asked.run, asked.state) {
        (Some(run), _) => format!("/api/runs/{run}?{rest}"),
        (None, Some(state)) => {
            let stream = pipeline(&asked.server, asked.pipeline.as_deref()).await?;
            format!("/api/runs?state={}&pipeline={}&{rest}", state.word(), encoded(&stream))
        }
        (None, None) => return Err(Trouble::refused("name a run, or say --state")),
    };
    let answer = client::delete(&asked.server, &path).await?;
    if asked.server.json {
        terminal::line(&answer.to_string());
    } else if let Some(run) = &asked.run {
        terminal::line(&format!("{run} is cancelled"));
    } else {
        let all = list(&answer, "cancelled");
        terminal::line(&format!("{} cancelled", all.len()));
        all.iter().filter_map(|id| id.as_str()).for_each(|id| terminal::line(&format!("  {id}")));
    }
    Ok(Exit::Done)
}
