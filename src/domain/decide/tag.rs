//! Where the tags of a release stand, by its own version and by its final name.

use crate::domain::decide::Draft;
use crate::domain::event::Event;
use crate::domain::name::{RefName, ReleaseNo};
use crate::domain::publication::tag::became;
use crate::domain::refusal::Refusal;
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
        let (commit_of, version) = (release.created.commit.clone(), &release.created.version);
        let tag = if is_finally {
            format!("Tag {tag}, the final name of {version},")
        } else {
            format!("Tag {tag}")
        };
        let Some(what) = became(&seen, &commit_of) else { return Ok(()) };
        let text = format!("{tag} {what}. The release keeps {}; nothing was rebuilt.", commit_of.short());
        self.add(Event::Alarm { release: Some(no), code: "tag_moved".to_owned(), text })
    }
}
