//! What a stage is told, and whether all of it can be: asked when a manifest is read and before a stage is admitted.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::domain::name::{StageName, VariableName};
use crate::domain::pipeline::{Pipeline, Stage, Step};
use crate::domain::variable::{
    Facts, Level, Problem, Rank, Resolution, Reveal, Scope, Value, Variable, hidden,
};

const SHARED: &str = "`variables` of the pipeline";

fn level(rank: Rank, source: &str, values: BTreeMap<VariableName, Value>) -> Level<'static> {
    Level { rank, source: source.to_owned(), values: Cow::Owned(values) }
}

fn own(declared: &BTreeMap<VariableName, Variable>, scope: Option<Scope>) -> BTreeMap<VariableName, Value> {
    let wanted = declared.iter().filter(|(_, v)| scope.is_none_or(|s| v.scope == s));
    wanted.map(|(name, v)| (name.clone(), Value::Plain(v.value.clone()))).collect()
}

/// The levels of a stage.
pub fn levels(pipeline: &Pipeline, stage: &Stage, facts: &Facts) -> Vec<Level<'static>> {
    vec![
        level(Rank::Stage, &format!("`variables` of {}", stage.name), own(&stage.variables, None)),
        level(Rank::Stage, SHARED, own(&pipeline.variables, Some(Scope::Stage))),
        level(Rank::Release, SHARED, own(&pipeline.variables, Some(Scope::Release))),
        level(Rank::Predefined, "what liftlock says", facts.variables(pipeline, &stage.name)),
    ]
}

/// The levels that a release's name may be made of.
pub fn of_release(pipeline: &Pipeline, facts: &Facts) -> Vec<Level<'static>> {
    vec![
        level(Rank::Release, SHARED, own(&pipeline.variables, Some(Scope::Release))),
        level(Rank::Predefined, "what liftlock says", facts.of_release(pipeline)),
    ]
}

/// What the commands of a stage are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The variables, as the environment of every command has them.
    pub variables: BTreeMap<String, String>,
    /// What the stage's `env` says besides.
    pub entries: BTreeMap<String, String>,
    /// The commands that deploy.
    pub deploy: Vec<Step>,
    /// The commands that test.
    pub test_commands: Vec<Step>,
}

impl Resolution<'_> {
    /// The stage's commands with their variables.
    pub fn told(&self, stage: &Stage, reveal: Reveal<'_>) -> Result<Told, Problem> {
        let exported = self.environment(reveal)?;
        let own = &stage.environment_variables;
        self.apart(&exported, (own.keys(), "`env` entry"))?;
        self.apart(&exported, (stage.secrets.iter(), "secret"))?;
        let mut steps = Vec::new();
        for list in [&stage.deploy, &stage.test_commands] {
            let told = list.iter().map(|step| self.step(step, &exported, reveal));
            steps.push(told.collect::<Result<Vec<_>, _>>()?);
        }
        let mut steps = steps.into_iter();
        let (deploy, test_commands) = (steps.next().unwrap_or_default(), steps.next().unwrap_or_default());
        let entries = self.entries(own, "the stage", reveal)?;
        Ok(Told { variables: exported, entries, deploy, test_commands })
    }

    fn step(
        &self,
        step: &Step,
        exported: &BTreeMap<String, String>,
        reveal: Reveal<'_>,
    ) -> Result<Step, Problem> {
        self.apart(exported, (step.environment.keys(), "`env` entry"))?;
        let whose = format!("step \"{}\"", step.name);
        Ok(Step {
            name: step.name.clone(),
            run: self.expand_shell(&step.run, &whose)?,
            environment: self.entries(&step.environment, &whose, reveal)?,
        })
    }

    fn entries(
        &self,
        given: &BTreeMap<String, String>,
        whose: &str,
        reveal: Reveal<'_>,
    ) -> Result<BTreeMap<String, String>, Problem> {
        let entry = |(name, text): (&String, &String)| {
            let used = format!("`env` entry `{name}` of {whose}");
            Ok((name.clone(), self.expand(text, &used, reveal)?))
        };
        given.iter().map(entry).collect()
    }
}

/// Whether a stage has anything to resolve; most have not, and this is asked for every release of a log.
fn is_plain(pipeline: &Pipeline, stage: &Stage) -> bool {
    let mut steps = stage.deploy.iter().chain(&stage.test_commands);
    let plain = |text: &String| !text.contains("$(");
    pipeline.variables.is_empty()
        && stage.variables.is_empty()
        && stage.environment_variables.values().all(plain)
        && steps.all(|step| plain(&step.run) && step.environment.values().all(plain))
}

/// Why the variables of a stage cannot be used, if so.
pub fn problem(pipeline: &Pipeline, stage: &Stage) -> Option<Problem> {
    if is_plain(pipeline, stage) {
        return None;
    }
    let levels = levels(pipeline, stage, &Facts::unknown());
    Resolution::of(&levels).and_then(|resolution| resolution.told(stage, &hidden)).err()
}

/// The stages of a pipeline whose variables cannot be used.
pub fn problems(pipeline: &Pipeline) -> BTreeMap<StageName, Problem> {
    let stages = pipeline.stages.iter();
    stages.filter_map(|stage| Some((stage.name.clone(), problem(pipeline, stage)?))).collect()
}
