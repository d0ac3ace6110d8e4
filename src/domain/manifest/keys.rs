//! The table of keys: everything a manifest or buildspec may say, and what later versions will add.
//!
//! Shapes are compared by `shape::check` and published by `schema`; names and defaults are read by the other files.

use crate::domain::glob::{Glob, GlobError};
use crate::domain::manifest::approval;
use crate::domain::manifest::build;
use crate::domain::manifest::code::Code;
use crate::domain::manifest::extends;
use crate::domain::manifest::shape::{Duty, Key, Object, Refused, Shape, Word};
use crate::domain::manifest::source;
use crate::domain::name::{
    AgentLabel, Alias, CheckName, EnvironmentName, PipelineName, StageName, printable,
};
use crate::domain::reuse::Reuse;
use crate::domain::time::Span;

/// Most automatic attempts after the first.
pub(super) const MAX_RETRIES: u32 = 10;
/// Longest text that pages show in one place.
const MAX_TEXT_CHARS: usize = 500;
/// Longest command; longer ones belong into a script in the repository.
const MAX_COMMAND_BYTES: usize = 16 * 1024;
/// Longest time anything may run or wait, in days.
const MAX_SPAN: Span = Span::days(90);

fn parses<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<(), String> {
    text.parse::<T>().map(drop).map_err(|e| e.to_string())
}

fn pattern(text: &str) -> Result<(), String> {
    let told =
        |e: GlobError| if text.is_empty() { e.to_string() } else { format!("`{}`: {e}", printable(text)) };
    text.parse::<Glob>().map(drop).map_err(told)
}

fn line(text: &str) -> Result<(), String> {
    let text = text.trim_end();
    if text.is_empty() {
        return Err("the text is empty".to_owned());
    }
    if text.chars().count() > MAX_TEXT_CHARS {
        return Err(format!("the text has more than {MAX_TEXT_CHARS} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("the text is one line without control characters".to_owned());
    }
    Ok(())
}

fn command(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("the command is empty".to_owned());
    }
    if text.len() > MAX_COMMAND_BYTES {
        return Err(format!("the command has more than {MAX_COMMAND_BYTES} bytes; put it into a script"));
    }
    if text.contains('\0') {
        return Err("the command holds a NUL character".to_owned());
    }
    Ok(())
}

fn address(text: &str) -> Result<(), String> {
    line(text)?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !text.contains(char::is_whitespace) => Ok(()),
        _ => Err(format!("`{}` is not an `https://` address", printable(text))),
    }
}

fn positive_span(text: &str) -> Result<(), String> {
    let span = text.parse::<Span>().map_err(|e| format!("`{}`: {e}", printable(text)))?;
    if span == Span::ZERO {
        return Err("the time is longer than nothing".to_owned());
    }
    bounded(span)
}

fn any_span(text: &str) -> Result<(), String> {
    bounded(text.parse::<Span>().map_err(|e| format!("`{}`: {e}", printable(text)))?)
}

fn bounded(span: Span) -> Result<(), String> {
    if span > MAX_SPAN { Err(format!("the time is at most {MAX_SPAN}")) } else { Ok(()) }
}

fn variable(text: &str) -> Result<(), String> {
    let mut bytes = text.bytes();
    let starts = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if starts && text.len() <= 100 && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        Ok(())
    } else {
        Err(format!("`{}` is not a variable name: letters, digits and `_`, at most 100", printable(text)))
    }
}

/// What a newer program means by a file, this one cannot know (row C32).
fn tool_version(text: &str) -> Result<(), String> {
    let numbers = text.strip_prefix('v').unwrap_or(text);
    let parts: Vec<Option<u32>> = numbers.split('.').map(|part| part.parse().ok()).collect();
    let Some(Some(major)) = parts.first().filter(|_| parts.len() <= 3 && parts.iter().all(Option::is_some))
    else {
        return Err(format!("`{}` is not a version such as `0.1.0`", printable(text)));
    };
    let own = env!("CARGO_PKG_VERSION");
    if own.split('.').next().and_then(|own| own.parse().ok()).is_some_and(|own: u32| *major > own) {
        return Err(format!(
            "the file is written for liftlock {numbers}, and this is {own}; upgrade the server"
        ));
    }
    Ok(())
}

