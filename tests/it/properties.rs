//! Random histories: whatever people, workers and the host do, in whatever order, the invariants hold.
//!
//! `World` holds every single step against SEMANTICS §2 and §12; here only the histories are made.

use proptest::prelude::*;

use crate::scenario::{World, invariants, speak};

/// Shapes of pipelines that have little in common.
const PIPELINES: &[&str] = &[
    "web: test, prod (approval 1 of maintain)",
    "web: test, qa (optional, retries 1), prod (approval 2 of maintain, soak 1h, guarded, valid 3h, timeout 6h)",
    "web: prod (queue all, approval 1 of maintain, not initiator)",
    "web: test, prod (queue manual, rollback 2)",
    "web: a (needs nothing, retries 2), b (needs nothing, environment shared), c (needs a+b, environment shared, by hand, soak 30m)",
    "web: test (after require 1 of acme/qa, after timeout 2d), prod (approval 1 of maintain, after require 1 of acme/qa, after require 1 of acme/release, after distinct, after valid 1h, environment test)",
    "web: test, prod (approval 1 of maintain, timeout 2d, window Europe/Oslo mon wed 09:00-11:00, deny 2026-03-04 2026-03-06 fair, finishes, patience 9d)",
    "web: test (window UTC mon tue wed thu fri 22:00-08:30), prod (override 2 of admin or maintain, window UTC mon tue 08:10-08:20, rollbacks wait)",
    "web: a (needs nothing, optional), b (needs nothing, retries 1), c (needs a/b, soak 30m, guarded, approval 1 of maintain)",
    "web: test (by hand), prod (require 1 of acme/qa, require 1 of acme/release, distinct)",
];

const STAGES: &[&str] = &["test", "qa", "prod", "a", "b", "c"];

const PEOPLE: &[&str] = &[
    "bo (write)",
    "ana (maintain, acme/qa)",
    "cy (maintain, acme/release, acme/qa)",
    "di (admin)",
    "eve (read)",
    "robot (maintain, bot)",
];

