//! The contract of a release: which files it must have, of which kind and size, and who must have signed them.
//!
//! It is looked at before the first command of every attempt of every stage, on the bytes that the commands get, and
//! nobody passes it over (SEMANTICS §7; CHECKLIST D02, D07, D25, D38). What a pipeline's head asks is asked of every
//! release that is open: a contract only grows.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use crate::domain::derivation::further;
use crate::domain::event::Sealed;
use crate::domain::glob::Glob;
use crate::domain::name::{Alias, StageName, printable};
use crate::domain::pipeline::Stage;
use crate::domain::release::Release;

/// What OpenSSH calls the keys that are known here.
const SSH_KINDS: [&str; 2] = ["ssh-ed25519", "ecdsa-sha2-nistp256"];
/// Bytes of a public key of minisign: two letters, eight of its name, and the key.
const MINISIGN_BYTES: usize = 42;
/// Longest line of a key, its comment included.
const MAX_KEY_BYTES: usize = 500;
/// Where a file's size stops being one: an exbibyte.
const MAX_SIZE: u64 = 1 << 60;

/// What a release must be made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contract {
    /// What must be there, in order.
    pub assets: Vec<Asset>,
    /// Whose signatures count; without keys a signature is only looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<BTreeSet<PublicKey>>,
    /// Whether there must be a bill of materials.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sbom: bool,
}

/// A part of the release that must be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// The artifact.
    pub artifact: Alias,
    /// Which of its files; at least one must be there. Without, the artifact as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Glob>,
    /// What each of them is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<FileKind>,
    /// Each is at least so large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_size: Option<Size>,
    /// Each is at most so large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<Size>,
    /// Whether a list of checksums among the files must name it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub checksum: bool,
    /// Whether it must be signed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub signed: bool,
}

/// What a file is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A package of Debian.
    Deb,
    /// A program or library of Linux.
    Elf,
    /// A program or library of Windows.
    Exe,
    /// An image in the OCI layout: the whole artifact.
    Image,
    /// An archive of Java.
    Jar,
    /// JSON.
    Json,
    /// A program or library of macOS.
    Macho,
    /// A package of npm.
    Npm,
    /// A package of `NuGet`.
    Nupkg,
    /// A package of RPM.
    Rpm,
    /// A tar.
    Tar,
    /// A tar in gzip.
    TarGz,
    /// A tar in zstd.
    TarZst,
    /// A package of Python.
    Wheel,
    /// A zip.
    Zip,
}

impl FileKind {
    /// All of them with their words, in order.
    const ALL: [(Self, &'static str); 15] = [
        (Self::Deb, "deb"),
        (Self::Elf, "elf"),
        (Self::Exe, "exe"),
        (Self::Image, "image"),
        (Self::Jar, "jar"),
        (Self::Json, "json"),
        (Self::Macho, "macho"),
        (Self::Npm, "npm"),
        (Self::Nupkg, "nupkg"),
        (Self::Rpm, "rpm"),
        (Self::Tar, "tar"),
        (Self::TarGz, "tar.gz"),
        (Self::TarZst, "tar.zst"),
        (Self::Wheel, "wheel"),
        (Self::Zip, "zip"),
    ];

    /// The words of the manifest.
    pub const WORDS: &'static [&'static str] = &[
        "deb", "elf", "exe", "image", "jar", "json", "macho", "npm", "nupkg", "rpm", "tar", "tar.gz",
        "tar.zst", "wheel", "zip",
    ];

    /// The kind of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(kind, known)| (known == word).then_some(kind))
    }

    /// The word of the manifest.
    pub fn word(self) -> &'static str {
        Self::ALL.into_iter().find_map(|(kind, word)| (kind == self).then_some(word)).unwrap_or_default()
    }
}

/// A size in bytes, written as `300MiB` or `20kB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Size(pub u64);

