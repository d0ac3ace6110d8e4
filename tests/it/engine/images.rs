//! Images: built as OCI layouts, pushed to real registries on this machine, and known by their digests.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use axum::http::{Method, StatusCode, header};
use liftlock::artifact::unzip::unzip;
use liftlock::domain::event::Form;
use liftlock::domain::name::Digest;
use liftlock::domain::time::Span;
use liftlock::folder::Limits;
use liftlock::publish::{Images, Kind, Outlet, Patience};
use liftlock::runner::registry::Registry;
use liftlock::secret::Secret;

use super::tree::sample;
use super::world::{ANA, World, files_below};
use crate::served::Served;

/// The login's password, and what the registry keeps of it.
pub(super) const PASSWORD: &str = "canary-of-registry-55d1";
const KEPT: &str = "bot:$2y$05$abcdefghijklmnopqrstuuY/4pIhJzk3Menlj.Ye6BnGwagoHYbeC\n";

/// Leaves an image with one layer: a folder, `src` unless it is told another one.
const BUILD: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/altinn/image.sh"));

const MANIFEST: &str = r"version: 1
name: shop
build: sh image.sh
artifacts: [{alias: Sdk, kind: image, image: acme/sdk}]
deploy: 'echo $STAGE $LIFTLOCK_IMAGE_SDK >> $TARGET/journal'
stages: [test, prod]
";

/// A registry of the distribution's own server.
pub(super) struct Running {
    server: Served,
    pub(super) address: String,
}

impl Running {
    pub(super) fn start() -> Self {
        let server = Served::start(|folder, address| {
            let put = |name: &str, text: &str| {
                File::create(folder.join(name)).unwrap().write_all(text.as_bytes()).unwrap();
            };
            put("users", KEPT);
            let below = folder.display();
            let config = format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {below}/data}}}}\n\
                 http: {{addr: '{address}'}}\nauth: {{htpasswd: {{realm: test, path: {below}/users}}}}\n",
            );
            put("config.yml", &config);
            let mut command = Command::new("docker-registry");
            command.arg("serve").arg(folder.join("config.yml"));
            command
        });
        let address = server.door.address().to_string();
        Self { server, address }
    }

    /// Copies an image out by its digest as anybody does; then a byte of each of its blobs is another one, and nobody
    /// gets it.
    fn is_noticed_when_changed(&self, image: &str) {
        let out = tempfile::tempdir().unwrap();
        let copied = |name: &str| {
            let to = format!("dir:{}", out.path().join(name).display());
            let from = format!("docker://{}/{image}", self.address);
            let credentials = format!("bot:{PASSWORD}");
            let options = ["--insecure-policy", "copy", "--src-tls-verify=false", "--src-creds"];
            Command::new("skopeo").args(options).args([&credentials, &from, &to]).output().unwrap()
        };
        let good = copied("good");
        assert!(good.status.success(), "{good:?}");
        let blobs = files_below(&self.server.path("data/docker/registry/v2/blobs"));
        assert!(blobs.len() > 2, "a manifest, a config, a layer: {blobs:?}");
        for blob in blobs {
            let bytes = std::fs::read(&blob).unwrap();
            let mut bad = bytes.clone();
            bad[bytes.len() / 2] ^= 1;
            File::create(&blob).unwrap().write_all(&bad).unwrap();
            let said = copied("bad");
            assert!(!said.status.success(), "{} was changed and {image} is copied", blob.display());
            File::create(&blob).unwrap().write_all(&bytes).unwrap();
        }
        assert!(copied("again").status.success());
    }

    /// The file in which it keeps something by its digest.
    fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        self.server.path(&format!("data/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]))
    }

    /// Whether it has an image, under whatever tag.
    pub(super) fn has(&self, image: &Digest) -> bool {
        self.blob(image.as_str()).exists()
    }

    /// What the only layer of an image holds, read back by its digest.
    pub(super) fn layer(&self, image: &Digest) -> String {
        let manifest = std::fs::read(self.blob(image.as_str())).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let [layer] = manifest["layers"].as_array().unwrap().as_slice() else { panic!("{manifest}") };
        std::fs::read_to_string(self.blob(layer["digest"].as_str().unwrap())).unwrap()
    }

    /// What a tag leads to.
    pub(super) fn tag(&self, image: &str, tag: &str) -> String {
        std::fs::read_to_string(self.link(image, tag)).unwrap_or_default()
    }

    /// The file in which it keeps that.
    pub(super) fn link(&self, image: &str, tag: &str) -> PathBuf {
        let path = format!("data/docker/registry/v2/repositories/{image}/_manifests/tags/{tag}/current/link");
        self.server.path(&path)
    }
}

