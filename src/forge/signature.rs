//! Is this delivery the host's? HMAC-SHA-256 over the raw bytes, before anything reads them (THREATS T1–T4).
//!
//! GitHub's scheme; hooks of a plain host sign the same way, so that there is one scheme to get right.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The one header that counts; the SHA-1 header is not looked at.
pub const HEADER: &str = "x-hub-signature-256";

/// What its value starts with.
const SCHEME: &str = "sha256=";

/// Hex digits behind the scheme.
const DIGITS: usize = 64;

/// Shortest secret in bytes; below that it can be guessed from one captured delivery.
pub const SHORTEST_SECRET: usize = 16;

/// Secrets that stand in manuals and examples, in small letters.
const PLACEHOLDERS: [&str; 16] = [
    "development",
    "secret",
    "changeme",
    "change-me",
    "change_me",
    "password",
    "test",
    "webhook-secret",
    "webhook_secret",
    "webhooksecret",
    "my-webhook-secret",
    "your-webhook-secret",
    "your_webhook_secret",
    "github-webhook-secret",
    "supersecretsecret",
    "it's a secret to everybody",
];

/// Why a delivery is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureError {
    /// There is no SHA-256 signature.
    Missing,
    /// There is more than one: somebody between us and the host plays games.
    Repeated,
    /// It is not `sha256=` and 64 hex digits.
    Malformed,
    /// It was not made with one of our secrets over these bytes.
    Wrong,
}

impl SignatureError {
    /// The stable code, for logs and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "signature_missing",
            Self::Repeated => "signature_repeated",
            Self::Malformed => "signature_malformed",
            Self::Wrong => "signature_wrong",
        }
    }
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => {
                "the delivery has no `X-Hub-Signature-256`: set the webhook's secret on the host to the server's"
            }
            Self::Repeated => "the delivery has more than one `X-Hub-Signature-256`",
            Self::Malformed => "`X-Hub-Signature-256` is not `sha256=` and 64 hex digits",
            Self::Wrong => "the signature does not match: the secrets on the host and on the server differ",
        })
    }
}

impl std::error::Error for SignatureError {}

/// Accepts a body when one of the secrets signed it.
///
/// `signatures` are the values of all headers named [`HEADER`]; several secrets serve while one is replaced.
pub fn verify(secrets: &[&[u8]], signatures: &[&[u8]], body: &[u8]) -> Result<(), SignatureError> {
    let value = match signatures {
        [] => return Err(SignatureError::Missing),
        [value] => std::str::from_utf8(value).map_err(|_| SignatureError::Malformed)?,
        [_, _, ..] => return Err(SignatureError::Repeated),
    };
    let tag = tag_in(value).ok_or(SignatureError::Malformed)?;
    // Every secret is tried, so that the time does not tell which one it was.
    let good = secrets.iter().fold(false, |good, secret| good | signed(secret, &tag, body));
    if good { Ok(()) } else { Err(SignatureError::Wrong) }
}

/// Whether a header's value looks like a signature, which says nothing about whether it is right.
pub fn is_shaped(value: &str) -> bool {
    tag_in(value).is_some()
}

fn tag_in(value: &str) -> Option<Vec<u8>> {
    let digits = value.strip_prefix(SCHEME).filter(|digits| (DIGITS..=DIGITS).contains(&digits.len()))?;
    hex::decode(digits).ok()
}

/// The header's value for a body that we send ourselves, as a plain host's hook does; an empty secret signs nothing.
pub fn sign(secret: &[u8], body: &[u8]) -> Result<String, SecretError> {
    let mac = Hmac::<Sha256>::new_from_slice(secret).ok().filter(|_| !secret.is_empty());
    let sum = mac.ok_or(SecretError::Empty)?.chain_update(body).finalize().into_bytes();
    Ok(format!("{SCHEME}{}", hex::encode(sum)))
}

/// True when this secret made this tag over these bytes; takes the same time for every wrong tag.
fn signed(secret: &[u8], tag: &[u8], body: &[u8]) -> bool {
    // The library takes an empty key; we never do, wherever it came from.
    if secret.is_empty() {
        return false;
    }
    Hmac::<Sha256>::new_from_slice(secret).is_ok_and(|mac| mac.chain_update(body).verify_slice(tag).is_ok())
}

/// Why a secret must not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretError {
    /// There is none.
    Empty,
    /// It has fewer than [`SHORTEST_SECRET`] bytes; how many.
    Short(usize),
    /// It is known from manuals, or one character over and over.
    Placeholder,
    /// White space surrounds it, as a file's last line feed does; the host does not have it.
    Padded,
}

impl SecretError {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Empty => "secret_empty",
            Self::Short(_) => "secret_short",
            Self::Placeholder => "secret_placeholder",
            Self::Padded => "secret_padded",
        }
    }
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the secret is empty")?,
            Self::Short(bytes) => {
                write!(f, "the secret has {bytes} bytes; it needs at least {SHORTEST_SECRET}")?;
            }
            Self::Placeholder => f.write_str("the secret is a placeholder that anyone can guess")?,
            Self::Padded => f.write_str("the secret starts or ends with white space")?,
        }
        f.write_str("; make one with `openssl rand -hex 32`")
    }
}

