//! What a stage's commands find in their environment, and what is missing before they may start.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::domain::event::{Form, RunKind, Sealed};
use crate::domain::name::{Alias, EnvironmentName, PipelineId, RoleName, VariableName};
use crate::domain::pipeline::step::Action;
use crate::domain::pipeline::{Stage, Step};
use crate::domain::progress::phases;
use crate::domain::release::Release;
use crate::domain::time::Span;
use crate::domain::variable::{
    self, Entry, Facts, Problem, Resolution, Reveal, Told, artifact_variable, environment_name,
};
use crate::runner::Sandbox;
use crate::runner::probe::find_program;
use crate::runner::target::{Kind, Target};
use crate::secret::{Asking, Connection};
use crate::service::Service;
use crate::service::stage::roll::unfit;
use crate::service::steps::one::{holds, program, spelled, surroundings};
use crate::service::steps::{Artifacts, Connections, Run};
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

    /// What steps wrote down of the release, in this stage and before.
    pub fn documents(&self) -> PathBuf {
        self.root.join("documents")
    }

    /// Where steps write down their outputs.
    pub fn notes(&self) -> PathBuf {
        self.root.join("outputs")
    }

    /// Where steps put in the artifacts that they make.
    pub fn made(&self) -> PathBuf {
        self.root.join("made")
    }

    /// The primary artifact of a release, or the first one.
    pub fn first(&self, release: &Release) -> PathBuf {
        first(release).map_or_else(|| self.source(), |first| self.artifact(&first.alias))
    }

    /// Where deploy steps start: in that artifact when it is a folder of files, and else in the source; the layout of an
    /// image is nothing to work in.
    pub fn deploy_in(&self, release: &Release) -> PathBuf {
        let folder = first(release).filter(|first| first.form == Form::Folder && first.image.is_none());
        folder.map_or_else(|| self.source(), |first| self.artifact(&first.alias))
    }
}

fn first(release: &Release) -> Option<&Sealed> {
    release.primary().or_else(|| release.artifacts.first())
}

impl Service {
    /// All variables of a stage's commands; what the stage's `env` says wins over what they are told of the release.
    pub fn stage_environment(
        &self,
        (id, repository): (&PipelineId, &str),
        (release, told): (&Release, &Told),
        (grounds, fence): (&Grounds, i64),
    ) -> Outcome<BTreeMap<String, String>> {
        let stage = &told.stage;
        let mut environment = self.base_environment(&grounds.home());
        for artifact in &release.artifacts {
            let key = artifact_variable(artifact.alias.as_str());
            environment.insert(key, shown(&grounds.artifact(&artifact.alias)));
        }
        environment.extend(self.image_variables(release, stage));
        environment.extend(told.variables.clone());
        environment.extend(about_release(id, (release, stage), fence));
        let places = [
            ("LIFTLOCK_ARTIFACT", grounds.first(release)),
            ("LIFTLOCK_SOURCE", grounds.source()),
            ("LIFTLOCK_DOCUMENTS", grounds.documents()),
        ];
        environment.extend(places.map(|(name, path)| (name.to_owned(), shown(&path))));
        environment.extend(stage.environment_variables.clone());
        let asking = Asking { repository, pipeline: &id.name, stage: &stage.name };
        environment.extend(self.secrets(asking, &stage.secrets)?);
        Ok(environment)
    }

    /// What the connections give that the stage's steps name; the error is why one of them does not.
    pub fn connections(&self, asking: Asking<'_>, stage: &Stage) -> Result<Connections, String> {
        let named: BTreeSet<&String> =
            stage.all_steps().filter_map(|s| s.terms.connection.as_ref()).collect();
        let one = |name: &String| {
            let connection = self.connection(asking, name)?;
            let secrets =
                connection.secrets.iter().map(|(key, secret)| (key.clone(), secret.expose().to_owned()));
            Ok((name.clone(), connection.environment.clone().into_iter().chain(secrets).collect()))
        };
        named.into_iter().map(one).collect()
    }

    /// The connection of this name; the error is why the stage does not have it.
    pub fn connection(&self, asking: Asking<'_>, name: &str) -> Result<&Connection, String> {
        let connection = self.settings().connections.get(name).ok_or_else(|| {
            format!("the server has no connection `{name}`; add [connections.{name}] to its config")
        })?;
        if connection.allows(asking) {
            Ok(connection)
        } else {
            Err(asking.not_of(&format!("the connection `{name}`")))
        }
    }

