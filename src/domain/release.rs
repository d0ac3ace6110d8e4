//! A release and its stage runs as the sum of events.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::approval::brought::Brought;
use crate::domain::check::leg::Leg;
use crate::domain::check::ticks::Ticks;
use crate::domain::check::{LegId, Side};
use crate::domain::derivation::Revision;
use crate::domain::effect::Place;
use crate::domain::event::{Approval, ApprovalSide, Created, Detail, Overridable, RunKind, Sealed};
use crate::domain::evidence::{Matter, Signed};
use crate::domain::join::Built;
use crate::domain::name::{
    Alias, ChannelLabel, CommitSha, Digest, ObjectId, RefName, ReleaseNo, RepoId, StageName, UserId,
};
use crate::domain::notes::Kept;
use crate::domain::pause::Pausing;
use crate::domain::person::Person;
use crate::domain::pipeline::{Duty, Pipeline, Stage};
use crate::domain::progress::Walked;
use crate::domain::publication::Ledger;
use crate::domain::reuse::TakenOver;
use crate::domain::rollout::Rollout;
use crate::domain::source::Found;
use crate::domain::time::{Span, Timestamp};
use crate::domain::track::{Lock, Site, Track};
use crate::domain::variable::{Problem, Taken};

mod transition;

pub use transition::{Ending, LEGAL, LIVE_WITH_ISSUES, StageState, Transition, legal};

use StageState as S;

/// How far the artifact is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildState {
    /// A worker should take it.
    Waiting,
    /// A worker has it.
    Running {
        /// The lease's number.
        fence: u64,
    },
    /// The artifact is sealed.
    Sealed,
    /// A command said no, or it could not be done.
    Failed(Detail),
    /// A newer release already contains the commit; nothing is built.
    NotNeeded,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// What it began with.
    pub created: Arc<Created>,
    /// When.
    pub at: Timestamp,
    /// The strictest rules seen while it was open: those of its own manifest and of every head since (SEMANTICS §3).
    pub rules: Arc<Pipeline>,
    /// Stages whose variables cannot be used, with the reason; they never start.
    pub unusable: BTreeMap<StageName, Problem>,
    /// Its variable groups: as it took them, and as its stages have written them since.
    pub groups: Taken,
    /// The commits of other repositories that it takes, once they are known; they never change after that.
    pub sources: Vec<Found>,
    /// Which try of the build.
    pub build_attempt: u32,
    /// How far it is.
    pub build: BuildState,
    /// When the build ended, for display.
    pub built_at: Option<Timestamp>,
    /// Whose build its artifacts are from, when nothing was built for it.
    pub reused: Option<TakenOver>,
    /// Under which digest the lock files of the tree in which it was built are kept.
    pub locks: Option<Digest>,
    /// What executed the build, when another release may take what it left.
    pub executor: Option<Digest>,
    /// What was sealed, as its last revision has it.
    pub artifacts: Vec<Sealed>,
    /// What stages have made of it since, oldest first.
    pub revisions: Vec<Revision>,
    /// What approvals bind to: components, artifacts and manifest in one digest (SEMANTICS §1).
    pub digest: Option<Digest>,
    /// What the host said about its tag.
    pub tag: TagState,
    /// The same of the tag by its final name, once a stage has put that there.
    pub final_tag: TagState,
    /// The objects of its annotated tags, as they were when they were made here.
    pub tag_objects: BTreeMap<RefName, ObjectId>,
    /// Where it is spoken about.
    pub place: Option<Place>,
    /// Who wrote the pull request that brought it.
    pub proposed_by: Option<UserId>,
    /// The channels of stages it was added to, and when (row D13).
    pub listed: BTreeMap<ChannelLabel, Timestamp>,
    /// What was signed about it and is kept, oldest first.
    pub evidence: Vec<Signed>,
    /// What of it is published where.
    pub ledger: Ledger,
    /// When its bytes were deleted, if they were.
    pub retired: Option<Timestamp>,
    /// Its notes, once somebody wrote or published them.
    pub notes: Option<Kept>,
    /// Attempts per stage, oldest first; the last one counts.
    pub stages: BTreeMap<StageName, Vec<StageRun>>,
    /// The pipeline's version when it last changed; plans leave out what has long been told.
    pub touched: u64,
}

/// What is known of a release's tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagState {
    /// Not asked for yet.
    Unknown,
    /// It points at the release's commit.
    There,
    /// It points elsewhere, or is gone: nothing of this release starts any more (THREATS T35).
    Moved(Option<CommitSha>),
    /// It points at the commit and is another annotated tag than the one that was made here, which is as bad.
    Remade,
}

