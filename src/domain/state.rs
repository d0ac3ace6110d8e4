//! Everything known about one pipeline: the sum of its events.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::domain::approval::{approvers, asked, stage_approvers};
use crate::domain::demand::Demands;
use crate::domain::event::{BuildOutcome, Heard, Sealed};
use crate::domain::join::{Listener, Upstream};
use crate::domain::name::{
    CommentId, CommitSha, Digest, PipelineId, ReleaseNo, StageName, TeamName, TeamWord, ThreadId, TreeSha,
    VariableName,
};
use crate::domain::person::Person;
use crate::domain::pipeline::Pipeline;
use crate::domain::policy::server::StagePolicy;
use crate::domain::progress::{Kept, Owing};
use crate::domain::proposal::Proposal;
use crate::domain::release::{Release, StageRun};
use crate::domain::rollout::Known;
use crate::domain::runbook::Runbook;
use crate::domain::runbook::run::Runs;
use crate::domain::slot;
use crate::domain::source::Found;
use crate::domain::time::Timestamp;
use crate::domain::track::{Site, Track};
use crate::domain::version::Version;

mod brought;
mod channel;
mod check;
mod fold;
pub(in crate::domain) mod freeze;
mod guard;
mod live;
mod progress;
mod publication;
mod rollout;

pub use freeze::Freeze;

/// One pipeline.
#[derive(Debug, Clone)]
pub struct State {
    /// Which.
    pub id: PipelineId,
    /// How many events made it: the stream's version.
    pub version: u64,
    /// What the head of the protected branch declares.
    pub head: Option<(CommitSha, Arc<Pipeline>)>,
    /// What the server asks of stages beside the manifests.
    pub server_policy: Arc<Vec<StagePolicy>>,
    /// What the head declares with what the server asks.
    pub(super) in_force: Option<Arc<Pipeline>>,
    /// Every release.
    pub releases: BTreeMap<ReleaseNo, Arc<Release>>,
    /// Holds; no stage means all of them, no track all that a stage has.
    pub holds: BTreeMap<(Option<StageName>, Option<Track>), Hold>,
    /// Freezes; no stage means all of them.
    pub freezes: BTreeMap<Option<StageName>, Freeze>,
    /// Releases that may not start in a stage any more, with the reason.
    pub vetoes: BTreeMap<(StageName, ReleaseNo), String>,
    /// Counters of names, with the value that was last taken.
    pub counters: BTreeMap<String, u32>,
    /// What runs where, of each track.
    pub live: BTreeMap<(StageName, Option<Track>), Live>,
    /// Successes per stage, oldest first: where a rollback may go.
    pub history: BTreeMap<StageName, Vec<ReleaseNo>>,
    /// Quality builds of pull requests.
    pub checks: BTreeMap<CommitSha, Check>,
    /// What pull requests would do to the rules, with the pipeline's version when that last changed.
    pub proposals: BTreeMap<ThreadId, (u64, Arc<Proposal>)>,
    /// Answers owed to comments, by the version at which they were decided.
    pub answers: BTreeMap<u64, (Timestamp, Arc<Heard>)>,
    /// Every command line a comment was ever heard with: a delivery that comes again is not heard again (THREATS T7).
    pub heard: Arc<BTreeSet<(CommentId, String)>>,
    /// Alarms raised, by version.
    pub alarms: BTreeMap<u64, Alarm>,
    /// Runs of runbooks, and their clocks.
    pub runbooks: Arc<Runs>,
    /// What steps kept for the next releases there (row A20).
    pub kept: BTreeMap<Site, BTreeMap<VariableName, Kept>>,
    /// Hooks that a lost run there never came to.
    pub owing: BTreeMap<Site, Owing>,
    /// Which target runs what.
    pub targets: Known,
    /// Which slot holds what, and which one is live.
    pub slots: slot::Known,
    /// Starts that no push asks for, and their clocks.
    pub demands: Arc<Demands>,
    /// What other pipelines told of their builds.
    pub upstream: Arc<Upstream>,
    /// Pipelines of other repositories that are told of this one's builds, each since when.
    pub listeners: Arc<BTreeMap<Listener, Timestamp>>,
}

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Who; nobody for a rollback.
    pub by: Option<Person>,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// The hold of a rollback that came while somebody held the stage: it is there when they lift theirs.
    pub below: Option<Box<Self>>,
}

