//! May it pass: one verdict per stage, a list of lines that explains itself (SEMANTICS §2, §12).
//!
//! The same verdict decides admission and is rendered as status line, comment, page and `liftlock why`.

use crate::domain::event::{Detail, Overridable, RunKind};
use crate::domain::name::StageName;
use crate::domain::pipeline::{QueuePolicy, Stage, Start};
use crate::domain::publication::tag::became;
use crate::domain::release::{BuildState, Override, Release, StageRun, StageState};
use crate::domain::state::{Live, State};
use crate::domain::time::Timestamp;

mod approval;
mod batch;
mod channel;
mod check;
mod contract;
mod deps;
mod queue;
mod revert;
mod soak;
mod train;
mod variables;
mod window;

pub use approval::approvals_end;
pub use batch::batch_is_full;
pub(in crate::domain) use deps::dead_ends;
pub(in crate::domain) use window::zone_of;
pub use window::{passed_over, window_changes, window_wait_ends};

/// What can stand in the way, in the order in which it is looked at: cheap and certain first (SEMANTICS §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blocker {
    /// The artifact is not sealed.
    Build,
    /// The variables of the stage cannot be used.
    Variables,
    /// The tag no longer points at the commit.
    Tag,
    /// Its branch is not one of the stage's; channels are told of, and stop nothing.
    Channel,
    /// Commits that a newer release takes back, which stop nothing.
    Revert,
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
    /// A check before it is not green.
    Gate,
    /// Nothing starts on these days, or in an emergency.
    Freeze,
    /// It is not one of the stage's hours.
    Window,
    /// Somebody holds the stage.
    Hold,
    /// An automatic retry waits its time.
    Retry,
    /// Sign-offs are missing after the deploy.
    Signoff,
}

impl Blocker {
    /// The word in `--json` and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Variables => "variables",
            Self::Tag => "tag",
            Self::Channel => "channel",
            Self::Revert => "revert",
            Self::Veto => "veto",
            Self::Deps => "deps",
            Self::Soak => "soak",
            Self::Order => "order",
            Self::Trigger => "trigger",
            Self::Approval => "approval",
            Self::Gate => "gate",
            Self::Freeze => "freeze",
            Self::Window => "window",
            Self::Hold => "hold",
            Self::Retry => "retry",
            Self::Signoff => "signoff",
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

