//! The log of a build or a stage: output becomes printable, masked lines of bounded length, in order, none lost.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use super::terminal::Printable;
use crate::clock;
use crate::domain::time::Timestamp;
use crate::mask::{Mask, MaskStream};

/// A longer line is split: no page, no store and no terminal is better for it whole.
pub const LONGEST_LINE_BYTES: usize = 8 * 1024;

/// What a comment can show of a failed step.
pub const TAIL_LINES: usize = 10;

/// One line, printable and masked, without its line break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When its end was read.
    pub at: Timestamp,
    /// At most [`LONGEST_LINE_BYTES`], and the name of whose it is before it where several write.
    pub text: String,
}

/// Where the steps of one run write. When the receiver is slow the processes wait; when it is gone, nobody wants the
/// log and the rest of it is dropped.
#[derive(Debug)]
pub struct Log {
    printable: Printable,
    mask: Mask,
    stream: MaskStream,
    /// Masked text whose line has not ended yet.
    line: String,
    tail: VecDeque<String>,
    /// What each line begins with.
    prefix: String,
    sink: mpsc::Sender<LogLine>,
}

impl Log {
    /// A log that hides what the mask knows; the channel's bound is how far it may run ahead of its reader.
    pub fn new(mask: &Mask, sink: mpsc::Sender<LogLine>) -> Self {
        Self::of(mask, (sink, String::new()))
    }

    /// A log of somebody's own that goes where this one goes, in whole lines that begin with their name.
    #[must_use]
    pub fn beside(&self, name: &str) -> Self {
        Self::of(&self.mask, (self.sink.clone(), format!("{name}: ")))
    }

    fn of(mask: &Mask, (sink, prefix): (mpsc::Sender<LogLine>, String)) -> Self {
        Self {
            printable: Printable::default(),
            mask: mask.clone(),
            stream: mask.stream(),
            line: String::new(),
            tail: VecDeque::new(),
            prefix,
            sink,
        }
    }

    /// Takes output of a process.
    pub async fn write(&mut self, bytes: &[u8]) {
        let mut text = String::new();
        self.printable.push(bytes, &mut text);
        self.stream.push(&text, &mut self.line);
        self.send_lines().await;
    }

    /// Says that the process has written everything; an unfinished line ends here.
    pub async fn end(&mut self) {
        let mut text = String::new();
        self.printable.finish(&mut text);
        self.stream.push(&text, &mut self.line);
        self.stream.finish(&mut self.line);
        self.send_lines().await;
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.send(line).await;
        }
    }

    /// Writes a line of our own, masked too; an unfinished line of the process ends before it.
    pub async fn note(&mut self, text: &str) {
        self.end().await;
        let mut clean = String::new();
        self.printable.push(text.as_bytes(), &mut clean);
        self.line = self.mask.apply(&clean);
        self.end().await;
    }

    /// The last lines that are not empty, at most [`TAIL_LINES`].
    pub fn tail(&self) -> Vec<String> {
        self.tail.iter().cloned().collect()
    }

    async fn send_lines(&mut self) {
        let text = std::mem::take(&mut self.line);
        let mut rest = text.as_str();
        while let Some((line, after)) = next_line(rest) {
            self.send(line.to_owned()).await;
            rest = after;
        }
        rest.clone_into(&mut self.line);
    }

    async fn send(&mut self, text: String) {
        if !text.trim().is_empty() {
            if self.tail.len() == TAIL_LINES {
                self.tail.pop_front();
            }
            self.tail.push_back(text.clone());
        }
        let text = if self.prefix.is_empty() { text } else { format!("{}{text}", self.prefix) };
        // An error says that the receiver is gone, and then there is nothing to do.
        self.sink.send(LogLine { at: clock::now(), text }).await.unwrap_or_default();
    }
}

