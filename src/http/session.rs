//! Who may come in: one `authorize` for pages and API, and a guard in front of every address that is not public.

use std::net::SocketAddr;

use axum::extract::{self, Request};
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::percent_decode_str;
use sha2::Sha256;

use crate::config::{SHORTEST_TOKEN, without_port};
use crate::domain::name::Login;
use crate::http::State;
use crate::http::error::{Fault, Why};
use crate::http::serve::Peer;
use crate::secret::Secret;
use crate::trouble::{Outcome, Trouble};

/// The cookie a browser gets for a token; the prefix makes the browser refuse it without TLS or from a subdomain.
const COOKIE: &str = "__Host-liftlock";
/// How long a browser keeps it: a working week.
const COOKIE_SECONDS: u32 = 5 * 24 * 3600;
/// What a token is hashed over; kept instead of the token.
const CONTEXT: &[u8] = b"liftlock access token v1";

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Look.
    Read,
    /// Say commands, replay deliveries.
    Act,
}

/// What an address asks of who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// A right.
    Right(Right),
}

/// A token of the settings.
#[derive(Clone)]
pub struct Token {
    name: String,
    login: Option<Login>,
    tag: Vec<u8>,
    right: Right,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({}, {:?})", self.name, self.right)
    }
}

impl Token {
    /// A token with the name it has in logs; one that is too short to be a secret is refused.
    pub fn new(name: impl Into<String>, token: &Secret, right: Right) -> Outcome<Self> {
        let name = name.into();
        let mac = keyed(token.expose()).filter(|_| token.expose().len() >= SHORTEST_TOKEN).ok_or_else(|| {
            Trouble::refused(format!(
                "the access token `{name}` is shorter than {SHORTEST_TOKEN} characters; make one with `openssl rand -hex 24`"
            ))
        })?;
        Ok(Self { name, login: None, tag: mac.finalize().into_bytes().to_vec(), right })
    }

    /// A token that says who somebody is.
    pub fn personal(login: &Login, token: &Secret) -> Outcome<Self> {
        let token = Self::new(login.to_string(), token, Right::Act)?;
        Ok(Self { login: Some(login.clone()), ..token })
    }

    fn is(&self, shown: &str) -> bool {
        keyed(shown).is_some_and(|mac| mac.verify_slice(&self.tag).is_ok())
    }
}

fn keyed(token: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(token.as_bytes()).ok()?;
    mac.update(CONTEXT);
    Some(mac)
}

/// How people prove that they may come in.
#[derive(Debug, Clone)]
pub enum Access {
    /// Whoever is on this machine, by its own name; a token only says who of them it is.
    Loopback(Vec<Token>),
    /// Whoever shows one of these.
    Tokens(Vec<Token>),
}

/// Somebody who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name of their token, or `loopback`.
    pub name: String,
    /// Who they are, when their token says so.
    pub login: Option<Login>,
    /// What they may do.
    pub right: Right,
}

/// Decides who it is and whether they may: the only place that does, for pages, API and streams alike (THREATS T32).
pub fn authorize(
    access: &Access,
    peer: Option<SocketAddr>,
    headers: &HeaderMap,
    needed: Right,
) -> Result<Caller, Fault> {
    let known = match access {
        Access::Loopback(tokens) => is_here(peer, headers).then(|| {
            let somebody = shown(headers).and_then(|shown| known(tokens, &shown));
            somebody.unwrap_or_else(|| Caller { name: "loopback".to_owned(), login: None, right: Right::Act })
        }),
        Access::Tokens(tokens) => shown(headers).and_then(|shown| known(tokens, &shown)),
    };
    let caller = known.ok_or_else(|| Fault::new(Why::Unauthorized))?;
    if caller.right < needed { Err(Fault::new(Why::Forbidden)) } else { Ok(caller) }
}

fn known(tokens: &[Token], shown: &str) -> Option<Caller> {
    let token = tokens.iter().find(|token| token.is(shown))?;
    Some(Caller { name: token.name.clone(), login: token.login.clone(), right: token.right })
}

/// True for a connection from this machine that was addressed to this machine. The name guards against a page that
/// points its own host name here; a forwarding header says that the one who asks sits behind a proxy.
fn is_here(peer: Option<SocketAddr>, headers: &HeaderMap) -> bool {
    let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback())
        && forwarded.iter().all(|name| !headers.contains_key(*name))
        && text(headers, header::HOST)
            .is_some_and(|host| matches!(without_port(host), "localhost" | "127.0.0.1" | "[::1]"))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The token of the request: a bearer token, or the browser's cookie.
fn shown(headers: &HeaderMap) -> Option<String> {
    if let Some(value) = text(headers, header::AUTHORIZATION) {
        let (scheme, token) = value.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned());
    }
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == COOKIE)?;
    percent_decode_str(value).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// True when a browser says that another site made it send this (THREATS T51).
fn is_cross_site(method: &Method, headers: &HeaderMap) -> bool {
    if method.is_safe() {
        return false;
    }
    if let Some(site) = headers.get("sec-fetch-site") {
        return !matches!(site.to_str(), Ok("same-origin" | "none"));
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let host = text(headers, header::HOST);
    let named = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    named.is_none() || named != host
}

/// The layer in front of one address.
pub async fn guard(
    extract::State((state, needs)): extract::State<(State, Needs)>,
    mut request: Request,
    next: Next,
) -> Response {
    let Needs::Right(right) = needs else { return next.run(request).await };
    if is_cross_site(request.method(), request.headers()) {
        return Fault::new(Why::CrossSite).into_response();
    }
    if let Some(response) = exchange(state.access(), &request) {
        return response;
    }
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    match authorize(state.access(), peer, request.headers(), right) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(fault) => fault.into_response(),
    }
}

/// A page opened with `?token=`: a right one becomes a cookie, and the address is opened again without it, so that
/// it stays in no history and no log.
fn exchange(access: &Access, request: &Request) -> Option<Response> {
    let (Access::Loopback(tokens) | Access::Tokens(tokens)) = access;
    if tokens.is_empty() {
        return None;
    }
    if request.method() != Method::GET {
        return None;
    }
    let (token, elsewhere) = without_token(request.uri())?;
    if known(tokens, &token).is_none() {
        return Some(Fault::new(Why::Unauthorized).into_response());
    }
    let value = percent_encoding::utf8_percent_encode(&token, percent_encoding::NON_ALPHANUMERIC);
    let cookie =
        format!("{COOKIE}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={COOKIE_SECONDS}");
    let cookie = HeaderValue::from_str(&cookie).ok()?;
    let mut response = axum::response::Redirect::to(&elsewhere).into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Some(response)
}

/// The token of an address and the address without it.
fn without_token(uri: &Uri) -> Option<(String, String)> {
    let query = uri.query()?;
    let token = query.split('&').find_map(|pair| pair.strip_prefix("token="))?;
    let token = percent_decode_str(token).decode_utf8().ok()?.into_owned();
    let rest: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("token=")).collect();
    // One slash: a path that begins with two would be another host to a browser.
    let path = format!("/{}", uri.path().trim_start_matches('/'));
    let elsewhere = if rest.is_empty() { path } else { format!("{path}?{}", rest.join("&")) };
    Some((token, elsewhere))
}
