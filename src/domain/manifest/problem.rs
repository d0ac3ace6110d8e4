//! A problem of a manifest with its place, and the three ways to print problems: for people, JSON, GitHub.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::domain::manifest::code::Code;
use crate::domain::name::PipelineName;

/// Whether a manifest is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is.
    Error,
    /// It loads, and somebody should look.
    Warning,
}

/// A place in a file; columns and lengths count characters. Line 0 means the file as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which of the files a manifest is made of; 0 is the manifest itself.
    pub file: usize,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// How many characters of that line are meant, at least 1.
    pub length: usize,
}

/// One thing that is wrong or doubtful.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Its stable code; `explain` has a paragraph on it.
    pub code: Code,
    /// Error or warning.
    pub severity: Severity,
    /// Path in the repository.
    pub file: String,
    /// Line from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// Column from 1, in characters.
    pub column: usize,
    /// How many characters are meant.
    pub length: usize,
    /// What is wrong, in one sentence fragment.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem at a place.
    pub fn new(code: Code, file: &str, at: Place, message: String, hint: Option<String>) -> Self {
        Self {
            code,
            severity: code.severity(),
            file: file.to_owned(),
            line: at.line,
            column: at.column,
            length: at.length,
            message,
            hint,
        }
    }
}

/// Most errors, and most warnings, that one file is told: nobody reads more, and a hostile file cannot ask for a
/// suggestion ten thousand times.
const MAX_OF_A_SEVERITY: usize = 100;

/// Collects the problems of one file.
#[derive(Debug)]
pub(super) struct Findings<'f> {
    file: &'f str,
    /// Further files that places may be in, from 1.
    others: Vec<String>,
    found: Vec<Problem>,
    errors: usize,
    warnings: usize,
    /// Pipelines of other repositories, each with where it is named.
    left: BTreeMap<PipelineName, Problem>,
}

impl<'f> Findings<'f> {
    pub(super) fn new(file: &'f str) -> Self {
        let (others, found, left) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { file, others, found, errors: 0, warnings: 0, left }
    }

    /// A pipeline that no file can tell anything about.
    pub(super) fn leave(
        &mut self,
        pipeline: PipelineName,
        (code, at): (Code, Place),
        (message, hint): (String, String),
    ) {
        let problem = Problem::new(code, self.file_of(at), at, message, Some(hint));
        self.left.entry(pipeline).or_insert(problem);
    }

    /// Those pipelines.
    pub(super) fn take_left(&mut self) -> BTreeMap<PipelineName, Problem> {
        std::mem::take(&mut self.left)
    }

    fn file_of(&self, at: Place) -> &str {
        let other = at.file.checked_sub(1).and_then(|index| self.others.get(index));
        other.map_or(self.file, String::as_str)
    }

    /// A further file, by the number that places in it have.
    pub(super) fn also(&mut self, file: &str) -> usize {
        self.others.push(file.to_owned());
        self.others.len()
    }

    pub(super) fn add(&mut self, code: Code, at: Place, message: String) {
        self.push(code, at, message, || None);
    }

    pub(super) fn add_hinted(&mut self, code: Code, at: Place, message: String, hint: String) {
        self.push(code, at, message, || Some(hint));
    }

    /// Both severities are counted apart, so that many warnings never hide an error.
    fn push(&mut self, code: Code, at: Place, message: String, hint: impl FnOnce() -> Option<String>) {
        let count = match code.severity() {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        if *count <= MAX_OF_A_SEVERITY {
            let problem = Problem::new(code, self.file_of(at), at, message, hint());
            self.found.push(problem);
        }
    }

    /// Adds a problem with the word that was probably meant.
    pub(super) fn add_near<'w>(
        &mut self,
        code: Code,
        at: Place,
        message: String,
        near: impl FnOnce() -> Option<&'w str>,
    ) {
        self.push(code, at, message, || near().map(|word| format!("did you mean `{word}`?")));
    }

