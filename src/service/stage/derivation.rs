//! Steps that make artifacts: what they find in their folder, and what of it is sealed.

use std::path::{Path, PathBuf};

use crate::artifact::pack::{self, Shape};
use crate::artifact::{image, store::Store};
use crate::domain::derivation::{Made, with};
use crate::domain::event::{Failure, Form, Sealed};
use crate::domain::image::Image;
use crate::domain::name::{Alias, Digest};
use crate::domain::pipeline::Step;
use crate::domain::variable::artifact_variable;
use crate::folder::{self, Access};
use crate::service::build::sealed;
use crate::service::stage::Walk;
use crate::service::steps::{KeptLog, StepsEnd};
use crate::service::{TREE_LIMITS, blocking};
use crate::trouble::{Outcome, Trouble};

/// The folder that a step puts in what it makes.
pub(super) const FOLDER: &str = "LIFTLOCK_SEAL";

impl Walk<'_> {
    /// Whether what a step makes is part of the release already: it is made once, so that no stage ships other bytes
    /// than those before it passed.
    pub(super) async fn has_made(&mut self, step: &Step, kept: &mut KeptLog) -> bool {
        let release = self.course.release;
        let Some(revision) =
            release.revised_in(&self.course.stage.name).filter(|_| !step.terms.makes.is_nothing())
        else {
            return false;
        };
        let name = kept.mask.apply(&step.name);
        let line = format!(
            "{name} is left out: {} has what it makes since attempt {}",
            release.created.version, revision.attempt
        );
        kept.log.note(&line).await;
        true
    }

    /// An empty folder for what a step makes, with copies of what it makes anew; none for a step that makes nothing.
    /// The inner error says that stored bytes are not what was sealed.
    pub(super) async fn seal_folder(
        &self,
        step: &Step,
        name: &str,
    ) -> Outcome<Result<Option<PathBuf>, StepsEnd>> {
        if step.terms.makes.is_nothing() {
            return Ok(Ok(None));
        }
        let folder = self.course.made.join(name);
        let made = folder.clone();
        blocking(move || folder::make(&made)).await?;
        for alias in &step.terms.makes.anew {
            let Some(old) = self.artifact(alias) else {
                let how = format!("did not start: this release has no artifact `{alias}` to make anew");
                return Ok(Err(StepsEnd::Failed(failure(step, how))));
            };
            let to = folder.join(alias.as_str());
            let handed = self.service.hand_out(self.course.release, old, (to, Access::Writable)).await?;
            if let Err(mismatch) = handed {
                return Ok(Err(StepsEnd::Failed(failure(step, mismatch))));
            }
        }
        Ok(Ok(Some(folder)))
    }

    /// Seals what a step that passed has put into its folder; the steps behind it find that.
    pub(super) async fn seal_made(
        &mut self,
        step: &Step,
        folder: &Path,
        kept: &mut KeptLog,
    ) -> Outcome<StepsEnd> {
        for alias in step.terms.makes.all() {
            let old = self.artifact(alias).cloned();
            let new = match self.seal(alias, (folder, old.as_ref())).await? {
                Ok(new) => new,
                Err(how) => return Ok(StepsEnd::Failed(failure(step, format!("made no `{alias}`: {how}")))),
            };
            let about = (self.course.id, Some(self.course.release.no()));
            self.service.warn_of_secrets(about, (folder, alias.as_str()), (kept, self.course.lease)).await?;
            let Some(old) = old else {
                kept.log.note(&format!("sealed {alias} as {} ({} bytes)", new.digest, new.size)).await;
                self.take_made(step, (new, None)).await?;
                continue;
            };
            if old.digest == new.digest {
                kept.log.note(&format!("artifact {alias} is as it was, {}", old.digest)).await;
                continue;
            }
            kept.log.note(&format!("sealed {alias} anew as {}; it was {}", new.digest, old.digest)).await;
            self.take_made(step, (new, Some(old))).await?;
        }
        Ok(StepsEnd::Passed)
    }

    fn artifact(&self, alias: &Alias) -> Option<&Sealed> {
        self.artifacts.iter().find(|sealed| sealed.alias == *alias)
    }

    /// The inner error says what is wrong with what the step has put there, as a sentence.
    async fn seal(
        &self,
        alias: &Alias,
        (folder, old): (&Path, Option<&Sealed>),
    ) -> Outcome<Result<Sealed, String>> {
        let epoch = u64::try_from(self.course.release.created.epoch_s).unwrap_or(0);
        let (store, folder, path) =
            (self.service.artifacts().clone(), folder.to_owned(), PathBuf::from(alias.as_str()));
        let is_image = old.is_some_and(|old| old.image.is_some());
        if folder.join(&path).symlink_metadata().is_err() {
            return Ok(Err(format!("nothing of that name is in `${FOLDER}`")));
        }
        let packed = blocking(move || pack_made(&store, (&folder, &path), is_image, epoch)).await;
        let (packed, manifest) = match packed {
            Ok(packed) => packed,
            Err(trouble) if trouble.is_transient() => return Err(trouble),
            Err(trouble) => return Ok(Err(format!("it could not be sealed: {}", trouble.chain()))),
        };
        let name = old.and_then(|old| old.image.as_ref()).map(|image| image.name.clone());
        let image = name.zip(manifest).map(|(name, manifest)| Image { name, manifest });
        let new = Sealed { image, ..sealed(alias, &packed) };
        let folder_now = packed.shape == Shape::Folder;
        if old.is_some_and(|old| (old.form == Form::Folder) != folder_now) {
            let (was, is) = if folder_now { ("file", "folder") } else { ("folder", "file") };
            return Ok(Err(format!("it was a {was} and is a {is}")));
        }
        Ok(Ok(new))
    }

    /// The artifact as the steps behind find it, and for the report.
    async fn take_made(&mut self, step: &Step, (new, old): (Sealed, Option<Sealed>)) -> Outcome<()> {
        let to = self.course.artifacts.join(new.alias.as_str());
        let gone = to.clone();
        blocking(move || make_room(&gone)).await?;
        let shown = to.display().to_string();
        let handed = self.service.hand_out(self.course.release, &new, (to, Access::ReadOnly)).await?;
        handed.map_err(Trouble::refused)?;
        self.environment.insert(artifact_variable(new.alias.as_str()), shown);
        let made =
            Made { was: old.map(|old| old.digest), sealed: new, step: self.service.mask().apply(&step.name) };
        self.artifacts = with(&self.artifacts, std::slice::from_ref(&made));
        self.news.made.push(made);
        Ok(())
    }
}

/// What was put there, packed into the store; and for an image, the digest of its manifest.
fn pack_made(
    store: &Store,
    (folder, path): (&Path, &Path),
    is_image: bool,
    epoch: u64,
) -> Outcome<(pack::Sealed, Option<Digest>)> {
    let manifest = is_image.then(|| image::read(folder, path)).transpose()?;
    Ok((pack::seal(store, folder, path, epoch, TREE_LIMITS)?, manifest))
}

/// Takes away what was handed out under the name before.
fn make_room(path: &Path) -> Outcome<()> {
    if !path.is_file() {
        return folder::remove(path);
    }
    std::fs::remove_file(path)
        .map_err(|e| Trouble::transient(format!("remove the file {}", path.display())).because(e))
}

pub(super) fn failure(step: &Step, how: String) -> Failure {
    Failure { step: step.name.clone(), how, tail: Vec::new() }
}
