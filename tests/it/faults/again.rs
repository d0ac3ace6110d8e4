//! Everything twice and in another order: effects that were carried out and not recorded, deliveries, replays.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::drive::{Keeper, until, wrong};
use super::rig::{Door, Seen, Yard, comment, deliver, request};
use super::{one, yard};

/// The server is down: everything it did is to be done once more.
async fn owe_everything_again(yard: &Yard) -> u64 {
    let mut writer = SqliteConnectOptions::new().filename(yard.database()).connect().await.unwrap();
    let again = "UPDATE effects SET state = 'ready' WHERE state IN ('done', 'cancelled') AND lane <> 'timer'";
    let count = sqlx::query(again).execute(&mut writer).await.unwrap().rows_affected();
    writer.close().await.unwrap();
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t57_every_effect_twice_changes_nothing() {
    let (yard, door) = (yard(&["hello"], "5s"), Door::new());
    let mut server = yard.serve(&door);
    let push = one(&yard, &door);
    let mut keeper = Keeper::new(std::slice::from_ref(&push));
    let mut eyes = yard.eyes().await;
    let first = keeper.finish(&yard, &door, &server, &mut eyes).await;
    server.kill();
    let (said, runs) = (yard.said(&push), yard.runs());
    let count = owe_everything_again(&yard).await;
    assert!(count > 10, "{count} effects are to be done again");
    let server = yard.serve(&door);
    let again = until("all is done again", (&yard, &[&server]), &mut eyes, Seen::idle).await;
    assert_eq!(again.events.len(), first.events.len(), "{}", again.shown());
    assert_eq!(yard.runs(), runs, "no deploy ran again");
    // What is edited in place is said again only when it says something else.
    let mut now = yard.said(&push);
    now.truncate(said.len());
    assert_eq!(now, said);
    let found = wrong(&yard, &again, &keeper);
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(yard.said(&push).len(), said.len(), "no second comment: {:#?}", yard.said(&push));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t07_t11_deliveries_twice_shuffled_and_replayed_end_the_same() {
    let (yard, door) = (yard(&["hello"], "5s"), Door::new());
    let server = yard.serve(&door);
    let first = yard.push("hello", "feat: one", "page");
    let second = yard.push("hello", "fix: two", "page");
    // Ana approves what no server has heard of; the newer push is told first; everything is told twice.
    assert_eq!(comment(&door, &second, "/approve prod").unwrap(), 200);
    for (push, status) in [(&second, 202), (&first, 202), (&second, 200), (&first, 200)] {
        assert_eq!(deliver(&door, &push.delivery()).unwrap(), status);
    }
    let mut keeper = Keeper::new(&[first.clone(), second.clone()]);
    let mut eyes = yard.eyes().await;
    let done = keeper.finish(&yard, &door, &server, &mut eyes).await;
    let seen: Vec<i64> =
        done.deliveries.iter().filter(|d| d.guid.starts_with("push")).map(|d| d.seen).collect();
    assert_eq!(seen, [2, 2], "the second telling is counted, not stored");
    // What was said about a release that nobody knew of was answered, and is heard when it is replayed.
    let facts = |seen: &Seen| seen.events.iter().filter(|e| e.kind != "heard").count();
    let runs = yard.runs();

    for delivery in done.deliveries.iter().rev() {
        let path = format!("/api/deliveries/{}/replay", delivery.seq);
        let (status, said) = request(&door, "POST", &path, &[], "{}").unwrap();
        assert!((200..300).contains(&status), "{status} {said}");
    }
    let replayed = until("all is read again", (&yard, &[&server]), &mut eyes, Seen::idle).await;
    assert_eq!(facts(&replayed), facts(&done), "a replay adds nothing\n{}", replayed.shown());
    assert_eq!(yard.runs(), runs);
    let found = wrong(&yard, &replayed, &keeper);
    assert!(found.is_empty(), "{found:#?}\n{}", replayed.shown());
}
