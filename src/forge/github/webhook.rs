//! The repository's webhook, made on somebody's behalf with their token (row C17).

use std::ops::ControlFlow;

use hyper::Method;
use serde_json::json;

use crate::domain::name::RepoName;
use crate::forge::github::app::Work;
use crate::forge::github::client::GitHub;
use crate::forge::github::dto;
use crate::forge::github::registry::Home;
use crate::secret::Secret;
use crate::trouble::{Outcome, Trouble};

/// What the engine listens to.
const EVENTS: &[&str] = &[
    "push",
    "pull_request",
    "issue_comment",
    "commit_comment",
    "status",
    "check_run",
    "check_suite",
    "repository",
    "workflow_run",
];

/// What came of placing a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// There was none of ours.
    Made,
    /// There was one, and it is now as it should be: nobody can read its secret to compare it.
    Renewed,
}

impl GitHub {
    /// Makes the repository's webhook that tells us, or puts the one that is there right.
    pub async fn place_webhook(&self, repository: &RepoName, secret: &Secret) -> Outcome<Placed> {
        let (home, hooks) = self.hooks_of(repository).await?;
        let body = json!({
            "name": "web",
            "active": true,
            "events": EVENTS,
            "config": {
                "url": self.webhook_address(),
                "content_type": "json",
                "insecure_ssl": "0",
                "secret": secret.expose(),
            },
        });
        let identity = home.to(Work::Look);
        if let Some(id) = self.webhook(&home, &hooks).await? {
            self.send(identity.write(), Method::PATCH, &format!("{hooks}/{id}"), Some(&body)).await?;
            Ok(Placed::Renewed)
        } else {
            self.send(identity.write(), Method::POST, &hooks, Some(&body)).await?;
            Ok(Placed::Made)
        }
    }

    /// Takes the repository's webhook away again; false when there is none of ours.
    pub async fn remove_webhook(&self, repository: &RepoName) -> Outcome<bool> {
        let (home, hooks) = self.hooks_of(repository).await?;
        let Some(id) = self.webhook(&home, &hooks).await? else { return Ok(false) };
        self.send(home.to(Work::Look).write(), Method::DELETE, &format!("{hooks}/{id}"), None).await?;
        Ok(true)
    }

    /// Where GitHub is to deliver to.
    fn webhook_address(&self) -> String {
        format!("{}/webhook/github", self.settings.public_url.trim_end_matches('/'))
    }

    async fn hooks_of(&self, repository: &RepoName) -> Outcome<(Home, String)> {
        if self.stack.keys().is_app() {
            return Err(Trouble::refused(format!(
                "a GitHub App has one webhook for all repositories; set {} in the app's settings",
                self.webhook_address()
            )));
        }
        let at = self.settings.repositories.iter().position(|name| name == repository);
        let mut homes = self.homes().await?;
        let Some(at) = at.filter(|at| *at < homes.len()) else {
            return Err(Trouble::not_found(format!(
                "{repository} is not under [github] repositories in the config"
            )));
        };
        let home = homes.swap_remove(at);
        let hooks = format!("/repositories/{}/hooks", home.id);
        Ok((home, hooks))
    }

    /// The one that delivers to exactly our address.
    async fn webhook(&self, home: &Home, hooks: &str) -> Outcome<Option<u64>> {
        let ours = self.webhook_address();
        self.pages(&home.to(Work::Look), hooks, |hook: dto::Hook| {
            if hook.config.url == ours { ControlFlow::Break(hook.id) } else { ControlFlow::Continue(()) }
        })
        .await
    }
}
