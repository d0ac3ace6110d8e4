//! Secrets in every spelling, across every cut.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const CANARY: &str = "s3cret \"canary\"/+&?=\u{e9}\u{1f6a2}-4711";

fn mask(secrets: &[&str]) -> Mask {
    Mask::new(&secrets.iter().map(|s| Secret::new(*s)).collect::<Vec<_>>())
}

fn in_pieces(mask: &Mask, text: &str, cuts: &[usize]) -> String {
    let mut out = String::new();
    let mut stream = mask.stream();
    let mut rest = text;
    for cut in cuts {
        let at = rest.floor_char_boundary(cut % (rest.len() + 1));
        let (head, tail) = rest.split_at(at);
        stream.push(head, &mut out);
        rest = tail;
    }
    stream.push(rest, &mut out);
    stream.finish(&mut out);
    out
}

fn percent_all(text: &str, upper: bool) -> String {
    text.bytes()
        .map(|b| if upper { format!("%{b:02X}") } else { format!("%{b:02x}") })
        .collect::<Vec<_>>()
        .concat()
}

fn json_ascii(text: &str) -> String {
    text.encode_utf16().map(|u| format!("\\u{u:04x}")).collect::<Vec<_>>().concat()
}

#[test]
fn t47_the_canary_is_hidden_in_every_spelling() {
    let mask = mask(&[CANARY]);
    let json = serde_json::to_string(CANARY).unwrap();
    let percent =
        percent_encoding::utf8_percent_encode(CANARY, percent_encoding::NON_ALPHANUMERIC).to_string();
    let spellings = [
        CANARY.to_owned(),
        json.trim_matches('"').to_owned(),
        json_ascii(CANARY),
        CANARY.replace('"', "\\\"").replace('/', "\\/").replace('&', "\\u0026"),
        percent.clone(),
        percent.to_lowercase(),
        percent.replace("%20", "+"),
        percent.replace("%2D", "-").replace("%2F", "/"),
        percent_all(CANARY, true),
        percent_all(CANARY, false),
        STANDARD.encode(CANARY),
        STANDARD_NO_PAD.encode(CANARY),
        URL_SAFE.encode(CANARY),
        URL_SAFE_NO_PAD.encode(CANARY),
        STANDARD.encode(CANARY).replace('+', "%2B").replace('/', "%2f").replace('=', "%3D"),
    ];
    for spelling in spellings {
        assert_eq!(mask.apply(&format!("a {spelling} b")), "a *** b", "{spelling}");
        assert_eq!(mask.apply(&spelling), "***", "{spelling}");
    }
}

#[test]
fn t47_the_canary_is_hidden_inside_longer_base64() {
    let mask = mask(&["canary-4711"]);
    for before in ["", "u", "us", "use", "user:"] {
        for after in ["", "\n", ":x", "end"] {
            let text = format!("{before}canary-4711{after}");
            for encoded in [STANDARD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                let masked = mask.apply(&encoded);
                assert!(masked.contains(MARK), "{text:?} {masked}");
                // What is left decodes to less than the secret, wherever one starts to read.
                for part in masked.split(MARK) {
                    assert!(part.len() <= before.len().max(after.len()) * 8 / 6 + 4, "{text:?} {masked}");
                }
            }
        }
    }
}

#[test]
fn t47_line_breaks_and_controls_do_not_hide_a_secret_from_the_mask() {
    let mask = mask(&["canary-4711-canary-4712-canary-4713-canary-4714-canary-4715-canary"]);
    let secret = "canary-4711-canary-4712-canary-4713-canary-4714-canary-4715-canary";
    let (head, tail) = secret.split_at(30);
    assert_eq!(mask.apply(&format!("x{head}\n{tail}y")), "x***y");
    assert_eq!(mask.apply(&format!("x{head}\r\n{tail}y")), "x***y");
    assert_eq!(mask.apply(&format!("xc\0{}y", &secret[1..])), "x***y");
    assert_eq!(mask.apply(&format!("xc\u{9b}{}y", &secret[1..])), "x***y");
    // As `base64` of coreutils wraps it.
    let encoded = STANDARD.encode(secret);
    let (first, second) = encoded.split_at(76);
    assert_eq!(mask.apply(&format!("{first}\n{second}\n")), "***\n");
    // A line that ends like a secret starts is shown at once.
    let mut out = String::new();
    mask.stream().push("basic\n", &mut out);
    assert_eq!(out, "basic\n");
}

#[test]
fn t47_a_key_of_several_lines_is_hidden_whole_and_line_by_line() {
    let key = "ab\n-----BEGIN KEY-----\nMIIEvQIBADANBgkqh\nkiG9w0BAQ==\n-----END KEY-----\n";
    let mask = mask(&[key]);
    assert_eq!(mask.apply(key), "***\n");
    assert_eq!(mask.apply(&key.replace('\n', "\\n")), "***\\n");
    assert_eq!(mask.apply("> MIIEvQIBADANBgkqh <"), "> *** <");
    assert_eq!(mask.apply("ab stays"), "ab stays");
}

