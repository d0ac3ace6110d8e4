//! Going back by itself, with real commands: the older bytes run again and the stage is held.

use super::world::World;

/// The test fails for releases whose commit has a file.
const MANIFEST: &str = r"version: 1
name: shop
build: sh build.sh
artifacts: dist
deploy: sh deploy.sh
stages:
  - {name: prod, test_commands: [test ! -e src/ill.txt], rollback: {auto: true}}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e05_e24_a_release_whose_tests_fail_is_taken_back_by_itself() {
    let mut world = World::with(MANIFEST).await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    let bad = world.merge_files(2, &[("src/ill.txt", "x")], "feat: sell air").await;
    let said = world.hears(2).await;
    assert!(
        said.contains("failed in prod at") && said.contains("v0.1.0-rc.1 is put back by itself"),
        "{said}"
    );
    world.until_deployed(3).await;
    world.settled().await;
    assert_eq!(world.live(), ["prod v0.1.0-rc.1", "prod v0.1.0-rc.2", "prod v0.1.0-rc.1"]);
    world.status(&bad, "liftlock/prod", "failure").await;
    let state = world.state("shop").await;
    let prod = "prod".parse().unwrap();
    assert_eq!(state.live_in(&prod, None).unwrap().created.version.to_string(), "v0.1.0-rc.1");
    assert!(state.hold_on(&prod, None).is_some(), "nothing follows before somebody has looked");
    world.finish().await;
}

/// What a failed deploy has left is for people, unless the stage says otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e05_e24_a_deploy_that_fails_is_not_taken_back_unless_the_stage_says_so() {
    for (auto, lives) in [("true", 2), ("[deploy_failed]", 3)] {
        let manifest = MANIFEST.replace("auto: true", &format!("auto: {auto}"));
        let deploy =
            "set -e\necho \"deploy $STAGE $LIFTLOCK_VERSION\" >> \"$TARGET/journal\"\n! grep ill app.txt\n";
        let mut world = World::with(&manifest).await;
        world.merge_files(1, &[("deploy.sh", deploy)], "feat: sell shoes").await;
        assert!(world.hears(1).await.contains("is live in prod"));
        world.merge_files(2, &[("src/air.txt", "ill\n")], "feat: sell air").await;
        let said = world.hears(2).await;
        assert_eq!(said.contains("is put back by itself"), lives == 3, "{said}");
        world.until_deployed(lives).await;
        world.settled().await;
        assert_eq!(world.live().len(), lives);
        world.finish().await;
    }
}
