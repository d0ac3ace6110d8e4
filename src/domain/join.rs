//! Builds of other pipelines of the repository, and when they join into a release (SEMANTICS §4, fan-in).
//!
//! A pipeline that lists others in `triggers.builds` is told by them how each build ended, at least once; what was told
//! is a fact of its own log, so that it decides alone. Before a push starts anything it says which of them it starts:
//! nobody waits for a build that a path filter left out.
//!
//! Builds of other repositories are told in the same way, under the names that the server's config gives them. Their
//! commits are not ours, so a release that they make is of the head that our branch had when their push was announced.

mod look;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::event::{Created, Event, Sealed};
use crate::domain::image::ImageName;
use crate::domain::join::look::Look;
use crate::domain::name::{
    Alias, ChannelName, CommitSha, Digest, Login, PipelineId, PipelineName, RefName, ReleaseNo, RepoId,
    RepoName,
};
use crate::domain::person::Person;
use crate::domain::pipeline::Pipeline;
use crate::domain::state::State;
use crate::domain::time::{Span, Timestamp};
use crate::domain::version::Version;

/// Builds of one pipeline on one branch that are kept at hand, and the newest good one whatever came after it.
const KEPT: usize = 50;
/// Pushes that are kept at hand.
const KEPT_PUSHES: usize = 200;

/// Which builds of other pipelines start a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Builds {
    /// How many of them it takes.
    pub need: Need,
    /// The pipelines.
    pub from: Vec<PipelineName>,
    /// Those of them that are other repositories'.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub abroad: BTreeSet<PipelineName>,
    /// How long builds that end one after the other still go into one release.
    pub settle: Span,
}

/// How many builds a release takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Each that succeeds; of the others the last that did.
    Any,
    /// All that one commit started; of those it did not start, the last that succeeded up to it.
    AllOfCommit,
    /// One of each since the release before, of whatever commits.
    AllNewest,
}

/// An artifact that is another pipeline's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inherited {
    /// Its name in this pipeline's releases.
    pub alias: Alias,
    /// The pipeline that builds it.
    pub pipeline: PipelineName,
    /// Its name there.
    pub artifact: Alias,
    /// Whether it must be an image.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_image: bool,
    /// What the image is called here, when it is another name than where it was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageName>,
    /// Set when the pipeline is another repository's, whose artifacts this manifest cannot know: which of them it is
    /// shows when it is built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abroad: Option<Wanted>,
}

/// Which artifact of another repository's build is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// The one of that name, or the only one that is left.
    Named,
    /// The one that is packed from there.
    From(String),
}

/// Which of the pipelines that another one listens to a push starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The commit.
    pub commit: CommitSha,
    /// Its branch.
    pub branch: RefName,
    /// Its place on the branch's first-parent line.
    pub seq: u64,
    /// The rule, as the listening pipeline of this commit has it.
    pub builds: Builds,
    /// The pipelines whose artifacts it takes.
    pub taking: BTreeSet<PipelineName>,
    /// Those that the push starts.
    pub started: BTreeSet<PipelineName>,
    /// Set when the push was to another repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abroad: Option<PushAbroad>,
}

/// A push to another repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushAbroad {
    /// Whose push it is.
    pub repo: RepoId,
    /// The head of our own branch at that time.
    pub head: CommitSha,
    /// Its place on our branch's first-parent line.
    pub seq: u64,
}

impl Expected {
    /// The commit of our own that it is about, with its place on the branch.
    pub fn here(&self) -> (u64, &CommitSha) {
        self.abroad.as_ref().map_or((self.seq, &self.commit), |push| (push.seq, &push.head))
    }

    fn repo(&self) -> Option<&RepoId> {
        self.abroad.as_ref().map(|push| &push.repo)
    }

    /// Where it is on its own branch.
    fn place(&self) -> Place<'_> {
        (self.repo(), self.seq)
    }
}

/// A pipeline that takes builds of another repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listener {
    /// Which pipeline.
    pub pipeline: PipelineId,
    /// What it calls the one whose builds it takes.
    pub called: PipelineName,
}

/// How a build of another pipeline ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// Its release.
    pub release: ReleaseNo,
    /// The release's version.
    pub version: Version,
    /// Its commit.
    pub commit: CommitSha,
    /// Its branch.
    pub branch: RefName,
    /// Its commit's place on the branch.
    pub seq: u64,
    /// Its channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelName>,
    /// Who started it.
    pub initiator: Option<Person>,
    /// Who pushed it.
    pub pusher: Option<Login>,
    /// What it left, or why there is nothing.
    pub outcome: Result<Vec<Sealed>, String>,
    /// Where it lies, when that is in another repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abroad: Option<Abroad>,
    /// The pipelines whose builds it is made of, through however many others.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub of: BTreeSet<PipelineId>,
}

