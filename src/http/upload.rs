//! Taking in what was built elsewhere: streamed, bounded, and kept only when it is what was said (CHECKLIST E18).

use std::io::Write as _;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, extract};
use http_body_util::BodyExt as _;
use serde::Deserialize;

use crate::artifact::store::Incoming;
use crate::domain::name::{Alias, CommitSha, Digest, Login};
use crate::domain::time::Span;
use crate::http::State;
use crate::http::error::{Fault, Why};
use crate::http::extract::{Asked, At};
use crate::http::session::Caller;
use crate::service::blocking;
use crate::trouble::Trouble;

/// Largest package: what a stage hands out has the same bound per tree, and a disk has less.
const MOST_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// Longest an upload may take; 4 GiB within it is a slow line.
const WITHIN: Span = Span::minutes(30);
/// Bytes that are gathered before they are written: a write of its own for every packet would cost more than hashing.
const GATHERED: usize = 1024 * 1024;

/// What is handed in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    /// Its name in the manifest.
    alias: Alias,
    /// What its bytes are: `sha256:` and 64 hex digits.
    digest: String,
    /// The commit that it belongs to; without one it is independent of the source.
    commit: Option<CommitSha>,
    /// Who hands it in.
    #[serde(rename = "as")]
    by: Login,
}

/// What came of asking to hand something in.
pub type Admitted = (Incoming, crate::domain::person::Standing);

/// `POST /api/pipelines/{repo}/{pipeline}/artifacts?alias=&digest=&as=[&commit=]`, the bytes as the body.
pub(super) async fn upload(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    At((repo, pipeline)): At<(String, String)>,
    Asked(said): Asked<Said>,
    body: Body,
) -> Result<Response, Fault> {
    let stream = format!("{repo}/{pipeline}");
    let digest = said.digest.strip_prefix("sha256:").and_then(|hex| Digest::of_hex(hex).ok());
    let digest = digest.ok_or_else(|| Fault::malformed("`digest` is `sha256:` and 64 hex digits."))?;
    // Who may not is told before a byte is read.
    let (incoming, standing) = state.acts().admit_upload(&stream, &said.by, caller).await?;
    let incoming = match tokio::time::timeout(WITHIN.as_std(), write(body, incoming)).await {
        Ok(written) => written?,
        Err(_) => return Err(Fault::new(Why::Slow)),
    };
    let what = (said.alias, digest, said.commit);
    Ok(state.acts().end_upload(&stream, incoming, what, standing).await?.answer(StatusCode::ACCEPTED))
}

/// Writes the body as it comes; what was written is forgotten when this fails.
async fn write(mut body: Body, mut incoming: Incoming) -> Result<Incoming, Fault> {
    let mut gathered: Vec<u8> = Vec::new();
    let mut total = 0_u64;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(Fault::new(Why::Malformed)) };
        let Ok(chunk) = frame.into_data() else { continue };
        total = total.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        if total > MOST_BYTES {
            return Err(Fault::new(Why::TooLarge));
        }
        gathered.extend_from_slice(&chunk);
        if gathered.len() >= GATHERED {
            incoming = flush(incoming, std::mem::take(&mut gathered)).await?;
        }
    }
    flush(incoming, gathered).await
}

async fn flush(mut incoming: Incoming, bytes: Vec<u8>) -> Result<Incoming, Fault> {
    let written = blocking(move || {
        incoming.write_all(&bytes).map_err(|e| Trouble::transient("store an upload").because(e))?;
        Ok(incoming)
    });
    Ok(written.await?)
}