/// Units of sizes, longest first.
const UNITS: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{}` is not a size such as `20kB` or `300MiB`", printable(text));
        let (number, unit) = UNITS
            .iter()
            .find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)))
            .unwrap_or((text, 1));
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let number: u64 = number.parse().ok().filter(|_| digits).ok_or_else(wrong)?;
        number.checked_mul(unit).filter(|bytes| *bytes <= MAX_SIZE).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS.iter().filter(|(_, bytes)| self.0 >= *bytes && self.0.is_multiple_of(*bytes));
        let (unit, bytes) = whole.max_by_key(|(_, bytes)| *bytes).copied().unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / bytes)
    }
}

/// A public key on one line, as OpenSSH or minisign writes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(String);

/// What a public key is, and its bytes as its own tool writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyBytes {
    /// Of OpenSSH, its kind and what is behind it (RFC 4253, 6.6).
    Ssh(Vec<u8>),
    /// Of minisign.
    Minisign(Vec<u8>),
}

impl PublicKey {
    /// What it holds; the error is why it is no key.
    pub fn bytes(&self) -> Result<KeyBytes, String> {
        read(&self.0)
    }
}

fn read(line: &str) -> Result<KeyBytes, String> {
    let wrong = || {
        let shown: String = printable(line).chars().take(40).collect();
        format!("`{shown}` is no public key such as `ssh-ed25519 AAAA…` or minisign's `RW…`")
    };
    if line.len() > MAX_KEY_BYTES {
        return Err(wrong());
    }
    let mut words = line.split_whitespace();
    let first = words.next().ok_or_else(wrong)?;
    let decode = |text: &str| BASE64_STANDARD.decode(text).map_err(|_| wrong());
    if SSH_KINDS.contains(&first) {
        let bytes = decode(words.next().ok_or_else(wrong)?)?;
        let said = bytes.get(4..).is_some_and(|rest| rest.starts_with(first.as_bytes()));
        return if said { Ok(KeyBytes::Ssh(bytes)) } else { Err(wrong()) };
    }
    let bytes = decode(first)?;
    let is_one = bytes.len() == MINISIGN_BYTES && bytes.starts_with(b"Ed") && words.next().is_none();
    if is_one { Ok(KeyBytes::Minisign(bytes)) } else { Err(wrong()) }
}

impl FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        read(text.trim()).map(|_| Self(text.trim().to_owned()))
    }
}

impl TryFrom<String> for PublicKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.0
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.artifact)?;
        self.files.iter().try_for_each(|files| write!(f, "/{files}"))
    }
}

impl Asset {
    /// An artifact as a whole.
    pub fn of(artifact: Alias) -> Self {
        Self {
            artifact,
            files: None,
            kind: None,
            min_size: None,
            max_size: None,
            checksum: false,
            signed: false,
        }
    }

    /// Why a size is none that it may have.
    pub fn wrong_size(&self, bytes: u64) -> Option<String> {
        match (self.min_size, self.max_size) {
            _ if bytes == 0 => Some("it is empty".to_owned()),
            (Some(least), _) if bytes < least.0 => {
                Some(format!("it has {}, and at least {least} are promised", Size(bytes)))
            }
            (_, Some(most)) if bytes > most.0 => {
                Some(format!("it has {}, and at most {most} are promised", Size(bytes)))
            }
            _ => None,
        }
    }

    /// What a release lacks of it, as far as its seals say.
    fn lack(&self, artifacts: &[Sealed]) -> Option<String> {
        let Some(sealed) = artifacts.iter().find(|sealed| sealed.alias == self.artifact) else {
            return Some(format!("`{}` is not in the release", self.artifact));
        };
        if self.kind == Some(FileKind::Image) && sealed.image.is_none() {
            return Some(format!("`{}` is no image", self.artifact));
        }
        let whole = self.files.is_none().then(|| self.wrong_size(sealed.size)).flatten();
        whole.map(|why| format!("`{}`: {why}", self.artifact))
    }
}

impl Contract {
    /// What a release lacks, in the order of the contract, before anybody looks into its files.
    pub fn lacks(&self, release: &Release) -> Vec<String> {
        self.assets.iter().filter_map(|asset| asset.lack(&release.artifacts)).collect()
    }

    /// What both ask: everything that either lists, signed by keys that both know.
    #[must_use]
    pub fn stricter(&self, other: &Self) -> Self {
        let more = other.assets.iter().filter(|asset| !self.assets.contains(asset));
        let keys = match (&self.keys, &other.keys) {
            (Some(ours), Some(theirs)) => Some(ours.intersection(theirs).cloned().collect()),
            (one, None) | (None, one) => one.clone(),
        };
        Self {
            assets: self.assets.iter().chain(more).cloned().collect(),
            keys,
            sbom: self.sbom || other.sbom,
        }
    }
}

impl Release {
    /// The contract as a stage is held to it: what a stage makes is asked for behind that stage, and in it once it is
    /// there.
    pub fn contract_in(&self, stage: &StageName) -> Option<Contract> {
        let mut contract = self.rules.release.contract.clone()?;
        let there: BTreeSet<&Alias> = self.artifacts.iter().map(|sealed| &sealed.alias).collect();
        let not_before = |maker: &&Stage| maker.name == *stage || self.rules.may_lead(stage, &maker.name);
        let makers = self.created.pipeline.stages.iter().filter(not_before);
        let later: BTreeSet<&Alias> = makers.flat_map(further).collect();
        contract.assets.retain(|asset| there.contains(&asset.artifact) || !later.contains(&asset.artifact));
        Some(contract)
    }
}

/// The stricter of two contracts; none at all is the weakest.
pub fn stricter(ours: Option<&Contract>, theirs: Option<&Contract>) -> Option<Contract> {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => Some(ours.stricter(theirs)),
        (one, None) | (None, one) => one.cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asset(artifact: &str, files: Option<&str>) -> Asset {
        Asset {
            files: files.map(|files| files.parse().unwrap()),
            min_size: Some("1kB".parse().unwrap()),
            max_size: Some("2MiB".parse().unwrap()),
            signed: true,
            ..Asset::of(artifact.parse().unwrap())
        }
    }

    #[test]
    fn d07_sizes_are_written_as_people_write_them() {
        let sizes = [("20", 20, "20B"), ("20kB", 20_000, "20kB"), ("3MiB", 3 << 20, "3MiB"), ("0B", 0, "0B")];
        for (text, bytes, shown) in sizes {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, shown));
        }
        for bad in ["", "MB", "1.5MB", "-1", "1 MB", "99999999999GB", "+1"] {
            assert!(bad.parse::<Size>().unwrap_err().contains("is not a size"), "{bad}");
        }
        let one = asset("dist", None);
        assert_eq!(one.wrong_size(0).unwrap(), "it is empty");
        assert_eq!(one.wrong_size(999).unwrap(), "it has 999B, and at least 1kB are promised");
        assert_eq!(one.wrong_size((2 << 20) + 1).unwrap(), "it has 2097153B, and at most 2MiB are promised");
        assert_eq!(one.wrong_size(1_000), None);
    }

    #[test]
    fn t45_a_key_is_one_that_can_be_checked_with() {
        let ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0Rs3uQOjqHtYkpgUQJNVIuHDVeWDqJ2b3SYI2UZQxj ana@acme";
        assert!(matches!(ssh.parse::<PublicKey>().unwrap().bytes(), Ok(KeyBytes::Ssh(_))));
        let minisign = BASE64_STANDARD.encode([b"Ed".as_slice(), &[7; 40]].concat());
        assert!(matches!(minisign.parse::<PublicKey>().unwrap().bytes(), Ok(KeyBytes::Minisign(_))));
        for bad in ["", "ssh-rsa AAAA", "ssh-ed25519", "ssh-ed25519 AAAA", "RWnonsense", "key.pub"] {
            assert!(bad.parse::<PublicKey>().unwrap_err().contains("is no public key"), "{bad}");
        }
    }

    #[test]
    fn t30_d07_a_contract_only_grows() {
        let key = |n: u8| -> PublicKey {
            BASE64_STANDARD.encode([b"Ed".as_slice(), &[n; 40]].concat()).parse().unwrap()
        };
        let keys = |ns: &[u8]| Some(ns.iter().map(|n| key(*n)).collect::<BTreeSet<_>>());
        let head = Contract {
            assets: vec![asset("a", None), asset("b", Some("*.zip"))],
            keys: keys(&[1]),
            sbom: true,
        };
        let commit =
            Contract { assets: vec![asset("b", None), asset("a", None)], keys: keys(&[1, 2]), sbom: false };
        let both = commit.stricter(&head);
        let shown: Vec<String> = both.assets.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["b", "a", "b/*.zip"]);
        assert_eq!(
            (both.keys.clone(), both.sbom),
            (keys(&[1]), true),
            "a commit cannot bring a key of its own"
        );
        assert_eq!(both.stricter(&head), both, "seen again, nothing changes");
        let none = Contract { keys: keys(&[2]), ..Contract::default() };
        assert_eq!(none.stricter(&head).keys, Some(BTreeSet::new()), "nobody's signature counts");
        assert_eq!(stricter(None, Some(&head)), Some(head));
    }
}
