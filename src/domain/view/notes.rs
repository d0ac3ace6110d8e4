//! What a release says of itself elsewhere: in its tag, and on its host.

use crate::domain::markdown::inline_code;
use crate::domain::release::Release;

/// The text of its tag.
pub fn of_tag(release: &Release) -> String {
    let digest = release.shown_digest().map_or("", |digest| digest.as_str());
    let over = not_built(release).map_or_else(String::new, |over| format!("{over}\n"));
    format!("{}\n\nArtifact: {digest}\n{over}", release.created.version)
}

/// What was built, in a line.
pub fn of_commit(release: &Release) -> String {
    let digest =
        release.shown_digest().map_or_else(|| "none".to_owned(), |digest| inline_code(digest.as_str()));
    let commit = inline_code(release.created.commit.as_str());
    let over = not_built(release).map_or_else(String::new, |over| format!(" {over}."));
    format!("Commit {commit}, artifact {digest}.{over}\n")
}

fn not_built(release: &Release) -> Option<String> {
    release.reused.as_ref().map(|over| format!("Not built: the artifact {over}"))
}
