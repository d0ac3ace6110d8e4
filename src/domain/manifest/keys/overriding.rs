//! The keys of `override`.

use super::PLAIN;
use super::people::{MAX_APPROVALS, WHO, WHO_ITEM};
use crate::domain::manifest::shape::Duty::Optional;
use crate::domain::manifest::shape::{Key, Object, Shape};

keys! { OVERRIDE_KEYS {
    "from" Optional, Shape::Any(&[Shape::Text(&WHO), Shape::List(&WHO_ITEM)]),
        "Who may override here: a role, a team, a person `@login`; admins by default.";
    "min" Optional, Shape::Count { min: 1, max: MAX_APPROVALS }, "How many different people it takes.";
    "reason" Optional, Shape::Choice(&["required"]), "An override always says why.";
} }

pub(super) static OVERRIDE_OBJECT: Object = Object { what: "`override`", keys: &[OVERRIDE_KEYS], ..PLAIN };
