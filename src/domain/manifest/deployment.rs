//! `pre_deployments`, `deployments`, `post_deployments` and a repository's services → the steps of a stage (C41, C42).
//!
//! Every deployment is the stage's own deploy commands with the names that tell it apart, so everything that holds for
//! steps (variables, secrets, limits, logs) holds for it.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::deployment::{Deployment, Part, Unit, in_order};
use crate::domain::derivation::further;
use crate::domain::manifest::build::{Failing, clean_path, read_buildspec};
use crate::domain::manifest::code::Code;
use crate::domain::manifest::node::{Entry, Node, Value};
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::shape::{MAX_ITEMS, nearest};
use crate::domain::manifest::strategy;
use crate::domain::manifest::view::{self, View};
use crate::domain::manifest::{Context, Dialect, Sources};
use crate::domain::name::{Alias, DeploymentName, PipelineName, printable};
use crate::domain::pipeline::step::{Action, Terms};
use crate::domain::pipeline::{Agent, Pipeline, Stage, Step};

/// Where Copilot keeps the folders of its services.
const COPILOT_SERVICES: &str = "copilot";
/// The file that makes a folder a service.
const SERVICE_FILE: &str = "manifest.yml";
/// Folders in Copilot's own that hold something else.
const NO_SERVICES: &[&str] = &["pipelines", "environments", "environments.overrides"];
/// Most steps of a stage once each deployment has its own: all of them are stored with every release.
const MAX_STEPS: usize = 500;
/// What a deployment is told; nobody else may say it in a stage with deployments.
const TOLD: &[&str] = &["SERVICE", "DEPLOYMENT", "STACK_NAME", "TEMPLATE_PATH", "TEMPLATE_CONFIG"];
/// How a template is deployed when no commands are given; running it again without a change changes nothing (row B32).
const TEMPLATE: &str = "aws cloudformation deploy --no-fail-on-empty-changeset \
     --capabilities CAPABILITY_IAM CAPABILITY_NAMED_IAM CAPABILITY_AUTO_EXPAND \
     --stack-name \"$STACK_NAME\" --template-file \"$TEMPLATE_PATH\" \
     ${TEMPLATE_CONFIG:+--parameter-overrides \"file://$TEMPLATE_CONFIG\"}";

/// The services of a commit, and the files that say so.
#[derive(Debug, Default)]
pub(super) struct Services {
    names: Vec<DeploymentName>,
    pub(super) files: Vec<String>,
}

/// What deployments are read with.
pub(super) struct Around<'a> {
    pub(super) pipeline: &'a PipelineName,
    pub(super) context: &'a Context<'a>,
    pub(super) services: &'a Services,
}

/// The folder whose folders are services: Copilot's, or the one that `services` names (row C12).
pub(super) fn folder(pipeline: View<'_>, dialect: Dialect) -> Option<String> {
    match (pipeline.get("services"), dialect) {
        (Some(node), _) => clean_path(view::text(node)?).ok(),
        (None, Dialect::Copilot) => Some(COPILOT_SERVICES.to_owned()),
        (None, Dialect::Native) => None,
    }
}

/// The service whose file this is, when services are in this folder.
pub(super) fn service_of<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    let inside = if folder == "." { path } else { path.strip_prefix(folder)?.strip_prefix('/')? };
    let name = inside.strip_suffix(SERVICE_FILE)?.strip_suffix('/')?;
    let ours = folder != COPILOT_SERVICES || !NO_SERVICES.contains(&name);
    (ours && name.parse::<DeploymentName>().is_ok()).then_some(name)
}

/// The buildspecs that a stage names.
pub(super) fn buildspecs(stage: View<'_>) -> Vec<String> {
    let named = ["pre_deployments", "post_deployments"].into_iter().flat_map(|key| entries(stage, key));
    let path = |entry: &Entry| clean_path(view::text(View::of(&entry.value).get("buildspec")?)?).ok();
    named.filter_map(path).collect()
}

