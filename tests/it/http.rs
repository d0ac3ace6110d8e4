//! The server over real sockets: slow, giant, many, and an end in the middle of it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where it goes wrong")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit as _, Mac as _};
use liftlock::domain::command::prefix::Prefix;
use liftlock::domain::name::Login;
use liftlock::domain::simulate::ahead::{Act, Ahead};
use liftlock::domain::time::{Span, Timestamp};
use liftlock::http::about::About;
use liftlock::http::api::{Acts, Apply, Ask, Comment, Reader, Reply};
use liftlock::http::approvals::AskedLine;
use liftlock::http::builds::{BuildRow, WhichBuilds};
use liftlock::http::digests::DigestPage;
use liftlock::http::evidence::{EvidenceList, FileBytes, Form};
use liftlock::http::notes::{NotesText, Written};
use liftlock::http::queue::{Cancel, QueueLine};
use liftlock::http::resources::Resource;
use liftlock::http::retention::{Deleted, RetentionLine};
use liftlock::http::runbooks::RunbooksPage;
use liftlock::http::session::{Access, Caller};
use liftlock::http::view::ReleasePage;
use liftlock::http::{Limits, Parts, State, app, serve};
use liftlock::secret::Secret;
use liftlock::service::library::Library;
use liftlock::store::{Settings, Store};
use liftlock::telemetry::Metrics;
use liftlock::trouble::{Outcome, Trouble};
use liftlock::vault::seal::Key;
use liftlock::vault::{self, Vault};
use serde_json::Value;
use sha2::Sha256;
use sqlx::{Connection as _, Executor as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

const SECRET: &[u8] = b"a webhook secret of some length";
/// Longest a test waits for anything; never reached when the server is right.
const DEADLINE: Duration = Duration::from_mins(1);

fn mac(body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(body);
    mac
}

fn verify(header: Option<&str>, body: &[u8]) -> bool {
    let sent = header.and_then(|h| h.strip_prefix("sha256=")).and_then(|h| hex::decode(h).ok());
    sent.is_some_and(|sent| mac(body).verify_slice(&sent).is_ok())
}

fn noon() -> Timestamp {
    Timestamp::parse("2026-03-06T12:00:00Z").unwrap()
}

fn library(store: &Store) -> Library {
    let key = Key::from_hex(&Secret::new("07".repeat(32))).unwrap();
    let vault = Vault::new(vault::Settings::default(), key);
    Library::new(store.clone(), vault, BTreeMap::new(), BTreeSet::new())
}

/// Nothing here asks for a release or says a command.
struct NoEngine;

impl Reader for NoEngine {
    fn asked<'a>(&'a self, _: Option<&'a Login>) -> BoxFuture<'a, Outcome<Vec<AskedLine>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn builds<'a>(&'a self, _: &'a WhichBuilds) -> BoxFuture<'a, Outcome<Vec<BuildRow>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn runbooks_page<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Outcome<RunbooksPage>> {
        Box::pin(async { Err(Trouble::not_found("there is no engine")) })
    }

    fn queue<'a>(&'a self, _: Option<&'a str>) -> BoxFuture<'a, Outcome<Vec<QueueLine>>> {
        Box::pin(async { Err(Trouble::not_found("there is no engine")) })
    }

    fn digest<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Outcome<DigestPage>> {
        Box::pin(async { Err(Trouble::not_found("nothing is sealed here")) })
    }

    fn evidence<'a>(&'a self, _: &'a str, _: u32) -> BoxFuture<'a, Outcome<EvidenceList>> {
        Box::pin(async { Err(Trouble::not_found("nothing is sealed here")) })
    }

    fn proof<'a>(&'a self, _: &'a str, _: u32, _: &'a str) -> BoxFuture<'a, Outcome<String>> {
        Box::pin(async { Err(Trouble::not_found("nothing is sealed here")) })
    }

    fn notes<'a>(&'a self, _: &'a str, _: u32) -> BoxFuture<'a, Outcome<NotesText>> {
        Box::pin(async { Err(Trouble::not_found("there is no such release")) })
    }

    fn metadata<'a>(&'a self, _: &'a str, _: u32) -> BoxFuture<'a, Outcome<Value>> {
        Box::pin(async { Err(Trouble::not_found("there is no such release")) })
    }

    fn keys(&self, _: Form) -> BoxFuture<'_, Outcome<String>> {
        Box::pin(async { Ok(String::new()) })
    }

    fn file<'a>(&'a self, _: &'a str, _: u32, _: &'a str) -> BoxFuture<'a, Outcome<FileBytes>> {
        Box::pin(async { Err(Trouble::not_found("nothing is sealed here")) })
    }

    fn retention(&self) -> BoxFuture<'_, Outcome<Vec<RetentionLine>>> {
        Box::pin(async { Err(Trouble::not_found("there is no engine")) })
    }

    fn release_page<'a>(&'a self, _: &'a str, _: u32) -> BoxFuture<'a, Outcome<ReleasePage>> {
        Box::pin(async { Err(Trouble::not_found("there is no engine")) })
    }

    fn ahead<'a>(&'a self, _: &'a str, _: Act) -> BoxFuture<'a, Outcome<Ahead>> {
        Box::pin(async { Err(Trouble::not_found("there is no engine")) })
    }

    fn about<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Outcome<About>> {
        Box::pin(async { Ok(About::default()) })
    }

    fn resources<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Outcome<Vec<Resource>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn pending_apply<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Outcome<Option<String>>> {
        Box::pin(async { Ok(None) })
    }
}

