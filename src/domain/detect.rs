//! The files of a folder → what kind of project it is and a first manifest for it.

use std::collections::BTreeSet;

use crate::domain::name::PipelineName;

/// Kinds of project that have a starter manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A `Cargo.toml`.
    Cargo,
    /// A `package.json` with a `build` script.
    Npm,
    /// A `package.json` without one: the package itself is the artifact.
    NpmPackage,
    /// A `go.mod`.
    Go,
    /// A `pyproject.toml` or `setup.py`.
    Python,
    /// A `Makefile`.
    Make,
    /// A `Dockerfile`.
    Docker,
    /// None of these: the tree itself is packed.
    Empty,
}

/// All kinds in the order [`detect`] prefers them: what builds with one command of its own comes first.
pub const KINDS: [Kind; 8] =
    [Kind::Make, Kind::Cargo, Kind::Go, Kind::Npm, Kind::NpmPackage, Kind::Python, Kind::Docker, Kind::Empty];

impl Kind {
    /// The word for `init --template`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Cargo => "cargo",
            Self::Npm => "npm",
            Self::NpmPackage => "npm-package",
            Self::Go => "go",
            Self::Python => "python",
            Self::Make => "make",
            Self::Docker => "docker",
            Self::Empty => "empty",
        }
    }

    /// The kind of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        KINDS.into_iter().find(|k| k.word() == word)
    }

    fn template(self) -> &'static str {
        match self {
            Self::Cargo => include_str!("../../templates/starter/cargo.yml"),
            Self::Npm => include_str!("../../templates/starter/npm.yml"),
            Self::NpmPackage => include_str!("../../templates/starter/npm-package.yml"),
            Self::Go => include_str!("../../templates/starter/go.yml"),
            Self::Python => include_str!("../../templates/starter/python.yml"),
            Self::Make => include_str!("../../templates/starter/make.yml"),
            Self::Docker => include_str!("../../templates/starter/docker.yml"),
            Self::Empty => include_str!("../../templates/starter/empty.yml"),
        }
    }
}

/// Every kind a folder shows, preferred first; `[Empty]` when it shows none. `paths` are the files directly in the
/// folder; `package_json` is the text of that file when there is one.
pub fn detect(paths: &BTreeSet<String>, package_json: Option<&str>) -> Vec<Kind> {
    let has = |name: &str| paths.contains(name);
    let mut found: Vec<Kind> = KINDS
        .into_iter()
        .filter(|kind| match kind {
            Kind::Cargo => has("Cargo.toml"),
            Kind::Npm => has("package.json") && package_json.is_some_and(has_build_script),
            Kind::NpmPackage => has("package.json") && !package_json.is_some_and(has_build_script),
            Kind::Go => has("go.mod"),
            Kind::Python => has("pyproject.toml") || has("setup.py"),
            Kind::Make => has("Makefile") || has("makefile") || has("GNUmakefile"),
            Kind::Docker => has("Dockerfile"),
            Kind::Empty => false,
        })
        .collect();
    if found.is_empty() {
        found.push(Kind::Empty);
    }
    found
}

fn has_build_script(package_json: &str) -> bool {
    let parsed: Option<serde_json::Value> = serde_json::from_str(package_json).ok();
    parsed.is_some_and(|package| package.pointer("/scripts/build").is_some_and(serde_json::Value::is_string))
}

/// A first manifest for this version of the program (row C32), with a `name`, and the address of the repository it is
/// for, when they are given. It loads; the deploy commands in it are to be replaced.
pub fn starter(kind: Kind, name: Option<&PipelineName>, repository: Option<&str>) -> String {
    let name = name.map(|name| format!("name: \"{name}\"\n")).unwrap_or_default();
    let source = repository
        .map(|url| format!("source:\n  properties:\n    repository: \"{url}\"\n"))
        .unwrap_or_default();
    let own = env!("CARGO_PKG_VERSION");
    let head = format!("version: 1\ntool_version: {own}\n{name}{source}");
    kind.template().replacen("version: 1\n", &head, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::manifest;
    use crate::domain::manifest::problem::render_text;

    fn kinds(paths: &[&str], package_json: Option<&str>) -> Vec<Kind> {
        detect(&paths.iter().map(|p| (*p).to_owned()).collect(), package_json)
    }

    #[test]
    fn folders_are_recognised_by_their_files() {
        assert_eq!(kinds(&["Cargo.toml", "README.md"], None), [Kind::Cargo]);
        assert_eq!(kinds(&["Makefile", "go.mod", "Dockerfile"], None), [Kind::Make, Kind::Go, Kind::Docker]);
        assert_eq!(kinds(&["package.json"], Some(r#"{"scripts": {"build": "vite build"}}"#)), [Kind::Npm]);
        assert_eq!(kinds(&["package.json"], Some(r#"{"scripts": {"build": 1}}"#)), [Kind::NpmPackage]);
        assert_eq!(kinds(&["package.json"], Some("not json")), [Kind::NpmPackage]);
        assert_eq!(kinds(&["package.json"], None), [Kind::NpmPackage]);
        assert_eq!(kinds(&["setup.py"], None), [Kind::Python]);
        assert_eq!(kinds(&["notes.txt"], None), [Kind::Empty]);
    }

    #[test]
    fn a10_c32_every_starter_loads_with_and_without_a_name() {
        let schema = jsonschema::validator_for(&manifest::schema::schema()).unwrap();
        for kind in KINDS {
            assert_eq!(Kind::of_word(kind.word()), Some(kind));
            for name in [None, Some("acme.Invictus.Framework".parse::<PipelineName>().unwrap())] {
                let text = starter(kind, name.as_ref(), Some("https://github.com/acme/web"));
                assert!(schema.is_valid(&serde_saphyr::from_str(&text).unwrap()), "{kind:?}");
                assert!(text.starts_with("# yaml-language-server: $schema="), "{kind:?}");
                let pin = format!("\nversion: 1\ntool_version: {}\n", env!("CARGO_PKG_VERSION"));
                assert!(text.contains(&pin), "{kind:?}\n{text}");
                let files = [(manifest::NATIVE_PATHS[0].to_owned(), text)].into();
                let report = manifest::check(&files, &"acme/web".parse().unwrap());
                assert!(report.problems.is_empty(), "{kind:?}\n{}", render_text(&report.problems, &files));
                let expected = name.as_ref().map_or("web", PipelineName::as_str);
                assert_eq!(report.pipelines[0].name.as_str(), expected);
            }
        }
    }
}
