//! The keys of `retention`.

use super::{Optional, PLAIN, Required};
use crate::domain::manifest::shape::{Key, Object, Shape};
use crate::domain::retention::{MAX_DAYS, MAX_KEEP};

keys! { RETENTION_KEYS {
    "days" Required, Shape::Count { min: 1, max: MAX_DAYS }, "How many days the bytes of a release are kept at least.";
    "keep" Optional, Shape::Count { min: 1, max: MAX_KEEP }, "How many of the newest releases of each stage are kept.";
    "failed_days" Optional, Shape::Count { min: 1, max: MAX_DAYS }, "The same as `days` for releases that were live nowhere.";
    "keep_deployed" Optional, Shape::Flag, "What is deployed is kept, always.";
    "artifacts" Optional, Shape::Choice(&["with_release"]), "Bytes go with the last release that has them.";
} }
pub(super) static RETENTION: Object = Object { what: "`retention`", keys: &[RETENTION_KEYS], ..PLAIN };
