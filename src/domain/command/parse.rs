//! From the text of a comment to commands, a refusal or nothing (COMMANDS §1).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::domain::command::{Ask, Part, Reason, ReleaseRef, StageRef, Verb, hint};
use crate::domain::event::Overridable;
use crate::domain::input::{is_input, is_value};
use crate::domain::markdown;
use crate::domain::name::{NameError, PipelineName, TeamWord, VariableName, printable};
use crate::domain::overridable::{self, Never};
use crate::domain::window::Day;

/// Most commands in one comment; more is a flood.
pub const MOST_COMMANDS: usize = 5;

/// Longest comment that is read, in characters: the longest that GitHub stores.
pub const LONGEST_BODY: usize = 65_536;

/// Fewest characters of a reason for an override (SEMANTICS §7).
const OVERRIDE_REASON_CHARS: usize = 10;

/// Most code points that an error names.
const SHOWN_POINTS: usize = 5;

/// How a command is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling<'a> {
    /// `/approve prod`
    Bare,
    /// With a word of the server's before the verb, `/liftlock approve prod`; any other line is another program's.
    Prefixed(&'a str),
    /// With the word or without.
    Either(&'a str),
}

/// What a comment asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// One to [`MOST_COMMANDS`] commands, all of them or none to be done.
    Commands(Vec<Command>),
    /// A command was meant but is not well written; nothing in the comment is done.
    Refused(ParseError),
    /// No command.
    Nothing {
        /// What to tell the person, if anything.
        hint: Option<Hint>,
    },
}

/// One command of a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What is asked.
    pub ask: Ask,
    /// The line as it was written, for the audit; print it through [`crate::domain::markdown`].
    pub line: String,
}

/// What to tell a person whose comment holds no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// A line below the top looks like a command.
    NotAtTop,
}

impl Hint {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotAtTop => "not_at_top",
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAtTop => f.write_str(
                "Commands are read only at the very top of a comment, from its first character. Nothing was done.",
            ),
        }
    }
}

/// Why nothing in a comment is done, and the line to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The verb of the line at fault.
    pub verb: Verb,
    /// What is wrong.
    pub problem: Problem,
    /// The line to write instead; `<stage>` stands in it when the stage is not known.
    pub paste: String,
}

/// What can be wrong with a line that starts with a known verb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Characters that are not printable ASCII stand before ` -- `; their code points.
    BadCharacter(Vec<String>),
    /// The verb needs a team.
    NoTeam,
    /// The first word is not a team.
    BadTeam(NameError),
    /// The verb needs a stage.
    NoStage,
    /// The first word is not a stage.
    BadStage(NameError),
    /// The second word is not a release.
    BadRelease(NameError),
    /// What stands behind `until=` is not a date, or something else stands there.
    BadUntil(String),
    /// A word is neither a release nor a part that can be retried; the word.
    BadPart(String),
    /// A word that is no input, or one that is given twice; the word.
    BadInput(String),
    /// `/override` without the check's name.
    NoCheck,
    /// The check cannot be overridden; the word, and why when it is known.
    NotOverridable(String, Option<&'static str>),
    /// One word too many; the word.
    ExtraWord(String),
    /// The verb needs a reason.
    NoReason,
    /// The reason has fewer characters than an override needs.
    ShortReason,
    /// The reason has more than [`Reason::LONGEST`] characters.
    LongReason,
    /// More than [`MOST_COMMANDS`] commands.
    TooManyCommands,
    /// Two commands that cannot both be meant, without their reasons.
    Conflict(String, String),
}

impl Problem {
    /// The stable code, for audit, logs and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadCharacter(_) => "bad_character",
            Self::NoTeam => "missing_team",
            Self::BadTeam(_) => "bad_team",
            Self::NoStage => "missing_stage",
            Self::BadStage(_) => "bad_stage",
            Self::BadRelease(_) => "bad_release_or_extra_words",
            Self::BadUntil(_) => "bad_until",
            Self::BadPart(_) => "bad_part",
            Self::BadInput(_) => "bad_input",
            Self::NoCheck => "missing_check",
            Self::NotOverridable(..) => "not_overridable",
            Self::ExtraWord(_) => "too_many_arguments",
            Self::NoReason => "missing_reason",
            Self::ShortReason => "reason_too_short",
            Self::LongReason => "reason_too_long",
            Self::TooManyCommands => "too_many_commands",
            Self::Conflict(..) => "conflicting_commands",
        }
    }
}

