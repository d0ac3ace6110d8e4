//! The rings of `fixtures/manifests/good/3-rings.yml`, as they stand there, from a push to the repository that
//! builds to the end of the last one: real commands, registries, feeds and addresses, with stand-ins for the scripts of
//! others, and time that passes by hand.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use liftlock::domain::event::{ApprovalSide, Form};
use liftlock::domain::group::access::GroupRole;
use liftlock::domain::name::{Digest, PipelineId};
use liftlock::domain::publication::Reached;
use liftlock::domain::release::{Release, ReleaseState};
use liftlock::domain::time::Span;
use liftlock::git::fetch::Remote;
use liftlock::git::origin::Origin;
use liftlock::http::answers::Answers;
use liftlock::http::api::Reader as _;
use liftlock::http::approvals::AskedLine;
use liftlock::https::Authorities;
use liftlock::notify::{Routes, Target as Route};
use liftlock::probe::Reach;
use liftlock::probe::guard::Allowed;
use liftlock::publish::command::Feed;
use liftlock::publish::folder::Folder;
use liftlock::publish::{Images, Kind, Outlet, Patience};
use liftlock::runner::registry::Registry;
use liftlock::runner::target::{Kind as Over, Target};
use liftlock::secret::Secret;
use liftlock::service::library::{Edit, NewValue, Visitor};
use liftlock::upstream::Upstream;

use super::images;
use super::notices::Receiver;
use super::tree::Tree;
use super::world::{ANA, BO, DEV, REPO, STORE_CANARY, World, files_below, repo_id};
use crate::served::Served;

const RINGS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/manifests/good/3-rings.yml"));
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/rings");
const RING: &str = "dotnet-release";
/// The repository where the products are built, and what builds them.
const DOTNET: u64 = 78;
const PRODUCTS: [&str; 3] = ["runtime", "aspnetcore", "sdk"];

/// Who signs off, and where they belong.
const PEOPLE: [(u64, &str, Option<&str>); 6] = [
    (RITA, "rita", Some("acme/release-team")),
    (TARA, "tara", Some("acme/tactics")),
    (RUTH, "ruth", Some("acme/runtime")),
    (AXEL, "axel", Some("acme/aspnet")),
    (CTI, "cti-lead", None),
    (NORA, "nora", None),
];
const RITA: u64 = 21;
const TARA: u64 = 23;
const RUTH: u64 = 24;
const AXEL: u64 = 25;
const CTI: u64 = 26;
const NORA: u64 = 27;

/// The product's own site.
pub(super) struct Site(Served);

impl Site {
    pub(super) fn start() -> Self {
        Self(Served::start(|folder, address| {
            let made = Command::new("openssl")
                .args(
                    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=site"
                        .split(' '),
                )
                .args(
                    "-addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"
                        .split(' '),
                )
                .args("-keyout site.key -out site.pem".split(' '))
                .current_dir(folder)
                .output();
            assert!(made.unwrap().status.success());
            let mut command = Command::new("python3");
            command
                .arg(Path::new(SCRIPTS).join("stand-ins/site.py"))
                .arg(folder)
                .arg(address.port().to_string());
            command
        }))
    }

    /// How often it was asked.
    pub(super) fn asked(&self) -> usize {
        std::fs::read_to_string(self.0.path("asked")).unwrap_or_default().len()
    }

    pub(super) fn address(&self) -> String {
        self.0.door.address().to_string()
    }

    pub(super) fn reach(&self) -> Reach {
        let pem = std::fs::read(self.0.path("site.pem")).unwrap();
        Reach {
            allowed: Allowed::new(["127.0.0.1".to_owned()]).unwrap(),
            authorities: Authorities::from_pem(&pem).unwrap(),
        }
    }
}

/// Everything below a folder, as it is called there.
pub(super) fn below(folder: &str) -> impl Iterator<Item = (String, String)> {
    files_below(Path::new(folder)).into_iter().map(move |path| {
        let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read_to_string(path).unwrap())
    })
}

fn stages(text: &str) -> Vec<liftlock::secret::Allowed> {
    vec![text.to_owned().try_into().unwrap()]
}

fn outlet(name: &str, kind: Kind) -> Outlet {
    let patience = Patience { tries: 3, wait: Span::millis(20) };
    Outlet { name: name.parse().unwrap(), kind, url: None, patience, allow: stages("dotnet-release/publish") }
}

