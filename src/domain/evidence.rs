//! What a release can prove to others: the checksums of its files, and a statement of what they were made from.
//!
//! A statement is an in-toto Statement v1 with SLSA provenance v1 (in-toto.io/Statement/v1, slsa.dev/provenance/v1), in
//! an envelope of DSSE v1.0: what is signed is [`pae`] of it, so that no other kind of text can be taken for one.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::domain::event::{Form, Sealed};
use crate::domain::name::{Digest, PipelineId};
use crate::domain::release::Release;

/// The kind of text that is signed.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// The form of statements.
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// What a statement says.
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// How liftlock builds, which gives the parameters their meaning.
const BUILD_TYPE: &str = "urn:liftlock:build:v1";

/// Where a release was made.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The pipeline.
    pub pipeline: &'a PipelineId,
    /// The present name of its repository.
    pub repository: &'a str,
    /// Where people find the commit, when the host has pages.
    pub commit_url: Option<&'a str>,
    /// The server's public address, without a slash at its end.
    pub server: &'a str,
}

/// What a statement says, once its signature has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The name of the file it is about.
    pub name: String,
    /// The repository.
    pub repository: String,
    /// The version.
    pub version: String,
    /// The commit.
    pub commit: String,
    /// The server that built it.
    pub builder: String,
}

/// The name that a sealed artifact has as a file.
pub fn file_name(sealed: &Sealed) -> String {
    match sealed.form {
        Form::Folder => format!("{}.tar.zst", sealed.alias),
        Form::File | Form::Program => sealed.alias.to_string(),
    }
}

/// The lines that `sha256sum --check` reads.
pub fn checksums(release: &Release) -> String {
    let mut out = String::new();
    for sealed in &release.artifacts {
        writeln!(out, "{}  {}", sealed.digest.hex(), file_name(sealed)).unwrap_or_default();
    }
    out
}

/// Whether the release's own build made an artifact: what it took of other builds, of other repositories, or was
/// handed in is a thing it was made from.
fn built_here(release: &Release, sealed: &Sealed) -> bool {
    let pipeline = &release.created.pipeline;
    let taken = pipeline.inherits.iter().any(|inherited| inherited.alias == sealed.alias);
    let fetched = pipeline.sources.iter().any(|source| source.alias == sealed.alias);
    !taken && !fetched && !pipeline.uploads.contains(&sealed.alias)
}

/// Who built which files from what; nothing for a release that built none of its files.
pub fn provenance(release: &Release, origin: Origin<'_>) -> Option<Value> {
    let created = &release.created;
    let (own, taken): (Vec<&Sealed>, Vec<&Sealed>) =
        release.artifacts.iter().partition(|sealed| built_here(release, sealed));
    if own.is_empty() {
        return None;
    }
    let named = |a: &&Sealed| json!({"name": file_name(a), "digest": {"sha256": a.digest.hex()}});
    let subject: Vec<Value> = own.iter().map(named).collect();
    let source = origin.commit_url.map_or_else(|| format!("git+{}", origin.repository), str::to_owned);
    let mut dependencies = vec![json!({"uri": source, "digest": {"gitCommit": created.commit}})];
    dependencies.extend(release.sources.iter().map(|found| {
        let uri = format!("git+https://{}", found.source);
        json!({"name": found.source.alias, "uri": uri, "digest": {"gitCommit": found.commit}})
    }));
    dependencies.extend(taken.iter().map(named));
    Some(json!({
        "_type": STATEMENT,
        "subject": subject,
        "predicateType": PROVENANCE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "repository": origin.repository,
                    "ref": created.branch,
                    "pipeline": origin.pipeline.name,
                    "version": created.version.to_string(),
                    "inputs": created.inputs,
                },
                "internalParameters": {"manifest": {"sha256": created.manifest.hex()}},
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": {"id": origin.server},
                "metadata": {
                    "invocationId": format!(
                        "{}/releases/{}/{}/{}", origin.server, origin.pipeline.repo, origin.pipeline.name, release.no()
                    ),
                    "startedOn": release.at.rfc3339(),
                },
            },
        },
    }))
}

/// What is signed for a text of a type (DSSE v1.0, "Signature Definition").
pub fn pae(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

/// What a statement says of the file with this digest; the error is why it proves nothing about it.
pub fn claim(statement: &Value, digest: &Digest) -> Result<Claim, String> {
    let says = |pointer: &str| statement.pointer(pointer).and_then(Value::as_str);
    if says("/_type") != Some(STATEMENT) || says("/predicateType") != Some(PROVENANCE) {
        return Err("it is no statement of provenance".to_owned());
    }
    let subjects = statement.pointer("/subject").and_then(Value::as_array);
    let about =
        |subject: &&Value| subject.pointer("/digest/sha256").and_then(Value::as_str) == Some(digest.hex());
    let subject = subjects.into_iter().flatten().find(about);
    let subject = subject.ok_or_else(|| format!("it is not about a file with the digest {digest}"))?;
    let lacks = |what: &str| format!("it does not say {what}");
    let definition = "/predicate/buildDefinition";
    let text = |pointer: String, what: &str| says(&pointer).map(str::to_owned).ok_or_else(|| lacks(what));
    Ok(Claim {
        name: subject.pointer("/name").and_then(Value::as_str).unwrap_or_default().to_owned(),
        repository: text(format!("{definition}/externalParameters/repository"), "which repository")?,
        version: text(format!("{definition}/externalParameters/version"), "which version")?,
        commit: text(format!("{definition}/resolvedDependencies/0/digest/gitCommit"), "which commit")?,
        builder: text("/predicate/runDetails/builder/id".to_owned(), "who built it")?,
    })
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

    #[test]
    fn t45_a_statement_proves_something_about_its_own_files_only() {
        let digest: Digest = Digest::of_text("a file");
        let statement = json!({
            "_type": STATEMENT,
            "subject": [{"name": "app", "digest": {"sha256": digest.hex()}}],
            "predicateType": PROVENANCE,
            "predicate": {
                "buildDefinition": {
                    "externalParameters": {"repository": "acme/shop", "version": "v1.2.0"},
                    "resolvedDependencies": [{"digest": {"gitCommit": "c0ffee"}}],
                },
                "runDetails": {"builder": {"id": "https://releases.example"}},
            },
        });
        let found = claim(&statement, &digest).unwrap();
        assert_eq!((found.name.as_str(), found.version.as_str()), ("app", "v1.2.0"));
        assert_eq!((found.commit.as_str(), found.builder.as_str()), ("c0ffee", "https://releases.example"));
        let other = claim(&statement, &Digest::of_text("another file")).unwrap_err();
        assert!(other.contains("not about a file with the digest"), "{other}");
        let mut summary = statement.clone();
        summary["predicateType"] = json!("https://slsa.dev/verification_summary/v1");
        assert_eq!(claim(&summary, &digest).unwrap_err(), "it is no statement of provenance");
        let mut vague = statement;
        vague["predicate"]["runDetails"] = json!({});
        assert_eq!(claim(&vague, &digest).unwrap_err(), "it does not say who built it");
    }
}
