//! What is owed for starts that were asked for: making their releases, and saying why there is none.

use crate::domain::demand::Cause;
use crate::domain::effect::Effect;
use crate::domain::plan::{Lane, Owed, host, note_effect};
use crate::domain::state::{State, TOLD_AFTER};
use crate::domain::time::Timestamp;
use crate::domain::view;

/// Releases to be made, and answers to whoever asked in vain.
pub(super) fn owe(state: &State, owed: &mut Vec<Owed>) {
    for asked in state.demands.open.values() {
        let key = format!("start:{}:{}", state.id, asked.no);
        let lane = match asked.cause {
            // It fetches what may be large.
            Cause::Run(_) => Lane::Build,
            Cause::Button { .. } | Cause::Schedule { .. } | Cause::Upload { .. } => Lane::Timer,
        };
        owed.push(Owed {
            lane,
            group: None,
            // A time that stays: an effect of this lane is owed again when its time changes.
            not_before: Some(asked.at),
            ..host(state, key, Effect::Start { no: asked.no })
        });
    }
    for dropped in
        state.demands.dropped.iter().filter(|d| state.version.saturating_sub(d.touched) < TOLD_AFTER)
    {
        let Some((asked, place)) = dropped.asked.as_ref().and_then(|a| Some((a, a.place.as_ref()?))) else {
            continue;
        };
        let marker = format!("start-dropped:{}:{}", state.id, asked.no);
        owed.push(note_effect(state, (marker, place, view::demand::dropped(state, dropped)), None));
    }
}

/// Every time at which a clock rings, or it is settled what a train takes along.
pub(super) fn times(state: &State, now: Timestamp) -> Vec<Timestamp> {
    let clocks = state.demands.clocks.values();
    let rings = clocks.filter_map(|clock| {
        let due = clock.schedule.next_after(clock.since.max(now))?;
        Some([Some(due), clock.cut_off(due)])
    });
    rings.flatten().flatten().collect()
}