fn value(text: &str) -> Result<(), String> {
    if text.contains('\0') { Err("the value holds a NUL character".to_owned()) } else { Ok(()) }
}

/// Declares a text rule.
macro_rules! words {
    ($($name:ident = $check:expr, $pattern:expr;)+) => {
        $(pub(super) static $name: Word = Word { pattern: $pattern, check: $check };)+
    };
}

words! {
    LINE = line, Some("\\S");
    COMMAND = command, Some("\\S");
    ADDRESS = address, Some("^https?://\\S+$");
    TOOL_VERSION = tool_version, Some("^v?[0-9]+(?:\\.[0-9]+){0,2}$");
    PATTERN = pattern, Some("^(?:[^!]|!.)");
    SPAN = positive_span, Some("^(?:[0-9]+(?:ms|s|m|h|d))+$");
    SOAK = any_span, Some("^(?:[0-9]+(?:ms|s|m|h|d))+$");
    VARIABLE = variable, Some("^[A-Za-z_][A-Za-z0-9_]{0,99}$");
    VALUE = value, None;
    PIPELINE_NAME = parses::<PipelineName>, Some("^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$");
    STAGE_NAME = parses::<StageName>, Some("^[a-z][a-z0-9-]{0,30}$");
    ENVIRONMENT = parses::<EnvironmentName>, Some("^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$");
    CHECK_NAME = parses::<CheckName>, Some("^[a-z][a-z0-9-]{0,30}$");
    LOGIN = approval::check_login, None;
    LABEL = parses::<AgentLabel>, Some("^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$");
    LEFT_BEHIND = build::check_left, None;
    ALIAS = parses::<Alias>, Some("^[A-Za-z][A-Za-z0-9_-]{0,39}$");
    PATH = build::check_path, None;
    EXTENDED = extends::check_path, Some("\\.ya?ml(?:@[0-9a-f]{40})?$");
    FILES = build::check_files, None;
    REPOSITORY = source::check_repository, None;
}

/// Declares keys: `name: duty shape, "a sentence";`.
macro_rules! keys {
    ($vis:vis $list:ident { $($name:literal $duty:expr, $shape:expr, $about:literal;)+ }) => {
        $vis static $list: &[Key] = &[$(Key { name: $name, about: $about, shape: $shape, duty: $duty }),+];
    };
}

// Files of one area each; they stand below the macro they are written with.
mod channel;
pub(super) mod check;
mod deployment;
mod environment;
mod group;
mod notify;
pub(super) mod probe;
mod release;
mod variable;

use Duty::{NoEffect, Optional, Required};

mod overriding;
mod people;
pub(super) mod queue;
mod retention;
mod rollback;
mod runbook;
mod strategy;
mod target;
mod trigger;
mod window;

static TEXT_LINE: Shape = Shape::Text(&LINE);
static ENV_VALUE: Shape = Shape::Text(&VALUE);
static SECRET_NAME: Shape = Shape::Text(&VARIABLE);
static STAGE: Shape = Shape::Any(&[Shape::Text(&STAGE_NAME), Shape::Object(&STAGE_OBJECT)]);
static ARTIFACT: Shape = Shape::Any(&[Shape::Text(&LEFT_BEHIND), Shape::Object(&trigger::ARTIFACT_OBJECT)]);
static ONE_PIPELINE: Shape = Shape::Object(&PIPELINE_OBJECT);

mod steps;

use steps::{BUILD_STEP, STEP};

/// What holds instead of what a hosted service would install or allow.
const OWN_TOOLS: &str = "commands use the server's tools and rights";

const STEPS: Shape = Shape::Any(&[Shape::Text(&COMMAND), Shape::List(&STEP)]);
const EXTENDS: Shape = Shape::Any(&[Shape::Text(&EXTENDED), Shape::List(&Shape::Text(&EXTENDED))]);
const ENVIRONMENT_MAP: Shape = Shape::Map { key: &VARIABLE, value: &ENV_VALUE };
const SECRETS: Shape = Shape::List(&SECRET_NAME);
const COMMANDS: Shape = Shape::List(&Shape::Text(&COMMAND));

