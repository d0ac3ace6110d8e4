//! Tests of the doors, one request at a time.

use std::net::SocketAddr;
use std::sync::atomic::AtomicU32;

use axum::body::Body;
use axum::http::request::Builder;
use axum::http::{Request, Response, StatusCode};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::BodyExt as _;
use sha2::Sha256;
use tower::ServiceExt as _;

use super::*;
use crate::http::serve::Peer;
use crate::http::session::Token;
use crate::secret::Secret;
use crate::store::Settings;

mod doors;
mod groups;
mod pages;
mod program;
mod sample;

const HOOK_SECRET: &str = "a webhook secret of some length";
/// Another host's.
const GITEA_SECRET: &str = "another secret of another host";
const READER: &str = "reader-token-0123456789";
const ACTOR: &str = "actor-token-0123456789abc";

/// A folder of its own for every test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let no = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("liftlock-http-{}-{no}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

fn verify(header: Option<&str>, body: &[u8]) -> bool {
    verify_with(HOOK_SECRET, header, body)
}

fn verify_with(secret: &str, header: Option<&str>, body: &[u8]) -> bool {
    let Some(sent) = header.and_then(|h| h.strip_prefix("sha256=")).and_then(|h| hex::decode(h).ok()) else {
        return false;
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    mac.verify_slice(&sent).is_ok()
}

fn stand_still() -> Timestamp {
    Timestamp::parse("2026-03-06T12:00:00Z").unwrap()
}

/// A router over a fresh store.
struct Site {
    app: Router,
    store: Store,
    shutdown: CancellationToken,
    _folder: Folder,
}

impl Site {
    async fn new(access: Access) -> Self {
        Self::with(access, |_| {}).await
    }

    async fn with(access: Access, change: impl FnOnce(&mut Parts)) -> Self {
        let folder = Folder::new();
        let store = Store::open(&Settings::new(format!("sqlite:{}/l.db", folder.0.display()))).await.unwrap();
        let shutdown = CancellationToken::new();
        let mut parts = Parts {
            store: store.clone(),
            verify_github: Arc::new(verify),
            verify_plain: Arc::new(verify),
            verify_gitea: Arc::new(|header, body| verify_with(GITEA_SECRET, header, body)),
            callers: Vec::new(),
            reader: Arc::new(sample::Engine),
            acts: Arc::new(sample::Engine),
            prefix: Prefix::default(),
            library: groups::library(&store),
            access,
            limits: Limits::default(),
            metrics: Arc::new(Metrics::new("1.2.3")),
            data_folder: Some(folder.0.clone()),
            clock: stand_still,
            boot: "t".to_owned(),
            shutdown: shutdown.clone(),
        };
        change(&mut parts);
        Self { app: app(State::new(parts)), store, shutdown, _folder: folder }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        Answer::read(self.app.clone().oneshot(request).await.unwrap()).await
    }

    /// A request of a browser on the same machine.
    async fn get(&self, path: &str) -> Answer {
        self.send(local(Request::get(path)).header("accept", "text/html").body(Body::empty()).unwrap()).await
    }

    /// Sends a form, as a browser does from our own page.
    async fn form(&self, path: &str, body: &'static str) -> Answer {
        let request = local(Request::post(path))
            .header("accept", "text/html")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin");
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    async fn deliveries(&self) -> usize {
        self.store.deliveries(1000, None).await.unwrap().len()
    }
}

fn tokens() -> Access {
    Access::Tokens(vec![
        Token::new("reader", &Secret::new(READER), Right::Read).unwrap(),
        Token::new("actor", &Secret::new(ACTOR), Right::Act).unwrap(),
    ])
}

fn local(builder: Builder) -> Builder {
    builder.extension(Peer(SocketAddr::from(([127, 0, 0, 1], 40_000)))).header("host", "localhost:8080")
}

/// A webhook as GitHub sends it.
fn hook(guid: &str, event: &str, body: &[u8]) -> Builder {
    Request::post("/webhook/github")
        .header("content-type", "application/json")
        .header("x-github-delivery", guid)
        .header("x-github-event", event)
        .header("x-hub-signature-256", sign(HOOK_SECRET, body))
}

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    text: String,
}

impl Answer {
    async fn read(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Self { status: parts.status, headers: parts.headers, text }
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}
