//! A lock that environments of two pipelines share.

use liftlock::store::effect::{Effect, EffectState};

use super::world::World;

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
