//! `release.json`: what a release is, in one document for programs (CHECKLIST D37; schema in docs/release.schema.json).

use serde_json::{Value, json};

use crate::domain::event::{Approval, Sealed};
use crate::domain::evidence::file_name;
use crate::domain::name::PipelineName;
use crate::domain::release::{Release, StageRun};

/// The form of the document; a field may be added to it and never changes its meaning.
const FORM: u32 = 1;

/// The whole document; `repository` is the present name of the release's own.
pub fn document(release: &Release, pipeline: &PipelineName, repository: &str) -> Value {
    let created = &release.created;
    let components: Vec<Value> = std::iter::once(json!({
        "repository": repository, "commit": created.commit, "ref": created.branch,
    }))
    .chain(release.sources.iter().map(|found| {
        json!({
            "name": found.source.alias, "repository": found.source.repository, "commit": found.commit,
            "ref": found.source.reference,
        })
    }))
    .collect();
    let stages = created.pipeline.stages.iter().filter_map(|stage| {
        let runs = release.stages.get(&stage.name)?;
        let attempts: Vec<Value> = runs.iter().map(attempt).collect();
        Some(json!({"name": stage.name, "environment": stage.environment, "attempts": attempts}))
    });
    let over = release.reused.as_ref().map(|over| {
        json!({"of": over.by.to_string(), "commit": over.commit, "tree": over.tree, "terms": {"sha256": over.terms.hex()}})
    });
    json!({
        "form": FORM,
        "name": created.names.name,
        "version": created.version.to_string(),
        "number": created.release,
        "pipeline": pipeline,
        "commit": created.commit,
        "created": release.at.rfc3339(),
        "manifest": {"sha256": created.manifest.hex()},
        "digest": release.digest.as_ref().map(|digest| json!({"sha256": digest.hex()})),
        "components": components,
        "artifacts": release.artifacts.iter().map(|sealed| artifact(release, sealed)).collect::<Vec<_>>(),
        "reused": over,
        "stages": stages.collect::<Vec<_>>(),
        "channels": release.listed.keys().collect::<Vec<_>>(),
        "notes": release.notes.as_ref().map(|kept| &kept.text),
    })
}

/// The document as a file has it.
pub fn text(release: &Release, pipeline: &PipelineName, repository: &str) -> String {
    format!("{:#}\n", document(release, pipeline, repository))
}

fn artifact(release: &Release, sealed: &Sealed) -> Value {
    let mut out = json!({
        "name": sealed.alias,
        "file": file_name(sealed),
        "bytes": sealed.size,
        "shipping": release.ships(sealed),
        "digest": {"sha256": sealed.digest.hex()},
    });
    if let (Some(image), Some(fields)) = (&sealed.image, out.as_object_mut()) {
        let image = json!({"name": image.name.to_string(), "digest": image.manifest.to_string()});
        fields.insert("image".to_owned(), image);
    }
    if let (Some(build), Some(fields)) = (release.origin(&sealed.alias), out.as_object_mut()) {
        let version = build.version.to_string();
        let from = json!({"pipeline": build.pipeline, "version": version, "commit": build.commit});
        fields.insert("from".to_owned(), from);
    }
    if let (Some((revision, made)), Some(fields)) = (release.made(&sealed.alias), out.as_object_mut()) {
        let was = made.was.as_ref().map(|was| json!({"sha256": was.hex()}));
        fields.insert("made".to_owned(), json!({"stage": revision.stage, "step": made.step, "was": was}));
    }
    out
}

fn attempt(run: &StageRun) -> Value {
    let given = |approvals: &[Approval]| -> Vec<Value> {
        let said = approvals.iter().map(|approval| {
            json!({"by": approval.standing.person.login, "at": approval.at.rfc3339(), "team": approval.team})
        });
        said.collect()
    };
    let overrides = run
        .overrides
        .iter()
        .map(|passed| json!({"check": passed.check.word(), "by": passed.by.login, "reason": passed.reason}));
    let unchanged = run.walked.unchanged.iter().map(|(name, runs)| {
        json!({"deployment": name, "version": runs.version.to_string(), "since": runs.since.rfc3339()})
    });
    let mut out = json!({
        "attempt": run.attempt,
        "state": run.state.word(),
        "at": run.moved_at.rfc3339(),
        "approvals": given(&run.approvals),
        "signoffs": given(&run.signoffs),
        "overrides": overrides.collect::<Vec<_>>(),
    });
    let unchanged: Vec<Value> = unchanged.collect();
    if let (false, Some(fields)) = (unchanged.is_empty(), out.as_object_mut()) {
        fields.insert("unchanged".to_owned(), json!(unchanged));
    }
    out
}
