//! Approvals that a stage takes over from stages before it (`reuse_from`), never from another release (SEMANTICS §3).

use crate::domain::approval::{counts, rule_for};
use crate::domain::decide::Draft;
use crate::domain::event::{Approval, ApprovalSide, Event};
use crate::domain::name::{ReleaseNo, StageName};
use crate::domain::refusal::Refusal;
use crate::domain::release::{Release, StageRun, StageState};

impl Draft {
    /// Takes over what was given in the named stages, once the release has succeeded there. What it becomes is an
    /// approval of this stage like any other: it is counted, revoked, read back and struck from the list alone.
    pub(super) fn reuse(&mut self, waiting: &[(ReleaseNo, StageName)]) -> Result<(), Refusal> {
        for (no, stage) in waiting {
            let release = self.release(*no)?;
            let Some(run) = release.run(stage).filter(|run| run.state == StageState::Pending) else {
                continue;
            };
            for approval in self.reusable(&release, stage, run) {
                let (attempt, approval) = (run.attempt, Box::new(approval));
                self.add(Event::Approved { release: *no, stage: stage.clone(), attempt, approval })?;
            }
        }
        Ok(())
    }

    fn reusable(&self, release: &Release, stage: &StageName, run: &StageRun) -> Vec<Approval> {
        let Some(rule) = release.rule(stage).and_then(|rule| rule_for(rule, run)) else {
            return Vec::new();
        };
        let mut found: Vec<Approval> = Vec::new();
        for from in &rule.reuse_from {
            let Some(earlier) = release.run(from).filter(|run| run.state == StageState::Succeeded) else {
                continue;
            };
            for given in earlier.approvals.iter().chain(&earlier.signoffs) {
                let person = given.standing.person.id;
                let by_them = |a: &Approval| a.standing.person.id == person && a.team == given.team;
                let has_one = run.approvals.iter().chain(&found).any(by_them);
                // Who took it back here, or was struck from the list, has to say it again.
                let struck = run.withdrawn.iter().any(|(a, _)| by_them(a) && a.at == given.at);
                if !has_one && !struck && counts(&rule, release, run, (given, self.now)).is_ok() {
                    let from = given.reused_from.clone().unwrap_or_else(|| from.clone());
                    found.push(Approval {
                        side: ApprovalSide::Before,
                        reused_from: Some(from),
                        ..given.clone()
                    });
                }
            }
        }
        found
    }
}
