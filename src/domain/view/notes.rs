//! What a release says of itself elsewhere: in its tag, and on its host.

use crate::domain::markdown::inline_code;
use crate::domain::release::Release;

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
