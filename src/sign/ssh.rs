//! Files signed as OpenSSH signs them (its PROTOCOL.sshsig), to be checked with `ssh-keygen -Y verify -n file`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha512};

use super::{Kind, Public, wrapped};
use crate::domain::time::{Span, Timestamp};

/// What a signature begins with, armored and not.
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----\n";
const END: &str = "-----END SSH SIGNATURE-----\n";
const MAGIC: &[u8] = b"SSHSIG";
const VERSION: u32 = 1;
/// What a signature is good for, and nothing else that is signed with the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Namespace {
    /// A file.
    File,
    /// A tag of git.
    Git,
}

impl Namespace {
    fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Git => "git",
        }
    }

    /// What is signed in it.
    fn of(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Git => "tag",
        }
    }
}
/// Of the two hashes that there are, the one `ssh-keygen` takes.
const HASH: &str = "sha512";
/// The algorithm, and the curve alone.
const ALGORITHM: &str = "ecdsa-sha2-nistp256";
const CURVE: &str = "nistp256";
/// What others sign with as well, and have no curve to name.
const ED25519: &str = "ssh-ed25519";
/// Characters in a line of the armor.
const LINE: usize = 70;
/// Who signs, for files of allowed signers.
pub const PRINCIPAL: &str = "liftlock";
/// Largest number in a signature on P-256: 32 bytes, and one for the sign.
const MOST_BYTES: usize = 33;

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn strings(all: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for bytes in all {
        put(&mut out, bytes);
    }
    out
}

/// A key as OpenSSH writes it (RFC 5656).
fn wire(key: &Public) -> Vec<u8> {
    strings(&[ALGORITHM.as_bytes(), CURVE.as_bytes(), &key.raw])
}

/// What is signed for a text.
pub(super) fn signed(namespace: Namespace, text: &[u8]) -> Vec<u8> {
    let hash = Sha512::digest(text);
    let rest = strings(&[namespace.word().as_bytes(), b"", HASH.as_bytes(), &hash]);
    [MAGIC, &rest].concat()
}

/// The line for a file of allowed signers; nothing for a key that OpenSSH does not know from us.
pub fn allowed_signer(key: &Public) -> Option<String> {
    if key.kind != Kind::EcdsaP256 {
        return None;
    }
    let digits = |at: Timestamp| {
        let text: String = at.rfc3339().chars().take(19).filter(char::is_ascii_digit).collect();
        format!("{text}Z")
    };
    // Its last second is all its own: OpenSSH knows no shorter time, and takes no key that is good for none.
    let until = key.until.map(|at| digits(at.plus(Span::seconds(1))));
    let until = until.map_or_else(String::new, |at| format!(",valid-before=\"{at}\""));
    Some(format!(
        "{PRINCIPAL} namespaces=\"{},{}\",valid-after=\"{}\"{until} {ALGORITHM} {} {}\n",
        Namespace::File.word(),
        Namespace::Git.word(),
        digits(key.since),
        BASE64_STANDARD.encode(wire(key)),
        key.id
    ))
}

/// A signature (ASN.1) as the text of a `.sig` file; nothing when it is none.
pub(super) fn armored(namespace: Namespace, key: &Public, signature: &[u8]) -> Option<String> {
    let (r, s) = numbers(signature)?;
    let signature = strings(&[ALGORITHM.as_bytes(), &strings(&[r, s])]);
    let mut blob = [MAGIC, &VERSION.to_be_bytes()].concat();
    blob.extend(strings(&[&wire(key), namespace.word().as_bytes(), b"", HASH.as_bytes(), &signature]));
    Some(format!("{BEGIN}{}{END}", wrapped(&BASE64_STANDARD.encode(blob), LINE)))
}

/// The two numbers of an ASN.1 signature; what an INTEGER holds is what OpenSSH calls an mpint.
fn numbers(signature: &[u8]) -> Option<(&[u8], &[u8])> {
    let (number, length) = (0x02, |b: &u8| usize::from(*b));
    let [0x30, _, rest @ ..] = signature else { return None };
    let [tag, size, rest @ ..] = rest else { return None };
    let (r, rest) = rest.split_at_checked(length(size)).filter(|_| *tag == number)?;
    let [tag, size, rest @ ..] = rest else { return None };
    let (s, _) = rest.split_at_checked(length(size)).filter(|_| *tag == number)?;
    Some((r, s))
}

/// The other way round.
fn asn1(r: &[u8], s: &[u8]) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    for number in [r, s] {
        let size = u8::try_from(number.len()).ok().filter(|_| number.len() <= MOST_BYTES)?;
        all.extend_from_slice(&[0x02, size]);
        all.extend_from_slice(number);
    }
    let size = u8::try_from(all.len()).ok()?;
    Some([&[0x30, size], all.as_slice()].concat())
}

/// What is left of a blob.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        self.bytes(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let size = self.number()?;
        self.bytes(usize::try_from(size).ok()?)
    }

    fn is(&mut self, wanted: &[u8]) -> Option<()> {
        (self.string()? == wanted).then_some(())
    }
}

