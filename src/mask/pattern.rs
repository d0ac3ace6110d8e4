//! Secrets known by their shape alone: GitHub's tokens, JSON web tokens, and passwords in addresses.

use super::Match;

/// No token is longer; the bound keeps a stream of letters from being held in memory for ever.
const LONGEST_BYTES: usize = 8 * 1024;

/// Fewest characters after `gh?_` or `github_pat_`. GitHub's have 36 and more; the newer ones hold a JSON web token.
const TOKEN_BYTES: usize = 20;

/// Fewest characters of a JSON web token's head, and of the whole; `eyJ` alone starts every JSON object in base64.
const JWT_HEAD_BYTES: usize = 10;
const JWT_BYTES: usize = 24;

/// How a text goes on.
enum Prefix {
    Other,
    Unfinished,
    /// The prefix is there, and this follows it.
    Then(usize),
}

/// Whether something to hide starts at `at`; `complete` says that nothing follows the text.
pub(super) fn at(text: &[u8], at: usize, complete: bool) -> Match {
    match text.get(at) {
        Some(b'g') => github(text, at, complete),
        Some(b'e') => json_web_token(text, at, complete),
        Some(b'x') => address(text, at, complete),
        Some(_) | None => Match::No,
    }
}

/// `ghp_`, `gho_`, `ghs_`, `ghu_`, `ghr_` and `github_pat_`.
fn github(text: &[u8], at: usize, complete: bool) -> Match {
    let mut found = Match::No;
    for prefix in [&b"ghp_"[..], b"gho_", b"ghs_", b"ghu_", b"ghr_", b"github_pat_"] {
        found = found.or(match prefixed(text, at, prefix) {
            Prefix::Other => Match::No,
            Prefix::Unfinished => waiting(complete),
            Prefix::Then(from) => {
                let (end, open) = run(text, from, complete, is_token_byte);
                if open {
                    Match::MayContinue
                } else if end - from >= TOKEN_BYTES {
                    Match::To(end)
                } else {
                    Match::No
                }
            }
        });
    }
    found
}

/// `eyJ…` with at least one dot: two or three parts in base64.
fn json_web_token(text: &[u8], at: usize, complete: bool) -> Match {
    match prefixed(text, at, b"eyJ") {
        Prefix::Other => Match::No,
        Prefix::Unfinished => waiting(complete),
        Prefix::Then(_) => {
            let (end, open) = run(text, at, complete, is_token_byte);
            let token = text.get(at..end).unwrap_or_default();
            let head = token.iter().position(|b| *b == b'.').unwrap_or(0);
            if open {
                Match::MayContinue
            } else if head >= JWT_HEAD_BYTES && token.len() >= JWT_BYTES {
                Match::To(end)
            } else {
                Match::No
            }
        }
    }
}

/// `x-access-token:…@`, up to the `@`.
fn address(text: &[u8], at: usize, complete: bool) -> Match {
    match prefixed(text, at, b"x-access-token:") {
        Prefix::Other => Match::No,
        Prefix::Unfinished => waiting(complete),
        Prefix::Then(from) => {
            let (end, open) =
                run(text, from, complete, |b| b.is_ascii_graphic() && !matches!(b, b'@' | b'/'));
            if open {
                Match::MayContinue
            } else if end > from && text.get(end) == Some(&b'@') {
                Match::To(end)
            } else {
                Match::No
            }
        }
    }
}

fn waiting(complete: bool) -> Match {
    if complete { Match::No } else { Match::MayContinue }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn prefixed(text: &[u8], at: usize, prefix: &[u8]) -> Prefix {
    let rest = text.get(at..).unwrap_or_default();
    if rest.starts_with(prefix) {
        Prefix::Then(at + prefix.len())
    } else if prefix.starts_with(rest) {
        Prefix::Unfinished
    } else {
        Prefix::Other
    }
}

/// Where the run of such bytes ends, and whether more of it may follow.
fn run(text: &[u8], from: usize, complete: bool, belongs: impl Fn(u8) -> bool) -> (usize, bool) {
    let rest = text.get(from..).unwrap_or_default();
    let len = rest.iter().take(LONGEST_BYTES).take_while(|b| belongs(**b)).count();
    (from + len, !complete && len == rest.len() && len < LONGEST_BYTES)
}