    /// The same for people who ask why: of what stands in the way, what somebody can do now comes first, then what time
    /// does, by its time (SEMANTICS §12).
    #[must_use]
    pub fn soonest_first(mut self) -> Self {
        let mut blockers: Vec<Line> = self.blockers().cloned().collect();
        blockers.sort_by_key(|line| line.until);
        let places = self.lines.iter_mut().filter(|line| line.mark != Mark::Pass);
        places.zip(blockers).for_each(|(place, line)| *place = line);
        self
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
#[derive(Clone, Copy)]
struct Look<'a> {
    state: &'a State,
    release: &'a Release,
    stage: &'a Stage,
    run: &'a StageRun,
    now: Timestamp,
}

/// Looks at everything that can keep a release from starting in a stage or, once it is deployed, from being live there.
pub fn verdict(state: &State, release: &Release, stage: &Stage, now: Timestamp) -> Verdict {
    let Some(run) = release.run(&stage.name) else {
        return Verdict { stage: stage.name.clone(), lines: vec![build_line(release)] };
    };
    let look = Look { state, release, stage, run, now };
    if run.state == StageState::AwaitingSignoff {
        return Verdict { stage: stage.name.clone(), lines: look.after_deploy() };
    }
    let rollback = run.kind == RunKind::Rollback;
    let mut lines = vec![build_line(release)];
    lines.extend(look.variables());
    lines.extend(look.tag());
    lines.extend(look.channels());
    if !rollback {
        lines.extend(look.reverts());
    }
    lines.extend(look.veto());
    if !rollback {
        lines.extend(look.evidence());
        lines.extend(look.deps());
        lines.extend(look.soak());
        lines.extend(look.order());
        lines.extend(look.batch());
        lines.extend(look.trigger());
    }
    lines.extend(look.approval());
    lines.extend(look.freezes());
    lines.extend(look.window());
    lines.extend(look.holds());
    lines.extend(look.retry());
    if !rollback {
        // Last, because what they say holds for a short time only (SEMANTICS §2).
        lines.extend(look.gates());
    }
    Verdict { stage: stage.name.clone(), lines }
}

fn line(blocker: Blocker, mark: Mark, text: impl Into<String>) -> Line {
    Line { blocker, mark, text: text.into(), until: None, next: None }
}

/// `eu, us or asia`.
fn either(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}

fn build_line(release: &Release) -> Line {
    match &release.build {
        BuildState::Sealed if release.retired.is_some() => Line {
            next: Some("somebody with write pushes, which makes a new release".to_owned()),
            ..line(Blocker::Build, Mark::Stop, "its artifact was deleted: it was not to be kept any longer")
        },
        BuildState::Sealed => {
            let digest = release.shown_digest().map_or("nothing", |d| d.short());
            line(Blocker::Build, Mark::Pass, format!("artifact sealed, {digest}"))
        }
        BuildState::Waiting => line(Blocker::Build, Mark::Wait, "waiting for a worker to build it"),
        BuildState::Running { .. } => line(Blocker::Build, Mark::Wait, "being built"),
        BuildState::NotNeeded => {
            line(Blocker::Build, Mark::Stop, "not built: a newer release contains its commit")
        }
        BuildState::Failed(Detail::By { person, .. }) => Line {
            next: Some("somebody with write comments `/retry build`, or pushes".to_owned()),
            ..line(Blocker::Build, Mark::Stop, format!("its build was cancelled by {}", person.login))
        },
        BuildState::Failed(_) => Line {
            next: Some("somebody with write pushes a fix, or comments `/retry build`".to_owned()),
            ..line(Blocker::Build, Mark::Stop, "its build failed")
        },
    }
}

impl Look<'_> {
    /// The override of a check that holds for this attempt.
    fn overridden(&self, check: &Overridable) -> Option<&Override> {
        self.run.overridden(check, self.stage)
    }

    /// Who can pass over a check, and the line to type.
    fn override_act(&self, check: &Overridable) -> String {
        let line = format!("`/override {} {} -- reason`", self.stage.name, check.word());
        let rule = &self.stage.overriding;
        let given = u32::try_from(self.run.overrides_of(check).count()).unwrap_or(u32::MAX);
        match (rule.min, given, rule.min.saturating_sub(given)) {
            (0 | 1, _, _) => format!("{rule} comments {line}"),
            (all, 0, _) => format!("{all} of {rule} comment {line}"),
            (_, _, more) => format!("{more} more of {rule} comment {line}"),
        }
    }

    fn tag(&self) -> Option<Line> {
        let (name, state) = self.release.moved_tag()?;
        let what = became(state, &self.release.created.commit)?;
        Some(Line {
            next: Some("somebody restores the tag, or pushes a new version".to_owned()),
            ..line(Blocker::Tag, Mark::Stop, format!("tag {name} {what}"))
        })
    }

    fn veto(&self) -> Option<Line> {
        let reason = self.state.vetoes.get(&(self.stage.name.clone(), self.release.no()))?;
        let name = &self.stage.name;
        let next = match self.stage.queue {
            _ if self.state.tampered(self.release.no()) => {
                "somebody with write pushes a new release; nothing lifts this veto".to_owned()
            }
            QueuePolicy::Latest | QueuePolicy::Batch { .. } => {
                format!("a maintainer comments `/unhold {name}`, or a newer release comes")
            }
            QueuePolicy::All | QueuePolicy::Manual => format!("a maintainer comments `/unhold {name}`"),
        };
        Some(Line { next: Some(next), ..line(Blocker::Veto, Mark::Stop, format!("vetoed here: {reason}")) })
    }

    fn what_runs_in(&self, stage: &StageName) -> String {
        match self.state.live_at(stage, self.release.track()) {
            Some(Live::Release(no, _)) => format!("{} took its place there", self.state.version_of(*no)),
            Some(Live::Unknown(no)) => format!("{} ended half-way there", self.state.version_of(*no)),
            None => "nothing runs there".to_owned(),
        }
    }

