//! `liftlock approvals`: what waits for people on a server.

use crate::cli::ask::{encoded, list, text};
use crate::cli::{Ended, Exit, Server, client, terminal};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only what this person can still decide.
    #[arg(long = "for")]
    person: Option<String>,
    /// Which page of it.
    #[arg(long, default_value_t = 1)]
    page: u32,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(asked: &Arguments) -> Ended {
    let of = asked.person.as_deref().map(|person| format!("for={}&", encoded(person))).unwrap_or_default();
    let answer = client::get(&asked.server, &format!("/api/approvals?{of}page={}", asked.page)).await?;
    if asked.server.json {
        terminal::line(&answer.to_string());
        return Ok(Exit::Done);
    }
    for wait in list(&answer, "approvals") {
        let (version, stage) = (text(wait, "version"), text(wait, "stage"));
        let (pipeline, what) = (text(wait, "pipeline"), text(wait, "what"));
        terminal::line(&format!("{what:<8} {pipeline} {version} in {stage}, since {}", text(wait, "since")));
        terminal::line(&format!("         {}", text(wait, "why")));
        terminal::line(&format!("         {}: {}", text(wait, "who"), text(wait, "line")));
    }
    let number = |name: &str| answer.get(name).and_then(serde_json::Value::as_u64).unwrap_or(0);
    let (page, pages) = (number("page"), number("pages"));
    if page < pages {
        terminal::line(&format!("{} in all; --page {} shows more", number("total"), page.saturating_add(1)));
    }
    Ok(Exit::Done)
}
