//! Effects owed (T2, T3, T5, T7, T9): leased by one, fenced, aged, repeated, given up.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use liftlock::domain::time::Span;
use liftlock::store::effect::{Beat, EffectFilter, EffectState, OwedEffect, Retry, Toll};
use liftlock::store::lock::Locks;
use liftlock::store::step::{Race, Step};
use liftlock::trouble::Kind;

use super::{Home, LEASE, NOW, Place, claim_one, claims_nothing, completing, on_both, owed, owing, worker};

on_both! {
    fifty_workers_never_share_an_effect
    a_group_is_leased_once_however_many_ask
    a_lock_keeps_the_effects_of_other_pipelines_from_being_claimed
    a_holder_that_comes_back_late_is_fenced_off
    a_claim_is_durable_before_anything_is_done
    what_is_done_as_desired_is_left_alone
    a_new_payload_while_leased_makes_it_ready_after
    cancelled_before_and_during
    wanted_again_after_a_cancel_it_starts_anew
    a_timer_moves_and_fires_again
    what_waits_overtakes_what_is_urgent
    failing_too_often_is_dead_until_revived
    what_is_put_off_or_waited_for_does_not_die
    a_lease_that_runs_out_counts_as_a_failure
    sleep_ends_exactly_when_something_is_due
    lanes_are_asked_in_order_and_apart
    a_thousand_that_wait_do_not_hold_up_one_that_is_ready
    duties_are_held_by_one
    limits_and_cursors_are_shared
}

async fn fifty_workers_never_share_an_effect(place: &Place) {
    place.store.commit(owing((0..120).map(|n| owed(&format!("e{n}"))))).await.unwrap();
    let claims = join_all((0..50).map(|n| {
        let store = place.store.clone();
        tokio::spawn(async move { store.claim(&["build"], &worker(&format!("w{n}")), 3).await.unwrap() })
    }))
    .await;
    let keys: Vec<String> = claims.into_iter().flat_map(Result::unwrap).map(|claim| claim.key).collect();
    let unique: BTreeSet<&String> = keys.iter().collect();
    assert_eq!(keys.len(), unique.len(), "no effect was leased twice");
    let leased = EffectFilter { state: Some(EffectState::Leased), ..EffectFilter::default() };
    assert_eq!(place.store.effects(&leased, 1000).await.unwrap().len(), keys.len());
    // A worker may find rows locked by others and go away empty; nothing is lost by it.
    let rest = place.store.claim(&["build"], &worker("last"), 120).await.unwrap();
    assert_eq!(keys.len() + rest.len(), 120);
}

async fn a_group_is_leased_once_however_many_ask(place: &Place) {
    let grouped = |n: i32| OwedEffect { group: Some("target:prod".to_owned()), ..owed(&format!("e{n}")) };
    place.store.commit(owing((0..10).map(grouped))).await.unwrap();
    let mut done = Vec::new();
    while done.len() < 10 {
        let claims = join_all((0..10).map(|n| {
            let store = place.store.clone();
            tokio::spawn(async move { store.claim(&["build"], &worker(&format!("w{n}")), 4).await.unwrap() })
        }))
        .await;
        let claims: Vec<_> = claims.into_iter().flat_map(Result::unwrap).collect();
        assert_eq!(claims.len(), 1, "one of the group at a time");
        assert_eq!(
            place.store.next_due().await.unwrap(),
            Some(NOW.plus(LEASE)),
            "the rest is no reason to look"
        );
        place.store.commit(completing(&claims[0])).await.unwrap();
        done.push(claims[0].key.clone());
    }
    if matches!(place.home, Home::Postgres(_)) {
        // Claimants that meet pass over each other's rows: all are done, in about this order.
        done.sort();
    }
    let in_order: Vec<String> = (0..10).map(|n| format!("e{n}")).collect();
    assert_eq!(done, in_order);
}

