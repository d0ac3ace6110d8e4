//! Notices: sent to a receiver of the test, again while it says no, and never in a release's way.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use liftlock::notify::mail::{Mail, Tls};
use liftlock::notify::{Routes, Target};
use liftlock::secret::Secret;

use super::tree::sample;
use super::world::{ANA, CANARY, World};
use crate::served::{Served, TOOLS};

/// Managers hear of requests, stakeholders of what is live, and one route leads nowhere.
const TOLD: &str = r#"version: 1
name: shop
build: sh build.sh
artifacts: dist
deploy: sh deploy.sh
stages: [test, {name: prod, title: The shop, approval: 1}]
notify:
  - {to: "slack:#release", events: [approval_requested, failed]}
  - {to: webhook:customers, audience: stakeholders, events: [deployed, released]}
  - {to: webhook:gone, events: [deployed]}
  - {to: "slack:#forgotten", events: [deployed]}
  - {to: issue, events: [deployed]}
"#;

/// One request as it came in.
#[derive(Debug, Clone)]
pub(super) struct Came {
    path: String,
    id: String,
    signature: String,
    pub(super) body: serde_json::Value,
}

/// What came in, and how many are turned away first.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    came: Mutex<Vec<Came>>,
    busy: Mutex<u32>,
}

impl Receiver {
    /// Listens on a port of its own for as long as the test runs.
    pub(super) async fn start(busy: u32) -> (Arc<Self>, String) {
        let receiver = Arc::new(Self { busy: Mutex::new(busy), ..Self::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(take).with_state(Arc::clone(&receiver));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (receiver, address)
    }

    pub(super) fn at(&self, path: &str) -> Vec<Came> {
        self.came.lock().unwrap().iter().filter(|came| came.path == path).cloned().collect()
    }
}

async fn take(
    State(receiver): State<Arc<Receiver>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let came = Came {
        path: uri.path().to_owned(),
        id: header("webhook-id"),
        signature: header("webhook-signature"),
        body: serde_json::from_slice(&body).unwrap(),
    };
    receiver.came.lock().unwrap().push(came);
    let mut busy = receiver.busy.lock().unwrap();
    match uri.path() {
        "/gone" => StatusCode::GONE,
        "/customers" if *busy > 0 => {
            *busy -= 1;
            StatusCode::SERVICE_UNAVAILABLE
        }
        _ => StatusCode::OK,
    }
}

async fn world(manifest: &str, address: &str) -> World {
    let mut world = World::asleep(sample(manifest)).await;
    world.sleep().await;
    let url = |path: &str| Secret::new(format!("{address}{path}"));
    let routes = BTreeMap::from([
        ("slack:#release".parse().unwrap(), Target::Slack { url: url("/services/T0/B0/secret") }),
        (
            "webhook:customers".parse().unwrap(),
            Target::Webhook { url: url("/customers"), key: Some(Secret::new("a key of customers")) },
        ),
        ("webhook:gone".parse().unwrap(), Target::Webhook { url: url("/gone"), key: None }),
    ]);
    world.notify = Routes { public_url: "https://releases.example".to_owned(), routes };
    world.wake().await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e06_everybody_is_told_in_their_own_words_and_no_release_waits_for_it() {
    let (receiver, address) = Receiver::start(2).await;
    let mut world = world(TOLD, &address).await;
    world.may_give_up = true;
    world.merge(1, "feat: sell shoes").await;
    let said = world.drain().await;
    assert!(said.iter().any(|text| text.contains("📣 **shop v0.1.0-rc.1 is live in test**")), "{said:?}");
    world.say(1, ANA, "/approve prod").await;
    let said = world.drain().await;
    assert!(said.iter().any(|text| text.contains("is live in prod")), "{said:?}");
    assert_eq!(world.live().len(), 2, "routes that lead nowhere are in nobody's way");

    let asked = receiver.at("/services/T0/B0/secret");
    let text = asked[0].body["blocks"][0]["text"]["text"].as_str().unwrap();
    assert!(
        text.starts_with("*shop v0.1.0-rc.1 waits for approval in prod*\n• 1 of role maintain or higher"),
        "{text}"
    );
    assert!(text.contains("comment: /approve prod v0.1.0-rc.1"), "{text}");
    assert_eq!(asked.len(), 1, "once: {asked:?}");
    let link = asked[0].body["blocks"][1]["elements"][0]["text"].as_str().unwrap();
    assert!(link.starts_with("<https://releases.example/releases/github:12/shop/1|"), "{link}");

    let told = receiver.at("/customers");
    let ids: Vec<&str> = told.iter().map(|came| came.id.as_str()).collect();
    assert_eq!(told.len(), 5, "two were turned away and came again: {told:?}");
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "under the same ids: {ids:?}");
    assert!(told.iter().all(|came| came.signature.starts_with("v1,")), "{told:?}");
    let titles: Vec<&str> = told.iter().map(|came| came.body["data"]["title"].as_str().unwrap()).collect();
    assert!(titles.contains(&"shop v0.1.0-rc.1 is live in The shop"), "{titles:?}");
    assert!(titles.contains(&"shop v0.1.0-rc.1 is released"), "{titles:?}");
    assert_eq!(told[0].body["data"]["lines"], serde_json::json!(["feat: sell shoes", "chore: begin"]));
    assert_eq!(receiver.at("/gone").len(), 2, "a no is a no, once for each stage");
    let given_up: Vec<String> = world.effects().await.into_iter().filter_map(|e| e.result).collect();
    assert!(given_up.iter().any(|text| text.contains("no route `slack:#forgotten`")), "{given_up:?}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e06_people_get_mail_from_a_real_mail_server() {
    let server = Served::start(|folder, address| {
        let mut command = Command::new(format!("{TOOLS}/bin/aiosmtpd"));
        command.args(["--nosetuid", "--listen", &address.to_string()]);
        command.args(["--class", "aiosmtpd.handlers.Mailbox"]).arg(folder.join("mail"));
        command
    });
    let manifest = TOLD.split("notify:").next().unwrap().to_owned()
        + "notify: [{to: mail:managers, events: [approval_requested]}]\n";
    let mut world = World::asleep(sample(&manifest)).await;
    world.sleep().await;
    let mail = Mail {
        server: "127.0.0.1".to_owned(),
        port: server.door.port,
        tls: Tls::None,
        login: None,
        from: "Liftlock <liftlock@releases.example>".parse().unwrap(),
        to: vec!["Ana <ana@example.org>".parse().unwrap()],
    };
    let routes = BTreeMap::from([("mail:managers".parse().unwrap(), Target::Mail(Box::new(mail)))]);
    world.notify = Routes { public_url: "https://releases.example".to_owned(), routes };
    world.wake().await;
    world.merge(1, "feat: sell shoes").await;
    world.drain().await;
    let came: Vec<String> = std::fs::read_dir(server.path("mail/new"))
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    let [one] = came.as_slice() else { panic!("{came:#?}") };
    for says in [
        "Subject: shop v0.1.0-rc.1 waits for approval in prod",
        "To: Ana <ana@example.org>",
        "From: Liftlock <liftlock@releases.example>",
        "comment: /approve prod v0.1.0-rc.1",
        "https://releases.example/releases/github:12/shop/1",
    ] {
        assert!(one.contains(says), "{says}: {one}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e06_t47_a_notice_goes_through_the_mask() {
    let (receiver, address) = Receiver::start(0).await;
    let manifest =
        TOLD.replace("deploy: sh deploy.sh", "deploy: 'echo \"token $SHOP_TOKEN\"; sh deploy.sh; exit 3'");
    let manifest = manifest.replace("stages: [test,", "stages: [{name: test, secrets: [SHOP_TOKEN]},");
    let manifest = manifest.replace("failed]}", "failed], audience: developers}");
    let mut world = world(&manifest, &address).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    world.status(&commit, "liftlock/test", "failure").await;
    world.drain().await;
    let told = receiver.at("/services/T0/B0/secret");
    let text = told[0].body.to_string();
    assert!(text.contains("failed in test") && text.contains("token ***"), "{text}");
    assert!(!text.contains(CANARY), "{text}");
    world.finish().await;
}
