//! What a release is made of, as the lock files of its tree say: a bill of materials in `CycloneDX` 1.5
//! (<https://cyclonedx.org/docs/1.5/json>), and how two of them differ.

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::Value;

pub mod lock;
pub mod tree;

/// What stays as it is in a part of a package URL (<https://github.com/package-url/purl-spec>).
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a bill calls a lock file that was read.
pub const READ: &str = "liftlock:lockfile";
/// What it calls one that was not, or not to its end.
pub const UNREAD: &str = "liftlock:unread";

/// Where a component is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Registry {
    /// Rust.
    Cargo,
    /// JavaScript.
    Npm,
    /// Python.
    PyPi,
    /// Go.
    Go,
}

/// One thing that somebody else made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Component {
    /// Where it is from.
    pub registry: Registry,
    /// Its name there.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The digest of what is downloaded, when the lock file has it.
    pub hash: Option<Hash>,
    /// The place that it is from, when that is not the one that everybody means by the registry.
    pub place: Option<Place>,
}

/// Where something is from that is not of its usual registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A repository of git at a commit, as `git+https://…@<commit>`.
    Git(String),
    /// Another registry.
    Registry(String),
    /// An address that it is downloaded from.
    Download(String),
}

/// A digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Hash {
    /// As `CycloneDX` calls it: `SHA-256`.
    pub alg: &'static str,
    /// Hex.
    pub content: String,
}

/// What the bill is for.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The repository.
    pub repository: &'a str,
    /// The version of the release.
    pub version: &'a str,
    /// The commit.
    pub commit: &'a str,
    /// The time of the commit, RFC 3339: the same tree gives the same bill.
    pub at: &'a str,
    /// Where its lock files were read.
    pub tree: Tree,
}

/// Which tree a release's lock files are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tree {
    /// That of the commit, for releases of logs from before anything else was kept.
    Commit,
    /// That in which it was built, after the last command.
    Built,
}

/// What lock files said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Everything in them.
    pub components: BTreeSet<Component>,
    /// Those that were read.
    pub read: Vec<String>,
    /// Those that could not be, with the reason.
    pub unread: Vec<(String, String)>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bom<'a> {
    #[serde(rename = "bomFormat")]
    format: &'static str,
    spec_version: &'static str,
    version: u32,
    metadata: Metadata<'a>,
    components: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    timestamp: &'a str,
    tools: Tools,
    component: Main<'a>,
    properties: Vec<Property>,
}

#[derive(Serialize)]
struct Tools {
    components: [Tool; 1],
}

#[derive(Serialize)]
struct Tool {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Main<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref")]
    bom_ref: String,
    name: &'a str,
    version: &'a str,
}

#[derive(Serialize)]
struct Property {
    name: &'static str,
    value: String,
}

#[derive(Serialize)]
struct Entry<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref")]
    bom_ref: String,
    name: &'a str,
    version: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<&'a Hash>,
    purl: String,
}

impl Registry {
    fn word(self) -> &'static str {
        match self {
            Self::Cargo => "cargo",
            Self::Npm => "npm",
            Self::PyPi => "pypi",
            Self::Go => "golang",
        }
    }
}

impl Place {
    /// The qualifier of a package URL.
    fn qualifier(&self) -> (&'static str, &str) {
        match self {
            Self::Git(address) => ("vcs_url", address),
            Self::Registry(address) => ("repository_url", address),
            Self::Download(address) => ("download_url", address),
        }
    }
}

impl Component {
    /// Its package URL.
    pub fn purl(&self) -> String {
        let name = match self.registry {
            Registry::Cargo | Registry::Npm => self.name.clone(),
            Registry::PyPi => self.name.to_ascii_lowercase().replace(['_', '.'], "-"),
            Registry::Go => self.name.to_ascii_lowercase(),
        };
        let parts: Vec<String> =
            name.split('/').map(|part| utf8_percent_encode(part, PART).to_string()).collect();
        let version = utf8_percent_encode(&self.version, PART);
        let place = self.place.as_ref().map_or_else(String::new, |place| {
            let (name, address) = place.qualifier();
            format!("?{name}={}", utf8_percent_encode(address, PART))
        });
        format!("pkg:{}/{}@{version}{place}", self.registry.word(), parts.join("/"))
    }
}

/// The bill as JSON; the same lock files of the same commit give the same bytes.
pub fn document(found: &Found, subject: Subject<'_>) -> Result<String, serde_json::Error> {
    let mut components: BTreeMap<String, &Component> = BTreeMap::new();
    for component in &found.components {
        // Of two that differ only in whether a digest is known, the one that has it.
        let known = components.entry(component.purl()).or_insert(component);
        if known.hash.is_none() {
            *known = component;
        }
    }
    let entries = components.into_iter().map(|(purl, component)| Entry {
        kind: "library",
        bom_ref: purl.clone(),
        name: &component.name,
        version: &component.version,
        hashes: component.hash.iter().collect(),
        purl,
    });
    let read = found.read.iter().map(|path| Property { name: READ, value: path.clone() });
    let unread =
        found.unread.iter().map(|(path, why)| Property { name: UNREAD, value: format!("{path}: {why}") });
    let commit = Property { name: "liftlock:commit", value: subject.commit.to_owned() };
    let tree = match subject.tree {
        Tree::Commit => "as committed",
        Tree::Built => "as built",
    };
    let tree = Property { name: "liftlock:tree", value: tree.to_owned() };
    let bom = Bom {
        format: "CycloneDX",
        spec_version: "1.5",
        version: 1,
        metadata: Metadata {
            timestamp: subject.at,
            tools: Tools {
                components: [Tool {
                    kind: "application",
                    name: "liftlock",
                    version: env!("CARGO_PKG_VERSION"),
                }],
            },
            component: Main {
                kind: "application",
                bom_ref: format!("{}@{}", subject.repository, subject.version),
                name: subject.repository,
                version: subject.version,
            },
            properties: [commit, tree].into_iter().chain(read).chain(unread).collect(),
        },
        components: entries.collect(),
    };
    Ok(serde_json::to_string(&bom)? + "\n")
}

