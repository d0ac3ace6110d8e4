//! Altinn's processes (seed 001) with the manifests that the simulator plays, as they stand there, from the push or the
//! button to the cluster: real images, registries and commits, with stand-ins for the cluster and for Azure.

use std::collections::BTreeMap;

use liftlock::clock;
use liftlock::domain::name::{Digest, StageName};
use liftlock::domain::release::Release;
use liftlock::domain::time::Span;
use liftlock::git::fetch::Remote;
use liftlock::git::origin::Origin;
use liftlock::runner::registry::Registry;

use super::images::{PASSWORD, Running, base_image, registry};
use super::rings::{Site, below};
use super::starts::{call, portal};
use super::tree::Tree;
use super::world::{ANA, DEV, EVE, World};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/altinn");
const PLATFORM: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/simulate/altinn.yml"));
const SERVICE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/scenarios/processes/altinn-service.yml"));

/// A repository with this manifest and Altinn's scripts, on a Monday morning; its engine is not there yet.
async fn world(manifest: &str) -> World {
    let mut files: BTreeMap<String, String> = below(SCRIPTS).collect();
    files.insert(".github/liftlock.yml".to_owned(), manifest.to_owned());
    let mut world = World::asleep(files).await;
    world.sleep().await;
    for program in ["kubectl", "az"] {
        world.install(program, &format!("#!/bin/sh\necho \"{program} $*\" >> \"$TARGET/cluster\"\n"));
    }
    // Hours are skipped while work goes on.
    world.lease = Span::days(7);
    world.begin_at("2026-03-02T08:00:00Z");
    world
}

/// Where the images of an environment go.
fn of_environment(running: &Running, environment: &str) -> Registry {
    let allow = vec!["acme/shop:*/*".to_owned().try_into().unwrap()];
    Registry { allow, ..registry(&running.address, environment, PASSWORD) }
}

/// What the cluster was told since it was asked last.
fn told(world: &World, before: &mut usize) -> Vec<String> {
    let all: Vec<String> = world.wrote("cluster").lines().map(str::to_owned).collect();
    let fresh = all[*before..].to_vec();
    *before = all.len();
    fresh
}

/// How a cluster is told of an image, and asked whether it runs.
fn rollout(context: &str, (workload, container): (&str, &str), image: &str) -> [String; 2] {
    let with = format!("kubectl --context={context}");
    [
        format!("{with} set image deployment/{workload} {container}={image}"),
        format!("{with} rollout status deployment/{workload}"),
    ]
}

/// The newest release of a pipeline.
async fn newest(world: &World, pipeline: &str) -> Release {
    let state = world.state(pipeline).await;
    Release::clone(state.releases.values().next_back().unwrap())
}

