//! `rollback` → when a stage goes back by itself, and the warning about a stage that does not say how it goes back.

use std::collections::BTreeSet;

use crate::domain::manifest::code::Code;
use crate::domain::manifest::problem::{Findings, Place};
use crate::domain::manifest::view::{self, View};
use crate::domain::name::StageName;
use crate::domain::pipeline::rollback::{Rollback, Trigger};
use crate::domain::pipeline::{Agent, Pipeline, Stage};

/// What a stage says about going back.
pub(super) fn of_stage(stage: View<'_>, findings: &mut Findings<'_>) -> Rollback {
    let rule = stage.below("rollback");
    let safe = rule.flag("safe").unwrap_or(true);
    let auto: BTreeSet<Trigger> = match rule.flag("auto") {
        Some(true) => Trigger::USUAL.into(),
        Some(false) => BTreeSet::new(),
        None => rule.items("auto").iter().filter_map(view::text).filter_map(Trigger::of_word).collect(),
    };
    if auto.is_empty() && !safe {
        let message = "`safe: false` says nothing where nothing goes back by itself".to_owned();
        let hint = "write `auto`, so that the stage is held and people are asked".to_owned();
        findings.add_hinted(Code::Impossible, rule.place("safe"), message, hint);
    }
    Rollback { auto, approvals: rule.count("approval").unwrap_or(0), safe }
}

/// People are shown how a stage goes back when they are asked; a stage of theirs or of production that does not say
/// has no plan (row E05).
pub(super) fn warn_without(
    view: View<'_>,
    (stage, production, at): (&Stage, bool, Place),
    findings: &mut Findings<'_>,
) {
    let deploys = stage.agent != Agent::None && !stage.deploy.is_empty();
    let matters = production || stage.approval.is_some() || stage.signoff.is_some();
    if view.get("rollback").is_none() && deploys && matters {
        let message = format!("`{}` does not say how a release is taken back", stage.name);
        let hint = "write `rollback: {auto: true}` to go back by itself when checks or gates fail, or \
                    `rollback: {approval: 1}` when people decide"
            .to_owned();
        findings.add_hinted(Code::NoRollback, at, message, hint);
    }
}

/// What is shipped to others is not taken back, whatever a stage says.
pub(super) fn check_shipped(view: View<'_>, pipeline: &Pipeline, findings: &mut Findings<'_>) {
    for node in view.items("stages") {
        let own = View::of(node);
        let stage = own.parsed::<StageName>("name").and_then(|name| pipeline.stage(&name));
        let rule =
            own.entry("rollback").filter(|_| stage.is_some_and(|stage| pipeline.release.kind.ships(stage)));
        if let Some(rule) = rule {
            let message = "what is published with `release: {kind: publish}` is not taken back".to_owned();
            let hint = "leave `rollback` out; a newer version takes its place".to_owned();
            findings.add_hinted(Code::Exclusive, rule.key_at, message, hint);
        }
    }
}
