//! Times that come again, as cron writes them, on the local clock of a zone.
//!
//! A time that a clock skips in spring comes as much later as the clock jumps. One that it shows twice in autumn comes
//! the first time only, so that what is meant daily stays daily; with an hour of `*` it comes both times, so that what
//! is meant every few minutes does not pause for an hour.

use std::fmt;

use jiff::civil::{Date, Time};
use serde::{Deserialize, Serialize};

use crate::domain::name::printable;
use crate::domain::time::{Span, Timestamp};
use crate::domain::window::{Zone, ZoneError};

/// A time that is missed by more than this is left out, and the next one is waited for (SEMANTICS §4).
pub const GRACE: Span = Span::hours(1);

/// Days that are looked through for the next time: every day of a month is every day of the week within forty years,
/// whatever century ends between them.
const MOST_DAYS: usize = 40 * 366;

/// Times that are looked through for two that are close to one another: some months of what is daily, and every month
/// and day of the week of what is rarer.
const WALKED: usize = 100;

/// Where looking through them begins, the first of January 2024; any day would do.
const WALKED_FROM: Timestamp = Timestamp(1_704_067_200_000);

/// Longest texts that are read; five lists of a few numbers are much shorter.
const MOST_BYTES: usize = 200;

/// `0 3 * * *` in `Europe/Oslo`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Schedule {
    written: Written,
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
    /// The hour is `*`.
    every_hour: bool,
    /// Both kinds of days are named, and either will do, as in every cron.
    either_day: bool,
}

/// A schedule as it is written and stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    cron: String,
    tz: Zone,
}

/// Why a text is not a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScheduleError {
    /// There are not five fields.
    Fields,
    /// A field cannot be read.
    Field {
        /// What it counts.
        kind: &'static str,
        /// What is written.
        text: String,
    },
    /// No day fits.
    Never,
    /// The zone is not known.
    Zone(ZoneError),
}

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields => f.write_str(
                "a cron line has five fields: minute, hour, day, month, weekday, as in `0 3 * * *`",
            ),
            Self::Field { kind, text } => {
                write!(f, "`{text}` is no {kind}: `*`, a number, `1-5`, `*/15`, or a list with commas")
            }
            Self::Never => f.write_str("no day of the calendar fits"),
            Self::Zone(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ScheduleError {}

/// Small numbers, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Set(u64);

impl Set {
    fn has(self, number: i8) -> bool {
        u32::try_from(number).is_ok_and(|n| self.0.checked_shr(n).is_some_and(|bits| bits & 1 == 1))
    }

    fn numbers(self) -> impl Iterator<Item = i8> {
        (0..64_i8).filter(move |number| self.has(*number))
    }
}

/// What a field counts, between which bounds, and the words for its numbers.
struct Field {
    kind: &'static str,
    low: u32,
    high: u32,
    words: &'static [&'static str],
}

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const MINUTE: Field = Field { kind: "minute", low: 0, high: 59, words: &[] };
const HOUR: Field = Field { kind: "hour", low: 0, high: 23, words: &[] };
const DAY: Field = Field { kind: "day of a month", low: 1, high: 31, words: &[] };
const MONTH: Field = Field { kind: "month", low: 1, high: 12, words: MONTHS };
/// 7 is Sunday, too.
const WEEKDAY: Field = Field { kind: "day of a week", low: 0, high: 7, words: WEEKDAYS };

