//! The library through its doors: who may, what is answered, and that a secret never comes out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::*;
use crate::domain::group::access::Principal;
use crate::store::model::{PipelineRow, Row};
use crate::store::step::Step;
use crate::vault::seal::Key;
use crate::vault::{self, Vault};

const CANARY: &str = "canary-5e1c09d7";
const ANA: &str = "token-of-ana-0123456789";
const BO: &str = "token-of-bo-01234567890";

/// A library whose administrator is `ana`, without any host.
pub(super) fn library(store: &Store) -> Library {
    let key = Key::from_hex(&Secret::new("07".repeat(32))).unwrap();
    let variables = BTreeMap::from([("SIGN".to_owned(), Secret::new(CANARY))]);
    let vault = Vault::new(vault::Settings { env: variables, ..vault::Settings::default() }, key);
    let admins: BTreeSet<Principal> = ["ana".parse().unwrap()].into();
    Library::new(store.clone(), vault, BTreeMap::new(), admins)
}

async fn site() -> Site {
    let token =
        |login: &str, token: &str| Token::personal(&login.parse().unwrap(), &Secret::new(token)).unwrap();
    let site = Site::new(Access::Loopback(vec![token("ana", ANA), token("bo", BO)])).await;
    let pipeline = |repo: &str| {
        Row::Pipeline(PipelineRow {
            stream: format!("{repo}/web"),
            repo_id: repo.to_owned(),
            repo_name: repo.to_owned(),
            name: "web".to_owned(),
            settings: "{}".to_owned(),
        })
    };
    site.store.commit(Step { rows: vec![pipeline("plain:demo")], ..Step::default() }).await.unwrap();
    site
}

impl Site {
    async fn tell(&self, token: &str, path: &str, body: &Value) -> (StatusCode, Value) {
        let request = local(Request::post(path))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {token}"));
        let answer = self.send(request.body(Body::from(body.to_string())).unwrap()).await;
        assert!(!answer.text.contains(CANARY), "{}", answer.text);
        (answer.status, serde_json::from_str(&answer.text).unwrap())
    }

    async fn look(&self, token: &str, path: &str) -> Answer {
        let accept = if path.starts_with("/api") { "application/json" } else { "text/html" };
        let request = local(Request::get(path)).header("accept", accept);
        let request = request.header("authorization", format!("Bearer {token}"));
        let answer = self.send(request.body(Body::empty()).unwrap()).await;
        assert!(!answer.text.contains(CANARY), "{}", answer.text);
        answer
    }

    async fn fill(&self, token: &str, path: &str, form: &str) -> Answer {
        let request = local(Request::post(path))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "text/html")
            .header("authorization", format!("Bearer {token}"));
        let answer = self.send(request.body(Body::from(form.to_owned())).unwrap()).await;
        assert!(!answer.text.contains(CANARY), "{}", answer.text);
        answer
    }
}

fn said(value: &Value) -> &str {
    value["error"]["message"].as_str().unwrap_or_else(|| panic!("{value}"))
}

