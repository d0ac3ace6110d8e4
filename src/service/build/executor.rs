//! What executes a build here, and what it is given, as one digest that shows nothing of a secret.

use std::path::Path;

use serde_json::json;

use crate::domain::name::{Digest, PipelineId};
use crate::domain::pipeline::{self, Pipeline};
use crate::domain::reuse::Reuse;
use crate::runner::Network;
use crate::runner::probe::{Choice, Origin, Unsafe, choose};
use crate::secret::Secret;
use crate::service::Service;
use crate::service::source::build_stage;
use crate::trouble::{Outcome, Trouble};

impl Service {
    /// How the commands of a build run here.
    pub(super) fn choice(&self, pipeline: &Pipeline, origin: Origin) -> (Network, Result<Choice, Unsafe>) {
        let network = match pipeline.build.network {
            pipeline::Network::None => Network::None,
            pipeline::Network::Host => Network::Host,
        };
        let capability = self.runner().capability();
        (network, choose((self.settings().sandbox, self.settings().door), origin, network, &capability))
    }

    /// The digest of whatever a build sees that neither its commit nor its manifest says: whether it is in a sandbox, the
    /// folders of toolchains, the server's environment and the values of the secrets that it names. Nothing when it
    /// shares what it leaves with no other.
    pub(super) async fn executor(
        &self,
        (id, pipeline): (&PipelineId, &Pipeline),
        origin: Origin,
    ) -> Outcome<Option<Digest>> {
        if pipeline.build.reuse == Reuse::Never {
            return Ok(None);
        }
        let (_, choice) = self.choice(pipeline, origin);
        let sandboxed = choice.map_err(|not_safe| Trouble::refused(not_safe.to_string()))?.sandboxed;
        let secrets = match origin {
            Origin::ProtectedBranch => {
                self.secrets_beside_stages((id, &build_stage()?), &pipeline.build.secrets).await?
            }
            Origin::PullRequest => std::collections::BTreeMap::new(),
        };
        let all = json!({
            "sandboxed": sandboxed,
            "toolchains": self.settings().toolchains,
            // Where its home is differs from build to build, and is no file of it.
            "environment": self.base_environment(Path::new("")),
            "secrets": secrets,
        });
        Ok(Some(self.library().vault().key().mark(&Secret::new(all.to_string()))))
    }
}
