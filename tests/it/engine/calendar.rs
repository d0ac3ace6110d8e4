//! Windows and freezes in the whole engine: timers that outlive a restart, and what people do about a closed window.

use liftlock::clock;
use liftlock::domain::time::{Span, Timestamp};
use liftlock::domain::window::Zone;
use liftlock::store::effect::EffectState;

use super::tree::TWO_STAGES;
use super::world::{ANA, BO, REPO, World};

/// The day after tomorrow: its word in manifests, and when it begins.
fn day_after_tomorrow() -> (String, Timestamp) {
    let day = clock::now().plus(Span::days(2));
    let date = Zone::utc().shown(day).split(' ').nth(1).unwrap().to_owned();
    let word = Zone::utc().shown(day).split(' ').next().unwrap().to_lowercase();
    (word, Timestamp::parse(&format!("{date}T00:00:00Z")).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e21_t31_a_window_waits_through_a_restart_and_an_admin_may_pass_it() {
    let (word, opens) = day_after_tomorrow();
    let windows =
        format!("approval: 1, windows: {{tz: UTC, allow: [{{days: {word}, from: 00:00, to: 24:00}}]}}");
    let mut world = World::with(&TWO_STAGES.replace("approval: 1", &windows)).await;
    world.github.state().repos.get_mut(&REPO).unwrap().roles.insert(ANA, ("admin", "admin"));
    let commit = world.merge(1, "feat: sell shoes").await;
    // It waits for people and for the calendar; people are asked now.
    assert!(world.hears(1).await.contains("is ready for prod"));
    world.say(1, BO, "/approve prod").await;
    world.settled().await;
    let said = world.status(&commit, "liftlock/prod", "pending").await;
    assert!(said.contains("window closed, opens "), "{said}");
    for _ in 0..2 {
        let wakes: Vec<_> = world.effects().await.into_iter().filter(|e| e.kind == "wake").collect();
        assert!(wakes.iter().any(|e| e.state == EffectState::Ready && e.run_after == opens), "{wakes:?}");
        world.sleep().await;
        world.wake().await;
    }
    world.say(1, BO, "/override prod window -- customer is down, see #12").await;
    assert!(world.hears(1).await.contains("only an admin overrides in prod"));
    world.say(1, ANA, "/override prod window -- customer is down, see #12").await;
    assert!(world.hears(1).await.contains("⚠️ **ana overrode \"window\" for v0.1.0-rc.1 in prod"));
    assert!(world.hears(1).await.contains("is live in prod"));
    let said = world.status(&commit, "liftlock/prod", "success").await;
    assert!(said.contains("window overridden by ana"), "{said}");
    world.settled().await;
    assert!(world.sticky().contains("⚠️ prod: window overridden by ana"), "{}", world.sticky());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e21_a_freeze_stops_everything_until_it_is_lifted() {
    let mut world = World::with(TWO_STAGES).await;
    let first = world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is ready for prod"));
    world.say(1, BO, "/freeze * -- bad certificate").await;
    world.say(1, BO, "/approve prod").await;
    world.settled().await;
    let said = world.status(&first, "liftlock/prod", "pending").await;
    assert!(said.contains("everything is frozen by bo"), "{said}");
    world.sleep().await;
    world.wake().await;
    let second = world.merge(2, "feat: sell hats").await;
    world.settled().await;
    let said = world.status(&second, "liftlock/test", "pending").await;
    assert!(said.contains("everything is frozen by bo"), "{said}");
    assert_eq!(world.live(), ["test v0.1.0-rc.1"]);
    world.say(2, ANA, "/unfreeze *").await;
    world.until_deployed(3).await;
    world.drain().await;
    world.finish().await;
}
