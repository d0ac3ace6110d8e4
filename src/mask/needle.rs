//! One spelling of a secret and how it is recognised in a text.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use super::{Match, SHORTEST_BYTES};

/// A line of a secret of several lines (a key file) is hidden alone too, from this length on; shorter ones are braces.
const SHORTEST_LINE_BYTES: usize = 8;

/// A line break inside a secret is looked past once so many bytes before it fit. One letter at the end of a line is
/// the start of some secret almost always, and a live log would show every line one line late.
const ACROSS_BYTES: usize = 4;

/// So many control characters in a row are looked past: a line break of two, and what a terminal adds. Without a
/// bound a stream of line breaks would be held in memory for ever.
const CONTROLS_IN_A_ROW: usize = 8;

/// How the text is read while it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reading {
    /// As it stands.
    Plain,
    /// `%41` is `A`; `+` may be a space.
    Percent,
    /// `\n` is a line break, `\u0041` is `A`.
    Json,
}

/// A spelling to look for. It holds secret text, so it has no `Debug`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Needle {
    /// Without control characters.
    bytes: Vec<u8>,
    /// The positions in `bytes` before which the secret has control characters.
    breaks: BTreeSet<usize>,
    reading: Reading,
}

/// What one place of a text stands for.
enum Unit {
    /// A character (or a byte of one) and where the next begins.
    Text { bytes: [u8; 4], len: usize, next: usize },
    /// A control character, which says nothing.
    Control { ends_line: bool, next: usize },
    /// The text ends before that can be told.
    Unfinished,
}

/// All spellings of a secret, none when it is too short.
pub(super) fn spellings(secret: &str) -> Vec<Needle> {
    let whole = secret.trim();
    let mut values = vec![whole];
    if whole.contains('\n') {
        values.extend(whole.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE_BYTES));
    }
    let mut found = Vec::new();
    for value in values {
        if value.chars().filter(|c| !is_control(*c)).map(char::len_utf8).sum::<usize>() < SHORTEST_BYTES {
            continue;
        }
        found.extend([Reading::Plain, Reading::Percent, Reading::Json].map(|r| Needle::new(value, r)));
        // Base64 stands in addresses too, where `+` and `/` are escaped; read so, a text without escapes is itself.
        found.extend(base64_spellings(value.as_bytes()).iter().map(|t| Needle::new(t, Reading::Percent)));
    }
    found
}

/// The value in base64: alone, and the characters that depend on it alone when bytes stand before and after it.
fn base64_spellings(value: &[u8]) -> Vec<String> {
    let mut all = vec![STANDARD.encode(value), URL_SAFE.encode(value)];
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        all.push(engine.encode(value));
        for before in 0..3_usize {
            let mut bytes = vec![0; before];
            bytes.extend_from_slice(value);
            // Each character holds six bits: the first that has none of the bytes before, up to the last full one.
            let (from, to) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
            all.extend(engine.encode(&bytes).get(from..to).map(str::to_owned));
        }
    }
    all
}

fn is_control(c: char) -> bool {
    c.is_control() && c != '\t'
}

