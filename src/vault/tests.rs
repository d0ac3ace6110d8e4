//! Stores that work, and stores that are slow, down, empty or endless; keys, seals and passwords.

use std::os::unix::fs::PermissionsExt as _;

use super::seal::generate;
use super::*;
use crate::trouble::Kind;

const CANARY: &str = "canary-9f2c71";
const NOON: Timestamp = Timestamp(1_772_798_400_000);

fn key() -> Key {
    Key::from_hex(&Secret::new("07".repeat(32))).unwrap()
}

fn at(text: &str) -> SecretAddress {
    text.parse().unwrap()
}

/// A store that runs this shell text with the path and the key as its arguments.
fn shell(text: &str, timeout: Span) -> Command {
    let argv = ["/bin/sh", "-c", text, "sh", "{path}", "{key}"].map(str::to_owned).to_vec();
    let environment = BTreeMap::from([("TOKEN".to_owned(), Secret::new(CANARY))]);
    Command { argv, environment, timeout, input: Input::Nothing, allow: Vec::new() }
}

fn vault(name: &str, command: Command) -> Vault {
    let stores = BTreeMap::from([(name.to_owned(), command)]);
    Vault::new(Settings { stores, ..Settings::default() }, key())
}

#[tokio::test]
async fn e22_a_store_is_asked_by_path_and_key_without_a_shell_between() {
    let text = "test -z \"$HOME$LIFTLOCK_TOKEN\" && printf '%s\\n' \"value of $1 $2 with $TOKEN\"";
    let vault = vault("vault", shell(text, Span::seconds(60)));
    let fetched = vault.fetch(&at("vault:kv/sign#key"), b"", NOON).await.unwrap();
    assert_eq!(fetched.value.expose(), format!("value of kv/sign key with {CANARY}"));
    assert_eq!(fetched.version, "at 2026-03-06T12:00:00Z");
    assert!(!format!("{vault:?} {fetched:?}").contains(CANARY));
    assert_eq!(vault.hidden().count(), 1);
    let unknown = vault.fetch(&at("other:kv/sign"), b"", NOON).await.unwrap_err();
    assert!(unknown.to_string().contains("add `[library.stores.other]`"), "{unknown}");
}

#[tokio::test]
async fn e22_exec_names_a_command_of_the_config_and_nothing_else() {
    let vault = vault("signer", shell("echo from-the-signer", Span::seconds(60)));
    assert_eq!(vault.fetch(&at("exec:signer"), b"", NOON).await.unwrap().value.expose(), "from-the-signer");
    let refused = vault.fetch(&at("exec:/bin/cat"), b"", NOON).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Refused);
}

#[tokio::test]
async fn t47_a_store_that_is_slow_down_or_wrong_is_said_without_what_it_printed() {
    let long = Span::seconds(60);
    let rows = [
        (
            shell("echo canary-9f2c71; echo canary-9f2c71 >&2; exit 1", long),
            true,
            "ended with exit status: 1",
        ),
        (
            shell("echo canary-9f2c71; sleep 600", Span::millis(200)),
            true,
            "did not answer for vault:kv/x within",
        ),
        (shell("true", long), false, "is empty"),
        (shell("echo abc", long), false, "too short to be hidden"),
        (shell("yes canary-9f2c71 | head -c 1000000", long), false, "printed more than 64 KiB"),
        (shell("printf '\\377\\376 canary-9f2c71'", long), false, "is not UTF-8"),
    ];
    for (command, passes, words) in rows {
        let vault = vault("vault", command);
        let trouble = vault.fetch(&at("vault:kv/x"), b"", NOON).await.unwrap_err();
        let said = trouble.chain();
        assert!(said.contains(words) && !said.contains("canary"), "{said}");
        assert_eq!(trouble.is_transient(), passes, "{said}");
    }
    let missing = Command { argv: vec!["/nonexistent/vault".to_owned()], ..shell("", long) };
    let trouble = vault("vault", missing).fetch(&at("vault:kv/x"), b"", NOON).await.unwrap_err();
    assert!(trouble.is_transient() && trouble.to_string().contains("cannot be started"), "{trouble}");
}

#[tokio::test]
async fn e22_variables_and_files_only_as_the_config_lists_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::create_dir(path("run")).unwrap();
    for name in ["run/token", "outside"] {
        std::io::Write::write_all(&mut std::fs::File::create(path(name)).unwrap(), b"a-file's-secret\n")
            .unwrap();
    }
    std::os::unix::fs::symlink(path("outside"), path("run/link")).unwrap();
    let env = BTreeMap::from([("SIGN_KEY".to_owned(), Secret::new(CANARY))]);
    let settings = Settings { env, files: vec![path("run").into()], stores: BTreeMap::new() };
    let vault = Vault::new(settings, key());
    assert_eq!(vault.fetch(&at("env:SIGN_KEY"), b"", NOON).await.unwrap().value.expose(), CANARY);
    let file = vault.fetch(&at(&format!("file:{}", path("run/token"))), b"", NOON).await.unwrap();
    assert_eq!(file.value.expose(), "a-file's-secret");
    assert!(file.version.starts_with("of 20"), "{}", file.version);
    for wrong in ["env:PATH".to_owned(), format!("file:{}", path("outside")), "file:/etc/shadow".to_owned()] {
        assert_eq!(vault.check(&at(&wrong)).unwrap_err().kind(), Kind::Refused, "{wrong}");
        assert_eq!(vault.fetch(&at(&wrong), b"", NOON).await.unwrap_err().kind(), Kind::Refused, "{wrong}");
    }
    let link = vault.fetch(&at(&format!("file:{}", path("run/link"))), b"", NOON).await.unwrap_err();
    assert!(link.to_string().contains("not a file inside its listed folder"), "{link}");
    let gone = vault.fetch(&at(&format!("file:{}", path("run/gone"))), b"", NOON).await.unwrap_err();
    assert!(gone.is_transient(), "{gone}");
    assert!("file:/a/../etc/shadow".parse::<SecretAddress>().is_err());
}

