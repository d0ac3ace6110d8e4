//! The step (T4, T6, T9): one decision made durable, all of it or nothing.

use std::error::Error;
use std::fmt;

use crate::store::delivery::DeliveryState;
use crate::store::effect::{AGEING_MS, OwedEffect, owe};
use crate::store::lock::Locks;
use crate::store::model::{Row, put_row};
use crate::store::session::{Session, args};
use crate::store::stream::{Append, StoredEvent, append};
use crate::store::{Change, Store, sql};
use crate::trouble::{Outcome, Trouble};

/// The effect this step completes; its lease must still be held.
#[derive(Debug, Clone)]
pub struct Done {
    /// Its key.
    pub key: String,
    /// The fencing number of the lease it was worked on under.
    pub token: i64,
    /// What came of it, for pages.
    pub result: String,
}

/// What one decision changes.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// The effect that is complete with it.
    pub done: Option<Done>,
    /// The delivery that is understood with it, and why it was ignored or is poison.
    pub delivery: Option<(i64, DeliveryState, Option<String>)>,
    /// New facts.
    pub appends: Vec<Append>,
    /// What is owed now, or no longer.
    pub effects: Vec<OwedEffect>,
    /// Read models as they are now.
    pub rows: Vec<Row>,
    /// The locks that the pipeline has now, when that may have changed.
    pub locks: Option<Locks>,
}

/// A step that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The new facts with their numbers, stream by stream.
    pub events: Vec<StoredEvent>,
}

/// Who was first; the cause of every [`Conflict`](crate::trouble::Kind::Conflict) of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Race {
    /// The stream moved on: read again, decide again.
    Version {
        /// The stream.
        stream: String,
        /// The version the decision was made on.
        expected: i64,
    },
    /// The lease is another's or over: stop the work and report nothing.
    Lease {
        /// The effect.
        key: String,
        /// The number that no longer counts.
        token: i64,
    },
}

impl Race {
    /// The race a step was lost to, if that is why it failed.
    pub fn of(trouble: &Trouble) -> Option<&Self> {
        trouble.source()?.downcast_ref()
    }

    pub(super) fn trouble(self) -> Trouble {
        let what = match &self {
            Self::Version { .. } => "somebody else decided first",
            Self::Lease { .. } => "the lease is lost",
        };
        Trouble::conflict(what).because(self)
    }
}

impl fmt::Display for Race {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { stream, expected } => write!(f, "stream `{stream}` is past version {expected}"),
            Self::Lease { key, token } => {
                write!(f, "effect `{key}` is no longer leased under number {token}")
            }
        }
    }
}

impl Error for Race {}

impl Change for Step {
    type Answer = Committed;
    const WAKES: bool = true;

    async fn apply(self, session: &mut Session) -> Outcome<Committed> {
        let now = session.now().await?;
        // The stream is the first lock of every step and the effects come after it: two steps of one pipeline wait for
        // each other at the stream, and never in a ring around an effect that one completes and the other owes.
        // Streams are always taken in the same order, so that two steps over the same streams wait for each other and never in a ring.
        let mut appends = self.appends;
        appends.sort_by(|a, b| a.stream.cmp(&b.stream));
        let mut events = Vec::new();
        for one in appends {
            events.extend(append(session, one).await?);
        }
        if let Some((seq, state, error)) = self.delivery
            && session.run(sql::DELIVERY_STATE, args![seq, state.word(), error.as_deref()]).await? != 1
        {
            return Err(Trouble::not_found(format!("there is no delivery {seq}")));
        }
        if let Some(done) = self.done {
            let values = args![&done.key, done.token, &done.result, now, AGEING_MS];
            if session.run(sql::EFFECT_DONE, values).await? != 1 {
                return Err(Race::Lease { key: done.key, token: done.token }.trouble());
            }
        }
        if let Some(locks) = &self.locks {
            locks.put(session, now).await?;
        }
        for effect in &self.effects {
            owe(session, effect, now).await?;
        }
        for row in &self.rows {
            put_row(session, row).await?;
        }
        Ok(Committed { events })
    }
}

impl Store {
    /// T4: one decision in one transaction. A conflict says by [`Race::of`] what was lost; nothing of it is kept.
    ///
    /// When the answer is lost the step may be repeated: the lease and the versions make the second a conflict.
    pub async fn commit(&self, step: Step) -> Outcome<Committed> {
        self.change(step).await
    }
}
