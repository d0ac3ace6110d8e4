//! `[[target]]`: the machines that stages deploy to, and how commands get there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;

use crate::config::{Given, Reading, STAGES};
use crate::domain::name::{EnvironmentName, RoleName, TargetName, printable};
use crate::domain::time::Span;
use crate::runner::hook::{Hook, Product};
use crate::runner::target::{Cluster, Host, Kind, Target};
use crate::secret::Allowed;

/// How long a connection may take when nobody says.
const CONNECT: Span = Span::seconds(10);
/// The port of ssh.
const SSH: u16 = 22;

/// One target as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    name: TargetName,
    environment: EnvironmentName,
    #[serde(default)]
    roles: BTreeSet<RoleName>,
    #[serde(default)]
    kind: Word,
    #[serde(default)]
    address: String,
    port: Option<u16>,
    user: Option<String>,
    host_key: Option<String>,
    key_file: Option<PathBuf>,
    timeout: Option<Span>,
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    namespace: Option<String>,
    url: Option<Given>,
    #[serde(default)]
    headers: BTreeMap<String, Given>,
    key: Option<Given>,
    #[serde(default)]
    product: Product,
    body: Option<String>,
    #[serde(default)]
    allow: Vec<Allowed>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    #[default]
    Local,
    Ssh,
    Kubernetes,
    Http,
}

impl Reading<'_> {
    pub(super) fn targets(&mut self, given: Vec<Entry>) -> Vec<Target> {
        let mut targets: Vec<Target> = Vec::new();
        for file in given {
            let name = file.name.clone();
            if targets.iter().any(|known| known.name == name) {
                self.problem(format!("two targets are called {name}"));
            }
            self.for_somebody(&format!("target {name}"), &file.allow, STAGES);
            let kind = match file.kind {
                Word::Local => Some(Kind::Local { address: file.address.clone() }),
                Word::Ssh => self.host(&file).map(Kind::Ssh),
                Word::Kubernetes => self.cluster(&file).map(Kind::Kubernetes),
                Word::Http => self.hook(&file).map(|hook| Kind::Http(Box::new(hook))),
            };
            let (environment, roles, allow) = (file.environment, file.roles, file.allow);
            targets.extend(kind.map(|kind| Target { name, environment, roles, kind, allow }));
        }
        targets
    }

    /// A host that the client may be told of: no word of it is an option, and its key is known beforehand (THREATS
    /// T38, T39).
    fn host(&mut self, file: &Entry) -> Option<Host> {
        let name = &file.name;
        if !word(&file.address, ".-:") {
            self.problem(format!(
                "target {name}: address = \"{}\" is not a host name or address",
                printable(&file.address)
            ));
        }
        let user = file.user.clone().unwrap_or_default();
        if !word(&user, "._-") {
            self.problem(format!("target {name}: user = \"{}\" is not a user", printable(&user)));
        }
        let host_key = file.host_key.clone().unwrap_or_default();
        let words: Vec<&str> = host_key.split(' ').collect();
        let looks_like_one = matches!(words.as_slice(), [kind, key]
            if word(kind, "-@.") && !key.is_empty() && word(key, "+/="));
        if !looks_like_one {
            self.problem(format!(
                "target {name}: host_key is the host's public key, such as \"ssh-ed25519 AAAA…\"; \
                 `ssh-keyscan {}` prints it behind the name",
                printable(&file.address)
            ));
        }
        let Some(key_file) = file.key_file.clone() else {
            self.problem(format!("target {name}: key_file is missing: the file of the private key"));
            return None;
        };
        let (port, timeout) = (file.port.unwrap_or(SSH), file.timeout.unwrap_or(CONNECT));
        Some(Host { address: file.address.clone(), port, user, host_key, key_file, timeout })
    }

    fn cluster(&mut self, file: &Entry) -> Option<Cluster> {
        let name = &file.name;
        for (what, given) in [("context", &file.context), ("namespace", &file.namespace)] {
            if given.as_ref().is_some_and(|text| !word(text, "._-:/@")) {
                self.problem(format!("target {name}: {what} is not a name of Kubernetes"));
            }
        }
        let Some(kubeconfig) = file.kubeconfig.clone() else {
            self.problem(format!("target {name}: kubeconfig is missing: the file that `kubectl` reads"));
            return None;
        };
        Some(Cluster { kubeconfig, context: file.context.clone(), namespace: file.namespace.clone() })
    }

    fn hook(&mut self, file: &Entry) -> Option<Hook> {
        let name = &file.name;
        let what = format!("target {name}: url");
        let Some(url) = file.url.clone() else {
            self.problem(format!("{what} is missing: the address that launches the job"));
            return None;
        };
        let url = self.address(&what, url);
        let mut headers = Vec::new();
        for (header, given) in &file.headers {
            let what = format!("target {name}: headers.{header}");
            let value = self.secret(&what, given.clone());
            match header.parse() {
                Ok(header) => headers.extend(value.map(|value| (header, value))),
                Err(_) => self.problem(format!("{what} is not the name of a header")),
            }
        }
        let key = file.key.clone().and_then(|key| self.secret(&format!("target {name}: key"), key));
        let body = file.body.as_deref().map(serde_json::from_str);
        let body = match body.transpose() {
            Ok(body) => body,
            Err(error) => {
                self.problem(format!("target {name}: body is no JSON: {error}"));
                None
            }
        };
        if file.body.is_none() && !file.product.has_body() {
            self.problem(format!(
                "target {name}: body is missing: the JSON that this product's launch takes"
            ));
        }
        Some(Hook { url: url?, headers, key, product: file.product, body })
    }
}

