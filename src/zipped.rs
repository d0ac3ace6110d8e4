//! Zips of others: the directory of one is in memory while it is open, so no more of it is read than a bound says.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::rc::Rc;

use zip::ZipArchive;
use zip::result::ZipError;

/// Most bytes that are read until a zip is open: a directory of some 250,000 files with names of the usual length, which
/// takes a tenth of a gigabyte in memory.
const MAX_DIRECTORY_BYTES: u64 = 32 * 1024 * 1024;

/// An open zip.
pub type Zip = ZipArchive<Sparing>;

/// A file of which no more is read than is left to be read, as long as that is bounded.
#[derive(Debug)]
pub struct Sparing {
    file: BufReader<File>,
    left: Rc<Cell<Option<u64>>>,
}

/// Why a file is not opened as a zip.
#[derive(Debug)]
pub enum Unopened {
    /// Its directory, or what has to be read to find it, is larger than any that is looked into.
    TooLarge,
    /// It is none.
    NoZip(ZipError),
}

impl Unopened {
    /// In words, about the file.
    pub fn word(&self) -> String {
        match self {
            Self::TooLarge => {
                let mib = MAX_DIRECTORY_BYTES >> 20;
                format!("its directory has more than {mib} MiB, or is not where one is in a zip")
            }
            Self::NoZip(_) => "it is no zip file".to_owned(),
        }
    }
}

/// Opens a zip by its directory.
pub fn open(file: File) -> Result<Zip, Unopened> {
    let left = Rc::new(Cell::new(Some(MAX_DIRECTORY_BYTES)));
    let sparing = Sparing { file: BufReader::new(file), left: Rc::clone(&left) };
    let opened = ZipArchive::new(sparing);
    let spent = left.replace(None) == Some(0);
    opened.map_err(|e| if spent { Unopened::TooLarge } else { Unopened::NoZip(e) })
}

impl Read for Sparing {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.left.get() else { return self.file.read(into) };
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        if most == 0 && !into.is_empty() {
            return Err(io::Error::other("more than is read of a directory"));
        }
        let read = self.file.read(into.get_mut(..most).unwrap_or_default())?;
        self.left.set(Some(left.saturating_sub(u64::try_from(read).unwrap_or(left))));
        Ok(read)
    }
}

impl Seek for Sparing {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// The headers of a directory with so many files, each with a comment as long as one can be, and its end.
    fn listing(files: u16) -> Vec<u8> {
        const COMMENT: u16 = u16::MAX;
        let mut directory = Vec::new();
        for no in 0..files {
            directory.extend_from_slice(b"PK\x01\x02\x14\0\x14\0");
            // Flags, method, time, date, sum, sizes: a file without bytes.
            directory.extend_from_slice(&[0; 20]);
            directory.extend_from_slice(&4_u16.to_le_bytes());
            directory.extend_from_slice(&0_u16.to_le_bytes());
            directory.extend_from_slice(&COMMENT.to_le_bytes());
            directory.extend_from_slice(&[0; 12]);
            directory.extend_from_slice(format!("{no:04}").as_bytes());
            directory.resize(directory.len() + usize::from(COMMENT), b'c');
        }
        let size = u32::try_from(directory.len()).unwrap();
        directory.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        directory.extend_from_slice(&files.to_le_bytes());
        directory.extend_from_slice(&files.to_le_bytes());
        directory.extend_from_slice(&size.to_le_bytes());
        directory.extend_from_slice(&[0; 6]);
        directory
    }

    fn opened(bytes: &[u8]) -> Result<usize, String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        open(file).map(|zip| zip.len()).map_err(|e| e.word())
    }

    #[test]
    fn d15_t43_a_directory_that_does_not_fit_is_not_read_to_its_end() {
        assert_eq!(opened(&listing(100)), Ok(100));
        let large = opened(&listing(600)).unwrap_err();
        assert!(large.contains("its directory has more than 32 MiB"), "{large}");
        assert_eq!(opened(b"no zip").unwrap_err(), "it is no zip file");
    }
}
