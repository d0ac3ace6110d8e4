//! `[[policy]]`: what the server asks of stages, in the words of a manifest.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::Reading;
use crate::domain::glob::Glob;
use crate::domain::manifest::code::Code;
use crate::domain::manifest::{self, Problems, Sources};
use crate::domain::name::RepoName;
use crate::domain::policy::server::{Rule, ServerPolicy, StagePolicy};

/// The path that a policy is read under: messages name the config instead.
const PATH: &str = ".github/liftlock.yml";

/// One `[[policy]]`, as written.
#[derive(Debug, Deserialize)]
pub(super) struct File {
    repository: Option<String>,
    pipeline: Option<String>,
    stage: Option<String>,
    /// Checks that its `gates` and `verify` name.
    #[serde(default)]
    checks: BTreeMap<String, Value>,
    #[serde(flatten)]
    rules: BTreeMap<String, Value>,
}

impl Reading<'_> {
    pub(super) fn policies(&mut self, given: Vec<File>) -> Vec<ServerPolicy> {
        let read = (1..).zip(given).filter_map(|(no, file)| self.policy(no, file));
        read.collect()
    }

    fn policy(&mut self, no: u32, file: File) -> Option<ServerPolicy> {
        let mut rules = BTreeSet::new();
        for key in file.rules.keys() {
            if let Some(rule) = Rule::ALL.iter().find(|rule| rule.word() == key) {
                rules.insert(*rule);
            } else {
                let known: Vec<&str> = Rule::ALL.iter().map(|rule| rule.word()).collect();
                let known = known.join(", ");
                self.problem(format!("policy {no}: `{key}` is not for a server to ask; what is: {known}"));
            }
        }
        if rules.is_empty() {
            // It would look like a protection.
            self.problem(format!("policy {no} asks nothing: give it `approval`, `windows` or another rule"));
            return None;
        }
        let mut pattern = |key: &str, text: Option<String>, any: &str| {
            let text = text.unwrap_or_else(|| any.to_owned());
            let glob = text.parse::<Glob>().ok().filter(|glob| !glob.excludes());
            if glob.is_none() {
                self.problem(format!("policy {no}: {key} = \"{text}\" is no pattern of names"));
            }
            glob
        };
        let repository = pattern("repository", file.repository, "**");
        let (pipeline, stage) = (pattern("pipeline", file.pipeline, "*"), pattern("stage", file.stage, "*"));
        let mut asked: serde_json::Map<String, Value> = file.rules.into_iter().collect();
        asked.insert("name".to_owned(), "policy".into());
        let mut whole = json!({ "version": 1, "stages": [asked] });
        if let (false, Some(top)) = (file.checks.is_empty(), whole.as_object_mut()) {
            top.insert("checks".to_owned(), file.checks.into_iter().collect());
        }
        let sources = Sources::from([(PATH.to_owned(), whole.to_string())]);
        let name: RepoName = "server/policy".parse().ok()?;
        match manifest::load(&sources, &name) {
            Ok(loaded) => {
                // A manifest may leave a check to others; who asks it of everybody's manifests says what it is.
                for problem in loaded.warnings.iter().filter(|problem| problem.code == Code::Reported) {
                    self.problem(format!("policy {no}: {}; declare it below `checks`", problem.message));
                }
                let asks = loaded.pipelines.into_iter().next()?.stages.into_iter().next()?;
                let stages = StagePolicy { stage: stage?, rules, asks: Box::new(asks) };
                Some(ServerPolicy { repository: repository?, pipeline: pipeline?, stages })
            }
            Err(Problems(problems)) => {
                for problem in problems {
                    self.problem(format!("policy {no}: {}", problem.message));
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Environment};

    fn read(text: &str) -> Result<Config, String> {
        let base = "data = \"/d\"\nwebhook_secrets = [\"0123456789abcdef0123456789abcdef\"]\n\
            [plain.repositories.shop]\npath = \"/g\"\n";
        Config::read(&format!("{base}{text}"), &Environment::new(), &|_| Err("not there".to_owned()))
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_policy_is_written_in_the_words_of_a_manifest() {
        let config = read(
            "[[policy]]\nrepository = \"acme/*\"\nstage = \"prod*\"\n\
             approval = { min = 2, require = [{ team = \"acme/security\" }], exclude = [\"pusher\"] }\nsoak = \"1h\"\n",
        )
        .unwrap();
        let pipeline = "web".parse().unwrap();
        let [policy] = config.policy.as_slice() else { panic!("{:?}", config.policy) };
        assert!(policy.of("acme/shop", &pipeline).is_some() && policy.of("eve/shop", &pipeline).is_none());
        let rule = policy.stages.asks.approval.as_ref().unwrap();
        assert_eq!((rule.min, rule.require.len(), rule.exclude.len()), (2, 1, 1));
    }

    #[test]
    fn a_policy_that_would_protect_nothing_is_refused() {
        let rows = [
            ("[[policy]]\nstage = \"prod\"\n", "policy 1 asks nothing"),
            ("[[policy]]\nsoak = \"1h\"\ndeploy = \"make\"\n", "`deploy` is not for a server to ask"),
            ("[[policy]]\nsoak = \"soon\"\n", "policy 1: "),
            ("[[policy]]\nstage = \"!prod\"\nsoak = \"1h\"\n", "is no pattern of names"),
            ("[[policy]]\ngates = { pre = [\"known\"] }\n", "nothing here answers `known`"),
        ];
        for (text, words) in rows {
            let said = read(text).unwrap_err();
            assert!(said.contains(words), "{text}: {said}");
        }
    }
}
