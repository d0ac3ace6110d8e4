//! `runbooks` → tasks beside deployments, with who may start them and when they start by themselves.

use std::collections::BTreeMap;

use crate::domain::approval::default_rule;
use crate::domain::manifest::approval::{Reading, Teams};
use crate::domain::manifest::build::TIMEOUT;
use crate::domain::manifest::code::Code;
use crate::domain::manifest::node::{Entry, Node};
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::step;
use crate::domain::manifest::view::{self, View};
use crate::domain::name::{StageName, printable};
use crate::domain::pipeline::{ApprovalRule, Exclusion, Role, Stage, Who};
use crate::domain::runbook::{Input, Runbook, is_input, is_value};
use crate::domain::schedule::Schedule;

/// Most runbooks of a pipeline; each is looked at with every timer.
const MAX_RUNBOOKS: usize = 50;

pub(super) fn check_input(text: &str) -> Result<(), String> {
    let why = "it starts with a small letter, then small letters, digits and `-`, at most 31";
    if is_input(text) { Ok(()) } else { Err(format!("`{}` is not an input's name: {why}", printable(text))) }
}

pub(super) fn check_value(text: &str) -> Result<(), String> {
    let why = "it is a word of letters, digits and `._:/@+,=-`";
    if is_value(text) { Ok(()) } else { Err(format!("`{}` is not an input's value: {why}", printable(text))) }
}

/// Reads all of them.
pub(super) fn read(
    pipeline: View<'_>,
    (stages, teams): (&[Stage], &Teams),
    findings: &mut Findings<'_>,
) -> Vec<Runbook> {
    let entries = pipeline.below("runbooks").entries();
    if let Some(first) = entries.get(MAX_RUNBOOKS) {
        let message =
            format!("a pipeline has at most {MAX_RUNBOOKS} runbooks, and here are {}", entries.len());
        findings.add(Code::TooLarge, first.key_at, message);
    }
    let shown = entries.iter().take(MAX_RUNBOOKS);
    shown.filter_map(|entry| runbook(entry, (stages, teams), findings)).collect()
}

fn runbook(
    entry: &Entry,
    (stages, teams): (&[Stage], &Teams),
    findings: &mut Findings<'_>,
) -> Option<Runbook> {
    let name = entry.key.parse().ok()?;
    if stages.iter().any(|stage| stage.name.as_str() == entry.key) {
        let message = format!("`{}` is a stage, too: commands could not tell them apart", entry.key);
        findings.add(Code::DuplicateName, entry.key_at, message);
    }
    let node = &entry.value;
    let view = View::of(node);
    let commands =
        if view::text(node).is_some() { Some(node) } else { view.get("run").or(view.get("steps")) };
    let steps = commands.map(|node| step::read(node, findings)).unwrap_or_default();
    if steps.is_empty() && commands.is_some_and(|node| view::text(node).is_none()) {
        findings.add(Code::WrongShape, view.place("steps"), "a runbook has at least one step".to_owned());
    }
    let approval = approval(view, teams, findings);
    let mut reading = Reading { teams, findings: &mut *findings };
    let from = match view.get("from") {
        Some(from) => view::items(from).iter().flat_map(|node| reading.everyone(node)).collect(),
        None => vec![Who::Role(Role::Maintain)],
    };
    if view.get("from").is_some_and(|node| view::items(node).is_empty()) {
        findings.add(Code::Impossible, view.place("from"), "nobody may start it: `from` is empty".to_owned());
    }
    Some(Runbook {
        name,
        steps,
        schedule: view.get("schedule").and_then(|node| schedule(node, findings)),
        from,
        approval,
        inputs: inputs(view, findings),
        stages: on_stages(view, stages, findings),
        environment_variables: view.variables("env"),
        secrets: view.names("secrets"),
        timeout: view.parsed("timeout").unwrap_or(TIMEOUT),
    })
}

/// A number of maintainers, whoever started it among them, or a rule.
///
/// A run has no commits of its own, so nobody wrote or pushed it.
fn approval(view: View<'_>, teams: &Teams, findings: &mut Findings<'_>) -> Option<ApprovalRule> {
    if let Some(min) = view.count("approval") {
        let hint = format!("write `approval: {{min: {min}, exclude: [initiator]}}` to ask for somebody else");
        let message = "whoever starts it may approve it".to_owned();
        if min > 0 {
            findings.add_hinted(Code::SelfApproval, view.place("approval"), message, hint);
        }
        return (min > 0).then(|| default_rule(min));
    }
    let rule = Reading { teams, findings: &mut *findings }.before(view)?;
    if rule.exclude.iter().any(|exclusion| *exclusion != Exclusion::Initiator) {
        let message = "a runbook has no commit authors and no pusher to exclude".to_owned();
        let hint = "write `exclude: [initiator]`: who started it".to_owned();
        findings.add_hinted(Code::BadChoice, view.below("approval").place("exclude"), message, hint);
    }
    Some(rule)
}

fn schedule(node: &Node, findings: &mut Findings<'_>) -> Option<Schedule> {
    let view = View::of(node);
    let (cron, tz) = (view.line("cron")?, view.line("tz")?);
    match Schedule::new(&cron, &tz) {
        Ok(schedule) => Some(schedule),
        Err(error) => {
            findings.add(Code::BadText, node.at, format!("`schedule`: {error}"));
            None
        }
    }
}

fn inputs(view: View<'_>, findings: &mut Findings<'_>) -> BTreeMap<String, Input> {
    let entries = view.below("inputs").entries().iter().filter(|entry| is_input(&entry.key));
    let mut inputs = BTreeMap::new();
    let scheduled = view.get("schedule").is_some();
    for entry in entries {
        let own = View::of(&entry.value);
        let input = Input {
            required: own.flag("required").unwrap_or(false),
            default: own.line("default"),
            choices: own.lines("choices"),
        };
        let default = input.default.as_ref().filter(|_| !input.choices.is_empty());
        if let Some(default) = default.filter(|default| !input.choices.contains(default)) {
            let message = format!("`{}` is not one of the choices", printable(default));
            findings.add(Code::BadChoice, own.place("default"), message);
        }
        if input.required && scheduled {
            let message = format!("nobody gives `{}` when its time comes", entry.key);
            let hint = "give it a `default`".to_owned();
            findings.add_hinted(Code::Impossible, own.place("required"), message, hint);
        }
        inputs.insert(entry.key.clone(), input);
    }
    inputs
}

fn on_stages(view: View<'_>, stages: &[Stage], findings: &mut Findings<'_>) -> Vec<StageName> {
    let mut named = Vec::new();
    for node in view.items("stages") {
        let Some(name) = view::parsed::<StageName>(node) else { continue };
        if stages.iter().any(|stage| stage.name == name) {
            named.push(name);
        } else {
            findings.add(Code::UnknownStage, node.at, format!("there is no stage `{name}`"));
        }
    }
    named.dedup();
    named
}
