//! Roles and teams, by id, failing closed.

use std::collections::BTreeSet;

use hyper::Method;
use liftlock::domain::name::TeamName;
use liftlock::domain::person::Account;
use liftlock::domain::pipeline::Role;
use liftlock::forge::Forge as _;
use liftlock::trouble::Kind;

use super::{ANA, WEB, app, person, web};
use crate::github::Fault;

fn no_teams() -> BTreeSet<TeamName> {
    BTreeSet::new()
}

#[tokio::test]
async fn t25_the_role_is_the_hosts_role_name() {
    let (fake, github) = app().await;
    let rows = [
        ("read", "read", Role::Read),
        ("read", "triage", Role::Triage),
        ("write", "write", Role::Write),
        ("write", "maintain", Role::Maintain),
        ("admin", "admin", Role::Admin),
        ("write", "release-captain", Role::Write),
        ("none", "none", Role::None),
    ];
    for (permission, name, expected) in rows {
        fake.state().repos.get_mut(&WEB).unwrap().roles.insert(ANA, (permission, name));
        let standing = github.standing(&web(), &person(ANA, "ana"), &no_teams()).await.unwrap();
        assert_eq!(standing.role, expected, "{name}");
        assert_eq!(standing.kind, Account::Human);
    }
    let stranger = github.standing(&web(), &person(6, "nobody-here"), &no_teams()).await.unwrap();
    assert_eq!(stranger.role, Role::None, "404 is no role");
    fake.finish();
}

#[tokio::test]
async fn t25_an_error_is_no_answer() {
    let (fake, github) = app().await;
    fake.fault(&Method::GET, "/permission", 1, Fault::status(500));
    let trouble = github.standing(&web(), &person(ANA, "ana"), &no_teams()).await.unwrap_err();
    assert!(trouble.is_transient(), "{trouble}");
    assert!(trouble.to_string().contains("500"), "{trouble}");
    fake.finish();
}

#[tokio::test]
async fn t25_a_pending_member_is_no_member() {
    let (fake, github) = app().await;
    let team: TeamName = "acme/release".parse().unwrap();
    let teams = BTreeSet::from([team.clone()]);
    let ana = person(ANA, "ana");
    for (state, member) in [(None, false), (Some("pending"), false), (Some("active"), true)] {
        let members = state.map(|s| (ANA, s)).into_iter().collect();
        fake.state().teams.insert("acme/release".to_owned(), members);
        let standing = github.standing(&web(), &ana, &teams).await.unwrap();
        assert_eq!(standing.teams.contains(&team), member, "{state:?}");
    }
    fake.finish();
}

#[tokio::test]
async fn t25_an_app_that_may_not_read_members_says_so() {
    let (fake, github) = app().await;
    fake.state().installations.get_mut(&crate::github::INSTALLATION).unwrap().permissions.remove("members");
    let teams = BTreeSet::from(["acme/release".parse().unwrap()]);
    let trouble = github.standing(&web(), &person(ANA, "ana"), &teams).await.unwrap_err();
    assert_eq!(trouble.kind(), Kind::Refused);
    assert!(trouble.to_string().contains("members: read"), "{trouble}");
    fake.finish();
}

#[tokio::test]
async fn t26_the_same_login_with_another_id_has_no_role() {
    let (fake, github) = app().await;
    let team = "acme/release".to_owned();
    fake.state().teams.insert(team.clone(), [(ANA, "active")].into());
    let teams = BTreeSet::from([team.parse().unwrap()]);
    let standing = github.standing(&web(), &person(999, "ana"), &teams).await.unwrap();
    assert_eq!((standing.role, standing.teams.len()), (Role::None, 0));
    fake.finish();
}

#[tokio::test]
async fn t28_a_role_that_was_taken_away_is_gone_at_once() {
    let (fake, github) = app().await;
    let ana = person(ANA, "ana");
    assert_eq!(github.standing(&web(), &ana, &no_teams()).await.unwrap().role, Role::Maintain);
    fake.state().repos.get_mut(&WEB).unwrap().roles.remove(&ANA);
    assert_eq!(github.standing(&web(), &ana, &no_teams()).await.unwrap().role, Role::None);
    fake.finish();
}

#[tokio::test]
async fn t15_bots_are_bots() {
    let (fake, github) = app().await;
    fake.state().user(40, "dependabot[bot]", "Bot");
    fake.state().repos.get_mut(&WEB).unwrap().roles.insert(40, ("write", "write"));
    let standing = github.standing(&web(), &person(40, "dependabot[bot]"), &no_teams()).await.unwrap();
    assert_eq!(standing.kind, Account::Bot);
    fake.finish();
}
