//! Checks after the deploy: commands that answer by their exit code, each with a status and a log of its own.

use liftlock::domain::check::leg::LegState;

use super::tree::sample;
use super::world::{ANA, World, repo_id};

/// Each check writes down that it was asked; a planted file makes `smoke` say no, and another that it cannot tell.
const CHECKED: &str = r#"version: 1
name: shop
build: sh build.sh
artifacts: dist
deploy: sh deploy.sh
checks:
  smoke:
    run: |
      echo "smoke with token ${SHOP_TOKEN:-none}"
      echo "check smoke $LIFTLOCK_CHECK $LIFTLOCK_VERSION" >> "$TARGET/checks"
      if [ -e "$TARGET/unsure" ]; then exit 75; fi
      test ! -e "$TARGET/red"
  sdl: {run: 'echo "check sdl $REPO $SHA" >> "$TARGET/checks"', each: component, cache: digest}
  perf: {run: 'echo slower; exit 1', blocking: false}
  last: {run: 'echo "check last $STAGE" >> "$TARGET/checks"'}
stages:
  - name: test
    secrets: [SHOP_TOKEN]
    verify: {parallel: [smoke, sdl, perf], then: [last]}
  - name: prod
    verify: [sdl]
    gates: {pre: [smoke]}
"#;

