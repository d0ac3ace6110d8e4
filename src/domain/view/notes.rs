//! What a release says of itself elsewhere: in its tag, and on its host.

use std::fmt::Write as _;

use crate::domain::markdown::{escape, inline_code, truncate_balanced};
use crate::domain::release::Release;
use crate::domain::view::comment::LONGEST;

/// The text of its tag.
pub fn of_tag(release: &Release) -> String {
    let digest = release.shown_digest().map_or("", |digest| digest.as_str());
    format!("{}\n\nArtifact: {digest}\n", release.created.version)
}

/// What was built, in a line.
pub fn of_commit(release: &Release) -> String {
    let digest =
        release.shown_digest().map_or_else(|| "none".to_owned(), |digest| inline_code(digest.as_str()));
    format!("Commit {}, artifact {digest}.\n", inline_code(release.created.commit.as_str()))
}

/// The same, and what changed since the release before.
pub fn of_release(release: &Release) -> String {
    let mut out = of_commit(release);
    if !release.created.changes.is_empty() {
        out.push_str("\n### Changes\n\n");
    }
    for change in &release.created.changes {
        let (subject, commit) = (escape(&change.subject), inline_code(change.commit.short()));
        writeln!(out, "- {subject} ({commit})").unwrap_or_default();
    }
    truncate_balanced(&out, LONGEST)
}
