//! One connection of either engine: runs a statement with plain values, answers plain rows, tells failures by kind.

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Column as _, PgConnection, Postgres, Row as _, Transaction, TypeInfo as _, ValueRef as _};

use crate::clock;
use crate::domain::time::Timestamp;
use crate::store::sqlite::link;
use crate::store::sqlite::readers::Reader;
use crate::store::{Clock, Rules, sql};
use crate::trouble::{Outcome, Trouble};

/// A value bound to a statement; booleans and times are integers on both engines.
#[derive(Debug)]
pub(super) enum Arg {
    Int(Option<i64>),
    Text(Option<String>),
    Blob(Option<Vec<u8>>),
}

impl From<i64> for Arg {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Arg {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<u32> for Arg {
    fn from(value: u32) -> Self {
        Self::Int(Some(i64::from(value)))
    }
}

impl From<Option<u32>> for Arg {
    fn from(value: Option<u32>) -> Self {
        Self::Int(value.map(i64::from))
    }
}

impl From<Timestamp> for Arg {
    fn from(value: Timestamp) -> Self {
        Self::Int(Some(value.0))
    }
}

impl From<Option<Timestamp>> for Arg {
    fn from(value: Option<Timestamp>) -> Self {
        Self::Int(value.map(|t| t.0))
    }
}

impl From<&str> for Arg {
    fn from(value: &str) -> Self {
        Self::Text(Some(plain(value)))
    }
}

impl From<&String> for Arg {
    fn from(value: &String) -> Self {
        Self::Text(Some(plain(value)))
    }
}

impl From<Option<&str>> for Arg {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(plain))
    }
}

impl From<&[u8]> for Arg {
    fn from(value: &[u8]) -> Self {
        Self::Blob(Some(value.to_vec()))
    }
}

impl From<Vec<u8>> for Arg {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(Some(value))
    }
}

/// A text both engines hold: `PostgreSQL` refuses the NUL character, so it is replaced before hashing and storing.
pub(super) fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Collects the values of a statement in the order of their numbers.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::session::Arg::from($value)),*] };
}
pub(super) use args;

/// The cells of a row, taken from left to right.
pub(super) struct Record(std::vec::IntoIter<Arg>);

impl Record {
    pub(super) fn of(cells: Vec<Arg>) -> Self {
        Self(cells.into_iter())
    }

    pub(super) fn next(&mut self) -> Outcome<Arg> {
        self.0.next().ok_or_else(|| Trouble::bug("a row has fewer columns than its reader takes"))
    }

    pub(super) fn int_or_none(&mut self) -> Outcome<Option<i64>> {
        match self.next()? {
            Arg::Int(value) => Ok(value),
            Arg::Text(None) | Arg::Blob(None) => Ok(None),
            Arg::Text(Some(_)) | Arg::Blob(Some(_)) => Err(Trouble::bug("a column should be a number")),
        }
    }

    pub(super) fn text_or_none(&mut self) -> Outcome<Option<String>> {
        match self.next()? {
            Arg::Text(value) => Ok(value),
            Arg::Int(None) | Arg::Blob(None) => Ok(None),
            Arg::Int(Some(_)) | Arg::Blob(Some(_)) => Err(Trouble::bug("a column should be a text")),
        }
    }

    pub(super) fn blob_or_none(&mut self) -> Outcome<Option<Vec<u8>>> {
        match self.next()? {
            Arg::Blob(value) => Ok(value),
            Arg::Int(None) | Arg::Text(None) => Ok(None),
            Arg::Int(Some(_)) | Arg::Text(Some(_)) => Err(Trouble::bug("a column should be bytes")),
        }
    }

    pub(super) fn int(&mut self) -> Outcome<i64> {
        self.int_or_none()?.ok_or_else(missing)
    }

    pub(super) fn text(&mut self) -> Outcome<String> {
        self.text_or_none()?.ok_or_else(missing)
    }

    pub(super) fn blob(&mut self) -> Outcome<Vec<u8>> {
        self.blob_or_none()?.ok_or_else(missing)
    }

    pub(super) fn time(&mut self) -> Outcome<Timestamp> {
        self.int().map(Timestamp)
    }

    pub(super) fn time_or_none(&mut self) -> Outcome<Option<Timestamp>> {
        self.int_or_none().map(|value| value.map(Timestamp))
    }

