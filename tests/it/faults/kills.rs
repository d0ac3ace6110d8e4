//! `kill -9` anywhere: the next start goes on, and the end is the one that a run without a kill comes to.

use std::path::Path;
use std::time::Duration;

use liftlock::clock;
use rustix::process::{Pid, Signal, kill_process};

use super::drive::{Keeper, moved, until, wrong};
use super::rig::{Deadline, Door, Event, GLANCE, PATIENCE, Plan, RINGS, Seen, Server, Yard, deliver};
use super::{one, plan, yard};

/// Rounds at a time: a round mostly waits for commits and processes.
const SIDE_BY_SIDE: usize = 3;

/// What a round came to.
#[derive(Debug)]
struct Round {
    /// Events when it was killed; none when it was over before.
    killed_at: Option<i64>,
    /// Deploys that were lost and retried.
    lost: usize,
    /// Comments that nobody answered, and that were said again.
    unanswered: usize,
    events: Vec<(String, String)>,
}

/// Releases one push, with everything around its stages; kills the server as soon as the log has this many events.
async fn round(kill_at: Option<i64>) -> Round {
    let (yard, door) = (Yard::new(Plan { rules: &RINGS, ..plan(&["hello"], "5s") }), Door::new());
    let mut server = yard.serve(&door);
    let killer = kill_at.map(|k| {
        let (pid, file) = (server.pid(), yard.database());
        std::thread::spawn(move || kill_when(pid, &file, k))
    });
    let push = yard.push("hello", "feat: say hello", "page");
    let mut keeper = Keeper::new(std::slice::from_ref(&push));
    let mut eyes = yard.eyes().await;
    let deadline = Deadline::new();
    let mut told = false;
    let seen = loop {
        if server.ended().is_some() {
            server = yard.serve(&door);
        }
        told = told || matches!(deliver(&door, &push.delivery()), Ok(200 | 202));
        let seen = eyes.look().await;
        if keeper.content(&seen) {
            break seen;
        }
        keeper.act(&seen, &door);
        deadline.check("everything is live", &seen, &yard, &[&server]);
        tokio::time::sleep(GLANCE).await;
    };
    server.kill();
    let killed_at = killer.and_then(|k| k.join().unwrap());
    yard.verify(&door);
    let found = wrong(&yard, &seen, &keeper);
    assert!(found.is_empty(), "killed at {killed_at:?}: {found:#?}\n{}", seen.shown());
    let begun = seen.events.iter().filter(|e| e.kind == "stage_moved" && moved(e) == Some("running")).count();
    assert!(begun <= 2 + keeper.retries, "{begun} deploys, {} retries\n{}", keeper.retries, seen.shown());
    Round { killed_at, lost: keeper.retries, unanswered: keeper.unanswered, events: story(&seen) }
}

/// Kinds and what they are about, without numbers that differ from run to run.
fn story(seen: &Seen) -> Vec<(String, String)> {
    let about = |e: &Event| (e.kind.clone(), format!("{} {}", e.text("stage"), e.text("to")));
    seen.events.iter().map(about).collect()
}

/// What became of one push whose server was killed.
pub(crate) struct Survived {
    /// How long the log was then; none when it was over before.
    pub(crate) killed_at: Option<i64>,
    /// Deploys that were lost and retried.
    pub(crate) retries: usize,
    /// Everything, at the end.
    pub(crate) seen: Seen,
}

/// Pushes once, kills the server when its log has this many events, starts it again, and answers for people, until
/// everything is live; `at_end` looks while the last server runs.
pub(crate) async fn survive(yard: &Yard, door: &Door, kill_at: Option<i64>, at_end: fn(&Door)) -> Survived {
    let mut server = yard.serve(door);
    let killer = kill_at.map(|k| {
        let (pid, file) = (server.pid(), yard.database());
        std::thread::spawn(move || kill_when(pid, &file, k))
    });
    let push = one(yard, door);
    let mut keeper = Keeper::new(std::slice::from_ref(&push));
    let mut eyes = yard.eyes().await;
    let deadline = Deadline::new();
    let seen = loop {
        if server.ended().is_some() {
            server = yard.serve(door);
            assert!(matches!(deliver(door, &push.delivery()), Ok(200 | 202)));
        }
        let seen = eyes.look().await;
        if keeper.content(&seen) {
            break seen;
        }
        keeper.act(&seen, door);
        deadline.check("everything is live", &seen, yard, &[&server]);
        tokio::time::sleep(GLANCE).await;
    };
    if kill_at.is_none() {
        at_end(door);
    }
    server.kill();
    let killed_at = killer.and_then(|k| k.join().unwrap());
    assert_eq!(killed_at.is_some(), kill_at.is_some(), "it was over before it was killed");
    yard.verify(door);
    Survived { killed_at, retries: keeper.retries, seen }
}

