//! Windows: the hours in which a stage may start and the days on which nothing does, on the local wall clock (SEMANTICS
//! §6).
//!
//! Bounds are never converted to instants: an instant is converted to local time, and that is compared. So gaps and
//! folds of summer time need no special case. Between two changes of the zone's offset everything is arithmetic on
//! whole minutes, which makes the search for the next change cheap enough for every verdict.

use std::collections::BTreeSet;
use std::fmt;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::domain::time::{Span, Timestamp};

mod calendar;

use calendar::instant;
pub use calendar::{Clock, Day, Weekday, Zone, ZoneError};

/// How far ahead the next change is looked for; beyond it there is no known end (SEMANTICS §6).
pub const HORIZON: Span = Span::days(366);
/// Most changes of single windows that are passed on the way to one of all of them together; a bound against
/// windows of several sources that take turns for a year.
const MAX_STEPS: usize = 2_000;
/// Minutes of a day of the calendar.
const DAY: i64 = 24 * 60;

/// Hours of some days of every week; to before from goes over midnight and belongs to the day it starts on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Weekly {
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The days it starts on.
    pub days: BTreeSet<Weekday>,
    /// The first minute.
    pub from: Clock,
    /// The minute it has ended by.
    pub to: Clock,
}

impl Weekly {
    fn active(&self, day: i64, minute: i64) -> bool {
        let (from, to) = (self.from.minute(), self.to.minute());
        let starts = |day| self.days.contains(&Weekday::of_number(day));
        if from < to {
            starts(day) && (from..to).contains(&minute)
        } else {
            (starts(day) && minute >= from) || (starts(day - 1) && minute < to)
        }
    }
}

/// `tue, wed 09:00-16:00`.
impl fmt::Display for Weekly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = Weekday::ALL.iter().zip(Weekday::WORDS);
        let days: Vec<&str> =
            words.filter(|(day, _)| self.days.contains(day)).map(|(_, word)| *word).collect();
        write!(f, "{} {}-{}", days.join(", "), self.from, self.to)
    }
}

/// When nothing starts, whatever else is open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deny {
    /// Hours of every week.
    Weekly(Weekly),
    /// From the start of one day to the start of another.
    Days {
        /// What people call it.
        name: String,
        /// The first day.
        from: Day,
        /// The day it has ended by.
        to: Day,
    },
}

impl Deny {
    fn active(&self, day: i64, minute: i64) -> bool {
        match self {
            Self::Weekly(weekly) => weekly.active(day, minute),
            Self::Days { from, to, .. } => (from.number()..to.number()).contains(&day),
        }
    }

    /// What people call it.
    pub fn called(&self) -> String {
        match self {
            Self::Weekly(weekly) => weekly.name.clone().unwrap_or_else(|| weekly.to_string()),
            Self::Days { name, .. } => name.clone(),
        }
    }
}

/// What one source of policy says about the hours of a stage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Windows {
    /// The zone of every time below.
    pub tz: Zone,
    /// When it may start; always, when empty.
    pub allow: Vec<Weekly>,
    /// When it may not.
    pub deny: Vec<Deny>,
    /// Whether it must be expected to end before the window does.
    pub must_finish: bool,
    /// How long a release waits for its window before it is rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// Which half of the rules is asked about: they are two lines of a verdict, and two things to override.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// Whether a window is open.
    Allow,
    /// Whether no deny is active.
    Deny,
    /// Both.
    Both,
}

/// One source's rules with what is needed to ask about instants.
struct Local<'w> {
    windows: &'w Windows,
    zone: TimeZone,
    half: Half,
}

impl<'w> Local<'w> {
    fn of(windows: &'w Windows, half: Half) -> Self {
        Self { windows, zone: windows.tz.found(), half }
    }

    /// Local day and minute.
    fn wall(at: Timestamp, offset_s: i64) -> (i64, i64) {
        let minutes = (at.0.div_euclid(1_000) + offset_s).div_euclid(60);
        (minutes.div_euclid(DAY), minutes.rem_euclid(DAY))
    }

    fn offset(&self, at: Timestamp) -> i64 {
        i64::from(self.zone.to_offset(instant(at)).seconds())
    }

    fn open_on_wall(&self, (day, minute): (i64, i64)) -> bool {
        let Windows { allow, deny, .. } = self.windows;
        let allowed = || allow.is_empty() || allow.iter().any(|w| w.active(day, minute));
        let denied = || deny.iter().any(|d| d.active(day, minute));
        match self.half {
            Half::Allow => allowed(),
            Half::Deny => !denied(),
            Half::Both => allowed() && !denied(),
        }
    }