/// The first line and what follows it: up to a line break, or as much as a line may have.
fn next_line(text: &str) -> Option<(&str, &str)> {
    let most = text.floor_char_boundary(LONGEST_LINE_BYTES);
    match text.split_once('\n') {
        Some((line, rest)) if line.len() <= most => Some((line, rest)),
        Some(_) => text.split_at_checked(most),
        None if text.len() > most => text.split_at_checked(most),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    async fn logged(secrets: &[&str], pieces: &[&[u8]]) -> (Vec<String>, Vec<String>) {
        let secrets: Vec<Secret> = secrets.iter().map(|s| Secret::new(*s)).collect();
        let (sink, mut lines) = mpsc::channel(1000);
        let mut log = Log::new(&Mask::new(&secrets), sink);
        for piece in pieces {
            log.write(piece).await;
        }
        log.end().await;
        let tail = log.tail();
        drop(log);
        let mut all = Vec::new();
        while let Some(line) = lines.recv().await {
            all.push(line.text);
        }
        (all, tail)
    }

    #[tokio::test]
    async fn lines_are_whole_whatever_the_pieces() {
        let (lines, _) = logged(&[], &[b"on", b"e\n\ntw", b"o\r\nthree"]).await;
        assert_eq!(lines, ["one", "", "two", "three"]);
    }

    #[tokio::test]
    async fn a_huge_line_is_split_at_a_character() {
        let line = "\u{e9}".repeat(LONGEST_LINE_BYTES);
        let (lines, _) = logged(&[], &[b"x", line.as_bytes(), b"\nend\n"]).await;
        assert!(lines.iter().all(|l| l.len() <= LONGEST_LINE_BYTES));
        assert_eq!(lines.concat(), format!("x{line}end"));
        assert_eq!(lines.len(), 4);
    }

    #[tokio::test]
    async fn t47_t50_a_secret_cut_by_an_escape_and_by_pieces_is_hidden() {
        let pieces: [&[u8]; 4] = [b"token can", b"ary\x1b[3", b"1m-47\x00", b"11 is\xff it\n"];
        let (lines, tail) = logged(&["canary-4711"], &pieces).await;
        assert_eq!(lines, ["token *** is\u{fffd} it"]);
        assert_eq!(tail, lines);
    }

    #[tokio::test]
    async fn t47_a_note_passes_the_mask_too_and_ends_the_line_before_it() {
        let (sink, mut lines) = mpsc::channel(10);
        let mut log = Log::new(&Mask::new(&[Secret::new("canary-4711")]), sink);
        log.write(b"half a line, canary").await;
        log.note("could not use \u{1b}[1mcanary-4711").await;
        assert_eq!(lines.recv().await.unwrap().text, "half a line, canary");
        assert_eq!(lines.recv().await.unwrap().text, "could not use ***");
    }

    #[tokio::test]
    async fn those_who_write_beside_each_other_end_their_own_lines() {
        let (sink, mut lines) = mpsc::channel(10);
        let log = Log::new(&Mask::new(&[]), sink);
        let (mut one, mut two) = (log.beside("web-1"), log.beside("web-2"));
        one.write(b"half ").await;
        two.write(b"whole\n").await;
        one.write(b"a line\n").await;
        assert_eq!(lines.recv().await.unwrap().text, "web-2: whole");
        assert_eq!(lines.recv().await.unwrap().text, "web-1: half a line");
        assert_eq!((one.tail(), two.tail()), (vec!["half a line".to_owned()], vec!["whole".to_owned()]));
    }

    #[tokio::test]
    async fn the_tail_has_the_last_lines_that_say_something() {
        let text = (0..30).map(|n| format!("line {n}\n\n")).collect::<Vec<_>>().concat();
        let (lines, tail) = logged(&[], &[text.as_bytes()]).await;
        assert_eq!(lines.len(), 60);
        assert_eq!(tail.len(), TAIL_LINES);
        assert_eq!(tail[9], "line 29");
    }
}
