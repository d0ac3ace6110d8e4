//! Requests over the wire: only to configured addresses, one deadline each, bounded answers, no retries.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, USER_AGENT,
};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Error as Failed;

use crate::domain::time::Span;
use crate::forge::github::route::template;
use crate::forge::github::settings::Settings;
use crate::https::pieces::Content;
use crate::https::{self, Connections};
use crate::secret::Secret;
use crate::trouble::{Outcome, Trouble};

/// Largest answer read: a page of 100 comments of 65 536 characters of up to four bytes, and what is around them.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// A renamed repository answers with one redirect; more than this is a loop.
const MAX_REDIRECTS: usize = 3;

/// Longest that a file may take to be fetched: 4 GiB within it is a slow line.
const DOWNLOAD_WITHIN: Span = Span::minutes(30);

/// Longest that one file may take: the largest that GitHub takes, 2 GiB, over 10 Mbit/s.
const UPLOAD_WITHIN: Span = Span::minutes(30);

/// The API we speak, supported by GitHub until 2028-03 at the earliest (GITHUB.md A3).
const API_VERSION: (&str, &str) = ("x-github-api-version", "2022-11-28");

/// Scheme, host and port: what a credential is meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin(String);

/// A checked base address, without a slash at its end.
#[derive(Debug, Clone)]
pub(super) struct Base {
    text: String,
    origin: Origin,
}

/// One request, not yet sent.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    /// `GET`, `POST`, …
    pub(super) method: Method,
    /// A path below the API's base with its query, or an absolute address of an allowed origin.
    pub(super) target: String,
    /// JSON, or nothing.
    pub(super) body: Bytes,
    /// The token for the `Authorization` header.
    pub(super) bearer: &'a Secret,
}

/// One answer, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: StatusCode,
    /// Its headers.
    pub(super) headers: HeaderMap,
    /// Its whole body.
    pub(super) body: Bytes,
}

/// How often GitHub answered, by the template of the route and the status.
pub type Counts = BTreeMap<(String, u16), u64>;

/// What was answered since the start; a request that was never answered is none.
#[derive(Debug, Default)]
struct Answers(Mutex<Counts>);

impl Answers {
    fn note(&self, target: &str, status: StatusCode) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry((template(target), status.as_u16())).or_default();
        *count = count.saturating_add(1);
    }
}

/// Connections to one GitHub.
#[derive(Debug)]
pub(super) struct Transport {
    client: Connections,
    base: Base,
    /// Where files are sent to.
    upload: Base,
    deadline: Span,
    answers: Answers,
}

impl Origin {
    fn of(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme_str()?;
        let host = uri.host()?.to_ascii_lowercase();
        let usual = if scheme == "https" { 443 } else { 80 };
        Some(Self(format!("{scheme}://{host}:{}", uri.port_u16().unwrap_or(usual))))
    }
}

impl Base {
    /// Reads an address from the server's config: `https`, or `http` to this machine only.
    pub(super) fn parse(text: &str) -> Outcome<Self> {
        let refused = |why: &str| Err(Trouble::refused(format!("`{text}` in the server's config {why}")));
        let Ok(uri) = text.parse::<Uri>() else { return refused("is not an address") };
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return refused("is not an address like `https://api.github.com`");
        };
        let loopback = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        if scheme != "https" && !(scheme == "http" && loopback) {
            return refused("must begin with `https://`; plain `http` is for this machine only");
        }
        if uri.authority().is_some_and(|a| a.as_str().contains('@')) || uri.query().is_some() {
            return refused("must not hold a user, a password or a query");
        }
        match Origin::of(&uri) {
            Some(origin) => Ok(Self { text: text.trim_end_matches('/').to_owned(), origin }),
            None => refused("names no host"),
        }
    }

    /// The address, without a slash at its end.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Where the GitHub behind this API takes files: `api.github.com` → `uploads.github.com`, `host/api/v3` →
    /// `host/api/uploads`.
    fn uploads(&self) -> Outcome<Self> {
        match self.text.strip_suffix("/api/v3") {
            Some(host) => Self::parse(&format!("{host}/api/uploads")),
            None => Self::parse(&self.text.replacen("://api.", "://uploads.", 1)),
        }
    }

    /// Where the git repositories of the GitHub behind this API are: `api.github.com` → `github.com`,
    /// `host/api/v3` → `host`.
    pub(super) fn git(&self) -> Outcome<Self> {
        Self::parse(&self.text.trim_end_matches("/api/v3").replacen("://api.", "://", 1))
    }
}

