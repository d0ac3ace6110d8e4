//! What happens in a simulation, as a person writes it down: one line each, with a time in front.
//!
//! The notation is described in `docs/simulate.md`; everything that is wrong with a text is told at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::domain::command::parse::Command;
use crate::domain::gate::Blocker;
use crate::domain::name::{
    CheckName, GroupName, Login, PipelineName, RefName, RunbookName, StageName, TargetName, TeamName,
    ThreadId, VariableName, printable,
};
use crate::domain::person::Account;
use crate::domain::pipeline::{Pipeline, Role};
use crate::domain::probe::Reading;
use crate::domain::time::{Span, Timestamp};
use crate::domain::version::Version;
use crate::domain::window::{Clock, Day, Zone};

mod expect;
mod statement;

/// Most lines of a scenario: more is a program, not something a person has read.
const MAX_LINES: usize = 20_000;

/// A scenario that can be played.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Where its times are meant.
    pub zone: Zone,
    /// Versions that are taken before it begins.
    pub released: Vec<Version>,
    /// Plain values of variable groups.
    pub groups: BTreeMap<GroupName, BTreeMap<VariableName, String>>,
    /// How everything is when it begins.
    pub setup: Vec<Line>,
    /// What happens, in order; at least one line.
    pub lines: Vec<Line>,
}

/// One thing that happens.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its number in the file, from 1.
    pub no: usize,
    /// When.
    pub at: Timestamp,
    /// As it was written, without its time.
    pub text: String,
    /// What.
    pub said: Said,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Time passes.
    Nothing,
    /// Who somebody is from now on.
    Person(Login, Traits),
    /// Somebody pushes a commit.
    Push(Push),
    /// Somebody pushes a tag.
    Tag(Tag),
    /// Somebody writes a comment.
    Comment(Comment),
    /// The last build of another pipeline has ended: well, or why not.
    Built(PipelineName, Option<String>),
    /// How the build goes from now on.
    Build(Habit),
    /// How the commands of a stage go from now on.
    Stage(StageName, Habit),
    /// How the commands of a runbook go from now on.
    Runbook(RunbookName, Habit),
    /// What a check answers from now on.
    Check(CheckName, Answers),
    /// The targets that the server's config has for a stage.
    Targets(StageName, Vec<TargetName>),
    /// How a target goes from now on.
    Target(TargetName, TargetGoes),
    /// Something must be so now.
    Expect(Expect),
}

/// Who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traits {
    /// Their role on the repository.
    pub role: Role,
    /// The host's teams they are in.
    pub teams: Vec<TeamName>,
    /// Whether it is a bot.
    pub kind: Account,
}

/// A push of one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The pull request that it merges.
    pub thread: Option<ThreadId>,
    /// The branch; the default branch when nobody says.
    pub branch: Option<RefName>,
    /// The other pipelines that it starts.
    pub building: BTreeSet<PipelineName>,
    /// A file that it changes; some file that starts the pipeline when nobody says.
    pub touches: Option<String>,
    /// Who pushes.
    pub by: Login,
    /// Who wrote it.
    pub author: Login,
    /// The first line of its message.
    pub subject: String,
}

/// A pushed tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The tag.
    pub name: RefName,
    /// The release whose commit it names; the newest commit when nobody says.
    pub on: Option<String>,
    /// Who pushes it.
    pub by: Login,
}

/// A comment with a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// Who.
    pub by: Login,
    /// Where; where the stage was last asked for when nobody says.
    pub on: Option<Spot>,
    /// What it asks for.
    pub command: Command,
}

/// Where a comment is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spot {
    /// In a pull request or issue.
    Thread(ThreadId),
    /// Where a release is spoken about.
    Release(String),
}

/// What changes in how work goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Habit {
    /// It takes so long.
    Takes(Span),
    /// It ends so.
    Ends(How),
}

/// How work ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// Well.
    Passes,
    /// A command says no.
    Fails(String),
    /// It could not be done.
    Errors(String),
    /// It runs longer than it may.
    TimesOut,
}

/// What changes in what a check answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answers {
    /// The answer takes so long.
    Takes(Span),
    /// The answer is this.
    Says(Reading),
}

/// How a target goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetGoes {
    /// Its commands pass, and it is well.
    Well,
    /// Its commands say no.
    Fails(String),
    /// They pass, and health finds it ill.
    Ill(String),
}

