//! `kill -9` in the middle of a rollout over targets: what each runs is known, and nothing is begun there twice
//! unasked.

use std::collections::BTreeMap;

use super::drive::{Keeper, until};
use super::rig::{CANARY, Door, Plan, Rules, SLOTS, Seen, Server, TARGETS, Yard, write};
use super::{one, plan};

/// What a fact about targets says: `target_started` of a name, `target_ended` of a name.
fn said(seen: &Seen, kind: &str) -> Vec<(i64, String)> {
    let facts = seen.events.iter().filter(|e| e.kind == kind);
    facts
        .map(|e| {
            let said = &e.data["said"];
            let target = said["started"].as_str().or(said["ended"]["target"].as_str()).unwrap();
            (e.number("attempt"), target.to_owned())
        })
        .collect()
}

/// How often the commands for each target began.
fn begun(yard: &Yard) -> BTreeMap<String, usize> {
    let text = std::fs::read_to_string(yard.target().join("rolled")).unwrap_or_default();
    let mut counts = BTreeMap::new();
    for line in text.lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

async fn killed(
    rules: &'static Rules,
    at: (&str, usize),
    held: Option<&str>,
) -> (Yard, Door, Server, Keeper) {
    let (yard, door) = (Yard::new(Plan { rules, ..plan(&["hello"], "5s") }), Door::new());
    if let Some(name) = held {
        write(&yard.hold(name), "");
    }
    let mut server = yard.serve(&door);
    let push = one(&yard, &door);
    let mut keeper = Keeper::new(std::slice::from_ref(&push));
    let mut eyes = yard.eyes().await;
    until("the place is reached", (&yard, &[&server]), &mut eyes, |seen| {
        keeper.act(seen, &door);
        let standing = held.is_none_or(|name| begun(&yard).contains_key(name));
        standing && seen.events.iter().filter(|e| e.kind == at.0).count() >= at.1
    })
    .await;
    server.kill();
    if let Some(name) = held {
        std::fs::remove_file(yard.hold(name)).unwrap();
    }
    let server = yard.serve(&door);
    (yard, door, server, keeper)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_t57_a_rollout_killed_between_two_targets_goes_on_with_what_is_left_when_asked() {
    let places = [
        (("target_ended", 1), None),
        (("target_started", 2), Some("web-2")),
        (("target_ended", 2), Some("web-3")),
    ];
    for (at, held) in places {
        let (yard, door, server, mut keeper) = killed(&TARGETS, at, held).await;
        let mut eyes = yard.eyes().await;
        let before = until("it is known how far it came", (&yard, &[&server]), &mut eyes, |seen| {
            keeper.content(seen) || seen.run("hello", 1, "prod").is_some_and(|run| run.1 == "errored")
        })
        .await;
        let done: Vec<String> = said(&before, "target_ended").into_iter().map(|(_, name)| name).collect();
        let seen = keeper.finish(&yard, &door, &server, &mut eyes).await;
        let started = said(&seen, "target_started");
        for name in ["web-1", "web-2", "web-3"] {
            let times = started.iter().filter(|(_, target)| target == name).count();
            let ran = begun(&yard).get(name).copied().unwrap_or(0);
            assert!(ran <= times, "{name} was begun {ran} times and told of {times} times: {}", seen.shown());
            let again = started.iter().filter(|(attempt, target)| *attempt > 1 && target == name).count();
            let had = done.iter().any(|target| target == name);
            assert!(!had || again == 0, "{name} was done and is begun again: {}", seen.shown());
        }
        if held.is_some() {
            assert_eq!(keeper.retries, 1, "nothing is repeated by itself");
        }
    }
}

/// Held, no worker is at it: the next server goes on by itself. Killed between two portions, it is for people.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_t57_a_canary_killed_while_it_is_held_goes_on_and_touches_no_target_twice() {
    let places = [(("pause", 1), None), (("gates_sampled", 1), None), (("target_started", 2), Some("web-2"))];
    for (at, held) in places {
        let (yard, door, server, mut keeper) = killed(&CANARY, at, held).await;
        let mut eyes = yard.eyes().await;
        let seen = keeper.finish(&yard, &door, &server, &mut eyes).await;
        let counts = begun(&yard);
        assert_eq!((counts["web-1"], counts["web-3"]), (1, 1), "at {at:?}: {}", seen.shown());
        assert_eq!(keeper.retries, usize::from(held.is_some()), "at {at:?}: {}", seen.shown());
    }
}

/// A slot that was filled is not filled again, and a switch that was begun is made by nobody but who asks for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_t57_a_switch_killed_half_way_is_made_again_when_asked_and_the_slot_is_not_filled_again() {
    let places = [(("slot_switching", 1), Some("to-blue")), (("pause", 1), None)];
    for (at, held) in places {
        let (yard, door, server, mut keeper) = killed(&SLOTS, at, held).await;
        let mut eyes = yard.eyes().await;
        let seen = keeper.finish(&yard, &door, &server, &mut eyes).await;
        let again = usize::from(held.is_some());
        let counts = begun(&yard);
        assert_eq!((counts["blue"], counts["to-blue"]), (1, 1 + again), "at {at:?}: {}", seen.shown());
        assert_eq!(keeper.retries, again, "at {at:?}: {}", seen.shown());
    }
}
