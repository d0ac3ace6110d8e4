//! `coherent`: the packages in the artifacts go together (`domain/coherence`).
//!
//! Read are npm's `.tgz`, wheels and source distributions of Python, `NuGet`'s and Cargo's, by what they say inside.
//! What the packages of one release need only while they are developed or tested is nothing to who gets them.

use serde_json::Value;
use toml::Table;

use super::package::{self, Form};
use super::{Item, Verdict};
use crate::domain::coherence::{Feed, Need, Package, incoherent};
use crate::trouble::Outcome;

/// How a feed's packages are packed, and where in one it says what it is.
struct Kind {
    ending: &'static str,
    form: Form,
    is_label: fn(&str) -> bool,
    read: fn(&str) -> Option<Said>,
    /// What a file of that name is that has no label.
    otherwise: Otherwise,
}

/// What a file without a label is.
#[derive(Clone, Copy)]
enum Otherwise {
    /// Something else, which only ends so.
    Other,
    /// A package that cannot be used.
    Broken,
}

/// What a package says of itself.
struct Said {
    feed: Feed,
    name: String,
    version: String,
    needs: Vec<Need>,
}

/// Endings in small letters.
static KINDS: [Kind; 5] = [
    Kind { ending: ".tgz", form: Form::TarGz, is_label: npm_label, read: npm, otherwise: Otherwise::Other },
    Kind {
        ending: ".whl",
        form: Form::Zip,
        is_label: wheel_label,
        read: python,
        otherwise: Otherwise::Broken,
    },
    Kind {
        ending: ".tar.gz",
        form: Form::TarGz,
        is_label: sdist_label,
        read: python,
        otherwise: Otherwise::Other,
    },
    Kind {
        ending: ".nupkg",
        form: Form::Zip,
        is_label: nuget_label,
        read: nuget,
        otherwise: Otherwise::Broken,
    },
    Kind {
        ending: ".crate",
        form: Form::TarGz,
        is_label: crate_label,
        read: cargo,
        otherwise: Otherwise::Broken,
    },
];

/// Looks at every package, and then at all of them together.
pub(super) fn look(items: &[Item]) -> Outcome<Verdict> {
    let mut verdict = Verdict::default();
    let mut packages = Vec::new();
    for item in items {
        let lower = item.name().to_lowercase();
        let Some(kind) = KINDS.iter().find(|kind| lower.ends_with(kind.ending)) else { continue };
        let said = match package::label(item, kind.form, kind.is_label)? {
            Ok(Some(text)) => (kind.read)(&text).ok_or("it says no name and version"),
            Ok(None) => match kind.otherwise {
                Otherwise::Other => continue,
                Otherwise::Broken => Err("it does not say what it is"),
            },
            Err(why) => {
                verdict.problem(item, why);
                continue;
            }
        };
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        match said {
            Ok(said) => packages.push(Package {
                artifact: item.artifact().to_owned(),
                feed: said.feed,
                name: said.name,
                version: said.version,
                needs: said.needs,
            }),
            Err(why) => verdict.problem(item, why),
        }
    }
    for problem in incoherent(&packages) {
        verdict.tell(problem);
    }
    Ok(verdict)
}

fn npm_label(inner: &str) -> bool {
    inner == "package/package.json"
}

fn wheel_label(inner: &str) -> bool {
    inner.strip_suffix(".dist-info/METADATA").is_some_and(|stem| !stem.contains('/'))
}

/// In the one folder that a source distribution has.
fn sdist_label(inner: &str) -> bool {
    inner.split_once('/').is_some_and(|(_, name)| name == "PKG-INFO")
}

fn nuget_label(inner: &str) -> bool {
    !inner.contains('/') && inner.to_lowercase().ends_with(".nuspec")
}

fn crate_label(inner: &str) -> bool {
    inner.split_once('/').is_some_and(|(_, name)| name == "Cargo.toml")
}

