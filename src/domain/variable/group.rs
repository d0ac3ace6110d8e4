//! The variable groups that a pipeline and its stages are linked to, and what a release took of them (SEMANTICS §9).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::group::{GroupSnapshot, Value as GroupValue};
use crate::domain::name::{GroupName, NameError, SecretAddress, StageName, VariableName};
use crate::domain::pipeline::{Pipeline, Stage};
use crate::domain::variable::check::without_groups;
use crate::domain::variable::{Facts, Level, Problem, Rank, Resolution, Value, hidden};

/// A group that a manifest links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupLink {
    /// Its name, macros in it as written: `$(prefix).Invictus.$(stage)`.
    pub name: String,
    /// Whether the stage's commands may write into it; it also takes the role of an administrator.
    #[serde(default)]
    pub write: bool,
    /// Where the secrets are that the manifest names here. With any, the group is this one and not the library's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<VariableName, SecretAddress>,
    /// The stages it is linked in; all when there is none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub stages: BTreeSet<StageName>,
}

/// What a release took of groups when it was created, and what its stages have written since.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The groups.
    pub groups: BTreeMap<GroupName, GroupSnapshot>,
    /// Groups it could not take, with the reason.
    pub refused: BTreeMap<GroupName, String>,
}

/// A link in one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    /// The group.
    pub name: GroupName,
    /// As [`GroupLink::write`].
    pub write: bool,
    /// How strong its variables are.
    pub rank: Rank,
    /// As [`GroupLink::secrets`].
    pub secrets: BTreeMap<VariableName, SecretAddress>,
}

impl Taken {
    /// Whether the release knows of no group at all.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.refused.is_empty()
    }

    /// What a stage wrote is there for the stages after it.
    pub fn write(&mut self, group: &GroupName, version: u32, values: &BTreeMap<VariableName, String>) {
        let Some(snapshot) = self.groups.get_mut(group) else { return };
        snapshot.version = version;
        for (name, text) in values {
            snapshot.values.remove(name);
            snapshot.values.insert(name.clone(), GroupValue::Plain(text.clone()));
        }
    }
}

/// The groups of a stage: its own, and those of the pipeline that it does not name again.
pub fn linked(pipeline: &Pipeline, stage: &Stage) -> Result<Vec<Linked>, Problem> {
    let levels = without_groups(pipeline, stage, &Facts::unknown());
    let all = Resolution::of(&levels)?;
    let mut out: Vec<Linked> = Vec::new();
    let own = stage.groups.iter().map(|link| (link, Rank::StageGroup));
    let shared = pipeline.groups.iter().map(|link| (link, Rank::ReleaseGroup));
    let here = |link: &GroupLink| link.stages.is_empty() || link.stages.contains(&stage.name);
    for (link, rank) in own.chain(shared).filter(|(link, _)| here(link)) {
        let text = all.expand(&link.name, &format!("the group name `{}`", link.name), &hidden)?;
        let name: GroupName = text
            .parse()
            .map_err(|e: NameError| Problem::Group { group: link.name.clone(), why: e.to_string() })?;
        if !out.iter().any(|known| known.name == name) {
            out.push(Linked { name, write: link.write, rank, secrets: link.secrets.clone() });
        }
    }
    Ok(out)
}

/// Every group of the library that a release of this pipeline takes; a stage whose links cannot be read says so by
/// itself.
pub fn all_linked(pipeline: &Pipeline) -> Vec<GroupName> {
    let mut names: Vec<GroupName> = pipeline
        .stages
        .iter()
        .flat_map(|stage| linked(pipeline, stage).unwrap_or_default())
        .filter(|link| link.secrets.is_empty())
        .map(|link| link.name)
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The levels of a stage's groups, from what the release took.
pub(super) fn levels(links: &[Linked], taken: &Taken) -> Result<Vec<Level<'static>>, Problem> {
    links.iter().map(|link| level(link, taken)).collect()
}

fn level(link: &Linked, taken: &Taken) -> Result<Level<'static>, Problem> {
    if !link.secrets.is_empty() {
        let named = link.secrets.iter().map(|(name, at)| (name.clone(), Value::Named(at.to_string())));
        let source = format!("group `{}` of the manifest", link.name);
        return Ok(Level { rank: link.rank, source, values: std::borrow::Cow::Owned(named.collect()) });
    }
    let Some(snapshot) = taken.groups.get(&link.name) else {
        let why = taken.refused.get(&link.name).cloned();
        let why = why.unwrap_or_else(|| "it was not there when the release was created".to_owned());
        return Err(Problem::Group { group: link.name.to_string(), why });
    };
    let value = |value: &GroupValue| match value {
        GroupValue::Plain(text) => Value::Plain(text.clone()),
        GroupValue::Secret(secret) => Value::Secret(secret.at.to_string()),
    };
    let values = snapshot.values.iter().map(|(name, v)| (name.clone(), value(v))).collect();
    Ok(Level {
        rank: link.rank,
        source: format!("group `{}` version {}", link.name, snapshot.version),
        values: std::borrow::Cow::Owned(values),
    })
}
