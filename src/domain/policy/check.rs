//! The stricter of what two sources of policy ask around a deploy: every check of both (SEMANTICS §3).

use crate::domain::check::{Check, CheckKind, Each, Gates, Verify};
use crate::domain::pipeline::Strategy;
use crate::domain::pipeline::strategy::{BlueGreen, Portion};

/// The checks of the commit, tightened by those of the same name, and every check that only the other source has.
pub(super) fn stricter_verify(ours: &Verify, theirs: &Verify) -> Verify {
    let parallel = union(&ours.parallel, &theirs.parallel, &ours.then);
    let then = union(&ours.then, &theirs.then, &parallel);
    let tightened =
        parallel.into_iter().map(|check| match theirs.then.iter().find(|c| c.name == check.name) {
            Some(theirs) => stricter(&check, theirs),
            None => check,
        });
    let parallel: Vec<Check> = tightened.collect();
    let then = then.into_iter().map(|check| match theirs.parallel.iter().find(|c| c.name == check.name) {
        Some(theirs) => stricter(&check, theirs),
        None => check,
    });
    Verify { then: then.collect(), parallel }
}

/// The gates of both; each number as the stricter source says.
pub(super) fn stricter_gates(ours: &Gates, theirs: &Gates) -> Gates {
    let gates = Gates {
        pre: union(&ours.pre, &theirs.pre, &[]),
        post: union(&ours.post, &theirs.post, &[]),
        delay: ours.delay.max(theirs.delay),
        every: one_or(ours.every, theirs.every, Ord::min),
        timeout: one_or(ours.timeout, theirs.timeout, Ord::min),
        consecutive: one_or(ours.consecutive, theirs.consecutive, Ord::max),
        on_timeout: one_or(ours.on_timeout, theirs.on_timeout, Ord::max),
        order: ours.order.min(theirs.order),
        watch: ours.watch.max(theirs.watch),
    };
    // A source without gates says nothing about the order of those that the other one has.
    let order = match (ours.is_empty(), theirs.is_empty()) {
        (true, _) => theirs.order,
        (_, true) => ours.order,
        (false, false) => gates.order,
    };
    Gates { order, ..gates }
}

/// How a release is brought out is a matter of its own steps; a canary of the same portions is watched as long, and by
/// as many gates, as either says, and so is a slot.
pub(super) fn stricter_strategy(ours: Option<&Strategy>, theirs: Option<&Strategy>) -> Option<Strategy> {
    if let (Some(Strategy::BlueGreen(own)), Some(Strategy::BlueGreen(other))) = (ours, theirs) {
        return Some(Strategy::BlueGreen(Box::new(BlueGreen {
            before: union(&own.before, &other.before, &[]),
            gates: union(&own.gates, &other.gates, &[]),
            keep: one_or(own.keep, other.keep, Ord::max),
            ..BlueGreen::clone(own)
        })));
    }
    let (Some(Strategy::Canary(own)), Some(Strategy::Canary(other))) = (ours, theirs) else {
        return ours.cloned();
    };
    let percents = |portions: &[Portion]| portions.iter().map(|p| p.percent).collect::<Vec<_>>();
    if percents(own) != percents(other) {
        return ours.cloned();
    }
    let both = own.iter().zip(other).map(|(ours, theirs)| Portion {
        percent: ours.percent,
        hold: one_or(ours.hold, theirs.hold, Ord::max),
        gates: union(&ours.gates, &theirs.gates, &[]),
    });
    Some(Strategy::Canary(both.collect()))
}

fn one_or<T: Copy>(ours: Option<T>, theirs: Option<T>, both: fn(T, T) -> T) -> Option<T> {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => Some(both(ours, theirs)),
        (one, other) => one.or(other),
    }
}

