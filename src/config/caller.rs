//! `[callers]`: programs that start releases by signed calls, and what each of them may start.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{Config, Given, Reading};
use crate::domain::name::{Login, PipelineName, StageName};
use crate::forge::signature::check_secret;
use crate::secret::{Allowed, Asking, Secret};

/// How an `allow` names what may be started.
const STARTS: &str = "[\"<pipeline>/start\"], `*/start`";

/// A program that signs what it asks for.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who it is: this is the initiator of what it starts.
    pub name: Login,
    /// What it signs with; several while one replaces another.
    pub secrets: Vec<Secret>,
    /// The pipelines that it may start, with `start` for the stage.
    pub allow: Vec<Allowed>,
}

impl Caller {
    /// Whether it may start this pipeline of a repository by its present name.
    pub fn may_start(&self, repository: &str, pipeline: &PipelineName) -> bool {
        let start = "start".parse::<StageName>();
        start.is_ok_and(|stage| {
            let asking = Asking { repository, pipeline, stage: &stage };
            self.allow.iter().any(|allowed| allowed.is(asking))
        })
    }
}

/// One caller as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    secrets: Vec<Given>,
    #[serde(default)]
    allow: Vec<Allowed>,
}

impl Reading<'_> {
    pub(super) fn callers(&mut self, given: BTreeMap<Login, Entry>) -> Vec<Caller> {
        let mut callers = Vec::new();
        for (name, entry) in given {
            let what = format!("callers.{name}");
            let secrets = self.secrets(&format!("{what}.secrets"), entry.secrets);
            if secrets.is_empty() {
                self.problem(format!("{what} has no secret: make one with `openssl rand -hex 32`"));
            }
            for secret in &secrets {
                if let Err(error) = check_secret(secret.expose().as_bytes()) {
                    self.problem(format!("{what}: {error}"));
                }
            }
            self.for_somebody(&what, &entry.allow, STARTS);
            callers.push(Caller { name, secrets, allow: entry.allow });
        }
        callers
    }

    /// Nobody else is called as a caller is, and nobody else knows what it signs with.
    pub(super) fn check_callers(&mut self, config: &Config) {
        let people = config.plain.iter().flat_map(|plain| plain.people.keys());
        let people = people.chain(config.personal_tokens.keys());
        let mut names: BTreeSet<String> = people.map(|login| login.as_str().to_ascii_lowercase()).collect();
        let hooks = config.webhook_secrets.iter().chain(&config.gitea_webhook_secrets);
        let mut known: BTreeSet<&str> = hooks.map(Secret::expose).collect();
        for Caller { name, secrets, .. } in &config.callers {
            if !names.insert(name.as_str().to_ascii_lowercase()) {
                self.problem(format!(
                    "callers.{name} is somebody already: who started a release would not be clear"
                ));
            }
            if !secrets.iter().all(|secret| known.insert(secret.expose())) {
                self.problem(format!(
                    "callers.{name} signs with what somebody else signs with, or twice with the same: whoever knows it would be both"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::read;

    const CONFIG: &str = "[callers.portal]\nsecrets = [\"what the portal signs with\", \"and what it signed with before\"]\n\
                          allow = [\"acme/shop:services/start\", \"*:docs/*\"]\n";

    #[test]
    fn b24_a_caller_has_secrets_and_says_what_it_may_start() {
        let config = read(CONFIG).unwrap();
        let [portal] = config.callers.as_slice() else { panic!("{:?}", config.callers) };
        assert_eq!((portal.name.as_str(), portal.secrets.len()), ("portal", 2));
        let may = |repository: &str, pipeline: &str| portal.may_start(repository, &pipeline.parse().unwrap());
        assert!(may("acme/shop", "services") && may("acme/web", "docs"));
        assert!(!may("acme/web", "services") && !may("acme/shop", "web"));
        assert!(config.hidden().iter().any(|secret| secret.expose() == "what the portal signs with"));
        // What is for deploying is not for starting.
        let other = read(&CONFIG.replace("services/start", "services/prod")).unwrap();
        assert!(!other.callers[0].may_start("acme/shop", &"services".parse().unwrap()));
    }

    #[test]
    fn b24_a_caller_without_a_secret_of_its_own_is_refused() {
        let refused = |from: &str, to: &str| read(&CONFIG.replace(from, to)).unwrap_err();
        assert!(refused("what the portal signs with", "short").contains("callers.portal: "));
        // The one that every config of these tests has for webhooks.
        assert!(refused("what the portal signs with", "0123456789abcdef0123").contains("would be both"));
        assert!(
            refused("what the portal signs with", "and what it signed with before").contains("would be both")
        );
        let nobody = CONFIG.lines().take(2).chain(["allow = []\n"]).collect::<Vec<_>>().join("\n");
        assert!(read(&nobody).unwrap_err().contains("callers.portal is for nobody"));
        let bare = read("[callers.portal]\nsecrets = []\nallow = [\"*:a/start\"]\n").unwrap_err();
        assert!(bare.contains("callers.portal has no secret"), "{bare}");
        let person = "[personal_tokens]\nPortal = \"a-token-of-the-portal-0123\"\n";
        assert!(read(&format!("{CONFIG}{person}")).unwrap_err().contains("is somebody already"));
        let twice = CONFIG
            .replace("[callers.portal]", "[callers.Portal]")
            .replace("what", "that")
            .replace("and", "or");
        assert!(read(&format!("{CONFIG}{twice}")).unwrap_err().contains("is somebody already"));
    }
}
