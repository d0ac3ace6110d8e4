//! The whole way: from an accepted webhook to the first status, and a release of three stages against its commands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use liftlock::artifact::file::write_synced;
use liftlock::clock;
use liftlock::domain::effect::{Place, Reaction, Status};
use liftlock::domain::name::{
    CommentId, CommitSha, Login, PipelineId, RepoId, RepoName, StageName, TeamName,
};
use liftlock::domain::person::{Person, Standing};
use liftlock::domain::probe::{CheckRun, CommitStatus};
use liftlock::domain::release::StageState;
use liftlock::domain::tag::Tag;
use liftlock::domain::time::{Span, Timestamp};
use liftlock::domain::workflow::{Left, Run};
use liftlock::forge::fact::Fact;
use liftlock::forge::plain::payload::Delivery;
use liftlock::forge::plain::{Plain, RepositorySettings, Settings};
use liftlock::forge::release::Releases;
use liftlock::forge::{
    Asked, Comment, Forge, Missed, OwnCheck, PullRequest, Repository, Said, Source, Tagged, Threads,
};
use liftlock::probe::guard::Allowed;
use liftlock::secret::Secret;
use liftlock::service::Service;

use crate::figure::{Fallible, Figure, Spread, flush_ms, ms};
use crate::wire::{Hook, Wire};
use crate::world;

/// Releases of which the median is told.
const RELEASES: usize = 15;
/// Quiet time before each, so that the service is idle.
const QUIET: Duration = Duration::from_millis(400);
/// Longest wait for a release.
const PATIENCE: Duration = Duration::from_secs(30);
/// Three stages, each of which runs `true` and nothing else.
const MANIFEST: &str = "version: 1\nname: hello\nbuild: \"true\"\ndeploy: \"true\"\nstages:\n  - name: one\n  - name: two\n  - name: three\n";
const LAST: &str = "three";
/// The commands of a release: one build and three stages.
const COMMANDS: usize = 4;

pub(crate) fn figures(folder: &Path) -> Fallible<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(all(folder))
}

async fn all(folder: &Path) -> Fallible<Vec<Figure>> {
    // What the build would have made: the artifact is the folder `dist`.
    let origin = Origin::make(folder, MANIFEST, &[("hello".to_owned(), b"hello\n".to_vec())])?;
    let (seen, mut statuses) = mpsc::unbounded_channel();
    let name: RepoName = "hello".parse()?;
    let repositories =
        BTreeMap::from([(name.clone(), RepositorySettings { path: origin.bare(), default_branch: None })]);
    let plain = Plain::open(Settings { repositories, people: BTreeMap::new() }, clock::now)?;
    let host: Arc<dyn Forge> = Arc::new(Watched { plain, seen });
    let service =
        world::service(&folder.join("data"), BTreeMap::from([("plain", host)]), Allowed::default()).await?;
    let stop = CancellationToken::new();
    let work = tokio::spawn(service.clone().work(stop.clone()));
    let address = world::listen(world::app(&service, stop.clone()), stop.clone()).await?;
    let mut wire = Wire::connect(address).await?;

    let id: PipelineId = "plain:hello/hello".parse()?;
    let (mut first, mut whole, mut by_hand, mut over) = (vec![], vec![], vec![], vec![]);
    for number in 0..=RELEASES {
        let (before, after) = origin.push(number)?;
        tokio::time::sleep(QUIET).await;
        while statuses.try_recv().is_ok() {}
        let told = Delivery::push(&name, "refs/heads/main", (before.as_str(), after.as_str()), None);
        let mut request = Vec::new();
        Hook::new("plain", told.event, told.body.as_bytes())?.write(&told.guid, &mut request);
        if wire.ask(&request).await? != 202 {
            return Err("the push was not accepted".into());
        }
        let accepted = clock::monotonic();
        let shown = first_status(&mut statuses, &after).await?;
        let ended = last_stage(&service, &id, &after).await?;
        let commands = commands_by_hand()?;
        // The first release also makes the mirror and opens every cache.
        if number > 0 {
            first.push(ms(shown.saturating_duration_since(accepted)));
            whole.push(ms(ended - accepted));
            by_hand.push(commands);
            over.push(ms(ended - accepted) - commands);
        }
    }
    stop.cancel();
    work.await?;
    service.store().close().await;
    let (first, over) = (Spread::of(first)?, Spread::of(over)?);
    let flush = flush_ms(folder)?;
    Ok(vec![
        Figure {
            what: "webhook accepted to first status sent",
            measured: first.show(1, "ms"),
            target: "< 30 ms",
            met: Some(first.median < 30.0),
            how: format!(
                "{RELEASES} pushes to an idle service, local bare repository; a flush takes {flush:.2} ms"
            ),
        },
        Figure {
            what: "release of 3 stages, more than its commands",
            measured: over.show(0, "ms"),
            target: "< 150 ms",
            met: Some(over.median < 150.0),
            how: format!(
                "build and 3 stages of `true`: {} by the engine, {} by hand",
                Spread::of(whole)?.show(0, "ms"),
                Spread::of(by_hand)?.show(1, "ms")
            ),
        },
    ])
}

