//! The word that a server wants behind the slash where other programs read the same comments, and lines shown with it.
//!
//! The rules write every line to type without it; what leaves for people goes through [`Prefix::show`].

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::domain::command::Verb;
use crate::domain::command::parse::{Spelling, opening};
use crate::domain::markdown::Fence;
use crate::domain::name::{NameError, printable};

/// Longest word: it stands in every line that people type.
const LONGEST: usize = 32;

/// The word of a server, if it has one: `liftlock` makes `/approve prod` into `/liftlock approve prod`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Prefix(Option<String>);

impl FromStr for Prefix {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let bad = |rule| NameError { kind: "prefix of commands", rule, text: printable(text) };
        let formed = text.len() <= LONGEST
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !formed {
            return Err(bad(
                "it begins with a small letter and has at most 32 small letters, digits and `-`",
            ));
        }
        if Verb::of_word(text).is_some() {
            return Err(bad("it is a command itself, so nobody could tell the two apart"));
        }
        Ok(Self(Some(text.to_owned())))
    }
}

impl TryFrom<String> for Prefix {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or_default())
    }
}

impl Prefix {
    /// How commands are written where other programs listen, too: with the word alone.
    pub fn required(&self) -> Spelling<'_> {
        self.0.as_deref().map_or(Spelling::Bare, Spelling::Prefixed)
    }

    /// How they are written where nobody else listens: with the word or without.
    pub fn optional(&self) -> Spelling<'_> {
        self.0.as_deref().map_or(Spelling::Bare, Spelling::Either)
    }

    /// A line to type, as it is typed here; what is no command stays as it is.
    pub fn line(&self, line: &str) -> String {
        let known = opening(line, Spelling::Bare).is_some();
        match (&self.0, line.strip_prefix('/')) {
            (Some(word), Some(rest)) if known => format!("/{word} {rest}"),
            _ => line.to_owned(),
        }
    }

    /// A text for people with the lines in it as they are typed here: those that stand behind a back tick. Code
    /// blocks are what others printed and stay as they are, and so does a back tick that is escaped.
    pub fn show(&self, text: &str) -> String {
        if self.0.is_none() {
            return text.to_owned();
        }
        let mut fence: Option<Fence> = None;
        let lines = text.split('\n').map(|line| {
            if let Some(open) = fence {
                fence = fence.filter(|_| !open.closed_by(line));
                return line.to_owned();
            }
            fence = Fence::opened_by(line);
            if fence.is_some() { line.to_owned() } else { self.show_line(line) }
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// A status may be cut within its last code span, so back ticks need not come in pairs.
    fn show_line(&self, line: &str) -> String {
        let mut pieces = line.split('`');
        let mut out = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let escaped = out.ends_with('\\');
            out.push('`');
            if escaped {
                out.push_str(piece);
            } else {
                out.push_str(&self.line(piece));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::command::VERBS;
    use crate::domain::markdown::{fence, inline_code};

    fn lift() -> Prefix {
        "liftlock".parse().unwrap()
    }

    #[test]
    fn t23_a_prefix_is_a_short_word_and_no_command() {
        for good in ["liftlock", "x", "lift-2", &"a".repeat(32)] {
            assert_eq!(good.parse::<Prefix>().unwrap().to_string(), good);
        }
        for bad in
            ["", "Lift", "2lift", "-x", "lift lock", "/lift", "lift_lock", "l\u{456}ft", &"a".repeat(33)]
        {
            let error = bad.parse::<Prefix>().unwrap_err().to_string();
            assert!(error.contains("is not a prefix of commands: it begins with a small letter"), "{error}");
        }
        for row in VERBS {
            let error = row.word.parse::<Prefix>().unwrap_err().to_string();
            assert!(error.contains("it is a command itself"), "{error}");
        }
    }

    #[test]
    fn t23_every_verb_of_the_table_is_shown_with_the_prefix() {
        for row in VERBS {
            let text = format!("Comment {}, or wait.", inline_code(row.usage));
            let shown = format!("Comment `/liftlock {}`, or wait.", &row.usage[1..]);
            assert_eq!(lift().show(&text), shown);
            assert_eq!(lift().line(row.usage), format!("/liftlock {}", &row.usage[1..]));
            assert_eq!(Prefix::default().show(&text), text);
        }
    }

    #[test]
    fn t23_only_commands_in_code_are_shown_with_the_prefix() {
        for (text, shown) in [
            ("`/approve prod` or `/hold`", "`/liftlock approve prod` or `/liftlock hold`"),
            ("cut within `/approve pr…", "cut within `/liftlock approve pr…"),
            ("cut behind `/approve…", "cut behind `/liftlock approve…"),
            ("- one `x`\n- two `/why prod`", "- one `x`\n- two `/liftlock why prod`"),
        ] {
            assert_eq!(lift().show(text), shown);
        }
        for same in [
            "see `/etc/passwd`, `/run/user`, `/releases/github:12/shop/1` and `/status-page`",
            "`/lgtm` and `/approved prod` are of others, `approve prod` and `a /approve prod` are no lines",
            "a path /run x, https://shop.example/status and \\`/approve prod\\`",
            "`/liftlock approve prod`",
        ] {
            assert_eq!(lift().show(same), same);
        }
    }

    #[test]
    fn t23_what_others_printed_is_shown_as_it_was() {
        let block = fence("`/approve prod`\n/approve prod\n```\n`/hold`");
        let text = format!("`/retry prod`\n{block}\n`/why prod`");
        assert_eq!(lift().show(&text), format!("`/liftlock retry prod`\n{block}\n`/liftlock why prod`"));
    }

    proptest! {
        #[test]
        fn t23_showing_twice_is_showing_once(text in "([ \n\\\\]|`{1,3}|~~~|/(approve|why|liftlock approve|x)|prod|é){0,20}") {
            let once = lift().show(&text);
            prop_assert_eq!(lift().show(&once), once.clone());
            prop_assert_eq!(once.replace("/liftlock ", "/"), text.replace("/liftlock ", "/"));
        }
    }
}
