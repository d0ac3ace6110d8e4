//! Version coherence: whether all that a release is made of agrees on the versions of what it shares (CHECKLIST D08).
//!
//! Two questions are answered by what is known here, without asking a registry. Of the packages that a release holds:
//! none is there in two versions, and what one needs of another is what is there. Of the builds and sources that it is
//! made of, and those that these are made of: nothing was taken at two different places of its history. What a package
//! needs that the release does not hold is somebody else's, and no lock file is read: it says what was built with, and
//! need not be what is delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::join::PipelineAt;
use crate::domain::name::{CommitSha, PipelineId, ReleaseNo, printable};
use crate::domain::release::Release;
use crate::domain::source::Named;
use crate::domain::state::State;

pub mod range;

/// Whose names, versions and ranges a package's are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feed {
    /// Rust.
    Cargo,
    /// JavaScript.
    Npm,
    /// .NET.
    NuGet,
    /// Python.
    PyPi,
}

/// A package in an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The artifact.
    pub artifact: String,
    /// Whose it is.
    pub feed: Feed,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it needs of other packages.
    pub needs: Vec<Need>,
}

/// What a package needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The other one's name.
    pub name: String,
    /// Which versions of it, in the feed's own words.
    pub versions: String,
}

/// What a release is made of, over all steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MadeOf {
    /// How many builds and sources it took.
    pub parts: usize,
    /// What was taken at two places, each with who took which.
    pub problems: Vec<String>,
}

impl Feed {
    /// The name as the feed compares names.
    fn key(self, name: &str) -> String {
        match self {
            Self::Cargo | Self::Npm => name.to_owned(),
            Self::NuGet => name.to_lowercase(),
            // PEP 503: runs of these count as one dash.
            Self::PyPi => {
                let parts: Vec<&str> = name.split(['-', '_', '.']).filter(|part| !part.is_empty()).collect();
                parts.join("-").to_lowercase()
            }
        }
    }
}

impl Package {
    fn named(&self) -> String {
        printable(&format!("{} {}", self.name, self.version))
    }
}

/// The pairs among these packages that do not go together, a line each.
pub fn incoherent(packages: &[Package]) -> Vec<String> {
    let mut held: BTreeMap<(Feed, String), Vec<&Package>> = BTreeMap::new();
    for package in packages {
        let there = held.entry((package.feed, package.feed.key(&package.name))).or_default();
        if !there.iter().any(|known| range::same(package.feed, &known.version, &package.version)) {
            there.push(package);
        }
    }
    let mut problems = Vec::new();
    for versions in held.values() {
        let Some((first, others)) = versions.split_first() else { continue };
        problems.extend(others.iter().map(|other| twice(first, other)));
    }
    let mut told = BTreeSet::new();
    for package in packages {
        for need in &package.needs {
            let there = held.get(&(package.feed, package.feed.key(&need.name)));
            let problem = there.and_then(|there| unmet(package, need, there));
            problems.extend(problem.filter(|problem| told.insert(problem.clone())));
        }
    }
    problems
}

fn twice(first: &Package, other: &Package) -> String {
    let (here, there) = (printable(&first.artifact), printable(&other.artifact));
    if here == there {
        return format!("`{here}` holds {} and {}", first.named(), printable(&other.version));
    }
    format!("`{here}` holds {}, `{there}` holds {}", first.named(), other.named())
}

/// What is wrong when no version that is there is one that is needed.
fn unmet(package: &Package, need: &Need, there: &[&Package]) -> Option<String> {
    let answers: Vec<Option<bool>> =
        there.iter().map(|held| range::satisfies(package.feed, &held.version, &need.versions)).collect();
    if answers.contains(&Some(true)) {
        return None;
    }
    let held = there.first()?;
    let (holds, needs) = (printable(&held.artifact), printable(&package.artifact));
    let wanted = printable(&format!("{} {}", held.name, need.versions));
    // A tag or an address may mean one version today and another one tomorrow.
    let unsure = if answers.contains(&None) { ", and nobody can tell whether that is it" } else { "" };
    Some(format!(
        "`{holds}` holds {}, `{needs}` needs {wanted} (of {}){unsure}",
        held.named(),
        package.named()
    ))
}

