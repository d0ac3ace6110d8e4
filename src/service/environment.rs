//! What a stage's commands find in their environment, and what is missing before they may start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::domain::event::RunKind;
use crate::domain::name::{Alias, PipelineId};
use crate::domain::pipeline::Stage;
use crate::domain::release::Release;
use crate::domain::time::Span;
use crate::runner::Sandbox;
use crate::service::Service;
use crate::service::steps::{Artifacts, Run};
use crate::trouble::Outcome;

/// Where the parts of a stage's work are, below one folder.
#[derive(Debug, Clone)]
pub struct Grounds {
    /// The folder of this piece of work.
    root: PathBuf,
}

impl Grounds {
    /// Below this folder.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The home of the commands.
    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// The files of the released commit.
    pub fn source(&self) -> PathBuf {
        self.root.join("src")
    }

    /// The folder with all artifacts.
    pub fn artifacts(&self) -> PathBuf {
        self.root.join("artifacts")
    }

    /// One artifact: a folder or a file.
    pub fn artifact(&self, alias: &Alias) -> PathBuf {
        self.artifacts().join(alias.as_str())
    }

    /// The first artifact of a release, where deploy steps start.
    pub fn first(&self, release: &Release) -> PathBuf {
        release.artifacts.first().map_or_else(|| self.source(), |first| self.artifact(&first.alias))
    }
}

impl Service {
    /// All variables of a stage's commands; the stage's own win over what they are told of the release.
    pub fn stage_environment(
        &self,
        id: &PipelineId,
        (release, stage): (&Release, &Stage),
        (grounds, fence): (&Grounds, i64),
    ) -> Outcome<BTreeMap<String, String>> {
        let mut environment = self.base_environment(&grounds.home());
        for artifact in &release.artifacts {
            let key =
                format!("LIFTLOCK_ARTIFACT_{}", artifact.alias.as_str().to_uppercase().replace('-', "_"));
            environment.insert(key, shown(&grounds.artifact(&artifact.alias)));
        }
        environment.extend(about_release(id, (release, stage), fence));
        let places = [
            ("LIFTLOCK_ARTIFACT", grounds.first(release)),
            ("LIFTLOCK_SOURCE", grounds.source()),
            // Each artifact is a folder of its own in it, under its alias, as in Azure DevOps.
            ("SYSTEM_DEFAULTWORKINGDIRECTORY", grounds.artifacts()),
        ];
        environment.extend(places.map(|(name, path)| (name.to_owned(), shown(&path))));
        environment.extend(stage.environment_variables.clone());
        environment.extend(self.secrets(&stage.secrets)?);
        Ok(environment)
    }

    /// Why the stage could not run here, found before anything of it has happened: a program that is not on this
    /// machine, a secret the server does not have, an argument without a value.
    pub fn not_ready(
        &self,
        id: &PipelineId,
        release: &Release,
        stage: &Stage,
        kind: RunKind,
    ) -> Option<String> {
        // The folder is another one when it runs; no argument depends on that.
        let grounds = Grounds::new(self.settings().data.join("work"));
        let environment = match self.stage_environment(id, (release, stage), (&grounds, 0)) {
            Ok(environment) => environment,
            Err(trouble) => return Some(trouble.to_string()),
        };
        let (all, first) = (grounds.artifacts(), grounds.first(release));
        let run = Run {
            steps: &[],
            tree: &all,
            environment: &environment,
            sandbox: Sandbox::Plain,
            wall: Span::ZERO,
            artifacts: Some(Artifacts { all: &all, first: &first, unpacked: false }),
        };
        let deploys = if kind == RunKind::Verify { &[][..] } else { &stage.deploy };
        deploys.iter().chain(&stage.test_commands).find_map(|step| {
            let mut own = environment.clone();
            own.extend(step.environment.clone());
            let why = self.program(step, &run, &own).err()?;
            Some(format!("\"{}\": {why}", step.name))
        })
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// What a stage's commands are told about the release, by name.
fn about_release(
    id: &PipelineId,
    (release, stage): (&Release, &Stage),
    fence: i64,
) -> BTreeMap<String, String> {
    let created = &release.created;
    let digest = release.shown_digest().map_or_else(String::new, ToString::to_string);
    [
        ("STAGE", stage.name.to_string()),
        ("LIFTLOCK_STAGE", stage.name.to_string()),
        ("LIFTLOCK_ENVIRONMENT", stage.environment.to_string()),
        ("LIFTLOCK_PIPELINE", id.name.to_string()),
        ("LIFTLOCK_VERSION", created.version.to_string()),
        ("LIFTLOCK_COMMIT", created.commit.to_string()),
        ("LIFTLOCK_DIGEST", digest.clone()),
        ("RELEASE_DIGEST", digest),
        // The number of the event that admitted this run. It rises over all runs of an environment, so a target that
        // remembers the highest it has seen can refuse what a dead server left behind (STORAGE §2).
        ("FENCE_TOKEN", fence.to_string()),
        // Copilot's own names (CHECKLIST C43).
        ("COPILOT_APPLICATION_NAME", id.name.to_string()),
        ("COPILOT_ENVIRONMENT_NAME", stage.environment.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}
