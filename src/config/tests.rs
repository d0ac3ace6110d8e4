//! A config that says one thing beside what every one has to say.

use crate::config::{Config, Environment};
use crate::domain::command::prefix::Prefix;
use crate::https::Authorities;

/// Reads it; no file it names is there. The error is all problems, a line each.
pub(super) fn read(text: &str) -> Result<Config, String> {
    with_base("", text)
}

/// The same with keys that stand before every table.
fn read_before(keys: &str) -> Result<Config, String> {
    with_base(keys, "")
}

fn with_base(keys: &str, text: &str) -> Result<Config, String> {
    let base = "data = \"/d\"\nwebhook_secrets = [\"0123456789abcdef0123\"]\n[plain.repositories.x]\npath = \"/x\"\n";
    let file = |_: &std::path::Path| Err("not there".to_owned());
    Config::read(&format!("{keys}{base}{text}"), &Environment::new(), &file)
        .map_err(|problems| problems.0.join("\n"))
}

#[test]
fn authorities_of_ones_own_are_certificates_in_a_file() {
    let gone = read("[probe]\nauthorities = \"/ca.pem\"\n").unwrap_err();
    assert!(gone.contains("probe.authorities: /ca.pem: not there"), "{gone}");
    assert_eq!(Authorities::from_pem(b"a key").unwrap_err(), "there is no certificate in it");
    assert!(Authorities::from_pem(include_bytes!("../../fixtures/authority.pem")).is_ok());
}

#[test]
fn t01_what_a_gitea_signs_with_is_a_secret_and_no_secret_of_ours() {
    let with = |secret: &str| read_before(&format!("gitea_webhook_secrets = [\"{secret}\"]\n"));
    assert!(with("0123").unwrap_err().contains("gitea_webhook_secrets: "));
    assert!(with("0123456789abcdef0123").unwrap_err().contains("speak in GitHub's name"));
    let config = with("another secret of another host").unwrap();
    assert_eq!(config.gitea_webhook_secrets.len(), 1);
    assert!(config.hidden().iter().any(|secret| secret.expose() == "another secret of another host"));
}

/// A proxy on the same machine speaks from 127.0.0.1 and, as nginx comes, names 127.0.0.1 as the host.
#[test]
fn t32_t51_what_a_proxy_brings_to_the_world_needs_tokens() {
    for url in ["https://releases.example", "http://10.0.0.7:8080", "http://127.0.0.1.example/"] {
        let bare = format!("public_url = \"{url}\"\n");
        let refused = read_before(&bare).unwrap_err();
        assert!(
            refused.contains("a proxy here sends on") && refused.contains("access = \"token\""),
            "{refused}"
        );
        let tokens = "access = \"token\"\ntokens = [\"0123456789abcdef0123456789abcdef\"]\n";
        assert!(read_before(&format!("{bare}{tokens}")).is_ok(), "{url}");
    }
    for url in ["http://127.0.0.1:8080", "http://localhost:8080/", "http://[::1]:8080", "http://127.8.8.8"] {
        assert!(read_before(&format!("public_url = \"{url}\"\n")).is_ok(), "{url}");
    }
}

#[test]
fn check_runs_need_an_app() {
    let github = "[github]\ntoken = \"a token\"\nrepositories = [\"acme/shop\"]\nchecks = true\n";
    let refused = read(github).err().unwrap();
    assert!(refused.contains("github.checks needs app_id and private_key"), "{refused}");
}

#[test]
fn t23_the_prefix_of_commands_is_a_word_that_is_no_command() {
    let with = |word: &str| read_before(&format!("command_prefix = \"{word}\"\n"));
    assert_eq!(with("liftlock").unwrap().command_prefix, "liftlock".parse().unwrap());
    assert_eq!(read("").unwrap().command_prefix, Prefix::default());
    for (word, why) in [("Lift lock", "begins with a small letter"), ("approve", "it is a command itself")] {
        let refused = with(word).unwrap_err();
        assert!(refused.contains("command_prefix") && refused.contains(why), "{refused}");
    }
}

#[test]
fn t47_beside_another_repository_a_secret_says_whom_it_is_for() {
    let one = "data = \"/d\"\nwebhook_secrets = [\"0123456789abcdef0123\"]\n[plain.repositories.x]\npath = \"/x\"\n";
    let two = format!("{one}[plain.repositories.y]\npath = \"/y\"\n");
    let read = |base: &str, secret: &str| {
        let text = format!("{base}[secrets]\nKEY = {secret}\n");
        Config::read(&text, &Environment::new(), &|_| Ok("long enough".to_owned()))
    };
    let open = "\"of nobody else\"";
    assert!(read(one, open).unwrap().secrets["KEY"].allow.is_empty());
    let problems = read(&two, open).unwrap_err().to_string();
    assert!(problems.contains("secrets.KEY is for all 2 repositories: add allow = ["), "{problems}");
    let file = "{ file = \"/k\", allow = [\"x:x/prod\"] }";
    let read_one = read(&two, file).unwrap().secrets["KEY"].clone();
    assert_eq!((read_one.secret.expose(), read_one.allow.len()), ("long enough", 1));
    let problems = read(&two, "{ file = \"/k\", allow = [\"x/prod\"] }").unwrap_err().to_string();
    assert!(problems.contains("secrets.KEY.allow means a pipeline of that name in each of 2"), "{problems}");
}
