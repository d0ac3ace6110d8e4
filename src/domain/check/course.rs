//! The course of a run's legs: which may be asked now, and what they come to together.

use crate::domain::check::leg::{Leg, LegState};
use crate::domain::check::{Check, Component, Each, LegId, Side};
use crate::domain::event::Overridable;
use crate::domain::name::RepoId;
use crate::domain::pipeline::Stage;
use crate::domain::release::{Release, StageRun};
use crate::domain::source::Found;
use crate::domain::time::Timestamp;

/// One run and the legs its stage asks for.
#[derive(Debug, Clone, Copy)]
pub struct Course<'a> {
    /// The repository of the pipeline.
    pub repo: &'a RepoId,
    /// The release.
    pub release: &'a Release,
    /// The stage as the release must see it.
    pub stage: &'a Stage,
    /// The run.
    pub run: &'a StageRun,
}

/// A leg that should be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due<'a> {
    /// Which.
    pub leg: LegId,
    /// Its check.
    pub check: &'a Check,
    /// How many answers it has so far.
    pub samples: u32,
    /// Not before.
    pub not_before: Timestamp,
}

/// How the legs stand together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Some are still asked.
    Busy,
    /// A blocking one is bad.
    Red(LegId),
    /// A blocking one could not be asked.
    Unasked(LegId),
    /// Nobody can tell about a blocking one.
    Unsure(LegId),
    /// Nothing stands in the way.
    Done,
}

/// What is shown of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shown {
    /// Others come first.
    Waiting,
    /// It is asked.
    Running,
    /// It is good.
    Passed,
    /// It is bad.
    Failed,
    /// Nobody can tell.
    Inconclusive,
    /// It could not be asked.
    Error,
    /// Somebody passed over it.
    Overridden,
    /// It was never asked, or its time was up and it went on.
    Skipped,
}

impl Shown {
    /// The word people read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Inconclusive => "inconclusive",
            Self::Error => "error",
            Self::Overridden => "overridden",
            Self::Skipped => "skipped",
        }
    }
}

/// The legs of a check in a release: one, or one for its own repository and each that it took the tree of.
pub fn legs_of<'a>(check: &'a Check, repo: &RepoId, release: &Release) -> Vec<(LegId, &'a Check)> {
    let components = match check.each {
        Each::Release => vec![None],
        Each::Component => {
            let own = Component::Own { repo: repo.clone(), commit: release.created.commit.clone() };
            let other = |found: &Found| Component::Source {
                alias: found.source.alias.clone(),
                repository: found.source.repository.clone(),
                commit: found.commit.clone(),
            };
            std::iter::once(own).chain(release.sources.iter().map(other)).map(Some).collect()
        }
    };
    let leg = |component| (LegId { check: check.name.clone(), component }, check);
    components.into_iter().map(leg).collect()
}

impl<'a> Course<'a> {
    /// Every leg, in order.
    pub fn legs(&self) -> Vec<(LegId, &'a Check)> {
        self.stage.verify.checks().flat_map(|check| legs_of(check, self.repo, self.release)).collect()
    }

    fn parallel(&self) -> Vec<(LegId, &'a Check)> {
        let checks = self.stage.verify.parallel.iter();
        checks.flat_map(|check| legs_of(check, self.repo, self.release)).collect()
    }

    fn then(&self) -> Vec<(LegId, &'a Check)> {
        let checks = self.stage.verify.then.iter();
        checks.flat_map(|check| legs_of(check, self.repo, self.release)).collect()
    }

