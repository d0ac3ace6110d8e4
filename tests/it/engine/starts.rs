//! Releases that somebody starts by hand.

use std::io::Write as _;
use std::num::NonZeroU64;

use liftlock::domain::name::{CommitSha, Digest, PipelineId, UserId};
use liftlock::domain::person::Person;

use super::world::{ANA, EVE, World, repo_id};

const MANIFEST: &str = r"version: 1
name: shop
triggers: {push: {}, button: {title: Publish, inputs: {service: {default: all, choices: [all, checkout]}}}}
build: sh build.sh
artifacts: dist
deploy: 'echo $STAGE $(service) $SERVICE >> $TARGET/journal'
stages: [test]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b24_a_button_makes_a_release_of_the_head_with_what_it_is_given() {
    let mut world = World::with(MANIFEST).await;
    let head = world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in test"));
    world.say(1, EVE, "/start shop service=checkout").await;
    assert!(world.hears(1).await.contains("write"));
    world.say(1, ANA, "/start shop service=checkout").await;
    world.until("two deployments", |_| world.deployed().len() == 2).await;
    world.drain().await;
    assert_eq!(world.deployed(), ["test all all", "test checkout checkout"]);
    let state = world.state("shop").await;
    let last = &state.releases.values().next_back().unwrap().created;
    assert_eq!((last.commit.as_str(), last.inputs["service"].as_str()), (head.as_str(), "checkout"));
    assert_eq!(last.initiator.as_ref().unwrap().login.as_str(), "ana");
    world.finish().await;
}

/// A package that another CI has built: its bytes come with their digest, and a release hands out exactly those.
const PACKAGE: &str = r"version: 1
name: shop
artifacts: [{alias: App, from: upload}, {alias: Lib, from: upload}]
deploy: 'echo $STAGE $(cat $LIFTLOCK_ARTIFACT_APP) $(cat $LIFTLOCK_ARTIFACT_LIB) >> $TARGET/journal'
stages: [test]
";

fn person(id: u64, login: &str) -> Person {
    Person { id: UserId(NonZeroU64::new(id).unwrap()), login: login.parse().unwrap() }
}

/// Hands a package in as ana; the answer, or why not.
async fn hand_in(
    world: &World,
    (alias, bytes, said): (&str, &str, &str),
    commit: Option<&str>,
) -> Result<String, String> {
    let id = PipelineId { repo: repo_id(), name: "shop".parse().unwrap() };
    let standing = world.service().may_upload(&id, &person(ANA, "ana")).await.unwrap();
    let mut incoming = world.service().begin_upload().await.unwrap();
    incoming.write_all(bytes.as_bytes()).unwrap();
    let commit: Option<CommitSha> = commit.map(|c| c.parse().unwrap());
    let what = (alias.parse().unwrap(), Digest::of_text(said), commit);
    let ended = world.service().end_upload(&id, incoming, what, standing).await;
    ended.map_err(|trouble| trouble.to_string())?.map_err(|refusal| refusal.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e11_e18_t44_what_was_built_elsewhere_is_released_as_it_is() {
    let mut world = World::with(PACKAGE).await;
    let first = world.push("feat: nothing is built of it").await;
    world.settled().await;
    assert_eq!(world.state("shop").await.releases.len(), 0, "a push starts nothing");
    let id = PipelineId { repo: repo_id(), name: "shop".parse().unwrap() };
    let eve = world.service().may_upload(&id, &person(EVE, "eve")).await.unwrap_err();
    assert!(eve.to_string().contains("write is needed"), "{eve}");

    let wrong = hand_in(&world, ("App", "app-1", "app-2"), None).await.unwrap_err();
    assert!(wrong.contains("nothing was kept"), "{wrong}");
    let unknown = hand_in(&world, ("Other", "app-1", "app-1"), None).await.unwrap_err();
    assert!(unknown.contains("App, Lib"), "{unknown}");
    let said = hand_in(&world, ("App", "app-1", "app-1"), None).await.unwrap();
    assert!(said.contains("it is stored"), "{said}");
    let pledged = world.state("shop").await.pledged();
    assert!(pledged.contains(&Digest::of_text("app-1")), "retention leaves what the next release takes");
    let said = hand_in(&world, ("Lib", "lib-1", "lib-1"), None).await.unwrap();
    assert!(said.contains("a release is being made of it"), "{said}");
    world.until("a deployment", |_| world.deployed().len() == 1).await;
    world.drain().await;
    assert_eq!(world.deployed(), ["test app-1 lib-1"]);
    // The same again, because an answer was lost, is no second release.
    hand_in(&world, ("Lib", "lib-1", "lib-1"), None).await.unwrap();
    world.settled().await;
    assert_eq!(world.state("shop").await.releases.len(), 1);

    // One of them anew, of a commit that is not the newest.
    world.push("feat: more").await;
    world.settled().await;
    hand_in(&world, ("App", "app-2", "app-2"), Some(&first)).await.unwrap();
    world.until("a deployment", |_| world.deployed().len() == 2).await;
    world.drain().await;
    assert_eq!(world.deployed().last().unwrap(), "test app-2 lib-1");
    let state = world.state("shop").await;
    let last = state.releases.values().next_back().unwrap();
    assert_eq!(last.created.commit.as_str(), first);
    assert_eq!(last.artifacts[0].digest, Digest::of_text("app-2"));
    world.finish().await;
}
