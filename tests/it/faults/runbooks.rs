//! `kill -9` around a run of a runbook: the next start tells what is known of it, and begins nothing twice.

use super::drive::{Keeper, until, wrong};
use super::rig::{BOOKS, Door, Event, Eyes, Plan, Push, Seen, Server, Yard, comment, write};
use super::{one, plan};

/// A release that is live everywhere, with a runbook beside it.
async fn live() -> (Yard, Door, Server, Keeper, Eyes) {
    let (yard, door) = (Yard::new(Plan { rules: &BOOKS, ..plan(&["hello"], "5s") }), Door::new());
    let server = yard.serve(&door);
    let push = one(&yard, &door);
    let mut keeper = Keeper::new(std::slice::from_ref(&push));
    let mut eyes = yard.eyes().await;
    keeper.finish(&yard, &door, &server, &mut eyes).await;
    (yard, door, server, keeper, eyes)
}

/// The events of this kind about a run.
fn about<'s>(seen: &'s Seen, kind: &str, run: i64) -> Vec<&'s Event> {
    let mine = |e: &&Event| e.kind == kind && e.number("run") == run;
    seen.events.iter().filter(mine).collect()
}

/// What the script wrote: runs with their fencing numbers.
fn record(yard: &Yard, what: &str) -> Vec<(i64, i64)> {
    let text = std::fs::read_to_string(yard.target().join("cleaned")).unwrap_or_default();
    let numbers = |line: &str| {
        let (run, fence) = line.strip_prefix(what)?.trim().split_once(' ')?;
        Some((run.parse().ok()?, fence.parse().ok()?))
    };
    text.lines().filter_map(numbers).collect()
}

/// How often a run began, or came to its end.
fn ran(yard: &Yard, what: &str, run: i64) -> usize {
    record(yard, what).iter().filter(|(no, _)| *no == run).count()
}

fn over(seen: &Seen, run: i64) -> bool {
    !about(seen, "runbook_ended", run).is_empty()
}

fn ask(door: &Door, push: &Push) {
    assert!(matches!(comment(door, push, "/run clean"), Ok(200)), "the door takes it");
}

/// One boundary: an event about the run, or a state of an effect.
enum Place {
    Event(&'static str),
    Effect(&'static str, &'static str),
}

impl Place {
    fn reached(&self, seen: &Seen, run: i64) -> bool {
        match self {
            Self::Event(kind) => !about(seen, kind, run).is_empty(),
            Self::Effect(kind, state) => {
                let key = format!("{kind}:plain:hello/hello:{run}");
                seen.effects.iter().any(|e| e.key.starts_with(&key) && e.state == *state)
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e16_t57_a_run_killed_at_any_boundary_is_told_of_once_and_never_begun_twice() {
    let places = [
        Place::Event("runbook_asked"),
        Place::Effect("runbook-work", "ready"),
        Place::Effect("runbook-work", "leased"),
        Place::Event("runbook_started"),
        Place::Event("runbook_ended"),
        Place::Effect("runbook-work", "done"),
        Place::Effect("runbook", "ready"),
        Place::Effect("runbook", "leased"),
        Place::Effect("runbook", "done"),
    ];
    let (yard, door, mut server, keeper, mut eyes) = live().await;
    let push = keeper.pushes.first().unwrap().clone();
    for (run, place) in (1_i64..).zip(&places) {
        ask(&door, &push);
        // What is too short to be seen is passed over; then it is killed once all is done.
        let passed = |seen: &Seen| seen.idle() && over(seen, run);
        until("it is there", (&yard, &[&server]), &mut eyes, |seen| place.reached(seen, run) || passed(seen))
            .await;
        server.kill();
        server = yard.serve(&door);
        let seen = until("it is over and told", (&yard, &[&server]), &mut eyes, passed).await;
        let [ended] = about(&seen, "runbook_ended", run).try_into().unwrap();
        let ended: &Event = ended;
        let outcome = ended.data.to_string();
        let (began, came_to_its_end) = (ran(&yard, "begin", run), ran(&yard, "end", run));
        assert!(began <= 1 && about(&seen, "runbook_started", run).len() <= 1, "{}", seen.shown());
        if outcome.contains("passed") {
            assert_eq!((began, came_to_its_end), (1, 1), "{outcome}");
        } else {
            assert!(outcome.contains("lost"), "{outcome}");
        }
        let found = wrong(&yard, &seen, &keeper);
        assert!(found.is_empty(), "{found:#?}\n{}", seen.shown());
        let told = |(marker, _): &(String, String)| {
            marker.starts_with("runbook") && marker.ends_with(&run.to_string())
        };
        assert_eq!(yard.said(&push).iter().filter(|said| told(said)).count(), 1, "{:?}", yard.said(&push));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e16_t57_a_run_that_died_half_way_is_lost_and_runs_again_only_when_asked() {
    let (yard, door, mut server, keeper, mut eyes) = live().await;
    let push = keeper.pushes.first().unwrap().clone();
    write(&yard.hold("clean"), "");
    ask(&door, &push);
    until("the script stands half-way", (&yard, &[&server]), &mut eyes, |_| ran(&yard, "begin", 1) == 1)
        .await;
    server.kill();
    server = yard.serve(&door);
    let lost =
        until("it is known as lost", (&yard, &[&server]), &mut eyes, |seen| seen.idle() && over(seen, 1))
            .await;
    let outcome = about(&lost, "runbook_ended", 1).first().unwrap().data.to_string();
    assert!(outcome.contains("lost"), "{outcome}");
    // It is still lost after another start, and nothing runs.
    server.kill();
    server = yard.serve(&door);
    let again = until("nothing is left to do", (&yard, &[&server]), &mut eyes, Seen::idle).await;
    assert_eq!(again.events.len(), lost.events.len(), "{}", again.shown());
    assert_eq!((ran(&yard, "begin", 1), ran(&yard, "begin", 2)), (1, 0));

    std::fs::remove_file(yard.hold("clean")).unwrap();
    ask(&door, &push);
    let seen =
        until("the second run is over", (&yard, &[&server]), &mut eyes, |seen| seen.idle() && over(seen, 2))
            .await;
    assert!(about(&seen, "runbook_ended", 2).first().unwrap().data.to_string().contains("passed"));
    assert_eq!((ran(&yard, "begin", 1), ran(&yard, "begin", 2)), (1, 1));
    let fences: Vec<i64> = record(&yard, "begin").iter().map(|(_, fence)| *fence).collect();
    assert!(fences[0] < fences[1], "fencing numbers rise: {fences:?}");
    let found = wrong(&yard, &seen, &keeper);
    assert!(found.is_empty(), "{found:#?}\n{}", seen.shown());
}
