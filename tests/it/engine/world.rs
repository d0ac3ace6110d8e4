//! A repository on the fake GitHub, people who talk there, and an engine of our own that listens.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use liftlock::config::caller::Caller;
use liftlock::domain::command::prefix::Prefix;
use liftlock::domain::name::{AgentLabel, PipelineId, RepoId};
use liftlock::domain::policy::server::ServerPolicy;
use liftlock::domain::retention::Retention;
use liftlock::domain::state::State;
use liftlock::domain::time::{Span, Timestamp};
use liftlock::forge::Forge;
use liftlock::forge::github::{self, GitHub};
use liftlock::git::origin::Origin;
use liftlock::http::answers::Answers;
use liftlock::http::session::Access;
use liftlock::http::{self, Limits};
use liftlock::notify::Routes;
use liftlock::probe::Reach;
use liftlock::publish::{Kind, Outlet, Patience};
use liftlock::runner::probe::{Door, Policy, Runner};
use liftlock::runner::registry::Registry;
use liftlock::runner::target::Target;
use liftlock::secret::{Connection, Secret, StepSecret};
use liftlock::service::library::Library;
use liftlock::service::{Parts, Service, Settings};
use liftlock::store::effect::{Effect, EffectFilter, EffectState};
use liftlock::store::stream::EventFilter;
use liftlock::store::{self, Clock, ShiftedClock, Store};
use liftlock::telemetry::Metrics;
use liftlock::upstream::Upstream;
use liftlock::vault::seal::Key;
use liftlock::vault::{self, Input, Vault};
use liftlock::{artifact, clock};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::tree::{Tree, sample};
use crate::github::{Comment, FakeGitHub, GitHubState, Pull, Spot, Webhook};

/// The repository of these tests.
pub(super) const REPO: u64 = 12;
/// Maintains it.
pub(super) const ANA: u64 = 5;
/// Maintains it, too.
pub(super) const BO: u64 = 6;
/// Writes code for it.
pub(super) const DEV: u64 = 7;
/// Nobody here.
pub(super) const EVE: u64 = 8;

/// A secret that must never be seen outside the stage that names it.
pub(super) const CANARY: &str = "canary-7f3a9c2e51d04b86";
/// What the secret store `broken` prints while it fails.
pub(super) const STORE_CANARY: &str = "canary-of-a-store-8d20be";
pub(super) const HOOK_SECRET: &str = "a webhook secret of some length";
/// Longest wait for something that should come: it ends at once when it does.
const PATIENCE: Duration = Duration::from_secs(20);

/// The variable groups of these tests: `ana` administers them.
fn library(store: &Store, hosts: &BTreeMap<&'static str, Arc<dyn Forge>>, stages: &str) -> Library {
    let key = Key::from_hex(&Secret::new("07".repeat(32))).unwrap();
    let of = |command: &str| vault::Command {
        argv: ["/bin/sh", "-c", command, "{path}", "{key}"].map(str::to_owned).to_vec(),
        environment: BTreeMap::from([("SAID".to_owned(), Secret::new(STORE_CANARY))]),
        timeout: Span::seconds(1),
        input: Input::Nothing,
        allow: vec![stages.to_owned().try_into().unwrap()],
    };
    let identity = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/age/identity");
    let age = vault::Command {
        argv: ["age", "--decrypt", "--identity", identity].map(str::to_owned).to_vec(),
        input: Input::Repository,
        ..of("")
    };
    let stores = BTreeMap::from([
        ("age".to_owned(), age),
        ("down".to_owned(), vault::Command { argv: vec!["/nowhere/vault".to_owned()], ..of("") }),
        ("broken".to_owned(), of("echo \"$SAID\"; echo \"$SAID\" >&2; exit 3")),
        ("slow".to_owned(), of("sleep 60")),
        ("vault".to_owned(), of("echo \"$SAID of $0 $1\"")),
    ]);
    let vault = Vault::new(vault::Settings { stores, ..vault::Settings::default() }, key);
    Library::new(store.clone(), vault, hosts.clone(), BTreeSet::from(["ana".parse().unwrap()]))
}

