//! `liftlock demo`: the main job on this machine, with the real engine, host, git, runner and store.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use crate::artifact::file::write_synced;
use crate::cli::serve::Server;
use crate::cli::{Ended, Exit, terminal};
use crate::clock;
use crate::config::{Config, Environment};
use crate::domain::name::{PipelineId, StageName};
use crate::domain::release::{BuildState, Release, StageState};
use crate::domain::state::State;
use crate::domain::time::Span;
use crate::domain::view;
use crate::forge::plain::hook::{self, Hook};
use crate::http;
use crate::service::Service;
use crate::trouble::{Outcome, Trouble};

/// The sample project, compiled in so that the demo needs nothing but this program.
const SAMPLE: [(&str, &str, u32); 7] = [
    (".github/liftlock.yml", include_str!("../../fixtures/samples/hello/.github/liftlock.yml"), 0o644),
    (".gitignore", include_str!("../../fixtures/samples/hello/.gitignore"), 0o644),
    ("README.md", include_str!("../../fixtures/samples/hello/README.md"), 0o644),
    ("build.sh", include_str!("../../fixtures/samples/hello/build.sh"), 0o755),
    ("deploy.sh", include_str!("../../fixtures/samples/hello/deploy.sh"), 0o755),
    ("smoke.sh", include_str!("../../fixtures/samples/hello/smoke.sh"), 0o755),
    ("src/hello.html", include_str!("../../fixtures/samples/hello/src/hello.html"), 0o644),
];
/// The repository's name on the demo's host.
const REPOSITORY: &str = "hello";
/// Who approves in the demo.
const MAINTAINER: &str = "ana";
/// Longest wait for one step of the demo; a loaded machine takes seconds.
const STEP_WITHIN: Span = Span::minutes(3);
/// How often the demo looks whether a step is done.
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Approve as a maintainer and end when prod runs the same digest.
    #[arg(long)]
    auto: bool,
    /// Where to keep everything; a new folder below the system's temporary one when absent.
    #[arg(long)]
    data: Option<PathBuf>,
}

pub(super) async fn run(arguments: &Arguments) -> Ended {
    let told = Teller::new();
    let place = Place::make(arguments.data.clone())?;
    told.done(&format!("data folder {}", place.root.display()));
    let listener = http::serve::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let address = listener.local_addr().map_err(|e| Trouble::transient("find the port").because(e))?;
    let server_url = format!("http://{address}");
    place.write_repository(&server_url)?;
    told.done(&format!("bare repository {} with the sample project `hello`", place.bare().display()));
    let config = place.config(&server_url)?;
    let stop = CancellationToken::new();
    let server = Server::assemble(&config, stop.clone()).await?;
    let service = server.service().clone();
    let running = tokio::spawn(server.run(listener, stop.clone()));
    told.done(&format!("server at {server_url} (SQLite, artifacts on disk, plain git host)"));
    let shown = show(arguments, &told, &place, (&service, &server_url)).await;
    let shown = match shown {
        Ok(()) if !arguments.auto => wait_for_interrupt(&told).await,
        other => other,
    };
    stop.cancel();
    running.await.map_err(|e| Trouble::bug("the server ended early").because(e))??;
    shown.map(|()| Exit::Done)
}

