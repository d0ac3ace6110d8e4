//! Stages that deploy several things: services, buildspecs before and after, templates.

use std::collections::BTreeMap;

use super::tree::sample;
use super::world::{ANA, REPO, World};

/// Says what it was told to deploy, and fails for a service that is planted.
const DEPLOY: &str = r#"set -e
echo "$COPILOT_APPLICATION_NAME/$COPILOT_ENVIRONMENT_NAME/$SERVICE $DEPLOYMENT $STACK_NAME" >> "$TARGET/journal"
if [ -e "$TARGET/fail-$SERVICE" ]; then exit 3; fi
"#;

/// A buildspec with one command.
fn buildspec(command: &str) -> String {
    format!(
        "version: 0.2\nenv:\n  variables: {{KIND: spec}}\nphases:\n  build:\n    commands:\n      - {command}\n"
    )
}

/// Copilot's folder as `copilot pipeline init` leaves it, with two services.
fn workspace(manifest: &str) -> BTreeMap<String, String> {
    let mut files = sample("");
    files.remove(".github/liftlock.yml");
    let note = |what: &str| {
        buildspec(&format!("test -e build.sh; echo \"{what} $DEPLOYMENT $KIND\" >> \"$TARGET/journal\""))
    };
    let own = [
        ("copilot/pipelines/shop/manifest.yml", manifest.to_owned()),
        (
            "copilot/buildspec.yml",
            buildspec("sh build.sh; cp roll.sh dist/") + "artifacts: {base-directory: dist}\n",
        ),
        ("copilot/api/manifest.yml", "name: api\ntype: Backend Service\n".to_owned()),
        ("copilot/web/manifest.yml", "name: web\ntype: Load Balanced Web Service\n".to_owned()),
        ("copilot/environments/test/manifest.yml", "name: test\ntype: Environment\n".to_owned()),
        ("copilot/migrate.yml", note("migrate")),
        ("copilot/smoke.yml", note("smoke")),
        ("roll.sh", DEPLOY.to_owned()),
    ];
    files.extend(own.map(|(path, text)| (path.to_owned(), text)));
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c04_c12_c41_c43_c44_every_service_is_deployed_to_every_environment() {
    let manifest = "name: shop\nversion: 1\nbuild: {buildspec: copilot/buildspec.yml}\ndeploy: sh roll.sh\nstages:\n  \
                    - name: test\n    pre_deployments: {schema: {buildspec: copilot/migrate.yml}}\n    \
                    post_deployments: {smoke: {buildspec: copilot/smoke.yml}}\n  - name: prod\n";
    let mut world = World::of(workspace(manifest)).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    world.status(&commit, "liftlock/shop/prod", "success").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    // Which of two services comes first is nobody's business.
    let mut deployed = world.deployed();
    deployed[1..3].sort();
    deployed[4..6].sort();
    assert_eq!(
        deployed,
        [
            "migrate schema spec",
            "shop/test/api api shop-test-api",
            "shop/test/web web shop-test-web",
            "smoke smoke spec",
            "shop/prod/api api shop-prod-api",
            "shop/prod/web web shop-prod-web",
        ]
    );
    // One more service is one more folder; nothing else is said anywhere.
    let files = [("copilot/mail/manifest.yml", "name: mail\ntype: Scheduled Job\n")];
    let commit = world.merge_files(2, &files, "feat: send mail").await;
    world.status(&commit, "liftlock/shop/prod", "success").await;
    assert!(world.hears(2).await.contains("is live in prod"));
    assert!(world.deployed().contains(&"shop/prod/mail mail shop-prod-mail".to_owned()));
    world.finish().await;
}

/// One service is deployed alone, and services may be in a folder of another name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c12_one_service_is_deployed_alone_and_from_a_folder_that_the_manifest_names() {
    let manifest = "version: 1\nname: shop\nbuild: sh build.sh; cp roll.sh dist/\nartifacts: dist\ndeploy: sh roll.sh\n\
                    services: services\nstages: [test]\n";
    let mut files = sample(manifest);
    let own =
        [("roll.sh", DEPLOY), ("services/basket/manifest.yml", "name: basket\ntype: Backend Service\n")];
    files.extend(own.map(|(path, text)| (path.to_owned(), text.to_owned())));
    let mut world = World::of(files).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    world.status(&commit, "liftlock/test", "success").await;
    assert!(world.hears(1).await.contains("is live in test"));
    assert_eq!(world.deployed(), ["shop/test/basket basket shop-test-basket"]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c42_a_failure_skips_what_depends_on_it_and_says_what_was_done() {
    let manifest = "name: shop\nversion: 1\nbuild: {buildspec: copilot/buildspec.yml}\nstages:\n  - name: test\n    \
                    deploy: sh roll.sh\n    deployments:\n      web: {depends_on: [api]}\n      edge: {depends_on: web}\n      \
                    api:\n      mail: {stack_name: letters}\n    test_commands: [echo tested >> \"$TARGET/journal\"]\n";
    let mut world = World::of(workspace(manifest)).await;
    world.plant("fail-api");
    let commit = world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    let told = "done: mail; web was skipped, it needs api; edge was skipped, it needs web";
    assert!(said.contains("api: sh roll.sh") && said.contains(told), "{said}");
    world.status(&commit, "liftlock/shop/test", "failure").await;
    let mut deployed = world.deployed();
    deployed.sort();
    assert_eq!(deployed, ["shop/test/api api shop-test-api", "shop/test/mail mail letters"]);
    // Trying again deploys all of them, each after those it depends on, and then tests.
    world.unplant("fail-api");
    world.say(1, ANA, "/retry test").await;
    world.status(&commit, "liftlock/shop/test", "success").await;
    assert!(world.hears(1).await.contains("is live in test"));
    let order: Vec<String> = world.deployed().split_off(2);
    let order: Vec<&str> = order.iter().filter_map(|line| line.split(' ').next()).collect();
    let needed: Vec<&str> = order.iter().copied().filter(|one| *one != "shop/test/mail").collect();
    assert_eq!(needed, ["shop/test/api", "shop/test/web", "shop/test/edge", "tested"]);
    assert!(order.contains(&"shop/test/mail") && order.last() == Some(&"tested"), "{order:?}");
    world.finish().await;
}

/// Waits, half a minute at most, until a service that is planted has begun, and for nobody when it is told so.
const MEET: &str = r#"touch "$TARGET/begun-$SERVICE"
case $SERVICE in db) needs=begun-mail ;; mail) needs=begun-web ;; *) needs=begun-$SERVICE ;; esac
[ -e "$TARGET/hold" ] && needs=never
for try in $(seq 600); do
  if [ -e "$TARGET/$needs" ]; then echo "$SERVICE" >> "$TARGET/journal"; echo "met $needs"; exit 0; fi
  sleep 0.05
