//! `liftlock layout`: how a release is promoted, for a person to sign with a key of their own.

use crate::cli::verify::fetch;
use crate::cli::{Ended, Exit, Server, client, terminal};
use crate::domain::evidence::chain::LAYOUT;
use crate::domain::name::StageName;
use crate::trouble::Trouble;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A release like those that it is to be for: the address of its page, or `<repository>/<pipeline>/<number>` of
    /// --server.
    release: String,
    /// The stage that they are to have reached.
    stage: StageName,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(asked: &Arguments) -> Ended {
    let (server, path) = fetch::address(&asked.release, &asked.server).ok_or_else(|| {
        Trouble::refused(format!("`{}` is no release; it is like github:1001/shop/142", asked.release))
    })?;
    let layout = client::get(&server, &format!("{path}/evidence/{}{LAYOUT}", asked.stage)).await?;
    let text = serde_json::to_string_pretty(&layout).map_err(|e| Trouble::bug("write JSON").because(e))?;
    terminal::line(&text);
    Ok(Exit::Done)
}
