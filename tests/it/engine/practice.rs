//! The practice of release management (seed 004) with the manifest that the simulator plays, as it stands there: a
//! release that a time asks for, trains with a cut-off, a canary that is put back, and the fix that takes the next train.

use std::collections::BTreeMap;

use liftlock::domain::demand::Cause;
use liftlock::domain::event::StartedBy;
use liftlock::domain::release::ReleaseState;
use liftlock::domain::time::Span;

use super::rings::below;
use super::world::{ANA, BO, World};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/practice");
const PRACTICE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/scenarios/processes/practice.yml"));

/// A repository with that, on a Sunday.
async fn world() -> World {
    let mut files: BTreeMap<String, String> = below(SCRIPTS).collect();
    files.insert(".github/liftlock.yml".to_owned(), PRACTICE.to_owned());
    let mut world = World::asleep(files).await;
    world.sleep().await;
    // Days are skipped while work goes on.
    world.lease = Span::days(30);
    world.begin_at("2026-03-01T12:00:00Z");
    world.wake().await;
    world
}

/// It is this time, once nothing is left to do before.
async fn it_is(world: &World, time: &str) {
    world.settled().await;
    world.begin_at(&format!("2026-03-{time}:00Z"));
    world.store().wake();
    world.settled().await;
}

/// What was done since it was asked last.
fn done(world: &World, before: &mut usize) -> Vec<String> {
    let all = world.deployed();
    let fresh = all[*before..].to_vec();
    *before = all.len();
    fresh
}

/// A portion of prod, or all of a stage.
fn both(place: &str, api: &str, told: &str) -> Vec<String> {
    ["web-1", api].map(|part| format!("{place}: {part} for {told}")).into()
}

const PROD: &str = "shop.example, log warn";

/// What every release does before it waits for a train.
fn to_staging(api: &str) -> Vec<String> {
    let dev = both("dev", api, "dev.shop.example, log info");
    let staging = both("staging", api, "staging.shop.example, log info");
    [dev, staging, vec!["staging: smoke".to_owned()]].concat()
}

/// The three portions of prod, an hour and a half after the train of that day.
async fn through_prod(world: &World, (commit, day, api): (&str, &str, &str), before: &mut usize) {
    world.status_says(commit, "liftlock/prod", "is held at 10 % until").await;
    it_is(world, &format!("{day}T09:31")).await;
    world.status_says(commit, "liftlock/prod", "is held at 50 % until").await;
    it_is(world, &format!("{day}T10:32")).await;
    world.settled().await;
    let portions = [10, 50, 100].map(|percent| both(&format!("prod at {percent} %"), api, PROD));
    assert_eq!(done(world, before), portions.concat());
}

/// What stakeholders were told since they were told last.
async fn told(world: &World) -> Vec<String> {
    let said = world.drain().await;
    let one = |text: &String| Some(text.strip_prefix("📣 **")?.split_once("**")?.0.to_owned());
    said.iter().filter_map(one).collect()
}

/// Why nothing came of the last start or train.
async fn dropped(world: &World) -> String {
    world.state("shop").await.demands.dropped.last().map(|dropped| dropped.why.clone()).unwrap_or_default()
}

/// Monday's release of what only a time asks for, by the trains of the week; its data is moved before.
async fn first_week(world: &mut World, before: &mut usize) {
    let commit = world.merge_files(1, &[("docs/shop.md", "the shop\n")], "docs: the shop").await;
    world.settled().await;
    assert!(world.state("shop").await.releases.is_empty(), "no push of documents makes a release");
    it_is(world, "02T05:00").await;
    let state = world.state("shop").await;
    let one = state.releases.values().next().unwrap();
    assert_eq!(one.created.commit.as_str(), commit);
    let by = &one.created.started_by;
    assert!(matches!(by, StartedBy::Demand { cause: Cause::Schedule { .. }, .. }), "{by:?}");
    assert_eq!(done(world, before), to_staging("api-1"));
    assert_eq!(
        told(world).await,
        ["dev", "staging"].map(|stage| format!("shop v0.1.0-rc.1 is live in {stage}"))
    );

    world.say(1, ANA, "/run migrate").await;
    world.say(1, BO, "/approve migrate").await;
    world.settled().await;
    assert_eq!(done(world, before), ["migrate"]);
    world.say(1, ANA, "/approve prod v0.1.0-rc.1").await;
    it_is(world, "04T09:00").await;
    through_prod(world, (&commit, "04", "api-1"), before).await;
    assert_eq!(told(world).await, ["shop v0.1.0-rc.1 is live in prod"]);
    it_is(world, "05T09:00").await;
    let partners = "partners.shop.example, log info";
    let mut there = done(world, before);
    there.sort();
    let mut expected = both("partners", "api-1", partners);
    expected.sort();
    assert_eq!(there, expected);
    assert_eq!(told(world).await, ["shop v0.1.0-rc.1 is live in partners"]);
}

