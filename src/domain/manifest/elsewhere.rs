//! Files of other repositories that manifests are made of: `extends: org/repo//file.yml@sha` (row D01).

use std::collections::BTreeMap;
use std::fmt;

use crate::domain::manifest::build;
use crate::domain::name::{CommitSha, RepoName, printable};

/// Longest name of a repository with its host.
const MAX_REPOSITORY_BYTES: usize = 200;
/// Digits of the commits that hosts have.
const COMMIT_DIGITS: usize = 40;
/// What stands between the repository and the path in it; no path of the manifest's own repository has it.
const BETWEEN: &str = "//";

/// A file of another repository at one commit: whatever happens there later, it is the same text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Elsewhere {
    /// `org/repo` on the host of the manifest's own repository, or `host/path`.
    pub repository: String,
    /// The path in it.
    pub path: String,
    /// The commit.
    pub commit: CommitSha,
}

/// What there is to say of such files that are not among the texts of a manifest.
#[derive(Debug, Clone, Copy)]
pub enum Others<'a> {
    /// All were asked for; these cannot be had, each with why.
    Asked(&'a BTreeMap<String, String>),
    /// Nobody can ask: the manifest is checked on somebody's machine.
    Unasked,
}

/// Whether a text of `extends` means a file of another repository.
pub(super) fn is_one(text: &str) -> bool {
    text.contains(BETWEEN)
}

/// The file as people read it.
pub(super) fn shown(text: &str) -> String {
    let short = |file: Elsewhere| {
        let Elsewhere { repository, path, commit } = file;
        format!("`{repository}{BETWEEN}{path}` at {}", commit.short())
    };
    Elsewhere::parse(text).map_or_else(|_| format!("`{}`", printable(text)), short)
}

impl Elsewhere {
    /// Reads `org/repo//file.yml@sha`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| Err(format!("`{}` {why}", printable(text)));
        let Some((repository, rest)) = text.split_once(BETWEEN) else {
            return refuse("names no repository; write it as `org/repo//file.yml@` and a commit");
        };
        let word = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        if repository.len() > MAX_REPOSITORY_BYTES || !repository.split('/').all(word) {
            return refuse("names no repository before `//`; write it as `org/repo` or `host/org/repo`");
        }
        let Some((path, commit)) = rest.rsplit_once('@') else {
            return refuse(
                "names no commit: end it with `@` and all 40 digits of one, so that a release's rules \
                 do not change under it",
            );
        };
        let commit = match commit.parse::<CommitSha>() {
            Ok(commit) if commit.as_str().len() == COMMIT_DIGITS => commit,
            Ok(_) | Err(_) => {
                return refuse(
                    "names no full commit: a branch, a tag or a short id may be other rules tomorrow, and a \
                     release's rules do not change under it; write all 40 digits after `@`",
                );
            }
        };
        let path = build::clean_path(path)?;
        if !is_yaml(&path) {
            return refuse("is not a `.yml` file");
        }
        Ok(Self { repository: repository.to_owned(), path, commit })
    }

    /// The repository's name when it is one of the host that the manifest is on; a name that begins with a host's is
    /// for the server's config to know.
    pub fn beside(&self) -> Option<RepoName> {
        let host = self.repository.split_once('/').is_some_and(|(first, _)| first.contains('.'));
        self.repository.parse().ok().filter(|_| !host)
    }
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{BETWEEN}{}@{}", self.repository, self.path, self.commit)
    }
}

/// Whether a path is one of files that are extended.
pub(super) fn is_yaml(path: &str) -> bool {
    matches!(path.rsplit_once('.'), Some((_, "yml" | "yaml")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "9fceb02d0ae598e95dc970b74767f19372d61af8";

    #[test]
    fn d01_a_file_elsewhere_is_a_repository_a_path_and_a_whole_commit() {
        let text = format!("acme/rings//rings/prod.yml@{SHA}");
        let file = Elsewhere::parse(&text).unwrap();
        assert_eq!((file.repository.as_str(), file.path.as_str()), ("acme/rings", "rings/prod.yml"));
        assert_eq!(file.to_string(), text);
        assert_eq!(file.beside().unwrap().as_str(), "acme/rings");
        let far = Elsewhere::parse(&format!("gitea.example/rings//prod.yaml@{SHA}")).unwrap();
        assert_eq!(far.beside(), None, "it begins with a host");
        let far = Elsewhere::parse(&format!("gitea.example/acme/rings//./a@b.yml@{SHA}")).unwrap();
        assert_eq!((far.path.as_str(), far.beside()), ("a@b.yml", None));
        for wrong in [
            "acme/rings//prod.yml",
            "acme/rings//prod.yml@main",
            "acme/rings//prod.yml@9fceb02",
            &format!("acme/rings//prod.yml@{SHA}{}", "0".repeat(24)),
            &format!("acme/rings//prod.txt@{SHA}"),
            &format!("acme/rings//../prod.yml@{SHA}"),
            &format!("acme/rings///etc/prod.yml@{SHA}"),
            &format!("https://github.com/acme/rings//prod.yml@{SHA}"),
            &format!("acme/..//prod.yml@{SHA}"),
            &format!("-acme/rings//prod.yml@{SHA}"),
            &format!("//prod.yml@{SHA}"),
        ] {
            assert!(Elsewhere::parse(wrong).is_err(), "{wrong}");
        }
    }
}