/// The services of the commit that the files are of.
pub(super) fn services(pipeline: View<'_>, context: &Context<'_>, findings: &mut Findings<'_>) -> Services {
    let Some(folder) = folder(pipeline, context.dialect) else { return Services::default() };
    let files: &Sources = context.files;
    let mut services = Services::default();
    for path in files.keys() {
        let Some(name) = service_of(path, &folder).and_then(|name| name.parse().ok()) else { continue };
        services.names.push(name);
        services.files.push(path.clone());
    }
    if let Some(entry) = pipeline.entry("services").filter(|_| services.names.is_empty()) {
        let message = format!("no folder in `{}` has a `{SERVICE_FILE}`", printable(&folder));
        findings.add(Code::Deployment, entry.value.at, message);
    }
    if services.names.len() > MAX_ITEMS {
        let at = pipeline.place("services");
        let message = format!(
            "`{folder}` has {} services, and a stage deploys at most {MAX_ITEMS}",
            services.names.len()
        );
        findings.add(Code::TooLarge, at, message);
        services.names.truncate(MAX_ITEMS);
    }
    services
}

/// Gives a stage the steps of what it deploys.
pub(super) fn unfold(node: &Node, stage: &mut Stage, around: &Around<'_>, findings: &mut Findings<'_>) {
    let view = View::of(node);
    let before = beside((view, "pre_deployments", Part::Pre), around, findings);
    let main = main((node, view), stage, around, findings);
    let after = beside((view, "post_deployments", Part::Post), around, findings);
    if before.is_empty() && main.is_empty() && after.is_empty() {
        return;
    }
    check_names(view, stage, findings);
    strategy::with_deployments(stage, view, findings);
    let commands = std::mem::take(&mut stage.deploy);
    // Whoever answers would not know which of them had failed before the question.
    if !main.is_empty() && commands.iter().any(|step| matches!(step.action, Action::Pause(_))) {
        let message = format!("`{}` deploys several things and cannot pause between them", stage.name);
        let hint = "ask in `hooks` or `test_commands`".to_owned();
        findings.add_hinted(Code::Deployment, node.at, message, hint);
    }
    stage.deploy = before.iter().flat_map(|own| own.steps.clone()).collect();
    if main.is_empty() {
        stage.deploy.extend(commands);
    } else {
        stage.deploy.extend(main.iter().flat_map(|own| own.steps_of(&commands)));
    }
    stage.test_commands.extend(after.iter().flat_map(|own| own.steps.clone()));
    if stage.deploy.len() + stage.test_commands.len() > MAX_STEPS {
        let message =
            format!("`{}` has more than {MAX_STEPS} steps: each deployment has its own", stage.name);
        findings.add(Code::TooLarge, node.at, message);
        stage.deploy.truncate(MAX_STEPS);
    }
    stage.agent = Agent::Local;
    stage.deployments = before.into_iter().chain(main).chain(after).map(|own| own.deployment).collect();
}

/// A deployment with what is its own.
struct Own {
    deployment: Deployment,
    /// What it is told.
    told: BTreeMap<String, String>,
    /// Its own steps; none means the stage's commands.
    steps: Vec<Step>,
}

impl Own {
    fn steps_of(&self, commands: &[Step]) -> Vec<Step> {
        if !self.steps.is_empty() {
            return self.steps.clone();
        }
        commands.iter().map(|step| self.own(step, false)).collect()
    }

    /// A step as one of this deployment.
    fn own(&self, step: &Step, in_source: bool) -> Step {
        let unit = &self.deployment.unit;
        let mut environment = step.environment.clone();
        environment.extend(self.told.clone());
        let in_source = in_source || step.terms.in_source;
        Step {
            name: format!("{}: {}", unit.name, step.name),
            action: step.action.clone(),
            environment,
            terms: Box::new(Terms { unit: Some(unit.clone()), in_source, ..(*step.terms).clone() }),
        }
    }
}

