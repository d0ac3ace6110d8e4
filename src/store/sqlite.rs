//! The `SQLite` engine: one writer task that commits what waits as one group, readers on their own connections.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Mutex;

use rustix::fs::FlockOperation;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection, SqlitePool};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::store::session::{Session, trouble};
use crate::store::{Change, Rules, Settings, effect, migrate};
use crate::trouble::{Kind, Outcome, Trouble};

/// Most changes in one commit: past 256 the gain is small and each waits longer (STORAGE §3b).
const GROUP: usize = 256;
/// Changes that may wait for the writer; beyond it callers wait for a place, within their own limit.
const QUEUE: usize = 1024;
/// Files up to this size are checked whole at every start (about a second); larger ones by `Store::check`.
const CHECKED_AT_START: u64 = 256 << 20;

/// What §8 of STORAGE asks, as the pragma answers when it is read back.
const WANTED: &[(&str, &str, &str)] = &[
    ("journal_mode", "PRAGMA journal_mode", "wal"),
    ("synchronous", "PRAGMA synchronous", "2"),
    ("foreign_keys", "PRAGMA foreign_keys", "1"),
    ("journal_size_limit", "PRAGMA journal_size_limit", "67108864"),
    ("wal_autocheckpoint", "PRAGMA wal_autocheckpoint", "1000"),
    ("temp_store", "PRAGMA temp_store", "2"),
    ("mmap_size", "PRAGMA mmap_size", "0"),
];

/// The open file: a queue to its writer and a pool of readers.
pub(super) struct Engine {
    queue: mpsc::Sender<Box<dyn Queued>>,
    readers: SqlitePool,
    stop: CancellationToken,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    pub(super) async fn open(path: PathBuf, settings: &Settings, rules: Rules) -> Outcome<Self> {
        let lock = lock(&path)?;
        let options = options(&path, settings);
        let connection = connect(&options).await.map_err(|t| named(&path, t))?;
        let mut session =
            prepare(connection, &path, settings, rules.clone()).await.map_err(|t| named(&path, t))?;
        effect::reclaim_all(&mut session).await?;

        let readers = SqlitePoolOptions::new()
            .max_connections(settings.connections)
            .acquire_timeout(settings.answer_within.as_std())
            .connect_lazy_with(options.clone().read_only(true));
        let (queue, requests) = mpsc::channel(QUEUE);
        let stop = CancellationToken::new();
        let writer =
            Writer { requests, options, rules, session: Some(session), stop: stop.clone(), _lock: lock };
        let writer = Mutex::new(Some(tokio::spawn(writer.run())));
        Ok(Self { queue, readers, stop, writer })
    }

    /// Hands a change to the writer and waits for its commit.
    pub(super) async fn change<C: Change>(&self, change: C) -> Outcome<C::Answer> {
        let (reply, answer) = oneshot::channel();
        let request = Request { change: Some(change), answer: None, reply };
        let gone = || Trouble::transient("the store is closed");
        self.queue.send(Box::new(request)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    pub(super) async fn session(&self, rules: Rules) -> Outcome<Session> {
        let connection = self.readers.acquire().await.map_err(|e| trouble("open the database", e))?;
        Ok(Session::sqlite_reader(connection, rules))
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.stop.cancel();
        let writer = self.writer.lock().ok().and_then(|mut writer| writer.take());
        if let Some(writer) = writer {
            // A writer that panicked has nothing left to finish.
            drop(writer.await);
        }
    }
}

/// Proves that no other process has this file: its leases can be taken back at once, and two writers never meet.
fn lock(path: &Path) -> Outcome<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let shown = PathBuf::from(&name);
    let file = File::options().create(true).truncate(false).write(true).open(&name).map_err(|e| {
        let what =
            format!("the data folder cannot be written: `{}`; create the folder first", shown.display());
        Trouble::refused(what).because(e)
    })?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|e| {
        Trouble::refused(format!(
            "another liftlock uses `{}`: stop it first, or use PostgreSQL for more than one process",
            path.display()
        ))
        .because(e)
    })?;
    Ok(file)
}

