//! Streams of events: append-only, versioned, each event hashed over the one before it.

use sha2::{Digest as _, Sha256};

use crate::domain::time::Timestamp;
use crate::store::session::{Record, Session, args, plain};
use crate::store::step::Race;
use crate::store::{Store, sql};
use crate::trouble::{Outcome, Trouble};

/// The hash before the first event of a stream.
pub const GENESIS: [u8; 32] = [0; 32];

/// An event to append.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Its kind, as the rules name it.
    pub kind: String,
    /// The release it is about.
    pub release: Option<u32>,
    /// The fact, JSON.
    pub data: String,
    /// Who did it.
    pub actor: String,
    /// What led to it: `delivery:17`, `effect:…#3`, `api:…`, `timer:…`.
    pub cause: String,
}

/// Events for one stream, if its version is still the one they were decided on.
#[derive(Debug, Clone)]
pub struct Append {
    /// The stream.
    pub stream: String,
    /// The version the decision was made on; 0 for a stream that does not exist yet.
    pub expect: i64,
    /// The new facts, in order.
    pub events: Vec<NewEvent>,
    /// When they happened.
    pub at: Timestamp,
}

/// An event that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number in the whole log; grows along every stream.
    pub seq: i64,
    /// Its stream.
    pub stream: String,
    /// Its place in the stream, from 1.
    pub version: i64,
    /// Its kind.
    pub kind: String,
    /// The release it is about.
    pub release: Option<u32>,
    /// The fact, JSON.
    pub data: String,
    /// Who did it.
    pub actor: String,
    /// What led to it.
    pub cause: String,
    /// When.
    pub at: Timestamp,
    /// Hash over the previous hash and all of the above but `seq`.
    pub hash: Vec<u8>,
}

/// A stream as one statement saw it.
#[derive(Debug, Clone)]
pub struct Read {
    /// The events asked for, in order.
    pub events: Vec<StoredEvent>,
    /// The version of the stream, which may be beyond the last event read; 0 when there is no such stream.
    pub version: i64,
    /// The hash of its last event.
    pub head_hash: Vec<u8>,
}

/// A stream and where it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamHead {
    /// Its name.
    pub stream: String,
    /// Its version.
    pub version: i64,
    /// The hash of its last event.
    pub hash: Vec<u8>,
}

/// Which events to list; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Only of this stream.
    pub stream: Option<String>,
    /// Only about this release.
    pub release: Option<u32>,
    /// Only of this kind.
    pub kind: Option<String>,
}

/// The hash of an event: every field with its length before it, so that no two events read the same.
pub(super) fn hash(previous: &[u8], event: &StoredEvent) -> Vec<u8> {
    let mut hasher = Sha256::new();
    hasher.update(previous);
    let release = event.release.map(|no| no.to_string()).unwrap_or_default();
    let (version, at) = (event.version.to_string(), event.at.0.to_string());
    let fields =
        [&event.stream, &version, &event.kind, &release, &event.data, &event.actor, &event.cause, &at];
    for field in fields {
        let length = u64::try_from(field.len()).unwrap_or(u64::MAX);
        hasher.update(length.to_be_bytes());
        hasher.update(field.as_bytes());
    }
    hasher.finalize().to_vec()
}

/// Appends at the expected version, or finds that somebody else was first.
pub(super) async fn append(session: &mut Session, append: Append) -> Outcome<Vec<StoredEvent>> {
    let Append { stream, expect, events, at } = append;
    let stream = plain(&stream);
    let (found, mut head) = match session.first(sql::STREAM_HEAD, args![&stream]).await? {
        Some(mut row) => (row.int()?, row.blob()?),
        None => (0, GENESIS.to_vec()),
    };
    let moved = || Race::Version { stream: stream.clone(), expected: expect }.trouble();
    if found != expect {
        return Err(moved());
    }
    let mut stored = Vec::with_capacity(events.len());
    let mut version = expect;
    for new in events {
        version += 1;
        let mut event = StoredEvent {
            seq: 0,
            stream: stream.clone(),
            version,
            kind: plain(&new.kind),
            release: new.release,
            data: plain(&new.data),
            actor: plain(&new.actor),
            cause: plain(&new.cause),
            at,
            hash: Vec::new(),
        };
        event.hash = hash(&head, &event);
        head.clone_from(&event.hash);
        stored.push(event);
    }
    // The guard: of two steps that read the same version, the row lets one through.
    let won = if expect == 0 {
        session.run(sql::STREAM_OPEN, args![&stream, version, head.as_slice()]).await?
    } else {
        session.run(sql::STREAM_MOVE, args![&stream, expect, version, head.as_slice()]).await?
    };
    if won != 1 {
        return Err(moved());
    }
    for event in &mut stored {
        event.seq = put(session, event).await?;
    }
    Ok(stored)
}

