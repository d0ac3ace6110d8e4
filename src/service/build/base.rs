//! The image that a build's commands run in: taken from a registry by digest, unpacked once, and kept for the next.
//!
//! What is kept is under its digest and never changes; a build sees it read-only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::domain::image::Base;
use crate::domain::name::{Digest, PipelineId};
use crate::runner::probe::find_program;
use crate::runner::registry::{CLIENT, Registry, UNPACKER};
use crate::runner::{Ended, Job, Limits, Program, Sandbox, Stops};
use crate::secret::Asking;
use crate::service::build::cache::{Cache, Held};
use crate::service::source::build_stage;
use crate::service::steps::{KeptLog, PATH, Workplace};
use crate::service::{Service, blocking};
use crate::trouble::{Outcome, Trouble};

/// So many images are kept. A .NET SDK unpacks to a gigabyte.
const KEPT: usize = 8;
/// The tree of an image, in the folder that its unpacker made.
const ROOT: &str = "rootfs";
/// What a sandbox puts into every root; an image in which one of them is something else is not run.
const PLACES: [&str; 4] = ["proc", "dev", "tmp", "build"];

/// An image that is ready to be used; it is kept at least as long as this.
#[derive(Debug)]
pub(super) struct Unpacked {
    /// Its tree.
    pub(super) root: PathBuf,
    /// The variables that it says its programs want.
    pub(super) environment: BTreeMap<String, String>,
    _held: Held,
}

/// What the unpacker writes beside the tree, as far as it is read.
#[derive(Deserialize)]
struct Bundle {
    process: Process,
}

#[derive(Deserialize)]
struct Process {
    #[serde(default)]
    env: Vec<String>,
}

impl Service {
    /// The image, from the cache or from its registry; the inner error is why it cannot be had here.
    pub(super) async fn base_image(
        &self,
        (id, base): (&PipelineId, &Base),
        place: &Workplace,
        kept: &mut KeptLog,
        stops: &Stops,
    ) -> Outcome<Result<Unpacked, String>> {
        let name = self.journal().name_of(&id.repo).await?;
        let stage = build_stage()?;
        let asking = Asking { repository: name.as_str(), pipeline: &id.name, stage: &stage };
        let host = base.name.host().unwrap_or_default();
        let known = self.settings().registries.iter().filter(|registry| registry.host() == host);
        let Some(registry) = known.clone().find(|registry| registry.allows(asking)) else {
            return Ok(Err(if known.count() == 0 {
                format!(
                    "the server does not know the registry {host} of the image {base}; add a [[registry]] to its config"
                )
            } else {
                asking.not_of(&format!("the registry {host}"))
            }));
        };
        let images = Cache { root: self.settings().data.join("images"), most: KEPT };
        if let Some(unpacked) = in_cache(images.clone(), base.digest.clone()).await? {
            kept.log.note(&format!("image {base}, from the cache")).await;
            return Ok(Ok(unpacked));
        }
        if let Some(lacks) =
            [CLIENT, UNPACKER].into_iter().find(|program| find_program(program, PATH).is_none())
        {
            return Ok(Err(format!(
                "to run in an image takes `{lacks}`, which is not on the server's machine"
            )));
        }
        kept.log.note(&format!("image {base} is not in the cache; it is pulled")).await;
        let work = place.path("image");
        let (own, login) = (work.clone(), registry.clone());
        blocking(move || login.prepare(&own)).await?;
        for program in [registry.pull(base), Registry::unpack()] {
            if let Err(how) = self.fetch_part(program, &work, kept, stops).await? {
                return Ok(Err(format!("the image {base} cannot be had: {how}")));
            }
        }
        let (kept_in, digest) = (images.clone(), base.digest.clone());
        blocking(move || keep(&work.join("bundle"), &kept_in, &digest)).await?;
        match in_cache(images, base.digest.clone()).await? {
            Some(unpacked) => Ok(Ok(unpacked)),
            None => Err(Trouble::transient("the image was deleted again before it was used")),
        }
    }

    async fn fetch_part(
        &self,
        program: Program,
        work: &Path,
        kept: &mut KeptLog,
        stops: &Stops,
    ) -> Outcome<Result<(), String>> {
        let job = Job {
            program,
            tree: work.to_owned(),
            folder: PathBuf::new(),
            environment: Registry::environment(work, PATH),
            limits: Limits::default(),
            sandbox: Sandbox::Plain,
        };
        let report = self.runner().run(&job, &mut kept.log, stops).await?;
        let last = report.tail.last().map(|line| format!(": {line}")).unwrap_or_default();
        Ok(match report.ended {
            Ended::Exited(0) => Ok(()),
            ended @ (Ended::Exited(_)
            | Ended::Killed { .. }
            | Ended::TimedOut { .. }
            | Ended::Cancelled
            | Ended::Lost
            | Ended::OutputLimit { .. }) => Err(self.mask().apply(&format!("taking it {ended}{last}"))),
        })
    }
}

/// The image when it is kept here.
async fn in_cache(images: Cache, digest: Digest) -> Outcome<Option<Unpacked>> {
    blocking(move || {
        let Some(held) = images.take(&digest)? else { return Ok(None) };
        let text = std::fs::read(held.folder.join("config.json"))
            .map_err(|e| Trouble::transient("read an image of the cache").because(e))?;
        let bundle: Bundle = serde_json::from_slice(&text)
            .map_err(|e| Trouble::refused("the image's settings cannot be read").because(e))?;
        let pairs = bundle.process.env.iter().filter_map(|pair| pair.split_once('='));
        let environment = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Some(Unpacked { root: held.folder.join(ROOT), environment, _held: held }))
    })
    .await
}

/// Puts what was unpacked among the images.
fn keep(bundle: &Path, images: &Cache, digest: &Digest) -> Outcome<()> {
    let root = bundle.join(ROOT);
    for name in PLACES {
        let at = root.join(name);
        match std::fs::symlink_metadata(&at) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Err(Trouble::refused(format!("the image's /{name} is not a folder"))),
            Err(_) => std::fs::create_dir(&at).map_err(|e| Trouble::transient("keep an image").because(e))?,
        }
    }
    images.put(bundle, digest)
}
