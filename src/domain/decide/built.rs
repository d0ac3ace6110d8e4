//! A release that takes over what another build left, and what the builds of pull requests leave for one.

use crate::domain::decide::Draft;
use crate::domain::decide::join::with_inherited;
use crate::domain::event::{BuildOutcome, Event};
use crate::domain::name::{CommitSha, Digest, ReleaseNo};
use crate::domain::refusal::Refusal;
use crate::domain::reuse::{TakenOver, due, left_for};
use crate::domain::source::Found;
use crate::domain::state::CheckProgress;

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
        let all = left_for(&self.state, &release, reused.executor.as_ref());
        let left = all.into_iter().find(|left| left.reused == *reused);
        let left = left.ok_or(Refusal::Stale)?;
        let outcome = with_inherited(&release, &BuildOutcome::Sealed(left.artifacts));
        let executor = left.reused.executor.clone();
        let (reused, locks) = (Some(Box::new(left.reused)), left.locks);
        self.add(Event::BuildFinished { release: no, attempt, outcome, reused, locks, executor })?;
        self.open_stages(no)
    }

    /// Ends the quality build of a pull request's head; what it left is kept only if that was decided before it began.
    pub(super) fn finish_check(
        &mut self,
        (commit, attempt, fence): (&CommitSha, u32, u64),
        (outcome, sources): (&BuildOutcome, &[Found]),
        (locks, executor): (Option<&Digest>, Option<&Digest>),
    ) -> Result<(), Refusal> {
        let check = self.state.checks.get(commit);
        let running = CheckProgress::Running(fence);
        let check = check.filter(|check| check.attempt == attempt && check.progress == running);
        let kept = check.ok_or(Refusal::Stale)?.tree.is_some();
        let outcome = match outcome {
            BuildOutcome::Sealed(_) if !kept => BuildOutcome::Passed,
            BuildOutcome::Sealed(_)
            | BuildOutcome::Passed
            | BuildOutcome::Failed(_)
            | BuildOutcome::Errored(_)
            | BuildOutcome::Cancelled(_) => outcome.clone(),
        };
        let of_kept = |digest: Option<&Digest>| digest.filter(|_| kept).cloned();
        let (sources, locks, executor) = (sources.to_vec(), of_kept(locks), of_kept(executor));
        self.add(Event::CheckFinished { commit: commit.clone(), attempt, outcome, sources, locks, executor })
    }

    /// What a pull request's build left goes when it is due; releases that took it keep it.
    pub(super) fn retire_check(&mut self, commit: &CommitSha) -> Result<(), Refusal> {
        if !due(&self.state, self.now).contains(commit) {
            return Err(Refusal::Stale);
        }
        self.add(Event::CheckRetired { commit: commit.clone() })
    }
}
