//! `kill -9` at every move of the ledger: what was published stays, what is missing is put when asked, nothing twice.

use std::collections::BTreeMap;
use std::process::Command;

use liftlock::domain::name::Digest;

use super::drive::{Keeper, until};
use super::kills::{Survived, survive};
use super::rig::{Door, Event, FINAL, OUTLET, Plan, Seen, Yard};
use super::{one, plan};

/// Rounds at a time.
const SIDE_BY_SIDE: usize = 2;

/// What a round came to.
struct Round {
    killed_at: Option<i64>,
    retries: usize,
    /// How the rows moved, in order.
    moves: Vec<String>,
    /// The log's length when each move was in it.
    places: Vec<i64>,
    /// How often the client of the feed was told to upload.
    uploads: usize,
    /// The files there, by name.
    files: BTreeMap<String, Vec<u8>>,
}

impl Round {
    /// Whether the two files are there with the bytes that one says of the other, and nothing else.
    fn is_whole(&self) -> bool {
        let files: Vec<_> = self.files.iter().map(|(path, bytes)| (path.as_str(), bytes)).collect();
        let [("v0.1.0-rc.1/SHA256SUMS", sums), ("v0.1.0-rc.1/dist.tar.zst", dist)] = files.as_slice() else {
            return false;
        };
        format!("{}  dist.tar.zst\n", Digest::of_bytes(dist).hex()).as_bytes() == sums.as_slice()
    }
}

fn moves(seen: &Seen) -> Vec<(i64, String)> {
    let all = (1_i64..).zip(&seen.events);
    let ours = all.filter(|(_, e)| e.kind.starts_with("publication_"));
    ours.map(|(place, e)| (place, format!("{} {}", e.kind, e.data["said"]["publish"]["files"]["what"])))
        .collect()
}

fn files(yard: &Yard) -> BTreeMap<String, Vec<u8>> {
    let root = yard.target().join("outlet");
    let versions = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
    let files = versions.flat_map(|version| std::fs::read_dir(version).unwrap().map(|e| e.unwrap().path()));
    files
        .map(|path| (path.strip_prefix(&root).unwrap().display().to_string(), std::fs::read(&path).unwrap()))
        .collect()
}

/// What `liftlock publish status` says when all of it is published.
fn told(door: &Door) {
    let address = format!("http://{}", door.address());
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_liftlock"));
        command.args(["publish", "status", "latest", "--server", &address]).args(more);
        let done = command.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let text = run(&[]);
    assert!(text.starts_with("v0.1.0-rc.1\n  disk (signed bits)       announced  dist.tar.zst\n"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&run(&["--json"])).unwrap();
    assert_eq!(json["publications"][1]["outlet"], "disk (checksums)");
    assert_eq!(json["publications"][1]["files"][0]["name"], "SHA256SUMS");
}

async fn round(kill_at: Option<i64>) -> Round {
    let (yard, door) = (Yard::new(Plan { rules: &OUTLET, ..plan(&["hello"], "5s") }), Door::new());
    let Survived { killed_at, retries, seen } = survive(&yard, &door, kill_at, told).await;
    let uploads = std::fs::read_to_string(yard.target().join("uploads")).unwrap();
    let (places, moves) = moves(&seen).into_iter().unzip();
    Round { killed_at, retries, moves, places, uploads: uploads.lines().count(), files: files(&yard) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn d53_t57_killed_at_every_row_it_ends_as_if_nothing_had_happened() {
    let undisturbed = round(None).await;
    assert_eq!(undisturbed.retries, 0);
    let words = ["planned", "uploaded", "visible", "verified", "announced"];
    let of = |goods: &str| words.map(|word| format!("publication_{word} {goods}")).to_vec();
    let rows = [of("\"signed_bits\""), of("\"checksums\""), of("{\"one\":\"dist\"}")];
    assert_eq!(undisturbed.moves, rows.concat());
    assert_eq!(undisturbed.uploads, 1);
    assert!(undisturbed.is_whole(), "{:?}", undisturbed.files.keys());
    // One before the first row, and one behind each move.
    let first = undisturbed.places.first().unwrap() - 1;
    let places: Vec<i64> = [first].into_iter().chain(undisturbed.places.clone()).collect();
    let mut lost = 0;
    for some in places.chunks(SIDE_BY_SIDE) {
        let batch: Vec<_> = some.iter().map(|k| tokio::spawn(round(Some(*k)))).collect();
        for one in batch {
            let round = one.await.unwrap();
            let at = round.killed_at;
            assert!(round.is_whole(), "killed at {at:?}: {:?}", round.files.keys());
            assert_eq!(round.moves, undisturbed.moves, "killed at {at:?}: every row moves once");
            // An upload that was killed half-way may be made again; one that is there is not.
            assert!(round.uploads <= 1 + round.retries, "killed at {at:?}: {} uploads", round.uploads);
            assert!(round.retries <= 1, "killed at {at:?}: {} retries", round.retries);
            lost += round.retries;
        }
    }
    println!("{} kills around publishing, {lost} of them lost the stage, which was retried", places.len());
    assert!(lost > 0, "no kill hit the stage while it was publishing");
}

/// On a host that is a repository and no more, what nobody told of is found when the server starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d41_t35_a_final_tag_that_moved_or_is_gone_in_a_plain_repository_is_an_alarm() {
    let (yard, door) = (Yard::new(Plan { rules: &FINAL, ..plan(&["hello"], "5s") }), Door::new());
    let mut server = yard.serve(&door);
    let push = one(&yard, &door);
    let mut keeper = Keeper::new(std::slice::from_ref(&push));
    let mut eyes = yard.eyes().await;
    keeper.finish(&yard, &door, &server, &mut eyes).await;
    assert_eq!(yard.tags("hello"), ["v0.1.0", "v0.1.0-rc.1"]);
    let said = "Tag v0.1.0, the final name of v0.1.0-rc.1,";
    let loose = yard.loose("hello");
    let moved = format!("{said} moved from {} to {}.", &push.after[..7], &loose[..7]);
    for (to, alarm) in [(Some(loose.as_str()), moved), (None, format!("{said} is gone; it stood at"))] {
        server.kill();
        yard.move_tag("hello", "v0.1.0", to);
        server = yard.serve(&door);
        let told = |seen: &Seen| {
            let in_log = |e: &Event| e.kind == "alarm" && e.text("text").starts_with(&alarm);
            seen.events.iter().any(in_log) && yard.said(&push).iter().any(|(_, text)| text.contains(&alarm))
        };
        let seen = until("it is an alarm", (&yard, &[&server]), &mut eyes, told).await;
        let built = seen.events.iter().filter(|e| e.kind == "release_created").count();
        assert_eq!(built, 1, "{}", seen.shown());
    }
    server.kill();
    yard.verify(&door);
}
