//! A classic release definition of Azure DevOps, as `GET …/_apis/release/definitions/{id}` answers it.
//!
//! Source of the shape: Azure DevOps REST API 7.1, "Definitions - Get" of the Release area.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Deserialize;

use crate::domain::import::{Broken, Imported, finished, first_line, quoted};
use crate::domain::name::{PipelineName, StageName, VariableName, printable};

/// Most characters of a stage's name.
const STAGE_CHARS: usize = 31;
/// Longest wait for an approval that a manifest takes, in minutes: 90 days.
const MAX_MINUTES: u64 = 90 * 24 * 60;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Definition {
    name: String,
    description: Option<String>,
    release_name_format: Option<String>,
    variables: BTreeMap<String, Variable>,
    variable_groups: Vec<u64>,
    artifacts: Vec<Artifact>,
    triggers: Vec<Trigger>,
    environments: Option<Vec<Environment>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Variable {
    value: Option<String>,
    is_secret: bool,
    allow_override: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Artifact {
    alias: String,
    #[serde(rename = "type")]
    kind: String,
    definition_reference: BTreeMap<String, Reference>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reference {
    name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Trigger {
    trigger_type: String,
    artifact_alias: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Environment {
    name: String,
    rank: i64,
    variables: BTreeMap<String, Variable>,
    variable_groups: Vec<u64>,
    conditions: Vec<Condition>,
    pre_deploy_approvals: Approvals,
    post_deploy_approvals: Approvals,
    pre_deployment_gates: Gates,
    post_deployment_gates: Gates,
    deploy_phases: Vec<Phase>,
    retention_policy: Option<Retention>,
    schedules: Vec<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Condition {
    name: String,
    condition_type: serde_json::Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Approvals {
    approvals: Vec<Approval>,
    approval_options: Option<Options>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Approval {
    is_automated: bool,
    approver: Option<Approver>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Approver {
    display_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Options {
    required_approver_count: Option<u32>,
    release_creator_can_be_approver: bool,
    timeout_in_minutes: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Gates {
    gates: Vec<Gate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Gate {
    tasks: Vec<Task>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Phase {
    name: String,
    #[serde(rename = "phaseType")]
    kind: serde_json::Value,
    workflow_tasks: Vec<Task>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Task {
    name: String,
    version: String,
    enabled: Option<bool>,
    always_run: bool,
    continue_on_error: bool,
    timeout_in_minutes: u64,
    inputs: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Retention {
    days_to_keep: u32,
    releases_to_keep: u32,
}

/// What is written and what is left.
#[derive(Debug, Default)]
struct Draft {
    out: String,
    left: Vec<String>,
}

impl Draft {
    fn line(&mut self, depth: usize, text: &str) {
        writeln!(self.out, "{:indent$}{text}", "", indent = depth * 2).unwrap_or_default();
    }

    fn left(&mut self, text: String) {
        self.left.push(text);
    }
}

/// A manifest with the stages of a release definition.
pub fn azure_release(text: &str) -> Result<Imported, Broken> {
    let read: Definition = serde_json::from_str(text)
        .map_err(|e| format!("it is not a release definition: {}", first_line(&e.to_string())))?;
    let Some(mut environments) = read.environments else {
        return Err("it has no `environments`, so it is no release definition".to_owned());
    };
    if environments.is_empty() {
        return Err("it has no stage".to_owned());
    }
    environments.sort_by_key(|environment| environment.rank);
    let mut draft = Draft::default();
    draft.line(0, "version: 1");
    head(&mut draft, (&read.name, read.description.as_deref(), read.release_name_format.as_deref()));
    variables(&mut draft, 0, &read.variables, "the pipeline");
    groups(&mut draft, &read.variable_groups, "the pipeline");
    sources(&mut draft, &read.artifacts, &read.triggers);
    retention(&mut draft, &environments);
    let names = stage_names(&environments);
    draft.line(0, "stages:");
    for (environment, name) in environments.iter().zip(&names) {
        stage(&mut draft, environment, (name, &environments, &names));
    }
    finished(draft.out, draft.left)
}

fn head(draft: &mut Draft, (name, description, format): (&str, Option<&str>, Option<&str>)) {
    let clean: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
    let clean = clean.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned();
    if clean.parse::<PipelineName>().is_ok() {
        draft.line(0, &format!("name: {clean}"));
    }
    if clean != name && !name.trim().is_empty() {
        draft.line(0, &format!("title: {}", quoted(&printable(name))));
    }
    if let Some(description) = description.map(first_line).filter(|text| !text.trim().is_empty()) {
        draft.line(0, &format!("description: {}", quoted(&printable(description))));
    }
    if let Some(format) = format.filter(|text| !text.trim().is_empty()) {
        draft.line(0, &format!("release: {{name: {}}}", quoted(format)));
    }
}

fn variables(draft: &mut Draft, depth: usize, all: &BTreeMap<String, Variable>, whose: &str) {
    let mut plain = Vec::new();
    for (name, variable) in all {
        if variable.is_secret {
            draft.left(format!("the secret `{}` of {whose}: put it into a variable group", printable(name)));
        } else if name.parse::<VariableName>().is_err() {
            draft.left(format!(
                "the variable `{}` of {whose}: a name has letters, digits, `.`, `_` and `-`",
                printable(name)
            ));
        } else {
            plain.push((name, variable.value.as_deref().unwrap_or_default()));
        }
        if variable.allow_override {
            draft.left(format!("`{}` of {whose} could be set for each release", printable(name)));
        }
    }
    if !plain.is_empty() {
        draft.line(depth, "variables:");
        for (name, value) in plain {
            draft.line(depth + 1, &format!("{name}: {}", quoted(value)));
        }
    }
}

fn groups(draft: &mut Draft, ids: &[u64], whose: &str) {
    for id in ids {
        draft.left(format!(
            "variable group {id} of {whose}: create it with `liftlock group create`, and name it in `groups`"
        ));
    }
}

/// Where the bytes come from is built here once; the definition only names who built them.
fn sources(draft: &mut Draft, artifacts: &[Artifact], triggers: &[Trigger]) {
    for artifact in artifacts {
        let built =
            artifact.definition_reference.get("definition").and_then(|r| r.name.as_deref()).unwrap_or("?");
        draft.left(format!(
            "artifact `{}` ({}, of `{}`): say in `build` and `artifacts` how it is made",
            printable(&artifact.alias),
            printable(&artifact.kind),
            printable(built)
        ));
    }
    for trigger in triggers.iter().filter(|trigger| trigger.trigger_type != "artifactSource") {
        let of = trigger.artifact_alias.as_deref().unwrap_or("the definition");
        draft.left(format!("the trigger `{}` of `{}`", printable(&trigger.trigger_type), printable(of)));
    }
}

fn retention(draft: &mut Draft, environments: &[Environment]) {
    let all = || environments.iter().filter_map(|environment| environment.retention_policy.as_ref());
    let (days, keep) = (all().map(|r| r.days_to_keep).max(), all().map(|r| r.releases_to_keep).max());
    if let (Some(days @ 1..=3_650), Some(keep @ 1..=1_000)) = (days, keep) {
        draft.line(0, &format!("retention: {{days: {days}, keep: {keep}}}"));
    }
}

/// A name as commands write it, each another one.
fn stage_names(environments: &[Environment]) -> Vec<String> {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let one = |(index, environment): (usize, &Environment)| {
        let lower = environment.name.to_ascii_lowercase();
        let mut name = String::new();
        for c in lower.chars() {
            let c = if c.is_ascii_alphanumeric() { c } else { '-' };
            let doubled = c == '-' && (name.is_empty() || name.ends_with('-'));
            let fits = (c.is_ascii_lowercase() || !name.is_empty()) && name.len() < STAGE_CHARS;
            if fits && !doubled {
                name.push(c);
            }
        }
        let name = name.trim_end_matches('-').to_owned();
        let usable = name.parse::<StageName>().is_ok() && name != "build" && !taken.contains(&name);
        let name = if usable { name } else { format!("stage-{}", index + 1) };
        taken.insert(name.clone());
        name
    };
    environments.iter().enumerate().map(one).collect()
}

fn stage(
    draft: &mut Draft,
    environment: &Environment,
    (name, all, names): (&str, &[Environment], &[String]),
) {
    let whose = format!("stage {name}");
    draft.line(1, &format!("- name: {name}"));
    if !environment.name.eq_ignore_ascii_case(name) {
        draft.line(2, &format!("title: {}", quoted(&printable(&environment.name))));
    }
    let before = environment.conditions.iter().filter(|c| is(&c.condition_type, "environmentState", 2));
    let needs: Vec<&str> = before
        .filter_map(|c| all.iter().zip(names).find(|(e, _)| e.name == c.name).map(|(_, name)| name.as_str()))
        .collect();
    draft.line(2, &format!("needs: [{}]", needs.join(", ")));
    if environment.conditions.is_empty() {
        draft.line(2, "trigger: manual");
    }
    approvals(draft, environment, &whose);
    variables(draft, 2, &environment.variables, &whose);
    groups(draft, &environment.variable_groups, &whose);
    for (side, gates) in
        [("before", &environment.pre_deployment_gates), ("after", &environment.post_deployment_gates)]
    {
        for task in gates.gates.iter().flat_map(|gate| &gate.tasks) {
            draft.left(format!(
                "the gate `{}` {side} {whose}: declare a check and name it in `gates`",
                printable(&task.name)
            ));
        }
    }
    if !environment.schedules.is_empty() {
        draft.left(format!("the schedule of {whose}"));
    }
    let mut steps = Vec::new();
    for phase in &environment.deploy_phases {
        if !is(&phase.kind, "agentBasedDeployment", 1) {
            draft.left(format!(
                "the phase `{}` of {whose}: it does not run on an agent",
                printable(&phase.name)
            ));
            continue;
        }
        for task in &phase.workflow_tasks {
            steps.extend(step(draft, task, &whose));
        }
    }
    if steps.is_empty() {
        draft.line(2, "agent: none");
    } else {
        draft.line(2, "deploy:");
        for step in &steps {
            draft.line(3, &format!("- {{{step}}}"));
        }
    }
}

/// A word, or the number that older answers have in its place.
fn is(value: &serde_json::Value, word: &str, number: u64) -> bool {
    value.as_str().is_some_and(|text| text.eq_ignore_ascii_case(word)) || value.as_u64() == Some(number)
}

fn approvals(draft: &mut Draft, environment: &Environment, whose: &str) {
    let sides = [("pre", &environment.pre_deploy_approvals), ("post", &environment.post_deploy_approvals)];
    let mut rules = Vec::new();
    for (side, approvals) in sides {
        let people: Vec<String> = approvals
            .approvals
            .iter()
            .filter(|approval| !approval.is_automated)
            .map(|a| {
                a.approver.as_ref().and_then(|who| who.display_name.clone()).unwrap_or_else(|| "?".to_owned())
            })
            .collect();
        if people.is_empty() {
            continue;
        }
        let options = approvals.approval_options.as_ref();
        let all = u32::try_from(people.len()).unwrap_or(1);
        let min = options.and_then(|o| o.required_approver_count).filter(|n| *n > 0).unwrap_or(all).min(all);
        let mut rule = format!("min: {min}");
        if options.is_some_and(|o| !o.release_creator_can_be_approver) {
            rule.push_str(", exclude: [initiator, pusher]");
        }
        if let Some(minutes) = options.map(|o| o.timeout_in_minutes).filter(|m| (1..=MAX_MINUTES).contains(m))
        {
            write!(rule, ", timeout: {minutes}m").unwrap_or_default();
        }
        draft.left(format!(
            "who approves {} {whose} ({}): maintainers do now; say `from` with logins `@…` or teams",
            if side == "pre" { "before" } else { "after" },
            printable(&people.join(", "))
        ));
        rules.push(format!("{side}: {{{rule}}}"));
    }
    if !rules.is_empty() {
        draft.line(2, &format!("approvals: {{{}}}", rules.join(", ")));
    }
}

/// A task as a step; what is not one is left, by name.
fn step(draft: &mut Draft, task: &Task, whose: &str) -> Option<String> {
    let name = printable(&task.name);
    if task.enabled == Some(false) {
        draft.left(format!("the task `{name}` of {whose}, which was disabled"));
        return None;
    }
    let input = |names: &[&str]| {
        let given =
            task.inputs.iter().find(|(key, _)| names.iter().any(|name| key.eq_ignore_ascii_case(name)));
        given.map(|(_, value)| value.as_str()).filter(|value| !value.trim().is_empty())
    };
    let subscription = input(&["ConnectedServiceNameARM", "azureSubscription"]);
    let is_inline =
        input(&["targetType", "ScriptType"]).is_some_and(|t| t.to_ascii_lowercase().starts_with("inline"));
    let file = input(&["filePath", "ScriptPath"]).filter(|_| !is_inline);
    let inline = input(&["script", "Inline", "inlineScript"]);
    let ending = file.and_then(|path| path.rsplit_once('.')).map(|(_, ending)| ending);
    let of_powershell = ending.is_none() && input(&["pwsh", "errorActionPreference"]).is_some();
    let shell = match ending {
        Some("py") => "python",
        Some("ps1") => "pwsh",
        Some(_) | None => {
            if of_powershell {
                "pwsh"
            } else {
                "bash"
            }
        }
    };
    let what = match (file, inline, subscription) {
        (Some(file), _, Some(subscription)) if shell == "pwsh" => format!(
            "uses: azure-powershell, version: \"4\", with: {{script: {}, subscription: {}}}",
            quoted(&in_artifact(file)),
            quoted(subscription)
        ),
        (Some(file), _, None) => format!("script: {}, shell: {shell}", quoted(&in_artifact(file))),
        (None, Some(text), None) => format!("run: {}, shell: {shell}", quoted(text)),
        _ => {
            draft.left(format!(
                "the task `{name}` (version {}) of {whose}: write a step for it",
                printable(&task.version)
            ));
            return None;
        }
    };
    if let Some(arguments) = input(&["arguments", "ScriptArguments"]) {
        draft.left(format!("the arguments of `{name}` of {whose}: {}", printable(first_line(arguments))));
    }
    if subscription.is_some() {
        draft.left(format!(
            "the service connection of `{name}` of {whose}: add it to [connections] of the server"
        ));
    }
    let mut step = format!("name: {}, {what}", quoted(&name));
    if task.always_run {
        step.push_str(", always: true");
    }
    if task.continue_on_error {
        step.push_str(", blocking: false");
    }
    if (1..=MAX_MINUTES).contains(&task.timeout_in_minutes) {
        write!(step, ", timeout: {}m", task.timeout_in_minutes).unwrap_or_default();
    }
    Some(step)
}

/// `$(System.DefaultWorkingDirectory)/_alias/drop/x.ps1` → `x.ps1`: steps start in the artifact.
fn in_artifact(path: &str) -> String {
    let path = path.replace('\\', "/");
    let Some(rest) = path.strip_prefix("$(System.DefaultWorkingDirectory)/") else { return path };
    let inside = rest.split_once("/drop/").map(|(_, inside)| inside);
    inside.or_else(|| rest.split_once('/').map(|(_, inside)| inside)).unwrap_or(rest).to_owned()
}
