//! One suite over both engines: each check runs on a fresh `SQLite` file and in a fresh `PostgreSQL` database.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};

use liftlock::domain::time::{Span, Timestamp};
use liftlock::store::delivery::NewDelivery;
use liftlock::store::effect::{Claim, Claimant, OwedEffect};
use liftlock::store::step::{Done, Step};
use liftlock::store::stream::{Append, NewEvent};
use liftlock::store::{Clock, HandClock, Settings, Store};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, SqliteConnection};

use crate::postgres::Database;

mod audit;
mod deliveries;
mod effects;
mod faults;
mod histories;
mod library;
mod models;
mod schema;
mod steps;

/// Makes two tests of each check.
macro_rules! on_both {
    ($($check:ident)*) => {
        $(mod $check {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                let place = crate::store::Place::sqlite().await;
                super::$check(&place).await;
                place.end().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                let place = crate::store::Place::postgres().await;
                super::$check(&place).await;
                place.end().await;
            }
        })*
    };
}
use on_both;

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("liftlock-store-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn db(&self) -> PathBuf {
        self.0.join("liftlock.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

enum Home {
    Sqlite(Folder),
    Postgres(Database),
}

/// A store, its clock and its home.
struct Place {
    store: Store,
    settings: Settings,
    clock: HandClock,
    home: Home,
}

const NOW: Timestamp = Timestamp(1_772_971_200_000);
const LEASE: Span = Span::seconds(60);

fn sqlite_url(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

impl Place {
    async fn at(url: String, home: Home) -> Self {
        let clock = HandClock::at(NOW);
        let settings = Settings { clock: Clock::Hand(clock.clone()), max_attempts: 3, ..Settings::new(url) };
        let store = Store::open(&settings).await.unwrap_or_else(|t| panic!("{}", t.chain()));
        Self { store, settings, clock, home }
    }

    async fn sqlite() -> Self {
        let folder = Folder::new();
        Self::at(sqlite_url(&folder.db()), Home::Sqlite(folder)).await
    }

    async fn postgres() -> Self {
        let database = Database::create().await;
        Self::at(database.url(), Home::Postgres(database)).await
    }

    async fn end(self) {
        self.store.close().await;
        if let Home::Postgres(database) = self.home {
            database.drop().await;
        }
    }

    /// Changes the database behind the store's back.
    async fn raw(&self, text: &str) -> Result<(), sqlx::Error> {
        let text = AssertSqlSafe(text.to_owned());
        match &self.home {
            Home::Sqlite(folder) => {
                sqlx::raw_sql(text).execute(&mut sqlite_connect(&folder.db()).await).await.map(drop)
            }
            Home::Postgres(database) => {
                sqlx::raw_sql(text).execute(&mut database.connect().await).await.map(drop)
            }
        }
    }
}

async fn sqlite_connect(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::from_str(&sqlite_url(path)).unwrap().connect().await.unwrap()
}

fn delivery(guid: &str, body: &str) -> NewDelivery {
    NewDelivery {
        source: "github".to_owned(),
        guid: guid.to_owned(),
        event: "push".to_owned(),
        repo: Some("acme/app".to_owned()),
        headers: r#"{"x-github-event":"push"}"#.to_owned(),
        body: body.as_bytes().to_vec(),
        received_at: NOW,
    }
}

fn owed(key: &str) -> OwedEffect {
    OwedEffect {
        key: key.to_owned(),
        kind: "build".to_owned(),
        lane: "build".to_owned(),
        stream: Some("acme/app/main".to_owned()),
        group: None,
        priority: 0,
        run_after: Some(NOW),
        desired: "{}".to_owned(),
        cancel: false,
    }
}

fn owing(effects: impl IntoIterator<Item = OwedEffect>) -> Step {
    Step { effects: effects.into_iter().collect(), ..Step::default() }
}

fn completing(claim: &Claim) -> Step {
    let done = Done { key: claim.key.clone(), token: claim.token, result: "ok".to_owned() };
    Step { done: Some(done), ..Step::default() }
}

fn fact(kind: &str) -> NewEvent {
    NewEvent {
        kind: kind.to_owned(),
        release: Some(1),
        data: format!(r#"{{"kind":"{kind}"}}"#),
        actor: "ann".to_owned(),
        cause: "delivery:1".to_owned(),
    }
}

fn append(stream: &str, expect: i64, kinds: &[&str]) -> Append {
    let events = kinds.iter().map(|kind| fact(kind)).collect();
    Append { stream: stream.to_owned(), expect, events, at: NOW }
}

fn appending(stream: &str, expect: i64, kinds: &[&str]) -> Step {
    Step { appends: vec![append(stream, expect, kinds)], ..Step::default() }
}

fn worker(name: &str) -> Claimant {
    Claimant { worker: name.to_owned(), boot: "boot-1".to_owned(), lease: LEASE }
}

/// Claims the one effect that is ready in the lane.
async fn claim_one(store: &Store, lane: &str) -> Claim {
    let mut claims = store.claim(&[lane], &worker("w1"), 1).await.unwrap();
    assert_eq!(claims.len(), 1, "one effect is ready in {lane}");
    claims.remove(0)
}

async fn claims_nothing(store: &Store, lane: &str) {
    assert_eq!(store.claim(&[lane], &worker("w2"), 1).await.unwrap(), Vec::new());
}
