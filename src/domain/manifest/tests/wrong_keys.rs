//! Every key of the table with something that it does not take, and what a person reads then; `keys.txt` has it all.

use super::*;
use crate::domain::manifest::keys::{BUILDSPEC_OBJECT, EXTENDED_OBJECT};
use crate::domain::manifest::shape::{Key, Object, Word};

/// Keys that take whatever it is, so that nothing can be wrong with it.
const TAKES_ANYTHING: [&str; 1] = ["PolicyDocument"];

/// Texts that some rule refuses; the first one that a rule does is shown.
const TEXTS: [&str; 4] = ["-?! no", "", "a\0b", "99999d"];

/// Names that fit some rule of a writer's own names.
const NAMES: [&str; 3] = ["web", "WEB", "1"];

/// Where a value stands: what is written before and behind it in flow style, and its address for people.
#[derive(Clone)]
struct Frame {
    before: String,
    behind: String,
    address: String,
}

impl Frame {
    fn root() -> Self {
        Self { before: String::new(), behind: String::new(), address: String::new() }
    }

    fn within(&self, (open, close): (&str, &str), address: &str) -> Self {
        Self {
            before: format!("{}{open}", self.before),
            behind: format!("{close}{}", self.behind),
            address: format!("{}{address}", self.address),
        }
    }

    fn key(&self, name: &str) -> Self {
        let dot = if self.address.is_empty() { "" } else { "." };
        self.within((&format!("{{{name}: "), "}"), &format!("{dot}{name}"))
    }

    fn item(&self) -> Self {
        self.within(("[", "]"), "[]")
    }

    fn named(&self, word: &Word) -> Self {
        let name = NAMES.into_iter().find(|name| (word.check)(name).is_ok()).expect("a name fits");
        self.within((&format!("{{{name}: "), "}"), ".*")
    }
}

/// A text as YAML reads it back, whatever is in it.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn refused(word: &Word) -> Option<String> {
    TEXTS.into_iter().find(|text| (word.check)(text).is_err()).map(quoted)
}

/// Another kind of value than the shape takes.
fn of_another_kind(shape: &Shape) -> Option<String> {
    let scalar = Value::Scalar { text: "x".to_owned(), quoted: false };
    let kinds = [
        (Value::Sequence(Vec::new()), "[x]"),
        (Value::Mapping(Vec::new()), "{x: x}"),
        (scalar, "x"),
        (Value::Null, "~"),
    ];
    kinds.into_iter().find(|(value, _)| !shape.takes(value)).map(|(_, text)| text.to_owned())
}

/// A value of the right kind that is wrong.
fn of_this_kind(shape: &Shape) -> Option<String> {
    match shape {
        Shape::Text(word) => refused(word),
        Shape::Flag => Some("maybe".to_owned()),
        Shape::Count { .. } | Shape::Integer => Some("many".to_owned()),
        Shape::Choice(_) => Some("neither".to_owned()),
        Shape::Version(_) => Some("99".to_owned()),
        Shape::List(item) => {
            of_this_kind(item).or_else(|| of_another_kind(item)).map(|item| format!("[{item}]"))
        }
        Shape::NoItems(_) => Some("[x]".to_owned()),
        Shape::Map { key, .. } => refused(key).map(|key| format!("{{{key}: x}}")),
        Shape::Any(shapes) => shapes.iter().find_map(of_this_kind),
        // What is wrong in a mapping is wrong with one of its keys.
        Shape::Object(_) | Shape::Empty | Shape::Anything => None,
    }
}

