//! Archives of other builders: a zip is laid out in a fresh folder, within bounds, before its content is sealed.
//!
//! Anybody may have written it: names that lead elsewhere, names twice, links out of the folder and more bytes than the
//! directory says are refused by [`Fresh`] and here, never skipped (THREATS T43).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use zip::read::ZipFile;
use zip::result::ZipError;

use crate::folder::{Access, Fresh, Limits, Rules, Tally, shown};
use crate::trouble::{Outcome, Trouble};
use crate::zipped::{self, Sparing, Unopened};

/// Longest target of a link: what Linux allows a path to be.
const LONGEST_LINK: u64 = 4096;

/// Lays the content of the zip archive out in a folder that must not exist.
pub fn unzip(archive: &Path, to: &Path, limits: Limits) -> Outcome<Tally> {
    let file = File::open(archive).map_err(|e| Trouble::transient("open an archive").because(e))?;
    let mut zip = zipped::open(file).map_err(|unopened| match unopened {
        Unopened::NoZip(error) => unreadable(error),
        Unopened::TooLarge => Trouble::refused(format!("the archive cannot be read: {}", unopened.word())),
    })?;
    let rules = Rules { limits, access: Access::Writable, mtime_s: 0 };
    let mut tree = Tree { fresh: Fresh::create(to, rules)?, folders: BTreeSet::new() };
    for no in 0..zip.len() {
        tree.add(&mut zip.by_index(no).map_err(unreadable)?)?;
    }
    tree.fresh.finish()
}

/// What has been laid out so far.
struct Tree {
    fresh: Fresh,
    folders: BTreeSet<Vec<u8>>,
}

impl Tree {
    fn add(&mut self, entry: &mut ZipFile<'_, Sparing>) -> Outcome<()> {
        let name = entry.name_raw().to_vec();
        let path = inside(&name)?;
        let above = path.iter().rposition(|b| *b == b'/').and_then(|at| path.get(..at));
        self.folder(above.unwrap_or_default())?;
        if entry.is_dir() {
            self.folder(path)
        } else if entry.is_symlink() {
            let mut target = Vec::new();
            entry.take(LONGEST_LINK + 1).read_to_end(&mut target).map_err(broken)?;
            self.fresh.link(path, &target)
        } else {
            let executable = entry.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
            let size = entry.size();
            self.fresh.file(path, executable, size, entry)?;
            // The checksum is looked at when the end is read.
            match entry.read(&mut [0]).map_err(broken)? {
                0 => Ok(()),
                _ => Err(Trouble::refused(format!("`{}` goes on after its {size} bytes", shown(path)))),
            }
        }
    }

    /// Archives need not list folders, and may list them after what is in them.
    fn folder(&mut self, path: &[u8]) -> Outcome<()> {
        let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            let part = path.get(..end).unwrap_or_default();
            if !part.is_empty() && self.folders.insert(part.to_vec()) {
                self.fresh.folder(part)?;
            }
        }
        Ok(())
    }
}

/// A name as a path below the folder; archives made on Windows are no exception, GitHub writes `/`.
fn inside(name: &[u8]) -> Outcome<&[u8]> {
    let path = name.strip_suffix(b"/").unwrap_or(name);
    if path.is_empty() || path.contains(&b'\\') {
        return Err(Trouble::refused(format!("the archive has an entry called `{}`", shown(name))));
    }
    Ok(path)
}

fn unreadable(error: ZipError) -> Trouble {
    if let ZipError::Io(error) = error {
        return broken(error);
    }
    Trouble::refused("the archive is no zip that can be read").because(error)
}

fn broken(error: io::Error) -> Trouble {
    Trouble::refused("the archive breaks off").because(error)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    use super::*;

    const LIMITS: Limits = Limits { max_files: 10, max_bytes: 1_000 };

    /// An archive with these files, unpacked; or why not.
    fn unpacked(entries: &[(&str, &str)], spoil: impl FnOnce(&mut Vec<u8>)) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let mut zip = ZipWriter::new(io::Cursor::new(Vec::new()));
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        for (name, content) in entries {
            if let Some(name) = name.strip_suffix('/') {
                zip.add_directory(name, stored).unwrap();
            } else if let Some(target) = content.strip_prefix("-> ") {
                zip.add_symlink(*name, target, stored).unwrap();
            } else {
                zip.start_file(*name, stored).unwrap();
                zip.write_all(content.as_bytes()).unwrap();
            }
        }
        let mut bytes = zip.finish().unwrap().into_inner();
        spoil(&mut bytes);
        let (archive, to) = (folder.path().join("a.zip"), folder.path().join("out"));
        super::super::file::write_synced(&archive, &bytes, 0o644).unwrap();
        let done = unzip(&archive, &to, LIMITS).map_err(|trouble| trouble.chain());
        if done.is_err() {
            assert!(!to.exists(), "nothing is left of what is refused");
        }
        done?;
        let mut found = Vec::new();
        for (name, _) in entries.iter().filter(|(name, _)| !name.ends_with('/')) {
            found.push(format!("{name}: {}", std::fs::read_to_string(to.join(name)).unwrap()));
        }
        Ok(found)
    }

    #[test]
    fn e19_an_archive_is_laid_out_with_its_folders_whether_listed_or_not() {
        let entries = [("bin/app", "x"), ("bin/", ""), ("a/b/c.txt", "y"), ("link", "-> bin/app")];
        assert_eq!(unpacked(&entries, |_| ()).unwrap(), ["bin/app: x", "a/b/c.txt: y", "link: x"]);
    }

    #[test]
    fn t43_an_archive_that_leaves_its_folder_lies_or_is_broken_is_refused() {
        let why = |entries: &[(&str, &str)]| unpacked(entries, |_| ()).unwrap_err();
        for bad in ["../evil", "/evil", "a//b", "a\\b", "a/../../evil", "./evil", "C:\\evil"] {
            let why = why(&[(bad, "x")]);
            assert!(why.contains("called") || why.contains("is not a path"), "{bad}: {why}");
        }
        let link = why(&[("link", "-> ../../etc/passwd")]);
        assert!(link.contains("outside its folder"), "{link}");
        let through = why(&[("link", "-> ."), ("link/evil", "x")]);
        assert!(through.contains("is there twice"), "{through}");
        let large = why(&[("large", &"x".repeat(1_001))]);
        assert!(large.contains("more than 1000 bytes"), "{large}");
        let many: Vec<(String, &str)> = (0..11).map(|no| (format!("f{no}"), "x")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(name, text)| (name.as_str(), *text)).collect();
        assert!(why(&many).contains("more than"), "{}", why(&many));
        let flipped = unpacked(&[("app", "content")], |bytes| {
            let at = bytes.windows(7).position(|w| w == b"content").unwrap();
            bytes[at] ^= 1;
        });
        assert!(flipped.unwrap_err().contains("breaks off"), "a flipped byte shows");
        let cut = unpacked(&[("app", "content")], |bytes| bytes.truncate(20)).unwrap_err();
        assert!(cut.contains("no zip"), "{cut}");
    }
}
