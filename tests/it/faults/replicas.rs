//! Two servers on one `PostgreSQL`, and random faults over both engines.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::chaos::{Torture, torture};
use super::drive::{Keeper, beyond, until, wrong};
use super::plan;
use super::rig::{Deadline, Door, GLANCE, Push, Server, Yard, deliver, write};
use crate::postgres::Database;

/// Repositories with a pipeline each.
const REPOSITORIES: [&str; 4] = ["hello", "kudos", "lift", "lock"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t56_two_servers_release_twenty_times_and_one_is_killed() {
    let database = Database::create().await;
    let mut plan = plan(&REPOSITORIES, "2s");
    plan.postgres = Some(database.url());
    let yard = Yard::new(plan);
    let doors = [Door::new(), Door::new()];
    let [left, right] = &doors;
    let (mut first, second) = (yard.serve(left), yard.serve(right));
    let pushes: Vec<Push> =
        (0..20).map(|n| yard.push(REPOSITORIES[n % 4], &format!("feat: change {n}"), "page")).collect();
    let mut keeper = Keeper::new(&pushes);
    let mut eyes = yard.eyes().await;
    // Both hear of every push.
    for (n, push) in pushes.iter().enumerate() {
        for door in [&doors[n % 2], &doors[(n + 1) % 2]] {
            assert!(matches!(deliver(door, &push.delivery()), Ok(200 | 202)));
        }
    }
    let deploying = "some deploys are under way";
    until(deploying, (&yard, &[&first, &second]), &mut eyes, |_| yard.runs().len() >= 3).await;
    first.kill();
    database.cut().await;
    let deadline = Deadline::new();
    let seen = loop {
        let seen = eyes.look().await;
        if keeper.content(&seen) {
            break seen;
        }
        keeper.act(&seen, right);
        deadline.check("everything is live", &seen, &yard, &[&second]);
        tokio::time::sleep(GLANCE).await;
    };
    let found = beyond(2, wrong(&yard, &seen, &keeper));
    assert!(found.is_empty(), "{found:#?}\n{}\n{}", seen.shown(), second.log_tail());
    let made = seen.events.iter().filter(|e| e.kind == "release_created").count();
    assert_eq!(made, 20, "{}", seen.shown());
    second.signal(Signal::TERM);
    yard.verify(left);
    drop((first, second));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t56_a_server_that_slept_past_its_lease_is_refused() {
    let database = Database::create().await;
    let mut plan = plan(&["hello"], "2s");
    plan.postgres = Some(database.url());
    let yard = Yard::new(plan);
    let (left, right) = (Door::new(), Door::new());
    write(&yard.hold("test"), "");
    let sleeper = yard.serve(&left);
    let push = super::one(&yard, &left);
    let mut keeper = Keeper::new(std::slice::from_ref(&push));
    let mut eyes = yard.eyes().await;
    let begun = "the script stands half-way";
    until(begun, (&yard, &[&sleeper]), &mut eyes, |_| yard.runs().iter().any(|r| r.what == "begin")).await;
    sleeper.signal(Signal::STOP);
    let other = yard.serve(&right);
    let servers: [&Server; 2] = [&sleeper, &other];
    until("the run is lost", (&yard, &servers), &mut eyes, |seen| {
        seen.run("hello", 1, "test").is_some_and(|run| run.1 == "errored")
    })
    .await;
    // Awake again it finds its number out of date, ends the step with all its processes, and reports nothing.
    sleeper.signal(Signal::CONT);
    let first = yard.runs().first().unwrap().pid.clone();
    let gone = || !Path::new("/proc").join(&first).exists();
    until("the step of the sleeper is ended", (&yard, &servers), &mut eyes, |_| gone()).await;
    std::fs::remove_file(yard.hold("test")).unwrap();
    let seen = keeper.finish(&yard, &right, &other, &mut eyes).await;
    assert_eq!(keeper.retries, 1);
    let ended = yard.runs().iter().filter(|r| r.stage == "test" && r.what == "end").count();
    assert_eq!(ended, 1, "the sleeper's step did not go on: {:#?}", yard.runs());
    let found = beyond(1, wrong(&yard, &seen, &keeper));
    assert!(found.is_empty(), "{found:#?}\n{}", seen.shown());
    drop((sleeper, other));
    database.drop().await;
}

async fn short(postgres: Option<String>) {
    let servers = if postgres.is_some() { 2 } else { 1 };
    let plan = super::rig::Plan { postgres, ..plan(&["hello", "lift"], "2s") };
    let seed = 7;
    let faults_for = Duration::from_secs(6);
    let summary = torture(Torture { plan, seed, faults_for, servers, pushes: 6 }).await;
    println!("{summary}");
    assert!(summary.wrong.is_empty(), "{}", summary.wrong.join("\n"));
    assert!(summary.pushes > 0 && summary.kills > 0, "{summary}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torture_short_seed_on_sqlite() {
    short(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torture_short_seed_on_postgres() {
    let database = Database::create().await;
    short(Some(database.url())).await;
    database.drop().await;
}
