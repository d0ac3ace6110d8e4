//! Pipelines that are made of the builds of others (seed 001, Altinn).

use liftlock::domain::evidence::{PROVENANCE_FILE, SHA256SUMS};
use liftlock::http::answers::Answers;
use liftlock::http::api::Reader as _;
use liftlock::http::builds::WhichBuilds;

use super::world::{ANA, World};

/// Studio and Runtime, each with paths of its own, and a release of what they built.
fn altinn(builds: &str) -> String {
    let built = |name: &str| {
        format!(
            "  {name}:
    triggers: {{push: {{paths: ['{name}/**']}}}}
    build: 'test ! -e {name}/broken && mkdir -p out && cp {name}/*.txt out/'
    artifacts: out
    deploy: 'true'
    stages: [quality]
"
        )
    };
    let deploy = "echo \"$STAGE $(cat $LIFTLOCK_ARTIFACT_STUDIO/app.txt) $(cat \
                  $LIFTLOCK_ARTIFACT_RUNTIME/app.txt)\" >> $TARGET/journal";
    format!(
        "version: 1
pipelines:
{}{}  release:
    triggers: {{builds: {builds}}}
    artifacts: [{{alias: Studio, from: build/studio}}, {{alias: Runtime, from: build/runtime}}]
    deploy: '{deploy}'
    stages: [test, {{name: prod, approval: 1}}]
",
        built("studio"),
        built("runtime")
    )
}

async fn world(builds: &str) -> World {
    World::with(&altinn(builds)).await
}

