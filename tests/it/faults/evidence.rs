//! What a release proves to people without liftlock, by the commands of the manual, and what a flipped byte does to it.
#![expect(clippy::disallowed_methods, reason = "a test changes files of its own")]

use std::path::Path;
use std::process::{Command, Output};

use liftlock::clock;

use super::rig::{Door, GLANCE, PATIENCE, Server, request};
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

/// The checksums of the release, once it is sealed; until then there are none.
fn sealed(door: &Door, server: &Server) -> String {
    let begun = clock::monotonic();
    loop {
        let (status, body) =
            request(door, "GET", &format!("/api/releases/{RELEASE}/SHA256SUMS"), &[], "").unwrap();
        if status == 200 {
            return body;
        }
        assert_eq!(status, 404, "{body}");
        assert!(begun.elapsed() < PATIENCE, "nothing is sealed\n{}", server.log_tail());
        std::thread::sleep(GLANCE);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t44_t45_what_is_proven_is_checked_by_others_and_a_flipped_byte_proves_nothing() {
    let (yard, door) = (yard(&["hello"], "5s"), Door::new());
    let mut server = yard.serve(&door);
    one(&yard, &door);
    let sums = sealed(&door, &server);
    let file = sums.trim().rsplit(' ').next().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let reader = Reader { folder: folder.path(), server: format!("http://{}", door.address()), file };
    let [fetch, ours, checksums, signature, subject] = commands()[..] else { panic!("{MANUAL}") };
    reader.passes(fetch);
    let said = reader.passes(ours);
    assert!(said.contains("of hello v0.1.0-rc.1, built by"), "{said}");
    assert!(reader.passes(checksums).contains(": OK"));
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
    reader.notices("keys.pem", |bytes| inside("BEGIN PUBLIC KEY-----\n")(bytes) + 60, ours);
    reader.notices("keys.pem", |bytes| inside("BEGIN PUBLIC KEY-----\n")(bytes) + 60, signature);
    std::fs::remove_file(folder.path().join(&statement)).unwrap();
    assert!(!reader.run(ours).status.success(), "a statement that is missing proves nothing");
    server.kill();
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
