//! Reads paths, queries and JSON bodies of requests, with one form of refusal for all of them.

use axum::body::Body;
use axum::extract::{Form, FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::http::State;
use crate::http::body::{self, Bounds};
use crate::http::error::Fault;

/// The parameters of the path.
pub(super) struct At<T>(pub(super) T);

/// The query.
pub(super) struct Asked<T>(pub(super) T);

/// A JSON body.
pub(super) struct Sent<T>(pub(super) T);

/// A JSON body that may hold a secret: nothing of it is repeated when it cannot be read.
pub(super) struct Hushed<T>(pub(super) T);

/// A form, as pages send it; nothing of it is repeated either.
pub(super) struct Filled<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<State> for At<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Fault> {
        let path = Path::from_request_parts(parts, state).await;
        path.map(|Path(path)| Self(path))
            .map_err(|_| Fault::malformed("The address has a part that cannot be read."))
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<State> for Asked<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Fault> {
        let query = Query::try_from_uri(&parts.uri);
        query
            .map(|Query(query)| Self(query))
            .map_err(|e| Fault::malformed(format!("The query cannot be read: {}.", e.body_text())))
    }
}

impl<T: DeserializeOwned + Send> FromRequest<State> for Sent<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &State) -> Result<Self, Fault> {
        let held = body_of(request, state, "application/json").await?;
        let read = serde_json::from_slice(&held.bytes);
        read.map(Self).map_err(|e| Fault::malformed(format!("The body cannot be read: {e}.")))
    }
}

impl<T: DeserializeOwned + Send> FromRequest<State> for Hushed<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &State) -> Result<Self, Fault> {
        let held = body_of(request, state, "application/json").await?;
        serde_json::from_slice(&held.bytes).map(Self).map_err(|e| {
            let (line, column) = (e.line(), e.column());
            Fault::malformed(format!("The body cannot be read at line {line}, column {column}."))
        })
    }
}

/// What forms of pages are sent as.
const FORM: &str = "application/x-www-form-urlencoded";

impl<T: DeserializeOwned + Send> FromRequest<State> for Filled<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &State) -> Result<Self, Fault> {
        let held = body_of(request, state, FORM).await?;
        let bad = || Fault::malformed("The form cannot be read. Open its page again and send it from there.");
        let again = Request::post("/").header(header::CONTENT_TYPE, FORM).body(Body::from(held.bytes));
        let Form(form) = Form::from_request(again.map_err(|_| bad())?, &()).await.map_err(|_| bad())?;
        Ok(Self(form))
    }
}

/// The whole body, bounded, when it is of this kind.
async fn body_of(request: Request, state: &State, wanted: &str) -> Result<body::Held, Fault> {
    let (parts, body) = request.into_parts();
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case(wanted) {
        return Err(Fault::malformed(if wanted == FORM {
            "Send the form as its page does."
        } else {
            "Send the body as JSON, with `Content-Type: application/json`."
        }));
    }
    let limits = state.limits();
    let bounds = Bounds { bytes: limits.body, within: limits.request_within };
    body::read(&parts.headers, body, bounds, state.budget()).await
}