/// Those of `pre_deployments` or `post_deployments`: buildspecs, run in the source tree.
fn beside(
    (stage, key, part): (View<'_>, &str, Part),
    around: &Around<'_>,
    findings: &mut Findings<'_>,
) -> Vec<Own> {
    let mut all = Vec::new();
    for entry in entries(stage, key) {
        let Some(mut own) = own(entry, part, BTreeMap::new()) else { continue };
        let Some(node) = View::of(&entry.value).get("buildspec") else { continue };
        let Some(path) = view::text(node).and_then(|text| clean_path(text).ok()) else { continue };
        let mut spec = read_buildspec((&path, node.at), around.context, Failing::Stage, findings);
        own.told.extend(std::mem::take(&mut spec.environment));
        own.steps = spec.steps.iter().map(|step| own.own(step, true)).collect();
        all.push(own);
    }
    sorted((stage, key), all, findings)
}

/// Those of `deployments`; without it all services of the commit.
fn main(
    (node, stage): (&Node, View<'_>),
    read: &Stage,
    around: &Around<'_>,
    findings: &mut Findings<'_>,
) -> Vec<Own> {
    let named = |name: &DeploymentName| {
        let stack = format!("{}-{}-{name}", around.pipeline, read.environment);
        BTreeMap::from([
            ("SERVICE".to_owned(), name.to_string()),
            ("DEPLOYMENT".to_owned(), name.to_string()),
            ("STACK_NAME".to_owned(), stack),
        ])
    };
    let services = &around.services.names;
    let Some(written) = stage.entry("deployments") else {
        if read.deploy.is_empty() {
            warn_of_nothing(node, read, services, findings);
            return Vec::new();
        }
        let one = |name: &DeploymentName| Own {
            deployment: Deployment {
                unit: unit(Part::Main, name),
                after: BTreeSet::new(),
                if_changed: BTreeSet::new(),
            },
            told: named(name),
            steps: Vec::new(),
        };
        return services.iter().map(one).collect();
    };
    if matches!(&written.value.value, Value::Mapping(entries) if entries.is_empty()) {
        let message = "`deployments` has no deployment".to_owned();
        let hint = "leave it out to deploy every service".to_owned();
        findings.add_hinted(Code::Deployment, written.key_at, message, hint);
    }
    let mut all = Vec::new();
    for entry in entries(stage, "deployments") {
        let Some(name) = entry.key.parse::<DeploymentName>().ok() else { continue };
        let Some(mut own) = own(entry, Part::Main, named(&name)) else { continue };
        let view = View::of(&entry.value);
        let given = [
            ("stack_name", "STACK_NAME"),
            ("template_path", "TEMPLATE_PATH"),
            ("template_config", "TEMPLATE_CONFIG"),
        ];
        for (key, variable) in given {
            if let Some(text) = view.line(key) {
                own.told.insert(variable.to_owned(), text);
            }
        }
        let has_template = view.get("template_path").is_some();
        if read.deploy.is_empty() && has_template {
            own.steps = vec![own.own(&Step::command("template", TEMPLATE), false)];
        } else if read.deploy.is_empty() {
            let message = format!("nothing says how `{name}` is deployed");
            let hint =
                "give the stage or the pipeline `deploy` commands, or this a `template_path`".to_owned();
            findings.add_hinted(Code::Deployment, entry.key_at, message, hint);
        } else if !has_template && !services.is_empty() && !services.contains(&name) {
            let message = format!("the commit has no service `{name}`");
            let known = services.iter().map(DeploymentName::as_str);
            findings.add_near(Code::NoService, entry.key_at, message, || nearest(name.as_str(), known));
        }
        check_left_out(view, &read.deploy, &name, findings);
        all.push(own);
    }
    sorted((stage, "deployments"), all, findings)
}

/// What others of the stage, or anybody else, wait for of a deployment that is left out would not be there.
fn check_left_out(view: View<'_>, commands: &[Step], name: &DeploymentName, findings: &mut Findings<'_>) {
    let Some(entry) = view.entry("if_changed") else { return };
    if view.items("if_changed").is_empty() {
        let message = format!("`if_changed` of `{name}` names no artifact");
        findings.add(Code::Deployment, entry.value.at, message);
    }
    let written = commands.iter().flat_map(|step| &step.terms.outputs).find(|output| !output.keep);
    if let Some(output) = written {
        let message = format!("nobody writes `{}` when `{name}` is left out", output.name);
        let hint = "let the next releases have it: `keep: true`".to_owned();
        findings.add_hinted(Code::Deployment, entry.key_at, message, hint);
    }
    let publishes = |step: &Step| matches!(step.action, Action::Publish(_) | Action::Write(_));
    if let Some(step) = commands.iter().find(|step| publishes(step)) {
        let message = format!("`{}` is for every release, and not done when `{name}` is left out", step.name);
        let hint = "publish in a stage of its own, or in `hooks`".to_owned();
        findings.add_hinted(Code::Deployment, entry.key_at, message, hint);
    }
}

/// Artifacts whose change deployments wait for are the pipeline's.
pub(super) fn check_artifacts(view: View<'_>, pipeline: &Pipeline, findings: &mut Findings<'_>) {
    let made = pipeline.stages.iter().flat_map(further);
    let known: BTreeSet<&str> = pipeline.aliases().chain(made).map(Alias::as_str).collect();
    for stage in view.items("stages") {
        for entry in entries(View::of(stage), "deployments") {
            for node in View::of(&entry.value).items("if_changed") {
                let Some(alias) = view::parsed::<Alias>(node).filter(|a| !known.contains(a.as_str())) else {
                    continue;
                };
                let message = format!("there is no artifact `{alias}`");
                findings.add_near(Code::UnknownArtifact, node.at, message, || {
                    nearest(alias.as_str(), known.iter().copied())
                });
            }
        }
    }
}

fn warn_of_nothing(node: &Node, stage: &Stage, services: &[DeploymentName], findings: &mut Findings<'_>) {
    if stage.agent == Agent::None || services.is_empty() {
        return;
    }
    let names: Vec<&str> = services.iter().map(DeploymentName::as_str).collect();
    let message =
        format!("nothing says how `{}` deploys {}, so it deploys nothing", stage.name, names.join(", "));
    let hint = "write `deploy: copilot svc deploy --name $SERVICE --env $STAGE`, or what deploys one of them"
        .to_owned();
    findings.add_hinted(Code::NoService, node.at, message, hint);
}

fn entries<'n>(stage: View<'n>, key: &str) -> impl Iterator<Item = &'n Entry> {
    stage.below(key).entries().iter().take(MAX_ITEMS)
}

