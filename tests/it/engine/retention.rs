//! What need not be kept is deleted, and nothing else.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use liftlock::clock;
use liftlock::domain::evidence::{Evidence, files};
use liftlock::domain::retention::Retention;
use liftlock::domain::time::Span;

use super::tree::STRAIGHT;
use super::world::World;

/// The stored files, by name.
fn blobs(world: &World) -> BTreeSet<String> {
    let folder = std::fs::read_dir(world.data().join("artifacts/blobs/sha256")).unwrap();
    folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn hex(kept: &Evidence) -> String {
    kept.digest.hex().to_owned()
}

/// Makes all stored files look as old as they are after some days.
fn age(world: &World) {
    let now = Duration::from_millis(clock::now().0.try_into().unwrap());
    let long_ago = SystemTime::UNIX_EPOCH + now - Duration::from_hours(48);
    for name in blobs(world) {
        let path = world.data().join("artifacts/blobs/sha256").join(name);
        std::fs::File::open(path).unwrap().set_modified(long_ago).unwrap();
    }
}

/// The files that are stored of it: its artifact, and the lock files of the tree in which it was built.
async fn released(world: &mut World, number: u64, text: &str) -> BTreeSet<String> {
    let lock = format!("six==1.{number}\n");
    world
        .merge_files(number, &[("src/app.txt", text), ("requirements.txt", &lock)], "feat: another shop")
        .await;
    assert!(world.hears(number).await.contains("is live in prod"));
    let state = world.state("shop").await;
    let release = state.releases.values().next_back().unwrap();
    let stored: BTreeSet<String> = release.stored().map(|digest| digest.hex().to_owned()).collect();
    assert_eq!((stored.len(), release.locks.is_some()), (2, true));
    stored
}

async fn kept(world: &World) -> Vec<String> {
    let judged = world.service().judge_retention().await.unwrap();
    judged.iter().map(|j| j.kept.as_ref().map_or("due".to_owned(), ToString::to_string)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d04_e24_bytes_go_with_the_last_release_that_has_them() {
    let mut world = World::with(STRAIGHT).await;
    world.retention = Some(Retention { days: 0, keep: 1, failed_days: 0 });
    world.sleep().await;
    world.wake().await;
    let first = released(&mut world, 1, "a").await;
    let second = released(&mut world, 2, "b").await;
    let third = released(&mut world, 3, "c").await;
    let fourth = released(&mut world, 4, "d").await;
    assert_eq!(
        kept(&world).await,
        ["due", "a rollback of prod may go to it", "a rollback of prod may go to it", "it is live in prod"]
    );
    // What was stored just now may be somebody's who has not said so yet.
    let swept = world.service().apply_retention("ana").await.unwrap();
    assert_eq!((swept.releases.len(), swept.blobs), (1, 0));
    assert!(blobs(&world).is_superset(&first));
    let laid_out = |no: u32| world.data().join(format!("artifacts/releases/github-12/shop/{no}")).exists();
    assert_eq!((laid_out(1), laid_out(2)), (false, true), "others read what is kept");
    age(&world);
    let swept = world.service().apply_retention("ana").await.unwrap();
    assert_eq!((swept.releases.len(), swept.blobs), (0, 2), "it goes on where it stopped");
    // What was signed stays, also of what is gone.
    world.settled().await;
    let state = world.state("shop").await;
    let signed: BTreeSet<String> = state.releases.values().flat_map(|r| files(r)).map(hex).collect();
    assert!(signed.len() > 20, "{signed:?}");
    assert!(blobs(&world).is_superset(&signed));
    let left: BTreeSet<String> = blobs(&world).difference(&signed).cloned().collect();
    assert_eq!(left, [second, third, fourth].into_iter().flatten().collect());
    // The page says so, the log has it with who, and a rollback finds what is left.
    assert!(state.releases.values().next().unwrap().retired.is_some());
    let log = world.said_and_kept().await;
    assert!(log.contains("\"retired\"") || log.contains("retired"), "{log}");
    assert_eq!(state.rollback_targets(&"prod".parse().unwrap(), None).len(), 2);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_deliveries_are_forgotten_after_a_month_by_the_daily_round() {
    let mut world = World::with(STRAIGHT).await;
    world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    world.settled().await;
    let kept = async |world: &World| {
        let all = world.store().deliveries(100, None).await.unwrap();
        let mut kept = 0;
        for delivery in &all {
            kept += usize::from(world.store().delivery(delivery.seq).await.unwrap().body.is_some());
        }
        (kept, all.len())
    };
    world.service().reconcile_once().await;
    let (bodies, rows) = kept(&world).await;
    assert!(bodies == rows && rows > 0);
    world.pass(Span::days(29)).await;
    world.service().reconcile_once().await;
    assert_eq!(kept(&world).await, (rows, rows));
    world.pass(Span::days(2)).await;
    world.service().reconcile_once().await;
    assert_eq!(kept(&world).await, (0, rows));
    world.finish().await;
}
