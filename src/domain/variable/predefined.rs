//! What the engine itself says, under the names that Azure's pipelines use.

use std::collections::BTreeMap;

use crate::domain::name::{Alias, StageName, VariableName};
use crate::domain::pipeline::Pipeline;
use crate::domain::release::Release;
use crate::domain::variable::Value;

/// What is known of a release in a stage.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The release's number.
    pub release: String,
    /// `refs/heads/main`.
    pub branch: String,
    /// The commit.
    pub commit: String,
    /// The folder that holds the artifacts, each in a folder or file of its alias.
    pub folder: String,
    /// The sealed bytes by alias.
    pub digests: BTreeMap<Alias, String>,
}

/// Stands for what is not known before a stage starts.
const LATER: &str = "(known when the stage starts)";

impl Facts {
    /// Nothing is known yet: for questions about names.
    pub fn unknown() -> Self {
        let later = || LATER.to_owned();
        Self { release: later(), branch: later(), commit: later(), folder: later(), digests: BTreeMap::new() }
    }

    /// What is known of this release; the folder only where a stage runs.
    pub fn of(release: &Release, folder: Option<String>) -> Self {
        let created = &release.created;
        let digests = release.artifacts.iter().map(|a| (a.alias.clone(), a.digest.to_string()));
        Self {
            release: created.release.to_string(),
            branch: format!("refs/heads/{}", created.branch),
            commit: created.commit.to_string(),
            folder: folder.unwrap_or_else(|| LATER.to_owned()),
            digests: digests.collect(),
        }
    }

    /// The variables, for this stage of the pipeline.
    pub fn variables(&self, pipeline: &Pipeline, stage: &StageName) -> BTreeMap<VariableName, Value> {
        let branch_name = self.branch.rsplit('/').next().unwrap_or(&self.branch);
        let source = [
            ("DefinitionName", pipeline.name.as_str()),
            ("SourceBranch", &self.branch),
            ("SourceBranchName", branch_name),
            ("SourceVersion", &self.commit),
        ];
        let mut all = vec![
            ("stage".to_owned(), stage.as_str()),
            ("Release.DefinitionName".to_owned(), pipeline.name.as_str()),
            ("Release.EnvironmentName".to_owned(), stage.as_str()),
            ("Release.ReleaseId".to_owned(), &self.release),
            ("System.DefaultWorkingDirectory".to_owned(), &self.folder),
        ];
        all.extend(source.iter().map(|(name, value)| (format!("Build.{name}"), *value)));
        for artifact in &pipeline.artifacts {
            let of = |name: &str| format!("Release.Artifacts.{}.{name}", artifact.alias);
            let digest = self.digests.get(&artifact.alias).map_or(LATER, String::as_str);
            all.extend(source.iter().map(|(name, value)| (of(name), *value)));
            all.extend([(of("Digest"), digest), (of("Type"), "Build")]);
        }
        let parsed = all.into_iter().filter_map(|(name, value)| Some((name.parse().ok()?, value)));
        parsed.map(|(name, value)| (name, Value::Plain(value.to_owned()))).collect()
    }
}
