//! `liftlock serve`: put the parts together, run until asked to stop, drain.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::artifact;
use crate::cli::{ConfigFile, Ended, Exit, terminal};
use crate::clock;
use crate::config::{AccessMode, Config, Environment, LogFormat};
use crate::domain::name::PipelineId;
use crate::domain::time::Span;
use crate::forge::github::{Counts, GitHub};
use crate::forge::plain::Plain;
use crate::forge::{Forge, signature};
use crate::http::answers::Answers;
use crate::http::session::{Access, Right, Token};
use crate::http::webhook::Verify;
use crate::http::{self, Limits, State};
use crate::runner::probe::{Door, Runner};
use crate::secret::Secret;
use crate::service::library::Library;
use crate::service::{Parts, Service, Settings};
use crate::store::stream::EventFilter;
use crate::store::{self, Store};
use crate::telemetry::{self, LogForm, Metrics};
use crate::trouble::{Outcome, Trouble};
use crate::vault::Vault;
use crate::vault::seal::Key;

/// How long running work may go on after the server was asked to stop; then its leases run out by themselves.
const DRAIN: Span = Span::seconds(25);
/// Most of the disk that is kept for the end of what runs: as much as has to be free for us to be ready.
const ROOM: u64 = 64 << 20;
/// Scrapers ask every 15 to 60 s; figures as old as this are as good as new.
const COUNT_EVERY: Span = Span::seconds(5);
/// Events counted at a time.
const COUNTED: u32 = 1_000;
/// What is logged when nothing else is asked for.
const LOG_FILTER: &str = "info,sqlx=warn,hyper=warn";

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigFile,
    /// What is logged, such as `info,liftlock=debug`.
    #[arg(long, env = "LIFTLOCK_LOG_FILTER", default_value = LOG_FILTER)]
    log_filter: String,
}

pub(super) async fn run(arguments: &Arguments) -> Ended {
    let config = read_config(&arguments.config.config)?;
    let form = match config.log {
        LogFormat::Text => LogForm::Text,
        LogFormat::Json => LogForm::Json,
    };
    telemetry::start(form, &arguments.log_filter, std::io::stderr)?;
    let listener = http::serve::listen(config.listen).await?;
    let stop = CancellationToken::new();
    let server = Server::assemble(&config, stop.clone()).await?;
    terminal::note(&format!("liftlock listens on {}; pages at {}", config.listen, config.public_url));
    let asked = stop.clone();
    tokio::spawn(async move {
        if let Err(e) = wait_for_signal().await {
            tracing::error!(error = %e, "signals cannot be heard; stopping");
        }
        asked.cancel();
    });
    server.run(listener, stop).await?;
    Ok(Exit::Done)
}

async fn wait_for_signal() -> std::io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// The config's text and the environment.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment, for `config`")]
pub(super) fn read_text(path: &Path) -> Outcome<(String, Environment)> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Trouble::not_found(format!("read the config {}", path.display())).because(e))?;
    Ok((text, std::env::vars().collect()))
}

/// Reads the config file with the environment over it; all problems in one answer.
pub(super) fn read_config(path: &Path) -> Outcome<Config> {
    let (text, environment) = read_text(path)?;
    Config::read(&text, &environment, &|file| std::fs::read_to_string(file).map_err(|e| e.to_string()))
        .map_err(|problems| Trouble::refused(format!("{}: {problems}", path.display())))
}

/// Opens the database the config names, and makes the data folder.
pub(super) async fn open_store(config: &Config) -> Outcome<Store> {
    std::fs::create_dir_all(&config.data).map_err(|e| {
        Trouble::refused(format!("make the data folder {}", config.data.display())).because(e)
    })?;
    let settings = store::Settings::new(config.database.expose());
    Store::open(&store::Settings { room: Some(ROOM), ..settings }).await
}

/// A server that is put together and not yet running.
pub(super) struct Server {
    /// The engine.
    service: Service,
    app: axum::Router,
    /// Whose figures go into the metrics.
    github: Option<Arc<GitHub>>,
    metrics: Arc<Metrics>,
}