impl ParseError {
    /// The stable code, for audit, logs and metrics.
    pub const fn code(&self) -> &'static str {
        self.problem.code()
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = self.verb;
        match &self.problem {
            Problem::BadCharacter(points) => {
                write!(f, "The line has characters that no command has: {}", points.join(", "))?;
            }
            Problem::NoTeam => write!(f, "Which team? `{verb}` needs its name")?,
            Problem::BadTeam(error) => error.fmt(f)?,
            Problem::NoStage if verb == Verb::Run => f.write_str("Which runbook? `run` needs its name")?,
            Problem::NoStage if verb == Verb::Start => {
                f.write_str("Which pipeline? `start` needs its name")?;
            }
            Problem::NoStage => write!(f, "Which stage? `{verb}` needs its name")?,
            Problem::BadInput(word) => write!(
                f,
                "`{word}` is no input: write each once as `key=value`, the value a word of letters, digits and `._:/@+,=-`"
            )?,
            Problem::BadStage(error) => error.fmt(f)?,
            Problem::BadRelease(error) => write!(f, "{error}; a note goes behind ` -- `")?,
            Problem::BadUntil(why) => write!(f, "{why}; a freeze may end on a day, `until=2026-12-18`")?,
            Problem::BadPart(word) => {
                write!(
                    f,
                    "`{word}` is no release and no part of a stage: `verify` runs its checks alone again"
                )?;
            }
            Problem::NoCheck => write!(f, "Which check? These can be overridden: {}", overridable())?,
            Problem::NotOverridable(word, why) => {
                write!(f, "`{word}` cannot be overridden")?;
                why.iter().try_for_each(|why| write!(f, ": {why}"))?;
                write!(f, ". These can: {}", overridable())?;
            }
            Problem::ExtraWord(word) => {
                write!(f, "`{word}` is one word too many; a note goes behind ` -- `")?;
            }
            Problem::NoReason => write!(f, "`{verb}` needs a reason behind ` -- `")?,
            Problem::ShortReason => {
                write!(f, "The reason for `{verb}` needs at least {OVERRIDE_REASON_CHARS} characters")?;
            }
            Problem::LongReason => {
                write!(f, "The text behind ` -- ` has more than {} characters", Reason::LONGEST)?;
            }
            Problem::TooManyCommands => {
                write!(f, "A comment holds at most {MOST_COMMANDS} commands; put the rest into another one")?;
            }
            Problem::Conflict(first, second) => {
                write!(f, "`{first}` and `{second}` in one comment contradict each other")?;
            }
        }
        write!(f, ". Nothing in this comment was done. Write `{}`.", self.paste)
    }
}

impl std::error::Error for ParseError {}

fn overridable() -> String {
    let waits = overridable::WAITS.iter().map(|check| format!("`{}`", check.word()));
    format!("{}, and a check that says so", waits.collect::<Vec<_>>().join(", "))
}

/// Reads a comment whose commands are written so.
///
/// The commands are the first lines of the comment, the first of them from its first character (a byte order
/// mark aside); the first line that does not start with a known verb ends them, and what follows is prose.
pub fn parse(body: Option<&str>, spelling: Spelling<'_>) -> Parsed {
    let body = body.unwrap_or_default();
    if body.chars().nth(LONGEST_BODY).is_some() {
        return Parsed::Nothing { hint: None };
    }
    let text = body.strip_prefix('\u{feff}').unwrap_or(body);
    let mut commands: Vec<Command> = Vec::new();
    let mut count = 0;
    for line in lines(text) {
        let Some((verb, rest)) = opening(line, spelling) else { break };
        count += 1;
        let ask = match read(verb, rest) {
            Ok(ask) => ask,
            Err(error) => return Parsed::Refused(error),
        };
        if count > MOST_COMMANDS {
            let paste = ask.example();
            return Parsed::Refused(ParseError { verb, problem: Problem::TooManyCommands, paste });
        }
        let command = Command { ask, line: line.trim_end().to_owned() };
        if commands.iter().any(|c| c.ask == command.ask) {
            continue;
        }
        if let Some(other) = commands.iter().find(|c| c.ask.contradicts(&command.ask)) {
            let problem = Problem::Conflict(other.ask.head(), command.ask.head());
            let paste = other.ask.example();
            return Parsed::Refused(ParseError { verb, problem, paste });
        }
        commands.push(command);
    }
    if commands.is_empty() {
        Parsed::Nothing { hint: hint::of(text, spelling) }
    } else {
        Parsed::Commands(commands)
    }
}

