//! Variable groups in releases: who takes them, which value wins, secrets that nobody sees, and what a stage writes
//! back.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use liftlock::domain::group::access::GroupRole;
use liftlock::domain::name::{GroupName, PipelineId};
use liftlock::secret::Secret;
use liftlock::service::library::{Edit, NewValue, Visitor};

use super::tree::sample;
use super::world::{ANA, STORE_CANARY, World, repo_id};

/// What is in `fixtures/age/sign-key.age`.
const SEALED_IN_A_FILE: &str = "canary-in-a-file-41b7e6";
/// What the group's sealed secret is.
const CANARY: &str = "canary-of-a-group-0f51c7";

/// `acme.Out` is written by test; each stage has a group of its own, and all have `acme.Infra`.
const LINKED: &str = r#"version: 1
name: shop
build: sh build.sh
artifacts: dist
variables: {prefix: acme, Both: release}
groups: [acme.Infra]
deploy: |
  echo "$STAGE $(Region) $(Host) $(Both) $(Endpoint) ${ONLYTEST:-none} ${PASSWORD:+secret}" >> "$TARGET/journal"
  echo "the password is $PASSWORD"
  if [ -e "$TARGET/fail-$STAGE" ]; then echo "no $PASSWORD"; printf %s "$PASSWORD" | base64; exit 3; fi
  if [ -n "$LIFTLOCK_GROUP_WRITES" ]; then echo "acme.Out/Endpoint=https://new" >> "$LIFTLOCK_GROUP_WRITES"; fi
stages:
  - name: test
    groups: [$(prefix).Web.$(stage), {name: acme.Out, write: true}]
  - name: prod
    approval: 1
    groups: [$(prefix).Web.$(stage), acme.Out]
"#;

fn name(text: &str) -> GroupName {
    text.parse().unwrap()
}

fn ana() -> Visitor {
    Visitor { login: Some("ana".parse().unwrap()), name: "ana".to_owned() }
}

fn plain(text: &str) -> NewValue {
    NewValue::Plain(text.to_owned())
}

/// A group that the shop's releases have this role on.
async fn group(world: &World, group: &str, role: GroupRole, values: &[(&str, NewValue)]) {
    let shop = PipelineId { repo: repo_id(), name: "shop".parse().unwrap() };
    let set: BTreeMap<_, _> = values.iter().map(|(n, v)| (n.parse().unwrap(), v.clone())).collect();
    let principal = format!("pipeline:{shop}").parse().unwrap();
    let edit = Edit { set, grant: BTreeMap::from([(principal, role)]), ..Edit::default() };
    world.service().library().create(&ana(), &name(group), &edit).await.unwrap().unwrap();
}

