//! How far the steps of a running stage are, and what they leave for later steps and later releases.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::component::Runs;
use crate::domain::derivation::Made;
use crate::domain::event::{Failure, RunKind};
use crate::domain::name::{DeploymentName, ReleaseNo, VariableName};
use crate::domain::pipeline::{Stage, Step};
use crate::domain::release::StageRun;

/// The parts of a stage's work, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Hooks after a run that was lost before it came to them.
    Owed,
    /// Hooks before the deploy.
    Before,
    /// The deploy.
    Deploy,
    /// Hooks after the deploy.
    After,
    /// Tests after the deploy.
    Test,
}

impl Phase {
    /// What people read when it is over.
    pub fn word(self) -> &'static str {
        match self {
            Self::Owed => "hooks of a lost run done",
            Self::Before => "hooks before the deploy done",
            Self::Deploy => "steps deployed",
            Self::After => "hooks after the deploy done",
            Self::Test => "tests done",
        }
    }
}

/// Values that steps wrote, by name.
pub type Outputs = BTreeMap<VariableName, String>;

/// A part of a stage's work that is over; stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Which part.
    pub phase: Phase,
    /// So many of its steps are over.
    pub steps: u32,
    /// What they wrote since the last report.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: Outputs,
    /// Which of it is kept for the next releases in the same environment.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub kept: BTreeSet<VariableName>,
    /// Steps that failed and block nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issues: Vec<Failure>,
    /// Steps that were left out because of their condition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditional: Vec<String>,
    /// Deployments that are left out because what they name runs there already.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unchanged: BTreeMap<DeploymentName, Runs>,
    /// What its steps sealed since the last report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<Made>,
    /// Whether the deploy and all around it went well: what fails from now on is a test.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deployed: bool,
}

/// The sum of what one run reported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Walked {
    /// The last part reported, and how many of its steps are over.
    pub at: Option<(Phase, u32)>,
    /// What its steps wrote; the last value counts.
    pub outputs: Outputs,
    /// Steps that failed and block nothing.
    pub issues: Vec<Failure>,
    /// Steps that were left out because of their condition.
    pub conditional: Vec<String>,
    /// Deployments that were left out because what they name ran there already.
    pub unchanged: BTreeMap<DeploymentName, Runs>,
    /// What its steps sealed; part of the release once all of them have passed.
    pub made: Vec<Made>,
    /// Whether the deploy and all around it went well.
    pub deployed: bool,
}

/// A value kept for the next releases in an environment (row A20).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The value.
    pub value: String,
    /// The release whose step wrote it.
    pub release: ReleaseNo,
}

/// What a run that was lost wrote down before it came to its hooks after the deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owing {
    /// The release that ran.
    pub release: ReleaseNo,
    /// What its steps had written.
    pub outputs: Outputs,
}

impl Progress {
    /// So far, and nothing else to tell.
    pub fn at(phase: Phase, steps: u32) -> Self {
        Self {
            phase,
            steps,
            outputs: Outputs::new(),
            kept: BTreeSet::new(),
            issues: Vec::new(),
            conditional: Vec::new(),
            unchanged: BTreeMap::new(),
            made: Vec::new(),
            deployed: false,
        }
    }

    /// Whether there is nothing to tell but how far it is.
    pub fn is_empty(&self) -> bool {
        let told = self.issues.is_empty() && self.conditional.is_empty() && self.unchanged.is_empty();
        self.outputs.is_empty() && told && self.made.is_empty() && !self.deployed
    }
}

impl Walked {
    /// Adds a report.
    pub fn add(&mut self, progress: &Progress) {
        self.at = Some((progress.phase, progress.steps));
        self.outputs.extend(progress.outputs.clone());
        self.issues.extend(progress.issues.iter().cloned());
        self.conditional.extend(progress.conditional.iter().cloned());
        self.unchanged.extend(progress.unchanged.clone());
        self.made.extend(progress.made.iter().cloned());
        self.deployed |= progress.deployed;
    }

    /// Whether hooks before the deploy wrote something down and the hooks after it never came to their end.
    pub fn owes(&self, stage: &Stage) -> bool {
        let before = self.at.is_some_and(|(phase, _)| phase < Phase::After);
        before && !self.outputs.is_empty() && always_after(stage).next().is_some()
    }
}

/// Whether what ended a run was one of its tests: the deploy had gone well before.
pub fn tested(run: &StageRun) -> bool {
    run.walked.deployed || run.kind == RunKind::Verify
}

/// The hooks after the deploy that run whatever happened.
pub fn always_after(stage: &Stage) -> impl Iterator<Item = &Step> {
    stage.hooks.after.iter().filter(|step| step.terms.always)
}

/// The parts of a run of this kind, in order.
pub fn phases(stage: &Stage, kind: RunKind) -> Vec<(Phase, &[Step])> {
    let tests = (Phase::Test, stage.test_commands.as_slice());
    match kind {
        RunKind::Verify => vec![tests],
        RunKind::Deploy | RunKind::Redeploy | RunKind::Rollback => vec![
            (Phase::Before, stage.hooks.before.as_slice()),
            (Phase::Deploy, stage.deploy.as_slice()),
            (Phase::After, stage.hooks.after.as_slice()),
            tests,
        ],
    }
}
