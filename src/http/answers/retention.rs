//! What is kept and why, as the API shows it.

use crate::http::answers::Answers;
use crate::http::retention::{Deleted, RetentionLine};
use crate::http::session::Caller;
use crate::service::retention::Judged;
use crate::trouble::Outcome;

impl Answers {
    pub(super) async fn retention_lines(&self) -> Outcome<Vec<RetentionLine>> {
        let judged = self.service.judge_retention().await?;
        let line = |judged: Judged| RetentionLine {
            pipeline: judged.pipeline.to_string(),
            no: judged.release.0.get(),
            version: judged.version,
            bytes: judged.bytes,
            kept: judged.kept.map(|kept| kept.to_string()),
        };
        Ok(judged.into_iter().map(line).collect())
    }

    pub(super) async fn delete_due(&self, caller: &Caller) -> Outcome<Deleted> {
        let swept = self.service.apply_retention(&caller.name).await?;
        Ok(Deleted { releases: swept.releases, blobs: swept.blobs, bytes: swept.bytes })
    }
}
