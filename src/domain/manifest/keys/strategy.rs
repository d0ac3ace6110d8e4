//! The keys of `strategy`.

use crate::domain::manifest::shape::Duty::{Optional, Required};
use crate::domain::manifest::shape::{Key, Object, Shape};

use super::{CHECK_NAME, PLAIN, SPAN, target};

/// `strategy` of a stage.
pub(super) const STRATEGY: Shape = Shape::Object(&STRATEGY_OBJECT);

keys! { STRATEGY_KEYS {
    "rolling" Optional, target::ROLLING, "Batch after batch of the targets, as long as nothing fails.";
    "canary" Optional, Shape::List(&PORTION), "A part of it first, which is watched for a while, then more; the last portion is 100.";
} }
static STRATEGY_OBJECT: Object = Object {
    what: "`strategy`",
    keys: &[STRATEGY_KEYS],
    later: &["blue_green"],
    one_of: &["rolling", "canary"],
    ..PLAIN
};

keys! { PORTION_KEYS {
    "percent" Required, Shape::Count { min: 1, max: 100 }, "So many of a hundred targets, rounded up; commands find it in `$LIFTLOCK_PERCENT`.";
    "for" Optional, Shape::Text(&SPAN), "How long it is watched before it goes further.";
    "gates" Optional, Shape::List(&Shape::Text(&CHECK_NAME)), "Checks that are sampled meanwhile; a red one ends it.";
} }
static PORTION_OBJECT: Object = Object { what: "a portion of `canary`", keys: &[PORTION_KEYS], ..PLAIN };
static PORTION: Shape = Shape::Object(&PORTION_OBJECT);
