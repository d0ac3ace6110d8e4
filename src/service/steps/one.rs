//! One step as a job: which program reads it, with which words, how often it is tried, and how it ended.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::domain::event::Failure;
use crate::domain::pipeline::Step;
use crate::domain::pipeline::step::{Action, Script, Shell};
use crate::domain::pipeline::words::{Names, expand, words};
use crate::domain::time::Span;
use crate::domain::variable::environment_name;
use crate::mask::Mask;
use crate::runner::probe::find_program;
use crate::runner::{Job, Limits, Program, Report, Sandbox, Stops};
use crate::service::Service;
use crate::service::steps::{KeptLog, Run, StepsEnd};
use crate::trouble::Outcome;

/// First wait before a step is tried again; it doubles with every try.
const TRY_AGAIN: Span = Span::seconds(1);
/// Longest wait before a step is tried again.
const LONGEST_WAIT: Span = Span::seconds(30);
/// What a PowerShell text is wrapped in, so that it ends at the first error and with the last program's exit code.
const PWSH_BEFORE: &str = "$ErrorActionPreference = 'Stop'\n";
const PWSH_AFTER: &str = "\nif (Test-Path -LiteralPath variable:\\LASTEXITCODE) { exit $LASTEXITCODE }\n";

/// Why a step cannot be started at all, as the end of a sentence about it.
pub(crate) type NotReady = String;

