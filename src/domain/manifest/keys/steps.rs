//! The keys of a step, of a build and of a stage.

use crate::domain::manifest::image;
use crate::domain::manifest::shape::{Key, Object, Shape, Word};
use crate::domain::manifest::step;

use super::Duty::Optional;
use super::{ALIAS, COMMAND, ENVIRONMENT_MAP, LINE, MAX_RETRIES, PATH, PLAIN, SPAN, STEPS, VALUE};

/// What a step may be read by.
const SHELLS: &[&str] = &["pwsh", "bash", "sh", "python"];

words! {
    SCRIPT = step::check_script, None;
    ARGUMENT = step::check_argument, Some("^[A-Za-z][A-Za-z0-9_-]{0,99}$");
    GIVEN = step::check_given, Some("^[A-Za-z_][A-Za-z0-9._-]{0,199}$");
    CONNECTION = step::check_connection, Some("^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$");
    BASE = image::check_base, Some("^[^@]+/[^@]+@sha256:[0-9a-f]{64}$");
}

pub(super) static BUILD_STEP: Shape = Shape::Any(&[Shape::Text(&COMMAND), Shape::Object(&BUILD_STEP_OBJECT)]);
pub(super) static STEP: Shape = Shape::Any(&[Shape::Text(&COMMAND), Shape::Object(&STEP_OBJECT)]);
static OUTPUT: Shape = Shape::Any(&[Shape::Text(&GIVEN), Shape::Object(&OUTPUT_OBJECT)]);
static MADE: Shape = Shape::Text(&ALIAS);
static WITH_VALUE: Shape = Shape::Text(&VALUE);
static ARGUMENT_VALUE: Shape = Shape::Any(&[Shape::Text(&VALUE), Shape::Object(&ARGUMENT_OBJECT)]);

keys! { COMMON_KEYS {
    "name" Optional, Shape::Text(&LINE), "What people call it.";
    "shell" Optional, Shape::Choice(SHELLS), "What reads it; `/bin/sh` reads a command by default.";
    "env" Optional, ENVIRONMENT_MAP, "Variables for this step.";
    "working_directory" Optional, Shape::Text(&PATH), "A folder below the one it would start in.";
    "timeout" Optional, Shape::Text(&SPAN), "How long one try may take.";
    "retries" Optional, Shape::Count { min: 0, max: MAX_RETRIES }, "How often it is tried again when it fails.";
} }

keys! { BUILD_STEP_KEYS {
    "run" super::Required, Shape::Text(&COMMAND), "A text for its shell.";
} }
keys! { BUILT_IN_KEYS {
    "image" Optional, Shape::Text(&BASE), "`registry/name@sha256:…`: the image that this step runs in, in place of the build's.";
} }
static BUILD_STEP_OBJECT: Object = Object {
    what: "a step of a build",
    keys: &[BUILD_STEP_KEYS, BUILT_IN_KEYS, COMMON_KEYS],
    later: &["uses", "artifacts", "depends_on"],
    ..PLAIN
};

pub(super) static RUNBOOK_STEP: Shape =
    Shape::Any(&[Shape::Text(&COMMAND), Shape::Object(&RUNBOOK_STEP_OBJECT)]);
static RUNBOOK_STEP_OBJECT: Object =
    Object { what: "a step of a runbook", keys: &[BUILD_STEP_KEYS, COMMON_KEYS], ..PLAIN };

keys! { STEP_KEYS {
    "run" Optional, Shape::Text(&COMMAND), "A text for its shell.";
    "script" Optional, Shape::Text(&SCRIPT), "A file of the artifact, run with `args`.";
    "args" Optional,
        Shape::Any(&[Shape::List(&Shape::Text(&VALUE)), Shape::Map { key: &ARGUMENT, value: &ARGUMENT_VALUE }]),
        "What the script is given: words, or values by name.";
    "uses" Optional, Shape::Text(&LINE), "A step that is known by name: `azure-powershell`, `kubernetes`, `fly`, `hook`, `publish`, `git-tags`, `github-release`, or `runbook/<name>`.";
    "version" Optional, Shape::Text(&LINE), "The version of what `uses` names.";
    "with" Optional, Shape::Map { key: &GIVEN, value: &WITH_VALUE }, "Values for it, in its environment.";
    "connection" Optional, Shape::Text(&CONNECTION), "The connection of the server it works with.";
    "outputs" Optional, Shape::List(&OUTPUT), "What it writes to `$LIFTLOCK_OUTPUT` for later steps.";
    "derives" Optional, Shape::List(&MADE), "Artifacts that it makes anew, of their copies in `$LIFTLOCK_SEAL`: signed, notarized, repacked.";
    "artifacts" Optional, Shape::List(&MADE), "Further artifacts that it makes, by its name in `$LIFTLOCK_SEAL`.";
    "validate" Optional, Shape::Text(&COMMAND), "A command that proves that it did its work; what is published is read back without one.";
    "pause" Optional, Shape::Text(&LINE), "Nothing is run: the stage stops and asks this, until somebody comments `/resume` or `/reject`; `timeout` is how long they have, 7 days by default.";
    "on_timeout" Optional, Shape::Choice(&["reject", "resume"]), "What silence means to a `pause`; `reject` by default.";
    "if" Optional, Shape::Text(&LINE), "It is left out when this comes to nothing or `false`.";
    "always" Optional, Shape::Flag, "Whether it runs after a failure, cancel or timeout, too.";
    "blocking" Optional, Shape::Flag, "Whether its failure is one of the stage.";
} }
static STEP_OBJECT: Object = Object {
    what: "a step",
    keys: &[STEP_KEYS, COMMON_KEYS],
    later: &["depends_on"],
    one_of: &["run", "script", "uses", "pause"],
    ..PLAIN
};

keys! { OUTPUT_KEYS {
    "name" super::Required, Shape::Text(&GIVEN), "Its name.";
    "keep" Optional, Shape::Flag, "Whether the next releases there find it, too.";
} }
static OUTPUT_OBJECT: Object = Object { what: "an output", keys: &[OUTPUT_KEYS], ..PLAIN };

keys! { HOOKS_KEYS {
    "before" Optional, STEPS, "Before the deploy.";
    "after" Optional, STEPS, "After the deploy, before the tests.";
} }
pub(super) static HOOKS_OBJECT: Object = Object { what: "`hooks`", keys: &[HOOKS_KEYS], ..PLAIN };

keys! { ARGUMENT_KEYS {
    "value" Optional, Shape::Text(&VALUE), "Its value.";
    "optional" Optional, Shape::Flag, "Whether the script does without it when it has no value.";
    "fallback" Optional, Shape::Text(&ARGUMENT), "The argument whose value it takes when it has none.";
} }
static ARGUMENT_OBJECT: Object =
    Object { what: "an argument", keys: &[ARGUMENT_KEYS], exclusive: &[&["optional", "fallback"]], ..PLAIN };
