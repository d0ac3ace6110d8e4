//! Where the tags of a release stand, by its own version and by its final name.

use crate::domain::decide::Draft;
use crate::domain::event::Event;
use crate::domain::name::{RefName, ReleaseNo};
use crate::domain::refusal::Refusal;
use crate::domain::release::TagState;
use crate::domain::tag::TagNow;

impl Draft {
    /// The release that put a tag by its final name there.
    pub(super) fn release_of_final(&self, tag: &RefName) -> Option<ReleaseNo> {
        let mut all = self.state.releases.values();
        all.find(|release| release.has_final_tag(tag)).map(|release| release.no())
    }

    /// A release keeps its commit; a tag that moves away from it raises an alarm, and so does one that was made here and
    /// is another one now (THREATS T35).
    pub(super) fn learn_tag(&mut self, no: ReleaseNo, now: &TagNow) -> Result<(), Refusal> {
        let release = self.release(no)?;
        let is_finally = release.is_finally(&now.tag);
        let (seen, keeps) = (release.seen_as(now), release.keeps_object(now));
        if seen == *(if is_finally { &release.final_tag } else { &release.tag }) && !keeps {
            return Ok(());
        }
        let TagNow { tag, commit, object } = now.clone();
        let object = object.filter(|_| keeps || release.tag_objects.contains_key(&tag));
        self.add(Event::TagSeen { release: no, tag: tag.clone(), commit, object })?;
        let (short, version) = (release.created.commit.short(), &release.created.version);
        let tag = if is_finally {
            format!("Tag {tag}, the final name of {version},")
        } else {
            format!("Tag {tag}")
        };
        let what = match &seen {
            TagState::Unknown | TagState::There => return Ok(()),
            TagState::Moved(None) => "is gone".to_owned(),
            TagState::Moved(Some(to)) => format!("moved from {short} to {}", to.short()),
            TagState::Remade => "was made anew by somebody, over the one that was made here".to_owned(),
        };
        let text = format!("{tag} {what}. The release keeps {short}; nothing was rebuilt.");
        self.add(Event::Alarm { release: Some(no), code: "tag_moved".to_owned(), text })
    }
}
