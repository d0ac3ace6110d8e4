//! `release` → what releases are called; what comes out for a release of main is looked at here.

use crate::domain::manifest::Sources;
use crate::domain::manifest::build::clean_path;
use crate::domain::manifest::code::Code;
use crate::domain::manifest::contract;
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::view::View;
use crate::domain::name::printable;
use crate::domain::naming::{NamingError, Template};
use crate::domain::notes;
use crate::domain::pipeline::{Kind, Naming, Pipeline};
use crate::domain::tag::SignTags;
use crate::domain::time::Timestamp;
use crate::domain::variable::{Facts, Resolution, hidden, of_release};
use crate::domain::version::Version;

/// A name or version with tokens, as the table of keys asks.
pub(super) fn check_template(text: &str) -> Result<(), String> {
    text.parse::<Template>().map(drop).map_err(|e| e.to_string())
}

/// Reads `release`.
pub(super) fn read(pipeline: View<'_>, files: &Sources, findings: &mut Findings<'_>) -> Naming {
    let release = pipeline.below("release");
    let notes = release.get("notes").map(|_| notes(release.below("notes"), files, findings));
    let (name, version) = (release.parsed("name"), release.parsed("version"));
    let contract = contract::read(release.get("contract"), findings);
    let sign_tags = release.line("sign_tags").map_or(SignTags::Never, |_| SignTags::Ssh);
    Naming { name, version, tz: release.parsed("tz"), notes, kind: kind(pipeline), contract, sign_tags }
}

/// What releasing means.
pub(super) fn kind(pipeline: View<'_>) -> Kind {
    match pipeline.below("release").line("kind").as_deref() {
        Some("publish") => Kind::Publish,
        Some(_) | None => Kind::Deploy,
    }
}

/// The file with the template of notes, if one is named.
pub(super) fn template(pipeline: View<'_>) -> Option<String> {
    clean_path(&pipeline.below("release").below("notes").line("template")?).ok()
}

fn notes(block: View<'_>, files: &Sources, findings: &mut Findings<'_>) -> notes::Rule {
    let from = match block.line("from").as_deref() {
        Some("pull_requests") => notes::From::PullRequests,
        Some(_) | None => notes::From::Commits,
    };
    let path = block.line("template").and_then(|path| clean_path(&path).ok());
    let Some(path) = path else { return notes::Rule { from, template: None } };
    let (at, shown) = (block.place("template"), printable(&path));
    let template = files.get(&path).cloned();
    match &template {
        None => {
            let message =
                format!("the template `{shown}` is not in the tree; the notes are written without it");
            let hint = format!("commit `{shown}`, or leave `template` out");
            findings.add_hinted(Code::NoTemplate, at, message, hint);
        }
        Some(text) => {
            if let Err(why) = notes::check_template(text) {
                findings.add(Code::BadText, at, format!("`template`: {shown}, {why}"));
            }
        }
    }
    notes::Rule { from, template }
}

/// Says what could not be made of a name or version whatever the commit.
pub(super) fn check(view: View<'_>, pipeline: &Pipeline, findings: &mut Findings<'_>) {
    let release = view.below("release");
    let naming = &pipeline.release;
    for (key, template) in [("name", &naming.name), ("version", &naming.version)] {
        let Some((template, node)) = template.as_ref().zip(release.get(key)) else { continue };
        let is_version = key == "version";
        let problem = match sample(pipeline, template) {
            Err(error) => error.to_string(),
            Ok(text) if is_version && text.parse::<Version>().is_err() => {
                format!("`{text}` is not a version such as `8.0.1`")
            }
            Ok(_) if is_version && !template.counts() => {
                "without `$(Rev:r)` two releases would have the same version".to_owned()
            }
            Ok(_) => continue,
        };
        findings.add(Code::Naming, node.at, format!("`release.{key}`: {problem}"));
    }
}

/// The name of a made-up release.
fn sample(pipeline: &Pipeline, template: &Template) -> Result<String, NamingError> {
    let levels = of_release(pipeline, &Facts::sample());
    let all = Resolution::of(&levels).map_err(|_| NamingError::Empty)?;
    let look_up = |name: &str| all.expand(&format!("$({name})"), "a name", &hidden).ok();
    template.render((Timestamp(0), &pipeline.release.zone()), &look_up)?.with(1)
}
