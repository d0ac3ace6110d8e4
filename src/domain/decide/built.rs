//! A release that takes over what another build left.

use crate::domain::decide::Draft;
use crate::domain::decide::join::with_inherited;
use crate::domain::event::{BuildOutcome, Event};
use crate::domain::name::ReleaseNo;
use crate::domain::refusal::Refusal;
use crate::domain::reuse::{TakenOver, left_for};

impl Draft {
    /// Ends a build that was none. What it takes was hashed just now, and may have become unusable since: then it is
    /// built after all.
    pub(super) fn take_over(
        &mut self,
        no: ReleaseNo,
        attempt: u32,
        fence: u64,
        reused: &TakenOver,
    ) -> Result<(), Refusal> {
        let release = self.building(no, attempt, fence)?;
        let left = left_for(&self.state, &release).into_iter().find(|left| left.reused == *reused);
        let left = left.ok_or(Refusal::Stale)?;
        let outcome = with_inherited(&release, &BuildOutcome::Sealed(left.artifacts));
        let reused = Some(Box::new(left.reused));
        self.add(Event::BuildFinished { release: no, attempt, outcome, reused })?;
        self.open_stages(no)
    }
}