/// A build whose commit the branch has lost goes nowhere, whatever it is joined with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t37_a_release_is_not_made_of_a_build_that_its_branch_has_lost() {
    let mut world = world("{all: [studio, runtime]}").await;
    let first = world
        .push_files(&[("studio/app.txt", "studio-1"), ("runtime/app.txt", "runtime-1")], "feat: both")
        .await;
    world.status(&first, "liftlock/release/test", "success").await;
    let lost = world.push_files(&[("studio/app.txt", "studio-2")], "feat: studio").await;
    world.status(&lost, "liftlock/release/test", "success").await;
    world.drain().await;
    // Its files are in the commit that takes its place, so studio is not built again.
    let files = [("runtime/app.txt", "runtime-2")];
    let other = world.tree.commit_on("main", (vec![&first], &[]), "chore: what came before");
    let third = world.tree.commit_on("main", (vec![&other], &files), "feat: all of it");
    assert_eq!(world.deliver(&world.push_hook("refs/heads/main", Some(&lost), Some(&third))).await, 202);
    let waits = world.status(&third, "liftlock/release/test", "pending").await;
    world.settled().await;
    assert_eq!(world.deployed().last().unwrap(), "test studio-2 runtime-1", "{waits}");
    assert!(
        world.said_and_kept().await.contains(&format!("{}, which is no longer on the branch", &lost[..7]))
    );
    world.drain().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b09_b10_b12_d03_e20_e28_a_release_of_what_two_pipelines_built_has_their_bytes() {
    let manifest = altinn("{all: [studio, runtime]}").replace(
        "stages: [test, ",
        "channels: {stable: {default: true}}\n    stages: [{name: test, channel: Candidates}, ",
    );
    let mut world = World::with(&manifest).await;
    let files = [("studio/app.txt", "studio-1"), ("runtime/app.txt", "runtime-1")];
    let first = world.push_files(&files, "feat: both").await;
    world.status(&first, "liftlock/release/test", "success").await;
    world.settled().await;
    assert_eq!(world.deployed(), ["test studio-1 runtime-1"]);

    // Only studio is built; the release has the runtime of before.
    let second = world.merge_files(2, &[("studio/app.txt", "studio-2")], "feat: studio").await;
    world.status(&second, "liftlock/release/test", "success").await;
    world.drain().await;
    world.say(2, ANA, "/approve prod").await;
    world.status(&second, "liftlock/release/prod", "success").await;
    world.settled().await;
    assert_eq!(world.deployed().last().unwrap(), "prod studio-2 runtime-1");
    let (studio, runtime, release) =
        (world.state("studio").await, world.state("runtime").await, world.state("release").await);
    let sealed = |state: &liftlock::domain::state::State| {
        state.releases.values().map(|r| r.artifacts[0].digest.clone()).collect::<Vec<_>>()
    };
    let [of_studio, of_runtime] = [sealed(&studio), sealed(&runtime)];
    let frozen: Vec<Vec<_>> =
        release.releases.values().map(|r| r.artifacts.iter().map(|a| a.digest.clone()).collect()).collect();
    assert_eq!(of_runtime.len(), 1, "a path filter left it out");
    assert_eq!(frozen[0], [of_studio[0].clone(), of_runtime[0].clone()]);
    assert_eq!(frozen[1], [of_studio[1].clone(), of_runtime[0].clone()]);
    // The manifest of component versions (row E28).
    let made = release.releases.values().nth(1).unwrap();
    let told = liftlock::domain::metadata::document(made, &release.id.name, "acme/shop");
    let from = |at: usize| told["artifacts"][at]["from"]["version"].as_str().unwrap().to_owned();
    let version = |of: &liftlock::domain::state::State, at: usize| {
        of.releases.values().nth(at).unwrap().created.version.to_string()
    };
    assert_eq!([from(0), from(1)], [version(&studio, 1), version(&runtime, 0)]);
    assert!(!world.effects().await.iter().any(|e| e.kind == "build" && e.key.contains("/release:")));

    // A build that fails says on the commit what the release waits for; a fix brings it.
    let third = world.push_files(&[("runtime/broken", "x")], "feat: oops").await;
    let said = world.status(&third, "liftlock/release/build", "failure").await;
    assert!(said.contains("runtime v0.1.0-rc.") && said.contains("was not built"), "{said}");
    world.tree.remove("runtime/broken");
    let fixed = world.push_files(&[("runtime/app.txt", "runtime-2")], "fix: oops").await;
    world.status(&fixed, "liftlock/release/test", "success").await;
    let said = world.status(&third, "liftlock/release/build", "success").await;
    assert!(said.starts_with("Included in v0.1.0-rc."), "{said}");
    world.drain().await;
    assert!(world.deployed().last().unwrap().ends_with("studio-2 runtime-2"));
    let answers = Answers::new(world.service().clone(), None);
    let builds = answers.builds(&WhichBuilds::default()).await.unwrap();
    let newest = &builds[0];
    assert_eq!((newest.pipeline.as_str(), newest.commit.as_str()), ("release", fixed.as_str()));
    assert_eq!((newest.repo.as_str(), newest.released), ("acme/shop", false));
    let last = world.state("release").await.releases.values().last().cloned().unwrap();
    assert_eq!(newest.number, last.created.names.build_number);
    assert_eq!(newest.channels, ["Candidates", "stable"], "what it is of, and what test adds it to");
    assert_eq!(newest.artifacts.iter().map(|a| a.alias.as_str()).collect::<Vec<_>>(), ["Studio", "Runtime"]);
    let one = WhichBuilds { stream: Some("github:12/runtime".to_owned()), ..WhichBuilds::default() };
    let built: Vec<bool> = answers.builds(&one).await.unwrap().iter().map(|b| b.released).collect();
    assert_eq!(built, [true, true], "what was not built is no build");
    // Others built its files, and their statements say so.
    world.drain().await;
    let joined = answers.proof("github:12/release", 1, PROVENANCE_FILE).await.unwrap_err();
    assert!(joined.to_string().contains("built none of its files"), "{joined}");
    assert!(answers.proof("github:12/studio", 1, PROVENANCE_FILE).await.unwrap().contains("payload"));
    assert_eq!(answers.proof("github:12/release", 1, SHA256SUMS).await.unwrap().lines().count(), 2);
    world.finish().await;
}

/// Builds that wait for each other are waited for by the store, not by a process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b11_two_builds_become_one_release_though_the_engine_dies_between_them() {
    let mut world = world("{any: [studio, runtime], settle: 1s}").await;
    let files = [("studio/app.txt", "studio-1"), ("runtime/app.txt", "runtime-1")];
    let first = world.push_files(&files, "feat: both").await;
    world.until("a join", |effects| effects.iter().any(|e| e.kind == "join")).await;
    world.die().await;
    world.wake().await;
    world.status(&first, "liftlock/release/test", "success").await;
    world.drain().await;
    let release = world.state("release").await;
    let made: Vec<usize> = release.releases.values().map(|r| r.created.builds.len()).collect();
    assert_eq!(made, [2]);
    assert_eq!(world.deployed(), ["test studio-1 runtime-1"]);
    world.finish().await;
}
