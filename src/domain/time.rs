//! Points in time and spans, in milliseconds; the rules are given `now` and never ask for it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// A length of time in milliseconds, never negative.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(u64);

/// Why a text is not a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanError;

impl fmt::Display for SpanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time span is a number with a unit: `30s`, `10m`, `24h`, `7d`")
    }
}

impl std::error::Error for SpanError {}

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
/// Longest span anyone may ask for: ten years.
const LONGEST_MS: u64 = 3_650 * DAY_MS;

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// So many milliseconds.
    pub const fn millis(n: u64) -> Self {
        Self(n)
    }

    /// So many seconds.
    pub const fn seconds(n: u64) -> Self {
        Self(n * SECOND_MS)
    }

    /// So many minutes.
    pub const fn minutes(n: u64) -> Self {
        Self(n * MINUTE_MS)
    }

    /// So many hours.
    pub const fn hours(n: u64) -> Self {
        Self(n * HOUR_MS)
    }

    /// So many days of 24 hours.
    pub const fn days(n: u64) -> Self {
        Self(n * DAY_MS)
    }

    /// The milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// As the standard library's duration, for timers.
    pub const fn as_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }

    /// Half of it.
    #[must_use]
    pub const fn half(self) -> Self {
        Self(self.0 / 2)
    }

    /// So many times as long, stopping at the longest span there is.
    #[must_use]
    pub const fn times(self, n: u64) -> Self {
        Self(self.0.saturating_mul(n))
    }
}

impl FromStr for Span {
    type Err = SpanError;

    /// Reads `90s`, `10m`, `1h30m`, `24h`, `7d`, `250ms`.
    fn from_str(text: &str) -> Result<Self, SpanError> {
        let mut rest = text;
        let mut total: u64 = 0;
        if rest.is_empty() {
            return Err(SpanError);
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, after) = rest.split_at_checked(digits).ok_or(SpanError)?;
            let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, next) = after.split_at_checked(letters).ok_or(SpanError)?;
            let unit_ms = match unit {
                "ms" => 1,
                "s" => SECOND_MS,
                "m" => MINUTE_MS,
                "h" => HOUR_MS,
                "d" => DAY_MS,
                _ => return Err(SpanError),
            };
            let part = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit_ms)).ok_or(SpanError)?;
            total = total.checked_add(part).filter(|t| *t <= LONGEST_MS).ok_or(SpanError)?;
            rest = next;
        }
        Ok(Self(total))
    }
}

impl TryFrom<String> for Span {
    type Error = SpanError;
    fn try_from(text: String) -> Result<Self, SpanError> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> String {
        span.to_string()
    }
}

/// The two largest units, as people read spans: `2d4h`, `5m`, `3s`; exact below a second.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("d", DAY_MS), ("h", HOUR_MS), ("m", MINUTE_MS), ("s", SECOND_MS), ("ms", 1)];
        let mut left = self.0;
        let mut written = 0;
        for (unit, size) in units {
            let count = left / size;
            left %= size;
            if count > 0 {
                write!(f, "{count}{unit}")?;
                written += 1;
            }
        }
        if written == 0 { f.write_str("0s") } else { Ok(()) }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Timestamp {
    /// This much later.
    #[must_use]
    pub fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add_unsigned(span.0))
    }

    /// This much earlier.
    #[must_use]
    pub fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub_unsigned(span.0))
    }

    /// The time from `earlier` to here, zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Span {
        Span(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads an RFC 3339 time, as hosts send them.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|t| Self(t.as_millisecond()))
    }

    /// `2026-03-08 12:00 UTC`, as comments and pages show times.
    pub fn minute(self) -> String {
        self.format("%Y-%m-%d %H:%M UTC")
    }

    /// `2026-03-08T12:00:00Z`, as machines read times.
    pub fn rfc3339(self) -> String {
        self.format("%Y-%m-%dT%H:%M:%SZ")
    }

    /// By a pattern of `strftime`, in UTC.
    pub(super) fn format(self, pattern: &str) -> String {
        jiff::Timestamp::from_millisecond(self.0)
            .map_or_else(|_| format!("{} ms", self.0), |t| t.strftime(pattern).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_and_print_alike() {
        for text in ["30s", "10m", "1h30m", "2d4h", "250ms", "7d"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        assert_eq!("24h".parse::<Span>().unwrap().to_string(), "1d");
        assert_eq!(Span::ZERO.to_string(), "0s");
        for text in ["", "5", "m", "5 m", "-1s", "1y", "99999d", "1.5h"] {
            assert_eq!(text.parse::<Span>(), Err(SpanError), "{text}");
        }
    }

    #[test]
    fn times_print_for_people_and_for_machines() {
        let t = Timestamp::parse("2026-03-08T12:00:30+00:00").unwrap();
        assert_eq!(t.minute(), "2026-03-08 12:00 UTC");
        assert_eq!(t.rfc3339(), "2026-03-08T12:00:30Z");
        assert_eq!(t.plus(Span::hours(1)).since(t), Span::hours(1));
        assert_eq!(t.since(t.plus(Span::hours(1))), Span::ZERO);
    }
}
