//! `extends` → stages, checks, teams, variables and groups that other files declare, of the same commit or of another
//! repository at a commit (row D01).
//!
//! The manifest says which stages there are and in which order; a stage that an extended file declares, too, begins
//! with what that file says. The files are put together as trees, so that everything after is read as if it stood in
//! one; each place keeps the file it is in. What a file says about who and what lets a stage pass still holds: a
//! stage of the manifest can only be stricter ([`Rings::tighten`]).

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::manifest::code::Code;
use crate::domain::manifest::elsewhere::{self, Elsewhere, Others};
use crate::domain::manifest::keys::EXTENDED_OBJECT;
use crate::domain::manifest::node::{self, Entry, Node, Value};
use crate::domain::manifest::problem::{Findings, Place};
use crate::domain::manifest::shape::{self, Shape};
use crate::domain::manifest::stage::{self, Draft};
use crate::domain::manifest::view::{self, View};
use crate::domain::manifest::{Context, Sources, build};
use crate::domain::name::{StageName, printable};
use crate::domain::policy;

/// Most files a manifest is made of, besides itself: each is read for every push.
pub(super) const MAX_FILES: usize = 10;
/// Longest way from the manifest to a file that it is made of.
pub(super) const MAX_DEPTH: usize = 4;

/// Most files that are looked for besides the manifests: those of some pipelines in one repository.
const MAX_READ: usize = 100;

/// Keys of a stage that say who and what lets it pass, in groups of which a stage has one.
const APPROVALS: &[&str] = &["approval", "approvals", "requires_approval", "require_approval"];

/// Problems that may be none once a file is there that nobody could read: it may declare what is missing.
const MAYBE_DECLARED: &[Code] = &[
    Code::UnknownCheck,
    Code::Reported,
    Code::UnknownTeam,
    Code::UnknownArtifact,
    Code::Variable,
    Code::Naming,
    Code::Environment,
    Code::Derivation,
    Code::NoRollback,
    Code::Idle,
];

/// A path of the same repository or a file of another one, as the table of keys asks.
pub(super) fn check_path(text: &str) -> Result<(), String> {
    if elsewhere::is_one(text) {
        return Elsewhere::parse(text).map(drop);
    }
    if elsewhere::is_yaml(&build::clean_path(text)?) {
        return Ok(());
    }
    Err(format!("`{}` is not a `.yml` file of this repository", printable(text)))
}

/// What a pipeline or an extended file extends, with the places. In a file of another repository, a path is one there,
/// at the same commit.
pub(super) fn paths(view: View<'_>, of: Option<&str>) -> Vec<(String, Place)> {
    let base = of.and_then(|of| Elsewhere::parse(of).ok());
    let items = view.items("extends").iter().take(MAX_FILES + 1);
    let path = |node: &Node| {
        let text = view::text(node)?;
        if let Ok(other) = Elsewhere::parse(text) {
            return Some((other.to_string(), node.at));
        }
        let path = build::clean_path(text).ok().filter(|_| check_path(text).is_ok())?;
        let Some(base) = &base else { return Some((path, node.at)) };
        Some((Elsewhere { path, ..base.clone() }.to_string(), node.at))
    };
    items.filter_map(path).collect()
}

/// What the extended files of a pipeline declare.
#[derive(Debug, Default)]
pub(super) struct Rings {
    /// Stages by name.
    stages: BTreeMap<String, Node>,
    /// `checks`, `teams`, `variables` and `groups`, in the order of the files.
    shared: BTreeMap<&'static str, Vec<Node>>,
    /// The files, each once.
    pub(super) files: Vec<String>,
    /// Whether there are further ones that nobody could read.
    reading: Reading,
}

/// How much is known of what a pipeline is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Reading {
    /// All of it.
    #[default]
    Whole,
    /// There are files that nobody can ask for here.
    InPart,
}

/// What is put together from all files.
const SHARED: &[&str] = &["checks", "teams", "variables", "groups"];

/// Reads the extended files of a pipeline.
pub(super) fn gather(view: View<'_>, context: &Context<'_>, findings: &mut Findings<'_>) -> Rings {
    let mut rings = Rings::default();
    rings.add(view, (context, &mut Vec::new()), findings);
    rings
}

