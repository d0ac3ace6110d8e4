-- The library: variable groups as they are now, and all that ever changed in them.
CREATE TABLE library_groups (
  name TEXT COLLATE "C" PRIMARY KEY NOT NULL,
  version BIGINT NOT NULL,
  body TEXT COLLATE "C" NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE TABLE library_history (
  name TEXT COLLATE "C" NOT NULL REFERENCES library_groups (name),
  version BIGINT NOT NULL,
  at BIGINT NOT NULL,
  author TEXT COLLATE "C" NOT NULL,
  changes TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (name, version)
);
CREATE TRIGGER library_history_append_only BEFORE UPDATE OR DELETE ON library_history
  FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER library_history_no_truncate BEFORE TRUNCATE ON library_history
  FOR EACH STATEMENT EXECUTE FUNCTION append_only();
-- Secrets of groups, sealed under the server's key; apart, so that what reads a group never holds one.
CREATE TABLE library_secrets (
  name TEXT COLLATE "C" NOT NULL REFERENCES library_groups (name),
  variable TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  body BYTEA NOT NULL,
  PRIMARY KEY (name, variable)
);
