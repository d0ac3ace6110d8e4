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

/// A secret that steps name in their manifest.
#[derive(Debug, Clone)]
pub struct StepSecret {
    /// It.
    pub secret: Secret,
    /// The stages that may name it, `build` for builds and a runbook by its own name; all of them when empty.
    pub allow: Vec<Allowed>,
}

impl StepSecret {
    /// Whether this stage may name it.
    pub fn allows(&self, asking: Asking<'_>) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|allowed| allowed.is(asking))
    }
}

/// Stages of pipelines, by patterns: `acme/shop:web/prod`, `*:web/prod`; without a repository, of every one.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Allowed {
    repository: Option<Glob>,
    pipeline: Glob,
    stage: Glob,
}

/// A stage that something of the server's is for, or not.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// The present name of its repository, `acme/shop`.
    pub repository: &'a str,
    /// Its pipeline.
    pub pipeline: &'a PipelineName,
    /// The stage.
    pub stage: &'a StageName,
}

impl Asking<'_> {
    /// Why the stage is not given something of the server's.
    pub fn not_of(self, what: &str) -> String {
        format!("{what} is not for {self}; its `allow` in the server's config says for whom")
    }
}

impl fmt::Display for Asking<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.repository, self.pipeline, self.stage)
    }
}

impl TryFrom<String> for Allowed {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` names no stages: write `<owner>/<repository>:<pipeline>/<stage>`, `*` for any")
        };
        let (repository, rest) = match text.split_once(':') {
            Some((repository, rest)) => (Some(repository), rest),
            None => (None, text.as_str()),
        };
        let (pipeline, stage) = rest.split_once('/').ok_or_else(wrong)?;
        let pattern =
            |part: &str| part.parse::<Glob>().ok().filter(|glob| !glob.excludes()).ok_or_else(wrong);
        let any = |part: &str| pattern(if part == "*" { "**" } else { part });
        Ok(Self {
            repository: repository.map(any).transpose()?,
            pipeline: pattern(pipeline)?,
            stage: pattern(stage)?,
        })
    }
}

impl Allowed {
    /// Whether this stage is one of them.
    pub fn is(&self, asking: Asking<'_>) -> bool {
        self.repository.as_ref().is_none_or(|pattern| pattern.matches(asking.repository))
            && self.pipeline.matches(asking.pipeline.as_str())
            && self.stage.matches(asking.stage.as_str())
    }

    /// Whether what a repository asks for as this stage is one of them, whichever of its pipelines that is for.
    pub fn is_of(&self, repository: &str, stage: &str) -> bool {
        self.repository.as_ref().is_none_or(|pattern| pattern.matches(repository))
            && self.stage.matches(stage)
    }

    /// Whether it says of which repository.
    pub fn names_repository(&self) -> bool {
        self.repository.is_some()
    }
}

impl Connection {
    /// Whether the steps of this stage may use it.
    pub fn allows(&self, asking: Asking<'_>) -> bool {
        self.allow.iter().any(|allowed| allowed.is(asking))
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
        let connection = |allow: &[&str]| {
            let allow = allow.iter().map(|text| Allowed::try_from((*text).to_owned()).unwrap());
            Connection { allow: allow.collect(), ..Connection::default() }
        };
        let allows = |allow: &[&str], repository: &str, p: &str, s: &str| {
            let (pipeline, stage) = (p.parse().unwrap(), s.parse().unwrap());
            connection(allow).allows(Asking { repository, pipeline: &pipeline, stage: &stage })
        };
        let any = ["shop/prod", "acme.*/test-*"];
        assert!(
            allows(&any, "acme/shop", "shop", "prod") && allows(&any, "acme/x", "acme.Invictus", "test-1")
        );
        assert!(!allows(&any, "acme/shop", "shop", "test") && !allows(&any, "acme/shop", "myshop", "prod"));
        assert!(!allows(&any, "acme/shop", "shop", "prod2") && !allows(&[], "acme/shop", "shop", "prod"));
        // Another repository may call its pipeline what it likes.
        let one = ["acme/shop:shop/prod"];
        assert!(allows(&one, "acme/shop", "shop", "prod") && !allows(&one, "eve/shop", "shop", "prod"));
        assert!(allows(&["acme/*:shop/*"], "acme/web", "shop", "prod"));
        assert!(allows(&["*:shop/*"], "acme/web", "shop", "prod"));
        for wrong in ["shop", "!shop/prod", "", "/", "acme/shop:", "!acme/shop:shop/prod"] {
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
