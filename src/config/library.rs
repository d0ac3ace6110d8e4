//! The settings of the library of variable groups, and the tokens that say who changes it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;

use super::{Given, Reading, SHORTEST_TOKEN};
use crate::domain::group::access::Principal;
use crate::domain::name::{Login, SecretAddress};
use crate::domain::time::Span;
use crate::secret::{Allowed, Secret};
use crate::vault::{self, Input};

/// How long a secret store may take when the config does not say: people wait for the stage behind it.
const TIMEOUT: Span = Span::seconds(10);

/// The settings, checked.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Who may create groups and administers all of them: logins and teams.
    pub admins: BTreeSet<Principal>,
    /// The key that seals secrets; without it a file of the data folder has it.
    pub key: Option<Secret>,
    /// Where references to secrets may lead.
    pub vault: vault::Settings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    admins: Vec<Principal>,
    pub(super) key: Option<Given>,
    env: Vec<String>,
    files: Vec<PathBuf>,
    stores: BTreeMap<String, StoreFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoreFile {
    command: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, Given>,
    timeout: Option<Span>,
    #[serde(default)]
    input: Input,
    #[serde(default)]
    allow: Vec<Allowed>,
}

impl Reading<'_> {
    /// Tokens by the login they prove.
    pub(super) fn personal_tokens(&mut self, given: BTreeMap<Login, Given>) -> BTreeMap<Login, Secret> {
        let mut tokens = BTreeMap::new();
        for (login, given) in given {
            let Some(token) = self.secret(&format!("personal_tokens.{login}"), given) else { continue };
            if token.expose().len() < SHORTEST_TOKEN {
                self.problem(format!(
                    "personal_tokens.{login} has at least {SHORTEST_TOKEN} characters; make one with `openssl rand -hex 24`"
                ));
            }
            if tokens.values().any(|known| *known == token) {
                self.problem(format!("personal_tokens.{login} is somebody else's token, too"));
            }
            tokens.insert(login, token);
        }
        tokens
    }

    pub(super) fn library(&mut self, file: File) -> Settings {
        if file.admins.iter().any(|who| matches!(who, Principal::Pipeline(_))) {
            self.problem("library.admins are logins and teams, no pipelines");
        }
        let key = file.key.and_then(|key| self.secret("library.key", key));
        let mut env = BTreeMap::new();
        for name in file.env {
            let given = Given::Env { env: name.clone() };
            if let Some(secret) = self.secret("library.env", given) {
                if let Err(why) = vault::usable(secret.expose()) {
                    self.problem(format!("library.env: `{name}` {why}"));
                }
                env.insert(name, secret);
            }
        }
        for folder in &file.files {
            if !folder.is_absolute() {
                self.problem(format!("library.files: {} does not begin with `/`", folder.display()));
            }
        }
        let stores = file.stores.into_iter().filter_map(|(name, store)| self.store(name, store)).collect();
        let vault = vault::Settings { env, files: file.files, stores };
        Settings { admins: file.admins.into_iter().collect(), key, vault }
    }

    fn store(&mut self, name: String, file: StoreFile) -> Option<(String, vault::Command)> {
        let what = format!("library.stores.{name}");
        if vault::BUILT_IN.contains(&name.as_str()) || format!("{name}:x").parse::<SecretAddress>().is_err() {
            self.problem(format!(
                "{what}: a store's name has small letters, digits and `-`, and is none of ours"
            ));
        }
        if file.command.first().is_none_or(String::is_empty) {
            self.problem(format!("{what}.command is empty: name the program and its arguments"));
        }
        if file.command.first().is_some_and(|program| program.contains('{')) {
            self.problem(format!("{what}.command: a reference never chooses the program"));
        }
        let mut environment = BTreeMap::new();
        for (variable, given) in file.environment {
            let secret = self.secret(&format!("{what}.environment.{variable}"), given)?;
            environment.insert(variable, secret);
        }
        let timeout = file.timeout.unwrap_or(TIMEOUT);
        let StoreFile { command: argv, input, allow, .. } = file;
        Some((name, vault::Command { argv, environment, timeout, input, allow }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Environment};

    fn read(text: &str) -> Result<Config, String> {
        let base = "data = \"/d\"\nwebhook_secrets = [\"0123456789abcdef0123456789abcdef\"]\n\
            [plain.repositories.shop]\npath = \"/g\"\n";
        let environment = Environment::from([("SIGN".to_owned(), "canary-5e1c09d7".to_owned())]);
        Config::read(&format!("{base}{text}"), &environment, &|_| Err("not there".to_owned()))
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn e22_the_stores_that_references_may_reach_are_the_servers_to_name() {
        let config = read(
            "[personal_tokens]\nana = \"token-of-ana-0123456789\"\n[library]\nadmins = [\"Ana\", \"acme/platform\"]\n\
             env = [\"SIGN\"]\n[library.stores.vault]\ncommand = [\"vault\", \"{path}\"]\n",
        )
        .unwrap();
        let admins: Vec<String> = config.library.admins.iter().map(ToString::to_string).collect();
        assert_eq!(admins, ["ana", "acme/platform"]);
        assert_eq!(config.library.vault.stores["vault"].argv, ["vault", "{path}"]);
        assert_eq!(config.hidden().len(), 2, "the webhook's secret and the token");
        assert!(!format!("{config:?}").contains("canary"));
    }

    /// Whoever may push to another repository could give a pipeline the same name.
    #[test]
    fn a27_t47_beside_another_repository_an_allow_says_of_which() {
        let other = "[plain.repositories.other]\npath = \"/o\"\n";
        let target = "[[target]]\nname = \"web\"\nkind = \"local\"\naddress = \"web\"\nenvironment = \"prod\"\nroles = []\n";
        for what in ["[library.stores.vault]\ncommand = [\"x\"]\n", "[connections.azure]\n", target] {
            let with = |other: &str, allow: &str| read(&format!("{other}{what}allow = [\"{allow}\"]\n"));
            assert!(with("", "web/prod").is_ok());
            assert!(with(other, "shop:web/prod").is_ok() && with(other, "*:web/prod").is_ok());
            let said = with(other, "web/prod").unwrap_err();
            assert!(said.contains("in each of 2 repositories"), "{said}");
        }
    }

    #[test]
    fn t47_a_store_cannot_be_what_a_reference_chooses() {
        let rows = [
            ("[library.stores.sealed]\ncommand = [\"x\"]", "is none of ours"),
            ("[library.stores.Vault]\ncommand = [\"x\"]", "small letters"),
            ("[library.stores.vault]\ncommand = []", "command is empty"),
            ("[library.stores.vault]\ncommand = [\"{path}\"]", "a reference never chooses the program"),
            ("[library]\nenv = [\"NOWHERE\"]", "has no variable `NOWHERE`"),
            ("[library]\nfiles = [\"secrets\"]", "does not begin with `/`"),
            ("[library]\nadmins = [\"pipeline:plain:shop/shop\"]", "no pipelines"),
            ("[personal_tokens]\nana = \"short\"", "at least 20 characters"),
            (
                "[personal_tokens]\nana = \"token-0123456789-abcdef\"\nbo = \"token-0123456789-abcdef\"",
                "somebody else's token",
            ),
        ];
        for (text, words) in rows {
            let said = read(text).unwrap_err();
            assert!(said.contains(words), "{text}: {said}");
        }
    }
}
