//! Notes of a release: what has changed since the one that was before it where they are written, by kind and by whom.
//!
//! They are made of commits (Conventional Commits 1.0.0) and the titles of merged pull requests, may be rewritten by
//! people until the release is published, and stay as they are from then on (EVIDENCE; CHECKLIST D35).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Bound;

use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::domain::document::Document;
use crate::domain::event::Change;
use crate::domain::markdown::{escape, truncate_balanced};
use crate::domain::name::{CommitSha, Login, StageName};
use crate::domain::person::Person;
use crate::domain::pipeline::step::Action;
use crate::domain::pipeline::{Stage, Step};
use crate::domain::publication::Publish;
use crate::domain::release::Release;
use crate::domain::state::State;
use crate::domain::version::Version;

/// Largest text of notes: GitHub's releases take 125 000 characters.
pub const MAX_BYTES: usize = 64 * 1024;
/// More than what says that something was cut off.
const CUT_BYTES: usize = 256;
/// So much of a title is kept (THREATS T48); git's own advice is 50 characters.
const MAX_TITLE: usize = 500;
/// Steps that a template may take: a line of notes takes some dozens.
const FUEL: u64 = 200_000;
/// What a merge of GitHub's begins with; the pull request's title is the next paragraph.
const MERGE: &str = "Merge pull request #";
/// What git writes into the commit that reverts another one.
const REVERTS: &str = "This reverts commit ";

/// How far reverts of reverts are followed; nobody goes back and forth so often.
const MAX_REVERTS: usize = 100;

/// How a pipeline's notes are made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// What is listed.
    pub from: From,
    /// The text of a template, in place of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

/// What notes list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// Every commit.
    #[default]
    Commits,
    /// Commits that came by a pull request.
    PullRequests,
}

/// The notes of a release as people wrote them, or as they were when it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Markdown.
    pub text: String,
    /// Who wrote them last; nobody when they are as they were made.
    pub by: Option<Person>,
    /// They are published and stay as they are.
    pub frozen: bool,
}

/// What a commit's message says beside its first line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// The line that notes show: the first one, or the title of the pull request that it merges with its number.
    pub title: String,
    /// It breaks what uses it.
    pub breaking: bool,
    /// The commit that it takes back.
    pub reverts: Option<CommitSha>,
}

impl Message {
    /// Reads a whole message.
    pub fn of(text: &str) -> Self {
        let mut lines = text.trim().lines().map(str::trim);
        let first = lines.next().unwrap_or_default();
        let number = first.strip_prefix(MERGE).and_then(|rest| rest.split(' ').next());
        let title = number.and_then(|number| {
            let title = lines.clone().find(|line| !line.is_empty())?;
            Some(format!("{title} (#{number})"))
        });
        let breaking = git_conventional::Commit::parse(text.trim()).is_ok_and(|commit| commit.breaking());
        let reverts = lines.find_map(|line| line.strip_prefix(REVERTS));
        let reverts = reverts.and_then(|sha| sha.trim_end_matches('.').parse().ok());
        let title = title.unwrap_or_else(|| first.to_owned());
        Self { title: title.chars().take(MAX_TITLE).collect(), breaking, reverts }
    }
}

/// A part of notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Breaking,
    Features,
    Fixes,
    Performance,
    Other,
}

impl Kind {
    fn title(self) -> &'static str {
        match self {
            Self::Breaking => "Breaking changes",
            Self::Features => "Features",
            Self::Fixes => "Fixes",
            Self::Performance => "Performance",
            Self::Other => "Other",
        }
    }
}

/// One line of notes, safe to stand in Markdown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Line {
    /// Without its type, which the part's title says, and without its number.
    subject: String,
    /// The number of the pull request that brought it.
    pull: Option<u64>,
    scope: Option<String>,
    /// Shortened.
    commit: String,
    author: Option<Login>,
    /// The commit that took it back later, shortened.
    reverted_by: Option<String>,
}

/// What a release brings to the stage that its notes are for.
#[derive(Debug)]
pub struct Notes<'a> {
    release: &'a Release,
    since: Option<&'a Release>,
    parts: BTreeMap<Kind, Vec<Line>>,
    /// How many commits are in none of them, because their releases do not list them.
    more: usize,
    /// Whether that is only as many as were counted.
    uncounted: bool,
    contributors: BTreeSet<Login>,
}

