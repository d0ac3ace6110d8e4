//! One step of a build or a stage: what it does, and the terms on which it does it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::deployment::Unit;
use crate::domain::derivation::Makes;
use crate::domain::document::Document;
use crate::domain::gather::Gather;
use crate::domain::image::Base;
use crate::domain::name::{RunbookName, VariableName};
use crate::domain::publication::Publish;
use crate::domain::time::Span;
use crate::domain::variable::{self, environment_name};

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What people call it: given, or the command's first line shortened.
    pub name: String,
    /// What it does; logs from before there was a choice hold the one key `run`.
    #[serde(flatten)]
    pub action: Action,
    /// Variables for this step alone.
    pub environment: BTreeMap<String, String>,
    /// Everything else that was said about it.
    #[serde(default, skip_serializing_if = "Terms::are_default")]
    pub terms: Box<Terms>,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A text for the step's shell, `/bin/sh -e` by default.
    Run(String),
    /// A file of the artifact, never of the checkout (row A28).
    Script(Script),
    /// Nothing: people are asked before the next step (`/resume`).
    Pause(Pause),
    /// A job is launched where the target says, and waited for; nothing runs here.
    Hook(Hook),
    /// Nothing: files of the release are published and read back.
    Publish(Publish),
    /// Nothing: a document is made of what is known of the release, and kept with it.
    Write(Document),
    /// Nothing: the artifacts of the release, and of what it is made of, are laid out in one folder.
    Gather(Gather),
}

/// A job that a target of kind `http` does; what it is given stands under `with`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {}

/// A question to people between two steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// What they are to do before they answer, which may hold macros.
    pub instructions: String,
    /// How long they have.
    pub wait: Span,
    /// What happens when nobody answers.
    pub silence: Silence,
}

/// What happens when nobody answers a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Silence {
    /// It counts as a no.
    Reject,
    /// The stage goes on.
    Resume,
}

/// A file of the artifact that is run with arguments; no shell ever reads them (THREATS T20).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// Below the first artifact, or below any of them when macros make it absolute.
    pub path: String,
    /// What reads it.
    pub shell: Shell,
    /// Its arguments in order.
    #[serde(default)]
    pub arguments: Vec<Argument>,
}

/// One argument of a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argument {
    /// Its name; nothing for a word that stands for itself.
    pub name: Option<String>,
    /// Its text, which may hold macros.
    pub value: Option<String>,
    /// What happens when it has no value.
    pub lack: Lack,
}

/// What happens when an argument has no value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lack {
    /// The stage does not start (row A29).
    Refuse,
    /// The script does without it.
    LeaveOut,
    /// It gets the value of another argument (row A30).
    Same(String),
}

/// What reads a command or a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shell {
    /// `PowerShell`.
    Pwsh,
    /// `bash`.
    Bash,
    /// The POSIX shell.
    Sh,
    /// `Python` 3.
    Python,
}

/// A value that a step writes as a line `name=value` to the file `$LIFTLOCK_OUTPUT`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Its name; later steps find it in their environment.
    pub name: VariableName,
    /// Whether it is kept for the next releases in the same environment (row A20).
    pub keep: bool,
}

/// On what terms a step runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// The runbook it is a step of; it starts in the source tree, wherever the others do.
    pub runbook: Option<RunbookName>,
    /// What it deploys, when its stage deploys several things.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// Whether it starts in the source tree of the released commit, wherever the others do.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub in_source: bool,
    /// The image it runs in, another one than the rest of its build (row B20).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Base>,
    /// What reads its command; a script says so itself.
    pub shell: Option<Shell>,
    /// Values for it by name, macros in them as written; it finds them in its environment (row A02).
    pub with: BTreeMap<VariableName, String>,
    /// The connection of the server whose values and secrets it is given (row A27).
    pub connection: Option<String>,
    /// What it writes down for later steps.
    pub outputs: Vec<Output>,
    /// What it makes of the release's artifacts: it puts that into the folder `$LIFTLOCK_SEAL`.
    #[serde(skip_serializing_if = "Makes::is_nothing")]
    pub makes: Makes,
    /// A command that proves that it did its work (row D39).
    pub validate: Option<String>,
    /// A text with macros; the step is left out when that comes to nothing or `false` (row D49).
    pub condition: Option<String>,
    /// Whether it runs although something before it failed, was cancelled or took too long.
    pub always: bool,
    /// Whether its failure is only told of.
    pub advisory: bool,
    /// Where it starts, below the folder it would start in.
    pub folder: Option<String>,
    /// Wall-clock limit of one try; what is left of the stage's when that is less.
    pub timeout: Option<Span>,
    /// How often it is tried again by itself when it fails.
    pub retries: u32,
}