done
exit 7
"#;

/// Nobody waits for more than what it depends on: one after another, or one batch after another, none of this ends well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c42_deployments_run_side_by_side_and_each_begins_as_soon_as_it_may() {
    let manifest = "version: 1\nname: shop\nbuild: mkdir -p dist; cp meet.sh dist/\nartifacts: dist\nstages:\n  - name: test\n    \
                    deploy: sh meet.sh\n    deployments:\n      db:\n      mail:\n      api: {depends_on: db}\n      \
                    web: {depends_on: api}\n";
    let mut files = sample(manifest);
    files.insert("meet.sh".to_owned(), MEET.to_owned());
    let mut world = World::of(files).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    world.status(&commit, "liftlock/test", "success").await;
    assert!(world.hears(1).await.contains("is live in test"));
    let mut deployed = world.deployed();
    deployed.sort();
    assert_eq!(deployed, ["api", "db", "mail", "web"]);
    // Whose line is whose is seen in the log.
    let log = world.log("github:12/shop/1/test/1").await;
    assert!(log.contains("db: met begun-mail") && log.contains("mail: met begun-web"), "{log}");

    // Whoever cancels stops all that run, and what has not begun never does.
    world.plant("hold");
    for name in ["db", "mail", "api", "web"] {
        world.unplant(&format!("begun-{name}"));
    }
    let commit = world.merge(2, "feat: sell boots").await;
    world.until_planted("begun-db").await;
    world.until_planted("begun-mail").await;
    world.say_now(2, ANA, "/cancel test").await;
    world.status(&commit, "liftlock/test", "error").await;
    world.drain().await;
    assert!(world.wrote("journal").lines().count() == 4 && !world.target().join("begun-api").exists());
    world.finish().await;
}

