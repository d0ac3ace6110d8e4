//! Releases that take the tree of another repository: at the commit on their record, from where the config says.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::Request;
use liftlock::domain::event::Detail;
use liftlock::domain::evidence::statement;
use liftlock::domain::release::BuildState;
use liftlock::forge::signature::sign;
use liftlock::git::fetch::Remote;
use liftlock::git::origin::Origin;
use liftlock::store::delivery::DeliveryState;

use super::tree::{Tree, sample};
use super::world::{ANA, DEV, HOOK_SECRET, REPO, World};
use crate::github::Pull;

/// As manifests name it; where it is, the config says.
const NAME: &str = "gitea.example/acme/config";

const MANIFEST: &str = r#"version: 1
name: shop
triggers: {push: {}, pull_request: {}}
artifacts: [dist, {alias: Config, from: "git+https://gitea.example/acme/config@main", kind: source}]
build: |
  mkdir -p dist
  cp "$LIFTLOCK_ARTIFACT_CONFIG/service.txt" dist/
  if touch "$LIFTLOCK_ARTIFACT_CONFIG/mine" 2>/dev/null; then echo "it may be written"; fi
  echo "token ${GIT_TOKEN:-none}"
  test ! -e src/broken.txt
deploy: 'echo $STAGE $(cat service.txt) $(cat $LIFTLOCK_ARTIFACT_CONFIG/service.txt) $(ls $LIFTLOCK_ARTIFACT_CONFIG) >> $TARGET/journal'
stages: [test]
"#;

fn origin(remote: Remote, allow: &str) -> Origin {
    let allow = vec![allow.to_owned().try_into().unwrap()];
    Origin { name: NAME.to_owned(), remote, token: None, public: false, allow }
}

/// The shop, and beside it the repository with its configuration.
async fn world(origin: impl Fn(Remote) -> Option<Origin>) -> (World, Tree) {
    world_of(MANIFEST, origin).await
}

async fn world_of(manifest: &str, origin: impl Fn(Remote) -> Option<Origin>) -> (World, Tree) {
    let mut world = World::asleep(sample(manifest)).await;
    let path = world.data().with_file_name("config.git");
    let files = BTreeMap::from([("service.txt".to_owned(), "one".to_owned())]);
    let config = Tree::new(&path, files);
    world.origins = origin(Remote::local(&path).unwrap()).into_iter().collect();
    world.sleep().await;
    world.wake().await;
    (world, config)
}

