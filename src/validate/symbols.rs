//! `symbols` and `sourcelink`: what debuggers need of a program is among the files, and leads to a commit that was built.
//!
//! A program's debug information is in itself or in a file with the same build id (`.debug` files of ELF); for Windows
//! it is a `.pdb` of the program's name beside it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::ZlibDecoder;
use goblin::container::{Container, Ctx, Endian};
use goblin::elf::compression_header::{CompressionHeader, ELFCOMPRESS_ZLIB, ELFCOMPRESS_ZSTD};
use goblin::elf::header::{ET_DYN, ET_EXEC};
use goblin::elf::section_header::SHF_COMPRESSED;
use goblin::elf::{Elf, SectionHeader};

use super::binary::MAGIC;
use super::{Item, MAX_WHOLE_BYTES, Verdict, begins, whole};
use crate::domain::name::{CommitSha, printable};
use crate::trouble::Outcome;

/// What Windows' programs begin with.
const MZ: &[u8] = b"MZ";
/// The section that a program with debug information has; `.zdebug_info` is its compressed form of old.
const DEBUG_INFO: [&str; 2] = [".debug_info", ".zdebug_info"];

/// What the sections for debuggers begin with.
const DEBUG: &str = ".debug_";
/// The same where they are compressed in the way of old: `ZLIB` and their size, before what zlib made of them.
const OLD_COMPRESSED: &str = ".zdebug_";
/// What stands before that.
const OLD_HEADER_BYTES: usize = 12;

/// A program or a file with symbols, and what it was told of.
struct Found<'i> {
    item: &'i Item,
    /// The id of the build that made it.
    build: Option<String>,
    has_symbols: bool,
    /// A commit that was built is named in its debug information.
    names_commit: bool,
    is_program: bool,
}

/// Every program has symbols.
pub(super) fn look(items: &[Item]) -> Outcome<Verdict> {
    let mut verdict = Verdict::default();
    let found = elves(items, &[], &mut verdict)?;
    let known: BTreeMap<&str, &Found<'_>> = symbol_files(&found);
    for program in found.iter().filter(|found| found.is_program) {
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        let elsewhere = program.build.as_deref().is_some_and(|id| known.contains_key(id));
        if !program.has_symbols && !elsewhere {
            let id = program.build.as_deref().unwrap_or("none");
            verdict.problem(program.item, format!("there is no debug information for it (build id {id})"));
        }
    }
    for item in items {
        if is_windows_program(item)? {
            verdict.looked_at = verdict.looked_at.saturating_add(1);
            if pdb_of(item, items).is_none() {
                verdict.problem(item, "there is no `.pdb` for it");
            }
        }
    }
    Ok(verdict)
}

/// The symbols of every program name one of the commits.
pub(super) fn linked(items: &[Item], commits: &[CommitSha]) -> Outcome<Verdict> {
    let mut verdict = Verdict::default();
    let found = elves(items, commits, &mut verdict)?;
    let all: Vec<&str> = commits.iter().map(CommitSha::short).collect();
    let all = all.join(" or ");
    let known = symbol_files(&found);
    for program in found.iter().filter(|found| found.is_program) {
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        let elsewhere = program.build.as_deref().and_then(|id| known.get(id));
        if !program.names_commit && !elsewhere.is_some_and(|symbols| symbols.names_commit) {
            verdict.problem(program.item, format!("its debug information does not lead to {all}"));
        }
    }
    for item in items {
        if !is_windows_program(item)? {
            continue;
        }
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        let pdb = pdb_of(item, items).map(whole).transpose()?.flatten();
        if !pdb.is_some_and(|bytes| holds(&bytes, commits)) {
            verdict.problem(item, format!("its `.pdb` does not lead to {all}"));
        }
    }
    Ok(verdict)
}

fn symbol_files<'f, 'i>(found: &'f [Found<'i>]) -> BTreeMap<&'f str, &'f Found<'i>> {
    let with = found.iter().filter(|found| found.has_symbols);
    with.filter_map(|found| Some((found.build.as_deref()?, found))).collect()
}

