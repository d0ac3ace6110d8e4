//! What pipelines of one repository tell each other: which builds a push starts, how they ended, and what they make.

use std::collections::BTreeSet;

use crate::domain::decide::Command;
use crate::domain::derivation::FIRST;
use crate::domain::event::{Detail, StartedBy};
use crate::domain::join::{Built, Expected, Line};
use crate::domain::manifest::Loaded;
use crate::domain::name::{CommitSha, PipelineId, PipelineName, RefName, ReleaseNo};
use crate::domain::pipeline::Pipeline;
use crate::domain::refusal::Refusal;
use crate::domain::release::{BuildState, Release};
use crate::domain::trust::{Distrust, distrust};
use crate::forge::Repository;
use crate::service::Service;
use crate::service::intake::Heard;
use crate::service::repository::named;
use crate::service::worker::{Lease, Result as Worked};
use crate::trouble::{Outcome, Trouble};

impl Service {
    /// Says to every pipeline that listens to builds which of them this push starts, before it starts any.
    pub(super) async fn expect_builds(
        &self,
        repository: &Repository,
        (commit, branch): (&CommitSha, &RefName),
        (loaded, started): (&Loaded, &[PipelineName]),
        heard: &Heard<'_>,
    ) -> Outcome<()> {
        for pipeline in &loaded.pipelines {
            let Some(builds) = &pipeline.triggers.builds else { continue };
            let started: BTreeSet<PipelineName> =
                builds.from.iter().filter(|name| started.contains(name)).cloned().collect();
            if started.is_empty() {
                continue;
            }
            let head = commit.clone();
            let seq = self.mirror(&repository.id, move |mirror| mirror.first_parent_position(&head)).await?;
            let push = Expected {
                commit: commit.clone(),
                branch: branch.clone(),
                seq,
                builds: builds.clone(),
                taking: pipeline.inherits.iter().map(|inherited| inherited.pipeline.clone()).collect(),
                started,
                abroad: None,
            };
            let id = PipelineId { repo: repository.id.clone(), name: pipeline.name.clone() };
            self.tell_pipeline(&id, &Command::Expect(Box::new(push)), heard).await?;
        }
        Ok(())
    }

    /// Tells a pipeline how a build of another one ended.
    pub(super) async fn announce(&self, lease: &Lease, no: ReleaseNo, to: PipelineName) -> Worked {
        let id = lease.pipeline()?;
        let state = self.journal().load(&id).await?;
        let Some(built) = state.release(no).and_then(|release| built(&id, release)) else {
            return lease.complete(self, "it is being built again").await;
        };
        let to = PipelineId { repo: id.repo, name: to };
        match self.journal().decide(&to, &Command::Hear(Box::new(built)), lease.done("told")).await? {
            Ok(_) => Ok(()),
            Err(refusal) => lease.complete(self, refusal.code()).await,
        }
    }

    /// Why a branch may not release a pipeline, by what the default branch declares now.
    async fn distrusts(
        &self,
        repository: &Repository,
        (pipeline, branch): (&Pipeline, &RefName),
    ) -> Outcome<Option<Distrust>> {
        let default = &repository.default_branch;
        if branch == default {
            return Ok(None);
        }
        let declared = self.declared_at_head(repository).await?;
        let unread =
            || Trouble::transient(format!("the manifest on {default} does not load, which says who joins"));
        let (_, head) = declared.ok_or_else(unread)?;
        Ok(distrust(pipeline, &head.pipelines, (branch, default)))
    }

    /// Makes the release that builds of other pipelines join into.
    pub(super) async fn join(&self, lease: &Lease, line: Line) -> Worked {
        let id = lease.pipeline()?;
        let state = self.journal().load(&id).await?;
        let now = self.store().here();
        let (joins, _) = state.joins();
        let Some(join) = joins.into_iter().find(|join| join.line == line && join.at <= now) else {
            return lease.complete(self, "nothing joins").await;
        };
        let Some(repository) = self.configured(&id.repo).await? else {
            return lease.complete(self, "the server's config does not name this repository").await;
        };
        let loaded = match self.declared(&id.repo, &repository.name, &join.commit).await? {
            Ok(loaded) => loaded,
            Err(problems) => {
                return lease.complete(self, &format!("the manifest does not load: {problems}")).await;
            }
        };
        let Some(pipeline) = named(&loaded, &id.name) else {
            return lease.complete(self, "its commit does not declare this pipeline").await;
        };
        if let Some(why) = self.distrusts(&repository, (pipeline, &line.branch)).await? {
            return lease.complete(self, &why.to_string()).await;
        }
        let mut start =
            self.gather((&repository, &state), (&join.commit, &line.branch), (pipeline, &loaded)).await?;
        let newest = join.builds.iter().max_by_key(|build| (build.seq, build.release));
        start.initiator = newest.and_then(|build| build.initiator.clone());
        start.pusher = newest.and_then(|build| build.pusher.clone());
        start.started_by = StartedBy::Builds(line);
        start.project = repository.name.to_string();
        match self.journal().decide(&id, &Command::Start(Box::new(start)), lease.done("made")).await? {
            Ok(_) => Ok(()),
            // Another build came in while this was gathered.
            Err(Refusal::Stale) => Err(Trouble::conflict("other builds join by now")),
            Err(refusal) => lease.complete(self, refusal.code()).await,
        }
    }
}

/// How a release's build ended, once it has.
pub(super) fn built(id: &PipelineId, release: &Release) -> Option<Built> {
    let outcome = match &release.build {
        BuildState::Waiting | BuildState::Running { .. } => return None,
        // What its stages make is theirs: a build is told of once, and the same whenever that is.
        BuildState::Sealed => Ok(release.at_revision(FIRST).artifacts.clone()),
        BuildState::NotNeeded => Err("a newer release contains its commit".to_owned()),
        BuildState::Failed(Detail::Failed(failure)) => Err(format!("{}: {}", failure.step, failure.how)),
        BuildState::Failed(Detail::Reason(why)) => Err(why.clone()),
        BuildState::Failed(
            Detail::None | Detail::Fence(_) | Detail::By { .. } | Detail::Newer(_) | Detail::Took(_),
        ) => Err("it failed".to_owned()),
    };
    let created = &release.created;
    Some(Built {
        pipeline: id.name.clone(),
        release: created.release,
        version: created.version.clone(),
        commit: created.commit.clone(),
        branch: created.branch.clone(),
        seq: created.seq,
        channel: created.channel.clone(),
        initiator: created.initiator.clone(),
        pusher: created.pusher.clone(),
        outcome,
        abroad: None,
        of: created.builds.iter().flat_map(|build| build.made_of(&id.repo)).collect(),
    })
}
