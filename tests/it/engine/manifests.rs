//! What a repository declares, and what happens when it is wrong.

use std::collections::BTreeMap;

use super::tree::{STRAIGHT, TWO_STAGES};
use super::world::{ANA, BO, DEV, World};

const SEED: &str = include_str!("../../../fixtures/manifests/good/2a-copilot-seed-verbatim.yml");

const BUILDSPEC: &str = r#"version: 0.2
phases:
  install:
    commands: [mkdir -p out]
  build:
    commands:
      - cp src/app.txt out/app.txt
  post_build:
    commands: ["echo packed >> out/app.txt"]
artifacts:
  files: ["out/**/*"]
"#;

fn copilot(manifest: &str, buildspec: Option<&str>) -> BTreeMap<String, String> {
    let makefile = "test:\n\techo \"made $$STAGE $$(cat commit.txt)\" >> $(TARGET)/journal\n";
    let mut files = BTreeMap::from([
        ("copilot/pipeline.yml".to_owned(), manifest.to_owned()),
        ("Makefile".to_owned(), makefile.to_owned()),
        ("commit.txt".to_owned(), "first".to_owned()),
        ("src/app.txt".to_owned(), "the shop\n".to_owned()),
    ]);
    files.extend(buildspec.map(|text| ("copilot/buildspec.yml".to_owned(), text.to_owned())));
    files
}

/// A manifest made of three files.
const RINGS: [(&str, &str); 3] = [
    (
        ".github/liftlock.yml",
        "version: 1\nname: shop\nextends: rings/prod.yml\nbuild: sh build.sh\nartifacts: dist\n\
         deploy: sh deploy.sh\nstages: [test, {name: prod, title: Ours}]\n",
    ),
    (
        "rings/prod.yml",
        "version: 1\nextends: rings/teams.yml\nstages: [{name: prod, approval: {from: [keepers]}}]\n",
    ),
    ("rings/teams.yml", "version: 1\nteams: {keepers: {users: [ana]}}\n"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d01_t29_a_ring_from_another_file_holds_and_is_frozen_with_the_release() {
    let mut files = super::tree::sample("");
    files.extend(RINGS.map(|(path, text)| (path.to_owned(), text.to_owned())));
    let mut world = World::of(files).await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("ready for prod"));
    world.say(1, BO, "/approve prod").await;
    world.drain().await;
    assert_eq!(world.live().len(), 1, "bo keeps no gate");
    world.say(1, ANA, "/approve prod").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    let state = world.state("shop").await;
    let first = std::sync::Arc::clone(&state.releases.values().next().unwrap().created);
    assert!(first.files.contains(&"rings/teams.yml".to_owned()), "{:?}", first.files);

    let other = "version: 1\nteams: {keepers: {users: [ana, bo]}}\n";
    world.merge_files(2, &[("rings/teams.yml", other)], "feat: bo keeps gates, too").await;
    assert!(world.hears(2).await.contains("ready for prod"));
    let state = world.state("shop").await;
    let second = std::sync::Arc::clone(&state.releases.values().next_back().unwrap().created);
    assert_ne!(first.manifest, second.manifest, "the digest of the manifest covers every file");
    world.say(2, BO, "/approve prod").await;
    assert!(world.hears(2).await.contains("is live in prod"));
    world.finish().await;
}

/// The manifest of the seed, to the letter, with a buildspec beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c19_c20_c21_c22_c23_c24_c25_c26_c31_a_copilot_manifest_releases_as_it_is() {
    let mut world = World::of(copilot(SEED, Some(BUILDSPEC))).await;
    let commit = world.merge_files(1, &[("commit.txt", "second")], "feat: sell shoes").await;
    let said = world.hears(1).await;
    assert!(said.contains("is live in prod"), "{said}");
    world.status(&commit, "liftlock/test", "success").await;
    assert_eq!(world.deployed(), ["made test second"], "its tests run in the released checkout");
    let log = world.log("github:12/pipeline-ecs-kudos-kohidave-demo-api-frontend/1/test/1").await;
    assert!(log.contains("woo! Tests passed"), "{log}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c28_a_copilot_stage_that_requires_approval_waits_for_it() {
    let manifest = SEED.replace("# requires_approval", "requires_approval");
    let mut world = World::of(copilot(&manifest, Some(BUILDSPEC))).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("ready for prod"));
    world.say(1, ANA, "/approve prod").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    world.status(&commit, "liftlock/prod", "success").await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_that_does_not_load_is_red_with_the_line_and_starts_nothing() {
    let mut world = World::with(STRAIGHT).await;
    let broken = STRAIGHT.replace("stages: [test, prod]", "stages: [test, {name: prod, aproval: 1}]");
    let commit = world.push_files(&[(".github/liftlock.yml", &broken)], "feat: a slip").await;
    let said = world.status(&commit, "liftlock/manifest", "failure").await;
    assert!(said.contains(".github/liftlock.yml:6:"), "{said}");
    world.settled().await;
    assert_eq!(world.state("shop").await.releases.len(), 0);
    assert!(!world.effects().await.iter().any(|e| e.kind == "build"));

    // Put right, the next push is a release again.
    let mended = world.merge_files(2, &[(".github/liftlock.yml", STRAIGHT)], "fix: the slip").await;
    assert!(world.hears(2).await.contains("is live in prod"));
    world.status(&mended, "liftlock/prod", "success").await;
    world.finish().await;
}

/// What is to be built must be said: a Copilot manifest without its buildspec does not get as far as a stage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c33_a_copilot_manifest_without_its_buildspec_is_red() {
    let mut world = World::of(copilot(SEED, None)).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    let said = world.status(&commit, "liftlock/build", "failure").await;
    assert!(said.contains("copilot/buildspec.yml"), "{said}");
    world.settled().await;
    assert_eq!(world.deployed(), Vec::<String>::new());
    world.finish().await;
}

