//! Statuses and reactions as git notes, so that `git log --notes=liftlock` shows where a commit is live.

use std::path::Path;

use crate::domain::effect::{Reaction, Status, StatusState};
use crate::domain::name::{CommentId, CommitSha, RefName};
use crate::domain::probe::CommitStatus;
use crate::domain::time::Timestamp;
use crate::forge::plain::talk;
use crate::git::write::OURSELVES;
use crate::git::write::Origin;
use crate::trouble::{Outcome, Trouble};

/// Statuses are in `refs/notes/liftlock`: one note for a commit, one line for a context.
const STATUSES: &str = "liftlock";

/// Reactions are in `refs/notes/liftlock-reactions`: one note for a comment, which is a commit.
const REACTIONS: &str = "liftlock-reactions";

/// What stands between the parts of a line; no part holds it.
const GAP: &str = "  ";

/// Shows a status, in place of the one its context had.
pub(super) fn show(origin: &Origin, commit: &CommitSha, status: &Status, at: Timestamp) -> Outcome<()> {
    origin.edit_note(commit, &notes(STATUSES)?, |there| updated(there, status), (OURSELVES, at))
}

/// The statuses of a commit in the bare repository or clone at `path`, one line each; empty when there are none.
///
/// A clone has them after `git fetch origin refs/notes/liftlock:refs/notes/liftlock`.
pub fn read_statuses(path: &Path, commit: &CommitSha) -> Outcome<String> {
    Origin::open(path)?.read_note(commit, &notes(STATUSES)?).map(Option::unwrap_or_default)
}

/// The statuses of a commit; a note has one for each context, and does not say whose it is.
pub(super) fn statuses(origin: &Origin, commit: &CommitSha) -> Outcome<Vec<CommitStatus>> {
    let note = origin.read_note(commit, &notes(STATUSES)?)?.unwrap_or_default();
    Ok(note.lines().filter_map(status_of).collect())
}

/// The status on a line of a note; nothing when somebody else wrote the line.
fn status_of(line: &str) -> Option<CommitStatus> {
    let mut parts = line.split(GAP);
    let (context, word) = (parts.next()?.to_owned(), parts.next()?);
    let all = [StatusState::Pending, StatusState::Success, StatusState::Failure, StatusState::Error];
    let state = all.into_iter().find(|state| state.word() == word)?;
    Some(CommitStatus { context, state, by: None })
}

/// Reacts to a comment of a conversation, in place of the reaction it had.
pub(super) fn react(
    origin: &Origin,
    thread: &CommitSha,
    (comment, reaction): (&CommentId, Reaction),
    at: Timestamp,
) -> Outcome<()> {
    // Read first: what is no comment of this conversation gets no reaction.
    let comment = talk::read(origin, thread, comment)?.id;
    let commit: CommitSha =
        comment.as_str().parse().map_err(|e| Trouble::bug("name a comment's commit").because(e))?;
    let text = format!("{}\n", word(reaction));
    let edit = |there: Option<&str>| Some(text).filter(|text| there != Some(text.as_str()));
    origin.edit_note(&commit, &notes(REACTIONS)?, edit, (OURSELVES, at))
}

fn word(reaction: Reaction) -> &'static str {
    match reaction {
        Reaction::Eyes => "👀 accepted",
        Reaction::Rocket => "🚀 done",
        Reaction::ThumbsUp => "👍 counted",
        Reaction::ThumbsDown => "👎 refused",
        Reaction::Confused => "😕 not understood",
    }
}

/// The note with this status in it; `None` when it is there already.
fn updated(there: Option<&str>, status: &Status) -> Option<String> {
    let there = there.unwrap_or_default();
    let context = tidy(&status.context);
    let parts = [&context, status.state.word(), &tidy(&status.description), &tidy(&status.path)];
    let line = parts.join(GAP);
    let others = there.lines().filter(|line| line.split(GAP).next() != Some(context.as_str()));
    let mut lines: Vec<&str> = others.chain([line.as_str()]).collect();
    lines.sort_unstable();
    let note = format!("{}\n", lines.join("\n"));
    Some(note).filter(|note| note != there)
}

/// One part of a line: no line break, no gap, nothing a terminal obeys.
fn tidy(text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    if words.is_empty() { "-".to_owned() } else { words.join(" ") }
}

fn notes(name: &str) -> Outcome<RefName> {
    name.parse().map_err(|e| Trouble::bug("name the notes").because(e))
}
