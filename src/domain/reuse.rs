//! Taking what was built already instead of building it again (`reuse: commit` and `reuse: tree`).
//!
//! Two builds may stand for each other when they see the same: the same commit or tree, the same commands, variables,
//! base image and names of secrets, the same commits of other repositories and the same bytes of other pipelines, and
//! the same executor: sandbox, toolchains, environment and values of secrets, which the server alone knows. All of that
//! in one digest is the build's *terms*. What a build of such a pipeline is told leaves out what could differ
//! between the two, so that none of it gets into the bytes.
//!
//! The quality build of a pull request counts, too: what it leaves is kept for a while, is no release and goes nowhere
//! by itself. A squash merge keeps the tree, so that its release is what was built and looked at before.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::domain::derivation::FIRST;
use crate::domain::event::{Created, Sealed};
use crate::domain::name::{CommitSha, Digest, PipelineId, ReleaseNo, ThreadId, TreeSha, VariableName};
use crate::domain::pipeline::{Network, Pipeline};
use crate::domain::release::{BuildState, Release};
use crate::domain::source::Found;
use crate::domain::state::{Check, State};
use crate::domain::time::{Span, Timestamp};
use crate::domain::variable::environment_name;
use crate::domain::version::Version;
use crate::domain::view;

/// The time of everything packed when commits with the same tree may stand for each other: no commit has it, and zip
/// files begin with it.
const TREE_EPOCH_S: i64 = 315_532_800;

/// What a release may take over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reuse {
    /// Nothing: each release is built.
    #[default]
    Never,
    /// What was built of the same commit.
    Commit,
    /// What was built of the same tree, whichever commit has it.
    Tree,
}

impl Reuse {
    /// The words of manifests.
    pub const WORDS: &'static [&'static str] = &["never", "commit", "tree"];

    /// What a manifest says.
    pub fn of_word(word: &str) -> Self {
        match word {
            "commit" => Self::Commit,
            "tree" => Self::Tree,
            _ => Self::Never,
        }
    }

    /// The manifest's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Commit => "commit",
            Self::Tree => "tree",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape serde calls")]
    pub(in crate::domain) fn is_never(&self) -> bool {
        *self == Self::Never
    }

    /// The one mtime of everything packed, from that of the commit.
    pub fn epoch_s(self, commit_s: i64) -> i64 {
        match self {
            Self::Never | Self::Commit => commit_s,
            Self::Tree => TREE_EPOCH_S,
        }
    }

    /// What the commands of a build are not told, because it differs between releases that share a build.
    pub fn hides(self) -> &'static [&'static str] {
        match self {
            Self::Never => &[],
            Self::Commit => &["LIFTLOCK_VERSION"],
            Self::Tree => &["LIFTLOCK_VERSION", "LIFTLOCK_COMMIT"],
        }
    }
}

/// What the commands of a release's build are told of it; what it was started with only where no other release shares
/// the build.
pub fn told(created: &Created) -> BTreeMap<String, String> {
    let reuse = created.pipeline.build.reuse;
    let mut all = BTreeMap::from([
        ("LIFTLOCK_VERSION".to_owned(), created.version.to_string()),
        ("LIFTLOCK_COMMIT".to_owned(), created.commit.to_string()),
        ("SOURCE_DATE_EPOCH".to_owned(), reuse.epoch_s(created.epoch_s).to_string()),
    ]);
    all.retain(|name, _| !reuse.hides().contains(&name.as_str()));
    if reuse.is_never() {
        all.extend(inputs(created));
    }
    all
}

/// The inputs of its button. A variable that was set with them is one of the stages, and builds have none of those.
fn inputs(created: &Created) -> impl Iterator<Item = (String, String)> {
    let names = created.pipeline.triggers.button.iter().flat_map(|button| button.inputs.keys());
    names.filter_map(|input| {
        let name: VariableName = input.parse().ok()?;
        Some((environment_name(&name), created.inputs.get(input)?.clone()))
    })
}

/// How long what a pull request's build left is kept for a release to take: most are merged by then, and what is not is
/// built when it is.
const KEPT_FOR: Span = Span::days(14);

/// Whether what the build of a pull request leaves is kept. With a network or secrets a build may leave what its tree
/// does not say, and what it takes of other pipelines only a release has.
pub fn keeps(pipeline: &Pipeline) -> bool {
    let build = &pipeline.build;
    let alone = build.network == Network::None && build.secrets.is_empty();
    build.reuse == Reuse::Tree && alone && pipeline.inherits.is_empty() && pipeline.uploads.is_empty()
}

/// What the commands of a pull request's build are told; of one that is kept, what those of a release would be.
pub fn told_of_head(commit: &CommitSha, kept: bool) -> BTreeMap<String, String> {
    if kept {
        return BTreeMap::from([("SOURCE_DATE_EPOCH".to_owned(), TREE_EPOCH_S.to_string())]);
    }
    BTreeMap::from([("LIFTLOCK_COMMIT".to_owned(), commit.to_string())])
}

