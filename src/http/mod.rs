//! The doors: webhooks, pages, API and streams behind one router that lets nobody in by default.
//!
//! Every address is a line of [`table`], and a line cannot be written without what it needs (THREATS T32).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, post, put};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::config::caller::Caller;
use crate::domain::command::prefix::Prefix;
use crate::domain::time::{Span, Timestamp};
use crate::forge::gitea;
use crate::http::api::{Acts, Reader};
use crate::http::body::Budget;
use crate::http::error::{Fault, Why};
use crate::http::session::{Access, Needs, Right};
use crate::http::webhook::Verify;
use crate::service::library::Library;
use crate::store::Store;
use crate::telemetry::Metrics;

pub mod about;
pub mod answers;
pub mod api;
pub mod approvals;
pub mod error;
pub mod evidence;
pub mod notes;
pub mod published;
pub mod queue;
pub mod resources;
pub mod retention;
pub mod runbooks;
pub mod serve;
pub mod session;
pub mod view;
pub mod webhook;

mod assets;
mod body;
pub mod builds;
mod call;
pub mod digests;
mod envelope;
mod extract;
mod groups;
mod health;
mod pages;
mod shelf;
mod start;
mod stream;
mod typed;
pub mod upload;

#[cfg(test)]
mod tests;

/// How much is taken, held and waited for (STORAGE §8).
#[derive(Debug, Clone)]
pub struct Limits {
    /// From the first byte of a connection, or the last of an answer, to the end of the next request's head.
    pub header_within: Span,
    /// From the head of a webhook to its answer; GitHub gives up after 10 s.
    pub request_within: Span,
    /// How long a write may stand still because the other side does not read.
    pub write_within: Span,
    /// How long a shutdown waits for what was begun; longer than a request may take.
    pub drain_within: Span,
    /// Connections at once.
    pub connections: usize,
    /// Bytes of a webhook: GitHub sends no larger one.
    pub hook_body: usize,
    /// Bytes of any other body.
    pub body: usize,
    /// Bytes that all bodies in flight may hold together.
    pub bodies: usize,
    /// Webhooks verified and stored at once: one commit of the store takes as many.
    pub hooks: usize,
    /// Streams open at once; each costs a query a second at most.
    pub streams: usize,
    /// Bytes of the data folder's disk below which we are not ready.
    pub free_disk: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_within: Span::seconds(10),
            request_within: Span::seconds(9),
            write_within: Span::seconds(30),
            drain_within: Span::seconds(10),
            connections: 1024,
            hook_body: 25 << 20,
            body: 64 << 10,
            bodies: 256 << 20,
            hooks: 256,
            streams: 64,
            free_disk: 64 << 20,
        }
    }
}

/// What the doors are built from.
pub struct Parts {
    /// Where deliveries go and pages come from.
    pub store: Store,
    /// Checks the signature of `POST /webhook/github`.
    pub verify_github: Verify,
    /// Checks the signature of `POST /webhook/plain`.
    pub verify_plain: Verify,
    /// Checks the signature of `POST /webhook/gitea`.
    pub verify_gitea: Verify,
    /// Programs whose signed calls start releases.
    pub callers: Vec<Caller>,
    /// Where the page of one release comes from.
    pub reader: Arc<dyn Reader>,
    /// What people can make the program do.
    pub acts: Arc<dyn Acts>,
    /// What stands before every verb in comments.
    pub prefix: Prefix,
    /// The variable groups.
    pub library: Library,
    /// How people prove that they may come in.
    pub access: Access,
    /// The bounds.
    pub limits: Limits,
    /// Where to count.
    pub metrics: Arc<Metrics>,
    /// The folder whose disk must have room; none when everything is in `PostgreSQL`.
    pub data_folder: Option<PathBuf>,
    /// The clock of received webhooks and of "2 h ago" on pages.
    pub clock: fn() -> Timestamp,
    /// What request ids of this process begin with.
    pub boot: String,
    /// Ends streams when the program does.
    pub shutdown: CancellationToken,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("access", &self.access)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

struct Inner {
    parts: Parts,
    budget: Budget,
    hooks: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    requests: AtomicU64,
}

/// What every door shares; clones share it.
#[derive(Clone)]
pub struct State(Arc<Inner>);

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("access", &self.0.parts.access).finish_non_exhaustive()
    }
}