/// The lines of a comment; they end with LF or CR LF, nothing else.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line))
}

/// The known verb that a line starts with, and what stands behind it.
pub(super) fn opening<'a>(line: &'a str, spelling: Spelling<'_>) -> Option<(Verb, &'a str)> {
    let all = line.strip_prefix('/')?;
    let rest = match spelling {
        Spelling::Bare => all,
        Spelling::Prefixed(word) => behind_word(all, word)?,
        Spelling::Either(word) => behind_word(all, word).unwrap_or(all),
    };
    let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (word, behind) = rest.split_at_checked(letters)?;
    // A character that a person takes for a space ends the word too: the line is then refused, not ignored.
    let ends = behind.chars().next().is_none_or(|c| is_blank(c) || !is_printable(c));
    Verb::of_word(word).filter(|_| ends).map(|verb| (verb, behind))
}

/// What stands behind the server's word, in small or capital letters.
fn behind_word<'a>(rest: &'a str, word: &str) -> Option<&'a str> {
    let (first, behind) = rest.split_at_checked(word.len())?;
    let ours = first.eq_ignore_ascii_case(word) && behind.starts_with(is_blank);
    ours.then(|| behind.trim_start_matches(is_blank))
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

fn is_printable(c: char) -> bool {
    c.is_ascii_graphic()
}

/// Reads what stands behind the verb.
fn read(verb: Verb, rest: &str) -> Result<Ask, ParseError> {
    let (args, reason) = split_reason(rest);
    let mut line = Line { verb, words: words(args), reason, team: None, stage: None };
    let odd: BTreeSet<char> = args.chars().filter(|c| !is_blank(*c) && !is_printable(*c)).collect();
    if !odd.is_empty() {
        let points = odd.iter().take(SHOWN_POINTS).map(|c| format!("U+{:04X}", u32::from(*c))).collect();
        return Err(line.wrong(Problem::BadCharacter(points)));
    }
    let ask = line.ask()?;
    line.end()?;
    Ok(ask)
}

/// Parts the arguments from the text behind the first word that is `--`.
fn split_reason(rest: &str) -> (&str, Option<&str>) {
    let mut at = 0;
    for word in rest.split(is_blank) {
        if word == "--" {
            return (rest.get(..at).unwrap_or_default(), rest.get(at + word.len()..));
        }
        at += word.len() + 1;
    }
    (rest, None)
}

type Words<'a> = std::iter::Filter<std::str::Split<'a, fn(char) -> bool>, fn(&&'a str) -> bool>;

/// Whether a release may be given something of this name: an input, or a variable that may be set.
fn is_given(name: &str) -> bool {
    is_input(name) || name.parse::<VariableName>().is_ok()
}

fn words(args: &str) -> Words<'_> {
    let blank: fn(char) -> bool = is_blank;
    let not_empty: fn(&&str) -> bool = |word| !word.is_empty();
    args.split(blank).filter(not_empty)
}

/// A command line that is being read, and what is known of it for an error.
struct Line<'a> {
    verb: Verb,
    words: Words<'a>,
    reason: Option<&'a str>,
    team: Option<TeamWord>,
    stage: Option<StageRef>,
}

