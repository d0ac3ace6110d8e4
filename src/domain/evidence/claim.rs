//! What a statement claims, once its signature has been checked, and about which files.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::domain::evidence::statement::{PASSED, REFERENCE, REUSED, STAGE, TESTS, WRITTEN};
use crate::domain::evidence::{PROVENANCE, STATEMENT};
use crate::domain::name::{Digest, printable};
use crate::domain::time::Timestamp;

/// What a statement claims of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Where they come from.
    Built(Built),
    /// That they were found good in a stage.
    Passed {
        /// Which stage.
        stage: String,
        /// Who found it.
        verifier: String,
        /// When.
        at: String,
    },
    /// That another file belongs to them.
    Refers {
        /// Its name.
        name: String,
        /// The hex of its digest.
        sha256: String,
    },
    /// That they were taken over for a release and not built for it.
    Reused {
        /// The repository.
        repository: String,
        /// The version of the release.
        version: String,
        /// Its commit.
        commit: String,
        /// The tree that this commit and the one that was built share, when they are two.
        tree: Option<String>,
        /// What they were built for.
        built_for: String,
    },
    /// How the tests and checks of a stage ended.
    Tested {
        /// `PASSED`, or `WARNED` when something was passed over.
        result: String,
        /// What was not good, and was passed over.
        warned: Vec<String>,
    },
    /// That they went through a step of the promotion chain.
    Linked {
        /// The step.
        step: String,
        /// Whose word it is.
        by: Option<String>,
    },
}

/// Where a file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The repository.
    pub repository: String,
    /// The version.
    pub version: String,
    /// The commit.
    pub commit: String,
    /// The server that built it.
    pub builder: String,
}

/// The name under which a statement is about the file with this digest, if it is.
pub fn named<'a>(statement: &'a Value, digest: &Digest) -> Option<&'a str> {
    let subjects = statement.pointer("/subject").and_then(Value::as_array)?;
    let about =
        |subject: &&Value| subject.pointer("/digest/sha256").and_then(Value::as_str) == Some(digest.hex());
    subjects.iter().find(about)?.pointer("/name").and_then(Value::as_str)
}

/// Where statements and links say when what they say happened.
const TIMES: [&str; 7] = [
    "/predicate/timeVerified",
    "/predicate/timeTaken",
    "/predicate/timeWritten",
    "/predicate/timeAttested",
    "/predicate/runDetails/metadata/startedOn",
    "/predicate/runDetails/metadata/finishedOn",
    "/byproducts/at",
];

/// When what a statement or a link says happened, as it says itself.
pub fn said_at(statement: &Value) -> Option<Timestamp> {
    let times = TIMES.iter().filter_map(|at| statement.pointer(at).and_then(Value::as_str));
    times.filter_map(Timestamp::parse).max()
}

/// Where a provenance says of which commit the build was.
const BUILT_FROM: &str = "/predicate/buildDefinition/resolvedDependencies/0/digest/gitCommit";
/// What stands before the name of a release in the address of its page.
const RELEASES: &str = "/releases/";

/// The page of the release that a statement or a link is of, as it says itself; some are about files alone.
pub fn page_of(statement: &Value) -> Option<&str> {
    let says = |pointer: &str| statement.pointer(pointer).and_then(Value::as_str);
    match says("/predicateType") {
        Some(PROVENANCE) => says("/predicate/runDetails/metadata/invocationId"),
        Some(PASSED) => says("/predicate/resourceUri"),
        Some(TESTS) => says("/predicate/url"),
        Some(REUSED | WRITTEN) => says("/predicate/release"),
        Some(_) => None,
        None => says("/byproducts/release"),
    }
}

/// Whether a statement is of the release with this page: `<repository>/<pipeline>/<number>`, wherever the server is.
pub fn is_of(statement: &Value, release: &str) -> bool {
    page_of(statement).and_then(|page| page.rsplit_once(RELEASES)).is_some_and(|(_, at)| at == release)
}

