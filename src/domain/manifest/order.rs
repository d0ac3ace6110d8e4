//! The order of stages: `needs` filled in, unknown names, repeated names and circles found.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::manifest::code::Code;
use crate::domain::manifest::problem::{Findings, Place};
use crate::domain::manifest::shape::nearest;
use crate::domain::manifest::stage::Draft;
use crate::domain::manifest::view::{self, View};
use crate::domain::name::StageName;
use crate::domain::pipeline::Stage;

/// The `stages` that something is for, each of which the pipeline has; `written` are all names in the file.
pub(super) fn named(
    view: View<'_>,
    written: &BTreeSet<&str>,
    findings: &mut Findings<'_>,
) -> BTreeSet<StageName> {
    let mut out = BTreeSet::new();
    for node in view.items("stages") {
        let Some(name) = view::parsed::<StageName>(node) else { continue };
        if !written.contains(name.as_str()) {
            let message = format!("there is no stage `{name}`");
            let near = || nearest(name.as_str(), written.iter().copied());
            findings.add_near(Code::UnknownStage, node.at, message, near);
        } else if !out.insert(name.clone()) {
            findings.add(Code::DuplicateName, node.at, format!("`{name}` is named twice"));
        }
    }
    out
}

/// Links the stages; `written` are all names in the file, also those that were refused.
pub(super) fn link(drafts: Vec<Draft>, written: &BTreeSet<&str>, findings: &mut Findings<'_>) -> Vec<Stage> {
    let mut linked: Vec<Draft> = Vec::new();
    for mut draft in drafts {
        if linked.iter().any(|d| d.stage.name == draft.stage.name) {
            let message = format!("two stages are called `{}`", draft.stage.name);
            findings.add(Code::DuplicateName, draft.at, message);
            continue;
        }
        draft.stage.needs_any = known_needs(draft.needs_any.iter().flatten(), written, findings);
        draft.stage.needs = match &draft.needs {
            None if draft.needs_any.is_some() => Vec::new(),
            None => linked.last().map(|before| before.stage.name.clone()).into_iter().collect(),
            Some(needs) => known_needs(needs, written, findings),
        };
        let both = draft.needs_any.iter().flatten().find(|(name, _)| draft.stage.needs.contains(name));
        if let Some((name, at)) = both {
            let message =
                format!("`{name}` is in `needs` already, so that no other of `needs_any` would count");
            findings.add(Code::DuplicateName, *at, message);
        }
        linked.push(draft);
    }
    report_circles(&linked, findings);
    check_reuse(&linked, written, findings);
    linked.into_iter().map(|d| d.stage).collect()
}

fn known_needs<'n>(
    needs: impl IntoIterator<Item = &'n (StageName, Place)>,
    written: &BTreeSet<&str>,
    findings: &mut Findings<'_>,
) -> Vec<StageName> {
    let mut out: Vec<StageName> = Vec::new();
    for (name, at) in needs {
        if !written.contains(name.as_str()) {
            let message = format!("there is no stage `{name}`");
            let names = written.iter().copied().filter(|n| n.parse::<StageName>().is_ok());
            findings.add_near(Code::UnknownStage, *at, message, || nearest(name.as_str(), names));
        } else if out.contains(name) {
            findings.add(Code::DuplicateName, *at, format!("`{name}` is needed twice"));
        } else {
            out.push(name.clone());
        }
    }
    out
}

/// Approvals are taken over from stages that come before, directly or not.
fn check_reuse(drafts: &[Draft], written: &BTreeSet<&str>, findings: &mut Findings<'_>) {
    for draft in drafts {
        let before = before(drafts, &draft.stage);
        let name = &draft.stage.name;
        for from in draft.stage.approval.iter().flat_map(|rule| &rule.reuse_from) {
            if !written.contains(from.as_str()) {
                let message = format!("`{name}` reuses approvals of `{from}`, and there is no such stage");
                let names = written.iter().copied();
                findings.add_near(Code::UnknownStage, draft.at, message, || nearest(from.as_str(), names));
            } else if !before.contains(from) {
                let message = format!("`{name}` reuses approvals of `{from}`, which does not come before it");
                findings.add(Code::Impossible, draft.at, message);
            }
        }
    }
}

/// The stages that a stage comes from, directly or not.
fn before<'d>(drafts: &'d [Draft], stage: &'d Stage) -> BTreeSet<&'d StageName> {
    let mut found: BTreeSet<&StageName> = BTreeSet::new();
    let mut left: Vec<&StageName> = stage.comes_from().collect();
    while let Some(name) = left.pop() {
        if found.insert(name) {
            left.extend(drafts.iter().filter(|d| d.stage.name == *name).flat_map(|d| d.stage.comes_from()));
        }
    }
    found
}

/// Takes away stages that can start until only circles are left, reports one, takes it away, and so on.
fn report_circles(drafts: &[Draft], findings: &mut Findings<'_>) {
    let mut left: BTreeMap<&StageName, &Draft> = drafts.iter().map(|d| (&d.stage.name, d)).collect();
    loop {
        let startable: Vec<&StageName> = left
            .iter()
            .filter(|(_, d)| !d.stage.comes_from().any(|n| left.contains_key(n)))
            .map(|(name, _)| *name)
            .collect();
        if startable.is_empty() {
            let Some(circle) = one_circle(&left) else { return };
            report_circle(&circle, findings);
            for draft in circle {
                left.remove(&draft.stage.name);
            }
        }
        for name in startable {
            left.remove(name);
        }
    }
}

/// Follows needs from any stage that is left until one comes twice; everything left needs something left.
fn one_circle<'d>(left: &BTreeMap<&StageName, &'d Draft>) -> Option<Vec<&'d Draft>> {
    let mut path: Vec<&Draft> = Vec::new();
    let mut at = *left.values().next()?;
    loop {
        if let Some(start) = path.iter().position(|d| d.stage.name == at.stage.name) {
            return Some(path.split_off(start));
        }
        path.push(at);
        at = at.stage.comes_from().find_map(|n| left.get(n))?;
    }
}

fn report_circle(circle: &[&Draft], findings: &mut Findings<'_>) {
    let Some(first) = circle.first() else { return };
    let names: Vec<&str> = circle.iter().chain([first]).map(|d| d.stage.name.as_str()).collect();
    let message = format!("stages wait for each other: {}", names.join(" needs "));
    let written = first.needs.iter().chain(&first.needs_any).flatten();
    let at = written.map(|(_, at)| *at).next().unwrap_or(first.at);
    findings.add(Code::Cycle, at, message);
}
