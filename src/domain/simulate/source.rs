//! The repository of a simulation: its commits, and what git and other pipelines would say of one of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::decide::{Command, Start};
use crate::domain::effect::Effect;
use crate::domain::event::{Change, Form, Sealed, StartedBy, Unlisted};
use crate::domain::image::Image;
use crate::domain::join::{Built, Expected, Inherited};
use crate::domain::name::{
    CommitSha, Digest, GroupName, Login, PipelineName, RefName, ReleaseNo, VariableName,
};
use crate::domain::pipeline::Pipeline;
use crate::domain::refusal::Refusal;
use crate::domain::simulate::scenario::{Push, Scenario};
use crate::domain::simulate::world::World;
use crate::domain::simulate::{default_branch, groups};
use crate::domain::version::Version;

/// Places that commits of a branch are apart.
const STRIDE: u64 = 10;

/// A repository.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) pipeline: Pipeline,
    /// The default branch.
    pub(super) branch: RefName,
    released: Vec<Version>,
    groups: BTreeMap<GroupName, BTreeMap<VariableName, String>>,
    /// All commits that were pushed, on one line.
    commits: Vec<Change>,
    /// Commits that start other pipelines, by pipeline: their releases.
    others: BTreeMap<PipelineName, Vec<(CommitSha, RefName, Login)>>,
}

impl Source {
    pub(super) fn of(pipeline: &Pipeline, scenario: &Scenario) -> Self {
        Self {
            pipeline: pipeline.clone(),
            branch: default_branch(pipeline),
            released: scenario.released.clone(),
            groups: scenario.groups.clone(),
            commits: Vec::new(),
            others: BTreeMap::new(),
        }
    }

    /// The newest commit.
    pub(super) fn head(&self) -> Option<CommitSha> {
        self.commits.last().map(|change| change.commit.clone())
    }

    /// A new commit at the end of the line.
    pub(super) fn commit(&mut self, push: &Push) -> Result<CommitSha, String> {
        let digest = Digest::of_text(&format!("commit {}", self.commits.len()));
        let commit = digest.hex().get(..40).and_then(|hex| hex.parse::<CommitSha>().ok());
        let commit = commit.ok_or("there are no more commits")?;
        self.commits.push(Change {
            breaking: false,
            reverts: None,
            commit: commit.clone(),
            subject: push.subject.clone(),
            author_email: format!("{}@example.org", push.author),
            author: Some(push.author.clone()),
        });
        Ok(commit)
    }

    /// Where a commit is on the line.
    fn place(&self, commit: &CommitSha) -> Option<usize> {
        self.commits.iter().position(|known| known.commit == *commit)
    }

    fn seq(&self, commit: &CommitSha) -> u64 {
        let place = self.place(commit).and_then(|place| u64::try_from(place).ok()).unwrap_or(0);
        place.saturating_add(1).saturating_mul(STRIDE)
    }

    /// What a release of a commit begins with.
    pub(super) fn start(
        &self,
        world: &mut World,
        (commit, branch): (&CommitSha, RefName),
        by: Option<&Login>,
    ) -> Result<Start, String> {
        let initiator = by.map(|by| world.person(by).person.clone());
        let place = self.place(commit).ok_or("the commit of the release is not known")?;
        let places =
            || world.state.releases.values().filter_map(|r| Some((self.place(&r.created.commit)?, r)));
        // Until here a release before this one has told of the changes.
        let told = places().map(|(p, _)| p).filter(|p| *p < place).max();
        let later = places().filter(|(p, r)| *p > place && r.created.branch == branch);
        let later = later.map(|(_, r)| r.no()).max();
        let tagged: Vec<_> = world
            .tags
            .iter()
            .filter_map(|(tag, commit)| Some((tag.as_str().parse::<Version>().ok()?, commit.as_ref()?)))
            .collect();
        let last = tagged.iter().filter(|(version, _)| version.is_final()).max_by(|a, b| a.0.cmp(&b.0));
        let last = last.and_then(|(_, commit)| self.place(commit));
        let since = |last: Option<usize>| {
            let first = last.map_or(0, |last| last.saturating_add(1));
            self.commits.get(first..=place).unwrap_or_default().iter().rev()
        };
        Ok(Start {
            commit: commit.clone(),
            tree: None,
            branch,
            started_by: StartedBy::Push,
            seq: self.seq(commit),
            pusher: initiator.as_ref().map(|person| person.login.clone()),
            initiator,
            changes: since(told).cloned().collect(),
            unheard: false,
            unlisted: Unlisted::default(),
            messages: since(last).map(|change| change.subject.clone()).collect(),
            taken: tagged.iter().map(|(v, _)| v).chain(&self.released).cloned().collect(),
            taken_by_others: Vec::new(),
            pipeline: Box::new(self.pipeline.clone()),
            manifest: Digest::of_text("the manifest that is tried"),
            epoch_s: world.now.0.div_euclid(1_000),
            included_in: later,
            project: self.pipeline.name.to_string(),
            files: Vec::new(),
            groups: groups(&self.pipeline, &self.groups),
            fetched: Vec::new(),
        })
    }

