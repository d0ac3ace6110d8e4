//! `liftlock plan`: what a push or an approval would do now, for a manifest on this machine or a pipeline of a server.

use std::path::PathBuf;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::cli::{Ended, Exit, Server, ask, check, client, terminal};
use crate::clock;
use crate::domain::simulate::ahead::{Act, Ahead, ahead};
use crate::domain::simulate::untouched;
use crate::trouble::Trouble;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What is thought of doing: push, or a line such as "/approve prod".
    #[arg(default_value = "push")]
    act: Act,
    /// A manifest on this machine, as if nothing had been released yet; a pipeline of a server when absent.
    #[arg(long)]
    manifest: Option<PathBuf>,
    /// The pipeline: its name in the manifest, or as `<repository id>/<name>` where the server has several.
    #[arg(long)]
    pipeline: Option<String>,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(asked: &Arguments) -> Ended {
    let found = match &asked.manifest {
        Some(path) => {
            let pipeline = check::pipeline(Some(path), asked.pipeline.as_deref())?;
            ahead(&untouched(&pipeline), &pipeline, &asked.act, clock::now())
                .map_err(|why| Trouble::bug(format!("look ahead: {why}")))?
        }
        None => of_server(asked).await?,
    };
    if asked.server.json {
        let text = serde_json::to_string(&found).map_err(|e| Trouble::bug("write the plan").because(e))?;
        terminal::line(&text);
    } else {
        terminal::line(&found.text());
    }
    Ok(if found.refused.is_some() { Exit::Failed } else { Exit::Done })
}

async fn of_server(asked: &Arguments) -> Result<Ahead, Trouble> {
    let stream = ask::pipeline(&asked.server, asked.pipeline.as_deref()).await?;
    let act = asked.act.to_string();
    let act = utf8_percent_encode(&act, NON_ALPHANUMERIC);
    let answer = client::get(&asked.server, &format!("/api/pipelines/{stream}/plan?act={act}")).await?;
    serde_json::from_value(answer).map_err(|e| Trouble::bug("read the plan of the server").because(e))
}
