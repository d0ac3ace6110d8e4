//! The keys of `rollback`.

use super::PLAIN;
use super::people::MAX_APPROVALS;
use crate::domain::manifest::shape::Duty::Optional;
use crate::domain::manifest::shape::{Key, Object, Shape};
use crate::domain::pipeline::rollback::Trigger;

static TRIGGER: Shape = Shape::Choice(Trigger::WORDS);

keys! { ROLLBACK_KEYS {
    "auto" Optional, Shape::Any(&[Shape::Flag, Shape::List(&TRIGGER)]),
        "After what the stage goes back by itself; `true` means failed checks and gates.";
    "safe" Optional, Shape::Flag, "`false`: somebody has to look first, so the stage is held and people are asked.";
    "approval" Optional, Shape::Count { min: 0, max: MAX_APPROVALS }, "How many approvals a rollback needs.";
    "ignore_windows" Optional, Shape::Flag, "Whether a rollback passes windows and freezes; it does by default.";
} }

pub(super) static ROLLBACK_OBJECT: Object = Object { what: "`rollback`", keys: &[ROLLBACK_KEYS], ..PLAIN };
