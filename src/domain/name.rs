//! Checked names: every identifier that crosses a boundary is one of these types, or it is refused.

use std::fmt::{self, Write as _};
use std::num::{NonZeroU32, NonZeroU64};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Why a text is not a name of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameError {
    /// What the text should have been, for example `stage`.
    pub kind: &'static str,
    /// The rule it breaks, as a sentence fragment.
    pub rule: &'static str,
    /// The text, shortened and made printable.
    pub text: String,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of the kinds there are, none begins with a `u` that is spoken otherwise than in "user".
        let article = if self.kind.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
        write!(f, "`{}` is not {article} {}: {}", self.text, self.kind, self.rule)
    }
}

impl std::error::Error for NameError {}

/// Longest stretch of a refused text that an error repeats.
const SHOWN_CHARS: usize = 60;

/// Longest name of a file on the systems there are.
const FILE_NAME_BYTES: usize = 255;

/// Whether a text is the name of a file in a folder, and of nothing outside it (THREATS T42).
pub fn is_file_name(text: &str) -> bool {
    let plain = |c: char| !c.is_control() && c != '/' && c != '\\';
    !text.is_empty() && text.len() <= FILE_NAME_BYTES && !text.starts_with('.') && text.chars().all(plain)
}

/// Makes a text safe to repeat: non-printing and non-ASCII characters become their code points.
pub fn printable(text: &str) -> String {
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == SHOWN_CHARS {
            out.push('…');
            break;
        }
        match c {
            '`' => out.push('\''),
            ' '..='~' => out.push(c),
            other => {
                write!(out, "U+{:04X}", u32::from(other)).unwrap_or_default();
            }
        }
    }
    out
}

/// Declares a checked string that is compared byte by byte.
macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $rule:literal, $check:expr) => {
        checked!($(#[$doc])* #[derive(PartialEq, Eq, PartialOrd, Ord)] $type, $kind, $rule, $check);
    };
}

/// Declares a checked string: private content, `FromStr` and serde through the same check.
macro_rules! checked {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError { kind: $kind, rule: $rule, text: printable(text) })
                }
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// True when the text has 1 to `max` bytes, the first satisfies `first` and the others `rest`.
fn shaped(text: &str, max: usize, first: fn(u8) -> bool, rest: fn(u8) -> bool) -> bool {
    match text.as_bytes().split_first() {
        Some((head, tail)) => text.len() <= max && first(*head) && tail.iter().all(|b| rest(*b)),
        None => false,
    }
}

fn word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')
}

fn lower_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

name!(
    /// A repository's identity on its host, stable over renames: `github:123456`, `plain:demo`.
    RepoId,
    "repository id",
    "it is `<host>:<id>` with letters, digits, `.`, `_` and `-`",
    |t| t.split_once(':').is_some_and(|(host, id)| {
        shaped(host, 20, |b| b.is_ascii_lowercase(), |b| b.is_ascii_lowercase() || b.is_ascii_digit())
            && shaped(id, 100, |b| b.is_ascii_alphanumeric(), word)
    })
);

name!(
    /// A repository's name as people write it: `owner/name`, or one word on a plain host.
    RepoName,
    "repository",
    "it is `owner/name` with letters, digits, `.`, `_` and `-`",
    |t| {
        let parts: Vec<&str> = t.split('/').collect();
        parts.len() <= 2
            && parts.iter().all(|p| shaped(p, 100, |b| word(b) && b != b'-', word) && *p != "." && *p != "..")
    }
);

name!(
    /// A pipeline's name: letters, digits, `.`, `_`, `-`; at most 100 characters.
    PipelineName,
    "pipeline name",
    "it starts with a letter or digit, then letters, digits, `.`, `_` and `-`, at most 100",
    |t| shaped(t, 100, |b| b.is_ascii_alphanumeric(), word)
);

