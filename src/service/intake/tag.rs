//! Tags that are pushed: which of them make releases, which only come back, and which were moved.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Governing, Heard, Push, Taken, manifest_key, manifest_status};
use crate::domain::decide::{Command, Learned};
use crate::domain::effect::StatusState;
use crate::domain::event::StartedBy;
use crate::domain::manifest::Loaded;
use crate::domain::markdown::inline_code;
use crate::domain::name::{CommitSha, PipelineName, RefName, RepoId};
use crate::domain::publication::tag::{is_final_name, tagged};
use crate::domain::publication::{Item, Publish};
use crate::domain::release::Release;
use crate::domain::state::State;
use crate::domain::tag::TagNow;
use crate::domain::trust::{Distrust, outdated};
use crate::domain::version::Version;
use crate::forge::Repository;
use crate::service::Service;
use crate::service::tag::now_of;
use crate::store::effect::OwedEffect;
use crate::trouble::Outcome;

impl Service {
    /// A tag makes a release of exactly its commit, when that is on the protected branch (THREATS T36).
    pub(super) async fn take_tag(
        &self,
        repository: &Repository,
        (tag, after): (&RefName, Option<&CommitSha>),
        push: &Push,
        heard: &Heard<'_>,
    ) -> Outcome<Taken> {
        self.fetch(repository, None, None).await?;
        let (wanted, branch) = (tag.clone(), repository.default_branch.clone());
        let (now, on_branch) = self
            .mirror(&repository.id, move |mirror| {
                let there = mirror.tags()?.into_iter().find(|t| t.name == wanted);
                let on = match &there {
                    Some(there) => mirror.leads_to(&branch, &there.commit)?,
                    None => false,
                };
                Ok((now_of(wanted, there.as_ref()), on))
            })
            .await?;
        self.notice_tag(&repository.id, &now, heard).await?;
        let Some(commit) = now.commit.filter(|_| after.is_some()) else { return Ok(Taken::default()) };
        if !on_branch {
            return Ok(Taken::ignored(format!("tag {tag} is not on {}", repository.default_branch)));
        }
        if self.is_made_from_outside(repository, tag, &commit).await? {
            return Ok(Taken::ignored(format!("tag {tag} is one that a release of another repository made")));
        }
        let states = self.pipelines_of(&repository.id).await?;
        for state in &states {
            if let Some(release) = state.releases.values().find(|r| is_final_name(r, tag, &commit)) {
                let version = &release.created.version;
                return Ok(Taken::ignored(format!("tag {tag} is the final name of {version}")));
            }
            // It was moved, which is an alarm by now and no reason to build.
            if let Some(release) = state.releases.values().find(|r| r.has_final_tag(tag)) {
                let (version, short) = (&release.created.version, release.created.commit.short());
                let why = format!("tag {tag} is the final name of {version}, which stays at {short}");
                return Ok(Taken::ignored(why));
            }
        }
        let loaded = match self.declared(&repository.id, &repository.name, &commit).await? {
            Ok(loaded) => loaded,
            Err(problems) => {
                let why = format!("the manifest does not load: {problems}");
                // Where no pipeline listens to such tags nobody meant a release, and an old commit stays as it is.
                let takes = |state: &Arc<State>| state.pipeline().is_some_and(|p| p.triggers.takes_tag(tag));
                if !states.is_empty() && !states.iter().any(takes) {
                    return Ok(Taken::ignored(why));
                }
                return Self::no_release((repository, &commit), &problems.to_string(), why);
            }
        };
        let loaded = match self.up_to_date((repository, &commit), tag, loaded).await? {
            Ok(loaded) => loaded,
            Err(Distrust::Unheard(why)) => return Ok(Taken::ignored(why)),
            Err(Distrust::Wider(why)) => return Self::no_release((repository, &commit), &why, why.clone()),
        };
        let takes = loaded.pipelines.iter().filter(|p| p.triggers.takes_tag(tag));
        let started: Vec<PipelineName> = takes.map(|p| p.name.clone()).collect();
        if !started.is_empty() && tag.as_str().parse::<Version>().is_err() {
            let why = no_version(tag, &loaded);
            return Self::no_release((repository, &commit), &why, why.clone());
        }
        let owed =
            if started.is_empty() { Vec::new() } else { self.tag_mended((repository, &commit), tag).await? };
        let at = (&commit, &repository.default_branch);
        self.expect_builds(repository, at, (&loaded, &started), heard).await?;
        for name in started {
            let by = StartedBy::Tag(tag.clone());
            self.start(repository, at, (name, &loaded), (push, by, heard)).await?;
        }
        Ok(Taken { ignored: None, owed })
    }

