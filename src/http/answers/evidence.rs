//! Proofs of a release, made of its log when somebody asks, and signed then.

use std::sync::Arc;

use super::Answers;
use crate::artifact::store::Unusable;
use crate::clock;
use crate::domain::evidence::{self, Origin, PAYLOAD_TYPE};
use crate::domain::name::PipelineId;
use crate::domain::release::{BuildState, Release};
use crate::http::evidence::{FileBytes, Proof};
use crate::service::blocking;
use crate::sign::Keys;
use crate::trouble::{Outcome, Trouble};

/// Where the keys are, below the data folder.
pub const KEYS: &str = "keys";

impl Answers {
    async fn sealed(&self, stream: &str, no: u32) -> Outcome<(PipelineId, Arc<Release>)> {
        let (state, release) = self.release(stream, no).await?;
        if release.build != BuildState::Sealed || release.artifacts.is_empty() {
            return Err(Trouble::not_found(format!("release {no} of {stream} has no sealed artifact")));
        }
        Ok((state.id.clone(), release))
    }

    pub(super) async fn prove(&self, stream: &str, no: u32, what: Proof) -> Outcome<String> {
        let (id, release) = self.sealed(stream, no).await?;
        if what == Proof::Checksums {
            return Ok(evidence::checksums(&release));
        }
        let web = self.web(&id, stream).await?;
        let link = web.link(&release.created.commit, None).map(|link| link.to_string());
        let origin = Origin {
            pipeline: &id,
            repository: &web.name,
            commit_url: link.as_deref(),
            server: &self.service.settings().notify.public_url,
        };
        let statement = evidence::provenance(&release, origin).ok_or_else(|| {
            Trouble::not_found(format!(
                "release {no} of {stream} built none of its files: what other pipelines built has statements of \
                 theirs, and for what was handed in others have to answer"
            ))
        })?;
        let statement = statement.to_string();
        let folder = self.service.settings().data.join(KEYS);
        let envelope = blocking(move || {
            Keys::of_folder(&folder, clock::now())?.sign(PAYLOAD_TYPE, statement.as_bytes())
        });
        let line = serde_json::to_string(&envelope.await?);
        Ok(line.map_err(|e| Trouble::bug("write a statement").because(e))? + "\n")
    }

    pub(super) async fn public_keys(&self) -> Outcome<String> {
        let folder = self.service.settings().data.join(KEYS);
        let public = blocking(move || Keys::of_folder(&folder, clock::now())?.public()).await?;
        Ok(public.iter().map(ToString::to_string).collect::<Vec<String>>().concat())
    }

    pub(super) async fn file_bytes(&self, stream: &str, no: u32, name: &str) -> Outcome<FileBytes> {
        let (_, release) = self.sealed(stream, no).await?;
        let found = release.artifacts.iter().find(|sealed| evidence::file_name(sealed) == name);
        let missing = || {
            let names: Vec<String> = release.artifacts.iter().map(evidence::file_name).collect();
            Trouble::not_found(format!("release {no} has no such file; it has {}", names.join(", ")))
        };
        let found = found.ok_or_else(missing)?;
        let (store, digest) = (self.service.artifacts().clone(), found.digest.clone());
        let opened = blocking(move || Ok(store.open_verified(&digest))).await?;
        match opened {
            Ok((file, size)) => Ok(FileBytes { name: name.to_owned(), file, size }),
            Err(Unusable::Trouble(trouble)) => Err(trouble),
            Err(Unusable::Mismatch { wanted, .. }) => Err(Trouble::conflict(format!(
                "the stored bytes are no longer {wanted}; they were put aside and are not sent"
            ))),
        }
    }
}