/// One attempt of a release in a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageRun {
    /// From 1.
    pub attempt: u32,
    /// Why it exists.
    pub kind: RunKind,
    /// The revision of the release that it begins with, once it has started.
    pub begins_with: u32,
    /// The revision that it has come to: a further one, when its own steps made artifacts.
    pub revision: u32,
    /// Where it is.
    pub state: StageState,
    /// Who asked for it; nobody for the engine.
    pub by: Option<Person>,
    /// Who wrote what comes with it of releases before it.
    pub brought: Brought,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// From when on people could act: the wait for their approvals counts from here at the earliest.
    pub asked_from: Timestamp,
    /// Not before, for automatic retries.
    pub not_before: Option<Timestamp>,
    /// When it last moved.
    pub moved_at: Timestamp,
    /// What the last move said.
    pub detail: Detail,
    /// How often it was admitted, or let go on after a pause: each time a worker takes it anew.
    pub admissions: u32,
    /// The lease's number while it runs.
    pub fence: Option<u64>,
    /// When its commands started.
    pub started_at: Option<Timestamp>,
    /// Who approved.
    pub approvals: Vec<Approval>,
    /// Who signed off after the deploy.
    pub signoffs: Vec<Approval>,
    /// Approvals that were taken away, with the reason, for the page.
    pub withdrawn: Vec<(Approval, crate::domain::event::Withdrawal)>,
    /// Checks passed over.
    pub overrides: Vec<Override>,
    /// Who promoted it by hand.
    pub promoted: Option<Person>,
    /// When.
    pub promoted_at: Option<Timestamp>,
    /// The departure of the train that takes it along.
    pub departed: Option<Timestamp>,
    /// Where and when approval was offered.
    pub offers: Vec<Offer>,
    /// When its commands had passed: what follows are checks and people.
    pub worked_at: Option<Timestamp>,
    /// How long its commands took, in milliseconds.
    pub took_ms: u64,
    /// What its legs answered.
    pub legs: BTreeMap<LegId, Leg>,
    /// What was sampled on each side.
    pub gates: BTreeMap<Side, Ticks>,
    /// What was found bad about it once it was live.
    pub fault: Option<Fault>,
    /// How long it was live in one go, once another release has taken its place.
    pub stayed: Option<Span>,
    /// How far its steps are, and what they left.
    pub walked: Walked,
    /// The targets it deploys to, and where each is.
    pub rollout: Rollout,
    /// What it stopped to ask, oldest first.
    pub pauses: Vec<Pausing>,
}

/// What a gate found bad about a release that is live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The gate.
    pub gate: LegId,
    /// What it saw.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

/// A check passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Which.
    pub check: Overridable,
    /// By whom.
    pub by: Person,
    /// Why.
    pub reason: String,
    /// How many people it took when this one said it.
    pub of: u32,
    /// When.
    pub at: Timestamp,
}

/// A comment of ours that people may answer with a bare `/approve` (COMMANDS §4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// What it asks for.
    pub side: ApprovalSide,
    /// Where it stands.
    pub place: Place,
    /// The host's time of it.
    pub at: Timestamp,
}

/// Where a release as a whole is, derived (SEMANTICS §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReleaseState {
    /// Its artifact is being made.
    Building,
    /// Its artifact could not be made.
    BuildFailed,
    /// Sealed, nothing started yet.
    Ready,
    /// On its way.
    Active,
    /// Every mandatory stage succeeded.
    Released,
    /// A mandatory stage ended badly.
    Failed,
    /// A newer release took its place.
    Superseded,
    /// Somebody stopped it.
    Abandoned,
}

impl ReleaseState {
    /// The word people read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::BuildFailed => "build failed",
            Self::Ready => "ready",
            Self::Active => "active",
            Self::Released => "released",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
            Self::Abandoned => "abandoned",
        }
    }

    /// Whether nothing more will happen to it by itself.
    pub fn is_over(self) -> bool {
        match self {
            Self::Building | Self::Ready | Self::Active => false,
            Self::BuildFailed | Self::Released | Self::Failed | Self::Superseded | Self::Abandoned => true,
        }
    }
}

impl Release {
    /// Its number.
    pub fn no(&self) -> ReleaseNo {
        self.created.release
    }

    /// Its place in the order of commits; the number breaks ties.
    pub fn order(&self) -> (u64, ReleaseNo) {
        (self.created.seq, self.created.release)
    }

    /// What it is of that others of the pipeline are not.
    pub fn track(&self) -> Option<&Track> {
        self.created.track.as_ref()
    }

    /// Whether it comes after the other in the order of commits, on whatever branch, and is of the same track.
    pub fn is_ahead_of(&self, other: &Self) -> bool {
        self.track() == other.track() && self.order() > other.order()
    }

