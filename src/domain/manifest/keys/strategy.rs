//! The keys of `strategy`.

use crate::domain::manifest::shape::Duty::{Optional, Required};
use crate::domain::manifest::shape::{Key, Object, Shape, Word};

use super::{CHECK_NAME, COMMAND, PLAIN, SPAN, parses, target};
use crate::domain::name::SlotName;

words! {
    SLOT = parses::<SlotName>, Some("^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$");
}

/// `strategy` of a stage.
pub(super) const STRATEGY: Shape = Shape::Object(&STRATEGY_OBJECT);

keys! { STRATEGY_KEYS {
    "rolling" Optional, target::ROLLING, "Batch after batch of the targets, as long as nothing fails.";
    "canary" Optional, Shape::List(&PORTION), "A part of it first, which is watched for a while, then more; the last portion is 100.";
    "blue_green" Optional, Shape::Object(&BLUE_GREEN_OBJECT), "Into the slot that is not live, which is made the live one then.";
} }
static STRATEGY_OBJECT: Object = Object {
    what: "`strategy`",
    keys: &[STRATEGY_KEYS],
    one_of: &["rolling", "canary", "blue_green"],
    ..PLAIN
};

keys! { PORTION_KEYS {
    "percent" Required, Shape::Count { min: 1, max: 100 }, "So many of a hundred targets, rounded up; commands find it in `$LIFTLOCK_PERCENT`.";
    "for" Optional, Shape::Text(&SPAN), "How long it is watched before it goes further.";
    "gates" Optional, Shape::List(&Shape::Text(&CHECK_NAME)), "Checks that are sampled meanwhile; a red one ends it.";
} }
static PORTION_OBJECT: Object = Object { what: "a portion of `canary`", keys: &[PORTION_KEYS], ..PLAIN };
static PORTION: Shape = Shape::Object(&PORTION_OBJECT);

const NAMES: Shape = Shape::List(&Shape::Text(&CHECK_NAME));

keys! { BLUE_GREEN_KEYS {
    "slots" Optional, Shape::List(&Shape::Text(&SLOT)), "Their two names, `blue` and `green` by default; the first is filled first.";
    "switch" Required, Shape::Text(&COMMAND), "The command that makes `$LIFTLOCK_SLOT` the live one.";
    "before" Optional, NAMES, "Checks that are asked of `$LIFTLOCK_SLOT` before it is made the live one.";
    "gates" Optional, NAMES, "Checks that are sampled while the other slot is kept; a red one switches back.";
    "keep" Optional, Shape::Text(&SPAN), "How long the other slot is kept to be switched back to, before the release counts as live.";
} }
static BLUE_GREEN_OBJECT: Object = Object { what: "`blue_green`", keys: &[BLUE_GREEN_KEYS], ..PLAIN };
