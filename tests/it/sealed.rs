//! Secrets of the config that are sealed in the data folder, against the real program and a fake GitHub.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use liftlock::artifact::file::write_synced;

use crate::github::{FakeGitHub, PERSONAL_TOKEN};

/// The name that Copilot gave to the token, and wrote into the manifest.
const NAME: &str = "github-token-ecs-kudos-demo-api-frontend";

async fn run(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_liftlock"));
    command.current_dir(folder).env_clear().env("PATH", "/usr/bin:/bin").args(arguments);
    let input = input.to_owned();
    let done = tokio::task::spawn_blocking(move || {
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    });
    done.await.unwrap()
}

fn said(output: &Output) -> String {
    let both = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8(both).unwrap()
}

/// Every byte of every file below a folder.
fn bytes_below(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        all.extend(if path.is_dir() { bytes_below(&path) } else { std::fs::read(path).unwrap() });
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c16_c18_the_token_is_sealed_under_the_name_that_the_manifest_gives_it() {
    let github = FakeGitHub::start().await;
    {
        let mut state = github.state();
        state.user(5, "ana", "User");
        state.repo(12, "acme/shop").roles.insert(5, ("admin", "admin"));
        state.personal_token(5, Some("repo, admin:repo_hook"));
    }
    let token = PERSONAL_TOKEN;
    let root = tempfile::tempdir().unwrap();
    let at = root.path();
    let config = format!(
        "data = \"{}/data\"\nwebhook_secrets = [\"0123456789abcdef0123456789abcdef\"]\n[library]\nkey = \"{}\"\n\
         [github]\ntoken = {{ sealed = \"{NAME}\" }}\nrepositories = [\"acme/shop\"]\napi_url = \"{}\"\n",
        at.display(),
        "07".repeat(32),
        github.origin()
    );
    let write = |text: &str| write_synced(&at.join("liftlock.toml"), text.as_bytes(), 0o600).unwrap();
    write(&config);
    std::fs::create_dir(at.join("data")).unwrap();

    let before = said(&run(at, &["doctor", "--config", "liftlock.toml"], "").await);
    assert!(before.contains(&format!("`liftlock secret set {NAME}` seals one")), "{before}");
    let set = run(at, &["secret", "set", NAME, "--config", "liftlock.toml"], &format!("{token}\n")).await;
    assert!(set.status.success() && !said(&set).contains(token), "{}", said(&set));

    let after = said(&run(at, &["doctor", "--config", "liftlock.toml"], "").await);
    assert!(after.contains("answers, 1 repositories"), "{after}");
    let kept = bytes_below(at);
    assert!(!kept.windows(token.len()).any(|found| found == token.as_bytes()), "it is nowhere in the clear");

    // Under another name, or with another key, the same bytes open nothing.
    std::fs::copy(at.join("data/secrets").join(NAME), at.join("data/secrets/other")).unwrap();
    write(&config.replace(NAME, "other"));
    let moved = said(&run(at, &["doctor", "--config", "liftlock.toml"], "").await);
    assert!(moved.contains("github.token: the sealed secret of config/other does not open"), "{moved}");
    write(&config.replace("07", "08"));
    let other_key = said(&run(at, &["doctor", "--config", "liftlock.toml"], "").await);
    assert!(other_key.contains("does not open"), "{other_key}");
    let climbs = run(at, &["secret", "set", "../evil", "--config", "liftlock.toml"], "x").await;
    assert!(said(&climbs).contains("`../evil` is no name of a sealed secret"), "{}", said(&climbs));
    github.finish();
}
