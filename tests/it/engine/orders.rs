//! Deliveries in any order, one of them twice: what comes of them is the same (STORAGE §5, rows 3 and 4).

use std::collections::{BTreeMap, BTreeSet};

use liftlock::domain::name::ReleaseNo;
use liftlock::store::delivery::DeliveryState;

use super::world::{ANA, DEV, REPO, World};
use crate::github::{APP_USER, Pull, Spot, Webhook};

/// Releases are made by pushes and by tags; a person lets each into prod, and none gives way to a newer one: which of two
/// does is a matter of when they come.
const BOTH: &str = r"version: 1
name: shop
triggers: {push: {}, tags: ['v*']}
build: sh build.sh
artifacts: dist
deploy: sh deploy.sh
stages: [{name: test, queue: all}, {name: prod, approval: 1, queue: all}]
";

/// How many deliveries there are; the last one is the first one once more.
const COUNT: usize = 7;

/// Whether the engine works while they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// It sleeps until all are stored.
    AtOnce,
    /// Everything is done about one before the next one comes.
    OneByOne,
}

/// What is there at the end. Three things are the order's own and left out: the numbers and times; which of the two new
/// releases of one commit comes first into a stage, and is offered there while the other waits for its turn; and whether
/// a status of a commit is heard before or after the commit.
#[derive(Debug, PartialEq, Eq)]
struct End {
    /// By version: the commit, and how often each stage was begun, and what became of it.
    releases: BTreeMap<String, (String, Vec<String>)>,
    live: Vec<String>,
    /// What was deployed, as often as it was.
    deployed: BTreeMap<String, usize>,
    tags: BTreeSet<String>,
    /// The newest of each commit and context.
    statuses: BTreeMap<(String, String), String>,
    /// What begins our comments, wherever they stand.
    comments: Vec<String>,
    /// What became of each delivery, and how often it came.
    deliveries: BTreeMap<String, (&'static str, i64)>,
}

/// A world with a release that waits for prod, and what GitHub tells of what happened to it since: a merge, a tag of
/// that, a yes to the release that waits, a status in our name that is not ours.
async fn world() -> (World, Vec<Webhook>) {
    let mut world = World::with(BOTH).await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is ready for prod"));
    world.settled().await;
    world.sleep().await;
    world.boot().await;

    let before = world.tree.head("main");
    let commit = world.tree.commit("main", &[("src/hats.txt", "hats")], "feat: sell hats");
    world.tree.set("refs/tags/v2.0.0", &commit);
    let pull = Pull { head: "2".repeat(40), merged: Some(commit.clone()) };
    world.github.state().issue(REPO, 2, DEV, Some(pull));
    world.put_status(&commit, ("liftlock/prod", "success"), DEV);
    let yes = world.write(&Spot::Thread(1), ANA, "/approve prod");
    let push = world.push_hook("refs/heads/main", before.as_deref(), Some(&commit));
    let tag = world.push_hook("refs/tags/v2.0.0", None, Some(&commit));
    let mut state = world.github.state();
    let hooks = vec![
        push.clone(),
        tag,
        state.reference_event(REPO, "create", ("tag", "v2.0.0"), DEV),
        state.pull_request(REPO, 2, "closed", DEV),
        state.comment_event(REPO, yes, "created"),
        state.status_event(REPO, &commit, "liftlock/prod", DEV),
        push,
    ];
    drop(state);
    assert_eq!(hooks.len(), COUNT);
    (world, hooks)
}

async fn end(order: &[usize], pace: Pace) -> End {
    let (mut world, hooks) = world().await;
    if pace == Pace::OneByOne {
        world.wake().await;
    }
    let mut told = BTreeSet::new();
    for hook in order.iter().map(|at| &hooks[*at]) {
        let status = if told.insert(&hook.guid) { 202 } else { 200 };
        assert_eq!(world.deliver(hook).await, status, "{order:?}");
        if pace == Pace::OneByOne {
            world.settled().await;
        }
    }
    if pace == Pace::AtOnce {
        world.wake().await;
    }
    world.settled().await;
    let end = seen(&world, &hooks).await;
    world.drain().await;
    world.finish().await;
    end
}

async fn seen(world: &World, hooks: &[Webhook]) -> End {
    let state = world.state("shop").await;
    let release = |no: &ReleaseNo| {
        let release = &state.releases[no];
        let runs = release.stages.iter().flat_map(|(stage, runs)| {
            runs.iter().map(move |run| format!("{stage} {} {}", run.attempt, run.state.word()))
        });
        (release.created.version.to_string(), (release.created.commit.to_string(), runs.collect()))
    };
    let mut deployed = BTreeMap::new();
    for line in world.live() {
        *deployed.entry(line).or_default() += 1;
    }
    let rows = world.store().deliveries(100, None).await.unwrap();
    let ours = rows.into_iter().filter(|row| hooks.iter().any(|hook| hook.guid == row.guid));
    let name = |guid: &str| {
        let at = hooks.iter().position(|hook| hook.guid == guid).unwrap();
        format!("{at} {}", hooks[at].event)
    };
    let github = world.github.state();
    let repo = &github.repos[&REPO];
    let comments = repo.comments.values().filter(|c| c.author == APP_USER);
    let head =
        |body: &str| either(body.lines().next().and_then(|l| l.split(" (").next()).unwrap_or_default());
    let mut comments: Vec<String> = comments.map(|c| head(&c.body)).collect();
    comments.sort();
    End {
        releases: state.releases.keys().map(release).collect(),
        live: state
            .live
            .iter()
            .map(|((stage, _), live)| either(&format!("{stage} {}", state.version_of(live.release()))))
            .collect(),
        deployed,
        tags: world.tree.tags().into_keys().collect(),
        statuses: repo
            .statuses
            .iter()
            .map(|s| ((s.sha.clone(), s.context.clone()), format!("{} by {}", s.state, s.by)))
            .collect(),
        comments,
        deliveries: ours.map(|row| (name(&row.guid), (became(row.state), row.seen))).collect(),
    }
}

/// A text in which the two new releases are one.
fn either(text: &str) -> String {
    text.replace("v2.0.1-rc.1", "v2").replace("v2.0.0", "v2")
}

fn became(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Done | DeliveryState::Ignored => "read",
        DeliveryState::New => "new",
        DeliveryState::Poison => "poison",
    }
}

/// Each of them is first once and last once, and of any two each comes before the other one: turned round and round,
/// forwards and backwards.
fn orders() -> impl Iterator<Item = Vec<usize>> {
    (0..COUNT).flat_map(|by| {
        let mut forwards: Vec<usize> = (0..COUNT).collect();
        forwards.rotate_left(by);
        let backwards = forwards.iter().rev().copied().collect();
        [forwards, backwards]
    })
}

async fn all_orders(pace: Pace) {
    let mut orders = orders();
    let first = orders.next().unwrap();
    let expected = end(&first, pace).await;
    assert_eq!(expected.releases.len(), 3, "{expected:#?}");
    assert!(expected.live.contains(&"prod v0.1.0-rc.1".to_owned()), "{expected:#?}");
    for order in orders {
        let found = end(&order, pace).await;
        assert_eq!(found, expected, "in the order {order:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t07_t11_deliveries_that_come_at_once_in_any_order_end_the_same() {
    all_orders(Pace::AtOnce).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t07_t11_deliveries_that_come_one_by_one_in_any_order_end_the_same() {
    all_orders(Pace::OneByOne).await;
}
