//! Deliveries: listed, asked for again; and the fake's webhooks against octocrab's models.

use hyper::Method;
use liftlock::domain::time::Timestamp;
use liftlock::forge::Forge as _;
use liftlock::forge::github::webhook::Placed;
use liftlock::secret::Secret;
use liftlock::trouble::Kind;
use octocrab::models::webhook_events::WebhookEvent;

use super::{ANA, WEB, app, personal, sha};
use crate::github::{Check, Hook, PUBLIC_URL, Spot, Status};

#[tokio::test]
async fn deliveries_are_listed_over_all_pages_and_asked_for_again() {
    let (fake, github) = app().await;
    for n in 0..230 {
        let hook = fake.state().push(WEB, "refs/heads/main", ANA, &[(sha('a').as_str(), "First")]);
        fake.keep(&hook, if n == 5 { 502 } else { 200 });
    }
    let all = github.deliveries_since(Timestamp(0)).await.unwrap();
    assert_eq!(all.len(), 230);
    assert!(all.windows(2).all(|pair| pair[0].id > pair[1].id), "newest first");
    let missed: Vec<_> = all.iter().filter(|d| !d.answered).collect();
    assert_eq!(missed.len(), 1);
    github.redeliver(missed[0].id).await.unwrap();
    assert_eq!(fake.state().deliveries.last().unwrap().guid, missed[0].guid);
    let later = fake.state().now().plus(liftlock::domain::time::Span::hours(1));
    assert_eq!(github.deliveries_since(later).await.unwrap(), []);
    assert!(fake.requests().iter().all(|r| !r.target.contains("deliveries") || r.auth == "app"));
    assert_eq!(github.redeliver(1).await.unwrap_err().kind(), Kind::NotFound);
    fake.finish();
}

#[tokio::test]
async fn with_a_personal_token_the_repositorys_own_webhook_is_asked() {
    let (fake, github) = personal(None).await;
    assert_eq!(github.deliveries_since(Timestamp(0)).await.unwrap(), [], "there is no webhook of ours");
    let ours = format!("{PUBLIC_URL}/github");
    let hooks = [(3, Hook::to("https://lift.example.evil/github")), (4, Hook::to(&ours))];
    fake.state().repos.get_mut(&WEB).unwrap().hooks.extend(hooks);
    let hook = fake.state().push(WEB, "refs/heads/main", ANA, &[(sha('a').as_str(), "First")]);
    fake.keep(&hook, 0);
    let missed = github.deliveries_since(Timestamp(0)).await.unwrap();
    assert_eq!((missed.len(), missed[0].answered), (1, false));
    github.redeliver(missed[0].id).await.unwrap();
    assert_eq!(fake.count(&Method::POST, "/hooks/4/deliveries/"), 1);
    assert_eq!(fake.count(&Method::GET, "/hooks/3/"), 0);
    assert_eq!(
        fake.deliver_asked("http://127.0.0.1:1/", "secret").await,
        1,
        "what was asked for is sent again"
    );
    assert_eq!(fake.deliver_asked("http://127.0.0.1:1/", "secret").await, 0);
    fake.finish();
}

#[tokio::test]
async fn the_fakes_webhooks_have_githubs_shape() {
    let (fake, _github) = app().await;
    let mut state = fake.state();
    let said = state.comment(WEB, Spot::Thread(2), ANA, "/approve prod");
    let noted = state.comment(WEB, Spot::Commit("a".repeat(40)), ANA, "/approve prod");
    let body = serde_json::json!({"status": "in_progress", "external_id": "7/prod/1"});
    let check = Check { sha: "a".repeat(40), name: "liftlock/prod".to_owned(), app: 1, body, unread: false };
    state.repos.get_mut(&WEB).unwrap().checks.insert(8, check);
    let status = Status {
        sha: "a".to_owned(),
        context: "liftlock/prod".to_owned(),
        state: "success".to_owned(),
        description: "trust me".to_owned(),
        target_url: "https://elsewhere.example/".to_owned(),
        by: 0,
        unread: false,
    };
    state.repos.get_mut(&WEB).unwrap().statuses.push(status);
    let hooks = [
        state.push(WEB, "refs/heads/main", ANA, &[(sha('1').as_str(), "One"), (sha('2').as_str(), "Two")]),
        state.pull_request(WEB, 2, "closed", ANA),
        state.pull_request(WEB, 3, "opened", ANA),
        state.comment_event(WEB, said, "created"),
        state.comment_event(WEB, said, "edited"),
        state.comment_event(WEB, said, "deleted"),
        state.comment_event(WEB, noted, "created"),
        state.requested_action(WEB, 8, "approve", ANA),
        state.reference_event(WEB, "create", ("tag", "v1"), ANA),
        state.reference_event(WEB, "delete", ("tag", "v1"), ANA),
        state.status_event(WEB, "a", "liftlock/prod", ANA),
    ];
    drop(state);
    let mut guids = std::collections::BTreeSet::new();
    for hook in &hooks {
        let read = WebhookEvent::try_from_header_and_body(&hook.event, &hook.body);
        let read = read.unwrap_or_else(|e| panic!("{}: {e}\n{}", hook.event, hook.body));
        assert_eq!(read.sender.unwrap().login, "ana");
        assert!(guids.insert(hook.guid.clone()));
    }
    fake.finish();
}