name!(
    /// A stage's name as COMMANDS' grammar reads it: `^[a-z][a-z0-9-]{0,30}$`.
    StageName,
    "stage name",
    "it starts with a small letter, then small letters, digits and `-`, at most 31",
    |t| shaped(t, 31, |b| b.is_ascii_lowercase(), |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
);

name!(
    /// An environment: what a stage deploys to, and the key of its lock.
    EnvironmentName,
    "environment name",
    "it starts with a letter or digit, then letters, digits, `.`, `_` and `-`, at most 63",
    |t| shaped(t, 63, |b| b.is_ascii_alphanumeric(), word)
);

name!(
    /// What a machine that runs commands is known by: its system, its size.
    AgentLabel,
    "label",
    "it starts with a letter or digit, then letters, digits, `.`, `_` and `-`, at most 63",
    |t| shaped(t, 63, |b| b.is_ascii_alphanumeric(), word)
);

name!(
    /// A target: a machine that a stage deploys to.
    TargetName,
    "target name",
    "it starts with a letter or digit, then letters, digits, `.`, `_` and `-`, at most 63",
    |t| shaped(t, 63, |b| b.is_ascii_alphanumeric(), word)
);

name!(
    /// An outlet: where files of releases are published.
    OutletName,
    "name of an outlet",
    "it starts with a letter or digit, then letters, digits, `.`, `_` and `-`, at most 63",
    |t| shaped(t, 63, |b| b.is_ascii_alphanumeric(), word)
);

name!(
    /// One of the two places of an environment of which one is live: `blue`, `green`.
    SlotName,
    "slot name",
    "it starts with a letter or digit, then letters, digits, `.`, `_` and `-`, at most 63",
    |t| shaped(t, 63, |b| b.is_ascii_alphanumeric(), word)
);

name!(
    /// What a target is there for: `web`, `db`.
    RoleName,
    "role name",
    "it starts with a letter or digit, then letters, digits, `.`, `_` and `-`, at most 63",
    |t| shaped(t, 63, |b| b.is_ascii_alphanumeric(), word)
);

name!(
    /// A full commit id, 40 or 64 lower-case hex digits.
    CommitSha,
    "commit id",
    "it has 40 or 64 lower-case hex digits",
    |t| (t.len() == 40 || t.len() == 64) && lower_hex(t)
);

name!(
    /// The full id of a tree, 40 or 64 lower-case hex digits: commits with the same one have the same files.
    TreeSha,
    "tree id",
    "it has 40 or 64 lower-case hex digits",
    |t| (t.len() == 40 || t.len() == 64) && lower_hex(t)
);

name!(
    /// Any git object's full id, for example that of an annotated tag: 40 or 64 lower-case hex digits.
    ObjectId,
    "git object id",
    "it has 40 or 64 lower-case hex digits",
    |t| (t.len() == 40 || t.len() == 64) && lower_hex(t)
);

name!(
    /// A content digest: `sha256:` and 64 lower-case hex digits.
    Digest,
    "digest",
    "it is `sha256:` and 64 lower-case hex digits",
    |t| t.strip_prefix("sha256:").is_some_and(|h| h.len() == 64 && lower_hex(h))
);

name!(
    /// A person's login on the host.
    Login,
    "login",
    "it has letters, digits, `.`, `_`, `-` and `[bot]` at the end, at most 60",
    |t| shaped(t.strip_suffix("[bot]").unwrap_or(t), 60, |b| b.is_ascii_alphanumeric(), word)
);

name!(
    /// A team as the host names it: `org/slug`.
    TeamName,
    "team",
    "it is `org/slug`",
    |t| t.split_once('/').is_some_and(|(org, slug)| {
        shaped(org, 100, |b| b.is_ascii_alphanumeric(), word) && shaped(slug, 100, |b| b.is_ascii_alphanumeric(), word)
    })
);

name!(
    /// A team's name in the manifest's `teams`, as rules and `/signoff` write it: `^[a-z][a-z0-9-]{0,30}$`.
    TeamAlias,
    "name of a team",
    "it starts with a small letter and has at most 31 small letters, digits and `-`",
    |t| shaped(t, 31, |b| b.is_ascii_lowercase(), |b| b.is_ascii_lowercase()
        || b.is_ascii_digit()
        || b == b'-')
);
name!(
    /// A place of the server's config where notices go: `slack:#release`, `mail:managers`.
    RouteName,
    "route",
    "it is `slack:<name>`, `mail:<name>` or `webhook:<name>` with letters, digits, `.`, `_` and `-`, or `issue`",
    |t| t.split_once(':').is_some_and(|(kind, name)| {
        let name = name.strip_prefix('#').unwrap_or(name);
        matches!(kind, "slack" | "mail" | "webhook") && shaped(name, 80, |b| b.is_ascii_alphanumeric(), word)
    })
);
name!(
    /// A channel of releases, one of the pipeline's `channels`.
    ChannelName,
    "name of a channel",
    "it starts with a small letter and has at most 31 small letters, digits and `-`",
    |t| shaped(t, 31, |b| b.is_ascii_lowercase(), |b| b.is_ascii_lowercase()
        || b.is_ascii_digit()
        || b == b'-')
);
name!(
    /// A channel that a stage adds releases to, as people call it: `Candidate Validation`.
    ChannelLabel,
    "channel",
    "it is one line of letters, digits, spaces and `._/-`, at most 60, with no space at its ends",
    |t| shaped(t, 60, |b| b.is_ascii_alphanumeric(), |b| word(b) || matches!(b, b' ' | b'/'))
        && !t.ends_with(' ')
);
name!(
    /// A team as `/signoff` names it: by its name in `teams`, as `org/slug` or by the slug alone.
    TeamWord,
    "team",
    "it is a name of `teams`, `org/slug` or `slug`",
    |t| t.len() <= 200 && {
        let part = |p: &str| shaped(p, 100, |b| b.is_ascii_alphanumeric(), word);
        t.split_once('/').map_or_else(|| part(t), |(org, slug)| part(org) && part(slug))
    }
);
name!(
    /// An artifact's alias within a release.
    Alias,
    "artifact alias",
    "it starts with a letter, then letters, digits, `_` and `-`, at most 40",
    |t| shaped(t, 40, |b| b.is_ascii_alphabetic(), |b| word(b) && b != b'.')
);

checked!(
    /// A variable's name; dots are legal (`Invictus.Secrets.ApiKey1.Name`), and case does not tell two apart.
    VariableName,
    "variable name",
    "it starts with a letter or `_`, then letters, digits, `.`, `_` and `-`, at most 200",
    |t| shaped(t, 200, |b| b.is_ascii_alphabetic() || b == b'_', word)
);

name!(
    /// A variable group's name, for example `acme.Invictus.test`.
    GroupName,
    "group name",
    "it starts with a letter or digit, then letters, digits, `.`, `_` and `-`, at most 100",
    |t| shaped(t, 100, |b| b.is_ascii_alphanumeric(), word)
);

name!(
    /// Where a secret is kept, never the secret: `vault:kv/sign#key`, `env:NAME`, `file:/run/secrets/x`.
    SecretAddress,
    "secret reference",
    "it is `<store>:<path>` or `<store>:<path>#<key>`, without spaces and without `..`, at most 400",
    |t| t.split_once(':').is_some_and(|(store, rest)| {
        shaped(store, 20, |b| b.is_ascii_lowercase(), |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && t.len() <= 400
            && !rest.starts_with('-')
            && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/#@+=:".contains(&b))
            && rest.matches('#').count() <= 1
            && !rest.split(['/', '#']).any(|part| part == "..")
    })
);

name!(
    /// A check's name, as overrides and status contexts write it: `^[a-z][a-z0-9-]{0,30}$`.
    CheckName,
    "check name",
    "it starts with a small letter, then small letters, digits and `-`, at most 31",
    |t| shaped(t, 31, |b| b.is_ascii_lowercase(), |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
);

name!(
    /// A runbook's name, as `/run` writes it: `^[a-z][a-z0-9-]{0,30}$`.
    RunbookName,
    "runbook name",
    "it starts with a small letter, then small letters, digits and `-`, at most 31",
    |t| shaped(t, 31, |b| b.is_ascii_lowercase(), |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
);

name!(
    /// What a stage deploys, as `deployments` names it: `^[A-Za-z][A-Za-z0-9_-]{0,99}$`.
    DeploymentName,
    "deployment name",
    "it starts with a letter, then letters, digits, `_` and `-`, at most 100",
    |t| shaped(t, 100, |b| b.is_ascii_alphabetic(), |b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
);

name!(
    /// A branch or tag name without `refs/…/`, as git's `check-ref-format` allows it and no stranger.
    RefName,
    "branch or tag name",
    "it holds no space, control character, `..`, `~`, `^`, `:`, `?`, `*`, `[`, `\\` or `@{`, at most 250 bytes",
    |t| !t.is_empty()
        && t.len() <= 250
        && !t.starts_with(['/', '-', '.'])
        && !t.ends_with(['/', '.'])
        && !t.contains("..")
        && !t.contains("//")
        && !t.contains("/.")
        && !t.contains("@{")
        && !t.split('/').any(|part| part.rsplit_once('.').is_some_and(|(_, end)| end == "lock"))
        && t.bytes().all(|b| b > 0x20 && b != 0x7f && !b"~^:?*[\\".contains(&b))
);

name!(
    /// A conversation on the host that releases are spoken about in: a pull request, an issue or a commit.
    ThreadId,
    "thread",
    "it is a number or a full commit id",
    |t| shaped(t, 64, |b| b.is_ascii_hexdigit(), |b| b.is_ascii_hexdigit())
);

name!(
    /// A comment's identity on the host.
    CommentId,
    "comment id",
    "it has letters and digits, at most 64",
    |t| shaped(t, 64, |b| b.is_ascii_alphanumeric(), |b| b.is_ascii_alphanumeric() || b == b'-')
);

/// Bytes that tell a variable's name from others.
fn folded(bytes: Option<&[u8]>) -> impl Iterator<Item = u8> {
    bytes.unwrap_or_default().iter().map(u8::to_ascii_lowercase)
}

impl VariableName {
    /// Whether a text is this name, whatever its case.
    pub fn is(&self, text: &str) -> bool {
        self.0.eq_ignore_ascii_case(text)
    }
}

impl PartialEq for VariableName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for VariableName {}

impl Ord for VariableName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Names of one group begin alike, equal bytes fold alike, and a group may have thousands.
        let (ours, theirs) = (self.0.as_bytes(), other.0.as_bytes());
        let (words, _) = ours.as_chunks::<8>();
        let (others, _) = theirs.as_chunks::<8>();
        let same =
            words.iter().zip(others).take_while(|(word, other)| word == other).count().saturating_mul(8);
        folded(ours.get(same..)).cmp(folded(theirs.get(same..)))
    }
}

impl PartialOrd for VariableName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl CommitSha {
    /// The first 7 digits, as people read commits.
    pub fn short(&self) -> &str {
        self.0.get(..7).unwrap_or(&self.0)
    }
}

impl TreeSha {
    /// The first 7 digits, as people read them.
    pub fn short(&self) -> &str {
        self.0.get(..7).unwrap_or(&self.0)
    }
}

impl SecretAddress {
    /// The word before the colon: which store has it.
    pub fn store(&self) -> &str {
        self.0.split_once(':').map_or("", |(store, _)| store)
    }

    /// What the store is asked for.
    pub fn path(&self) -> &str {
        let rest = self.0.split_once(':').map_or("", |(_, rest)| rest);
        rest.split_once('#').map_or(rest, |(path, _)| path)
    }

    /// Which part of it, where a path has several.
    pub fn key(&self) -> Option<&str> {
        self.0.split_once('#').map(|(_, key)| key)
    }
}

impl Digest {
    /// Wraps the 64 hex digits of a SHA-256 sum.
    pub fn of_hex(hex: &str) -> Result<Self, NameError> {
        format!("sha256:{hex}").parse()
    }

    /// The digest of a text.
    pub fn of_text(text: &str) -> Self {
        Self::of_bytes(text.as_bytes())
    }

    /// The digest of these bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(format!("sha256:{}", hex::encode(Sha256::digest(bytes))))
    }

    /// The hex digits without `sha256:`.
    pub fn hex(&self) -> &str {
        self.0.get(7..).unwrap_or_default()
    }

    /// `sha256:` and the first 12 digits, as replies show digests (SEMANTICS §3).
    pub fn short(&self) -> &str {
        self.0.get(..19).unwrap_or(&self.0)
    }
}

/// A person's numeric id on the host; never zero, so that a missing id cannot pass for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub NonZeroU64);

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A release's number within its pipeline, counted from 1 in the order of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReleaseNo(pub NonZeroU32);

impl fmt::Display for ReleaseNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A pipeline's full identity, and the name of its event stream: `github:123456/web`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PipelineId {
    /// The repository that declares it.
    pub repo: RepoId,
    /// Its name there.
    pub name: PipelineName,
}

impl fmt::Display for PipelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.repo, self.name)
    }
}