/// The other release, if a statement is of one: only where files come from may be said by another build, of the commit
/// that one of these statements says the files were taken over from.
pub fn of_another<'a>(statement: &'a Value, all: &[Value], release: &str) -> Option<&'a str> {
    let page = page_of(statement).filter(|_| !is_of(statement, release))?;
    let says = |said: &Value, pointer: &str| said.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let is = |said: &Value, kind: &str| says(said, "/predicateType").as_deref() == Some(kind);
    let commit = says(statement, BUILT_FROM).filter(|_| is(statement, PROVENANCE));
    let taken_over = commit.is_some_and(|commit| {
        let from = |other: &Value| says(other, "/predicate/builtFrom/gitCommit");
        let mut over = all.iter().filter(|other| is(other, REUSED) && is_of(other, release));
        over.any(|other| from(other).as_ref() == Some(&commit))
    });
    (!taken_over).then(|| page.rsplit_once(RELEASES).map_or(page, |(_, release)| release))
}

/// The one release that statements are of, if they are of any; the error names two. The same bytes may be in several
/// releases, and what a stage of one of them says is no word about another.
pub fn one_release(all: &[Value]) -> Result<Option<&str>, String> {
    let pages = all.iter().filter_map(page_of);
    let named: BTreeSet<&str> = pages.filter_map(|page| Some(page.rsplit_once(RELEASES)?.1)).collect();
    let mut others = Vec::new();
    for release in named {
        match all.iter().find_map(|statement| of_another(statement, all, release)) {
            None => return Ok(Some(release)),
            Some(other) => others.push((release, other)),
        }
    }
    match others.first() {
        None => Ok(None),
        Some((one, other)) => Err(format!(
            "what is signed is of {} and of {}; take away what is not of the release that you mean",
            printable(one),
            printable(other)
        )),
    }
}

/// Files by their digests, as a list of a statement has them.
fn listed<'a>(statement: &'a Value, list: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let entries = statement.pointer(list).and_then(Value::as_array);
    entries.into_iter().flatten().filter_map(|entry| {
        let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str);
        Some((text("/name")?, text("/digest/sha256")?))
    })
}

/// Whether a statement is about the file of this name with this digest.
pub fn is_about(statement: &Value, name: &str, digest: &Digest) -> bool {
    listed(statement, "/subject").any(|(known, sha256)| known == name && sha256 == digest.hex())
}

/// The files beside those of the release that have to be there by a statement, with the hex of their digests: what it
/// refers to, and what a stage wrote down.
pub fn belonging(statement: &Value) -> Vec<(&str, &str)> {
    match statement.pointer("/predicateType").and_then(Value::as_str) {
        Some(REFERENCE) => listed(statement, "/predicate/references").collect(),
        Some(WRITTEN) => listed(statement, "/subject").collect(),
        Some(_) | None => Vec::new(),
    }
}

