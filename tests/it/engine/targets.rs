//! Rollouts over targets: with commands here, and on hosts that are reached by ssh.
#![expect(clippy::disallowed_methods, reason = "what a test plants needs no sync")]

use std::collections::BTreeSet;
use std::path::Path;

use liftlock::domain::rollout::Fate;
use liftlock::domain::state::Live;
use liftlock::domain::time::Span;
use liftlock::runner::target::{Host, Kind, Target};

use super::tree::sample;
use super::world::{ANA, World};
use crate::sshd::{Sshd, key};

/// Writes down what it deploys where; planted files make it wait or fail.
const DEPLOY: &str = "set -e\necho \"$LIFTLOCK_VERSION\" >> \"$OUT/${TARGET##*/}\"\n\
                      if [ -n \"${LIFTLOCK_PERCENT:-}\" ]; then echo \"$LIFTLOCK_PERCENT\" >> \"$OUT/percents\"; fi\n\
                      if [ -e \"$OUT/wait-$TARGET\" ]; then touch \"$OUT/waiting-$TARGET\"; while [ -e \"$OUT/wait-$TARGET\" ]; do sleep 0.02; done; fi\n\
                      if [ -e \"$OUT/fail-$TARGET\" ]; then echo it is broken; exit 3; fi\n";

pub(super) fn manifest(out: &Path, rest: &str) -> String {
    format!(
        "version: 1\nname: shop\nbuild: sh build.sh\nartifacts: dist\nchecks:\n  health: {{run: 'test ! -e {0}/ill'}}\n\
         stages:\n  - name: prod\n    env: {{OUT: '{0}'}}\n    deploy: sh deploy.sh\n    {rest}\n",
        out.display()
    )
}

fn target(name: &str, kind: Kind) -> Target {
    Target {
        name: name.parse().unwrap(),
        environment: "prod".parse().unwrap(),
        roles: ["web".parse().unwrap()].into(),
        kind,
        allow: vec!["shop/prod".to_owned().try_into().unwrap()],
    }
}

pub(super) fn local(name: &str) -> Target {
    target(name, Kind::Local { address: format!("{name}.example") })
}

pub(super) async fn world(out: &Path, rest: &str, targets: Vec<Target>) -> World {
    let mut files = sample(&manifest(out, rest));
    files.insert("deploy.sh".to_owned(), DEPLOY.to_owned());
    let mut world = World::asleep(files).await;
    world.sleep().await;
    world.targets = targets;
    world.wake().await;
    world
}

