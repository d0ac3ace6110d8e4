//! Releases that somebody starts by hand.

use std::io::Write as _;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use hyper::Method;
use liftlock::clock;
use liftlock::config::caller::Caller;
use liftlock::domain::gate::verdict;
use liftlock::domain::name::{CommitSha, Digest, PipelineId, ReleaseNo, StageName, UserId};
use liftlock::domain::person::Person;
use liftlock::domain::state::State;
use liftlock::forge::signature::sign;
use liftlock::secret::Secret;
use liftlock::store::effect::{Effect, EffectState};

use super::world::{ANA, EVE, REPO, World, repo_id};
use crate::github::WorkflowRun;

const MANIFEST: &str = r"version: 1
name: shop
triggers: {push: {}, button: {title: Publish, inputs: {service: {default: all, choices: [all, checkout]}}}}
build: [sh build.sh, 'echo of ${SERVICE:-nothing}']
artifacts: dist
deploy: 'echo $STAGE $(service) $SERVICE >> $TARGET/journal'
stages: [test]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b24_a_button_makes_a_release_of_the_head_with_what_it_is_given() {
    let mut world = World::with(MANIFEST).await;
    let head = world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in test"));
    world.say(1, EVE, "/start shop service=checkout").await;
    assert!(world.hears(1).await.contains("write"));
    world.say(1, ANA, "/start shop service=checkout").await;
    world.until("two deployments", |_| world.deployed().len() == 2).await;
    world.drain().await;
    assert_eq!(world.deployed(), ["test all all", "test checkout checkout"]);
    let state = world.state("shop").await;
    let last = &state.releases.values().next_back().unwrap().created;
    assert_eq!((last.commit.as_str(), last.inputs["service"].as_str()), (head.as_str(), "checkout"));
    assert_eq!(last.initiator.as_ref().unwrap().login.as_str(), "ana");
    // The build is told the same, unless releases share it that were given other things.
    let of_commit = MANIFEST.replace("artifacts:", "reuse: commit\nartifacts:");
    world.push_files(&[(".github/liftlock.yml", &of_commit)], "feat: build once").await;
    world.until("three deployments", |_| world.deployed().len() == 3).await;
    for (no, told) in [(1, "of all"), (2, "of checkout"), (3, "of nothing")] {
        let log = world.log(&format!("github:12/shop/{no}/build/1")).await;
        assert!(log.lines().any(|line| line == told), "{told}: {log}");
    }
    world.drain().await;
    world.finish().await;
}

/// What the portal sends now.
pub(super) fn call(seconds: i64, pipeline: &str, service: &str) -> Request<Body> {
    let path = format!("/webhook/start/github:12/{pipeline}");
    let body = serde_json::json!({"inputs": {"service": service}}).to_string();
    let signed = sign(PORTAL.as_bytes(), format!("{seconds}\nPOST {path}\n{body}").as_bytes()).unwrap();
    let request = Request::post(&path).header("x-liftlock-caller", "portal");
    let request = request.header("x-liftlock-timestamp", seconds).header("x-liftlock-signature", signed);
    request.body(Body::from(body)).unwrap()
}

const PORTAL: &str = "what the portal signs with";

/// Who may start this.
pub(super) fn portal(allow: &str) -> Caller {
    Caller {
        name: "portal".parse().unwrap(),
        secrets: vec![Secret::new(PORTAL)],
        allow: vec![allow.to_owned().try_into().unwrap()],
    }
}

