//! How things are drawn: the light of a state, addresses that may stand in a link, bytes, times and lines of text.

use std::fmt;

use serde::Serialize;

use crate::domain::time::Timestamp;

/// How something stands, as far as a glance tells: an icon, a colour and a word each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Light {
    /// It is as it should be.
    Good,
    /// It is on its way.
    Moving,
    /// It waits for a time or for something else.
    Waiting,
    /// It waits for a person.
    Asking,
    /// It went wrong.
    Bad,
    /// It will not happen, and that is fine.
    Off,
}

impl Light {
    /// The light of a state, by the word the rules have for it.
    pub fn of(state: &str) -> Self {
        match state.replace([' ', '-'], "_").as_str() {
            "live" | "live_with_issues" | "succeeded" | "released" | "done" | "passed" | "overridden" => {
                Self::Good
            }
            "running" | "building" | "active" | "rolling_back" | "cancelling" | "queued" => Self::Moving,
            "paused" | "awaiting_signoff" | "awaiting_sign_off" | "inconclusive" => Self::Asking,
            "failed"
            | "error"
            | "errored"
            | "timed_out"
            | "rejected"
            | "rejected_after_deploy"
            | "build_failed"
            | "rolled_back"
            | "poison" => Self::Bad,
            "superseded" | "cancelled" | "skipped" | "skipped_upstream" | "abandoned" | "ignored" => {
                Self::Off
            }
            // Waiting, pending, ready, new; and a state of a newer program shows its own word.
            _ => Self::Waiting,
        }
    }

    /// The class in the style sheet, and the shape of the icon.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Moving => "moving",
            Self::Waiting => "waiting",
            Self::Asking => "asking",
            Self::Bad => "bad",
            Self::Off => "off",
        }
    }

    /// The path of its icon in a box of 16 by 16: a tick, a lift, a clock, a person, a cross, a line.
    pub const fn icon(self) -> &'static str {
        match self {
            Self::Good => "M3 8.5l3.5 3.5L13 4.5",
            Self::Moving => "M8 13V3.5M4 7.5l4-4 4 4",
            Self::Waiting => "M8 4.5V8l2.5 1.5M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0z",
            Self::Asking => "M10.5 5a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0zM3 14a5 5 0 0 1 10 0",
            Self::Bad => "M4 4l8 8M12 4l-8 8",
            Self::Off => "M4 8h8",
        }
    }
}

/// An address on the web: `http` or `https` and nothing else, so it can stand in a link (THREATS T49).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Link(String);

impl Link {
    /// The text as a link, if it is one.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let web = text.starts_with("https://") || text.starts_with("http://");
        (web && text.bytes().all(|b| b.is_ascii_graphic())).then_some(Self(text))
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape serde calls")]
pub(in crate::http) fn rfc3339<S: serde::Serializer>(
    at: &Timestamp,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.rfc3339())
}

#[expect(clippy::ref_option, reason = "the shape serde calls")]
pub(in crate::http) fn rfc3339_or_null<S: serde::Serializer>(
    at: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    at.map(Timestamp::rfc3339).serialize(serializer)
}

/// As many digits of a commit's id as people compare.
pub(super) fn short(commit: &str) -> String {
    commit.chars().take(7).collect()
}

/// Bytes as people say them.
pub fn readable(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20),
    }
}

/// A text from outside as one line of a page or a stream: without control characters, which could move a
/// terminal's cursor, and without the marks that turn the order of letters around (THREATS T50).
pub fn plain_line(text: &str) -> String {
    let hidden = |c: char| {
        (c.is_control() && c != '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().filter(|c| !hidden(*c)).collect()
}

/// A sentence in parts, true for those between backticks, which pages set as code.
pub(in crate::http) fn spans(text: impl AsRef<str>) -> Vec<(bool, String)> {
    let text = plain_line(text.as_ref());
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        // One backtick is without its partner: nothing is code.
        return vec![(false, text)];
    }
    let of = |(no, part): (usize, &str)| (no % 2 == 1, part.to_owned());
    parts.into_iter().enumerate().map(of).filter(|(_, part)| !part.is_empty()).collect()
}
