//! `agent` of a stage: with `none` it takes no commands from the pipeline, and without its own it runs none (row D30).

use crate::domain::check::CheckKind;
use crate::domain::manifest::view::View;
use crate::domain::pipeline::{Agent, Stage};

/// Keys that say what commands run or what they are given.
const OF_COMMANDS: &[&str] = &["deploy", "test_commands", "hooks", "env", "secrets", "oauth_token"];

/// Sets what `agent` says. "No build required" is no "nothing to do": zips are made and signed in such a stage, too,
/// where the server runs.
pub(super) fn set(view: View<'_>, stage: &mut Stage) {
    if view.line("agent").as_deref() != Some("none") {
        return;
    }
    if view.get("deploy").is_none() {
        stage.deploy = Vec::new();
    }
    let gates = stage.gates.pre.iter().chain(&stage.gates.post);
    let mut checks = stage.verify.checks().chain(gates);
    let runs = OF_COMMANDS.iter().any(|key| view.get(key).is_some())
        || checks.any(|check| matches!(check.kind, CheckKind::Run(_)))
        || stage.groups.iter().any(|group| group.write);
    stage.agent = if runs { Agent::Local } else { Agent::None };
}
