//! What must survive: deliveries, events, effects owed and what people read, on `SQLite` or `PostgreSQL`.
//!
//! One interface, one text per statement. The store knows nothing of the rules: events, effects and read models
//! reach it as text. Each change is one transaction (the table of boundaries is in ARCHITECTURE.md); on `SQLite`
//! changes that wait together share one flush.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::watch;

use crate::clock;
use crate::domain::time::{Span, Timestamp};
use crate::trouble::{Outcome, Trouble};

pub mod audit;
pub mod delivery;
pub mod duty;
pub mod effect;
pub mod health;
pub mod library;
pub mod lock;
pub mod log;
pub mod model;
pub mod step;
pub mod stream;

mod migrate;
mod postgres;
mod session;
pub mod sql;
mod sqlite;

use session::{Record, Session};

/// What time leases and due times go by.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The database's own: replicas agree even when their machines do not.
    Engine,
    /// One that is moved by hand, for simulations and tests.
    Hand(HandClock),
    /// This machine's, put forward or back by hand, for rehearsals of what takes days.
    Shifted(ShiftedClock),
}

/// A clock that goes as the machine's does, so much ahead of it.
#[derive(Debug, Clone, Default)]
pub struct ShiftedClock(Arc<AtomicI64>);

impl ShiftedClock {
    /// The time it shows.
    pub fn now(&self) -> Timestamp {
        Timestamp(clock::now().0.saturating_add(self.ahead_ms()))
    }

    /// How much it is ahead of the machine's, in milliseconds; below zero when it is behind.
    pub fn ahead_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Puts it to this time.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0.saturating_sub(clock::now().0), Ordering::SeqCst);
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug, Clone)]
pub struct HandClock(Arc<AtomicI64>);

impl HandClock {
    /// A clock that stands at `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(now.0)))
    }

    /// The time it shows.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    /// Moves it forward.
    pub fn pass(&self, span: Span) {
        let by = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        self.0.fetch_add(by, Ordering::SeqCst);
    }
}

/// How to open a store.
#[derive(Clone)]
pub struct Settings {
    /// `sqlite:/path/liftlock.db` or `postgres://user@host/database`.
    pub url: String,
    /// What time leases and due times go by.
    pub clock: Clock,
    /// How often an effect may fail before it is dead.
    pub max_attempts: u32,
    /// How long `SQLite` waits for another program's lock.
    pub busy_timeout: Span,
    /// How long a caller waits for an answer at most; then the failure is transient and nothing is promised.
    pub answer_within: Span,
    /// Most pages the `SQLite` file may have; `None` leaves it to the disk.
    pub page_limit: Option<u32>,
    /// Most bytes of disk that are kept beside the `SQLite` file for the end of what runs; `None` keeps none.
    pub room: Option<u64>,
    /// Connections: readers of `SQLite`, or all of `PostgreSQL`.
    pub connections: u32,
}

/// Without the URL, which may hold a password.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("max_attempts", &self.max_attempts).finish_non_exhaustive()
    }
}

impl Settings {
    /// The settings of STORAGE §8 for this database.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            clock: Clock::Engine,
            max_attempts: 12,
            busy_timeout: Span::seconds(5),
            answer_within: Span::seconds(8),
            page_limit: None,
            room: None,
            connections: 8,
        }
    }
}

/// What statements go by beside their values.
#[derive(Debug, Clone)]
struct Rules {
    clock: Clock,
    max_attempts: u32,
}

/// How it stands with the room that is kept beside a `SQLite` file for the day on which the disk is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve {
    /// It is there.
    Kept,
    /// It could not be made so far: the disk has no room for it.
    Short,
    /// It was let go: what runs is still written down, and nothing new is taken in.
    LetGo,
}

/// A change: what one transaction does.
trait Change: Send + 'static {
    /// What the caller learns once it is durable.
    type Answer: Send + 'static;
    /// True when somebody may be waiting for this change.
    const WAKES: bool;
    /// False when nothing but a failure of the database can undo it once it has written: then it needs no savepoint,
    /// which would copy every page it touches.
    const MAY_BE_UNDONE: bool = true;
    /// True for what begins something: it waits when the disk is full, so that what was begun can end.
    const IS_NEWS: bool = false;
    /// Runs the statements; an error undoes all of them.
    fn apply(self, session: &mut Session) -> impl Future<Output = Outcome<Self::Answer>> + Send;
}

enum Engine {
    Sqlite(sqlite::Engine),
    Postgres(postgres::Engine),
}

struct Inner {
    engine: Engine,
    rules: Rules,
    answer_within: Span,
    woken: Arc<watch::Sender<u64>>,
}

/// A handle on the store; clones share it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0.engine {
            Engine::Sqlite(_) => "Store(sqlite)",
            Engine::Postgres(_) => "Store(postgres)",
        })
    }
}

impl Store {
    /// Opens the database: takes the lock of its folder (`SQLite`), migrates, reads the settings back.
    ///
    /// Refuses a database of a newer program, a damaged file, one in use by another process, and wrong settings.
    pub async fn open(settings: &Settings) -> Outcome<Self> {
        let rules = Rules { clock: settings.clock.clone(), max_attempts: settings.max_attempts };
        match sqlite_file(settings) {
            Some(path) => {
                Ok(Self::of(Engine::Sqlite(sqlite::Engine::open(path, settings, rules).await?), settings))
            }
            None => Self::open_postgres(settings, rules).await,
        }
    }