    /// What the commit of a tag declares, when nothing that takes the tag has more than the default branch gives it now.
    async fn up_to_date(
        &self,
        (repository, commit): (&Repository, &CommitSha),
        tag: &RefName,
        loaded: Loaded,
    ) -> Outcome<Result<Loaded, Distrust>> {
        let declared = match self.governing(repository, commit).await? {
            Governing::Head(declared) => declared,
            Governing::Itself | Governing::Nobody => return Ok(Ok(loaded)),
        };
        let mut takes = loaded.pipelines.iter().filter(|pipeline| pipeline.triggers.takes_tag(tag));
        let why = takes.find_map(|p| outdated(p, &declared.pipelines, &repository.default_branch));
        Ok(why.map_or(Ok(loaded), Err))
    }

    /// What an earlier tag of this commit was told is put right by one that makes a release.
    async fn tag_mended(&self, at: (&Repository, &CommitSha), tag: &RefName) -> Outcome<Vec<OwedEffect>> {
        let (repository, commit) = at;
        if self.store().effect(&manifest_key(&repository.id, commit)).await?.is_none() {
            return Ok(Vec::new());
        }
        let good = format!("Read at tag {}", inline_code(tag.as_str()));
        Ok(vec![manifest_status(at, (StatusState::Success, &good))?])
    }

    /// Whether a tag is one that a release which took builds of this repository made here (`uses: git-tags`). It asks for
    /// no release: two repositories could ask each other for ever.
    async fn is_made_from_outside(
        &self,
        repository: &Repository,
        tag: &RefName,
        commit: &CommitSha,
    ) -> Outcome<bool> {
        let made = self.tags_from_outside(repository).await?;
        Ok(made.contains(&(tag.to_string(), commit.to_string())))
    }

    /// The tags that releases of other repositories made here, each with its commit, as their ledgers name them. They are
    /// made where an `[[upstream]]` gives builds away, and only then are other repositories' logs read.
    pub(in crate::service) async fn tags_from_outside(
        &self,
        repository: &Repository,
    ) -> Outcome<BTreeSet<(String, String)>> {
        if !self.settings().upstreams.iter().any(|upstream| upstream.repository == repository.name) {
            return Ok(BTreeSet::new());
        }
        let here = tagged("", repository.name.as_str());
        let others = self.pipelines(|row| row.repo_id != repository.id.as_str()).await?;
        let releases = others.iter().flat_map(|state| state.releases.values());
        let items = releases.flat_map(|release| {
            [Publish::Tags, Publish::FinalTags].map(|publish| release.ledger.get(&publish))
        });
        let items = items.flatten().flat_map(|row| &row.items);
        let tag = |item: &Item| Some((item.name.strip_suffix(&here)?.to_owned(), item.is.clone()));
        Ok(items.filter_map(tag).collect())
    }

    /// A tag that a release already has may only stay where it is (THREATS T35).
    async fn notice_tag(&self, repo: &RepoId, now: &TagNow, heard: &Heard<'_>) -> Outcome<()> {
        let tag = &now.tag;
        for state in self.pipelines_of(repo).await? {
            let has = |release: &Release| {
                release.created.version.to_string() == tag.as_str() || release.has_final_tag(tag)
            };
            for release in state.releases.values().filter(|release| has(release)) {
                let learned = Learned::Tag { release: release.no(), now: now.clone() };
                self.tell_pipeline(&state.id, &Command::Learn(learned), heard).await?;
            }
        }
        Ok(())
    }
}

/// Why a tag that a pipeline listens to makes no release, with the name that would.
fn no_version(tag: &RefName, loaded: &Loaded) -> String {
    let taken = |version: &Version| {
        let name = version.to_string().parse();
        name.is_ok_and(|name| loaded.pipelines.iter().any(|p| p.triggers.takes_tag(&name)))
    };
    let near = Version::near(tag.as_str()).filter(taken);
    let instead = near.map_or_else(
        || "a tag such as `v1.4.2` is one".to_owned(),
        |near| format!("`{near}` would be one; push that tag"),
    );
    format!("Tag {} makes no release: it is no version; {instead}", inline_code(tag.as_str()))
}
