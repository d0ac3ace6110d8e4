//! Commits, tags, bytes, secrets and statuses that somebody tampered with.

use std::time::Duration;

use base64::Engine as _;
use liftlock::artifact::file::write_synced;
use liftlock::domain::time::Span;
use liftlock::http::answers::Answers;
use liftlock::http::api::Reader;
use liftlock::http::view::StageWhy;
use liftlock::store::stream::EventFilter;

use super::tree::{STRAIGHT, TWO_STAGES, sample};
use super::world::{ANA, CANARY, EVE, REPO, World, files_below};
use crate::github::Status;

async fn offered() -> (World, String) {
    let mut world = World::with(TWO_STAGES).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    world.settled().await;
    (world, commit)
}

/// Its approval in prod changes nothing: it is said why.
async fn stopped(world: World, reason: &str) {
    world.say(1, ANA, "/approve prod").await;
    let said = world.drain().await;
    assert_eq!(world.live().len(), 1, "prod did not start");
    let all = world.said_and_kept().await;
    assert!(all.contains(reason), "{said:?}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t18_an_approval_is_for_what_was_shown() {
    let (mut world, _) = offered().await;
    world.merge(2, "feat: sell hats").await;
    world.hears(2).await;
    world.say(1, ANA, "/approve prod").await;
    let answer = world.hears(1).await;
    assert!(answer.contains("rc.2"), "{answer}");
    world.settled().await;
    assert!(!world.live().iter().any(|l| l.starts_with("prod")));
    world.finish().await;
}

/// The comment came in the second in which the offer was shown: nobody can say which came first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t18_an_approval_in_the_second_of_the_offer_is_asked_about() {
    let (world, _) = offered().await;
    let comment = world.write(&crate::github::Spot::Thread(1), ANA, "/approve prod");
    {
        let mut state = world.github.state();
        let comments = &mut state.repos.get_mut(&REPO).unwrap().comments;
        let offer = comments.values().find(|c| c.body.contains("ready for prod")).unwrap().created;
        let said = comments.get_mut(&comment).unwrap();
        (said.created, said.updated) = (offer, offer);
    }
    let hook = world.github.state().comment_event(REPO, comment, "created");
    assert_eq!(world.deliver(&hook).await, 202);
    let answer = world.hears(1).await;
    assert!(answer.contains("/approve prod v0.1.0-rc.1"), "{answer}");
    assert_eq!(world.live().len(), 1);
    world.finish().await;
}

/// Dates of commits are whatever their author wrote.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t19_dates_of_commits_decide_nothing() {
    let (mut world, _) = offered().await;
    world.tree.pretend(1_000_000_000);
    world.merge(2, "feat: sell hats").await;
    assert!(world.hears(2).await.contains("ready for prod"), "the later commit is the newer release");
    world.tree.pretend(4_000_000_000);
    world.merge(3, "feat: sell bags").await;
    world.hears(3).await;
    world.say(3, ANA, "/approve prod").await;
    assert!(world.hears(3).await.contains("is live in prod"));
    world.settled().await;
    assert_eq!(world.live().last().unwrap(), "prod v0.1.0-rc.3");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t35_a_tag_that_moved_stops_the_release() {
    let (mut world, _) = offered().await;
    let other = world.tree.commit("topic", &[("src/evil.txt", "evil")], "feat: evil");
    world.tree.set("refs/tags/v0.1.0-rc.1", &other);
    let hook = world.push_hook("refs/tags/v0.1.0-rc.1", None, Some(&other));
    assert_eq!(world.deliver(&hook).await, 202);
    let alarm = world.hears(1).await;
    assert!(alarm.contains("moved"), "{alarm}");
    stopped(world, "moved").await;
}

