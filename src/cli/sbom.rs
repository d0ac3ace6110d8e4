//! `liftlock sbom diff`: how what a release is made of differs from an earlier one.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::cli::verify::{fetch, folder};
use crate::cli::{Ended, Exit, Server, client, terminal};
use crate::domain::evidence::SBOM_FILE;
use crate::domain::sbom::difference;
use crate::trouble::{Outcome, Trouble};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: Do,
}

#[derive(Debug, clap::Subcommand)]
enum Do {
    /// Compare two bills of materials: files of `CycloneDX`, or releases as `liftlock verify` takes them.
    Diff {
        /// The earlier one.
        before: String,
        /// The later one.
        now: String,
        #[command(flatten)]
        server: Server,
    },
}

pub(super) async fn run(asked: &Arguments) -> Ended {
    let Do::Diff { before, now, server } = &asked.what;
    let (before, now) = (bill(before, server).await?, bill(now, server).await?);
    let found = difference(&before, &now).map_err(Trouble::refused)?;
    if server.json {
        let text = serde_json::to_string(&found).map_err(|e| Trouble::bug("write JSON").because(e))?;
        terminal::line(&text);
        return Ok(Exit::Done);
    }
    let shown = |versions: &BTreeSet<String>| versions.iter().cloned().collect::<Vec<_>>().join(", ");
    found.added.iter().for_each(|(name, now)| terminal::line(&format!("+ {name} {}", shown(now))));
    found.removed.iter().for_each(|(name, was)| terminal::line(&format!("- {name} {}", shown(was))));
    for (name, (was, now)) in &found.changed {
        terminal::line(&format!("~ {name} {} -> {}", shown(was), shown(now)));
    }
    Ok(Exit::Done)
}

async fn bill(what: &str, server: &Server) -> Outcome<Value> {
    if !Path::new(what).exists()
        && let Some((server, release)) = fetch::address(what, server)
    {
        return client::get(&server, &format!("{release}/evidence/{SBOM_FILE}")).await;
    }
    serde_json::from_str(&folder::text(Path::new(what))?)
        .map_err(|e| Trouble::refused(format!("{what} is not JSON")).because(e))
}
