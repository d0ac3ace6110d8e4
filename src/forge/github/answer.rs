//! What an answer's status, headers and text mean for us.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use hyper::StatusCode;
use hyper::header::{DATE, HeaderMap, RETRY_AFTER};
use serde::Deserialize;

use crate::domain::time::{Span, Timestamp};
use crate::forge::github::transport::Answer;
use crate::secret::Secret;
use crate::trouble::{Kind, Trouble};

/// Longest stretch of GitHub's own words that a message repeats.
const SHOWN_CHARS: usize = 200;

/// How GitHub's tokens and JSON web tokens begin (THREATS T47).
const TOKEN_MARKS: [&str; 7] = ["ghs_", "ghp_", "gho_", "ghu_", "ghr_", "github_pat_", "eyJ"];

/// A clock this far off makes GitHub refuse an app's token.
const BAD_SKEW: Span = Span::seconds(60);

/// What to do with an answer.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Use it.
    Fine,
    /// The credential was not taken.
    Unauthorized(Trouble),
    /// Slow down; the wait is GitHub's, if it named one.
    Limited(Option<Span>, String),
    /// Something else.
    Failed(Trouble),
}

/// GitHub's error body; every part may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Complaint {
    message: String,
    errors: serde_json::Value,
}

/// What the rate-limit headers of one credential's last answer said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    /// The installation, or 0 for the app itself and for a personal token.
    pub installation: u64,
    /// Requests per hour.
    pub limit: u64,
    /// Requests left.
    pub remaining: u64,
    /// When the count starts anew.
    pub reset_at: Timestamp,
}

/// Figures from the answers, for metrics and for messages.
#[derive(Debug, Default)]
pub(super) struct Seen {
    rates: Mutex<BTreeMap<u64, Rate>>,
    /// Our clock minus GitHub's, in milliseconds, from the last `Date` header.
    skew_ms: Mutex<i64>,
    /// Installation tokens that were asked for.
    mints: AtomicU64,
}

impl Seen {
    /// Notes what an answer's headers say.
    pub(super) fn note(&self, installation: u64, headers: &HeaderMap, now: Timestamp) {
        if let Some(date) = date(headers) {
            *self.skew_ms.lock().unwrap_or_else(PoisonError::into_inner) = now.0.saturating_sub(date.0);
        }
        let number = |name| number(headers, name);
        if let (Some(limit), Some(remaining), Some(reset)) =
            (number("x-ratelimit-limit"), number("x-ratelimit-remaining"), reset(headers))
        {
            let rate = Rate { installation, limit, remaining, reset_at: reset };
            self.rates.lock().unwrap_or_else(PoisonError::into_inner).insert(installation, rate);
        }
    }

    /// Notes that an installation token was asked for.
    pub(super) fn mint(&self) {
        self.mints.fetch_add(1, Ordering::Relaxed);
    }

    /// Installation tokens asked for since the start.
    pub(super) fn mints(&self) -> u64 {
        self.mints.load(Ordering::Relaxed)
    }

    /// The last figures, one per credential.
    pub(super) fn rates(&self) -> Vec<Rate> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Our clock minus GitHub's, in milliseconds.
    pub(super) fn skew_ms(&self) -> i64 {
        *self.skew_ms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A sentence about a clock that is wrong enough to matter, or nothing.
    pub(super) fn skew_hint(&self) -> String {
        let skew = self.skew_ms();
        let by = Span::millis(skew.unsigned_abs());
        if by < BAD_SKEW {
            String::new()
        } else {
            let side = if skew > 0 { "ahead of" } else { "behind" };
            format!("; this machine's clock is {by} {side} GitHub's: set it right")
        }
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// The time at which GitHub wrote the answer.
pub(super) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(DATE)?.to_str().ok()?;
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Timestamp(zoned.timestamp().as_millisecond()))
}

fn reset(headers: &HeaderMap) -> Option<Timestamp> {
    let seconds = i64::try_from(number(headers, "x-ratelimit-reset")?).ok()?;
    Some(Timestamp(seconds.saturating_mul(1_000)))
}

impl Answer {
    /// Judges the answer to `what`; the token is masked should GitHub repeat it (THREATS T47).
    pub(super) fn judge(&self, what: &str, token: &Secret, now: Timestamp) -> Verdict {
        if self.status.is_success() {
            return Verdict::Fine;
        }
        let complaint: Complaint = serde_json::from_slice(&self.body).unwrap_or_default();
        let said = cut(&complaint.message.replace(token.expose(), "***"));
        let text = format!("{what}: GitHub answered {}: {said}", self.status.as_u16());
        if self.is_limit(&complaint.message) {
            return Verdict::Limited(self.asked_wait(now), text);
        }
        let kind = match self.status {
            StatusCode::UNAUTHORIZED => return Verdict::Unauthorized(Trouble::refused(text)),
            StatusCode::NOT_FOUND | StatusCode::GONE => Kind::NotFound,
            StatusCode::CONFLICT => Kind::Conflict,
            StatusCode::UNPROCESSABLE_ENTITY if complaint.is_about_existing() => Kind::Conflict,
            StatusCode::REQUEST_TIMEOUT => Kind::Transient { retry_after: None },
            status if status.is_server_error() => Kind::Transient { retry_after: self.asked_wait(now) },
            _ => Kind::Refused,
        };
        Verdict::Failed(Trouble::new(kind, text))
    }

