//! Ends that are asked for, and processes that come back from the dead: drain, leases, fencing numbers.

use liftlock::clock;
use rustix::process::Signal;

use super::drive::{Keeper, until, wrong};
use super::rig::{Door, Eyes, PATIENCE, Server, Yard, deliver, write};
use super::{one, yard};

/// A deploy that stands half-way, ready for a signal.
async fn standing(lease: &'static str) -> (Yard, Door, Server, Keeper, Eyes) {
    let (yard, door) = (yard(&["hello"], lease), Door::new());
    write(&yard.hold("test"), "");
    let server = yard.serve(&door);
    let push = one(&yard, &door);
    let keeper = Keeper::new(std::slice::from_ref(&push));
    let mut eyes = yard.eyes().await;
    until("the script stands half-way", (&yard, &[&server]), &mut eyes, |_| {
        yard.runs().iter().any(|r| r.what == "begin")
    })
    .await;
    (yard, door, server, keeper, eyes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_is_asked_for_lets_the_running_step_end() {
    let (yard, door, mut server, mut keeper, mut eyes) = standing("5s").await;
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
    let (yard, door, mut server, mut keeper, mut eyes) = standing("2s").await;
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
async fn a_server_that_slept_alone_goes_on_where_it_was() {
    let (yard, door, server, mut keeper, mut eyes) = standing("2s").await;
    server.signal(Signal::STOP);
    let begun = clock::monotonic();
    // Longer than the lease, and nobody else may use this file.
    while begun.elapsed().as_secs() < 3 {
        tokio::time::sleep(super::rig::GLANCE).await;
    }
    server.signal(Signal::CONT);
    std::fs::remove_file(yard.hold("test")).unwrap();
    // Whether its heartbeat or the look for lost leases comes first decides if the run goes on or is lost.
    let seen = keeper.finish(&yard, &door, &server, &mut eyes).await;
    let found = wrong(&yard, &seen, &keeper);
    assert!(found.is_empty(), "{found:#?}\n{}", seen.shown());
    assert!(keeper.retries <= 1, "{}", seen.shown());
}