impl<'a> Notes<'a> {
    /// What has changed since the release that was before this one in the stage that writes the notes; where none
    /// does, in the last stage that this release passes.
    pub fn of(state: &'a State, release: &'a Release) -> Self {
        let since = writer(release).and_then(|stage| before(state, release, &stage.name));
        let rule = release.created.pipeline.release.notes.clone().unwrap_or_default();
        let taken_back = taken_back(state);
        let between = between(state, since, release);
        let mut notes = Self {
            release,
            since,
            parts: BTreeMap::new(),
            more: between.iter().map(|other| other.created.unlisted.count()).sum(),
            uncounted: between.iter().any(|other| other.created.unlisted.authors_left_out),
            contributors: BTreeSet::new(),
        };
        let mut seen = BTreeSet::new();
        for change in between.iter().flat_map(|other| &other.created.changes) {
            let (kind, line) = line(change, taken_back.get(&change.commit));
            let listed = rule.from == From::Commits || line.pull.is_some();
            if listed && seen.insert(&change.commit) {
                notes.contributors.extend(change.author.clone());
                notes.parts.entry(kind).or_default().push(line);
            }
        }
        if rule.from == From::Commits {
            notes.contributors.extend(between.iter().flat_map(|o| &o.created.unlisted.authors).cloned());
        }
        notes
    }

    /// Markdown, by the pipeline's template or ours; the error is what is wrong with the template.
    pub fn render(&self) -> Result<String, String> {
        let rule = self.release.created.pipeline.release.notes.as_ref();
        let text = match rule.and_then(|rule| rule.template.as_deref()) {
            Some(template) => self.by(template)?,
            None => cut(&self.ours()),
        };
        if text.len() > MAX_BYTES {
            return Err(format!("the notes have {} bytes, more than {MAX_BYTES}", text.len()));
        }
        Ok(text)
    }

    fn ours(&self) -> String {
        let mut out = String::new();
        let version = &self.release.created.version;
        let since = self.since.map_or_else(
            || "The first release.".to_owned(),
            |since| format!("Changes since {}.", since.created.version),
        );
        writeln!(out, "## {version}\n\n{since}").unwrap_or_default();
        for (kind, lines) in &self.parts {
            writeln!(out, "\n### {}\n", kind.title()).unwrap_or_default();
            for line in lines {
                let scope = line.scope.as_ref().map_or_else(String::new, |scope| format!("**{scope}:** "));
                let by = line.author.as_ref().map_or_else(String::new, |author| format!(", {author}"));
                let pull = line.pull.map_or_else(String::new, |number| format!(" (#{number})"));
                let gone = line.reverted_by.as_ref();
                let gone = gone.map_or_else(String::new, |by| format!("; ⚠ taken back later by {by}"));
                writeln!(out, "- {scope}{}{pull}, {}{by}{gone}", line.subject, line.commit)
                    .unwrap_or_default();
            }
        }
        if self.more > 0 {
            let least = if self.uncounted { "at least " } else { "" };
            writeln!(out, "\nAnd {least}{} more commits, older than these.", self.more).unwrap_or_default();
        }
        if !self.contributors.is_empty() {
            let names: Vec<&str> = self.contributors.iter().map(Login::as_str).collect();
            writeln!(out, "\nBy {}.", names.join(", ")).unwrap_or_default();
        }
        out
    }

    fn by(&self, template: &str) -> Result<String, String> {
        let created = &self.release.created;
        let parts = self.parts.iter();
        let parts: Vec<_> =
            parts.map(|(kind, lines)| json!({"title": kind.title(), "changes": lines})).collect();
        let values = Value::from(Serde(json!({
            "version": created.version.to_string(),
            "name": created.names.name,
            "commit": created.commit,
            "since": self.since.map(|since| since.created.version.to_string()),
            "parts": parts,
            "more": self.more,
            "contributors": self.contributors,
        })));
        environment().render_str(template, values).map_err(|error| said(&error))
    }
}

/// Many commits make long notes; whoever wants to read all of them has the commits.
fn cut(text: &str) -> String {
    if text.len() <= MAX_BYTES {
        return text.to_owned();
    }
    let room = MAX_BYTES.saturating_sub(CUT_BYTES);
    truncate_balanced(text, text.char_indices().take_while(|(at, _)| *at < room).count())
}

