//! The parts of GitHub's answers that we use; everything else is ignored, users may be missing, words are text.

use std::num::NonZeroU64;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::domain::name::UserId;
use crate::domain::person::{Person, Visibility};
use crate::trouble::{Outcome, Trouble};

/// Reads an answer; one that is not understood may come from a proxy in between, so it may pass.
pub(super) fn read<T: DeserializeOwned>(what: &str, body: &[u8]) -> Outcome<T> {
    serde_json::from_slice(body)
        .map_err(|e| Trouble::transient(format!("{what}: GitHub's answer was not understood")).because(e))
}

/// An account; deleted ones are null where they stood.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct User {
    pub(super) id: u64,
    pub(super) login: String,
    #[serde(default, rename = "type")]
    pub(super) kind: String,
}

/// `GET /repositories/{id}`.
#[derive(Debug, Deserialize)]
pub(super) struct Repository {
    pub(super) id: u64,
    pub(super) full_name: String,
    pub(super) default_branch: String,
    private: Option<bool>,
}

impl Repository {
    /// Private only when GitHub says so.
    pub(super) fn visibility(&self) -> Visibility {
        if self.private == Some(true) { Visibility::Private } else { Visibility::Public }
    }
}

/// Anything of which only the number matters: an installation, a hook, a check run, a reaction.
#[derive(Debug, Deserialize)]
pub(super) struct Numbered {
    pub(super) id: u64,
}

/// `POST /app/installations/{id}/access_tokens`.
#[derive(Deserialize)]
pub(super) struct Token {
    pub(super) token: String,
    #[serde(default)]
    pub(super) expires_at: String,
}

/// `GET /app`.
#[derive(Debug, Deserialize)]
pub(super) struct App {
    pub(super) slug: String,
}

/// `GET …/collaborators/{login}/permission`.
#[derive(Debug, Deserialize)]
pub(super) struct Permission {
    #[serde(rename = "permission")]
    pub(super) base: String,
    #[serde(default)]
    pub(super) role_name: String,
    pub(super) user: Option<User>,
}

/// `GET /orgs/{org}/teams/{slug}/memberships/{login}`.
#[derive(Debug, Deserialize)]
pub(super) struct Membership {
    pub(super) state: String,
}

/// A comment on an issue, a pull request or a commit.
#[derive(Debug, Deserialize)]
pub(super) struct Comment {
    pub(super) id: u64,
    pub(super) user: Option<User>,
    #[serde(default)]
    pub(super) body: Option<String>,
    pub(super) created_at: String,
    pub(super) updated_at: String,
    #[serde(default)]
    pub(super) performed_via_github_app: Option<serde_json::Value>,
    /// Set on comments of threads; only its last segment, the thread's number, is read.
    #[serde(default)]
    pub(super) issue_url: Option<String>,
    /// Set on comments of commits.
    #[serde(default)]
    pub(super) commit_id: Option<String>,
}

/// An item of `GET …/issues`.
#[derive(Debug, Deserialize)]
pub(super) struct Issue {
    pub(super) number: u64,
    pub(super) user: Option<User>,
    #[serde(default)]
    pub(super) body: Option<String>,
}

/// An item of `GET …/commits/{sha}/pulls`.
#[derive(Debug, Deserialize)]
pub(super) struct Pull {
    pub(super) number: u64,
    #[serde(default)]
    pub(super) merged_at: Option<String>,
    #[serde(default)]
    pub(super) merge_commit_sha: Option<String>,
    pub(super) user: Option<User>,
}

/// An item of `GET …/reactions`.
#[derive(Debug, Deserialize)]
pub(super) struct Reaction {
    pub(super) id: u64,
    pub(super) user: Option<User>,
    pub(super) content: String,
}