fn options(path: &Path, settings: &Settings) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(settings.busy_timeout.as_std())
        .pragma("journal_size_limit", "67108864")
        .pragma("wal_autocheckpoint", "1000")
        .pragma("temp_store", "MEMORY")
        .pragma("mmap_size", "0");
    match settings.page_limit {
        Some(pages) => options.pragma("max_page_count", pages.to_string()),
        None => options,
    }
}

async fn connect(options: &SqliteConnectOptions) -> Outcome<SqliteConnection> {
    options.connect().await.map_err(|e| trouble("open the database", e))
}

/// Checks the file, migrates it and reads the settings back: a setting that did not take would lose deliveries.
async fn prepare(
    mut connection: SqliteConnection,
    path: &Path,
    settings: &Settings,
    rules: Rules,
) -> Outcome<Session> {
    let size = std::fs::metadata(path).map_or(0, |m| m.len());
    if size <= CHECKED_AT_START {
        quick_check(&mut connection).await?;
    }
    migrate::sqlite(&mut connection).await?;
    for (name, text, wanted) in WANTED {
        read_back(&mut connection, name, text, wanted).await?;
    }
    let busy = settings.busy_timeout.as_millis().to_string();
    read_back(&mut connection, "busy_timeout", "PRAGMA busy_timeout", &busy).await?;
    Ok(Session::sqlite(connection, rules))
}

async fn quick_check(connection: &mut SqliteConnection) -> Outcome<()> {
    let row = sqlx::query("PRAGMA quick_check(1)").fetch_one(connection).await;
    let row = row.map_err(|e| trouble("check the database", e))?;
    let answer: String = row.try_get(0).map_err(|e| trouble("check the database", e))?;
    if answer == "ok" { Ok(()) } else { Err(damaged(&answer)) }
}

/// What a person reads about a file that does not check.
pub(super) fn damaged(answer: &str) -> Trouble {
    Trouble::refused(format!(
        "the database file is damaged ({answer}): restore it from a backup, then start again"
    ))
}

async fn read_back(
    connection: &mut SqliteConnection,
    name: &str,
    text: &'static str,
    wanted: &str,
) -> Outcome<()> {
    let row = sqlx::query(text).fetch_one(connection).await.map_err(|e| trouble(text, e))?;
    let found = match row.try_get::<String, _>(0) {
        Ok(text) => text,
        Err(_) => row.try_get::<i64, _>(0).map_err(|e| trouble(text, e))?.to_string(),
    };
    if found.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(Trouble::refused(format!(
        "the database keeps `{name}` at `{found}` instead of `{wanted}`: put it on a local disk, not a network one"
    )))
}

fn named(path: &Path, trouble: Trouble) -> Trouble {
    Trouble::new(trouble.kind(), format!("open `{}`", path.display())).because(trouble)
}

/// What became of one change inside the group.
enum Applied {
    /// It is part of the commit.
    Kept,
    /// It failed by itself and is undone; the others go on.
    Undone,
    /// The database failed: nothing of the group is kept.
    Broken(Trouble),
}

type Applying<'a> = Pin<Box<dyn Future<Output = Applied> + Send + 'a>>;

/// A change that waits for the writer, whatever its answer is.
trait Queued: Send {
    fn abandoned(&self) -> bool;
    fn apply<'a>(&'a mut self, session: &'a mut Session) -> Applying<'a>;
    /// Answers the caller: what the change said, or why the group was not committed.
    fn settle(self: Box<Self>, failed: Option<Trouble>);
}

struct Request<C: Change> {
    change: Option<C>,
    answer: Option<Outcome<C::Answer>>,
    reply: oneshot::Sender<Outcome<C::Answer>>,
}

impl<C: Change> Queued for Request<C> {
    fn abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn apply<'a>(&'a mut self, session: &'a mut Session) -> Applying<'a> {
        Box::pin(async move {
            let Some(change) = self.change.take() else { return Applied::Undone };
            match change.apply(session).await {
                Err(trouble) if trouble.is_transient() => Applied::Broken(trouble),
                Err(trouble) => {
                    self.answer = Some(Err(trouble));
                    Applied::Undone
                }
                Ok(answer) => {
                    self.answer = Some(Ok(answer));
                    Applied::Kept
                }
            }
        })
    }

