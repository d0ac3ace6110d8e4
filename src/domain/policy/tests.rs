//! The merge of two rules is never weaker than either, whichever comes first.

use proptest::prelude::*;

use super::*;
use crate::domain::name::Login;
use crate::domain::pipeline::{Bind, Exclusion, Members, NamedTeam, Role};

/// A world of six people: which roles, teams and exclusions each has.
struct Person {
    login: &'static str,
    role: Role,
    team: &'static str,
    excluded_by: Option<Exclusion>,
}

const WORLD: [Person; 6] = [
    Person { login: "ana", role: Role::Admin, team: "acme/a", excluded_by: None },
    Person { login: "bo", role: Role::Maintain, team: "acme/a", excluded_by: Some(Exclusion::Pusher) },
    Person { login: "cy", role: Role::Write, team: "acme/b", excluded_by: None },
    Person { login: "di", role: Role::Maintain, team: "acme/b", excluded_by: Some(Exclusion::Initiator) },
    Person { login: "ed", role: Role::Write, team: "acme/c", excluded_by: None },
    Person { login: "flo", role: Role::Admin, team: "acme/c", excluded_by: None },
];

fn is(person: &Person, who: &Who) -> bool {
    match who {
        Who::Role(role) => person.role >= *role,
        Who::Team(team) => team.as_str() == person.team,
        who @ (Who::User(_) | Who::Users(_) | Who::Named(_)) => {
            who.persons().unwrap().iter().any(|login| login.as_str() == person.login)
        }
    }
}

/// Whether these people satisfy a rule, by trying everything.
fn satisfied(rule: &ApprovalRule, approvers: &[&Person]) -> bool {
    let counted: Vec<&Person> = approvers
        .iter()
        .copied()
        .filter(|p| p.excluded_by.is_none_or(|e| !rule.exclude.contains(&e)))
        .collect();
    let enough = |who: &[Who], min: u32| {
        counted.iter().filter(|p| who.iter().any(|w| is(p, w))).count() >= usize::try_from(min).unwrap()
    };
    let each = rule.require.iter().all(|r| enough(std::slice::from_ref(&r.who), r.min));
    let demands: Vec<&Who> = rule
        .require
        .iter()
        .flat_map(|r| std::iter::repeat_n(&r.who, usize::try_from(r.min).unwrap()))
        .collect();
    enough(&rule.from, rule.min) && each && (!rule.distinct || assign(&demands, &counted))
}

/// Whether every demand can have a person of its own.
fn assign(demands: &[&Who], people: &[&Person]) -> bool {
    let Some((first, rest)) = demands.split_first() else { return true };
    (0..people.len()).any(|i| {
        let mut others = people.to_vec();
        let person = others.remove(i);
        is(person, first) && assign(rest, &others)
    })
}

fn login() -> impl Strategy<Value = Login> {
    prop_oneof![Just("ana"), Just("bo"), Just("cy"), Just("ed")].prop_map(|l| l.parse().unwrap())
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![
        prop_oneof![Just(Role::Write), Just(Role::Maintain), Just(Role::Admin)].prop_map(Who::Role),
        prop_oneof![Just("acme/a"), Just("acme/b"), Just("acme/c")]
            .prop_map(|t| Who::Team(t.parse().unwrap())),
        prop_oneof![Just("ana"), Just("bo"), Just("ed")].prop_map(|l| Who::User(l.parse().unwrap())),
        proptest::collection::btree_set(login(), 1..4).prop_map(Who::Users),
        (prop_oneof![Just("qa"), Just("ops")], proptest::collection::btree_set(login(), 1..4)).prop_map(
            |(name, users)| Who::Named(NamedTeam {
                name: name.parse().unwrap(),
                members: Members::Users(users)
            })
        ),
    ]
}

fn rule() -> impl Strategy<Value = ApprovalRule> {
    let exclusion = prop_oneof![Just(Exclusion::Initiator), Just(Exclusion::Pusher)];
    (
        0..4_u32,
        proptest::collection::btree_set(who(), 0..4),
        proptest::collection::btree_map(who(), 1..3_u32, 0..3),
        proptest::collection::btree_set(exclusion, 0..2),
        any::<bool>(),
        (1..9_u64, 1..9_u64),
    )
        .prop_map(|(min, from, require, exclude, distinct, (valid, timeout))| ApprovalRule {
            min,
            from: from.into_iter().collect(),
            require: require.into_iter().map(|(who, min)| Requirement { who, min }).collect(),
            exclude,
            distinct,
            valid_for: Span::days(valid),
            timeout: Span::days(timeout),
            bind: Bind::Digest,
            instructions: None,
        })
}

