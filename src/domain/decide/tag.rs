//! Where the tags of a release stand, by its own version and by its final name.

use crate::domain::decide::Draft;
use crate::domain::event::Event;
use crate::domain::name::{CommitSha, RefName, ReleaseNo};
use crate::domain::refusal::Refusal;
use crate::domain::release::TagState;

impl Draft {
    /// The release that put a tag by its final name there.
    pub(super) fn release_of_final(&self, tag: &RefName) -> Option<ReleaseNo> {
        let mut all = self.state.releases.values();
        all.find(|release| release.has_final_tag(tag)).map(|release| release.no())
    }

    /// A release keeps its commit; a tag that moves away from it raises an alarm (THREATS T35).
    pub(super) fn learn_tag(
        &mut self,
        no: ReleaseNo,
        tag: &RefName,
        commit: Option<&CommitSha>,
    ) -> Result<(), Refusal> {
        let release = self.release(no)?;
        let there = commit == Some(&release.created.commit);
        let is_finally = release.is_finally(tag);
        let known = match if is_finally { &release.final_tag } else { &release.tag } {
            TagState::Unknown => false,
            TagState::There => there,
            TagState::Moved(to) => !there && to.as_ref() == commit,
        };
        if known {
            return Ok(());
        }
        self.add(Event::TagSeen { release: no, tag: tag.clone(), commit: commit.cloned() })?;
        if there {
            return Ok(());
        }
        let (short, version) = (release.created.commit.short(), &release.created.version);
        let tag = if is_finally {
            format!("Tag {tag}, the final name of {version},")
        } else {
            format!("Tag {tag}")
        };
        let text = commit.map_or_else(
            || format!("{tag} is gone. The release keeps {short}; nothing was rebuilt."),
            |to| {
                format!(
                    "{tag} moved from {short} to {}. The release keeps {short}; nothing was rebuilt.",
                    to.short()
                )
            },
        );
        self.add(Event::Alarm { release: Some(no), code: "tag_moved".to_owned(), text })
    }
}