impl Transport {
    /// Prepares connections; none is made yet.
    pub(super) fn new(settings: &Settings) -> Outcome<Self> {
        let base = Base::parse(&settings.api_url)?;
        let upload = match &settings.upload_url {
            Some(url) => Base::parse(url)?,
            None => base.uploads()?,
        };
        // Plain http is possible only where `Base::parse` allowed it.
        let (client, deadline) = (https::connections()?, settings.deadline);
        Ok(Self { client, base, upload, deadline, answers: Answers::default() })
    }

    /// How often GitHub answered since the start.
    pub(super) fn answers(&self) -> Counts {
        self.answers.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The longest time one request may take.
    pub(super) fn deadline(&self) -> Span {
        self.deadline
    }

    /// Sends a request and reads the whole answer, following a redirect of a read on the same origin.
    pub(super) async fn exchange(&self, ask: &Ask<'_>) -> Outcome<Answer> {
        let what = format!("{} {}", ask.method, shown(&ask.target));
        within(&what, self.deadline, self.follow(ask)).await
    }

    /// Sends a read and gives back its answer, also one that points elsewhere.
    pub(super) async fn ask_once(&self, ask: &Ask<'_>) -> Outcome<Answer> {
        let what = format!("GET {}", shown(&ask.target));
        within(&what, self.deadline, async { self.send(ask, &self.absolute(&ask.target)?).await }).await
    }

    /// Follows an answer to where GitHub keeps large files and writes what is there to a new file. That is another
    /// host, so it is told nothing: no credential, and no request that changes anything (THREATS T52).
    pub(super) async fn download(
        &self,
        ask: &Ask<'_>,
        answer: &Answer,
        (to, most): (&Path, u64),
    ) -> Outcome<()> {
        let what = format!("GET {}", shown(&ask.target));
        let location = answer.headers.get(LOCATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let uri: Option<Uri> = location.parse().ok().filter(|uri| self.keeps_files(uri));
        let Some(uri) = uri else {
            return Err(Trouble::refused(format!(
                "{what}: GitHub keeps the file where nothing is fetched from"
            )));
        };
        let request = Request::get(uri)
            .header(USER_AGENT, https::USER_AGENT)
            .body(Full::new(Bytes::new()))
            .map_err(|e| Trouble::bug(format!("{what}: build the request")).because(e))?;
        let fetched = async {
            let unreached =
                |e| Trouble::transient(format!("{what}: the file could not be reached")).because(e);
            let response = self.client.request(request).await.map_err(unreached)?;
            if response.status() != StatusCode::OK {
                let status = response.status().as_u16();
                return Err(Trouble::transient(format!("{what}: where the file is answered {status}")));
            }
            https::to_file(response.into_body(), (to, most)).await
        };
        within(&what, DOWNLOAD_WITHIN, fetched).await
    }

    /// Over TLS, or on the GitHub of the config itself.
    fn keeps_files(&self, uri: &Uri) -> bool {
        let plain = uri.authority().is_some_and(|a| !a.as_str().contains('@'));
        plain && (uri.scheme_str() == Some("https") || Origin::of(uri).as_ref() == Some(&self.base.origin))
    }

    async fn follow(&self, ask: &Ask<'_>) -> Outcome<Answer> {
        let mut uri = self.absolute(&ask.target)?;
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.send(ask, &uri).await?;
            if !answer.status.is_redirection() || answer.status == StatusCode::NOT_MODIFIED {
                return Ok(answer);
            }
            uri = self.redirected(ask, &uri, &answer)?;
        }
        Err(Trouble::refused(format!("{} {}: GitHub redirects in circles", ask.method, shown(&ask.target))))
    }

    /// Sends a file to where GitHub takes files, and reads the whole answer.
    pub(super) async fn upload(&self, target: &str, bearer: &Secret, content: Content) -> Outcome<Answer> {
        let what = format!("POST {}", shown(target));
        let uri = self.absolute(&format!("{}{target}", self.upload.text))?;
        let (size, body) = content.pieces();
        let request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(USER_AGENT, https::USER_AGENT)
            .header(ACCEPT, "application/vnd.github+json")
            .header(API_VERSION.0, API_VERSION.1)
            .header(AUTHORIZATION, sensitive(bearer)?)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, size)
            .body(body)
            .map_err(|e| Trouble::bug(format!("{what}: build the request")).because(e))?;
        let sending = async { self.answered(target, &what, https::uploads()?.request(request).await).await };
        within(&what, UPLOAD_WITHIN, sending).await
    }

