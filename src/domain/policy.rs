//! The stricter of two policies: a commit being released can only tighten what the default branch asks (SEMANTICS §3).

mod check;
pub mod server;

use std::collections::BTreeSet;

use crate::domain::contract;
use crate::domain::name::Digest;
use crate::domain::pipeline::{
    ApprovalRule, Build, Duty, Naming, OverrideRule, Pipeline, Requirement, Stage, Start, Who,
};
use crate::domain::time::Span;

/// A rule that is satisfied only by people who satisfy both: union of required groups and of exclusions, the larger
/// `min`, the shorter spans, `distinct` if either says so. No rule at all is the weakest.
pub fn stricter(a: Option<&ApprovalRule>, b: Option<&ApprovalRule>) -> Option<ApprovalRule> {
    match (a, b) {
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => Some(normal(one)),
        (Some(a), Some(b)) => Some(both(a, b)),
    }
}

/// The stage of the release commit, tightened by the same stage of another source of policy. Steps, their variables
/// and the order of stages stay those of the commit; approval, sign-off, branches, checks, gates, soak, manual start, duty,
/// rollback and overrides tighten, and so do the waits of a canary with the same portions.
#[must_use]
pub fn stricter_stage(stage: &Stage, other: Option<&Stage>) -> Stage {
    let Some(other) = other else { return stage.clone() };
    Stage {
        approval: stricter(stage.approval.as_ref(), other.approval.as_ref()),
        signoff: stricter(stage.signoff.as_ref(), other.signoff.as_ref()),
        soak: stage.soak.max(other.soak),
        hold_during_soak: stage.hold_during_soak || other.hold_during_soak,
        start: match (stage.start, other.start) {
            (Start::Auto, Start::Auto) => Start::Auto,
            (Start::Manual, _) | (_, Start::Manual) => Start::Manual,
        },
        duty: match (stage.duty, other.duty) {
            (Duty::Optional, Duty::Optional) => Duty::Optional,
            (Duty::Mandatory, _) | (_, Duty::Mandatory) => Duty::Mandatory,
        },
        branches: stage.branches.stricter(&other.branches),
        // Its departures are the commit's own; a train that another source asks for is asked for here, too.
        train: stage.train.clone().or_else(|| other.train.clone()),
        // A token of the host is given when every source of policy gives it.
        oauth_token: stage.oauth_token && other.oauth_token,
        rollback_approvals: stage.rollback_approvals.max(other.rollback_approvals),
        agents: stage.agents.union(&other.agents).cloned().collect(),
        around: stage.around.stricter(&other.around),
        rollback: stage.rollback.stricter(&other.rollback),
        strategy: check::stricter_strategy(stage.strategy.as_ref(), other.strategy.as_ref()),
        verify: check::stricter_verify(&stage.verify, &other.verify),
        gates: check::stricter_gates(&stage.gates, &other.gates),
        windows: [stage.windows.as_slice(), &other.windows]
            .concat()
            .into_iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
        rollback_ignores_windows: stage.rollback_ignores_windows && other.rollback_ignores_windows,
        overriding: stricter_overriding(&stage.overriding, &other.overriding),
        ..stage.clone()
    }
}

/// The pipeline of the release commit, each of its stages tightened by the stage of the same name elsewhere, its
/// contract by what that asks, and what it may take over instead of being built by what that allows.
#[must_use]
pub fn stricter_pipeline(pipeline: &Pipeline, other: &Pipeline) -> Pipeline {
    let stages = pipeline.stages.iter().map(|s| stricter_stage(s, other.stage(&s.name))).collect();
    let sign_tags = pipeline.release.sign_tags.max(other.release.sign_tags);
    let contract = contract::stricter(pipeline.release.contract.as_ref(), other.release.contract.as_ref());
    let build = Build { reuse: pipeline.build.reuse.min(other.build.reuse), ..pipeline.build.clone() };
    Pipeline {
        stages,
        build,
        release: Naming { contract, sign_tags, ..pipeline.release.clone() },
        ..pipeline.clone()
    }
}

/// What tells one rule from another, kept with each approval that was given under it.
pub fn digest(rule: &ApprovalRule) -> Digest {
    Digest::of_text(&serde_json::to_string(&normal(rule)).unwrap_or_default())
}

