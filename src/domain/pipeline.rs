//! What a repository declared, checked: a pipeline, its build, its stages and who may approve.
//!
//! These types are what the manifest makes of a text, and what a release freezes when it is created;
//! therefore they derive serde. Defaults are filled in by the manifest, so that a stored pipeline says all it means.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::channel::Channel;
use crate::domain::check::{Check, Gates, Verify};
use crate::domain::contract::Contract;
use crate::domain::demand::{Button, Timed, Train};
use crate::domain::deployment::Deployment;
use crate::domain::glob::{Glob, selects};
use crate::domain::image::ImageName;
use crate::domain::join::{Builds, Inherited};
use crate::domain::name::{
    AgentLabel, Alias, ChannelLabel, EnvironmentName, PipelineName, RefName, RepoId, RunbookName, StageName,
    VariableName,
};
use crate::domain::naming::Template;
use crate::domain::notes;
use crate::domain::notice::Notify;
use crate::domain::person::{Account, Standing};
use crate::domain::retention::Retention;
use crate::domain::reuse::Reuse;
use crate::domain::runbook::Runbook;
use crate::domain::source::Named;
use crate::domain::tag::SignTags;
use crate::domain::time::Span;
use crate::domain::variable::{GroupLink, Variable};
use crate::domain::window::{Windows, Zone};
use crate::domain::workflow::Workflow;

mod branches;
pub mod environment;
mod order;
pub mod people;
pub mod rollback;
pub mod step;
pub mod strategy;
pub mod target;
pub mod words;

pub use branches::Branches;
pub use environment::Environment;
pub use order::Behind;
pub use people::{ApprovalRule, Bind, Exclusion, Members, NamedTeam, Requirement, Role, Who};
pub use rollback::Rollback;
pub use step::Step;
pub use strategy::Strategy;
pub use target::Targets;

/// Most files a release names as those its build is written in.
const MAX_FILES: usize = 20;

/// One pipeline of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    /// Its name; the repository's name when the manifest gives none.
    pub name: PipelineName,
    /// How status contexts are spelled.
    pub contexts: Contexts,
    /// Free text for pages.
    pub about: About,
    /// What starts it.
    pub triggers: Triggers,
    /// How its artifact is made; a pipeline without one packs the source tree.
    pub build: Build,
    /// What is packed and sealed after the build.
    pub artifacts: Vec<Artifact>,
    /// What it takes of other pipelines' builds, as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inherits: Vec<Inherited>,
    /// What is built elsewhere and handed in; such a pipeline starts with it alone.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub uploads: BTreeSet<Alias>,
    /// The one that speaks for the release: its digest is shown, and deploy steps start in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<Alias>,
    /// What goes to nobody outside: it is in no list of checksums, and published only where it is named.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub withheld: BTreeSet<Alias>,
    /// The workflow of the host's own CI that builds all of them; nothing when people hand them in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<Workflow>,
    /// Trees of other repositories that go into it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Named>,
    /// The pipelines of the repository that its builds start.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub feeds: BTreeSet<PipelineName>,
    /// What its releases are called.
    #[serde(default, skip_serializing_if = "Naming::is_default")]
    pub release: Naming,
    /// Variables of every stage.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<VariableName, Variable>,
    /// Variable groups of every stage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupLink>,
    /// The kinds of releases it tells apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<Channel>,
    /// Who is told of what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Notify>,
    /// How long its sealed bytes are kept; the server says when nothing is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// The stages in the order of the manifest, at least one.
    pub stages: Vec<Stage>,
    /// Tasks beside deployments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runbooks: Vec<Runbook>,
}

/// What releases are called (SEMANTICS §10), and what they must be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Naming {
    /// The name for people; `Release-$(Rev:r)` by default.
    pub name: Option<Template>,
    /// The version of a release that no tag names; by default it follows from the commits.
    pub version: Option<Template>,
    /// Where the days of names begin; UTC when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tz: Option<Zone>,
    /// How notes are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<notes::Rule>,
    /// What releasing means.
    #[serde(default, skip_serializing_if = "Kind::is_deploy")]
    pub kind: Kind,
    /// What a release must be made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<Contract>,
    /// Who signs its tags.
    #[serde(default, skip_serializing_if = "SignTags::is_never")]
    pub sign_tags: SignTags,
}

