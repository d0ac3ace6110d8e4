//! Writing a release's notes, until they are published.

use crate::domain::decide::Draft;
use crate::domain::event::Event;
use crate::domain::name::ReleaseNo;
use crate::domain::notes::{MAX_BYTES, Notes};
use crate::domain::person::Standing;
use crate::domain::pipeline::Role;
use crate::domain::refusal::{NoNotes, Refusal};

impl Draft {
    /// Somebody writes the notes.
    pub(super) fn write_notes(&mut self, no: ReleaseNo, text: &str, by: &Standing) -> Result<(), Refusal> {
        let release = self.release(no)?;
        let kept = release.notes.as_ref();
        let refuse = |why| Err(Refusal::Notes(why));
        if by.role < Role::Write {
            return refuse(NoNotes::Role { login: by.person.login.clone(), has: by.role });
        }
        if text.len() > MAX_BYTES {
            return refuse(NoNotes::TooLong { bytes: text.len() });
        }
        if kept.is_some_and(|kept| kept.frozen) {
            return refuse(NoNotes::Frozen { version: release.created.version.to_string() });
        }
        if kept.is_some_and(|kept| kept.text == text) {
            return Ok(());
        }
        let by = Some(by.person.clone());
        self.add(Event::Noted { release: no, text: text.to_owned(), by, frozen: false })
    }

    /// The notes are published now: they stay as they are.
    pub(super) fn freeze_notes(&mut self, no: ReleaseNo) -> Result<(), Refusal> {
        let release = self.release(no)?;
        let (text, by) = match release.notes.clone() {
            Some(kept) if kept.frozen => return Ok(()),
            Some(kept) => (kept.text, kept.by),
            None => {
                let made = Notes::of(&self.state, &release).render();
                (made.map_err(|why| Refusal::Notes(NoNotes::Template { why }))?, None)
            }
        };
        self.add(Event::Noted { release: no, text, by, frozen: true })
    }
}
