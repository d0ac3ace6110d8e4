//! Lines about the gates that are sampled before a stage starts.

use crate::domain::check::course::Course;
use crate::domain::check::ticks::GateStanding;
use crate::domain::check::{Check, LegId, OnTimeout, Order, Side};
use crate::domain::event::Overridable;
use crate::domain::gate::{Blocker, Line, Look, Mark, line};
use crate::domain::probe::Answer;

impl Look<'_> {
    pub(super) fn gates(&self) -> Vec<Line> {
        let course =
            Course { repo: &self.state.id.repo, release: self.release, stage: self.stage, run: self.run };
        let gates = course.gates(Side::Pre);
        let standing = course.gate_standing(Side::Pre, self.now);
        let mut lines: Vec<Line> = gates.iter().filter_map(|(_, check)| self.passed_over(check)).collect();
        let asked = gates.iter().filter(|(_, check)| self.passed_over(check).is_none());
        match standing {
            GateStanding::Nothing => {}
            GateStanding::Closed => {
                let names: Vec<String> = asked.map(|(leg, _)| leg.to_string()).collect();
                let when = match course.order() {
                    Order::Sequential => "once nothing else keeps it",
                    Order::Parallel => "once nothing but approvals keeps it",
                };
                let text = format!("gates {} are asked {when}", names.join(", "));
                lines.push(line(Blocker::Gate, Mark::Wait, text));
            }
            GateStanding::Open(until) => {
                let waits: Vec<Line> = asked.map(|gate| self.gate(&course, gate, Mark::Wait)).collect();
                lines.extend(waits);
                lines.extend(self.in_a_row(&course, &lines));
                for waiting in lines.iter_mut().filter(|l| l.mark != Mark::Pass) {
                    waiting.until = Some(until);
                }
            }
            GateStanding::Green => lines.extend(asked.map(|gate| self.gate(&course, gate, Mark::Pass))),
            GateStanding::Over(OnTimeout::Continue) => {
                lines.extend(asked.map(|(leg, _)| {
                    line(Blocker::Gate, Mark::Pass, format!("gate {leg} was not green in time; it went on"))
                }));
            }
            GateStanding::Over(OnTimeout::Pause | OnTimeout::Reject) => {
                lines.extend(asked.map(|gate| self.gate(&course, gate, Mark::Stop)));
                if lines.iter().all(|l| l.mark == Mark::Pass) {
                    let text = "gates were not green often enough in a row in time";
                    lines.push(Line {
                        next: Some(self.cancel_act()),
                        ..line(Blocker::Gate, Mark::Stop, text)
                    });
                }
            }
        }
        lines
    }

    /// One gate with what it said last.
    fn gate(&self, course: &Course<'_>, (leg, check): &(LegId, &Check), mark: Mark) -> Line {
        let reading = course.ticks(Side::Pre).and_then(|ticks| ticks.reading(leg));
        let Some(reading) = reading else {
            let next = Some(self.gate_act(check));
            let text = format!("gate {leg} has not answered yet");
            let mark = if check.blocking { mark } else { Mark::Pass };
            return Line { next, ..line(Blocker::Gate, mark, text) };
        };
        if reading.answer == Answer::Pass || !check.blocking {
            return line(Blocker::Gate, Mark::Pass, format!("gate {leg}: {}", reading.detail));
        }
        let how = match reading.answer {
            Answer::Pass | Answer::Fail => "is red",
            Answer::Inconclusive => "cannot tell",
            Answer::Error => "could not be asked",
        };
        let text = format!("gate {leg} {how}: {}", reading.detail);
        Line { next: Some(self.gate_act(check)), ..line(Blocker::Gate, mark, text) }
    }

    /// All are good, and not often enough yet.
    fn in_a_row(&self, course: &Course<'_>, lines: &[Line]) -> Option<Line> {
        let streak = course.ticks(Side::Pre)?.streak;
        let wanted = self.stage.gates.streak(Side::Pre);
        let all = lines.iter().all(|l| l.mark == Mark::Pass);
        let text = format!("gates were green {streak} of {wanted} times in a row");
        all.then(|| line(Blocker::Gate, Mark::Wait, text))
    }

    fn passed_over(&self, check: &Check) -> Option<Line> {
        let given = Overridable::Check(check.name.clone());
        let passed = self.overridden(&given).filter(|_| check.overridable)?;
        Some(line(Blocker::Gate, Mark::Pass, format!("{} overridden by {}", check.name, passed.by.login)))
    }

    fn gate_act(&self, check: &Check) -> String {
        if check.overridable {
            self.override_act(&Overridable::Check(check.name.clone()))
        } else {
            self.cancel_act()
        }
    }

    fn cancel_act(&self) -> String {
        format!("somebody with write puts that right, or comments `/cancel {}`", self.stage.name)
    }
}
