//! What a release proves to people without liftlock, by the commands of the manual, and what a flipped byte does to it.
#![expect(clippy::disallowed_methods, reason = "a test changes files of its own")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use liftlock::clock;
use liftlock::domain::name::Digest;
use liftlock::sign::Public;
use serde_json::Value;

use super::drive::{Keeper, until};
use super::rig::{Door, GLANCE, PATIENCE, Seen, Server, Yard, deliver, request, write};
use super::{one, yard};
use crate::served::TOOLS;

const MANUAL: &str = include_str!("../../../docs/verify.md");
/// The release of the first push.
pub(super) const RELEASE: &str = "plain:hello/hello/1";

/// The commands of the manual that say this.
#[track_caller]
pub(super) fn manual(says: &str) -> &'static str {
    let mut blocks = MANUAL.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.find(|block| block.contains(says)).unwrap_or_else(|| panic!("`{says}` is not in the manual"))
}

/// Brings the keys and one file with what there is about it.
pub(super) fn fetch(reader: &Reader<'_>) {
    reader.passes(manual("> keys.pem"));
    reader.passes(manual("for name in SHA512SUMS "));
}

pub(super) struct Reader<'a> {
    pub(super) folder: &'a Path,
    pub(super) server: String,
    pub(super) file: String,
}

