//! Packages of Debian as `deb(5)` has them: an `ar` archive of a format, what describes the package, what is installed.

use std::fs::File;
use std::io::{BufReader, Read, Take};

use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;

use super::package::{Label, drain, tar};
use crate::domain::name::printable;

/// What an `ar` archive begins with.
const MAGIC: &[u8] = b"!<arch>\n";
/// What stands before each part of it.
const HEADER_BYTES: u64 = 60;
/// Most parts: the three that there have to be, and signatures of people.
const MAX_PARTS: usize = 20;
/// Longest number of a format.
const FORMAT_BYTES: u64 = 16;
/// Memory to unpack xz with: `xz -9` wants 65 MiB, and somebody who writes such a file could ask for any.
const XZ_KIB: u32 = 256 * 1024;

/// What a part is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Format,
    Control,
    Data,
    /// Readers pass over what begins with `_`.
    Other,
}

/// Opens all parts to their last byte; the error is why that cannot be, or that the file is called otherwise than its
/// label says.
pub(super) fn opened(file: File, named: (&str, Label)) -> Result<(), String> {
    let not = || "it is no Debian package".to_owned();
    let mut bytes = BufReader::new(file);
    let mut magic = [0; MAGIC.len()];
    bytes.read_exact(&mut magic).map_err(|_| not())?;
    if magic != *MAGIC {
        return Err(not());
    }
    let mut parts = Vec::new();
    while let Some((name, size)) = header(&mut bytes)? {
        if parts.len() >= MAX_PARTS {
            return Err(format!("it has more than {MAX_PARTS} parts"));
        }
        let mut content = bytes.by_ref().take(size);
        parts.push(part(&name, &mut content, named)?);
        if content.limit() > 0 {
            return Err(format!("`{}` in it does not end where it says", printable(&name)));
        }
        // Every part begins at an even place.
        if size % 2 == 1 && drain(&mut bytes.by_ref().take(1)).is_err() {
            return Err(breaks_off(&name));
        }
    }
    parts.retain(|part| *part != Part::Other);
    if parts == [Part::Format, Part::Control, Part::Data] { Ok(()) } else { Err(not()) }
}

/// The name and the size of the next part; nothing at the end.
fn header(bytes: &mut dyn Read) -> Result<Option<(String, u64)>, String> {
    let mut header = Vec::new();
    bytes.take(HEADER_BYTES).read_to_end(&mut header).map_err(|_| "it cannot be read".to_owned())?;
    if header.is_empty() {
        return Ok(None);
    }
    let text = |from: usize, to: usize| std::str::from_utf8(header.get(from..to)?).ok().map(str::trim);
    let name = text(0, 16).map(|name| name.trim_end_matches('/').to_owned());
    let size = text(48, 58).and_then(|size| size.parse().ok());
    let ends = header.get(58..60) == Some(b"`\n".as_slice());
    name.zip(size).filter(|_| ends).map(Some).ok_or_else(|| "it breaks off between two parts".to_owned())
}

/// Reads a part to its end.
fn part(name: &str, content: &mut Take<&mut BufReader<File>>, named: (&str, Label)) -> Result<Part, String> {
    match name.split_once(".tar") {
        None if name == "debian-binary" => {
            let mut format = String::new();
            let read = content.take(FORMAT_BYTES).read_to_string(&mut format);
            if read.is_ok() && format.starts_with("2.") {
                Ok(Part::Format)
            } else {
                Err(format!("it is of the format `{}`, which nobody reads here", printable(format.trim())))
            }
        }
        None if name.starts_with('_') => drain(content).map(|_| Part::Other).map_err(|_| breaks_off(name)),
        Some(("control", packed)) => tarball(name, packed, (content, named)).map(|()| Part::Control),
        Some(("data", packed)) => {
            tarball(name, packed, (content, (named.0, Label::Nothing))).map(|()| Part::Data)
        }
        Some(_) | None => Err(format!("`{}` in it is nothing that a Debian package has", printable(name))),
    }
}

fn tarball(
    name: &str,
    packed: &str,
    (content, named): (&mut Take<&mut BufReader<File>>, (&str, Label)),
) -> Result<(), String> {
    let content: &mut dyn Read = content;
    match packed {
        "" => tar(content, named),
        ".gz" => tar(&mut MultiGzDecoder::new(BufReader::new(content)), named),
        ".xz" => tar(&mut XzReader::new_mem_limit(content, true, XZ_KIB), named),
        ".zst" => match zstd::Decoder::new(content) {
            Ok(mut decoder) => tar(&mut decoder, named),
            Err(_) => Err(breaks_off(name)),
        },
        _ => Err(format!("`{}` in it is packed in a way that is not read here", printable(name))),
    }
}

fn breaks_off(name: &str) -> String {
    format!("`{}` in it breaks off", printable(name))
}
