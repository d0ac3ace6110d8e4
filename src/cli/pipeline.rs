//! `liftlock pipeline`: Copilot's words for what liftlock has words of its own for, and the webhook of a repository.

use serde_json::{Value, json};

use crate::cli::ask::{self, encoded, list, text};
use crate::cli::serve::read_config;
use crate::cli::terminal::Answer;
use crate::cli::{ConfigFile, Ended, Exit, Server, check, client, init, terminal};
use crate::config::Config;
use crate::domain::name::RepoName;
use crate::domain::pipeline::Pipeline;
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
    /// List the server's pipelines, or those of the manifest in this folder.
    Ls(Listed),
    /// Show a pipeline's newest release and how it stands in each stage.
    #[command(alias = "show")]
    Status(Shown),
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
        /// Do not ask first.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        config: ConfigFile,
    },
}

#[derive(Debug, clap::Args)]
struct Listed {
    /// Those that the manifest in this folder declares; no server is asked.
    #[arg(long)]
    local: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Args)]
struct Shown {
    /// The pipeline as `<repository id>/<name>`, where the server has several.
    #[arg(long)]
    pipeline: Option<String>,
    /// Show what it works with, too: its webhook, environments, targets, connections and routes.
    #[arg(long)]
    resources: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(arguments: &Arguments) -> Ended {
    match &arguments.what {
        Verb::Init(asked) => init::run(asked),
        Verb::Update(asked) => ask::apply(asked).await,
        Verb::Ls(asked) if asked.local => ls_local(asked),
        Verb::Ls(asked) => ls(&asked.server).await,
        Verb::Status(asked) => status(asked).await,
        Verb::Webhook { repository, config } => webhook(repository, config).await,
        Verb::Delete { repository, yes: true, config } => delete(repository, config).await,
        Verb::Delete { repository, yes: false, config } => {
            match terminal::ask(&format!("Take the webhook of {repository} away?")) {
                Answer::Yes => delete(repository, config).await,
                Answer::No => {
                    terminal::note(&format!("{repository} keeps its webhook"));
                    Ok(Exit::Failed)
                }
                Answer::Nobody => Err(Trouble::refused(format!(
                    "nobody is here to say whether the webhook of {repository} is to be taken away; add --yes"
                ))),
            }
        }
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

/// The pipelines of the manifest here, with their stages.
fn ls_local(asked: &Listed) -> Ended {
    let stages = |pipeline: &Pipeline| pipeline.stage_names().map(ToString::to_string).collect::<Vec<_>>();
    let pipelines = check::pipelines(None)?;
    if asked.server.json {
        let list = pipelines.iter().map(|p| json!({ "name": p.name, "stages": stages(p) }));
        terminal::line(&json!({ "pipelines": list.collect::<Vec<_>>() }).to_string());
        return Ok(Exit::Done);
    }
    for pipeline in &pipelines {
        terminal::line(&format!("{:<24} {}", pipeline.name.as_str(), stages(pipeline).join(", ")));
    }
    Ok(Exit::Done)
}

async fn status(asked: &Shown) -> Ended {
    let server = &asked.server;
    let stream = ask::pipeline(server, asked.pipeline.as_deref()).await?;
    let newest = client::get(server, &format!("/api/releases?stream={}&limit=1", encoded(&stream))).await?;
    let no = list(&newest, "releases").first().and_then(|release| release.get("no")?.as_u64());
    let no = no.ok_or_else(|| Trouble::not_found(format!("{stream} has no release yet; push something")))?;
    let mut page = client::get(server, &format!("/api/releases/{stream}/{no}")).await?;
    if asked.resources {
        let found = client::get(server, &format!("/api/pipelines/{stream}/resources")).await?;
        if let (Some(fields), Some(found)) = (page.as_object_mut(), found.get("resources")) {
            fields.insert("resources".to_owned(), found.clone());
        }
    }
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
    for found in list(&page, "resources") {
        terminal::line(resource(found).trim_end());
    }
    Ok(Exit::Done)
}

/// `target       web-1                10.0.0.1  test, prod`, and why the pipeline lacks it, if so.
fn resource(found: &Value) -> String {
    let stages: Vec<&str> = list(found, "stages").iter().filter_map(Value::as_str).collect();
    let stages = stages.join(", ");
    let known = [text(found, "at"), &stages, text(found, "lacks")];
    let known: Vec<&str> = known.into_iter().filter(|text| !text.is_empty()).collect();
    format!("{:<12} {:<20} {}", text(found, "kind"), text(found, "name"), known.join("  "))
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
