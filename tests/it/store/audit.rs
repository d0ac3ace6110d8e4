//! The past cannot be edited unnoticed (THREATS T58).

use liftlock::domain::event::Event;
use liftlock::domain::name::PipelineId;
use liftlock::service::journal::Journal;
use liftlock::store::step::Step;
use liftlock::store::stream::{Append, NewEvent};

use super::{Home, NOW, Place, appending, on_both};

on_both! {
    an_untouched_record_verifies
    t58_the_event_log_refuses_to_be_edited
    t58_an_edit_of_any_column_is_found
    t58_a_deleted_event_is_found
    t58_a_cut_tail_is_found
    t58_a_cut_tail_with_its_head_rewritten_is_found_by_a_checkpoint
    t58_a_dropped_stream_is_found_by_a_checkpoint
    t58_a_rewritten_checkpoint_is_found
    a_log_that_went_back_is_decided_on_no_more
}

const DISARM_SQLITE: &str = "DROP TRIGGER events_no_update; DROP TRIGGER events_no_delete; \
    DROP TRIGGER checkpoints_no_update; DROP TRIGGER checkpoints_no_delete;";
const DISARM_POSTGRES: &str = "ALTER TABLE events DISABLE TRIGGER ALL; ALTER TABLE checkpoints DISABLE TRIGGER ALL; \
    ALTER TABLE checkpoint_heads DISABLE TRIGGER ALL;";

/// What somebody with the database's password can do.
async fn disarm(place: &Place) {
    let text = match &place.home {
        Home::Sqlite(_) => DISARM_SQLITE,
        Home::Postgres(_) => DISARM_POSTGRES,
    };
    place.raw(text).await.unwrap();
}

/// Two streams with five events each.
async fn history(place: &Place) {
    for version in 0..5 {
        for stream in ["a", "b"] {
            place.store.commit(appending(stream, version, &["moved"])).await.unwrap();
        }
    }
}

async fn found(place: &Place) -> (String, i64) {
    let broken = place.store.verify_chain().await.unwrap().broken.expect("the edit is found");
    (broken.stream, broken.version)
}

async fn an_untouched_record_verifies(place: &Place) {
    let store = &place.store;
    assert_eq!(store.write_checkpoint(NOW).await.unwrap(), None, "nothing to seal");
    history(place).await;
    let first = store.write_checkpoint(NOW).await.unwrap().unwrap();
    assert_eq!(store.write_checkpoint(NOW).await.unwrap(), None, "nothing moved");
    store.commit(appending("b", 5, &["moved"])).await.unwrap();
    let second = store.write_checkpoint(NOW).await.unwrap().unwrap();
    assert_eq!((first.no, second.no), (1, 2));
    assert_eq!(store.checkpoints(0, 10).await.unwrap(), [first, second]);
    let verdict = store.verify_chain().await.unwrap();
    assert_eq!((verdict.streams, verdict.events, verdict.checkpoints, verdict.broken), (2, 11, 2, None));
}

async fn t58_the_event_log_refuses_to_be_edited(place: &Place) {
    history(place).await;
    place.store.write_checkpoint(NOW).await.unwrap();
    for text in ["UPDATE events SET actor = 'eve'", "DELETE FROM events", "DELETE FROM checkpoints"] {
        let refused = place.raw(text).await.unwrap_err().to_string();
        assert!(refused.contains("append-only") || refused.contains("FOREIGN KEY"), "{text}: {refused}");
    }
    assert_eq!(place.store.verify_chain().await.unwrap().broken, None);
}

async fn t58_an_edit_of_any_column_is_found(place: &Place) {
    history(place).await;
    disarm(place).await;
    let edits = [
        ("kind", "'approved'", "'moved'"),
        ("release", "2", "1"),
        ("release", "NULL", "1"),
        ("data", "'{}'", "'{\"kind\":\"moved\"}'"),
        ("actor", "'eve'", "'ann'"),
        ("cause", "'delivery:2'", "'delivery:1'"),
        ("at", "1", "1772971200000"),
    ];
    for (column, edit, before) in edits {
        let set =
            |value: &str| format!("UPDATE events SET {column} = {value} WHERE stream = 'b' AND version = 3");
        place.raw(&set(edit)).await.unwrap();
        assert_eq!(found(place).await, ("b".to_owned(), 3), "{column}");
        place.raw(&set(before)).await.unwrap();
        assert_eq!(place.store.verify_chain().await.unwrap().broken, None, "{column} is back");
    }
    place
        .raw(
            "UPDATE events SET hash = prior.hash FROM events prior \
        WHERE events.stream = 'b' AND events.version = 3 AND prior.stream = 'b' AND prior.version = 2",
        )
        .await
        .unwrap();
    assert_eq!(found(place).await, ("b".to_owned(), 3), "hash");
}

