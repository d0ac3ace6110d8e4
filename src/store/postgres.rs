//! The `PostgreSQL` engine: a pool, and the hint to other processes that something was committed.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Connection as _, PgPool};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::store::session::{Session, trouble};
use crate::store::{Change, Rules, Settings, migrate, sql};
use crate::trouble::{Outcome, Trouble};

/// What is set on every connection (STORAGE §8) and how the server shows it when read back.
const WANTED: &[(&str, &str, &str, &str)] = &[
    ("synchronous_commit", "on", "SHOW synchronous_commit", "on"),
    ("statement_timeout", "10s", "SHOW statement_timeout", "10s"),
    ("lock_timeout", "2s", "SHOW lock_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "10s", "SHOW idle_in_transaction_session_timeout", "10s"),
    ("tcp_keepalives_idle", "5", "SHOW tcp_keepalives_idle", "5"),
];
/// Oldest server the statements are written for (`MATERIALIZED`, identity columns and a wide margin).
const OLDEST_SERVER: i64 = 140_000;
/// How often a process looks without a hint; notices get lost with their connection.
const POLL: Duration = Duration::from_secs(1);

/// Longest that a connection may take to show that it lives.
const ALIVE_WITHIN: Duration = Duration::from_secs(2);
/// Longest that opening may take: a few statements of 10 s each while another replica migrates.
const BEGIN_WITHIN: Duration = Duration::from_mins(1);
/// Longest that closing waits for what still runs.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Fewest connections: one listens, one tells, and two that work may meet.
const FEWEST: u32 = 4;

/// The pool and the two tasks that carry hints.
pub(super) struct Engine {
    pool: PgPool,
    committed: Arc<Notify>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Engine {
    pub(super) async fn open(
        settings: &Settings,
        rules: Rules,
        woken: Arc<watch::Sender<u64>>,
    ) -> Outcome<Self> {
        let pool = pool(settings)?;
        // Its limits for a statement are the database's own, and do not help when that one is stopped.
        timeout(BEGIN_WITHIN, begin(&pool, rules))
            .await
            .map_err(|_| Trouble::transient("the database does not answer"))??;

        let engine = Self {
            pool,
            committed: Arc::new(Notify::new()),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let (stop, pool, committed) =
            (engine.stop.clone(), engine.pool.clone(), Arc::clone(&engine.committed));
        engine.tasks.spawn(async move { stop.run_until_cancelled(tell(pool, committed)).await });
        let (stop, pool) = (engine.stop.clone(), engine.pool.clone());
        engine.tasks.spawn(async move { stop.run_until_cancelled(hear(pool, woken)).await });
        engine.tasks.close();
        Ok(engine)
    }

    /// Runs a change as one transaction.
    pub(super) async fn change<C: Change>(&self, change: C, rules: Rules) -> Outcome<C::Answer> {
        let work = self.pool.begin().await.map_err(|e| trouble("begin", e))?;
        let mut session = Session::postgres_work(work, rules);
        let answer = change.apply(&mut session).await?;
        session.commit().await?;
        Ok(answer)
    }

    pub(super) async fn session(&self, rules: Rules) -> Outcome<Session> {
        let connection = self.pool.acquire().await.map_err(|e| trouble("connect to the database", e))?;
        Ok(Session::postgres(connection, rules))
    }

    /// Tells the other processes, soon and in a statement of its own.
    pub(super) fn notify(&self) {
        self.committed.notify_one();
    }

    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
        // What does not come back by then is left to the operating system.
        drop(timeout(CLOSE_WITHIN, self.pool.close()).await);
    }
}

impl Drop for Engine {
    /// The tasks hold the pool; without this they would outlive a store that nobody closed.
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn pool(settings: &Settings) -> Outcome<PgPool> {
    // The error of the parser may repeat the URL, and with it the password: it is not passed on.
    let options = PgConnectOptions::from_str(&settings.url).map_err(|_| {
        Trouble::refused(
            "the database URL cannot be read; write `postgres://user:password@host:5432/database`",
        )
    })?;
    let options = options
        .application_name("liftlock")
        .options(WANTED.iter().map(|(name, value, _, _)| (*name, *value)));
    Ok(PgPoolOptions::new()
        .max_connections(settings.connections.max(FEWEST))
        .acquire_timeout(settings.answer_within.as_std())
        // The pool asks a connection that comes back whether it lives, without a limit: one to a server that is
        // stopped, or has moved, would keep its place for ever.
        .after_release(|connection, _| {
            Box::pin(async move {
                timeout(ALIVE_WITHIN, connection.ping()).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
                Ok(true)
            })
        })
        .connect_lazy_with(options))
}

/// Looks whether it is a database that we know, and migrates it.
async fn begin(pool: &PgPool, rules: Rules) -> Outcome<()> {
    let connect = || async { pool.acquire().await.map_err(|e| trouble("connect to the database", e)) };
    check(&mut Session::postgres(connect().await?, rules)).await?;
    migrate::postgres(&mut *connect().await?).await
}

/// Reads the settings back: a proxy in between may have dropped them.
async fn check(session: &mut Session) -> Outcome<()> {
    let version = session.show("SHOW server_version_num").await?;
    if version.parse::<i64>().unwrap_or(0) < OLDEST_SERVER {
        return Err(Trouble::refused(format!("PostgreSQL {version} is too old: use version 14 or newer")));
    }
    for (name, _, text, wanted) in WANTED {
        let found = session.show(text).await?;
        // Through a Unix socket there is no TCP to keep alive, and the server shows 0.
        if found != *wanted && !(*name == "tcp_keepalives_idle" && found == "0") {
            return Err(Trouble::refused(format!(
                "the database keeps `{name}` at `{found}` instead of `{wanted}`: connect without a proxy that drops it"
            )));
        }
    }
    Ok(())
}

impl Session {
    async fn show(&mut self, text: &'static str) -> Outcome<String> {
        let mut row =
            self.first(text, Vec::new()).await?.ok_or_else(|| Trouble::bug("a setting shows nothing"))?;
        row.text()
    }
}

/// Sends one notice for all commits since the last: inside the transactions it would serialize them (STORAGE §3c).
async fn tell(pool: PgPool, committed: Arc<Notify>) {
    loop {
        committed.notified().await;
        // A lost notice is made up for by polling.
        drop(sqlx::query(sql::NOTIFY_POSTGRES).execute(&pool).await);
    }
}

/// Wakes this process on every notice, and by the clock in case one was lost.
async fn hear(pool: PgPool, woken: Arc<watch::Sender<u64>>) {
    let wake = || woken.send_modify(|count| *count = count.wrapping_add(1));
    let listen = async {
        loop {
            if let Ok(mut listener) = PgListener::connect_with(&pool).await
                && listener.listen("liftlock").await.is_ok()
            {
                while listener.recv().await.is_ok() {
                    wake();
                }
            }
            tokio::time::sleep(POLL).await;
        }
    };
    let look = async {
        loop {
            tokio::time::sleep(POLL).await;
            wake();
        }
    };
    tokio::join!(listen, look);
}
