//! `kill -9` behind every row of the ledger, at every kind of outlet that is not a folder: the rest is done when people
//! ask for it, and what was there is the same thing that it was.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use git2::Repository;
use hyper::Method;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use super::world::{ANA, REPO, World};
use super::{images, publish, publish_host};

/// How soon the log is looked at again.
const GLANCE: Duration = Duration::from_micros(500);
/// Longest wait for a row, and for the database.
const PATIENCE: Duration = Duration::from_secs(20);

/// Things by name, each with what makes it this one and no other of the same name.
type Things = BTreeMap<String, String>;

/// A world that publishes somewhere, and how to see what is there.
struct Place {
    world: World,
    look: Box<dyn Fn(&World) -> Things>,
    /// How often whatever makes a thing there was told to, beside the things themselves.
    told: fn(&World) -> usize,
    _outlet: Box<dyn Any>,
}

/// Kinds of outlets.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Tags,
    HostRelease,
    Registry,
    Http,
}

impl Kind {
    /// Its world, and the engine asleep.
    async fn place(self) -> Place {
        let nothing: fn(&World) -> usize = |_| 0;
        let mut place = match self {
            Self::Tags => {
                let (world, config) = publish_host::with_config(publish_host::TAGS, publish_host::BOTH).await;
                let path = config.path().to_owned();
                let look = Box::new(move |world: &World| {
                    let all = [("shop", tag(world.tree.path())), ("config", tag(&path))];
                    all.into_iter().filter_map(|(name, id)| Some((name.to_owned(), id?))).collect()
                });
                Place { world, look, told: nothing, _outlet: Box::new(config) }
            }
            Self::HostRelease => {
                let world = World::with(publish_host::RELEASE).await;
                // A draft and its files.
                let told = |world: &World| world.github.count(&Method::POST, "/releases");
                Place { world, look: Box::new(on_host), told, _outlet: Box::new(()) }
            }
            Self::Registry => {
                let (world, own, public) = images::publishing().await;
                let link = public.link("public/acme/sdk", "v0.1.0-rc.1");
                let look = Box::new(move |_: &World| when_written("acme/sdk", &link));
                Place { world, look, told: nothing, _outlet: Box::new((own, public)) }
            }
            Self::Http => {
                let (cdn, world) = publish::with_cdn().await;
                let look = Box::new(move |_: &World| cdn.puts());
                Place { world, look, told: nothing, _outlet: Box::new(()) }
            }
        };
        place.world.sleep().await;
        place
    }
}

/// The tag of a repository, by the object that it is.
fn tag(path: &Path) -> Option<String> {
    let repo = Repository::open_bare(path).unwrap();
    let found = repo.find_reference("refs/tags/v0.1.0-rc.1").ok()?;
    Some(found.target().unwrap().to_string())
}

/// The releases of the fake with their whole files, each by its number.
fn on_host(world: &World) -> Things {
    let state = world.github.state();
    let mut all = Things::new();
    for (id, release) in &state.repos[&REPO].releases {
        assert!(all.insert(release.tag.clone(), id.to_string()).is_none(), "two releases of {}", release.tag);
        for (no, asset) in release.assets.iter().filter(|(_, asset)| asset.whole) {
            let name = format!("{}/{}", release.tag, asset.name);
            assert!(all.insert(name.clone(), no.to_string()).is_none(), "two files {name}");
        }
    }
    all
}

/// A file of a registry, with the time at which it was written.
fn when_written(name: &str, path: &Path) -> Things {
    let Ok(about) = path.metadata() else { return Things::new() };
    let text = std::fs::read_to_string(path).unwrap();
    Things::from([(name.to_owned(), format!("{text} {:?}", about.modified().unwrap()))])
}

async fn database(world: &World) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(world.database()).busy_timeout(PATIENCE);
    options.connect().await.unwrap()
}

/// The rows of the ledger as they moved.
async fn rows(connection: &mut SqliteConnection) -> Vec<String> {
    let text = "SELECT kind, data FROM events WHERE kind LIKE 'publication%' ORDER BY seq";
    let all: Vec<(String, String)> = sqlx::query_as(text).fetch_all(connection).await.unwrap();
    let row = |(kind, data): (String, String)| {
        let data: serde_json::Value = serde_json::from_str(&data).unwrap();
        format!("{kind} {}", data["said"]["publish"])
    };
    all.into_iter().map(row).collect()
}

