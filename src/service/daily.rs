//! What is done once a day, by the process that has the duty to reconcile.

use crate::domain::time::{Span, Timestamp};
use crate::service::Service;
use crate::trouble::Outcome;

/// The note of the day that it was done last.
const CURSOR: &str = "retention";
/// The note of what the hashes of the log were like.
const CHAIN: &str = "audit chain";
const HOLDS: &str = "holds";
/// How long the body of a delivery that is done can be looked at and replayed: the host itself keeps it for three days.
const BODIES_KEPT: Span = Span::days(30);
/// Bodies forgotten in one transaction: others write in between.
const FORGOTTEN_AT_ONCE: u32 = 500;

impl Service {
    /// Deletes what need not be kept and looks for damage, unless that was done today.
    pub(super) async fn daily(&self) -> Outcome<()> {
        let now = self.store().here();
        let today = now.rfc3339().chars().take(10).collect::<String>();
        if self.store().cursor(CURSOR).await?.as_deref() == Some(&today) {
            return Ok(());
        }
        // Each for itself: a bucket that deletes nothing must not hide a file that is damaged.
        let (swept, forgot) = (self.sweep_releases().await, self.forget_bodies(now).await);
        if let Err(trouble) = self.store().check().await {
            // Every day that it is so: who reads this once a week must see it.
            tracing::error!(error = trouble.chain(), "the database is not whole");
        }
        let looked = self.look_through_log().await;
        swept.and(forgot).and(looked)?;
        self.store().set_cursor(CURSOR, &today).await
    }

    /// Reads the log from its beginning to its end, and notes for all processes whether its hashes hold.
    async fn look_through_log(&self) -> Outcome<()> {
        let broken = self.store().verify_chain().await?.broken;
        if let Some(broken) = &broken {
            tracing::error!(
                stream = broken.stream,
                version = broken.version,
                broken.why,
                "the log was changed"
            );
        }
        self.store().set_cursor(CHAIN, if broken.is_none() { HOLDS } else { "broken" }).await
    }

    /// Whether the hashes of the log held when it was last looked through; nothing before that.
    pub async fn chain_holds(&self) -> Outcome<Option<bool>> {
        Ok(self.store().cursor(CHAIN).await?.map(|found| found == HOLDS))
    }

    async fn sweep_releases(&self) -> Outcome<()> {
        let swept = self.apply_retention("engine").await?;
        if !swept.releases.is_empty() {
            tracing::info!(
                releases = swept.releases.len(),
                bytes = swept.bytes,
                "deleted what need not be kept"
            );
        }
        Ok(())
    }

    async fn forget_bodies(&self, now: Timestamp) -> Outcome<()> {
        let before = Timestamp(now.0.saturating_sub_unsigned(BODIES_KEPT.as_millis()));
        while self.store().forget_deliveries(before, FORGOTTEN_AT_ONCE).await? > 0 {}
        Ok(())
    }
}
