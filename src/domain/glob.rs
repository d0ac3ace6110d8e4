//! Path and branch patterns: `*` within a segment, `**` over segments, `?` one character, `!` in front excludes.
//!
//! No regular expression is ever built from a text of somebody's (THREATS T10); matching is anchored at both ends
//! and takes pattern × text steps, never more.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest pattern.
const MAX_BYTES: usize = 300;

/// A checked pattern.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Glob(String);

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobError(&'static str);

impl fmt::Display for GlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for GlobError {}

impl FromStr for Glob {
    type Err = GlobError;
    fn from_str(text: &str) -> Result<Self, GlobError> {
        let pattern = text.strip_prefix('!').unwrap_or(text);
        if pattern.is_empty() {
            return Err(GlobError("a pattern is not empty"));
        }
        if text.len() > MAX_BYTES {
            return Err(GlobError("a pattern has at most 300 bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err(GlobError("a pattern has no control characters"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Glob {
    type Error = GlobError;
    fn try_from(text: String) -> Result<Self, GlobError> {
        text.parse()
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> String {
        glob.0
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Glob {
    /// True for a pattern that excludes.
    pub fn excludes(&self) -> bool {
        self.0.starts_with('!')
    }

    /// True when the whole text matches, `!` aside.
    pub fn matches(&self, text: &str) -> bool {
        let pattern = self.0.strip_prefix('!').unwrap_or(&self.0);
        matches_bytes(pattern.as_bytes(), text.as_bytes())
    }
}

/// True when the last pattern that matches does not exclude; an empty list matches everything, and a list that
/// only excludes matches what it does not name.
pub fn selects(patterns: &[Glob], text: &str) -> bool {
    let default = patterns.iter().all(Glob::excludes);
    patterns.iter().rev().find(|p| p.matches(text)).map_or(default, |p| !p.excludes())
}

/// One element of a pattern.
#[derive(Clone, Copy)]
enum Token {
    Byte(u8),
    /// `?`: one byte that is not `/`.
    One,
    /// `*`: any bytes but `/`.
    Star,
    /// `**`: any bytes.
    Deep,
    /// `**/`: nothing, or any bytes up to a `/`.
    Folders,
}

fn tokens(pattern: &[u8]) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = pattern;
    loop {
        let (token, tail) = match rest {
            [] => return out,
            [b'*', b'*', b'/', tail @ ..] => (Token::Folders, tail),
            [b'*', b'*', tail @ ..] => (Token::Deep, tail),
            [b'*', tail @ ..] => (Token::Star, tail),
            [b'?', tail @ ..] => (Token::One, tail),
            [b, tail @ ..] => (Token::Byte(*b), tail),
        };
        out.push(token);
        rest = tail;
    }
}

/// Follows all ways to match at once, one token after the other: `reached` says which prefixes of the text the
/// tokens so far can have eaten. Time is tokens × bytes whatever the pattern.
fn matches_bytes(pattern: &[u8], text: &[u8]) -> bool {
    let mut reached: Vec<bool> = std::iter::once(true).chain(text.iter().map(|_| false)).collect();
    for token in tokens(pattern) {
        let before = reached;
        reached = Vec::with_capacity(before.len());
        let mut running = false;
        let mut entered = false;
        for (at, was) in before.iter().enumerate() {
            let eaten = at.checked_sub(1);
            let last = eaten.and_then(|i| text.get(i)).copied();
            let from_before = eaten.and_then(|i| before.get(i)).copied().unwrap_or(false);
            running = match token {
                Token::Byte(b) => from_before && last == Some(b),
                Token::One => from_before && last.is_some_and(|c| c != b'/'),
                Token::Star => *was || (running && last != Some(b'/')),
                Token::Deep => *was || running,
                Token::Folders => *was || (entered && last == Some(b'/')),
            };
            entered = entered || *was;
            reached.push(running);
        }
    }
    reached.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(texts: &[&str]) -> Vec<Glob> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    #[test]
    fn b07_patterns_select_paths() {
        let table = [
            ("studio/**", "studio/a/b.rs", true),
            ("studio/**", "studio", false),
            ("studio/**", "studios/a", false),
            ("**/*.md", "a.md", true),
            ("**/*.md", "x/y/a.md", true),
            ("*.md", "x/a.md", false),
            ("src/?.rs", "src/a.rs", true),
            ("release/*", "release/1", true),
            ("release/*", "release/1/x", false),
            ("main", "main-evil", false),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(pattern.parse::<Glob>().unwrap().matches(text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn b07_the_last_matching_pattern_decides() {
        let paths = globs(&["src/**", "!src/docs/**", "src/docs/api.md"]);
        assert!(selects(&paths, "src/a.rs"));
        assert!(!selects(&paths, "src/docs/x.md"));
        assert!(selects(&paths, "src/docs/api.md"));
        assert!(!selects(&paths, "README.md"));
        assert!(selects(&[], "anything"));
        assert!(selects(&globs(&["!docs/**"]), "src/a.rs"));
        assert!(!selects(&globs(&["!docs/**"]), "docs/a.md"));
    }

    #[test]
    fn t10_patterns_are_anchored_bounded_and_inert() {
        assert!(!"main".parse::<Glob>().unwrap().matches("main-evil"));
        assert!(!".*".parse::<Glob>().unwrap().matches("anything"));
        assert!("x".repeat(301).parse::<Glob>().is_err());
        let slow = "a*a*a*a*a*a*a*a*a*a*a*b".parse::<Glob>().unwrap();
        assert!(!slow.matches(&"a".repeat(4_000)));
    }
}
