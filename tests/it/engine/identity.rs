//! Who may, and who only says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::tree::TWO_STAGES;
use super::world::{ANA, BO, DEV, EVE, HOOK_SECRET, REPO, World};
use crate::github::{Pull, Spot, Webhook};

async fn offered() -> World {
    let mut world = World::with(TWO_STAGES).await;
    world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    world.settled().await;
    world
}

fn changed(mut hook: Webhook, change: impl FnOnce(&mut Value)) -> Webhook {
    let mut body: Value = serde_json::from_str(&hook.body).unwrap();
    change(&mut body);
    hook.body = body.to_string();
    hook
}

/// Delivers it, and says that it changed nothing.
async fn changes_nothing(world: &World, hook: &Webhook) {
    let before = world.state("shop").await.version;
    assert_eq!(world.deliver(hook).await, 202);
    world.settled().await;
    assert_eq!(world.state("shop").await.version, before, "{}", hook.body);
    assert_eq!(world.live().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t4_nothing_is_stored_or_asked_for_an_unsigned_delivery() {
    let world = World::with(TWO_STAGES).await;
    let head = world.tree.head("main").unwrap();
    let hook = world.push_hook("refs/heads/main", None, Some(&head));
    assert_eq!(world.deliver_signed(&hook, "some other secret of some length").await, 401);
    let unsigned = axum::http::Request::post("/webhook/github")
        .header("x-github-delivery", &hook.guid)
        .header("x-github-event", "push")
        .body(axum::body::Body::from(hook.body.clone()))
        .unwrap();
    assert_eq!(world.post(unsigned).await, 401);
    assert_eq!(world.store().deliveries(10, None).await.unwrap().len(), 0);
    assert_eq!(world.effects().await.len(), 0);
    assert_eq!(world.github.requests().len(), 0);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t8_a_comment_that_the_host_does_not_have_is_refused() {
    let world = offered().await;
    let comment = world.write(&Spot::Thread(1), ANA, "/approve prod");
    let hook = world.github.state().comment_event(REPO, comment, "created");
    world.github.state().repos.get_mut(&REPO).unwrap().comments.remove(&comment);
    changes_nothing(&world, &hook).await;

    // The host has it, and says that somebody else wrote it.
    let comment = world.write(&Spot::Thread(1), ANA, "/approve prod");
    let hook = world.github.state().comment_event(REPO, comment, "created");
    world.github.state().repos.get_mut(&REPO).unwrap().comments.get_mut(&comment).unwrap().author = EVE;
    changes_nothing(&world, &hook).await;

    // The host has another text.
    let comment = world.write(&Spot::Thread(1), ANA, "/approve prod");
    let hook = world.github.state().comment_event(REPO, comment, "created");
    world.github.state().repos.get_mut(&REPO).unwrap().comments.get_mut(&comment).unwrap().body =
        "hello".to_owned();
    changes_nothing(&world, &hook).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t9_other_repositories_are_stored_and_left_alone() {
    let world = offered().await;
    world.github.state().repo(13, "acme/other");
    let head = world.tree.head("main").unwrap();
    let mut hook = world.push_hook("refs/heads/main", None, Some(&head));
    hook = changed(hook, |body| {
        body["repository"]["id"] = 13.into();
        body["repository"]["full_name"] = "acme/other".into();
    });
    changes_nothing(&world, &hook).await;
    // Our name on another repository's id: whoever took the name gets nothing with it.
    let hook = changed(world.push_hook("refs/heads/main", None, Some(&head)), |body| {
        body["repository"]["id"] = 99.into();
    });
    changes_nothing(&world, &hook).await;
    let ignored = world.store().deliveries(2, None).await.unwrap();
    assert!(ignored.iter().all(|d| d.error.as_deref().is_some_and(|e| e.contains("config"))), "{ignored:#?}");
    assert_eq!(world.store().streams("", 10).await.unwrap().len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t9_a_renamed_repository_is_still_ours() {
    let mut world = offered().await;
    world.github.state().repos.get_mut(&REPO).unwrap().name = "acme/store".to_owned();
    world.merge(2, "feat: sell hats").await;
    assert!(world.hears(2).await.contains("ready for prod"));
    world.settled().await;
    let row = world.store().repository("github:12").await.unwrap().expect("the repository is known");
    assert_eq!((row.name.as_str(), row.default_branch.as_str()), ("acme/store", "main"));
    let pipelines = world.store().pipelines().await.unwrap();
    assert_eq!(pipelines[0].repo_name, "acme/store");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t12_the_sender_must_be_the_author() {
    let world = offered().await;
    let comment = world.write(&Spot::Thread(1), ANA, "/approve prod");
    let hook = world.github.state().comment_event(REPO, comment, "created");
    let hook = changed(hook, |body| body["sender"]["id"] = EVE.into());
    changes_nothing(&world, &hook).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t15_bots_and_apps_are_not_people() {
    let world = offered().await;
    {
        let mut state = world.github.state();
        state.user(50, "robot[bot]", "Bot");
        state.repos.get_mut(&REPO).unwrap().roles.insert(50, ("admin", "admin"));
    }
    let comment = world.write(&Spot::Thread(1), 50, "/approve prod");
    let hook = world.github.state().comment_event(REPO, comment, "created");
    changes_nothing(&world, &hook).await;
    let comment = world.write(&Spot::Thread(1), ANA, "/approve prod");
    world.github.state().repos.get_mut(&REPO).unwrap().comments.get_mut(&comment).unwrap().via_app = true;
    let hook = world.github.state().comment_event(REPO, comment, "created");
    changes_nothing(&world, &hook).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t25_too_small_a_role_is_told_so_once_and_counts_for_nothing() {
    let world = offered().await;
    let comment = world.say(1, DEV, "/approve prod").await;
    let answer = world.hears(1).await;
    assert!(answer.contains("maintain") && answer.contains("dev"), "{answer}");
    world.settled().await;
    assert_eq!(world.reactions(comment), ["-1"]);
    world.say(1, DEV, "/approve prod").await;
    world.say(1, EVE, "/approve prod").await;
    world.drain().await;
    assert_eq!(world.live().len(), 1);
    world.finish().await;
}

/// Somebody else has taken the login since: the id decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t26_a_login_that_was_taken_over_has_no_rights() {
    let world = offered().await;
    {
        let mut state = world.github.state();
        state.user(4, "eve", "User");
        state.repos.get_mut(&REPO).unwrap().roles.insert(4, ("admin", "admin"));
    }
    world.say(1, EVE, "/approve prod").await;
    world.drain().await;
    assert_eq!(world.live().len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t28_a_role_lost_between_approval_and_start_withdraws_the_approval() {
    let world = offered().await;
    world.say(1, BO, "/hold prod -- wait for me").await;
    world.say(1, ANA, "/approve prod").await;
    world.settled().await;
    world.github.state().repos.get_mut(&REPO).unwrap().roles.insert(ANA, ("read", "read"));
    world.say(1, BO, "/unhold prod").await;
    world.drain().await;
    assert_eq!(world.live().len(), 1, "prod did not start");
    let state = world.state("shop").await;
    let run = state.releases.values().next().unwrap().run(&"prod".parse().unwrap()).unwrap().clone();
    assert_eq!((run.approvals.len(), run.withdrawn.len()), (0, 1));
    let sticky = world.sticky();
    assert!(sticky.contains("prod"), "{sticky}");
    // Somebody who still may can approve.
    world.say(1, BO, "/approve prod").await;
    world.drain().await;
    assert_eq!(world.live().len(), 2);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t17_an_approval_edited_or_deleted_before_the_start_is_withdrawn() {
    let mut world = World::with(&TWO_STAGES.replace("approval: 1", "approval: 2")).await;
    world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    for action in ["edited", "deleted"] {
        let comment = world.say(1, ANA, "/approve prod").await;
        world.settled().await;
        {
            let mut state = world.github.state();
            let now = state.now();
            let kept = state.repos.get_mut(&REPO).unwrap().comments.get_mut(&comment).unwrap();
            kept.body = "never mind".to_owned();
            kept.updated = now.plus(liftlock::domain::time::Span::seconds(1));
        }
        let hook = world.github.state().comment_event(REPO, comment, action);
        assert_eq!(world.deliver(&hook).await, 202);
        world.settled().await;
        let state = world.state("shop").await;
        let run = state.releases.values().next().unwrap().run(&"prod".parse().unwrap()).unwrap().clone();
        assert_eq!(run.approvals.len(), 0, "{action}");
    }
    world.say(1, BO, "/approve prod").await;
    world.drain().await;
    assert_eq!(world.live().len(), 1, "one of two");
    world.finish().await;
}

/// No webhook told of the edit: it is found when the truth is read back before the start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t17_an_edit_nobody_told_of_is_found_before_the_start() {
    let world = offered().await;
    world.say(1, BO, "/hold prod -- wait for me").await;
    let comment = world.say(1, ANA, "/approve prod").await;
    world.settled().await;
    {
        let mut state = world.github.state();
        let now = state.now();
        let kept = state.repos.get_mut(&REPO).unwrap().comments.get_mut(&comment).unwrap();
        kept.body = "/approve test".to_owned();
        kept.updated = now.plus(liftlock::domain::time::Span::seconds(1));
    }
    world.say(1, BO, "/unhold prod").await;
    world.drain().await;
    assert_eq!(world.live().len(), 1);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t34_a_strangers_button_does_nothing_and_a_maintainers_approves() {
    let mut world = World::asleep(super::tree::sample(TWO_STAGES)).await;
    world.sleep().await;
    world.checks = true;
    world.wake().await;
    let commit = world.merge(1, "feat: sell shoes").await;
    world.hears(1).await;
    world.settled().await;
    let check = {
        let state = world.github.state();
        let checks = &state.repos[&REPO].checks;
        let with_button = checks.iter().find(|(_, c)| c.sha == commit && c.name == "liftlock/prod");
        let (id, check) = with_button.unwrap_or_else(|| panic!("{checks:#?}"));
        assert!(check.body["actions"][0]["identifier"] == "approve", "{check:#?}");
        *id
    };
    let hook = world.github.state().requested_action(REPO, check, "approve", EVE);
    assert_eq!(world.deliver(&hook).await, 202);
    world.settled().await;
    assert_eq!(world.live().len(), 1);
    let hook = world.github.state().requested_action(REPO, check, "approve", ANA);
    let elsewhere = changed(hook.clone(), |body| body["check_run"]["head_sha"] = "d".repeat(40).into());
    let elsewhere = Webhook { guid: "elsewhere".to_owned(), ..elsewhere };
    assert_eq!(world.deliver(&elsewhere).await, 202);
    world.settled().await;
    assert_eq!(world.live().len(), 1);
    assert_eq!(world.deliver(&hook).await, 202);
    assert!(world.hears(1).await.contains("is live in prod"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t56_fifty_approvals_at_once_start_one_deployment() {
    let world = Arc::new(offered().await);
    let hooks: Vec<Webhook> = (0..50)
        .map(|i| {
            let who = if i % 2 == 0 { ANA } else { BO };
            let comment = world.write(&Spot::Thread(1), who, "/approve prod");
            world.github.state().comment_event(REPO, comment, "created")
        })
        .collect();
    let mut sent = tokio::task::JoinSet::new();
    for hook in hooks {
        let world = Arc::clone(&world);
        sent.spawn(async move { world.deliver(&hook).await });
    }
    assert!(sent.join_all().await.iter().all(|status| *status == 202));
    world.drain().await;
    assert_eq!(world.live().len(), 2, "{:?}", world.deployed());
    let state = world.state("shop").await;
    let run = state.releases.values().next().unwrap().run(&"prod".parse().unwrap()).unwrap().clone();
    assert_eq!((run.attempt, run.admissions), (1, 1));
    Arc::into_inner(world).unwrap().finish().await;
}

/// Somebody who waits for us to call: counts the connections that come.
struct Canary {
    address: std::net::SocketAddr,
    came: Arc<AtomicUsize>,
}

impl Canary {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, came) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&came);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { address, came }
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }
}

/// Puts the canary into every address of a payload, and names the ones that other programs were led by where they are
/// not there.
fn lead_to(canary: &Canary, value: &mut Value) {
    let there = |path: &str| Value::from(format!("http://{}/{path}", canary.address));
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                let is_address =
                    name.ends_with("url") || field.as_str().is_some_and(|text| text.contains("://"));
                if is_address && !field.is_object() {
                    *field = there(name);
                } else {
                    lead_to(canary, field);
                }
            }
            for name in ["url", "api_url", "clone_url", "git_url", "ssh_url", "statuses_url", "comments_url"]
            {
                fields.insert(name.to_owned(), there(name));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| lead_to(canary, item)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Delivers it with the canary as its Enterprise Server and in every address.
async fn deliver_led(world: &World, canary: &Canary, hook: Webhook) {
    let hook = changed(hook, |body| lead_to(canary, body));
    assert!(hook.body.matches(&canary.address.to_string()).count() > 10, "{}", hook.body);
    let mut request = axum::http::Request::post("/webhook/github");
    for (name, value) in hook.headers(HOOK_SECRET) {
        request = request.header(name, value);
    }
    for name in ["x-github-enterprise-host", "x-forwarded-host", "host"] {
        request = request.header(name, canary.address.to_string());
    }
    assert_eq!(world.post(request.body(axum::body::Body::from(hook.body)).unwrap()).await, 202);
}

/// THREATS T52: whoever knows the webhook secret, or sits before the header, leads neither a request nor a token to a
/// host of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t52_no_header_and_no_address_of_a_payload_leads_anywhere_but_to_the_configured_host() {
    let canary = Canary::start().await;
    let mut world = World::with(TWO_STAGES).await;
    let before = world.tree.head("main");
    let commit = world.tree.commit("main", &[("src/1.txt", "shoes")], "feat: sell shoes");
    let merged = Pull { head: "1".repeat(40), merged: Some(commit.clone()) };
    world.github.state().issue(REPO, 1, DEV, Some(merged));
    let push = world.push_hook("refs/heads/main", before.as_deref(), Some(&commit));
    deliver_led(&world, &canary, push).await;
    world.hears(1).await;
    world.settled().await;
    let comment = world.write(&Spot::Thread(1), ANA, "/approve prod");
    let said = world.github.state().comment_event(REPO, comment, "created");
    deliver_led(&world, &canary, said).await;
    // It went the whole way: read, built, deployed, approved, told.
    world.status(&commit, "liftlock/prod", "success").await;
    assert_eq!(world.live(), ["test v0.1.0-rc.1", "prod v0.1.0-rc.1"]);
    world.drain().await;

    assert_eq!(canary.came(), 0, "somebody called the canary");
    let host = world.github.origin();
    let asked = world.github.requests();
    assert!(asked.iter().any(|request| request.auth == "installation"), "no token was used at all");
    for request in asked {
        let named =
            request.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
        assert_eq!(format!("http://{named}"), host, "{}", request.target);
    }
    // It would have counted.
    drop(tokio::net::TcpStream::connect(canary.address).await.unwrap());
    world.until("the canary is heard", |_| canary.came() == 1).await;
    world.finish().await;
}
