//! Pace: one write at a time, silence when GitHub asks for it.

use std::sync::Arc;

use hyper::Method;
use liftlock::domain::effect::Place;
use liftlock::domain::time::Span;
use liftlock::forge::Forge as _;
use liftlock::forge::github::{GitHub, Settings};
use liftlock::service::silence::share;
use liftlock::store::{self, Store};
use liftlock::trouble::Kind;
use tokio::sync::Semaphore;

use super::{WEB, app, furnish, sha, web};
use crate::github::{FakeGitHub, Fault, Spot};

fn waits(kind: Kind) -> Option<Span> {
    match kind {
        Kind::Transient { retry_after } => retry_after,
        Kind::Refused | Kind::NotFound | Kind::Conflict | Kind::Bug => None,
    }
}

#[tokio::test]
async fn writes_of_an_installation_go_one_after_the_other() {
    let (fake, github) = app().await;
    let permits = Arc::new(Semaphore::new(0));
    fake.fault(&Method::POST, "/issues/2/comments", 4, Fault::Held(Arc::clone(&permits)));
    let calls = (0..4).map(|n| {
        let github = github.clone();
        let place = Place::Thread("2".parse().unwrap());
        tokio::spawn(async move { github.say(&web(), &place, &format!("note/{n}"), "hello").await })
    });
    let calls: Vec<_> = calls.collect();
    fake.expect_requests(4, &Method::GET, "/issues/2/comments").await;
    for sent in 1..=4 {
        fake.expect_requests(sent, &Method::POST, "/issues/2/comments").await;
        // Reads are not held up, and give a second write every chance to come.
        for _ in 0..5 {
            github.repository(&web()).await.unwrap();
        }
        assert_eq!(fake.count(&Method::POST, "/issues/2/comments"), sent, "one at a time");
        permits.add_permits(1);
    }
    for call in calls {
        call.await.unwrap().unwrap();
        fake.expect_comment(WEB, &Spot::Thread(2)).await;
    }
    fake.finish();
}

#[tokio::test]
async fn content_that_would_wait_too_long_is_put_off() {
    let fake = FakeGitHub::start().await;
    furnish(&fake);
    let pause_between_writes = Span::minutes(5);
    let settings = Settings { pause_between_writes, ..fake.settings(&["acme/web"]) };
    let github = GitHub::new(settings).unwrap();
    let place = Place::Thread("2".parse().unwrap());
    github.say(&web(), &place, "note/1", "hello").await.unwrap();
    fake.expect_comment(WEB, &Spot::Thread(2)).await;
    let trouble = github.say(&web(), &place, "note/2", "hello").await.unwrap_err();
    let wait = waits(trouble.kind()).unwrap();
    assert!(wait > Span::minutes(4) && wait <= Span::minutes(6), "{wait}");
    assert_eq!(fake.count(&Method::POST, "/comments"), 1);
    github.say(&web(), &place, "note/1", "edited").await.unwrap();
    fake.expect_comment(WEB, &Spot::Thread(2)).await;
    fake.finish();
}

#[tokio::test]
async fn a_secondary_limit_without_headers_means_a_minute_of_silence() {
    let (fake, github) = app().await;
    github.repository(&web()).await.unwrap();
    fake.fault(&Method::GET, "/repositories/12", 1, Fault::secondary_limit());
    let trouble = github.repository(&web()).await.unwrap_err();
    assert_eq!(waits(trouble.kind()), Some(Span::minutes(1)));
    let before = fake.requests().len();
    let trouble = github.merged_pull_request(&web(), &sha('a')).await;
    // The token for another kind of work is the app's own business; the installation itself stays silent.
    let wait = waits(trouble.unwrap_err().kind()).unwrap();
    assert!(wait > Span::seconds(30) && wait <= Span::minutes(1), "{wait}");
    let after: Vec<_> = fake.requests().split_off(before);
    assert!(after.iter().all(|r| r.auth == "app"), "{after:?}");
    fake.finish();
}

