//! A `CodeBuild` buildspec (version 0.2) → one step that runs its phases in order, and what it leaves behind.
//!
//! Source of the format: AWS `CodeBuild` user guide, "Build specification reference". Version 0.2 runs all
//! commands in one shell, so `cd` and `export` reach the commands after them; therefore all phases together are one
//! step.

use std::collections::BTreeMap;

use crate::domain::manifest::build::{clean_files, clean_path};
use crate::domain::manifest::keys::BUILDSPEC_OBJECT;
use crate::domain::manifest::node;
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::shape::{self, Shape};
use crate::domain::manifest::view::{self, View};
use crate::domain::pipeline::Step;

/// The phases in the order they run.
const PHASES: &[&str] = &["install", "pre_build", "build", "post_build"];

/// What a buildspec says.
#[derive(Debug, Default)]
pub(super) struct Spec {
    pub(super) steps: Vec<Step>,
    pub(super) environment: BTreeMap<String, String>,
    /// Paths below the tree.
    pub(super) artifacts: Vec<String>,
}

/// Reads a buildspec's text; problems go to `findings`, which belong to its file.
pub(super) fn read(path: &str, text: &str, findings: &mut Findings<'_>) -> Spec {
    let Some(root) = node::parse(text, findings) else { return Spec::default() };
    shape::check(&root, &Shape::Object(&BUILDSPEC_OBJECT), "the buildspec", findings);
    let spec = View::of(&root);
    let phases = spec.below("phases");
    let mut script = String::new();
    for phase in PHASES {
        for (index, command) in
            phases.below(phase).items("commands").iter().filter_map(view::text).enumerate()
        {
            if index == 0 {
                script.push_str("echo \"phase ");
                script.push_str(phase);
                script.push_str("\"\n");
            }
            script.push_str(command.trim_end());
            script.push('\n');
        }
    }
    let steps = if script.is_empty() { Vec::new() } else { vec![one_step(path, script)] };
    Spec { steps, environment: spec.below("env").variables("variables"), artifacts: artifacts(spec) }
}

/// A build that fails with the reason: the buildspec is not in the tree (row C33).
pub(super) fn missing(path: &str) -> Spec {
    let quoted = path.replace('\'', "'\\''");
    let run = format!(
        "printf '%s\\n' 'the buildspec {quoted} is not in this commit; commit it and push' >&2\nexit 1\n"
    );
    Spec { steps: vec![one_step(path, run)], ..Spec::default() }
}

fn one_step(path: &str, run: String) -> Step {
    Step::command(path, run)
}

fn artifacts(spec: View<'_>) -> Vec<String> {
    let block = spec.below("artifacts");
    let base = block.get("base-directory").and_then(view::text).and_then(|t| clean_path(t).ok());
    let base = base.unwrap_or_else(|| ".".to_owned());
    let files = block.items("files").iter().filter_map(view::text).filter_map(|t| clean_files(t).ok());
    let mut paths: Vec<String> = Vec::new();
    for file in files {
        let path = match (base.as_str(), file.as_str()) {
            (base, ".") => base.to_owned(),
            (".", file) => file.to_owned(),
            (base, file) => format!("{base}/{file}"),
        };
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    if paths.is_empty() && base != "." {
        paths.push(base);
    }
    paths
}
