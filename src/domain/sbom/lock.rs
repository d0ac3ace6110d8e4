//! Reading lock files: what exactly was taken of other people's work, by registry.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::Value;

use super::{Component, Found, Hash, Place, Registry};
use crate::domain::name::printable;

/// Most components of all lock files together: far more than anybody has.
const MAX_COMPONENTS: usize = 100_000;
/// Folders whose lock files are other people's.
const FOREIGN: [&str; 4] = [".git", "node_modules", "site-packages", "vendor"];
/// Most lines of one file that are named because they pin nothing; of such a file nobody reads more.
const MAX_UNPINNED: usize = 100;
/// Options of pip that bring something.
const TAKES: [&str; 4] = ["-r", "--requirement", "-e", "--editable"];
/// From this Go on a `go.mod` names every module that its packages need (<https://go.dev/ref/mod#graph-pruning>).
const GO_NAMES_ALL: (u32, u32) = (1, 17);

/// Whether there is a lock file at this path of a tree.
pub fn is_lock(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let name = parts.next().unwrap_or_default();
    reader(name).is_some() && !parts.any(is_foreign)
}

/// Whether what is in a folder of this name is other people's.
pub fn is_foreign(folder: &str) -> bool {
    FOREIGN.contains(&folder)
}

/// What pip installs of.
const REQUIREMENTS: &str = "requirements.txt";
/// Why a lock file of a tool that is known is not read.
const UNKNOWN: &str = "lock files of this kind are not read";
/// Where Cargo takes packages from when nothing else is said.
const CRATES_IO: [&str; 2] =
    ["registry+https://github.com/rust-lang/crates.io-index", "sparse+https://index.crates.io/"];

type Reader = fn(&str) -> Result<Vec<Component>, String>;

fn reader(name: &str) -> Option<Reader> {
    match name {
        "Cargo.lock" => Some(cargo),
        "package-lock.json" => Some(npm),
        "poetry.lock" => Some(poetry),
        REQUIREMENTS => Some(|text| Ok(requirements(text))),
        "go.mod" => Some(go),
        "uv.lock" | "pdm.lock" | "Pipfile.lock" | "yarn.lock" | "pnpm-lock.yaml" | "bun.lock"
        | "Gemfile.lock" | "composer.lock" | "packages.lock.json" | "gradle.lockfile" => {
            Some(|_| Err(UNKNOWN.to_owned()))
        }
        _ => None,
    }
}

impl Found {
    /// Reads one more lock file.
    pub fn take(&mut self, path: &str, text: &str) {
        let name = path.rsplit('/').next().unwrap_or_default();
        let Some(read) = reader(name) else { return };
        if name == "go.mod" && !names_all(text) {
            let why = "it is of a Go before 1.17, and need not name what its modules need";
            self.unread.push((path.to_owned(), why.to_owned()));
        }
        if name == REQUIREMENTS {
            self.unread.extend(unpinned(text).into_iter().map(|why| (path.to_owned(), why)));
        }
        match read(text) {
            Ok(components) if self.components.len().saturating_add(components.len()) > MAX_COMPONENTS => {
                self.unread.push((path.to_owned(), format!("with it there are more than {MAX_COMPONENTS}")));
            }
            Ok(components) => {
                self.components.extend(components);
                self.read.push(path.to_owned());
            }
            Err(why) => self.unread.push((path.to_owned(), why)),
        }
    }
}

/// A file of TOML with a list of packages.
#[derive(Deserialize)]
struct Packages {
    #[serde(default)]
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    source: Option<Value>,
    checksum: Option<String>,
}

fn packages(text: &str) -> Result<Vec<Package>, String> {
    let read: Packages = toml::from_str(text).map_err(|e| e.message().to_owned())?;
    Ok(read.package)
}

