//! `runbooks` → tasks beside deployments, with who may start them and when they start by themselves.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::approval::default_rule;
use crate::domain::input::{Input, is_input, is_value};
use crate::domain::manifest::approval::{Reading, Teams};
use crate::domain::manifest::build::TIMEOUT;
use crate::domain::manifest::code::Code;
use crate::domain::manifest::node::{Entry, Node};
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::shape::nearest;
use crate::domain::manifest::step;
use crate::domain::manifest::view::{self, View};
use crate::domain::name::{StageName, printable};
use crate::domain::pipeline::step::Terms;
use crate::domain::pipeline::{ApprovalRule, Exclusion, Pipeline, Role, Stage, Step, Who};
use crate::domain::runbook::{Runbook, variable};
use crate::domain::schedule::Schedule;

/// What a step's `uses` begins with when it means a runbook.
const USED: &str = "runbook/";
/// Keys of a step that uses a runbook; everything else is said in the runbook.
const OF_USE: &[&str] = &["name", "uses", "with", "connection", "env", "if", "always", "blocking", "timeout"];
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
    (stages, teams): (&BTreeSet<&str>, &Teams),
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
    (stages, teams): (&BTreeSet<&str>, &Teams),
    findings: &mut Findings<'_>,
) -> Option<Runbook> {
    let name = entry.key.parse().ok()?;
    if stages.contains(entry.key.as_str()) {
        let message = format!("`{}` is a stage, too: commands could not tell them apart", entry.key);
        findings.add(Code::DuplicateName, entry.key_at, message);
    }
    let node = &entry.value;
    let view = View::of(node);
    let commands =
        if view::text(node).is_some() { Some(node) } else { view.get("run").or(view.get("steps")) };
    let steps = commands.map(|node| step::read(node, &[], findings)).unwrap_or_default();
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
        inputs: inputs(view, view.get("schedule").map(|_| Code::Impossible), findings),
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

pub(super) fn schedule(node: &Node, findings: &mut Findings<'_>) -> Option<Schedule> {
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

/// What may be given; when it also starts by itself, what is needed then has nobody who gives it, which is so bad.
pub(super) fn inputs(
    view: View<'_>,
    by_itself: Option<Code>,
    findings: &mut Findings<'_>,
) -> BTreeMap<String, Input> {
    let entries = view.below("inputs").entries().iter().filter(|entry| is_input(&entry.key));
    let mut inputs = BTreeMap::new();
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
        if let Some(code) = by_itself.filter(|_| input.required) {
            let message = format!("nobody gives `{}` when it starts by itself", entry.key);
            findings.add_hinted(code, own.place("required"), message, "give it a `default`".to_owned());
        }
        inputs.insert(entry.key.clone(), input);
    }
    inputs
}

fn on_stages(view: View<'_>, stages: &BTreeSet<&str>, findings: &mut Findings<'_>) -> Vec<StageName> {
    let mut named = Vec::new();
    for node in view.items("stages") {
        let Some(name) = view::parsed::<StageName>(node) else { continue };
        if stages.contains(name.as_str()) {
            named.push(name);
        } else {
            findings.add(Code::UnknownStage, node.at, format!("there is no stage `{name}`"));
        }
    }
    named.dedup();
    named
}

/// The runbook that a step uses, and where it says so.
pub(super) fn used(step: View<'_>) -> Option<(&'_ Node, &'_ str)> {
    let uses = step.get("uses")?;
    Some((uses, view::text(uses)?.trim().strip_prefix(USED)?))
}

/// The steps of the runbook that a stage's step uses, each on the terms of that step.
pub(super) fn steps(
    view: View<'_>,
    (uses, name): (&Node, &str),
    books: &[Runbook],
    findings: &mut Findings<'_>,
) -> Vec<Step> {
    for entry in view.entries().iter().filter(|entry| !OF_USE.contains(&entry.key.as_str())) {
        let message = format!("`{}` does not go with `uses: runbook/…`", entry.key);
        findings.add(Code::BadStep, entry.key_at, message);
    }
    let Some(book) = books.iter().find(|book| book.name.as_str() == name) else {
        let message = format!("there is no runbook `{}`", printable(name));
        let known = books.iter().map(|book| book.name.as_str());
        findings.add_near(Code::BadStep, uses.at, message, || nearest(name, known));
        return Vec::new();
    };
    let inputs = match book.take(&view.variables("with")) {
        Ok(inputs) => inputs,
        Err(why) => {
            findings.add(Code::BadStep, view.get("with").map_or(uses.at, |with| with.at), why);
            return Vec::new();
        }
    };
    let mut given = book.environment_variables.clone();
    given.extend(view.variables("env"));
    let called = view.line("name").unwrap_or_else(|| format!("{USED}{name}"));
    let one = |step: &Step| {
        let mut environment = given.clone();
        environment.extend(step.environment.clone());
        environment.extend(inputs.iter().map(|(name, value)| (variable(name), value.clone())));
        let limit = view.parsed("timeout").unwrap_or(book.timeout);
        let terms = Terms {
            runbook: Some(book.name.clone()),
            connection: view.line("connection"),
            condition: view.line("if"),
            always: view.flag("always").unwrap_or(false),
            advisory: view.flag("blocking") == Some(false),
            timeout: Some(step.terms.timeout.map_or(limit, |own| own.min(limit))),
            ..(*step.terms).clone()
        };
        let name = if book.steps.len() == 1 { called.clone() } else { format!("{called}: {}", step.name) };
        Step { name, action: step.action.clone(), environment, terms: Box::new(terms) }
    };
    book.steps.iter().map(one).collect()
}

/// What a runbook asks for, the stage that uses it must have.
pub(super) fn check(view: View<'_>, pipeline: &Pipeline, findings: &mut Findings<'_>) {
    let places: Vec<_> = view.items("stages").iter().filter_map(super::stage::name_of).collect();
    for stage in &pipeline.stages {
        let at = places.iter().find(|(name, _)| *name == stage.name.as_str()).map(|(_, at)| *at);
        let named: BTreeSet<_> = stage.all_steps().filter_map(|step| step.terms.runbook.as_ref()).collect();
        for book in named.into_iter().filter_map(|name| pipeline.runbook(name)) {
            for (message, hint) in lacks(stage, book) {
                findings.add_hinted(Code::BadStep, at.unwrap_or_default(), message, hint);
            }
        }
    }
}

fn lacks(stage: &Stage, book: &Runbook) -> Vec<(String, String)> {
    let (stage_name, name) = (&stage.name, &book.name);
    let mut lacks = Vec::new();
    if !book.stages.is_empty() && !book.stages.contains(stage_name) {
        let message = format!("stage `{stage_name}` uses `{USED}{name}`, which does not work on it");
        lacks.push((message, format!("add `{stage_name}` to `stages` of the runbook")));
    }
    for secret in book.secrets.difference(&stage.secrets) {
        let message =
            format!("stage `{stage_name}` uses `{USED}{name}` and does not have its secret `{secret}`");
        lacks.push((message, format!("add `{secret}` to `secrets` of the stage")));
    }
    if book.approval.is_some() && stage.approval.is_none() {
        let message =
            format!("`{USED}{name}` asks for approval, and stage `{stage_name}` uses it and asks nobody");
        lacks.push((message, "give the stage an `approval`".to_owned()));
    }
    lacks
}