/// Pull requests' heads whose builds' bytes need not be kept any longer: they are old, or the pull request has moved
/// on.
pub fn due(state: &State, now: Timestamp) -> Vec<CommitSha> {
    let overtaken = |check: &Check| {
        let same = |other: &&Check| check.thread.is_some() && other.thread == check.thread;
        state.checks.values().filter(same).any(|other| other.touched > check.touched)
    };
    let old = |check: &Check| check.ended_at.is_none_or(|at| at.plus(KEPT_FOR) <= now);
    let kept = state.checks.iter().filter(|(_, check)| !check.left().is_empty());
    let due = kept.filter(|(_, check)| old(check) || overtaken(check));
    due.map(|(commit, _)| commit.clone()).collect()
}

/// Where the artifacts of a release come from that nothing was built for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenOver {
    /// What they were built for.
    pub by: Builder,
    /// The commit that they were built from.
    pub commit: CommitSha,
    /// The tree of both commits, where that is what they share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeSha>,
    /// What executed the build, and would have executed this one; nothing in logs from before that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<Digest>,
    /// Everything else that both builds see, and that.
    pub terms: Digest,
}

/// What something was built for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Builder {
    /// Another release of the pipeline.
    Release {
        /// Which.
        release: ReleaseNo,
        /// Its version.
        version: Version,
    },
    /// A pull request.
    PullRequest {
        /// Which.
        thread: Option<ThreadId>,
        /// Which try of its quality build.
        attempt: u32,
        /// When that ended.
        at: Option<Timestamp>,
    },
}

/// As part of a sentence.
impl fmt::Display for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Release { version, .. } => version.fmt(f),
            Self::PullRequest { thread: Some(thread), .. } => write!(f, "pull request #{thread}"),
            Self::PullRequest { thread: None, .. } => f.write_str("a pull request"),
        }
    }
}

impl Builder {
    /// When the build of a pull request ended, as text.
    pub fn ended_at(&self) -> Option<String> {
        match self {
            Self::Release { .. } => None,
            Self::PullRequest { at, .. } => at.map(Timestamp::rfc3339),
        }
    }

    /// The release, if it was one.
    pub fn release(&self) -> Option<ReleaseNo> {
        match self {
            Self::Release { release, .. } => Some(*release),
            Self::PullRequest { .. } => None,
        }
    }
}

impl TakenOver {
    /// The whole of it, for whoever looks for what was built.
    pub fn not_built(&self) -> String {
        format!("not built: the artifact {self}")
    }

    /// Where people see what it was built for.
    pub fn path(&self, id: &PipelineId) -> String {
        match &self.by {
            Builder::Release { release, .. } => view::release_path(id, *release),
            Builder::PullRequest { attempt, .. } => {
                format!("/logs/{}", view::check_log_id(id, &self.commit, *attempt))
            }
        }
    }
}

/// As part of a sentence: `of v1.4.0-rc.2, built from the same commit`.
impl fmt::Display for TakenOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tree {
            None => write!(f, "of {}, built from the same commit", self.by),
            Some(tree) => {
                let (tree, commit) = (tree.short(), self.commit.short());
                write!(f, "of {}, built from {commit}, which has the same tree {tree}", self.by)
            }
        }
    }
}

/// What a build left that another release may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Where it is from.
    pub reused: TakenOver,
    /// What was sealed; what comes from elsewhere is not among it.
    pub artifacts: Vec<Sealed>,
    /// Under which digest the lock files of the tree that the build left are kept.
    pub locks: Option<Digest>,
}

impl Left {
    /// Every stored file that is taken with it.
    pub fn stored(&self) -> impl Iterator<Item = &Digest> {
        self.artifacts.iter().map(|sealed| &sealed.digest).chain(&self.locks)
    }
}

/// What a build is made of, as far as that decides what it leaves; nothing when none may stand for it. A build of before
/// executors were kept is on other terms than any of which the executor is known: nobody knows what it was given.
fn terms(
    pipeline: &Pipeline,
    from: Option<&str>,
    (sources, taken): (&[Found], &[Sealed]),
    executor: Option<&Digest>,
) -> Option<Digest> {
    let taken: Vec<_> = taken.iter().map(|sealed| (&sealed.alias, &sealed.digest)).collect();
    let mut all = json!({
        "from": from?, "build": pipeline.build, "artifacts": pipeline.artifacts, "sources": sources, "taken": taken,
    });
    if let (Some(all), Some(executor)) = (all.as_object_mut(), executor) {
        all.insert("executor".to_owned(), json!(executor));
    }
    Some(Digest::of_text(&all.to_string()))
}