impl Rings {
    fn add(
        &mut self,
        view: View<'_>,
        (context, way): (&Context<'_>, &mut Vec<String>),
        findings: &mut Findings<'_>,
    ) {
        for (path, at) in paths(view, way.last().map(String::as_str)) {
            let wrong = if way.contains(&path) {
                format!("`{path}` extends itself, by way of {}", way.join(", "))
            } else if way.len() >= MAX_DEPTH {
                format!("`{path}` is more than {MAX_DEPTH} files away from the manifest")
            } else if self.files.contains(&path) {
                continue;
            } else if self.files.len() >= MAX_FILES {
                format!("a manifest is made of at most {MAX_FILES} other files")
            } else if context.files.contains_key(&path) {
                self.add_file(&path, (context, way), findings);
                continue;
            } else if !elsewhere::is_one(&path) {
                format!("this commit has no file `{path}`")
            } else if let Others::Asked(refused) = context.others {
                // Without an answer it was not asked for, and what is not known lets nothing pass.
                let why = refused.get(&path).map_or("a repository is made of too many files", String::as_str);
                format!("cannot read {}: {why}", elsewhere::shown(&path))
            } else {
                self.reading = Reading::InPart;
                let shown = elsewhere::shown(&path);
                let message = format!("{shown} is not read here, so what it declares is not known");
                let hint = "the server reads it when this is pushed".to_owned();
                findings.add_hinted(Code::Unread, at, message, hint);
                continue;
            };
            findings.add(Code::Extends, at, wrong);
        }
    }

    /// Takes back what was found about the pipeline and may be declared in a file that nobody could read.
    pub(super) fn forgive(&self, findings: &mut Findings<'_>, since: usize) {
        match self.reading {
            Reading::Whole => {}
            Reading::InPart => findings.forgive(MAYBE_DECLARED, since),
        }
    }

    fn add_file(
        &mut self,
        path: &str,
        (context, way): (&Context<'_>, &mut Vec<String>),
        findings: &mut Findings<'_>,
    ) {
        let text = context.files.get(path).map(String::as_str).unwrap_or_default();
        let mut own = Findings::new(path);
        let root = node::parse(text, &mut own);
        if let Some(root) = &root {
            shape::check(root, &Shape::Object(&EXTENDED_OBJECT), "an extended file", &mut own);
        }
        findings.absorb(own);
        let file = findings.also(path);
        self.files.push(path.to_owned());
        let Some(root) = root.map(|root| placed(root, file)) else { return };
        let view = View::of(&root);
        way.push(path.to_owned());
        self.add(view, (context, way), findings);
        way.pop();
        for key in SHARED {
            self.shared.entry(key).or_default().extend(view.get(key).cloned());
        }
        for stage in view.items("stages") {
            let Some((name, at)) = stage::name_of(stage) else { continue };
            if self.stages.contains_key(name) {
                let message = format!("the stage `{}` is declared by two extended files", printable(name));
                findings.add(Code::DuplicateName, at, message);
            } else {
                self.stages.insert(name.to_owned(), stage.clone());
            }
        }
    }

    /// The pipeline with everything that its files declare; nothing when it extends none.
    pub(super) fn compose(&self, pipeline: View<'_>, at: Place, findings: &mut Findings<'_>) -> Option<Node> {
        if self.files.is_empty() {
            return None;
        }
        let mut entries: Vec<Entry> = pipeline.entries().to_vec();
        for (key, nodes) in &self.shared {
            let own = pipeline.get(key);
            let value = match *key {
                "groups" => lists(nodes.iter().chain(own)),
                _ => maps(nodes, own, key, findings),
            };
            let Some(value) = value else { continue };
            match entries.iter_mut().find(|entry| entry.key == *key) {
                Some(entry) => entry.value = value,
                None => entries.push(Entry { key: (*key).to_owned(), key_at: value.at, value }),
            }
        }
        if let Some(entry) = entries.iter_mut().find(|entry| entry.key == "stages")
            && let Value::Sequence(stages) = &mut entry.value.value
        {
            for stage in stages {
                let base = stage::name_of(stage).and_then(|(name, _)| self.stages.get(name));
                if let Some(base) = base {
                    *stage = overlaid(base, stage);
                }
            }
        }
        Some(Node { at, value: Value::Mapping(entries) })
    }

    /// A stage that a file declares, tightened by what that file says; what the manifest says to loosen it is told.
    /// `read` reads a stage as it stands in the file.
    pub(super) fn tighten(
        &self,
        draft: &mut Draft,
        own: View<'_>,
        read: impl FnOnce(&Node, &mut Findings<'_>) -> Option<Draft>,
        findings: &mut Findings<'_>,
    ) {
        let Some(node) = self.stages.get(draft.stage.name.as_str()) else { return };
        // What is wrong with it is told of by the stage as it is put together.
        let Some(base) = read(node, &mut Findings::new("")) else { return };
        let before = draft.stage.clone();
        draft.stage = policy::stricter_stage(&before, Some(&base.stage));
        let after = &draft.stage;
        let loosened = [
            ("soak", after.soak != before.soak),
            ("hold_during_soak", after.hold_during_soak != before.hold_during_soak),
            ("trigger", after.start != before.start),
            ("optional", after.duty != before.duty),
        ];
        for (key, _) in loosened.into_iter().filter(|(_, loosened)| *loosened) {
            let Some(entry) = own.entry(key) else { continue };
            let message = format!("`{key}` is weaker here than where `{}` is declared", after.name);
            let hint = "a stage can only become stricter than the file it is from".to_owned();
            findings.add_hinted(Code::Extends, entry.key_at, message, hint);
        }
        let lost = base.needs.iter().flatten().find(|(need, _)| {
            draft.needs.as_ref().is_some_and(|needs| !needs.iter().any(|(own, _)| own == need))
        });
        if let Some(((need, _), entry)) = lost.zip(own.entry("needs")) {
            let message = format!("`{}` needs `{need}` where it is declared", draft.stage.name);
            findings.add(Code::Extends, entry.key_at, message);
        }
        let ways: Option<BTreeSet<&StageName>> =
            base.needs_any.as_ref().map(|ways| ways.iter().map(|(name, _)| name).collect());
        let other = draft
            .needs_any
            .iter()
            .flatten()
            .find(|(name, _)| ways.as_ref().is_some_and(|ways| !ways.contains(name)));
        if let Some((name, at)) = other {
            let message = format!("`{}` may not come from `{name}` where it is declared", draft.stage.name);
            findings.add(Code::Extends, *at, message);
        }
    }
}

/// A list of all.
fn lists<'n>(nodes: impl Iterator<Item = &'n Node>) -> Option<Node> {
    let mut items = Vec::new();
    let mut at = None;
    for node in nodes {
        at.get_or_insert(node.at);
        items.extend(view::items(node).iter().cloned());
    }
    Some(Node { at: at?, value: Value::Sequence(items) })
}

/// A mapping of all; variables of the manifest win, and everything else has one meaning.
fn maps(nodes: &[Node], own: Option<&Node>, key: &str, findings: &mut Findings<'_>) -> Option<Node> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut at = None;
    let own_at = own.map(|node| node.at);
    for node in nodes.iter().chain(own) {
        at.get_or_insert(node.at);
        for entry in View::of(node).entries() {
            let known = entries.iter_mut().find(|known| same(key, &known.key, &entry.key));
            match known {
                None => entries.push(entry.clone()),
                Some(known) if key == "variables" && Some(node.at) == own_at => *known = entry.clone(),
                Some(_) => {
                    let message = format!("`{}` is declared by two files", printable(&entry.key));
                    findings.add(Code::DuplicateName, entry.key_at, message);
                }
            }
        }
    }
    Some(Node { at: at?, value: Value::Mapping(entries) })
}

/// Variables are told apart without their case.
fn same(key: &str, one: &str, other: &str) -> bool {
    if key == "variables" { one.eq_ignore_ascii_case(other) } else { one == other }
}

/// The stage of a file with what the manifest says about it.
fn overlaid(base: &Node, own: &Node) -> Node {
    let theirs = View::of(base).entries();
    let ours = View::of(own).entries();
    if ours.is_empty() {
        return base.clone();
    }
    let says = |key: &str| ours.iter().any(|entry| entry.key == key);
    // They are ways to say one thing; what the file says holds besides.
    let approves = APPROVALS.iter().any(|key| says(key));
    let kept = theirs.iter().filter(|entry| !says(&entry.key));
    let kept = kept.filter(|entry| !(approves && APPROVALS.contains(&entry.key.as_str())));
    let entries: Vec<Entry> = kept.chain(ours).cloned().collect();
    Node { at: own.at, value: Value::Mapping(entries) }
}

/// The tree with every place in that file.
fn placed(mut root: Node, file: usize) -> Node {
    let mut left: Vec<&mut Node> = vec![&mut root];
    while let Some(node) = left.pop() {
        node.at.file = file;
        match &mut node.value {
            Value::Null | Value::Scalar { .. } => {}
            Value::Sequence(items) => left.extend(items),
            Value::Mapping(entries) => {
                for entry in entries {
                    entry.key_at.file = file;
                    left.push(&mut entry.value);
                }
            }
        }
    }
    root
}

/// The files that these manifests are made of besides themselves and that are not there yet: of those that are, what
/// they extend in turn.
pub(super) fn missing<'f>(files: &'f Sources, manifests: impl Iterator<Item = &'f str>) -> BTreeSet<String> {
    let mut missing = BTreeSet::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut left: Vec<String> = manifests.map(str::to_owned).collect();
    while let Some(path) = left.pop() {
        let Some(text) = files.get(&path) else {
            missing.insert(path);
            continue;
        };
        let Some(root) = node::parse(text, &mut Findings::new(&path)) else { continue };
        let top = View::of(&root);
        let inner = top.below("pipelines").entries().iter().map(|entry| View::of(&entry.value));
        for (next, _) in inner.chain([top]).flat_map(|view| paths(view, Some(&path))) {
            if seen.len() < MAX_READ && seen.insert(next.clone()) {
                left.push(next);
            }
        }
    }
    missing
}
