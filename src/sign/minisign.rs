//! Files signed as minisign signs them (<https://jedisct1.github.io/minisign>), prehashed, to be checked with `minisign
//! -V`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use blake2::{Blake2b512, Digest as _};

use super::{Kind, Public};
use crate::domain::time::Timestamp;

/// A key, and a signature over a hash of the file.
const KEY: &[u8] = b"Ed";
const PREHASHED: &[u8] = b"ED";
/// Bytes of the name of a key, and of a signature.
const ID_BYTES: usize = 8;
const SIGNATURE_BYTES: usize = 64;
/// What stands before the comment that is signed, too.
const TRUSTED: &str = "trusted comment: ";

/// The name that minisign shows: here the beginning of the key's own name.
fn id(key: &Public) -> Vec<u8> {
    hex::decode(&key.id).unwrap_or_default().into_iter().take(ID_BYTES).collect()
}

/// The text of a `minisign.pub`; nothing for another kind of key.
pub fn public(key: &Public) -> Option<String> {
    if key.kind != Kind::Ed25519 {
        return None;
    }
    let shown: Vec<u8> = id(key).into_iter().rev().collect();
    let text = BASE64_STANDARD.encode([KEY, &id(key), &key.raw].concat());
    Some(format!("untrusted comment: minisign public key {}\n{text}\n", hex::encode_upper(shown)))
}

/// The text of a `.minisig` file.
pub(super) fn signature(
    key: &Public,
    (name, file, now): (&str, &[u8], Timestamp),
    sign: impl Fn(&[u8]) -> Vec<u8>,
) -> String {
    let signature = sign(&Blake2b512::digest(file));
    let comment = format!("timestamp:{}\tfile:{name}\thashed", now.0.div_euclid(1_000));
    let whole = sign(&[signature.as_slice(), comment.as_bytes()].concat());
    format!(
        "untrusted comment: signature by liftlock, key {}\n{}\n{TRUSTED}{comment}\n{}\n",
        key.id,
        BASE64_STANDARD.encode([PREHASHED, &id(key), &signature].concat()),
        BASE64_STANDARD.encode(whole)
    )
}

/// The key in a line of a `minisign.pub`, decoded.
pub(super) fn key(line: &[u8]) -> Option<Vec<u8>> {
    line.strip_prefix(KEY)?.get(ID_BYTES..).map(<[u8]>::to_vec)
}

/// Whether one of these keys signed the file; the error is why the signature proves nothing.
pub fn verify(text: &str, file: &[u8], keys: &[Public]) -> Result<(), String> {
    let (signature, comment, whole) =
        read(text).ok_or_else(|| "it is no signature of minisign".to_owned())?;
    let hash = Blake2b512::digest(file);
    let all = [signature.as_slice(), comment.as_bytes()].concat();
    let good = |key: &&Public| key.verifies(&hash, &signature) && key.verifies(&all, &whole);
    let signer = keys.iter().filter(|key| key.kind == Kind::Ed25519).find(good);
    let signer = signer.ok_or("none of these keys signed it, or it was changed since")?;
    time(comment).map_or(Ok(()), |at| signer.still_signed(at))
}

/// What a trusted comment says of the time.
fn time(comment: &str) -> Option<Timestamp> {
    let seconds = comment.strip_prefix("timestamp:")?.split_whitespace().next()?.parse::<i64>().ok()?;
    Some(Timestamp(seconds.saturating_mul(1_000)))
}

fn read(text: &str) -> Option<(Vec<u8>, &str, Vec<u8>)> {
    let mut lines = text.lines().skip(1);
    let signature = BASE64_STANDARD.decode(lines.next()?).ok()?;
    let signature = signature.strip_prefix(PREHASHED)?.get(ID_BYTES..)?;
    let comment = lines.next()?.strip_prefix(TRUSTED)?;
    let whole = BASE64_STANDARD.decode(lines.next()?).ok()?;
    (signature.len() == SIGNATURE_BYTES).then(|| (signature.to_vec(), comment, whole))
}

#[cfg(test)]
mod tests {
    use super::super::Keys;
    use super::*;

    #[test]
    fn t45_a_signature_is_of_one_file_with_its_comment() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::of_folder(folder.path(), Timestamp(1_000)).unwrap();
        let all = keys.public().unwrap();
        let good = keys.sign_minisign("SHA512SUMS", b"sums", Timestamp(5_000)).unwrap();
        assert!(good.contains("\ntrusted comment: timestamp:5\tfile:SHA512SUMS\thashed\n"), "{good}");
        verify(&good, b"sums", &all).unwrap();
        assert!(verify(&good, b"other", &all).is_err());
        assert!(verify(&good.replace("timestamp:5", "timestamp:6"), b"sums", &all).is_err());
        assert!(verify(&good, b"sums", &all[..1]).is_err(), "a key of another kind");
        assert!(verify("", b"sums", &all).is_err());
        let shown: Vec<String> = all.iter().filter_map(public).collect();
        assert!(shown.len() == 1 && shown[0].contains("\nRW"), "{shown:?}");
    }
}
