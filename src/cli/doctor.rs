//! `liftlock doctor`: what this machine and the config can do, before somebody's release finds out.

use std::path::Path;

use serde::Serialize;

use crate::cli::serve::read_config;
use crate::cli::{ConfigFile, Ended, Exit, terminal};
use crate::config::Config;
use crate::forge::github::GitHub;
use crate::runner::probe::{Runner, find_program};
use crate::service::steps::PATH;
use crate::trouble::Trouble;

/// Programs that steps often start, and what one does without (CHECKLIST C37); the server itself needs none of them.
const PROGRAMS: [(&str, &str); 13] = [
    ("bash", "steps with `shell: bash`"),
    ("curl", "steps that call it"),
    ("docker", "builds of images"),
    ("flyctl", "`uses: fly`"),
    ("git", "steps that call it"),
    ("kubectl", "`uses: kubernetes`"),
    ("make", "steps that call it"),
    ("pwsh", "steps with `shell: pwsh`, and `uses: azure-powershell`"),
    ("python3", "steps with `shell: python`"),
    ("skopeo", "images, and builds in one"),
    ("ssh", "targets by ssh"),
    ("tar", "targets by ssh"),
    ("umoci", "builds in an image"),
];

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigFile,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How good it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Mark {
    /// It is there.
    Good,
    /// Something can not be done here, which may be meant so.
    Note,
    /// The server does not start, or runs nothing.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    mark: Mark,
    text: String,
}

impl Finding {
    fn of(what: &'static str, (mark, text): (Mark, impl Into<String>)) -> Self {
        Self { what, mark, text: text.into() }
    }
}

pub(super) async fn run(arguments: &Arguments) -> Ended {
    let mut findings = Vec::new();
    let config = config(&arguments.config.config, &mut findings);
    if let Some(config) = &config {
        github(config, &mut findings).await;
        repositories(config, &mut findings);
    }
    sandbox(&mut findings).await;
    let path = config.as_ref().and_then(|c| c.environment.get("PATH")).map_or(PATH, String::as_str);
    findings.extend(PROGRAMS.map(|(name, without)| program(name, without, path)));
    if arguments.json {
        let text = serde_json::to_string_pretty(&findings)
            .map_err(|e| Trouble::bug("write the findings").because(e))?;
        terminal::line(&text);
    } else {
        for finding in &findings {
            let sign = match finding.mark {
                Mark::Good => "✔",
                Mark::Note => "–",
                Mark::Bad => "✖",
            };
            terminal::line(&format!("{sign} {}: {}", finding.what, finding.text));
        }
    }
    let bad = findings.iter().any(|finding| finding.mark == Mark::Bad);
    Ok(if bad { Exit::Failed } else { Exit::Done })
}

fn config(path: &Path, findings: &mut Vec<Finding>) -> Option<Config> {
    let shown = path.display();
    if !path.exists() {
        let text = format!("there is no {shown}, so only the machine is looked at; name one with --config");
        findings.push(Finding::of("config", (Mark::Note, text)));
        return None;
    }
    match read_config(path) {
        Ok(config) => {
            findings.push(Finding::of("config", (Mark::Good, format!("{shown} can be read"))));
            Some(config)
        }
        Err(trouble) => {
            findings.push(Finding::of("config", (Mark::Bad, trouble.chain())));
            None
        }
    }
}

async fn github(config: &Config, findings: &mut Vec<Finding>) {
    let Some(settings) = &config.github else { return };
    let asked = match GitHub::new(settings.clone()) {
        Ok(github) => github.check().await,
        Err(trouble) => Err(trouble),
    };
    findings.push(Finding::of(
        "GitHub",
        match asked {
            Ok(found) => (Mark::Good, format!("answers, {} repositories", found.len())),
            Err(trouble) => (Mark::Bad, trouble.chain()),
        },
    ));
}

fn repositories(config: &Config, findings: &mut Vec<Finding>) {
    for (name, repository) in config.plain.iter().flat_map(|plain| &plain.repositories) {
        let path = &repository.path;
        let found = if path.join("HEAD").is_file() {
            (Mark::Good, format!("{name} is {}", path.display()))
        } else {
            let shown = path.display();
            (Mark::Bad, format!("{name}: {shown} is no bare repository; `git init --bare {shown}` makes one"))
        };
        findings.push(Finding::of("repository", found));
    }
}

async fn sandbox(findings: &mut Vec<Finding>) {
    let found = Runner::probe().await.capability();
    let sandbox = match &found.bubblewrap {
        Some(version) => (Mark::Good, format!("bubblewrap {version}")),
        None => {
            (Mark::Note, format!("builds run without, and pull requests are not built: {}", found.reason))
        }
    };
    findings.push(Finding::of("sandbox", sandbox));
    if !found.prlimit {
        findings.push(Finding::of("limits", (Mark::Bad, format!("nothing runs: {}", found.reason))));
    }
    if found.metadata_answers {
        let text = "this machine hands out credentials at 169.254.169.254; \
                    block that address with a firewall rule for the server's user";
        findings.push(Finding::of("metadata", (Mark::Note, text)));
    }
}

fn program(name: &'static str, without: &str, path: &str) -> Finding {
    Finding::of(
        name,
        match find_program(name, path) {
            Some(found) => (Mark::Good, found.display().to_string()),
            None => (Mark::Note, format!("is not in the PATH of steps: no {without}")),
        },
    )
}
