//! Zones, days and times of day as people write them, and what they mean as instants.

use std::fmt;
use std::str::FromStr;

use jiff::civil;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::domain::name::printable;
use crate::domain::time::Timestamp;
use crate::domain::window::DAY;

/// A time zone by its name in the IANA database, which is compiled in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(String);

/// Why a text is not a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneError {
    text: String,
    near: Option<String>,
}

impl fmt::Display for ZoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let near = self.near.as_deref().unwrap_or("Europe/Oslo");
        write!(f, "`{}` is not a time zone of the IANA database, such as `{near}` or `UTC`", self.text)
    }
}

impl std::error::Error for ZoneError {}

impl FromStr for Zone {
    type Err = ZoneError;
    fn from_str(text: &str) -> Result<Self, ZoneError> {
        if let Ok(found) = jiff::tz::db().get(text) {
            return Ok(Self(found.iana_name().unwrap_or(text).to_owned()));
        }
        // People write `Oslo` and mean the only zone that ends so.
        let ends = |name: &str| name.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(text));
        let near = jiff::tz::db().available().map(|name| name.as_str().to_owned()).find(|name| ends(name));
        Err(ZoneError { text: printable(text), near })
    }
}

impl TryFrom<String> for Zone {
    type Error = ZoneError;
    fn try_from(text: String) -> Result<Self, ZoneError> {
        text.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> String {
        zone.0
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Zone {
    /// The zone of the world's clock.
    pub fn utc() -> Self {
        Self("UTC".to_owned())
    }

    /// Its rules.
    pub(in crate::domain) fn found(&self) -> TimeZone {
        // A stored zone was in the database when it was stored; the database never drops a name.
        jiff::tz::db().get(&self.0).unwrap_or(TimeZone::UTC)
    }

    /// `Mon 2026-03-09 09:00 Europe/Oslo`.
    pub fn shown(&self, at: Timestamp) -> String {
        let local = instant(at).to_zoned(self.found());
        format!("{} {self}", local.strftime("%a %Y-%m-%d %H:%M"))
    }

    /// When a day begins here: its first instant, also where the clocks jump over midnight.
    pub fn start_of(&self, day: Day) -> Option<Timestamp> {
        let start = day.0.to_zoned(self.found()).ok()?.start_of_day().ok()?;
        Some(Timestamp(start.timestamp().as_millisecond()))
    }

    /// `Mon 2026-03-09 09:00`, for texts that name their zone elsewhere.
    pub fn minute(&self, at: Timestamp) -> String {
        instant(at).to_zoned(self.found()).strftime("%a %Y-%m-%d %H:%M").to_string()
    }

    /// By a pattern of `strftime`.
    pub fn format(&self, at: Timestamp, pattern: &str) -> String {
        instant(at).to_zoned(self.found()).strftime(pattern).to_string()
    }

    /// The day it is here.
    pub fn day_of(&self, at: Timestamp) -> Day {
        Day(instant(at).to_zoned(self.found()).date())
    }

    /// A time of a day; the one the clocks jump to, where they jump over it.
    pub fn at(&self, day: Day, clock: Clock) -> Option<Timestamp> {
        if i64::from(clock.0) == DAY {
            return self.start_of(Day(day.0.tomorrow().ok()?));
        }
        let (hour, minute) = (i8::try_from(clock.0 / 60).ok()?, i8::try_from(clock.0 % 60).ok()?);
        let local = day.0.at(hour, minute, 0, 0).to_zoned(self.found()).ok()?;
        Some(Timestamp(local.timestamp().as_millisecond()))
    }

    /// Local times that the clocks jump over in the ten years from 2026 on: the day, and minutes of it from and to.
    pub(in crate::domain) fn gaps(&self) -> Vec<(Day, i64, i64)> {
        let zone = self.found();
        let begin = civil::date(2026, 1, 1);
        let Some(from) = begin.to_zoned(zone.clone()).ok().map(|z| z.timestamp()) else { return Vec::new() };
        let mut offset = i64::from(zone.to_offset(from).seconds());
        let mut gaps = Vec::new();
        for next in zone.following(from).take_while(|next| next.timestamp().as_second() < 2_082_758_400) {
            let now = i64::from(next.offset().seconds());
            let local = (next.timestamp().as_second() + offset).div_euclid(60);
            if let Some(day) = Day::of_number(local.div_euclid(DAY)).filter(|_| now > offset) {
                let start = local.rem_euclid(DAY);
                gaps.push((day, start, start + (now - offset).div_euclid(60)));
            }
            offset = now;
        }
        gaps
    }
}

pub(super) fn instant(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

/// A day of the calendar, `2026-12-18`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(civil::Date);

impl FromStr for Day {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let shaped =
            text.len() == "2026-12-18".len() && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let day = shaped.then(|| text.parse().ok()).flatten();
        day.map(Self).ok_or_else(|| format!("`{}` is not a date such as `2026-12-18`", printable(text)))
    }
}

impl TryFrom<String> for Day {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> String {
        day.to_string()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Day {
    /// Days since 1970-01-01.
    pub(super) fn number(self) -> i64 {
        let epoch = civil::date(1970, 1, 1);
        self.0.since(epoch).map_or(0, |span| i64::from(span.get_days()))
    }

    fn of_number(number: i64) -> Option<Self> {
        let span = jiff::Span::new().try_days(number).ok()?;
        civil::date(1970, 1, 1).checked_add(span).ok().map(Self)
    }

    pub(in crate::domain) fn weekday(self) -> Weekday {
        Weekday::of_number(self.number())
    }
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the days of the week are known")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Weekday {
    /// All of them, in order.
    pub const ALL: [Self; 7] = [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    /// The words of the manifest, in order.
    pub const WORDS: &'static [&'static str] = &["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

    /// The day that is written so.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().zip(Self::ALL).find(|(known, _)| **known == word).map(|(_, day)| day)
    }

    /// Day 0, 1970-01-01, was a Thursday.
    pub(super) fn of_number(day: i64) -> Self {
        match (day + 3).rem_euclid(7) {
            0 => Self::Mon,
            1 => Self::Tue,
            2 => Self::Wed,
            3 => Self::Thu,
            4 => Self::Fri,
            5 => Self::Sat,
            _ => Self::Sun,
        }
    }
}

/// A minute of the day, `00:00` to `24:00`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Clock(u16);

impl Clock {
    pub(in crate::domain) fn minute(self) -> i64 {
        i64::from(self.0)
    }
}

impl FromStr for Clock {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{}` is not a time of day from `00:00` to `24:00`", printable(text));
        let (hour, minute) = text.split_once(':').ok_or_else(bad)?;
        let two = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        if !two(hour) || !two(minute) {
            return Err(bad());
        }
        let (hour, minute): (u16, u16) = hour.parse().ok().zip(minute.parse().ok()).ok_or_else(bad)?;
        let at = hour * 60 + minute;
        if minute < 60 && i64::from(at) <= DAY { Ok(Self(at)) } else { Err(bad()) }
    }
}

impl TryFrom<String> for Clock {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Clock> for String {
    fn from(clock: Clock) -> String {
        clock.to_string()
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
