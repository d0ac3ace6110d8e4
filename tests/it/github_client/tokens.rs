//! Credentials: minted once, narrow, fresh, and never shown.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use std::collections::BTreeSet;
use std::path::Path;

use hyper::Method;
use liftlock::domain::effect::{Status, StatusState};
use liftlock::forge::github::GitHub;
use liftlock::forge::{Forge as _, Source};
use liftlock::trouble::Kind;
use serde_json::{Value, json};

use super::{ANA, WEB, annotated, app, furnish, person, personal, sha, web};
use crate::github::{FakeGitHub, Fault, INSTALLATION};

const MINT: &str = "/access_tokens";

fn minted(fake: &FakeGitHub) -> Vec<Value> {
    fake.requests().into_iter().filter(|r| r.target.contains(MINT)).map(|r| r.body).collect()
}

fn a_status() -> Status {
    Status {
        context: "liftlock/prod".to_owned(),
        state: StatusState::Pending,
        description: "Waits".to_owned(),
        path: "/".to_owned(),
        detail: None,
    }
}

#[tokio::test]
async fn ten_clones_mint_once() {
    let (fake, github) = app().await;
    github.check().await.unwrap();
    let before = minted(&fake).len();
    let calls = (0..10).map(|_| {
        let github = github.clone();
        tokio::spawn(async move { github.merged_pull_request(&web(), &sha('a')).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    assert_eq!(minted(&fake).len() - before, 1);
    fake.finish();
}

#[tokio::test]
async fn t53_each_token_is_for_one_repository_and_one_kind_of_work() {
    let (fake, github) = app().await;
    fake.state().repo(13, "acme/other");
    github.repository(&web()).await.unwrap();
    github.status(&web(), &sha('a'), &a_status()).await.unwrap();
    fake.expect_status(WEB, sha('a').as_str(), "liftlock/prod").await;
    github.source(&web()).await.unwrap();
    github.tag(&web(), &annotated("v1", &sha('a'), "m")).await.unwrap();
    let teams = BTreeSet::from(["acme/release".parse().unwrap()]);
    github.standing(&web(), &person(ANA, "ana"), &teams).await.unwrap();
    let expected = [
        json!({"repositories": ["web"], "permissions": {"metadata": "read"}}),
        json!({"repository_ids": [12], "permissions": {"metadata": "read"}}),
        json!({"repository_ids": [12], "permissions": {
            "contents": "read", "issues": "write", "metadata": "read", "pull_requests": "write", "statuses": "write",
        }}),
        json!({"repository_ids": [12], "permissions": {"contents": "read", "metadata": "read"}}),
        json!({"repository_ids": [12], "permissions": {"contents": "write", "metadata": "read"}}),
        json!({"repository_ids": [12], "permissions": {"members": "read", "metadata": "read"}}),
    ];
    assert_eq!(minted(&fake), expected);
    fake.finish();
}

#[tokio::test]
async fn a_token_that_died_is_replaced_once() {
    let (fake, github) = app().await;
    github.status(&web(), &sha('a'), &a_status()).await.unwrap();
    fake.state().tokens.clear();
    let before = minted(&fake).len();
    github.status(&web(), &sha('b'), &a_status()).await.unwrap();
    assert_eq!(minted(&fake).len() - before, 1);
    fake.expect_status(WEB, sha('a').as_str(), "liftlock/prod").await;
    fake.expect_status(WEB, sha('b').as_str(), "liftlock/prod").await;
    fake.fault(&Method::POST, "/statuses/", 9, Fault::status(401));
    let trouble = github.status(&web(), &sha('c'), &a_status()).await.unwrap_err();
    assert_eq!(trouble.kind(), Kind::Refused);
    assert_eq!(fake.count(&Method::POST, &format!("/statuses/{}", sha('c'))), 2, "once more, then no more");
    fake.finish();
}

#[tokio::test]
async fn a_clock_that_is_off_is_named_in_the_failure() {
    for (ahead_ms, side) in [(400_000, "behind"), (-400_000, "ahead of")] {
        let fake = FakeGitHub::start().await;
        furnish(&fake);
        fake.state().clock_ahead_ms = ahead_ms;
        let github = GitHub::new(fake.settings(&["acme/web"])).unwrap();
        let outcome = github.repository(&web()).await;
        if ahead_ms < 0 {
            let text = outcome.unwrap_err().to_string();
            assert!(text.contains("clock is 6m") && text.contains(side), "{text}");
        } else {
            outcome.unwrap();
        }
        let skew = github.clock_skew_ms();
        assert!((skew + ahead_ms).abs() < 60_000, "{skew}");
        fake.finish();
    }
}

#[tokio::test]
async fn a_limit_on_tokens_is_obeyed_too() {
    let (fake, github) = app().await;
    fake.fault(&Method::POST, MINT, 1, Fault::secondary_limit());
    assert!(github.repository(&web()).await.unwrap_err().is_transient());
    assert!(github.repository(&web()).await.unwrap_err().is_transient());
    assert_eq!(minted(&fake).len(), 1, "the second was not sent");
    fake.finish();
}

#[tokio::test]
async fn an_installation_that_is_new_is_found_again() {
    let (fake, github) = app().await;
    github.repository(&web()).await.unwrap();
    {
        let mut state = fake.state();
        let installation = state.installations.remove(&INSTALLATION).unwrap();
        state.installations.insert(78, installation);
        state.tokens.clear();
    }
    assert!(github.repository(&web()).await.unwrap_err().is_transient());
    github.repository(&web()).await.unwrap();
    fake.finish();
}

#[tokio::test]
async fn an_app_without_a_permission_is_told_which() {
    let (fake, github) = app().await;
    fake.state().installations.get_mut(&INSTALLATION).unwrap().permissions.remove("statuses");
    let trouble = github.status(&web(), &sha('a'), &a_status()).await.unwrap_err();
    assert_eq!(trouble.kind(), Kind::Refused);
    assert!(trouble.to_string().contains("commit statuses"), "{trouble}");
    fake.finish();
}

#[tokio::test]
async fn c16_a_personal_token_must_have_its_scopes() {
    let (fake, github) = personal(Some("repo, gist")).await;
    let trouble = github.check().await.unwrap_err();
    assert!(trouble.to_string().contains("lacks the scope `admin:repo_hook`"), "{trouble}");
    assert!(trouble.to_string().contains("/settings/tokens"), "{trouble}");
    fake.finish();
    for good in [Some("repo, admin:repo_hook"), None] {
        let (fake, github) = personal(good).await;
        let found = github.check().await.unwrap();
        assert_eq!(found[0].name.as_str(), "acme/web");
        assert!(fake.requests().iter().all(|r| r.auth == "personal"));
        fake.finish();
    }
}

#[tokio::test]
async fn t47_no_failure_shows_a_token() {
    let (fake, github) = app().await;
    github.repository(&web()).await.unwrap();
    let tokens: Vec<String> = fake.state().tokens.keys().cloned().collect();
    let echo = json!({"message": format!("what is {}?", tokens.join(" "))});
    for fault in [
        Fault::Answer { status: 400, headers: Vec::new(), body: echo },
        Fault::status(500),
        Fault::DropBefore,
        Fault::with_header(301, "location", "https://evil.example/x"),
    ] {
        fake.fault(&Method::GET, "/repositories/12", 1, fault);
        let trouble = github.repository(&web()).await.unwrap_err();
        let text = format!("{} {trouble:?}", trouble.chain());
        assert!(!text.contains("ghs_") && tokens.iter().all(|t| !text.contains(t)), "{text}");
    }
    assert!(!format!("{github:?}").contains("ghs_"));
    fake.finish();
}

#[tokio::test]
async fn objects_are_fetched_over_http_with_a_narrow_token() {
    let (fake, github) = app().await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fetched-over-http");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    let bare = git2::Repository::init_bare(&folder).unwrap();
    let author = git2::Signature::now("Ana", "ana@example.invalid").unwrap();
    let tree = bare.find_tree(bare.treebuilder(None).unwrap().write().unwrap()).unwrap();
    let head = bare.commit(Some("refs/heads/main"), &author, &author, "First", &tree, &[]).unwrap();
    fake.state().repos.get_mut(&WEB).unwrap().bare = Some(folder.clone());
    let Source::Https { url, credential } = github.source(&web()).await.unwrap() else {
        panic!("not over http")
    };
    assert_eq!(url, format!("{}/git/acme/web.git", fake.origin()));
    let mirror = folder.join("mirror");
    git2::Repository::init_bare(&mirror).unwrap();
    let fetch = |header: String| {
        let mut git = tokio::process::Command::new("git");
        git.arg("-C").arg(&mirror).args([
            "-c",
            &format!("http.extraHeader={header}"),
            "fetch",
            "--depth=1",
            "--",
        ]);
        git.args([&url, &head.to_string()]).env("GIT_TERMINAL_PROMPT", "0").output()
    };
    let refused = fetch("X-Nothing: 1".to_owned()).await.unwrap();
    assert!(!refused.status.success(), "without the token nothing is served");
    let (user, token) = credential.unwrap();
    let pair = BASE64_STANDARD.encode(format!("{user}:{}", token.expose()));
    let fetched = fetch(format!("Authorization: Basic {pair}")).await.unwrap();
    assert!(fetched.status.success(), "{}", String::from_utf8_lossy(&fetched.stderr));
    let mirror = git2::Repository::open_bare(mirror).unwrap();
    assert_eq!(mirror.find_commit(head).unwrap().message(), Ok("First"));
    let commit = head.to_string().parse().unwrap();
    github.tag(&web(), &annotated("v1", &commit, "First release")).await.unwrap();
    let tag = bare.find_reference("refs/tags/v1").unwrap().peel_to_commit().unwrap();
    assert_eq!(tag.id(), head);
    std::fs::remove_dir_all(folder).unwrap();
    fake.finish();
}
