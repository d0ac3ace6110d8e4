//! What is decided about: every command, with all that it has to know of the world.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::check::{LegId, Side};
use crate::domain::command::Ask;
use crate::domain::effect::{Offering, Place};
use crate::domain::event::{
    ApprovalSide, BuildOutcome, Change, Failure, GroupWritten, Sealed, StartedBy, Unlisted, Withdrawal,
};
use crate::domain::evidence::Attested;
use crate::domain::join::{Built, Expected, Listener};
use crate::domain::name::{
    CommentId, CommitSha, Digest, Login, RefName, ReleaseNo, StageName, ThreadId, TreeSha, UserId,
};
use crate::domain::pause::Question;
use crate::domain::person::{Person, Standing, Visibility};
use crate::domain::pipeline::Pipeline;
use crate::domain::policy::server::StagePolicy;
use crate::domain::probe::Reading;
use crate::domain::progress::Progress;
use crate::domain::proposal::Proposal;
use crate::domain::publication;
use crate::domain::retention::Retention;
use crate::domain::reuse::TakenOver;
use crate::domain::rollout::Said;
use crate::domain::source::Found;
use crate::domain::tag::TagNow;
use crate::domain::time::Timestamp;
use crate::domain::variable::Taken;
use crate::domain::version::Version;
use crate::domain::workflow::RunRef;

/// Everything that can happen to a pipeline.
#[derive(Debug, Clone)]
pub enum Command {
    /// The manifest at the head of the protected branch was read.
    SeePolicy {
        /// The head.
        commit: CommitSha,
        /// What it declares.
        pipeline: Box<Pipeline>,
    },
    /// The server's config was read.
    SeeServerPolicy {
        /// What it asks of the pipeline's stages, all of it.
        policies: Vec<StagePolicy>,
    },
    /// Something should become a release.
    Start(Box<Start>),
    /// The commits of other repositories that a release takes were looked for.
    Find {
        /// The release.
        release: ReleaseNo,
        /// Which try of its build.
        attempt: u32,
        /// All of them, or how the build ends for want of one.
        found: Result<Vec<Found>, BuildOutcome>,
    },
    /// A pull request's head should be built.
    Check(Box<CheckRequest>),
    /// A pull request's head was compared with where it began.
    Propose(Box<Proposal>),
    /// A push starts pipelines whose builds this one listens to.
    Expect(Box<Expected>),
    /// A build of another pipeline ended.
    Hear(Box<Built>),
    /// The pipelines of other repositories that take builds of this one were looked for; all of them.
    SeeListeners(BTreeSet<Listener>),
    /// Something that was built elsewhere was handed in and is stored.
    Upload(Box<Upload>),
    /// Somebody writes a release's notes.
    WriteNotes {
        /// The release.
        release: ReleaseNo,
        /// Markdown.
        text: String,
        /// Who, asked from the host just now.
        standing: Box<Standing>,
    },
    /// A release's notes are published.
    FreezeNotes {
        /// The release.
        release: ReleaseNo,
    },
    /// A run of a workflow of the host's own CI is over, and counts.
    SeeRun(RunRef),
    /// A start that was asked for makes no release.
    Drop {
        /// Which.
        no: u32,
        /// Why.
        why: String,
    },
    /// A worker wants to start a piece of work.
    Begin {
        /// Which.
        work: Work,
        /// The lease's number.
        fence: u64,
        /// What was read back from the host just now.
        fresh: Fresh,
    },
    /// A worker ended a piece of work.
    Finish {
        /// Which.
        work: Work,
        /// The lease's number; an old one is refused.
        fence: u64,
        /// How it ended.
        ended: Ended,
    },
    /// The host was asked whether those who signed a stage off still may.
    Confirm {
        /// The release.
        release: ReleaseNo,
        /// The stage.
        stage: StageName,
        /// The attempt.
        attempt: u32,
        /// What it said.
        fresh: Fresh,
    },
    /// A worker is over with a part of a stage.
    Progress {
        /// Which.
        work: Work,
        /// The lease's number; an old one is refused.
        fence: u64,
        /// Which part, and what it left.
        progress: Box<Progress>,
    },
    /// A worker is about to work on a target of a stage, or has.
    Roll {
        /// Which run.
        work: Work,
        /// The lease's number; an old one is refused.
        fence: u64,
        /// What happens, or has.
        said: Said,
    },
    /// A row of the ledger moves: something is about to be published, or has been.
    Publish {
        /// Which run.
        work: Work,
        /// The lease's number; an old one is refused.
        fence: u64,
        /// What happens, or has.
        said: publication::Said,
    },
    /// A step wrote a document of its release, which is stored.
    Write {
        /// Which run.
        work: Work,
        /// The lease's number; an old one is refused.
        fence: u64,
        /// What was kept.
        written: Box<Attested>,
    },
    /// The host told us something about a release.
    Learn(Learned),
    /// Somebody said a command.
    Speak(Box<Spoken>),
    /// Somebody said something to us that no command came of.
    Answer(Box<Unclear>),
    /// A comment that may hold approvals was edited or deleted.
    Unspeak {
        /// The comment.
        comment: CommentId,
        /// How it went.
        why: Withdrawal,
    },
    /// The bytes of a release are to be deleted, if nothing keeps them.
    Retire {
        /// Which release.
        release: ReleaseNo,
        /// What says so.
        rule: Retention,
    },
    /// What the build of a pull request's head left is to be deleted, if it is due.
    RetireCheck {
        /// The head.
        commit: CommitSha,
    },
    /// Something about a release was signed and is stored.
    Attest(Box<Attested>),
    /// A timer came due, or the state should be looked at again.
    Tick,
}

