//! Finds a plain line below the top of a comment that looks like a command, to tell its author that it is not one.
//!
//! This is a courtesy and decides nothing, so it knows just enough Markdown to stay silent about examples:
//! code blocks, quotes, HTML and link definitions are passed over.

use crate::domain::command::parse::{Hint, Spelling, lines, opening};
use crate::domain::markdown::Fence;

/// Tags whose content is shown or hidden as it is, up to the closing tag (section 4.6 of the Markdown specification,
/// kind 1).
const RAW_TAGS: [&str; 4] = ["pre", "script", "style", "textarea"];

/// What the lines being read belong to.
enum Inside {
    /// Paragraphs and lists.
    Text,
    /// A code block that the fence opened.
    Code(Fence),
    /// Something that ends on the line that holds this text.
    Until(String),
    /// A quote, an HTML block or a link definition, which end at a blank line.
    Paragraph,
}

/// The hint for a comment that starts with no command.
pub(super) fn of(text: &str, spelling: Spelling<'_>) -> Option<Hint> {
    let mut inside = Inside::Text;
    for line in lines(text) {
        if matches!(inside, Inside::Text) && is_command(line, spelling) {
            return Some(Hint::NotAtTop);
        }
        inside = after(inside, line);
    }
    None
}

/// True for a line of text, at most three blanks in, that starts with a known verb.
fn is_command(line: &str, spelling: Spelling<'_>) -> bool {
    let text = line.trim_start_matches(' ');
    line.len() - text.len() <= 3 && opening(text, spelling).is_some()
}

fn after(inside: Inside, line: &str) -> Inside {
    match inside {
        Inside::Code(fence) if fence.closed_by(line) => Inside::Text,
        Inside::Code(fence) => Inside::Code(fence),
        Inside::Until(end) if line.to_ascii_lowercase().contains(&end) => Inside::Text,
        Inside::Until(end) => Inside::Until(end),
        Inside::Paragraph if line.trim().is_empty() => Inside::Text,
        Inside::Paragraph => match opened_by(line) {
            Inside::Text => Inside::Paragraph,
            block @ (Inside::Code(_) | Inside::Until(_) | Inside::Paragraph) => block,
        },
        Inside::Text => opened_by(line),
    }
}

/// What a line of text opens.
fn opened_by(line: &str) -> Inside {
    if let Some(fence) = Fence::opened_by(line) {
        return Inside::Code(fence);
    }
    let lower = line.trim_start().to_ascii_lowercase();
    let comment = lower.rsplit_once("<!--").is_some_and(|(_, behind)| !behind.contains("-->"));
    if comment {
        return Inside::Until("-->".to_owned());
    }
    for tag in RAW_TAGS {
        let close = format!("</{tag}>");
        let opens = lower.strip_prefix('<').and_then(|t| t.strip_prefix(tag)).is_some_and(|behind| {
            behind.is_empty() || behind.starts_with(|c: char| c == '>' || c.is_ascii_whitespace())
        });
        if opens && !lower.contains(&close) {
            return Inside::Until(close);
        }
    }
    let is_definition = lower.starts_with('[') && lower.contains("]:");
    if lower.starts_with(['>', '<']) || is_definition { Inside::Paragraph } else { Inside::Text }
}
