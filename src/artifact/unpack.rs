//! Handing artifacts to steps: the stored bytes are checked, then laid out where nobody can write, or as a copy to work
//! on.
//!
//! Only what [`super::pack`] writes is read: files, folders, links that stay inside, and GNU long names.
//! Everything else in an archive is refused, not skipped (THREATS T43).

use std::borrow::Cow;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use tar::EntryType;

use super::pack::Shape;
use super::store::{Store, Unusable};
use crate::domain::name::Digest;
use crate::folder::{Access, Fresh, Limits, Rules, Tally, shown};
use crate::trouble::{Outcome, Trouble};

/// Longest name or link target: what Linux allows a path to be.
const LONGEST_NAME: u64 = 4096;
/// Bytes of a tar block.
const BLOCK_BYTES: u64 = 512;
/// Largest window a blob may ask memory for, as a power of two: 8 MiB, four times what sealing uses.
const WINDOW_LOG_MAX: u32 = 23;
/// How many times its size a blob may unpack to, beyond [`RATIO_FREE_BYTES`].
const MAX_RATIO: u64 = 1_000;
/// What any blob may unpack to whatever the ratio, so that small artifacts of zeros pass.
const RATIO_FREE_BYTES: u64 = 64 * 1024 * 1024;

/// What to hand out and where.
#[derive(Debug, Clone, Copy)]
pub struct HandOut<'a> {
    /// The stored blob.
    pub blob: &'a Digest,
    /// A folder or a file.
    pub shape: Shape,
    /// Where it appears; it must not exist.
    pub to: &'a Path,
    /// Who may write in it.
    pub access: Access,
    /// The modification time of all of it, in seconds since 1970.
    pub mtime_s: i64,
    /// How much it may hold.
    pub limits: Limits,
}

/// Checks the blob against its digest and lays it out.
pub fn hand_out(store: &Store, what: HandOut<'_>) -> Result<Tally, Unusable> {
    let (blob, size) = store.open_verified(what.blob)?;
    let rules = Rules { limits: what.limits, access: what.access, mtime_s: what.mtime_s };
    match what.shape {
        Shape::Folder => {
            let mut fresh = Fresh::create(what.to, rules)?;
            let mut decoder = zstd::Decoder::new(blob).map_err(unreadable)?;
            decoder.window_log_max(WINDOW_LOG_MAX).map_err(unreadable)?;
            extract(&mut Capped { inner: BufReader::new(decoder), left: unpacked_limit(size) }, &mut fresh)?;
            Ok(fresh.finish()?)
        }
        Shape::File { executable } => {
            let tally = Tally { files: 1, bytes: size };
            place(blob, executable, &what).map_err(|e| {
                Trouble::transient(format!("hand out the file {}", what.to.display())).because(e)
            })?;
            Ok(tally)
        }
    }
}

/// How many bytes a blob of this size may unpack to; sealing refuses what handing out would refuse.
pub fn unpacked_limit(blob_bytes: u64) -> u64 {
    blob_bytes.saturating_mul(MAX_RATIO).max(RATIO_FREE_BYTES)
}

/// A copy, not a hard link: the owner of a linked file could write in the store through it.
fn place(mut blob: File, executable: bool, what: &HandOut<'_>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(what.to)?;
    io::copy(&mut blob, &mut file)?;
    file.set_permissions(Permissions::from_mode(what.access.of_file(executable)))?;
    file.set_modified(UNIX_EPOCH + Duration::from_secs(u64::try_from(what.mtime_s).unwrap_or(0)))
}

/// Reads an archive entry by entry into a fresh folder.
fn extract(archive: &mut dyn Read, fresh: &mut Fresh) -> Outcome<()> {
    let mut names = LongNames::default();
    let mut tar = tar::Archive::new(&mut *archive);
    // Raw, because the crate would read a long name of any length into memory.
    for entry in tar.entries().map_err(unreadable)?.raw(true) {
        let mut entry = entry.map_err(unreadable)?;
        let size = entry.header().entry_size().map_err(unreadable)?;
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() {
            names.path = Some(long_name(&mut entry, size)?);
            continue;
        }
        if kind.is_gnu_longlink() {
            names.target = Some(long_name(&mut entry, size)?);
            continue;
        }
        let (path, target) = std::mem::take(&mut names).or_in(entry.header());
        let Some(path) = inside(&path)? else { continue };
        if kind.is_dir() {
            fresh.folder(path)?;
        } else if kind.is_file() {
            let executable = entry.header().mode().map_err(unreadable)? & 0o111 != 0;
            fresh.file(path, executable, size, &mut entry)?;
        } else if kind.is_symlink() {
            fresh.link(path, &target)?;
        } else {
            return Err(foreign(path, kind));
        }
    }
    // The reader stops at the first of the two empty blocks of the end.
    let mut rest = Vec::new();
    archive.take(BLOCK_BYTES + 1).read_to_end(&mut rest).map_err(unreadable)?;
    if u64::try_from(rest.len()) != Ok(BLOCK_BYTES) || rest.iter().any(|b| *b != 0) {
        return Err(Trouble::refused("the artifact's archive does not end where its bytes end"));
    }
    Ok(())
}

/// Names that came in entries of their own, for the entry that follows.
#[derive(Default)]
struct LongNames {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

impl LongNames {
    /// The path and the link target of the entry with this header.
    fn or_in(self, header: &tar::Header) -> (Vec<u8>, Vec<u8>) {
        let path = self.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let target = self.target.or_else(|| header.link_name_bytes().map(Cow::into_owned));
        (path, target.unwrap_or_default())
    }
}

fn long_name(entry: &mut dyn Read, size: u64) -> Outcome<Vec<u8>> {
    if size > LONGEST_NAME {
        return Err(Trouble::refused(format!("the artifact has a name of {size} bytes")));
    }
    let mut name = Vec::new();
    entry.read_to_end(&mut name).map_err(unreadable)?;
    if name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

/// The path below the folder of a member `./…`; none for the folder itself.
fn inside(member: &[u8]) -> Outcome<Option<&[u8]>> {
    let path = member
        .strip_prefix(b"./")
        .ok_or_else(|| Trouble::refused(format!("`{}` is not a path inside the folder", shown(member))))?;
    let path = path.strip_suffix(b"/").unwrap_or(path);
    Ok((!path.is_empty()).then_some(path))
}

fn foreign(path: &[u8], kind: EntryType) -> Trouble {
    Trouble::refused(format!(
        "`{}` is an entry of type {:?}; an artifact holds files, folders and links only",
        shown(path),
        char::from(kind.as_byte())
    ))
}

/// Ends with an error instead of giving more than so many bytes.
struct Capped<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(u64::try_from(count).unwrap_or(u64::MAX))
            .ok_or_else(|| io::Error::other("it unpacks to too many times its size"))?;
        Ok(count)
    }
}

fn unreadable(e: io::Error) -> Trouble {
    Trouble::refused("unpack the artifact").because(e)
}

#[cfg(test)]
mod tests;
