//! Room that is kept beside the database for the end of what runs: a file that is let go when the disk is full
//! (STORAGE §5, row 11).
//!
//! What is begun has to end: a stage beats while it runs, and one that cannot is taken for lost. So the file makes way
//! for that, and nothing new is taken in until there is room for it again.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::store::Reserve;

/// A small disk gives no more than this part of it.
const PART: u64 = 8;
/// When less than this part of the file's own size is free, the disk is as good as full: one commit may take that much.
const LOW: u64 = 8;

/// The file; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Ballast {
    path: PathBuf,
    most: u64,
    state: Arc<Mutex<Reserve>>,
}

impl Ballast {
    /// Beside this database, at most so large; made now if there is room. Nothing on a disk that keeps no room for a file
    /// that nothing is written to.
    pub(super) fn beside(database: &Path, most: u64) -> Option<Self> {
        let mut name = database.as_os_str().to_owned();
        name.push(".reserve");
        let ballast = Self { path: name.into(), most, state: Arc::new(Mutex::new(Reserve::Short)) };
        match ballast.found().and_then(|found| if found { Ok(Reserve::Kept) } else { ballast.made() }) {
            Ok(state) => {
                ballast.set(state);
                Some(ballast)
            }
            Err(error) => {
                let file = ballast.path.display();
                tracing::warn!(%file, %error, "no room can be kept for the day on which the disk is full");
                None
            }
        }
    }

    pub(super) fn state(&self) -> Reserve {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: Reserve) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Looks at the disk: lets the file go when it is as good as full, makes it again when there is room.
    pub(super) fn look(&self) {
        let seen = match self.state() {
            Reserve::Kept => self.is_low().map(|low| if low { Reserve::LetGo } else { Reserve::Kept }),
            Reserve::Short | Reserve::LetGo => self.made(),
        };
        match (self.state(), seen) {
            (Reserve::Kept, Ok(Reserve::LetGo)) => self.let_go(),
            (Reserve::LetGo, Ok(Reserve::Kept)) => {
                self.set(Reserve::Kept);
                tracing::info!("the disk of the database has room again: what is new is taken in");
            }
            (Reserve::Short, Ok(Reserve::Kept)) => self.set(Reserve::Kept),
            // A disk that does not tell how full it is shows soon enough that it is.
            (_, Ok(_) | Err(_)) => {}
        }
    }

    /// The disk said that it is full.
    pub(super) fn let_go(&self) {
        if self.state() == Reserve::LetGo {
            return;
        }
        let gone = std::fs::remove_file(&self.path);
        self.set(Reserve::LetGo);
        let freed = gone.is_ok();
        tracing::error!(
            freed,
            file = %self.path.display(),
            "the disk of the database is full: what runs is still written down, and nothing new is taken in; make room, \
             then it goes on by itself"
        );
    }

    fn is_low(&self) -> io::Result<bool> {
        let disk = Disk::of(&self.path)?;
        Ok(disk.free < disk.wanted(self.most) / LOW)
    }

    /// Whether the file of an earlier process is there and whole. One that was ended while it made it left less, which
    /// keeps no room and only takes some: it goes.
    fn found(&self) -> io::Result<bool> {
        let whole = Disk::of(&self.path)?.wanted(self.most);
        match std::fs::metadata(&self.path) {
            Ok(file) if file.len() == whole => Ok(true),
            Ok(_) => std::fs::remove_file(&self.path).map(|()| false),
            Err(_) => Ok(false),
        }
    }

    /// Makes the file, if as much as it takes is free beside it.
    fn made(&self) -> io::Result<Reserve> {
        let disk = Disk::of(&self.path)?;
        let wanted = disk.wanted(self.most);
        if disk.free < wanted.saturating_mul(2) {
            // A server that starts on a full disk goes on as the one before it ended.
            return Ok(if disk.free < wanted / LOW { Reserve::LetGo } else { Reserve::Short });
        }
        let file = File::options().write(true).create(true).truncate(true).open(&self.path)?;
        if let Err(error) = fallocate(&file, FallocateFlags::empty(), 0, wanted) {
            std::fs::remove_file(&self.path)?;
            return Err(error.into());
        }
        Ok(Reserve::Kept)
    }
}

/// The disk that a file is on, in bytes.
struct Disk {
    all: u64,
    free: u64,
}

impl Disk {
    fn of(file: &Path) -> io::Result<Self> {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let disk = statvfs(folder.unwrap_or(Path::new(".")))?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        Ok(Self { all: bytes(disk.f_blocks), free: bytes(disk.f_bavail) })
    }

    fn wanted(&self, most: u64) -> u64 {
        (self.all / PART).min(most)
    }
}
