//! May it pass: one verdict per stage, a list of lines that explains itself (SEMANTICS §2, §12).
//!
//! The same verdict decides admission and is rendered as status line, comment, page and `liftlock why`.

use crate::domain::approval::{rule_for, tally};
use crate::domain::event::{Overridable, RunKind};
use crate::domain::name::StageName;
use crate::domain::pipeline::{Duty, QueuePolicy, Stage, Start};
use crate::domain::release::{BuildState, Release, StageRun, StageState, TagState};
use crate::domain::state::{Live, State};
use crate::domain::time::Timestamp;

/// What can stand in the way, in the order in which it is looked at: cheap and certain first (SEMANTICS §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blocker {
    /// The artifact is not sealed.
    Build,
    /// The tag no longer points at the commit.
    Tag,
    /// The release may not start here any more.
    Veto,
    /// A stage before it has not succeeded.
    Deps,
    /// It has not been long enough in the stage before.
    Soak,
    /// An older release goes first.
    Order,
    /// It waits for `/promote`.
    Trigger,
    /// Approvals are missing.
    Approval,
    /// Somebody holds the stage.
    Hold,
    /// An automatic retry waits its time.
    Retry,
}

impl Blocker {
    /// The word in `--json` and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Tag => "tag",
            Self::Veto => "veto",
            Self::Deps => "deps",
            Self::Soak => "soak",
            Self::Order => "order",
            Self::Trigger => "trigger",
            Self::Approval => "approval",
            Self::Hold => "hold",
            Self::Retry => "retry",
        }
    }
}

/// Whether a line lets the stage pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// It does.
    Pass,
    /// Not yet.
    Wait,
    /// Not by itself: somebody has to act.
    Stop,
}

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What.
    pub blocker: Blocker,
    /// Whether it lets the stage pass.
    pub mark: Mark,
    /// What there is to say: who or what, and how far.
    pub text: String,
    /// When it passes by itself, if it does.
    pub until: Option<Timestamp>,
    /// Who can do what about it.
    pub next: Option<String>,
}

/// The verdict on one stage of one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The stage.
    pub stage: StageName,
    /// Everything that was looked at, in order.
    pub lines: Vec<Line>,
}

impl Verdict {
    /// Whether nothing stands in the way.
    pub fn open(&self) -> bool {
        self.blockers().next().is_none()
    }

    /// What stands in the way.
    pub fn blockers(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.mark != Mark::Pass)
    }

    /// Whether only these stand in the way, or nothing.
    pub fn blocked_only_by(&self, allowed: &[Blocker]) -> bool {
        self.blockers().all(|line| allowed.contains(&line.blocker))
    }

    /// The next time something may change by itself.
    pub fn next_time(&self) -> Option<Timestamp> {
        self.blockers().filter_map(|line| line.until).min()
    }
}

/// What one look is taken at.
struct Look<'a> {
    state: &'a State,
    release: &'a Release,
    stage: &'a Stage,
    run: &'a StageRun,
    now: Timestamp,
}

/// Looks at everything that can keep a release from starting in a stage.
pub fn verdict(state: &State, release: &Release, stage: &Stage, now: Timestamp) -> Verdict {
    let Some(run) = release.run(&stage.name) else {
        return Verdict { stage: stage.name.clone(), lines: vec![build_line(release)] };
    };
    let look = Look { state, release, stage, run, now };
    let rollback = run.kind == RunKind::Rollback;
    let mut lines = vec![build_line(release)];
    lines.extend(look.tag());
    lines.extend(look.veto());
    if !rollback {
        lines.extend(look.deps());
        lines.extend(look.soak());
        lines.extend(look.order());
        lines.extend(look.trigger());
    }
    lines.extend(look.approval());
    if !rollback {
        lines.extend(look.hold());
    }
    lines.extend(look.retry());
    Verdict { stage: stage.name.clone(), lines }
}

fn line(blocker: Blocker, mark: Mark, text: impl Into<String>) -> Line {
    Line { blocker, mark, text: text.into(), until: None, next: None }
}

fn build_line(release: &Release) -> Line {
    match &release.build {
        BuildState::Sealed => {
            let digest = release.shown_digest().map_or("nothing", |d| d.short());
            line(Blocker::Build, Mark::Pass, format!("artifact sealed, {digest}"))
        }
        BuildState::Waiting => line(Blocker::Build, Mark::Wait, "waiting for a worker to build it"),
        BuildState::Running { .. } => line(Blocker::Build, Mark::Wait, "being built"),
        BuildState::NotNeeded => {
            line(Blocker::Build, Mark::Stop, "not built: a newer release contains its commit")
        }
        BuildState::Failed(_) => Line {
            next: Some("somebody with write pushes a fix, or comments `/retry build`".to_owned()),
            ..line(Blocker::Build, Mark::Stop, "its build failed")
        },
    }
}

