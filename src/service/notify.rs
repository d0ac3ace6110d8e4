//! Sending notices: the words are looked up when it is their time, masked, and handed to the route.

use crate::clock;
use crate::domain::notice::Notice;
use crate::domain::view::notice::message;
use crate::notify::Letter;
use crate::service::Service;
use crate::service::worker::{Lease, Result as Worked};

impl Service {
    /// Tells a route of the server; what is no longer so is not told.
    pub(super) async fn notify(&self, lease: &Lease, notice: Notice) -> Worked {
        let id = lease.pipeline()?;
        let state = self.journal().load(&id).await?;
        let found = message(&state, notice.topic, &notice.fact, notice.audience);
        let Some(message) = found else { return lease.complete(self, "no longer so").await };
        let row = self.store().pipeline(&id.to_string()).await?;
        let mask = self.mask();
        let routes = &self.settings().notify;
        let comment = message.comment.map(|line| format!("comment: {}", self.settings().prefix.line(&line)));
        let letter = Letter {
            id: lease.key().to_owned(),
            event: notice.topic.word().to_owned(),
            audience: notice.audience.word().to_owned(),
            repository: row.map_or_else(|| id.repo.to_string(), |row| row.repo_name),
            pipeline: id.name.to_string(),
            version: message.version,
            commit: message.commit,
            stage: message.stage,
            title: mask.apply(&message.title),
            lines: message.lines.iter().chain(&comment).map(|line| mask.apply(line)).collect(),
            url: format!("{}{}", routes.public_url, message.path),
        };
        routes.send(&notice.to, &letter, clock::now()).await?;
        lease.complete(self, "told").await
    }
}