/// What of the config the service goes by.
fn settings(config: &Config, library: &Library) -> Settings {
    Settings {
        data: config.data.clone(),
        // A program that was deleted while it runs validates nothing; the check then says what could not be run.
        program: std::env::current_exe().unwrap_or_default(),
        prefix: config.command_prefix.clone(),
        sandbox: config.sandbox,
        door: match config.access {
            AccessMode::Loopback => Door::Open,
            AccessMode::Token => Door::Locked,
        },
        toolchains: config.toolchains.clone(),
        labels: config.labels.clone(),
        secrets: config.secrets.clone(),
        connections: config.connections.clone(),
        targets: config.targets.clone(),
        origins: config.origins.clone(),
        upstreams: config.upstreams.clone(),
        registries: config.registries.clone(),
        outlets: config.outlets.clone(),
        hidden: config.hidden().into_iter().chain(library.vault().hidden().cloned()).collect(),
        environment: config.environment.clone(),
        notify: config.notify.clone(),
        probe: config.probe.clone(),
        builds: config.builds,
        deploys: config.deploys,
        lease: config.lease,
        reconcile_every: config.reconcile_every,
        policy: config.policy.clone(),
        retention: config.retention,
    }
}

/// What this machine can run.
async fn runner() -> Runner {
    let runner = Runner::probe().await;
    let reason = &runner.capability().reason;
    if !reason.is_empty() {
        tracing::warn!(reason, "builds are not sandboxed, or cannot run");
    }
    runner
}

/// The data folder's artifacts, or those of a bucket, which the folder then has copies of.
async fn artifacts(config: &Config) -> Outcome<artifact::store::Store> {
    let (root, runtime) = (config.data.join("artifacts"), tokio::runtime::Handle::current());
    match config.artifacts.clone() {
        None => artifact::store::Store::open(&root),
        Some((bucket, copies)) => {
            let open = move || artifact::store::Store::open_behind(&root, bucket, copies, runtime);
            crate::service::blocking(open).await
        }
    }
}

impl Server {
    /// Opens everything the config names; what cannot be had is said before anybody is answered.
    pub(super) async fn assemble(config: &Config, stop: CancellationToken) -> Outcome<Self> {
        let store = open_store(config).await?;
        let plain = config.plain.clone().map(|p| Plain::open(p, clock::now)).transpose()?;
        let mut hosts: BTreeMap<&'static str, Arc<dyn Forge>> = BTreeMap::new();
        if let Some(plain) = &plain {
            hosts.insert(plain.word(), Arc::new(plain.clone()));
        }
        let github = if let Some(settings) = &config.github {
            let github = GitHub::new(settings.clone())?;
            match github.check().await {
                Ok(found) => tracing::info!(repositories = found.len(), "GitHub answers"),
                // The server must come up without GitHub: webhooks are taken in, the rest is tried again.
                Err(trouble) if trouble.is_transient() => {
                    tracing::error!(error = trouble.chain(), "GitHub does not answer; trying again later");
                }
                Err(trouble) => return Err(trouble),
            }
            let github = Arc::new(github);
            let host: Arc<dyn Forge> = Arc::<GitHub>::clone(&github);
            hosts.insert(github.word(), host);
            Some(github)
        } else {
            None
        };
        let runner = runner().await;
        let artifacts = artifacts(config).await?;
        let library = library(config, &store, &hosts)?;
        let settings = settings(config, &library);
        let boot = boot()?;
        let parts =
            Parts { store: store.clone(), hosts, artifacts, runner, library: library.clone(), settings };
        let service = Service::new(parts, boot.clone());
        let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
        let answers = Answers::new(service.clone(), plain);
        let verify = verifier(&config.webhook_secrets);
        let app = http::app(State::new(http::Parts {
            store,
            verify_github: Arc::clone(&verify),
            verify_plain: verify,
            verify_gitea: verifier(&config.gitea_webhook_secrets),
            callers: config.callers.clone(),
            reader: Arc::new(answers.clone()),
            acts: Arc::new(answers),
            prefix: config.command_prefix.clone(),
            library,
            access: access(config)?,
            limits: Limits::default(),
            metrics: Arc::clone(&metrics),
            data_folder: Some(config.data.clone()),
            clock: clock::now,
            boot,
            shutdown: stop,
        }));
        Ok(Self { service, app, github, metrics })
    }

    /// Serves until `stop`; then no new work is taken, what runs may end, and the rest is left to its leases.
    pub(super) async fn run(self, listener: TcpListener, stop: CancellationToken) -> Outcome<()> {
        let work = tokio::spawn(self.service.clone().work(stop.clone()));
        let reconcile = tokio::spawn(self.service.clone().reconcile(stop.clone()));
        if let Some(github) = self.github {
            tokio::spawn(count(github, Arc::clone(&self.metrics), stop.clone()));
        }
        tokio::spawn(follow(self.service.clone(), Arc::clone(&self.metrics), stop.clone()));
        let drained = http::serve::serve(listener, self.app, Limits::default(), stop.clone()).await;
        if !drained {
            tracing::warn!("some connections did not end in time");
        }
        stop.cancel();
        let ended = tokio::time::timeout(DRAIN.as_std(), async {
            let _ended = (work.await, reconcile.await);
        })
        .await;
        if ended.is_err() {
            tracing::warn!("work is still running; its leases run out and the next start goes on");
        }
        self.service.store().close().await;
        Ok(())
    }