fn unit(part: Part, name: &DeploymentName) -> Unit {
    Unit { part, name: name.clone() }
}

fn own(entry: &Entry, part: Part, told: BTreeMap<String, String>) -> Option<Own> {
    let name: DeploymentName = entry.key.parse().ok()?;
    let view = View::of(&entry.value);
    let after = view.all("depends_on").into_iter().collect();
    let if_changed = view.all("if_changed").into_iter().collect();
    let mut told = told;
    told.insert("DEPLOYMENT".to_owned(), name.to_string());
    let deployment = Deployment { unit: unit(part, &name), after, if_changed };
    Some(Own { deployment, told, steps: Vec::new() })
}

/// In the order in which they run; names that are none and circles are reported.
fn sorted((stage, key): (View<'_>, &str), all: Vec<Own>, findings: &mut Findings<'_>) -> Vec<Own> {
    let names: BTreeSet<String> = entries(stage, key).map(|entry| entry.key.clone()).collect();
    for entry in entries(stage, key) {
        for node in View::of(&entry.value).items("depends_on") {
            let Some(name) = view::text(node).filter(|name| !names.contains(*name)) else { continue };
            let message =
                format!("`{}` depends on `{}`, which is not in `{key}`", entry.key, printable(name));
            let near = || nearest(name, names.iter().map(String::as_str));
            findings.add_near(Code::Deployment, node.at, message, near);
        }
    }
    let order = match in_order(all.iter().map(|own| own.deployment.clone()).collect()) {
        Ok(order) => order,
        Err(circle) => {
            let names: Vec<&str> = circle.iter().map(DeploymentName::as_str).collect();
            let message = format!("they wait for each other: {}", names.join(" needs "));
            let first = names.first().and_then(|first| entries(stage, key).find(|entry| entry.key == *first));
            findings.add(Code::Deployment, first.map(|entry| entry.key_at).unwrap_or_default(), message);
            return Vec::new();
        }
    };
    let place = |own: &Own| order.iter().position(|d| d.unit == own.deployment.unit);
    let mut all = all;
    all.sort_by_key(place);
    all
}

/// Nobody but the deployment says what it is called.
fn check_names(view: View<'_>, stage: &Stage, findings: &mut Findings<'_>) {
    let steps = stage.deploy.iter().flat_map(|step| step.environment.keys());
    let taken = stage.environment_variables.keys().chain(steps).find(|name| TOLD.contains(&name.as_str()));
    if let Some(name) = taken {
        let at =
            ["env", "deploy", "deployments"].iter().find_map(|key| view.entry(key)).map(|entry| entry.key_at);
        let message = format!("`{name}` is what each deployment of `{}` is told", stage.name);
        findings.add_hinted(
            Code::Deployment,
            at.unwrap_or_default(),
            message,
            "give yours another name".to_owned(),
        );
    }
}
