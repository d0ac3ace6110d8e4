//! Buckets as outlets: S3 as moto plays it, Azure as azurite does, Google's and once more Azure's by what their
//! create-only puts say, and `kill -9` between.
#![expect(clippy::disallowed_methods, reason = "a test writes files of its own")]

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use liftlock::bucket::{Bucket, Provider};
use liftlock::domain::name::Digest;
use liftlock::domain::publication::{Found, Item};
use liftlock::domain::time::Span;
use liftlock::https::pieces::Content;
use liftlock::publish::{Kind, Outlet, Patience, Seen as There, Taken};
use liftlock::secret::Secret;

use super::kills::{Survived, survive};
use super::plan;
use super::rig::{self, Door, Plan, Yard};
use crate::served::{Served, TOOLS};

/// The bucket of all tests here.
pub(super) const NAME: &str = "acme-releases";
/// What must not be in any error: base64, as Azure's keys are.
const CANARY: &str = "Y2FuYXJ5LW9mLWEtYnVja2V0";

/// moto, which plays S3.
pub(super) struct Moto(Served);

impl Moto {
    pub(super) fn new() -> Self {
        let moto = Self(Served::start(|_, address| {
            let mut command = Command::new(format!("{TOOLS}/bin/moto_server"));
            command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
            command
        }));
        moto.curl(&["-X", "PUT"], "");
        moto
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.0.door.address())
    }

    /// What somebody gets who may read the bucket; moto wants a name and looks at no signature.
    pub(super) fn curl(&self, more: &[&str], key: &str) -> String {
        let address = format!("{}/{NAME}{key}", self.endpoint());
        let somebody = "Authorization: AWS4-HMAC-SHA256 Credential=me/20260101/us-east-1/s3/aws4_request, \
                        SignedHeaders=host, Signature=none";
        let curl = ["-fsS", "-H", somebody];
        let done = Command::new("curl").args(curl).args(more).arg(address).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// The names in the bucket.
    pub(super) fn keys(&self) -> Vec<String> {
        let list = self.curl(&[], "?list-type=2");
        list.split("<Key>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
    }
}

/// The one account that azurite has, and its key, as everybody knows them from its manual.
const ACCOUNT: &str = "devstoreaccount1";
const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Makes a container: what releases are put into is there before, so nothing of ours does that.
const CONTAINER: &str = r#"
import base64, hashlib, hmac, sys, urllib.request
from email.utils import formatdate
endpoint, account, key, name = sys.argv[1:]
headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
said = "PUT" + "\n" * 12 + "".join(f"{k}:{v}\n" for k, v in headers.items())
said += f"/{account}/{account}/{name}\nrestype:container"
sign = base64.b64encode(hmac.new(base64.b64decode(key), said.encode(), hashlib.sha256).digest()).decode()
request = urllib.request.Request(f"{endpoint}/{name}?restype=container", method="PUT", headers=headers)
request.add_header("Authorization", f"SharedKey {account}:{sign}")
request.add_header("Content-Length", "0")
urllib.request.urlopen(request)
"#;

/// azurite, which plays Azure and looks at every signature.
pub(super) struct Azurite(Served);

impl Azurite {
    pub(super) fn new() -> Self {
        let azurite = Self(Served::start(|folder, address| {
            let mut command = Command::new(format!("{TOOLS}/node_modules/.bin/azurite-blob"));
            command.args(["--blobHost", "127.0.0.1", "--blobPort", &address.port().to_string()]);
            // Its newest version is a little older than what our client says; telemetry would go out into the world.
            command
                .args(["--silent", "--skipApiVersionCheck", "--disableTelemetry", "--location"])
                .arg(folder);
            command
        }));
        let made = Command::new(format!("{TOOLS}/bin/python3"))
            .args(["-c", CONTAINER, &azurite.endpoint(), ACCOUNT, ACCOUNT_KEY, NAME])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        azurite
    }

    /// As emulators have it: the account is part of the path, not of the host's name.
    fn endpoint(&self) -> String {
        format!("http://{}/{ACCOUNT}", self.0.door.address())
    }

    pub(super) fn bucket(&self, prefix: &str) -> Bucket {
        Bucket {
            provider: Provider::Azure,
            name: NAME.to_owned(),
            prefix: prefix.to_owned(),
            region: None,
            endpoint: Some(self.endpoint()),
            user: ACCOUNT.to_owned(),
            password: Secret::new(ACCOUNT_KEY),
        }
    }
}

fn outlet(provider: Provider, endpoint: &str, password: &str) -> Outlet {
    let user = if provider == Provider::Gcs { "" } else { "liftlock" };
    let bucket = Bucket {
        provider,
        name: NAME.to_owned(),
        prefix: "shop".to_owned(),
        region: None,
        endpoint: Some(endpoint.to_owned()),
        user: user.to_owned(),
        password: Secret::new(password),
    };
    let patience = Patience { tries: 1, wait: Span::seconds(1) };
    let name = "bucket".parse().unwrap();
    Outlet { name, kind: Kind::Object(bucket), url: None, patience, allow: Vec::new() }
}

/// Created once, there for the same bytes, in the way of others.
async fn holds(outlet: &Outlet) {
    let item =
        |name: &str, bytes: &[u8]| Item { name: name.to_owned(), is: Digest::of_bytes(bytes).to_string() };
    let text = |text: &str| Content::Text(text.to_owned());
    let app = item("app", b"the app");
    assert_eq!(outlet.look("v1.2.0", &app).await.unwrap(), Found::Missing);
    assert_eq!(outlet.put("v1.2.0", &app, text("the app")).await.unwrap(), Taken::Yes);
    assert_eq!(outlet.look("v1.2.0", &app).await.unwrap(), Found::Same);
    let other = item("app", b"another app");
    assert_eq!(outlet.put("v1.2.0", &other, text("another app")).await.unwrap(), Taken::Occupied);
    assert_eq!(outlet.look("v1.2.0", &other).await.unwrap(), Found::Other(app.is.clone()));
    assert_eq!(outlet.read("v1.2.0", "app").await.unwrap(), There::Is(app.is));
    // More than one piece of a file.
    let folder = tempfile::tempdir().unwrap();
    let large: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).take(3_000_001).collect();
    std::fs::write(folder.path().join("large"), &large).unwrap();
    let file = File::open(folder.path().join("large")).unwrap();
    let whole = item("large", &large);
    assert_eq!(outlet.put("v1.2.0", &whole, Content::File(file, 3_000_001)).await.unwrap(), Taken::Yes);
    assert_eq!(outlet.look("v1.2.0", &whole).await.unwrap(), Found::Same);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d42_d43_an_object_of_s3_is_created_once_and_never_replaced() {
    let moto = Moto::new();
    let outlet = outlet(Provider::S3, &moto.endpoint(), CANARY);
    holds(&outlet).await;
    assert_eq!(moto.keys(), ["shop/v1.2.0/app", "shop/v1.2.0/large"]);
    assert_eq!(moto.curl(&[], "/shop/v1.2.0/app"), "the app");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d42_d43_a_blob_of_azure_is_created_once_and_never_replaced() {
    let azurite = Azurite::new();
    let of_azure = |bucket: Bucket| Outlet {
        kind: Kind::Object(bucket),
        ..outlet(Provider::Azure, "http://127.0.0.1:9", ACCOUNT_KEY)
    };
    holds(&of_azure(azurite.bucket("shop"))).await;
    let stranger = Bucket { password: Secret::new(CANARY), ..azurite.bucket("shop") };
    let item = Item { name: "more".to_owned(), is: Digest::of_text("more").to_string() };
    let refused =
        of_azure(stranger).put("v1.2.0", &item, Content::Text("more".to_owned())).await.unwrap_err();
    assert!(refused.chain().contains("look at its key"), "{}", refused.chain());
}

/// What a store keeps: bytes by address.
type Kept = Arc<Mutex<BTreeMap<String, Bytes>>>;

/// Google's XML API and Azure's blobs as far as creating and reading go: a put must say that it creates, each in its
/// own words, and is refused in theirs when the name is taken.
pub(super) async fn store(provider: Provider) -> String {
    let kept = Kept::default();
    let answer = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        let answer = answered(provider, &kept, (&method, uri.path()), (&headers, body));
        std::future::ready(answer)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let router = Router::new().fallback(answer).layer(DefaultBodyLimit::disable());
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper_util::service::TowerToHyperService::new(router.clone());
            let io = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
        }
    });
    format!("http://{address}")
}

