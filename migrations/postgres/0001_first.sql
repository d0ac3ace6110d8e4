-- The same schema as migrations/sqlite; texts compare by their bytes on both engines.
CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '% are append-only', TG_TABLE_NAME; END $$;

-- The inbox: what hosts and people sent, before anything was understood of it. body is zstd.
CREATE TABLE deliveries (
  seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source TEXT COLLATE "C" NOT NULL,
  guid TEXT COLLATE "C" NOT NULL,
  event TEXT COLLATE "C" NOT NULL,
  repo TEXT COLLATE "C",
  headers TEXT COLLATE "C" NOT NULL,
  received_at BIGINT NOT NULL,
  sha256 BYTEA NOT NULL,
  size BIGINT NOT NULL,
  body BYTEA,
  seen BIGINT NOT NULL DEFAULT 1,
  state TEXT COLLATE "C" NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'done', 'ignored', 'poison')),
  error TEXT COLLATE "C",
  UNIQUE (source, guid)
);
CREATE INDEX deliveries_state ON deliveries (state, seq);

-- The truth: one hash chain per stream.
CREATE TABLE streams (
  stream TEXT COLLATE "C" PRIMARY KEY NOT NULL,
  version BIGINT NOT NULL,
  head BYTEA NOT NULL
);
CREATE TABLE events (
  seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  stream TEXT COLLATE "C" NOT NULL REFERENCES streams (stream),
  version BIGINT NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  release BIGINT,
  data TEXT COLLATE "C" NOT NULL,
  actor TEXT COLLATE "C" NOT NULL,
  cause TEXT COLLATE "C" NOT NULL,
  at BIGINT NOT NULL,
  hash BYTEA NOT NULL,
  UNIQUE (stream, version)
);
CREATE INDEX events_page ON events (stream, seq);
CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE ON events
  FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON events
  FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- What the heads of the streams were, chained, so that a dropped tail or stream is found.
CREATE TABLE checkpoints (
  no BIGINT PRIMARY KEY NOT NULL,
  root BYTEA NOT NULL,
  chain BYTEA NOT NULL,
  at BIGINT NOT NULL
);
CREATE TABLE checkpoint_heads (
  stream TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  head BYTEA NOT NULL,
  checkpoint BIGINT NOT NULL REFERENCES checkpoints (no),
  PRIMARY KEY (stream, version)
);
CREATE INDEX checkpoint_heads_of ON checkpoint_heads (checkpoint, stream);
CREATE TRIGGER checkpoints_append_only BEFORE UPDATE OR DELETE ON checkpoints
  FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER checkpoints_no_truncate BEFORE TRUNCATE ON checkpoints
  FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- What is still to be done outside: work owed, its leases and its fencing numbers.
CREATE TABLE effects (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key TEXT COLLATE "C" NOT NULL UNIQUE,
  kind TEXT COLLATE "C" NOT NULL,
  lane TEXT COLLATE "C" NOT NULL,
  stream TEXT COLLATE "C",
  group_key TEXT COLLATE "C",
  priority BIGINT NOT NULL,
  due BIGINT NOT NULL,
  run_after BIGINT NOT NULL,
  rank BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  state TEXT COLLATE "C" NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'leased', 'done', 'dead', 'cancelled')),
  desired TEXT COLLATE "C" NOT NULL,
  revision BIGINT NOT NULL DEFAULT 1,
  leased_revision BIGINT NOT NULL DEFAULT 0,
  attempts BIGINT NOT NULL DEFAULT 0,
  token BIGINT NOT NULL DEFAULT 0,
  lease_by TEXT COLLATE "C",
  lease_boot TEXT COLLATE "C",
  lease_until BIGINT,
  cancel_at BIGINT,
  result TEXT COLLATE "C",
  error TEXT COLLATE "C"
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX effects_ready ON effects (lane, rank, id) WHERE state = 'ready';
CREATE INDEX effects_due ON effects (run_after) WHERE state = 'ready';
CREATE INDEX effects_leases ON effects (lease_until) WHERE state = 'leased';
CREATE UNIQUE INDEX effects_group ON effects (group_key) WHERE state = 'leased' AND group_key IS NOT NULL;
CREATE INDEX effects_dead ON effects (lane, id) WHERE state = 'dead';
CREATE INDEX effects_stream ON effects (stream, id);

-- Duties one process does at a time, limits all processes share, and how far a sweep has come.
CREATE TABLE duties (
  name TEXT COLLATE "C" PRIMARY KEY NOT NULL,
  holder TEXT COLLATE "C" NOT NULL,
  token BIGINT NOT NULL,
  until BIGINT NOT NULL
);
CREATE TABLE rate_limits (
  scope TEXT COLLATE "C" PRIMARY KEY NOT NULL,
  remaining BIGINT,
  reset_at BIGINT,
  blocked_until BIGINT
);
CREATE TABLE cursors (
  name TEXT COLLATE "C" PRIMARY KEY NOT NULL,
  value TEXT COLLATE "C" NOT NULL,
  at BIGINT NOT NULL
);

-- What a run printed: chunks of lines, a JSON list of texts, zstd.
CREATE TABLE logs (
  log TEXT COLLATE "C" NOT NULL,
  first_line BIGINT NOT NULL,
  lines BIGINT NOT NULL,
  body BYTEA NOT NULL,
  PRIMARY KEY (log, first_line)
);

-- Read models: rebuilt from the events.
CREATE TABLE repositories (
  repo_id TEXT COLLATE "C" PRIMARY KEY NOT NULL,
  host TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  default_branch TEXT COLLATE "C" NOT NULL,
  settings TEXT COLLATE "C" NOT NULL
);
CREATE TABLE pipelines (
  stream TEXT COLLATE "C" PRIMARY KEY NOT NULL,
  repo_id TEXT COLLATE "C" NOT NULL,
  repo_name TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  settings TEXT COLLATE "C" NOT NULL
);
CREATE INDEX pipelines_repo ON pipelines (repo_id, name);
CREATE TABLE releases (
  stream TEXT COLLATE "C" NOT NULL,
  no BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  version TEXT COLLATE "C" NOT NULL,
  commit_sha TEXT COLLATE "C" NOT NULL,
  digest TEXT COLLATE "C",
  state TEXT COLLATE "C" NOT NULL,
  title TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  summary TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (stream, no)
);
CREATE INDEX releases_version ON releases (stream, version);
CREATE INDEX releases_commit ON releases (commit_sha);
CREATE INDEX releases_digest ON releases (digest);
CREATE TABLE stages (
  stream TEXT COLLATE "C" NOT NULL,
  no BIGINT NOT NULL,
  stage TEXT COLLATE "C" NOT NULL,
  position BIGINT NOT NULL,
  attempt BIGINT NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  digest TEXT COLLATE "C",
  line TEXT COLLATE "C" NOT NULL,
  next_at BIGINT,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (stream, no, stage)
);
