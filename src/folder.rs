//! Folders made from what others wrote: a fresh folder that nothing can leave, its limits, and its removal.
//!
//! Artifacts are unpacked and git trees exported through [`Fresh`], so both obey one set of rules (THREATS T41,
//! T43): every step goes through a folder handle that refuses links, so nothing is ever written through one.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Timespec, Timestamps, fchmod, futimens};

use crate::domain::name::printable;
use crate::trouble::{Outcome, Trouble};

/// How much a folder may hold when it is packed, unpacked or exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries of every kind: files, folders and links.
    pub max_files: u64,
    /// Bytes of all files together.
    pub max_bytes: u64,
}

/// What a folder holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries of every kind, the folder itself not counted.
    pub files: u64,
    /// Bytes of all files together.
    pub bytes: u64,
}

impl Tally {
    /// Counts one more entry of this size, or says which limit it breaks.
    pub fn add(&mut self, bytes: u64, limits: Limits) -> Outcome<()> {
        self.files = self.files.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.files > limits.max_files {
            return Err(Trouble::refused(format!(
                "the folder has more than {} files; leave out what is not shipped, or raise the limit of files",
                limits.max_files
            )));
        }
        if self.bytes > limits.max_bytes {
            return Err(Trouble::refused(format!(
                "the folder has more than {} bytes; leave out what is not shipped, or raise the limit of bytes",
                limits.max_bytes
            )));
        }
        Ok(())
    }
}

/// Deepest nesting of folders: each level holds one handle, and a process usually has 1024.
pub const MAX_DEPTH: usize = 200;

/// True when a link that lies `depth` folders below the root stays inside it, whatever else the root holds.
///
/// `..` may only come first: after a name it would step back from wherever another link led.
pub fn link_stays_inside(depth: usize, target: &[u8]) -> bool {
    if target.is_empty() || target.starts_with(b"/") || target.contains(&0) {
        return false;
    }
    let mut ups = 0;
    let mut named = false;
    for part in target.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." if named => return false,
            b".." => ups += 1,
            _ => named = true,
        }
    }
    ups <= depth
}

/// Makes a folder of ours, and those above it.
pub fn make(path: &Path) -> Outcome<()> {
    std::fs::create_dir_all(path)
        .map_err(|e| Trouble::transient(format!("make the folder {}", path.display())).because(e))
}

/// Who may write in a finished folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nobody: files are 0444 or 0555, folders 0555.
    ReadOnly,
    /// The owner: files are 0644 or 0755, folders 0755.
    Writable,
}

impl Access {
    /// The permissions of a file.
    pub fn of_file(self, executable: bool) -> u32 {
        match (self, executable) {
            (Self::ReadOnly, false) => 0o444,
            (Self::ReadOnly, true) => 0o555,
            (Self::Writable, false) => 0o644,
            (Self::Writable, true) => 0o755,
        }
    }

    fn folder(self) -> Mode {
        Mode::from_raw_mode(match self {
            Self::ReadOnly => 0o555,
            Self::Writable => 0o755,
        })
    }
}

/// How a fresh folder is filled.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How much it may hold.
    pub limits: Limits,
    /// Who may write in it when it is finished.
    pub access: Access,
    /// The one modification time of everything in it, in seconds since 1970.
    pub mtime_s: i64,
}