#[test]
fn b28_what_is_sealed_opens_in_its_place_under_its_key_alone() {
    let (key, secret) = (key(), Secret::new(CANARY));
    let sealed = key.seal("acme.prod/PASSWORD", &secret).unwrap();
    assert!(!sealed.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()));
    assert_ne!(sealed, key.seal("acme.prod/PASSWORD", &secret).unwrap());
    assert_eq!(key.open("acme.prod/PASSWORD", &sealed).unwrap(), secret);
    let other = Key::from_hex(&Secret::new("08".repeat(32))).unwrap();
    let mut changed = sealed.clone();
    *changed.last_mut().unwrap() ^= 1;
    for trouble in [
        key.open("acme.test/PASSWORD", &sealed).unwrap_err(),
        other.open("acme.prod/PASSWORD", &sealed).unwrap_err(),
        key.open("acme.prod/PASSWORD", &changed).unwrap_err(),
        key.open("acme.prod/PASSWORD", &sealed[..5]).unwrap_err(),
        key.open("acme.prod/PASSWORD", &[]).unwrap_err(),
    ] {
        assert!(trouble.to_string().contains("does not open"), "{trouble}");
    }
}

#[test]
fn b28_a_key_is_made_once_and_is_nobody_elses_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("library.key");
    let sealed = Key::of_file(&path).unwrap().seal("a/B", &Secret::new(CANARY)).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(Key::of_file(&path).unwrap().open("a/B", &sealed).unwrap().expose(), CANARY);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(Key::of_file(&path).unwrap_err().to_string().contains("chmod 600"));
    assert!(Key::from_hex(&Secret::new("abc")).unwrap_err().to_string().contains("64 hex digits"));
}

#[test]
fn b28_a_generated_password_is_long_and_never_the_same() {
    let (one, two) = (generate().unwrap(), generate().unwrap());
    assert_eq!(one.expose().len(), 32);
    assert!(one.expose().bytes().all(|b| b.is_ascii_alphanumeric()));
    assert_ne!(one, two);
}

#[tokio::test]
async fn e22_a_store_reads_the_file_of_the_commit_and_may_hear_enough_of_it() {
    for (text, read) in [("cat", "sealed text"), ("head -c 6 | cat", "sealed"), ("echo without", "without")] {
        let command = Command { input: Input::Repository, ..shell(text, Span::seconds(60)) };
        let vault = vault("age", command);
        assert!(vault.wants_file(&at("age:keys/x")) && !vault.wants_file(&at("env:X")));
        let fetched = vault.fetch(&at("age:keys/x"), b"sealed text", NOON).await.unwrap();
        assert_eq!(fetched.value.expose(), read);
    }
    // More than a pipe holds, for a command that reads nothing of it.
    let command = Command { input: Input::Repository, ..shell("echo without", Span::seconds(60)) };
    let fetched = vault("age", command).fetch(&at("age:keys/x"), &vec![7; 1 << 20], NOON).await.unwrap();
    assert_eq!(fetched.value.expose(), "without");
}

#[test]
fn t47_a_manifest_names_secrets_only_where_the_config_lets_its_stage() {
    let allow = vec!["shop/prod".to_owned().try_into().unwrap()];
    let vault = vault("vault", Command { allow, ..shell("true", Span::seconds(60)) });
    let may = |address: &str, stage: &str| {
        let (pipeline, stage) = ("shop".parse().unwrap(), stage.parse().unwrap());
        vault.may_name(&at(address), Asking { repository: "acme/shop", pipeline: &pipeline, stage: &stage })
    };
    assert!(may("vault:kv/x#y", "prod").is_ok());
    for (address, stage, why) in [
        ("vault:kv/x#y", "test", "is not for acme/shop:shop/test"),
        ("other:kv/x", "prod", "has no secret store `other`"),
        ("env:SIGN", "prod", "only groups of the library have secrets of `env`"),
        ("file:/run/secrets/x", "prod", "only groups of the library"),
        ("sealed:acme.prod/key", "prod", "only groups of the library"),
    ] {
        let refused = may(address, stage).unwrap_err();
        assert!(refused.to_string().contains(why), "{address}: {refused}");
    }
}