impl Naming {
    /// Where the days of names begin.
    pub fn zone(&self) -> Zone {
        self.tz.clone().unwrap_or_else(Zone::utc)
    }
}

/// What releasing means: the word has both senses (CHECKLIST E01).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It goes to systems of one's own, and can be taken back there.
    #[default]
    Deploy,
    /// It goes to others, who keep what they have got: only a newer one takes its place.
    Publish,
}

impl Kind {
    /// Whether what this stage does stays with others: it publishes, and that is what releasing means.
    pub fn ships(self, stage: &Stage) -> bool {
        let publishes = |step: &Step| matches!(step.action, step::Action::Publish(_));
        self == Self::Publish && stage.all_steps().any(publishes)
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks of `skip_serializing_if`")]
    fn is_deploy(&self) -> bool {
        *self == Self::Deploy
    }
}

/// How a pipeline's status contexts are spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contexts {
    /// `liftlock/<stage>`: the repository has one pipeline.
    Short,
    /// `liftlock/<pipeline>/<stage>`: the repository has several (SEMANTICS §2).
    Qualified,
}

/// What pages say about a pipeline or stage (seed 001: title, description, tags, weight).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// A name for people.
    pub title: Option<String>,
    /// A sentence.
    pub description: Option<String>,
    /// Words to filter by.
    pub tags: Vec<String>,
    /// Heavier pipelines come later on the page.
    pub weight: i64,
    /// A page to read.
    pub docs_url: Option<String>,
}

/// What starts a pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Triggers {
    /// A push to one of these branches that changes one of these paths.
    pub push: Option<PushTrigger>,
    /// A pushed tag that matches one of these makes a release from exactly that commit.
    pub tags: Vec<Glob>,
    /// A pull request gets the quality build.
    pub pull_request: Option<PullRequestTrigger>,
    /// Somebody makes a release of the head of the branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub button: Option<Button>,
    /// Times at which a release is made of the head of the branch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedule: Vec<Timed>,
    /// Builds of other pipelines make a release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builds: Option<Builds>,
}

/// Which pushes start a pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushTrigger {
    /// Branches; empty means the host's default branch.
    pub branches: Vec<Glob>,
    /// Path patterns, `!` excludes, the last match wins; empty means every path.
    pub paths: Vec<Glob>,
}

impl PushTrigger {
    /// Whether a push to this branch starts the pipeline, as far as branches go.
    pub fn takes(&self, branch: &RefName, default_branch: &RefName) -> bool {
        if self.branches.is_empty() {
            branch == default_branch
        } else {
            selects(&self.branches, branch.as_str())
        }
    }
}

impl Triggers {
    /// Whether a pushed tag makes a release.
    pub fn takes_tag(&self, tag: &RefName) -> bool {
        !self.tags.is_empty() && selects(&self.tags, tag.as_str())
    }
}

/// Which pull requests get a quality build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullRequestTrigger {
    /// Path patterns as in [`PushTrigger::paths`].
    pub paths: Vec<Glob>,
}

/// How the artifact is made from a tree export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Commands in order; the first that fails ends the build.
    pub steps: Vec<Step>,
    /// Variables for every command.
    pub environment: BTreeMap<String, String>,
    /// The file the steps were read from, when it is not the manifest itself (a Copilot buildspec).
    pub buildspec: Option<String>,
    /// The image a hosted service would use; shown on the page, not needed here.
    pub image: Option<String>,
    /// Folders of the tree that are kept for later builds with the same image and lock files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cache: Vec<String>,
    /// Whether the sandbox has a network.
    pub network: Network,
    /// Names of the server's secrets that the build of a protected branch is given, never a pull request's.
    pub secrets: BTreeSet<String>,
    /// Wall-clock limit.
    pub timeout: Span,
    /// What a release may take instead of being built.
    #[serde(default, skip_serializing_if = "Reuse::is_never")]
    pub reuse: Reuse,
    /// What the commands find beside the files of the commit.
    #[serde(default, skip_serializing_if = "Checkout::is_files")]
    pub checkout: Checkout,
}

/// How a commit is handed to its build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checkout {
    /// Its files alone.
    #[default]
    Files,
    /// Its files in a clone with its history and tags.
    History,
}

impl Checkout {
    /// Whether there is nothing beside the files.
    pub fn is_files(&self) -> bool {
        matches!(self, Self::Files)
    }
}

