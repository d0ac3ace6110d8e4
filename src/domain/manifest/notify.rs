//! `notify` → who is told of what, and in whose words (row E06).

use crate::domain::manifest::code::Code;
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::view::{self, View};
use crate::domain::notice::{Audience, Notify, Route, Topic};

/// Most entries: each fact is looked at for all of them.
const MAX_ENTRIES: usize = 20;

/// A place to tell, as the table of keys asks.
pub(super) fn check_route(text: &str) -> Result<(), String> {
    text.parse::<Route>().map(drop).map_err(|e| e.to_string())
}

/// Reads `notify`.
pub(super) fn of(pipeline: View<'_>, findings: &mut Findings<'_>) -> Vec<Notify> {
    let nodes = pipeline.items("notify");
    if let Some(first) = nodes.get(MAX_ENTRIES) {
        let message = format!("`notify` has at most {MAX_ENTRIES} entries, and here are {}", nodes.len());
        findings.add(Code::TooLarge, first.at, message);
    }
    let mut out: Vec<Notify> = Vec::new();
    for node in nodes.iter().take(MAX_ENTRIES) {
        let entry = View::of(node);
        let Some(to) = entry.parsed::<Route>("to") else { continue };
        let mut notify = Notify {
            to,
            events: std::collections::BTreeSet::new(),
            audience: entry.line("audience").and_then(|word| Audience::of_word(&word)).unwrap_or_default(),
        };
        let events = entry.items("events");
        if let Some(key) = entry.entry("events").filter(|_| events.is_empty()) {
            findings.add(Code::Notify, key.key_at, "nobody would be told of anything".to_owned());
        }
        for event in events {
            let Some(topic) = Topic::ALL.iter().find(|topic| view::text(event) == Some(topic.word())) else {
                continue;
            };
            if notify.to == Route::Issue && topic.is_of_pipeline() {
                let message =
                    format!("an issue is about one release, and `{}` about all of them", topic.word());
                let hint = "send it to a route of the server: `slack:#release`".to_owned();
                findings.add_hinted(Code::Notify, event.at, message, hint);
            }
            let told = |other: &Notify| {
                other.to == notify.to && other.audience == notify.audience && other.events.contains(topic)
            };
            if out.iter().any(told) || !notify.events.insert(*topic) {
                let message = format!("`{}` is told of `{}` twice", notify.to, topic.word());
                findings.add(Code::DuplicateName, event.at, message);
            }
        }
        out.push(notify);
    }
    out
}