/// Feeds keep what they are given in a folder, a version once.
fn outlets(world: &World, registry: &images::Running) -> Vec<Outlet> {
    let target = world.target();
    let folder = |name: &str| Kind::Folder(Folder { path: target.join(name) });
    let feed = |name: &str| {
        let at = target.join(name).display().to_string();
        let shell = |text: &str| {
            ["/bin/sh", "-ec", text, "sh", "{artifacts}", "{version}"].map(str::to_owned).to_vec()
        };
        Kind::Command(Feed {
            upload: shell("mkdir -p \"$AT/$2\"; cp -r \"$LIFTLOCK_FILES\"/. \"$AT/$2/\""),
            validate: shell("diff -r \"$LIFTLOCK_FILES\" \"$AT/$2\" || exit 1"),
            environment: BTreeMap::from([("AT".to_owned(), at)]),
            secrets: BTreeMap::new(),
        })
    };
    let docker = Images {
        address: format!("{}/public", registry.address),
        login: Some(("bot".to_owned(), Secret::new(images::PASSWORD))),
        plain: true,
    };
    let mut all: Vec<Outlet> = ["cdn", "blob"].map(|name| outlet(name, folder(name))).into();
    all.extend(["nuget", "symbols", "snap", "linux", "dot.net"].map(|name| outlet(name, feed(name))));
    all.push(outlet("docker", Kind::Registry(docker)));
    all
}

fn target(name: &str, role: &str) -> Target {
    Target {
        name: name.parse().unwrap(),
        environment: "production".parse().unwrap(),
        roles: [role.parse().unwrap()].into(),
        kind: Over::Local { address: format!("{name}.example") },
        allow: stages("dotnet-release/publish"),
    }
}

/// A product, for the rings.
fn upstream(name: &str) -> Upstream {
    Upstream {
        name: name.parse().unwrap(),
        repository: "acme/dotnet".parse().unwrap(),
        pipeline: name.parse().unwrap(),
        allow: stages("acme/release:dotnet-release/build"),
        tag: Vec::new(),
    }
}

/// What else runs beside the engine.
struct Around {
    site: Site,
    registry: images::Running,
    slack: std::sync::Arc<Receiver>,
    config: Tree,
    products: Tree,
}

async fn world() -> (World, Around) {
    let beside = |name: &str| name.starts_with("stand-ins/") || name.starts_with("products/");
    let mut files: BTreeMap<String, String> = below(SCRIPTS).filter(|(name, _)| !beside(name)).collect();
    files.insert(".github/liftlock.yml".to_owned(), RINGS.to_owned());
    let mut world = World::asleep(files).await;
    world.sleep().await;
    let (slack, address) = Receiver::start(0).await;
    let path = world.data().with_file_name("config.git");
    let config = Tree::new(&path, BTreeMap::from([("service.txt".to_owned(), "one".to_owned())]));
    let files = below(&format!("{SCRIPTS}/products")).collect();
    let products = Tree::new(&world.data().with_file_name("dotnet.git"), files);
    let around = Around { site: Site::start(), registry: images::Running::start(), slack, config, products };
    {
        let mut state = world.github.state();
        for (id, login, team) in PEOPLE {
            state.user(id, login, "User");
            state.repos.get_mut(&REPO).unwrap().roles.insert(id, ("write", "write"));
            if let Some(team) = team {
                state.teams.entry(team.to_owned()).or_default().insert(id, "active");
            }
        }
        state.repos.get_mut(&REPO).unwrap().name = "acme/release".to_owned();
        let repo = state.repo(DOTNET, "acme/dotnet");
        repo.roles.insert(DEV, ("write", "write"));
        repo.bare = Some(around.products.path().to_owned());
    }
    for (name, text) in below(SCRIPTS) {
        if let Some(program) = name.strip_prefix("stand-ins/").filter(|name| !name.contains('.')) {
            world.install(program, &text);
        }
    }
    // Hours are skipped while work goes on.
    world.lease = Span::days(7);
    world.name = "acme/release";
    world.beside = vec!["acme/dotnet"];
    world.upstreams = PRODUCTS.map(upstream).into();
    world.vault_for = "dotnet-release/staging";
    world.labels.insert("large".parse().unwrap());
    world.probe = around.site.reach();
    world.outlets = outlets(&world, &around.registry);
    world.targets = vec![target("edge-1", "cdn"), target("edge-2", "cdn"), target("feed-1", "nuget")];
    world.registries = vec![Registry {
        instead_of: Some("ghcr.io".to_owned()),
        allow: ["sdk/built", "dotnet-release/*"].map(|text| text.to_owned().try_into().unwrap()).into(),
        ..images::registry(&around.registry.address, "none", images::PASSWORD)
    }];
    world.origins = vec![Origin {
        name: "gitea.example/acme/config".to_owned(),
        remote: Remote::local(&path).unwrap(),
        token: None,
        public: false,
        allow: ["dotnet-release/build", "dotnet-release/publish"]
            .map(|text| text.to_owned().try_into().unwrap())
            .into(),
    }];
    let url = Secret::new(format!("{address}/services/T0/B0/rings"));
    let routes = BTreeMap::from([("slack:#release".parse().unwrap(), Route::Slack { url })]);
    world.notify = Routes { public_url: "https://releases.example".to_owned(), routes };
    world.begin_at("2026-12-09T06:00:00Z");
    world.boot().await;
    groups(&world, &around.site).await;
    world.wake().await;
    (world, around)
}