/// The commit is the same, and the tag is somebody else's: whoever checks its text or signature sees other ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t35_a_tag_that_was_made_anew_at_its_commit_stops_the_release_until_ours_is_back() {
    const TAG: &str = "refs/tags/v0.1.0-rc.1";
    let (world, commit) = offered().await;
    let (ours, theirs) = {
        let repo = git2::Repository::open_bare(world.tree.path()).unwrap();
        let ours = repo.find_reference(TAG).unwrap().target().unwrap();
        let somebody = git2::Signature::new("eve", "eve@acme.example", &git2::Time::new(1_800_000_000, 0));
        let at = repo.find_object(git2::Oid::from_str(&commit).unwrap(), None).unwrap();
        let theirs = repo.tag_annotation_create("v0.1.0-rc.1", &at, &somebody.unwrap(), "all good").unwrap();
        (ours.to_string(), theirs.to_string())
    };
    // A webhook of our own tag, late: nothing has happened.
    let hook = world.push_hook(TAG, None, Some(&commit));
    assert_eq!(world.deliver(&hook).await, 202);
    world.settled().await;
    assert_eq!(moved_tags(&world).await, Vec::<String>::new());
    world.tree.set(TAG, &theirs);
    let hook = world.push_hook(TAG, Some(&commit), Some(&commit));
    assert_eq!(world.deliver(&hook).await, 202);
    let anew = "was made anew by somebody, over the one that was made here";
    let alarm = world.hears(1).await.replace('\\', "");
    assert!(alarm.contains(&format!("Tag v0.1.0-rc.1 {anew}. The release keeps")), "{alarm}");
    world.status_says(&commit, "liftlock/prod", &format!("tag v0.1.0-rc.1 {anew}")).await;
    // Nobody tells of it again, and a plain one at the commit is no better.
    world.service().reconcile_once().await;
    world.tree.set(TAG, &commit);
    world.service().reconcile_once().await;
    world.settled().await;
    assert_eq!(moved_tags(&world).await.len(), 1);
    world.tree.set(TAG, &ours);
    world.service().reconcile_once().await;
    world.settled().await;
    world.say(1, ANA, "/approve prod").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    world.finish().await;
}

/// The alarms about tags so far.
async fn moved_tags(world: &World) -> Vec<String> {
    let filter = EventFilter { kind: Some("alarm".to_owned()), ..EventFilter::default() };
    let alarms = world.store().events(&filter, 0, 100).await.unwrap();
    alarms.into_iter().map(|alarm| alarm.data).filter(|data| data.contains("tag_moved")).collect()
}

/// No webhook told of the move: it is found when the truth is read back before the start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t35_a_tag_that_is_gone_is_found_before_the_start() {
    let (world, _) = offered().await;
    world.tree.unset("refs/tags/v0.1.0-rc.1");
    stopped(world, "is gone").await;
}

