//! Artifacts in a bucket, as moto plays S3: created, read back, brought, quarantined, deleted, and `kill -9` around the
//! put.
#![expect(clippy::disallowed_methods, reason = "a test writes files of its own")]

use std::io::{Read as _, Write as _};
use std::path::Path;

use liftlock::artifact::store::{Store, Unusable};
use liftlock::bucket::{Bucket, Provider};
use liftlock::clock;
use liftlock::domain::name::Digest;
use liftlock::domain::time::Timestamp;
use liftlock::secret::Secret;
use liftlock::service::blocking;
use liftlock::trouble::{Kind, Outcome};
use rustix::process::{Signal, kill_process};
use tokio::runtime::Handle;

use super::kills::survive;
use super::objects::{Azurite, Moto, NAME, store as fake};
use super::rig::{self, Deadline, Door, GLANCE, PATIENCE, Plan, Yard, deliver};
use super::{one, plan};

/// Copies of everything.
const ROOM: u64 = u64::MAX;
/// Larger than what one request creates, and than three pieces.
const LARGE: usize = 25 * 1024 * 1024;

fn bucket(endpoint: &str, name: &str) -> Bucket {
    Bucket {
        provider: Provider::S3,
        name: name.to_owned(),
        prefix: "liftlock".to_owned(),
        region: None,
        endpoint: Some(endpoint.to_owned()),
        user: "liftlock".to_owned(),
        password: Secret::new("a key of this test"),
    }
}

/// A store as a machine has it; another folder is another machine.
async fn open(moto: &Moto, root: &Path) -> Store {
    open_in(bucket(&moto.endpoint(), NAME), root).await
}

async fn open_in(bucket: Bucket, root: &Path) -> Store {
    let (root, runtime) = (root.to_owned(), Handle::current());
    blocking(move || Store::open_behind(&root, bucket, ROOM, runtime)).await.unwrap()
}

/// Asks the store from a thread that may wait.
async fn ask<T: Send + 'static>(store: &Store, ask: impl FnOnce(&Store) -> T + Send + 'static) -> T {
    let store = store.clone();
    blocking(move || Ok(ask(&store))).await.unwrap()
}

async fn put(store: &Store, bytes: &'static [u8]) -> Outcome<Digest> {
    ask(store, move |store| store.put(bytes)).await
}

fn key(digest: &Digest) -> String {
    format!("liftlock/blobs/sha256/{}", digest.hex())
}

/// The names in the bucket, but for the one that every start writes.
fn keys(moto: &Moto) -> Vec<String> {
    moto.keys().into_iter().filter(|key| key != "liftlock/incoming/begun").collect()
}

/// Somebody else writes over an object.
fn replace(moto: &Moto, digest: &Digest, with: &str) {
    let bytes = "Content-Type: application/octet-stream";
    moto.curl(&["-X", "PUT", "-H", bytes, "--data-binary", with], &format!("/{}", key(digest)));
}

fn files(root: &Path, folder: &str) -> usize {
    std::fs::read_dir(root.join(folder)).unwrap().count()
}

