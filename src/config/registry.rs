//! `[[registry]]`: where images are pushed to and taken from, and who may.

use serde::Deserialize;

use super::{Given, Reading, STAGES};
use crate::domain::image::{is_host, is_part};
use crate::domain::name::{EnvironmentName, printable};
use crate::runner::registry::Registry;
use crate::secret::Allowed;

/// One registry as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    address: String,
    instead_of: Option<String>,
    environment: Option<EnvironmentName>,
    user: Option<String>,
    password: Option<Given>,
    #[serde(default)]
    plain_http: bool,
    #[serde(default)]
    allow: Vec<Allowed>,
}

impl Reading<'_> {
    pub(super) fn registries(&mut self, given: Vec<Entry>) -> Vec<Registry> {
        let mut registries: Vec<Registry> = Vec::new();
        for file in given {
            let address = file.address;
            let shown = printable(&address);
            let (host, path) = address.split_once('/').map_or((&*address, None), |(h, p)| (h, Some(p)));
            if !is_host(host) || path.is_some_and(|path| !path.split('/').all(is_part)) {
                self.problem(format!(
                    "registry `{shown}`: address is a host such as \"ghcr.io\", and maybe a path"
                ));
            }
            if let Some(wrong) = file.instead_of.as_ref().filter(|host| !is_host(host)) {
                let wrong = printable(wrong);
                self.problem(format!(
                    "registry {shown}: instead_of is a host such as \"ghcr.io\", not `{wrong}`"
                ));
            }
            let loopback = matches!(host.split(':').next(), Some("127.0.0.1" | "localhost"));
            if file.plain_http && !loopback {
                self.problem(format!("registry {shown}: plain_http is for registries on this machine"));
            }
            self.for_somebody(&format!("registry {shown}"), &file.allow, STAGES);
            let same =
                |known: &&Registry| known.environment == file.environment && file.environment.is_some();
            if let Some(known) = registries.iter().find(same) {
                let environment = file.environment.as_ref().map_or("", EnvironmentName::as_str);
                self.problem(format!("registries {} and {shown} are both {environment}'s", known.address));
            }
            let password = file.password.and_then(|p| self.secret(&format!("registry {shown}: password"), p));
            let login = match (file.user, password) {
                (Some(user), Some(password)) if !user.contains(':') => Some((user, password)),
                (None, None) => None,
                _ => {
                    self.problem(format!("registry {shown}: user and password go together"));
                    None
                }
            };
            let (instead_of, environment, plain, allow) =
                (file.instead_of, file.environment, file.plain_http, file.allow);
            registries.push(Registry { address, instead_of, environment, login, plain, allow });
        }
        registries
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::read;

    const REGISTRY: &str = "[[registry]]\naddress = \"ghcr.io\"\nenvironment = \"prod\"\nuser = \"bot\"\n\
                            password = \"canary-of-registry\"\nallow = [\"shop/prod\"]\n";

    #[test]
    fn b19_b23_a_registry_is_a_host_with_a_login_that_is_hidden() {
        let config = read(REGISTRY).unwrap();
        assert_eq!(config.registries.first().unwrap().host(), "ghcr.io");
        assert!(config.hidden().iter().any(|secret| secret.expose() == "canary-of-registry"));
        for (old, new, why) in [
            ("ghcr.io", "https://ghcr.io", "address is a host"),
            ("ghcr.io", "-x", "address is a host"),
            ("ghcr.io", "ghcr.io/Acme", "address is a host"),
            ("user = \"bot\"\n", "", "user and password go together"),
            ("user = \"bot\"", "user = \"a:b\"", "user and password go together"),
            (
                "user = \"bot\"",
                "plain_http = true\nuser = \"bot\"",
                "plain_http is for registries on this machine",
            ),
            ("user = \"bot\"", "instead_of = \"a/b\"\nuser = \"bot\"", "instead_of is a host"),
            ("allow = [\"shop/prod\"]", "", "is for nobody"),
        ] {
            let problems = read(&REGISTRY.replace(old, new)).unwrap_err();
            assert!(problems.contains(why), "{new}: {problems}");
        }
        assert!(read(&format!("{REGISTRY}{REGISTRY}")).unwrap_err().contains("are both prod's"));
    }
}
