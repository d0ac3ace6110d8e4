//! The Invictus framework as its guide wants it released, from the library of variables to production: the sample
//! project with stand-ins for `az` and `pwsh`.

use std::collections::BTreeMap;
use std::path::Path;

use liftlock::domain::group::access::GroupRole;
use liftlock::domain::name::PipelineId;
use liftlock::secret::{Allowed, Connection, Secret};
use liftlock::service::library::{Edit, NewValue, Visitor};

use super::world::{ANA, REPO, World, repo_id};

const NAME: &str = "acme.Invictus.Framework";
/// Two triggers run; everything else that is asked of Azure is written down.
const AZ: &str = r#"#!/bin/sh
case "$*" in
keyvault*) printf '["%s"]\n' "$AZURE_CLIENT" ;;
*"trigger list"*) printf 'orders\ninvoices\n' ;;
*) echo "az $*" >>"$TARGET/order" ;;
esac
"#;
const PWSH: &str = r#"#!/bin/sh
echo "pwsh ${4##*/InvictusFramework/} $7 $ACCESSPOLICIES ${SYSTEM_ACCESSTOKEN:+token}" >>"$TARGET/order"
if [ -e "$TARGET/fail-$STAGE" ]; then exit 4; fi
"#;

fn sample() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/samples/invictus");
    let mut files = BTreeMap::new();
    for folder in ["", ".github", "Framework"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                files.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    files
}

/// A group that releases have this role on.
async fn group(world: &World, name: &str, role: GroupRole, values: &[(&str, &str)]) {
    let ana = Visitor { login: Some("ana".parse().unwrap()), name: "ana".to_owned() };
    let pipeline = PipelineId { repo: repo_id(), name: NAME.parse().unwrap() };
    let value = |(name, text): &(&str, &str)| (name.parse().unwrap(), NewValue::Plain((*text).to_owned()));
    let edit = Edit {
        set: values.iter().map(value).collect(),
        grant: BTreeMap::from([(format!("pipeline:{pipeline}").parse().unwrap(), role)]),
        ..Edit::default()
    };
    world.service().library().create(&ana, &name.parse().unwrap(), &edit).await.unwrap().unwrap();
}

async fn invictus() -> World {
    let mut world = World::asleep(sample()).await;
    world.sleep().await;
    let connection = Connection {
        environment: BTreeMap::from([("AZURE_CLIENT".to_owned(), "deployer".to_owned())]),
        secrets: BTreeMap::from([("AZURE_SECRET".to_owned(), Secret::new("canary-of-azure-9c2f41d7"))]),
        allow: vec![Allowed::try_from(format!("{NAME}/*")).unwrap()],
    };
    world.connections.insert("azure".to_owned(), connection);
    world.wake().await;
    world.install("az", AZ);
    world.install("pwsh", PWSH);
    let region = ("Infra.Environment.Region.Primary.ShortName", "weu");
    group(&world, "acme.Infra", GroupRole::User, &[region, ("Infra.Environment.Customer.ShortName", "acme")])
        .await;
    for (stage, short) in [("test", "dev"), ("prod", "prd")] {
        let values = [("Infra.Environment.ShortName", short), ("Invictus.Secrets.ApiKey1.Name", "apikey1")];
        group(&world, &format!("acme.Invictus.{stage}"), GroupRole::Administrator, &values).await;
    }
    world
}

/// What a stage does from its first hook to its last.
fn stage(short: &str, policies: &str) -> Vec<String> {
    let factory = |what: &str, name: &str| {
        let (of, named) = (format!("--factory-name {short}-factory"), format!("--name {name}"));
        format!("az datafactory trigger {what} {named} {of}")
    };
    vec![
        factory("stop", "orders"),
        factory("stop", "invoices"),
        format!("pwsh Framework/Deploy.ps1 -ResourcePrefix:{short}-weu-acme {policies} token"),
        factory("start", "orders"),
        factory("start", "invoices"),
        format!("az webapp deploy --name {short}-pubsub --src-path "),
        format!("az webapp deploy --name {short}-timesequencer --src-path "),
    ]
}

/// What was done since the last look; the paths of files are left out.
fn done(world: &World, seen: &mut usize) -> Vec<String> {
    let all = world.wrote("order");
    let plain = |line: &str| match line.split_once(" --src-path ") {
        Some((before, _)) => format!("{before} --src-path "),
        None => line.to_owned(),
    };
    let new: Vec<String> = all.lines().skip(*seen).map(plain).collect();
    *seen += new.len();
    new
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a01_a02_a03_a04_a05_a11_a12_a13_a17_a18_a25_seed_000_runs_from_its_library_to_production() {
    let mut world = invictus().await;
    let mut seen = 0;
    world.plant("fail-prod");
    let commit = world.merge(1, "feat: an inbox").await;
    assert!(world.hears(1).await.contains("/approve prod"));
    assert_eq!(done(&world, &mut seen), stage("dev", "[\"deployer\"]"));
    let name = world.state(NAME).await.releases.values().next().unwrap().created.names.name.clone();
    assert!(name.starts_with("acme.Invictus.Framework 20") && name.ends_with(".1_1"), "{name}");

    // The deployment fails: what was stopped is started again, and no components are put on top of it.
    world.say(1, ANA, "/approve prod").await;
    let said = world.hears(1).await;
    assert!(said.contains("failed in prod at \"Deploy\""), "{said}");
    let mut without_components = stage("prd", "[\"deployer\"]");
    without_components.truncate(5);
    assert_eq!(done(&world, &mut seen), without_components);
    world.unplant("fail-prod");
    world.say(1, ANA, "/retry prod").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    assert_eq!(done(&world, &mut seen), stage("prd", "[\"deployer\"]"));
    world.status(&commit, "liftlock/prod", "success").await;

    // The stage has written into its group, and its history says which release did.
    let ana = Visitor { login: Some("ana".parse().unwrap()), name: "ana".to_owned() };
    let (written, _) =
        world.service().library().see(&ana, &"acme.Invictus.prod".parse().unwrap()).await.unwrap().unwrap();
    let version = written.values.get(&"Invictus.Framework.Version".parse().unwrap());
    assert!(format!("{version:?}").contains("v0.1.0-rc.1"), "{written:?}");
    let kept = world.state(NAME).await.kept[&("prod".parse().unwrap(), None)].clone();
    assert_eq!(kept[&"AccessPolicies".parse().unwrap()].value, "[\"deployer\"]");
    let log = world.log(&format!("github:{REPO}/{NAME}/1/prod/2")).await;
    assert!(log.contains("artifact InvictusFramework is sha256:") && log.contains(", checked"), "{log}");
    assert!(!world.said_and_kept().await.contains("canary-of-azure"));

    // The next release goes the same way.
    world.merge(2, "feat: an outbox").await;
    world.hears(2).await;
    assert_eq!(done(&world, &mut seen), stage("dev", "[\"deployer\"]"));
    world.finish().await;
}
