//! Every fixture against its expected fact, and every fixture broken in every place.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::command::parse::{Parsed, Spelling, parse};

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/webhooks"))
}

/// Every payload by its file name without `.json`.
fn fixtures() -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "json") {
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            all.insert(stem, std::fs::read(path).unwrap());
        }
    }
    all
}

fn event(stem: &str) -> &str {
    stem.split('.').next().unwrap()
}

fn fixture(stem: &str) -> Value {
    serde_json::from_slice(&fixtures()[stem]).unwrap()
}

fn translated(event: &str, body: &Value) -> Result<Fact, TranslateError> {
    let mut facts = translate(event, body.to_string().as_bytes())?;
    assert_eq!(facts.len(), 1);
    Ok(facts.remove(0))
}

fn fact(stem: &str) -> Fact {
    translated(event(stem), &fixture(stem)).unwrap()
}

/// The fixture with one value replaced.
fn changed(stem: &str, pointer: &str, value: Value) -> Result<Fact, TranslateError> {
    let mut body = fixture(stem);
    *body.pointer_mut(pointer).unwrap() = value;
    translated(event(stem), &body)
}

#[test]
fn t13_every_fixture_gives_the_fact_beside_it() {
    let mut got = String::new();
    for (stem, body) in fixtures() {
        let facts = translate(event(&stem), &body).unwrap();
        writeln!(got, "{stem}: {}", facts.iter().map(|f| format!("{f:?}")).collect::<Vec<_>>().join("; "))
            .unwrap();
    }
    let want = std::fs::read_to_string(folder().join("expected.txt")).unwrap();
    for (got, want) in got.lines().zip(want.lines()) {
        assert_eq!(got, want);
    }
    assert_eq!(got, want, "a file without a line, or a line without a file");
}

#[test]
fn t12_author_and_sender_are_both_told() {
    let Fact::Comment { author, sender, .. } = fact("issue_comment.other-sender") else { panic!() };
    let (author, sender) = (author.unwrap(), sender.unwrap());
    assert_ne!(author.id, sender.id);
    assert_eq!((author.login.as_str(), sender.login.as_str()), ("Codertocat", "Hello-Mallory"));
}

#[test]
fn t33_half_an_account_is_none_at_all() {
    let half = [
        json!({"id": null, "login": "ana", "type": "User"}),
        json!({"id": 0, "login": "ana", "type": "User"}),
        json!({"id": 7, "login": "", "type": "User"}),
        json!({"id": 7, "login": null, "type": "User"}),
        json!({"id": 7}),
        json!({}),
    ];
    for user in half {
        for pointer in ["/comment/user", "/sender"] {
            let error = changed("issue_comment.created", pointer, user.clone()).unwrap_err();
            assert_eq!(error.code(), "payload_identity", "{user}");
        }
        assert!(changed("check_run.requested_action", "/sender", user).is_err());
    }
    for user in
        [json!({"id": "7", "login": "ana"}), json!({"id": -7, "login": "ana"}), json!("ana"), json!(7)]
    {
        assert_eq!(changed("issue_comment.created", "/sender", user).unwrap_err().code(), "payload_shape");
    }
    let Fact::Comment { author: None, .. } = fact("issue_comment.ghost") else {
        panic!("a ghost has no name")
    };
    for id in [json!(0), json!(null)] {
        assert!(changed("issue_comment.created", "/repository/id", id).is_err());
    }
}

#[test]
fn t15_what_is_not_certainly_a_person_is_a_bot() {
    for (kind, login, want) in [
        (json!("User"), "ana", false),
        (json!("User"), "ana[bot]", true),
        (json!("Bot"), "ana", true),
        (json!("Mannequin"), "ana", true),
        (json!(null), "ana", true),
    ] {
        let user = json!({"id": 7, "login": login, "type": kind});
        let Fact::Comment { author: Some(author), .. } =
            changed("issue_comment.created", "/comment/user", user).unwrap()
        else {
            panic!("no author")
        };
        assert_eq!(author.bot, want, "{login} {kind}");
    }
    assert!(matches!(fact("issue_comment.via-app"), Fact::Comment { via_app: true, .. }));
    assert!(matches!(fact("issue_comment.created"), Fact::Comment { via_app: false, .. }));
}

