//! What the engine itself says, under the names that Azure's pipelines use.

use std::collections::BTreeMap;

use crate::domain::name::{Alias, RefName, StageName, VariableName};
use crate::domain::pipeline::Pipeline;
use crate::domain::release::Release;
use crate::domain::variable::Value;

/// What is known of a release in a stage.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The release's number.
    pub release: String,
    /// Its name.
    pub name: String,
    /// The number of its build.
    pub build_number: String,
    /// The repository, as people write it.
    pub project: String,
    /// `refs/heads/main`.
    pub branch: String,
    /// The commit.
    pub commit: String,
    /// The folder that holds the artifacts, each in a folder or file of its alias.
    pub folder: String,
    /// The sealed bytes by alias.
    pub digests: BTreeMap<Alias, String>,
    /// What the release was given.
    pub given: BTreeMap<String, String>,
    /// Whether that is all: what is needed and was not given will not be.
    pub begun: bool,
}

/// Stands for what is not known before a stage starts.
const LATER: &str = "(known when the stage starts)";

impl Facts {
    /// Nothing is known yet: for questions about names.
    pub fn unknown() -> Self {
        let later = || LATER.to_owned();
        Self {
            release: later(),
            name: later(),
            build_number: later(),
            project: later(),
            branch: later(),
            commit: later(),
            folder: later(),
            digests: BTreeMap::new(),
            given: BTreeMap::new(),
            begun: false,
        }
    }

    /// A made-up release of main, for a look at what names it would have.
    pub fn sample() -> Self {
        Self {
            release: "1".to_owned(),
            build_number: "20260301.1".to_owned(),
            project: "acme/shop".to_owned(),
            branch: "refs/heads/main".to_owned(),
            commit: "0".repeat(40),
            ..Self::unknown()
        }
    }

    /// What is known of this release; the folder only where a stage runs.
    pub fn of(release: &Release, folder: Option<String>) -> Self {
        let created = &release.created;
        let digests = release.artifacts.iter().map(|a| (a.alias.clone(), a.digest.to_string()));
        Self {
            release: created.release.to_string(),
            name: created.names.name.clone(),
            build_number: created.names.build_number.clone(),
            project: created.names.project.clone(),
            branch: source_branch(&created.branch, created.tag()),
            commit: created.commit.to_string(),
            folder: folder.unwrap_or_else(|| LATER.to_owned()),
            digests: digests.collect(),
            given: created.inputs.clone(),
            begun: true,
        }
    }

    /// The variables, for this stage of the pipeline.
    pub fn variables(&self, pipeline: &Pipeline, stage: &StageName) -> BTreeMap<VariableName, Value> {
        let source = self.source(pipeline);
        let mut all = self.of_every_stage(pipeline);
        all.extend([
            ("stage".to_owned(), stage.as_str()),
            ("Release.EnvironmentName".to_owned(), stage.as_str()),
            ("Release.ReleaseName".to_owned(), &self.name),
            ("System.DefaultWorkingDirectory".to_owned(), &self.folder),
        ]);
        for alias in pipeline.aliases() {
            let of = |name: &str| format!("Release.Artifacts.{alias}.{name}");
            let digest = self.digests.get(alias).map_or(LATER, String::as_str);
            all.extend(source.iter().map(|(name, value)| (of(name), *value)));
            all.extend([(of("Digest"), digest), (of("Type"), "Build")]);
        }
        named(all)
    }

    /// The inputs of the pipeline's button and the variables that were set with them: as they were given, by default, or
    /// not known before somebody gives them. A release that nobody was asked for has none of those that are needed.
    pub(super) fn given(&self, pipeline: &Pipeline) -> BTreeMap<VariableName, Value> {
        let inputs = pipeline.triggers.button.iter().flat_map(|button| &button.inputs);
        let inputs = inputs.filter_map(|(name, input)| {
            let unsaid = match (input.required, self.begun) {
                (true, true) => None,
                (true, false) => Some(LATER),
                (false, _) => Some(""),
            };
            let value = self.given.get(name).or(input.default.as_ref());
            Some((name.clone(), value.map(String::as_str).or(unsaid)?))
        });
        // A variable that nobody set keeps the value of its own level.
        let settable = pipeline.variables.iter().filter(|(_, variable)| variable.settable);
        let set = settable.filter_map(|(name, _)| {
            let (_, value) = self.given.iter().find(|(given, _)| name.is(given))?;
            Some((name.to_string(), value.as_str()))
        });
        named(inputs.chain(set).collect())
    }

    /// The variables that a name may be made of.
    pub(super) fn of_release(&self, pipeline: &Pipeline) -> BTreeMap<VariableName, Value> {
        named(self.of_every_stage(pipeline))
    }

    /// Where the artifacts come from.
    fn source<'a>(&'a self, pipeline: &'a Pipeline) -> [(&'static str, &'a str); 5] {
        [
            ("BuildNumber", &self.build_number),
            ("DefinitionName", pipeline.name.as_str()),
            ("SourceBranch", &self.branch),
            ("SourceBranchName", self.branch.rsplit('/').next().unwrap_or(&self.branch)),
            ("SourceVersion", &self.commit),
        ]
    }

    fn of_every_stage<'a>(&'a self, pipeline: &'a Pipeline) -> Vec<(String, &'a str)> {
        let source = self.source(pipeline).into_iter();
        let mut all: Vec<_> = source.map(|(name, value)| (format!("Build.{name}"), value)).collect();
        all.extend([
            ("Artifact.ArtifactType".to_owned(), "Build"),
            ("Release.DefinitionName".to_owned(), pipeline.name.as_str()),
            ("Release.ReleaseId".to_owned(), &self.release),
            ("System.TeamProject".to_owned(), &self.project),
        ]);
        all
    }
}

/// Only what is a variable's name can be asked for.
fn named(all: Vec<(String, &str)>) -> BTreeMap<VariableName, Value> {
    let parsed = all.into_iter().filter_map(|(name, value)| Some((name.parse().ok()?, value)));
    parsed.map(|(name, value)| (name, Value::Plain(value.to_owned()))).collect()
}

/// Where a release comes from, as git calls it.
pub fn source_branch(branch: &RefName, tag: Option<&RefName>) -> String {
    tag.map_or_else(|| format!("refs/heads/{branch}"), |tag| format!("refs/tags/{tag}"))
}
