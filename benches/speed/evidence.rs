//! Signing what there is to prove of a release with many files: from the end of its build until all of it is kept.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use liftlock::clock;
use liftlock::domain::name::{PipelineId, RepoName};
use liftlock::forge::Forge;
use liftlock::forge::plain::payload::Delivery;
use liftlock::forge::plain::{Plain, RepositorySettings, Settings};
use liftlock::probe::guard::Allowed;
use liftlock::service::Service;

use crate::engine::Origin;
use crate::figure::{Fallible, Figure, Spread};
use crate::wire::{Hook, Wire};
use crate::world;

/// Releases of which the median is told.
const RELEASES: usize = 9;
/// Files of each, and bytes of one.
const FILES: usize = 100;
const FILE_BYTES: usize = 100_000;
/// Longest wait for a release.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) fn figures(folder: &Path) -> Fallible<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(all(folder))
}

/// Every file is an artifact of its own.
fn manifest() -> String {
    let mut text =
        "version: 1\nname: hello\nbuild: \"true\"\ndeploy: \"true\"\nstages: [one]\nartifacts:\n".to_owned();
    for no in 0..FILES {
        writeln!(text, "  - {{alias: file-{no}, path: dist/{no}}}").unwrap_or_default();
    }
    text
}

async fn all(folder: &Path) -> Fallible<Vec<Figure>> {
    let files: Vec<(String, Vec<u8>)> = (0..FILES)
        .map(|no| (no.to_string(), no.to_le_bytes().into_iter().cycle().take(FILE_BYTES).collect()))
        .collect();
    let origin = Origin::make(folder, &manifest(), &files)?;
    let name: RepoName = "hello".parse()?;
    let repositories =
        BTreeMap::from([(name.clone(), RepositorySettings { path: origin.bare(), default_branch: None })]);
    let plain: Arc<dyn Forge> =
        Arc::new(Plain::open(Settings { repositories, people: BTreeMap::new() }, clock::now)?);
    let hosts = BTreeMap::from([("plain", plain)]);
    let service = world::service(&folder.join("data"), hosts, Allowed::default()).await?;
    let stop = CancellationToken::new();
    let work = tokio::spawn(service.clone().work(stop.clone()));
    let address = world::listen(world::app(&service, stop.clone()), stop.clone()).await?;
    let mut wire = Wire::connect(address).await?;
    let mut took = Vec::new();
    for number in 0..=RELEASES {
        let (before, after) = origin.push(number)?;
        let told = Delivery::push(&name, "refs/heads/main", (before.as_str(), after.as_str()), None);
        let mut request = Vec::new();
        Hook::new("plain", told.event, told.body.as_bytes())?.write(&told.guid, &mut request);
        if wire.ask(&request).await? != 202 {
            return Err("the push was not accepted".into());
        }
        let ms = signed(&service, number + 1).await?;
        // The first makes the keys.
        if number > 0 {
            took.push(ms);
        }
    }
    stop.cancel();
    work.await?;
    service.store().close().await;
    let took = Spread::of(took)?;
    Ok(vec![Figure {
        what: "evidence of a release with 100 files",
        measured: took.show(0, "ms"),
        target: "< 200 ms",
        met: Some(took.median < 200.0),
        how: format!(
            "{RELEASES} releases of {FILES} files with {} KB each, from the end of the build to what was signed of it",
            FILE_BYTES / 1_000
        ),
    }])
}

/// Milliseconds from the end of the build of the n-th release until what was built is signed, as the log has them.
async fn signed(service: &Service, number: usize) -> Fallible<f64> {
    let id: PipelineId = "plain:hello/hello".parse()?;
    let number = u32::try_from(number)?;
    let began = clock::monotonic();
    let mut woken = service.store().woken();
    loop {
        woken.mark_unchanged();
        let mut at = BTreeMap::new();
        let mut version = 0;
        loop {
            let read = service.store().read(&id.to_string(), version, 1_000).await?;
            let Some(last) = read.events.last() else { break };
            version = last.version;
            for event in read.events.iter().filter(|event| event.release == Some(number)) {
                at.entry(event.kind.clone()).or_insert(event.at.0);
            }
        }
        if let (Some(built), Some(kept)) = (at.get("build_finished"), at.get("attested")) {
            return Ok((kept - built) as f64);
        }
        let wait = PATIENCE.saturating_sub(began.elapsed());
        if tokio::time::timeout(wait, woken.changed()).await.is_err() {
            return Err("nothing was signed".into());
        }
    }
}
