//! Reads a request's body: bounded in size, in time, and in what all bodies together may hold.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::time::Span;
use crate::http::error::{Fault, Why};

/// First room for a body; most webhooks are smaller than this.
const FIRST: usize = 16 << 10;

/// Bodies up to this size have a part of the budget to themselves, so that a few large ones, which anybody may begin to
/// send, do not shut out what hosts send all the time.
const SMALL: usize = 1 << 20;
/// That part, as a fraction of the whole: one of so many.
const RESERVED: usize = 8;

/// Bytes that all bodies in flight may hold together.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    all: Arc<Semaphore>,
    /// What of it larger bodies may hold.
    large: Arc<Semaphore>,
}

impl Budget {
    /// A budget of this many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let bytes = bytes.min(Semaphore::MAX_PERMITS);
        let large = bytes.saturating_sub(bytes.checked_div(RESERVED).unwrap_or(0));
        Self { all: Arc::new(Semaphore::new(bytes)), large: Arc::new(Semaphore::new(large)) }
    }
}

fn take(budget: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, Fault> {
    let full = || Fault::busy("the bodies in flight hold as many bytes as they may");
    let bytes = u32::try_from(bytes).map_err(|_| full())?;
    Arc::clone(budget).try_acquire_many_owned(bytes).map_err(|_| full())
}

/// A body and its share of the budget, which it gives back when it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    /// The raw bytes.
    pub(super) bytes: Vec<u8>,
    share: OwnedSemaphorePermit,
    /// The same of what large bodies share.
    large: OwnedSemaphorePermit,
}

impl Held {
    /// Makes room for `more` bytes; what is paid for is the memory taken, not the bytes that came.
    fn reserve(&mut self, more: usize, limit: usize, budget: &Budget) -> Result<(), Fault> {
        let needed = self.bytes.len().saturating_add(more);
        if needed <= self.bytes.capacity() {
            return Ok(());
        }
        let wanted = needed.max(self.bytes.capacity().saturating_mul(2)).max(FIRST).min(limit.max(needed));
        // A small body is not paid for as a large one because its room was doubled.
        let wanted = if needed <= SMALL { wanted.min(SMALL) } else { wanted };
        let further = wanted.saturating_sub(self.bytes.capacity());
        if wanted > SMALL {
            let paid = self.large.num_permits();
            self.large.merge(take(&budget.large, wanted.saturating_sub(paid))?);
        }
        self.share.merge(take(&budget.all, further)?);
        self.bytes.reserve_exact(wanted.saturating_sub(self.bytes.len()));
        Ok(())
    }
}

/// How much of a body is taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Bytes at most.
    pub(super) bytes: usize,
    /// All of it within this time.
    pub(super) within: Span,
}

/// Reads a whole body. A length that is too large is refused before the first byte, and a claimed length reserves
/// nothing: only bytes that came count against the budget (STORAGE §5, row 21).
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    bounds: Bounds,
    budget: &Budget,
) -> Result<Held, Fault> {
    let claimed = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let limit = u64::try_from(bounds.bytes).unwrap_or(u64::MAX);
    if claimed.is_some_and(|length| length > limit) {
        return Err(Fault::new(Why::TooLarge));
    }
    match tokio::time::timeout(bounds.within.as_std(), collect(body, bounds.bytes, budget)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Fault::new(Why::Slow)),
    }
}

async fn collect(mut body: Body, limit: usize, budget: &Budget) -> Result<Held, Fault> {
    let mut held = Held { bytes: Vec::new(), share: take(&budget.all, 0)?, large: take(&budget.large, 0)? };
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(Fault::new(Why::Malformed)) };
        // Trailers are not part of what was signed.
        let Ok(chunk) = frame.into_data() else { continue };
        if held.bytes.len().saturating_add(chunk.len()) > limit {
            return Err(Fault::new(Why::TooLarge));
        }
        held.reserve(chunk.len(), limit, budget)?;
        held.bytes.extend_from_slice(&chunk);
    }
    Ok(held)
}
