//! Releases that somebody starts by hand.

use super::world::{ANA, EVE, World};

const MANIFEST: &str = r"version: 1
name: shop
triggers: {push: {}, button: {title: Publish, inputs: {service: {default: all, choices: [all, checkout]}}}}
build: sh build.sh
artifacts: dist
deploy: 'echo $STAGE $(service) $SERVICE >> $TARGET/journal'
stages: [test]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b24_a_button_makes_a_release_of_the_head_with_what_it_is_given() {
    let mut world = World::with(MANIFEST).await;
    let head = world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in test"));
    world.say(1, EVE, "/start shop service=checkout").await;
    assert!(world.hears(1).await.contains("write"));
    world.say(1, ANA, "/start shop service=checkout").await;
    world.until("two deployments", |_| world.deployed().len() == 2).await;
    world.drain().await;
    assert_eq!(world.deployed(), ["test all all", "test checkout checkout"]);
    let state = world.state("shop").await;
    let last = &state.releases.values().next_back().unwrap().created;
    assert_eq!((last.commit.as_str(), last.inputs["service"].as_str()), (head.as_str(), "checkout"));
    assert_eq!(last.initiator.as_ref().unwrap().login.as_str(), "ana");
    world.finish().await;
}
