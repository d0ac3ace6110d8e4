//! Runbooks in the whole engine: the clean-up of kept resource groups, strangers' inputs, a dead server.

use std::collections::BTreeMap;

use liftlock::clock;
use liftlock::domain::runbook::fact::Outcome;
use liftlock::domain::runbook::run::Progress;
use liftlock::domain::schedule::Schedule;
use liftlock::domain::time::Span;
use liftlock::store::effect::EffectState;

use super::tree::{STRAIGHT, sample};
use super::world::{ANA, DEV, World};

/// The script that the README's example runs.
const CLEAN: &str = include_str!("../../../fixtures/runbooks/clean-images.sh");

/// A command line of Azure that knows two groups, and writes down what it is asked for.
const AZ: &str = r#"#!/bin/sh
echo "az $*" >>"$TARGET/az"
if [ "$2" = list ]; then printf 'PackerResourceGroup-1\nPackerResourceGroup-2\n'; fi
if [ "$2" = delete ] && [ -e "$TARGET/wait-az" ]; then
	touch "$TARGET/waiting-az"
	while [ -e "$TARGET/wait-az" ]; do sleep 0.02; done
fi
"#;

const MANIFEST: &str = r#"version: 1
name: shop
build: sh build.sh
artifacts: dist
deploy: sh deploy.sh
stages: [test]
runbooks:
  clean-images:
    run: chmod +x az && sh clean-images.sh
    from: [maintain]
    inputs:
      older-than: {default: "7"}
      dry-run: {default: "no", choices: ["yes", "no"]}
    env: {AZ: "./az"}
    secrets: [SHOP_TOKEN]
  careful:
    run: chmod +x az && sh clean-images.sh
    approval: {min: 1, exclude: [initiator]}
    env: {AZ: "./az", INPUT_OLDER_THAN: "1", INPUT_DRY_RUN: "no"}
    stages: [test]
"#;

fn files() -> BTreeMap<String, String> {
    let mut files = sample(MANIFEST);
    files.insert("clean-images.sh".to_owned(), CLEAN.to_owned());
    files.insert("az".to_owned(), AZ.to_owned());
    files
}

