//! Signing off what is deployed.

use super::world::{ANA, EVE, World, repo_id};

/// Somebody has to look at it in test before it goes on.
const SIGNED: &str = r"version: 1
name: shop
build: sh build.sh
artifacts: dist
deploy: sh deploy.sh
stages:
  - {name: test, approvals: {post: {from: maintain, instructions: Open the shop.}}}
  - prod
";

/// Nothing is built or run between test and prod: somebody looks, and that is all.
const LOOKED_AT: &str = r"version: 1
name: shop
build: sh build.sh
artifacts: dist
deploy: sh deploy.sh
stages:
  - test
  - {name: staging, agent: none, approvals: {post: {from: maintain}}}
  - prod
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d30_a_stage_without_an_agent_runs_nothing_and_waits_for_people() {
    let mut world = World::with(LOOKED_AT).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    let request = world.hears(1).await;
    assert!(request.contains("is deployed to staging"), "{request}");
    world.settled().await;
    assert_eq!(world.live().len(), 1, "only test: {:?}", world.deployed());
    world.say(1, ANA, "/approve staging").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    let line = world.status(&commit, "liftlock/staging", "success").await;
    assert!(line.contains("went live, no commands to run"), "{line}");
    world.settled().await;
    let stages: Vec<bool> = ["test", "staging", "prod"]
        .map(|stage| world.deployed().iter().any(|line| line.contains(&format!("deploy {stage} "))))
        .into();
    assert_eq!(stages, [true, false, true], "{:?}", world.deployed());
    assert_eq!(world.log(&format!("{}/shop/1/staging/1", repo_id())).await, "");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e03_d24_d32_t28_a_release_goes_on_when_those_asked_have_signed_it_off() {
    let mut world = World::with(SIGNED).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    let request = world.hears(1).await;
    assert!(request.contains("is deployed to test") && request.contains("> Open the shop."), "{request}");
    // Before it was deployed its status was pending, too, and said something else.
    world.settled().await;
    assert!(world.status(&commit, "liftlock/test", "pending").await.contains("sign-off"));
    assert_eq!(world.live().len(), 1, "prod waits: {:?}", world.deployed());

    world.say(1, EVE, "/approve test").await;
    world.drain().await;
    assert_eq!(world.live().len(), 1, "who is not asked signs nothing off");

    world.say(1, ANA, "/approve test").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    world.status(&commit, "liftlock/test", "success").await;
    world.settled().await;
    assert_eq!(world.live().len(), 2);
    world.finish().await;
}