impl Reader<'_> {
    pub(super) fn run(&self, command: &str) -> Output {
        let program = Path::new(env!("CARGO_BIN_EXE_liftlock")).parent().unwrap();
        Command::new("sh")
            .args(["-e", "-c", command])
            .current_dir(self.folder)
            .env("PATH", format!("{}:{TOOLS}/bin:/usr/local/bin:/usr/bin:/bin", program.display()))
            .env("NODE_PATH", format!("{TOOLS}/node_modules"))
            .env("SERVER", &self.server)
            .env("RELEASE", RELEASE)
            .env("FILE", &self.file)
            .output()
            .unwrap()
    }

    #[track_caller]
    pub(super) fn passes(&self, command: &str) -> String {
        let output = self.run(command);
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{command}: {}{}", said(&output.stdout), said(&output.stderr));
        said(&output.stdout)
    }

    /// Flips a byte of a file, sees that this command fails, and puts the byte back.
    #[track_caller]
    pub(super) fn notices(&self, file: &str, at: impl Fn(&[u8]) -> usize, command: &str) -> String {
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
pub(super) fn sealed(door: &Door, server: &Server) -> String {
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

/// Somewhere behind these words.
pub(super) fn inside(what: &'static str, further: usize) -> impl Fn(&[u8]) -> usize {
    move |bytes| std::str::from_utf8(bytes).unwrap().find(what).unwrap() + what.len() + further
}

pub(super) fn middle(bytes: &[u8]) -> usize {
    bytes.len() / 2
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
    fetch(&reader);
    let (sum, ssh, minisign) = (manual("sha512sum"), manual("ssh-keygen"), manual("minisign -V"));
    let (signature, subject, python) = (manual("openssl dgst"), manual("jq -e"), manual("securesystemslib"));
    assert!(reader.passes(sum).contains(": OK"));
    assert!(reader.passes(ssh).contains("Good \"file\" signature for liftlock"));
    assert!(reader.passes(minisign).contains("Signature and comment signature verified"));
    assert!(reader.passes(signature).contains("Verified OK"));
    assert_eq!(reader.passes(subject).trim(), "true");
    assert!(reader.passes(python).contains("verified https://slsa.dev/provenance/v1"));

    // One byte of the file, of the list, of the statement's text, of each signature, of each key.
    let statement = format!("{}.intoto.jsonl", reader.file);
    for (file, command) in [
        (reader.file.as_str(), sum),
        (&reader.file, subject),
        (&reader.file, python),
        ("SHA512SUMS", ssh),
        ("SHA512SUMS", minisign),
        ("SHA512SUMS.sig", ssh),
        ("SHA512SUMS.minisig", minisign),
        ("allowed_signers", ssh),
        ("minisign.pub", minisign),
    ] {
        reader.notices(file, middle, command);
    }
    for command in [signature, python] {
        for what in ["\"payload\":\"", "\"sig\":\""] {
            reader.notices(&statement, inside(what, 20), command);
        }
        reader.notices("keys.pem", inside("BEGIN PUBLIC KEY-----\n", 80), command);
    }
    is_a_bundle(&reader);
    server.kill();
}

/// On the server's own disk other tools find what was sealed, and hash it themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t44_what_is_sealed_is_an_oci_layout_that_others_read_and_check() {
    let (yard, door) = (yard(&["hello"], "5s"), Door::new());
    let mut server = yard.serve(&door);
    one(&yard, &door);
    let sums = sealed(&door, &server);
    let folder = tempfile::tempdir().unwrap();
    let reader = Reader { folder: folder.path(), server: String::new(), file: String::new() };
    let asked = |command: &str| format!("export DATA={} ARTIFACT=dist\n{command}", yard.data().display());
    let copy = asked(manual("skopeo copy"));
    reader.passes(&copy);
    reader.passes(manual("diff_ids"));
    let blob =
        reader.passes("jq -r '.layers[0].digest' copied/manifest.json | cut -d : -f 2").trim().to_owned();
    assert!(sums.starts_with(&blob), "{sums}");
    reader.notices(&format!("copied/{blob}"), middle, manual("diff_ids"));
    server.kill();
    swap(&yard, &blob);
    assert!(!reader.run(&format!("rm -r copied\n{copy}")).status.success(), "a changed blob was copied");
}

/// Puts another file in the place of a stored one.
fn swap(yard: &Yard, hex: &str) {
    let stored = yard.data().join("artifacts/blobs/sha256").join(hex);
    let mut bytes = std::fs::read(&stored).unwrap();
    bytes[0] ^= 1;
    std::fs::remove_file(&stored).unwrap();
    std::fs::write(&stored, bytes).unwrap();
}

/// The bundle is one to those who know what a bundle is, and its envelope is the statement's.
fn is_a_bundle(reader: &Reader<'_>) {
    let strict = "python3 -c \"from sigstore_models.bundle.v1 import Bundle; \
                  print(Bundle.from_json(open('provenance.sigstore.json').read()).verification_material.public_key.hint)\"";
    let hint = reader.passes(strict).trim().to_owned();
    assert!(reader.passes("head -n 1 keys.pem").contains(&hint), "{hint}");
    reader.passes("jq -cS .dsseEnvelope provenance.sigstore.json > a && head -n 1 *.intoto.jsonl | jq -cS . > b && cmp a b");
    reader.notices("provenance.sigstore.json", inside("\"mediaType\":\"", 3), strict);
    // Sigstore's own verifier, with a key in the place of certificates.
    let sigstore = manual("@sigstore/verify");
    reader.passes(sigstore);
    for what in ["\"payload\":\"", "\"sig\":\"", "\"mediaType\":\""] {
        reader.notices("provenance.sigstore.json", inside(what, 8), sigstore);
    }
    reader.notices("keys.pem", inside("BEGIN PUBLIC KEY-----\n", 80), sigstore);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t44_t45_a_file_or_a_whole_release_is_verified_with_public_keys_alone() {
    let (yard, door) = (yard(&["hello"], "5s"), Door::new());
    let mut server = yard.serve(&door);
    let push = one(&yard, &door);
    let mut keeper = Keeper::new(std::slice::from_ref(&push));
    let mut eyes = yard.eyes().await;
    keeper.finish(&yard, &door, &server, &mut eyes).await;
    let signed = |seen: &Seen| seen.events.iter().filter(|e| e.kind == "attested").count() == 3;
    until("all is signed", (&yard, &[&server]), &mut eyes, signed).await;
    let file = sealed(&door, &server).trim().rsplit(' ').next().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let reader = Reader { folder: folder.path(), server: format!("http://{}", door.address()), file };
    fetch(&reader);
    let ours = manual("liftlock verify \"$FILE\"");
    let said = reader.passes(ours);
    assert!(said.contains("of hello v0.1.0-rc.1, built by"), "{said}");
    assert!(said.contains("found good in prod by"), "{said}");
    let asked = |more: &str| format!("{} {more}", ours.trim());
    reader.passes(&asked("--repository hello --stage prod"));
    assert!(!reader.run(&asked("--repository acme/shop")).status.success());
    assert!(!reader.run(&asked("--stage nowhere")).status.success());
    reader.passes(&asked("--version v0.1.0-rc.1"));
    let said = String::from_utf8(reader.run(&asked("--version v0.1.0-rc.2")).stderr).unwrap();
    assert!(said.contains("is of v0.1.0-rc.1, not of v0.1.0-rc.2"), "{said}");
    let json: Value = serde_json::from_str(&reader.passes(&asked("--json"))).unwrap();
    assert_eq!(json["files"][0]["passed"], serde_json::json!(["test", "prod"]));
    let said = reader.notices(&reader.file, middle, ours);
    assert!(said.contains("it is not about a file with the digest"), "{said}");
    let statement = format!("{}.intoto.jsonl", reader.file);
    for what in ["\"payload\":\"", "\"sig\":\""] {
        let said = reader.notices(&statement, inside(what, 20), ours);
        assert!(said.contains("is not proven by"), "{said}");
    }
    // A bad line behind good ones is not passed over.
    reader.notices(&statement, |bytes| bytes.len() - 300, ours);
    reader.notices("keys.pem", inside("BEGIN PUBLIC KEY-----\n", 80), ours);
    std::fs::remove_file(folder.path().join(&statement)).unwrap();
    assert!(!reader.run(ours).status.success(), "a statement that is missing proves nothing");

    let said = reader.passes(manual("verify \"$SERVER/releases/$RELEASE\""));
    assert!(said.contains("in SHA256SUMS and SHA512SUMS, signed"), "{said}");
    reader.passes(manual("mkdir release"));
    is_of_the_release_asked_for(&reader).await;
    whole_folder(&reader);
    server.kill();
}

/// A mirror that has one release only, and gives it whichever is asked for: nothing of it is changed, and it is not what
/// was wanted.
async fn is_of_the_release_asked_for(reader: &Reader<'_>) {
    let folder = reader.folder.to_owned();
    let app = axum::Router::new().fallback(move |uri: axum::http::Uri| {
        let name = uri.path().rsplit('/').next().unwrap().to_owned();
        let file =
            if name == "evidence" { folder.join("list.json") } else { folder.join("release").join(name) };
        async move { std::fs::read(file).map_err(|_| axum::http::StatusCode::NOT_FOUND) }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mirror = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let verify = |release: &str| format!("liftlock verify '{mirror}/releases/{release}' --keys keys.pem");
    reader.passes(&verify(RELEASE));
    for other in ["plain:hello/hello/2", "plain:hello/world/1", "plain:world/hello/1"] {
        let output = reader.run(&verify(other));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{other} is proven");
        assert!(
            said.contains(&format!("what is signed is of {RELEASE}, and {other} was asked for")),
            "{said}"
        );
    }
}

/// A flipped byte in any file of the folder is an error that names the file.
fn every_flip(reader: &Reader<'_>) {
    let names = std::fs::read_dir(reader.folder.join("release")).unwrap();
    for name in names.map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
        let late = |bytes: &[u8]| bytes.len() * 7 / 8;
        for place in [middle, late] {
            let said =
                reader.notices(&format!("release/{name}"), place, "liftlock verify release --keys keys.pem");
            assert!(said.contains(&name), "{name}: {said}");
        }
    }
}

/// Notes, `release.json` and lists of single files that a stage wrote down are signed as everything else is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t44_t45_every_file_of_the_evidence_is_signed_also_what_a_stage_wrote_down() {
    let (yard, door) = (yard(&["hello"], "5s"), Door::new());
    let mut server = yard.serve(&door);
    let hello = yard.path("hello");
    let manifest = std::fs::read_to_string(hello.join(".github/liftlock.yml")).unwrap();
    let writes = "name: test, deploy: ['sh ./deploy.sh', {uses: release-notes}, {uses: release-metadata}, \
                  {uses: checksums, with: {algorithm: sha512, aggregate: false}}, \
                  {uses: checksums, with: {algorithm: sha256}}]";
    write(&hello.join(".github/liftlock.yml"), &manifest.replace("name: test", writes));
    write(&hello.join("requirements.txt"), "six==1.16.0\n");
    one(&yard, &door);
    let begun = clock::monotonic();
    let list = format!("/api/releases/{RELEASE}/evidence");
    while !request(&door, "GET", &list, &[], "").unwrap().1.contains("passed-test-1.dsse.json") {
        assert!(begun.elapsed() < PATIENCE, "the stage is not signed\n{}", server.log_tail());
        std::thread::sleep(GLANCE);
    }
    let folder = tempfile::tempdir().unwrap();
    let reader =
        Reader { folder: folder.path(), server: format!("http://{}", door.address()), file: String::new() };
    reader.passes(manual("> keys.pem"));
    reader.passes(manual("mkdir release"));
    let whole = "liftlock verify release --keys keys.pem";
    assert!(reader.passes(whole).contains("made of what sbom.cdx.json lists"));
    let there = |name: &str| folder.path().join("release").join(name).exists();
    for name in ["RELEASE_NOTES.md", "release.json", "dist.tar.zst.sha512", "provenance.sigstore.json"] {
        assert!(there(name), "{name}");
    }
    every_flip(&reader);
    let gone = ["RELEASE_NOTES.md", "release.json", "sbom.cdx.json", "dist.tar.zst.sha512.sig"];
    for name in gone {
        let output = reader.run(&format!("mv release/{name} . && {whole}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains(&format!("{name} belongs to it and is not there")),
            "{said}"
        );
        reader.passes(&format!("mv {name} release"));
    }
    let output = reader.run(&format!("echo more > release/more && {whole}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("nobody signed more"), "{said}");
    server.kill();
}

/// One byte of any file, or any file that is not there, and the folder is not proven; signatures of either kind do.
fn whole_folder(reader: &Reader<'_>) {
    let whole = "liftlock verify release --keys keys.pem";
    let names = std::fs::read_dir(reader.folder.join("release")).unwrap();
    let names: Vec<String> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.len() > 10, "{names:?}");
    every_flip(reader);
    for (names, holds) in [
        (&["SHA512SUMS.minisig", "SHA256SUMS.minisig"][..], true),
        (&["SHA512SUMS.sig", "SHA512SUMS.minisig"], false),
        (&["SHA256SUMS", "SHA512SUMS"], false),
        (&[reader.file.as_str()], false),
        (&["provenance.dsse.json", "passed-test-1.dsse.json", "passed-prod-1.dsse.json"], false),
    ] {
        let away = names.iter().fold(String::new(), |all, name| format!("{all} release/{name}"));
        let output = reader.run(&format!("mkdir away && mv {away} away && {whole}"));
        assert_eq!(output.status.success(), holds, "{names:?}: {output:?}");
        reader.passes("mv away/* release && rmdir away");
    }
}

/// A build that writes one lock file and changes another: what it left is what the release is made of, as others call
/// it valid.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_release_is_made_of_is_a_valid_bill_of_materials() {
    let (yard, door) = (yard(&["hello"], "5s"), Door::new());
    let mut server = yard.serve(&door);
    let hello = yard.path("hello");
    let source = "registry+https://github.com/rust-lang/crates.io-index";
    let lock = format!(
        "version = 4\n\n[[package]]\nname = \"serde\"\nversion = \"@\"\nsource = \"{source}\"\nchecksum = \"{}\"\n",
        "ab".repeat(32)
    );
    write(&hello.join("lock.in"), &lock);
    write(&hello.join("requirements.txt"), "six==1.0.0\n");
    let build = std::fs::read_to_string(hello.join("build.sh")).unwrap();
    let lock = |version: &str| {
        let writes = format!("sed s/@/{version}/ lock.in >Cargo.lock\necho six==1.16.0 >requirements.txt\n");
        write(&hello.join("build.sh"), &format!("{build}{writes}"));
    };
    lock("1.0.0");
    one(&yard, &door);
    sealed(&door, &server);
    let folder = tempfile::tempdir().unwrap();
    let reader =
        Reader { folder: folder.path(), server: format!("http://{}", door.address()), file: String::new() };
    reader.passes(manual("> keys.pem"));
    reader.passes("curl -fsSO \"$SERVER/api/releases/$RELEASE/evidence/sbom.cdx.json\"");
    let strict = "python3 -c \"from cyclonedx.schema import SchemaVersion; \
                  from cyclonedx.validation.json import JsonStrictValidator; \
                  assert not JsonStrictValidator(SchemaVersion.V1_5).validate_str(open('sbom.cdx.json').read())\"";
    reader.passes(strict);
    // The kind of a digest, a digest, and the kind of a thing.
    for what in ["\"alg\":\"", "\"content\":\"", "\"type\":\""] {
        reader.notices("sbom.cdx.json", inside(what, 0), strict);
    }
    assert_eq!(
        reader.passes("jq -r '.components[].purl' sbom.cdx.json"),
        "pkg:cargo/serde@1.0.0\npkg:pypi/six@1.16.0\n"
    );
    let tree = "jq -r '.metadata.properties[] | select(.name == \"liftlock:tree\").value' sbom.cdx.json";
    assert_eq!(reader.passes(tree), "as built\n");
    reader.passes(manual("mkdir release"));
    let whole = "liftlock verify release --keys keys.pem";
    assert!(reader.passes(whole).contains("made of what sbom.cdx.json lists"));
    let said = reader.notices("release/sbom.cdx.json", middle, whole);
    assert!(said.contains("is not what belongs to it"), "{said}");

    lock("1.0.1");
    let push = yard.push("hello", "feat: newer", "page");
    assert_eq!(deliver(&door, &push.delivery()).unwrap(), 202);
    let second = "/api/releases/plain:hello/hello/2/evidence/sbom.cdx.json";
    let begun = clock::monotonic();
    while request(&door, "GET", second, &[], "").unwrap().0 != 200 {
        assert!(begun.elapsed() < PATIENCE, "the second is not signed\n{}", server.log_tail());
        std::thread::sleep(GLANCE);
    }
    let differs = "liftlock sbom diff sbom.cdx.json plain:hello/hello/2 --server $SERVER";
    assert_eq!(reader.passes(differs), "~ pkg:cargo/serde 1.0.0 -> 1.0.1\n");
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
    keeper.finish(&yard, &door, &server, &mut eyes).await;
    let signed = |seen: &Seen| seen.events.iter().filter(|e| e.kind == "attested").count() == 3;
    let seen = until("all is signed", (&yard, &[&server]), &mut eyes, signed).await;
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
        "build.link",
        "stage-test.link",
        "approve-prod-1.link",
        "stage-prod.link",
    ];
    // The name of a link has the beginning of its key's name, too.
    let names = names.iter().map(|name| match name.strip_suffix(".link").and_then(|n| n.rsplit_once('.')) {
        Some((step, _)) => format!("{step}.link"),
        None => (*name).to_owned(),
    });
    // Two stages that were passed by then may be signed in either order.
    assert_eq!(names.collect::<BTreeSet<_>>(), wanted.map(str::to_owned).into());
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
    fetch(&reader);
    let ssh = manual("ssh-keygen");
    reader.passes(manual("liftlock verify \"$FILE\""));
    // The old key signs nothing any more, and was good when it did.
    let at = |time: &str| ssh.replace("-Y verify", &format!("-Y verify -O verify-time={time}Z"));
    assert!(!reader.run(&at("20990101000000")).status.success());
    let signed = list["evidence"][4]["signed"].as_str().unwrap();
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
    swap(&yard, digest);
    let (status, said) = get(&format!("files/{file}"));
    assert_ne!(status, 200, "{said}");
    assert_eq!(get(&format!("files/{file}")).0, 404, "it was put aside");
    assert_eq!(get("files/other").0, 404);
    server.kill();
}