/// What a release begins with, read from the repository.
#[derive(Debug, Clone)]
pub struct Start {
    /// The commit.
    pub commit: CommitSha,
    /// Its tree.
    pub tree: Option<TreeSha>,
    /// The branch it is on.
    pub branch: RefName,
    /// What starts it.
    pub started_by: StartedBy,
    /// Its place on the branch's first-parent line.
    pub seq: u64,
    /// Who started it.
    pub initiator: Option<Person>,
    /// Who pushed it.
    pub pusher: Option<Login>,
    /// The push was found, and nobody told of it.
    pub unheard: bool,
    /// Commits since the last release, newest first.
    pub changes: Vec<Change>,
    /// Those beyond what is listed.
    pub unlisted: Unlisted,
    /// The whole messages of those commits, for the version.
    pub messages: Vec<String>,
    /// Versions that tags of the repository have taken.
    pub taken: Vec<Version>,
    /// Versions that releases of other repositories put here as tags: names that are taken, and no more.
    pub taken_by_others: Vec<Version>,
    /// The pipeline of exactly this commit.
    pub pipeline: Box<Pipeline>,
    /// Digest of its manifest.
    pub manifest: Digest,
    /// Seconds since 1970 of the commit.
    pub epoch_s: i64,
    /// The newest known release of the branch whose commit has this one among its ancestors.
    pub included_in: Option<ReleaseNo>,
    /// The repository, as people write it.
    pub project: String,
    /// Files that say how the artifact is made.
    pub files: Vec<String>,
    /// What it takes of variable groups.
    pub groups: Taken,
    /// What was fetched of the run that it is made of.
    pub fetched: Vec<Sealed>,
}

/// Something that was built elsewhere.
#[derive(Debug, Clone)]
pub struct Upload {
    /// What is stored, under the name that the manifest gives it.
    pub artifact: Sealed,
    /// The commit that it belongs to, when it belongs to one.
    pub commit: Option<CommitSha>,
    /// Who hands it in, asked from the host just now.
    pub standing: Standing,
}

/// A pull request's head.
#[derive(Debug, Clone)]
pub struct CheckRequest {
    /// The head commit.
    pub commit: CommitSha,
    /// The pull request.
    pub thread: Option<ThreadId>,
    /// The protected branch's pipeline.
    pub pipeline: Box<Pipeline>,
    /// Its tree, when it is of this repository and of somebody who may write to it: then what its build leaves may be
    /// kept.
    pub tree: Option<TreeSha>,
    /// Why it will not be built, if so.
    pub refused: Option<String>,
    /// Whether somebody asked for it again.
    pub again: bool,
}

/// A piece of work of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// A build.
    Build {
        /// Which release.
        release: ReleaseNo,
        /// Which try.
        attempt: u32,
    },
    /// A quality build.
    Check {
        /// The head commit.
        commit: CommitSha,
        /// Which try.
        attempt: u32,
    },
    /// A stage.
    Deploy {
        /// Which release.
        release: ReleaseNo,
        /// Which stage.
        stage: StageName,
        /// Which attempt.
        attempt: u32,
        /// Which admission.
        admission: u32,
    },
    /// A runbook.
    Runbook {
        /// Which run.
        run: u32,
        /// How often it was put back before.
        turn: u32,
    },
    /// One leg of a stage's verification.
    Leg {
        /// Which release.
        release: ReleaseNo,
        /// Which stage.
        stage: StageName,
        /// Which attempt.
        attempt: u32,
        /// Which leg.
        leg: LegId,
        /// How many answers it had.
        sample: u32,
    },
    /// One sample of a stage's gates.
    Gates {
        /// Which release.
        release: ReleaseNo,
        /// Which stage.
        stage: StageName,
        /// Which attempt.
        attempt: u32,
        /// Which side.
        side: Side,
        /// How many samples it had.
        sample: u32,
    },
}