/// A build of another repository, as far as the pipeline that takes it must know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abroad {
    /// The pipeline.
    pub pipeline: PipelineId,
    /// Its repository, as people call it.
    pub repository: RepoName,
    /// Where each artifact was packed from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paths: BTreeMap<Alias, String>,
    /// Artifacts that are not handed on to others.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub withheld: BTreeSet<Alias>,
}

impl std::fmt::Display for Built {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.pipeline, self.version)?;
        self.abroad.as_ref().map_or(Ok(()), |at| write!(f, " of {}", at.repository))
    }
}

/// A place on the branch of a repository, which is our own when none is named.
type Place<'a> = (Option<&'a RepoId>, u64);
/// Behind every commit there is.
const ANYWHERE: Place<'static> = (None, u64::MAX);

impl Built {
    /// The pipeline that built it; `repo` is that of the pipeline it was told to.
    pub fn pipeline_in(&self, repo: &RepoId) -> PipelineId {
        let here = || PipelineId { repo: repo.clone(), name: self.pipeline.clone() };
        self.abroad.as_ref().map_or_else(here, |at| at.pipeline.clone())
    }

    /// The pipelines that there is something of in it, its own among them; `repo` is that of the pipeline it was told
    /// to.
    pub fn made_of(&self, repo: &RepoId) -> BTreeSet<PipelineId> {
        self.of.iter().cloned().chain([self.pipeline_in(repo)]).collect()
    }

    fn repo(&self) -> Option<&RepoId> {
        self.abroad.as_ref().map(|at| &at.pipeline.repo)
    }

    /// Where it was built, to tell it from builds that had the same name when the config was another one.
    fn origin(&self) -> Option<&PipelineId> {
        self.abroad.as_ref().map(|at| &at.pipeline)
    }

    /// Of what it left, what this is: by its name, or what is packed from a place.
    fn artifact(&self, wanted: &Inherited) -> Result<&Sealed, String> {
        let all = self.outcome.as_ref().map_err(Clone::clone)?;
        let called = |alias: &Alias| all.iter().find(|sealed| sealed.alias == *alias);
        let found = match (&wanted.abroad, all.as_slice()) {
            (Some(Wanted::From(path)), _) => {
                let at = self.abroad.iter().flat_map(|abroad| &abroad.paths);
                let packed = at.filter(|(_, from)| *from == path).find_map(|(alias, _)| called(alias));
                return packed.ok_or_else(|| format!("{self} leaves nothing at `{path}`"));
            }
            (Some(Wanted::Named), [only]) => Some(only),
            (Some(Wanted::Named) | None, _) => called(&wanted.artifact),
        };
        found.ok_or_else(|| format!("{self} has no artifact `{}`", wanted.artifact))
    }

    /// Its place among the builds of its pipeline.
    fn order(&self) -> (u64, ReleaseNo) {
        (self.seq, self.release)
    }

    /// Whether it is of a commit up to this place of a repository's branch; commits of other ones have none there.
    fn within(&self, (repo, seq): Place<'_>) -> bool {
        self.repo() != repo || self.seq <= seq
    }
}

/// A pipeline, as a release that is made of its builds names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PipelineAt {
    /// Which it is.
    pub id: PipelineId,
    /// Its repository as people call it, when that is not the release's own.
    pub abroad: Option<RepoName>,
}

impl std::fmt::Display for PipelineAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.abroad {
            Some(repository) => write!(f, "{repository}/{}", self.id.name),
            None => self.id.name.fmt(f),
        }
    }
}

impl PipelineAt {
    /// The pipeline of a build that a release of this one is made of.
    #[must_use]
    pub fn input(&self, build: &Built) -> Self {
        let id = build.pipeline_in(&self.id.repo);
        let abroad = build.abroad.as_ref().map(|at| &at.repository).or(self.abroad.as_ref()).cloned();
        Self { id, abroad }
    }
}

/// What a pipeline was told about the builds of others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upstream {
    built: BTreeMap<PipelineName, BTreeMap<ReleaseNo, (Built, Timestamp)>>,
    expected: BTreeMap<(RefName, CommitSha), (Expected, Timestamp)>,
}

/// A branch, and the channel where pipelines have some: what joins is of one of these.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Line {
    /// The branch.
    pub branch: RefName,
    /// The channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelName>,
}

