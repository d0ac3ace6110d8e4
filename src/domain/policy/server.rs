//! What the server asks of stages whatever their manifests say: the first source of policy (SEMANTICS §3).

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::glob::Glob;
use crate::domain::name::PipelineName;
use crate::domain::pipeline::{Pipeline, Stage};
use crate::domain::policy::stricter_stage;

/// Keys of a stage that a server may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// `approval`
    Approval,
    /// `approvals`
    Approvals,
    /// `soak`
    Soak,
    /// `trigger`
    Trigger,
    /// `windows`
    Windows,
    /// `override`
    Override,
    /// `gates`
    Gates,
    /// `verify`
    Verify,
}

impl Rule {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Approval,
        Self::Approvals,
        Self::Soak,
        Self::Trigger,
        Self::Windows,
        Self::Override,
        Self::Gates,
        Self::Verify,
    ];

    /// The key.
    pub fn word(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Approvals => "approvals",
            Self::Soak => "soak",
            Self::Trigger => "trigger",
            Self::Windows => "windows",
            Self::Override => "override",
            Self::Gates => "gates",
            Self::Verify => "verify",
        }
    }
}

/// What is asked of some stages; stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagePolicy {
    /// The stages, by name.
    pub stage: Glob,
    /// What of the stage below is asked; everything else of it means nothing.
    pub rules: BTreeSet<Rule>,
    /// A stage with those rules.
    pub asks: Box<Stage>,
}

/// What a server asks, and of whose stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerPolicy {
    /// The repositories, by their names on their host.
    pub repository: Glob,
    /// Their pipelines.
    pub pipeline: Glob,
    /// What is asked of their stages.
    pub stages: StagePolicy,
}

impl ServerPolicy {
    /// What is asked of the stages of this pipeline.
    pub fn of(&self, repository: &str, pipeline: &PipelineName) -> Option<&StagePolicy> {
        let mine = self.repository.matches(repository) && self.pipeline.matches(pipeline.as_str());
        mine.then_some(&self.stages)
    }
}

impl StagePolicy {
    /// The stage with what is asked of it: merged as two sources of policy are, so that it can only be stricter.
    fn on(&self, stage: &Stage) -> Stage {
        let mut asked = stage.clone();
        for rule in &self.rules {
            match rule {
                Rule::Approval => asked.approval.clone_from(&self.asks.approval),
                Rule::Approvals => {
                    asked.approval.clone_from(&self.asks.approval);
                    asked.signoff.clone_from(&self.asks.signoff);
                }
                Rule::Soak => asked.soak = self.asks.soak,
                Rule::Trigger => asked.start = self.asks.start,
                Rule::Windows => {
                    asked.windows.clone_from(&self.asks.windows);
                    asked.rollback_ignores_windows = self.asks.rollback_ignores_windows;
                }
                Rule::Override => asked.overriding.clone_from(&self.asks.overriding),
                Rule::Gates => asked.gates.clone_from(&self.asks.gates),
                Rule::Verify => asked.verify.clone_from(&self.asks.verify),
            }
        }
        stricter_stage(stage, Some(&asked))
    }
}

/// The pipeline with what the server asks of its stages; the same one when that is nothing.
pub fn tightened(pipeline: &Arc<Pipeline>, policies: &[StagePolicy]) -> Arc<Pipeline> {
    let meant = |stage: &Stage| policies.iter().any(|policy| policy.stage.matches(stage.name.as_str()));
    if !pipeline.stages.iter().any(meant) {
        return Arc::clone(pipeline);
    }
    let of = |stage: &Stage| {
        let mine = policies.iter().filter(|policy| policy.stage.matches(stage.name.as_str()));
        mine.fold(stage.clone(), |stage, policy| policy.on(&stage))
    };
    let stages = pipeline.stages.iter().map(of).collect();
    Arc::new(Pipeline { stages, ..Pipeline::clone(pipeline) })
}
