//! The shell around the rules: owns every task, brings facts in, carries effects out, and starts and drains it all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::artifact;
use crate::domain::command::prefix::Prefix;
use crate::domain::name::{AgentLabel, PipelineId, RepoId, StageName};
use crate::domain::policy::server::ServerPolicy;
use crate::domain::retention::Retention;
use crate::domain::time::Span;
use crate::folder;
use crate::forge::Forge;
use crate::git::origin::Origin;
use crate::mask::{Learning, Mask};
use crate::notify::Routes;
use crate::probe::Reach;
use crate::publish::Outlet;
use crate::runner::probe::{Door, Policy, Runner};
use crate::runner::registry::Registry;
use crate::runner::target::Target;
use crate::secret::{Asking, Connection, Secret, StepSecret};
use crate::store::Store;
use crate::trouble::{Outcome, Trouble};
use crate::upstream::Upstream;

pub mod apply;
mod bill;
pub mod build;
pub mod call;
mod contract;
mod daily;
pub mod demand;
pub mod deploy;
mod elsewhere;
pub mod environment;
pub mod evidence;
pub mod groups;
pub mod images;
pub mod intake;
pub mod join;
pub mod journal;
pub mod library;
pub mod listen;
pub mod notify;
mod press;
pub mod probe;
mod proposal;
pub mod publish;
pub mod reconcile;
pub mod repository;
pub mod retention;
pub mod runbook;
pub mod signoff;
pub mod silence;
pub mod source;
pub mod stage;
pub mod steps;
mod tag;
pub mod tell;
mod upstream;
pub mod verify;
pub mod worker;
mod workflow;

use journal::Journal;
use library::Library;

/// What the service works with.
#[derive(Debug)]
pub struct Parts {
    /// What must survive.
    pub store: Store,
    /// The hosts, by the word before the colon of their repository ids.
    pub hosts: BTreeMap<&'static str, Arc<dyn Forge>>,
    /// Sealed bytes.
    pub artifacts: artifact::store::Store,
    /// What can run here.
    pub runner: Runner,
    /// The variable groups.
    pub library: Library,
    /// The rest of the server's settings.
    pub settings: Settings,
}

/// Settings of the service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Mirrors, working trees and blobs live below it.
    pub data: PathBuf,
    /// This program, which validates artifacts in a process of its own.
    pub program: PathBuf,
    /// What stands before every verb in comments.
    pub prefix: Prefix,
    /// Whether builds of protected branches may run without a sandbox.
    pub sandbox: Policy,
    /// Who on this machine may speak for everybody.
    pub door: Door,
    /// Folders with tools that sandboxed builds may read.
    pub toolchains: Vec<PathBuf>,
    /// What this machine is known by.
    pub labels: BTreeSet<AgentLabel>,
    /// The server's secrets by name, for steps that are given them.
    pub secrets: BTreeMap<String, StepSecret>,
    /// Services that steps may work with, by name.
    pub connections: BTreeMap<String, Connection>,
    /// Machines that stages deploy to.
    pub targets: Vec<Target>,
    /// Other repositories that releases may take the tree of.
    pub origins: Vec<Origin>,
    /// Builds of one repository that pipelines of others may take.
    pub upstreams: Vec<Upstream>,
    /// Where images are pushed to and taken from.
    pub registries: Vec<Registry>,
    /// Where files of releases are published.
    pub outlets: Vec<Outlet>,
    /// Everything else that must never be shown: tokens, webhook secrets.
    pub hidden: Vec<Secret>,
    /// Extra variables for every step, from the server's config.
    pub environment: BTreeMap<String, String>,
    /// Where notices may go.
    pub notify: Routes,
    /// Where probes may go.
    pub probe: Reach,
    /// Builds at a time.
    pub builds: usize,
    /// Stages at a time.
    pub deploys: usize,
    /// Length of a lease; a quarter of it between heartbeats.
    pub lease: Span,
    /// Time between two looks at the hosts for what was missed.
    pub reconcile_every: Span,
    /// What is asked of stages whatever their manifests say.
    pub policy: Vec<ServerPolicy>,
    /// How long bytes are kept of pipelines that do not say.
    pub retention: Option<Retention>,
}

impl Settings {
    /// Every text that must not be shown, wherever it is.
    fn all_secrets(&self) -> Vec<Secret> {
        let of_connections = self.connections.values().flat_map(|c| c.secrets.values());
        self.secrets
            .values()
            .map(|granted| &granted.secret)
            .chain(of_connections)
            .chain(&self.hidden)
            .chain(self.notify.hidden())
            .cloned()
            .collect()
    }
}

