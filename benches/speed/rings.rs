//! Stages that wait: what a change costs beside thousands of them, what sampling gates costs, and many variables.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use liftlock::clock;
use liftlock::domain::decide::{Command, Ended, Fresh, Work};
use liftlock::domain::event::{BuildOutcome, Form, Sealed};
use liftlock::domain::name::{PipelineId, ReleaseNo, VariableName};
use liftlock::domain::plan::plan;
use liftlock::domain::variable::{Level, Rank, Resolution, Value, hidden};
use liftlock::probe::guard::Allowed;
use liftlock::service::journal::{Around, Journal};

use crate::figure::{Fallible, Figure, Spread, cpu, ms};
use crate::rules::{digest, pipeline, say, start};
use crate::world;

/// Pipelines and the releases of each that wait in a stage.
const PIPELINES: usize = 1_000;
const RELEASES: usize = 10;
/// Releases that wait where one pipeline has all of them: far more than people let wait.
const LONE: usize = 100;
/// Decisions of which the median is told, on each side.
const DECISIONS: usize = 200;
/// Gates, each of a pipeline of its own.
const GATES: usize = 1_000;
/// Time until every gate has been sampled for the first time, which is an event, and time that is measured.
const SETTLE: Duration = Duration::from_secs(75);
const MEASURED: Duration = Duration::from_mins(1);
/// Variables, spread over [`LEVELS`] sources, and how often they are resolved.
const VARIABLES: usize = 100_000;
const LEVELS: [Rank; 4] = [Rank::Stage, Rank::StageGroup, Rank::Release, Rank::ReleaseGroup];
const ROUNDS: usize = 20;
/// A file system in memory: there a flush costs nothing, and what is left is our own work.
const MEMORY: &str = "/dev/shm";
/// Nothing supersedes anything, so every release waits.
const WAITING: &str =
    "version: 1\nname: hello\nbuild: make\nstages:\n  - {name: prod, approval: 2, queue: all}\n";

pub(crate) fn figures(_: &Path) -> Fallible<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(all())
}

async fn all() -> Fallible<Vec<Figure>> {
    let memory = tempfile::tempdir_in(Path::new(MEMORY)).or_else(|_| tempfile::tempdir())?;
    let few = waiting(&memory.path().join("few"), 1, RELEASES).await?;
    let many = waiting(&memory.path().join("many"), PIPELINES, RELEASES).await?;
    let lone = waiting(&memory.path().join("lone"), 1, LONE).await?;
    let (few, (many, _), (lone, planned)) = (few.0, many, lone);
    let gates = gates(&memory.path().join("gates")).await?;
    let resolved = resolve()?;
    Ok(vec![
        Figure {
            what: "a decision beside 10 000 waiting stages",
            measured: format!("{:.0} % of that beside 10", 100.0 * many.median / few.median),
            target: "<= 120 %",
            met: Some(many.median <= 1.2 * few.median),
            how: format!(
                "`/approve prod` stored and planned, {PIPELINES} pipelines of {RELEASES}: {} against {}",
                many.show(2, "ms"),
                few.show(2, "ms")
            ),
        },
        Figure {
            what: "  the same, 100 of them in one pipeline",
            measured: lone.show(1, "ms"),
            target: "",
            met: None,
            how: format!("one plan of them takes {planned:.1} ms"),
        },
        Figure {
            what: "1 000 gates sampled each minute",
            measured: format!("{gates:.1} % of a core"),
            target: "< 5 %",
            met: Some(gates < 5.0),
            how: "CPU of the whole process over a minute, with what answers the gates".to_owned(),
        },
        Figure {
            what: "100 000 variables resolved for a stage",
            measured: resolved.show(1, "ms"),
            target: "< 10 ms",
            met: Some(resolved.median < 10.0),
            how: format!("over {} levels, with one text of them", LEVELS.len()),
        },
    ])
}

/// Milliseconds of a decision on one pipeline of so many, each with so many releases that wait, and of one plan.
async fn waiting(folder: &Path, pipelines: usize, releases: usize) -> Fallible<(Spread, f64)> {
    std::fs::create_dir_all(folder)?;
    let store = world::open(folder).await?;
    let journal = Journal::new(store.clone());
    for number in 0..pipelines {
        fill(&journal, &id(number)?, (WAITING, releases)).await?;
    }
    let id = id(0)?;
    let mut took = Vec::with_capacity(DECISIONS);
    for _ in 0..DECISIONS {
        for line in ["/approve prod v0.1.0-rc.1", "/revoke prod v0.1.0-rc.1"] {
            let command = say(line)?;
            let began = clock::monotonic();
            journal.decide(&id, &command, around()).await?.map_err(|refusal| refusal.to_string())?;
            took.push(ms(began.elapsed()));
        }
    }
    let state = journal.load(&id).await?;
    let began = clock::monotonic();
    drop(plan(&state, clock::now()));
    let planned = ms(began.elapsed());
    store.close().await;
    Ok((Spread::of(took)?, planned))
}

