//! What a commit holds: its files, what changed in them, and all of them in a fresh folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use git2::{ErrorCode, Oid, Tree};

use super::repo::{Mirror, failed, text};
use crate::domain::name::CommitSha;
use crate::folder::{self, Access, Fresh, Limits, MAX_DEPTH, Rules, Tally, shown};
use crate::trouble::{Outcome, Trouble};

/// Largest file that is read from a repository: a blob is held in memory whole, and hosts stop at 100 MiB.
const MAX_BLOB_BYTES: u64 = 256 * 1024 * 1024;

/// Which paths differ between two commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// These, both names of a file that was renamed among them.
    Paths(BTreeSet<String>),
    /// More than were asked for: take it that every path changed.
    TooMany,
}

/// An entry of a tree.
#[derive(Clone, Copy)]
enum Node {
    Folder,
    File { executable: bool },
    Link,
    Submodule,
}

/// What is done with each path, what it is and its object.
type Visit<'a> = dyn FnMut(&[u8], Node, Oid) -> Outcome<()> + 'a;

/// One folder's entry of some name, by object and mode.
type Side = Option<(Oid, i32)>;

/// Git's mode of a folder.
const FOLDER: i32 = 0o040_000;

/// Differences so far.
struct Found {
    paths: BTreeSet<String>,
    seen: usize,
    max: usize,
}

impl Found {
    fn is_full(&self) -> bool {
        self.seen > self.max
    }
}

impl Mirror {
    /// A file's content at a commit; none when there is no such path. Links and folders are refused, not followed.
    pub fn read_file(&self, commit: &CommitSha, path: &str, max_bytes: u64) -> Outcome<Option<Vec<u8>>> {
        let what = || format!("read `{}` at {}", shown(path.as_bytes()), commit.short());
        if path.is_empty() || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(Trouble::refused(format!(
                "`{}` is not a path in a repository",
                shown(path.as_bytes())
            )));
        }
        let entry = match self.tree_of(commit)?.get_path(Path::new(path)) {
            Ok(entry) => entry,
            Err(e) if e.code() == ErrorCode::NotFound => return Ok(None),
            Err(e) => return Err(failed(what(), e)),
        };
        match node(path.as_bytes(), entry.filemode())? {
            Node::File { .. } => self.blob(path.as_bytes(), entry.id(), max_bytes).map(Some),
            Node::Folder | Node::Link | Node::Submodule => Err(Trouble::refused(format!(
                "`{}` at {} is not a file",
                shown(path.as_bytes()),
                commit.short()
            ))),
        }
    }

    /// The paths of all files and links at a commit, sorted as git sorts them; more than `max` entries, folders
    /// counted too, are refused.
    pub fn list_files(&self, commit: &CommitSha, max: usize) -> Outcome<Vec<String>> {
        let mut paths = Vec::new();
        let mut seen = 0;
        self.walk(&self.tree_of(commit)?, &mut Vec::new(), 0, &mut |path, node, _| {
            seen += 1;
            if seen > max {
                return Err(Trouble::refused(format!(
                    "{} has more than {max} files and folders",
                    commit.short()
                )));
            }
            match node {
                Node::File { .. } | Node::Link => paths.push(text(path)),
                Node::Folder | Node::Submodule => {}
            }
            Ok(())
        })?;
        Ok(paths)
    }

    /// The paths that differ between two commits; without an old one, every path of the new.
    ///
    /// Renames are not looked for: a renamed file is one path gone and one come, and both are answered. `max`
    /// counts folders too, so that a small tree that unfolds without end is left early.
    pub fn changed_paths(&self, old: Option<&CommitSha>, new: &CommitSha, max: usize) -> Outcome<Changed> {
        let old = old.map(|c| self.tree_of(c)).transpose()?;
        let new = self.tree_of(new)?;
        let mut found = Found { paths: BTreeSet::new(), seen: 0, max };
        self.differ((old.as_ref(), Some(&new)), &mut Vec::new(), 0, &mut found)?;
        Ok(if found.is_full() { Changed::TooMany } else { Changed::Paths(found.paths) })
    }

    /// Lays a commit's files out in a new folder, writable, with the commit's time, without `.git`.
    ///
    /// Content comes from the object store, so no filter, attribute or hook runs; submodules become empty
    /// folders. Names and links that lead elsewhere are refused (THREATS T41).
    pub fn export_tree(&self, commit: &CommitSha, to: &Path, limits: Limits) -> Outcome<Tally> {
        let mtime_s = self.commit(commit)?.time().seconds();
        let tree = self.tree_of(commit)?;
        let mut fresh = Fresh::create(to, Rules { limits, access: Access::Writable, mtime_s })?;
        self.walk(&tree, &mut Vec::new(), 0, &mut |path, node, id| {
            if poses_as_git(path.rsplit(|b| *b == b'/').next().unwrap_or(path)) {
                return Err(Trouble::refused(format!(
                    "`{}` poses as git's own folder; remove it from the repository",
                    shown(path)
                )));
            }
            match node {
                Node::Folder | Node::Submodule => fresh.folder(path),
                Node::File { executable } => {
                    let content = self.blob(path, id, limits.max_bytes)?;
                    let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
                    fresh.file(path, executable, size, &mut &content[..])
                }
                Node::Link => fresh.link(path, &self.blob(path, id, limits.max_bytes)?),
            }
        })?;
        fresh.finish()
    }

    fn tree_of(&self, commit: &CommitSha) -> Outcome<Tree<'_>> {
        self.commit(commit)?.tree().map_err(|e| failed(format!("read the files of {}", commit.short()), e))
    }

    /// Gives `visit` every entry with its path, a folder before what it holds.
    fn walk(&self, tree: &Tree<'_>, path: &mut Vec<u8>, depth: usize, visit: &mut Visit<'_>) -> Outcome<()> {
        if depth > MAX_DEPTH {
            return Err(folder::too_deep(path));
        }
        let length = path.len();
        for entry in tree {
            if length > 0 {
                path.push(b'/');
            }
            // A name with a slash would be a path; `Fresh` refuses the other names that are not names.
            if entry.name_bytes().contains(&b'/') {
                return Err(Trouble::refused(format!("`{}` is not a name", shown(entry.name_bytes()))));
            }
            path.extend_from_slice(entry.name_bytes());
            let node = node(path, entry.filemode())?;
            visit(path, node, entry.id())?;
            if matches!(node, Node::Folder) {
                let inner = self.folder_of(entry.id(), path)?;
                self.walk(&inner, path, depth + 1, visit)?;
            }
            path.truncate(length);
        }
        Ok(())
    }

    /// Collects the paths of files, links and submodules that two folders do not have alike.
    fn differ(
        &self,
        (old, new): (Option<&Tree<'_>>, Option<&Tree<'_>>),
        path: &mut Vec<u8>,
        depth: usize,
        found: &mut Found,
    ) -> Outcome<()> {
        if depth > MAX_DEPTH {
            return Err(folder::too_deep(path));
        }
        let length = path.len();
        for (name, sides) in both(old, new) {
            if sides.0 == sides.1 || found.is_full() {
                continue;
            }
            found.seen += 1;
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            let folder = |side: Side| -> Outcome<Option<Tree<'_>>> {
                side.filter(|(_, mode)| *mode == FOLDER).map(|(id, _)| self.folder_of(id, path)).transpose()
            };
            let folders = (folder(sides.0)?, folder(sides.1)?);
            if [sides.0, sides.1].into_iter().flatten().any(|(_, mode)| mode != FOLDER) {
                found.paths.insert(text(path));
            }
            if folders.0.is_some() || folders.1.is_some() {
                self.differ((folders.0.as_ref(), folders.1.as_ref()), path, depth + 1, found)?;
            }
            path.truncate(length);
        }
        Ok(())
    }

    fn folder_of(&self, id: Oid, path: &[u8]) -> Outcome<Tree<'_>> {
        self.repo.find_tree(id).map_err(|e| failed(format!("read the folder `{}`", shown(path)), e))
    }

    /// A blob's content, its size asked before it is read.
    fn blob(&self, path: &[u8], id: Oid, max_bytes: u64) -> Outcome<Vec<u8>> {
        let fail = |e| failed(format!("read `{}`", shown(path)), e);
        let (size, _) = self.repo.odb().and_then(|odb| odb.read_header(id)).map_err(fail)?;
        let max = max_bytes.min(MAX_BLOB_BYTES);
        if u64::try_from(size).unwrap_or(u64::MAX) > max {
            return Err(Trouble::refused(format!("`{}` has {size} bytes, more than {max}", shown(path))));
        }
        Ok(self.repo.find_blob(id).map_err(fail)?.content().to_vec())
    }
}

