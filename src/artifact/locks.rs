//! The lock files of a tree as a build has left it: looked for through no link, and as hostile as all that it left.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

use super::pack::{READ, descend};
use crate::domain::sbom::lock::{is_foreign, is_lock};
use crate::domain::sbom::tree::Locks;
use crate::folder::{MAX_DEPTH, shown};
use crate::trouble::Outcome;

/// Files and folders that are looked at: as many as a tree may have that is exported or packed.
const MAX_PATHS: u64 = 500_000;
/// What marks a folder whose content its tool can make again (<https://bford.info/cachedir/>): a `target` of Cargo, a
/// registry, a virtual environment. Lock files in there are other people's, or copies.
const CACHE_MARK: &[u8] = b"CACHEDIR.TAG";

/// The lock files of the tree; what cannot be read is among them as missed, since a build may leave anything.
pub fn of_tree(tree: &Path) -> Outcome<Locks> {
    let root = descend(tree, Path::new(""))?;
    let mut walk = Walk { locks: Locks::default(), path: String::new(), seen: 0 };
    walk.folder(&root, 0);
    if walk.seen > MAX_PATHS {
        walk.locks.miss("the rest of the tree", &format!("it has more than {MAX_PATHS} files and folders"));
    }
    Ok(walk.locks)
}

struct Walk {
    locks: Locks,
    /// The folder, with `/` at its end, or the file that is looked at.
    path: String,
    seen: u64,
}

impl Walk {
    fn folder(&mut self, folder: &OwnedFd, depth: usize) {
        if depth > MAX_DEPTH {
            let path = self.path.clone();
            return self.locks.miss(&path, &format!("it is nested more than {MAX_DEPTH} deep"));
        }
        let names = match self.names(folder) {
            Ok(names) => names,
            Err(e) => {
                let path = self.path.clone();
                return self.locks.miss(&path, &io::Error::from(e).to_string());
            }
        };
        if names.iter().any(|name| name.to_bytes() == CACHE_MARK) {
            return;
        }
        for name in names {
            let length = self.path.len();
            self.path.push_str(&shown(name.to_bytes()));
            if let Err(why) = self.entry(folder, &name, depth) {
                let path = self.path.clone();
                self.locks.miss(&path, &why.to_string());
            }
            self.path.truncate(length);
        }
    }

    /// In the order of their bytes; what is in a folder beyond the limit is not even listed.
    fn names(&mut self, folder: &OwnedFd) -> rustix::io::Result<Vec<CString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            self.seen = self.seen.saturating_add(1);
            if self.seen > MAX_PATHS {
                break;
            }
            names.push(entry.file_name().to_owned());
        }
        names.sort();
        Ok(names)
    }

    fn entry(&mut self, folder: &OwnedFd, name: &CString, depth: usize) -> io::Result<()> {
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if is_foreign(&String::from_utf8_lossy(name.to_bytes())) => Ok(()),
            FileType::Directory => {
                let inner = rustix::fs::openat(folder, name, READ | OFlags::DIRECTORY, Mode::empty())?;
                self.path.push('/');
                self.folder(&inner, depth.saturating_add(1));
                Ok(())
            }
            FileType::RegularFile if is_lock(&self.path) => self.file(folder, name),
            FileType::Symlink if is_lock(&self.path) => {
                Err(io::Error::other("it is a link, and none is followed"))
            }
            FileType::RegularFile
            | FileType::Symlink
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => Ok(()),
        }
    }

    fn file(&mut self, folder: &OwnedFd, name: &CString) -> io::Result<()> {
        let Some(most) = self.locks.room(&self.path) else { return Ok(()) };
        let file = rustix::fs::openat(folder, name, READ, Mode::empty())?;
        // Asked again of the handle: between the two looks the name may have come to mean something else.
        if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("it is no longer a file"));
        }
        let mut content = Vec::new();
        File::from(file).take(most.saturating_add(1)).read_to_end(&mut content)?;
        if u64::try_from(content.len()).is_ok_and(|bytes| bytes > most) {
            return Err(io::Error::other(format!(
                "it has more than the {most} bytes that there is room for"
            )));
        }
        self.locks.take(&self.path, content);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test makes files of its own")]
    use std::os::unix::fs::symlink;

    use super::*;

    fn read(tree: &Path) -> (Vec<String>, Vec<(String, String)>) {
        let found = of_tree(tree).unwrap().found();
        (found.read, found.unread)
    }

    #[test]
    fn the_lock_files_of_a_built_tree_are_found_and_those_of_caches_and_of_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path();
        for path in [
            "requirements.txt",
            "web/requirements.txt",
            "web/node_modules/a/requirements.txt",
            "venv/lib/site-packages/b/requirements.txt",
            ".git/requirements.txt",
            "target/package/requirements.txt",
            "target/CACHEDIR.TAG",
        ] {
            std::fs::create_dir_all(tree.join(path).parent().unwrap()).unwrap();
            std::fs::write(tree.join(path), "six==1.16.0\n").unwrap();
        }
        assert_eq!(
            read(tree),
            (vec!["requirements.txt".to_owned(), "web/requirements.txt".to_owned()], vec![])
        );
    }

    #[test]
    fn t43_what_a_build_laid_out_as_a_lock_file_is_neither_followed_nor_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        std::fs::create_dir_all(tree.join("a")).unwrap();
        std::fs::write(folder.path().join("secret"), "six==1.16.0\n").unwrap();
        symlink(folder.path().join("secret"), tree.join("a/requirements.txt")).unwrap();
        symlink(folder.path(), tree.join("linked")).unwrap();
        std::fs::create_dir_all(folder.path().join("Cargo.lock")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, tree.join("go.mod"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        std::fs::create_dir_all(tree.join("poetry.lock/b")).unwrap();
        std::fs::write(tree.join("poetry.lock/b/requirements.txt"), "six==1.17.0\n").unwrap();
        let large = vec![b'#'; 17 * 1024 * 1024];
        std::fs::write(tree.join("requirements.txt"), large).unwrap();
        let (found, missed) = read(&tree);
        assert_eq!(found, ["poetry.lock/b/requirements.txt"]);
        let missed: Vec<String> = missed.into_iter().map(|(path, why)| format!("{path}: {why}")).collect();
        assert_eq!(
            missed,
            [
                "a/requirements.txt: it is a link, and none is followed",
                "requirements.txt: it has more than the 16777216 bytes that there is room for"
            ]
        );
    }
}
