//! What a repository declares, and what happens when it is wrong.

use std::collections::BTreeMap;

use liftlock::domain::manifest;
use liftlock::domain::pipeline::Pipeline;
use liftlock::domain::policy::server::{Rule, ServerPolicy, StagePolicy};

use super::tree::{STRAIGHT, TAGGED, TWO_STAGES};
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

fn load(text: &str) -> Pipeline {
    let files = BTreeMap::from([(".github/liftlock.yml".to_owned(), text.to_owned())]);
    manifest::load(&files, &"acme/shop".parse().unwrap()).unwrap().pipelines.remove(0)
}

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

/// How a release is deployed is said by its own commit, whatever main says by the time it is approved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c30_a_release_under_way_keeps_the_commands_of_its_manifest() {
    let mut world = World::with(TWO_STAGES).await;
    world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    world.settled().await;
    // The next one, which deploys in another way, does not come as far.
    world.plant("fail-test");
    let other = TWO_STAGES
        .replace("deploy: sh deploy.sh", "deploy: [sh deploy.sh, 'echo new >> \"$TARGET/journal\"']");
    let next = world.merge_files(2, &[(".github/liftlock.yml", &other)], "feat: deploy in another way").await;
    world.status(&next, "liftlock/test", "failure").await;
    world.drain().await;
    world.say(1, ANA, "/approve prod").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    assert_eq!(world.live().last().unwrap(), "prod v0.1.0-rc.1");
    assert!(!world.deployed().contains(&"new".to_owned()));
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

/// A branch that the protected one does not listen to cannot let itself in, whatever its own manifest says: nothing of
/// it runs, and it is given nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t29_a_branch_cannot_let_itself_in() {
    let mut world = World::with(TWO_STAGES).await;
    world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    world.settled().await;
    let listens = |name: &str| format!("name: {name}\ntriggers: {{push: {{branches: [evil]}}}}\n");
    let itself = TWO_STAGES.replace("name: shop\n", &listens("shop"));
    let stage = "  - {name: x, environment: production, secrets: [SHOP_TOKEN], \
                 deploy: 'echo \"x $SHOP_TOKEN\" >> \"$TARGET/journal\"'}\n";
    for evil in [itself.clone(), format!("{itself}{stage}"), itself.replace("name: shop", "name: other")] {
        let head = world.tree.commit("evil", &[(".github/liftlock.yml", &evil)], "feat: let me in");
        let hook = world.push_hook("refs/heads/evil", None, Some(&head));
        assert_eq!(world.deliver(&hook).await, 202);
        world.settled().await;
        let ignored = world.store().deliveries(1, None).await.unwrap().remove(0).error.unwrap();
        assert!(ignored.contains("the manifest on `main`"), "{ignored}");
    }
    assert_eq!(world.live().len(), 1);
    assert_eq!(world.state("shop").await.releases.len(), 1);
    assert_eq!(world.store().pipelines().await.unwrap().len(), 1);
    world.finish().await;
}

/// The pipeline of a repository whose main listens to branches of releases, with one release of main; and that manifest.
async fn listening() -> (World, String) {
    let main =
        TWO_STAGES.replace("name: shop\n", "name: shop\ntriggers: {push: {branches: [main, 'release/*']}}\n");
    let mut world = World::with(&main).await;
    world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    world.settled().await;
    (world, main)
}

/// One that it listens to releases what it has itself, and no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t29_a_branch_that_is_listened_to_adds_no_stage() {
    let (mut world, main) = listening().await;
    let wider = format!("{main}  - {{name: x, environment: production}}\n");
    let head = world.tree.commit("release/8", &[(".github/liftlock.yml", &wider)], "feat: one more");
    let hook = world.push_hook("refs/heads/release/8", None, Some(&head));
    assert_eq!(world.deliver(&hook).await, 202);
    let said = world.status(&head, "liftlock/manifest", "failure").await;
    assert!(said.contains("merge it there first"), "{said}");
    assert_eq!(world.live().len(), 1);

    let head = world.tree.commit("release/8", &[(".github/liftlock.yml", &main)], "fix: hats");
    let hook = world.push_hook("refs/heads/release/8", None, Some(&head));
    assert_eq!(world.deliver(&hook).await, 202);
    world.status(&head, "liftlock/test", "success").await;
    world.drain().await;
    assert_eq!(world.live().len(), 2);
    world.finish().await;
}

/// A fix that went to an old branch and on to main is a release of each, also when main is taken in first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e12_what_main_contains_already_is_released_on_its_own_branch() {
    let (mut world, _) = listening().await;
    let old = world.tree.head("main").unwrap();
    let fix = world.tree.loose((vec![&old], &[("src/hats.txt", "fixed")]), "fix: hats");
    let merged = world.tree.loose((vec![&old, &fix], &[]), "fix: hats, on main");
    let newest = world.tree.loose((vec![&merged], &[("src/bags.txt", "bags")]), "feat: sell bags");
    world.tree.set("refs/heads/release/8", &fix);
    world.tree.set("refs/heads/main", &newest);
    assert_eq!(world.deliver(&world.push_hook("refs/heads/main", Some(&old), Some(&newest))).await, 202);
    world.status(&newest, "liftlock/test", "success").await;
    assert_eq!(world.deliver(&world.push_hook("refs/heads/release/8", None, Some(&fix))).await, 202);
    world.status(&fix, "liftlock/test", "success").await;
    world.drain().await;
    assert_eq!(world.live().len(), 3);
    world.finish().await;
}

/// What the server asks holds from a pipeline's first release on, also when a tag is the first that is heard of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t30_the_servers_own_rules_bind_the_first_release_of_a_pipeline() {
    let of = |name: &str| TAGGED.replace("name: shop", &format!("name: {name}"));
    let mut world = World::with(&of("old")).await;
    let strict = load(&TWO_STAGES.replace("approval: 1", "approval: 2"));
    let asks = Box::new(strict.stage(&"prod".parse().unwrap()).unwrap().clone());
    let stages = StagePolicy { stage: "*".parse().unwrap(), rules: [Rule::Approval].into(), asks };
    let (repository, pipeline) = ("acme/*".parse().unwrap(), "*".parse().unwrap());
    world.policy = vec![ServerPolicy { repository, pipeline, stages }];
    let old = world.tree.head("main").unwrap();
    world.sleep().await;
    world.wake().await;
    world.tree.set("refs/tags/v1.0.0", &old);
    assert_eq!(world.deliver(&world.push_hook("refs/tags/v1.0.0", None, Some(&old))).await, 202);
    let waits = world.status(&old, "liftlock/test", "pending").await;
    world.settled().await;
    assert!(world.drain().await.concat().contains("2 approvals needed"), "{waits}");
    assert_eq!(world.live().len(), 0);

    // What main has no more, a tag of an older commit does not bring back.
    world.tree.commit("main", &[(".github/liftlock.yml", &of("shop"))], "chore: another name");
    world.tree.set("refs/tags/v1.1.0", &old);
    assert_eq!(world.deliver(&world.push_hook("refs/tags/v1.1.0", None, Some(&old))).await, 202);
    world.settled().await;
    let ignored = world.store().deliveries(1, None).await.unwrap().remove(0).error.unwrap();
    assert!(ignored.contains("has no pipeline old"), "{ignored}");
    world.finish().await;
}
