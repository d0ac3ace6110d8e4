//! Where requests go, what they carry, and how failures end.

use std::sync::Arc;

use hyper::Method;
use liftlock::domain::name::RepoId;
use liftlock::domain::time::Span;
use liftlock::forge::Forge as _;
use liftlock::forge::github::{GitHub, Settings};
use liftlock::trouble::Kind;
use tokio::sync::Semaphore;

use super::{WEB, app, furnish, sha, web};
use crate::github::{FakeGitHub, Fault, PUBLIC_URL};

#[tokio::test]
async fn every_request_introduces_itself_once() {
    let (fake, github) = app().await;
    github.repository(&web()).await.unwrap();
    for request in fake.requests() {
        let agents: Vec<_> = request.headers.get_all("user-agent").iter().collect();
        assert_eq!(agents.len(), 1, "{request:?}");
        assert!(agents[0].to_str().unwrap().starts_with("liftlock/"));
        let versions: Vec<_> = request.headers.get_all("x-github-api-version").iter().collect();
        assert_eq!(versions, ["2022-11-28"]);
        assert_ne!(request.auth, "none");
    }
    fake.finish();
}

#[tokio::test]
async fn an_enterprise_server_is_asked_below_its_path() {
    let fake = FakeGitHub::start_below("/api/v3").await;
    furnish(&fake);
    let github = GitHub::new(fake.settings(&["acme/web"])).unwrap();
    assert_eq!(github.check().await.unwrap()[0].default_branch.as_str(), "main");
    assert!(fake.requests().iter().all(|r| r.target.starts_with("/api/v3/")));
    fake.finish();
}

#[tokio::test]
async fn a_renamed_repository_keeps_its_number() {
    let (fake, github) = app().await;
    github.repository(&web()).await.unwrap();
    fake.state().repos.get_mut(&WEB).unwrap().name = "acme/site".to_owned();
    assert_eq!(github.repository(&web()).await.unwrap().name.as_str(), "acme/site");
    fake.finish();
}

#[tokio::test]
async fn a_read_follows_a_redirect_on_the_same_host() {
    let (fake, github) = app().await;
    github.repository(&web()).await.unwrap();
    let location = format!("{}/repositories/12", fake.origin());
    fake.fault(&Method::GET, "/repositories/12/commits", 1, Fault::with_header(301, "location", location));
    let trouble = github.merged_pull_request(&web(), &sha('a')).await.unwrap_err();
    assert!(trouble.to_string().contains("not understood"), "it read the other thing: {trouble}");
    let target = fake.requests().last().unwrap().clone();
    assert_eq!((target.target.as_str(), target.auth), ("/repositories/12", "installation"));
    fake.finish();
}

#[tokio::test]
async fn t52_another_host_never_sees_a_request() {
    let (fake, github) = app().await;
    github.repository(&web()).await.unwrap();
    let canary = FakeGitHub::start().await;
    let away = format!("{}/repositories/12", canary.origin());
    fake.fault(&Method::GET, "/repositories/12", 1, Fault::with_header(302, "location", away.clone()));
    let trouble = github.repository(&web()).await.unwrap_err();
    assert_eq!(trouble.kind(), Kind::Refused);
    assert!(trouble.to_string().contains("another host"), "{trouble}");
    fake.fault(&Method::POST, "/statuses/", 1, Fault::with_header(307, "location", away));
    let status = liftlock::domain::effect::Status {
        context: "liftlock/prod".to_owned(),
        state: liftlock::domain::effect::StatusState::Pending,
        description: String::new(),
        path: "/".to_owned(),
        detail: None,
    };
    let trouble = github.status(&web(), &sha('a'), &status).await.unwrap_err();
    assert_eq!(trouble.kind(), Kind::Refused);
    assert!(trouble.to_string().contains("a write is never sent to another address"), "{trouble}");
    assert!(canary.requests().is_empty(), "{:?}", canary.requests());
    canary.finish();
    fake.finish();
}

#[tokio::test]
async fn t52_https_never_falls_back_to_plain_http() {
    let fake = FakeGitHub::start().await;
    furnish(&fake);
    let api_url = fake.origin().replace("http://", "https://");
    let github = GitHub::new(Settings { api_url, ..fake.settings(&["acme/web"]) }).unwrap();
    assert!(github.repository(&web()).await.unwrap_err().is_transient());
    assert!(fake.requests().is_empty());
    fake.finish();
}

#[tokio::test]
async fn t52_addresses_in_answers_lead_nowhere() {
    // Every address in the fake's answers has the host `payload-address.invalid`: using one would fail the call.
    let (fake, github) = app().await;
    let hosts: Vec<_> = {
        github.check().await.unwrap();
        let requests = fake.requests();
        requests.iter().map(|r| r.headers["host"].to_str().unwrap().to_owned()).collect()
    };
    assert!(hosts.iter().all(|host| fake.origin().ends_with(host)), "{hosts:?}");
    fake.finish();
}

