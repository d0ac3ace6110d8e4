//! The doors for webhooks: size, signature, headers, store, answer; nothing is parsed and nothing acted on here.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use tokio::time::timeout_at;

use crate::forge::{gitea, signature};
use crate::http::State;
use crate::http::body::{self, Bounds, Held};
use crate::http::error::{Fault, Why};
use crate::store::delivery::{NewDelivery, Put};

/// Says whether the signature header is right for these raw bytes; an absent or SHA-1-only one never is.
pub type Verify = Arc<dyn Fn(Option<&str>, &[u8]) -> bool + Send + Sync>;

/// Bodies from this size are verified off the runtime's threads: a megabyte takes a millisecond.
const LARGE: usize = 64 << 10;
/// Longest delivery id: GitHub's are 36 characters.
const GUID: usize = 128;
/// Longest name of an event: the longest today has 41 characters.
const EVENT: usize = 64;
/// Longest value of a header kept as evidence.
const KEPT_VALUE: usize = 256;

/// What a host calls the headers of its webhooks.
#[derive(Debug, Clone, Copy)]
struct Door {
    /// What its deliveries are stored under.
    source: &'static str,
    /// The HMAC of the body.
    signature: &'static str,
    /// What stands before its digits everywhere else, and does not here.
    scheme: &'static str,
    /// The id of the delivery.
    delivery: &'static str,
    /// The name of the event.
    event: &'static str,
}

const GITHUB: Door = Door {
    source: "github",
    signature: "X-Hub-Signature-256",
    scheme: "",
    delivery: "X-GitHub-Delivery",
    event: "X-GitHub-Event",
};
const PLAIN: Door = Door { source: "plain", ..GITHUB };
const GITEA: Door = Door {
    source: gitea::SOURCE,
    signature: "X-Gitea-Signature",
    scheme: "sha256=",
    delivery: "X-Gitea-Delivery",
    event: "X-Gitea-Event",
};

/// Headers kept as evidence; signatures, tokens and addresses are not among them.
const KEPT: &[&str] = &[
    "content-type",
    "user-agent",
    "x-github-delivery",
    "x-github-event",
    "x-gitea-delivery",
    "x-gitea-event",
    "x-github-hook-id",
    "x-github-hook-installation-target-id",
    "x-github-hook-installation-target-type",
];
/// Events that are counted by name; the rest is `other`, so that a name from outside is never a label.
const COUNTED: &[&str] = &[
    "check_run",
    "check_suite",
    "commit_comment",
    "create",
    "delete",
    "deployment",
    "installation",
    "installation_repositories",
    "issue_comment",
    "member",
    "membership",
    "ping",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "push",
    "release",
    "repository",
    "status",
    "workflow_run",
];

/// `POST /webhook/github`.
pub async fn github(state: extract::State<State>, headers: HeaderMap, body: Body) -> Response {
    receive(GITHUB, state.0, headers, body).await
}

/// `POST /webhook/plain`: the hooks of a bare repository, signed and named the way GitHub does it.
pub async fn plain(state: extract::State<State>, headers: HeaderMap, body: Body) -> Response {
    receive(PLAIN, state.0, headers, body).await
}

/// `POST /webhook/gitea`: what a Gitea or a Forgejo tells of repositories that releases take.
pub async fn gitea(state: extract::State<State>, headers: HeaderMap, body: Body) -> Response {
    receive(GITEA, state.0, headers, body).await
}

async fn receive(door: Door, state: State, headers: HeaderMap, body: Body) -> Response {
    let began = crate::clock::monotonic();
    let mut label = "unverified";
    let until = began + state.limits().request_within.as_std();
    let source = door.source;
    let taken = take(door, &state, (&headers, body), until, &mut label).await;
    state.metrics().delivery(label, outcome(&taken), began.elapsed());
    match taken {
        Ok(Put::Stored(seq)) => accepted(StatusCode::ACCEPTED, "stored", seq),
        Ok(Put::Duplicate(seq)) => accepted(StatusCode::OK, "duplicate", seq),
        Ok(Put::Clash) => {
            let guid = one(&headers, door.delivery).ok().flatten().unwrap_or_default();
            tracing::warn!(
                source,
                delivery.id = guid,
                "a delivery id came back with another body; it was refused"
            );
            Fault::new(Why::Conflict).into_response()
        }
        Err(fault) => {
            if fault.why == Why::Unsigned {
                tracing::warn!(source, "a webhook without a right signature was refused");
            }
            fault.into_response()
        }
    }
}

