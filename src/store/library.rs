//! The library of variable groups: one row each, guarded by its version, a history that only grows, sealed secrets.

use crate::domain::time::Timestamp;
use crate::store::session::{Record, Session, args};
use crate::store::{Change, Store, sql};
use crate::trouble::{Outcome, Trouble};

/// A group as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRow {
    /// Its name.
    pub name: String,
    /// Its version, from 1.
    pub version: u32,
    /// The group, JSON.
    pub body: String,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What made a version of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// The version it made.
    pub version: u32,
    /// When.
    pub at: Timestamp,
    /// By whom, JSON.
    pub author: String,
    /// What, JSON.
    pub changes: String,
}

/// A sealed secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedRow {
    /// The group's version that set it.
    pub version: u32,
    /// The sealed bytes.
    pub body: Vec<u8>,
}

/// A new version of a group.
#[derive(Debug, Clone)]
pub struct GroupWrite {
    /// The group.
    pub name: String,
    /// The version the change was decided on; 0 for a group that does not exist yet.
    pub expect: u32,
    /// The group after it, JSON.
    pub body: String,
    /// When, by whom, and what.
    pub entry: HistoryRow,
    /// Secrets that are new with it: variable and sealed bytes.
    pub sealed: Vec<(String, Vec<u8>)>,
    /// Variables whose sealed secrets are no longer there.
    pub unsealed: Vec<String>,
}

/// True when the group was still at the expected version.
impl Change for GroupWrite {
    type Answer = bool;
    const WAKES: bool = false;

    async fn apply(self, session: &mut Session) -> Outcome<bool> {
        let HistoryRow { version, at, author, changes } = &self.entry;
        let won = if self.expect == 0 {
            session.run(sql::GROUP_OPEN, args![&self.name, *version, &self.body, *at]).await?
        } else {
            session.run(sql::GROUP_MOVE, args![&self.name, self.expect, *version, &self.body, *at]).await?
        };
        if won != 1 {
            return Ok(false);
        }
        session.run(sql::GROUP_HISTORY_PUT, args![&self.name, *version, *at, author, changes]).await?;
        for variable in &self.unsealed {
            session.run(sql::SEALED_DROP, args![&self.name, variable]).await?;
        }
        for (variable, body) in &self.sealed {
            session.run(sql::SEALED_PUT, args![&self.name, variable, *version, body.as_slice()]).await?;
        }
        Ok(true)
    }
}

fn read_group(mut row: Record) -> Outcome<GroupRow> {
    Ok(GroupRow { name: row.text()?, version: row.small()?, body: row.text()?, updated_at: row.time()? })
}

fn read_history(mut row: Record) -> Outcome<HistoryRow> {
    Ok(HistoryRow { version: row.small()?, at: row.time()?, author: row.text()?, changes: row.text()? })
}

fn read_sealed(mut row: Record) -> Outcome<SealedRow> {
    Ok(SealedRow { version: row.small()?, body: row.blob()? })
}

impl Store {
    /// Groups after `after` in the order of their names.
    pub async fn groups(&self, after: &str, limit: u32) -> Outcome<Vec<GroupRow>> {
        self.list(sql::GROUP_LIST, args![after, limit], read_group).await
    }

    /// One group.
    pub async fn group(&self, name: &str) -> Outcome<Option<GroupRow>> {
        self.find(sql::GROUP_GET, args![name], read_group).await
    }

    /// A group's history below version `before`, newest first.
    pub async fn group_history(&self, name: &str, before: u32, limit: u32) -> Outcome<Vec<HistoryRow>> {
        self.list(sql::GROUP_HISTORY, args![name, before, limit], read_history).await
    }

    /// Writes the next version of a group; false when somebody else was first, and then nothing of it is kept.
    pub async fn write_group(&self, write: GroupWrite) -> Outcome<bool> {
        if write.entry.version != write.expect.saturating_add(1) {
            return Err(Trouble::bug("a group's version rises by one"));
        }
        self.change(write).await
    }

    /// A sealed secret of a group.
    pub async fn sealed(&self, name: &str, variable: &str) -> Outcome<Option<SealedRow>> {
        self.find(sql::SEALED_GET, args![name, variable], read_sealed).await
    }
}