/// What must be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// What runs in a stage.
    Has {
        /// The stage.
        stage: StageName,
        /// The release; nothing when nothing may run there.
        release: Option<String>,
        /// Whether it runs there or must not.
        yes: bool,
    },
    /// A release waits in front of a stage.
    Waits {
        /// The stage.
        stage: StageName,
        /// Which release; the newest that waits there when nobody says.
        release: Option<String>,
        /// What it waits for; each of these at least.
        blockers: Vec<Blocker>,
    },
    /// Where a release is in a stage, by the word people read.
    Is {
        /// The stage.
        stage: StageName,
        /// Which release; the newest that came there when nobody says.
        release: Option<String>,
        /// The word.
        word: String,
    },
    /// Where a release is as a whole, by the word people read.
    Release {
        /// Which.
        release: String,
        /// The word.
        word: String,
    },
    /// The last comment did what it says.
    Accepted,
    /// The last comment did nothing.
    Refused(Option<String>),
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// Reads a scenario of a pipeline, or says everything that is wrong with it.
pub fn read(text: &str, pipeline: &Pipeline) -> Result<Scenario, Vec<Problem>> {
    let mut reader = Reader {
        pipeline,
        scenario: Scenario {
            zone: Zone::utc(),
            released: Vec::new(),
            groups: BTreeMap::new(),
            setup: Vec::new(),
            lines: Vec::new(),
        },
        people: Vec::new(),
        targets: Vec::new(),
        last: None,
    };
    let mut problems = Vec::new();
    for (no, line) in (1..).zip(text.lines()) {
        if no > MAX_LINES {
            problems.push(Problem { line: no, message: format!("a scenario has at most {MAX_LINES} lines") });
            break;
        }
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Err(message) = reader.line(no, line) {
            problems.push(Problem { line: no, message });
        }
    }
    if reader.last.is_none() && problems.is_empty() {
        let message =
            "nothing happens: no line has a time, such as `2026-12-21 09:00 push by bo: feat: login`";
        problems.push(Problem { line: 1, message: message.to_owned() });
    }
    if problems.is_empty() { Ok(reader.scenario) } else { Err(problems) }
}

impl Scenario {
    /// A moment as `--until` names it: `2026-12-24 12:00`, or a day, which means its end.
    pub fn moment(&self, text: &str) -> Result<Timestamp, String> {
        let (day, clock) = text.split_once([' ', 'T']).unwrap_or((text, "24:00"));
        let day: Day = day.parse().map_err(|_| not_a_moment(text))?;
        let clock: Clock = clock.parse().map_err(|_| not_a_moment(text))?;
        self.zone.at(day, clock).ok_or_else(|| not_a_moment(text))
    }
}

fn not_a_moment(text: &str) -> String {
    format!("`{}` is neither a day, `2026-12-24`, nor a time, `2026-12-24 12:00`", printable(text))
}

/// What is known while a text is read.
struct Reader<'p> {
    pipeline: &'p Pipeline,
    scenario: Scenario,
    people: Vec<Login>,
    targets: Vec<TargetName>,
    last: Option<Timestamp>,
}

impl Reader<'_> {
    fn line(&mut self, no: usize, line: &str) -> Result<(), String> {
        let (at, text) = self.time(line)?;
        if let Some(at) = at {
            if self.last.is_some_and(|last| at < last) {
                return Err("this is before the line above it; lines are in the order of time".to_owned());
            }
            self.last = Some(at);
        }
        let Some(said) = self.statement(text)? else { return Ok(()) };
        let happens = matches!(said, Said::Push(_) | Said::Tag(_) | Said::Comment(_) | Said::Expect(_));
        let line = |at| Line { no, at, text: text.to_owned(), said };
        match self.last {
            Some(at) => self.scenario.lines.push(line(at)),
            None if happens => {
                return Err("nobody said when; the first thing that happens has a day and a time in front, \
                            such as `2026-12-21 09:00`"
                    .to_owned());
            }
            // Before the first time it does not matter when.
            None => self.scenario.setup.push(line(Timestamp(0))),
        }
        Ok(())
    }

    /// The time in front of a line, and the rest of it.
    fn time<'t>(&self, line: &'t str) -> Result<(Option<Timestamp>, &'t str), String> {
        let (first, rest) = word(line);
        if let Some(span) = first.strip_prefix('+') {
            let span: Span = span.parse().map_err(|e| format!("`{}`: {e}", printable(first)))?;
            let last = self.last.ok_or("`+` counts from the line above, and no line above has a time")?;
            return Ok((Some(last.plus(span)), rest));
        }
        if !first.starts_with(|c: char| c.is_ascii_digit()) {
            return Ok((None, line));
        }
        if let Ok(clock) = first.parse::<Clock>() {
            let last = self.last.ok_or("no line above says which day it is; write `2026-12-21 09:00`")?;
            return Ok((self.scenario.zone.at(self.scenario.zone.day_of(last), clock), rest));
        }
        let day: Day = first.parse().map_err(|_| {
            let shown = printable(first);
            format!("`{shown}` is no time; write `2026-12-21 09:00`, `09:00` on the same day, or `+2h`")
        })?;
        let (second, after) = word(rest);
        match second.parse::<Clock>() {
            Ok(clock) => Ok((self.scenario.zone.at(day, clock), after)),
            Err(_) if second.starts_with(|c: char| c.is_ascii_digit()) => {
                Err(format!("`{}` is not a time of day from `00:00` to `24:00`", printable(second)))
            }
            Err(_) => Ok((self.scenario.zone.start_of(day), rest)),
        }
    }
}

/// The first word, and what follows it.
fn word(text: &str) -> (&str, &str) {
    text.split_once(char::is_whitespace).map_or((text, ""), |(first, rest)| (first, rest.trim_start()))
}
