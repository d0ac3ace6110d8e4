//! `environments` → what stages know about the place they deploy to.

use crate::domain::manifest::code::Code;
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::shape::nearest;
use crate::domain::manifest::view::View;
use crate::domain::pipeline::{Environment, Stage};

/// Tells every stage about its environment; an entry that no stage deploys to is a mistake.
pub(super) fn tell(view: View<'_>, stages: &mut [Stage], findings: &mut Findings<'_>) {
    for entry in view.below("environments").entries() {
        let inner = View::of(&entry.value);
        let around = Environment {
            url: inner.line("url"),
            lock: inner.parsed("lock"),
            production: inner.flag("production").unwrap_or(false),
        };
        let mut used = false;
        for stage in stages.iter_mut().filter(|stage| stage.environment.as_str() == entry.key) {
            stage.around = around.clone();
            used = true;
        }
        if !used {
            let message = format!("no stage deploys to `{}`", entry.key);
            let near = || nearest(&entry.key, stages.iter().map(|stage| stage.environment.as_str()));
            findings.add_near(Code::Environment, entry.key_at, message, near);
        }
    }
}

/// Whether the environment of a stage is production, before stages have been told.
pub(super) fn is_production(view: View<'_>, stage: &Stage) -> bool {
    view.below("environments").below(stage.environment.as_str()).flag("production").unwrap_or(false)
}
