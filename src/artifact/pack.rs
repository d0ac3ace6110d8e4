//! Sealing: a folder or a file becomes a stored artifact, and the same content always the same bytes.
//!
//! A folder's tar equals, byte for byte, what GNU tar 1.34 makes (EVIDENCE, Sealing):
//! `tar --format=gnu -b1 --sort=name --mtime=@E --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX
//! --hard-dereference -cf - -C FOLDER .`, so members are named `./…` and the first is `./` itself.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write};
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use zstd::zstd_safe::CParameter;

use super::hashing::{CHUNK_BYTES, Hashing, copy};
use super::store::{Incoming, Store};
use super::tarball::{Entry, Tarball};
use super::unpack::unpacked_limit;
use crate::domain::name::Digest;
use crate::folder::{self, Limits, MAX_DEPTH, Tally, link_stays_inside, shown};
use crate::trouble::{Outcome, Trouble};

/// Level of compression; changing it changes every digest.
const ZSTD_LEVEL: i32 = 3;
/// Threads that compress beside the one that reads and hashes. The result is the same for any number from 1 on,
/// memory is not.
const ZSTD_WORKERS: u32 = 1;
/// What a thread compresses at once: a quarter of the library's choice, so that sealing stays below 32 MB of memory
/// whatever the size, for 1 % more bytes. Changing it changes every digest.
const ZSTD_JOB_BYTES: u32 = 2 * 1024 * 1024;

/// What an artifact is once it is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A folder; the blob is its `tar.zst`.
    Folder,
    /// One file; the blob is the file.
    File {
        /// Handed out as a program.
        executable: bool,
    },
}

/// A sealed artifact: what it is and where its bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Digest of the tar before compression; of the file itself for a single file.
    pub tar: Digest,
    /// Digest of the stored blob.
    pub blob: Digest,
    /// Size of the stored blob in bytes.
    pub size_bytes: u64,
    /// Entries in the folder; 1 for a single file.
    pub files: u64,
    /// A folder or a file.
    pub shape: Shape,
}

/// Packs the folder or file at `path`, relative to the workspace, into the store; `mtime_s` is the commit's time in
/// seconds since 1970.
///
/// The path leads through no link, because what was built could have laid one to anywhere on this machine.
pub fn seal(store: &Store, workspace: &Path, path: &Path, mtime_s: u64, limits: Limits) -> Outcome<Sealed> {
    let root = descend(workspace, path)?;
    let fail = |e: rustix::io::Errno| {
        Trouble::transient(format!("read {}", path.display())).because(io::Error::from(e))
    };
    let stat = rustix::fs::fstat(&root).map_err(fail)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => seal_folder(store, &root, mtime_s, limits),
        FileType::RegularFile => seal_file(store, File::from(root), &stat, limits),
        FileType::Symlink
        | FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => {
            Err(Trouble::refused(format!("{} is neither a folder nor a file", path.display())))
        }
    }
}

/// Opens the folder or file at `path` of a workspace, through no link.
pub(super) fn descend(workspace: &Path, path: &Path) -> Outcome<OwnedFd> {
    let fail = |e: rustix::io::Errno| match e {
        rustix::io::Errno::NOENT => Trouble::not_found(format!(
            "the build made no `{}`; let it, or correct the artifact's path",
            shown(path.as_os_str().as_encoded_bytes())
        )),
        rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => Trouble::refused(format!(
            "`{}` leads through a link or a file; name the folder or file itself",
            shown(path.as_os_str().as_encoded_bytes())
        )),
        other => Trouble::transient(format!("read {}", path.display())).because(io::Error::from(other)),
    };
    let mut root = rustix::fs::open(workspace, READ, Mode::empty()).map_err(fail)?;
    for part in path.components() {
        let name = match part {
            Component::CurDir => continue,
            Component::Normal(name) => name,
            Component::Prefix(_) | Component::RootDir | Component::ParentDir => {
                return Err(Trouble::refused(format!(
                    "`{}` is not a path inside the workspace",
                    shown(path.as_os_str().as_encoded_bytes())
                )));
            }
        };
        root = rustix::fs::openat(&root, name, READ, Mode::empty()).map_err(fail)?;
    }
    Ok(root)
}

