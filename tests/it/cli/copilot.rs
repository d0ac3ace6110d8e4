//! Copilot's three commands from a folder to production, against the real program and a fake GitHub.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use super::{SECRET, Server, code, err, git, liftlock, out, run, write};
use crate::github::{FakeGitHub, Hook, PERSONAL_TOKEN, Spot, Webhook};

/// The repository.
const REPO: u64 = 12;
/// Administers it; the token is hers.
const ANA: u64 = 5;
/// Maintains it, too.
const BO: u64 = 6;
/// The name that Copilot gives to a token.
const NAME: &str = "github-token-shop";

/// Seals ana's token under its name, as `liftlock secret set` reads it from a pipe.
fn seal(at: &Path) {
    std::fs::create_dir(at.join("data")).unwrap();
    let mut command = liftlock(at);
    let pipes = command.args(["secret", "set", NAME]).stdin(Stdio::piped()).stdout(Stdio::null());
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
        "[library]\nkey = \"{}\"\n[github]\ntoken = {{ sealed = \"{NAME}\" }}\nrepositories = [\"acme/shop\"]\n\
         api_url = \"{origin}\"\ngit_url = \"{origin}/git\"\n",
        "07".repeat(32),
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
        let placed = run(server.at(), &["pipeline", "webhook", "acme/shop"]);
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
    let made = run(&server.work(), &["pipeline", "init", "--name", "shop"]);
    assert_eq!(code(&made), 0, "{}", err(&made));
    assert!(out(&made).contains("build: make dist\n"), "{}", out(&made));
    assert!(out(&made).contains("git add .github/liftlock.yml && git commit"), "{}", out(&made));
    assert!(hooks(&github).is_empty(), "it wrote a file here, and nothing else");
    let early = server.ask(&["pipeline", "update", "acme/shop"]);
    assert!(
        code(&early) == 1 && err(&early).contains("neither `.github/liftlock.yml` nor"),
        "{}",
        err(&early)
    );

    // The file is committed as it was written; nobody tells the server of the push, and `update` starts a release.
    let commit = server.push(&[], "chore: add a release pipeline");
    place_webhook(&server, &github);
    let updated = server.ask(&["pipeline", "update", "acme/shop"]);
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
        let deleted = run(server.at(), &["pipeline", "delete", "acme/shop"]);
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
