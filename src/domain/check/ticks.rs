//! The gates of one side: all are asked in the same sample, and so many samples in a row must be good (SEMANTICS §5).

use crate::domain::check::course::{Course, legs_of};
use crate::domain::check::{Check, LegId, OnTimeout, Side};
use crate::domain::probe::{Answer, Reading};
use crate::domain::time::Timestamp;

/// The samples of one side so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticks {
    /// Since when the side is sampled.
    pub opened_at: Timestamp,
    /// Whether it is not sampled just now, because something else keeps the stage.
    pub closed: bool,
    /// The answers of the last sample that changed anything, by leg.
    pub readings: Vec<(LegId, Reading)>,
    /// When that was.
    pub at: Option<Timestamp>,
    /// How many samples changed anything, over all openings of the side.
    pub count: u32,
    /// Good samples in a row.
    pub streak: u32,
    /// Bad samples in a row.
    pub reds: u32,
}

/// How a side stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateStanding {
    /// It has no gate, or none that blocks.
    Nothing,
    /// It is not sampled yet.
    Closed,
    /// It is sampled, until then.
    Open(Timestamp),
    /// It is green.
    Green,
    /// Its time was up.
    Over(OnTimeout),
}

impl Ticks {
    /// A side that begins to be sampled, with the count of what was before.
    pub fn opened(at: Timestamp, count: u32) -> Self {
        Self { opened_at: at, closed: false, readings: Vec::new(), at: None, count, streak: 0, reds: 0 }
    }

    /// The last answer about a leg.
    pub fn reading(&self, leg: &LegId) -> Option<&Reading> {
        self.readings.iter().find(|(l, _)| l == leg).map(|(_, reading)| reading)
    }
}

impl<'a> Course<'a> {
    /// The legs of a side.
    pub fn gates(&self, side: Side) -> Vec<(LegId, &'a Check)> {
        let checks = self.stage.gates.on(side).iter();
        checks.flat_map(|check| legs_of(check, self.repo, self.release)).collect()
    }

    /// The gates of a side that can keep the stage.
    fn blocking(&self, side: Side) -> Vec<(LegId, &'a Check)> {
        self.gates(side).into_iter().filter(|(_, check)| check.blocking && !self.overridden(check)).collect()
    }