fn asked(world: &World) -> Vec<String> {
    let text = std::fs::read_to_string(world.target().join("checks")).unwrap_or_default();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d04_d10_d12_d14_d21_e03_checks_have_statuses_logs_and_a_barrier() {
    let mut world = World::of(sample(CHECKED)).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    world.status(&commit, "liftlock/test/smoke", "success").await;
    world.status(&commit, "liftlock/test/sdl", "success").await;
    world.status(&commit, "liftlock/test/last", "success").await;
    assert!(world.status(&commit, "liftlock/test/perf", "failure").await.contains("does not block"));
    assert!(world.status(&commit, "liftlock/test", "success").await.contains("with issues: perf failed"));
    assert!(world.status(&commit, "liftlock/prod/sdl", "success").await.contains("cached from test"));
    world.settled().await;
    let version = "v0.1.0-rc.1";
    let expected = [
        "check last test".to_owned(),
        format!("check sdl acme/shop {commit}"),
        format!("check smoke smoke {version}"),
        format!("check smoke smoke {version}"),
    ];
    assert_eq!(asked(&world), expected, "once per stage, and what is cached not again");
    let log = world.log(&format!("{}/shop/1/test.smoke/1", repo_id())).await;
    assert!(log.contains("smoke with token ***"), "{log}");
    assert!(world.sticky().contains("| test | perf | failed |"), "{}", world.sticky());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d04_d11_e21_a_red_check_blocks_and_is_asked_again_without_a_deploy() {
    let mut world = World::of(sample(CHECKED)).await;
    world.plant("red");
    let commit = world.merge(1, "feat: sell shoes").await;
    let failed = world.hears(1).await;
    assert!(failed.contains("failed in test at \"smoke\""), "{failed}");
    world.status(&commit, "liftlock/test/smoke", "failure").await;
    world.settled().await;
    assert!(!asked(&world).iter().any(|line| line.contains("last")), "nothing passes the barrier");
    assert_eq!(world.deployed().len(), 1);
    world.unplant("red");
    world.plant("unsure");
    world.say(1, ANA, "/retry test verify").await;
    assert!(world.hears(1).await.contains("is paused in test"));
    assert_eq!(world.deployed().len(), 1, "verification alone");
    world.unplant("unsure");
    world.say(1, ANA, "/cancel test").await;
    world.status(&commit, "liftlock/test", "error").await;
    world.say(1, ANA, "/retry test verify").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    assert_eq!(world.deployed().len(), 2, "test once and prod once");
    world.finish().await;
}

/// Each stage asks its own host; the value comes from a group, and a command has it as a variable.
const ASKING: &str = r#"version: 1
name: shop
build: sh build.sh
artifacts: dist
deploy: sh deploy.sh
checks:
  smoke: {run: 'echo "asked $(Shop.Host) in $(git rev-parse --is-bare-repository || echo none)" >> "$TARGET/checks"'}
  val-build: {wait_for: {status: "ci/$(Shop.Host)", by: ana}, every: 1m}
stages:
  - {name: test, verify: [smoke], variables: {Shop.Host: test.example}}
  - {name: prod, verify: [smoke, val-build], variables: {Shop.Host: prod.example}}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a31_d04_e14_checks_are_told_the_variables_of_their_stage() {
    let mut world = World::of(sample(ASKING)).await;
    world.plant("wait-prod");
    let commit = world.merge(1, "feat: sell shoes").await;
    world.until_planted("waiting-prod").await;
    world.put_status(&commit, ("ci/prod.example", "success"), ANA);
    world.unplant("wait-prod");
    assert!(world.hears(1).await.contains("is live in prod"));
    assert_eq!(asked(&world), ["asked prod.example in none", "asked test.example in none"]);
    let val = world.status(&commit, "liftlock/prod/val-build", "success").await;
    assert!(val.contains("`ci/prod.example`"), "{val}");
    world.finish().await;
}

/// The insertion is a job of another system: a command opens it, and a build over there says how it went.
const INSERTED: &str = r#"version: 1
name: shop
build: sh build.sh
artifacts: dist
deploy: sh deploy.sh
checks:
  insertion: {run: 'touch "$TARGET/opened"; while [ -e "$TARGET/wait" ]; do sleep 0.02; done'}
  val-build: {wait_for: {status: ci/val-build, by: ana}, every: 1m, timeout: 24h}
stages:
  - name: test
    verify: {parallel: [insertion], then: [val-build]}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d22_d23_an_insertion_is_opened_and_the_build_of_the_other_system_is_waited_for() {
    let mut world = World::of(sample(INSERTED)).await;
    world.plant("wait");
    let commit = world.merge(1, "feat: sell shoes").await;
    world.until_planted("opened").await;
    assert!(
        world
            .status(&commit, "liftlock/test/val-build", "pending")
            .await
            .contains("Waits for what comes first")
    );
    world.put_status(&commit, ("ci/val-build", "success"), ANA);
    world.unplant("wait");
    assert!(world.hears(1).await.contains("is live in test"));
    world.status(&commit, "liftlock/test/insertion", "success").await;
    let val = world.status(&commit, "liftlock/test/val-build", "success").await;
    assert!(val.contains("`ci/val-build`"), "{val}");
    world.finish().await;
}

/// Nothing is declared: the checks are built in.
const BUILT_IN: &str = "version: 1\nname: shop\nbuild: sh build.sh\nartifacts: dist\ndeploy: 'true'\nstages: [{name: test, verify: {parallel: [checksum, packages]}, rollback: {approval: 1}}]\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d15_d18_checks_that_are_built_in_look_at_the_sealed_bytes() {
    let mut world = World::with(BUILT_IN).await;
    // A list that is right, and an archive that is none.
    let build =
        "mkdir -p dist; echo app > dist/app; (cd dist; sha256sum app > SHA256SUMS); echo no > dist/app.zip";
    world.merge_files(1, &[("build.sh", build)], "feat: sell hats").await;
    let said = world.hears(1).await;
    assert!(said.contains("packages"), "{said}");
    let state = world.state("shop").await;
    let run = state.releases.values().next().unwrap().run(&"test".parse().unwrap()).unwrap().clone();
    let leg = |name: &str| run.legs.iter().find(|(leg, _)| leg.check.as_str() == name).unwrap().1.clone();
    assert_eq!(leg("checksum").state, LegState::Passed);
    let bad = leg("packages");
    assert_eq!(bad.state, LegState::Failed);
    assert!(bad.tail.iter().any(|line| line.contains("app.zip: it is no zip file")), "{bad:?}");
    world.finish().await;
}

/// Two packages, each built by a pipeline of its own, released together.
const PACKED: &str = "version: 1
pipelines:
  ui:
    triggers: {push: {paths: ['ui/**']}}
    build: 'mkdir -p package out; cp ui/package.json package/; tar -czf out/acme-ui.tgz package'
    artifacts: [{alias: Ui, path: out}]
    deploy: 'true'
    stages: [quality]
  shop:
    triggers: {push: {paths: ['shop/**']}}
    build: 'mkdir -p package out; cp shop/package.json package/; tar -czf out/acme-shop.tgz package'
    artifacts: [{alias: Shop, path: out}]
    deploy: 'true'
    stages: [quality]
  kit:
    triggers: {builds: {all: [ui, shop]}}
    artifacts: [{alias: Ui, from: build/ui}, {alias: Shop, from: build/shop}]
    deploy: 'true'
    stages: [{name: prep, verify: [coherent]}]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d08_packages_of_a_release_that_do_not_go_together_stop_it_and_are_named() {
    let mut world = World::of(sample(PACKED)).await;
    let ui = ("ui/package.json", r#"{"name": "@acme/ui", "version": "2.1.0"}"#);
    let shop = |wanted: &str| {
        format!(r#"{{"name": "@acme/shop", "version": "1.0.0", "dependencies": {{"@acme/ui": "{wanted}"}}}}"#)
    };
    let push = world.push_files(&[ui, ("shop/package.json", &shop("2.0.3"))], "feat: a shop").await;
    let said = world.status(&push, "liftlock/kit/prep/coherent", "failure").await;
    let pair = "`Ui` holds @acme/ui 2.1.0, `Shop` needs @acme/ui 2.0.3 (of @acme/shop 1.0.0)";
    assert!(said.contains(pair), "{said}");
    let push = world.push_files(&[("shop/package.json", &shop("^2.0.3"))], "fix: any of 2").await;
    world.status(&push, "liftlock/kit/prep/coherent", "success").await;
    world.status(&push, "liftlock/kit/prep", "success").await;
    world.drain().await;
    world.finish().await;
}

/// The middle is made of the base, and the kit of both; once the middle cannot be built, it has an old base.
const LAYERED: &str = r#"version: 1
pipelines:
  base:
    triggers: {push: {paths: ['base/**']}}
    build: 'mkdir out; cp base/state out/'
    artifacts: [{alias: Base, path: out}]
    deploy: 'true'
    stages: [quality]
  middle:
    triggers: {builds: {any: [base], settle: 0s}}
    build: 'grep fine base/state; mkdir out; cp "$LIFTLOCK_ARTIFACT_BASE/state" out/mid'
    artifacts: [{alias: Base, from: build/base}, {alias: Middle, path: out}]
    deploy: 'true'
    stages: [quality]
  kit:
    triggers: {builds: {any: [base, middle], settle: 0s}}
    artifacts: [{alias: Base, from: build/base}, {alias: Middle, from: build/middle}]
    deploy: 'true'
    stages: [{name: prep, verify: [coherent]}]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d08_a_release_with_two_builds_of_one_pipeline_below_it_stops_and_names_who_has_which() {
    let mut world = World::of(sample(LAYERED)).await;
    let push = world.push_files(&[("base/state", "fine")], "feat: a base").await;
    let said = world.status(&push, "liftlock/kit/prep/coherent", "success").await;
    assert!(said.contains("2 builds and sources agree"), "{said}");
    let push = world.push_files(&[("base/state", "red")], "feat: a newer base").await;
    let said = world.status(&push, "liftlock/kit/prep/coherent", "failure").await;
    // Which number a candidate gets depends on who of the three is first.
    let (versions, words): (Vec<&str>, Vec<&str>) = said
        .split([' ', ','])
        .filter(|word| !word.is_empty())
        .partition(|word| word.starts_with("v0.1.0-rc."));
    assert_eq!(words.join(" "), "Failed: kit has base middle has base", "{said}");
    let [_, newer, _, older] = versions[..] else { panic!("{said}") };
    assert_ne!(newer, older);
    world.drain().await;
    world.finish().await;
}
