//! `variables` → names and values; what can be said about macros without the server is said here.

use std::collections::BTreeMap;

use crate::domain::manifest::code::Code;
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::view::{self, View};
use crate::domain::name::VariableName;
use crate::domain::pipeline::Pipeline;
use crate::domain::variable::{Problem, Scope, Variable, problem};

type Variables = BTreeMap<VariableName, Variable>;

/// `variables` of a pipeline.
pub(super) fn of_pipeline(pipeline: View<'_>, findings: &mut Findings<'_>) -> Variables {
    read(pipeline, findings)
}

/// `variables` of a stage.
pub(super) fn of_stage(stage: View<'_>, findings: &mut Findings<'_>) -> Variables {
    read(stage, findings)
}

fn read(of: View<'_>, findings: &mut Findings<'_>) -> Variables {
    let mut out = Variables::new();
    for entry in of.below("variables").entries() {
        let Ok(name) = entry.key.parse::<VariableName>() else { continue };
        let inner = View::of(&entry.value);
        let text = view::text(&entry.value).or_else(|| inner.get("value").and_then(view::text));
        let Some(value) = text.map(str::to_owned) else { continue };
        let scope =
            if inner.line("scope").as_deref() == Some("stage") { Scope::Stage } else { Scope::Release };
        if let Some((other, _)) = out.get_key_value(&name) {
            let message = format!("`{other}` and `{name}` are one variable: case does not tell them apart");
            findings.add(Code::DuplicateName, entry.key_at, message);
            continue;
        }
        let settable = inner.flag("settable").unwrap_or(false);
        out.insert(name, Variable { value, scope, settable });
    }
    out
}

/// Asks every stage whether its variables can be used.
pub(super) fn check(view: View<'_>, pipeline: &Pipeline, findings: &mut Findings<'_>) {
    let button = pipeline.triggers.button.as_ref();
    for (name, _) in pipeline.variables.iter().filter(|(_, variable)| variable.settable) {
        let at = view.below("variables").place(name.as_str());
        if button.is_none() {
            let message = format!("nobody can set `{name}`: no button starts a release");
            let hint = "write `button: {}` below `triggers`, or leave `settable` out".to_owned();
            findings.add_hinted(Code::Variable, at, message, hint);
        } else if button.is_some_and(|button| button.inputs.keys().any(|input| name.is(input))) {
            let message = format!("`{name}` is an input of the button, too");
            findings.add(Code::DuplicateName, at, message);
        }
    }
    let nodes = view.items("stages");
    for stage in &pipeline.stages {
        let Some(problem) = problem(pipeline, stage) else { continue };
        let node = nodes.iter().find_map(|n| {
            let (name, at) = super::stage::name_of(n)?;
            (name == stage.name.as_str()).then_some(at)
        });
        let message = format!("stage `{}`: {problem}", stage.name);
        match problem {
            Problem::Missing { name, .. } => {
                let hint = format!("declare it in `variables`, or write `$$({name})` for the text itself");
                findings.add_hinted(Code::Variable, node.unwrap_or_default(), message, hint);
            }
            Problem::Group { .. }
            | Problem::Open { .. }
            | Problem::Twice { .. }
            | Problem::Deep { .. }
            | Problem::Long { .. }
            | Problem::Quoted { .. }
            | Problem::Foreign { .. }
            | Problem::Clash { .. }
            | Problem::Reserved { .. }
            | Problem::Many { .. } => findings.add(Code::Variable, node.unwrap_or_default(), message),
        }
    }
}
