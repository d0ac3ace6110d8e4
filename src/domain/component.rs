//! Components: what of a release's artifacts a stage has already, so that only what has changed is deployed (row E28).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::deployment::{Deployment, Unit};
use crate::domain::event::{Form, RunKind, Sealed};
use crate::domain::name::{Alias, Digest, StageName};
use crate::domain::pipeline::{Stage, Step};
use crate::domain::release::{Release, StageRun};
use crate::domain::state::{Live, State};
use crate::domain::time::Timestamp;
use crate::domain::version::Version;

/// What a deployment names and runs there already; stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    /// The release that brought it.
    pub version: Version,
    /// When that was live.
    pub since: Timestamp,
    /// What it is.
    pub digests: BTreeMap<Alias, Digest>,
}

impl Runs {
    /// Why the deployment is left out.
    pub fn told(&self) -> String {
        let digests: Vec<&str> = self.digests.values().map(Digest::short).collect();
        let (version, since) = (&self.version, self.since.minute());
        format!("it runs the same bytes, {version}'s {}, since {since}", digests.join(" and "))
    }
}

/// Whether a deployment with `if_changed` is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// What it names runs there already.
    Same(Runs),
    /// It is deployed, for this reason.
    Changed(String),
}

/// The release whose bytes a stage has, and the run that brought them; known for sure.
#[derive(Debug)]
pub struct There<'s> {
    stage: &'s Stage,
    run: &'s StageRun,
    /// As it was when that run was over.
    release: Cow<'s, Release>,
}

impl<'s> There<'s> {
    /// What runs in the stage before this run of a release, or why that is not known: then everything is deployed.
    pub fn of(
        state: &'s State,
        release: &Release,
        (stage, kind): (&StageName, RunKind),
    ) -> Result<Self, String> {
        if kind == RunKind::Redeploy {
            return Err("it is tried again, and then everything is deployed".to_owned());
        }
        let (no, since) = match state.live_at(stage, release.track()) {
            None => return Err("nothing runs there yet".to_owned()),
            Some(Live::Unknown(no)) => {
                return Err(format!("nobody knows how far {} came there", state.version_of(*no)));
            }
            Some(Live::Release(no, since)) => (*no, *since),
        };
        let there = state.release(no).ok_or_else(|| format!("there is no release {no}"))?;
        let version = &there.created.version;
        let known = release.steps(stage).zip(there.steps(stage));
        let (steps, before) = known.ok_or_else(|| format!("{version} does not know the stage"))?;
        let mut runs = there.stages.get(stage).into_iter().flatten().rev();
        let run = runs.find(|run| run.started_at.is_some() && run.kind != RunKind::Verify);
        let run = run.ok_or_else(|| format!("{version} was not deployed there"))?;
        if run.fault.is_some() {
            return Err(format!("{version} was found faulty there"));
        }
        let shared = release
            .rules
            .stages
            .iter()
            .filter(|other| other.environment == steps.environment && other.name != *stage);
        for other in shared {
            let later = match state.live_at(&other.name, release.track()) {
                Some(Live::Release(_, at)) => *at >= since,
                Some(Live::Unknown(_)) => true,
                None => false,
            };
            if later {
                return Err(format!("{} has deployed to {} since", other.name, steps.environment));
            }
        }
        if !told_alike((release, steps), (there, before)) {
            return Err(format!("its commands are told other things than those of {version}"));
        }
        Ok(Self { stage: before, run, release: there.seen_by(run) })
    }

    /// Folders that may hold the same files although they were packed as other bytes: a folder is packed with the time of
    /// its commit. With that time they would be these.
    pub fn repacked(&self, release: &Release, stage: &Stage) -> BTreeMap<Alias, (i64, Digest)> {
        let created = &self.release.created;
        let epoch_s = created.pipeline.build.reuse.epoch_s(created.epoch_s);
        let named = stage.deployments.iter().flat_map(|deployment| &deployment.if_changed);
        let other = named.filter_map(|alias| {
            let (new, old) = sealed(release, alias).zip(sealed(&self.release, alias))?;
            let folders = new.form == Form::Folder && old.form == Form::Folder && new.image.is_none();
            let differ = folders && bytes(new) != bytes(old);
            differ.then(|| (alias.clone(), (epoch_s, old.content.clone())))
        });
        other.collect()
    }

