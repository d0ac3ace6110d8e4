//! [`GitHub`]: what the engine asks of its host, as calls of GitHub's REST API.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::header::HeaderMap;
use hyper::{Method, Request};
use octocrab::Octocrab;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::domain::effect::{Place, Reaction, Status};
use crate::domain::name::{CommentId, CommitSha, Login, RepoId, RepoName, TeamName};
use crate::domain::person::{Person, Standing};
use crate::domain::probe::{CheckRun, CommitStatus};
use crate::domain::tag::Tag;
use crate::domain::time::{Span, Timestamp};
use crate::domain::workflow::{Left, Run};
use crate::forge::fact::Fact;
use crate::forge::github::answer::Rate;
use crate::forge::github::app::{Identity, Work};
use crate::forge::github::dto;
use crate::forge::github::registry::{Registry, WORD};
use crate::forge::github::route::segments;
use crate::forge::github::settings::{Credentials, Settings};
use crate::forge::github::stack::{Call, Stack, unwrapped};
use crate::forge::github::translate::translate;
use crate::forge::github::transport::{Base, Counts};
use crate::forge::release::Releases;
use crate::forge::{
    Asked, Comment, Forge, Missed, OwnCheck, PullRequest, Repository, Said, Source, Tagged, Threads,
};
use crate::secret::Secret;
use crate::trouble::{Outcome, Trouble};

/// Items asked for per page: the most that GitHub gives.
pub(super) const PER_PAGE: usize = 100;

/// Pages read of one list: GitHub allows 2 500 comments on a thread.
pub(super) const MAX_PAGES: usize = 26;

/// What a classic personal access token must be allowed to do (CHECKLIST C16).
const TOKEN_SCOPES: [&str; 2] = ["repo", "admin:repo_hook"];

/// One GitHub, as one app or one person. Clones share connections, tokens and limits.
#[derive(Clone)]
pub struct GitHub {
    pub(super) settings: Arc<Settings>,
    pub(super) stack: Arc<Stack>,
    pub(super) registry: Arc<Registry>,
    octocrab: Octocrab,
    git: Base,
    me: Arc<OnceCell<String>>,
}

/// An answer of the API that went well.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl fmt::Debug for GitHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHub").field("api", &self.settings.api_url).finish_non_exhaustive()
    }
}

impl GitHub {
    /// Checks the settings; nothing is sent yet. Must be called on a runtime.
    pub fn new(settings: Settings) -> Outcome<Self> {
        let stack = Arc::new(Stack::new(&settings)?);
        let git = match &settings.git_url {
            Some(url) => Base::parse(url)?,
            None => Base::parse(&settings.api_url)?.git()?,
        };
        Ok(Self {
            octocrab: stack.octocrab(),
            settings: Arc::new(settings),
            stack,
            registry: Arc::default(),
            git,
            me: Arc::default(),
        })
    }

    /// Looks up every configured repository and checks what the credentials may do, for the start of the server.
    pub async fn check(&self) -> Outcome<Vec<Repository>> {
        self.check_scopes().await?;
        let mut found = Vec::new();
        for home in self.homes().await? {
            found.push(self.describe(&id_of(home.id)?).await?.1);
        }
        Ok(found)
    }

    /// What the rate-limit headers last said, one entry per installation.
    pub fn rates(&self) -> Vec<Rate> {
        self.stack.rates()
    }

    /// How often GitHub answered since the start, by route and status.
    pub fn answers(&self) -> Counts {
        self.stack.answers()
    }

    /// Installation tokens asked for since the start.
    pub fn mints(&self) -> u64 {
        self.stack.mints()
    }

    /// This machine's clock minus GitHub's, in milliseconds, from the last answer.
    pub fn clock_skew_ms(&self) -> i64 {
        self.stack.skew_ms()
    }

