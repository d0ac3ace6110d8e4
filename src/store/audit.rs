//! Proof that nobody edited the past: every chain is walked again, and checkpoints hold what the heads once were.

use sha2::{Digest as _, Sha256};

use crate::domain::time::Timestamp;
use crate::store::session::{Record, Session, args};
use crate::store::stream::{self, GENESIS, StreamHead};
use crate::store::{Change, Store, sql, within};
use crate::trouble::Outcome;

/// Events, streams or checkpoints read at a time.
const PAGE: u32 = 500;
/// Heads in one checkpoint; what moved beyond it goes into the next.
const HEADS: u32 = 10_000;

/// Where the record does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The stream, or `checkpoint` and its number.
    pub stream: String,
    /// The version at which it breaks.
    pub version: i64,
    /// What is wrong.
    pub why: String,
}

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Streams walked.
    pub streams: u64,
    /// Events hashed.
    pub events: u64,
    /// Checkpoints compared.
    pub checkpoints: u64,
    /// The first thing that is wrong.
    pub broken: Option<Broken>,
}

/// The heads of the streams at one moment, sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its number, from 1.
    pub no: i64,
    /// Merkle root over the heads that moved since the one before.
    pub root: Vec<u8>,
    /// Hash over the chain of the one before, the number and this root: whoever keeps it elsewhere can prove the rest.
    pub chain: Vec<u8>,
    /// When.
    pub at: Timestamp,
}

/// The root of a binary tree of hashes; leaves and nodes are told apart, an odd one goes up as it is (RFC 6962).
fn merkle(heads: &[StreamHead]) -> Vec<u8> {
    let mut level: Vec<Vec<u8>> = heads.iter().map(leaf).collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => {
                    let mut hasher = Sha256::new();
                    hasher.update([1]);
                    hasher.update(left);
                    hasher.update(right);
                    hasher.finalize().to_vec()
                }
                rest => rest.concat(),
            })
            .collect();
    }
    level.pop().unwrap_or_else(|| GENESIS.to_vec())
}

fn leaf(head: &StreamHead) -> Vec<u8> {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(u64::try_from(head.stream.len()).unwrap_or(u64::MAX).to_be_bytes());
    hasher.update(&head.stream);
    hasher.update(head.version.to_be_bytes());
    hasher.update(&head.hash);
    hasher.finalize().to_vec()
}

fn chained(previous: &[u8], no: i64, root: &[u8]) -> Vec<u8> {
    let mut hasher = Sha256::new();
    hasher.update(previous);
    hasher.update(no.to_be_bytes());
    hasher.update(root);
    hasher.finalize().to_vec()
}

struct WriteCheckpoint {
    at: Timestamp,
}

impl Change for WriteCheckpoint {
    type Answer = Option<Checkpoint>;
    const WAKES: bool = false;

    async fn apply(self, session: &mut Session) -> Outcome<Option<Checkpoint>> {
        let moved = session.all(sql::CHECKPOINT_MOVED, args![HEADS]).await?;
        let heads = moved.into_iter().map(stream::read_head).collect::<Outcome<Vec<_>>>()?;
        if heads.is_empty() {
            return Ok(None);
        }
        let (last, previous) = match session.first(sql::CHECKPOINT_LAST, Vec::new()).await? {
            Some(mut row) => (row.int()?, row.blob()?),
            None => (0, GENESIS.to_vec()),
        };
        let no = last + 1;
        let root = merkle(&heads);
        let chain = chained(&previous, no, &root);
        session.run(sql::CHECKPOINT_PUT, args![no, root.as_slice(), chain.as_slice(), self.at]).await?;
        for head in &heads {
            let values = args![&head.stream, head.version, head.hash.as_slice(), no];
            session.run(sql::CHECKPOINT_HEAD_PUT, values).await?;
        }
        Ok(Some(Checkpoint { no, root, chain, at: self.at }))
    }
}

fn read_checkpoint(mut row: Record) -> Outcome<Checkpoint> {
    Ok(Checkpoint { no: row.int()?, root: row.blob()?, chain: row.blob()?, at: row.time()? })
}

fn broken(stream: &str, version: i64, why: &str) -> Broken {
    Broken { stream: stream.to_owned(), version, why: why.to_owned() }
}