/// What has no source is the repository's own.
fn cargo(text: &str) -> Result<Vec<Component>, String> {
    let component = |package: Package| {
        let source = package.source?;
        let place = match source.as_str()? {
            usual if CRATES_IO.contains(&usual) => None,
            git if git.starts_with("git+") => Some(git_place(git)),
            other => {
                let address = other.split_once('+').map_or(other, |(_, at)| at);
                Some(Place::Registry(without_login(address)))
            }
        };
        Some(Component {
            registry: Registry::Cargo,
            name: package.name,
            version: package.version,
            hash: package.checksum.and_then(|sum| hash("SHA-256", sum)),
            place,
        })
    };
    Ok(packages(text)?.into_iter().filter_map(component).collect())
}

/// `git+https://host/a?branch=main#<commit>` without the branch, which has moved on since.
fn git_place(address: &str) -> Place {
    let (address, commit) = address.split_once('#').unwrap_or((address, ""));
    let address = without_login(address.split('?').next().unwrap_or(address));
    let at = if commit.is_empty() { "" } else { "@" };
    Place::Git(format!("{address}{at}{commit}"))
}

/// An address without a name and a password in it: a bill is shown to everybody. The name of an address by ssh stays.
fn without_login(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = match authority.rsplit_once('@') {
        Some((login, _)) if scheme.ends_with("ssh") && !login.contains(':') => authority,
        Some((_, host)) => host,
        None => authority,
    };
    format!("{scheme}://{host}{path}")
}

/// What is a folder or a file of the repository is its own.
fn poetry(text: &str) -> Result<Vec<Component>, String> {
    let component = |package: Package| {
        let source = package.source.unwrap_or_default();
        let said = |key: &str| source.get(key).and_then(Value::as_str).unwrap_or_default();
        let url = said("url");
        let place = match said("type") {
            "directory" | "file" => return None,
            "git" => Some(git_place(&format!("git+{url}#{}", said("resolved_reference")))),
            "url" => Some(Place::Download(without_login(url))),
            "legacy" => Some(Place::Registry(without_login(url))),
            _ => None,
        };
        let (name, version) = (package.name, package.version);
        Some(Component { registry: Registry::PyPi, name, version, hash: None, place })
    };
    Ok(packages(text)?.into_iter().filter_map(component).collect())
}

fn hash(alg: &'static str, content: String) -> Option<Hash> {
    let wanted = match alg {
        "SHA-256" => 64,
        _ => 128,
    };
    let hex = content.len() == wanted && content.bytes().all(|b| b.is_ascii_hexdigit());
    hex.then_some(Hash { alg, content })
}

#[derive(Deserialize)]
struct Npm {
    packages: Option<serde_json::Map<String, Value>>,
    dependencies: Option<serde_json::Map<String, Value>>,
}

fn npm(text: &str) -> Result<Vec<Component>, String> {
    let read: Npm = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let mut out = Vec::new();
    if let Some(packages) = read.packages {
        for (path, package) in &packages {
            // What is not below a `node_modules`, or only points there, is the repository's own.
            let Some((_, name)) = path.rsplit_once("node_modules/") else { continue };
            if package.get("link").and_then(Value::as_bool) != Some(true) {
                let alias = package.get("name").and_then(Value::as_str);
                out.extend(npm_component(alias.unwrap_or(name), package));
            }
        }
    } else {
        let mut rest: Vec<serde_json::Map<String, Value>> = read.dependencies.into_iter().collect();
        while let Some(dependencies) = rest.pop() {
            for (name, package) in dependencies {
                out.extend(npm_component(&name, &package));
                rest.extend(package.get("dependencies").and_then(Value::as_object).cloned());
            }
        }
    }
    Ok(out)
}

fn npm_component(name: &str, package: &Value) -> Option<Component> {
    let text = |key: &str| package.get(key).and_then(Value::as_str);
    let sum = text("integrity").into_iter().flat_map(str::split_whitespace);
    let mut sum = sum.filter_map(|sum| sum.strip_prefix("sha512-"));
    let hash = sum.next().and_then(|sum| BASE64_STANDARD.decode(sum).ok());
    let version = text("version")?;
    // Of a lock file of version 1 the version is the place.
    let from = text("resolved").unwrap_or(version);
    if from.starts_with("file:") {
        return None;
    }
    Some(Component {
        registry: Registry::Npm,
        name: name.to_owned(),
        version: version.to_owned(),
        hash: hash.and_then(|bytes| self::hash("SHA-512", hex::encode(bytes))),
        place: from.starts_with("git").then(|| git_place(from)),
    })
}

