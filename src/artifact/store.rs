//! Content-addressed storage: an OCI image layout whose blobs never change.
//!
//! A blob is written to `tmp/` while it is hashed, synced, and renamed to `blobs/sha256/<hex>`; it is hashed again
//! whenever it is used, and one that does not match goes to `quarantine/` (EVIDENCE, Sealing; THREATS T44).
//! What a release has of them is a layout of its own below `releases/`, which other tools read.
//! With a bucket behind the folder, a blob is stored once it is in both and was read back from the bucket.

use std::fmt;
use std::fs::{File, FileTimes, OpenOptions, Permissions, TryLockError};
use std::io::{self, Seek as _, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;

use super::behind::{Behind, Forgot};
use super::copies::{LocalCopy, surplus};
use super::file::{sync_folder, unused_name, write_synced};
use super::hashing::{Hashing, Sum512, copy, digest_of};
use crate::bucket::Bucket;
use crate::clock;
use crate::domain::layout::Layout;
use crate::domain::name::Digest;
use crate::domain::time::Timestamp;
use crate::folder;
use crate::trouble::{Outcome, Trouble};

/// The file that says which layout this is (OCI image layout 1.0.0).
const LAYOUT: &[u8] = b"{\"imageLayoutVersion\":\"1.0.0\"}";
/// The index that every layout has; the blobs of all are found by digest, so it lists none.
const INDEX: &[u8] = b"{\"schemaVersion\":2,\"manifests\":[]}";
/// Below this folder each release has a layout, three folders deep.
const RELEASES: &str = "releases";
/// From the blobs of such a layout to those of all: out of `blobs/sha256`, the release's three folders and this one.
const BLOBS_OF_ALL: &str = "../../../../../../blobs/sha256";
/// How often a new temporary file may fall to a sweep, which happens once in the life of a process.
const NAMES_TRIED: u32 = 16;

/// Why a stored blob cannot be used.
#[derive(Debug)]
pub enum Unusable {
    /// Its bytes are not those that were sealed; the blob is in quarantine now. Never overridable.
    Mismatch {
        /// The digest it is stored under.
        wanted: Digest,
        /// The digest of the bytes found there.
        found: Digest,
    },
    /// It is not there, or could not be read.
    Trouble(Trouble),
}

impl From<Trouble> for Unusable {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<Unusable> for Trouble {
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::Mismatch { .. } => Self::refused(unusable.to_string()),
            Unusable::Trouble(trouble) => trouble,
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mismatch { wanted, found } => write!(
                f,
                "digest mismatch: the stored bytes of {wanted} have the digest {found}; they are in quarantine, make a \
                 new release"
            ),
            Self::Trouble(trouble) => trouble.fmt(f),
        }
    }
}

impl std::error::Error for Unusable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Mismatch { .. } => None,
            Self::Trouble(trouble) => trouble.source(),
        }
    }
}

/// The folder that holds every artifact by its digest.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    /// The bucket that keeps them, when the folder only has what was brought from it.
    behind: Option<Behind>,
}

impl Store {
    /// Opens the layout at `root`, makes what is missing, and removes what writers left that died.
    pub fn open(root: &Path) -> Outcome<Self> {
        let store = Self { root: root.to_owned(), behind: None };
        for folder in [store.blobs(), store.tmp(), store.quarantine()] {
            std::fs::create_dir_all(&folder).map_err(|e| {
                Trouble::transient(format!("make the artifact folder {}", folder.display())).because(e)
            })?;
        }
        for (name, content) in [("oci-layout", LAYOUT), ("index.json", INDEX)] {
            if !root.join(name).exists() {
                write_synced(&root.join(name), content, 0o644)?;
            }
        }
        store.sweep().map_err(|e| {
            Trouble::transient(format!("clear the artifact folder {}", store.tmp().display())).because(e)
        })?;
        Ok(store)
    }

