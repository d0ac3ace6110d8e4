//! What goes wrong around the store: locks, full disks, damage, other versions, lost connections (STORAGE §5).

use std::io::{Seek as _, SeekFrom, Write as _};

use liftlock::domain::time::Span;
use liftlock::store::delivery::Put;
use liftlock::store::effect::EffectState;
use liftlock::store::{Clock, Settings, Store};
use liftlock::trouble::{Kind, Trouble};
use sqlx::{Connection as _, Executor as _};

use super::{
    Folder, Home, Place, appending, claim_one, claims_nothing, completing, delivery, owed, owing,
    sqlite_connect, sqlite_url,
};

fn quick(folder: &Folder) -> Settings {
    Settings { busy_timeout: Span::millis(50), ..Settings::new(sqlite_url(&folder.db())) }
}

async fn open(settings: &Settings) -> Store {
    Store::open(settings).await.unwrap_or_else(|t| panic!("{}", t.chain()))
}

async fn refusal(settings: &Settings) -> Trouble {
    let trouble = Store::open(settings).await.expect_err("the store does not open");
    assert_eq!(trouble.kind(), Kind::Refused, "{}", trouble.chain());
    trouble
}

#[tokio::test]
async fn a_second_process_is_refused_until_the_first_is_gone() {
    let folder = Folder::new();
    let first = open(&quick(&folder)).await;
    let refused = refusal(&quick(&folder)).await;
    assert!(refused.chain().contains("another liftlock uses"), "{}", refused.chain());
    first.close().await;
    open(&quick(&folder)).await.close().await;
}

#[tokio::test]
async fn leases_of_a_process_that_died_are_taken_back_at_the_start() {
    let folder = Folder::new();
    let store = open(&quick(&folder)).await;
    let effect = super::OwedEffect { run_after: Some(super::Timestamp(0)), ..owed("e") };
    store.commit(owing([effect])).await.unwrap();
    let old = claim_one(&store, "build").await;
    store.close().await;

    let store = open(&quick(&folder)).await;
    let new = claim_one(&store, "build").await;
    assert!(new.token > old.token);
    assert_eq!(store.commit(completing(&old)).await.unwrap_err().kind(), Kind::Conflict);
    store.commit(completing(&new)).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn duties_of_a_process_that_died_are_taken_back_at_the_start() {
    let folder = Folder::new();
    let store = open(&quick(&folder)).await;
    let old = store.lead("sweep", "old", Span::hours(1)).await.unwrap().unwrap();
    assert_eq!(store.lead("sweep", "new", Span::hours(1)).await.unwrap(), None);
    store.close().await;

    let store = open(&quick(&folder)).await;
    let new = store.lead("sweep", "new", Span::hours(1)).await.unwrap();
    assert_eq!(new, Some(old + 1), "the next start does not wait for the time of a dead process");
    store.close().await;
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let folder = Folder::new();
    let store = open(&quick(&folder)).await;
    let Put::Stored(seq) = store.put_delivery(delivery("g1", "{}")).await.unwrap() else {
        panic!("it is stored")
    };
    store.commit(appending("s", 0, &["opened"])).await.unwrap();
    store.close().await;
    let after_close = store.put_delivery(delivery("g2", "{}")).await.unwrap_err();
    assert!(after_close.is_transient(), "{}", after_close.chain());

    let store = open(&quick(&folder)).await;
    assert_eq!(store.delivery(seq).await.unwrap().guid, "g1");
    assert_eq!(store.read("s", 0, 10).await.unwrap().version, 1);
    assert_eq!(store.put_delivery(delivery("g1", "{}")).await.unwrap(), Put::Duplicate(seq));
    claim_one(&store, "intake").await;
    claims_nothing(&store, "intake").await;
    store.close().await;
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = Folder::new();
    open(&quick(&folder)).await.close().await;
    let mut raw = sqlite_connect(&folder.db()).await;
    raw.execute("PRAGMA user_version = 99").await.unwrap();
    raw.close().await.unwrap();
    let refused = refusal(&quick(&folder)).await.chain();
    assert!(refused.contains("schema 99") && refused.contains("newer liftlock"), "{refused}");

    let place = Place::postgres().await;
    place.raw("INSERT INTO schema_versions (version) VALUES (99)").await.unwrap();
    let refused = refusal(&place.settings).await.chain();
    assert!(refused.contains("schema 99") && refused.contains("newer liftlock"), "{refused}");
    place.end().await;
}

#[tokio::test]
async fn a_file_of_another_program_is_refused() {
    let folder = Folder::new();
    let settings = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.db()).create_if_missing(true);
    let mut raw = sqlx::ConnectOptions::connect(&settings).await.unwrap();
    raw.execute("CREATE TABLE songs (title TEXT)").await.unwrap();
    raw.close().await.unwrap();
    let refused = refusal(&quick(&folder)).await.chain();
    assert!(refused.contains("another program"), "{refused}");
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let folder = Folder::new();
    let store = open(&quick(&folder)).await;
    for n in 0..50 {
        store.put_delivery(delivery(&format!("g{n}"), "{}")).await.unwrap();
    }
    store.close().await;
    let mut file = std::fs::File::options().write(true).open(folder.db()).unwrap();
    let length = file.metadata().unwrap().len();
    for page in 1..length / 4096 {
        file.seek(SeekFrom::Start(page * 4096)).unwrap();
        file.write_all(&[0xa5; 64]).unwrap();
    }
    let refused = refusal(&quick(&folder)).await.chain();
    assert!(refused.contains("damaged") && refused.contains("restore it from a backup"), "{refused}");

    file.seek(SeekFrom::Start(0)).unwrap();
    file.write_all(b"this is not a database at all").unwrap();
    let refused = refusal(&quick(&folder)).await.chain();
    assert!(refused.contains("not a database"), "{refused}");
}

