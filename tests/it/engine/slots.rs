//! Blue and green: into the slot that is not live, then in its place, and back.
#![expect(clippy::disallowed_methods, reason = "what a test plants needs no sync")]

use std::path::Path;

use liftlock::domain::slot::Live;

use super::targets::{manifest, versions};
use super::tree::sample;
use super::world::{ANA, World};

const OLD: &str = "v0.1.0-rc.1";
const NEW: &str = "v0.1.0-rc.2";
/// Puts its version into a slot.
const DEPLOY: &str = "set -e\necho \"$LIFTLOCK_VERSION\" > \"$OUT/$LIFTLOCK_SLOT\"\n\
                      echo \"$LIFTLOCK_SLOT $LIFTLOCK_OTHER_SLOT\" >> \"$OUT/deploys\"\n";
/// Makes a slot the live one, and stands half-way as long as it is told to.
const SWITCH: &str = "set -e\necho \"$LIFTLOCK_SLOT\" >> \"$OUT/switches\"\n\
                      while [ -e \"$OUT/wait\" ]; do sleep 0.02; done\necho \"$LIFTLOCK_SLOT\" > \"$OUT/live\"\n";

async fn world(out: &Path, rest: &str) -> World {
    let mut files = sample(&manifest(
        out,
        &format!("strategy: {{blue_green: {{{rest}}}}}\n    rollback: {{approval: 0}}"),
    ));
    files.insert("deploy.sh".to_owned(), DEPLOY.to_owned());
    files.insert("switch.sh".to_owned(), SWITCH.to_owned());
    files.insert("build.sh".to_owned(), "mkdir dist && cp deploy.sh switch.sh dist/\n".to_owned());
    World::of(files).await
}

/// What people get: what the live slot holds.
fn served(out: &Path) -> String {
    let live = versions(out, "live").concat();
    format!("{live} {}", versions(out, &live).concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_e24_a_red_gate_switches_back_and_a_rollback_is_only_a_switch() {
    let out = tempfile::tempdir().unwrap();
    let mut world = world(out.path(), "switch: sh switch.sh, gates: [health], keep: 1s").await;
    world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await;
    assert!(said.contains("is live in prod"), "{said}");
    assert_eq!(served(out.path()), format!("blue {OLD}"));
    std::fs::write(out.path().join("ill"), "").unwrap();
    world.merge(2, "feat: sell air").await;
    let said = world.hears(2).await.replace('\\', "");
    assert!(
        said.contains("failed in prod at \"watched on green\"** (health says ended with exit code 1"),
        "{said}"
    );
    assert!(said.contains("- switched back: blue is live again"), "{said}");
    world.settled().await;
    assert_eq!(served(out.path()), format!("blue {OLD}"));
    assert_eq!(
        world
            .state("shop")
            .await
            .live_in(&"prod".parse().unwrap(), None)
            .unwrap()
            .created
            .version
            .to_string(),
        OLD
    );
    std::fs::remove_file(out.path().join("ill")).unwrap();
    world.say(2, ANA, "/retry prod").await;
    assert!(world.hears(2).await.contains("is live in prod"));
    assert_eq!(served(out.path()), format!("green {NEW}"));
    world.say(2, ANA, "/rollback prod -- slow since noon").await;
    world.until("it is back", |_| served(out.path()) == format!("blue {OLD}")).await;
    world.settled().await;
    assert_eq!(versions(out.path(), "deploys"), ["blue ", "green blue"], "each release was deployed once");
    assert_eq!(versions(out.path(), "switches"), ["blue", "green", "blue", "green", "blue"]);
    drop(world.drain().await);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_what_is_not_good_in_its_slot_is_never_switched_to() {
    let out = tempfile::tempdir().unwrap();
    let mut world = world(out.path(), "slots: [a, b], switch: sh switch.sh, before: [health]").await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    std::fs::write(out.path().join("ill"), "").unwrap();
    world.merge(2, "feat: sell air").await;
    let said = world.hears(2).await.replace('\\', "");
    assert!(
        said.contains("failed in prod at \"health\"")
            && said.contains("nothing was switched: a is live as before"),
        "{said}"
    );
    world.settled().await;
    assert_eq!(
        (served(out.path()), versions(out.path(), "switches")),
        (format!("a {OLD}"), vec!["a".to_owned()])
    );
    assert_eq!(versions(out.path(), "b"), [NEW], "it lies beside what is live");
    world.finish().await;
}

/// The server dies in the middle of a switch: which slot is live nobody knows, and nothing is filled until that is
/// settled by somebody who names a release that a slot holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_t57_a_switch_that_was_begun_and_never_reported_is_unknown_and_not_repeated() {
    let out = tempfile::tempdir().unwrap();
    let mut world = world(out.path(), "switch: sh switch.sh").await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    std::fs::write(out.path().join("wait"), "").unwrap();
    world.merge(2, "feat: sell air").await;
    world.until("the switch is begun", |_| versions(out.path(), "switches").len() == 2).await;
    world.die().await;
    std::fs::remove_file(out.path().join("wait")).unwrap();
    world.wake().await;
    let said = world.hears(2).await.replace('\\', "");
    assert!(said.contains("errored in prod") && said.contains("nobody knows which slot is live"), "{said}");
    assert_eq!(
        world.state("shop").await.slots[&("prod".parse().unwrap(), None)].live,
        Live::Unsure("green".parse().unwrap())
    );
    world.merge(3, "feat: sell hats").await;
    let said = world.hears(3).await.replace('\\', "");
    assert!(said.contains("did not start: nobody knows whether blue or green is live"), "{said}");
    world.say(2, ANA, "/retry prod").await;
    assert!(world.hears(2).await.contains("is live in prod"));
    assert_eq!(served(out.path()), format!("green {NEW}"));
    assert_eq!(versions(out.path(), "deploys").len(), 2, "green held it already");
    world.finish().await;
}
