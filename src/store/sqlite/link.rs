//! One connection to a `SQLite` file: its settings, a statement with plain values, and failures told by kind.

use std::path::{Path, PathBuf};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Error, OpenFlags, Row, Statement, ToSql};

use crate::domain::time::Span;
use crate::store::Settings;
use crate::store::session::{Arg, Meaning, Record, explained};
use crate::trouble::{Outcome, Trouble};

/// Statements kept prepared: more than the store has, so that none is ever read twice by a connection.
const PREPARED: usize = 256;
/// Without a lock of its own inside the library: a connection has one owner at a time.
const ALONE: OpenFlags = OpenFlags::SQLITE_OPEN_NO_MUTEX;

/// What §8 of STORAGE asks: how it is set, how it is asked for, and the answer when it is read back.
pub(super) const WANTED: &[(&str, &str, &str, &str)] = &[
    ("journal_mode", "PRAGMA journal_mode = WAL", "PRAGMA journal_mode", "wal"),
    ("synchronous", "PRAGMA synchronous = FULL", "PRAGMA synchronous", "2"),
    ("foreign_keys", "PRAGMA foreign_keys = ON", "PRAGMA foreign_keys", "1"),
    ("journal_size_limit", "PRAGMA journal_size_limit = 67108864", "PRAGMA journal_size_limit", "67108864"),
    // 16 MB instead of the usual 4: a checkpoint flushes three times, and where a flush takes 4 ms this is a quarter
    // more deliveries a second.
    ("wal_autocheckpoint", "PRAGMA wal_autocheckpoint = 4000", "PRAGMA wal_autocheckpoint", "4000"),
    ("temp_store", "PRAGMA temp_store = MEMORY", "PRAGMA temp_store", "2"),
    ("mmap_size", "PRAGMA mmap_size = 0", "PRAGMA mmap_size", "0"),
];

/// Which file, and how its connections are set.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) busy_timeout: Span,
    page_limit: Option<u32>,
}

impl Place {
    pub(super) fn new(path: PathBuf, settings: &Settings) -> Self {
        Self { path, busy_timeout: settings.busy_timeout, page_limit: settings.page_limit }
    }

    /// The connection that writes; makes the file when there is none.
    pub(super) fn writer(&self) -> Outcome<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | ALONE;
        let connection = self.open(flags)?;
        let mut texts: Vec<String> = WANTED.iter().map(|(_, set, ..)| (*set).to_owned()).collect();
        texts.extend(self.page_limit.map(|pages| format!("PRAGMA max_page_count = {pages}")));
        for text in texts {
            connection.execute_batch(&text).map_err(|e| trouble(&text, e))?;
        }
        Ok(connection)
    }

    /// A connection that only reads.
    pub(super) fn reader(&self) -> Outcome<Connection> {
        let connection = self.open(OpenFlags::SQLITE_OPEN_READ_ONLY | ALONE)?;
        let text = "PRAGMA temp_store = MEMORY";
        connection.execute_batch(text).map_err(|e| trouble(text, e))?;
        Ok(connection)
    }

    fn open(&self, flags: OpenFlags) -> Outcome<Connection> {
        let fail = |e| trouble("open the database", e);
        let connection = Connection::open_with_flags(&self.path, flags).map_err(fail)?;
        connection.busy_timeout(self.busy_timeout.as_std()).map_err(fail)?;
        connection.set_prepared_statement_cache_capacity(PREPARED);
        Ok(connection)
    }
}

/// Refuses a setting that did not take: some would lose deliveries.
pub(super) fn read_back(connection: &Connection, name: &str, text: &str, wanted: &str) -> Outcome<()> {
    let found = show(connection, text)?;
    if found.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(Trouble::refused(format!(
        "the database keeps `{name}` at `{found}` instead of `{wanted}`: put it on a local disk, not a network one"
    )))
}

/// The first cell of the first row, as text.
pub(super) fn show(connection: &Connection, text: &str) -> Outcome<String> {
    let mut row = all(connection, text, &[])?
        .into_iter()
        .next()
        .ok_or_else(|| Trouble::bug(format!("`{text}` answers nothing")))?;
    Ok(match row.next()? {
        Arg::Int(Some(number)) => number.to_string(),
        Arg::Text(Some(text)) => text,
        Arg::Int(None) | Arg::Text(None) | Arg::Blob(_) => String::new(),
    })
}

/// All rows of a statement.
pub(in crate::store) fn all(connection: &Connection, text: &str, args: &[Arg]) -> Outcome<Vec<Record>> {
    let fail = |e| trouble(text, e);
    let mut statement = connection.prepare_cached(text).map_err(fail)?;
    bind(&mut statement, args).map_err(fail)?;
    let columns = statement.column_count();
    let mut rows = statement.raw_query();
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(fail)? {
        found.push(record(row, columns).map_err(fail)?);
    }
    Ok(found)
}

