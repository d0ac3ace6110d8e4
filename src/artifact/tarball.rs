//! Entries in GNU tar's own format, byte for byte as GNU tar 1.34 writes them with `--format=gnu -b1`.
//!
//! The `tar` crate lends the header's layout; its writer is not used, because it writes the checksum and long
//! names otherwise.

use std::io::{self, Read, Write};

use tar::Header;

use super::hashing::{CHUNK_BYTES, copy_through};

/// Bytes of a tar block.
const BLOCK: usize = 512;
/// Longest name or link target that fits a header; longer ones take an entry of their own before it.
const NAME_BYTES: usize = 100;

/// One entry of an archive.
#[derive(Debug, Clone, Copy)]
pub enum Entry<'a> {
    /// A folder; its name ends with `/`.
    Folder {
        /// Keeps the set-uid and set-gid bits, as GNU tar's `--mode=u=rwX,go=rX` does for folders.
        special: u32,
    },
    /// A file.
    File {
        /// Anybody may execute it.
        executable: bool,
        /// Its size in bytes.
        size: u64,
    },
    /// A symbolic link.
    Link {
        /// Where it points.
        target: &'a [u8],
    },
}

/// Writes an archive entry by entry.
#[derive(Debug)]
pub struct Tarball<W> {
    out: W,
    mtime_s: u64,
    /// What contents are copied through, one file after the other.
    buffer: Vec<u8>,
}

impl<W: Write> Tarball<W> {
    /// An archive whose entries all have this modification time, in seconds since 1970.
    pub fn new(out: W, mtime_s: u64) -> Self {
        Self { out, mtime_s, buffer: vec![0; CHUNK_BYTES] }
    }

    /// Writes the header of an entry; a file's content follows with [`Tarball::content`].
    pub fn header(&mut self, name: &[u8], entry: Entry<'_>) -> io::Result<()> {
        let (kind, mode, size, target) = match entry {
            Entry::Folder { special } => (b'5', 0o755 | special, 0, &b""[..]),
            Entry::File { executable: true, size } => (b'0', 0o755, size, &b""[..]),
            Entry::File { executable: false, size } => (b'0', 0o644, size, &b""[..]),
            Entry::Link { target } => (b'2', 0o755, 0, target),
        };
        if target.len() > NAME_BYTES {
            self.long(b'K', target)?;
        }
        if name.len() > NAME_BYTES {
            self.long(b'L', name)?;
        }
        let mut header = header(kind, mode, size);
        header.set_mtime(self.mtime_s);
        fill(&mut header.as_old_mut().name, name);
        fill(&mut header.as_old_mut().linkname, target);
        self.block(header)
    }

    /// Writes exactly `size` bytes of content and fills up the last block; answers how many bytes there were.
    pub fn content(&mut self, from: &mut dyn Read, size: u64) -> io::Result<u64> {
        let copied = copy_through(&mut self.buffer, &mut from.take(size), &mut self.out)?;
        self.fill_up(copied)?;
        Ok(copied)
    }

    /// Writes the two empty blocks of the end.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// A name too long for a header, as an entry that comes before the one it belongs to.
    fn long(&mut self, kind: u8, text: &[u8]) -> io::Result<()> {
        let size = u64::try_from(text.len()).unwrap_or(u64::MAX).saturating_add(1);
        let mut header = header(kind, 0o644, size);
        fill(&mut header.as_old_mut().name, b"././@LongLink");
        self.block(header)?;
        self.out.write_all(text)?;
        self.out.write_all(&[0])?;
        self.fill_up(size)
    }

    fn block(&mut self, mut header: Header) -> io::Result<()> {
        header.as_old_mut().cksum = *b"        ";
        let sum: u32 = header.as_bytes().iter().map(|b| u32::from(*b)).sum();
        fill(&mut header.as_old_mut().cksum, format!("{sum:06o}\0 ").as_bytes());
        self.out.write_all(header.as_bytes())
    }

    fn fill_up(&mut self, written: u64) -> io::Result<()> {
        let over = usize::try_from(written % 512).unwrap_or(0);
        let missing = if over == 0 { 0 } else { BLOCK.saturating_sub(over) };
        self.out.write_all([0; BLOCK].get(..missing).unwrap_or_default())
    }
}

fn header(kind: u8, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header
}

/// Copies as much as fits.
fn fill(field: &mut [u8], bytes: &[u8]) {
    for (slot, byte) in field.iter_mut().zip(bytes) {
        *slot = *byte;
    }
}
