//! `agent` of a stage: with `none` it runs no commands, and whatever would need one is refused (row D30).

use crate::domain::check::CheckKind;
use crate::domain::manifest::code::Code;
use crate::domain::manifest::problem::{Findings, Place};
use crate::domain::manifest::view::View;
use crate::domain::pipeline::{Agent, Stage};

/// Keys that say what commands run or what they are given.
const OF_COMMANDS: &[&str] = &["deploy", "test_commands", "hooks", "env", "secrets", "oauth_token"];

/// Reads `agent`.
pub(super) fn of_stage(stage: View<'_>) -> Agent {
    if stage.line("agent").as_deref() == Some("none") { Agent::None } else { Agent::Local }
}

/// Takes the commands that stages have from the pipeline, and says what is written for commands that never run.
pub(super) fn check(view: View<'_>, stage: &mut Stage, findings: &mut Findings<'_>) {
    if stage.agent != Agent::None {
        return;
    }
    stage.deploy = Vec::new();
    for key in OF_COMMANDS {
        if let Some(entry) = view.entry(key) {
            refuse(entry.key_at, &format!("`{key}` is for commands"), findings);
        }
    }
    let gates = stage.gates.pre.iter().chain(&stage.gates.post);
    let named =
        stage.verify.checks().map(|check| ("verify", check)).chain(gates.map(|check| ("gates", check)));
    for (key, check) in named.filter(|(_, check)| matches!(check.kind, CheckKind::Run(_))) {
        refuse(view.place(key), &format!("the check `{}` is a command", check.name), findings);
    }
    for group in stage.groups.iter().filter(|group| group.write) {
        refuse(
            view.place("groups"),
            &format!("`write` of the group `{}` is for commands", group.name),
            findings,
        );
    }
}

fn refuse(at: Place, what: &str, findings: &mut Findings<'_>) {
    let message = format!("{what}, and a stage with `agent: none` runs none");
    let hint = "take one of the two away".to_owned();
    findings.add_hinted(Code::NoAgent, at, message, hint);
}