/// An object without exclusions, refusals or later keys.
const PLAIN: Object = Object { what: "", keys: &[], later: &[], refused: &[], exclusive: &[], one_of: &[] };

const ON: Refused = Refused {
    name: "on",
    code: Code::UnknownKey,
    message: "unknown key `on`: some YAML tools read it as `true`",
    hint: "the key is `triggers`",
};

keys! { TOP_KEYS {
    "version" Required, Shape::Version("1"), "The version of this format.";
    "tool_version" Optional, Shape::Text(&TOOL_VERSION), "The version of liftlock it was written for; an older one still runs.";
} }

keys! { NAME_KEYS {
    "name" Optional, Shape::Text(&PIPELINE_NAME), "The pipeline's name; the repository's by default.";
} }

keys! { PIPELINES_KEYS {
    "pipelines" Required, Shape::Map { key: &PIPELINE_NAME, value: &ONE_PIPELINE }, "Several pipelines by name.";
} }

keys! { PIPELINE_KEYS {
    "title" Optional, Shape::Text(&LINE), "A name for people.";
    "description" Optional, Shape::Text(&LINE), "A sentence.";
    "tags" Optional, Shape::List(&TEXT_LINE), "Words to filter by.";
    "weight" Optional, Shape::Integer, "Heavier pipelines come later on pages.";
    "docs_url" Optional, Shape::Text(&ADDRESS), "A page to read.";
    "source" Optional, Shape::Object(&SOURCE_OBJECT), "The repository and branch, as Copilot writes them.";
    "extends" Optional, EXTENDS, "Files that declare stages and what belongs to them: of this repository, or `org/repo//file.yml@` and a commit.";
    "triggers" Optional, Shape::Object(&trigger::TRIGGERS_OBJECT), "What starts a release; a push to the default branch when absent.";
    "build" Optional,
        Shape::Any(&[Shape::Text(&COMMAND), Shape::List(&BUILD_STEP), Shape::Object(&BUILD_OBJECT)]),
        "How the artifact is made.";
    "reuse" Optional, Shape::Choice(Reuse::WORDS), "What a release takes over instead of being built: what was built of its commit, or of its tree; nothing when absent.";
    "artifacts" Optional, Shape::Any(&[Shape::Text(&LEFT_BEHIND), Shape::List(&ARTIFACT)]),
        "What is packed and sealed: `dist/` after a build, the whole tree without one.";
    "deploy" Optional, STEPS, "The commands of stages that have none of their own.";
    "services" Optional, deployment::SERVICES, "The folder of services: each of its folders with a `manifest.yml` is deployed.";
    "checks" Optional, Shape::Map { key: &CHECK_NAME, value: &check::CHECK }, "What stages may ask in `verify` and `gates`, by name.";
    "teams" Optional, people::TEAMS, "Teams by the names that rules and `/signoff` use.";
    "release" Optional, Shape::Object(&release::RELEASE), "What releases are called.";
    "groups" Optional, group::OF_PIPELINE, "Variable groups of every stage, from the server's library.";
    "variables" Optional, variable::OF_PIPELINE, "Variables of every stage; `$(Name)` is the value.";
    "channels" Optional, channel::CHANNELS, "Kinds of releases, and the stages that each passes.";
    "notify" Optional, notify::NOTIFY, "Who is told of what, outside.";
    "stages" Required, Shape::List(&STAGE), "The stages in order.";
    "runbooks" Optional, runbook::RUNBOOKS, "Tasks beside deployments, by name.";
    "environments" Optional, environment::ENVIRONMENTS, "What stages deploy to, by name: its address, its lock, whether it is production.";
    "retention" Optional, Shape::Object(&retention::RETENTION), "How long sealed bytes are kept.";
} }

keys! { EXTENDED_KEYS {
    "extends" Optional, EXTENDS, "Further files.";
    "checks" Optional, Shape::Map { key: &CHECK_NAME, value: &check::CHECK }, "Checks, by name.";
    "teams" Optional, people::TEAMS, "Teams, by name.";
    "groups" Optional, group::OF_PIPELINE, "Variable groups of every stage.";
    "variables" Optional, variable::OF_PIPELINE, "Variables of every stage; those of the manifest win.";
    "stages" Optional, Shape::List(&STAGE), "Stages that a manifest may name.";
} }