impl Line<'_> {
    fn ask(&mut self) -> Result<Ask, ParseError> {
        Ok(match self.verb {
            Verb::Approve => {
                Ask::Approve { stage: self.stage()?, release: self.release()?, note: self.note()? }
            }
            Verb::Signoff => Ask::Signoff {
                team: self.team()?,
                stage: self.stage_or_none()?,
                release: self.release()?,
                note: self.note()?,
            },
            Verb::Revoke => Ask::Revoke { stage: self.stage()?, release: self.release()? },
            Verb::Reject => {
                Ask::Reject { stage: self.stage()?, release: self.release()?, reason: self.reason()? }
            }
            Verb::Resume => {
                Ask::Resume { stage: self.stage()?, release: self.release()?, note: self.note()? }
            }
            Verb::Hold => Ask::Hold { stage: self.stage_or_all()?, reason: self.reason()? },
            Verb::Unhold => Ask::Unhold { stage: self.stage_or_all()? },
            Verb::Freeze => {
                Ask::Freeze { stage: self.stage_or_star()?, until: self.until()?, reason: self.reason()? }
            }
            Verb::Unfreeze => Ask::Unfreeze { stage: self.stage_or_star()? },
            Verb::Promote => Ask::Promote { stage: self.stage()?, release: self.release()? },
            Verb::Retry => {
                Ask::Retry { stage: self.stage()?, release: self.release_before_part(), part: self.part()? }
            }
            Verb::Cancel => Ask::Cancel { stage: self.stage()?, release: self.release()?, exactly: None },
            Verb::Rollback => {
                Ask::Rollback { stage: self.stage()?, release: self.release()?, reason: self.reason()? }
            }
            Verb::Override => Ask::Override {
                stage: self.stage()?,
                check: self.check()?,
                release: self.release()?,
                reason: self.reason()?,
            },
            Verb::Run => Ask::Run { runbook: self.stage()?, inputs: self.inputs(is_input)? },
            Verb::Start => Ask::Start { pipeline: self.pipeline()?, inputs: self.inputs(is_given)? },
            Verb::Preview => Ask::Preview { stage: self.stage()?, release: self.release()? },
            Verb::Why => Ask::Why { stage: self.stage()? },
            Verb::Status => Ask::Status { stage: self.stage_or_all()? },
            Verb::Recheck => Ask::Recheck,
            Verb::Help => Ask::Help,
        })
    }

    fn stage(&mut self) -> Result<StageRef, ParseError> {
        let word = self.words.next().ok_or_else(|| self.wrong(Problem::NoStage))?;
        let stage: StageRef = word.parse().map_err(|error| self.wrong(Problem::BadStage(error)))?;
        self.stage = Some(stage.clone());
        Ok(stage)
    }

    fn pipeline(&mut self) -> Result<PipelineName, ParseError> {
        let word = self.words.next().ok_or_else(|| self.wrong(Problem::NoStage))?;
        word.parse().map_err(|error| self.wrong(Problem::BadStage(error)))
    }

    fn team(&mut self) -> Result<TeamWord, ParseError> {
        let word = self.words.next().ok_or_else(|| self.wrong(Problem::NoTeam))?;
        let team: TeamWord =
            word.to_ascii_lowercase().parse().map_err(|error| self.wrong(Problem::BadTeam(error)))?;
        self.team = Some(team.clone());
        Ok(team)
    }

    fn stage_or_none(&mut self) -> Result<Option<StageRef>, ParseError> {
        if self.words.clone().next().is_none() { Ok(None) } else { self.stage().map(Some) }
    }

    /// A stage, or nothing or `*` for all of them.
    fn stage_or_all(&mut self) -> Result<Option<StageRef>, ParseError> {
        match self.words.clone().next() {
            None => Ok(None),
            Some("*") => {
                self.words.next();
                Ok(None)
            }
            Some(_) => self.stage().map(Some),
        }
    }

    /// A stage, or `*` for all of them: what stops everything is never said by leaving a word out.
    fn stage_or_star(&mut self) -> Result<Option<StageRef>, ParseError> {
        if self.words.clone().next() == Some("*") {
            self.words.next();
            return Ok(None);
        }
        self.stage().map(Some)
    }

    fn until(&mut self) -> Result<Option<Day>, ParseError> {
        let Some(word) = self.words.next() else { return Ok(None) };
        let Some(day) = word.strip_prefix("until=") else {
            return Err(self.wrong(Problem::ExtraWord(printable(word))));
        };
        day.parse().map(Some).map_err(|why| self.wrong(Problem::BadUntil(why)))
    }

    fn release(&mut self) -> Result<Option<ReleaseRef>, ParseError> {
        let Some(word) = self.words.next() else { return Ok(None) };
        match word.parse() {
            Ok(release) => {
                self.end()?;
                Ok(Some(release))
            }
            Err(error) => Err(self.wrong(Problem::BadRelease(error))),
        }
    }

    /// The rest of the line, each word once: `region=westeurope`.
    fn inputs(&mut self, is_name: fn(&str) -> bool) -> Result<BTreeMap<String, String>, ParseError> {
        let mut inputs = BTreeMap::new();
        while let Some(word) = self.words.next() {
            let pair = word.split_once('=').filter(|(name, value)| is_name(name) && is_value(value));
            let new =
                pair.is_some_and(|(name, value)| inputs.insert(name.to_owned(), value.to_owned()).is_none());
            if !new {
                return Err(self.wrong(Problem::BadInput(printable(word))));
            }
        }
        Ok(inputs)
    }

    /// The release, when the next word is one: no part of a stage has a digit in it.
    fn release_before_part(&mut self) -> Option<ReleaseRef> {
        let release = self.words.clone().next()?.parse().ok()?;
        self.words.next();
        Some(release)
    }

    fn part(&mut self) -> Result<Option<Part>, ParseError> {
        match self.words.next() {
            None => Ok(None),
            Some(word) if word.eq_ignore_ascii_case("verify") => Ok(Some(Part::Verify)),
            Some(word) => Err(self.wrong(Problem::BadPart(printable(word)))),
        }
    }

    fn check(&mut self) -> Result<Overridable, ParseError> {
        let word = self.words.next().ok_or_else(|| self.wrong(Problem::NoCheck))?;
        overridable::of_word(word)
            .map_err(|Never(why)| self.wrong(Problem::NotOverridable(printable(word), why)))
    }

    /// Words left over are an error, and a more useful one than a missing reason.
    fn end(&mut self) -> Result<(), ParseError> {
        match self.words.next() {
            None => Ok(()),
            Some(word) => Err(self.wrong(Problem::ExtraWord(printable(word)))),
        }
    }

    fn reason(&mut self) -> Result<Reason, ParseError> {
        self.end()?;
        let reason = self.note()?.ok_or_else(|| self.wrong(Problem::NoReason))?;
        let short = reason.as_str().chars().nth(OVERRIDE_REASON_CHARS - 1).is_none();
        if self.verb == Verb::Override && short {
            return Err(self.wrong(Problem::ShortReason));
        }
        Ok(reason)
    }

    fn note(&self) -> Result<Option<Reason>, ParseError> {
        let text = markdown::one_line(self.reason.unwrap_or_default());
        if text.is_empty() {
            return Ok(None);
        }
        Reason::of(&text).map(Some).ok_or_else(|| self.wrong(Problem::LongReason))
    }

    /// The error, with the line to write instead as far as it is known.
    fn wrong(&self, problem: Problem) -> ParseError {
        let mut paste = format!("/{}", self.verb);
        if self.verb == Verb::Signoff {
            paste.push(' ');
            paste.push_str(self.team.as_ref().map_or("<team>", TeamWord::as_str));
        }
        match &self.stage {
            Some(stage) => {
                paste.push(' ');
                paste.push_str(&stage.to_string());
            }
            None if self.verb.row().usage.contains("stage") && self.verb != Verb::Signoff => {
                paste.push_str(" <stage>");
            }
            None if self.verb == Verb::Run => paste.push_str(" <runbook>"),
            None if self.verb == Verb::Start => paste.push_str(" <pipeline>"),
            None => {}
        }
        if self.verb == Verb::Override {
            paste.push(' ');
            paste.push_str(Overridable::Soak.word());
        }
        if self.verb.needs_reason() {
            paste.push_str(" -- reason");
        }
        ParseError { verb: self.verb, problem, paste }
    }
}