/// Runs a statement; how many rows it changed.
pub(in crate::store) fn run(connection: &Connection, text: &str, args: &[Arg]) -> Outcome<u64> {
    let fail = |e| trouble(text, e);
    let mut statement = connection.prepare_cached(text).map_err(fail)?;
    bind(&mut statement, args).map_err(fail)?;
    let changed = statement.raw_execute().map_err(fail)?;
    Ok(u64::try_from(changed).unwrap_or(u64::MAX))
}

/// Binds each value by the number in its name: to `SQLite` `$2` is a name, and names count as they come in the text.
fn bind(statement: &mut Statement<'_>, args: &[Arg]) -> Result<(), Error> {
    for place in 1..=statement.parameter_count() {
        let number = statement.parameter_name(place).and_then(|name| name.strip_prefix('$'));
        let number = number.and_then(|number| number.parse::<usize>().ok()).unwrap_or(place);
        let value =
            args.get(number.wrapping_sub(1)).ok_or(Error::InvalidParameterCount(args.len(), number))?;
        statement.raw_bind_parameter(place, value)?;
    }
    Ok(())
}

impl ToSql for Arg {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>, Error> {
        let value = match self {
            Self::Int(Some(number)) => ValueRef::Integer(*number),
            Self::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Self::Blob(Some(bytes)) => ValueRef::Blob(bytes),
            Self::Int(None) | Self::Text(None) | Self::Blob(None) => ValueRef::Null,
        };
        Ok(ToSqlOutput::Borrowed(value))
    }
}

fn record(row: &Row<'_>, columns: usize) -> Result<Record, Error> {
    let mut cells = Vec::with_capacity(columns);
    for at in 0..columns {
        cells.push(match row.get_ref(at)? {
            ValueRef::Null => Arg::Int(None),
            ValueRef::Integer(number) => Arg::Int(Some(number)),
            ValueRef::Text(_) => Arg::Text(Some(row.get(at)?)),
            ValueRef::Blob(bytes) => Arg::Blob(Some(bytes.to_vec())),
            ValueRef::Real(_) => {
                let name = row.as_ref().column_name(at)?.to_owned();
                return Err(Error::InvalidColumnType(at, name, rusqlite::types::Type::Real));
            }
        });
    }
    Ok(Record::of(cells))
}

/// Names the file in a failure to open it.
pub(super) fn named(path: &Path, trouble: Trouble) -> Trouble {
    Trouble::new(trouble.kind(), format!("open `{}`", path.display())).because(trouble)
}

/// Whether a failure is a full disk's.
pub(super) fn is_full(trouble: &Trouble) -> bool {
    let cause = std::error::Error::source(trouble).and_then(|cause| cause.downcast_ref::<Error>());
    let code = cause.and_then(Error::sqlite_error).map(|e| e.extended_code);
    code.is_some_and(|code| matches!(meaning(code), Meaning::Full))
}

/// Says what a failure of `SQLite` means for the caller.
pub(in crate::store) fn trouble(what: &str, error: Error) -> Trouble {
    let meaning = error.sqlite_error().map_or(Meaning::Mistake, |e| meaning(e.extended_code));
    explained(what, meaning).because(error)
}

/// The primary code is the low byte of the extended one (sqlite.org/rescode.html).
fn meaning(code: i32) -> Meaning {
    match (code, code & 0xff) {
        // A unique index, a primary key.
        (2067 | 1555, _) => Meaning::Taken,
        (_, 5 | 6) => Meaning::Locked,
        (_, 13) => Meaning::Full,
        // An error of the disk, a file that cannot be opened, a disk that became read-only, no memory.
        (_, 7 | 8 | 10 | 14) => Meaning::Away,
        (_, 11 | 26) => Meaning::Damaged,
        _ => Meaning::Mistake,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trouble::Kind;

    #[test]
    fn a_setting_that_did_not_take_is_refused_by_name() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("PRAGMA synchronous = NORMAL").unwrap();
        let check = read_back(&connection, "synchronous", "PRAGMA synchronous", "2");
        assert_eq!(
            check.unwrap_err().to_string(),
            "the database keeps `synchronous` at `1` instead of `2`: put it on a local disk, not a network one"
        );
        let in_memory = read_back(&connection, "journal_mode", "PRAGMA journal_mode", "wal");
        assert_eq!(in_memory.unwrap_err().kind(), Kind::Refused, "no file, no log");
    }

    #[test]
    fn values_are_bound_by_their_numbers_and_none_may_be_missing() {
        let connection = Connection::open_in_memory().unwrap();
        let mut rows = all(&connection, "SELECT $2, $1, $2", &[Arg::from(1_i64), Arg::from("b")]).unwrap();
        let mut row = rows.pop().unwrap();
        assert_eq!(
            (row.text().unwrap(), row.int().unwrap(), row.text().unwrap()),
            ("b".into(), 1, "b".into())
        );
        let missing = all(&connection, "SELECT $2", &[Arg::from(1_i64)]).err().unwrap();
        assert_eq!(missing.kind(), Kind::Bug);
    }
}