/// A file that a manifest extends.
pub(super) static EXTENDED_OBJECT: Object =
    Object { what: "an extended file", keys: &[TOP_KEYS, EXTENDED_KEYS], ..PLAIN };

/// A file with one pipeline.
pub(super) static SINGLE_OBJECT: Object =
    Object { what: "the manifest", keys: &[TOP_KEYS, NAME_KEYS, PIPELINE_KEYS], refused: &[ON], ..PLAIN };

/// A file with several pipelines.
pub(super) static SEVERAL_OBJECT: Object = Object {
    what: "a manifest with `pipelines`",
    keys: &[TOP_KEYS, PIPELINES_KEYS],
    refused: &[ON],
    ..PLAIN
};

static PIPELINE_OBJECT: Object =
    Object { what: "a pipeline", keys: &[PIPELINE_KEYS], refused: &[ON], ..PLAIN };

keys! { SOURCE_KEYS {
    "provider" Optional, Shape::Choice(source::PROVIDERS), "The kind of host.";
    "properties" Optional, Shape::Object(&PROPERTIES_OBJECT), "Where the source is.";
} }
static SOURCE_OBJECT: Object = Object { what: "`source`", keys: &[SOURCE_KEYS], ..PLAIN };

keys! { PROPERTIES_KEYS {
    "branch" Optional, Shape::Text(&PATTERN), "A branch or pattern of branches; the host's default branch when absent.";
    "repository" Optional, Shape::Text(&REPOSITORY), "The repository's address.";
    "access_token_secret" Optional, Shape::Text(&LINE), "The name of the stored token.";
    "connection_name" Optional, Shape::Text(&LINE), "The name of a stored connection.";
    "output_artifact_format" Optional, Shape::Choice(source::FORMATS), "What a build gets: the files of the commit, or a clone with its history and tags.";
} }
static PROPERTIES_OBJECT: Object = Object { what: "`source.properties`", keys: &[PROPERTIES_KEYS], ..PLAIN };

keys! { BUILD_KEYS {
    "run" Optional, Shape::Text(&COMMAND), "One command.";
    "steps" Optional, Shape::List(&BUILD_STEP), "Commands in order.";
    "buildspec" Optional, Shape::Text(&PATH), "A buildspec file with the commands.";
    "image" Optional, Shape::Text(&LINE), "`registry/name@sha256:…`: the image that commands run in; another text is what a hosted service would use, and is shown on pages.";
    "env" Optional, ENVIRONMENT_MAP, "Variables for every command.";
    "cache" Optional, Shape::List(&Shape::Text(&PATH)), "Folders of downloads that are kept for the next release of the branch with the same image and lock files.";
    "network" Optional, Shape::Choice(&["none", "host"]), "Whether commands may use the network.";
    "secrets" Optional, SECRETS, "Names of the server's secrets.";
    "timeout" Optional, Shape::Text(&SPAN), "How long the build may take.";
    "additional_policy" Optional, Shape::Object(&POLICY_OBJECT), "Rights that a hosted service would give the build; told to whoever reads the check, and given by nobody.";
} }
keys! { POLICY_KEYS {
    "PolicyDocument" Required, Shape::Anything, "An IAM policy.";
} }
static POLICY_OBJECT: Object = Object { what: "`additional_policy`", keys: &[POLICY_KEYS], ..PLAIN };
static BUILD_OBJECT: Object = Object {
    what: "`build`",
    keys: &[BUILD_KEYS],
    later: &["pool", "agents", "matrix"],
    exclusive: &[&["run", "steps", "buildspec"]],
    ..PLAIN
};

