//! A folder of this machine: a file is written beside its place, synced, and given its name if nothing has it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use sha2::{Digest as _, Sha256};

use super::{Seen, Taken};
use crate::domain::name::Digest;
use crate::domain::publication::{Found, Item};
use crate::https::pieces::Content;
use crate::trouble::{Outcome, Trouble};

/// Bytes that are read at once.
const CHUNK: usize = 256 * 1024;

/// A folder with one folder for every version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
}

/// What a file is called until all of it is there; no name of a release begins so.
fn hidden(item: &Item) -> String {
    format!(".{}.part", item.name)
}

impl Folder {
    fn place(&self, version: &str, name: &str) -> PathBuf {
        self.path.join(version).join(name)
    }

    /// The file, or what was written beside its place.
    pub async fn look(&self, version: &str, item: &Item) -> Outcome<Found> {
        let (place, beside) = (self.place(version, &item.name), self.place(version, &hidden(item)));
        let item = item.clone();
        blocking(move || {
            let seen = read(&place)?.of(&item);
            // What a dead worker left half-way is written again.
            let there = seen == Found::Missing && read(&beside)?.of(&item) == Found::Same;
            Ok(if there { Found::Hidden } else { seen })
        })
        .await
    }

    /// Writes the file beside its place.
    pub async fn put(&self, version: &str, item: &Item, content: Content) -> Outcome<()> {
        let path = self.place(version, &hidden(item));
        blocking(move || {
            let write = || {
                let folder = path.parent().unwrap_or(Path::new("."));
                std::fs::create_dir_all(folder)?;
                let mut options = OpenOptions::new();
                // Whoever shares the folder may have put a pipe there, which would be waited for.
                let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
                let options = options.write(true).create(true).truncate(true).custom_flags(flags);
                let mut file = options.mode(0o644).open(&path)?;
                content.copy_to(&mut file)?;
                file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
                file.sync_all()
            };
            write().map_err(|e| Trouble::transient(format!("write {}", path.display())).because(e))
        })
        .await
    }

    /// Gives the file its name, unless something has it.
    pub async fn show(&self, version: &str, item: &Item) -> Outcome<Taken> {
        let (beside, place) = (self.place(version, &hidden(item)), self.place(version, &item.name));
        blocking(move || {
            let fail =
                |e: io::Error| Trouble::transient(format!("give {} its name", place.display())).because(e);
            match renameat_with(CWD, &beside, CWD, &place, RenameFlags::NOREPLACE) {
                Ok(()) => {}
                Err(rustix::io::Errno::EXIST) => return Ok(Taken::Occupied),
                Err(errno) => return Err(fail(errno.into())),
            }
            let folder = place.parent().unwrap_or(Path::new("."));
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)?;
            Ok(Taken::Yes)
        })
        .await
    }

    /// What stands there.
    pub async fn read(&self, version: &str, name: &str) -> Outcome<Seen> {
        let place = self.place(version, name);
        blocking(move || read(&place)).await
    }
}

fn read(path: &Path) -> Outcome<Seen> {
    let fail = |e: io::Error| Trouble::transient(format!("read {}", path.display())).because(e);
    match path.symlink_metadata() {
        Ok(meta) if meta.is_file() => {}
        Ok(_) => return Ok(Seen::Odd("something that is no file".to_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Seen::Nothing),
        Err(e) => return Err(fail(e)),
    }
    let mut file = File::open(path).map_err(fail)?;
    let (mut sum, mut chunk) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        let count = file.read(&mut chunk).map_err(fail)?;
        if count == 0 {
            break;
        }
        sum.update(chunk.get(..count).unwrap_or_default());
    }
    Ok(Seen::Is(digest(sum)?.to_string()))
}

/// The digest of all that went in.
pub(super) fn digest(sum: Sha256) -> Outcome<Digest> {
    Digest::of_hex(&hex::encode(sum.finalize())).map_err(|e| Trouble::bug(e.to_string()))
}

/// Off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Outcome<T> + Send + 'static) -> Outcome<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(Trouble::of_task(e)))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn item(name: &str, text: &str) -> Item {
        Item { name: name.to_owned(), is: Digest::of_text(text).to_string() }
    }

    #[tokio::test]
    async fn a_pipe_in_the_place_of_a_file_is_an_error_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder { path: dir.path().to_owned() };
        let app = item("app", "the app");
        let beside = folder.place("v1.2.0", &hidden(&app));
        std::fs::create_dir(beside.parent().unwrap()).unwrap();
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(CWD, &beside, kind, rustix::fs::Mode::from_raw_mode(0o600), 0).unwrap();
        let put = folder.put("v1.2.0", &app, Content::Text("the app".to_owned())).await;
        assert!(put.unwrap_err().is_transient());
    }

    #[tokio::test]
    async fn d42_d43_a_file_has_its_name_when_all_of_it_is_there_and_never_replaces_another() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder { path: dir.path().to_owned() };
        let app = item("app", "the app");
        let text = |text: &str| Content::Text(text.to_owned());
        assert_eq!(folder.look("v1.2.0", &app).await.unwrap(), Found::Missing);
        // A worker died in the middle of it.
        folder.put("v1.2.0", &app, text("the a")).await.unwrap();
        assert_eq!(folder.look("v1.2.0", &app).await.unwrap(), Found::Missing);
        folder.put("v1.2.0", &app, text("the app")).await.unwrap();
        assert_eq!(folder.look("v1.2.0", &app).await.unwrap(), Found::Hidden);
        assert_eq!(folder.read("v1.2.0", "app").await.unwrap(), Seen::Nothing);
        assert_eq!(folder.show("v1.2.0", &app).await.unwrap(), Taken::Yes);
        assert_eq!(folder.look("v1.2.0", &app).await.unwrap(), Found::Same);
        assert_eq!(std::fs::read_dir(dir.path().join("v1.2.0")).unwrap().count(), 1);

        let other = item("app", "another app");
        folder.put("v1.2.0", &other, text("another app")).await.unwrap();
        assert_eq!(folder.show("v1.2.0", &other).await.unwrap(), Taken::Occupied);
        assert_eq!(std::fs::read_to_string(dir.path().join("v1.2.0/app")).unwrap(), "the app");
        let found = folder.look("v1.2.0", &other).await.unwrap();
        assert_eq!(found, Found::Other(app.is.clone()));
    }

    #[tokio::test]
    async fn t42_t43_a_link_is_not_the_file_and_nothing_is_written_through_one() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder { path: dir.path().join("cdn") };
        std::fs::create_dir_all(dir.path().join("cdn/v1.2.0")).unwrap();
        let outside = dir.path().join("outside");
        File::create(&outside).unwrap().write_all(b"the app").unwrap();
        let app = item("app", "the app");
        std::os::unix::fs::symlink(&outside, dir.path().join("cdn/v1.2.0/app")).unwrap();
        let found = folder.look("v1.2.0", &app).await.unwrap();
        assert_eq!(found, Found::Other("something that is no file".to_owned()));
        std::os::unix::fs::symlink(&outside, dir.path().join("cdn/v1.2.0/.docs.part")).unwrap();
        let docs = item("docs", "docs");
        assert!(folder.put("v1.2.0", &docs, Content::Text("docs".to_owned())).await.is_err());
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "the app");
    }
}
