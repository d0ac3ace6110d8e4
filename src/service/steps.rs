//! Running the commands of a build or a stage in order, in a folder of their own, with one log.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::domain::decide::StageEnd;
use crate::domain::event::Failure;
use crate::domain::pause::Question;
use crate::domain::pipeline::Step;
use crate::domain::time::Span;
use crate::folder;
use crate::mask::Mask;
use crate::runner::log::{Log, LogLine};
use crate::runner::{Ended, Sandbox, Stops};
use crate::service::environment::Grounds;
use crate::service::{Service, blocking};
use crate::store::Store;
use crate::trouble::{Outcome, Trouble};

pub(crate) mod one;
pub mod output;

/// How far a step's output may run ahead of the store; then the step waits.
const LINES_AHEAD: usize = 1_024;
/// Most lines written to the store at once.
const LINES_AT_ONCE: usize = 500;
/// Where steps find programs when the server's config says nothing else.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A folder for one piece of work, removed when it is dropped.
#[derive(Debug)]
pub struct Workplace {
    root: PathBuf,
}

impl Workplace {
    /// An empty folder below the data folder; what a lost worker left under the same name is removed first.
    pub async fn make(service: &Service, name: &str) -> Outcome<Self> {
        let root = service.settings().data.join("work").join(name);
        let path = root.clone();
        blocking(move || {
            if path.exists() {
                folder::remove(&path)?;
            }
            folder::make(&path.join("home"))
        })
        .await?;
        Ok(Self { root })
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Where everything of a stage is in it.
    pub fn grounds(&self) -> Grounds {
        Grounds::new(self.root.clone())
    }

    /// Removes it now, off the async threads.
    pub async fn remove(self) {
        let root = self.root;
        if let Err(trouble) = blocking(move || folder::remove(&root)).await {
            tracing::warn!(error = trouble.chain(), "a work folder stays behind");
        }
    }
}

/// A log that is kept in the store while it is written.
#[derive(Debug)]
pub struct KeptLog {
    /// What steps write to.
    pub log: Log,
    /// What hides in it.
    pub mask: Mask,
    /// Who stores it; nobody when it is written into another log.
    keeper: Option<JoinHandle<Outcome<()>>>,
}

impl KeptLog {
    /// Opens the log of this name.
    pub fn open(service: &Service, name: String) -> Self {
        Self::hiding(service, name, service.mask())
    }

    /// Opens a log that hides what this mask knows.
    pub fn hiding(service: &Service, name: String, mask: Mask) -> Self {
        let (sink, lines) = mpsc::channel(LINES_AHEAD);
        let log = Log::new(&mask, sink);
        let keeper = tokio::spawn(keep(service.store().clone(), name, lines));
        Self { log, mask, keeper: Some(keeper) }
    }

    /// A log that is written into this one, beside others; each of its lines begins with the name.
    #[must_use]
    pub fn beside(&self, name: &str) -> Self {
        Self { log: self.log.beside(name), mask: self.mask.clone(), keeper: None }
    }

    /// Ends the log and waits until all of it is stored.
    pub async fn close(mut self) -> Outcome<()> {
        self.log.end().await;
        drop(self.log);
        match self.keeper {
            Some(keeper) => keeper.await.unwrap_or_else(|e| Err(Trouble::of_task(e))),
            None => Ok(()),
        }
    }
}

/// Stores lines as they come, as many at a time as have come.
async fn keep(store: Store, name: String, mut lines: mpsc::Receiver<LogLine>) -> Outcome<()> {
    // A step that is repeated after a crash writes behind what the first try wrote.
    let mut next: i64 = 1;
    loop {
        let page = store.read_log(&name, next, LINES_AT_ONCE).await?;
        match page.last() {
            Some(last) => next = last.no.saturating_add(1),
            None => break,
        }
    }
    let mut batch = Vec::new();
    while lines.recv_many(&mut batch, LINES_AT_ONCE).await > 0 {
        let texts: Vec<String> = batch.drain(..).map(|line| line.text).collect();
        store.append_log(&name, next, &texts).await?;
        next = next.saturating_add(i64::try_from(texts.len()).unwrap_or(i64::MAX));
    }
    Ok(())
}

/// Commands to run in one place.
#[derive(Debug)]
pub struct Run<'a> {
    /// The commands.
    pub steps: &'a [Step],
    /// Where they start.
    pub tree: &'a Path,
    /// Variables for all of them.
    pub environment: &'a BTreeMap<String, String>,
    /// What is around them.
    pub sandbox: Sandbox,
    /// Wall-clock time for all of them together.
    pub wall: Span,
    /// Where scripts are taken from; a build has nothing yet.
    pub artifacts: Option<Artifacts<'a>>,
    /// What the connections of its steps give, by name; a build has none.
    pub connections: &'a Connections,
}

