//! What people press on check runs: "Approve" and "Re-run", read back before they count.

use hyper::Method;
use serde_json::{Value, json};

use super::tree::{CHECKED, STRAIGHT, TWO_STAGES, sample};
use super::world::{ANA, DEV, EVE, REPO, World};
use crate::github::{APP_ID, Check, Fault, Pull, Webhook};

const TWO: &str = r"version: 1
pipelines:
  studio:
    build: mkdir -p out && cp -r src out/
    artifacts: out
    deploy: 'echo deploy studio $LIFTLOCK_VERSION >> $TARGET/journal'
    stages: [{name: prod, approval: 1}]
  runtime:
    build: mkdir -p out && cp -r src out/
    artifacts: out
    deploy: 'echo deploy runtime $LIFTLOCK_VERSION >> $TARGET/journal'
    stages: [{name: prod, approval: 1}]
";

/// Three stages that need nothing of one another.
const APART: &str = r"version: 1
name: shop
build: sh build.sh
artifacts: dist
deploy: sh deploy.sh
stages: [{name: test, needs: []}, {name: eu, needs: []}, {name: us, needs: []}]
";

async fn with_checks(manifest: &str) -> World {
    let mut world = World::asleep(sample(manifest)).await;
    world.sleep().await;
    world.checks = true;
    world.wake().await;
    world
}

/// The newest check run of this name on a commit, once nothing is left to do.
async fn check_of(world: &World, sha: &str, name: &str) -> (u64, Check) {
    world.settled().await;
    let state = world.github.state();
    let found = state.repos[&REPO].checks.iter().rev().find(|(_, c)| c.sha == sha && c.name == name);
    found.map_or_else(|| panic!("no {name}"), |(id, check)| (*id, check.clone()))
}

fn changed(mut hook: Webhook, change: impl FnOnce(&mut Value)) -> Webhook {
    let mut body: Value = serde_json::from_str(&hook.body).unwrap();
    change(&mut body);
    hook.body = body.to_string();
    hook
}

/// Presses and waits; gives why nothing came of it, if nothing did.
async fn press(world: &World, hook: &Webhook) -> Option<String> {
    assert_eq!(world.deliver(hook).await, 202);
    world.settled().await;
    world.store().deliveries(1, None).await.unwrap().remove(0).error
}

async fn approve(world: &World, check: u64, who: u64) -> Option<String> {
    let hook = world.github.state().requested_action(REPO, check, "approve", who);
    press(world, &hook).await
}

async fn rerun_all(world: &World, sha: &str, who: u64) -> Option<String> {
    let hook = world.github.state().all_rerequested(REPO, sha, who);
    press(world, &hook).await
}

async fn rerun(world: &World, check: u64, who: u64) -> Option<String> {
    let hook = world.github.state().rerequested(REPO, check, who);
    press(world, &hook).await
}

