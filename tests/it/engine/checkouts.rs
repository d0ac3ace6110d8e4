//! What a build finds beside the files of its commit: nothing, or a clone with history and tags.

use super::tree::sample;
use super::world::World;

/// The same commands in a clone and beside the files alone; everything that is left is packed, and listed by its stage.
const BOTH: &str = r#"version: 1
pipelines:
  full:
    source: {properties: {output_artifact_format: CODEBUILD_CLONE_REF}}
    build: sh look.sh
    artifacts: [{alias: All, path: .}]
    deploy: 'ls -A "$LIFTLOCK_ARTIFACT_ALL" > $TARGET/full; cat "$LIFTLOCK_ARTIFACT_ALL/said" > $TARGET/full-said'
    stages: [test]
  zip:
    source: {properties: {output_artifact_format: CODE_ZIP}}
    build: sh look.sh
    artifacts: [{alias: All, path: .}]
    deploy: 'ls -A "$LIFTLOCK_ARTIFACT_ALL" > $TARGET/zip; cat "$LIFTLOCK_ARTIFACT_ALL/said" > $TARGET/zip-said'
    stages: [test]
"#;

/// What people's builds ask git, and what would reach further than the clone.
const LOOK: &str = r#"set -e
if [ -e .git ]; then
  {
    git status --porcelain
    git rev-parse HEAD
    git log --format=%s
    git describe --tags --match 'v0.0.*'
    git branch --show-current
    git remote
    git -c user.name=a -c user.email=a@example.org commit --quiet --allow-empty -m "a commit of the build"
    git fetch --quiet origin && echo "fetched" || true
  } > "$HOME/said" 2>&1 || true
  mv "$HOME/said" said
else
  git rev-parse HEAD > said 2>&1 || echo "no repository" >> said
fi
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c39_a_build_gets_a_clone_with_history_and_tags_where_its_manifest_says_so() {
    let mut files = sample(BOTH);
    files.insert("look.sh".to_owned(), LOOK.to_owned());
    let mut world = World::asleep(files).await;
    let begun = world.tree.head("main").unwrap();
    world.tree.set("refs/tags/v0.0.9", &begun);
    // A branch that nothing here leads to.
    let other = world.tree.commit("plan", &[], "feat: a plan");
    world.tree.set("refs/tags/v9.9.9", &other);
    world.wake().await;
    let commit = world.merge(1, "feat: sell shoes").await;
    world.settled().await;
    world.drain().await;

    let said = world.wrote("full-said");
    let lines: Vec<&str> = said.lines().collect();
    let [head, newest, oldest, described, fetched @ ..] = lines.as_slice() else { panic!("{said}") };
    assert_eq!([*head, *newest, *oldest], [commit.as_str(), "feat: sell shoes", "chore: begin"], "{said}");
    assert_eq!(*described, format!("v0.0.9-1-g{}", &commit[..7]), "{said}");
    assert!(!said.contains("plan") && !said.contains("fetched"), "{said}");
    assert!(fetched.iter().any(|line| line.contains("'origin'")), "there is nobody to ask: {said}");

    // What was packed is the same but for what was said: the history is no part of it.
    assert_eq!(world.wrote("full"), world.wrote("zip"));
    assert!(!world.wrote("full").contains(".git\n"), "{}", world.wrote("full"));
    assert!(world.wrote("zip-said").ends_with("no repository\n"), "{}", world.wrote("zip-said"));

    // The next build starts from the next commit, whatever the last one did to its clone.
    let next = world.merge(2, "feat: sell hats").await;
    world.settled().await;
    world.drain().await;
    let said = world.wrote("full-said");
    assert!(said.starts_with(&format!("{next}\nfeat: sell hats\nfeat: sell shoes\n")), "{said}");
    assert!(!said.contains("a commit of the build"), "{said}");
    world.finish().await;
}
