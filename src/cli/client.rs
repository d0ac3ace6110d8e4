//! Talking to a running server: JSON over its API.

use std::fmt;
use std::path::Path;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::Value;

use crate::cli::Server;
use crate::domain::time::Span;
use crate::https;
use crate::trouble::{Kind, Trouble};

/// Longest wait for an answer.
const ANSWER_WITHIN: Span = Span::seconds(30);
/// Longest wait for a file; the largest that there are take their time.
const FILE_WITHIN: Span = Span::hours(2);
/// Largest answer read.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// The server did not let us in; the command line ends with a code of its own for it.
#[derive(Debug)]
pub(super) struct Denied;

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("give a token with --token or LIFTLOCK_TOKEN")
    }
}

impl std::error::Error for Denied {}

/// Reads an address of the API.
pub(super) async fn get(server: &Server, path: &str) -> Result<Value, Trouble> {
    send(server, Method::GET, path, None).await
}

/// Sends something to the API.
pub(super) async fn post(server: &Server, path: &str, body: &Value) -> Result<Value, Trouble> {
    send(server, Method::POST, path, Some(body)).await
}

/// Puts something in the place of what is there.
pub(super) async fn put(server: &Server, path: &str, body: &Value) -> Result<Value, Trouble> {
    send(server, Method::PUT, path, Some(body)).await
}

/// Takes something of the API away.
pub(super) async fn delete(server: &Server, path: &str) -> Result<Value, Trouble> {
    send(server, Method::DELETE, path, None).await
}

/// Writes what is at an address to a new file of at most so many bytes.
pub(super) async fn download(server: &Server, path: &str, to: (&Path, u64)) -> Result<(), Trouble> {
    let bring = async {
        let answer = asked(server, Method::GET, path, None).await?;
        let status = answer.status();
        if status.is_success() {
            return https::to_file(answer.into_body(), to).await;
        }
        Err(refusal(status, &value_of(answer).await?, path))
    };
    tokio::time::timeout(FILE_WITHIN.as_std(), bring).await.unwrap_or_else(|_| {
        Err(Trouble::transient(format!("{} did not send {path} within {FILE_WITHIN}", server.address)))
    })
}

async fn send(server: &Server, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Trouble> {
    tokio::time::timeout(ANSWER_WITHIN.as_std(), exchange(server, method, path, body)).await.unwrap_or_else(
        |_| Err(Trouble::transient(format!("{} did not answer within {ANSWER_WITHIN}", server.address))),
    )
}

async fn exchange(
    server: &Server,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, Trouble> {
    let answer = asked(server, method, path, body).await?;
    let status = answer.status();
    let value = value_of(answer).await?;
    let address = format!("{}{path}", server.address.trim_end_matches('/'));
    if status.is_success() { Ok(value) } else { Err(refusal(status, &value, &address)) }
}

/// What an answer says; nothing when that is no JSON.
async fn value_of(answer: Response<Incoming>) -> Result<Value, Trouble> {
    let bytes = https::body(answer.into_body(), ANSWER_BYTES)
        .await
        .map_err(|e| Trouble::transient("read the answer").because(e))?;
    Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

async fn asked(
    server: &Server,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Response<Incoming>, Trouble> {
    let address = format!("{}{path}", server.address.trim_end_matches('/'));
    let mut request =
        Request::builder().method(method).uri(&address).header(CONTENT_TYPE, "application/json");
    if let Some(token) = &server.token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = body.map_or_else(String::new, Value::to_string);
    let request = request
        .body(Full::new(Bytes::from(body)))
        .map_err(|e| Trouble::refused(format!("{address} is not an address")).because(e))?;
    https::connections()?.request(request).await.map_err(|e| {
        Trouble::transient(format!(
            "{} cannot be reached; is `liftlock serve` running there?",
            server.address
        ))
        .because(e)
    })
}

fn refusal(status: StatusCode, value: &Value, address: &str) -> Trouble {
    let said = ["/error/message", "/text"].iter().find_map(|at| value.pointer(at));
    let text = said.and_then(Value::as_str);
    let what =
        text.map_or_else(|| format!("{address} answered {status}"), |t| format!("the server says: {t}"));
    let kind = match status {
        StatusCode::NOT_FOUND => Kind::NotFound,
        StatusCode::CONFLICT => Kind::Conflict,
        StatusCode::SERVICE_UNAVAILABLE => Kind::Transient { retry_after: None },
        _ => Kind::Refused,
    };
    if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
        return Trouble::new(kind, what).because(Denied);
    }
    Trouble::new(kind, what)
}
