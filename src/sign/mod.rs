//! The server's keys for evidence: made in its data folder, used nowhere else, their public halves for everybody.
//!
//! Two kinds: ECDSA on P-256 with SHA-256 signs statements ([`envelope`]) and, as OpenSSH does, files ([`ssh`]);
//! Ed25519 signs files as minisign does ([`minisign`]). Both are kept as PKCS#8 and published as PEM, so that openssl
//! reads them. A key is named by the SHA-256 of its public half (DER). The newest of a kind signs; older ones stay to
//! be checked against.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::domain::contract::{KeyBytes, PublicKey};
use crate::domain::name::printable;
use crate::domain::time::{Span, Timestamp};
use crate::sign::ssh::Namespace;
use crate::trouble::{Outcome, Trouble};

pub mod envelope;
pub mod minisign;
pub mod ssh;

pub use envelope::Envelope;

/// Where the keys are, below the data folder.
pub const FOLDER: &str = "keys";
/// How the file of a key ends while it is written.
const UNFINISHED: &str = "tmp";
/// Largest file of a key; a real one has some 140 bytes.
const MAX_KEY_BYTES: u64 = 4_096;
/// Characters in a line of PEM (RFC 7468).
const PEM_LINE: usize = 64;
/// Characters of a time to the minute: `2026-03-08 12:00`.
const MINUTE_CHARACTERS: usize = 16;
/// A time to the minute is one within it.
const WITHIN: Span = Span::millis(59_999);
/// What stands before the point of a public key on P-256 in DER (RFC 5480): it is the same for all of them.
const P256_PREFIX: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
/// The same before an Ed25519 public key (RFC 8410).
const ED25519_PREFIX: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// The keys of a server.
pub struct Keys {
    /// Oldest first; never empty.
    ecdsa: Vec<Key<EcdsaKeyPair>>,
    /// The same.
    ed25519: Vec<Key<Ed25519KeyPair>>,
}

/// One of them.
struct Key<P> {
    pair: P,
    since: Timestamp,
}

/// What a key can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Statements, and files as OpenSSH signs them.
    EcdsaP256,
    /// Files as minisign signs them.
    Ed25519,
}

/// The public half of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Public {
    /// Its name.
    pub id: String,
    /// What it can do.
    pub kind: Kind,
    /// Since when it signs.
    pub since: Timestamp,
    /// Until when it signed; nothing while it does.
    pub until: Option<Timestamp>,
    /// The key itself, without what DER says about it.
    #[serde(skip)]
    raw: Vec<u8>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({}, {})", self.ecdsa.len(), self.ed25519.len())
    }
}

impl Kind {
    const ALL: [Self; 2] = [Self::EcdsaP256, Self::Ed25519];

    fn prefix(self) -> &'static [u8] {
        match self {
            Self::EcdsaP256 => P256_PREFIX,
            Self::Ed25519 => ED25519_PREFIX,
        }
    }

    /// How the files of its keys end.
    fn ending(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "pk8",
            Self::Ed25519 => "ed25519",
        }
    }

    fn generate(self) -> Outcome<Vec<u8>> {
        let random = SystemRandom::new();
        let made = match self {
            Self::EcdsaP256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random),
            Self::Ed25519 => Ed25519KeyPair::generate_pkcs8(&random),
        };
        let made = made.map_err(|_| Trouble::transient("the system gives no random bytes for a key"))?;
        Ok(made.as_ref().to_vec())
    }
}

impl Keys {
    /// The keys in a folder, which is made; so is a first one of each kind that has none.
    pub fn of_folder(folder: &Path, now: Timestamp) -> Outcome<Self> {
        for kind in Kind::ALL {
            if files(folder, kind)?.is_empty() {
                make(folder, kind, now)?;
            }
        }
        Self::read_all(folder)
    }

    /// Makes new keys, which sign from now on.
    pub fn rotate(folder: &Path, now: Timestamp) -> Outcome<Self> {
        Kind::ALL.into_iter().try_for_each(|kind| make(folder, kind, now))?;
        Self::read_all(folder)
    }

