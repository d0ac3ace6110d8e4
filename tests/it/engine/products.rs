//! Jobs at stand-ins for Puppet Enterprise and Terraform Cloud, which answer as their manuals say.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use liftlock::domain::rollout::Fate;
use liftlock::runner::hook::{Hook, Product};
use liftlock::runner::target::{Kind, Target};
use liftlock::secret::Secret;
use serde_json::{Value, json};

use super::jobs::{target, world};
use super::world::{ANA, World};

const TOKEN: &str = "canary-of-a-product-0f41";

/// One product with one job, which goes as it is told to.
#[derive(Debug)]
struct Stand {
    product: Product,
    address: String,
    launched: Mutex<Vec<Value>>,
    /// What the job is at each look; the last one stays.
    states: Mutex<Vec<&'static str>>,
    /// Requests that are neither the launch nor a look.
    others: AtomicUsize,
}

impl Stand {
    async fn start(product: Product, states: &[&'static str]) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stand = Arc::new(Self {
            product,
            address: format!("http://{}", listener.local_addr().unwrap()),
            launched: Mutex::default(),
            states: Mutex::new(states.to_vec()),
            others: AtomicUsize::new(0),
        });
        let app = Router::new().fallback(answer).with_state(Arc::clone(&stand));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        stand
    }

    fn go(&self, states: &[&'static str]) {
        *self.states.lock().unwrap() = states.to_vec();
    }

    fn look(&self) -> &'static str {
        let mut states = self.states.lock().unwrap();
        if states.len() > 1 { states.remove(0) } else { states[0] }
    }

    fn launched(&self) -> Vec<Value> {
        self.launched.lock().unwrap().clone()
    }

    /// As the server's config has it.
    fn target(&self) -> Target {
        let (path, header, token, body) = match self.product {
            Product::Puppet => (
                "/orchestrator/v1/command/deploy",
                "x-authentication",
                TOKEN.to_owned(),
                json!({"environment": "production", "scope": {"nodes": ["web-1.example"]}, "description": "$(LIFTLOCK_VERSION)"}),
            ),
            Product::Plain | Product::AnsibleTower | Product::TerraformCloud => (
                "/api/v2/runs",
                "authorization",
                format!("Bearer {TOKEN}"),
                json!({"data": {
                    "type": "runs",
                    "attributes": {"message": "shop $(LIFTLOCK_VERSION)"},
                    "relationships": {"workspace": {"data": {"type": "workspaces", "id": "ws-LLGHCr4SWy28wyGN"}}},
                }}),
            ),
        };
        let hook = Hook {
            url: Secret::new(format!("{}{path}", self.address)),
            headers: vec![(header.parse().unwrap(), Secret::new(token))],
            key: None,
            product: self.product,
            body: Some(body),
        };
        target("product", Kind::Http(Box::new(hook)))
    }
}

async fn answer(
    State(stand): State<Arc<Stand>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let given =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let answer = match stand.product {
        Product::Puppet => puppet(&stand, (&method, uri.path()), &given("x-authentication"), &body),
        Product::Plain | Product::AnsibleTower | Product::TerraformCloud => {
            terraform(&stand, (&method, uri.path()), (&given("authorization"), &given("content-type")), &body)
        }
    };
    answer.unwrap_or_else(|| {
        stand.others.fetch_add(1, Ordering::SeqCst);
        StatusCode::NOT_FOUND.into_response()
    })
}

/// Orchestrator API, `POST /command/deploy` and `GET /jobs/<job-id>`.
fn puppet(stand: &Stand, (method, path): (&Method, &str), token: &str, body: &str) -> Option<Response> {
    let id = format!("{}/orchestrator/v1/jobs/81", stand.address);
    let refused = |status, kind: &str, msg: &str| {
        let kind = format!("puppetlabs.orchestrator/{kind}");
        Some((status, Json(json!({"kind": kind, "msg": msg, "details": {}}))).into_response())
    };
    if token != TOKEN {
        return refused(StatusCode::UNAUTHORIZED, "not-authenticated", "the token is not known");
    }
    match (method, path) {
        (&Method::POST, "/orchestrator/v1/command/deploy") => {
            let body: Value = serde_json::from_str(body).unwrap();
            stand.launched.lock().unwrap().push(body.clone());
            if stand.states.lock().unwrap().is_empty() {
                return refused(
                    StatusCode::NOT_FOUND,
                    "unknown-environment",
                    "Unknown environment production",
                );
            }
            Some((StatusCode::ACCEPTED, Json(json!({"job": {"id": id, "name": "81"}}))).into_response())
        }
        (&Method::GET, "/orchestrator/v1/jobs/81") => {
            let state = stand.look();
            let job = json!({
                "id": id, "name": "81", "state": state, "command": "deploy", "node_count": 1,
                "options": {"environment": "production"}, "owner": {"login": "liftlock"},
                "status": [{"state": "new", "enter_time": "2026-01-02T10:00:00Z", "exit_time": null}],
                "nodes": {"id": format!("{id}/nodes")}, "report": {"id": format!("{id}/report")},
            });
            Some(Json(job).into_response())
        }
        _ => None,
    }
}

