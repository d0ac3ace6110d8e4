//! Another tool's pipeline → a manifest to begin with, and a list of what it could not carry over.
//!
//! What is written loads; what the other tool knows and a manifest does not say is named, never guessed.

use std::fmt::Write as _;

use crate::domain::manifest::problem::Severity;
use crate::domain::manifest::{COPILOT_BUILDSPEC, NATIVE_PATHS, Report, Sources, check};
use crate::domain::name::printable;

mod azure;

pub use azure::azure_release;

/// A manifest and what is left to do by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The text of `.github/liftlock.yml`.
    pub manifest: String,
    /// What is not in it, a sentence each.
    pub left: Vec<String>,
}

/// Why a file cannot be imported, as a sentence.
pub type Broken = String;

/// A text as YAML and JSON both read it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A Copilot pipeline: its file is a manifest already, so it is kept with its comments and gets what Copilot took for
/// granted.
pub fn copilot(text: &str) -> Result<Imported, Broken> {
    let read: serde_json::Value = serde_saphyr::from_str(text)
        .map_err(|e| format!("it is not YAML: {}", first_line(&e.to_string())))?;
    let Some(keys) = read.as_object() else { return Err("it is not a mapping".to_owned()) };
    if !keys.contains_key("stages") {
        return Err("it has no `stages`, so it is no Copilot pipeline".to_owned());
    }
    let mut added = String::new();
    let mut add = |key: &str, line: &str| {
        if !keys.contains_key(key) {
            writeln!(added, "{line}").unwrap_or_default();
        }
    };
    add("build", &format!("build: {{buildspec: {COPILOT_BUILDSPEC}}}"));
    add("services", "services: copilot");
    add("deploy", "deploy: copilot svc deploy --name \"$SERVICE\" --env \"$STAGE\"");
    let mut left = Vec::new();
    let property = |name: &str| read.pointer(&format!("/source/properties/{name}")).and_then(|v| v.as_str());
    if let Some(secret) = property("access_token_secret") {
        left.push(format!(
            "the token `{name}` is the server's: `liftlock secret set {name}` seals it, and `token = {{ sealed = \
             \"{name}\" }}` under [github] in its config names it",
            name = printable(secret)
        ));
    }
    if let Some(connection) = property("connection_name") {
        left.push(format!(
            "the connection `{}` is not needed: the server reaches the host itself",
            printable(connection)
        ));
    }
    let manifest = format!("{}\n{added}", with_buildspec(text, keys.get("build"))?.trim_end());
    let mut imported = finished(manifest, left)?;
    if keys.get("build").and_then(|build| build.get("additional_policy")).is_some() {
        imported.left.push(rights(&imported.manifest));
    }
    Ok(imported)
}

/// Copilot's `build` may name an image or rights alone: its commands are those of the buildspec beside the pipeline.
fn with_buildspec(text: &str, build: Option<&serde_json::Value>) -> Result<String, Broken> {
    let commands = ["buildspec", "run", "steps"];
    let Some(keys) = build.and_then(|build| build.as_object()) else { return Ok(text.to_owned()) };
    if commands.iter().any(|key| keys.contains_key(*key)) {
        return Ok(text.to_owned());
    }
    let is_said = |line: &str| !line.trim_start().is_empty() && !line.trim_start().starts_with('#');
    let opens = |line: &str| line.strip_prefix("build:").is_some_and(|rest| !is_said(rest));
    let mut lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| opens(line)).map(|at| at.saturating_add(1));
    let first = at.and_then(|at| lines.get(at..)?.iter().find(|line| is_said(line)));
    let (Some(at), Some(first)) = (at, first) else {
        return Err(format!("`build` names no commands: write `buildspec: {COPILOT_BUILDSPEC}` into it"));
    };
    let indent: String = first.chars().take_while(|c| *c == ' ').collect();
    let line = format!("{indent}buildspec: {COPILOT_BUILDSPEC}");
    lines.insert(at, &line);
    Ok(lines.join("\n"))
}

/// What becomes of a policy, with the rights that somebody has to give, as a check of the manifest tells them.
fn rights(manifest: &str) -> String {
    const NONE: &str = "`additional_policy` has no effect";
    let problems = checked(manifest).map(|report| report.problems).unwrap_or_default();
    let hint =
        problems.into_iter().find(|problem| problem.message.starts_with(NONE)).and_then(|told| told.hint);
    let hint = hint.unwrap_or_else(|| "give the rights to the server's machine".to_owned());
    format!("{NONE}: {hint}")
}