    /// The engine, for the demo.
    pub(super) fn service(&self) -> &Service {
        &self.service
    }
}

/// Brings GitHub's own figures into the metrics until `stop`.
async fn count(github: Arc<GitHub>, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut counted = 0;
    let mut answered = Counts::default();
    loop {
        for rate in github.rates() {
            let remaining = i64::try_from(rate.remaining).unwrap_or(i64::MAX);
            metrics.github_remaining(rate.installation, remaining);
        }
        let answers = github.answers();
        for (answer, total) in &answers {
            let known = answered.get(answer).copied().unwrap_or_default();
            metrics.github_requests(&answer.0, answer.1, total.saturating_sub(known));
        }
        answered = answers;
        let minted = github.mints();
        (counted..minted).for_each(|_| metrics.github_mint());
        counted = minted;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(COUNT_EVERY.as_std()) => {}
        }
    }
}

/// Brings what happens from now on, and what pipelines are like, into the metrics until `stop`; a database that is away
/// is asked again.
async fn follow(service: Service, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut after = None;
    loop {
        match news(&service, &metrics, after).await {
            Ok(seq) => after = Some(seq),
            Err(trouble) => tracing::debug!(error = trouble.chain(), "cannot count what happened"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(COUNT_EVERY.as_std()) => {}
        }
    }
}

/// Counts the events after a number; the answer is the number of the last of them, at first that of the log's head.
async fn news(service: &Service, metrics: &Metrics, after: Option<i64>) -> Outcome<i64> {
    let store = service.store();
    if let Some(holds) = service.chain_holds().await? {
        metrics.chain(holds);
    }
    let Some(mut after) = after else {
        let head = store.stats().await?.event_seq;
        let streams = store.pipelines().await?.into_iter().map(|row| row.stream).collect();
        stand(service, metrics, streams).await;
        return Ok(head);
    };
    loop {
        let events = store.events(&EventFilter::default(), after, COUNTED).await?;
        let Some(last) = events.last() else { return Ok(after) };
        after = last.seq;
        for event in &events {
            metrics.stored(event);
        }
        stand(service, metrics, events.into_iter().map(|event| event.stream).collect()).await;
    }
}

/// Says what these pipelines are like now; one that cannot be read is said again when it moves.
async fn stand(service: &Service, metrics: &Metrics, streams: BTreeSet<String>) {
    for id in streams.iter().filter_map(|stream| stream.parse::<PipelineId>().ok()) {
        match service.journal().load(&id).await {
            Ok(state) => metrics.pipeline(&state),
            Err(trouble) => {
                tracing::debug!(pipeline = %id, error = trouble.chain(), "cannot count what is there");
            }
        }
    }
}

/// A name for this start that no other has.
fn boot() -> Outcome<String> {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes).map_err(|e| Trouble::transient("get random bytes").because(e))?;
    Ok(hex::encode(bytes))
}

fn verifier(secrets: &[Secret]) -> Verify {
    let secrets: Vec<Secret> = secrets.to_vec();
    Arc::new(move |header: Option<&str>, body: &[u8]| {
        let secrets: Vec<&[u8]> = secrets.iter().map(|s| s.expose().as_bytes()).collect();
        let given: Vec<&[u8]> = header.iter().map(|h| h.as_bytes()).collect();
        signature::verify(&secrets, &given, body).is_ok()
    })
}

fn access(config: &Config) -> Outcome<Access> {
    let personal = config.personal_tokens.iter().map(|(login, token)| Token::personal(login, token));
    let mut tokens = personal.collect::<Outcome<Vec<_>>>()?;
    match config.access {
        AccessMode::Loopback => Ok(Access::Loopback(tokens)),
        AccessMode::Token => {
            for (index, token) in config.tokens.iter().enumerate() {
                tokens.push(Token::new(format!("token {}", index + 1), token, Right::Act)?);
            }
            Ok(Access::Tokens(tokens))
        }
    }
}

/// The variable groups, and the key that seals their secrets.
fn library(
    config: &Config,
    store: &Store,
    hosts: &BTreeMap<&'static str, Arc<dyn Forge>>,
) -> Outcome<Library> {
    let key = match &config.library.key {
        Some(key) => Key::from_hex(key)?,
        None => Key::of_file(&config.data.join("library.key"))?,
    };
    let vault = Vault::new(config.library.vault.clone(), key);
    Ok(Library::new(store.clone(), vault, hosts.clone(), config.library.admins.clone()))
}
