//! What is the same for every request: an id, a line in the log, a net under panics, the security headers, and the
//! words of refusals.

use std::panic::AssertUnwindSafe;

use askama::Template as _;
use axum::extract::{self, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use tracing::Instrument as _;

use crate::http::State;
use crate::http::error::{Fault, Why};
use crate::http::pages::FaultPage;

/// The name of the header that carries the id of a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What a page may load: its own style and script, people's pictures, and nothing else (UX B2, THREATS T49).
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
    img-src 'self' https://avatars.githubusercontent.com; connect-src 'self'; form-action 'self'; \
    frame-ancestors 'none'; base-uri 'none'";
/// On every answer, whatever it is.
const ALWAYS: [(&str, &str); 6] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// Whether a refusal is read by a person in a browser.
fn wants_page(request: &Request) -> bool {
    let path = request.uri().path();
    let program = ["/api/", "/webhook/", "/assets/"].iter().any(|start| path.starts_with(start));
    let html = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.contains("text/html"));
    !program && request.headers().get_all(header::ACCEPT).iter().any(html)
}

/// The outermost layer.
pub(super) async fn envelope(
    extract::State(state): extract::State<State>,
    request: Request,
    next: Next,
) -> Response {
    let id = state.next_request();
    let began = crate::clock::monotonic();
    let page = wants_page(&request);
    let method = request.method().clone();
    // The path alone: a query may hold a token.
    let path = request.uri().path().to_owned();
    let span = tracing::info_span!("request", request.id = %id, method = %method, path);
    let inner = async {
        let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        let mut response = answer.unwrap_or_else(|_| {
            tracing::error!("a request panicked");
            Fault::new(Why::Bug).into_response()
        });
        if let Some(fault) = response.extensions_mut().remove::<Fault>() {
            let message = fault.said.as_deref().unwrap_or_else(|| fault.why.text());
            let message = state.prefix().show(message);
            response = spoken((&fault, &message), &id, page, response);
        }
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(status = response.status().as_u16(), duration_ms, "answered");
        response
    };
    let mut response = inner.instrument(span).await;
    dress(response.headers_mut(), &id, &method);
    response
}

fn dress(headers: &mut HeaderMap, id: &str, method: &Method) {
    for (name, value) in ALWAYS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    // Pages and API answers are of the moment; only the assets say otherwise.
    if *method == Method::GET || *method == Method::HEAD {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
}

/// Gives a refusal its words and logs what is behind it, once.
fn spoken((fault, message): (&Fault, &str), id: &str, page: bool, bare: Response) -> Response {
    if let Some(inside) = &fault.inside {
        let code = fault.why.code();
        if fault.why == Why::Bug {
            tracing::error!(code, error = %inside, "a request failed");
        } else if fault.why.status().is_server_error() {
            tracing::warn!(code, error = %inside, "a request could not be served");
        } else {
            tracing::info!(code, error = %inside, "a request was refused");
        }
    }
    let (mut parts, _) = bare.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let shown = page.then(|| FaultPage::new(fault.why, message, id).render().ok()).flatten();
    let (kind, body) = if let Some(html) = shown {
        ("text/html; charset=utf-8", html)
    } else {
        let error = serde_json::json!({ "code": fault.why.code(), "message": message, "request": id });
        ("application/json", serde_json::json!({ "error": error }).to_string())
    };
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Response::from_parts(parts, body.into())
}