fn everyone_possible() -> impl Iterator<Item = Vec<&'static Person>> {
    (0..64_u32)
        .map(|mask| WORLD.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1).map(|(_, p)| p).collect())
}

proptest! {
    #[test]
    fn t30_a_merge_is_never_weaker_than_either(a in rule(), b in rule()) {
        let merged = stricter(Some(&a), Some(&b)).unwrap();
        for people in everyone_possible().filter(|people| satisfied(&merged, people)) {
            prop_assert!(satisfied(&a, &people) && satisfied(&b, &people), "{merged:?}");
        }
        prop_assert!(merged.valid_for <= a.valid_for && merged.valid_for <= b.valid_for);
        prop_assert!(merged.timeout <= a.timeout && merged.timeout <= b.timeout);
    }

    #[test]
    fn t30_a_merge_does_not_depend_on_the_order(a in rule(), b in rule()) {
        prop_assert_eq!(stricter(Some(&a), Some(&b)), stricter(Some(&b), Some(&a)));
    }

    #[test]
    fn t30_merging_again_changes_nothing(a in rule(), b in rule()) {
        prop_assert_eq!(stricter(Some(&a), Some(&a)), Some(a.clone()));
        prop_assert_eq!(stricter(Some(&a), None), Some(a.clone()));
        let merged = stricter(Some(&a), Some(&b));
        prop_assert_eq!(stricter(merged.as_ref(), merged.as_ref()), merged);
    }
}

fn simple(from: &str, min: u32) -> ApprovalRule {
    ApprovalRule {
        min,
        from: vec![Who::Team(from.parse().unwrap())],
        require: Vec::new(),
        exclude: BTreeSet::new(),
        distinct: false,
        valid_for: Span::days(7),
        timeout: Span::days(7),
        bind: Bind::Digest,
        instructions: None,
    }
}

#[test]
fn t30_lowering_the_number_does_not_lower_it() {
    let merged = stricter(Some(&simple("acme/a", 1)), Some(&simple("acme/a", 2))).unwrap();
    assert_eq!(merged, simple("acme/a", 2));
}

#[test]
fn t30_exchanging_the_approvers_asks_both() {
    let merged = stricter(Some(&simple("acme/mallory", 1)), Some(&simple("acme/a", 2))).unwrap();
    let asked: Vec<String> = merged.require.iter().map(|r| format!("{} of {}", r.min, r.who)).collect();
    assert_eq!(asked, ["2 of acme/a", "1 of acme/mallory"]);
    assert_eq!(merged.min, 2);
}

#[test]
fn t30_dropping_the_approval_does_not_drop_it() {
    assert_eq!(stricter(None, Some(&simple("acme/a", 1))), Some(simple("acme/a", 1)));
    assert_eq!(stricter(None, None), None);
}

fn stage(text: &str) -> Stage {
    let files = [(".github/liftlock.yml".to_owned(), format!("version: 1\nstages:\n  - {text}\n"))].into();
    let loaded = crate::domain::manifest::load(&files, &"acme/web".parse().unwrap()).unwrap();
    loaded.pipelines.into_iter().next().unwrap().stages.remove(0)
}

#[test]
fn t30_a_stage_keeps_its_steps_and_takes_the_stricter_policy() {
    let commit = stage("{name: prod, deploy: new.sh, optional: true, soak: 1h, rollback: {approval: 0}}");
    let head = stage(
        "{name: prod, deploy: old.sh, soak: 24h, trigger: manual, approval: 2, hold_during_soak: true}",
    );
    let merged = stricter_stage(&commit, Some(&head));
    assert_eq!(merged.deploy, commit.deploy);
    assert_eq!(merged.soak, Span::hours(24));
    assert_eq!(merged.start, Start::Manual);
    assert_eq!(merged.duty, Duty::Mandatory);
    assert_eq!(merged.approval.as_ref().map(|a| a.min), Some(2));
    assert_eq!(merged.rollback_approvals, 1);
    assert!(merged.hold_during_soak);
    assert_eq!(stricter_stage(&commit, None), commit);
    assert_eq!(stricter_stage(&merged, Some(&merged)), merged);
}