    /// Why no machine here may run the stage's commands, if none may.
    fn no_agent(&self, release: &Release, stage: &Stage) -> Option<String> {
        let asked = &release.rule(&stage.name).unwrap_or(stage).agents;
        let label = asked.iter().find(|label| !self.settings().labels.contains(*label))?;
        Some(format!(
            "its commands need a machine with the label `{label}`, and this one has {}; if it is one, add the label to \
             [runner] labels of the server's config",
            self.settings().labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ")
        ))
    }

    /// Why the stage's steps get no token, if they ask for one in vain.
    fn no_token(&self, id: &PipelineId, release: &Release, stage: &Stage) -> Option<String> {
        if !wants_token(release, stage) {
            return None;
        }
        match self.host(&id.repo) {
            Ok(host) => host.gives_tokens().err(),
            Err(trouble) => Some(trouble.to_string()),
        }
    }

    /// The targets of the config that the deploy steps of this stage run for.
    pub fn targets(&self, asking: Asking<'_>, release: &Release, stage: &Stage) -> Vec<Target> {
        let environment = release.rule(&stage.name).map_or(&stage.environment, |rule| &rule.environment);
        self.targets_in(asking, (stage, environment))
    }

    /// The same while the stage deploys to this environment.
    pub fn targets_in(
        &self,
        asking: Asking<'_>,
        (stage, environment): (&Stage, &EnvironmentName),
    ) -> Vec<Target> {
        let Some(rule) = &stage.targets else { return Vec::new() };
        let mine = |target: &&Target| {
            target.environment == *environment && target.allows(asking) && rule.takes(&target.roles)
        };
        self.settings().targets.iter().filter(mine).cloned().collect()
    }

    /// Why the stage cannot reach its targets, if it has any to reach.
    fn no_target(
        &self,
        asking: Asking<'_>,
        release: &Release,
        (stage, kind): (&Stage, RunKind),
        environment: &BTreeMap<String, String>,
    ) -> Option<String> {
        let rule = stage.targets.as_ref().filter(|_| kind != RunKind::Verify)?;
        let targets = self.targets(asking, release, stage);
        if targets.is_empty() {
            let roles: Vec<&str> = rule.roles.iter().map(RoleName::as_str).collect();
            let roles = if roles.is_empty() {
                String::new()
            } else {
                format!(" with the role {}", roles.join(" or "))
            };
            return Some(format!(
                "the server has no target in {}{roles} that {asking} may deploy to; add a [[target]] to its config",
                stage.environment
            ));
        }
        let path = environment.get("PATH").map_or("", String::as_str);
        let by_ssh = targets.iter().any(|target| matches!(target.kind, Kind::Ssh(_)));
        let missing = ["ssh", "tar"].into_iter().find(|name| by_ssh && find_program(name, path).is_none());
        if let Some(lacks) = missing {
            return Some(format!("targets by ssh need `{lacks}`, which is not on the server's machine"));
        }
        targets.iter().find_map(|target| {
            let unfit =
                |step: &Step| Some(format!("\"{}\" on {}: {}", step.name, target.name, unfit(target, step)?));
            stage.deploy.iter().find_map(unfit)
        })
    }

    /// Whether what is sent to the stage's targets can be written.
    fn bodies(
        &self,
        asking: Asking<'_>,
        release: &Release,
        stage: &Stage,
        environment: &BTreeMap<String, String>,
    ) -> Result<(), String> {
        for target in self.targets(asking, release, stage) {
            let mut own = environment.clone();
            own.extend(target.environment());
            if let Kind::Http(hook) = &target.kind {
                hook.message(&serde_json::Value::Null, &own)?;
            }
        }
        Ok(())
    }