/// Two components of one repository: a folder and a file, each deployed by what is in it.
const COMPONENTS: &str = r#"version: 1
name: shop
build: 'mkdir -p out/web && cp src/web.txt out/web/ && cp src/api.txt out/api.txt'
artifacts: [{alias: web, path: out/web}, {alias: api, path: out/api.txt}]
stages:
  - name: test
    deploy: 'test ! -e "$TARGET/fail-$DEPLOYMENT"; echo "$DEPLOYMENT $(cat "$LIFTLOCK_ARTIFACT_WEB/web.txt") $(cat "$LIFTLOCK_ARTIFACT_API")" >> "$TARGET/journal"'
    deployments:
      web: {if_changed: web, depends_on: api}
      api: {if_changed: api}
    test_commands: [echo tested >> "$TARGET/journal"]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e28_only_what_has_changed_is_deployed() {
    let mut files = sample(COMPONENTS);
    files.extend(
        [("src/web.txt", "web-1"), ("src/api.txt", "api-1")].map(|(p, t)| (p.to_owned(), t.to_owned())),
    );
    let mut world = World::of(files).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    world.status(&commit, "liftlock/test", "success").await;
    assert!(world.hears(1).await.contains("is live in test"));
    assert_eq!(world.deployed(), ["api web-1 api-1", "web web-1 api-1", "tested"]);

    // The folder of web is packed with another commit's time, and holds the same files.
    let commit = world.merge_files(2, &[("src/api.txt", "api-2")], "feat: pay").await;
    world.status(&commit, "liftlock/test", "success").await;
    assert!(world.hears(2).await.contains("is live in test"));
    assert_eq!(world.deployed().split_off(3), ["api web-1 api-2", "tested"]);
    let log = world.log(&format!("github:{REPO}/shop/2/test/1")).await;
    assert!(log.contains("web is left out: it runs the same bytes, v0.1.0-rc.1's sha256:"), "{log}");
    assert!(log.contains("api is deployed: api is sha256:"), "{log}");
    world.say(2, ANA, "/why test").await;
    let why = world.hears(2).await.replace('\\', "");
    assert!(why.contains("web was left out: it runs the same bytes, v0.1.0-rc.1's sha256:"), "{why}");

    // Neither: the record says since when each is there.
    let commit = world.merge_files(3, &[("README.md", "shoes")], "docs: shoes").await;
    world.status(&commit, "liftlock/test", "success").await;
    assert!(world.hears(3).await.contains("is live in test"));
    assert_eq!(world.deployed().split_off(5), ["tested"]);
    let state = world.state("shop").await;
    let release = state.releases.values().next_back().unwrap();
    let told = liftlock::domain::metadata::document(release, &state.id.name, "acme/shop");
    let unchanged = told["stages"][0]["attempts"][0]["unchanged"].as_array().unwrap();
    let since = |at: usize| (unchanged[at]["deployment"].as_str(), unchanged[at]["version"].as_str());
    assert_eq!(since(0), (Some("api"), Some("v0.1.0-rc.2")));
    assert_eq!(since(1), (Some("web"), Some("v0.1.0-rc.1")));

    // After a failure nobody knows what runs there: the next release deploys all of it.
    world.plant("fail-web");
    let commit = world.merge_files(4, &[("src/web.txt", "web-4")], "feat: hats").await;
    world.status(&commit, "liftlock/test", "failure").await;
    let said = world.hears(4).await.replace('\\', "");
    assert!(said.contains("api was left out, it runs there already"), "{said}");
    world.unplant("fail-web");
    let commit = world.merge_files(5, &[("README.md", "hats")], "docs: hats").await;
    world.status(&commit, "liftlock/test", "success").await;
    assert!(world.hears(5).await.contains("is live in test"));
    assert_eq!(world.deployed().split_off(6), ["api web-4 api-2", "web web-4 api-2", "tested"]);
    let log = world.log(&format!("github:{REPO}/shop/5/test/1")).await;
    assert!(log.contains("api is deployed: nobody knows how far v0.1.0-rc.4 came there"), "{log}");

    // A rollback deploys what is not there.
    world.say(5, ANA, "/rollback test v0.1.0-rc.2 -- hats do not sell").await;
    world.settled().await;
    assert_eq!(world.deployed().split_off(9), ["web web-1 api-2", "tested"]);
    world.finish().await;
}

