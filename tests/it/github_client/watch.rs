//! What others put on a commit, and issues that match a search.

use liftlock::domain::effect::StatusState;
use liftlock::forge::Forge as _;
use serde_json::json;

use super::{ANA, WEB, app, sha, web};
use crate::github::{APP_ID, Check, FakeGitHub};

fn put_status(fake: &FakeGitHub, context: &str, state: &str, by: u64) {
    fake.state().status(WEB, &"a".repeat(40), (context, state), by);
}

fn put_check(fake: &FakeGitHub, id: u64, name: &str, app: u64) {
    let body = json!({"status": "completed", "conclusion": "success"});
    let check = Check { sha: "a".repeat(40), name: name.to_owned(), app, body, unread: false };
    fake.state().repos.get_mut(&WEB).unwrap().checks.insert(id, check);
}

#[tokio::test]
async fn d23_the_statuses_of_a_commit_come_newest_first_with_their_writers_over_all_pages() {
    let (fake, github) = app().await;
    put_status(&fake, "ci/val-build", "pending", ANA);
    for n in 0..250 {
        put_status(&fake, &format!("noise/{n}"), "success", ANA);
    }
    let statuses = github.statuses(&web(), &sha('a')).await.unwrap();
    assert_eq!(statuses.len(), 251);
    assert_eq!(statuses[0].context, "noise/249");
    let last = &statuses[250];
    assert_eq!((last.context.as_str(), last.state), ("ci/val-build", StatusState::Pending));
    assert_eq!(last.by.as_ref().unwrap().as_str(), "ana");
    assert_eq!(github.statuses(&web(), &sha('b')).await.unwrap(), []);
    fake.finish();
}

#[tokio::test]
async fn t55_check_runs_come_with_their_apps_over_all_pages() {
    let (fake, github) = app().await;
    put_check(&fake, 10, "build", APP_ID);
    for id in 11..=150 {
        put_check(&fake, id, "build", APP_ID + 1);
    }
    put_check(&fake, 9, "other", APP_ID);
    let runs = github.check_runs(&web(), &sha('a'), "build").await.unwrap();
    assert_eq!(runs.len(), 141);
    let ours: Vec<_> = runs.iter().filter(|run| run.app == Some(APP_ID)).collect();
    assert_eq!((ours.len(), ours[0].id, ours[0].conclusion.as_deref()), (1, 10, Some("success")));
    fake.finish();
}

#[tokio::test]
async fn issues_are_counted_in_the_repository_that_is_meant() {
    let (fake, github) = app().await;
    fake.state().repo(13, "acme/other");
    for number in 1..=4 {
        fake.state().issue(13, number, ANA, None);
    }
    assert_eq!(github.count_issues(&web(), "state:open").await.unwrap(), 1, "pull requests are no issues");
    assert_eq!(github.count_issues(&web(), "is:pr").await.unwrap(), 2);
    assert_eq!(github.count_issues(&web(), "repo:Acme/Web Thread 1").await.unwrap(), 1);
    let error = github.count_issues(&web(), "repo:acme/other").await.unwrap_err();
    assert!(error.to_string().contains("`acme/other` is not in the server's config"), "{error}");
    assert!(github.count_issues(&web(), "org:acme").await.is_err());
    let incomplete = crate::github::Fault::Answer {
        status: 200,
        headers: Vec::new(),
        body: json!({"total_count": 0, "incomplete_results": true, "items": []}),
    };
    fake.fault(&hyper::Method::GET, "/search/issues", 1, incomplete);
    assert!(github.count_issues(&web(), "state:open").await.unwrap_err().is_transient());
    fake.finish();
}
