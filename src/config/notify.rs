//! The routes of notices: names that manifests use, addresses and keys that only the server knows.

use std::collections::BTreeMap;

use lettre::message::Mailbox;
use serde::Deserialize;

use super::{Given, Reading};
use crate::domain::name::{RouteName, printable};
use crate::notify::mail::{MAX_PEOPLE, Mail, Tls};
use crate::notify::{Routes, Target};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    slack: BTreeMap<String, Given>,
    mail: BTreeMap<String, MailFile>,
    webhook: BTreeMap<String, WebhookFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookFile {
    url: Given,
    key: Option<Given>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MailFile {
    server: String,
    port: Option<u16>,
    #[serde(default)]
    tls: Tls,
    login: Option<String>,
    password: Option<Given>,
    from: String,
    to: Vec<String>,
}

impl Reading<'_> {
    pub(super) fn notify(&mut self, file: File, public_url: &str) -> Routes {
        let mut routes = BTreeMap::new();
        for (name, url) in file.slack {
            let what = format!("notify.slack.{name:?}");
            let Some(url) = self.address(&what, url) else { continue };
            self.route(&mut routes, ("slack", &name), Target::Slack { url });
        }
        for (name, mail) in file.mail {
            let Some(mail) = self.mail(&format!("notify.mail.{name}"), mail) else { continue };
            self.route(&mut routes, ("mail", &name), Target::Mail(Box::new(mail)));
        }
        for (name, webhook) in file.webhook {
            let what = format!("notify.webhook.{name}");
            let url = self.address(&what, webhook.url);
            let key = webhook.key.map(|key| self.secret(&format!("{what}.key"), key));
            let Some(url) = url else { continue };
            self.route(&mut routes, ("webhook", &name), Target::Webhook { url, key: key.flatten() });
        }
        Routes { public_url: public_url.to_owned(), routes }
    }

    fn mail(&mut self, what: &str, file: MailFile) -> Option<Mail> {
        let password = file.password.and_then(|given| self.secret(&format!("{what}.password"), given));
        if file.login.is_some() != password.is_some() {
            self.problem(format!("{what}: `login` and `password` go together"));
        } else if password.is_some() && file.tls == Tls::None {
            self.problem(format!(
                "{what}: a password goes over TLS only; leave `tls` out or write `starttls`"
            ));
        }
        if file.to.is_empty() || file.to.len() > MAX_PEOPLE {
            self.problem(format!("{what}.to has 1 to {MAX_PEOPLE} addresses"));
        }
        let from = self.mailbox(&format!("{what}.from"), &file.from);
        let to: Option<Vec<Mailbox>> =
            file.to.iter().map(|to| self.mailbox(&format!("{what}.to"), to)).collect();
        let (port, login) = (file.port.unwrap_or_else(|| file.tls.port()), file.login.zip(password));
        Some(Mail { server: file.server, port, tls: file.tls, login, from: from?, to: to? })
    }

    fn mailbox(&mut self, what: &str, text: &str) -> Option<Mailbox> {
        let found = text.parse().ok();
        if found.is_none() {
            self.problem(format!("{what}: `{}` is no address of mail", printable(text)));
        }
        found
    }

    fn route(
        &mut self,
        routes: &mut BTreeMap<RouteName, Target>,
        (kind, name): (&str, &str),
        target: Target,
    ) {
        match format!("{kind}:{name}").parse() {
            Ok(route) => {
                routes.insert(route, target);
            }
            Err(error) => self.problem(format!("notify.{kind}: {error}")),
        }
    }

    pub(super) fn address(&mut self, what: &str, given: Given) -> Option<crate::secret::Secret> {
        let url = self.secret(what, given)?;
        let web = url.expose().starts_with("https://") || url.expose().starts_with("http://");
        if !web || url.expose().bytes().any(|b| !b.is_ascii_graphic()) {
            self.problem(format!("{what} is not an `https://` address"));
            return None;
        }
        Some(url)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Environment};

    fn read(text: &str) -> Result<Config, Vec<String>> {
        let base = "data = \"/d\"\nwebhook_secrets = [\"0123456789abcdef0123\"]\n[plain.repositories.x]\npath = \"/x\"\n";
        Config::read(&format!("{base}{text}"), &Environment::new(), &|_| {
            Ok("https://hooks.example/secret\n".to_owned())
        })
        .map_err(|problems| problems.0)
    }

    #[test]
    fn e06_routes_are_named_and_their_addresses_are_secrets() {
        let config = read(
            "[notify.slack]\n\"#release\" = { file = \"/f\" }\n\
             [notify.mail.managers]\nserver = \"smtp.example\"\nfrom = \"liftlock@x.example\"\nto = [\"Ana <ana@x.example>\"]\nlogin = \"bot\"\npassword = { file = \"/f\" }\n\
             [notify.webhook.customers]\nurl = \"https://c.example/in\"\nkey = \"whsec_c2VjcmV0\"\n",
        )
        .unwrap();
        let names: Vec<String> = config.notify.routes.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["mail:managers", "slack:#release", "webhook:customers"]);
        assert!(!format!("{:?}", config.notify).contains("example/"), "{:?}", config.notify);
        let hidden: Vec<String> = config.hidden().iter().map(|s| s.expose().to_owned()).collect();
        assert!(hidden.contains(&"https://hooks.example/secret".to_owned()), "{hidden:?}");
        assert!(hidden.contains(&"whsec_c2VjcmV0".to_owned()), "{hidden:?}");
        for (wrong, why) in [
            ("[notify.slack]\n\"a b\" = \"https://x.example\"\n", "is not a route"),
            ("[notify.slack]\na = \"hooks.example\"\n", "is not an `https://` address"),
            ("[notify.webhook.a]\nurl = \"ftp://x\"\n", "is not an `https://` address"),
            ("[notify.mail.a]\nurl = \"x\"\n", "unknown field"),
            (
                "[notify.mail.a]\nserver = \"s\"\nfrom = \"a@b\"\nto = [\"nobody\"]\n",
                "`nobody` is no address",
            ),
            ("[notify.mail.a]\nserver = \"s\"\nfrom = \"a@b\"\nto = []\n", "1 to 50"),
            (
                "[notify.mail.a]\nserver = \"s\"\nfrom = \"a@b\"\nto = [\"a@b\"]\nlogin = \"x\"\n",
                "go together",
            ),
            (
                "[notify.mail.a]\nserver = \"s\"\nfrom = \"a@b\"\nto = [\"a@b\"]\nlogin = \"x\"\npassword = \"p\"\ntls = \"none\"\n",
                "over TLS only",
            ),
        ] {
            let problems = read(wrong).unwrap_err().join("\n");
            assert!(problems.contains(why), "{wrong}: {problems}");
        }
    }
}
