//! What the store says about itself: alive, whole, and how much is waiting.

use crate::domain::time::Span;
use crate::store::session::args;
use crate::store::{Engine, Store, sql, sqlite};
use crate::trouble::Outcome;

/// Counts for metrics and the status page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Effects that are not finished (ready, leased, dead) by lane and state; what is done is not counted each time.
    pub effects: Vec<(String, String, i64)>,
    /// How long the longest-waiting effect that is due has waited.
    pub oldest_ready: Option<Span>,
    /// The last number in the event log.
    pub event_seq: i64,
    /// Deliveries that are not understood (new, poison) by state.
    pub deliveries: Vec<(String, i64)>,
}

impl Store {
    /// Asks the database for a sign of life.
    pub async fn ping(&self) -> Outcome<()> {
        self.find(sql::PING, Vec::new(), |mut row| row.int()).await?;
        Ok(())
    }

    /// Counts for metrics; each from its own statement, so they may be a moment apart.
    pub async fn stats(&self) -> Outcome<Stats> {
        let now = self.now().await?;
        let effects = self
            .list(sql::EFFECT_COUNTS, Vec::new(), |mut row| Ok((row.text()?, row.text()?, row.int()?)))
            .await?;
        let oldest = self.find(sql::EFFECT_OLDEST, args![now], |mut row| row.time_or_none()).await?.flatten();
        let event_seq = self.find(sql::EVENTS_HEAD, Vec::new(), |mut row| row.int_or_none()).await?.flatten();
        let deliveries =
            self.list(sql::DELIVERY_COUNTS, Vec::new(), |mut row| Ok((row.text()?, row.int()?))).await?;
        Ok(Stats {
            effects,
            oldest_ready: oldest.map(|since| now.since(since)),
            event_seq: event_seq.unwrap_or(0),
            deliveries,
        })
    }

    /// Reads the whole file for damage (`SQLite`; nightly). `PostgreSQL` checks its pages itself.
    pub async fn check(&self) -> Outcome<()> {
        match &self.0.engine {
            Engine::Postgres(_) => Ok(()),
            Engine::Sqlite(_) => {
                // No bound on the wait: a large file takes as long as the disk needs.
                let row = self.session().await?.first("PRAGMA quick_check(1)", Vec::new()).await?;
                let answer = row.map(|mut row| row.text()).transpose()?.unwrap_or_default();
                if answer == "ok" { Ok(()) } else { Err(sqlite::damaged(&answer)) }
            }
        }
    }
}