    /// A classic token names its scopes in a header of every answer; other tokens do not, and show at first use.
    async fn check_scopes(&self) -> Outcome<()> {
        match &self.settings.credentials {
            Credentials::App { .. } => return Ok(()),
            Credentials::Token(_) => {}
        }
        let reply = self.send(Identity::App.read(), Method::GET, "/user", None).await?;
        let Some(held) = reply.headers.get("x-oauth-scopes").and_then(|v| v.to_str().ok()) else {
            return Ok(());
        };
        let held: BTreeSet<&str> = held.split(',').map(str::trim).collect();
        let missing: Vec<String> =
            TOKEN_SCOPES.iter().filter(|s| !held.contains(**s)).map(|s| format!("`{s}`")).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Trouble::refused(format!(
            "the personal access token lacks the scope {}; add it at {}/settings/tokens, or use a GitHub App",
            missing.join(" and "),
            self.git.as_str()
        )))
    }

    /// Our own login: whose comments and reactions are ours to change.
    pub(super) async fn me(&self) -> Outcome<&str> {
        let found = self.me.get_or_try_init(|| async {
            if self.stack.keys().is_app() {
                let app: dto::App = self.get(&Identity::App, "/app").await?;
                Ok(format!("{}[bot]", app.slug))
            } else {
                let user: dto::User = self.get(&Identity::App, "/user").await?;
                Ok(user.login)
            }
        });
        found.await.map(String::as_str)
    }

    /// Whether this account is ours.
    pub(super) async fn is_mine(&self, user: Option<&dto::User>) -> Outcome<bool> {
        let me = self.me().await?;
        Ok(user.is_some_and(|u| u.login.eq_ignore_ascii_case(me)))
    }

    /// Sends one request through octocrab.
    pub(super) async fn send(
        &self,
        call: Call,
        method: Method,
        target: &str,
        body: Option<&Value>,
    ) -> Outcome<Reply> {
        let request = Request::builder().method(method).uri(target).extension(call);
        let request = self.octocrab.build_request(request, body).map_err(unwrapped)?;
        let response = self.octocrab.execute(request).await.map_err(unwrapped)?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(unwrapped)?.to_bytes();
        Ok(Reply { headers: parts.headers, body })
    }

    /// Reads one thing.
    pub(super) async fn get<T: DeserializeOwned>(&self, identity: &Identity, target: &str) -> Outcome<T> {
        let reply = self.send(identity.read(), Method::GET, target, None).await?;
        dto::read(target, &reply.body)
    }

    /// Reads a list page by page until `each` breaks with what it found, or the list ends.
    ///
    /// Pages are counted here: the addresses in `Link` headers are not followed (THREATS T52).
    pub(super) async fn pages<T: DeserializeOwned, R>(
        &self,
        identity: &Identity,
        target: &str,
        mut each: impl FnMut(T) -> ControlFlow<R>,
    ) -> Outcome<Option<R>> {
        let sep = if target.contains('?') { '&' } else { '?' };
        for page in 1..=MAX_PAGES {
            let items: Vec<T> =
                self.get(identity, &format!("{target}{sep}per_page={PER_PAGE}&page={page}")).await?;
            let last = items.len() < PER_PAGE;
            for item in items {
                if let ControlFlow::Break(found) = each(item) {
                    return Ok(Some(found));
                }
            }
            if last {
                return Ok(None);
            }
        }
        Err(Trouble::refused(format!("{target}: GitHub lists more than {} items", MAX_PAGES * PER_PAGE)))
    }

    async fn source_of(&self, repo: &RepoId) -> Outcome<Source> {
        let (home, now) = self.describe(repo).await?;
        let token = self.stack.token(&home.to(Work::Fetch)).await?;
        Ok(Source::Https {
            url: format!("{}/{}.git", self.git.as_str(), now.name),
            // The user that GitHub's tokens of installations go by.
            credential: Some(("x-access-token", token)),
        })
    }
}

fn id_of(home: u64) -> Outcome<RepoId> {
    format!("{WORD}:{home}").parse().map_err(|e| Trouble::bug("name a repository").because(e))
}

