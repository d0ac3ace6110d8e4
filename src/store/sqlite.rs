//! The `SQLite` engine: one writer thread that commits what waits as one group, readers on their own connections.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::thread;

use futures_util::FutureExt as _;
use rusqlite::Connection;
use rustix::fs::FlockOperation;
use tokio::sync::{mpsc, oneshot};

use crate::store::session::{Meaning, Session, explained};
use crate::store::{Change, Reserve, Rules, Settings, effect, migrate};
use crate::trouble::{Kind, Outcome, Trouble};

mod ballast;
pub(super) mod link;
pub(super) mod readers;

use ballast::Ballast;
use link::{Place, WANTED};
use readers::Readers;

/// Most changes in one commit: past 256 the gain is small and each waits longer (STORAGE §3b).
const GROUP: usize = 256;
/// Changes that may wait for the writer; beyond it callers wait for a place, within their own limit.
const QUEUE: usize = 1024;
/// Files up to this size are checked whole at every start (about a second); larger ones by `Store::check`.
const CHECKED_AT_START: u64 = 256 << 20;

/// The open file: a queue to its writer and its readers.
pub(super) struct Engine {
    queue: mpsc::Sender<Asked>,
    readers: Readers,
    /// The room that is kept, where some is.
    ballast: Option<Ballast>,
    /// Answers when the writer has ended.
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Engine {
    pub(super) async fn open(path: PathBuf, settings: &Settings, rules: Rules) -> Outcome<Self> {
        let place = Place::new(path, settings);
        let readers = Readers::new(place.clone(), settings.connections, settings.answer_within.as_std());
        let (queue, requests) = mpsc::channel(QUEUE);
        let (ready, opened) = oneshot::channel();
        let (ending, ended) = oneshot::channel();
        let room = settings.room;
        // A thread of its own: a statement is a call there, where it would be two messages and two switches of
        // tasks between the runtime and a connection's thread, which cost more than the statement.
        let write = move || {
            match Writer::open(place, rules, (requests, room)) {
                Ok(writer) => {
                    drop(ready.send(Ok(writer.ballast.clone())));
                    writer.run();
                }
                Err(trouble) => drop(ready.send(Err(trouble))),
            }
            drop(ending);
        };
        thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(write)
            .map_err(|e| Trouble::transient("start the thread that writes the database").because(e))?;
        let ballast =
            opened.await.map_err(|_| Trouble::bug("the writer of the database ended at its start"))??;
        Ok(Self { queue, readers, ballast, ended: Mutex::new(Some(ended)) })
    }

    /// Connections that read, without the lock: beside the process that writes, or without one.
    pub(super) async fn to_read(path: PathBuf, settings: &Settings) -> Outcome<Self> {
        if !path.exists() {
            return Err(Trouble::refused(format!("there is no database `{}`", path.display())));
        }
        let place = Place::new(path, settings);
        let readers = Readers::new(place.clone(), settings.connections, settings.answer_within.as_std());
        let look = move || {
            let fits = place.reader().and_then(|connection| migrate::fits(&connection));
            fits.map_err(|trouble| link::named(&place.path, trouble))
        };
        let looked = tokio::task::spawn_blocking(look).await;
        looked.map_err(|e| Trouble::transient("a look at the database was cut off").because(e))??;
        // Nobody takes changes here: they are refused as by a store that is closed.
        let (queue, _) = mpsc::channel(1);
        Ok(Self { queue, readers, ballast: None, ended: Mutex::new(None) })
    }

    /// Hands a change to the writer and waits for its commit.
    pub(super) async fn change<C: Change>(&self, change: C) -> Outcome<C::Answer> {
        let (reply, answer) = oneshot::channel();
        let request = Request { change: Some(change), answer: None, reply };
        let gone = || Trouble::transient("the store is closed");
        self.queue.send(Asked::Change(Box::new(request))).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// How it stands with the room that is kept; nothing where none is.
    pub(super) fn reserve(&self) -> Option<Reserve> {
        self.ballast.as_ref().map(Ballast::state)
    }

    pub(super) async fn session(&self, rules: Rules) -> Outcome<Session> {
        Ok(Session::sqlite_reader(self.readers.take().await?, rules))
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        // A writer that is gone needs no word.
        drop(self.queue.send(Asked::Stop).await);
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ended) = ended {
            // It never sends: the error is its end.
            drop(ended.await);
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

/// Opens the file, checks it, migrates it and reads the settings back.
fn prepare(place: &Place) -> Outcome<Connection> {
    let mut connection = place.writer()?;
    let size = std::fs::metadata(&place.path).map_or(0, |m| m.len());
    if size <= CHECKED_AT_START {
        let answer = link::show(&connection, "PRAGMA quick_check(1)")?;
        if answer != "ok" {
            return Err(damaged(&answer));
        }
    }
    migrate::sqlite(&mut connection)?;
    for (name, _, text, wanted) in WANTED {
        link::read_back(&connection, name, text, wanted)?;
    }
    let busy = place.busy_timeout.as_millis().to_string();
    link::read_back(&connection, "busy_timeout", "PRAGMA busy_timeout", &busy)?;
    Ok(connection)
}

/// What a person reads about a file that does not check.
pub(super) fn damaged(answer: &str) -> Trouble {
    Trouble::refused(format!(
        "the database file is damaged ({answer}): restore it from a backup, then start again"
    ))
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
    fn may_be_undone(&self) -> bool;
    fn is_news(&self) -> bool;
    /// It is not even tried, and why.
    fn refuse(&mut self, why: Trouble);
    fn apply<'a>(&'a mut self, session: &'a mut Session) -> Applying<'a>;
    /// Answers the caller: what the change said, or why the group was not committed.
    fn settle(self: Box<Self>, failed: Option<Trouble>);
}

/// What the writer is asked for.
enum Asked {
    Change(Box<dyn Queued>),
    /// Finish what was accepted, then end.
    Stop,
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

    fn may_be_undone(&self) -> bool {
        C::MAY_BE_UNDONE
    }

    fn is_news(&self) -> bool {
        C::IS_NEWS
    }

    fn refuse(&mut self, why: Trouble) {
        self.answer = Some(Err(why));
    }

    fn apply<'a>(&'a mut self, session: &'a mut Session) -> Applying<'a> {
        Box::pin(async move {
            let Some(change) = self.change.take() else { return Applied::Undone };
            match change.apply(session).await {
                // Without a savepoint there is nothing to go back to but the begin of the group.
                Err(trouble) if trouble.is_transient() || !C::MAY_BE_UNDONE => Applied::Broken(trouble),
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

/// The thread that owns the one writing connection and the lock of the file; it ends when the store is closed.
struct Writer {
    requests: mpsc::Receiver<Asked>,
    place: Place,
    rules: Rules,
    session: Option<Session>,
    ballast: Option<Ballast>,
    _lock: File,
}

impl Writer {
    fn open(
        place: Place,
        rules: Rules,
        (requests, room): (mpsc::Receiver<Asked>, Option<u64>),
    ) -> Outcome<Self> {
        let lock = lock(&place.path)?;
        let connection = prepare(&place).map_err(|t| link::named(&place.path, t))?;
        let mut session = Session::sqlite(connection, rules.clone());
        at_once(effect::reclaim_all(&mut session)).unwrap_or_else(|| Err(waited()))?;
        let ballast = room.and_then(|most| Ballast::beside(&place.path, most));
        Ok(Self { requests, place, rules, session: Some(session), ballast, _lock: lock })
    }

    fn run(mut self) {
        while let Some(asked) = self.requests.blocking_recv() {
            let mut group = Vec::new();
            self.join(&mut group, asked);
            if group.is_empty() {
                continue;
            }
            self.ballast.iter().for_each(Ballast::look);
            let failed = self.commit(&mut group).err();
            if failed.as_ref().is_some_and(link::is_full) {
                self.ballast.iter().for_each(Ballast::let_go);
            }
            for request in group {
                request.settle(failed.as_ref().map(copy));
            }
        }
    }

    /// Takes a change into the group; after the stop no more are accepted.
    fn join(&mut self, group: &mut Vec<Box<dyn Queued>>, asked: Asked) {
        match asked {
            Asked::Change(request) => group.push(request),
            Asked::Stop => self.requests.close(),
        }
    }

    fn commit(&mut self, group: &mut Vec<Box<dyn Queued>>) -> Outcome<()> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => Session::sqlite(self.place.writer()?, self.rules.clone()),
        };
        match self.attempt(&mut session, group) {
            Ok(()) => {
                self.session = Some(session);
                Ok(())
            }
            Err(trouble) => {
                // After a failure of the disk the connection may have left its transaction by itself: if it cannot
                // be rolled back cleanly, the next group starts on a new one.
                if session.control("ROLLBACK").is_ok() {
                    self.session = Some(session);
                }
                Err(trouble)
            }
        }
    }

    /// Runs the changes one after the other, each undone alone when it fails, and commits them together.
    ///
    /// Who comes while others are carried out still joins: the longer the group, the fewer flushes.
    fn attempt(&mut self, session: &mut Session, group: &mut Vec<Box<dyn Queued>>) -> Outcome<()> {
        let full = self.ballast.as_ref().is_some_and(|ballast| ballast.state() == Reserve::LetGo);
        session.control("BEGIN IMMEDIATE")?;
        let mut done = 0;
        loop {
            for request in group.iter_mut().skip(done).filter(|request| !request.abandoned()) {
                if request.is_news() && full {
                    request.refuse(explained("take in what is new", Meaning::Full));
                    continue;
                }
                apply(session, request.as_mut())?;
            }
            done = group.len();
            while group.len() < GROUP
                && let Ok(asked) = self.requests.try_recv()
            {
                self.join(group, asked);
            }
            if group.len() == done {
                return session.control("COMMIT");
            }
        }
    }
}

/// Runs one change inside the transaction, in a savepoint when it may have to be undone alone.
fn apply(session: &mut Session, request: &mut dyn Queued) -> Outcome<()> {
    let alone = request.may_be_undone();
    if alone {
        session.control("SAVEPOINT one")?;
    }
    match at_once(request.apply(session)).unwrap_or_else(|| Applied::Broken(waited())) {
        Applied::Kept => {}
        Applied::Undone => session.control("ROLLBACK TO one")?,
        Applied::Broken(trouble) => return Err(trouble),
    }
    if alone { session.control("RELEASE one") } else { Ok(()) }
}

/// Changes are written for both engines and therefore async; over a connection of the thread's own none waits.
fn at_once<T>(work: impl Future<Output = T>) -> Option<T> {
    work.now_or_never()
}

fn waited() -> Trouble {
    Trouble::bug("a change waited for something beside the database")
}

/// The same failure for every caller of a group; one that is ours in one change is only bad luck for the others.
fn copy(trouble: &Trouble) -> Trouble {
    let kind = match trouble.kind() {
        Kind::Transient { retry_after } => Kind::Transient { retry_after },
        Kind::Refused | Kind::NotFound | Kind::Conflict | Kind::Bug => Kind::Transient { retry_after: None },
    };
    Trouble::new(kind, trouble.chain())
}
