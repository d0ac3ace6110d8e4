//! The inbox: a delivery is durable before it is acknowledged, and known by its id for ever.

use std::cell::RefCell;
use std::io;

use sha2::{Digest as _, Sha256};
use zstd::bulk::Compressor;

use crate::domain::time::Timestamp;
use crate::store::effect::{AGEING_MS, OwedEffect, owe};
use crate::store::session::{Record, Session, args};
use crate::store::{Change, Store, sql};
use crate::trouble::{Outcome, Trouble};

/// Compression of bodies: level 1 halves JSON at a gigabyte a second; more would cost more than the flush.
const LEVEL: i32 = 1;
/// Bodies from this size are hashed and compressed off the runtime's threads.
const LARGE: usize = 64 << 10;
/// Largest body that is unpacked: a delivery is 25 MiB at most (the limit of the doors), so this is never reached.
const UNPACKED: u64 = 64 << 20;

/// What was sent, as it came.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// Which door it came by, such as `github` or `api`.
    pub source: String,
    /// The sender's id of it; the same for every redelivery.
    pub guid: String,
    /// The sender's name of the kind of event.
    pub event: String,
    /// The repository it is about, if its headers say so.
    pub repo: Option<String>,
    /// The headers kept as evidence, as JSON; never signatures or tokens.
    pub headers: String,
    /// The raw body.
    pub body: Vec<u8>,
    /// When it came.
    pub received_at: Timestamp,
}

/// What became of a delivery at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is durable under this number.
    Stored(i64),
    /// It was here before, under this number.
    Duplicate(i64),
    /// The same id came with another body: somebody is lying.
    Clash,
}

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// Not understood yet.
    New,
    /// Understood and decided.
    Done,
    /// Valid, but nothing to us.
    Ignored,
    /// It cannot be understood; a person may look and replay it.
    Poison,
}

impl DeliveryState {
    /// The word in the database and on pages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Done => "done",
            Self::Ignored => "ignored",
            Self::Poison => "poison",
        }
    }

    fn read(word: &str) -> Outcome<Self> {
        let all = [Self::New, Self::Done, Self::Ignored, Self::Poison];
        all.into_iter()
            .find(|state| state.word() == word)
            .ok_or_else(|| Trouble::bug(format!("a delivery is in the unknown state `{word}`")))
    }
}

/// A delivery as it is kept.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its number here.
    pub seq: i64,
    /// Which door it came by.
    pub source: String,
    /// The sender's id.
    pub guid: String,
    /// The sender's name of the kind of event.
    pub event: String,
    /// The repository it is about, if known at the door.
    pub repo: Option<String>,
    /// The kept headers, JSON.
    pub headers: String,
    /// When it came.
    pub received_at: Timestamp,
    /// Bytes of the raw body.
    pub size: i64,
    /// How often it came.
    pub seen: i64,
    /// How far it has come.
    pub state: DeliveryState,
    /// Why it was ignored or is poison.
    pub error: Option<String>,
    /// The raw body; absent in lists and once its time of keeping is over.
    pub body: Option<Vec<u8>>,
}

/// The key of the effect that reads a delivery.
pub fn intake_key(source: &str, guid: &str) -> String {
    format!("intake:{source}:{guid}")
}

struct PutDelivery {
    new: NewDelivery,
    sha256: Vec<u8>,
    size: i64,
    packed: Vec<u8>,
}

