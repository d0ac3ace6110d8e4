//! A lock that environments of two pipelines share: while commands run, and while people are asked.

use liftlock::store::effect::{Effect, EffectState};

use super::world::{ANA, World};

const MANIFEST: &str = r"version: 1
pipelines:
  shop:
    build: sh build.sh
    artifacts: dist
    deploy: sh deploy.sh
    stages: [{name: shop-eu}]
    environments: {shop-eu: {lock: cdn}}
  docs:
    build: sh build.sh
    artifacts: dist
    deploy: sh deploy.sh
    stages: [{name: docs-eu}]
    environments: {docs-eu: {lock: cdn}}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e15_environments_of_two_pipelines_share_a_lock() {
    let mut world = World::with(MANIFEST).await;
    world.plant("wait-shop-eu");
    world.plant("wait-docs-eu");
    world.merge(1, "feat: sell shoes").await;
    let deploys = |effects: &[Effect], state: EffectState| {
        effects.iter().filter(|e| e.kind == "deploy" && e.state == state).count()
    };
    let one_waits =
        |e: &[Effect]| (deploys(e, EffectState::Leased), deploys(e, EffectState::Ready)) == (1, 1);
    world.until("one deploys and one waits", one_waits).await;
    assert_eq!(world.live(), Vec::<String>::new());
    world.unplant("wait-shop-eu");
    world.unplant("wait-docs-eu");
    world.until_deployed(2).await;
    world.drain().await;
    world.finish().await;
}

/// One is to be signed off; until then, and over a restart, the other one waits for the lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e15_a_stage_that_waits_for_its_sign_off_keeps_its_lock_from_other_pipelines() {
    let manifest = MANIFEST
        .replace("{name: shop-eu}", "{name: shop-eu, approvals: {post: {from: maintain}}}")
        .replace("{name: docs-eu}", "{name: docs-eu, trigger: manual}");
    let mut world = World::with(&manifest).await;
    world.merge(1, "feat: sell shoes").await;
    world.until_deployed(1).await;
    world.drain().await;
    world.say(1, ANA, "/promote docs/docs-eu").await;
    let waits = |effects: &[Effect]| {
        effects
            .iter()
            .any(|e| e.kind == "deploy" && e.state == EffectState::Ready && e.key.contains("/docs:"))
    };
    world.until("docs waits for the lock", waits).await;
    let held = world.store().lock("lock:cdn").await.unwrap().unwrap();
    assert_eq!(held.holder, "shop v0.1.0-rc.1 in shop-eu");
    world.sleep().await;
    world.wake().await;
    assert!(waits(&world.effects().await), "a restart changes nothing about it");
    assert_eq!(world.live().len(), 1);
    world.say_now(1, ANA, "/approve shop/shop-eu").await;
    world.until_deployed(2).await;
    world.drain().await;
    assert_eq!(world.store().lock("lock:cdn").await.unwrap(), None, "nobody has it any more");
    world.finish().await;
}