/// Whoever overrides must satisfy both, and the larger number of people must.
fn stricter_overriding(a: &OverrideRule, b: &OverrideRule) -> OverrideRule {
    OverrideRule { from: a.from.union(&b.from).cloned().collect(), min: a.min.max(b.min) }
}

/// The same rule with its lists in order and without repetitions.
fn normal(rule: &ApprovalRule) -> ApprovalRule {
    ApprovalRule {
        from: people(rule).into_iter().collect(),
        require: requirements(&rule.require, &[]),
        ..rule.clone()
    }
}

fn both(a: &ApprovalRule, b: &ApprovalRule) -> ApprovalRule {
    let min = a.min.max(b.min);
    let (ours, theirs) = (people(a), people(b));
    let common = meet(&ours, &theirs);
    let mut require = requirements(&a.require, &b.require);
    let from = if ours == theirs {
        ours
    } else if a.min == 0 || b.min == 0 {
        // A list that gives no approvals asks nothing of the other one's people.
        let lists = [(a.min, &ours), (b.min, &theirs)];
        let asking = lists.iter().filter(|(asked, _)| *asked == min);
        asking.flat_map(|(_, list)| list.iter().cloned()).collect()
    } else if can_give(&common, min) || ours.is_empty() || theirs.is_empty() {
        common
    } else {
        // Nobody is in both lists as far as names tell, so each list gives its own approvals.
        require = requirements(&require, &[everyone_of(&ours, a.min), everyone_of(&theirs, b.min)].concat());
        ours.union(&theirs).cloned().collect()
    };
    ApprovalRule {
        min,
        from: from.into_iter().collect(),
        require,
        exclude: a.exclude.union(&b.exclude).copied().collect(),
        distinct: a.distinct || b.distinct,
        valid_for: shorter(a.valid_for, b.valid_for),
        timeout: shorter(a.timeout, b.timeout),
        bind: a.bind.min(b.bind),
        // They ask nothing more of anybody: those beside the steps that run are the ones to read.
        instructions: a.instructions.clone().or_else(|| b.instructions.clone()),
        reuse_from: a.reuse_from.intersection(&b.reuse_from).cloned().collect(),
    }
}

fn shorter(a: Span, b: Span) -> Span {
    a.min(b)
}

fn people(rule: &ApprovalRule) -> BTreeSet<Who> {
    rule.from.iter().cloned().collect()
}

/// Who is certainly in both lists: equal entries, and of two roles the higher.
fn meet(a: &BTreeSet<Who>, b: &BTreeSet<Who>) -> BTreeSet<Who> {
    let pairs = a.iter().flat_map(|x| b.iter().map(move |y| (x, y)));
    pairs
        .filter_map(|(x, y)| match (x, y) {
            (Who::Role(x), Who::Role(y)) => Some(Who::Role(*x.max(y))),
            (x, y) if x == y => Some(x.clone()),
            _ => None,
        })
        .collect()
}

/// True unless the list has too few people for certain.
fn can_give(from: &BTreeSet<Who>, min: u32) -> bool {
    let persons: Option<Vec<_>> = from.iter().map(Who::persons).collect();
    persons.is_none_or(|persons| {
        let different: BTreeSet<_> = persons.into_iter().flatten().collect();
        u32::try_from(different.len()).unwrap_or(u32::MAX) >= min.max(1)
    })
}

/// Requirements that imply "`min` people of this list": `min` of each group, of named persons all that are needed. A
/// list of too few persons could never give `min`, and asking each for all of them keeps it so.
fn everyone_of(from: &BTreeSet<Who>, min: u32) -> Vec<Requirement> {
    let possible = can_give(from, min);
    let min_of = |who: &Who| match who.persons() {
        Some(persons) if possible => min.min(u32::try_from(persons.len()).unwrap_or(u32::MAX)),
        Some(_) | None => min,
    };
    from.iter().map(|who| Requirement { who: who.clone(), min: min_of(who) }).collect()
}

/// The union of required groups, the larger `min` where both name one.
fn requirements(a: &[Requirement], b: &[Requirement]) -> Vec<Requirement> {
    let mut out = std::collections::BTreeMap::<Who, u32>::new();
    for requirement in a.iter().chain(b) {
        let min = out.entry(requirement.who.clone()).or_insert(0);
        *min = requirement.min.max(*min);
    }
    out.into_iter().map(|(who, min)| Requirement { who, min }).collect()
}

#[cfg(test)]
mod tests;
