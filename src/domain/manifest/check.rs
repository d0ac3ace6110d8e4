//! `checks`, and the `verify` and `gates` of stages that name them → what is asked around a deploy (SEMANTICS §5).

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::check::{BuiltIn, Check, CheckKind, Each, Gates, OnTimeout, Order, Reuse, Verify};
use crate::domain::manifest::code::Code;
use crate::domain::manifest::node::Node;
use crate::domain::manifest::probe;
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::shape::nearest;
use crate::domain::manifest::view::{self, View};
use crate::domain::name::CheckName;
use crate::domain::overridable::{NEVER, WAITS};
use crate::domain::pipeline::{Pipeline, Strategy};
use crate::domain::probe::{Awaited, Probe, StatusProbe};
use crate::domain::time::Span;

/// The one name that is never overridden and still a check's: what people call the check of a release's contract.
const CONTRACT: &str = "contract";

/// The checks of a pipeline by name; nothing for one that has been reported.
pub(super) type Declared = BTreeMap<String, Option<Check>>;

/// Reads `checks`; a release with a contract of its own has the check of that name.
pub(super) fn declared(pipeline: View<'_>, has_contract: bool, findings: &mut Findings<'_>) -> Declared {
    let mut out = Declared::new();
    if has_contract {
        out.insert(CONTRACT.to_owned(), undeclared(CONTRACT));
    }
    for entry in pipeline.below("checks").entries() {
        if has_contract && entry.key == CONTRACT {
            let message = "`release` has a contract, which is the check `contract`".to_owned();
            let hint = "call this one something else, or take `contract` out of `release`".to_owned();
            findings.add_hinted(Code::DuplicateName, entry.key_at, message, hint);
            continue;
        }
        let taken = WAITS.iter().any(|wait| wait.word() == entry.key)
            || NEVER.iter().any(|(word, _)| *word == entry.key && *word != CONTRACT);
        if taken {
            let message = format!(
                "a check cannot be called `{0}`: `/override` means something else by `{0}`",
                entry.key
            );
            findings.add(Code::BadText, entry.key_at, message);
        }
        let check =
            entry.key.parse().ok().filter(|_| !taken).and_then(|name| check(name, &entry.value, findings));
        out.insert(entry.key.clone(), check);
    }
    out
}

fn check(name: CheckName, node: &Node, findings: &mut Findings<'_>) -> Option<Check> {
    let view = View::of(node);
    // Also for a command, so that a key of a question beside it is told of.
    let probe = probe::read(view, findings);
    let command = view.get("run").and_then(view::text).map(str::to_owned);
    let built_in = view.line("uses").and_then(|word| BuiltIn::of_word(&word));
    let kind =
        command.map(CheckKind::Run).or(probe.map(CheckKind::Probe)).or(built_in.map(CheckKind::BuiltIn))?;
    let reuse = cache(view);
    if matches!(reuse, Reuse::Artifacts { .. }) && !kind.follows_from_artifacts() {
        let message = "what this check answers does not follow from the artifacts alone".to_owned();
        let hint = "ask it for every release: leave `cache` out".to_owned();
        findings.add_hinted(Code::BadChoice, view.place("cache"), message, hint);
    }
    Some(Check {
        kind,
        blocking: view.flag("blocking").unwrap_or(true),
        overridable: view.flag("overridable").unwrap_or(true) && name.as_str() != CONTRACT,
        each: if view.get("each").is_some() { Each::Component } else { Each::Release },
        reuse,
        every: view.parsed("every"),
        consecutive: view.count("consecutive").unwrap_or(1),
        delay: view.parsed("delay").unwrap_or(Span::ZERO),
        timeout: view.parsed("timeout"),
        on_timeout: on_timeout(view).unwrap_or_default(),
        failure_limit: view.count("failure_limit").unwrap_or(0),
        name,
    })
}

/// For how long, and for which releases, a good answer holds.
fn cache(view: View<'_>) -> Reuse {
    match (view.get("cache"), view.below("cache").parsed("max_age")) {
        (None, _) => Reuse::Never,
        (Some(_), Some(max_age)) => Reuse::Artifacts { max_age },
        (Some(_), None) => Reuse::Digest,
    }
}

