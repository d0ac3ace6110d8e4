//! `override` → who may pass over what stands in the way of a stage, and how many must (SEMANTICS §7).

use std::collections::BTreeSet;

use crate::domain::manifest::approval::Reading;
use crate::domain::manifest::view::View;
use crate::domain::pipeline::{OverrideRule, Who};

/// The rule of a stage; one admin when it has none.
pub(super) fn of_stage(stage: View<'_>, reading: &mut Reading<'_, '_>) -> OverrideRule {
    let rule = stage.below("override");
    let min = rule.count("min").unwrap_or(1);
    if rule.get("from").is_none() {
        return OverrideRule { min, ..OverrideRule::default() };
    }
    let from: BTreeSet<Who> = rule.items("from").iter().flat_map(|node| reading.everyone(node)).collect();
    reading.check_possible(rule, (min, "override", "overrides"), &from);
    OverrideRule { from: BTreeSet::from([from]), min }
}
