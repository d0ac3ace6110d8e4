//! The deploy of a stage with targets: batch after batch, of one as many side by side as may fail and one more, each
//! begun and reported in the log, health in between.

use std::path::{Path, PathBuf};
use std::time::Instant;

use futures_util::future::join_all;

use crate::clock;
use crate::domain::check::leg::{Health, Pulse, not_well};
use crate::domain::check::{Check, TIMEOUT};
use crate::domain::event::Failure;
use crate::domain::name::{Digest, TargetName};
use crate::domain::pipeline::Step;
use crate::domain::pipeline::step::{Action, Shell};
use crate::domain::pipeline::target::Rolling;
use crate::domain::progress::Phase;
use crate::domain::rollout::{Next, Said};
use crate::domain::slot;
use crate::domain::time::Span;
use crate::runner::connection::Kept;
use crate::runner::target::{Host, Kind, Route, Target, quoted, script};
use crate::service::blocking;
use crate::service::stage::units::stands_alone;
use crate::service::stage::{Course, Walk};
use crate::service::steps::one::surroundings;
use crate::service::steps::{KeptLog, StepsEnd};
use crate::trouble::{Outcome, Trouble};

/// What is left of the time for all steps.
pub(super) type Left<'l> = &'l (dyn Fn() -> Span + Send + Sync);

