//! A stage made artifacts: the release gets a further revision.

use crate::domain::derivation::{Made, Revision, with};
use crate::domain::event::OfRun;
use crate::domain::state::fold::release_digest;
use crate::domain::state::{Illegal, State};
use crate::domain::time::Timestamp;

impl State {
    pub(super) fn revise(&mut self, fact: &OfRun<Vec<Made>>, at: Timestamp) -> Result<(), Illegal> {
        self.with(fact.release, |release| {
            if let Some(failure) = release.overtaken(&fact.said) {
                return Err(format!("\"{}\" {}", failure.step, failure.how));
            }
            let no = release.revision().saturating_add(1);
            release.run_mut(&fact.stage, fact.attempt)?.revision = no;
            let after = with(&release.artifacts, &fact.said);
            let digest = release_digest(&release.created, &release.sources, &after);
            release.revisions.push(Revision {
                no,
                stage: fact.stage.clone(),
                attempt: fact.attempt,
                at,
                made: fact.said.clone(),
                before: std::mem::replace(&mut release.artifacts, after),
                digest_before: release.digest.replace(digest),
            });
            Ok(())
        })
    }
}