#[tokio::test]
async fn t09_a_repository_that_is_not_configured_is_refused_unasked() {
    let (fake, github) = app().await;
    fake.state().repo(13, "acme/other");
    github.repository(&web()).await.unwrap();
    let before = fake.requests().len();
    for stranger in ["github:13", "github:99", "plain:web"] {
        let repo: RepoId = stranger.parse().unwrap();
        let trouble = github.repository(&repo).await.unwrap_err();
        assert_eq!(trouble.kind(), Kind::Refused, "{stranger}");
        assert!(github.source(&repo).await.is_err());
    }
    assert_eq!(fake.requests().len(), before);
    fake.finish();
}

#[tokio::test]
async fn t09_a_new_repository_under_the_old_name_is_another() {
    let (fake, github) = app().await;
    github.repository(&web()).await.unwrap();
    fake.state().repos.get_mut(&WEB).unwrap().name = "acme/old".to_owned();
    fake.state().repo(99, "acme/web");
    let impostor: RepoId = "github:99".parse().unwrap();
    assert_eq!(github.repository(&impostor).await.unwrap_err().kind(), Kind::Refused);
    assert_eq!(github.repository(&web()).await.unwrap().name.as_str(), "acme/old");
    fake.finish();
}

#[tokio::test]
async fn an_app_that_is_not_installed_is_told_so() {
    let fake = FakeGitHub::start().await;
    furnish(&fake);
    let github = GitHub::new(fake.settings(&["acme/elsewhere"])).unwrap();
    let text = github.check().await.unwrap_err().to_string();
    assert!(text.starts_with("the GitHub App is not installed on `acme/elsewhere`; install it"), "{text}");
    fake.finish();
}

#[tokio::test]
async fn a_write_is_sent_once_whatever_goes_wrong() {
    let fake = FakeGitHub::start().await;
    furnish(&fake);
    let settings = Settings { deadline: Span::millis(300), ..fake.settings(&["acme/web"]) };
    let github = GitHub::new(settings).unwrap();
    github.repository(&web()).await.unwrap();
    let faults = [
        Fault::status(502),
        Fault::status(503),
        Fault::DropBefore,
        Fault::DropAfter,
        Fault::Held(Arc::new(Semaphore::new(0))),
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        let digit = char::from_digit(u32::try_from(n).unwrap(), 16).unwrap();
        fake.fault(&Method::POST, "/statuses/", 1, fault.clone());
        let status = liftlock::domain::effect::Status {
            context: "liftlock/prod".to_owned(),
            state: liftlock::domain::effect::StatusState::Pending,
            description: String::new(),
            path: "/".to_owned(),
            detail: None,
        };
        let trouble = github.status(&web(), &sha(digit), &status).await.unwrap_err();
        assert!(trouble.is_transient(), "{fault:?}: {trouble}");
        assert_eq!(fake.count(&Method::POST, sha(digit).as_str()), 1, "{fault:?}");
        let applied = !fake.state().repos[&WEB].statuses.is_empty();
        if applied {
            fake.expect_status(WEB, sha(digit).as_str(), "liftlock/prod").await;
            fake.state().repos.get_mut(&WEB).unwrap().statuses.clear();
        }
        assert_eq!(applied, matches!(fault, Fault::DropAfter));
    }
    fake.finish();
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let (fake, github) = app().await;
    github.repository(&web()).await.unwrap();
    let body = serde_json::Value::String("x".repeat(33 * 1024 * 1024));
    fake.fault(&Method::GET, "/repositories/12", 1, Fault::Answer { status: 200, headers: Vec::new(), body });
    let trouble = github.repository(&web()).await.unwrap_err();
    assert!(trouble.is_transient());
    assert!(trouble.chain().contains("length limit exceeded"), "{}", trouble.chain());
    fake.finish();
}

#[tokio::test]
async fn a_bad_address_is_refused_at_the_start() {
    let fake = FakeGitHub::start().await;
    for bad in ["http://api.example", "api.github.com", "https://x:y@api.github.com"] {
        let settings = Settings { api_url: bad.to_owned(), ..fake.settings(&[]) };
        assert_eq!(GitHub::new(settings).unwrap_err().kind(), Kind::Refused, "{bad}");
        let settings = Settings { git_url: Some(bad.to_owned()), ..fake.settings(&[]) };
        assert!(GitHub::new(settings).is_err());
    }
    assert!(PUBLIC_URL.starts_with("https://"));
    fake.finish();
}