async fn a_lock_keeps_the_effects_of_other_pipelines_from_being_claimed(place: &Place) {
    let of = |stream: &str, held: &[(&str, &str)]| Step {
        locks: Some(Locks {
            stream: stream.to_owned(),
            held: held.iter().map(|(name, who)| ((*name).to_owned(), (*who).to_owned())).collect(),
        }),
        ..Step::default()
    };
    let wants = |key: &str, stream: &str| OwedEffect {
        group: Some("lock:cdn".to_owned()),
        stream: Some(stream.to_owned()),
        ..owed(key)
    };
    place
        .store
        .commit(of("shop", &[("lock:cdn", "shop v1 in eu"), ("lock:db", "shop v1 in eu")]))
        .await
        .unwrap();
    let part =
        OwedEffect { group: Some("lock:cdn service=basket".to_owned()), ..wants("a part of it", "docs") };
    place.store.commit(owing([wants("theirs", "docs"), part])).await.unwrap();
    claims_nothing(&place.store, "build").await;
    // Whoever has it may go on, another pipeline's decision to take it is not stored.
    place.store.commit(owing([wants("ours", "shop")])).await.unwrap();
    assert_eq!(claim_one(&place.store, "build").await.key, "ours");
    let taking = of("docs", &[("lock:cdn", "docs v7 in eu")]);
    let refused = place.store.commit(taking.clone()).await.unwrap_err();
    assert!(refused.is_transient(), "{}", refused.chain());
    assert_eq!(place.store.lock("lock:cdn").await.unwrap().unwrap().holder, "shop v1 in eu");
    // What is not named any more is given back, and what was named again stays.
    place.store.commit(of("shop", &[("lock:db", "shop v2 in eu")])).await.unwrap();
    assert_eq!(place.store.lock("lock:db").await.unwrap().unwrap().holder, "shop v2 in eu");
    place.store.commit(taking).await.unwrap();
    assert_eq!(place.store.lock("lock:cdn").await.unwrap().unwrap().stream, "docs");
}

async fn a_holder_that_comes_back_late_is_fenced_off(place: &Place) {
    let store = &place.store;
    store.commit(owing([owed("e")])).await.unwrap();
    let old = claim_one(store, "build").await;
    assert_eq!(store.heartbeat("e", old.token, LEASE).await.unwrap(), Beat::Held);
    place.clock.pass(Span::seconds(59));
    assert_eq!(store.expire().await.unwrap(), 0, "the lease lasts");
    assert_eq!(store.heartbeat("e", old.token, LEASE).await.unwrap(), Beat::Held);
    place.clock.pass(Span::seconds(59));
    assert_eq!(store.expire().await.unwrap(), 0, "the heartbeat made it last");
    place.clock.pass(Span::seconds(1));
    assert_eq!(store.expire().await.unwrap(), 1);

    let new = claim_one(store, "build").await;
    assert_eq!((old.token, new.token, new.attempt), (1, 2, 2));
    assert_eq!(store.heartbeat("e", old.token, LEASE).await.unwrap(), Beat::Lost);
    let late = Retry {
        key: "e".to_owned(),
        token: old.token,
        run_after: NOW,
        error: "late".to_owned(),
        toll: Toll::One,
    };
    let refused = store.retry(late).await.unwrap_err();
    assert_eq!(Race::of(&refused), Some(&Race::Lease { key: "e".to_owned(), token: 1 }));
    assert_eq!(store.commit(completing(&old)).await.unwrap_err().kind(), Kind::Conflict);
    assert_eq!(store.heartbeat("e", new.token, LEASE).await.unwrap(), Beat::Held);
    store.commit(completing(&new)).await.unwrap();
    assert_eq!(store.heartbeat("e", new.token, LEASE).await.unwrap(), Beat::Lost, "done is not held");
}

async fn a_claim_is_durable_before_anything_is_done(place: &Place) {
    let store = &place.store;
    store.commit(owing([owed("e")])).await.unwrap();
    assert_eq!(claim_one(store, "build").await.token, 1, "nobody began before");
    place.clock.pass(LEASE);
    store.expire().await.unwrap();
    assert!(claim_one(store, "build").await.token > 1, "somebody may have begun: look first");
}

async fn what_is_done_as_desired_is_left_alone(place: &Place) {
    let store = &place.store;
    store.commit(owing([owed("e")])).await.unwrap();
    store.commit(owing([owed("e")])).await.unwrap();
    let claim = claim_one(store, "build").await;
    claims_nothing(store, "build").await;
    store.commit(completing(&claim)).await.unwrap();
    store.commit(owing([owed("e")])).await.unwrap();
    claims_nothing(store, "build").await;
    let kept = store.effect("e").await.unwrap().unwrap();
    assert_eq!((kept.state, kept.revision, kept.result.as_deref()), (EffectState::Done, 1, Some("ok")));

    store.commit(owing([OwedEffect { desired: "{\"v\":2}".to_owned(), ..owed("e") }])).await.unwrap();
    let again = claim_one(store, "build").await;
    assert_eq!((again.revision, again.token, again.desired.as_str()), (2, 2, "{\"v\":2}"));
}