/// Looks as fast as it can, and kills. The process is never reaped before this is over, so its number stays its own.
pub(crate) fn kill_when(pid: Pid, file: &Path, k: i64) -> Option<i64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut eyes = super::rig::Eyes::open(None, file).await;
        let begun = clock::monotonic();
        while begun.elapsed() < PATIENCE {
            let count = eyes.count().await;
            if count >= k {
                kill_process(pid, Signal::KILL).unwrap_or_default();
                return Some(count);
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        None
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn t57_kill_at_every_append_ends_as_if_nothing_had_happened() {
    let undisturbed = round(None).await;
    assert_eq!(undisturbed.lost, 0);
    let begun = clock::monotonic();
    let places: Vec<i64> = (1_i64..).zip(&undisturbed.events).map(|(place, _)| place).collect();
    let mut rounds = Vec::new();
    for some in places.chunks(SIDE_BY_SIDE) {
        let batch: Vec<_> = some.iter().map(|k| tokio::spawn(round(Some(*k)))).collect();
        for one in batch {
            rounds.push(one.await.unwrap());
        }
    }
    let killed = rounds.iter().filter(|r| r.killed_at.is_some()).count();
    let lost: usize = rounds.iter().map(|r| r.lost).sum();
    let seconds = begun.elapsed().as_secs();
    println!(
        "{} events; {} rounds, {killed} kills, {lost} deploys lost and retried, {seconds} s",
        undisturbed.events.len(),
        rounds.len()
    );
    let at: Vec<_> = rounds.iter().map(|r| r.killed_at).collect();
    println!("killed at {at:?}");
    assert_eq!(killed, rounds.len(), "every round was killed: {rounds:?}");
    for round in rounds.iter().filter(|r| r.lost == 0) {
        let (mut told, mut wanted) = (round.events.clone(), undisturbed.events.clone());
        // A build may be begun again, and ana's word may be heard in another order than the offer was noted.
        told.retain(|(kind, _)| kind != "build_started");
        wanted.retain(|(kind, _)| kind != "build_started");
        // Killed between a comment's commit and its answer, the server has heard both it and its repetition.
        for _ in 0..round.unanswered {
            let heard =
                |events: &[(String, String)]| events.iter().filter(|(kind, _)| kind == "heard").count();
            if heard(&told) > heard(&wanted) {
                let again = told.iter().rposition(|(kind, _)| kind == "heard").unwrap();
                told.remove(again);
            }
        }
        told.sort();
        wanted.sort();
        assert_eq!(told, wanted, "killed at {:?}", round.killed_at);
    }
}

/// A server that was killed while the stage's script stood half-way.
async fn killed_half_way(stage: &str) -> (Yard, Door, Server, Keeper) {
    let (yard, door) = (yard(&["hello"], "5s"), Door::new());
    super::rig::write(&yard.hold(stage), "");
    let mut server = yard.serve(&door);
    let push = one(&yard, &door);
    let mut keeper = Keeper::new(std::slice::from_ref(&push));
    let mut eyes = yard.eyes().await;
    let standing = |yard: &Yard| yard.runs().iter().any(|r| r.stage == stage && r.what == "begin");
    until("the script stands half-way", (&yard, &[&server]), &mut eyes, |seen| {
        keeper.act(seen, &door);
        standing(&yard)
    })
    .await;
    server.kill();
    let server = yard.serve(&door);
    (yard, door, server, keeper)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t57_a_deploy_that_died_half_way_is_lost_and_runs_again_only_when_asked() {
    for stage in ["test", "prod"] {
        let (yard, door, mut server, mut keeper) = killed_half_way(stage).await;
        let mut eyes = yard.eyes().await;
        let lost = until("it is known as lost", (&yard, &[&server]), &mut eyes, |seen| {
            seen.idle() && seen.run("hello", 1, stage).is_some_and(|run| run.1 == "errored")
        })
        .await;
        let (attempt, _, detail) = lost.run("hello", 1, stage).unwrap();
        assert_eq!(attempt, 1);
        assert!(detail.contains("lost"), "{detail}");
        // It is still lost after another start: nothing repeats it by itself.
        server.kill();
        let server = yard.serve(&door);
        let again = until("nothing is left to do", (&yard, &[&server]), &mut eyes, Seen::idle).await;
        let same = |seen: &Seen| seen.events.iter().filter(|e| e.text("stage") == stage).count();
        assert_eq!(same(&again), same(&lost), "{}", again.shown());
        let begun =
            |yard: &Yard| yard.runs().iter().filter(|r| r.stage == stage && r.what == "begin").count();
        assert_eq!(begun(&yard), 1, "{:?}", yard.runs());

        // The script of the dead server still stands there. The retry has a higher number, so the target refuses it.
        keeper.act(&again, &door);
        until("the retry stands half-way", (&yard, &[&server]), &mut eyes, |_| begun(&yard) == 2).await;
        std::fs::remove_file(yard.hold(stage)).unwrap();
        let seen = keeper.finish(&yard, &door, &server, &mut eyes).await;
        assert_eq!(seen.run("hello", 1, stage).unwrap().0, 2);
        until("the zombie was refused", (&yard, &[&server]), &mut eyes, |_| {
            yard.runs().iter().any(|r| r.what == "refused")
        })
        .await;
        let found = wrong(&yard, &seen, &keeper);
        assert!(found.is_empty(), "{found:#?}\n{}", seen.shown());
        let runs = yard.runs();
        let fences: Vec<i64> =
            runs.iter().filter(|r| r.stage == stage && r.what == "begin").map(|r| r.fence).collect();
        assert!(fences.is_sorted() && fences.first() != fences.last(), "fencing numbers rise: {runs:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t57_a_build_that_died_half_way_is_built_again() {
    let (yard, door) = (yard(&["hello"], "5s"), Door::new());
    let mut server = yard.serve(&door);
    let push = yard.push("hello", "feat: slowly", "slow");
    assert_eq!(deliver(&door, &push.delivery()).unwrap(), 202);
    let mut keeper = Keeper::new(std::slice::from_ref(&push));
    let mut eyes = yard.eyes().await;
    let begun = |seen: &Seen| seen.events.iter().filter(|e| e.kind == "build_started").count();
    until("it builds", (&yard, &[&server]), &mut eyes, |seen| begun(seen) == 1).await;
    server.kill();
    let server = yard.serve(&door);
    let seen = keeper.finish(&yard, &door, &server, &mut eyes).await;
    assert_eq!(begun(&seen), 2);
    assert_eq!(keeper.retries, 0, "nobody had to ask");
    let found = wrong(&yard, &seen, &keeper);
    assert!(found.is_empty(), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_around_every_effect_on_the_host_says_nothing_twice() {
    // Before it is taken, while it is leased, and once it is done: statuses, the tag, comments.
    let kinds = ["status:", "tag:", "offer:", "sticky:", "released:"];
    for kind in kinds {
        let (yard, door) = (yard(&["hello"], "5s"), Door::new());
        let mut server = yard.serve(&door);
        let push = one(&yard, &door);
        let mut keeper = Keeper::new(std::slice::from_ref(&push));
        let mut eyes = yard.eyes().await;
        for state in ["ready", "leased", "done"] {
            let deadline = Deadline::new();
            // What is too short to be seen is passed over; the next state comes.
            loop {
                let seen = eyes.look().await;
                let there = seen.effects.iter().any(|e| e.key.starts_with(kind) && e.state == state);
                if there || keeper.content(&seen) {
                    break;
                }
                keeper.act(&seen, &door);
                deadline.check(&format!("{kind} is {state}"), &seen, &yard, &[&server]);
            }
            server.kill();
            server = yard.serve(&door);
        }
        let seen = keeper.finish(&yard, &door, &server, &mut eyes).await;
        let found = wrong(&yard, &seen, &keeper);
        assert!(found.is_empty(), "{kind}: {found:#?}\n{}", seen.shown());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t11_what_was_acknowledged_before_a_kill_is_done_after_it() {
    let (yard, door) = (yard(&["hello"], "5s"), Door::new());
    let mut server = yard.serve(&door);
    let push = yard.push("hello", "feat: say hello", "page");
    let mut keeper = Keeper::new(std::slice::from_ref(&push));
    // Killed the moment the door has answered: whatever was not read yet is in the inbox.
    assert_eq!(deliver(&door, &push.delivery()).unwrap(), 202);
    server.kill();
    let mut eyes = yard.eyes().await;
    let seen = eyes.look().await;
    assert_eq!(seen.deliveries.len(), 1, "acknowledged means stored");
    let server = yard.serve(&door);
    let seen = keeper.finish(&yard, &door, &server, &mut eyes).await;
    let found = wrong(&yard, &seen, &keeper);
    assert!(found.is_empty(), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t11_a_push_nobody_told_of_is_found_at_the_start() {
    let (yard, door) = (yard(&["hello"], "5s"), Door::new());
    let mut server = yard.serve(&door);
    let first = one(&yard, &door);
    let mut keeper = Keeper::new(std::slice::from_ref(&first));
    let mut eyes = yard.eyes().await;
    keeper.finish(&yard, &door, &server, &mut eyes).await;
    server.kill();
    keeper.pushes.push(yard.push("hello", "feat: while it was down", "page"));
    let server = yard.serve(&door);
    let seen = keeper.finish(&yard, &door, &server, &mut eyes).await;
    assert_eq!(
        seen.deliveries.iter().filter(|d| d.guid.starts_with("push")).count(),
        1,
        "no webhook told of it"
    );
    let found = wrong(&yard, &seen, &keeper);
    assert!(found.is_empty(), "{found:#?}\n{}", seen.shown());
}
