//! The keys of a link to a variable group.

use super::variable::NAME as VARIABLE;
use super::{Optional, PLAIN, Required, STAGE_NAME, parses};
use crate::domain::manifest::group;
use crate::domain::manifest::shape::{Key, Object, Shape, Word};
use crate::domain::name::SecretAddress;

words! {
    ADDRESS = parses::<SecretAddress>, Some("^[a-z][a-z0-9-]*:.");
}

static NAME: Word = Word { pattern: Some("."), check: group::check_name };

keys! { LINK_KEYS {
    "name" Required, Shape::Text(&NAME), "Its name; `$(Name)` in it is a variable, `$(stage)` the stage.";
    "write" Optional, Shape::Flag, "Whether the stage's commands may write into it.";
    "secrets" Optional, Shape::Map { key: &VARIABLE, value: &Shape::Text(&ADDRESS) },
        "Secrets of a group that is written here and not in the library: `KEY: vault:kv/sign#key`.";
} }
keys! { SHARED_KEYS {
    "stages" Optional, Shape::List(&Shape::Text(&STAGE_NAME)), "The stages it is linked in; all by default.";
} }
const EXCLUSIVE: &[&[&str]] = &[&["write", "secrets"]];
static OWN: Object = Object { what: "a group", keys: &[LINK_KEYS], exclusive: EXCLUSIVE, ..PLAIN };
static SHARED: Object =
    Object { what: "a group", keys: &[LINK_KEYS, SHARED_KEYS], exclusive: EXCLUSIVE, ..PLAIN };
static OWN_ITEM: Shape = Shape::Any(&[Shape::Text(&NAME), Shape::Object(&OWN)]);
static SHARED_ITEM: Shape = Shape::Any(&[Shape::Text(&NAME), Shape::Object(&SHARED)]);

/// Variable groups of a stage.
pub(super) const OF_STAGE: Shape = Shape::List(&OWN_ITEM);
/// Variable groups of a pipeline.
pub(super) const OF_PIPELINE: Shape = Shape::List(&SHARED_ITEM);
