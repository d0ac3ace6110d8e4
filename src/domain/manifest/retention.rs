//! `retention` → how long sealed bytes are kept (SEMANTICS §11).

use crate::domain::manifest::code::Code;
use crate::domain::manifest::problem::Findings;
use crate::domain::manifest::view::View;
use crate::domain::retention::{KEEP, Retention};

/// Reads it; nothing said means that the server says.
pub(super) fn of(pipeline: View<'_>, findings: &mut Findings<'_>) -> Option<Retention> {
    let view = pipeline.below("retention");
    if view.flag("keep_deployed") == Some(false) {
        let message = "what is deployed is always kept".to_owned();
        findings.add(Code::Impossible, view.place("keep_deployed"), message);
    }
    let days = view.count("days")?;
    Some(Retention {
        days,
        keep: view.count("keep").unwrap_or(KEEP),
        failed_days: view.count("failed_days").unwrap_or(days),
    })
}
