//! What is checked of files that are here: every signature, every digest, every statement, and that none is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use super::{Checked, chain};
use crate::artifact::hashing::{Sum512, copy, digest_of};
use crate::domain::evidence::claim::{Claim, claim, named};
use crate::domain::evidence::{ENVELOPE, PAYLOAD_TYPE, SHA256SUMS, SHA512SUMS, STATEMENTS};
use crate::domain::name::{Digest, is_file_name, printable};
use crate::sign::{Envelope, Public, minisign, ssh};
use crate::trouble::{Outcome, Trouble};

/// Largest file of statements or keys that is read: a statement has some kilobytes.
pub(super) const MAX_TEXT_BYTES: u64 = 16 * 1024 * 1024;
/// Most files of a folder that are looked at.
const MAX_FILES: usize = 10_000;

/// One file by the statements about it.
pub(super) fn file(path: &Path, statements: &Path, keys: &[Public]) -> Outcome<Checked> {
    let unproven = |why: &str| {
        Trouble::refused(format!("{} is not proven by {}: {why}", path.display(), statements.display()))
    };
    let digest = hashed(path)?;
    let all = opened(&text(statements)?, keys).map_err(|why| unproven(&why))?;
    let mut checked =
        Checked { file: path.display().to_string(), digest, sums: Vec::new(), claims: Vec::new() };
    checked.take(&all).map_err(|why| unproven(&why))?;
    if checked.is_proven() { Ok(checked) } else { Err(unproven(&unsaid(&checked.digest))) }
}

fn unsaid(digest: &Digest) -> String {
    format!("it is not about a file with the digest {digest}")
}

/// All files of a release.
pub(super) fn release(folder: &Path, keys: &[Public]) -> Outcome<Vec<Checked>> {
    let unproven = |why: String| Trouble::refused(format!("{} is not proven: {why}", folder.display()));
    let names = names(folder)?;
    let sums = sums(folder, &names, keys)?;
    let mut all = Vec::new();
    for name in names.iter().filter(|name| name.ends_with(STATEMENTS) || name.ends_with(ENVELOPE)) {
        let lines = text(&folder.join(name))?;
        all.extend(opened(&lines, keys).map_err(|why| unproven(format!("{name}: {why}")))?);
    }
    let links = chain::links(folder, &names, keys)?;
    let files: BTreeSet<&String> = sums.values().flat_map(BTreeMap::keys).collect();
    let mut checked = Vec::new();
    for file in files {
        if !is_file_name(file) || !names.contains(file) {
            return Err(unproven(format!("{} is listed and not there", printable(file))));
        }
        let because = |why: String| unproven(format!("{file}: {why}"));
        let mut one = listed(folder, file, (&sums, &all)).map_err(because)?;
        one.went_through(&links).map_err(because)?;
        checked.push(one);
    }
    Ok(checked)
}

type Sums = BTreeMap<&'static str, BTreeMap<String, String>>;

fn listed(folder: &Path, file: &str, (sums, all): (&Sums, &[Value])) -> Result<Checked, String> {
    let path = folder.join(file);
    let digest = hashed(&path).map_err(|trouble| trouble.chain())?;
    let mut checked = Checked { file: file.to_owned(), digest, sums: Vec::new(), claims: Vec::new() };
    for (list, lines) in sums {
        let found = match *list {
            SHA256SUMS => checked.digest.hex().to_owned(),
            _ => sum_of(&path).map_err(|trouble| trouble.chain())?,
        };
        if lines.get(file) != Some(&found) {
            return Err(format!("its bytes are not those of {list}"));
        }
        checked.sums.push((*list).to_owned());
    }
    checked.take(all)?;
    for claim in &checked.claims {
        let Claim::Refers { name, sha256 } = claim else { continue };
        let beside = folder.join(name);
        if is_file_name(name) && beside.exists() {
            let found = hashed(&beside).map_err(|trouble| trouble.chain())?;
            if found.hex() != sha256 {
                return Err(format!("{name} is not what belongs to it"));
            }
        }
    }
    if checked.is_proven() { Ok(checked) } else { Err("no statement says where it comes from".to_owned()) }
}