impl FromStr for PipelineId {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (repo, name) = text.split_once('/').ok_or_else(|| NameError {
            kind: "pipeline id",
            rule: "it is `<repository id>/<pipeline>`",
            text: printable(text),
        })?;
        Ok(Self { repo: repo.parse()?, name: name.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad<T: FromStr>(texts: &[&str]) {
        for text in texts {
            assert!(text.parse::<T>().is_err(), "{text:?} passed");
        }
    }

    #[test]
    fn good_names_pass_and_keep_their_text() {
        assert_eq!("github:12".parse::<RepoId>().unwrap().as_str(), "github:12");
        assert_eq!("acme/web".parse::<RepoName>().unwrap().as_str(), "acme/web");
        assert_eq!(
            "acme.Invictus.Framework".parse::<PipelineName>().unwrap().as_str(),
            "acme.Invictus.Framework"
        );
        assert!("release/1.x".parse::<RefName>().is_ok());
        assert!("a#b".parse::<RefName>().is_ok());
        assert!("dependabot[bot]".parse::<Login>().is_ok());
        assert_eq!("github:12/web".parse::<PipelineId>().unwrap().to_string(), "github:12/web");
        assert!("Invictus.Secrets.ApiKey1.Name".parse::<VariableName>().is_ok());
        assert!("acme.Invictus.test".parse::<GroupName>().is_ok());
    }

    #[test]
    fn variables_are_told_apart_without_their_case() {
        let name = |text: &str| text.parse::<VariableName>().unwrap();
        assert_eq!(name("ArtifactsPath"), name("artifactspath"));
        assert!(name("a.B") < name("A.c") && name("A.c") > name("a.b"));
        assert_eq!(name("ArtifactsPath").as_str(), "ArtifactsPath");
    }

    #[test]
    fn a_secret_reference_has_a_store_a_path_and_a_key() {
        let address: SecretAddress = "vault:kv/sign#key".parse().unwrap();
        assert_eq!((address.store(), address.path(), address.key()), ("vault", "kv/sign", Some("key")));
        let address: SecretAddress = "file:/run/secrets/x".parse().unwrap();
        assert_eq!((address.store(), address.path(), address.key()), ("file", "/run/secrets/x", None));
        let address: SecretAddress = "exec:".parse().unwrap();
        assert_eq!((address.store(), address.path(), address.key()), ("exec", "", None));
    }

    #[test]
    fn the_digest_of_a_text_is_that_of_its_bytes() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of_text("").as_str(), empty);
    }

