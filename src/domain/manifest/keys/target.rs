//! The keys of `targets`, and of `rolling` among the strategies.

use crate::domain::manifest::shape::Duty::Optional;
use crate::domain::manifest::shape::{Key, Object, Shape, Word};
use crate::domain::name::RoleName;
use crate::domain::pipeline::target::Batch;

use super::{CHECK_NAME, PLAIN, parses};

/// Most targets that may fail before a rollout stops.
const MAX_FAILED: u32 = 1_000;

words! {
    ROLE = parses::<RoleName>, Some("^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$");
    BATCH = parses::<Batch>, Some("^(?:[1-9][0-9]*%?)$");
}

/// `targets` of a stage.
pub(super) const TARGETS: Shape = Shape::Object(&TARGETS_OBJECT);
/// `strategy: rolling` of a stage.
pub(super) const ROLLING: Shape = Shape::Object(&ROLLING_OBJECT);

keys! { TARGETS_KEYS {
    "roles" Optional, Shape::Any(&[Shape::Text(&ROLE), Shape::List(&Shape::Text(&ROLE))]),
        "Targets with any of these; all of the environment when absent.";
    "health" Optional, Shape::Text(&CHECK_NAME), "The check that is asked after every batch.";
} }
static TARGETS_OBJECT: Object = Object { what: "`targets`", keys: &[TARGETS_KEYS], ..PLAIN };

keys! { ROLLING_KEYS {
    "batch" Optional, Shape::Text(&BATCH), "How many targets before health is asked: `3`, or `25%` of all, rounded up; 1 by default.";
    "max_unavailable" Optional, Shape::Count { min: 0, max: MAX_FAILED }, "So many targets that failed are put up with; none by default.";
} }
static ROLLING_OBJECT: Object = Object { what: "`rolling`", keys: &[ROLLING_KEYS], ..PLAIN };
