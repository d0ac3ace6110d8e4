//! `liftlock pipeline`: Copilot's words for what liftlock has words of its own for, and the webhook of a repository.

use serde_json::Value;

use crate::cli::ask::{self, encoded, list, text};
use crate::cli::serve::read_config;
use crate::cli::{ConfigFile, Ended, Exit, Server, client, init, terminal};
use crate::config::Config;
use crate::domain::name::RepoName;
use crate::forge::github::GitHub;
use crate::forge::github::webhook::Placed;
use crate::trouble::Trouble;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Write a starter manifest: `liftlock init`.
    Init(init::Arguments),
    /// Put the manifest at the head of a repository's default branch in force: `liftlock apply`.
    #[command(alias = "deploy")]
    Update(ask::Apply),
    /// List the server's pipelines.
    Ls {
        #[command(flatten)]
        server: Server,
    },
    /// Show a pipeline's newest release and how it stands in each stage.
    #[command(alias = "show")]
    Status {
        /// The pipeline as `<repository id>/<name>`, where the server has several.
        #[arg(long)]
        pipeline: Option<String>,
        #[command(flatten)]
        server: Server,
    },
    /// Make a GitHub repository's webhook with the config's token and secret, or put it right.
    Webhook {
        /// The repository, `owner/name`.
        repository: RepoName,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Take a GitHub repository's webhook away again; what was released stays in the log.
    Delete {
        /// The repository, `owner/name`.
        repository: RepoName,
        #[command(flatten)]
        config: ConfigFile,
    },
}

pub(super) async fn run(arguments: &Arguments) -> Ended {
    match &arguments.what {
        Verb::Init(asked) => init::run(asked),
        Verb::Update(asked) => ask::apply(asked).await,
        Verb::Ls { server } => ls(server).await,
        Verb::Status { pipeline, server } => status(pipeline.as_deref(), server).await,
        Verb::Webhook { repository, config } => webhook(repository, config).await,
        Verb::Delete { repository, config } => delete(repository, config).await,
    }
}

async fn ls(server: &Server) -> Ended {
    let answer = client::get(server, "/api/pipelines").await?;
    if server.json {
        terminal::line(&answer.to_string());
        return Ok(Exit::Done);
    }
    for pipeline in list(&answer, "pipelines") {
        let (stream, repo) = (text(pipeline, "stream"), text(pipeline, "repo"));
        terminal::line(&format!("{stream:<44} {repo}"));
    }
    Ok(Exit::Done)
}

async fn status(named: Option<&str>, server: &Server) -> Ended {
    let stream = ask::pipeline(server, named).await?;
    let newest = client::get(server, &format!("/api/releases?stream={}&limit=1", encoded(&stream))).await?;
    let no = list(&newest, "releases").first().and_then(|release| release.get("no")?.as_u64());
    let no = no.ok_or_else(|| Trouble::not_found(format!("{stream} has no release yet; push something")))?;
    let page = client::get(server, &format!("/api/releases/{stream}/{no}")).await?;
    if server.json {
        terminal::line(&page.to_string());
        return Ok(Exit::Done);
    }
    terminal::line(&format!("{stream} {} {}", text(&page, "version"), text(&page, "state")));
    for stage in list(&page, "stages") {
        let (name, state) = (text(stage, "stage"), text(stage, "state"));
        terminal::line(&format!("  {name:<16} {state:<18} {}", text(stage, "line")));
    }
    let waits = list(&page, "next").iter().map(|next: &Value| text(next, "line"));
    waits.filter(|line| !line.is_empty()).for_each(|line| terminal::line(&format!("next: {line}")));
    Ok(Exit::Done)
}

/// GitHub as the config says.
fn github(config: &Config) -> Result<GitHub, Trouble> {
    let settings = config.github.clone().ok_or_else(|| Trouble::refused("the config has no [github]"))?;
    GitHub::new(settings)
}

async fn webhook(repository: &RepoName, file: &ConfigFile) -> Ended {
    let config = read_config(&file.config)?;
    let github = github(&config)?;
    github.check().await?;
    let secret = config
        .webhook_secrets
        .first()
        .ok_or_else(|| Trouble::refused("the config has no webhook_secrets"))?;
    let placed = match github.place_webhook(repository, secret).await? {
        Placed::Made => "has a webhook now",
        Placed::Renewed => "has its webhook as it should be",
    };
    terminal::line(&format!("{repository} {placed}; pushes reach {}", config.public_url));
    Ok(Exit::Done)
}

async fn delete(repository: &RepoName, file: &ConfigFile) -> Ended {
    let config = read_config(&file.config)?;
    let gone = github(&config)?.remove_webhook(repository).await?;
    let said = if gone { "its webhook is removed" } else { "there was no webhook of ours" };
    terminal::line(&format!("{repository}: {said}"));
    terminal::line("next:");
    terminal::line("  take it out of [github] repositories in the config, and restart the server");
    Ok(Exit::Done)
}
