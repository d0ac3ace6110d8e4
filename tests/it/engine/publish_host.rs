//! Tags in every repository of a release, and the host's own release with its files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use git2::{ObjectType, Oid, Repository};
use hyper::Method;
use liftlock::domain::name::Digest;
use liftlock::domain::publication::{Reached, Row, Words};
use liftlock::domain::release::TagState;
use liftlock::domain::time::Timestamp;
use liftlock::git::fetch::Remote;
use liftlock::git::origin::Origin;
use liftlock::sign::ssh::allowed_signer;
use liftlock::sign::{FOLDER, Keys};
use liftlock::store::stream::EventFilter;

use super::tree::{Tree, sample};
use super::world::{ANA, REPO, World};
use crate::github::{Asset, Fault, Release};

/// As manifests name it; where it is, the config says.
const NAME: &str = "gitea.example/acme/config";
const TAG: &str = "v0.1.0-rc.1";

pub(super) const TAGS: &str = r#"version: 1
name: shop
artifacts: [dist, {alias: Config, from: "git+https://gitea.example/acme/config@main", kind: source}]
build: sh build.sh
stages:
  - name: prod
    deploy: [{name: tags, uses: git-tags, with: {repos: components}}]
"#;

const SIGNED: &str = r#"version: 1
name: shop
artifacts: [dist, {alias: Config, from: "git+https://gitea.example/acme/config@main", kind: source}]
build: sh build.sh
release: {sign_tags: ssh}
stages:
  - name: prod
    deploy: [{name: tags, uses: git-tags}]
"#;

pub(super) const RELEASE: &str = r"version: 1
name: shop
build: sh build.sh
artifacts: [dist, {alias: notes, path: dist/app.txt}]
stages:
  - name: prod
    deploy: [{name: show, uses: github-release, with: {notes: true, metadata: true}}]
";

/// The shop, and beside it the repository with its configuration.
pub(super) async fn with_config(manifest: &str, allow: &[&str]) -> (World, Tree) {
    let mut world = World::asleep(sample(manifest)).await;
    let path = world.data().with_file_name("config.git");
    let config = Tree::new(&path, BTreeMap::from([("service.txt".to_owned(), "one".to_owned())]));
    let allow = allow.iter().map(|text| (*text).to_owned().try_into().unwrap()).collect();
    let remote = Remote::local(&path).unwrap();
    world.origins = vec![Origin { name: NAME.to_owned(), remote, token: None, public: false, allow }];
    world.sleep().await;
    world.wake().await;
    (world, config)
}

/// The kind of the candidate's tag and the commit it leads to.
fn tag_of(tree: &Tree) -> Option<(ObjectType, String)> {
    named(tree, TAG)
}

fn named(tree: &Tree, tag: &str) -> Option<(ObjectType, String)> {
    let repo = Repository::open_bare(tree.path()).unwrap();
    let found = repo.find_reference(&format!("refs/tags/{tag}")).ok()?;
    let kind = repo.find_object(found.target().unwrap(), None).unwrap().kind().unwrap();
    Some((kind, found.peel_to_commit().unwrap().id().to_string()))
}