/// Both pipelines have release 1 of the same commit, and each waits in its first attempt in prod.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t34_a_button_approves_the_pipeline_that_it_stands_for_and_no_other() {
    let mut world = with_checks(TWO).await;
    let commit = world.merge(1, "feat: both").await;
    let (studio, _) = check_of(&world, &commit, "liftlock/studio/prod").await;
    let (runtime, of_runtime) = check_of(&world, &commit, "liftlock/runtime/prod").await;
    assert_eq!(of_runtime.body["external_id"], "runtime/1/prod/1");
    assert_eq!(approve(&world, studio, ANA).await, None);
    assert_eq!(world.live(), ["studio v0.1.0-rc.1"]);

    // As a version that did not write the pipeline into its buttons left it.
    let write = |id: &str| {
        let mut github = world.github.state();
        github.repos.get_mut(&REPO).unwrap().checks.get_mut(&runtime).unwrap().body["external_id"] =
            json!(id);
    };
    write("1/prod/1");
    let why = approve(&world, runtime, ANA).await.unwrap();
    assert!(why.contains("does not say whose release") && why.contains("`/approve`"), "{why}");
    // The other pipeline's gate is over, and its button was another check's.
    write("studio/1/prod/1");
    assert!(approve(&world, runtime, ANA).await.unwrap().contains("not open"));
    assert_eq!(world.live().len(), 1);

    write("runtime/1/prod/1");
    assert_eq!(approve(&world, runtime, ANA).await, None);
    assert_eq!(world.live().last().unwrap(), "runtime v0.1.0-rc.1");
    world.drain().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t8_a_button_that_the_host_does_not_show_counts_for_nothing() {
    let mut world = with_checks(TWO_STAGES).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    let (id, check) = check_of(&world, &commit, "liftlock/prod").await;
    let put = |id: u64, check: Check| {
        world.github.state().repos.get_mut(&REPO).unwrap().checks.insert(id, check);
    };
    // Nobody ever made it.
    let hook = world.github.state().requested_action(REPO, id, "approve", ANA);
    let forged = changed(hook.clone(), |body| body["check_run"]["id"] = 4_711.into());
    assert!(press(&world, &forged).await.is_some());
    // Another app made one that looks like ours (T55).
    put(9_001, Check { app: APP_ID + 1, ..check.clone() });
    assert!(approve(&world, 9_001, ANA).await.unwrap().contains("none of this app's"));
    // What was told is not what the host shows.
    let other = changed(hook, |body| body["check_run"]["external_id"] = "shop/1/prod/2".into());
    let other = Webhook { guid: "other".to_owned(), ..other };
    assert!(press(&world, &other).await.unwrap().contains("another check run"));
    // It is over: GitHub shows no button on it.
    let mut over = check.clone();
    over.body["status"] = json!("completed");
    put(id, over);
    assert!(approve(&world, id, ANA).await.unwrap().contains("not open"));
    // GitHub does not let us read it.
    put(id, check.clone());
    world.github.fault(&Method::GET, "/check-runs/", 1, Fault::status(403));
    assert!(approve(&world, id, ANA).await.is_some());
    // Bots press nothing.
    world.github.state().user(50, "robot[bot]", "Bot");
    assert!(approve(&world, id, 50).await.unwrap().contains("bots"));
    assert_eq!(world.live().len(), 1);
    assert_eq!(approve(&world, id, ANA).await, None);
    assert_eq!(world.live().len(), 2);
    world.drain().await;
    world.finish().await;
}