/// What the builds of a release and of those that it may take are of; nothing when it shares its build with nobody.
fn from(created: &Created) -> Option<&str> {
    match created.pipeline.build.reuse {
        Reuse::Never => None,
        Reuse::Commit => Some(created.commit.as_str()),
        Reuse::Tree => created.tree.as_ref().map(TreeSha::as_str),
    }
}

/// The terms of a release's build by this executor; nothing before its sources are known, and when it shares its build
/// with nobody.
fn terms_of(release: &Release, executor: Option<&Digest>) -> Option<Digest> {
    let created = &release.created;
    if release.lacks_sources() || !created.pipeline.builds() {
        return None;
    }
    terms(&created.pipeline, from(created), (&release.sources, &created.inherited().ok()?), executor)
}

/// The terms of a pull request's build, if what it left may be taken.
fn terms_of_check(check: &Check) -> Option<Digest> {
    let tree = check.tree.as_ref()?;
    terms(&check.pipeline, Some(tree.as_str()), (&check.sources, &[]), check.executor.as_ref())
}

/// What the release may take instead of being built by this executor, releases before pull requests and newest first.
/// What was found changed, whose tag moved or whose bytes were deleted is none of it; whoever takes something hashes it
/// first. The head of the branch may forbid what a commit allows.
pub fn left_for(state: &State, release: &Release, executor: Option<&Digest>) -> Vec<Left> {
    let reuse = release.created.pipeline.build.reuse;
    let Some(terms) = terms_of(release, executor).filter(|_| release.rules.build.reuse == reuse) else {
        return Vec::new();
    };
    let others = state.releases.values().rev().filter(|other| other.no() != release.no());
    let usable = others.filter(|other| {
        let sound = other.retired.is_none() && !state.tampered(other.no());
        let near = shares_cache(&release.created, &other.created);
        near && other.build == BuildState::Sealed && sound && other.moved_tag().is_none()
    });
    // Few are of the same commit or tree, and of those alone the whole of the terms is hashed.
    let near = usable.filter(|other| from(&other.created) == from(&release.created));
    let same = near.filter(|other| terms_of(other, other.executor.as_ref()).as_ref() == Some(&terms));
    let tree = release.created.tree.clone().filter(|_| reuse == Reuse::Tree);
    let of_releases = same.map(|other| Left {
        reused: TakenOver {
            by: Builder::Release { release: other.no(), version: other.created.version.clone() },
            commit: other.built_from().clone(),
            tree: tree.clone(),
            executor: other.executor.clone(),
            terms: terms.clone(),
        },
        artifacts: own(&other.created.pipeline, &other.at_revision(FIRST).artifacts),
        locks: other.locks.clone(),
    });
    of_releases.chain(of_pull_requests(state, &terms)).collect()
}

/// Whether what a build was given of former ones is no other than what the release's own would be given. The folders that
/// a build keeps belong to its branch, and whoever may push to one branch may fill them with what another one would ship
/// (THREATS T44).
fn shares_cache(ours: &Created, theirs: &Created) -> bool {
    ours.pipeline.build.cache.is_empty() || ours.branch == theirs.branch
}

/// What pull requests' builds of these terms left, newest first.
fn of_pull_requests(state: &State, terms: &Digest) -> Vec<Left> {
    let left = state.checks.iter().filter(|(_, check)| !check.left().is_empty());
    let mut same: Vec<_> = left.filter(|(_, check)| terms_of_check(check).as_ref() == Some(terms)).collect();
    same.sort_by_key(|(_, check)| Reverse(check.touched));
    same.into_iter()
        .map(|(commit, check)| Left {
            reused: TakenOver {
                by: Builder::PullRequest {
                    thread: check.thread.clone(),
                    attempt: check.attempt,
                    at: check.ended_at,
                },
                commit: commit.clone(),
                tree: check.tree.clone(),
                executor: check.executor.clone(),
                terms: terms.clone(),
            },
            artifacts: check.left().to_vec(),
            locks: check.locks.clone(),
        })
        .collect()
}

/// What a pipeline's own build sealed.
fn own(pipeline: &Pipeline, all: &[Sealed]) -> Vec<Sealed> {
    let taken = |sealed: &Sealed| {
        pipeline.uploads.contains(&sealed.alias)
            || pipeline.inherits.iter().any(|inherited| inherited.alias == sealed.alias)
    };
    all.iter().filter(|sealed| !taken(sealed)).cloned().collect()
}

impl Release {
    /// The commit that its artifacts were built from.
    pub fn built_from(&self) -> &CommitSha {
        self.reused.as_ref().map_or(&self.created.commit, |reused| &reused.commit)
    }

    /// Every commit that something in it may be built from: its own, what was taken over, and the builds it is made of.
    pub fn commits(&self) -> BTreeSet<&CommitSha> {
        let taken = self.created.builds.iter().map(|build| &build.commit);
        taken.chain([&self.created.commit, self.built_from()]).collect()
    }
}
