//! A host that is down, slow or says no, and an engine that dies.

use std::sync::Arc;

use hyper::Method;
use liftlock::domain::time::{Span, Timestamp};
use liftlock::store::effect::{Effect, EffectState};
use tokio::sync::Semaphore;

use super::tree::{STRAIGHT, TAGGED, TWO_STAGES, sample};
use super::world::{ANA, World};
use crate::github::{Fault, Spot};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_goes_on_while_statuses_fail_and_they_come_later() {
    let mut world = World::with(STRAIGHT).await;
    world.github.fault(&Method::POST, "/statuses/", 4, Fault::status(500));
    world.github.fault(&Method::POST, "/statuses/", 2, Fault::DropBefore);
    let commit = world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    for context in ["liftlock/build", "liftlock/test", "liftlock/prod"] {
        world.status(&commit, context, "success").await;
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_goes_on_while_the_host_asks_for_patience() {
    let mut world = World::with(STRAIGHT).await;
    world.github.fault(&Method::POST, "/statuses/", 1, Fault::with_header(429, "retry-after", "2"));
    let commit = world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    world.status(&commit, "liftlock/prod", "success").await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_goes_on_while_a_status_hangs() {
    let mut world = World::with(STRAIGHT).await;
    let permits = Arc::new(Semaphore::new(0));
    world.github.fault(&Method::POST, "/statuses/", 1, Fault::Held(Arc::clone(&permits)));
    let commit = world.merge(1, "feat: sell shoes").await;
    world.until_deployed(2).await;
    permits.add_permits(1);
    assert!(world.hears(1).await.contains("is live in prod"));
    world.status(&commit, "liftlock/prod", "success").await;
    world.finish().await;
}

/// An hour without a host: nothing of what it was to be told is lost, however often it was tried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_down_for_longer_than_any_number_of_tries_is_told_all_of_it() {
    let mut world = World::with(STRAIGHT).await;
    for path in ["/statuses/", "/comments", "/git/refs"] {
        world.github.fault(&Method::POST, path, 20, Fault::status(503));
    }
    let commit = world.merge(1, "feat: sell shoes").await;
    world.until_deployed(2).await;
    let is_leased = |effects: &[Effect]| effects.iter().any(|effect| effect.state == EffectState::Leased);
    for _ in 0..30 {
        world.until("nobody is at it", |effects| !is_leased(effects)).await;
        assert!(world.effects().await.iter().all(|effect| effect.state != EffectState::Dead));
        world.skip(Span::minutes(5));
        // The waits grow to minutes, so that each of them is tried once a round.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(world.hears(1).await.contains("is live in prod"));
    for context in ["liftlock/build", "liftlock/test", "liftlock/prod"] {
        world.status(&commit, context, "success").await;
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statuses_that_we_may_not_write_are_given_up_and_hold_nothing_up() {
    let mut world = World::with(STRAIGHT).await;
    world.may_give_up = true;
    let no = Fault::Answer {
        status: 403,
        headers: Vec::new(),
        body: serde_json::json!({"message": "Resource not accessible by integration"}),
    };
    world.github.fault(&Method::POST, "/statuses/", 1_000, no);
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    world.settled().await;
    let given_up: Vec<_> =
        world.effects().await.into_iter().filter(|e| e.kind == "status").filter_map(|e| e.result).collect();
    assert!(!given_up.is_empty() && given_up.iter().all(|r| r.starts_with("given up: ")), "{given_up:?}");
    assert!(given_up[0].contains("Resource not accessible"), "{given_up:?}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t11_what_was_stored_before_a_crash_is_done_after_it() {
    let mut world = World::asleep(sample(STRAIGHT)).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    world.sleep().await;
    world.wake().await;
    assert!(world.hears(1).await.contains("is live in prod"));
    world.status(&commit, "liftlock/prod", "success").await;
    assert_eq!(world.live().len(), 2);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t11_a_push_that_no_webhook_told_of_is_found() {
    let mut world = World::with(STRAIGHT).await;
    world.service().reconcile_once().await;
    world.settled().await;
    assert_eq!(world.state("shop").await.releases.len(), 0, "what was there before is not released");
    let commit = world.tree.commit("main", &[("src/hats.txt", "hats")], "feat: hats");
    let pull = crate::github::Pull { head: "1".repeat(40), merged: Some(commit.clone()) };
    world.github.state().issue(super::world::REPO, 1, super::world::DEV, Some(pull));
    world.service().reconcile_once().await;
    assert!(world.hears(1).await.contains("is live in prod"));
    world.service().reconcile_once().await;
    world.settled().await;
    assert_eq!(world.state("shop").await.releases.len(), 1);
    world.finish().await;
}

/// Branches that the manifest on main listens to are looked at like main itself; those that were there before, or are
/// listened to only now, are history.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t11_a_push_to_a_branch_that_no_webhook_told_of_is_found() {
    let listens =
        STRAIGHT.replace("name: shop\n", "name: shop\ntriggers: {push: {branches: [main, 'release/*']}}\n");
    let mut world = World::with(&listens).await;
    world.tree.commit("release/7", &[("src/hats.txt", "old hats")], "feat: old hats");
    world.tree.commit("topic", &[("src/hats.txt", "no hats")], "feat: no hats");
    let branches = async |world: &World| -> Vec<String> {
        world.service().reconcile_once().await;
        world.settled().await;
        world.drain().await;
        let state = world.state("shop").await;
        state.releases.values().map(|r| format!("{} {}", r.created.branch, r.created.commit)).collect()
    };
    assert_eq!(branches(&world).await, [""; 0], "what was there before is not released");
    let moved = world.tree.commit("release/7", &[("src/hats.txt", "more hats")], "fix: more hats");
    let new = world.tree.commit("release/8", &[("src/hats.txt", "new hats")], "feat: new hats");
    world.tree.commit("topic", &[("src/hats.txt", "no hats at all")], "feat: no hats at all");
    let told = [format!("release/7 {moved}"), format!("release/8 {new}")];
    for _ in 0..2 {
        assert_eq!(branches(&world).await, told);
    }
    world.finish().await;
}

/// Of more than three tags that are pushed at once GitHub tells nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t11_tags_that_no_webhook_told_of_are_found_once() {
    let mut world = World::with(TAGGED).await;
    let first = world.tree.commit("main", &[("src/hats.txt", "hats")], "feat: hats");
    world.tree.set("refs/tags/v1.0.0", &first);
    world.service().reconcile_once().await;
    world.settled().await;
    assert_eq!(world.state("shop").await.releases.len(), 0, "what was there before is not released");
    let second = world.tree.commit("main", &[("src/hats.txt", "more hats")], "feat: more hats");
    for tag in ["v1.1.0", "v1.2.0", "v1.3.0", "v1.4.0", "v1.9"] {
        world.tree.set(&format!("refs/tags/{tag}"), &second);
    }
    for _ in 0..2 {
        world.service().reconcile_once().await;
        world.settled().await;
        let state = world.state("shop").await;
        let made: Vec<String> = state.releases.values().map(|r| r.created.version.to_string()).collect();
        assert_eq!(made, ["v1.1.0", "v1.2.0", "v1.3.0", "v1.4.0"]);
    }
    let said = world.status(&second, "liftlock/manifest", "failure").await;
    assert!(said.contains("v1.9"), "what is no version is told as if it had been heard of: {said}");
    for number in 0..30 {
        world.tree.set(&format!("refs/tags/v0.1.{number}"), &first);
    }
    world.service().reconcile_once().await;
    world.settled().await;
    assert_eq!(world.state("shop").await.releases.len(), 4, "a history that somebody brought");
    // How many of the four go live before a newer one outruns them is not looked at here.
    for repo in world.github.state().repos.values_mut() {
        repo.comments.values_mut().for_each(|comment| comment.unread = false);
    }
    world.finish().await;
}

const NOT_BY_THE_PUSHER: &str = r"version: 1
name: shop
build: sh build.sh
artifacts: dist
deploy: sh deploy.sh
stages: [test, {name: prod, approval: {min: 1, exclude: [pusher]}}]
";

/// Who pushes so that no webhook comes is nobody that a rule could leave out: so it counts nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t27_a_push_that_nobody_told_of_is_approved_by_nobody_where_its_pusher_may_not() {
    let mut world = World::with(NOT_BY_THE_PUSHER).await;
    world.service().reconcile_once().await;
    let commit = world.tree.commit("main", &[("src/hats.txt", "hats")], "feat: hats");
    let pull = crate::github::Pull { head: "1".repeat(40), merged: Some(commit.clone()) };
    world.github.state().issue(super::world::REPO, 1, super::world::DEV, Some(pull));
    world.service().reconcile_once().await;
    assert!(world.hears(1).await.contains("is ready for prod"));
    world.say(1, ANA, "/approve prod").await;
    let refused = world.hears(1).await;
    assert!(refused.contains("may have pushed it") && refused.contains("another push"), "{refused}");
    world.merge(2, "feat: hats that were heard of").await;
    assert!(world.hears(2).await.contains("is ready for prod"));
    world.say(2, ANA, "/approve prod").await;
    assert!(world.hears(2).await.contains("is live in prod"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t11_a_host_that_was_down_at_the_start_is_asked_again() {
    let world = World::with(STRAIGHT).await;
    world.github.fault(&Method::GET, "/repos/acme/shop", 1, Fault::status(503));
    world.service().reconcile_once().await;
    assert_eq!(world.store().streams("", 10).await.unwrap().len(), 0, "nothing could be read");
    world.service().reconcile_once().await;
    assert_eq!(world.store().streams("", 10).await.unwrap().len(), 1, "its rules are known now");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t11_a_comment_that_did_not_arrive_is_asked_for_again() {
    let mut world = World::with(TWO_STAGES).await;
    world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    world.settled().await;
    let comment = world.write(&Spot::Thread(1), ANA, "/approve prod");
    let hook = world.github.state().comment_event(super::world::REPO, comment, "created");
    world.github.keep(&hook, 502);
    {
        let mut state = world.github.state();
        let kept = state.deliveries.last_mut().unwrap();
        kept.at = Timestamp(kept.at.0.saturating_sub_unsigned(Span::minutes(5).as_millis()));
    }
    world.service().reconcile_once().await;
    assert!(world.github.state().deliveries.iter().any(|d| d.asked && d.guid == hook.guid));
    assert_eq!(world.deliver(&hook).await, 202);
    assert!(world.hears(1).await.contains("is live in prod"));
    world.finish().await;
}

/// What the host will not send again (too old, or its hook is gone) keeps nothing else from being asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t11_a_delivery_that_is_refused_does_not_keep_the_others_waiting() {
    let mut world = World::with(TWO_STAGES).await;
    world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    world.settled().await;
    for person in [ANA, super::world::BO] {
        let comment = world.write(&Spot::Thread(1), person, "/approve prod");
        let hook = world.github.state().comment_event(super::world::REPO, comment, "created");
        world.github.keep(&hook, 502);
        let mut state = world.github.state();
        let kept = state.deliveries.last_mut().unwrap();
        kept.at = Timestamp(kept.at.0.saturating_sub_unsigned(Span::minutes(5).as_millis()));
    }
    world.github.fault(&Method::POST, "/attempts", 1, Fault::status(422));
    world.service().reconcile_once().await;
    assert_eq!(world.github.count(&Method::POST, "/attempts"), 2);
    assert_eq!(world.github.state().deliveries.iter().filter(|d| d.asked).count(), 1);

    // A host that is down is left alone until the next round.
    world.github.fault(&Method::POST, "/attempts", 1, Fault::status(429));
    let before = world.github.count(&Method::POST, "/attempts");
    world.service().reconcile_once().await;
    assert_eq!(world.github.count(&Method::POST, "/attempts"), before + 1);
    world.finish().await;
}

/// The stage that ran when the engine died is not run again by itself: nobody knows how far it came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t57_a_stage_that_was_running_at_a_crash_is_lost_and_never_repeated_by_itself() {
    let mut world = World::with(STRAIGHT).await;
    world.plant("wait-test");
    let commit = world.merge(1, "feat: sell shoes").await;
    world.until_planted("waiting-test").await;
    world.die().await;
    world.unplant("waiting-test");
    world.wake().await;
    let said = world.status(&commit, "liftlock/test", "error").await;
    assert!(said.contains("lost"), "{said}");
    let comment = world.hears(1).await;
    assert!(comment.contains("`/retry test`"), "{comment}");
    world.settled().await;
    assert!(!world.target().join("waiting-test").exists(), "it was not begun again");
    world.unplant("wait-test");
    world.say(1, ANA, "/retry test").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    world.finish().await;
}

/// A build has no effect outside: it is simply built again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t57_a_build_that_was_running_at_a_crash_is_built_again() {
    let slow = STRAIGHT.replace("build: sh build.sh", "build: ['sh build.sh', 'sleep 2']");
    let mut world = World::with(&slow).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    world
        .until("the build runs", |effects| {
            effects.iter().any(|e| e.kind == "build" && e.state == EffectState::Leased)
        })
        .await;
    world.die().await;
    world.wake().await;
    assert!(world.hears(1).await.contains("is live in prod"));
    world.status(&commit, "liftlock/prod", "success").await;
    assert_eq!(world.live().len(), 2);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t57_a_restart_between_stages_goes_on_where_it_was() {
    let mut world = World::with(TWO_STAGES).await;
    world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    world.settled().await;
    world.sleep().await;
    world.wake().await;
    world.say(1, ANA, "/approve prod").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    world.settled().await;
    assert_eq!(world.live().len(), 2, "nothing ran twice");
    world.finish().await;
}