/// A check that is built in and that nobody declared. An answer about the same bytes holds, unless more than they say
/// what is asked: a contract that may grow, or the builds that a release is made of.
fn undeclared(name: &str) -> Option<Check> {
    let what = BuiltIn::of_word(name)?;
    let reuse = if what.follows_from_bytes() { Reuse::Digest } else { Reuse::Never };
    let check = plain(name.parse().ok()?, CheckKind::BuiltIn(what));
    Some(Check { overridable: what != BuiltIn::Contract, reuse, ..check })
}

/// A check that others make and report by a status of its name: what the manifest does not declare fails closed, so a
/// stage waits until somebody has said that it is well.
fn reported(name: CheckName) -> Check {
    let awaited = Awaited::Status(StatusProbe { context: name.to_string(), by: None });
    plain(name, CheckKind::Probe(Probe::WaitFor(awaited)))
}

/// A check of which nothing but its name is said.
fn plain(name: CheckName, kind: CheckKind) -> Check {
    Check {
        name,
        kind,
        blocking: true,
        overridable: true,
        each: Each::Release,
        reuse: Reuse::Never,
        every: None,
        consecutive: 1,
        delay: Span::ZERO,
        timeout: None,
        on_timeout: OnTimeout::default(),
        failure_limit: 0,
    }
}

fn on_timeout(view: View<'_>) -> Option<OnTimeout> {
    let words = [OnTimeout::Continue, OnTimeout::Pause, OnTimeout::Reject];
    let text = view.line("on_timeout")?;
    words.into_iter().find(|w| w.word() == text)
}

/// Where stages ask a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    /// After the deploy.
    Verify,
    /// Around it, over time.
    Gates,
    /// In the middle of it.
    Deploy,
}

/// What is said of a check and means nothing where stages ask it: it would be without effect, and somebody counts on it.
pub(super) fn idle(pipeline: View<'_>, whole: &Pipeline, findings: &mut Findings<'_>) {
    for entry in pipeline.below("checks").entries() {
        let uses: Vec<(Asked, &Check)> =
            uses(whole).filter(|(_, check)| check.name.as_str() == entry.key).collect();
        let places: BTreeSet<Asked> = uses.iter().map(|(place, _)| *place).collect();
        let Some((_, check)) = uses.first() else { continue };
        let (name, view) = (&check.name, View::of(&entry.value));
        let mut tell = |key: &str, message: String, hint: &str| {
            if view.get(key).is_some() {
                findings.add_hinted(Code::Idle, view.place(key), message, hint.to_owned());
            }
        };
        if !places.contains(&Asked::Verify) {
            let message = format!("`cache` keeps answers of `verify`, and no `verify` asks `{name}`");
            tell("cache", message, "take it out: gates are sampled anew each time");
        }
        if places.iter().all(|place| *place == Asked::Verify) && !check.polls() {
            let often = "say how often it is asked, such as `every: 5m`, or take this out";
            let message = format!("`{name}` is asked once, so it has no samples whose time could be up");
            tell("on_timeout", message, often);
            if matches!(check.kind, CheckKind::Probe(_)) {
                let message =
                    format!("`{name}` is asked once, and whoever is asked has a time of its own to answer");
                tell("timeout", message, often);
            }
        }
    }
}

/// Every check that a stage asks, with where it does.
fn uses(pipeline: &Pipeline) -> impl Iterator<Item = (Asked, &Check)> {
    pipeline.stages.iter().flat_map(|stage| {
        let (before, gates): (&[Check], Vec<&Check>) = match &stage.strategy {
            None => (&[], Vec::new()),
            Some(Strategy::Canary(portions)) => (&[], portions.iter().flat_map(|p| &p.gates).collect()),
            Some(Strategy::BlueGreen(slots)) => (&slots.before, slots.gates.iter().collect()),
        };
        let health = stage.targets.iter().filter_map(|targets| targets.health.as_ref());
        let around = stage.gates.pre.iter().chain(&stage.gates.post).chain(gates);
        let verify = stage.verify.checks().map(|check| (Asked::Verify, check));
        let around = around.map(|check| (Asked::Gates, check));
        let deploy = health.chain(before).map(|check| (Asked::Deploy, check));
        verify.chain(around).chain(deploy)
    })
}