/// How one bill differs from an earlier one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What is new, with its versions.
    pub added: BTreeMap<String, BTreeSet<String>>,
    /// What is gone.
    pub removed: BTreeMap<String, BTreeSet<String>>,
    /// What is there in other versions, before and now.
    pub changed: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>,
}

/// Compares two bills, whoever made them; the error says what is wrong with one.
pub fn difference(before: &Value, now: &Value) -> Result<Difference, String> {
    let (mut before, now) = (versions(before)?, versions(now)?);
    let mut out = Difference::default();
    for (name, versions) in now {
        match before.remove(&name) {
            None => drop(out.added.insert(name, versions)),
            Some(old) if old != versions => drop(out.changed.insert(name, (old, versions))),
            Some(_) => {}
        }
    }
    out.removed = before;
    Ok(out)
}

/// Versions by the package's name, which is its URL without one.
fn versions(bom: &Value) -> Result<BTreeMap<String, BTreeSet<String>>, String> {
    if bom.get("bomFormat").and_then(Value::as_str) != Some("CycloneDX") {
        return Err("it is no bill of materials in CycloneDX".to_owned());
    }
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for component in bom.get("components").and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| component.get(key).and_then(Value::as_str);
        let name = text("purl").and_then(|purl| purl.rsplit_once('@')).map(|(name, _)| name);
        let name = name.or(text("name")).ok_or_else(|| "a component of it has no name".to_owned())?;
        all.entry(name.to_owned()).or_default().insert(text("version").unwrap_or_default().to_owned());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn component(registry: Registry, name: &str, version: &str) -> Component {
        Component { registry, name: name.to_owned(), version: version.to_owned(), hash: None, place: None }
    }

    #[test]
    fn a_package_is_named_as_its_registry_names_it() {
        let purl = |registry, name, version| component(registry, name, version).purl();
        assert_eq!(purl(Registry::Cargo, "serde", "1.0.0+build"), "pkg:cargo/serde@1.0.0%2Bbuild");
        assert_eq!(purl(Registry::Npm, "@types/node", "20.1.0"), "pkg:npm/%40types/node@20.1.0");
        assert_eq!(purl(Registry::PyPi, "Zope.Interface", "6.0"), "pkg:pypi/zope-interface@6.0");
        assert_eq!(
            purl(Registry::Go, "github.com/BurntSushi/toml", "v1.3.2"),
            "pkg:golang/github.com/burntsushi/toml@v1.3.2"
        );
        let place = Some(Place::Git("git+https://github.com/a/b@c0ffee".to_owned()));
        let fork = Component { place, ..component(Registry::Cargo, "b", "1.0.0") };
        assert_eq!(fork.purl(), "pkg:cargo/b@1.0.0?vcs_url=git%2Bhttps%3A%2F%2Fgithub.com%2Fa%2Fb%40c0ffee");
    }

    #[test]
    fn each_package_is_listed_once_with_its_digest_when_that_is_known() {
        let hash = Hash { alg: "SHA-256", content: "ab".repeat(32) };
        let known = Component { hash: Some(hash), ..component(Registry::Cargo, "a", "1.0.0") };
        let components = [component(Registry::Cargo, "a", "1.0.0"), known].into_iter().collect();
        let found = Found { components, read: vec!["Cargo.lock".to_owned()], unread: Vec::new() };
        let subject = Subject {
            repository: "acme/shop",
            version: "v1",
            commit: "c0ffee",
            at: "2026-01-01T00:00:00Z",
            tree: Tree::Built,
        };
        let bom: Value = serde_json::from_str(&document(&found, subject).unwrap()).unwrap();
        assert_eq!(bom["components"].as_array().unwrap().len(), 1);
        assert_eq!(bom["components"][0]["hashes"][0]["alg"], "SHA-256");
        let said = |no: usize| bom["metadata"]["properties"][no]["value"].clone();
        assert_eq!((said(1), said(2)), (json!("as built"), json!("Cargo.lock")));
        let before = Subject { tree: Tree::Commit, ..subject };
        assert!(
            document(&found, before).unwrap().contains(r#"{"name":"liftlock:tree","value":"as committed"}"#)
        );
    }

    #[test]
    fn two_bills_differ_in_what_came_went_and_changed() {
        let bom = |all: &[(&str, &str)]| {
            let one = |(name, version): &(&str, &str)| json!({"name": name, "version": version, "purl": format!("pkg:cargo/{name}@{version}")});
            json!({"bomFormat": "CycloneDX", "components": all.iter().map(one).collect::<Vec<_>>()})
        };
        let before = bom(&[("same", "1"), ("gone", "1"), ("moved", "1"), ("moved", "2")]);
        let now = bom(&[("same", "1"), ("new", "3"), ("moved", "2")]);
        let found = difference(&before, &now).unwrap();
        let set = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(found.added, BTreeMap::from([("pkg:cargo/new".to_owned(), set(&["3"]))]));
        assert_eq!(found.removed, BTreeMap::from([("pkg:cargo/gone".to_owned(), set(&["1"]))]));
        let moved = (set(&["1", "2"]), set(&["2"]));
        assert_eq!(found.changed, BTreeMap::from([("pkg:cargo/moved".to_owned(), moved)]));
        assert!(difference(&json!({}), &now).is_err());
    }
}
