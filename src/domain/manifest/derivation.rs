//! `derives` and `artifacts` of a step → what it makes of the release's artifacts, and whether it can.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::derivation::Makes;
use crate::domain::gather::Gather;
use crate::domain::manifest::adapter;
use crate::domain::manifest::code::Code;
use crate::domain::manifest::node::Node;
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::publish;
use crate::domain::manifest::shape::nearest;
use crate::domain::manifest::view::{self, View};
use crate::domain::name::{Alias, printable};
use crate::domain::pipeline::step::Action;
use crate::domain::pipeline::{Pipeline, Stage};
use crate::domain::publication::Publish;

/// The keys of a step that makes artifacts.
const MAKING: [&str; 2] = ["derives", "artifacts"];

/// What a step makes.
pub(super) fn of_step(view: View<'_>, findings: &mut Findings<'_>) -> Makes {
    let makes = Makes { anew: view.all("derives"), further: view.all("artifacts") };
    let Some(entry) = MAKING.iter().find_map(|key| view.entry(key)) else { return makes };
    if view.flag("always") == Some(true) || view.flag("blocking") == Some(false) {
        let message =
            "what a step makes is wanted, so it cannot fail unseen or run after a failure".to_owned();
        let hint = "leave out `always` and `blocking`".to_owned();
        findings.add_hinted(Code::Derivation, entry.key_at, message, hint);
    }
    if let (Some(condition), false) = (view.entry("if"), makes.further.is_empty()) {
        let message = "a step that is left out makes nothing, and later stages would miss it".to_owned();
        let hint = "let the script decide what it puts in, or leave out `if`".to_owned();
        findings.add_hinted(Code::Derivation, condition.key_at, message, hint);
    }
    makes
}

/// `uses: gather`: the step makes one artifact, which is the drop.
pub(super) fn gather(
    view: View<'_>,
    with: &mut BTreeMap<String, String>,
    findings: &mut Findings<'_>,
) -> Action {
    let full = publish::flag((view, "full", false), with, findings);
    let hint = "a step of its own behind it finds what was gathered, as it finds every artifact";
    adapter::only(view, &["artifacts", "derives"], ("a step that gathers", hint), findings);
    publish::no_other_input(view, with, findings);
    if view.items("artifacts").len() != 1 || !view.items("derives").is_empty() {
        let message = "a step that gathers makes one artifact".to_owned();
        let hint = "say what it is called: `artifacts: [drop]`".to_owned();
        findings.add_hinted(Code::Derivation, view.place("uses"), message, hint);
    }
    Action::Gather(Gather { full })
}

/// What is made exists once, is made where it can be, and what is made anew is there.
pub(super) fn check(view: View<'_>, pipeline: &Pipeline, findings: &mut Findings<'_>) {
    misplaced(view, findings);
    let making: Vec<&Stage> = pipeline.stages.iter().filter(|stage| makes(stage)).collect();
    if making.is_empty() {
        return;
    }
    let stages = view.items("stages");
    let lists = stages.iter().map(View::of).chain([view]).flat_map(|view| view.items("deploy").iter());
    let steps: Vec<View<'_>> = lists.map(View::of).collect();
    check_names(&steps, pipeline, findings);
    let behind = pipeline.behind();
    for stage in making {
        let at = stages.iter().find_map(|node| {
            let named = super::stage::name_of(node).filter(|(name, _)| *name == stage.name.as_str());
            named.map(|(_, at)| at)
        });
        let at = at.unwrap_or_else(|| view.place("stages"));
        let several = stage.targets.is_some() || stage.strategy.is_some() || !stage.deployments.is_empty();
        if several {
            let message =
                format!("{} runs its deploy commands several times, and what they make is one", stage.name);
            let hint = "make it in a stage of its own before this one".to_owned();
            findings.add_hinted(Code::Derivation, at, message, hint);
        }
        let anew = stage.all_steps().find_map(|step| step.terms.makes.anew.first());
        if let Some((alias, other)) = anew.zip(pipeline.beside(&stage.name, &behind)) {
            let message = format!(
                "{} makes `{alias}` anew, and {} is beside it: it would get whichever is there when it starts",
                stage.name, other.name
            );
            let hint = format!("write `needs: [{}]` in {}, or the other way round", stage.name, other.name);
            findings.add_hinted(Code::Derivation, at, message, hint);
        }
        if let Some(publish) = published(stage) {
            let message =
                format!("{} makes artifacts and publishes them before anybody can approve them", stage.name);
            let hint = format!(
                "its approvals are of what it begins with; what it makes has another digest, which the next stage asks \
                 about: take the step out, and write `- {{name: publish, deploy: [{}]}}` behind {}",
                publish.written(),
                stage.name
            );
            findings.add_hinted(Code::Derivation, at, message, hint);
        }
    }
}

/// What a stage publishes first.
fn published(stage: &Stage) -> Option<&Publish> {
    stage
        .all_steps()
        .find_map(|step| if let Action::Publish(publish) = &step.action { Some(publish) } else { None })
}

fn makes(stage: &Stage) -> bool {
    stage.all_steps().any(|step| !step.terms.makes.is_nothing())
}

/// Hooks, tests and runbooks make nothing: only what deploys is done once for a release.
fn misplaced(view: View<'_>, findings: &mut Findings<'_>) {
    let lists = view.items("stages").iter().map(View::of).flat_map(|stage| {
        let hooks = stage.below("hooks");
        [(hooks, "before"), (hooks, "after"), (stage, "test_commands")]
    });
    let steps = lists.flat_map(|(view, key)| view.items(key).iter()).map(View::of);
    for entry in steps.filter_map(|step| MAKING.iter().find_map(|key| step.entry(key))) {
        let message = format!("`{}` belongs to a step of `deploy`", printable(&entry.key));
        findings.add(Code::Derivation, entry.key_at, message);
    }
}

fn check_names(steps: &[View<'_>], pipeline: &Pipeline, findings: &mut Findings<'_>) {
    let mut known: BTreeSet<&str> = pipeline.aliases().map(Alias::as_str).collect();
    for node in steps.iter().flat_map(|step| step.items("artifacts")) {
        let Some(text) = view::text(node) else { continue };
        if !known.insert(text) {
            let message = format!("there is an artifact `{}` already", printable(text));
            let hint = "write `derives` for one that takes its place, or another name".to_owned();
            findings.add_hinted(Code::Derivation, node.at, message, hint);
        }
    }
    let unknown =
        |node: &&Node| view::parsed::<Alias>(node).is_some_and(|alias| !known.contains(alias.as_str()));
    for node in steps.iter().flat_map(|step| step.items("derives")).filter(unknown) {
        let text = view::text(node).unwrap_or_default();
        let message = format!("there is no artifact `{}` to make anew", printable(text));
        let near = || nearest(text, known.iter().copied());
        findings.add_near(Code::Derivation, node.at, message, near);
    }
}
