//! What lies between a server and its `PostgreSQL`: it hangs, and it loses the answer to a `COMMIT`.

use std::io::{Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use liftlock::clock;
use sqlx::Row as _;

use super::drive::{Keeper, beyond, until, wrong};
use super::rig::{self, Deadline, Door, Eyes, GLANCE, Yard, deliver};
use super::{one, plan};
use crate::postgres::Database;

/// So many answers are lost at most: each may cost the rest of a lease.
const LOST: usize = 12;

/// What the wire does with what comes in.
#[derive(Debug, Default)]
struct Mood {
    hangs: bool,
    /// The answer to each so-and-so-many-th `COMMIT` is lost; 0 for none.
    loses: usize,
    commits: usize,
    lost: usize,
}

/// A port that leads to the database.
#[derive(Debug)]
struct Wire {
    address: SocketAddr,
    url: String,
    mood: Arc<(Mutex<Mood>, Condvar)>,
}

impl Wire {
    fn to(url: &str) -> Self {
        let (user, rest) = url.split_once('@').unwrap();
        let (server, name) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (server, mood): (SocketAddr, Arc<(Mutex<Mood>, Condvar)>) =
            (server.parse().unwrap(), Arc::default());
        let shared = Arc::clone(&mood);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(server)) else { continue };
                lay(&near, &far, &shared);
            }
        });
        Self { address, url: format!("{user}@{address}/{name}"), mood }
    }

    fn set(&self, change: impl FnOnce(&mut Mood)) {
        change(&mut self.mood.0.lock().unwrap());
        self.mood.1.notify_all();
    }

    fn lost(&self) -> usize {
        self.mood.0.lock().unwrap().lost
    }
}

/// Carries bytes both ways until one side ends.
fn lay(near: &TcpStream, far: &TcpStream, mood: &Arc<(Mutex<Mood>, Condvar)>) {
    for (from, to, asks) in [(near, far, true), (far, near, false)] {
        let (mut from, mut to, mood) = (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(mood));
        std::thread::spawn(move || {
            let mut bytes = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                let loses = passes(&mood, asks, &bytes[..count]);
                if to.write_all(&bytes[..count]).is_err() {
                    break;
                }
                if loses {
                    // The database has it by now, and nobody hears that it did.
                    from.shutdown(Shutdown::Both).unwrap_or_default();
                    std::thread::sleep(Duration::from_millis(100));
                    break;
                }
            }
            for end in [from, to] {
                end.shutdown(Shutdown::Both).unwrap_or_default();
            }
        });
    }
}

/// Waits as long as the wire hangs; true when these bytes are the last that get through.
fn passes(mood: &(Mutex<Mood>, Condvar), asks: bool, bytes: &[u8]) -> bool {
    let mut mood = mood.1.wait_while(mood.0.lock().unwrap(), |mood| mood.hangs).unwrap();
    let is_commit =
        asks && mood.loses > 0 && bytes.windows(6).any(|word| word.eq_ignore_ascii_case(b"commit"));
    mood.commits += usize::from(is_commit);
    let loses = is_commit && mood.lost < LOST && mood.commits.is_multiple_of(mood.loses);
    mood.lost += usize::from(loses);
    loses
}

/// The step of a stage is ended while the lease is still its server's: whoever takes it later finds nobody at work.
/// Meanwhile nothing is promised to anybody, and all of it goes on when the database is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t3_t56_a_database_that_hangs_ends_a_step_before_its_lease_is_over() {
    let database = Database::create().await;
    let wire = Wire::to(&database.url());
    let mut plan = plan(&["hello"], "12s");
    plan.postgres = Some(wire.url.clone());
    let (yard, door) = (Yard::new(plan), Door::new());
    rig::write(&yard.hold("test"), "");
    let server = yard.serve(&door);
    let push = one(&yard, &door);
    let mut keeper = Keeper::new(std::slice::from_ref(&push));
    let mut eyes = Eyes::open(Some(&database.url()), Path::new("")).await;
    let begun = "the script stands half-way";
    until(begun, (&yard, &[&server]), &mut eyes, |_| yard.runs().iter().any(|r| r.what == "begin")).await;
    let step = yard.runs().first().unwrap().pid.clone();

    wire.set(|mood| mood.hangs = true);
    let gone = || !Path::new("/proc").join(&step).exists();
    until("the step is ended", (&yard, &[&server]), &mut eyes, |_| gone()).await;
    let mut ours = database.connect().await;
    let asked = "SELECT lease_until FROM effects WHERE key LIKE 'deploy:%' AND state = 'leased'";
    let row = sqlx::query(asked).fetch_one(&mut ours).await.unwrap();
    let over: i64 = row.get(0);
    assert!(clock::now().0 < over, "the lease was somebody else's by then");
    assert_eq!(rig::request(&door, "GET", "/readyz", &[], "").unwrap().0, 503);
    assert_eq!(deliver(&door, &push.delivery()).unwrap(), 503);

    std::fs::remove_file(yard.hold("test")).unwrap();
    wire.set(|mood| mood.hangs = false);
    let seen = keeper.finish(&yard, &door, &server, &mut eyes).await;
    let ended = yard.runs().iter().filter(|r| r.stage == "test" && r.what == "end").count();
    assert_eq!(ended, 1, "the first step did not go on: {:#?}", yard.runs());
    let found = beyond(1, wrong(&yard, &seen, &keeper));
    assert!(found.is_empty(), "{found:#?}\n{}\n{}", seen.shown(), server.log_tail());
    drop((server, ours, eyes));
    database.drop().await;
}

/// STORAGE §5, row 18: what was committed and never answered is found to be done, and happens no second time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t3_an_answer_to_a_commit_that_is_lost_repeats_nothing() {
    let database = Database::create().await;
    let wire = Wire::to(&database.url());
    let mut plan = plan(&["hello", "lift"], "2s");
    plan.postgres = Some(wire.url.clone());
    let (yard, door) = (Yard::new(plan), Door::new());
    let server = yard.serve(&door);
    wire.set(|mood| mood.loses = 9);
    let pushes = ["hello", "lift"].map(|name| yard.push(name, "feat: say it", "page"));
    let mut eyes = Eyes::open(Some(&database.url()), Path::new("")).await;
    let deadline = Deadline::new();
    for push in &pushes {
        // As a host does: what was not taken is sent again.
        while !matches!(deliver(&door, &push.delivery()), Ok(200 | 202)) {
            deadline.check("the push is taken", &eyes.look().await, &yard, &[&server]);
            tokio::time::sleep(GLANCE).await;
        }
    }
    let mut keeper = Keeper::new(&pushes);
    let seen = keeper.finish(&yard, &door, &server, &mut eyes).await;
    wire.set(|mood| mood.loses = 0);
    assert_eq!(wire.lost(), LOST, "answers lost at {}", wire.address);
    let found = beyond(wire.lost(), wrong(&yard, &seen, &keeper));
    assert!(found.is_empty(), "{found:#?}\n{}\n{}", seen.shown(), server.log_tail());
    drop((server, eyes));
    yard.verify(&door);
    database.drop().await;
}