    fn read_all(folder: &Path) -> Outcome<Self> {
        let ecdsa = files(folder, Kind::EcdsaP256)?;
        let ed25519 = files(folder, Kind::Ed25519)?;
        let p256 = |bytes: &[u8]| EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, bytes).ok();
        let ed = |bytes: &[u8]| Ed25519KeyPair::from_pkcs8(bytes).ok();
        Ok(Self {
            ecdsa: ecdsa.iter().map(|path| Key::read(path, p256)).collect::<Outcome<_>>()?,
            ed25519: ed25519.iter().map(|path| Key::read(path, ed)).collect::<Outcome<_>>()?,
        })
    }

    /// Signs a text of a kind (DSSE).
    pub fn sign(&self, kind: &str, payload: &[u8]) -> Outcome<Envelope> {
        let key = newest(&self.ecdsa)?;
        Ok(Envelope::new(kind, payload, (key.public()?.id, &key.sign(&envelope::signed(kind, payload))?)))
    }

    /// Signs a file as `ssh-keygen -Y sign -n file` does.
    pub fn sign_ssh(&self, file: &[u8]) -> Outcome<String> {
        self.armored(Namespace::File, file)
    }

    /// Signs what stands in a tag as `git tag -s` does with `gpg.format` ssh.
    pub fn sign_tag(&self, payload: &[u8]) -> Outcome<String> {
        self.armored(Namespace::Git, payload)
    }

    fn armored(&self, namespace: Namespace, text: &[u8]) -> Outcome<String> {
        let key = newest(&self.ecdsa)?;
        let signature = key.sign(&ssh::signed(namespace, text))?;
        let armored = ssh::armored(namespace, &key.public()?, &signature);
        armored.ok_or_else(|| Trouble::bug("a signature has no two numbers"))
    }

    /// Signs a file as `minisign -S` does.
    pub fn sign_minisign(&self, name: &str, file: &[u8], now: Timestamp) -> Outcome<String> {
        let key = newest(&self.ed25519)?;
        Ok(minisign::signature(&key.public(), (name, file, now), |text| {
            key.pair.sign(text).as_ref().to_vec()
        }))
    }

    /// The public halves: by kind, each newest first.
    pub fn public(&self) -> Outcome<Vec<Public>> {
        let ecdsa = self.ecdsa.iter().map(Key::<EcdsaKeyPair>::public).collect::<Outcome<Vec<_>>>()?;
        let ed25519 = self.ed25519.iter().map(Key::<Ed25519KeyPair>::public).collect();
        Ok([ecdsa, ed25519].into_iter().flat_map(with_ends).collect())
    }
}

/// Each key signs until the next one does.
fn with_ends(mut oldest_first: Vec<Public>) -> Vec<Public> {
    let untils: Vec<Timestamp> = oldest_first.iter().skip(1).map(|key| key.since).collect();
    oldest_first.iter_mut().zip(untils).for_each(|(key, until)| key.until = Some(until));
    oldest_first.reverse();
    oldest_first
}

fn newest<P>(keys: &[Key<P>]) -> Outcome<&Key<P>> {
    keys.last().ok_or_else(|| Trouble::bug("there is no signing key"))
}