async fn groups(world: &World, site: &Site) {
    let ana = Visitor { login: Some("ana".parse().unwrap()), name: "ana".to_owned() };
    let drop = world.target().join("drop").display().to_string();
    let host = site.address();
    let infra = [("App.Host", host.as_str()), ("Antares.Enabled", "true")];
    let prep = [("BAR_ID", "20261209.1"), ("DROP", drop.as_str())];
    let ring = [("Ring", "one")];
    let all: [(&str, &[(&str, &str)]); 7] = [
        ("Infra", &infra),
        ("Signing", &ring),
        ("acme.Release.prep", &prep),
        ("acme.Release.source-validation", &ring),
        ("acme.Release.build-validation", &ring),
        ("acme.Release.staging", &ring),
        ("acme.Release.publish", &ring),
    ];
    let rings = PipelineId { repo: repo_id(), name: RING.parse().unwrap() };
    let user: liftlock::domain::group::access::Principal = format!("pipeline:{rings}").parse().unwrap();
    for (name, values) in all {
        let plain =
            |(name, value): &(&str, &str)| (name.parse().unwrap(), NewValue::Plain((*value).to_owned()));
        let edit = Edit {
            set: values.iter().map(plain).collect(),
            grant: BTreeMap::from([(user.clone(), GroupRole::User)]),
            ..Edit::default()
        };
        world.service().library().create(&ana, &name.parse().unwrap(), &edit).await.unwrap().unwrap();
    }
}

/// The only release of the rings.
async fn release(world: &World) -> Release {
    let state = world.state(RING).await;
    let all: Vec<Release> = state.releases.values().map(|release| Release::clone(release)).collect();
    assert_eq!(all.len(), 1, "a push whose builds join makes one release");
    all.into_iter().next().unwrap()
}

/// What a ring worked with at the end.
fn digest_in(release: &Release, ring: &str) -> Digest {
    let run = release.run(&ring.parse().unwrap()).unwrap();
    release.at_revision(release.revision_of(run)).digest.clone().unwrap()
}

/// Who said yes before a ring, or after it.
fn who(release: &Release, ring: &str, side: ApprovalSide) -> Vec<String> {
    let run = release.run(&ring.parse().unwrap()).unwrap();
    let said = match side {
        ApprovalSide::Before => &run.approvals,
        ApprovalSide::After => &run.signoffs,
    };
    said.iter().map(|one| one.standing.person.login.to_string()).collect()
}

fn context(ring: &str) -> String {
    format!("liftlock/{ring}")
}

fn says(world: &World, commit: &str, ring: &str) -> String {
    let state = world.github.state();
    let statuses = state.repos[&REPO].statuses.iter().rev();
    let mut newest = statuses.filter(|status| status.sha == commit && status.context == context(ring));
    newest.next().map_or_else(String::new, |status| status.description.clone())
}

/// Lets a minute pass after another, each once the one before has brought what it could, until a ring says this.
async fn minutes_until(world: &World, around: &Around, (commit, ring, text): (&str, &str, &str)) {
    // Some hours at most.
    for _ in 0..400 {
        if says(world, commit, ring).contains(text) {
            return;
        }
        let asked = around.site.asked();
        world.skip(Span::minutes(1));
        let brought = world.until("what a minute brings", |effects| {
            around.site.asked() > asked || effects.iter().all(|effect| !world.is_open(effect))
        });
        // A worker that had just begun to wait for a minute needs another one.
        let waited = tokio::time::timeout(Duration::from_millis(500), brought).await;
        drop(waited);
    }
    panic!("{ring} does not say {text}: {}", says(world, commit, ring));
}

