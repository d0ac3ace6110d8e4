//! A server that wants a word of its own before every verb, where another bot listens for `/approve`.

use std::collections::BTreeMap;

use liftlock::domain::command::VERBS;
use liftlock::notify::{Routes, Target};
use liftlock::secret::Secret;

use super::notices::Receiver;
use super::tree::{TWO_STAGES, sample};
use super::world::{ANA, BO, REPO, World};

/// Where people read what the server says.
const PAGES: [&str; 10] = [
    "/",
    "/pipelines/github:12/shop",
    "/releases/github:12/shop/1",
    "/approvals",
    "/queue",
    "/deliveries",
    "/api/releases/github:12/shop/1",
    "/api/releases/github:12/shop/1/why",
    "/api/approvals",
    "/api/runs",
];

/// Every line to type that nobody would take here, with what stands around it.
fn bare(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for row in VERBS {
        let line = format!("/{}", row.word);
        for (at, _) in text.match_indices(&line) {
            let before = text[..at].chars().next_back();
            let behind = text[at + line.len()..].chars().next();
            let is_line = before.is_none_or(|c| c.is_whitespace() || "`>(:,\"".contains(c))
                && behind.is_none_or(|c| !c.is_alphanumeric() && !"-_/".contains(c));
            if is_line {
                let around = text[..at].chars().rev().take(60).collect::<Vec<_>>();
                found.push(around.into_iter().rev().chain(text[at..].chars().take(40)).collect());
            }
        }
    }
    found
}

/// Nothing that the server says here or on GitHub has a line without the word.
async fn looked_through(world: &World) {
    let mut said = Vec::new();
    {
        let state = world.github.state();
        let repo = &state.repos[&REPO];
        said.extend(repo.statuses.iter().map(|status| status.description.clone()));
        let ours = repo.comments.values().filter(|comment| ![ANA, BO].contains(&comment.author));
        said.extend(ours.map(|comment| comment.body.clone()));
        said.extend(repo.issues.values().map(|issue| issue.body.clone()));
        said.extend(repo.checks.values().map(|check| format!("{check:?}")));
    }
    assert!(said.len() > 5, "{said:?}");
    for path in PAGES {
        said.push(world.get(path).await);
    }
    for text in said {
        assert!(bare(&text).is_empty(), "{:#?} in {text}", bare(&text));
    }
}

async fn world(receiver: &str) -> World {
    let told = "notify: [{to: 'slack:#release', events: [approval_requested, failed]}]\n";
    let mut world = World::asleep(sample(&format!("{TWO_STAGES}{told}"))).await;
    world.sleep().await;
    world.checks = true;
    world.prefix = "liftlock".parse().unwrap();
    let url = Secret::new(format!("{receiver}/slack"));
    let routes = BTreeMap::from([("slack:#release".parse().unwrap(), Target::Slack { url })]);
    world.notify = Routes { public_url: "https://releases.example".to_owned(), routes };
    world.wake().await;
    world
}

/// What the server answers on the pull request.
async fn answer(world: &World, who: u64, line: &str) -> String {
    world.say(1, who, line).await;
    world.settled().await;
    world.drain().await.join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t23_with_a_prefix_other_bots_lines_are_ignored_and_all_of_ours_have_it() {
    let (receiver, address) = Receiver::start(0).await;
    let mut world = world(&address).await;
    world.merge(1, "feat: sell shoes").await;
    let request = world.drain().await.join("\n");
    assert!(request.contains("`/liftlock approve prod v0.1.0-rc.1`"), "{request}");
    assert!(request.contains("`/liftlock reject prod -- reason`"), "{request}");
    looked_through(&world).await;
    assert!(world.get("/approvals").await.contains("<code>/liftlock approve prod v0.1.0-rc.1</code>"));
    assert!(
        world.get("/releases/github:12/shop/1").await.contains("<code>/liftlock approve prod v0.1.0-rc.1")
    );

    // Another bot's.
    for line in ["/approve prod", "/approve", "/lift approve prod"] {
        let comment = world.say(1, ANA, line).await;
        assert_eq!(world.drain().await, Vec::<String>::new(), "{line}");
        assert_eq!(world.reactions(comment), Vec::<String>::new(), "{line}");
    }
    assert_eq!(world.live(), ["test v0.1.0-rc.1"]);

    // What is wrong is answered with the line that is right here.
    for (line, right) in [
        ("/liftlock approve", "Waiting now: `/liftlock approve prod v0.1.0-rc.1`"),
        ("/liftlock reject prod", "Write `/liftlock reject prod -- reason`."),
        ("/liftlock approve prd", "`/liftlock approve prod`"),
    ] {
        let said = answer(&world, ANA, line).await;
        assert!(said.contains(right), "{line}: {said}");
    }
    answer(&world, BO, "/liftlock hold prod -- migration").await;
    assert!(answer(&world, ANA, "/liftlock why prod").await.contains("`/liftlock unhold prod`"));
    assert!(answer(&world, ANA, "/liftlock help").await.contains("| `/liftlock approve <stage>"));
    looked_through(&world).await;
    answer(&world, BO, "/liftlock unhold prod").await;

    world.plant("fail-prod");
    let failed = answer(&world, ANA, "/liftlock approve prod").await;
    assert!(failed.contains("Comment `/liftlock retry prod`"), "{failed}");
    looked_through(&world).await;
    world.unplant("fail-prod");
    answer(&world, ANA, "/liftlock retry prod").await;
    assert_eq!(world.live().last().unwrap(), "prod v0.1.0-rc.1");
    looked_through(&world).await;

    let told: Vec<String> = receiver.at("/slack").iter().map(|came| came.body.to_string()).collect();
    let lines = ["comment: /liftlock approve prod v0.1.0-rc.1", "comment: /liftlock retry prod"];
    assert!(lines.iter().all(|line| told.iter().any(|text| text.contains(line))), "{told:?}");
    world.finish().await;
}
