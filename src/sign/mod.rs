//! The server's keys for statements: made in its data folder, used nowhere else, their public halves for everybody.
//!
//! ECDSA on P-256 with SHA-256, kept as PKCS#8 and published as PEM, so that openssl reads both. A key is named by the
//! SHA-256 of its public half (DER). The newest signs; older ones stay to be checked against.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::domain::evidence::pae;
use crate::domain::time::Timestamp;
use crate::trouble::{Outcome, Trouble};

/// Where the keys are, below the data folder.
pub const FOLDER: &str = "keys";
/// How the files of keys end.
const ENDING: &str = "pk8";
/// Largest file of a key; a real one has some 140 bytes.
const MAX_KEY_BYTES: u64 = 4_096;
/// Characters in a line of PEM (RFC 7468).
const PEM_LINE: usize = 64;
/// What stands before the point of a public key on P-256 in DER (RFC 5480): it is the same for all of them.
const P256_PREFIX: usize = 26;

/// The keys of a server, oldest first.
pub struct Keys(Vec<Key>);

/// One of them.
struct Key {
    pair: EcdsaKeyPair,
    since: Timestamp,
}

/// The public half of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Public {
    /// Its name.
    pub id: String,
    /// Since when it signs.
    pub since: Timestamp,
    /// Until when it signed; nothing while it does.
    pub until: Option<Timestamp>,
    /// DER.
    #[serde(skip)]
    der: Vec<u8>,
}

/// A signed text (DSSE v1.0).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    keyid: String,
    sig: String,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

impl Keys {
    /// The keys in a folder, which is made with a first one when there is none.
    pub fn of_folder(folder: &Path, now: Timestamp) -> Outcome<Self> {
        let found = Self::read_all(folder)?;
        if found.0.is_empty() {
            return Self::rotate(folder, now);
        }
        Ok(found)
    }

    /// Makes a new key, which signs from now on.
    pub fn rotate(folder: &Path, now: Timestamp) -> Outcome<Self> {
        let path = folder.join(format!("{:020}.{ENDING}", now.0));
        let fail = |e: std::io::Error| {
            Trouble::transient(format!("write the signing key {}", path.display())).because(e)
        };
        std::fs::create_dir_all(folder).map_err(fail)?;
        let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|_| Trouble::transient("the system gives no random bytes for a key"))?;
        let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        match made {
            Ok(mut file) => file.write_all(pair.as_ref()).and_then(|()| file.sync_all()).map_err(fail)?,
            // Somebody made one in the same millisecond.
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(fail(e)),
        }
        Self::read_all(folder)
    }

    fn read_all(folder: &Path) -> Outcome<Self> {
        let fail = |e: std::io::Error| {
            Trouble::transient(format!("read the folder of signing keys, {}", folder.display())).because(e)
        };
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self(Vec::new())),
            Err(e) => return Err(fail(e)),
        };
        let mut paths: Vec<PathBuf> = Vec::new();
        for entry in entries {
            let path = entry.map_err(fail)?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                paths.push(path);
            }
        }
        paths.sort();
        paths.iter().map(|path| Key::read(path)).collect::<Outcome<_>>().map(Self)
    }

    /// Signs a text with the newest key.
    pub fn sign(&self, kind: &str, payload: &[u8]) -> Outcome<Envelope> {
        let key = self.0.last().ok_or_else(|| Trouble::bug("there is no signing key"))?;
        let signed = key.pair.sign(&SystemRandom::new(), &pae(kind, payload));
        let signed = signed.map_err(|_| Trouble::transient("a statement cannot be signed"))?;
        Ok(Envelope {
            payload_type: kind.to_owned(),
            payload: BASE64_STANDARD.encode(payload),
            signatures: vec![Signature {
                keyid: key.public()?.id,
                sig: BASE64_STANDARD.encode(signed.as_ref()),
            }],
        })
    }

    /// The public halves, newest first.
    pub fn public(&self) -> Outcome<Vec<Public>> {
        let untils = self.0.iter().skip(1).map(|key| Some(key.since)).chain([None]);
        let all = self.0.iter().zip(untils).map(|(key, until)| Ok(Public { until, ..key.public()? }));
        let mut all = all.collect::<Outcome<Vec<_>>>()?;
        all.reverse();
        Ok(all)
    }
}

impl Key {
    fn read(path: &Path) -> Outcome<Self> {
        let named = |what: &str| format!("the signing key {} {what}", path.display());
        let fail = |e: std::io::Error| Trouble::refused(named("cannot be read")).because(e);
        let file = std::fs::File::open(path).map_err(fail)?;
        if file.metadata().map_err(fail)?.permissions().mode() & 0o077 != 0 {
            let what = named("may be read by others; `chmod 600` it, and `liftlock keys rotate`");
            return Err(Trouble::refused(what));
        }
        let mut bytes = Vec::new();
        file.take(MAX_KEY_BYTES).read_to_end(&mut bytes).map_err(fail)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &bytes)
            .map_err(|_| Trouble::refused(named("is none; restore it, or take the file away")))?;
        let since = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        let since = since.ok_or_else(|| Trouble::refused(named("is not called by the time it was made")))?;
        Ok(Self { pair, since: Timestamp(since) })
    }

    fn public(&self) -> Outcome<Public> {
        let der = self.pair.public_key().as_der().map_err(|_| Trouble::bug("a public key has no DER"))?;
        Ok(Public::new(der.as_ref().to_vec(), self.since))
    }
}

