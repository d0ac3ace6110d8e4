//! Durable ingest: verify, store, flush, answer 202, against a route that verifies and stores nothing.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use tokio_util::sync::CancellationToken;

use liftlock::clock;
use liftlock::forge::signature;
use liftlock::probe::guard::Allowed;

use crate::figure::{Fallible, Figure, Spread, cpu, flush_ms};
use crate::wire::{Hook, Wire};
use crate::world;

/// Connections that press at once.
const CONNECTIONS: usize = 64;
/// Bytes of a push; the fixture is filled up to it with text that does not compress well.
const BODY: usize = 10_000;
/// Length of one measurement.
const SECONDS: Duration = Duration::from_secs(4);
/// Before it, so that connections, caches and the file are warm.
const WARM: Duration = Duration::from_millis(700);
/// Measurements of each side.
const ROUNDS: usize = 3;
/// Threads of the server: the machine of the targets has two cores.
const THREADS: usize = 2;

/// What pressing a server came to.
struct Pressed {
    per_second: f64,
    cpu_us: f64,
}

pub(crate) fn figures(folder: &Path) -> Fallible<Vec<Figure>> {
    let body = push()?;
    let (mut nothing, mut stored, mut ratio, mut cost) = (vec![], vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        let bare = press(&mut Server::start("nothing", folder, None)?, &body)?;
        let place = folder.join(format!("stored-{round}"));
        let durable = press(&mut Server::start("store", &place, None)?, &body)?;
        ratio.push(100.0 * durable.per_second / bare.per_second);
        nothing.push(bare.per_second);
        stored.push(durable.per_second);
        cost.push(durable.cpu_us);
    }
    let (ratio, cost) = (Spread::of(ratio)?, Spread::of(cost)?);
    let flush = flush_ms(folder)?;
    Ok(vec![
        Figure {
            what: "durable ingest, share of verify only",
            measured: ratio.show(0, "%"),
            target: ">= 30 %",
            met: Some(ratio.median >= 30.0),
            how: format!("10 KB push, {CONNECTIONS} connections, load on the same cores, {ROUNDS} pairs"),
        },
        Figure {
            what: "  of it: durable",
            measured: Spread::of(stored)?.show(0, "/s"),
            target: "",
            met: None,
            how: format!("the whole router, SQLite, group commit; a flush here takes {flush:.2} ms"),
        },
        Figure {
            what: "  of it: verify only",
            measured: Spread::of(nothing)?.show(0, "/s"),
            target: "",
            met: None,
            how: "one axum route, HMAC over the body, 202".to_owned(),
        },
        Figure {
            what: "CPU per durable delivery",
            measured: cost.show(1, "us"),
            target: "<= 45 us",
            met: Some(cost.median <= 45.0),
            how: "user and system time of the server's process over deliveries".to_owned(),
        },
        slow_flush(folder, &body)?,
    ])
}

/// A disk that takes 4 ms more for every flush: `strace` holds each `fsync` and `fdatasync` back, and nothing else.
fn slow_flush(folder: &Path, body: &[u8]) -> Fallible<Figure> {
    let what = "durable ingest, every flush 4 ms slower";
    let target = ">= 4500/s";
    let strace = ["/usr/bin/strace", "/bin/strace"].into_iter().find(|path| Path::new(path).exists());
    let Some(strace) = strace else {
        let measured = "left out".to_owned();
        return Ok(Figure { what, measured, target, met: None, how: "needs strace".to_owned() });
    };
    let flush = slowed(strace)?.arg("as-flusher").arg(folder).stderr(Stdio::null()).output()?;
    let flush = String::from_utf8(flush.stdout)?;
    let mut found = Vec::new();
    for round in 0..ROUNDS {
        let place = folder.join(format!("slow-{round}"));
        found.push(press(&mut Server::start("store", &place, Some(strace))?, body)?.per_second);
    }
    let found = Spread::of(found)?;
    let how = format!(
        "strace --seccomp-bpf delays the return of fsync and fdatasync: one takes {} ms",
        flush.trim()
    );
    Ok(Figure { what, measured: found.show(0, "/s"), target, met: Some(found.median >= 4500.0), how })
}