    /// The same with a bucket behind it, which is spoken with on this runtime: from threads that may wait. A bucket that
    /// does not answer just now is asked again when it is needed; one that cannot be used is an error.
    /// The folder keeps so many bytes of copies, and more only while one is needed, or is not in the bucket.
    pub fn open_behind(root: &Path, bucket: Bucket, copies: u64, runtime: Handle) -> Outcome<Self> {
        let store = Self::open(root)?;
        let behind = Behind::new(bucket, copies, runtime);
        match behind.begin() {
            Err(trouble) if trouble.is_transient() => {
                tracing::error!(
                    error = trouble.chain(),
                    "the bucket of artifacts does not answer; trying again later"
                );
            }
            begun => begun?,
        }
        Ok(Self { behind: Some(behind), ..store })
    }

    /// The folder of the layout.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a blob lies; the name is made of checked hex digits alone (THREATS T42).
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    /// True when a blob of this digest is there, its content not looked at.
    pub fn holds(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// Starts a blob; it is stored by [`Incoming::commit`] and forgotten when dropped before.
    pub fn begin(&self) -> Outcome<Incoming> {
        let (path, file) = self.create().map_err(|e| {
            Trouble::transient(format!("start an artifact in {}", self.tmp().display())).because(e)
        })?;
        Ok(Incoming { store: self.clone(), path, writer: Some(Hashing::new(file)) })
    }

    /// Stores these bytes and answers their digest.
    pub fn put(&self, bytes: &[u8]) -> Outcome<Digest> {
        let mut incoming = self.begin()?;
        incoming.write_all(bytes).map_err(|e| Trouble::transient("write an artifact").because(e))?;
        Ok(incoming.commit()?.0)
    }

    /// Opens a blob after its bytes were hashed again; the handle is at the beginning.
    pub fn open_verified(&self, digest: &Digest) -> Result<(File, u64), Unusable> {
        let fail = |e: io::Error| Trouble::transient(format!("read the artifact {digest}")).because(e);
        let (mut file, bytes) = self.hashed(digest, digest_of)?;
        file.rewind().map_err(fail)?;
        Ok((file, bytes))
    }

    /// A blob, and what reading it to its end gives beside its digest. One that is not what was sealed goes to
    /// quarantine; where a bucket is behind the folder, it is brought from there once more.
    fn hashed<T>(
        &self,
        digest: &Digest,
        read: impl Fn(&mut dyn io::Read) -> io::Result<(Digest, T)>,
    ) -> Result<(File, T), Unusable> {
        let fail = |e: io::Error| Trouble::transient(format!("read the artifact {digest}")).because(e);
        let mut again = self.behind.is_some();
        loop {
            let mut file = self.blob(digest)?;
            let (found, value) = read(&mut file).map_err(fail)?;
            if found == *digest {
                return Ok((file, value));
            }
            self.isolate(digest)?;
            if !again {
                return Err(Unusable::Mismatch { wanted: digest.clone(), found });
            }
            tracing::warn!(%digest, "a copy of an artifact on this disk had changed; it is brought again");
            again = false;
        }
    }

    /// The SHA-512 of a blob in hex, of the same reading that shows that it is what was sealed.
    pub fn sha512(&self, digest: &Digest) -> Result<String, Unusable> {
        let both = |from: &mut dyn io::Read| {
            let mut sums = Hashing::new(Sum512::default());
            copy(from, &mut sums)?;
            sums.finish().map(|(sum, found, _)| (found, sum))
        };
        self.hashed(digest, both).map(|(_, sum)| sum.hex())
    }

    /// Hashes a blob again and answers its size in bytes.
    pub fn verify(&self, digest: &Digest) -> Result<u64, Unusable> {
        self.open_verified(digest).map(|(_, bytes)| bytes)
    }

    /// Deletes a blob that nothing refers to, unless it was stored since then: whoever stores the same bytes again
    /// may not have said so yet. Answers how many bytes there were.
    pub fn forget(&self, digest: &Digest, stored_before: Timestamp) -> Outcome<Option<u64>> {
        let path = self.path(digest);
        let fail = |e: io::Error| Trouble::transient(format!("delete the artifact {digest}")).because(e);
        let here = match std::fs::metadata(&path) {
            Ok(meta) => Some(meta),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(fail(e)),
        };
        if let Some(meta) = &here {
            let stored = meta.modified().map_err(fail)?.duration_since(std::time::UNIX_EPOCH);
            let stored = stored.ok().and_then(|since| i64::try_from(since.as_millis()).ok());
            if stored.is_none_or(|stored| stored >= stored_before.0) {
                return Ok(None);
            }
        }
        let there = match &self.behind {
            None => Forgot::Absent,
            Some(behind) => behind.forget(digest, stored_before)?,
        };
        let here = here.map(|meta| meta.len());
        let bytes = match there {
            Forgot::Young => return Ok(None),
            Forgot::Deleted(bytes) => Some(bytes),
            Forgot::Absent => here,
        };
        if here.is_some() {
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(fail(e)),
                // Where it was a copy it may have gone already.
                Ok(()) | Err(_) => sync_folder(&self.blobs())?,
            }
        }
        Ok(bytes)
    }

