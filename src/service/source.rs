//! Other repositories: their commits are found before a release is built, and brought to the builds that take them.

use std::path::{Path, PathBuf};

use crate::domain::decide::{Command, Learned};
use crate::domain::event::{BuildOutcome, Failure};
use crate::domain::name::{PipelineId, ReleaseNo, StageName};
use crate::domain::source::{Found, MOVED_ON, Named};
use crate::domain::state::State;
use crate::domain::time::Span;
use crate::forge::gitea;
use crate::git::origin::Origin;
use crate::git::repo::Mirror;
use crate::secret::Asking;
use crate::service::intake::Heard;
use crate::service::worker::{Lease, Result as Worked};
use crate::service::{Service, TREE_LIMITS, blocking};
use crate::store::delivery::{Delivery, DeliveryState};
use crate::trouble::{Kind, Outcome, Trouble};

/// Longest that one of them may take to be fetched; a first fetch of a large repository takes minutes.
const FETCH_WITHIN: Span = Span::minutes(15);

/// The word that stands for the stage in an `allow` of something that builds are given.
const BUILD: &str = "build";

/// The same, as the stage that is asked about.
pub(super) fn build_stage() -> Outcome<StageName> {
    BUILD.parse().map_err(|e| Trouble::bug("the word for builds").because(e))
}

impl Service {
    /// Finds the commits of other repositories that a release takes, and puts them on the record.
    pub(super) async fn find_sources(&self, lease: &Lease, no: ReleaseNo, attempt: u32) -> Worked {
        let id = lease.pipeline()?;
        let state = self.journal().load(&id).await?;
        let release = state.release(no).ok_or_else(|| Trouble::bug("the release is gone"))?;
        let found = self.find_all(&id, &release.created.pipeline.sources, Public::No).await;
        let command = Command::Find { release: no, attempt, found };
        match self.journal().decide(&id, &command, lease.done("found")).await? {
            Ok(_) => Ok(()),
            Err(refusal) => lease.complete(self, refusal.code()).await,
        }
    }

    /// The commits of these now, or how a build ends for want of one.
    pub(super) async fn find_all(
        &self,
        id: &PipelineId,
        named: &[Named],
        only: Public,
    ) -> Result<Vec<Found>, BuildOutcome> {
        let mut found = Vec::with_capacity(named.len());
        for source in named {
            match self.find_one(id, source, only).await {
                Ok(one) => found.push(one),
                Err(trouble) => return Err(self.not_found(source, &trouble)),
            }
        }
        Ok(found)
    }

    async fn find_one(&self, id: &PipelineId, source: &Named, only: Public) -> Outcome<Found> {
        let origin = self.origin(id, source, only).await?;
        let (path, reference) = (self.source_mirror(&origin), source.reference.clone());
        let commit = blocking(move || {
            Mirror::open_or_init(&path)?.find_commit(&origin.remote, &reference, FETCH_WITHIN)
        });
        Ok(Found { source: source.clone(), commit: commit.await? })
    }

    /// Says of sources that have moved on since the newest release took them (row B33); whether that is worth a release
    /// is for people.
    pub(super) async fn watch_sources(
        &self,
        state: &State,
        heard: &Heard<'_>,
        watched: impl Fn(&Named) -> bool,
    ) -> Outcome<()> {
        let Some(release) = state.releases.values().next_back() else { return Ok(()) };
        for found in release.sources.iter().filter(|found| watched(&found.source)) {
            let now = match self.find_one(&state.id, &found.source, Public::No).await {
                Ok(now) => now,
                Err(trouble) => {
                    let source = found.source.to_string();
                    tracing::warn!(pipeline = %state.id, source, error = trouble.chain(), "cannot look at a source");
                    continue;
                }
            };
            if now.commit == found.commit {
                continue;
            }
            let text = format!(
                "{} is at {} now, and {} has {}. The next release takes it: push, or start one.",
                found.source,
                now.commit.short(),
                release.created.version,
                found.commit.short()
            );
            let (no, code) = (Some(release.no()), MOVED_ON.to_owned());
            let alarm = Command::Learn(Learned::Alarm { release: no, code, text });
            self.tell_pipeline(&state.id, &alarm, heard).await?;
        }
        Ok(())
    }

