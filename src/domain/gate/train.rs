//! Trains: a stage that releases reach at set times only.

use crate::domain::demand::{Boarding, Train, clock_of};
use crate::domain::gate::{Blocker, Line, Look, Mark, line};
use crate::domain::release::StageState;
use crate::domain::time::Timestamp;
use crate::domain::train::ride;

impl Look<'_> {
    /// It waits for its departure; whoever cannot wait promotes it.
    pub(super) fn train(&self) -> Option<Line> {
        let train = self.stage.train.as_ref()?;
        if let Some(at) = self.run.departed {
            return Some(line(Blocker::Trigger, Mark::Pass, format!("took the train of {}", at.minute())));
        }
        let settled = self.state.demands.boarded.get(&self.stage.name);
        let (until, text) = match settled.filter(|settled| settled.due > self.now) {
            Some(settled) => self.past_cut_off(train, settled),
            None => self.before_cut_off(train),
        };
        Some(Line {
            until,
            next: Some(format!(
                "somebody with write comments `/promote {} {}` to go now",
                self.stage.name, self.release.created.version
            )),
            ..line(Blocker::Trigger, Mark::Wait, text)
        })
    }

    fn before_cut_off(&self, train: &Train) -> (Option<Timestamp>, String) {
        let (demands, from) = (&self.state.demands, &train.from);
        let (until, when) = self.leaves_after(train, self.now);
        let text = match demands.next_cut_off(&self.stage.name, self.now) {
            Some((_, cut_off)) => {
                let cut_off = cut_off.minute();
                format!(
                    "takes the train of {when}, with what succeeded last in {from} by its cut-off at {cut_off}"
                )
            }
            None => format!("takes the train of {when}, with what succeeded last in {from}"),
        };
        (until, text)
    }

    /// It is on the train that leaves next, or waits for the one after it.
    fn past_cut_off(&self, train: &Train, settled: &Boarding) -> (Option<Timestamp>, String) {
        let (from, no) = (&train.from, self.release.no());
        let (due, cut_off) = (settled.due.minute(), settled.cut_off.minute());
        let (until, next) = self.leaves_after(train, settled.due);
        if settled.passenger == Ok(no) {
            return match ride(self.state, (&self.stage.name, train), self.release) {
                Ok(_) => {
                    (Some(settled.due), format!("boards the train of {due}, since its cut-off at {cut_off}"))
                }
                Err(why) => {
                    (until, format!("does not leave with the train of {due}: {why}; the next leaves {next}"))
                }
            };
        }
        let run = self.release.standing(from).filter(|run| run.state == StageState::Succeeded);
        let why = match (run.map(|run| run.moved_at), &settled.passenger) {
            (Some(at), _) if at > settled.cut_off => {
                let at = at.minute();
                format!("it succeeded in {from} {at}, after the cut-off at {cut_off} of the one before")
            }
            (_, Ok(on)) => format!("the one of {due} takes {} along", self.state.version_of(*on)),
            (_, Err(_)) => format!("the cut-off of the one of {due} was at {cut_off}"),
        };
        (until, format!("takes the train of {next}: {why}"))
    }

    /// When the next train leaves, as a time and as people read it.
    fn leaves_after(&self, train: &Train, after: Timestamp) -> (Option<Timestamp>, String) {
        let next = self.state.demands.next_of(&clock_of(&self.stage.name), after);
        (next, next.map_or_else(|| train.schedule.to_string(), Timestamp::minute))
    }
}
