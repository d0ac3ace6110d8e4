//! Seals secrets for the database: AES-256-GCM under one key of the server, bound to the place they are kept in.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;

use crate::domain::name::Digest;
use crate::secret::Secret;
use crate::trouble::{Outcome, Trouble};

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// What the sealed bytes begin with; another form would have another number.
const FORM: u8 = 1;
/// Keeps sealed secrets apart from anything else the key could ever seal.
const CONTEXT: &str = "liftlock sealed secret";

/// What the key that marks is made with, so that it is never the one that seals.
const MARKS: &[u8] = b"liftlock marks";

/// The key that seals; whoever has it and the database has the secrets.
pub struct Key {
    seals: LessSafeKey,
    marks: hmac::Key,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

impl Key {
    /// A key from 64 hex digits.
    pub fn from_hex(text: &Secret) -> Outcome<Self> {
        let bytes = hex::decode(text.expose().trim()).ok().filter(|bytes| bytes.len() == KEY_BYTES);
        let made = bytes.and_then(|bytes| {
            let seals = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes).ok()?);
            let own = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &bytes), MARKS);
            Some(Self { seals, marks: hmac::Key::new(hmac::HMAC_SHA256, own.as_ref()) })
        });
        made.ok_or_else(|| {
            Trouble::refused(
                "the key of the library is not 64 hex digits; make one with `openssl rand -hex 32`",
            )
        })
    }

    /// The key in this file, which is made when it is not there; a file that others may read is refused.
    pub fn of_file(path: &Path) -> Outcome<Self> {
        let named = |what: &str| format!("{what} the key of the library, {}", path.display());
        let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        match made {
            Ok(mut file) => {
                let text = hex::encode(random::<KEY_BYTES>()?);
                file.write_all(text.as_bytes())
                    .and_then(|()| file.sync_all())
                    .map_err(|e| Trouble::transient(named("write")).because(e))?;
                Self::from_hex(&Secret::new(text))
            }
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Self::read(path),
            Err(e) => Err(Trouble::refused(named("make")).because(e)),
        }
    }

    fn read(path: &Path) -> Outcome<Self> {
        let unreadable = |e: std::io::Error| {
            Trouble::refused(format!("read the key of the library, {}", path.display())).because(e)
        };
        let mut file = std::fs::File::open(path).map_err(unreadable)?;
        if file.metadata().map_err(unreadable)?.permissions().mode() & 0o077 != 0 {
            return Err(Trouble::refused(format!(
                "others may read the key of the library; `chmod 600 {}`, and think about who may have read it",
                path.display()
            )));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(unreadable)?;
        Self::from_hex(&Secret::new(text))
    }

    /// A digest of a text that holds secrets: the same text has the same one here, and whoever reads it cannot find the
    /// text by trying, since that takes the key.
    pub fn mark(&self, text: &Secret) -> Digest {
        Digest::of_bytes(hmac::sign(&self.marks, text.expose().as_bytes()).as_ref())
    }

    /// Seals a secret for one place; the bytes open nowhere else.
    pub fn seal(&self, place: &str, secret: &Secret) -> Outcome<Vec<u8>> {
        let nonce = random::<NONCE_LEN>()?;
        let mut body = secret.expose().as_bytes().to_vec();
        self.seals
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), about(place), &mut body)
            .map_err(|_| Trouble::bug("a secret cannot be sealed"))?;
        Ok([&[FORM], &nonce[..], &body].concat())
    }

    /// Opens what was sealed for this place.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Outcome<Secret> {
        let wrong = || {
            Trouble::refused(format!(
                "the sealed secret of {place} does not open: it was sealed under another key, or changed; set it again"
            ))
        };
        let (form, rest) = sealed.split_first().ok_or_else(wrong)?;
        let (nonce, body) = rest.split_at_checked(NONCE_LEN).filter(|_| *form == FORM).ok_or_else(wrong)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| wrong())?;
        let mut body = body.to_vec();
        let text = self.seals.open_in_place(nonce, about(place), &mut body).map_err(|_| wrong())?;
        Ok(Secret::new(String::from_utf8(text.to_vec()).map_err(|_| wrong())?))
    }
}

fn about(place: &str) -> Aad<String> {
    Aad::from(format!("{CONTEXT}\0{place}"))
}

/// Random bytes of the system.
fn random<const N: usize>() -> Outcome<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| Trouble::transient("get random bytes").because(e))?;
    Ok(bytes)
}

/// Characters of a generated password: no two look the same, and a shell takes all of them as they are.
const ALPHABET: &[u8; 56] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789";
/// Characters of a generated password: 185 bits.
const PASSWORD_LENGTH: usize = 32;

/// A password that nobody has to think of, and nobody sees.
pub fn generate() -> Outcome<Secret> {
    let mut text = String::with_capacity(PASSWORD_LENGTH);
    while text.len() < PASSWORD_LENGTH {
        // A byte at or above the last multiple of the alphabet's length would make its first characters likelier.
        for byte in random::<64>()?.into_iter().filter(|byte| *byte < 224) {
            let at = usize::from(byte) % ALPHABET.len();
            text.extend(ALPHABET.get(at).filter(|_| text.len() < PASSWORD_LENGTH).map(|c| char::from(*c)));
        }
    }
    Ok(Secret::new(text))
}