pub(super) fn versions(out: &Path, target: &str) -> Vec<String> {
    let text = std::fs::read_to_string(out.join(target)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_e24_a_rollout_stops_at_the_first_failure_and_what_was_reached_goes_back() {
    let out = tempfile::tempdir().unwrap();
    let rest = "targets: {roles: [web], health: health}\n    strategy: {rolling: {batch: 1}}\n    rollback: {auto: [deploy_failed]}";
    let targets = ["web-1", "web-2", "web-3"].map(local).into();
    let mut world = world(out.path(), rest, targets).await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    std::fs::write(out.path().join("fail-web-2"), "").unwrap();
    world.merge(2, "feat: sell air").await;
    let said = world.hears(2).await.replace('\\', "");
    assert!(said.contains("on web-2: ended with exit code 3; it failed on web-2"), "{said}");
    assert!(said.contains("- web-1: done") && said.contains("- web-3: not reached"), "{said}");
    assert!(said.contains("v0.1.0-rc.1 is put back by itself"), "{said}");
    // The rollback fails on the broken target, too, and that is for people.
    assert!(world.hears(1).await.contains("failed in prod"));
    world.settled().await;
    let [one, two] = ["v0.1.0-rc.1", "v0.1.0-rc.2"];
    assert_eq!(versions(out.path(), "web-1"), [one, two, one]);
    assert_eq!(versions(out.path(), "web-2"), [one, two, one]);
    assert_eq!(versions(out.path(), "web-3"), [one], "it ran the old release all the time");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_what_health_says_after_a_batch_keeps_the_others_from_it() {
    let out = tempfile::tempdir().unwrap();
    let rest = "targets: {health: health}\n    strategy: {rolling: {batch: 50%}}";
    let mut world = world(out.path(), rest, ["web-1", "web-2", "web-3"].map(local).into()).await;
    std::fs::write(out.path().join("ill"), "").unwrap();
    world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(
        said.contains("health says ended with exit code 1") && said.contains("- web-3: not reached"),
        "{said}"
    );
    assert_eq!((versions(out.path(), "web-2").len(), versions(out.path(), "web-3").len()), (1, 0));
    world.finish().await;
}

/// The same with a health that answers well and not well in turns, and writes down each time that it is asked.
async fn flapping(out: &Path, limits: &str) -> World {
    let rest = "targets: {health: health}\n    strategy: {rolling: {batch: 1}}";
    let calm = format!("{{run: 'test ! -e {}/ill'}}", out.display());
    let asked = "'echo asked >> \"$OUT/asked\"; [ $(($(wc -l < \"$OUT/asked\") % 2)) = 1 ]'";
    let text = manifest(out, rest).replace(&calm, &format!("{{run: {asked}, every: 1m, {limits}}}"));
    assert!(text.contains("asked"), "{text}");
    let mut files = sample(&text);
    files.insert("deploy.sh".to_owned(), DEPLOY.to_owned());
    let mut world = World::asleep(files).await;
    world.sleep().await;
    world.targets = ["web-1", "web-2", "web-3"].map(local).into();
    // The time that passes here passes for leases, too.
    world.lease = Span::days(1);
    world.wake().await;
    world.merge(1, "feat: sell shoes").await;
    world
}

/// Lets the time between two questions pass, again and again, until somebody hears of what became of it.
async fn heard(world: &World) -> String {
    let passing = async {
        loop {
            // No faster than the questions are asked by some way, or a day passes between two of them.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            world.skip(Span::minutes(1));
        }
    };
    tokio::select! {
        said = world.hears(1) => said.replace('\\', ""),
        () = passing => String::new(),
    }
}

/// What every answer to a flapping health comes to: it is bad once it was bad more often than is forgiven.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_a_health_that_flaps_more_often_than_is_forgiven_ends_the_rollout() {
    let out = tempfile::tempdir().unwrap();
    let world = flapping(out.path(), "consecutive: 2, failure_limit: 2").await;
    let said = heard(&world).await;
    assert!(
        said.contains("failed in prod at \"health\"") && said.contains("health says ended with exit code 1"),
        "{said}"
    );
    assert!(said.contains("- web-1: done") && said.contains("- web-2: not reached"), "{said}");
    assert!(said.contains("`/retry prod`"), "{said}");
    let state = world.state("shop").await;
    let run = state.releases.values().next().unwrap().run(&"prod".parse().unwrap()).unwrap();
    assert_eq!(run.state.word(), "failed");
    assert_eq!(versions(out.path(), "asked").len(), 6, "well, not well, well, not well, well, not well");
    let unknown = |live: &Live| matches!(live, Live::Unknown(_));
    assert!(state.live.values().all(unknown), "nobody says that it is live: {:?}", state.live);
    world.finish().await;
}

/// Where any number of bad answers is forgiven it is its time that ends it, and its last word may have been a good one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_a_health_that_flaps_until_its_time_is_up_is_told_by_what_it_never_came_to() {
    let out = tempfile::tempdir().unwrap();
    // Its time is that of the machine, which does not jump.
    let world = flapping(out.path(), "consecutive: 2, timeout: 3s").await;
    let said = heard(&world).await;
    let never = "health was not well 2 times in a row within 3s";
    let last = [", although it was at last", "; at last it said ended with exit code 1"];
    assert!(last.iter().any(|last| said.contains(&format!("{never}{last}"))), "{said}");
    assert!(said.contains("- web-1: done") && said.contains("- web-2: not reached"), "{said}");
    world.finish().await;
}

/// The server dies between two targets: nothing is repeated by itself, and who asks for another try goes on with those
/// that do not run the release.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_t57_a_target_that_was_begun_and_never_reported_is_unknown() {
    let out = tempfile::tempdir().unwrap();
    let mut world = world(out.path(), "targets: {}", ["web-1", "web-2", "web-3"].map(local).into()).await;
    std::fs::write(out.path().join("wait-web-2"), "").unwrap();
    world.merge(1, "feat: sell shoes").await;
    let waiting = out.path().join("waiting-web-2");
    world.until("web-2 is begun", |_| waiting.exists()).await;
    world.die().await;
    std::fs::remove_file(out.path().join("wait-web-2")).unwrap();
    world.wake().await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("- web-1: done") && said.contains("- web-2: unknown"), "{said}");
    let state = world.state("shop").await;
    let prod = "prod".parse().unwrap();
    let release = state.releases.values().next().unwrap();
    let fate = |name: &str| release.run(&prod).unwrap().rollout.fate(&name.parse().unwrap()).cloned();
    assert_eq!(fate("web-2"), Some(Fate::Unknown));
    assert_eq!(fate("web-3"), Some(Fate::Pending));
    world.say(1, ANA, "/retry prod").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    let counts = ["web-1", "web-2", "web-3"].map(|name| versions(out.path(), name).len());
    assert_eq!(counts, [1, 2, 1], "web-1 had it already");
    world.finish().await;
}

