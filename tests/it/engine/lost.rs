//! Answers that are lost after GitHub has done the thing (STORAGE §5, row 7): it is looked for before it is done again.

use std::collections::BTreeMap;

use hyper::Method;

use super::tree::{TWO_STAGES, sample};
use super::world::{ANA, REPO, World};
use crate::github::{APP_USER, Comment, Fault};

/// Everything that is written on the way of a release, and how many answers to it are lost. Reactions come first: their
/// addresses hold those of comments.
const WRITES: [(Method, &str, usize); 10] = [
    (Method::POST, "/reactions", 1),
    (Method::DELETE, "/reactions/", 1),
    (Method::PATCH, "/issues/comments/", 2),
    (Method::POST, "/comments", 3),
    (Method::POST, "/statuses/", 3),
    (Method::POST, "/git/tags", 1),
    (Method::POST, "/git/refs", 1),
    (Method::POST, "/check-runs", 2),
    (Method::PATCH, "/check-runs/", 2),
    (Method::POST, "/issues", 1),
];

/// What GitHub has at the end.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    /// Our comments: where, and the hidden marker of each.
    comments: Vec<String>,
    /// Titles of the issues that we opened.
    issues: Vec<String>,
    tags: BTreeMap<String, String>,
    /// The newest of each commit and context.
    statuses: BTreeMap<(String, String), String>,
    /// How many runs there are of each commit and name, and how the newest ended.
    checks: BTreeMap<(String, String), (usize, String)>,
    deployed: Vec<String>,
}

/// One release on a pull request that somebody approves, and one of a push that has no pull request.
async fn road(checks: bool, lossy: bool) -> (World, Shown, u64) {
    let mut world = World::asleep(sample(TWO_STAGES)).await;
    world.sleep().await;
    world.checks = checks;
    world.wake().await;
    if lossy {
        for (method, path, times) in WRITES {
            world.github.fault(&method, path, times, Fault::DropAfter);
        }
    }
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is ready for prod"));
    let comment = world.say(1, ANA, "/approve prod").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    world.settled().await;
    world.push("feat: sell hats").await;
    assert!(world.hears(2).await.contains("is ready for prod"));
    world.settled().await;
    let shown = shown(&world);
    (world, shown, comment)
}

fn shown(world: &World) -> Shown {
    let state = world.github.state();
    let repo = &state.repos[&REPO];
    let ours = repo.comments.values().filter(|c| c.author == APP_USER);
    let marked = |c: &Comment| format!("{:?} {}", c.spot, c.body.lines().last().unwrap_or_default());
    let mut comments: Vec<String> = ours.map(marked).collect();
    comments.sort();
    let mut checks = BTreeMap::new();
    for check in repo.checks.values() {
        let at = checks.entry((check.sha.clone(), check.name.clone())).or_insert((0, String::new()));
        *at = (at.0 + 1, check.body["conclusion"].to_string());
    }
    let statuses = repo.statuses.iter().filter(|s| s.by == APP_USER);
    Shown {
        comments,
        issues: repo.issues.values().filter(|i| i.author == APP_USER).map(|i| i.title.clone()).collect(),
        tags: world.tree.tags(),
        statuses: statuses.map(|s| ((s.sha.clone(), s.context.clone()), s.state.clone())).collect(),
        checks,
        deployed: world.live(),
    }
}

/// How often a status says once more what it said already.
fn repeated(world: &World) -> usize {
    let state = world.github.state();
    let mut last = BTreeMap::new();
    let said = |s: &crate::github::Status| (s.state.clone(), s.description.clone(), s.target_url.clone());
    let ours = state.repos[&REPO].statuses.iter().filter(|s| s.by == APP_USER);
    ours.filter(|s| last.insert((&s.sha, &s.context), said(s)) == Some(said(s))).count()
}

/// How many of the faults were used up: without that a test of them shows nothing.
fn lost(world: &World, wanted: &[&str]) {
    for (method, path, times) in WRITES.iter().filter(|(_, path, _)| wanted.contains(path)) {
        let came = world.github.count(method, path);
        assert!(came >= *times, "only {came} of {method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t57_comments_tags_and_statuses_whose_answers_are_lost_are_there_once() {
    let (calm, expected, comment) = road(false, false).await;
    assert_eq!(calm.reactions(comment), ["rocket"]);
    assert_eq!(repeated(&calm), 0);
    calm.finish().await;

    let (lossy, found, comment) = road(false, true).await;
    assert_eq!(found, expected);
    // A status has no name to look for: it is said again, unless there is something newer to say by then.
    assert!(repeated(&lossy) <= 3, "once for each answer that was lost");
    // A reaction is decoration: it is there once, and a former one may have stayed beside it.
    let reactions = lossy.reactions(comment);
    assert_eq!(reactions.iter().filter(|word| *word == "rocket").count(), 1, "{reactions:?}");
    lost(
        &lossy,
        &["/reactions", "/issues/comments/", "/comments", "/statuses/", "/git/tags", "/git/refs", "/issues"],
    );
    lossy.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t57_check_runs_whose_answers_are_lost_are_there_once() {
    let (calm, expected, _) = road(true, false).await;
    calm.finish().await;
    let (lossy, found, _) = road(true, true).await;
    assert_eq!(found, expected);
    lost(&lossy, &["/check-runs", "/check-runs/"]);
    lossy.finish().await;
}
