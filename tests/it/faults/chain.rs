//! The promotion chain before other people's eyes: a layout that a person signed, our links, and what in-toto says of
//! them.
#![expect(clippy::disallowed_methods, reason = "a test changes files of its own")]

use std::path::{Path, PathBuf};

use liftlock::clock;
use liftlock::domain::evidence::PAYLOAD_TYPE;
use liftlock::sign::{Envelope, Keys, Public};
use serde_json::Value;

use super::drive::until;
use super::evidence::{Reader, inside, manual, middle};
use super::rig::{Door, Eyes, PAIR, Plan, Push, Seen, Server, Yard, comment, comment_as};
use super::{one, plan};

/// Two people let `prod` begin, one of them calls it good, and all of it is signed.
async fn promoted(yard: &Yard, door: &Door, server: &Server, eyes: &mut Eyes) -> Push {
    let push = one(yard, door);
    let offered =
        |seen: &Seen| seen.events.iter().any(|e| e.kind == "offer_shown" && e.text("stage") == "prod");
    until("prod is offered", (yard, &[server]), eyes, offered).await;
    for (no, who) in (1..).zip(["ana", "bo"]) {
        assert_eq!(comment_as(who, door, &push, "/approve prod").unwrap(), 200);
        let said = |seen: &Seen| seen.events.iter().filter(|e| e.kind == "approved").count() == no;
        until("an approval is kept", (yard, &[server]), eyes, said).await;
    }
    let asked =
        |seen: &Seen| seen.run("hello", 1, "prod").is_some_and(|(_, state, _)| state == "awaiting_signoff");
    until("somebody is asked whether prod is good", (yard, &[server]), eyes, asked).await;
    assert_eq!(comment(door, &push, "/approve prod").unwrap(), 200);
    let signed = |seen: &Seen| seen.events.iter().filter(|e| e.kind == "attested").count() == 3;
    until("all is signed", (yard, &[server]), eyes, signed).await;
    push
}

/// The file of a step's link below a folder.
pub(super) fn link(folder: &Path, step: &str) -> PathBuf {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.strip_suffix(".link").and_then(|name| name.rsplit_once('.')).is_some_and(|(s, _)| s == step)
    };
    entries.into_iter().find(named).unwrap_or_else(|| panic!("there is no link of {step}"))
}

/// What it says, changed, and signed by the server's own key again: what a mistaken server would say.
fn said_again(yard: &Yard, path: &Path, change: impl Fn(&mut Value)) -> String {
    let keys = Keys::of_folder(&yard.data().join("keys"), clock::now()).unwrap();
    let envelope: Envelope = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let public: Vec<Public> = keys.public().unwrap();
    let mut said: Value = serde_json::from_slice(&envelope.open(PAYLOAD_TYPE, &public).unwrap().0).unwrap();
    change(&mut said);
    serde_json::to_string(&keys.sign(PAYLOAD_TYPE, said.to_string().as_bytes()).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d36_t44_t45_in_toto_finds_every_step_and_every_person_and_notices_a_flipped_byte() {
    let (yard, door) = (Yard::new(Plan { rules: &PAIR, ..plan(&["hello"], "5s") }), Door::new());
    let mut server = yard.serve(&door);
    let mut eyes = yard.eyes().await;
    promoted(&yard, &door, &server, &mut eyes).await;
    let folder = tempfile::tempdir().unwrap();
    let address = format!("http://{}", door.address());
    let reader = Reader { folder: folder.path(), server: address, file: String::new() };
    reader.passes(manual("openssl genpkey"));
    reader.passes(manual("liftlock layout"));
    reader.passes(manual("mkdir links files"));
    let verify = manual("in-toto-verify");
    reader.passes(verify);

    let (links, files) = (folder.path().join("links"), folder.path().join("files"));
    let steps = ["build", "stage-test", "approve-prod-1", "approve-prod-2", "signoff-prod-1", "stage-prod"];
    assert_eq!(std::fs::read_dir(&links).unwrap().count(), steps.len());
    for step in steps {
        let path = link(&links, step);
        let name = format!("links/{}", path.file_name().unwrap().to_str().unwrap());
        for what in ["\"payload\":\"", "\"sig\":\""] {
            reader.notices(&name, inside(what, 20), verify);
        }
        let away = folder.path().join("away");
        std::fs::rename(&path, &away).unwrap();
        assert!(!reader.run(verify).status.success(), "nobody misses {step}");
        std::fs::rename(&away, &path).unwrap();
    }
    reader.notices("root.layout", inside("\"steps\":", 60), verify);
    reader.notices("root.layout", inside("\"sig\": \"", 20), verify);
    reader.notices("owner.pub", middle, verify);
    reader.notices("files/dist.tar.zst", middle, verify);
    std::fs::write(files.join("more"), "nobody built this").unwrap();
    assert!(!reader.run(verify).status.success(), "a file that is of no release is let through");
    std::fs::remove_file(files.join("more")).unwrap();

    one_person_is_not_two(&yard, &reader, &links);
    server.kill();
}

/// The second approval given by the first person again, and a stage that got other bytes.
fn one_person_is_not_two(yard: &Yard, reader: &Reader<'_>, links: &Path) {
    let verify = manual("in-toto-verify");
    let first = std::fs::read_to_string(link(links, "approve-prod-1")).unwrap();
    let second = link(links, "approve-prod-2");
    let good = std::fs::read_to_string(&second).unwrap();
    let again = said_again(yard, &link(links, "approve-prod-1"), |said| {
        said["name"] = "approve-prod-2".into();
        said["materials"] = said["products"].clone();
    });
    std::fs::write(&second, again).unwrap();
    assert!(!reader.run(verify).status.success(), "ana alone is two people");
    reader.passes("mkdir release && cp files/* release && rm -f release/*.link && cp links/* release");
    reader.passes(manual("> keys.pem"));
    let get = "for name in SHA256SUMS SHA256SUMS.sig provenance.dsse.json; do \
               curl -fsS \"$SERVER/api/releases/$RELEASE/evidence/$name\" > release/$name; done";
    reader.passes(get);
    let whole = "liftlock verify release --keys keys.pem";
    let said = reader.run(whole);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("counts ana twice in approve-prod"), "{said}");
    std::fs::write(&second, good).unwrap();
    reader.passes("cp links/* release");
    let said = reader.passes(whole);
    assert!(said.contains("went through approve-prod-2, by bo"), "{said}");

    let stage = link(links, "stage-prod");
    let good = std::fs::read_to_string(&stage).unwrap();
    let other = said_again(yard, &stage, |said| {
        for what in ["materials", "products"] {
            let files = said[what].as_object_mut().unwrap();
            files.values_mut().for_each(|digest| digest["sha256"] = "ab".repeat(32).into());
        }
    });
    std::fs::write(&stage, &other).unwrap();
    assert!(!reader.run(verify).status.success(), "a stage that got other bytes is let through");
    reader.passes("cp links/* release");
    let said = String::from_utf8_lossy(&reader.run(whole).stderr).into_owned();
    assert!(said.contains("the step stage-prod left other bytes"), "{said}");
    std::fs::write(&stage, good).unwrap();
    assert_eq!(std::fs::read_to_string(link(links, "approve-prod-1")).unwrap(), first);
    reader.passes(verify);
}
