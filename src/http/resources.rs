//! What a pipeline works with beside the files of its commits, and where that is (CHECKLIST C35).

use axum::{Json, extract};
use serde::Serialize;
use serde_json::{Value, json};

use crate::http::State;
use crate::http::error::Fault;
use crate::http::extract::At;

/// Something that is not the pipeline's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resource {
    /// What it is: `webhook`, `environment`, `target`, `connection` or `route`.
    pub kind: &'static str,
    /// What it is called.
    pub name: String,
    /// Where it is, as far as that is known and no secret.
    pub at: Option<String>,
    /// The stages that use it; none of what is the whole pipeline's.
    pub stages: Vec<String>,
    /// Why the pipeline does not have it, if so.
    pub lacks: Option<String>,
}

/// `GET /api/pipelines/{repo}/{pipeline}/resources`.
pub(super) async fn api(
    extract::State(state): extract::State<State>,
    At((repo, pipeline)): At<(String, String)>,
) -> Result<Json<Value>, Fault> {
    let resources = state.reader().resources(&format!("{repo}/{pipeline}")).await?;
    Ok(Json(json!({ "resources": resources })))
}
