//! Trains: a stage that releases reach at set times only.

use crate::domain::demand::clock_of;
use crate::domain::gate::{Blocker, Line, Look, Mark, line};
use crate::domain::time::Timestamp;

impl Look<'_> {
    /// It waits for its departure; whoever cannot wait promotes it.
    pub(super) fn train(&self) -> Option<Line> {
        let train = self.stage.train.as_ref()?;
        if let Some(at) = self.run.departed {
            return Some(line(Blocker::Trigger, Mark::Pass, format!("took the train of {}", at.minute())));
        }
        let until = self.state.demands.next_of(&clock_of(&self.stage.name), self.now);
        let when = until.map_or_else(|| train.schedule.to_string(), Timestamp::minute);
        Some(Line {
            until,
            next: Some(format!(
                "somebody with write comments `/promote {} {}` to go now",
                self.stage.name, self.release.created.version
            )),
            ..line(
                Blocker::Trigger,
                Mark::Wait,
                format!("takes the train of {when}, with what succeeded last in {}", train.from),
            )
        })
    }
}