async fn a_new_payload_while_leased_makes_it_ready_after(place: &Place) {
    let store = &place.store;
    store.commit(owing([owed("e")])).await.unwrap();
    let first = claim_one(store, "build").await;
    store.commit(owing([OwedEffect { desired: "{\"v\":2}".to_owned(), ..owed("e") }])).await.unwrap();
    claims_nothing(store, "build").await;
    assert_eq!(store.heartbeat("e", first.token, LEASE).await.unwrap(), Beat::Held);
    store.commit(completing(&first)).await.unwrap();
    let second = claim_one(store, "build").await;
    assert_eq!((second.revision, second.desired.as_str()), (2, "{\"v\":2}"));
    store.commit(completing(&second)).await.unwrap();
    claims_nothing(store, "build").await;
}

async fn cancelled_before_and_during(place: &Place) {
    let store = &place.store;
    let cancel = |key: &str| OwedEffect { cancel: true, ..owed(key) };
    store.commit(owing([owed("early"), cancel("early"), cancel("never owed")])).await.unwrap();
    claims_nothing(store, "build").await;
    assert_eq!(store.effect("never owed").await.unwrap(), None);

    store.commit(owing([owed("late")])).await.unwrap();
    let claim = claim_one(store, "build").await;
    store.commit(owing([cancel("late")])).await.unwrap();
    assert_eq!(store.heartbeat("late", claim.token, LEASE).await.unwrap(), Beat::CancelRequested);
    store.commit(completing(&claim)).await.unwrap();
    assert_eq!(store.effect("late").await.unwrap().unwrap().state, EffectState::Cancelled);
    claims_nothing(store, "build").await;
    assert!(store.revive("late").await.unwrap());
    claim_one(store, "build").await;
}

async fn wanted_again_after_a_cancel_it_starts_anew(place: &Place) {
    let store = &place.store;
    store.commit(owing([owed("e")])).await.unwrap();
    let claim = claim_one(store, "build").await;
    store.commit(owing([OwedEffect { cancel: true, ..owed("e") }])).await.unwrap();
    store.commit(owing([owed("e")])).await.unwrap();
    assert_eq!(store.heartbeat("e", claim.token, LEASE).await.unwrap(), Beat::CancelRequested);
    store.commit(completing(&claim)).await.unwrap();
    let again = claim_one(store, "build").await;
    assert_eq!(store.heartbeat("e", again.token, LEASE).await.unwrap(), Beat::Held);
    store.commit(completing(&again)).await.unwrap();

    store.commit(owing([OwedEffect { cancel: true, ..owed("x") }, owed("x")])).await.unwrap();
    store.commit(owing([OwedEffect { cancel: true, ..owed("x") }])).await.unwrap();
    store.commit(owing([owed("x")])).await.unwrap();
    assert_eq!(claim_one(store, "build").await.key, "x");
}

async fn a_timer_moves_and_fires_again(place: &Place) {
    let store = &place.store;
    let timer = |minutes: u64| OwedEffect {
        lane: "timer".to_owned(),
        run_after: Some(NOW.plus(Span::minutes(minutes))),
        ..owed("wake")
    };
    store.commit(owing([timer(10)])).await.unwrap();
    store.commit(owing([timer(5)])).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), Some(NOW.plus(Span::minutes(5))));
    claims_nothing(store, "timer").await;
    place.clock.pass(Span::minutes(5));
    let claim = claim_one(store, "timer").await;
    store.commit(completing(&claim)).await.unwrap();
    store.commit(owing([timer(5)])).await.unwrap();
    claims_nothing(store, "timer").await;
    store.commit(owing([timer(20)])).await.unwrap();
    claims_nothing(store, "timer").await;
    place.clock.pass(Span::minutes(15));
    assert_eq!(claim_one(store, "timer").await.revision, 3);
}

