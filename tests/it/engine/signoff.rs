//! Signing off what is deployed.

use super::world::{ANA, EVE, World};

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
