//! `strategy` → how a stage brings a release out when not all at once; `rolling` is read with its targets.

use crate::domain::manifest::check::{self, Declared};
use crate::domain::manifest::code::Code;
use crate::domain::manifest::node::Node;
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::view::{self, View};
use crate::domain::name::SlotName;
use crate::domain::pipeline::step::Action;
use crate::domain::pipeline::strategy::{BlueGreen, Portion, Strategy};
use crate::domain::pipeline::{Stage, Step};

/// What a stage says about it.
pub(super) fn of_stage(
    stage: View<'_>,
    (declared, deploy): (&Declared, &[Step]),
    findings: &mut Findings<'_>,
) -> Option<Strategy> {
    let written = stage.below("strategy");
    let strategy = match (written.get("canary"), written.get("blue_green")) {
        (Some(_), _) => canary(written, declared, findings),
        (None, Some(node)) => blue_green((stage, node), declared, findings)?,
        (None, None) => return None,
    };
    let (word, place) = match &strategy {
        Strategy::Canary(_) => ("portion", written.place("canary")),
        Strategy::BlueGreen(_) => ("slot", written.place("blue_green")),
    };
    let asks = |step: &&Step| matches!(step.action, Action::Pause(_));
    if let Some(step) = deploy.iter().find(asks).filter(|_| stage.get("targets").is_none()) {
        let message = format!("\"{}\" would ask people once for every {word}", step.name);
        let hint = "ask in a hook, before or after all of them".to_owned();
        findings.add_hinted(Code::Strategy, place, message, hint);
    }
    let idle = stage.line("agent").as_deref() == Some("none") && stage.get("deploy").is_none();
    if deploy.is_empty() || idle {
        let message = format!("the deploy commands bring a {word} out, and there are none");
        let hint = format!("write `deploy`; commands are told by `${}`", told(&strategy));
        findings.add_hinted(Code::Strategy, place, message, hint);
    }
    if let Some(entry) = stage.entry("deployments") {
        refuse_several(entry.key_at, findings);
    }
    Some(strategy)
}

/// What commands are told.
fn told(strategy: &Strategy) -> &'static str {
    match strategy {
        Strategy::Canary(_) => "LIFTLOCK_PERCENT",
        Strategy::BlueGreen(_) => "LIFTLOCK_SLOT",
    }
}

fn canary(written: View<'_>, declared: &Declared, findings: &mut Findings<'_>) -> Strategy {
    let nodes = written.items("canary");
    let portions: Vec<Portion> = nodes.iter().filter_map(|node| portion(node, declared, findings)).collect();
    if portions.len() == nodes.len() {
        check_order(nodes, &portions, findings);
    }
    if nodes.len() < 2 {
        let message = "a canary of one portion is none".to_owned();
        let hint = "write `canary: [{percent: 10, for: 30m}, {percent: 100}]`".to_owned();
        findings.add_hinted(Code::Strategy, written.place("canary"), message, hint);
    }
    Strategy::Canary(portions)
}

fn blue_green(
    (stage, node): (View<'_>, &Node),
    declared: &Declared,
    findings: &mut Findings<'_>,
) -> Option<Strategy> {
    let view = View::of(node);
    let named: Vec<SlotName> = view.all("slots");
    let usual = || Some(["blue".parse().ok()?, "green".parse().ok()?]);
    let slots = match named.as_slice() {
        [] if view.get("slots").is_none() => usual(),
        [first, second] if first != second => Some([first.clone(), second.clone()]),
        _ => {
            let message = "one of two slots is live: `slots` names two different ones".to_owned();
            let hint = "write `slots: [blue, green]`; the first is filled first".to_owned();
            findings.add_hinted(Code::Strategy, view.place("slots"), message, hint);
            usual()
        }
    }?;
    if let Some(entry) = stage.entry("targets") {
        let message = "a slot is all of the stage, and `targets` are parts of it".to_owned();
        let hint =
            "let the deploy commands reach what is in `$LIFTLOCK_SLOT`, or write `rolling` or `canary`";
        findings.add_hinted(Code::Strategy, entry.key_at, message, hint.to_owned());
    }
    let gates = check::several(view, "gates", declared, findings);
    let keep = view.parsed("keep");
    if !gates.is_empty() && view.get("keep").is_none() {
        let message = "`gates` are sampled for as long as the other slot is kept".to_owned();
        let hint = "write how long: `keep: 1h`".to_owned();
        findings.add_hinted(Code::Strategy, view.place("gates"), message, hint);
    }
    let switch = view.get("switch").and_then(view::text).unwrap_or_default();
    Some(Strategy::BlueGreen(Box::new(BlueGreen {
        slots,
        switch: Step::command("switch", switch),
        before: check::several(view, "before", declared, findings),
        gates,
        keep,
    })))
}

fn portion(node: &Node, declared: &Declared, findings: &mut Findings<'_>) -> Option<Portion> {
    let view = View::of(node);
    let gates = check::several(view, "gates", declared, findings);
    Some(Portion { percent: view.count("percent")?, hold: view.parsed("for"), gates })
}

/// Portions rise to 100, and each but the last is watched for a while.
fn check_order(nodes: &[Node], portions: &[Portion], findings: &mut Findings<'_>) {
    let mut before = 0;
    for (nth, (node, portion)) in nodes.iter().zip(portions).enumerate() {
        let view = View::of(node);
        let last = nth + 1 == portions.len();
        if portion.percent <= before {
            let message = format!("{} % do not follow {before} %: portions rise", portion.percent);
            findings.add(Code::Strategy, view.place("percent"), message);
        }
        before = portion.percent;
        if last && portion.percent != 100 {
            let message = "the last portion is 100: a release is nowhere live in part".to_owned();
            let hint = "add `{percent: 100}`".to_owned();
            findings.add_hinted(Code::Strategy, view.place("percent"), message, hint);
        }
        if !last && portion.hold.is_none() && view.get("for").is_none() {
            let message = format!("{} % is not watched for any time", portion.percent);
            let hint = "write how long: `for: 30m`".to_owned();
            findings.add_hinted(Code::Strategy, node.at, message, hint);
        }
        for key in ["for", "gates"].into_iter().filter(|key| last && view.get(key).is_some()) {
            let message = format!("nothing comes behind the last portion that `{key}` could keep");
            let hint =
                "what is asked once all of it runs is the stage's own: `verify` and `gates`".to_owned();
            findings.add_hinted(Code::Strategy, view.place(key), message, hint);
        }
    }
}

/// A stage that turned out to deploy several things.
pub(super) fn with_deployments(stage: &Stage, view: View<'_>, findings: &mut Findings<'_>) {
    if view.get("deployments").is_some() {
        return;
    }
    if stage.strategy.is_some() {
        refuse_several(view.place("strategy"), findings);
    }
    if stage.targets.is_some() {
        let message = "`targets` deploy one thing, and the stage deploys several".to_owned();
        let hint = "deploy services in a stage of their own".to_owned();
        findings.add_hinted(Code::Exclusive, view.place("targets"), message, hint);
    }
}

fn refuse_several(at: crate::domain::manifest::problem::Place, findings: &mut Findings<'_>) {
    let message = "`strategy` brings one thing out, and the stage deploys several".to_owned();
    let hint = "deploy each in a stage or pipeline of its own".to_owned();
    findings.add_hinted(Code::Strategy, at, message, hint);
}