impl Look<'_> {
    fn tag(&self) -> Option<Line> {
        let TagState::Moved(to) = &self.release.tag else { return None };
        let now_at = to.as_ref().map_or_else(|| "is gone".to_owned(), |c| format!("points at {}", c.short()));
        Some(Line {
            next: Some("somebody restores the tag, or pushes a new version".to_owned()),
            ..line(
                Blocker::Tag,
                Mark::Stop,
                format!(
                    "tag {} {now_at}, not at {}",
                    self.release.created.version,
                    self.release.created.commit.short()
                ),
            )
        })
    }

    fn veto(&self) -> Option<Line> {
        let reason = self.state.vetoes.get(&(self.stage.name.clone(), self.release.no()))?;
        Some(Line {
            next: Some(format!(
                "a maintainer comments `/unhold {}`, or a newer release comes",
                self.stage.name
            )),
            ..line(Blocker::Veto, Mark::Stop, format!("vetoed here: {reason}"))
        })
    }

    fn deps(&self) -> Vec<Line> {
        if let Some(passed) = self.run.overridden(Overridable::Deps) {
            return vec![line(Blocker::Deps, Mark::Pass, format!("deps overridden by {}", passed.by.login))];
        }
        self.stage.needs.iter().map(|need| self.dep(need)).collect()
    }

    fn dep(&self, need: &StageName) -> Line {
        let optional = self.release.rule(need).is_some_and(|s| s.duty == Duty::Optional);
        match self.release.state_in(need) {
            Some(StageState::Succeeded) => {
                line(Blocker::Deps, Mark::Pass, format!("{need} succeeded with this artifact"))
            }
            Some(state) if optional && state.is_terminal() => {
                line(Blocker::Deps, Mark::Pass, format!("{need} is optional: {}", state.word()))
            }
            Some(state) if state.is_bad_end() => Line {
                next: Some(format!("somebody with write comments `/retry {need}`")),
                ..line(Blocker::Deps, Mark::Stop, format!("{need} must succeed first: {}", state.word()))
            },
            Some(state) => {
                line(Blocker::Deps, Mark::Wait, format!("{need} must succeed first: {}", state.word()))
            }
            None => line(Blocker::Deps, Mark::Wait, format!("{need} must succeed first: not reached")),
        }
    }

    /// The release must have occupied every stage it comes from for the whole soak (SEMANTICS §4).
    fn soak(&self) -> Option<Line> {
        let soak = self.stage.soak;
        if soak.as_millis() == 0 || self.stage.needs.is_empty() {
            return None;
        }
        if let Some(passed) = self.run.overridden(Overridable::Soak) {
            return Some(line(Blocker::Soak, Mark::Pass, format!("soak overridden by {}", passed.by.login)));
        }
        let mut ready: Option<Timestamp> = None;
        for need in &self.stage.needs {
            match self.state.live.get(need) {
                Some(Live::Release(no, since)) if *no == self.release.no() => {
                    ready = ready.max(Some(since.plus(soak)));
                }
                Some(Live::Release(no, _)) if self.release.state_in(need) == Some(StageState::Succeeded) => {
                    let other = self.state.version_of(*no);
                    let text = format!("it soaked in {need} until {other} took its place there");
                    return Some(line(Blocker::Soak, Mark::Stop, text));
                }
                Some(_) | None => {
                    return Some(line(Blocker::Soak, Mark::Wait, format!("{soak} in {need} first")));
                }
            }
        }
        let until = ready?;
        let soaked = self.now.since(Timestamp(until.0.saturating_sub_unsigned(soak.as_millis())));
        if until <= self.now {
            return Some(line(Blocker::Soak, Mark::Pass, format!("soaked for {soak}")));
        }
        Some(Line {
            until: Some(until),
            next: Some(format!("an admin comments `/override {} soak -- reason`", self.stage.name)),
            ..line(
                Blocker::Soak,
                Mark::Wait,
                format!("soaked for {soaked} of {soak}, until {}", until.minute()),
            )
        })
    }

    /// Older releases go first: in an `all` queue, and in front of a stage that guards its soak (SEMANTICS §4).
    fn order(&self) -> Option<Line> {
        if let Some(live) = self.state.live_in(&self.stage.name).filter(|l| l.order() > self.release.order())
        {
            // Invariant I7: an older release never starts over a newer one, except as a rollback.
            return Some(Line {
                next: Some(format!(
                    "an approver comments `/rollback {} {} -- reason`",
                    self.stage.name, self.release.created.version
                )),
                ..line(Blocker::Order, Mark::Stop, format!("{} is live here and newer", live.created.version))
            });
        }
        let before = self.state.releases.values().filter(|r| r.order() < self.release.order());
        let first = match self.stage.queue {
            QueuePolicy::All => before.clone().find(|r| {
                r.run(&self.stage.name)
                    .is_some_and(|run| !run.state.is_terminal() && run.kind == RunKind::Deploy)
            }),
            QueuePolicy::Latest | QueuePolicy::Manual => None,
        };
        if let Some(older) = first {
            let text = format!("{} goes first", older.created.version);
            return Some(line(Blocker::Order, Mark::Wait, text));
        }
        let soaking = before.clone().find_map(|older| {
            self.release
                .rules
                .stages
                .iter()
                .find(|next| self.guards_soak_of(older, next))
                .map(|next| (older, next))
        });
        soaking.map(|(older, next)| {
            let verdict = older.rule(&next.name).map(|stage| {
                let run = older.run(&next.name);
                run.and_then(|run| {
                    Look { state: self.state, release: older, stage, run, now: self.now }.soak()
                })
            });
            let until = verdict.flatten().and_then(|l| l.until);
            let text = format!("{} soaks here for {} first", older.created.version, next.name);
            Line { until, ..line(Blocker::Order, Mark::Wait, text) }
        })
    }

    /// Whether `older` occupies this stage and still soaks here for `next`, which asked for the guard.
    fn guards_soak_of(&self, older: &Release, next: &Stage) -> bool {
        let here =
            matches!(self.state.live.get(&self.stage.name), Some(Live::Release(no, _)) if *no == older.no());
        here && next.hold_during_soak
            && next.needs.contains(&self.stage.name)
            && older.run(&next.name).is_some_and(|run| {
                run.state == StageState::Pending && run.overridden(Overridable::Soak).is_none()
            })
            && next.soak.as_millis() > 0
            && matches!(self.state.live.get(&self.stage.name), Some(Live::Release(_, since)) if since.plus(next.soak) > self.now)
    }

    fn trigger(&self) -> Option<Line> {
        let manual = self.stage.start == Start::Manual || self.stage.queue == QueuePolicy::Manual;
        match (&self.run.promoted, manual) {
            (Some(person), _) => {
                Some(line(Blocker::Trigger, Mark::Pass, format!("promoted by {}", person.login)))
            }
            (None, true) => Some(Line {
                next: Some(format!(
                    "somebody with write comments `/promote {} {}`",
                    self.stage.name, self.release.created.version
                )),
                ..line(Blocker::Trigger, Mark::Stop, "starts by hand")
            }),
            (None, false) => None,
        }
    }

    fn approval(&self) -> Option<Line> {
        let rule = rule_for(self.stage, self.run.kind)?;
        let tally = tally(&rule, self.release, self.run, self.now);
        let by = if tally.by.is_empty() { String::new() } else { format!(" ({})", tally.by.join(", ")) };
        let mut text = format!("{} of {} approvals{by}", tally.have, tally.need);
        for (login, why) in &tally.not_counted {
            text.push_str(&format!("; {login} does not count: {why}"));
        }
        if tally.complete() {
            return Some(line(Blocker::Approval, Mark::Pass, text));
        }
        text.push_str(&format!("; needs {}", tally.missing.join(" and ")));
        Some(Line {
            next: Some(format!(
                "one of them comments `/approve {} {}` before {}",
                self.stage.name,
                self.release.created.version,
                self.run.opened_at.max(self.waits_since()).plus(rule.timeout).minute()
            )),
            ..line(Blocker::Approval, Mark::Stop, text)
        })
    }

    /// When the wait for approvals began: when the stages before it were done.
    fn waits_since(&self) -> Timestamp {
        waits_since(self.release, self.stage, self.run)
    }

    fn hold(&self) -> Option<Line> {
        let hold = self.state.hold_on(&self.stage.name)?;
        let by = hold.by.as_ref().map_or_else(|| "a rollback".to_owned(), |p| p.login.to_string());
        Some(Line {
            next: Some(format!("{by} or a maintainer comments `/unhold {}`", self.stage.name)),
            ..line(
                Blocker::Hold,
                Mark::Stop,
                format!("on hold by {by} since {}: {}", hold.since.minute(), hold.reason),
            )
        })
    }

    fn retry(&self) -> Option<Line> {
        let until = self.run.not_before.filter(|t| *t > self.now)?;
        let text = format!("attempt {} starts {}", self.run.attempt, until.minute());
        Some(Line { until: Some(until), ..line(Blocker::Retry, Mark::Wait, text) })
    }
}

/// When the wait for approvals began: when the last of the stages before it succeeded, or when it was opened.
pub fn waits_since(release: &Release, stage: &Stage, run: &StageRun) -> Timestamp {
    stage
        .needs
        .iter()
        .filter_map(|need| release.run(need))
        .filter(|r| r.state == StageState::Succeeded)
        .map(|r| r.moved_at)
        .fold(run.opened_at, Timestamp::max)
}
