//! Object stores (S3, Google Cloud Storage, Azure): an object is created under a name that has none, or not at all.

use std::fmt;
use std::fs::File;

use crate::domain::name::Digest;
use crate::domain::time::Timestamp;
use crate::https::pieces::Content;
use crate::secret::Secret;
use crate::trouble::{Outcome, Trouble};

#[cfg(not(feature = "object-stores"))]
#[path = "absent.rs"]
mod client;
#[cfg(feature = "object-stores")]
mod client;

/// Whether this program can speak with object stores.
pub const BUILT_IN: bool = cfg!(feature = "object-stores");
/// Largest object of one request, whose bytes are in memory as long as it takes.
const MOST_BYTES: u64 = 512 * 1024 * 1024;
/// Largest object that is brought in pieces: S3 copies no larger one at once.
const MOST_IN_PIECES: u64 = 5 * 1024 * 1024 * 1024;

/// Whose object store it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Amazon S3, or what speaks like it.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

/// A bucket (a container of Azure), and a place in it.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Whose.
    pub provider: Provider,
    /// Its name.
    pub name: String,
    /// What stands in front of all names, without slashes at its ends; maybe nothing.
    pub prefix: String,
    /// Where S3 keeps it.
    pub region: Option<String>,
    /// The address of the store, when it is not the provider's own.
    pub endpoint: Option<String>,
    /// The name of the key (S3) or of the account (Azure).
    pub user: String,
    /// The key, or the JSON of a service account (Google).
    pub password: Secret,
}

/// What became of an object that was to be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is there now.
    Yes,
    /// Something has the name already.
    Occupied,
}

/// What is known of an object without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its bytes.
    pub size: u64,
    /// When it was stored.
    pub at: Timestamp,
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.provider {
            Provider::S3 => "s3",
            Provider::Gcs => "gs",
            Provider::Azure => "az",
        };
        write!(f, "{scheme}://{}", self.name)
    }
}

impl Bucket {
    fn key(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) }
    }

    /// What must never be shown of it; of a service account the private key alone, too.
    pub fn hidden(&self) -> Vec<Secret> {
        let account: Option<serde_json::Value> = serde_json::from_str(self.password.expose()).ok();
        let key = account.as_ref().and_then(|account| account.get("private_key")?.as_str());
        std::iter::once(self.password.clone()).chain(key.map(Secret::new)).collect()
    }

    /// Creates an object by one request, unless something has its name.
    pub async fn create(&self, name: &str, content: Content) -> Outcome<Created> {
        let key = self.key(name);
        if let Content::File(_, size) = &content
            && *size > MOST_BYTES
        {
            return Err(Trouble::refused(format!(
                "{self}/{key} has {size} bytes, and one request creates at most {MOST_BYTES}; publish it by a command"
            )));
        }
        client::create(self, &key, content).await
    }

    /// Creates an object piece by piece, unless something has its name: beside it first, and from there by a copy that
    /// creates. Little of it is in memory at a time.
    pub async fn create_in_pieces(
        &self,
        name: &str,
        beside: &str,
        (file, size): (File, u64),
    ) -> Outcome<Created> {
        let key = self.key(name);
        if size > MOST_IN_PIECES {
            let what = format!("{self}/{key} has {size} bytes, and an object has at most {MOST_IN_PIECES}");
            return Err(Trouble::refused(what));
        }
        client::create_in_pieces(self, &key, &self.key(beside), file).await
    }

    /// The digest of an object's bytes, read with our key; nothing when there is none.
    pub async fn digest(&self, name: &str) -> Outcome<Option<Digest>> {
        client::fetch(self, &self.key(name), None).await
    }

    /// Writes an object's bytes to a file and answers their digest; nothing when there is none.
    pub async fn fetch(&self, name: &str, to: File) -> Outcome<Option<Digest>> {
        client::fetch(self, &self.key(name), Some(to)).await
    }

    /// What is known of an object; nothing when there is none.
    pub async fn look(&self, name: &str) -> Outcome<Option<Known>> {
        client::look(self, &self.key(name)).await
    }

    /// Writes down, over what was there, that something happened just now.
    pub async fn mark(&self, name: &str) -> Outcome<()> {
        client::mark(self, &self.key(name)).await
    }

    /// Deletes an object; one that is not there is deleted.
    pub async fn delete(&self, name: &str) -> Outcome<()> {
        client::delete(self, &self.key(name)).await
    }

    /// Moves an object out of the way.
    pub async fn set_aside(&self, name: &str, to: &str) -> Outcome<()> {
        client::set_aside(self, &self.key(name), &self.key(to)).await
    }

    /// Deletes what stands below a name since before a time.
    pub async fn sweep(&self, below: &str, before: Timestamp) -> Outcome<()> {
        client::sweep(self, &self.key(below), before).await
    }
}
