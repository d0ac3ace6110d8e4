//! Pipelines that are made of what other repositories build (seed 003, whose components each have one).

use liftlock::domain::name::PipelineId;
use liftlock::domain::publication::Publish;
use liftlock::domain::release::BuildState;
use liftlock::store::effect::{Effect, EffectState};
use liftlock::upstream::Upstream;

use super::tree::{Tree, sample};
use super::world::{ANA, DEV, World};

/// The repository that builds.
const PLATFORM: u64 = 77;

/// A runtime and a framework, each with paths of its own.
const BUILDS: &str = "version: 1
pipelines:
  runtime:
    triggers: {push: {paths: ['runtime/**']}}
    build: 'mkdir -p drop && cp runtime/*.txt drop/ && mkdir -p symbols && date > symbols/x.pdb'
    artifacts: [{alias: Bits, path: drop}, {alias: Symbols, path: symbols, shipping: false}]
    stages: [quality]
  aspnet:
    triggers: {push: {paths: ['aspnet/**']}}
    build: 'mkdir -p out && cp aspnet/*.txt out/'
    artifacts: [{alias: Framework, path: out}]
    stages: [quality]
";

/// An sdk of both, and of a file of its own.
fn sdk(builds: &str) -> String {
    let deploy = "cat $LIFTLOCK_ARTIFACT_RUNTIME/app.txt $LIFTLOCK_ARTIFACT_ASPNET/app.txt \
                  $LIFTLOCK_ARTIFACT_DIST/own.txt >> $TARGET/journal";
    format!(
        "version: 1
name: sdk
triggers: {{push: {{paths: ['sdk/**']}}, builds: {builds}}}
build: mkdir -p dist && cat sdk/* > dist/own.txt
artifacts:
  - dist
  - {{alias: Runtime, from: build/runtime, path: drop/**}}
  - {{alias: AspNet, from: build/framework}}
deploy: '{deploy}'
stages: [test]
"
    )
}

pub(super) fn upstream(name: &str, pipeline: &str, allow: &str) -> Upstream {
    Upstream {
        name: name.parse().unwrap(),
        repository: "acme/platform".parse().unwrap(),
        pipeline: pipeline.parse().unwrap(),
        allow: vec![allow.to_owned().try_into().unwrap()],
        tag: Vec::new(),
    }
}

/// The pipeline that builds the runtime.
fn runtime() -> PipelineId {
    PipelineId { repo: format!("github:{PLATFORM}").parse().unwrap(), name: "runtime".parse().unwrap() }
}

/// Both repositories, served by one engine.
pub(super) struct Both {
    pub(super) world: World,
    pub(super) platform: Tree,
}

impl Both {
    pub(super) async fn new(sdk: &str, platform: &str, allow: &str) -> Self {
        let mut files = sample(sdk);
        files.insert("sdk/own.txt".to_owned(), "own-1\n".to_owned());
        let mut world = World::asleep(files).await;
        world.sleep().await;
        let files = [(".github/liftlock.yml".to_owned(), platform.to_owned())];
        let platform = Tree::new(&world.target().with_file_name("platform.git"), files.into());
        {
            let mut state = world.github.state();
            let repo = state.repo(PLATFORM, "acme/platform");
            repo.roles.insert(DEV, ("write", "write"));
            repo.bare = Some(platform.path().to_owned());
        }
        world.beside = vec!["acme/platform"];
        world.upstreams = vec![upstream("runtime", "runtime", allow), upstream("framework", "aspnet", allow)];
        world.wake().await;
        Self { world, platform }
    }

    /// A push to the repository that builds.
    pub(super) async fn push_platform(&mut self, files: &[(&str, &str)], message: &str) -> String {
        self.world.push_beside((PLATFORM, &mut self.platform), files, message).await
    }

    /// Our rules are known, as after any push to our branch.
    pub(super) async fn push_rules(&mut self) -> String {
        let head = self.world.push_files(&[("README.md", "hello")], "docs: begin").await;
        self.world.settled().await;
        head
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b09_b10_b12_d03_a_release_is_made_of_what_another_repository_built() {
    let mut both = Both::new(&sdk("{all: [runtime, framework]}"), BUILDS, "acme/shop:sdk/build").await;
    let head = both.push_rules().await;
    both.push_platform(&[("runtime/app.txt", "runtime-1 "), ("aspnet/app.txt", "aspnet-1 ")], "feat: both")
        .await;
    both.world.status(&head, "liftlock/test", "success").await;
    both.world.settled().await;
    assert_eq!(both.world.deployed(), ["runtime-1 aspnet-1 own-1"]);
    both.world.hears(1).await;

    // The next push there builds one of them; the release is of the head there is by then.
    let later = both.world.push_files(&[("README.md", "hello again")], "docs: more").await;
    both.world.settled().await;
    both.push_platform(&[("runtime/app.txt", "runtime-2 ")], "feat: runtime").await;
    both.world.status(&later, "liftlock/test", "success").await;
    both.world.settled().await;
    assert_eq!(both.world.deployed().last().unwrap(), "runtime-2 aspnet-1 own-1");
    both.world.hears(2).await;

    // A push of our own takes the last of both.
    let own = both.world.push_files(&[("sdk/own.txt", "own-2\n")], "feat: own").await;
    both.world.status(&own, "liftlock/test", "success").await;
    both.world.settled().await;
    assert_eq!(both.world.deployed().last().unwrap(), "runtime-2 aspnet-1 own-2");
    both.world.hears(3).await;

    // The same bytes, without another build of them.
    let sdk = both.world.state("sdk").await;
    let there = both.world.service().journal().load(&runtime()).await.unwrap();
    assert_eq!(there.releases.len(), 2);
    let built = there.releases.values().last().unwrap();
    let taken = sdk.releases.values().last().unwrap();
    let bits = taken.artifacts.iter().find(|sealed| sealed.alias.as_str() == "Runtime").unwrap();
    assert_eq!(bits.digest, built.artifacts[0].digest);
    let of = taken.created.builds.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(of, ["framework v0.1.0-rc.1 of acme/platform", "runtime v0.1.0-rc.2 of acme/platform"]);
    let kept = sdk.pledged().contains(&bits.digest);
    assert!(kept, "what the next release may take is kept whatever becomes of its own");
    both.world.finish().await;
}

/// Nobody tells of what became of the other branch: it is looked at right before the stage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t37_a_release_of_a_build_that_another_repositorys_branch_has_lost_is_not_promoted() {
    let manifest = sdk("{all: [runtime, framework]}").replace("[test]", "[test, {name: prod, approval: 1}]");
    let mut both = Both::new(&manifest, BUILDS, "acme/shop:sdk/build").await;
    let head = both.push_rules().await;
    let begun = both.platform.head("main").unwrap();
    let files = [("runtime/app.txt", "runtime-1 "), ("aspnet/app.txt", "aspnet-1 ")];
    let lost = both.push_platform(&files, "feat: both").await;
    both.world.status(&head, "liftlock/test", "success").await;
    both.world.drain().await;
    both.platform.commit_on("main", (vec![&begun], &files), "feat: both, signed off");
    both.world.say(1, ANA, "/approve prod").await;
    both.world.status(&head, "liftlock/prod", "pending").await;
    both.world.settled().await;
    assert_eq!(both.world.deployed(), ["runtime-1 aspnet-1 own-1"], "test has it, and prod has nothing");
    let why = format!(
        "it is made of runtime v0.1.0-rc.1 of acme/platform at {}, which is no longer on the branch",
        &lost[..7]
    );
    let said = both.world.said_and_kept().await;
    assert!(said.contains(&why), "{said}");
    both.world.drain().await;
    both.world.finish().await;
}

/// What the ledger says of the newest release's tags, and its version.
async fn tagged(both: &Both) -> (String, String) {
    both.world.settled().await;
    let state = both.world.state("sdk").await;
    let release = state.releases.values().last().unwrap();
    (release.ledger[&Publish::Tags].line(), release.created.version.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d41_t40_a_repository_whose_builds_are_taken_gets_a_tag_where_the_config_lets_it() {
    let manifest = sdk("{all: [runtime, framework]}");
    let (head, _) = manifest.split_once("deploy:").unwrap();
    let manifest = format!("{head}stages: [{{name: test, deploy: [{{name: tags, uses: git-tags}}]}}]\n");
    let builds =
        BUILDS.replace("push: {paths: ['runtime/**']}", "push: {paths: ['runtime/**']}, tags: ['v*']");
    let mut both = Both::new(&manifest, &builds, "acme/shop:sdk/*").await;
    let first = both.world.tree.head("main").unwrap();
    both.world.tree.set("refs/tags/v1.0.0", &first);
    let head = both.push_rules().await;
    let files = [("runtime/app.txt", "runtime-1 "), ("aspnet/app.txt", "aspnet-1 ")];
    let built = both.push_platform(&files, "feat: both").await;
    both.world.status(&head, "liftlock/test", "success").await;
    let (line, version) = tagged(&both).await;
    // Who takes builds, in whatever stage, may not write; it is said where people look.
    let left = "left out: acme/platform, whose [[upstream]] in the server's config has no tag = [\"acme/shop:sdk/test\"]";
    assert!(line.starts_with(&format!("announced, {version} of acme/shop; {left}")), "{line}");
    assert!(both.world.sticky().replace('\\', "").contains(left), "{}", both.world.sticky());
    assert!(!both.platform.tags().contains_key(&version), "{:?}", both.platform.tags());
    both.world.hears(1).await;

    both.world.sleep().await;
    both.world.upstreams[0].tag = vec!["acme/shop:sdk/test".to_owned().try_into().unwrap()];
    both.world.wake().await;
    let own = both.world.push_files(&[("sdk/own.txt", "own-2\n")], "feat: own").await;
    both.world.status(&own, "liftlock/test", "success").await;
    let (line, version) = tagged(&both).await;
    assert_eq!(line, format!("announced, {version} of acme/shop, {version} of acme/platform"));
    assert_eq!(both.platform.tags().get(&version), Some(&built));
    both.world.hears(2).await;
    // The tag comes back as a push there, and asks for no release of it.
    let pushed = format!("refs/tags/{version}");
    let hook = both.world.github.state().push(PLATFORM, &pushed, DEV, &[(&built, "feat: both")]);
    assert_eq!(both.world.deliver(&hook).await, 202);
    both.world.settled().await;
    let ignored = both.world.store().deliveries(1, None).await.unwrap().remove(0);
    assert!(ignored.error.unwrap().contains("a release of another repository made"));
    let there = both.world.service().journal().load(&runtime()).await.unwrap();
    assert_eq!(there.releases.len(), 1);

    // A tag names one commit: what is of two has none.
    let later = both.world.push_files(&[("README.md", "hello again")], "docs: more").await;
    both.world.settled().await;
    both.push_platform(&[("runtime/app.txt", "runtime-2 ")], "feat: runtime").await;
    both.world.status(&later, "liftlock/test", "success").await;
    let (line, version) = tagged(&both).await;
    assert!(line.contains("left out: acme/platform, its builds are of several commits"), "{line}");
    assert!(!both.platform.tags().contains_key(&version), "{:?}", both.platform.tags());
    both.world.hears(3).await;
    both.world.finish().await;
}

/// A tag of 9.2.1 that a release of another repository put there is a name, and the next version there is still its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d41_no_version_counts_from_a_tag_that_a_release_of_another_repository_made() {
    let manifest = sdk("{all: [runtime, framework]}");
    let (head, _) = manifest.split_once("deploy:").unwrap();
    let manifest = format!(
        "{head}release: {{version: '9.2.$(Rev:r)'}}\nstages: [{{name: test, deploy: [{{name: tags, uses: git-tags}}]}}]\n"
    );
    let mut both = Both::new(&manifest, BUILDS, "acme/shop:sdk/*").await;
    both.world.sleep().await;
    both.world.upstreams[0].tag = vec!["acme/shop:sdk/test".to_owned().try_into().unwrap()];
    both.world.wake().await;
    let first = both.platform.head("main").unwrap();
    both.platform.set("refs/tags/v1.4.0", &first);
    let head = both.push_rules().await;
    let files = [("runtime/app.txt", "runtime-1 "), ("aspnet/app.txt", "aspnet-1 ")];
    let built = both.push_platform(&files, "feat: both").await;
    both.world.status(&head, "liftlock/test", "success").await;
    let (line, _) = tagged(&both).await;
    assert_eq!(line, "announced, 9.2.1 of acme/shop, 9.2.1 of acme/platform");
    assert_eq!(both.platform.tags().get("9.2.1"), Some(&built));
    both.world.hears(1).await;

    let later = both.world.push_files(&[("README.md", "hello again")], "docs: more").await;
    both.world.settled().await;
    both.push_platform(&[("runtime/app.txt", "runtime-2 ")], "fix: runtime").await;
    both.world.status(&later, "liftlock/test", "success").await;
    both.world.hears(2).await;
    both.world.settled().await;
    let there = both.world.service().journal().load(&runtime()).await.unwrap();
    let versions: Vec<String> = there.versions().map(ToString::to_string).collect();
    assert_eq!(versions, ["v1.5.0-rc.1", "v1.5.0-rc.2"], "since v1.4.0 there is a feature");
    both.world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t40_builds_of_another_repository_are_for_those_that_the_config_names() {
    let mut both = Both::new(&sdk("{any: [runtime, framework]}"), BUILDS, "acme/other:sdk/build").await;
    let head = both.world.push_files(&[("README.md", "hello")], "docs: begin").await;
    let said = both.world.status(&head, "liftlock/manifest", "failure").await;
    assert!(said.contains("the server's config lets `sdk` take no builds of `runtime`"), "{said}");
    both.push_platform(&[("runtime/app.txt", "runtime-1 ")], "feat: runtime").await;
    both.world.settled().await;
    let there = both.world.service().journal().load(&runtime()).await.unwrap();
    assert_eq!(there.releases.values().next().unwrap().build, BuildState::Sealed);
    assert!(there.listeners.is_empty());
    assert!(both.world.state("sdk").await.releases.is_empty());
    both.world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b10_repositories_that_take_each_others_builds_come_to_an_end() {
    let sdk = "version: 1
name: sdk
triggers: {push: {paths: ['sdk/**']}, builds: {any: [runtime], settle: 1s}}
build: mkdir -p dist && cat sdk/* > dist/own.txt
artifacts: [dist]
stages: [test]
";
    let platform = "version: 1
name: runtime
triggers: {push: {paths: ['runtime/**']}, builds: {any: [sdk], settle: 1s}}
build: mkdir -p drop && cat runtime/* > drop/app.txt
artifacts: [drop]
stages: [quality]
";
    let mut both = Both::new(sdk, platform, "acme/shop:sdk/build").await;
    both.world.sleep().await;
    both.world.upstreams = vec![
        upstream("runtime", "runtime", "acme/shop:sdk/build"),
        Upstream {
            repository: "acme/shop".parse().unwrap(),
            ..upstream("sdk", "sdk", "acme/platform:runtime/build")
        },
    ];
    both.world.wake().await;
    both.push_platform(&[("NOTES.md", "hello")], "docs: begin").await;
    both.push_rules().await;
    both.world.push_files(&[("sdk/own.txt", "own-2\n")], "feat: own").await;
    // The sdk starts a runtime, and that one starts no sdk: there is this sdk in it already.
    let id = runtime();
    let refused = |effect: &Effect| {
        effect.kind == "announce"
            && effect.key.starts_with(&format!("announce:{id}:"))
            && effect.state == EffectState::Done
    };
    while !both.world.effects().await.iter().any(refused) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    both.world.settled().await;
    both.world.hears(1).await;
    let runtime = both.world.service().journal().load(&id).await.unwrap();
    let sdk = both.world.state("sdk").await;
    assert_eq!((runtime.releases.len(), sdk.releases.len()), (1, 1));
    let made = runtime.releases.values().next().unwrap();
    assert_eq!(made.created.builds.len(), 1, "it is made of the sdk's build");
    let said = both.world.effects().await.into_iter().find(refused).unwrap();
    assert_eq!(said.result.as_deref(), Some("own_build"));
    both.world.finish().await;
}

/// What two repositories deploy goes to one place, so one of them waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e15_environments_of_two_repositories_share_a_lock() {
    let own = "version: 1\nname: sdk\nbuild: sh build.sh\nartifacts: dist\ndeploy: sh deploy.sh\n\
               stages: [{name: shop-eu}]\nenvironments: {shop-eu: {lock: cdn}}\n";
    let theirs = "version: 1\nname: runtime\nbuild: mkdir -p dist && cp README.md dist/\nartifacts: dist\n\
                  deploy: 'echo theirs >> $TARGET/journal'\nstages: [platform-eu]\n\
                  environments: {platform-eu: {lock: cdn}}\n";
    let mut both = Both::new(own, theirs, "acme/shop:sdk/build").await;
    both.world.plant("wait-shop-eu");
    both.world.push("feat: sell shoes").await;
    both.world.until("ours deploys", |effects| effects.iter().any(|e| e.kind == "deploy")).await;
    both.push_platform(&[("README.md", "hello")], "feat: hello").await;
    let waits = |effects: &[Effect]| {
        effects.iter().any(|e| {
            e.kind == "deploy"
                && e.state == EffectState::Ready
                && e.key.contains(&format!("github:{PLATFORM}/"))
        })
    };
    both.world.until("theirs waits for the lock", waits).await;
    let held = both.world.store().lock("lock:cdn").await.unwrap().unwrap();
    assert_eq!(held.holder, "sdk v0.1.0-rc.1 in shop-eu");
    assert_eq!(both.world.deployed(), Vec::<String>::new());
    both.world.unplant("wait-shop-eu");
    both.world.until("theirs is deployed", |_| both.world.deployed().contains(&"theirs".to_owned())).await;
    both.world.drain().await;
    both.world.finish().await;
}
