//! Images of a release: pushed to the registry of a stage's environment before its commands run, and read back.

use std::collections::BTreeMap;
use std::path::Path;

use crate::domain::event::{Failure, RunKind};
use crate::domain::image::{Image, tag_of};
use crate::domain::name::{Digest, EnvironmentName};
use crate::domain::pipeline::Stage;
use crate::domain::release::Release;
use crate::domain::time::Span;
use crate::domain::variable::image_variable;
use crate::runner::probe::find_program;
use crate::runner::registry::{CLIENT, READ_BACK, Registry};
use crate::runner::{Job, Limits, Program, Sandbox, Stops};
use crate::secret::Asking;
use crate::service::steps::{KeptLog, PATH, StepsEnd, Workplace};
use crate::service::{Service, blocking};
use crate::trouble::{Outcome, Trouble};

/// Largest manifest that is read back; registries take 4 MiB.
const MANIFEST_BYTES: u64 = 4 * 1024 * 1024;

/// An image of a release, and the name of its artifact.
fn images(release: &Release) -> impl Iterator<Item = (&str, &Image)> {
    release.artifacts.iter().filter_map(|sealed| Some((sealed.alias.as_str(), sealed.image.as_ref()?)))
}

/// The environment of a stage, as the strictest rules have it.
fn environment_of<'r>(release: &'r Release, stage: &'r Stage) -> &'r EnvironmentName {
    release.rule(&stage.name).map_or(&stage.environment, |rule| &rule.environment)
}

impl Service {
    fn registry(&self, image: &Image, environment: &EnvironmentName) -> Option<&Registry> {
        self.settings().registries.iter().find(|registry| registry.takes(&image.name, environment))
    }

    /// What a stage's commands are told of the images: `LIFTLOCK_IMAGE_SDK=ghcr.io/acme/sdk@sha256:…`, never a tag.
    pub(super) fn image_variables(&self, release: &Release, stage: &Stage) -> BTreeMap<String, String> {
        let environment = environment_of(release, stage);
        let told = images(release).filter_map(|(alias, image)| {
            let registry = self.registry(image, environment)?;
            Some((image_variable(alias), registry.reference(&image.name, &image.manifest)))
        });
        told.collect()
    }

    /// Why the images of a release cannot be pushed for this stage, found before anything of it has happened.
    pub(super) fn no_registry(&self, asking: Asking<'_>, release: &Release, stage: &Stage) -> Option<String> {
        let environment = environment_of(release, stage);
        let missing = images(release).find_map(|(alias, image)| match self.registry(image, environment) {
            None => Some(match image.name.host() {
                Some(host) => format!(
                    "the server does not know the registry {host} of the image {alias}; add a [[registry]] to its config"
                ),
                None => format!(
                    "the server has no registry for the image {alias} in {environment}; add a [[registry]] with \
                     environment = \"{environment}\" to its config"
                ),
            }),
            Some(registry) if !registry.allows(asking) => {
                Some(asking.not_of(&format!("the registry {}", registry.address)))
            }
            Some(_) => None,
        });
        missing.or_else(|| {
            let lacks = images(release).next().is_some() && find_program(CLIENT, PATH).is_none();
            lacks.then(|| format!("images are pushed by `{CLIENT}`, which is not on the server's machine"))
        })
    }

    /// Pushes every image of the release for this stage, from the checked layouts among its artifacts, unless only its
    /// tests are asked for again. Pushing what is there already moves nothing.
    pub(super) async fn push_images(
        &self,
        (release, stage): (&Release, &Stage),
        place: &Workplace,
        kept: &mut KeptLog,
        stops: &Stops,
    ) -> Outcome<StepsEnd> {
        if release.run(&stage.name).is_some_and(|run| run.kind == RunKind::Verify) {
            return Ok(StepsEnd::Passed);
        }
        let (folder, work) = (&*place.grounds().artifacts(), &*place.path("registry"));
        let environment = environment_of(release, stage);
        let tag = tag_of(&release.created.version);
        for (alias, image) in images(release) {
            let Some(registry) = self.registry(image, environment) else {
                return Ok(failed(alias, format!("there is no registry for it in {environment}")));
            };
            let (own, login) = (work.to_owned(), registry.clone());
            blocking(move || login.prepare(&own)).await?;
            let place = registry.place(&image.name);
            kept.log.note(&format!("image {alias} goes to {place}:{tag}")).await;
            let client = Client { registry, work, wall: stage.timeout };
            let push = registry.push(alias, &image.name, &tag);
            let end = self.ask_registry((alias, push), (&client, folder), kept, stops).await?;
            if end != StepsEnd::Passed {
                return Ok(end);
            }
            let read = registry.read_back(&format!("{place}:{tag}"));
            let end = self.ask_registry((alias, read), (&client, work), kept, stops).await?;
            if end != StepsEnd::Passed {
                return Ok(end);
            }
            let there = read_back(work).await?;
            if there != image.manifest {
                let how = format!("{place}:{tag} is {there} there, and {} was sealed", image.manifest);
                kept.log.note(&format!("image {alias}: {how}")).await;
                return Ok(failed(alias, how));
            }
            kept.log.note(&format!("image {alias} is {place}@{there}, read back")).await;
        }
        Ok(StepsEnd::Passed)
    }

    async fn ask_registry(
        &self,
        (alias, program): (&str, Program),
        (client, tree): (&Client<'_>, &Path),
        kept: &mut KeptLog,
        stops: &Stops,
    ) -> Outcome<StepsEnd> {
        let job = Job {
            program,
            tree: tree.to_owned(),
            folder: std::path::PathBuf::new(),
            environment: Registry::environment(client.work, PATH),
            limits: Limits { wall: client.wall, ..Limits::default() },
            sandbox: Sandbox::Plain,
        };
        let report = self.runner().run(&job, &mut kept.log, stops).await?;
        let host = client.registry.host();
        let how = self.mask().apply(&format!("{CLIENT} for {host} {}", report.ended));
        Ok(StepsEnd::of_process(&report.ended, || failure(alias, how, report.tail)))
    }
}

/// A registry and the folder with what its client reads.
struct Client<'a> {
    registry: &'a Registry,
    work: &'a Path,
    wall: Span,
}

fn failure(alias: &str, how: String, tail: Vec<String>) -> Failure {
    Failure { step: format!("push the image {alias}"), how, tail }
}

fn failed(alias: &str, how: String) -> StepsEnd {
    StepsEnd::Failed(failure(alias, how, Vec::new()))
}

/// The digest of what the registry gave back.
pub(super) async fn read_back(work: &Path) -> Outcome<Digest> {
    let path = work.join(READ_BACK);
    blocking(move || {
        let fail = |e| Trouble::transient("read what the registry has").because(e);
        if std::fs::metadata(&path).map_err(fail)?.len() > MANIFEST_BYTES {
            return Err(Trouble::refused("the registry gave back more than any manifest has"));
        }
        Ok(Digest::of_bytes(&std::fs::read(&path).map_err(fail)?))
    })
    .await
}