/// Writes the large one, and says what it is.
fn write(store: &Store) -> (Digest, u64) {
    let mut incoming = store.begin().unwrap();
    for piece in 0..LARGE / 1024 {
        incoming.write_all(&[u8::try_from(piece % 251).unwrap(); 1024]).unwrap();
    }
    incoming.commit().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e10_t44_a_container_of_azure_keeps_artifacts_as_a_bucket_of_s3_does() {
    let (azurite, here, there) = (Azurite::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bucket = || azurite.bucket("liftlock");
    let store = open_in(bucket(), here.path()).await;
    let small = put(&store, b"abc").await.unwrap();
    assert_eq!(put(&store, b"abc").await.unwrap(), small, "the same once more");
    let (large, _) = ask(&store, write).await;
    assert_eq!(ask(&store, write).await.0, large, "the name was taken");

    // Another machine has nothing, and brings what it hands out; what is gone is gone for it, too.
    let other = open_in(bucket(), there.path()).await;
    let wanted = large.clone();
    let read = ask(&other, move |store| {
        let (mut file, _) = store.open_verified(&wanted).unwrap();
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        Digest::of_bytes(&read)
    })
    .await;
    assert_eq!(read, large);
    let gone = small.clone();
    assert_eq!(ask(&store, move |store| store.forget(&gone, Timestamp(i64::MAX)).unwrap()).await, Some(3));
    let absent = ask(&other, move |store| store.verify(&small)).await.unwrap_err();
    let Unusable::Trouble(absent) = absent else { panic!("{absent}") };
    assert_eq!(absent.kind(), Kind::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e10_t44_a_blob_is_created_once_in_the_bucket_read_back_and_brought_to_other_machines() {
    let (moto, here, there) = (Moto::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(&moto, here.path()).await;
    let small = put(&store, b"abc").await.unwrap();
    assert_eq!(keys(&moto), [key(&small)]);
    assert_eq!(moto.curl(&[], &format!("/{}", key(&small))), "abc");
    // The same once more is no other object; that it was stored again is written down.
    assert_eq!(put(&store, b"abc").await.unwrap(), small);
    assert_eq!(keys(&moto), [format!("liftlock/again/{}", small.hex()), key(&small)]);

    // More than is in memory at a time goes there in pieces, and nothing of that is left beside it.
    let (large, bytes) = ask(&store, write).await;
    assert_eq!(bytes, u64::try_from(LARGE).unwrap());
    let again = |digest: &Digest| format!("liftlock/again/{}", digest.hex());
    assert!(!keys(&moto).contains(&again(&large)), "{:?}", keys(&moto));
    assert_eq!(ask(&store, write).await.0, large);
    assert!(keys(&moto).contains(&again(&large)), "the name was taken: {:?}", keys(&moto));
    assert!(keys(&moto).contains(&key(&large)), "{:?}", keys(&moto));
    assert!(!keys(&moto).iter().any(|key| key.contains("incoming")), "{:?}", keys(&moto));

    // Another machine has nothing, and brings what it hands out.
    let other = open(&moto, there.path()).await;
    let wanted = large.clone();
    let (read, hex) = ask(&other, move |store| {
        let (mut file, bytes) = store.open_verified(&wanted).unwrap();
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert_eq!(u64::try_from(read.len()).unwrap(), bytes);
        (Digest::of_bytes(&read), store.sha512(&wanted).unwrap())
    })
    .await;
    assert_eq!((read, hex.len()), (large.clone(), 128));
    assert_eq!((files(there.path(), "blobs/sha256"), files(there.path(), "tmp")), (1, 0));
    let absent = ask(&other, |store| store.verify(&Digest::of_text("never stored"))).await.unwrap_err();
    let Unusable::Trouble(absent) = absent else { panic!("{absent}") };
    assert_eq!(absent.kind(), Kind::NotFound);

    // Retention deletes here and there, and only what is old and was not stored again.
    let gone = small.clone();
    let forget = |at: i64, digest: &Digest| {
        let digest = digest.clone();
        ask(&store, move |store| store.forget(&digest, Timestamp(at)).unwrap())
    };
    assert_eq!(forget(0, &gone).await, None);
    assert_eq!(forget(i64::MAX, &gone).await, Some(3));
    assert_eq!(forget(i64::MAX, &gone).await, None);
    assert_eq!(keys(&moto), [again(&large), key(&large)]);
    assert_eq!(files(here.path(), "blobs/sha256"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e10_t44_what_changed_here_is_brought_again_and_what_changed_there_goes_to_quarantine() {
    let (moto, here) = (Moto::new(), tempfile::tempdir().unwrap());
    let store = open(&moto, here.path()).await;
    let digest = put(&store, b"abc").await.unwrap();
    let local = store.path(&digest);
    let change = || {
        std::fs::remove_file(&local).unwrap();
        std::fs::write(&local, "abd").unwrap();
    };
    let verify = || {
        let digest = digest.clone();
        ask(&store, move |store| store.verify(&digest))
    };
    // The copy on this disk.
    change();
    assert_eq!(verify().await.unwrap(), 3);
    assert_eq!(std::fs::read(&local).unwrap(), b"abc");
    assert_eq!(files(here.path(), "quarantine"), 1);

    // The object in the bucket, and the copy: what nobody has is handed out by nobody.
    replace(&moto, &digest, "abe");
    change();
    let Unusable::Mismatch { wanted, found } = verify().await.unwrap_err() else { panic!("it changed") };
    assert_eq!((&wanted, found), (&digest, Digest::of_text("abe")));
    assert_eq!(keys(&moto), [format!("liftlock/quarantine/{}", digest.hex())]);
    let Unusable::Trouble(gone) = verify().await.unwrap_err() else { panic!("it is gone") };
    assert_eq!(gone.kind(), Kind::NotFound);

    // Whoever stores the right bytes finds other ones under their name only once.
    replace(&moto, &digest, "abf");
    let refused = put(&store, b"abc").await.unwrap_err();
    assert!(refused.to_string().contains("it is in quarantine there"), "{refused}");
    assert_eq!(refused.kind(), Kind::Refused);
    assert_eq!(put(&store, b"abc").await.unwrap(), digest);
    assert_eq!(moto.curl(&[], &format!("/{}", key(&digest))), "abc");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e10_e24_copies_of_what_the_bucket_has_go_when_there_are_too_many_bytes_of_them() {
    let (moto, here) = (Moto::new(), tempfile::tempdir().unwrap());
    let (bucket, root, runtime) = (bucket(&moto.endpoint(), NAME), here.path().to_owned(), Handle::current());
    let store = blocking(move || Store::open_behind(&root, bucket, 8, runtime)).await.unwrap();
    let copies = || files(here.path(), "blobs/sha256");
    let verify = async |digest: &Digest| {
        let digest = digest.clone();
        ask(&store, move |store| store.verify(&digest)).await
    };
    let (first, second) = (put(&store, b"abc").await.unwrap(), put(&store, b"def").await.unwrap());
    assert_eq!(copies(), 2, "there is room for both");
    // The first was used last, so the second makes room; what does not fit at all is there while it is needed.
    long_unused(&store.path(&second));
    assert_eq!(verify(&first).await.unwrap(), 3);
    let third = put(&store, b"ghi").await.unwrap();
    assert!(store.holds(&first) && store.holds(&third) && !store.holds(&second));
    let large = put(&store, b"more than eight").await.unwrap();
    assert_eq!((copies(), store.holds(&large)), (1, true));
    assert_eq!(keys(&moto).len(), 4, "the bucket keeps all");
    // What went is brought when it is wanted, and is open by then, whatever goes next.
    assert_eq!(verify(&second).await.unwrap(), 3);
    assert!(store.holds(&second) && !store.holds(&large));

    // A copy of what the bucket has not is the only one there is.
    moto.curl(&["-X", "DELETE"], &format!("/{}", key(&second)));
    long_unused(&store.path(&second));
    put(&store, b"more than eight").await.unwrap();
    assert!(store.holds(&second) && store.holds(&large));
    let used = std::fs::metadata(store.path(&second)).unwrap().accessed().unwrap();
    assert!(used > std::time::UNIX_EPOCH, "others have their turn before it is asked about again");
    assert_eq!(ask(&store, move |store| store.verify(&large)).await.unwrap(), 15);
}

/// Whoever makes room may take the copy for an older one, which the bucket has: it is removed as soon as it has its name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e10_e24_a_copy_that_is_removed_before_it_is_in_the_bucket_is_stored_all_the_same() {
    let (moto, here) = (Moto::new(), tempfile::tempdir().unwrap());
    let store = open(&moto, here.path()).await;
    for bytes in [&b"abc"[..], b"def", b"ghi", b"jkl"] {
        let path = store.path(&Digest::of_bytes(bytes));
        let removed = std::thread::spawn(move || while std::fs::remove_file(&path).is_err() {});
        let digest = put(&store, bytes).await.unwrap();
        removed.join().unwrap();
        assert!(!store.holds(&digest) && keys(&moto).contains(&key(&digest)));
        assert_eq!(ask(&store, move |store| store.verify(&digest)).await.unwrap(), 3, "it is brought");
    }
}

/// Makes a copy look as if nobody had used it for years.
fn long_unused(path: &Path) {
    let times = std::fs::FileTimes::new().set_accessed(std::time::UNIX_EPOCH);
    std::fs::File::open(path).unwrap().set_times(times).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e10_t47_a_bucket_that_is_away_is_waited_for_and_a_wrong_one_is_said() {
    let (moto, here) = (Moto::new(), tempfile::tempdir().unwrap());
    let try_open = |bucket: Bucket| {
        let (root, runtime) = (here.path().to_owned(), Handle::current());
        blocking(move || Store::open_behind(&root, bucket, ROOM, runtime))
    };
    let wrong = try_open(bucket(&moto.endpoint(), "no-such-bucket")).await.unwrap_err();
    assert_eq!(
        (wrong.kind(), wrong.to_string().as_str()),
        (Kind::Refused, "there is no s3://no-such-bucket")
    );
    let google = fake(Provider::Gcs).await;
    let denied = try_open(bucket(&google, "denied")).await.unwrap_err();
    assert_eq!(denied.kind(), Kind::Refused);
    assert!(denied.to_string().contains("look at its key"), "{denied}");

    // The server comes up without it; what is to be stored is not, and says that it may be tried again.
    let nobody = format!("http://{}", Door::new().address());
    let store = try_open(bucket(&nobody, NAME)).await.unwrap();
    let away = put(&store, b"abc").await.unwrap_err();
    assert!(away.is_transient() && away.to_string().contains("does not answer as it should"), "{away}");
    assert!(!away.chain().contains("a key of this test"));
    let digest = Digest::of_text("not here");
    let Unusable::Trouble(away) = ask(&store, move |store| store.verify(&digest)).await.unwrap_err() else {
        panic!("nothing answers")
    };
    assert!(away.is_transient(), "{away}");
}

/// All that a release left is in the bucket, as it says.
fn all_kept(moto: &Moto, yard: &Yard) {
    let keys = keys(moto);
    assert!(!keys.iter().any(|key| key.contains("quarantine")), "{keys:?}");
    let folder = yard.data().join("artifacts/blobs/sha256");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let hex = entry.file_name().into_string().unwrap();
        let to = tempfile::tempdir().unwrap();
        let file = to.path().join("blob");
        moto.curl(&["-o", &file.display().to_string()], &format!("/liftlock/blobs/sha256/{hex}"));
        assert_eq!(Digest::of_bytes(&std::fs::read(file).unwrap()).hex(), hex);
        count += 1;
    }
    assert!(count > 3, "the artifact and its evidence: {count}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn e10_t57_killed_around_the_put_it_ends_as_if_nothing_had_happened() {
    let moto = Moto::new();
    let rules = rig::kept_in(&moto.endpoint());
    let (yard, door) = (Yard::new(Plan { rules, ..plan(&["hello"], "5s") }), Door::new());
    let survived = survive(&yard, &door, None, |_| ()).await;
    all_kept(&moto, &yard);
    let place = |kind: &str| {
        let at = survived.seen.events.iter().position(|event| event.kind == kind).unwrap();
        i64::try_from(at).unwrap() + 1
    };
    for kill_at in [place("build_started"), place("build_finished"), place("attested")] {
        let moto = Moto::new();
        let rules = rig::kept_in(&moto.endpoint());
        let (yard, door) = (Yard::new(Plan { rules, ..plan(&["hello"], "5s") }), Door::new());
        survive(&yard, &door, Some(kill_at), |_| ()).await;
        all_kept(&moto, &yard);
    }
}

/// As soon as the bucket has something the server is killed: before it could read it back, or say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn e10_t57_killed_between_the_put_and_the_log_it_finds_its_own_object() {
    let moto = Moto::new();
    let rules = rig::kept_in(&moto.endpoint());
    let (yard, door) = (Yard::new(Plan { rules, ..plan(&["hello"], "5s") }), Door::new());
    let server = yard.serve(&door);
    let push = one(&yard, &door);
    let begun = clock::monotonic();
    while keys(&moto).is_empty() {
        assert!(begun.elapsed() < PATIENCE, "nothing is stored");
        std::thread::sleep(GLANCE);
    }
    kill_process(server.pid(), Signal::KILL).unwrap();
    drop(server);
    let _server = yard.serve(&door);
    assert!(matches!(deliver(&door, &push.delivery()), Ok(200 | 202)));
    let (mut eyes, deadline) = (yard.eyes().await, Deadline::new());
    loop {
        let seen = eyes.look().await;
        if seen.events.iter().any(|event| event.kind == "attested") {
            break;
        }
        deadline.check("it is signed", &seen, &yard, &[]);
        tokio::time::sleep(GLANCE).await;
    }
    all_kept(&moto, &yard);
}
