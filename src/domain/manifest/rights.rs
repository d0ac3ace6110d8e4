//! `additional_policy` → the rights that a hosted service would give a build, said to whoever has to give them (row C40).

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::manifest::code::Code;
use crate::domain::manifest::node::{Entry, Node};
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::view::{self, View};
use crate::domain::name::printable;

/// Most rights that are told one by one; a policy with more is read where it is written.
const TOLD: usize = 20;

/// What a statement is about.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum On {
    /// One resource, or a pattern of them.
    It(String),
    /// Everything that none of these names (`NotResource`).
    AllBut(BTreeSet<String>),
}

/// Which actions a statement means, beside those that it lists.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Which {
    /// None: it lists them.
    Listed,
    /// Every one but these (`NotAction`), which adds up with no other list.
    AllBut(BTreeSet<String>),
}

/// Everything of a statement that its actions are told by.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Scope {
    on: On,
    which: Which,
    conditions: BTreeSet<String>,
}

/// Listed actions by what they are for, as IAM writes both (the grammar of its policy language: one text or a list).
type Rights = BTreeMap<Scope, BTreeSet<String>>;

/// What a policy asks for.
#[derive(Default)]
struct Asked {
    allowed: Rights,
    denied: Rights,
    /// Statements that say neither.
    unread: usize,
}

/// Says that the policy gives nothing here, and which rights commands will miss.
pub(super) fn tell(build: View<'_>, findings: &mut Findings<'_>) {
    let Some(entry) = build.entry("additional_policy") else { return };
    let message =
        "`additional_policy` has no effect here: commands use the server's tools and rights".to_owned();
    match asked(View::of(&entry.value).below("PolicyDocument")).hint() {
        Some(hint) => findings.add_hinted(Code::NoEffect, entry.key_at, message, hint),
        None => findings.add(Code::NoEffect, entry.key_at, message),
    }
}

impl Asked {
    /// What the server's own role is to be, in words; nothing when nothing is asked for.
    fn hint(&self) -> Option<String> {
        let rights = [("allow", &self.allowed), ("deny", &self.denied)].into_iter();
        let rights = rights.filter(|(_, rights)| !rights.is_empty());
        let told: Vec<String> =
            rights.map(|(verb, rights)| format!("is to {verb} {}", listed(rights))).collect();
        let mut sentences = Vec::new();
        if !told.is_empty() {
            sentences.push(format!("the server's own role {}", told.join("; and it ")));
        }
        if self.unread > 0 {
            sentences.push(format!(
                "{} of its statements cannot be read: each has an `Effect`, which is `Allow` or `Deny`, an `Action` or \
                 `NotAction`, and a `Resource` or `NotResource`",
                self.unread
            ));
        }
        (!sentences.is_empty()).then(|| sentences.join("; "))
    }
}

fn listed(rights: &Rights) -> String {
    let told: Vec<String> = rights
        .iter()
        .take(TOLD)
        .map(|(scope, actions)| {
            let actions = match &scope.which {
                Which::Listed => ticked(actions),
                Which::AllBut(actions) => format!("everything but {}", ticked(actions)),
            };
            let on = match &scope.on {
                On::It(resource) => format!("`{}`", printable(resource)),
                On::AllBut(resources) => format!("everything but {}", ticked(resources)),
            };
            let conditions: Vec<&str> = scope.conditions.iter().map(String::as_str).collect();
            let only = if conditions.is_empty() { "" } else { " where " };
            format!("{actions} on {on}{only}{}", conditions.join(" and "))
        })
        .collect();
    let more = if rights.len() > TOLD { ", and more" } else { "" };
    format!("{}{more}", told.join("; "))
}

fn ticked(texts: &BTreeSet<String>) -> String {
    texts.iter().map(|text| format!("`{}`", printable(text))).collect::<Vec<_>>().join(", ")
}

fn asked(policy: View<'_>) -> Asked {
    let mut asked = Asked::default();
    for statement in policy.items("Statement") {
        let statement = View::of(statement);
        let rights = match statement.line("Effect").as_deref() {
            Some("Allow") => &mut asked.allowed,
            Some("Deny") => &mut asked.denied,
            Some(_) | None => {
                asked.unread = asked.unread.saturating_add(1);
                continue;
            }
        };
        let (on, actions) = (on(statement), texts(statement.get("Action")));
        let not = texts(statement.get("NotAction"));
        if on.is_empty() || actions.is_empty() == not.is_empty() {
            asked.unread = asked.unread.saturating_add(1);
            continue;
        }
        for on in on {
            let which = if not.is_empty() { Which::Listed } else { Which::AllBut(not.clone()) };
            let scope = Scope { on, which, conditions: conditions(statement) };
            rights.entry(scope).or_default().extend(actions.clone());
        }
    }
    asked
}

fn on(statement: View<'_>) -> Vec<On> {
    let not = texts(statement.get("NotResource"));
    let resources = texts(statement.get("Resource"));
    match (resources.is_empty(), not.is_empty()) {
        (true, false) => vec![On::AllBut(not)],
        (false, true) => resources.into_iter().map(On::It).collect(),
        (true, true) | (false, false) => Vec::new(),
    }
}

/// Every operator of a condition with each key that it compares: all of them hold together.
fn conditions(statement: View<'_>) -> BTreeSet<String> {
    let operators = statement.below("Condition").entries().iter();
    let keys = operators.flat_map(|operator: &Entry| {
        View::of(&operator.value).entries().iter().map(move |key| (operator.key.as_str(), key))
    });
    keys.map(|(operator, key)| {
        let values = ticked(&texts(Some(&key.value)));
        format!("`{}` holds for `{}` and {values}", printable(operator), printable(&key.key))
    })
    .collect()
}

fn texts(node: Option<&Node>) -> BTreeSet<String> {
    node.map(view::items)
        .unwrap_or_default()
        .iter()
        .filter_map(|node| view::text(node))
        .map(str::to_owned)
        .collect()
}