/// A push of [`BODY`] bytes.
fn push() -> Fallible<Vec<u8>> {
    let mut push: serde_json::Value =
        serde_json::from_str(include_str!("../../fixtures/webhooks/push.branch.json"))?;
    let room = BODY.saturating_sub(push.to_string().len());
    let (mut filling, mut state) = (String::new(), 0x9e37_79b9_u32);
    while filling.len() < room {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let word = format!("{state:08x} ");
        filling.push_str(&word);
    }
    filling.truncate(room);
    if let Some(message) = push.pointer_mut("/head_commit/message") {
        *message = filling.into();
    }
    Ok(push.to_string().into_bytes())
}

/// A server in a process of its own.
struct Server {
    child: Child,
    address: SocketAddr,
    process: String,
}

impl Server {
    fn start(kind: &str, folder: &Path, slowed_by: Option<&str>) -> Fallible<Self> {
        let mut command = match slowed_by {
            None => Command::new(std::env::current_exe()?),
            Some(strace) => slowed(strace)?,
        };
        let mut child = command
            .args(["as-server", kind])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let (address, process) = line.trim().split_once(' ').ok_or("the server did not start")?;
        Ok(Self { address: address.parse()?, process: process.to_owned(), child })
    }
}

/// This program under `strace`, which makes every flush slower and leaves every other call alone.
fn slowed(strace: &str) -> Fallible<Command> {
    let mut command = Command::new(strace);
    command.args(["-f", "-qq", "--seccomp-bpf", "-o", "/dev/null"]);
    command.args(["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:delay_exit=4000"]);
    command.arg(std::env::current_exe()?);
    Ok(command)
}

/// The server ends when its input does; that reaches it through `strace`, which a signal would not.
impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

/// The other side of [`Server`]: says where it listens and serves until its input ends.
pub(crate) fn serve(kind: &str, folder: &Path) -> Fallible<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    let address = runtime.block_on(async {
        let stop = CancellationToken::new();
        let app = if kind == "store" {
            let service = world::service(folder, BTreeMap::new(), Allowed::default()).await?;
            world::app(&service, stop.clone())
        } else {
            Router::new().route("/webhook/github", post(verify_only))
        };
        world::listen(app, stop).await
    })?;
    println!("{address} {}", std::process::id());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

async fn verify_only(headers: HeaderMap, body: Bytes) -> Response {
    let header = headers.get(signature::HEADER).and_then(|value| value.to_str().ok());
    if !(world::verify())(header, &body) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    (StatusCode::ACCEPTED, axum::Json(serde_json::json!({ "result": "stored", "delivery": 1 })))
        .into_response()
}

fn press(server: &mut Server, body: &[u8]) -> Fallible<Pressed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        press_for(server, body, (WARM, "warm")).await?;
        let (began, before) = (clock::monotonic(), cpu(&server.process)?);
        let count = press_for(server, body, (SECONDS, "full")).await?;
        let (took, after) = (began.elapsed().as_secs_f64(), cpu(&server.process)?);
        let count = count as f64;
        Ok(Pressed { per_second: count / took, cpu_us: (after.own - before.own) / count * 1e6 })
    })
}

/// Presses with all connections and answers how many deliveries were accepted; anything but 202 is an error.
async fn press_for(server: &Server, body: &[u8], (time, name): (Duration, &str)) -> Fallible<usize> {
    let until = clock::monotonic() + time;
    let hook = Hook::new("github", "push", body)?;
    let connections = (0..CONNECTIONS).map(|number| {
        let hook = &hook;
        async move {
            let mut wire = Wire::connect(server.address).await?;
            let (mut request, mut count) = (Vec::new(), 0_usize);
            while clock::monotonic() < until {
                hook.write(&format!("{name}-{number}-{count:012x}"), &mut request);
                let status = wire.ask(&request).await?;
                if status != 202 {
                    return Err(format!("a delivery was answered {status}").into());
                }
                count += 1;
            }
            Ok::<usize, Box<dyn std::error::Error + Send + Sync>>(count)
        }
    });
    Ok(futures_util::future::try_join_all(connections).await?.into_iter().sum())
}
