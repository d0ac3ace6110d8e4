//! The inbox (T1): durable before it is acknowledged, once, and known for ever.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use liftlock::domain::time::{Span, Timestamp};
use liftlock::store::delivery::{DeliveryState, Put, intake_key};
use liftlock::store::effect::EffectState;
use liftlock::store::step::Step;
use liftlock::trouble::Kind;
use tokio::task::unconstrained;

use super::{Home, NOW, Place, claim_one, claims_nothing, completing, delivery, on_both};

on_both! {
    a_delivery_is_stored_once_and_owes_its_intake
    the_same_id_with_another_body_is_a_clash
    a_large_body_comes_back_as_it_was
    a_delivery_is_understood_in_the_step_that_completes_its_intake
    a_replayed_delivery_is_new_and_its_intake_ready
    a_sweep_learns_which_ids_are_known
    old_bodies_go_and_their_rows_stay
    deliveries_put_together_keep_their_order
    the_same_delivery_at_fifty_doors_is_stored_once
}

async fn a_delivery_is_stored_once_and_owes_its_intake(place: &Place) {
    let store = &place.store;
    let Put::Stored(seq) = store.put_delivery(delivery("g1", "{}")).await.unwrap() else {
        panic!("the first is stored")
    };
    assert_eq!(store.put_delivery(delivery("g1", "{}")).await.unwrap(), Put::Duplicate(seq));

    let kept = store.delivery(seq).await.unwrap();
    assert_eq!((kept.source.as_str(), kept.guid.as_str(), kept.event.as_str()), ("github", "g1", "push"));
    assert_eq!((kept.repo.as_deref(), kept.seen, kept.size), (Some("acme/app"), 2, 2));
    assert_eq!((kept.state, kept.received_at), (DeliveryState::New, NOW));
    assert_eq!(kept.body.as_deref(), Some(&b"{}"[..]));

    let claim = claim_one(store, "intake").await;
    assert_eq!((claim.key, claim.desired), (intake_key("github", "g1"), format!("{{\"delivery\":{seq}}}")));
    claims_nothing(store, "intake").await;
}

async fn the_same_id_with_another_body_is_a_clash(place: &Place) {
    let store = &place.store;
    store.put_delivery(delivery("g1", "one")).await.unwrap();
    assert_eq!(store.put_delivery(delivery("g1", "two")).await.unwrap(), Put::Clash);
    let all = store.deliveries(10, None).await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].seen, 1, "a clash is no sighting");
    let mut elsewhere = delivery("g1", "two");
    "gitea".clone_into(&mut elsewhere.source);
    assert!(
        matches!(store.put_delivery(elsewhere).await.unwrap(), Put::Stored(_)),
        "ids belong to their source"
    );
}

async fn a_large_body_comes_back_as_it_was(place: &Place) {
    let body: String =
        (0_u64..400_000).map(|n| char::from(b'a' + u8::try_from(n * n % 26).unwrap())).collect();
    let Put::Stored(seq) = place.store.put_delivery(delivery("big", &body)).await.unwrap() else {
        panic!("it is stored")
    };
    assert_eq!(place.store.delivery(seq).await.unwrap().body.unwrap(), body.into_bytes());
}

async fn a_delivery_is_understood_in_the_step_that_completes_its_intake(place: &Place) {
    let store = &place.store;
    let Put::Stored(seq) = store.put_delivery(delivery("g1", "{}")).await.unwrap() else {
        panic!("it is stored")
    };
    let claim = claim_one(store, "intake").await;
    let ignored = Some((seq, DeliveryState::Ignored, Some("nobody listens to it".to_owned())));
    store.commit(Step { delivery: ignored, ..completing(&claim) }).await.unwrap();
    let kept = store.delivery(seq).await.unwrap();
    assert_eq!((kept.state, kept.error.as_deref()), (DeliveryState::Ignored, Some("nobody listens to it")));
    assert_eq!(store.effect(&claim.key).await.unwrap().unwrap().state, EffectState::Done);

    let stray = Step { delivery: Some((seq + 1, DeliveryState::Done, None)), ..Step::default() };
    assert_eq!(store.commit(stray).await.unwrap_err().kind(), Kind::NotFound);
}

