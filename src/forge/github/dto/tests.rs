//! GitHub's own answers, recorded or as documented, read with our types. The recorded ones come from octocrab's tests
//! (MIT or Apache-2.0).

use super::*;

macro_rules! recorded {
    ($name:literal) => {
        read($name, include_bytes!(concat!("../../../../fixtures/github/answers/", $name))).unwrap()
    };
}

#[test]
fn recorded_answers_are_read() {
    let repository: Repository = recorded!("repository.json");
    assert_eq!((repository.id, repository.full_name.as_str()), (537_482_687, "gagbo/ouro-closures"));
    assert_eq!(repository.default_branch, "trunk");
    assert_eq!(repository.visibility(), Visibility::Public);
    let comment: Comment = recorded!("comment.json");
    assert_eq!(comment.id, 1_633_968_123);
    assert_eq!(comment.user.unwrap().person().unwrap().id.0.get(), 139_451_816);
    assert!(comment.issue_url.unwrap().ends_with("/issues/1"));
    // The author is an app's bot: GitHub names the app only where it writes in a person's name.
    assert!(comment.performed_via_github_app.is_none());
    let comment: Comment = recorded!("commit-comment.json");
    assert_eq!(comment.commit_id.as_deref(), Some("5a722779076a943e9e8ccc502566c411f6481b4a"));
    let issue: Issue = recorded!("issue.json");
    assert_eq!(issue.number, 1);
    let pulls: Vec<Pull> = recorded!("pulls.json");
    assert_eq!((pulls[0].number, pulls[0].merged_at.is_some()), (1347, true));
    let runs: CheckRuns = recorded!("check-runs.json");
    assert_eq!(runs.check_runs[0].app.as_ref().unwrap().id, 15_368);
    let deliveries: Vec<Delivery> = recorded!("deliveries.json");
    assert_eq!(deliveries.iter().map(|d| d.status_code).collect::<Vec<_>>(), [503, 200]);
    let hooks: Vec<Hook> = recorded!("hooks.json");
    assert_eq!(hooks[0].config.url, "https://example.com/webhook");
}

#[test]
fn documented_answers_are_read() {
    let permission =
        r#"{"permission":"admin","role_name":"admin","user":{"login":"octocat","id":1,"type":"User"}}"#;
    let permission: Permission = read("", permission.as_bytes()).unwrap();
    assert_eq!(permission.user.unwrap().kind, "User");
    let membership = r#"{"url":"https://api.github.com/teams/1/memberships/octocat","role":"maintainer","state":"pending"}"#;
    assert_eq!(read::<Membership>("", membership.as_bytes()).unwrap().state, "pending");
    let reference = r#"{"ref":"refs/heads/featureA","object":{"type":"commit","sha":"aa218f56b14c9653891f9e74264a383fa43fefbd"}}"#;
    assert_eq!(read::<Pointer>("", reference.as_bytes()).unwrap().object.kind, "commit");
    let token = r#"{"token":"ghs_16C7e42F292c6912E7710c838347Ae178B4a","expires_at":"2016-07-11T22:14:10Z"}"#;
    assert_eq!(read::<Token>("", token.as_bytes()).unwrap().expires_at, "2016-07-11T22:14:10Z");
    let ghost = r#"{"id":1,"user":null,"body":null,"created_at":"","updated_at":"","new":{"field":[]}}"#;
    assert!(read::<Comment>("", ghost.as_bytes()).unwrap().user.is_none());
    let odd = User { id: 0, login: "octocat".to_owned(), kind: String::new() };
    assert_eq!(odd.person(), None, "nobody has the number 0");
    assert!(read::<Membership>("GET /x", b"<html>").unwrap_err().is_transient());
}