/// Whether a template can be read at all.
pub fn check_template(text: &str) -> Result<(), String> {
    environment().template_from_str(text).map(drop).map_err(|error| said(&error))
}

/// Bounded, and strict: a name that is not there is an error, not an empty text.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment
}

fn said(error: &minijinja::Error) -> String {
    let line = error.line().map_or_else(String::new, |line| format!("line {line}: "));
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    format!("{line}{detail}")
}

/// The stage that the notes of a release are for: the first that writes them down or publishes them, since they stay as
/// they are from then on; else the last one that it passes.
fn writer(release: &Release) -> Option<&Stage> {
    let stages = &release.created.pipeline.stages;
    let writes = |step: &Step| {
        matches!(
            &step.action,
            Action::Write(Document::Notes) | Action::Publish(Publish::HostRelease { notes: true, .. })
        )
    };
    stages.iter().find(|stage| stage.all_steps().any(writes)).or(stages.last())
}

/// The release that a stage had before this one.
fn before<'a>(state: &'a State, release: &Release, stage: &StageName) -> Option<&'a Release> {
    let earlier = state.done(stage).filter(|other| release.is_ahead_of(other));
    earlier.max_by_key(|other| other.order()).map(AsRef::as_ref)
}

/// Every release after that one and up to this one, newest first.
fn between<'a>(state: &'a State, since: Option<&Release>, release: &Release) -> Vec<&'a Release> {
    let between = state.in_order().into_iter().filter(|other| {
        other.order() <= release.order() && since.is_none_or(|since| since.order() < other.order())
    });
    let mut between: Vec<&Release> = between.map(AsRef::as_ref).collect();
    between.reverse();
    between
}

/// Commits by what took them back, and was not taken back itself.
fn taken_back(state: &State) -> BTreeMap<CommitSha, CommitSha> {
    let all = state.releases.values().flat_map(|release| &release.created.changes);
    let reverts = Reverts::of(all.map(|change| (change, ())));
    let all = reverts.0.keys();
    all.filter_map(|commit| Some(((*commit).clone(), reverts.standing(commit)?.0.clone()))).collect()
}

/// Commits by those that take them back, in the order in which they were found, each with something about it.
struct Reverts<'a, T>(BTreeMap<&'a CommitSha, Vec<(&'a CommitSha, T)>>);

impl<'a, T: Copy> Reverts<'a, T> {
    fn of(changes: impl Iterator<Item = (&'a Change, T)>) -> Self {
        let mut all = BTreeMap::<_, Vec<_>>::new();
        for (change, about) in changes {
            if let Some(reverted) = &change.reverts {
                all.entry(reverted).or_default().push((&change.commit, about));
            }
        }
        Self(all)
    }

    /// What takes a commit back for good: a revert that is reverted itself leaves the commit where it was.
    fn standing(&self, commit: &CommitSha) -> Option<(&'a CommitSha, T)> {
        self.at_depth(commit, 0)
    }

    fn at_depth(&self, commit: &CommitSha, depth: usize) -> Option<(&'a CommitSha, T)> {
        let by = self.0.get(commit).filter(|_| depth < MAX_REVERTS)?;
        by.iter().find(|(by, _)| self.at_depth(by, depth.saturating_add(1)).is_none()).copied()
    }
}

/// A commit that a release brings, and a newer release takes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenBack<'a> {
    /// The commit.
    pub commit: &'a CommitSha,
    /// Its first line.
    pub subject: &'a str,
    /// The commit that reverts it.
    pub by: &'a CommitSha,
    /// The newer release.
    pub version: &'a Version,
}

/// What a release brings to its last stage and a newer one takes back: half of a pair that belongs together (T60).
pub fn taken_back_since<'a>(state: &'a State, release: &Release) -> Vec<TakenBack<'a>> {
    // Gates ask this of every open release, and there is hardly ever an answer: only newer ones are looked at for it.
    let newer =
        state.releases.range((Bound::Excluded(release.no()), Bound::Unbounded)).map(|(_, other)| other);
    let newer = newer.filter(|other| other.is_newer_than(release));
    let changes =
        newer.flat_map(|other| other.created.changes.iter().map(|change| (change, &other.created.version)));
    let reverts = Reverts::of(changes);
    if reverts.0.is_empty() {
        return Vec::new();
    }
    let last = release.created.pipeline.stage_names().last();
    let since = last.and_then(|stage| before(state, release, stage));
    let between = between(state, since, release);
    let found = between.into_iter().flat_map(|other| &other.created.changes).filter_map(|change| {
        let (by, version) = reverts.standing(&change.commit)?;
        Some(TakenBack { commit: &change.commit, subject: &change.subject, by, version })
    });
    found.collect()
}