/// Variables of connections, by the connection's name.
pub type Connections = BTreeMap<String, BTreeMap<String, String>>;

/// The artifacts of a stage, as its scripts find them.
#[derive(Debug, Clone, Copy)]
pub struct Artifacts<'a> {
    /// The folder that all of them are in.
    pub all: &'a Path,
    /// The first of them, which a script's path is relative to.
    pub first: &'a Path,
    /// Whether they are there already, so that files can be looked for.
    pub unpacked: bool,
}

/// How the commands ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepsEnd {
    /// All of them passed.
    Passed,
    /// One said no.
    Failed(Failure),
    /// They ran out of time.
    TimedOut(Failure),
    /// Somebody cancelled.
    Stopped,
    /// A step asks people; what follows it has not run.
    Paused(Box<Question>),
    /// The lease is another's: say nothing.
    Lost,
}

impl StepsEnd {
    /// What the end of a process is for its step.
    pub fn of_process(ended: &Ended, failure: impl FnOnce() -> Failure) -> Self {
        match ended {
            Ended::Exited(0) => Self::Passed,
            Ended::Cancelled => Self::Stopped,
            Ended::Lost => Self::Lost,
            Ended::TimedOut { .. } => Self::TimedOut(failure()),
            Ended::Exited(_) | Ended::Killed { .. } | Ended::OutputLimit { .. } => Self::Failed(failure()),
        }
    }

    /// The same for the rules, for a run that began then; nothing when the next holder of the lease says it.
    pub fn of_run(self, begun: Instant) -> Option<StageEnd> {
        match self {
            Self::Passed => Some(StageEnd::Passed { took_ms: since(begun).as_millis() }),
            Self::Failed(failure) => Some(StageEnd::Failed(failure)),
            Self::TimedOut(failure) => Some(StageEnd::TimedOut(failure)),
            Self::Stopped => Some(StageEnd::Stopped),
            Self::Paused(question) => Some(StageEnd::Paused(question)),
            Self::Lost => None,
        }
    }
}

fn since(begun: Instant) -> Span {
    Span::millis(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// What is left of a time that began then; never nothing, so that who is out of time hears of it.
pub fn left_of(wall: Span, begun: Instant) -> Span {
    Span::millis(wall.as_millis().saturating_sub(since(begun).as_millis()).max(1))
}

impl Service {
    /// Runs the commands one after the other; the first that fails ends it.
    pub async fn run_steps(&self, run: &Run<'_>, kept: &mut KeptLog, stops: &Stops) -> Outcome<StepsEnd> {
        let begun = crate::clock::monotonic();
        let left = || left_of(run.wall, begun);
        for step in run.steps {
            let end = self.run_step((step, run), &left, kept, stops).await?;
            if end != StepsEnd::Passed {
                return Ok(end);
            }
        }
        Ok(StepsEnd::Passed)
    }

    /// The variables every step has: a path, a home of its own, and nothing of the server's.
    pub fn base_environment(&self, home: &Path) -> BTreeMap<String, String> {
        let mut environment = BTreeMap::from([
            ("PATH".to_owned(), PATH.to_owned()),
            ("HOME".to_owned(), home.display().to_string()),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
            ("CI".to_owned(), "true".to_owned()),
        ]);
        environment.extend(self.settings().environment.clone());
        environment
    }

    /// Exports a commit's files.
    pub async fn export(
        &self,
        repo: &crate::domain::name::RepoId,
        commit: &crate::domain::name::CommitSha,
        to: PathBuf,
    ) -> Outcome<()> {
        let commit = commit.clone();
        self.mirror(repo, move |mirror| {
            mirror.export_tree(&commit, &to, crate::service::TREE_LIMITS).map(|_| ())
        })
        .await
    }
}