/// Builds that make a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// Where.
    pub line: Line,
    /// The commit the release is of: the newest of its builds', and of the releases before it.
    pub commit: CommitSha,
    /// The builds, by pipeline.
    pub builds: Vec<Built>,
    /// When those that end at about the same time are all in.
    pub at: Timestamp,
}

/// A push whose builds do not make a release yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Where.
    pub line: Line,
    /// The newest commit.
    pub commit: CommitSha,
    /// What is missing.
    pub lacks: Vec<Lack>,
}

/// A build that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// It has not ended.
    Building {
        /// The pipeline.
        pipeline: PipelineName,
        /// The commit that started it.
        commit: CommitSha,
    },
    /// It did not succeed.
    Failed {
        /// The pipeline.
        pipeline: PipelineName,
        /// Its release.
        version: Version,
        /// Why.
        why: String,
    },
    /// None has ever succeeded.
    Never {
        /// The pipeline.
        pipeline: PipelineName,
    },
    /// None has succeeded since the release before.
    NotAgain {
        /// The pipeline.
        pipeline: PipelineName,
    },
}

/// Those of the pipelines that a push starts whose releases are made of builds that it starts, too: these join into the
/// release of the push when they are there.
pub fn joined(pipelines: &[Pipeline], started: &[PipelineName]) -> BTreeSet<PipelineName> {
    let waits = |pipeline: &&Pipeline| {
        let builds = pipeline.triggers.builds.as_ref();
        builds.is_some_and(|builds| builds.from.iter().any(|name| started.contains(name)))
    };
    pipelines.iter().filter(waits).map(|pipeline| pipeline.name.clone()).collect()
}

impl Created {
    /// Whether an artifact is of a build of another repository that does not hand it on.
    pub fn withheld_abroad(&self, alias: &Alias) -> bool {
        let taken = self.pipeline.inherits.iter().filter(|inherited| inherited.alias == *alias);
        let mut builds = taken.flat_map(|wanted| self.builds.iter().map(move |build| (wanted, build)));
        builds.any(|(wanted, build)| {
            let at = build.abroad.as_ref().filter(|_| build.pipeline == wanted.pipeline);
            at.is_some_and(|at| build.artifact(wanted).is_ok_and(|found| at.withheld.contains(&found.alias)))
        })
    }

    /// The sealed bytes that it does not build: of other pipelines' builds, under its own names, and those that were
    /// handed in; the error is what is missing.
    pub fn inherited(&self) -> Result<Vec<Sealed>, String> {
        let take = |inherited: &Inherited| {
            let build = self.builds.iter().find(|build| build.pipeline == inherited.pipeline);
            let build = build.ok_or_else(|| format!("there is no build of {} in it", inherited.pipeline))?;
            let found = build.artifact(inherited)?;
            let mut image = found.image.clone();
            if inherited.is_image && image.is_none() {
                return Err(format!("{build} has `{}` as files, and not as an image", found.alias));
            }
            if let (Some(image), Some(name)) = (&mut image, &inherited.image) {
                image.name = name.clone();
            }
            Ok(Sealed { alias: inherited.alias.clone(), image, ..found.clone() })
        };
        let handed_in = |alias: &Alias| {
            let found = self.uploads.iter().find(|sealed| sealed.alias == *alias);
            found.cloned().ok_or_else(|| format!("nobody handed in `{alias}`"))
        };
        self.pipeline.inherits.iter().map(take).chain(self.pipeline.uploads.iter().map(handed_in)).collect()
    }
}

fn key(push: &Expected) -> (RefName, CommitSha) {
    (push.branch.clone(), push.commit.clone())
}

impl Upstream {
    /// Whether this push was announced with at least these builds.
    pub fn knows_push(&self, push: &Expected) -> bool {
        self.expected.get(&key(push)).is_some_and(|(known, _)| {
            known.started.is_superset(&push.started)
                && (&known.builds, &known.taking) == (&push.builds, &push.taking)
        })
    }

    /// Whether this is known of a build, or something better: what is sealed is never told to have failed again.
    pub fn knows(&self, built: &Built) -> bool {
        let known = self.built.get(&built.pipeline).and_then(|all| all.get(&built.release));
        known.is_some_and(|(known, _)| {
            known == built || (known.outcome.is_ok() && known.origin() == built.origin())
        })
    }

    /// Adds what a pipeline was told.
    pub(in crate::domain) fn take(&mut self, event: &Event, at: Timestamp) {
        if let Event::BuildsExpected(push) = event {
            self.expect(push, at);
        } else if let Event::BuildHeard(built) = event {
            self.hear(built, at);
        }
    }