/// Of a batch no more are begun than may fail and one more: five that are all broken, and one of these is put up with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_a_batch_side_by_side_fails_on_no_more_targets_than_one_by_one() {
    let out = tempfile::tempdir().unwrap();
    let rest = "targets: {}\n    strategy: {rolling: {batch: 5, max_unavailable: 1}}";
    let names = ["web-1", "web-2", "web-3", "web-4", "web-5"];
    let mut world = world(out.path(), rest, names.map(local).into()).await;
    for broken in ["web-1", "web-3", "web-4", "web-5"] {
        std::fs::write(out.path().join(format!("fail-{broken}")), "").unwrap();
    }
    world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("on web-1: ended with exit code 3; it failed on web-1, web-3"), "{said}");
    assert!(said.contains("- web-2: done") && said.contains("- web-4: not reached"), "{said}");
    assert_eq!(names.map(|name| versions(out.path(), name).len()), [1, 1, 1, 0, 0]);
    world.finish().await;
}

/// Each waits until the other one has begun, and the third one until both are done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_the_targets_of_a_batch_are_deployed_side_by_side() {
    let out = tempfile::tempdir().unwrap();
    let rest =
        "targets: {}\n    strategy: {rolling: {batch: 2, max_unavailable: 1}}\n    rollback: {approval: 1}";
    let mut world = world(out.path(), rest, ["web-1", "web-2", "web-3"].map(local).into()).await;
    for name in ["web-1", "web-2"] {
        std::fs::write(out.path().join(format!("wait-{name}")), "").unwrap();
    }
    world.merge(1, "feat: sell shoes").await;
    let waits = |name: &str| out.path().join(format!("waiting-{name}")).exists();
    world.until("both are begun", |_| waits("web-1") && waits("web-2")).await;
    assert_eq!(versions(out.path(), "web-3").len(), 0, "its batch has not come");
    for name in ["web-2", "web-1"] {
        std::fs::remove_file(out.path().join(format!("wait-{name}"))).unwrap();
    }
    assert!(world.hears(1).await.contains("is live in prod"));
    let log = world.log("github:12/shop/1/prod/1").await;
    for line in ["web-1: target web-1", "web-2: target web-2", "web-1: $ sh deploy.sh", "target web-3"] {
        assert!(log.lines().any(|found| found == line), "{line} in {log}");
    }
    // Both of a batch fail, and nobody of the next is touched.
    for name in ["web-1", "web-2"] {
        std::fs::write(out.path().join(format!("fail-{name}")), "").unwrap();
    }
    world.merge(2, "feat: sell air").await;
    let said = world.hears(2).await.replace('\\', "");
    assert!(said.contains("on web-1: ended with exit code 3; it failed on web-1, web-2"), "{said}");
    assert!(said.contains("- web-2: failed") && said.contains("- web-3: not reached"), "{said}");
    assert!(said.contains("\nit is broken"), "the last lines are the target's own: {said}");
    world.finish().await;
}

