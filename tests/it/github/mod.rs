//! A GitHub on loopback, derived from a state model: answers and webhooks come from the same state.
//!
//! A test ends with [`FakeGitHub::finish`], which fails on requests that no route knows and on comments, statuses
//! and check runs that the test did not expect.

mod actions;
mod api;
mod fault;
mod git;
mod hook;
mod issues;
mod release;
mod show;
mod state;
mod web;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::Method;
use liftlock::domain::time::Span;
use liftlock::forge::github::settings::{Credentials, Settings};
use liftlock::secret::Secret;
use serde_json::Value;
use tokio::sync::watch;

pub(crate) use fault::Fault;
use fault::Planned;
pub(crate) use hook::{Webhook, signature};
pub(crate) use release::{Asset, Release};
pub(crate) use state::State as GitHubState;
use state::State;
pub(crate) use state::{
    APP_ID, APP_USER, Check, Comment, Hook, INSTALLATION, PERSONAL_TOKEN, Pull, Reaction, Spot, Status,
    WorkflowRun,
};

/// Longest wait for something that should come: it ends at once when it does.
const PATIENCE: Duration = Duration::from_secs(20);

/// The app's key; made for this fake, known to nobody else.
pub(crate) const APP_KEY: &str = include_str!("../../../fixtures/github/app.pem");

/// The address that the settings name as our own.
pub(crate) const PUBLIC_URL: &str = "https://lift.example";

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) method: Method,
    /// With its query.
    pub(crate) target: String,
    /// `app`, `installation`, `personal` or `none`.
    pub(crate) auth: &'static str,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: Value,
}

/// What the server and the test share.
#[derive(Debug)]
struct Shared {
    prefix: String,
    state: Mutex<State>,
    requests: Mutex<Vec<Recorded>>,
    unknown: Mutex<Vec<String>>,
    faults: Mutex<Vec<Planned>>,
    changed: watch::Sender<()>,
}