/// Why the first release was not built.
async fn failure(world: &World) -> String {
    let state = world.state("shop").await;
    let build = &state.releases.values().next().unwrap().build;
    let BuildState::Failed(Detail::Failed(failure)) = build else { panic!("{build:?}") };
    failure.how.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b13_b16_b22_a_release_takes_another_repository_at_the_commit_on_its_record() {
    let (mut world, mut config) = world(|remote| Some(origin(remote, "acme/shop:shop/build"))).await;
    let first = config.head("main").unwrap();
    let commit = world.merge_files(1, &[("src/broken.txt", "x")], "feat: sell shoes").await;
    world.status(&commit, "liftlock/build", "failure").await;
    world.settled().await;
    let state = world.state("shop").await;
    let release = state.releases.values().next().unwrap();
    assert_eq!(release.sources[0].commit.as_str(), first);

    // Somebody rewrites the other repository: the record does not change, and the commit is not lost.
    let second = config.commit_on("main", (Vec::new(), &[("service.txt", "two")]), "feat: all new");
    let mended = world.push("fix: what was broken").await;
    world.tree.remove("src/broken.txt");
    let again = world.push("fix: really").await;
    world.status(&again, "liftlock/test", "success").await;
    world.say(1, ANA, "/retry build").await;
    world.settled().await;
    let log = world.log("github:12/shop/1/build/2").await;
    assert!(log.contains(&format!("source Config is {NAME}@main at {}", &first[..7])), "{log}");
    let said: Vec<&str> = log.lines().collect();
    assert!(said.contains(&"token none") && !said.contains(&"it may be written"), "{log}");

    assert_eq!(world.deployed(), ["test two two service.txt"]);
    let state = world.state("shop").await;
    // By its commit: the two pushes may be taken in in either order.
    let third = state.releases.values().find(|release| release.created.commit.as_str() == again).unwrap();
    assert_eq!(third.sources[0].commit.as_str(), second);
    let aliases: Vec<&str> = third.artifacts.iter().map(|a| a.alias.as_str()).collect();
    assert_eq!(aliases, ["dist", "Config"]);
    let sticky = world.sticky_of(&third.created.version.to_string());
    assert!(sticky.contains("- source Config: `gitea.example/acme/config@"), "{sticky}");
    assert!(sticky.contains(&format!("commit `{}`\n\n|", &second[..7])), "{sticky}");
    assert_ne!(world.light(&mended, "liftlock/test").as_deref(), Some("success"));
    world.drain().await;
    world.finish().await;
}

/// The command starts in the shop's own tree, and looks at the tree of each component.
const SCANNED: &str = r#"checks:
  scan:
    each: component
    run: |
      test -e deploy.sh
      there=$(cd "$LIFTLOCK_TREE" && ls build.sh service.txt 2>/dev/null || true)
      echo "$STAGE $REPO $SHA $there" >> "$TARGET/checks"
      ! grep -q bad "$LIFTLOCK_TREE/service.txt"
stages:
  - {name: test, verify: [scan]}
  - {name: prod, gates: {pre: [scan]}}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d10_a_check_for_each_component_is_asked_of_the_other_repository_too() {
    let manifest = MANIFEST.replace("stages: [test]\n", SCANNED);
    let (mut world, mut config) = world_of(&manifest, |remote| Some(origin(remote, "*:shop/build"))).await;
    let good = config.head("main").unwrap();
    let commit = world.merge(1, "feat: sell shoes").await;
    world.status(&commit, "liftlock/test/scan", "success").await;
    world.status(&commit, "liftlock/test/scan/Config", "success").await;
    world.status(&commit, "liftlock/prod", "success").await;
    let mut scanned: Vec<String> = world.wrote("checks").lines().map(str::to_owned).collect();
    scanned.sort();
    let expected = ["prod", "test"].map(|stage| {
        [format!("{stage} acme/shop {commit} build.sh"), format!("{stage} {NAME} {good} service.txt")]
    });
    assert_eq!(scanned, expected.concat());
    let log = world.log("github:12/shop/1/test.scan.Config/1").await;
    assert!(log.contains(&format!("component {NAME} at {}", &good[..7])), "{log}");
    world.drain().await;

    // What is found in the other repository is said of it, and of nothing else.
    let bad = config.commit("main", &[("service.txt", "bad")], "feat: a slip");
    let commit = world.merge(2, "feat: more shoes").await;
    let at = format!("scan@Config@{}", &bad[..7]);
    let said = world.hears(2).await.replace("&#8203;", "");
    assert!(said.contains(&format!("failed in test at \"{at}\"")), "{said}");
    world.status(&commit, "liftlock/test/scan", "success").await;
    world.status(&commit, "liftlock/test/scan/Config", "failure").await;
    world.settled().await;
    assert!(world.sticky().contains(&format!("| test | {at} | failed |")), "{}", world.sticky());
    assert_eq!(world.wrote("checks").lines().count(), 6, "each is asked once");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t40_t52_what_the_config_does_not_name_is_not_asked() {
    for (allow, says) in [
        (None, "the server does not know it; add a [[repository]]"),
        (Some("acme/other:shop/build"), "it is not for acme/shop:shop/build"),
    ] {
        let (mut world, _config) = world(|remote| allow.map(|allow| origin(remote, allow))).await;
        let commit = world.merge(1, "feat: sell shoes").await;
        let said = world.status(&commit, "liftlock/build", "failure").await;
        assert!(said.contains("take the source Config"), "{said}");
        world.settled().await;
        let how = failure(&world).await;
        assert!(how.contains(says), "{how}");
        assert!(!world.data().join("mirrors/sources").exists());
        world.drain().await;
        world.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b16_a_branch_that_is_not_there_is_said_and_looked_for_again() {
    let (mut world, config) = world(|remote| Some(origin(remote, "*:*/build"))).await;
    let head = config.head("main").unwrap();
    config.unset("refs/heads/main");
    let commit = world.merge(1, "feat: sell shoes").await;
    world.status(&commit, "liftlock/build", "failure").await;
    world.settled().await;
    let how = failure(&world).await;
    assert_eq!(how, "gitea.example/acme/config@main: it has no branch or tag `main`");
    // A tag of that name is as good.
    config.set("refs/tags/main", &head);
    world.say(1, ANA, "/retry build").await;
    world.status(&commit, "liftlock/test", "success").await;
    world.drain().await;
    assert_eq!(world.deployed(), ["test one one service.txt"]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b16_a_repository_that_does_not_answer_is_tried_again_and_then_said() {
    let nobody = || Remote::loopback("http://127.0.0.1:1/acme/config").unwrap();
    let (mut world, _config) = world(|_| Some(origin(nobody(), "*:*/build"))).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    let said = world.status(&commit, "liftlock/build", "failure").await;
    assert!(said.contains("the source Config"), "{said}");
    world.settled().await;
    let state = world.state("shop").await;
    let release = state.releases.values().next().unwrap();
    assert_eq!(release.build_attempt, 3);
    assert!(matches!(&release.build, BuildState::Failed(_)), "{:?}", release.build);
    world.drain().await;
    world.finish().await;
}

/// Whoever may open a pull request could read what its build is given.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t46_a_pull_request_is_given_only_what_anybody_may_read() {
    let (mut world, _config) = world(|remote| Some(origin(remote, "*:*/build"))).await;
    world.push("feat: the manifest").await;
    world.settled().await;
    let head = world.tree.commit("topic", &[("src/hats.txt", "hats")], "feat: hats");
    world.github.state().issue(REPO, 4, DEV, Some(Pull { head: head.clone(), merged: None }));
    let opened = world.github.state().pull_request(REPO, 4, "opened", DEV);
    assert_eq!(world.deliver(&opened).await, 202);
    let said = world.status(&head, "liftlock/build", "failure").await;
    assert!(said.contains("take the source Config"), "{said}");

    world.origins.iter_mut().for_each(|origin| origin.public = true);
    world.settled().await;
    world.sleep().await;
    world.wake().await;
    let head = world.tree.commit("topic", &[("src/hats.txt", "more hats")], "feat: more hats");
    world.github.state().issue(REPO, 4, DEV, Some(Pull { head: head.clone(), merged: None }));
    let pushed = world.github.state().pull_request(REPO, 4, "synchronize", DEV);
    assert_eq!(world.deliver(&pushed).await, 202);
    world.status(&head, "liftlock/build", "success").await;
    world.drain().await;
    world.finish().await;
}

/// Seed 001: the service's image is put together of the runtime, of what is built here, and of files from Gitea.
const BUNDLE: &str = r#"version: 1
pipelines:
  runtime:
    triggers: {push: {paths: ['src/**']}}
    build: 'mkdir -p out && echo runtime > out/base.txt'
    artifacts: out
    stages: [quality]
    deploy: 'true'
  shop:
    triggers: {builds: {any: [runtime], settle: 0s}}
    artifacts:
      - dist
      - {alias: Runtime, from: build/runtime}
      - {alias: Config, from: "git+https://gitea.example/acme/config@main"}
    build: |
      mkdir -p dist
      cat "$LIFTLOCK_ARTIFACT_RUNTIME/base.txt" "$LIFTLOCK_ARTIFACT_CONFIG/service.txt" > dist/all.txt
      if touch "$LIFTLOCK_ARTIFACT_RUNTIME/mine" 2>/dev/null; then echo written >> dist/all.txt; fi
    deploy: 'echo $STAGE $(cat all.txt) >> $TARGET/journal'
    stages: [test]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b22_a_build_finds_what_other_pipelines_built_beside_the_tree_of_another_repository() {
    let mut world = World::asleep(sample(BUNDLE)).await;
    let path = world.data().with_file_name("config.git");
    let config = Tree::new(&path, BTreeMap::from([("service.txt".to_owned(), "one".to_owned())]));
    world.origins = vec![origin(Remote::local(&path).unwrap(), "*:shop/build")];
    world.sleep().await;
    world.wake().await;
    let commit = world.push("feat: sell shoes").await;
    world.status(&commit, "liftlock/shop/test", "success").await;
    world.drain().await;
    assert_eq!(world.deployed(), ["test runtime one"]);
    let (runtime, shop) = (world.state("runtime").await, world.state("shop").await);
    let (built, release) =
        (&runtime.releases.values().next().unwrap(), &shop.releases.values().next().unwrap());
    let of: Vec<&str> = release.artifacts.iter().map(|a| a.alias.as_str()).collect();
    assert_eq!(of, ["dist", "Config", "Runtime"], "the release lists all that it is made of");
    assert_eq!(release.artifacts[2].digest, built.artifacts[0].digest);
    assert_eq!(release.sources[0].commit.as_str(), config.head("main").unwrap());
    let id = "github:12/shop".parse().unwrap();
    let origin = statement::Origin {
        pipeline: &id,
        repository: "acme/shop",
        commit_url: None,
        server: "https://l.example",
    };
    let statement = statement::provenance(release, origin).unwrap();
    assert_eq!(statement["subject"].as_array().unwrap().len(), 1, "it built only what it built");
    assert_eq!(statement["subject"][0]["digest"]["sha256"], release.artifacts[0].digest.hex());
    let from = &statement["predicate"]["buildDefinition"]["resolvedDependencies"];
    assert_eq!(from[0]["digest"]["gitCommit"], commit);
    assert_eq!(from[1]["digest"]["gitCommit"], config.head("main").unwrap());
    let taken: Vec<&str> = from.as_array().unwrap().iter().filter_map(|d| d["name"].as_str()).collect();
    assert_eq!(taken, ["Config", "Config.tar.zst", "Runtime.tar.zst"], "the provenance lists all of it");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b33_a_pipeline_of_another_branch_hears_that_what_it_is_based_on_moved_on() {
    let source = "source: {provider: GitHub, properties: {branch: maintenance, repository: 'https://github.com/acme/shop'}}";
    let manifest = MANIFEST.replace("triggers: {push: {}, pull_request: {}}", source);
    let mut world = World::asleep(sample(&manifest)).await;
    let path = world.data().with_file_name("config.git");
    let mut config = Tree::new(&path, BTreeMap::from([("service.txt".to_owned(), "one".to_owned())]));
    world.origins = vec![origin(Remote::local(&path).unwrap(), "*:shop/build")];
    world.sleep().await;
    world.wake().await;
    world.push("feat: not on that branch").await;
    world.settled().await;
    assert_eq!(world.state("shop").await.releases.len(), 0, "another branch starts it");

    let first = config.head("main").unwrap();
    let commit = world.tree.commit("maintenance", &[("src/hats.txt", "hats")], "feat: hats");
    world.github.state().issue(
        REPO,
        4,
        DEV,
        Some(Pull { head: commit.clone(), merged: Some(commit.clone()) }),
    );
    let hook = world.push_hook("refs/heads/maintenance", None, Some(&commit));
    assert_eq!(world.deliver(&hook).await, 202);
    world.status(&commit, "liftlock/test", "success").await;
    world.service().reconcile_once().await;
    let quiet = world.drain().await;
    assert!(!quiet.iter().any(|said| said.contains("is at")), "{quiet:?}");

    let second = config.commit("main", &[("service.txt", "two")], "feat: two");
    world.service().reconcile_once().await;
    world.service().reconcile_once().await;
    let said = world.drain().await;
    let text = format!("is at {} now, and v0.1.0-rc.1 has {}", &second[..7], &first[..7]);
    assert_eq!(said.iter().filter(|said| said.contains(&text)).count(), 1, "{said:?}");
    assert_eq!(world.state("shop").await.releases.len(), 1, "whether that is worth a release is for people");
    world.finish().await;
}

/// What a Gitea tells of a push; the answer of the door, and what became of the delivery.
async fn told(world: &World, id: &str, body: &str) -> (u16, DeliveryState, Option<String>) {
    let hook = Request::post("/webhook/gitea").header("x-gitea-delivery", id).header("x-gitea-event", "push");
    let signed = sign(HOOK_SECRET.as_bytes(), body.as_bytes()).unwrap().replace("sha256=", "");
    let hook = hook.header("x-gitea-signature", signed).body(Body::from(body.to_owned())).unwrap();
    let answer = world.post(hook).await;
    world.settled().await;
    let kept = world.store().deliveries(1, None).await.unwrap().remove(0);
    assert_eq!((kept.source.as_str(), kept.guid.as_str()), ("gitea", id));
    (answer, kept.state, kept.error)
}

/// Nobody reconciles here: the look is made because the Gitea said that something was pushed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b13_b33_a_push_that_a_gitea_tells_of_is_looked_at_at_once() {
    let (mut world, mut config) = world(|remote| Some(origin(remote, "*:shop/build"))).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    world.status(&commit, "liftlock/test", "success").await;
    let first = config.head("main").unwrap();
    world.drain().await;
    let push = include_str!("../../../fixtures/webhooks/gitea/push.json");
    assert_eq!(told(&world, "a1", push).await, (202, DeliveryState::Done, None));
    assert_eq!(world.drain().await, Vec::<String>::new(), "it has not moved on");

    let second = config.commit("main", &[("service.txt", "two")], "feat: two");
    let other = push.replace("gitea.example", "elsewhere.example");
    let (_, state, why) = told(&world, "a2", &other).await;
    assert_eq!(state, DeliveryState::Ignored);
    let why = why.unwrap();
    assert!(
        why.contains("no [[repository]] of the server's config is elsewhere.example/acme/config"),
        "{why}"
    );
    let (answer, state, why) = told(&world, "a3", "no JSON").await;
    assert_eq!(
        (answer, state),
        (202, DeliveryState::Poison),
        "signed, so it is kept for people to see: {why:?}"
    );
    assert_eq!(world.drain().await, Vec::<String>::new());

    assert_eq!(told(&world, "a4", push).await, (202, DeliveryState::Done, None));
    let said = world.drain().await;
    let text = format!("is at {} now, and v0.1.0-rc.1 has {}", &second[..7], &first[..7]);
    assert_eq!(said.iter().filter(|said| said.contains(&text)).count(), 1, "{said:?}");
    world.finish().await;
}
