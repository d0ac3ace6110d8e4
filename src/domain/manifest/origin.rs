//! Artifacts that are `from` another repository: `git+https://host/owner/name@branch` (CHECKLIST B16).

use crate::domain::manifest::code::Code;
use crate::domain::manifest::node::Node;
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::source::normalise_repository;
use crate::domain::manifest::trigger;
use crate::domain::manifest::view::View;
use crate::domain::name::{RefName, printable};
use crate::domain::source::Named;

/// What `from` begins with when it means another repository.
const GIT: &str = "git+";
/// What `kind` says of one.
const SOURCE: &str = "source";
/// How one is written.
const EXAMPLE: &str = "write `git+https://host/owner/name@branch`";

/// Whether a `from` means another repository.
pub(super) fn is_one(text: &str) -> bool {
    text.starts_with(GIT)
}

/// The repository as `host/path`, and the branch or tag.
pub(super) fn parse(text: &str) -> Result<(String, RefName), String> {
    let refuse = |why: &str| Err(format!("`{}`: {why}; {EXAMPLE}", printable(text)));
    let address = text.strip_prefix(GIT).unwrap_or(text);
    if !address.starts_with("https://") && !address.starts_with("ssh://") {
        return refuse("another repository is named by `git+https://` or `git+ssh://`");
    }
    // In `ssh://git@host/…` the first `@` is the user's.
    let has_path = |before: &str| before.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    match address.rsplit_once('@').filter(|(before, _)| has_path(before)) {
        Some((address, reference)) => {
            let reference = reference.parse().map_err(|e| format!("{e}"))?;
            Ok((normalise_repository(address)?, reference))
        }
        None => refuse("it names no branch or tag"),
    }
}

/// Reads the artifacts that are the trees of other repositories.
pub(super) fn read(pipeline: View<'_>, findings: &mut Findings<'_>) -> Vec<Named> {
    let mut out: Vec<Named> = Vec::new();
    for node in pipeline.items("artifacts") {
        check_kind(node, findings);
        let from = trigger::from_of(node).filter(|text| is_one(text));
        let Some(Ok((repository, reference))) = from.map(parse) else { continue };
        let Some(alias) = trigger::alias_of(node, "an artifact of another repository", findings) else {
            continue;
        };
        if out.iter().any(|known| known.alias == alias) {
            findings.add(Code::DuplicateName, node.at, format!("two artifacts are called `{alias}`"));
            continue;
        }
        out.push(Named { alias, repository, reference });
    }
    out
}

/// `kind` says what `from` says already, and never something else.
fn check_kind(node: &Node, findings: &mut Findings<'_>) {
    let view = View::of(node);
    let Some(entry) = view.entry("kind") else { return };
    let source = view.line("kind").as_deref() == Some(SOURCE);
    if source != trigger::from_of(node).is_some_and(is_one) {
        let message = "`kind: source` and `from: git+…` go together".to_owned();
        findings.add(Code::Exclusive, entry.key_at, message);
    }
}
