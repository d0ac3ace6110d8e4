//! Hooks around a deploy, what steps write down for later, connections, tokens of the host, conditions and proofs.

use std::collections::BTreeMap;

use liftlock::secret::{Allowed, Connection, Secret};

use super::tree::sample;
use super::world::{ANA, CANARY, REPO, World};

/// The stage of an integration that must stand still while it is deployed to.
const STAGE: &str = r#"version: 1
name: shop
build: sh build.sh
artifacts: dist
stages:
  - name: prod
    secrets: [SHOP_TOKEN]
    timeout: 10m
    hooks:
      before:
        - name: capture
          run: |
            echo "capture:$ACCESSPOLICIES" >> "$TARGET/order"
            echo "AccessPolicies=[\"of $LIFTLOCK_VERSION\"]" >> "$LIFTLOCK_OUTPUT"
          outputs: [{name: AccessPolicies, keep: true}]
        - name: stop
          run: |
            for trigger in orders invoices; do
              echo "stop $trigger" >> "$TARGET/order"
              stopped="${stopped:+$stopped }$trigger"
              echo "stopped=$stopped" >> "$LIFTLOCK_OUTPUT"
              if [ -e "$TARGET/fail-stop" ]; then exit 9; fi
            done
          outputs: [stopped]
      after:
        - name: start
          script: start.sh
          args: ["$(stopped)"]
          always: true
        - {name: components, run: 'echo components >> "$TARGET/order"'}
    deploy:
      - name: ARM
        run: az deployment group create --resource-group "$RESOURCE_GROUP" --template-file main.json --parameters @"$STAGE".json
        with: {resource_group: "rg-$(STAGE)"}
"#;
const AZ: &str = "#!/bin/sh\nif [ -e \"$TARGET/wait\" ]; then touch \"$TARGET/waiting\"; while [ -e \"$TARGET/wait\" ]; do sleep 0.02; done; fi\n\
                  echo \"az $*\" >> \"$TARGET/order\"\nif [ -e \"$TARGET/fail-az\" ]; then exit 4; fi\n";
const START: &str = "for trigger in $1; do echo \"start $trigger\" >> \"$TARGET/order\"; done\n\
                     if [ -e \"$TARGET/fail-start\" ]; then exit 7; fi\n";
const ARM: &str =
    "az deployment group create --resource-group rg-prod --template-file main.json --parameters @prod.json";

async fn seed(manifest: &str) -> World {
    let mut files = sample(manifest);
    let build = format!("{}\ncp start.sh dist/\n", files["build.sh"]);
    files.insert("build.sh".to_owned(), build);
    files.insert("start.sh".to_owned(), START.to_owned());
    let world = World::of(files).await;
    world.install("az", AZ);
    world
}

