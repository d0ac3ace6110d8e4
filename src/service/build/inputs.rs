//! What a build finds beside its own tree: trees of other repositories, and what other pipelines built.
//!
//! It finds each where the stages will, and may not write there. What is sealed of a source is the tree at its
//! commit, read before the first command runs: no build can change what it was given.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::artifact::pack;
use crate::domain::event::{BuildOutcome, Sealed};
use crate::domain::variable::artifact_variable;
use crate::folder::Access;
use crate::runner::sandbox::ARTIFACTS;
use crate::service::build::{Subject, sealed};
use crate::service::steps::{KeptLog, Workplace};
use crate::service::{Service, TREE_LIMITS, blocking};
use crate::trouble::Outcome;

/// What was brought for a build.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    /// Where each is on this machine, by its name.
    pub(super) folders: BTreeMap<String, PathBuf>,
    /// What of it the release keeps.
    pub(super) sealed: Vec<Sealed>,
}

impl Inputs {
    /// What the build's commands are told of them.
    pub(super) fn environment(&self, sandboxed: bool) -> impl Iterator<Item = (String, String)> {
        self.folders.iter().map(move |(alias, path)| {
            let path = if sandboxed { PathBuf::from(ARTIFACTS).join(alias) } else { path.clone() };
            (artifact_variable(alias), path.display().to_string())
        })
    }
}

impl Service {
    /// Brings what the build takes; the inner error is how it ends for want of something.
    pub(super) async fn bring_inputs(
        &self,
        subject: &Subject<'_>,
        place: &Workplace,
        kept: &mut KeptLog,
    ) -> Outcome<Result<Inputs, BuildOutcome>> {
        let grounds = place.grounds();
        let mut inputs = Inputs::default();
        for found in &subject.sources {
            let alias = &found.source.alias;
            let to = grounds.artifact(alias);
            if let Err(trouble) = self.export_source(subject.id, (found, subject.public), &to).await {
                let outcome = self.not_found(&found.source, &trouble);
                kept.log.note(&format!("source {found} cannot be had: {}", trouble.chain())).await;
                return Ok(Err(outcome));
            }
            kept.log.note(&format!("source {found}, in ${}", artifact_variable(alias.as_str()))).await;
            inputs.folders.insert(alias.to_string(), to);
            if subject.kept {
                let (store, root, path) =
                    (self.artifacts().clone(), grounds.artifacts(), PathBuf::from(alias.as_str()));
                let epoch = subject.epoch();
                let packed = blocking(move || pack::seal(&store, &root, &path, epoch, TREE_LIMITS)).await?;
                inputs.sealed.push(sealed(alias, &packed));
            }
        }
        if let Some(release) = subject.release {
            // What is missing of them ends the build with its own words, when it is over.
            for artifact in release.created.inherited().unwrap_or_default() {
                let to = grounds.artifact(&artifact.alias);
                if let Err(mismatch) =
                    self.hand_out(release, &artifact, (to.clone(), Access::ReadOnly)).await?
                {
                    return Ok(Err(BuildOutcome::Errored(mismatch)));
                }
                kept.log.note(&format!("artifact {} is {}, checked", artifact.alias, artifact.digest)).await;
                inputs.folders.insert(artifact.alias.to_string(), to);
            }
        }
        Ok(Ok(inputs))
    }
}
