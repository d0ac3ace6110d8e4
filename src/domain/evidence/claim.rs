//! What a statement says about a file, once its signature has been checked.

use serde_json::Value;

use crate::domain::evidence::{PROVENANCE, STATEMENT};
use crate::domain::name::Digest;

/// Where a file comes from.
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
    use serde_json::json;

    use super::*;

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
