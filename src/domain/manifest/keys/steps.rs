//! The keys of a step, of a build and of a stage.

use crate::domain::manifest::shape::{Key, Object, Shape, Word};
use crate::domain::manifest::step;

use super::Duty::Optional;
use super::{COMMAND, ENVIRONMENT_MAP, LINE, MAX_RETRIES, PATH, PLAIN, SPAN, VALUE};

/// What a step may be read by.
const SHELLS: &[&str] = &["pwsh", "bash", "sh", "python"];

words! {
    SCRIPT = step::check_script, None;
    ARGUMENT = step::check_argument, Some("^[A-Za-z][A-Za-z0-9_-]{0,99}$");
}

pub(super) static BUILD_STEP: Shape = Shape::Any(&[Shape::Text(&COMMAND), Shape::Object(&BUILD_STEP_OBJECT)]);
pub(super) static STEP: Shape = Shape::Any(&[Shape::Text(&COMMAND), Shape::Object(&STEP_OBJECT)]);
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
static BUILD_STEP_OBJECT: Object = Object {
    what: "a step of a build",
    keys: &[BUILD_STEP_KEYS, COMMON_KEYS],
    later: &["uses", "artifacts", "depends_on"],
    ..PLAIN
};

keys! { STEP_KEYS {
    "run" Optional, Shape::Text(&COMMAND), "A text for its shell.";
    "script" Optional, Shape::Text(&SCRIPT), "A file of the artifact, run with `args`.";
    "args" Optional,
        Shape::Any(&[Shape::List(&Shape::Text(&VALUE)), Shape::Map { key: &ARGUMENT, value: &ARGUMENT_VALUE }]),
        "What the script is given: words, or values by name.";
} }
static STEP_OBJECT: Object = Object {
    what: "a step",
    keys: &[STEP_KEYS, COMMON_KEYS],
    later: &[
        "uses",
        "with",
        "version",
        "connection",
        "outputs",
        "artifacts",
        "derives",
        "validate",
        "if",
        "always",
        "blocking",
        "depends_on",
        "pause",
        "on_timeout",
    ],
    exclusive: &[],
    one_of: &["run", "script"],
    ..PLAIN
};

keys! { ARGUMENT_KEYS {
    "value" Optional, Shape::Text(&VALUE), "Its value.";
    "optional" Optional, Shape::Flag, "Whether the script does without it when it has no value.";
    "fallback" Optional, Shape::Text(&ARGUMENT), "The argument whose value it takes when it has none.";
} }
static ARGUMENT_OBJECT: Object =
    Object { what: "an argument", keys: &[ARGUMENT_KEYS], exclusive: &[&["optional", "fallback"]], ..PLAIN };