    /// Whether what a deployment names runs there, deployed as it would be now; `same` are folders that turned out to
    /// hold the same files.
    fn standing(
        &self,
        (release, stage): (&Release, &Stage),
        deployment: &Deployment,
        same: &BTreeSet<Alias>,
    ) -> Standing {
        let version = &self.release.created.version;
        let (unit, changed) = (&deployment.unit, Standing::Changed);
        let before: Vec<&Step> = steps_of(self.stage, unit).collect();
        if before.is_empty() {
            return changed(format!("{version} did not deploy it"));
        }
        if !steps_of(stage, unit).eq(before) {
            return changed(format!("{version} was deployed in another way"));
        }
        let of_it = format!("{}: ", unit.name);
        let walked = &self.run.walked;
        let issues = walked.issues.iter().map(|issue| &issue.step);
        if issues.chain(&walked.conditional).any(|step| step.starts_with(&of_it)) {
            return changed(format!("not all of its steps ran well for {version}"));
        }
        let mut digests = BTreeMap::new();
        for alias in &deployment.if_changed {
            let old = sealed(&self.release, alias);
            let Some((new, old)) = sealed(release, alias).zip(old) else {
                return changed(format!("{alias} is not in this release and in {version}"));
            };
            if bytes(new) != bytes(old) && !same.contains(alias) {
                let (new, old) = (bytes(new).short(), bytes(old).short());
                return changed(format!("{alias} is {new}, and {version} had {old}"));
            }
            digests.insert(alias.clone(), bytes(old).clone());
        }
        // What that run left out itself was there before it.
        let earlier = walked.unchanged.get(&unit.name).cloned();
        let own = || Runs { version: version.clone(), since: self.run.moved_at, digests };
        Standing::Same(earlier.unwrap_or_else(own))
    }
}

/// Whether each deployment of a stage that asks for it is left out; without what runs there known, none is.
pub fn standings(
    (release, stage): (&Release, &Stage),
    there: &Result<There<'_>, String>,
    same: &BTreeSet<Alias>,
) -> BTreeMap<Unit, Standing> {
    let asking = stage.deployments.iter().filter(|deployment| !deployment.if_changed.is_empty());
    let standing = |deployment: &Deployment| match there {
        Ok(there) => there.standing((release, stage), deployment, same),
        Err(why) => Standing::Changed(why.clone()),
    };
    asking.map(|deployment| (deployment.unit.clone(), standing(deployment))).collect()
}

/// Whether the commands of both releases are told the same in the stage, as far as their manifests, what they were given
/// and their groups say it.
fn told_alike((new, stage): (&Release, &Stage), (old, before): (&Release, &Stage)) -> bool {
    let by_release = new.created.pipeline.variables == old.created.pipeline.variables
        && new.created.inputs == old.created.inputs
        && new.groups == old.groups;
    let by_place = stage.environment == before.environment
        && stage.around == before.around
        && stage.secrets == before.secrets;
    let by_stage = stage.environment_variables == before.environment_variables
        && stage.variables == before.variables
        && stage.groups == before.groups;
    by_release && by_place && by_stage
}

fn steps_of<'s>(stage: &'s Stage, unit: &'s Unit) -> impl Iterator<Item = &'s Step> {
    stage.deploy.iter().filter(move |step| step.terms.unit.as_ref() == Some(unit))
}

fn sealed<'r>(release: &'r Release, alias: &Alias) -> Option<&'r Sealed> {
    release.artifacts.iter().find(|sealed| sealed.alias == *alias)
}

/// What is deployed of an artifact: an image by its own digest, whatever folder it lies in.
fn bytes(sealed: &Sealed) -> &Digest {
    sealed.image.as_ref().map_or(&sealed.digest, |image| &image.manifest)
}
