//! Locks of environments: which pipeline has one, from the moment a stage begins there until it leaves.
//!
//! Leases keep two pieces of work apart while they run; these rows keep pipelines apart while a stage asks, is checked
//! or waits for people and no work runs (SEMANTICS §8). What a lock keeps from beginning is never claimed.

use std::collections::BTreeMap;

use crate::domain::time::Timestamp;
use crate::store::session::{Record, Session, args};
use crate::store::{Store, sql};
use crate::trouble::{Outcome, Trouble};

/// The locks that a pipeline has after a step.
#[derive(Debug, Clone)]
pub struct Locks {
    /// Its stream.
    pub stream: String,
    /// Who has each, in words, by the name of the lock: the group of the effects that need it.
    pub held: BTreeMap<String, String>,
}

/// A lock that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLock {
    /// The stream of the pipeline that has it.
    pub stream: String,
    /// Who, in words.
    pub holder: String,
    /// Since when.
    pub since: Timestamp,
}

impl Locks {
    /// Makes the rows of the stream these; another pipeline that has one of them makes it all fail.
    pub(super) async fn put(&self, session: &mut Session, now: Timestamp) -> Outcome<()> {
        let rows = session.all(sql::LOCK_OF, args![&self.stream]).await?;
        let mut before = BTreeMap::new();
        for mut row in rows {
            before.insert(row.text()?, row.text()?);
        }
        for name in before.keys().filter(|name| !self.held.contains_key(*name)) {
            session.run(sql::LOCK_DROP, args![name, &self.stream]).await?;
        }
        for (name, holder) in self.held.iter().filter(|(name, holder)| before.get(*name) != Some(*holder)) {
            if session.run(sql::LOCK_PUT, args![name, &self.stream, holder, now]).await? != 1 {
                return Err(Trouble::transient(format!("another pipeline has `{name}`")));
            }
        }
        Ok(())
    }
}

impl Store {
    /// Who has a lock.
    pub async fn lock(&self, name: &str) -> Outcome<Option<HeldLock>> {
        let read =
            |mut row: Record| Ok(HeldLock { stream: row.text()?, holder: row.text()?, since: row.time()? });
        self.find(sql::LOCK_GET, args![name], read).await
    }
}
