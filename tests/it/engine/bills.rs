//! What a release is made of: the tree that its build left says so, and the commit where an older log kept nothing else.

use std::path::PathBuf;
use std::time::Duration;

use liftlock::artifact::store::Store;
use liftlock::domain::decide::{Command, Ended, Work};
use liftlock::domain::event::{BuildOutcome, Form, Sealed};
use liftlock::domain::evidence::{SBOM_FILE, file};
use liftlock::domain::name::ReleaseNo;
use liftlock::domain::release::{BuildState, Release};
use liftlock::service::journal::Around;
use serde_json::Value;

use super::tree::{STRAIGHT, sample};
use super::world::World;

fn blobs(world: &World) -> PathBuf {
    world.data().join("artifacts")
}

/// The newest release and its bill of materials.
async fn billed(world: &World) -> (Release, Value) {
    let state = world.state("shop").await;
    let release = Release::clone(state.releases.values().next_back().unwrap());
    let kept = file(&release, SBOM_FILE).unwrap();
    let path = blobs(world).join("blobs/sha256").join(kept.digest.hex());
    (release, serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
}

fn purls(bill: &Value) -> Vec<&str> {
    bill["components"].as_array().unwrap().iter().map(|one| one["purl"].as_str().unwrap()).collect()
}

fn properties(bill: &Value) -> Vec<String> {
    let all = bill["metadata"]["properties"].as_array().unwrap().iter();
    all.map(|one| format!("{} {}", one["name"], one["value"]).replace('"', "")).skip(1).collect()
}

const BUILD: &str = "mkdir -p dist web; cp deploy.sh dist/; rm requirements.txt
echo '{\"packages\": {\"node_modules/left-pad\": {\"version\": \"1.3.0\"}}}' > web/package-lock.json
ln -s /etc/passwd go.mod; echo locked";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e14_what_a_build_wrote_into_its_lock_files_is_what_the_release_is_made_of() {
    let mut world = World::of(sample(STRAIGHT)).await;
    let files = [("build.sh", BUILD), ("requirements.txt", "six==1.16.0\n")];
    world.merge_files(1, &files, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    world.settled().await;
    let (release, bill) = billed(&world).await;
    assert_eq!(purls(&bill), ["pkg:npm/left-pad@1.3.0"], "what the build removed is not in it");
    assert_eq!(
        properties(&bill),
        [
            "liftlock:tree as built",
            "liftlock:lockfile web/package-lock.json",
            "liftlock:unread go.mod: it is a link, and none is followed"
        ]
    );
    let log = world.log(&format!("github:12/shop/{}/build/1", release.no())).await;
    assert!(log.contains("kept 1 lock file of the tree as it was built"), "{log}");
    world.finish().await;
}

const WAITING: &str = r"version: 1
name: shop
build: while ! test -e go; do sleep 0.05; done
artifacts: dist
stages: [{name: test, agent: none}]
";

/// The release that is being built, and under which lease.
async fn running(world: &World) -> (ReleaseNo, u64) {
    let waiting = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let state = world.state("shop").await;
            if let Some(release) = state.releases.values().next()
                && let BuildState::Running { fence } = release.build
            {
                return (release.no(), fence);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waiting.await.expect("a build runs")
}

/// A build that ended as builds did before anything was kept of their trees.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_of_an_older_log_is_made_of_what_its_commit_says() {
    let mut world = World::of(sample(WAITING)).await;
    world.merge_files(1, &[("requirements.txt", "six==1.16.0\n")], "feat: sell shoes").await;
    let (no, fence) = running(&world).await;
    let bytes = Store::open(&blobs(&world)).unwrap().put(b"exit 0").unwrap();
    let sealed = Sealed {
        alias: "dist".parse().unwrap(),
        digest: bytes.clone(),
        content: bytes,
        size: 6,
        form: Form::File,
        image: None,
    };
    let finish = Command::Finish {
        work: Work::Build { release: no, attempt: 1 },
        fence,
        ended: Ended::Build(BuildOutcome::Sealed(vec![sealed])),
    };
    let around = Around { actor: "engine".to_owned(), cause: "test".to_owned(), done: None, delivery: None };
    let id = world.state("shop").await.id.clone();
    world.service().journal().decide(&id, &finish, around).await.unwrap().unwrap();
    // What the worker says of it comes too late.
    let found =
        std::process::Command::new("find").arg(world.data()).args(["-name", "smoke.sh"]).output().unwrap();
    let script = PathBuf::from(String::from_utf8(found.stdout).unwrap().trim());
    std::fs::File::create(script.with_file_name("go")).unwrap();
    world.settled().await;
    let (release, bill) = billed(&world).await;
    assert_eq!((release.locks.clone(), purls(&bill)), (None, vec!["pkg:pypi/six@1.16.0"]));
    assert_eq!(properties(&bill), ["liftlock:tree as committed", "liftlock:lockfile requirements.txt"]);
    // The log says nothing of what was not kept, so the logs of before are read as they are.
    let events = world.said_and_kept().await;
    assert!(!events.contains("\"locks\""), "{events}");
    world.hears(1).await;
    world.finish().await;
}