#[test]
fn overlapping_secrets_share_one_mark_and_show_no_rest() {
    let mask = mask(&["abcdef", "defghi", "abcd"]);
    assert_eq!(mask.apply("xabcdefghiy"), "x***y");
    assert_eq!(mask.apply("abcdabcdef"), "******");
    assert_eq!(mask.apply("abcdeabcd"), "***e***");
}

#[test]
fn short_secrets_are_not_masked() {
    let mask = mask(&["", "abc", " abc\n", "é"]);
    assert_eq!(mask.apply("abc é %61bc"), "abc é %61bc");
    assert_eq!(format!("{mask:?}"), "Mask(0 spellings)");
}

#[test]
fn t47_tokens_are_known_by_their_shape() {
    let none = mask(&[]);
    let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxMjMifQ.c2lnbmF0dXJl-_x";
    let cases = [
        ("ghp_0123456789abcdefghijABCDEFGHIJ012345", "***"),
        ("gho_0123456789abcdefghij,", "***,"),
        ("x=ghs_123456_eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxMjMifQ.c2ln end", "x=*** end"),
        ("ghu_0123456789abcdefghij ghr_0123456789abcdefghij", "*** ***"),
        ("github_pat_11ABCDEFG0_abcdefghijklmnop\n", "***\n"),
        ("https://x-access-token:v1.abc@github.com/acme/app", "https://***@github.com/acme/app"),
        ("x-access-token: none", "x-access-token: none"),
        ("ghp_short and ghx_0123456789abcdefghij", "ghp_short and ghx_0123456789abcdefghij"),
        ("eyJhbGciOiJSUzI1NiJ9 is a head", "eyJhbGciOiJSUzI1NiJ9 is a head"),
        ("eyes, github and ghosts", "eyes, github and ghosts"),
    ];
    for (text, masked) in cases {
        assert_eq!(none.apply(text), masked, "{text}");
        for cut in 0..text.len() {
            assert_eq!(in_pieces(&none, text, &[cut]), masked, "{text} cut at {cut}");
        }
    }
    assert_eq!(none.apply(&format!("Bearer {jwt}\n")), "Bearer ***\n");
}

#[test]
fn what_is_held_back_has_a_bound() {
    let mask = mask(&["canary-4711", "aaaaaaaa"]);
    let mut stream = mask.stream();
    let mut out = String::new();
    for piece in ["ghp_aaaaaaa", "canary\n\n\n", "aaaaaaaaaa", "x-access-token:", "eyJaaaaaaaaaa.", "\\u006"]
    {
        for _ in 0..2_000 {
            stream.push(piece, &mut out);
            assert!(stream.held.len() < 20_000, "{piece}");
        }
    }
}

proptest! {
    /// Secrets from a small alphabet, so that they overlap, repeat and meet the escapes.
    #[test]
    fn t47_no_output_has_the_secret_whatever_the_cuts(
        secrets in vec("[ab%+\\\\41 \n]{4,9}", 1..4),
        parts in vec("[ab%+\\\\41 \n]{0,5}", 0..6),
        picks in vec(0..6_usize, 0..6),
        cuts in vec(0..40_usize, 0..8),
    ) {
        let loaded: Vec<Secret> = secrets.iter().map(|s| Secret::new(s.as_str())).collect();
        let mask = Mask::new(&loaded);
        let mut text = String::new();
        for (part, pick) in parts.iter().zip(picks.iter().chain(std::iter::repeat(&0))) {
            text.push_str(part);
            let secret = secrets[pick % secrets.len()].as_str();
            match pick {
                0 | 1 => text.push_str(secret),
                2 => text.push_str(&STANDARD.encode(secret)),
                3 => text.push_str(&percent_all(secret, true)),
                4 => text.push_str(serde_json::to_string(secret).unwrap().trim_matches('"')),
                _ => text.push_str(&json_ascii(secret)),
            }
        }
        let whole = mask.apply(&text);
        prop_assert_eq!(&in_pieces(&mask, &text, &cuts), &whole);
        for secret in secrets.iter().map(|s| s.trim()).filter(|s| s.replace('\n', "").len() >= SHORTEST_BYTES) {
            prop_assert!(!whole.contains(secret), "{:?} in {:?} from {:?}", secret, whole, text);
            prop_assert!(!whole.contains(&percent_all(secret, true)));
            prop_assert!(!whole.contains(&json_ascii(secret)));
            prop_assert!(!whole.contains(&STANDARD_NO_PAD.encode(secret)));
        }
    }

    /// Any text at all goes through unharmed when there is nothing to hide.
    #[test]
    fn a_text_without_secrets_stays_as_it_is(text in "\\PC{0,60}", cuts in vec(0..60_usize, 0..6)) {
        let mask = mask(&["canary-4711"]);
        prop_assume!(!text.contains("canary"));
        prop_assert_eq!(in_pieces(&mask, &text, &cuts), text);
    }
}
