//! `checksum`: every list of checksums among the files is right, as `sha256sum --check` and `sha512sum --check` say.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use sha2::{Sha256, Sha512};

use super::{Item, Verdict, open};
use crate::domain::name::printable;
use crate::trouble::{Outcome, Trouble};

/// Largest list that is read: some hundred thousand lines.
const MAX_LIST_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes that are hashed at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// Looks at every list.
pub(super) fn look(items: &[Item]) -> Outcome<Verdict> {
    let mut verdict = Verdict::default();
    for item in items.iter().filter(|item| is_list(&item.path)) {
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        let text = text(item)?;
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let mut any = false;
        for line in lines {
            any = true;
            if let Err(why) = check(item, line)? {
                verdict.problem(item, why);
            }
        }
        if !any {
            verdict.problem(item, "it is empty");
        }
    }
    Ok(verdict)
}

/// Whether it is called as lists of checksums are.
pub(super) fn is_list(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
    let named = ["sha256sums", "sha512sums", "sha256sums.txt", "sha512sums.txt", "checksums.txt"];
    named.contains(&name.as_str()) || name.ends_with(".sha256") || name.ends_with(".sha512")
}

fn text(item: &Item) -> Outcome<String> {
    let mut text = String::new();
    let read = open(item)?.take(MAX_LIST_BYTES).read_to_string(&mut text);
    read.map_err(|e| Trouble::refused(format!("{} is no list of checksums", item.shown)).because(e))?;
    Ok(text)
}

/// One line, `<hex>  <name>` or a digest alone beside the file it is of; the inner error is what is wrong.
fn check(list: &Item, line: &str) -> Outcome<Result<(), String>> {
    let (hex, name) = parts(list, line);
    let known = matches!(hex.len(), 64 | 128) && hex.bytes().all(|b| b.is_ascii_hexdigit());
    if !known {
        return Ok(Err("a line of it is no checksum".to_owned()));
    }
    let shown = printable(&name);
    let inside =
        Path::new(&name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if name.is_empty() || !inside {
        return Ok(Err(format!("`{shown}` is not a file beside it")));
    }
    let path = list.path.parent().unwrap_or(Path::new(".")).join(&name);
    let is_file = std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file());
    if !is_file {
        return Ok(Err(format!("`{shown}` is not there")));
    }
    let item = Item { path, shown: shown.clone() };
    let found = if hex.len() == 64 { hashed::<Sha256>(&item)? } else { hashed::<Sha512>(&item)? };
    Ok(if found.eq_ignore_ascii_case(&hex) { Ok(()) } else { Err(format!("`{shown}` is another one")) })
}

/// The lines of lists by the file that each is about.
pub(super) struct Lists<'i>(BTreeMap<PathBuf, Vec<(&'i Item, String)>>);

impl<'i> Lists<'i> {
    /// Reads every list among the files.
    pub(super) fn of(items: &'i [Item]) -> Outcome<Self> {
        let mut lines: BTreeMap<PathBuf, Vec<(&Item, String)>> = BTreeMap::new();
        for list in items.iter().filter(|item| is_list(&item.path)) {
            let folder = list.path.parent().unwrap_or(Path::new("."));
            for line in text(list)?.lines().filter(|line| !line.trim().is_empty()) {
                let (_, name) = parts(list, line);
                let named: PathBuf =
                    Path::new(&name).components().filter(|part| *part != Component::CurDir).collect();
                lines.entry(folder.join(named)).or_default().push((list, line.to_owned()));
            }
        }
        Ok(Self(lines))
    }

    /// Why no list is right about a file.
    pub(super) fn wrong(&self, item: &Item) -> Outcome<Option<String>> {
        let Some(lines) = self.0.get(&item.path) else {
            return Ok(Some("no list of checksums names it".to_owned()));
        };
        for (list, line) in lines {
            if let Err(why) = check(list, line)? {
                return Ok(Some(format!("{}: {why}", list.name())));
            }
        }
        Ok(None)
    }
}

/// What a line says, and of which file.
fn parts(list: &Item, line: &str) -> (String, String) {
    match line.trim().split_once([' ', '\t']) {
        Some((hex, name)) => (hex.to_owned(), name.trim_start_matches([' ', '\t', '*']).to_owned()),
        None => (line.trim().to_owned(), beside(&list.path)),
    }
}

/// `app.zip.sha256` → `app.zip`.
fn beside(list: &Path) -> String {
    list.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

fn hashed<D: sha2::Digest>(item: &Item) -> Outcome<String> {
    let mut file = open(item)?;
    let mut hasher = D::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = file.read(&mut chunk);
        let read = read.map_err(|e| Trouble::transient(format!("read {}", item.shown)).because(e))?;
        if read == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(chunk.get(..read).unwrap_or_default());
    }
}
