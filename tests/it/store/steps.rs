//! The step (T4, T6): one transaction, guarded by versions and leases, all or nothing.

use futures_util::future::join_all;
use liftlock::store::effect::EffectState;
use liftlock::store::model::{RepositoryRow, Row};
use liftlock::store::step::{Race, Step};
use liftlock::store::stream::{EventFilter, GENESIS};
use liftlock::trouble::Kind;

use super::{
    Claim, NOW, OwedEffect, Place, append, appending, claim_one, claims_nothing, completing, on_both, owed,
    owing, worker,
};

on_both! {
    a_stream_reads_back_what_was_appended
    a_step_on_an_old_version_keeps_nothing
    a_step_with_a_lost_lease_keeps_nothing
    of_many_that_decide_at_once_one_wins
    version_and_facts_are_of_one_moment
    a_step_repeated_after_a_lost_answer_changes_nothing
    events_are_found_by_stream_release_and_kind
    characters_no_engine_keeps_are_replaced
    a_commit_wakes_whoever_waits
    steps_of_one_stream_never_wait_in_a_ring
    a_step_without_facts_is_guarded_by_the_version_too
}

/// Each completes the effect that the other owes again, as any two steps of a pipeline may.
async fn steps_of_one_stream_never_wait_in_a_ring(place: &Place) {
    let store = &place.store;
    let first = Step { effects: vec![owed("a"), owed("b")], ..appending("s", 0, &["opened"]) };
    store.commit(first).await.unwrap();
    for round in 1..=20 {
        let claims = store.claim(&["build"], &worker("w1"), 2).await.unwrap();
        let [one, two] = claims.as_slice() else { panic!("both are ready in round {round}: {claims:?}") };
        let step = |mine: &Claim, other: &Claim| Step {
            appends: vec![append("s", round, &["moved"])],
            effects: vec![OwedEffect { desired: format!("{{\"round\":{round}}}"), ..owed(&other.key) }],
            ..completing(mine)
        };
        let both = join_all(vec![store.commit(step(one, two)), store.commit(step(two, one))]).await;
        let (won, lost): (Vec<_>, Vec<_>) = both.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        let race = lost.into_iter().next().unwrap().unwrap_err();
        assert!(matches!(Race::of(&race), Some(Race::Version { .. })), "round {round}: {}", race.chain());
        for claim in [one, two] {
            let again = OwedEffect { desired: format!("{{\"next\":{round}}}"), ..owed(&claim.key) };
            store.commit(owing([again])).await.unwrap();
            if store.effect(&claim.key).await.unwrap().unwrap().state == EffectState::Leased {
                store.commit(completing(claim)).await.unwrap();
            }
        }
    }
}

async fn a_step_without_facts_is_guarded_by_the_version_too(place: &Place) {
    let store = &place.store;
    store.commit(appending("s", 0, &["opened"])).await.unwrap();
    store.commit(Step { effects: vec![owed("e")], ..appending("s", 1, &["built"]) }).await.unwrap();
    let stale = OwedEffect { desired: "\"stale\"".to_owned(), ..owed("e") };
    let late = Step { effects: vec![stale], ..appending("s", 1, &[]) };
    let race = store.commit(late).await.unwrap_err();
    assert!(matches!(Race::of(&race), Some(Race::Version { .. })), "{}", race.chain());
    let kept = store.effect("e").await.unwrap().unwrap();
    assert_eq!((kept.desired.as_str(), kept.revision), ("{}", 1), "what a newer version owes stays");
    store.commit(appending("s", 2, &[])).await.unwrap();
    assert_eq!(store.read("s", 0, 10).await.unwrap().version, 2, "and nothing is added");
}

