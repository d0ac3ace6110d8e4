//! The registry of builds, from the folded logs of all pipelines.

use std::collections::BTreeSet;

use crate::domain::event::Sealed;
use crate::domain::evidence;
use crate::domain::name::PipelineId;
use crate::domain::release::{BuildState, Release, ReleaseState};
use crate::domain::reuse::TakenOver;
use crate::domain::state::State;
use crate::domain::time::Timestamp;
use crate::domain::view::build_status;
use crate::http::builds::{BuildRow, WhichBuilds};
use crate::http::view::{ArtifactLine, BuildBox, Light, MadeLine, ReusedLine};
use crate::service::Service;
use crate::trouble::{Outcome, Trouble};

/// How far the build of a release is.
pub(super) fn standing(state: &State, release: &Release) -> BuildBox {
    let (word, light) = match &release.build {
        BuildState::Waiting => ("waiting", Light::Waiting),
        BuildState::Running { .. } => ("building", Light::Moving),
        BuildState::Sealed if release.reused.is_some() => ("taken over", Light::Good),
        BuildState::Sealed => ("sealed", Light::Good),
        BuildState::Failed(_) => ("failed", Light::Bad),
        BuildState::NotNeeded => ("not needed", Light::Off),
    };
    BuildBox { state: word.to_owned(), light, line: build_status(state, release).description }
}

/// The newest builds that were sealed.
pub(super) async fn rows(service: &Service, which: &WhichBuilds) -> Outcome<Vec<BuildRow>> {
    let before = which.before.as_deref().map(|text| {
        Timestamp::parse(text)
            .ok_or_else(|| Trouble::refused(format!("`{text}` is not a time, as the page before says it")))
    });
    let before = before.transpose()?;
    let mut rows: Vec<BuildRow> = Vec::new();
    for pipeline in service.store().pipelines().await? {
        if which.stream.as_ref().is_some_and(|stream| *stream != pipeline.stream) {
            continue;
        }
        let Ok(id) = pipeline.stream.parse::<PipelineId>() else { continue };
        let state = service.journal().load(&id).await?;
        let wanted = state.releases.values().rev().filter(|r| r.build == BuildState::Sealed);
        let wanted = wanted.filter(|r| before.is_none_or(|before| r.at < before)).take(which.rows());
        rows.extend(wanted.map(|release| row(release, &id, &pipeline.repo_name)));
    }
    rows.sort_by(|a, b| (b.at, &b.stream, b.no).cmp(&(a.at, &a.stream, a.no)));
    rows.truncate(which.rows());
    Ok(rows)
}

fn row(release: &Release, id: &PipelineId, repo: &str) -> BuildRow {
    let created = &release.created;
    let own = created.channel.iter().map(ToString::to_string);
    let channels: BTreeSet<String> = own.chain(release.listed.keys().map(ToString::to_string)).collect();
    let state = release.state();
    BuildRow {
        repo: repo.to_owned(),
        stream: id.to_string(),
        pipeline: id.name.to_string(),
        no: created.release.0.get(),
        version: created.version.to_string(),
        number: created.names.build_number.clone(),
        commit: created.commit.to_string(),
        branch: created.branch.to_string(),
        reused: release.reused.as_ref().map(|over| reused(id, over)),
        artifacts: release.artifacts.iter().map(|sealed| artifact(release, sealed)).collect(),
        channels: channels.into_iter().collect(),
        released: state == ReleaseState::Released,
        state: state.word().to_owned(),
        at: release.at,
    }
}

/// Where the artifacts of a release are from that nothing was built for.
pub(super) fn reused(id: &PipelineId, over: &TakenOver) -> ReusedLine {
    ReusedLine {
        of: over.by.to_string(),
        path: over.path(id),
        commit: over.commit.to_string(),
        tree: over.tree.as_ref().map(ToString::to_string),
    }
}

/// A sealed artifact, as pages show it.
pub(super) fn artifact(release: &Release, sealed: &Sealed) -> ArtifactLine {
    let made = release.made(&sealed.alias).map(|(revision, made)| MadeLine {
        stage: revision.stage.to_string(),
        step: made.step.clone(),
        was: made.was.as_ref().map(ToString::to_string),
    });
    ArtifactLine {
        made,
        alias: sealed.alias.to_string(),
        file: evidence::file_name(sealed),
        digest: sealed.digest.to_string(),
        size: sealed.size,
        image: sealed.image.as_ref().map(ToString::to_string),
        from: release.origin(&sealed.alias).map(ToString::to_string),
        ships: release.ships(sealed),
    }
}
