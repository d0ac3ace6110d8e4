//! The program itself: how soon it answers with a long log behind it, and what it holds when nothing happens.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sqlx::Connection as _;

use liftlock::artifact::file::write_synced;
use liftlock::clock;
use liftlock::domain::name::PipelineId;
use liftlock::service::journal::Journal;

use crate::engine::git;
use crate::figure::{Fallible, Figure, Spread, memory_mb};
use crate::wire::{SECRET, Wire};
use crate::world;

/// Events in the log, over [`STREAMS`] pipelines.
const EVENTS: u32 = 1_000_000;
const STREAMS: u32 = 1_000;
/// Starts of which the median is told.
const ROUNDS: usize = 3;
/// How long nothing happens before memory is read.
const IDLE: Duration = Duration::from_secs(4);
/// Longest wait for an answer, and the pause between two questions.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(2);

pub(crate) fn figures(folder: &Path) -> Fallible<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(all(folder))
}

async fn all(folder: &Path) -> Fallible<Vec<Figure>> {
    git(folder, &["init", "--quiet", "--bare", "--initial-branch=main", "hello.git"])?;
    let (empty, long) = (folder.join("empty"), folder.join("long"));
    write_log(&long).await?;
    let (mut idle, mut quick, mut slow) = (vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let (server, took) = Server::start(folder, &empty).await?;
        quick.push(took);
        tokio::time::sleep(IDLE).await;
        idle.push(memory_mb(&server.child.id().to_string(), "VmRSS")?);
        drop(server);
        let (server, took) = Server::start(folder, &long).await?;
        slow.push(took);
        drop(server);
    }
    let folded = fold_all(&long).await?;
    let (idle, slow) = (Spread::of(idle)?, Spread::of(slow)?);
    Ok(vec![
        Figure {
            what: "start with 1 000 000 events in the log",
            measured: slow.show(2, "s"),
            target: "< 2 s",
            met: Some(slow.median < 2.0),
            how: format!(
                "from spawn of the program to 200 of /readyz, {STREAMS} pipelines; {} with an empty log",
                Spread::of(quick)?.show(2, "s")
            ),
        },
        Figure {
            what: "  reading and folding all of them",
            measured: format!("{folded:.1} s"),
            target: "",
            met: None,
            how: "not part of a start: a pipeline is folded when it is first needed".to_owned(),
        },
        Figure {
            what: "memory of an idle server",
            measured: idle.show(1, "MB"),
            target: "< 40 MB",
            met: Some(idle.median < 40.0),
            how: format!(
                "VmRSS of `liftlock serve`, {} s after it was ready, one plain repository",
                IDLE.as_secs()
            ),
        },
    ])
}

/// `liftlock serve` on a free port, ended when this is dropped.
struct Server {
    child: Child,
}

impl Server {
    /// Starts it and answers the seconds until it said that it is ready.
    async fn start(folder: &Path, data: &Path) -> Fallible<(Self, f64)> {
        let address = free_address()?;
        let config = config(folder, data, address)?;
        let began = clock::monotonic();
        let child = Command::new(env!("CARGO_BIN_EXE_liftlock"))
            .args(["serve", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Self { child };
        while !is_ready(address).await {
            if began.elapsed() > PATIENCE {
                return Err("the server does not become ready".into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok((server, began.elapsed().as_secs_f64()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn free_address() -> Fallible<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

async fn is_ready(address: SocketAddr) -> bool {
    let Ok(mut wire) = Wire::connect(address).await else { return false };
    let request = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    matches!(wire.ask(request).await, Ok(200))
}

fn config(folder: &Path, data: &Path, address: SocketAddr) -> Fallible<PathBuf> {
    let text = format!(
        "listen = \"{address}\"\ndata = \"{data}\"\nwebhook_secrets = [\"{SECRET}\"]\n\n\
         [plain.repositories.hello]\npath = \"{bare}\"\n",
        data = data.display(),
        bare = folder.join("hello.git").display(),
    );
    let path = folder.join("liftlock.toml");
    write_synced(&path, text.as_bytes(), 0o600)?;
    Ok(path)
}

/// A log as it is after years: holds and their ends, which are facts like every other. Written past the store,
/// because a million transactions would take longer than everything else here.
async fn write_log(folder: &Path) -> Fallible<()> {
    std::fs::create_dir_all(folder)?;
    world::open(folder).await?.close().await;
    let file = format!("sqlite:{}", folder.join("liftlock.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&file).await?;
    let each = EVENTS / STREAMS;
    let streams = "INSERT INTO streams (stream, version, head) \
        WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $1) \
        SELECT 'plain:bench' || i || '/hello', $2, zeroblob(32) FROM n";
    sqlx::query(streams).bind(STREAMS).bind(each).execute(&mut connection).await?;
    let events = "INSERT INTO events (stream, version, kind, data, actor, cause, at, hash) \
        WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $1) \
        SELECT 'plain:bench' || (i % $2) || '/hello', i / $2 + 1, \
        CASE WHEN (i / $2) % 2 = 0 THEN 'held' ELSE 'unheld' END, \
        CASE WHEN (i / $2) % 2 = 0 \
        THEN '{\"event\":\"held\",\"stage\":null,\"by\":{\"id\":7,\"login\":\"ana\"},\"reason\":\"the weekend\"}' \
        ELSE '{\"event\":\"unheld\",\"stage\":null,\"by\":{\"id\":7,\"login\":\"ana\"}}' END, \
        'ana', 'delivery:' || i, 1700000000000 + i, randomblob(32) FROM n";
    sqlx::query(events).bind(EVENTS).bind(STREAMS).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Seconds to load every pipeline of the long log.
async fn fold_all(folder: &Path) -> Fallible<f64> {
    let store = world::open(folder).await?;
    let journal = Journal::new(store.clone());
    let began = clock::monotonic();
    for number in 0..STREAMS {
        let id: PipelineId = format!("plain:bench{number}/hello").parse()?;
        if journal.load(&id).await?.version != u64::from(EVENTS / STREAMS) {
            return Err("a pipeline was not folded whole".into());
        }
    }
    let took = began.elapsed().as_secs_f64();
    store.close().await;
    Ok(took)
}
