//! What a release can prove to others: the checksums of its files, and signed statements about them.
//!
//! [`statement`] makes the statements, [`claim`] reads them, [`chain`] has the links of the promotion chain. They are
//! in-toto Statements v1 (in-toto.io/Statement/v1) in an envelope of DSSE v1.0: what is signed is [`pae`] of it, so
//! that no other kind of text can be taken for one. Each is signed once, kept by its digest, and named in the log, so
//! that a new key does not change what a release shows.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::domain::derivation::Revision;
use crate::domain::document::Document;
use crate::domain::event::{Form, Sealed};
use crate::domain::name::{Digest, ReleaseNo, StageName};
use crate::domain::release::{BuildState, Release, StageState};
use crate::domain::time::Timestamp;

pub mod chain;
pub mod claim;
pub mod statement;

pub use statement::Origin;

/// The kind of text that is signed.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// The form of statements.
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// Who built which files from what.
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// How the envelope of one statement is called.
pub const ENVELOPE: &str = ".dsse.json";
/// How all envelopes about one file are called, behind its own name.
pub const STATEMENTS: &str = ".intoto.jsonl";
/// The envelope of the provenance.
pub const PROVENANCE_FILE: &str = "provenance.dsse.json";
/// The same as a Sigstore bundle.
pub const BUNDLE_FILE: &str = "provenance.sigstore.json";
/// The envelope of the statement that a release took over what was built for another.
pub const REUSED_FILE: &str = "reused.dsse.json";
/// What the name of a statement about what a stage made begins with.
const MADE: &str = "made-";
/// What the release is made of, as lock files say.
pub const SBOM_FILE: &str = "sbom.cdx.json";
/// The statement that says which bill of materials belongs to the files.
pub const SBOM_ENVELOPE: &str = "sbom.dsse.json";
/// The checksums of all files.
pub const SHA256SUMS: &str = "SHA256SUMS";
/// The same by another hash.
pub const SHA512SUMS: &str = "SHA512SUMS";

/// What evidence is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Matter {
    /// What was built, and from what.
    Build,
    /// That the release succeeded in a stage.
    Stage {
        /// Which stage.
        stage: StageName,
        /// Which attempt.
        attempt: u32,
    },
    /// The promotion chain of what was signed before there were links.
    Links,
    /// What a stage made of the artifacts, and out of what.
    Revision {
        /// Which revision.
        no: u32,
    },
    /// What a step of a stage wrote down.
    Written {
        /// Which stage.
        stage: StageName,
        /// Which attempt.
        attempt: u32,
        /// What.
        document: Document,
    },
}

/// A file of evidence that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Its name, for whoever takes it along.
    pub name: String,
    /// Digest of its bytes.
    pub digest: Digest,
    /// How many there are.
    pub size: u64,
}

/// What was signed about a matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The matter.
    pub what: Matter,
    /// When.
    pub at: Timestamp,
    /// What was kept of it.
    pub files: Vec<Evidence>,
}

/// Something about a release was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attested {
    /// The release.
    pub release: ReleaseNo,
    /// What it is about.
    pub what: Matter,
    /// What was kept of it.
    pub files: Vec<Evidence>,
}

/// The name that a sealed artifact has as a file.
pub fn file_name(sealed: &Sealed) -> String {
    match sealed.form {
        Form::Folder => format!("{}.tar.zst", sealed.alias),
        Form::File | Form::Program => sealed.alias.to_string(),
    }
}

/// The name of the statement about what a stage made.
pub fn made_file(revision: &Revision) -> String {
    format!("{MADE}{}-{}{ENVELOPE}", revision.stage, revision.attempt)
}

/// The lines that `sha256sum --check` reads.
pub fn checksums<'a>(files: impl IntoIterator<Item = &'a Sealed>) -> String {
    sums(files.into_iter().map(|file| (file, file.digest.hex())))
}

/// The same of whatever hash.
pub fn sums<'a>(files: impl Iterator<Item = (&'a Sealed, &'a str)>) -> String {
    let mut out = String::new();
    for (file, hex) in files {
        writeln!(out, "{hex}  {}", file_name(file)).unwrap_or_default();
    }
    out
}