    pub(super) fn small_or_none(&mut self) -> Outcome<Option<u32>> {
        self.int_or_none()?
            .map(|n| {
                u32::try_from(n).map_err(|_| Trouble::bug("a small number in the database is too large"))
            })
            .transpose()
    }

    pub(super) fn small(&mut self) -> Outcome<u32> {
        self.small_or_none()?.ok_or_else(missing)
    }
}

fn missing() -> Trouble {
    Trouble::bug("a column that is never empty is empty")
}

/// The connection, or the transaction that rolls back when it is dropped.
enum Link {
    /// Of the writer's thread: statements are calls and never wait.
    SqliteWriter(rusqlite::Connection),
    SqliteReader(Reader),
    Postgres(PoolConnection<Postgres>),
    PostgresWork(Transaction<'static, Postgres>),
}

/// One connection and the rules that statements go by.
pub(super) struct Session {
    link: Link,
    pub(super) rules: Rules,
}

impl Session {
    pub(super) fn sqlite(connection: rusqlite::Connection, rules: Rules) -> Self {
        Self { link: Link::SqliteWriter(connection), rules }
    }

    pub(super) fn sqlite_reader(connection: Reader, rules: Rules) -> Self {
        Self { link: Link::SqliteReader(connection), rules }
    }

    pub(super) fn postgres(connection: PoolConnection<Postgres>, rules: Rules) -> Self {
        Self { link: Link::Postgres(connection), rules }
    }

    pub(super) fn postgres_work(work: Transaction<'static, Postgres>, rules: Rules) -> Self {
        Self { link: Link::PostgresWork(work), rules }
    }

    /// Makes the transaction durable; a connection without one has nothing to commit.
    pub(super) async fn commit(self) -> Outcome<()> {
        match self.link {
            Link::PostgresWork(work) => work.commit().await.map_err(|e| trouble("commit", e)),
            Link::SqliteWriter(_) | Link::SqliteReader(_) | Link::Postgres(_) => Ok(()),
        }
    }

    /// Begins, parts and ends the transactions of the `SQLite` writer.
    pub(super) fn control(&self, text: &'static str) -> Outcome<()> {
        match &self.link {
            Link::SqliteWriter(c) => link::run(c, text, &[]).map(drop),
            Link::SqliteReader(_) | Link::Postgres(_) | Link::PostgresWork(_) => Err(no_writer()),
        }
    }

    /// True when several claims fit in one transaction: with one writer no race for a group can be lost.
    pub(super) fn is_sqlite(&self) -> bool {
        matches!(self.link, Link::SqliteWriter(_) | Link::SqliteReader(_))
    }

    /// All rows of a statement.
    pub(super) async fn all(&mut self, text: &'static str, args: Vec<Arg>) -> Outcome<Vec<Record>> {
        match &mut self.link {
            Link::SqliteWriter(c) => link::all(c, text, &args),
            Link::SqliteReader(c) => c.all(text, args).await,
            Link::Postgres(c) => fetch(c, text, args).await,
            Link::PostgresWork(c) => fetch(c, text, args).await,
        }
    }

    /// The first row, if there is one.
    pub(super) async fn first(&mut self, text: &'static str, args: Vec<Arg>) -> Outcome<Option<Record>> {
        Ok(self.all(text, args).await?.into_iter().next())
    }

    /// Runs a statement; how many rows it changed.
    pub(super) async fn run(&mut self, text: &'static str, args: Vec<Arg>) -> Outcome<u64> {
        match &mut self.link {
            Link::SqliteWriter(c) => link::run(c, text, &args),
            Link::SqliteReader(_) => Err(no_writer()),
            Link::Postgres(c) => execute(c, text, args).await,
            Link::PostgresWork(c) => execute(c, text, args).await,
        }
    }

