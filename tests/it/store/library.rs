//! Variable groups: the version guards them, the history only grows, and a sealed secret goes with its variable.

use liftlock::store::library::{GroupWrite, HistoryRow};

use super::{NOW, Place, on_both};

on_both! {
    a_group_moves_from_the_version_it_was_read_at
    groups_are_listed_by_name
    a_sealed_secret_is_replaced_and_taken_out_with_its_variable
    the_history_of_groups_only_grows
}

fn write(name: &str, expect: u32) -> GroupWrite {
    let version = expect + 1;
    let entry = HistoryRow {
        version,
        at: NOW,
        author: "\"ana\"".to_owned(),
        changes: format!("[\"change {version}\"]"),
    };
    let body = format!("{{\"version\":{version}}}");
    GroupWrite { name: name.to_owned(), expect, body, entry, sealed: Vec::new(), unsealed: Vec::new() }
}

async fn a_group_moves_from_the_version_it_was_read_at(place: &Place) {
    let store = &place.store;
    assert_eq!(store.group("acme.test").await.unwrap(), None);
    assert!(store.write_group(write("acme.test", 0)).await.unwrap());
    assert!(!store.write_group(write("acme.test", 0)).await.unwrap(), "it is there already");
    assert!(store.write_group(write("acme.test", 1)).await.unwrap());
    assert!(!store.write_group(write("acme.test", 1)).await.unwrap(), "somebody else was first");
    assert!(!store.write_group(write("acme.gone", 1)).await.unwrap(), "there is none to change");
    let group = store.group("acme.test").await.unwrap().unwrap();
    assert_eq!((group.version, group.body.as_str(), group.updated_at), (2, "{\"version\":2}", NOW));
    let history = store.group_history("acme.test", u32::MAX, 10).await.unwrap();
    assert_eq!(history.iter().map(|h| h.version).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(history[0].changes, "[\"change 2\"]");
    assert_eq!(store.group_history("acme.test", 2, 10).await.unwrap().len(), 1);
}

async fn groups_are_listed_by_name(place: &Place) {
    for name in ["b", "a", "c"] {
        assert!(place.store.write_group(write(name, 0)).await.unwrap());
    }
    let names = |rows: Vec<liftlock::store::library::GroupRow>| -> Vec<String> {
        rows.into_iter().map(|row| row.name).collect()
    };
    assert_eq!(names(place.store.groups("", 2).await.unwrap()), ["a", "b"]);
    assert_eq!(names(place.store.groups("b", 2).await.unwrap()), ["c"]);
}

async fn a_sealed_secret_is_replaced_and_taken_out_with_its_variable(place: &Place) {
    let store = &place.store;
    let first = GroupWrite { sealed: vec![("key".to_owned(), vec![1, 2])], ..write("g", 0) };
    assert!(store.write_group(first).await.unwrap());
    let stale = GroupWrite { sealed: vec![("key".to_owned(), vec![9])], ..write("g", 0) };
    assert!(!store.write_group(stale).await.unwrap());
    let sealed = store.sealed("g", "key").await.unwrap().unwrap();
    assert_eq!((sealed.version, sealed.body), (1, vec![1, 2]));
    let second = GroupWrite { sealed: vec![("key".to_owned(), vec![3])], ..write("g", 1) };
    assert!(store.write_group(second).await.unwrap());
    assert_eq!(store.sealed("g", "key").await.unwrap().unwrap().version, 2);
    let third = GroupWrite { unsealed: vec!["key".to_owned()], ..write("g", 2) };
    assert!(store.write_group(third).await.unwrap());
    assert_eq!(store.sealed("g", "key").await.unwrap(), None);
}

async fn the_history_of_groups_only_grows(place: &Place) {
    assert!(place.store.write_group(write("g", 0)).await.unwrap());
    assert!(place.raw("UPDATE library_history SET author = 'x'").await.is_err());
    assert!(place.raw("DELETE FROM library_history").await.is_err());
    assert_eq!(place.store.group_history("g", u32::MAX, 10).await.unwrap().len(), 1);
}