/// A folder that did not exist before and is filled entry by entry; dropped before [`Fresh::finish`], it is
/// removed.
///
/// Paths are relative, with `/` between names; a folder comes before what lies in it.
#[derive(Debug)]
pub struct Fresh {
    path: PathBuf,
    root: OwnedFd,
    rules: Rules,
    tally: Tally,
    folders: Vec<Vec<u8>>,
    /// The folder written to last, since neighbours come in a row.
    last: Option<(Vec<u8>, OwnedFd)>,
    finished: bool,
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Fresh {
    /// Makes the folder; the one above it exists, the folder itself does not.
    pub fn create(path: &Path, rules: Rules) -> Outcome<Self> {
        let fail = |e: io::Error| {
            if e.kind() == io::ErrorKind::AlreadyExists {
                Trouble::conflict(format!("{} exists already", path.display()))
            } else {
                Trouble::transient(format!("make the folder {}", path.display())).because(e)
            }
        };
        std::fs::create_dir(path).map_err(fail)?;
        let root = rustix::fs::open(path, FOLDER, Mode::empty()).map_err(|e| fail(e.into()))?;
        Ok(Self {
            path: path.to_owned(),
            root,
            rules,
            tally: Tally::default(),
            folders: Vec::new(),
            last: None,
            finished: false,
        })
    }

    /// Adds a folder.
    pub fn folder(&mut self, path: &[u8]) -> Outcome<()> {
        self.tally.add(0, self.rules.limits)?;
        let (parent, name) = self.place(path)?;
        rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700)).map_err(|e| failed(path, e))?;
        self.folders.push(path.to_owned());
        Ok(())
    }

    /// Adds a file of exactly `size` bytes.
    pub fn file(&mut self, path: &[u8], executable: bool, size: u64, content: &mut dyn Read) -> Outcome<()> {
        self.tally.add(size, self.rules.limits)?;
        let (parent, name) = self.place(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600))
            .map_err(|e| failed(path, e))?;
        let mut file = File::from(file);
        let fail = |e: io::Error| Trouble::transient(format!("write `{}`", shown(path))).because(e);
        let written = io::copy(&mut content.take(size), &mut file).map_err(fail)?;
        if written != size {
            return Err(Trouble::refused(format!("`{}` ends after {written} of {size} bytes", shown(path))));
        }
        file.flush().map_err(fail)?;
        self.seal(&file, Mode::from_raw_mode(self.rules.access.of_file(executable)))
            .map_err(|e| failed(path, e))
    }

    /// Adds a symbolic link; one that leaves the folder is refused.
    pub fn link(&mut self, path: &[u8], target: &[u8]) -> Outcome<()> {
        self.tally.add(0, self.rules.limits)?;
        let depth = path.split(|b| *b == b'/').count().saturating_sub(1);
        if !link_stays_inside(depth, target) {
            return Err(leaves(path, target));
        }
        let times = self.times();
        let (parent, name) = self.place(path)?;
        rustix::fs::symlinkat(target, parent, name)
            .and_then(|()| rustix::fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW))
            .map_err(|e| failed(path, e))
    }

    /// Sets the final modes and times of the folders, deepest first, and answers what the folder holds.
    pub fn finish(mut self) -> Outcome<Tally> {
        let mode = self.rules.access.folder();
        self.last = None;
        for path in std::mem::take(&mut self.folders).iter().rev() {
            let folder = self.open(path)?;
            self.seal(&folder, mode).map_err(|e| failed(path, e))?;
        }
        self.seal(&self.root, mode).map_err(|e| failed(b".", e))?;
        self.finished = true;
        Ok(self.tally)
    }

    fn seal(&self, fd: impl std::os::fd::AsFd, mode: Mode) -> rustix::io::Result<()> {
        fchmod(&fd, mode)?;
        futimens(&fd, &self.times())
    }

    fn times(&self) -> Timestamps {
        let time = Timespec { tv_sec: self.rules.mtime_s, tv_nsec: 0 };
        Timestamps { last_access: time, last_modification: time }
    }

    /// The handle of the folder a path lies in, and the last name of the path.
    fn place<'a>(&mut self, path: &'a [u8]) -> Outcome<(&OwnedFd, &'a [u8])> {
        let mut parts = path.rsplitn(2, |b| *b == b'/');
        let name = parts.next().unwrap_or_default();
        path.split(|b| *b == b'/').try_for_each(|part| check_name(path, part))?;
        let Some(above) = parts.next() else { return Ok((&self.root, name)) };
        if self.last.as_ref().is_none_or(|(path, _)| path != above) {
            self.last = Some((above.to_owned(), self.open(above)?));
        }
        Ok((self.last.as_ref().map_or(&self.root, |(_, folder)| folder), name))
    }

    /// Opens a folder below the root name by name, so that a link on the way is refused.
    fn open(&self, path: &[u8]) -> Outcome<OwnedFd> {
        let mut folder: Option<OwnedFd> = None;
        for (depth, name) in path.split(|b| *b == b'/').enumerate() {
            if depth >= MAX_DEPTH {
                return Err(too_deep(path));
            }
            let next = rustix::fs::openat(folder.as_ref().unwrap_or(&self.root), name, FOLDER, Mode::empty())
                .map_err(|e| failed(path, e))?;
            folder = Some(next);
        }
        folder.ok_or_else(|| Trouble::refused("an entry has no name"))
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.finished {
            remove(&self.path).unwrap_or_default();
        }
    }
}

/// A path as messages show it.
pub fn shown(path: &[u8]) -> String {
    printable(&String::from_utf8_lossy(path))
}

/// The refusal of a link that leaves its folder.
pub fn leaves(path: &[u8], target: &[u8]) -> Trouble {
    Trouble::refused(format!(
        "the link `{}` points to `{}`, outside its folder; make it relative, with `..` only at its beginning",
        shown(path),
        shown(target)
    ))
}

/// The refusal of nesting beyond [`MAX_DEPTH`].
pub fn too_deep(path: &[u8]) -> Trouble {
    Trouble::refused(format!("`{}` lies more than {MAX_DEPTH} folders deep", shown(path)))
}

fn check_name(path: &[u8], name: &[u8]) -> Outcome<()> {
    if matches!(name, b"" | b"." | b"..") || name.contains(&0) {
        return Err(Trouble::refused(format!("`{}` is not a path inside the folder", shown(path))));
    }
    Ok(())
}

/// What the operating system's answer means for an entry of this path.
fn failed(path: &[u8], e: rustix::io::Errno) -> Trouble {
    let text = shown(path);
    match e {
        rustix::io::Errno::EXIST => Trouble::refused(format!("`{text}` is there twice")),
        rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP => {
            Trouble::refused(format!("`{text}` would be written through something that is not a folder"))
        }
        rustix::io::Errno::NOENT => Trouble::refused(format!("`{text}` comes before its folder")),
        rustix::io::Errno::NAMETOOLONG => Trouble::refused(format!("`{text}` is too long a name here")),
        other => Trouble::transient(format!("write `{text}`")).because(io::Error::from(other)),
    }
}

