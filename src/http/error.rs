//! What a door answers when it says no: a status, a fixed text and a request id; the inside goes to the log alone.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::domain::time::Span;
use crate::trouble::{Kind, Trouble};

/// Wait asked for when the trouble itself names none: longer than one commit, short enough for a person.
const RETRY_AFTER: Span = Span::seconds(5);

/// Why a request was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The request cannot be read.
    Malformed,
    /// Nobody we know asked.
    Unauthorized,
    /// The signature of a webhook is missing or wrong.
    Unsigned,
    /// Somebody we know asked for more than they may.
    Forbidden,
    /// A browser sent it from another site.
    CrossSite,
    /// There is no such thing.
    NotFound,
    /// The address is right, the method is not.
    Method,
    /// The body did not arrive in time.
    Slow,
    /// It contradicts what is here.
    Conflict,
    /// The body is larger than this door lets in.
    TooLarge,
    /// It was understood and refused.
    Refused,
    /// It may work later.
    Busy,
    /// We are wrong.
    Bug,
}

impl Why {
    /// The status line.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Unauthorized | Self::Unsigned => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::CrossSite => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Refused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Bug => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable word programs branch on.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unauthorized => "unauthorized",
            Self::Unsigned => "unsigned",
            Self::Forbidden => "forbidden",
            Self::CrossSite => "cross_site",
            Self::NotFound => "not_found",
            Self::Method => "method",
            Self::Slow => "slow",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::Refused => "refused",
            Self::Busy => "busy",
            Self::Bug => "bug",
        }
    }

    /// The sentence people read.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Malformed => {
                "This request cannot be read; see the API page of the documentation for its form."
            }
            Self::Unauthorized => {
                "You are not known here. Send `Authorization: Bearer <token>`, or open the page once with `?token=<token>`."
            }
            Self::Unsigned => {
                "The signature does not match. Set the same webhook secret on both sides; only `X-Hub-Signature-256` counts."
            }
            Self::Forbidden => "Your token may read but not act. Use one with the right `act`.",
            Self::CrossSite => "This came from another site. Open the page here and send it from there.",
            Self::NotFound => "There is nothing under this address.",
            Self::Method => "This address does not know that method.",
            Self::Slow => "The request did not arrive in time. Send it again.",
            Self::Conflict => "This contradicts what is already stored, so nothing changed.",
            Self::TooLarge => "The body is larger than this address takes.",
            Self::Refused => "This was understood and refused, so nothing changed.",
            Self::Busy => "This cannot be answered right now and nothing was stored. Send it again.",
            Self::Bug => "Something is wrong on our side. The log has more under this request id.",
        }
    }
}

/// A refusal on its way out; the envelope turns it into JSON or a page and logs what is behind it.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Why.
    pub why: Why,
    /// What to say in place of the fixed text; only ever a sentence written for the one who asked.
    pub said: Option<Arc<str>>,
    /// What happened inside, for the log alone.
    pub inside: Option<Arc<str>>,
    /// When to try again.
    pub retry_after: Option<Span>,
}

impl Fault {
    /// A refusal with its fixed text.
    pub const fn new(why: Why) -> Self {
        Self { why, said: None, inside: None, retry_after: None }
    }

    /// A request that cannot be read, and what is wrong with it.
    pub fn malformed(said: impl Into<Arc<str>>) -> Self {
        Self { said: Some(said.into()), ..Self::new(Why::Malformed) }
    }

    /// Too much at once.
    pub fn busy(inside: impl Into<Arc<str>>) -> Self {
        Self { inside: Some(inside.into()), retry_after: Some(RETRY_AFTER), ..Self::new(Why::Busy) }
    }

    /// A failure of an edge at a public door: the kind decides, and nothing of its text leaves.
    pub fn behind(trouble: &Trouble) -> Self {
        let (why, retry_after) = match trouble.kind() {
            Kind::Transient { retry_after } => (Why::Busy, Some(retry_after.unwrap_or(RETRY_AFTER))),
            Kind::Refused => (Why::Refused, None),
            Kind::NotFound => (Why::NotFound, None),
            Kind::Conflict => (Why::Conflict, None),
            Kind::Bug => (Why::Bug, None),
        };
        Self { why, said: None, inside: Some(trouble.chain().into()), retry_after }
    }
}

/// Behind the guard, what was refused or not found is said in the edge's own words, without its causes.
impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        let mut fault = Self::behind(&trouble);
        match trouble.kind() {
            Kind::Refused | Kind::NotFound | Kind::Conflict => fault.said = Some(trouble.to_string().into()),
            Kind::Transient { .. } | Kind::Bug => {}
        }
        fault
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = self.why.status().into_response();
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.why == Why::Unauthorized {
            let scheme = HeaderValue::from_static("Bearer realm=\"liftlock\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response.extensions_mut().insert(self);
        response
    }
}
