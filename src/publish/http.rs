//! Files over HTTP: put at an address that must not have one, and read back from where everybody gets it.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, IF_NONE_MATCH, LOCATION, USER_AGENT,
};
use hyper::{Method, Request, StatusCode};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::folder::digest;
use super::{Seen, Taken};
use crate::domain::name::printable;
use crate::domain::publication::Item;
use crate::https;
use crate::https::pieces::Content;
use crate::secret::Secret;
use crate::trouble::{Outcome, Trouble};

/// Most redirects that reading back follows; whoever sends on more often sends in circles.
const MOST_REDIRECTS: usize = 5;
/// Longest silence of the other side while something is read.
const SILENCE: Duration = Duration::from_mins(1);
/// Longest that one file may take to be sent, or read back: the largest of an outlet, 512 MiB, over 5 Mbit/s.
const WITHIN: Duration = Duration::from_mins(15);

/// An address that takes files with `PUT`.
#[derive(Debug, Clone)]
pub struct Http {
    /// What stands in front of `<version>/<file>`, without a slash at its end.
    pub put: String,
    /// What every put carries, a token for instance; reading back carries nothing.
    pub headers: Vec<(HeaderName, Secret)>,
}

impl Http {
    pub(super) fn at(&self, version: &str, name: &str) -> String {
        format!("{}/{version}/{name}", self.put)
    }

    /// Puts a file, if nothing is there.
    pub(super) async fn put(&self, version: &str, item: &Item, content: Content) -> Outcome<Taken> {
        let at = self.at(version, &item.name);
        let (size, body) = content.pieces();
        let mut request = Request::builder()
            .method(Method::PUT)
            .uri(&at)
            .header(USER_AGENT, https::USER_AGENT)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, size)
            .header(IF_NONE_MATCH, "*");
        for (name, value) in &self.headers {
            let value = HeaderValue::from_str(value.expose());
            let mut value = value.map_err(|_| Trouble::refused(format!("the header {name} is none")))?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        let request = request.body(body).map_err(|_| Trouble::refused(format!("{at} is no address")))?;
        let answer = within(WITHIN, https::uploads()?.request(request)).await.and_then(Result::ok);
        let status = answer.ok_or_else(|| Trouble::transient(format!("nobody takes {at}")))?.status();
        match status {
            StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT => Ok(Taken::Occupied),
            status if status.is_success() => Ok(Taken::Yes),
            status => Err(said(&at, status)),
        }
    }
}

/// Reads what everybody gets at an address, without any of our secrets, wherever it sends on to.
pub(crate) async fn get(at: &str) -> Outcome<Seen> {
    let connections = https::connections()?;
    let mut here = at.to_owned();
    for _ in 0..=MOST_REDIRECTS {
        let request = Request::builder()
            .uri(&here)
            .header(USER_AGENT, https::USER_AGENT)
            .header(ACCEPT, "*/*")
            .body(Full::new(Bytes::new()))
            .map_err(|_| Trouble::refused(format!("{here} is no address")))?;
        let nobody = || Trouble::transient(format!("nobody answers at {here}"));
        let answer =
            within(SILENCE, connections.request(request)).await.and_then(Result::ok).ok_or_else(nobody)?;
        match answer.status() {
            StatusCode::OK => return sum_of(at, answer.into_body()).await,
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(Seen::Nothing),
            status if status.is_redirection() => {
                let to = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok());
                let to = to.ok_or_else(|| Trouble::refused(format!("{at} sends on to nowhere")))?;
                here = onward(&here, to).map_err(|why| Trouble::refused(format!("{at} {why}")))?;
            }
            status => return Err(said(at, status)),
        }
    }
    Err(Trouble::refused(format!("{at} sends on in circles")))
}

/// Where an answer sends on to, as seen from where it came from, and never to a plainer place than that; the error is
/// what is wrong with it.
fn onward(here: &str, to: &str) -> Result<String, String> {
    let no_address = |_| format!("sends on to `{}`, which is no address", printable(to));
    let from = Url::parse(here).map_err(no_address)?;
    let mut there = from.join(to).map_err(no_address)?;
    there.set_fragment(None);
    match (from.scheme(), there.scheme()) {
        (_, "https") | ("http", "http") => Ok(there.into()),
        _ => Err("sends on to no `https://` address".to_owned()),
    }
}

async fn sum_of(at: &str, mut body: Incoming) -> Outcome<Seen> {
    let mut sum = Sha256::new();
    let half = || Trouble::transient(format!("{at} answered no more than half"));
    let reading = async {
        while let Some(frame) = within(SILENCE, body.frame()).await.ok_or_else(half)? {
            if let Ok(bytes) = frame.map_err(|_| half())?.into_data() {
                sum.update(&bytes);
            }
        }
        Ok(Seen::Is(digest(sum)?.to_string()))
    };
    within(WITHIN, reading).await.ok_or_else(half)?
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, work).await.ok()
}

fn said(at: &str, status: StatusCode) -> Trouble {
    let text = format!("{at} answers {status}");
    let later = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    if later { Trouble::transient(text) } else { Trouble::refused(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d42_a_redirect_is_followed_from_where_it_was_met_and_never_to_a_plainer_place() {
        let here = "https://cdn.example/a/v1/app?x=1";
        for (to, there) in [
            ("https://other.example/app", "https://other.example/app"),
            ("//other.example/app#top", "https://other.example/app"),
            ("/app", "https://cdn.example/app"),
            ("app.zip?y=2", "https://cdn.example/a/v1/app.zip?y=2"),
            ("../app", "https://cdn.example/a/app"),
        ] {
            assert_eq!(onward(here, to).unwrap(), there, "{to}");
        }
        assert_eq!(onward("http://127.0.0.1:8/a", "/b").unwrap(), "http://127.0.0.1:8/b");
        assert_eq!(onward("http://cdn.example/a", "https://cdn.example/a").unwrap(), "https://cdn.example/a");
        for to in ["http://cdn.example/app", "ftp://cdn.example/app", "file:///etc/passwd", "https://"] {
            assert!(onward(here, to).is_err(), "{to}");
        }
    }
}
