//! Signatures inside of files: Authenticode of Windows' programs, Apple's of macOS', RPM's header, `NuGet`'s and
//! Debian's.
//!
//! None of them is followed to who made it. Windows' and Apple's list digests of the file's own bytes, and those are
//! computed again here, so that a file that was changed after it was signed is found out; RPM's covers its header,
//! whose digest is computed again.

use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::kind::RPM;
use super::{Item, begins, package, whole};
use crate::trouble::Outcome;

/// What is inside of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inside {
    /// A signature.
    Signed,
    /// One that is none, or that is of other bytes.
    Wrong(String),
    /// None, where there could be one.
    Unsigned {
        /// Systems refuse it, or warn of it, without.
        must: bool,
    },
    /// Nothing that carries a signature.
    Unknown,
}

/// Bytes that lie so far in; everything here is a stranger's to say.
fn at(bytes: &[u8], from: usize, count: usize) -> Option<&[u8]> {
    bytes.get(from..from.checked_add(count)?)
}

fn little(bytes: &[u8], from: usize) -> Option<u32> {
    at(bytes, from, 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn big(bytes: &[u8], from: usize) -> Option<u32> {
    at(bytes, from, 4)?.try_into().ok().map(u32::from_be_bytes)
}

fn place(number: u32) -> Option<usize> {
    usize::try_from(number).ok()
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(bytes, part).is_some()
}

/// Looks into a file.
pub(super) fn inside(item: &Item) -> Outcome<Inside> {
    let name = item.shown.to_lowercase();
    let named = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    if begins(item, b"MZ")? {
        let Some(bytes) = whole(item)? else { return Ok(too_large()) };
        return Ok(match Pe::read(&bytes) {
            Some(pe) => pe.signature(),
            None if named(&[".exe", ".dll", ".sys"]) => {
                Inside::Wrong("it is no program of Windows".to_owned())
            }
            None => Inside::Unknown,
        });
    }
    if MACHO.iter().chain(&[FAT]).any(|magic| begins(item, magic).unwrap_or(false)) {
        let Some(bytes) = whole(item)? else { return Ok(too_large()) };
        let all = machos(&bytes);
        let found = all.iter().map(|part| macho_signature(part)).find(|found| *found != Inside::Signed);
        return Ok(if all.is_empty() { Inside::Unknown } else { found.unwrap_or(Inside::Signed) });
    }
    if begins(item, RPM)? {
        let Some(bytes) = whole(item)? else { return Ok(too_large()) };
        return Ok(rpm(&bytes).unwrap_or_else(|| Inside::Wrong("its header cannot be read".to_owned())));
    }
    if named(&[".nupkg"]) {
        return Ok(has_entry(package::has(item, ".signature.p7s")?));
    }
    if named(&[".deb", ".udeb"]) {
        let Some(bytes) = whole(item)? else { return Ok(too_large()) };
        return Ok(has_entry(Ok(bytes.starts_with(b"!<arch>\n") && holds(&bytes, b"\n_gpg"))));
    }
    Ok(Inside::Unknown)
}

fn has_entry(found: Result<bool, String>) -> Inside {
    match found {
        Ok(true) => Inside::Signed,
        Ok(false) => Inside::Unsigned { must: false },
        Err(why) => Inside::Wrong(why),
    }
}

fn too_large() -> Inside {
    Inside::Wrong("it is too large to be looked into".to_owned())
}

/// A program of Windows, as far as its signature is concerned (PE format, "Optional header", "Attribute certificate
/// table").
pub(super) struct Pe<'b> {
    bytes: &'b [u8],
    /// Where its checksum is, which is not signed.
    checksum: usize,
    /// Where it says where the table of certificates is.
    entry: usize,
    /// The table; it is the last thing in the file.
    table: Option<(usize, usize)>,
}

impl<'b> Pe<'b> {
    /// Nothing when it is no such program.
    pub(super) fn read(bytes: &'b [u8]) -> Option<Self> {
        let header = place(little(bytes, 0x3c)?)?;
        (bytes.starts_with(b"MZ") && at(bytes, header, 4)? == b"PE\0\0").then_some(())?;
        let optional = header.checked_add(24)?;
        // Where the directories begin, and the fifth of them is the table of certificates.
        let directories = match at(bytes, optional, 2)? {
            [0x0b, 0x01] => optional.checked_add(96)?,
            [0x0b, 0x02] => optional.checked_add(112)?,
            _ => return None,
        };
        let entry = directories.checked_add(32)?;
        let (from, size) = (place(little(bytes, entry)?)?, place(little(bytes, entry.checked_add(4)?)?)?);
        let table = (size > 0).then_some((from, size));
        Some(Self { bytes, checksum: optional.checked_add(64)?, entry, table })
    }

    fn signature(&self) -> Inside {
        let Some((from, size)) = self.table else { return Inside::Unsigned { must: true } };
        let Some(table) = at(self.bytes, from, size) else {
            return Inside::Wrong("its signature breaks off".to_owned());
        };
        // Eight bytes say how long a certificate is and of which kind: signed data (PKCS #7) is the second.
        if table.get(6..8) != Some(&[2, 0]) {
            return Inside::Wrong("what it carries is no signature".to_owned());
        }
        let Some(signed) = self.signed(from) else {
            return Inside::Wrong("its headers are behind its signature".to_owned());
        };
        let digests = [hash::<Sha256>(&signed), hash::<Sha384>(&signed), hash::<Sha512>(&signed)];
        if digests.iter().any(|digest| holds(table, digest)) {
            Inside::Signed
        } else {
            Inside::Wrong("its signature is of other bytes, or by SHA-1".to_owned())
        }
    }

    /// What is signed: everything but the checksum, the entry and the table, filled up to eight bytes.
    fn signed(&self, table: usize) -> Option<Vec<u8>> {
        let before = self.bytes.get(..self.checksum)?;
        let between = self.bytes.get(self.checksum.checked_add(4)?..self.entry)?;
        let rest = self.bytes.get(self.entry.checked_add(8)?..table)?;
        let mut all = [before, between, rest].concat();
        // The directory is left out, and so are four bytes of a checksum: what is filled up is the file.
        while !all.len().saturating_add(12).is_multiple_of(8) {
            all.push(0);
        }
        Some(all)
    }
}

fn hash<D: sha2::Digest>(bytes: &[u8]) -> Vec<u8> {
    D::digest(bytes).to_vec()
}

/// What programs of macOS begin with: for one kind of processor, of 32 and 64 bits; several of them in one file.
const MACHO: [&[u8]; 2] = [b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe"];
const FAT: &[u8] = b"\xca\xfe\xba\xbe";
/// Most kinds of processors in one file; a class of Java has another number there, and begins alike.
const MOST_KINDS: u32 = 20;
/// Most commands of a program for its loader.
const MOST_COMMANDS: u32 = 10_000;
/// The command that says where the signature is.
const CODE_SIGNATURE: u32 = 0x1d;
/// The directory of a signature's parts, and the parts that count: what lists the pages, and who signed that.
const PARTS: u32 = 0xfade_0cc0;
const PAGES: u32 = 0xfade_0c02;
const SIGNER: u32 = 0xfade_0b01;
/// SHA-256, as the list of pages calls it.
const SHA256: u8 = 2;

/// The programs in a file, one for each kind of processor.
pub(super) fn machos(bytes: &[u8]) -> Vec<&[u8]> {
    let is_one = |part: &&[u8]| MACHO.iter().any(|magic| part.starts_with(magic));
    if !bytes.starts_with(FAT) {
        return Some(bytes).filter(is_one).into_iter().collect();
    }
    let kinds = big(bytes, 4).filter(|kinds| *kinds <= MOST_KINDS).unwrap_or(0);
    let part = |no: u32| {
        let entry = place(no)?.checked_mul(20)?.checked_add(8)?;
        let (from, size) = (big(bytes, entry.checked_add(8)?)?, big(bytes, entry.checked_add(12)?)?);
        at(bytes, place(from)?, place(size)?)
    };
    let parts: Option<Vec<&[u8]>> = (0..kinds).map(|no| part(no).filter(is_one)).collect();
    parts.unwrap_or_default()
}

fn macho_signature(part: &[u8]) -> Inside {
    match code_signature(part) {
        None => Inside::Wrong("what it says to its loader cannot be read".to_owned()),
        Some([]) => Inside::Unsigned { must: true },
        Some(signature) => match covers(part, signature) {
            None => Inside::Wrong("its signature breaks off".to_owned()),
            Some(Err(why)) => Inside::Wrong(why.to_owned()),
            Some(Ok(())) => Inside::Signed,
        },
    }
}

/// What the loader is told that the signature is, empty when it is told of none; nothing when that cannot be read.
fn code_signature(part: &[u8]) -> Option<&[u8]> {
    let count = little(part, 16).filter(|count| *count <= MOST_COMMANDS)?;
    let mut from = if part.starts_with(b"\xcf") { 32 } else { 28_usize };
    for _ in 0..count {
        let (kind, size) = (little(part, from)?, place(little(part, from.checked_add(4)?)?)?);
        if kind == CODE_SIGNATURE {
            let (at_byte, bytes) =
                (little(part, from.checked_add(8)?)?, little(part, from.checked_add(12)?)?);
            return at(part, place(at_byte)?, place(bytes)?);
        }
        from = from.checked_add(size.max(8))?;
    }
    Some(&[])
}

/// Whether the pages are those that the signature lists, and somebody signed the list.
fn covers(part: &[u8], signature: &[u8]) -> Option<Result<(), &'static str>> {
    if big(signature, 0)? != PARTS {
        return Some(Err("what it carries is no signature"));
    }
    let (mut pages, mut signer) = (false, false);
    for no in 0..big(signature, 8)?.min(MOST_COMMANDS) {
        let from = place(big(signature, place(no)?.checked_mul(8)?.checked_add(16)?)?)?;
        let blob = at(signature, from, place(big(signature, from.checked_add(4)?)?)?)?;
        match big(blob, 0)? {
            PAGES if *blob.get(37)? == SHA256 => {
                if !pages_are(part, blob)? {
                    return Some(Err("its signature is of other bytes"));
                }
                pages = true;
            }
            SIGNER => signer |= blob.len() > 8,
            _ => {}
        }
    }
    Some(match (pages, signer) {
        (false, _) => Err("its signature does not list its pages by SHA-256"),
        (true, false) => Err("its signature is ad hoc: nobody signed it"),
        (true, true) => Ok(()),
    })
}

/// Whether every page has the digest that the list says (Apple's `CodeDirectory`).
fn pages_are(part: &[u8], list: &[u8]) -> Option<bool> {
    let (hashes, count, limit) = (place(big(list, 16)?)?, place(big(list, 28)?)?, place(big(list, 32)?)?);
    let (hash_size, page) = (usize::from(*list.get(36)?), 1_usize.checked_shl(u32::from(*list.get(39)?))?);
    let signed = part.get(..limit)?;
    let pages: Vec<&[u8]> = signed.chunks(page).collect();
    if pages.len() != count || hash_size != 32 {
        return Some(false);
    }
    for (no, page) in pages.iter().enumerate() {
        let said = at(list, hashes.checked_add(no.checked_mul(hash_size)?)?, hash_size)?;
        if Sha256::digest(page).as_slice() != said {
            return Some(false);
        }
    }
    Some(true)
}

/// What the headers of RPM begin with, and how long what stands before the first of them is.
const RPM_HEADER: &[u8] = b"\x8e\xad\xe8\x01";
const RPM_LEAD: usize = 96;
/// Tags of the first header: signatures over the second one, and that one's SHA-256 in hex.
const RPM_SIGNATURES: [u32; 3] = [267, 268, 278];
const RPM_SHA256: u32 = 273;
/// Most entries of a header.
const RPM_ENTRIES: u32 = 100_000;

/// Whether somebody signed the header of an RPM; nothing when it cannot be read.
fn rpm(bytes: &[u8]) -> Option<Inside> {
    let (entries, store, end) = rpm_header(bytes, RPM_LEAD)?;
    let next = end.checked_next_multiple_of(8)?;
    let (_, _, behind) = rpm_header(bytes, next)?;
    let header = bytes.get(next..behind)?;
    let (mut signed, mut right) = (false, None);
    for entry in bytes.get(entries..store)?.chunks_exact(16) {
        let (tag, from) = (big(entry, 0)?, store.checked_add(place(big(entry, 8)?)?)?);
        if RPM_SIGNATURES.contains(&tag) {
            signed |= big(entry, 12)? > 0 && from < end;
        } else if tag == RPM_SHA256 {
            let said = at(bytes, from, 64)?;
            right = Some(hex::encode(Sha256::digest(header)).as_bytes() == said);
        }
    }
    Some(match (signed, right) {
        (_, Some(false)) => Inside::Wrong("its header is not the one that its digest is of".to_owned()),
        (true, Some(true)) => Inside::Signed,
        (true, None) => Inside::Wrong("its signature names no digest of its header by SHA-256".to_owned()),
        (false, _) => Inside::Unsigned { must: true },
    })
}

/// Where a header's entries, its store and its end are.
fn rpm_header(bytes: &[u8], from: usize) -> Option<(usize, usize, usize)> {
    (at(bytes, from, 4)? == RPM_HEADER).then_some(())?;
    let count = big(bytes, from.checked_add(8)?).filter(|count| *count <= RPM_ENTRIES)?;
    let size = place(big(bytes, from.checked_add(12)?)?)?;
    let entries = from.checked_add(16)?;
    let store = entries.checked_add(place(count)?.checked_mul(16)?)?;
    let end = store.checked_add(size)?;
    (end <= bytes.len()).then_some((entries, store, end))
}
