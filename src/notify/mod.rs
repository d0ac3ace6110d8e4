//! Telling places outside: Slack, people by mail, and whoever takes webhooks; a route's address and secrets are the
//! server's alone.
//!
//! One deadline, no redirects, small answers. A message may come twice, so each has an id that never changes.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use serde::Serialize;

use crate::domain::name::RouteName;
use crate::domain::time::Timestamp;
use crate::https::{self, signed::Headers};
use crate::secret::Secret;
use crate::trouble::{Outcome, Trouble};

pub mod mail;
mod slack;
mod webhook;

/// Longest wait for a whole answer.
const DEADLINE: Duration = Duration::from_secs(15);

/// The routes of the server's config.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    /// The address people reach the pages at, without a slash at its end.
    pub public_url: String,
    /// Where messages go, by the names that manifests use.
    pub routes: BTreeMap<RouteName, Target>,
}

/// Where a route leads.
#[derive(Debug, Clone)]
pub enum Target {
    /// An incoming webhook of Slack; the address itself is the secret.
    Slack {
        /// The address.
        url: Secret,
    },
    /// People, by mail.
    Mail(Box<mail::Mail>),
    /// An address that takes JSON, signed as Standard Webhooks 1.0.0 say when there is a key.
    Webhook {
        /// The address.
        url: Secret,
        /// What it is signed with.
        key: Option<Secret>,
    },
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Letter {
    /// What makes it one message, however often it is sent.
    #[serde(skip)]
    pub id: String,
    /// What kind of fact it is about.
    pub event: String,
    /// In whose words it is.
    pub audience: String,
    /// `owner/name` of the repository.
    pub repository: String,
    /// The pipeline.
    pub pipeline: String,
    /// The release's version, when it is about one.
    pub version: Option<String>,
    /// Its commit.
    pub commit: Option<String>,
    /// The stage, when it is about one.
    pub stage: Option<String>,
    /// One line that says it all.
    pub title: String,
    /// What there is to add.
    pub lines: Vec<String>,
    /// The page to look at.
    pub url: String,
}

impl Routes {
    /// Everything of them that must never be shown.
    pub fn hidden(&self) -> impl Iterator<Item = &Secret> {
        self.routes
            .values()
            .flat_map(|target| match target {
                Target::Slack { url } => [Some(url), None],
                Target::Mail(mail) => [mail.password(), None],
                Target::Webhook { url, key } => [Some(url), key.as_ref()],
            })
            .flatten()
    }

    /// Sends a letter; who did not take it and may later is a trouble that passes.
    pub async fn send(&self, to: &RouteName, letter: &Letter, now: Timestamp) -> Outcome<()> {
        within(DEADLINE, to, self.hand_over(to, letter, now)).await
    }

    async fn hand_over(&self, to: &RouteName, letter: &Letter, now: Timestamp) -> Outcome<()> {
        let target = self.routes.get(to).ok_or_else(|| {
            Trouble::refused(format!("the server's config has no route `{to}`; add it under [notify]"))
        })?;
        let (url, body, headers) = match target {
            Target::Slack { url } => (url, slack::body(letter)?, Vec::new()),
            Target::Mail(mail) => return mail::send(mail, to, letter).await,
            Target::Webhook { url, key } => webhook::request(url, key.as_ref(), letter, now)?,
        };
        let what = || format!("tell {to}");
        match post(url, body, headers).await {
            // Not the error itself: it may hold the address, which is a secret.
            Err(Silence::Address) => Err(Trouble::refused(format!("{}: its address is none", what()))),
            Err(Silence::NoAnswer) => Err(Trouble::transient(format!("{}: nobody answers", what()))),
            Err(Silence::Ours(trouble)) => Err(trouble),
            Ok(status) if status.is_success() => Ok(()),
            Ok(status) if passes(status) => {
                Err(Trouble::transient(format!("{}: it answered {status}", what())))
            }
            Ok(status) => Err(Trouble::refused(format!("{}: it answered {status}", what()))),
        }
    }
}

/// Whoever takes a connection and then says nothing is not waited for: one route must not hold up the others.
async fn within(
    limit: Duration,
    to: &RouteName,
    handing_over: impl Future<Output = Outcome<()>>,
) -> Outcome<()> {
    let late = |_| Trouble::transient(format!("tell {to}: no answer within {} s", limit.as_secs()));
    tokio::time::timeout(limit, handing_over).await.map_err(late)?
}

/// Whether a message that was answered so may be taken later.
fn passes(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS
        )
}

/// Why there is no answer.
enum Silence {
    Address,
    NoAnswer,
    Ours(Trouble),
}

async fn post(url: &Secret, body: String, headers: Headers) -> Result<StatusCode, Silence> {
    let uri: Uri = url.expose().parse().map_err(|_| Silence::Address)?;
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(uri)
        .header(USER_AGENT, https::USER_AGENT)
        .header(CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(Bytes::from(body))).map_err(|_| Silence::Address)?;
    let connections = https::connections().map_err(Silence::Ours)?;
    let answer = connections.request(request).await.map_err(|_| Silence::NoAnswer)?;
    Ok(answer.status())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A letter about a release that is live.
    pub(super) fn letter() -> Letter {
        Letter {
            id: "notice:slack:#release:github:1/web:deployed:1:prod:1:0".to_owned(),
            event: "deployed".to_owned(),
            audience: "release_managers".to_owned(),
            repository: "acme/web".to_owned(),
            pipeline: "web".to_owned(),
            version: Some("v1".to_owned()),
            commit: None,
            stage: Some("prod".to_owned()),
            title: "web v1 is live in prod".to_owned(),
            lines: Vec::new(),
            url: "https://releases.example/releases/web/1".to_owned(),
        }
    }

    #[tokio::test]
    async fn e06_a_route_that_nobody_configured_or_answers_at_is_no_secret_told() {
        let to: RouteName = "slack:#release".parse().unwrap();
        let none = Routes::default().send(&to, &letter(), Timestamp(0)).await.unwrap_err();
        assert!(
            !none.is_transient() && none.chain().contains("no route `slack:#release`"),
            "{}",
            none.chain()
        );
        let at = |url: &str| Routes {
            routes: BTreeMap::from([(to.clone(), Target::Slack { url: Secret::new(url) })]),
            ..Routes::default()
        };
        let away = at("http://127.0.0.1:1/canary-4711").send(&to, &letter(), Timestamp(0)).await.unwrap_err();
        assert!(away.is_transient() && !away.chain().contains("4711"), "{}", away.chain());
        let bad = at("canary 4711").send(&to, &letter(), Timestamp(0)).await.unwrap_err();
        assert!(!bad.is_transient() && !bad.chain().contains("4711"), "{}", bad.chain());
    }
}
