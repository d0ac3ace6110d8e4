//! Text of strangers made safe to print in comments, release notes and status lines (THREATS T48, T15).
//!
//! Commit subjects, branch names, log lines and people's reasons reach GitHub through one of these functions.
//! Two readers are kept in mind: the renderer, which must not see markup, links, mentions or references in them,
//! and other bots, which read the raw text and obey lines that start with `/` or name them with `@`.

/// Most characters that GitHub takes in a comment or in release notes.
pub const LONGEST_COMMENT: usize = 65_536;

/// Most characters that GitHub takes in the description of a commit status.
pub const LONGEST_STATUS: usize = 140;

/// Breaks a mention or a reference in two without being seen; used where entities are not decoded.
const INVISIBLE_BREAK: char = '\u{200b}';

/// The same as an entity, so that the raw text stays ASCII.
const BREAK_ENTITY: &str = "&#8203;";

/// True for characters that nobody sees but that change what is seen or read: controls, zero-width and
/// bidirectional marks, line and paragraph separators, tags.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{00ad}'
                | '\u{034f}'
                | '\u{061c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// One line of visible text: white space becomes single spaces, hidden characters go.
pub fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        let before = out.len();
        if before > 0 {
            out.push(' ');
        }
        let start = out.len();
        out.extend(word.chars().filter(|c| !is_hidden(*c)));
        if out.len() == start {
            out.truncate(before);
        }
    }
    out
}

/// A code span that shows the text exactly, on one line.
pub fn inline_code(text: &str) -> String {
    let line = unmention(&one_line(text));
    let ticks = "`".repeat(longest_run(&line, '`') + 1);
    let pad = if line.is_empty() || line.starts_with('`') || line.ends_with('`') { " " } else { "" };
    format!("{ticks}{pad}{line}{pad}{ticks}")
}

/// A code block that shows the text line by line; no content can end it, and no line in it is a command.
pub fn fence(text: &str) -> String {
    let ticks = "`".repeat((longest_run(text, '`') + 1).max(3));
    let mut out = format!("{ticks}\n");
    for line in text.replace("\r\n", "\n").split(['\n', '\r']) {
        let clean: String = line.chars().filter(|c| *c == '\t' || !is_hidden(*c)).collect();
        if clean.starts_with('/') {
            out.push(' ');
        }
        out.push_str(&unmention(&clean));
        out.push('\n');
    }
    out.push_str(&ticks);
    out
}

/// Plain text within a sentence or a list item: no markup, link, mention or reference, on one line.
pub fn escape(text: &str) -> String {
    let line = one_line(text);
    let mut out = String::with_capacity(line.len() + 16);
    let mut number_so_far = true;
    for (at, c) in line.char_indices() {
        let opens_list = number_so_far && at > 0 && matches!(c, '.' | ')');
        let opens_block = at == 0 && matches!(c, '-' | '+' | '=' | '/');
        number_so_far = number_so_far && c.is_ascii_digit();
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' | '#' => {
                out.push(c);
                out.push_str(BREAK_ENTITY);
            }
            ':' if line.get(at..).is_some_and(|rest| rest.starts_with("://")) => {
                out.push(c);
                out.push_str(BREAK_ENTITY);
            }
            '.' if ends_with_www(line.get(..at).unwrap_or_default()) => {
                out.push_str(BREAK_ENTITY);
                out.push(c);
            }
            '\\' | '`' | '*' | '_' | '~' | '[' | ']' | '|' | '!' => {
                out.push('\\');
                out.push(c);
            }
            other => {
                if opens_list || opens_block {
                    out.push('\\');
                }
                out.push(other);
            }
        }
    }
    out
}

/// A sentence of ours with strangers' text in it: what stands between back ticks is code, all else is escaped.
pub fn sentence(text: &str) -> String {
    let line = one_line(text);
    let parts: Vec<&str> = line.split('`').collect();
    if parts.len().is_multiple_of(2) {
        // One back tick is without its partner: nothing is code.
        return escape(&line);
    }
    let mut out = String::with_capacity(line.len() + 16);
    for (no, part) in parts.into_iter().enumerate() {
        if no % 2 == 1 {
            out.push_str(&inline_code(part));
            continue;
        }
        let begin = if part.starts_with(' ') { " " } else { "" };
        let end = if part.len() > 1 && part.ends_with(' ') { " " } else { "" };
        out.push_str(begin);
        out.push_str(&escape(part));
        out.push_str(end);
    }
    out
}