#[tokio::test]
async fn a03_a08_groups_are_made_changed_and_seen_by_role() {
    let site = site().await;
    let (status, answer) = site.tell(BO, "/api/groups", &json!({ "name": "acme.test" })).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(said(&answer).contains("bo may not create groups"), "{answer}");
    let new = json!({ "name": "acme.test", "set": { "Region": { "plain": "eu" } } });
    let (status, answer) = site.tell(ANA, "/api/groups", &new).await;
    assert_eq!((status, &answer["version"]), (StatusCode::CREATED, &json!(1)));
    assert_eq!(answer["access"], json!({ "ana": "administrator" }));
    assert_eq!(site.tell(ANA, "/api/groups", &new).await.0, StatusCode::CONFLICT);

    // Who has no role does not learn that the group is there.
    assert_eq!(site.look(BO, "/api/groups/acme.test").await.status, StatusCode::NOT_FOUND);
    assert_eq!(site.look(BO, "/api/groups/acme.test/history").await.status, StatusCode::NOT_FOUND);
    assert!(!site.look(BO, "/api/groups").await.text.contains("acme.test"));
    let set = json!({ "set": { "Region": { "plain": "us" } } });
    assert_eq!(site.tell(BO, "/api/groups/acme.test", &set).await.0, StatusCode::NOT_FOUND);
    let grant = json!({ "grant": { "bo": "user", "pipeline:web": "user" } });
    let (status, answer) = site.tell(ANA, "/api/groups/acme.test", &grant).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["group"]["access"]["pipeline:plain:demo/web"], json!("user"));
    let seen: Value = serde_json::from_str(&site.look(BO, "/api/groups/acme.test").await.text).unwrap();
    assert_eq!((&seen["role"], &seen["values"]["Region"]["plain"]), (&json!("user"), &json!("eu")));

    // A user takes it into releases and changes nothing; nor does the server's own token.
    for token in [BO, "nobody's token at all"] {
        let (status, answer) = site.tell(token, "/api/groups/acme.test", &set).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(said(&answer).contains("needs the role administrator"), "{answer}");
    }
    let (status, _) =
        site.tell(ANA, "/api/groups/acme.test", &json!({ "expect": 1, "unset": ["Region"] })).await;
    assert_eq!(status, StatusCode::CONFLICT, "version 2 is there by now");
    let (_, answer) = site.tell(ANA, "/api/groups/acme.test", &set).await;
    assert_eq!(answer["changes"], json!(["set Region = us"]));
    let history: Value =
        serde_json::from_str(&site.look(BO, "/api/groups/acme.test/history").await.text).unwrap();
    let lines: Vec<String> = history["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| format!("{} {} {}", e["version"], e["by"], e["changes"]))
        .collect();
    assert_eq!(
        lines,
        [
            r#"3 "ana" ["set Region = us"]"#,
            r#"2 "ana" ["made bo user","made pipeline:plain:demo/web user"]"#,
            r#"1 "ana" ["created","set Region = eu"]"#,
        ]
    );
}

#[tokio::test]
async fn a08_a_personal_token_speaks_for_its_owner_alone() {
    let site = site().await;
    let new = json!({ "name": "acme.test", "as": "ana" });
    let (status, answer) = site.tell(BO, "/api/groups", &new).await;
    assert_eq!(
        (status, said(&answer)),
        (StatusCode::FORBIDDEN, "bo does not speak for ana; use the personal token of ana")
    );
    // Without a plain host the server's own token speaks for nobody.
    assert_eq!(site.tell("no token", "/api/groups", &new).await.0, StatusCode::FORBIDDEN);
    assert_eq!(site.tell(ANA, "/api/groups", &new).await.0, StatusCode::CREATED);
}