#[tokio::test]
async fn a_folder_that_is_not_there_and_a_strange_url_are_refused() {
    let folder = Folder::new();
    let nowhere = Settings::new(sqlite_url(&folder.0.join("no/such/liftlock.db")));
    assert!(refusal(&nowhere).await.to_string().contains("create the folder first"));
    assert!(refusal(&Settings::new("mysql://db")).await.to_string().contains("sqlite:/path"));
    let secret = refusal(&Settings::new("postgres://ann:hunter2@host:port/db")).await.chain();
    assert!(!secret.contains("hunter2"), "{secret}");
}

#[tokio::test]
async fn a_locked_database_is_transient_and_leaves_nothing_half_done() {
    let folder = Folder::new();
    let store = open(&quick(&folder)).await;
    let mut other = sqlite_connect(&folder.db()).await;
    other.execute("BEGIN EXCLUSIVE").await.unwrap();
    let (one, two) =
        tokio::join!(store.put_delivery(delivery("g1", "{}")), store.commit(appending("s", 0, &["opened"])));
    for trouble in [one.unwrap_err(), two.unwrap_err()] {
        assert!(trouble.is_transient(), "{}", trouble.chain());
        assert!(trouble.chain().contains("locked by another program"), "{}", trouble.chain());
    }
    assert_eq!(store.read("s", 0, 10).await.unwrap().version, 0, "readers go on");
    other.execute("ROLLBACK").await.unwrap();
    assert!(matches!(store.put_delivery(delivery("g1", "{}")).await.unwrap(), Put::Stored(1)));
    assert_eq!(store.deliveries(10, None).await.unwrap().len(), 1);
    store.close().await;
}

#[tokio::test]
async fn a_caller_that_stopped_waiting_left_nothing_behind() {
    let folder = Folder::new();
    let limit = Settings { answer_within: Span::millis(100), ..Settings::new(sqlite_url(&folder.db())) };
    let store = open(&limit).await;
    let mut other = sqlite_connect(&folder.db()).await;
    other.execute("BEGIN EXCLUSIVE").await.unwrap();
    let late = store.put_delivery(delivery("g1", "{}")).await.unwrap_err();
    assert!(late.is_transient(), "{}", late.chain());
    assert_eq!(late.to_string(), "the database did not answer within 100ms");
    other.execute("ROLLBACK").await.unwrap();
    store.close().await;
    let store = open(&quick(&folder)).await;
    assert!(matches!(store.put_delivery(delivery("g1", "{}")).await.unwrap(), Put::Stored(1)));
    store.close().await;
}