/// The server dies while two targets of a batch are begun: of both nobody knows, and neither is done again unasked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_t57_of_every_target_that_was_begun_side_by_side_it_is_known() {
    let out = tempfile::tempdir().unwrap();
    let rest = "targets: {}\n    strategy: {rolling: {batch: 3, max_unavailable: 2}}";
    let names = ["web-1", "web-2", "web-3", "web-4"];
    let mut world = world(out.path(), rest, names.map(local).into()).await;
    for name in ["web-1", "web-3"] {
        std::fs::write(out.path().join(format!("wait-{name}")), "").unwrap();
    }
    world.merge(1, "feat: sell shoes").await;
    let prod = "prod".parse().unwrap();
    let fate = async |world: &World, name: &str| {
        let state = world.state("shop").await;
        let release = state.releases.values().next()?;
        release.run(&prod)?.rollout.fate(&name.parse().unwrap()).cloned()
    };
    let waits = |name: &str| out.path().join(format!("waiting-{name}")).exists();
    world.until("two are begun", |_| waits("web-1") && waits("web-3")).await;
    let done = async {
        while fate(&world, "web-2").await != Some(Fate::Done) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), done).await.expect("web-2 is reported");
    world.die().await;
    for name in ["web-1", "web-3"] {
        std::fs::remove_file(out.path().join(format!("wait-{name}"))).unwrap();
    }
    world.wake().await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("- web-1: unknown") && said.contains("- web-3: unknown"), "{said}");
    assert!(said.contains("- web-2: done") && said.contains("- web-4: not reached"), "{said}");
    assert_eq!(fate(&world, "web-4").await, Some(Fate::Pending));
    world.say(1, ANA, "/retry prod").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    assert_eq!(names.map(|name| versions(out.path(), name).len()), [2, 1, 2, 1], "web-2 had it already");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e15_a_stage_without_a_target_that_it_may_deploy_to_does_not_start() {
    let out = tempfile::tempdir().unwrap();
    let elsewhere = Target { environment: "test".parse().unwrap(), ..local("web-1") };
    let foreign = Target { allow: vec!["docs/prod".to_owned().try_into().unwrap()], ..local("web-2") };
    let mut world = world(out.path(), "targets: {roles: [web]}", vec![elsewhere, foreign]).await;
    world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    let expected = "did not start: the server has no target in prod with the role web that acme/shop:shop/prod may deploy to";
    assert!(said.contains(expected), "{said}");
    assert!(world.state("shop").await.live.is_empty());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e15_e23_t39_targets_by_ssh_get_the_artifact_and_a_host_with_another_key_gets_nothing() {
    let out = tempfile::tempdir().unwrap();
    let keys = tempfile::tempdir().unwrap();
    let key_file = keys.path().join("key");
    let public = key(&key_file);
    let (one, two) = (Sshd::start(&public), Sshd::start(&public));
    let host = |sshd: &Sshd| sshd.host(&key_file);
    let rest = "targets: {roles: [web]}\n    secrets: [SHOP_TOKEN]\n    rollback: {approval: 1}";
    let targets = vec![target("web-1", Kind::Ssh(host(&one))), target("web-2", Kind::Ssh(host(&two)))];
    let mut world = world(out.path(), rest, targets).await;
    let deploy = "set -e\npwd > \"$OUT/where-$TARGET\"\ncp app.txt \"$OUT/app-$TARGET\"\n\
                  echo \"$TARGET_ADDRESS $TARGET_ROLES $STAGE ${SHOP_TOKEN:+secret}\" > \"$OUT/told-$TARGET\"\n\
                  readlink /proc/self/ns/net > \"$OUT/net-$TARGET\"\n\
                  echo \"it is ${SHOP_TOKEN}\"\n";
    world.merge_files(1, &[("deploy.sh", "true")], "chore: empty").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    // The build makes `dist/deploy.sh` of it.
    world.merge_files(2, &[("deploy.sh", deploy)], "feat: sell shoes").await;
    let said = world.hears(2).await;
    assert!(said.contains("is live in prod"), "{said}");
    let read = |name: &str| std::fs::read_to_string(out.path().join(name)).unwrap_or_default();
    for (name, sshd) in [("web-1", &one), ("web-2", &two)] {
        assert_eq!(read(&format!("app-{name}")), "the shop\n");
        assert_eq!(read(&format!("told-{name}")), "127.0.0.1 web prod secret\n");
        let home = sshd.path("home/.liftlock/shop/prod/dist");
        assert_eq!(read(&format!("where-{name}")).trim(), home.display().to_string());
    }
    let here = std::fs::read_link("/proc/self/ns/net").unwrap().display().to_string();
    let networks: BTreeSet<String> = ["web-1", "web-2"].map(|name| read(&format!("net-{name}"))).into();
    assert!(networks.len() == 2 && !networks.contains(&format!("{here}\n")), "{here} {networks:?}");
    // Somebody else answers at web-2 now.
    world.sleep().await;
    let other = Host { host_key: one.host_key.clone(), ..host(&two) };
    world.targets = vec![target("web-1", Kind::Ssh(host(&one))), target("web-2", Kind::Ssh(other))];
    world.wake().await;
    world.merge_files(3, &[("src/app.txt", "another shop\n")], "feat: sell air").await;
    let said = world.hears(3).await.replace('\\', "");
    assert!(said.contains("does not have the host key that the server's config names for web-2"), "{said}");
    assert!(said.contains("nothing was sent there"), "{said}");
    assert_eq!((read("app-web-1").as_str(), read("app-web-2").as_str()), ("another shop\n", "the shop\n"));
    world.finish().await;
}

/// The host falls over while a command runs there: nobody knows how far it came, and what comes after is not touched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e15_e23_a_host_that_goes_away_under_a_command_is_told_of_and_the_rollout_stops() {
    let (out, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let key_file = keys.path().join("key");
    let public = key(&key_file);
    let mut hosts = [1, 2, 3].map(|_| Sshd::start(&public));
    let targets = (1..).zip(&hosts);
    let targets = targets.map(|(no, sshd)| target(&format!("web-{no}"), Kind::Ssh(sshd.host(&key_file))));
    let mut world = world(out.path(), "targets: {}", targets.collect()).await;
    std::fs::write(out.path().join("wait-web-2"), "").unwrap();
    world.merge(1, "feat: sell shoes").await;
    let waiting = out.path().join("waiting-web-2");
    world.until("web-2 is begun", |_| waiting.exists()).await;
    hosts[1].fall();
    let said = world.hears(1).await.replace('\\', "");
    std::fs::remove_file(out.path().join("wait-web-2")).unwrap();
    let lost = format!("lost the connection to 127.0.0.1:{} while it ran", hosts[1].host(&key_file).port);
    assert!(said.contains(&lost) && said.contains("look before you try again"), "{said}");
    assert!(said.contains("- web-1: done") && said.contains("- web-2: failed"), "{said}");
    assert!(said.contains("- web-3: not reached"), "{said}");
    world.finish().await;
}

/// How many connections of this engine are kept open now.
fn kept_open(world: &World) -> usize {
    let data = world.data().display().to_string();
    let ours = |process: std::io::Result<std::fs::DirEntry>| {
        let line = std::fs::read(process.ok()?.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        (line.contains("ControlMaster=yes") && line.contains(&data)).then_some(())
    };
    std::fs::read_dir("/proc").unwrap().filter_map(ours).count()
}

/// Says by which connection it came, and waits where that is planted.
const CONNECTED: &str = "echo \"$SSH_CONNECTION\" >> \"$OUT/way-$TARGET\"\n\
                         if [ -e \"$OUT/wait-$TARGET\" ]; then touch \"$OUT/waiting-$TARGET\"; while [ -e \"$OUT/wait-$TARGET\" ]; do sleep 0.02; done; fi\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_t39_a_connection_is_kept_for_the_commands_of_a_target_and_no_longer() {
    let out = tempfile::tempdir().unwrap();
    let keys = tempfile::tempdir().unwrap();
    let key_file = keys.path().join("key");
    let public = key(&key_file);
    let hosts = [1, 2, 3].map(|_| Sshd::start(&public));
    let targets = (1..).zip(&hosts);
    let targets = targets.map(|(no, sshd)| target(&format!("web-{no}"), Kind::Ssh(sshd.host(&key_file))));
    let manifest = manifest(out.path(), "targets: {}");
    let twice = manifest.replace("deploy: sh deploy.sh", "deploy: [sh deploy.sh, sh deploy.sh]");
    let mut files = sample(&twice);
    files.insert("deploy.sh".to_owned(), CONNECTED.to_owned());
    let mut world = World::asleep(files).await;
    world.sleep().await;
    world.targets = targets.collect();
    world.wake().await;
    world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await;
    assert!(said.contains("is live in prod"), "{said}");
    for no in 1..=3 {
        let ways = versions(out.path(), &format!("way-web-{no}"));
        let [one, two] = ways.as_slice() else { panic!("{ways:?}") };
        assert_eq!(one, two, "both steps of web-{no} came by one connection");
    }
    world.settled().await;
    assert_eq!(kept_open(&world), 0, "what is done is closed");

    // The engine ends in the middle: nobody keeps anything open.
    std::fs::write(out.path().join("wait-web-2"), "").unwrap();
    world.merge(2, "feat: sell air").await;
    let waiting = out.path().join("waiting-web-2");
    world.until("web-2 is begun", |_| waiting.exists()).await;
    assert_eq!(kept_open(&world), 1);
    world.die().await;
    let closed = async {
        while kept_open(&world) > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), closed).await.expect("the connection is closed");
    std::fs::remove_file(out.path().join("wait-web-2")).unwrap();
    world.wake().await;
    let said = world.hears(2).await.replace('\\', "");
    assert!(said.contains("- web-1: done") && said.contains("- web-2: unknown"), "{said}");
    world.finish().await;
}
