//! What a release proves to people without liftlock, by the commands of the manual, and what a flipped byte does to it.
#![expect(clippy::disallowed_methods, reason = "a test changes files of its own")]

use std::path::Path;
use std::process::{Command, Output};

use liftlock::clock;
use liftlock::domain::name::Digest;
use liftlock::domain::time::Timestamp;
use liftlock::sign::Public;
use serde_json::Value;

use super::drive::Keeper;
use super::rig::{Door, GLANCE, PATIENCE, Seen, Server, request};
use super::{one, yard};

const MANUAL: &str = include_str!("../../../docs/verify.md");
/// The release of the first push.
const RELEASE: &str = "plain:hello/hello/1";

/// The commands of the manual in their order: fetch, liftlock, checksums, signature, subject.
fn commands() -> Vec<&'static str> {
    MANUAL.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap()).collect()
}

struct Reader<'a> {
    folder: &'a Path,
    server: String,
    file: String,
}

impl Reader<'_> {
    fn run(&self, command: &str) -> Output {
        let program = Path::new(env!("CARGO_BIN_EXE_liftlock")).parent().unwrap();
        Command::new("sh")
            .args(["-e", "-c", command])
            .current_dir(self.folder)
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", program.display()))
            .env("SERVER", &self.server)
            .env("RELEASE", RELEASE)
            .env("FILE", &self.file)
            .output()
            .unwrap()
    }

    #[track_caller]
    fn passes(&self, command: &str) -> String {
        let output = self.run(command);
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{command}: {}{}", said(&output.stdout), said(&output.stderr));
        said(&output.stdout)
    }

    /// Flips a byte of a file, sees that this command fails, and puts the byte back.
    #[track_caller]
    fn notices(&self, file: &str, at: impl Fn(&[u8]) -> usize, command: &str) -> String {
        let path = self.folder.join(file);
        let good = std::fs::read(&path).unwrap();
        let mut bad = good.clone();
        let place = at(&bad);
        bad[place] ^= 1;
        std::fs::write(&path, bad).unwrap();
        let output = self.run(command);
        assert!(!output.status.success(), "{file} was changed at {place}, and {command} holds");
        std::fs::write(&path, good).unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

/// The checksums of the release, once they are signed; until then there are none.
fn sealed(door: &Door, server: &Server) -> String {
    let begun = clock::monotonic();
    loop {
        let (status, body) =
            request(door, "GET", &format!("/api/releases/{RELEASE}/evidence/SHA256SUMS"), &[], "").unwrap();
        if status == 200 {
            return body;
        }
        assert_eq!(status, 404, "{body}");
        assert!(begun.elapsed() < PATIENCE, "nothing is sealed\n{}", server.log_tail());
        std::thread::sleep(GLANCE);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d36_t44_t45_what_is_proven_is_checked_by_others_and_a_flipped_byte_proves_nothing() {
    let (yard, door) = (yard(&["hello"], "5s"), Door::new());
    let mut server = yard.serve(&door);
    one(&yard, &door);
    let sums = sealed(&door, &server);
    let file = sums.trim().rsplit(' ').next().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let reader = Reader { folder: folder.path(), server: format!("http://{}", door.address()), file };
    let [fetch, ours, checksums, ssh, minisign, signature, subject] = commands()[..] else {
        panic!("{MANUAL}")
    };
    reader.passes(fetch);
    let said = reader.passes(ours);
    assert!(said.contains("of hello v0.1.0-rc.1, built by"), "{said}");
    assert!(reader.passes(checksums).contains(": OK"));
    reader.passes("sha256sum --check --ignore-missing SHA256SUMS");
    assert!(reader.passes(ssh).contains("Good \"file\" signature for liftlock"));
    assert!(reader.passes(minisign).contains("Signature and comment signature verified"));
    assert!(reader.passes(signature).contains("Verified OK"));
    assert_eq!(reader.passes(subject).trim(), "true");
    reader.passes(&format!("{} --repository hello", ours.trim()));
    let foreign = reader.run(&format!("{} --repository acme/shop", ours.trim()));
    assert!(!foreign.status.success());

    // One byte of the file, of the statement's text, of its signature, of the key.
    let statement = format!("{}.intoto.jsonl", reader.file);
    let inside = |what: &'static str| {
        move |bytes: &[u8]| {
            let text = std::str::from_utf8(bytes).unwrap();
            text.find(what).unwrap() + what.len() + 20
        }
    };
    let middle = |bytes: &[u8]| bytes.len() / 2;
    let said = reader.notices(&reader.file, middle, ours);
    assert!(said.contains("it is not about a file with the digest"), "{said}");
    reader.notices(&reader.file, middle, checksums);
    reader.notices(&reader.file, middle, subject);
    for what in ["\"payload\":\"", "\"sig\":\""] {
        let said = reader.notices(&statement, inside(what), ours);
        assert!(said.contains("is not proven by"), "{said}");
        reader.notices(&statement, inside(what), signature);
    }
    for (file, command) in [
        ("SHA512SUMS", ssh),
        ("SHA512SUMS", minisign),
        ("SHA512SUMS.sig", ssh),
        ("SHA512SUMS.minisig", minisign),
        ("allowed_signers", ssh),
        ("minisign.pub", minisign),
    ] {
        reader.notices(file, middle, command);
    }
    reader.notices("keys.pem", |bytes| inside("BEGIN PUBLIC KEY-----\n")(bytes) + 60, ours);
    reader.notices("keys.pem", |bytes| inside("BEGIN PUBLIC KEY-----\n")(bytes) + 60, signature);
    std::fs::remove_file(folder.path().join(&statement)).unwrap();
    assert!(!reader.run(ours).status.success(), "a statement that is missing proves nothing");
    server.kill();
}

/// What is at an address of the release's evidence.
#[track_caller]
fn evidence(door: &Door, what: &str) -> String {
    let address = format!("/api/releases/{RELEASE}/evidence{what}");
    let (status, body) = request(door, "GET", &address, &[], "").unwrap();
    assert_eq!(status, 200, "{body}");
    body
}

/// The log names what is sent, byte for byte, and all of it.
fn is_logged(door: &Door, list: &Value, seen: &Seen) {
    let attested = seen.events.iter().filter(|e| e.kind == "attested");
    let logged: Vec<&Value> = attested.flat_map(|e| e.data["files"].as_array().unwrap()).collect();
    let kept = list["evidence"].as_array().unwrap();
    assert_eq!(logged.len(), kept.len());
    for (logged, kept) in logged.into_iter().zip(kept) {
        let (name, digest) = (kept["name"].as_str().unwrap(), kept["digest"].as_str().unwrap());
        assert_eq!((logged["name"].as_str(), logged["digest"].as_str()), (Some(name), Some(digest)));
        assert_eq!(Digest::of_text(&evidence(door, &format!("/{name}"))).as_str(), digest, "{name}");
    }
}

/// What was signed is in the log, so a new key changes nothing of it; the old key's public half stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t58_what_was_signed_stays_as_it_is_when_the_key_is_rotated() {
    let (yard, door) = (yard(&["hello"], "5s"), Door::new());
    let mut server = yard.serve(&door);
    let push = one(&yard, &door);
    let mut keeper = Keeper::new(std::slice::from_ref(&push));
    let mut eyes = yard.eyes().await;
    let seen = keeper.finish(&yard, &door, &server, &mut eyes).await;
    let list: Value = serde_json::from_str(&evidence(&door, "")).unwrap();
    let kept = list["evidence"].as_array().unwrap();
    let names: Vec<&str> = kept.iter().map(|kept| kept["name"].as_str().unwrap()).collect();
    let wanted = [
        "SHA256SUMS",
        "SHA256SUMS.sig",
        "SHA256SUMS.minisig",
        "SHA512SUMS",
        "SHA512SUMS.sig",
        "SHA512SUMS.minisig",
        "provenance.dsse.json",
        "provenance.sigstore.json",
        "passed-test-1.dsse.json",
        "tests-test-1.dsse.json",
        "passed-prod-1.dsse.json",
        "tests-prod-1.dsse.json",
    ];
    assert_eq!(names, wanted);
    is_logged(&door, &list, &seen);
    let file = list["files"][0]["name"].as_str().unwrap();
    let (lines, keys) = (
        evidence(&door, &format!("/{file}.intoto.jsonl")),
        request(&door, "GET", "/keys", &[], "").unwrap().1,
    );
    assert_eq!(lines.lines().count(), 5);
    server.kill();
    assert!(yard.start(&door, &["keys", "rotate"]).wait().success());
    let mut server = yard.serve(&door);
    assert_eq!(evidence(&door, &format!("/{file}.intoto.jsonl")), lines);
    let now = request(&door, "GET", "/keys", &[], "").unwrap().1;
    let pem =
        |text: &str| Public::all_of_pem(text).unwrap().into_iter().map(|key| key.id).collect::<Vec<_>>();
    let (old, new) = (pem(&keys), pem(&now));
    assert_eq!((old.len(), new.len()), (2, 4), "{now}");
    assert_eq!((&old[0], &old[1]), (&new[1], &new[3]), "the old ones stay, behind the new ones");
    let folder = tempfile::tempdir().unwrap();
    let file = file.to_owned();
    let reader = Reader { folder: folder.path(), server: format!("http://{}", door.address()), file };
    let [fetch, ours, _, ssh, ..] = commands()[..] else { panic!("{MANUAL}") };
    reader.passes(fetch);
    reader.passes(ours);
    // The old key signs nothing any more, and was good when it did.
    let at = |time: &str| ssh.replace("-Y verify", &format!("-Y verify -O verify-time={time}Z"));
    assert!(!reader.run(&at("20990101000000")).status.success());
    let signed = Timestamp(list["evidence"][4]["signed"].as_i64().unwrap()).rfc3339();
    let then: String = signed.chars().take(19).filter(char::is_ascii_digit).collect();
    reader.passes(&at(&then));
    server.kill();
    yard.verify(&door);
}

/// A blob that is no longer what was sealed is not sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t44_a_file_that_was_swapped_in_the_store_is_put_aside_and_not_sent() {
    let (yard, door) = (yard(&["hello"], "5s"), Door::new());
    let mut server = yard.serve(&door);
    one(&yard, &door);
    let sums = sealed(&door, &server);
    let get =
        |what: &str| request(&door, "GET", &format!("/api/releases/{RELEASE}/{what}"), &[], "").unwrap();
    let (digest, file) = sums.trim().split_once("  ").unwrap();
    let found = Command::new("find").arg(yard.data()).args(["-name", digest]).output().unwrap();
    let blob = String::from_utf8(found.stdout).unwrap().trim().to_owned();
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[0] ^= 1;
    std::fs::remove_file(&blob).unwrap();
    std::fs::write(&blob, bytes).unwrap();
    let (status, said) = get(&format!("files/{file}"));
    assert_ne!(status, 200, "{said}");
    assert_eq!(get(&format!("files/{file}")).0, 404, "it was put aside");
    assert_eq!(get("files/other").0, 404);
    server.kill();
}
