//! Typed looks into a tree that `shape::check` has walked: what does not fit was reported there and reads as absent.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use crate::domain::manifest::node::{Entry, Node, Value};
use crate::domain::manifest::problem::Place;
use crate::domain::manifest::shape::{MAX_ITEMS, whole_number};

/// The entries of a mapping; none for every other node.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'n>(&'n [Entry]);

impl<'n> View<'n> {
    pub(super) fn of(node: &'n Node) -> Self {
        match &node.value {
            Value::Mapping(entries) => Self(entries),
            Value::Null | Value::Scalar { .. } | Value::Sequence(_) => Self(&[]),
        }
    }

    pub(super) fn entries(self) -> &'n [Entry] {
        self.0
    }

    pub(super) fn entry(self, key: &str) -> Option<&'n Entry> {
        self.0.iter().find(|e| e.key == key)
    }

    pub(super) fn get(self, key: &str) -> Option<&'n Node> {
        self.entry(key).map(|e| &e.value)
    }

    /// The mapping below a key, empty when there is none.
    pub(super) fn below(self, key: &str) -> Self {
        self.get(key).map_or(Self(&[]), Self::of)
    }

    /// A text of one line.
    pub(super) fn line(self, key: &str) -> Option<String> {
        self.get(key).and_then(text).map(|t| t.trim_end().to_owned())
    }

    pub(super) fn parsed<T: FromStr>(self, key: &str) -> Option<T> {
        self.get(key).and_then(parsed)
    }

    pub(super) fn flag(self, key: &str) -> Option<bool> {
        self.get(key).and_then(text).and_then(|t| t.parse().ok())
    }

    pub(super) fn count(self, key: &str) -> Option<u32> {
        self.get(key).and_then(count)
    }

    pub(super) fn integer(self, key: &str) -> Option<i64> {
        match &self.get(key)?.value {
            Value::Scalar { text, quoted } => whole_number(text, *quoted),
            Value::Null | Value::Sequence(_) | Value::Mapping(_) => None,
        }
    }

    /// The items of a list, or the single value in its place.
    pub(super) fn items(self, key: &str) -> &'n [Node] {
        self.get(key).map_or(&[], items)
    }

    /// All items that parse.
    pub(super) fn all<T: FromStr>(self, key: &str) -> Vec<T> {
        self.items(key).iter().filter_map(parsed).collect()
    }

    /// All items as texts of one line.
    pub(super) fn lines(self, key: &str) -> Vec<String> {
        self.items(key).iter().filter_map(text).map(|t| t.trim_end().to_owned()).collect()
    }

    /// A mapping of names to texts.
    pub(super) fn variables(self, key: &str) -> BTreeMap<String, String> {
        let entries = self.below(key).0.iter();
        entries.filter_map(|e| Some((e.key.clone(), text(&e.value)?.to_owned()))).collect()
    }

    /// A list of names.
    pub(super) fn names(self, key: &str) -> BTreeSet<String> {
        self.lines(key).into_iter().collect()
    }

    pub(super) fn place(self, key: &str) -> Place {
        self.entry(key).map_or_else(Place::default, |e| e.key_at)
    }
}

/// A scalar as written.
pub(super) fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, .. } => Some(text),
        Value::Null | Value::Sequence(_) | Value::Mapping(_) => None,
    }
}

/// A scalar that parses.
pub(super) fn parsed<T: FromStr>(node: &Node) -> Option<T> {
    text(node).and_then(|t| t.parse().ok())
}

/// A plain number.
pub(super) fn count(node: &Node) -> Option<u32> {
    match &node.value {
        Value::Scalar { text, quoted } => whole_number(text, *quoted).and_then(|n| u32::try_from(n).ok()),
        Value::Null | Value::Sequence(_) | Value::Mapping(_) => None,
    }
}

/// The items of a list as far as lists may go; a single value is its own only item, nothing has none.
pub(super) fn items(node: &Node) -> &[Node] {
    match &node.value {
        Value::Sequence(items) => items.get(..MAX_ITEMS).unwrap_or(items),
        Value::Scalar { .. } | Value::Mapping(_) => std::slice::from_ref(node),
        Value::Null => &[],
    }
}
