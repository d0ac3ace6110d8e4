//! Copilot's `source` block: the provider, the branch that starts releases and the repository's address.

use serde::Serialize;

use crate::domain::glob::Glob;
use crate::domain::manifest::code::Code;
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::view::{self, View};
use crate::domain::name::{RepoName, printable};
use crate::domain::pipeline::Checkout;

/// Providers Copilot's manifest names (docs "Pipeline manifest"), and `Git` for every other host.
pub(super) const PROVIDERS: &[&str] = &["GitHub", "GitHubV1", "CodeCommit", "Bitbucket", "Git"];
/// How `CodePipeline` hands the source on (docs "Pipeline manifest").
pub(super) const FORMATS: &[&str] = &["CODE_ZIP", CLONE];
/// The one of them that is a full clone.
const CLONE: &str = "CODEBUILD_CLONE_REF";
/// Longest address of a repository.
const MAX_ADDRESS_BYTES: usize = 500;

/// What a `source` block says, for `doctor` and for importing a Copilot pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Source {
    /// The kind of host.
    pub provider: Option<String>,
    /// The branch or pattern of branches whose pushes start a release.
    pub branch: Option<Glob>,
    /// `host/path`, whichever way the address was written.
    pub repository: Option<String>,
    /// The name of the stored token.
    pub access_token_secret: Option<String>,
    /// The name of a stored connection.
    pub connection_name: Option<String>,
    /// `CODE_ZIP` or `CODEBUILD_CLONE_REF`.
    pub output_artifact_format: Option<String>,
}

/// Reads the block; a repository other than `own` is a warning.
pub(super) fn read(pipeline: View<'_>, own: &RepoName, findings: &mut Findings<'_>) -> Option<Source> {
    pipeline.get("source")?;
    let block = pipeline.below("source");
    let properties = block.below("properties");
    let repository =
        properties.get("repository").and_then(view::text).and_then(|t| normalise_repository(t).ok());
    if let Some(named) = &repository {
        let same = named.split_once('/').is_some_and(|(_, path)| path.eq_ignore_ascii_case(own.as_str()));
        if !same {
            let at = properties.get("repository").map(|n| n.at).unwrap_or_default();
            findings.add(
                Code::OtherRepository,
                at,
                format!("the manifest names {named}, and belongs to {own}"),
            );
        }
    }
    Some(Source {
        provider: block.line("provider"),
        branch: properties.parsed("branch"),
        repository,
        access_token_secret: properties.line("access_token_secret"),
        connection_name: properties.line("connection_name"),
        output_artifact_format: properties.line("output_artifact_format"),
    })
}

/// How the commit is handed to its build (row C39).
pub(super) fn checkout(pipeline: View<'_>) -> Checkout {
    let format = pipeline.below("source").below("properties").line("output_artifact_format");
    if format.as_deref() == Some(CLONE) { Checkout::History } else { Checkout::Files }
}

pub(super) fn check_repository(text: &str) -> Result<(), String> {
    normalise_repository(text).map(drop)
}

/// `https://host/o/n.git`, `ssh://git@host/o/n`, `git@host:o/n.git` → `host/o/n`; the host in small letters.
pub fn normalise_repository(text: &str) -> Result<String, String> {
    let refuse = |why: &str| Err(format!("`{}` is not a repository's address: {why}", printable(text)));
    if text.len() > MAX_ADDRESS_BYTES || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return refuse("it has spaces, or more than 500 bytes");
    }
    let (user_and_host, path) = match text.split_once("://") {
        Some(("https" | "http" | "ssh" | "git", rest)) => match rest.split_once('/') {
            Some(parts) => parts,
            None => return refuse("it has no path"),
        },
        Some(_) => return refuse("it starts with `https://`, `ssh://` or `git@`"),
        None => match text.split_once(':') {
            Some(parts) => parts,
            None => return refuse("write it as `https://host/owner/name`"),
        },
    };
    let (user, host) = user_and_host.rsplit_once('@').unwrap_or(("", user_and_host));
    if user.contains(':') || (text.starts_with("http") && !user.is_empty()) {
        // The text itself is not repeated: what stands before the `@` is likely a token.
        return Err("an address with a user or token in it does not belong into a file; remove it".to_owned());
    }
    let host = host.split_once(':').map_or(host, |(name, _port)| name);
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    if host.is_empty() || path.is_empty() {
        return refuse("it has no host or no path");
    }
    Ok(format!("{}/{path}", host.to_ascii_lowercase()))
}
