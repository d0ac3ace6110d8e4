//! Macros: `$(Name)` in a text gives the value, in a shell's text a reference to the environment.

use std::collections::BTreeSet;

use crate::domain::name::{VariableName, printable};
use crate::domain::pipeline::step::Shell;
use crate::domain::variable::{Problem, Resolution, Value, environment_name};

/// How far macros may lead to macros (SEMANTICS §9).
pub(super) const MAX_DEPTH: usize = 10;
/// Longest text with its variables: Linux takes no longer argument or variable (`MAX_ARG_STRLEN`).
pub(super) const MAX_BYTES: usize = 128 * 1024;
/// Most macros that one text may lead to, so that ten short variables cannot become ten billion look-ups.
const MAX_MACROS: usize = 10_000;

/// How a secret is told: its text where a step is given it, `***` where people look.
pub type Reveal<'a> = &'a dyn Fn(&str) -> String;

/// `***`, for everything that is not a step.
pub fn hidden(_: &str) -> String {
    "***".to_owned()
}

/// A text that a shell reads.
#[derive(Debug, Clone, Copy)]
pub struct ShellText<'t> {
    /// The text.
    pub text: &'t str,
    /// What reads it.
    pub shell: Shell,
    /// What is in its environment besides variables: values that steps write, and the step's own.
    pub given: &'t BTreeSet<VariableName>,
}

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'t> {
    /// As it is.
    Text(&'t str),
    /// What stands between `$(` and `)`; nothing when it does not end.
    Macro(Option<&'t str>),
}

/// Cuts a text at its macros; `$$(x)` is the text `$(x)`.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("$(") {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        let inside = from.get(2..).unwrap_or_default();
        if let Some(before) = before.strip_suffix('$') {
            out.push(Piece::Text(before));
            let (literal, after) = from.split_at_checked(2).unwrap_or((from, ""));
            out.push(Piece::Text(literal));
            rest = after;
            continue;
        }
        out.push(Piece::Text(before));
        let Some((name, after)) = inside.split_once(')') else {
            out.push(Piece::Macro(None));
            return out;
        };
        out.push(Piece::Macro(Some(name)));
        rest = after;
    }
    out.push(Piece::Text(rest));
    out
}

impl Resolution<'_> {
    /// The text with every macro replaced; one that names nothing is an error, never passed on (row A31).
    pub fn expand(&self, text: &str, used: &str, reveal: Reveal<'_>) -> Result<String, Problem> {
        if !text.contains("$(") {
            return Ok(text.to_owned());
        }
        let mut work = Work { resolution: self, used, reveal, left: MAX_MACROS, out: String::new() };
        work.add(text, "", 0)?;
        Ok(work.out)
    }

    /// A text for the shell, in which every macro is a reference to the variable of the environment: a value never
    /// becomes code (THREATS T20). `$(command …)` stays the shell's, and so does `$(word)` while nobody declares
    /// variables for the stage. Python has no such reference, so a macro in its text is an error.
    pub fn expand_shell(&self, script: &ShellText<'_>, used: &str) -> Result<String, Problem> {
        let text = script.text;
        if !text.contains("$(") {
            return Ok(text.to_owned());
        }
        let (open, escape) = match script.shell {
            Shell::Sh | Shell::Bash => ("${", '\\'),
            Shell::Pwsh => ("${env:", '`'),
            Shell::Python => return self.without_macros(script, used),
        };
        let mut out = String::with_capacity(text.len());
        let mut shell = Quoting { between: true, escape, ..Quoting::default() };
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let after = rest.get(c.len_utf8()..).unwrap_or_default();
            if let Some(literal) = rest.strip_prefix("$$(").filter(|_| shell.looks()) {
                out.push_str("$(");
                shell.open();
                rest = literal;
                continue;
            }
            if let Some(inside) = rest.strip_prefix("$(").filter(|_| shell.looks()) {
                if let Some((name, behind)) = self.shell_macro(inside, script.given, used)? {
                    if shell.quote == Quote::Single {
                        return Err(Problem::Quoted { name: name.to_string(), used: used.to_owned() });
                    }
                    out.extend([open, &environment_name(&name), "}"]);
                    rest = behind;
                } else {
                    out.push_str("$(");
                    shell.open();
                    rest = inside;
                }
                continue;
            }
            out.push(c);
            shell.pass(c);
            rest = after;
        }
        Ok(out)
    }

    /// The variable that is meant, and the text behind its macro; nothing when it is a command of the shell's.
    fn shell_macro<'t>(
        &self,
        inside: &'t str,
        given: &BTreeSet<VariableName>,
        used: &str,
    ) -> Result<Option<(VariableName, &'t str)>, Problem> {
        let Some((word, behind)) = inside.split_once(')') else { return Ok(None) };
        let Ok(name) = word.parse::<VariableName>() else { return Ok(None) };
        if self.get(&name).is_some() || given.contains(&name) {
            return Ok(Some((name, behind)));
        }
        if self.is_spoken() || word.contains('.') {
            return Err(Problem::Missing { name: printable(word), used: used.to_owned() });
        }
        Ok(None)
    }

    /// The text as it is, if it names no variable.
    fn without_macros(&self, script: &ShellText<'_>, used: &str) -> Result<String, Problem> {
        for piece in pieces(script.text) {
            if let Piece::Macro(Some(word)) = piece
                && let Ok(name) = word.parse::<VariableName>()
                && (self.get(&name).is_some() || script.given.contains(&name))
            {
                return Err(Problem::Foreign { name, used: used.to_owned() });
            }
        }
        Ok(script.text.to_owned())
    }
}

