//! Comments, reactions, tracking issues.

use hyper::Method;
use liftlock::domain::effect::{Place, Reaction};
use liftlock::domain::name::CommentId;
use liftlock::forge::Forge as _;
use liftlock::trouble::Kind;

use super::{ANA, WEB, app, person, sha, web};
use crate::github::{APP_USER, Fault, Reaction as Left, Spot};

fn thread(n: u64) -> Place {
    Place::Thread(n.to_string().parse().unwrap())
}

fn id(n: u64) -> CommentId {
    n.to_string().parse().unwrap()
}

#[tokio::test]
async fn a_comment_is_written_once_and_edited_after() {
    let (fake, github) = app().await;
    let first = github.say(&web(), &thread(2), "sticky/web/1", "v1 waits").await.unwrap();
    let comment = fake.expect_comment(WEB, &Spot::Thread(2)).await;
    assert_eq!(comment.body, "v1 waits\n\n<!-- liftlock:sticky/web/1 -->");
    assert_eq!(first.id, id(comment.id));
    assert_eq!(first.at, comment.updated);
    let second = github.say(&web(), &thread(2), "sticky/web/1", "v1 is live").await.unwrap();
    assert_eq!(second.id, first.id);
    assert!(fake.expect_comment(WEB, &Spot::Thread(2)).await.body.starts_with("v1 is live"));
    let third = github.say(&web(), &thread(2), "sticky/web/1", "v1 is live").await.unwrap();
    assert_eq!(third, second);
    assert_eq!(fake.count(&Method::PATCH, "/comments/"), 1, "an unchanged comment is not touched");
    fake.finish();
}

#[tokio::test]
async fn an_answer_lost_after_applying_makes_no_second_comment() {
    let (fake, github) = app().await;
    fake.fault(&Method::POST, "/issues/2/comments", 1, Fault::DropAfter);
    let trouble = github.say(&web(), &thread(2), "note/web/1", "hello").await.unwrap_err();
    assert!(trouble.is_transient(), "{trouble}");
    assert_eq!(fake.count(&Method::POST, "/issues/2/comments"), 1, "a POST is never repeated from inside");
    github.say(&web(), &thread(2), "note/web/1", "hello").await.unwrap();
    fake.expect_comment(WEB, &Spot::Thread(2)).await;
    assert_eq!(fake.state().repos[&WEB].comments.len(), 1);
    fake.finish();
}

#[tokio::test]
async fn somebody_elses_copy_of_the_marker_is_not_ours() {
    let (fake, github) = app().await;
    let copy = "> <!-- liftlock:note/web/1 -->";
    let theirs = fake.state().comment(WEB, Spot::Thread(2), ANA, copy);
    let said = github.say(&web(), &thread(2), "note/web/1", "hello").await.unwrap();
    assert_ne!(said.id, id(theirs));
    fake.expect_comment(WEB, &Spot::Thread(2)).await;
    assert_eq!(fake.state().repos[&WEB].comments[&theirs].body, copy);
    fake.finish();
}

#[tokio::test]
async fn the_second_page_is_read_with_the_credential_too() {
    let (fake, github) = app().await;
    for n in 0..150 {
        fake.state().comment(WEB, Spot::Thread(2), ANA, &format!("chatter {n}"));
    }
    let mark = "<!-- liftlock:sticky/web/1 -->";
    let ours = fake.state().comment(WEB, Spot::Thread(2), APP_USER, &format!("v1\n\n{mark}"));
    let said = github.say(&web(), &thread(2), "sticky/web/1", "v1").await.unwrap();
    assert_eq!(said.id, id(ours));
    let pages: Vec<_> = fake.requests().into_iter().filter(|r| r.target.contains("page=2")).collect();
    assert_eq!(pages.iter().map(|r| r.auth).collect::<Vec<_>>(), ["installation"]);
    fake.finish();
}

