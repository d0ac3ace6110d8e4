//! The bucket behind the local folder, when the server keeps artifacts in an object store: nothing counts as stored
//! before it is there and was read back; the folder is what has been brought from it.

use std::fs::File;
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;

use super::file::unused_name;
use super::store::Unusable;
use crate::bucket::{Bucket, Created};
use crate::clock;
use crate::domain::name::Digest;
use crate::domain::time::{Span, Timestamp};
use crate::https::pieces::Content;
use crate::trouble::{Outcome, Trouble};

/// Blobs up to so many bytes are created by one request; larger ones in pieces.
const AT_ONCE: u64 = 8 * 1024 * 1024;
/// What writers left that died is nobody's after so long.
const LEFT: Span = Span::days(1);

/// What became of a blob that nothing refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forgot {
    /// It was deleted, and had so many bytes.
    Deleted(u64),
    /// There was none.
    Absent,
    /// It is too young to be deleted.
    Young,
}

/// A bucket, and the runtime that speaks with it: the store is called from threads that may wait.
#[derive(Debug, Clone)]
pub(super) struct Behind {
    bucket: Bucket,
    runtime: Handle,
    /// How many bytes of it the local folder keeps copies of.
    pub(super) copies: u64,
    /// Held by the one thread that removes copies.
    pub(super) tidying: Arc<Mutex<()>>,
}

fn name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn again(digest: &Digest) -> String {
    format!("again/{}", digest.hex())
}

impl Behind {
    pub(super) fn new(bucket: Bucket, copies: u64, runtime: Handle) -> Self {
        Self { bucket, runtime, copies, tidying: Arc::default() }
    }

    /// Whether the bucket has a blob of this size, so that a copy of it is no more than that.
    pub(super) fn has(&self, digest: &Digest, bytes: u64) -> Outcome<bool> {
        let known = self.runtime.block_on(self.bucket.look(&name(digest)))?;
        Ok(known.is_some_and(|known| known.size == bytes))
    }

    /// Writes there, which shows that the bucket is one and lets us, and removes what writers left that died.
    pub(super) fn begin(&self) -> Outcome<()> {
        let before = Timestamp(clock::now().0.saturating_sub_unsigned(LEFT.as_millis()));
        self.runtime.block_on(async {
            self.bucket.mark("incoming/begun").await?;
            self.bucket.sweep("incoming", before).await
        })
    }

    /// Stores a local blob of so many bytes, and reads it back: from a handle at its beginning that nobody else reads
    /// from, since the file may lose its name meanwhile. What is there already is success when it is the same.
    pub(super) fn store(&self, digest: &Digest, (file, size): (File, u64)) -> Outcome<()> {
        let name = name(digest);
        self.runtime.block_on(async {
            let created = if size <= AT_ONCE {
                self.bucket.create(&name, Content::File(file, size)).await?
            } else {
                let beside = format!("incoming/{}-{}", digest.hex(), unused_name());
                self.bucket.create_in_pieces(&name, &beside, (file, size)).await?
            };
            if created == Created::Occupied {
                // Whoever deletes what is no longer needed sees by this that it is needed again.
                self.bucket.mark(&again(digest)).await?;
            }
            match self.bucket.digest(&name).await? {
                Some(found) if found == *digest => Ok(()),
                Some(found) => {
                    self.set_aside(digest).await?;
                    Err(Trouble::refused(format!(
                        "{}/{name} has the digest {found}; it is in quarantine there, try again",
                        self.bucket
                    )))
                }
                None => Err(Trouble::transient(format!("{}/{name} cannot be read back", self.bucket))),
            }
        })
    }

    /// Brings a blob into a local file; nothing when it is not stored.
    pub(super) fn fetch(&self, digest: &Digest, to: File) -> Result<bool, Unusable> {
        let found = self.runtime.block_on(self.bucket.fetch(&name(digest), to))?;
        match found {
            None => Ok(false),
            Some(found) if found == *digest => Ok(true),
            Some(found) => {
                self.runtime.block_on(self.set_aside(digest))?;
                Err(Unusable::Mismatch { wanted: digest.clone(), found })
            }
        }
    }

    async fn set_aside(&self, digest: &Digest) -> Outcome<()> {
        self.bucket.set_aside(&name(digest), &format!("quarantine/{}", digest.hex())).await
    }

    /// Deletes a blob that was stored before then, and not again since.
    pub(super) fn forget(&self, digest: &Digest, before: Timestamp) -> Outcome<Forgot> {
        self.runtime.block_on(async {
            let Some(known) = self.bucket.look(&name(digest)).await? else { return Ok(Forgot::Absent) };
            let again = again(digest);
            let stored_again = self.bucket.look(&again).await?;
            if known.at >= before || stored_again.is_some_and(|again| again.at >= before) {
                return Ok(Forgot::Young);
            }
            self.bucket.delete(&name(digest)).await?;
            self.bucket.delete(&again).await?;
            Ok(Forgot::Deleted(known.size))
        })
    }
}
