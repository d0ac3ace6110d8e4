//! `binary`: programs and libraries of Linux are built so that a bug in them is hard to use (what `BinSkim` asks of
//! ELF).
//!
//! Position-independent, no executable stack, relocations read-only and resolved at start, and stack canaries where the
//! compiler has them: those of Rust and Go check their bounds instead.

use goblin::elf::Elf;
use goblin::elf::dynamic::{DF_1_NOW, DF_1_PIE, DF_BIND_NOW};
use goblin::elf::header::{ET_DYN, ET_EXEC};
use goblin::elf::program_header::{PF_X, PT_GNU_RELRO, PT_GNU_STACK, PT_INTERP};

use super::{Item, Verdict, begins, whole};
use crate::trouble::Outcome;

/// What every ELF file begins with.
pub(super) const MAGIC: &[u8] = b"\x7fELF";
/// What compilers for C leave where they put canaries.
const CANARIES: [&str; 2] = ["__stack_chk_fail", "__stack_chk_guard"];

/// Looks at every program and library.
pub(super) fn look(items: &[Item]) -> Outcome<Verdict> {
    let mut verdict = Verdict::default();
    for item in items {
        if !begins(item, MAGIC)? {
            continue;
        }
        let Some(bytes) = whole(item)? else {
            verdict.problem(item, "it is too large to be looked into");
            continue;
        };
        match Elf::parse(&bytes) {
            Ok(elf) if matches!(elf.header.e_type, ET_EXEC | ET_DYN) => {
                verdict.looked_at = verdict.looked_at.saturating_add(1);
                for lack in lacks(&elf, &bytes) {
                    verdict.problem(item, lack);
                }
            }
            // Objects and dumps are not run.
            Ok(_) => {}
            Err(_) => verdict.problem(item, "it is a broken ELF file"),
        }
    }
    Ok(verdict)
}

fn lacks(elf: &Elf<'_>, bytes: &[u8]) -> Vec<&'static str> {
    let header = |kind: u32| elf.program_headers.iter().find(|header| header.p_type == kind);
    let flags = elf.dynamic.as_ref().map_or((0, 0), |dynamic| (dynamic.info.flags, dynamic.info.flags_1));
    let is_program = header(PT_INTERP).is_some() || flags.1 & DF_1_PIE != 0;
    let mut lacks = Vec::new();
    if elf.header.e_type == ET_EXEC && (is_program || elf.dynamic.is_none()) {
        lacks.push("it is not position-independent (-fPIE -pie)");
    }
    if header(PT_GNU_STACK).is_none_or(|stack| stack.p_flags & PF_X != 0) {
        lacks.push("its stack is executable (-z noexecstack)");
    }
    if elf.dynamic.is_some() {
        if header(PT_GNU_RELRO).is_none() {
            lacks.push("its relocations stay writable (-z relro)");
        } else if flags.0 & DF_BIND_NOW == 0 && flags.1 & DF_1_NOW == 0 {
            lacks.push("it binds symbols late (-z now)");
        }
    }
    if !has_canary(elf) && !checks_bounds(elf, bytes) {
        lacks.push("it has no stack canaries (-fstack-protector-strong)");
    }
    lacks
}

fn has_canary(elf: &Elf<'_>) -> bool {
    let is_one =
        |name: Option<&str>| name.is_some_and(|name| CANARIES.iter().any(|canary| name.starts_with(canary)));
    elf.dynsyms.iter().any(|symbol| is_one(elf.dynstrtab.get_at(symbol.st_name)))
        || elf.syms.iter().any(|symbol| is_one(elf.strtab.get_at(symbol.st_name)))
}

/// Whether a compiler made it that has no canaries because it has no unchecked arrays.
fn checks_bounds(elf: &Elf<'_>, bytes: &[u8]) -> bool {
    elf.section_headers.iter().any(|section| {
        let name = elf.shdr_strtab.get_at(section.sh_name).unwrap_or_default();
        let content = section.file_range().and_then(|range| bytes.get(range)).unwrap_or_default();
        name == ".go.buildinfo" || (name == ".comment" && content.windows(5).any(|word| word == b"rustc"))
    })
}