async fn put(session: &mut Session, event: &StoredEvent) -> Outcome<i64> {
    let values = args![
        &event.stream,
        event.version,
        &event.kind,
        event.release,
        &event.data,
        &event.actor,
        &event.cause,
        event.at,
        event.hash.as_slice(),
    ];
    let row = session.first(sql::EVENT_PUT, values).await?;
    row.ok_or_else(|| Trouble::bug("an event got no number"))?.int()
}

fn read_event(mut row: Record) -> Outcome<StoredEvent> {
    let stream = row.text()?;
    let seq = row.int()?;
    finish_event(row, stream, seq)
}

fn finish_event(mut row: Record, stream: String, seq: i64) -> Outcome<StoredEvent> {
    Ok(StoredEvent {
        seq,
        stream,
        version: row.int()?,
        kind: row.text()?,
        release: row.small_or_none()?,
        data: row.text()?,
        actor: row.text()?,
        cause: row.text()?,
        at: row.time()?,
        hash: row.blob()?,
    })
}

/// A stream's name, version and head.
pub(super) fn read_head(mut row: Record) -> Outcome<StreamHead> {
    Ok(StreamHead { stream: row.text()?, version: row.int()?, hash: row.blob()? })
}

/// Reads a stream on a session, so that an audit may stay on one connection.
pub(super) async fn read(session: &mut Session, stream: &str, after: i64, limit: u32) -> Outcome<Read> {
    let rows = session.all(sql::STREAM_READ, args![stream, after, limit]).await?;
    let mut read = Read { events: Vec::with_capacity(rows.len()), version: 0, head_hash: GENESIS.to_vec() };
    for mut row in rows {
        read.version = row.int()?;
        read.head_hash = row.blob()?;
        // A stream without events in the range is one row with nothing joined.
        if let Some(seq) = row.int_or_none()? {
            read.events.push(finish_event(row, stream.to_owned(), seq)?);
        }
    }
    Ok(read)
}

/// Streams after `after` in the order of their names, at most `limit`.
pub(super) async fn heads(session: &mut Session, after: &str, limit: u32) -> Outcome<Vec<StreamHead>> {
    session.all(sql::STREAM_LIST, args![after, limit]).await?.into_iter().map(read_head).collect()
}

impl Store {
    /// A stream after a version: its events, its version and its head, read in one statement.
    pub async fn read(&self, stream: &str, after_version: i64, limit: u32) -> Outcome<Read> {
        let work = async { read(&mut self.session().await?, stream, after_version, limit).await };
        super::within(self.0.answer_within, work).await
    }

    /// Events in the order of the log, for pages and exports. With several writers a lower number may still be
    /// committed after a higher one was read, so this is no feed to follow.
    pub async fn events(
        &self,
        filter: &EventFilter,
        after_seq: i64,
        limit: u32,
    ) -> Outcome<Vec<StoredEvent>> {
        let mut values = args![after_seq, filter.release, filter.kind.as_deref(), limit];
        match filter.stream.as_deref() {
            None => self.list(sql::EVENTS_ALL, values, read_event).await,
            Some(stream) => {
                values.extend(args![stream]);
                self.list(sql::EVENTS_OF, values, read_event).await
            }
        }
    }

    /// Streams after `after` in the order of their names, with where they end.
    pub async fn streams(&self, after: &str, limit: u32) -> Outcome<Vec<StreamHead>> {
        self.list(sql::STREAM_LIST, args![after, limit], read_head).await
    }
}
