//! The gates of one side: all are asked in the same sample, and so many samples in a row must be good (SEMANTICS §5).

use crate::domain::check::course::{Course, legs_of};
use crate::domain::check::{Check, CheckKind, Gates, LegId, OnTimeout, Order, Side};
use crate::domain::probe::{Answer, Reading};
use crate::domain::time::{Span, Timestamp};

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
    /// Since when it is green no more, once it was.
    pub lost_at: Option<Timestamp>,
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
        let (readings, lost_at) = (Vec::new(), None);
        Self { opened_at: at, closed: false, readings, at: None, count, streak: 0, reds: 0, lost_at }
    }

    /// The last answer about a leg.
    pub fn reading(&self, leg: &LegId) -> Option<&Reading> {
        self.readings.iter().find(|(l, _)| l == leg).map(|(_, reading)| reading)
    }
}

impl<'a> Course<'a> {
    /// What is said about the samples of a side; of a run that is held, its portion says it.
    pub fn around(&self, side: Side) -> &'a Gates {
        let held = self.run.hold().filter(|_| side == Side::Hold);
        held.map_or(&self.stage.gates, |(_, hold)| &hold.gates)
    }

    /// Whether the gates before the stage are asked beside its approvals. Commands are not: they get what the stage gets,
    /// and that is given once people have said yes (THREATS T46).
    pub fn order(&self) -> Order {
        let commands = |check: &Check| matches!(check.kind, CheckKind::Run(_));
        let gates = &self.stage.gates;
        if gates.pre.iter().any(commands) { Order::Sequential } else { gates.order }
    }

    /// The legs of a side.
    pub fn gates(&self, side: Side) -> Vec<(LegId, &'a Check)> {
        let checks = self.around(side).on(side).iter();
        checks.flat_map(|check| legs_of(check, self.repo, self.release)).collect()
    }

    /// The gates of a side that can keep the stage.
    pub(super) fn blocking(&self, side: Side) -> Vec<(LegId, &'a Check)> {
        self.gates(side).into_iter().filter(|(_, check)| check.blocking && !self.overridden(check)).collect()
    }

    /// A side's samples so far, while it is sampled.
    pub fn ticks(&self, side: Side) -> Option<&'a Ticks> {
        self.run.gates.get(&side).filter(|ticks| !ticks.closed)
    }

    /// When a side is given up: it was not green for so long (SEMANTICS §5).
    pub fn gates_deadline(&self, side: Side) -> Option<Timestamp> {
        let patience = self.around(side).patience(side);
        let begun = |ticks: &Ticks| ticks.opened_at.plus(self.first(side, ticks));
        self.ticks(side).map(|ticks| ticks.lost_at.unwrap_or_else(|| begun(ticks)).plus(patience))
    }

    /// How a side stands.
    pub fn gate_standing(&self, side: Side, now: Timestamp) -> GateStanding {
        if self.blocking(side).is_empty() {
            return GateStanding::Nothing;
        }
        let (Some(ticks), Some(deadline)) = (self.ticks(side), self.gates_deadline(side)) else {
            return GateStanding::Closed;
        };
        if ticks.streak >= self.around(side).streak(side) {
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
        match self.around(side).when_over(side) {
            OnTimeout::Reject if !bad && self.ticks(side).is_some_and(|t| t.at.is_some()) => OnTimeout::Pause,
            OnTimeout::Reject => OnTimeout::Reject,
            OnTimeout::Pause => OnTimeout::Pause,
            OnTimeout::Continue => OnTimeout::Continue,
        }
    }

    /// Whether the stage went on although the side was never green.
    pub fn went_on(&self, side: Side) -> bool {
        let green = self.ticks(side).map(|ticks| ticks.streak >= self.around(side).streak(side));
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
        let Some(last) = ticks.at else { return Some(ticks.opened_at.plus(self.first(side, ticks))) };
        let pace = self.around(side).pace(side);
        let gone = now.since(last).as_millis().checked_div(pace.as_millis().max(1)).unwrap_or(0);
        Some(last.plus(pace.times(gone.saturating_add(1))))
    }

    /// When the effect of the next sample may run.
    pub fn sample_not_before(&self, side: Side) -> Option<Timestamp> {
        let ticks = self.ticks(side)?;
        let pace = self.around(side).pace(side);
        Some(ticks.at.map_or_else(|| ticks.opened_at.plus(self.first(side, ticks)), |last| last.plus(pace)))
    }

    /// Time before the first sample; of the last look at a run that is held, none.
    fn first(&self, side: Side, ticks: &Ticks) -> Span {
        let held = self.run.hold().filter(|_| side == Side::Hold);
        let again = held.is_some_and(|(pausing, _)| ticks.opened_at >= pausing.ends());
        if again { Span::ZERO } else { self.around(side).first(side) }
    }

    /// A sample as it would be kept; nothing when it changes nothing, and is not worth an event.
    pub fn sampled(&self, side: Side, readings: &[(LegId, Reading)], now: Timestamp) -> Option<Ticks> {
        let before = self.ticks(side)?;
        let blocking = self.blocking(side);
        let answer =
            |leg: &LegId| readings.iter().find(|(l, _)| l == leg).map_or(Answer::Error, |(_, r)| r.answer);
        let green = blocking.iter().all(|(leg, _)| answer(leg) == Answer::Pass);
        let red = blocking.iter().any(|(leg, _)| answer(leg) == Answer::Fail);
        let wanted = self.around(side).streak(side);
        let streak = if green { before.streak.saturating_add(1).min(wanted) } else { 0 };
        let reds = if red { before.reds.saturating_add(1) } else { 0 };
        let lost = before.streak >= wanted && streak < wanted;
        let answers = |all: &[(LegId, Reading)]| -> Vec<(LegId, Answer)> {
            all.iter().map(|(leg, reading)| (leg.clone(), reading.answer)).collect()
        };
        let same = before.at.is_some() && answers(&before.readings) == answers(readings);
        // Bad samples are counted while the release is live or held, and until the count says so.
        let counted = matches!(side, Side::Hold | Side::Watch) && reds != before.reds;
        let counts = counted && reds <= self.forgiven(side).saturating_add(1);
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
            lost_at: if lost { Some(now) } else { before.lost_at },
        })
    }

    /// So many bad samples in a row are forgiven while the release is live or held.
    pub(super) fn forgiven(&self, side: Side) -> u32 {
        self.around(side).on(side).iter().map(|c| c.failure_limit).max().unwrap_or(0)
    }

    /// The gate that found the release faulty, with what it saw.
    pub fn fault(&self) -> Option<(LegId, &'a Reading)> {
        let ticks = self.ticks(Side::Watch)?;
        let bad = |(_, reading): &(LegId, &Reading)| reading.answer == Answer::Fail;
        let first = self.reds(Side::Watch).into_iter().find(bad);
        first.filter(|_| ticks.reds > self.forgiven(Side::Watch))
    }

    /// Whether the last sample is older than the time between two.
    pub fn is_stale(&self, side: Side, now: Timestamp) -> bool {
        let pace = self.around(side).pace(side);
        let green = self.gate_standing(side, now) == GateStanding::Green;
        green && self.ticks(side).and_then(|ticks| ticks.at).is_some_and(|at| at.plus(pace) <= now)
    }

    /// Until when the gates are asked while the release is live.
    pub fn watch_ends(&self) -> Option<Timestamp> {
        self.ticks(Side::Watch).map(|ticks| ticks.opened_at.plus(self.stage.gates.watch))
    }
}
