//! Two repositories of one server whose pipelines, stages and environments have the same names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use liftlock::domain::name::PipelineId;
use liftlock::domain::state::State;
use liftlock::secret::{Connection, Secret};
use liftlock::store::effect::{Effect, EffectState};

use super::tree::{Tree, sample};
use super::world::{ANA, DEV, REPO, World};
use crate::github::{Pull, Spot};

/// The other repository.
const OTHER: u64 = 77;

/// What both of them declare; only where it comes from tells them apart. A stage waits as long as it is told to.
fn manifest(whose: &str) -> String {
    format!(
        "version: 1\nname: web\nbuild: 'mkdir -p dist && echo {whose} > dist/app.txt'\nartifacts: dist\nstages:\n  \
         - name: prod\n    approval: 1\n    deploy:\n      - name: deploy\n        connection: database\n        run: |\n          \
           touch $TARGET/began-{whose}\n          while [ -e $TARGET/wait-{whose} ]; do sleep 0.02; done\n          \
           echo {whose} $LIFTLOCK_VERSION $(cat app.txt) $PASSWORD >> $TARGET/journal\n"
    )
}

/// Both repositories; each has a database of its own, or the first one alone.
async fn both(allow: &str) -> (World, Tree) {
    let mut world = World::asleep(sample(&manifest("shop"))).await;
    world.sleep().await;
    let files = BTreeMap::from([(".github/liftlock.yml".to_owned(), manifest("docs"))]);
    let other = Tree::new(&world.target().with_file_name("docs.git"), files);
    {
        let mut state = world.github.state();
        let repo = state.repo(OTHER, "acme/docs");
        repo.roles.insert(ANA, ("write", "maintain"));
        repo.roles.insert(DEV, ("write", "write"));
        repo.bare = Some(other.path().to_owned());
    }
    world.beside = vec!["acme/docs"];
    let database = Connection {
        environment: BTreeMap::new(),
        secrets: BTreeMap::from([("PASSWORD".to_owned(), Secret::new("canary-of-the-database"))]),
        allow: vec![allow.to_owned().try_into().unwrap()],
    };
    world.connections.insert("database".to_owned(), database);
    world.wake().await;
    (world, other)
}

/// The pipeline of a repository.
async fn web(world: &World, repo: u64) -> Arc<State> {
    let id = PipelineId { repo: format!("github:{repo}").parse().unwrap(), name: "web".parse().unwrap() };
    world.service().journal().load(&id).await.unwrap()
}

/// What its newest release is in prod.
async fn prod(world: &World, repo: u64) -> &'static str {
    let state = web(world, repo).await;
    let (stage, release) = ("prod".parse().unwrap(), state.releases.values().next_back().unwrap());
    release.run(&stage).map_or("not reached", |run| run.state.word())
}

/// Somebody says something in a thread of the other repository, while something may be under way.
async fn say_there_now(world: &World, text: &str) {
    let hook = {
        let mut state = world.github.state();
        state.clock_ahead_ms += 2_000;
        let comment = state.comment(OTHER, Spot::Thread(1), ANA, text);
        state.comment_event(OTHER, comment, "created")
    };
    assert_eq!(world.deliver(&hook).await, 202);
    let taken = |effects: &[Effect]| !effects.iter().any(|e| e.kind == "intake" && world.is_open(e));
    world.until("it is taken in", taken).await;
}