/// `GET …/actions/runs/{id}`.
#[derive(Debug, Deserialize)]
pub(super) struct WorkflowRun {
    pub(super) id: u64,
    /// Absent for what is no file of the repository.
    #[serde(default)]
    pub(super) path: String,
    pub(super) run_attempt: u32,
    pub(super) head_sha: String,
    pub(super) head_branch: Option<String>,
    pub(super) event: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) conclusion: Option<String>,
    pub(super) repository: Numbered,
    /// Nothing when the fork is gone.
    pub(super) head_repository: Option<Numbered>,
    #[serde(default)]
    pub(super) actor: Option<User>,
    #[serde(default)]
    pub(super) triggering_actor: Option<User>,
}

/// `GET …/actions/runs/{id}/artifacts`.
#[derive(Debug, Deserialize)]
pub(super) struct Artifacts {
    pub(super) total_count: u64,
    pub(super) artifacts: Vec<Artifact>,
}

/// One artifact of a run.
#[derive(Debug, Deserialize)]
pub(super) struct Artifact {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) size_in_bytes: u64,
    #[serde(default)]
    pub(super) expired: bool,
}

/// `GET …/commits/{sha}/check-runs`.
#[derive(Debug, Deserialize)]
pub(super) struct CheckRuns {
    pub(super) check_runs: Vec<CheckRun>,
}

/// One check run.
#[derive(Debug, Deserialize)]
pub(super) struct CheckRun {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) head_sha: String,
    #[serde(default)]
    pub(super) external_id: Option<String>,
    pub(super) status: String,
    #[serde(default)]
    pub(super) conclusion: Option<String>,
    #[serde(default)]
    pub(super) app: Option<Numbered>,
}

/// An item of `GET …/commits/{sha}/statuses`.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    pub(super) context: String,
    pub(super) state: String,
    pub(super) creator: Option<User>,
}

/// `GET /search/issues`.
#[derive(Debug, Deserialize)]
pub(super) struct Found {
    pub(super) total_count: u64,
    #[serde(default)]
    pub(super) incomplete_results: bool,
}

/// `GET …/git/ref/{ref}` and `GET …/git/tags/{sha}`: both point at an object.
#[derive(Debug, Deserialize)]
pub(super) struct Pointer {
    pub(super) object: Object,
}

/// A git object as GitHub names it.
#[derive(Debug, Deserialize)]
pub(super) struct Object {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) sha: String,
}

/// `POST …/git/tags`.
#[derive(Debug, Deserialize)]
pub(super) struct Tag {
    pub(super) sha: String,
}

/// A repository's webhook.
#[derive(Debug, Deserialize)]
pub(super) struct Hook {
    pub(super) id: u64,
    pub(super) config: HookConfig,
}

/// Where a webhook delivers to.
#[derive(Debug, Deserialize)]
pub(super) struct HookConfig {
    #[serde(default)]
    pub(super) url: String,
}

/// An item of `GET …/deliveries`.
#[derive(Debug, Deserialize)]
pub(super) struct Delivery {
    pub(super) id: u64,
    pub(super) guid: String,
    pub(super) delivered_at: String,
    #[serde(default)]
    pub(super) status_code: u16,
}

impl User {
    /// The account as the rules know people; nothing when the id or the login is not one.
    pub(super) fn person(&self) -> Option<Person> {
        Some(Person { id: UserId(NonZeroU64::new(self.id)?), login: self.login.parse().ok()? })
    }
}

#[cfg(test)]
mod tests;

/// A commit, of which only the linked account of its author is read.
#[derive(Debug, Deserialize)]
pub(super) struct Authored {
    pub(super) author: Option<User>,
}

/// A release, in `GET …/releases` and elsewhere.
#[derive(Debug, Deserialize)]
pub(super) struct Release {
    pub(super) id: u64,
    pub(super) tag_name: String,
    pub(super) draft: bool,
    #[serde(default)]
    pub(super) prerelease: bool,
    pub(super) name: Option<String>,
    pub(super) body: Option<String>,
    pub(super) html_url: String,
    #[serde(default)]
    pub(super) assets: Vec<Asset>,
}

/// A file of a release.
#[derive(Debug, Deserialize)]
pub(super) struct Asset {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) state: String,
    #[serde(default)]
    pub(super) digest: Option<String>,
    pub(super) browser_download_url: String,
}
