//! Builds of other repositories: what a manifest's name for one stands for, and who may take them.

use crate::domain::name::{PipelineName, RepoName};
use crate::secret::{Allowed, Asking};

/// A pipeline of a repository that this server serves, whose builds other repositories may take. Which one it is, and
/// for whom, is never a manifest's word (THREATS T40).
#[derive(Debug, Clone)]
pub struct Upstream {
    /// What manifests call it.
    pub name: PipelineName,
    /// The repository that declares it, by its present name.
    pub repository: RepoName,
    /// What it is called there.
    pub pipeline: PipelineName,
    /// The pipelines that may take its builds, with `build` for the stage.
    pub allow: Vec<Allowed>,
    /// The stages that may tag what was built in its repository; taking a build is not writing there.
    pub tag: Vec<Allowed>,
}

impl Upstream {
    /// Whether this pipeline may take its builds.
    pub fn allows(&self, asking: Asking<'_>) -> bool {
        self.allow.iter().any(|allowed| allowed.is(asking))
    }

    /// Whether this stage may tag its repository.
    pub fn is_tagged_by(&self, asking: Asking<'_>) -> bool {
        self.tag.iter().any(|allowed| allowed.is(asking))
    }
}
