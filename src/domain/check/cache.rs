//! What a good answer holds for besides its question: with `by: artifacts`, for other releases too, while everything
//! that the command could see of them is the same.

use serde_json::json;

use crate::domain::check::{BuiltIn, Check, CheckKind, Reuse};
use crate::domain::derivation::FIRST;
use crate::domain::name::{Digest, StageName};
use crate::domain::release::{Release, StageRun};

impl CheckKind {
    /// Whether what it answers follows from the release's bytes and what a command is told: what is asked of the
    /// outside world is another answer tomorrow, and some looks ask for more than the bytes.
    pub fn follows_from_artifacts(&self) -> bool {
        match self {
            Self::Run(_) => true,
            Self::BuiltIn(what) => what.follows_from_bytes(),
            Self::Probe(_) => false,
        }
    }
}

impl Reuse {
    /// What both sources allow: an answer is taken over only where both would, and for the shorter time.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        match (self, other) {
            (Self::Digest, Self::Digest) => Self::Digest,
            (Self::Artifacts { max_age: ours }, Self::Artifacts { max_age: theirs }) => {
                Self::Artifacts { max_age: ours.min(theirs) }
            }
            (Self::Digest | Self::Artifacts { .. } | Self::Never, _) => Self::Never,
        }
    }
}

/// The key of an answer that may be taken over by other releases; nothing for any other check.
///
/// In it are the question, the sealed bytes as the run has them, and for a command the tree that it lies in, the other
/// repositories' commits, and its variables, groups, inputs and the names of its secrets. What differs between any two
/// releases is not in it: version, numbers and times; and neither is what the server's machine brings along.
pub fn key(release: &Release, (stage, run): (&StageName, &StageRun), check: &Check) -> Option<Digest> {
    if !matches!(check.reuse, Reuse::Artifacts { .. }) || !check.kind.follows_from_artifacts() {
        return None;
    }
    let seen = release.at_revision(run.revision.max(FIRST));
    let bytes: Vec<_> = seen.artifacts.iter().map(|sealed| (&sealed.alias, &sealed.digest)).collect();
    let (created, steps) = (&release.created, release.steps(stage));
    let told = match &check.kind {
        CheckKind::Run(_) => json!({
            "tree": created.tree,
            // Of an old log that knows no trees: the commit stands for its own.
            "commit": created.tree.is_none().then_some(&created.commit),
            "sources": release.sources,
            "inputs": created.inputs,
            "groups": release.groups,
            "variables": created.pipeline.variables,
            "of_stage": steps.map(|s| (&s.variables, &s.environment_variables, &s.secrets)),
        }),
        CheckKind::BuiltIn(BuiltIn::Sourcelink) => json!({"commits": release.commits()}),
        CheckKind::BuiltIn(_) | CheckKind::Probe(_) => json!(null),
    };
    let text = serde_json::to_string(&json!({"question": check.question(), "bytes": bytes, "told": told}));
    // These types always serialize; one that did not would merely be asked again.
    text.ok().map(|text| Digest::of_text(&text))
}