/// The keys below, each with the place where it is met first.
fn gather(shape: &Shape, at: &Frame, met: &mut BTreeSet<*const Key>, out: &mut Vec<(&'static Key, Frame)>) {
    match shape {
        Shape::Object(object) => {
            for key in object.all_keys() {
                if !met.insert(std::ptr::from_ref(key)) {
                    continue;
                }
                let at = at.key(key.name);
                out.push((key, at.clone()));
                gather(&key.shape, &at, met, out);
            }
        }
        Shape::List(item) => gather(item, &at.item(), met, out),
        Shape::Map { key, value } => gather(value, &at.named(key), met, out),
        Shape::Any(shapes) => shapes.iter().for_each(|shape| gather(shape, at, met, out)),
        Shape::Text(_)
        | Shape::Flag
        | Shape::Count { .. }
        | Shape::Integer
        | Shape::Choice(_)
        | Shape::Version(_)
        | Shape::NoItems(_)
        | Shape::Empty
        | Shape::Anything => {}
    }
}

/// Every key of a mapping and of what is in it.
pub(super) fn keys_of(object: &'static Object) -> impl Iterator<Item = &'static Key> {
    let mut all = Vec::new();
    gather(&Shape::Object(object), &Frame::root(), &mut BTreeSet::new(), &mut all);
    all.into_iter().map(|(key, _)| key)
}

/// A file that the server reads, by what people call it, with the files beside it.
struct Root {
    object: &'static Object,
    path: &'static str,
    beside: (&'static str, &'static str),
}

const MORE: &str = "more.yml";

static ROOTS: [Root; 4] = [
    Root { object: &SINGLE_OBJECT, path: NATIVE_PATHS[0], beside: ("x", "") },
    Root { object: &SEVERAL_OBJECT, path: NATIVE_PATHS[0], beside: ("x", "") },
    Root {
        object: &EXTENDED_OBJECT,
        path: MORE,
        beside: (NATIVE_PATHS[0], "version: 1\nbuild: make\nextends: more.yml\nstages: [test]\n"),
    },
    Root {
        object: &BUILDSPEC_OBJECT,
        path: COPILOT_BUILDSPEC,
        beside: (COPILOT_PATH, "version: 1\nname: web\nstages: [{name: test}]\n"),
    },
];

/// What is said about a value, which has a line of its own.
fn said_of(root: &Root, at: &Frame, value: &str) -> Vec<Problem> {
    let Frame { before, behind, .. } = at;
    let text = format!("{before}\n  {value}\n{behind}\n");
    let (path, beside) = root.beside;
    let files = [(root.path.to_owned(), text), (path.to_owned(), beside.to_owned())].into();
    let problems = check(&files, &repository()).problems;
    problems.into_iter().filter(|p| p.file == root.path && p.line == 2).collect()
}

#[test]
fn every_key_of_the_table_is_named_where_it_is_refused() {
    let (mut answers, mut unclear) = (String::new(), String::new());
    let (mut met, mut never_wrong) = (BTreeSet::new(), Vec::new());
    for root in &ROOTS {
        let mut all = Vec::new();
        gather(&Shape::Object(root.object), &Frame::root(), &mut met, &mut all);
        writeln!(answers, "# {}", root.object.what).unwrap();
        for (key, at) in &all {
            let values = [of_another_kind(&key.shape), of_this_kind(&key.shape)];
            let values: Vec<String> = values.into_iter().flatten().collect();
            if values.is_empty() {
                never_wrong.push(key.name);
            }
            answers.push('\n');
            for value in &values {
                writeln!(answers, "{}: {value}", at.address).unwrap();
                let said = said_of(root, at, value);
                for problem in &said {
                    writeln!(answers, "    {} {}", problem.code.as_str(), problem.message).unwrap();
                    problem.hint.iter().for_each(|hint| writeln!(answers, "    hint: {hint}").unwrap());
                }
                let name = format!("`{}`", key.name);
                let named = |p: &Problem| p.severity == Severity::Error && p.message.contains(&name);
                if !said.iter().any(named) {
                    writeln!(unclear, "{}: {value} is not told by its name", at.address).unwrap();
                }
            }
        }
        answers.push('\n');
    }
    let mut wrong = String::new();
    answer(&folder("bad").with_file_name("keys.txt"), &answers, &mut wrong);
    assert_eq!(never_wrong, TAKES_ANYTHING, "keys that nothing is wrong with");
    assert!(unclear.is_empty(), "{unclear}");
    assert!(wrong.is_empty(), "{wrong}");
}