fn npm(text: &str) -> Option<Said> {
    let json: Value = serde_json::from_str(text).ok()?;
    let line = |key: &str| json.get(key).and_then(Value::as_str).map(str::to_owned);
    let (name, version) = line("name").zip(line("version"))?;
    let lists = ["dependencies", "optionalDependencies", "peerDependencies"];
    let all = lists.into_iter().filter_map(|list| json.get(list)?.as_object()).flatten();
    let needs = all.filter_map(|(name, versions)| Some(npm_need(name, versions.as_str()?)));
    Some(Said { feed: Feed::Npm, name, version, needs: needs.collect() })
}

/// `npm:other@^1` is another package under this name.
fn npm_need(name: &str, versions: &str) -> Need {
    let (name, versions) = match versions.strip_prefix("npm:") {
        Some(alias) => alias.rsplit_once('@').filter(|(name, _)| !name.is_empty()).unwrap_or((alias, "*")),
        None => (name, versions),
    };
    Need { name: name.to_owned(), versions: versions.to_owned() }
}

/// Fields of the core metadata, up to the description.
fn python(text: &str) -> Option<Said> {
    let head = || text.lines().take_while(|line| !line.trim().is_empty());
    let field = |key: &str| head().find_map(|line| Some(line.strip_prefix(key)?.trim().to_owned()));
    let (name, version) = field("Name:").zip(field("Version:"))?;
    let needs = head().filter_map(|line| python_need(line.strip_prefix("Requires-Dist:")?));
    Some(Said { feed: Feed::PyPi, name, version, needs: needs.collect() })
}

/// `name[extra] (>=1,<2) ; marker`: the marker says when it is needed, not which.
fn python_need(text: &str) -> Option<Need> {
    let text = text.split(';').next()?.trim();
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(rest, |(_, rest)| rest);
    Some(Need { name: name.to_owned(), versions: rest.trim().to_owned() })
}

fn nuget(text: &str) -> Option<Said> {
    let text = uncommented(text);
    let (name, version) = package::element(&text, "id").zip(package::element(&text, "version"))?;
    let needs = text.split("<dependency").skip(1).filter_map(|tag| {
        // `<dependencies>` begins so, too.
        let tag = tag.strip_prefix(|c: char| c.is_whitespace())?.split('>').next()?;
        Some(Need { name: attribute(tag, "id")?, versions: attribute(tag, "version").unwrap_or_default() })
    });
    let needs = needs.collect();
    Some(Said { feed: Feed::NuGet, name, version, needs })
}

fn uncommented(text: &str) -> String {
    let mut parts = text.split("<!--");
    let first = parts.next().unwrap_or_default();
    let rest = parts.filter_map(|part| Some(part.split_once("-->")?.1));
    std::iter::once(first).chain(rest).collect()
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let mut rest = tag;
    loop {
        let (before, behind) = rest.split_once('=')?;
        let quote = behind.trim_start().chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (value, more) = behind.trim_start().get(1..)?.split_once(quote)?;
        if before.trim() == name {
            return Some(value.trim().to_owned());
        }
        rest = more;
    }
}

fn cargo(text: &str) -> Option<Said> {
    let manifest: Table = text.parse().ok()?;
    let package = manifest.get("package")?.as_table()?;
    let line = |key: &str| package.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    let (name, version) = line("name").zip(line("version"))?;
    let systems = manifest.get("target").and_then(toml::Value::as_table);
    let systems = systems.into_iter().flat_map(|all| all.values()).filter_map(toml::Value::as_table);
    let tables = std::iter::once(&manifest).chain(systems);
    let lists = tables.flat_map(|table| ["dependencies", "build-dependencies"].map(|list| table.get(list)));
    let all = lists.flatten().filter_map(toml::Value::as_table).flatten();
    let needs = all.filter_map(|(name, said)| cargo_need(name, said)).collect();
    Some(Said { feed: Feed::Cargo, name, version, needs })
}

fn cargo_need(name: &str, said: &toml::Value) -> Option<Need> {
    let line = |key: &str| said.get(key).and_then(toml::Value::as_str);
    let versions = said.as_str().or_else(|| line("version"))?;
    Some(Need { name: line("package").unwrap_or(name).to_owned(), versions: versions.to_owned() })
}