/// What took a build or a source, and under which pipelines it stands.
struct Open {
    pipeline: PipelineAt,
    release: Arc<Release>,
    /// The pipelines on the way to it, its own included.
    below: BTreeSet<PipelineId>,
}

/// Where the walk through what a release is made of has been.
#[derive(Default)]
struct Walk {
    /// Of each pipeline the build that was met first, which is the nearest one, and who took it.
    builds: BTreeMap<PipelineId, (ReleaseNo, String, String)>,
    sources: BTreeMap<String, (CommitSha, String)>,
    problems: BTreeSet<String>,
}

/// Whether everything that a release is made of, and that this is made of, is there once.
///
/// A build that is, some steps down, made with an older one of its own pipeline is no disagreement: nothing can be
/// made with itself.
pub fn made_of(
    (pipeline, release): (&PipelineId, &Arc<Release>),
    states: &BTreeMap<PipelineId, Arc<State>>,
) -> MadeOf {
    let mut walk = Walk::default();
    let below = BTreeSet::from([pipeline.clone()]);
    let pipeline = PipelineAt { id: pipeline.clone(), abroad: None };
    let mut open = vec![Open { pipeline, release: Arc::clone(release), below }];
    while !open.is_empty() {
        let mut next = Vec::new();
        for at in std::mem::take(&mut open) {
            walk.take_sources(&at);
            next.extend(walk.take_builds(&at, states));
        }
        open = next;
    }
    let parts = walk.builds.len().saturating_add(walk.sources.len());
    MadeOf { parts, problems: walk.problems.into_iter().collect() }
}

impl Walk {
    fn take_sources(&mut self, at: &Open) {
        for found in &at.release.sources {
            let Named { repository, reference, .. } = &found.source;
            let what = printable(&format!("{repository}@{reference}"));
            match self.sources.get(&what) {
                None => drop(self.sources.insert(what, (found.commit.clone(), at.named()))),
                Some((commit, by)) if *commit != found.commit => {
                    let (this, other) = (commit.short(), found.commit.short());
                    let problem = format!("{by} has {what} at {this}, {} has it at {other}", at.named());
                    self.problems.insert(problem);
                }
                Some(_) => {}
            }
        }
    }

    /// The builds that are met for the first time.
    fn take_builds(&mut self, at: &Open, states: &BTreeMap<PipelineId, Arc<State>>) -> Vec<Open> {
        let mut next = Vec::new();
        let inputs = at.release.created.builds.iter().map(|input| (at.pipeline.input(input), input));
        for (pipeline, input) in inputs.filter(|(pipeline, _)| !at.below.contains(&pipeline.id)) {
            let version = input.version.to_string();
            if let Some((no, known, by)) = self.builds.get(&pipeline.id) {
                if *no != input.release {
                    let problem =
                        format!("{by} has {pipeline} {known}, {} has {pipeline} {version}", at.named());
                    self.problems.insert(problem);
                }
                continue;
            }
            self.builds.insert(pipeline.id.clone(), (input.release, version.clone(), at.named()));
            let Some(release) = states.get(&pipeline.id).and_then(|state| state.release(input.release))
            else {
                let problem =
                    format!("{pipeline} {version} is not known here, so nobody can tell what is in it");
                self.problems.insert(problem);
                continue;
            };
            let mut below = at.below.clone();
            below.insert(pipeline.id.clone());
            next.push(Open { pipeline, release: Arc::clone(release), below });
        }
        next
    }
}

impl Open {
    fn named(&self) -> String {
        format!("{} {}", self.pipeline, self.release.created.version)
    }
}

#[cfg(test)]
mod tests;