/// Pins only: what is not pinned is not known before it is installed.
fn requirements(text: &str) -> Vec<Component> {
    asked_for(text).iter().filter_map(|(_, line)| pin(line)).collect()
}

/// What a file asks for, each with the number of its line: one that ends in a backslash goes on in the next. Options that
/// only say how something is installed ask for nothing.
fn asked_for(text: &str) -> Vec<(usize, String)> {
    let (mut all, mut goes_on) = (Vec::<(usize, String)>::new(), false);
    for (no, line) in (1..).zip(text.lines()) {
        let end = line.trim_end();
        let part = end.strip_suffix('\\').unwrap_or(end);
        match all.last_mut().filter(|_| goes_on) {
            Some((_, whole)) => whole.push_str(part),
            None => all.push((no, part.to_owned())),
        }
        goes_on = part.len() < end.len() && !end.trim_start().starts_with('#');
    }
    let asks = |(_, line): &(usize, String)| {
        !line.is_empty() && (!line.starts_with('-') || TAKES.iter().any(|option| line.starts_with(option)))
    };
    all.into_iter().map(|(no, line)| (no, uncommented(&line).trim().to_owned())).filter(asks).collect()
}

/// A comment begins a line or stands behind a blank; an address may have the sign in it.
fn uncommented(line: &str) -> &str {
    let mut before = ' ';
    let begins = line.char_indices().find(|(_, letter)| {
        let is_one = *letter == '#' && before.is_whitespace();
        before = *letter;
        is_one
    });
    begins.and_then(|(at, _)| line.get(..at)).unwrap_or(line)
}

fn pin(line: &str) -> Option<Component> {
    let line = line.split(';').next()?.split_whitespace().collect::<String>();
    let (name, version) = line.split("--").next()?.split_once("==")?;
    let name = name.split('[').next()?;
    let good = |text: &str| {
        let mut letters = text.bytes();
        !text.is_empty() && letters.all(|b| b.is_ascii_alphanumeric() || b"-_.+!".contains(&b))
    };
    (good(name) && good(version)).then(|| Component {
        registry: Registry::PyPi,
        name: name.to_owned(),
        version: version.to_owned(),
        hash: None,
        place: None,
    })
}

/// What nobody knows of a file that asks for more than pins, a text for each line that does.
fn unpinned(text: &str) -> Vec<String> {
    let lines: Vec<(usize, String)> =
        asked_for(text).into_iter().filter(|(_, line)| pin(line).is_none()).collect();
    let one = |(no, line): &(usize, String)| {
        let words: Vec<String> = line.split_whitespace().map(without_login).collect();
        format!("line {no} is no pin, so what it brings is not listed: {}", printable(&words.join(" ")))
    };
    let more = lines.len().saturating_sub(MAX_UNPINNED);
    let more = (more > 0).then(|| format!("{more} more lines are no pins either"));
    lines.iter().take(MAX_UNPINNED).map(one).chain(more).collect()
}

/// The statements of a `go.mod`: those in a block as if each stood alone.
fn go_statements(text: &str) -> Result<Vec<Vec<&str>>, String> {
    let (mut out, mut block) = (Vec::new(), None);
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        match (block, words.as_slice()) {
            (_, []) => {}
            (None, [word, "("]) => block = Some(*word),
            (Some(_), [")"]) => block = None,
            (None, _) => out.push(words),
            (Some(word), _) => out.push([word].into_iter().chain(words).collect()),
        }
    }
    block.map_or(Ok(out), |word| Err(format!("`{word} (` has no end")))
}