/// The image that a release sealed under this name.
fn image(release: &Release, alias: &str) -> Digest {
    let sealed = release.artifacts.iter().find(|sealed| sealed.alias.as_str() == alias);
    sealed.unwrap().image.as_ref().unwrap().manifest.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b05_b07_b09_b10_b11_b23_a_cluster_gets_the_image_that_was_built_and_the_last_good_one_of_the_other()
{
    let [quality, test, prod] = [Running::start(), Running::start(), Running::start()];
    let mut world = world(PLATFORM).await;
    world.registries = [(&quality, "quality"), (&test, "test"), (&prod, "prod")]
        .map(|(running, environment)| of_environment(running, environment))
        .into();
    world.wake().await;
    let mut before = 0;
    let both = |context: &str, running: &Running, studio: &Digest, runtime: &Digest| {
        let of = |name: &str, digest: &Digest| format!("{}/altinn/{name}@{digest}", running.address);
        let studio = rollout(context, ("studio", "studio"), &of("studio", studio));
        [studio, rollout(context, ("runtime", "runtime"), &of("runtime", runtime))].concat()
    };

    // Both are built, and one release has both.
    let files = [("studio/app.txt", "studio-1"), ("runtime/app.txt", "runtime-1")];
    let first = world.push_files(&files, "feat: the beginning").await;
    world.settled().await;
    assert!(world.state("release").await.releases.is_empty(), "builds that end together are waited for");
    world.pass(Span::minutes(2)).await;
    world.status(&first, "liftlock/release/test", "success").await;
    let studio = image(&newest(&world, "studio").await, "Studio");
    let runtime = image(&newest(&world, "runtime").await, "Runtime");
    assert_eq!(told(&world, &mut before), both("test", &test, &studio, &runtime));

    // Only runtime changes; a failed build makes nothing.
    let broken = world.push_files(&[("runtime/broken", "x")], "feat: faster").await;
    world.settled().await;
    world.pass(Span::minutes(2)).await;
    world.status(&broken, "liftlock/runtime/build", "failure").await;
    assert_eq!(world.state("release").await.releases.len(), 1);
    world.tree.remove("runtime/broken");
    let fixed = world.push_files(&[("runtime/app.txt", "runtime-2")], "fix: faster").await;
    world.settled().await;
    world.pass(Span::minutes(2)).await;
    world.status(&fixed, "liftlock/release/test", "success").await;
    let build = newest(&world, "runtime").await;
    let faster = image(&build, "Runtime");
    assert_eq!(told(&world, &mut before), both("test", &test, &studio, &faster));
    assert_eq!(world.state("studio").await.releases.len(), 1, "nobody built studio again");

    // The train on Tuesday takes along what is in test, by the same digests.
    world.pass(Span::hours(27)).await;
    world.status(&fixed, "liftlock/release/prod", "success").await;
    assert_eq!(told(&world, &mut before), both("prod", &prod, &studio, &faster));
    let release = newest(&world, "release").await;
    for running in [&test, &prod] {
        let tag = release.created.version.to_string();
        assert_eq!(running.tag("altinn/studio", &tag), studio.as_str());
        assert_eq!(running.tag("altinn/runtime", &tag), faster.as_str());
        assert!(running.layer(&studio).contains("studio-1"));
        assert!(running.layer(&faster).contains("runtime-2"));
    }
    let there = quality.tag("altinn/runtime", &build.created.version.to_string());
    assert_eq!(there, faster.as_str());
    assert!(!prod.has(&runtime), "the first one never left test");
    world.drain().await;
    world.finish().await;
}

/// What else runs beside the engine that publishes services.
struct Around {
    site: Site,
    at22: Running,
    prod: Running,
    /// The services' own files.
    files: Tree,
    /// The image that services are built in.
    base: String,
    /// Where that is.
    sdk: Running,
}

async fn publishing() -> (World, Around) {
    let (sdk, site) = (Running::start(), Site::start());
    let base = base_image(&sdk).await;
    let mut manifest = SERVICE.to_owned();
    // What the manifest cannot know of this machine.
    let digest = "0a".repeat(32);
    for (named, here) in [
        (format!("ghcr.io/altinn/runtime-sdk@sha256:{digest}"), base.clone()),
        ("platform.example".to_owned(), site.address()),
    ] {
        assert!(manifest.contains(&named), "{named}");
        manifest = manifest.replace(&named, &here);
    }
    let mut world = world(&manifest).await;
    let path = world.data().with_file_name("services.git");
    let form = |name: &str| (format!("{name}/form.json"), format!("{{\"form\": \"{name}, as it was\"}}"));
    let files = Tree::new(&path, ["skjema-1", "skjema-2"].map(form).into());
    let around = Around { site, at22: Running::start(), prod: Running::start(), files, base, sdk };
    world.registries = vec![
        of_environment(&around.sdk, "none"),
        of_environment(&around.at22, "at22"),
        of_environment(&around.prod, "prod"),
    ];
    world.origins = vec![Origin {
        name: "gitea.example/altinn/services".to_owned(),
        remote: Remote::local(&path).unwrap(),
        token: None,
        public: false,
        allow: vec!["acme/shop:service/build".to_owned().try_into().unwrap()],
    }];
    world.callers = vec![portal("acme/shop:service/start")];
    world.probe = around.site.reach();
    world.wake().await;
    world.merge_files(1, &[("README.md", "services")], "docs: services").await;
    world.settled().await;
    (world, around)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b13_b14_b16_b17_b19_b20_b22_b23_b24_e16_a_service_is_published_by_its_button() {
    let (world, mut around) = publishing().await;
    let mut before = 0;
    let first = around.files.head("main").unwrap();
    assert!(world.state("service").await.releases.is_empty(), "a push publishes nothing");
    world.say(1, EVE, "/start service service=skjema-1").await;
    assert!(world.hears(1).await.contains("write"));

    // The button of the portal; then somebody publishes another service, whose files have changed meanwhile.
    assert_eq!(world.post(call(clock::now().0 / 1000, "service", "skjema-1")).await, 202);
    world.settled().await;
    let changed = [("skjema-2/form.json", "{\"form\": \"skjema-2, made anew\"}")];
    let second = around.files.commit("main", &changed, "feat: ask less");
    world.say(1, DEV, "/start service service=skjema-2").await;
    world.settled().await;
    let state = world.state("service").await;
    let made: Vec<_> = state.releases.values().collect();
    let [one, two] = made.as_slice() else { panic!("{made:?}") };
    let by = [one, two].map(|release| release.created.initiator.as_ref().unwrap().login.to_string());
    assert_eq!(by, ["portal", "dev"]);
    assert_eq!([one, two].map(|release| release.sources[0].commit.as_str()), [&first, &second]);
    let [image, other] = [one, two].map(|release| release.artifacts[0].image.clone().unwrap().manifest);
    let log = world.log("github:12/service/1/build/1").await;
    assert!(log.contains(&format!("image {} is not in the cache; it is pulled", around.base)), "{log}");
    assert!(log.contains(&format!("source files is gitea.example/altinn/services@main at {}", &first[..7])));

    // Each is in the image that its stage's cluster runs, by its digest.
    let at = |running: &Running, digest: &Digest| format!("{}/altinn/service@{digest}", running.address);
    let in_at22 = |service: &str, digest: &Digest| {
        let told = rollout("at22", (service, "service"), &at(&around.at22, digest));
        [told.as_slice(), &[format!("at22 smoke {service}")]].concat()
    };
    let expected = [in_at22("skjema-1", &image), in_at22("skjema-2", &other)].concat();
    assert_eq!(told(&world, &mut before), expected);
    for (digest, form) in [(&image, "skjema-1, as it was"), (&other, "skjema-2, made anew")] {
        let layer = around.at22.layer(digest);
        assert!(layer.contains("the sdk of the image") && layer.contains(form), "{layer}");
    }

    // The second one goes first, since nobody's service waits for that of another.
    let mut expected = Vec::new();
    for (no, service, digest) in [(2, "skjema-2", &other), (1, "skjema-1", &image)] {
        let asked = around.site.asked();
        world.say(1, ANA, &format!("/approve prod v0.1.0-rc.{no}")).await;
        world.pass(Span::minutes(1)).await;
        assert!(around.site.asked() > asked, "its cluster is asked before it counts as live");
        expected.extend(rollout("prod", (service, "service"), &at(&around.prod, digest)));
        let tag = format!("v0.1.0-rc.{no}");
        let there = [&around.at22, &around.prod].map(|running| running.tag("altinn/service", &tag));
        assert_eq!(there, [digest.as_str(), digest.as_str()]);
    }
    assert_eq!(told(&world, &mut before), expected);
    let state = world.state("service").await;
    let stage: StageName = "prod".parse().unwrap();
    let live: Vec<String> = state
        .live_of(&stage)
        .map(|(track, live)| format!("{} {}", track.unwrap(), state.version_of(live.release())))
        .collect();
    assert_eq!(live, ["service=skjema-1 v0.1.0-rc.1", "service=skjema-2 v0.1.0-rc.2"]);

    // At night the clean-up runs by itself.
    world.pass(Span::minutes(18 * 60 + 20)).await;
    assert_eq!(told(&world, &mut before), ["az group delete -n PackerResourceGroup --yes"]);
    world.drain().await;
    world.finish().await;
}
