//! Stages that ask for a machine: they start on one that has the labels, and nowhere else.

use super::tree::sample;
use super::world::{ANA, World};

const LABELLED: &str = r"version: 1
name: shop
build: sh build.sh
artifacts: [{alias: docs, path: src}, {alias: dist, path: dist, primary: true}]
deploy: sh deploy.sh
stages:
  - {name: test, agents: linux}
  - {name: prod, agents: [linux, large], approval: 1}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d34_a_stage_starts_where_its_labels_are_and_nowhere_else() {
    let mut world = World::of(sample(LABELLED)).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    // The deploy starts in the primary artifact, and its digest is the one that people see.
    let offer = world.hears(1).await;
    let state = world.state("shop").await;
    let release = state.releases.values().next().unwrap();
    let dist = release.artifacts.iter().find(|sealed| sealed.alias.as_str() == "dist").unwrap();
    assert!(offer.contains(dist.digest.short()), "{offer}");
    assert_eq!(world.deployed().len(), 1);
    world.say(1, ANA, "/approve prod").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("errored in prod"), "{said}");
    assert!(said.contains("need a machine with the label `large`, and this one has `linux`"), "{said}");
    world.status(&commit, "liftlock/prod", "error").await;
    world.say(1, ANA, "/why prod").await;
    let why = world.hears(1).await.replace('\\', "");
    assert!(why.contains("large") && why.contains("labels of the server's config"), "{why}");
    assert_eq!(world.deployed().len(), 1, "nothing ran elsewhere");
    world.finish().await;
}