    /// 403 is a limit only when a header or the text says so; otherwise it is a lack of rights (STORAGE §5 row 8).
    fn is_limit(&self, message: &str) -> bool {
        let spoken = message.to_ascii_lowercase();
        self.status == StatusCode::TOO_MANY_REQUESTS
            || (self.status == StatusCode::FORBIDDEN
                && (self.headers.contains_key(RETRY_AFTER)
                    || number(&self.headers, "x-ratelimit-remaining") == Some(0)
                    || spoken.contains("secondary rate limit")
                    || spoken.contains("abuse detection")))
    }

    /// `retry-after`, else the time to the reset when nothing is left, else nothing.
    fn asked_wait(&self, now: Timestamp) -> Option<Span> {
        if let Some(seconds) = number(&self.headers, RETRY_AFTER.as_str()) {
            return Some(Span::millis(seconds.saturating_mul(1_000)));
        }
        let spent = number(&self.headers, "x-ratelimit-remaining") == Some(0);
        let by = date(&self.headers).unwrap_or(now);
        reset(&self.headers).filter(|_| spent).map(|at| at.since(by))
    }
}

impl Complaint {
    fn is_about_existing(&self) -> bool {
        let coded = self
            .errors
            .as_array()
            .is_some_and(|all| all.iter().any(|e| e.get("code").is_some_and(|c| c == "already_exists")));
        coded || self.message.to_ascii_lowercase().contains("already exists")
    }
}

/// GitHub's words on one printable line, without anything that looks like a token of some other request.
fn cut(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let words = words.map(|word| if TOKEN_MARKS.iter().any(|m| word.contains(m)) { "***" } else { word });
    words.collect::<Vec<_>>().join(" ").chars().take(SHOWN_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let headers = headers.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect();
        let body = Bytes::from(body.to_owned());
        Answer { status: StatusCode::from_u16(status).unwrap(), headers, body }
    }

    fn shape(a: &Answer) -> String {
        match a.judge("GET /x", &Secret::new("ghs_canary"), Timestamp(0)) {
            Verdict::Fine => "fine".to_owned(),
            Verdict::Unauthorized(_) => "unauthorized".to_owned(),
            Verdict::Limited(wait, _) => format!("limited {wait:?}"),
            Verdict::Failed(t) => format!("{:?}", t.kind()),
        }
    }

    #[test]
    fn statuses_become_kinds() {
        let secondary = r#"{"message":"You have exceeded a secondary rate limit. Please wait"}"#;
        let taken = r#"{"message":"Reference already exists"}"#;
        let coded = r#"{"message":"Validation Failed","errors":[{"code":"already_exists"}]}"#;
        let rows: &[(Answer, &str)] = &[
            (answer(200, &[], ""), "fine"),
            (answer(401, &[], "{}"), "unauthorized"),
            (answer(403, &[], r#"{"message":"Resource not accessible by integration"}"#), "Refused"),
            (answer(403, &[], secondary), "limited None"),
            (answer(403, &[("retry-after", "7")], "{}"), "limited Some(7s)"),
            (answer(429, &[], "<html>"), "limited None"),
            (
                answer(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "30")], "{}"),
                "limited Some(30s)",
            ),
            (answer(403, &[("x-ratelimit-remaining", "12")], "{}"), "Refused"),
            (answer(404, &[], "{}"), "NotFound"),
            (answer(409, &[], "{}"), "Conflict"),
            (answer(422, &[], taken), "Conflict"),
            (answer(422, &[], coded), "Conflict"),
            (answer(422, &[], r#"{"message":"Validation Failed"}"#), "Refused"),
            (answer(502, &[], "<html>Unicorn"), "Transient { retry_after: None }"),
            (answer(503, &[("retry-after", "2")], ""), "Transient { retry_after: Some(2s) }"),
        ];
        for (given, expected) in rows {
            assert_eq!(shape(given), *expected, "{given:?}");
        }
    }

    #[test]
    fn t47_a_token_that_github_repeats_is_masked() {
        let a = answer(400, &[], r#"{"message":"neither canary nor 'ghs_other' will do"}"#);
        let Verdict::Failed(t) = a.judge("GET /x", &Secret::new("canary"), Timestamp(0)) else {
            panic!("not a failure")
        };
        assert_eq!(t.to_string(), "GET /x: GitHub answered 400: neither *** nor *** will do");
    }

    #[test]
    fn a_clock_that_is_off_is_named() {
        let seen = Seen::default();
        let headers = answer(200, &[("date", "Thu, 01 Jan 1970 00:10:00 GMT")], "").headers;
        seen.note(0, &headers, Timestamp(600_500));
        assert_eq!(seen.skew_hint(), "");
        seen.note(0, &headers, Timestamp(900_000));
        assert_eq!(seen.skew_hint(), "; this machine's clock is 5m ahead of GitHub's: set it right");
    }
}
