//! The keys of `queue` of a stage.

use super::{Optional, PLAIN, Required, SPAN};
use crate::domain::manifest::shape::{Key, Object, Shape};

keys! { BATCH_KEYS {
    "window" Required, Shape::Text(&SPAN), "How long it collects from the first release on.";
    "max" Optional, Shape::Count { min: 2, max: MAX_BATCH }, "How many it collects at most.";
} }
static BATCH_OBJECT: Object = Object { what: "`batch`", keys: &[BATCH_KEYS], ..PLAIN };

keys! { QUEUE_KEYS {
    "batch" Required, Shape::Object(&BATCH_OBJECT), "Releases are collected, and the newest of them is deployed.";
} }
static QUEUE_OBJECT: Object = Object { what: "`queue`", keys: &[QUEUE_KEYS], ..PLAIN };

/// Most releases of one batch: as many as any list may have items.
pub(in crate::domain::manifest) const MAX_BATCH: u32 = 100;

pub(super) const QUEUE: Shape =
    Shape::Any(&[Shape::Choice(&["latest", "all", "manual"]), Shape::Object(&QUEUE_OBJECT)]);
