//! `liftlock group`: variable groups of a running server; a secret is read from standard input, never from the line.

use std::collections::BTreeMap;
use std::io::Read as _;

use serde_json::{Value, json};

use crate::cli::{Ended, Exit, Server, client, terminal};
use crate::domain::group::access::GroupRole;
use crate::domain::name::{GroupName, Login, SecretAddress, VariableName};
use crate::trouble::Trouble;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

/// Whom the server's own token or the server's machine speaks for.
#[derive(Debug, Clone, clap::Args)]
struct Speaker {
    /// Who does it, when the token does not say so.
    #[arg(long = "as")]
    by: Option<Login>,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Create a group, or with --for-stages one for each stage of a pipeline.
    Create {
        /// Its name; with --for-stages a template such as 'acme.Invictus.$(stage)'.
        name: String,
        /// Its first variables.
        #[arg(value_name = "NAME=VALUE")]
        values: Vec<String>,
        /// The pipeline, by its name or as `<repository id>/<name>`; groups that are there stay as they are.
        #[arg(long, value_name = "PIPELINE", conflicts_with = "values")]
        for_stages: Option<String>,
        /// What else stands in the template, such as prefix=acme.
        #[arg(long, value_name = "NAME=VALUE", requires = "for_stages")]
        with: Vec<String>,
        #[command(flatten)]
        speaker: Speaker,
    },
    /// Set a variable.
    Set {
        /// The group.
        group: GroupName,
        /// The variable.
        name: VariableName,
        /// Its value, for everybody to see.
        #[arg(required_unless_present_any = ["secret", "generate", "at"])]
        value: Option<String>,
        /// Read a secret from standard input and seal it; nobody reads it again.
        #[arg(long, conflicts_with_all = ["value", "generate", "at"])]
        secret: bool,
        /// Generate a password and seal it.
        #[arg(long, conflicts_with_all = ["value", "at"])]
        generate: bool,
        /// Point at a secret store, such as vault:kv/sign#key.
        #[arg(long, value_name = "REFERENCE", conflicts_with = "value")]
        at: Option<SecretAddress>,
        #[command(flatten)]
        speaker: Speaker,
    },
    /// Take a variable out.
    Unset {
        /// The group.
        group: GroupName,
        /// The variable.
        name: VariableName,
        #[command(flatten)]
        speaker: Speaker,
    },
    /// Show a group's variables; of a secret, where it is kept.
    Show {
        /// The group.
        group: GroupName,
        #[command(flatten)]
        server: Server,
    },
    /// List the groups.
    List {
        #[command(flatten)]
        server: Server,
    },
    /// Show who changed what in a group, newest first.
    History {
        /// The group.
        group: GroupName,
        #[command(flatten)]
        server: Server,
    },
    /// Show who has which role on a group, or change it.
    Security {
        /// The group.
        group: GroupName,
        #[command(subcommand)]
        verb: Option<SecurityVerb>,
        #[command(flatten)]
        server: Server,
    },
}

#[derive(Debug, clap::Subcommand)]
enum SecurityVerb {
    /// Give somebody a role, in place of the one they have.
    Grant {
        /// A login, a team such as acme/platform, or pipeline:web.
        who: String,
        /// `reader`, `user` or `administrator`.
        role: GroupRole,
        #[command(flatten)]
        speaker: Speaker,
    },
    /// Take somebody's role away.
    Revoke {
        /// As for grant.
        who: String,
        #[command(flatten)]
        speaker: Speaker,
    },
}

pub(super) async fn run(asked: &Arguments) -> Ended {
    match &asked.verb {
        Verb::Create { name, values, for_stages: None, with: _, speaker } => {
            create(name, values, speaker).await
        }
        Verb::Create { name, values: _, for_stages: Some(pipeline), with, speaker } => {
            create_for_stages(pipeline, (name, with), speaker).await
        }
        Verb::Set { group, name, value, secret, generate, at, speaker } => {
            let value = match (value, at) {
                (Some(text), _) => json!({ "plain": text }),
                (None, Some(at)) => json!({ "at": at }),
                (None, None) if *generate => json!("generate"),
                (None, None) if *secret => json!({ "secret": from_stdin()? }),
                (None, None) => return Err(Trouble::refused("say what the variable is set to")),
            };
            edit(group, json!({ "set": { name.as_str(): value } }), speaker).await
        }
        Verb::Unset { group, name, speaker } => edit(group, json!({ "unset": [name] }), speaker).await,
        Verb::Show { group, server } => show(group, server).await,
        Verb::List { server } => list(server).await,
        Verb::History { group, server } => history(group, server).await,
        Verb::Security { group, verb, server } => match verb {
            None => security(group, server).await,
            Some(SecurityVerb::Grant { who, role, speaker }) => {
                edit(group, json!({ "grant": { who.as_str(): role } }), speaker).await
            }
            Some(SecurityVerb::Revoke { who, speaker }) => {
                edit(group, json!({ "revoke": [who] }), speaker).await
            }
        },
    }
}

/// A secret from standard input, without its line's end.
pub(super) fn from_stdin() -> Result<String, Trouble> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|e| Trouble::refused("read the secret from standard input").because(e))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// `NAME=VALUE` of the line.
fn pairs<'a>(given: &'a [String]) -> Result<BTreeMap<&'a str, &'a str>, Trouble> {
    let pair = |text: &'a String| {
        text.split_once('=').ok_or_else(|| Trouble::refused(format!("`{text}` is not NAME=VALUE")))
    };
    given.iter().map(pair).collect()
}