/// What became of a delivery, in the word that metrics have for it.
pub(super) fn outcome(taken: &Result<Put, Fault>) -> &'static str {
    match taken {
        Ok(Put::Stored(_)) => "stored",
        Ok(Put::Duplicate(_)) => "duplicate",
        Ok(Put::Clash) => "conflict",
        Err(fault) => fault.why.code(),
    }
}

fn accepted(status: StatusCode, result: &'static str, seq: i64) -> Response {
    (status, axum::Json(serde_json::json!({ "result": result, "delivery": seq }))).into_response()
}

async fn take(
    door: Door,
    state: &State,
    (headers, body): (&HeaderMap, Body),
    until: Instant,
    label: &mut &'static str,
) -> Result<Put, Fault> {
    // Before a byte of it is held: without these nothing in the body could make it right.
    let signature = signature_of(door, headers)?.ok_or_else(|| Fault::new(Why::Unsigned))?;
    named(door, headers)?;
    let limits = state.limits();
    let bounds = Bounds { bytes: limits.hook_body, within: limits.request_within };
    let held = body::read(headers, body, bounds, state.budget()).await?;
    // One place per request that is worked on; those that wait have their whole body, so a slow sender holds none.
    let work = async {
        let _place = state.hook_place().await?;
        let held = signed(state.verify(door.source), signature, held).await?;
        let (guid, event) = named(door, headers)?;
        *label = COUNTED.iter().find(|name| **name == event).copied().unwrap_or("other");
        put(state, door.source, (guid, event), headers, held).await
    };
    match timeout_at(until.into(), work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Fault::busy("a webhook was not stored within the time of a request")),
    }
}

/// The value of a header that may come once at most.
pub(super) fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Fault> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Fault::malformed(format!("The header `{name}` came more than once.")));
    }
    match first.map(|value| value.to_str()) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text)),
        Some(Err(_)) => Err(Fault::malformed(format!("The header `{name}` is not plain ASCII."))),
    }
}

/// The signature that came, when it looks like one.
fn signature_of(door: Door, headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let came = one(headers, door.signature)?.map(|digits| format!("{}{digits}", door.scheme));
    Ok(came.filter(|signature| signature::is_shaped(signature)))
}

async fn signed(verify: Verify, signature: String, held: Held) -> Result<Held, Fault> {
    let (right, held) = if held.bytes.len() < LARGE {
        (verify(Some(&signature), &held.bytes), held)
    } else {
        let work = move || (verify(Some(&signature), &held.bytes), held);
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| Fault::busy("the check of a signature was cut off"))?
    };
    if right { Ok(held) } else { Err(Fault::new(Why::Unsigned)) }
}

fn named(door: Door, headers: &HeaderMap) -> Result<(&str, &str), Fault> {
    let guid = one(headers, door.delivery)?.filter(|guid| {
        (1..=GUID).contains(&guid.len())
            && guid.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'))
    });
    let event = one(headers, door.event)?.filter(|event| {
        (1..=EVENT).contains(&event.len()) && event.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    });
    match (guid, event) {
        (Some(guid), Some(event)) => Ok((guid, event)),
        (None, _) => Err(Fault::malformed(format!("The header `{}` is missing or is no id.", door.delivery))),
        (Some(_), None) => {
            Err(Fault::malformed(format!("The header `{}` is missing or is no event.", door.event)))
        }
    }
}

async fn put(
    state: &State,
    source: &'static str,
    (guid, event): (&str, &str),
    headers: &HeaderMap,
    mut held: Held,
) -> Result<Put, Fault> {
    let new = NewDelivery {
        source: source.to_owned(),
        guid: guid.to_owned(),
        event: event.to_owned(),
        repo: None,
        headers: kept(headers),
        body: std::mem::take(&mut held.bytes),
        received_at: state.now(),
    };
    // `held` still owns the body's share of the budget until the store has let go of it.
    let outcome = state.store().put_delivery(new).await.map_err(|trouble| Fault::behind(&trouble));
    drop(held);
    outcome
}

fn kept(headers: &HeaderMap) -> String {
    let values: serde_json::Map<String, serde_json::Value> = KEPT
        .iter()
        .filter_map(|name| {
            let text = headers.get(*name)?.to_str().ok()?;
            let text: String = text.chars().take(KEPT_VALUE).collect();
            Some(((*name).to_owned(), text.into()))
        })
        .collect();
    serde_json::Value::Object(values).to_string()
}
