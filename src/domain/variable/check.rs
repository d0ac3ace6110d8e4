//! What a stage is told, and whether all of it can be: asked when a manifest is read and before a stage is admitted.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::domain::name::{StageName, VariableName};
use crate::domain::pipeline::step::{Action, Shell, Terms};
use crate::domain::pipeline::strategy::BlueGreen;
use crate::domain::pipeline::{Hooks, Pipeline, Stage, Step, Strategy};
use crate::domain::variable::asked;
use crate::domain::variable::group::{self, Taken, linked};
use crate::domain::variable::{
    Facts, Level, Problem, Rank, Resolution, Reveal, Scope, ShellText, Value, Variable, hidden,
};

const GIVEN: &str = "what the release was started with";
const SHARED: &str = "`variables` of the pipeline";

fn level(rank: Rank, source: &str, values: BTreeMap<VariableName, Value>) -> Level<'static> {
    Level { rank, source: source.to_owned(), values: Cow::Owned(values) }
}

fn own(declared: &BTreeMap<VariableName, Variable>, scope: Option<Scope>) -> BTreeMap<VariableName, Value> {
    let wanted = declared.iter().filter(|(_, v)| scope.is_none_or(|s| v.scope == s));
    wanted.map(|(name, v)| (name.clone(), Value::Plain(v.value.clone()))).collect()
}

/// The levels of a stage, with the groups as the release took them.
pub fn levels(
    pipeline: &Pipeline,
    stage: &Stage,
    (facts, taken): (&Facts, &Taken),
) -> Result<Vec<Level<'static>>, Problem> {
    let mut levels = without_groups(pipeline, stage, facts);
    levels.extend(group::levels(&linked(pipeline, stage)?, taken)?);
    Ok(levels)
}

/// The levels that a stage has whatever is in its groups.
pub(super) fn without_groups(pipeline: &Pipeline, stage: &Stage, facts: &Facts) -> Vec<Level<'static>> {
    vec![
        level(Rank::Given, GIVEN, facts.given(pipeline)),
        level(Rank::Stage, &format!("`variables` of {}", stage.name), own(&stage.variables, None)),
        level(Rank::Stage, SHARED, own(&pipeline.variables, Some(Scope::Stage))),
        level(Rank::Release, SHARED, own(&pipeline.variables, Some(Scope::Release))),
        level(Rank::Predefined, "what liftlock says", facts.variables(pipeline, &stage.name)),
    ]
}

/// The levels that a release's name may be made of.
pub fn of_release(pipeline: &Pipeline, facts: &Facts) -> Vec<Level<'static>> {
    vec![
        level(Rank::Given, GIVEN, facts.given(pipeline)),
        level(Rank::Release, SHARED, own(&pipeline.variables, Some(Scope::Release))),
        level(Rank::Predefined, "what liftlock says", facts.of_release(pipeline)),
    ]
}

/// What the commands of a stage are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The variables, as the environment of every command has them.
    pub variables: BTreeMap<String, String>,
    /// The stage, with the values of its variables in its `env` and in the commands of its steps.
    pub stage: Stage,
}

