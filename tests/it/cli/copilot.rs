//! Copilot's three commands from a folder to production, as the manual has them, against the real program and a fake
//! GitHub.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{SECRET, Server, code, err, git, liftlock, out, run, write};
use crate::github::{FakeGitHub, Hook, PERSONAL_TOKEN, Spot, Webhook};

/// The repository.
const REPO: u64 = 12;
/// Administers it; the token is hers.
const ANA: u64 = 5;
/// Maintains it, too.
const BO: u64 = 6;
const MANUAL: &str = include_str!("../../../docs/copilot.md");

/// The arguments of the manual's line that begins so.
fn told(start: &str) -> Vec<&'static str> {
    let line = MANUAL.lines().find(|line| line.starts_with(start));
    let line = line.unwrap_or_else(|| panic!("the manual has no `{start}`"));
    line.split(" < ").next().unwrap().split(' ').skip(1).collect()
}

/// What stands between these two marks of the manual.
fn between(from: &str, to: &str) -> &'static str {
    MANUAL.split_once(from).and_then(|(_, rest)| rest.split_once(to)).unwrap().0
}

/// Seals ana's token under its name, as `liftlock secret set` reads it from a pipe.
fn seal(at: &Path) {
    std::fs::create_dir(at.join("data")).unwrap();
    let mut command = liftlock(at);
    let pipes = command.args(told("liftlock secret set")).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = pipes.spawn().unwrap();
    child.stdin.take().unwrap().write_all(PERSONAL_TOKEN.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// A server whose config names the token and `acme/shop`, where a project is that has no pipeline yet.
fn set_up(github: &FakeGitHub) -> Server {
    let root = tempfile::tempdir().unwrap();
    {
        let mut state = github.state();
        state.user(ANA, "ana", "User").user(BO, "bo", "User");
        state.personal_token(ANA, Some("repo, admin:repo_hook"));
        let repo = state.repo(REPO, "acme/shop");
        repo.roles = [(ANA, ("admin", "admin")), (BO, ("write", "maintain"))].into();
        repo.default_branch = "trunk".to_owned();
        repo.bare = Some(root.path().join("shop.git"));
    }
    let config = format!(
        "[library]\nkey = \"{}\"\n{}api_url = \"{origin}\"\ngit_url = \"{origin}/git\"\n",
        "07".repeat(32),
        between("```toml\n", "```"),
        origin = github.origin()
    );
    Server::over(root, &config, |at, _| {
        seal(at);
        let clone = at.join("shop");
        write(&clone, "Makefile", "dist:\n\tmkdir -p dist && cp page dist/\n");
        write(&clone, "page", "hello\n");
        git(&clone, &["add", "."]);
        git(&clone, &["commit", "--quiet", "-m", "feat: a page"]);
        git(&clone, &["push", "--quiet", "origin", "HEAD:trunk"]);
    })
}

/// The webhooks of the repository.
fn hooks(github: &FakeGitHub) -> Vec<Hook> {
    github.state().repos[&REPO].hooks.values().cloned().collect()
}

/// Sends what happened to where the repository's webhook says, signed with its secret.
async fn tell(github: &FakeGitHub, told: &Webhook) {
    let [hook] = hooks(github).try_into().unwrap();
    assert_eq!(github.deliver(told, &hook.url, &hook.secret).await, 202);
}

/// The webhook is made, put right when it is asked for again, and has the config's secret.
fn place_webhook(server: &Server, github: &FakeGitHub) {
    for said in ["has a webhook now", "has its webhook as it should be"] {
        let placed = run(server.at(), &told("liftlock pipeline webhook"));
        let told = format!("acme/shop {said}; pushes reach {}\n", server.url);
        assert_eq!((code(&placed), out(&placed)), (0, told), "{}", err(&placed));
    }
    let [hook] = hooks(github).try_into().unwrap();
    assert_eq!(hook.url, format!("{}/webhook/github", server.url));
    assert_eq!((hook.content_type.as_str(), hook.secret.as_str()), ("json", SECRET));
    for event in ["push", "pull_request", "commit_comment", "issue_comment"] {
        assert!(hook.events.iter().any(|heard| heard == event), "{event}: {hook:?}");
    }
}

/// What is said on GitHub is other tests' matter.
fn read_everything(github: &FakeGitHub) {
    let mut state = github.state();
    let repo = state.repos.get_mut(&REPO).unwrap();
    repo.statuses.iter_mut().for_each(|status| status.unread = false);
    repo.comments.values_mut().for_each(|comment| comment.unread = false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_c09_c10_c13_c16_c17_c18_c34_init_push_and_update_make_a_pipeline_and_delete_ends_it() {
    let github = FakeGitHub::start().await;
    let server = set_up(&github);
    let made = run(&server.work(), &told("liftlock pipeline init"));
    assert_eq!(code(&made), 0, "{}", err(&made));
    assert!(out(&made).contains("build: make dist\n"), "{}", out(&made));
    assert!(out(&made).contains("git add .github/liftlock.yml && git commit"), "{}", out(&made));
    assert!(hooks(&github).is_empty(), "it wrote a file here, and nothing else");
    let early = server.ask(&told("liftlock pipeline update"));
    assert!(
        code(&early) == 1 && err(&early).contains("neither `.github/liftlock.yml` nor"),
        "{}",
        err(&early)
    );

    // The file is committed as it was written; nobody tells the server of the push, and `update` starts a release.
    let commit = server.push(&[], "chore: add a release pipeline");
    place_webhook(&server, &github);
    let updated = server.ask(&told("liftlock pipeline update"));
    assert_eq!(code(&updated), 0, "{}", err(&updated));
    assert!(out(&updated).contains(&format!("of trunk at {} is in force: shop", &commit[..7])));
    server.until("prod waits", |s| out(&s.ask(&["why", "latest", "prod"])).contains("0 of 1 approvals"));
    let shown = |s: &Server| out(&s.ask(&["pipeline", "show"]));
    server.until("test is live", |s| shown(s).contains("test             live"));
    let approval = {
        let mut state = github.state();
        // GitHub shows whole seconds: this one is after the release.
        state.clock_ahead_ms += 2_000;
        let comment = state.comment(REPO, Spot::Commit(commit.clone()), BO, "/approve prod v0.1.0-rc.1");
        state.comment_event(REPO, comment, "created")
    };
    tell(&github, &approval).await;
    server.until("prod is live", |s| shown(s).contains("prod             live"));

    // From now on a push is all it takes.
    let next = server.push(&[("page", "hello again\n")], "feat: another page");
    let mut push =
        github.state().push(REPO, "refs/heads/trunk", ANA, &[(next.as_str(), "feat: another page")]);
    push.body = push.body.replace(&"b".repeat(40), &commit);
    tell(&github, &push).await;
    server.until("the next one waits", |s| {
        let why = out(&s.ask(&["why", "latest", "prod"]));
        why.contains("v0.1.0-rc.2") && why.contains("0 of 1 approvals")
    });

    for said in ["its webhook is removed", "there was no webhook of ours"] {
        let deleted = run(server.at(), &told("liftlock pipeline delete"));
        assert_eq!(code(&deleted), 0, "{}", err(&deleted));
        assert!(out(&deleted).contains(said), "{}", out(&deleted));
        assert!(hooks(&github).is_empty());
    }
    assert!(shown(&server).contains("v0.1.0-rc.2"), "what was released stays");
    let root = server.stop();
    let rows = out(&run(root.path(), &["audit", "deployments", "--json"]));
    let rows: Vec<serde_json::Value> = rows.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let prod = rows.iter().find(|row| row["stage"] == "prod" && row["outcome"] == "live").unwrap();
    assert!(prod["approved_by"].as_str().unwrap().starts_with("bo at 20"), "{prod}");
    assert_eq!((&prod["version"], &prod["commit"]), (&"v0.1.0-rc.1".into(), &commit.into()));
    read_everything(&github);
    github.finish();
}

/// `pipeline delete` at a terminal, where somebody types this; how it ends, and what stands there.
fn delete_at_a_terminal(server: &Server, typed: &str) -> (i32, String) {
    let command = format!("{} pipeline delete acme/shop", env!("CARGO_BIN_EXE_liftlock"));
    let mut child = Command::new("script")
        .current_dir(server.at())
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    (code(&done), out(&done))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c35_delete_asks_who_is_there_and_does_nothing_without_a_yes() {
    let github = FakeGitHub::start().await;
    let server = set_up(&github);
    place_webhook(&server, &github);
    let refused = run(server.at(), &["pipeline", "delete", "acme/shop"]);
    assert!(code(&refused) == 1 && err(&refused).contains("add --yes"), "{}", err(&refused));
    for typed in ["n\n", "\n", "acme/shop\n"] {
        let (ended, said) = delete_at_a_terminal(&server, typed);
        assert!(ended == 1 && said.contains("Take the webhook of acme/shop away? [y/N]"), "{said}");
        assert!(said.contains("acme/shop keeps its webhook"), "{said}");
        assert_eq!(hooks(&github).len(), 1, "{typed:?}");
    }
    let (ended, said) = delete_at_a_terminal(&server, "y\n");
    assert!(ended == 0 && said.contains("acme/shop: its webhook is removed"), "{said}");
    assert!(hooks(&github).is_empty());
    drop(server.stop());
    read_everything(&github);
    github.finish();
}

/// The file of the manual is read, and says of its policy what the manual says that it says.
#[test]
fn c24_c40_the_file_of_the_manual_is_read_as_the_manual_says() {
    let at = tempfile::tempdir().unwrap();
    write(at.path(), "copilot/pipeline.yml", between("```yaml\n", "```"));
    write(at.path(), "copilot/buildspec.yml", "version: 0.2\nphases: {build: {commands: [make dist]}}\n");
    let checked = run(at.path(), &["check"]);
    assert_eq!(code(&checked), 0, "{}{}", out(&checked), err(&checked));
    let said = format!("{}{}", out(&checked), err(&checked));
    assert!(said.contains(between("who has to give what: ``", " ``")), "{said}");
    assert!(said.contains("ok: pipeline shop with stages test, prod"), "{said}");
}

#[test]
fn c35_the_pipelines_of_this_folder_are_listed_without_a_server() {
    let at = tempfile::tempdir().unwrap();
    let ls = |more: &[&str]| {
        run(at.path(), &[&["pipeline", "ls", "--local", "--server", "http://127.0.0.1:1"], more].concat())
    };
    let none = ls(&[]);
    assert!(code(&none) == 1 && out(&none).is_empty(), "{}{}", out(&none), err(&none));
    let manifest = "version: 1\npipelines:\n  api: {deploy: \"true\", stages: [test, prod]}\n  site: {deploy: \"true\", stages: [live]}\n";
    write(at.path(), ".github/liftlock.yml", manifest);
    let listed = ls(&[]);
    let lines: Vec<String> =
        out(&listed).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines, ["api test, prod", "site live"], "{}", err(&listed));
    let json: serde_json::Value = serde_json::from_str(&out(&ls(&["--json"]))).unwrap();
    let expected = serde_json::json!({ "pipelines": [
        { "name": "api", "stages": ["test", "prod"] },
        { "name": "site", "stages": ["live"] },
    ] });
    assert_eq!(json, expected);
    write(at.path(), ".github/liftlock.yml", &manifest.replace("stages: [live]", "stags: [live]"));
    let wrong = ls(&[]);
    assert!(code(&wrong) == 1 && err(&wrong).contains("stags"), "{}", err(&wrong));
}

/// A stage on its own, and one with everything that the server can have for it.
const WITH_RESOURCES: &str = r#"version: 1
name: shop
environments: {production: {url: "https://shop.example"}}
notify: [{to: "webhook:gone", events: [deployed]}]
stages:
  - {name: test, deploy: "true"}
  - name: prod
    environment: production
    targets: {roles: [web]}
    deploy:
      - {run: "true", connection: cloud}
      - {run: "true", connection: cloud}
      - {run: "true", connection: gone}
"#;

#[test]
fn c35_show_lists_what_the_pipeline_works_with() {
    let server = Server::with(
        "[connections.cloud]\nenvironment = { REGION = \"north\" }\nallow = [\"shop/prod\"]\n\
         [[target]]\nname = \"web-1\"\nenvironment = \"production\"\nroles = [\"web\"]\nkind = \"local\"\n\
         address = \"10.0.0.1\"\nallow = [\"shop/prod\"]\n\
         [[target]]\nname = \"db-1\"\nenvironment = \"production\"\nroles = [\"db\"]\nkind = \"local\"\n\
         address = \"10.0.0.2\"\nallow = [\"shop/prod\"]\n",
    );
    server.push(&[(".github/liftlock.yml", WITH_RESOURCES)], "feat: one");
    server.until("test is live", |s| out(&s.ask(&["pipeline", "show"])).contains("test             live"));
    let plain = out(&server.ask(&["pipeline", "show"]));
    assert!(!plain.contains("10.0.0.1"), "{plain}");
    let shown = out(&server.ask(&["pipeline", "show", "--resources"]));
    assert!(shown.starts_with("plain:shop/shop v0.1.0-rc.1 "), "{shown}");
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let kinds = ["webhook ", "environment ", "target ", "connection ", "route "];
    let listed: Vec<String> =
        shown.lines().filter(|line| kinds.iter().any(|kind| line.starts_with(kind))).map(words).collect();
    assert_eq!(
        listed,
        [
            format!("webhook plain {}/webhook/plain", server.url),
            "environment test test".to_owned(),
            "environment production https://shop.example prod".to_owned(),
            "target web-1 10.0.0.1 prod".to_owned(),
            "connection cloud prod".to_owned(),
            "connection gone prod the server has no connection `gone`; add [connections.gone] to its config"
                .to_owned(),
            "route webhook:gone the server's config has no such route, so nobody is told there".to_owned(),
        ],
        "{shown}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&out(&server.ask(&["pipeline", "show", "--resources", "--json"]))).unwrap();
    assert_eq!((&json["version"], json["resources"].as_array().unwrap().len()), (&"v0.1.0-rc.1".into(), 7));
}