async fn t58_a_deleted_event_is_found(place: &Place) {
    history(place).await;
    disarm(place).await;
    place.raw("DELETE FROM events WHERE stream = 'a' AND version = 2").await.unwrap();
    assert_eq!(found(place).await, ("a".to_owned(), 2));
}

async fn t58_a_cut_tail_is_found(place: &Place) {
    history(place).await;
    disarm(place).await;
    place.raw("DELETE FROM events WHERE stream = 'a' AND version > 3").await.unwrap();
    assert_eq!(found(place).await, ("a".to_owned(), 4));
    place.raw("UPDATE streams SET version = 3 WHERE stream = 'a'").await.unwrap();
    assert_eq!(found(place).await, ("a".to_owned(), 3), "the head is not the third event's");
}

async fn t58_a_cut_tail_with_its_head_rewritten_is_found_by_a_checkpoint(place: &Place) {
    history(place).await;
    place.store.write_checkpoint(NOW).await.unwrap();
    disarm(place).await;
    place.raw("DELETE FROM events WHERE stream = 'a' AND version > 3").await.unwrap();
    place
        .raw(
            "UPDATE streams SET version = 3, head = \
             (SELECT hash FROM events WHERE stream = 'a' AND version = 3) WHERE stream = 'a'",
        )
        .await
        .unwrap();
    assert_eq!(found(place).await, ("a".to_owned(), 5));
    // Going on as if nothing had happened does not heal it.
    place.store.commit(appending("a", 3, &["forged", "forged"])).await.unwrap();
    assert_eq!(found(place).await, ("a".to_owned(), 5));
}

async fn t58_a_dropped_stream_is_found_by_a_checkpoint(place: &Place) {
    history(place).await;
    place.store.write_checkpoint(NOW).await.unwrap();
    disarm(place).await;
    place.raw("DELETE FROM events WHERE stream = 'a'; DELETE FROM streams WHERE stream = 'a'").await.unwrap();
    assert_eq!(found(place).await, ("a".to_owned(), 5));
}

async fn t58_a_rewritten_checkpoint_is_found(place: &Place) {
    history(place).await;
    place.store.write_checkpoint(NOW).await.unwrap();
    place.store.commit(appending("a", 5, &["moved"])).await.unwrap();
    place.store.write_checkpoint(NOW).await.unwrap();
    disarm(place).await;
    place.raw("DELETE FROM checkpoint_heads WHERE checkpoint = 1 AND stream = 'b'").await.unwrap();
    assert_eq!(found(place).await, ("checkpoint 1".to_owned(), 1));
    place
        .raw("DELETE FROM checkpoint_heads WHERE checkpoint = 1; DELETE FROM checkpoints WHERE no = 1")
        .await
        .unwrap();
    assert_eq!(found(place).await, ("checkpoint 1".to_owned(), 1));
}

/// A replica that had not got everything took over, or an older backup was put in place under a running server.
async fn a_log_that_went_back_is_decided_on_no_more(place: &Place) {
    let id: PipelineId = "plain:1/web".parse().unwrap();
    let (journal, stream) = (Journal::new(place.store.clone()), id.to_string());
    let event = Event::ServerPolicySeen { policies: Vec::new() };
    for expect in 0..3 {
        let events = vec![NewEvent {
            kind: event.kind().to_owned(),
            release: None,
            data: serde_json::to_string(&event).unwrap(),
            actor: "engine".to_owned(),
            cause: "reconcile".to_owned(),
        }];
        let append = Append { stream: stream.clone(), expect, events, at: NOW };
        place.store.commit(Step { appends: vec![append], ..Step::default() }).await.unwrap();
    }
    assert_eq!(journal.load(&id).await.unwrap().version, 3);
    disarm(place).await;
    place.raw("DELETE FROM events WHERE version = 3").await.unwrap();
    place.raw("UPDATE streams SET version = 2").await.unwrap();
    let refused = journal.load(&id).await.unwrap_err().to_string();
    assert!(refused.contains("went back from event 3 to 2"), "{refused}");
    assert_eq!(Journal::new(place.store.clone()).load(&id).await.unwrap().version, 2, "started again");
}