fn answered(
    provider: Provider,
    kept: &Kept,
    (method, path): (&Method, &str),
    (headers, body): (&HeaderMap, Bytes),
) -> Response {
    let mut kept = kept.lock().unwrap();
    let says = |name: &str, value: &str| headers.get(name).is_some_and(|found| found == value);
    let known =
        [("etag", "\"0x8\""), ("last-modified", "Sat, 01 Jan 2028 00:00:00 GMT"), ("x-goog-generation", "1")];
    if path.contains("denied") {
        return StatusCode::FORBIDDEN.into_response();
    }
    let creates = match provider {
        Provider::Gcs => says("x-goog-if-generation-match", "0"),
        Provider::Azure => says("if-none-match", "*") && says("x-ms-blob-type", "BlockBlob"),
        Provider::S3 => false,
    };
    match *method {
        Method::PUT if !creates => StatusCode::BAD_REQUEST.into_response(),
        Method::PUT if kept.contains_key(path) => match provider {
            Provider::Azure => StatusCode::CONFLICT.into_response(),
            Provider::Gcs | Provider::S3 => StatusCode::PRECONDITION_FAILED.into_response(),
        },
        Method::PUT => {
            kept.insert(path.to_owned(), body);
            (StatusCode::CREATED, known).into_response()
        }
        Method::GET => match kept.get(path) {
            Some(bytes) => (StatusCode::OK, known, bytes.clone()).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

/// The key of a Google account, for a store that asks for no token.
fn account() -> String {
    let account = serde_json::json!({
        "disable_oauth": true, "client_email": "", "private_key_id": "", "private_key": CANARY,
    });
    account.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d42_d43_objects_of_google_and_azure_are_created_once_in_their_own_words() {
    for (provider, password) in [(Provider::Gcs, account()), (Provider::Azure, CANARY.to_owned())] {
        let at = store(provider).await;
        holds(&outlet(provider, &at, &password)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t47_no_error_of_a_bucket_shows_its_key() {
    let item = Item { name: "app".to_owned(), is: Digest::of_text("the app").to_string() };
    let nobody = Door::new();
    let nobody = format!("http://{}", nobody.address());
    for (provider, password) in
        [(Provider::S3, CANARY.to_owned()), (Provider::Gcs, account()), (Provider::Azure, CANARY.to_owned())]
    {
        let at = store(provider).await;
        for (endpoint, version, why) in
            [(&nobody, "v1.2.0", "does not answer as it should"), (&at, "denied", "look at its key")]
        {
            let outlet = outlet(provider, endpoint, &password);
            let put = outlet.put(version, &item, Content::Text("the app".to_owned())).await.unwrap_err();
            let read = outlet.read(version, "app").await.unwrap_err();
            for text in [put.chain(), read.chain(), format!("{put:?}{read:?}{outlet:?}")] {
                assert!(!text.contains(CANARY), "{text}");
            }
            assert!(put.chain().contains(why), "{}", put.chain());
        }
    }
    let bad = outlet(Provider::Gcs, &nobody, CANARY).read("v1.2.0", "app").await.unwrap_err();
    assert!(bad.chain().contains("cannot be opened") && !bad.chain().contains(CANARY), "{}", bad.chain());
}

/// A release whose files are published in a bucket, by a server that is killed at a place of its log.
async fn round(kill_at: Option<i64>) -> (Vec<(i64, String)>, usize) {
    let moto = Moto::new();
    let rules = rig::bucket(&moto.endpoint());
    let (yard, door) = (Yard::new(Plan { rules, ..plan(&["hello"], "5s") }), Door::new());
    let Survived { retries, seen, .. } = survive(&yard, &door, kill_at, |_| ()).await;
    // Both are there, with the bytes that one says of the other.
    assert_eq!(moto.keys(), ["hello/v0.1.0-rc.1/SHA256SUMS", "hello/v0.1.0-rc.1/dist.tar.zst"]);
    let folder = tempfile::tempdir().unwrap();
    for name in ["SHA256SUMS", "dist.tar.zst"] {
        let to = folder.path().join(name).display().to_string();
        moto.curl(&["-o", &to], &format!("/hello/v0.1.0-rc.1/{name}"));
    }
    let mut sums = Command::new("sha256sum");
    sums.args(["--check", "SHA256SUMS"]).current_dir(folder.path());
    assert!(sums.status().unwrap().success());
    let all = (1_i64..).zip(&seen.events).filter(|(_, e)| e.kind.starts_with("publication_"));
    (all.map(|(place, e)| (place, e.kind.clone())).collect(), retries)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn d53_t57_killed_at_every_move_of_an_object_it_ends_as_if_nothing_had_happened() {
    let (moves, retries) = round(None).await;
    let kinds = |moves: &[(i64, String)]| moves.iter().map(|(_, kind)| kind.clone()).collect::<Vec<_>>();
    let words = ["planned", "uploaded", "visible", "verified", "announced"];
    assert_eq!((kinds(&moves), retries), (words.map(|word| format!("publication_{word}")).to_vec(), 0));
    let first = moves[0].0 - 1;
    for place in [first].into_iter().chain(moves.iter().map(|(place, _)| *place)) {
        let (found, retries) = round(Some(place)).await;
        assert_eq!(kinds(&found), kinds(&moves), "killed at {place}: the row moves once");
        assert!(retries <= 1, "killed at {place}: {retries} retries");
    }
}