/// The signed lists: at least one, and whatever signature is there is good.
fn sums(folder: &Path, names: &BTreeSet<String>, keys: &[Public]) -> Outcome<Sums> {
    let mut all = Sums::new();
    for list in [SHA256SUMS, SHA512SUMS].into_iter().filter(|list| names.contains(*list)) {
        let lines = text(&folder.join(list))?;
        let unproven = |what: &str| Trouble::refused(format!("{}: {what}", folder.join(list).display()));
        let mut signatures = 0;
        let tools: [(&str, Verify); 2] = [("sig", ssh::verify), ("minisig", minisign::verify)];
        for (ending, verify) in tools {
            let name = format!("{list}.{ending}");
            if names.contains(&name) {
                let signature = text(&folder.join(&name))?;
                verify(&signature, lines.as_bytes(), keys)
                    .map_err(|why| unproven(&format!("{name}: {why}")))?;
                signatures += 1;
            }
        }
        if signatures == 0 {
            return Err(unproven("no signature is beside it"));
        }
        let line = |line: &str| line.split_once("  ").map(|(sum, name)| (name.to_owned(), sum.to_owned()));
        let read: Option<BTreeMap<String, String>> = lines.lines().map(line).collect();
        let read =
            read.filter(|read| !read.is_empty()).ok_or_else(|| unproven("it is no list of checksums"))?;
        all.insert(list, read);
    }
    if all.is_empty() {
        let what = format!("{} has neither {SHA256SUMS} nor {SHA512SUMS}", folder.display());
        return Err(Trouble::refused(what));
    }
    Ok(all)
}

type Verify = fn(&str, &[u8], &[Public]) -> Result<(), String>;

impl Checked {
    /// Adds what statements claim about the file, each thing once.
    fn take(&mut self, statements: &[Value]) -> Result<(), String> {
        for statement in statements.iter().filter(|statement| named(statement, &self.digest).is_some()) {
            let claim = claim(statement)?;
            if !self.claims.contains(&claim) {
                self.claims.push(claim);
            }
        }
        Ok(())
    }
}

/// The statements of a file, one a line; one that these keys did not sign makes all of it worth nothing.
pub(super) fn opened(lines: &str, keys: &[Public]) -> Result<Vec<Value>, String> {
    let one = |line: &str| {
        let envelope: Envelope =
            serde_json::from_str(line).map_err(|_| "a line of it is no signed statement".to_owned())?;
        let payload = envelope.open(PAYLOAD_TYPE, keys)?;
        serde_json::from_slice(&payload).map_err(|_| "what is signed is no statement".to_owned())
    };
    let all: Vec<Value> =
        lines.lines().filter(|line| !line.trim().is_empty()).map(one).collect::<Result<_, String>>()?;
    if all.is_empty() { Err("there is no statement in it".to_owned()) } else { Ok(all) }
}

fn names(folder: &Path) -> Outcome<BTreeSet<String>> {
    let fail = |e| Trouble::refused(format!("read {}", folder.display())).because(e);
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).map_err(fail)?.take(MAX_FILES) {
        names.extend(entry.map_err(fail)?.file_name().into_string().ok());
    }
    Ok(names)
}

fn hashed(path: &Path) -> Outcome<Digest> {
    let fail = |e| Trouble::refused(format!("read {}", path.display())).because(e);
    let mut file = File::open(path).map_err(fail)?;
    digest_of(&mut file).map(|(digest, _)| digest).map_err(fail)
}

fn sum_of(path: &Path) -> Outcome<String> {
    let fail = |e| Trouble::refused(format!("read {}", path.display())).because(e);
    let mut sum = Sum512::default();
    copy(&mut File::open(path).map_err(fail)?, &mut sum).map_err(fail)?;
    Ok(sum.hex())
}

pub(in crate::cli) fn text(path: &Path) -> Outcome<String> {
    let fail = |e| Trouble::refused(format!("read {}", path.display())).because(e);
    let mut text = String::new();
    File::open(path).map_err(fail)?.take(MAX_TEXT_BYTES).read_to_string(&mut text).map_err(fail)?;
    Ok(text)
}
