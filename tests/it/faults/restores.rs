//! A database that is not the one the program left: an older copy, and one that a newer program has brought up to date.

use liftlock::domain::time::Span;
use rustix::process::Signal;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use super::drive::{Keeper, release_of, until, wrong};
use super::rig::{Deadline, Door, GLANCE, Ran, Seen, Yard, comment, deliver};
use super::{one, plan, yard};
use crate::postgres::Database;

/// Copies the database as the manual says.
async fn back_up(yard: &Yard) {
    let mut reader = SqliteConnectOptions::new().filename(yard.database()).connect().await.unwrap();
    let text = format!("VACUUM INTO '{}'", yard.path("backup.db").display());
    sqlx::query(AssertSqlSafe(text)).execute(&mut reader).await.unwrap();
    reader.close().await.unwrap();
}

/// Puts the copy in the place of the database that no server has open.
fn restore(yard: &Yard) {
    let database = yard.database();
    for beside in ["-wal", "-shm"] {
        let mut path = database.clone().into_os_string();
        path.push(beside);
        if std::fs::exists(&path).unwrap() {
            std::fs::remove_file(&path).unwrap();
        }
    }
    std::fs::copy(yard.path("backup.db"), database).unwrap();
}

fn in_prod(yard: &Yard) -> Vec<Ran> {
    yard.runs().into_iter().filter(|run| run.stage == "prod").collect()
}

/// What came after the copy is found on the host and built again; nothing reaches prod before somebody says so anew
/// (STORAGE §5, row 30).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_finds_what_it_missed_and_deploys_nothing_to_prod_by_itself() {
    let (yard, door) = (yard(&["hello"], "5s"), Door::new());
    let mut server = yard.serve(&door);
    let first = one(&yard, &door);
    let mut keeper = Keeper::new(std::slice::from_ref(&first));
    let mut eyes = yard.eyes().await;
    keeper.finish(&yard, &door, &server, &mut eyes).await;
    back_up(&yard).await;
    let second = yard.push("hello", "feat: after the copy", "page");
    assert_eq!(deliver(&door, &second.delivery()).unwrap(), 202);
    keeper.pushes.push(second.clone());
    keeper.finish(&yard, &door, &server, &mut eyes).await;
    let (live, deployed) = (yard.live("hello", "prod"), in_prod(&yard));
    server.kill();
    drop(eyes);
    restore(&yard);

    let mut server = yard.serve(&door);
    let mut eyes = yard.eyes().await;
    assert!(release_of(&eyes.look().await, &first).is_some());
    let waits = |seen: &Seen| {
        let no = release_of(seen, &second)?;
        seen.run("hello", no, "prod").filter(|run| seen.idle() && run.1 == "pending")
    };
    let (deadline, mut tried) = (Deadline::new(), 0);
    loop {
        let seen = eyes.look().await;
        if waits(&seen).is_some() {
            break;
        }
        // A target that has seen higher numbers refuses, and she tries again; nobody approves anything.
        let tested = release_of(&seen, &second).and_then(|no| seen.run("hello", no, "test"));
        if let Some((attempt, state, _)) = tested
            && (state == "failed" && attempt > tried)
            && matches!(comment(&door, &second, "/retry test"), Ok(200))
        {
            tried = attempt;
        }
        deadline.check("the release is there again", &seen, &yard, &[&server]);
        tokio::time::sleep(GLANCE).await;
    }
    assert_eq!(in_prod(&yard), deployed, "nothing was deployed to prod again");
    assert_eq!(yard.live("hello", "prod"), live);

    // Its former version stays what it was, a tag of that commit: the release has the next one.
    let mut keeper = Keeper::new(&[first, second]);
    let seen = keeper.finish(&yard, &door, &server, &mut eyes).await;
    assert_eq!(yard.tags("hello"), ["v0.1.0-rc.1", "v0.1.0-rc.2", "v0.1.0-rc.3"]);
    let mut found = wrong(&yard, &seen, &keeper);
    // What ran after the copy was made is in no log any more, and the log counts its numbers a second time.
    found.retain(|wrong| !wrong.starts_with("a deploy "));
    assert!(found.is_empty(), "{found:#?}\n{}", seen.shown());
    server.kill();
    yard.verify(&door);
}

