//! Artifacts that are images: what they are called in registries, and the folder that the build leaves.

use crate::domain::image::{Base, ImageName};
use crate::domain::manifest::build::clean_path;
use crate::domain::manifest::code::Code;
use crate::domain::manifest::node::Node;
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::trigger;
use crate::domain::manifest::view::View;
use crate::domain::name::Alias;

/// What `kind` says of one.
const IMAGE: &str = "image";

pub(super) fn check_name(text: &str) -> Result<(), String> {
    text.parse::<ImageName>().map(drop)
}

/// An image that commands run in.
pub(super) fn check_base(text: &str) -> Result<(), String> {
    Base::try_from(text.to_owned()).map(drop)
}

/// The OCI layout of an image that names no `path`.
pub(super) fn usual_path(alias: &Alias) -> Option<String> {
    clean_path(&format!("dist/{alias}")).ok()
}

/// Whether an artifact of another pipeline must be an image, and what that is called here.
pub(super) fn inherited(artifact: &Node) -> (bool, Option<ImageName>) {
    let view = View::of(artifact);
    let name = view.parsed("image");
    (name.is_some() || view.line("kind").as_deref() == Some(IMAGE), name)
}

/// The name of an artifact of the pipeline's own that is an image.
pub(super) fn read(artifact: &Node, findings: &mut Findings<'_>) -> Option<ImageName> {
    let view = View::of(artifact);
    let (kind, name) = (view.entry("kind"), view.entry("image"));
    let is_image = view.line("kind").as_deref() == Some(IMAGE);
    if let Some(from) = trigger::from_of(artifact) {
        if let Some(entry) = name.or(kind.filter(|_| is_image)).filter(|_| !from.starts_with(trigger::BUILD))
        {
            let message = format!("`{}` goes with what a build left, here or in another pipeline", entry.key);
            findings.add(Code::Exclusive, entry.key_at, message);
        }
        return None;
    }
    if view.entries().is_empty() {
        return None;
    }
    match (is_image, name) {
        (true, None) => {
            let at = kind.map_or(artifact.at, |entry| entry.key_at);
            findings.add(
                Code::MissingKey,
                at,
                "`kind: image` needs `image`, its name in registries".to_owned(),
            );
            None
        }
        (false, Some(entry)) if kind.is_some() => {
            findings.add(Code::Exclusive, entry.key_at, "`image` goes with `kind: image`".to_owned());
            None
        }
        (_, Some(_)) => {
            if view.get("alias").is_none() {
                findings.add(Code::MissingKey, artifact.at, "an image needs `alias`".to_owned());
            }
            view.parsed("image")
        }
        (false, None) => {
            if view.get("path").is_none() {
                let message = "an artifact needs one of `path` and `from`".to_owned();
                findings.add(Code::MissingKey, artifact.at, message);
            }
            None
        }
    }
}
