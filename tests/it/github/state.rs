//! What the fake GitHub knows; its answers and its webhooks are both made from this.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use liftlock::clock;
use liftlock::domain::time::{Span, Timestamp};

use super::release::Release;

/// Everything on this GitHub.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// How far this GitHub's clock is ahead of ours, in milliseconds.
    pub(crate) clock_ahead_ms: i64,
    /// Days that a test lets pass; the tokens of apps are made by the machine's clock and know nothing of them.
    pub(crate) calendar_ms: i64,
    pub(crate) users: BTreeMap<u64, User>,
    pub(crate) repos: BTreeMap<u64, Repo>,
    pub(crate) installations: BTreeMap<u64, Installation>,
    /// `org/slug` → members with `active` or `pending`.
    pub(crate) teams: BTreeMap<String, BTreeMap<u64, &'static str>>,
    pub(crate) tokens: BTreeMap<String, Token>,
    /// Tokens that were ended before their time.
    pub(crate) revoked: Vec<String>,
    pub(crate) deliveries: Vec<Delivery>,
    /// The next upload of a file of this name breaks off.
    pub(crate) breaks_off: Option<String>,
    /// Nobody gets a file of a release, although the API lists it.
    pub(crate) downloads_are_lost: bool,
    next: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: u64,
    pub(crate) login: String,
    /// `User`, `Bot`, `Organization`.
    pub(crate) kind: &'static str,
}

#[derive(Debug, Default)]
pub(crate) struct Repo {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) default_branch: String,
    /// Where its objects are, when a test fetches them.
    pub(crate) bare: Option<PathBuf>,
    /// User → (`permission`, `role_name`).
    pub(crate) roles: BTreeMap<u64, (&'static str, &'static str)>,
    pub(crate) issues: BTreeMap<u64, Issue>,
    pub(crate) comments: BTreeMap<u64, Comment>,
    pub(crate) reactions: BTreeMap<u64, Reaction>,
    pub(crate) statuses: Vec<Status>,
    pub(crate) checks: BTreeMap<u64, Check>,
    /// Tag → object, for repositories without objects.
    pub(crate) tags: BTreeMap<String, String>,
    /// Tag object → what it points at.
    pub(crate) tag_objects: BTreeMap<String, String>,
    /// By number.
    pub(crate) releases: BTreeMap<u64, Release>,
    /// Whether only members see it.
    pub(crate) private: bool,
    /// By number.
    pub(crate) hooks: BTreeMap<u64, Hook>,
    pub(crate) runs: BTreeMap<u64, WorkflowRun>,
}

/// A webhook of a repository, as it was last written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hook {
    pub(crate) url: String,
    pub(crate) content_type: String,
    pub(crate) secret: String,
    pub(crate) events: Vec<String>,
}

impl Hook {
    /// What somebody asked for; what they left out has GitHub's own defaults.
    pub(crate) fn of(body: &serde_json::Value) -> Self {
        let config = |key: &str| body["config"][key].as_str().map(str::to_owned);
        let events = body["events"].as_array().map(Vec::as_slice).unwrap_or_default();
        let events = events.iter().map(|event| event.as_str().expect("a text").to_owned());
        Self {
            url: config("url").unwrap_or_default(),
            content_type: config("content_type").unwrap_or_else(|| "form".to_owned()),
            secret: config("secret").unwrap_or_default(),
            events: if body["events"].is_null() { vec!["push".to_owned()] } else { events.collect() },
        }
    }

    /// One of somebody else's, that delivers to this address.
    pub(crate) fn to(url: &str) -> Self {
        Self::of(&serde_json::json!({"config": {"url": url}}))
    }
}

/// A run of a workflow that is over.
#[derive(Debug, Clone)]
pub(crate) struct WorkflowRun {
    pub(crate) id: u64,
    pub(crate) attempt: u32,
    pub(crate) file: String,
    pub(crate) sha: String,
    pub(crate) branch: String,
    pub(crate) event: &'static str,
    pub(crate) conclusion: &'static str,
    /// The repository its code is from.
    pub(crate) head_repo: u64,
    pub(crate) by: u64,
    /// Name → files.
    pub(crate) artifacts: Vec<(String, Vec<(String, String)>)>,
}

#[derive(Debug)]
pub(crate) struct Issue {
    pub(crate) number: u64,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) author: u64,
    pub(crate) pull: Option<Pull>,
    pub(crate) created: Timestamp,
}

#[derive(Debug, Clone)]
pub(crate) struct Pull {
    pub(crate) head: String,
    /// The commit its merge made.
    pub(crate) merged: Option<String>,
}

/// Where a comment stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Spot {
    Thread(u64),
    Commit(String),
}

