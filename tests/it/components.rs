//! What of a release a stage has already, decided from the log alone (row E28).

use std::collections::BTreeSet;
use std::sync::Arc;

use liftlock::domain::component::{Standing, There, standings};
use liftlock::domain::event::{Created, RunKind};
use liftlock::domain::manifest::{NATIVE_PATHS, load};
use liftlock::domain::name::StageName;
use liftlock::domain::release::Release;

use crate::scenario::{World, speak};

/// Two stages deploy to one environment, the second one by hand.
const SHOP: &str = "version: 1
name: web
build: make
artifacts: [{alias: app, path: dist}]
deploy: ./deploy.sh
stages:
  - {name: prod, deployments: {web: {if_changed: app}, mail: }}
  - {name: twin, environment: prod, trigger: manual}
";

/// Plays these commands behind two releases, of which the first one was deployed.
fn played(commands: &[&str]) -> World {
    let mut world = World::new();
    let files = [(NATIVE_PATHS[0].to_owned(), SHOP.to_owned())].into();
    world.pipeline = load(&files, &"acme/shop".parse().unwrap()).unwrap().pipelines.pop();
    let before =
        ["push c1 as #1 by bo: feat: one", "build ok", "work", "push c2 as #2 by bo: feat: two", "build ok"];
    for command in before.iter().chain(commands) {
        speak::play(&mut world, command);
    }
    world
}

/// What becomes of `web` in prod when a release of this number has the bytes of the first one, but for this change.
fn web(world: &World, (no, kind): (usize, RunKind), change: impl FnOnce(&mut Release)) -> String {
    let releases: Vec<_> = world.state.releases.values().collect();
    let mut release = (**releases[no - 1]).clone();
    release.artifacts.clone_from(&releases[0].artifacts);
    change(&mut release);
    let stage: StageName = "prod".parse().unwrap();
    let there = There::of(&world.state, &release, (&stage, kind));
    let all = standings((&release, release.steps(&stage).unwrap()), &there, &BTreeSet::new());
    let told: Vec<_> = all.into_iter().collect();
    let [(unit, standing)] = told.as_slice() else { panic!("only web asks: {told:?}") };
    assert_eq!(unit.name.as_str(), "web");
    match standing {
        Standing::Same(runs) => format!("left out: {}", runs.told()),
        Standing::Changed(why) => why.clone(),
    }
}

fn created(release: &mut Release) -> &mut Created {
    Arc::make_mut(&mut release.created)
}

#[test]
fn e28_the_same_bytes_deployed_in_the_same_way_are_left_out() {
    let world = played(&[]);
    let there =
        "left out: it runs the same bytes, v0.1.0-rc.1's sha256:a1eeeeeeeeee, since 2026-03-02 08:00 UTC";
    assert_eq!(web(&world, (2, RunKind::Deploy), |_| {}), there);
    assert_eq!(web(&world, (2, RunKind::Rollback), |_| {}), there);
    assert_eq!(
        web(&world, (2, RunKind::Redeploy), |_| {}),
        "it is tried again, and then everything is deployed"
    );
}

#[test]
fn e28_other_bytes_commands_and_variables_are_deployed() {
    let world = played(&[]);
    let changed = |change: fn(&mut Release)| web(&world, (2, RunKind::Deploy), change);
    let other = world.state.releases.values().nth(1).unwrap().artifacts.clone();
    assert_eq!(
        web(&world, (2, RunKind::Deploy), |release| release.artifacts = other),
        "app is sha256:a2eeeeeeeeee, and v0.1.0-rc.1 had sha256:a1eeeeeeeeee"
    );
    assert_eq!(changed(|release| release.artifacts.clear()), "app is not in this release and in v0.1.0-rc.1");
    assert_eq!(
        changed(|release| created(release).pipeline.stages[0].deploy[0].name.push('!')),
        "v0.1.0-rc.1 was deployed in another way"
    );
    let told = "its commands are told other things than those of v0.1.0-rc.1";
    let variable = ("LEVEL".to_owned(), "2".to_owned());
    assert_eq!(
        web(&world, (2, RunKind::Deploy), |release| {
            created(release).pipeline.stages[0].environment_variables.extend([variable]);
        }),
        told
    );
    assert_eq!(changed(|release| created(release).inputs.extend([("eu".to_owned(), "1".to_owned())])), told);
}

#[test]
fn e28_where_it_is_not_sure_what_runs_everything_is_deployed() {
    let mut world = World::new();
    let files = [(NATIVE_PATHS[0].to_owned(), SHOP.to_owned())].into();
    world.pipeline = load(&files, &"acme/shop".parse().unwrap()).unwrap().pipelines.pop();
    for command in ["push c1 as #1 by bo: feat: one", "build ok"] {
        speak::play(&mut world, command);
    }
    assert_eq!(web(&world, (1, RunKind::Deploy), |_| {}), "nothing runs there yet");

    let failed = ["work fails at \"smoke\": exit 1", "push c3 as #3 by bo: feat: three", "build ok"];
    assert_eq!(
        web(&played(&failed), (3, RunKind::Deploy), |_| {}),
        "nobody knows how far v0.1.0-rc.2 came there"
    );

    let beside = [
        "work",
        "bo (write) on #2: /promote twin v0.1.0-rc.2",
        "work",
        "push c3 as #3 by bo: feat: three",
        "build ok",
    ];
    assert_eq!(web(&played(&beside), (3, RunKind::Deploy), |_| {}), "twin has deployed to prod since");
}
