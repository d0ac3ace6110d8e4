//! The line about what a contract is read off, or a stage publishes: neither starts before that is signed.

use crate::domain::evidence::{owed, unsigned};
use crate::domain::gate::{Blocker, Line, Look, Mark, line};
use crate::domain::pipeline::Stage;
use crate::domain::pipeline::step::{Action, Step};
use crate::domain::publication::{Goods, Publish};
use crate::domain::release::BuildState;

impl Look<'_> {
    /// Whether the lists and statements are there that a contract asks for, or the stage publishes: that includes what
    /// every stage before it found. What is missing is not passed over.
    pub(super) fn evidence(&self) -> Option<Line> {
        let release = self.release;
        if release.artifacts.is_empty() || release.build != BuildState::Sealed {
            return None;
        }
        let why = if release.rules.release.contract.is_some() && unsigned(release) {
            "that its contract asks for"
        } else if publishes_evidence(self.stage) && !owed(release).is_empty() {
            "that it publishes"
        } else {
            return None;
        };
        let next = "if that stays so, whoever runs the server looks into its log and `liftlock doctor`";
        let text = format!("the checksums and statements {why} are being signed");
        Some(Line { next: Some(next.to_owned()), ..line(Blocker::Build, Mark::Wait, text) })
    }
}

fn publishes_evidence(stage: &Stage) -> bool {
    let evidence =
        |step: &Step| matches!(&step.action, Action::Publish(Publish::Files { what: Goods::Evidence, .. }));
    stage.all_steps().any(evidence)
}
