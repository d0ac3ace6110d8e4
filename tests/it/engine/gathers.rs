//! Drops: what a release and the builds that it is made of have sealed, in one folder with a list.

use liftlock::domain::evidence::SHA256SUMS;
use liftlock::http::answers::Answers;
use liftlock::http::api::Reader as _;
use liftlock::publish::Kind;
use liftlock::publish::folder::Folder;
use liftlock::upstream::Upstream;
use sha2::{Digest as _, Sha512};

use super::tree::sample;
use super::upstreams::{Both, upstream};
use super::world::{World, cdn_outlet};

/// A kit of what a runtime's build left and of its own symbols, gathered before it is published.
const MANIFEST: &str = r#"version: 1
pipelines:
  runtime:
    triggers: {push: {paths: ['runtime/**']}}
    build: 'mkdir -p out sym && cp runtime/app.txt out/ && echo runtime-lines > sym/app.pdb'
    artifacts: [{alias: Runtime, path: out}, {alias: RuntimeSymbols, path: sym, shipping: false}]
    deploy: 'true'
    stages: [quality]
  kit:
    triggers: {builds: {any: [runtime], settle: 0s}}
    artifacts: [{alias: Runtime, from: build/runtime}, {alias: Lines, from: build/runtime, path: sym}]
    stages:
      - name: prep
        deploy:
          - {uses: gather, with: {full: true}, artifacts: [drop]}
          - 'cp -r "$LIFTLOCK_ARTIFACT_DROP" "$TARGET/drop"'
      - name: publish
        deploy:
          - {uses: publish, with: {to: cdn, what: all}}
"#;