/// The fake; the server ends with it.
#[derive(Debug)]
pub(crate) struct FakeGitHub {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: tokio::task::JoinHandle<()>,
    finished: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeGitHub {
    /// A GitHub like github.com.
    pub(crate) async fn start() -> Self {
        Self::start_below("").await
    }

    /// A GitHub whose API is below a path, like an Enterprise Server's `/api/v3`.
    pub(crate) async fn start_below(prefix: &str) -> Self {
        let shared = Arc::new(Shared {
            prefix: prefix.to_owned(),
            state: Mutex::new(State::new()),
            requests: Mutex::default(),
            unknown: Mutex::default(),
            faults: Mutex::default(),
            changed: watch::Sender::new(()),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(web::serve(listener, Arc::clone(&shared)));
        Self { shared, address, server, finished: false }
    }

    /// `http://127.0.0.1:<port>`.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Settings of the app for these repositories, without pauses.
    pub(crate) fn settings(&self, repositories: &[&str]) -> Settings {
        let credentials = Credentials::App { id: APP_ID, private_key: Secret::new(APP_KEY) };
        let repositories = repositories.iter().map(|name| name.parse().expect("a name")).collect();
        Settings {
            api_url: format!("{}{}", self.origin(), self.shared.prefix),
            git_url: Some(format!("{}/git", self.origin())),
            pause_between_writes: Span::ZERO,
            ..Settings::new(PUBLIC_URL, credentials, repositories)
        }
    }

    /// Settings of the personal token for these repositories.
    pub(crate) fn personal_settings(&self, repositories: &[&str]) -> Settings {
        let credentials = Credentials::Token(Secret::new(PERSONAL_TOKEN));
        Settings { credentials, ..self.settings(repositories) }
    }

    /// The state, to set up or to look at.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }

    /// Plans a fault for the next `times` requests of this method whose path contains `path`.
    pub(crate) fn fault(&self, method: &Method, path: &str, times: usize, fault: Fault) {
        lock(&self.shared.faults).push(Planned {
            method: method.clone(),
            path: path.to_owned(),
            times,
            fault,
        });
    }

    /// Every request so far.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        lock(&self.shared.requests).clone()
    }

    /// How many requests of this method have a path that contains `path`.
    pub(crate) fn count(&self, method: &Method, path: &str) -> usize {
        self.requests().iter().filter(|r| r.method == *method && r.target.contains(path)).count()
    }

    /// Waits until so many requests of this method with this path have come.
    pub(crate) async fn expect_requests(&self, count: usize, method: &Method, path: &str) {
        let what = format!("request {count} of {method} {path}");
        self.wait(&what, |_| (self.count(method, path) >= count).then_some(())).await;
    }

    /// The oldest comment in this place that was written through the API and not yet expected.
    pub(crate) async fn expect_comment(&self, repo: u64, spot: &Spot) -> Comment {
        self.wait(&format!("a comment in {spot:?}"), |state| {
            let repo = state.repos.get_mut(&repo)?;
            let found = repo.comments.values_mut().find(|c| c.unread && c.spot == *spot)?;
            found.unread = false;
            Some(found.clone())
        })
        .await
    }

    /// The newest status of this context on this commit.
    pub(crate) async fn expect_status(&self, repo: u64, sha: &str, context: &str) -> Status {
        self.wait(&format!("status {context} on {sha}"), |state| {
            let statuses = &mut state.repos.get_mut(&repo)?.statuses;
            let newest = statuses.iter_mut().rev().find(|s| s.sha == sha && s.context == context)?;
            newest.unread.then(|| {
                newest.unread = false;
                newest.clone()
            })
        })
        .await
    }

    /// The newest check run of ours of this name on this commit.
    pub(crate) async fn expect_check(&self, repo: u64, sha: &str, name: &str) -> (u64, Check) {
        self.wait(&format!("check run {name} on {sha}"), |state| {
            let checks = &mut state.repos.get_mut(&repo)?.checks;
            let newest = checks.iter_mut().rev().find(|(_, c)| c.sha == sha && c.name == name && c.unread)?;
            newest.1.unread = false;
            Some((*newest.0, newest.1.clone()))
        })
        .await
    }

    /// Wakes whenever something may have changed here.
    pub(crate) fn changed(&self) -> watch::Receiver<()> {
        self.shared.changed.subscribe()
    }

    /// Waits, level-triggered, until `look` finds something.
    async fn wait<T>(&self, what: &str, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut changed = self.shared.changed.subscribe();
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(found) = look(&mut self.state()) {
                    return found;
                }
                changed.changed().await.expect("the sender lives as long as the fake");
            }
        });
        let found = found.await;
        found.unwrap_or_else(|_| panic!("{what} did not come; GitHub is now: {:#?}", self.state()))
    }

    /// Ends the test's talk with GitHub: everything that came must have been known and expected.
    pub(crate) fn finish(mut self) {
        self.finished = true;
        let unknown = lock(&self.shared.unknown).clone();
        assert!(unknown.is_empty(), "no route for {unknown:?}");
        let state = self.state();
        for repo in state.repos.values() {
            let comments: Vec<_> = repo.comments.values().filter(|c| c.unread).collect();
            assert!(comments.is_empty(), "unexpected comments in {}: {comments:#?}", repo.name);
            let newest = |s: &&Status| {
                let same = |o: &&Status| o.sha == s.sha && o.context == s.context;
                repo.statuses.iter().rev().find(same).is_some_and(|n| std::ptr::eq(n, *s))
            };
            let statuses: Vec<_> = repo.statuses.iter().filter(newest).filter(|s| s.unread).collect();
            assert!(statuses.is_empty(), "unexpected statuses in {}: {statuses:#?}", repo.name);
            let checks: Vec<_> = repo.checks.values().filter(|c| c.unread).collect();
            assert!(checks.is_empty(), "unexpected check runs in {}: {checks:#?}", repo.name);
        }
    }
}

impl Drop for FakeGitHub {
    fn drop(&mut self) {
        self.server.abort();
        let finished = self.finished || std::thread::panicking();
        assert!(finished, "the test did not call `finish` on its GitHub");
    }
}