/// What runs: the engine and its doors.
struct Engine {
    service: Service,
    app: axum::Router,
    stop: CancellationToken,
    work: Option<Work>,
}

/// The engine's tasks on threads of their own, so that all of them can be stopped where they are.
struct Work {
    threads: Option<Runtime>,
    ended: JoinHandle<()>,
}

impl Drop for Work {
    fn drop(&mut self) {
        self.threads.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

/// Everything a test talks to.
pub(super) struct World {
    pub(super) github: FakeGitHub,
    pub(super) tree: Tree,
    folder: tempfile::TempDir,
    engine: Option<Engine>,
    boots: u32,
    /// Whether effects may have been given up when the test is over.
    pub(super) may_give_up: bool,
    /// Whether the engine shows check runs beside statuses; asked at its next start.
    pub(super) checks: bool,
    /// What stands before every verb; asked at the engine's next start.
    pub(super) prefix: Prefix,
    /// Services that steps may work with; asked at the engine's next start.
    pub(super) connections: BTreeMap<String, Connection>,
    /// The secret of these tests; asked at the engine's next start.
    pub(super) token: &'static str,
    /// The stages that it is for; everybody without any.
    pub(super) token_for: &'static [&'static str],
    /// Folders of toolchains; asked at the engine's next start.
    pub(super) toolchains: Vec<PathBuf>,
    /// Programs that sign what they ask for; asked at the engine's next start.
    pub(super) callers: Vec<Caller>,
    /// Machines that stages deploy to; asked at the engine's next start.
    pub(super) targets: Vec<Target>,
    /// Other repositories that releases may take; asked at the engine's next start.
    pub(super) origins: Vec<Origin>,
    /// Builds that other repositories may take; asked at the engine's next start.
    pub(super) upstreams: Vec<Upstream>,
    /// Where images go; asked at the engine's next start.
    pub(super) registries: Vec<Registry>,
    /// Where files are published; asked at the engine's next start.
    pub(super) outlets: Vec<Outlet>,
    /// What the repository is called; asked at the engine's next start.
    pub(super) name: &'static str,
    /// Other repositories that are served here; asked at the engine's next start.
    pub(super) beside: Vec<&'static str>,
    /// Labels of the machine beside its own; asked at the engine's next start.
    pub(super) labels: BTreeSet<AgentLabel>,
    /// Stages that the secret stores are for; asked at the engine's next start.
    pub(super) vault_for: &'static str,
    /// Length of a lease; asked at the engine's next start.
    pub(super) lease: Span,
    /// Where probes may go; asked at the engine's next start.
    pub(super) probe: Reach,
    /// The engine's time of day; GitHub's goes with it.
    clock: ShiftedClock,
    /// How long bytes are kept; asked at the engine's next start.
    pub(super) retention: Option<Retention>,
    /// What the server asks of stages; asked at the engine's next start.
    pub(super) policy: Vec<ServerPolicy>,
    /// Where notices may go; asked at the engine's next start.
    pub(super) notify: Routes,
    /// Comments that the test has looked at: an edit in place is no news.
    read: Mutex<BTreeSet<u64>>,
}

/// A step of another test may hold the old lock for the moment between its fork and its exec.
async fn open_store(url: String, clock: ShiftedClock) -> Store {
    let settings = store::Settings { clock: Clock::Shifted(clock), ..store::Settings::new(&url) };
    let opening = async {
        loop {
            match Store::open(&settings).await {
                Ok(store) => return store,
                Err(trouble) if trouble.to_string().contains("another liftlock") => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(trouble) => panic!("{}", trouble.chain()),
            }
        }
    };
    tokio::time::timeout(PATIENCE, opening).await.expect("the old engine let go of its store")
}

async fn runner() -> Runner {
    static RUNNER: OnceCell<Runner> = OnceCell::const_new();
    RUNNER.get_or_init(Runner::probe).await.clone()
}

/// An outlet that is called `cdn`, for this stage of a pipeline.
pub(super) fn cdn_outlet(kind: Kind, stage: &str) -> Outlet {
    Outlet {
        name: "cdn".parse().unwrap(),
        kind,
        url: None,
        patience: Patience { tries: 4, wait: Span::millis(20) },
        allow: vec![stage.to_owned().try_into().unwrap()],
    }
}

impl World {
    /// A repository with the sample project and this manifest, its engine running, nothing pushed yet.
    pub(super) async fn with(manifest: &str) -> Self {
        Self::of(sample(manifest)).await
    }

