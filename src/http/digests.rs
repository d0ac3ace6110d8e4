//! What a digest is: the release whose file, image or whole it stands for, and how far that came.

use askama::Template;
use axum::response::Response;
use axum::{Json, extract};
use serde::Serialize;

use crate::http::State;
use crate::http::error::Fault;
use crate::http::extract::At;
use crate::http::pages::{Times, shown};
use crate::http::view::StageBox;

/// Everything known under a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DigestPage {
    /// The digest.
    pub digest: String,
    /// What has it, the newest release first.
    pub found: Vec<DigestUse>,
}

/// Something of a release that has the digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DigestUse {
    /// The repository's name.
    pub repo: String,
    /// The pipeline's stream.
    pub stream: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The release's number.
    pub no: u32,
    /// Its version.
    pub version: String,
    /// Its commit.
    pub commit: String,
    /// What of it has the digest.
    pub what: String,
    /// Whether its bytes were deleted.
    pub deleted: bool,
    /// The stages of the release, and how it stands in each.
    pub stages: Vec<StageBox>,
    /// The commands that check it on another machine, in their order.
    pub verify: Vec<String>,
}

impl DigestUse {
    fn path(&self) -> String {
        format!("/releases/{}/{}", self.stream, self.no)
    }

    fn short_commit(&self) -> String {
        self.commit.chars().take(7).collect()
    }
}

#[derive(Template)]
#[template(path = "pages/digest.html")]
struct OneDigest {
    page: DigestPage,
    times: Times,
}

/// `GET /digests/{digest}`.
pub(super) async fn page(
    extract::State(state): extract::State<State>,
    At(digest): At<String>,
) -> Result<Response, Fault> {
    let page = state.reader().digest(&digest).await?;
    shown(&OneDigest { page, times: Times::at(state.now()) })
}

/// `GET /api/digests/{digest}`.
pub(super) async fn api(
    extract::State(state): extract::State<State>,
    At(digest): At<String>,
) -> Result<Json<DigestPage>, Fault> {
    Ok(Json(state.reader().digest(&digest).await?))
}
