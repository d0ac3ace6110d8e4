//! How answers of legs and samples of gates change a run.

use crate::domain::check::leg::Leg;
use crate::domain::check::ticks::Ticks;
use crate::domain::event::{Event, LegAnswered};
use crate::domain::release::{Fault, StageRun};
use crate::domain::time::Timestamp;

impl StageRun {
    pub(super) fn take_answer(&mut self, answered: &LegAnswered, at: Timestamp) {
        let before = self.legs.get(&answered.leg);
        let next = Leg::with(before, (&answered.reading, answered.to), &answered.question, at);
        let (key, reused) = (answered.key.clone(), answered.reused.clone());
        let next = Leg { tail: answered.tail.clone(), key, reused, ..next };
        self.legs.insert(answered.leg.clone(), next);
    }

    pub(super) fn take_sample(&mut self, event: &Event, at: Timestamp) {
        if let Event::GatesOpened { side, .. } = event {
            let count = self.gates.get(side).map_or(0, |ticks| ticks.count);
            // The count goes on, so that a sample of the opening before is not taken for one of this.
            self.gates.insert(*side, Ticks::opened(at, count.saturating_add(1)));
        } else if let Event::GatesClosed { side, .. } = event {
            if let Some(ticks) = self.gates.get_mut(side) {
                *ticks = Ticks { closed: true, ..Ticks::opened(at, ticks.count) };
            }
        } else if let Event::GatesSampled { side, readings, streak, reds, lost_at, .. } = event {
            if let Some(ticks) = self.gates.get_mut(side) {
                ticks.readings.clone_from(readings);
                ticks.at = Some(at);
                ticks.count = ticks.count.saturating_add(1);
                ticks.streak = *streak;
                ticks.reds = *reds;
                ticks.lost_at = *lost_at;
            }
        } else if let Event::FoundFaulty { gate, detail, .. } = event {
            self.fault = Some(Fault { gate: gate.clone(), detail: detail.clone(), at });
        }
    }
}