fn order(world: &World) -> Vec<String> {
    world.wrote("order").lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a02_a20_a21_a22_a23_a24_capture_stop_arm_start_components_and_the_next_release_knows() {
    let mut world = seed(STAGE).await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    let stage = ["stop orders", "stop invoices", ARM, "start orders", "start invoices", "components"];
    assert_eq!(order(&world), [&["capture:"], &stage[..]].concat());
    world.merge(2, "feat: sell hats").await;
    assert!(world.hears(2).await.contains("is live in prod"));
    let second = [&["capture:[\"of v0.1.0-rc.1\"]"], &stage[..]].concat();
    assert_eq!(order(&world).split_off(7), second);
    let state = world.state("shop").await;
    let kept = &state.kept[&("prod".parse().unwrap(), None)][&"AccessPolicies".parse().unwrap()];
    assert_eq!(kept.value, "[\"of v0.1.0-rc.2\"]");
    assert!(state.owing.is_empty());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a21_a23_after_a_failure_only_what_was_stopped_is_started_again() {
    // The second trigger was never stopped.
    let mut world = seed(STAGE).await;
    world.plant("fail-stop");
    let commit = world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await;
    assert!(said.contains("failed in prod at \"stop\"") && said.contains("exit code 9"), "{said}");
    assert_eq!(order(&world), ["capture:", "stop orders", "start orders"]);
    world.status(&commit, "liftlock/prod", "failure").await;
    world.unplant("fail-stop");

    // The deploy fails, and so does the hook: both are said, the first one first.
    world.plant("fail-az");
    world.plant("fail-start");
    world.say(1, ANA, "/retry prod").await;
    let said = world.hears(1).await;
    assert!(
        said.contains("at \"ARM\"** (ended with exit code 4; then \"start\" ended with exit code 7, too"),
        "{said}"
    );
    assert_eq!(order(&world).last().unwrap(), "start invoices", "and no components");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a23_after_a_cancel_and_after_a_timeout_the_hook_still_runs() {
    let mut world = seed(STAGE).await;
    world.plant("wait");
    world.merge(1, "feat: sell shoes").await;
    world.until_planted("waiting").await;
    world.say_now(1, ANA, "/cancel prod").await;
    world.settled().await;
    world.unplant("wait");
    let ran = order(&world);
    assert_eq!(&ran[ran.len() - 2..], ["start orders", "start invoices"], "{ran:?}");
    world.drain().await;
    world.finish().await;

    let short = STAGE.replace("timeout: 10m", "timeout: 2s");
    let mut world = seed(&short).await;
    world.plant("wait");
    let commit = world.merge(1, "feat: sell shoes").await;
    assert!(world.status(&commit, "liftlock/prod", "failure").await.contains("ARM"));
    let ran = order(&world);
    assert_eq!(&ran[ran.len() - 2..], ["start orders", "start invoices"], "{ran:?}");
    world.unplant("wait");
    world.drain().await;
    world.finish().await;
}

/// Nothing is run by itself after a crash; whoever retries gets first what the lost run still owed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a23_t57_after_a_crash_what_was_stopped_is_started_by_the_next_run() {
    let mut world = seed(STAGE).await;
    world.plant("wait");
    let commit = world.merge(1, "feat: sell shoes").await;
    world.until_planted("waiting").await;
    world.die().await;
    world.wake().await;
    world.status(&commit, "liftlock/prod", "error").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("\"start\" did not run, and the next run here begins with it"), "{said}");
    assert!(said.contains("`/retry prod`"), "{said}");
    world.settled().await;
    assert!(!order(&world).iter().any(|l| l.starts_with("start")), "{:?}", order(&world));
    assert_eq!(world.state("shop").await.owing.len(), 1);
    world.unplant("wait");
    world.say(1, ANA, "/retry prod").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    let ran = order(&world);
    let retried = ran.iter().position(|l| l == "start orders").unwrap();
    assert_eq!(ran[retried + 1], "start invoices");
    assert!(ran[retried + 2].starts_with("capture:[\"of v0.1.0-rc.1\"]"), "{ran:?}");
    assert_eq!(ran.last().unwrap(), "components");
    assert!(world.state("shop").await.owing.is_empty());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t47_a_secret_is_never_an_output() {
    let leaking = STAGE.replace("of $LIFTLOCK_VERSION", "of $SHOP_TOKEN");
    let mut world = seed(&leaking).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("wrote a secret to the output `AccessPolicies`"), "{said}");
    world.status(&commit, "liftlock/prod", "failure").await;
    assert!(!world.said_and_kept().await.contains(CANARY));
    assert!(world.state("shop").await.kept.is_empty());
    world.finish().await;
}

/// One step that looks around, with these keys.
fn looking(keys: &str, more: &str) -> String {
    format!(
        "version: 1\nname: shop\nbuild: sh build.sh\nartifacts: dist\nstages:\n  - name: prod\n{more}    deploy:\n      \
         - name: look\n        run: |\n          echo \"$AZURE_TENANT:$AZURE_SECRET:$SYSTEM_ACCESSTOKEN\" > \"$TARGET/seen\"\n          \
         echo \"I see $AZURE_SECRET and $SYSTEM_ACCESSTOKEN\"\n          if [ -e \"$TARGET/fail\" ]; then exit 3; fi\n{keys}"
    )
}

async fn connected(manifest: &str, allow: &str) -> World {
    let mut world = World::asleep(sample(manifest)).await;
    world.sleep().await;
    let connection = Connection {
        environment: BTreeMap::from([("AZURE_TENANT".to_owned(), "contoso".to_owned())]),
        secrets: BTreeMap::from([("AZURE_SECRET".to_owned(), Secret::new("canary-of-azure-51d04b86"))]),
        allow: vec![Allowed::try_from(allow.to_owned()).unwrap()],
    };
    world.connections.insert("azure-prod".to_owned(), connection);
    world.wake().await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a02_a27_t47_a_connection_is_given_to_the_steps_that_name_it_and_never_shown() {
    let mut world = connected(&looking("        connection: azure-prod\n", ""), "shop/*").await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    assert_eq!(world.wrote("seen"), "contoso:canary-of-azure-51d04b86:\n");
    let log = world.log(&format!("github:{REPO}/shop/1/prod/1")).await;
    assert!(log.contains("I see *** and"), "{log}");
    assert!(!world.said_and_kept().await.contains("canary-of-azure"));
    world.finish().await;

    // Another step, or another stage, does not have it.
    let mut world = connected(&looking("", ""), "shop/*").await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    assert_eq!(world.wrote("seen"), "::\n");
    world.finish().await;
    for (name, allow, why) in [
        ("azure-prod", "shop/test", "the connection `azure-prod` is not for acme/shop:shop/prod"),
        ("azure-test", "shop/*", "the server has no connection `azure-test`"),
    ] {
        let mut world = connected(&looking(&format!("        connection: {name}\n"), ""), allow).await;
        let commit = world.merge(1, "feat: sell shoes").await;
        let said = world.hears(1).await.replace('\\', "");
        assert!(said.contains("did not start") && said.contains(why), "{said}");
        world.status(&commit, "liftlock/prod", "error").await;
        assert_eq!(world.wrote("seen"), "", "nothing has run");
        assert!(world.state("shop").await.live.is_empty());
        world.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a18_t47_t53_a_stage_may_have_a_token_of_the_host_and_it_ends_with_the_stage() {
    for fails in [false, true] {
        let mut world = World::with(&looking("", "    oauth_token: true\n")).await;
        if fails {
            world.plant("fail");
        }
        world.merge(1, "feat: sell shoes").await;
        world.hears(1).await;
        let seen = world.wrote("seen");
        let token = seen.trim_end().rsplit(':').next().unwrap().to_owned();
        assert!(token.starts_with("ghs_"), "{seen}");
        {
            let state = world.github.state();
            assert_eq!(state.revoked, std::slice::from_ref(&token), "it ended with the stage, failed or not");
            assert!(!state.tokens.contains_key(&token));
        }
        let asked = world.github.requests();
        let narrow = serde_json::json!({
            "repository_ids": [REPO], "permissions": {"contents": "read", "metadata": "read"},
        });
        assert!(asked.iter().any(|r| r.target.ends_with("/access_tokens") && r.body == narrow));
        let log = world.log(&format!("github:{REPO}/shop/1/prod/1")).await;
        assert!(log.contains("I see  and ***") && !log.contains(&token), "{log}");
        assert!(!world.said_and_kept().await.contains(&token));
        world.finish().await;
    }
    let mut world = World::with(&looking("", "")).await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    assert_eq!(world.wrote("seen"), "::\n", "without asking there is none");
    assert!(world.github.state().revoked.is_empty());
    world.finish().await;
}

const TERMS: &str = r#"version: 1
name: shop
build: sh build.sh
artifacts: dist
stages:
  - name: prod
    env: {ANTARES: "False", EDGE: "yes"}
    deploy:
      - {name: antares, run: 'touch "$TARGET/antares"', if: "$(Antares)"}
      - {name: edge, run: 'touch "$TARGET/edge"', if: "$(Edge)"}
      - {name: lint, run: exit 5, blocking: false}
      - {name: publish, run: 'echo published', validate: 'test ! -e "$TARGET/broken"'}
      - {name: tidy, run: 'touch "$TARGET/tidy"', always: true}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d39_d49_conditions_proofs_and_failures_that_block_nothing() {
    let mut world = World::with(TERMS).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    let said = world.status(&commit, "liftlock/prod", "success").await;
    assert!(said.contains("with issues: lint"), "{said}");
    assert!(world.target().join("edge").exists() && !world.target().join("antares").exists());
    let log = world.log(&format!("github:{REPO}/shop/1/prod/1")).await;
    assert!(log.contains("antares is left out: conditional, $(Antares)"), "{log}");
    assert!(log.contains("validate: $ test ! -e"), "{log}");
    world.say(1, ANA, "/why prod").await;
    let why = world.hears(1).await.replace('\\', "");
    assert!(why.contains("\"antares\" was left out: conditional"), "{why}");
    assert!(why.contains("issue: \"lint\" ended with exit code 5; it blocks nothing"), "{why}");
    world.unplant("tidy");
    world.plant("broken");
    world.merge(2, "feat: sell hats").await;
    let said = world.hears(2).await.replace('\\', "");
    assert!(said.contains("at \"publish\"") && said.contains("`validate` ended with exit code 1"), "{said}");
    assert!(world.target().join("tidy").exists(), "it runs whatever happened");
    world.finish().await;
}

/// The stage keeps its environment and its outputs while people look; what runs whatever happened runs after a no, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a23_d24_a_stage_stops_to_ask_and_goes_on_or_ends() {
    let asking = STAGE.replace(
        "    deploy:\n",
        "    deploy:\n      - {name: first, run: 'echo first >> \"$TARGET/order\"'}\n      - {name: look, pause: were $(stopped) idle?}\n",
    );
    let mut world = seed(&asking).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("stopped in prod at \"look\"**: were orders invoices idle?"), "{said}");
    assert!(world.status(&commit, "liftlock/prod", "pending").await.contains("paused"));
    world.settled().await;
    let begun = ["capture:", "stop orders", "stop invoices", "first"];
    assert_eq!(order(&world), begun);
    // A server that starts again knows as much.
    world.sleep().await;
    world.wake().await;
    world.settled().await;
    assert_eq!(order(&world), begun);
    world.say(1, ANA, "/resume prod -- they were").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    let rest = [ARM, "start orders", "start invoices", "components"];
    assert_eq!(order(&world), [&begun[..], &rest[..]].concat());

    let commit = world.merge(2, "feat: sell hats").await;
    assert!(world.hears(2).await.contains("stopped in prod"));
    world.say(2, ANA, "/reject prod -- they were not").await;
    let said = world.status(&commit, "liftlock/prod", "failure").await;
    assert!(said.contains("rejected by ana: they were not"), "{said}");
    assert!(world.hears(2).await.contains("failed in prod at"));
    let ran = order(&world);
    assert_eq!(&ran[ran.len() - 3..], ["first", "start orders", "start invoices"], "{ran:?}");

    let commit = world.merge(3, "feat: sell socks").await;
    assert!(world.hears(3).await.contains("stopped in prod"));
    world.say(3, ANA, "/cancel prod").await;
    world.status(&commit, "liftlock/prod", "error").await;
    let ran = order(&world);
    assert_eq!(&ran[ran.len() - 3..], ["first", "start orders", "start invoices"], "{ran:?}");
    world.finish().await;
}
