//! The real parts put together as `liftlock serve` does it, in a folder of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use liftlock::domain::command::prefix::Prefix;
use liftlock::domain::time::Span;
use liftlock::forge::{Forge, signature};
use liftlock::http::answers::Answers;
use liftlock::http::session::Access;
use liftlock::http::webhook::Verify;
use liftlock::http::{self, Limits, State};
use liftlock::probe::Reach;
use liftlock::probe::guard::Allowed;
use liftlock::runner::probe::{Door, Policy, Runner};
use liftlock::runner::target::Target;
use liftlock::secret::Secret;
use liftlock::service::library::Library;
use liftlock::service::{Parts, Service, Settings};
use liftlock::store::{self, Store};
use liftlock::telemetry::Metrics;
use liftlock::vault::seal::Key;
use liftlock::vault::{self, Vault};
use liftlock::{artifact, clock};

use crate::figure::Fallible;
use crate::wire::SECRET;

/// A store and a service over it in this folder, with the settings that are the defaults of the config.
pub(crate) async fn service(
    folder: &Path,
    hosts: BTreeMap<&'static str, Arc<dyn Forge>>,
    allowed: Allowed,
) -> Fallible<Service> {
    deploying(folder, hosts, allowed, Vec::new()).await
}

/// The same with machines to deploy to.
pub(crate) async fn deploying(
    folder: &Path,
    hosts: BTreeMap<&'static str, Arc<dyn Forge>>,
    allowed: Allowed,
    targets: Vec<Target>,
) -> Fallible<Service> {
    std::fs::create_dir_all(folder)?;
    let store = open(folder).await?;
    let settings = Settings {
        program: PathBuf::from("liftlock"),
        data: folder.to_owned(),
        prefix: Prefix::default(),
        sandbox: Policy::Auto,
        door: Door::Locked,
        toolchains: Vec::new(),
        labels: BTreeSet::new(),
        secrets: BTreeMap::new(),
        connections: BTreeMap::new(),
        origins: Vec::new(),
        upstreams: Vec::new(),
        registries: Vec::new(),
        outlets: Vec::new(),
        targets,
        hidden: Vec::new(),
        environment: BTreeMap::new(),
        builds: 1,
        deploys: 4,
        lease: Span::seconds(30),
        notify: liftlock::notify::Routes::default(),
        probe: Reach { allowed, ..Reach::default() },
        reconcile_every: Span::minutes(5),
        policy: Vec::new(),
        retention: None,
    };
    let artifacts = artifact::store::Store::open(&folder.join("artifacts"))?;
    let key = Key::from_hex(&Secret::new("07".repeat(32)))?;
    let vault = Vault::new(vault::Settings::default(), key);
    let library = Library::new(store.clone(), vault, hosts.clone(), BTreeSet::new());
    let parts = Parts { store, hosts, artifacts, runner: Runner::probe().await, library, settings };
    Ok(Service::new(parts, "bench".to_owned()))
}

/// The database of a folder.
pub(crate) async fn open(folder: &Path) -> Fallible<Store> {
    let url = format!("sqlite:{}", folder.join("liftlock.db").display());
    Ok(Store::open(&store::Settings::new(url)).await?)
}

/// The whole router over a service.
pub(crate) fn app(service: &Service, shutdown: CancellationToken) -> Router {
    let answers = Arc::new(Answers::new(service.clone(), None));
    http::app(State::new(http::Parts {
        store: service.store().clone(),
        verify_github: verify(),
        verify_plain: verify(),
        verify_gitea: verify(),
        callers: Vec::new(),
        reader: Arc::clone(&answers) as _,
        acts: answers as _,
        prefix: Prefix::default(),
        library: service.library().clone(),
        access: Access::Loopback(Vec::new()),
        limits: Limits::default(),
        metrics: Arc::new(Metrics::new("bench")),
        data_folder: None,
        clock: clock::now,
        boot: "bench".to_owned(),
        shutdown,
    }))
}

/// The check that `liftlock serve` makes.
pub(crate) fn verify() -> Verify {
    Arc::new(|header: Option<&str>, body: &[u8]| {
        let given: Vec<&[u8]> = header.iter().map(|h| h.as_bytes()).collect();
        signature::verify(&[SECRET.as_bytes()], &given, body).is_ok()
    })
}

/// Serves a router on a free port of this machine until `shutdown`.
pub(crate) async fn listen(app: Router, shutdown: CancellationToken) -> Fallible<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(http::serve::serve(listener, app, Limits::default(), shutdown));
    Ok(address)
}
