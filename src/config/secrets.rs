//! `[secrets]`: what steps may name in manifests, and which of them get it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Given, Reading};
use crate::mask::SHORTEST_BYTES;
use crate::secret::{Allowed, Secret, StepSecret};

/// A secret for steps: as any other one, and whom it is for.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Entry {
    /// For the stages that are named.
    For {
        allow: Vec<Allowed>,
        #[serde(flatten)]
        given: Given,
    },
    /// For every stage and build of the one repository that the server serves.
    All(Given),
}

impl Reading<'_> {
    /// The secrets of the config with those whom they are for.
    pub(super) fn granted(&mut self, given: BTreeMap<String, Entry>) -> BTreeMap<String, StepSecret> {
        let mut granted = BTreeMap::new();
        for (name, entry) in given {
            let (given, allow) = match entry {
                Entry::For { allow, given } => (given, allow),
                Entry::All(given) => (given, Vec::new()),
            };
            if let Some(secret) = self.step_secret(&format!("secrets.{name}"), given) {
                granted.insert(name, StepSecret { secret, allow });
            }
        }
        granted
    }

    pub(super) fn step_secrets(
        &mut self,
        what: &str,
        given: BTreeMap<String, Given>,
    ) -> BTreeMap<String, Secret> {
        let mut secrets = BTreeMap::new();
        for (name, given) in given {
            if let Some(secret) = self.step_secret(&format!("{what}.{name}"), given) {
                secrets.insert(name, secret);
            }
        }
        secrets
    }

    /// A secret shorter than the mask can hide would be printed by the first step that echoes it.
    fn step_secret(&mut self, what: &str, given: Given) -> Option<Secret> {
        let secret = self.secret(what, given)?;
        if secret.expose().len() < SHORTEST_BYTES {
            self.problem(format!("{what} is too short to be hidden in logs: at least 4 bytes"));
        }
        Some(secret)
    }

    /// Beside a second repository a secret for everybody would be for whoever may push to either.
    pub(super) fn check_granted(&mut self, secrets: &BTreeMap<String, StepSecret>, served: usize) {
        for (name, _) in secrets.iter().filter(|(_, secret)| served > 1 && secret.allow.is_empty()) {
            self.problem(format!(
                "secrets.{name} is for all {served} repositories: add allow = [\"<owner>/<repository>:<pipeline>/<stage>\"] \
                 with the stages it is for, `build` for a build, or [\"*:*/*\"] when it is for all"
            ));
        }
    }
}
