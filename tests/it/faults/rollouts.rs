//! `kill -9` in the middle of a rollout over targets: what each runs is known, and nothing is begun there twice
//! unasked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::drive::{Keeper, digest_of, moved, release_of, until};
use super::rig::{CANARY, Deadline, Door, Event, Plan, Push, Rules, SLOTS, Seen, Server, THREE, Yard};
use super::rig::{comment, deliver, rolling, write};
use super::{one, plan};
use crate::sshd::{self, Sshd};

/// The targets of these tests.
const NAMES: [&str; 3] = ["web-1", "web-2", "web-3"];

/// One push on its way to targets.
struct Rollout {
    yard: Yard,
    door: Door,
    server: Server,
    keeper: Keeper,
}

/// One line of what a target's commands wrote down there.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    /// `begin` or `end`.
    what: String,
    digest: String,
    fence: i64,
}

/// A place to kill the server at: so many facts of a kind about the newest release, and targets whose commands are
/// begun and stand half-way.
type Place = ((&'static str, usize), &'static [&'static str]);

impl Rollout {
    fn new(rules: &'static Rules) -> Self {
        let (yard, door) = (Yard::new(Plan { rules, ..plan(&["hello"], "5s") }), Door::new());
        let server = yard.serve(&door);
        let push = one(&yard, &door);
        Self { yard, door, server, keeper: Keeper::new(&[push]) }
    }

    /// The same after a release that every target runs.
    async fn second(rules: &'static Rules) -> Self {
        let mut rollout = Self::new(rules);
        rollout.finish().await;
        let push = rollout.yard.push("hello", "feat: say more", "page");
        assert_eq!(deliver(&rollout.door, &push.delivery()).unwrap(), 202);
        rollout.keeper.pushes.push(push);
        rollout
    }

    async fn finish(&mut self) -> Seen {
        let mut eyes = self.yard.eyes().await;
        self.keeper.finish(&self.yard, &self.door, &self.server, &mut eyes).await
    }

    fn push(&self) -> &Push {
        self.keeper.pushes.last().unwrap()
    }

    /// Kills the server in this place and starts the next one; what stood half-way stands no longer.
    async fn kill_at(&mut self, (at, held): Place) {
        for name in held {
            write(&self.yard.hold(name), "");
        }
        let before: Vec<usize> = held.iter().map(|name| self.begun(name)).collect();
        let mut eyes = self.yard.eyes().await;
        let Self { yard, door, server, keeper } = self;
        let newest = keeper.pushes.last().unwrap().clone();
        until("the place is reached", (yard, &[server]), &mut eyes, |seen| {
            keeper.act(seen, door);
            let stands = |(name, before): (&&str, &usize)| begun(yard, name) > *before;
            let of = release_of(seen, &newest);
            let facts = seen.events.iter().filter(|e| e.kind == at.0 && Some(e.release) == of);
            held.iter().zip(&before).all(stands) && facts.count() >= at.1
        })
        .await;
        server.kill();
        for name in held {
            std::fs::remove_file(yard.hold(name)).unwrap();
        }
        *server = yard.serve(door);
    }

    /// How often the commands for a target, or of a slot, began.
    fn begun(&self, name: &str) -> usize {
        begun(&self.yard, name)
    }

    /// What a target wrote down by itself.
    fn record(&self, name: &str) -> Vec<Line> {
        let path = self.yard.target().join(format!("record-{name}"));
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = |line: &str| {
            let [what, digest, fence] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
            Line { what: what.to_owned(), digest: digest.to_owned(), fence: fence.parse().unwrap() }
        };
        text.lines().map(line).collect()
    }

    /// What `/why prod` answers about each target.
    async fn told(&self) -> BTreeMap<String, String> {
        let answers = || {
            let said = self.yard.said(self.push()).into_iter();
            let answer =
                |(marker, body): &(String, String)| !marker.starts_with("sticky") && body.contains("\n- ▪ ");
            said.filter(answer).map(|(_, body)| body.replace('\\', "")).collect::<Vec<_>>()
        };
        let before = answers().len();
        assert_eq!(comment(&self.door, self.push(), "/why prod").unwrap(), 200);
        let (deadline, mut eyes) = (Deadline::new(), self.yard.eyes().await);
        while answers().len() == before {
            deadline.check("/why is answered", &eyes.look().await, &self.yard, &[&self.server]);
        }
        let answer = answers().pop().unwrap();
        let line = |line: &str| {
            let (name, fate) = line.strip_prefix("- ▪ ")?.split_once(": ")?;
            Some((name.to_owned(), fate.to_owned()))
        };
        answer.lines().filter_map(line).collect()
    }

    /// Waits until it is known how far the killed rollout came.
    async fn known(&mut self) -> Seen {
        let mut eyes = self.yard.eyes().await;
        let Self { yard, server, keeper, .. } = self;
        let newest = keeper.pushes.last().unwrap().clone();
        until("it is known how far it came", (yard, &[server]), &mut eyes, |seen| {
            let state = release_of(seen, &newest).and_then(|no| seen.run("hello", no, "prod"));
            keeper.content(seen) || state.is_some_and(|run| run.1 == "errored")
        })
        .await
    }
}

fn begun(yard: &Yard, name: &str) -> usize {
    let text = std::fs::read_to_string(yard.target().join("rolled")).unwrap_or_default();
    text.lines().filter(|line| *line == name).count()
}

/// What a fact about targets says: `target_started` of a name, `target_ended` of a name.
fn said(seen: &Seen, release: i64, kind: &str) -> Vec<(i64, String)> {
    let facts = seen.events.iter().filter(|e| e.kind == kind && e.release == release);
    facts
        .map(|e| {
            let said = &e.data["said"];
            let target = said["started"].as_str().or(said["ended"]["target"].as_str()).unwrap();
            (e.number("attempt"), target.to_owned())
        })
        .collect()
}

/// What is wrong with what people are told right after the kill, by the log and by what each target wrote down: done is
/// done, what was not reached was not touched, and what was begun and not reported is not taken for either.
fn mistold(rollout: &Rollout, seen: &Seen, told: &BTreeMap<String, String>) -> String {
    let no = release_of(seen, rollout.push()).unwrap();
    let digest = digest_of(seen, "plain:hello/hello", no).unwrap();
    let (started, ended) = (said(seen, no, "target_started"), said(seen, no, "target_ended"));
    let mut wrong = String::new();
    for name in NAMES {
        let of = |facts: &[(i64, String)]| facts.iter().filter(|(_, target)| target == name).count();
        let wrote = |what: &str| {
            let lines = rollout.record(name).into_iter();
            lines.filter(|line| line.what == what && line.digest == digest).count()
        };
        let fate = told.get(name).map_or("", String::as_str);
        let (begun, over) = (wrote("begin"), wrote("end"));
        let fits = match (of(&started), of(&ended)) {
            (0, 0) => fate.starts_with("not reached") && begun == 0,
            (1, 0) => {
                fate.starts_with("unknown: begun and never reported")
                    && fate.contains("was begun there")
                    && begun <= 1
            }
            (1, 1) => fate.starts_with("done; it runs ") && (begun, over) == (1, 1),
            _ => false,
        };
        if !fits {
            writeln!(wrong, "{name} is told to be `{fate}`; it wrote {:?}", rollout.record(name)).unwrap();
        }
    }
    wrong
}

/// What ran twice on a target without being asked for or said: every begin is of another admission, which the log has,
/// and each beyond the first one follows a `/retry` that somebody said.
fn silent(rollout: &Rollout, seen: &Seen) -> String {
    let no = release_of(seen, rollout.push()).unwrap();
    let digest = digest_of(seen, "plain:hello/hello", no).unwrap();
    let mut wrong = String::new();
    let admission = |fence: i64| {
        let is = |e: &&Event| e.seq == fence && e.kind == "stage_moved" && moved(e) == Some("running");
        seen.events.iter().find(is)
    };
    let retried = |before: i64| {
        let retry = |e: &&Event| e.kind == "heard" && e.text("line").starts_with("/retry prod");
        seen.events.iter().filter(retry).filter(|e| e.seq < before).count()
    };
    for name in NAMES {
        let lines = rollout.record(name);
        let begins: Vec<i64> =
            lines.iter().filter(|l| l.what == "begin" && l.digest == digest).map(|l| l.fence).collect();
        let once: BTreeSet<&i64> = begins.iter().collect();
        let asked = begins.iter().enumerate().all(|(repeats, fence)| {
            admission(*fence).is_some_and(|e| e.number("attempt") >= 1 && retried(e.seq) >= repeats)
        });
        let ran = |what: &str| lines.iter().rfind(|l| l.what == what).map(|l| &l.digest) == Some(&digest);
        if once.len() != begins.len() || !asked || !ran("begin") || !ran("end") {
            writeln!(wrong, "{name} wrote {lines:?}").unwrap();
        }
    }
    wrong
}

/// Kills the rollout of a second release in each of the places, and asks what is known of each target then and when a
/// person has seen to it.
async fn killed_in(rules: &'static Rules, places: &[Place]) {
    for place in places {
        let mut rollout = Rollout::second(rules).await;
        rollout.kill_at(*place).await;
        let before = rollout.known().await;
        let no = release_of(&before, rollout.push()).unwrap();
        if !rollout.keeper.content(&before) {
            let told = rollout.told().await;
            let wrong = mistold(&rollout, &before, &told);
            assert!(wrong.is_empty(), "at {place:?}: {wrong}{told:#?}\n{}", before.shown());
            let unknown = told.values().filter(|fate| fate.starts_with("unknown")).count();
            assert!(unknown >= place.1.len(), "at {place:?}: {told:#?}");
        }
        let done: Vec<String> = said(&before, no, "target_ended").into_iter().map(|(_, name)| name).collect();

        let seen = rollout.finish().await;
        let wrong = silent(&rollout, &seen);
        assert!(wrong.is_empty(), "at {place:?}: {wrong}{}", seen.shown());
        let started = said(&seen, no, "target_started");
        for name in done {
            let again = started.iter().filter(|(attempt, target)| *attempt > 1 && *target == name).count();
            assert_eq!(again, 0, "{name} was done and is begun again: {}", seen.shown());
        }
        if !place.1.is_empty() {
            assert_eq!(rollout.keeper.retries, 1, "nothing is repeated by itself");
        }
        let told = rollout.told().await;
        let runs = |fate: &String| {
            ["done; it runs v0.1.0-rc.2", "had it already; it runs v0.1.0-rc.2"].contains(&fate.as_str())
        };
        assert!(told.len() == NAMES.len() && told.values().all(runs), "at {place:?}: {told:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_t57_a_rollout_killed_between_two_targets_goes_on_with_what_is_left_when_asked() {
    let places: [Place; 3] =
        [(("target_ended", 1), &[]), (("target_started", 2), &["web-2"]), (("target_ended", 2), &["web-3"])];
    killed_in(rolling("", THREE), &places).await;
}

/// Side by side: both of a batch are begun, or one of them is done; between two batches, and in the second one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_t57_a_batch_killed_side_by_side_is_known_target_by_target() {
    let places: [Place; 4] = [
        (("target_started", 2), &["web-1", "web-2"]),
        (("target_ended", 1), &["web-1"]),
        (("target_ended", 2), &[]),
        (("target_started", 3), &["web-3"]),
    ];
    killed_in(rolling("strategy: {rolling: {batch: 2, max_unavailable: 1}}", THREE), &places).await;
}

/// By ssh the commands of a target may outlive the server that began them, and end unheard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e15_e23_t57_a_rollout_by_ssh_killed_between_two_targets_is_known_target_by_target() {
    let keys = tempfile::tempdir().unwrap();
    let key_file = keys.path().join("key");
    let public = sshd::key(&key_file);
    let hosts = NAMES.map(|_| Sshd::start(&public));
    let mut config = String::new();
    for (name, host) in NAMES.iter().zip(&hosts) {
        let host = host.host(&key_file);
        writeln!(
            config,
            "[[target]]\nname = \"{name}\"\nenvironment = \"prod\"\nkind = \"ssh\"\naddress = \"{}\"\nport = {}\n\
             user = \"{}\"\nhost_key = \"{}\"\nkey_file = \"{}\"\nallow = [\"hello/prod\"]",
            host.address,
            host.port,
            host.user,
            host.host_key,
            key_file.display()
        )
        .unwrap();
    }
    let places: [Place; 4] = [
        (("target_ended", 1), &[]),
        (("target_started", 2), &[]),
        (("target_started", 2), &["web-2"]),
        (("target_ended", 2), &["web-3"]),
    ];
    killed_in(rolling("", &config), &places).await;
}

/// Held, no worker is at it: the next server goes on by itself. Killed between two portions, it is for people.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_t57_a_canary_killed_while_it_is_held_goes_on_and_touches_no_target_twice() {
    let places: [Place; 3] =
        [(("pause", 1), &[]), (("gates_sampled", 1), &[]), (("target_started", 2), &["web-2"])];
    for place in places {
        let mut rollout = Rollout::new(&CANARY);
        rollout.kill_at(place).await;
        let seen = rollout.finish().await;
        assert_eq!(
            ["web-1", "web-3"].map(|name| rollout.begun(name)),
            [1, 1],
            "at {place:?}: {}",
            seen.shown()
        );
        assert_eq!(rollout.keeper.retries, place.1.len(), "at {place:?}: {}", seen.shown());
    }
}

/// A slot that was filled is not filled again, and a switch that was begun is made by nobody but who asks for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_t57_a_switch_killed_half_way_is_made_again_when_asked_and_the_slot_is_not_filled_again() {
    let places: [Place; 2] = [(("slot_switching", 1), &["to-blue"]), (("pause", 1), &[])];
    for place in places {
        let mut rollout = Rollout::new(&SLOTS);
        rollout.kill_at(place).await;
        let seen = rollout.finish().await;
        let again = place.1.len();
        assert_eq!(
            ["blue", "to-blue"].map(|name| rollout.begun(name)),
            [1, 1 + again],
            "at {place:?}: {}",
            seen.shown()
        );
        assert_eq!(rollout.keeper.retries, again, "at {place:?}: {}", seen.shown());
    }
}
