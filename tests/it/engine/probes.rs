//! Probes sent out by the engine: what others put on a commit, counted issues, addresses behind the guard.

use liftlock::domain::manifest;
use liftlock::domain::name::{CommitSha, RepoId};
use liftlock::domain::probe::{Answer, Probe, Reading};
use serde_json::json;

use super::world::{ANA, CANARY, EVE, REPO, World};
use crate::github::{APP_ID, Check};

const MANIFEST: &str = "version: 1\nbuild: ./build.sh\ndeploy: ./deploy.sh\nstages: [test]\n";

fn commit() -> CommitSha {
    "a".repeat(40).parse().unwrap()
}

async fn ask(world: &World, text: &str) -> Reading {
    let probe: Probe = manifest::probe::parse(text, "probe.yml").unwrap();
    let repo: RepoId = format!("github:{REPO}").parse().unwrap();
    world.service().probe(&repo, &commit(), &probe).await
}

fn put_status(world: &World, state: &str, by: u64) {
    world.put_status(&"a".repeat(40), ("ci/val-build", state), by);
}

fn put_check(world: &World, id: u64, app: u64, conclusion: Option<&str>) {
    let status = if conclusion.is_some() { "completed" } else { "in_progress" };
    let body = json!({"status": status, "conclusion": conclusion});
    let check = Check { sha: "a".repeat(40), name: "val-build".to_owned(), app, body, unread: false };
    world.github.state().repos.get_mut(&REPO).unwrap().checks.insert(id, check);
}

#[tokio::test(flavor = "multi_thread")]
async fn d23_d27_a_build_of_another_system_is_waited_for() {
    let world = World::with(MANIFEST).await;
    let awaited = "wait_for: {status: ci/val-build, by: ana}";
    assert_eq!(ask(&world, awaited).await.answer, Answer::Inconclusive);
    put_status(&world, "pending", ANA);
    assert_eq!(ask(&world, awaited).await.answer, Answer::Inconclusive);
    assert_eq!(ask(&world, "{status: ci/val-build, by: ana}").await.answer, Answer::Fail);
    put_status(&world, "success", EVE);
    assert_eq!(ask(&world, awaited).await.answer, Answer::Inconclusive, "eve is not ana");
    put_status(&world, "success", ANA);
    let reading = ask(&world, awaited).await;
    assert_eq!(reading.answer, Answer::Pass, "{reading:?}");
    assert_eq!(reading.detail, "status `ci/val-build` on aaaaaaa is success");
    put_status(&world, "failure", ANA);
    assert_eq!(ask(&world, awaited).await.answer, Answer::Fail);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t55_a_check_of_the_right_name_by_another_app_opens_nothing() {
    let world = World::with(MANIFEST).await;
    let ours = format!("{{checks: val-build, app: {APP_ID}}}");
    put_check(&world, 900_000, APP_ID + 1, Some("success"));
    assert_eq!(ask(&world, &ours).await.answer, Answer::Fail);
    put_check(&world, 800_000, APP_ID, Some("success"));
    assert_eq!(ask(&world, &ours).await.answer, Answer::Pass);
    put_check(&world, 800_001, APP_ID, None);
    assert_eq!(ask(&world, &ours).await.answer, Answer::Fail, "the newest run has not ended");
    let awaited = format!("wait_for: {ours}");
    assert_eq!(ask(&world, &awaited).await.answer, Answer::Inconclusive);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn issues_are_counted_and_what_cannot_be_asked_is_an_error_without_secrets() {
    let world = World::with(MANIFEST).await;
    assert_eq!(ask(&world, "issues: state:open").await.answer, Answer::Pass);
    world.github.state().issue(REPO, 40, ANA, None);
    let reading = ask(&world, "issues: state:open").await;
    assert_eq!((reading.answer, reading.value.as_deref()), (Answer::Fail, Some("1")), "{reading:?}");
    assert_eq!(ask(&world, "{issues: 'state:open', max: 1}").await.answer, Answer::Pass);
    assert_eq!(ask(&world, "issues: org:acme").await.answer, Answer::Error);
    let reading = ask(&world, &format!("http: 'http://127.0.0.1:1/{CANARY}'")).await;
    assert_eq!(reading.answer, Answer::Error, "{reading:?}");
    let reading = ask(&world, &format!("http: 'http://{CANARY}.invalid/'")).await;
    assert_eq!(reading.answer, Answer::Error, "{reading:?}");
    assert!(!reading.detail.contains(CANARY), "{reading:?}");
    world.finish().await;
}
