//! Serves connections: a limit on how many, on how long each part may take, and an end that comes.
//!
//! `axum::serve` has no timeout at all (STORAGE §1), so this drives hyper's own connections.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::http::Limits;
use crate::trouble::{Outcome, Trouble};

/// Wait after an accept that failed for want of something (files, memory), which no retry at once will bring.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Bytes hyper may hold of a connection's head: enough for every header GitHub and browsers send.
const HEAD: usize = 64 << 10;

/// Connections that may wait to be accepted. `TcpListener::bind` asks for 128, and past that a burst is answered with
/// resets: a webhook lost for good, since GitHub does not send it again.
const BACKLOG: u32 = 4096;

/// How long a new process waits for the address of the one before it. A process that is killed while it starts a child
/// leaves its sockets with that child until the child's program has begun.
const HANDOVER: Duration = Duration::from_secs(5);
/// Between two looks at an address that somebody has.
const HANDOVER_PAUSE: Duration = Duration::from_millis(50);

/// Listens on an address with room for a burst of connections; an address that is in use may come free for
/// [`HANDOVER`].
pub async fn listen(at: SocketAddr) -> Outcome<TcpListener> {
    let wait = async {
        loop {
            match open(at) {
                Err(e) if e.kind() == io::ErrorKind::AddrInUse => sleep(HANDOVER_PAUSE).await,
                opened => return opened,
            }
        }
    };
    // Once more after the wait, so that what is told is what stands in the way by then.
    let opened = match timeout(HANDOVER, wait).await {
        Ok(opened) => opened,
        Err(_) => open(at),
    };
    opened.map_err(|e| {
        Trouble::refused(format!(
            "listen on `{at}`: see who has it with `ss -ltnp`, or choose another address"
        ))
        .because(e)
    })
}

fn open(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart need not wait for the last connections of the process before it.
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    socket.listen(BACKLOG)
}

/// Who is on the other end of a connection; put beside every request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Serves until `shutdown`, then lets what was begun finish within `limits.drain_within`; true when all of it did.
pub async fn serve(listener: TcpListener, app: Router, limits: Limits, shutdown: CancellationToken) -> bool {
    let places = Arc::new(Semaphore::new(limits.connections));
    let open = TaskTracker::new();
    let kill = CancellationToken::new();
    while let Some((stream, peer, place)) = next(&listener, &places, &shutdown).await {
        let connection = Connection {
            app: app.clone(),
            limits: limits.clone(),
            ending: shutdown.clone(),
            kill: kill.clone(),
            _place: place,
        };
        open.spawn(connection.run(stream, peer));
    }
    // No new connections from here on: the system refuses them, so a balancer goes elsewhere at once.
    drop(listener);
    open.close();
    let drained = timeout(limits.drain_within.as_std(), open.wait()).await.is_ok();
    if !drained {
        tracing::warn!(connections = open.len(), "connections did not end in time and were closed");
        kill.cancel();
        open.wait().await;
    }
    drained
}

/// The next connection with its place; none after the shutdown.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    shutdown: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let accept = async {
        let place = Arc::clone(places).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => return Some((stream, peer, place)),
                Err(e) if is_theirs(&e) => {}
                Err(e) => {
                    tracing::error!(error = %e, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = shutdown.cancelled() => None,
        accepted = accept => accepted,
    }
}

/// Errors of one connection that was gone before it was taken.
fn is_theirs(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

struct Connection {
    app: Router,
    limits: Limits,
    ending: CancellationToken,
    kill: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn run(self, stream: TcpStream, peer: SocketAddr) {
        // Without it the last part of an answer may wait for an acknowledgement; an error here costs only that.
        drop(stream.set_nodelay(true));
        let app = self.app.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            let answer = app.clone().oneshot(request.map(Body::new));
            async move {
                let Ok(response): Result<Response, Infallible> = answer.await;
                Ok::<_, Infallible>(response)
            }
        });
        // The time for a head also bounds how long a connection that is kept alive may say nothing.
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_within.as_std())
            .max_buf_size(HEAD)
            .serve_connection(TokioIo::new(Unstuck::new(stream, self.limits.write_within.as_std())), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = self.ending.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = self.kill.cancelled() => Ok(()),
                }
            }
        };
        if let Err(e) = ended {
            tracing::debug!(peer = %peer, error = %e, "a connection ended early");
        }
    }
}

/// A stream whose reader on the other side must keep reading: a write that stands still too long is an error.
struct Unstuck {
    stream: TcpStream,
    limit: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Unstuck {
    fn new(stream: TcpStream, limit: Duration) -> Self {
        Self { stream, limit, waiting: None }
    }

    fn bound<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Unstuck {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Unstuck {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.bound(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.bound(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.bound(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
