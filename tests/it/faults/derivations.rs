//! A stage that signs: killed anywhere it signs once, and others can follow what it signed and out of what.

use std::path::Path;

use serde_json::Value;

use super::chain::link;
use super::drive::{Keeper, until};
use super::evidence::{Reader, manual, middle};
use super::kills::{Survived, survive};
use super::rig::{Door, Event, Plan, SIGNED, Seen, Yard};
use super::{one, plan};

/// Rounds at a time.
const SIDE_BY_SIDE: usize = 2;

/// What a round came to.
struct Round {
    killed_at: Option<i64>,
    retries: usize,
    /// The log's length when the stage began, and when the release had its second revision.
    places: (i64, i64),
    /// What was made of it: the digests before and after.
    made: Vec<(String, String)>,
    /// What prod runs.
    live: String,
    /// What the signature in the artifact says.
    signature: String,
}

fn made(seen: &Seen) -> Vec<(String, String)> {
    let revised = seen.events.iter().filter(|e| e.kind == "revised");
    let all = revised.flat_map(|e| e.data["said"].as_array().unwrap().clone());
    let text = |made: &Value, at: &str| made.pointer(at).unwrap().as_str().unwrap().to_owned();
    all.map(|made| (text(&made, "/was"), text(&made, "/sealed/digest"))).collect()
}

/// The signature in a stored artifact.
fn signature(yard: &Yard, digest: &str) -> String {
    let blob = yard.data().join("artifacts/blobs/sha256").join(digest.strip_prefix("sha256:").unwrap());
    let bytes = zstd::decode_all(std::fs::File::open(blob).unwrap()).unwrap();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let mut entries = archive.entries().unwrap().map(Result::unwrap);
    let mut found = entries.find(|entry| entry.path().unwrap().ends_with("signature")).unwrap();
    std::io::read_to_string(&mut found).unwrap()
}

async fn round(kill_at: Option<i64>) -> Round {
    let (yard, door) = (Yard::new(Plan { rules: &SIGNED, ..plan(&["hello"], "5s") }), Door::new());
    let Survived { killed_at, retries, seen } = survive(&yard, &door, kill_at, |_| ()).await;
    let place = |what: &dyn Fn(&Event) -> bool| {
        let at = (1_i64..).zip(&seen.events).find(|(_, e)| what(e));
        at.map(|(place, _)| place).unwrap()
    };
    let begun = place(&|e| e.kind == "stage_moved" && e.text("to") == "running");
    let places = (begun, place(&|e| e.kind == "revised"));
    let made = made(&seen);
    let signature = signature(&yard, &made[0].1);
    Round { killed_at, retries, places, made, live: yard.live("hello", "prod"), signature }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn d06_d34_t57_killed_while_it_signs_a_release_is_signed_once() {
    let undisturbed = round(None).await;
    let (begun, revised) = undisturbed.places;
    let places: Vec<i64> = (begun - 1..=revised + 1).collect();
    let mut lost = undisturbed.retries;
    assert_eq!(lost, 0);
    let mut rounds = vec![undisturbed];
    for some in places.chunks(SIDE_BY_SIDE) {
        let batch: Vec<_> = some.iter().map(|k| tokio::spawn(round(Some(*k)))).collect();
        for one in batch {
            let round = one.await.unwrap();
            lost += round.retries;
            rounds.push(round);
        }
    }
    for round in &rounds {
        let at = round.killed_at;
        let [(was, now)] = round.made.as_slice() else { panic!("killed at {at:?}: {:?}", round.made) };
        assert_ne!(was, now, "killed at {at:?}");
        assert_eq!((&round.live, round.signature.as_str()), (now, "signed\n"), "killed at {at:?}");
    }
    println!("{} kills around signing, {lost} of them lost the stage, which was retried", places.len());
    assert!(lost > 0, "no kill hit the stage while it was signing");
}

/// The old file is somebody's who took it before: it verifies as what it is, and not as what went on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d06_d36_t44_in_toto_takes_what_a_stage_signed_from_that_stage_alone() {
    let (yard, door) = (Yard::new(Plan { rules: &SIGNED, ..plan(&["hello"], "5s") }), Door::new());
    let mut server = yard.serve(&door);
    let mut eyes = yard.eyes().await;
    let push = one(&yard, &door);
    let mut keeper = Keeper::new(std::slice::from_ref(&push));
    keeper.finish(&yard, &door, &server, &mut eyes).await;
    // The build, what was made of it, and two stages.
    let signed = |seen: &Seen| seen.events.iter().filter(|e| e.kind == "attested").count() == 4;
    until("all is signed", (&yard, &[&server]), &mut eyes, signed).await;
    let folder = tempfile::tempdir().unwrap();
    let address = format!("http://{}", door.address());
    let reader = Reader { folder: folder.path(), server: address, file: String::new() };
    for says in ["openssl genpkey", "liftlock layout", "mkdir links files"] {
        reader.passes(manual(says));
    }
    let verify = manual("in-toto-verify");
    reader.passes(verify);
    reader.passes(manual("> keys.pem"));
    let get = "mkdir release && cp files/* release && rm -f release/*.link && cp links/* release && cd release && \
               for name in SHA256SUMS SHA256SUMS.sig SHA512SUMS SHA512SUMS.sig made-test-1.dsse.json; do \
               curl -fsSO \"$SERVER/api/releases/$RELEASE/evidence/$name\"; done && sha256sum -c SHA256SUMS && sha512sum -c SHA512SUMS";
    reader.passes(get);
    let said = reader.passes("liftlock verify release --keys keys.pem");
    assert!(said.contains("went through build") && said.contains("went through stage-test"), "{said}");
    for (list, check) in [("SHA256SUMS", "sha256sum -c"), ("SHA512SUMS", "sha512sum -c")] {
        let check = format!("cd release && {check} {list}");
        reader.notices("release/dist.tar.zst", middle, &check);
        reader.notices(&format!("release/{list}"), |_| 3, &check);
    }

    let links = folder.path().join("links");
    let stage = link(&links, "stage-test");
    let away = folder.path().join("away");
    std::fs::rename(&stage, &away).unwrap();
    assert!(!reader.run(verify).status.success(), "nobody asks who signed it");
    std::fs::rename(&away, &stage).unwrap();
    old_file(&yard, &mut eyes.look().await, folder.path());
    assert!(!reader.run(verify).status.success(), "what was built is taken for what was signed");
    server.kill();
}

/// Puts what was built in the place of what was signed.
fn old_file(yard: &Yard, seen: &mut Seen, folder: &Path) {
    let (was, _) = made(seen).remove(0);
    let blob = yard.data().join("artifacts/blobs/sha256").join(was.strip_prefix("sha256:").unwrap());
    let file = folder.join("files/dist.tar.zst");
    std::fs::remove_file(&file).unwrap();
    std::fs::copy(blob, file).unwrap();
}