/// Every program and file with symbols; one that nobody can look into is a problem.
fn elves<'i>(items: &'i [Item], commits: &[CommitSha], verdict: &mut Verdict) -> Outcome<Vec<Found<'i>>> {
    let mut out = Vec::new();
    for item in items {
        if !begins(item, MAGIC)? {
            continue;
        }
        let Some(bytes) = whole(item)? else {
            verdict.problem(item, "it is too large to be looked into");
            continue;
        };
        let Ok(elf) = Elf::parse(&bytes) else {
            verdict.problem(item, "it is a broken ELF file");
            continue;
        };
        if !matches!(elf.header.e_type, ET_EXEC | ET_DYN) {
            continue;
        }
        let is_debug = item.path.extension().is_some_and(|ending| ending == "debug");
        let names_commit = names_one((&elf, &bytes), commits).unwrap_or_else(|section| {
            verdict.problem(item, format!("its section {} cannot be unpacked", printable(&section)));
            false
        });
        out.push(Found {
            item,
            build: build_id(&elf, &bytes),
            has_symbols: sections(&elf).any(|(name, _)| DEBUG_INFO.contains(&name)),
            names_commit,
            is_program: !is_debug,
        });
    }
    Ok(out)
}

/// The sections for debuggers, by their names.
fn sections<'e>(elf: &'e Elf<'_>) -> impl Iterator<Item = (&'e str, &'e SectionHeader)> {
    let named = elf
        .section_headers
        .iter()
        .filter_map(|section| Some((elf.shdr_strtab.get_at(section.sh_name)?, section)));
    named.filter(|(name, _)| name.starts_with(DEBUG) || name.starts_with(OLD_COMPRESSED))
}

/// Whether a section for debuggers has one of the commits in it: a text that the program prints leads nobody to its
/// sources. The error is the section that is compressed and cannot be read.
fn names_one((elf, bytes): (&Elf<'_>, &[u8]), commits: &[CommitSha]) -> Result<bool, String> {
    if commits.is_empty() {
        return Ok(false);
    }
    for (name, section) in sections(elf) {
        let content = section.file_range().and_then(|range| bytes.get(range)).unwrap_or_default();
        let unpacked = unpacked((elf, name), section, content).ok_or_else(|| name.to_owned())?;
        if holds(&unpacked, commits) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The content of a section as debuggers see it.
fn unpacked<'b>(
    (elf, name): (&Elf<'_>, &str),
    section: &SectionHeader,
    content: &'b [u8],
) -> Option<Cow<'b, [u8]>> {
    if name.starts_with(OLD_COMPRESSED) {
        return inflated(ZlibDecoder::new(content.get(OLD_HEADER_BYTES..)?));
    }
    if section.sh_flags & u64::from(SHF_COMPRESSED) == 0 {
        return Some(Cow::Borrowed(content));
    }
    let container = if elf.is_64 { Container::Big } else { Container::Little };
    let endian = if elf.little_endian { Endian::Little } else { Endian::Big };
    let ctx = Ctx::new(container, endian);
    let header = CompressionHeader::parse(content, 0, ctx).ok()?;
    let packed = content.get(CompressionHeader::size(ctx)..)?;
    match header.ch_type {
        ELFCOMPRESS_ZLIB => inflated(ZlibDecoder::new(packed)),
        ELFCOMPRESS_ZSTD => inflated(zstd::Decoder::new(packed).ok()?),
        _ => None,
    }
}

/// All that comes out, if that is not more than is ever looked into.
fn inflated<'b>(from: impl Read) -> Option<Cow<'b, [u8]>> {
    let mut out = Vec::new();
    let read = from.take(MAX_WHOLE_BYTES.saturating_add(1)).read_to_end(&mut out).ok()?;
    (u64::try_from(read).ok()? <= MAX_WHOLE_BYTES).then_some(Cow::Owned(out))
}

fn build_id(elf: &Elf<'_>, bytes: &[u8]) -> Option<String> {
    let mut notes = elf.iter_note_sections(bytes, Some(".note.gnu.build-id"))?;
    notes.find_map(Result::ok).map(|note| hex::encode(note.desc))
}

fn holds(bytes: &[u8], commits: &[CommitSha]) -> bool {
    commits.iter().any(|commit| memchr::memmem::find(bytes, commit.as_str().as_bytes()).is_some())
}

fn is_windows_program(item: &Item) -> Outcome<bool> {
    let ending = item.path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    Ok(matches!(ending.as_deref(), Some("exe" | "dll")) && begins(item, MZ)?)
}

/// The `.pdb` with the program's name, wherever it is among the files.
fn pdb_of<'i>(program: &Item, items: &'i [Item]) -> Option<&'i Item> {
    let stem = program.path.file_stem()?;
    let is_pdb = |item: &&Item| {
        item.path.file_stem() == Some(stem)
            && item.path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("pdb"))
    };
    items.iter().find(is_pdb)
}
