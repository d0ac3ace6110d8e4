//! The contract of a release: files, checksums, statements and signatures that are promised, looked at in every stage.

use std::path::Path;
use std::process::{Command, Output};

use liftlock::domain::evidence::files;

use super::tree::sample;
use super::world::{ANA, World};

/// The zip is there once `with-zip` is in the tree.
const PROMISED: &str = r#"version: 1
name: shop
build: sh build.sh
artifacts: dist
deploy: sh deploy.sh
release:
  contract:
    sbom: true
    assets:
      - dist
      - {artifact: dist, files: "*.json", kind: json, max_size: 1kB, checksum: true}
checks: {last: {run: 'true'}}
stages:
  - name: test
    rollback: {approval: 1}
    verify: {parallel: [contract, asset], then: [last]}
  - {name: prod, approval: 1, rollback: {approval: 1}}
"#;

const BUILD: &str = "mkdir -p dist; cp commit.txt deploy.sh dist/; echo '{\"app\": 1}' > dist/app.json; (cd dist; sha256sum app.json > SHA256SUMS)";
const BARE: &str = "mkdir -p dist; cp commit.txt dist/";
const LOCK: (&str, &str) = (
    "Cargo.lock",
    "version = 4\n\n[[package]]\nname = \"serde\"\nversion = \"1.0.1\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n",
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d02_d07_d25_d38_t45_what_is_promised_is_looked_at_in_every_stage_and_never_passed_over() {
    let mut world = World::of(sample(PROMISED)).await;
    // A file that is missing: nothing is deployed, and people are told which it is.
    let commit = world.merge_files(1, &[("build.sh", BARE), LOCK], "feat: sell shoes").await;
    let failed = world.hears(1).await;
    assert!(failed.contains("failed in test at \"contract\""), "{failed}");
    let status = world.status(&commit, "liftlock/test", "failure").await;
    assert!(status.contains("dist: it has no file `*.json`"), "{status}");
    assert_eq!(world.deployed(), Vec::<String>::new());
    let said = world.say(1, ANA, "/override test contract -- it is not needed today").await;
    assert!(world.hears(1).await.contains("what does not keep its contract is not a release"));
    assert_eq!(world.reactions(said), ["confused"]);

    let commit = world.merge_files(2, &[("build.sh", BUILD)], "fix: the file is there").await;
    let ready = world.hears(2).await;
    assert!(ready.contains("is ready for prod"), "{ready}");
    world.status(&commit, "liftlock/test/contract", "success").await;
    world.status(&commit, "liftlock/test/asset", "success").await;
    assert_eq!(world.deployed().len(), 1);

    // Evidence that is gone is a promise that is not kept, whatever was good before.
    let state = world.state("shop").await;
    let release = state.releases.values().last().unwrap();
    let bill = files(release).find(|kept| kept.name == "sbom.cdx.json").unwrap().digest.clone();
    world.settled().await;
    std::fs::remove_file(world.data().join("artifacts/blobs/sha256").join(bill.hex())).unwrap();
    world.say(2, ANA, "/approve prod").await;
    let failed = world.hears(2).await;
    assert!(failed.contains("failed in prod at \"contract\""), "{failed}");
    let status = world.status(&commit, "liftlock/prod", "failure").await;
    assert!(status.contains("sbom.cdx.json: it is no longer there"), "{status}");
    assert_eq!(world.deployed().len(), 1);
    world.finish().await;
}

/// A ring of people alone.
const IDLE: &str = r#"version: 1
name: shop
build: sh build.sh
artifacts: dist
release: {contract: {sbom: true, assets: [{artifact: dist, files: "*.txt"}]}}
stages: [{name: test, agent: none}]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d25_d30_a_ring_without_commands_looks_as_well() {
    let mut world = World::of(sample(IDLE)).await;
    // Nothing says what the release is made of.
    let commit = world.merge_files(1, &[("build.sh", BARE)], "feat: sell shoes").await;
    let failed = world.hears(1).await;
    assert!(failed.contains("at \"contract\"** (sbom.cdx.json: there is none"), "{failed}");
    world.status(&commit, "liftlock/test", "failure").await;
    let commit = world.merge_files(2, &[LOCK], "chore: lock what it is made of").await;
    assert!(world.hears(2).await.contains("is live in test"));
    world.status(&commit, "liftlock/test", "success").await;
    world.finish().await;
}

fn sh(folder: &Path, script: &str) {
    let done = Command::new("/bin/sh").args(["-ec", script]).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
}

fn validate(folder: &Path, what: &str, contract: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_liftlock"))
        .args(["validate", what, "--contract", contract, "dist"])
        .current_dir(folder)
        .output()
        .unwrap()
}

#[test]
fn d20_t45_what_ssh_and_minisign_signed_is_verified_by_the_keys_of_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    sh(
        at,
        "mkdir dist; echo app > dist/app.bin; echo lib > dist/lib.bin; echo ec > dist/ec.bin
         ssh-keygen -q -t ed25519 -N '' -f ed; ssh-keygen -q -t ecdsa -b 256 -N '' -f ec; ssh-keygen -q -t ed25519 -N '' -f other
         ssh-keygen -q -Y sign -n file -f ed dist/app.bin; ssh-keygen -q -Y sign -n file -f ec dist/ec.bin
         minisign -G -W -p mini.pub -s mini.key >/dev/null; minisign -S -s mini.key -m dist/lib.bin >/dev/null",
    );
    let read = |name: &str| std::fs::read_to_string(at.join(name)).unwrap();
    let contract = |keys: &[String]| {
        serde_json::json!({"assets": [{"artifact": "dist", "files": "*.bin", "signed": true}], "keys": keys})
            .to_string()
    };
    let minisign = read("mini.pub").lines().nth(1).unwrap().to_owned();
    let keys = [read("ed.pub").trim().to_owned(), read("ec.pub").trim().to_owned(), minisign];
    for what in ["signing", "contract"] {
        let good = validate(at, what, &contract(&keys));
        let out = String::from_utf8_lossy(&good.stdout).into_owned();
        assert!(good.status.success(), "{out}{}", String::from_utf8_lossy(&good.stderr));
        assert!(
            out.contains("3 signed by keys of the contract, 0 by somebody who is not known here"),
            "{out}"
        );
    }
    let said = |output: Output| {
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let other = said(validate(at, "signing", &contract(&[read("other.pub").trim().to_owned()])));
    assert!(
        other.contains("app.bin.sig: none of these keys signed it, or it was changed since, and 2 more"),
        "{other}"
    );
    sh(at, "echo changed >> dist/lib.bin");
    let changed = said(validate(at, "contract", &contract(&keys)));
    assert_eq!(
        changed,
        "error: contract: dist/lib.bin: lib.bin.minisig: none of these keys signed it, or it was changed since\n"
    );
    // A signature that was made for something else is none of a file.
    sh(at, "echo lib > dist/lib.bin; rm dist/app.bin.sig; ssh-keygen -q -Y sign -n git -f ed dist/app.bin");
    let wrong = said(validate(at, "signing", &contract(&keys)));
    assert!(wrong.contains("app.bin.sig: it is no signature of a file"), "{wrong}");
    sh(at, "rm dist/app.bin.sig");
    assert!(said(validate(at, "contract", &contract(&keys))).contains("dist/app.bin: it is not signed"));
}
