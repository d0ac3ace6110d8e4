//! The commands, as people use them.

use hyper::Method;

use super::tree::{STRAIGHT, TWO_STAGES};
use super::world::{ANA, BO, DEV, EVE, REPO, World};
use crate::github::Spot;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t24_a_failed_stage_is_retried_with_the_same_bytes() {
    let mut world = World::with(STRAIGHT).await;
    world.plant("fail-test");
    let commit = world.merge(1, "feat: sell shoes").await;
    let failed = world.hears(1).await;
    assert!(failed.contains("failed in test") && failed.contains("it is broken"), "{failed}");
    assert!(failed.contains("`/retry test`"), "{failed}");
    assert!(world.status(&commit, "liftlock/test", "failure").await.contains("exit code 3"));
    world.unplant("fail-test");
    world.say(1, ANA, "/retry test").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    let deployed = world.deployed();
    let [first, again, prod] = deployed.as_slice() else { panic!("{deployed:?}") };
    assert_eq!(first, again, "the same version, commit and digest");
    assert!(prod.starts_with("deploy prod"));
    world.finish().await;
}

/// `/retry` is no way round a newer release: the older one stays where it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t24_a_retry_does_not_put_an_older_release_over_a_newer_one() {
    let mut world = World::with(STRAIGHT).await;
    world.plant("fail-prod");
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("failed in prod"));
    world.unplant("fail-prod");
    world.merge(2, "feat: sell hats").await;
    assert!(world.hears(2).await.contains("is live in prod"));
    world.say(1, ANA, "/retry prod").await;
    world.drain().await;
    assert_eq!(world.live().last().unwrap(), "prod v0.1.0-rc.2");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e24_t24_a_rollback_goes_to_what_was_live_before_and_nowhere_else() {
    let mut world = World::with(STRAIGHT).await;
    world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    world.plant("fail-prod");
    world.merge(2, "feat: sell hats").await;
    let failed = world.hears(2).await;
    assert!(failed.contains("failed in prod"), "{failed}");
    assert!(failed.contains("`/rollback prod -- reason`"), "{failed}");
    world.unplant("fail-prod");
    world.say(2, ANA, "/rollback prod v9.9.9 -- nobody knows it").await;
    assert!(world.hears(2).await.contains("v9.9.9"));
    world.say(2, ANA, "/rollback prod v0.1.0-rc.1 -- hats do not fit").await;
    world.settled().await;
    assert_eq!(world.live().last().unwrap(), "prod v0.1.0-rc.1");
    let state = world.state("shop").await;
    let digests: Vec<String> =
        state.releases.values().map(|r| r.shown_digest().unwrap().to_string()).collect();
    assert!(world.deployed().last().unwrap().contains(&digests[0]));
    world.drain().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_stage_is_cancelled() {
    let mut world = World::with(STRAIGHT).await;
    world.plant("wait-test");
    let commit = world.merge(1, "feat: sell shoes").await;
    world.until_planted("waiting-test").await;
    world.say_now(1, ANA, "/cancel test").await;
    world.status(&commit, "liftlock/test", "error").await;
    world.settled().await;
    assert_eq!(world.live(), Vec::<String>::new());
    world.drain().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_stage_waits_and_a_released_one_goes_on() {
    let mut world = World::with(TWO_STAGES).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    world.say(1, BO, "/hold prod -- db migration").await;
    world.say(1, ANA, "/approve prod").await;
    world.settled().await;
    assert!(world.status(&commit, "liftlock/prod", "pending").await.contains("hold"));
    assert_eq!(world.live().len(), 1);
    world.say(1, BO, "/unhold prod").await;
    world.status(&commit, "liftlock/prod", "success").await;
    world.drain().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_build_is_built_again_on_request() {
    let mut world = World::with(STRAIGHT).await;
    let commit = world.merge_files(1, &[("src/broken.txt", "x")], "feat: sell shoes").await;
    assert!(world.status(&commit, "liftlock/build", "failure").await.contains("exit code 1"));
    world.settled().await;
    world.say(1, ANA, "/retry build").await;
    world.settled().await;
    assert!(world.log("github:12/shop/1/build/2").await.contains("built v0.1.0"));
    assert_eq!(world.light(&commit, "liftlock/build").unwrap(), "failure");
    assert_eq!(world.live(), Vec::<String>::new());
    world.drain().await;
    world.finish().await;
}

/// A status that was lost on the way is sent again when somebody asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t54_recheck_sends_the_statuses_again() {
    let mut world = World::with(STRAIGHT).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    world.settled().await;
    world.github.state().repos.get_mut(&REPO).unwrap().statuses.clear();
    world.say(1, ANA, "/recheck").await;
    world.status(&commit, "liftlock/build", "success").await;
    world.status(&commit, "liftlock/test", "success").await;
    world.status(&commit, "liftlock/prod", "success").await;
    world.drain().await;
    world.finish().await;
}

/// Says the same so often, and gives how many answers in words that gets.
async fn answers(world: &World, person: u64, text: &str, times: usize) -> usize {
    world.drain().await;
    for _ in 0..times {
        world.say_now(1, person, text).await;
    }
    world.drain().await.len()
}

/// Badly written commands cost what well written ones do: a stranger gets one answer, and nobody gets many.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t14_t22_badly_written_commands_are_answered_within_the_same_limits() {
    let mut world = World::with(TWO_STAGES).await;
    world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    let last = world.write(&Spot::Thread(1), EVE, "hello");
    assert_eq!(answers(&world, EVE, "/approve", 30).await, 1);
    assert_eq!(answers(&world, EVE, "as I said:\n/approve prod", 3).await, 0);
    assert_eq!(answers(&world, EVE, "/start nothing", 3).await, 0);
    // The budget of a thread is everybody's, whoever used it up.
    assert_eq!(answers(&world, ANA, "/approve", 10).await, 4);
    let strangers = world.github.state().repos[&REPO].comments.keys().filter(|id| **id > last).count();
    assert!(strangers > 40, "all of them are there");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t14_a_budget_survives_a_restart() {
    let mut world = World::with(TWO_STAGES).await;
    world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    assert_eq!(answers(&world, EVE, "/approve", 2).await, 1);
    world.sleep().await;
    world.wake().await;
    assert_eq!(answers(&world, EVE, "/approve", 2).await, 0);
    world.finish().await;
}

/// What stands in the first code span of an answer.
fn pasted(answer: &str) -> String {
    answer.split('`').nth(1).unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// The line of the refusal works as it stands, before the stage's turn and when it has come (COMMANDS §5).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bare_approve_is_answered_with_the_line_to_paste() {
    let mut world = World::with(TWO_STAGES).await;
    world.plant("wait-test");
    let first = world.merge(1, "feat: sell shoes").await;
    world.until_planted("waiting-test").await;
    world.say_now(1, ANA, "/approve").await;
    let early = world.hears(1).await;
    assert!(early.contains("ahead of its turn"), "{early}");
    let approval = world.say_now(1, ANA, &pasted(&early)).await;
    world.until("the approval counts", |_| world.reactions(approval) == ["rocket"]).await;
    assert_eq!(world.live(), Vec::<String>::new());
    world.unplant("wait-test");
    world.status(&first, "liftlock/prod", "success").await;

    let second = world.merge(2, "feat: sell hats").await;
    assert!(world.hears(2).await.contains("ready for prod"));
    world.say(2, ANA, "/approve").await;
    let waiting = world.hears(2).await;
    assert!(waiting.contains("Waiting now"), "{waiting}");
    world.say(2, ANA, &pasted(&waiting)).await;
    world.status(&second, "liftlock/prod", "success").await;
    world.drain().await;
    world.finish().await;
}

/// Everybody may read a public repository, so that reading is no right to a preview there (COMMANDS §1).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_takes_write_where_everybody_may_read() {
    let mut world = World::with(TWO_STAGES).await;
    world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    world.say(1, EVE, "/preview prod").await;
    let refused = world.hears(1).await;
    assert!(refused.contains("needs the write role; yours is read"), "{refused}");
    world.say(1, DEV, "/preview prod").await;
    assert!(world.hears(1).await.contains("v0.1.0-rc.1 in prod"));
    world.github.state().repos.get_mut(&REPO).unwrap().private = true;
    world.say(1, EVE, "/preview prod v0.1.0-rc.1").await;
    assert!(world.hears(1).await.contains("v0.1.0-rc.1 in prod"));
    world.finish().await;
}

/// Most comments are talk: the host is asked nothing for them, and an edit in between is still seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn talk_costs_the_host_nothing_and_what_counts_is_what_is_read_back() {
    let mut world = World::with(TWO_STAGES).await;
    world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    world.settled().await;
    let before = world.github.requests().len();
    for _ in 0..3 {
        world.say_now(1, ANA, "Looks good to me, I would ship it.").await;
    }
    world.settled().await;
    assert_eq!(world.github.requests().len(), before, "nothing was asked");

    // The delivery says less than the comment does, and the other way round.
    for (told, shown) in [("/approve prod", "let us wait"), ("let us wait", "/approve prod")] {
        let comment = world.write(&Spot::Thread(1), ANA, told);
        let hook = world.github.state().comment_event(REPO, comment, "created");
        world.github.state().repos.get_mut(&REPO).unwrap().comments.get_mut(&comment).unwrap().body =
            shown.to_owned();
        assert_eq!(world.deliver(&hook).await, 202);
        world.settled().await;
        assert_eq!(world.live().len(), 1, "{told}");
    }
    assert_eq!(
        world.github.count(&Method::GET, "/issues/comments/"),
        1,
        "only what holds a command is read back"
    );
    world.finish().await;
}
