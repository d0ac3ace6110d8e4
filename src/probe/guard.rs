//! Where a request to an address out of a manifest may go: public networks, and what the server's config allows.
//!
//! Names are resolved here and connected to at exactly the addresses that were looked at, so that a name cannot
//! lead elsewhere the second time (THREATS T52).

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;

use crate::domain::name::printable;

/// The hosts of the server's config that may be asked though they are not public.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed(BTreeSet<String>);

/// Why an address is not asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shut {
    /// It is no `http` or `https` address of a host.
    NoAddress,
    /// It holds a user or password, which would be sent in the clear of logs.
    Credentials,
    /// The host has an address that is not public.
    Private {
        /// As it is written.
        host: String,
        /// What it resolves to.
        address: IpAddr,
    },
    /// The host has no address.
    Unknown {
        /// As it is written.
        host: String,
    },
}

impl fmt::Display for Shut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => f.write_str("this is no `https://` address of a host"),
            Self::Credentials => f.write_str("an address with a user or password in it is not asked"),
            Self::Private { host, address } => write!(
                f,
                "`{host}` is at {address}, which is not public; `[probe] allow = [\"{host}\"]` in the server's config allows it"
            ),
            Self::Unknown { host } => write!(f, "the name `{host}` has no address"),
        }
    }
}

impl std::error::Error for Shut {}

impl Allowed {
    /// These host names and addresses, each without scheme and port; the answer is what is neither.
    pub fn new(hosts: impl IntoIterator<Item = String>) -> Result<Self, Vec<String>> {
        let (good, bad): (BTreeSet<String>, BTreeSet<String>) =
            hosts.into_iter().map(|host| bare(&host).to_ascii_lowercase()).partition(|host| is_host(host));
        if bad.is_empty() { Ok(Self(good)) } else { Err(bad.into_iter().collect()) }
    }

    /// The host of an address, when a connection may be tried; a name's own addresses are looked at when it is made.
    pub(super) fn may_ask(&self, uri: &Uri) -> Result<String, Shut> {
        let authority = uri.authority().ok_or(Shut::NoAddress)?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || authority.host().is_empty() {
            return Err(Shut::NoAddress);
        }
        if authority.as_str().contains('@') {
            return Err(Shut::Credentials);
        }
        let host = bare(authority.host());
        if let Ok(address) = host.parse() {
            self.may_connect(host, address)?;
        }
        Ok(printable(host))
    }

    fn may_connect(&self, host: &str, address: IpAddr) -> Result<(), Shut> {
        let named = |text: &str| self.0.contains(&text.to_ascii_lowercase());
        if is_public(address) || named(host) || named(&address.to_string()) {
            Ok(())
        } else {
            Err(Shut::Private { host: printable(host), address })
        }
    }
}

/// A host without the brackets that an IPv6 address wears in a URL.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
}

fn is_host(text: &str) -> bool {
    let name = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    text.parse::<IpAddr>().is_ok() || (!text.is_empty() && text.len() <= 253 && name)
}

/// Whether an address is one of the open internet (IANA's registries of special-purpose addresses).
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    match a {
        0 | 10 | 127 | 224..=255 => false,
        100 => !(64..=127).contains(&b),
        169 => b != 254,
        172 => !(16..=31).contains(&b),
        192 => !matches!((b, c), (0, 0 | 2) | (88, 99) | (168, _)),
        198 => !matches!((b, c), (18 | 19, _) | (51, 100)),
        203 => (b, c) != (0, 113),
        _ => true,
    }
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(v4) = address.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    let [a, b, c, ..] = address.segments();
    // 64:ff9b::/96 is the way to IPv4 in networks without it; where it leads is what counts.
    if let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() {
        let [h1, h2] = high.to_be_bytes();
        let [l1, l2] = low.to_be_bytes();
        return is_public_v4(Ipv4Addr::new(h1, h2, l1, l2));
    }
    // Only 2000::/3 is handed out; in it are tunnels (Teredo, 6to4), protocols' own and documentation.
    let handed_out = a & 0xe000 == 0x2000;
    let special = match (a, b) {
        (0x2001, 0..0x0200 | 0x0db8) | (0x2002, _) | (0x3fff, 0..0x1000) => true,
        (0x2620, 0x4f) => c == 0x8000,
        _ => false,
    };
    handed_out && !special
}

/// Resolves names to addresses that may be connected to; one private address among public ones shuts the name.
#[derive(Debug, Clone)]
pub(super) struct Guard(Arc<Allowed>);

impl Guard {
    pub(super) fn new(allowed: &Allowed) -> Self {
        Self(Arc::new(allowed.clone()))
    }
}

impl Service<Name> for Guard {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Shut;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Shut>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Shut>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let allowed = Arc::clone(&self.0);
        Box::pin(async move {
            let host = name.as_str();
            let unknown = || Shut::Unknown { host: printable(host) };
            // The connector puts the port in.
            let found = tokio::net::lookup_host((host, 0)).await.map_err(|_| unknown())?;
            let addresses: Vec<SocketAddr> = found.collect();
            if addresses.is_empty() {
                return Err(unknown());
            }
            addresses.iter().try_for_each(|address| allowed.may_connect(host, address.ip()))?;
            Ok(addresses.into_iter())
        })
    }
}
