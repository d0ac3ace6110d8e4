//! The road from a push to prod.

use liftlock::http::answers::Answers;
use liftlock::http::api::Reader as _;
use liftlock::http::view::Link;
use liftlock::telemetry::Metrics;

use super::tree::{STRAIGHT, TWO_STAGES};
use super::world::{ANA, DEV, REPO, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c09_a_push_reaches_prod_without_anybody_doing_more() {
    let mut world = World::with(STRAIGHT).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    world.status(&commit, "liftlock/build", "success").await;
    world.status(&commit, "liftlock/test", "success").await;
    world.status(&commit, "liftlock/prod", "success").await;
    world.finish().await;
}

/// What metrics say of now: what is live, what keeps stages, and whether the log is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_live_and_what_keeps_stages_are_gauges() {
    let mut world = World::with(TWO_STAGES).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    world.say(1, ANA, "/hold prod -- db migration").await;
    world.settled().await;
    let metrics = Metrics::new("0.0.0");
    let text = async || {
        metrics.pipeline(&*world.state("shop").await);
        if let Some(holds) = world.service().chain_holds().await.unwrap() {
            metrics.chain(holds);
        }
        metrics.text(&world.store().stats().await.unwrap()).unwrap()
    };
    let live = |stage: &str| {
        format!(
            "liftlock_release_current_info{{pipeline=\"github:12/shop\",stage=\"{stage}\",track=\"\",\
             version=\"v0.1.0-rc.1\"}} 1\n"
        )
    };
    let held = "liftlock_locks{pipeline=\"github:12/shop\",stage=\"prod\",kind=\"hold\"} 1\n";
    let before = text().await;
    assert!(before.contains(&live("test")) && !before.contains(&live("prod")), "{before}");
    assert!(before.contains(held), "{before}");
    assert!(!before.contains("\nliftlock_audit_chain_ok"), "nobody has looked yet: {before}");

    world.say(1, ANA, "/unhold prod\n/approve prod").await;
    world.status(&commit, "liftlock/prod", "success").await;
    world.settled().await;
    world.service().reconcile_once().await;
    let after = text().await;
    assert!(after.contains(&live("test")) && after.contains(&live("prod")), "{after}");
    assert!(!after.contains("liftlock_locks{"), "{after}");
    let chain = after.lines().find(|line| line.starts_with("liftlock_audit_chain_ok"));
    assert!(chain.is_some_and(|line| line.ends_with(" 1")), "{after}");
    world.drain().await;
    world.finish().await;
}

/// The most commits that GitHub writes into one delivery, each with a long message: 18 MB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_of_2048_commits_is_one_release_of_2048_commits() {
    let mut world = World::with(STRAIGHT).await;
    let before = world.merge(1, "feat: sell shoes").await;
    world.drain().await;
    let long = "m".repeat(9_000);
    let commits = world.tree.many(2_048);
    let told: Vec<(&str, &str)> = commits.iter().map(|sha| (sha.as_str(), long.as_str())).collect();
    let mut hook = world.github.state().push(REPO, "refs/heads/main", DEV, &told);
    hook.body = hook.body.replace(&"b".repeat(40), &before);
    assert_eq!(world.deliver(&hook).await, 202);
    world.status(commits.last().unwrap(), "liftlock/prod", "success").await;
    world.drain().await;

    let state = world.state("shop").await;
    assert_eq!(state.releases.len(), 2);
    let created = &state.releases.values().next_back().unwrap().created;
    assert_eq!(created.commit.as_str(), commits.last().unwrap());
    assert_eq!((created.commits(), created.changes.len()), (2_048, 200));
    assert_eq!(created.changes[0].subject, "feat: sell thing 2048");
    let page = Answers::new(world.service().clone(), None).release_page("github:12/shop", 2).await.unwrap();
    assert_eq!(page.changes.len() + usize::try_from(page.changes_left_out).unwrap(), 2_048);
    assert!(page.changes.len() < 100, "a page is read by people");
    assert!(page.build.state == "sealed" && page.build.line.contains("sealed, sha256:"), "{:?}", page.build);
    world.finish().await;
}

