//! Power cuts: of each file in the data folder nothing is left but what was synced, and what was answered for is there.
//!
//! Names of files are kept: a disk that loses those of a folder that was not synced is not played here.

use std::fs::{File, Metadata};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use liftlock::clock;
use liftlock::domain::name::Digest;

use super::drive::{Keeper, release_of, until, wrong};
use super::rig::{Door, PATIENCE, Seen, Yard, deliver};
use super::yard;

/// What is answered for in the moments before the power goes.
const FILLERS: usize = 4;

/// The files below a folder that bytes are in.
fn files(folder: &Path, found: &mut Vec<(PathBuf, Metadata)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let (path, about) = entry.map(|e| (e.path(), e.metadata().unwrap())).unwrap();
        if about.is_dir() {
            files(&path, found);
        } else if about.is_file() {
            found.push((path, about));
        }
    }
}

/// Ends who the server has left behind at work in its folder: the power goes for all of them at once.
fn end_all(yard: &Yard) {
    let begun = clock::monotonic();
    while begun.elapsed() < PATIENCE {
        let there = |process: std::io::Result<std::fs::DirEntry>| {
            let process = process.ok()?;
            let works_in = std::fs::read_link(process.path().join("cwd")).ok()?;
            works_in.starts_with(yard.data()).then(|| process.file_name())
        };
        let left: Vec<_> = std::fs::read_dir("/proc").unwrap().filter_map(there).collect();
        if left.is_empty() {
            return;
        }
        // One that has ended meanwhile is no failure.
        drop(Command::new("kill").arg("-KILL").args(left).output().unwrap());
    }
    panic!("somebody is at work in {} who cannot be ended", yard.data().display());
}

/// Nobody writes any more: every file becomes what it was when it was last synced, and empty if it never was.
fn cut(yard: &Yard) {
    end_all(yard);
    let mut all = Vec::new();
    files(&yard.data(), &mut all);
    for (path, about) in all {
        let made = about.created().unwrap().duration_since(UNIX_EPOCH).unwrap();
        let image = format!("{}-{}.{:09}", about.ino(), made.as_secs(), made.subsec_nanos());
        let bytes = std::fs::read(yard.images().join(image)).unwrap_or_default();
        File::create(&path).and_then(|mut file| file.write_all(&bytes)).unwrap();
    }
    // What is only in memory: the next one to open the database makes it anew.
    std::fs::remove_file(yard.database().with_extension("db-shm")).unwrap();
}

/// Everything that was sealed is whole.
fn whole(yard: &Yard, seen: &Seen) {
    for e in seen.events.iter().filter(|e| e.kind == "build_finished") {
        for sealed in e.data["outcome"]["sealed"].as_array().into_iter().flatten() {
            let digest: Digest = sealed["digest"].as_str().unwrap().parse().unwrap();
            let blob = yard.data().join("artifacts/blobs/sha256").join(digest.hex());
            assert_eq!(Digest::of_bytes(&std::fs::read(blob).unwrap()), digest, "{e:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t11_t57_what_was_answered_for_before_a_power_cut_is_there_after_it() {
    let (yard, door) = (yard(&["hello"], "5s"), Door::new());
    let disk = yard.disk(None);
    let mut server = yard.serve_by(&door, &disk);
    let mut keeper = Keeper::new(&[]);
    let places = ["", "release_created", "build_started", "build_finished", "offer_shown", "approved"];
    for (round, kind) in places.into_iter().enumerate() {
        let push = yard.push("hello", &format!("feat: number {round}"), "page");
        let mut told = vec![push.delivery()];
        assert_eq!(deliver(&door, &told[0]).unwrap(), 202);
        keeper.pushes.push(push.clone());
        let mut eyes = yard.eyes().await;
        let before = until("the place is reached", (&yard, &[&server]), &mut eyes, |seen| {
            keeper.act(seen, &door);
            let here = |no| seen.events.iter().any(|e| e.release == no && e.kind == kind);
            kind.is_empty() || release_of(seen, &push).is_some_and(here)
        })
        .await;
        for filler in 0..FILLERS {
            let mut more = push.delivery();
            (more.guid, more.event) = (format!("filler-{round}-{filler}"), "filler");
            assert_eq!(deliver(&door, &more).unwrap(), 202);
            told.push(more);
        }
        server.kill();
        drop(eyes);
        cut(&yard);

        server = yard.serve_by(&door, &disk);
        let after = yard.eyes().await.look().await;
        for delivery in &told {
            let there = after.deliveries.iter().any(|d| d.guid == delivery.guid);
            assert!(there, "{} at {kind}\n{}", delivery.guid, after.shown());
        }
        for (old, new) in before.events.iter().zip(&after.events) {
            assert_eq!((old.seq, &old.kind, &old.data), (new.seq, &new.kind, &new.data), "at {kind}");
        }
        assert!(after.events.len() >= before.events.len(), "at {kind}");
        whole(&yard, &after);
    }
    let mut eyes = yard.eyes().await;
    let seen = keeper.finish(&yard, &door, &server, &mut eyes).await;
    let found = wrong(&yard, &seen, &keeper);
    assert!(found.is_empty(), "{found:#?}\n{}", seen.shown());
    whole(&yard, &seen);
    server.kill();
    yard.verify(&door);
}

/// The test of the test: a disk that says that the log of the database is synced, and keeps nothing of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_lies_about_what_is_synced_loses_what_was_answered_for() {
    let (yard, door) = (yard(&["hello"], "5s"), Door::new());
    let disk = yard.disk(Some("-wal"));
    let mut server = yard.serve_by(&door, &disk);
    let push = yard.push("hello", "feat: say hello", "page");
    assert_eq!(deliver(&door, &push.delivery()).unwrap(), 202);
    server.kill();
    cut(&yard);
    let _server = yard.serve(&door);
    let after = yard.eyes().await.look().await;
    assert!(after.deliveries.is_empty(), "{}", after.shown());
}