/// Which key it is, since when and until when it signed, and the key as PEM.
impl fmt::Display for Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {} since {}", self.id, self.since.minute())?;
        self.until.iter().try_for_each(|until| write!(f, " until {}", until.minute()))?;
        write!(f, "\n{}", self.pem())
    }
}

impl Public {
    fn new(der: Vec<u8>, since: Timestamp) -> Self {
        Self { id: hex::encode(Sha256::digest(&der)), since, until: None, der }
    }

    /// The key as PEM.
    pub fn pem(&self) -> String {
        let text = BASE64_STANDARD.encode(&self.der);
        let mut out = String::from("-----BEGIN PUBLIC KEY-----\n");
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at_checked(PEM_LINE).unwrap_or((rest, ""));
            out.push_str(line);
            out.push('\n');
            rest = more;
        }
        out.push_str("-----END PUBLIC KEY-----\n");
        out
    }

    /// Every key in a file of PEM; what stands between them is for people.
    pub fn all_of_pem(text: &str) -> Result<Vec<Self>, String> {
        let mut keys = Vec::new();
        for part in text.split("-----BEGIN PUBLIC KEY-----").skip(1) {
            let (body, _) =
                part.split_once("-----END PUBLIC KEY-----").ok_or_else(|| "a key has no end".to_owned())?;
            let body: String = body.split_whitespace().collect();
            let der = BASE64_STANDARD.decode(body).map_err(|_| "a key is not base64".to_owned())?;
            keys.push(Self::new(der, Timestamp(0)));
        }
        if keys.is_empty() { Err("it holds no public key".to_owned()) } else { Ok(keys) }
    }
}

impl Envelope {
    /// The text, when one of these keys signed it; the error is why it proves nothing.
    pub fn open(&self, kind: &str, keys: &[Public]) -> Result<Vec<u8>, String> {
        if self.payload_type != kind {
            return Err(format!(
                "it holds `{}`, not `{kind}`",
                crate::domain::name::printable(&self.payload_type)
            ));
        }
        let payload =
            BASE64_STANDARD.decode(&self.payload).map_err(|_| "its text is not base64".to_owned())?;
        let signed = pae(kind, &payload);
        let good = |signature: &Signature| {
            let Ok(bytes) = BASE64_STANDARD.decode(&signature.sig) else { return false };
            // What a name says is a hint: each key is tried.
            keys.iter().filter_map(|key| key.der.get(P256_PREFIX..)).any(|point| {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(&signed, &bytes).is_ok()
            })
        };
        if self.signatures.iter().any(good) {
            Ok(payload)
        } else {
            Err("none of these keys signed it, or it was changed since".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_an_old_one_still_checks() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::of_folder(folder.path(), Timestamp(1_000)).unwrap();
        let old = keys.sign("text/plain", b"before").unwrap();
        let again = Keys::of_folder(folder.path(), Timestamp(2_000)).unwrap();
        assert_eq!(again.public().unwrap(), keys.public().unwrap());
        let keys = Keys::rotate(folder.path(), Timestamp(3_000)).unwrap();
        let new = keys.sign("text/plain", b"after").unwrap();
        let public = keys.public().unwrap();
        assert_eq!(public.iter().map(|key| key.until).collect::<Vec<_>>(), [None, Some(Timestamp(3_000))]);
        let pems: Vec<String> =
            public.iter().map(|key| format!("since {}\n{}", key.since.0, key.pem())).collect();
        let pem = pems.concat();
        let read = Public::all_of_pem(&pem).unwrap();
        assert_eq!(
            read.iter().map(|key| &key.id).collect::<Vec<_>>(),
            public.iter().map(|k| &k.id).collect::<Vec<_>>()
        );
        assert_eq!(old.open("text/plain", &read).unwrap(), b"before");
        assert_eq!(new.open("text/plain", &read).unwrap(), b"after");
        assert!(new.open("text/plain", &read[1..]).is_err(), "the old key did not sign it");
    }

    #[test]
    fn t45_what_was_changed_or_is_something_else_proves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::of_folder(folder.path(), Timestamp(1_000)).unwrap();
        let public = keys.public().unwrap();
        let envelope = keys.sign("text/plain", b"yes").unwrap();
        assert!(envelope.open("text/html", &public).is_err());
        let mut changed = envelope.clone();
        changed.payload = BASE64_STANDARD.encode(b"no!");
        assert!(changed.open("text/plain", &public).unwrap_err().contains("changed since"));
        let mut changed = envelope.clone();
        changed.signatures[0].sig = BASE64_STANDARD.encode(b"no");
        assert!(changed.open("text/plain", &public).is_err());
        changed.signatures.clear();
        assert!(changed.open("text/plain", &public).is_err());
        assert!(Public::all_of_pem("nothing").is_err());
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        Keys::of_folder(folder.path(), Timestamp(1_000)).unwrap();
        let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refused = Keys::of_folder(folder.path(), Timestamp(2_000)).unwrap_err();
        assert!(refused.to_string().contains("may be read by others"), "{refused}");
    }
}