    /// A repository with these files.
    pub(super) async fn of(files: BTreeMap<String, String>) -> Self {
        let mut world = Self::asleep(files).await;
        world.wake().await;
        world
    }

    /// The same with places where it publishes.
    pub(super) async fn publishing(
        files: BTreeMap<String, String>,
        outlets: impl Fn(&Self) -> Vec<Outlet>,
    ) -> Self {
        let mut world = Self::asleep(files).await;
        world.sleep().await;
        world.outlets = outlets(&world);
        world.wake().await;
        world
    }

    /// The same with an engine that stores what comes and does nothing yet.
    pub(super) async fn asleep(files: BTreeMap<String, String>) -> Self {
        let github = FakeGitHub::start().await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("target")).unwrap();
        let tree = Tree::new(&folder.path().join("origin.git"), files);
        {
            let mut state = github.state();
            state.user(ANA, "ana", "User").user(BO, "bo", "User").user(DEV, "dev", "User");
            state.user(EVE, "eve", "User");
            let repo = state.repo(REPO, "acme/shop");
            repo.roles.insert(ANA, ("write", "maintain"));
            repo.roles.insert(BO, ("write", "maintain"));
            repo.roles.insert(DEV, ("write", "write"));
            repo.roles.insert(EVE, ("read", "read"));
            repo.bare = Some(tree.path().to_owned());
        }
        let mut world = Self {
            github,
            tree,
            folder,
            engine: None,
            boots: 0,
            may_give_up: false,
            checks: false,
            prefix: Prefix::default(),
            connections: BTreeMap::new(),
            token: CANARY,
            token_for: &[],
            toolchains: Vec::new(),
            callers: Vec::new(),
            targets: Vec::new(),
            origins: Vec::new(),
            upstreams: Vec::new(),
            registries: Vec::new(),
            outlets: Vec::new(),
            name: "acme/shop",
            beside: Vec::new(),
            labels: BTreeSet::from(["linux".parse().unwrap()]),
            vault_for: "shop/prod",
            lease: Span::seconds(20),
            probe: Reach::default(),
            clock: ShiftedClock::default(),
            notify: Routes::default(),
            retention: None,
            policy: Vec::new(),
            read: Mutex::default(),
        };
        world.boot().await;
        world
    }

    /// What the server's config would say.
    fn settings(&self) -> Settings {
        Settings {
            data: self.folder.path().join("data"),
            program: env!("CARGO_BIN_EXE_liftlock").into(),
            prefix: self.prefix.clone(),
            sandbox: Policy::Auto,
            door: Door::Locked,
            toolchains: self.toolchains.clone(),
            labels: self.labels.clone(),
            secrets: BTreeMap::from([("SHOP_TOKEN".to_owned(), self.shop_token())]),
            connections: self.connections.clone(),
            targets: self.targets.clone(),
            origins: self.origins.clone(),
            upstreams: self.upstreams.clone(),
            registries: self.registries.clone(),
            outlets: self.outlets.clone(),
            hidden: self.outlets.iter().flat_map(Outlet::hidden).chain([Secret::new(HOOK_SECRET)]).collect(),
            environment: BTreeMap::from([
                ("TARGET".to_owned(), self.target().display().to_string()),
                // Where there are targets, `TARGET` is one of them.
                ("OUT".to_owned(), self.target().display().to_string()),
                ("PATH".to_owned(), format!("{}:/usr/bin:/bin", self.target().join("bin").display())),
            ]),
            builds: 2,
            deploys: 2,
            lease: self.lease,
            notify: self.notify.clone(),
            probe: self.probe.clone(),
            reconcile_every: Span::hours(1),
            policy: self.policy.clone(),
            retention: self.retention,
        }
    }