    /// Why the stage could not run here, found before anything of it has happened: a program that is not on this
    /// machine, a secret the server does not have, an argument without a value.
    pub fn not_ready(
        &self,
        (id, repository): (&PipelineId, &str),
        release: &Release,
        stage: &Stage,
        kind: RunKind,
    ) -> Option<String> {
        let asking = Asking { repository, pipeline: &id.name, stage: &stage.name };
        // The folder is another one when it runs; no argument depends on that.
        let grounds = Grounds::new(self.settings().data.join("work"));
        let told = match told(release, stage, &grounds.artifacts(), &variable::hidden) {
            Ok((told, _)) => told,
            Err(problem) => return Some(problem.to_string()),
        };
        let stage = &told.stage;
        let mut environment = match self.stage_environment((id, repository), (release, &told), (&grounds, 0))
        {
            Ok(environment) => environment,
            Err(trouble) => return Some(trouble.to_string()),
        };
        let missing = self
            .no_agent(release, stage)
            .or_else(|| self.no_token(id, release, stage))
            .or_else(|| self.not_named(asking, release, stage));
        if missing.is_some() {
            return missing;
        }
        let connections = match self.connections(asking, stage) {
            Ok(connections) => connections,
            Err(why) => return Some(why),
        };
        for output in stage.all_steps().flat_map(|step| &step.terms.outputs) {
            environment
                .entry(environment_name(&output.name))
                .or_insert_with(|| "(written by a step)".to_owned());
        }
        let (all, first) = (grounds.artifacts(), grounds.first(release));
        let run = Run {
            steps: &[],
            tree: &all,
            environment: &environment,
            sandbox: Sandbox::Plain,
            wall: Span::ZERO,
            artifacts: Some(Artifacts { all: &all, first: &first, unpacked: false }),
            connections: &connections,
        };
        if kind != RunKind::Verify
            && let Some(why) = self.no_registry(asking, release, stage)
        {
            return Some(why);
        }
        if let Some(why) = self.no_target(asking, release, (stage, kind), &environment) {
            return Some(why);
        }
        phases(stage, kind).into_iter().flat_map(|(_, steps)| steps).find_map(|step| {
            let ready =
                surroundings(step, &run).and_then(|own| holds(step, &own).map(|_| own)).and_then(|own| {
                    match &step.action {
                        Action::Pause(pause) => spelled(&pause.instructions, &own).map(drop),
                        Action::Run(_) | Action::Script(_) => program(step, &run, &self.mask()).map(drop),
                        Action::Write(_) | Action::Gather(_) => Ok(()),
                        Action::Hook(_) => self.bodies(asking, release, stage, &own),
                        Action::Publish(publish) => self.no_outlet((id, asking), release, publish),
                    }
                });
            Some(format!("\"{}\": {}", step.name, ready.err()?))
        })
    }
}

/// Whether the steps of this stage get a token: the commit and every source of policy since say so.
pub fn wants_token(release: &Release, stage: &Stage) -> bool {
    stage.oauth_token && release.rule(&stage.name).is_some_and(|rule| rule.oauth_token)
}

/// The stage's commands with their variables, and which of these is a path within an artifact.
pub fn told(
    release: &Release,
    stage: &Stage,
    artifacts: &Path,
    reveal: Reveal<'_>,
) -> Result<(Told, Vec<(VariableName, PathBuf)>), Problem> {
    let facts = Facts::of(release, Some(shown(artifacts)));
    let levels = variable::levels(&release.created.pipeline, stage, (&facts, &release.groups))?;
    let all = Resolution::of(&levels)?;
    let told = all.told(stage, reveal)?;
    let path = |entry: &Entry<'_>| {
        let value = told.variables.get(&environment_name(entry.name))?;
        Some((entry.name.clone(), path_of_artifact(value, release, artifacts)?))
    };
    let paths = all.all().iter().filter_map(path).collect();
    Ok((told, paths))
}

/// The path within an artifact that a variable's value is, if it is one (row A14): such a path was sealed, so it is
/// there or the variable is wrong. A list of paths, a pattern or an option with a path in it is left alone.
fn path_of_artifact(value: &str, release: &Release, artifacts: &Path) -> Option<PathBuf> {
    let inside = Path::new(value).strip_prefix(artifacts).ok()?;
    let alias = inside.components().next()?.as_os_str();
    let one = !value.contains([':', ';', ',', '*', '?', ' ', '\n']);
    let ours = release.artifacts.iter().any(|a| alias == a.alias.as_str());
    (one && ours).then(|| PathBuf::from(value))
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
        ("LIFTLOCK_CHANNEL", created.channel.as_ref().map_or_else(String::new, ToString::to_string)),
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