/// What of a release is to be signed and is not yet: first what was built, then where it succeeded since.
pub fn owed(release: &Release) -> Vec<Matter> {
    if release.build != BuildState::Sealed || release.artifacts.is_empty() || release.retired.is_some() {
        return Vec::new();
    }
    if release.signed(&Matter::Build).is_none() {
        return vec![Matter::Build];
    }
    // Every plan asks this of every release, so nothing is copied of what has been signed.
    let signed = |stage: &StageName, attempt: u32| {
        release.evidence.iter().any(|signed| match &signed.what {
            Matter::Build | Matter::Links | Matter::Revision { .. } | Matter::Written { .. } => false,
            Matter::Stage { stage: known, attempt: no } => known == stage && *no == attempt,
        })
    };
    let succeeded = release.stages.iter().flat_map(|(stage, runs)| {
        let good = runs.iter().filter(|run| run.state == StageState::Succeeded);
        let left = good.filter(move |run| !signed(stage, run.attempt));
        left.map(|run| Matter::Stage { stage: stage.clone(), attempt: run.attempt })
    });
    let made = release.revisions.iter().map(|revision| Matter::Revision { no: revision.no });
    let made = made.filter(|what| release.signed(what).is_none());
    made.chain(succeeded).chain(chain::lacks(release).then_some(Matter::Links)).collect()
}

/// Whether the files as they are now are still to be signed.
pub fn unsigned(release: &Release) -> bool {
    let made = release.revisions.iter().map(|revision| Matter::Revision { no: revision.no });
    std::iter::once(Matter::Build).chain(made).any(|what| release.signed(&what).is_none())
}

/// Every file of evidence that is kept of a release, for whoever shows it or publishes it beside the release's own.
pub fn files(release: &Release) -> impl Iterator<Item = &Evidence> {
    release.evidence.iter().flat_map(|signed| &signed.files)
}

/// The same without what something newer of the same name has taken the place of.
pub fn current(release: &Release) -> impl Iterator<Item = &Evidence> {
    files(release).filter(|kept| file(release, &kept.name) == Some(*kept))
}

/// The newest file of this name.
pub fn file<'a>(release: &'a Release, name: &str) -> Option<&'a Evidence> {
    files(release).filter(|kept| kept.name == name).last()
}

/// The envelopes that are about a file of the release, oldest first: where it comes from, and where it succeeded.
pub fn statements_about<'a>(release: &'a Release, file: &Sealed) -> Vec<&'a Evidence> {
    let made = release.made(&file.alias).map(|(revision, _)| revision.no);
    let about = |signed: &&Signed| match &signed.what {
        Matter::Build => made.is_none(),
        Matter::Revision { no } => made == Some(*no),
        Matter::Stage { stage, attempt } => {
            let run = release.attempt(stage, *attempt);
            run.is_some_and(|run| release.seen_by(run).artifacts.contains(file))
        }
        Matter::Links | Matter::Written { .. } => false,
    };
    let kept = release.evidence.iter().filter(about).flat_map(|signed| &signed.files);
    let own = built_here(release, file);
    kept.filter(|kept| {
        kept.name.ends_with(ENVELOPE) && (own || !matches!(kept.name.as_str(), PROVENANCE_FILE | REUSED_FILE))
    })
    .collect()
}

/// Whether the release's own build made an artifact: what it took of other builds, of other repositories, or was
/// handed in is a thing it was made from.
pub fn built_here(release: &Release, sealed: &Sealed) -> bool {
    let pipeline = &release.created.pipeline;
    let taken = pipeline.inherits.iter().any(|inherited| inherited.alias == sealed.alias);
    let fetched = pipeline.sources.iter().any(|source| source.alias == sealed.alias);
    !taken && !fetched && !pipeline.uploads.contains(&sealed.alias)
}

/// What is signed for a text of a type (DSSE v1.0, "Signature Definition").
pub fn pae(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    #[test]
    fn what_is_signed_is_that_of_dsse() {
        let signed = pae("http://example.com/HelloWorld", b"hello world");
        assert_eq!(signed, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }
}
