//! Manifests that are made of files of another repository: pinned, read once, and kept whatever becomes of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use liftlock::domain::time::Span;
use liftlock::git::fetch::Remote;
use liftlock::git::origin::Origin;

use super::tree::{Tree, sample};
use super::world::{ANA, BO, World};

/// The rules of the company: who keeps prod.
const RING: &str = "version: 1\nextends: teams.yml\nstages: [{name: prod, approval: {from: [keepers]}}]\n";
const TEAMS: &str = "version: 1\nteams: {keepers: {users: [ana]}}\n";

fn rings() -> BTreeMap<String, String> {
    [("prod.yml", RING), ("teams.yml", TEAMS)].map(|(path, text)| (path.to_owned(), text.to_owned())).into()
}

fn manifest(extends: &str) -> String {
    format!(
        "version: 1\nname: shop\nextends: {extends}\nbuild: sh build.sh\nartifacts: dist\n\
         deploy: sh deploy.sh\nstages: [test, {{name: prod, title: Ours}}]\n"
    )
}

fn origin(remote: Remote, allow: &str) -> Origin {
    let allow = vec![allow.to_owned().try_into().unwrap()];
    Origin { name: "gitea.example/acme/rings".to_owned(), remote, token: None, public: false, allow }
}

/// The shop, which knows no other repository yet, and beside it the one with the rings.
async fn world() -> (World, Tree) {
    let world = World::asleep(sample(&manifest("nothing.yml"))).await;
    let rings = Tree::new(&world.data().with_file_name("rings.git"), rings());
    (world, rings)
}

/// Merges a manifest that is made of this file.
async fn extend(world: &mut World, number: u64, file: &str) -> String {
    let text = manifest(file);
    world.merge_files(number, &[(".github/liftlock.yml", &text)], "feat: the company's rules").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d01_t29_a_ring_of_another_repository_holds_and_outlives_it() {
    let (mut world, mut rings) = world().await;
    world.origins = vec![origin(Remote::local(rings.path()).unwrap(), "acme/shop:*/manifest")];
    world.sleep().await;
    world.wake().await;
    let pinned = rings.head("main").unwrap();
    let file = format!("gitea.example/acme/rings//prod.yml@{pinned}");
    extend(&mut world, 1, &file).await;
    assert!(world.hears(1).await.contains("ready for prod"));

    // Whoever keeps the other repository lets bo keep gates, and then it is gone altogether.
    let lax = TEAMS.replace("[ana]", "[ana, bo]");
    let second = rings.commit("main", &[("teams.yml", &lax)], "feat: bo, too");
    let away = rings.path().with_extension("away");
    std::fs::rename(rings.path(), &away).unwrap();
    world.say(1, BO, "/approve prod").await;
    world.drain().await;
    assert_eq!(world.live().len(), 1, "bo keeps no gate of this release");
    world.say(1, ANA, "/approve prod").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    world.merge(2, "feat: more shoes").await;
    assert!(world.hears(2).await.contains("ready for prod"));
    let state = world.state("shop").await;
    let [first, next] = [1, 2].map(|number| Arc::clone(&state.in_order()[number - 1].created));
    assert!(first.files.contains(&file), "{:?}", first.files);
    assert!(first.files.contains(&file.replace("prod.yml", "teams.yml")), "{:?}", first.files);
    assert_eq!(first.manifest, next.manifest, "the same texts");

    // Other rules are another commit, and another digest.
    let moved = extend(&mut world, 3, &file.replace(&pinned, &second)).await;
    let said = world.status(&moved, "liftlock/manifest", "failure").await;
    assert!(said.contains(&format!("cannot read `gitea.example/acme/rings//prod.yml` at {}", &second[..7])));
    world.settled().await;
    assert_eq!(world.state("shop").await.releases.len(), 2);
    std::fs::rename(&away, rings.path()).unwrap();
    world.push("feat: again").await;
    world.settled().await;
    let state = world.state("shop").await;
    let third = Arc::clone(&state.in_order()[2].created);
    assert_ne!(first.manifest, third.manifest, "the digest covers what is elsewhere");
    world.drain().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d01_t36_a_ring_is_read_of_a_repository_that_is_served_here_at_a_commit_of_its_own() {
    let (mut world, mut rings) = world().await;
    for (id, name) in [(40, "acme/rings"), (41, "eve/rings")] {
        world.github.state().repo(id, name).bare = Some(rings.path().to_owned());
    }
    world.beside = vec!["acme/rings", "eve/rings"];
    world.sleep().await;
    world.wake().await;
    let pinned = rings.head("main").unwrap();
    extend(&mut world, 1, &format!("acme/rings//prod.yml@{pinned}")).await;
    assert!(world.hears(1).await.contains("ready for prod"));
    world.say(1, ANA, "/approve prod").await;
    assert!(world.hears(1).await.contains("is live in prod"));

    // As a commit of somebody's fork: the host would hand it out.
    let stray = rings.loose((vec![&pinned], &[("teams.yml", TEAMS)]), "feat: nobody's");
    for (number, file, why) in [
        (2, format!("acme/rings//prod.yml@{stray}"), "none of its branches and tags leads to the"),
        (3, format!("acme/rings//gone.yml@{pinned}"), "the repository has no such file"),
        (4, format!("eve/rings//prod.yml@{pinned}"), "eve/rings is no repository of acme"),
        (5, format!("acme/other//prod.yml@{pinned}"), "acme/other is no repository of acme"),
        (6, format!("gitea.example/acme/rings//prod.yml@{pinned}"), "the server does not know it"),
    ] {
        let commit = extend(&mut world, number, &file).await;
        let said = world.status(&commit, "liftlock/manifest", "failure").await;
        assert!(said.contains(why), "{file}: {said}");
    }
    world.settled().await;
    assert_eq!(world.state("shop").await.releases.len(), 1, "no rules, no release");
    world.drain().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d01_a_host_that_does_not_answer_is_asked_again_and_who_is_not_meant_is_told() {
    let (mut world, rings) = world().await;
    let nobody = Remote::loopback("http://127.0.0.1:1/acme/rings").unwrap();
    world.origins = vec![origin(nobody, "acme/shop:*/manifest")];
    world.sleep().await;
    world.wake().await;
    let file = format!("gitea.example/acme/rings//prod.yml@{}", rings.head("main").unwrap());
    let commit = extend(&mut world, 1, &file).await;
    world.until("the push is tried", |effects| effects.iter().any(|e| e.error.is_some())).await;
    assert_eq!(world.light(&commit, "liftlock/manifest"), None, "nothing is wrong with the manifest");
    world.sleep().await;
    world.origins = vec![origin(Remote::local(rings.path()).unwrap(), "acme/shop:*/manifest")];
    world.boot().await;
    world.skip(Span::hours(1));
    world.wake().await;
    assert!(world.hears(1).await.contains("ready for prod"));

    world.sleep().await;
    world.origins = vec![origin(Remote::local(rings.path()).unwrap(), "acme/shop:*/build")];
    world.wake().await;
    let commit = world.merge(2, "feat: more shoes").await;
    let said = world.status(&commit, "liftlock/manifest", "failure").await;
    assert!(said.contains("it is not for manifests of acme/shop"), "{said}");
    world.drain().await;
    world.finish().await;
}