/// One command of a transcript; what makes no sense at the moment is refused, and that is part of the test.
fn command() -> impl Strategy<Value = String> {
    let stage = || prop::sample::select(STAGES);
    let person = || prop::sample::select(PEOPLE);
    let place = || prop_oneof![Just("on #7"), Just("on #8"), Just("on c1"), Just("by api")];
    let release = || {
        prop_oneof![
            3 => Just(String::new()),
            1 => (1..6u32).prop_map(|n| format!(" v0.1.0-rc.{n}")),
        ]
    };
    let verb = prop::sample::select(
        &["approve", "revoke", "promote", "retry", "cancel", "why", "unhold", "preview", "unfreeze"][..],
    );
    let blunt = prop::sample::select(&["reject", "hold", "rollback", "freeze"][..]);
    let check = prop::sample::select(&["soak", "deps", "window", "freeze", "approval-timeout", "sdl"][..]);
    let ending = prop::sample::select(
        &[
            "",
            "",
            "",
            "begins",
            "ends ok",
            "fails at \"smoke\": exit 1",
            "ends fails at \"smoke\": exit 1",
            "errors: network",
            "times out at \"deploy\"",
            "ends stops",
            "is lost",
        ][..],
    );
    let host = prop::sample::select(
        &["host ana is read", "host ana is maintain", "host branch rewritten", "host branch restored"][..],
    );
    let span = prop::sample::select(&["10s", "5m", "40m", "2h", "1d", "8d"][..]);
    prop_oneof![
        3 => (1..7u32, 7..9u32).prop_map(|(n, t)| format!("push c{n} as #{t} by bo: feat: {n}")),
        3 => Just("build ok".to_owned()),
        1 => Just("build errors: disk".to_owned()),
        1 => Just("build fails at \"make\": exit 2".to_owned()),
        6 => ending.prop_map(|e| format!("work {e}").trim_end().to_owned()),
        1 => Just("work finds changed bytes".to_owned()),
        3 => prop::sample::select(&["one", "other"][..]).prop_map(|of| format!("bo (write) by api: /start web service={of}")),
        1 => Just("race".to_owned()),
        6 => (person(), place(), verb, stage(), release())
            .prop_map(|(who, at, verb, stage, release)| {
                let release = if ["retry", "cancel", "why", "unhold", "unfreeze"].contains(&verb) { "" } else { &release };
                format!("{who} {at}: /{verb} {stage}{release}")
            }),
        6 => (person(), place(), prop::sample::select(&["qa", "acme/release", "ops"][..]), stage())
            .prop_map(|(who, at, team, stage)| format!("{who} {at}: /signoff {team} {stage}")),
        6 => (place(), stage(), release()).prop_map(|(at, stage, release)| {
            format!("cy (maintain) {at}: /approve {stage}{release}")
        }),
        2 => (person(), place(), blunt, stage())
            .prop_map(|(who, at, verb, stage)| format!("{who} {at}: /{verb} {stage} -- because of it")),
        1 => (place(), stage()).prop_map(|(at, stage)| format!("bo (write) {at}: /retry {stage} verify")),
        1 => (place(), stage(), check)
            .prop_map(|(at, stage, check)| format!("di (admin) {at}: /override {stage} {check} -- customer is down")),
        1 => (person(), prop::sample::select(&["*", "prod until=2026-03-03", "* until=2026-03-05", "* until=2026-03-01"][..]))
            .prop_map(|(who, what)| format!("{who} by api: /freeze {what} -- the fair")),
        1 => person().prop_map(|who| format!("{who} by api: /unfreeze *")),
        1 => prop::sample::select(&["jump 3h", "jump 2d", "jump 9h silently", "jump back 1h"][..]).prop_map(str::to_owned),
        1 => (1..12u32, prop::bool::ANY)
            .prop_map(|(n, edited)| format!("comment k{n} {}", if edited { "edited" } else { "deleted" })),
        1 => (1..12u32).prop_map(|n| format!("comment k{n} again")),
        1 => host.prop_map(str::to_owned),
        1 => (1..6u32).prop_map(|n| format!("tag v0.1.0-rc.{n} on c9 by eve")),
        1 => (7..9u32).prop_map(|n| format!("tag v1.0.{n} on c{} by bo", n - 5)),
        1 => prop::sample::select(PIPELINES).prop_map(|p| format!("head c0 {p}")),
        3 => span.prop_map(|s| format!("wait {s}")),
    ]
}

fn history() -> impl Strategy<Value = Vec<String>> {
    let shape = (prop::sample::select(PIPELINES), prop::bool::ANY);
    (shape, prop::collection::vec(command(), 1..40)).prop_map(|((pipeline, tracks), rest)| {
        let mut all = vec![
            format!("pipeline {pipeline}"),
            format!("button service{}", if tracks { " per service" } else { "" }),
            "rules c1".to_owned(),
            "push c1 as #7 by bo: feat: 1".to_owned(),
            "build ok".to_owned(),
        ];
        all.extend(rest);
        all
    })
}

/// Enough to find what a change breaks within seconds; more with `PROPTEST_CASES`.
fn cases(few: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let asked = default.cases != 256;
    let cases = if asked { default.cases } else { few };
    ProptestConfig { cases, failure_persistence: None, ..default }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn e12_e26_t24_random_histories_keep_the_invariants(history in history()) {
        let mut world = World::new();
        for command in &history {
            speak::play(&mut world, command);
        }
        invariants::replays(&world.log, &world.state, world.now);
    }

}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn t56_every_prefix_of_a_history_owes_what_was_owed_then(history in history()) {
        let mut world = World::new();
        for command in &history {
            speak::play(&mut world, command);
            invariants::replays(&world.log, &world.state, world.now);
        }
    }
}