pub(super) fn registry(address: &str, environment: &str, password: &str) -> Registry {
    Registry {
        address: address.to_owned(),
        instead_of: None,
        environment: Some(environment.parse().unwrap()),
        login: Some(("bot".to_owned(), Secret::new(password))),
        plain: true,
        allow: vec!["acme/shop:shop/*".to_owned().try_into().unwrap()],
    }
}

async fn world(manifest: &str, registries: Vec<Registry>) -> World {
    let mut files = sample(manifest);
    files.insert("image.sh".to_owned(), BUILD.to_owned());
    let mut world = World::asleep(files).await;
    world.registries = registries;
    world.sleep().await;
    world.wake().await;
    world
}

/// The digest of the newest release's image.
async fn image(world: &World) -> Digest {
    let state = world.state("shop").await;
    let release = state.releases.values().next_back().unwrap();
    release.artifacts[0].image.as_ref().unwrap().manifest.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b06_b17_b23_c07_one_image_is_pushed_to_the_registry_of_every_environment() {
    let (test, prod) = (Running::start(), Running::start());
    let registries = vec![
        registry(&test.address, "test", PASSWORD),
        registry(&format!("{}/live", prod.address), "prod", PASSWORD),
    ];
    let mut world = world(MANIFEST, registries).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    world.status(&commit, "liftlock/prod", "success").await;
    world.drain().await;
    let digest = image(&world).await;
    assert_eq!(test.tag("acme/sdk", "v0.1.0-rc.1"), digest.as_str());
    assert_eq!(prod.tag("live/acme/sdk", "v0.1.0-rc.1"), digest.as_str());
    assert_eq!(
        world.deployed(),
        [
            format!("test {}/acme/sdk@{digest}", test.address),
            format!("prod {}/live/acme/sdk@{digest}", prod.address)
        ]
    );
    prod.is_noticed_when_changed(&format!("live/acme/sdk@{digest}"));
    let log = world.log("github:12/shop/1/prod/1").await;
    assert!(
        log.contains(&format!("image Sdk is {}/live/acme/sdk@{digest}, read back", prod.address)),
        "{log}"
    );
    let sticky = world.sticky();
    assert!(sticky.contains(&format!("- image Sdk: `acme/sdk`, `{digest}`")), "{sticky}");
    for text in [log, world.said_and_kept().await] {
        assert!(!text.contains(PASSWORD), "{text}");
    }
    let left = files_below(&world.data().join("work"));
    assert!(left.is_empty(), "{left:?}");
    world.finish().await;
}

/// Seed 001: what two pipelines built goes to the cluster together, each by its digest.
const ALTINN: &str = r#"version: 1
pipelines:
  studio:
    triggers: {push: {paths: ['studio/**']}}
    build: sh image.sh studio
    artifacts: [{alias: Sdk, kind: image, image: acme/studio}]
    stages: [quality]
  runtime:
    triggers: {push: {paths: ['runtime/**']}}
    build: sh image.sh runtime
    artifacts: [{alias: Sdk, kind: image, image: acme/runtime}]
    stages: [quality]
  release:
    triggers: {builds: {all: [studio, runtime]}}
    artifacts:
      - {alias: Studio, from: build/studio, kind: image, image: acme/studio}
      - {alias: Runtime, from: build/runtime, kind: image, image: acme/runtime}
    deploy: kubectl set image deployment/altinn "studio=$LIFTLOCK_IMAGE_STUDIO" "runtime=$LIFTLOCK_IMAGE_RUNTIME"
    stages: [test]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b09_b10_b23_a_cluster_gets_the_images_of_both_builds_by_their_digests() {
    // One each: the release may push what its builds are still pushing, and this server answers that with a 500.
    let (quality, running) = (Running::start(), Running::start());
    let of = |running: &Running, environment: &str| Registry {
        allow: vec!["acme/shop:*/*".to_owned().try_into().unwrap()],
        ..registry(&running.address, environment, PASSWORD)
    };
    let mut world = world(ALTINN, vec![of(&quality, "quality"), of(&running, "test")]).await;
    world.install("kubectl", "#!/bin/sh\necho \"$*\" >> \"$TARGET/journal\"\n");
    let files = [("studio/app.txt", "studio-1"), ("runtime/app.txt", "runtime-1")];
    let commit = world.push_files(&files, "feat: both").await;
    world.status(&commit, "liftlock/release/test", "success").await;
    world.drain().await;
    let newest = async |name: &str| {
        let state = world.state(name).await;
        let release = state.releases.values().next_back().unwrap();
        (release.created.version.to_string(), release.artifacts[0].clone())
    };
    // Versions are the repository's: who comes second may get the next one.
    let (version, _) = newest("release").await;
    let mut words = vec!["set image deployment/altinn".to_owned()];
    for name in ["studio", "runtime"] {
        let (own, built) = newest(name).await;
        let digest = built.image.unwrap().manifest;
        for (registry, version) in [(&quality, &own), (&running, &version)] {
            assert_eq!(registry.tag(&format!("acme/{name}"), version), digest.as_str());
        }
        words.push(format!("{name}={}/acme/{name}@{digest}", running.address));
    }
    assert_ne!(words[1].rsplit('@').next(), words[2].rsplit('@').next());
    assert_eq!(world.deployed(), [words.join(" ")]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b23_a_registry_that_refuses_or_is_away_fails_the_stage_and_another_try_goes_on() {
    let test = Running::start();
    let wrong = registry(&test.address, "test", "another password");
    let mut world = world(&MANIFEST.replace("[test, prod]", "[test]"), vec![wrong]).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    let said = world.status(&commit, "liftlock/test", "failure").await;
    assert!(said.contains("push the image Sdk"), "{said}");
    world.drain().await;
    assert_eq!(world.deployed(), Vec::<String>::new(), "no command ran");
    world.registries = vec![registry(&test.address, "test", PASSWORD)];
    world.sleep().await;
    world.wake().await;
    world.say(1, ANA, "/retry test").await;
    world.status(&commit, "liftlock/test", "success").await;
    world.drain().await;
    assert_eq!(test.tag("acme/sdk", "v0.1.0-rc.1"), image(&world).await.as_str());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b23_t52_an_image_goes_only_where_the_config_says() {
    let other = registry("127.0.0.1:1", "prod", PASSWORD);
    let strange = Registry { environment: Some("test".parse().unwrap()), allow: Vec::new(), ..other.clone() };
    for (image, registries, says) in [
        ("acme/sdk", vec![other.clone()], "the server has no registry for the image Sdk in test"),
        ("evil.example/sdk", vec![other.clone()], "does not know the registry evil.example"),
        ("acme/sdk", vec![strange], "is not for acme/shop:shop/test"),
    ] {
        let manifest = MANIFEST.replace("[test, prod]", "[test]").replace("acme/sdk", image);
        let mut world = world(&manifest, registries).await;
        let commit = world.merge(1, "feat: sell shoes").await;
        world.status(&commit, "liftlock/test", "error").await;
        let said = world.drain().await.join("\n");
        assert!(said.contains(says), "{said}");
        assert_eq!(world.deployed(), Vec::<String>::new());
        world.finish().await;
    }
}

/// Says yes to everything, and gives back another manifest than it was given.
async fn liar() -> String {
    const OTHER: &str = "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
                         \"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"sha256:\
                         44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",\"size\":2},\"layers\":[]}";
    let answer = |method: Method| async move {
        let kind = [(header::CONTENT_TYPE, "application/vnd.oci.image.manifest.v1+json")];
        let code = if method == Method::PUT { StatusCode::CREATED } else { StatusCode::OK };
        (code, kind, if method == Method::GET { OTHER } else { "" })
    };
    let app = axum::Router::new().fallback(answer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b23_c07_t44_a_registry_with_another_digest_fails_the_stage() {
    let registries = vec![registry(&liar().await, "test", PASSWORD)];
    let mut world = world(&MANIFEST.replace("[test, prod]", "[test]"), registries).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    world.status(&commit, "liftlock/test", "failure").await;
    world.drain().await;
    let log = world.log("github:12/shop/1/test/1").await;
    let digest = image(&world).await;
    assert!(log.contains(&format!("there, and {digest} was sealed")), "{log}");
    assert_eq!(world.deployed(), Vec::<String>::new());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b17_t41_a_build_that_leaves_no_image_fails() {
    let manifest = MANIFEST.replace("sh image.sh", "mkdir -p dist/Sdk && echo hello > dist/Sdk/index.json");
    let mut world = world(&manifest, Vec::new()).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    let said = world.status(&commit, "liftlock/build", "failure").await;
    assert!(said.contains("seal dist/Sdk"), "{said}");
    world.settled().await;
    assert!(world.sticky().contains("no OCI image layout"), "{}", world.sticky());
    world.drain().await;
    world.finish().await;
}

/// The set of a platform: what each part has is zipped once the build is done.
const ZIPS: &str = r"version: 1
name: shop
build: {buildspec: ci/build.yml}
artifacts: [{alias: Sdk, path: out/sdk.zip}, {alias: Runtime, path: out/runtime.zip}, {alias: Asp, path: out/asp.zip}]
deploy: 'cp $LIFTLOCK_ARTIFACT_SDK $TARGET/sdk.zip; cp $LIFTLOCK_ARTIFACT_RUNTIME $TARGET/runtime.zip; cp $LIFTLOCK_ARTIFACT_ASP $TARGET/asp.zip'
stages: [test]
";

const ZIP_SPEC: &str = r#"version: 0.2
phases:
  build:
    commands:
      - 'for part in sdk runtime asp; do mkdir -p parts/$part/bin; echo "$part" > parts/$part/version; cat src/* > parts/$part/bin/app; done'
      - chmod +x parts/*/bin/app
  post_build:
    commands:
      - sh zips.sh
"#;

const ZIP_SCRIPT: &str = r#"set -e
mkdir -p out
for part in sdk runtime asp; do (cd "parts/$part" && python3 -m zipfile -c "../../out/$part.zip" version bin); done
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d31_the_zips_of_a_post_build_script_are_an_artifact_each() {
    let mut files = sample(ZIPS);
    files.extend(
        [("ci/build.yml", ZIP_SPEC), ("zips.sh", ZIP_SCRIPT)].map(|(k, v)| (k.to_owned(), v.to_owned())),
    );
    let mut world = World::of(files).await;
    let commit = world.push("feat: sell shoes").await;
    world.status(&commit, "liftlock/test", "success").await;
    world.drain().await;
    let state = world.state("shop").await;
    let release = state.releases.values().next().unwrap();
    let aliases: Vec<&str> = release.artifacts.iter().map(|sealed| sealed.alias.as_str()).collect();
    assert_eq!(aliases, ["Sdk", "Runtime", "Asp"]);
    let mut digests = std::collections::BTreeSet::new();
    for (sealed, part) in release.artifacts.iter().zip(["sdk", "runtime", "asp"]) {
        // What the stage was given is the archive itself, byte by byte.
        let path = world.target().join(format!("{part}.zip"));
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(
            sealed.digest.hex(),
            hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&bytes)),
            "{part}"
        );
        assert_eq!(sealed.form, Form::File);
        digests.insert(sealed.digest.clone());
        let to = world.target().join(part);
        unzip(&path, &to, Limits { max_files: 10, max_bytes: 10_000 }).unwrap();
        let read = |name: &str| std::fs::read_to_string(to.join(name)).unwrap();
        assert_eq!(read("version"), format!("{part}\n"));
        assert_eq!(read("bin/app"), "the shop\nfeat: sell shoes");
    }
    assert_eq!(digests.len(), 3);
    let whole = release.digest.as_ref().unwrap();
    assert!(!digests.contains(whole), "the release has a digest over all of them");
    world.finish().await;
}

/// Leaves an image with the system's own programs, and a file that only it has.
const BASE: &str = r#"set -e
mkdir -p root/bin root/usr/bin root/lib root/lib64 root/etc root/opt/sdk
echo 'the sdk of the image' > root/opt/sdk/version
for program in sh cat mkdir ls cp; do
  cp "$(command -v $program)" root/usr/bin/
  ln -sf "/usr/bin/$program" "root/bin/$program"
  ldd "$(command -v $program)" | grep -o '/[^ )]*' | while read -r library; do
    mkdir -p "root/$(dirname "$library")"
    cp -Ln "$library" "root/$library"
  done
done
"#;

/// An image of programs, pushed by a release of its own; its place in the registry.
pub(super) async fn base_image(registry_at: &Running) -> String {
    let registries = vec![registry(&registry_at.address, "test", PASSWORD)];
    let mut files = sample(&MANIFEST.replace("[test, prod]", "[test]"));
    let script = BUILD
        .replace("\"../../${1:-src}\"", "-C ../../root .")
        .replace("\"config\":{}", "\"config\":{\"Env\":[\"PATH=/usr/bin:/bin\",\"SDK=from the image\"]}");
    files.insert("image.sh".to_owned(), format!("{BASE}{script}"));
    let mut world = World::asleep(files).await;
    world.registries = registries;
    world.sleep().await;
    world.wake().await;
    let commit = world.merge(1, "feat: an sdk").await;
    world.status(&commit, "liftlock/test", "success").await;
    world.drain().await;
    let place = format!("{}/acme/sdk@{}", registry_at.address, image(&world).await);
    world.finish().await;
    place
}

const INSIDE: &str = r#"version: 1
name: shop
build:
  image: "BASE"
  run: |
    mkdir -p dist
    cp /opt/sdk/version dist/
    cat src/app.txt
    echo "$SDK"
    if ls /usr/lib/os-release 2>/dev/null; then echo "the server's own system"; fi
    if echo x > /opt/sdk/mine 2>/dev/null; then echo "it may be written"; fi
deploy: 'echo $STAGE $(cat version) >> $TARGET/journal'
stages: [test]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b18_b19_b20_b21_a_build_runs_in_an_image_that_is_pulled_once() {
    let running = Running::start();
    let base = base_image(&running).await;
    let manifest = INSIDE.replace("BASE", &base);
    let mut world = world(&manifest, vec![registry(&running.address, "none", PASSWORD)]).await;
    let first = world.merge(1, "feat: sell shoes").await;
    world.status(&first, "liftlock/test", "success").await;
    let log = world.log("github:12/shop/1/build/1").await;
    assert!(log.contains(&format!("image {base} is not in the cache; it is pulled")), "{log}");
    let said: Vec<&str> = log.lines().collect();
    assert!(said.contains(&"the shop") && said.contains(&"from the image"), "{log}");
    assert!(!said.contains(&"the server's own system") && !said.contains(&"it may be written"), "{log}");

    // The registry is gone, and nobody needs it.
    drop(running);
    let second = world.merge(2, "feat: sell hats").await;
    world.status(&second, "liftlock/test", "success").await;
    let log = world.log("github:12/shop/2/build/1").await;
    assert!(log.contains(&format!("image {base}, from the cache")), "{log}");
    world.drain().await;
    assert_eq!(world.deployed(), ["test the sdk of the image", "test the sdk of the image"]);

    // One step in the image, those around it in the server's own system, all in one tree.
    let steps = format!(
        "  steps:\n    - 'mkdir dist; ls /usr/lib/os-release'\n    - {{run: 'cp /opt/sdk/version dist/; echo \"$SDK\"', image: \
         \"{base}\"}}\n    - 'test ! -e /opt/sdk; echo \"${{SDK:-nothing}} of it\"; cat dist/version'\n"
    );
    let (before, rest) = manifest.split_once("  image:").unwrap();
    let mixed = format!("{before}{steps}{}", &rest[rest.find("deploy:").unwrap()..]);
    let third = world.merge_files(3, &[(".github/liftlock.yml", &mixed)], "feat: sell coats").await;
    world.status(&third, "liftlock/test", "success").await;
    let log = world.log("github:12/shop/3/build/1").await;
    let said: Vec<&str> = log.lines().collect();
    for line in ["/usr/lib/os-release", "from the image", "nothing of it", "the sdk of the image"] {
        assert!(said.contains(&line), "{line} in {log}");
    }
    world.drain().await;
    assert!(!log.contains(PASSWORD) && !world.said_and_kept().await.contains(PASSWORD));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b19_t52_an_image_of_a_registry_that_the_config_does_not_name_is_not_pulled() {
    let digest = format!("sha256:{}", "0a".repeat(32));
    for (host, registries, says) in [
        ("127.0.0.1:2", Vec::new(), "does not know the registry 127.0.0.1:2"),
        ("127.0.0.1:1", vec![registry("127.0.0.1:1", "none", PASSWORD)], "cannot be had"),
    ] {
        let manifest = INSIDE.replace("BASE", &format!("{host}/acme/sdk@{digest}"));
        let mut world = world(&manifest, registries).await;
        let commit = world.merge(1, "feat: sell shoes").await;
        world.status(&commit, "liftlock/build", "failure").await;
        world.settled().await;
        let text = world.sticky();
        assert!(text.contains(says), "{text}");
        world.drain().await;
        world.finish().await;
    }
}

/// Where everybody gets the image.
fn outlet(public: &Running) -> Outlet {
    Outlet {
        name: "docker".parse().unwrap(),
        kind: Kind::Registry(Images {
            address: format!("{}/public", public.address),
            login: Some(("bot".to_owned(), Secret::new(PASSWORD))),
            plain: true,
        }),
        url: None,
        patience: Patience { tries: 3, wait: Span::millis(20) },
        allow: vec!["shop/prod".to_owned().try_into().unwrap()],
    }
}

/// A repository whose last stage publishes its image there.
async fn publisher(registries: &[Registry], outlet: &Outlet) -> World {
    let manifest =
        MANIFEST.replace("deploy: 'echo $STAGE $LIFTLOCK_IMAGE_SDK >> $TARGET/journal'\n", "").replace(
            "stages: [test, prod]",
            "stages: [{name: prod, deploy: [{name: docker, uses: publish, with: {to: docker, what: Sdk}}]}]",
        );
    let mut world = world(&manifest, registries.to_vec()).await;
    world.sleep().await;
    world.outlets = vec![outlet.clone()];
    world.wake().await;
    world
}

/// The same, its own registry, and that of everybody.
pub(super) async fn publishing() -> (World, Running, Running) {
    let (own, public) = (Running::start(), Running::start());
    let world = publisher(&[registry(&own.address, "prod", PASSWORD)], &outlet(&public)).await;
    (world, own, public)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d50_d53_an_image_is_published_at_its_digest_and_a_tag_that_is_another_one_stays() {
    let (own, public) = (Running::start(), Running::start());
    let (outlet, registries) = (outlet(&public), vec![registry(&own.address, "prod", PASSWORD)]);
    let mut first = publisher(&registries, &outlet).await;
    first.merge(1, "feat: sell shoes").await;
    assert!(first.hears(1).await.contains("is live in prod"));
    let digest = image(&first).await;
    assert_eq!(public.tag("public/acme/sdk", "v0.1.0-rc.1"), digest.to_string());
    first.settled().await;
    let sticky = first.sticky().replace('\\', "");
    assert!(sticky.contains("- docker (Sdk): announced, acme/sdk:v0.1.0-rc.1"), "{sticky}");
    assert!(!first.said_and_kept().await.contains(PASSWORD));
    first.finish().await;

    // Another repository with another image under the same name and version.
    let mut second = publisher(&registries, &outlet).await;
    second.merge_files(1, &[("src/app.txt", "another shop")], "feat: sell shoes").await;
    let said = second.hears(1).await.replace('\\', "");
    assert!(said.contains(&format!("acme/sdk:v0.1.0-rc.1 is there already as {digest}")), "{said}");
    assert_eq!(public.tag("public/acme/sdk", "v0.1.0-rc.1"), digest.to_string());
    second.finish().await;
}
