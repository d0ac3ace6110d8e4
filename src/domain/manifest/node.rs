//! YAML text → a small tree of nodes that keeps every place, and every scalar as it is written.
//!
//! The tree is built from the parser's events, below serde: typed deserialization would resolve `NO`, `22:30` and
//! `1.10` before they could be read as texts, and would stop at the first problem.

use std::collections::BTreeMap;

use serde_saphyr::granit_parser::{ErrorKind, Event, Marker, Options, Parser, ScalarStyle, Span, StrInput};

use crate::domain::manifest::code::Code;
use crate::domain::manifest::problem::{Findings, Place};
use crate::domain::name::printable;

/// Longest manifest: far beyond the largest sensible one, small enough to read within milliseconds.
pub const MAX_TEXT_BYTES: usize = 256 * 1024;
/// Deepest nesting; the format itself needs eight levels.
pub const MAX_DEPTH: usize = 32;
/// Most nodes with all aliases followed, so that ten lines of aliases cannot become a billion nodes.
pub const MAX_NODES: usize = 20_000;

/// Most bytes of text with all aliases followed, for the same reason.
pub const MAX_EXPANDED_BYTES: usize = 2 * MAX_TEXT_BYTES;

/// One value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: Place,
    pub(super) value: Value,
}

/// What a node is.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// Text as written, escapes aside.
    Scalar {
        text: String,
        /// Quoted or a block: never a boolean or number.
        quoted: bool,
    },
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_at: Place,
    pub(super) value: Node,
}

/// What a subtree costs.
#[derive(Clone, Copy)]
struct Cost {
    nodes: usize,
    bytes: usize,
    height: usize,
}

impl Cost {
    fn of_text(bytes: usize) -> Self {
        Self { nodes: 1, bytes, height: 1 }
    }

    /// With one more subtree below it.
    fn over(self, below: Self) -> Self {
        Self {
            nodes: self.nodes + below.nodes,
            bytes: self.bytes + below.bytes,
            height: self.height.max(below.height + 1),
        }
    }
}

/// A subtree with what it costs; an anchored one may be repeated.
#[derive(Clone)]
struct Grown {
    node: Node,
    cost: Cost,
}

/// Reading stopped; the reason has been reported.
struct Stop;

struct Grower<'t, 'f, 'x> {
    parser: Parser<'t, StrInput<'t>>,
    anchors: BTreeMap<usize, Grown>,
    nodes: usize,
    bytes: usize,
    last: Place,
    findings: &'x mut Findings<'f>,
}

/// Reads one document; `None` after reporting why there is no tree. Duplicate keys are reported and the first kept.
pub(super) fn parse(text: &str, findings: &mut Findings<'_>) -> Option<Node> {
    if text.len() > MAX_TEXT_BYTES {
        let message = format!("the file has {} bytes, more than {MAX_TEXT_BYTES}", text.len());
        findings.add(Code::TooLarge, Place::default(), message);
        return None;
    }
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = MAX_DEPTH * 2;
    options.block_nesting_limit = MAX_DEPTH * 2;
    let parser = Parser::new_from_str_with_options(text, options);
    let last = Place { file: 0, line: 1, column: 1, length: 1 };
    let mut grower = Grower { parser, anchors: BTreeMap::new(), nodes: 0, bytes: 0, last, findings };
    grower.document().ok()
}

