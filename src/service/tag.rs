//! The tags of releases: signed by the server where their manifest says so.

use crate::domain::name::{CommitSha, RefName};
use crate::domain::release::Release;
use crate::domain::tag::{SignTags, Signed, Tag, TagNow};
use crate::git::repo::TagRef;
use crate::service::{Service, blocking};
use crate::sign::{FOLDER, Keys};
use crate::trouble::Outcome;

/// A tag as the mirror has it.
pub(super) fn now_of(tag: RefName, there: Option<&TagRef>) -> TagNow {
    TagNow {
        tag,
        commit: there.map(|there| there.commit.clone()),
        object: there.map(|there| there.object.clone()),
    }
}

impl Service {
    /// A tag for this release as it is to be made.
    pub(super) async fn tag_of(
        &self,
        release: &Release,
        (name, commit): (&RefName, &CommitSha),
        message: &str,
    ) -> Outcome<Tag> {
        let tag =
            Tag { name: name.clone(), commit: commit.clone(), message: message.to_owned(), signed: None };
        match release.rules.release.sign_tags {
            SignTags::Never => Ok(tag),
            SignTags::Ssh => {
                let (folder, at) = (self.settings().data.join(FOLDER), self.store().here());
                blocking(move || {
                    let signature = Keys::of_folder(&folder, at)?.sign_tag(tag.payload(at).as_bytes())?;
                    Ok(Tag { signed: Some(Signed { at, signature }), ..tag })
                })
                .await
            }
        }
    }
}