    /// Older releases go first: in an `all` queue, and in front of a stage that guards its soak (SEMANTICS §4).
    fn order(&self) -> Option<Line> {
        let name = &self.stage.name;
        if let Some(newer) = self.state.outrun_by(self.release, name) {
            // Invariant I7: an older release never starts over a newer one, except as a rollback.
            return Some(Line {
                next: Some(format!(
                    "an approver comments `/rollback {name} {} -- reason`, if it ever succeeded there",
                    self.release.created.version
                )),
                ..line(
                    Blocker::Order,
                    Mark::Stop,
                    format!("{} was live here and is newer", newer.created.version),
                )
            });
        }
        if let Some(first) = self.first_in_queue() {
            return Some(first);
        }
        self.behind_soak()
    }

    fn trigger(&self) -> Option<Line> {
        let manual = self.stage.start == Start::Manual || self.stage.queue == QueuePolicy::Manual;
        if let Some(train) = self.train().filter(|_| self.run.promoted.is_none()) {
            return Some(train);
        }
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

    /// Somebody's hold, and that of a rollback, which may stand beside it.
    fn holds(&self) -> Vec<Line> {
        let (name, track) = (&self.stage.name, self.release.track());
        let rolls_back = self.run.kind == RunKind::Rollback;
        // Whoever goes back by hand has looked at the hold, and one rollback is no reason against the next.
        let said = self.state.hold_on(name, track).filter(|_| !(rolls_back && self.run.by.is_some()));
        let said = said.and_then(|hold| Some((hold, hold.by.as_ref()?))).map(|(hold, by)| {
            let global = self.state.holds.contains_key(&(None, None));
            let lift = if global { "/unhold".to_owned() } else { format!("/unhold {name}") };
            let text = format!("on hold by {} since {}: {}", by.login, hold.since.minute(), hold.reason);
            Line {
                next: Some(format!("{} or a maintainer comments `{lift}`", by.login)),
                ..line(Blocker::Hold, Mark::Stop, text)
            }
        });
        let left = self.state.hold_of_rollback(name, track).filter(|_| !rolls_back).map(|hold| {
            // It is there so that nothing starts unasked; a person may ask (SEMANTICS §8).
            if self.run.promoted_at.is_some_and(|at| at >= hold.since) {
                return line(Blocker::Hold, Mark::Pass, "promoted past the hold of a rollback");
            }
            let next = format!(
                "a maintainer comments `/unhold {name}`, or somebody with write `/promote {name} {}`",
                self.release.created.version
            );
            let text = format!("on hold by a rollback since {}: {}", hold.since.minute(), hold.reason);
            Line { next: Some(next), ..line(Blocker::Hold, Mark::Stop, text) }
        });
        said.into_iter().chain(left).collect()
    }

    fn retry(&self) -> Option<Line> {
        let until = self.run.not_before.filter(|t| *t > self.now)?;
        let text = format!("attempt {} starts {}", self.run.attempt, until.minute());
        Some(Line { until: Some(until), ..line(Blocker::Retry, Mark::Wait, text) })
    }
}

/// A release that waits in a stage, with the attempt that does.
pub type Wait<'a> = (&'a Release, &'a Stage, &'a StageRun);

/// When the wait for people began: when nothing but people kept the stage any more. Stages before it were done and
/// soaked, older releases had gone first, a hold, a freeze or a veto was lifted, a retry's time had come. After the
/// deploy, when that was done.
pub fn waits_since(state: &State, (release, stage, run): Wait<'_>, now: Timestamp) -> Timestamp {
    if run.state == StageState::AwaitingSignoff {
        return run.moved_at;
    }
    let look = Look { state, release, stage, run, now: run.asked_from };
    let before = look.let_on_at();
    let older = state
        .releases
        .values()
        .filter(|older| stage.queue == QueuePolicy::All && release.follows(older))
        .filter_map(|older| older.run(&stage.name).map_or(older.built_at, |run| Some(run.moved_at)));
    let thaws = window::thaws(state, (release, stage, run), now);
    let guard = look.soaks_here().map(|soaking| soaking.until);
    older.chain(before).chain(thaws).chain(guard).chain(run.not_before).fold(run.asked_from, Timestamp::max)
}
