//! The queue: claiming one effect and completing it, with much waiting and with much finished.

use std::path::{Path, PathBuf};

use sqlx::Connection as _;

use liftlock::clock;
use liftlock::domain::time::{Span, Timestamp};
use liftlock::store::Store;
use liftlock::store::effect::{Claimant, OwedEffect};
use liftlock::store::step::{Done, Step};

use crate::figure::{Fallible, Figure, Spread, flush_ms};
use crate::world;

/// Effects that wait at first; the measurements leave at least 10 000 of them.
const WAITING: usize = 20_000;
/// Effects that were done before.
const FINISHED: u32 = 1_000_000;
/// Claims and completions of one measurement.
const CLAIMS: usize = 1_500;
/// Workers at a time where several share a flush.
const WORKERS: usize = 32;
/// Measurements of each side.
const ROUNDS: usize = 3;
/// Effects owed in one transaction while filling.
const STEP: usize = 1_000;
/// A file system in memory: there a flush costs nothing, and what is left is our own work.
const MEMORY: &str = "/dev/shm";

pub(crate) fn figures(folder: &Path) -> Fallible<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(all(folder))
}

async fn all(folder: &Path) -> Fallible<Vec<Figure>> {
    let memory = tempfile::tempdir_in(Path::new(MEMORY)).or_else(|_| tempfile::tempdir())?;
    let young = filled(memory.path().join("young"), 0).await?;
    let old = filled(memory.path().join("old"), FINISHED).await?;
    let disk = filled(folder.join("disk"), 0).await?;
    let (mut fresh, mut aged, mut flat, mut alone, mut together) = (vec![], vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let now = serial(&young).await?;
        let later = serial(&old).await?;
        flat.push(100.0 * later / now);
        fresh.push(now);
        aged.push(later);
        alone.push(serial(&disk).await?);
        together.push(shared(&disk).await?);
    }
    for store in [&young, &old, &disk] {
        store.close().await;
    }
    let (fresh, flat) = (Spread::of(fresh)?, Spread::of(flat)?);
    let flush = flush_ms(folder)?;
    Ok(vec![
        Figure {
            what: "claim and complete, 10 000 waiting",
            measured: fresh.show(0, "/s"),
            target: ">= 4000/s",
            met: Some(fresh.median >= 4000.0),
            how: format!("one worker, one at a time, SQLite in {MEMORY}: two transactions each, no disk"),
        },
        Figure {
            what: "the same on this disk",
            measured: Spread::of(alone)?.show(0, "/s"),
            target: "",
            met: None,
            how: format!("one worker; each transaction waits for a flush of {flush:.2} ms"),
        },
        Figure {
            what: "the same on this disk, 32 workers",
            measured: Spread::of(together)?.show(0, "/s"),
            target: "",
            met: None,
            how: "32 at a time, which share flushes".to_owned(),
        },
        Figure {
            what: "with 1 000 000 finished, share of without",
            measured: flat.show(0, "%"),
            target: "flat",
            met: Some(flat.median >= 90.0),
            how: format!("in {MEMORY}: {} against the first line", Spread::of(aged)?.show(0, "/s")),
        },
    ])
}

/// A store with this many finished effects and [`WAITING`] ready ones.
async fn filled(folder: PathBuf, finished: u32) -> Fallible<Store> {
    std::fs::create_dir_all(&folder)?;
    world::open(&folder).await?.close().await;
    if finished > 0 {
        let file = format!("sqlite:{}", folder.join("liftlock.db").display());
        let mut connection = sqlx::SqliteConnection::connect(&file).await?;
        let text = "INSERT INTO effects (key, kind, lane, priority, due, run_after, rank, created_at, updated_at, \
            state, desired, leased_revision, token, result) \
            WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) \
            SELECT 'intake:github:old-' || i, 'intake', 'intake', 0, 1700000000000 + i, 1700000000000 + i, \
            1700000000000 + i, 1700000000000 + i, 1700000000000 + i, 'done', '{\"delivery\":' || i || '}', 1, 1, \
            'taken in' FROM n";
        sqlx::query(text).bind(finished).execute(&mut connection).await?;
        connection.close().await?;
    }
    let store = world::open(&folder).await?;
    for step in 0..WAITING / STEP {
        let effects = (0..STEP).map(|number| ready(&format!("ready-{step}-{number}"))).collect();
        store.commit(Step { effects, ..Step::default() }).await?;
    }
    Ok(store)
}

fn ready(name: &str) -> OwedEffect {
    OwedEffect {
        key: format!("intake:github:{name}"),
        kind: "intake".to_owned(),
        lane: "intake".to_owned(),
        stream: None,
        group: None,
        priority: 0,
        run_after: Some(Timestamp(1_700_000_000_000)),
        desired: "{\"delivery\":1}".to_owned(),
        cancel: false,
    }
}

/// Claims and completions a second of one worker.
async fn serial(store: &Store) -> Fallible<f64> {
    let began = clock::monotonic();
    work(store, CLAIMS).await?;
    Ok(CLAIMS as f64 / began.elapsed().as_secs_f64())
}

/// The same with [`WORKERS`] at a time.
async fn shared(store: &Store) -> Fallible<f64> {
    let each = CLAIMS / WORKERS;
    let began = clock::monotonic();
    futures_util::future::try_join_all((0..WORKERS).map(|_| work(store, each))).await?;
    Ok((each * WORKERS) as f64 / began.elapsed().as_secs_f64())
}

async fn work(store: &Store, count: usize) -> Fallible<()> {
    let by = Claimant { worker: "bench".to_owned(), boot: "bench".to_owned(), lease: Span::seconds(30) };
    for _ in 0..count {
        let claim = store.claim(&["intake"], &by, 1).await?.pop().ok_or("nothing was left to claim")?;
        let done = Done { key: claim.key.clone(), token: claim.token, result: "taken in".to_owned() };
        store.commit(Step { done: Some(done), ..Step::default() }).await?;
    }
    Ok(())
}
