-- The library: variable groups as they are now, and all that ever changed in them.
CREATE TABLE library_groups (
  name TEXT PRIMARY KEY NOT NULL,
  version INTEGER NOT NULL,
  body TEXT NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE TABLE library_history (
  name TEXT NOT NULL REFERENCES library_groups (name),
  version INTEGER NOT NULL,
  at INTEGER NOT NULL,
  author TEXT NOT NULL,
  changes TEXT NOT NULL,
  PRIMARY KEY (name, version)
) STRICT;
CREATE TRIGGER library_history_no_update BEFORE UPDATE ON library_history
BEGIN SELECT RAISE(ABORT, 'the history of groups is append-only'); END;
CREATE TRIGGER library_history_no_delete BEFORE DELETE ON library_history
BEGIN SELECT RAISE(ABORT, 'the history of groups is append-only'); END;
-- Secrets of groups, sealed under the server's key; apart, so that what reads a group never holds one.
CREATE TABLE library_secrets (
  name TEXT NOT NULL REFERENCES library_groups (name),
  variable TEXT NOT NULL,
  version INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (name, variable)
) STRICT;
