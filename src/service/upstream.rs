//! Pipelines that take builds of other repositories: who they are, which of their builds a push there starts, and how
//! these ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::decide::Command;
use crate::domain::effect::To;
use crate::domain::join::{Abroad, Built, Expected, Listener, PushAbroad};
use crate::domain::manifest::Loaded;
use crate::domain::name::{CommitSha, PipelineId, PipelineName, RefName, ReleaseNo, RepoId, RepoName};
use crate::domain::release::Release;
use crate::domain::state::State;
use crate::domain::time::Timestamp;
use crate::secret::Asking;
use crate::service::Service;
use crate::service::intake::Heard;
use crate::service::join::built;
use crate::service::repository::named;
use crate::service::source::build_stage;
use crate::service::worker::{Lease, Result as Worked};
use crate::trouble::{Outcome, Trouble};
use crate::upstream::Upstream;

/// A push to a repository whose builds others take.
#[derive(Debug, Clone, Copy)]
struct PushThere<'a> {
    repo: &'a RepoId,
    commit: &'a CommitSha,
    seq: u64,
    /// What the branch is called where its builds are taken.
    branch: &'a RefName,
}

impl Service {
    /// What the server's config says of a name, for a pipeline that may take its builds.
    fn upstream(
        &self,
        repository: &str,
        pipeline: &PipelineName,
        name: &PipelineName,
    ) -> Outcome<Option<&Upstream>> {
        let stage = build_stage()?;
        let known = self.settings().upstreams.iter().find(|upstream| upstream.name == *name);
        Ok(known.filter(|upstream| upstream.allows(Asking { repository, pipeline, stage: &stage })))
    }

    /// The repository that declares a name, for a pipeline that may take its builds; a config that cannot be asked
    /// lets nobody take anything.
    pub(super) fn declares(
        &self,
        repository: &RepoName,
        (pipeline, name): (&PipelineName, &PipelineName),
    ) -> Option<RepoName> {
        let known = self.upstream(repository.as_str(), pipeline, name).ok().flatten();
        known.map(|upstream| upstream.repository.clone())
    }

    /// Notes which pipelines of other repositories take builds of this one, by their rules and the config as both are
    /// now.
    pub(super) async fn see_listeners(&self, id: &PipelineId, heard: &Heard<'_>) -> Outcome<()> {
        let known = self.journal().load(id).await?;
        let listeners = self.listeners(id).await?;
        if known.version == 0 || known.listeners.keys().eq(&listeners) {
            return Ok(());
        }
        self.tell_pipeline(id, &Command::SeeListeners(listeners), heard).await
    }

    async fn listeners(&self, id: &PipelineId) -> Outcome<BTreeSet<Listener>> {
        let repository = self.journal().name_of(&id.repo).await?;
        let ours =
            |upstream: &&Upstream| upstream.repository.as_str() == repository && upstream.pipeline == id.name;
        let called: Vec<&PipelineName> =
            self.settings().upstreams.iter().filter(ours).map(|upstream| &upstream.name).collect();
        let mut listeners = BTreeSet::new();
        if called.is_empty() {
            return Ok(listeners);
        }
        for state in self.pipelines(|_| true).await? {
            let taken = state.head.as_ref().and_then(|(_, head)| head.triggers.builds.as_ref());
            let Some(taken) = taken.filter(|taken| !taken.abroad.is_empty()) else { continue };
            for name in called.iter().filter(|name| taken.abroad.contains(**name)) {
                let listening = self.journal().name_of(&state.id.repo).await?;
                if self.upstream(&listening, &state.id.name, name)?.is_some() {
                    listeners.insert(Listener { pipeline: state.id.clone(), called: (*name).clone() });
                }
            }
        }
        Ok(listeners)
    }

