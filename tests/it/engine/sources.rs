//! What starts a release and what does not: pushes, tags, pull requests, paths.

use hyper::Method;
use serde_json::Value;

use super::tree::{CHECKED, STRAIGHT, TAGGED, TWO_STAGES, sample};
use super::world::{DEV, REPO, World};
use crate::github::{Pull, Webhook};

const TWO: &str = r"version: 1
pipelines:
  studio:
    triggers: {push: {paths: ['studio/**', '!studio/docs/**']}}
    build: mkdir -p out && cp -r studio out/
    artifacts: out
    deploy: 'echo deploy studio $LIFTLOCK_VERSION >> $TARGET/journal'
    stages: [quality]
  runtime:
    triggers: {push: {paths: ['runtime/**']}}
    build: mkdir -p out && cp -r runtime out/
    artifacts: out
    deploy: 'echo deploy runtime $LIFTLOCK_VERSION >> $TARGET/journal'
    stages: [quality]
";

fn number_of(thread: Option<&u64>) -> u64 {
    *thread.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c02_b08_direct_pushes_and_merge_commits_to_main_start_and_other_branches_do_not() {
    let mut world = World::with(STRAIGHT).await;
    let direct = world.push("fix: a typo").await;
    world.status(&direct, "liftlock/prod", "success").await;
    world.settled().await;
    // Nobody merged a pull request: the release got a thread of its own.
    let thread = number_of(world.github.state().repos[&REPO].issues.keys().next());
    assert!(world.hears(thread).await.contains("is live in prod"));

    let main = world.tree.head("main").unwrap();
    let topic = world.tree.commit("topic", &[("src/hats.txt", "hats")], "feat: hats");
    let hook = world.push_hook("refs/heads/topic", None, Some(&topic));
    assert_eq!(world.deliver(&hook).await, 202);
    world.settled().await;
    assert_eq!(world.state("shop").await.releases.len(), 1);

    let merge = world.tree.commit_on("main", (vec![&main, &topic], &[]), "Merge pull request #9");
    let pull = Pull { head: topic.clone(), merged: Some(merge.clone()) };
    world.github.state().issue(REPO, 9, DEV, Some(pull));
    let hook = world.push_hook("refs/heads/main", Some(&main), Some(&merge));
    assert_eq!(world.deliver(&hook).await, 202);
    assert!(world.hears(9).await.contains("is live in prod"));
    assert_eq!(world.state("shop").await.releases.len(), 2);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pushed_tag_releases_exactly_its_commit() {
    let mut world = World::with(TAGGED).await;
    let tagged = world.push("feat: sell shoes").await;
    world.push("feat: not in the release").await;
    world.settled().await;
    assert_eq!(world.live(), Vec::<String>::new());
    world.tree.set("refs/tags/v3.1.0", &tagged);
    let hook = world.push_hook("refs/tags/v3.1.0", None, Some(&tagged));
    assert_eq!(world.deliver(&hook).await, 202);
    world.status(&tagged, "liftlock/test", "success").await;
    world.settled().await;
    assert_eq!(world.live(), ["test v3.1.0"]);
    assert!(world.deployed()[0].contains(&tagged));
    assert_eq!(world.github.count(&Method::POST, "/git/tags"), 0, "the tag is there already");
    let thread = number_of(world.github.state().repos[&REPO].issues.keys().next());
    world.hears(thread).await;
    world.finish().await;
}

/// Nobody who pushes a tag waits in vain without a word: what is no version says so, with the name that would be one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_is_no_version_says_so_on_its_commit() {
    let mut world = World::with(TAGGED).await;
    let tagged = world.push("feat: sell shoes").await;
    world.settled().await;
    for (tag, said) in [("v1.2", "`v1.2.0` would be one"), ("v1.2.3.4", "a tag such as `v1.4.2` is one")] {
        world.tree.set(&format!("refs/tags/{tag}"), &tagged);
        let hook = world.push_hook(&format!("refs/tags/{tag}"), None, Some(&tagged));
        assert_eq!(world.deliver(&hook).await, 202);
        world.status_says(&tagged, "liftlock/manifest", said).await;
        let shown = world.status(&tagged, "liftlock/manifest", "failure").await;
        assert!(shown.starts_with(&format!("Tag `{tag}` makes no release: it is no version")), "{shown}");
    }
    // A tag that nobody listens to is nobody's business.
    world.tree.set("refs/tags/nightly", &tagged);
    let hook = world.push_hook("refs/tags/nightly", None, Some(&tagged));
    assert_eq!(world.deliver(&hook).await, 202);
    world.settled().await;
    assert_eq!(world.light(&tagged, "liftlock/manifest").as_deref(), Some("failure"));
    assert_eq!(world.state("shop").await.releases.len(), 0);

    world.tree.set("refs/tags/v1.2.0", &tagged);
    let hook = world.push_hook("refs/tags/v1.2.0", None, Some(&tagged));
    assert_eq!(world.deliver(&hook).await, 202);
    assert!(world.status(&tagged, "liftlock/manifest", "success").await.contains("v1.2.0"));
    world.status(&tagged, "liftlock/test", "success").await;
    world.drain().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_that_does_not_load_at_a_tag_is_red_there() {
    let mut world = World::with(TAGGED).await;
    let broken = TAGGED.replace("stages:", "stagse:");
    let tagged = world.tree.commit("main", &[(".github/liftlock.yml", &broken)], "feat: a mistake");
    world.tree.set("refs/tags/v1.2.0", &tagged);
    let hook = world.push_hook("refs/tags/v1.2.0", None, Some(&tagged));
    assert_eq!(world.deliver(&hook).await, 202);
    let said = world.status(&tagged, "liftlock/manifest", "failure").await;
    assert!(said.contains("the manifest needs `stages`"), "{said}");
    let kept = world.store().deliveries(1, None).await.unwrap().remove(0);
    assert!(kept.error.unwrap().contains("does not load"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b03_b04_a_pull_request_and_a_push_of_one_commit_build_it_once() {
    let mut world = World::with(CHECKED).await;
    let head = world.tree.commit("topic", &[("src/hats.txt", "hats")], "feat: hats");
    world.github.state().issue(REPO, 4, DEV, Some(Pull { head: head.clone(), merged: None }));
    let opened = world.github.state().pull_request(REPO, 4, "opened", DEV);
    let pushed = world.push_hook("refs/heads/topic", None, Some(&head));
    let again = world.github.state().pull_request(REPO, 4, "synchronize", DEV);
    for hook in [&opened, &pushed, &again] {
        assert_eq!(world.deliver(hook).await, 202);
    }
    world.status(&head, "liftlock/build", "success").await;
    world.settled().await;
    let checks: Vec<_> = world.effects().await.into_iter().filter(|e| e.kind == "check").collect();
    assert_eq!(checks.len(), 1, "{checks:#?}");
    assert_eq!(world.state("shop").await.releases.len(), 0);
    let log = world.log(&format!("github:12/shop/check-{}/1", &head[..7])).await;
    assert!(log.contains("with token none"), "no secret in a pull request: {log}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b03_a_pull_request_that_does_not_build_is_red() {
    let mut world = World::with(CHECKED).await;
    let head = world.tree.commit("topic", &[("src/broken.txt", "hats")], "feat: hats");
    world.github.state().issue(REPO, 4, DEV, Some(Pull { head: head.clone(), merged: None }));
    let opened = world.github.state().pull_request(REPO, 4, "opened", DEV);
    assert_eq!(world.deliver(&opened).await, 202);
    let said = world.status(&head, "liftlock/build", "failure").await;
    assert!(said.contains("exit"), "{said}");
    world.finish().await;
}

/// The head of a pull request as if it were in somebody's fork.
fn from_fork(mut hook: Webhook) -> Webhook {
    let mut body: Value = serde_json::from_str(&hook.body).unwrap();
    body["pull_request"]["head"]["repo"]["id"] = 666.into();
    body["pull_request"]["head"]["repo"]["full_name"] = "eve/shop".into();
    body["pull_request"]["head"]["repo"]["fork"] = true.into();
    hook.body = body.to_string();
    hook
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t29_code_of_a_fork_never_runs_here() {
    let mut world = World::with(CHECKED).await;
    let head = world.tree.commit("topic", &[("build.sh", "touch \"$TARGET/pwned\"")], "feat: hats");
    world.tree.unset("refs/heads/topic");
    world.github.state().issue(REPO, 4, DEV, Some(Pull { head: head.clone(), merged: None }));
    let opened = from_fork(world.github.state().pull_request(REPO, 4, "opened", DEV));
    assert_eq!(world.deliver(&opened).await, 202);
    let said = world.status(&head, "liftlock/build", "pending").await;
    assert!(said.contains("fork"), "{said}");
    world.settled().await;
    assert!(!world.effects().await.iter().any(|e| e.kind == "check"));
    world.finish().await;
}

/// Only the protected branch says what the rules are: a pull request that changes them is built by the old ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t29_a_pull_request_cannot_change_the_rules_it_is_judged_by() {
    let mut world = World::with(CHECKED).await;
    let evil = CHECKED.replace("sh build.sh", "echo pwned > src/pwned");
    let head = world.tree.commit("topic", &[(".github/liftlock.yml", &evil)], "feat: hats");
    world.github.state().issue(REPO, 4, DEV, Some(Pull { head: head.clone(), merged: None }));
    let opened = world.github.state().pull_request(REPO, 4, "opened", DEV);
    assert_eq!(world.deliver(&opened).await, 202);
    world.status(&head, "liftlock/build", "success").await;
    let log = world.log(&format!("github:12/shop/check-{}/1", &head[..7])).await;
    assert!(log.contains("$ sh build.sh") && !log.contains("pwned"), "{log}");
    let said = world.hears(4).await;
    assert!(
        said.contains("This changes the rules of shop") && said.contains("how the artifact is built"),
        "{said}"
    );
    world.finish().await;
}

/// What the branch has learned since the pull request began is not its doing; taken back, it is said so in place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_request_that_changes_the_manifest_is_told_what_that_does_to_the_rules() {
    let mut world = World::with(CHECKED).await;
    let lax = CHECKED.replace("stages: [test]", "stages: [test, {name: prod, soak: 1h}]");
    let head = world.tree.commit("topic", &[(".github/liftlock.yml", &lax)], "feat: a prod");
    let strict = CHECKED.replace("stages: [test]", "stages: [{name: test, approval: 1}]");
    world.merge_files(2, &[(".github/liftlock.yml", &strict)], "feat: somebody looks").await;
    world.github.state().issue(REPO, 4, DEV, Some(Pull { head: head.clone(), merged: None }));
    let opened = world.github.state().pull_request(REPO, 4, "opened", DEV);
    assert_eq!(world.deliver(&opened).await, 202);
    let said = world.hears(4).await;
    assert!(said.contains("| prod | a new stage"), "{said}");
    assert!(!said.contains("| test |"), "{said}");
    let back = world.tree.commit("topic", &[(".github/liftlock.yml", CHECKED)], "fix: no prod");
    world.github.state().issue(REPO, 4, DEV, Some(Pull { head: back.clone(), merged: None }));
    let pushed = world.github.state().pull_request(REPO, 4, "synchronize", DEV);
    assert_eq!(world.deliver(&pushed).await, 202);
    world
        .wait("the comment is edited", |github| {
            let mut comments = github.repos[&REPO].comments.values();
            comments.any(|c| c.body.contains("stay as they are")).then_some(())
        })
        .await;
    world.settled().await;
    world.hears(2).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b05_b07_each_pipeline_listens_to_its_own_paths() {
    let mut world = World::with(TWO).await;
    let first = world.merge_files(1, &[("studio/a.txt", "a")], "feat: studio").await;
    assert!(world.hears(1).await.contains("is live in quality"));
    world.settled().await;
    assert_eq!(world.live(), ["studio v0.1.0-rc.1"]);
    world.status(&first, "liftlock/studio/quality", "success").await;
    assert_eq!(world.light(&first, "liftlock/runtime/quality"), None);

    // The excluded folder starts nothing; a file that moves away from a path touches it.
    world.merge_files(2, &[("studio/docs/a.md", "a")], "docs: studio").await;
    world.settled().await;
    assert_eq!(world.live().len(), 1);
    world.tree.remove("studio/a.txt");
    let moved = world.merge_files(3, &[("runtime/a.txt", "a"), ("studio/b.txt", "b")], "feat: move").await;
    world.hears(3).await;
    world.hears(3).await;
    world.status(&moved, "liftlock/studio/quality", "success").await;
    world.status(&moved, "liftlock/runtime/quality", "success").await;
    world.settled().await;
    let mut live = world.live();
    live.sort();
    assert_eq!(live.len(), 3, "{live:?}");
    assert!(live[0].starts_with("runtime "), "{live:?}");
    world.finish().await;
}

/// Both pipelines have the stage: a command that names none of them is answered with the lines to choose from.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b05_a_stage_of_several_pipelines_is_asked_about() {
    let gated = TWO.replace("stages: [quality]", "stages: [{name: quality, approval: 1}]");
    let mut world = World::with(&gated).await;
    world.merge_files(1, &[("studio/a.txt", "a"), ("runtime/a.txt", "a")], "feat: both").await;
    let offers = [world.hears(1).await, world.hears(1).await];
    assert!(offers.iter().all(|o| o.contains("ready for quality")), "{offers:?}");
    world.say(1, super::world::ANA, "/approve quality").await;
    let answer = world.hears(1).await;
    assert!(answer.contains("Which pipeline?"), "{answer}");
    assert!(answer.contains("`/approve studio/quality`"), "{answer}");
    world.say(1, super::world::ANA, "/approve studio/quality").await;
    assert!(world.hears(1).await.contains("is live in quality"));
    world.settled().await;
    assert_eq!(world.live().len(), 1);
    assert!(world.live()[0].starts_with("studio "));
    world.finish().await;
}

/// Webhooks come in any order: commits say which release is newer, and nothing older goes over something newer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_that_arrive_at_once_and_backwards_ship_the_newest() {
    let mut world = World::asleep(sample(STRAIGHT)).await;
    let mut hooks = Vec::new();
    for number in 1..=6 {
        let before = world.tree.head("main").unwrap();
        let text = format!("feat: change {number}");
        let after = world.tree.commit("main", &[("src/app.txt", &text)], &text);
        let pull = Pull { head: "1".repeat(40), merged: Some(after.clone()) };
        world.github.state().issue(REPO, number, DEV, Some(pull));
        hooks.push((world.push_hook("refs/heads/main", Some(&before), Some(&after)), after));
    }
    let newest = hooks.last().unwrap().1.clone();
    for (hook, _) in hooks.iter().rev() {
        assert_eq!(world.deliver(hook).await, 202);
    }
    world.wake().await;
    world.status(&newest, "liftlock/prod", "success").await;
    world.drain().await;
    let state = world.state("shop").await;
    assert_eq!(state.releases.len(), 6);
    let last = state.in_order().last().unwrap().created.commit.to_string();
    assert_eq!(last, newest);
    let deployed = world.deployed();
    assert!(deployed.last().unwrap().contains(&newest), "{deployed:?}");
    for (_, commit) in &hooks {
        assert_eq!(world.light(commit, "liftlock/prod").unwrap(), "success", "shipped in the newest");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t7_a_delivery_that_comes_twice_counts_once() {
    let mut world = World::with(TWO_STAGES).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    world.settled().await;
    let hook = world.push_hook("refs/heads/main", None, Some(&commit));
    assert_eq!(world.deliver(&hook).await, 202);
    assert_eq!(world.deliver(&hook).await, 200, "known by its id");
    let mut other = hook.clone();
    other.guid = "another-guid".to_owned();
    assert_eq!(world.deliver(&other).await, 202, "the same under a new id");
    world.settled().await;
    assert_eq!(world.state("shop").await.releases.len(), 1);

    let comment = world.write(&crate::github::Spot::Thread(1), super::world::ANA, "/approve prod");
    let said = world.github.state().comment_event(REPO, comment, "created");
    let mut again = said.clone();
    again.guid = "yet-another-guid".to_owned();
    assert_eq!(world.deliver(&said).await, 202);
    assert_eq!(world.deliver(&again).await, 202);
    assert!(world.hears(1).await.contains("is live in prod"));
    world.settled().await;
    let state = world.state("shop").await;
    let release = state.releases.values().next().unwrap();
    assert_eq!(release.run(&"prod".parse().unwrap()).unwrap().approvals.len(), 1);
    assert_eq!(world.live().len(), 2);
    world.finish().await;
}
