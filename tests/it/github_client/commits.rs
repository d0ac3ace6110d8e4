//! Statuses, check runs, tags, and the pull request behind a commit.

use liftlock::domain::effect::{Button, Detail, Offering, Status, StatusState};
use liftlock::domain::event::ApprovalSide;
use liftlock::domain::name::ReleaseNo;
use liftlock::forge::github::{GitHub, Settings};
use liftlock::forge::{Forge as _, Tagged};
use serde_json::json;

use super::{ANA, WEB, annotated, app, furnish, sha, web};
use crate::github::{APP_ID, Check, FakeGitHub};

fn status(state: StatusState, description: &str) -> Status {
    Status {
        context: "liftlock/web/prod".to_owned(),
        state,
        description: description.to_owned(),
        path: "/p/web/1".to_owned(),
        detail: None,
    }
}

async fn with_checks() -> (FakeGitHub, GitHub) {
    let fake = FakeGitHub::start().await;
    furnish(&fake);
    let settings = Settings { checks: true, ..fake.settings(&["acme/web"]) };
    let github = GitHub::new(settings).unwrap();
    (fake, github)
}

#[tokio::test]
async fn a_status_says_exactly_this() {
    let (fake, github) = app().await;
    github.status(&web(), &sha('a'), &status(StatusState::Pending, "Waits for 2 of 2")).await.unwrap();
    let sent = fake.requests().into_iter().find(|r| r.target.contains("/statuses/")).unwrap();
    assert_eq!(sent.target, format!("/repositories/12/statuses/{}", "a".repeat(40)));
    let expected = json!({
        "state": "pending",
        "target_url": "https://lift.example/p/web/1",
        "description": "Waits for 2 of 2",
        "context": "liftlock/web/prod",
    });
    assert_eq!(sent.body, expected);
    let shown = fake.expect_status(WEB, &"a".repeat(40), "liftlock/web/prod").await;
    assert_eq!((shown.state.as_str(), shown.description.as_str()), ("pending", "Waits for 2 of 2"));
    assert_eq!(shown.target_url, "https://lift.example/p/web/1");
    for state in [StatusState::Success, StatusState::Failure, StatusState::Error] {
        github.status(&web(), &sha('a'), &status(state, "x")).await.unwrap();
        let shown = fake.expect_status(WEB, &"a".repeat(40), "liftlock/web/prod").await;
        assert_eq!(shown.state, state.word());
    }
    fake.finish();
}

#[tokio::test]
async fn t34_a_check_run_offers_the_button_for_one_attempt_only() {
    let (fake, github) = with_checks().await;
    let release = ReleaseNo(7.try_into().unwrap());
    let gate = Offering { release, stage: "prod".parse().unwrap(), attempt: 1, side: ApprovalSide::Before };
    let offer = Button { pipeline: Some("web".parse().unwrap()), gate };
    let waits = Status { detail: Some(Detail::Offer(offer)), ..status(StatusState::Pending, "Waits") };
    github.status(&web(), &sha('a'), &waits).await.unwrap();
    let (first, check) = fake.expect_check(WEB, &"a".repeat(40), "liftlock/web/prod").await;
    assert_eq!(check.body["external_id"], "web/7/prod/1");
    assert_eq!(check.body["actions"][0]["identifier"], "approve");
    github.status(&web(), &sha('a'), &status(StatusState::Success, "Live")).await.unwrap();
    let (second, check) = fake.expect_check(WEB, &"a".repeat(40), "liftlock/web/prod").await;
    assert_eq!(second, first, "the run is brought up to date");
    assert_eq!((&check.body["conclusion"], &check.body["actions"]), (&json!("success"), &json!([])));
    github.status(&web(), &sha('a'), &waits).await.unwrap();
    let (third, _) = fake.expect_check(WEB, &"a".repeat(40), "liftlock/web/prod").await;
    assert_ne!(third, first, "what starts again is a new run");
    let superseded =
        Status { detail: Some(Detail::Superseded), ..status(StatusState::Pending, "Superseded") };
    github.status(&web(), &sha('a'), &superseded).await.unwrap();
    let (_, check) = fake.expect_check(WEB, &"a".repeat(40), "liftlock/web/prod").await;
    assert_eq!(check.body["conclusion"], "neutral");
    fake.finish();
}