    fn settle(self: Box<Self>, failed: Option<Trouble>) {
        let answer = match (failed, self.answer) {
            (Some(trouble), _) => Err(trouble),
            (None, Some(answer)) => answer,
            (None, None) => Err(Trouble::transient("the change was given up before it ran")),
        };
        // A caller that stopped waiting does not read its answer.
        drop(self.reply.send(answer));
    }
}

/// The task that owns the one writing connection and the lock of the file; it ends only when the store is closed.
struct Writer {
    requests: mpsc::Receiver<Box<dyn Queued>>,
    options: SqliteConnectOptions,
    rules: Rules,
    session: Option<Session>,
    stop: CancellationToken,
    _lock: File,
}

impl Writer {
    async fn run(mut self) {
        while let Some(first) = self.next().await {
            let mut group = vec![first];
            while group.len() < GROUP {
                match self.requests.try_recv() {
                    Ok(request) => group.push(request),
                    Err(_) => break,
                }
            }
            let failed = self.commit(&mut group).await.err();
            for request in group {
                request.settle(failed.as_ref().map(copy));
            }
        }
        if let Some(session) = self.session.take() {
            session.close().await;
        }
    }

    /// The next change; after the stop, what was already accepted and then none.
    async fn next(&mut self) -> Option<Box<dyn Queued>> {
        tokio::select! {
            biased;
            request = self.requests.recv() => request,
            () = self.stop.cancelled() => {
                self.requests.close();
                self.requests.recv().await
            }
        }
    }

    async fn commit(&mut self, group: &mut [Box<dyn Queued>]) -> Outcome<()> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => Session::sqlite(connect(&self.options).await?, self.rules.clone()),
        };
        match attempt(&mut session, group).await {
            Ok(()) => {
                self.session = Some(session);
                Ok(())
            }
            Err(trouble) => {
                // After a failure of the disk the connection may have left its transaction by itself: if it cannot
                // be rolled back cleanly, the next group starts on a new one.
                if session.run("ROLLBACK", Vec::new()).await.is_ok() {
                    self.session = Some(session);
                } else {
                    session.close().await;
                }
                Err(trouble)
            }
        }
    }
}

/// Runs the changes one after the other, each undone alone when it fails, and commits them together.
///
/// Two control statements travel as one: each trip to the connection's thread costs as much as a small insert.
async fn attempt(session: &mut Session, group: &mut [Box<dyn Queued>]) -> Outcome<()> {
    session.run("BEGIN IMMEDIATE; SAVEPOINT one", Vec::new()).await?;
    for request in group.iter_mut().filter(|request| !request.abandoned()) {
        let next = match request.apply(session).await {
            Applied::Kept => "RELEASE one; SAVEPOINT one",
            Applied::Undone => "ROLLBACK TO one",
            Applied::Broken(trouble) => return Err(trouble),
        };
        session.run(next, Vec::new()).await?;
    }
    session.run("COMMIT", Vec::new()).await?;
    Ok(())
}

/// The same failure for every caller of a group; one that is ours in one change is only bad luck for the others.
fn copy(trouble: &Trouble) -> Trouble {
    let kind = match trouble.kind() {
        Kind::Transient { retry_after } => Kind::Transient { retry_after },
        Kind::Refused | Kind::NotFound | Kind::Conflict | Kind::Bug => Kind::Transient { retry_after: None },
    };
    Trouble::new(kind, trouble.chain())
}

impl Session {
    /// Closes the connection; the last one of a file also folds the log into it.
    async fn close(self) {
        if let Some(connection) = self.into_sqlite() {
            // The file is whole either way; a failure here only leaves the log for the next start.
            drop(connection.close().await);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_setting_that_did_not_take_is_refused_by_name() {
        let loose = SqliteConnectOptions::new().synchronous(SqliteSynchronous::Normal);
        let mut connection = connect(&loose).await.unwrap();
        let check = read_back(&mut connection, "synchronous", "PRAGMA synchronous", "2").await;
        assert_eq!(
            check.unwrap_err().to_string(),
            "the database keeps `synchronous` at `1` instead of `2`: put it on a local disk, not a network one"
        );
        let in_memory = read_back(&mut connection, "journal_mode", "PRAGMA journal_mode", "wal").await;
        assert_eq!(in_memory.unwrap_err().kind(), Kind::Refused, "no file, no log");
    }
}
