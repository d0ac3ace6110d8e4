//! The one HTTPS client there is: roots compiled in, bounded waits for connections, bounded answers, no redirects.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncWriteExt as _;
use tower::Service;

use crate::trouble::{Outcome, Trouble};

pub mod pieces;
pub mod signed;

use pieces::Pieces;

/// Longest wait for a connection, shorter than any deadline so that the message can say which it was.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// What every request says of itself.
pub const USER_AGENT: &str = concat!("liftlock/", env!("CARGO_PKG_VERSION"));

/// Authorities that are believed beside the public ones, whose certificates are compiled in.
#[derive(Debug, Clone, Default)]
pub struct Authorities(Vec<CertificateDer<'static>>);

impl Authorities {
    /// The certificates of a PEM text; the error says what is wrong with it.
    pub fn from_pem(text: &[u8]) -> Result<Self, String> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
        let all = read.map_err(|e| e.to_string())?;
        let mut roots = RootCertStore::empty();
        for certificate in &all {
            roots.add(certificate.clone()).map_err(|e| e.to_string())?;
        }
        if all.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(Self(all)) }
    }
}

/// Connections to whatever is asked; plain `http` is spoken, too: who may be asked so is the caller's to say.
pub type Connections<R = GaiResolver> = Client<HttpsConnector<HttpConnector<R>>, Full<Bytes>>;

/// Prepares connections; none is made yet.
pub fn connections() -> Outcome<Connections> {
    connections_by(GaiResolver::new(), &Authorities::default())
}

/// The same, to the addresses that this resolver gives for names and no others.
pub fn connections_by<R>(resolver: R, authorities: &Authorities) -> Outcome<Connections<R>>
where
    R: Service<Name> + Clone + Send + Sync + 'static,
    R::Response: Iterator<Item = SocketAddr>,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
    R::Future: Send,
{
    client(resolver, authorities)
}

/// The same, for bodies that are sent piece by piece.
pub fn uploads() -> Outcome<Client<HttpsConnector<HttpConnector>, Pieces>> {
    client(GaiResolver::new(), &Authorities::default())
}

fn client<R, B>(
    resolver: R,
    authorities: &Authorities,
) -> Outcome<Client<HttpsConnector<HttpConnector<R>>, B>>
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
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(authorities.0.iter().cloned());
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Trouble::bug("set TLS up").because(e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tls = HttpsConnectorBuilder::new().with_tls_config(config);
    let connector = tls.https_or_http().enable_http1().wrap_connector(http);
    Ok(Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector))
}

/// The whole body of an answer, refused when it is longer than `limit` bytes.
pub async fn body(answer: Incoming, limit: usize) -> Result<Bytes, Box<dyn Error + Send + Sync>> {
    Ok(Limited::new(answer, limit).collect().await?.to_bytes())
}

/// Writes an answer's body to a new file, refused when it is longer than `most` bytes.
pub async fn to_file(mut answer: Incoming, (path, most): (&Path, u64)) -> Outcome<()> {
    let fail = |e: io::Error| Trouble::transient(format!("write {}", path.display())).because(e);
    let mut file = tokio::fs::File::create_new(path).await.map_err(fail)?;
    let mut total = 0_u64;
    while let Some(frame) = answer.frame().await {
        let frame = frame.map_err(|e| Trouble::transient("an answer broke off").because(e))?;
        let Ok(bytes) = frame.into_data() else { continue };
        total = total.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if total > most {
            return Err(Trouble::refused(format!("an answer has more than {most} bytes")));
        }
        file.write_all(&bytes).await.map_err(fail)?;
    }
    file.flush().await.map_err(fail)
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