    /// The time leases and due times go by: the engine's own clock, so that replicas agree.
    pub(super) async fn now(&mut self) -> Outcome<Timestamp> {
        match &self.rules.clock {
            Clock::Hand(hand) => return Ok(hand.now()),
            Clock::Shifted(shifted) => return Ok(shifted.now()),
            Clock::Engine => {}
        }
        if self.is_sqlite() {
            // The engine runs in this process: its clock is ours, and asking it would cost a statement.
            return Ok(clock::now());
        }
        match self.first(sql::CLOCK_POSTGRES, Vec::new()).await? {
            Some(mut row) => row.time(),
            None => Err(Trouble::bug("the database does not tell the time")),
        }
    }
}

fn no_writer() -> Trouble {
    Trouble::bug("a connection that only reads was asked to write")
}

async fn fetch(connection: &mut PgConnection, text: &'static str, args: Vec<Arg>) -> Outcome<Vec<Record>> {
    let rows = bound(text, args).fetch_all(connection).await.map_err(|e| trouble(text, e))?;
    rows.iter().map(record).collect()
}

async fn execute(connection: &mut PgConnection, text: &'static str, args: Vec<Arg>) -> Outcome<u64> {
    let done = bound(text, args).execute(connection).await;
    done.map(|done| done.rows_affected()).map_err(|e| trouble(text, e))
}

fn bound(text: &'static str, args: Vec<Arg>) -> Query<'static, Postgres, PgArguments> {
    args.into_iter().fold(sqlx::query(text), |query, arg| match arg {
        Arg::Int(value) => query.bind(value),
        Arg::Text(value) => query.bind(value),
        Arg::Blob(value) => query.bind(value),
    })
}

fn record(row: &PgRow) -> Outcome<Record> {
    let mut cells = Vec::with_capacity(row.columns().len());
    for column in row.columns() {
        let at = column.ordinal();
        let raw = row.try_get_raw(at).map_err(|e| trouble("read a column", e))?;
        let kind = if raw.is_null() { "NULL".to_owned() } else { raw.type_info().name().to_owned() };
        cells.push(match kind.as_str() {
            "NULL" => Arg::Int(None),
            "TEXT" => Arg::Text(Some(row.try_get(at).map_err(|e| trouble("read a text", e))?)),
            "BYTEA" => Arg::Blob(Some(row.try_get(at).map_err(|e| trouble("read bytes", e))?)),
            _ => Arg::Int(Some(row.try_get(at).map_err(|e| trouble("read a number", e))?)),
        });
    }
    Ok(Record::of(cells))
}

/// Says what a failure means for the caller: try later, or we are wrong.
pub(super) fn explained(what: &str, meaning: Meaning) -> Trouble {
    let verb: String = what.split(" (").next().unwrap_or(what).chars().take(60).collect();
    match meaning {
        Meaning::Full => {
            Trouble::transient("the disk of the database is full: make room, then it goes on by itself")
        }
        Meaning::Locked => Trouble::transient("the database is locked by another program"),
        Meaning::Slow => Trouble::transient("the database took too long and gave up"),
        Meaning::Away => Trouble::transient("the database cannot be reached"),
        Meaning::Damaged => Trouble::refused(
            "the database file is damaged or is not a database: restore it from a backup, then start again",
        ),
        Meaning::Taken => Trouble::conflict(format!("another row is already there: {verb}")),
        Meaning::Mistake => Trouble::bug(format!("the database refused `{verb}`")),
    }
}

/// What a failure of either engine comes down to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meaning {
    Full,
    Locked,
    Slow,
    Away,
    Damaged,
    Taken,
    Mistake,
}

/// Says what a failure of `PostgreSQL` means for the caller.
pub(super) fn trouble(what: &str, error: sqlx::Error) -> Trouble {
    explained(what, meaning(&error)).because(error)
}

fn meaning(error: &sqlx::Error) -> Meaning {
    if let sqlx::Error::Database(e) = error {
        if e.is_unique_violation() {
            return Meaning::Taken;
        }
        return postgres_meaning(&e.code().unwrap_or_default());
    }
    let away = matches!(
        error,
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
    );
    if away { Meaning::Away } else { Meaning::Mistake }
}

/// Classes of SQLSTATE (`PostgreSQL`, appendix A).
fn postgres_meaning(code: &str) -> Meaning {
    match code {
        "53100" => Meaning::Full,
        // Lock not available, deadlock, serialization: another transaction was in the way.
        "55P03" | "40P01" | "40001" => Meaning::Locked,
        // A statement that ran into its timeout.
        "57014" => Meaning::Slow,
        // A standby that was not promoted yet.
        "25006" => Meaning::Away,
        _ if code.starts_with("08") || code.starts_with("53") || code.starts_with("57") => Meaning::Away,
        _ => Meaning::Mistake,
    }
}