/// Nobody ever sees half a key: it gets its name once all of it is on the disk, unless another one has that name.
fn make(folder: &Path, kind: Kind, now: Timestamp) -> Outcome<()> {
    let path = folder.join(format!("{:020}.{}", now.0, kind.ending()));
    let fail = |e: std::io::Error| {
        Trouble::transient(format!("write the signing key {}", path.display())).because(e)
    };
    std::fs::create_dir_all(folder).map_err(fail)?;
    let mut unique = [0; 16];
    getrandom::fill(&mut unique).map_err(|e| Trouble::transient("get random bytes").because(e))?;
    let unfinished = folder.join(format!(".{}.{UNFINISHED}", hex::encode(unique)));
    let bytes = kind.generate()?;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .map_err(fail)?;
    let written = file.write_all(&bytes).and_then(|()| file.sync_all());
    let named = written.and_then(|()| match std::fs::hard_link(&unfinished, &path) {
        // Somebody made one in the same millisecond.
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    let removed = std::fs::remove_file(&unfinished);
    named.and(removed).map_err(fail)
}

/// The files of the keys of a kind, oldest first.
fn files(folder: &Path, kind: Kind) -> Outcome<Vec<PathBuf>> {
    let fail = |e: std::io::Error| {
        Trouble::transient(format!("read the folder of signing keys, {}", folder.display())).because(e)
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(fail(e)),
    };
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let path = entry.map_err(fail)?.path();
        if path.extension().is_some_and(|ending| ending == kind.ending()) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

impl<P> Key<P> {
    fn read(path: &Path, pair: impl Fn(&[u8]) -> Option<P>) -> Outcome<Self> {
        let named = |what: &str| format!("the signing key {} {what}", path.display());
        let fail = |e: std::io::Error| Trouble::refused(named("cannot be read")).because(e);
        let file = std::fs::File::open(path).map_err(fail)?;
        if file.metadata().map_err(fail)?.permissions().mode() & 0o077 != 0 {
            let what = named("may be read by others; `chmod 600` it, and `liftlock keys rotate`");
            return Err(Trouble::refused(what));
        }
        let mut bytes = Vec::new();
        file.take(MAX_KEY_BYTES).read_to_end(&mut bytes).map_err(fail)?;
        let pair = pair(&bytes)
            .ok_or_else(|| Trouble::refused(named("is none; restore it, or take the file away")))?;
        let since = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        let since = since.ok_or_else(|| Trouble::refused(named("is not called by the time it was made")))?;
        Ok(Self { pair, since: Timestamp(since) })
    }
}

impl Key<EcdsaKeyPair> {
    fn public(&self) -> Outcome<Public> {
        let der = self.pair.public_key().as_der().map_err(|_| Trouble::bug("a public key has no DER"))?;
        Public::of_der(der.as_ref(), self.since).ok_or_else(|| Trouble::bug("a public key is of no kind"))
    }

    /// ASN.1.
    fn sign(&self, text: &[u8]) -> Outcome<Vec<u8>> {
        let signed = self.pair.sign(&SystemRandom::new(), text);
        Ok(signed.map_err(|_| Trouble::transient("nothing can be signed"))?.as_ref().to_vec())
    }
}

impl Key<Ed25519KeyPair> {
    fn public(&self) -> Public {
        Public::new(Kind::Ed25519, self.pair.public_key().as_ref().to_vec(), self.since)
    }
}

/// Which key it is, since when and until when it signed, and the key as PEM.
impl fmt::Display for Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {} since {}", self.id, self.since.minute())?;
        self.until.iter().try_for_each(|until| write!(f, " until {}", until.minute()))?;
        match self.kind {
            Kind::EcdsaP256 => {}
            Kind::Ed25519 => write!(f, ", for minisign")?,
        }
        write!(f, "\n{}", self.pem())
    }
}

impl Public {
    fn new(kind: Kind, raw: Vec<u8>, since: Timestamp) -> Self {
        let der = [kind.prefix(), &raw].concat();
        Self { id: hex::encode(Sha256::digest(&der)), kind, since, until: None, raw }
    }

    fn of_der(der: &[u8], since: Timestamp) -> Option<Self> {
        let of = |kind: Kind| der.strip_prefix(kind.prefix()).map(|raw| Self::new(kind, raw.to_vec(), since));
        Kind::ALL.into_iter().find_map(of)
    }

    /// The key as PEM.
    pub fn pem(&self) -> String {
        let text = BASE64_STANDARD.encode([self.kind.prefix(), &self.raw].concat());
        format!("-----BEGIN PUBLIC KEY-----\n{}-----END PUBLIC KEY-----\n", wrapped(&text, PEM_LINE))
    }

    /// A key that somebody else signs with; the error is why it cannot be checked with.
    pub fn of_key(key: &PublicKey) -> Result<Self, String> {
        let read = match key.bytes()? {
            KeyBytes::Ssh(wire) => ssh::key(&wire),
            KeyBytes::Minisign(line) => minisign::key(&line).map(|raw| (Kind::Ed25519, raw)),
        };
        let (kind, raw) = read.ok_or_else(|| "a public key breaks off".to_owned())?;
        Ok(Self::new(kind, raw, Timestamp(0)))
    }

    /// Every key in a file of PEM, with what the line before it says of the time in which it signed.
    pub fn all_of_pem(text: &str) -> Result<Vec<Self>, String> {
        let mut keys = Vec::new();
        let mut parts = text.split("-----BEGIN PUBLIC KEY-----");
        let mut before = parts.next().unwrap_or_default();
        for part in parts {
            let (body, behind) =
                part.split_once("-----END PUBLIC KEY-----").ok_or_else(|| "a key has no end".to_owned())?;
            let body: String = body.split_whitespace().collect();
            let der = BASE64_STANDARD.decode(body).map_err(|_| "a key is not base64".to_owned())?;
            let since = minute_behind(before, " since ")?.unwrap_or(Timestamp(0));
            let until = minute_behind(before, " until ")?.map(|until| until.plus(WITHIN));
            let key = Self::of_der(&der, since);
            let key = key.ok_or_else(|| "a key is neither of P-256 nor Ed25519".to_owned())?;
            keys.push(Self { until, ..key });
            before = behind;
        }
        if keys.is_empty() { Err("it holds no public key".to_owned()) } else { Ok(keys) }
    }

    /// Whether it was still signing then. Since when is not asked: much is signed some time after it became true.
    pub fn still_signed(&self, at: Timestamp) -> Result<(), String> {
        match self.until {
            Some(until) if at > until => Err(format!(
                "it says {}, and the key {} signed until {} only",
                at.rfc3339(),
                self.id,
                until.minute()
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether it signed this.
    fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        match self.kind {
            Kind::EcdsaP256 => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.raw).verify(text, signature).is_ok()
            }
            Kind::Ed25519 => UnparsedPublicKey::new(&ED25519, &self.raw).verify(text, signature).is_ok(),
        }
    }
}

/// The time behind a word in the last line before a key, as [`Public`] shows it; nothing when the word is not there.
fn minute_behind(text: &str, word: &str) -> Result<Option<Timestamp>, String> {
    let line = text.trim_end().lines().next_back().unwrap_or_default();
    // Any other line is a person's.
    if !line.trim_start_matches(['#', ' ']).starts_with("key ") {
        return Ok(None);
    }
    let Some((_, rest)) = line.split_once(word) else { return Ok(None) };
    let shown: String = rest.chars().take(MINUTE_CHARACTERS).collect();
    let read = Timestamp::parse(&format!("{}:00Z", shown.replace(' ', "T")));
    read.map(Some).ok_or_else(|| format!("`{}` is no time in which a key signed", printable(line)))
}

/// A text in lines of so many characters, each ended.
fn wrapped(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (line, more) = rest.split_at_checked(width).unwrap_or((rest, ""));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_who_come_first_at_once_find_whole_keys() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("keys");
        std::thread::scope(|scope| {
            for no in 0..16 {
                let at = &at;
                scope.spawn(move || Keys::of_folder(at, Timestamp(1_000 + no % 4)).unwrap());
            }
        });
        let names = std::fs::read_dir(&at).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with('.')).collect();
        assert!(left.is_empty(), "{left:?}");
    }

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
        let windows: Vec<_> = public.iter().map(|key| (key.kind, key.since.0, key.until)).collect();
        let until = Some(Timestamp(3_000));
        assert_eq!(
            windows,
            [
                (Kind::EcdsaP256, 3_000, None),
                (Kind::EcdsaP256, 1_000, until),
                (Kind::Ed25519, 3_000, None),
                (Kind::Ed25519, 1_000, until),
            ]
        );
        let pem: String = public.iter().map(ToString::to_string).collect();
        let read = Public::all_of_pem(&pem).unwrap();
        assert_eq!(
            read.iter().map(|key| &key.id).collect::<Vec<_>>(),
            public.iter().map(|k| &k.id).collect::<Vec<_>>()
        );
        assert_eq!(old.open("text/plain", &read).unwrap().0, b"before");
        assert_eq!(new.open("text/plain", &read).unwrap().0, b"after");
        assert!(new.open("text/plain", &read[1..]).is_err(), "the old key did not sign it");
    }

    /// A folder from before there were two kinds.
    #[test]
    fn a_kind_of_key_that_is_missing_is_made_beside_the_others() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), Kind::EcdsaP256, Timestamp(1_000)).unwrap();
        let keys = Keys::of_folder(folder.path(), Timestamp(2_000)).unwrap();
        let since: Vec<i64> = keys.public().unwrap().iter().map(|key| key.since.0).collect();
        assert_eq!(since, [1_000, 2_000]);
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

    #[test]
    fn t45_what_is_no_key_of_ours_is_none() {
        assert!(Public::all_of_pem("nothing").is_err());
        let rsa = "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZI\n-----END PUBLIC KEY-----\n";
        assert!(Public::all_of_pem(rsa).unwrap_err().contains("neither of P-256"));
    }
}
