//! `[[repository]]`: other repositories that releases may take the tree of, and where they are fetched from.

use std::path::PathBuf;

use serde::Deserialize;

use super::{BUILDS, Given, Reading};
use crate::domain::manifest::source::normalise_repository;
use crate::domain::name::printable;
use crate::git::fetch::{Credential, Remote};
use crate::git::origin::Origin;
use crate::secret::{Allowed, Secret};

/// One repository as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    address: String,
    path: Option<PathBuf>,
    user: Option<String>,
    token: Option<Given>,
    #[serde(default)]
    public: bool,
    #[serde(default)]
    allow: Vec<Allowed>,
}

impl Reading<'_> {
    pub(super) fn origins(&mut self, given: Vec<Entry>) -> Vec<Origin> {
        let mut origins: Vec<Origin> = Vec::new();
        for file in given {
            let name = match normalise_repository(&file.address) {
                Ok(name) => name,
                Err(error) => {
                    self.problem(format!("repository: {error}"));
                    continue;
                }
            };
            if origins.iter().any(|known| known.name == name) {
                self.problem(format!("two repositories are {name}"));
            }
            self.for_somebody(&format!("repository {name}"), &file.allow, BUILDS);
            let token = file.token.and_then(|given| self.secret(&format!("repository {name}: token"), given));
            let user = file.user.as_deref().unwrap_or("git");
            let remote = remote(&file.address, file.path.as_deref(), token.as_ref().map(|t| (user, t)));
            match remote {
                Ok(remote) => {
                    origins.push(Origin { name, remote, token, public: file.public, allow: file.allow });
                }
                Err(error) => self.problem(format!("repository {name}: {error}")),
            }
        }
        origins
    }
}

/// A folder of this machine, or the address itself with what proves that we may read it.
fn remote(
    address: &str,
    path: Option<&std::path::Path>,
    proof: Option<(&str, &Secret)>,
) -> Result<Remote, String> {
    if let Some(path) = path {
        let local = Remote::local(path).map_err(|trouble| trouble.to_string());
        return if proof.is_some() { Err("path needs no token".to_owned()) } else { local };
    }
    let remote = if address.starts_with("https://") {
        Remote::hosted(address)
    } else if address.starts_with("http://") {
        Remote::loopback(address)
    } else {
        let shown = printable(address);
        return Err(format!("`{shown}` is fetched over https://, or from the folder that path names"));
    };
    let remote = remote.map_err(|trouble| trouble.to_string())?;
    match proof {
        None => Ok(remote),
        Some((user, token)) => {
            let credential =
                Credential::basic(user, token.expose()).map_err(|trouble| trouble.to_string())?;
            Ok(remote.with_credential(credential))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::read;
    use crate::secret::Asking;

    const CONFIG: &str = "[[repository]]\naddress = \"https://gitea.example/acme/Config.git\"\nuser = \"bot\"\n\
                          token = \"canary-of-gitea-4711\"\nallow = [\"shop/build\"]\n";

    #[test]
    fn b13_b16_another_repository_is_known_by_host_and_path_and_is_for_the_builds_it_names() {
        let config = read(CONFIG).unwrap();
        let origin = config.origins.first().unwrap();
        assert_eq!((origin.name.as_str(), origin.public), ("gitea.example/acme/Config", false));
        let allows = |pipeline: &str| {
            let (pipeline, stage) = (pipeline.parse().unwrap(), "build".parse().unwrap());
            origin.allows(Asking { repository: "acme/shop", pipeline: &pipeline, stage: &stage })
        };
        assert!(allows("shop") && !allows("docs"));
        let extended = |allow: &str, repository: &str| {
            let config = read(&CONFIG.replace("shop/build", allow)).unwrap();
            config.origins[0].is_extended_by(&repository.parse().unwrap())
        };
        assert!(!extended("acme/shop:shop/build", "acme/shop"), "its tree is not its rules");
        assert!(extended("acme/*:*/manifest", "acme/shop") && !extended("acme/*:*/manifest", "eve/shop"));
        assert!(config.hidden().iter().any(|secret| secret.expose() == "canary-of-gitea-4711"));
        assert!(!format!("{origin:?}").contains("canary"));
        let folder =
            CONFIG.replace("user = \"bot\"\ntoken = \"canary-of-gitea-4711\"", "path = \"/srv/config.git\"");
        assert_eq!(read(&folder).unwrap().origins.len(), 1);
    }

    #[test]
    fn t38_t40_t52_addresses_that_are_not_fetched_are_refused_with_the_config() {
        for (old, new, why) in [
            ("https://gitea.example/acme/Config.git", "ext::sh -c id", "is not a repository's address"),
            ("https://gitea.example/acme/Config.git", "file:///etc/x", "is not a repository's address"),
            (
                "https://gitea.example/acme/Config.git",
                "https://u:p@gitea.example/a/b",
                "does not belong into a file",
            ),
            ("https://gitea.example/acme/Config.git", "http://gitea.example/a/b", "is not fetched"),
            ("https://gitea.example/acme/Config.git", "git://gitea.example/a/b", "is fetched over https://"),
            ("allow = [\"shop/build\"]", "", "is for nobody"),
            ("token =", "path = \"relative\"\ntoken =", "path needs no token"),
            ("canary-of-gitea-4711", "two words", "printable characters"),
        ] {
            let problems = read(&CONFIG.replace(old, new)).unwrap_err();
            assert!(problems.contains(why), "{new}: {problems}");
            assert!(!problems.contains("canary"), "{problems}");
        }
        assert!(read(&format!("{CONFIG}{CONFIG}")).unwrap_err().contains("two repositories are"));
    }
}
