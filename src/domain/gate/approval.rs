//! What people are asked for: approvals before the deploy, sign-offs after it (SEMANTICS §3).

use crate::domain::approval::{Tally, asked, rule_for, signoff_for, tally};
use crate::domain::event::{ApprovalSide, Overridable};
use crate::domain::gate::{Blocker, Line, Look, Mark, Wait, line, waits_since, window};
use crate::domain::state::State;
use crate::domain::time::Timestamp;

impl Look<'_> {
    /// What is asked once the commands have passed, in order (SEMANTICS §5): gates, then people.
    pub(super) fn after_deploy(&self) -> Vec<Line> {
        self.signoff().into_iter().collect()
    }

    pub(super) fn approval(&self) -> Option<Line> {
        let rule = rule_for(self.stage, self.run)?;
        let tally = tally(&rule, self.release, self.run, self.now);
        let text = counted(&tally, "approvals");
        if tally.complete() {
            return Some(line(Blocker::Approval, Mark::Pass, text));
        }
        Some(self.asks(Blocker::Approval, text))
    }

    fn signoff(&self) -> Option<Line> {
        let rule = signoff_for(self.stage, self.run.kind)?;
        let tally = tally(&rule, self.release, self.run, self.now);
        let text = counted(&tally, "sign-offs");
        if tally.complete() {
            let text = format!("{text}; the host is asked whether they still may");
            return Some(line(Blocker::Signoff, Mark::Wait, text));
        }
        Some(self.asks(Blocker::Signoff, text))
    }

    fn asks(&self, blocker: Blocker, text: String) -> Line {
        let (stage, version) = (&self.stage.name, &self.release.created.version);
        let ends = approvals_end(self.state, (self.release, self.stage, self.run), self.now);
        let before = ends.map_or_else(String::new, |ends| format!(" before {}", ends.minute()));
        let next = format!("one of these comments `/approve {stage} {version}`{before}");
        Line { next: Some(next), ..line(blocker, Mark::Stop, text) }
    }
}

/// How many there are and who is missing.
fn counted(tally: &Tally, what: &str) -> String {
    let by = if tally.by.is_empty() { String::new() } else { format!(" ({})", tally.by.join(", ")) };
    // People of one group do not fill up another, so there may be enough people and not enough of some.
    let enough = tally.have >= tally.need && !tally.complete();
    let of = if enough { String::new() } else { format!(" of {}", tally.need) };
    let mut text = format!("{}{of} {what}{by}", tally.have);
    for (login, why) in &tally.not_counted {
        text.extend(["; ", login, " does not count: ", &why.to_string()]);
    }
    if !tally.complete() {
        text.extend(["; needs ", &tally.missing.join(" and ")]);
    }
    text
}

/// When the wait for people ends by the clock; never when nobody is asked, that end was overridden, or nobody knows
/// when a freeze will end.
pub fn approvals_end(state: &State, wait: Wait<'_>, now: Timestamp) -> Option<Timestamp> {
    let (_, stage, run) = wait;
    let rule = asked(stage, run)?;
    let endless = run.overridden(&Overridable::ApprovalTimeout, stage).is_some();
    // A freeze keeps releases from starting, and nobody from looking at one that is there.
    let frozen = run.side() == ApprovalSide::Before && window::frozen_without_end(state, wait, now);
    (!endless && !frozen).then(|| waits_since(state, wait, now).plus(rule.timeout))
}
