//! Ends that are asked for, and processes that come back from the dead: drain, leases, fencing numbers.

use liftlock::clock;
use rustix::process::Signal;

use super::drive::{Keeper, until, wrong};
use super::rig::{Door, PATIENCE, deliver, write};
use super::{one, yard};

/// A deploy that stands half-way, ready for a signal.
macro_rules! standing {
    ($yard:ident, $door:ident, $server:ident, $keeper:ident, $eyes:ident, $lease:literal) => {
        let ($yard, $door) = (yard(&["hello"], $lease), Door::new());
        write(&$yard.hold("test"), "");
        #[expect(unused_mut, reason = "some tests let it run")]
        let mut $server = $yard.serve(&$door);
        let push = one(&$yard, &$door);
        let mut $keeper = Keeper::new(std::slice::from_ref(&push));
        let mut $eyes = $yard.eyes().await;
        until("the script stands half-way", (&$yard, &[&$server]), &mut $eyes, |_| {
            $yard.runs().iter().any(|r| r.what == "begin")
        })
        .await;
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_is_asked_for_lets_the_running_step_end() {
    standing!(yard, door, server, keeper, eyes, "5s");
    server.signal(Signal::TERM);
    // The door closes at once, while the step goes on.
    let begun = clock::monotonic();
    while deliver(&door, &keeper.pushes.first().unwrap().delivery()).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "the door stays open\n{}", server.log_tail());
    }
    assert!(server.ended().is_none(), "it waits for the step\n{}", server.log_tail());
    std::fs::remove_file(yard.hold("test")).unwrap();
    let status = server.wait();
    assert_eq!(status.code(), Some(0), "{}", server.log_tail());
    let seen = eyes.look().await;
    assert_eq!(seen.run("hello", 1, "test").unwrap().1, "succeeded", "{}", seen.shown());
    let server = yard.serve(&door);
    let seen = keeper.finish(&yard, &door, &server, &mut eyes).await;
    assert_eq!(keeper.retries, 0);
    let found = wrong(&yard, &seen, &keeper);
    assert!(found.is_empty(), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t57_a_step_that_outlasts_the_drain_is_left_to_its_lease() {
    standing!(yard, door, server, keeper, eyes, "2s");
    server.signal(Signal::TERM);
    let status = server.wait();
    assert_eq!(status.code(), Some(0), "{}", server.log_tail());
    let server = yard.serve(&door);
    until("it is known as lost", (&yard, &[&server]), &mut eyes, |seen| {
        seen.run("hello", 1, "test").is_some_and(|run| run.1 == "errored")
    })
    .await;
    std::fs::remove_file(yard.hold("test")).unwrap();
    let seen = keeper.finish(&yard, &door, &server, &mut eyes).await;
    assert_eq!(keeper.retries, 1);
    let found = wrong(&yard, &seen, &keeper);
    assert!(found.is_empty(), "{found:#?}\n{}", seen.shown());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t56_a_process_that_slept_past_its_lease_is_refused() {
    standing!(yard, door, server, keeper, eyes, "2s");
    server.signal(Signal::STOP);
    let asleep = eyes.look().await;
    let deploy = asleep.effects.iter().find(|e| e.key.starts_with("deploy:")).unwrap().clone();
    assert_eq!((deploy.state.as_str(), deploy.token), ("leased", 1));
    // Nobody else may use this file, so the lease runs out while its holder sleeps: longer than any heartbeat.
    let begun = clock::monotonic();
    while begun.elapsed().as_secs() < 3 {
        tokio::time::sleep(super::rig::GLANCE).await;
    }
    server.signal(Signal::CONT);
    let seen = until("the lease is taken again", (&yard, &[&server]), &mut eyes, |seen| {
        seen.run("hello", 1, "test").is_some_and(|run| run.1 != "running")
            || seen.effects.iter().any(|e| e.key == deploy.key && e.token > 1)
    })
    .await;
    std::fs::remove_file(yard.hold("test")).unwrap();
    let after = keeper.finish(&yard, &door, &server, &mut eyes).await;
    let found = wrong(&yard, &after, &keeper);
    assert!(found.is_empty(), "{found:#?}\n{}\n{}", seen.shown(), after.shown());
    let told = server.log();
    assert_eq!(keeper.retries, 1, "the run is lost and nobody repeats it unasked\n{}\n{told}", after.shown());
}
