//! The line about variables: what a stage's commands name must be there before the stage is admitted (SEMANTICS §9).

use crate::domain::gate::{Blocker, Line, Look, Mark, line};
use crate::domain::input;
use crate::domain::variable::Problem;

impl Look<'_> {
    pub(super) fn variables(&self) -> Option<Line> {
        let problem = self.release.unusable.get(&self.stage.name)?;
        let pipeline = &self.release.created.pipeline;
        let button = pipeline.triggers.button.as_ref();
        let asking =
            |name: &str| button.filter(|b| b.inputs.keys().any(|key| key.eq_ignore_ascii_case(name)));
        let next = match problem {
            Problem::Missing { name, .. } if let Some(button) = asking(name) => {
                let inputs = input::example(&button.inputs);
                format!("somebody with write comments `/start {}{inputs}`", pipeline.name)
            }
            Problem::Missing { name, .. } => {
                format!(
                    "somebody with write sets `{name}`, or writes `$$({name})` for the text itself, and pushes"
                )
            }
            Problem::Group { group, .. } => format!(
                "somebody who administers `{group}` puts that right, then somebody with write pushes again: \
                 a release takes its groups when it is created"
            ),
            Problem::Twice { .. }
            | Problem::Deep { .. }
            | Problem::Long { .. }
            | Problem::Quoted { .. }
            | Problem::Foreign { .. }
            | Problem::Clash { .. }
            | Problem::Reserved { .. }
            | Problem::Open { .. }
            | Problem::Many { .. } => "somebody with write mends the variables and pushes".to_owned(),
        };
        let text = format!("variables of {}: {problem}", self.stage.name);
        Some(Line { next: Some(next), ..line(Blocker::Variables, Mark::Stop, text) })
    }
}
