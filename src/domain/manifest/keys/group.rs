//! The keys of a link to a variable group.

use super::{Optional, PLAIN, Required, STAGE_NAME};
use crate::domain::manifest::group;
use crate::domain::manifest::shape::{Key, Object, Shape, Word};

static NAME: Word = Word { pattern: Some("."), check: group::check_name };

keys! { LINK_KEYS {
    "name" Required, Shape::Text(&NAME), "Its name; `$(Name)` in it is a variable, `$(stage)` the stage.";
    "write" Optional, Shape::Flag, "Whether the stage's commands may write into it.";
} }
keys! { STAGES_KEYS {
    "stages" Optional, Shape::List(&Shape::Text(&STAGE_NAME)), "The stages it is for; all by default.";
} }
static LINK: Object = Object { what: "a group", keys: &[LINK_KEYS], later: &["secrets"], ..PLAIN };
static SHARED: Object =
    Object { what: "a group", keys: &[LINK_KEYS, STAGES_KEYS], later: &["secrets"], ..PLAIN };

static ITEM: Shape = Shape::Any(&[Shape::Text(&NAME), Shape::Object(&LINK)]);
static SHARED_ITEM: Shape = Shape::Any(&[Shape::Text(&NAME), Shape::Object(&SHARED)]);
/// Variable groups of a stage.
pub(super) const OF_STAGE: Shape = Shape::List(&ITEM);
/// Variable groups of a pipeline.
pub(super) const OF_PIPELINE: Shape = Shape::List(&SHARED_ITEM);