    /// Has the pipelines whose builds a repository takes from others know it: its rules may name new ones.
    pub(super) async fn see_upstreams(
        &self,
        repository: &RepoName,
        loaded: &Loaded,
        heard: &Heard<'_>,
    ) -> Outcome<()> {
        let mut taken: Vec<&Upstream> = Vec::new();
        for pipeline in &loaded.pipelines {
            for name in pipeline.triggers.builds.iter().flat_map(|builds| &builds.abroad) {
                taken.extend(self.upstream(repository.as_str(), &pipeline.name, name)?);
            }
        }
        if taken.is_empty() {
            return Ok(());
        }
        let rows = self.store().repositories().await?;
        for upstream in taken {
            for row in rows.iter().filter(|row| row.name == upstream.repository.as_str()) {
                let repo =
                    row.repo_id.parse().map_err(|e| Trouble::bug("the row of a repository").because(e))?;
                self.see_listeners(&PipelineId { repo, name: upstream.pipeline.clone() }, heard).await?;
            }
        }
        Ok(())
    }

    /// Says to every pipeline of other repositories that takes builds of this one which of them a push starts, before
    /// any is started.
    pub(super) async fn expect_abroad(
        &self,
        repo: &RepoId,
        (commit, branch): (&CommitSha, &RefName),
        started: &[PipelineName],
        heard: &Heard<'_>,
    ) -> Outcome<()> {
        let mut told: BTreeSet<Listener> = BTreeSet::new();
        for name in started {
            let id = PipelineId { repo: repo.clone(), name: name.clone() };
            self.see_listeners(&id, heard).await?;
            told.extend(self.journal().load(&id).await?.listeners.keys().cloned());
        }
        if told.is_empty() {
            return Ok(());
        }
        let head = commit.clone();
        let seq = self.mirror(repo, move |mirror| mirror.first_parent_position(&head)).await?;
        let mut called: BTreeMap<PipelineId, BTreeSet<PipelineName>> = BTreeMap::new();
        for listener in told {
            called.entry(listener.pipeline).or_default().insert(listener.called);
        }
        for (id, called) in called {
            if let Some(there) = self.branch_at(repo, branch, &id.repo).await? {
                let push = PushThere { repo, commit, seq, branch: &there };
                self.expect_of(push, (&id, called), heard).await?;
            }
        }
        Ok(())
    }

    /// What a branch is called in another repository: default branches are each other's, others go by their names.
    async fn branch_at(&self, repo: &RepoId, branch: &RefName, to: &RepoId) -> Outcome<Option<RefName>> {
        let own = self.store().repository(repo.as_str()).await?.map(|row| row.default_branch);
        let theirs = self.store().repository(to.as_str()).await?.map(|row| row.default_branch);
        if own.as_deref() == Some(branch.as_str()) {
            return Ok(theirs.and_then(|name| name.parse().ok()));
        }
        // A branch of the same name as their default one is not that one.
        Ok(Some(branch.clone()).filter(|branch| theirs.as_deref() != Some(branch.as_str())))
    }

    /// Tells one pipeline, whose own branch says by which rule builds join.
    async fn expect_of(
        &self,
        push: PushThere<'_>,
        (id, called): (&PipelineId, BTreeSet<PipelineName>),
        heard: &Heard<'_>,
    ) -> Outcome<()> {
        let tip = push.branch.clone();
        let head = self.mirror(&id.repo, move |mirror| {
            let Some(head) = mirror.head_of(&tip)? else { return Ok(None) };
            let seq = mirror.first_parent_position(&head)?;
            Ok(Some((head, seq)))
        });
        let Some((head, seq)) = head.await? else { return Ok(()) };
        let name = self.journal().name_of(&id.repo).await?;
        let Ok(name) = name.parse::<RepoName>() else { return Ok(()) };
        // A head that does not load says so itself, on its own commit.
        let Ok(loaded) = self.declared(&id.repo, &name, &head).await? else { return Ok(()) };
        let Some(pipeline) = named(&loaded, &id.name) else { return Ok(()) };
        let Some(builds) = &pipeline.triggers.builds else { return Ok(()) };
        let started: BTreeSet<PipelineName> = called.intersection(&builds.abroad).cloned().collect();
        if started.is_empty() {
            return Ok(());
        }
        let expected = Expected {
            commit: push.commit.clone(),
            branch: push.branch.clone(),
            seq: push.seq,
            builds: builds.clone(),
            taking: pipeline.inherits.iter().map(|inherited| inherited.pipeline.clone()).collect(),
            started,
            abroad: Some(PushAbroad { repo: push.repo.clone(), head, seq }),
        };
        self.tell_pipeline(id, &Command::Expect(Box::new(expected)), heard).await
    }