async fn a_replayed_delivery_is_new_and_its_intake_ready(place: &Place) {
    let store = &place.store;
    let Put::Stored(seq) = store.put_delivery(delivery("g1", "{}")).await.unwrap() else {
        panic!("it is stored")
    };
    let claim = claim_one(store, "intake").await;
    let poison = Some((seq, DeliveryState::Poison, Some("not JSON".to_owned())));
    store.commit(Step { delivery: poison, ..completing(&claim) }).await.unwrap();
    claims_nothing(store, "intake").await;

    store.replay(seq).await.unwrap();
    assert_eq!(store.delivery(seq).await.unwrap().state, DeliveryState::New);
    let again = claim_one(store, "intake").await;
    assert_eq!((&again.key, &again.desired), (&claim.key, &claim.desired));
    assert!(again.token > claim.token);
    assert_eq!(store.replay(seq + 1).await.unwrap_err().kind(), Kind::NotFound);
}

async fn a_sweep_learns_which_ids_are_known(place: &Place) {
    let store = &place.store;
    for guid in ["a", "c"] {
        store.put_delivery(delivery(guid, "{}")).await.unwrap();
    }
    let asked: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
    assert_eq!(store.known_guids("github", &asked).await.unwrap(), ["a", "c"]);
    assert_eq!(store.known_guids("gitea", &asked).await.unwrap(), Vec::<String>::new());
}

async fn old_bodies_go_and_their_rows_stay(place: &Place) {
    let store = &place.store;
    for guid in ["done", "new"] {
        store.put_delivery(delivery(guid, "{}")).await.unwrap();
    }
    let claim = claim_one(store, "intake").await;
    store
        .commit(Step { delivery: Some((1, DeliveryState::Done, None)), ..completing(&claim) })
        .await
        .unwrap();
    place.clock.pass(Span::days(30));
    let gone = store.forget_deliveries(Timestamp(NOW.0 + 1), 100).await.unwrap();
    assert_eq!(gone, 2, "one body and one intake effect");
    assert_eq!(store.delivery(1).await.unwrap().body, None);
    assert!(store.delivery(2).await.unwrap().body.is_some(), "what is not understood yet is kept");
    assert_eq!(store.put_delivery(delivery("done", "{}")).await.unwrap(), Put::Duplicate(1));
    assert_eq!(store.replay(1).await.unwrap_err().kind(), Kind::Refused);
    claim_one(store, "intake").await;
    claims_nothing(store, "intake").await;
}

async fn deliveries_put_together_keep_their_order(place: &Place) {
    for round in 0..5 {
        let puts = (0..100).map(|n| place.store.put_delivery(delivery(&format!("g{round}-{n}"), "{}")));
        // Unconstrained: the runtime would make one in the middle yield, and with it lose its turn.
        let numbers: Vec<Put> = unconstrained(join_all(puts)).await.into_iter().map(Result::unwrap).collect();
        let expected: BTreeSet<i64> = (1 + round * 100..=100 + round * 100).collect();
        let mut got = Vec::new();
        for number in numbers {
            let Put::Stored(seq) = number else { panic!("each is new: {number:?}") };
            got.push(seq);
        }
        assert_eq!(got.iter().copied().collect::<BTreeSet<_>>(), expected, "each has its own number");
        // Connections to PostgreSQL race; the one writer of SQLite takes them as they came.
        if matches!(place.home, Home::Sqlite(_)) {
            assert!(got.is_sorted(), "{got:?}");
        }
    }
}

async fn the_same_delivery_at_fifty_doors_is_stored_once(place: &Place) {
    let puts = join_all((0..50).map(|_| {
        let store = place.store.clone();
        tokio::spawn(async move { store.put_delivery(delivery("g1", "{}")).await })
    }))
    .await;
    let stored = puts.into_iter().filter(|put| matches!(put.as_ref().unwrap(), Ok(Put::Stored(_)))).count();
    assert_eq!(stored, 1);
    assert_eq!(place.store.deliveries(10, None).await.unwrap()[0].seen, 50);
}
