//! What the database stands on: a lock of somebody else, a full disk, a second server, a newer schema.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use liftlock::clock;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::drive::{Keeper, release_of, until, wrong};
use super::evidence::{Reader, inside, manual};
use super::rig::{Door, PATIENCE, Plan, Push, ROAD, Seen, Server, Yard, deliver, request, write};
use super::{one, plan, yard};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_locked_by_another_program_is_503_and_passes() {
    let (yard, door) = (yard(&["hello"], "5s"), Door::new());
    let server = yard.serve(&door);
    let first = one(&yard, &door);
    let mut keeper = Keeper::new(&[first]);
    let mut eyes = yard.eyes().await;
    keeper.finish(&yard, &door, &server, &mut eyes).await;
    let before = eyes.look().await.deliveries.len();

    let mut other = SqliteConnectOptions::new().filename(yard.database()).connect().await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
    let push = yard.push("hello", "fix: while it is locked", "page");
    let begun = clock::monotonic();
    let status = deliver(&door, &push.delivery()).unwrap();
    assert_eq!(status, 503, "{}", server.log_tail());
    assert!(begun.elapsed().as_secs() < 10, "within the limit of an answer");
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();

    let seen = eyes.look().await;
    assert_eq!(seen.deliveries.len(), before, "what was refused left nothing behind");
    assert_eq!(deliver(&door, &push.delivery()).unwrap(), 202);
    keeper.pushes.push(push);
    let seen = keeper.finish(&yard, &door, &server, &mut eyes).await;
    let found = wrong(&yard, &seen, &keeper);
    assert!(found.is_empty(), "{found:#?}\n{}", seen.shown());
}

/// A disk of a few megabytes, unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    /// Only root may mount; for everybody else this fails, because a test that is skipped shows nothing.
    fn mount(at: &Path) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"]).arg(at).status();
        assert!(done.is_ok_and(|status| status.success()), "mounting needs root: run ./test as root");
        Self(at.to_owned())
    }

    fn grow(&self) {
        let done = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&self.0).status().unwrap();
        assert!(done.success(), "the disk grows");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(&self.0).status().unwrap();
    }
}

/// Fills the inbox until the door says no; how many it took.
fn fill(yard: &Yard, door: &Door, server: &mut Server, push: &Push) -> usize {
    let begun = clock::monotonic();
    let body = "x".repeat(200_000);
    for taken in 0.. {
        let mut delivery = push.delivery();
        delivery.guid = format!("filler-{taken}");
        delivery.event = "filler";
        // Text that no compression makes small.
        let noise: String = body.bytes().enumerate().map(|(i, _)| noise(taken * 200_000 + i)).collect();
        delivery.body = serde_json::json!({ "repository": "hello", "noise": noise }).to_string();
        let status = deliver(door, &delivery).unwrap();
        assert!(server.ended().is_none(), "the process stays\n{}", server.log_tail());
        if status == 503 {
            return taken;
        }
        assert_eq!(status, 202);
        assert!(begun.elapsed() < PATIENCE, "{} never fills", yard.data().display());
    }
    0
}