#[test]
fn t10_names_are_compared_whole_and_patterns_are_no_names() {
    let branch = |text: &str| {
        let Fact::Push { reference, repo, .. } =
            changed("push.branch", "/ref", json!(format!("refs/heads/{text}"))).unwrap()
        else {
            panic!("no push")
        };
        (reference, repo.default_branch)
    };
    let (reference, main) = branch("master-evil");
    assert_ne!(reference, Reference::Branch(main));
    let (reference, main) = branch("master");
    assert_eq!(reference, Reference::Branch(main));
    for odd in ["../master", "master~1", "-x", "mas*", "x\u{20}y", ""] {
        assert!(matches!(branch(odd).0, Reference::Other(_)), "{odd}");
    }
    for name in [".*/.*", "Codertocat/.*", "Codertocat/Hello-World\n", "a/b/c", "../x", ""] {
        let error = changed("push.branch", "/repository/full_name", json!(name)).unwrap_err();
        assert_eq!(error.code(), "payload_name", "{name}");
    }
}

#[test]
fn t16_a_lookalike_stage_comes_through_unchanged_and_is_refused() {
    let Fact::Comment { body, .. } = fact("issue_comment.lookalike-stage") else { panic!("no comment") };
    let Parsed::Refused(error) = parse(Some(&body), Spelling::Bare) else { panic!("not refused") };
    assert_eq!(error.code(), "bad_character");
    let Fact::Comment { body, is_pull_request: true, .. } = fact("issue_comment.on-pull-request") else {
        panic!("no comment on a pull request")
    };
    let Parsed::Commands(commands) = parse(Some(&body), Spelling::Bare) else { panic!("not read") };
    assert_eq!(commands[0].line, "/approve prod v1.4.2 -- checked dashboards");
}

#[test]
fn t34_a_button_without_an_identifier_is_no_button() {
    let mut body = fixture("check_run.requested_action");
    body.as_object_mut().unwrap().remove("requested_action");
    assert_eq!(translated("check_run", &body), Err(TranslateError::Missing("requested_action")));
}

#[test]
fn a_forked_pull_request_is_known_by_its_repository_id() {
    let from_fork = |id: Value| {
        let fact = changed("pull_request.opened", "/pull_request/head/repo/id", id).unwrap();
        let Fact::PullRequest { from_fork, .. } = fact else { panic!("no pull request") };
        from_fork
    };
    assert!(from_fork(json!(1)));
    assert!(!from_fork(json!(186_853_002)));
}

/// Every place in a JSON value, as a pointer.
fn places(value: &Value, at: &str, out: &mut Vec<String>) {
    let mut child = |key: &str, value: &Value| {
        let here = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        places(value, &here, out);
        out.push(here);
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, v)| child(key, v)),
        Value::Array(list) => list.iter().enumerate().for_each(|(n, v)| child(&n.to_string(), v)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Takes out the addresses, which we never read and which are most of every payload.
fn without_urls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !key.ends_with("url"));
            map.values_mut().for_each(without_urls);
        }
        Value::Array(list) => list.iter_mut().for_each(without_urls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn remove(body: &mut Value, pointer: &str) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match body.pointer_mut(parent).unwrap() {
        Value::Object(map) => drop(map.remove(key)),
        Value::Array(list) => drop(list.remove(key.parse().unwrap())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => panic!("no parent"),
    }
}

/// A fact, or an error that is short, printable and says where.
fn answers(event: &str, body: &[u8], what: &str) -> bool {
    match translate(event, body) {
        Ok(facts) => {
            assert_eq!(facts.len(), 1, "{what}");
            true
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.chars().count() < 600 && !text.contains(char::is_control), "{what}: {text}");
            false
        }
    }
}

/// Every fixture that we read more of than its name, without addresses, and each place in it that no earlier one has.
fn places_we_may_read() -> Vec<(String, Value, Vec<String>)> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for stem in fixtures().into_keys() {
        if matches!(fact(&stem), Fact::Unknown { .. } | Fact::Ping) {
            continue;
        }
        let mut body = fixture(&stem);
        without_urls(&mut body);
        let mut all = Vec::new();
        places(&body, "", &mut all);
        all.retain(|place| {
            // These are read alike for every event, so one event stands for all.
            let shared = ["/repository/", "/sender/", "/organization/"].iter().any(|p| place.starts_with(p));
            let scope = if shared { "" } else { event(&stem) };
            seen.insert((scope.to_owned(), place.clone()))
        });
        out.push((stem, body, all));
    }
    out
}