impl Field {
    fn read(&self, text: &str) -> Result<Set, ScheduleError> {
        let wrong = || ScheduleError::Field { kind: self.kind, text: printable(text) };
        let mut bits = 0_u64;
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => {
                    (range, step.parse::<usize>().ok().filter(|s| *s > 0).ok_or_else(wrong)?)
                }
                None => (part, 1),
            };
            let (first, last) = match range.split_once('-') {
                _ if range == "*" => (self.low, self.high),
                Some((first, last)) => self.number(first).zip(self.number(last)).ok_or_else(wrong)?,
                None => {
                    let first = self.number(range).ok_or_else(wrong)?;
                    (first, if part.contains('/') { self.high } else { first })
                }
            };
            if first > last {
                return Err(wrong());
            }
            bits |= (first..=last).step_by(step).fold(0, |bits, n| bits | 1_u64.checked_shl(n).unwrap_or(0));
        }
        Ok(Set(bits))
    }

    fn number(&self, text: &str) -> Option<u32> {
        let lower = text.to_ascii_lowercase();
        let word = self.words.iter().position(|word| *word == lower);
        let number = match word {
            Some(at) => u32::try_from(at).ok()?.checked_add(self.low),
            None if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
            None => None,
        };
        number.filter(|n| (self.low..=self.high).contains(n))
    }
}

impl Schedule {
    /// Reads a cron line of five fields and the name of a zone.
    pub fn new(cron: &str, tz: &str) -> Result<Self, ScheduleError> {
        Self::of(cron, tz.parse().map_err(ScheduleError::Zone)?)
    }

    fn of(cron: &str, tz: Zone) -> Result<Self, ScheduleError> {
        if cron.len() > MOST_BYTES {
            return Err(ScheduleError::Fields);
        }
        let fields: Vec<&str> = cron.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(ScheduleError::Fields);
        };
        let Set(weekdays) = WEEKDAY.read(weekday)?;
        let sunday = (weekdays >> 7) & 1;
        let schedule = Self {
            written: Written { cron: fields.join(" "), tz },
            minutes: MINUTE.read(minute)?,
            hours: HOUR.read(hour)?,
            days: DAY.read(day)?,
            months: MONTH.read(month)?,
            weekdays: Set((weekdays & 0x7f) | sunday),
            every_hour: *hour == "*",
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        // What does not come within the days that are looked through never comes.
        if schedule.next_after(Timestamp(0)).is_some() { Ok(schedule) } else { Err(ScheduleError::Never) }
    }

    /// The first time after this one; nothing when the calendar ends before.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let zone = self.written.tz.found();
        let local = jiff::Timestamp::from_millisecond(after.0).ok()?.to_zoned(zone.clone());
        let days = local.date().series(jiff::Span::new().days(1)).take(MOST_DAYS);
        days.filter(|day| self.is_day(*day)).find_map(|day| {
            let times = self.hours.numbers().flat_map(|h| self.minutes.numbers().map(move |m| (h, m)));
            let shown = times.filter_map(|(hour, minute)| {
                let time = Time::new(hour, minute, 0, 0).ok()?;
                Some(zone.to_ambiguous_zoned(day.to_datetime(time)))
            });
            // `later` differs from `compatible` only where the clock shows a time twice.
            let instants = shown.flat_map(|time| {
                let again = self.every_hour.then(|| time.clone().later().ok()).flatten();
                time.compatible().ok().into_iter().chain(again)
            });
            instants.map(|at| Timestamp(at.timestamp().as_millisecond())).filter(|at| *at > after).min()
        })
    }

    /// How far two of its times are apart that follow one another within this span, when there are such.
    pub fn closest_within(&self, span: Span) -> Option<Span> {
        let first = self.next_after(WALKED_FROM)?;
        let times = std::iter::successors(Some(first), |at| self.next_after(*at)).take(WALKED);
        let next = times.clone().skip(1);
        times.zip(next).map(|(at, next)| next.since(at)).find(|apart| *apart <= span)
    }

    /// The times after `since` up to `now`, when there are any.
    pub fn due(&self, since: Timestamp, now: Timestamp) -> Option<Due> {
        let first = self.next_after(since).filter(|at| *at <= now)?;
        let early = now.minus(GRACE);
        let mut due = Due { missed: (first <= early).then_some((first, early)), late: None, newest: None };
        let mut next = self.next_after(since.max(early));
        // At most one a minute of the grace.
        while let Some(at) = next.filter(|at| *at <= now) {
            due.late = due.late.or(due.newest);
            due.newest = Some(at);
            next = self.next_after(at);
        }
        Some(due)
    }
}

