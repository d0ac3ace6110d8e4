//! What was built already is not built again: hashed, taken over and told of; everything else is built.

use liftlock::artifact::file::write_synced;
use liftlock::domain::evidence::{PROVENANCE_FILE, REUSED_FILE, file};
use liftlock::domain::name::Digest;
use liftlock::domain::release::Release;
use liftlock::http::answers::Answers;
use liftlock::http::api::Reader;
use liftlock::http::builds::WhichBuilds;

use super::tree::sample;
use super::world::{CANARY, DEV, EVE, REPO, World};
use crate::github::Pull;

const BY_COMMIT: &str = r"version: 1
name: shop
triggers: {push: {}, tags: ['v*']}
build: sh build.sh
reuse: commit
artifacts: dist
deploy: sh deploy.sh
stages: [test]
";

const BY_TREE: &str = r"version: 1
name: shop
build: {run: sh build.sh, env: {MODE: fast}}
reuse: tree
artifacts: dist
deploy: sh deploy.sh
stages: [test]
";

/// The newest release.
async fn newest(world: &World) -> Release {
    let state = world.state("shop").await;
    Release::clone(state.releases.values().next_back().unwrap())
}

async fn tagged(world: &mut World, tag: &str, commit: &str) -> Release {
    world.tree.set(&format!("refs/tags/{tag}"), commit);
    let hook = world.push_hook(&format!("refs/tags/{tag}"), None, Some(commit));
    assert_eq!(world.deliver(&hook).await, 202);
    world.settled().await;
    newest(world).await
}

/// What the registry of builds says of each, newest first: its version, and whose build it was.
async fn registered(world: &World) -> Vec<(String, Option<String>)> {
    let answers = Answers::new(world.service().clone(), None);
    let rows = answers.builds(&WhichBuilds::default()).await.unwrap();
    rows.into_iter().map(|row| (row.version, row.reused.map(|over| over.of))).collect()
}