#[tokio::test]
async fn commits_have_comments_too() {
    let (fake, github) = app().await;
    let place = Place::Commit(sha('a'));
    let said = github.say(&web(), &place, "note/web/1", "hello").await.unwrap();
    fake.expect_comment(WEB, &Spot::Commit("a".repeat(40))).await;
    github.react(&web(), &place, &said.id, Reaction::Eyes).await.unwrap();
    let read = github.comment(&web(), &place, &said.id).await.unwrap();
    assert_eq!(read.author.unwrap().login.as_str(), "liftlock-test[bot]");
    assert!(!read.via_app, "GitHub names the app only where it writes in a person's name");
    fake.finish();
}

#[tokio::test]
async fn t08_a_comment_is_read_back_with_its_author_and_place() {
    let (fake, github) = app().await;
    let n = fake.state().comment(WEB, Spot::Thread(2), ANA, "/approve prod");
    let read = github.comment(&web(), &thread(2), &id(n)).await.unwrap();
    assert_eq!(read.author, Some(person(ANA, "ana")));
    assert_eq!(read.body, "/approve prod");
    assert_eq!(read.created_at, read.updated_at);
    assert!(!read.via_app);
    let elsewhere = github.comment(&web(), &thread(1), &id(n)).await.unwrap_err();
    assert_eq!(elsewhere.kind(), Kind::NotFound);
    let never = github.comment(&web(), &thread(2), &id(31_337)).await.unwrap_err();
    assert_eq!(never.kind(), Kind::NotFound);
    fake.finish();
}

#[tokio::test]
async fn t15_a_comment_that_an_app_posted_is_seen_as_such() {
    let (fake, github) = app().await;
    let n = fake.state().comment(WEB, Spot::Thread(2), ANA, "/approve prod");
    fake.state().repos.get_mut(&WEB).unwrap().comments.get_mut(&n).unwrap().via_app = true;
    assert!(github.comment(&web(), &thread(2), &id(n)).await.unwrap().via_app);
    fake.state().repos.get_mut(&WEB).unwrap().comments.get_mut(&n).unwrap().author = 404_404;
    let ghost = github.comment(&web(), &thread(2), &id(n)).await.unwrap();
    assert_eq!(ghost.author, None, "a deleted account is nobody");
    fake.finish();
}

#[tokio::test]
async fn our_reaction_is_replaced_and_others_stay() {
    let (fake, github) = app().await;
    let n = fake.state().comment(WEB, Spot::Thread(2), ANA, "/approve prod");
    let theirs = Left { comment: n, user: ANA, content: "eyes".to_owned() };
    fake.state().repos.get_mut(&WEB).unwrap().reactions.insert(1, theirs.clone());
    for reaction in [Reaction::Eyes, Reaction::ThumbsUp, Reaction::Rocket, Reaction::Rocket] {
        github.react(&web(), &thread(2), &id(n), reaction).await.unwrap();
    }
    let left: Vec<_> = fake.state().repos[&WEB].reactions.values().cloned().collect();
    let ours = Left { comment: n, user: APP_USER, content: "rocket".to_owned() };
    assert_eq!(left, [theirs, ours]);
    fake.finish();
}

#[tokio::test]
async fn a_tracking_issue_is_opened_once() {
    let (fake, github) = app().await;
    fake.fault(&Method::POST, "/issues", 1, Fault::DropAfter);
    let ask = || async { github.tracking_place(&web(), &sha('c'), "Release v1", "track/web/1").await };
    assert!(ask().await.unwrap_err().is_transient());
    let found = ask().await.unwrap();
    assert_eq!(found, thread(4));
    assert_eq!(ask().await.unwrap(), found);
    let other = github.tracking_place(&web(), &sha('d'), "Release v2", "track/web/2").await.unwrap();
    assert_eq!(other, thread(5));
    assert_eq!(fake.state().repos[&WEB].issues[&4].title, "Release v1");
    fake.finish();
}
