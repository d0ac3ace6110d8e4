//! Live pages: what happened and what a run prints, as server-sent events that resume where they were cut.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract;
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::unfold;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::sleep;

use crate::http::State;
use crate::http::error::Fault;
use crate::http::extract::{Asked, At};
use crate::http::view::plain_line;
use crate::store::stream::EventFilter;
use crate::trouble::Outcome;

/// How often a silent stream says that it is alive; proxies cut after 30 s or 60 s.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long after nothing new a stream looks again: lines of a log wake nobody, and other processes may write.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Events or lines read at once.
const BATCH: u32 = 200;

/// Where a stream begins.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    after: Option<i64>,
    stream: Option<String>,
    release: Option<u32>,
}

enum Source {
    Events(EventFilter),
    Log(String),
}

/// One open stream; its place is free again when it is dropped.
struct Live {
    state: State,
    source: Source,
    after: i64,
    ready: VecDeque<Event>,
    woken: watch::Receiver<u64>,
    _place: OwnedSemaphorePermit,
}

/// `GET /streams/events`: the number of an event is its id; a page asks again for what it shows. With several
/// writers a lower number may come late and be left out here: this wakes pages, it is no copy of the log.
pub(super) async fn events(
    extract::State(state): extract::State<State>,
    Asked(from): Asked<From>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let after = match resumed(&headers).or(from.after) {
        Some(after) => after,
        None => state.store().stats().await?.event_seq,
    };
    open(state, Source::Events(EventFilter { stream: from.stream, release: from.release, kind: None }), after)
}

/// `GET /streams/logs/{id}`: the number of a line is its id.
pub(super) async fn log(
    extract::State(state): extract::State<State>,
    At(id): At<String>,
    Asked(from): Asked<From>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let after = resumed(&headers).or(from.after).unwrap_or(-1);
    open(state, Source::Log(id), after)
}

/// What a browser that was cut off had seen last.
fn resumed(headers: &HeaderMap) -> Option<i64> {
    headers.get("last-event-id")?.to_str().ok()?.trim().parse().ok()
}

fn open(state: State, source: Source, after: i64) -> Result<Response, Fault> {
    let place = state.stream_place()?;
    let woken = state.store().woken();
    let live = Live { state, source, after, ready: VecDeque::new(), woken, _place: place };
    let stream = unfold(live, |mut live| async move {
        let event = live.next().await?;
        Some((Ok::<_, Infallible>(event), live))
    });
    let sse = Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // Asks a proxy such as nginx not to hold lines back.
    Ok(([(HeaderName::from_static("x-accel-buffering"), "no")], sse).into_response())
}

impl Live {
    /// The next event; none once the program ends.
    async fn next(&mut self) -> Option<Event> {
        let ending = self.state.shutdown().clone();
        loop {
            if ending.is_cancelled() {
                return None;
            }
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            // Seen before the look, so that what comes during it wakes the wait.
            self.woken.borrow_and_update();
            match self.look().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(trouble) => {
                    tracing::debug!(error = trouble.chain(), "a stream could not be continued yet");
                }
            }
            tokio::select! {
                () = ending.cancelled() => return None,
                // The sender lives as long as the store that `state` holds.
                _ = self.woken.changed() => {}
                () = sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// Reads what came; true when there is something.
    async fn look(&mut self) -> Outcome<bool> {
        let store = self.state.store();
        match &self.source {
            Source::Events(filter) => {
                for event in store.events(filter, self.after, BATCH).await? {
                    self.after = event.seq;
                    let sent = Event::default().id(event.seq.to_string()).event("event");
                    self.ready.push_back(sent.data(plain_line(&event.kind)));
                }
            }
            Source::Log(id) => {
                let most = usize::try_from(BATCH).unwrap_or(usize::MAX);
                for line in store.read_log(id, self.after.saturating_add(1), most).await? {
                    self.after = line.no;
                    let sent = Event::default().id(line.no.to_string()).event("line");
                    self.ready.push_back(sent.data(plain_line(&line.text)));
                }
            }
        }
        Ok(!self.ready.is_empty())
    }
}