/// `CloudFormation`'s own client as far as stages know it: what is deployed already is said to be up to date.
const AWS: &str = r#"#!/bin/sh
for word in "$@"; do echo "$word"; done >> "$TARGET/words"
while [ $# -gt 0 ]; do
  case "$1" in --stack-name) stack="$2" ;; --template-file) template="$2" ;; esac
  shift
done
test -e "$template" || exit 254
if [ -e "$TARGET/$stack" ] && cmp -s "$template" "$TARGET/was-$stack"; then
  echo "No changes to deploy. Stack $stack is up to date"
else
  cp "$template" "$TARGET/was-$stack" && echo "$template" >> "$TARGET/$stack"
  echo "Successfully created/updated stack - $stack"
fi
"#;

/// A pipeline of environments: templates, and no commands at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b32_c45_templates_are_deployed_as_stacks() {
    let manifest = "version: 1\nname: shop\nbuild: [mkdir -p dist/infra, cp src/app.txt dist/infra/test.yml]\nstages:\n  \
                    - name: test\n    deployments:\n      env:\n        template_path: infra/$(STAGE).yml\n        \
                    template_config: infra/test.json\n        stack_name: shop-env\n      addons: {template_path: infra/test.yml, depends_on: env}\n";
    let mut world = World::of(sample(manifest)).await;
    world.install("aws", AWS);
    let commit = world.merge(1, "feat: an environment").await;
    world.status(&commit, "liftlock/test", "success").await;
    assert!(world.hears(1).await.contains("is live in test"));
    let words = world.wrote("words");
    let calls: Vec<&str> = words.split("cloudformation\n").skip(1).collect();
    let [env, addons] = calls.as_slice() else { panic!("{words}") };
    for call in [env, addons] {
        assert!(
            call.contains("--no-fail-on-empty-changeset"),
            "again without a change is no failure: {call}"
        );
    }
    assert!(env.contains("--stack-name\nshop-env\n--template-file\ninfra/test.yml\n--parameter-overrides\nfile://infra/test.json\n"), "{env}");
    assert!(
        addons.contains("--stack-name\nshop-test-addons\n") && !addons.contains("parameter-overrides"),
        "{addons}"
    );
    let first = world.log("github:12/shop/1/test/1").await;
    assert!(first.contains("Successfully created/updated stack - shop-env"), "{first}");

    // The same templates again: every step is performed already, changes nothing and says so.
    let commit = world.merge(2, "feat: something else").await;
    world.status(&commit, "liftlock/test", "success").await;
    assert!(world.hears(2).await.contains("is live in test"));
    let log = world.log("github:12/shop/2/test/1").await;
    for stack in ["shop-env", "shop-test-addons"] {
        let told = format!("No changes to deploy. Stack {stack} is up to date");
        assert!(log.contains(&told) && world.wrote(stack) == "infra/test.yml\n", "{log}");
    }
    assert!(!log.contains("Successfully"), "{log}");
    world.finish().await;
}