impl Service {
    /// Runs a step, again when it may be tried again; `left` is what remains of the time for all steps.
    pub(crate) async fn run_step(
        &self,
        (step, run): (&Step, &Run<'_>),
        left: &(dyn Fn() -> Span + Send + Sync),
        kept: &mut KeptLog,
        stops: &Stops,
    ) -> Outcome<StepsEnd> {
        let ready = program(step, run, &kept.mask);
        let (program, environment) = match ready {
            Ok(ready) => ready,
            Err(why) => {
                kept.log.note(&format!("{} does not start: {why}", step.name)).await;
                return Ok(StepsEnd::Failed(self.failure(
                    step,
                    &format!("did not start: {why}"),
                    Vec::new(),
                )));
            }
        };
        let folder = step.terms.folder.as_ref().map(PathBuf::from).unwrap_or_default();
        let mut tries = 0;
        loop {
            let wall = step.terms.timeout.map_or_else(left, |own| own.min(left()));
            let job = Job {
                program: program.clone(),
                tree: run.tree.to_owned(),
                folder: folder.clone(),
                environment: environment.clone(),
                limits: Limits { wall, ..Limits::default() },
                sandbox: run.sandbox.clone(),
            };
            kept.log.note(&format!("$ {}", shown(step))).await;
            let report = self.runner().run(&job, &mut kept.log, stops).await?;
            let mut end = self.step_end(step, &report);
            if let (StepsEnd::Passed, Some(proof)) = (&end, &step.terms.validate) {
                let job = Job { program: Program::Shell(proof.clone()), ..job };
                kept.log.note(&format!("validate: $ {}", proof.trim_end())).await;
                let report = self.runner().run(&job, &mut kept.log, stops).await?;
                end = not_valid(self.step_end(step, &report));
            }
            let again =
                matches!(end, StepsEnd::Failed(_) | StepsEnd::TimedOut(_)) && tries < step.terms.retries;
            if !again || left() <= Span::millis(1) {
                return Ok(end);
            }
            let wait = TRY_AGAIN.times(1_u64.checked_shl(tries).unwrap_or(u64::MAX)).min(LONGEST_WAIT);
            tries += 1;
            let of = step.terms.retries;
            kept.log.note(&format!("{} {}; try {tries} of {of} in {wait}", step.name, how(&end))).await;
            tokio::select! {
                () = stops.cancel.cancelled() => return Ok(StepsEnd::Stopped),
                () = stops.lost.cancelled() => return Ok(StepsEnd::Lost),
                () = tokio::time::sleep(wait.as_std()) => {}
            }
        }
    }

    fn step_end(&self, step: &Step, report: &Report) -> StepsEnd {
        let failure = || self.failure(step, &report.ended.to_string(), report.tail.clone());
        StepsEnd::of_process(&report.ended, failure)
    }

    fn failure(&self, step: &Step, how: &str, tail: Vec<String>) -> Failure {
        Failure { step: self.mask().apply(&step.name), how: self.mask().apply(how), tail }
    }
}

/// What is started for the step, and its environment.
pub(crate) fn program(
    step: &Step,
    run: &Run<'_>,
    mask: &Mask,
) -> Result<(Program, BTreeMap<String, String>), NotReady> {
    let environment = surroundings(step, run)?;
    let program = match &step.action {
        Action::Run(text) => match step.terms.shell {
            None | Some(Shell::Sh) => Program::Shell(text.clone()),
            Some(shell) => {
                let text = if shell == Shell::Pwsh {
                    format!("{PWSH_BEFORE}{text}{PWSH_AFTER}")
                } else {
                    text.clone()
                };
                argv(interpreter(shell, run, &environment)?, shell.for_text(), [text])
            }
        },
        Action::Script(script) => script_program(script, run, (&environment, mask))?,
        Action::Pause(_) => return Err("only a stage can stop to ask".to_owned()),
        Action::Hook(_) => return Err("only a target of kind `http` does a job".to_owned()),
        Action::Publish(_) => return Err("only a stage publishes".to_owned()),
        Action::Write(_) => return Err("only a stage writes documents of its release".to_owned()),
        Action::Gather(_) => return Err("only a stage gathers what its release is made of".to_owned()),
    };
    Ok((program, environment))
}

/// The step's environment: what is around all steps, its connection, its `with`, its own variables.
pub(crate) fn surroundings(step: &Step, run: &Run<'_>) -> Result<BTreeMap<String, String>, NotReady> {
    let mut environment = run.environment.clone();
    if let Some(name) = &step.terms.connection {
        let given = run.connections.get(name).ok_or_else(|| format!("there is no connection `{name}`"))?;
        environment.extend(given.clone());
    }
    let names = Names::of(&environment);
    let with = step.terms.with.iter().map(|(name, text)| {
        let value = expand(text, &names)
            .map_err(|missing| format!("`{name}` names `$({missing})`, which nobody gives"))?;
        Ok((environment_name(name), value))
    });
    let with: Vec<(String, String)> = with.collect::<Result<_, NotReady>>()?;
    environment.extend(with);
    environment.extend(step.environment.clone());
    if let Some(name) = &step.terms.runbook {
        environment.insert("LIFTLOCK_RUNBOOK".to_owned(), name.to_string());
    }
    Ok(environment)
}

/// Whether a step's condition holds; a step without one always runs.
pub(crate) fn holds(step: &Step, environment: &BTreeMap<String, String>) -> Result<bool, NotReady> {
    let Some(text) = &step.terms.condition else { return Ok(true) };
    let value = expand(text, &Names::of(environment))
        .map_err(|missing| format!("its condition names `$({missing})`, which nobody gives"))?;
    Ok(!matches!(value.trim().to_ascii_lowercase().as_str(), "" | "false" | "0" | "no" | "off"))
}

/// A text with the values of its macros.
pub(crate) fn spelled(text: &str, environment: &BTreeMap<String, String>) -> Result<String, NotReady> {
    expand(text, &Names::of(environment))
        .map_err(|missing| format!("its text names `$({missing})`, which nobody gives"))
}

/// The file of the artifact and its words.
fn script_program(
    script: &Script,
    run: &Run<'_>,
    (environment, mask): (&BTreeMap<String, String>, &Mask),
) -> Result<Program, NotReady> {
    let (path, given) = words(script, &Names::of(environment)).map_err(|lacking| lacking.to_string())?;
    if let Some((at, word)) = given.iter().enumerate().find(|(_, word)| mask.apply(word) != **word) {
        let mut names = script.arguments.iter().filter_map(|a| a.name.clone());
        let name = names.find(|name| word.starts_with(&script.shell.named(name, "")));
        let name = name.unwrap_or_else(|| (at + 1).to_string());
        return Err(format!(
            "the argument `{name}` would show a secret to everybody on the machine; read it from the environment"
        ));
    }
    let artifacts = run.artifacts.ok_or_else(|| "a build has no artifact to take it from".to_owned())?;
    let file = artifacts.first.join(&path);
    if !artifacts.unpacked {
        return Ok(argv(interpreter(script.shell, run, environment)?, script.shell.for_file(), given));
    }
    let inside = |file: &Path| {
        let (file, all) = (file.canonicalize().ok()?, artifacts.all.canonicalize().ok()?);
        (file.is_file() && file.starts_with(all)).then_some(file)
    };
    let file = inside(&file).ok_or_else(|| format!("the artifact has no file `{path}`"))?;
    let words = [file.display().to_string()].into_iter().chain(given);
    Ok(argv(interpreter(script.shell, run, environment)?, script.shell.for_file(), words))
}

/// A proof that failed is a failure of its step.
pub(crate) fn not_valid(end: StepsEnd) -> StepsEnd {
    let tell = |failure: Failure| Failure { how: format!("`validate` {}", failure.how), ..failure };
    match end {
        StepsEnd::Failed(failure) => StepsEnd::Failed(tell(failure)),
        StepsEnd::TimedOut(failure) => StepsEnd::TimedOut(tell(failure)),
        StepsEnd::Passed | StepsEnd::Stopped | StepsEnd::Paused(_) | StepsEnd::Lost => end,
    }
}

fn how(end: &StepsEnd) -> &str {
    match end {
        StepsEnd::Failed(failure) | StepsEnd::TimedOut(failure) => &failure.how,
        StepsEnd::Passed | StepsEnd::Stopped | StepsEnd::Paused(_) | StepsEnd::Lost => "ended",
    }
}

fn argv(program: String, before: &[&str], words: impl IntoIterator<Item = String>) -> Program {
    let before = before.iter().map(|word| (*word).to_owned());
    Program::Argv([program].into_iter().chain(before).chain(words).collect())
}

/// Where the shell's program is; in a sandbox the sandbox looks for it.
fn interpreter(
    shell: Shell,
    run: &Run<'_>,
    environment: &BTreeMap<String, String>,
) -> Result<String, NotReady> {
    let usual = shell.programs().first().copied().unwrap_or_default();
    if matches!(run.sandbox, Sandbox::Bubblewrap(_)) {
        return Ok(usual.to_owned());
    }
    let path = environment.get("PATH").map_or("", String::as_str);
    let found = shell.programs().iter().find_map(|name| find_program(name, path));
    found.map(|p| p.display().to_string()).ok_or_else(|| {
        format!("it needs `{usual}`, which is not on the server's machine; install it, or add its folder to PATH in [environment] of the config")
    })
}

fn shown(step: &Step) -> String {
    match &step.action {
        Action::Run(text) => text.trim_end().to_owned(),
        Action::Script(script) => format!("{} {}", script.shell, script.path),
        Action::Pause(pause) => pause.instructions.clone(),
        Action::Hook(_) | Action::Publish(_) | Action::Write(_) | Action::Gather(_) => step.text().to_owned(),
    }
}
