//! Notes of releases and their `release.json`, from commits on a real repository.

use std::collections::BTreeSet;

use liftlock::clock;
use liftlock::domain::decide::Command;
use liftlock::domain::gate::{Blocker, verdict};
use liftlock::domain::metadata;
use liftlock::domain::name::PipelineId;
use liftlock::domain::notes::Notes;
use liftlock::domain::person::{Account, Standing};
use liftlock::domain::pipeline::Role;
use liftlock::service::journal::Around;
use serde_json::{Value, json};

use super::world::{ANA, BO, REPO, World, repo_id};
use crate::github::Pull;

const MANIFEST: &str = "version: 1\nname: shop\nbuild: sh build.sh\nartifacts: dist\ndeploy: 'true'\nstages: [test, {name: prod, approval: 1}]\n";

/// The notes of the newest release, as they would be made now.
async fn made(world: &World) -> Result<String, String> {
    let state = world.state("shop").await;
    let newest = state.releases.values().next_back().unwrap();
    Notes::of(&state, newest).render()
}

async fn tell(world: &World, command: Command) -> Result<(), String> {
    let id = PipelineId { repo: repo_id(), name: "shop".parse().unwrap() };
    let around = Around { actor: "ana".to_owned(), cause: "test".to_owned(), ..Around::default() };
    let said = world.service().journal().decide(&id, &command, around).await.unwrap();
    said.map(|_| ()).map_err(|refusal| refusal.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d35_notes_say_what_is_new_to_the_last_stage() {
    let mut world = World::with(MANIFEST).await;
    let hats = world.merge(1, "feat(shop): sell hats (#1)").await;
    assert!(world.hears(1).await.contains("/approve prod"));
    world.say(1, ANA, "/approve prod").await;
    world.drain().await;
    let first = made(&world).await.unwrap();
    assert!(
        first.contains("The first release.") && first.contains("- **shop:** sell hats (#1), "),
        "{first}"
    );

    // Two releases that do not reach prod, and one that takes back what is live: the notes are of all three.
    world.merge(2, "fix: count them right").await;
    world.drain().await;
    world.merge(3, "feat!: another key\n\nBREAKING CHANGE: old keys are not read").await;
    world.drain().await;
    world.merge(4, &format!("Revert \"feat(shop): sell hats (#1)\"\n\nThis reverts commit {hats}.")).await;
    world.drain().await;
    let notes = made(&world).await.unwrap();
    let lines: Vec<&str> = notes.lines().filter(|line| !line.is_empty()).collect();
    assert!(lines[1].starts_with("Changes since v"), "{notes}");
    assert_eq!(lines[2], "### Breaking changes");
    assert!(lines[3].starts_with("- another key, "), "{notes}");
    assert_eq!((lines[4], lines[6]), ("### Fixes", "### Other"), "{notes}");
    assert!(lines[5].starts_with("- count them right, "), "{notes}");
    assert!(lines[7].starts_with("- Revert "), "{notes}");
    // Who looks at the first one now is told that it was taken back.
    let state = world.state("shop").await;
    let first = Notes::of(&state, state.releases.values().next().unwrap()).render().unwrap();
    assert!(first.contains("taken back later by "), "{first}");
    world.finish().await;
}

/// One that reverts what is live is no half of a pair; one that leaves its revert behind is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t60_a_release_without_the_revert_of_what_it_brings_says_so() {
    let mut world = World::with(MANIFEST).await;
    let hats = world.merge(1, "feat: sell hats").await;
    assert!(world.hears(1).await.contains("/approve prod"));
    let said = async |world: &World, version: &str| {
        let state = world.state("shop").await;
        let release = state.releases.values().find(|r| r.created.version.to_string() == version).unwrap();
        let verdict = verdict(&state, release, &release.rules.stages[1], clock::now());
        let lines = verdict.lines.into_iter().filter(|line| line.blocker == Blocker::Revert);
        lines.map(|line| format!("{}; {}", line.text, line.next.unwrap())).collect::<Vec<_>>()
    };
    assert!(said(&world, "v0.1.0-rc.1").await.is_empty());
    let back = format!("Revert \"feat: sell hats\"\n\nThis reverts commit {hats}.");
    let whole_back = world.merge(2, &back).await;
    world.drain().await;
    let (hats, back) = (&hats[..7], &whole_back[..7]);
    assert_eq!(
        said(&world, "v0.1.0-rc.1").await,
        [format!(
            "⚠ {hats} (feat: sell hats) was taken back by {back} in v0.1.0-rc.2; wait for v0.1.0-rc.2, which has both"
        )]
    );
    assert!(said(&world, "v0.1.0-rc.2").await.is_empty(), "it has both");
    let state = world.state("shop").await;
    let first = Notes::of(&state, state.releases.values().next().unwrap()).render().unwrap();
    assert!(first.contains(&format!("⚠ taken back later by {back}")), "{first}");

    // Taken back and brought again, it is no half of anything; once more, and it is.
    let mut last = whole_back;
    for (thread, what, gone) in [(3, "Reapply", false), (4, "Revert", true)] {
        last =
            world.merge(thread, &format!("{what} \"feat: sell hats\"\n\nThis reverts commit {last}.")).await;
        world.drain().await;
        let told = said(&world, "v0.1.0-rc.1").await;
        assert_eq!(told.len(), usize::from(gone), "{told:?}");
        let state = world.state("shop").await;
        let first = Notes::of(&state, state.releases.values().next().unwrap()).render().unwrap();
        assert_eq!(first.contains("taken back later"), gone, "{first}");
    }
    world.finish().await;
}

/// What is in subjects is text, in notes and in comments, however much of it there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t48_what_commits_are_called_becomes_no_markup_in_notes_and_comments() {
    let mut world = World::with(MANIFEST).await;
    let subjects = [
        "fix: ```",
        "fix: </details>",
        "feat(@org/team): @org/team",
        "fix: ![](http://t)",
        "fix: see #1",
        "/approve prod",
        "<script>alert(1)</script>",
        &format!("feat: {}", "x`@#".repeat(50_000)),
    ];
    for (number, subject) in (1..).zip(subjects) {
        world.merge(number, subject).await;
        world.drain().await;
    }
    let notes = made(&world).await.unwrap();
    assert!(notes.len() < 10_000, "{}", notes.len());
    assert_eq!(notes.matches("\n- ").count(), subjects.len() + 1, "{notes}");
    let mut all = vec![notes];
    all.extend(world.github.state().repos[&REPO].comments.values().map(|comment| comment.body.clone()));
    assert!(all.len() > 8, "there are comments: {all:?}");
    for text in &all {
        assert!(text.len() < 65_536, "{}", text.len());
        for markup in ["```\n-", "</details>", "@org", "![](", "http://t", "see #1", "<script>"] {
            assert!(!text.contains(markup), "`{markup}` stands in {text}");
        }
        assert!(text.lines().all(|line| !line.trim_start().starts_with("/approve")), "{text}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d35_notes_may_be_written_until_they_are_published() {
    let mut world = World::with(MANIFEST).await;
    world.merge(1, "feat: sell hats").await;
    world.drain().await;
    let state = world.state("shop").await;
    let release = state.releases.values().next().unwrap().no();
    let standing = |role| Standing {
        role,
        kind: Account::Human,
        person: super::starts::person(ANA, "ana"),
        teams: BTreeSet::new(),
    };
    let write = |text: &str, role| Command::WriteNotes {
        release,
        text: text.to_owned(),
        standing: Box::new(standing(role)),
    };
    let refused = tell(&world, write("Hats!", Role::Read)).await.unwrap_err();
    assert!(refused.contains("ana may not write notes"), "{refused}");
    tell(&world, write("Hats, at last.", Role::Write)).await.unwrap();
    let long = tell(&world, write(&"x".repeat(70_000), Role::Write)).await.unwrap_err();
    assert!(long.contains("70000 bytes"), "{long}");
    tell(&world, Command::FreezeNotes { release }).await.unwrap();
    tell(&world, Command::FreezeNotes { release }).await.unwrap();
    let late = tell(&world, write("Shoes!", Role::Write)).await.unwrap_err();
    assert!(late.contains("are published"), "{late}");
    let state = world.state("shop").await;
    let kept = state.release(release).unwrap().notes.clone().unwrap();
    assert_eq!((kept.text.as_str(), kept.frozen), ("Hats, at last.", true));
    assert_eq!(kept.by.unwrap().login.as_str(), "ana");
    world.finish().await;
}

const TEMPLATED: &str = "version: 1\nname: shop\nrelease: {notes: {from: pull_requests, template: notes.md}}\nbuild: sh build.sh\nartifacts: dist\ndeploy: 'true'\nstages: [test]\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d35_a_template_of_the_repository_makes_the_notes() {
    let mut world = World::with(TEMPLATED).await;
    let template = "# {{ version }}\n{% for part in parts %}{% for change in part.changes %}{{ part.title }}: {{ change.subject }} #{{ change.pull }}\n{% endfor %}{% endfor %}";
    world
        .merge_files(1, &[("notes.md", template)], "Merge pull request #1 from dev/hats\n\nfeat: sell hats")
        .await;
    world.drain().await;
    let notes = made(&world).await.unwrap();
    assert!(notes.ends_with("Features: sell hats #1\n"), "{notes}");
    // A template that names what is not there is said to be wrong, and makes no notes with a hole in them.
    world.merge_files(2, &[("notes.md", "{{ verson }}")], "fix: the notes (#2)").await;
    world.drain().await;
    assert!(made(&world).await.unwrap_err().contains("undefined"), "{:?}", made(&world).await);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d37_a_release_is_described_for_programs() {
    let mut world = World::with(MANIFEST).await;
    let head = world.merge(1, "feat: sell hats").await;
    assert!(world.hears(1).await.contains("/approve prod"));
    world.say(1, ANA, "/approve prod").await;
    world.drain().await;
    let state = world.state("shop").await;
    let release = state.releases.values().next().unwrap();
    let document = metadata::document(release, &state.id.name, "acme/shop");
    let schema: Value = serde_json::from_str(include_str!("../../../docs/release.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<String> = schema.iter_errors(&document).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:?}\n{document:#}");
    assert!(!schema.is_valid(&json!({"form": 1})), "a document that says nothing is none");
    assert_eq!(document["components"][0]["commit"], json!(head));
    assert_eq!(document["artifacts"][0]["digest"]["sha256"], json!(release.artifacts[0].digest.hex()));
    assert_eq!(document["stages"][1]["attempts"][0]["approvals"][0]["by"], json!("ana"));
    assert_eq!(document["stages"][1]["attempts"][0]["state"], json!("live"));
    world.finish().await;
}

const LEAVES_AUTHORS_OUT: &str = "version: 1\nname: shop\nbuild: sh build.sh\nartifacts: dist\ndeploy: 'true'\nstages: [test, {name: prod, approval: {min: 1, exclude: [commit_authors]}}]\n";

/// The first release of a repository with a history: notes and comment count what they do not list, and who wrote it
/// is an author.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t27_d35_the_author_of_a_commit_that_is_not_listed_does_not_approve_it() {
    let mut world = World::with(LEAVES_AUTHORS_OUT).await;
    world.tree.commit_of((ANA, "ana"), "feat: begin the shop");
    for no in 0..24 {
        world.tree.commit("main", &[], &format!("fix: {no}"));
    }
    world.merge(1, "feat: sell hats").await;
    assert!(world.hears(1).await.contains("/approve prod"));
    let state = world.state("shop").await;
    let created = &state.releases.values().next().unwrap().created;
    assert_eq!((created.changes.len(), created.unlisted.commits, created.commits()), (20, 7, 27));
    assert!(created.changes.iter().all(|change| change.author.as_ref().unwrap().as_str() == "dev"));
    let notes = made(&world).await.unwrap();
    assert!(notes.contains("And 7 more commits, older than these."), "{notes}");
    assert!(notes.contains("By ana, dev."), "{notes}");
    assert!(world.sticky().contains("27 commits"), "{}", world.sticky());
    world.say(1, ANA, "/approve prod").await;
    let said = world.hears(1).await;
    assert!(said.contains("ana wrote a commit of this release"), "{said}");
    world.say(1, BO, "/approve prod").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    world.finish().await;
}

/// An address in a commit is whatever its author wrote there; who opened the pull request is what the host knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t19_t27_who_opened_the_pull_request_does_not_approve_it_under_another_address() {
    let mut world = World::with(LEAVES_AUTHORS_OUT).await;
    let before = world.tree.head("main").unwrap();
    let commit = world.tree.commit_of((ANA, "ana"), "feat: sell hats");
    let pull = Pull { head: "1".repeat(40), merged: Some(commit.clone()) };
    world.github.state().issue(REPO, 1, BO, Some(pull));
    let hook = world.push_hook("refs/heads/main", Some(&before), Some(&commit));
    assert_eq!(world.deliver(&hook).await, 202);
    assert!(world.hears(1).await.contains("/approve prod"));
    world.say(1, BO, "/approve prod").await;
    let said = world.hears(1).await;
    assert!(said.contains("bo wrote the pull request of this release"), "{said}");
    world.say(1, ANA, "/approve prod").await;
    assert!(world.hears(1).await.contains("ana wrote a commit of this release"));
    world.finish().await;
}

const WRITTEN_EARLY: &str = "version: 1\nname: shop\nbuild: sh build.sh\nartifacts: dist\nchannels: {preview: {version: 'prerelease:^rc', stages: [test, beta]}, stable: {default: true}}\nstages: [{name: test, deploy: 'true'}, {name: beta, deploy: [{uses: release-notes}]}, {name: prod, deploy: 'true', approval: 1}]\n";

/// Notes that are written in a stage say what is new there, whatever later stages have, also where the release's
/// channel never comes to those.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d35_notes_are_against_the_stage_that_writes_them() {
    for manifest in [WRITTEN_EARLY.to_owned(), WRITTEN_EARLY.replace(", stages: [test, beta]", "")] {
        let mut world = World::with(&manifest).await;
        world.merge(1, "feat: sell hats").await;
        world.drain().await;
        world.merge(2, "feat: sell shoes").await;
        world.drain().await;
        let state = world.state("shop").await;
        let second = state.releases.values().next_back().unwrap();
        let kept = second.notes.clone().unwrap();
        assert!(kept.frozen && kept.text.contains("Changes since v0.1.0-rc.1."), "{}", kept.text);
        assert!(kept.text.contains("sell shoes") && !kept.text.contains("sell hats"), "{}", kept.text);
        world.finish().await;
    }
}

/// Where no stage writes notes they are against the last one on the way of the release's channel.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d35_notes_of_a_channel_are_against_the_last_stage_of_its_way() {
    let manifest = WRITTEN_EARLY.replace("[{uses: release-notes}]", "'true'");
    let mut world = World::with(&manifest).await;
    world.merge(1, "feat: sell hats").await;
    world.drain().await;
    world.merge(2, "feat: sell shoes").await;
    world.drain().await;
    let notes = made(&world).await.unwrap();
    assert!(notes.contains("Changes since v0.1.0-rc.1."), "{notes}");
    assert!(notes.contains("sell shoes") && !notes.contains("sell hats"), "{notes}");
    world.finish().await;
}