impl Hold {
    /// What of it, or below it, a rollback left.
    pub fn of_rollback(&self) -> Option<&Self> {
        if self.by.is_none() { Some(self) } else { self.below.as_deref() }
    }
}

/// What runs in a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Live {
    /// This release, since then.
    Release(ReleaseNo, Timestamp),
    /// A deploy of this release ended without anybody knowing how (SEMANTICS §8).
    Unknown(ReleaseNo),
}

impl Live {
    /// The release that runs there, as far as anybody knows.
    pub fn release(&self) -> ReleaseNo {
        match self {
            Self::Release(no, _) | Self::Unknown(no) => *no,
        }
    }
}

/// A quality build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The pull request.
    pub thread: Option<ThreadId>,
    /// Which try.
    pub attempt: u32,
    /// The rules it is built by.
    pub pipeline: Arc<Pipeline>,
    /// How far it is.
    pub progress: CheckProgress,
    /// The tree of the head, when what its build leaves is kept for a release to take.
    pub tree: Option<TreeSha>,
    /// What that took of other repositories.
    pub sources: Vec<Found>,
    /// Under which digest the lock files of the tree that it left are kept.
    pub locks: Option<Digest>,
    /// What executed it, when what it left is kept.
    pub executor: Option<Digest>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What it left once and is not kept any longer, so that none of it is forgotten.
    pub gone: BTreeSet<Digest>,
    /// The pipeline's version when it last changed.
    pub touched: u64,
}

impl Check {
    /// What its build left that is kept.
    pub fn left(&self) -> &[Sealed] {
        match &self.progress {
            CheckProgress::Over(BuildOutcome::Sealed(left)) => left,
            CheckProgress::Over(
                BuildOutcome::Passed
                | BuildOutcome::Failed(_)
                | BuildOutcome::Errored(_)
                | BuildOutcome::Cancelled(_),
            )
            | CheckProgress::Waiting
            | CheckProgress::Running(_)
            | CheckProgress::Refused(_) => &[],
        }
    }

    /// Every stored file that is kept of it.
    pub fn stored(&self) -> impl Iterator<Item = &Digest> {
        self.left().iter().map(|left| &left.digest).chain(&self.locks)
    }

    /// All that it has left so far, and is not to be kept from now on.
    pub(super) fn let_go(&self) -> BTreeSet<Digest> {
        self.gone.iter().chain(self.stored()).cloned().collect()
    }
}

/// How far a quality build is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckProgress {
    /// A worker should take it.
    Waiting,
    /// A worker has it.
    Running(u64),
    /// It ended.
    Over(BuildOutcome),
    /// It will not be built.
    Refused(String),
}

/// Something a person should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// The release it is about.
    pub release: Option<ReleaseNo>,
    /// Stable code.
    pub code: String,
    /// The sentence.
    pub text: String,
}

/// Code of the alarm about stored bytes that changed.
pub const DIGEST_MISMATCH: &str = "digest_mismatch";

/// Answers and alarms older than this many events have long been sent; the log keeps them.
pub const TOLD_AFTER: u64 = 500;

/// An event that cannot follow the events before it: the log was not written by this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Illegal {
    /// The event's version.
    pub version: u64,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {} cannot follow: {}", self.version, self.what)
    }
}

impl std::error::Error for Illegal {}

impl State {
    /// A pipeline before its first event.
    pub fn new(id: PipelineId) -> Self {
        Self {
            id,
            version: 0,
            head: None,
            server_policy: Arc::default(),
            in_force: None,
            releases: BTreeMap::new(),
            holds: BTreeMap::new(),
            freezes: BTreeMap::new(),
            vetoes: BTreeMap::new(),
            counters: BTreeMap::new(),
            live: BTreeMap::new(),
            history: BTreeMap::new(),
            checks: BTreeMap::new(),
            proposals: BTreeMap::new(),
            answers: BTreeMap::new(),
            heard: Arc::new(BTreeSet::new()),
            alarms: BTreeMap::new(),
            runbooks: Arc::default(),
            kept: BTreeMap::new(),
            owing: BTreeMap::new(),
            targets: Known::new(),
            slots: slot::Known::new(),
            demands: Arc::default(),
            upstream: Arc::default(),
            listeners: Arc::default(),
        }
    }