/// The description of a commit status: one visible line of at most [`LONGEST_STATUS`] characters.
pub fn status_line(text: &str) -> String {
    shorten(&one_line(text), LONGEST_STATUS)
}

/// At most `limit` characters, the last of them `…` when something was cut.
pub fn shorten(text: &str, limit: usize) -> String {
    if text.chars().nth(limit).is_none() {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(limit.saturating_sub(1)).collect();
    if limit > 0 {
        out.push('…');
    }
    out
}

/// Cuts a finished comment to `limit` characters and closes what the cut left open.
///
/// Whole lines are kept, so that no code span or link is torn; only a code block may end within a line.
/// Open code blocks and `<details>` are closed, and a last line says that something is missing.
pub fn truncate_balanced(text: &str, limit: usize) -> String {
    const NOTICE: &str = "\n\n… cut here: the rest was too long for a comment.";
    if text.chars().nth(limit).is_none() {
        return text.to_owned();
    }
    let mut room = limit;
    loop {
        let (kept, open) = keep(text, room);
        let end = format!("{}{NOTICE}", open.closers());
        let length = kept.chars().count() + end.chars().count();
        if length <= limit {
            return format!("{kept}{end}");
        }
        if room == 0 {
            return shorten(NOTICE.trim_start(), limit);
        }
        room = room.saturating_sub(length - limit);
    }
}

/// What is open at the end of a piece of Markdown.
#[derive(Debug, Default)]
struct Open {
    fence: Option<Fence>,
    details: usize,
}

/// The line that opened a code block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fence {
    mark: char,
    length: usize,
}

impl Fence {
    /// The fence that this line opens, if it is one (section 4.5 of the Markdown specification).
    pub(super) fn opened_by(line: &str) -> Option<Self> {
        let text = line.trim_start_matches(' ');
        if line.len() - text.len() > 3 {
            return None;
        }
        let mark = text.chars().next().filter(|c| matches!(c, '`' | '~'))?;
        let length = text.chars().take_while(|c| *c == mark).count();
        let info = text.trim_start_matches(mark);
        let is_span = mark == '`' && info.contains('`');
        (length >= 3 && !is_span).then_some(Self { mark, length })
    }

    /// True when this line closes the code block.
    pub(super) fn closed_by(self, line: &str) -> bool {
        Self::opened_by(line).is_some_and(|end| end.mark == self.mark && end.length >= self.length)
            && line.trim().chars().all(|c| c == self.mark)
    }
}

impl Open {
    fn read(&mut self, line: &str) {
        match self.fence {
            Some(fence) if fence.closed_by(line) => self.fence = None,
            Some(_) => {}
            None => {
                self.fence = Fence::opened_by(line);
                // Our own writers start and end these lines with the tag; a quoted tag sits within back ticks.
                let opened = usize::from(line.trim_start().starts_with("<details"));
                let closed = usize::from(line.trim_end().ends_with("</details>"));
                self.details = (self.details + opened).saturating_sub(closed);
            }
        }
    }

    fn closers(&self) -> String {
        let mut out = String::new();
        if let Some(Fence { mark, length }) = self.fence {
            out.push('\n');
            out.extend(std::iter::repeat_n(mark, length));
        }
        for _ in 0..self.details {
            out.push_str("\n\n</details>");
        }
        out
    }
}

/// The lines that fit into `room` characters, and what is open after them.
fn keep(text: &str, room: usize) -> (String, Open) {
    let mut open = Open::default();
    let mut kept = String::new();
    let mut left = room;
    for line in text.split('\n') {
        let length = line.chars().count() + 1;
        if length <= left {
            open.read(line);
            kept.push_str(line);
            kept.push('\n');
            left -= length;
            continue;
        }
        // A torn line within a block must not look like the line that ends the block.
        if open.fence.is_some_and(|fence| !line.trim_start().starts_with(fence.mark)) {
            kept.extend(line.chars().take(left));
        }
        break;
    }
    kept.truncate(kept.trim_end_matches('\n').len());
    (kept, open)
}

fn longest_run(text: &str, mark: char) -> usize {
    text.split(|c| c != mark).map(str::len).max().unwrap_or(0)
}

/// Puts an invisible break behind every `@`, so that neither the host nor another bot sees a mention.
fn unmention(text: &str) -> String {
    text.replace('@', &format!("@{INVISIBLE_BREAK}"))
}

fn ends_with_www(text: &str) -> bool {
    text.len().checked_sub(3).and_then(|at| text.get(at..)).is_some_and(|w| w.eq_ignore_ascii_case("www"))
}

#[cfg(test)]
mod tests;