/// HCP Terraform, `POST /runs` and `GET /runs/:run_id`.
fn terraform(
    stand: &Stand,
    (method, path): (&Method, &str),
    (token, kind): (&str, &str),
    body: &str,
) -> Option<Response> {
    let refused = |status: StatusCode, title: &str| {
        let error = json!({"errors": [{"status": status.as_str(), "title": title}]});
        Some((status, Json(error)).into_response())
    };
    if token != format!("Bearer {TOKEN}") {
        return refused(StatusCode::UNAUTHORIZED, "unauthorized");
    }
    let run = |state: &str| {
        let confirmable = matches!(state, "planned" | "cost_estimated" | "policy_checked");
        json!({"data": {
            "id": "run-CZcmD7eagjhyX0vN", "type": "runs",
            "attributes": {
                "status": state, "auto-apply": false, "has-changes": true, "is-destroy": false, "message": "shop",
                "actions": {
                    "is-cancelable": !confirmable, "is-confirmable": confirmable,
                    "is-discardable": confirmable, "is-force-cancelable": false,
                },
            },
            "links": {"self": "/api/v2/runs/run-CZcmD7eagjhyX0vN"},
        }})
    };
    match (method, path) {
        (&Method::POST, "/api/v2/runs") if kind == "application/vnd.api+json" => {
            stand.launched.lock().unwrap().push(serde_json::from_str(body).unwrap());
            if stand.states.lock().unwrap().is_empty() {
                return refused(StatusCode::NOT_FOUND, "not found");
            }
            Some((StatusCode::CREATED, Json(run("pending"))).into_response())
        }
        (&Method::GET, "/api/v2/runs/run-CZcmD7eagjhyX0vN") => Some(Json(run(stand.look())).into_response()),
        _ => None,
    }
}

async fn page(world: &World) -> Option<String> {
    let state = world.state("shop").await;
    let release = state.releases.values().next_back()?;
    release.run(&"prod".parse().unwrap())?.rollout.pages.values().next().cloned()
}

async fn fate(world: &World) -> Option<Fate> {
    let state = world.state("shop").await;
    let release = state.releases.values().next_back()?;
    release.run(&"prod".parse().unwrap())?.rollout.fate(&"product".parse().unwrap()).cloned()
}