impl Step {
    /// A command for `/bin/sh -e` on the usual terms.
    pub fn command(name: impl Into<String>, run: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            action: Action::Run(run.into()),
            environment: BTreeMap::new(),
            terms: Box::default(),
        }
    }

    /// The program that has to be on the machine for it.
    pub fn needs(&self) -> Option<Shell> {
        match &self.action {
            Action::Run(_) => self.terms.shell,
            Action::Script(script) => Some(script.shell),
            Action::Pause(_)
            | Action::Hook(_)
            | Action::Publish(_)
            | Action::Write(_)
            | Action::Gather(_) => None,
        }
    }

    /// Its command, the path of its script, or its question.
    pub fn text(&self) -> &str {
        match &self.action {
            Action::Run(text) => text,
            Action::Script(script) => &script.path,
            Action::Pause(pause) => &pause.instructions,
            Action::Hook(_) => "hook",
            Action::Publish(publish) => publish.outlet(),
            Action::Write(document) => document.word(),
            Action::Gather(_) => "gather",
        }
    }
}

impl Terms {
    /// Whether nothing was said; then nothing is stored, and old logs read the same.
    fn are_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Shell {
    /// The word the manifest uses.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pwsh => "pwsh",
            Self::Bash => "bash",
            Self::Sh => "sh",
            Self::Python => "python",
        }
    }

    /// The shell of this word.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Pwsh, Self::Bash, Self::Sh, Self::Python].into_iter().find(|shell| shell.word() == word)
    }

    /// What reads a script whose path ends so.
    pub fn of_path(path: &str) -> Option<Self> {
        match path.rsplit_once('.')?.1 {
            "ps1" => Some(Self::Pwsh),
            "bash" => Some(Self::Bash),
            "sh" => Some(Self::Sh),
            "py" => Some(Self::Python),
            _ => None,
        }
    }

    /// The names its program may have on a machine, the usual one first.
    pub fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Pwsh => &["pwsh"],
            Self::Bash => &["bash"],
            Self::Sh => &["sh"],
            Self::Python => &["python3", "python"],
        }
    }

    /// The words in front of a command's text.
    pub fn for_text(self) -> &'static [&'static str] {
        match self {
            Self::Pwsh => &["-NoProfile", "-NonInteractive", "-Command"],
            Self::Bash => &["-e", "-o", "pipefail", "-c"],
            Self::Sh => &["-e", "-c"],
            Self::Python => &["-c"],
        }
    }

    /// The words in front of a script's path.
    pub fn for_file(self) -> &'static [&'static str] {
        match self {
            Self::Pwsh => &["-NoProfile", "-NonInteractive", "-File"],
            Self::Bash => &["-e"],
            Self::Sh => &["-e"],
            Self::Python => &[],
        }
    }

    /// One word for a named argument, so that a value that begins with `-` never becomes a name (THREATS T20).
    pub fn named(self, name: &str, value: &str) -> String {
        match self {
            Self::Pwsh => format!("-{name}:{value}"),
            Self::Bash | Self::Sh | Self::Python => format!("--{name}={value}"),
        }
    }
}

impl fmt::Display for Shell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Whether the engine or the system gives the variable of this name, so that no step may. What begins with `SYSTEM_`
/// is Azure's way to say where a step is; a pipeline may say otherwise, a step in the middle of it may not.
pub fn is_reserved(name: &VariableName) -> bool {
    let name = environment_name(name);
    variable::is_reserved(&name) || name.starts_with("SYSTEM_")
}