    /// Lays a release out as an OCI image layout below `releases/`, or brings its layout up to date: documents of its
    /// own, and links to the blobs. The index comes last, so that it names nothing that is not there.
    pub fn lay_out(&self, name: &str, layout: &Layout) -> Outcome<()> {
        let home = self.root.join(RELEASES).join(name);
        let blobs = home.join("blobs/sha256");
        folder::make(&blobs)?;
        // Nothing of it is synced one by one: there is a document for each artifact, whoever reads one hashes it, and
        // what counts are the blobs.
        let document = |(digest, text): (&Digest, &String)| {
            File::create(blobs.join(digest.hex())).and_then(|mut file| file.write_all(text.as_bytes()))
        };
        let link = |digest: &Digest| {
            let blob = Path::new(BLOBS_OF_ALL).join(digest.hex());
            match symlink(blob, blobs.join(digest.hex())) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                made => made,
            }
        };
        let laid = layout.documents.iter().try_for_each(document);
        laid.and_then(|()| layout.blobs.iter().try_for_each(link))
            .map_err(|e| Trouble::transient(format!("lay a release out in {}", home.display())).because(e))?;
        write_synced(&home.join("oci-layout"), LAYOUT, 0o644)?;
        write_synced(&home.join("index.json"), layout.index.as_bytes(), 0o644)
    }

    /// Removes the layout of a release whose blobs go; one that is not there is fine.
    pub fn clear(&self, name: &str) -> Outcome<()> {
        folder::remove(&self.root.join(RELEASES).join(name))
    }

    fn blob(&self, digest: &Digest) -> Result<File, Unusable> {
        let fail = |e: io::Error| Trouble::transient(format!("read the artifact {digest}")).because(e);
        match File::open(self.path(digest)) {
            Ok(file) => {
                self.note_use(&file);
                Ok(file)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let brought = self.bring(digest)?;
                self.tidy(digest);
                let what = || Trouble::not_found(format!("the artifact {digest} is not stored here"));
                Ok(brought.ok_or_else(what)?)
            }
            Err(e) => Err(fail(e).into()),
        }
    }

    /// Brings a blob from the bucket, when there is one. It is open before anybody else can find it, and remove it.
    fn bring(&self, digest: &Digest) -> Result<Option<File>, Unusable> {
        let Some(behind) = &self.behind else { return Ok(None) };
        let fail = |e: io::Error| Trouble::transient(format!("bring the artifact {digest}")).because(e);
        let (path, file) = self.create().map_err(fail)?;
        let brought = file.try_clone().map_err(|e| fail(e).into()).and_then(|to| behind.fetch(digest, to));
        if !matches!(brought, Ok(true)) {
            std::fs::remove_file(&path).unwrap_or_default();
            return brought.map(|_| None);
        }
        let open = File::open(&path).map_err(fail)?;
        self.settle(&file, (&path, digest))?;
        self.note_use(&open);
        Ok(Some(open))
    }

    /// Notes when a copy was used last: what was used longest ago goes first.
    fn note_use(&self, copy: &File) {
        if self.behind.is_some() {
            let now = Duration::from_millis(u64::try_from(clock::now().0).unwrap_or_default());
            let times = FileTimes::new().set_accessed(SystemTime::UNIX_EPOCH + now);
            // It only goes earlier than it should.
            copy.set_times(times).unwrap_or_default();
        }
    }

    /// Removes copies of what the bucket has when there are more bytes of them than are kept. Whoever reads one has it
    /// open, and steps have copies of their own, so nothing that runs misses it.
    fn tidy(&self, needed: &Digest) {
        let Some(behind) = &self.behind else { return };
        // Another one is at it.
        let Ok(_alone) = behind.tidying.try_lock() else { return };
        let removed = self.copies().and_then(|copies| {
            for copy in surplus(copies, behind.copies, needed) {
                let path = self.path(&copy.digest);
                let fail = |e| Trouble::transient(format!("remove the copy {}", path.display())).because(e);
                if behind.has(&copy.digest, copy.bytes)? {
                    std::fs::remove_file(&path).map_err(fail)?;
                } else {
                    // It is asked about again when the others have had their turn.
                    self.note_use(&File::open(&path).map_err(fail)?);
                }
            }
            Ok(())
        });
        if let Err(trouble) = removed {
            tracing::warn!(error = trouble.chain(), "copies of artifacts stay on this disk for now");
        }
    }

    fn copies(&self) -> Outcome<Vec<LocalCopy>> {
        let read = || -> io::Result<Vec<LocalCopy>> {
            let mut copies = Vec::new();
            for entry in std::fs::read_dir(self.blobs())? {
                let entry = entry?;
                let Some(digest) = entry.file_name().to_str().and_then(|hex| Digest::of_hex(hex).ok()) else {
                    continue;
                };
                match entry.metadata() {
                    Ok(meta) => copies.push(LocalCopy { digest, bytes: meta.len(), used: meta.accessed()? }),
                    // It went meanwhile.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    Err(e) => return Err(e),
                }
            }
            Ok(copies)
        };
        read().map_err(|e| Trouble::transient("look through the copies of artifacts").because(e))
    }

    /// Makes a written file durable under its digest. Renaming over a blob of the same digest is right too: it heals one
    /// whose bytes went bad unseen.
    fn settle(&self, file: &File, (path, digest): (&Path, &Digest)) -> Outcome<()> {
        let fail = |e: io::Error| Trouble::transient("store an artifact").because(e);
        file.set_permissions(Permissions::from_mode(0o444)).map_err(fail)?;
        file.sync_all().map_err(fail)?;
        std::fs::rename(path, self.path(digest)).map_err(fail)?;
        sync_folder(&self.blobs())
    }

    /// Moves a blob out of the way of everybody, for a person to look at.
    fn isolate(&self, digest: &Digest) -> Outcome<()> {
        match std::fs::rename(self.path(digest), self.quarantine().join(digest.hex())) {
            Ok(()) => sync_folder(&self.blobs()),
            // Another reader found the same and was first.
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(Trouble::transient(format!("move the artifact {digest} to quarantine")).because(e)),
        }
    }

    /// Makes a temporary file that is locked for as long as its writer lives. Neither this nor a sweep waits for the
    /// other: a process that was stopped keeps its locks.
    fn create(&self) -> io::Result<(PathBuf, File)> {
        for _ in 0..NAMES_TRIED {
            let path = self.tmp().join(unused_name());
            let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
            match file.try_lock() {
                Ok(()) if file.metadata()?.nlink() > 0 => return Ok((path, file)),
                // A sweep came between making the file and locking it, and took it for a dead writer's.
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(e)) => return Err(e),
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "new files are swept away as soon as they are made"))
    }

    /// Removes temporary files that nobody has locked: their writers died.
    fn sweep(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(self.tmp())? {
            let path = entry?.path();
            let Ok(file) = File::open(&path) else { continue };
            if file.try_lock().is_ok() {
                match std::fs::remove_file(&path) {
                    // Its writer was done with it meanwhile.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    removed => removed?,
                }
            }
        }
        Ok(())
    }

    fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }
}