    /// A push that starts other pipelines, whose builds are listened to.
    pub(super) fn expect(&mut self, commit: &CommitSha, branch: &RefName, push: &Push) -> Option<Command> {
        let builds = self.pipeline.triggers.builds.clone()?;
        for pipeline in &push.building {
            let all = self.others.entry(pipeline.clone()).or_default();
            all.push((commit.clone(), branch.clone(), push.by.clone()));
        }
        let taking = self.pipeline.inherits.iter().map(|inherited| inherited.pipeline.clone()).collect();
        Some(Command::Expect(Box::new(Expected {
            commit: commit.clone(),
            branch: branch.clone(),
            seq: self.seq(commit),
            builds,
            taking,
            started: push.building.clone(),
            abroad: None,
        })))
    }

    /// The last build of another pipeline that a push started has ended.
    pub(super) fn built(
        &self,
        world: &mut World,
        pipeline: &PipelineName,
        failed: Option<&str>,
    ) -> Result<Command, String> {
        let all = self.others.get(pipeline).map(Vec::as_slice).unwrap_or_default();
        let none = || format!("no push started {pipeline}; write `push building {pipeline} by …` above");
        let (commit, branch, by) = all.last().ok_or_else(none)?;
        let number = u32::try_from(all.len()).ok().and_then(std::num::NonZeroU32::new).ok_or_else(none)?;
        let person = world.person(by).person.clone();
        let sealed = |inherited: &Inherited| {
            let bytes = Digest::of_text(&format!("{} of {pipeline} {number}", inherited.artifact));
            let (alias, form, image) =
                (inherited.artifact.clone(), Form::Folder, image_of(inherited, &bytes));
            Sealed { alias, digest: bytes.clone(), content: bytes, size: 1, form, image }
        };
        let ours = self.pipeline.inherits.iter().filter(|inherited| inherited.pipeline == *pipeline);
        Ok(Command::Hear(Box::new(Built {
            pipeline: pipeline.clone(),
            release: ReleaseNo(number),
            version: format!("v0.1.0-rc.{number}").parse().map_err(|_| none())?,
            commit: commit.clone(),
            branch: branch.clone(),
            seq: self.seq(commit),
            channel: None,
            pusher: Some(person.login.clone()),
            initiator: Some(person),
            outcome: failed.map_or_else(|| Ok(ours.map(sealed).collect()), |why| Err(why.to_owned())),
            abroad: None,
            of: BTreeSet::new(),
        })))
    }

    /// Makes the release that is owed: builds joined, somebody asked, or a time came.
    pub(super) fn make(&self, world: &mut World, effect: &Effect) -> Result<(), String> {
        let start = if let Effect::Join { line, .. } = effect {
            let (joins, _) = world.state.joins();
            let now = world.now;
            let Some(join) = joins.into_iter().find(|join| join.line == *line && join.at <= now) else {
                return Ok(());
            };
            let by = join.builds.iter().max_by_key(|b| (b.seq, b.release)).and_then(|b| b.pusher.clone());
            let at = (&join.commit, line.branch.clone());
            Start { started_by: StartedBy::Builds(line.clone()), ..self.start(world, at, by.as_ref())? }
        } else if let Effect::Start { no } = effect {
            let Some(asked) = world.state.demands.open.get(no).cloned() else { return Ok(()) };
            let Some(head) = self.head() else {
                let why = "its branch has no commit".to_owned();
                let dropped = world.decide(&Command::Drop { no: *no, why });
                return dropped.map(drop).map_err(|e| e.to_string());
            };
            let by = asked.by.as_ref().map(|person| person.login.clone());
            let start = self.start(world, (&head, self.branch.clone()), by.as_ref())?;
            let started_by = StartedBy::Demand { no: *no, cause: asked.cause.clone() };
            Start { started_by, pusher: None, ..start }
        } else {
            return Ok(());
        };
        match world.decide(&Command::Start(Box::new(start))) {
            Ok(_) | Err(Refusal::Stale) => Ok(()),
            Err(refusal) => Err(refusal.to_string()),
        }
    }
}

/// What another pipeline built, where an image is taken of it; one that has no name here is called as it is there.
fn image_of(inherited: &Inherited, bytes: &Digest) -> Option<Image> {
    let there = || inherited.artifact.as_str().to_lowercase().parse().ok();
    let name = inherited.image.clone().or_else(there).filter(|_| inherited.is_image)?;
    Some(Image { name, manifest: bytes.clone() })
}