/// Reads `verify` of a stage.
pub(super) fn verify(stage: View<'_>, declared: &Declared, findings: &mut Findings<'_>) -> Verify {
    let Some(node) = stage.get("verify") else { return Verify::default() };
    let object = View::of(node);
    let written = !object.entries().is_empty();
    let (parallel, then) =
        if written { (object.items("parallel"), object.items("then")) } else { (view::items(node), &[][..]) };
    let mut seen = Vec::new();
    let mut named = |nodes| named(nodes, declared, &mut seen, findings);
    Verify { parallel: named(parallel), then: named(then) }
}

/// Reads `gates` of a stage.
pub(super) fn gates(stage: View<'_>, declared: &Declared, findings: &mut Findings<'_>) -> Gates {
    let view = stage.below("gates");
    let gates = Gates {
        pre: named(view.items("pre"), declared, &mut Vec::new(), findings),
        post: named(view.items("post"), declared, &mut Vec::new(), findings),
        delay: view.parsed("delay").unwrap_or(Span::ZERO),
        every: view.parsed("every"),
        timeout: view.parsed("timeout"),
        consecutive: view.count("consecutive"),
        on_timeout: on_timeout(view),
        order: match view.line("order").as_deref() {
            Some("parallel") => Order::Parallel,
            Some(_) | None => Order::Sequential,
        },
        watch: view.parsed("watch").unwrap_or(Span::ZERO),
    };
    if view.get("watch").is_some() && view.items("post").is_empty() {
        let hint = "name the checks to be asked in `post`".to_owned();
        findings.add_hinted(Code::MissingKey, view.place("watch"), "`watch` needs `post`".to_owned(), hint);
    }
    gates
}

/// The check that a key names.
pub(super) fn one(
    view: View<'_>,
    key: &str,
    declared: &Declared,
    findings: &mut Findings<'_>,
) -> Option<Check> {
    named(view.items(key), declared, &mut Vec::new(), findings).pop()
}

/// The checks that a key names.
pub(super) fn several(
    view: View<'_>,
    key: &str,
    declared: &Declared,
    findings: &mut Findings<'_>,
) -> Vec<Check> {
    named(view.items(key), declared, &mut Vec::new(), findings)
}

/// The checks a list names, each once.
fn named<'n>(
    nodes: &'n [Node],
    declared: &Declared,
    seen: &mut Vec<&'n str>,
    findings: &mut Findings<'_>,
) -> Vec<Check> {
    let mut out = Vec::new();
    for node in nodes {
        let Some(name) = view::text(node) else { continue };
        if seen.contains(&name) {
            findings.add(Code::DuplicateName, node.at, format!("`{name}` is named twice"));
            continue;
        }
        seen.push(name);
        match declared.get(name) {
            Some(check) => out.extend(check.clone()),
            None if name == CONTRACT => {
                let message = "the release has no contract that `contract` could look at".to_owned();
                let hint = "say what must be there below `release`, in `contract: {assets: […]}`".to_owned();
                findings.add_hinted(Code::UnknownCheck, node.at, message, hint);
            }
            None if BuiltIn::of_word(name).is_some() => out.extend(undeclared(name)),
            None => {
                let Ok(check) = name.parse::<CheckName>() else { continue };
                let built_in = BuiltIn::ALL.iter().map(|kind| kind.word());
                if let Some(near) = nearest(name, declared.keys().map(String::as_str).chain(built_in)) {
                    let (message, hint) =
                        (format!("there is no check `{name}`"), format!("did you mean `{near}`?"));
                    findings.add_hinted(Code::UnknownCheck, node.at, message, hint);
                    continue;
                }
                let message = format!(
                    "nothing here answers `{name}`: it waits for a status of that name on the commit"
                );
                let hint = "say what it is below `checks`, or have whoever checks it report that status";
                findings.add_hinted(Code::Reported, node.at, message, hint.to_owned());
                out.push(reported(check));
            }
        }
    }
    out
}