/// Nothing is stored any more behind so many rows: an engine that wants to is as good as dead, and soon is.
async fn dies_behind(connection: &mut SqliteConnection, count: usize) {
    let text = format!(
        "CREATE TRIGGER dead BEFORE INSERT ON events
         WHEN (SELECT count(*) FROM events WHERE kind LIKE 'publication%') >= {count}
         BEGIN SELECT RAISE(ABORT, 'the engine is dead'); END"
    );
    sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await.unwrap();
}

/// What came of publishing once.
struct Round {
    rows: Vec<String>,
    there: Things,
    told: usize,
}

/// Merges once, kills the engine behind this row, and does what people are asked for.
async fn round(kind: Kind, killed_behind: Option<usize>) -> Round {
    let Place { mut world, look, told, _outlet } = kind.place().await;
    let mut connection = database(&world).await;
    if let Some(count) = killed_behind {
        dies_behind(&mut connection, count).await;
    }
    world.wake().await;
    world.merge(1, "feat: sell shoes").await;
    if let Some(count) = killed_behind {
        let come = async {
            while rows(&mut connection).await.len() < count {
                tokio::time::sleep(GLANCE).await;
            }
        };
        tokio::time::timeout(PATIENCE, come).await.unwrap_or_else(|_| panic!("row {count} did not come"));
        world.die().await;
        assert_eq!(rows(&mut connection).await.len(), count, "{kind:?}");
        sqlx::query("DROP TRIGGER dead").execute(&mut connection).await.unwrap();
        let before = look(&world);
        world.wake().await;
        let said = world.hears(1).await;
        assert!(said.contains("`/retry prod`"), "{kind:?} killed behind row {count}: {said}");
        assert_eq!(rows(&mut connection).await.len(), count, "{kind:?}: nothing goes on by itself");
        world.say(1, ANA, "/retry prod").await;
        assert!(world.hears(1).await.contains("is live in prod"));
        let after = look(&world);
        for (name, id) in before {
            assert_eq!(after[&name], id, "{kind:?} killed behind row {count}: {name} was made again");
        }
    } else {
        assert!(world.hears(1).await.contains("is live in prod"));
    }
    world.settled().await;
    let round = Round { rows: rows(&mut connection).await, there: look(&world), told: told(&world) };
    connection.close().await.unwrap();
    world.drain().await;
    world.finish().await;
    round
}

/// The rows to die behind are those of a run that nothing happens to.
async fn killed_behind_every_row(kind: Kind) {
    let whole = round(kind, None).await;
    let moves: Vec<&str> = whole.rows.iter().filter_map(|row| row.split(' ').next()).collect();
    let steps = ["planned", "uploaded", "visible", "verified", "announced"];
    let one: Vec<String> = steps.iter().map(|step| format!("publication_{step}")).collect();
    assert!(moves.len() >= one.len() && moves.chunks(one.len()).all(|row| row == one), "{moves:?}");
    assert!(!whole.there.is_empty());
    for count in 1..=whole.rows.len() {
        let cut = round(kind, Some(count)).await;
        assert_eq!(cut.rows, whole.rows, "{kind:?} killed behind row {count}: every row moves once");
        let names = |round: &Round| round.there.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&cut), names(&whole), "{kind:?} killed behind row {count}");
        // What was being put when it died may be put again, and no more than that.
        assert!(cut.told <= whole.told + 1, "{kind:?} killed behind row {count}: told {} times", cut.told);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d41_d53_t57_killed_behind_every_row_of_git_tags() {
    killed_behind_every_row(Kind::Tags).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d52_d53_t57_killed_behind_every_row_of_a_host_release() {
    killed_behind_every_row(Kind::HostRelease).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d50_d53_t57_killed_behind_every_row_of_a_registry() {
    killed_behind_every_row(Kind::Registry).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d43_d53_t57_killed_behind_every_row_of_an_address() {
    killed_behind_every_row(Kind::Http).await;
}