/// The modules that are required, as they are after every `replace`; one that is replaced by a folder is the
/// repository's own. Their hashes in `go.sum` are of lists of files and not of what is downloaded.
fn go(text: &str) -> Result<Vec<Component>, String> {
    let all = go_statements(text)?;
    // By the module, and by its version where only that one is replaced.
    let mut replaced = BTreeMap::new();
    for words in &all {
        match words.as_slice() {
            ["replace", old, "=>", new @ ..] => drop(replaced.insert((*old, None), new)),
            ["replace", old, version, "=>", new @ ..] => drop(replaced.insert((*old, Some(*version)), new)),
            _ => {}
        }
    }
    let module = |words: &Vec<&str>| {
        let ["require", name, version] = words.as_slice() else { return None };
        let new = replaced.get(&(*name, Some(*version))).or_else(|| replaced.get(&(*name, None)));
        let (name, version) = match new {
            None => (name, version),
            Some([name, version]) => (name, version),
            Some(_) => return None,
        };
        Some(Component {
            registry: Registry::Go,
            name: (*name).to_owned(),
            version: (*version).to_owned(),
            hash: None,
            place: None,
        })
    };
    Ok(all.iter().filter_map(module).collect())
}

/// Whether a `go.mod` is of a Go that has all modules in it; of one that cannot be read that is said instead.
fn names_all(text: &str) -> bool {
    let Ok(all) = go_statements(text) else { return true };
    let said = all.iter().find_map(|words| match words.as_slice() {
        ["go", version] => Some(*version),
        _ => None,
    });
    // `1.21rc2` is a version, too.
    let mut parts =
        said.unwrap_or_default().split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok());
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= GO_NAMES_ALL
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str, text: &str) -> Vec<String> {
        let mut found = Found::default();
        found.take(path, text);
        assert!(found.unread.is_empty(), "{found:?}");
        found.components.iter().map(Component::purl).collect()
    }

    #[test]
    fn t47_no_login_of_an_address_is_in_a_bill() {
        for (address, shown) in [
            ("git+https://token:x-oauth-basic@host/a.git", "git+https://host/a.git"),
            ("https://user@host:8443/simple", "https://host:8443/simple"),
            ("https://a:b@c@host", "https://host"),
            ("git+ssh://git@host/a.git", "git+ssh://git@host/a.git"),
            ("ssh://git:secret@host/a.git", "ssh://host/a.git"),
            ("https://host/@scope/a", "https://host/@scope/a"),
            ("git@host:a.git", "git@host:a.git"),
        ] {
            assert_eq!(without_login(address), shown);
        }
    }

    #[test]
    fn lock_files_say_what_was_taken_of_others() {
        let cargo = "version = 4\n[[package]]\nname = \"shop\"\nversion = \"0.1.0\"\n[[package]]\nname = \"serde\"\n\
                     version = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
        assert_eq!(read("app/Cargo.lock", cargo), ["pkg:cargo/serde@1.0.0"]);
        let npm = r#"{"lockfileVersion": 3, "packages": {"": {"name": "shop"}, "packages/ui": {"version": "1.0.0"},
            "node_modules/ui": {"link": true}, "node_modules/@a/b": {"version": "2.0.0"},
            "node_modules/@a/b/node_modules/c": {"version": "3.0.0", "integrity": "sha512-xx"},
            "node_modules/d": {"name": "really-d", "version": "4.0.0"}}}"#;
        assert_eq!(
            read("package-lock.json", npm),
            ["pkg:npm/%40a/b@2.0.0", "pkg:npm/c@3.0.0", "pkg:npm/really-d@4.0.0"]
        );
        let old =
            r#"{"dependencies": {"a": {"version": "1.0.0", "dependencies": {"b": {"version": "2.0.0"}}}}}"#;
        assert_eq!(read("package-lock.json", old), ["pkg:npm/a@1.0.0", "pkg:npm/b@2.0.0"]);
        let poetry = "[[package]]\nname = \"attrs\"\nversion = \"23.1.0\"\ndescription = \"x\"\n[metadata]\n";
        assert_eq!(read("poetry.lock", poetry), ["pkg:pypi/attrs@23.1.0"]);
        let pins = "# pinned\nrequests[socks]==2.31.0 ; python_version > '3' \\\n    --hash=sha256:ab\nsix == 1.16.0\n";
        assert_eq!(read("requirements.txt", pins), ["pkg:pypi/requests@2.31.0", "pkg:pypi/six@1.16.0"]);
        let go = "module x\n\ngo 1.22\n\nrequire example.com/a v1.0.0\n\nrequire (\n\texample.com/b v2.0.0 // indirect\n)\n\
                  exclude example.com/c v3.0.0\nretract (\n\tv1.0.0\n)\n";
        assert_eq!(
            read("go.mod", go),
            ["pkg:golang/example.com/a@v1.0.0", "pkg:golang/example.com/b@v2.0.0"]
        );
    }

    /// Whoever reads the bill is to see that it is not the whole.
    #[test]
    fn what_python_is_asked_for_without_a_version_is_said_line_by_line() {
        let text = "# flask>=2\n--index-url https://a:b@pypi.example/simple\n--require-hashes\n\nflask>=2 # newest\n\
                    six==1.16.0 \\\n    --hash=sha256:ab \\\n    --hash=sha256:cd\n-r other.txt\n-c limits.txt\n\
                    fork @ https://token:x@host.example/fork.zip#egg=fork\n-e ./own\nany==1.*\nbare\n";
        let mut found = Found::default();
        found.take("app/requirements.txt", text);
        assert_eq!(found.components.iter().map(Component::purl).collect::<Vec<_>>(), ["pkg:pypi/six@1.16.0"]);
        assert_eq!(found.read, ["app/requirements.txt"]);
        let lines = [
            "5 flask>=2",
            "9 -r other.txt",
            "11 fork @ https://host.example/fork.zip#egg=fork",
            "12 -e ./own",
            "13 any==1.*",
            "14 bare",
        ];
        let told = |line: &str| {
            let (no, line) = line.split_once(' ').unwrap();
            let why = format!("line {no} is no pin, so what it brings is not listed: {line}");
            ("app/requirements.txt".to_owned(), why)
        };
        assert_eq!(found.unread, lines.map(told));
        let mut many = Found::default();
        many.take("requirements.txt", &"flask\n".repeat(MAX_UNPINNED + 7));
        assert_eq!(many.unread.len(), MAX_UNPINNED + 1);
        assert_eq!(many.unread[MAX_UNPINNED].1, "7 more lines are no pins either");
    }

    #[test]
    fn go_modules_are_those_that_are_used_in_place_of_what_was_required() {
        let go = "go 1.21rc2\nrequire (\n\texample.com/a v1.0.0\n\texample.com/b v2.0.0\n\texample.com/c v3.0.0\n\texample.com/d v4.0.0\n)\n\
                  replace example.com/a => example.com/fork v1.0.1\nreplace (\n\texample.com/b v2.0.0 => ../b\n\
                  \texample.com/c v3.0.1 => example.com/fork v3.0.2\n\texample.com/d => example.com/fork v4.0.1\n\
                  \texample.com/d v4.0.0 => example.com/spoon v4.0.2\n)\n";
        assert_eq!(
            read("go.mod", go),
            [
                "pkg:golang/example.com/c@v3.0.0",
                "pkg:golang/example.com/fork@v1.0.1",
                "pkg:golang/example.com/spoon@v4.0.2"
            ]
        );
        // An old one is read as well, and said to be less than the whole.
        for old in ["require example.com/a v1.0.0\n", "go 1.16\nrequire example.com/a v1.0.0\n"] {
            let mut found = Found::default();
            found.take("a/go.mod", old);
            assert_eq!((found.components.len(), found.read.len(), found.unread.len()), (1, 1, 1));
        }
    }

    #[test]
    fn what_is_of_git_or_of_the_repository_is_no_package_of_a_registry() {
        let cargo = "[[package]]\nname = \"fork\"\nversion = \"1.0.0\"\nsource = \"git+https://github.com/a/fork?branch=x#c0ffee\"\n\
                     [[package]]\nname = \"own\"\nversion = \"0.1.0\"\n\
                     [[package]]\nname = \"inner\"\nversion = \"2.0.0\"\nsource = \"registry+https://crates.example/index\"\n";
        assert_eq!(
            read("Cargo.lock", cargo),
            [
                "pkg:cargo/fork@1.0.0?vcs_url=git%2Bhttps%3A%2F%2Fgithub.com%2Fa%2Ffork%40c0ffee",
                "pkg:cargo/inner@2.0.0?repository_url=https%3A%2F%2Fcrates.example%2Findex"
            ]
        );
        let package = |name: &str, source: &str| {
            format!("[[package]]\nname = \"{name}\"\nversion = \"1.0\"\n[package.source]\n{source}\n")
        };
        let poetry = [
            package("local", "type = \"directory\"\nurl = \"../local\""),
            package("wheel", "type = \"file\"\nurl = \"dist/wheel.whl\""),
            package(
                "fork",
                "type = \"git\"\nurl = \"https://github.com/a/fork\"\nreference = \"main\"\nresolved_reference = \"c0ffee\"",
            ),
            package(
                "inner",
                "type = \"legacy\"\nurl = \"https://pypi.example/simple\"\nreference = \"inner\"",
            ),
            package("direct", "type = \"url\"\nurl = \"https://files.example/direct.whl\""),
        ];
        assert_eq!(
            read("poetry.lock", &poetry.concat()),
            [
                "pkg:pypi/direct@1.0?download_url=https%3A%2F%2Ffiles.example%2Fdirect.whl",
                "pkg:pypi/fork@1.0?vcs_url=git%2Bhttps%3A%2F%2Fgithub.com%2Fa%2Ffork%40c0ffee",
                "pkg:pypi/inner@1.0?repository_url=https%3A%2F%2Fpypi.example%2Fsimple"
            ]
        );
        let npm = r#"{"packages": {"node_modules/fork": {"version": "1.0.0", "resolved": "git+ssh://git@github.com/a/fork.git#c0ffee"},
            "node_modules/local": {"version": "1.0.0", "resolved": "file:local.tgz"}}}"#;
        assert_eq!(
            read("package-lock.json", npm),
            ["pkg:npm/fork@1.0.0?vcs_url=git%2Bssh%3A%2F%2Fgit%40github.com%2Fa%2Ffork.git%40c0ffee"]
        );
    }

    #[test]
    fn lock_files_that_are_known_and_not_read_are_listed() {
        let names = [
            "uv.lock",
            "pdm.lock",
            "Pipfile.lock",
            "yarn.lock",
            "pnpm-lock.yaml",
            "bun.lock",
            "Gemfile.lock",
            "packages.lock.json",
        ];
        let mut found = Found::default();
        for name in names {
            assert!(is_lock(name), "{name}");
            found.take(&format!("web/{name}"), "anything");
        }
        assert!(found.components.is_empty() && found.read.is_empty());
        assert_eq!(found.unread.len(), names.len());
        assert_eq!(found.unread[3], ("web/yarn.lock".to_owned(), UNKNOWN.to_owned()));
    }

    #[test]
    fn what_cannot_be_read_is_said_and_hides_nothing_else() {
        let mut found = Found::default();
        found.take("Cargo.lock", "[[package]]\nname = 1\n");
        found.take("web/package-lock.json", "{");
        found.take("go.mod", "go 1.22\nrequire (\n");
        assert_eq!(found.unread.len(), 3, "{found:?}");
        found.take("requirements.txt", "six==1.16.0");
        assert_eq!((found.components.len(), found.read.len()), (1, 1));
    }

    #[test]
    fn a_lock_file_of_somebody_else_is_not_ours() {
        for path in ["Cargo.lock", "a/b/go.mod", "web/package-lock.json"] {
            assert!(is_lock(path), "{path}");
        }
        for path in [
            "web/node_modules/a/package-lock.json",
            "vendor/x/go.mod",
            ".venv/lib/site-packages/a/poetry.lock",
            "Cargo.toml",
        ] {
            assert!(!is_lock(path), "{path}");
        }
    }
}
