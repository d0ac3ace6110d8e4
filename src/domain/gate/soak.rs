//! How long a release has been where it comes from: in every stage of `needs`, and in one of `needs_any` (SEMANTICS §4).

use super::{Blocker, Line, Look, Mark, line};
use crate::domain::event::{Overridable, RunKind};
use crate::domain::name::StageName;
use crate::domain::pipeline::Stage;
use crate::domain::release::{Release, StageRun, StageState};
use crate::domain::state::Live;
use crate::domain::time::{Span, Timestamp};

/// What one stage before says of the soak.
enum Soaked {
    /// It is live there, or was until now, and has been there for long enough at this time.
    Until(Timestamp),
    /// It is not live there.
    Off(Line),
    /// It will never have been there, and need not have been.
    Spared,
}

/// A release that soaks for a stage which guards that.
pub(super) struct Soaking<'a> {
    older: &'a Release,
    /// Where it soaks.
    stage: &'a StageName,
    /// What for.
    next: &'a Stage,
    pub(super) until: Timestamp,
}

impl Look<'_> {
    /// The release must have been live where it comes from for the whole soak.
    pub(super) fn soak(&self) -> Option<Line> {
        let soak = self.stage.soak;
        if soak.as_millis() == 0 || self.stage.comes_from().next().is_none() {
            return None;
        }
        if let Some(passed) = self.overridden(&Overridable::Soak) {
            return Some(line(Blocker::Soak, Mark::Pass, format!("soak overridden by {}", passed.by.login)));
        }
        let mut ready: Option<Timestamp> = None;
        for soaked in self.stage.needs.iter().map(|need| self.soaked(need)).chain(self.soaked_anywhere()) {
            match soaked {
                Soaked::Until(at) => ready = ready.max(Some(at)),
                Soaked::Off(line) => return Some(line),
                Soaked::Spared => {}
            }
        }
        let until = ready?;
        if until <= self.now {
            return Some(line(Blocker::Soak, Mark::Pass, format!("soaked for {soak}")));
        }
        Some(Line {
            until: Some(until),
            next: Some(self.override_act(&Overridable::Soak)),
            ..line(Blocker::Soak, Mark::Wait, format!("soaks for {soak}, until {}", until.minute()))
        })
    }

    /// What the stages of `needs_any` say: the one in which it has soaked first, or may yet. Once some let it on, those
    /// alone count.
    fn soaked_anywhere(&self) -> Option<Soaked> {
        let rank = |soaked: &Soaked| match soaked {
            Soaked::Until(at) => (0, Some(*at)),
            Soaked::Off(line) if line.mark == Mark::Wait => (1, None),
            Soaked::Off(_) => (2, None),
            Soaked::Spared => (3, None),
        };
        let ways = &self.stage.needs_any;
        let some_good = ways.iter().any(|need| self.is_good(need));
        let counts = ways.iter().filter(|need| !some_good || self.is_good(need));
        counts.map(|need| self.soaked(need)).min_by_key(rank)
    }

    fn soaked(&self, need: &StageName) -> Soaked {
        let soak = self.stage.soak;
        let state = self.release.standing(need).map(|run| run.state);
        let stopped = |text: String| {
            let next = Some(self.override_act(&Overridable::Soak));
            Soaked::Off(Line { next, ..line(Blocker::Soak, Mark::Stop, text) })
        };
        if state == Some(StageState::Succeeded)
            && let Some(at) = self.has_soaked(need)
        {
            return Soaked::Until(at);
        }
        let stayed = self.release.standing(need).and_then(|run| run.stayed);
        // Others may have come there in between, of whom the last alone is known.
        let stayed_or = |until_now: Span| stayed.map_or(until_now, |stayed| stayed.min(until_now));
        match self.state.live_at(need, self.release.track()) {
            Some(Live::Release(no, since)) if *no == self.release.no() => match self.ousted(need, *since) {
                Some((by, stage, at)) if stayed_or(at.since(*since)) < soak => stopped(format!(
                    "it no longer soaks in {need}: {} came to its environment by {stage}",
                    by.created.version
                )),
                Some(_) | None => Soaked::Until(since.plus(soak)),
            },
            Some(_) | None if state == Some(StageState::Succeeded) => {
                stopped(format!("it no longer soaks in {need}: {}", self.what_runs_in(need)))
            }
            Some(_) | None if state.is_some_and(StageState::is_terminal) => {
                if self.overridden(&Overridable::Deps).is_some() {
                    stopped(format!("it never soaked in {need}"))
                } else {
                    Soaked::Spared
                }
            }
            Some(_) | None => Soaked::Off(line(Blocker::Soak, Mark::Wait, format!("{soak} in {need} first"))),
        }
    }

    /// When a soak was over that is not taken back by what came there later, nor by being put back after that. It is lost
    /// with whatever spoke against the release since: it was taken away as bad, found faulty, or did not come back.
    pub(super) fn has_soaked(&self, need: &StageName) -> Option<Timestamp> {
        let never = |run: &&StageRun| run.kind == RunKind::Rollback && run.started_at.is_none();
        let live = self.state.live_at(need, self.release.track());
        let is_live = live.is_some_and(|live| live.release() == self.release.no());
        let runs = self.release.stages.get(need)?.iter().rev();
        let before = runs.filter(|run| !never(run)).skip(usize::from(is_live));
        let mut stays = before.map_while(|run| {
            let good = run.state == StageState::Succeeded && run.fault.is_none();
            run.stayed.filter(|_| good).map(|stayed| (run, stayed))
        });
        let soaked = stays.find(|(_, stayed)| *stayed >= self.stage.soak);
        soaked.map(|(run, _)| run.moved_at.plus(self.stage.soak))
    }

    /// An older release soaks where this one would come to, in front of a stage that guards its soak.
    pub(super) fn behind_soak(&self) -> Option<Line> {
        let soaking = self.soaks_here().filter(|soaking| soaking.until > self.now)?;
        let (version, next, until) = (&soaking.older.created.version, &soaking.next.name, soaking.until);
        let place = if *soaking.stage == self.stage.name {
            "here".to_owned()
        } else {
            format!("in {}, which shares {},", soaking.stage, self.stage.environment)
        };
        let text = format!("{version} soaks {place} for {next} first, until {}", until.minute());
        Some(Line { until: Some(until), ..line(Blocker::Order, Mark::Wait, text) })
    }

    /// The older release that soaks here longest, for a stage that asked for the starvation guard: in this stage, or in
    /// another that deploys to the same environment, which ends a soak as well. One whose soak is over or lost guards
    /// nothing.
    pub(super) fn soaks_here(&self) -> Option<Soaking<'_>> {
        let site = Some(self.release.site(self.stage)).filter(|_| self.stage.deploys());
        let soaking = self.state.live.iter().filter_map(|((stage, _), live)| {
            let Live::Release(no, since) = live else { return None };
            let older = self.state.release(*no).filter(|older| self.release.follows(older))?;
            let shares = || older.rule(stage).is_some_and(|rule| Some(older.site(rule)) == site);
            let here = *stage == self.stage.name || shares();
            let next = older.guarded(stage).filter(|_| here)?;
            let look = Look { release: older, stage: next, ..*self };
            let soaks = look.ousted(stage, *since).is_none() && look.has_soaked(stage).is_none();
            soaks.then(|| Soaking { older, stage, next, until: since.plus(next.soak) })
        });
        soaking.max_by_key(|soaking| soaking.until)
    }

    /// The release that another stage has put since into the environment where this one soaks.
    fn ousted(&self, need: &StageName, since: Timestamp) -> Option<(&Release, &StageName, Timestamp)> {
        let site = self.release.site(self.release.rule(need)?);
        let others = self.state.live.iter().filter_map(|((stage, _), live)| {
            let other = self.state.release(live.release()).filter(|other| other.no() != self.release.no())?;
            let rule = other.rule(stage).filter(|rule| rule.deploys())?;
            let at = match live {
                Live::Release(_, at) => *at,
                Live::Unknown(_) => other.run(stage)?.moved_at,
            };
            let here = rule.name != *need && other.site(rule) == site && at > since;
            here.then_some((&**other, &rule.name, at))
        });
        others.min_by_key(|(_, _, at)| *at)
    }
}
