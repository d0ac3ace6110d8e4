//! `contract` of a `release` → what the release must be made of.

use std::collections::BTreeSet;

use crate::domain::contract::{Asset, Contract, FileKind, PublicKey, Size};
use crate::domain::derivation::further;
use crate::domain::glob::Glob;
use crate::domain::manifest::code::Code;
use crate::domain::manifest::node::Node;
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::view::{self, View};
use crate::domain::name::{Alias, printable};
use crate::domain::pipeline::{Behind, Pipeline, Stage};

/// A size, as the table of keys asks.
pub(super) fn check_size(text: &str) -> Result<(), String> {
    text.parse::<Size>().map(drop)
}

/// A public key, as the table of keys asks.
pub(super) fn check_key(text: &str) -> Result<(), String> {
    text.parse::<PublicKey>().map(drop)
}

/// Where it stands.
pub(super) fn of(pipeline: View<'_>) -> Option<&Node> {
    pipeline.below("release").get("contract")
}

/// Reads it.
pub(super) fn read(node: Option<&Node>, findings: &mut Findings<'_>) -> Option<Contract> {
    let view = View::of(node?);
    let keys: BTreeSet<PublicKey> = view.all("keys").into_iter().collect();
    let assets: Vec<Asset> = view.items("assets").iter().filter_map(|node| asset(node, findings)).collect();
    if view.get("assets").is_some() && view.items("assets").is_empty() {
        let message = "a contract without assets promises nothing".to_owned();
        findings.add(Code::BadText, view.place("assets"), message);
    }
    let keys = view.get("keys").map(|_| keys);
    Some(Contract { assets, keys, sbom: view.flag("sbom").unwrap_or(false) })
}

fn asset(node: &Node, findings: &mut Findings<'_>) -> Option<Asset> {
    let view = View::of(node);
    let artifact = view::parsed(node).or_else(|| view.parsed("artifact"))?;
    let asset = Asset {
        files: view.parsed("files"),
        kind: view.line("kind").and_then(|word| FileKind::of_word(&word)),
        min_size: view.parsed("min_size"),
        max_size: view.parsed("max_size"),
        checksum: view.flag("checksum").unwrap_or(false),
        signed: view.flag("signed").unwrap_or(false),
        ..Asset::of(artifact)
    };
    if asset.kind == Some(FileKind::Image) && (asset.files.is_some() || asset.checksum || asset.signed) {
        let message = "an image is an artifact as a whole: its registry knows it by its digest".to_owned();
        let hint = "leave `files`, `checksum` and `signed` out".to_owned();
        findings.add_hinted(Code::BadText, view.place("kind"), message, hint);
    }
    if asset.files.as_ref().is_some_and(Glob::excludes) {
        let message = "`files` says what must be there, so it cannot begin with `!`".to_owned();
        findings.add(Code::BadText, view.place("files"), message);
    }
    if let (Some(least), Some(most)) = (asset.min_size, asset.max_size)
        && least > most
    {
        let message = format!("no file has at least {least} and at most {most}");
        findings.add(Code::BadText, view.place("max_size"), message);
    }
    Some(asset)
}

/// What a contract lists is an artifact of the pipeline, or one that a stage makes which all others come before or
/// behind: a stage beside it would be held to something that is there only when the other one was faster.
pub(super) fn check(view: View<'_>, pipeline: &Pipeline, findings: &mut Findings<'_>) {
    let Some(contract) = &pipeline.release.contract else { return };
    let made = pipeline.stages.iter().flat_map(further);
    let known: BTreeSet<&str> = pipeline.aliases().chain(made).map(Alias::as_str).collect();
    let behind = pipeline.behind();
    for node in view.below("release").below("contract").items("assets") {
        let named = View::of(node).get("artifact").unwrap_or(node);
        if let Some((maker, beside)) = view::text(named).and_then(|name| beside(name, pipeline, &behind)) {
            let message = format!(
                "`{}` is made in {}, and {} is neither before nor behind it",
                printable(view::text(named).unwrap_or_default()),
                maker.name,
                beside.name
            );
            let hint = format!("give {} `needs: [{}]`", beside.name, maker.name);
            findings.add_hinted(Code::Derivation, named.at, message, hint);
        }
        if let Some((maker, others)) =
            view::text(named).and_then(|name| passed_by_some(name, pipeline, &behind))
        {
            let name = printable(view::text(named).unwrap_or_default());
            let message = format!("`{name}` is made in {}, which {others} do not pass", maker.name);
            let hint = "every release keeps the contract: let all of them pass that stage, or do not promise what it makes";
            findings.add_hinted(Code::Derivation, named.at, message, hint.to_owned());
        }
        let Some(name) = view::text(named).filter(|name| !known.contains(name)) else { continue };
        if contract.assets.iter().any(|asset| asset.artifact.as_str() == name) {
            let message = format!("there is no artifact `{}`", printable(name));
            let all: Vec<String> = known.iter().map(|alias| format!("`{alias}`")).collect();
            let hint = format!("the release has {}", all.join(", "));
            findings.add_hinted(Code::UnknownArtifact, named.at, message, hint);
        }
    }
}

/// The stage that makes an artifact.
fn maker<'p>(alias: &str, pipeline: &'p Pipeline) -> Option<&'p Stage> {
    pipeline.stages.iter().find(|stage| further(stage).any(|made| made.as_str() == alias))
}

/// The stage that makes an artifact, and the releases that do not pass it, when there are any.
fn passed_by_some<'p>(
    alias: &str,
    pipeline: &'p Pipeline,
    behind: &Behind<'_>,
) -> Option<(&'p Stage, String)> {
    let maker = maker(alias, pipeline)?;
    let passed = |stage: &Stage| stage.name == maker.name || behind.leads(&stage.name, &maker.name);
    let narrow = pipeline.stages.iter().find(|stage| !stage.branches.is_any() && passed(stage));
    let branches = narrow.map(|stage| format!("releases of other branches than {}", stage.branches));
    let channel = pipeline.channels.iter().find(|c| !c.stages.is_empty() && !c.stages.contains(&maker.name));
    let channel = channel.map(|channel| format!("releases of the channel {}", channel.name));
    Some((maker, branches.or(channel)?))
}

/// The stage that makes an artifact, and one that is beside it.
fn beside<'p>(alias: &str, pipeline: &'p Pipeline, behind: &Behind<'_>) -> Option<(&'p Stage, &'p Stage)> {
    let maker = maker(alias, pipeline)?;
    Some((maker, pipeline.beside(&maker.name, behind)?))
}