#[tokio::test]
async fn githubs_own_wait_is_obeyed_and_a_lack_of_rights_is_no_limit() {
    let (fake, github) = app().await;
    github.repository(&web()).await.unwrap();
    let denied = serde_json::json!({"message": "Resource not accessible by integration"});
    let denied = Fault::Answer { status: 403, headers: Vec::new(), body: denied };
    fake.fault(&Method::GET, "/repositories/12", 1, denied);
    assert_eq!(github.repository(&web()).await.unwrap_err().kind(), Kind::Refused);
    github.repository(&web()).await.unwrap();
    fake.fault(&Method::GET, "/repositories/12", 1, Fault::with_header(429, "retry-after", "3600"));
    let trouble = github.repository(&web()).await.unwrap_err();
    assert_eq!(waits(trouble.kind()), Some(Span::hours(1)));
    fake.finish();
}

/// Each process has its own connections and its own lane; what GitHub asks of one it means for all.
#[tokio::test]
async fn a_silence_that_one_process_was_asked_for_is_kept_by_the_others() {
    let (fake, told) = app().await;
    let other = GitHub::new(fake.settings(&["acme/web"])).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("liftlock.db").display());
    let store = Store::open(&store::Settings::new(&url)).await.unwrap();
    told.repository(&web()).await.unwrap();
    other.repository(&web()).await.unwrap();
    fake.fault(&Method::GET, "/repositories/12", 1, Fault::with_header(429, "retry-after", "600"));
    told.repository(&web()).await.unwrap_err();
    share(&store, "github", &told).await.unwrap();
    share(&store, "github", &other).await.unwrap();
    let before = fake.requests().len();
    let wait = waits(other.repository(&web()).await.unwrap_err().kind()).unwrap();
    assert!(wait > Span::minutes(9) && wait <= Span::minutes(10), "{wait}");
    assert_eq!(fake.requests().len(), before, "nothing was asked");
    // Told back and forth, it does not grow.
    for github in [&told, &other, &told] {
        share(&store, "github", github).await.unwrap();
    }
    assert!(store.silence("github:77").await.unwrap() <= Span::minutes(10));
    store.close().await;
    fake.finish();
}

#[tokio::test]
async fn the_figures_of_the_last_answer_are_kept() {
    let (fake, github) = app().await;
    github.repository(&web()).await.unwrap();
    let headers = vec![
        ("x-ratelimit-limit", "5000".to_owned()),
        ("x-ratelimit-remaining", "4999".to_owned()),
        ("x-ratelimit-reset", "1800000000".to_owned()),
    ];
    let body = serde_json::json!({"id": 12, "full_name": "acme/web", "default_branch": "trunk"});
    fake.fault(&Method::GET, "/repositories/12", 1, Fault::Answer { status: 200, headers, body });
    assert_eq!(github.repository(&web()).await.unwrap().default_branch.as_str(), "trunk");
    let rates = github.rates();
    assert_eq!(rates.len(), 1);
    assert_eq!((rates[0].installation, rates[0].limit, rates[0].remaining), (77, 5000, 4999));
    fake.finish();
}

#[tokio::test]
async fn what_github_answers_is_counted_by_route_and_status_and_names_nobody() {
    let (fake, github) = app().await;
    github.repository(&web()).await.unwrap();
    let denied =
        Fault::Answer { status: 403, headers: Vec::new(), body: serde_json::json!({"message": "no"}) };
    fake.fault(&Method::GET, "/repositories/12", 1, denied);
    assert_eq!(github.repository(&web()).await.unwrap_err().kind(), Kind::Refused);
    let answers = github.answers();
    let count = |route: &str, status: u16| answers.get(&(route.to_owned(), status)).copied();
    assert_eq!(count("/repositories/{}", 403), Some(1));
    assert!(count("/repositories/{}", 200).is_some_and(|count| count > 0), "{answers:?}");
    assert_eq!(count("/app/installations/{}/access_tokens", 201), Some(2), "{answers:?}");
    fake.finish();
}
