//! What a release is called: templates of names and numbers, and the counters in them (SEMANTICS §10).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::name::printable;
use crate::domain::time::Timestamp;
use crate::domain::window::Zone;

#[cfg(test)]
mod tests;

/// The name of a release whose manifest gives none.
pub const DEFAULT_NAME: &str = "Release-$(Rev:r)";
/// The number of every build.
pub const BUILD_NUMBER: &str = "$(Date:yyyyMMdd).$(Rev:r)";
/// Longest name.
pub const MAX_CHARS: usize = 255;
/// Most digits a counter is filled up to.
const MAX_DIGITS: usize = 9;

/// What a release and its build are called, and the counters that were counted up for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// The release, for people; empty in logs of before.
    pub name: String,
    /// What was built; another release of the same commit has the same.
    pub build_number: String,
    /// The repository, as people write it.
    pub project: String,
    /// Counters by what they count, with the value that was taken.
    pub counters: BTreeMap<String, u32>,
}

impl Names {
    /// True for releases of before there were names.
    pub fn is_empty(&self) -> bool {
        self.name.is_empty()
    }
}

/// A text with tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    text: String,
    pieces: Vec<Piece>,
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// As it is.
    Text(String),
    /// `$(Rev:rr)`: a counter with at least so many digits.
    Rev(usize),
    /// `$(Date:yyyyMMdd)`, as a pattern of `strftime`.
    Date(String),
    /// Any other name.
    Name(String),
}

/// Why a template or what comes out of it is no name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamingError {
    /// It has no text.
    Empty,
    /// A `$(` without `)`.
    Unclosed,
    /// `$(Rev:…)` twice.
    SecondRev,
    /// Not `$(Rev:r)`.
    BadRev(String),
    /// A letter that dates have not.
    BadDate(String),
    /// A character that is no part of a line.
    Control,
    /// A token that names nothing.
    Unknown(String),
    /// More characters than a name has.
    Long(usize),
}

impl fmt::Display for NamingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::Unclosed => f.write_str("a `$(` has no `)`"),
            Self::SecondRev => f.write_str("it counts twice: one `$(Rev:r)` is enough"),
            Self::BadRev(text) => write!(f, "`$(Rev:{text})` is not `$(Rev:r)` with 1 to {MAX_DIGITS} `r`"),
            Self::BadDate(text) => write!(
                f,
                "`$(Date:{text})` is not made of `yyyy`, `yy`, `MM`, `dd`, `HH`, `mm`, `ss` and `.`, `-`, `_`"
            ),
            Self::Control => f.write_str("it holds a control character"),
            Self::Unknown(name) => write!(f, "`$({name})` names no variable of the release"),
            Self::Long(chars) => write!(f, "it has {chars} characters, more than {MAX_CHARS}"),
        }
    }
}

impl std::error::Error for NamingError {}

impl FromStr for Template {
    type Err = NamingError;

    fn from_str(text: &str) -> Result<Self, NamingError> {
        if text.is_empty() {
            return Err(NamingError::Empty);
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, inside)) = rest.split_once("$(") {
            pieces.push(Piece::Text(before.to_owned()));
            let (token, after) = inside.split_once(')').ok_or(NamingError::Unclosed)?;
            pieces.push(token.parse()?);
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        if pieces.iter().filter(|p| matches!(p, Piece::Rev(_))).count() > 1 {
            return Err(NamingError::SecondRev);
        }
        check(text)?;
        Ok(Self { text: text.to_owned(), pieces })
    }
}

impl FromStr for Piece {
    type Err = NamingError;

    fn from_str(token: &str) -> Result<Self, NamingError> {
        let Some((word, format)) = token.split_once(':') else { return Ok(Self::Name(token.to_owned())) };
        if word.eq_ignore_ascii_case("rev") {
            let plain = format.bytes().all(|b| b.eq_ignore_ascii_case(&b'r'));
            let fits = plain && (1..=MAX_DIGITS).contains(&format.len());
            return if fits {
                Ok(Self::Rev(format.len()))
            } else {
                Err(NamingError::BadRev(printable(format)))
            };
        }
        if word.eq_ignore_ascii_case("date") {
            return date_pattern(format)
                .map(Self::Date)
                .ok_or_else(|| NamingError::BadDate(printable(format)));
        }
        Ok(Self::Name(token.to_owned()))
    }
}

/// `yyyy-MM-dd` as `%Y-%m-%d`.
fn date_pattern(format: &str) -> Option<String> {
    const PARTS: [(&str, &str); 7] =
        [("yyyy", "%Y"), ("yy", "%y"), ("MM", "%m"), ("dd", "%d"), ("HH", "%H"), ("mm", "%M"), ("ss", "%S")];
    let mut out = String::new();
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        let part = PARTS.iter().find_map(|(part, pattern)| Some((rest.strip_prefix(part)?, *pattern)));
        if let Some((after, pattern)) = part {
            out.push_str(pattern);
            rest = after;
        } else if matches!(first, '.' | '-' | '_') {
            out.push(first);
            rest = rest.get(1..).unwrap_or_default();
        } else {
            return None;
        }
    }
    (!out.is_empty()).then_some(out)
}

fn check(text: &str) -> Result<(), NamingError> {
    let chars = text.chars().count();
    if text.chars().any(char::is_control) {
        Err(NamingError::Control)
    } else if chars > MAX_CHARS {
        Err(NamingError::Long(chars))
    } else {
        Ok(())
    }
}

impl TryFrom<String> for Template {
    type Error = NamingError;
    fn try_from(text: String) -> Result<Self, NamingError> {
        text.parse()
    }
}

impl From<Template> for String {
    fn from(template: Template) -> String {
        template.text
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A name but for its counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    before: String,
    after: String,
    digits: Option<usize>,
}

impl Template {
    /// Whether there is a counter in it.
    pub fn counts(&self) -> bool {
        self.pieces.iter().any(|p| matches!(p, Piece::Rev(_)))
    }

    /// Everything but the counter; names are looked up in whatever case they are written, and dates are the zone's.
    pub fn render(
        &self,
        (now, zone): (Timestamp, &Zone),
        look_up: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Rendered, NamingError> {
        let mut rendered = Rendered { before: String::new(), after: String::new(), digits: None };
        for piece in &self.pieces {
            let text = match piece {
                Piece::Text(text) => text.clone(),
                Piece::Date(pattern) => zone.format(now, pattern),
                Piece::Name(name) => look_up(name).ok_or_else(|| NamingError::Unknown(printable(name)))?,
                Piece::Rev(digits) => {
                    rendered.digits = Some(*digits);
                    continue;
                }
            };
            let side = if rendered.digits.is_some() { &mut rendered.after } else { &mut rendered.before };
            side.push_str(&text);
        }
        check(&rendered.key())?;
        Ok(rendered)
    }
}

impl Rendered {
    /// What the counter counts: names that differ in nothing else.
    pub fn key(&self) -> String {
        format!("{}{}", self.before, self.after)
    }

    /// The name with this value of the counter.
    pub fn with(&self, rev: u32) -> Result<String, NamingError> {
        let text = match self.digits {
            Some(digits) => format!("{}{rev:0digits$}{}", self.before, self.after),
            None => self.key(),
        };
        check(&text)?;
        Ok(text)
    }
}
