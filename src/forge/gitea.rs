//! What a Gitea or Forgejo tells of a push to a repository that is not served here: which one it was, and no more.
//!
//! Nothing of it is believed: it makes the server look at the repository as its own config knows it.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::domain::manifest::source::normalise_repository;

/// What deliveries of this host are stored under.
pub const SOURCE: &str = "gitea";
/// The event that something was pushed.
pub const PUSH: &str = "push";

#[derive(Deserialize)]
struct Push {
    repository: Repository,
}

#[derive(Deserialize)]
struct Repository {
    #[serde(rename = "clone_url")]
    clone: String,
    #[serde(rename = "html_url")]
    html: Option<String>,
    #[serde(rename = "ssh_url")]
    ssh: Option<String>,
}

/// The addresses, `host/path`, of the repository that was pushed to; or why the body says none.
pub fn pushed(body: &[u8]) -> Result<BTreeSet<String>, String> {
    let push: Push = serde_json::from_slice(body).map_err(|e| format!("not the push of a Gitea: {e}"))?;
    let Repository { clone, html, ssh } = push.repository;
    let given = [Some(clone), html, ssh];
    let known: BTreeSet<String> =
        given.iter().flatten().filter_map(|address| normalise_repository(address).ok()).collect();
    if known.is_empty() {
        Err("not the push of a Gitea: its repository has no address".to_owned())
    } else {
        Ok(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = include_str!("../../fixtures/webhooks/gitea/push.json");

    #[test]
    fn b13_a_push_names_the_repository_as_the_config_does() {
        assert_eq!(pushed(BODY.as_bytes()), Ok(BTreeSet::from(["gitea.example/acme/config".to_owned()])));
        let moved =
            BODY.replace("https://gitea.example/acme/config.git", "http://10.0.0.7:3000/acme/config.git");
        let both = ["10.0.0.7/acme/config", "gitea.example/acme/config"].map(str::to_owned);
        assert_eq!(pushed(moved.as_bytes()), Ok(BTreeSet::from(both)));
    }

    #[test]
    fn t21_a_body_without_a_repository_is_none_and_says_why() {
        for body in ["", "{}", "[]", "payload=%7B%7D", "{\"repository\": {\"clone_url\": \"ext::sh -c id\"}}"]
        {
            let why = pushed(body.as_bytes()).unwrap_err();
            assert!(why.starts_with("not the push of a Gitea"), "{body}: {why}");
        }
    }
}
