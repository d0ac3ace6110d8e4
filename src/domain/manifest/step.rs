//! One entry of `deploy`, `test_commands` or `build.steps` → a step.

use std::collections::BTreeMap;

use crate::domain::image::Base;
use crate::domain::manifest::adapter;
use crate::domain::manifest::build::clean_path;
use crate::domain::manifest::code::Code;
use crate::domain::manifest::derivation;
use crate::domain::manifest::node::{Node, Value};
use crate::domain::manifest::problem::{Findings, Place};
use crate::domain::manifest::publish;
use crate::domain::manifest::runbook;
use crate::domain::manifest::view::{self, View};
use crate::domain::name::{NameError, VariableName, printable};
use crate::domain::pipeline::Step;
use crate::domain::pipeline::step::{
    Action, Argument, Lack, Output, Pause, Script, Shell, Silence, Terms, is_reserved,
};
use crate::domain::runbook::Runbook;
use crate::domain::time::Span;
use crate::domain::variable::environment_name;

/// How long people have to answer a `pause` that does not say (SEMANTICS §3, the timeout of approvals).
const ANSWER_WITHIN: Span = Span::days(7);
/// Longest name of a step made from its command.
const NAME_CHARS: usize = 60;
/// Longest path of a script, macros included.
const MAX_SCRIPT_BYTES: usize = 300;

/// One command, or a list of commands and steps; one that uses a runbook stands for all steps of it.
pub(super) fn read(node: &Node, books: &[Runbook], findings: &mut Findings<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    for node in view::items(node) {
        match runbook::used(View::of(node)) {
            Some((uses, name)) => steps.extend(runbook::steps(View::of(node), (uses, name), books, findings)),
            None => steps.extend(step(node, findings)),
        }
    }
    steps
}

fn step(node: &Node, findings: &mut Findings<'_>) -> Option<Step> {
    if let Some(run) = view::text(node) {
        return Some(Step::command(shortened(run), run));
    }
    let view = View::of(node);
    let mut with = given(view, findings);
    let mut connection = view.line("connection");
    let action = match (view.get("uses"), view.line("pause")) {
        (Some(uses), _) => adapter::read(view, uses, (&mut with, &mut connection), findings)?,
        (None, Some(instructions)) => Action::Pause(pause(view, instructions, findings)),
        (None, None) => action(view, findings)?,
    };
    if let (Some(entry), None) = (view.entry("on_timeout"), view.get("pause")) {
        findings.add(Code::BadStep, entry.key_at, "`on_timeout` belongs to `pause`".to_owned());
    }
    let shell = view.line("shell").and_then(|word| Shell::of_word(&word));
    let terms = Terms {
        runbook: None,
        unit: None,
        in_source: false,
        image: view.get("image").and_then(view::text).and_then(Base::of),
        shell: if matches!(action, Action::Run(_)) { shell } else { None },
        with: with.into_iter().filter_map(|(name, value)| Some((name.parse().ok()?, value))).collect(),
        connection,
        outputs: outputs(view),
        makes: derivation::of_step(view, findings),
        validate: publish::validation(view, &action, findings),
        condition: view.line("if"),
        always: view.flag("always").unwrap_or(false),
        advisory: view.flag("blocking") == Some(false),
        folder: view.get("working_directory").and_then(view::text).and_then(|text| clean_path(text).ok()),
        timeout: if matches!(action, Action::Pause(_)) { None } else { view.parsed("timeout") },
        retries: view.count("retries").unwrap_or(0),
    };
    let unnamed =
        Step { name: String::new(), action, environment: view.variables("env"), terms: Box::new(terms) };
    let name = view.line("name").or_else(|| view.line("uses")).unwrap_or_else(|| shortened(unnamed.text()));
    Some(Step { name, ..unnamed })
}

/// What stands under `with`, by name as written.
fn given(view: View<'_>, findings: &mut Findings<'_>) -> BTreeMap<String, String> {
    if let (Some(entry), None) = (view.entry("version"), view.get("uses")) {
        let message = "`version` belongs to `uses`".to_owned();
        findings.add(Code::BadStep, entry.key_at, message);
    }
    view.variables("with")
}

fn outputs(view: View<'_>) -> Vec<Output> {
    let one = |node: &Node| {
        let inner = View::of(node);
        let name = view::text(node).or_else(|| inner.get("name").and_then(view::text))?;
        Some(Output { name: name.parse().ok()?, keep: inner.flag("keep").unwrap_or(false) })
    };
    view.items("outputs").iter().filter_map(one).collect()
}

fn action(view: View<'_>, findings: &mut Findings<'_>) -> Option<Action> {
    if let Some(run) = view.get("run").and_then(view::text) {
        if let Some(entry) = view.entry("args") {
            let message = "`args` belongs to `script`; a command is given values by `env`".to_owned();
            let hint = "put the command into a script, or write `env` and `\"$NAME\"`".to_owned();
            findings.add_hinted(Code::BadStep, entry.key_at, message, hint);
        }
        return Some(Action::Run(run.to_owned()));
    }
    let node = view.get("script")?;
    let path = view::text(node)?;
    let shell = view.line("shell").and_then(|word| Shell::of_word(&word)).or_else(|| Shell::of_path(path));
    if shell.is_none() && view.get("shell").is_none() {
        let message = format!("nothing says what reads the script `{}`", printable(path));
        let hint = "write `shell: pwsh`, `bash`, `sh` or `python`".to_owned();
        findings.add_hinted(Code::BadStep, node.at, message, hint);
    }
    Some(Action::Script(Script {
        path: path.to_owned(),
        shell: shell?,
        arguments: arguments(view, findings),
    }))
}

