//! Folders of downloads that are kept from one release of a branch to the next (`build.cache`).

use std::fs::File;
use std::io::Write as _;

use super::images::{PASSWORD, Running, base_image, registry};
use super::tree::sample;
use super::world::{DEV, REPO, World, files_below};
use crate::github::Pull;

const CACHED: &str = r#"version: 1
name: shop
triggers: {push: {}, pull_request: {}}
build:
  image: "BASE"
  cache: [.packages]
  run: |
    mkdir -p dist
    if ls .packages/shop.zip 2>/dev/null; then
      echo "they are there"
    else
      mkdir .packages
      cat src/app.txt > .packages/shop.zip
      echo "they were downloaded"
    fi
    cp .packages/shop.zip dist/
    if ls leak.txt 2>/dev/null; then echo "$SHOP_TOKEN" > .packages/token; fi
  secrets: [SHOP_TOKEN]
artifacts: [dist]
deploy: 'echo $STAGE $(cat shop.zip) >> $TARGET/journal'
stages: [test]
"#;

const LOCK: &str = "requirements.txt";

/// A world whose pipeline builds in an image and keeps what it downloads.
async fn world(running: &Running) -> World {
    let mut world = World::asleep(sample(&CACHED.replace("BASE", &base_image(running).await))).await;
    world.registries = vec![registry(&running.address, "none", PASSWORD)];
    world.sleep().await;
    world.wake().await;
    world
}

/// The log of the build of this release.
async fn built(world: &mut World, files: &[(&str, &str)], no: u32) -> String {
    let commit = world.push_files(files, "feat: sell shoes").await;
    world.status(&commit, "liftlock/test", "success").await;
    world.log(&format!("github:12/shop/{no}/build/1")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b18_what_a_build_downloads_is_kept_for_the_same_image_and_lock_files() {
    let running = Running::start();
    let mut world = world(&running).await;
    let log = built(&mut world, &[("src/app.txt", "boots")], 1).await;
    assert!(log.contains("cache is not used: the tree has no lock file"), "{log}");

    let log = built(&mut world, &[(LOCK, "six==1.16.0"), ("src/app.txt", "shoes")], 2).await;
    assert!(log.contains("cache miss: no build has left anything for image sha256:"), "{log}");
    assert!(log.contains("they were downloaded") && log.contains("cache keeps .packages ("), "{log}");

    let log = built(&mut world, &[("src/app.txt", "hats")], 3).await;
    assert!(log.contains("cache hit: .packages, as v0.1.0-rc.2 left it, for image sha256:"), "{log}");
    assert!(log.contains("they are there") && !log.contains("cache keeps"), "{log}");

    let log = built(&mut world, &[(LOCK, "six==1.17.0"), ("src/app.txt", "gloves")], 4).await;
    assert!(log.contains("cache miss") && log.contains("they were downloaded"), "{log}");
    world.drain().await;
    assert_eq!(world.deployed(), ["test boots", "test shoes", "test shoes", "test gloves"]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t44_pull_requests_are_given_nothing_of_a_branch_and_leave_it_nothing() {
    let running = Running::start();
    let mut world = world(&running).await;
    built(&mut world, &[(LOCK, "six==1.16.0"), ("src/app.txt", "shoes")], 1).await;

    let head = world.tree.commit("topic", &[("src/app.txt", "hats")], "feat: hats");
    world.github.state().issue(REPO, 4, DEV, Some(Pull { head: head.clone(), merged: None }));
    let opened = world.github.state().pull_request(REPO, 4, "opened", DEV);
    assert_eq!(world.deliver(&opened).await, 202);
    world.status(&head, "liftlock/build", "success").await;
    let log = world.log(&format!("github:12/shop/check-{}/1", &head[..7])).await;
    assert!(log.contains("cache is not used: pull requests are given nothing and leave nothing"), "{log}");
    assert!(log.contains("they were downloaded"), "{log}");
    world.drain().await;
    world.finish().await;
}

/// What a disk or a hand has changed is not brought, and no secret outlives its build.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t44_kept_folders_that_were_changed_or_hold_a_secret_are_not_used() {
    let running = Running::start();
    let mut world = world(&running).await;
    let log = built(&mut world, &[(LOCK, "six==1.16.0"), ("leak.txt", "now")], 1).await;
    assert!(log.contains("cache keeps nothing of this build: "), "{log}");
    assert!(log.contains("holds the secret SHOP_TOKEN"), "{log}");

    world.tree.remove("leak.txt");
    let log = built(&mut world, &[("src/app.txt", "shoes")], 2).await;
    assert!(log.contains("cache miss: no build") && log.contains("cache keeps .packages"), "{log}");
    let blobs = files_below(&world.data().join("downloads"));
    let blob = blobs.iter().find(|path| path.components().any(|part| part.as_os_str() == "sha256")).unwrap();
    std::fs::remove_file(blob).unwrap();
    File::create(blob).unwrap().write_all(b"anything").unwrap();

    let log = built(&mut world, &[("src/app.txt", "hats")], 3).await;
    assert!(log.contains("cache miss: what was kept is of no use (digest mismatch"), "{log}");
    assert!(log.contains("they were downloaded") && log.contains("cache keeps .packages"), "{log}");
    let log = built(&mut world, &[("src/app.txt", "gloves")], 4).await;
    assert!(log.contains("cache hit"), "{log}");
    world.drain().await;
    world.finish().await;
}
