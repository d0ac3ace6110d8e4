//! Steps that gather: the files of the release and of what it is made of, laid out in one folder with a list.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::artifact::file::write_synced;
use crate::artifact::hashing::{Sum512, copy};
use crate::domain::gather::{self, Drop, Gather, Laid, MANIFEST};
use crate::domain::pipeline::Step;
use crate::domain::release::Release;
use crate::folder::{self, Access};
use crate::service::blocking;
use crate::service::stage::Walk;
use crate::service::stage::derivation::failure;
use crate::service::steps::{KeptLog, StepsEnd};
use crate::trouble::{Outcome, Trouble};

impl Walk<'_> {
    /// Lays out the drop in the place of the artifact that the step makes.
    pub(super) async fn gather(
        &self,
        (step, what): (&Step, Gather),
        folder: &Path,
        kept: &mut KeptLog,
    ) -> Outcome<StepsEnd> {
        let Some(alias) = step.terms.makes.further.first() else { return Ok(StepsEnd::Passed) };
        let course = self.course;
        // With what the steps before it have made.
        let release = Arc::new(Release { artifacts: self.artifacts.clone(), ..course.release.clone() });
        let states = self.service.states_below(course.id, &release).await?;
        let drop = match gather::gather((course.id, &release), what, &states) {
            Ok(drop) => drop,
            Err(why) => return Ok(StepsEnd::Failed(failure(step, why))),
        };
        let root = folder.join(alias.as_str());
        for part in &drop.parts {
            for asset in &part.assets {
                let to = (root.join(&asset.path), Access::Writable);
                if let Err(mismatch) = self.service.hand_out(&part.release, &asset.sealed, to).await? {
                    return Ok(StepsEnd::Failed(failure(step, mismatch)));
                }
                let (pipeline, version) = (&part.pipeline, &part.release.created.version);
                kept.log
                    .note(&format!("{} of {pipeline} {version} in {}", asset.sealed.alias, asset.path))
                    .await;
            }
        }
        for (pipeline, version, instead) in &drop.left_out {
            kept.log
                .note(&format!("{pipeline} {version} is left out: {instead} is nearer to the release"))
                .await;
        }
        let count = blocking(move || list(&root, &drop)).await?;
        kept.log.note(&format!("{count} files in {MANIFEST}")).await;
        Ok(StepsEnd::Passed)
    }
}

/// Writes the list of what lies there, and says how long it is.
fn list(root: &Path, drop: &Drop) -> Outcome<usize> {
    let fail =
        |e: io::Error| Trouble::transient(format!("list what was gathered in {}", root.display())).because(e);
    let laid = laid(root).map_err(fail)?;
    folder::make(root)?;
    let text = format!("{:#}\n", drop.manifest(&laid));
    write_synced(&root.join(MANIFEST), text.as_bytes(), 0o644)?;
    Ok(laid.len())
}

/// Every file below a folder; links are not followed, because what they lead to is there by its own name.
fn laid(root: &Path) -> io::Result<BTreeSet<Laid>> {
    let mut all = BTreeSet::new();
    let mut open: Vec<PathBuf> = root.exists().then(|| root.to_owned()).into_iter().collect();
    while let Some(folder) = open.pop() {
        for entry in folder.read_dir()? {
            let path = entry?.path();
            let kind = path.symlink_metadata()?.file_type();
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() {
                let mut sum = Sum512::default();
                let size = copy(&mut File::open(&path)?, &mut sum)?;
                let below = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                all.insert(Laid { path: below, size, sha512: sum.hex() });
            }
        }
    }
    Ok(all)
}
