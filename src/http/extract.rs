//! Reads paths, queries and JSON bodies of requests, with one form of refusal for all of them.

use axum::Form;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
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

/// The fields of a form of ours.
pub(super) struct Filled<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequest<State> for Filled<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &State) -> Result<Self, Fault> {
        let (parts, body) = request.into_parts();
        let limits = state.limits();
        let bounds = Bounds { bytes: limits.body, within: limits.request_within };
        let held = body::read(&parts.headers, body, bounds, state.budget()).await?;
        let request = Request::from_parts(parts, Body::from(held.bytes.clone()));
        let read = Form::from_request(request, &()).await;
        read.map(|Form(read)| Self(read))
            .map_err(|e| Fault::malformed(format!("The form cannot be read: {}.", e.body_text())))
    }
}

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
        let (parts, body) = request.into_parts();
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
        if !kind.trim().eq_ignore_ascii_case("application/json") {
            return Err(Fault::malformed("Send the body as JSON, with `Content-Type: application/json`."));
        }
        let limits = state.limits();
        let bounds = Bounds { bytes: limits.body, within: limits.request_within };
        let held = body::read(&parts.headers, body, bounds, state.budget()).await?;
        let read = serde_json::from_slice(&held.bytes);
        read.map(Self).map_err(|e| Fault::malformed(format!("The body cannot be read: {e}.")))
    }
}