/// One text on its way.
struct Work<'w, 'l> {
    resolution: &'w Resolution<'l>,
    used: &'w str,
    reveal: Reveal<'w>,
    left: usize,
    out: String,
}

impl Work<'_, '_> {
    fn add(&mut self, text: &str, of: &str, depth: usize) -> Result<(), Problem> {
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) => self.out.push_str(text),
                Piece::Macro(inside) => self.add_macro(inside.unwrap_or_default(), of, depth)?,
            }
            if self.out.len() > MAX_BYTES {
                return Err(Problem::Long { used: self.used.to_owned() });
            }
        }
        Ok(())
    }

    fn add_macro(&mut self, word: &str, of: &str, depth: usize) -> Result<(), Problem> {
        let resolution = self.resolution;
        let Some(entry) = word.parse().ok().and_then(|name| resolution.get(&name)) else {
            let used = if of.is_empty() { self.used.to_owned() } else { format!("variable `{of}`") };
            return Err(Problem::Missing { name: printable(word), used });
        };
        self.left = self.left.saturating_sub(1);
        if depth >= MAX_DEPTH || self.left == 0 {
            return Err(Problem::Deep { name: printable(word), used: self.used.to_owned() });
        }
        match entry.value {
            Value::Plain(text) => self.add(text, entry.name.as_str(), depth.saturating_add(1)),
            Value::Secret(reference) | Value::Named(reference) => {
                self.out.push_str(&(self.reveal)(reference));
                Ok(())
            }
        }
    }
}

/// Where in a shell's text we are: quotes within commands within quotes, the innermost last.
#[derive(Debug, Default)]
struct Quoting {
    open: Vec<Quote>,
    quote: Quote,
    /// What takes the meaning from the next character.
    escape: char,
    escaped: bool,
    /// The last character began or separated words, so that `#` begins a comment.
    between: bool,
    comment: bool,
}

/// The quotes we are in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Quote {
    #[default]
    None,
    Single,
    Double,
}

impl Quoting {
    /// Whether a macro may stand here.
    fn looks(&self) -> bool {
        !self.escaped && !self.comment
    }

    /// A command within: its quotes are its own.
    fn open(&mut self) {
        if self.quote != Quote::Single {
            self.open.push(self.quote);
            self.quote = Quote::None;
        }
        self.between = true;
    }

    fn pass(&mut self, c: char) {
        let (escaped, between) = (self.escaped, self.between);
        self.escaped = false;
        self.between = self.quote == Quote::None && (c.is_whitespace() || matches!(c, ';' | '&' | '|' | '('));
        if self.comment {
            self.comment = c != '\n';
            return;
        }
        if escaped {
            return;
        }
        match (self.quote, c) {
            (Quote::None | Quote::Double, c) if c == self.escape => self.escaped = true,
            (Quote::None, '\'') => self.quote = Quote::Single,
            (Quote::Single, '\'') | (Quote::Double, '"') => self.quote = Quote::None,
            (Quote::None, '"') => self.quote = Quote::Double,
            (Quote::None, '#') if between => self.comment = true,
            (Quote::None, '(') => self.open.push(Quote::None),
            (Quote::None, ')') => self.quote = self.open.pop().unwrap_or_default(),
            (Quote::None | Quote::Single | Quote::Double, _) => {}
        }
    }
}
