//! `targets` and `strategy: rolling` → which targets a stage deploys to, and in which batches.

use crate::domain::manifest::check::{self, Declared};
use crate::domain::manifest::code::Code;
use crate::domain::manifest::problem::{Findings, Place};
use crate::domain::manifest::view::View;
use crate::domain::pipeline::step::Action;
use crate::domain::pipeline::target::Rolling;
use crate::domain::pipeline::{Stage, Step, Targets};

/// The targets of a stage, if it has any.
pub(super) fn of_stage(
    stage: View<'_>,
    (declared, deploy): (&Declared, &[Step]),
    findings: &mut Findings<'_>,
) -> Option<Targets> {
    let rolling = stage.below("strategy").below("rolling");
    let Some(view) = stage.get("targets").map(View::of) else {
        if stage.below("strategy").get("rolling").is_some() {
            let message = "`rolling` says in which batches, and `targets` of what is missing".to_owned();
            let hint = "write `targets: {roles: [web]}`".to_owned();
            findings.add_hinted(Code::Targets, stage.place("strategy"), message, hint);
        }
        return None;
    };
    let asks = |step: &&Step| matches!(step.action, Action::Pause(_));
    if let Some(step) = deploy.iter().find(asks) {
        let message = format!("\"{}\" would ask people once for every target", step.name);
        let hint = "ask in a hook, before or after all of them".to_owned();
        findings.add_hinted(Code::Targets, stage.place("targets"), message, hint);
    }
    if stage.get("deployments").is_some() {
        let message = "`deployments` and `targets` exclude each other".to_owned();
        let hint = "deploy services in a stage of their own".to_owned();
        findings.add_hinted(Code::Exclusive, stage.place("targets"), message, hint);
    }
    let usual = Rolling::default();
    Some(Targets {
        roles: view.all("roles").into_iter().collect(),
        health: check::one(view, "health", declared, findings),
        rolling: Rolling {
            batch: rolling.parsed("batch").unwrap_or(usual.batch),
            max_unavailable: rolling.count("max_unavailable").unwrap_or(usual.max_unavailable),
        },
    })
}

/// A job is launched at a target, so there is one, and it is what the deploy does.
pub(super) fn check_hooks(stage: &Stage, at: Place, findings: &mut Findings<'_>) {
    let launches = |step: &&Step| matches!(step.action, Action::Hook(_));
    let around = stage.hooks.before.iter().chain(&stage.hooks.after).chain(&stage.test_commands);
    if let Some(step) = around.clone().find(launches) {
        let message = format!("\"{}\" launches a job at a target, which only `deploy` does", step.name);
        findings.add(Code::Targets, at, message);
    }
    if let (Some(step), None) = (stage.deploy.iter().find(launches), &stage.targets) {
        let message = format!("\"{}\" launches a job at a target, and the stage has none", step.name);
        let hint = "write `targets: {roles: [tower]}`".to_owned();
        findings.add_hinted(Code::Targets, at, message, hint);
    }
}