#[tokio::test]
async fn a_webhook_is_signed_and_its_outcome_is_kept() {
    let (fake, _github) = app().await;
    let (receiver, _other) = app().await;
    let hook = fake.state().push(WEB, "refs/heads/main", ANA, &[(sha('1').as_str(), "One")]);
    // Any route will do: it answers 401 to whoever brings no token.
    let url = format!("{}/app/installations/1/access_tokens", receiver.origin());
    let status = fake.deliver(&hook, &url, "It's a Secret to Everybody").await;
    assert_eq!((status, fake.state().deliveries.last().unwrap().status_code), (401, 401));
    let got = receiver.requests().pop().unwrap();
    assert_eq!(got.headers["x-github-event"], "push");
    assert_eq!(got.body["after"], sha('1').as_str());
    // GitHub's documented example of a signature.
    assert_eq!(
        crate::github::signature("It's a Secret to Everybody", "Hello, World!"),
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    );
    assert_eq!(fake.deliver(&hook, "http://127.0.0.1:1/", "x").await, 0);
    receiver.finish();
    fake.finish();
}

#[tokio::test]
async fn c16_c17_the_webhook_is_made_once_put_right_and_taken_away() {
    let (fake, github) = personal(Some("repo, admin:repo_hook")).await;
    github.check().await.unwrap();
    let repository = "acme/web".parse().unwrap();
    let secret = Secret::new("a webhook secret of some length");
    let others = Hook::to("https://ci.example/hook");
    fake.state().repos.get_mut(&WEB).unwrap().hooks.insert(7, others.clone());
    assert_eq!(github.place_webhook(&repository, &secret).await.unwrap(), Placed::Made);
    let placed = fake.state().repos[&WEB].hooks[&8].clone();
    assert_eq!(placed.url, format!("{PUBLIC_URL}/webhook/github"));
    assert_eq!((placed.content_type.as_str(), placed.secret.as_str()), ("json", secret.expose()));
    let events: std::collections::BTreeSet<&str> = placed.events.iter().map(String::as_str).collect();
    let heard = ["push", "pull_request", "issue_comment", "commit_comment", "status", "check_run"];
    assert!(heard.iter().all(|event| events.contains(event)), "{events:?}");
    // What somebody has changed there is put right, and a new secret takes the place of the old one.
    let secret = Secret::new("another webhook secret of some length");
    fake.state().repos.get_mut(&WEB).unwrap().hooks.get_mut(&8).unwrap().events.clear();
    assert_eq!(github.place_webhook(&repository, &secret).await.unwrap(), Placed::Renewed);
    let hooks = fake.state().repos[&WEB].hooks.clone();
    let renewed = Hook { secret: secret.expose().to_owned(), ..placed };
    assert_eq!(hooks.values().cloned().collect::<Vec<_>>(), [others.clone(), renewed]);
    assert_eq!((fake.count(&Method::POST, "/hooks"), fake.count(&Method::PATCH, "/hooks/8")), (1, 1));
    assert!(github.remove_webhook(&repository).await.unwrap());
    assert!(!github.remove_webhook(&repository).await.unwrap(), "it is gone");
    assert_eq!(fake.state().repos[&WEB].hooks.values().collect::<Vec<_>>(), [&others], "others' stay");
    let stranger = github.place_webhook(&"acme/other".parse().unwrap(), &secret).await.unwrap_err();
    assert!(stranger.to_string().contains("not under [github] repositories"), "{stranger}");
    fake.finish();

    let (fake, github) = app().await;
    let refused = github.place_webhook(&repository, &secret).await.unwrap_err();
    assert!(refused.to_string().contains("in the app's settings"), "{refused}");
    fake.finish();
}