/// What became of the times since the last look: one run makes up for all that are not too long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The first of those that are too long ago, and since when they are not.
    pub missed: Option<(Timestamp, Timestamp)>,
    /// The first of those that are not, when it is not the newest.
    pub late: Option<Timestamp>,
    /// The newest, which is to be acted on.
    pub newest: Option<Timestamp>,
}

impl Schedule {
    fn is_day(&self, date: Date) -> bool {
        let day = self.days.has(date.day());
        let weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset());
        let fits = if self.either_day { day || weekday } else { day && weekday };
        fits && self.months.has(date.month())
    }
}

/// `0 3 * * * (Europe/Oslo)`
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.written.cron, self.written.tz)
    }
}

impl TryFrom<Written> for Schedule {
    type Error = ScheduleError;
    fn try_from(written: Written) -> Result<Self, ScheduleError> {
        Self::of(&written.cron, written.tz)
    }
}

impl From<Schedule> for Written {
    fn from(schedule: Schedule) -> Self {
        schedule.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn times(cron: &str, tz: &str, after: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::new(cron, tz).unwrap();
        let next = |after: &Timestamp| schedule.next_after(*after);
        std::iter::successors(next(&at(after)), next).take(count).map(Timestamp::rfc3339).collect()
    }

    #[test]
    fn times_come_on_the_local_clock() {
        let utc = "2026-03-02T08:00:00Z";
        assert_eq!(times("0 3 * * *", "UTC", utc, 2), ["2026-03-03T03:00:00Z", "2026-03-04T03:00:00Z"]);
        assert_eq!(times("0 16 * * tue", "Europe/Oslo", utc, 1), ["2026-03-03T15:00:00Z"]);
        assert_eq!(
            times("*/20 8-9 * * *", "UTC", utc, 4),
            ["2026-03-02T08:20:00Z", "2026-03-02T08:40:00Z", "2026-03-02T09:00:00Z", "2026-03-02T09:20:00Z"]
        );
        assert_eq!(times("30 0 29 feb *", "UTC", utc, 1), ["2028-02-29T00:30:00Z"]);
        assert_eq!(times("0 0 * * 7", "UTC", utc, 1), times("0 0 * * sun", "UTC", utc, 1));
        // A day of the month or of the week, as in every cron.
        assert_eq!(times("0 0 4 * wed", "UTC", utc, 2), ["2026-03-04T00:00:00Z", "2026-03-11T00:00:00Z"]);
        assert_eq!(times("0 0 5 * wed", "UTC", utc, 2), ["2026-03-04T00:00:00Z", "2026-03-05T00:00:00Z"]);
    }

    #[test]
    fn e28_two_times_that_are_closer_than_a_span_are_found() {
        let within =
            |cron: &str, span: Span| Schedule::new(cron, "Europe/Oslo").unwrap().closest_within(span);
        assert_eq!(within("0 16 * * tue", Span::days(7)), Some(Span::days(7)));
        assert_eq!(within("0 16 * * tue", Span::days(6)), None);
        assert_eq!(within("0 16 * * tue,wed", Span::days(2)), Some(Span::days(1)));
        assert_eq!(within("0 9,16 * * tue", Span::hours(7)), Some(Span::hours(7)));
        assert_eq!(within("0 0 1 * *", Span::days(28)), Some(Span::days(28)), "February is looked at, too");
        assert_eq!(within("* * * * *", Span::seconds(30)), None);
    }

    #[test]
    fn a_time_skipped_in_spring_comes_later_and_one_shown_twice_in_autumn_comes_once() {
        let spring = times("30 2 * * *", "Europe/Oslo", "2026-03-28T12:00:00Z", 2);
        assert_eq!(spring, ["2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]);
        let autumn = times("30 2 * * *", "Europe/Oslo", "2026-10-24T12:00:00Z", 2);
        assert_eq!(autumn, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
        // What comes every few minutes goes on through both hours, and through the gap.
        let often = |after| times("*/30 * * * *", "Europe/Oslo", after, 4);
        assert_eq!(
            often("2026-10-25T00:10:00Z"),
            ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z"]
        );
        assert_eq!(
            often("2026-03-29T00:10:00Z"),
            ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:00:00Z"]
        );
        // Lord Howe's clocks jump by half an hour.
        let lord_howe = times("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2);
        assert_eq!(lord_howe, ["2026-10-03T15:45:00Z", "2026-10-04T15:15:00Z"]);
        // From within the hour that comes twice.
        assert_eq!(times("30 2 * * *", "Europe/Oslo", "2026-10-25T01:10:00Z", 1), ["2026-10-26T01:30:00Z"]);
    }

    #[test]
    fn a_late_time_counts_within_the_grace_and_the_newest_of_several() {
        let nightly = Schedule::new("0 3 * * *", "UTC").unwrap();
        let since = at("2026-03-02T08:00:00Z");
        assert_eq!(nightly.due(since, at("2026-03-03T02:59:59Z")), None);
        let three = at("2026-03-03T03:00:00Z");
        let only = |at| Some(Due { missed: None, late: None, newest: Some(at) });
        assert_eq!(nightly.due(since, three), only(three));
        assert_eq!(nightly.due(since, at("2026-03-03T03:59:59Z")), only(three));
        let four = at("2026-03-03T04:00:00Z");
        let missed = |first, until| Some((first, until));
        assert_eq!(
            nightly.due(since, four),
            Some(Due { missed: missed(three, three), late: None, newest: None })
        );
        assert_eq!(nightly.due(three, at("2026-03-03T04:00:00Z")), None, "each once");
        let often = Schedule::new("*/15 * * * *", "UTC").unwrap();
        assert_eq!(
            often.due(since, at("2026-03-09T08:07:00Z")),
            Some(Due {
                missed: missed(at("2026-03-02T08:15:00Z"), at("2026-03-09T07:07:00Z")),
                late: Some(at("2026-03-09T07:15:00Z")),
                newest: Some(at("2026-03-09T08:00:00Z")),
            })
        );
        assert_eq!(often.due(at("2027-01-01T00:00:00Z"), three), None, "a clock that went back owes nothing");
    }

    #[test]
    fn what_is_no_schedule_is_told_why() {
        for (cron, tz, why) in [
            ("0 3 * *", "UTC", "five fields"),
            ("0 3 * * * *", "UTC", "five fields"),
            ("60 3 * * *", "UTC", "`60` is no minute"),
            ("0 24 * * *", "UTC", "`24` is no hour"),
            ("0 3 0 * *", "UTC", "`0` is no day of a month"),
            ("0 3 * foo *", "UTC", "`foo` is no month"),
            ("0 3 * * 8", "UTC", "`8` is no day of a week"),
            ("5-1 3 * * *", "UTC", "`5-1` is no minute"),
            ("*/0 3 * * *", "UTC", "`*/0` is no minute"),
            ("+1 3 * * *", "UTC", "`+1` is no minute"),
            ("0 3 30 2 *", "UTC", "no day of the calendar fits"),
            ("0 3 * * *", "Oslo", "`Oslo` is not a time zone of the IANA database, such as `Europe/Oslo`"),
            ("0 3 * * *", "", "is not a time zone"),
        ] {
            let error = Schedule::new(cron, tz).unwrap_err().to_string();
            assert!(error.contains(why), "{cron} {tz}: {error}");
        }
    }

    #[test]
    fn a_schedule_is_stored_as_it_is_written() {
        let schedule = Schedule::new("0  3 * * mon-fri", "Europe/Oslo").unwrap();
        let json = serde_json::to_string(&schedule).unwrap();
        assert_eq!(json, r#"{"cron":"0 3 * * mon-fri","tz":"Europe/Oslo"}"#);
        assert_eq!(serde_json::from_str::<Schedule>(&json).unwrap(), schedule);
        assert_eq!(schedule.to_string(), "0 3 * * mon-fri (Europe/Oslo)");
    }
}