/// When the first status of this commit was sent.
async fn first_status(
    statuses: &mut mpsc::UnboundedReceiver<(CommitSha, Instant)>,
    commit: &CommitSha,
) -> Fallible<Instant> {
    let wait = async {
        loop {
            let (of, at) = statuses.recv().await.ok_or("the host is gone")?;
            if of == *commit {
                return Ok(at);
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.map_err(|_| "no status was sent")?
}

/// When the last stage of this commit's release has succeeded.
async fn last_stage(service: &Service, id: &PipelineId, commit: &CommitSha) -> Fallible<Instant> {
    let last: StageName = LAST.parse()?;
    let began = clock::monotonic();
    let mut woken = service.store().woken();
    loop {
        woken.mark_unchanged();
        let state = service.journal().load(id).await?;
        let release = state.releases.values().find(|release| release.created.commit == *commit);
        if release.is_some_and(|release| release.state_in(&last) == Some(StageState::Succeeded)) {
            return Ok(clock::monotonic());
        }
        let wait = PATIENCE.saturating_sub(began.elapsed());
        if tokio::time::timeout(wait, woken.changed()).await.is_err() {
            let build = release.map(|release| &release.build);
            return Err(format!("the release did not end; its build: {build:?}").into());
        }
    }
}

/// Milliseconds of the same commands without an engine.
fn commands_by_hand() -> Fallible<f64> {
    let began = clock::monotonic();
    for _ in 0..COMMANDS {
        Command::new("sh").args(["-c", "true"]).stdin(Stdio::null()).status()?;
    }
    Ok(ms(began.elapsed()))
}

/// A bare repository and a clone to push from.
pub(crate) struct Origin {
    folder: PathBuf,
}

impl Origin {
    /// With this manifest and these files in `dist`.
    pub(crate) fn make(folder: &Path, manifest: &str, files: &[(String, Vec<u8>)]) -> Fallible<Self> {
        let origin = Self { folder: folder.to_owned() };
        git(folder, &["init", "--quiet", "--bare", "--initial-branch=main", "hello.git"])?;
        git(folder, &["init", "--quiet", "--initial-branch=main", "hello"])?;
        let place = origin.work().join(".github");
        std::fs::create_dir_all(&place)?;
        write_synced(&place.join("liftlock.yml"), manifest.as_bytes(), 0o644)?;
        let dist = origin.work().join("dist");
        std::fs::create_dir_all(&dist)?;
        files.iter().try_for_each(|(name, bytes)| write_synced(&dist.join(name), bytes, 0o644))?;
        git(&origin.work(), &["add", "."])?;
        git(&origin.work(), &["commit", "--quiet", "-m", "feat: begin"])?;
        git(&origin.work(), &["push", "--quiet", "../hello.git", "main"])?;
        Ok(origin)
    }

    pub(crate) fn bare(&self) -> PathBuf {
        self.folder.join("hello.git")
    }

    fn work(&self) -> PathBuf {
        self.folder.join("hello")
    }

    /// One more commit on `main`: the head before and after.
    pub(crate) fn push(&self, number: usize) -> Fallible<(CommitSha, CommitSha)> {
        let head =
            || -> Fallible<CommitSha> { Ok(git(&self.work(), &["rev-parse", "HEAD"])?.trim().parse()?) };
        let before = head()?;
        git(&self.work(), &["commit", "--quiet", "--allow-empty", "-m", &format!("fix: {number}")])?;
        git(&self.work(), &["push", "--quiet", "../hello.git", "main"])?;
        Ok((before, head()?))
    }
}

/// Runs git with an identity of its own and nothing of this machine's settings; answers what it wrote.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> Fallible<String> {
    let output = Command::new("git")
        .args(["-c", "user.name=Bench", "-c", "user.email=bench@example.org"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()?;
    if !output.status.success() {
        return Err(format!("git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A plain host that says when it was asked to show a status.
#[derive(Debug)]
struct Watched {
    plain: Plain,
    seen: mpsc::UnboundedSender<(CommitSha, Instant)>,
}

impl Forge for Watched {
    fn word(&self) -> &'static str {
        self.plain.word()
    }

    fn threads(&self) -> Threads {
        self.plain.threads()
    }

    fn status<'a>(&'a self, repo: &'a RepoId, commit: &'a CommitSha, status: &'a Status) -> Asked<'a, ()> {
        // Nobody listens any more once the last figure is taken.
        drop(self.seen.send((commit.clone(), clock::monotonic())));
        self.plain.status(repo, commit, status)
    }

    fn web(&self, repository: &RepoName, commit: &CommitSha, file: Option<&str>) -> Option<String> {
        self.plain.web(repository, commit, file)
    }

    fn releases(&self) -> Result<&dyn Releases, String> {
        self.plain.releases()
    }

    fn gives_tokens(&self) -> Result<(), String> {
        self.plain.gives_tokens()
    }

    fn step_token<'a>(&'a self, repo: &'a RepoId) -> Asked<'a, Secret> {
        self.plain.step_token(repo)
    }

    fn revoke<'a>(&'a self, token: &'a Secret) -> Asked<'a, ()> {
        self.plain.revoke(token)
    }

    fn translate(&self, event: &str, body: &[u8]) -> Result<Vec<Fact>, String> {
        self.plain.translate(event, body)
    }

    fn configured(&self) -> Asked<'_, Vec<RepoId>> {
        self.plain.configured()
    }

    fn repository<'a>(&'a self, repo: &'a RepoId) -> Asked<'a, Repository> {
        self.plain.repository(repo)
    }

    fn person_called<'a>(&'a self, repo: &'a RepoId, login: &'a Login) -> Asked<'a, Option<Person>> {
        self.plain.person_called(repo, login)
    }

    fn standing<'a>(
        &'a self,
        repo: &'a RepoId,
        person: &'a Person,
        teams: &'a BTreeSet<TeamName>,
    ) -> Asked<'a, Standing> {
        self.plain.standing(repo, person, teams)
    }

    fn comment<'a>(&'a self, repo: &'a RepoId, place: &'a Place, id: &'a CommentId) -> Asked<'a, Comment> {
        self.plain.comment(repo, place, id)
    }

    fn merged_pull_request<'a>(
        &'a self,
        repo: &'a RepoId,
        commit: &'a CommitSha,
    ) -> Asked<'a, Option<PullRequest>> {
        self.plain.merged_pull_request(repo, commit)
    }

    fn tracking_place<'a>(
        &'a self,
        repo: &'a RepoId,
        commit: &'a CommitSha,
        title: &'a str,
        marker: &'a str,
    ) -> Asked<'a, Place> {
        self.plain.tracking_place(repo, commit, title, marker)
    }

    fn say<'a>(
        &'a self,
        repo: &'a RepoId,
        place: &'a Place,
        marker: &'a str,
        body: &'a str,
    ) -> Asked<'a, Said> {
        self.plain.say(repo, place, marker, body)
    }

    fn react<'a>(
        &'a self,
        repo: &'a RepoId,
        place: &'a Place,
        comment: &'a CommentId,
        reaction: Reaction,
    ) -> Asked<'a, ()> {
        self.plain.react(repo, place, comment, reaction)
    }

    fn statuses<'a>(&'a self, repo: &'a RepoId, commit: &'a CommitSha) -> Asked<'a, Vec<CommitStatus>> {
        self.plain.statuses(repo, commit)
    }

    fn check_runs<'a>(
        &'a self,
        repo: &'a RepoId,
        commit: &'a CommitSha,
        name: &'a str,
    ) -> Asked<'a, Vec<CheckRun>> {
        self.plain.check_runs(repo, commit, name)
    }

    fn own_check<'a>(&'a self, repo: &'a RepoId, run: u64) -> Asked<'a, OwnCheck> {
        self.plain.own_check(repo, run)
    }

    fn count_issues<'a>(&'a self, repo: &'a RepoId, query: &'a str) -> Asked<'a, u64> {
        self.plain.count_issues(repo, query)
    }

    fn workflow_run<'a>(&'a self, repo: &'a RepoId, run: u64) -> Asked<'a, Run> {
        self.plain.workflow_run(repo, run)
    }

    fn run_artifacts<'a>(&'a self, repo: &'a RepoId, run: u64) -> Asked<'a, Vec<Left>> {
        self.plain.run_artifacts(repo, run)
    }

    fn fetch_artifact<'a>(&'a self, repo: &'a RepoId, artifact: &'a Left, to: &'a Path) -> Asked<'a, ()> {
        self.plain.fetch_artifact(repo, artifact, to)
    }

    fn tag<'a>(&'a self, repo: &'a RepoId, tag: &'a Tag) -> Asked<'a, Tagged> {
        self.plain.tag(repo, tag)
    }

    fn author<'a>(
        &'a self,
        repo: &'a RepoId,
        commit: &'a CommitSha,
        email: &'a str,
    ) -> Asked<'a, Option<Login>> {
        self.plain.author(repo, commit, email)
    }

    fn source<'a>(&'a self, repo: &'a RepoId) -> Asked<'a, Source> {
        self.plain.source(repo)
    }

    fn silences(&self) -> Vec<(String, Span)> {
        self.plain.silences()
    }

    fn keep_silent(&self, scope: &str, span: Span) {
        self.plain.keep_silent(scope, span);
    }

    fn deliveries_since(&self, since: Timestamp) -> Asked<'_, Vec<Missed>> {
        self.plain.deliveries_since(since)
    }

    fn redeliver(&self, id: u64) -> Asked<'_, ()> {
        self.plain.redeliver(id)
    }
}