async fn a_stream_reads_back_what_was_appended(place: &Place) {
    let store = &place.store;
    let empty = store.read("s", 0, 10).await.unwrap();
    assert_eq!((empty.version, empty.events.len(), empty.head_hash), (0, 0, GENESIS.to_vec()));

    let first = store.commit(appending("s", 0, &["opened", "built"])).await.unwrap();
    let second = store.commit(appending("s", 2, &["approved"])).await.unwrap();
    let all = store.read("s", 0, 10).await.unwrap();
    assert_eq!(all.version, 3);
    assert_eq!(all.events, [first.events, second.events].concat());
    assert_eq!(all.head_hash, all.events[2].hash);
    assert_eq!(all.events.iter().map(|e| e.version).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(
        (all.events[0].release, all.events[0].actor.as_str(), all.events[0].at),
        (Some(1), "ann", NOW)
    );

    let tail = store.read("s", 2, 10).await.unwrap();
    assert_eq!((tail.version, tail.events.len()), (3, 1));
    let none = store.read("s", 3, 10).await.unwrap();
    assert_eq!((none.version, none.events.len()), (3, 0), "version and head come without facts too");
    let short = store.read("s", 0, 1).await.unwrap();
    assert_eq!((short.version, short.events.len()), (3, 1));
    let heads = store.streams("", 10).await.unwrap();
    assert_eq!((heads.len(), heads[0].version, &heads[0].hash), (1, 3, &all.head_hash));
}

async fn a_step_on_an_old_version_keeps_nothing(place: &Place) {
    let store = &place.store;
    store.commit(appending("s", 0, &["opened"])).await.unwrap();
    let row = RepositoryRow {
        repo_id: "1".to_owned(),
        host: "github".to_owned(),
        name: "acme/app".to_owned(),
        default_branch: "main".to_owned(),
        settings: "{}".to_owned(),
    };
    let late = Step {
        appends: vec![append("a", 0, &["opened"]), append("s", 0, &["opened"])],
        effects: vec![owed("e")],
        rows: vec![Row::Repository(row)],
        ..Step::default()
    };
    let lost = store.commit(late).await.unwrap_err();
    assert_eq!(lost.kind(), Kind::Conflict);
    assert_eq!(Race::of(&lost), Some(&Race::Version { stream: "s".to_owned(), expected: 0 }));
    assert_eq!(store.read("a", 0, 10).await.unwrap().version, 0, "the other stream did not move either");
    assert_eq!(store.effect("e").await.unwrap(), None);
    assert_eq!(store.repositories().await.unwrap(), Vec::new());
}

async fn a_step_with_a_lost_lease_keeps_nothing(place: &Place) {
    let store = &place.store;
    store.commit(owing([owed("e")])).await.unwrap();
    let old = claim_one(store, "build").await;
    place.clock.pass(super::LEASE);
    assert_eq!(store.expire().await.unwrap(), 1);
    let new = claim_one(store, "build").await;
    assert_eq!((old.token, new.token), (1, 2));

    let late = Step { appends: vec![append("s", 0, &["built"])], ..completing(&old) };
    let lost = store.commit(late).await.unwrap_err();
    assert_eq!(lost.kind(), Kind::Conflict);
    assert_eq!(Race::of(&lost), Some(&Race::Lease { key: "e".to_owned(), token: 1 }));
    assert_eq!(store.read("s", 0, 10).await.unwrap().version, 0);

    let held = Step { appends: vec![append("s", 0, &["built"])], ..completing(&new) };
    assert_eq!(store.commit(held).await.unwrap().events.len(), 1);
}

async fn of_many_that_decide_at_once_one_wins(place: &Place) {
    for version in 0..5 {
        let tries = join_all((0..20).map(|_| {
            let store = place.store.clone();
            tokio::spawn(async move { store.commit(appending("s", version, &["decided"])).await })
        }))
        .await;
        let (won, lost): (Vec<_>, Vec<_>) = tries.into_iter().map(Result::unwrap).partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        for trouble in lost.into_iter().map(Result::unwrap_err) {
            assert!(matches!(Race::of(&trouble), Some(Race::Version { .. })), "{}", trouble.chain());
        }
    }
    let all = place.store.read("s", 0, 100).await.unwrap();
    assert_eq!((all.version, all.events.len()), (5, 5));
}

async fn version_and_facts_are_of_one_moment(place: &Place) {
    let store = place.store.clone();
    let writer = tokio::spawn(async move {
        for version in 0..50 {
            store.commit(appending("s", version, &["moved"])).await.unwrap();
        }
    });
    let mut version = 0;
    while version < 50 {
        let read = place.store.read("s", 0, 100).await.unwrap();
        version = read.version;
        assert_eq!(read.events.last().map_or(0, |event| event.version), version);
        assert_eq!(read.events.last().map_or(GENESIS.to_vec(), |event| event.hash.clone()), read.head_hash);
    }
    writer.await.unwrap();
}

async fn a_step_repeated_after_a_lost_answer_changes_nothing(place: &Place) {
    let store = &place.store;
    store.commit(owing([owed("e")])).await.unwrap();
    let claim = claim_one(store, "build").await;
    let step =
        Step { appends: vec![append("s", 0, &["built"])], effects: vec![owed("next")], ..completing(&claim) };
    store.commit(step.clone()).await.unwrap();
    assert_eq!(store.commit(step).await.unwrap_err().kind(), Kind::Conflict);
    assert_eq!(store.read("s", 0, 10).await.unwrap().events.len(), 1);
    assert_eq!(store.effect("e").await.unwrap().unwrap().state, EffectState::Done);
    assert_eq!(claim_one(store, "build").await.key, "next");
    claims_nothing(store, "build").await;

    let unguarded = appending("s", 1, &["approved"]);
    store.commit(unguarded.clone()).await.unwrap();
    assert_eq!(store.commit(unguarded).await.unwrap_err().kind(), Kind::Conflict, "the version guards it");
}

async fn events_are_found_by_stream_release_and_kind(place: &Place) {
    let store = &place.store;
    store.commit(appending("a", 0, &["opened", "built"])).await.unwrap();
    let mut other = append("b", 0, &["opened"]);
    other.events[0].release = None;
    store.commit(Step { appends: vec![other], ..Step::default() }).await.unwrap();

    let count = async |filter: EventFilter| store.events(&filter, 0, 100).await.unwrap().len();
    assert_eq!(count(EventFilter::default()).await, 3);
    assert_eq!(count(EventFilter { stream: Some("a".to_owned()), ..EventFilter::default() }).await, 2);
    assert_eq!(count(EventFilter { kind: Some("opened".to_owned()), ..EventFilter::default() }).await, 2);
    assert_eq!(count(EventFilter { release: Some(1), ..EventFilter::default() }).await, 2);
    let both = EventFilter {
        stream: Some("b".to_owned()),
        kind: Some("opened".to_owned()),
        ..EventFilter::default()
    };
    let found = store.events(&both, 0, 100).await.unwrap();
    assert_eq!((found.len(), found[0].release), (1, None));
    assert_eq!(store.events(&both, found[0].seq, 100).await.unwrap(), Vec::new());
    assert_eq!(store.stats().await.unwrap().event_seq, found[0].seq);
}

async fn characters_no_engine_keeps_are_replaced(place: &Place) {
    let store = &place.store;
    let mut odd = append("s", 0, &["noted"]);
    "a\0b".clone_into(&mut odd.events[0].actor);
    "{\"text\":\"\u{1f6a2} \u{202e}\"}".clone_into(&mut odd.events[0].data);
    store.commit(Step { appends: vec![odd], ..Step::default() }).await.unwrap();
    let read = store.read("s", 0, 10).await.unwrap();
    assert_eq!(read.events[0].actor, "a\u{fffd}b");
    assert_eq!(read.events[0].data, "{\"text\":\"\u{1f6a2} \u{202e}\"}");
    assert_eq!(store.verify_chain().await.unwrap().broken, None);
}

async fn a_commit_wakes_whoever_waits(place: &Place) {
    let mut woken = place.store.woken();
    woken.mark_unchanged();
    place.store.commit(owing([owed("e")])).await.unwrap();
    assert!(woken.has_changed().unwrap());
}