#[tokio::test]
async fn a_full_disk_is_transient_and_passes() {
    let folder = Folder::new();
    let store = open(&Settings { page_limit: Some(80), ..quick(&folder) }).await;
    store.set_cursor("sweep", "1").await.unwrap();
    let noise: String =
        (0_u64..20_000).map(|n| char::from(b'!' + u8::try_from(n * n * n % 89).unwrap())).collect();
    let mut stored = Vec::new();
    let full = loop {
        let guid = format!("g{}", stored.len());
        match store.put_delivery(delivery(&guid, &format!("{guid}{noise}"))).await {
            Ok(_) => stored.push(guid),
            Err(trouble) => break trouble,
        }
        assert!(stored.len() < 10_000, "80 pages cannot hold this");
    };
    assert!(full.is_transient(), "{}", full.chain());
    assert!(full.chain().contains("disk of the database is full"), "{}", full.chain());
    store.set_cursor("sweep", "2").await.expect("the writer is alive and writes what needs no room");
    assert_eq!(store.cursor("sweep").await.unwrap().as_deref(), Some("2"));
    store.close().await;

    let store = open(&quick(&folder)).await;
    assert_eq!(store.known_guids("github", &stored).await.unwrap(), stored, "nothing acknowledged is lost");
    let lost = format!("g{}", stored.len());
    assert!(store.known_guids("github", std::slice::from_ref(&lost)).await.unwrap().is_empty());
    assert!(matches!(store.put_delivery(delivery(&lost, "{}")).await.unwrap(), Put::Stored(_)));
    store.check().await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_in_a_group_takes_nobody_with_it() {
    let folder = Folder::new();
    let store = open(&Settings::new(sqlite_url(&folder.db()))).await;
    store.commit(appending("s", 0, &["opened"])).await.unwrap();
    // While the file is locked all of these gather behind the first; then they share a commit.
    let mut other = sqlite_connect(&folder.db()).await;
    other.execute("BEGIN EXCLUSIVE").await.unwrap();
    let late = futures_util::future::join_all((0..50).map(|_| store.commit(appending("s", 0, &["late"]))));
    let fine = futures_util::future::join_all((0..50).map(|n| store.commit(owing([owed(&format!("e{n}"))]))));
    let (late, fine, unlocked) = tokio::join!(late, fine, other.execute("ROLLBACK"));
    unlocked.unwrap();
    assert!(late.into_iter().all(|one| one.unwrap_err().kind() == Kind::Conflict));
    assert!(fine.into_iter().all(|one| one.is_ok()));
    assert_eq!(store.read("s", 0, 10).await.unwrap().version, 1);
    assert_eq!(store.effect("e49").await.unwrap().unwrap().state, EffectState::Ready);
    store.close().await;
}

#[tokio::test]
async fn a_server_that_is_away_is_transient_within_the_limit() {
    let settings = Settings {
        answer_within: Span::millis(200),
        ..Settings::new("postgres://postgres@127.0.0.1:1/none")
    };
    let away = Store::open(&settings).await.expect_err("nobody listens on port 1");
    assert!(away.is_transient(), "{}", away.chain());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_lose_nothing_acknowledged() {
    let place = Place::postgres().await;
    let Home::Postgres(database) = &place.home else { panic!("this place is a server") };
    let store = place.store.clone();
    let writer = tokio::spawn(async move {
        let mut stored = Vec::new();
        for n in 0..200 {
            let guid = format!("g{n}");
            match store.put_delivery(delivery(&guid, "{}")).await {
                Ok(_) => stored.push(guid),
                Err(trouble) => assert!(trouble.is_transient(), "{}", trouble.chain()),
            }
        }
        stored
    });
    for _ in 0..5 {
        database.cut().await;
    }
    let stored = writer.await.unwrap();
    assert_eq!(place.store.known_guids("github", &stored).await.unwrap(), stored);
    let again = place.store.put_delivery(delivery("last", "{}")).await;
    assert!(matches!(again, Ok(Put::Stored(_))), "{again:?}");
    place.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_start_together_and_wake_each_other() {
    let place = Place::postgres().await;
    let Home::Postgres(database) = &place.home else { panic!("this place is a server") };
    place.raw("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await.unwrap();
    let settings = Settings { clock: Clock::Engine, ..Settings::new(database.url()) };
    let (one, two) = tokio::join!(Store::open(&settings), Store::open(&settings));
    let (one, two) = (one.unwrap(), two.unwrap());
    let mut woken = two.woken();
    let effect = super::OwedEffect { run_after: Some(super::Timestamp(0)), ..owed("e") };
    one.commit(owing([effect])).await.unwrap();
    woken.changed().await.unwrap();
    claim_one(&two, "build").await;
    claims_nothing(&one, "build").await;
    one.close().await;
    two.close().await;
    place.end().await;
}
