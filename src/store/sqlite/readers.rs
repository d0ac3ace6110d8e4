//! Connections that read a `SQLite` file beside its writer, opened as they are needed and used again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::link::{self, Place};
use crate::store::session::{Arg, Record};
use crate::trouble::{Outcome, Trouble};

/// The connections of one file.
pub(super) struct Readers {
    place: Place,
    most: u32,
    answer_within: Duration,
    places: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn new(place: Place, most: u32, answer_within: Duration) -> Self {
        let places = Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(usize::MAX)));
        Self { place, most, answer_within, places, idle: Arc::default() }
    }

    /// A connection of one's own; waits while all are in use.
    pub(super) async fn take(&self) -> Outcome<Reader> {
        let permit = timeout(self.answer_within, Arc::clone(&self.places).acquire_owned()).await;
        let permit = permit
            .map_err(|_| Trouble::transient("every connection to the database is in use"))?
            .map_err(|_| Trouble::transient("the store is closed"))?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = if let Some(connection) = idle {
            connection
        } else {
            let place = self.place.clone();
            aside(move || place.reader()).await??
        };
        Ok(Reader { connection: Some(connection), idle: Arc::clone(&self.idle), _permit: permit })
    }

    /// Waits for those that read and closes every connection.
    pub(super) async fn close(&self) {
        // An error means that it is closed already.
        drop(self.places.acquire_many(self.most).await);
        self.places.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A connection on loan.
pub(in crate::store) struct Reader {
    /// Absent while a statement runs; a caller that stops waiting leaves it behind, and it closes when it is done.
    connection: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    /// All rows of a statement, read off the runtime's threads.
    pub(in crate::store) async fn all(&mut self, text: &'static str, args: Vec<Arg>) -> Outcome<Vec<Record>> {
        let connection =
            self.connection.take().ok_or_else(|| Trouble::bug("a reader was given up and used again"))?;
        let work = move || {
            let rows = link::all(&connection, text, &args);
            (connection, rows)
        };
        let (connection, rows) = aside(work).await?;
        self.connection = Some(connection);
        rows
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Outcome<T> {
    spawn_blocking(work).await.map_err(|e| Trouble::transient("a read was cut off").because(e))
}
