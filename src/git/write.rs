//! What is written to a repository that this program serves itself: tags, notes, and conversations as commits.

use std::path::Path;

use git2::{ConfigLevel, ErrorCode, ObjectType, Oid, Repository, Signature, Time};

use super::repo::{Mirror, failed, object_id, sha, text};
use crate::domain::name::{CommitSha, ObjectId, RefName};
use crate::domain::tag::TAGGER;
use crate::domain::time::{Span, Timestamp};
use crate::trouble::Outcome;

/// A bare repository whose host is this program.
#[derive(Debug)]
pub struct Origin(Mirror);

/// Who wrote, as git records people.
#[derive(Debug, Clone, Copy)]
pub struct Person<'a> {
    /// A name or login.
    pub name: &'a str,
    /// An address, which nobody checks.
    pub email: &'a str,
}

/// This program as git records writers; no person's address looks so, theirs start with a number.
pub const OURSELVES: Person<'static> = Person { name: TAGGER.0, email: TAGGER.1 };

/// An annotated tag to make.
#[derive(Debug, Clone, Copy)]
pub struct NewTag<'a> {
    /// Its name without `refs/tags/`.
    pub name: &'a RefName,
    /// What it names for ever.
    pub commit: &'a CommitSha,
    /// Its text.
    pub message: &'a str,
    /// Who made it.
    pub tagger: Person<'a>,
    /// When.
    pub at: Timestamp,
    /// Its object as it is to be written, when it is signed: nothing else is read then but its name and commit.
    pub object: Option<&'a str>,
}

/// What became of a tag to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// It is new.
    New(ObjectId),
    /// A tag of this name was there and is untouched.
    Exists {
        /// It names the commit that was asked for.
        same: bool,
    },
}

/// One entry of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The entry's own id, a commit's.
    pub id: CommitSha,
    /// The writer's login.
    pub login: String,
    /// The writer's address.
    pub email: String,
    /// When it was written.
    pub at: Timestamp,
    /// What was written.
    pub message: String,
}

impl Origin {
    /// Opens the bare repository at `path`.
    pub fn open(path: &Path) -> Outcome<Self> {
        Mirror::open(path).map(Self)
    }

    /// The same repository, to ask questions.
    pub fn read(&self) -> &Mirror {
        &self.0
    }

    fn repo(&self) -> &Repository {
        &self.0.repo
    }

    /// Makes an annotated tag; one that is there is never moved (THREATS T35).
    pub fn create_tag(&self, new: NewTag<'_>) -> Outcome<Created> {
        let what = || format!("make the tag {}", new.name);
        let commit = self.0.commit(new.commit)?;
        let alone = self.0.alone()?;
        let id = annotation(self.repo(), &new, &commit).map_err(|e| failed(what(), e))?;
        match self.repo().reference(&format!("refs/tags/{}", new.name), id, false, "tagged") {
            Ok(_) => object_id(id).map(Created::New),
            Err(e) if e.code() == ErrorCode::Exists => {
                let there = self
                    .repo()
                    .find_reference(&format!("refs/tags/{}", new.name))
                    .map_err(|e| failed(what(), e))?;
                let same = there.peel_to_commit().is_ok_and(|c| c.id() == commit.id());
                Ok(Created::Exists { same })
            }
            Err(e) if e.code() == ErrorCode::Locked => {
                // Somebody pushes it right now, or died when they did; the next try finds out.
                self.0.break_old_locks(&alone)?;
                Err(failed(what(), e))
            }
            Err(e) => Err(failed(what(), e)),
        }
    }