impl<'t> Grower<'t, '_, '_> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the parser's enum grows with its releases")]
    fn document(&mut self) -> Result<Node, Stop> {
        let mut root = None;
        let mut documents = 0_usize;
        loop {
            let (event, place) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        return self.stop(Code::NotOneDocument, place, "a second document starts here");
                    }
                }
                Event::StreamStart | Event::DocumentEnd => {}
                node => root = Some(self.grow(node, place, 0)?.node),
            }
        }
        match root {
            Some(node) if !matches!(node.value, Value::Null) => Ok(node),
            _ => self.stop(Code::NotOneDocument, self.last, "the file is empty"),
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Place), Stop> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let place = place_of(&span);
                self.last = place;
                Ok((event, place))
            }
            Some(Err(error)) => {
                let at = place_of_marker(error.marker());
                let too_deep = matches!(error.kind(), ErrorKind::RecursionLimitExceeded);
                let code = if too_deep { Code::TooLarge } else { Code::Syntax };
                self.stop(code, at, &format!("not YAML: {}", error.info()))
            }
            None => Ok((Event::StreamEnd, self.last)),
        }
    }

    fn stop<T>(&mut self, code: Code, at: Place, message: &str) -> Result<T, Stop> {
        self.findings.add(code, at, message.to_owned());
        Err(Stop)
    }

    fn charge(&mut self, cost: Cost, at: Place) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(cost.nodes);
        self.bytes = self.bytes.saturating_add(cost.bytes);
        if self.bytes > MAX_EXPANDED_BYTES {
            let message =
                format!("the file has more than {MAX_EXPANDED_BYTES} bytes with its aliases followed");
            return self.stop(Code::TooLarge, at, &message);
        }
        if self.nodes > MAX_NODES {
            let message = format!("the file has more than {MAX_NODES} nodes with its aliases followed");
            return self.stop(Code::TooLarge, at, &message);
        }
        Ok(())
    }

    fn check_depth(&mut self, depth: usize, at: Place) -> Result<(), Stop> {
        if depth >= MAX_DEPTH {
            let message = format!("the file nests deeper than {MAX_DEPTH} levels");
            return self.stop(Code::TooLarge, at, &message);
        }
        Ok(())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the parser's enum grows with its releases")]
    /// Grows the node that this event begins.
    fn grow(&mut self, event: Event<'t>, at: Place, depth: usize) -> Result<Grown, Stop> {
        self.check_depth(depth, at)?;
        let (grown, anchor) = match event {
            Event::Alias(id) => return self.follow(id, at, depth),
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), at);
                let cost = Cost::of_text(text.len());
                self.charge(cost, at)?;
                let quoted = style != ScalarStyle::Plain;
                let null = !quoted && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
                let value =
                    if null { Value::Null } else { Value::Scalar { text: text.into_owned(), quoted } };
                (Grown { node: Node { at, value }, cost }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.is_some(), at);
                self.charge(Cost::of_text(0), at)?;
                (self.sequence(at, depth)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.is_some(), at);
                self.charge(Cost::of_text(0), at)?;
                (self.mapping(at, depth)?, anchor)
            }
            other => return self.stop(Code::Syntax, at, &format!("unexpected {other:?}")),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, grown.clone());
        }
        Ok(grown)
    }

    /// Copies an anchored subtree after paying for it.
    fn follow(&mut self, id: usize, at: Place, depth: usize) -> Result<Grown, Stop> {
        let Some(cost) = self.anchors.get(&id).map(|a| a.cost) else {
            return self.stop(Code::Feature, at, "an alias inside its own anchor has no end");
        };
        self.charge(cost, at)?;
        self.check_depth(depth + cost.height - 1, at)?;
        self.anchors.get(&id).cloned().ok_or(Stop)
    }

    fn sequence(&mut self, at: Place, depth: usize) -> Result<Grown, Stop> {
        let mut items = Vec::new();
        let mut cost = Cost::of_text(0);
        loop {
            let (event, place) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                break;
            }
            let item = self.grow(event, place, depth + 1)?;
            cost = cost.over(item.cost);
            items.push(item.node);
        }
        Ok(Grown { node: Node { at, value: Value::Sequence(items) }, cost })
    }

    fn mapping(&mut self, at: Place, depth: usize) -> Result<Grown, Stop> {
        let mut entries = Vec::new();
        let mut seen = BTreeMap::new();
        let mut cost = Cost::of_text(0);
        loop {
            let (event, key_at) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.grow(event, key_at, depth + 1)?;
            let (event, place) = self.next()?;
            let value = self.grow(event, place, depth + 1)?;
            cost = cost.over(key.cost).over(value.cost);
            if let Some(key) = self.key_text(key.node, key_at, &mut seen) {
                entries.push(Entry { key, key_at, value: value.node });
            }
        }
        Ok(Grown { node: Node { at, value: Value::Mapping(entries) }, cost })
    }

    /// The key as text, unless it is no text or already there.
    fn key_text(&mut self, node: Node, at: Place, seen: &mut BTreeMap<String, Place>) -> Option<String> {
        let Value::Scalar { text, quoted } = node.value else {
            self.findings.add(
                Code::Feature,
                at,
                "a key is a text, not a list, a mapping or nothing".to_owned(),
            );
            return None;
        };
        if text == "<<" && !quoted {
            let hint = "write the keys out, or use an alias for the whole value".to_owned();
            self.findings.add_hinted(
                Code::Feature,
                at,
                "merge keys (`<<`) are not accepted".to_owned(),
                hint,
            );
            return None;
        }
        if let Some(first) = seen.get(&text) {
            let shown = printable(&text);
            let message =
                format!("`{shown}` is given twice: first at line {}, column {}", first.line, first.column);
            self.findings.add_hinted(Code::DuplicateKey, at, message, "delete one of the two".to_owned());
            return None;
        }
        seen.insert(text.clone(), at);
        Some(text)
    }

    fn refuse_tag(&mut self, tagged: bool, at: Place) {
        if tagged {
            self.findings.add(Code::Feature, at, "tags (`!…`) are not accepted".to_owned());
        }
    }
}

fn place_of(span: &Span) -> Place {
    let mut place = place_of_marker(&span.start);
    if span.end.line() == span.start.line() {
        place.length = span.end.col().saturating_sub(span.start.col()).max(1);
    }
    place
}

fn place_of_marker(marker: &Marker) -> Place {
    Place { file: 0, line: marker.line().max(1), column: marker.col() + 1, length: 1 }
}
