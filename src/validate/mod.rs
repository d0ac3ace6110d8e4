//! Validations of artifacts that need no command of the user's: checksums, packages and whether they go together,
//! binaries, their symbols and where those say that their sources are, what a release promises and what is signed
//! (CHECKLIST D07, D08, D14–D20).
//!
//! The files may be anybody's, so a check of a stage runs this as a process of its own, with its limits and its log.

mod asset;
mod binary;
mod checksum;
mod coherent;
mod debian;
mod embedded;
mod kind;
mod package;
mod signing;
mod symbols;

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::domain::check::BuiltIn;
use crate::domain::contract::Contract;
use crate::domain::name::{CommitSha, printable};
use crate::folder::MAX_DEPTH;
use crate::trouble::{Outcome, Trouble};

pub use signing::Seal;

/// Most files that are looked at, as many as an artifact may have.
const MAX_FILES: usize = 500_000;
/// Largest file that is read whole: a binary with its debug information.
const MAX_WHOLE_BYTES: u64 = 512 * 1024 * 1024;
/// Problems that are told; a thousand bad files have one cause.
const MAX_PROBLEMS: usize = 100;

/// What came of looking at the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What was looked at.
    pub looked_at: usize,
    /// What is wrong, a line each, at most a hundred.
    pub problems: Vec<String>,
    /// What else there is to say.
    pub notes: Vec<String>,
}

/// What files are looked at for.
pub struct Promise<'a> {
    /// Where they are: a folder or file for each artifact, called as that is.
    pub roots: &'a [PathBuf],
    /// The commits that it was built from: the release's, and those of the builds that it is made of.
    pub commits: &'a [CommitSha],
    /// What the release promises.
    pub contract: Option<&'a Contract>,
    /// Whether a signature is of a file and by a key of the contract; the error is why it proves nothing.
    pub proof: &'a Proof<'a>,
}

/// Checks one signature of one file.
pub type Proof<'a> = dyn Fn(Seal, &str, &[u8]) -> Result<(), String> + 'a;

/// A file that is looked at.
#[derive(Debug)]
struct Item {
    path: PathBuf,
    /// As it is told: below its artifact.
    shown: String,
}

impl fmt::Debug for Promise<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Promise({:?}, {:?}, {:?})", self.roots, self.commits, self.contract)
    }
}

impl Verdict {
    fn problem(&mut self, item: &Item, what: impl fmt::Display) {
        self.tell(format!("{}: {what}", item.shown));
    }

    fn tell(&mut self, problem: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }
}

impl Item {
    /// Where it is in an artifact; nothing when it is in another one, and nothing but its name when it is the artifact.
    fn below(&self, artifact: &str) -> Option<&str> {
        let rest = self.shown.strip_prefix(artifact)?;
        if rest.is_empty() { Some(&self.shown) } else { rest.strip_prefix('/') }
    }

    /// The artifact that it is in, or is.
    fn artifact(&self) -> &str {
        self.shown.split('/').next().unwrap_or(&self.shown)
    }

    /// Its name alone.
    fn name(&self) -> &str {
        self.shown.rsplit('/').next().unwrap_or(&self.shown)
    }
}

/// Looks at every file below these folders, or at these files.
pub fn run(what: BuiltIn, promise: &Promise<'_>) -> Outcome<Verdict> {
    let items = files(promise.roots)?;
    match what {
        BuiltIn::Asset => asset::look(&items, promise),
        BuiltIn::Checksum => checksum::look(&items),
        BuiltIn::Coherent => coherent::look(&items),
        BuiltIn::Contract => contract(&items, promise),
        BuiltIn::Packages => package::look(&items),
        BuiltIn::Binary => binary::look(&items),
        BuiltIn::Signing => signing::look(&items, promise),
        BuiltIn::Symbols => symbols::look(&items),
        BuiltIn::Sourcelink => {
            if promise.commits.is_empty() {
                return Err(Trouble::refused("`sourcelink` needs the released --commit"));
            }
            symbols::linked(&items, promise.commits)
        }
    }
}

/// All that a contract says about files; a signature that nobody promised is nothing to it.
fn contract(items: &[Item], promise: &Promise<'_>) -> Outcome<Verdict> {
    let contract = promise.contract.ok_or_else(|| Trouble::refused("`contract` needs a --contract"))?;
    let mut verdict = asset::look(items, promise)?;
    if contract.assets.iter().any(|asset| asset.signed) {
        let signed = signing::promised(items, promise)?;
        signed.problems.into_iter().for_each(|problem| verdict.tell(problem));
        verdict.notes.extend(signed.notes);
    }
    Ok(verdict)
}

/// What a file or folder is called.
fn shown(path: &Path) -> String {
    path.file_name().map_or_else(|| ".".to_owned(), |n| printable(&n.to_string_lossy()))
}

/// Every regular file, in order; links are not followed.
fn files(roots: &[PathBuf]) -> Outcome<Vec<Item>> {
    let mut out = Vec::new();
    for root in roots {
        collect(root, (&shown(root), 0), &mut out)?;
    }
    Ok(out)
}

fn collect(path: &Path, (shown, depth): (&str, usize), out: &mut Vec<Item>) -> Outcome<()> {
    let fail = |e| Trouble::transient(format!("read {}", path.display())).because(e);
    let kind = std::fs::symlink_metadata(path).map_err(fail)?.file_type();
    if kind.is_file() {
        if out.len() >= MAX_FILES {
            return Err(Trouble::refused(format!("there are more than {MAX_FILES} files")));
        }
        out.push(Item { path: path.to_owned(), shown: shown.to_owned() });
        return Ok(());
    }
    if !kind.is_dir() || depth >= MAX_DEPTH {
        return Ok(());
    }
    let mut below: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        below.push(entry.map_err(fail)?.path());
    }
    below.sort();
    for path in below {
        let name = path.file_name().map(|n| printable(&n.to_string_lossy())).unwrap_or_default();
        collect(&path, (&format!("{shown}/{name}"), depth.saturating_add(1)), out)?;
    }
    Ok(())
}

fn open(item: &Item) -> Outcome<File> {
    File::open(&item.path).map_err(|e| Trouble::transient(format!("read {}", item.shown)).because(e))
}

/// The whole of a file, or nothing when it is larger than any that is looked into.
fn whole(item: &Item) -> Outcome<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let read = open(item)?.take(MAX_WHOLE_BYTES.saturating_add(1)).read_to_end(&mut bytes);
    let read = read.map_err(|e| Trouble::transient(format!("read {}", item.shown)).because(e))?;
    Ok((u64::try_from(read).unwrap_or(u64::MAX) <= MAX_WHOLE_BYTES).then_some(bytes))
}

/// Whether a file begins like this.
fn begins(item: &Item, with: &[u8]) -> Outcome<bool> {
    let mut start = Vec::new();
    let most = u64::try_from(with.len()).unwrap_or(0);
    let read = open(item)?.take(most).read_to_end(&mut start);
    read.map_err(|e| Trouble::transient(format!("read {}", item.shown)).because(e))?;
    Ok(start == with)
}

#[cfg(test)]
mod tests;