    /// A side's samples so far, while it is sampled.
    pub fn ticks(&self, side: Side) -> Option<&'a Ticks> {
        self.run.gates.get(&side).filter(|ticks| !ticks.closed)
    }

    /// When a side is given up.
    pub fn gates_deadline(&self, side: Side) -> Option<Timestamp> {
        let gates = &self.stage.gates;
        self.ticks(side).map(|ticks| ticks.opened_at.plus(gates.first(side)).plus(gates.patience(side)))
    }

    /// How a side stands.
    pub fn gate_standing(&self, side: Side, now: Timestamp) -> GateStanding {
        if self.blocking(side).is_empty() {
            return GateStanding::Nothing;
        }
        let (Some(ticks), Some(deadline)) = (self.ticks(side), self.gates_deadline(side)) else {
            return GateStanding::Closed;
        };
        if ticks.streak >= self.stage.gates.streak(side) {
            GateStanding::Green
        } else if deadline <= now {
            GateStanding::Over(self.when_over(side))
        } else {
            GateStanding::Open(deadline)
        }
    }

    /// Nobody can tell what nobody could ask: only what was seen to be bad is rejected by the clock.
    fn when_over(&self, side: Side) -> OnTimeout {
        let bad = self.reds(side).iter().any(|(_, reading)| reading.answer == Answer::Fail);
        match self.stage.gates.when_over(side) {
            OnTimeout::Reject if !bad && self.ticks(side).is_some_and(|t| t.at.is_some()) => OnTimeout::Pause,
            OnTimeout::Reject => OnTimeout::Reject,
            OnTimeout::Pause => OnTimeout::Pause,
            OnTimeout::Continue => OnTimeout::Continue,
        }
    }

    /// Whether the stage went on although the side was never green.
    pub fn went_on(&self, side: Side) -> bool {
        let green = self.ticks(side).map(|ticks| ticks.streak >= self.stage.gates.streak(side));
        green == Some(false) && !self.blocking(side).is_empty()
    }

    /// The gates of a side that were not good in the last sample and block.
    pub fn reds(&self, side: Side) -> Vec<(LegId, &'a Reading)> {
        let Some(ticks) = self.ticks(side) else { return Vec::new() };
        let blocking = self.blocking(side);
        ticks
            .readings
            .iter()
            .filter(|(leg, reading)| reading.answer != Answer::Pass && blocking.iter().any(|(l, _)| l == leg))
            .map(|(leg, reading)| (leg.clone(), reading))
            .collect()
    }

    /// When a side is sampled next, as far as the log tells: samples that changed nothing are not in it.
    pub fn next_sample(&self, side: Side, now: Timestamp) -> Option<Timestamp> {
        let ticks = self.ticks(side)?;
        let gates = &self.stage.gates;
        let Some(last) = ticks.at else { return Some(ticks.opened_at.plus(gates.first(side))) };
        let pace = gates.pace(side);
        let gone = now.since(last).as_millis().checked_div(pace.as_millis().max(1)).unwrap_or(0);
        Some(last.plus(pace.times(gone.saturating_add(1))))
    }

    /// When the effect of the next sample may run.
    pub fn sample_not_before(&self, side: Side) -> Option<Timestamp> {
        let ticks = self.ticks(side)?;
        let gates = &self.stage.gates;
        Some(
            ticks
                .at
                .map_or_else(|| ticks.opened_at.plus(gates.first(side)), |last| last.plus(gates.pace(side))),
        )
    }

    /// A sample as it would be kept; nothing when it changes nothing, and is not worth an event.
    pub fn sampled(&self, side: Side, readings: &[(LegId, Reading)], now: Timestamp) -> Option<Ticks> {
        let before = self.ticks(side)?;
        let blocking = self.blocking(side);
        let answer =
            |leg: &LegId| readings.iter().find(|(l, _)| l == leg).map_or(Answer::Error, |(_, r)| r.answer);
        let green = blocking.iter().all(|(leg, _)| answer(leg) == Answer::Pass);
        let red = blocking.iter().any(|(leg, _)| answer(leg) == Answer::Fail);
        let wanted = self.stage.gates.streak(side);
        let streak = if green { before.streak.saturating_add(1).min(wanted) } else { 0 };
        let reds = if red { before.reds.saturating_add(1) } else { 0 };
        let answers = |all: &[(LegId, Reading)]| -> Vec<(LegId, Answer)> {
            all.iter().map(|(leg, reading)| (leg.clone(), reading.answer)).collect()
        };
        let same = before.at.is_some() && answers(&before.readings) == answers(readings);
        // Bad samples are counted while the release is live, and until the count says so.
        let counts = side == Side::Watch && reds != before.reds && reds <= self.forgiven().saturating_add(1);
        if same && streak == before.streak && !counts {
            return None;
        }
        Some(Ticks {
            opened_at: before.opened_at,
            closed: false,
            readings: readings.to_vec(),
            at: Some(now),
            count: before.count.saturating_add(1),
            streak,
            reds,
        })
    }

    /// So many bad samples in a row are forgiven while the release is live.
    fn forgiven(&self) -> u32 {
        self.stage.gates.post.iter().map(|c| c.failure_limit).max().unwrap_or(0)
    }

    /// The gate that found the release faulty, with what it saw.
    pub fn fault(&self) -> Option<(LegId, &'a Reading)> {
        let ticks = self.ticks(Side::Watch)?;
        let bad = |(_, reading): &(LegId, &Reading)| reading.answer == Answer::Fail;
        let first = self.reds(Side::Watch).into_iter().find(bad);
        first.filter(|_| ticks.reds > self.forgiven())
    }

    /// Whether the last sample is older than the time between two.
    pub fn is_stale(&self, side: Side, now: Timestamp) -> bool {
        let pace = self.stage.gates.pace(side);
        let green = self.gate_standing(side, now) == GateStanding::Green;
        green && self.ticks(side).and_then(|ticks| ticks.at).is_some_and(|at| at.plus(pace) <= now)
    }

    /// Until when the gates are asked while the release is live.
    pub fn watch_ends(&self) -> Option<Timestamp> {
        self.ticks(Side::Watch).map(|ticks| ticks.opened_at.plus(self.stage.gates.watch))
    }
}