    /// Writes the note of a commit under `refs/notes/<notes>`, in place of the one that may be there.
    pub fn write_note(
        &self,
        commit: &CommitSha,
        notes: &RefName,
        text: &str,
        by: (Person<'_>, Timestamp),
    ) -> Outcome<()> {
        self.edit_note(commit, notes, |_| Some(text.to_owned()), by)
    }

    /// Makes a new note of the one that is there, while nobody else writes; `None` leaves it as it is.
    pub fn edit_note(
        &self,
        commit: &CommitSha,
        notes: &RefName,
        edit: impl FnOnce(Option<&str>) -> Option<String>,
        (author, at): (Person<'_>, Timestamp),
    ) -> Outcome<()> {
        let id = self.0.commit(commit)?.id();
        let author = signature(author, at)?;
        let alone = self.0.alone()?;
        let there = self.read_note(commit, notes)?;
        let Some(text) = edit(there.as_deref()) else { return Ok(()) };
        let name = format!("refs/notes/{notes}");
        self.0.break_lock(&name, &alone)?;
        self.repo()
            .note(&author, &author, Some(&name), id, &text, true)
            .map(drop)
            .map_err(|e| failed("write a note", e))
    }

    /// The note of a commit under `refs/notes/<notes>`.
    pub fn read_note(&self, commit: &CommitSha, notes: &RefName) -> Outcome<Option<String>> {
        let commit = self.0.commit(commit)?.id();
        match self.repo().find_note(Some(&format!("refs/notes/{notes}")), commit) {
            Ok(note) => Ok(Some(text(note.message_bytes()))),
            Err(e) if e.code() == ErrorCode::NotFound => Ok(None),
            Err(e) => Err(failed("read a note", e)),
        }
    }

    /// Adds an entry to the conversation `refs/liftlock/<log>`; when a push from outside was first, the answer is a
    /// conflict and nothing is written.
    ///
    /// git counts whole seconds. An entry is at least one second later than the one before it, so that nobody has
    /// to ask which came first.
    pub fn append_commit(&self, log: &RefName, message: &str, by: (Person<'_>, Timestamp)) -> Outcome<Said> {
        self.append_unless(log, message, by, || Ok(None))
    }

    /// Adds an entry unless it is there already: that is asked while nobody else of this program writes, so that two
    /// who say the same say it once.
    pub fn append_unless(
        &self,
        log: &RefName,
        message: &str,
        (person, at): (Person<'_>, Timestamp),
        there: impl FnOnce() -> Outcome<Option<Said>>,
    ) -> Outcome<Said> {
        let fail = |e| failed(format!("write to the conversation {log}"), e);
        let alone = self.0.alone()?;
        if let Some(said) = there()? {
            return Ok(said);
        }
        let tip = self.tip(log)?;
        let parent = tip.map(|id| self.repo().find_commit(id)).transpose().map_err(fail)?;
        let after = parent.as_ref().map_or(at, |parent| said_at(parent).plus(Span::seconds(1)));
        let author = signature(person, at.max(after))?;
        let empty = self.repo().treebuilder(None).and_then(|t| t.write()).map_err(fail)?;
        let tree = self.repo().find_tree(empty).map_err(fail)?;
        let parents: Vec<_> = parent.iter().collect();
        let id = self.repo().commit(None, &author, &author, message, &tree, &parents).map_err(fail)?;
        let name = full(log);
        self.0.break_lock(&name, &alone)?;
        match tip {
            Some(tip) => self.repo().reference_matching(&name, id, true, tip, "said"),
            None => self.repo().reference(&name, id, false, "said"),
        }
        .map_err(fail)?;
        said(&self.repo().find_commit(id).map_err(fail)?)
    }

    /// The last `max` entries of the conversation `refs/liftlock/<log>`, oldest first.
    pub fn walk_ref(&self, log: &RefName, max: usize) -> Outcome<Vec<Said>> {
        let fail = |e| failed(format!("read the conversation {log}"), e);
        let mut entries = Vec::new();
        let mut next = self.tip(log)?;
        while let Some(id) = next.filter(|_| entries.len() < max) {
            let commit = self.repo().find_commit(id).map_err(fail)?;
            entries.push(said(&commit)?);
            next = commit.parent_ids().next();
        }
        entries.reverse();
        Ok(entries)
    }

    /// Makes `git push` refuse every ref in these folders, so that only who may write files here writes there
    /// (`receive.hideRefs` in git's manual).
    pub fn refuse_pushes(&self, folders: &[&str]) -> Outcome<()> {
        const KEY: &str = "receive.hiderefs";
        let fail = |e| failed(format!("set {KEY} of {}", self.0.path.display()), e);
        let mut local = self.repo().config().and_then(|c| c.open_level(ConfigLevel::Local)).map_err(fail)?;
        let mut there = Vec::new();
        local
            .multivar(KEY, None)
            .and_then(|entries| entries.for_each(|entry| there.push(text(entry.value_bytes()))))
            .map_err(fail)?;
        let missing: Vec<&&str> =
            folders.iter().filter(|folder| !there.iter().any(|t| t == *folder)).collect();
        if missing.is_empty() {
            // A start must not wait for another server that holds the repository.
            return Ok(());
        }
        let alone = self.0.alone()?;
        // This runs at the start alone, where a lock that is not old is somebody's who edits the settings.
        self.0.break_old_locks(&alone)?;
        for folder in missing {
            local.set_multivar(KEY, &format!("^{folder}$"), folder).map_err(fail)?;
        }
        Ok(())
    }

    /// The folder that git runs hooks from in place of the repository's own, when it is told to.
    pub fn hooks_elsewhere(&self) -> Outcome<Option<String>> {
        let fail = |e| failed("read core.hooksPath", e);
        let settings = self.repo().config().and_then(|mut c| c.snapshot()).map_err(fail)?;
        match settings.get_str("core.hooksPath") {
            Ok(path) => Ok(Some(path.to_owned())),
            Err(e) if e.code() == ErrorCode::NotFound => Ok(None),
            Err(e) => Err(fail(e)),
        }
    }

    fn tip(&self, log: &RefName) -> Outcome<Option<Oid>> {
        match self.repo().find_reference(&full(log)) {
            Ok(reference) => Ok(reference.target()),
            Err(e) if e.code() == ErrorCode::NotFound => Ok(None),
            Err(e) => Err(failed(format!("read the conversation {log}"), e)),
        }
    }
}

/// Writes the object of a tag, which nothing names yet.
pub(super) fn annotation(
    repo: &Repository,
    new: &NewTag<'_>,
    commit: &git2::Commit<'_>,
) -> Result<Oid, git2::Error> {
    if let Some(object) = new.object {
        return repo.odb()?.write(ObjectType::Tag, object.as_bytes());
    }
    let tagger = signed_by(new.tagger, new.at)?;
    repo.tag_annotation_create(new.name.as_str(), commit.as_object(), &tagger, new.message)
}

fn said(commit: &git2::Commit<'_>) -> Outcome<Said> {
    let author = commit.author();
    Ok(Said {
        id: sha(commit.id())?,
        login: text(author.name_bytes()),
        email: text(author.email_bytes()),
        at: said_at(commit),
        // Raw: the other accessor drops empty lines at the start, which would make a later line the first.
        message: text(commit.message_raw_bytes()),
    })
}

fn said_at(commit: &git2::Commit<'_>) -> Timestamp {
    Timestamp(commit.author().when().seconds().saturating_mul(1000))
}

fn full(log: &RefName) -> String {
    format!("refs/liftlock/{log}")
}

fn signature(person: Person<'_>, at: Timestamp) -> Outcome<Signature<'static>> {
    signed_by(person, at).map_err(|e| failed("name the writer", e))
}

/// A signature whose text cannot end its own line: libgit2 would write a line break into the object as it is.
fn signed_by(person: Person<'_>, at: Timestamp) -> Result<Signature<'static>, git2::Error> {
    let clean = |text: &str| {
        let text = text.replace(|c: char| c.is_control() || matches!(c, '<' | '>'), " ");
        if text.trim().is_empty() { "unknown".to_owned() } else { text }
    };
    Signature::new(&clean(person.name), &clean(person.email), &Time::new(at.0.div_euclid(1000), 0))
}

#[cfg(test)]
mod tests;