/// A newer program brings the schema up to date while this one runs beside it: what runs goes on, what starts is
/// refused (STORAGE §5, row 28).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_goes_on_while_a_newer_one_has_brought_the_schema_up_to_date() {
    let database = Database::create().await;
    let mut plan = plan(&["hello"], "5s");
    plan.postgres = Some(database.url());
    let yard = Yard::new(plan);
    let (door, other) = (Door::new(), Door::new());
    let server = yard.serve(&door);
    let first = one(&yard, &door);
    let mut keeper = Keeper::new(std::slice::from_ref(&first));
    let mut eyes = yard.eyes().await;
    let made = |seen: &Seen| release_of(seen, &first).is_some();
    until("the release is made", (&yard, &[&server]), &mut eyes, made).await;
    // As migrations do: tables and columns are added, nothing that is there changes.
    let mut newer = database.connect().await;
    for text in [
        "CREATE TABLE of_tomorrow (no BIGINT PRIMARY KEY)",
        "ALTER TABLE effects ADD COLUMN of_tomorrow TEXT",
        "ALTER TABLE events ADD COLUMN of_tomorrow TEXT",
        "INSERT INTO schema_versions (version) VALUES (9000)",
    ] {
        sqlx::query(text).execute(&mut newer).await.unwrap();
    }
    let second = yard.push("hello", "feat: after the migration", "page");
    assert_eq!(deliver(&door, &second.delivery()).unwrap(), 202);
    keeper.pushes.push(second);
    let seen = keeper.finish(&yard, &door, &server, &mut eyes).await;
    let found = wrong(&yard, &seen, &keeper);
    assert!(found.is_empty(), "{found:#?}\n{}", seen.shown());

    let mut refused = yard.start(&other, &["serve"]);
    assert_eq!(refused.wait().code(), Some(1));
    assert!(refused.log().contains("newer"), "{}", refused.log());
    server.signal(Signal::TERM);
    newer.close().await.unwrap();
    drop((server, eyes));
    database.drop().await;
}

/// The clock of one machine jumps, and another's is an hour ahead: leases go by the database's clock, so that nobody
/// takes what is still worked on (STORAGE §5, row 13).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_takes_no_work_from_anybody() {
    let database = Database::create().await;
    let mut plan = plan(&["hello", "kudos"], "2s");
    plan.postgres = Some(database.url());
    let yard = Yard::new(plan);
    let (left, right) = (Door::new(), Door::new());
    super::rig::write(&yard.hold("test"), "");
    let worker = yard.serve_by(&left, &yard.clock("left", Span::ZERO));
    let push = one(&yard, &left);
    let mut eyes = yard.eyes().await;
    let begun = |yard: &Yard| yard.runs().iter().filter(|run| run.what == "begin").count();
    until("the script stands half-way", (&yard, &[&worker]), &mut eyes, |_| begun(&yard) == 1).await;
    // Another server whose clock is an hour ahead, while the worker's falls back by as much.
    let ahead = yard.serve_by(&right, &yard.clock("right", Span::hours(1)));
    yard.set_clock("left", -Span::hours(1).as_millis().cast_signed());
    // The lease is given back many times over, by the database's own clock.
    let until_ms = "SELECT max(lease_until) FROM effects WHERE state = 'leased' AND lane = 'deploy'";
    let mut reader = database.connect().await;
    let lease = async |reader: &mut sqlx::PgConnection| -> i64 {
        let row: (Option<i64>,) = sqlx::query_as(until_ms).fetch_one(reader).await.unwrap();
        row.0.expect("the deploy is leased")
    };
    let at_first = lease(&mut reader).await;
    let deadline = Deadline::new();
    while lease(&mut reader).await < at_first + 6_000 {
        deadline.check("three leases pass", &eyes.look().await, &yard, &[&worker, &ahead]);
        tokio::time::sleep(GLANCE).await;
    }
    let other = yard.push("kudos", "feat: say thanks", "page");
    assert_eq!(deliver(&right, &other.delivery()).unwrap(), 202);
    until("both stand half-way", (&yard, &[&worker, &ahead]), &mut eyes, |_| begun(&yard) == 2).await;
    std::fs::remove_file(yard.hold("test")).unwrap();
    let tested = |seen: &Seen, push| {
        let Some(no) = release_of(seen, push) else { return false };
        seen.run(&push.repository, no, "test").is_some_and(|run| run.1 == "succeeded")
    };
    let seen = until("both are tested", (&yard, &[&worker, &ahead]), &mut eyes, |seen| {
        seen.idle() && tested(seen, &push) && tested(seen, &other)
    })
    .await;
    let lost = seen.events.iter().filter(|e| e.text("to") == "errored").count();
    assert_eq!((lost, begun(&yard)), (0, 2), "{}", seen.shown());
    // Numbers of leases go on rising whatever a clock says, and the log holds.
    let found = wrong(&yard, &seen, &Keeper::default());
    assert!(found.is_empty(), "{found:#?}\n{}", seen.shown());
    yard.verify(&left);
    drop((worker, ahead, eyes));
    database.drop().await;
}
