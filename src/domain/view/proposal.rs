//! The comment under a pull request that changes the rules.

use std::fmt::Write as _;

use crate::domain::markdown::{escape, inline_code};
use crate::domain::name::PipelineId;
use crate::domain::proposal::{MAX_CHANGES, Proposal, Way};

/// What would be asked of whom, before anybody merges it.
pub fn comment(id: &PipelineId, proposal: &Proposal) -> String {
    let head = inline_code(proposal.commit.short());
    let name = &id.name;
    if proposal.changes.is_empty() {
        return format!("📋 **The rules of {name} stay as they are** at {head}.");
    }
    let looser = proposal.changes.iter().filter(|change| change.way == Way::Looser).count();
    let sign = if looser > 0 { "⚠️" } else { "📋" };
    let mut out = format!(
        "{sign} **This changes the rules of {name}**, at {head}\n\n| stage | what | way |\n|---|---|---|\n"
    );
    for change in &proposal.changes {
        let stage = change.stage.as_ref().map_or("all", |stage| stage.as_str());
        let text = escape(&change.text).replace('|', "\\|");
        writeln!(out, "| {stage} | {text} | {} |", change.way.word()).unwrap_or_default();
    }
    if proposal.changes.len() >= MAX_CHANGES {
        writeln!(out, "\nThere may be more: only the first {MAX_CHANGES} are listed.").unwrap_or_default();
    }
    out.push_str("\nNothing of it counts before it is merged; then the stricter of a release's own rules and those of the branch's head does.");
    out
}

/// The proposal in a few words.
pub fn sentence(proposal: &Proposal) -> String {
    format!("rules that #{} would change: {}", proposal.thread, proposal.changes.len())
}