thread_local! {
    /// Made once: making one costs as much as compressing a usual body.
    static PACKER: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

fn compressed(body: &[u8]) -> io::Result<Vec<u8>> {
    PACKER.with_borrow_mut(|packer| {
        let packer = match packer {
            Some(packer) => packer,
            None => packer.insert(Compressor::new(LEVEL)?),
        };
        packer.compress(body)
    })
}

fn pack(mut new: NewDelivery) -> Outcome<PutDelivery> {
    let body = std::mem::take(&mut new.body);
    let packed =
        compressed(&body).map_err(|e| Trouble::bug("a delivery could not be compressed").because(e))?;
    let size = i64::try_from(body.len()).map_err(|_| Trouble::bug("a delivery is too large"))?;
    Ok(PutDelivery { new, sha256: Sha256::digest(&body).to_vec(), size, packed })
}

impl Change for PutDelivery {
    type Answer = Put;
    const WAKES: bool = true;
    const MAY_BE_UNDONE: bool = false;
    const IS_NEWS: bool = true;

    async fn apply(self, session: &mut Session) -> Outcome<Put> {
        let Self { new, sha256, size, packed } = self;
        let put = args![
            &new.source,
            &new.guid,
            &new.event,
            new.repo.as_deref(),
            &new.headers,
            new.received_at,
            sha256.as_slice(),
            size,
            packed,
        ];
        if let Some(mut row) = session.first(sql::DELIVERY_PUT, put).await? {
            let seq = row.int()?;
            let now = session.now().await?;
            owe(session, &intake(&new, seq), now).await?;
            return Ok(Put::Stored(seq));
        }
        let known = session.first(sql::DELIVERY_KNOWN, args![&new.source, &new.guid]).await?;
        let mut row = known.ok_or_else(|| Trouble::transient("a delivery came twice at the same moment"))?;
        let seq = row.int()?;
        if row.blob()? != sha256 {
            return Ok(Put::Clash);
        }
        session.run(sql::DELIVERY_SEEN, args![seq]).await?;
        Ok(Put::Duplicate(seq))
    }
}

fn intake(new: &NewDelivery, seq: i64) -> OwedEffect {
    OwedEffect {
        key: intake_key(&new.source, &new.guid),
        kind: "intake".to_owned(),
        lane: "intake".to_owned(),
        stream: None,
        group: None,
        priority: 0,
        run_after: None,
        desired: format!("{{\"delivery\":{seq}}}"),
        cancel: false,
    }
}

struct Replay(i64);

impl Change for Replay {
    type Answer = ();
    const WAKES: bool = true;

    async fn apply(self, session: &mut Session) -> Outcome<()> {
        let found = session.first(sql::DELIVERY_GET, args![self.0]).await?;
        let kept = read(found.ok_or_else(|| no_delivery(self.0))?)?;
        if kept.body.is_none() {
            return Err(Trouble::refused(format!(
                "delivery {} is too old: its body is no longer kept",
                self.0
            )));
        }
        session.run(sql::DELIVERY_STATE, args![self.0, DeliveryState::New.word(), None::<&str>]).await?;
        let now = session.now().await?;
        let key = intake_key(&kept.source, &kept.guid);
        if session.run(sql::EFFECT_AGAIN, args![&key, now, AGEING_MS]).await? == 0 {
            let new = NewDelivery {
                source: kept.source,
                guid: kept.guid,
                event: kept.event,
                repo: kept.repo,
                headers: kept.headers,
                body: Vec::new(),
                received_at: kept.received_at,
            };
            owe(session, &intake(&new, self.0), now).await?;
        }
        Ok(())
    }
}

struct Forget {
    before: Timestamp,
    limit: u32,
}

impl Change for Forget {
    type Answer = u64;
    const WAKES: bool = false;

    async fn apply(self, session: &mut Session) -> Outcome<u64> {
        let bodies = session.run(sql::DELIVERY_FORGET, args![self.before, self.limit]).await?;
        let effects = session.run(sql::EFFECT_FORGET, args![self.before, self.limit]).await?;
        Ok(bodies.saturating_add(effects))
    }
}

fn no_delivery(seq: i64) -> Trouble {
    Trouble::not_found(format!("there is no delivery {seq}"))
}

fn read(mut row: Record) -> Outcome<Delivery> {
    Ok(Delivery {
        seq: row.int()?,
        source: row.text()?,
        guid: row.text()?,
        event: row.text()?,
        repo: row.text_or_none()?,
        headers: row.text()?,
        received_at: row.time()?,
        size: row.int()?,
        seen: row.int()?,
        state: DeliveryState::read(&row.text()?)?,
        error: row.text_or_none()?,
        body: row.blob_or_none()?,
    })
}

fn unpack(packed: &[u8]) -> Outcome<Vec<u8>> {
    use std::io::Read as _;
    let wrong = |e: io::Error| Trouble::bug("the stored body of a delivery cannot be unpacked").because(e);
    let mut body = Vec::new();
    zstd::Decoder::new(packed).map_err(wrong)?.take(UNPACKED).read_to_end(&mut body).map_err(wrong)?;
    Ok(body)
}

/// Work on bytes that may take milliseconds moves off the runtime's threads.
async fn aside<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> Outcome<T> + Send + 'static,
) -> Outcome<T> {
    if size < LARGE {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(e) => Err(Trouble::bug("work on a large delivery was cut off").because(e)),
    }
}

impl Store {
    /// T1: stores a delivery and owes the effect that reads it, in one transaction; durable when this answers.
    pub async fn put_delivery(&self, new: NewDelivery) -> Outcome<Put> {
        let change = aside(new.body.len(), move || pack(new)).await?;
        self.change(change).await
    }

    /// One delivery with its body.
    pub async fn delivery(&self, seq: i64) -> Outcome<Delivery> {
        let mut found =
            self.find(sql::DELIVERY_GET, args![seq], read).await?.ok_or_else(|| no_delivery(seq))?;
        if let Some(packed) = found.body.take() {
            found.body = Some(aside(packed.len(), move || unpack(&packed)).await?);
        }
        Ok(found)
    }

    /// The newest deliveries with a number below `before`, without their bodies.
    pub async fn deliveries(&self, limit: u32, before: Option<i64>) -> Outcome<Vec<Delivery>> {
        self.list(sql::DELIVERY_LIST, args![before.unwrap_or(i64::MAX), limit], read).await
    }

    /// Makes a delivery new again and its intake ready again.
    pub async fn replay(&self, seq: i64) -> Outcome<()> {
        self.change(Replay(seq)).await
    }

    /// Which of these ids have been stored: what a redelivery sweep need not ask for.
    pub async fn known_guids(&self, source: &str, guids: &[String]) -> Outcome<Vec<String>> {
        let mut known = Vec::new();
        for guid in guids {
            let found = self.find(sql::DELIVERY_KNOWN, args![source, guid], |mut row| row.int()).await?;
            if found.is_some() {
                known.push(guid.clone());
            }
        }
        Ok(known)
    }

    /// Drops at most `limit` bodies, and intake effects, of finished deliveries received before then; the rows stay.
    pub async fn forget_deliveries(&self, before: Timestamp, limit: u32) -> Outcome<u64> {
        self.change(Forget { before, limit }).await
    }
}
