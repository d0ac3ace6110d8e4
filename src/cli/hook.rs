//! `liftlock hook install` and `liftlock hook run`: pushes of bare repositories.

use std::io::Read as _;
use std::path::PathBuf;

use crate::cli::{Ended, Exit, terminal};
use crate::domain::name::RepoName;
use crate::forge::plain::hook::{self, Hook, Installed};
use crate::secret::Secret;
use crate::trouble::Trouble;

/// Most of a push's list of refs; git has no limit, and nobody moves ten thousand refs by hand.
const INPUT_BYTES: u64 = 4 * 1024 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Write a post-receive hook into a bare repository.
    Install {
        /// The bare repository.
        bare: PathBuf,
        /// Its name in the server's config; its folder's name without `.git` when absent.
        #[arg(long)]
        repository: Option<RepoName>,
        #[command(flatten)]
        to: To,
    },
    /// What the hook runs: tell the server what was pushed.
    Run {
        /// The repository's name in the server's config.
        #[arg(long)]
        repository: RepoName,
        #[command(flatten)]
        to: To,
    },
}

#[derive(Debug, clap::Args)]
struct To {
    /// The server's address.
    #[arg(long, env = "LIFTLOCK_SERVER", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// The file with the webhook secret; readable by whoever pushes.
    #[arg(long)]
    secret_file: PathBuf,
    /// Who pushes, when the host's access control knows.
    #[arg(long, env = "LIFTLOCK_PUSHER")]
    pusher: Option<String>,
}

pub(super) async fn run(arguments: &Arguments) -> Ended {
    match &arguments.what {
        Verb::Install { bare, repository, to } => install(bare, repository.as_ref(), to),
        Verb::Run { repository, to } => tell(repository, to).await,
    }
}

fn install(bare: &std::path::Path, repository: Option<&RepoName>, to: &To) -> Ended {
    let repository = match repository {
        Some(name) => name.clone(),
        None => bare
            .file_name()
            .and_then(|n| n.to_str())
            .map(|n| n.trim_end_matches(".git"))
            .and_then(|n| n.parse().ok())
            .ok_or_else(|| Trouble::refused("say the repository's name with --repository"))?,
    };
    let program = std::env::current_exe().map_err(|e| Trouble::transient("find this program").because(e))?;
    let secret_file = std::fs::canonicalize(&to.secret_file)
        .map_err(|e| Trouble::not_found(format!("find {}", to.secret_file.display())).because(e))?;
    let wanted =
        Hook { program: &program, server: &to.server, secret_file: &secret_file, repository: &repository };
    match hook::install(bare, &wanted)? {
        Installed::Written(path) => terminal::line(&format!("wrote {}", path.display())),
        Installed::Already(path) => terminal::line(&format!("{} is as it should be", path.display())),
    }
    Ok(Exit::Done)
}

/// Never fails a push: what could not be told the server finds by itself.
async fn tell(repository: &RepoName, to: &To) -> Ended {
    let mut input = String::new();
    std::io::stdin()
        .take(INPUT_BYTES)
        .read_to_string(&mut input)
        .map_err(|e| Trouble::refused("read what was pushed").because(e))?;
    let secret = std::fs::read_to_string(&to.secret_file)
        .map_err(|e| Trouble::not_found(format!("read {}", to.secret_file.display())).because(e));
    let said = match secret {
        Ok(secret) => {
            let secret = Secret::new(secret.trim_end());
            hook::tell(&to.server, &secret, &hook::deliveries(&input, repository, to.pusher.as_deref())).await
        }
        Err(trouble) => Some(format!("liftlock was not told of this push: {}", trouble.chain())),
    };
    if let Some(line) = said {
        terminal::note(&line);
    }
    Ok(Exit::Done)
}