fn deploys(effects: &[Effect]) -> usize {
    effects.iter().filter(|e| e.kind == "deploy" && e.state == EffectState::Leased).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c11_pipelines_of_one_name_in_two_repositories_have_nothing_to_do_with_one_another() {
    let (mut world, mut other) = both("*:web/prod").await;
    let ours = world.merge(1, "feat: sell shoes").await;
    let merged = |commit: &str| Some(Pull { head: "1".repeat(40), merged: Some(commit.to_owned()) });
    let theirs = world.push_beside((OTHER, &mut other), &[("page", "one")], "feat: a page").await;
    world.github.state().issue(OTHER, 1, DEV, merged(&theirs));
    world.settled().await;

    // Releases: each has its own, of its own commit and bytes, and both are the first.
    let [one, two] = [web(&world, REPO).await, web(&world, OTHER).await];
    for (state, commit) in [(&one, &ours), (&two, &theirs)] {
        let releases: Vec<_> = state
            .releases
            .values()
            .map(|r| (r.created.commit.as_str(), r.created.version.to_string()))
            .collect();
        assert_eq!(releases, [(commit.as_str(), "v0.1.0-rc.1".to_owned())]);
    }
    let digest = |state: &State| state.releases.values().next().unwrap().digest.clone().unwrap();
    assert_ne!(digest(&one), digest(&two));

    // Commands: what is said in one repository moves nothing of the other, by whatever name it calls it.
    world.plant("wait-shop");
    world.plant("wait-docs");
    world.say(1, ANA, "/approve web/prod v0.1.0-rc.1").await;
    world.until_planted("began-shop").await;
    assert_eq!((prod(&world, REPO).await, prod(&world, OTHER).await), ("running", "waiting"));
    for line in ["/cancel github:12/web/prod v0.1.0-rc.1", "/cancel acme/shop:web/prod v0.1.0-rc.1"] {
        let before = web(&world, REPO).await.version;
        say_there_now(&world, line).await;
        assert_eq!(
            (web(&world, REPO).await.version, prod(&world, REPO).await),
            (before, "running"),
            "{line}"
        );
    }

    // Locks: the other one's prod is another place, so both are deployed at the same time.
    say_there_now(&world, "/approve prod v0.1.0-rc.1").await;
    world.until_planted("began-docs").await;
    assert_eq!(deploys(&world.effects().await), 2);
    for repo in [REPO, OTHER] {
        let lock = world.store().lock(&format!("environment:github:{repo}:prod")).await.unwrap().unwrap();
        assert_eq!(lock.holder, "web v0.1.0-rc.1 in prod");
    }
    world.unplant("wait-shop");
    world.unplant("wait-docs");
    world.settled().await;
    let deployed: BTreeSet<String> = world.deployed().into_iter().collect();
    let line = |whose: &str| format!("{whose} v0.1.0-rc.1 {whose} canary-of-the-database");
    assert_eq!(deployed, BTreeSet::from([line("shop"), line("docs")]));

    // Holds: one is held, and the other goes on.
    say_there_now(&world, "/hold prod -- we wait").await;
    world.settled().await;
    let held: Vec<usize> = vec![web(&world, REPO).await.holds.len(), web(&world, OTHER).await.holds.len()];
    assert_eq!(held, [0, 1]);
    world.drain().await;
    world.finish().await;
}

/// What the config gives to one repository's pipeline is not another's for being called the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c11_a_secret_for_a_pipeline_of_one_repository_is_not_for_one_of_that_name_elsewhere() {
    let (mut world, mut other) = both("acme/shop:web/prod").await;
    world.merge(1, "feat: sell shoes").await;
    let theirs = world.push_beside((OTHER, &mut other), &[("page", "one")], "feat: a page").await;
    world.github.state().issue(OTHER, 1, DEV, Some(Pull { head: "1".repeat(40), merged: Some(theirs) }));
    world.say(1, ANA, "/approve prod v0.1.0-rc.1").await;
    world.settled().await;
    say_there_now(&world, "/approve prod v0.1.0-rc.1").await;
    world.settled().await;
    assert_eq!((prod(&world, REPO).await, prod(&world, OTHER).await), ("live", "errored"));
    assert_eq!(world.deployed(), ["shop v0.1.0-rc.1 shop canary-of-the-database"]);
    let told = world.github.state().repos[&OTHER].comments.values().any(|comment| {
        comment.body.replace('\\', "").contains("the connection `database` is not for acme/docs:web/prod")
    });
    assert!(told, "nobody there is told why");
    world.drain().await;
    world.finish().await;
}