/// A train whose server is away when it leaves takes what had boarded; the fix for that came after the cut-off.
async fn second_week(world: &mut World, before: &mut usize) -> String {
    it_is(world, "09T05:00").await;
    assert_eq!(dropped(world).await, "nothing has changed since v0.1.0-rc.1");
    let bad = world.merge_files(2, &[("src/api.txt", "api-2\n")], "feat: gift cards").await;
    world.settled().await;
    world.say(2, ANA, "/approve prod v0.1.0-rc.2").await;
    it_is(world, "11T07:00").await;
    let fix = world.merge_files(3, &[("src/api.txt", "api-3\n")], "fix: gift cards without a name").await;
    world.settled().await;
    assert_eq!(done(world, before), [to_staging("api-2"), to_staging("api-3")].concat());
    assert_eq!(told(world).await.len(), 4);
    world.say(3, ANA, "/why prod").await;
    let why = world.hears(3).await;
    assert!(
        why.contains("takes the train of 2026-03-18 09:00 UTC") && why.contains("after the cut-off at"),
        "{why}"
    );
    world.sleep().await;
    world.begin_at("2026-03-11T09:20:00Z");
    world.wake().await;
    world.status_says(&bad, "liftlock/prod", "is held at 10 % until").await;
    assert_eq!(done(world, before), both("prod at 10 %", "api-2", PROD));

    world.plant("errors");
    it_is(world, "11T09:22").await;
    world.status(&bad, "liftlock/prod", "failure").await;
    world.settled().await;
    let said = world.hears(2).await;
    assert!(said.contains("failed in prod at \"canary at 10 %\"**"), "{said}");
    assert!(said.contains("v0.1.0-rc.1 is put back by itself, and prod is held then"), "{said}");
    assert_eq!(told(world).await, ["prod is back at shop v0.1.0-rc.1"]);
    assert_eq!(done(world, before), both("prod at 100 %", "api-1", PROD));
    world.unplant("errors");
    it_is(world, "12T09:00").await;
    assert_eq!(dropped(world).await, "the train to partners left empty: nothing new since v0.1.0-rc.1");
    fix
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e05_e06_e14_e16_e23_e24_e28_a_train_takes_what_boarded_and_the_fix_of_a_bad_canary_takes_the_next() {
    let mut world = world().await;
    let mut before = 0;
    first_week(&mut world, &mut before).await;
    let fix = second_week(&mut world, &mut before).await;

    world.say(3, ANA, "/unhold prod").await;
    it_is(&world, "18T09:00").await;
    let request = world.hears(3).await;
    assert!(request.contains("is ready for prod"), "{request}");
    assert!(request.contains("v0.1.0-rc.1 is put back by itself"), "it says how prod goes back: {request}");
    assert_eq!(done(&world, &mut before), Vec::<String>::new(), "nobody said yes yet");
    world.say(3, ANA, "/approve prod").await;
    through_prod(&world, (&fix, "18", "api-3"), &mut before).await;
    it_is(&world, "19T09:00").await;
    assert_eq!(done(&world, &mut before), ["partners: api-3 for partners.shop.example, log info"]);
    let log = world.log("github:12/shop/3/partners/1").await;
    assert!(log.contains("web is left out: it runs the same bytes, v0.1.0-rc.1's"), "{log}");
    let state = world.state("shop").await;
    let states: Vec<ReleaseState> = state.releases.values().map(|release| release.state()).collect();
    assert_eq!(states, [ReleaseState::Released, ReleaseState::Failed, ReleaseState::Released]);
    let live = ["prod", "partners"].map(|stage| format!("shop v0.1.0-rc.3 is live in {stage}"));
    assert_eq!(told(&world).await, live);
    world.finish().await;
}
