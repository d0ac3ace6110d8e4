//! What the server's config says about GitHub; nothing here ever comes from a payload (THREATS T52).

use crate::domain::name::RepoName;
use crate::domain::time::Span;
use crate::secret::Secret;

/// Address of the public API; GitHub Enterprise Server has `https://<host>/api/v3`.
pub const PUBLIC_API: &str = "https://api.github.com";

/// Longest time one request may take, waiting for its turn not counted: GitHub itself gives up after 10 s.
pub const DEADLINE: Span = Span::seconds(15);

/// GitHub asks for at least this long between calls that create content (STORAGE §4).
pub const PAUSE_BETWEEN_WRITES: Span = Span::seconds(1);

/// How to reach one GitHub and what to do there.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Base of the REST API, `https` unless the host is this machine.
    pub api_url: String,
    /// Base of the upload API, where it is another host.
    pub upload_url: Option<String>,
    /// Base that `/owner/name.git` is appended to; by default the API's host without `api.` and without its path.
    pub git_url: Option<String>,
    /// Our own address, as status links show it.
    pub public_url: String,
    /// Who we are there.
    pub credentials: Credentials,
    /// The repositories we answer for; every other one is refused (THREATS T9).
    pub repositories: Vec<RepoName>,
    /// Check runs in place of commit statuses; apps only.
    pub checks: bool,
    /// Longest time for one request, and for waiting for its turn.
    pub deadline: Span,
    /// Shortest time between two calls that create content.
    pub pause_between_writes: Span,
}

/// Who we are on GitHub.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A GitHub App, by its number and its private key in PEM.
    App {
        /// The app's number, as its settings page shows it.
        id: u64,
        /// The private key, PEM.
        private_key: Secret,
    },
    /// A personal access token (CHECKLIST C16).
    Token(Secret),
}

impl Settings {
    /// The usual values for these credentials and repositories on github.com.
    pub fn new(public_url: impl Into<String>, credentials: Credentials, repositories: Vec<RepoName>) -> Self {
        Self {
            api_url: PUBLIC_API.to_owned(),
            upload_url: None,
            git_url: None,
            public_url: public_url.into(),
            credentials,
            repositories,
            checks: false,
            deadline: DEADLINE,
            pause_between_writes: PAUSE_BETWEEN_WRITES,
        }
    }
}