impl Acts for NoEngine {
    fn admit_upload<'a>(
        &'a self,
        _: &'a str,
        _: &'a Login,
        _: Caller,
    ) -> BoxFuture<'a, Outcome<liftlock::http::upload::Admitted>> {
        Box::pin(async { Err(Trouble::refused("nothing is handed in here")) })
    }

    fn end_upload<'a>(
        &'a self,
        _: &'a str,
        _: liftlock::artifact::store::Incoming,
        _: (
            liftlock::domain::name::Alias,
            liftlock::domain::name::Digest,
            Option<liftlock::domain::name::CommitSha>,
        ),
        _: liftlock::domain::person::Standing,
    ) -> BoxFuture<'a, Outcome<Reply>> {
        Box::pin(async { Ok(Reply { accepted: false, text: String::new() }) })
    }

    fn say(&self, _: Comment, _: Caller) -> BoxFuture<'_, Outcome<Reply>> {
        Box::pin(async { Err(Trouble::not_found("there is no engine")) })
    }

    fn act(&self, _: Ask, _: Caller) -> BoxFuture<'_, Outcome<Reply>> {
        Box::pin(async { Err(Trouble::not_found("there is no engine")) })
    }

    fn write_notes<'a>(&'a self, _: (&'a str, u32), _: Written, _: Caller) -> BoxFuture<'a, Outcome<Reply>> {
        Box::pin(async { Err(Trouble::refused("notes are not written here")) })
    }

    fn retain(&self, _: Caller) -> BoxFuture<'_, Outcome<Deleted>> {
        Box::pin(async { Err(Trouble::not_found("there is no engine")) })
    }

    fn cancel(&self, _: Cancel, _: Caller) -> BoxFuture<'_, Outcome<Reply>> {
        Box::pin(async { Err(Trouble::not_found("there is no engine")) })
    }

    fn apply(&self, _: Apply, _: Caller) -> BoxFuture<'_, Outcome<Reply>> {
        Box::pin(async { Err(Trouble::not_found("there is no engine")) })
    }
}

struct Running {
    at: SocketAddr,
    store: Store,
    folder: PathBuf,
    shutdown: CancellationToken,
    server: JoinHandle<bool>,
}

impl Running {
    async fn start(limits: Limits) -> Self {
        Self::with(limits, |_| {}).await
    }

    async fn with(limits: Limits, change: impl FnOnce(&mut Settings)) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let no = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("liftlock-it-http-{}-{no}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut settings = Settings::new(format!("sqlite:{}/l.db", folder.display()));
        change(&mut settings);
        Self::on(folder, &settings, limits).await
    }

    async fn on(folder: PathBuf, settings: &Settings, limits: Limits) -> Self {
        let store = Store::open(settings).await.unwrap();
        let shutdown = CancellationToken::new();
        let state = State::new(Parts {
            store: store.clone(),
            verify_github: Arc::new(verify),
            verify_plain: Arc::new(verify),
            verify_gitea: Arc::new(verify),
            callers: Vec::new(),
            reader: Arc::new(NoEngine),
            acts: Arc::new(NoEngine),
            prefix: Prefix::default(),
            library: library(&store),
            access: Access::Loopback(Vec::new()),
            limits: limits.clone(),
            metrics: Arc::new(Metrics::new("0")),
            data_folder: Some(folder.clone()),
            clock: noon,
            boot: "it".to_owned(),
            shutdown: shutdown.clone(),
        });
        let listener = serve::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let at = listener.local_addr().unwrap();
        let server = tokio::spawn(serve::serve(listener, app(state), limits, shutdown.clone()));
        Self { at, store, folder, shutdown, server }
    }

    async fn stop(self) -> bool {
        self.shutdown.cancel();
        let drained = tokio::time::timeout(DEADLINE, self.server).await.unwrap().unwrap();
        self.store.close().await;
        drop(std::fs::remove_dir_all(&self.folder));
        drained
    }
}

