//! Publishing: files put at outlets that never replace one, read back as everybody gets them, a ledger of it all.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use liftlock::domain::evidence::current;
use liftlock::domain::name::Digest;
use liftlock::domain::publication::Reached;
use liftlock::publish::folder::Folder;
use liftlock::publish::http::Http;
use liftlock::publish::{Kind, Outlet};
use liftlock::secret::Secret;
use liftlock::store::stream::EventFilter;

use super::tree::sample;
use super::world::{ANA, World, cdn_outlet};

/// Bits and checksums, each with a row of its own, and a proof of the feed's own.
const MANIFEST: &str = r#"version: 1
name: shop
build: sh build.sh
artifacts: [dist, {alias: notes, path: dist/app.txt}]
stages:
  - name: prod
    deploy:
      - {name: bits, uses: publish, with: {to: cdn, what: signed-bits}}
      - {name: sums, uses: publish, with: {to: cdn, what: checksums}, validate: 'test ! -e "$TARGET/broken-$LIFTLOCK_VERSION"'}
"#;
const PROOF: &str = "Bearer canary-of-cdn-11d04b86";

fn outlet(kind: Kind, url: Option<String>) -> Outlet {
    Outlet { url, ..cdn_outlet(kind, "shop/prod") }
}

async fn world(outlets: impl Fn(&World) -> Vec<Outlet>) -> World {
    World::publishing(sample(MANIFEST), outlets).await
}

fn folder(world: &World) -> Vec<Outlet> {
    vec![outlet(Kind::Folder(Folder { path: world.target().join("cdn") }), None)]
}

fn published(world: &World, version: &str) -> BTreeMap<String, String> {
    let Ok(entries) = std::fs::read_dir(world.target().join("cdn").join(version)) else {
        return BTreeMap::new();
    };
    let one = |path: std::path::PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, Digest::of_bytes(&std::fs::read(path).unwrap()).hex().to_owned())
    };
    entries.map(|entry| one(entry.unwrap().path())).collect()
}

