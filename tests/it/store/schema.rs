//! Two engines, one schema, one text per statement.

use std::collections::BTreeMap;

use liftlock::store::sql;
use sqlx::{Executor as _, Row as _, SqlSafeStr as _};

use super::{Folder, Home, Place, sqlite_connect};

fn folder(place: &Place) -> &Folder {
    match &place.home {
        Home::Sqlite(folder) => folder,
        Home::Postgres(_) => panic!("this place is a file"),
    }
}

/// Table and column → kind and whether it may be empty.
type Columns = BTreeMap<(String, String), (String, bool)>;

async fn sqlite_columns(place: &Place) -> Columns {
    let mut connection = sqlite_connect(&folder(place).db()).await;
    let text = "SELECT m.name, c.name, c.type, c.\"notnull\" = 0 AND c.pk = 0 FROM sqlite_schema m \
        JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'";
    let rows = sqlx::query(text).fetch_all(&mut connection).await.unwrap();
    rows.iter().map(|row| ((row.get(0), row.get(1)), (row.get(2), row.get(3)))).collect()
}

async fn postgres_columns(place: &Place) -> Columns {
    let Home::Postgres(database) = &place.home else { panic!("this place is a server") };
    let text = "SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'YES' \
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'schema_versions'";
    let rows = sqlx::query(text).fetch_all(&mut database.connect().await).await.unwrap();
    let kind = |name: String| match name.as_str() {
        "bigint" => "INTEGER".to_owned(),
        "bytea" => "BLOB".to_owned(),
        "text" => "TEXT".to_owned(),
        other => panic!("`{other}` has no counterpart in SQLite"),
    };
    rows.iter().map(|row| ((row.get(0), row.get(1)), (kind(row.get(2)), row.get(3)))).collect()
}

/// Names and uniqueness of the indexes that were named.
async fn indexes(place: &Place) -> Vec<String> {
    let rows: Vec<String> = match &place.home {
        Home::Sqlite(folder) => {
            let text = "SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY name";
            let rows = sqlx::query(text).fetch_all(&mut sqlite_connect(&folder.db()).await).await.unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        }
        Home::Postgres(database) => {
            let text = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT LIKE '%_pkey' \
                AND indexname NOT LIKE '%_key' ORDER BY indexname";
            let rows = sqlx::query(text).fetch_all(&mut database.connect().await).await.unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        }
    };
    let plain = |text: String| {
        let text = text.replace("::text", "").replace("public.", "").replace("USING btree ", "");
        text.replace(['(', ')', ' ', '\n'], "").to_lowercase()
    };
    rows.into_iter().map(plain).collect()
}

#[tokio::test]
async fn both_schemas_are_the_same() {
    let (sqlite, postgres) = (Place::sqlite().await, Place::postgres().await);
    let columns = sqlite_columns(&sqlite).await;
    assert!(columns.len() > 80, "all columns are read");
    assert_eq!(columns, postgres_columns(&postgres).await);
    assert_eq!(indexes(&sqlite).await, indexes(&postgres).await);
    sqlite.end().await;
    postgres.end().await;
}

#[tokio::test]
async fn every_statement_prepares_on_both_engines() {
    let (sqlite, postgres) = (Place::sqlite().await, Place::postgres().await);
    let mut connection = sqlite_connect(&folder(&sqlite).db()).await;
    for (name, text) in sql::SHARED.iter().chain(sql::SQLITE) {
        let prepared = (&mut connection).prepare(text.into_sql_str()).await;
        assert!(prepared.is_ok(), "{name} on SQLite: {:?}", prepared.err());
    }
    let Home::Postgres(database) = &postgres.home else { panic!("this place is a server") };
    let mut connection = database.connect().await;
    for (name, text) in sql::SHARED.iter().chain(sql::POSTGRES) {
        let prepared = (&mut connection).prepare(text.into_sql_str()).await;
        assert!(prepared.is_ok(), "{name} on PostgreSQL: {:?}", prepared.err());
    }
    sqlite.end().await;
    postgres.end().await;
}

#[tokio::test]
async fn a_claim_walks_the_ready_index_and_sorts_nothing() {
    let place = Place::sqlite().await;
    let (_, claim) = sql::SQLITE.iter().find(|(name, _)| *name == "CLAIM_SQLITE").unwrap();
    let text = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {claim}"));
    let rows = sqlx::query(text).fetch_all(&mut sqlite_connect(&folder(&place).db()).await).await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
    assert!(plan.iter().any(|line| line.contains("effects_ready")), "{plan:?}");
    assert!(!plan.iter().any(|line| line.contains("TEMP B-TREE")), "{plan:?}");
    place.end().await;
}

#[tokio::test]
async fn the_file_is_in_wal_mode_and_knows_its_schema() {
    let place = Place::sqlite().await;
    let mut connection = sqlite_connect(&folder(&place).db()).await;
    let mode: String = sqlx::query("PRAGMA journal_mode").fetch_one(&mut connection).await.unwrap().get(0);
    let version: i64 = sqlx::query("PRAGMA user_version").fetch_one(&mut connection).await.unwrap().get(0);
    assert_eq!((mode.as_str(), version), ("wal", 3));
    place.store.ping().await.unwrap();
    place.store.check().await.unwrap();
    place.end().await;
}
