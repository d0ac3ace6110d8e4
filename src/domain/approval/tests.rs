//! Matching people to requirements, against brute force.

use std::num::NonZeroU64;

use proptest::prelude::*;

use super::*;

fn standing(id: u64, login: &str, role: Role, teams: &[&str]) -> Standing {
    Standing {
        person: Person { id: UserId(NonZeroU64::new(id).unwrap()), login: login.parse().unwrap() },
        role,
        teams: teams.iter().map(|t| t.parse().unwrap()).collect(),
        kind: Account::Human,
    }
}

fn team(name: &str, min: u32) -> Requirement {
    Requirement { who: Who::Team(name.parse().unwrap()), min }
}

/// How many people each requirement lacks when everybody counts wherever they can.
fn unmatched(require: &[Requirement], people: &[&Standing]) -> Vec<u32> {
    let anywhere = BTreeSet::from([None]);
    let votes: Vec<Vote<'_>> =
        people.iter().map(|standing| Vote { standing, teams: anywhere.clone() }).collect();
    matching::seated(require, &votes).iter().map(Seat::lacks).collect()
}

#[test]
fn t27_each_person_serves_one_group_and_order_makes_no_difference() {
    let require = [team("acme/release", 2), team("acme/qa", 1)];
    let both = standing(1, "ana", Role::Write, &["acme/release", "acme/qa"]);
    let release = standing(2, "cy", Role::Write, &["acme/release"]);
    let qa = standing(3, "di", Role::Write, &["acme/qa"]);
    let more = standing(4, "ed", Role::Write, &["acme/release"]);
    for (people, lacking) in [
        (vec![], vec![2, 1]),
        (vec![&both], vec![1, 1]),
        (vec![&both, &release], vec![0, 1]),
        (vec![&both, &qa], vec![1, 0]),
        (vec![&both, &release, &qa], vec![0, 0]),
        (vec![&qa, &release, &both], vec![0, 0]),
        // Whoever is seated first moves over to the group that only they can serve.
        (vec![&both, &release, &more], vec![0, 0]),
        (vec![&qa, &qa], vec![2, 0]),
    ] {
        let logins: Vec<_> = people.iter().map(|p| p.person.login.as_str()).collect();
        let total: u32 = unmatched(&require, &people).iter().sum();
        assert_eq!(total, lacking.iter().sum::<u32>(), "{logins:?}");
    }
}

/// The most seats that can be taken, by trying everything.
fn most_seated(seats: &[&Who], people: &[&Standing]) -> usize {
    let Some((seat, rest)) = seats.split_first() else { return 0 };
    let empty = most_seated(rest, people);
    let taken = (0..people.len()).filter(|i| people[*i].is(seat)).map(|i| {
        let others: Vec<&Standing> =
            people.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, p)| *p).collect();
        1 + most_seated(rest, &others)
    });
    taken.max().unwrap_or(0).max(empty)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn t27_the_matching_is_the_best_there_is(
        groups in prop::collection::vec(1..3u32, 1..4),
        members in prop::collection::vec(prop::collection::vec(prop::bool::ANY, 3), 0..5),
    ) {
        let names = ["acme/a", "acme/b", "acme/c"];
        let require: Vec<_> = groups.iter().zip(names).map(|(min, name)| team(name, *min)).collect();
        let people: Vec<_> = (1..).zip(&members).map(|(id, member)| {
            let teams: Vec<&str> = names.iter().zip(member).filter(|(_, is)| **is).map(|(n, _)| *n).collect();
            standing(id, "somebody", Role::Read, &teams)
        }).collect();
        let people: Vec<&Standing> = people.iter().collect();
        let seats: Vec<&Who> = require.iter().flat_map(|r| (0..r.min).map(|_| &r.who)).collect();
        let lacking: u32 = unmatched(&require, &people).iter().sum();
        prop_assert_eq!(usize::try_from(lacking).unwrap(), seats.len() - most_seated(&seats, &people));
    }
}

#[test]
fn t25_only_the_role_and_active_teams_make_an_approver() {
    let maintain = Who::Role(Role::Maintain);
    let roles = [Role::None, Role::Read, Role::Triage, Role::Write, Role::Maintain, Role::Admin];
    let may: Vec<bool> = roles.iter().map(|r| standing(1, "ana", *r, &[]).is(&maintain)).collect();
    assert_eq!(may, [false, false, false, false, true, true]);
    let qa = Who::Team("acme/qa".parse().unwrap());
    assert!(standing(1, "ana", Role::None, &["acme/qa"]).is(&qa));
    assert!(!standing(1, "ana", Role::Admin, &["acme/qa2"]).is(&qa));
    let bot = Standing { kind: Account::Bot, ..standing(1, "robot", Role::Admin, &["acme/qa"]) };
    assert!(!bot.is(&maintain) && !bot.is(&qa) && bot.is(&Who::User("robot".parse().unwrap())));
}

#[test]
fn t33_nobody_without_an_id_is_a_person() {
    for text in ["0", "null", "\"\"", "-1"] {
        assert!(serde_json::from_str::<UserId>(text).is_err(), "{text}");
    }
    assert!(serde_json::from_str::<Person>("{\"id\":0,\"login\":\"ana\"}").is_err());
    assert!(serde_json::from_str::<Person>("{\"id\":1,\"login\":\"\"}").is_err());
}

#[test]
fn a_rollback_asks_for_its_own_number_and_leaves_nobody_out() {
    let stage: Stage = serde_json::from_value(serde_json::json!({
        "name": "prod", "about": {"title": null, "description": null, "tags": [], "weight": 0, "docs_url": null},
        "environment": "prod", "needs": [], "duty": "mandatory", "start": "auto",
        "approval": {"min": 2, "from": [{"role": "maintain"}], "require": [{"who": {"team": "acme/qa"}, "min": 1}],
            "exclude": ["commit_authors"], "distinct": false, "valid_for": "7d", "timeout": "7d"},
        "soak": "0s", "hold_during_soak": false, "queue": "latest", "deploy": [], "test_commands": [],
        "environment_variables": {}, "secrets": [], "retries": 0, "timeout": "1h", "rollback_approvals": 1
    }))
    .unwrap();
    let rule = rollback_rule(&stage, stage.rollback_approvals).unwrap();
    assert_eq!((rule.min, rule.exclude.len(), rule.require.len()), (1, 0, 0));
    assert_eq!(rule.from.len(), 2, "whoever the stage counts may put it back");
    let alone = Stage { rollback_approvals: 0, ..stage };
    assert_eq!(rollback_rule(&alone, alone.rollback_approvals), None);
}

#[test]
fn the_number_of_people_needed_is_the_least_that_can_do() {
    let base = default_rule(1);
    let groups = vec![team("acme/qa", 2), team("acme/release", 1)];
    let any = ApprovalRule { require: groups.clone(), ..base.clone() };
    let distinct = ApprovalRule { distinct: true, ..any.clone() };
    assert_eq!((needed(&base), needed(&any), needed(&distinct)), (1, 2, 3));
    assert_eq!(approvers(&ApprovalRule { from: Vec::new(), ..base }), [Who::Role(Role::Maintain)]);
}