/// A blob on its way in.
#[derive(Debug)]
pub struct Incoming {
    store: Store,
    path: PathBuf,
    writer: Option<Hashing<File>>,
}

impl Incoming {
    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.writer.as_ref().map_or(0, Hashing::bytes)
    }

    /// Makes the blob durable under its digest and answers the digest and the size in bytes; a blob that is there
    /// already is success.
    pub fn commit(self) -> Outcome<(Digest, u64)> {
        self.keep(None)
    }

    /// The same for bytes whose digest was said before they came; others are not kept.
    pub fn commit_as(self, said: &Digest) -> Outcome<u64> {
        self.keep(Some(said)).map(|(_, bytes)| bytes)
    }

    fn keep(mut self, said: Option<&Digest>) -> Outcome<(Digest, u64)> {
        let fail = |e: io::Error| Trouble::transient("store an artifact").because(e);
        let writer = self.writer.take().ok_or_else(|| Trouble::bug("an artifact was stored twice"))?;
        let (file, digest, bytes) = writer.finish().map_err(fail)?;
        if let Some(said) = said.filter(|said| **said != digest) {
            return Err(Trouble::refused(format!(
                "the {bytes} bytes are {digest}, not {said}; nothing was kept"
            )));
        }
        let Some(behind) = &self.store.behind else {
            self.store.settle(&file, (&self.path, &digest))?;
            return Ok((digest, bytes));
        };
        // Open before it has its name: who removes an older copy of the same bytes may remove this one.
        let open = File::open(&self.path).map_err(fail)?;
        self.store.settle(&file, (&self.path, &digest))?;
        behind.store(&digest, (open, bytes))?;
        self.store.tidy(&digest);
        Ok((digest, bytes))
    }
}

