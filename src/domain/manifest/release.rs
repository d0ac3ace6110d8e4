//! `release` → what releases are called; what comes out for a release of main is looked at here.

use crate::domain::manifest::code::Code;
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::view::View;
use crate::domain::naming::{NamingError, Template};
use crate::domain::pipeline::{Naming, Pipeline};
use crate::domain::time::Timestamp;
use crate::domain::variable::{Facts, Resolution, hidden, of_release};
use crate::domain::version::Version;

/// A name or version with tokens, as the table of keys asks.
pub(super) fn check_template(text: &str) -> Result<(), String> {
    text.parse::<Template>().map(drop).map_err(|e| e.to_string())
}

/// Reads `release`.
pub(super) fn read(pipeline: View<'_>) -> Naming {
    let release = pipeline.below("release");
    Naming { name: release.parsed("name"), version: release.parsed("version") }
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
    template.render(Timestamp(0), &look_up)?.with(1)
}