impl Walk<'_> {
    /// Runs the deploy steps for the targets of a portion, batch after batch, as long as the rollout goes on.
    pub(super) async fn roll(
        &mut self,
        (percent, rolling, health): (u32, Rolling, Option<&Check>),
        (steps, left): (&[Step], Left<'_>),
        kept: &mut KeptLog,
    ) -> Outcome<()> {
        let mut failures: Vec<Failure> = Vec::new();
        loop {
            let batch = match self.rollout.next(&rolling, percent) {
                Next::Batch(batch) => batch,
                Next::Done => {
                    // What was put up with is told of, and no more.
                    self.news.issues.extend(failures);
                    return Ok(());
                }
                Next::Stop(why) => {
                    let first = failures.into_iter().next();
                    let step = first.as_ref().map_or("health", |failure| failure.step.as_str()).to_owned();
                    let how = first.as_ref().map_or_else(|| why.clone(), |f| format!("{}; {why}", f.how));
                    let tail = first.map(|failure| failure.tail).unwrap_or_default();
                    self.end = StepsEnd::Failed(Failure { step, how, tail });
                    return Ok(());
                }
            };
            let mut rest = batch.as_slice();
            while !rest.is_empty() {
                let at_once = if steps.iter().all(stands_alone) { self.rollout.at_once(&rolling) } else { 1 };
                let (names, later) = rest.split_at_checked(at_once).unwrap_or((rest, &[]));
                rest = later;
                let Some(targets) = self.known(names) else { return Ok(()) };
                let goes_on = match targets.as_slice() {
                    [only] => self.one(only, (steps, left), (&mut failures, kept)).await?,
                    several => self.several(several, (steps, left), (&mut failures, kept)).await?,
                };
                if !goes_on {
                    return Ok(());
                }
                if matches!(self.rollout.next(&rolling, percent), Next::Stop(_)) {
                    break;
                }
            }
            if let (Some(check), Next::Batch(_) | Next::Done) = (health, self.rollout.next(&rolling, percent))
            {
                match self.healthy(check, left, kept).await? {
                    Some(Ok(())) => {}
                    Some(Err(why)) => {
                        if self.say(Said::Unhealthy(why), kept).await?.is_none() {
                            return Ok(());
                        }
                    }
                    None => return Ok(()),
                }
            }
        }
    }

    /// The targets of these names, as the config has them now; nothing is begun unless it has all of them.
    fn known(&mut self, names: &[TargetName]) -> Option<Vec<Target>> {
        let mut targets = Vec::with_capacity(names.len());
        for name in names {
            let Some(target) = self.course.targets.iter().find(|target| target.name == *name) else {
                // It may have stopped in between, and the config is another one since.
                let how = format!("the server's config no longer has the target {name}");
                self.end = StepsEnd::Failed(Failure { step: name.to_string(), how, tail: Vec::new() });
                return None;
            };
            targets.push(target.clone());
        }
        Some(targets)
    }

    /// All steps for several targets at the same time. Each is begun and reported in the log by itself, as if it were
    /// alone, so that whoever comes after a dead worker knows of each; all of them end before anything else begins.
    async fn several(
        &mut self,
        targets: &[Target],
        (steps, left): (&[Step], Left<'_>),
        (failures, kept): (&mut Vec<Failure>, &mut KeptLog),
    ) -> Outcome<bool> {
        let mut all = Vec::with_capacity(targets.len());
        for target in targets {
            let (mut walk, mut kept) = (self.apart(), kept.beside(target.name.as_str()));
            all.push(Box::pin(async move {
                let mut failures = Vec::new();
                let ended = walk.one(target, (steps, left), (&mut failures, &mut kept)).await;
                kept.log.end().await;
                (walk, failures, ended)
            }));
        }
        let mut goes_on = Ok(true);
        for (walk, failed, ended) in join_all(all).await {
            failures.extend(failed);
            self.news.issues.extend(walk.news.issues);
            self.news.conditional.extend(walk.news.conditional);
            if matches!(ended, Ok(false)) && self.end != StepsEnd::Lost {
                self.end = walk.end;
            }
            goes_on = goes_on.and_then(|before| ended.map(|goes_on| before && goes_on));
        }
        let state = self.service.journal().load(self.course.id).await?;
        self.rollout = self.course.rollout(&state).unwrap_or_default();
        goes_on
    }

    /// All steps for one target; false when the run is no longer ours or was stopped.
    async fn one(
        &mut self,
        target: &Target,
        (steps, left): (&[Step], Left<'_>),
        (failures, kept): (&mut Vec<Failure>, &mut KeptLog),
    ) -> Outcome<bool> {
        if self.say(Said::Started(target.name.clone()), kept).await?.is_none() {
            return Ok(false);
        }
        kept.log.note(&format!("target {}", target.name)).await;
        let before = self.environment.clone();
        self.environment.extend(target.environment());
        let ran = match &target.kind {
            Kind::Local { .. } | Kind::Kubernetes(_) => self.all(steps, left, kept).await,
            Kind::Http(hook) => self.elsewhere((target, hook), (steps, left), kept).await,
            Kind::Ssh(host) => self.remotely((target, host), (steps, left), kept).await,
        };
        self.environment = before;
        ran?;
        let ended = |failed| Said::Ended { target: target.name.clone(), failed };
        match std::mem::replace(&mut self.end, StepsEnd::Passed) {
            StepsEnd::Passed => Ok(self.say(ended(None), kept).await?.is_some()),
            StepsEnd::Failed(failure) | StepsEnd::TimedOut(failure) => {
                let how = format!("\"{}\" {}", failure.step, failure.how);
                failures.push(Failure { how: format!("on {}: {}", target.name, failure.how), ..failure });
                Ok(self.say(ended(Some(how)), kept).await?.is_some())
            }
            // Nobody knows how far its commands came: the log says that it was begun, and no more.
            end @ (StepsEnd::Stopped | StepsEnd::Lost | StepsEnd::Paused(_)) => {
                self.end = end;
                Ok(false)
            }
        }
    }

    /// The artifacts first, then the same steps in a shell on the host.
    async fn remotely(
        &mut self,
        (target, host): (&Target, &Host),
        (steps, left): (&[Step], Left<'_>),
        kept: &mut KeptLog,
    ) -> Outcome<()> {
        let folder = self.course.notes.with_file_name("ssh").join(target.name.as_str());
        let known = folder.join("known_hosts");
        put(known.clone(), host.known_hosts()).await?;
        // Closed when this returns, however it ends.
        let mut kept_open = self.connected(host, (&folder, &known)).await;
        let route = match &kept_open {
            Ok(_) => Route::Through,
            Err(printed) => match host.trouble(&target.name, printed) {
                Some(how) => {
                    for line in printed {
                        kept.log.note(line).await;
                    }
                    let step = format!("connect to {}", target.name);
                    self.end = StepsEnd::Failed(Failure { step, how, tail: Vec::new() });
                    return Ok(());
                }
                None => Route::Alone,
            },
        };
        // The clients find the connection where they start.
        let client = format!("cd {} && exec {}", in_quotes(&folder), host.client(&known, route));
        let there = folder_there(self.course);
        let unpack = format!(
            "set -e; umask 077; d=\"$HOME\"/{}; rm -rf \"$d.new\"; mkdir -p \"$d.new\"; tar -C \"$d.new\" -xof -; \
             rm -rf \"$d\"; mv \"$d.new\" \"$d\"",
            quoted(&there)
        );
        let from = in_quotes(&self.course.artifacts);
        let text = format!("tar -C {from} -cf - . | ({client} {})", quoted(&unpack));
        let copy = Step { name: format!("copy to {}", target.name), ..Step::command(String::new(), text) };
        self.step((Phase::Deploy, 0, &copy), left, kept).await?;
        let aliases: Vec<String> =
            self.course.release.artifacts.iter().map(|a| a.alias.to_string()).collect();
        for (index, step) in (0_u32..).zip(steps) {
            if self.end != StepsEnd::Passed && !step.terms.always {
                continue;
            }
            if matches!(step.action, Action::Publish(_) | Action::Write(_)) {
                self.step((Phase::Deploy, index, step), left, kept).await?;
                continue;
            }
            let step = match self.told(step, &folder, (&client, &there, &aliases), index).await? {
                Ok(step) => step,
                Err(how) => {
                    let step = kept.mask.apply(&step.name);
                    self.end = StepsEnd::Failed(Failure { step, how, tail: Vec::new() });
                    continue;
                }
            };
            self.step((Phase::Deploy, index, &step), left, kept).await?;
        }
        if let StepsEnd::Failed(failure) = &mut self.end {
            let lost = match &mut kept_open {
                Ok(kept_open) => kept_open.is_lost().await,
                Err(_) => false,
            };
            let why = lost.then(|| host.lost()).or_else(|| host.trouble(&target.name, &failure.tail));
            if let Some(why) = why {
                failure.how = why;
            }
        }
        Ok(())
    }

    /// A connection that is kept for all steps of a target; what the client printed when there is none, and nothing when
    /// nobody waits for it any more.
    async fn connected(&self, host: &Host, (folder, known): (&Path, &Path)) -> Result<Kept, Vec<String>> {
        let stops = self.course.lease.stops();
        tokio::select! {
            kept = host.keep(folder, known) => kept,
            () = stops.cancel.cancelled() => Err(Vec::new()),
            () = stops.lost.cancelled() => Err(Vec::new()),
        }
    }

    /// A step as a command here that runs it there; what it is told lies in files that nobody else reads.
    async fn told(
        &self,
        step: &Step,
        folder: &Path,
        (client, there, aliases): (&str, &str, &[String]),
        index: u32,
    ) -> Outcome<Result<Step, String>> {
        let run = self.run(&self.course.deploy_in, &self.environment);
        let ready = surroundings(step, &run).and_then(|environment| Ok((environment, spoken(step)?)));
        let (environment, (shell, text)) = match ready {
            Ok(ready) => ready,
            Err(why) => return Ok(Err(format!("did not start: {why}"))),
        };
        let below = step.terms.folder.as_deref().unwrap_or_default();
        let mut terms = step.terms.clone();
        terms.shell = None;
        terms.folder = None;
        let mut here = String::new();
        for (what, text) in [("step", Some(text)), ("validate", step.terms.validate.clone())] {
            let Some(text) = text else { continue };
            let file = folder.join(format!("{what}-{index}"));
            put(file.clone(), script(&environment, (there, below, aliases), (shell, &text))).await?;
            let line = format!("{client} /bin/sh -s < {}", in_quotes(&file));
            if what == "step" {
                here = line;
            } else {
                terms.validate = Some(line);
            }
        }
        Ok(Ok(Step { action: Action::Run(here), terms, ..step.clone() }))
    }

    /// What health says after a batch; nothing when somebody stopped the run or it is another's.
    pub(super) async fn healthy(
        &mut self,
        check: &Check,
        left: Left<'_>,
        kept: &mut KeptLog,
    ) -> Outcome<Option<Result<(), String>>> {
        let begun = clock::monotonic();
        let patience = check.timeout.unwrap_or(TIMEOUT);
        let mut pulse = Pulse::default();
        loop {
            let Some(reading) = self.service.ask_health(self.course, &self.rollout, check).await else {
                let lost = self.course.lease.stops().lost.is_cancelled();
                self.end = if lost { StepsEnd::Lost } else { StepsEnd::Stopped };
                return Ok(None);
            };
            kept.log.note(&format!("health {}: {:?}, {}", check.name, reading.answer, reading.detail)).await;
            let over = spent(begun, patience) || left() <= check.pace();
            match pulse.take(check, reading.answer) {
                Health::Well => return Ok(Some(Ok(()))),
                Health::Open if !over => {}
                ill @ (Health::Ill | Health::Open) => {
                    return Ok(Some(Err(not_well(check, (ill, &reading), patience))));
                }
            }
            tokio::select! {
                () = self.course.lease.stops().cancel.cancelled() => {}
                () = self.course.lease.stops().lost.cancelled() => {}
                () = self.service.store().passes(check.pace()) => {}
            }
        }
    }
}

/// What goes into the log says no secret.
pub(super) fn kept_from(said: Said, kept: &KeptLog) -> Said {
    match said {
        Said::Ended { target, failed } => {
            Said::Ended { target, failed: failed.map(|how| kept.mask.apply(&how)) }
        }
        Said::Unhealthy(why) => Said::Unhealthy(kept.mask.apply(&why)),
        Said::Slot(slot::Said::Unswitched { to, how }) => {
            Said::Slot(slot::Said::Unswitched { to, how: kept.mask.apply(&how) })
        }
        Said::Launched { target, page } => Said::Launched { target, page: kept.mask.apply(&page) },
        Said::Waits { target, state } => {
            Said::Waits { target, state: state.map(|state| kept.mask.apply(&state)) }
        }
        Said::Chosen(_) | Said::Portion(_) | Said::Started(_) | Said::Slot(_) => said,
    }
}

/// Where a host keeps what a stage gave it; of each track, since two of them may be at work there.
fn folder_there(course: &Course<'_>) -> String {
    let track = course.release.track().map(|track| Digest::of_text(&track.to_string()));
    let own = track.map_or_else(String::new, |digest| format!("-{}", digest.hex()));
    format!(".liftlock/{}/{}{own}", course.id.name, course.stage.name)
}

fn in_quotes(path: &Path) -> String {
    quoted(&path.display().to_string())
}

fn spent(begun: Instant, patience: Span) -> bool {
    begun.elapsed() >= patience.as_std()
}

/// The shell on the host and the text for it; scripts of the artifact and other shells are the server's to run.
fn spoken(step: &Step) -> Result<(&'static str, String), String> {
    let shell = match step.terms.shell {
        None | Some(Shell::Sh) => "/bin/sh",
        Some(Shell::Bash) => "bash",
        Some(Shell::Pwsh | Shell::Python) => {
            return Err("on a target by ssh `sh` and `bash` read commands".to_owned());
        }
    };
    match &step.action {
        Action::Run(text) => Ok((shell, text.clone())),
        Action::Script(script) => Err(format!(
            "on a target by ssh write `run: sh \"$LIFTLOCK_ARTIFACT/{}\"` instead of `script`",
            script.path
        )),
        Action::Pause(_) => Err("only a stage can stop to ask".to_owned()),
        Action::Hook(_) => Err("only a target of kind `http` does a job".to_owned()),
        Action::Publish(_) => Err("only a stage publishes".to_owned()),
        Action::Write(_) => Err("only a stage writes documents of its release".to_owned()),
        Action::Gather(_) => Err("only a stage gathers what its release is made of".to_owned()),
    }
}

/// Why a step cannot be run for a target, found before anything has happened.
pub(crate) fn unfit(target: &Target, step: &Step) -> Option<String> {
    match (&target.kind, &step.action) {
        // It happens here and once, whatever the target.
        (_, Action::Publish(_) | Action::Write(_) | Action::Gather(_)) => None,
        (Kind::Ssh(_), _) if !step.terms.outputs.is_empty() => {
            Some("its outputs would stay on the target; write them in a hook".to_owned())
        }
        (Kind::Ssh(_), _) => spoken(step).err(),
        (Kind::Http(_), Action::Hook(_)) => None,
        (Kind::Http(_), Action::Run(_) | Action::Script(_) | Action::Pause(_)) => {
            Some("a target of kind `http` runs no commands; write `deploy: [{uses: hook}]`".to_owned())
        }
        (Kind::Local { .. } | Kind::Kubernetes(_), Action::Hook(_)) => {
            Some("only a target of kind `http` does a job".to_owned())
        }
        (Kind::Local { .. } | Kind::Kubernetes(_), Action::Run(_) | Action::Script(_) | Action::Pause(_)) => {
            None
        }
    }
}

/// A file of ours that nobody else reads.
async fn put(path: PathBuf, text: String) -> Outcome<()> {
    blocking(move || {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let write = || {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            file.write_all(text.as_bytes())
        };
        write().map_err(|e| Trouble::transient(format!("write {}", path.display())).because(e))
    })
    .await
}