impl State {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let budget = Budget::new(parts.limits.bodies);
        let hooks = Arc::new(Semaphore::new(parts.limits.hooks));
        let streams = Arc::new(Semaphore::new(parts.limits.streams));
        Self(Arc::new(Inner { parts, budget, hooks, streams, requests: AtomicU64::new(0) }))
    }

    fn store(&self) -> &Store {
        &self.0.parts.store
    }

    fn limits(&self) -> &Limits {
        &self.0.parts.limits
    }

    fn metrics(&self) -> &Metrics {
        &self.0.parts.metrics
    }

    fn access(&self) -> &Access {
        &self.0.parts.access
    }

    fn budget(&self) -> &Budget {
        &self.0.budget
    }

    fn data_folder(&self) -> Option<&Path> {
        self.0.parts.data_folder.as_deref()
    }

    fn now(&self) -> Timestamp {
        (self.0.parts.clock)()
    }

    fn verify(&self, source: &str) -> Verify {
        let parts = &self.0.parts;
        Arc::clone(match source {
            "github" => &parts.verify_github,
            gitea::SOURCE => &parts.verify_gitea,
            _ => &parts.verify_plain,
        })
    }

    fn callers(&self) -> &[Caller] {
        &self.0.parts.callers
    }

    fn reader(&self) -> &dyn Reader {
        self.0.parts.reader.as_ref()
    }

    fn acts(&self) -> &dyn Acts {
        self.0.parts.acts.as_ref()
    }

    fn prefix(&self) -> &Prefix {
        &self.0.parts.prefix
    }

    fn library(&self) -> &Library {
        &self.0.parts.library
    }

    fn shutdown(&self) -> &CancellationToken {
        &self.0.parts.shutdown
    }

    fn stream_place(&self) -> Result<OwnedSemaphorePermit, Fault> {
        let place = Arc::clone(&self.0.streams).try_acquire_owned();
        place.map_err(|_| Fault::busy("as many streams are open as may be"))
    }

    async fn hook_place(&self) -> Result<OwnedSemaphorePermit, Fault> {
        let place = Arc::clone(&self.0.hooks).acquire_owned().await;
        place.map_err(|_| Fault::busy("the door for webhooks is closed"))
    }

    fn next_request(&self) -> String {
        let no = self.0.requests.fetch_add(1, Ordering::Relaxed);
        format!("{}-{no:x}", self.0.parts.boot)
    }
}

/// One address: how it is asked, what it needs, what serves it.
struct Route {
    method: &'static str,
    path: &'static str,
    needs: Needs,
    serves: MethodRouter<State>,
}

const PUBLIC: Needs = Needs::Nothing;
const READ: Needs = Needs::Right(Right::Read);
const ACT: Needs = Needs::Right(Right::Act);

fn route(method: &'static str, path: &'static str, needs: Needs, serves: MethodRouter<State>) -> Route {
    Route { method, path, needs, serves }
}

/// Every address that others call, and sign what they say.
fn hooks() -> Vec<Route> {
    vec![
        route("POST", "/webhook/github", PUBLIC, post(webhook::github)),
        route("POST", "/webhook/plain", PUBLIC, post(webhook::plain)),
        route("POST", "/webhook/gitea", PUBLIC, post(webhook::gitea)),
        route("POST", "/webhook/start/{repo}/{pipeline}", PUBLIC, post(call::start)),
    ]
}