/// A command of the stage had its hands in the store: what it left is not what the next stage gets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t44_bytes_that_changed_while_a_stage_ran_end_it_and_are_put_aside() {
    let mut world = World::with(STRAIGHT).await;
    world.plant("wait-test");
    world.merge(1, "feat: sell shoes").await;
    world.until_planted("waiting-test").await;
    let state = world.state("shop").await;
    let release = state.releases.values().next().unwrap();
    let blob = world.data().join("artifacts/blobs/sha256").join(release.artifacts[0].digest.hex());
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[7] ^= 1;
    std::fs::remove_file(&blob).unwrap();
    write_synced(&blob, &bytes, 0o444).unwrap();
    world.unplant("wait-test");
    // How the stage ended, and an alarm.
    let said = world.hears(1).await + &world.hears(1).await;
    assert!(said.contains("errored in test"), "{said}");
    assert_eq!(said.matches("no longer matches").count(), 2, "{said}");
    world.settled().await;
    assert!(world.state("shop").await.tampered(release.no()));
    assert!(!blob.exists(), "it is in quarantine");
    assert_eq!(world.live(), ["test v0.1.0-rc.1"], "prod never began");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t36_a_commit_of_a_fork_is_no_release() {
    let mut world = World::with(STRAIGHT).await;
    let main = world.tree.head("main").unwrap();
    let evil = world.tree.loose((vec![&main], &[("src/evil.txt", "evil")]), "feat: evil");
    let hook = world.push_hook("refs/heads/main", Some(&main), Some(&evil));
    assert_eq!(world.deliver(&hook).await, 202);
    world.settled().await;
    let ignored = world.store().deliveries(1, None).await.unwrap().remove(0);
    assert!(ignored.error.unwrap().contains("is not on main"));
    assert_eq!(world.state("shop").await.releases.len(), 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t37_a_commit_that_main_lost_is_not_promoted() {
    let (mut world, _) = offered().await;
    world.tree.commit_on("main", (Vec::new(), &[]), "chore: rewritten");
    stopped(world, "no longer on the branch").await;
}

const RELEASE_BRANCHES: &str = r"version: 1
name: shop
triggers: {push: {branches: ['release/*']}}
build: sh build.sh
artifacts: dist
deploy: sh deploy.sh
stages: [test, {name: prod, approval: 1}]
";

/// A release of a branch that is deleted when it waits for prod; its commit as well as its thread.
async fn of_a_branch_that_is_gone(merged: bool) -> (World, u64) {
    let mut world = World::with(RELEASE_BRANCHES).await;
    let main = world.tree.head("main").unwrap();
    let commit = world.tree.loose((vec![&main], &[("src/hats.txt", "hats")]), "feat: hats");
    world.tree.set("refs/heads/release/8", &commit);
    let hook = world.push_hook("refs/heads/release/8", None, Some(&commit));
    assert_eq!(world.deliver(&hook).await, 202);
    world.settled().await;
    assert!(world.hears(1).await.contains("is ready for prod"));
    if merged {
        world.tree.set("refs/heads/main", &commit);
    }
    world.tree.unset("refs/heads/release/8");
    (world, 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t37_a_branch_that_was_merged_and_deleted_keeps_its_releases() {
    let (world, thread) = of_a_branch_that_is_gone(true).await;
    world.say(thread, ANA, "/approve prod").await;
    assert!(world.hears(thread).await.contains("is live in prod"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t37_a_branch_that_was_deleted_and_never_merged_stops_its_releases() {
    let (world, _) = of_a_branch_that_is_gone(false).await;
    stopped(world, "no longer on the branch").await;
}

/// The host's repository cannot be read when the stage is to start: it waits, and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d13_why_says_what_the_last_try_came_to() {
    let (world, _) = offered().await;
    let (there, away) = (world.tree.path().to_owned(), world.tree.path().with_extension("away"));
    std::fs::rename(&there, &away).unwrap();
    world.say(1, ANA, "/approve prod").await;
    let answers = Answers::new(world.service().clone(), None);
    let stream = world.state("shop").await.id.to_string();
    let why = loop {
        let page = answers.release_page(&stream, 1).await.unwrap();
        let tried = |why: &StageWhy| why.lines.iter().any(|line| line.text.contains("the last try"));
        match page.why.into_iter().find(tried) {
            Some(why) => break why,
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let line = &why.lines[0];
    assert_eq!(why.stage, "prod");
    assert!(line.text.starts_with("the last try came to nothing: "), "{line:?}");
    assert!(line.next.as_ref().unwrap().starts_with("it is tried again by itself at "), "{line:?}");
    std::fs::rename(&away, &there).unwrap();
    world.skip(Span::minutes(6));
    assert!(world.hears(1).await.contains("is live in prod"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t44_e10_a_flipped_byte_stops_the_stage_and_says_digest() {
    let (world, commit) = offered().await;
    let blobs = files_below(&world.data().join("artifacts"));
    let state = world.state("shop").await;
    let digest = state.releases.values().next().unwrap().artifacts[0].digest.to_string();
    let hex = digest.trim_start_matches("sha256:").to_owned();
    let blob =
        blobs.iter().find(|p| p.to_string_lossy().contains(&hex)).unwrap_or_else(|| panic!("{blobs:?}"));
    flip(blob);
    world.say(1, ANA, "/approve prod").await;
    let said = world.status(&commit, "liftlock/prod", "error").await;
    assert!(said.contains("no longer matches"), "{said}");
    let comments = world.drain().await;
    assert!(comments.iter().any(|c| c.contains("sha256:")), "{comments:?}");
    assert_eq!(world.live().len(), 1);
    world.say(1, ANA, "/retry prod").await;
    world.drain().await;
    assert_eq!(world.live().len(), 1, "not by a retry either");
    world.finish().await;
}

/// Flips a bit of a sealed file, whatever its permissions.
fn flip(path: &std::path::Path) {
    use std::io::{Read as _, Seek as _, Write as _};
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    file.rewind().unwrap();
    file.write_all(&bytes).unwrap();
}

const SECRET: &str = r"version: 1
name: shop
build: sh build.sh
artifacts: dist
deploy: sh deploy.sh
stages:
  - test
  - {name: prod, secrets: [SHOP_TOKEN]}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t46_t47_only_the_stage_that_names_a_secret_sees_it_and_nobody_else_does() {
    let mut world = World::with(SECRET).await;
    world.plant("fail-prod");
    world.merge(1, "feat: sell shoes").await;
    let failed = world.hears(1).await;
    assert!(failed.contains("failed in prod"), "{failed}");
    world.settled().await;
    let deployed = world.deployed();
    assert!(deployed[0].starts_with("deploy test") && !deployed[0].ends_with("secret"), "{deployed:?}");
    assert!(deployed[1].starts_with("deploy prod") && deployed[1].ends_with("secret"), "{deployed:?}");
    for (log, token) in [("build/1", "none"), ("test/1", "none"), ("prod/1", "***")] {
        let log = world.log(&format!("github:12/shop/1/{log}")).await;
        assert!(log.contains(&format!("with token {token}")), "{log}");
    }
    let all = world.said_and_kept().await;
    assert!(!all.contains(CANARY) && !failed.contains(CANARY));
    world.finish().await;
}

/// A build that prints its secret in every spelling it can think of, and fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b26_t47_a_failing_build_shows_its_secret_to_nobody() {
    let leak = "build: {steps: ['echo $SHOP_TOKEN; printf %s $SHOP_TOKEN | base64; ls /$SHOP_TOKEN'], secrets: [SHOP_TOKEN]}";
    let mut world = World::with(&STRAIGHT.replace("build: sh build.sh", leak)).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    world.status(&commit, "liftlock/build", "failure").await;
    world.drain().await;
    let log = world.log("github:12/shop/1/build/1").await;
    let encoded = base64::prelude::BASE64_STANDARD.encode(CANARY);
    for text in [&log, &world.said_and_kept().await] {
        assert!(!text.contains(CANARY) && !text.contains(&encoded), "{text}");
    }
    assert!(log.contains("***"), "{log}");
    world.finish().await;
}

/// A build that packs its secret is warned of it, on the release and in its log, without the secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e14_t47_a_secret_inside_an_artifact_is_warned_of() {
    let pack =
        "build: {steps: [sh build.sh, 'printf key=%s $SHOP_TOKEN > dist/settings'], secrets: [SHOP_TOKEN]}";
    let mut world = World::with(&STRAIGHT.replace("build: sh build.sh", pack)).await;
    world.merge(1, "feat: sell shoes").await;
    let warned = "The artifact holds the secret SHOP_TOKEN, in dist/settings";
    world.settled().await;
    world.drain().await;
    let log = world.log("github:12/shop/1/build/1").await;
    assert!(log.contains(&format!("warning: {warned}")), "{log}");
    let all = world.said_and_kept().await;
    assert!(all.contains(warned) && all.contains("secret_in_artifact"), "{all}");
    assert!(!all.contains(CANARY) && !log.contains(CANARY));
    world.finish().await;
}

/// A secret that the server does not have stops the stage before anything of it starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t47_a_secret_nobody_configured_is_named_and_nothing_starts() {
    let mut world = World::with(&SECRET.replace("SHOP_TOKEN", "OTHER_TOKEN")).await;
    world.merge(1, "feat: sell shoes").await;
    let failed = world.hears(1).await;
    assert!(failed.contains("OTHER"), "{failed}");
    world.settled().await;
    assert_eq!(world.live().len(), 1);
    world.finish().await;
}

/// One server may serve repositories that do not trust each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t47_a_secret_that_is_for_others_is_not_given_to_whoever_names_it() {
    let mut world = World::asleep(sample(SECRET)).await;
    world.token_for = &["acme/other:*/*", "*:shop/test"];
    world.sleep().await;
    world.wake().await;
    world.merge(1, "feat: sell shoes").await;
    let failed = world.hears(1).await.replace('\\', "");
    assert!(failed.contains("the secret `SHOP_TOKEN` is not for acme/shop:shop/prod"), "{failed}");
    world.settled().await;
    assert_eq!(world.live().len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t54_a_forged_status_is_put_right_and_opens_no_gate() {
    let (world, commit) = offered().await;
    let forged = Status {
        sha: commit.clone(),
        context: "liftlock/prod".to_owned(),
        state: "success".to_owned(),
        description: "trust me".to_owned(),
        target_url: String::new(),
        by: 0,
        unread: false,
    };
    world.github.state().repos.get_mut(&REPO).unwrap().statuses.push(forged);
    let hook = world.github.state().status_event(REPO, &commit, "liftlock/prod", EVE);
    assert_eq!(world.deliver(&hook).await, 202);
    world.status(&commit, "liftlock/prod", "pending").await;
    world.settled().await;
    assert_eq!(world.live().len(), 1);
    world.finish().await;
}

/// What we sent hides a secret that our own words happen to hold; the host's echo of it is no forgery.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t54_a_status_of_ours_that_hides_something_is_not_put_right_for_ever() {
    let mut world = World::asleep(sample(TWO_STAGES)).await;
    world.token = "approval";
    world.prefix = "liftlock".parse().unwrap();
    world.sleep().await;
    world.wake().await;
    let commit = world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    world.settled().await;
    let shown = world.status(&commit, "liftlock/prod", "pending").await;
    assert!(shown.contains("***"), "{shown}");
    let sent =
        || world.github.requests().iter().filter(|asked| format!("{asked:?}").contains("/statuses/")).count();
    let before = sent();
    let hook = world.github.state().status_event(REPO, &commit, "liftlock/prod", EVE);
    assert_eq!(world.deliver(&hook).await, 202);
    world.settled().await;
    assert_eq!(sent(), before);
    world.drain().await;
    world.finish().await;
}