    /// A leg's answers so far.
    pub fn leg(&self, leg: &LegId) -> Option<&'a Leg> {
        self.run.legs.get(leg)
    }

    /// Whether somebody passed over the check, and it may be passed over.
    pub fn overridden(&self, check: &Check) -> bool {
        let given = Overridable::Check(check.name.clone());
        check.overridable && self.run.overridden(&given, self.stage).is_some()
    }

    fn is_over(&self, leg: &LegId, check: &Check) -> bool {
        self.overridden(check) || self.leg(leg).is_some_and(|l| l.state.is_over())
    }

    /// What one leg that is over means for the stage.
    fn blocks(&self, leg: &LegId, check: &Check) -> Option<Standing> {
        if !check.blocking || self.overridden(check) {
            return None;
        }
        match self.leg(leg)?.state {
            LegState::Failed => Some(Standing::Red(leg.clone())),
            LegState::Error => Some(Standing::Unasked(leg.clone())),
            LegState::Inconclusive => Some(Standing::Unsure(leg.clone())),
            LegState::Running | LegState::Passed | LegState::Skipped => None,
        }
    }

    /// The worst of legs that are over: what is bad before what could not be asked before what nobody can tell.
    fn worst(&self, legs: &[(LegId, &Check)]) -> Option<Standing> {
        let found: Vec<Standing> = legs.iter().filter_map(|(leg, check)| self.blocks(leg, check)).collect();
        let is = |kind: fn(&Standing) -> bool| found.iter().find(|s| kind(s)).cloned();
        is(|s| matches!(s, Standing::Red(_)))
            .or_else(|| is(|s| matches!(s, Standing::Unasked(_))))
            .or_else(|| is(|s| matches!(s, Standing::Unsure(_))))
    }

    /// How the legs stand together. A bad one is told once all that were begun are over, so that people see all.
    pub fn standing(&self) -> Standing {
        let parallel = self.parallel();
        if parallel.iter().any(|(leg, check)| !self.is_over(leg, check)) {
            return Standing::Busy;
        }
        if let Some(worst) = self.worst(&parallel) {
            return worst;
        }
        for (leg, check) in self.then() {
            if !self.is_over(&leg, check) {
                return Standing::Busy;
            }
            if let Some(worst) = self.blocks(&leg, check) {
                return worst;
            }
        }
        Standing::Done
    }

    /// The legs that should be asked: `then` starts only past the barrier, one at a time.
    pub fn due(&self) -> Vec<Due<'a>> {
        let Some(worked_at) = self.run.worked_at else { return Vec::new() };
        let open = |(leg, check): &(LegId, &'a Check)| !self.is_over(leg, check);
        let parallel = self.parallel();
        let mut next: Vec<(LegId, &'a Check)> = parallel.iter().filter(|l| open(l)).cloned().collect();
        if next.is_empty() && self.worst(&parallel).is_none() {
            for (leg, check) in self.then() {
                if !self.is_over(&leg, check) {
                    next.push((leg, check));
                    break;
                }
                if self.blocks(&leg, check).is_some() {
                    break;
                }
            }
        }
        next.into_iter().map(|(leg, check)| self.due_leg(leg, check, worked_at)).collect()
    }

    fn due_leg(&self, leg: LegId, check: &'a Check, worked_at: Timestamp) -> Due<'a> {
        if let Some(so_far) = self.leg(&leg) {
            return Due { check, samples: so_far.samples, not_before: so_far.next(check), leg };
        }
        // The delay of one behind the barrier counts from when the barrier opened.
        let opened = self.run.legs.values().map(|l| l.at).fold(worked_at, Timestamp::max);
        let behind = self.stage.verify.then.iter().any(|c| c.name == check.name);
        let from = if behind { opened } else { worked_at };
        Due { check, samples: 0, not_before: from.plus(check.delay), leg }
    }

    /// What is shown of a leg.
    pub fn shown(&self, leg: &LegId, check: &Check) -> Shown {
        let state = self.leg(leg).map(|l| l.state);
        match state {
            Some(LegState::Passed) => Shown::Passed,
            _ if self.overridden(check) => Shown::Overridden,
            Some(LegState::Failed) => Shown::Failed,
            Some(LegState::Inconclusive) => Shown::Inconclusive,
            Some(LegState::Error) => Shown::Error,
            Some(LegState::Skipped) => Shown::Skipped,
            Some(LegState::Running) | None if self.run.state.is_terminal() => Shown::Skipped,
            Some(LegState::Running) => Shown::Running,
            None if self.due().iter().any(|due| due.leg == *leg) => Shown::Running,
            None => Shown::Waiting,
        }
    }

    /// The next time a leg is given up.
    pub fn deadline(&self) -> Option<Timestamp> {
        let due = self.due();
        due.iter().filter_map(|d| self.leg(&d.leg)?.deadline(d.check)).min()
    }

    /// What was not good and did not block, in words: such a success has issues (SEMANTICS §2).
    pub fn issues(&self) -> Vec<String> {
        let legs = self.legs().into_iter().filter_map(|(leg, check)| {
            let shown = self.shown(&leg, check);
            match shown {
                // Overrides are told of with who gave them.
                Shown::Passed | Shown::Waiting | Shown::Running | Shown::Overridden => None,
                Shown::Failed | Shown::Inconclusive | Shown::Error | Shown::Skipped => {
                    Some(format!("{leg} {}", shown.word()))
                }
            }
        });
        let late = [Side::Pre, Side::Post].into_iter().filter(|side| self.went_on(*side));
        legs.chain(late.map(|side| format!("gates {} not green in time", side.word()))).collect()
    }
}