/// The log of the last build.
async fn build_log(world: &World, release: &Release) -> String {
    world.log(&format!("github:12/shop/{}/build/{}", release.no(), release.build_attempt)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e08_e10_e18_t44_a_tag_takes_the_bytes_that_its_commit_was_built_to() {
    let mut world = World::of(sample(BY_COMMIT)).await;
    let commit = world.push("feat: sell shoes").await;
    world.settled().await;
    let candidate = newest(&world).await;
    let log = build_log(&world, &candidate).await;
    assert!(log.contains(&format!("built  of {commit} with token")), "it is told no version: {log}");

    let release = tagged(&mut world, "v3.1.0", &commit).await;
    assert_eq!(release.created.version.to_string(), "v3.1.0");
    assert_eq!(release.artifacts, candidate.artifacts);
    let over = release.reused.as_ref().unwrap();
    assert_eq!((over.by.to_string(), over.tree.clone()), (candidate.created.version.to_string(), None));
    let log = build_log(&world, &release).await;
    assert!(
        log.contains("nothing is built: the artifact of v0.1.0-rc.1, built from the same commit"),
        "{log}"
    );
    assert!(!log.contains("with token"), "no command ran: {log}");
    assert_eq!(world.live(), ["test v0.1.0-rc.1", "test v3.1.0"]);
    let candidate_version = candidate.created.version.to_string();
    assert_eq!(
        registered(&world).await,
        [("v3.1.0".to_owned(), Some(candidate_version.clone())), (candidate_version, None)]
    );

    // The provenance is that of the build, byte for byte; what was taken over is signed beside it.
    let provenance = file(&release, PROVENANCE_FILE).unwrap();
    assert_eq!(provenance, file(&candidate_now(&world, &candidate).await, PROVENANCE_FILE).unwrap());
    let said = signed(&world, &release, REUSED_FILE);
    assert_eq!(said["predicate"]["commit"]["gitCommit"], commit.as_str());
    assert_eq!(said["predicate"]["builtFor"]["name"], "v0.1.0-rc.1");
    assert_eq!(said["subject"][0]["digest"]["sha256"], release.artifacts[0].digest.hex());

    // Bytes that changed in the store are taken by nobody, and are an alarm about whoever has them.
    let blob = world.data().join("artifacts/blobs/sha256").join(release.artifacts[0].digest.hex());
    std::fs::remove_file(&blob).unwrap();
    write_synced(&blob, b"other bytes", 0o444).unwrap();
    let rebuilt = tagged(&mut world, "v3.2.0", &commit).await;
    assert_eq!(rebuilt.reused, None);
    let log = build_log(&world, &rebuilt).await;
    assert!(log.contains("is not taken over: digest mismatch"), "{log}");
    assert!(log.contains("with token"), "it is built: {log}");
    let state = world.state("shop").await;
    assert!(state.tampered(release.no()), "{:?}", state.alarms);
    end(world, Some(2)).await;
}

/// Reads what was said, and looks whether that is all.
async fn end(world: World, alarmed: Option<u64>) {
    let threads: Vec<u64> = world.github.state().repos[&REPO].issues.keys().copied().collect();
    for thread in threads {
        let mut said = world.hears(thread).await;
        if alarmed == Some(thread) {
            said += &world.hears(thread).await;
            assert!(said.contains("they are in quarantine"), "{said}");
        }
    }
    world.finish().await;
}

/// The release as it is now.
async fn candidate_now(world: &World, release: &Release) -> Release {
    Release::clone(world.state("shop").await.release(release.no()).unwrap())
}

/// What a statement of a release says.
fn signed(world: &World, release: &Release, name: &str) -> serde_json::Value {
    use base64::Engine as _;
    let kept = file(release, name).unwrap_or_else(|| panic!("{name} is not among {:?}", release.evidence));
    let path = world.data().join("artifacts/blobs/sha256").join(kept.digest.hex());
    let envelope: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let payload = envelope["payload"].as_str().unwrap();
    let text = base64::engine::general_purpose::STANDARD.decode(payload).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e08_e10_t44_a_commit_with_the_tree_of_another_takes_its_bytes_and_other_terms_do_not() {
    let mut world = World::of(sample(BY_TREE)).await;
    world.push_files(&[("src/app.txt", "shoes\n")], "feat: sell shoes").await;
    world.settled().await;
    let first = newest(&world).await;
    world.push_files(&[("src/app.txt", "hats\n")], "feat: sell hats").await;
    world.settled().await;
    let second = newest(&world).await;
    assert_eq!(second.reused, None);

    let back = world.push_files(&[("src/app.txt", "shoes\n")], "revert: sell shoes again").await;
    world.settled().await;
    let third = newest(&world).await;
    let over = third.reused.as_ref().unwrap();
    assert_eq!(over.commit, first.created.commit);
    assert_eq!(over.tree, third.created.tree);
    assert_eq!((&third.artifacts, third.created.commit.as_str()), (&first.artifacts, back.as_str()));
    assert!(third.locks.is_some() && third.locks == first.locks, "what it is made of goes along");
    let said = signed(&world, &third, REUSED_FILE);
    assert_eq!(said["predicate"]["tree"]["gitTree"], over.tree.as_ref().unwrap().as_str());
    assert_eq!(said["predicate"]["builtFrom"]["gitCommit"], first.created.commit.as_str());

    // The same files in another build are another tree, and the same build of other files, too.
    let manifest = BY_TREE.replace("MODE: fast", "MODE: slow");
    world.push_files(&[(".github/liftlock.yml", &manifest)], "fix: slowly").await;
    world.settled().await;
    assert_eq!(newest(&world).await.reused, None);
    end(world, None).await;
}

const OF_PULL_REQUESTS: &str = r"version: 1
name: shop
triggers: {push: {}, pull_request: {}}
build: sh build.sh
reuse: tree
artifacts: dist
deploy: sh deploy.sh
stages: [test]
";

/// Opens pull request `number` by somebody with one file, and waits for its quality build: the head and its status.
async fn proposed(world: &mut World, number: u64, by: u64) -> (String, String) {
    let name = format!("src/{number}.txt");
    let head = world.tree.commit(&format!("topic-{number}"), &[(&name, "shoes\n")], "feat: shoes");
    world.github.state().issue(REPO, number, by, Some(Pull { head: head.clone(), merged: None }));
    let opened = world.github.state().pull_request(REPO, number, "opened", by);
    assert_eq!(world.deliver(&opened).await, 202);
    let said = world.status(&head, "liftlock/build", "success").await;
    world.settled().await;
    (head, said)
}

/// Squashes what is in the working tree onto main, as pull request `number`, and gives the release of it.
async fn squashed(world: &mut World, number: u64, head: &str) -> Release {
    let main = world.tree.head("main").unwrap();
    let merged = world.tree.commit_on("main", (vec![&main], &[]), "feat: shoes, squashed");
    let pull = Pull { head: head.to_owned(), merged: Some(merged.clone()) };
    world.github.state().issue(REPO, number, DEV, Some(pull));
    let hook = world.push_hook("refs/heads/main", Some(&main), Some(&merged));
    assert_eq!(world.deliver(&hook).await, 202);
    world.settled().await;
    newest(world).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e08_e10_e18_t29_t44_a_squash_merge_releases_what_the_pull_request_built() {
    let mut world = World::of(sample(OF_PULL_REQUESTS)).await;
    let (head, said) = proposed(&mut world, 4, DEV).await;
    assert_eq!(said, "Quality build passed; a release with this tree takes what it built");
    assert_eq!(world.state("shop").await.releases.len(), 0, "it is no release");
    let log = world.log(&format!("github:12/shop/check-{}/1", &head[..7])).await;
    assert!(log.contains("built  of  with token none"), "{log}");
    assert!(log.contains("sealed dist as sha256:"), "{log}");

    let release = squashed(&mut world, 4, &head).await;
    assert_ne!(release.created.commit.as_str(), head);
    let over = release.reused.as_ref().unwrap();
    assert_eq!((over.by.to_string().as_str(), over.commit.as_str()), ("pull request #4", head.as_str()));
    assert_eq!(over.tree, release.created.tree);
    let state = world.state("shop").await;
    let check = &state.checks[&head.parse().unwrap()];
    assert!(release.locks.is_some() && release.locks == check.locks, "what it is made of goes along");
    let log = build_log(&world, &release).await;
    assert!(log.contains("nothing is built: the artifact of pull request #4"), "{log}");
    let version = release.created.version.to_string();
    assert_eq!(registered(&world).await, [(version, Some("pull request #4".to_owned()))]);
    assert!(!log.contains("with token"), "{log}");
    // Commit, tree and digest are in one signed statement, and the provenance says which commit was built.
    let said = signed(&world, &release, REUSED_FILE);
    assert_eq!(said["predicate"]["commit"]["gitCommit"], release.created.commit.as_str());
    assert_eq!(said["predicate"]["tree"]["gitTree"], over.tree.as_ref().unwrap().as_str());
    assert_eq!(said["subject"][0]["digest"]["sha256"], release.artifacts[0].digest.hex());
    let said = signed(&world, &release, PROVENANCE_FILE);
    let built = &said["predicate"]["buildDefinition"];
    assert_eq!(built["resolvedDependencies"][0]["digest"]["gitCommit"], head.as_str());
    assert_eq!(built["externalParameters"]["ref"], "pull request #4");
    let thread = world.hears(4).await;
    assert!(thread.contains("is live in test"), "{thread}");

    // Stored bytes that are not what was sealed are built again.
    let (head, _) = proposed(&mut world, 5, DEV).await;
    let left = world.state("shop").await.checks[&head.parse().unwrap()].left().to_vec();
    let blob = world.data().join("artifacts/blobs/sha256").join(left[0].digest.hex());
    std::fs::remove_file(&blob).unwrap();
    write_synced(&blob, b"other bytes", 0o444).unwrap();
    let release = squashed(&mut world, 5, &head).await;
    assert_eq!(release.reused, None);
    let log = build_log(&world, &release).await;
    assert!(log.contains("the artifact of pull request #5") && log.contains("is not taken over"), "{log}");
    assert_eq!(release.artifacts, left, "what is built of the same tree is the same");
    world.hears(5).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t29_e10_what_a_bot_or_a_reader_proposed_is_built_again_when_it_is_merged() {
    let mut world = World::of(sample(OF_PULL_REQUESTS)).await;
    world.github.state().user(50, "robot[bot]", "Bot");
    for (number, by) in [(4, 50), (5, EVE)] {
        let (head, said) = proposed(&mut world, number, by).await;
        assert_eq!(said, "Quality build passed");
        let state = world.state("shop").await;
        let check = &state.checks[&head.parse().unwrap()];
        assert_eq!((check.tree.clone(), check.left()), (None, &[][..]));
        let release = squashed(&mut world, number, &head).await;
        assert_eq!(release.reused, None);
        world.hears(number).await;
    }
    world.finish().await;
}

/// The manifest and the commit stay as they are, and what the server gives a build does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e10_e18_t47_another_secret_or_toolchain_is_another_build() {
    const OTHER: &str = "another-canary-51c0ffee";
    let secret = "build: {run: sh build.sh, secrets: [SHOP_TOKEN]}";
    let mut world = World::of(sample(&BY_COMMIT.replace("build: sh build.sh", secret))).await;
    let commit = world.push("feat: sell shoes").await;
    world.settled().await;
    let first = newest(&world).await;
    let taken = |release: &Release| release.reused.as_ref().map(|over| over.by.to_string());
    // Another start of the same server is the same executor.
    again(&mut world).await;
    let over = tagged(&mut world, "v3.0.0", &commit).await;
    assert_eq!(taken(&over), Some("v0.1.0-rc.1".to_owned()));
    assert_eq!((over.executor.clone(), first.executor.is_some()), (first.executor.clone(), true));

    world.token = OTHER;
    again(&mut world).await;
    let other = tagged(&mut world, "v3.1.0", &commit).await;
    assert_eq!(taken(&other), None, "it was built with another token");
    assert_eq!(taken(&tagged(&mut world, "v3.2.0", &commit).await), Some("v3.1.0".to_owned()));

    world.toolchains = vec!["/opt".into()];
    again(&mut world).await;
    assert_eq!(taken(&tagged(&mut world, "v3.3.0", &commit).await), None, "it was built by other tools");

    // What was given before is known again, whatever was built since.
    (world.token, world.toolchains) = (CANARY, Vec::new());
    again(&mut world).await;
    let back = tagged(&mut world, "v3.4.0", &commit).await;
    assert_eq!((taken(&back), back.executor), (Some("v3.0.0".to_owned()), first.executor));

    // Nobody who reads the log or a statement can try secrets against it.
    let all = world.said_and_kept().await;
    for token in [CANARY, OTHER] {
        assert!(!all.contains(token) && !all.contains(Digest::of_text(token).hex()), "{all}");
    }
    end(world, None).await;
}

/// The server stops and starts again.
async fn again(world: &mut World) {
    world.settled().await;
    world.sleep().await;
    world.wake().await;
}
