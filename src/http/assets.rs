//! The style and the script, compiled in: nothing is loaded from elsewhere.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

use crate::http::error::{Fault, Why};
use crate::http::extract::At;

const STYLE: &str = include_str!("../../templates/assets/style.css");
const SCRIPT: &str = include_str!("../../templates/assets/app.js");
const ICON: &str = include_str!("../../templates/assets/icon.svg");

/// What pages ask for their assets with: it changes with their content, so they may be kept for ever.
pub(super) fn mark() -> &'static str {
    static MARK: LazyLock<String> = LazyLock::new(|| {
        let all = Sha256::new().chain_update(STYLE).chain_update(SCRIPT).chain_update(ICON).finalize();
        let mut digest = hex::encode(all);
        digest.truncate(12);
        digest
    });
    &MARK
}

/// `GET /assets/{file}`.
pub(super) async fn asset(At(file): At<String>) -> Result<Response, Fault> {
    let (kind, text) = match file.as_str() {
        "style.css" => ("text/css; charset=utf-8", STYLE),
        "app.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return Err(Fault::new(Why::NotFound)),
    };
    let headers =
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((headers, text).into_response())
}