impl Pipeline {
    /// Whether its releases have something to build; what it only takes of others is sealed already.
    pub fn builds(&self) -> bool {
        let takes = !self.inherits.is_empty() || !self.uploads.is_empty();
        let own = !self.artifacts.is_empty() || !self.sources.is_empty();
        !self.build.steps.is_empty() || own || !takes
    }

    /// The artifacts that people hand in: none when a workflow builds them.
    pub fn handed_in(&self) -> &BTreeSet<Alias> {
        static NONE: BTreeSet<Alias> = BTreeSet::new();
        if self.workflow.is_some() { &NONE } else { &self.uploads }
    }

    /// The artifacts that steps gather others in.
    pub fn drops(&self) -> impl Iterator<Item = &Alias> {
        let gathers = |step: &&Step| matches!(step.action, step::Action::Gather(_));
        let steps = self.stages.iter().flat_map(Stage::all_steps).filter(gathers);
        steps.flat_map(|step| &step.terms.makes.further)
    }

    /// The names of all artifacts of its releases.
    pub fn aliases(&self) -> impl Iterator<Item = &Alias> {
        let own = self.artifacts.iter().map(|artifact| &artifact.alias);
        let sources = self.sources.iter().map(|source| &source.alias);
        own.chain(sources).chain(self.inherits.iter().map(|inherited| &inherited.alias)).chain(&self.uploads)
    }
}

impl Build {
    /// The files of a source tree that the build is written in: its buildspec, what its commands name, and the
    /// `Dockerfile` that image builders take unnamed (CHECKLIST B15). In order, at most [`MAX_FILES`].
    pub fn files(&self, there: &BTreeSet<String>) -> BTreeSet<String> {
        let words = self.steps.iter().flat_map(|step| step.text().split_whitespace());
        let named = words.flat_map(|word| {
            let builder = matches!(word, "docker" | "podman" | "buildah").then_some("Dockerfile");
            let path = word.trim_matches(['"', '\'', ';']);
            [Some(path.strip_prefix("./").unwrap_or(path)), builder]
        });
        let all = named.flatten().chain(self.buildspec.as_deref());
        all.filter(|path| there.contains(*path)).map(str::to_owned).take(MAX_FILES).collect()
    }
}

/// Whether a sandboxed step may use the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Only its own loopback.
    None,
    /// The host's network.
    Host,
}