    fn expect(&mut self, push: &Expected, at: Timestamp) {
        let mut push = push.clone();
        if let Some((known, _)) = self.expected.get(&key(&push)) {
            push.started.extend(known.started.iter().cloned());
        }
        self.expected.insert(key(&push), (push, at));
        if self.expected.len() > KEPT_PUSHES {
            let oldest = self.expected.iter().min_by_key(|(_, (_, at))| *at).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.expected.remove(&key));
        }
    }

    fn hear(&mut self, built: &Built, at: Timestamp) {
        let all = self.built.entry(built.pipeline.clone()).or_default();
        // A name that the config gives to another pipeline now says nothing about the builds of the one before.
        all.retain(|_, (known, _)| known.origin() == built.origin());
        all.insert(built.release, (built.clone(), at));
        let mut here: Vec<_> = all.values().filter(|(b, _)| b.branch == built.branch).collect();
        here.sort_by_key(|(b, _)| std::cmp::Reverse(b.order()));
        let good = here.iter().find(|(b, _)| b.outcome.is_ok()).map(|(b, _)| b.release);
        let old: Vec<ReleaseNo> = here.iter().skip(KEPT).map(|(b, _)| b.release).collect();
        old.into_iter().filter(|no| Some(*no) != good).for_each(|no| drop(all.remove(&no)));
    }

    /// The last pushes that were announced, newest commit first.
    pub fn latest(&self, most: usize) -> Vec<&Expected> {
        let mut all: Vec<&Expected> = self.expected.values().map(|(push, _)| push).collect();
        all.sort_by_key(|push| std::cmp::Reverse(push.here().0));
        all.truncate(most);
        all
    }

    fn all(&self) -> impl Iterator<Item = &(Built, Timestamp)> {
        self.built.values().flat_map(BTreeMap::values)
    }

    /// Every branch that a push was announced for, with the channels of the builds that came of them.
    fn lines(&self) -> BTreeSet<Line> {
        let mut lines = BTreeSet::new();
        for branch in self.expected.values().map(|(push, _)| &push.branch) {
            let channels: BTreeSet<&ChannelName> = self
                .all()
                .filter(|(b, _)| b.branch == *branch)
                .filter_map(|(b, _)| b.channel.as_ref())
                .collect();
            let line =
                |channel: Option<&ChannelName>| Line { branch: branch.clone(), channel: channel.cloned() };
            if channels.is_empty() {
                lines.insert(line(None));
            }
            lines.extend(channels.into_iter().map(|channel| line(Some(channel))));
        }
        lines
    }
}

impl State {
    /// What no release of this pipeline has yet and the next one may take: the last good builds of those it listens
    /// to, whatever has become of their own releases, and what was handed in.
    pub fn pledged(&self) -> BTreeSet<Digest> {
        let mut last: BTreeMap<(&PipelineName, &RefName), &Built> = BTreeMap::new();
        for (built, _) in self.upstream.all().filter(|(built, _)| built.outcome.is_ok()) {
            let newest = last.entry((&built.pipeline, &built.branch)).or_insert(built);
            if built.order() > newest.order() {
                *newest = built;
            }
        }
        let (joins, _) = self.joins();
        let joining = joins.iter().flat_map(|join| &join.builds);
        let sealed = last.into_values().chain(joining).flat_map(|built| built.outcome.iter().flatten());
        let asked = self.demands.open.values().flat_map(|asked| asked.uploads());
        sealed.chain(asked).chain(self.demands.uploads.values()).map(|sealed| sealed.digest.clone()).collect()
    }

    /// The last good builds of those whose artifacts the pipeline takes, for a release that none of them starts.
    pub fn last_built(&self, branch: &RefName, (pipeline, seq): (&Pipeline, u64)) -> Vec<Built> {
        let taking: BTreeSet<&PipelineName> = pipeline.inherits.iter().map(|i| &i.pipeline).collect();
        if taking.is_empty() {
            return Vec::new();
        }
        let look = Look::at(self, Line { branch: branch.clone(), channel: None });
        taking.into_iter().filter_map(|name| look.last(name, (None, seq))).cloned().collect()
    }

    /// What joins, or waits to, on every line.
    pub fn joins(&self) -> (Vec<Join>, Vec<Waiting>) {
        let (mut joins, mut waits) = (Vec::new(), Vec::new());
        for line in self.upstream.lines() {
            let look = Look::at(self, line);
            let (join, waiting) = look.course();
            joins.extend(join);
            waits.extend(waiting);
        }
        (joins, waits)
    }
}