/// Walks one stream up to the head it had; events appended meanwhile are the next audit's.
async fn walk(session: &mut Session, head: &StreamHead, events: &mut u64) -> Outcome<Option<Broken>> {
    let name = head.stream.as_str();
    let (mut version, mut seq, mut hash) = (0, 0, GENESIS.to_vec());
    while version < head.version {
        let page = stream::read(session, name, version, PAGE).await?;
        if page.events.is_empty() {
            return Ok(Some(broken(name, version + 1, "the events from here to the head are gone")));
        }
        for event in page.events.iter().take_while(|event| event.version <= head.version) {
            if event.version != version + 1 {
                return Ok(Some(broken(name, version + 1, "the event is gone")));
            }
            version = event.version;
            if event.hash != stream::hash(&hash, event) {
                return Ok(Some(broken(name, version, "the event does not match its hash: it was edited")));
            }
            if event.seq <= seq {
                return Ok(Some(broken(name, version, "the event's number in the log was edited")));
            }
            seq = event.seq;
            hash.clone_from(&event.hash);
            *events += 1;
        }
    }
    Ok((hash != head.hash)
        .then(|| broken(name, version, "the last event is not the one the stream ends with")))
}

/// Compares a checkpoint with the events it sealed.
async fn compare(session: &mut Session, point: &Checkpoint, previous: &[u8]) -> Outcome<Option<Broken>> {
    let name = format!("checkpoint {}", point.no);
    if point.chain != chained(previous, point.no, &point.root) {
        return Ok(Some(broken(&name, point.no, "it does not follow from the one before: it was edited")));
    }
    let mut heads = Vec::new();
    for mut row in session.all(sql::CHECKPOINT_HEADS, args![point.no]).await? {
        let head = StreamHead { stream: row.text()?, version: row.int()?, hash: row.blob()? };
        if row.blob_or_none()?.as_ref() != Some(&head.hash) {
            let why = format!("{name} sealed another event here: the stream was cut or rewritten");
            return Ok(Some(broken(&head.stream, head.version, &why)));
        }
        heads.push(head);
    }
    Ok((merkle(&heads) != point.root)
        .then(|| broken(&name, point.no, "its heads are not the ones it sealed")))
}

impl Store {
    /// Seals the heads that moved since the last checkpoint; `None` when none did. For the leader alone: of two at
    /// the same moment one gets a conflict.
    pub async fn write_checkpoint(&self, at: Timestamp) -> Outcome<Option<Checkpoint>> {
        self.change(WriteCheckpoint { at }).await
    }

    /// Checkpoints numbered after `after`, in order, to be kept elsewhere too.
    pub async fn checkpoints(&self, after: i64, limit: u32) -> Outcome<Vec<Checkpoint>> {
        self.list(sql::CHECKPOINT_LIST, args![after, limit], read_checkpoint).await
    }

    /// Walks every stream and every checkpoint; stops at the first thing that is wrong.
    pub async fn verify_chain(&self) -> Outcome<Verdict> {
        let mut session = within(self.0.answer_within, self.session()).await?;
        let mut verdict = Verdict { streams: 0, events: 0, checkpoints: 0, broken: None };
        verdict.broken = verify_streams(&mut session, &mut verdict).await?;
        if verdict.broken.is_none() {
            verdict.broken = verify_checkpoints(&mut session, &mut verdict).await?;
        }
        Ok(verdict)
    }
}

async fn verify_streams(session: &mut Session, verdict: &mut Verdict) -> Outcome<Option<Broken>> {
    let mut after = String::new();
    loop {
        let heads = stream::heads(session, &after, PAGE).await?;
        let Some(last) = heads.last() else { break };
        after.clone_from(&last.stream);
        for head in &heads {
            verdict.streams += 1;
            if let Some(found) = walk(session, head, &mut verdict.events).await? {
                return Ok(Some(found));
            }
        }
    }
    match session.first(sql::EVENTS_STRAY, Vec::new()).await? {
        None => Ok(None),
        Some(mut row) => {
            Ok(Some(broken(&row.text()?, row.int()?, "the event is beyond the end of its stream")))
        }
    }
}

async fn verify_checkpoints(session: &mut Session, verdict: &mut Verdict) -> Outcome<Option<Broken>> {
    let (mut no, mut chain) = (0, GENESIS.to_vec());
    loop {
        let rows = session.all(sql::CHECKPOINT_LIST, args![no, PAGE]).await?;
        let points = rows.into_iter().map(read_checkpoint).collect::<Outcome<Vec<_>>>()?;
        if points.is_empty() {
            return Ok(None);
        }
        for point in points {
            if point.no != no + 1 {
                return Ok(Some(broken(&format!("checkpoint {}", no + 1), no + 1, "it is gone")));
            }
            if let Some(found) = compare(session, &point, &chain).await? {
                return Ok(Some(found));
            }
            (no, chain) = (point.no, point.chain);
            verdict.checkpoints += 1;
        }
    }
}
