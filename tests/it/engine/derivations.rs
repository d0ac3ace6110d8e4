//! Artifacts that a stage makes: sealed when its step has passed, part of the release when the stage's commands have.

use liftlock::domain::name::Digest;
use liftlock::domain::release::Release;

use super::tree::sample;
use super::world::{ANA, CANARY, World};

/// A stage that signs one artifact, packs a further one, asks when told to, and fails when told to.
const MANIFEST: &str = r#"version: 1
name: shop
build: sh build.sh
artifacts: [dist, {alias: notes, path: dist/app.txt}]
release: {contract: {assets: [dist, notes, bundle]}}
stages:
  - name: sign
    verify: [contract]
    deploy:
      - {name: sign, run: 'test ! -e "$TARGET/lazy" && sh sign.sh', derives: [dist, notes]}
      - {name: pack, run: 'cp "$LIFTLOCK_ARTIFACT_NOTES" "$LIFTLOCK_SEAL/bundle"', artifacts: [bundle]}
      - {name: look, if: $(Ask), pause: Is it signed well?}
      - {name: use, run: 'cat "$LIFTLOCK_ARTIFACT_BUNDLE" >> "$TARGET/used"; test ! -e "$TARGET/fail-sign"'}
    variables: {Ask: "ASKS"}
  - name: prod
    approval: 1
    deploy:
      - 'cat "$LIFTLOCK_ARTIFACT_NOTES" "$LIFTLOCK_ARTIFACT_BUNDLE" "$LIFTLOCK_ARTIFACT_DIST/app.txt" >> "$TARGET/got"'
"#;
/// Signs in the copies, which can be written, of what was handed out, which cannot.
const SIGN: &str = r#"set -e
for file in "$LIFTLOCK_SEAL/notes" "$LIFTLOCK_SEAL/dist/app.txt"; do echo signed >> "$file"; done
test ! -e "$TARGET/leak" || echo "$SHOP_TOKEN" >> "$LIFTLOCK_SEAL/notes"
"#;

async fn world(asks: bool) -> World {
    let manifest = MANIFEST.replace("ASKS", if asks { "true" } else { "false" });
    let files = sample(&manifest);
    World::of(files).await
}

/// What the build puts beside the sample's files.
fn build() -> Vec<(&'static str, &'static str)> {
    vec![
        ("build.sh", "set -e\nmkdir -p dist\ncp sign.sh dist/\necho bits > dist/app.txt\n"),
        ("sign.sh", SIGN),
    ]
}

async fn release(world: &World) -> Release {
    let state = world.state("shop").await;
    let only = state.releases.values().next().unwrap();
    Release::clone(only)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d06_d33_d34_e08_what_a_stage_signs_and_packs_is_what_goes_on() {
    let mut world = world(false).await;
    world.plant("fail-sign");
    world.merge_files(1, &build(), "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("failed in sign"), "the step behind them fails");
    let before = release(&world).await;
    assert!(before.revisions.is_empty(), "what a try made that failed is no part of the release");
    let names: Vec<&str> = before.artifacts.iter().map(|sealed| sealed.alias.as_str()).collect();
    assert_eq!(names, ["dist", "notes"]);

    // The next try begins with what was built, so it is signed once.
    world.unplant("fail-sign");
    world.say(1, ANA, "/retry sign").await;
    assert!(world.hears(1).await.contains("/approve prod"));
    let after = release(&world).await;
    assert_ne!(after.digest, before.digest, "people approve other bytes from now on");
    let [revision] = after.revisions.as_slice() else { panic!("{:?}", after.revisions) };
    assert_eq!((revision.no, revision.attempt, revision.digest_before.clone()), (2, 2, before.digest));
    assert_eq!(revision.before, before.artifacts, "the old ones are still known");
    let links: Vec<(&str, bool)> =
        revision.made.iter().map(|made| (made.alias().as_str(), made.was.is_some())).collect();
    assert_eq!(links, [("dist", true), ("notes", true), ("bundle", false)]);
    assert_eq!(after.ever_sealed().count(), 11, "three now, two before, three in each try: all go with it");
    for digest in before.artifacts.iter().chain(&after.artifacts).map(|sealed| &sealed.digest) {
        let blob = world.data().join("artifacts/blobs/sha256").join(digest.hex());
        assert!(blob.exists(), "old and new bytes are kept");
    }

    world.say(1, ANA, "/approve prod").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    assert_eq!(
        world.wrote("got"),
        "bits\nsigned\nbits\nsigned\nbits\nsigned\n",
        "prod gets the signed bytes"
    );
    let notes = after.artifacts.iter().find(|sealed| sealed.alias.as_str() == "notes").unwrap();
    assert_eq!(notes.digest, Digest::of_text("bits\nsigned\n"));
    world.finish().await;
}

/// Whoever goes on behind a question is another worker, on another day.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d34_what_was_signed_before_a_question_is_there_behind_it_also_after_a_death() {
    let mut world = world(true).await;
    world.merge_files(1, &build(), "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("Is it signed well?"));
    world.settled().await;
    assert!(release(&world).await.revisions.is_empty());
    world.die().await;
    world.wake().await;
    world.say(1, ANA, "/resume sign").await;
    let said = world.hears(1).await;
    assert!(said.contains("/approve prod"), "{said}");
    assert_eq!(world.wrote("used"), "bits\nsigned\n");
    assert_eq!(release(&world).await.revisions.len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d33_a_step_that_makes_nothing_fails_and_says_what_is_missing() {
    let manifest = MANIFEST.replace("$LIFTLOCK_SEAL/bundle", "$TARGET/bundle");
    let mut world = World::of(sample(&manifest.replace("ASKS", "false"))).await;
    world.merge_files(1, &build(), "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(
        said.contains("at \"pack\"** (made no `bundle`: nothing of that name is in `$LIFTLOCK_SEAL`"),
        "{said}"
    );
    let manifest =
        manifest.replace("sh sign.sh", "rm \"$LIFTLOCK_SEAL/notes\" && mkdir \"$LIFTLOCK_SEAL/notes\"");
    world.merge_files(2, &[(".github/liftlock.yml", &manifest)], "fix: sign it").await;
    let said = world.hears(2).await.replace('\\', "");
    assert!(said.contains("made no `notes`: it was a file and is a folder"), "{said}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e14_a_secret_that_is_signed_into_an_artifact_is_warned_of() {
    let manifest = MANIFEST.replace("ASKS", "false").replace(
        "    deploy:\n      - {name: sign",
        "    secrets: [SHOP_TOKEN]\n    deploy:\n      - {name: sign",
    );
    let mut world = World::of(sample(&manifest)).await;
    world.plant("leak");
    world.merge_files(1, &build(), "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("holds the secret SHOP_TOKEN, in notes"), "{said}");
    // The bundle is made of them.
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("holds the secret SHOP_TOKEN, in bundle"), "{said}");
    assert!(world.hears(1).await.contains("/approve prod"));
    let state = world.state("shop").await;
    assert!(state.alarms.values().any(|alarm| alarm.text.contains("holds the secret SHOP_TOKEN")));
    assert!(!world.said_and_kept().await.contains(CANARY));
    world.finish().await;
}