async fn world() -> World {
    let folder = |world: &World| Kind::Folder(Folder { path: world.target().join("cdn") });
    World::publishing(sample(MANIFEST), |world| vec![cdn_outlet(folder(world), "kit/publish")]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d02_d05_a_drop_has_the_release_and_its_builds_with_their_sums_and_only_what_ships_is_published() {
    let mut world = world().await;
    let push = world.push_files(&[("runtime/app.txt", "runtime-1")], "feat: a runtime").await;
    world.status(&push, "liftlock/kit/publish", "success").await;
    let said = world.drain().await;
    assert!(said.iter().any(|text| text.contains("is live in publish")), "{said:?}");

    let list: serde_json::Value = serde_json::from_str(&world.wrote("drop/manifest.json")).unwrap();
    let builds = list["builds"].as_array().unwrap();
    let named: Vec<&str> = builds.iter().map(|build| build["pipeline"].as_str().unwrap()).collect();
    assert_eq!(named, ["runtime", "kit"], "a build before what is made of it");
    assert_eq!(builds[1]["made_of"][0]["version"], builds[0]["version"]);
    assert_eq!(
        builds[1]["assets"],
        serde_json::json!([]),
        "what it took as it was is given by its own build"
    );
    let mut files = Vec::new();
    for file in builds[0]["assets"].as_array().unwrap().iter().flat_map(|a| a["files"].as_array().unwrap()) {
        let path = file["path"].as_str().unwrap();
        let text = world.wrote(&format!("drop/{path}"));
        assert_eq!(file["sha512"], hex::encode(Sha512::digest(&text)), "{path}");
        assert_eq!(file["size"], text.len());
        files.push((path.to_owned(), text));
    }
    let expected = [
        ("shipping/runtime/Runtime/app.txt".to_owned(), "runtime-1".to_owned()),
        ("nonshipping/runtime/RuntimeSymbols/app.pdb".to_owned(), "runtime-lines\n".to_owned()),
    ];
    assert_eq!(files, expected);

    // The drop is part of the release, and neither it nor the symbols go to others.
    let kit = world.state("kit").await;
    let release = kit.releases.values().next().unwrap();
    let aliases: Vec<&str> = release.artifacts.iter().map(|sealed| sealed.alias.as_str()).collect();
    assert_eq!(aliases, ["Runtime", "Lines", "drop"]);
    let mut there: Vec<String> = std::fs::read_dir(world.target().join("cdn/v0.1.0-rc.1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    assert_eq!(there, ["Runtime.tar.zst", SHA256SUMS]);
    assert_eq!(world.wrote(&format!("cdn/v0.1.0-rc.1/{SHA256SUMS}")).lines().count(), 1);
    let answers = Answers::new(world.service().clone(), None);
    let listed = answers.proof("github:12/runtime", 1, SHA256SUMS).await.unwrap();
    assert!(listed.ends_with("  Runtime.tar.zst\n") && listed.lines().count() == 1, "{listed}");
    let known = answers.proof("github:12/runtime", 1, "provenance.dsse.json").await.unwrap();
    assert!(known.contains("payload"), "the statement is about all of it");
    world.finish().await;
}

/// Tools of ours, and an sdk of them and of what another repository builds; only pushes start it.
const SHOP: &str = r#"version: 1
pipelines:
  tools:
    triggers: {push: {paths: ['tools/**']}}
    build: 'mkdir -p bin && cp tools/*.txt bin/'
    artifacts: [{alias: Tools, path: bin}]
    stages: [quality]
  sdk:
    triggers: {push: {paths: ['sdk/**']}, builds: {any: [tools, runtime, framework], settle: 24h}}
    build: 'mkdir -p dist && cp sdk/*.txt dist/'
    artifacts:
      - {alias: Sdk, path: dist}
      - {alias: Tools, from: build/tools}
      - {alias: Runtime, from: build/runtime, path: drop}
      - {alias: Framework, from: build/framework}
    stages:
      - name: prep
        deploy:
          - {uses: gather, with: {full: true}, artifacts: [drop]}
          - 'cp -r "$LIFTLOCK_ARTIFACT_DROP" "$TARGET/drop"'
"#;
/// A runtime that is built with our tools, and a framework of it.
const PLATFORM: &str = "version: 1
pipelines:
  runtime:
    triggers: {push: {paths: ['runtime/**']}, builds: {any: [tools], settle: 24h}}
    build: 'mkdir -p drop symbols && cp runtime/*.txt drop/ && echo lines > symbols/app.pdb'
    artifacts: [{alias: Bits, path: drop}, {alias: Symbols, path: symbols, shipping: false}, {alias: Tools, from: build/tools}]
    stages: [quality]
  aspnet:
    triggers: {push: {paths: ['aspnet/**']}, builds: {any: [runtime], settle: 24h}}
    build: 'mkdir -p out && cp aspnet/*.txt out/'
    artifacts: [{alias: Framework, path: out}, {alias: Runtime, from: build/runtime, path: drop}]
    stages: [quality]
";

/// From our repository to another one and back: the tools that the runtime was built with are older than ours, and ours
/// are nearer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d05_a_drop_is_gathered_from_the_releases_of_several_repositories() {
    let mut both = Both::new(SHOP, PLATFORM, "acme/shop:sdk/build").await;
    both.world.sleep().await;
    let tools = upstream("tools", "tools", "acme/platform:runtime/build");
    both.world.upstreams.push(Upstream { repository: "acme/shop".parse().unwrap(), ..tools });
    both.world.wake().await;
    both.push_rules().await;
    both.push_platform(&[("NOTES.md", "hello")], "docs: begin").await;
    both.world.settled().await;
    both.world.push_files(&[("tools/make.txt", "tools-1")], "feat: tools").await;
    both.world.settled().await;
    both.push_platform(&[("runtime/app.txt", "runtime-1")], "feat: runtime").await;
    both.world.settled().await;
    both.push_platform(&[("aspnet/web.txt", "aspnet-1")], "feat: framework").await;
    both.world.settled().await;
    both.world.push_files(&[("tools/make.txt", "tools-2")], "feat: more tools").await;
    both.world.settled().await;
    let push = both.world.push_files(&[("sdk/own.txt", "own-1")], "feat: sdk").await;
    both.world.status(&push, "liftlock/sdk/prep", "success").await;

    let list: serde_json::Value = serde_json::from_str(&both.world.wrote("drop/manifest.json")).unwrap();
    let builds = list["builds"].as_array().unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let made = |build: &serde_json::Value| {
        let inputs = build["made_of"].as_array().unwrap().iter();
        let mut inputs: Vec<String> =
            inputs.map(|input| format!("{} {}", text(&input["pipeline"]), text(&input["version"]))).collect();
        inputs.sort();
        format!("{} {} of [{}]", text(&build["pipeline"]), text(&build["version"]), inputs.join(", "))
    };
    let named: Vec<String> = builds.iter().map(made).collect();
    let [first, second, third] = ["v0.1.0-rc.1", "v0.1.0-rc.2", "v0.1.0-rc.3"];
    assert_eq!(
        named,
        [
            format!("tools {second} of []"),
            format!("acme/platform/runtime {first} of [tools {first}]"),
            format!("acme/platform/aspnet {second} of [acme/platform/runtime {first}]"),
            format!(
                "sdk {third} of [acme/platform/aspnet {second}, acme/platform/runtime {first}, tools {second}]"
            ),
        ]
    );
    let left = serde_json::json!([{"pipeline": "tools", "version": first, "instead": second}]);
    assert_eq!(list["left_out"], left, "the walk ends at the nearest build of a pipeline");

    let assets = builds.iter().flat_map(|build| build["assets"].as_array().unwrap());
    let files = assets.flat_map(|asset| asset["files"].as_array().unwrap());
    let mut found = Vec::new();
    for file in files {
        let path = text(&file["path"]);
        let bytes = both.world.wrote(&format!("drop/{path}"));
        assert_eq!(file["sha512"], hex::encode(Sha512::digest(&bytes)), "{path}");
        found.push((path, bytes));
    }
    let expected = [
        ("shipping/tools/Tools/make.txt", "tools-2"),
        ("shipping/acme/platform/runtime/Bits/app.txt", "runtime-1"),
        ("nonshipping/acme/platform/runtime/Symbols/app.pdb", "lines\n"),
        ("shipping/acme/platform/runtime/Tools/make.txt", "tools-1"),
        ("shipping/acme/platform/aspnet/Framework/web.txt", "aspnet-1"),
        ("shipping/sdk/Sdk/own.txt", "own-1"),
    ];
    assert_eq!(found, expected.map(|(path, text)| (path.to_owned(), text.to_owned())));
    both.world.drain().await;
    both.world.finish().await;
}