    /// Opens the store and the doors; deliveries are taken, nothing is done about them before [`Self::wake`].
    pub(super) async fn boot(&mut self) {
        self.boots += 1;
        let url = format!("sqlite:{}", self.database().display());
        let store = open_store(url, self.clock.clone()).await;
        let settings = self.github.settings(&[&[self.name], self.beside.as_slice()].concat());
        let github = GitHub::new(github::Settings { checks: self.checks, ..settings }).unwrap();
        let host: Arc<dyn Forge> = Arc::new(github);
        let hosts = BTreeMap::from([("github", host)]);
        let settings = self.settings();
        let artifacts = artifact::store::Store::open(&settings.data.join("artifacts")).unwrap();
        let library = library(&store, &hosts, self.vault_for);
        let runner = runner().await;
        let parts =
            Parts { store: store.clone(), hosts, artifacts, runner, library: library.clone(), settings };
        let boot = format!("boot{}", self.boots);
        let service = Service::new(parts, boot.clone());
        let answers = Answers::new(service.clone(), None);
        let stop = CancellationToken::new();
        let verify: http::webhook::Verify = Arc::new(|header: Option<&str>, body: &[u8]| {
            let given: Vec<&[u8]> = header.iter().map(|h| h.as_bytes()).collect();
            liftlock::forge::signature::verify(&[HOOK_SECRET.as_bytes()], &given, body).is_ok()
        });
        let app = http::app(http::State::new(http::Parts {
            store,
            verify_github: Arc::clone(&verify),
            verify_plain: Arc::clone(&verify),
            verify_gitea: verify,
            callers: self.callers.clone(),
            reader: Arc::new(answers.clone()),
            acts: Arc::new(answers),
            prefix: self.prefix.clone(),
            library,
            access: Access::Loopback(Vec::new()),
            limits: Limits::default(),
            metrics: Arc::new(Metrics::new("0.0.0")),
            data_folder: None,
            clock: clock::now,
            boot,
            shutdown: stop.clone(),
        }));
        self.engine = Some(Engine { service, app, stop, work: None });
    }

    /// Lets the engine work.
    pub(super) async fn wake(&mut self) {
        if self.engine.is_none() {
            self.boot().await;
        }
        let engine = self.engine.as_mut().unwrap();
        let threads =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let ended = threads.spawn(engine.service.clone().work(engine.stop.clone()));
        engine.work = Some(Work { threads: Some(threads), ended });
    }

    /// Ends the engine; what is under way ends first.
    pub(super) async fn sleep(&mut self) {
        let Some(engine) = self.engine.take() else { return };
        engine.stop.cancel();
        if let Some(mut work) = engine.work {
            (&mut work.ended).await.unwrap();
        }
        engine.service.store().close().await;
    }

    /// The engine's process dies: nothing under way ends, nothing is given back.
    pub(super) async fn die(&mut self) {
        let engine = self.engine.take().expect("the engine runs");
        drop(engine.work);
        engine.service.store().close().await;
    }

    /// The secret that manifests name, for whom the test says.
    fn shop_token(&self) -> StepSecret {
        let allow = self.token_for.iter().map(|text| (*text).to_owned().try_into().unwrap()).collect();
        StepSecret { secret: Secret::new(self.token), allow }
    }

    pub(super) fn service(&self) -> &Service {
        &self.engine.as_ref().expect("the engine runs").service
    }

    pub(super) fn store(&self) -> &Store {
        self.service().store()
    }

    /// Where the sample's stages write what they did.
    pub(super) fn target(&self) -> PathBuf {
        self.folder.path().join("target")
    }