/// What a statement claims; the error is why it claims nothing that is known.
pub fn claim(statement: &Value) -> Result<Claim, String> {
    let says = |pointer: &str| statement.pointer(pointer).and_then(Value::as_str);
    let lacks = |what: &str| format!("it does not say {what}");
    let text = |pointer: &str, what: &str| says(pointer).map(str::to_owned).ok_or_else(|| lacks(what));
    if says("/_type") != Some(STATEMENT) {
        return Err("it is no statement of in-toto".to_owned());
    }
    match says("/predicateType") {
        Some(PROVENANCE) => Ok(Claim::Built(Built {
            repository: text("/predicate/buildDefinition/externalParameters/repository", "which repository")?,
            version: text("/predicate/buildDefinition/externalParameters/version", "which version")?,
            commit: text(BUILT_FROM, "which commit")?,
            builder: text("/predicate/runDetails/builder/id", "who built it")?,
        })),
        Some(REUSED) => Ok(Claim::Reused {
            repository: text("/predicate/repository", "of which repository")?,
            version: text("/predicate/version", "for which version")?,
            commit: text("/predicate/commit/gitCommit", "for which commit")?,
            tree: says("/predicate/tree/gitTree").map(str::to_owned),
            built_for: text("/predicate/builtFor/name", "what it was built for")?,
        }),
        Some(PASSED) => {
            if says("/predicate/verificationResult") != Some("PASSED") {
                return Err("it does not say that it passed".to_owned());
            }
            let levels = statement.pointer("/predicate/verifiedLevels").and_then(Value::as_array);
            let mut levels = levels.into_iter().flatten().filter_map(Value::as_str);
            let stage =
                levels.find_map(|level| level.strip_prefix(STAGE)).ok_or_else(|| lacks("which stage"))?;
            Ok(Claim::Passed {
                stage: stage.to_owned(),
                verifier: text("/predicate/verifier/id", "who found it")?,
                at: text("/predicate/timeVerified", "when")?,
            })
        }
        Some(TESTS) => {
            let result = text("/predicate/result", "how it ended")?;
            if !matches!(result.as_str(), "PASSED" | "WARNED") {
                return Err(format!("it says that tests {}", printable(&result)));
            }
            let warned = statement.pointer("/predicate/warnedTests").and_then(Value::as_array);
            let warned = warned.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
            Ok(Claim::Tested { result, warned: warned.collect() })
        }
        Some(REFERENCE) => Ok(Claim::Refers {
            name: text("/predicate/references/0/name", "which file belongs to it")?,
            sha256: text("/predicate/references/0/digest/sha256", "which digest that has")?,
        }),
        Some(_) | None => Err("it is of a kind that is not known here".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn t45_a_statement_claims_something_about_its_own_files_only() {
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
        let Claim::Built(found) = claim(&statement).unwrap() else { panic!("it is provenance") };
        assert_eq!((named(&statement, &digest), found.version.as_str()), (Some("app"), "v1.2.0"));
        assert_eq!((found.commit.as_str(), found.builder.as_str()), ("c0ffee", "https://releases.example"));
        assert_eq!(named(&statement, &Digest::of_text("another file")), None);
        let mut vague = statement.clone();
        vague["predicate"]["runDetails"] = json!({});
        assert_eq!(claim(&vague).unwrap_err(), "it does not say who built it");
        vague["_type"] = json!("https://in-toto.io/Link/v1");
        assert_eq!(claim(&vague).unwrap_err(), "it is no statement of in-toto");
        let mut odd = statement;
        odd["predicateType"] = json!("https://example.com/praise/v1");
        assert_eq!(claim(&odd).unwrap_err(), "it is of a kind that is not known here");
    }

    #[test]
    fn t45_e10_what_was_taken_over_is_said_with_both_commits() {
        let mut statement = json!({
            "_type": STATEMENT, "predicateType": REUSED,
            "predicate": {
                "repository": "acme/shop", "version": "v1.2.0", "commit": {"gitCommit": "c0ffee"},
                "tree": {"gitTree": "7ea"}, "builtFrom": {"gitCommit": "ba5e"}, "builtFor": {"name": "v1.2.0-rc.1"},
            },
        });
        let Claim::Reused { version, commit, tree, built_for, .. } = claim(&statement).unwrap() else {
            panic!("it was taken over")
        };
        assert_eq!(
            (version.as_str(), commit.as_str(), built_for.as_str()),
            ("v1.2.0", "c0ffee", "v1.2.0-rc.1")
        );
        assert_eq!(tree.as_deref(), Some("7ea"));
        statement["predicate"]["tree"] = json!(null);
        assert!(matches!(claim(&statement).unwrap(), Claim::Reused { tree: None, .. }));
        statement["predicate"]["builtFor"] = json!({});
        assert_eq!(claim(&statement).unwrap_err(), "it does not say what it was built for");
    }

    /// What release 3 took over from 2 was built for 1: where it comes from, 1 says, and everything else it says itself.
    #[test]
    fn t44_t45_what_is_of_another_release_is_told_from_what_was_taken_over() {
        let page = |no: u32| format!("https://releases.example/releases/github:7/shop/{no}");
        let provenance = |no: u32, commit: &str| {
            json!({
                "predicateType": PROVENANCE,
                "predicate": {
                    "buildDefinition": {"resolvedDependencies": [{"digest": {"gitCommit": commit}}]},
                    "runDetails": {"metadata": {"invocationId": page(no)}},
                },
            })
        };
        let over = json!({
            "predicateType": REUSED,
            "predicate": {"release": page(3), "builtFrom": {"gitCommit": "ba5e"}, "builtFor": {"uri": page(2)}},
        });
        let (all, wanted) = (std::slice::from_ref(&over), "github:7/shop/3");
        assert_eq!(of_another(&provenance(1, "ba5e"), all, wanted), None);
        assert_eq!(of_another(&over, all, wanted), None);
        assert_eq!(of_another(&provenance(1, "c0ffee"), all, wanted), Some("github:7/shop/1"));
        assert_eq!(of_another(&provenance(1, "ba5e"), &[], wanted), Some("github:7/shop/1"));
        assert_eq!(of_another(&over, all, "github:7/shop/33"), Some(wanted));
        let other = json!({"predicateType": PASSED, "predicate": {"resourceUri": page(1)}});
        assert_eq!(of_another(&other, all, wanted), Some("github:7/shop/1"));
        let link = json!({"_type": "link", "byproducts": {"release": page(2)}});
        assert_eq!(of_another(&link, all, wanted), Some("github:7/shop/2"));
        let about_files = json!({"predicateType": REFERENCE, "predicate": {}});
        assert_eq!(of_another(&about_files, all, wanted), None);

        // Which release that is need not be said.
        let passed = |no: u32| json!({"predicateType": PASSED, "predicate": {"resourceUri": page(no)}});
        let one = |all: &[Value]| one_release(all).map(|found| found.map(str::to_owned));
        let wanted = Ok(Some(wanted.to_owned()));
        assert_eq!(one(&[provenance(1, "ba5e"), over, about_files.clone(), passed(3)]), wanted);
        assert_eq!(
            one(&[passed(3), about_files.clone(), link]).unwrap_err().matches("github:7/shop/").count(),
            2
        );
        assert_eq!(one(&[about_files]), Ok(None));
        let both = one(&[provenance(1, "ba5e"), passed(1), passed(2)]).unwrap_err();
        assert!(both.starts_with("what is signed is of github:7/shop/1 and of github:7/shop/2;"), "{both}");
    }

    #[test]
    fn t45_a_summary_that_does_not_say_that_it_passed_says_nothing() {
        let mut summary = json!({
            "_type": STATEMENT,
            "subject": [],
            "predicateType": PASSED,
            "predicate": {
                "verificationResult": "PASSED",
                "verifiedLevels": ["stage:prod", "SLSA_BUILD_LEVEL_1"],
                "verifier": {"id": "https://releases.example"},
                "timeVerified": "2026-01-01T00:00:00Z",
            },
        });
        let Claim::Passed { stage, .. } = claim(&summary).unwrap() else { panic!("it is a summary") };
        assert_eq!(stage, "prod");
        summary["predicate"]["verificationResult"] = json!("FAILED");
        assert_eq!(claim(&summary).unwrap_err(), "it does not say that it passed");
        let tests = |result: &str| json!({"_type": STATEMENT, "predicateType": TESTS, "predicate": {"result": result, "warnedTests": ["scan"]}});
        let warned = Claim::Tested { result: "WARNED".to_owned(), warned: vec!["scan".to_owned()] };
        assert_eq!(claim(&tests("WARNED")).unwrap(), warned);
        assert_eq!(claim(&tests("FAILED")).unwrap_err(), "it says that tests FAILED");
    }
}
