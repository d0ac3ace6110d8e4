//! Documents that steps write of their release: notes, checksums, `release.json`, for later steps and for outlets.

use std::fs::File;
use std::io::Write as _;

use liftlock::clock;
use liftlock::domain::document::{documents, envelope};
use liftlock::domain::evidence::{ENVELOPE, Matter};
use liftlock::publish::Kind;
use liftlock::publish::folder::Folder;
use liftlock::sign::{FOLDER, Keys, Public};

use super::tree::sample;
use super::world::{ANA, World, cdn_outlet};

const MANIFEST: &str = r#"version: 1
name: shop
build: sh build.sh
artifacts: [dist, {alias: readme, path: dist/app.txt}]
stages:
  - name: staging
    deploy:
      - {uses: release-notes}
      - {uses: checksums, with: {algorithm: sha512}}
      - {uses: release-metadata}
      - 'mkdir -p "$TARGET/seen"; cp "$LIFTLOCK_DOCUMENTS"/* "$TARGET/seen"; test ! -e "$TARGET/red"'
  - name: publish
    approval: 1
    deploy:
      - 'test -s "$LIFTLOCK_DOCUMENTS/RELEASE_NOTES.md"'
      - {uses: publish, with: {to: cdn}}
      - {uses: publish, with: {to: cdn, what: documents}}
"#;

async fn world() -> World {
    let folder = |world: &World| Kind::Folder(Folder { path: world.target().join("cdn") });
    World::publishing(sample(MANIFEST), |world| vec![cdn_outlet(folder(world), "shop/publish")]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d35_d36_d37_d44_what_a_stage_writes_down_is_kept_and_published_by_another() {
    let mut world = world().await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is ready for publish"));
    let names = ["RELEASE_NOTES.md", "SHA512SUMS", "SHA512SUMS.minisig", "SHA512SUMS.sig", "release.json"];
    let state = world.state("shop").await;
    let written: Vec<String> =
        documents(state.releases.values().next().unwrap()).keys().map(|name| (*name).to_owned()).collect();
    assert_eq!(written, names);
    // The notes are those that everybody sees from then on.
    let notes = std::fs::read_to_string(world.target().join("seen/RELEASE_NOTES.md")).unwrap();
    assert!(notes.contains("sell shoes"), "{notes}");
    let kept = state.releases.values().next().unwrap().notes.clone().unwrap();
    assert!(kept.frozen && kept.text == notes);

    world.say(1, ANA, "/approve publish").await;
    assert!(world.hears(1).await.contains("is live in publish"));
    let there = world.target().join("cdn/v0.1.0-rc.1");
    let mut published: Vec<String> =
        there.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    published.sort();
    assert_eq!(
        published,
        [&names[..1], &["SHA256SUMS"], &names[1..4], &["dist.tar.zst", "readme"], &names[4..]].concat()
    );
    let check = "sha512sum --strict -c SHA512SUMS && sha256sum --strict -c SHA256SUMS && grep -q 0.1.0-rc.1 release.json";
    let done =
        std::process::Command::new("/bin/sh").args(["-ec", check]).current_dir(&there).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    world.settled().await;
    let sticky = world.sticky();
    assert!(sticky.contains("cdn (documents)"), "{sticky}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d37_a_later_attempt_writes_what_is_true_then() {
    let mut world = world().await;
    world.plant("red");
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("failed in staging"));
    let digest = async |world: &World, name: &str| {
        let state = world.state("shop").await;
        documents(state.releases.values().next().unwrap())[name].digest.clone()
    };
    let (before, sums) = (digest(&world, "release.json").await, digest(&world, "SHA512SUMS").await);
    world.unplant("red");
    world.say(1, ANA, "/retry staging").await;
    assert!(world.hears(1).await.contains("is ready for publish"));
    assert_ne!(digest(&world, "release.json").await, before, "it tells of the first attempt");
    assert_eq!(digest(&world, "SHA512SUMS").await, sums);
    let text = std::fs::read_to_string(world.target().join("seen/release.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json.pointer("/stages/0/attempts/0/state").unwrap(), "failed");
    world.finish().await;
}

/// Two stages write a list for each file, and the second has other files and one more.
const LISTS: &str = r#"version: 1
name: shop
build: sh build.sh
artifacts: [dist, {alias: readme, path: dist/app.txt}]
stages:
  - name: staging
    deploy:
      - {uses: checksums, with: {algorithm: sha256, aggregate: false}}
      - {uses: checksums, with: {algorithm: sha512, aggregate: false}}
  - name: sign
    deploy:
      - {name: sign, run: 'echo signed >> "$LIFTLOCK_SEAL/readme"; echo more > "$LIFTLOCK_SEAL/zip"', derives: [readme], artifacts: [zip]}
      - {uses: checksums, with: {algorithm: sha256, aggregate: false}}
  - name: publish
    approval: 1
    deploy:
      - {uses: publish, with: {to: cdn}}
      - {uses: publish, with: {to: cdn, what: evidence}}
"#;

/// What the second stage wrote takes the place of the first one's lists and of what was signed about them: whoever has
/// the folder can prove it, whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d36_t45_lists_of_two_stages_share_no_statement_and_the_folder_is_proven() {
    let folder = |world: &World| Kind::Folder(Folder { path: world.target().join("cdn") });
    let outlets = |world: &World| vec![cdn_outlet(folder(world), "shop/publish")];
    let mut world = World::publishing(sample(LISTS), outlets).await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is ready for publish"));
    world.settled().await;
    world.say(1, ANA, "/approve publish").await;
    assert!(world.hears(1).await.contains("is live in publish"));
    world.settled().await;

    // Also in the log no two statements have one name, but for lists of one name.
    let state = world.state("shop").await;
    let release = state.releases.values().next().unwrap();
    let written = release.evidence.iter().filter(|signed| matches!(signed.what, Matter::Written { .. }));
    for signed in written {
        let (statements, lists): (Vec<&str>, Vec<&str>) =
            signed.files.iter().map(|file| file.name.as_str()).partition(|name| name.ends_with(ENVELOPE));
        let is_signature = |name: &str| [".sig", ".minisig"].iter().any(|ending| name.ends_with(ending));
        let lists = lists.into_iter().filter(|name| !is_signature(name));
        assert_eq!(statements, lists.map(envelope).collect::<Vec<_>>());
    }

    let keys = Keys::of_folder(&world.data().join(FOLDER), clock::now()).unwrap().public().unwrap();
    let pem: String = keys.iter().map(Public::pem).collect();
    let trusted = world.target().join("keys.pem");
    File::create(&trusted).unwrap().write_all(pem.as_bytes()).unwrap();
    let there = world.target().join("cdn/v0.1.0-rc.1");
    let verify = || {
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_liftlock"));
        let mut command = std::process::Command::new(program);
        let output = command.args(["verify", "--keys"]).args([&trusted, &there]).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (proven, why) = verify();
    assert!(proven, "{why}");
    for gone in ["dist.tar.zst.sha256", "readme.sha256.sig", "zip.sha256", "readme.sha512"] {
        std::fs::rename(there.join(gone), world.target().join(gone)).unwrap();
        let (proven, why) = verify();
        assert!(!proven && why.contains(&format!("{gone} belongs to it and is not there")), "{why}");
        std::fs::rename(world.target().join(gone), there.join(gone)).unwrap();
    }
    world.finish().await;
}