    /// Takes over the problems of another file.
    pub(super) fn absorb(&mut self, other: Findings<'_>) {
        self.found.extend(other.into_problems());
    }

    /// How many there are by now.
    pub(super) fn mark(&self) -> usize {
        self.found.len()
    }

    /// Drops those of these codes that were found since a mark.
    pub(super) fn forgive(&mut self, codes: &[Code], since: usize) {
        let late = self.found.split_off(since.min(self.found.len()));
        self.found.extend(late.into_iter().filter(|problem| !codes.contains(&problem.code)));
    }

    /// The problems, and a word on those that were left out.
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        if let Some(more) = self.errors.checked_sub(MAX_OF_A_SEVERITY).filter(|more| *more > 0) {
            let message = format!("{more} more errors are not shown; mend these first");
            self.found.push(Problem::new(Code::TooLarge, self.file, Place::default(), message, None));
        }
        self.found
    }
}

/// Sorts by place, errors and warnings together, and drops exact repetitions (an alias is read once per use).
pub(super) fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by(|a, b| {
        (&a.file, a.line, a.column, a.code, &a.message).cmp(&(&b.file, b.line, b.column, b.code, &b.message))
    });
    problems.dedup();
    problems
}

/// Problems as cargo prints them: code and message, place, the line with carets, a hint.
pub fn render_text(problems: &[Problem], files: &BTreeMap<String, String>) -> String {
    problems
        .iter()
        .map(|p| render_one(p, files.get(&p.file).map(String::as_str)))
        .collect::<Vec<_>>()
        .join("\n")
}

fn render_one(problem: &Problem, source: Option<&str>) -> String {
    let word = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut out = format!("{word}[{}]: {}\n", problem.code, problem.message);
    let number = problem.line.to_string();
    let gutter = " ".repeat(number.len());
    let shown = problem.line.checked_sub(1).and_then(|index| source?.lines().nth(index));
    let drawn = match shown {
        None if problem.line == 0 => writeln!(out, " --> {}", problem.file),
        None => writeln!(out, " --> {}:{}:{}", problem.file, problem.line, problem.column),
        Some(line) => {
            let text: String = line.chars().map(visible).collect();
            let width = text.chars().count();
            let before = problem.column.saturating_sub(1).min(width);
            let carets = problem.length.min(width.saturating_sub(before)).max(1);
            writeln!(
                out,
                "{gutter}--> {}:{}:{}\n{gutter} |\n{number} | {}\n{gutter} | {}{}",
                problem.file,
                problem.line,
                problem.column,
                text.trim_end(),
                " ".repeat(before),
                "^".repeat(carets)
            )
        }
    };
    drawn.unwrap_or_default();
    if let Some(hint) = &problem.hint {
        writeln!(out, "{gutter} = help: {hint}").unwrap_or_default();
    }
    out
}

/// The character, or a stand-in of one column when it would hide or reorder what is around it.
fn visible(c: char) -> char {
    match c {
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
            '\u{fffd}'
        }
        c if c.is_control() => ' ',
        c => c,
    }
}

/// Problems as one JSON object, `{"version":1,"problems":[…]}`.
pub fn render_json(problems: &[Problem]) -> String {
    serde_json::json!({ "version": 1, "problems": problems }).to_string()
}

/// Problems as GitHub's workflow commands, one line each (docs: "Workflow commands", `::error file=…`).
pub fn render_github(problems: &[Problem]) -> String {
    let mut out = String::new();
    for p in problems {
        let word = match p.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let message = match &p.hint {
            Some(hint) => format!("{}\nhelp: {hint}", p.message),
            None => p.message.clone(),
        };
        writeln!(
            out,
            "::{word} file={},line={},col={},endColumn={},title={}::{}",
            escape_property(&p.file),
            p.line.max(1),
            p.column.max(1),
            p.column.max(1) + p.length.max(1),
            p.code,
            escape_data(&message)
        )
        .unwrap_or_default();
    }
    out
}

fn escape_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}