/// The entries of two folders side by side, by name.
fn both(old: Option<&Tree<'_>>, new: Option<&Tree<'_>>) -> BTreeMap<Vec<u8>, (Side, Side)> {
    let mut names: BTreeMap<Vec<u8>, (Side, Side)> = BTreeMap::new();
    for entry in old.into_iter().flat_map(Tree::iter) {
        names.entry(entry.name_bytes().to_vec()).or_default().0 = Some((entry.id(), entry.filemode()));
    }
    for entry in new.into_iter().flat_map(Tree::iter) {
        names.entry(entry.name_bytes().to_vec()).or_default().1 = Some((entry.id(), entry.filemode()));
    }
    names
}

/// What a git file mode means.
fn node(path: &[u8], mode: i32) -> Outcome<Node> {
    match mode {
        FOLDER => Ok(Node::Folder),
        0o100_644 => Ok(Node::File { executable: false }),
        0o100_755 => Ok(Node::File { executable: true }),
        0o120_000 => Ok(Node::Link),
        0o160_000 => Ok(Node::Submodule),
        other => Err(Trouble::refused(format!("`{}` has the unknown git mode {other:o}", shown(path)))),
    }
}

/// True for `.git` and for every name some file system takes for it: other case, `git~1`, trailing dots and spaces,
/// a stream after `:`, and the code points that HFS+ ignores.
fn poses_as_git(name: &[u8]) -> bool {
    let name = text(name);
    let plain: String = name
        .chars()
        .take_while(|c| *c != ':')
        .filter(|c| !matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}'))
        .collect();
    let plain = plain.trim_end_matches([' ', '.']).to_ascii_lowercase();
    plain == ".git"
        || plain.strip_prefix("git~").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests;
