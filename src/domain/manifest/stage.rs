//! One entry of `stages` → a stage with its defaults filled in (SEMANTICS §3, §4, §8).

use crate::domain::manifest::agent;
use crate::domain::manifest::approval::{Reading, Teams};
use crate::domain::manifest::build::TIMEOUT;
use crate::domain::manifest::channel;
use crate::domain::manifest::check;
use crate::domain::manifest::code::Code;
use crate::domain::manifest::group;
use crate::domain::manifest::keys::queue::MAX_BATCH;
use crate::domain::manifest::node::Node;
use crate::domain::manifest::overriding;
use crate::domain::manifest::problem::{Findings, Place};
use crate::domain::manifest::rollback;
use crate::domain::manifest::step;
use crate::domain::manifest::strategy;
use crate::domain::manifest::target;
use crate::domain::manifest::trigger;
use crate::domain::manifest::variable;
use crate::domain::manifest::view::{self, View};
use crate::domain::manifest::window;
use crate::domain::name::StageName;
use crate::domain::pipeline::{
    About, Agent, Branches, Duty, Environment, Hooks, QueuePolicy, Stage, Start, Step,
};
use crate::domain::runbook::Runbook;
use crate::domain::time::Span;

/// How many approvals a rollback needs by default (SEMANTICS §8).
const ROLLBACK_APPROVALS: u32 = 1;

/// A stage whose `needs` have not been compared with the other stages yet.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) stage: Stage,
    pub(super) at: Place,
    /// As written; without it and the next, the stage before.
    pub(super) needs: Option<Vec<(StageName, Place)>>,
    /// As written.
    pub(super) needs_any: Option<Vec<(StageName, Place)>>,
}

/// The name a stage has or tries to have.
pub(super) fn name_of(node: &Node) -> Option<(&str, Place)> {
    let named = if view::text(node).is_some() { node } else { View::of(node).get("name")? };
    view::text(named).map(|text| (text, named.at))
}

/// Reads a stage; `None` when it has no usable name, which has been reported.
pub(super) fn read(
    node: &Node,
    (deploy, books, teams, checks): (&[Step], &[Runbook], &Teams, &check::Declared),
    findings: &mut Findings<'_>,
) -> Option<Draft> {
    let (name, at) = name_of(node)?;
    let name: StageName = name.parse().ok()?;
    let view = View::of(node);
    let environment = match view.parsed("environment") {
        Some(environment) => environment,
        None => name.as_str().parse().ok()?,
    };
    let (needs, needs_any) = (before(view, "needs"), before(view, "needs_any"));
    if needs_any.as_ref().is_some_and(|_| view.items("needs_any").is_empty()) {
        let message = "`needs_any` names no stage, so none of them could ever succeed".to_owned();
        findings.add(Code::Impossible, view.place("needs_any"), message);
    }
    let hooks = view.below("hooks");
    let mut steps_of =
        |view: View<'_>, key: &str| view.get(key).map(|node| step::read(node, books, findings));
    let hooks = Hooks {
        before: steps_of(hooks, "before").unwrap_or_default(),
        after: steps_of(hooks, "after").unwrap_or_default(),
    };
    let own_deploy = steps_of(view, "deploy");
    let test_commands = steps_of(view, "test_commands").unwrap_or_default();
    let deploy = own_deploy.unwrap_or_else(|| deploy.to_vec());
    let targets = target::of_stage(view, (checks, &deploy), findings);
    let strategy = strategy::of_stage(view, (checks, &deploy), findings);
    let mut reading = Reading { teams, findings };
    let mut stage = Stage {
        about: About { title: view.line("title"), docs_url: view.line("docs_url"), ..About::default() },
        channels: channel::of_stage(view),
        branches: Branches::of(view.all("branches")),
        environment,
        around: Environment::default(),
        needs: Vec::new(),
        needs_any: Vec::new(),
        duty: if view.flag("optional") == Some(true) { Duty::Optional } else { Duty::Mandatory },
        start: if view.line("trigger").as_deref() == Some("manual") { Start::Manual } else { Start::Auto },
        train: trigger::train(view, reading.findings),
        approval: reading.before(view),
        signoff: reading.after(view),
        soak: view.parsed("soak").unwrap_or(Span::ZERO),
        hold_during_soak: view.flag("hold_during_soak").unwrap_or(false),
        queue: queue(view),
        agent: Agent::default(),
        agents: view.all("agents").into_iter().collect(),
        hooks,
        targets,
        strategy,
        deploy,
        deployments: Vec::new(),
        test_commands,
        environment_variables: view.variables("env"),
        variables: variable::of_stage(view, reading.findings),
        groups: group::of(view, None, reading.findings),
        secrets: view.names("secrets"),
        oauth_token: view.flag("oauth_token").unwrap_or(false),
        retries: view.count("retries").unwrap_or(0),
        timeout: view.parsed("timeout").unwrap_or(TIMEOUT),
        rollback_approvals: view.below("rollback").count("approval").unwrap_or(ROLLBACK_APPROVALS),
        rollback: rollback::of_stage(view, reading.findings),
        overriding: overriding::of_stage(view, &mut reading),
        verify: check::verify(view, checks, reading.findings),
        gates: check::gates(view, checks, reading.findings),
        windows: window::of_stage(view, reading.findings),
        rollback_ignores_windows: window::ignored_by_rollbacks(view),
        name,
    };
    agent::set(view, &mut stage);
    target::check_hooks(&stage, at, findings);
    Some(Draft { stage, at, needs, needs_any })
}

/// The stages that a key names, when it is there.
fn before(stage: View<'_>, key: &str) -> Option<Vec<(StageName, Place)>> {
    stage.get(key)?;
    Some(stage.items(key).iter().filter_map(|node| Some((view::parsed(node)?, node.at))).collect())
}

fn queue(view: View<'_>) -> QueuePolicy {
    let batch = view.below("queue").below("batch");
    if let Some(window) = batch.parsed("window") {
        return QueuePolicy::Batch { max: batch.count("max").unwrap_or(MAX_BATCH), window };
    }
    match view.line("queue").as_deref() {
        Some("all") => QueuePolicy::All,
        Some("manual") => QueuePolicy::Manual,
        Some(_) | None => QueuePolicy::Latest,
    }
}