    fn open(&self, at: Timestamp) -> bool {
        self.open_on_wall(Self::wall(at, self.offset(at)))
    }

    /// The first minute of the day after this one at which anything may change; the end of the day otherwise.
    fn next_edge(&self, minute: i64) -> i64 {
        let weekly = self.windows.deny.iter().filter_map(|deny| match deny {
            Deny::Weekly(weekly) => Some(weekly),
            Deny::Days { .. } => None,
        });
        let edges = self.windows.allow.iter().chain(weekly).flat_map(|w| [w.from.minute(), w.to.minute()]);
        edges.filter(|edge| *edge > minute).fold(DAY, i64::min)
    }

    /// The next instant at which it opens or closes, before the limit.
    fn next_change(&self, now: Timestamp, limit: Timestamp) -> Option<Timestamp> {
        let was = self.open(now);
        let mut at = now;
        while at < limit {
            let offset = self.offset(at);
            let moved = self.zone.following(instant(at)).next();
            let moved = moved.map_or(limit, |next| Timestamp(next.timestamp().as_millisecond()));
            let end = moved.min(limit);
            let (mut day, mut minute) = Self::wall(at, offset);
            loop {
                minute = self.next_edge(minute);
                if minute >= DAY {
                    (day, minute) = (day + 1, 0);
                }
                let edge = Timestamp(((day * DAY + minute) * 60 - offset) * 1_000);
                if edge >= end {
                    break;
                }
                if self.open_on_wall((day, minute)) != was {
                    return Some(edge);
                }
            }
            at = end;
            if at < limit && self.open(at) != was {
                return Some(at);
            }
        }
        None
    }
}

/// Whether every source lets it start.
pub fn open(all: &[Windows], half: Half, now: Timestamp) -> bool {
    all.iter().all(|w| Local::of(w, half).open(now))
}

/// The next instant at which that changes, within [`HORIZON`].
pub fn next_change(all: &[Windows], half: Half, now: Timestamp) -> Option<Timestamp> {
    let locals: Vec<Local<'_>> = all.iter().map(|w| Local::of(w, half)).collect();
    let is_open = |at| locals.iter().all(|local| local.open(at));
    let (was, limit) = (is_open(now), now.plus(HORIZON));
    let mut at = now;
    for _ in 0..MAX_STEPS {
        at = locals.iter().filter_map(|local| local.next_change(at, limit)).min()?;
        if is_open(at) != was {
            return Some(at);
        }
    }
    None
}

/// When it opens next: now if it is open, nothing if no opening is known.
pub fn next_open(all: &[Windows], half: Half, now: Timestamp) -> Option<Timestamp> {
    if open(all, half, now) { Some(now) } else { next_change(all, half, now) }
}

/// The first opening from now on that lasts this long; nothing if none is known.
pub fn next_open_for(all: &[Windows], half: Half, (span, now): (Span, Timestamp)) -> Option<Timestamp> {
    let limit = now.plus(HORIZON);
    let mut at = now;
    for _ in 0..MAX_STEPS {
        let opens = next_open(all, half, at).filter(|opens| *opens <= limit)?;
        match next_change(all, half, opens) {
            Some(closes) if closes < opens.plus(span) => at = closes,
            Some(_) | None => return Some(opens),
        }
    }
    None
}

/// The deny that keeps it shut now, with the zone it is meant in.
pub fn denied(all: &[Windows], now: Timestamp) -> Option<(&Deny, &Zone)> {
    all.iter().find_map(|w| {
        let local = Local::of(w, Half::Deny);
        let (day, minute) = Local::wall(now, local.offset(now));
        w.deny.iter().find(|deny| deny.active(day, minute)).map(|deny| (deny, &w.tz))
    })
}

/// The end of the denied days that have begun: whoever waits or waited through them cannot act before.
pub fn denied_days_end(all: &[Windows], now: Timestamp) -> Option<Timestamp> {
    let ends = all.iter().flat_map(|w| {
        w.deny.iter().filter_map(|deny| match deny {
            Deny::Days { from, to, .. } if w.tz.start_of(*from).is_some_and(|start| start <= now) => {
                w.tz.start_of(*to)
            }
            Deny::Days { .. } | Deny::Weekly(_) => None,
        })
    });
    ends.max()
}

#[cfg(test)]
mod tests;