    /// Releases in the order of commits.
    pub fn in_order(&self) -> Vec<&Arc<Release>> {
        let mut all: Vec<_> = self.releases.values().collect();
        all.sort_by_key(|r| r.order());
        all
    }

    /// Releases something may still happen to, in the order of commits.
    pub fn open(&self) -> Vec<&Arc<Release>> {
        let mut all: Vec<_> = self.releases.values().filter(|r| r.is_open()).collect();
        all.sort_by_key(|r| r.order());
        all
    }

    /// A release.
    pub fn release(&self, no: ReleaseNo) -> Option<&Arc<Release>> {
        self.releases.get(&no)
    }

    /// Every version taken so far.
    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        self.releases.values().map(|r| &r.created.version)
    }

    /// The version of a release, for sentences.
    pub fn version_of(&self, no: ReleaseNo) -> String {
        self.release(no).map_or_else(|| format!("release {no}"), |r| r.created.version.to_string())
    }

    /// The number the next release gets.
    pub fn next_no(&self) -> Option<ReleaseNo> {
        let last = self.releases.keys().next_back().map_or(0, |no| no.0.get());
        last.checked_add(1).and_then(std::num::NonZeroU32::new).map(ReleaseNo)
    }

    /// The rules now in force: the head's, or those of the newest release.
    pub fn pipeline(&self) -> Option<Arc<Pipeline>> {
        self.in_force.clone().or_else(|| self.releases.values().next_back().map(|r| Arc::clone(&r.rules)))
    }

    /// The stages that people may speak of: those of the rules in force, and those that open releases have besides.
    pub fn stage_names(&self) -> Vec<StageName> {
        let head = self.pipeline();
        let open = self.releases.values().filter(|r| r.is_open()).map(|r| &r.rules);
        let mut names: Vec<StageName> = Vec::new();
        for name in head.iter().chain(open).flat_map(|rules| rules.stage_names()) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    /// The host's teams that the rules in force name: those of the head and those that open releases keep.
    pub fn teams(&self) -> BTreeSet<TeamName> {
        let head = self.pipeline();
        let open = self.releases.values().filter(|r| r.is_open()).map(|r| &r.rules);
        let rules = open.chain(&head).flat_map(|p| &p.stages).flat_map(|stage| {
            let overriding = stage.overriding.from.iter().flatten().cloned();
            let signing = stage.signoff.iter().flat_map(approvers);
            stage_approvers(stage).into_iter().chain(signing).chain(overriding).collect::<Vec<_>>()
        });
        let books = head.iter().flat_map(|p| &p.runbooks).flat_map(Runbook::people);
        rules.chain(books).filter_map(|who| who.host_team().cloned()).collect()
    }

    /// Whether a stage of an open release asks for this team now.
    pub fn asks(&self, team: &TeamWord) -> bool {
        let runs = self.open().into_iter().flat_map(|release| {
            release.stages.iter().filter_map(|(name, runs)| release.rule(name).zip(runs.last()))
        });
        runs.filter(|(_, run)| run.state.asks())
            .filter_map(|(rule, run)| asked(rule, run))
            .any(|rule| approvers(&rule).iter().any(|who| who.is_called(team)))
    }

    /// The hold that stops a release of this track in a stage, if one does.
    pub fn hold_on(&self, stage: &StageName, track: Option<&Track>) -> Option<&Hold> {
        let stage = Some(stage.clone());
        let of_stage = self.holds.get(&(None, None)).or_else(|| self.holds.get(&(stage.clone(), None)));
        of_stage.or_else(|| self.holds.get(&(stage, track.cloned())))
    }

    /// The hold that a rollback left for releases of this track in a stage, whoever holds it besides.
    pub fn hold_of_rollback(&self, stage: &StageName, track: Option<&Track>) -> Option<&Hold> {
        let of = |track| self.holds.get(&(Some(stage.clone()), track)).and_then(Hold::of_rollback);
        of(None).or_else(|| of(track.cloned()))
    }

    /// What runs in a stage of this track.
    pub fn live_at(&self, stage: &StageName, track: Option<&Track>) -> Option<&Live> {
        self.live.get(&(stage.clone(), track.cloned()))
    }

    /// What runs in a stage, of each track that is there.
    pub fn live_of(&self, stage: &StageName) -> impl Iterator<Item = (Option<&Track>, &Live)> {
        let here = self.live.iter().filter(move |((at, _), _)| at == stage);
        here.map(|((_, track), live)| (track.as_ref(), live))
    }

    /// The release of this track that is live in a stage, when that is known.
    pub fn live_in(&self, stage: &StageName, track: Option<&Track>) -> Option<&Arc<Release>> {
        match self.live_at(stage, track)? {
            Live::Release(no, _) => self.release(*no),
            Live::Unknown(_) => None,
        }
    }

    /// The newest release of the same branch, track and channel that has ever succeeded in the stage, when it is newer
    /// than this one: an older one never starts over it, except as a rollback (invariant I7).
    pub fn outrun_by(&self, release: &Release, stage: &StageName) -> Option<&Arc<Release>> {
        self.done(stage).filter(|done| done.follows(release)).max_by_key(|done| done.order())
    }

    /// Whether stored bytes of the release were found changed: it stays vetoed for ever (THREATS T44).
    pub fn tampered(&self, no: ReleaseNo) -> bool {
        self.alarms.values().any(|a| a.release == Some(no) && a.code == DIGEST_MISMATCH)
    }

    /// Every release of the commit of this one: itself, and what was made of it besides, as on other branches.
    pub fn twins<'s>(&'s self, release: &'s Release) -> impl Iterator<Item = &'s Arc<Release>> {
        self.releases.values().filter(|twin| twin.created.commit == release.created.commit)
    }

    /// Whether a release brings the commit of another one, of whatever branch that one is: what was made of the commit on
    /// the branch of the first counts as well.
    fn brings<'s>(&'s self, release: &'s Release) -> impl Fn(&Release) -> bool {
        let twins: Vec<_> = self.twins(release).filter(|twin| twin.track() == release.track()).collect();
        move |brings| twins.iter().any(|twin| brings.contains(twin))
    }

    /// Whether the commit of this release is in what runs in the stage, as far as anybody knows (SEMANTICS §2).
    pub fn carries(&self, stage: &StageName, release: &Release) -> bool {
        let brings = self.brings(release);
        match self.live_at(stage, release.track()) {
            Some(Live::Release(no, _)) => self.release(*no).is_some_and(|live| brings(live)),
            Some(Live::Unknown(_)) => self.done(stage).any(|done| brings(done)),
            None => false,
        }
    }

    /// The first release that brought the commit of this one to the stage, while the commit is live there.
    pub fn shipped_in(&self, stage: &StageName, release: &Release) -> Option<&Arc<Release>> {
        let brings = self.brings(release);
        let first = self.done(stage).filter(|done| brings(done)).min_by_key(|done| done.order());
        first.filter(|_| self.carries(stage, release))
    }

    /// Releases that succeeded in the stage, in the order in which they last did.
    pub fn done(&self, stage: &StageName) -> impl Iterator<Item = &Arc<Release>> {
        let history = self.history.get(stage).map(Vec::as_slice).unwrap_or_default();
        history.iter().filter_map(|no| self.release(*no))
    }

    /// Releases of a track that a rollback of the stage may go to, in the order in which they last succeeded there: they
    /// are not vetoed there and do not run there now, and their bytes are kept (SEMANTICS §8, §11).
    pub fn rollback_targets(&self, stage: &StageName, track: Option<&Track>) -> Vec<&Arc<Release>> {
        let live = self.live_in(stage, track).map(|r| r.no());
        let vetoed = |no: ReleaseNo| self.vetoes.contains_key(&(stage.clone(), no));
        let kept = self.done(stage).filter(|r| r.track() == track && r.retired.is_none());
        kept.filter(|r| Some(r.no()) != live && !vetoed(r.no())).collect()
    }

    /// Where the commands of a comment stand that was answered, for withdrawing approvals.
    pub fn approvals_by_comment<'a>(
        &'a self,
        comment: &'a CommentId,
    ) -> impl Iterator<Item = (&'a Arc<Release>, &'a StageName, &'a StageRun)> {
        self.releases.values().flat_map(move |release| {
            release.stages.iter().filter_map(move |(stage, runs)| {
                let run = runs.last()?;
                let mine =
                    run.approvals.iter().chain(&run.signoffs).any(|a| a.comment.as_ref() == Some(comment));
                mine.then_some((release, stage, run))
            })
        })
    }
}