    /// Whether it contains what the other does: of the same track, and later on the same branch or made later of the
    /// same commit.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        self.created.branch == other.created.branch && self.is_ahead_of(other)
    }

    /// Whether it takes the other's turn in a queue: newer, and of the same track and channel (SEMANTICS §4).
    pub fn follows(&self, other: &Self) -> bool {
        self.is_beside(other) && self.is_newer_than(other)
    }

    /// Whether it is of the same branch and channel as the other, so that one of them is the newer.
    pub fn is_beside(&self, other: &Self) -> bool {
        self.created.channel == other.created.channel && self.created.branch == other.created.branch
    }

    /// Whether it brings what the other does.
    pub fn contains(&self, other: &Self) -> bool {
        self.no() == other.no() || self.is_newer_than(other)
    }

    /// The attempt that counts.
    pub fn run(&self, stage: &StageName) -> Option<&StageRun> {
        self.stages.get(stage).and_then(|runs| runs.last())
    }

    /// The attempt that says how far it is in a stage: a rollback that ended before it began has changed nothing.
    pub fn standing(&self, stage: &StageName) -> Option<&StageRun> {
        let never = |run: &&StageRun| {
            run.kind == RunKind::Rollback && run.state.is_terminal() && run.started_at.is_none()
        };
        self.stages.get(stage)?.iter().rfind(|run| !never(run))
    }

    /// A certain attempt.
    pub fn attempt(&self, stage: &StageName, attempt: u32) -> Option<&StageRun> {
        self.stages.get(stage)?.iter().find(|run| run.attempt == attempt)
    }

    /// Whether commits of other repositories are still to be found before it can be built.
    pub fn lacks_sources(&self) -> bool {
        self.sources.len() < self.created.pipeline.sources.len()
    }

    /// Where it is in a stage; nothing before its artifact is sealed.
    pub fn state_in(&self, stage: &StageName) -> Option<StageState> {
        self.run(stage).map(|run| run.state)
    }

    /// The stage as this release must see it: its own steps, the strictest rules.
    pub fn rule(&self, stage: &StageName) -> Option<&Stage> {
        self.rules.stage(stage)
    }

    /// The stage that waits longest for this release to soak in another one, and guards that.
    pub fn guarded(&self, soaks_in: &StageName) -> Option<&Stage> {
        let guards = |next: &&Stage| {
            next.hold_during_soak
                && next.comes_from().any(|need| need == soaks_in)
                && self.run(&next.name).is_some_and(|run| {
                    run.state == S::Pending && run.overridden(&Overridable::Soak, next).is_none()
                })
        };
        self.rules.stages.iter().filter(guards).max_by_key(|next| next.soak)
    }

    /// The stage with the steps of this release's commit.
    pub fn steps(&self, stage: &StageName) -> Option<&Stage> {
        self.created.pipeline.stage(stage)
    }

    /// What it has of its own while it is in a stage.
    pub fn lock<'r>(&'r self, stage: &'r Stage) -> Lock<'r> {
        Lock { environment: stage.lock(), track: self.track() }
    }

    /// The group of its work in a stage: with a track one of its own, below the name of the lock.
    pub fn lock_group(&self, stage: &Stage, repo: &RepoId) -> String {
        let lock = stage.lock_group(repo);
        self.track().map_or_else(|| lock.clone(), |track| format!("{lock} {track}"))
    }

    /// Where it is deployed in a stage.
    pub fn site(&self, stage: &Stage) -> Site {
        (stage.environment.clone(), self.track().cloned())
    }

    /// The artifact that speaks for it, where the manifest names one.
    pub fn primary(&self) -> Option<&Sealed> {
        let primary = self.created.pipeline.primary.as_ref()?;
        self.artifacts.iter().find(|sealed| sealed.alias == *primary)
    }

    /// The build of another pipeline that an artifact was taken from: the version of that component.
    pub fn origin(&self, alias: &Alias) -> Option<&Built> {
        let inherited = self.created.pipeline.inherits.iter().find(|inherited| inherited.alias == *alias)?;
        self.created.builds.iter().find(|build| build.pipeline == inherited.pipeline)
    }

    /// Whether an artifact goes to others; one that does not is in no list of theirs.
    pub fn ships(&self, sealed: &Sealed) -> bool {
        let pipeline = &self.created.pipeline;
        let own = !pipeline.withheld.contains(&sealed.alias);
        own && !self.created.withheld_abroad(&sealed.alias)
            && pipeline.drops().all(|drop| *drop != sealed.alias)
    }

    /// The artifacts that do.
    pub fn shipped(&self) -> impl Iterator<Item = &Sealed> {
        self.artifacts.iter().filter(|sealed| self.ships(sealed))
    }

    /// The digest people see: that of the primary artifact or of the only one, the release's when there are several.
    pub fn shown_digest(&self) -> Option<&Digest> {
        match (self.primary(), self.artifacts.as_slice()) {
            (Some(primary), _) => Some(&primary.digest),
            (None, [only]) => Some(&only.digest),
            (None, _) => self.digest.as_ref(),
        }
    }

    /// Whether something may still happen to it by itself.
    pub fn is_open(&self) -> bool {
        !self.state().is_over()
            || self.stages.values().any(|runs| runs.last().is_some_and(|r| !r.state.is_terminal()))
    }

    /// What was signed about a matter, if that was.
    pub fn signed(&self, what: &Matter) -> Option<&Signed> {
        self.evidence.iter().find(|signed| signed.what == *what)
    }

    /// Where it is as a whole.
    pub fn state(&self) -> ReleaseState {
        match &self.build {
            BuildState::Waiting | BuildState::Running { .. } => return ReleaseState::Building,
            BuildState::Failed(_) => return ReleaseState::BuildFailed,
            BuildState::NotNeeded => return ReleaseState::Superseded,
            BuildState::Sealed => {}
        }
        let stands = |stage: &StageName| self.standing(stage).map(|run| run.state);
        let mandatory =
            || self.rules.stages.iter().filter(|s| s.duty == Duty::Mandatory).filter_map(|s| stands(&s.name));
        let any = |state: StageState| mandatory().any(|s| s == state);
        let states: Vec<StageState> = self.stages.keys().filter_map(stands).collect();
        let optional_only = mandatory().next().is_none() && states.iter().any(|s| !s.is_terminal());
        if !optional_only && mandatory().all(|s| matches!(s, S::Succeeded | S::Skipped)) {
            ReleaseState::Released
        } else if states.iter().any(|s| !s.is_terminal()) {
            let started = states.iter().any(|s| !matches!(s, S::Pending));
            if started { ReleaseState::Active } else { ReleaseState::Ready }
        } else if any(S::Superseded) {
            ReleaseState::Superseded
        } else if any(S::Cancelled) && !mandatory().any(|s| matches!(s, S::Failed | S::Errored | S::TimedOut))
        {
            ReleaseState::Abandoned
        } else {
            ReleaseState::Failed
        }
    }
}

