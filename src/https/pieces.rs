//! What is sent that is larger than anybody keeps in memory: the bytes of a file, piece by piece.

use std::fs::File;
use std::io::{self, Read as _, Write as _};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;

/// Bytes of a file that are read at once.
const CHUNK: usize = 256 * 1024;

/// A body that is sent piece by piece.
pub type Pieces = UnsyncBoxBody<Bytes, io::Error>;

/// What is sent.
#[derive(Debug)]
pub enum Content {
    /// A file, from where it stands, with so many bytes.
    File(File, u64),
    /// A few bytes.
    Text(String),
}

impl Content {
    /// Writes all of it.
    pub fn copy_to(self, to: &mut File) -> io::Result<()> {
        match self {
            Self::File(mut from, _) => io::copy(&mut from, to).map(drop),
            Self::Text(text) => to.write_all(text.as_bytes()),
        }
    }

    /// How many bytes, and all of them.
    pub fn pieces(self) -> (u64, Pieces) {
        match self {
            Self::File(file, size) => {
                (size, StreamBody::new(stream::unfold(Some(file), read)).boxed_unsync())
            }
            Self::Text(text) => {
                let size = u64::try_from(text.len()).unwrap_or(u64::MAX);
                (size, Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync())
            }
        }
    }
}

/// The next piece of a file; nothing behind its end or an error.
async fn read(file: Option<File>) -> Option<(io::Result<Frame<Bytes>>, Option<File>)> {
    let mut file = file?;
    let piece = tokio::task::spawn_blocking(move || {
        let mut chunk = Vec::with_capacity(CHUNK);
        let limit = u64::try_from(CHUNK).unwrap_or(u64::MAX);
        (&mut file).take(limit).read_to_end(&mut chunk).map(|_| (chunk, file))
    });
    match piece.await.unwrap_or_else(|e| Err(io::Error::other(e))) {
        Ok((chunk, _)) if chunk.is_empty() => None,
        Ok((chunk, file)) => Some((Ok(Frame::data(Bytes::from(chunk))), Some(file))),
        Err(error) => Some((Err(error), None)),
    }
}
