//! What builds and commands leave: sealed artifacts, or how they failed.

use serde::{Deserialize, Serialize};

use crate::domain::image::Image;
use crate::domain::name::{Alias, Digest};
use crate::domain::person::Person;

/// How a build ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildOutcome {
    /// Everything declared was packed and sealed.
    Sealed(Vec<Sealed>),
    /// A quality build passed; nothing is kept of it.
    Passed,
    /// A command said no.
    Failed(Failure),
    /// It could not be done; the reason is ours, not the code's.
    Errored(String),
    /// Somebody did not want it any more.
    Cancelled(Person),
}

/// A sealed artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Its name in the release.
    pub alias: Alias,
    /// Digest of the stored bytes.
    pub digest: Digest,
    /// Digest of the tar inside; equal to `digest` for a single file kept as it is.
    pub content: Digest,
    /// Stored bytes.
    pub size: u64,
    /// What it is once it is handed out.
    pub form: Form,
    /// The image that it is, when it is one: a folder in the OCI layout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
}

/// What an artifact is once it is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// A folder; the stored bytes are its `tar.zst`.
    Folder,
    /// A file; the stored bytes are the file.
    File,
    /// A file that is a program.
    Program,
}

/// A command that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which step.
    pub step: String,
    /// How it ended: `exit 1`, `killed by signal 9`, `ran longer than 10m`.
    pub how: String,
    /// The last lines, masked, at most ten.
    pub tail: Vec<String>,
}
