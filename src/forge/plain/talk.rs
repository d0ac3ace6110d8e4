//! Conversations: one ref for each commit spoken about, one commit for each comment, nothing ever taken back.
//!
//! A comment is a commit of such a ref and of no other: anyone can push a commit that names another author to a
//! branch, but `git push` refuses these refs (THREATS T8).

use crate::domain::effect::Place;
use crate::domain::name::{CommentId, CommitSha, Login, RefName, UserId};
use crate::domain::person::Person;
use crate::domain::time::Timestamp;
use crate::forge::{Comment, Said};
use crate::git::write::{self, Origin};
use crate::trouble::{Outcome, Trouble};

/// Refs that nobody may push: conversations and what we say in notes.
pub(super) const OUR_REFS: [&str; 3] =
    ["refs/liftlock", "refs/notes/liftlock", "refs/notes/liftlock-reactions"];

/// What the address of a person starts before: their id stands in front.
const AT_HOME: &str = "@liftlock";

/// Longest comment in bytes, as on GitHub (COMMANDS §1).
const MAX_BODY_BYTES: usize = 65_536;

/// Longest marker; ours are shorter.
const MAX_MARKER_BYTES: usize = 200;

/// As many entries of one conversation are looked through; a release has some dozens.
const MAX_ENTRIES: usize = 5_000;

/// The last line of what we say, by which we find it again.
const MARKER: &str = "Liftlock-Marker: ";

/// The commit that a place is about; there are no other places here.
pub(super) fn commit_of(place: &Place) -> Outcome<CommitSha> {
    match place {
        Place::Commit(commit) => Ok(commit.clone()),
        Place::Thread(thread) => Err(Trouble::refused(format!(
            "a plain git host has no thread `{thread}`: it has no issues and no pull requests, only commits are \
             spoken about; type `liftlock comment <commit> <text>`"
        ))),
    }
}

/// Writes a person's comment about a commit.
pub(super) fn write(
    origin: &Origin,
    thread: &CommitSha,
    (person, at): (&Person, Timestamp),
    body: &str,
) -> Outcome<Comment> {
    check_body(body)?;
    let email = format!("{}{AT_HOME}", person.id);
    let author = write::Person { name: person.login.as_str(), email: &email };
    append(origin, thread, body, (author, at)).and_then(|entry| comment(&entry))
}

/// Says something in our own name; what was said last with this marker is left when it is the same.
pub(super) fn say(
    origin: &Origin,
    thread: &CommitSha,
    (marker, body): (&str, &str),
    at: Timestamp,
) -> Outcome<Said> {
    check_body(body)?;
    if marker.is_empty() || marker.len() > MAX_MARKER_BYTES || marker.contains(char::is_control) {
        return Err(Trouble::bug("a marker is one short line"));
    }
    let message = format!("{body}\n\n{MARKER}{marker}\n");
    let said = || {
        let there = entries(origin, thread)?;
        let newest = there.into_iter().rev().find(|e| ours(e) && split(&e.message).1 == Some(marker));
        Ok(newest.filter(|entry| entry.message == message))
    };
    must_be_there(origin, thread)?;
    let entry = origin.append_unless(&log(thread)?, &message, (write::OURSELVES, at), said)?;
    Ok(Said { id: id_of(&entry.id)?, at: entry.at })
}

/// A comment of this conversation, read back.
pub(super) fn read(origin: &Origin, thread: &CommitSha, id: &CommentId) -> Outcome<Comment> {
    let entry = entries(origin, thread)?.into_iter().find(|entry| entry.id.as_str() == id.as_str());
    let entry = entry.ok_or_else(|| {
        Trouble::not_found(format!("the conversation about {} has no comment {id}", thread.short()))
    })?;
    comment(&entry)
}

fn append(
    origin: &Origin,
    thread: &CommitSha,
    message: &str,
    by: (write::Person<'_>, Timestamp),
) -> Outcome<write::Said> {
    must_be_there(origin, thread)?;
    origin.append_commit(&log(thread)?, message, by)
}

fn must_be_there(origin: &Origin, thread: &CommitSha) -> Outcome<()> {
    if origin.read().exists(thread) {
        return Ok(());
    }
    Err(Trouble::not_found(format!("there is no commit {thread} to speak about; push it first")))
}

fn entries(origin: &Origin, thread: &CommitSha) -> Outcome<Vec<write::Said>> {
    origin.walk_ref(&log(thread)?, MAX_ENTRIES)
}

fn comment(entry: &write::Said) -> Outcome<Comment> {
    let is_ours = ours(entry);
    let body = if is_ours { split(&entry.message).0 } else { &entry.message };
    Ok(Comment {
        id: id_of(&entry.id)?,
        author: author(entry),
        body: body.to_owned(),
        created_at: entry.at,
        updated_at: entry.at,
        via_app: is_ours,
    })
}

/// Whose address it is; a writer without an id is nobody (THREATS T33).
fn author(entry: &write::Said) -> Option<Person> {
    let id = entry.email.strip_suffix(AT_HOME)?.parse().ok()?;
    let login: Login = entry.login.parse().ok()?;
    Some(Person { id: UserId(id), login })
}

fn ours(entry: &write::Said) -> bool {
    entry.login == write::OURSELVES.name && entry.email == write::OURSELVES.email
}

/// What we said, and under which marker.
fn split(message: &str) -> (&str, Option<&str>) {
    let whole = message.trim_end_matches('\n');
    match whole.rsplit_once("\n\n").and_then(|(body, last)| Some((body, last.strip_prefix(MARKER)?))) {
        Some((body, marker)) => (body, Some(marker)),
        None => (message, None),
    }
}

fn check_body(body: &str) -> Outcome<()> {
    if body.trim().is_empty() {
        return Err(Trouble::refused("the comment is empty"));
    }
    if body.len() > MAX_BODY_BYTES {
        return Err(Trouble::refused(format!(
            "the comment has {} bytes; at most {MAX_BODY_BYTES} are kept, shorten it",
            body.len()
        )));
    }
    if body.contains('\0') {
        return Err(Trouble::refused("the comment holds a zero byte, which git cannot keep; remove it"));
    }
    Ok(())
}

fn log(thread: &CommitSha) -> Outcome<RefName> {
    format!("comments/{thread}").parse().map_err(|e| Trouble::bug("name a conversation").because(e))
}

fn id_of(entry: &CommitSha) -> Outcome<CommentId> {
    entry.as_str().parse().map_err(|e| Trouble::bug("name a comment").because(e))
}