impl StageRun {
    /// What people are asked for now: to let it start, or, once it is deployed, whether it is good.
    pub fn side(&self) -> ApprovalSide {
        if self.state == S::AwaitingSignoff { ApprovalSide::After } else { ApprovalSide::Before }
    }

    /// Whether it is this attempt, at work under this lease: what another worker reports of it is out of date.
    pub fn is_held_by(&self, attempt: u32, fence: u64) -> bool {
        self.attempt == attempt && self.fence == Some(fence) && self.state.occupies()
    }

    /// What it waits to be answered.
    pub fn asking(&self) -> Option<&Pausing> {
        self.pauses.last().filter(|pausing| self.state == S::Paused && pausing.answer.is_none())
    }

    /// What people gave on a side and has not been taken away.
    pub fn given(&self, side: ApprovalSide) -> &[Approval] {
        match side {
            ApprovalSide::Before => &self.approvals,
            ApprovalSide::After => &self.signoffs,
        }
    }

    /// What this person gave on the side that is asked for now and still stands.
    pub fn given_by(&self, person: UserId) -> impl Iterator<Item = &Approval> {
        self.given(self.side()).iter().filter(move |a| a.standing.person.id == person)
    }

    /// The override of a check, once as many people said it as the stage asks for: the last of them.
    pub fn overridden(&self, check: &Overridable, stage: &Stage) -> Option<&Override> {
        let given = self.overrides_of(check).count();
        let enough = u32::try_from(given).is_ok_and(|given| given >= stage.overriding.min.max(1));
        self.overrides_of(check).last().filter(|_| enough)
    }

    /// Whether it is live although something was passed over on the way (SEMANTICS §2, `succeeded_with_issues`).
    pub fn has_issues(&self, stage: &Stage) -> bool {
        let passed = |said: &Override| self.overridden(&said.check, stage).is_some();
        self.state == StageState::Succeeded && self.overrides.iter().any(passed)
    }

    /// The word people read of it.
    pub fn word(&self, stage: &Stage) -> &'static str {
        if self.has_issues(stage) { LIVE_WITH_ISSUES } else { self.state.word() }
    }

    /// Everybody who overrode a check, each once, in the order in which they did.
    pub fn overrides_of(&self, check: &Overridable) -> impl Iterator<Item = &Override> {
        self.overrides.iter().filter(move |o| o.check == *check)
    }
}