/// Something the build leaves behind that is packed and sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its name in the release.
    pub alias: Alias,
    /// A folder or file below the source tree, `.` for the whole tree.
    pub path: String,
    /// What it is called in registries, when it is an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageName>,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name, as commands write it.
    pub name: StageName,
    /// Free text for pages.
    pub about: About,
    /// Where releases that start here are listed (row D13); stored under the name it had when it was one at most.
    #[serde(
        default,
        rename = "channel",
        skip_serializing_if = "BTreeSet::is_empty",
        deserialize_with = "labels"
    )]
    pub channels: BTreeSet<ChannelLabel>,
    /// What it deploys to, and the key of the lock.
    pub environment: EnvironmentName,
    /// What is said about that environment.
    #[serde(default, skip_serializing_if = "Environment::is_default")]
    pub around: Environment,
    /// Stages that must have succeeded with the same digest; the stage before by default.
    pub needs: Vec<StageName>,
    /// Stages one of which must have succeeded with the same digest, whatever became of the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs_any: Vec<StageName>,
    /// The branches whose releases it takes.
    #[serde(default, skip_serializing_if = "Branches::is_any")]
    pub branches: Branches,
    /// Whether the release is released without it.
    pub duty: Duty,
    /// Whether it starts by itself.
    pub start: Start,
    /// The times at which it takes a release along; without them it starts as `start` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<Train>,
    /// Who must approve first.
    pub approval: Option<ApprovalRule>,
    /// Who must sign off after the deploy and its tests, before the release is live here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signoff: Option<ApprovalRule>,
    /// How long the release must have been in the stages of `needs` first (SEMANTICS §4).
    pub soak: Span,
    /// Whether newer releases wait in front of the soaking stage (SEMANTICS §4, starvation guard).
    pub hold_during_soak: bool,
    /// What happens to older waiting releases when a newer one arrives.
    pub queue: QueuePolicy,
    /// Whether it runs commands at all.
    #[serde(default, skip_serializing_if = "Agent::is_default")]
    pub agent: Agent,
    /// What the machine must be known by that runs its commands.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub agents: BTreeSet<AgentLabel>,
    /// What runs before and after the deploy.
    #[serde(default, skip_serializing_if = "Hooks::are_none")]
    pub hooks: Hooks,
    /// The targets that its deploy commands run for, batch after batch; without, they run once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<Targets>,
    /// How a release is brought out here, when not all at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// Commands that deploy, in order.
    pub deploy: Vec<Step>,
    /// The things it deploys, when it deploys several, in an order in which each comes after those it depends on;
    /// the steps say which of them they belong to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deployments: Vec<Deployment>,
    /// Commands that test after the deploy, in the source tree of the released commit.
    pub test_commands: Vec<Step>,
    /// Variables for every command of the stage.
    pub environment_variables: BTreeMap<String, String>,
    /// Variables of this stage alone; macros name them, and every command has them in its environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<VariableName, Variable>,
    /// Variable groups of this stage; stronger than the pipeline's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupLink>,
    /// Names of the server's secrets the stage's commands are given.
    pub secrets: BTreeSet<String>,
    /// Whether its commands get a token for the repository on its host, for as long as they run (row A18).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub oauth_token: bool,
    /// Automatic further attempts after `errored` and `timed_out`, never after `failed`.
    pub retries: u32,
    /// Wall-clock limit of one attempt.
    pub timeout: Span,
    /// How many approvals a rollback needs (SEMANTICS §8, default 1).
    pub rollback_approvals: u32,
    /// When it goes back by itself, and whether it may.
    #[serde(default, skip_serializing_if = "Rollback::is_default")]
    pub rollback: Rollback,
    /// What is asked after the deploy.
    #[serde(default, skip_serializing_if = "Verify::is_empty")]
    pub verify: Verify,
    /// What is sampled before and after.
    #[serde(default, skip_serializing_if = "Gates::is_empty")]
    pub gates: Gates,
    /// The hours in which it may start: those of every source of policy, all of which must be open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Windows>,
    /// Whether a rollback passes windows and freezes (SEMANTICS §6: it does, unless somebody says otherwise).
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub rollback_ignores_windows: bool,
    /// Who may pass over what stands in the way here.
    #[serde(default, skip_serializing_if = "OverrideRule::is_default")]
    pub overriding: OverrideRule,
}

/// A list, or what was written when there was one at most.
fn labels<'de, D: serde::Deserializer<'de>>(from: D) -> Result<BTreeSet<ChannelLabel>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(ChannelLabel),
        All(BTreeSet<ChannelLabel>),
    }
    Ok(match Written::deserialize(from)? {
        Written::One(label) => BTreeSet::from([label]),
        Written::All(labels) => labels,
    })
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape serde calls")]
fn is_true(flag: &bool) -> bool {
    *flag
}

/// Who may override a check of a stage, and how many must (SEMANTICS §7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverrideRule {
    /// Whoever overrides is in every one of these lists: each source of policy adds its own.
    pub from: BTreeSet<BTreeSet<Who>>,
    /// How many different people it takes.
    pub min: u32,
}

/// One admin, as long as nobody says otherwise.
impl Default for OverrideRule {
    fn default() -> Self {
        Self { from: BTreeSet::from([BTreeSet::from([Who::Role(Role::Admin)])]), min: 1 }
    }
}

/// Whether a stage runs commands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agent {
    /// Its commands run where the server runs.
    #[default]
    Local,
    /// It has none: people and questions decide alone (row D30).
    None,
}

impl Agent {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape serde calls")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Steps around the deploy of a stage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// Before the deploy: capture what is there, stop what must stand still.
    pub before: Vec<Step>,
    /// After it, before the tests; those that are `always` run after a failure, too.
    pub after: Vec<Step>,
}

/// Whether a stage belongs to every release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// The release is not released before it succeeded here.
    Mandatory,
    /// The release is released without it.
    Optional,
}

/// Whether a stage starts by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// As soon as nothing blocks it.
    Auto,
    /// When somebody writes `/promote <stage>`.
    Manual,
}

/// What happens to older waiting releases (SEMANTICS §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueuePolicy {
    /// A newer eligible release supersedes older waiting ones.
    Latest,
    /// Every release passes, in the order of commits.
    All,
    /// Nothing starts and nothing is superseded without `/promote`.
    Manual,
    /// Releases are collected for a while, and the newest of them goes with all of their commits.
    Batch {
        /// How many are collected at most.
        max: u32,
        /// How long, from the first on.
        window: Span,
    },
}

