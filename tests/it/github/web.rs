//! The HTTP side of the fake: connections, faults, records; answers come from [`super::api`].

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, DATE};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::state::{APP_ID, State, Token};
use super::{Fault, Recorded, Shared, actions, api, git, lock};

/// One request, read.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// Decoded segments below the prefix.
    pub(super) path: Vec<String>,
    pub(super) query: BTreeMap<String, String>,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
    pub(super) body: Value,
    pub(super) auth: Auth,
    pub(super) raw_query: String,
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) enum Auth {
    None,
    App,
    Bad(String),
    Token(Token),
}

/// One answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { status, headers, body: Bytes::from(body.to_string()) }
    }

    pub(super) fn message(status: u16, text: &str) -> Self {
        Self::json(status, &json!({"message": text, "documentation_url": "https://docs.github.com/rest"}))
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// Accepts until aborted.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.expect("loopback accepts");
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&shared), request));
            let connection = hyper::server::conn::http1::Builder::new();
            // A dropped connection is what some tests ask for.
            connection.serve_connection(TokioIo::new(stream), service).await.unwrap_or_default();
        });
    }
}

/// An error here closes the connection without an answer.
async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let reply = handle(&shared, request).await;
    shared.changed.send_replace(());
    let reply = reply?;
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    let date = lock(&shared.state).now();
    let date = jiff::Timestamp::from_millisecond(date.0).expect("a time");
    let response = response.header(DATE, date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    Ok(response.body(Full::new(reply.body)).expect("a response"))
}

async fn handle(shared: &Shared, request: Request<Incoming>) -> io::Result<Reply> {
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let target = parts.uri.path_and_query().map_or_else(String::new, ToString::to_string);
    let auth = authorize(&lock(&shared.state), &parts.headers);
    let body = serde_json::from_slice(&bytes).unwrap_or_default();
    lock(&shared.requests).push(Recorded {
        method: parts.method.clone(),
        target: target.clone(),
        auth: auth.word(),
        headers: parts.headers.clone(),
        body,
    });
    shared.changed.send_replace(());
    let fault = take_fault(shared, &parts.method, &target);
    match &fault {
        Some(Fault::DropBefore) => return Err(io::Error::other("planned")),
        Some(Fault::Held(permits)) => permits.acquire().await.map_err(io::Error::other)?.forget(),
        Some(Fault::Answer { status, headers, body }) => {
            let reply = Reply::json(*status, body);
            return Ok(headers.iter().fold(reply, |reply, (name, value)| reply.with(name, value.clone())));
        }
        Some(Fault::DropAfter) | None => {}
    }
    let call = Call {
        path: parts.uri.path().split('/').skip(1).map(decoded).collect(),
        query: query(parts.uri.query().unwrap_or_default()),
        raw_query: parts.uri.query().unwrap_or_default().to_owned(),
        method: parts.method,
        headers: parts.headers,
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
        bytes,
        auth,
    };
    let reply = route(shared, call, &target).await;
    match fault {
        Some(Fault::DropAfter) => Err(io::Error::other("planned, after the call was applied")),
        Some(Fault::DropBefore | Fault::Held(_) | Fault::Answer { .. }) | None => Ok(reply),
    }
}

async fn route(shared: &Shared, mut call: Call, target: &str) -> Reply {
    if call.path.first().is_some_and(|s| s == "git") {
        return git::answer(shared, &call).await;
    }
    if call.path.first().is_some_and(|s| s == "storage") {
        return actions::stored(&lock(&shared.state), &call);
    }
    let prefix: Vec<&str> = shared.prefix.split('/').skip(1).collect();
    let below = call.path.iter().zip(&prefix).all(|(a, b)| a == b) && call.path.len() > prefix.len();
    let reply = below.then(|| {
        call.path.drain(..prefix.len());
        api::answer(&mut lock(&shared.state), &call)
    });
    reply.flatten().unwrap_or_else(|| {
        lock(&shared.unknown).push(format!("{} {target}", call.method));
        Reply::message(404, "Not Found (the fake has no such route)")
    })
}

fn take_fault(shared: &Shared, method: &Method, target: &str) -> Option<Fault> {
    let mut faults = lock(&shared.faults);
    let planned =
        faults.iter_mut().find(|f| f.times > 0 && f.method == *method && target.contains(&f.path))?;
    planned.times -= 1;
    Some(planned.fault.clone())
}

fn decoded(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

fn query(text: &str) -> BTreeMap<String, String> {
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (decoded(k), decoded(v))).collect()
}

impl Auth {
    fn word(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bad(_) => "bad",
            Self::App => "app",
            Self::Token(Token::Installation { .. }) => "installation",
            Self::Token(Token::Personal { .. }) => "personal",
        }
    }
}

fn authorize(state: &State, headers: &HeaderMap) -> Auth {
    let Some(value) = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()) else { return Auth::None };
    let token = match value.split_once(' ') {
        Some(("Bearer", token)) => token.to_owned(),
        Some(("Basic", pair)) => {
            let pair = BASE64_STANDARD.decode(pair).unwrap_or_default();
            let pair = String::from_utf8_lossy(&pair).into_owned();
            pair.strip_prefix("x-access-token:").unwrap_or_default().to_owned()
        }
        _ => String::new(),
    };
    if let Some(known) = state.tokens.get(&token) {
        return Auth::Token(known.clone());
    }
    let parts: Vec<&str> = token.split('.').collect();
    let claims = parts.get(1).and_then(|c| BASE64_URL_SAFE_NO_PAD.decode(c).ok());
    let Some(claims) = claims.and_then(|c| serde_json::from_slice::<Value>(&c).ok()) else {
        return Auth::Bad("Bad credentials".to_owned());
    };
    let now = (state.now().0 - state.calendar_ms) / 1_000;
    let (issued, expires) = (claims["iat"].as_i64(), claims["exp"].as_i64());
    if parts.len() != 3 || claims["iss"].as_u64() != Some(APP_ID) {
        Auth::Bad("A JSON web token could not be decoded".to_owned())
    } else if issued.is_none_or(|t| t > now) {
        Auth::Bad("'Issued at' claim ('iat') must be an Integer representing the time".to_owned())
    } else if expires.is_none_or(|t| t < now || t > now + 600) {
        Auth::Bad("'Expiration time' claim ('exp') is too far in the future".to_owned())
    } else {
        Auth::App
    }
}
