-- The inbox: what hosts and people sent, before anything was understood of it. body is zstd.
CREATE TABLE deliveries (
  seq INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  guid TEXT NOT NULL,
  event TEXT NOT NULL,
  repo TEXT,
  headers TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  sha256 BLOB NOT NULL,
  size INTEGER NOT NULL,
  body BLOB,
  seen INTEGER NOT NULL DEFAULT 1,
  state TEXT NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'done', 'ignored', 'poison')),
  error TEXT,
  UNIQUE (source, guid)
) STRICT;
CREATE INDEX deliveries_state ON deliveries (state, seq);

-- The truth: one hash chain per stream.
CREATE TABLE streams (
  stream TEXT PRIMARY KEY NOT NULL,
  version INTEGER NOT NULL,
  head BLOB NOT NULL
) STRICT;
CREATE TABLE events (
  seq INTEGER PRIMARY KEY,
  stream TEXT NOT NULL REFERENCES streams (stream),
  version INTEGER NOT NULL,
  kind TEXT NOT NULL,
  release INTEGER,
  data TEXT NOT NULL,
  actor TEXT NOT NULL,
  cause TEXT NOT NULL,
  at INTEGER NOT NULL,
  hash BLOB NOT NULL,
  UNIQUE (stream, version)
) STRICT;
CREATE INDEX events_page ON events (stream, seq);
CREATE TRIGGER events_no_update BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;

-- What the heads of the streams were, chained, so that a dropped tail or stream is found.
CREATE TABLE checkpoints (
  no INTEGER PRIMARY KEY NOT NULL,
  root BLOB NOT NULL,
  chain BLOB NOT NULL,
  at INTEGER NOT NULL
) STRICT;
CREATE TABLE checkpoint_heads (
  stream TEXT NOT NULL,
  version INTEGER NOT NULL,
  head BLOB NOT NULL,
  checkpoint INTEGER NOT NULL REFERENCES checkpoints (no),
  PRIMARY KEY (stream, version)
) STRICT;
CREATE INDEX checkpoint_heads_of ON checkpoint_heads (checkpoint, stream);
CREATE TRIGGER checkpoints_no_update BEFORE UPDATE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END;
CREATE TRIGGER checkpoints_no_delete BEFORE DELETE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END;

-- What is still to be done outside: work owed, its leases and its fencing numbers.
CREATE TABLE effects (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  lane TEXT NOT NULL,
  stream TEXT,
  group_key TEXT,
  priority INTEGER NOT NULL,
  due INTEGER NOT NULL,
  run_after INTEGER NOT NULL,
  rank INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  state TEXT NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'leased', 'done', 'dead', 'cancelled')),
  desired TEXT NOT NULL,
  revision INTEGER NOT NULL DEFAULT 1,
  leased_revision INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  token INTEGER NOT NULL DEFAULT 0,
  lease_by TEXT,
  lease_boot TEXT,
  lease_until INTEGER,
  cancel_at INTEGER,
  result TEXT,
  error TEXT
) STRICT;
CREATE INDEX effects_ready ON effects (lane, rank, id) WHERE state = 'ready';
CREATE INDEX effects_due ON effects (run_after) WHERE state = 'ready';
CREATE INDEX effects_leases ON effects (lease_until) WHERE state = 'leased';
CREATE UNIQUE INDEX effects_group ON effects (group_key) WHERE state = 'leased' AND group_key IS NOT NULL;
CREATE INDEX effects_dead ON effects (lane, id) WHERE state = 'dead';
CREATE INDEX effects_stream ON effects (stream, id);

-- Duties one process does at a time, limits all processes share, and how far a sweep has come.
CREATE TABLE duties (
  name TEXT PRIMARY KEY NOT NULL,
  holder TEXT NOT NULL,
  token INTEGER NOT NULL,
  until INTEGER NOT NULL
) STRICT;
CREATE TABLE rate_limits (
  scope TEXT PRIMARY KEY NOT NULL,
  remaining INTEGER,
  reset_at INTEGER,
  blocked_until INTEGER
) STRICT;
CREATE TABLE cursors (
  name TEXT PRIMARY KEY NOT NULL,
  value TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT;

-- What a run printed: chunks of lines, a JSON list of texts, zstd.
CREATE TABLE logs (
  log TEXT NOT NULL,
  first_line INTEGER NOT NULL,
  lines INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (log, first_line)
) STRICT;

-- Read models: rebuilt from the events.
CREATE TABLE repositories (
  repo_id TEXT PRIMARY KEY NOT NULL,
  host TEXT NOT NULL,
  name TEXT NOT NULL,
  default_branch TEXT NOT NULL,
  settings TEXT NOT NULL
) STRICT;
CREATE TABLE pipelines (
  stream TEXT PRIMARY KEY NOT NULL,
  repo_id TEXT NOT NULL,
  repo_name TEXT NOT NULL,
  name TEXT NOT NULL,
  settings TEXT NOT NULL
) STRICT;
CREATE INDEX pipelines_repo ON pipelines (repo_id, name);
CREATE TABLE releases (
  stream TEXT NOT NULL,
  no INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  version TEXT NOT NULL,
  commit_sha TEXT NOT NULL,
  digest TEXT,
  state TEXT NOT NULL,
  title TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  summary TEXT NOT NULL,
  PRIMARY KEY (stream, no)
) STRICT;
CREATE INDEX releases_version ON releases (stream, version);
CREATE INDEX releases_commit ON releases (commit_sha);
CREATE INDEX releases_digest ON releases (digest);
CREATE TABLE stages (
  stream TEXT NOT NULL,
  no INTEGER NOT NULL,
  stage TEXT NOT NULL,
  position INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  state TEXT NOT NULL,
  digest TEXT,
  line TEXT NOT NULL,
  next_at INTEGER,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (stream, no, stage)
) STRICT;
