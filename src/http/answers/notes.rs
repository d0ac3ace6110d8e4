//! Notes and `release.json` of a release, made of its log; writing notes.

use std::num::NonZeroU32;

use serde_json::Value;

use super::{Answers, named, no_release, own};
use crate::domain::decide::Command;
use crate::domain::metadata;
use crate::domain::name::ReleaseNo;
use crate::domain::notes::Notes;
use crate::http::api::Reply;
use crate::http::notes::{NotesText, Written};
use crate::http::session::Caller;
use crate::service::journal::Around;
use crate::trouble::{Outcome, Trouble};

impl Answers {
    pub(super) async fn notes_of(&self, stream: &str, no: u32) -> Outcome<NotesText> {
        let (state, release) = self.release(stream, no).await?;
        if let Some(kept) = &release.notes {
            let by = kept.by.as_ref().map(|person| person.login.clone());
            return Ok(NotesText { text: kept.text.clone(), by, frozen: kept.frozen });
        }
        let made = Notes::of(&state, &release).render();
        let text =
            made.map_err(|why| Trouble::refused(format!("the template of the notes does not work: {why}")))?;
        Ok(NotesText { text, by: None, frozen: false })
    }

    pub(super) async fn metadata_of(&self, stream: &str, no: u32) -> Outcome<Value> {
        let (state, release) = self.release(stream, no).await?;
        let web = self.web(&state.id, stream).await?;
        Ok(metadata::document(&release, &state.id.name, &web.name))
    }

    pub(super) async fn note(
        &self,
        (stream, no): (&str, u32),
        written: Written,
        caller: Caller,
    ) -> Outcome<Reply> {
        own(&caller, written.by.as_str())?;
        let (id, person) = (named(stream)?, self.person(written.by.as_str())?);
        let standing = self.service.standing_of(&id, &person).await?;
        let release = NonZeroU32::new(no).map(ReleaseNo).ok_or_else(|| no_release(stream, no))?;
        let command = Command::WriteNotes { release, text: written.text, standing: Box::new(standing) };
        let around = Around { actor: person.login.to_string(), cause: "api".to_owned(), ..Around::default() };
        let said = self.service.journal().decide(&id, &command, around).await?;
        Ok(Reply::of(said.map(|_| "the notes are kept".to_owned())))
    }
}
