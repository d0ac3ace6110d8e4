//! Brings the schema up to date under a lock and refuses one that is newer than this program.

use rusqlite::TransactionBehavior;
use sqlx::{Connection as _, PgConnection, Row as _};

use crate::store::session::trouble;
use crate::store::sqlite::link;
use crate::trouble::{Outcome, Trouble};

/// One step of the schema: the version it makes, and its text for each engine. Steps are never edited, only added.
struct Migration {
    version: i64,
    sqlite: &'static str,
    postgres: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        sqlite: include_str!("../../migrations/sqlite/0001_first.sql"),
        postgres: include_str!("../../migrations/postgres/0001_first.sql"),
    },
    Migration {
        version: 2,
        sqlite: include_str!("../../migrations/sqlite/0002_library.sql"),
        postgres: include_str!("../../migrations/postgres/0002_library.sql"),
    },
    Migration {
        version: 3,
        sqlite: include_str!("../../migrations/sqlite/0003_locks.sql"),
        postgres: include_str!("../../migrations/postgres/0003_locks.sql"),
    },
];

/// The advisory lock under which replicas that start together migrate one after the other ("liftlock" in ASCII).
const MIGRATE_LOCK: &str = "SELECT pg_advisory_xact_lock(7811887346893447019)";

fn newest() -> i64 {
    MIGRATIONS.iter().map(|m| m.version).max().unwrap_or(0)
}

fn check_not_newer(found: i64) -> Outcome<()> {
    let known = newest();
    if found > known {
        return Err(Trouble::refused(format!(
            "the database has schema {found}, this program knows {known}: \
             start the newer liftlock that wrote it, or restore the backup made before"
        )));
    }
    Ok(())
}

/// Refuses to read a `SQLite` file that this program's statements do not fit.
pub(super) fn fits(connection: &rusqlite::Connection) -> Outcome<()> {
    let found = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
    let found = found.map_err(|e| link::trouble("read the schema version", e))?;
    check_not_newer(found)?;
    if found < newest() {
        return Err(Trouble::refused(format!(
            "the database has schema {found}, this program reads {}: start its server once, which brings it up to date",
            newest()
        )));
    }
    Ok(())
}

/// Migrates a `SQLite` file; `user_version` holds the schema.
pub(super) fn sqlite(connection: &mut rusqlite::Connection) -> Outcome<()> {
    // Taking the write lock first makes a second process wait and then find the work done.
    let work = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let work = work.map_err(|e| link::trouble("lock the database", e))?;
    let number =
        |text, what| work.query_row(text, [], |row| row.get::<_, i64>(0)).map_err(|e| link::trouble(what, e));
    let found = number("PRAGMA user_version", "read the schema version")?;
    check_not_newer(found)?;
    if found == 0 && number("SELECT count(*) FROM sqlite_schema", "look into the database")? > 0 {
        return Err(Trouble::refused(
            "the database file belongs to another program: name a file of its own for liftlock",
        ));
    }
    for step in MIGRATIONS.iter().filter(|m| m.version > found) {
        let fail = |e| link::trouble("migrate the schema", e);
        work.execute_batch(step.sqlite).map_err(fail)?;
        work.execute_batch(&format!("PRAGMA user_version = {}", step.version)).map_err(fail)?;
    }
    work.commit().map_err(|e| link::trouble("migrate the schema", e))
}

/// Migrates a `PostgreSQL` database; the table `schema_versions` holds the schema.
pub(super) async fn postgres(connection: &mut PgConnection) -> Outcome<()> {
    let mut work = connection.begin().await.map_err(|e| trouble("begin to migrate", e))?;
    let lock = sqlx::raw_sql(MIGRATE_LOCK).execute(&mut *work).await;
    lock.map_err(|e| trouble("take the lock for migrating", e))?;
    let table = "CREATE TABLE IF NOT EXISTS schema_versions (version BIGINT PRIMARY KEY NOT NULL)";
    sqlx::raw_sql(table).execute(&mut *work).await.map_err(|e| trouble("prepare to migrate", e))?;
    let row =
        sqlx::query("SELECT COALESCE(max(version), 0) FROM schema_versions").fetch_one(&mut *work).await;
    let row = row.map_err(|e| trouble("read the schema version", e))?;
    let found: i64 = row.try_get(0).map_err(|e| trouble("read the schema version", e))?;
    check_not_newer(found)?;
    for step in MIGRATIONS.iter().filter(|m| m.version > found) {
        sqlx::raw_sql(step.postgres)
            .execute(&mut *work)
            .await
            .map_err(|e| trouble("migrate the schema", e))?;
        let note = sqlx::query("INSERT INTO schema_versions (version) VALUES ($1)").bind(step.version);
        note.execute(&mut *work).await.map_err(|e| trouble("note the schema version", e))?;
    }
    work.commit().await.map_err(|e| trouble("migrate the schema", e))
}