async fn what_waits_overtakes_what_is_urgent(place: &Place) {
    let store = &place.store;
    let urgent = |n: u64| OwedEffect {
        priority: 10,
        run_after: Some(NOW.plus(Span::minutes(n))),
        ..owed(&format!("u{n}"))
    };
    store.commit(owing([owed("patient"), urgent(0)])).await.unwrap();
    let first = claim_one(store, "build").await;
    assert_eq!(first.key, "u0", "urgent goes first");
    store.commit(completing(&first)).await.unwrap();
    // Something urgent comes every minute; each point is worth a minute, so the eleventh has to wait.
    let mut before = 0;
    for n in 1..=20 {
        place.clock.pass(Span::minutes(1));
        store.commit(owing([urgent(n)])).await.unwrap();
        let next = claim_one(store, "build").await;
        store.commit(completing(&next)).await.unwrap();
        if next.key == "patient" {
            break;
        }
        before += 1;
    }
    assert_eq!(before, 9);
}

async fn failing_too_often_is_dead_until_revived(place: &Place) {
    let store = &place.store;
    store.commit(owing([owed("e")])).await.unwrap();
    for attempt in 1..=3 {
        let claim = claim_one(store, "build").await;
        assert_eq!(claim.attempt, attempt);
        let after = place.clock.now().plus(Span::minutes(1));
        let error = format!("no answer, try {attempt}");
        let retry = Retry { key: claim.key, token: claim.token, run_after: after, error, toll: Toll::One };
        let state = store.retry(retry).await.unwrap();
        assert_eq!(state, if attempt < 3 { EffectState::Ready } else { EffectState::Dead });
        claims_nothing(store, "build").await;
        place.clock.pass(Span::minutes(1));
    }
    claims_nothing(store, "build").await;
    store.commit(owing([owed("e")])).await.unwrap();
    claims_nothing(store, "build").await;
    let dead = EffectFilter { state: Some(EffectState::Dead), ..EffectFilter::default() };
    let listed = store.effects(&dead, 10).await.unwrap();
    assert_eq!((listed.len(), listed[0].error.as_deref()), (1, Some("no answer, try 3")));

    assert!(store.revive("e").await.unwrap());
    assert!(!store.revive("e").await.unwrap(), "it is not dead any more");
    assert_eq!(claim_one(store, "build").await.attempt, 1);
}

/// What is put off begins anew each time; what is waited for with patience counts its tries, for longer waits, and none
/// is the last.
async fn what_is_put_off_or_waited_for_does_not_die(place: &Place) {
    for (toll, attempts) in [(Toll::Nothing, [1; 6]), (Toll::Patience, [1, 2, 3, 3, 3, 3])] {
        never_dies(place, toll, &attempts).await;
    }
}

async fn never_dies(place: &Place, toll: Toll, attempts: &[i64]) {
    let store = &place.store;
    let key = format!("{toll:?}");
    store.commit(owing([owed(&key)])).await.unwrap();
    for attempt in attempts {
        let claim = claim_one(store, "build").await;
        assert_eq!((claim.attempt, claim.key.as_str()), (*attempt, key.as_str()));
        let after = place.clock.now().plus(Span::minutes(1));
        let retry = Retry {
            key: claim.key,
            token: claim.token,
            run_after: after,
            error: "rate limit".to_owned(),
            toll,
        };
        assert_eq!(store.retry(retry).await.unwrap(), EffectState::Ready);
        place.clock.pass(Span::minutes(1));
    }
    store.commit(owing([OwedEffect { cancel: true, ..owed(&key) }])).await.unwrap();
}

async fn a_lease_that_runs_out_counts_as_a_failure(place: &Place) {
    let store = &place.store;
    store.commit(owing([owed("e")])).await.unwrap();
    for _ in 0..3 {
        claim_one(store, "build").await;
        place.clock.pass(LEASE);
        assert_eq!(store.expire().await.unwrap(), 1);
    }
    claims_nothing(store, "build").await;
    let dead = store.effect("e").await.unwrap().unwrap();
    assert_eq!((dead.state, dead.token), (EffectState::Dead, 3));
    assert_eq!(dead.error.as_deref(), Some("the lease ran out: its holder did not come back"));
}

async fn sleep_ends_exactly_when_something_is_due(place: &Place) {
    let store = &place.store;
    assert_eq!(store.next_due().await.unwrap(), None);
    let later = |minutes: u64| OwedEffect {
        run_after: Some(NOW.plus(Span::minutes(minutes))),
        ..owed(&format!("in {minutes}"))
    };
    store.commit(owing([later(30), later(20)])).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), Some(NOW.plus(Span::minutes(20))));
    store.commit(owing([owed("now")])).await.unwrap();
    claim_one(store, "build").await;
    assert_eq!(store.next_due().await.unwrap(), Some(NOW.plus(LEASE)), "a lease may run out before");
}

