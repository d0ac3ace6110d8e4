//! The one HTTPS client there is: roots compiled in, bounded waits for connections, bounded answers, no redirects.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::Service;

use crate::trouble::{Outcome, Trouble};

pub mod signed;

/// Longest wait for a connection, shorter than any deadline so that the message can say which it was.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// What every request says of itself.
pub const USER_AGENT: &str = concat!("liftlock/", env!("CARGO_PKG_VERSION"));

/// Connections to whatever is asked; plain `http` is spoken, too: who may be asked so is the caller's to say.
pub type Connections<R = GaiResolver> = Client<HttpsConnector<HttpConnector<R>>, Full<Bytes>>;

/// A body that is sent piece by piece, for files larger than anybody keeps in memory.
pub type Pieces = UnsyncBoxBody<Bytes, io::Error>;

/// Prepares connections; none is made yet.
pub fn connections() -> Outcome<Connections> {
    connections_by(GaiResolver::new())
}

/// The same, to the addresses that this resolver gives for names and no others.
pub fn connections_by<R>(resolver: R) -> Outcome<Connections<R>>
where
    R: Service<Name> + Clone + Send + Sync + 'static,
    R::Response: Iterator<Item = SocketAddr>,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
    R::Future: Send,
{
    client(resolver)
}

/// The same, for bodies that are sent piece by piece.
pub fn uploads() -> Outcome<Client<HttpsConnector<HttpConnector>, Pieces>> {
    client(GaiResolver::new())
}

fn client<R, B>(resolver: R) -> Outcome<Client<HttpsConnector<HttpConnector<R>>, B>>
where
    R: Service<Name> + Clone + Send + Sync + 'static,
    R::Response: Iterator<Item = SocketAddr>,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
    R::Future: Send,
    B: Body + Send,
    B::Data: Send,
{
    let mut http = HttpConnector::new_with_resolver(resolver);
    http.enforce_http(false);
    http.set_connect_timeout(Some(CONNECT_WITHIN));
    let tls = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(rustls::crypto::aws_lc_rs::default_provider())
        .map_err(|e| Trouble::bug("set TLS up").because(e))?;
    let connector = tls.https_or_http().enable_http1().wrap_connector(http);
    Ok(Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector))
}

/// The whole body of an answer, refused when it is longer than `limit` bytes.
pub async fn body(answer: Incoming, limit: usize) -> Result<Bytes, Box<dyn Error + Send + Sync>> {
    Ok(Limited::new(answer, limit).collect().await?.to_bytes())
}

/// The start of an answer's body, at most `limit` bytes.
pub async fn start_of_body(mut answer: Incoming, limit: usize) -> Result<Vec<u8>, hyper::Error> {
    let mut start = Vec::new();
    while start.len() < limit
        && let Some(frame) = answer.frame().await
    {
        if let Ok(bytes) = frame?.into_data() {
            let room = limit.saturating_sub(start.len());
            start.extend(bytes.iter().take(room));
        }
    }
    Ok(start)
}
