//! Canaries: portions of targets, or of what the commands are told, watched by gates before they go on.
#![expect(clippy::disallowed_methods, reason = "what a test plants needs no sync")]

use super::targets::{local, manifest, versions, world};
use super::world::{ANA, World};

const OLD: &str = "v0.1.0-rc.1";
const NEW: &str = "v0.1.0-rc.2";

fn lines(out: &tempfile::TempDir, name: &str) -> Vec<String> {
    versions(out.path(), name)
}

/// Waits until the release of a commit is held.
async fn held(world: &World, commit: &str, percent: u32) {
    world.status_says(commit, "liftlock/prod", &format!("is held at {percent} % until")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_e24_a_canary_goes_on_by_itself_and_a_red_gate_takes_back_what_it_reached() {
    let out = tempfile::tempdir().unwrap();
    let rest = "targets: {}\n    strategy: {canary: [{percent: 10, for: 1s, gates: [health]}, {percent: 50, for: 1s}, {percent: 100}]}\n    \
                hooks: {after: [{name: arm, run: 'echo armed >> \"$OUT/armed\"', always: true}]}\n    rollback: {auto: [gate_failed]}";
    let mut world = world(out.path(), rest, ["web-1", "web-2", "web-3"].map(local).into()).await;
    world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await;
    assert!(said.contains("is live in prod"), "{said}");
    assert_eq!(lines(&out, "percents"), ["10", "50", "100"], "one target a portion");
    std::fs::write(out.path().join("ill"), "").unwrap();
    world.merge(2, "feat: sell air").await;
    let said = world.hears(2).await.replace('\\', "");
    assert!(
        said.contains("failed in prod at \"canary at 10 %\"** (health says ended with exit code 1"),
        "{said}"
    );
    assert!(said.contains("- web-1: done") && said.contains("- web-2: not reached"), "{said}");
    assert!(said.contains("v0.1.0-rc.1 is put back by itself"), "{said}");
    world.settled().await;
    let ran = ["web-1", "web-2", "web-3"].map(|name| lines(&out, name));
    assert_eq!(
        ran,
        [vec![OLD, NEW, OLD], vec![OLD], vec![OLD]],
        "going back is no canary, and skips what runs it"
    );
    assert_eq!(lines(&out, "armed").len(), 3, "what runs whatever happened did so after each end");
    world.finish().await;
}

/// The server is gone while a canary is held: who comes next knows what runs where, and repeats nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_t57_a_server_that_dies_while_a_canary_is_held_goes_on_when_its_time_is_over() {
    let out = tempfile::tempdir().unwrap();
    let rest =
        "targets: {}\n    strategy: {canary: [{percent: 50, for: 3s, gates: [health]}, {percent: 100}]}";
    let mut world = world(out.path(), rest, ["web-1", "web-2", "web-3"].map(local).into()).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    held(&world, &commit, 50).await;
    world.die().await;
    world.wake().await;
    let said = world.hears(1).await;
    assert!(said.contains("is live in prod"), "{said}");
    let counts = ["web-1", "web-2", "web-3"].map(|name| lines(&out, name).len());
    assert_eq!(counts, [1, 1, 1]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_commands_of_a_canary_without_targets_are_told_how_far_to_go_and_people_end_it() {
    let out = tempfile::tempdir().unwrap();
    let rest = "strategy: {canary: [{percent: 25, for: 1s, gates: [health]}, {percent: 100}]}\n    \
                hooks: {after: [{name: arm, run: 'echo armed >> \"$OUT/armed\"', always: true}]}";
    let mut world = world(out.path(), rest, Vec::new()).await;
    world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await;
    assert!(said.contains("is live in prod"), "{said}");
    assert_eq!(lines(&out, "percents"), ["25", "100"]);
    let longer = manifest(out.path(), &rest.replace("for: 1s", "for: 1h"));
    let files = [(".github/liftlock.yml", longer.as_str()), ("src/app.txt", "socks\n")];
    let commit = world.merge_files(2, &files, "feat: sell socks").await;
    held(&world, &commit, 25).await;
    world.say(2, ANA, "/resume prod").await;
    assert!(world.hears(2).await.contains("nobody shortens that"));
    world.say(2, ANA, "/reject prod -- errors in the log").await;
    let said = world.status(&commit, "liftlock/prod", "failure").await;
    assert!(said.contains("rejected by ana: errors in the log"), "{said}");
    assert!(world.hears(2).await.contains("failed in prod at"));
    world.settled().await;
    assert_eq!(lines(&out, "percents"), ["25", "100", "25"]);
    assert_eq!(lines(&out, "armed").len(), 2);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e15_e23_a_target_that_the_config_loses_while_a_canary_is_held_fails_the_stage() {
    let out = tempfile::tempdir().unwrap();
    let rest =
        "targets: {}\n    strategy: {canary: [{percent: 50, for: 3s, gates: [health]}, {percent: 100}]}";
    let mut world = world(out.path(), rest, ["web-1", "web-2"].map(local).into()).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    held(&world, &commit, 50).await;
    world.sleep().await;
    world.targets = vec![local("web-1")];
    world.wake().await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("the server's config no longer has the target web-2"), "{said}");
    assert!(said.contains("- web-1: done") && said.contains("- web-2: not reached"), "{said}");
    world.finish().await;
}
