//! Signing what is known of a release: each statement is made once, kept by its digest, and named in the log.

use serde_json::Value;

use crate::artifact::store::Store;
use crate::clock;
use crate::domain::decide::Command;
use crate::domain::evidence::statement::{Origin, statements};
use crate::domain::evidence::{Attested, Evidence, Matter, PAYLOAD_TYPE, SHA256SUMS, checksums, owed};
use crate::domain::name::ReleaseNo;
use crate::service::worker::{Lease, Result as Worked};
use crate::service::{Service, blocking};
use crate::sign::{FOLDER, Keys};
use crate::trouble::{Outcome, Trouble};

impl Service {
    /// Signs one matter of a release. What a worker kept that died before it said so is signed again and never named.
    pub(super) async fn attest(&self, lease: &Lease, no: ReleaseNo, what: Matter) -> Worked {
        let id = lease.pipeline()?;
        let state = self.journal().load(&id).await?;
        let Some(release) = state.release(no).filter(|release| owed(release).contains(&what)) else {
            return lease.complete(self, "nothing is to be signed").await;
        };
        let repository = self.journal().name_of(&id.repo).await?;
        let web = repository.parse().ok().zip(self.host(&id.repo).ok());
        let commit_url = web.and_then(|(name, host)| host.web(&name, &release.created.commit, None));
        let origin = Origin {
            pipeline: &id,
            repository: &repository,
            commit_url: commit_url.as_deref(),
            server: &self.settings().notify.public_url,
        };
        let statements = statements(release, &what, origin);
        let plain = match what {
            Matter::Build => vec![(SHA256SUMS.to_owned(), checksums(release))],
            Matter::Stage { .. } => Vec::new(),
        };
        let (folder, store) = (self.settings().data.join(FOLDER), self.artifacts().clone());
        let files = blocking(move || {
            let keys = Keys::of_folder(&folder, clock::now())?;
            let plain = plain.into_iter().map(|(name, text)| keep(&store, name, &text));
            let signed = statements.into_iter().map(|(name, statement)| {
                let envelope = signed(&keys, &statement)?;
                keep(&store, name, &envelope)
            });
            plain.chain(signed).collect::<Outcome<Vec<Evidence>>>()
        });
        let attested = Attested { release: no, what, files: files.await? };
        let command = Command::Attest(Box::new(attested));
        match self.journal().decide(&id, &command, lease.done("signed")).await? {
            Ok(_) => Ok(()),
            Err(refusal) => lease.complete(self, refusal.code()).await,
        }
    }
}

/// One line of JSON.
fn signed(keys: &Keys, statement: &Value) -> Outcome<String> {
    let envelope = keys.sign(PAYLOAD_TYPE, statement.to_string().as_bytes())?;
    let line = serde_json::to_string(&envelope).map_err(|e| Trouble::bug("write a statement").because(e))?;
    Ok(line + "\n")
}

fn keep(store: &Store, name: String, text: &str) -> Outcome<Evidence> {
    let size = u64::try_from(text.len()).unwrap_or(u64::MAX);
    Ok(Evidence { name, digest: store.put(text.as_bytes())?, size })
}