async fn show(
    arguments: &Arguments,
    told: &Teller,
    place: &Place,
    (service, url): (&Service, &str),
) -> Result<(), Trouble> {
    told.start("pushing to main");
    place.push()?;
    told.done("pushed to main; the hook told the server");
    let id: PipelineId = format!("plain:{REPOSITORY}/{REPOSITORY}")
        .parse()
        .map_err(|e| Trouble::bug("name the pipeline").because(e))?;
    let eyes = Eyes { service, id: &id, told };
    told.start("building in a tree export");
    let release = eyes.until("the artifact is sealed", |_, r| r.build == BuildState::Sealed).await?;
    let digest = release.shown_digest().map_or_else(String::new, ToString::to_string);
    told.done(&format!("built {}, sealed once: {digest}", release.created.version));
    told.start("deploying to test, then testing");
    let (test, prod) = (stage("test")?, stage("prod")?);
    eyes.until("test runs it", |_, r| r.state_in(&test) == Some(StageState::Succeeded)).await?;
    told.done("test runs it, and its tests passed");
    let release = eyes
        .until("prod waits for approval", |_, r| r.run(&prod).is_some_and(|run| !run.offers.is_empty()))
        .await?;
    let state = service.journal().load(&id).await?;
    told.done("prod waits:");
    for line in view::why_text(&state, &release, &prod, clock::now()).lines() {
        told.say(&format!("      {line}"));
    }
    let (version, commit) = (release.created.version.to_string(), release.created.commit.clone());
    let program = std::env::current_exe().map_or_else(|_| "liftlock".to_owned(), |p| p.display().to_string());
    told.say("");
    told.say(&format!("page:     {url}{}", view::release_path(&id, release.no())));
    told.say(&format!(
        "approve:  {program} comment {REPOSITORY} {commit} \"/approve prod\" --as {MAINTAINER} --server {url}"
    ));
    told.say(&format!("why:      {program} why {version} prod --server {url}"));
    told.say(&format!(
        "statuses: git -C {} log --notes=liftlock -1 {}",
        place.bare().display(),
        commit.short()
    ));
    told.say("");
    if !arguments.auto {
        return Ok(());
    }
    approve(url, &commit).await?;
    told.done(&format!("{MAINTAINER} commented `/approve prod`"));
    told.start("raising the same bytes to prod");
    let release = eyes.until("prod runs it", |_, r| r.state_in(&prod) == Some(StageState::Succeeded)).await?;
    let deployed = std::fs::read_to_string(place.target().join("prod").join("digest"))
        .map_err(|e| Trouble::bug("read what prod runs").because(e))?;
    if release.shown_digest().map(ToString::to_string).as_deref() != Some(deployed.trim()) {
        return Err(Trouble::bug(format!("prod runs {}, not {digest}", deployed.trim())));
    }
    told.done(&format!("prod runs {version} with the digest that test ran: {}", deployed.trim()));
    Ok(())
}

/// Comments through the server's own API, as `liftlock comment` does.
async fn approve(url: &str, commit: &crate::domain::name::CommitSha) -> Result<(), Trouble> {
    let server = crate::cli::Server { address: url.to_owned(), token: None, json: false };
    let body = serde_json::json!({
        "repo": REPOSITORY, "place": commit.as_str(), "body": "/approve prod", "as": MAINTAINER,
    });
    crate::cli::client::post(&server, "/api/comments", &body).await.map(|_| ())
}

fn stage(name: &str) -> Result<StageName, Trouble> {
    name.parse().map_err(|e| Trouble::bug("name a stage").because(e))
}

async fn wait_for_interrupt(told: &Teller) -> Result<(), Trouble> {
    told.say("The server runs until you press Ctrl-C.");
    tokio::signal::ctrl_c().await.map_err(|e| Trouble::transient("wait for Ctrl-C").because(e))
}

/// Looks at the release until something is so.
struct Eyes<'a> {
    service: &'a Service,
    id: &'a PipelineId,
    told: &'a Teller,
}

impl Eyes<'_> {
    async fn until(
        &self,
        what: &str,
        so: impl Fn(&State, &Release) -> bool,
    ) -> Result<std::sync::Arc<Release>, Trouble> {
        let begun = clock::monotonic();
        loop {
            let state = self.service.journal().load(self.id).await?;
            if let Some(release) = state.in_order().last() {
                if so(&state, release) {
                    return Ok(std::sync::Arc::clone(release));
                }
                if let BuildState::Failed(detail) = &release.build {
                    return Err(Trouble::refused(format!("the build failed: {detail:?}")));
                }
                if let Some((stage, run)) = release
                    .stages
                    .iter()
                    .filter_map(|(stage, runs)| runs.last().map(|run| (stage, run)))
                    .find(|(_, run)| run.state.is_bad_end())
                {
                    return Err(Trouble::refused(format!("{stage} {}: {:?}", run.state.word(), run.detail)));
                }
            }
            if begun.elapsed() > STEP_WITHIN.as_std() {
                return Err(Trouble::transient(format!(
                    "gave up after {STEP_WITHIN} of waiting until {what}"
                )));
            }
            self.told.tick();
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Says what is going on: a spinner where somebody watches, plain lines elsewhere.
struct Teller {
    bar: Option<ProgressBar>,
}

impl Teller {
    fn new() -> Self {
        let bar = terminal::is_watched().then(|| {
            let style = ProgressStyle::with_template("  {spinner} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            ProgressBar::new_spinner().with_style(style)
        });
        Self { bar }
    }

    fn start(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => terminal::note(&format!("  … {text}")),
        }
    }

    fn tick(&self) {
        self.bar.iter().for_each(ProgressBar::tick);
    }

    fn done(&self, text: &str) {
        self.say(&format!("  ✔ {text}"));
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| terminal::note(text)),
            None => terminal::note(text),
        }
    }
}

