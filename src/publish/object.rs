//! Object stores (S3, Google Cloud Storage, Azure): an object is created under a name that has none, or not at all.

use std::fmt;

use super::{Seen, Taken};
use crate::https::pieces::Content;
use crate::secret::Secret;
use crate::trouble::{Outcome, Trouble};

#[cfg(not(feature = "object-stores"))]
#[path = "object/absent.rs"]
mod client;
#[cfg(feature = "object-stores")]
mod client;

/// Whether this program can speak with object stores.
pub const BUILT_IN: bool = cfg!(feature = "object-stores");
/// Largest object. Creating one and nothing else is one request, whose bytes are in memory as long as it takes.
const MOST_BYTES: u64 = 512 * 1024 * 1024;

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

/// A bucket (a container of Azure) with one folder for every version.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Whose.
    pub provider: Provider,
    /// Its name.
    pub name: String,
    /// What stands in front of `<version>/<file>`, without slashes at its ends; maybe nothing.
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
    fn key(&self, version: &str, name: &str) -> String {
        if self.prefix.is_empty() {
            format!("{version}/{name}")
        } else {
            format!("{}/{version}/{name}", self.prefix)
        }
    }

    /// What must never be shown of it; of a service account the private key alone, too.
    pub(super) fn hidden(&self) -> Vec<Secret> {
        let account: Option<serde_json::Value> = serde_json::from_str(self.password.expose()).ok();
        let key = account.as_ref().and_then(|account| account.get("private_key")?.as_str());
        std::iter::once(self.password.clone()).chain(key.map(Secret::new)).collect()
    }

    /// Creates the object, unless something has its name.
    pub(super) async fn put(&self, version: &str, name: &str, content: Content) -> Outcome<Taken> {
        let key = self.key(version, name);
        if let Content::File(_, size) = &content
            && *size > MOST_BYTES
        {
            return Err(Trouble::refused(format!(
                "{self}/{key} has {size} bytes, and one request creates at most {MOST_BYTES}; publish it by a command"
            )));
        }
        client::put(self, &key, content).await
    }

    /// What stands under a name, read with our key.
    pub(super) async fn read(&self, version: &str, name: &str) -> Outcome<Seen> {
        client::read(self, &self.key(version, name)).await
    }
}
