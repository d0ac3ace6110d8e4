//! Artifacts that are `from` a workflow of the host's own CI: `actions/build.yml` (CHECKLIST E19).

use std::collections::BTreeMap;

use crate::domain::manifest::code::Code;
use crate::domain::manifest::node::Node;
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::trigger::{alias_of, from_of, is_upload};
use crate::domain::manifest::view::View;
use crate::domain::name::{Alias, printable};
use crate::domain::workflow::Workflow;

/// What `from` begins with when it means a workflow.
const ACTIONS: &str = "actions/";
/// Longest name of a workflow's file; the longest that file systems take.
const MAX_FILE_BYTES: usize = 255;
/// Longest name of an artifact that GitHub's uploader takes.
const MAX_NAME_BYTES: usize = 260;

/// Whether an artifact comes from a workflow.
pub(super) fn is_one(artifact: &Node) -> bool {
    from_of(artifact).is_some_and(|from| from.starts_with(ACTIONS))
}

/// The workflow's file, when that is what a `from` means.
pub(super) fn parse(from: &str) -> Option<Result<String, String>> {
    let file = from.strip_prefix(ACTIONS)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let yaml = file.strip_suffix(".yml").or_else(|| file.strip_suffix(".yaml"));
    let good = yaml.is_some_and(|stem| !stem.is_empty() && stem.chars().all(plain));
    Some(if good && file.len() <= MAX_FILE_BYTES {
        Ok(file.to_owned())
    } else {
        let shown = printable(file);
        Err(format!("`{shown}` is no workflow's file below `.github/workflows`: write `actions/build.yml`"))
    })
}

pub(super) fn check_name(text: &str) -> Result<(), String> {
    // What GitHub's uploader refuses: `":<>|*?\/` and control characters.
    let bad = |c: char| c.is_control() || "\":<>|*?\\/".contains(c);
    if text.is_empty() || text.len() > MAX_NAME_BYTES || text.contains(bad) {
        return Err(format!("`{}` is no artifact's name in a workflow", printable(text)));
    }
    Ok(())
}

/// Reads the artifacts that come from a workflow: one workflow, so that all of a release are of one run.
pub(super) fn read(pipeline: View<'_>, findings: &mut Findings<'_>) -> Option<Workflow> {
    let mut out: Option<Workflow> = None;
    for node in pipeline.items("artifacts") {
        let Some(file) = from_of(node).and_then(parse) else {
            alone(node, findings);
            continue;
        };
        let Some(alias) = alias_of(node, "an artifact of a workflow", findings) else { continue };
        let Ok(file) = file else { continue };
        let name = View::of(node).line("artifact").unwrap_or_else(|| alias.to_string());
        let known = out.get_or_insert_with(|| Workflow { file: file.clone(), artifacts: BTreeMap::new() });
        if known.file != file {
            let message = format!("artifacts come from one workflow, and `{}` is another", printable(&file));
            let hint = format!("let `{}` build all of them, or call the other", known.file);
            findings.add_hinted(Code::Exclusive, View::of(node).place("from"), message, hint);
            continue;
        }
        add(known, (alias, name), node, findings);
    }
    let mixed = pipeline.items("artifacts").iter().find(|node| is_upload(node)).filter(|_| out.is_some());
    if let Some(node) = mixed {
        let message = "artifacts of a workflow and those that are handed in do not go together".to_owned();
        findings.add(Code::Exclusive, View::of(node).place("from"), message);
    }
    out
}

fn add(workflow: &mut Workflow, (alias, name): (Alias, String), node: &Node, findings: &mut Findings<'_>) {
    if workflow.artifacts.insert(alias.clone(), name).is_some() {
        findings.add(Code::DuplicateName, node.at, format!("two artifacts are called `{alias}`"));
    }
}

/// `artifact` names something in a workflow.
fn alone(artifact: &Node, findings: &mut Findings<'_>) {
    if let Some(entry) = View::of(artifact).entry("artifact") {
        let message = "`artifact` goes with `from: actions/…`".to_owned();
        findings.add(Code::Exclusive, entry.key_at, message);
    }
}