    /// Takes in what the host of other repositories told: a push to one that the config names makes the look at once that
    /// is otherwise taken every few minutes. What became of the delivery, and why.
    pub(super) async fn take_in_elsewhere(
        &self,
        delivery: &Delivery,
        cause: &str,
    ) -> Outcome<(DeliveryState, Option<String>)> {
        let ignored = |why: String| Ok((DeliveryState::Ignored, Some(why)));
        if delivery.event != gitea::PUSH {
            return ignored("only pushes say that a repository which releases take has moved on".to_owned());
        }
        let addresses = match gitea::pushed(delivery.body.as_deref().unwrap_or_default()) {
            Ok(addresses) => addresses,
            Err(why) => return Ok((DeliveryState::Poison, Some(why))),
        };
        let origins = &self.settings().origins;
        let Some(origin) = origins.iter().find(|origin| addresses.contains(&origin.name)) else {
            let addresses: Vec<String> = addresses.into_iter().collect();
            return ignored(format!(
                "no [[repository]] of the server's config is {}",
                addresses.join(" or ")
            ));
        };
        let heard = Heard { cause, actor: "host".to_owned() };
        for state in self.pipelines(|_| true).await? {
            self.watch_sources(&state, &heard, |source| source.repository == origin.name).await?;
        }
        Ok((DeliveryState::Done, None))
    }

    /// What passes may pass with the next try; what somebody has to put right first is a failed build.
    pub(super) fn not_found(&self, source: &Named, trouble: &Trouble) -> BuildOutcome {
        let how = self.mask().apply(&trouble.chain());
        match trouble.kind() {
            Kind::Refused | Kind::NotFound => BuildOutcome::Failed(Failure {
                step: format!("take the source {}", source.alias),
                how: format!("{source}: {how}"),
                tail: Vec::new(),
            }),
            Kind::Transient { .. } | Kind::Conflict | Kind::Bug => {
                BuildOutcome::Errored(format!("the source {}, {source}, cannot be read: {how}", source.alias))
            }
        }
    }

    /// The repository as the server's config knows it, for a pipeline that may have it.
    async fn origin(&self, id: &PipelineId, source: &Named, only: Public) -> Outcome<Origin> {
        let name = self.journal().name_of(&id.repo).await?;
        let stage = build_stage()?;
        let asking = Asking { repository: name.as_str(), pipeline: &id.name, stage: &stage };
        let known = self.settings().origins.iter().find(|origin| origin.name == source.repository);
        match known {
            None => Err(Trouble::refused(format!(
                "the server does not know it; add a [[repository]] with its address to the config, and \
                 allow = [\"{asking}\"]"
            ))),
            Some(origin) if !origin.allows(asking) => Err(Trouble::refused(format!(
                "it is not for {asking}; the `allow` of its [[repository]] in the server's config says for whom"
            ))),
            Some(origin) if only == Public::Yes && !origin.public => Err(Trouble::refused(
                "a pull request may not read it; `public = true` of its [[repository]] in the server's config says \
                 that anybody may",
            )),
            Some(origin) => Ok(origin.clone()),
        }
    }

    pub(super) fn source_mirror(&self, origin: &Origin) -> PathBuf {
        origin.mirror_path(&self.settings().data.join("mirrors"))
    }

    /// Writes the tree of a source to a folder, at its commit and no other.
    pub(super) async fn export_source(
        &self,
        id: &PipelineId,
        (found, only): (&Found, Public),
        to: &Path,
    ) -> Outcome<()> {
        let origin = self.origin(id, &found.source, only).await?;
        let (path, commit, to) = (self.source_mirror(&origin), found.commit.clone(), to.to_owned());
        blocking(move || {
            let mirror = Mirror::open_or_init(&path)?;
            mirror.bring_commit(&origin.remote, &commit, FETCH_WITHIN).map_err(|trouble| {
                let gone = matches!(trouble.kind(), Kind::NotFound | Kind::Refused);
                let what = format!("the commit {} of {} is gone there", commit.short(), origin.name);
                if gone { Trouble::not_found(what).because(trouble) } else { trouble }
            })?;
            if let Some(parent) = to.parent() {
                std::fs::create_dir_all(parent)
                    .map_err(|e| Trouble::transient("make a folder for sources").because(e))?;
            }
            mirror.export_tree(&commit, &to, TREE_LIMITS).map(|_| ())
        })
        .await
    }
}

/// Whether only what anybody may read is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Public {
    /// Only that: for what strangers wrote.
    Yes,
    /// Whatever the config allows.
    No,
}
