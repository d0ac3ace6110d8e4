//! A config that says one thing beside what every one has to say.

use crate::config::{Config, Environment};
use crate::https::Authorities;

/// Reads it; no file it names is there. The error is all problems, a line each.
pub(super) fn read(text: &str) -> Result<Config, String> {
    let base = "data = \"/d\"\nwebhook_secrets = [\"0123456789abcdef0123\"]\n[plain.repositories.x]\npath = \"/x\"\n";
    let file = |_: &std::path::Path| Err("not there".to_owned());
    Config::read(&format!("{base}{text}"), &Environment::new(), &file)
        .map_err(|problems| problems.0.join("\n"))
}

#[test]
fn authorities_of_ones_own_are_certificates_in_a_file() {
    let gone = read("[probe]\nauthorities = \"/ca.pem\"\n").unwrap_err();
    assert!(gone.contains("probe.authorities: /ca.pem: not there"), "{gone}");
    assert_eq!(Authorities::from_pem(b"a key").unwrap_err(), "there is no certificate in it");
    assert!(Authorities::from_pem(include_bytes!("../../fixtures/authority.pem")).is_ok());
}
