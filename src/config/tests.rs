//! A config that says one thing beside what every one has to say.

use crate::config::{Config, Environment};

/// Reads it; no file it names is there. The error is all problems, a line each.
pub(super) fn read(text: &str) -> Result<Config, String> {
    let base = "data = \"/d\"\nwebhook_secrets = [\"0123456789abcdef0123\"]\n[plain.repositories.x]\npath = \"/x\"\n";
    let file = |_: &std::path::Path| Err("not there".to_owned());
    Config::read(&format!("{base}{text}"), &Environment::new(), &file)
        .map_err(|problems| problems.0.join("\n"))
}

#[test]
fn authorities_of_ones_own_are_certificates_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("authorities.pem");
    let with = |path: &std::path::Path| read(&format!("[probe]\nauthorities = \"{}\"\n", path.display()));
    assert!(with(&path).unwrap_err().contains("probe.authorities: "), "there is none");
    crate::artifact::file::write_synced(&path, b"no certificate", 0o644).unwrap();
    assert!(with(&path).unwrap_err().contains("there is no certificate in it"));
}