/// Bounds of every tree that is exported, packed or handed out: a large monorepo fits, a bomb does not.
pub const TREE_LIMITS: folder::Limits =
    folder::Limits { max_files: 500_000, max_bytes: 20 * 1024 * 1024 * 1024 };

/// The running service; clones share it.
#[derive(Debug, Clone)]
pub struct Service(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: Parts,
    journal: Journal,
    mask: Learning,
    /// This process in the store's leases.
    worker: String,
    /// This start of it.
    boot: String,
}

impl Service {
    /// Puts the parts together; `boot` tells this start from every other.
    pub fn new(parts: Parts, boot: String) -> Self {
        let secrets = parts.settings.all_secrets();
        let journal = Journal::new(parts.store.clone());
        let worker = format!("worker-{boot}");
        Self(Arc::new(Inner { mask: Learning::new(secrets), journal, worker, boot, parts }))
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.0.parts.store
    }

    /// The log of events.
    pub fn journal(&self) -> &Journal {
        &self.0.journal
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.0.parts.settings
    }

    /// The variable groups.
    pub fn library(&self) -> &Library {
        &self.0.parts.library
    }

    /// The mask that everything that leaves goes through.
    pub fn mask(&self) -> Mask {
        self.0.mask.mask()
    }

    /// Hides these from now on, in everything that leaves.
    pub fn hide<'a>(&self, secrets: impl IntoIterator<Item = &'a Secret>) {
        self.0.mask.learn(secrets);
    }

    /// The mask that hides one more secret, which only one piece of work has.
    pub fn mask_also(&self, secret: &Secret) -> Mask {
        self.0.mask.mask_with(secret)
    }

    /// The hosts.
    pub fn hosts(&self) -> impl Iterator<Item = (&'static str, &Arc<dyn Forge>)> {
        self.0.parts.hosts.iter().map(|(word, host)| (*word, host))
    }

    /// The host a repository lives on.
    pub fn host(&self, repo: &RepoId) -> Outcome<&Arc<dyn Forge>> {
        let word = repo.as_str().split(':').next().unwrap_or_default();
        self.0
            .parts
            .hosts
            .get(word)
            .ok_or_else(|| Trouble::refused(format!("no host named `{word}` in the config, for {repo}")))
    }

    fn runner(&self) -> &Runner {
        &self.0.parts.runner
    }

    pub(crate) fn artifacts(&self) -> &artifact::store::Store {
        &self.0.parts.artifacts
    }

    fn worker(&self) -> &str {
        &self.0.worker
    }

    fn boot(&self) -> &str {
        &self.0.boot
    }

    /// The server's secrets with the names that people know them by, to look for where they must not be.
    fn named_secrets(&self) -> Vec<(String, Secret)> {
        let settings = self.settings();
        let own = settings.secrets.iter().map(|(name, granted)| (name.clone(), granted.secret.clone()));
        let hidden =
            settings.hidden.iter().map(|secret| ("of the server's config".to_owned(), secret.clone()));
        own.chain(hidden).collect()
    }

    /// The secrets that a build is given, or a runbook.
    async fn secrets_beside_stages(
        &self,
        (id, stage): (&PipelineId, &StageName),
        names: &BTreeSet<String>,
    ) -> Outcome<BTreeMap<String, String>> {
        let repository = self.journal().name_of(&id.repo).await?;
        self.secrets(Asking { repository: &repository, pipeline: &id.name, stage }, names)
    }

    /// The secrets a step is given, by name; a name that the server does not have, or has for others, is refused before
    /// anything starts.
    fn secrets(&self, asking: Asking<'_>, names: &BTreeSet<String>) -> Outcome<BTreeMap<String, String>> {
        let one = |name: &String| {
            let granted = self.settings().secrets.get(name).ok_or_else(|| {
                Trouble::refused(format!(
                    "the server has no secret `{name}`; add it to [secrets] in its config"
                ))
            })?;
            if !granted.allows(asking) {
                return Err(Trouble::refused(asking.not_of(&format!("the secret `{name}`"))));
            }
            Ok((name.clone(), granted.secret.expose().to_owned()))
        };
        names.iter().map(one).collect()
    }
}

/// Runs blocking work (git, files, hashing) off the async threads.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Outcome<T> + Send + 'static) -> Outcome<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(Trouble::of_task(e)))
}