/// Ours, each tightened by theirs of the same name, then theirs that are nowhere among ours.
fn union(ours: &[Check], theirs: &[Check], elsewhere: &[Check]) -> Vec<Check> {
    let named = |list: &[Check], check: &Check| list.iter().find(|c| c.name == check.name).cloned();
    let tightened = ours.iter().map(|check| match named(theirs, check) {
        Some(theirs) => stricter(check, &theirs),
        None => check.clone(),
    });
    let more =
        theirs.iter().filter(|check| named(ours, check).is_none() && named(elsewhere, check).is_none());
    tightened.chain(more.cloned()).collect()
}

/// One check as both say. A command is a step and comes from the commit, like every other; a question to the outside
/// world, or a look that is built in, is policy, so that a commit cannot put an easier one under the same name.
fn stricter(ours: &Check, theirs: &Check) -> Check {
    let kind = match (&ours.kind, &theirs.kind) {
        (CheckKind::Run(_), CheckKind::Run(_)) => ours.kind.clone(),
        (CheckKind::Run(_) | CheckKind::Probe(_) | CheckKind::BuiltIn(_), _) => theirs.kind.clone(),
    };
    Check {
        name: ours.name.clone(),
        kind,
        blocking: ours.blocking || theirs.blocking,
        overridable: ours.overridable && theirs.overridable,
        each: if ours.each == theirs.each { ours.each } else { Each::Component },
        reuse: ours.reuse.stricter(theirs.reuse),
        every: one_or(ours.every, theirs.every, Ord::min),
        consecutive: ours.consecutive.max(theirs.consecutive),
        delay: ours.delay.max(theirs.delay),
        timeout: one_or(ours.timeout, theirs.timeout, Ord::min),
        on_timeout: ours.on_timeout.max(theirs.on_timeout),
        failure_limit: ours.failure_limit.min(theirs.failure_limit),
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::check::{CheckKind, OnTimeout};
    use crate::domain::pipeline::Stage;
    use crate::domain::policy::stricter_stage;
    use crate::domain::time::Span;

    fn stage(checks: &str, rest: &str) -> Stage {
        let text = format!("version: 1\nchecks:\n{checks}stages:\n  - {{name: prod, {rest}}}\n");
        let files = [(".github/liftlock.yml".to_owned(), text)].into();
        let loaded = crate::domain::manifest::load(&files, &"acme/web".parse().unwrap())
            .unwrap_or_else(|problems| panic!("{problems}"));
        loaded.pipelines.into_iter().next().unwrap().stages.remove(0)
    }

    #[test]
    fn t30_a_commit_cannot_drop_or_weaken_a_check() {
        let head = stage(
            "  contract: {run: ./contract.sh, overridable: false}\n  perf: {run: ./perf.sh, consecutive: 3}\n",
            "verify: {parallel: [contract], then: [perf]}, gates: {pre: [contract], delay: 5m, on_timeout: reject}",
        );
        let commit = stage(
            "  perf: {run: ./faster.sh, blocking: false, failure_limit: 9}\n  own: {run: ./own.sh}\n",
            "verify: [perf, own], gates: {pre: [own], timeout: 1h, on_timeout: continue}",
        );
        let merged = stricter_stage(&commit, Some(&head));
        let names: Vec<&str> = merged.verify.checks().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["perf", "own", "contract"]);
        let perf = &merged.verify.parallel[0];
        assert!(perf.blocking);
        assert_eq!((perf.consecutive, perf.failure_limit), (3, 0));
        assert_eq!(perf.kind, CheckKind::Run("./faster.sh".to_owned()), "a command is a step of the commit");
        assert!(!merged.verify.parallel[2].overridable);
        let gates: Vec<&str> = merged.gates.pre.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(gates, ["own", "contract"]);
        assert_eq!(merged.gates.delay, Span::minutes(5));
        assert_eq!(merged.gates.timeout, Some(Span::hours(1)));
        assert_eq!(merged.gates.on_timeout, Some(OnTimeout::Reject));
        assert_eq!(stricter_stage(&merged, Some(&merged)), merged);
        assert_eq!(stricter_stage(&merged, Some(&head)), merged, "seen again, nothing changes");
    }
}
