//! The keys of a link to a variable group.

use super::{Optional, PLAIN, Required};
use crate::domain::manifest::group;
use crate::domain::manifest::shape::{Key, Object, Shape, Word};

static NAME: Word = Word { pattern: Some("."), check: group::check_name };

keys! { LINK_KEYS {
    "name" Required, Shape::Text(&NAME), "Its name; `$(Name)` in it is a variable, `$(stage)` the stage.";
    "write" Optional, Shape::Flag, "Whether the stage's commands may write into it.";
} }
static LINK: Object = Object { what: "a group", keys: &[LINK_KEYS], later: &["secrets", "stages"], ..PLAIN };

static ITEM: Shape = Shape::Any(&[Shape::Text(&NAME), Shape::Object(&LINK)]);
/// Variable groups of a pipeline or stage.
pub(super) const GROUPS: Shape = Shape::List(&ITEM);