#[tokio::test]
async fn b28_t47_a_secret_goes_in_and_never_comes_out() {
    let site = site().await;
    site.tell(ANA, "/api/groups", &json!({ "name": "acme.test" })).await;
    let set = json!({ "set": {
        "Password": { "secret": CANARY }, "Signing": { "at": "env:SIGN" }, "Made": "generate",
    } });
    let (status, answer) = site.tell(ANA, "/api/groups/acme.test", &set).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(
        answer["group"]["values"],
        json!({
            "Made": { "secret": { "at": "sealed:acme.test/made", "version": 2 } },
            "Password": { "secret": { "at": "sealed:acme.test/password", "version": 2 } },
            "Signing": { "secret": { "at": "env:SIGN", "version": 2 } },
        })
    );
    for path in [
        "/api/groups",
        "/api/groups/acme.test",
        "/api/groups/acme.test/history",
        "/groups",
        "/groups/acme.test",
    ] {
        assert_eq!(site.look(ANA, path).await.status, StatusCode::OK, "{path}");
    }
    // What is sealed opens for a step alone, and is gone with its variable.
    let row = site.store.sealed("acme.test", "password").await.unwrap().unwrap();
    assert!(!row.body.windows(CANARY.len()).any(|bytes| bytes == CANARY.as_bytes()));
    let secret = |at: &str| at.parse::<crate::domain::name::SecretAddress>().unwrap();
    let library = library(&site.store);
    let fetched = library.fetch(&secret("sealed:acme.test/password"), b"").await.unwrap();
    assert_eq!((fetched.value.expose(), fetched.version.as_str()), (CANARY, "version 2"));
    let made = library.fetch(&secret("sealed:acme.test/made"), b"").await.unwrap();
    assert_eq!(made.value.expose().len(), 32);
    site.tell(ANA, "/api/groups/acme.test", &json!({ "unset": ["Password"] })).await;
    assert!(site.store.sealed("acme.test", "password").await.unwrap().is_none());
    assert!(library.fetch(&secret("sealed:acme.test/password"), b"").await.is_err());

    // A body that cannot be read is not repeated, and nobody points into another group's secrets.
    for wrong in
        [json!({ "set": { "Password": CANARY } }), json!({ "set": { "Password": { "secret": [CANARY] } } })]
    {
        let (status, answer) = site.tell(ANA, "/api/groups/acme.test", &wrong).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(said(&answer).contains("cannot be read at line 1"), "{answer}");
    }
    for at in ["sealed:acme.prod/password", "file:/etc/shadow", "env:HOME", "exec:sh"] {
        let body = json!({ "set": { "X": { "at": at } } });
        let (status, answer) = site.tell(ANA, "/api/groups/acme.test", &body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{at}: {answer}");
        assert!(said(&answer).contains("is not allowed"), "{answer}");
    }
    let (status, answer) =
        site.tell(ANA, "/api/groups/acme.test", &json!({ "set": { "X": { "secret": "abc" } } })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(said(&answer).contains("too short to be hidden"), "{answer}");
}

#[tokio::test]
async fn a09_the_pages_of_groups_and_their_security_have_plain_forms() {
    let site = site().await;
    let page = site.look(ANA, "/groups").await;
    assert!(page.text.contains("action=\"/groups\"") && page.text.contains("No groups"), "{}", page.text);
    assert!(
        !site.get("/groups").await.text.contains("action=\"/groups\""),
        "the server's own token creates nothing"
    );
    let made = site.fill(ANA, "/groups", "name=acme.test").await;
    assert_eq!(
        (made.status, made.headers["location"].to_str().unwrap()),
        (StatusCode::SEE_OTHER, "/groups/acme.test")
    );
    for form in [
        "kind=plain&name=Region&value=a%3Cb&expect=1",
        "kind=secret&name=Key&value=canary-5e1c09d7&expect=2",
        "kind=generate&name=Made&expect=3",
    ] {
        let answer = site.fill(ANA, "/groups/acme.test", form).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    }
    let page = site.look(ANA, "/groups/acme.test").await.text;
    assert!(page.contains("a&#60;b") && page.contains("sealed:acme.test/key"), "{page}");
    assert!(page.contains("Version 2 by ana") && page.contains("Take Region out"), "{page}");
    let stale = site.fill(ANA, "/groups/acme.test", "kind=unset&name=Region&expect=1").await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    assert!(stale.text.contains("is at version 4 by now"), "{}", stale.text);

    let given =
        site.fill(ANA, "/groups/acme.test/security", "who=pipeline%3Aweb&role=administrator&expect=4").await;
    assert_eq!(given.status, StatusCode::SEE_OTHER, "{}", given.text);
    let given = site.fill(ANA, "/groups/acme.test/security", "who=bo&role=reader&expect=5").await;
    assert_eq!(given.status, StatusCode::SEE_OTHER, "{}", given.text);
    let page = site.look(ANA, "/groups/acme.test/security").await.text;
    assert!(
        page.contains("pipeline:plain:demo/web") && page.contains("<option>administrator</option>"),
        "{page}"
    );
    let reader = site.look(BO, "/groups/acme.test/security").await.text;
    assert!(reader.contains("You are its reader as bo") && !reader.contains("<form"), "{reader}");
    let refused = site.fill(BO, "/groups/acme.test/security", "who=bo&role=administrator&expect=6").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let taken = site.fill(ANA, "/groups/acme.test/security", "who=bo&role=none&expect=6").await;
    assert_eq!(taken.status, StatusCode::SEE_OTHER);
    assert_eq!(site.look(BO, "/groups/acme.test/security").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn t51_a_form_of_another_site_changes_no_group() {
    let site = site().await;
    let request = local(Request::post("/groups"))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "cross-site")
        .header("authorization", format!("Bearer {ANA}"));
    let answer = site.send(request.body(Body::from("name=acme.test")).unwrap()).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(site.store.groups("", 10).await.unwrap().is_empty());
}