/// Without following a link, without blocking on a pipe.
pub(super) const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

fn seal_file(store: &Store, mut file: File, stat: &Stat, limits: Limits) -> Outcome<Sealed> {
    let fail = |e: io::Error| Trouble::transient("store a file").because(e);
    let mut blob = store.begin()?;
    let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    Tally::default().add(size, limits)?;
    // One byte more than allowed, so that a file that grows meanwhile is noticed.
    let copied = copy(&mut (&mut file).take(size.saturating_add(1)), &mut blob).map_err(fail)?;
    if copied != size {
        return Err(changed(b"the file"));
    }
    let (digest, size_bytes) = blob.commit()?;
    let executable = stat.st_mode & 0o111 != 0;
    Ok(Sealed { tar: digest.clone(), blob: digest, size_bytes, files: 1, shape: Shape::File { executable } })
}

fn seal_folder(store: &Store, root: &OwnedFd, mtime_s: u64, limits: Limits) -> Outcome<Sealed> {
    let fail = |e: io::Error| Trouble::transient("compress an artifact").because(e);
    let mut encoder = zstd::Encoder::new(store.begin()?, ZSTD_LEVEL).map_err(fail)?;
    encoder.multithread(ZSTD_WORKERS).map_err(fail)?;
    encoder.set_parameter(CParameter::JobSize(ZSTD_JOB_BYTES)).map_err(fail)?;
    let buffered = BufWriter::with_capacity(CHUNK_BYTES, Hashing::new(encoder));
    let (buffered, tally) = write_tar(buffered, root, mtime_s, limits)?;
    let hashing = buffered.into_inner().map_err(|e| fail(e.into_error()))?;
    let (encoder, tar, tar_bytes) = hashing.finish().map_err(fail)?;
    let blob: Incoming = encoder.finish().map_err(fail)?;
    if tar_bytes > unpacked_limit(blob.bytes()) {
        return Err(Trouble::refused(format!(
            "the folder's {tar_bytes} bytes compress to {}, too few to be told from an attack when it is unpacked; \
             compress the large empty files yourself",
            blob.bytes()
        )));
    }
    let (blob, size_bytes) = blob.commit()?;
    Ok(Sealed { tar, blob, size_bytes, files: tally.files, shape: Shape::Folder })
}

/// The digest of the archive that a folder would be packed as at this time, in seconds since 1970: whether it holds the
/// same files as one that was packed then.
pub fn content_of(folder: &Path, mtime_s: u64, limits: Limits) -> Outcome<Digest> {
    let fail = |e: io::Error| Trouble::transient(format!("read {}", folder.display())).because(e);
    let root = rustix::fs::open(folder, READ, Mode::empty()).map_err(|e| fail(io::Error::from(e)))?;
    let sink = BufWriter::with_capacity(CHUNK_BYTES, Hashing::new(io::sink()));
    let (sink, _) = write_tar(sink, &root, mtime_s, limits)?;
    let hashing = sink.into_inner().map_err(|e| fail(e.into_error()))?;
    let (_, digest, _) = hashing.finish().map_err(fail)?;
    Ok(digest)
}

/// Writes a folder as GNU tar does and answers the writer and what the folder holds.
pub fn write_tar<W: Write>(out: W, root: &OwnedFd, mtime_s: u64, limits: Limits) -> Outcome<(W, Tally)> {
    let mut walk =
        Walk { out: Tarball::new(out, mtime_s), limits, tally: Tally::default(), path: b"./".to_vec() };
    let stat = rustix::fs::fstat(root).map_err(|e| unreadable(b".", e))?;
    walk.folder(root, &stat, 0)?;
    let out = walk.out.finish().map_err(unwritable)?;
    Ok((out, walk.tally))
}

struct Walk<W> {
    out: Tarball<W>,
    limits: Limits,
    tally: Tally,
    /// The member's name so far, a folder's with `/` at its end.
    path: Vec<u8>,
}