    /// Tells a pipeline of another repository how a build ended.
    pub(super) async fn announce_abroad(
        &self,
        lease: &Lease,
        no: ReleaseNo,
        (to, abroad): (PipelineName, To),
    ) -> Worked {
        let id = lease.pipeline()?;
        let state = self.journal().load(&id).await?;
        let listener =
            Listener { pipeline: PipelineId { repo: abroad.repo, name: to }, called: abroad.called };
        let Some(since) = state.listeners.get(&listener).copied() else {
            return lease.complete(self, "it takes no builds of this pipeline any more").await;
        };
        let Some((built, ended)) = self.built_abroad(&state, no, &listener).await? else {
            return lease.complete(self, "it is being built again, or its branch is not known there").await;
        };
        if ended >= since {
            // What no push starts, a button's release or a train's, is announced when it is there.
            let push =
                PushThere { repo: &id.repo, commit: &built.commit, seq: built.seq, branch: &built.branch };
            let heard = Heard { cause: "a build of another repository", actor: "engine".to_owned() };
            self.expect_of(push, (&listener.pipeline, BTreeSet::from([listener.called.clone()])), &heard)
                .await?;
        }
        let command = Command::Hear(Box::new(built));
        match self.journal().decide(&listener.pipeline, &command, lease.done("told")).await? {
            Ok(_) => Ok(()),
            Err(refusal) => lease.complete(self, refusal.code()).await,
        }
    }

    /// A build as a pipeline of another repository hears of it, and when it ended.
    async fn built_abroad(
        &self,
        state: &State,
        no: ReleaseNo,
        listener: &Listener,
    ) -> Outcome<Option<(Built, Timestamp)>> {
        let id = &state.id;
        let Some(release) = state.release(no) else { return Ok(None) };
        let Some(built) = built(id, release) else { return Ok(None) };
        let Some(branch) = self.branch_at(&id.repo, &built.branch, &listener.pipeline.repo).await? else {
            return Ok(None);
        };
        let Ok(repository) = self.journal().name_of(&id.repo).await?.parse() else { return Ok(None) };
        let pipeline = &release.created.pipeline;
        let paths = pipeline.artifacts.iter().map(|artifact| (artifact.alias.clone(), artifact.path.clone()));
        let withheld = built.outcome.iter().flatten().filter(|sealed| !release.ships(sealed));
        let abroad = Abroad {
            pipeline: id.clone(),
            repository,
            paths: paths.collect(),
            withheld: withheld.map(|sealed| sealed.alias.clone()).collect(),
        };
        let (pipeline, abroad) = (listener.called.clone(), Some(abroad));
        let ended = release.built_at.unwrap_or(release.at);
        Ok(Some((Built { pipeline, branch, channel: None, abroad, ..built }, ended)))
    }

    /// The pipelines of everything that a release is made of, in whatever repository.
    pub(super) async fn states_below(
        &self,
        id: &PipelineId,
        release: &Arc<Release>,
    ) -> Outcome<BTreeMap<PipelineId, Arc<State>>> {
        let mut states: BTreeMap<PipelineId, Arc<State>> = BTreeMap::new();
        let mut met = BTreeSet::new();
        let mut open = vec![(id.repo.clone(), Arc::clone(release))];
        while let Some((repo, release)) = open.pop() {
            for build in &release.created.builds {
                let id = build.pipeline_in(&repo);
                if !met.insert((id.clone(), build.release)) {
                    continue;
                }
                let state = self.journal().load(&id).await?;
                let input = state.release(build.release).cloned();
                open.extend(input.map(|input| (id.repo.clone(), input)));
                states.insert(id, state);
            }
        }
        Ok(states)
    }
}
