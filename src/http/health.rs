//! Alive, ready, and how much is waiting.

use axum::extract;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::http::State;
use crate::http::error::Fault;
use crate::store::Reserve;
use crate::trouble::{Outcome, Trouble};

/// `GET /healthz`: the process answers.
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// `GET /readyz`: a webhook sent now could be stored.
pub(super) async fn ready(extract::State(state): extract::State<State>) -> Response {
    let (what, trouble) = match (state.store().ping().await, room(&state)) {
        (Err(trouble), _) => ("not ready: the database does not answer\n", trouble),
        (Ok(()), Err(trouble)) => ("not ready: the disk is full\n", trouble),
        (Ok(()), Ok(())) if state.store().reserve() == Some(Reserve::LetGo) => {
            ("not ready: the disk is full\n", Trouble::transient("the room for a full disk is let go"))
        }
        (Ok(()), Ok(())) => return "ready\n".into_response(),
    };
    tracing::warn!(error = trouble.chain(), "not ready");
    (StatusCode::SERVICE_UNAVAILABLE, what).into_response()
}

/// Whether the data folder's disk still has the room we keep free (STORAGE §5, row 11).
fn room(state: &State) -> Outcome<()> {
    let Some(folder) = state.data_folder() else { return Ok(()) };
    let disk = rustix::fs::statvfs(folder)
        .map_err(|e| Trouble::transient(format!("look at the disk of `{}`", folder.display())).because(e))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let floor = state.limits().free_disk;
    if free >= floor {
        return Ok(());
    }
    Err(Trouble::transient(format!(
        "the disk of `{}` has {free} bytes left, less than {floor}",
        folder.display()
    )))
}

/// `GET /metrics`: `OpenMetrics` text; behind the guard, for the version and the names of lanes are nobody's business.
pub(super) async fn metrics(extract::State(state): extract::State<State>) -> Result<Response, Fault> {
    let counts = state.store().stats().await?;
    let text = state.metrics().text(&counts)?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