    /// Opens the database to read it, also beside a server that has the lock of its file.
    pub async fn open_to_read(settings: &Settings) -> Outcome<Self> {
        let rules = Rules { clock: settings.clock.clone(), max_attempts: settings.max_attempts };
        match sqlite_file(settings) {
            Some(path) => {
                Ok(Self::of(Engine::Sqlite(sqlite::Engine::to_read(path, settings).await?), settings))
            }
            None => Self::open_postgres(settings, rules).await,
        }
    }

    async fn open_postgres(settings: &Settings, rules: Rules) -> Outcome<Self> {
        if !settings.url.starts_with("postgres://") && !settings.url.starts_with("postgresql://") {
            return Err(Trouble::refused(
                "the database URL starts with neither `sqlite:` nor `postgres://`; write `sqlite:/path/liftlock.db`",
            ));
        }
        let woken = Arc::new(watch::Sender::new(0));
        let engine = postgres::Engine::open(settings, rules.clone(), Arc::clone(&woken)).await?;
        let answer_within = settings.answer_within;
        Ok(Self(Arc::new(Inner { engine: Engine::Postgres(engine), rules, answer_within, woken })))
    }

    fn of(engine: Engine, settings: &Settings) -> Self {
        let rules = Rules { clock: settings.clock.clone(), max_attempts: settings.max_attempts };
        let woken = Arc::new(watch::Sender::new(0));
        Self(Arc::new(Inner { engine, rules, answer_within: settings.answer_within, woken }))
    }

    /// Finishes what was accepted, closes the connections and gives the lock back.
    pub async fn close(&self) {
        match &self.0.engine {
            Engine::Sqlite(engine) => engine.close().await,
            Engine::Postgres(engine) => engine.close().await,
        }
    }

    /// How it stands with the room that is kept for a full disk; nothing where none is.
    pub fn reserve(&self) -> Option<Reserve> {
        match &self.0.engine {
            Engine::Sqlite(engine) => engine.reserve(),
            Engine::Postgres(_) => None,
        }
    }

    /// Changes whenever there may be something to claim or to show; level-triggered, so nothing is missed.
    pub fn woken(&self) -> watch::Receiver<u64> {
        self.0.woken.subscribe()
    }

    /// The time here: what is decided goes by it. Replicas may differ by what their machines' clocks do.
    pub fn here(&self) -> Timestamp {
        match &self.0.rules.clock {
            Clock::Engine => clock::now(),
            Clock::Hand(hand) => hand.now(),
            Clock::Shifted(shifted) => shifted.now(),
        }
    }

    /// Waits until so much time has passed here.
    pub async fn passes(&self, span: Span) {
        match &self.0.rules.clock {
            Clock::Engine => tokio::time::sleep(span.as_std()).await,
            Clock::Hand(_) | Clock::Shifted(_) => {
                let until = self.here().plus(span);
                let mut woken = self.woken();
                while self.here() < until {
                    let left = until.since(self.here()).as_std();
                    // Whoever puts the clock forward wakes those who wait by it.
                    if let Ok(Err(_)) = tokio::time::timeout(left, woken.changed()).await {
                        return;
                    }
                }
            }
        }
    }

    /// The time leases and due times go by.
    pub async fn now(&self) -> Outcome<Timestamp> {
        within(self.0.answer_within, async { self.session().await?.now().await }).await
    }

    /// Runs a change as one transaction and answers when it is durable.
    async fn change<C: Change>(&self, change: C) -> Outcome<C::Answer> {
        let answer = within(self.0.answer_within, async {
            match &self.0.engine {
                Engine::Sqlite(engine) => engine.change(change).await,
                Engine::Postgres(engine) => engine.change(change, self.0.rules.clone()).await,
            }
        })
        .await?;
        if C::WAKES {
            self.wake();
        }
        Ok(answer)
    }

    /// Tells this process at once and the others soon that there may be something to claim.
    pub fn wake(&self) {
        self.0.woken.send_modify(|count| *count = count.wrapping_add(1));
        if let Engine::Postgres(engine) = &self.0.engine {
            engine.notify();
        }
    }

    /// A connection for reading.
    async fn session(&self) -> Outcome<Session> {
        match &self.0.engine {
            Engine::Sqlite(engine) => engine.session(self.0.rules.clone()).await,
            Engine::Postgres(engine) => engine.session(self.0.rules.clone()).await,
        }
    }

    /// Reads all rows of one statement and turns each into what it means.
    async fn list<T>(
        &self,
        text: &'static str,
        args: Vec<session::Arg>,
        read: fn(Record) -> Outcome<T>,
    ) -> Outcome<Vec<T>> {
        let rows =
            within(self.0.answer_within, async { self.session().await?.all(text, args).await }).await?;
        rows.into_iter().map(read).collect()
    }

    /// Reads the first row of one statement.
    async fn find<T>(
        &self,
        text: &'static str,
        args: Vec<session::Arg>,
        read: fn(Record) -> Outcome<T>,
    ) -> Outcome<Option<T>> {
        Ok(self.list(text, args, read).await?.into_iter().next())
    }
}

/// The file of a `SQLite` URL; nothing for another one.
fn sqlite_file(settings: &Settings) -> Option<PathBuf> {
    let path = settings.url.strip_prefix("sqlite:")?;
    Some(PathBuf::from(path.strip_prefix("//").unwrap_or(path)))
}

/// Bounds a wait, so that a database that hangs becomes an answer (STORAGE §5, rows 10 and 17).
async fn within<T>(limit: Span, work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    match tokio::time::timeout(limit.as_std(), work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Trouble::transient(format!("the database did not answer within {limit}"))),
    }
}