/// `… (#12)` → what stands before it, and the number.
fn numbered(subject: &str) -> (&str, Option<u64>) {
    let parts = subject.rsplit_once(" (#");
    let found = parts.and_then(|(title, tail)| Some((title, tail.strip_suffix(')')?.parse().ok()?)));
    found.map_or((subject, None), |(title, number)| (title, Some(number)))
}

fn line(change: &Change, reverted_by: Option<&CommitSha>) -> (Kind, Line) {
    let (title, pull) = numbered(&change.subject);
    let parsed = git_conventional::Commit::parse(title).ok();
    let kind = match &parsed {
        _ if change.breaking || parsed.as_ref().is_some_and(git_conventional::Commit::breaking) => {
            Kind::Breaking
        }
        Some(commit) if commit.type_() == git_conventional::Type::FEAT => Kind::Features,
        Some(commit) if commit.type_() == git_conventional::Type::FIX => Kind::Fixes,
        Some(commit) if commit.type_() == git_conventional::Type::PERF => Kind::Performance,
        Some(_) | None => Kind::Other,
    };
    // The type of what is under "Other" is all that says what it is.
    let short = parsed.filter(|_| kind != Kind::Other);
    let subject = short.as_ref().map_or(title, git_conventional::Commit::description);
    let scope = short.as_ref().and_then(|commit| Some(escape(commit.scope()?.as_str())));
    let line = Line {
        subject: escape(subject),
        pull,
        scope,
        commit: change.commit.short().to_owned(),
        author: change.author.clone(),
        reverted_by: reverted_by.map(|commit| commit.short().to_owned()),
    };
    (kind, line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d35_a_message_gives_its_title_and_what_it_breaks_or_takes_back() {
        let merge = Message::of("Merge pull request #12 from ana/shoes\n\nfeat: sell shoes\n");
        assert_eq!(merge.title, "feat: sell shoes (#12)");
        let breaks = Message::of("fix: rename the key\n\nBREAKING CHANGE: old configs are not read\n");
        assert!(breaks.breaking && breaks.title == "fix: rename the key");
        let sha = "c0ffee00".repeat(5);
        let back = Message::of(&format!("Revert \"feat: hats\"\n\nThis reverts commit {sha}.\n"));
        assert_eq!(back.reverts.unwrap().as_str(), sha);
        assert_eq!(Message::of(""), Message::default());
    }

    #[test]
    fn d35_a_pull_requests_number_stands_behind_its_title() {
        assert_eq!(numbered("feat: sell shoes (#12)"), ("feat: sell shoes", Some(12)));
        for plain in ["feat: sell shoes", "fix (#x)", "(#12)", "talk about (#1) things"] {
            assert_eq!(numbered(plain), (plain, None));
        }
    }

    #[test]
    fn t48_a_long_title_and_long_notes_are_cut() {
        assert_eq!(Message::of(&"ä".repeat(200_000)).title.chars().count(), MAX_TITLE);
        assert_eq!(cut("short"), "short");
        let long = cut(&"- \u{1f6a2} and more\n".repeat(10_000));
        assert!(long.len() <= MAX_BYTES && long.contains("cut here"), "{}", long.len());
    }

    #[test]
    fn d35_a_template_is_bounded_and_strict() {
        assert!(check_template("{% for part in parts %}{{ part.title }}{% endfor %}").is_ok());
        assert!(check_template("{% for part in parts %}").unwrap_err().starts_with("line 1: "));
        let render = |text: &str| {
            environment().render_str(text, Value::from(Serde(json!({"version": "v1"})))).map_err(|e| said(&e))
        };
        assert_eq!(render("{{ version }}").unwrap(), "v1");
        assert!(render("{{ verson }}").is_err(), "a name that is not there is no empty text");
        let long = "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}";
        assert!(render(long).unwrap_err().contains("fuel"), "{:?}", render(long));
    }
}
