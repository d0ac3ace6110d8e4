//! What a manifest's values may look like, as data, and the walk that compares a tree with it.
//!
//! One table (`keys`) of these shapes is read by the walk and by the JSON Schema, so the two cannot disagree.

use std::fmt::Write as _;

use crate::domain::manifest::code::Code;
use crate::domain::manifest::node::{Entry, Node, Value};
use crate::domain::manifest::problem::{Findings, Place};
use crate::domain::name::printable;

/// Most items of any list; what is done with a list may take the square of its length.
pub(super) const MAX_ITEMS: usize = 100;

/// A text with a rule.
#[derive(Debug)]
pub(super) struct Word {
    /// The rule as an anchored regular expression for the schema; the check below decides.
    pub(super) pattern: Option<&'static str>,
    /// Why a text does not fit, as a sentence fragment.
    pub(super) check: fn(&str) -> Result<(), String>,
}

/// What a value may be.
#[derive(Debug)]
pub(super) enum Shape {
    /// A scalar, as written.
    Text(&'static Word),
    /// `true` or `false`.
    Flag,
    /// A whole number between two bounds.
    Count { min: u32, max: u32 },
    /// A whole number of either sign.
    Integer,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// The one known version of a format.
    Version(&'static str),
    /// A list.
    List(&'static Self),
    /// A list that must be empty; the text says what items would be.
    NoItems(&'static str),
    /// A mapping with known keys.
    Object(&'static Object),
    /// A mapping with names of the writer's own.
    Map { key: &'static Word, value: &'static Self },
    /// Nothing after the key.
    Empty,
    /// Whatever it is: another program's own text.
    Anything,
    /// The first of these that takes the kind of node.
    Any(&'static [Self]),
}

/// A known key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// A sentence for editors.
    pub(super) about: &'static str,
    pub(super) shape: Shape,
    pub(super) duty: Duty,
}

/// How a key is meant to be used.
#[derive(Debug)]
pub(super) enum Duty {
    Optional,
    Required,
    /// An old spelling of another key.
    AliasOf(&'static str),
    /// Accepted, without effect here; what holds instead.
    NoEffect(&'static str),
}

/// A key that is refused with its own words.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) name: &'static str,
    pub(super) code: Code,
    pub(super) message: &'static str,
    pub(super) hint: &'static str,
}

/// A mapping with known keys.
#[derive(Debug)]
pub(super) struct Object {
    /// What people call it: `a stage`.
    pub(super) what: &'static str,
    pub(super) keys: &'static [&'static [Key]],
    /// Keys of the format that this version does not act on yet.
    pub(super) later: &'static [&'static str],
    pub(super) refused: &'static [Refused],
    /// At most one of each group.
    pub(super) exclusive: &'static [&'static [&'static str]],
    /// Exactly one of these, when not empty.
    pub(super) one_of: &'static [&'static str],
}

impl Object {
    pub(super) fn all_keys(&self) -> impl Iterator<Item = &'static Key> {
        self.keys.iter().flat_map(|part| part.iter())
    }
}

impl Shape {
    /// What people call it, after "takes".
    fn describe(&self) -> String {
        match self {
            Self::Text(_) => "a text".to_owned(),
            Self::Flag => "`true` or `false`".to_owned(),
            Self::Count { min, max } if min == max => format!("`{min}`"),
            Self::Count { min, max: u32::MAX } => format!("a number from {min} on"),
            Self::Count { min, max } => format!("a number from {min} to {max}"),
            Self::Integer => "a whole number".to_owned(),
            Self::Choice(words) => one_of(words),
            Self::Version(known) => format!("`{known}`"),
            Self::List(_) | Self::NoItems(_) => "a list".to_owned(),
            Self::Object(_) | Self::Map { .. } => "a mapping".to_owned(),
            Self::Empty => "nothing".to_owned(),
            Self::Anything => "anything".to_owned(),
            Self::Any(shapes) => shapes.iter().map(Self::describe).collect::<Vec<_>>().join(" or "),
        }
    }

    pub(super) fn takes(&self, value: &Value) -> bool {
        match self {
            Self::Text(_)
            | Self::Flag
            | Self::Count { .. }
            | Self::Integer
            | Self::Choice(_)
            | Self::Version(_) => matches!(value, Value::Scalar { .. }),
            Self::List(_) | Self::NoItems(_) => matches!(value, Value::Sequence(_)),
            Self::Object(_) | Self::Map { .. } => matches!(value, Value::Mapping(_)),
            Self::Empty => matches!(value, Value::Null),
            Self::Anything => true,
            Self::Any(shapes) => shapes.iter().any(|s| s.takes(value)),
        }
    }
}

/// `a`, `b` and `c`, in backticks.
pub(super) fn quoted_list(words: &[&str]) -> String {
    let mut out = String::new();
    for (index, word) in words.iter().enumerate() {
        let joint = match index {
            0 => "",
            i if i + 1 == words.len() => " and ",
            _ => ", ",
        };
        write!(out, "{joint}`{word}`").unwrap_or_default();
    }
    out
}

/// Longest unknown word that is compared with known ones; comparing takes the product of the lengths.
const MAX_COMPARED_BYTES: usize = 60;

/// The word most like the text, if any is like it at all: a third of its letters may differ, at least one.
pub(super) fn nearest<'w>(text: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    if text.len() > MAX_COMPARED_BYTES {
        return None;
    }
    let allowed = (text.chars().count() / 3).max(1);
    words
        .map(|word| (strsim::damerau_levenshtein(&text.to_ascii_lowercase(), word), word))
        .filter(|(distance, word)| *distance <= allowed && *distance < word.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Compares a node with a shape and reports every difference; `what` is the key as people read it.
pub(super) fn check(node: &Node, shape: &Shape, what: &str, findings: &mut Findings<'_>) {
    match (shape, &node.value) {
        (Shape::Anything, _) => {}
        (Shape::Any(shapes), value) => match shapes.iter().find(|s| s.takes(value)) {
            Some(chosen) => check(node, chosen, what, findings),
            None => wrong_shape(node, shape, &format!("`{what}`"), findings),
        },
        (Shape::Text(word), Value::Scalar { text, .. }) => check_word(text, node.at, word, what, findings),
        (Shape::Flag, Value::Scalar { text, quoted }) => check_flag(text, *quoted, node.at, what, findings),
        (Shape::Count { min, max }, Value::Scalar { text, quoted }) => {
            if !whole_number(text, *quoted).is_some_and(|n| n >= i64::from(*min) && n <= i64::from(*max)) {
                bad_number(node, shape, what, findings);
            }
        }
        (Shape::Integer, Value::Scalar { text, quoted }) => {
            if whole_number(text, *quoted).is_none() {
                bad_number(node, shape, what, findings);
            }
        }
        (Shape::Choice(words), Value::Scalar { text, .. }) => {
            if !words.contains(&text.as_str()) {
                let message = format!("`{what}` is {}, not `{}`", one_of(words), printable(text));
                findings.add_near(Code::BadChoice, node.at, message, || nearest(text, words.iter().copied()));
            }
        }
        (Shape::Version(known), Value::Scalar { text, .. }) => {
            if text != known {
                let message = format!("`{what}` is `{known}`, not `{}`", printable(text));
                findings.add_hinted(Code::BadVersion, node.at, message, format!("write `version: {known}`"));
            }
        }
        (Shape::List(item), Value::Sequence(items)) => {
            if let Some(first) = items.get(MAX_ITEMS) {
                let message = format!("`{what}` has {} items, more than {MAX_ITEMS}", items.len());
                findings.add(Code::TooLarge, first.at, message);
            }
            for node in items.iter().take(MAX_ITEMS) {
                if item.takes(&node.value) {
                    check(node, item, what, findings);
                } else {
                    wrong_shape(node, item, &format!("an item of `{what}`"), findings);
                }
            }
        }
        (Shape::NoItems(items), Value::Sequence(given)) => {
            if let Some(first) = given.first() {
                let message = format!("{items} in `{what}` are not supported yet by this version");
                findings.add_hinted(
                    Code::NotYet,
                    first.at,
                    message,
                    format!("write `{what}: []` or leave it out"),
                );
            }
        }
        (Shape::Object(object), Value::Mapping(entries)) => check_object(node.at, entries, object, findings),
        (Shape::Map { key, value }, Value::Mapping(entries)) => {
            for entry in entries {
                check_word(&entry.key, entry.key_at, key, what, findings);
                check(&entry.value, value, &printable(&entry.key), findings);
            }
        }
        (Shape::Empty, Value::Null) => {}
        _ => wrong_shape(node, shape, &format!("`{what}`"), findings),
    }
}

fn one_of(words: &[&str]) -> String {
    if words.len() == 1 { quoted_list(words) } else { format!("one of {}", quoted_list(words)) }
}

/// The number a plain scalar is; quoted numbers are texts.
pub(super) fn whole_number(text: &str, quoted: bool) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !quoted && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn check_word(text: &str, at: Place, word: &Word, what: &str, findings: &mut Findings<'_>) {
    let Err(reason) = (word.check)(text) else { return };
    let message = format!("`{what}`: {reason}");
    let calmer = text.trim().to_ascii_lowercase().replace(['_', ' '], "-");
    if calmer != text && word.pattern.is_some() && (word.check)(&calmer).is_ok() {
        findings.add_hinted(Code::BadText, at, message, format!("write `{calmer}`"));
    } else {
        findings.add(Code::BadText, at, message);
    }
}

fn check_flag(text: &str, quoted: bool, at: Place, what: &str, findings: &mut Findings<'_>) {
    if !quoted && matches!(text, "true" | "false") {
        return;
    }
    let message = format!("`{what}` is `true` or `false`, not `{}`", printable(text));
    let hint = match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "on" | "1" => "write `true`, small and without quotes",
        "false" | "no" | "n" | "off" | "0" => "write `false`, small and without quotes",
        _ => "write `true` or `false`",
    };
    findings.add_hinted(Code::NotBoolean, at, message, hint.to_owned());
}

fn bad_number(node: &Node, shape: &Shape, what: &str, findings: &mut Findings<'_>) {
    let Value::Scalar { text, quoted } = &node.value else { return };
    let message = format!("`{what}` takes {}, not `{}`", shape.describe(), printable(text));
    if *quoted && whole_number(text, false).is_some() {
        findings.add_hinted(Code::BadNumber, node.at, message, "write it without quotes".to_owned());
    } else {
        findings.add(Code::BadNumber, node.at, message);
    }
}

fn wrong_shape(node: &Node, shape: &Shape, what: &str, findings: &mut Findings<'_>) {
    let given = match &node.value {
        Value::Null => "nothing",
        Value::Scalar { .. } => "a text",
        Value::Sequence(_) => "a list",
        Value::Mapping(_) => "a mapping",
    };
    findings.add(Code::WrongShape, node.at, format!("{what} takes {}, not {given}", shape.describe()));
}

fn check_object(at: Place, entries: &[Entry], object: &'static Object, findings: &mut Findings<'_>) {
    let mut has_later = false;
    for entry in entries {
        let name = entry.key.as_str();
        if let Some(key) = object.all_keys().find(|k| k.name == name) {
            check_key(entry, key, findings);
        } else if let Some(refused) = object.refused.iter().find(|r| r.name == name) {
            findings.add_hinted(
                refused.code,
                entry.key_at,
                refused.message.to_owned(),
                refused.hint.to_owned(),
            );
        } else if object.later.contains(&name) {
            has_later = true;
            let message = format!("`{name}` in {} is not supported yet by this version", object.what);
            findings.add(Code::NotYet, entry.key_at, message);
        } else {
            unknown_key(entry, object, findings);
        }
    }
    check_groups(entries, object, findings);
    // A mapping written for a later version is not told off for what that version would not need.
    if !has_later {
        check_presence(at, entries, object, findings);
    }
}

fn check_key(entry: &Entry, key: &'static Key, findings: &mut Findings<'_>) {
    check(&entry.value, &key.shape, key.name, findings);
    match key.duty {
        Duty::Optional | Duty::Required => {}
        Duty::AliasOf(proper) => {
            let message = format!("`{}` is an old spelling", key.name);
            findings.add_hinted(Code::AliasKey, entry.key_at, message, format!("write `{proper}`"));
        }
        Duty::NoEffect(instead) => {
            findings.add(
                Code::NoEffect,
                entry.key_at,
                format!("`{}` has no effect here: {instead}", key.name),
            );
        }
    }
}

fn unknown_key(entry: &Entry, object: &'static Object, findings: &mut Findings<'_>) {
    let message = format!("unknown key `{}` in {}", printable(&entry.key), object.what);
    let known = object.all_keys().map(|k| k.name).chain(object.later.iter().copied());
    findings.add_near(Code::UnknownKey, entry.key_at, message, || nearest(&entry.key, known));
}

fn check_groups(entries: &[Entry], object: &'static Object, findings: &mut Findings<'_>) {
    for group in object.exclusive.iter().copied().chain(std::iter::once(object.one_of)) {
        let given: Vec<&Entry> = entries.iter().filter(|e| group.contains(&e.key.as_str())).collect();
        if let [first, second, ..] = given.as_slice() {
            let message = format!("`{}` and `{}` exclude each other", first.key, second.key);
            findings.add_hinted(Code::Exclusive, second.key_at, message, "keep one of them".to_owned());
        }
    }
}

fn check_presence(at: Place, entries: &[Entry], object: &'static Object, findings: &mut Findings<'_>) {
    for key in object.all_keys().filter(|k| matches!(k.duty, Duty::Required)) {
        if !entries.iter().any(|e| e.key == key.name) {
            let message = format!("{} needs `{}`", object.what, key.name);
            findings.add(Code::MissingKey, at, message);
        }
    }
    let one_of = object.one_of;
    if !one_of.is_empty() && !entries.iter().any(|e| one_of.contains(&e.key.as_str())) {
        findings.add(Code::MissingKey, at, format!("{} needs one of {}", object.what, quoted_list(one_of)));
    }
}