pub(super) const BOTH: &[&str] = &["acme/shop:shop/build", "acme/shop:shop/prod"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d41_every_repository_of_a_release_has_an_annotated_tag_at_its_commit() {
    let (mut world, config) = with_config(TAGS, BOTH).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    assert_eq!(tag_of(&world.tree), Some((ObjectType::Tag, commit)));
    assert_eq!(tag_of(&config), Some((ObjectType::Tag, config.head("main").unwrap())));
    world.settled().await;
    let sticky = world.sticky().replace('\\', "");
    assert!(
        sticky.contains("git tags: announced, v0.1.0-rc.1 of acme/shop, v0.1.0-rc.1 of gitea.example"),
        "{sticky}"
    );
    world.finish().await;
}

/// What git says of a tag, by the server's public keys; nothing when it is not good.
fn verified(world: &World, tree: &Tree, tag: &str) -> Option<String> {
    let keys = Keys::of_folder(&world.data().join(FOLDER), Timestamp(0)).unwrap().public().unwrap();
    let lines: String = keys.iter().filter_map(allowed_signer).collect();
    let signers = world.target().join("allowed_signers");
    File::create(&signers).unwrap().write_all(lines.as_bytes()).unwrap();
    let said = Command::new("git")
        .arg("-C")
        .arg(tree.path())
        .arg("-c")
        .arg(format!("gpg.ssh.allowedSignersFile={}", signers.display()))
        .args(["verify-tag", tag])
        .output()
        .unwrap();
    let text = String::from_utf8(said.stderr).unwrap() + &String::from_utf8(said.stdout).unwrap();
    said.status.success().then_some(text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d41_t45_signed_tags_are_checked_by_git_itself_and_a_flipped_byte_is_noticed() {
    let (mut world, config) = with_config(SIGNED, BOTH).await;
    let commit = world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    assert_eq!(tag_of(&world.tree), Some((ObjectType::Tag, commit)));
    assert_eq!(tag_of(&config), Some((ObjectType::Tag, config.head("main").unwrap())));
    for tree in [&world.tree, &config] {
        let said = verified(&world, tree, TAG).expect("a good signature");
        assert!(said.contains("Good \"git\" signature for liftlock"), "{said}");
        let repo = Repository::open_bare(tree.path()).unwrap();
        let id = repo.find_reference(&format!("refs/tags/{TAG}")).unwrap().target().unwrap();
        let whole = repo.odb().unwrap().read(id).unwrap().data().to_vec();
        let find = |what: &[u8]| whole.windows(what.len()).position(|at| at == what).unwrap();
        for spot in
            [find(b"Artifact"), find(b"object ") + 10, find(b"tagger"), find(b"SIGNATURE-----\n") + 60]
        {
            let mut changed = whole.clone();
            changed[spot] = if changed[spot] == b'a' { b'b' } else { b'a' };
            let id = repo.odb().unwrap().write(ObjectType::Tag, &changed).unwrap();
            repo.reference("refs/tags/changed", id, true, "a flipped byte").unwrap();
            assert_eq!(verified(&world, tree, "changed"), None, "at {spot}");
        }
    }
    world.finish().await;
}

/// At the right commit and yet nobody's word: whoever runs `git tag -v` would learn nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d41_t45_a_tag_without_the_servers_signature_is_not_the_one_that_was_asked_for() {
    let (mut world, config) = with_config(SIGNED, BOTH).await;
    let head = config.head("main").unwrap();
    config.set(&format!("refs/tags/{TAG}"), &head);
    world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    let what = "is there already as a tag without this server's signature, and this release has";
    assert!(said.contains(&format!("{TAG} of gitea.example/acme/config {what}")), "{said}");
    assert_eq!(tag_of(&config), Some((ObjectType::Commit, head)), "it is not replaced");

    // In its own repository somebody was there before the build was over.
    let slow = SIGNED.replace("build: sh build.sh", "build: [sleep 5, sh build.sh]");
    let commit = world.push_files(&[(".github/liftlock.yml", &slow)], "feat: sell hats").await;
    while world.state("shop").await.releases.len() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.tree.set("refs/tags/v0.1.0-rc.2", &commit);
    world.status(&commit, "liftlock/prod", "failure").await;
    world.settled().await;
    let all = world.said_and_kept().await.replace('\\', "");
    assert!(all.contains(&format!("v0.1.0-rc.2 of acme/shop {what}")), "{all}");
    assert_eq!(named(&world.tree, "v0.1.0-rc.2"), Some((ObjectType::Commit, commit)));
    let state = world.state("shop").await;
    let second = state.releases.values().next_back().unwrap();
    assert_eq!(second.tag, TagState::Unknown, "it is not the release's own");
    assert!(all.contains("tag v0.1.0-rc.2 is there already as a tag without"), "an alarm: {all}");
    world.drain().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d41_t35_a_tag_that_names_another_commit_is_a_hard_stop_and_is_not_moved() {
    let (mut world, mut config) = with_config(TAGS, BOTH).await;
    let other = config.head("main").unwrap();
    config.commit_on("main", (Vec::new(), &[("service.txt", "two")]), "feat: all new");
    let repo = Repository::open_bare(config.path()).unwrap();
    let there = repo.find_object(Oid::from_str(&other).unwrap(), None).unwrap();
    repo.tag_lightweight(TAG, &there, false).unwrap();
    let commit = world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(
        said.contains(
            "at \"tags\"** (git tags: v0.1.0-rc.1 of gitea.example/acme/config is there already as"
        ),
        "{said}"
    );
    assert!(said.contains("release a new version; there of it: v0.1.0-rc.1 of acme/shop"), "{said}");
    world.status(&commit, "liftlock/prod", "failure").await;
    assert_eq!(tag_of(&config), Some((ObjectType::Commit, other)));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d41_t53_another_repository_is_written_to_by_the_stages_it_is_for() {
    let (mut world, config) = with_config(TAGS, &["acme/shop:shop/build"]).await;
    world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(
        said.contains("the repository gitea.example/acme/config is not for acme/shop:shop/prod"),
        "{said}"
    );
    assert_eq!(tag_of(&config), None);
    world.finish().await;
}

/// The one release of the fake.
fn only(world: &World) -> Release {
    let state = world.github.state();
    let [release] = state.repos[&REPO].releases.values().collect::<Vec<_>>()[..] else {
        panic!("{:?}", state.repos[&REPO].releases)
    };
    release.clone()
}

fn published(world: &World) -> Release {
    let release = only(world);
    assert!(!release.draft && release.early, "{release:?}");
    assert_eq!((release.tag.as_str(), release.name.as_str()), (TAG, TAG));
    let files = release.files();
    assert_eq!(
        files.keys().copied().collect::<Vec<_>>(),
        ["SHA256SUMS", "dist.tar.zst", "notes", "release.json"]
    );
    let document: serde_json::Value = serde_json::from_slice(files["release.json"]).unwrap();
    assert_eq!(document["version"], TAG);
    let sums = String::from_utf8(files["SHA256SUMS"].to_vec()).unwrap();
    for name in ["dist.tar.zst", "notes"] {
        assert!(sums.contains(&format!("{}  {name}\n", Digest::of_bytes(files[name]).hex())), "{sums}");
    }
    assert!(release.assets.values().all(|asset| asset.whole));
    release
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d52_t48_a_draft_gets_its_files_is_compared_and_published_although_an_upload_breaks_off() {
    let mut world = World::with(RELEASE).await;
    world.github.state().breaks_off = Some("dist.tar.zst".to_owned());
    world.github.fault(&Method::POST, "/releases", 1, Fault::DropAfter);
    let commit = world.merge(1, "feat: sell <b>shoes</b> to @everyone ![](http://t) `#1`").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    let release = published(&world);
    assert_eq!(release.commit, commit);
    assert!(
        release.body.contains("The first release.") && release.body.contains(&commit[..7]),
        "{}",
        release.body
    );
    for harm in ["<b>", " @everyone", "![](", "`#1`"] {
        assert!(!release.body.contains(harm), "{harm} in {}", release.body);
    }
    world.settled().await;
    let notes = world.state("shop").await.releases.values().next().unwrap().notes.clone().unwrap();
    assert!(notes.frozen && release.body.starts_with(&notes.text), "{notes:?}");
    let sticky = world.sticky().replace('\\', "");
    let page = format!("([look at it](<https://github.example/acme/shop/releases/tag/{TAG}>))");
    assert!(sticky.contains("GitHub release: announced") && sticky.contains(&page), "{sticky}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d52_d53_a_draft_of_a_former_try_is_taken_up_and_private_files_are_known_by_the_hosts_digest() {
    let mut world = World::with(RELEASE).await;
    {
        let mut state = world.github.state();
        let repo = state.repos.get_mut(&REPO).unwrap();
        repo.private = true;
        let half = Asset { name: "notes".to_owned(), bytes: "the sh".into(), whole: false };
        let draft = Release {
            tag: TAG.to_owned(),
            name: TAG.to_owned(),
            draft: true,
            early: true,
            assets: BTreeMap::from([(7, half)]),
            ..Release::default()
        };
        repo.releases.insert(6, draft);
    }
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    published(&world);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d52_a_file_that_is_not_of_the_release_keeps_it_a_draft() {
    let mut world = World::with(RELEASE).await;
    {
        let mut state = world.github.state();
        let other = Asset { name: "malware.exe".to_owned(), bytes: "x".into(), whole: true };
        let assets = BTreeMap::from([(7, other)]);
        let draft = Release {
            tag: TAG.to_owned(),
            name: TAG.to_owned(),
            draft: true,
            early: true,
            assets,
            ..Release::default()
        };
        state.repos.get_mut(&REPO).unwrap().releases.insert(6, draft);
    }
    let commit = world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("the release v0.1.0-rc.1 on the host has malware.exe besides"), "{said}");
    world.status(&commit, "liftlock/prod", "failure").await;
    assert!(only(&world).draft);
    world.github.state().repos.get_mut(&REPO).unwrap().releases.get_mut(&6).unwrap().assets.remove(&7);
    world.say(1, ANA, "/retry prod").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    published(&world);
    world.finish().await;
}

const FINAL: &str = r"version: 1
name: shop
triggers: {push: {}, tags: ['v*']}
build: sh build.sh
artifacts: dist
deploy: sh deploy.sh
stages:
  - test
  - name: prod
    deploy:
      - {name: tag, uses: git-tags, with: {final: true}}
      - {name: show, uses: github-release, with: {final: true}}
";

/// Where the candidate's final name comes back as a push, nothing is built again; the next candidate counts from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d41_d52_the_last_stage_gives_a_candidate_its_final_name() {
    let mut world = World::with(FINAL).await;
    for (thread, change, version, tag) in
        [(1, "feat: sell shoes", "v0.1.0-rc.1", "v0.1.0"), (2, "fix: sell hats", "v0.1.1-rc.1", "v0.1.1")]
    {
        let commit = world.merge(thread, change).await;
        assert!(world.hears(thread).await.contains(&format!("{version} is live in prod")));
        assert_eq!(named(&world.tree, tag), Some((ObjectType::Tag, commit.clone())));
        {
            let state = world.github.state();
            let shown = state.repos[&REPO].releases.values().find(|shown| shown.tag == tag).unwrap();
            assert!(!shown.draft && !shown.early && shown.name == tag && shown.commit == commit);
        }
        let hook = world.push_hook(&format!("refs/tags/{tag}"), None, Some(&commit));
        assert_eq!(world.deliver(&hook).await, 202);
        world.settled().await;
        world.service().reconcile_once().await;
        world.settled().await;
        let state = world.state("shop").await;
        assert_eq!(state.releases.len(), usize::try_from(thread).unwrap(), "{tag} is no release of its own");
        assert_eq!(state.releases.values().next_back().unwrap().created.version.to_string(), version);
    }
    world.finish().await;
}

/// Nothing tags the release before the host's own is made.
const SHOWN_ALONE: &str = r"version: 1
name: shop
build: sh build.sh
artifacts: dist
stages:
  - name: prod
    deploy: [{name: show, uses: github-release, with: {notes: true, final: true}}]
";

/// What a tool that drafts releases by itself leaves: of another commit, with words of its own.
fn drafted(commit: &str) -> Release {
    Release {
        tag: "v0.1.0".to_owned(),
        commit: commit.to_owned(),
        name: "Next".to_owned(),
        body: "Everything that is on main.".to_owned(),
        draft: true,
        early: true,
        assets: BTreeMap::new(),
    }
}

fn put_there(world: &World, release: Release) {
    world.github.state().repos.get_mut(&REPO).unwrap().releases.insert(6, release);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d41_d52_somebody_elses_draft_gets_our_commit_and_our_words_before_anybody_sees_it() {
    let mut world = World::with(SHOWN_ALONE).await;
    let other = world.tree.head("main").unwrap();
    put_there(&world, drafted(&other));
    let commit = world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    let shown = only(&world);
    assert!(!shown.draft && !shown.early, "{shown:?}");
    assert_eq!((shown.name.as_str(), &shown.commit), ("v0.1.0", &commit));
    assert!(shown.body.contains("sell shoes") && !shown.body.contains("Everything"), "{}", shown.body);
    assert_eq!(named(&world.tree, "v0.1.0"), Some((ObjectType::Tag, commit)));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d41_d52_what_is_published_with_other_words_or_a_tag_elsewhere_is_left_as_it_is() {
    let mut world = World::with(SHOWN_ALONE).await;
    let other = world.tree.head("main").unwrap();
    put_there(&world, Release { draft: false, ..drafted(&other) });
    let commit = world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(
        said.contains("the release v0.1.0 on the host is published already, with another text"),
        "{said}"
    );
    world.status(&commit, "liftlock/prod", "failure").await;
    assert!(only(&world).assets.is_empty() && only(&world).body.contains("Everything"));
    put_there(&world, drafted(&other));
    world.tree.set("refs/tags/v0.1.0", &other);
    world.say(1, ANA, "/retry prod").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(
        said.contains(&format!("the tag v0.1.0 is there already and names {other}, not {commit}")),
        "{said}"
    );
    assert!(only(&world).draft);
    world.finish().await;
}

/// Its own interface says what the files are, and nobody else can get them, or something else stands with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d52_t45_a_public_release_counts_when_everybody_gets_it_and_nothing_else_with_it() {
    let mut world = World::with(RELEASE).await;
    world.github.state().downloads_are_lost = true;
    let commit = world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("dist.tar.zst is not there, read back 5 times"), "{said}");
    assert!(!only(&world).draft);
    let malware = Asset { name: "malware.exe".to_owned(), bytes: "x".into(), whole: true };
    {
        let mut state = world.github.state();
        state.downloads_are_lost = false;
        state.repos.get_mut(&REPO).unwrap().releases.values_mut().next().unwrap().assets.insert(7, malware);
    }
    world.say(1, ANA, "/retry prod").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("the release v0.1.0-rc.1 on the host has malware.exe besides"), "{said}");
    world.status(&commit, "liftlock/prod", "failure").await;
    let state = world.state("shop").await;
    let row = state.releases.values().next().unwrap().ledger.values().next().unwrap();
    assert_eq!(row.reached, Reached::Visible);
    {
        let mut state = world.github.state();
        state.repos.get_mut(&REPO).unwrap().releases.values_mut().next().unwrap().assets.remove(&7);
    }
    world.say(1, ANA, "/retry prod").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    published(&world);
    world.finish().await;
}

/// The one release of the fake, to be changed as a person with write access does.
fn edit(world: &World, how: impl FnOnce(&mut Release)) {
    let mut state = world.github.state();
    how(state.repos.get_mut(&REPO).unwrap().releases.values_mut().next().unwrap());
}

/// The one row of the one release.
async fn row(world: &World) -> Row {
    let state = world.state("shop").await;
    state.releases.values().next().unwrap().ledger.values().next().unwrap().clone()
}

/// Its files are published again where one is gone, and what the person wrote stays; its name and its mark are no text.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d52_d53_a_text_that_a_person_edited_is_left_said_and_keeps_no_file_from_being_published() {
    let mut world = World::with(RELEASE).await;
    world.github.state().downloads_are_lost = true;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is not there, read back 5 times"));
    world.github.state().downloads_are_lost = false;
    edit(&world, |release| {
        "Thanks to everybody who helped!".clone_into(&mut release.body);
        "The big one".clone_into(&mut release.name);
        release.assets.retain(|_, asset| asset.name != "notes");
    });
    world.say(1, ANA, "/retry prod").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(
        said.contains(&format!("on the host has another name; call it `{TAG}` there")),
        "the way out is said: {said}"
    );
    assert_eq!(row(&world).await.words, Words::Edited);
    edit(&world, |release| TAG.clone_into(&mut release.name));
    world.say(1, ANA, "/retry prod").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    assert_eq!(published(&world).body, "Thanks to everybody who helped!");
    world.settled().await;
    let sticky = world.sticky().replace('\\', "");
    assert!(sticky.contains("notes, SHA256SUMS, release.json; its text was edited there"), "{sticky}");
    assert!(sticky.contains("`liftlock notes` prints the release's own"), "{sticky}");
    let filter = EventFilter { kind: Some("publication_worded".to_owned()), ..EventFilter::default() };
    assert_eq!(world.store().events(&filter, 0, 100).await.unwrap().len(), 1, "it is said once");
    world.finish().await;
}

const BEHIND: &str = r"version: 1
name: shop
triggers: {push: {}, tags: ['v*']}
build: sh build.sh
artifacts: dist
deploy: sh deploy.sh
stages:
  - name: prod
    deploy: [{name: tag, uses: git-tags, with: {final: true}}]
  - {name: mirror, approval: 1}
";
const FINAL_TAG: &str = "refs/tags/v0.1.0";

/// What is known of the only release's final tag; it is the only one, whatever became of the tag.
async fn final_tag(world: &World) -> TagState {
    world.settled().await;
    let state = world.state("shop").await;
    let [release] = state.releases.values().collect::<Vec<_>>()[..] else { panic!("one release") };
    release.final_tag.clone()
}

/// A webhook tells of the move, and after it a look at the repository; neither makes a release of where the tag is now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d41_t35_a_final_tag_that_moved_or_is_gone_is_an_alarm_and_is_not_built() {
    let mut world = World::with(BEHIND).await;
    let other = world.tree.head("main").unwrap();
    let commit = world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is ready for mirror"));
    assert_eq!(final_tag(&world).await, TagState::There);
    let theirs = named(&world.tree, "v0.1.0").unwrap();
    assert_eq!(theirs.1, commit);

    world.tree.set(FINAL_TAG, &other);
    let hook = world.push_hook(FINAL_TAG, Some(&commit), Some(&other));
    assert_eq!(world.deliver(&hook).await, 202);
    let alarm = world.hears(1).await.replace('\\', "");
    let (from, to) = (&commit[..7], &other[..7]);
    let moved = format!("Tag v0.1.0, the final name of v0.1.0-rc.1, moved from {from} to {to}.");
    assert!(alarm.contains(&moved), "{alarm}");
    assert_eq!(final_tag(&world).await, TagState::Moved(Some(other.parse().unwrap())));
    let ignored = world.store().deliveries(1, None).await.unwrap().remove(0).error.unwrap();
    assert!(ignored.contains(&format!("the final name of v0.1.0-rc.1, which stays at {from}")), "{ignored}");
    world.status_says(&commit, "liftlock/mirror", &format!("tag v0.1.0 moved from {from} to {to}")).await;

    // Nobody tells that it is gone, and nobody that it is back.
    world.tree.unset(FINAL_TAG);
    world.service().reconcile_once().await;
    let alarm = world.hears(1).await.replace('\\', "");
    assert!(alarm.contains("Tag v0.1.0, the final name of v0.1.0-rc.1, is gone; it stood at"), "{alarm}");
    assert_eq!(final_tag(&world).await, TagState::Moved(None));
    world.tree.set(FINAL_TAG, &commit);
    world.service().reconcile_once().await;
    assert_eq!(final_tag(&world).await, TagState::There);

    // It is asked once more right before the stage behind starts.
    world.tree.set(FINAL_TAG, &other);
    world.say(1, ANA, "/approve mirror").await;
    assert!(world.hears(1).await.replace('\\', "").contains(&moved));
    world.settled().await;
    assert_eq!(world.live(), Vec::<String>::new());
    world.tree.set(FINAL_TAG, &commit);
    let hook = world.push_hook(FINAL_TAG, Some(&other), Some(&commit));
    assert_eq!(world.deliver(&hook).await, 202);
    assert!(world.hears(1).await.contains("is live in mirror"));
    assert_eq!(world.live(), ["mirror v0.1.0-rc.1"]);
    world.finish().await;
}