/// Removes a folder with all it holds, also a read-only one, following no link; one that is not there is fine.
pub fn remove(path: &Path) -> Outcome<()> {
    let fail = |e: io::Error| Trouble::transient(format!("remove the folder {}", path.display())).because(e);
    match rustix::fs::open(path, FOLDER, Mode::empty()) {
        Ok(root) => open_up(&root, 0).map_err(|e| fail(e.into()))?,
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(e) => return Err(fail(e.into())),
    }
    std::fs::remove_dir_all(path).map_err(fail)
}

/// Makes every folder writable for its owner, which removing what is in it takes.
fn open_up(folder: &OwnedFd, depth: usize) -> rustix::io::Result<()> {
    fchmod(folder, Mode::RWXU)?;
    // Below the deepest folder that may hold something there may be empty ones.
    if depth > MAX_DEPTH + 1 {
        return Err(rustix::io::Errno::NAMETOOLONG);
    }
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode;
        if FileType::from_raw_mode(kind) == FileType::Directory {
            open_up(&rustix::fs::openat(folder, name, FOLDER, Mode::empty())?, depth + 1)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn rules(access: Access) -> Rules {
        Rules { limits: Limits { max_files: 10, max_bytes: 100 }, access, mtime_s: 1_700_000_000 }
    }

    #[test]
    fn t41_a_link_stays_inside_or_is_refused() {
        for (depth, target) in
            [(0, "a"), (0, "./a//b"), (1, "../a"), (2, "../.."), (0, "."), (1, "../.bin/x"), (0, "...")]
        {
            assert!(link_stays_inside(depth, target.as_bytes()), "{depth} {target}");
        }
        for (depth, target) in [
            (0, ".."),
            (0, "/etc/passwd"),
            (1, "../../x"),
            (2, "l/../../x"),
            (0, ""),
            (5, "a/.."),
            (0, "a\0b"),
        ] {
            assert!(!link_stays_inside(depth, target.as_bytes()), "{depth} {target}");
        }
    }

    #[test]
    fn a_fresh_folder_is_finished_read_only_with_one_time_and_can_be_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let mut fresh = Fresh::create(&path, rules(Access::ReadOnly)).unwrap();
        fresh.folder(b"a").unwrap();
        fresh.file(b"a/run", true, 2, &mut &b"hi"[..]).unwrap();
        fresh.file(b"b", false, 0, &mut &b""[..]).unwrap();
        fresh.link(b"a/l", b"../b").unwrap();
        assert_eq!(fresh.finish().unwrap(), Tally { files: 4, bytes: 2 });
        for (name, mode) in [("", 0o555), ("a", 0o555), ("a/run", 0o555), ("b", 0o444)] {
            let meta = std::fs::metadata(path.join(name)).unwrap();
            assert_eq!(meta.permissions().mode() & 0o7777, mode, "{name}");
            assert_eq!(std::os::unix::fs::MetadataExt::mtime(&meta), 1_700_000_000, "{name}");
        }
        assert_eq!(std::fs::read_link(path.join("a/l")).unwrap(), Path::new("../b"));
        assert!(Fresh::create(&path, rules(Access::Writable)).is_err());
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn t43_a_fresh_folder_writes_nothing_through_a_link_and_nothing_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let mut fresh = Fresh::create(&path, rules(Access::Writable)).unwrap();
        fresh.folder(b"real").unwrap();
        fresh.link(b"l", b"real").unwrap();
        for bad in ["l/x", "../x", "/x", "real/../x", "real//x", "", ".", "l", "real", "absent/x", "l\0"] {
            let error = fresh.file(bad.as_bytes(), false, 0, &mut &b""[..]).unwrap_err();
            assert_eq!(error.kind(), crate::trouble::Kind::Refused, "{bad}: {}", error.chain());
        }
        drop(fresh);
        assert!(!path.exists(), "an unfinished folder is removed");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn t43_limits_of_files_and_bytes_hold() {
        let dir = tempfile::tempdir().unwrap();
        let mut fresh = Fresh::create(&dir.path().join("out"), rules(Access::Writable)).unwrap();
        let error = fresh.file(b"big", false, 101, &mut io::repeat(0)).unwrap_err();
        assert!(error.to_string().contains("more than 100 bytes"), "{error}");
        let mut fresh = Fresh::create(&dir.path().join("two"), rules(Access::Writable)).unwrap();
        for n in 0..10 {
            fresh.folder(format!("{n}").as_bytes()).unwrap();
        }
        assert!(fresh.folder(b"11").unwrap_err().to_string().contains("more than 10 files"));
    }

    #[test]
    fn a_short_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut fresh = Fresh::create(&dir.path().join("out"), rules(Access::Writable)).unwrap();
        let error = fresh.file(b"f", false, 5, &mut &b"abc"[..]).unwrap_err();
        assert!(error.to_string().contains("ends after 3 of 5 bytes"), "{error}");
    }
}