/// The script of a stage comes from the artifact, its tests run in the checkout of the released commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c14_c27_c28_c36_c38_e08_e12_e13_a28_an_approved_release_ships_the_same_bytes_everywhere() {
    let mut world = World::with(TWO_STAGES).await;
    let commit = world.merge_files(1, &[("commit.txt", "second")], "feat: sell shoes").await;
    let offer = world.hears(1).await;
    assert!(offer.contains("ready for prod"), "{offer}");
    assert!(offer.contains("`/approve prod`"), "{offer}");
    world.status(&commit, "liftlock/build", "success").await;
    world.status(&commit, "liftlock/test", "success").await;
    world.settled().await;
    assert!(world.status(&commit, "liftlock/prod", "pending").await.contains("approval"));
    assert_eq!(world.live().len(), 1, "prod waits: {:?}", world.deployed());

    let comment = world.say(1, ANA, "/approve prod").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    world.status(&commit, "liftlock/prod", "success").await;
    world.settled().await;
    assert_eq!(world.reactions(comment), ["rocket"]);

    let deployed = world.deployed();
    let [test, smoke, prod] = deployed.as_slice() else { panic!("{deployed:?}") };
    let bytes = |line: &str| line.split(' ').skip(2).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(bytes(test), bytes(prod), "the same version, commit, digest and script");
    assert!(test.contains("ARTIFACT") && !test.contains("CHECKOUT"), "{test}");
    assert!(test.contains(&commit));
    assert!(smoke.starts_with("smoke test ") && smoke.ends_with(" second"), "{smoke}");

    let state = world.state("shop").await;
    let release = state.releases.values().next().unwrap();
    let digest = release.shown_digest().unwrap().to_string();
    assert!(prod.contains(&digest), "{prod} names {digest}");
    let version = release.created.version.to_string();
    assert_eq!(world.tree.tags(), [(version, commit)].into());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b15_the_page_links_the_files_the_build_is_written_in_at_its_commit() {
    let mut world = World::with(STRAIGHT).await;
    let commit = world.merge_files(1, &[("Dockerfile", "FROM scratch")], "feat: an image").await;
    world.hears(1).await;
    let stream = world.state("shop").await.id.to_string();
    let answers = Answers::new(world.service().clone(), None);
    let page = answers.release_page(&stream, 1).await.unwrap();
    assert_eq!(page.repo, "acme/shop");
    let link = |url: &Option<Link>| url.as_ref().map(ToString::to_string).unwrap();
    let home = link(&page.commit_url);
    let home = home.strip_suffix(&format!("/commit/{commit}")).unwrap();
    let files: Vec<String> = page.files.iter().map(|file| link(&file.url)).collect();
    assert!(files.contains(&format!("{home}/blob/{commit}/.github/liftlock.yml")), "{files:?}");
    assert!(!files.iter().any(|file| file.ends_with("/Dockerfile")), "its build makes no image: {files:?}");
    world.finish().await;
}

/// Our own tag comes back as a webhook, and changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e08_the_tag_is_made_once_and_its_echo_makes_nothing() {
    let mut world = World::with(STRAIGHT).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    world.settled().await;
    let (tag, _) = world.tree.tags().pop_first().unwrap();
    let echo = world.push_hook(&format!("refs/tags/{tag}"), None, Some(&commit));
    assert_eq!(world.deliver(&echo).await, 202);
    world.settled().await;
    assert_eq!(world.state("shop").await.releases.len(), 1);
    assert_eq!(world.github.count(&hyper::Method::POST, "/git/tags"), 1);
    assert_eq!(world.live().len(), 2);
    world.finish().await;
}

/// Two releases under way: the second is built and shipped with its own bytes, never with those of the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e12_each_release_ships_its_own_bytes() {
    let mut world = World::with(STRAIGHT).await;
    world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    world.merge(2, "feat: sell hats").await;
    world.hears(2).await;
    world.settled().await;
    let state = world.state("shop").await;
    let digests: Vec<String> =
        state.releases.values().map(|r| r.shown_digest().unwrap().to_string()).collect();
    let deployed = world.deployed();
    assert_ne!(digests[0], digests[1]);
    assert!(deployed[1].contains(&digests[0]) && deployed[3].contains(&digests[1]), "{deployed:?}");
    let repo = world.github.state().repos[&REPO].statuses.len();
    assert!(repo > 0);
    world.finish().await;
}
