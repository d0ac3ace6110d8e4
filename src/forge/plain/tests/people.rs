//! Who somebody is, and what deliveries say.

use super::*;
use crate::domain::name::NameError;
use crate::forge::fact::{CommentChange, Place as Spot, Reference};
use crate::forge::plain::payload::Delivery;
use crate::forge::plain::translate::{TranslateError, translate};

#[tokio::test]
async fn t26_an_id_decides_and_a_login_with_another_id_is_nobody() {
    let bare = Bare::new();
    let plain = plain(&bare);
    let asked = ["acme/qa", "acme/ops"].iter().map(|t| t.parse().unwrap()).collect();
    let ana = plain.standing(&repo(), &who("ana", 7), &asked).await.unwrap();
    assert_eq!((ana.role, ana.kind), (Role::Maintain, Account::Human));
    assert_eq!(ana.teams, BTreeSet::from(["acme/qa".parse().unwrap()]), "only what was asked for");
    let renamed = plain.standing(&repo(), &who("ana-before", 7), &asked).await.unwrap();
    assert_eq!((renamed.role, renamed.person), (Role::Maintain, who("ana", 7)));
    for liar in [who("ana", 99), who("ANA", 99), who("ana", 8), who("eve", 99)] {
        let standing = plain.standing(&repo(), &liar, &asked).await.unwrap();
        assert_eq!(standing.role, Role::None, "{liar:?}");
        assert!(standing.teams.is_empty());
        assert_eq!(standing.person, liar);
    }
    let elsewhere = "plain:other".parse().unwrap();
    assert_eq!(plain.standing(&elsewhere, &who("ana", 7), &asked).await.unwrap_err().kind(), Kind::Refused);
}

#[test]
fn people_are_found_by_login_and_by_address() {
    let bare = Bare::new();
    let plain = plain(&bare);
    assert_eq!(plain.person(&login("BO")), Some(who("Bo", 8)));
    assert_eq!(plain.person(&login("eve")), None);
    assert_eq!(plain.person_of_email("bo@EXAMPLE.org"), Some(who("Bo", 8)));
    assert_eq!(plain.person_of_email(""), None);
}

#[test]
fn c02_every_delivery_gives_its_fact() {
    let bare = Bare::new();
    let plain = plain(&bare);
    let demo = "acme/demo".parse().unwrap();
    let (none, one, two) = ("0".repeat(40), "1".repeat(40), "2".repeat(40));
    let repo_ref = plain.repositories()[&demo].clone();
    assert_eq!(repo_ref.default_branch.as_str(), "main");
    let push = |reference: &str, before: &str, after: &str, pusher| {
        let delivery = Delivery::push(&demo, reference, (before, after), pusher);
        plain.translate(delivery.event, delivery.body.as_bytes()).unwrap().remove(0)
    };
    let fact =
        |reference, before: Option<&String>, after: Option<&String>, pusher: Option<&str>| Fact::Push {
            repo: repo_ref.clone(),
            reference,
            before: before.map(|sha| sha.parse().unwrap()),
            after: after.map(|sha| sha.parse().unwrap()),
            forced: false,
            pusher: pusher.map(login),
            sender: None,
        };
    let main = Reference::Branch("main".parse().unwrap());
    let tag = Reference::Tag("v1".parse().unwrap());
    assert_eq!(
        push("refs/heads/main", &one, &two, Some("ana")),
        fact(main.clone(), Some(&one), Some(&two), Some("ana"))
    );
    assert_eq!(push("refs/heads/main", &one, &none, Some("not a login")), fact(main, Some(&one), None, None));
    assert_eq!(push("refs/tags/v1", &none, &two, None), fact(tag, None, Some(&two), None));
    let other = Reference::Other("refs/heads/a b".to_owned());
    assert_eq!(push("refs/heads/a b", &one, &two, None), fact(other, Some(&one), Some(&two), None));

    let delivery = Delivery::comment(&demo, &one.parse().unwrap(), &two.parse().unwrap());
    let spoken = plain.translate(delivery.event, delivery.body.as_bytes()).unwrap().remove(0);
    let Fact::Comment { place, comment, change, author, sender, body, .. } = spoken else {
        panic!("{spoken:?}")
    };
    assert_eq!((place, comment.as_str()), (Spot::Commit(one.parse().unwrap()), two.as_str()));
    assert_eq!((change, author, sender, body), (CommentChange::Created, None, None, String::new()));
    assert_eq!(plain.translate("ping", b"").unwrap(), [Fact::Ping]);
    assert!(matches!(plain.translate("star", b"{}").unwrap()[0], Fact::Unknown { .. }));
}

#[test]
fn t33_a_body_that_is_not_ours_gives_a_reason_and_no_fact() {
    let bare = Bare::new();
    let plain = plain(&bare);
    let (one, two) = ("1".repeat(40), "2".repeat(40));
    let error = |event: &str, body: serde_json::Value| {
        translate(event, body.to_string().as_bytes(), plain.repositories()).unwrap_err()
    };
    let push = |repository: &str, before: &str| {
        error(
            "push",
            serde_json::json!({
                "repository": repository, "ref": "refs/heads/main", "before": before, "after": two,
            }),
        )
    };
    assert_eq!(push("acme/other", &one), TranslateError::Unknown("acme/other".parse().unwrap()));
    for (error, field) in [
        (push("../etc", &one), "repository"),
        (push("acme/demo", "main"), "before"),
        (
            error(
                "comment",
                serde_json::json!({"repository": "acme/demo", "commit": "HEAD", "comment": two}),
            ),
            "commit",
        ),
        (
            error("comment", serde_json::json!({"repository": "acme/demo", "commit": one, "comment": ""})),
            "comment",
        ),
    ] {
        let TranslateError::Name { field: at, error: NameError { .. } } = error else { panic!("{error}") };
        assert_eq!(at, field);
    }
    for body in [&b"{}"[..], b"[]", b"", b"\xff", b"null"] {
        assert_eq!(translate("push", body, plain.repositories()).unwrap_err().code(), "payload_shape");
        assert_eq!(translate("comment", body, plain.repositories()).unwrap_err().code(), "payload_shape");
    }
}