/// Every address of people and their programs, but those of evidence.
fn table() -> Vec<Route> {
    vec![
        route("GET", "/healthz", PUBLIC, get(health::alive)),
        route("GET", "/readyz", PUBLIC, get(health::ready)),
        route("GET", "/assets/{file}", PUBLIC, get(assets::asset)),
        route("GET", "/metrics", READ, get(health::metrics)),
        route("GET", "/", READ, get(pages::overview)),
        route("GET", "/pipelines", READ, get(builds::pipelines)),
        route("GET", "/builds", READ, get(builds::page)),
        route("GET", "/api/builds", READ, get(builds::api)),
        route("GET", "/pipelines/{repo}/{pipeline}", READ, get(pages::pipeline)),
        route("POST", "/pipelines/{repo}/{pipeline}", ACT, post(start::press)),
        route("GET", "/releases/{repo}/{pipeline}/{no}", READ, get(pages::release)),
        route("GET", "/runbooks/{repo}/{pipeline}", READ, get(runbooks::page)),
        route("POST", "/runbooks/{repo}/{pipeline}", ACT, post(runbooks::run)),
        route("GET", "/queue", READ, get(queue::page)),
        route("GET", "/approvals", READ, get(approvals::page)),
        route("POST", "/queue", ACT, post(queue::cancel_by_form)),
        route("GET", "/logs/{*id}", READ, get(pages::log)),
        route("GET", "/events", READ, get(pages::events)),
        route("GET", "/deliveries", READ, get(pages::deliveries)),
        route("GET", "/deliveries/{seq}", READ, get(pages::delivery)),
        route("GET", "/deliveries/{seq}/raw", READ, get(pages::raw)),
        route("POST", "/deliveries/{seq}/replay", ACT, post(pages::replay)),
        route("GET", "/groups", READ, get(shelf::groups)),
        route("POST", "/groups", ACT, post(shelf::create)),
        route("GET", "/groups/{name}", READ, get(shelf::group)),
        route("POST", "/groups/{name}", ACT, post(shelf::set)),
        route("GET", "/groups/{name}/security", READ, get(shelf::security)),
        route("POST", "/groups/{name}/security", ACT, post(shelf::secure)),
        route("GET", "/streams/events", READ, get(stream::events)),
        route("GET", "/streams/logs/{*id}", READ, get(stream::log)),
        route("GET", "/api/pipelines", READ, get(api::pipelines)),
        route("GET", "/api/pipelines/{repo}/{pipeline}/plan", READ, get(api::plan)),
        route("GET", "/api/pipelines/{repo}/{pipeline}/resources", READ, get(resources::api)),
        route("POST", "/api/pipelines/{repo}/{pipeline}/artifacts", ACT, post(upload::upload)),
        route("POST", "/api/pipelines/{repo}/{pipeline}/start", ACT, post(start::start)),
        route("GET", "/api/releases", READ, get(api::releases)),
        route("GET", "/api/releases/{repo}/{pipeline}/{no}", READ, get(api::release)),
        route("GET", "/api/releases/{repo}/{pipeline}/{no}/why", READ, get(api::why)),
        route("GET", "/api/releases/{repo}/{pipeline}/{no}/notes", READ, get(notes::read)),
        route("PUT", "/api/releases/{repo}/{pipeline}/{no}/notes", ACT, put(notes::write)),
        route("GET", "/api/releases/{repo}/{pipeline}/{no}/notes.md", READ, get(notes::markdown)),
        route("GET", "/api/releases/{repo}/{pipeline}/{no}/release.json", READ, get(notes::metadata)),
        route("GET", "/api/runbooks/{repo}/{pipeline}", READ, get(runbooks::api)),
        route("GET", "/api/releases/{repo}/{pipeline}/{no}/variables", READ, get(api::variables)),
        route("GET", "/api/retention", READ, get(retention::list)),
        route("POST", "/api/retention", ACT, post(retention::apply)),
        route("GET", "/api/runs", READ, get(queue::list)),
        route("GET", "/api/approvals", READ, get(approvals::api)),
        route("DELETE", "/api/runs", ACT, delete(queue::clear)),
        route("DELETE", "/api/runs/{*id}", ACT, delete(queue::remove)),
        route("GET", "/api/status", READ, get(api::status)),
        route("GET", "/api/events", READ, get(api::events)),
        route("GET", "/api/deliveries", READ, get(api::deliveries)),
        route("GET", "/api/deliveries/{seq}", READ, get(api::delivery)),
        route("POST", "/api/deliveries/{seq}/replay", ACT, post(api::replay)),
        route("GET", "/api/logs/{*id}", READ, get(api::log)),
        route("GET", "/api/groups", READ, get(groups::list)),
        route("POST", "/api/groups", ACT, post(groups::create)),
        route("GET", "/api/groups/{name}", READ, get(groups::show)),
        route("POST", "/api/groups/{name}", ACT, post(groups::edit)),
        route("GET", "/api/groups/{name}/history", READ, get(groups::history)),
        route("POST", "/api/pipelines/{repo}/{pipeline}/groups", ACT, post(groups::create_for_stages)),
        route("POST", "/api/comments", ACT, post(api::comment)),
        route("POST", "/api/ask", ACT, post(api::ask)),
        route("POST", "/api/apply", ACT, post(api::apply)),
    ]
}

fn routes() -> impl Iterator<Item = Route> {
    hooks().into_iter().chain(table()).chain(proofs())
}

/// Every address of what can be checked without us.
fn proofs() -> Vec<Route> {
    vec![
        route("GET", "/digests/{digest}", READ, get(digests::page)),
        route("GET", "/api/digests/{digest}", READ, get(digests::api)),
        route("GET", "/api/releases/{repo}/{pipeline}/{no}/files/{name}", READ, get(evidence::file)),
        route("GET", "/api/releases/{repo}/{pipeline}/{no}/evidence", READ, get(evidence::list)),
        route("GET", "/api/releases/{repo}/{pipeline}/{no}/evidence/{name}", READ, get(evidence::one)),
        route("GET", "/api/releases/{repo}/{pipeline}/{no}/provenance", READ, get(evidence::provenance)),
        route("GET", "/api/releases/{repo}/{pipeline}/{no}/SHA256SUMS", READ, get(evidence::checksums)),
        route("GET", "/keys", PUBLIC, get(evidence::keys)),
        route("GET", "/keys/allowed_signers", PUBLIC, get(evidence::signers)),
        route("GET", "/keys/minisign.pub", PUBLIC, get(evidence::minisign)),
    ]
}

/// Method, path and needs of every address, for the documentation and for whoever checks it.
pub fn addresses() -> impl Iterator<Item = (&'static str, &'static str, Needs)> {
    routes().map(|route| (route.method, route.path, route.needs))
}

/// The router, ready for [`serve::serve`] or for one request of a test.
pub fn app(state: State) -> Router {
    let guard = |needs| from_fn_with_state((state.clone(), needs), session::guard);
    let mut router = Router::new();
    for Route { method: _, path, needs, serves } in routes() {
        router = router.route(path, serves.layer(guard(needs)));
    }
    let nothing = || async { Fault::new(Why::NotFound) };
    let method = || async { Fault::new(Why::Method) };
    router
        .method_not_allowed_fallback(method)
        .fallback_service(axum::routing::any(nothing).layer(guard(READ)).with_state(()))
        .layer(from_fn_with_state(state.clone(), envelope::envelope))
        .with_state(state)
}