keys! { STAGE_KEYS {
    "name" Required, Shape::Text(&STAGE_NAME), "Its name in commands.";
    "title" Optional, Shape::Text(&LINE), "A name for people.";
    "docs_url" Optional, Shape::Text(&ADDRESS), "A page to read.";
    "channel" Optional, channel::OF_STAGE, "The channel that a release is added to when it starts here.";
    "channels" Optional, Shape::List(&channel::OF_STAGE), "The same, when there are several.";
    "branches" Optional, Shape::List(&Shape::Text(&PATTERN)), "The branches whose releases it takes; those of others have no such stage.";
    "environment" Optional, Shape::Text(&ENVIRONMENT), "What it deploys to; the stage's name by default.";
    "needs_any" Optional, Shape::List(&Shape::Text(&STAGE_NAME)), "Stages one of which must succeed first, whatever becomes of the others.";
    "needs" Optional, Shape::Any(&[Shape::Text(&STAGE_NAME), Shape::List(&Shape::Text(&STAGE_NAME))]),
        "Stages that come first; the stage before by default.";
    "optional" Optional, Shape::Flag, "Whether a release is released without it.";
    "trigger" Optional, Shape::Choice(&["auto", "manual"]), "Whether it starts by itself.";
    "schedule" Optional, Shape::Object(&trigger::TRAIN_OBJECT), "The times at which it takes along what succeeded last in a stage before.";
    "approval" Optional, people::RULE,
        "How many approvals come first, or a rule.";
    "approvals" Optional, Shape::Object(&people::APPROVALS_OBJECT), "Who approves before the deploy, and who signs off after it.";
    "requires_approval" Optional, Shape::Flag, "One approval, as Copilot writes it.";
    "require_approval" Duty::AliasOf("requires_approval"), Shape::Flag, "An old spelling of `requires_approval`.";
    "soak" Optional, Shape::Text(&SOAK), "How long the release has been in the stages before.";
    "queue" Optional, queue::QUEUE, "What happens to older waiting releases.";
    "hold_during_soak" Optional, Shape::Flag, "Whether newer releases wait in front of a soaking one.";
    "agent" Optional, Shape::Choice(&["none"]), "`none`: the stage takes no commands from the pipeline; without its own it runs none.";
    "agents" Optional, Shape::Any(&[Shape::Text(&LABEL), Shape::List(&Shape::Text(&LABEL))]),
        "Labels of the machine that its commands need; it starts nowhere else.";
    "hooks" Optional, Shape::Object(&steps::HOOKS_OBJECT), "What runs around the deploy.";
    "deploy" Optional, STEPS, "Commands that deploy.";
    "pre_deployments" Optional, deployment::PRE_DEPLOYMENTS, "Buildspecs that run before anything is deployed.";
    "deployments" Optional, deployment::DEPLOYMENTS, "What is deployed, each by the deploy commands; all services when absent.";
    "post_deployments" Optional, deployment::POST_DEPLOYMENTS, "Buildspecs that run after everything is deployed.";
    "targets" Optional, target::TARGETS, "The targets of the server's config that the deploy commands run for.";
    "strategy" Optional, strategy::STRATEGY, "How a release is brought out when not all at once.";
    "test_commands" Optional, STEPS, "Commands that test after the deploy.";
    "env" Optional, ENVIRONMENT_MAP, "Variables for every command.";
    "groups" Optional, group::OF_STAGE, "Variable groups of this stage; stronger than the pipeline's.";
    "variables" Optional, variable::OF_STAGE, "Variables of this stage; stronger than the pipeline's.";
    "secrets" Optional, SECRETS, "Names of the server's secrets.";
    "oauth_token" Optional, Shape::Flag, "Whether its commands get a short-lived token of the host.";
    "verify" Optional, check::VERIFY, "Checks after the deploy and its tests, each with a status of its own.";
    "gates" Optional, Shape::Object(&check::GATES_OBJECT), "Checks that are sampled before and after.";
    "retries" Optional, Shape::Count { min: 0, max: MAX_RETRIES }, "Automatic attempts after an error that is not a failure.";
    "timeout" Optional, Shape::Text(&SPAN), "How long one attempt may take.";
    "rollback" Optional, Shape::Object(&rollback::ROLLBACK_OBJECT), "How a release is taken back: by whom, after what, and whether by itself.";
    "windows" Optional, Shape::Object(&window::WINDOWS_OBJECT), "The hours in which it may start.";
    "override" Optional, Shape::Object(&overriding::OVERRIDE_OBJECT), "Who may pass over what stands in the way.";
} }
static STAGE_OBJECT: Object = Object {
    what: "a stage",
    keys: &[STAGE_KEYS],
    later: &[
        "interval",
        "max_commits",
        "pool",
        "image",
        "permissions",
        "queue_timeout",
        "retention",
        "owner",
        "notify",
        "ephemeral",
    ],
    refused: &[Refused {
        name: "build",
        code: Code::BuildInStage,
        message: "a stage does not build: recompiling per environment is not a release",
        hint: "build once, in the pipeline's `build`; every stage receives the same bytes",
    }],
    exclusive: &[
        &["approval", "approvals", "requires_approval", "require_approval"],
        &["test_commands", "post_deployments"],
        &["trigger", "schedule"],
        &["channel", "channels"],
    ],
    ..PLAIN
};