fn head(guid: &str, body: &[u8], length: usize) -> String {
    let signature = hex::encode(mac(body).finalize().into_bytes());
    format!(
        "POST /webhook/github HTTP/1.1\r\nhost: localhost\r\nx-github-delivery: {guid}\r\n\
        x-github-event: push\r\nx-hub-signature-256: sha256={signature}\r\ncontent-length: {length}\r\n"
    )
}

/// Sends one webhook on its own connection; the status, or 0 when the connection ended without one.
async fn post(at: SocketAddr, guid: &str, body: &[u8]) -> u16 {
    let Ok(mut socket) = TcpStream::connect(at).await else { return 0 };
    let head = head(guid, body, body.len()) + "connection: close\r\n\r\n";
    // An answer may come before the whole body is sent: what matters is what can be read.
    drop(socket.write_all(head.as_bytes()).await);
    drop(socket.write_all(body).await);
    status(&mut socket).await
}

async fn status(socket: &mut TcpStream) -> u16 {
    let text = rest(socket).await;
    text.strip_prefix("HTTP/1.1 ").and_then(|t| t.get(..3)).and_then(|t| t.parse().ok()).unwrap_or(0)
}

/// Everything until the other side closes.
async fn rest(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(DEADLINE, socket.read_to_end(&mut bytes)).await;
    // A reset after the answer still leaves the answer.
    drop(read.expect("the server closes the connection"));
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn get(at: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(at).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    rest(&mut socket).await
}

fn quick() -> Limits {
    Limits {
        header_within: Span::millis(300),
        request_within: Span::millis(800),
        write_within: Span::millis(500),
        ..Limits::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t05_a_thousand_webhooks_at_once_are_each_stored_once() {
    let running = Running::start(Limits::default()).await;
    let at = running.at;
    let mut sending = JoinSet::new();
    for no in 0..1000 {
        sending
            .spawn(async move { post(at, &format!("g-{no}"), format!("{{\"no\":{no}}}").as_bytes()).await });
    }
    let answers = sending.join_all().await;
    assert!(answers.iter().all(|status| *status == 202), "{answers:?}");
    let kept = running.store.deliveries(2000, None).await.unwrap();
    assert_eq!(kept.len(), 1000);
    assert!(kept.iter().all(|delivery| delivery.seen == 1));
    assert!(running.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn t05_heads_that_never_end_are_cut_off_and_others_are_served_meanwhile() {
    let running = Running::start(quick()).await;
    let mut slow = Vec::new();
    for no in 0..200 {
        let mut socket = TcpStream::connect(running.at).await.unwrap();
        let start: &[u8] = if no % 2 == 0 { b"POST /webhook/github HTTP/1.1\r\nhost: l" } else { b"" };
        socket.write_all(start).await.unwrap();
        slow.push(socket);
    }
    assert!(get(running.at, "/healthz").await.starts_with("HTTP/1.1 200"));
    for mut socket in slow {
        let answer = rest(&mut socket).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    assert!(running.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn t05_bodies_that_never_end_are_cut_off_and_leave_nothing() {
    let running = Running::start(quick()).await;
    let mut stalled = Vec::new();
    for no in 0..200 {
        let mut socket = TcpStream::connect(running.at).await.unwrap();
        let start = head(&format!("g-{no}"), b"{}", 1 << 20) + "\r\n{";
        socket.write_all(start.as_bytes()).await.unwrap();
        stalled.push(socket);
    }
    assert_eq!(post(running.at, "quick", b"{}").await, 202);
    for mut socket in stalled {
        assert_eq!(status(&mut socket).await, 408);
    }
    assert_eq!(running.store.deliveries(10, None).await.unwrap().len(), 1);
    assert!(running.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn t05_giant_bodies_are_refused_before_they_are_sent_and_the_largest_one_is_taken() {
    let running = Running::start(Limits::default()).await;
    let largest = vec![b'x'; 25 << 20];
    assert_eq!(post(running.at, "largest", &largest).await, 202);
    assert_eq!(running.store.delivery(1).await.unwrap().size, 25 << 20);
    let at = running.at;
    let mut sending = JoinSet::new();
    for no in 0..500 {
        sending.spawn(async move {
            let mut socket = TcpStream::connect(at).await.unwrap();
            let start = head(&format!("big-{no}"), b"", (25 << 20) + 1) + "\r\n";
            socket.write_all(start.as_bytes()).await.unwrap();
            status(&mut socket).await
        });
    }
    let answers = sending.join_all().await;
    assert!(answers.iter().all(|status| *status == 413), "{answers:?}");
    assert!(running.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn t05_a_client_that_does_not_read_its_answer_is_let_go() {
    let running = Running::start(quick()).await;
    let mut socket = TcpStream::connect(running.at).await.unwrap();
    let ask = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";
    // Requests without end and nobody who reads: in the end the server's write stands still, and it closes.
    let pushed = async {
        loop {
            if socket.write_all(ask).await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, pushed).await.expect("the server closes the connection");
    assert!(running.stop().await);
}

/// A process that was killed while it started a child may leave its socket with that child for a moment.
#[tokio::test]
async fn an_address_that_is_still_taken_is_waited_for() {
    let before = serve::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let at = before.local_addr().unwrap();
    let mut next = std::pin::pin!(serve::listen(at));
    tokio::select! {
        biased;
        early = &mut next => panic!("it is taken, and yet {early:?}"),
        () = std::future::ready(()) => {}
    }
    drop(before);
    assert_eq!(next.await.unwrap().local_addr().unwrap(), at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_under_load_finishes_what_was_begun() {
    let running = Running::start(Limits::default()).await;
    let at = running.at;
    let mut sending = JoinSet::new();
    for sender in 0..16 {
        sending.spawn(async move {
            let mut stored = Vec::new();
            for no in 0.. {
                let guid = format!("g-{sender}-{no}");
                match post(at, &guid, b"{}").await {
                    202 => stored.push(guid),
                    // The listener is gone: refused, or reset before a head was read. Never a 5xx.
                    0 => return stored,
                    other => panic!("{other} during a shutdown"),
                }
            }
            stored
        });
    }
    while running.store.deliveries(50, None).await.unwrap().len() < 50 {
        tokio::task::yield_now().await;
    }
    running.shutdown.cancel();
    let promised = sending.join_all().await.concat();
    assert!(
        tokio::time::timeout(DEADLINE, running.server).await.unwrap().unwrap(),
        "all of it ended in time"
    );
    let known = running.store.known_guids("github", &promised).await.unwrap();
    assert_eq!(known.len(), promised.len());
    running.store.close().await;
    drop(std::fs::remove_dir_all(&running.folder));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_does_not_wait_for_ever_for_a_stalled_body() {
    let limits = Limits { drain_within: Span::millis(300), ..Limits::default() };
    let running = Running::start(limits).await;
    let mut socket = TcpStream::connect(running.at).await.unwrap();
    socket.write_all((head("g-1", b"{}", 100) + "\r\n{").as_bytes()).await.unwrap();
    // An answer on a later connection: the stalled one was accepted before it.
    assert!(get(running.at, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(!running.stop().await, "the stalled connection was closed by force");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_asks_to_come_back_and_then_stores() {
    let patient = |settings: &mut Settings| {
        settings.busy_timeout = Span::millis(100);
        settings.answer_within = Span::millis(500);
    };
    let running = Running::with(Limits::default(), patient).await;
    let url = format!("sqlite:{}/l.db", running.folder.display());
    let mut other = sqlx::SqliteConnection::connect(&url).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    assert_eq!(post(running.at, "g-1", b"{}").await, 503);
    other.execute("ROLLBACK").await.unwrap();
    let again = post(running.at, "g-1", b"{}").await;
    assert!(again == 202 || again == 200, "{again}");
    assert_eq!(running.store.deliveries(10, None).await.unwrap().len(), 1);
    other.close().await.unwrap();
    assert!(running.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_asks_to_come_back_loses_nothing_and_stores_after_growth() {
    let full = |settings: &mut Settings| settings.page_limit = Some(80);
    let running = Running::with(Limits::default(), full).await;
    let folder = running.folder.clone();
    let mut stored = Vec::new();
    for no in 0..1000_u32 {
        // Bytes that do not compress.
        let body: Vec<u8> =
            (0..2000_u32).flat_map(|i| (i.wrapping_mul(2_654_435_761) ^ no).to_le_bytes()).collect();
        let guid = format!("g-{no}");
        match post(running.at, &guid, &body).await {
            202 => stored.push(guid),
            503 => break,
            other => panic!("{other} on a full disk"),
        }
    }
    assert!(!stored.is_empty() && stored.len() < 1000, "{}", stored.len());
    running.shutdown.cancel();
    assert!(running.server.await.unwrap());
    running.store.close().await;

    let larger = Settings::new(format!("sqlite:{}/l.db", folder.display()));
    let running = Running::on(folder, &larger, Limits::default()).await;
    assert_eq!(running.store.known_guids("github", &stored).await.unwrap(), stored);
    assert_eq!(post(running.at, "after", b"{}").await, 202);
    assert!(running.stop().await);
}