/// What was read back from the host right before something irreversible (ARCHITECTURE invariant 8).
#[derive(Debug, Clone, Default)]
pub struct Fresh {
    /// The approvers' standing now; who is missing here was not asked about.
    pub standings: BTreeMap<UserId, Standing>,
    /// Approvals whose comment is no longer as it was.
    pub comments_changed: BTreeSet<CommentId>,
    /// Where the release's tags point now, those that were asked.
    pub tags: Vec<TagNow>,
    /// Whether the commit is still on its branch.
    pub off_branch: bool,
    /// A build of another commit that the release is made of, with that commit, when its branch has lost that.
    pub lost_build: Option<String>,
    /// Why the stage's steps cannot run on this machine, if so: a program, secret or argument that is missing.
    pub cannot_start: Option<String>,
    /// What the gates before the stage say now, when what they said last is old.
    pub gates: Option<Vec<(LegId, Reading)>>,
}

/// How a piece of work ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// A build.
    Build(BuildOutcome),
    /// Nothing was built: what another build left is what it would have left, and its bytes are what was sealed.
    Reused(TakenOver),
    /// A build whose artifacts are kept: a release's, or a quality build's for a release to take.
    Left {
        /// What was sealed.
        artifacts: Vec<Sealed>,
        /// Under which digest the lock files of the tree that it left are kept.
        locks: Digest,
        /// What executed it, when another release may take what it left.
        executor: Option<Digest>,
        /// What it took of other repositories.
        sources: Vec<Found>,
    },
    /// A stage.
    Stage(StageEnd),
    /// A leg.
    Leg {
        /// What it answered.
        reading: Reading,
        /// The last lines of its log.
        tail: Vec<String>,
    },
    /// The gates of a side.
    Gates(Vec<(LegId, Reading)>),
}

/// How a stage's commands ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StageEnd {
    /// All of them passed.
    Passed {
        /// In so many milliseconds.
        took_ms: u64,
    },
    /// One said no.
    Failed(Failure),
    /// They ran longer than the stage's timeout.
    TimedOut(Failure),
    /// They were stopped because somebody cancelled.
    Stopped,
    /// A step asks people.
    Paused(Box<Question>),
    /// It could not be done.
    Errored(String),
    /// The stored artifact is not what was sealed; not overridable (SEMANTICS §7, THREATS T44).
    Tampered(String),
}

/// What the host told us.
#[derive(Debug, Clone)]
pub enum Learned {
    /// Where a release's tag points.
    Tag {
        /// The release.
        release: ReleaseNo,
        /// The tag.
        now: TagNow,
    },
    /// Where a release is spoken about.
    Place {
        /// The release.
        release: ReleaseNo,
        /// Where.
        place: Place,
        /// Who wrote the pull request, if it is one.
        proposed_by: Option<UserId>,
    },
    /// An offer was shown.
    Offer {
        /// The release.
        release: ReleaseNo,
        /// The stage.
        stage: StageName,
        /// The attempt.
        attempt: u32,
        /// Where.
        place: Place,
        /// The host's time of our comment.
        at: Timestamp,
        /// What it asks for.
        side: ApprovalSide,
    },
    /// A stage's commands wrote into a variable group.
    GroupWritten(GroupWritten),
    /// Something a person should look at.
    Alarm {
        /// The release, when it is about one.
        release: Option<ReleaseNo>,
        /// Stable code.
        code: String,
        /// The sentence.
        text: String,
    },
}

impl Learned {
    /// A comment that offers something stands there now, by the host's time.
    pub fn offer(offered: &Offering, place: &Place, at: Timestamp) -> Self {
        Self::Offer {
            release: offered.release,
            stage: offered.stage.clone(),
            attempt: offered.attempt,
            place: place.clone(),
            at,
            side: offered.side,
        }
    }
}

/// A command somebody said, with who they are.
#[derive(Debug, Clone)]
pub struct Spoken {
    /// What they ask for.
    pub ask: Ask,
    /// The line, as written and made printable.
    pub line: String,
    /// The comment, unless it came by the API.
    pub comment: Option<CommentId>,
    /// Where it was said.
    pub place: Option<Place>,
    /// The host's time of it.
    pub at: Timestamp,
    /// Digest of the comment's text.
    pub body: Digest,
    /// Who said it, asked from the host just now.
    pub standing: Standing,
    /// Who may read the repository; public as long as no rule for what they ask depends on it.
    pub visibility: Visibility,
}

/// Something said that cannot be read as a command, or that no pipeline can be found for.
#[derive(Debug, Clone)]
pub struct Unclear {
    /// The line, made printable.
    pub line: String,
    /// The comment.
    pub comment: CommentId,
    /// Where it was said.
    pub place: Place,
    /// Who said it, asked from the host just now.
    pub standing: Standing,
    /// What to tell them, if they are told anything.
    pub reply: String,
}