#[derive(Debug, Clone)]
pub(crate) struct Comment {
    pub(crate) id: u64,
    pub(crate) spot: Spot,
    pub(crate) author: u64,
    pub(crate) via_app: bool,
    pub(crate) body: String,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    /// Written through the API and not yet expected by the test.
    pub(crate) unread: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reaction {
    pub(crate) comment: u64,
    pub(crate) user: u64,
    pub(crate) content: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) sha: String,
    pub(crate) context: String,
    pub(crate) state: String,
    pub(crate) description: String,
    pub(crate) target_url: String,
    /// Who wrote it.
    pub(crate) by: u64,
    pub(crate) unread: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Check {
    pub(crate) sha: String,
    pub(crate) name: String,
    pub(crate) app: u64,
    /// The request that made or last changed it.
    pub(crate) body: serde_json::Value,
    pub(crate) unread: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Installation {
    pub(crate) repos: BTreeSet<u64>,
    pub(crate) permissions: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub(crate) enum Token {
    Installation { repos: BTreeSet<u64>, permissions: BTreeMap<String, String> },
    Personal { user: u64, scopes: Option<&'static str> },
}

/// A webhook that was sent, or was to be.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) id: u64,
    pub(crate) guid: String,
    pub(crate) event: String,
    pub(crate) body: String,
    pub(crate) at: Timestamp,
    pub(crate) status_code: u16,
    /// A redelivery that was asked for and not yet sent.
    pub(crate) asked: bool,
}

/// What the app of the fake is.
pub(crate) const APP_ID: u64 = 4711;
pub(crate) const APP_SLUG: &str = "liftlock-test";
pub(crate) const APP_USER: u64 = 90;
pub(crate) const INSTALLATION: u64 = 77;
pub(crate) const PERSONAL_TOKEN: &str = "ghp_personal0000000000000000000000000000";

impl State {
    /// An app installed on nothing yet, and nobody but its bot.
    pub(crate) fn new() -> Self {
        let permissions = [
            ("actions", "read"),
            ("checks", "write"),
            ("contents", "write"),
            ("issues", "write"),
            ("members", "read"),
            ("metadata", "read"),
            ("pull_requests", "write"),
            ("statuses", "write"),
        ];
        let permissions = permissions.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let mut state = Self { next: 1_000, ..Self::default() };
        state.installations.insert(INSTALLATION, Installation { repos: BTreeSet::new(), permissions });
        state.user(APP_USER, &format!("{APP_SLUG}[bot]"), "Bot");
        state
    }

    /// GitHub's time, to the second as GitHub shows it.
    pub(crate) fn now(&self) -> Timestamp {
        let ms = clock::now().0 + self.clock_ahead_ms + self.calendar_ms;
        Timestamp(ms - ms.rem_euclid(1_000))
    }

    pub(crate) fn fresh_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn user(&mut self, id: u64, login: &str, kind: &'static str) -> &mut Self {
        self.users.insert(id, User { id, login: login.to_owned(), kind });
        self
    }

    /// A repository that the app is installed on.
    pub(crate) fn repo(&mut self, id: u64, name: &str) -> &mut Repo {
        if let Some(installation) = self.installations.get_mut(&INSTALLATION) {
            installation.repos.insert(id);
        }
        let (owner, _) = name.split_once('/').expect("owner/name");
        self.user(500_000 + id, owner, "Organization");
        let repo = Repo { id, name: name.to_owned(), default_branch: "main".to_owned(), ..Repo::default() };
        self.repos.entry(id).or_insert(repo)
    }

    /// A personal token of this user, with the scopes a classic token shows.
    pub(crate) fn personal_token(&mut self, user: u64, scopes: Option<&'static str>) {
        self.tokens.insert(PERSONAL_TOKEN.to_owned(), Token::Personal { user, scopes });
    }

    /// A token of the app, good for an hour.
    pub(crate) fn mint(
        &mut self,
        repos: BTreeSet<u64>,
        permissions: BTreeMap<String, String>,
    ) -> (String, Timestamp) {
        let token = format!("ghs_{APP_ID}_{}.fake-token.{}", self.fresh_id(), "x".repeat(400));
        self.tokens.insert(token.clone(), Token::Installation { repos, permissions });
        (token, self.now().plus(Span::hours(1)))
    }

    /// A status that somebody put on a commit.
    pub(crate) fn status(&mut self, repo: u64, sha: &str, (context, state): (&str, &str), by: u64) {
        let status = Status {
            sha: sha.to_owned(),
            context: context.to_owned(),
            state: state.to_owned(),
            description: String::new(),
            target_url: String::new(),
            by,
            unread: false,
        };
        self.repos.get_mut(&repo).expect("a repository of this number").statuses.push(status);
    }

    /// An issue, or a pull request with this head.
    pub(crate) fn issue(&mut self, repo: u64, number: u64, author: u64, pull: Option<Pull>) {
        let created = self.now();
        let title = format!("Thread {number}");
        let issue = Issue { number, title, body: String::new(), author, pull, created };
        self.repos.get_mut(&repo).expect("a repository").issues.insert(number, issue);
    }

    /// A comment that somebody wrote.
    pub(crate) fn comment(&mut self, repo: u64, spot: Spot, author: u64, body: &str) -> u64 {
        let id = self.fresh_id();
        let at = self.now();
        let comment = Comment {
            id,
            spot,
            author,
            via_app: false,
            body: body.to_owned(),
            created: at,
            updated: at,
            unread: false,
        };
        self.repos.get_mut(&repo).expect("a repository").comments.insert(id, comment);
        id
    }

    pub(crate) fn user_by_login(&self, login: &str) -> Option<&User> {
        self.users.values().find(|u| u.login.eq_ignore_ascii_case(login))
    }

    pub(crate) fn repo_by_name(&self, name: &str) -> Option<u64> {
        self.repos.values().find(|r| r.name.eq_ignore_ascii_case(name)).map(|r| r.id)
    }
}

impl Repo {
    /// The comments of one place, oldest first.
    pub(crate) fn comments_in(&self, spot: &Spot) -> Vec<&Comment> {
        self.comments.values().filter(|c| c.spot == *spot).collect()
    }
}