    /// The address of a target; an origin that the config does not name is never connected to (THREATS T52).
    fn absolute(&self, target: &str) -> Outcome<Uri> {
        let text =
            if target.starts_with('/') { format!("{}{target}", self.base.text) } else { target.to_owned() };
        let uri: Uri = text.parse().map_err(|e| Trouble::bug("build an address").because(e))?;
        let origin = Origin::of(&uri);
        if origin.is_some_and(|origin| origin == self.base.origin || origin == self.upload.origin) {
            Ok(uri)
        } else {
            Err(Trouble::refused(format!(
                "`{}` is not the GitHub of the server's config; nothing was sent there",
                uri.host().unwrap_or_default()
            )))
        }
    }

    fn redirected(&self, ask: &Ask<'_>, from: &Uri, answer: &Answer) -> Outcome<Uri> {
        let what =
            format!("{} {}: GitHub answered {}", ask.method, shown(&ask.target), answer.status.as_u16());
        if ask.method != Method::GET {
            return Err(Trouble::refused(format!("{what}; a write is never sent to another address")));
        }
        let location = answer.headers.get(LOCATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let text = match (location.starts_with('/'), Origin::of(from)) {
            (true, Some(origin)) => format!("{}{location}", origin.0),
            (true | false, _) => location.to_owned(),
        };
        let to = text.parse::<Uri>().ok().filter(|to| Origin::of(to).is_some());
        let Some(to) = to else {
            return Err(Trouble::refused(format!("{what} without saying where")));
        };
        if Origin::of(&to) != Origin::of(from) {
            return Err(Trouble::refused(format!(
                "{what} and points to another host, `{}`; nothing was sent there",
                to.host().unwrap_or_default()
            )));
        }
        self.absolute(&to.to_string())
    }

    async fn send(&self, ask: &Ask<'_>, uri: &Uri) -> Outcome<Answer> {
        let what = format!("{} {}", ask.method, shown(&ask.target));
        let bearer = sensitive(ask.bearer)?;
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(uri.clone())
            .header(USER_AGENT, https::USER_AGENT)
            .header(ACCEPT, "application/vnd.github+json")
            .header(API_VERSION.0, API_VERSION.1)
            .header(AUTHORIZATION, bearer);
        if !ask.body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        } else if ask.method != Method::GET {
            // GitHub answers 411 to a write that does not say that it is empty.
            request = request.header(CONTENT_LENGTH, "0");
        }
        let request = request
            .body(Full::new(ask.body.clone()))
            .map_err(|e| Trouble::bug(format!("{what}: build the request")).because(e))?;
        self.answered(ask.target.as_str(), &what, self.client.request(request).await).await
    }

    /// The whole answer to a request, which is counted as soon as it begins.
    async fn answered(
        &self,
        target: &str,
        what: &str,
        sent: Result<Response<Incoming>, Failed>,
    ) -> Outcome<Answer> {
        let unreached = |e| Trouble::transient(format!("{what}: GitHub could not be reached")).because(e);
        let (parts, body) = sent.map_err(unreached)?.into_parts();
        self.answers.note(target, parts.status);
        let body = https::body(body, MAX_ANSWER_BYTES)
            .await
            .map_err(|e| Trouble::transient(format!("{what}: GitHub's answer broke off")).because(e))?;
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}

/// What came of it in time.
async fn within<T>(what: &str, limit: Span, asked: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    match tokio::time::timeout(limit.as_std(), asked).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Trouble::transient(format!("{what}: GitHub did not answer within {limit}"))),
    }
}

fn sensitive(token: &Secret) -> Outcome<HeaderValue> {
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
        .map_err(|_| Trouble::refused("the GitHub token holds characters that no header can carry"))?;
    bearer.set_sensitive(true);
    Ok(bearer)
}

/// A target as messages show it: without its query.
pub(super) fn shown(target: &str) -> &str {
    target.split_once('?').map_or(target, |(path, _)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t52_the_base_is_https_or_this_machine() {
        for good in [
            "https://api.github.com",
            "https://ghes.example/api/v3/",
            "http://127.0.0.1:8080",
            "http://[::1]:1",
        ] {
            assert!(Base::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "http://ghes.example",
            "ftp://127.0.0.1",
            "api.github.com",
            "https://user:pw@api.github.com",
            "https://api.github.com/?x=1",
            "http://127.0.0.1.evil.example",
            "",
        ] {
            assert!(Base::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_git_address_follows_from_the_api() {
        let git = |api: &str| Base::parse(api).unwrap().git().unwrap().text;
        assert_eq!(git("https://api.github.com"), "https://github.com");
        assert_eq!(git("https://ghes.example/api/v3"), "https://ghes.example");
        assert_eq!(git("https://api.acme.ghe.com"), "https://acme.ghe.com");
    }
}
