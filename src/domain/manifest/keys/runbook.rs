//! The keys of `runbooks`.

use crate::domain::manifest::keys::people::{RULE, WHO, WHO_ITEM};
use crate::domain::manifest::keys::steps::RUNBOOK_STEP;
use crate::domain::manifest::keys::{
    COMMAND, ENVIRONMENT_MAP, LINE, PLAIN, SECRETS, SPAN, STAGE_NAME, parses,
};
use crate::domain::manifest::runbook;
use crate::domain::manifest::shape::Duty::{Optional, Required};
use crate::domain::manifest::shape::{Key, Object, Shape, Word};
use crate::domain::name::RunbookName;

static RUNBOOK_NAME: Word = Word { pattern: Some("^[a-z][a-z0-9-]{0,30}$"), check: parses::<RunbookName> };
pub(super) static INPUT_NAME: Word =
    Word { pattern: Some("^[a-z][a-z0-9-]{0,30}$"), check: runbook::check_input };
static INPUT_VALUE: Word =
    Word { pattern: Some("^(?:[A-Za-z0-9._:/@+,=][A-Za-z0-9._:/@+,=-]*)?$"), check: runbook::check_value };
static RUNBOOK: Shape = Shape::Any(&[Shape::Text(&COMMAND), Shape::Object(&RUNBOOK_OBJECT)]);
/// Inputs by name.
pub(super) const INPUTS: Shape = Shape::Map { key: &INPUT_NAME, value: &INPUT };
static INPUT: Shape = Shape::Any(&[Shape::Object(&INPUT_OBJECT), Shape::Empty]);

/// All of them, by name.
pub(in crate::domain::manifest) const RUNBOOKS: Shape = Shape::Map { key: &RUNBOOK_NAME, value: &RUNBOOK };

keys! { RUNBOOK_KEYS {
    "run" Optional, Shape::Text(&COMMAND), "One command, in the source tree.";
    "steps" Optional, Shape::List(&RUNBOOK_STEP), "Commands in order.";
    "schedule" Optional, Shape::Object(&SCHEDULE_OBJECT), "When it starts by itself.";
    "from" Optional, Shape::Any(&[Shape::Text(&WHO), Shape::List(&WHO_ITEM)]),
        "Who may start it: a role, a team `org/slug`, a person `@login`; maintainers by default.";
    "approval" Optional, RULE, "How many approvals come first, or a rule.";
    "inputs" Optional, INPUTS,
        "What may be given to it; `older-than` is the variable `INPUT_OLDER_THAN`.";
    "stages" Optional, Shape::Any(&[Shape::Text(&STAGE_NAME), Shape::List(&Shape::Text(&STAGE_NAME))]),
        "The stages it works on: nothing is deployed there while it runs.";
    "env" Optional, ENVIRONMENT_MAP, "Variables for every command.";
    "secrets" Optional, SECRETS, "Names of the server's secrets.";
    "timeout" Optional, Shape::Text(&SPAN), "How long it may take.";
} }
static RUNBOOK_OBJECT: Object = Object {
    what: "a runbook",
    keys: &[RUNBOOK_KEYS],
    one_of: &["run", "steps"],
    exclusive: &[&["schedule", "approval"]],
    ..PLAIN
};

keys! { SCHEDULE_KEYS {
    "cron" Required, Shape::Text(&LINE), "Minute, hour, day, month, weekday: `0 3 * * *`.";
    "tz" Required, Shape::Text(&LINE), "The zone of its times: `UTC`, `Europe/Oslo`.";
} }
static SCHEDULE_OBJECT: Object = Object { what: "`schedule`", keys: &[SCHEDULE_KEYS], ..PLAIN };

keys! { INPUT_KEYS {
    "required" Optional, Shape::Flag, "Whether it must be given.";
    "default" Optional, Shape::Text(&INPUT_VALUE), "What it is when it is not given.";
    "choices" Optional, Shape::List(&Shape::Text(&INPUT_VALUE)), "The only values it may have.";
} }
static INPUT_OBJECT: Object =
    Object { what: "an input", keys: &[INPUT_KEYS], exclusive: &[&["required", "default"]], ..PLAIN };