keys! { BUILDSPEC_KEYS {
    "version" Required, Shape::Version("0.2"), "The version of the buildspec format.";
    "env" Optional, Shape::Object(&BUILDSPEC_ENV_OBJECT), "Variables for every command.";
    "phases" Required, Shape::Object(&PHASES_OBJECT), "The commands by phase.";
    "artifacts" Optional, Shape::Object(&BUILDSPEC_ARTIFACTS_OBJECT), "What the build leaves behind.";
} }

/// A buildspec file (AWS `CodeBuild` user guide, "Build specification reference").
pub(super) static BUILDSPEC_OBJECT: Object = Object {
    what: "a buildspec",
    keys: &[BUILDSPEC_KEYS],
    later: &["run-as", "proxy", "batch", "reports", "cache"],
    ..PLAIN
};

keys! { BUILDSPEC_ENV_KEYS {
    "variables" Optional, ENVIRONMENT_MAP, "Plain values.";
} }
static BUILDSPEC_ENV_OBJECT: Object = Object {
    what: "the buildspec's `env`",
    keys: &[BUILDSPEC_ENV_KEYS],
    later: &["shell", "parameter-store", "secrets-manager", "exported-variables", "git-credential-helper"],
    ..PLAIN
};

keys! { PHASES_KEYS {
    "install" Optional, Shape::Object(&INSTALL_OBJECT), "Before everything.";
    "pre_build" Optional, Shape::Object(&PHASE_OBJECT), "Before the build.";
    "build" Optional, Shape::Object(&PHASE_OBJECT), "The build.";
    "post_build" Optional, Shape::Object(&PHASE_OBJECT), "After the build.";
} }
static PHASES_OBJECT: Object = Object { what: "`phases`", keys: &[PHASES_KEYS], ..PLAIN };

static PHASE_LATER: &[&str] = &["run-as", "on-failure", "finally"];

keys! { PHASE_KEYS {
    "commands" Required, COMMANDS, "Commands in order, in one shell.";
} }
keys! { INSTALL_KEYS {
    "commands" Optional, COMMANDS, "Commands in order, in one shell.";
    "runtime-versions" NoEffect(OWN_TOOLS), Shape::Map { key: &LINE, value: &TEXT_LINE }, "Versions a hosted service would install.";
} }
static PHASE_OBJECT: Object = Object { what: "a phase", keys: &[PHASE_KEYS], later: PHASE_LATER, ..PLAIN };
static INSTALL_OBJECT: Object =
    Object { what: "the phase `install`", keys: &[INSTALL_KEYS], later: PHASE_LATER, ..PLAIN };

keys! { BUILDSPEC_ARTIFACTS_KEYS {
    "files" Optional, Shape::List(&Shape::Text(&FILES)), "Files and folders; `**/*` is everything.";
    "base-directory" Optional, Shape::Text(&PATH), "The folder they are in.";
} }
static BUILDSPEC_ARTIFACTS_OBJECT: Object = Object {
    what: "the buildspec's `artifacts`",
    keys: &[BUILDSPEC_ARTIFACTS_KEYS],
    later: &["name", "discard-paths", "exclude-paths", "enable-symlinks", "s3-prefix", "secondary-artifacts"],
    ..PLAIN
};
