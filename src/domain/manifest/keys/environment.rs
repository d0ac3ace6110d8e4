//! The keys of `environments`.

use crate::domain::manifest::shape::Duty::Optional;
use crate::domain::manifest::shape::{Key, Object, Shape};

use super::{ADDRESS, ENVIRONMENT, PLAIN};

static ONE: Shape = Shape::Object(&ENVIRONMENT_OBJECT);

/// `environments` of a pipeline.
pub(super) const ENVIRONMENTS: Shape = Shape::Map { key: &ENVIRONMENT, value: &ONE };

keys! { ENVIRONMENT_KEYS {
    "url" Optional, Shape::Text(&ADDRESS), "Where people find what runs there.";
    "lock" Optional, Shape::Text(&ENVIRONMENT), "A lock shared with other environments of the server, of whatever pipeline and repository.";
    "max_parallel" Optional, Shape::Count { min: 1, max: 1 }, "One run at a time; there is no other number yet.";
    "production" Optional, Shape::Flag, "Whether people depend on it.";
} }
static ENVIRONMENT_OBJECT: Object = Object { what: "an environment", keys: &[ENVIRONMENT_KEYS], ..PLAIN };