/// Somebody comments, and the answer says this.
async fn answered(world: &World, person: u64, (line, text): (&str, &str)) {
    world.say(1, person, line).await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains(text), "{line}: {said}");
}

/// What somebody can still decide.
async fn inbox(world: &World, who: &str) -> String {
    let answers = Answers::new(world.service().clone(), None);
    let lines = answers.asked(Some(&who.parse().unwrap())).await.unwrap();
    let one = |line: AskedLine| format!("{who}: {} in {}: {}", line.what, line.stage, line.line);
    lines.into_iter().map(one).collect::<Vec<_>>().join("\n")
}

/// From the push to the ring that is signed off by five.
async fn through_validation(world: &mut World, commit: &str) {
    world.settled().await;
    assert!(world.state(RING).await.releases.is_empty(), "builds that end together are waited for");
    world.pass(Span::minutes(2)).await;
    assert_eq!(
        world.drain().await.len(),
        1,
        "three products were built elsewhere, and the release asks for its first sign-off"
    );
    world.plant("sdl-finds-something");
    answered(world, NORA, ("/approve prep", "nora is not among its approvers")).await;
    world.say(1, RITA, "/approve prep").await;
    let said = world.status(commit, &context("source-validation"), "failure").await;
    world.settled().await;
    let red = "rita: override in source-validation: /override source-validation sdl -- reason";
    assert_eq!((inbox(world, "rita").await, inbox(world, "nora").await), (red.to_owned(), String::new()));
    assert!(said.contains("sdl"), "{said}");
    let heard = world.drain().await.join("\n");
    assert!(
        heard.contains("8.0.1 is live in prep") && heard.contains("failed in source-validation"),
        "{heard}"
    );
    answered(
        world,
        NORA,
        (
            "/override source-validation sdl -- a false alarm, see #7",
            "only release (acme/release-team) overrides in source-validation",
        ),
    )
    .await;
    world.say(1, RITA, "/override source-validation sdl -- a false alarm, see #7").await;
    let said = world.status(commit, &context("source-validation"), "success").await;
    assert!(said.contains("sdl overridden by rita"), "{said}");

    // What others check is told by statuses, which are waited for and asked about every five minutes.
    world.status_says(commit, &context("build-validation"), "checks passed").await;
    world.put_status(commit, ("ci/val-build", "success"), NORA);
    world.put_status(commit, ("vs-insertion", "success"), NORA);
    world.put_status(commit, ("cti", "success"), CTI);
    world.put_status(commit, ("antares-test-env", "success"), NORA);
    world.pass(Span::minutes(6)).await;
    world.drain().await;
    answered(world, DEV, ("/approve build-validation", "Not counted")).await;
    let line = "sign off in build-validation: /approve build-validation 8.0.1";
    assert_eq!(inbox(world, "cti-lead").await, format!("cti-lead: {line}"));
    assert_eq!(inbox(world, "dev").await, "", "an author is not asked");
    for person in [RITA, TARA, RUTH, AXEL] {
        world.say(1, person, "/approve build-validation").await;
    }
    world.settled().await;
    let said = says(world, commit, "build-validation");
    assert!(said.contains("4 of 5 sign-offs") && said.contains("needs 1 of cti"), "{said}");
    assert_eq!(inbox(world, "rita").await, "", "she has said all she can");
    world.say(1, CTI, "/approve build-validation").await;
    world.status(commit, &context("build-validation"), "success").await;
    world.drain().await;
}

/// A day of soaking, and the ring that signs and packs.
async fn through_staging(world: &mut World, commit: &str) {
    let said = says(world, commit, "staging");
    assert!(said.contains("soaks for 1d, until 2026-12-10 06:08 UTC"), "{said}");
    world.pass(Span::hours(21)).await;
    assert!(
        world.wrote("journal").ends_with("az group delete -n PackerResourceGroup --yes\n"),
        "it is past three"
    );
    world.pass(Span::hours(3)).await;
    let offer = world.hears(1).await;
    assert!(
        offer.contains("8.0.1 is deployed to staging") && offer.contains("you approve version `8.0.1`"),
        "{offer}"
    );
    world.say(1, TARA, "/approve staging").await;
    world.status(commit, &context("staging"), "success").await;
    let offer = world.drain().await.join("\n");
    assert!(
        offer.contains("8.0.1 is ready for publish") && offer.contains("not who started the release"),
        "{offer}"
    );
}

