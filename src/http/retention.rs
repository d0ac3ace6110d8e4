//! What would be deleted because it need not be kept any longer, and deleting it.

use axum::{Extension, Json, extract};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::http::State;
use crate::http::error::Fault;
use crate::http::extract::Sent;
use crate::http::session::Caller;

/// A release with stored bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RetentionLine {
    /// The pipeline's stream.
    pub pipeline: String,
    /// The release's number.
    pub no: u32,
    /// Its version.
    pub version: String,
    /// How many bytes are stored for it.
    pub bytes: u64,
    /// Why they are kept; nothing when they are due.
    pub kept: Option<String>,
}

/// What was deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Deleted {
    /// Releases whose bytes are not kept any longer.
    pub releases: Vec<String>,
    /// Stored files that no other release has.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// `GET /api/retention`.
pub(super) async fn list(extract::State(state): extract::State<State>) -> Result<Json<Value>, Fault> {
    Ok(Json(json!({ "releases": state.reader().retention().await? })))
}

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    apply: bool,
}

/// `POST /api/retention`.
pub(super) async fn apply(
    extract::State(state): extract::State<State>,
    Extension(caller): Extension<Caller>,
    Sent(wish): Sent<Wish>,
) -> Result<Json<Deleted>, Fault> {
    if !wish.apply {
        return Err(Fault::malformed(
            "Say `{\"apply\": true}`, or read the same address to see what would be deleted.",
        ));
    }
    Ok(Json(state.acts().retain(caller).await?))
}