impl std::error::Error for SecretError {}

/// Refuses secrets that protect nothing; the server does not start with one (THREATS T1).
pub fn check_secret(secret: &[u8]) -> Result<(), SecretError> {
    let trimmed = secret.trim_ascii();
    let lower = trimmed.to_ascii_lowercase();
    if trimmed.is_empty() {
        return Err(SecretError::Empty);
    }
    if PLACEHOLDERS.map(str::as_bytes).contains(&lower.as_slice()) {
        return Err(SecretError::Placeholder);
    }
    if secret.len() < SHORTEST_SECRET {
        return Err(SecretError::Short(secret.len()));
    }
    if lower.windows(2).all(|pair| pair.first().eq(&pair.last())) {
        return Err(SecretError::Placeholder);
    }
    if trimmed.len() < secret.len() {
        return Err(SecretError::Padded);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    /// From GitHub's manual, "Validating webhook deliveries".
    const DIGITS_OF_BODY: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn header(digits: &str) -> Vec<u8> {
        format!("sha256={digits}").into_bytes()
    }

    #[test]
    fn t2_only_the_exact_signature_passes() {
        let good = header(DIGITS_OF_BODY);
        assert_eq!(verify(&[SECRET], &[&good], BODY), Ok(()));
        assert_eq!(sign(SECRET, BODY).map(String::into_bytes), Ok(good.clone()));
        assert_eq!(sign(b"", BODY), Err(SecretError::Empty));
        assert_eq!(verify(&[b"another secret, long enough", SECRET], &[&good], BODY), Ok(()));
        assert_eq!(verify(&[SECRET], &[&good], b"Hello, World"), Err(SignatureError::Wrong));
        assert_eq!(verify(&[], &[&good], BODY), Err(SignatureError::Wrong));
        let wrong = header(&DIGITS_OF_BODY.replace('7', "8"));
        assert_eq!(verify(&[SECRET], &[&wrong], BODY), Err(SignatureError::Wrong));
        let bytes_31 = header(&DIGITS_OF_BODY[..62]);
        let bytes_33 = header(&format!("{DIGITS_OF_BODY}00"));
        let one_byte = header(&DIGITS_OF_BODY[..2]);
        let not_hex = header(&DIGITS_OF_BODY.replace('7', "g"));
        let wide = header(&"é".repeat(32));
        for bad in
            [&bytes_31, &bytes_33, &one_byte, &header(""), &not_hex, &wide, &Vec::new(), &vec![0xff; 71]]
        {
            assert_eq!(verify(&[SECRET], &[bad], BODY), Err(SignatureError::Malformed));
        }
    }

    #[test]
    fn t2_no_digest_is_compared_with_an_operator() {
        let source = include_str!("signature.rs");
        let (production, _) = source.split_once("#[cfg(test)]").unwrap();
        for forbidden in ["==", "!=", "verify_truncated", "starts_with"] {
            let code = production.lines().filter(|line| !line.trim_start().starts_with("//"));
            assert_eq!(code.filter(|line| line.contains(forbidden)).count(), 0, "{forbidden}");
        }
    }

    #[test]
    fn t3_sha1_two_headers_and_bare_digits_are_refused() {
        let good = header(DIGITS_OF_BODY);
        assert_eq!(verify(&[SECRET], &[], BODY), Err(SignatureError::Missing));
        assert_eq!(verify(&[SECRET], &[&good, &good], BODY), Err(SignatureError::Repeated));
        let sha1 = b"sha1=a4771c39fbe90f317c7824e83ddef3caae9cb3d6".as_slice();
        for bad in [sha1, DIGITS_OF_BODY.as_bytes(), b"SHA256=757107ea", b" sha256=757107ea"] {
            assert_eq!(verify(&[SECRET], &[bad], BODY), Err(SignatureError::Malformed));
        }
        for error in [SignatureError::Missing, SignatureError::Repeated, SignatureError::Malformed] {
            assert!(!error.to_string().contains(DIGITS_OF_BODY));
        }
    }

    #[test]
    fn t1_a_secret_that_protects_nothing_is_refused() {
        assert_eq!(check_secret(b""), Err(SecretError::Empty));
        assert_eq!(check_secret(b" \n"), Err(SecretError::Empty));
        assert_eq!(check_secret(b"8 bytes."), Err(SecretError::Short(8)));
        for known in [
            "development",
            "secret",
            "changeme",
            "ChangeMe",
            "it's a SECRET to everybody",
            "aaaaaaaaaaaaaaaa",
        ] {
            assert_eq!(check_secret(known.as_bytes()), Err(SecretError::Placeholder), "{known}");
        }
        assert_eq!(check_secret(b"0f1e2d3c4b5a69788796a5b4c3d2e1f0\n"), Err(SecretError::Padded));
        assert_eq!(check_secret(b"0f1e2d3c4b5a6978"), Ok(()));
        let unkeyed = hex::encode(
            Hmac::<Sha256>::new_from_slice(b"").unwrap().chain_update(BODY).finalize().into_bytes(),
        );
        assert_eq!(
            verify(&[b""], &[&header(&unkeyed)], BODY),
            Err(SignatureError::Wrong),
            "an empty key signs"
        );
    }
}
