//! Files over HTTP: put at an address that must not have one, and read back from where everybody gets it.

use std::fs::File;
use std::io::{self, Read as _};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, IF_NONE_MATCH, USER_AGENT,
};
use hyper::{Method, Request, StatusCode};
use sha2::{Digest as _, Sha256};

use super::folder::{blocking, digest};
use super::{Content, Seen, Taken};
use crate::domain::publication::Item;
use crate::https::{self, Pieces};
use crate::secret::Secret;
use crate::trouble::{Outcome, Trouble};

/// Bytes of a file that are read at once.
const CHUNK: usize = 256 * 1024;
/// Longest silence of the other side while something is sent or read.
const SILENCE: Duration = Duration::from_mins(1);

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
        let (size, body) = pieces(content);
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
        let answer = https::uploads()?.request(request).await;
        let status = answer.map_err(|_| Trouble::transient(format!("nobody takes {at}")))?.status();
        match status {
            StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT => Ok(Taken::Occupied),
            status if status.is_success() => Ok(Taken::Yes),
            status => Err(said(&at, status)),
        }
    }
}

/// Reads what everybody gets at an address, without any of our secrets.
pub(super) async fn get(at: &str) -> Outcome<Seen> {
    let request = Request::builder()
        .uri(at)
        .header(USER_AGENT, https::USER_AGENT)
        .header(ACCEPT, "*/*")
        .body(Full::new(Bytes::new()))
        .map_err(|_| Trouble::refused(format!("{at} is no address")))?;
    let nobody = || Trouble::transient(format!("nobody answers at {at}"));
    let connections = https::connections()?;
    let answer = within(connections.request(request)).await.and_then(Result::ok).ok_or_else(nobody)?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(Seen::Nothing),
        status => return Err(said(at, status)),
    }
    let (mut sum, mut body) = (Sha256::new(), answer.into_body());
    let half = || Trouble::transient(format!("{at} answered no more than half"));
    while let Some(frame) = within(body.frame()).await.ok_or_else(half)? {
        if let Ok(bytes) = frame.map_err(|_| half())?.into_data() {
            sum.update(&bytes);
        }
    }
    digest(sum).map(Seen::Bytes)
}

async fn within<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(SILENCE, work).await.ok()
}

fn said(at: &str, status: StatusCode) -> Trouble {
    let text = format!("{at} answers {status}");
    let later = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    if later { Trouble::transient(text) } else { Trouble::refused(text) }
}

fn pieces(content: Content) -> (u64, Pieces) {
    match content {
        Content::File(file, size) => (size, StreamBody::new(stream::unfold(Some(file), read)).boxed_unsync()),
        Content::Text(text) => {
            let size = u64::try_from(text.len()).unwrap_or(u64::MAX);
            (size, Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync())
        }
    }
}

/// The next piece of a file; nothing behind its end or an error.
async fn read(file: Option<File>) -> Option<(io::Result<Frame<Bytes>>, Option<File>)> {
    let mut file = file?;
    let piece = blocking(move || {
        let mut chunk = Vec::with_capacity(CHUNK);
        let limit = u64::try_from(CHUNK).unwrap_or(u64::MAX);
        let read = file.by_ref().take(limit).read_to_end(&mut chunk);
        read.map_err(|e| Trouble::transient("read an artifact").because(e))?;
        Ok((chunk, file))
    });
    match piece.await {
        Ok((chunk, _)) if chunk.is_empty() => None,
        Ok((chunk, file)) => Some((Ok(Frame::data(Bytes::from(chunk))), Some(file))),
        Err(trouble) => Some((Err(io::Error::other(trouble)), None)),
    }
}