/// A manifest that does not load is said to be broken, with the first thing that is wrong.
fn finished(manifest: String, left: Vec<String>) -> Result<Imported, Broken> {
    let report = checked(&manifest).ok_or("no name")?;
    // What is read from other files is not here, and is there when the manifest is.
    let elsewhere = ["no folder in `copilot`"];
    let wrong = report.problems.iter().find(|p| {
        p.severity == Severity::Error && !elsewhere.iter().any(|start| p.message.starts_with(start))
    });
    match wrong {
        Some(problem) => Err(format!("line {}: {}", problem.line, problem.message)),
        None => Ok(Imported { manifest, left }),
    }
}

fn checked(manifest: &str) -> Option<Report> {
    let files = Sources::from([(NATIVE_PATHS[0].to_owned(), manifest.to_owned())]);
    Some(check(&files, &"imported".parse().ok()?))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The manifest, then a line for each thing that is left.
    fn shown(imported: &Imported) -> String {
        let left: Vec<String> = imported.left.iter().map(|left| format!("# - {left}\n")).collect();
        format!("{}{}", imported.manifest, left.concat())
    }

    fn compared(name: &str, actual: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/import").join(name);
        #[expect(clippy::disallowed_methods, reason = "a switch of the test, not of the program")]
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, actual).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), actual, "UPDATE=1 rewrites it");
    }

    #[test]
    fn an_azure_release_definition_becomes_a_manifest_that_loads() {
        let imported = azure_release(include_str!("../../fixtures/import/azure-release.json")).unwrap();
        compared("azure-release.out", &shown(&imported));
    }

    #[test]
    fn c19_c20_a_copilot_pipeline_becomes_a_manifest_that_loads() {
        let seed = include_str!("../../fixtures/manifests/good/2a-copilot-seed-verbatim.yml");
        let imported = copilot(seed).unwrap();
        assert!(imported.manifest.starts_with(seed.trim_end()), "the file stays as it was written");
        compared("copilot.out", &shown(&imported));
        let again = copilot(&imported.manifest).unwrap();
        assert_eq!(
            again.manifest.trim_end(),
            imported.manifest.trim_end(),
            "what is there is not added again"
        );
    }

    #[test]
    fn c31_c40_a_build_that_names_an_image_alone_has_the_commands_of_the_buildspec() {
        let text = "version: 1\nbuild:\n  # The machine of the build.\n  image: aws/codebuild/standard:7.0\nstages: [{name: test}]\n";
        let manifest = copilot(text).unwrap().manifest;
        let expected =
            "build:\n  buildspec: copilot/buildspec.yml\n  # The machine of the build.\n  image: aws/";
        assert!(manifest.contains(expected), "{manifest}");
        assert_eq!(copilot(&manifest).unwrap().manifest, manifest);
        let said = copilot("version: 1\nbuild: {image: x}\nstages: [{name: test}]\n").unwrap_err();
        assert_eq!(said, "`build` names no commands: write `buildspec: copilot/buildspec.yml` into it");
    }

    #[test]
    fn c40_what_has_no_effect_here_is_left_with_the_rights_that_somebody_has_to_give() {
        let left = |policy: &str| {
            let text = format!(
                "version: 1\nsource: {{properties: {{connection_name: main, output_artifact_format: CODE_ZIP}}}}\n\
                 build: {{run: make, additional_policy: {{PolicyDocument: {policy}}}}}\nstages: [{{name: test}}]\n"
            );
            let mut left = copilot(&text).unwrap().left;
            assert!(left[0].starts_with("the connection `main`"), "{left:?}");
            assert_eq!(left.len(), 2, "{left:?}");
            left.remove(1)
        };
        let none = "`additional_policy` has no effect: give the rights to the server's machine";
        assert_eq!(left("{}"), none);
        let policy = "{Statement: [{Effect: Allow, Action: 's3:PutObject', Resource: 'arn:aws:s3:::drop/*'}, {Effect: Deny, \
                      NotAction: 's3:*', Resource: '*'}]}";
        let map = "`additional_policy` has no effect: the server's own role is to allow `s3:PutObject` on \
                   `arn:aws:s3:::drop/*`; and it is to deny everything but `s3:*` on `*`";
        assert_eq!(left(policy), map);
    }

    #[test]
    fn what_is_broken_or_something_else_is_said_to_be() {
        for (text, why) in [
            ("", "it is not a release definition"),
            ("{", "it is not a release definition"),
            ("[]", "it has no `environments`"),
            ("{}", "it has no `environments`"),
            ("{\"environments\": []}", "it has no stage"),
            ("{\"name\": \"x\", \"environments\": 3}", "it is not a release definition"),
        ] {
            assert!(azure_release(text).unwrap_err().starts_with(why), "{text}");
        }
        for (text, why) in [
            ("a: [", "it is not YAML"),
            ("- a", "it is not a mapping"),
            ("name: x", "it has no `stages`"),
            ("version: 1\nstages: [{name: Test}]", "line 2: "),
        ] {
            let said = copilot(text).unwrap_err();
            assert!(said.starts_with(why), "{text}: {said}");
        }
    }
}