/// On a host where nobody is known by the config: whoever signed is answered for by the config alone. What was stored of
/// it is carried out once, also when the server dies before it looked at it and the caller never heard an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b24_t57_a_signed_call_that_was_stored_starts_one_release_whatever_dies() {
    let mut world = World::with(MANIFEST).await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in test"));
    world.sleep().await;
    world.callers = vec![portal("acme/shop:shop/start")];
    world.boot().await;
    let seconds = clock::now().0 / 1000;
    let stored = async {
        loop {
            let newest = world.store().deliveries(1, None).await.unwrap();
            if newest.iter().any(|delivery| delivery.source == "call") {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    // The caller goes away as soon as its call is stored.
    tokio::select! {
        _ = world.post(call(seconds, "shop", "checkout")) => {}
        () = stored => {}
    }
    world.die().await;
    world.wake().await;
    world.until("two deployments", |_| world.deployed().len() == 2).await;
    assert_eq!(world.post(call(seconds, "shop", "checkout")).await, 200, "it is known");
    world.drain().await;
    assert_eq!(world.deployed(), ["test all all", "test checkout checkout"]);
    let state = world.state("shop").await;
    let last = &state.releases.values().next_back().unwrap().created;
    assert_eq!((state.releases.len(), last.initiator.as_ref().unwrap().login.as_str()), (2, "portal"));
    world.finish().await;
}

/// Says that it has begun, and goes on when it may.
const SERVICES: &str = r"version: 1
name: services
triggers: {button: {title: Publish service, inputs: {service: {required: true}}, per: service}}
build: sh build.sh
artifacts: dist
deploy: 'touch $TARGET/began-$LIFTLOCK_VERSION; while [ ! -e $TARGET/goes-$LIFTLOCK_VERSION ]; do sleep 0.02; done; echo $SERVICE $LIFTLOCK_VERSION >> $TARGET/journal'
stages: [{name: prod, queue: all}]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b14_two_services_are_deployed_at_the_same_time_and_two_releases_of_one_are_not() {
    let mut world = World::with(SERVICES).await;
    world.merge(1, "feat: sell shoes").await;
    world.settled().await;
    let began = |world: &World, no: u32| world.target().join(format!("began-v0.1.0-rc.{no}")).exists();
    let prod: StageName = "prod".parse().unwrap();
    world.say(1, ANA, "/start services service=checkout").await;
    world.until("the first is begun", |_| began(&world, 1)).await;
    world.say_now(1, ANA, "/start services service=checkout").await;
    let queued = |effects: &[Effect]| {
        let deploys = |state| effects.iter().filter(move |e| e.kind == "deploy" && e.state == state).count();
        let seals = |e: &&Effect| e.kind == "build" && e.state == EffectState::Done;
        deploys(EffectState::Leased) == 1 && effects.iter().filter(seals).count() == 2
    };
    world.until("the second is built, and the first still there", queued).await;
    // A worker is free, and whoever may go on has it: that is the other service, not the one before it.
    world.say_now(1, ANA, "/start services service=basket").await;
    world.until("the other service is begun beside it", |_| began(&world, 3)).await;
    assert!(!began(&world, 2), "its service is being deployed");
    let state = world.state("services").await;
    let second = &state.releases[&ReleaseNo(NonZeroU32::new(2).unwrap())];
    let verdict = verdict(&state, second, second.rule(&prod).unwrap(), clock::now());
    let waits: Vec<&str> = verdict.blockers().map(|line| line.text.as_str()).collect();
    assert_eq!(waits, ["v0.1.0-rc.1 goes first: running here"]);
    for no in 1..=3 {
        world.plant(&format!("goes-v0.1.0-rc.{no}"));
    }
    world.until("three deployments", |_| world.deployed().len() == 3).await;
    world.drain().await;
    let state = world.state("services").await;
    let live: Vec<String> = state
        .live_of(&prod)
        .map(|(track, live)| format!("{} {}", track.unwrap(), state.version_of(live.release())))
        .collect();
    assert_eq!(live, ["service=basket v0.1.0-rc.3", "service=checkout v0.1.0-rc.2"]);
    world.finish().await;
}

/// A package that another CI has built: its bytes come with their digest, and a release hands out exactly those.
const PACKAGE: &str = r"version: 1
name: shop
artifacts: [{alias: App, from: upload}, {alias: Lib, from: upload}]
deploy: 'echo $STAGE $(cat $LIFTLOCK_ARTIFACT_APP) $(cat $LIFTLOCK_ARTIFACT_LIB) >> $TARGET/journal'
stages: [test]
";

pub(super) fn person(id: u64, login: &str) -> Person {
    Person { id: UserId(NonZeroU64::new(id).unwrap()), login: login.parse().unwrap() }
}

/// Hands a package in as ana; the answer, or why not.
async fn hand_in(
    world: &World,
    (alias, bytes, said): (&str, &str, &str),
    commit: Option<&str>,
) -> Result<String, String> {
    let id = PipelineId { repo: repo_id(), name: "shop".parse().unwrap() };
    let standing = world.service().may_upload(&id, &person(ANA, "ana")).await.unwrap();
    let mut incoming = world.service().begin_upload().await.unwrap();
    incoming.write_all(bytes.as_bytes()).unwrap();
    let commit: Option<CommitSha> = commit.map(|c| c.parse().unwrap());
    let what = (alias.parse().unwrap(), Digest::of_text(said), commit);
    let ended = world.service().end_upload(&id, incoming, what, standing).await;
    ended.map_err(|trouble| trouble.to_string())?.map_err(|refusal| refusal.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e11_e18_t29_t36_t44_what_was_built_elsewhere_is_released_as_it_is() {
    let mut world = World::with(PACKAGE).await;
    let first = world.push("feat: nothing is built of it").await;
    world.settled().await;
    assert_eq!(world.state("shop").await.releases.len(), 0, "a push starts nothing");
    let id = PipelineId { repo: repo_id(), name: "shop".parse().unwrap() };
    let eve = world.service().may_upload(&id, &person(EVE, "eve")).await.unwrap_err();
    assert!(eve.to_string().contains("write is needed"), "{eve}");

    let wrong = hand_in(&world, ("App", "app-1", "app-2"), None).await.unwrap_err();
    assert!(wrong.contains("nothing was kept"), "{wrong}");
    let unknown = hand_in(&world, ("Other", "app-1", "app-1"), None).await.unwrap_err();
    assert!(unknown.contains("App, Lib"), "{unknown}");
    let said = hand_in(&world, ("App", "app-1", "app-1"), None).await.unwrap();
    assert!(said.contains("it is stored"), "{said}");
    let pledged = world.state("shop").await.pledged();
    assert!(pledged.contains(&Digest::of_text("app-1")), "retention leaves what the next release takes");
    let said = hand_in(&world, ("Lib", "lib-1", "lib-1"), None).await.unwrap();
    assert!(said.contains("a release is being made of it"), "{said}");
    world.until("a deployment", |_| world.deployed().len() == 1).await;
    world.drain().await;
    assert_eq!(world.deployed(), ["test app-1 lib-1"]);
    // The same again, because an answer was lost, is no second release.
    hand_in(&world, ("Lib", "lib-1", "lib-1"), None).await.unwrap();
    world.settled().await;
    assert_eq!(world.state("shop").await.releases.len(), 1);

    // One of them anew, of a commit that is not the newest.
    world.push("feat: more").await;
    world.settled().await;
    hand_in(&world, ("App", "app-2", "app-2"), Some(&first)).await.unwrap();
    world.until("a deployment", |_| world.deployed().len() == 2).await;
    world.drain().await;
    assert_eq!(world.deployed().last().unwrap(), "test app-2 lib-1");
    let state = world.state("shop").await;
    let last = state.releases.values().next_back().unwrap();
    assert_eq!(last.created.commit.as_str(), first);
    assert_eq!(last.artifacts[0].digest, Digest::of_text("app-2"));
    // Nor of one that is on no branch of ours.
    let main = world.tree.head("main").unwrap();
    let evil = world.tree.loose((vec![&main], &[("src/evil.txt", "evil")]), "feat: evil");
    hand_in(&world, ("App", "app-3", "app-3"), Some(&evil)).await.unwrap();
    world.settled().await;
    assert_eq!(world.state("shop").await.releases.len(), 2);
    let said = world.said_and_kept().await;
    assert!(said.contains(&format!("{} is not on main", &evil[..7])), "{said}");
    // Nor by the rules of an older commit, where the branch has other stages now (THREATS T29).
    let renamed = PACKAGE.replace("[test]", "[check]");
    world.push_files(&[(".github/liftlock.yml", &renamed)], "feat: check it").await;
    world.settled().await;
    hand_in(&world, ("App", "app-4", "app-4"), Some(&first)).await.unwrap();
    world.settled().await;
    assert_eq!(world.state("shop").await.releases.len(), 2);
    let said = world.said_and_kept().await.replace('\\', "");
    let why = "stage `test` is not in the manifest on `main`: release a newer commit";
    assert!(said.contains(why), "{said}");
    world.finish().await;
}

/// What GitHub's own CI builds: nothing is built here.
const OF_ACTIONS: &str = r"version: 1
name: shop
artifacts: [{alias: App, from: actions/build.yml, artifact: app-linux}, {alias: Docs, from: actions/build.yml}]
deploy: 'echo $STAGE $(cat $LIFTLOCK_ARTIFACT_APP/bin/app) $(cat $LIFTLOCK_ARTIFACT_DOCS/index.html) >> $TARGET/journal'
stages: [test]
";

/// A run of `build.yml` that left both artifacts.
fn ran(id: u64, sha: &str) -> WorkflowRun {
    let file = |name: &str, text: String| (name.to_owned(), text);
    WorkflowRun {
        id,
        attempt: 1,
        file: "build.yml".to_owned(),
        sha: sha.to_owned(),
        branch: "main".to_owned(),
        event: "push",
        conclusion: "success",
        head_repo: REPO,
        by: ANA,
        artifacts: vec![
            ("app-linux".to_owned(), vec![file("bin/app", format!("app-{id}"))]),
            ("Docs".to_owned(), vec![file("index.html", format!("docs-{id}"))]),
            ("coverage".to_owned(), vec![file("report.txt", "99 %".to_owned())]),
        ],
    }
}

/// Says that a run is over; the host tells of it twice.
async fn over(world: &World, run: WorkflowRun) {
    let id = run.id;
    let hook = {
        let mut state = world.github.state();
        state.repos.get_mut(&REPO).unwrap().runs.insert(id, run);
        state.run_event(REPO, id)
    };
    assert_eq!(world.deliver(&hook).await, 202);
    let again = world.github.state().run_event(REPO, id);
    assert_eq!(world.deliver(&again).await, 202);
    world.settled().await;
}

/// The pipeline once so many starts came to nothing.
async fn dropped(world: &World, count: usize) -> Arc<State> {
    world.settled().await;
    let state = world.state("shop").await;
    assert_eq!(state.demands.dropped.len(), count, "{:?}", state.demands.dropped);
    state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e19_t36_what_the_hosts_own_ci_built_is_released_as_it_is() {
    let mut world = World::with(OF_ACTIONS).await;
    let first = world.push("feat: built by GitHub").await;
    world.settled().await;
    assert_eq!(world.state("shop").await.releases.len(), 0, "a push starts nothing");

    // Runs that make no release: of a fork's pull request, of another branch, failed, of another workflow.
    over(&world, WorkflowRun { event: "pull_request", head_repo: 999, ..ran(1, &first) }).await;
    over(&world, WorkflowRun { head_repo: 999, ..ran(2, &first) }).await;
    over(&world, WorkflowRun { branch: "feature".to_owned(), ..ran(3, &first) }).await;
    over(&world, WorkflowRun { conclusion: "failure", ..ran(4, &first) }).await;
    over(&world, WorkflowRun { file: "lint.yml".to_owned(), ..ran(5, &first) }).await;
    assert_eq!(world.state("shop").await.releases.len(), 0);
    assert_eq!(world.github.count(&Method::GET, "/actions/"), 0, "nothing of them is fetched");

    over(&world, ran(6, &first)).await;
    dropped(&world, 0).await;
    assert_eq!(world.deployed(), ["test app-6 docs-6"]);
    let state = world.state("shop").await;
    let release = state.releases.values().next().unwrap();
    assert_eq!(release.created.commit.as_str(), first);
    assert_eq!(release.created.initiator.as_ref().unwrap().login.as_str(), "ana");
    assert_eq!(release.artifacts.len(), 2, "what nobody takes is left there");
    // The same workflow is run again for the same commit: that is no second release, and said to be none.
    over(&world, WorkflowRun { attempt: 2, ..ran(6, &first) }).await;
    let state = dropped(&world, 1).await;
    assert_eq!(state.releases.len(), 1);
    assert!(
        state.demands.dropped[0].why.contains("nothing has changed since"),
        "{:?}",
        state.demands.dropped
    );

    let second = world.push("feat: more of it").await;
    // Whoever forges the delivery of a run changes nothing: the host is asked.
    let forged = {
        let mut github = world.github.state();
        let real = WorkflowRun { conclusion: "failure", ..ran(7, &second) };
        github.repos.get_mut(&REPO).unwrap().runs.insert(7, ran(7, &second));
        let hook = github.run_event(REPO, 7);
        github.repos.get_mut(&REPO).unwrap().runs.insert(7, real);
        hook
    };
    assert_eq!(world.deliver(&forged).await, 202);
    let state = dropped(&world, 2).await;
    assert_eq!(state.releases.len(), 1);
    assert_eq!(state.demands.dropped[1].why, "run 7 of build.yml ended as failure");
    // One that left too little, and one that is whole.
    let mut little = ran(8, &second);
    little.artifacts.remove(1);
    over(&world, little).await;
    let state = dropped(&world, 3).await;
    assert_eq!(state.demands.dropped[2].why, "the run left no artifact `Docs`; it left app-linux, coverage");
    over(&world, ran(9, &second)).await;
    world.until("a deployment", |_| world.deployed().len() == 2).await;
    world.drain().await;
    assert_eq!(world.deployed(), ["test app-6 docs-6", "test app-9 docs-9"]);
    // Nor of a commit that is not on the branch that its run names.
    let evil = world.tree.loose((vec![&second], &[("src/evil.txt", "evil")]), "feat: evil");
    over(&world, ran(10, &evil)).await;
    let state = dropped(&world, 4).await;
    assert_eq!(state.demands.dropped[3].why, format!("{} is not on main", &evil[..7]));
    assert_eq!((state.releases.len(), world.deployed().len()), (2, 2));
    world.finish().await;
}
