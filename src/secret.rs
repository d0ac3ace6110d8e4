//! A value that must not be seen: it has no `Display`, no `Serialize`, and its `Debug` shows nothing.

use std::collections::BTreeMap;
use std::fmt;

use crate::domain::glob::Glob;
use crate::domain::name::{PipelineName, StageName};

/// A password, token or key; [`Secret::expose`] is the one way to its text, so that every use can be searched for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text out of sight.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The text itself, for the place that sends it where it belongs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A service that steps may work with: its values, its secrets, and which stages are given them (row A27).
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// Plain values, by the names of their variables.
    pub environment: BTreeMap<String, String>,
    /// Secrets, by the names of their variables.
    pub secrets: BTreeMap<String, Secret>,
    /// The stages that may use it; nobody when empty.
    pub allow: Vec<Allowed>,
}

/// Stages of pipelines, by patterns: `shop/prod`, `*/test`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Allowed {
    pipeline: Glob,
    stage: Glob,
}

impl TryFrom<String> for Allowed {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` names no stages: write `<pipeline>/<stage>`, `*` for any");
        let (pipeline, stage) = text.split_once('/').ok_or_else(wrong)?;
        let pattern = |part: &str| part.parse::<Glob>().ok().filter(|glob| !glob.excludes());
        pattern(pipeline)
            .zip(pattern(stage))
            .map(|(pipeline, stage)| Self { pipeline, stage })
            .ok_or_else(wrong)
    }
}

impl Allowed {
    /// Whether this stage is one of them.
    pub fn is(&self, pipeline: &PipelineName, stage: &StageName) -> bool {
        self.pipeline.matches(pipeline.as_str()) && self.stage.matches(stage.as_str())
    }
}

impl Connection {
    /// Whether the steps of this stage may use it.
    pub fn allows(&self, pipeline: &PipelineName, stage: &StageName) -> bool {
        self.allow.iter().any(|allowed| allowed.is(pipeline, stage))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a27_a_connection_is_for_the_stages_it_names_alone() {
        let allow = ["shop/prod", "acme.*/test-*"].map(|text| Allowed::try_from(text.to_owned()).unwrap());
        let connection = Connection { allow: allow.into(), ..Connection::default() };
        let allows = |p: &str, s: &str| connection.allows(&p.parse().unwrap(), &s.parse().unwrap());
        assert!(allows("shop", "prod") && allows("acme.Invictus", "test-1"));
        assert!(!allows("shop", "test") && !allows("myshop", "prod") && !allows("shop", "prod2"));
        assert!(!Connection::default().allows(&"shop".parse().unwrap(), &"prod".parse().unwrap()));
        for wrong in ["shop", "!shop/prod", "", "/"] {
            assert!(Allowed::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn t47_debug_shows_nothing_of_a_secret() {
        let secret = Secret::new("canary-4711");
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)), "Secret(***) Some(\n    Secret(***),\n)");
        assert_eq!(secret.expose(), "canary-4711");
    }
}