async fn linked(out: GroupRole) -> World {
    let world = World::of(sample(LINKED)).await;
    let user = GroupRole::User;
    group(&world, "acme.Infra", user, &[("Region", plain("weu")), ("Both", plain("infra"))]).await;
    let secret = NewValue::Secret(Secret::new(CANARY));
    let own = [("Host", plain("t.example")), ("Both", plain("group")), ("OnlyTest", plain("yes"))];
    group(&world, "acme.Web.test", user, &own).await;
    group(&world, "acme.Web.prod", user, &[("Host", plain("p.example")), ("Password", secret)]).await;
    group(&world, "acme.Out", out, &[("Endpoint", plain("old"))]).await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a03_a04_a05_a16_a17_e22_t47_a_release_takes_its_groups_and_a_stage_writes_back() {
    let mut world = linked(GroupRole::Administrator).await;
    world.plant("fail-prod");
    world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    world.settled().await;
    // What the release took stays; only what its own stages write is there for those after it.
    let later = BTreeMap::from([("Host".parse().unwrap(), plain("later.example"))]);
    let edit = Edit { set: later, ..Edit::default() };
    world.service().library().edit(&ana(), &name("acme.Web.prod"), &edit).await.unwrap().unwrap();
    world.say(1, ANA, "/approve prod").await;
    world.settled().await;
    assert_eq!(
        world.deployed(),
        ["test weu t.example group old yes ", "prod weu p.example release https://new none secret"]
    );
    let (out, _) = world.service().library().see(&ana(), &name("acme.Out")).await.unwrap().unwrap();
    assert_eq!(out.version, 2);
    let history = world.service().library().history(&ana(), &out.name, (u32::MAX, 1)).await.unwrap().unwrap();
    assert!(format!("{:?}", history[0].by).contains("Stage"), "{history:?}");
    let log = world.log(&format!("{}/shop/1/prod/1", repo_id())).await;
    assert!(log.contains("the password is ***"), "{log}");
    assert!(log.contains("secret sealed:acme.Web.prod/password, version 1"), "{log}");
    world.drain().await;
    let encoded = base64::prelude::BASE64_STANDARD.encode(CANARY);
    for text in [&log, &world.said_and_kept().await] {
        assert!(!text.contains(CANARY) && !text.contains(&encoded), "{text}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a04_a08_a_pipeline_that_is_only_a_user_of_a_group_writes_nothing_into_it() {
    let mut world = linked(GroupRole::User).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    let said = world.status(&commit, "liftlock/test", "failure").await;
    assert!(said.contains("write groups"), "{said}");
    let (out, _) = world.service().library().see(&ana(), &name("acme.Out")).await.unwrap().unwrap();
    assert_eq!(out.version, 1);
    world.drain().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a07_a_group_that_is_missing_stops_the_stage_and_says_what_to_type() {
    let mut world = World::of(sample(LINKED)).await;
    world.merge(1, "feat: sell shoes").await;
    world.settled().await;
    world.say(1, ANA, "/why test").await;
    world.settled().await;
    let said = world.drain().await.join("\n");
    assert!(said.contains("liftlock group create acme.Web.test"), "{said}");
    assert_eq!(world.deployed(), [""; 0]);
    world.finish().await;
}

/// Says no, hangs, or is not to be had: the stage ends with the reason before anything of it has happened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e22_t47_a_store_that_is_wrong_slow_or_down_ends_the_stage_and_what_it_prints_is_kept_from_all() {
    let text = LINKED.replace("groups: [acme.Infra]\n", "").replace("$(Region) ", "");
    for (store, reason) in [
        ("broken", "the secret store says no for broken:kv/web"),
        ("slow", "the secret store did not answer for slow:kv/web"),
        ("down", "the secret store for down:kv/web"),
    ] {
        let mut world = World::of(sample(&text)).await;
        let at = NewValue::At(format!("{store}:kv/web#password").parse().unwrap());
        let own = [("Host", plain("h")), ("Password", at)];
        group(&world, "acme.Web.test", GroupRole::User, &own).await;
        group(&world, "acme.Web.prod", GroupRole::User, &own).await;
        group(&world, "acme.Out", GroupRole::Administrator, &[("Endpoint", plain("old"))]).await;
        let commit = world.merge(1, "feat: sell shoes").await;
        world.status(&commit, "liftlock/test", "error").await;
        world.settled().await;
        let said = world.drain().await.join("\n");
        assert!(said.contains(reason), "{said}");
        assert_eq!(world.deployed(), [""; 0]);
        let log = world.log(&format!("{}/shop/1/test/1", repo_id())).await;
        for text in [&log, &said, &world.said_and_kept().await] {
            assert!(!text.contains(STORE_CANARY), "{text}");
        }
        world.finish().await;
    }
}

/// Two groups that the manifest writes itself: a key in the server's vault, and a file of the repository itself.
const NAMED: &str = r#"version: 1
name: shop
build: sh build.sh
artifacts: dist
groups:
  - {name: Signing, secrets: {SIGN_KEY: "vault:kv/sign#key", Token: "age:keys/sign.age"}, stages: [prod]}
deploy: |
  echo "$STAGE ${SIGN_KEY:-none} ${TOKEN:-none}" >> "$TARGET/journal"
  echo "the key is $SIGN_KEY, the token is $TOKEN"
stages: [test, prod]
"#;

fn named(manifest: &str) -> BTreeMap<String, String> {
    let mut files = sample(manifest);
    let key = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/age/sign-key.age");
    files.insert("keys/sign.age".to_owned(), std::fs::read_to_string(key).unwrap());
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e22_t47_a_manifest_names_secrets_of_stores_and_of_files_in_the_repository() {
    let mut world = World::of(named(NAMED)).await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    assert_eq!(
        world.deployed(),
        ["test none none".to_owned(), format!("prod {STORE_CANARY} of kv/sign key {SEALED_IN_A_FILE}")]
    );
    let log = world.log(&format!("{}/shop/1/prod/1", repo_id())).await;
    assert!(log.contains("the key is ***, the token is ***"), "{log}");
    assert!(log.contains("secret age:keys/sign.age, at 2"), "{log}");
    for text in [&log, &world.said_and_kept().await] {
        assert!(!text.contains(STORE_CANARY) && !text.contains(SEALED_IN_A_FILE), "{text}");
    }
    world.finish().await;
}

/// Whoever may push could name any secret: only what the store's config allows is fetched, and is said before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e22_t47_a_manifest_names_no_secret_that_is_not_for_its_stage() {
    for (names, reason) in [
        ("stages: [test]", "is not for acme/shop:shop/test; `allow` of the secret store"),
        ("vault:kv", "is not allowed: the server's config has no secret store `other`"),
        ("sealed:kv", "a manifest may not name sealed:acme/x: only groups of the library"),
        ("keys/gone.age", "age:keys/gone.age: the released commit has no file `keys/gone.age`"),
    ] {
        let text = match names {
            "stages: [test]" => NAMED.replace("stages: [prod]", names),
            "vault:kv" => NAMED.replace(names, "other:kv"),
            "sealed:kv" => NAMED.replace("vault:kv/sign#key", "sealed:acme/x"),
            _ => NAMED.replace("keys/sign.age", names),
        };
        let mut world = World::of(named(&text)).await;
        let commit = world.merge(1, "feat: sell shoes").await;
        let stage = if names == "stages: [test]" { "test" } else { "prod" };
        world.status(&commit, &format!("liftlock/{stage}"), "error").await;
        world.settled().await;
        let said = world.drain().await.join("\n").replace('\\', "");
        assert!(said.contains(reason), "{names}: {said}");
        assert!(!world.deployed().iter().any(|line| line.starts_with(stage)));
        world.finish().await;
    }
}