/// A printable character that does not follow from the one before.
fn noise(index: usize) -> char {
    let mixed = u64::try_from(index).unwrap().wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    char::from(b'0' + u8::try_from((mixed >> 40) % 64).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_503_and_everything_goes_on_when_it_has_grown() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("disk");
    let disk = Disk::mount(&at);
    let mut plan = plan(&["hello"], "5s");
    plan.data = Some(at);
    let (yard, door) = (Yard::new(plan), Door::new());
    let mut server = yard.serve(&door);
    let push = yard.push("hello", "feat: say hello", "page");
    let taken = fill(&yard, &door, &mut server, &push);
    assert!(taken > 0, "some fit");
    // A delivery so much smaller than a filler may still find room.
    assert!([202, 503].contains(&deliver(&door, &push.delivery()).unwrap()));
    assert_eq!(request(&door, "GET", "/healthz", &[], "").unwrap().0, 200, "the process lives");
    disk.grow();
    let begun = clock::monotonic();
    while ![200, 202].contains(&deliver(&door, &push.delivery()).unwrap()) {
        assert!(begun.elapsed() < PATIENCE, "it does not go on\n{}", server.log_tail());
    }
    let mut keeper = Keeper::new(std::slice::from_ref(&push));
    let mut eyes = yard.eyes().await;
    let settled = |d: &super::rig::Received| matches!(d.state.as_str(), "done" | "ignored" | "poison");
    let seen =
        until("all is read", (&yard, &[&server]), &mut eyes, |s| s.deliveries.iter().all(settled)).await;
    let fillers = seen.deliveries.iter().filter(|d| d.guid.starts_with("filler")).count();
    assert_eq!(fillers, taken, "what was acknowledged is there");
    let seen = keeper.finish(&yard, &door, &server, &mut eyes).await;
    let mut found = wrong(&yard, &seen, &keeper);
    found.retain(|line| !line.contains("filler"));
    assert!(found.is_empty(), "{found:#?}\n{}", seen.shown());
    server.kill();
    yard.verify(&door);
}

/// Others fill the disk to its last byte.
fn stuff(yard: &Yard) -> PathBuf {
    let path = yard.data().join("of-others");
    let mut file = File::create(&path).unwrap();
    for size in [64 << 10, 4 << 10, 1] {
        while file.write_all(&vec![b'x'; size]).is_ok() {}
    }
    path
}

/// A stage is at work when the disk is full, and for longer than its lease: it beats, ends and is written down by the
/// room that was kept for that, and nothing new is taken in or begun until there is room again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_when_the_disk_is_full_ends_by_the_room_that_was_kept_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("disk");
    let disk = Disk::mount(&at);
    let (yard, door) =
        (Yard::new(Plan { data: Some(at), rules: &ROAD, ..plan(&["hello"], "2s") }), Door::new());
    // Left by a process that was ended before it had filled it: no room is kept by that.
    File::create(yard.data().join("liftlock.db.reserve")).unwrap();
    let mut server = yard.serve(&door);
    let reserve = yard.data().join("liftlock.db.reserve");
    assert!(std::fs::metadata(&reserve).unwrap().len() > 0, "{}", server.log_tail());
    write(&yard.hold("test"), "");
    let first = one(&yard, &door);
    let mut keeper = Keeper::new(std::slice::from_ref(&first));
    let mut eyes = yard.eyes().await;
    until("the stage is at work", (&yard, &[&server]), &mut eyes, |_| !yard.runs().is_empty()).await;

    let others = stuff(&yard);
    until("the room is let go", (&yard, &[&server]), &mut eyes, |_| !reserve.exists()).await;
    let push = yard.push("hello", "fix: while the disk is full", "page");
    assert_eq!(deliver(&door, &push.delivery()).unwrap(), 503, "{}", server.log_tail());
    assert_eq!(request(&door, "GET", "/readyz", &[], "").unwrap().0, 503);
    let told = "the disk of the database is full: what runs is still written down";
    assert!(server.log().contains(told), "{}", server.log_tail());
    // Longer than the lease, so that only one that beats still has it.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    std::fs::remove_file(yard.hold("test")).unwrap();
    let no = release_of(&eyes.look().await, &first).unwrap();
    until("the stage has ended", (&yard, &[&server]), &mut eyes, |seen| {
        seen.run("hello", no, "test").is_some_and(|run| run.1 == "succeeded")
    })
    .await;
    // Long enough for a worker to have looked again and again.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let next = eyes.look().await.run("hello", no, "prod").map(|run| run.1);
    assert!(yard.live("hello", "prod").is_empty(), "the next stage has begun: {next:?}");
    assert!(next.is_none_or(|state| ["pending", "queued", "ready"].contains(&state.as_str())));
    assert!(!reserve.exists() && others.exists(), "the disk is full all the time");

    disk.grow();
    until("the room is kept again", (&yard, &[&server]), &mut eyes, |_| {
        // Only what is asked of it makes the server look.
        deliver(&door, &push.delivery()).unwrap();
        reserve.exists()
    })
    .await;
    std::fs::remove_file(others).unwrap();
    keeper.pushes.push(push);
    let seen = keeper.finish(&yard, &door, &server, &mut eyes).await;
    let found = wrong(&yard, &seen, &keeper);
    assert!(found.is_empty(), "{found:#?}\n{}", seen.shown());
    server.kill();
    yard.verify(&door);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t56_a_second_server_on_the_same_file_is_refused() {
    let (yard, door) = (yard(&["hello"], "5s"), Door::new());
    let first = yard.serve(&door);
    let other = Door::new();
    let mut second = yard.start(&other, &["serve"]);
    assert_eq!(second.wait().code(), Some(1));
    let said = second.log();
    assert!(said.contains("another liftlock uses"), "{said}");
    assert!(said.contains("use PostgreSQL for more than one process"), "{said}");
    one(&yard, &door);
    let mut eyes = yard.eyes().await;
    until("the first goes on", (&yard, &[&first]), &mut eyes, Seen::idle).await;
}

/// What only reads needs no lock, and a database that nobody has made is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t58_the_log_is_checked_and_exported_beside_a_running_server() {
    let (yard, door) = (yard(&["hello"], "5s"), Door::new());
    let mut nothing = yard.start(&door, &["audit", "verify"]);
    assert_eq!(nothing.wait().code(), Some(1));
    assert!(nothing.log().contains("there is no database"), "{}", nothing.log());
    let mut server = yard.serve(&door);
    let push = one(&yard, &door);
    let mut keeper = Keeper::new(&[push]);
    let mut eyes = yard.eyes().await;
    keeper.finish(&yard, &door, &server, &mut eyes).await;
    let folder = tempfile::tempdir().unwrap();
    let reader = Reader { folder: folder.path(), server: String::new(), file: String::new() };
    let config = yard.path(&format!("liftlock-{}.toml", door.port));
    let asked = |what: &str| format!("LIFTLOCK_CONFIG={} liftlock {what}", config.display());
    assert!(reader.passes(&asked("audit verify")).starts_with("ok: "));
    let count = eyes.look().await.events.len();
    for what in ["audit export", "events --json"] {
        assert_eq!(reader.passes(&asked(what)).lines().count(), count, "{what}");
    }
    assert!(reader.passes(&asked("audit deployments")).lines().count() > 2);
    let said = reader.run(&asked("rebuild"));
    assert!(String::from_utf8_lossy(&said.stderr).contains("another liftlock uses"), "{said:?}");
    server.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_a_newer_version_is_refused() {
    let (yard, door) = (yard(&["hello"], "5s"), Door::new());
    let mut server = yard.serve(&door);
    server.kill();
    let mut writer = SqliteConnectOptions::new().filename(yard.database()).connect().await.unwrap();
    sqlx::query("PRAGMA user_version = 9000").execute(&mut writer).await.unwrap();
    writer.close().await.unwrap();
    let mut refused = yard.start(&door, &["serve"]);
    assert_eq!(refused.wait().code(), Some(1));
    assert!(refused.log().contains("newer"), "{}", refused.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t58_an_event_that_was_changed_by_hand_is_found_by_us_and_in_an_export_by_others() {
    let (yard, door) = (yard(&["hello"], "5s"), Door::new());
    let mut server = yard.serve(&door);
    let push = one(&yard, &door);
    let mut keeper = Keeper::new(&[push]);
    let mut eyes = yard.eyes().await;
    keeper.finish(&yard, &door, &server, &mut eyes).await;
    server.kill();
    yard.verify(&door);
    let folder = tempfile::tempdir().unwrap();
    let reader = Reader { folder: folder.path(), server: String::new(), file: String::new() };
    let config = yard.path(&format!("liftlock-{}.toml", door.port));
    let export = format!("export LIFTLOCK_CONFIG={}\n{}", config.display(), manual("audit export"));
    let (hashes, order, earlier) = (manual("hashed.jq"), manual("group_by"), manual("earlier.jsonl"));
    reader.passes(&export);
    let count: usize = reader.passes("jq -es 'length' log.jsonl").trim().parse().unwrap();
    assert_eq!(count, eyes.look().await.events.len());
    for command in [hashes, order, "cp log.jsonl earlier.jsonl", earlier] {
        reader.passes(command);
    }
    reader.notices("log.jsonl", inside("\"actor\":\"", 0), hashes);
    assert!(!reader.run(&format!("sed -i 3d log.jsonl\n{order}")).status.success(), "one is missing");
    assert!(!reader.run(earlier).status.success(), "one is missing that was there");

    let mut writer = SqliteConnectOptions::new().filename(yard.database()).connect().await.unwrap();
    let forge = "DROP TRIGGER events_no_update; \
                 UPDATE events SET data = replace(data, '\"login\":\"ana\"', '\"login\":\"bob\"') WHERE kind = 'approved'";
    sqlx::raw_sql(forge).execute(&mut writer).await.unwrap();
    writer.close().await.unwrap();
    let mut audit = yard.start(&door, &["audit", "verify"]);
    assert_eq!(audit.wait().code(), Some(1));
    assert!(audit.log().contains("broken"), "{}", audit.log());
    reader.passes(&export);
    let said = reader.run(hashes);
    assert!(!said.status.success() && said.stdout.starts_with(b"changed: "), "{said:?}");
}