impl Resolution<'_> {
    /// The stage's commands with their variables.
    pub fn told(&self, stage: &Stage, reveal: Reveal<'_>) -> Result<Told, Problem> {
        let exported = self.environment(reveal)?;
        let own = &stage.environment_variables;
        self.apart(&exported, (own.keys(), "`env` entry"))?;
        self.apart(&exported, (stage.secrets.iter(), "secret"))?;
        for check in stage.checks() {
            self.asked(check)?;
        }
        let written: BTreeSet<VariableName> =
            stage.all_steps().flat_map(|step| &step.terms.outputs).map(|o| o.name.clone()).collect();
        let steps = |list: &[Step]| -> Result<Vec<Step>, Problem> {
            list.iter().map(|step| self.step(step, (&exported, &written), reveal)).collect()
        };
        let stage = Stage {
            hooks: Hooks { before: steps(&stage.hooks.before)?, after: steps(&stage.hooks.after)? },
            deploy: steps(&stage.deploy)?,
            strategy: match &stage.strategy {
                Some(Strategy::BlueGreen(rule)) => {
                    let switch = self.step(&rule.switch, (&exported, &written), reveal)?;
                    Some(Strategy::BlueGreen(Box::new(BlueGreen { switch, ..BlueGreen::clone(rule) })))
                }
                strategy @ (Some(Strategy::Canary(_)) | None) => strategy.clone(),
            },
            test_commands: steps(&stage.test_commands)?,
            environment_variables: self.entries(own, "the stage", reveal)?,
            ..stage.clone()
        };
        Ok(Told { variables: exported, stage })
    }

    /// A step with its commands for its shell. Its `with`, its `if`, a script's arguments and a question keep their
    /// macros: they may name what a step before it wrote, so they are looked up when it starts.
    fn step(
        &self,
        step: &Step,
        (exported, written): (&BTreeMap<String, String>, &BTreeSet<VariableName>),
        reveal: Reveal<'_>,
    ) -> Result<Step, Problem> {
        self.apart(exported, (step.environment.keys(), "`env` entry"))?;
        let whose = format!("step \"{}\"", step.name);
        let given = written.iter().chain(step.terms.with.keys()).cloned().collect();
        let shell = step.terms.shell.unwrap_or(Shell::Sh);
        let command =
            |text: &str, shell| self.expand_shell(&ShellText { text, shell, given: &given }, &whose);
        let action = match &step.action {
            Action::Run(text) => Action::Run(command(text, shell)?),
            Action::Script(script) => Action::Script(script.clone()),
            Action::Pause(pause) => Action::Pause(pause.clone()),
            Action::Hook(hook) => Action::Hook(hook.clone()),
            Action::Publish(publish) => Action::Publish(publish.clone()),
            Action::Write(document) => Action::Write(document.clone()),
            Action::Gather(gather) => Action::Gather(*gather),
        };
        let validate = step.terms.validate.as_deref().map(|text| command(text, Shell::Sh)).transpose()?;
        Ok(Step {
            name: step.name.clone(),
            action,
            environment: self.entries(&step.environment, &whose, reveal)?,
            terms: Box::new(Terms { validate, ..(*step.terms).clone() }),
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
    let plain = |text: &String| !text.contains("$(");
    let said = |step: &Step| match &step.action {
        Action::Run(text) => plain(text),
        Action::Script(_)
        | Action::Pause(_)
        | Action::Hook(_)
        | Action::Publish(_)
        | Action::Write(_)
        | Action::Gather(_) => true,
    };
    pipeline.variables.is_empty()
        && pipeline.groups.is_empty()
        && stage.groups.is_empty()
        && stage.variables.is_empty()
        && stage.environment_variables.values().all(plain)
        && stage.checks().flat_map(asked::texts).all(plain)
        && stage
            .all_steps()
            .all(|step| said(step) && step.terms.validate.iter().chain(step.environment.values()).all(plain))
}

/// Why the variables of a stage cannot be used, if so: all that can be said without its groups.
pub fn problem(pipeline: &Pipeline, stage: &Stage) -> Option<Problem> {
    if is_plain(pipeline, stage) {
        return None;
    }
    let links = match linked(pipeline, stage) {
        Ok(links) => links,
        Err(problem) => return Some(problem),
    };
    let levels = without_groups(pipeline, stage, &Facts::unknown());
    let problem = Resolution::of(&levels).and_then(|resolution| resolution.told(stage, &hidden)).err()?;
    // A group may have what is missing; the release that takes it knows.
    let later = matches!(problem, Problem::Missing { .. }) && !links.is_empty();
    (!later).then_some(problem)
}

/// The same for a release, which knows its groups and what it was given.
fn problem_of(pipeline: &Pipeline, stage: &Stage, (facts, taken): (&Facts, &Taken)) -> Option<Problem> {
    if is_plain(pipeline, stage) {
        return None;
    }
    let told = |levels: &[Level<'static>]| Resolution::of(levels)?.told(stage, &hidden).map(|_| ());
    levels(pipeline, stage, (facts, taken)).and_then(|levels| told(&levels)).err()
}

/// The stages of a release whose variables cannot be used; what it was not given when it was started it never is.
pub fn problems(
    pipeline: &Pipeline,
    taken: &Taken,
    given: &BTreeMap<String, String>,
) -> BTreeMap<StageName, Problem> {
    let facts = Facts { given: given.clone(), begun: true, ..Facts::unknown() };
    let problem = |stage: &Stage| problem_of(pipeline, stage, (&facts, taken));
    pipeline.stages.iter().filter_map(|stage| Some((stage.name.clone(), problem(stage)?))).collect()
}
