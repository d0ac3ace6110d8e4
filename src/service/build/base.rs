//! The image that a build's commands run in: taken from a registry by digest, unpacked once, and kept for the next.
//!
//! What is kept is under its digest and never changes; a build sees it read-only. Unpacking happens in a folder of the
//! build's own and is renamed when it is whole, so whoever dies half-way leaves nothing that looks complete.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde::Deserialize;

use crate::clock;
use crate::domain::image::Base;
use crate::domain::name::PipelineId;
use crate::folder;
use crate::runner::probe::find_program;
use crate::runner::registry::{CLIENT, Registry, UNPACKER};
use crate::runner::{Ended, Job, Limits, Program, Sandbox, Stops};
use crate::secret::Asking;
use crate::service::source::build_stage;
use crate::service::steps::{KeptLog, PATH, Workplace};
use crate::service::{Service, blocking};
use crate::trouble::{Outcome, Trouble};

/// So many images are kept; the one that was used longest ago goes first. A .NET SDK unpacks to a gigabyte.
const KEPT: usize = 8;
/// The tree of an image, in the folder that its unpacker made.
const ROOT: &str = "rootfs";
/// Taken by every build that uses the image, so that none is deleted below its feet.
const IN_USE: &str = "in-use";
/// What a sandbox puts into every root; an image in which one of them is something else is not run.
const PLACES: [&str; 4] = ["proc", "dev", "tmp", "build"];

/// An image that is ready to be used; it is kept at least as long as this.
#[derive(Debug)]
pub(super) struct Unpacked {
    /// Its tree.
    pub(super) root: PathBuf,
    /// The variables that it says its programs want.
    pub(super) environment: BTreeMap<String, String>,
    _in_use: File,
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
        let images = self.settings().data.join("images");
        let home = images.join(base.digest.hex());
        if let Some(unpacked) = in_cache(home.clone()).await? {
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
        blocking(move || keep(&work.join("bundle"), &images, &home)).await?;
        match in_cache(self.settings().data.join("images").join(base.digest.hex())).await? {
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

/// The image when it is kept here, held against deletion.
async fn in_cache(home: PathBuf) -> Outcome<Option<Unpacked>> {
    blocking(move || {
        let fail = |e| Trouble::transient("read an image of the cache").because(e);
        let in_use = match File::open(home.join(IN_USE)) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(fail(e)),
        };
        // Whoever takes it away is soon done, unless it was stopped over it: so this waits by being tried again.
        in_use.try_lock_shared().map_err(|e| fail(e.into()))?;
        // Whoever deletes takes the file away first: what is still there now stays until the lock is let go.
        if !home.join(IN_USE).exists() {
            return Ok(None);
        }
        let now = u64::try_from(clock::now().0).unwrap_or(0);
        in_use.set_modified(UNIX_EPOCH + Duration::from_millis(now)).map_err(fail)?;
        let text = std::fs::read(home.join("config.json")).map_err(fail)?;
        let bundle: Bundle = serde_json::from_slice(&text)
            .map_err(|e| Trouble::refused("the image's settings cannot be read").because(e))?;
        let pairs = bundle.process.env.iter().filter_map(|pair| pair.split_once('='));
        let environment = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Some(Unpacked { root: home.join(ROOT), environment, _in_use: in_use }))
    })
    .await
}

/// Puts what was unpacked among the images, and takes away the oldest that nobody uses.
fn keep(bundle: &Path, images: &Path, home: &Path) -> Outcome<()> {
    let fail = |e| Trouble::transient("keep an image").because(e);
    let root = bundle.join(ROOT);
    for name in PLACES {
        let at = root.join(name);
        match std::fs::symlink_metadata(&at) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Err(Trouble::refused(format!("the image's /{name} is not a folder"))),
            Err(_) => std::fs::create_dir(&at).map_err(fail)?,
        }
    }
    File::create(bundle.join(IN_USE)).map_err(fail)?;
    std::fs::create_dir_all(images).map_err(fail)?;
    if std::fs::rename(bundle, home).is_err() && !home.join(IN_USE).exists() {
        return Err(Trouble::transient(format!("put an image at {}", home.display())));
    }
    let mut others = Vec::new();
    for entry in std::fs::read_dir(images).map_err(fail)?.flatten() {
        let file = entry.path().join(IN_USE);
        let used = file.metadata().and_then(|meta| meta.modified());
        others.extend(used.ok().map(|used| (used, entry.path())));
    }
    others.sort();
    let surplus = others.len().saturating_sub(KEPT);
    for (_, path) in others.into_iter().filter(|(_, path)| path != home).take(surplus) {
        let Ok(file) = File::open(path.join(IN_USE)) else { continue };
        if file.try_lock().is_ok() {
            std::fs::remove_file(path.join(IN_USE)).map_err(fail)?;
            folder::remove(&path)?;
        }
    }
    Ok(())
}