/// The body with whom it is said for.
fn spoken(mut body: Value, speaker: &Speaker) -> Value {
    if let (Some(fields), Some(by)) = (body.as_object_mut(), &speaker.by) {
        fields.insert("as".to_owned(), Value::String(by.to_string()));
    }
    body
}

async fn create(name: &str, values: &[String], speaker: &Speaker) -> Ended {
    let set: BTreeMap<&str, Value> =
        pairs(values)?.into_iter().map(|(name, text)| (name, json!({ "plain": text }))).collect();
    let body = spoken(json!({ "name": name, "set": set }), speaker);
    let answer = client::post(&speaker.server, "/api/groups", &body).await?;
    let words = || format!("created {name}; {} administers it", administrators(&answer).join(", "));
    terminal::line(&if speaker.server.json { answer.to_string() } else { words() });
    Ok(Exit::Done)
}

fn administrators(group: &Value) -> Vec<&str> {
    let roles = group.get("access").and_then(Value::as_object).into_iter().flatten();
    roles.filter(|(_, role)| role.as_str() == Some("administrator")).map(|(who, _)| who.as_str()).collect()
}

async fn create_for_stages(pipeline: &str, (template, with): (&str, &[String]), speaker: &Speaker) -> Ended {
    let body = spoken(json!({ "template": template, "with": pairs(with)? }), speaker);
    // A pipeline without its repository is looked for by the server.
    let path = if pipeline.contains('/') { pipeline.to_owned() } else { format!("-/{pipeline}") };
    let answer = client::post(&speaker.server, &format!("/api/pipelines/{path}/groups"), &body).await?;
    if speaker.server.json {
        terminal::line(&answer.to_string());
        return Ok(Exit::Done);
    }
    for group in rows(&answer, "groups") {
        let new = group.get("new").and_then(Value::as_bool).unwrap_or(false);
        let name = text(group, "name");
        let words = if new {
            "created; set its first variable: liftlock group set"
        } else {
            "is there already; see liftlock group show"
        };
        terminal::line(&format!("{name} {words} {name}"));
    }
    Ok(Exit::Done)
}

async fn edit(group: &GroupName, body: Value, speaker: &Speaker) -> Ended {
    let answer =
        client::post(&speaker.server, &format!("/api/groups/{group}"), &spoken(body, speaker)).await?;
    if speaker.server.json {
        terminal::line(&answer.to_string());
        return Ok(Exit::Done);
    }
    let changes = rows(&answer, "changes");
    if changes.is_empty() {
        terminal::line(&format!("{group} was so already"));
    }
    for change in changes {
        terminal::line(&format!("{group}: {}", change.as_str().unwrap_or_default()));
    }
    Ok(Exit::Done)
}

async fn show(group: &GroupName, server: &Server) -> Ended {
    let answer = client::get(server, &format!("/api/groups/{group}")).await?;
    if server.json {
        terminal::line(&answer.to_string());
        return Ok(Exit::Done);
    }
    let version = answer.get("version").map_or_else(String::new, ToString::to_string);
    terminal::line(&format!("{group} version {version}, you are its {}", text(&answer, "role")));
    for (name, value) in answer.get("values").and_then(Value::as_object).into_iter().flatten() {
        let shown = value.get("plain").and_then(Value::as_str).map(str::to_owned);
        let at = || value.get("secret").map_or("", |secret| text(secret, "at"));
        terminal::line(&format!(
            "  {name} = {}",
            shown.unwrap_or_else(|| format!("(secret, kept at {})", at()))
        ));
    }
    Ok(Exit::Done)
}

async fn list(server: &Server) -> Ended {
    let mut after = String::new();
    loop {
        let answer = client::get(server, &format!("/api/groups?after={after}")).await?;
        if server.json {
            terminal::line(&answer.to_string());
        } else {
            for group in rows(&answer, "groups") {
                let count = group.get("variables").map_or_else(String::new, ToString::to_string);
                terminal::line(&format!(
                    "{:<40} {count:>4} variables  {}",
                    text(group, "name"),
                    text(group, "role")
                ));
            }
        }
        match answer.get("after").and_then(Value::as_str) {
            Some(next) => next.clone_into(&mut after),
            None => return Ok(Exit::Done),
        }
    }
}

async fn history(group: &GroupName, server: &Server) -> Ended {
    let answer = client::get(server, &format!("/api/groups/{group}/history")).await?;
    if server.json {
        terminal::line(&answer.to_string());
        return Ok(Exit::Done);
    }
    for entry in rows(&answer, "history") {
        let version = entry.get("version").map_or_else(String::new, ToString::to_string);
        let changes: Vec<&str> = rows(entry, "changes").iter().filter_map(Value::as_str).collect();
        terminal::line(&format!(
            "{version:>4}  {}  {}: {}",
            text(entry, "at"),
            text(entry, "by"),
            changes.join("; ")
        ));
    }
    Ok(Exit::Done)
}

async fn security(group: &GroupName, server: &Server) -> Ended {
    let answer = client::get(server, &format!("/api/groups/{group}")).await?;
    if server.json {
        terminal::line(&answer.get("access").unwrap_or(&Value::Null).to_string());
        return Ok(Exit::Done);
    }
    for (who, role) in answer.get("access").and_then(Value::as_object).into_iter().flatten() {
        terminal::line(&format!("{who:<40} {}", role.as_str().unwrap_or_default()));
    }
    Ok(Exit::Done)
}

fn rows<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
