//! The keys of variables.

use super::{PLAIN, VALUE, parses};
use crate::domain::manifest::shape::Duty::{Optional, Required};
use crate::domain::manifest::shape::{Key, Object, Shape, Word};
use crate::domain::name::VariableName;

pub(super) static NAME: Word =
    Word { pattern: Some("^[A-Za-z_][A-Za-z0-9._-]{0,199}$"), check: parses::<VariableName> };

keys! { VARIABLE_KEYS {
    "value" Required, Shape::Text(&VALUE), "The text; `$(Name)` in it is another variable.";
    "scope" Optional, Shape::Choice(&["release", "stage"]),
        "`release` by default; `stage` is stronger than the groups linked to a stage.";
    "settable" Optional, Shape::Flag, "Whether `/start`, the button and the API may give it another value for one release.";
} }
static VARIABLE: Object = Object { what: "a variable", keys: &[VARIABLE_KEYS], ..PLAIN };

static SHAPE: Shape = Shape::Any(&[Shape::Text(&VALUE), Shape::Object(&VARIABLE)]);
static OWN: Shape = Shape::Text(&VALUE);

/// Variables of the pipeline.
pub(super) const OF_PIPELINE: Shape = Shape::Map { key: &NAME, value: &SHAPE };
/// Variables of a stage.
pub(super) const OF_STAGE: Shape = Shape::Map { key: &NAME, value: &OWN };