impl<W: Write> Walk<W> {
    /// Writes a folder and, in the order of their names' bytes, all it holds.
    fn folder(&mut self, folder: &OwnedFd, stat: &Stat, depth: usize) -> Outcome<()> {
        if depth > MAX_DEPTH {
            return Err(folder::too_deep(&self.path));
        }
        self.out.header(&self.path, Entry::Folder { special: stat.st_mode & 0o6000 }).map_err(unwritable)?;
        for name in self.names(folder)? {
            let length = self.path.len();
            self.path.extend_from_slice(name.to_bytes());
            self.entry(folder, &name, depth)?;
            self.path.truncate(length);
        }
        Ok(())
    }

    fn names(&self, folder: &OwnedFd) -> Outcome<Vec<CString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(folder).map_err(|e| unreadable(&self.path, e))? {
            let entry = entry.map_err(|e| unreadable(&self.path, e))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
            // One folder alone may break the limit; then it is not first read to its end.
            let count = u64::try_from(names.len()).unwrap_or(u64::MAX);
            if count > self.limits.max_files {
                Tally { files: self.limits.max_files, bytes: 0 }.add(0, self.limits)?;
            }
        }
        names.sort();
        Ok(names)
    }

    fn entry(&mut self, folder: &OwnedFd, name: &CString, depth: usize) -> Outcome<()> {
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| unreadable(&self.path, e))?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => return self.file(folder, name),
            FileType::Directory => {
                self.tally.add(0, self.limits)?;
                let inner = rustix::fs::openat(folder, name, READ | OFlags::DIRECTORY, Mode::empty())
                    .map_err(|e| unreadable(&self.path, e))?;
                self.path.push(b'/');
                return self.folder(&inner, &stat, depth + 1);
            }
            FileType::Symlink => {
                self.tally.add(0, self.limits)?;
                let target = rustix::fs::readlinkat(folder, name, Vec::new())
                    .map_err(|e| unreadable(&self.path, e))?;
                if !link_stays_inside(depth, target.to_bytes()) {
                    return Err(folder::leaves(&self.path, target.to_bytes()));
                }
                let entry = Entry::Link { target: target.to_bytes() };
                return self.out.header(&self.path, entry).map_err(unwritable);
            }
            FileType::Fifo => "a pipe",
            FileType::Socket => "a socket",
            FileType::CharacterDevice | FileType::BlockDevice => "a device",
            FileType::Unknown => "neither file, folder nor link",
        };
        Err(Trouble::refused(format!(
            "`{}` is {kind}, which an artifact cannot hold; remove it before the build ends",
            shown(&self.path)
        )))
    }

    fn file(&mut self, folder: &OwnedFd, name: &CString) -> Outcome<()> {
        let file =
            rustix::fs::openat(folder, name, READ, Mode::empty()).map_err(|e| unreadable(&self.path, e))?;
        // Asked again of the handle: between the two looks the name may have come to mean something else.
        let stat = rustix::fs::fstat(&file).map_err(|e| unreadable(&self.path, e))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(changed(&self.path));
        }
        let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        self.tally.add(size, self.limits)?;
        let executable = stat.st_mode & 0o111 != 0;
        self.out.header(&self.path, Entry::File { executable, size }).map_err(unwritable)?;
        let mut file = File::from(file);
        let copied = self.out.content(&mut file, size).map_err(unwritable)?;
        let more = file.read(&mut [0]).map_err(unwritable)?;
        if copied != size || more != 0 {
            return Err(changed(&self.path));
        }
        Ok(())
    }
}

fn changed(path: &[u8]) -> Trouble {
    Trouble::refused(format!(
        "`{}` changed while it was packed; let the build wait for everything it starts",
        shown(path)
    ))
}

fn unreadable(path: &[u8], e: rustix::io::Errno) -> Trouble {
    Trouble::transient(format!("read `{}`", shown(path))).because(io::Error::from(e))
}

fn unwritable(e: io::Error) -> Trouble {
    Trouble::transient("pack an artifact").because(e)
}

#[cfg(test)]
mod tests;
