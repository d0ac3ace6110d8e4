//! `symbols` and `sourcelink`: what debuggers need of a program is among the files, and leads to a commit that was built.
//!
//! A program's debug information is in itself or in a file with the same build id (`.debug` files of ELF); for Windows
//! it is a `.pdb` of the program's name beside it.

use std::collections::BTreeMap;

use goblin::elf::Elf;
use goblin::elf::header::{ET_DYN, ET_EXEC};

use super::binary::MAGIC;
use super::{Item, Verdict, begins, whole};
use crate::domain::name::CommitSha;
use crate::trouble::Outcome;

/// What Windows' programs begin with.
const MZ: &[u8] = b"MZ";
/// The section that a program with debug information has; `.zdebug_info` is its compressed form of old.
const DEBUG_INFO: [&str; 2] = [".debug_info", ".zdebug_info"];

/// A program or a file with symbols, and what it was told of.
struct Found<'i> {
    item: &'i Item,
    /// The id of the build that made it.
    build: Option<String>,
    has_symbols: bool,
    /// A commit that was built is named in it.
    names_commit: bool,
    is_program: bool,
}

/// Every program has symbols.
pub(super) fn look(items: &[Item]) -> Outcome<Verdict> {
    let found = elves(items, &[])?;
    let mut verdict = Verdict::default();
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
    let found = elves(items, commits)?;
    let all: Vec<&str> = commits.iter().map(CommitSha::short).collect();
    let all = all.join(" or ");
    let mut verdict = Verdict::default();
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

fn elves<'i>(items: &'i [Item], commits: &[CommitSha]) -> Outcome<Vec<Found<'i>>> {
    let mut out = Vec::new();
    for item in items {
        if !begins(item, MAGIC)? {
            continue;
        }
        let Some(bytes) = whole(item)? else { continue };
        let Ok(elf) = Elf::parse(&bytes) else { continue };
        if !matches!(elf.header.e_type, ET_EXEC | ET_DYN) {
            continue;
        }
        let named = |section: &goblin::elf::SectionHeader| {
            elf.shdr_strtab.get_at(section.sh_name).is_some_and(|name| DEBUG_INFO.contains(&name))
        };
        let has_symbols = elf.section_headers.iter().any(named);
        let is_debug = item.path.extension().is_some_and(|ending| ending == "debug");
        out.push(Found {
            item,
            build: build_id(&elf, &bytes),
            has_symbols,
            names_commit: has_symbols && holds(&bytes, commits),
            is_program: !is_debug,
        });
    }
    Ok(out)
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
