//! What runs and waits, read from the states of the pipelines, and taking a run out of it.

use crate::domain::name::PipelineId;
use crate::domain::queue::{RunId, entries};
use crate::http::answers::{Answers, named};
use crate::http::api::Reply;
use crate::http::queue::{Cancel, QueueLine};
use crate::trouble::{Outcome, Trouble};

impl Answers {
    /// Of one pipeline, or of all, what runs first.
    pub(super) async fn lines(&self, stream: Option<&str>) -> Outcome<Vec<QueueLine>> {
        let store = self.service.store();
        let streams = match stream {
            Some(one) => {
                let missing = || Trouble::not_found("there is no such pipeline");
                vec![store.pipeline(one).await?.ok_or_else(missing)?.stream]
            }
            None => store.pipelines().await?.into_iter().map(|row| row.stream).collect(),
        };
        let mut lines: Vec<QueueLine> = Vec::new();
        for stream in streams {
            let id: PipelineId = named(&stream)?;
            let state = self.service.journal().load(&id).await?;
            lines.extend(entries(&state, self.service.store().here()).into_iter().map(QueueLine::from));
        }
        lines.sort_by_key(|line| line.state);
        Ok(lines)
    }

    pub(super) async fn take_out(&self, cancel: Cancel) -> Outcome<Reply> {
        let run: RunId = named(&cancel.run)?;
        let person = self.person(&cancel.by)?;
        let state = self.service.journal().load(&run.pipeline).await?;
        if !entries(&state, self.service.store().here()).iter().any(|entry| entry.id == run) {
            return Err(Trouble::not_found(format!(
                "{run} is over, or never was; `liftlock queue ls` lists the runs"
            )));
        }
        let said = self.service.cancel_run(&run, cancel.force, &person).await?;
        Ok(Reply::of(said.map(|answers| answers.join("\n"))))
    }
}