fn id(number: usize) -> Fallible<PipelineId> {
    Ok(format!("plain:bench{number}/hello").parse()?)
}

fn around() -> Around {
    Around { actor: "ana".to_owned(), cause: "bench".to_owned(), done: None, delivery: None }
}

/// Releases that are built and wait in their stage.
async fn fill(journal: &Journal, id: &PipelineId, (manifest, releases): (&str, usize)) -> Fallible<()> {
    let pipeline = pipeline(manifest)?;
    for number in 1..=u32::try_from(releases)? {
        let release = ReleaseNo(NonZeroU32::new(number).ok_or("releases count from 1")?);
        let work = Work::Build { release, attempt: 1 };
        let sealed = Ended::Build(BuildOutcome::Sealed(vec![Sealed {
            alias: "default".parse()?,
            digest: digest(&format!("{number:064x}"))?,
            content: digest(&format!("{number:064x}"))?,
            size: 1_000,
            form: Form::Folder,
            image: None,
        }]));
        let commands = [
            start(&pipeline, number)?,
            Command::Begin { work: work.clone(), fence: 1, fresh: Fresh::default() },
            Command::Finish { work, fence: 1, ended: sealed },
        ];
        for command in commands {
            journal.decide(id, &command, around()).await?.map_err(|refusal| refusal.to_string())?;
        }
    }
    Ok(())
}

/// Percent of a core that sampling takes, each gate once a minute; all of them are red, so that nothing goes on.
async fn gates(folder: &Path) -> Fallible<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    let manifest = format!(
        "version: 1\nname: hello\nbuild: make\nchecks:\n  health: {{http: 'http://{address}/', every: 1m}}\n\
         stages:\n  - {{name: prod, gates: {{pre: [health], timeout: 24h}}}}\n"
    );
    let allowed = Allowed::new(["127.0.0.1".to_owned()]).map_err(|bad| bad.concat())?;
    let service = world::service(folder, BTreeMap::new(), allowed).await?;
    for number in 0..GATES {
        fill(service.journal(), &id(number)?, (&manifest, 1)).await?;
    }
    let stop = CancellationToken::new();
    let work = tokio::spawn(service.clone().work(stop.clone()));
    tokio::time::sleep(SETTLE).await;
    let (before, began) = (cpu("self")?.own, clock::monotonic());
    tokio::time::sleep(MEASURED).await;
    let share = 100.0 * (cpu("self")?.own - before) / began.elapsed().as_secs_f64();
    let sampled = service.journal().load(&id(0)?).await?;
    stop.cancel();
    work.await?;
    if sampled.version < 6 {
        return Err(format!("nothing was sampled: {} events", sampled.version).into());
    }
    service.store().close().await;
    Ok(share)
}

/// Says no to every request of a connection.
async fn answer(mut stream: TcpStream) {
    let mut request = [0; 4_096];
    while let Ok(1..) = stream.read(&mut request).await {
        let no = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
        if stream.write_all(no).await.is_err() {
            return;
        }
    }
}

/// Milliseconds to find what every variable is, and to expand one text.
fn resolve() -> Fallible<Spread> {
    let each = VARIABLES / LEVELS.len();
    let mut levels = Vec::new();
    for (number, rank) in LEVELS.into_iter().enumerate() {
        // Half of the names of a level are those of the next one, too.
        let names = (0..each).map(|at| format!("Infra.Group{}.Key{at}", number + at % 2));
        let values = names.map(|name| Ok((name.parse::<VariableName>()?, Value::Plain("value".to_owned()))));
        let values: BTreeMap<_, _> = values.collect::<Fallible<_>>()?;
        levels.push(Level {
            rank,
            source: format!("group {number}"),
            values: std::borrow::Cow::Owned(values),
        });
    }
    let mut took = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let began = clock::monotonic();
        let all = Resolution::of(&levels)?;
        let text = all.expand("$(Infra.Group0.Key0)-$(Infra.Group3.Key8)", "the bench", &hidden)?;
        took.push(ms(began.elapsed()));
        if text != "value-value" {
            return Err(format!("it resolved to {text}").into());
        }
    }
    Spread::of(took)
}