/// The signature in the text of a `.sig` file that says it is for files, and the kind of key that makes such: on P-256
/// in ASN.1, by Ed25519 as it is.
fn read(namespace: Namespace, text: &str) -> Option<(Kind, Vec<u8>)> {
    let body: String =
        text.trim_start().strip_prefix(BEGIN)?.split_once(END.trim_end())?.0.split_whitespace().collect();
    let blob = BASE64_STANDARD.decode(body).ok()?;
    let mut rest = Rest(&blob);
    (rest.bytes(MAGIC.len())? == MAGIC && rest.number()? == VERSION).then_some(())?;
    // Which key it says it is of is a hint: each that is trusted is tried.
    rest.string()?;
    rest.is(namespace.word().as_bytes())?;
    rest.string()?;
    rest.is(HASH.as_bytes())?;
    let mut signature = Rest(rest.string()?);
    let algorithm = signature.string()?;
    if algorithm == ED25519.as_bytes() {
        return Some((Kind::Ed25519, signature.string()?.to_vec()));
    }
    (algorithm == ALGORITHM.as_bytes()).then_some(())?;
    let mut two = Rest(signature.string()?);
    Some((Kind::EcdsaP256, asn1(two.string()?, two.string()?)?))
}

/// The kind of a key as OpenSSH writes it, and the key itself (RFC 5656, RFC 8709).
pub(super) fn key(wire: &[u8]) -> Option<(Kind, Vec<u8>)> {
    let mut rest = Rest(wire);
    let algorithm = rest.string()?;
    if algorithm == ED25519.as_bytes() {
        return Some((Kind::Ed25519, rest.string()?.to_vec()));
    }
    (algorithm == ALGORITHM.as_bytes()).then_some(())?;
    rest.is(CURVE.as_bytes())?;
    Some((Kind::EcdsaP256, rest.string()?.to_vec()))
}

/// Whether one of these keys signed the file; the error is why the signature proves nothing.
pub fn verify(signature: &str, file: &[u8], keys: &[Public]) -> Result<(), String> {
    proven((Namespace::File, signature), file, keys)
}

/// Whether one of these keys signed a tag with this text ([`crate::domain::tag::signed_part`]); the error is why the
/// signature proves nothing.
pub fn verify_tag(signature: &str, text: &str, keys: &[Public]) -> Result<(), String> {
    proven((Namespace::Git, signature), text.as_bytes(), keys)
}

fn proven((namespace, signature): (Namespace, &str), text: &[u8], keys: &[Public]) -> Result<(), String> {
    let read = read(namespace, signature);
    let (kind, signature) = read.ok_or_else(|| format!("it is no signature of a {}", namespace.of()))?;
    let text = signed(namespace, text);
    if keys.iter().filter(|key| key.kind == kind).any(|key| key.verifies(&text, &signature)) {
        Ok(())
    } else {
        Err("none of these keys signed it, or it was changed since".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Keys;
    use super::*;

    #[test]
    fn t45_a_signature_is_of_one_file_by_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::of_folder(folder.path(), Timestamp(1_000)).unwrap();
        let public = keys.public().unwrap();
        // Their numbers are of different lengths from time to time.
        for round in 0..50_u8 {
            let signature = keys.sign_ssh(&[round]).unwrap();
            verify(&signature, &[round], &public).unwrap();
            assert!(verify(&signature, b"other", &public).unwrap_err().contains("changed since"));
        }
        let signature = keys.sign_ssh(b"file").unwrap();
        let other = Keys::rotate(folder.path(), Timestamp(2_000)).unwrap().public().unwrap();
        assert!(verify(&signature, b"file", &other[..1]).is_err(), "another key");
        assert!(verify("", b"file", &public).is_err() && verify(BEGIN, b"file", &public).is_err());
        let cut = signature.replace(END, "");
        assert!(verify(&cut, b"file", &public).is_err());
        let tag = keys.sign_tag(b"file").unwrap();
        verify_tag(&tag, "file", &public).unwrap();
        assert!(verify_tag(&tag, "other", &public).is_err() && verify(&tag, b"file", &public).is_err());
        assert_eq!(verify_tag(&signature, "file", &public), Err("it is no signature of a tag".to_owned()));
    }

    #[test]
    fn a_signer_is_allowed_for_the_time_in_which_its_key_signed() {
        let folder = tempfile::tempdir().unwrap();
        Keys::of_folder(folder.path(), Timestamp(1_000)).unwrap();
        let keys = Keys::rotate(folder.path(), Timestamp(86_400_000)).unwrap();
        let lines: Vec<String> = keys.public().unwrap().iter().filter_map(allowed_signer).collect();
        let [new, old] = &lines[..] else { panic!("{lines:?}") };
        assert!(new.starts_with(
            "liftlock namespaces=\"file,git\",valid-after=\"19700102000000Z\" ecdsa-sha2-nistp256 AAAA"
        ));
        assert!(
            old.contains("valid-after=\"19700101000001Z\",valid-before=\"19700102000001Z\" ecdsa"),
            "{old}"
        );
    }
}