impl Write for Incoming {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.as_mut().map_or_else(|| Err(io::ErrorKind::BrokenPipe.into()), |w| w.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // After a commit the name is gone and nothing is removed.
        std::fs::remove_file(&self.path).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("oci")).unwrap();
        (dir, store)
    }

    #[test]
    fn t44_e18_bytes_of_another_digest_are_not_kept() {
        let (_dir, store) = store();
        let mut incoming = store.begin().unwrap();
        incoming.write_all(b"abc").unwrap();
        let refused = incoming.commit_as(&Digest::of_text("abd")).unwrap_err();
        assert!(refused.to_string().contains("nothing was kept"), "{refused}");
        assert_eq!((names(&store.blobs()), names(&store.tmp())), (0, 0));
        let mut incoming = store.begin().unwrap();
        incoming.write_all(b"abc").unwrap();
        assert_eq!(incoming.commit_as(&Digest::of_text("abc")).unwrap(), 3);
        assert!(store.holds(&Digest::of_text("abc")));
    }

    fn names(path: &Path) -> usize {
        std::fs::read_dir(path).unwrap().count()
    }

    #[test]
    fn a_blob_is_stored_once_read_only_under_its_digest() {
        let (_dir, store) = store();
        let digest = store.put(b"abc").unwrap();
        assert_eq!(store.put(b"abc").unwrap(), digest);
        assert_eq!(store.verify(&digest).unwrap(), 3);
        let meta = std::fs::metadata(store.path(&digest)).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o444);
        assert_eq!((names(&store.blobs()), names(&store.tmp())), (1, 0));
        assert!(store.path(&digest).ends_with(format!("blobs/sha256/{}", digest.hex())));
    }

    #[test]
    fn t44_one_flipped_byte_is_a_mismatch_and_goes_to_quarantine() {
        let (_dir, store) = store();
        let digest = store.put(b"abc").unwrap();
        let path = store.path(&digest);
        std::fs::remove_file(&path).unwrap();
        write_synced(&path, b"abd", 0o444).unwrap();
        match store.verify(&digest).unwrap_err() {
            Unusable::Mismatch { wanted, found } => {
                assert_eq!(wanted, digest);
                assert_ne!(found, digest);
            }
            Unusable::Trouble(t) => panic!("{}", t.chain()),
        }
        assert_eq!((names(&store.blobs()), names(&store.quarantine())), (0, 1));
        let Unusable::Trouble(gone) = store.sha512(&digest).unwrap_err() else { panic!("it is gone") };
        assert_eq!(gone.kind(), crate::trouble::Kind::NotFound);
        let Unusable::Trouble(gone) = store.verify(&digest).unwrap_err() else { panic!("it is gone") };
        assert_eq!(gone.kind(), crate::trouble::Kind::NotFound);
        assert_eq!(store.put(b"abc").unwrap(), digest, "the right bytes may come back");
        assert_eq!(store.verify(&digest).unwrap(), 3);
    }

    #[test]
    fn d36_t44_both_sums_are_of_the_same_bytes() {
        let (_dir, store) = store();
        let digest = store.put(b"abc").unwrap();
        // FIPS 180-2, appendix C.1.
        assert!(store.sha512(&digest).unwrap().starts_with("ddaf35a193617abacc417349ae204131"));
        let path = store.path(&digest);
        std::fs::remove_file(&path).unwrap();
        write_synced(&path, b"abd", 0o444).unwrap();
        assert!(matches!(store.sha512(&digest).unwrap_err(), Unusable::Mismatch { .. }));
        assert_eq!((names(&store.blobs()), names(&store.quarantine())), (0, 1));
    }

    #[test]
    fn only_what_was_stored_before_is_forgotten() {
        let (_dir, store) = store();
        let digest = store.put(b"abc").unwrap();
        assert_eq!(store.forget(&digest, Timestamp(0)).unwrap(), None);
        assert!(store.holds(&digest), "it is younger");
        assert_eq!(store.forget(&digest, Timestamp(i64::MAX)).unwrap(), Some(3));
        assert!(!store.holds(&digest));
        assert_eq!(store.forget(&digest, Timestamp(i64::MAX)).unwrap(), None, "once");
    }

    #[test]
    fn t45_an_absent_blob_is_an_error_and_never_a_pass() {
        let (_dir, store) = store();
        let digest = Digest::of_hex(&"00".repeat(32)).unwrap();
        assert!(!store.holds(&digest));
        assert!(store.verify(&digest).is_err());
    }

    #[test]
    fn t42_a_digest_is_the_only_way_to_a_path() {
        let (_dir, store) = store();
        for text in ["sha256:../../x", "sha256:", "../../x", "a/b", &"a".repeat(300)] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
        let digest = Digest::of_hex(&"ab".repeat(32)).unwrap();
        assert_eq!(store.path(&digest).parent().unwrap(), store.blobs());
    }

    #[test]
    fn what_a_dead_writer_left_is_swept_and_a_living_writer_is_left_alone() {
        let (_dir, store) = store();
        write_synced(&store.tmp().join("left"), b"half", 0o600).unwrap();
        let mut living = store.begin().unwrap();
        living.write_all(b"abc").unwrap();
        let again = Store::open(store.root()).unwrap();
        assert_eq!(names(&again.tmp()), 1);
        let (digest, bytes) = living.commit().unwrap();
        assert_eq!((again.verify(&digest).unwrap(), bytes), (3, 3));
        drop(store.begin().unwrap());
        assert_eq!(names(&store.tmp()), 0);
    }

    #[test]
    fn writers_and_sweeps_go_on_side_by_side() {
        let (_dir, store) = store();
        let sweeps = std::thread::spawn({
            let root = store.root().to_owned();
            move || (0..200).for_each(|_| drop(Store::open(&root).unwrap()))
        });
        let mut written = 0_u32;
        while !sweeps.is_finished() || written < 50 {
            let digest = store.put(&written.to_be_bytes()).unwrap();
            assert_eq!(store.verify(&digest).unwrap(), 4);
            written += 1;
        }
        sweeps.join().unwrap();
        assert_eq!(names(&store.tmp()), 0);
    }

    /// A process that is stopped, its machine paused, keeps the locks that it has.
    #[test]
    fn t56_neither_a_start_nor_a_writer_waits_for_a_process_that_was_stopped() {
        let (_dir, store) = store();
        let file = File::create(store.tmp().join("its")).unwrap();
        let folder = File::open(store.tmp()).unwrap();
        file.lock().unwrap();
        folder.lock().unwrap();
        let again = Store::open(store.root()).unwrap();
        assert_eq!(names(&again.tmp()), 1, "what it has locked stays");
        again.put(b"abc").unwrap();
    }
}
