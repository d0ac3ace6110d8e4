//! SHA-256 and SHA-512 of what flows by.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256, Sha512};

use crate::domain::name::Digest;

/// Size of one read or write: large enough that the calls cost nothing, small beside the memory target.
pub const CHUNK_BYTES: usize = 128 * 1024;

/// Passes bytes on and keeps their sum and count.
pub struct Hashing<W> {
    inner: W,
    sum: Sha256,
    bytes: u64,
}

impl<W> std::fmt::Debug for Hashing<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hashing").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl<W: Write> Hashing<W> {
    /// Hashes what is written to `inner` from here on.
    pub fn new(inner: W) -> Self {
        Self { inner, sum: Sha256::new(), bytes: 0 }
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The writer below, the digest and the count of all that was written.
    pub fn finish(self) -> io::Result<(W, Digest, u64)> {
        let digest = Digest::of_hex(&hex::encode(self.sum.finalize())).map_err(io::Error::other)?;
        Ok((self.inner, digest, self.bytes))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.sum.update(bytes.get(..count).unwrap_or(bytes));
        self.bytes = self.bytes.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The SHA-512 of what is written to it.
#[derive(Debug, Default)]
pub struct Sum512(Sha512);

impl Sum512 {
    /// In hex.
    pub fn hex(self) -> String {
        hex::encode(self.0.finalize())
    }
}

impl Write for Sum512 {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The digest and the size of all that is left to read.
pub fn digest_of(from: &mut dyn Read) -> io::Result<(Digest, u64)> {
    let mut sink = Hashing::new(io::sink());
    copy(from, &mut sink)?;
    let (_, digest, bytes) = sink.finish()?;
    Ok((digest, bytes))
}

/// Copies until the end in [`CHUNK_BYTES`] and answers the count.
pub fn copy(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<u64> {
    copy_through(&mut vec![0; CHUNK_BYTES], from, to)
}

/// The same through a buffer of the caller's: to make one costs more than to copy a small file.
pub fn copy_through(buffer: &mut [u8], from: &mut dyn Read, to: &mut dyn Write) -> io::Result<u64> {
    let mut total = 0_u64;
    loop {
        let count = match from.read(buffer) {
            Ok(0) => return Ok(total),
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        to.write_all(buffer.get(..count).unwrap_or_default())?;
        total = total.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_sha256sum() {
        let (digest, bytes) = digest_of(&mut &b"abc"[..]).unwrap();
        assert_eq!(
            digest.as_str(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(bytes, 3);
    }
}
