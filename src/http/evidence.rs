//! What anybody can check without us: the files of a release, their checksums, signed statements, the public keys.

use std::fs::File;
use std::io::Read as _;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, extract};
use futures_util::stream;
use serde::Serialize;

use crate::domain::evidence::{Evidence, PROVENANCE_FILE, SHA256SUMS};
use crate::domain::time::Timestamp;
use crate::http::State;
use crate::http::error::Fault;
use crate::http::extract::At;
use crate::http::view::rfc3339;
use crate::service::blocking;
use crate::trouble::Trouble;

/// Bytes of a file that are read at once.
const CHUNK: usize = 256 * 1024;

/// The files of a release, and what proves something about them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EvidenceList {
    /// The release's version.
    pub version: String,
    /// Its commit.
    pub commit: String,
    /// What was sealed.
    pub files: Vec<Evidence>,
    /// What was signed about it, as it is kept, oldest first.
    pub evidence: Vec<EvidenceLine>,
}

/// A file of evidence, and when it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EvidenceLine {
    /// The file.
    #[serde(flatten)]
    pub file: Evidence,
    /// When it was signed.
    #[serde(serialize_with = "rfc3339")]
    pub signed: Timestamp,
}

/// In which form the public keys are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// All of them as PEM.
    Pem,
    /// Those of OpenSSH, with the times in which each signed.
    AllowedSigners,
    /// Those of minisign, newest first; it reads the first.
    Minisign,
}

/// A file of a release that is sent.
#[derive(Debug)]
pub struct FileBytes {
    /// Its name.
    pub name: String,
    /// The bytes, checked just now.
    pub file: File,
    /// How many.
    pub size: u64,
}

type Which = At<(String, String, u32)>;

/// `GET /keys`: PEM, newest first.
pub(super) async fn keys(extract::State(state): extract::State<State>) -> Result<Response, Fault> {
    let text = state.reader().keys(Form::Pem).await?;
    Ok(([(CONTENT_TYPE, "application/x-pem-file")], text).into_response())
}

/// `GET /keys/allowed_signers`.
pub(super) async fn signers(extract::State(state): extract::State<State>) -> Result<Response, Fault> {
    let text = state.reader().keys(Form::AllowedSigners).await?;
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

/// `GET /keys/minisign.pub`.
pub(super) async fn minisign(extract::State(state): extract::State<State>) -> Result<Response, Fault> {
    let text = state.reader().keys(Form::Minisign).await?;
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

/// `GET /api/releases/{repo}/{pipeline}/{no}/evidence`.
pub(super) async fn list(
    extract::State(state): extract::State<State>,
    At((repo, pipeline, no)): Which,
) -> Result<Json<EvidenceList>, Fault> {
    Ok(Json(state.reader().evidence(&format!("{repo}/{pipeline}"), no).await?))
}

/// `GET /api/releases/{repo}/{pipeline}/{no}/evidence/{name}`.
pub(super) async fn one(
    extract::State(state): extract::State<State>,
    At((repo, pipeline, no, name)): At<(String, String, u32, String)>,
) -> Result<Response, Fault> {
    proof(&state, &format!("{repo}/{pipeline}"), no, &name).await
}

/// `GET /api/releases/{repo}/{pipeline}/{no}/SHA256SUMS`.
pub(super) async fn checksums(
    extract::State(state): extract::State<State>,
    At((repo, pipeline, no)): Which,
) -> Result<Response, Fault> {
    proof(&state, &format!("{repo}/{pipeline}"), no, SHA256SUMS).await
}

/// `GET /api/releases/{repo}/{pipeline}/{no}/provenance`.
pub(super) async fn provenance(
    extract::State(state): extract::State<State>,
    At((repo, pipeline, no)): Which,
) -> Result<Response, Fault> {
    proof(&state, &format!("{repo}/{pipeline}"), no, PROVENANCE_FILE).await
}

async fn proof(state: &State, stream: &str, no: u32, name: &str) -> Result<Response, Fault> {
    let text = state.reader().proof(stream, no, name).await?;
    let kind = match name.rsplit_once('.') {
        Some((_, "jsonl")) => "application/jsonl",
        Some((_, "json" | "link" | "layout")) => "application/json",
        Some(_) | None => "text/plain; charset=utf-8",
    };
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}

/// `GET /api/releases/{repo}/{pipeline}/{no}/files/{name}`.
pub(super) async fn file(
    extract::State(state): extract::State<State>,
    At((repo, pipeline, no, name)): At<(String, String, u32, String)>,
) -> Result<Response, Fault> {
    let FileBytes { name, file, size } =
        state.reader().file(&format!("{repo}/{pipeline}"), no, &name).await?;
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_LENGTH, size.to_string()),
        // An alias has no quotes and no control characters.
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((headers, body(file)).into_response())
}

/// The bytes of a file, read as they are sent.
fn body(file: File) -> Body {
    Body::from_stream(stream::unfold(Some(file), |file| async move {
        let mut file = file?;
        let read = blocking(move || {
            let mut chunk = Vec::with_capacity(CHUNK);
            let limit = u64::try_from(CHUNK).unwrap_or(u64::MAX);
            let read = file.by_ref().take(limit).read_to_end(&mut chunk);
            read.map_err(|e| Trouble::transient("read an artifact").because(e))?;
            Ok((chunk, file))
        });
        match read.await {
            Ok((chunk, _)) if chunk.is_empty() => None,
            Ok((chunk, file)) => Some((Ok(Bytes::from(chunk)), Some(file))),
            Err(trouble) => Some((Err(trouble), None)),
        }
    }))
}
