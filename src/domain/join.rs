//! Builds of other pipelines of the repository, and when they join into a release (SEMANTICS §4, fan-in).
//!
//! A pipeline that lists others in `triggers.builds` is told by them how each build ended, at least once; what was told
//! is a fact of its own log, so that it decides alone. Before a push starts anything it says which of them it starts:
//! nobody waits for a build that a path filter left out.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::event::{Created, Event, Sealed};
use crate::domain::image::ImageName;
use crate::domain::name::{Alias, ChannelName, CommitSha, Digest, Login, PipelineName, RefName, ReleaseNo};
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
}

impl Built {
    /// Its place among the builds of its pipeline.
    fn order(&self) -> (u64, ReleaseNo) {
        (self.seq, self.release)
    }

    /// The place of a commit and of everything made of those before it.
    fn within(&self, seq: u64) -> bool {
        self.seq <= seq
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
    /// The sealed bytes that it does not build: of other pipelines' builds, under its own names, and those that were
    /// handed in; the error is what is missing.
    pub fn inherited(&self) -> Result<Vec<Sealed>, String> {
        let take = |inherited: &Inherited| {
            let build = self.builds.iter().find(|build| build.pipeline == inherited.pipeline);
            let build = build.ok_or_else(|| format!("there is no build of {} in it", inherited.pipeline))?;
            let all = build.outcome.as_ref().map_err(Clone::clone)?;
            let found = all.iter().find(|sealed| sealed.alias == inherited.artifact).ok_or_else(|| {
                format!("{} {} has no artifact `{}`", build.pipeline, build.version, inherited.artifact)
            })?;
            let mut image = found.image.clone();
            if inherited.is_image && image.is_none() {
                return Err(format!(
                    "{} {} has `{}` as files, and not as an image",
                    build.pipeline, build.version, inherited.artifact
                ));
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
        known.is_some_and(|(known, _)| known == built || known.outcome.is_ok())
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
        all.sort_by_key(|push| std::cmp::Reverse(push.seq));
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

/// One line as it is now.
struct Look<'a> {
    state: &'a State,
    line: Line,
    /// What was told of this line, by pipeline.
    built: BTreeMap<&'a PipelineName, Vec<&'a (Built, Timestamp)>>,
    /// Pushes to the branch, newest first.
    pushes: Vec<&'a Expected>,
    /// The newest builds that releases have taken.
    taken: BTreeMap<&'a PipelineName, (u64, ReleaseNo)>,
}

impl<'a> Look<'a> {
    fn at(state: &'a State, line: Line) -> Self {
        let on_line = |b: &Built| {
            b.branch == line.branch
                && (b.channel == line.channel || b.channel.is_none() || line.channel.is_none())
        };
        let mut built: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for told in state.upstream.all().filter(|(b, _)| on_line(b)) {
            built.entry(&told.0.pipeline).or_default().push(told);
        }
        for all in built.values_mut() {
            all.sort_by_key(|(b, _)| b.order());
        }
        let mut taken: BTreeMap<_, (u64, ReleaseNo)> = BTreeMap::new();
        for build in state.releases.values().flat_map(|r| &r.created.builds).filter(|b| on_line(b)) {
            let last = taken.entry(&build.pipeline).or_insert_with(|| build.order());
            *last = build.order().max(*last);
        }
        let mut pushes: Vec<_> =
            state.upstream.expected.values().map(|(p, _)| p).filter(|p| p.branch == line.branch).collect();
        pushes.sort_by_key(|push| std::cmp::Reverse(push.seq));
        Self { state, line, built, pushes, taken }
    }

    /// Good and in no release; a build that no push was announced for is known and starts nothing.
    fn fresh(&self, built: &Built) -> bool {
        built.outcome.is_ok()
            && self.taken.get(&built.pipeline).is_none_or(|last| built.order() > *last)
            && self.pushes.iter().any(|p| p.commit == built.commit && p.started.contains(&built.pipeline))
    }

    fn fresh_of(&self, pipeline: &PipelineName) -> impl Iterator<Item = &'a (Built, Timestamp)> {
        self.built.get(pipeline).into_iter().flatten().copied().filter(|(b, _)| self.fresh(b))
    }

    /// The last that succeeded up to a commit.
    fn last(&self, pipeline: &PipelineName, within: u64) -> Option<&'a Built> {
        let all = self.built.get(pipeline).into_iter().flatten().copied();
        all.map(|(b, _)| b).rfind(|b| b.outcome.is_ok() && b.within(within))
    }

    fn course(&self) -> (Option<Join>, Option<Waiting>) {
        let Some(newest) = self.pushes.first() else { return (None, None) };
        match newest.builds.need {
            Need::Any => self.any(newest),
            Need::AllNewest => self.all_newest(newest),
            Need::AllOfCommit => self.all_of_commit(),
        }
    }

    fn any(&self, push: &Expected) -> (Option<Join>, Option<Waiting>) {
        let fresh = push.builds.from.iter().flat_map(|pipeline| self.fresh_of(pipeline));
        let Some(first) = fresh.map(|(_, at)| *at).min() else { return (None, None) };
        let missing = |p: &&PipelineName| push.taking.contains(*p) && self.last(p, u64::MAX).is_none();
        let missing = push.builds.from.iter().filter(missing);
        let lacks: Vec<Lack> = missing.map(|p| Lack::Never { pipeline: p.clone() }).collect();
        if lacks.is_empty() { self.join(push, (u64::MAX, first)) } else { self.wait(push, lacks) }
    }

    fn all_newest(&self, push: &Expected) -> (Option<Join>, Option<Waiting>) {
        let firsts = push.builds.from.iter().map(|p| (p, self.fresh_of(p).map(|(_, at)| *at).min()));
        let (there, lacks): (Vec<_>, Vec<_>) = firsts.partition(|(_, first)| first.is_some());
        let lacks: Vec<Lack> =
            lacks.into_iter().map(|(p, _)| Lack::NotAgain { pipeline: p.clone() }).collect();
        match there.into_iter().filter_map(|(_, first)| first).max() {
            None => (None, None),
            Some(last) if lacks.is_empty() => self.join(push, (u64::MAX, last)),
            Some(_) => self.wait(push, lacks),
        }
    }

    /// The newest push whose builds are all in; one that was overtaken before it was complete is left out.
    fn all_of_commit(&self) -> (Option<Join>, Option<Waiting>) {
        let mut waiting = None;
        for push in &self.pushes {
            if self.elsewhere(push) {
                continue;
            }
            let lacks: Vec<Lack> = push.builds.from.iter().filter_map(|p| self.lack(push, p)).collect();
            if !lacks.is_empty() {
                waiting = waiting.or_else(|| self.wait(push, lacks).1);
                continue;
            }
            let lasts = push.builds.from.iter().filter_map(|p| self.last(p, push.seq));
            let ends = lasts.filter(|b| self.fresh(b)).filter_map(|b| self.heard_at(b)).max();
            // With nothing new in it, it is in a release already, and so is everything before it.
            let join = ends.and_then(|end| self.join(push, (push.seq, end)).0);
            return (join, waiting);
        }
        (None, waiting)
    }

    fn heard_at(&self, built: &Built) -> Option<Timestamp> {
        let all = self.built.get(&built.pipeline)?;
        all.iter().find(|(b, _)| b.release == built.release).map(|(_, at)| *at)
    }

    /// Whether what the push started went to another channel.
    fn elsewhere(&self, push: &Expected) -> bool {
        let of_push = |b: &Built| b.commit == push.commit && b.branch == push.branch;
        let here = self.built.values().flatten().any(|(b, _)| of_push(b));
        !here && self.state.upstream.all().any(|(b, _)| of_push(b))
    }

    fn lack(&self, push: &Expected, pipeline: &PipelineName) -> Option<Lack> {
        let told = |commit: &CommitSha| {
            let all = self.built.get(pipeline).into_iter().flatten();
            all.rev().map(|(b, _)| b).find(|b| b.commit == *commit)
        };
        let building =
            |commit: &CommitSha| Lack::Building { pipeline: pipeline.clone(), commit: commit.clone() };
        if push.started.contains(pipeline) {
            let Some(built) = told(&push.commit) else { return Some(building(&push.commit)) };
            let why = built.outcome.as_ref().err()?.clone();
            return Some(Lack::Failed { pipeline: pipeline.clone(), version: built.version.clone(), why });
        }
        // What it did not start is as the pushes before it left it, once that is known.
        let mut before = self.pushes.iter().filter(|p| p.seq < push.seq && p.started.contains(pipeline));
        let last = before.next().filter(|p| told(&p.commit).is_none());
        let never = || push.taking.contains(pipeline) && self.last(pipeline, push.seq).is_none();
        match last {
            Some(last) => Some(building(&last.commit)),
            None => never().then(|| Lack::Never { pipeline: pipeline.clone() }),
        }
    }

    fn wait(&self, push: &Expected, lacks: Vec<Lack>) -> (Option<Join>, Option<Waiting>) {
        (None, Some(Waiting { line: self.line.clone(), commit: push.commit.clone(), lacks }))
    }

    /// The last builds up to a commit, which are all in since a while.
    fn join(&self, push: &Expected, (within, since): (u64, Timestamp)) -> (Option<Join>, Option<Waiting>) {
        let builds: Vec<Built> =
            push.builds.from.iter().filter_map(|p| self.last(p, within)).cloned().collect();
        let made = self.state.releases.values().map(|r| &r.created).filter(|c| c.branch == self.line.branch);
        let commits = builds.iter().map(|b| (b.seq, &b.commit)).chain(made.map(|c| (c.seq, &c.commit)));
        let commit = commits.max_by_key(|(seq, _)| *seq).map(|(_, commit)| commit.clone());
        let at = since.plus(push.builds.settle);
        (commit.map(|commit| Join { line: self.line.clone(), commit, builds, at }), None)
    }
}