async fn reached(world: &World, no: u32) -> BTreeMap<String, Reached> {
    let state = world.state("shop").await;
    let release = state.releases.values().find(|release| release.no().0.get() == no).unwrap();
    release.ledger.iter().map(|(publish, row)| (publish.to_string(), row.reached)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d42_d43_d44_bits_and_checksums_are_published_in_a_folder_of_their_version() {
    let mut world = world(folder).await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    let there = published(&world, "v0.1.0-rc.1");
    let names: Vec<&str> = there.keys().map(String::as_str).collect();
    assert_eq!(names, ["SHA256SUMS", "dist.tar.zst", "notes"]);
    let sums = std::fs::read_to_string(world.target().join("cdn/v0.1.0-rc.1/SHA256SUMS")).unwrap();
    for name in ["dist.tar.zst", "notes"] {
        assert!(sums.contains(&format!("{}  {name}\n", there[name])), "{sums}");
    }
    let both = BTreeMap::from(
        ["cdn (checksums)", "cdn (signed bits)"].map(|row| (row.to_owned(), Reached::Announced)),
    );
    assert_eq!(reached(&world, 1).await, both);
    world.settled().await;
    let sticky = world.sticky().replace('\\', "");
    assert!(sticky.contains("**prod: published**"), "{sticky}");
    assert!(sticky.contains("- cdn (checksums): announced, SHA256SUMS"), "{sticky}");

    // Another release has a folder of its own.
    world.merge(2, "feat: sell hats").await;
    assert!(world.hears(2).await.contains("is live in prod"));
    assert_eq!(published(&world, "v0.1.0-rc.1"), there);
    assert_eq!(published(&world, "v0.1.0-rc.2").len(), 3);
    let filter = EventFilter { kind: Some("publication_planned".to_owned()), ..EventFilter::default() };
    assert_eq!(world.store().events(&filter, 0, 100).await.unwrap().len(), 4, "no row begins anew");
    world.finish().await;
}

/// People may look for days at what a stage asks them; no webhook told what became of the release meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t35_t37_what_is_published_behind_a_pause_still_stands() {
    let asking = MANIFEST.replace("    deploy:\n", "    deploy:\n      - {name: look, pause: All well?}\n");
    let mut world = World::publishing(sample(&asking), folder).await;
    let before = world.tree.head("main").unwrap();
    let commit = world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("stopped in prod"));
    world.settled().await;
    world.tree.set("refs/tags/v0.1.0-rc.1", &before);
    world.say(1, ANA, "/resume prod -- it is").await;
    let said = (world.hears(1).await + &world.hears(1).await).replace('\\', "");
    let moved = format!("v0.1.0-rc.1 moved from {} to {}", &commit[..7], &before[..7]);
    assert!(said.contains(&format!("Tag {moved}. The release keeps")), "{said}");
    assert!(said.contains(&format!("tag {moved}; restore it, or release a new version")), "{said}");
    assert_eq!(published(&world, "v0.1.0-rc.1"), BTreeMap::new());

    let lost = world.merge(2, "feat: sell hats").await;
    assert!(world.hears(2).await.contains("stopped in prod"));
    world.settled().await;
    world.tree.set("refs/heads/main", &commit);
    world.say(2, ANA, "/resume prod -- it is").await;
    let said = world.hears(2).await.replace('\\', "");
    assert!(said.contains(&format!("its commit {} is no longer on main", &lost[..7])), "{said}");
    assert_eq!(published(&world, "v0.1.0-rc.2"), BTreeMap::new());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d53_other_bytes_under_the_name_are_a_hard_stop_and_stay() {
    let mut world = world(folder).await;
    let before = world.target().join("cdn/v0.1.0-rc.1");
    std::fs::create_dir_all(&before).unwrap();
    let mut file = std::fs::File::create(before.join("notes")).unwrap();
    file.write_all(b"of somebody else").unwrap();
    let commit = world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("failed in prod at \"bits\""), "{said}");
    assert!(said.contains("cdn (signed bits): notes is there already as sha256:"), "{said}");
    assert!(said.contains("what is published is never replaced, so release a new version"), "{said}");
    world.status(&commit, "liftlock/prod", "failure").await;
    assert_eq!(std::fs::read_to_string(before.join("notes")).unwrap(), "of somebody else");
    assert_eq!(published(&world, "v0.1.0-rc.1").len(), 1, "and nothing beside it");
    world.say(1, ANA, "/why prod").await;
    let why = world.hears(1).await.replace('\\', "");
    assert!(why.contains("cdn (signed bits): planned; notes is there already"), "{why}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d39_d53_a_proof_that_fails_is_a_failure_and_the_retry_does_only_what_is_missing() {
    let mut world = world(folder).await;
    world.plant("broken-v0.1.0-rc.1");
    world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("at \"sums\"** (`validate` ended with exit code 1"), "{said}");
    world.unplant("broken-v0.1.0-rc.1");
    // Somebody removed a file: it is put again, and the row says so.
    std::fs::remove_file(world.target().join("cdn/v0.1.0-rc.1/notes")).unwrap();
    world.say(1, ANA, "/retry prod").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    assert_eq!(published(&world, "v0.1.0-rc.1").len(), 3);
    let log = world.log("github:12/shop/1/prod/2").await;
    assert!(log.contains("put notes to cdn") && !log.contains("put dist.tar.zst"), "{log}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t53_an_outlet_is_for_the_stages_it_names_and_nothing_has_begun_without_one() {
    for (allow, why) in [
        (Some("shop/test"), "the outlet `cdn` is not for acme/shop:shop/prod"),
        (None, "the server has no outlet `cdn`; add a [[publish]] with name = \"cdn\" to its config"),
    ] {
        let mut world = world(|world| {
            let allow = allow.map(|allow| vec![allow.to_owned().try_into().unwrap()]);
            allow.into_iter().map(|allow| Outlet { allow, ..folder(world).remove(0) }).collect()
        })
        .await;
        world.merge(1, "feat: sell shoes").await;
        let said = world.hears(1).await.replace('\\', "");
        assert!(said.contains("did not start") && said.contains(why), "{said}");
        assert!(!world.target().join("cdn").exists());
        world.finish().await;
    }
}

/// An upload server with a CDN before it, which shows what it has only when it is asked for it often enough.
#[derive(Clone, Default)]
pub(super) struct Cdn(Arc<Mutex<Shelf>>);

impl Cdn {
    /// What was put there, each with how often.
    pub(super) fn puts(&self) -> BTreeMap<String, String> {
        let shelf = self.0.lock().unwrap();
        let count = |name: &String| shelf.puts.iter().filter(|put| *put == name).count().to_string();
        shelf.puts.iter().map(|name| (name.clone(), count(name))).collect()
    }
}

/// A world that publishes there.
pub(super) async fn with_cdn() -> (Cdn, World) {
    let (cdn, outlet) = cdn().await;
    (cdn, world(|_| vec![outlet.clone()]).await)
}

#[derive(Default)]
struct Shelf {
    files: BTreeMap<String, Bytes>,
    /// How often a file is not shown although it is there.
    late: u32,
    /// How often a put is answered 503 though the file was taken.
    shaky: u32,
    /// What is shown in place of this file for good.
    spoiled: Option<String>,
    puts: Vec<String>,
    asked: BTreeMap<String, u32>,
}

async fn take(
    State(cdn): State<Cdn>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let mut shelf = cdn.0.lock().unwrap();
    if headers.get("authorization").is_none_or(|value| value != PROOF) {
        return StatusCode::FORBIDDEN;
    }
    assert_eq!(headers.get("if-none-match").unwrap(), "*");
    if shelf.files.contains_key(&name) {
        return StatusCode::PRECONDITION_FAILED;
    }
    shelf.puts.push(name.clone());
    shelf.files.insert(name, body);
    if shelf.shaky > 0 {
        shelf.shaky -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    StatusCode::CREATED
}

async fn show(
    State(cdn): State<Cdn>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Bytes, StatusCode> {
    assert!(headers.get("authorization").is_none(), "reading back is everybody's");
    let mut shelf = cdn.0.lock().unwrap();
    let Some(found) = shelf.files.get(&name).cloned() else { return Err(StatusCode::NOT_FOUND) };
    let asked = shelf.asked.entry(name.clone()).or_default();
    *asked += 1;
    if *asked <= shelf.late {
        return Err(StatusCode::NOT_FOUND);
    }
    let spoiled = shelf.spoiled.as_ref().is_some_and(|spoiled| name.ends_with(spoiled.as_str()));
    Ok(if spoiled { Bytes::from_static(b"<html>not what you wanted") } else { found })
}

/// What everybody is told to ask is not where it is.
async fn moved(Path(name): Path<String>) -> (StatusCode, [(&'static str, String); 1]) {
    (StatusCode::FOUND, [("location", format!("/cdn/{name}"))])
}

/// Starts both, and answers the outlet.
async fn cdn() -> (Cdn, Outlet) {
    let cdn = Cdn::default();
    let app = Router::new()
        .route("/up/{*name}", axum::routing::put(take))
        .route("/cdn/{*name}", get(show))
        .route("/moved/{*name}", get(moved))
        .with_state(cdn.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let headers = vec![("authorization".parse().unwrap(), Secret::new(PROOF))];
    let http = Http { put: format!("{at}/up"), headers };
    (cdn, outlet(Kind::Http(http), Some(format!("{at}/cdn"))))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d42_d43_d44_t47_what_is_put_is_read_back_through_the_public_address_until_it_is_there() {
    let (cdn, outlet) = cdn().await;
    {
        let mut shelf = cdn.0.lock().unwrap();
        (shelf.late, shelf.shaky) = (2, 1);
    }
    let address = outlet.address("v0.1.0-rc.1").unwrap();
    let mut world = world(|_| vec![outlet.clone()]).await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    {
        let shelf = cdn.0.lock().unwrap();
        let puts: Vec<&str> = shelf.puts.iter().map(String::as_str).collect();
        assert_eq!(puts, ["v0.1.0-rc.1/dist.tar.zst", "v0.1.0-rc.1/notes", "v0.1.0-rc.1/SHA256SUMS"]);
        assert!(shelf.asked.values().all(|asked| *asked > 2), "{:?}", shelf.asked);
    }
    world.settled().await;
    let sticky = world.sticky().replace('\\', "");
    assert!(sticky.contains(&format!("announced, SHA256SUMS ([look at it](<{address}>))")), "{sticky}");
    let log = world.log("github:12/shop/1/prod/1").await;
    assert!(log.contains("read back: notes is not there"), "{log}");
    assert!(!world.said_and_kept().await.contains("canary-of-cdn"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d42_d53_t45_what_everybody_gets_is_not_what_was_put_and_the_rest_is_done_when_asked() {
    let (cdn, outlet) = cdn().await;
    cdn.0.lock().unwrap().spoiled = Some("notes".to_owned());
    let mut world = world(|_| vec![outlet.clone()]).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("at \"bits\"** (cdn (signed bits): notes is sha256:"), "{said}");
    assert!(said.contains("read back 4 times; all of it is there: dist.tar.zst, notes"), "{said}");
    assert!(said.contains("`/retry prod` goes on with what is missing"), "{said}");
    world.status(&commit, "liftlock/prod", "failure").await;
    assert_eq!(
        reached(&world, 1).await,
        BTreeMap::from([("cdn (signed bits)".to_owned(), Reached::Visible)])
    );
    cdn.0.lock().unwrap().spoiled = None;
    world.say(1, ANA, "/retry prod").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    assert_eq!(cdn.0.lock().unwrap().puts.len(), 3, "nothing is put twice");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d42_what_everybody_gets_may_stand_behind_a_redirect_on_the_same_server() {
    let (cdn, outlet) = cdn().await;
    let url = outlet.url.as_ref().map(|url| url.replace("/cdn", "/moved"));
    let mut world = world(|_| vec![Outlet { url: url.clone(), ..outlet.clone() }]).await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    assert_eq!(cdn.puts().len(), 3);
    world.finish().await;
}

const PROVEN: &str = r"version: 1
name: shop
build: sh build.sh
artifacts: [dist, {alias: notes, path: dist/app.txt}]
deploy: sh deploy.sh
stages:
  - test
  - name: prod
    deploy:
      - {name: files, uses: publish, with: {to: cdn}}
      - {name: proofs, uses: publish, with: {to: cdn, what: evidence}}
";

/// What is published can be proven by whoever gets it there: the signed lists and statements stand beside the files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d42_e17_what_is_signed_of_a_release_is_published_beside_its_files() {
    let mut world = World::publishing(sample(PROVEN), folder).await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    let there = published(&world, "v0.1.0-rc.1");
    let before = "passed-test-1.dsse.json";
    for name in ["dist.tar.zst", "notes", "SHA256SUMS", "SHA256SUMS.sig", "provenance.dsse.json", before] {
        assert!(there.contains_key(name), "{name} is missing: {there:#?}");
    }
    assert!(there.keys().any(|name| name.starts_with("stage-test.")), "{there:#?}");
    // Whether it is good itself is known when it is over.
    assert!(!there.keys().any(|name| name.contains("prod")), "{there:#?}");
    world.settled().await;
    // It was no luck that the other stage was signed by then.
    let log = world.store().events(&EventFilter::default(), 0, 1_000).await.unwrap();
    let first = |kind: &str, what: &str| {
        let of = log.iter().position(|event| event.kind == kind && event.data.contains(what));
        of.unwrap_or_else(|| panic!("{what} is in no {kind}"))
    };
    assert!(first("attested", before) < first("stage_moved", "\"prod\""));
    let state = world.state("shop").await;
    let release = state.releases.values().next().unwrap();
    for kept in current(release).filter(|kept| there.contains_key(&kept.name)) {
        assert_eq!(there[&kept.name], kept.digest.hex(), "{}", kept.name);
    }
    assert_eq!(reached(&world, 1).await["cdn (evidence)"], Reached::Announced);
    world.finish().await;
}