#[tokio::test]
async fn t55_another_apps_run_of_our_name_is_not_ours() {
    let (fake, github) = with_checks().await;
    let (sha_text, name) = ("a".repeat(40), "liftlock/web/prod".to_owned());
    let body = json!({"status": "completed", "conclusion": "success"});
    let foreign = Check { sha: sha_text.clone(), name: name.clone(), app: APP_ID + 1, body, unread: false };
    fake.state().repos.get_mut(&WEB).unwrap().checks.insert(9_999, foreign);
    github.status(&web(), &sha('a'), &status(StatusState::Failure, "Failed")).await.unwrap();
    let (id, check) = fake.expect_check(WEB, &sha_text, &name).await;
    assert_ne!(id, 9_999);
    assert_eq!(check.body["conclusion"], "failure");
    assert_eq!(fake.state().repos[&WEB].checks[&9_999].body["conclusion"], "success");
    fake.finish();
}

#[tokio::test]
async fn t54_a_forged_status_is_corrected_by_the_next_one_of_ours() {
    let (fake, github) = app().await;
    let forged = crate::github::Status {
        sha: "a".repeat(40),
        context: "liftlock/web/prod".to_owned(),
        state: "success".to_owned(),
        description: "trust me".to_owned(),
        target_url: String::new(),
        by: 0,
        unread: false,
    };
    fake.state().repos.get_mut(&WEB).unwrap().statuses.push(forged);
    github.status(&web(), &sha('a'), &status(StatusState::Pending, "Waits")).await.unwrap();
    let newest = fake.expect_status(WEB, &"a".repeat(40), "liftlock/web/prod").await;
    assert_eq!(newest.state, "pending");
    fake.finish();
}

#[tokio::test]
async fn a_tag_is_there_or_elsewhere() {
    let (fake, github) = app().await;
    let tag = "v1.0+b#1";
    let make = |commit| {
        let github = &github;
        async move { github.tag(&web(), &annotated(tag, &sha(commit), "Release v1")).await.unwrap() }
    };
    let made = make('a').await;
    let object = fake.state().repos[&WEB].tags["v1.0+b#1"].parse().unwrap();
    assert_eq!(made, Tagged::There(object), "encoded on the way, whole on arrival");
    assert_eq!(make('a').await, made);
    assert_eq!(make('b').await, Tagged::Elsewhere(sha('a')));
    fake.state().repos.get_mut(&WEB).unwrap().tags.insert("light".to_owned(), "c".repeat(40));
    let light = github.tag(&web(), &annotated("light", &sha('c'), "m")).await.unwrap();
    let itself = "c".repeat(40).parse().unwrap();
    assert_eq!(light, Tagged::There(itself), "a lightweight tag on the commit will do");
    fake.finish();
}

#[tokio::test]
async fn a_tag_whose_answer_was_lost_is_there() {
    let (fake, github) = app().await;
    fake.fault(&hyper::Method::POST, "/git/refs", 1, crate::github::Fault::DropAfter);
    let tag = "v1.0.0";
    assert!(github.tag(&web(), &annotated(tag, &sha('a'), "m")).await.unwrap_err().is_transient());
    let there = github.tag(&web(), &annotated(tag, &sha('a'), "m")).await.unwrap();
    assert!(matches!(there, Tagged::There(_)), "{there:?}");
    assert_eq!(
        github.tag(&web(), &annotated(tag, &sha('b'), "m")).await.unwrap(),
        Tagged::Elsewhere(sha('a'))
    );
    fake.finish();
}

#[tokio::test]
async fn a_race_for_a_tag_is_settled_by_what_github_kept() {
    let (fake, github) = app().await;
    // The look before finds nothing, and then somebody is faster.
    fake.state().repos.get_mut(&WEB).unwrap().tags.insert("v2".to_owned(), "d".repeat(40));
    let missing = crate::github::Fault::status(404);
    fake.fault(&hyper::Method::GET, "/git/ref/tags/v2", 1, missing);
    let tagged = github.tag(&web(), &annotated("v2", &sha('a'), "m")).await.unwrap();
    assert_eq!(tagged, Tagged::Elsewhere(sha('d')));
    fake.finish();
}

#[tokio::test]
async fn only_the_pull_request_whose_merge_made_the_commit_counts() {
    let (fake, github) = app().await;
    let found = github.merged_pull_request(&web(), &sha('a')).await.unwrap().unwrap();
    assert_eq!(found.number.as_str(), "2");
    assert_eq!(found.merge_commit, Some(sha('a')));
    assert_eq!(found.author.unwrap().0.get(), ANA);
    assert_eq!(github.merged_pull_request(&web(), &sha('1')).await.unwrap(), None, "a head is no merge");
    fake.finish();
}