/// The last ring: two yeses, a window, a question that others can answer with no, and three portions.
async fn through_publish(world: &mut World, around: &Around, commit: &str) {
    answered(world, DEV, ("/approve publish", "Not counted")).await;
    world.github.state().issue(REPO, 40, NORA, None);
    world.say(1, RITA, "/approve publish").await;
    world.say(1, TARA, "/approve publish").await;
    world.settled().await;
    let said = says(world, commit, "publish");
    assert!(said.contains("window closed, opens Thu 2026-12-10 09:00 America/Los_Angeles"), "{said}");
    world.pass(Span::hours(11)).await;
    minutes_until(world, around, (commit, "publish", "gate known is red: 1 matching issue")).await;
    assert_eq!(around.site.asked(), 0);
    world.github.state().repos.get_mut(&REPO).unwrap().issues.remove(&40);
    for percent in [10, 50] {
        minutes_until(world, around, (commit, "publish", &format!("is held at {percent} % until"))).await;
    }
    minutes_until(world, around, (commit, "publish", "gates health are asked")).await;
    minutes_until(world, around, (commit, "publish", "went live")).await;
    world.status(commit, &context("publish"), "success").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d04_d06_d09_d11_d21_d25_d28_d29_d31_d33_d40_d52_d53_a_staged_release_goes_through_all_its_rings_as_its_manifest_says()
 {
    let (mut world, mut around) = world().await;
    let commit =
        world.merge_files(1, &[("docs/rings.md", "of rings\n")], "feat: a better product (#1)").await;
    world.settled().await;
    let better = [("src/product.txt", "the product, better\n")];
    world.push_beside((DOTNET, &mut around.products), &better, "feat: better").await;
    through_validation(&mut world, &commit).await;
    through_staging(&mut world, &commit).await;
    through_publish(&mut world, &around, &commit).await;
    world.drain().await;

    let release = release(&world).await;
    assert_eq!(release.state(), ReleaseState::Released);
    assert_eq!(release.created.names.name, "acme.Dotnet.Release 20261209.1_1");
    bytes(&world, &release).await;
    // The rings' own contract is asked in each ring that names it, about what that ring has.
    let asked = |ring: &str| {
        let run = release.run(&ring.parse().unwrap()).unwrap();
        let had = release.at_revision(release.revision_of(run));
        format!("{ring} contract {}\n", had.shown_digest().unwrap())
    };
    assert_eq!(world.wrote("contracts"), ["prep", "build-validation", "staging"].map(asked).concat());
    let yes = |ring, side| who(&release, ring, side).join(" ");
    assert_eq!(yes("prep", ApprovalSide::After), "rita");
    assert_eq!(yes("build-validation", ApprovalSide::After), "rita tara ruth axel cti-lead");
    assert_eq!(yes("staging", ApprovalSide::After), "tara");
    assert_eq!(yes("publish", ApprovalSide::Before), "rita tara");
    published(&world, &around, &release, &commit);
    let config = around.config.head("main").unwrap();
    let expected = JOURNAL.replace("COMMIT", &commit).replace("CONFIG", &config);
    // Both components are looked at, at once.
    let mut journal: Vec<String> = world.wrote("journal").lines().map(str::to_owned).collect();
    let at = journal.iter().position(|line| line.contains(" sdl ")).unwrap();
    journal[at..at + 2].sort();
    assert_eq!(journal, expected.lines().collect::<Vec<_>>());
    for ring in ["build", "prep", "source-validation", "build-validation", "staging", "publish"] {
        assert_eq!(world.light(&commit, &context(ring)).as_deref(), Some("success"), "{ring}");
    }
    let told = around.slack.at("/services/T0/B0/rings");
    let titles: Vec<String> = told.iter().map(|came| came.body["text"].to_string()).collect();
    let about = |what: &str| titles.iter().filter(|title| title.contains(what)).count();
    assert_eq!((about("waits for"), about("is live in")), (4, 5), "{titles:?}");
    // What is live can be rolled forward by people, two of them.
    world.say(1, ANA, "/run roll-forward").await;
    let asked = world.hears(1).await;
    assert!(asked.contains("roll-forward run 2") && asked.contains("approval: 1"), "{asked}");
    world.say(1, BO, "/approve roll-forward 2").await;
    world.settled().await;
    let told = world.drain().await.join("\n");
    assert!(world.wrote("journal").ends_with("forward 8.0.1\n"), "{told}");
    assert!(!world.said_and_kept().await.contains(STORE_CANARY), "the signing key is in no text");
    world.finish().await;
}

/// What the scripts of others were asked to do, in order.
const JOURNAL: &str = "prep darc gather-drop
prep notarize
prep darc verify
source-validation sdl acme/release COMMIT
source-validation sdl gitea.example/acme/config CONFIG
az group delete -n PackerResourceGroup --yes
staging sign mac linux
publish triggers stop
publish antares-deploy for edge-1
publish antares-deploy for edge-2
publish antares-deploy for feed-1
publish triggers start nightly
";

/// The products' own bytes go in; prep and staging make some of them anew, each linked to those before, and every ring
/// between has the same.
async fn bytes(world: &World, release: &Release) {
    let built = release.at_revision(1);
    for (alias, product) in [("Runtime", "runtime"), ("AspNetCore", "aspnetcore"), ("Sdk", "sdk")] {
        let repo = format!("github:{DOTNET}").parse().unwrap();
        let id = PipelineId { repo, name: product.parse().unwrap() };
        let state = world.service().journal().load(&id).await.unwrap();
        let product = state.releases.values().next().unwrap();
        let [theirs, ours] = [product, &*built].map(|of| {
            let sealed = of.artifacts.iter().find(|sealed| sealed.alias.as_str() == alias);
            sealed.unwrap().digest.clone()
        });
        assert_eq!(theirs, ours, "{alias}");
    }
    let made: Vec<(String, Vec<String>)> = release
        .revisions
        .iter()
        .map(|revision| {
            let made = revision
                .made
                .iter()
                .map(|made| format!("{}{}", made.alias(), if made.was.is_some() { " anew" } else { "" }));
            (revision.stage.to_string(), made.collect())
        })
        .collect();
    let [prep, staging] = made.as_slice() else { panic!("{made:?}") };
    assert_eq!((prep.0.as_str(), prep.1.join(", ").as_str()), ("prep", "Runtime anew, Sdk anew"));
    assert_eq!(
        (staging.0.as_str(), staging.1.join(", ").as_str()),
        ("staging", "antares, tarball, Sdk anew")
    );
    let [notarized, signed] = ["prep", "staging"].map(|ring| digest_in(release, ring));
    assert_eq!(release.revisions[0].digest_before, built.digest);
    assert_eq!(release.revisions[1].digest_before.as_ref(), Some(&notarized));
    assert_ne!(notarized, signed);
    for ring in ["source-validation", "build-validation"] {
        assert_eq!(digest_in(release, ring), notarized, "{ring}");
    }
    assert_eq!(digest_in(release, "publish"), signed);
    assert_eq!(release.digest.as_ref(), Some(&signed));
}

/// Everything is at every outlet, read back, and the same; both repositories have the tag.
fn published(world: &World, around: &Around, release: &Release, commit: &str) {
    let reached: BTreeMap<String, Reached> =
        release.ledger.iter().map(|(publish, row)| (publish.to_string(), row.reached)).collect();
    let rows = [
        "GitHub release",
        "blob (checksums)",
        "blob (signed bits)",
        "cdn",
        "docker",
        "dot.net",
        "git tags",
        "linux",
        "nuget",
        "snap",
        "symbols",
    ];
    assert_eq!(reached, BTreeMap::from(rows.map(|row| (row.to_owned(), Reached::Announced))));
    for outlet in ["cdn", "blob", "nuget", "symbols", "snap", "linux", "dot.net"] {
        for sealed in &release.artifacts {
            let name = if sealed.form == Form::Folder {
                format!("{}.tar.zst", sealed.alias)
            } else {
                sealed.alias.to_string()
            };
            let path = world.target().join(outlet).join("8.0.1").join(&name);
            assert_eq!(Digest::of_bytes(&std::fs::read(path).unwrap()), sealed.digest, "{name} in {outlet}");
        }
    }
    let sdk = release.artifacts.iter().find_map(|sealed| sealed.image.clone()).unwrap();
    assert_eq!(around.registry.tag("public/acme/sdk", "8.0.1"), sdk.manifest.as_str());
    assert_eq!(world.tree.tags().get("8.0.1").map(String::as_str), Some(commit));
    assert_eq!(around.config.tags().get("8.0.1"), around.config.head("main").as_ref());
    let state = world.github.state();
    let shown = state.repos[&REPO].releases.values().next().unwrap();
    assert!(!shown.draft && shown.files().contains_key("release.json"));
    assert!(shown.body.contains("a better product"), "{}", shown.body);
}
