//! `[secrets]`: what steps may name in manifests, and which of them get it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use super::{Given, Hidden, Reading, SealedName};
use crate::mask::SHORTEST_BYTES;
use crate::secret::{Allowed, Secret, StepSecret};

/// How those are named that a secret is for.
const FOR: &str = "[\"<pipeline>/<stage>\"], `build` for a build, `*`";

/// A secret for steps as it is written, the text itself or a table.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Entry(toml::Value);

/// It may be the text.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entry(***)")
    }
}

/// Where a secret is, and whom it is for. Read by itself, so that a slip in it is told and never makes it everybody's.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Table {
    file: Option<PathBuf>,
    env: Option<String>,
    sealed: Option<SealedName>,
    allow: Option<Vec<Allowed>>,
}

impl Table {
    fn given(self) -> Result<(Given, Option<Vec<Allowed>>), String> {
        let given = match (self.file, self.env, self.sealed) {
            (Some(file), None, None) => Given::File { file },
            (None, Some(env), None) => Given::Env { env },
            (None, None, Some(sealed)) => Given::Sealed { sealed },
            _ => return Err("say where it is by one of `file`, `env` and `sealed`".to_owned()),
        };
        Ok((given, self.allow))
    }
}

impl Entry {
    fn given(self) -> Result<(Given, Option<Vec<Allowed>>), String> {
        match self.0 {
            toml::Value::String(text) => Ok((Given::Text(Hidden(text)), None)),
            toml::Value::Table(table) => {
                Table::deserialize(table).map_err(|e| e.message().to_owned())?.given()
            }
            toml::Value::Integer(_)
            | toml::Value::Float(_)
            | toml::Value::Boolean(_)
            | toml::Value::Datetime(_)
            | toml::Value::Array(_) => Err("it is a text, or a table such as { file = \"…\" }".to_owned()),
        }
    }
}

impl Reading<'_> {
    /// The secrets of the config with those whom they are for.
    pub(super) fn granted(&mut self, entries: BTreeMap<String, Entry>) -> BTreeMap<String, StepSecret> {
        let mut granted = BTreeMap::new();
        for (name, entry) in entries {
            let what = format!("secrets.{name}");
            let (given, allow) = match entry.given() {
                Ok(read) => read,
                Err(why) => {
                    self.problem(format!("{what}: {}", why.trim_end()));
                    continue;
                }
            };
            if let Some(nobody) = allow.as_ref().filter(|allow| allow.is_empty()) {
                self.for_somebody(&what, nobody, FOR);
            }
            if let Some(secret) = self.step_secret(&what, given) {
                granted.insert(name, StepSecret { secret, allow: allow.unwrap_or_default() });
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
