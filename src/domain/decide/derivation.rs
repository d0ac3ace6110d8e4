//! What a stage's steps made becomes part of the release.

use crate::domain::decide::Draft;
use crate::domain::derivation::summed;
use crate::domain::event::{Event, Failure, OfRun};
use crate::domain::name::{ReleaseNo, StageName};
use crate::domain::refusal::Refusal;

impl Draft {
    /// All commands of a run have passed: what they made is a further revision, unless another stage was quicker.
    pub(super) fn revise(&mut self, no: ReleaseNo, stage: &StageName) -> Result<Option<Failure>, Refusal> {
        let (release, run) = (self.release(no)?, self.run(no, stage)?);
        let said = summed(&run.walked.made);
        if said.is_empty() {
            return Ok(None);
        }
        if let Some(failure) = release.overtaken(&said) {
            return Ok(Some(failure));
        }
        let revised = OfRun { release: no, stage: stage.clone(), attempt: run.attempt, said };
        self.add(Event::Revised(revised))?;
        Ok(None)
    }
}