/// A server that shows statuses offers no buttons, whatever a delivery says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t8_without_check_runs_there_is_nothing_to_press() {
    let mut world = World::with(TWO_STAGES).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    world.drain().await;
    let body = json!({"status": "in_progress", "external_id": "shop/1/prod/1"});
    let check = Check { sha: commit, name: "liftlock/prod".to_owned(), app: APP_ID, body, unread: false };
    world.github.state().repos.get_mut(&REPO).unwrap().checks.insert(9_001, check);
    assert!(approve(&world, 9_001, ANA).await.unwrap().contains("shows no check runs"));
    assert!(rerun(&world, 9_001, ANA).await.unwrap().contains("shows no check runs"));
    assert_eq!(world.live().len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t34_re_run_retries_the_releases_stage_for_whoever_may() {
    let mut world = with_checks(STRAIGHT).await;
    world.plant("fail-test");
    let commit = world.merge(1, "feat: sell shoes").await;
    let (id, check) = check_of(&world, &commit, "liftlock/test").await;
    assert_eq!(check.body["conclusion"], "failure");
    world.unplant("fail-test");
    // The refusal is on the record, with who pressed.
    rerun(&world, id, EVE).await;
    let heard = world.said_and_kept().await;
    assert!(heard.contains("/retry test v0.1.0-rc.1") && heard.contains("needs_role"), "{heard}");
    assert_eq!(world.deployed().len(), 1);
    assert_eq!(rerun(&world, id, DEV).await, None);
    assert_eq!(world.live(), ["test v0.1.0-rc.1", "test v0.1.0-rc.1", "prod v0.1.0-rc.1"]);
    let (again, check) = check_of(&world, &commit, "liftlock/test").await;
    assert!(again != id && check.body["conclusion"] == "success", "{check:?}");
    world.drain().await;
    world.finish().await;
}

/// "Re-run all checks" is a retry of what failed, and of nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t34_re_run_of_all_checks_retries_what_failed_of_the_release() {
    let mut world = with_checks(APART).await;
    world.plant("fail-eu");
    world.plant("fail-us");
    let commit = world.merge(1, "feat: sell shoes").await;
    check_of(&world, &commit, "liftlock/us").await;
    assert_eq!(world.live().len(), 3, "{:?}", world.live());
    world.unplant("fail-eu");
    world.unplant("fail-us");
    rerun_all(&world, &commit, EVE).await;
    let heard = world.said_and_kept().await;
    assert!(heard.contains("/retry eu v0.1.0-rc.1") && heard.contains("needs_role"), "{heard}");
    assert_eq!(world.live().len(), 3);
    assert_eq!(rerun_all(&world, &commit, DEV).await, None);
    let mut again = world.live().split_off(3);
    again.sort();
    assert_eq!(again, ["eu v0.1.0-rc.1", "us v0.1.0-rc.1"]);
    // Nothing is left that failed.
    assert!(rerun_all(&world, &commit, DEV).await.unwrap().contains("nothing here is run again"));
    assert!(rerun_all(&world, &"9".repeat(40), DEV).await.is_some(), "no release has that commit");
    world.drain().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t34_re_run_of_all_checks_builds_a_release_again_whose_build_failed() {
    let mut world = with_checks(STRAIGHT).await;
    let commit = world.merge_files(1, &[("src/broken.txt", "x")], "feat: sell shoes").await;
    check_of(&world, &commit, "liftlock/build").await;
    assert_eq!(rerun_all(&world, &commit, DEV).await, None);
    assert!(world.log("github:12/shop/1/build/2").await.contains("built v0.1.0"));
    world.drain().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t34_re_run_builds_a_release_again_whose_build_failed() {
    let mut world = with_checks(STRAIGHT).await;
    let commit = world.merge_files(1, &[("src/broken.txt", "x")], "feat: sell shoes").await;
    let (id, check) = check_of(&world, &commit, "liftlock/build").await;
    assert_eq!(check.body["conclusion"], "failure");
    assert_eq!(rerun(&world, id, DEV).await, None);
    assert!(world.log("github:12/shop/1/build/2").await.contains("built v0.1.0"));
    world.drain().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t34_re_run_builds_a_pull_request_again_for_people_who_may_write() {
    let mut world = with_checks(CHECKED).await;
    let head = world.tree.commit("topic", &[("src/broken.txt", "hats")], "feat: hats");
    world.github.state().issue(REPO, 4, DEV, Some(Pull { head: head.clone(), merged: None }));
    let opened = world.github.state().pull_request(REPO, 4, "opened", DEV);
    assert_eq!(world.deliver(&opened).await, 202);
    let (id, _) = check_of(&world, &head, "liftlock/build").await;
    let attempt = async || {
        let state = world.state("shop").await;
        state.checks.values().next().unwrap().attempt
    };
    let why = rerun(&world, id, EVE).await.unwrap();
    assert!(why.contains("eve may not"), "{why}");
    assert_eq!(attempt().await, 1);
    assert_eq!(rerun(&world, id, DEV).await, None);
    assert_eq!(attempt().await, 2);
    assert!(rerun_all(&world, &head, EVE).await.unwrap().contains("eve may not"));
    assert_eq!(rerun_all(&world, &head, DEV).await, None);
    assert_eq!(attempt().await, 3);
    world.finish().await;
}

/// "Re-run" is not how strangers' code gets to run; a branch of our own is (THREATS T29).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t29_what_came_from_a_fork_is_built_once_it_comes_from_a_branch_here() {
    let mut world = with_checks(CHECKED).await;
    let head = world.tree.commit("topic", &[("src/hats.txt", "hats")], "feat: hats");
    world.tree.unset("refs/heads/topic");
    world.github.state().issue(REPO, 4, EVE, Some(Pull { head: head.clone(), merged: None }));
    let opened = changed(world.github.state().pull_request(REPO, 4, "opened", EVE), |body| {
        body["pull_request"]["head"]["repo"]["id"] = 666.into();
    });
    assert_eq!(world.deliver(&opened).await, 202);
    let (id, check) = check_of(&world, &head, "liftlock/build").await;
    assert!(check.body["output"]["title"].as_str().unwrap().contains("opens a pull request from that"));
    rerun(&world, id, DEV).await;
    assert!(!world.effects().await.iter().any(|e| e.kind == "check"));

    world.tree.set("refs/heads/hats", &head);
    world.github.state().issue(REPO, 5, DEV, Some(Pull { head: head.clone(), merged: None }));
    let opened = world.github.state().pull_request(REPO, 5, "opened", DEV);
    assert_eq!(world.deliver(&opened).await, 202);
    let (_, check) = check_of(&world, &head, "liftlock/build").await;
    assert_eq!(check.body["conclusion"], "success", "{check:?}");
    world.finish().await;
}
