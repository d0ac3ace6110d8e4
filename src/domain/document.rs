//! Documents that a step of a stage makes of what is known of its release: notes, checksums, `release.json`.
//!
//! They are kept with the release under the names that people look for; a later attempt that comes to other bytes is
//! what counts from then on (CHECKLIST D35, D36, D37).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::evidence::{ENVELOPE, Evidence, Matter, SHA256SUMS, SHA512SUMS};
use crate::domain::publication::METADATA;
use crate::domain::release::Release;

/// The notes, as a file.
pub const NOTES: &str = "RELEASE_NOTES.md";

/// What a step writes down.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Document {
    /// The notes, which stay as they are from then on.
    Notes,
    /// The checksums of the release's files, signed by the server's keys.
    Checksums {
        /// By which hash.
        algorithm: Algorithm,
        /// Whether one list is of all files; else each file has one of its own.
        aggregate: bool,
    },
    /// What the release is, for programs, as it is then.
    Metadata,
}

/// A hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Document {
    /// Whether what is written has the signatures of its own that the list of a release has under the same name.
    pub fn is_signed_list(&self) -> bool {
        match self {
            Self::Checksums { aggregate, .. } => *aggregate,
            Self::Notes | Self::Metadata => false,
        }
    }

    /// What follows `uses`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Notes => "release-notes",
            Self::Checksums { .. } => "checksums",
            Self::Metadata => "release-metadata",
        }
    }
}

impl Algorithm {
    /// What the list of all files is called.
    pub fn list(self) -> &'static str {
        match self {
            Self::Sha256 => SHA256SUMS,
            Self::Sha512 => SHA512SUMS,
        }
    }

    /// How the list of one file ends.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

/// How the statement about a document is called. It has the document's own name, so that two documents of a release
/// never share one, and a document that takes the place of another takes its statement's place, too.
pub fn envelope(document: &str) -> String {
    format!("{document}{ENVELOPE}")
}

/// What steps wrote down of a release, the newest of each name; what was signed about it is evidence, and no document.
pub fn documents(release: &Release) -> BTreeMap<&str, &Evidence> {
    let written = release.evidence.iter().filter(|signed| matches!(signed.what, Matter::Written { .. }));
    let files = written.flat_map(|signed| &signed.files).filter(|file| !file.name.ends_with(ENVELOPE));
    files.map(|file| (file.name.as_str(), file)).collect()
}

/// The documents that are lists of checksums or signatures of such, beside the list that every release has.
pub fn lists(release: &Release) -> impl Iterator<Item = &Evidence> {
    let is_list = |name: &str| {
        let name = name.trim_end_matches(".sig").trim_end_matches(".minisig");
        name == SHA512SUMS || name.ends_with(".sha256") || name.ends_with(".sha512")
    };
    documents(release).into_values().filter(move |file| is_list(&file.name) && file.name != METADATA)
}