impl Needle {
    fn new(text: &str, reading: Reading) -> Self {
        let mut bytes = Vec::new();
        let mut breaks = BTreeSet::new();
        for c in text.chars() {
            if is_control(c) {
                breaks.insert(bytes.len());
            } else {
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        Self { bytes, breaks, reading }
    }

    /// What a text that has this spelling can start with.
    pub(super) fn first_bytes(&self) -> BTreeSet<u8> {
        let escape = match self.reading {
            Reading::Plain => None,
            Reading::Percent => Some(b'%'),
            Reading::Json => Some(b'\\'),
        };
        self.bytes.first().copied().into_iter().chain(escape).collect()
    }

    /// Whether this spelling starts at `start` of the text.
    pub(super) fn at(&self, text: &[u8], start: usize) -> Match {
        let mut at = start;
        let mut matched = 0;
        let mut controls = 0;
        while matched < self.bytes.len() {
            match unit(self.reading, text, at) {
                Unit::Unfinished => return Match::MayContinue,
                Unit::Control { ends_line, next } => {
                    let looked_past = !ends_line || matched >= ACROSS_BYTES || self.breaks.contains(&matched);
                    controls += 1;
                    if matched == 0 || controls > CONTROLS_IN_A_ROW || !looked_past {
                        return Match::No;
                    }
                    at = next;
                }
                Unit::Text { bytes, len, next } => {
                    let wanted = self.bytes.get(matched..matched + len);
                    let fits = wanted == bytes.get(..len)
                        || (self.reading == Reading::Percent
                            && bytes == [b'+', 0, 0, 0]
                            && wanted == Some(b" "));
                    if !fits {
                        return Match::No;
                    }
                    controls = 0;
                    matched += len;
                    at = next;
                }
            }
        }
        Match::To(at)
    }
}

fn unit(reading: Reading, text: &[u8], at: usize) -> Unit {
    let escaped = match (reading, text.get(at)) {
        (Reading::Percent, Some(b'%')) => percent(text, at),
        (Reading::Json, Some(b'\\')) => json(text, at),
        (Reading::Plain | Reading::Percent | Reading::Json, _) => None,
    };
    escaped.unwrap_or_else(|| literal(text, at))
}

fn literal(text: &[u8], at: usize) -> Unit {
    match (text.get(at), text.get(at + 1)) {
        (None, _) => Unit::Unfinished,
        // U+0080 to U+009F in UTF-8.
        (Some(0xC2), Some(0x80..=0x9F)) => Unit::Control { ends_line: false, next: at + 2 },
        (Some(byte), _) => one(*byte, at + 1),
    }
}

fn one(byte: u8, next: usize) -> Unit {
    if byte.is_ascii_control() && byte != b'\t' {
        Unit::Control { ends_line: matches!(byte, b'\n' | b'\r'), next }
    } else {
        Unit::Text { bytes: [byte, 0, 0, 0], len: 1, next }
    }
}

/// `None` when it is no escape.
fn percent(text: &[u8], at: usize) -> Option<Unit> {
    Some(match hex(text, at + 1, 2)? {
        Some(value) => one(u8::try_from(value).ok()?, at + 3),
        None => Unit::Unfinished,
    })
}

/// `None` when it is no escape.
fn json(text: &[u8], at: usize) -> Option<Unit> {
    let next = at + 2;
    Some(match text.get(at + 1) {
        None => Unit::Unfinished,
        Some(b'n') => one(b'\n', next),
        Some(b'r') => one(b'\r', next),
        Some(b't') => one(b'\t', next),
        Some(b'b' | b'f') => Unit::Control { ends_line: false, next },
        Some(same @ (b'"' | b'\\' | b'/')) => one(*same, next),
        Some(b'u') => return json_code(text, next),
        Some(_) => return None,
    })
}

/// The four digits after `\u`, and the second half of a pair.
fn json_code(text: &[u8], at: usize) -> Option<Unit> {
    let Some(high) = hex(text, at, 4)? else { return Some(Unit::Unfinished) };
    let mut next = at + 4;
    let mut code = high;
    if (0xD800..0xDC00).contains(&high) {
        for (offset, expected) in [(0, b'\\'), (1, b'u')] {
            match text.get(next + offset) {
                None => return Some(Unit::Unfinished),
                Some(byte) if *byte == expected => {}
                Some(_) => return None,
            }
        }
        let Some(low) = hex(text, next + 2, 4)? else { return Some(Unit::Unfinished) };
        code = 0x10000 + ((high - 0xD800) << 10) + low.checked_sub(0xDC00)?;
        next += 6;
    }
    let c = char::from_u32(code)?;
    if c.is_ascii() {
        return Some(one(u8::try_from(code).ok()?, next));
    }
    if is_control(c) {
        return Some(Unit::Control { ends_line: false, next });
    }
    let mut bytes = [0; 4];
    let len = c.encode_utf8(&mut bytes).len();
    Some(Unit::Text { bytes, len, next })
}

/// So many hexadecimal digits as a number: `None` when they are none, `Some(None)` when the text ends within them.
#[expect(clippy::option_option, reason = "the two kinds of nothing are different answers here")]
fn hex(text: &[u8], at: usize, digits: usize) -> Option<Option<u32>> {
    let mut value = 0;
    for position in at..at + digits {
        let Some(byte) = text.get(position) else { return Some(None) };
        value = value * 16 + char::from(*byte).to_digit(16)?;
    }
    Some(Some(value))
}
