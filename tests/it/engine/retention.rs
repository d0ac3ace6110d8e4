//! What need not be kept is deleted, and nothing else.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, SystemTime};

use liftlock::clock;
use liftlock::domain::evidence::{Evidence, files};
use liftlock::domain::retention::Retention;
use liftlock::domain::time::Span;
use liftlock::store::stream::EventFilter;

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

/// What `liftlock retention` prints.
fn printed(server: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_liftlock"));
    let done =
        command.env_clear().arg("retention").args(arguments).args(["--server", server]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d04_e24_the_command_says_what_is_due_and_deletes_it_with_a_tombstone() {
    let mut world = World::with(&format!("{STRAIGHT}retention: {{days: 1, keep: 1}}\n")).await;
    let first = released(&mut world, 1, "a").await;
    let second = released(&mut world, 2, "b").await;
    released(&mut world, 3, "c").await;
    released(&mut world, 4, "d").await;
    let server = world.opens().await;
    let young = printed(&server, &[]);
    assert!(young.lines().next().unwrap().contains("it is too young before"), "{young}");
    assert!(young.lines().all(|line| line.starts_with("kept  github:12/shop v0.1.0-rc.")), "{young}");

    world.pass(Span::days(2)).await;
    let judged = printed(&server, &[]);
    let lines: Vec<&str> = judged.lines().collect();
    assert!(
        lines[0].starts_with("due   github:12/shop v0.1.0-rc.1 ") && lines[0].ends_with(" bytes"),
        "{judged}"
    );
    for (line, why) in
        lines[1..].iter().zip(["a rollback of prod may go to it", "a rollback", "it is live in prod"])
    {
        assert!(line.starts_with("kept  github:12/shop ") && line.contains(why), "{judged}");
    }
    assert_eq!((lines.len(), printed(&server, &["--dry-run"])), (4, judged.clone()));
    assert!(blobs(&world).is_superset(&first), "it only said so");

    age(&world);
    let applied = printed(&server, &["--apply"]);
    let (told, named) = applied.split_once('\n').unwrap();
    assert!(told.starts_with("1 releases are not kept any longer; 2 files with "), "{applied}");
    assert_eq!(named, "  github:12/shop v0.1.0-rc.1\n");
    assert!(blobs(&world).is_disjoint(&first) && blobs(&world).is_superset(&second));
    let again = printed(&server, &["--apply"]);
    assert_eq!(again, "0 releases are not kept any longer; 0 files with 0 bytes deleted\n");
    let left: serde_json::Value = serde_json::from_str(&printed(&server, &["--json"])).unwrap();
    let left: Vec<u64> =
        left["releases"].as_array().unwrap().iter().map(|line| line["no"].as_u64().unwrap()).collect();
    assert_eq!(left, [2, 3, 4]);

    // What is left of it is a fact: who deleted what, by which rule, and what the release was made of.
    let filter = EventFilter { kind: Some("retired".to_owned()), ..EventFilter::default() };
    let events = world.store().events(&filter, 0, 10).await.unwrap();
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((event.actor.as_str(), event.release), ("loopback", Some(1)));
    let data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
    let gone = data["digests"].as_array().unwrap().iter().map(|digest| digest.as_str().unwrap());
    let gone: BTreeSet<String> = gone.map(|digest| digest.trim_start_matches("sha256:").to_owned()).collect();
    assert_eq!(gone, first);
    assert_eq!(data["rule"], serde_json::json!({"days": 1, "keep": 1, "failed_days": 1}));
    let state = world.state("shop").await;
    let release = state.releases.values().next().unwrap();
    assert!(release.retired.is_some() && first.contains(release.artifacts[0].digest.hex()));
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
