//! A letter as JSON for whoever takes signed webhooks.

use crate::domain::time::Timestamp;
use crate::https::signed::{self, Headers};
use crate::notify::Letter;
use crate::secret::Secret;
use crate::trouble::{Outcome, Trouble};

/// Address, body and headers of a letter.
pub(super) fn request<'a>(
    url: &'a Secret,
    key: Option<&Secret>,
    letter: &Letter,
    now: Timestamp,
) -> Outcome<(&'a Secret, String, Headers)> {
    let body = serde_json::json!({
        "type": format!("liftlock.{}", letter.event),
        "timestamp": now.rfc3339(),
        "data": letter,
    });
    let body = serde_json::to_string(&body).map_err(|e| Trouble::bug("write a webhook").because(e))?;
    let headers = signed::headers((&letter.id, &body), key, now)?;
    Ok((url, body, headers))
}