async fn lanes_are_asked_in_order_and_apart(place: &Place) {
    let store = &place.store;
    let on = |lane: &str| OwedEffect { lane: lane.to_owned(), ..owed(lane) };
    store.commit(owing(["build", "host", "deploy"].map(on))).await.unwrap();
    let both = store.claim(&["deploy", "build"], &worker("w1"), 9).await.unwrap();
    assert_eq!(both.iter().map(|claim| claim.key.as_str()).collect::<Vec<_>>(), ["deploy", "build"]);
    claim_one(store, "host").await;
    let of = |stream: &str| EffectFilter { stream: Some(stream.to_owned()), ..EffectFilter::default() };
    assert_eq!(store.effects(&of("acme/app/main"), 2).await.unwrap().len(), 2);
    assert_eq!(store.effects(&of("none"), 2).await.unwrap(), []);
    let stats = store.stats().await.unwrap();
    let leased: Vec<&str> = stats.effects.iter().map(|(lane, _, _)| lane.as_str()).collect();
    assert_eq!(leased, ["build", "deploy", "host"]);
    assert_eq!(stats.oldest_ready, None);
}

async fn a_thousand_that_wait_do_not_hold_up_one_that_is_ready(place: &Place) {
    let store = &place.store;
    let parked = |n: i32| OwedEffect {
        priority: 100,
        run_after: Some(NOW.plus(Span::hours(1))),
        ..owed(&format!("parked {n}"))
    };
    let grouped = |n: i32| OwedEffect {
        priority: 50,
        group: Some("target:prod".to_owned()),
        ..owed(&format!("grouped {n}"))
    };
    store.commit(owing((0..1000).map(parked).chain((0..100).map(grouped)))).await.unwrap();
    assert_eq!(claim_one(store, "build").await.key, "grouped 0");
    store.commit(owing([owed("ready")])).await.unwrap();
    assert_eq!(claim_one(store, "build").await.key, "ready");
    place.clock.pass(Span::minutes(1));
    assert_eq!(store.stats().await.unwrap().oldest_ready, Some(Span::minutes(1)));
}

async fn duties_are_held_by_one(place: &Place) {
    let store = &place.store;
    let first = store.lead("sweep", "a", LEASE).await.unwrap().unwrap();
    assert_eq!(store.lead("sweep", "b", LEASE).await.unwrap(), None);
    assert_eq!(store.lead("sweep", "a", LEASE).await.unwrap(), Some(first), "keeping it is no new lease");
    assert!(store.lead("checkpoint", "b", LEASE).await.unwrap().is_some(), "duties are apart");
    place.clock.pass(LEASE);
    let second = store.lead("sweep", "b", LEASE).await.unwrap().unwrap();
    assert!(second > first);
    assert_eq!(store.lead("sweep", "a", LEASE).await.unwrap(), None, "who came back late has it no more");
    place.clock.pass(LEASE);
    assert!(store.lead("sweep", "b", LEASE).await.unwrap().unwrap() > second, "a gap is a new lease");
}

async fn limits_and_cursors_are_shared(place: &Place) {
    let store = &place.store;
    assert_eq!(store.cursor("sweep").await.unwrap(), None);
    for value in ["1", "2"] {
        store.set_cursor("sweep", value).await.unwrap();
        assert_eq!(store.cursor("sweep").await.unwrap().as_deref(), Some(value));
    }
    assert_eq!(store.silence("github:42").await.unwrap(), Span::ZERO);
    store.set_silence("github:42", Span::minutes(10)).await.unwrap();
    store.set_silence("github:42", Span::minutes(5)).await.unwrap();
    assert_eq!(store.silence("github:42").await.unwrap(), Span::minutes(10), "nobody makes it shorter");
    assert_eq!(store.silence("github:43").await.unwrap(), Span::ZERO);
    place.clock.pass(Span::minutes(10));
    assert_eq!(store.silence("github:42").await.unwrap(), Span::ZERO);
    store.set_silence("github:42", Span::minutes(1)).await.unwrap();
    assert_eq!(store.silence("github:42").await.unwrap(), Span::minutes(1), "a later one counts again");
}