impl OverrideRule {
    /// Whether somebody is in every list of it; bots never are.
    pub fn allows(&self, standing: &Standing) -> bool {
        let listed = self.from.iter().all(|list| list.iter().any(|who| standing.is(who)));
        listed && standing.kind == Account::Human
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Who may override, as part of a sentence.
impl std::fmt::Display for OverrideRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let admins = BTreeSet::from([Who::Role(Role::Admin)]);
        for (index, list) in self.from.iter().enumerate() {
            if index > 0 {
                f.write_str(", who is also ")?;
            }
            let any: Vec<String> = list.iter().map(ToString::to_string).collect();
            let any = if *list == admins { "an admin".to_owned() } else { any.join(" or ") };
            f.write_str(&any)?;
        }
        Ok(())
    }
}

impl Hooks {
    fn are_none(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

impl Stage {
    /// Whether it puts anything into its environment.
    pub fn deploys(&self) -> bool {
        !(self.deploy.is_empty() && self.deployments.is_empty())
    }

    /// What no two runs work on at the same time: the lock of its environment, or the environment itself.
    pub fn lock(&self) -> &EnvironmentName {
        self.around.lock.as_ref().unwrap_or(&self.environment)
    }

    /// The same for effects, which know of other pipelines: a lock is one for the whole server, an environment one
    /// for the pipelines of its repository.
    pub fn lock_group(&self, repo: &RepoId) -> String {
        match &self.around.lock {
            Some(lock) => format!("lock:{lock}"),
            None => format!("environment:{repo}:{}", self.environment),
        }
    }

    /// Every check that is asked around it.
    pub fn checks(&self) -> impl Iterator<Item = &Check> {
        let health = self.targets.iter().filter_map(|targets| targets.health.as_ref());
        let held = self.strategy.iter().flat_map(Strategy::checks);
        self.verify.checks().chain(&self.gates.pre).chain(&self.gates.post).chain(health).chain(held)
    }

    /// Every step of the stage, in the order in which they run.
    pub fn all_steps(&self) -> impl Iterator<Item = &Step> {
        let switch = self.strategy.iter().filter_map(Strategy::step);
        let deploy = self.hooks.before.iter().chain(&self.deploy).chain(switch);
        deploy.chain(&self.hooks.after).chain(&self.test_commands)
    }
}

impl Naming {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Pipeline {
    /// A runbook by name.
    pub fn runbook(&self, name: &RunbookName) -> Option<&Runbook> {
        self.runbooks.iter().find(|r| r.name == *name)
    }

    /// The stage of this name.
    pub fn stage(&self, name: &StageName) -> Option<&Stage> {
        self.stages.iter().find(|s| s.name == *name)
    }

    /// The names of the stages in order.
    pub fn stage_names(&self) -> impl Iterator<Item = &StageName> {
        self.stages.iter().map(|s| &s.name)
    }

    /// The status context of a stage or of `build`.
    pub fn context(&self, what: &str) -> String {
        match self.contexts {
            Contexts::Short => format!("liftlock/{what}"),
            Contexts::Qualified => format!("liftlock/{}/{what}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::manifest;

    #[test]
    fn b15_a_build_names_the_files_it_is_written_in() {
        let text = "version: 1\nbuild:\n  - sh ./build.sh --fast\n  - docker build -t shop .\n  - cat \"notes.md\" /etc/passwd\n\
                    stages: [test]\ndeploy: ./deploy.sh\n";
        let files = [(manifest::NATIVE_PATHS[0].to_owned(), text.to_owned())].into();
        let loaded = manifest::load(&files, &"acme/web".parse().unwrap()).unwrap();
        let tree = |paths: &[&str]| paths.iter().map(|p| (*p).to_owned()).collect::<BTreeSet<_>>();
        let there = tree(&["build.sh", "Dockerfile", "notes.md", "deploy.sh", "src/main.rs"]);
        assert_eq!(loaded.pipelines[0].build.files(&there), tree(&["Dockerfile", "build.sh", "notes.md"]));
        assert_eq!(loaded.pipelines[0].build.files(&tree(&["other"])), BTreeSet::new());
    }
}