    #[test]
    fn t42_names_never_become_paths() {
        bad::<RepoName>(&["a/b/c", "../x", "a/..", "", "/a", "a/", ".*\n"]);
        bad::<PipelineName>(&["../../x", "a/b", "", "a b", &"x".repeat(300)]);
        bad::<StageName>(&["Prod", "p rod", "-prod", "пrod", "../x", &"a".repeat(32)]);
        bad::<RefName>(&["../x", "a..b", "main@{1}", "-x", "a b", "HEAD~1", "a\nb", "x.lock", ""]);
        bad::<Alias>(&["a/b", "..", ""]);
        bad::<VariableName>(&["a/b", "..", "", "1a", "a b", "$x"]);
        bad::<GroupName>(&["../x", "a/b", "", "-a"]);
        bad::<SecretAddress>(&[
            "",
            "vault",
            "Vault:x",
            "file:../x",
            "file:/a/../b",
            "vault:a#b#c",
            "exec:-x",
            "vault:a b",
        ]);
        bad::<CheckName>(&["Smoke", "a.b", "../x", ""]);
        bad::<RunbookName>(&["Clean", "a/b", "-x", ""]);
        bad::<DeploymentName>(&["1st", "a/b", "a.b", "-x", ""]);
    }

    #[test]
    fn t33_an_empty_identity_is_no_identity() {
        assert!(serde_json::from_str::<UserId>("0").is_err());
        assert!(serde_json::from_str::<UserId>("null").is_err());
        bad::<Login>(&["", "a b", "@ana"]);
    }

    #[test]
    fn t16_an_error_names_code_points_and_never_echoes_them() {
        let error = "рrod".parse::<StageName>().unwrap_err().to_string();
        assert!(error.contains("U+0440rod"), "{error}");
        assert!(error.is_ascii());
    }

    #[test]
    fn digests_and_commits_are_exact() {
        bad::<Digest>(&[
            "sha256:00",
            &format!("sha1:{}", "0".repeat(64)),
            &format!("sha256:{}", "G".repeat(64)),
        ]);
        bad::<CommitSha>(&["7b9bc25", &"A".repeat(40), &"0".repeat(41)]);
        let digest = Digest::of_hex(&"ab".repeat(32)).unwrap();
        assert_eq!(digest.short(), "sha256:abababababab");
        assert_eq!(digest.hex().len(), 64);
    }
}