    /// Where the engine keeps what it knows.
    pub(super) fn database(&self) -> PathBuf {
        self.folder.path().join("liftlock.db")
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A status that somebody else put on a commit.
    pub(crate) fn put_status(&self, sha: &str, (context, state): (&str, &str), by: u64) {
        self.github.state().status(REPO, sha, (context, state), by);
    }

    /// Makes a step of the sample fail or wait: `fail-prod`, `hold-test`, `fail-build`.
    pub(super) fn plant(&self, name: &str) {
        std::fs::File::create(self.target().join(name)).unwrap();
    }

    /// Puts a program of our own in front of all others that steps find.
    pub(super) fn install(&self, name: &str, text: &str) {
        let folder = self.target().join("bin");
        std::fs::create_dir_all(&folder).unwrap();
        let mut file = std::fs::File::create(folder.join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// What a step wrote into a file of the target.
    pub(super) fn wrote(&self, name: &str) -> String {
        std::fs::read_to_string(self.target().join(name)).unwrap_or_default()
    }

    pub(super) fn unplant(&self, name: &str) {
        std::fs::remove_file(self.target().join(name)).unwrap();
    }

    /// The lines of what was deployed and tested, in order.
    pub(super) fn deployed(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.target().join("journal")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Only `stage version`, of deployments.
    pub(super) fn live(&self) -> Vec<String> {
        let deployed = self.deployed();
        let lines = deployed.iter().filter(|l| l.starts_with("deploy "));
        lines.map(|l| l.split(' ').skip(1).take(2).collect::<Vec<_>>().join(" ")).collect()
    }

    /// Puts the engine's clock and GitHub's to this time.
    pub(super) fn begin_at(&self, time: &str) {
        self.clock.set(Timestamp::parse(time).unwrap());
        self.github.state().calendar_ms = self.clock.ahead_ms();
    }

    /// Lets time pass once nothing is left to do before, and waits for what it brings.
    pub(super) async fn pass(&self, span: Span) {
        self.settled().await;
        self.skip(span);
        self.settled().await;
    }

    /// Lets time pass whatever is under way.
    pub(super) fn skip(&self, span: Span) {
        self.clock.set(self.clock.now().plus(span));
        self.github.state().calendar_ms = self.clock.ahead_ms();
        self.store().wake();
    }

    /// Lets programs on this machine in, and says where.
    pub(super) async fn opens(&self) -> String {
        let engine = self.engine.as_ref().expect("the engine runs");
        let door = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = door.local_addr().unwrap();
        tokio::spawn(http::serve::serve(door, engine.app.clone(), Limits::default(), engine.stop.clone()));
        format!("http://{address}")
    }

    // What people do.

    /// Hands a webhook to the door as GitHub would, and says what it answered.
    pub(super) async fn deliver(&self, hook: &Webhook) -> u16 {
        self.deliver_signed(hook, HOOK_SECRET).await
    }

    pub(super) async fn deliver_signed(&self, hook: &Webhook, secret: &str) -> u16 {
        let mut request = Request::post("/webhook/github");
        for (name, value) in hook.headers(secret) {
            request = request.header(name, value);
        }
        self.post(request.body(Body::from(hook.body.clone())).unwrap()).await
    }

    pub(super) async fn post(&self, request: Request<Body>) -> u16 {
        let app = self.engine.as_ref().expect("the engine runs").app.clone();
        app.oneshot(request).await.unwrap().status().as_u16()
    }

    /// What a page or the API says to a program on this machine.
    pub(super) async fn get(&self, path: &str) -> String {
        let app = self.engine.as_ref().expect("the engine runs").app.clone();
        let mut request = Request::get(path).header("host", "127.0.0.1").body(Body::empty()).unwrap();
        request.extensions_mut().insert(http::serve::Peer(([127, 0, 0, 1], 9).into()));
        let answer = app.oneshot(request).await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    /// The webhook of a push that moved a reference.
    pub(super) fn push_hook(&self, reference: &str, before: Option<&str>, after: Option<&str>) -> Webhook {
        let commits: Vec<(&str, &str)> = after.iter().map(|sha| (*sha, "a message")).collect();
        let mut hook = self.github.state().push(REPO, reference, DEV, &commits);
        let zeros = "0".repeat(40);
        hook.body = hook.body.replace(&"b".repeat(40), before.unwrap_or(&zeros));
        hook
    }

    /// Commits to main and pushes.
    pub(super) async fn push(&mut self, message: &str) -> String {
        let name = format!("src/{}.txt", message.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
        self.push_files(&[(&name, message)], message).await
    }

    pub(super) async fn push_files(&mut self, files: &[(&str, &str)], message: &str) -> String {
        let before = self.tree.head("main");
        let after = self.tree.commit("main", files, message);
        let hook = self.push_hook("refs/heads/main", before.as_deref(), Some(&after));
        assert_eq!(self.deliver(&hook).await, 202);
        after
    }

    /// Commits to main of a repository that is served beside, and pushes.
    pub(super) async fn push_beside(
        &self,
        (repo, tree): (u64, &mut Tree),
        files: &[(&str, &str)],
        message: &str,
    ) -> String {
        let before = tree.head("main").unwrap();
        let after = tree.commit("main", files, message);
        let mut hook = self.github.state().push(repo, "refs/heads/main", DEV, &[(after.as_str(), message)]);
        hook.body = hook.body.replace(&"b".repeat(40), &before);
        assert_eq!(self.deliver(&hook).await, 202);
        after
    }

    /// Merges pull request `number` into main.
    pub(super) async fn merge(&mut self, number: u64, message: &str) -> String {
        let name = format!("src/{number}.txt");
        self.merge_files(number, &[(&name, message)], message).await
    }

    pub(super) async fn merge_files(&mut self, number: u64, files: &[(&str, &str)], message: &str) -> String {
        let before = self.tree.head("main");
        let after = self.tree.commit("main", files, message);
        let pull = Pull { head: "1".repeat(40), merged: Some(after.clone()) };
        self.github.state().issue(REPO, number, DEV, Some(pull));
        let hook = self.push_hook("refs/heads/main", before.as_deref(), Some(&after));
        assert_eq!(self.deliver(&hook).await, 202);
        after
    }

    /// Somebody comments, once everything said before has been taken in.
    pub(super) async fn say(&self, thread: u64, person: u64, text: &str) -> u64 {
        self.settled().await;
        self.say_now(thread, person, text).await
    }

    /// Somebody comments while something is still under way.
    pub(super) async fn say_now(&self, thread: u64, person: u64, text: &str) -> u64 {
        let comment = self.write(&Spot::Thread(thread), person, text);
        let hook = self.github.state().comment_event(REPO, comment, "created");
        assert_eq!(self.deliver(&hook).await, 202);
        comment
    }

    /// A comment that no webhook has told of yet; GitHub's clock has gone on since the last one.
    pub(super) fn write(&self, spot: &Spot, person: u64, text: &str) -> u64 {
        let mut state = self.github.state();
        state.clock_ahead_ms += 2_000;
        state.comment(REPO, spot.clone(), person, text)
    }

    // What people see.

    /// The oldest comment of ours on the thread that was not looked at yet; the sticky one aside.
    pub(super) async fn hears(&self, thread: u64) -> String {
        self.hears_at(&Spot::Thread(thread)).await
    }

    pub(super) async fn hears_at(&self, spot: &Spot) -> String {
        self.wait(&format!("a comment in {spot:?}"), |state| {
            let repo = state.repos.get_mut(&REPO)?;
            let mut read = self.read.lock().unwrap();
            let fresh =
                |c: &&Comment| c.unread && c.spot == *spot && !is_sticky(&c.body) && !read.contains(&c.id);
            let found = repo.comments.values().find(fresh)?;
            read.insert(found.id);
            Some(found.body.clone())
        })
        .await
    }

    /// Waits until this status has this light, and gives what it says.
    pub(super) async fn status(&self, sha: &str, context: &str, light: &str) -> String {
        self.wait(&format!("status {context} = {light} on {sha}"), |state| {
            let statuses = &state.repos.get(&REPO)?.statuses;
            let newest = statuses.iter().rev().find(|s| s.sha == sha && s.context == context)?;
            (newest.state == light).then(|| newest.description.clone())
        })
        .await
    }

    /// Waits until this status says this.
    pub(super) async fn status_says(&self, sha: &str, context: &str, text: &str) {
        self.wait(&format!("status {context} says {text} on {sha}"), |state| {
            let statuses = &state.repos.get(&REPO)?.statuses;
            let newest = statuses.iter().rev().find(|s| s.sha == sha && s.context == context)?;
            newest.description.contains(text).then_some(())
        })
        .await;
    }

    /// The light of a status as it is now.
    pub(super) fn light(&self, sha: &str, context: &str) -> Option<String> {
        let state = self.github.state();
        let newest = state.repos[&REPO].statuses.iter().rev().find(|s| s.sha == sha && s.context == context);
        newest.map(|s| s.state.clone())
    }

    /// The reactions of ours to a comment.
    pub(super) fn reactions(&self, comment: u64) -> Vec<String> {
        let state = self.github.state();
        let ours = state.repos[&REPO].reactions.values().filter(|r| r.comment == comment);
        ours.map(|r| r.content.clone()).collect()
    }

    /// Waits, level-triggered, until `look` finds something on GitHub.
    pub(super) async fn wait<T>(&self, what: &str, mut look: impl FnMut(&mut GitHubState) -> Option<T>) -> T {
        let mut changed = self.github.changed();
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(found) = look(&mut self.github.state()) {
                    return found;
                }
                changed.changed().await.expect("the sender lives as long as the fake");
            }
        });
        let Ok(found) = found.await else { panic!("{what} did not come; {}", self.summary().await) };
        found
    }

    /// What a person needs to see why a test waits in vain.
    async fn summary(&self) -> String {
        let mut out = String::from("open effects:\n");
        for e in self.effects().await.iter().filter(|e| self.is_open(e) || e.state == EffectState::Dead) {
            writeln!(out, "  {} {} tries {} {:?}", e.key, e.state.word(), e.attempts, e.error).unwrap();
        }
        for d in self.store().deliveries(50, None).await.unwrap() {
            writeln!(out, "delivery {} {:?} {:?}", d.event, d.state, d.error).unwrap();
        }
        let state = self.github.state();
        let repo = &state.repos[&REPO];
        repo.statuses.iter().for_each(|s| {
            writeln!(out, "status {} {} {} {}", &s.sha[..7], s.context, s.state, s.description).unwrap();
        });
        repo.comments.values().for_each(|c| writeln!(out, "comment {:?} {}", c.spot, c.body).unwrap());
        out
    }

    /// The comment of the newest release that is edited in place.
    pub(super) fn sticky(&self) -> String {
        self.sticky_of("")
    }

    /// That of the release of this version, whichever came last.
    pub(super) fn sticky_of(&self, version: &str) -> String {
        let title = format!("### {version}");
        let state = self.github.state();
        let comments = state.repos[&REPO].comments.values().rev();
        let mut found = comments.filter(|c| is_sticky(&c.body) && c.body.contains(&title));
        found.next().unwrap().body.clone()
    }

    // What the engine knows.

    pub(super) async fn state(&self, pipeline: &str) -> Arc<State> {
        let id = PipelineId { repo: repo_id(), name: pipeline.parse().unwrap() };
        self.service().journal().load(&id).await.unwrap()
    }

    pub(super) async fn effects(&self) -> Vec<Effect> {
        self.store().effects(&EffectFilter::default(), 1_000).await.unwrap()
    }

    /// Whether this should happen without anybody doing anything more, and without time passing.
    pub(super) fn is_open(&self, effect: &Effect) -> bool {
        open(effect, self.clock.now())
    }

    /// Waits until nothing is left to do but what a later time brings.
    pub(super) async fn settled(&self) {
        self.until("all effects are done", |effects| !effects.iter().any(|e| self.is_open(e))).await;
    }

    /// Waits until the effects look like this.
    pub(super) async fn until(&self, what: &str, done: impl Fn(&[Effect]) -> bool) {
        let mut woken = self.store().woken();
        let waiting = tokio::time::timeout(PATIENCE, async {
            loop {
                woken.mark_unchanged();
                if done(&self.effects().await) {
                    return;
                }
                // A lease that is given back wakes nobody, so this looks again by itself, too.
                let again = tokio::time::timeout(Duration::from_millis(50), woken.changed()).await;
                drop(again);
            }
        });
        let Ok(()) = waiting.await else { panic!("{what} did not come about; {}", self.summary().await) };
    }

    /// Takes note of every comment so far: for tests about something else than what is said at the end.
    pub(super) async fn drain(&self) -> Vec<String> {
        self.settled().await;
        let mut state = self.github.state();
        let comments = state.repos.get_mut(&REPO).unwrap().comments.values();
        let mut read = self.read.lock().unwrap();
        let fresh = comments.filter(|c| c.unread && !is_sticky(&c.body) && read.insert(c.id));
        fresh.map(|c| c.body.clone()).collect()
    }

    /// Waits until a step of the sample has planted this file.
    pub(super) async fn until_planted(&self, name: &str) {
        let path = self.target().join(name);
        self.until(name, |_| path.exists()).await;
    }

    /// Waits until so many stages have deployed.
    pub(super) async fn until_deployed(&self, count: usize) {
        self.until("a deployment", |_| self.live().len() >= count).await;
    }

    /// Ends the test: nothing is left undone, unanswered, given up or unexpected, and the logs verify.
    pub(super) async fn finish(mut self) {
        self.settled().await;
        for effect in self.effects().await {
            let given_up = effect.result.as_deref().is_some_and(|r| r.starts_with("given up"));
            assert!(effect.state != EffectState::Dead, "dead: {effect:#?}");
            assert!(!given_up || self.may_give_up, "given up: {effect:#?}");
        }
        let verdict = self.store().verify_chain().await.unwrap();
        assert!(verdict.broken.is_none(), "{verdict:?}");
        self.sleep().await;
        {
            let mut state = self.github.state();
            // What is said in repositories beside is their own tests' matter.
            for repo in state.repos.iter_mut().filter(|(id, _)| **id != REPO).map(|(_, repo)| repo) {
                repo.comments.values_mut().for_each(|c| c.unread = false);
                repo.statuses.iter_mut().for_each(|s| s.unread = false);
            }
            let repo = state.repos.get_mut(&REPO).unwrap();
            repo.statuses.iter_mut().for_each(|s| s.unread = false);
            repo.checks.values_mut().for_each(|c| c.unread = false);
            let read = self.read.lock().unwrap();
            let known = |c: &&mut Comment| is_sticky(&c.body) || read.contains(&c.id);
            repo.comments.values_mut().filter(known).for_each(|c| c.unread = false);
        }
        self.github.finish();
    }

    /// Every text that left or was kept for people: statuses, comments, logs.
    pub(super) async fn said_and_kept(&self) -> String {
        let mut all = String::new();
        {
            let state = self.github.state();
            let repo = &state.repos[&REPO];
            repo.statuses.iter().for_each(|s| all.push_str(&s.description));
            repo.comments.values().for_each(|c| all.push_str(&c.body));
            repo.issues.values().for_each(|i| all.push_str(&i.body));
        }
        for effect in self.effects().await {
            write!(all, "{effect:?}").unwrap();
        }
        let filter = EventFilter::default();
        for event in self.store().events(&filter, 0, 2_000).await.unwrap() {
            all.push_str(&event.data);
        }
        all
    }

    /// The lines of a log.
    pub(super) async fn log(&self, name: &str) -> String {
        let lines = self.store().read_log(name, 1, 1_000).await.unwrap();
        lines.into_iter().map(|l| l.text + "\n").collect()
    }
}

/// True for what should happen without anybody doing anything more.
fn open(effect: &Effect, now: Timestamp) -> bool {
    let waits = matches!(effect.state, EffectState::Ready | EffectState::Leased);
    // A canary that went on leaves the sample that would have been the next one.
    let later = effect.lane == "timer" || effect.key.contains(":hold:");
    let asked = matches!(effect.kind.as_str(), "leg" | "gates");
    let soon = now.plus(Span::seconds(30));
    waits && !(later && effect.run_after > now || asked && effect.run_after > soon)
}

fn is_sticky(body: &str) -> bool {
    body.contains("liftlock:sticky")
}

pub(super) fn repo_id() -> RepoId {
    format!("github:{REPO}").parse().unwrap()
}

/// The paths of all files below a folder.
pub(super) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}