/// A step that asks people does nothing else.
fn pause(view: View<'_>, instructions: String, findings: &mut Findings<'_>) -> Pause {
    for entry in view.entries() {
        // That it does not run anything as well is said of the keys that exclude each other.
        let known = ["pause", "name", "if", "timeout", "on_timeout", "run", "script", "uses"];
        if !known.contains(&entry.key.as_str()) {
            let message = format!("`{}` says nothing about a step that stops to ask", printable(&entry.key));
            let hint = "give it a step of its own before or behind the `pause`".to_owned();
            findings.add_hinted(Code::BadStep, entry.key_at, message, hint);
        }
    }
    let silence =
        if view.line("on_timeout").as_deref() == Some("resume") { Silence::Resume } else { Silence::Reject };
    Pause { instructions, wait: view.parsed("timeout").unwrap_or(ANSWER_WITHIN), silence }
}

pub(super) fn arguments(view: View<'_>, findings: &mut Findings<'_>) -> Vec<Argument> {
    let Some(node) = view.get("args") else { return Vec::new() };
    if matches!(node.value, Value::Sequence(_)) {
        let words = view::items(node).iter().filter_map(view::text);
        return words.map(|word| argument(None, Some(word), Lack::Refuse)).collect();
    }
    let entries = View::of(node).entries();
    let list: Vec<(Argument, Place)> = entries
        .iter()
        .map(|entry| {
            let inner = View::of(&entry.value);
            let value = view::text(&entry.value).or_else(|| inner.get("value").and_then(view::text));
            let lack = match (inner.line("fallback"), inner.flag("optional")) {
                (Some(other), _) => Lack::Same(other),
                (None, Some(true)) => Lack::LeaveOut,
                (None, Some(false) | None) => Lack::Refuse,
            };
            (argument(Some(&entry.key), value, lack), entry.key_at)
        })
        .collect();
    for (argument, at) in &list {
        check_lack(argument, *at, &list, findings);
    }
    list.into_iter().map(|(argument, _)| argument).collect()
}

fn argument(name: Option<&str>, value: Option<&str>, lack: Lack) -> Argument {
    Argument { name: name.map(str::to_owned), value: value.map(str::to_owned), lack }
}

/// An argument has a value, does without one, or takes that of an argument that stands for itself.
fn check_lack(argument: &Argument, at: Place, all: &[(Argument, Place)], findings: &mut Findings<'_>) {
    let name = argument.name.as_deref().map(printable).unwrap_or_default();
    match &argument.lack {
        Lack::Refuse if argument.value.is_none() => {
            let message = format!("the argument `{name}` has no value");
            let hint =
                "give it a `value`, or say `optional: true` or `fallback: <another argument>`".to_owned();
            findings.add_hinted(Code::BadStep, at, message, hint);
        }
        Lack::Refuse | Lack::LeaveOut => {}
        Lack::Same(other) => {
            let target = all.iter().map(|(a, _)| a).find(|a| a.name.as_deref() == Some(other));
            let shown = printable(other);
            match target.map(|t| &t.lack) {
                Some(Lack::Refuse) if argument.name.as_ref() != Some(other) => {}
                Some(_) => {
                    let message = format!("`{name}` falls back to `{shown}`, which may have no value itself");
                    findings.add(Code::BadStep, at, message);
                }
                None => {
                    let message =
                        format!("`{name}` falls back to `{shown}`, which is not an argument of the step");
                    findings.add(Code::BadStep, at, message);
                }
            }
        }
    }
}

/// The first line of a command, shortened.
fn shortened(run: &str) -> String {
    let first = run.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default();
    if first.chars().count() <= NAME_CHARS {
        return first.to_owned();
    }
    let mut name: String = first.chars().take(NAME_CHARS - 1).collect();
    name.push('…');
    name
}

/// A name that a step's environment may have.
pub(super) fn check_given(text: &str) -> Result<(), String> {
    let name: VariableName = text.parse().map_err(|e: NameError| e.to_string())?;
    if is_reserved(&name) {
        let becomes = environment_name(&name);
        return Err(format!(
            "`{name}` becomes `{becomes}` in the environment, which is not the step's to give"
        ));
    }
    Ok(())
}

pub(super) fn check_connection(text: &str) -> Result<(), String> {
    let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if text.len() <= 63 && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.bytes().all(word) {
        Ok(())
    } else {
        Err(format!(
            "`{}` is not the name of a connection: letters, digits, `.`, `_` and `-`",
            printable(text)
        ))
    }
}

/// A path below an artifact, which may begin with a macro.
pub(super) fn check_script(text: &str) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("`{}` is not a file of the artifact: {why}", printable(text)));
    if text.trim().is_empty() || text.len() > MAX_SCRIPT_BYTES {
        return refuse("it has 1 to 300 bytes");
    }
    if text.chars().any(|c| c.is_control() || c == '\\') {
        return refuse("it has no control characters and no `\\`");
    }
    if text.starts_with(['/', '~', '-']) {
        return refuse("it starts at the artifact's root, without `/`");
    }
    if text.split('/').any(|part| part == "..") {
        return refuse("it does not leave the artifact");
    }
    Ok(())
}

pub(super) fn check_argument(text: &str) -> Result<(), String> {
    let mut bytes = text.bytes();
    let starts = bytes.next().is_some_and(|b| b.is_ascii_alphabetic());
    if starts && text.len() <= 100 && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
        Ok(())
    } else {
        Err(format!("`{}` is not an argument's name: letters, digits, `_` and `-`", printable(text)))
    }
}