/// Whether a text is one word that no program takes for an option.
fn word(text: &str, more: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':') && text.chars().all(inside)
}

#[cfg(test)]
mod tests {
    use crate::config::tests::read;
    use crate::runner::hook::Product;
    use crate::runner::target::Kind;
    use crate::secret::Asking;

    const HOST: &str = "[[target]]\nname = \"web-1\"\nenvironment = \"prod\"\nroles = [\"web\"]\nkind = \"ssh\"\n\
                        address = \"10.0.0.5\"\nuser = \"deploy\"\nhost_key = \"ssh-ed25519 AAAAC3Nz+/=\"\n\
                        key_file = \"/k\"\nallow = [\"shop/prod\"]\n";

    #[test]
    fn e15_a_target_has_the_usual_port_and_is_for_the_stages_it_names() {
        let config = read(HOST).unwrap();
        let target = config.targets.first().unwrap();
        let Kind::Ssh(host) = &target.kind else { panic!("{target:?}") };
        assert_eq!((host.port, host.timeout.to_string().as_str()), (22, "10s"));
        let allows = |pipeline: &str| {
            let (pipeline, stage) = (pipeline.parse().unwrap(), "prod".parse().unwrap());
            target.allows(Asking { repository: "acme/shop", pipeline: &pipeline, stage: &stage })
        };
        assert!(allows("shop") && !allows("docs"));
    }

    const HOOK: &str = "[[target]]\nname = \"tower\"\nenvironment = \"prod\"\nkind = \"http\"\n\
                        product = \"ansible-tower\"\nurl = \"https://tower.example/api/v2/job_templates/7/launch/\"\n\
                        headers = { Authorization = \"Bearer 4711-4711\" }\nallow = [\"shop/prod\"]\n";
    const CLUSTER: &str = "[[target]]\nname = \"west\"\nenvironment = \"prod\"\nkind = \"kubernetes\"\n\
                           kubeconfig = \"/k\"\ncontext = \"west\"\nallow = [\"shop/prod\"]\n";

    #[test]
    fn e27_a_hook_has_an_address_a_product_and_secrets_that_are_hidden() {
        let config = read(HOOK).unwrap();
        let Kind::Http(hook) = &config.targets.first().unwrap().kind else { panic!() };
        assert_eq!((hook.product, hook.host().as_str()), (Product::AnsibleTower, "tower.example"));
        assert!(config.hidden().iter().any(|secret| secret.expose() == "Bearer 4711-4711"));
        for (line, wrong, why) in [
            ("https://tower", "tower", "is not an `https://` address"),
            ("Authorization", "\"a b\"", "is not the name of a header"),
            ("ansible-tower", "puppet", "body is missing"),
            ("ansible-tower", "jenkins", "unknown variant `jenkins`"),
            ("allow =", "body = \"{\"\nallow =", "body is no JSON"),
        ] {
            let problems = read(&HOOK.replace(line, wrong)).unwrap_err();
            assert!(problems.contains(why), "{wrong}: {problems}");
        }
    }

    #[test]
    fn e25_a_cluster_has_a_file_and_no_word_of_it_is_an_option() {
        assert!(read(CLUSTER).is_ok());
        for (line, wrong, why) in [
            ("kubeconfig = \"/k\"\n", "", "kubeconfig is missing"),
            ("context = \"west\"", "context = \"--token\"", "context is not a name"),
            ("context = \"west\"", "namespace = \"-n\"", "namespace is not a name"),
        ] {
            let problems = read(&CLUSTER.replace(line, wrong)).unwrap_err();
            assert!(problems.contains(why), "{wrong}: {problems}");
        }
    }

    #[test]
    fn t38_t39_no_word_of_a_target_is_an_option_and_its_key_is_known_beforehand() {
        for (line, wrong, why) in [
            ("address = \"10.0.0.5\"", "address = \"-oProxyCommand=id\"", "is not a host name or address"),
            ("address = \"10.0.0.5\"", "address = \"a b\"", "is not a host name or address"),
            ("user = \"deploy\"", "user = \"-l\"", "is not a user"),
            ("user = \"deploy\"", "", "is not a user"),
            ("host_key = \"ssh-ed25519 AAAAC3Nz+/=\"", "", "host_key is the host's public key"),
            ("ssh-ed25519 AAAAC3Nz+/=", "* ssh-ed25519 AAAA", "host_key is the host's public key"),
            ("key_file = \"/k\"", "", "key_file is missing"),
            ("allow = [\"shop/prod\"]", "", "is for nobody"),
            ("port = 22", "port = 99999", "invalid value"),
        ] {
            let text = HOST.replace(line, wrong);
            let text = if text == HOST { format!("{HOST}{wrong}\n") } else { text };
            let problems = read(&text).unwrap_err();
            assert!(problems.contains(why), "{wrong}: {problems}");
        }
        assert!(read(&format!("{HOST}{HOST}")).unwrap_err().contains("two targets are called web-1"));
    }
}
