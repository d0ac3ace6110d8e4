//! Steps that publish: `uses: publish`, with where to and what of the release.

use std::collections::BTreeMap;

use crate::domain::derivation::further;
use crate::domain::document::{Algorithm, Document};
use crate::domain::manifest::adapter;
use crate::domain::manifest::code::Code;
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::view::{self, View};
use crate::domain::name::{OutletName, printable};
use crate::domain::pipeline::step::Action;
use crate::domain::pipeline::{Pipeline, Stage};
use crate::domain::publication::{Called, Goods, Publish};

/// `uses: publish`; its inputs are taken out of `with`.
pub(super) fn files(
    view: View<'_>,
    with: &mut BTreeMap<String, String>,
    findings: &mut Findings<'_>,
) -> Option<Action> {
    let (to, what) = (with.remove("to"), with.remove("what"));
    check_keys(view, with, findings);
    let mut bad = |reason: String| findings.add(Code::BadStep, view.place("with"), reason);
    let what = match Goods::of_word(what.as_deref().unwrap_or("all")) {
        Ok(what) => what,
        Err(reason) => {
            bad(reason);
            Goods::All
        }
    };
    match to?.parse::<OutletName>() {
        Ok(to) => Some(Action::Publish(Publish::Files { to, what })),
        Err(error) => {
            bad(format!("`to`: {error}"));
            None
        }
    }
}

/// `uses: git-tags`: its own repository, every one that it took the tree of, and those that it took builds of.
pub(super) fn tags(
    view: View<'_>,
    with: &mut BTreeMap<String, String>,
    findings: &mut Findings<'_>,
) -> Action {
    let repos = with.remove("repos");
    let called = called(view, with, findings);
    check_keys(view, with, findings);
    if repos.as_deref().is_some_and(|repos| repos != "components") {
        let message = "`repos` is `components`: the release's repository and every one that it took the tree or builds of";
        findings.add(Code::BadStep, view.place("with"), message.to_owned());
    }
    Action::Publish(match called {
        Called::Candidate => Publish::Tags,
        Called::Final => Publish::FinalTags,
    })
}

/// `final: true`: by the version that the candidates lead up to.
fn called(view: View<'_>, with: &mut BTreeMap<String, String>, findings: &mut Findings<'_>) -> Called {
    if flag((view, "final", false), with, findings) { Called::Final } else { Called::Candidate }
}

/// A `true` or `false` of what a step is told, and what it is when nothing is said.
pub(super) fn flag(
    (view, name, default): (View<'_>, &str, bool),
    with: &mut BTreeMap<String, String>,
    findings: &mut Findings<'_>,
) -> bool {
    match with.remove(name).as_deref() {
        None => default,
        Some("true") => true,
        Some("false") => false,
        Some(_) => {
            findings.add(Code::BadStep, view.place("with"), format!("`{name}` is `true` or `false`"));
            default
        }
    }
}

/// `uses: github-release`.
pub(super) fn host_release(
    view: View<'_>,
    with: &mut BTreeMap<String, String>,
    findings: &mut Findings<'_>,
) -> Action {
    let (notes, metadata) =
        (flag((view, "notes", false), with, findings), flag((view, "metadata", false), with, findings));
    let called = called(view, with, findings);
    check_keys(view, with, findings);
    Action::Publish(Publish::HostRelease { notes, metadata, called })
}

/// `uses: checksums`.
pub(super) fn checksums(
    view: View<'_>,
    with: &mut BTreeMap<String, String>,
    findings: &mut Findings<'_>,
) -> Action {
    let algorithm = match with.remove("algorithm").as_deref() {
        None | Some("sha256") => Algorithm::Sha256,
        Some("sha512") => Algorithm::Sha512,
        Some(_) => {
            let message = "`algorithm` is `sha256` or `sha512`".to_owned();
            findings.add(Code::BadStep, view.place("with"), message);
            Algorithm::Sha256
        }
    };
    let aggregate = flag((view, "aggregate", true), with, findings);
    document(view, with, Document::Checksums { algorithm, aggregate }, findings)
}

/// `uses: release-notes` and `uses: release-metadata`.
pub(super) fn document(
    view: View<'_>,
    with: &BTreeMap<String, String>,
    document: Document,
    findings: &mut Findings<'_>,
) -> Action {
    let hint = "a step of its own behind it finds the file in $LIFTLOCK_DOCUMENTS";
    adapter::only(view, &["if", "blocking"], ("a step that writes a document", hint), findings);
    no_other_input(view, with, findings);
    Action::Write(document)
}

pub(super) fn no_other_input(view: View<'_>, with: &BTreeMap<String, String>, findings: &mut Findings<'_>) {
    if let Some(name) = with.keys().next() {
        let message = format!("`{}` is not one of the step's inputs", printable(name));
        findings.add(Code::BadStep, view.place("with"), message);
    }
}

/// Nothing runs here, so what is said of commands means nothing.
fn check_keys(view: View<'_>, with: &BTreeMap<String, String>, findings: &mut Findings<'_>) {
    let hint = "the server's config says how, and how often it is read back";
    let known = ["if", "timeout", "validate", "blocking"];
    adapter::only(view, &known, ("a step that publishes", hint), findings);
    no_other_input(view, with, findings);
}

/// The command of `validate`: what is published is read back whatever it says, so `true` asks for nothing more.
pub(super) fn validation(view: View<'_>, action: &Action, findings: &mut Findings<'_>) -> Option<String> {
    let node = view.get("validate")?;
    let command = view::text(node)?;
    if !matches!(action, Action::Publish(_)) {
        return Some(command.to_owned());
    }
    match command.trim() {
        "true" => None,
        "false" => {
            let message = "what is published is always read back".to_owned();
            let hint = "leave `validate` out, or give it a further command".to_owned();
            findings.add_hinted(Code::BadStep, node.at, message, hint);
            None
        }
        command => Some(command.to_owned()),
    }
}

/// What is published is an artifact of the pipeline.
pub(super) fn check(view: View<'_>, pipeline: &Pipeline, findings: &mut Findings<'_>) {
    let made = || pipeline.stages.iter().flat_map(further);
    for stage in &pipeline.stages {
        for (step, alias) in aliases(stage) {
            if pipeline.aliases().chain(made()).any(|known| known == alias) {
                continue;
            }
            let message =
                format!("\"{step}\" in {} publishes `{alias}`, which is not an artifact", stage.name);
            let known: Vec<String> =
                pipeline.aliases().chain(made()).map(|alias| format!("`{alias}`")).collect();
            let hint = format!(
                "`what` is `all`, `signed-bits`, `checksums`, `documents`, `evidence` or one of {}",
                known.join(", ")
            );
            findings.add_hinted(Code::BadStep, view.place("stages"), message, hint);
        }
    }
}

fn aliases(stage: &Stage) -> impl Iterator<Item = (&str, &crate::domain::name::Alias)> {
    stage.all_steps().filter_map(|step| match &step.action {
        Action::Publish(Publish::Files { what: Goods::One(alias), .. }) => Some((step.name.as_str(), alias)),
        Action::Publish(_)
        | Action::Write(_)
        | Action::Gather(_)
        | Action::Run(_)
        | Action::Script(_)
        | Action::Pause(_)
        | Action::Hook(_) => None,
    })
}