/// Launched, looked at until it is over, with the link to it; what fails there, or is stopped there, fails the stage.
async fn goes(
    stand: &Stand,
    (job, link): (&str, &str),
    (good, bad): (&[&'static str], &[&'static str]),
    refusal: &str,
) {
    stand.go(good);
    let mut world = world("{uses: hook, name: Product}", vec![stand.target()]).await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    assert_eq!((stand.launched().len(), fate(&world).await), (1, Some(Fate::Done)));
    let link = format!("{}{link}", stand.address);
    assert_eq!(page(&world).await, Some(link.clone()));
    let log = world.log("github:12/shop/1/prod/1").await;
    for text in
        [format!("took job {job}, {link}"), format!("job {job} is {}", good[0]), format!("job {job} is done")]
    {
        assert!(log.contains(&text), "{text}: {log}");
    }
    assert!(!log.contains(TOKEN), "{log}");
    for (number, end) in (2..).zip(bad) {
        stand.go(&[*end]);
        world.merge(number, "feat: sell more").await;
        let said = world.hears(number).await.replace('\\', "");
        assert!(said.contains(&format!("job {job} ended as {end}")) && said.contains(&link), "{said}");
        assert!(matches!(fate(&world).await, Some(Fate::Failed(_))), "{end}");
    }
    stand.go(&[]);
    world.merge(9, "feat: sell air").await;
    let said = world.hears(9).await.replace('\\', "");
    assert!(said.contains("was not launched") && said.contains(refusal), "{said}");
    assert!(!world.said_and_kept().await.contains(TOKEN));
    assert_eq!(stand.others.load(Ordering::SeqCst), 0, "it was asked for something else");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e27_a_puppet_job_is_launched_looked_at_and_fails_when_it_fails_or_is_stopped_there() {
    let stand = Stand::start(Product::Puppet, &[]).await;
    let at = ("81", "/#/orchestration/jobs/job/81");
    goes(
        &stand,
        at,
        (&["new", "running", "finished"], &["failed", "stopped"]),
        "404 Not Found: Unknown environment production",
    )
    .await;
    assert_eq!(stand.launched()[0]["description"], "v0.1.0-rc.1");
    assert_eq!(stand.launched()[0]["scope"]["nodes"], json!(["web-1.example"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e27_a_terraform_run_is_launched_looked_at_and_fails_when_it_errs_or_is_canceled_there() {
    let stand = Stand::start(Product::TerraformCloud, &[]).await;
    let at = ("run-CZcmD7eagjhyX0vN", "/api/v2/runs/run-CZcmD7eagjhyX0vN");
    let bad = ["errored", "canceled", "discarded"];
    goes(&stand, at, (&["planning", "applying", "applied"], &bad), "404 Not Found: not found").await;
    let sent = &stand.launched()[0]["data"];
    assert_eq!(sent["attributes"]["message"], "shop v0.1.0-rc.1");
    assert_eq!(sent["relationships"]["workspace"]["data"]["id"], "ws-LLGHCr4SWy28wyGN");
}

/// Whether `/why` of the release says that somebody has to say something there, and where.
async fn asks_there(world: &World, no: u32, link: &str) -> bool {
    let made = world.state("shop").await.releases.keys().any(|known| known.0.get() == no);
    if !made {
        return false;
    }
    let why = world.get(&format!("/api/releases/github:12/shop/{no}/why?stage=prod")).await;
    let why: Value = serde_json::from_str(&why).unwrap();
    let text = why["why"].to_string();
    let asks = text.contains("is planned there and waits for somebody to confirm or discard it");
    assert!(!asks || text.contains(link), "{text}");
    asks
}

async fn until_it_asks(world: &World, no: u32, link: &str) {
    let looking = async {
        while !asks_there(world, no, link).await {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), looking)
        .await
        .expect("`/why` says that it waits");
}

/// A plan that waits for a yes there waits for people, who are told; nobody here says it for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e27_a_terraform_plan_waits_for_people_there_and_why_says_so() {
    let stand = Stand::start(Product::TerraformCloud, &["planned"]).await;
    let link = format!("{}/api/v2/runs/run-CZcmD7eagjhyX0vN", stand.address);
    let mut world = world("{uses: hook, name: Product}", vec![stand.target()]).await;
    world.merge(1, "feat: sell shoes").await;
    until_it_asks(&world, 1, &link).await;
    // Somebody confirms it there.
    stand.go(&["applying", "applied"]);
    assert!(world.hears(1).await.contains("is live in prod"));
    assert!(!asks_there(&world, 1, &link).await, "it is over");

    // Somebody stops the stage here: the run stays as it is there, and people are told where.
    stand.go(&["planned"]);
    world.merge(2, "feat: sell air").await;
    until_it_asks(&world, 2, &link).await;
    world.say_now(2, ANA, "/cancel prod").await;
    world.settled().await;
    let log = world.log("github:12/shop/2/prod/1").await;
    let host = stand.address.trim_start_matches("http://");
    assert!(log.contains(&format!("goes on there; stop it at {host}")), "{log}");
    assert!(!asks_there(&world, 2, &link).await, "nothing of it waits any more");
    world.drain().await;
    assert_eq!(stand.others.load(Ordering::SeqCst), 0, "nothing was confirmed, discarded or canceled by us");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e27_a_plan_that_nobody_confirms_ends_with_the_time_of_its_step() {
    let stand = Stand::start(Product::TerraformCloud, &["planned"]).await;
    let mut world = world("{uses: hook, name: Product, timeout: 2s}", vec![stand.target()]).await;
    world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("was not over in time; it goes on there"), "{said}");
    assert_eq!((stand.launched().len(), stand.others.load(Ordering::SeqCst)), (1, 0));
    world.finish().await;
}