impl Forge for GitHub {
    fn word(&self) -> &'static str {
        WORD
    }

    fn threads(&self) -> Threads {
        Threads::Shared
    }

    fn translate(&self, event: &str, body: &[u8]) -> Result<Vec<Fact>, String> {
        translate(event, body).map_err(|e| e.to_string())
    }

    fn web(&self, repository: &RepoName, commit: &CommitSha, file: Option<&str>) -> Option<String> {
        let home = format!("{}/{repository}", self.git.as_str());
        Some(match file {
            None => format!("{home}/commit/{commit}"),
            Some(path) => format!("{home}/blob/{commit}/{}", segments(path)),
        })
    }

    fn repository<'a>(&'a self, repo: &'a RepoId) -> Asked<'a, Repository> {
        Box::pin(async move { Ok(self.describe(repo).await?.1) })
    }

    fn configured(&self) -> Asked<'_, Vec<RepoId>> {
        Box::pin(async move { self.homes_there().await.iter().map(|home| id_of(home.id)).collect() })
    }

    fn standing<'a>(
        &'a self,
        repo: &'a RepoId,
        person: &'a Person,
        teams: &'a BTreeSet<TeamName>,
    ) -> Asked<'a, Standing> {
        Box::pin(self.standing_of(repo, person, teams))
    }

    fn person_called<'a>(&'a self, repo: &'a RepoId, login: &'a Login) -> Asked<'a, Option<Person>> {
        Box::pin(self.account_of(repo, login))
    }

    fn author<'a>(
        &'a self,
        repo: &'a RepoId,
        commit: &'a CommitSha,
        email: &'a str,
    ) -> Asked<'a, Option<Login>> {
        Box::pin(self.author_of(repo, commit, email))
    }

    fn comment<'a>(&'a self, repo: &'a RepoId, place: &'a Place, id: &'a CommentId) -> Asked<'a, Comment> {
        Box::pin(self.read_comment(repo, place, id))
    }

    fn merged_pull_request<'a>(
        &'a self,
        repo: &'a RepoId,
        commit: &'a CommitSha,
    ) -> Asked<'a, Option<PullRequest>> {
        Box::pin(self.merged_by(repo, commit))
    }

    fn tracking_place<'a>(
        &'a self,
        repo: &'a RepoId,
        commit: &'a CommitSha,
        title: &'a str,
        marker: &'a str,
    ) -> Asked<'a, Place> {
        Box::pin(self.tracking_issue(repo, commit, title, marker))
    }

    fn say<'a>(
        &'a self,
        repo: &'a RepoId,
        place: &'a Place,
        marker: &'a str,
        body: &'a str,
    ) -> Asked<'a, Said> {
        Box::pin(self.write_comment(repo, place, marker, body))
    }

    fn react<'a>(
        &'a self,
        repo: &'a RepoId,
        place: &'a Place,
        comment: &'a CommentId,
        reaction: Reaction,
    ) -> Asked<'a, ()> {
        Box::pin(self.set_reaction(repo, place, comment, reaction))
    }

    fn status<'a>(&'a self, repo: &'a RepoId, commit: &'a CommitSha, status: &'a Status) -> Asked<'a, ()> {
        Box::pin(async move {
            if self.settings.checks {
                self.show_check(repo, commit, status).await
            } else {
                self.show_status(repo, commit, status).await
            }
        })
    }

    fn statuses<'a>(&'a self, repo: &'a RepoId, commit: &'a CommitSha) -> Asked<'a, Vec<CommitStatus>> {
        Box::pin(self.statuses_of(repo, commit))
    }

    fn check_runs<'a>(
        &'a self,
        repo: &'a RepoId,
        commit: &'a CommitSha,
        name: &'a str,
    ) -> Asked<'a, Vec<CheckRun>> {
        Box::pin(self.check_runs_of(repo, commit, name))
    }

    fn own_check<'a>(&'a self, repo: &'a RepoId, run: u64) -> Asked<'a, OwnCheck> {
        Box::pin(self.read_check(repo, run))
    }

    fn count_issues<'a>(&'a self, repo: &'a RepoId, query: &'a str) -> Asked<'a, u64> {
        Box::pin(self.issues_matching(repo, query))
    }

    fn workflow_run<'a>(&'a self, repo: &'a RepoId, run: u64) -> Asked<'a, Run> {
        Box::pin(self.run_of(repo, run))
    }

    fn run_artifacts<'a>(&'a self, repo: &'a RepoId, run: u64) -> Asked<'a, Vec<Left>> {
        Box::pin(self.left_by(repo, run))
    }

    fn fetch_artifact<'a>(&'a self, repo: &'a RepoId, artifact: &'a Left, to: &'a Path) -> Asked<'a, ()> {
        Box::pin(self.archive_to(repo, artifact, to))
    }

    fn tag<'a>(&'a self, repo: &'a RepoId, tag: &'a Tag) -> Asked<'a, Tagged> {
        Box::pin(self.make_tag(repo, tag))
    }

    fn source<'a>(&'a self, repo: &'a RepoId) -> Asked<'a, Source> {
        Box::pin(self.source_of(repo))
    }

    fn releases(&self) -> Result<&dyn Releases, String> {
        Ok(self)
    }

    fn gives_tokens(&self) -> Result<(), String> {
        if self.stack.keys().is_app() {
            return Ok(());
        }
        Err("a token for steps needs the GitHub App; a personal access token is not handed on".to_owned())
    }

    fn step_token<'a>(&'a self, repo: &'a RepoId) -> Asked<'a, Secret> {
        Box::pin(async move {
            let home = self.home(repo).await?;
            self.stack.fresh_token(&home.to(Work::Step)).await
        })
    }

    fn revoke<'a>(&'a self, token: &'a Secret) -> Asked<'a, ()> {
        Box::pin(self.stack.revoke(token))
    }

    fn silences(&self) -> Vec<(String, Span)> {
        self.stack
            .silences()
            .into_iter()
            .map(|(installation, span)| (installation.to_string(), span))
            .collect()
    }

    fn keep_silent(&self, scope: &str, span: Span) {
        if let Ok(installation) = scope.parse() {
            self.stack.keep_silent(installation, span);
        }
    }

    fn deliveries_since(&self, since: Timestamp) -> Asked<'_, Vec<Missed>> {
        Box::pin(self.list_deliveries(since))
    }

    fn redeliver(&self, id: u64) -> Asked<'_, ()> {
        Box::pin(self.deliver_again(id))
    }
}