#[test]
fn t6_a_fixture_broken_in_any_place_gives_a_fact_or_an_error() {
    let wrong =
        [json!(null), json!("x"), json!(""), json!(0), json!(-1.5), json!(true), json!([]), json!({})];
    let (mut facts, mut errors) = (0_u32, 0_u32);
    for (stem, whole, places) in places_we_may_read() {
        for place in places {
            let mut bodies = vec![whole.clone()];
            remove(&mut bodies[0], &place);
            for value in &wrong {
                let mut body = whole.clone();
                *body.pointer_mut(&place).unwrap() = value.clone();
                bodies.push(body);
            }
            for body in bodies {
                let good = answers(event(&stem), body.to_string().as_bytes(), &format!("{stem} {place}"));
                *(if good { &mut facts } else { &mut errors }) += 1;
            }
        }
    }
    assert!(facts > 5_000 && errors > 500, "{facts} facts, {errors} errors");
}

#[test]
fn t6_huge_texts_give_a_fact_or_a_short_error() {
    const MARK: &str = "the huge text goes here";
    let huge = "x".repeat(1024 * 1024);
    let mut tried = 0;
    for (stem, whole, mut places) in places_we_may_read() {
        places.retain(|place| place.matches('/').count() <= 2);
        // Numbers and objects are tried too: an error must not repeat the text.
        for place in places {
            let mut body = whole.clone();
            *body.pointer_mut(&place).unwrap() = json!(MARK);
            let body = body.to_string().replace(MARK, &huge);
            answers(event(&stem), body.as_bytes(), &format!("{stem} {place}"));
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn t6_deep_broken_and_repeated_json_is_survived() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies = [
        deep.clone(),
        format!(r#"{{"action": {deep}}}"#),
        format!(r#"{{"sender": {}1{}}}"#, r#"{"id":"#.repeat(200), "}".repeat(200)),
        format!(r#"{{"repository": {}1{}}}"#, r#"{"id":"#.repeat(200), "}".repeat(200)),
        r#"{"action": "a", "action": "b"}"#.to_owned(),
        "{".to_owned(),
        "null".to_owned(),
        String::new(),
    ];
    for body in bodies {
        let shown = body.get(..40).unwrap_or(&body);
        assert!(!answers("push", body.as_bytes(), shown), "{shown}");
        assert!(!answers("issue_comment", body.as_bytes(), shown), "{shown}");
        // Of an event that we do not follow nothing but the action is read.
        let only_action = shown.contains("sender") || shown.contains("repository");
        assert_eq!(answers("no_such_event", body.as_bytes(), shown), only_action, "{shown}");
    }
    assert!(!answers("push", b"{\"action\": \"\xff\"}", "not UTF-8"));
    let twice = br#"{"repository": {"id": 1, "id": 2, "full_name": "a/b"}}"#;
    assert!(translate("push", twice).unwrap_err().to_string().contains("duplicate field"));
}

#[test]
fn a_push_of_2048_commits_is_one_fact() {
    let mut body = fixture("push.branch");
    let mut commit = body["head_commit"].clone();
    commit["message"] = json!("m".repeat(9_000));
    body["commits"] = Value::Array(vec![commit; 2_048]);
    let Fact::Push { after, .. } = translated("push", &body).unwrap() else { panic!("no push") };
    assert_eq!(after.unwrap().as_str(), "6113728f27ae82c7b1a177c8d03f9e96e0adf246");
}

#[test]
fn what_we_read_octocrab_reads_the_same() {
    use octocrab::models::webhook_events::WebhookEvent;
    let mut compared = 0;
    for (stem, body) in fixtures() {
        let Ok(theirs) = WebhookEvent::try_from_header_and_body(event(&stem), &body) else { continue };
        let ours: Envelope = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            ours.repository.map(|r| (r.id, Some(r.full_name))),
            theirs.repository.map(|r| (r.id.0, r.full_name)),
            "{stem}"
        );
        assert_eq!(
            ours.sender.and_then(|s| s.id.zip(s.login)),
            theirs.sender.map(|s| (s.id.0, s.login)),
            "{stem}"
        );
        compared += 1;
    }
    assert!(compared > 30, "{compared}");
}

proptest! {
    #[test]
    fn t6_any_bytes_under_any_name_are_survived(event in "[a-z_]{0,20}|push|status", body in any::<Vec<u8>>()) {
        answers(&event, &body, &event);
    }
}
