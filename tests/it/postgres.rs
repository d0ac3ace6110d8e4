//! A database of its own for each test, on the server the test script started.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};

/// A database that exists for one test.
#[derive(Debug)]
pub(crate) struct Database {
    name: String,
    server: String,
}

#[expect(clippy::disallowed_methods, reason = "the one place where tests read the environment")]
fn server() -> String {
    std::env::var("LIFTLOCK_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!(
            "these tests need a PostgreSQL server: run `./test`, which starts one, or set \
             LIFTLOCK_TEST_POSTGRES=postgres://postgres@127.0.0.1:5432/postgres"
        )
    })
}

async fn connect(url: &str) -> PgConnection {
    let options = PgConnectOptions::from_str(url).expect("LIFTLOCK_TEST_POSTGRES is a postgres:// URL");
    options
        .connect()
        .await
        .unwrap_or_else(|e| panic!("the PostgreSQL server of the tests does not answer: {e}"))
}

impl Database {
    /// Creates an empty database.
    pub(crate) async fn create() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = server();
        let name = format!("liftlock_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let mut admin = connect(&server).await;
        for text in [format!("DROP DATABASE IF EXISTS {name}"), format!("CREATE DATABASE {name}")] {
            sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut admin).await.expect("create a database");
        }
        admin.close().await.expect("leave the server");
        Self { name, server }
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        let (base, _) = self.server.rsplit_once('/').expect("the URL names a database");
        format!("{base}/{}", self.name)
    }

    /// A connection of the test's own.
    pub(crate) async fn connect(&self) -> PgConnection {
        connect(&self.url()).await
    }

    /// Cuts every connection to it, as a crash of the server would.
    pub(crate) async fn cut(&self) {
        let mut admin = connect(&self.server).await;
        sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1")
            .bind(&self.name)
            .execute(&mut admin)
            .await
            .expect("cut the connections");
    }

    /// Removes it; what a failed test leaves goes with the server.
    pub(crate) async fn drop(self) {
        let mut admin = connect(&self.server).await;
        let text = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut admin).await.expect("drop the database");
    }
}
