//! Targets that do the work themselves: a job at a stand-in for Ansible Tower, and a cluster by `kubectl`.
#![expect(clippy::disallowed_methods, reason = "what a test plants needs no sync")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use liftlock::domain::rollout::Fate;
use liftlock::runner::hook::{Hook, Product};
use liftlock::runner::target::{Cluster, Kind, Target};
use liftlock::secret::Secret;
use serde_json::{Value, json};

use super::tree::sample;
use super::world::{ANA, World};
use crate::sshd::{Sshd, key};

const TOKEN: &str = "Bearer tower-token-4711";

/// A Tower with one template; its jobs go as they are told to.
#[derive(Debug, Default)]
struct Tower {
    launched: Mutex<Vec<(String, Value)>>,
    states: Mutex<Vec<&'static str>>,
    looks: AtomicU32,
}

impl Tower {
    /// Listens on a port of its own for as long as the test runs; jobs go through these states, the last one stays.
    async fn start(states: &[&'static str]) -> (Arc<Self>, String) {
        let tower = Arc::new(Self { states: Mutex::new(states.to_vec()), ..Self::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(Arc::clone(&tower));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (tower, address)
    }

    fn launched(&self) -> Vec<(String, Value)> {
        self.launched.lock().unwrap().clone()
    }

    fn looks(&self) -> u32 {
        self.looks.load(Ordering::Relaxed)
    }

    fn go(&self, states: &[&'static str]) {
        *self.states.lock().unwrap() = states.to_vec();
    }
}

async fn answer(State(tower): State<Arc<Tower>>, uri: Uri, headers: HeaderMap, body: String) -> Response {
    if headers.get("authorization").is_none_or(|given| given != TOKEN) {
        let detail = json!({"detail": "Authentication credentials were not provided."});
        return (StatusCode::UNAUTHORIZED, Json(detail)).into_response();
    }
    if uri.path() == "/api/v2/job_templates/7/launch/" {
        let id = headers.get("webhook-id").unwrap().to_str().unwrap().to_owned();
        tower.launched.lock().unwrap().push((id, serde_json::from_str(&body).unwrap()));
        let job = json!({"id": 41, "url": "/api/v2/jobs/41/", "status": "pending"});
        return (StatusCode::CREATED, Json(job)).into_response();
    }
    tower.looks.fetch_add(1, Ordering::Relaxed);
    let mut states = tower.states.lock().unwrap();
    let state = if states.len() > 1 { states.remove(0) } else { *states.first().unwrap() };
    Json(json!({"status": state, "job_explanation": if state == "failed" { "host web-9 is unreachable" } else { "" }}))
        .into_response()
}

pub(super) fn target(name: &str, kind: Kind) -> Target {
    Target {
        name: name.parse().unwrap(),
        environment: "prod".parse().unwrap(),
        roles: std::collections::BTreeSet::new(),
        kind,
        allow: vec!["shop/prod".to_owned().try_into().unwrap()],
    }
}

fn tower(address: &str, token: &str) -> Target {
    let hook = Hook {
        url: Secret::new(format!("{address}/api/v2/job_templates/7/launch/")),
        headers: vec![("authorization".parse().unwrap(), Secret::new(token))],
        key: Some(Secret::new("a key of some length")),
        product: Product::AnsibleTower,
        body: None,
    };
    target("tower", Kind::Http(Box::new(hook)))
}

pub(super) async fn world(deploy: &str, targets: Vec<Target>) -> World {
    let manifest = format!(
        "version: 1\nname: shop\nbuild: sh build.sh\nartifacts: dist\n\
         stages:\n  - name: prod\n    targets: {{}}\n    deploy:\n      - {deploy}\n"
    );
    let mut world = World::asleep(sample(&manifest)).await;
    world.sleep().await;
    world.targets = targets;
    world.wake().await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e25_e27_a_job_is_launched_looked_at_until_it_is_over_and_can_be_looked_up() {
    let (jobs, address) = Tower::start(&["pending", "running", "successful"]).await;
    let deploy = "{uses: hook, name: Shop playbook, with: {limit: web, image: shop-$(LIFTLOCK_VERSION)}}";
    let mut world = world(deploy, vec![tower(&address, TOKEN)]).await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    let launched = jobs.launched();
    assert_eq!(launched.len(), 1);
    let told = &launched[0].1["extra_vars"]["liftlock"];
    assert_eq!((told["version"].as_str(), told["stage"].as_str()), (Some("v0.1.0-rc.1"), Some("prod")));
    assert_eq!(told["with"], json!({"limit": "web", "image": "shop-v0.1.0-rc.1"}));
    let release = world.state("shop").await.releases.values().next().cloned().unwrap();
    let digest = release.shown_digest().unwrap().to_string();
    assert_eq!(told["digest"].as_str(), Some(digest.as_str()));
    let prod = "prod".parse().unwrap();
    let rollout = &release.run(&prod).unwrap().rollout;
    let page = rollout.pages.values().next().unwrap();
    assert_eq!(page, &format!("{address}/#/jobs/playbook/41/output"));
    let log = world.log("github:12/shop/1/prod/1").await;
    assert!(
        log.contains("took job 41") && log.contains("job 41 is running") && log.contains("job 41 is done"),
        "{log}"
    );
    assert!(!log.contains("tower-token-4711"), "{log}");

    // A job that fails there fails the stage, with what it says; another try is another launch.
    jobs.go(&["failed"]);
    world.merge(2, "feat: sell air").await;
    let said = world.hears(2).await.replace('\\', "");
    assert!(said.contains("job 41 ended as failed: host web-9 is unreachable"), "{said}");
    assert!(said.contains("/#/jobs/playbook/41/output"), "{said}");
    jobs.go(&["successful"]);
    world.say(2, ANA, "/retry prod").await;
    assert!(world.hears(2).await.contains("is live in prod"));
    let ids: std::collections::BTreeSet<_> = jobs.launched().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 3, "each attempt is a launch of its own");
    world.finish().await;
}

/// Whoever answers for a launch cannot send the config's token elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t40_t52_a_launch_that_is_sent_elsewhere_goes_nowhere() {
    let (elsewhere, other) = Tower::start(&["successful"]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let to = format!("{other}/api/v2/job_templates/7/launch/");
    let app = Router::new().fallback(async move || (StatusCode::TEMPORARY_REDIRECT, [("location", to)]));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let mut world = world("{uses: hook}", vec![tower(&address, TOKEN)]).await;
    world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("was not launched") && said.contains("answered 307 Temporary Redirect"), "{said}");
    assert!(elsewhere.launched().is_empty());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e27_t47_a_launch_that_is_refused_says_by_whom_and_shows_no_secret() {
    let (jobs, address) = Tower::start(&["successful"]).await;
    let mut world = world("{uses: hook}", vec![tower(&address, "Bearer another-token-4712")]).await;
    world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("was not launched") && said.contains("answered 401 Unauthorized"), "{said}");
    assert!(said.contains("Authentication credentials were not provided"), "{said}");
    assert!(!said.contains("4712"), "{said}");
    assert!(jobs.launched().is_empty());
    world.finish().await;
}

/// The server dies while a job runs: it is not launched again by itself, and people are told where to look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e27_t57_a_job_that_runs_when_the_server_dies_is_unknown_and_not_launched_again() {
    let (jobs, address) = Tower::start(&["running"]).await;
    let mut world = world("{uses: hook}", vec![tower(&address, TOKEN)]).await;
    world.merge(1, "feat: sell shoes").await;
    world.until("the job is looked at", |_| jobs.looks() > 0).await;
    world.die().await;
    world.wake().await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("- tower: unknown") && said.contains("/#/jobs/playbook/41/output"), "{said}");
    let state = world.state("shop").await;
    let prod = "prod".parse().unwrap();
    let release = state.releases.values().next().unwrap();
    let fate = release.run(&prod).unwrap().rollout.fate(&"tower".parse().unwrap()).cloned();
    assert_eq!((fate, jobs.launched().len()), (Some(Fate::Unknown), 1));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e25_what_a_target_cannot_do_is_said_before_anything_happens() {
    let (_, address) = Tower::start(&["successful"]).await;
    let mut world = world("make deploy", vec![tower(&address, TOKEN)]).await;
    world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("\"make deploy\" on tower: a target of kind `http` runs no commands"), "{said}");
    world.finish().await;
}

/// A `kubectl` that writes down what it is told, and fails at what is refused.
fn kubectl(folder: &Path, refused: &str) {
    let file = folder.join("kubectl");
    let text = format!(
        "#!/bin/sh\necho \"$KUBECONFIG $*\" >> {}/calls\n\
         case \"$*\" in *'{refused}'*) echo 'error: timed out waiting for the condition' >&2; exit 1;; esac\n",
        folder.display()
    );
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A cluster, and a step that deploys this image to it by the `kubectl` of that folder.
fn west() -> Target {
    let cluster = Cluster {
        kubeconfig: "/etc/liftlock/west.yml".into(),
        context: Some("west".to_owned()),
        namespace: Some("shop".to_owned()),
    };
    target("west", Kind::Kubernetes(cluster))
}

fn to_west(folder: &Path, image: &str) -> String {
    let path = format!("{}:/usr/bin:/bin", folder.display());
    format!(
        "{{uses: kubernetes, env: {{PATH: '{path}'}}, with: {{workload: deployment/web, container: app, image: {image}}}}}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e25_a_cluster_gets_the_image_by_its_digest_and_never_by_a_tag() {
    let folder = tempfile::tempdir().unwrap();
    kubectl(folder.path(), "nothing at all");
    let deploy = |image: &str| to_west(folder.path(), image);
    let digest = format!("registry.example/web@sha256:{}", "5".repeat(64));
    let calls = || std::fs::read_to_string(folder.path().join("calls")).unwrap_or_default();
    let mut first = world(&deploy(&digest), vec![west()]).await;
    first.merge(1, "feat: sell shoes").await;
    assert!(first.hears(1).await.contains("is live in prod"));
    let with = "/etc/liftlock/west.yml --context=west --namespace=shop";
    let expected =
        format!("{with} set image deployment/web app={digest}\n{with} rollout status deployment/web\n");
    assert_eq!(calls(), expected);
    first.finish().await;
    let mut second = world(&deploy("registry.example/web:latest"), vec![west()]).await;
    second.merge(1, "feat: sell shoes").await;
    let said = second.hears(1).await.replace('\\', "");
    assert!(said.contains("ended with exit code 1"), "{said}");
    assert!(said.contains("image registry.example/web:latest has no digest"), "{said}");
    assert_eq!(calls(), expected, "nothing was told to the cluster");
    second.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e25_what_a_cluster_refuses_or_never_rolls_out_is_not_live() {
    let image = format!("registry.example/web@sha256:{}", "5".repeat(64));
    for (refused, calls) in [("set image", 1), ("rollout status", 2)] {
        let folder = tempfile::tempdir().unwrap();
        kubectl(folder.path(), refused);
        let mut world = world(&to_west(folder.path(), &image), vec![west()]).await;
        world.merge(1, "feat: sell shoes").await;
        let said = world.hears(1).await.replace('\\', "");
        assert!(said.contains("failed in prod") && said.contains("- west: failed"), "{refused}: {said}");
        assert!(said.contains("error: timed out waiting for the condition"), "{refused}: {said}");
        let asked = std::fs::read_to_string(folder.path().join("calls")).unwrap();
        assert_eq!(asked.lines().count(), calls, "{asked}");
        world.finish().await;
    }
}

/// The same bytes by one manifest: on a machine of one's own, in a cluster, and by a job of somebody else's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e15_one_definition_reaches_a_machine_a_cluster_and_a_product() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key");
    let sshd = Sshd::start(&key(&key_file));
    let (jobs, address) = Tower::start(&["successful"]).await;
    let out = folder.path().display();
    let manifest = format!(
        "version: 1\nname: shop\nbuild: sh build.sh\nartifacts: dist\nstages:\n  \
         - {{name: site, targets: {{}}, deploy: 'echo $LIFTLOCK_DIGEST > {out}/site; cp app.txt {out}/'}}\n  \
         - name: cluster\n    targets: {{}}\n    \
           deploy: [{{uses: kubernetes, with: {{workload: deployment/web, container: app, image: 'registry.example/web@$(LIFTLOCK_DIGEST)'}}}}]\n  \
         - {{name: prod, targets: {{}}, deploy: [{{uses: hook}}]}}\n"
    );
    let mut world = World::asleep(sample(&manifest)).await;
    world.install("kubectl", &format!("#!/bin/sh\necho \"$*\" >> {out}/calls\n"));
    world.sleep().await;
    let cluster = Cluster { kubeconfig: "/etc/liftlock/west.yml".into(), context: None, namespace: None };
    let at = |stage: &str, target: Target| Target {
        environment: stage.parse().unwrap(),
        allow: vec![format!("shop/{stage}").try_into().unwrap()],
        ..target
    };
    world.targets = vec![
        at("site", target("own", Kind::Ssh(sshd.host(&key_file)))),
        at("cluster", target("west", Kind::Kubernetes(cluster))),
        tower(&address, TOKEN),
    ];
    world.wake().await;
    world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await;
    assert!(said.contains("is live in prod"), "{said}");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let release = world.state("shop").await.releases.values().next().cloned().unwrap();
    let digest = release.shown_digest().unwrap().to_string();
    assert_eq!(read("site").trim(), digest);
    assert!(read("app.txt").ends_with("the shop\n"), "{}", read("app.txt"));
    assert!(read("calls").contains(&format!("app=registry.example/web@{digest}")), "{}", read("calls"));
    assert_eq!(jobs.launched()[0].1["extra_vars"]["liftlock"]["digest"], digest.as_str());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e25_fly_gets_the_image_by_its_digest_and_never_by_a_tag() {
    let digest = format!("registry.fly.io/shop@sha256:{}", "5".repeat(64));
    for (image, lives) in [(digest.as_str(), true), ("registry.fly.io/shop:latest", false)] {
        let manifest = format!(
            "version: 1\nname: shop\nbuild: sh build.sh\nartifacts: dist\n\
             stages:\n  - name: prod\n    deploy: [{{uses: fly, with: {{app: shop, image: '{image}'}}}}]\n"
        );
        let mut world = World::with(&manifest).await;
        for name in ["fly", "flyctl"] {
            world.install(name, "#!/bin/sh\necho \"$*\" >> \"$TARGET/words\"\n");
        }
        world.merge(1, "feat: sell shoes").await;
        let said = world.hears(1).await.replace('\\', "");
        let words = world.wrote("words");
        assert_eq!(said.contains("is live in prod"), lives, "{said}");
        if lives {
            assert!(words.contains("deploy") && words.contains(image) && words.contains("shop"), "{words}");
        } else {
            assert!(said.contains("has no digest"), "{said}");
            assert_eq!(words, "", "nothing was told to Fly.io");
        }
        world.finish().await;
    }
}