/// The rules of the release and of main are both kept: lowering them after the fact lowers nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t30_rules_weakened_under_way_do_not_weaken_a_release() {
    let strict = TWO_STAGES.replace("approval: 1", "approval: 2");
    let weak = strict.replace("approval: 2", "approval: 1");
    let weak = weak.replace("name: shop\n", "name: shop\ntriggers: {push: {paths: ['src/**']}}\n");
    let mut world = World::with(&strict).await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("2 approvals needed"));
    world.settled().await;
    world.push_files(&[(".github/liftlock.yml", &weak)], "chore: lower the bar").await;
    world.say(1, ANA, "/approve prod").await;
    world.settled().await;
    assert_eq!(world.live().len(), 1, "one approval is not enough");
    world.say(1, BO, "/approve prod").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    world.finish().await;
}

/// A stricter rule on main binds releases that are under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t30_rules_tightened_under_way_bind_a_release() {
    let mut world = World::with(TWO_STAGES).await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("1 approval needed"));
    world.settled().await;
    let strict = TWO_STAGES.replace("approval: 1", "approval: 2");
    let strict = strict.replace("name: shop\n", "name: shop\ntriggers: {push: {paths: ['src/**']}}\n");
    world.push_files(&[(".github/liftlock.yml", &strict)], "chore: raise the bar").await;
    world.settled().await;
    world.say(1, ANA, "/approve prod").await;
    world.settled().await;
    assert_eq!(world.live().len(), 1, "two are needed now");
    world.say(1, BO, "/approve prod").await;
    assert!(world.drain().await.iter().any(|said| said.contains("is live in prod")));
    world.finish().await;
}

/// A manifest on a branch that no pipeline listens to changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t29_a_manifest_on_another_branch_changes_no_rules() {
    let mut world = World::with(&TWO_STAGES.replace("approval: 1", "approval: 2")).await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("2 approvals needed"));
    world.settled().await;
    let evil = TWO_STAGES.replace(", approval: 1", "");
    let head = world.tree.commit("topic", &[(".github/liftlock.yml", &evil)], "feat: no rules");
    let hook = world.push_hook("refs/heads/topic", None, Some(&head));
    assert_eq!(world.deliver(&hook).await, 202);
    world.say(1, DEV, "/approve prod").await;
    world.hears(1).await;
    world.say(1, ANA, "/approve prod").await;
    world.settled().await;
    assert_eq!(world.live().len(), 1);
    world.finish().await;
}