/// What was asked of Azure, in order.
fn asked(world: &World) -> Vec<String> {
    let text = std::fs::read_to_string(world.target().join("az")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// A repository whose first release is through.
async fn released() -> World {
    let mut world = World::of(files()).await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in test"));
    world.settled().await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e16_b36_kept_resource_groups_are_listed_and_then_deleted() {
    let world = released().await;
    let comment = world.say(1, ANA, "/run clean-images dry-run=yes older-than=30").await;
    let told = world.hears(1).await;
    assert!(told.contains("**clean-images run 1**") && told.contains("older-than: `30`"), "{told}");
    let told = world.hears(1).await;
    assert!(told.contains("**clean-images run 1 passed in"), "{told}");
    world.settled().await;
    assert_eq!(world.reactions(comment), ["rocket"]);
    let [list] = asked(&world).try_into().unwrap();
    let list: String = list;
    assert!(list.starts_with("az group list --tag kept-by=packer --query [?tags.created<'"), "{list}");

    world.say(1, ANA, "/run clean-images").await;
    world.hears(1).await;
    assert!(world.hears(1).await.contains("**clean-images run 2 passed in"));
    let all = asked(&world);
    assert!(all[1].starts_with("az group list"), "it lists before it deletes: {all:?}");
    assert_eq!(
        all[2..],
        [
            "az group delete --name PackerResourceGroup-1 --yes",
            "az group delete --name PackerResourceGroup-2 --yes",
        ]
    );
    let state = world.state("shop").await;
    let log = liftlock::domain::view::runbook::log_id(&state.id, 2);
    let lines = world.service().store().read_log(&log, 0, 100).await.unwrap();
    assert!(lines.iter().any(|l| l.text.contains("PackerResourceGroup-1")), "{lines:?}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t20_e16_a_strangers_words_reach_no_shell() {
    let world = released().await;
    world.say(1, DEV, "/run clean-images").await;
    assert!(world.hears(1).await.contains("Not done: dev may not"), "the right is asked of the host");
    for words in ["older-than=$(touch${IFS}x)", "older-than=;id", "older-than=--all", "PATH=/tmp", "--help"] {
        world.say(1, ANA, &format!("/run clean-images {words}")).await;
        let told = world.hears(1).await;
        assert!(told.starts_with('❓'), "{words}: {told}");
        // A thread is answered five times in ten minutes.
        world.pass(Span::minutes(11)).await;
    }
    world.settled().await;
    assert_eq!(asked(&world), Vec::<String>::new());
    assert!(world.state("shop").await.runbooks.all.is_empty());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e16_t57_a_run_whose_server_died_is_lost_and_not_repeated() {
    let mut world = released().await;
    world.plant("wait-az");
    world.say(1, DEV, "/run careful").await;
    assert!(
        world.hears(1).await.contains("Not done: dev"),
        "maintainers start it when the manifest names nobody"
    );
    world.say(1, ANA, "/run careful").await;
    let told = world.hears(1).await;
    assert!(told.contains("- approval: 1 of role maintain"), "{told}");
    world.say(1, ANA, "/approve careful").await;
    assert!(world.hears(1).await.contains("ana started this run, and somebody else must agree"));
    world.settled().await;
    assert_eq!(asked(&world), Vec::<String>::new());
    world.say(1, super::world::BO, "/approve careful 1").await;
    world.until_planted("waiting-az").await;
    world.die().await;
    world.wake().await;
    let told = world.hears(1).await;
    assert!(told.contains("**careful run 1 errored: lost"), "{told}");
    world.settled().await;
    world.unplant("wait-az");
    let state = world.state("shop").await;
    let run = &state.runbooks.all[&1];
    assert!(matches!(&run.progress, Progress::Over(Outcome::Errored(_))), "{run:?}");
    let deleted = asked(&world).iter().filter(|line| line.contains("delete")).count();
    assert!(deleted <= 2, "nothing ran again: {:?}", asked(&world));
    let lists = asked(&world).iter().filter(|line| line.contains("list")).count();
    assert_eq!(lists, 1, "nothing ran again");
    world.finish().await;
}

/// A stage whose first step is a runbook.
const USED: &str = r#"version: 1
name: shop
build: sh build.sh
artifacts: dist
deploy: sh deploy.sh
stages:
  - name: test
    hooks: {before: [{uses: runbook/migrate, with: {to: v7}}]}
runbooks:
  migrate:
    steps:
      - sh migrate.sh
      - 'echo "migrated by $LIFTLOCK_RUNBOOK" >>"$TARGET/journal"'
    inputs: {to: {required: true}}
    stages: test
"#;

/// It stands in the checkout alone, and may be told to fail.
const MIGRATE: &str = r#"test -e build.sh
echo "migrate $STAGE to $INPUT_TO" >>"$TARGET/journal"
[ ! -e "$TARGET/fail-migrate" ]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e16_a_stage_runs_a_runbook_as_a_step_of_its_own() {
    let mut files = sample(USED);
    files.insert("migrate.sh".to_owned(), MIGRATE.to_owned());
    let mut world = World::of(files).await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in test"));
    let journal = world.deployed();
    let [first, second, third] = journal.as_slice() else { panic!("{journal:?}") };
    assert_eq!([first, second], ["migrate test to v7", "migrated by migrate"]);
    assert!(third.starts_with("deploy test"), "{third}");

    // What is left of the runbook and the deploy does not run once a command of it has failed.
    world.plant("fail-migrate");
    world.merge(2, "feat: sell socks").await;
    let told = world.hears(2).await;
    assert!(told.contains("failed in test at \"runbook/migrate: sh migrate.sh\""), "{told}");
    assert_eq!(world.deployed().last().unwrap(), "migrate test to v7");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e16_the_time_of_a_runbook_outlives_a_restart() {
    let yearly = "runbooks:\n  count: {run: sh smoke.sh, schedule: {cron: '0 0 1 jan *', tz: Europe/Oslo}}\n";
    let mut world = World::with(&format!("{STRAIGHT}{yearly}")).await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    let due = Schedule::new("0 0 1 jan *", "Europe/Oslo").unwrap().next_after(clock::now()).unwrap();
    for _ in 0..2 {
        world.settled().await;
        let wakes: Vec<_> = world.effects().await.into_iter().filter(|e| e.kind == "wake").collect();
        assert!(wakes.iter().any(|e| e.state == EffectState::Ready && e.run_after == due), "{wakes:?}");
        world.die().await;
        world.wake().await;
    }
    world.say(1, ANA, "/why count").await;
    let told = world.hears(1).await;
    assert!(told.contains(&format!("it starts by itself at {}", due.minute())), "{told}");
    world.settled().await;
    assert!(world.state("shop").await.runbooks.all.is_empty());
    world.finish().await;
}