/// The folder of a demo.
struct Place {
    root: PathBuf,
}

impl Place {
    fn make(given: Option<PathBuf>) -> Outcome<Self> {
        let name = format!("liftlock-demo-{}", std::process::id());
        let root = given.unwrap_or_else(|| std::env::temp_dir().join(name));
        if root.join("hello.git").exists() {
            return Err(Trouble::conflict(format!(
                "{} holds a demo already; name another folder",
                root.display()
            )));
        }
        std::fs::create_dir_all(root.join("target"))
            .map_err(|e| Trouble::refused(format!("make the folder {}", root.display())).because(e))?;
        let root = std::fs::canonicalize(&root).map_err(|e| Trouble::bug("find the folder").because(e))?;
        Ok(Self { root })
    }

    fn bare(&self) -> PathBuf {
        self.root.join("hello.git")
    }

    fn work(&self) -> PathBuf {
        self.root.join("hello")
    }

    /// Where the sample's deploy script puts the page, one folder a stage.
    fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    fn secret_file(&self) -> PathBuf {
        self.root.join("webhook-secret")
    }

    /// A bare repository with our hook, and a clone with the sample committed.
    fn write_repository(&self, server: &str) -> Outcome<()> {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes).map_err(|e| Trouble::transient("get random bytes").because(e))?;
        write_synced(&self.secret_file(), hex::encode(bytes).as_bytes(), 0o600)?;
        git(&self.root, &["init", "--quiet", "--bare", "--initial-branch=main", "hello.git"])?;
        git(&self.root, &["init", "--quiet", "--initial-branch=main", "hello"])?;
        for (path, text, mode) in SAMPLE {
            let path = self.work().join(path);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)
                    .map_err(|e| Trouble::refused("make the sample").because(e))?;
            }
            write_synced(&path, text.as_bytes(), mode)?;
        }
        git(&self.work(), &["add", "."])?;
        git(&self.work(), &["commit", "--quiet", "-m", "feat: say hello"])?;
        let program =
            std::env::current_exe().map_err(|e| Trouble::transient("find this program").because(e))?;
        let repository = REPOSITORY.parse().map_err(|e| Trouble::bug("name the repository").because(e))?;
        let secret_file = self.secret_file();
        let wanted = Hook { program: &program, server, secret_file: &secret_file, repository: &repository };
        hook::install(&self.bare(), &wanted).map(|_| ())
    }

    fn push(&self) -> Outcome<()> {
        let bare = self.bare();
        let work = self.work();
        // The hook talks to this very process, so the push must not hold its thread.
        tokio::task::block_in_place(|| git(&work, &["push", "--quiet", &bare.display().to_string(), "main"]))
    }

    fn config(&self, url: &str) -> Outcome<Config> {
        let root = self.root.display();
        let text = format!(
            r#"
listen = "{listen}"
public_url = "{url}"
data = "{root}/data"
webhook_secrets = [{{ file = "{root}/webhook-secret" }}]

[environment]
LIFTLOCK_DEMO_TARGET = "{root}/target"

[plain.repositories.{REPOSITORY}]
path = "{root}/hello.git"

[plain.people.{MAINTAINER}]
id = 1
role = "maintain"
emails = ["{MAINTAINER}@demo.invalid"]

[plain.people.bo]
id = 2
role = "write"
"#,
            listen = url.trim_start_matches("http://"),
        );
        let read = |path: &Path| std::fs::read_to_string(path).map_err(|e| e.to_string());
        Config::read(&text, &Environment::new(), &read)
            .map_err(|problems| Trouble::bug("read the demo's config").because(problems))
    }
}

/// Runs git with an identity of its own and nothing of this machine's settings.
fn git(folder: &Path, arguments: &[&str]) -> Outcome<()> {
    let output = Command::new("git")
        .current_dir(folder)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", MAINTAINER)
        .env("GIT_AUTHOR_EMAIL", format!("{MAINTAINER}@demo.invalid"))
        .env("GIT_COMMITTER_NAME", MAINTAINER)
        .env("GIT_COMMITTER_EMAIL", format!("{MAINTAINER}@demo.invalid"))
        .output()
        .map_err(|e| Trouble::refused("run git; is it installed?").because(e))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Trouble::refused(format!("git {} failed: {}", arguments.first().unwrap_or(&""), said.trim())))
}
