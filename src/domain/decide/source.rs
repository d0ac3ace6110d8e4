//! The commits of other repositories that a release takes: found once, before it is built, and never again.

use crate::domain::decide::Draft;
use crate::domain::event::{BuildOutcome, Event};
use crate::domain::name::ReleaseNo;
use crate::domain::refusal::Refusal;
use crate::domain::release::BuildState;
use crate::domain::source::{Found, Named};

impl Draft {
    /// Takes what was found; what was not found ends the build, and another try looks again.
    pub(super) fn find_sources(
        &mut self,
        no: ReleaseNo,
        attempt: u32,
        found: &Result<Vec<Found>, BuildOutcome>,
    ) -> Result<(), Refusal> {
        let release = self.release(no)?;
        if release.build != BuildState::Waiting
            || release.build_attempt != attempt
            || !release.lacks_sources()
        {
            return Err(Refusal::Stale);
        }
        match found {
            Ok(found) => {
                let asked: Vec<&Named> = release.created.pipeline.sources.iter().collect();
                if found.iter().map(|found| &found.source).collect::<Vec<_>>() != asked {
                    return Err(Refusal::Stale);
                }
                self.add(Event::SourcesFound { release: no, found: found.clone() })
            }
            Err(outcome) => self.end_build(&release, outcome, (None, None)),
        }
    }
}
